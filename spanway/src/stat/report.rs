//! Which entities a report shows, and how each becomes a line.

use amqp_proto::Value;

use crate::cli::stat::What;
use crate::client::entities::{Entities, Line};
use crate::client::format::plain;
use crate::client::table::{Align, aligned, shown};

/// One type of entities in a report.
pub(super) struct Part {
    /// Its short name.
    pub(super) entity: &'static str,
    title: &'static str,
    /// What to say when there are none.
    empty: &'static str,
    /// Which entities are shown.
    only: fn(&Line<'_>) -> bool,
    shape: Shape,
}

enum Shape {
    /// A line for each entity.
    Columns(&'static [Column]),
    /// A line for each attribute; an attribute of this and the next part.
    Facts(&'static [Fact]),
}

/// What a column is called, how it is aligned, and what stands in it.
type Column = (&'static str, Align, fn(&Line<'_>) -> String);

/// What a fact is called, and what it says.
type Fact = (&'static str, fn(&Line<'_>) -> String);

use Align::{Left, Right};

const CONNECTIONS: &[Column] = &[
    ("id", Right, |l| l.text("identity")),
    ("host", Left, |l| l.text("host")),
    ("container", Left, |l| l.text("container")),
    ("role", Left, |l| l.text("role")),
    ("protocol", Left, |l| l.text("protocol")),
    ("dir", Left, |l| l.text("dir")),
    ("security", Left, security),
    ("user", Left, user),
    ("uptime", Right, |l| l.since("uptimeSeconds")),
];

const LINKS: &[Column] = &[
    ("id", Right, |l| l.text("identity")),
    ("connection", Right, |l| l.text("connectionId")),
    ("type", Left, |l| l.text("linkType")),
    ("dir", Left, |l| l.text("linkDir")),
    ("address", Left, |l| l.address("owningAddr")),
    ("capacity", Right, |l| l.text("capacity")),
    ("credit", Right, |l| l.text("creditAvailable")),
    ("waiting", Right, |l| l.text("undeliveredCount")),
    ("unsettled", Right, |l| l.text("unsettledCount")),
    ("deliveries", Right, |l| l.text("deliveryCount")),
    ("presettled", Right, |l| l.text("presettledCount")),
    ("dropped", Right, |l| l.text("droppedPresettledCount")),
    ("accepted", Right, |l| l.text("acceptedCount")),
    ("rejected", Right, |l| l.text("rejectedCount")),
    ("released", Right, |l| l.text("releasedCount")),
    ("modified", Right, |l| l.text("modifiedCount")),
    ("name", Left, |l| l.text("linkName")),
];

const ADDRESSES: &[Column] = &[
    ("address", Left, |l| l.address("name")),
    ("distribution", Left, |l| l.text("distribution")),
    ("priority", Right, |l| l.get("priority").as_u64().map_or_else(|| "-".to_owned(), |priority| priority.to_string())),
    ("local", Right, |l| l.text("subscriberCount")),
    ("remote", Right, |l| l.text("remoteCount")),
    ("in router", Right, |l| l.text("inProcess")),
    ("in", Right, |l| l.text("deliveriesIngress")),
    ("out", Right, |l| l.text("deliveriesEgress")),
    ("through", Right, |l| l.text("deliveriesTransit")),
    ("to router", Right, |l| l.text("deliveriesToContainer")),
    ("from router", Right, |l| l.text("deliveriesFromContainer")),
];

const NODES: &[Column] = &[
    ("router", Left, |l| l.text("id")),
    ("next hop", Left, |l| l.text("nextHop")),
    ("cost", Right, |l| l.text("cost")),
    ("neighbours", Left, |l| list(l.get("linkState"))),
    ("valid origins", Left, |l| list(l.get("validOrigins"))),
];

const CONNECTORS: &[Column] = &[
    ("connector", Left, |l| l.text("name")),
    ("role", Left, |l| l.text("role")),
    ("host", Left, |l| l.text("host")),
    ("port", Left, |l| l.text("port")),
    ("cost", Right, |l| l.text("cost")),
    ("TLS", Left, |l| l.text("sslProfile")),
    ("status", Left, |l| l.text("connectionStatus")),
    ("message", Left, |l| l.text("connectionMsg")),
];

const AUTO_LINKS: &[Column] = &[
    ("auto-link", Left, |l| l.text("name")),
    ("dir", Left, |l| l.text("direction")),
    ("address", Left, |l| l.text("address")),
    ("there", Left, |l| l.text("externalAddress")),
    ("connection", Left, |l| l.text("connection")),
    ("container", Left, |l| l.text("containerId")),
    ("status", Left, |l| l.text("operStatus")),
    ("link", Right, |l| l.text("linkRef")),
    ("last error", Left, |l| l.text("lastError")),
];

const TCP_LISTENERS: &[Column] = &[
    ("listener", Left, |l| l.text("name")),
    ("address", Left, |l| l.text("address")),
    ("host", Left, |l| l.text("host")),
    ("port", Left, |l| l.text("port")),
    ("TLS", Left, |l| l.text("sslProfile")),
    ("status", Left, |l| l.text("operStatus")),
    ("open", Right, open),
    ("opened", Right, |l| l.text("connectionsOpened")),
    ("in", Right, |l| l.size("bytesIn")),
    ("out", Right, |l| l.size("bytesOut")),
    ("message", Left, |l| l.text("connectionMsg")),
];

const TCP_CONNECTORS: &[Column] = &[
    ("connector", Left, |l| l.text("name")),
    ("address", Left, |l| l.text("address")),
    ("host", Left, |l| l.text("host")),
    ("port", Left, |l| l.text("port")),
    ("TLS", Left, |l| l.text("sslProfile")),
    ("open", Right, open),
    ("opened", Right, |l| l.text("connectionsOpened")),
    ("in", Right, |l| l.size("bytesIn")),
    ("out", Right, |l| l.size("bytesOut")),
];

const LOGS: &[Column] = &[
    ("module", Left, |l| l.text("module")),
    ("enable", Left, |l| l.text("enable")),
    ("output", Left, |l| l.text("outputFile")),
];

const ROUTER: &[Fact] = &[
    ("id", |l| l.text("id")),
    ("mode", |l| l.text("mode")),
    ("host", |l| l.text("hostName")),
    ("worker threads", |l| l.text("workerThreads")),
    ("default distribution", |l| l.text("defaultDistribution")),
    ("metadata", |l| l.text("metadata")),
];

const METRICS: &[Fact] = &[
    ("version", |l| l.text("version")),
    ("uptime", |l| l.since("uptimeSeconds")),
    ("memory", |l| l.size("residentMemoryUsage")),
    ("connections", |l| l.text("connectionCount")),
    ("links", |l| l.text("linkCount")),
    ("addresses", |l| l.text("addrCount")),
    ("other routers", |l| l.text("nodeCount")),
    ("deliveries in", |l| l.text("deliveriesIngress")),
    ("deliveries out", |l| l.text("deliveriesEgress")),
    ("deliveries through", |l| l.text("deliveriesTransit")),
    ("accepted", |l| l.text("acceptedDeliveries")),
    ("rejected", |l| l.text("rejectedDeliveries")),
    ("released", |l| l.text("releasedDeliveries")),
    ("modified", |l| l.text("modifiedDeliveries")),
    ("presettled", |l| l.text("presettledDeliveries")),
    ("presettled, dropped", |l| l.text("droppedPresettledDeliveries")),
];

/// What a report consists of.
pub(super) fn parts(what: What) -> Vec<Part> {
    let part = |entity, title, empty, shape| Part { entity, title, empty, only: |_| true, shape };
    match what {
        What::Router => vec![
            part("router", "", "no router", Shape::Facts(ROUTER)),
            part("routerMetrics", "", "no counters", Shape::Facts(METRICS)),
        ],
        What::Connections => vec![part("connection", "", "no connections", Shape::Columns(CONNECTIONS))],
        What::Links => vec![part("router.link", "", "no links", Shape::Columns(LINKS))],
        What::Addresses => vec![part("router.address", "", "no addresses in use", Shape::Columns(ADDRESSES))],
        What::Nodes => {
            vec![part("router.node", "", "no routers: this one is not part of a network", Shape::Columns(NODES))]
        }
        What::Edges => {
            let mut edges = part("connection", "", "no connections of edge routers", Shape::Columns(CONNECTIONS));
            edges.only = |line| line.get("role").as_str() == Some("edge");
            vec![edges]
        }
        What::Connectors => vec![part("connector", "", "no connectors", Shape::Columns(CONNECTORS))],
        What::AutoLinks => vec![part("router.config.autoLink", "", "no auto-links", Shape::Columns(AUTO_LINKS))],
        What::Tcp => vec![
            part("tcpListener", "TCP listeners", "none", Shape::Columns(TCP_LISTENERS)),
            part("tcpConnector", "TCP connectors", "none", Shape::Columns(TCP_CONNECTORS)),
        ],
        What::Log => vec![part("log", "", "no log settings", Shape::Columns(LOGS))],
    }
}

impl Part {
    /// Keeps the entities that this part shows.
    pub(super) fn choose(&self, entities: &mut Entities) {
        let Entities { columns, rows } = entities;
        rows.retain(|cells| (self.only)(&Line { columns, cells }));
    }

    fn write(&self, entities: &Entities, out: &mut String) {
        if !self.title.is_empty() {
            out.push_str(&format!("{}:\n", self.title));
        }
        if entities.rows.is_empty() {
            out.push_str(&format!("{}\n", self.empty));
            return;
        }
        match &self.shape {
            Shape::Columns(columns) => {
                let heads: Vec<_> = columns.iter().map(|(head, align, _)| (*head, *align)).collect();
                let rows: Vec<Vec<String>> =
                    entities.lines().map(|line| columns.iter().map(|(_, _, cell)| cell(&line)).collect()).collect();
                out.push_str(&aligned(&heads, &rows));
            }
            Shape::Facts(facts) => {
                for line in entities.lines() {
                    for (name, fact) in *facts {
                        out.push_str(&format!("{name:<22}{}\n", fact(&line)));
                    }
                }
            }
        }
    }
}

/// A report for people.
pub(super) fn tables(parts: &[(Part, Entities)]) -> String {
    let mut out = String::new();
    for (at, (part, entities)) in parts.iter().enumerate() {
        if at > 0 && !part.title.is_empty() {
            out.push('\n');
        }
        part.write(entities, &mut out);
    }
    out
}

fn security(line: &Line<'_>) -> String {
    match line.get("sslProto").as_str() {
        Some(_) => format!("{} {}", line.text("sslProto"), line.text("sslCipher")),
        None if line.yes("isEncrypted") => "encrypted".to_owned(),
        None => "none".to_owned(),
    }
}

fn user(line: &Line<'_>) -> String {
    match line.get("sasl").as_str() {
        _ if !line.yes("isAuthenticated") => "-".to_owned(),
        None => line.text("user"),
        Some("ANONYMOUS") => "anonymous".to_owned(),
        Some(_) => format!("{} ({})", line.text("user"), line.text("sasl")),
    }
}

fn open(line: &Line<'_>) -> String {
    line.number("connectionsOpened").saturating_sub(line.number("connectionsClosed")).to_string()
}

fn list(value: &Value) -> String {
    let items: Vec<String> = value.as_list().unwrap_or_default().iter().map(|item| shown(&plain(item))).collect();
    if items.is_empty() { "-".to_owned() } else { items.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(what: What, entities: Vec<Entities>) -> String {
        let parts = parts(what).into_iter().zip(entities).map(|(part, mut entities)| {
            part.choose(&mut entities);
            (part, entities)
        });
        tables(&parts.collect::<Vec<_>>())
    }

    fn entities(columns: &[&str], rows: Vec<Vec<Value>>) -> Entities {
        Entities { columns: columns.iter().map(|name| (*name).to_owned()).collect(), rows }
    }

    #[test]
    fn connections_say_how_they_are_secured() {
        let columns = [
            "identity",
            "host",
            "role",
            "isEncrypted",
            "isAuthenticated",
            "sslProto",
            "sslCipher",
            "sasl",
            "user",
            "uptimeSeconds",
        ];
        let text = report(
            What::Connections,
            vec![entities(
                &columns,
                vec![
                    vec![
                        "1".into(),
                        "h:1".into(),
                        "normal".into(),
                        false.into(),
                        false.into(),
                        Value::Null,
                        Value::Null,
                        Value::Null,
                        Value::Null,
                        3_u64.into(),
                    ],
                    vec![
                        "12".into(),
                        "h:2".into(),
                        "normal".into(),
                        true.into(),
                        true.into(),
                        "TLSv1.3".into(),
                        "X".into(),
                        "EXTERNAL".into(),
                        "CN=a".into(),
                        70_u64.into(),
                    ],
                ],
            )],
        );
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(lines[1].starts_with(" 1  h:1") && lines[1].contains("none"), "{text}");
        assert!(
            lines[2].contains("TLSv1.3 X") && lines[2].contains("CN=a (EXTERNAL)") && lines[2].ends_with("1m10s"),
            "{text}"
        );
    }

    #[test]
    fn edges_are_connections_of_that_role() {
        let all =
            entities(&["identity", "role"], vec![vec!["1".into(), "normal".into()], vec!["2".into(), "edge".into()]]);
        let text = report(What::Edges, vec![all]);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert_eq!(report(What::Edges, vec![Entities::default()]), "no connections of edge routers\n");
    }

    #[test]
    fn addresses_are_shown_without_their_letter() {
        let rows = vec![vec!["Mnews/a".into()], vec!["L$management".into()], vec![Value::Null]];
        let text = report(What::Addresses, vec![entities(&["name"], rows)]);
        let first: Vec<&str> = text.lines().map(|line| line.split("  ").next().unwrap_or_default()).collect();
        assert_eq!(first, ["address", "news/a", "$management (local)", "-"]);
    }

    #[test]
    fn every_report_can_be_empty() {
        use clap::ValueEnum as _;
        for what in What::value_variants() {
            let none = parts(*what).iter().map(|_| Entities::default()).collect();
            assert!(!report(*what, none).is_empty());
        }
    }
}
