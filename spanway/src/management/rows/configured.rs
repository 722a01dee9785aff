//! Entities that were configured, and what became of them.

use std::collections::HashMap;

use amqp_adaptor::{AutoLinkState, AutoLinkStatus, ConnectorStatus};
use amqp_proto::Value;
use router_core::entity::{Entity, EntityKind, Type};
use router_core::management::{EntityType, Selector};
use router_core::policy::PolicyCounts;
use tcp_adaptor::{OperStatus, Totals};

use super::{Row, of_core};
use crate::cli::VERSION;
use crate::management::Agent;
use crate::management::values::{count, to_amqp};
use crate::router::asking::each;

/// Entities of a type from `offset` on, at most `limit`; and how many there are in all.
pub(super) async fn page(agent: &Agent, kind: EntityKind, offset: usize, limit: usize) -> (Vec<Row>, usize) {
    let (entities, total) = agent.running.with_store(|store| {
        let entities: Vec<Entity> = store.query(Some(kind)).skip(offset).take(limit).cloned().collect();
        (entities, store.query(Some(kind)).count())
    });
    if entities.is_empty() {
        return (Vec::new(), total);
    }
    let status = Status::collect(agent, kind).await;
    (entities.iter().map(|entity| row(agent, entity, &status)).collect(), total)
}

/// The entity with this name and this identity, as far as they are given.
pub(super) async fn find(
    agent: &Agent,
    requested: Option<Selector>,
    name: Option<&str>,
    identity: Option<&str>,
) -> Option<(EntityType, Row)> {
    let meant = |entity: &&Entity| {
        requested.is_none_or(|requested| requested.selects(EntityType::Configured(entity.kind())))
            && name.is_none_or(|name| name == entity.name())
            && identity.is_none_or(|identity| identity == entity.identity())
    };
    let entity = agent.running.with_store(|store| store.query(None).find(meant).cloned())?;
    let status = Status::collect(agent, entity.kind()).await;
    Some((EntityType::Configured(entity.kind()), row(agent, &entity, &status)))
}

fn row(agent: &Agent, entity: &Entity, status: &Status) -> Row {
    let kind = entity.kind();
    let mut row = Row::new(EntityType::Configured(kind), entity.name(), entity.identity());
    for (name, value) in entity.attributes() {
        let secret = kind.descriptor().attribute(name).is_some_and(|attribute| attribute.ty == Type::Secret);
        if !secret {
            row.set(name, to_amqp(value));
        }
    }
    status.add_to(agent, entity, &mut row);
    if of_core(EntityType::Configured(kind)) {
        row.fill(kind.descriptor());
    }
    row
}

/// What is known of entities of a type beyond their configuration.
enum Status {
    Nothing,
    Router,
    Tcp(HashMap<String, TcpStatus>),
    /// Connections of addresses of listeners.
    Addresses(HashMap<String, u64>),
    Policy(PolicyCounts),
    AutoLinks(HashMap<String, AutoLinkStatus>),
    Connectors(HashMap<String, ConnectorStatus>),
}

#[derive(Default)]
struct TcpStatus {
    totals: Totals,
    oper: Option<OperStatus>,
}

impl Status {
    async fn collect(agent: &Agent, kind: EntityKind) -> Self {
        match kind {
            EntityKind::Router => Self::Router,
            EntityKind::TcpListener | EntityKind::TcpConnector => {
                let mut all: HashMap<String, TcpStatus> = HashMap::new();
                for snapshot in each(&agent.workers, |worker| worker.tcp.snapshot()).await {
                    if kind == EntityKind::TcpConnector {
                        for connector in snapshot.connectors {
                            all.entry(connector.name).or_default().totals += connector.totals;
                        }
                        continue;
                    }
                    for listener in snapshot.listeners {
                        let status = all.entry(listener.name).or_default();
                        status.totals += listener.totals;
                        // The first worker's is the listener's.
                        status.oper.get_or_insert(listener.oper);
                    }
                }
                Self::Tcp(all)
            }
            EntityKind::ListenerAddress => {
                let mut all: HashMap<String, u64> = HashMap::new();
                let snapshots = each(&agent.workers, |worker| worker.tcp.snapshot()).await;
                let listeners = snapshots.into_iter().flat_map(|snapshot| snapshot.listeners);
                for (name, opened) in listeners.flat_map(|listener| listener.addresses) {
                    *all.entry(name).or_default() += opened;
                }
                Self::Addresses(all)
            }
            EntityKind::Policy => Self::Policy(agent.running.policy().counts()),
            EntityKind::Connector => Self::Connectors(agent.running.connectors().into_iter().collect()),
            EntityKind::AutoLink => {
                let mut best: HashMap<String, AutoLinkStatus> = HashMap::new();
                let all = each(&agent.workers, |worker| worker.amqp.auto_link_statuses()).await;
                for status in all.into_iter().flatten() {
                    match best.get_mut(&status.name) {
                        Some(known) if known.state >= status.state => {}
                        Some(known) => *known = status,
                        None => drop(best.insert(status.name.clone(), status)),
                    }
                }
                Self::AutoLinks(best)
            }
            _ => Self::Nothing,
        }
    }

    fn add_to(&self, agent: &Agent, entity: &Entity, row: &mut Row) {
        match self {
            Self::Nothing => {}
            Self::Router => {
                row.set("area", "0");
                row.set("version", VERSION);
                row.set("workerThreads", count(agent.workers.len() as u64));
                if let Some(host) = &agent.router.host {
                    row.set("hostName", host.as_str());
                }
            }
            Self::Addresses(all) => {
                row.set("connectionsOpened", count(all.get(entity.name()).copied().unwrap_or(0)));
            }
            Self::Tcp(all) => {
                let none = TcpStatus::default();
                let status = all.get(entity.name()).unwrap_or(&none);
                row.set("connectionsOpened", count(status.totals.connections_opened));
                row.set("connectionsClosed", count(status.totals.connections_closed));
                row.set("bytesIn", count(status.totals.bytes_in));
                row.set("bytesOut", count(status.totals.bytes_out));
                if let Some(oper) = &status.oper {
                    let (state, message) = oper_status(oper);
                    row.set("operStatus", state);
                    row.set("connectionMsg", message);
                }
            }
            Self::Connectors(all) => {
                // One that this version does not put to work has no status.
                let Some(status) = all.get(entity.name()) else { return };
                row.set("connectionStatus", status.state.as_str());
                row.set("connectionMsg", status.message.as_str());
                if !status.failover.is_empty() {
                    row.set("failoverUrls", status.failover.as_str());
                }
            }
            Self::AutoLinks(all) => {
                // Without a connection that it is for it is inactive.
                let status = all.get(entity.name());
                row.set("operStatus", status.map_or("inactive", |status| status.state.as_str()));
                let error = status.and_then(|status| status.last_error.as_deref());
                row.set("lastError", error.map_or(Value::Null, Value::from));
                let link = status.and_then(|status| match status.state {
                    AutoLinkState::Active { link } => Some(link.to_string()),
                    _ => None,
                });
                row.set("linkRef", link.map_or(Value::Null, Value::from));
            }
            Self::Policy(counts) => {
                row.set("connectionsProcessed", count(counts.processed));
                row.set("connectionsDenied", count(counts.denied));
                row.set("connectionsCurrent", count(counts.current));
                row.set("linksDenied", count(counts.links_denied));
                row.set("maxMessageSizeDenied", count(counts.sizes_denied));
                row.set("totalDenials", count(counts.total_denied));
            }
        }
    }
}

fn oper_status(oper: &OperStatus) -> (&'static str, Value) {
    match oper {
        OperStatus::Up { local } => {
            let places: Vec<String> = local.iter().map(ToString::to_string).collect();
            ("up", format!("listening on {}", places.join(", ")).into())
        }
        OperStatus::Unreachable => ("down", "no server for the address".into()),
        OperStatus::Failed { message } => ("down", message.as_str().into()),
        OperStatus::Draining => ("down", "the router is shutting down".into()),
    }
}
