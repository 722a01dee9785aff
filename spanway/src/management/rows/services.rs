//! Services of the network, from the catalogue.

use amqp_proto::Value;
use router_core::catalogue::{Place, Role, Service};
use router_core::entity::OperationalKind;
use router_core::management::EntityType;

use super::Row;
use crate::management::Agent;

/// Services from `offset` on, at most `limit`; and how many there are in all.
pub(super) fn page(agent: &Agent, offset: usize, limit: usize) -> (Vec<Row>, usize) {
    agent.running.services().with(|catalogue| {
        let rows = catalogue.services_from(offset).take(limit).map(|service| row(&service)).collect();
        (rows, catalogue.service_count())
    })
}

/// The service with this name, which is also its identity: its protocol and its address.
pub(super) fn find(agent: &Agent, name: Option<&str>, identity: Option<&str>) -> Option<Row> {
    let wanted = identity.or(name)?;
    let (protocol, address) = wanted.split_once(':')?;
    let found = agent.running.services().with(|catalogue| catalogue.service(address, protocol))?;
    (name.unwrap_or(wanted) == wanted).then(|| row(&found))
}

fn row(service: &Service) -> Row {
    let name = format!("{}:{}", service.protocol, service.address);
    let ids = |role| Value::List(service.places(role).map(|place| Value::from(&*place.site)).collect());
    Row::new(EntityType::Operational(OperationalKind::Service), &name, &name)
        .with("address", &*service.address)
        .with("protocol", &*service.protocol)
        .with("ports", ports(&service.ports()))
        .with("labels", labels(&service.labels()))
        .with("exposedBy", ids(Role::Exposes))
        .with("wantedBy", ids(Role::Wants))
        .with("places", Value::List(service.places.iter().map(place).collect()))
}

fn place(place: &Place) -> Value {
    let role = match place.entry.role {
        Role::Exposes => "exposes",
        Role::Wants => "wants",
    };
    let entries: [(&str, Value); 6] = [
        ("site", (&*place.site).into()),
        ("siteName", (&*place.name).into()),
        ("role", role.into()),
        ("count", i64::from(place.entry.count).into()),
        ("ports", ports(&place.entry.ports)),
        ("labels", labels(&place.entry.labels)),
    ];
    Value::Map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
}

fn ports(ports: &[u16]) -> Value {
    Value::List(ports.iter().map(|port| i64::from(*port).into()).collect())
}

fn labels(labels: &[(std::sync::Arc<str>, std::sync::Arc<str>)]) -> Value {
    Value::Map(labels.iter().map(|(key, value)| (Value::from(&**key), Value::from(&**value))).collect())
}
