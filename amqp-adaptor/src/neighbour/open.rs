//! What routers tell each other in `open`.

use amqp_proto::{Fields, Open, Symbol, Symbols, Value};

use super::ConnectionRole;
use crate::config::Failover;

/// `product` of our routers.
pub(crate) const PRODUCT: &str = "spanway";

/// The version of the router-annotations section.
const ANNOTATIONS_VERSION: i32 = 2;

/// Our own property: how many workers a router has, each of which wants a data connection.
const WORKERS: &str = "spanway.workers";

/// Other places to connect to.
const FAILOVER: &str = "failover-server-list";

/// What a listener's record is called, so that the connector's can name it.
const ACCESS: &str = "qd.access-id";

/// The most workers that a peer is believed to have.
const MAX_WORKERS: u32 = 64;

/// Entries of a failover list that are kept, and the longest name in one.
const MAX_FAILOVER: usize = 32;
const MAX_NAME: usize = 255;

/// What a connection says of itself.
#[derive(Debug)]
pub(crate) struct Ours<'a> {
    pub(crate) id: u64,
    pub(crate) version: &'a str,
    pub(crate) role: ConnectionRole,
    pub(crate) cost: u32,
    pub(crate) workers: u32,
    /// Correlator and, with TLS, ordinal: only from the connecting side.
    pub(crate) group: Option<(&'a str, Option<u64>)>,
    /// Where else to connect to: only from the accepting side.
    pub(crate) failover: &'a [Failover],
    /// The identity of the listener's flow record: only from the accepting side.
    pub(crate) access: Option<&'a str>,
    /// Properties of the user's own.
    pub(crate) custom: &'a [(String, Value)],
}

/// The properties of our open.
pub(crate) fn properties(ours: &Ours<'_>) -> Fields {
    let id =
        i32::try_from(ours.id).map_or_else(|_| Value::Long(i64::try_from(ours.id).unwrap_or(i64::MAX)), Value::Int);
    let mut entries =
        vec![("product", Value::from(PRODUCT)), ("version", Value::from(ours.version)), ("qd.conn-id", id)];
    if ours.role.is_router() {
        if ours.cost > 1 && ours.role.has_cost() {
            entries.push(("qd.inter-router-cost", Value::Int(i32::try_from(ours.cost).unwrap_or(i32::MAX))));
        }
        if matches!(ours.role, ConnectionRole::InterRouter | ConnectionRole::Edge) {
            entries.push(("qd.annotations-version", Value::Int(ANNOTATIONS_VERSION)));
        }
        if ours.role == ConnectionRole::InterRouterData {
            entries.push(("qd.inter-router-role", Value::Int(ours.role.number())));
        }
        if let Some((correlator, ordinal)) = ours.group {
            entries.push(("qd.group-correlator", Value::from(correlator)));
            if let Some(ordinal) = ordinal {
                entries.push(("qd.group-ordinal", Value::Ulong(ordinal)));
            }
        }
        if let Some(access) = ours.access {
            entries.push((ACCESS, Value::from(access)));
        }
        entries.push((WORKERS, Value::Int(i32::try_from(ours.workers).unwrap_or(i32::MAX))));
    } else {
        entries.extend(ours.custom.iter().map(|(key, value)| (key.as_str(), value.clone())));
    }
    if !ours.failover.is_empty() {
        entries.push((FAILOVER, Value::List(ours.failover.iter().map(Failover::value).collect())));
    }
    Fields::from_entries(entries)
}

impl Failover {
    fn value(&self) -> Value {
        let known = [("network-host", Some(&self.host)), ("port", Some(&self.port)), ("scheme", self.scheme.as_ref())];
        let known =
            known.into_iter().filter_map(|(key, text)| Some((Value::Symbol(key.into()), text?.as_str().into())));
        Value::Map(known.collect())
    }
}

/// Whether the peer is a router, of this network or another, that may send streams on links of their own.
pub(crate) const fn is_trunk(role: ConnectionRole) -> bool {
    role.is_router() || matches!(role, ConnectionRole::InterNetwork)
}

/// Capabilities of our open, offered and desired alike where the peer is a router. `read`: annotations of clients are read.
pub(crate) fn capabilities(role: ConnectionRole, read: bool) -> Symbols {
    match role {
        // The peer may be a router of another kind of network, which sends streams on links of their own. Only annotations say where those go.
        ConnectionRole::Normal | ConnectionRole::RouteContainer if read => {
            Symbols::from_iter(["ANONYMOUS-RELAY", "qd.streaming-links"])
        }
        ConnectionRole::Normal | ConnectionRole::RouteContainer => Symbols::from_iter(["ANONYMOUS-RELAY"]),
        ConnectionRole::InterEdge => Symbols::from_iter([
            "ANONYMOUS-RELAY",
            "qd.streaming-links",
            "qd.connection_trunking",
            "qd.router-inter-edge",
        ]),
        _ => Symbols::from_iter(["ANONYMOUS-RELAY", "qd.streaming-links", "qd.connection_trunking"]),
    }
}

/// What a peer's open says, as far as it is of use. What is missing or of an unknown form has its default.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Theirs {
    pub(crate) product: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) cost: u32,
    /// The peer wants the connection to be one for data.
    pub(crate) data: bool,
    /// Correlator and ordinal of its group.
    pub(crate) group: Option<(String, u64)>,
    pub(crate) workers: u32,
    /// The version of its router annotations.
    pub(crate) annotations: Option<u32>,
    /// The identity of its listener's flow record.
    pub(crate) access: Option<String>,
    /// It takes links of its own for streams.
    pub(crate) streaming_links: bool,
    /// It spreads streams over data connections.
    pub(crate) trunking: bool,
    /// Where else to connect to; `None`: nothing was said.
    pub(crate) failover: Option<Vec<Place>>,
}

/// A host to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The name to ask for, if it is not the host.
    pub(crate) hostname: Option<String>,
}

impl Theirs {
    /// Reads an open. A key that is no symbol ends the reading of the properties, as in the reference.
    pub(crate) fn read(open: &Open) -> Self {
        let offers = |name: &str| open.offered_capabilities.contains(name);
        let mut theirs = Self {
            cost: 1,
            workers: 0,
            streaming_links: offers("qd.streaming-links"),
            trunking: offers("qd.connection_trunking"),
            ..Self::default()
        };
        let (mut correlator, mut ordinal) = (None, 0);
        for (key, value) in open.properties.iter().flat_map(Fields::iter) {
            let Ok(key) = key.decode_as::<Symbol>() else { break };
            let Ok(value) = value.to_value() else { continue };
            match key.as_str() {
                "product" => theirs.product = text(&value),
                "version" => theirs.version = text(&value),
                "qd.inter-router-cost" => theirs.cost = number(&value).unwrap_or(1).max(1),
                "qd.inter-router-role" => {
                    theirs.data = value.as_i64() == Some(ConnectionRole::InterRouterData.number().into());
                }
                "qd.group-correlator" => correlator = text(&value).filter(|c| !c.is_empty()),
                "qd.group-ordinal" => ordinal = value.as_u64().unwrap_or(0),
                ACCESS => theirs.access = text(&value),
                "qd.annotations-version" => theirs.annotations = number(&value),
                WORKERS => theirs.workers = number(&value).unwrap_or(0).min(MAX_WORKERS),
                FAILOVER => theirs.failover = Some(failover(&value)),
                _ => {}
            }
        }
        theirs.group = correlator.map(|correlator| (correlator, ordinal));
        theirs
    }

    /// Whether the peer is a router of ours.
    pub(crate) fn is_ours(&self) -> bool {
        self.product.as_deref() == Some(PRODUCT)
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| text.len() <= MAX_NAME).map(str::to_owned)
}

fn number(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|n| u32::try_from(n).ok())
}

fn failover(value: &Value) -> Vec<Place> {
    let places = value.as_list().unwrap_or_default().iter().filter_map(|entry| {
        let host = entry.get("network-host").and_then(text).filter(|host| is_host(host))?;
        let port = match entry.get("port")? {
            Value::String(port) => match port.as_str() {
                "amqp" => 5672,
                "amqps" => 5671,
                digits => digits.parse().ok()?,
            },
            port => u16::try_from(port.as_u64()?).ok()?,
        };
        Some(Place { host, port, hostname: entry.get("hostname").and_then(text) })
    });
    places.filter(|place| place.port > 0).take(MAX_FAILOVER).collect()
}

/// A name or an address, as far as its characters go. It may end up in a request to a proxy.
fn is_host(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:[]%".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(role: ConnectionRole) -> Ours<'static> {
        Ours {
            id: 7,
            version: "1",
            role,
            cost: 5,
            workers: 3,
            group: Some(("abc", Some(2))),
            failover: &[],
            access: Some("abcde:2"),
            custom: &[],
        }
    }

    fn open(properties: Fields, role: ConnectionRole) -> Open {
        Open { properties: Some(properties), offered_capabilities: capabilities(role, false), ..Open::default() }
    }

    #[test]
    fn what_we_say_is_what_we_read() {
        let theirs = Theirs::read(&open(properties(&ours(ConnectionRole::InterRouter)), ConnectionRole::InterRouter));
        let expected = Theirs {
            product: Some("spanway".into()),
            version: Some("1".into()),
            cost: 5,
            data: false,
            group: Some(("abc".into(), 2)),
            workers: 3,
            annotations: Some(2),
            access: Some("abcde:2".into()),
            streaming_links: true,
            trunking: true,
            failover: None,
        };
        assert_eq!(theirs, expected);
        assert!(theirs.is_ours());
        let data = Theirs::read(&open(properties(&ours(ConnectionRole::InterRouterData)), ConnectionRole::Normal));
        assert!(data.data && !data.trunking);
    }

    #[test]
    fn clients_are_told_nothing_about_networks() {
        let fields = properties(&Ours { custom: &[("mine".into(), Value::Uint(1))], ..ours(ConnectionRole::Normal) });
        let keys: Vec<String> = fields.iter().map(|(k, _)| k.decode_as::<Symbol>().unwrap().to_string()).collect();
        assert_eq!(keys, ["product", "version", "qd.conn-id", "mine"]);
    }

    #[test]
    fn properties_that_make_no_sense_are_defaults() {
        let odd = Fields::from_entries([
            ("qd.inter-router-cost", Value::from("dear")),
            ("qd.group-correlator", Value::Int(4)),
            ("qd.group-ordinal", Value::Int(-1)),
            ("qd.inter-router-role", Value::Null),
            (WORKERS, Value::Uint(1_000_000)),
            ("product", Value::from("x".repeat(300))),
            ("failover-server-list", Value::Uint(3)),
        ]);
        let theirs = Theirs::read(&open(odd, ConnectionRole::Normal));
        assert_eq!(theirs, Theirs { cost: 1, workers: MAX_WORKERS, failover: Some(Vec::new()), ..Theirs::default() });
        // Of other keys than symbols, nothing behind is read.
        let map = Value::Map(vec![
            (Value::from("qd.inter-router-cost"), Value::Int(9)),
            (Value::Symbol("qd.inter-router-cost".into()), Value::Int(9)),
        ]);
        let strings = amqp_proto::Raw::from(&map).decode_as::<Fields>().unwrap();
        assert_eq!(Theirs::read(&open(strings, ConnectionRole::Normal)).cost, 1);
    }

    #[test]
    fn failover_lists() {
        let entry = |host: &str, port: Value| {
            Value::Map(vec![
                (Value::Symbol("network-host".into()), Value::from(host)),
                (Value::Symbol("port".into()), port),
                (Value::Symbol("hostname".into()), Value::from("name")),
            ])
        };
        let list = vec![
            entry("a", Value::from("amqps")),
            entry("b", Value::from("77")),
            entry("c", Value::Ushort(8)),
            entry("", Value::from("1")),
            entry("a\r\nb", Value::from("1")),
            entry("d", Value::from("0")),
            entry("e", Value::from("none")),
            Value::Null,
        ];
        let found: Vec<(String, u16)> = failover(&Value::List(list)).into_iter().map(|p| (p.host, p.port)).collect();
        assert_eq!(found, [("a".into(), 5671), ("b".into(), 77), ("c".into(), 8)]);
        assert_eq!(failover(&Value::List(vec![entry("a", Value::from("1")); 1000])).len(), MAX_FAILOVER);
    }
}
