//! Vhosts: what they have counted, and what their groups of users may do.

use std::collections::BTreeMap;

use amqp_proto::Value;
use router_core::entity::OperationalKind;
use router_core::management::EntityType;

use super::Row;
use crate::management::Agent;
use crate::management::values::{count, names, to_amqp};

pub(super) fn stats(agent: &Agent) -> Vec<Row> {
    let by_name = |all: &BTreeMap<String, Vec<String>>| {
        let entry =
            |(key, of): (&String, &Vec<String>)| (Value::from(key.as_str()), names(of.iter().map(String::as_str)));
        Value::Map(all.iter().map(entry).collect())
    };
    let statuses = agent.running.policy().vhost_statuses();
    let row = |(hostname, status): &(std::sync::Arc<str>, router_core::policy::VhostStatus)| {
        let identity = format!("vhostStats/{hostname}");
        Row::new(EntityType::Operational(OperationalKind::VhostStats), &identity, &identity)
            .with("hostname", &**hostname)
            .with("connectionsApproved", count(status.approved))
            .with("connectionsDenied", count(status.denied))
            .with("connectionsCurrent", count(status.current))
            .with("perUserState", by_name(&status.by_user))
            .with("perHostState", by_name(&status.by_host))
            .with("sessionDenied", count(status.denials.sessions))
            .with("senderDenied", count(status.denials.senders))
            .with("receiverDenied", count(status.denials.receivers))
            .with("maxMessageSizeDenied", count(status.denials.sizes))
    };
    statuses.iter().map(row).collect()
}

pub(super) fn groups(agent: &Agent) -> Vec<Row> {
    let mut rows = Vec::new();
    for vhost in agent.running.policy().vhosts() {
        for group in vhost.groups() {
            let identity = format!("vhostUserGroupSettings/{}/{}", vhost.hostname, group.name);
            let ty = EntityType::Operational(OperationalKind::VhostUserGroupSettings);
            let row = Row::new(ty, &identity, &identity);
            rows.push(group.settings.iter().fold(row, |row, (name, value)| row.with(name, to_amqp(value))));
        }
    }
    rows
}
