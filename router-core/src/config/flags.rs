//! Command-line flags that stand for entities.

use super::build::merge;
use super::source::{Attribute, Position, Section};
use crate::entity::{ENDPOINT_FORM, EntityKind, OtlpEndpoint, Shortened, Value, parse_port};

/// The `sslProfile` that `--cert`, `--key` and `--ca` make.
const COMMAND_LINE_PROFILE: &str = "command-line";

/// Where routers take links of others when nobody says where: those that interior and edge routers of the reference's users have.
const LINK_PORT: &str = "55671";
const EDGE_PORT: &str = "45671";
const LINK_PLACE: &str = "HOST:PORT, or amqps://HOST:PORT for TLS, such as 127.0.0.1:55671";

/// Why a flag was refused. The user's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// The value has not the form that the flag needs.
    #[error("expected {expected}, found `{found}`")]
    Form {
        /// The form, with an example.
        expected: &'static str,
        /// What was written.
        found: String,
    },
    /// The part behind the colon is not a port.
    #[error("expected a port from 0 to 65535, found `{0}`")]
    Port(String),
}

/// A flag that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    content: Content,
}

/// What a flag says, before it becomes a [`Section`].
#[derive(Debug, Clone, PartialEq, Eq)]
struct Content {
    kind: EntityKind,
    source: String,
    attributes: Vec<(&'static str, String)>,
}

impl Flag {
    fn new(kind: EntityKind, flag: &str, value: &str, attributes: Vec<(&'static str, String)>) -> Self {
        Self { content: Content { kind, source: format!("{flag} {value}"), attributes } }
    }

    /// `--listen amqp://host:port` or `amqps://host:port`. The scheme and the port may be left out.
    ///
    /// # Errors
    /// The value has another form.
    pub fn listen(value: &str) -> Result<Self, FlagError> {
        const EXPECTED: &str = "amqp://HOST:PORT or amqps://HOST:PORT, such as amqp://127.0.0.1:5672";
        let place = Place::parse(value, ["amqp", "amqps"], EXPECTED)?;
        let tls = place.tls;
        let mut attributes = place.attributes();
        if tls {
            attributes.push(("requireSsl", "yes".to_owned()));
        }
        Ok(Self::new(EntityKind::Listener, "--listen", value, attributes))
    }

    /// `--accept-links host:port`, for other routers of the network. Over TLS they have to show a certificate.
    ///
    /// # Errors
    /// The value has another form.
    pub fn accept_links(value: &str) -> Result<Self, FlagError> {
        Self::accept("--accept-links", value, "inter-router", LINK_PORT)
    }

    /// `--link host:port`, to another router of the network.
    ///
    /// # Errors
    /// The value has another form.
    pub fn link(value: &str) -> Result<Self, FlagError> {
        Self::connect("--link", value, "inter-router", LINK_PORT)
    }

    /// `--accept-edges host:port`, for edge routers. Over TLS they have to show a certificate.
    ///
    /// # Errors
    /// The value has another form.
    pub fn accept_edges(value: &str) -> Result<Self, FlagError> {
        Self::accept("--accept-edges", value, "edge", EDGE_PORT)
    }

    /// `--edge-link host:port`, from an edge router to an interior router.
    ///
    /// # Errors
    /// The value has another form.
    pub fn edge_link(value: &str) -> Result<Self, FlagError> {
        Self::connect("--edge-link", value, "edge", EDGE_PORT)
    }

    fn accept(flag: &str, value: &str, role: &str, port: &'static str) -> Result<Self, FlagError> {
        let place = Place::parse(value, [port, port], LINK_PLACE)?;
        let tls = place.tls;
        let mut attributes = place.attributes();
        attributes.push(("role", role.to_owned()));
        if tls {
            let mutual = [("requireSsl", "yes"), ("authenticatePeer", "yes"), ("saslMechanisms", "EXTERNAL")];
            attributes.extend(mutual.map(|(name, value)| (name, value.to_owned())));
        }
        Ok(Self::new(EntityKind::Listener, flag, value, attributes))
    }

    fn connect(flag: &str, value: &str, role: &str, port: &'static str) -> Result<Self, FlagError> {
        let place = Place::parse(value, [port, port], LINK_PLACE)?;
        if place.host.is_empty() || parse_port(&place.port) == Some(0) {
            return Err(FlagError::Form { expected: LINK_PLACE, found: Shortened(value).to_string() });
        }
        let mut attributes = place.attributes();
        attributes.push(("role", role.to_owned()));
        Ok(Self::new(EntityKind::Connector, flag, value, attributes))
    }

    /// `--tcp-listener address=host:port`.
    ///
    /// # Errors
    /// The value has another form.
    pub fn tcp_listener(value: &str) -> Result<Self, FlagError> {
        Self::tcp(EntityKind::TcpListener, "--tcp-listener", value)
    }

    /// `--tcp-connector address=host:port`.
    ///
    /// # Errors
    /// The value has another form.
    pub fn tcp_connector(value: &str) -> Result<Self, FlagError> {
        Self::tcp(EntityKind::TcpConnector, "--tcp-connector", value)
    }

    fn tcp(kind: EntityKind, flag: &str, value: &str) -> Result<Self, FlagError> {
        const EXPECTED: &str = "ADDRESS=HOST:PORT, such as database=127.0.0.1:5432";
        let form = || FlagError::Form { expected: EXPECTED, found: value.to_owned() };
        // Addresses may contain `=`, hosts and ports never do.
        let (address, target) = value.rsplit_once('=').ok_or_else(form)?;
        if address.is_empty() {
            return Err(form());
        }
        let (host, port) = host_port(target, None, EXPECTED)?;
        if kind == EntityKind::TcpConnector && host.is_empty() {
            return Err(form());
        }
        Ok(Self::new(kind, flag, value, vec![("address", address.to_owned()), ("host", host), ("port", port)]))
    }

    /// `--admin host:port`.
    ///
    /// # Errors
    /// The value has another form.
    pub fn admin(value: &str) -> Result<Self, FlagError> {
        let (host, port) = host_port(value, None, "HOST:PORT, such as 127.0.0.1:5680")?;
        Ok(Self::new(EntityKind::Admin, "--admin", value, vec![("host", host), ("port", port)]))
    }

    /// `--otlp url`.
    ///
    /// # Errors
    /// The value is not the URL of a collector.
    pub fn otlp(value: &str) -> Result<Self, FlagError> {
        if OtlpEndpoint::parse(value).is_none() {
            return Err(FlagError::Form { expected: ENDPOINT_FORM, found: Shortened(value).to_string() });
        }
        Ok(Self::new(EntityKind::Otlp, "--otlp", value, vec![("endpoint", value.to_owned())]))
    }

    /// An attribute of the collector of [`Flag::otlp`], from a variable of the environment. Its value is not repeated in messages.
    pub fn otlp_variable(variable: &str, attribute: &'static str, value: &str) -> Self {
        let attributes = vec![(attribute, value.to_owned())];
        Self { content: Content { kind: EntityKind::Otlp, source: variable.to_owned(), attributes } }
    }

    /// An attribute of the router: `--id`, `--mode`, `--workers`.
    pub fn router(flag: &str, attribute: &'static str, value: &str) -> Self {
        Self::new(EntityKind::Router, flag, value, vec![(attribute, value.to_owned())])
    }

    /// `--cert`, `--key` and `--ca`, which `amqps` listeners use.
    pub fn tls(cert: Option<&str>, key: Option<&str>, ca: Option<&str>) -> Self {
        let mut attributes = vec![("name", COMMAND_LINE_PROFILE.to_owned())];
        let files = [("certFile", cert), ("privateKeyFile", key), ("caCertFile", ca)];
        attributes.extend(files.into_iter().filter_map(|(name, file)| file.map(|file| (name, file.to_owned()))));
        Self::new(EntityKind::SslProfile, "--cert", cert.unwrap_or_default(), attributes)
    }

    /// Whether the flag needs the profile of [`Self::tls`].
    pub fn needs_tls(&self) -> bool {
        self.content.attributes.iter().any(|(name, _)| *name == "sslProfile")
    }

    /// The type of entity the flag stands for.
    pub fn kind(&self) -> EntityKind {
        self.content.kind
    }

    /// Adds the flag to the sections of a file; attributes of the router replace those of the file.
    pub fn merge_into(&self, sections: &mut Vec<Section>) {
        merge(sections, self.section());
    }

    fn section(&self) -> Section {
        let position = Position::whole(&self.content.source);
        let attributes = self.content.attributes.iter().map(|(name, value)| Attribute {
            name: (*name).to_owned(),
            position: position.clone(),
            value: Value::String(value.clone()),
            value_position: position.clone(),
        });
        Section {
            name: self.content.kind.name().to_owned(),
            attributes: attributes.collect(),
            position: position.clone(),
        }
    }
}

/// `host:port`, behind `amqp://` or `amqps://` if at all.
struct Place {
    tls: bool,
    host: String,
    port: String,
}

impl Place {
    /// `ports` are those that stand for none, without and with TLS.
    fn parse(value: &str, ports: [&'static str; 2], expected: &'static str) -> Result<Self, FlagError> {
        let (tls, rest) = match value.split_once("://") {
            Some(("amqp", rest)) => (false, rest),
            Some(("amqps", rest)) => (true, rest),
            Some(_) => return Err(FlagError::Form { expected, found: value.to_owned() }),
            None => (false, value),
        };
        let [plain, secure] = ports;
        let default = if tls { secure } else { plain };
        let (host, port) = host_port(rest.trim_end_matches('/'), Some(default), expected)?;
        Ok(Self { tls, host, port })
    }

    fn attributes(self) -> Vec<(&'static str, String)> {
        let mut attributes = vec![("host", self.host), ("port", self.port)];
        if self.tls {
            attributes.push(("sslProfile", COMMAND_LINE_PROFILE.to_owned()));
        }
        attributes
    }
}

/// Splits `host:port`, `:port`, `[v6]:port`, and with a default port also `host` and `[v6]`.
fn host_port(text: &str, default: Option<&str>, expected: &'static str) -> Result<(String, String), FlagError> {
    let form = || FlagError::Form { expected, found: Shortened(text).to_string() };
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or_else(form)?;
        (host, if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or_else(form)?) })
    } else {
        match text.rsplit_once(':') {
            // `::1:80` might mean several things.
            Some((host, _)) if host.contains(':') => return Err(form()),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let port = port.or(default).ok_or_else(form)?;
    if parse_port(port).is_none() {
        return Err(FlagError::Port(port.to_owned()));
    }
    Ok((host.to_owned(), port.to_owned()))
}
