//! Entities as rows: names of attributes and their values, whatever they were collected from.

mod configured;
mod policies;
mod services;
mod traffic;

use std::sync::Arc;

use amqp_proto::Value;
use router_core::config::levels::Severity;
use router_core::entity::{EntityDescriptor, LogModule, OperationalKind};
use router_core::management::{EntityType, Selector};
use router_core::routing::{RouterInfo, Routes};

use super::Agent;
use super::response::Failure;
use super::values::count;
use crate::router::asking::each;
use crate::router::worker::Worker;

/// An entity: its attributes that have a value. Those of running traffic are all there, some of them null.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row(Vec<(&'static str, Value)>);

impl Row {
    /// An entity of this type.
    pub(crate) fn new(ty: EntityType, name: &str, identity: &str) -> Self {
        let long_name = ty.descriptor().long_name();
        Self(vec![("name", name.into()), ("identity", identity.into()), ("type", long_name.into())])
    }

    /// Sets an attribute.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.set(name, value);
        self
    }

    /// Sets an attribute.
    pub(crate) fn set(&mut self, name: &'static str, value: impl Into<Value>) {
        let value = value.into();
        match self.0.iter_mut().find(|(other, _)| *other == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    /// Gives the attributes of its type that are not set the value null, which is how the reference's core answers.
    fn fill(&mut self, descriptor: &EntityDescriptor) {
        for attribute in descriptor.attributes {
            if self.get(attribute.name).is_none() {
                self.0.push((attribute.name, Value::Null));
            }
        }
    }

    /// The value of an attribute.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// Its attributes.
    pub(super) fn into_attributes(self) -> impl Iterator<Item = (&'static str, Value)> {
        self.0.into_iter()
    }

    /// As the body of an answer.
    pub(crate) fn into_map(self) -> Value {
        Value::Map(self.0.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

/// Types that the reference's core holds, where unknown attributes are null instead of an error.
pub(crate) const fn of_core(ty: EntityType) -> bool {
    matches!(
        ty,
        EntityType::Operational(
            OperationalKind::RouterMetrics
                | OperationalKind::Link
                | OperationalKind::Address
                | OperationalKind::Connection
        ) | EntityType::Configured(
            router_core::entity::EntityKind::Address | router_core::entity::EntityKind::AutoLink
        )
    )
}

/// Entities of a type from `offset` on, at most `limit`; and how many there are in all.
pub(crate) async fn page(agent: &Agent, ty: EntityType, offset: usize, limit: usize) -> (Vec<Row>, usize) {
    let kind = match ty {
        EntityType::Configured(kind) => return configured::page(agent, kind, offset, limit).await,
        EntityType::Operational(kind) => kind,
    };
    let all = match kind {
        OperationalKind::Link => return traffic::links(agent, offset, limit).await,
        OperationalKind::Address => return traffic::addresses(agent, offset, limit).await,
        OperationalKind::Connection => return traffic::connections(agent, offset, limit).await,
        OperationalKind::TcpConnection => return traffic::flows(agent, offset, limit).await,
        OperationalKind::Service => return services::page(agent, offset, limit),
        OperationalKind::RouterMetrics => vec![traffic::metrics(agent).await],
        OperationalKind::Node => nodes(agent),
        OperationalKind::Management => vec![management()],
        OperationalKind::LogStats => log_stats(agent),
        OperationalKind::VhostStats => policies::stats(agent),
        OperationalKind::VhostUserGroupSettings => policies::groups(agent),
        OperationalKind::Allocator => Vec::new(),
    };
    let total = all.len();
    (all.into_iter().skip(offset).take(limit).collect(), total)
}

/// Closes the connection with this identity.
pub(crate) async fn close_connection(agent: &Agent, identity: &str) {
    let Ok(id) = identity.parse::<u64>() else { return };
    let close =
        move |worker: &Worker| worker.amqp.close_connection(id, "closed by management") || worker.tcp.reset_flow(id);
    each(&agent.workers, close).await;
}

/// Has the frames of the connection with this identity logged, or not any more. False if it is none of AMQP.
pub(crate) async fn trace_connection(agent: &Agent, identity: &str, traced: bool) -> bool {
    let Ok(id) = identity.parse::<u64>() else { return false };
    each(&agent.workers, move |worker: &Worker| worker.amqp.trace_connection(id, traced)).await.contains(&true)
}

/// The agent itself.
pub(crate) fn management() -> Row {
    Row::new(EntityType::Operational(OperationalKind::Management), "self", "self")
}

/// What each part of the router has logged.
fn log_stats(agent: &Agent) -> Vec<Row> {
    let row = |(module, counts): (LogModule, [u64; Severity::ALL.len()])| {
        let identity = format!("logStats/{module}");
        let row = Row::new(EntityType::Operational(OperationalKind::LogStats), module.as_str(), &identity);
        let names = ["debugCount", "infoCount", "warningCount", "errorCount", "criticalCount"];
        names
            .into_iter()
            .zip(counts)
            .fold(row.with("noticeCount", 0_i64), |row, (name, logged)| row.with(name, count(logged)))
    };
    agent.log.handle.counts().into_iter().map(row).collect()
}

/// The routers of the network; none, if this one stands alone.
pub(crate) fn nodes(agent: &Agent) -> Vec<Row> {
    if !agent.router.interior {
        return Vec::new();
    }
    let seen = agent.running.network().get();
    let routes = seen.routes.unwrap_or_else(|| Arc::new(Routes::alone(agent.router.id.as_str().into())));
    // Before the routing protocol runs there is this one.
    let alone = [RouterInfo {
        id: agent.router.id.as_str().into(),
        version: Some(1),
        instance: None,
        link_state: Vec::new(),
        link: None,
        ls_seq: 0,
        mobile_seq: 0,
        addresses: 0,
    }];
    let routers = if seen.routers.is_empty() { &alone[..] } else { &seen.routers };
    let names = |ids: &mut dyn Iterator<Item = &str>| Value::List(ids.map(Value::from).collect());
    let row = |(index, router): (usize, &RouterInfo)| {
        let id = &*router.id;
        let here = id == agent.router.id;
        let at = routes.graph().index_of(id);
        let route = at.and_then(|at| routes.route(at));
        let hop = route.and_then(|route| routes.graph().id(route.next_hop)).filter(|hop| ***hop != *id);
        let origins = at.filter(|_| !here).map(|at| routes.valid_origins(at)).unwrap_or_default();
        let origins = origins.iter().filter_map(|origin| routes.graph().id(*origin)).map(|origin| &**origin);
        let identity = format!("router.node/{id}");
        let number = |n: Option<i64>| n.map_or(Value::Null, Value::from);
        Row::new(EntityType::Operational(OperationalKind::Node), &identity, &identity)
            .with("id", id)
            .with("protocolVersion", number(router.version.map(i64::from)))
            .with("instance", router.instance.unwrap_or(0))
            .with("linkState", names(&mut router.link_state.iter().map(|id| &**id)))
            .with(
                "nextHop",
                if here { Value::from("(self)") } else { hop.map_or(Value::Null, |hop| Value::from(&**hop)) },
            )
            .with("validOrigins", names(&mut origins.filter(|origin| *origin != agent.router.id)))
            .with("address", format!("amqp:/_topo/0/{id}"))
            .with("routerLink", number(router.link.map(|link| i64::try_from(link.0).unwrap_or(i64::MAX))))
            .with("cost", number(route.map(|route| i64::try_from(route.cost).unwrap_or(i64::MAX))))
            .with("lastTopoChange", if here { Value::from(seen.changed as i64) } else { Value::Null })
            .with("index", index as i64)
    };
    // This one first, as the reference has it.
    let mut routers: Vec<&RouterInfo> = routers.iter().collect();
    routers.sort_by_key(|router| *router.id != *agent.router.id);
    routers.into_iter().enumerate().map(row).collect()
}

/// The entity with this name or identity. `requested` says what it must be.
pub(crate) async fn find(
    agent: &Agent,
    requested: Option<Selector>,
    name: Option<&str>,
    identity: Option<&str>,
) -> Result<(EntityType, Row), Failure> {
    if let Some(Selector::One(ty @ EntityType::Operational(kind))) = requested
        && of_core(ty)
    {
        let row = match (kind, name, identity) {
            (OperationalKind::RouterMetrics, ..) => return Err(Failure::forbidden("Forbidden")),
            (OperationalKind::Connection, Some(_), None) => {
                return Err(Failure::bad_request("Name not supported. Identity required"));
            }
            (OperationalKind::Connection, _, Some(identity)) => traffic::connection(agent, identity).await,
            (OperationalKind::Address, name, identity) => match identity.or(name) {
                Some(key) => traffic::address(agent, key).await,
                None => None,
            },
            (_, name, identity) => traffic::link(agent, name, identity).await,
        };
        return row.map(|row| (ty, row)).ok_or_else(|| Failure::not_found("Not Found"));
    }
    if let Some(found) = configured::find(agent, requested, name, identity).await {
        return Ok(found);
    }
    for kind in [
        OperationalKind::Management,
        OperationalKind::Node,
        OperationalKind::LogStats,
        OperationalKind::VhostStats,
        OperationalKind::VhostUserGroupSettings,
    ] {
        let ty = EntityType::Operational(kind);
        let (rows, _) = page(agent, ty, 0, usize::MAX).await;
        let matches = |row: &&Row| {
            let is = |attribute, wanted: Option<&str>| {
                wanted.is_none_or(|wanted| row.get(attribute).and_then(Value::as_str) == Some(wanted))
            };
            is("name", name) && is("identity", identity)
        };
        if let Some(row) = rows.iter().find(matches) {
            return match requested {
                Some(requested) if !requested.selects(ty) => Err(wrong_type(ty, requested)),
                _ => Ok((ty, row.clone())),
            };
        }
    }
    let service = EntityType::Operational(OperationalKind::Service);
    if requested.is_none_or(|requested| requested.selects(service))
        && let Some(row) = services::find(agent, name, identity)
    {
        return Ok((service, row));
    }
    if let Some(Selector::One(ty)) = requested
        && of_core(ty)
    {
        return Err(Failure::not_found("Not Found"));
    }
    // There is one with this name of another type, or there is none.
    match (requested, configured::find(agent, None, name, identity).await) {
        (Some(requested), Some((ty, _))) => Err(wrong_type(ty, requested)),
        _ => Err(not_found(name, identity)),
    }
}

fn wrong_type(ty: EntityType, requested: Selector) -> Failure {
    Failure::bad_request(format!(
        "Entity type '{}' does not extend requested type '{}'",
        ty.descriptor().long_name(),
        requested.long_name()
    ))
}

fn not_found(name: Option<&str>, identity: Option<&str>) -> Failure {
    let ids = [("name", name), ("identity", identity)];
    let ids: Vec<_> = ids.iter().filter_map(|(key, value)| value.map(|value| format!("{key}={value}"))).collect();
    Failure::not_found(format!("No entity with {}", ids.join(" ")))
}
