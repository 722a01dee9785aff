//! Whether the router does what it was configured for.

use amqp_adaptor::{ConnectorState, ConnectorStatus};
use router_core::entity::{AnyEntity, Entity, Role};
use transport::WorkerHandle;

use super::report::LinkUp;
use crate::router::asking::each;

/// One condition of readiness.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    /// What is looked at, such as `link east`.
    pub(crate) name: String,
    /// It depends on another router.
    pub(crate) is_link: bool,
    /// `Err`: why it is not so.
    pub(crate) result: Result<(), String>,
}

/// Each TCP listener: open, or closed on purpose. Those for AMQP are open since the router runs, or it would not.
pub(super) async fn listening(workers: &[WorkerHandle]) -> Vec<Check> {
    let mut failed = Vec::new();
    for listener in each(workers, |worker| worker.tcp.snapshot().listeners).await.into_iter().flatten() {
        if let tcp_adaptor::OperStatus::Failed { message } = listener.oper {
            let name = format!("tcpListener {}", listener.name);
            failed.push(Check { name, is_link: false, result: Err(message) });
        }
    }
    if failed.is_empty() {
        failed.push(Check { name: "listening".to_owned(), is_link: false, result: Ok(()) });
    }
    failed
}

/// How the connector of an entity is, if it is one to another router.
pub(super) fn link(entity: &Entity, states: &[(String, ConnectorStatus)]) -> Option<LinkUp> {
    let AnyEntity::Connector(connector) = AnyEntity::from(entity) else { return None };
    let role = match connector.role {
        Role::Normal | Role::RouteContainer => return None,
        role => role.as_str(),
    };
    let (_, status) = states.iter().find(|(name, _)| name == entity.name())?;
    let state = match status.state {
        ConnectorState::Success => Ok(()),
        ConnectorState::Connecting => Err(status.message.clone()),
    };
    let place = format!("{}:{}", connector.host, connector.port.number());
    Some(LinkUp { name: entity.name().to_owned(), role, place, state })
}

/// A connector to another router has its connection.
pub(super) fn linked(link: LinkUp) -> Check {
    let LinkUp { name, place, state, .. } = link;
    Check { name: format!("link {name}"), is_link: true, result: state.map_err(|why| format!("{place}: {why}")) }
}
