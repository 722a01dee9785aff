//! What has to hold for an entity alone, and for the entities of a configuration together.

use std::collections::HashMap;

use super::kinds::{EntityKind, VhostEntity};
use super::otlp::{ENDPOINT_FORM, OtlpEndpoint, otlp_pairs};
use super::record::Entity;
use super::table::Identity;
use super::tags::{Mode, MultiAddressStrategy, Role};
use super::value::{Shortened, Value, nearest};
use crate::policy::{Vhost, conflicts};

/// When the reference would have found a problem; it says so in the text that it fails with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// While the file was read.
    Load,
    /// While the entity was put to work.
    Create,
    /// While an attribute was read by what the entity is for.
    Attribute,
    /// While the entity was compared with the schema.
    Validation,
}

/// Something that keeps an entity from being used. Always the fault of whoever wrote the entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The attribute it is about; `None` for the entity as a whole.
    pub attribute: Option<String>,
    /// When the reference finds this.
    pub stage: Stage,
    /// What is wrong and what was expected, for the user.
    pub message: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl Problem {
    pub(crate) fn of(attribute: &str, stage: Stage, message: impl Into<String>) -> Self {
        Self { attribute: Some(attribute.to_owned()), stage, message: message.into() }
    }

    pub(crate) fn whole(stage: Stage, message: impl Into<String>) -> Self {
        Self { attribute: None, stage, message: message.into() }
    }
}

/// Property names of open frames that routers set themselves.
const RESERVED_PROPERTIES: &[&str] =
    &["product", "version", "failover-server-list", "network-host", "port", "scheme", "hostname"];
/// Prefixes of such names.
const RESERVED_PREFIXES: &[&str] = &["qd.", "x-opt-qd."];

impl Entity {
    /// Everything that is wrong with this entity alone.
    pub(crate) fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for attribute in self.kind().descriptor().attributes {
            if attribute.required && self.get(attribute.name).is_none() {
                problems.push(Problem::whole(
                    Stage::Load,
                    format!(
                        "{} needs the attribute `{}`: {}",
                        self.kind().name(),
                        attribute.name,
                        attribute.ty.expected()
                    ),
                ));
            }
        }
        match self.kind() {
            EntityKind::Router => self.check_router(&mut problems),
            EntityKind::Listener | EntityKind::Connector => self.check_amqp(&mut problems),
            EntityKind::TcpListener => self.check_tcp_listener(&mut problems),
            EntityKind::TcpConnector if self.text("address").is_none_or(str::is_empty) => {
                problems.push(Problem::whole(Stage::Create, "Address must be set"));
            }
            EntityKind::ListenerAddress => self.check_range(&mut problems, "value", 1, i64::MAX),
            EntityKind::Address => self.check_address(&mut problems),
            EntityKind::AutoLink => self.check_auto_link(&mut problems),
            EntityKind::SslProfile | EntityKind::ProxyProfile if self.name().is_empty() => {
                problems.push(Problem::whole(
                    Stage::Load,
                    format!("{} needs the attribute `name`, by which others refer to it", self.kind().name()),
                ));
            }
            EntityKind::SslProfile => {
                self.check_protocols(&mut problems);
                let ordinal = self.integer("ordinal").unwrap_or(0);
                self.check_range(&mut problems, "oldestValidOrdinal", 0, ordinal);
            }
            EntityKind::Log => self.check_levels(&mut problems),
            EntityKind::Otlp => self.check_otlp(&mut problems),
            EntityKind::Policy => self.check_range(&mut problems, "maxMessageSize", 0, i64::MAX),
            EntityKind::Vhost => {
                self.check_range(&mut problems, "maxMessageSize", 0, i64::MAX);
                // What of it cannot be read was told.
                if problems.is_empty()
                    && let Err(error) = Vhost::read(&VhostEntity::from(self))
                {
                    let message = format!("Policy '{}' is invalid: {error}", error.vhost);
                    problems.push(Problem::of(error.attribute, Stage::Load, message));
                }
            }
            _ => {}
        }
        problems
    }

    fn integer(&self, name: &str) -> Option<i64> {
        self.get(name).and_then(Value::as_integer)
    }

    fn flag(&self, name: &str) -> bool {
        self.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    fn check_range(&self, problems: &mut Vec<Problem>, name: &str, min: i64, max: i64) {
        if let Some(number) = self.integer(name)
            && !(min..=max).contains(&number)
        {
            let expected = if max == i64::MAX {
                format!("a whole number of at least {min}")
            } else {
                format!("a whole number from {min} to {max}")
            };
            problems.push(Problem::of(name, Stage::Create, format!("{name}: expected {expected}, found `{number}`")));
        }
    }

    fn check_router(&self, problems: &mut Vec<Problem>) {
        if let Some(id) = self.text("id") {
            if let Some(bad) = id.chars().find(|character| character.is_control() || character.is_whitespace()) {
                problems.push(Problem::of(
                    "id",
                    Stage::Attribute,
                    format!("Router id attribute containing character '{bad}' in id '{id}' is disallowed."),
                ));
            } else if id.contains(['|', '$']) {
                problems.push(Problem::of(
                    "id",
                    Stage::Load,
                    format!("Router ID \"{id}\" contains an illegal character: | and $ are not allowed."),
                ));
            } else if id.is_empty() || id.contains('/') {
                problems.push(Problem::of(
                    "id",
                    Stage::Load,
                    format!("id: expected a name without `/`, found `{id}`; the id is part of addresses"),
                ));
            }
        }
        for interval in ["helloIntervalSeconds", "helloMaxAgeSeconds", "raIntervalSeconds", "raIntervalFluxSeconds"] {
            self.check_range(problems, interval, 1, u32::MAX.into());
        }
        for interval in ["helloIntervalMilliseconds", "helloMaxAgeMilliseconds"] {
            self.check_range(problems, interval, 10, u32::MAX.into());
        }
        self.check_range(problems, "workerThreads", 1, 1024);
        if let Some(count) = self.text("dataConnectionCount")
            && count != "auto"
            && count.parse::<u16>().is_err()
        {
            problems.push(Problem::of(
                "dataConnectionCount",
                Stage::Create,
                format!("dataConnectionCount: expected a number or `auto`, found `{count}`"),
            ));
        }
    }

    fn check_amqp(&self, problems: &mut Vec<Problem>) {
        let mut limit = |name: &str, min: i64, max: i64| {
            if let Some(number) = self.integer(name)
                && number != 0
                && !(min..=max).contains(&number)
            {
                // `maxSessions` begins at 1 here and at 0 (the default) in what users may write; so does the reference.
                let message =
                    format!("Invalid {name} specified ({number}). Minimum value is {min} and maximum value is {max}");
                problems.push(Problem::of(name, Stage::Create, message));
            }
        };
        limit("maxSessions", 1, 32_768);
        limit("maxFrameSize", 512, i32::MAX.into());
        limit("maxSessionFrames", 2, i32::MAX.into());
        if let Some(cost) = self.integer("cost")
            && !(1..=i64::from(i32::MAX)).contains(&cost)
        {
            let message = format!(
                "Invalid cost ({cost}) specified. Minimum value for cost is 1 and maximum value is {}",
                i32::MAX
            );
            problems.push(Problem::of("cost", Stage::Create, message));
        }
        if let Some(Value::Map(properties)) = self.get("openProperties") {
            for (key, _) in properties {
                if RESERVED_PROPERTIES.contains(&key.as_str())
                    || RESERVED_PREFIXES.iter().any(|prefix| key.starts_with(prefix))
                {
                    problems.push(Problem::of(
                        "openProperties",
                        Stage::Validation,
                        format!("Reserved key '{key}' not allowed in openProperties"),
                    ));
                }
            }
            let role: Role = self.typed("role");
            if !properties.is_empty() && matches!(role, Role::InterRouter | Role::Edge) {
                problems.push(Problem::of(
                    "openProperties",
                    Stage::Validation,
                    format!("openProperties not allowed for role {role}"),
                ));
            }
        }
        if self.flag("requireSsl") && self.text("sslProfile").is_none() {
            problems.push(Problem::of(
                "requireSsl",
                Stage::Create,
                "requireSsl without sslProfile: no client could ever connect",
            ));
        }
        for origin in self.text("websocketOrigins").unwrap_or_default().split_whitespace() {
            let place = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            if origin != "*" && place.is_none_or(|place| place.is_empty() || place.contains('/')) {
                let expected = "origins such as https://app.example, separated by blanks, or `*`";
                let message = format!("websocketOrigins: expected {expected}, found `{origin}`");
                problems.push(Problem::of("websocketOrigins", Stage::Create, message));
            }
        }
    }

    fn check_tcp_listener(&self, problems: &mut Vec<Problem>) {
        let strategy: MultiAddressStrategy = self.typed("multiAddressStrategy");
        if self.text("address").is_some() != (strategy == MultiAddressStrategy::None) {
            problems.push(Problem::whole(
                Stage::Create,
                "Exactly one of the 'address' or 'multiAddressStrategy' field must be set",
            ));
        }
        if self.text("address") == Some("") {
            problems.push(Problem::of("address", Stage::Create, "address: expected an address, found nothing"));
        }
        if self.flag("authenticatePeer") && self.text("sslProfile").is_none() {
            problems.push(Problem::of(
                "authenticatePeer",
                Stage::Create,
                "authenticatePeer without sslProfile: a TCP client can only be authenticated by its certificate",
            ));
        }
    }

    fn check_address(&self, problems: &mut Vec<Problem>) {
        match (self.text("prefix"), self.text("pattern")) {
            (Some(_), Some(_)) | (None, None) => problems
                .push(Problem::whole(Stage::Create, "an address needs one of `prefix` and `pattern`, and not both")),
            (Some(prefix), None) if prefix.contains(['*', '#']) => problems.push(Problem::of(
                "prefix",
                Stage::Create,
                format!("prefix: expected tokens without `*` and `#`, found `{prefix}`; use `pattern` for wildcards"),
            )),
            _ => {}
        }
        self.check_range(problems, "priority", 0, 9);
    }

    fn check_auto_link(&self, problems: &mut Vec<Problem>) {
        let set = |name: &str| self.text(name).is_some_and(|text| !text.is_empty());
        let message = match self.text("direction") {
            Some("out") if !set("address") => {
                "an autoLink of direction `out` needs `address`: the messages of which address are to be sent?"
            }
            Some("in") if !set("address") && !set("externalAddress") => {
                "an autoLink needs `address` or `externalAddress`: what is to be received?"
            }
            _ if set("connection") && set("containerId") => {
                "Both connection and containerId cannot be specified: an autoLink has one peer"
            }
            _ => return,
        };
        problems.push(Problem::whole(Stage::Create, message));
    }

    fn check_protocols(&self, problems: &mut Vec<Problem>) {
        const VERSIONS: &[&str] = &["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"];
        for version in self.text("protocols").unwrap_or_default().split_whitespace() {
            if !VERSIONS.contains(&version) {
                let hint = nearest(version, VERSIONS.iter().copied()).map(|near| format!("; did you mean `{near}`?"));
                problems.push(Problem::of(
                    "protocols",
                    Stage::Create,
                    format!("protocols: expected TLSv1.2 or TLSv1.3, found `{version}`{}", hint.unwrap_or_default()),
                ));
            }
        }
    }

    fn check_levels(&self, problems: &mut Vec<Problem>) {
        if let Some(enable) = self.text("enable")
            && let Err(message) = crate::config::levels::LevelSet::parse(enable)
        {
            problems.push(Problem::of("enable", Stage::Create, message));
        }
    }

    fn check_otlp(&self, problems: &mut Vec<Problem>) {
        let mut refuse = |name: &str, expected: &str| {
            problems.push(Problem::of(name, Stage::Create, format!("{name}: expected {expected}")));
        };
        let pairs = "NAME=VALUE, separated by commas, with %XX for other bytes";
        let endpoint = self.text("endpoint").map(|url| (url, OtlpEndpoint::parse(url)));
        match &endpoint {
            Some((url, None)) => refuse("endpoint", &format!("{ENDPOINT_FORM}, found `{}`", Shortened(url))),
            Some((url, Some(endpoint))) if !endpoint.tls && self.text("sslProfile").is_some() => {
                refuse(
                    "sslProfile",
                    &format!("an endpoint that begins with https:// beside it, found `{}`", Shortened(url)),
                );
            }
            _ => {}
        }
        // Nothing of a secret is shown.
        if self.text("headers").is_some_and(|text| otlp_pairs(text).is_none_or(|pairs| !pairs.iter().all(is_header))) {
            refuse("headers", pairs);
        }
        if self.text("resourceAttributes").is_some_and(|text| otlp_pairs(text).is_none()) {
            refuse("resourceAttributes", pairs);
        }
        self.check_range(problems, "metricsIntervalSeconds", 1, i64::MAX);
    }
}

/// A header that a request can have, and that nobody else sets.
fn is_header((name, value): &(String, String)) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    name.bytes().all(token) && value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte))
}

/// Everything that is wrong with these entities together. A problem comes with the place of the entity it is about.
///
/// A later entity is blamed for what it has in common with an earlier one.
pub fn check_all(entities: &[&Entity]) -> Vec<(usize, Problem)> {
    let mut problems = Vec::new();
    let mode = mode_of(entities.iter().copied());
    let mut names = HashMap::new();
    let mut identities = HashMap::new();
    let mut sockets: HashMap<(String, u16), &Entity> = HashMap::new();
    for (index, entity) in entities.iter().copied().enumerate() {
        let kind = entity.kind();
        let mut problem = |problem| problems.push((index, problem));
        if kind.descriptor().is_single() && entities.iter().take(index).any(|earlier| earlier.kind() == kind) {
            problem(Problem::whole(Stage::Load, format!("there can only be one {}", kind.name())));
            continue;
        }
        if let Some(found) = check_role(entity, mode) {
            problem(found);
        }
        check_references(entity, entities, &mut problem);
        let doubled = !entity.identity().is_empty() && identities.insert((kind, entity.identity()), ()).is_some();
        let doubled_name = !entity.name().is_empty() && names.insert((kind, entity.name()), ()).is_some();
        if doubled || doubled_name {
            let (attribute, value) = match kind.descriptor().identity {
                Identity::Attribute(attribute) if doubled => {
                    (attribute, entity.text(attribute).unwrap_or_else(|| entity.name()))
                }
                _ if doubled_name => ("name", entity.name()),
                _ => ("identity", entity.identity()),
            };
            let message = format!("there already is a {} with the {attribute} `{value}`", kind.name());
            // As the reference's core says about what it holds.
            let core = kind.descriptor().identity == Identity::BareCounter;
            let conflict = if core { "Name conflicts with an existing entity: " } else { "" };
            problem(Problem::of(attribute, Stage::Load, format!("{conflict}{message}")));
        } else if let Some(found) = check_socket(entity, &mut sockets) {
            problem(found);
        }
    }
    problems.extend(check_vhosts(entities));
    problems
}

/// Names that two vhosts have.
fn check_vhosts(entities: &[&Entity]) -> impl Iterator<Item = (usize, Problem)> {
    let of = |kind| entities.iter().enumerate().filter(move |(_, entity)| entity.kind() == kind);
    let patterns = of(EntityKind::Policy).any(|(_, policy)| policy.flag("enableVhostNamePatterns"));
    let vhosts: Vec<(usize, Vhost)> = of(EntityKind::Vhost)
        .filter_map(|(index, entity)| Some((index, Vhost::read(&VhostEntity::from(*entity)).ok()?)))
        .collect();
    let found = conflicts(vhosts.iter().map(|(index, vhost)| (*index, vhost)), patterns);
    found.into_iter().map(|(index, attribute, what)| (index, Problem::of(attribute, Stage::Load, what)))
}

/// The mode of the router that has these entities.
pub(super) fn mode_of<'a>(mut entities: impl Iterator<Item = &'a Entity>) -> Mode {
    let router = entities.find(|entity| entity.kind() == EntityKind::Router);
    router.map_or(Mode::Standalone, |router| router.typed("mode"))
}

/// A router of this mode may not have the entity.
pub(super) fn check_role(entity: &Entity, mode: Mode) -> Option<Problem> {
    if !matches!(entity.kind(), EntityKind::Listener | EntityKind::Connector) {
        return None;
    }
    let role: Role = entity.typed("role");
    let message = match (mode, role) {
        (Mode::Standalone, Role::InterRouter | Role::Edge) => {
            "role='standalone' not allowed to connect to or accept connections from other routers.".to_owned()
        }
        (Mode::Edge, Role::InterRouter) => {
            format!("role='inter-router' only allowed with router mode='interior' for {entity:?}")
        }
        (Mode::Standalone | Mode::Interior, Role::InterEdge) => {
            format!("role='inter-edge' only allowed with router mode='edge' for {entity:?}")
        }
        (Mode::Edge, Role::Edge) if entity.kind() == EntityKind::Listener => {
            format!("role='edge' only allowed with router mode='interior' for {entity:?}")
        }
        _ => return None,
    };
    Some(Problem::of("role", Stage::Load, message))
}

fn check_references(entity: &Entity, entities: &[&Entity], problem: &mut impl FnMut(Problem)) {
    let mut refer = |attribute: &str, target: EntityKind| {
        if entity.kind().descriptor().attribute(attribute).is_none() {
            return;
        }
        let Some(name) = entity.text(attribute) else {
            return;
        };
        let candidates = || entities.iter().filter(|other| other.kind() == target);
        if candidates().all(|other| other.name() != name) {
            let mut message = format!("{} '{name}' not found", target.name());
            if let Some(near) = nearest(name, candidates().map(|other| other.name())) {
                message.push_str(&format!("; did you mean `{near}`?"));
            }
            problem(Problem::of(attribute, Stage::Create, message));
        }
    };
    refer("sslProfile", EntityKind::SslProfile);
    refer("proxyProfile", EntityKind::ProxyProfile);
    if entity.kind() == EntityKind::ListenerAddress {
        refer("listener", EntityKind::TcpListener);
        let listener = entities
            .iter()
            .find(|other| other.kind() == EntityKind::TcpListener && Some(other.name()) == entity.text("listener"));
        if listener.is_some_and(|listener| {
            listener.typed::<MultiAddressStrategy>("multiAddressStrategy") == MultiAddressStrategy::None
        }) {
            problem(Problem::of(
                "listener",
                Stage::Create,
                "listener: that tcpListener has no multiAddressStrategy, so it cannot have several addresses",
            ));
        }
    }
}

/// Two entities on one socket would share its connections by chance, since workers open it once each (`SO_REUSEPORT`).
fn check_socket<'a>(entity: &'a Entity, sockets: &mut HashMap<(String, u16), &'a Entity>) -> Option<Problem> {
    if !matches!(entity.kind(), EntityKind::Listener | EntityKind::TcpListener | EntityKind::Admin) {
        return None;
    }
    let port = super::value::parse_port(entity.text("port")?)?;
    if port == 0 {
        return None;
    }
    let key = (entity.text("host").unwrap_or_default().to_owned(), port);
    if let Some(earlier) = sockets.get(&key) {
        return Some(Problem::of(
            "port",
            Stage::Create,
            format!("port: {}:{port} is already taken by the {} `{}`", key.0, earlier.kind().name(), earlier.name()),
        ));
    }
    sockets.insert(key, entity);
    None
}

/// Links between routers that leave this machine without TLS.
fn open_to_all(entity: &Entity) -> Option<String> {
    let role: Role = entity.typed("role");
    let links = matches!(entity.kind(), EntityKind::Listener | EntityKind::Connector)
        && matches!(role, Role::InterRouter | Role::Edge | Role::InterEdge | Role::InterNetwork);
    let host = entity.text("host").unwrap_or_default();
    let address: Option<std::net::IpAddr> = host.parse().ok();
    let here = host == "localhost" || address.is_some_and(|address| address.is_loopback());
    if !links || here || entity.text("sslProfile").is_some() {
        return None;
    }
    let name = entity.name();
    Some(if entity.kind() == EntityKind::Listener {
        format!(
            "listener `{name}` takes links of other routers without TLS: whoever reaches it can join the network and read what passes"
        )
    } else {
        format!(
            "connector `{name}` links to another router without TLS: whoever is in between can read and change what passes"
        )
    })
}

/// What of an entity has no effect in this version or is dangerous, for the user; `is_set` says which attributes the user wrote.
pub fn warnings(entity: &Entity, is_set: impl Fn(&str) -> bool) -> Vec<Problem> {
    let mut warnings = Vec::new();
    if entity.kind() == EntityKind::Vhost
        && let Ok(vhost) = Vhost::read(&VhostEntity::from(entity))
    {
        warnings.extend(vhost.ignored.into_iter().map(|what| Problem::of("groups", Stage::Create, what)));
    }
    if let Some(message) = open_to_all(entity) {
        warnings.push(Problem::whole(Stage::Create, message));
    }
    let set = |name: &str| entity.text(name).is_some_and(|text| !text.is_empty());
    if entity.kind() == EntityKind::AutoLink && !set("connection") && !set("containerId") {
        let message = "an autoLink without `connection` and `containerId` is never attached: it is for no peer";
        warnings.push(Problem::whole(Stage::Create, message));
    }
    warnings.extend(ineffective(entity, is_set));
    warnings
}

/// Attributes that ask for something which this version does not do; `is_set` says which attributes the user wrote.
pub fn ineffective(entity: &Entity, is_set: impl Fn(&str) -> bool) -> Vec<Problem> {
    let pending = entity.kind().descriptor().attributes.iter().filter(|attribute| attribute.pending);
    let asked = pending.filter(|attribute| {
        let default = attribute.default.and_then(|default| attribute.ty.convert(default.into()).ok());
        let value = entity.get(attribute.name);
        // A number that is 0 asks for what is done anyway.
        is_set(attribute.name) && value != default.as_ref() && value != Some(&Value::Integer(0))
    });
    asked
        .map(|attribute| {
            Problem::of(attribute.name, Stage::Create, format!("{}: has no effect in this version", attribute.name))
        })
        .collect()
}
