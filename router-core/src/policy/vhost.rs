//! The rules of one vhost: what was configured, checked and compiled.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use super::{hosts::Hosts, names::Names};
use crate::entity::{OperationalKind, Type, Value, VhostEntity};

/// The group of users that are in no other, if the vhost lets them in.
const DEFAULT_GROUP: &str = "$default";

/// The group that says what peers of connectors with this vhost as their `policyVhost` may do.
pub(super) const CONNECTOR_GROUP: &str = "$connector";

/// The user of connections that have none.
pub(super) const ANONYMOUS: &str = "anonymous";

/// As many connections as a vhost may be given.
const MOST_CONNECTIONS: i64 = 65_535;

/// Why the rules of a vhost cannot be used: the attribute of `vhost`, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Policy vhost '{vhost}' {attribute}: {what}")]
pub struct VhostError {
    /// The vhost.
    pub vhost: String,
    /// The attribute.
    pub attribute: &'static str,
    /// What is wrong.
    pub what: String,
}

/// The rules of a vhost.
#[derive(Clone, Debug)]
pub struct Vhost {
    /// The name.
    pub hostname: Arc<str>,
    /// Other names.
    pub aliases: Vec<String>,
    pub(super) max_connections: u64,
    pub(super) max_per_user: u64,
    pub(super) max_per_host: u64,
    pub(super) max_message_size: Option<u64>,
    allow_unknown: bool,
    groups: BTreeMap<String, Arc<Group>>,
    by_user: BTreeMap<String, String>,
    /// Options that mean nothing here, for a warning.
    pub ignored: Vec<String>,
}

/// What a group of users may do.
#[derive(Clone, Debug)]
pub struct Group {
    /// Its name in its vhost.
    pub name: String,
    /// What was configured, for management.
    pub settings: BTreeMap<&'static str, Value>,
    users: Vec<String>,
    pub(super) hosts: Hosts,
    pub(super) max_per_user: Option<u64>,
    pub(super) max_per_host: Option<u64>,
    pub(super) max_message_size: Option<u64>,
    pub(super) max_frame_size: Option<u32>,
    pub(super) max_session_window: Option<u32>,
    pub(super) max_sessions: Option<u32>,
    pub(super) max_senders: Option<u32>,
    pub(super) max_receivers: Option<u32>,
    pub(super) dynamic_source: bool,
    pub(super) anonymous_sender: bool,
    pub(super) user_id_proxy: bool,
    pub(super) admin_status: bool,
    pub(super) sources: Names,
    pub(super) targets: Names,
}

impl Vhost {
    /// Reads what was configured.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn read(entity: &VhostEntity) -> Result<Self, VhostError> {
        let vhost = entity.hostname.as_str();
        let wrong = |attribute, what| VhostError { vhost: vhost.to_owned(), attribute, what };
        for (attribute, number) in [
            ("maxConnections", entity.max_connections),
            ("maxConnectionsPerUser", entity.max_connections_per_user),
            ("maxConnectionsPerHost", entity.max_connections_per_host),
        ] {
            if i64::from(number) > MOST_CONNECTIONS {
                let what = format!("expected a whole number from 0 to {MOST_CONNECTIONS}, found `{number}`");
                return Err(wrong(attribute, what));
            }
        }
        let mut aliases: Vec<String> = Vec::new();
        for alias in parts(entity.aliases.as_deref().unwrap_or_default()) {
            if alias == vhost {
                return Err(wrong("aliases", format!("'{alias}' is the vhost's own name")));
            }
            if aliases.iter().any(|other| other == alias) {
                return Err(wrong("aliases", format!("'{alias}' is there twice")));
            }
            aliases.push(alias.to_owned());
        }
        let mut this = Self {
            hostname: vhost.into(),
            aliases,
            max_connections: entity.max_connections.into(),
            max_per_user: entity.max_connections_per_user.into(),
            max_per_host: entity.max_connections_per_host.into(),
            max_message_size: entity.max_message_size.and_then(|size| u64::try_from(size).ok()),
            allow_unknown: entity.allow_unknown_user,
            groups: BTreeMap::new(),
            by_user: BTreeMap::new(),
            ignored: Vec::new(),
        };
        for (name, value) in entity.groups.iter().flat_map(|groups| &groups.0) {
            let group = Group::read(vhost, name, value, &mut this.ignored)
                .map_err(|what| wrong("groups", format!("user group '{name}' {what}")))?;
            for user in &group.users {
                if let Some(other) = this.by_user.insert(user.clone(), name.clone()) {
                    let what = format!("user '{user}' is in multiple user groups '{other}' and '{name}'");
                    return Err(wrong("groups", what));
                }
            }
            if this.groups.insert(name.clone(), Arc::new(group)).is_some() {
                return Err(wrong("groups", format!("user group '{name}' is there twice")));
            }
        }
        if this.allow_unknown && !this.groups.contains_key(DEFAULT_GROUP) {
            let what = format!(
                "unknown users are allowed, so a user group '{DEFAULT_GROUP}' is needed, which says what they may do"
            );
            return Err(wrong("allowUnknownUser", what));
        }
        Ok(this)
    }

    /// Finds the addresses of host names in the rules.
    ///
    /// # Errors
    /// One that has none.
    pub fn resolve(&mut self, mut find: impl FnMut(&str) -> Result<Vec<IpAddr>, String>) -> Result<(), VhostError> {
        let vhost = self.hostname.to_string();
        for group in self.groups.values_mut() {
            let group = Arc::make_mut(group);
            if let Err(what) = group.hosts.resolve(&mut find) {
                let what = format!("user group '{}' remoteHosts: {what}", group.name);
                return Err(VhostError { vhost, attribute: "groups", what });
            }
        }
        Ok(())
    }

    /// The group that a user is in.
    pub(super) fn group_of(&self, user: &str) -> Option<&Arc<Group>> {
        let name = self.by_user.get(user).or_else(|| self.by_user.get("*")).map(String::as_str);
        let unknown = self.allow_unknown.then_some(DEFAULT_GROUP);
        self.groups.get(name.or(unknown)?)
    }

    /// The group of this name.
    pub fn group(&self, name: &str) -> Option<&Arc<Group>> {
        self.groups.get(name)
    }

    /// All of them.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values().map(|group| &**group)
    }
}

/// The parts of a list that is written as text.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

impl Group {
    fn read(vhost: &str, name: &str, value: &Value, ignored: &mut Vec<String>) -> Result<Self, String> {
        let Value::Map(options) = value else { return Err(format!("is no map, but `{value}`")) };
        let descriptor = OperationalKind::VhostUserGroupSettings.descriptor();
        let mut settings = BTreeMap::new();
        for (option, value) in options {
            let Some(attribute) = descriptor.attribute(option) else {
                ignored.push(format!("Policy vhost '{vhost}' user group '{name}' option '{option}' is ignored."));
                continue;
            };
            let least = match attribute.name {
                "maxConnectionsPerUser" | "maxConnectionsPerHost" => Type::Integer { min: 0, max: MOST_CONNECTIONS },
                _ => Type::Integer { min: 0, max: i64::MAX },
            };
            let value = match (attribute.ty, value) {
                (_, Value::Null) => continue,
                (Type::String, Value::List(items)) if items.iter().all(|item| item.as_str().is_some()) => {
                    let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
                    Ok(items.join(",").into())
                }
                (Type::String, Value::List(_)) => Err("expected a list of texts".to_owned()),
                (Type::Integer { .. }, value) => least.convert(value.clone()),
                (ty, value) => ty.convert(value.clone()),
            };
            let value = value.map_err(|what| format!("option '{option}': {what}"))?;
            if settings.insert(attribute.name, value).is_some() {
                return Err(format!("option '{option}' is there twice"));
            }
        }
        let text = |option: &str| settings.get(option).and_then(Value::as_str);
        let number = |option: &str| {
            settings.get(option).and_then(Value::as_integer).and_then(|number| u64::try_from(number).ok())
        };
        // 0 asks for no limit.
        let limit = |option: &str| {
            number(option).filter(|number| *number > 0).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
        };
        let flag = |option: &str, default| settings.get(option).and_then(Value::as_bool).unwrap_or(default);
        let said = |option: &'static str| move |what| format!("option '{option}': {what}");
        let names = |list: &'static str, pattern: &'static str| match (text(list), text(pattern)) {
            (Some(_), Some(_)) => {
                Err(format!("specifies conflicting '{list}' and '{pattern}' attributes. Use only one or the other."))
            }
            (_, Some(text)) => Names::patterns(parts(text)).map_err(said(pattern)),
            (text, None) => Names::list(parts(text.unwrap_or_default())).map_err(said(list)),
        };
        Ok(Self {
            name: name.to_owned(),
            users: parts(text("users").unwrap_or_default()).map(str::to_owned).collect(),
            hosts: Hosts::read(parts(text("remoteHosts").unwrap_or_default())).map_err(said("remoteHosts"))?,
            max_per_user: number("maxConnectionsPerUser"),
            max_per_host: number("maxConnectionsPerHost"),
            max_message_size: number("maxMessageSize"),
            max_frame_size: limit("maxFrameSize"),
            max_session_window: limit("maxSessionWindow"),
            max_sessions: limit("maxSessions"),
            max_senders: limit("maxSenders"),
            max_receivers: limit("maxReceivers"),
            dynamic_source: flag("allowDynamicSource", false),
            anonymous_sender: flag("allowAnonymousSender", false),
            user_id_proxy: flag("allowUserIdProxy", false),
            admin_status: flag("allowAdminStatusUpdate", true),
            sources: names("sources", "sourcePattern")?,
            targets: names("targets", "targetPattern")?,
            settings,
        })
    }
}
