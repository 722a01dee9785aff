//! What control makes of neighbours.

use std::convert::Infallible;

use amqp_adaptor::{NeighbourEvent, Neighbours};
use transport::MailReceiver;

/// Follows what happens with neighbours, for the log: the routing protocol is not spoken yet.
pub(crate) async fn watch(network: Option<(Neighbours, MailReceiver<NeighbourEvent>)>) -> Infallible {
    if let Some((_, mut events)) = network {
        let mut batch = Vec::new();
        while events.drain(&mut batch).await.is_ok() {
            for event in batch.drain(..) {
                note(&event);
            }
        }
    }
    std::future::pending().await
}

fn note(event: &NeighbourEvent) {
    match event {
        NeighbourEvent::Opened(info) => {
            tracing::debug!(target: "ROUTER_CORE", "[C{}] Router {} is connected", info.conn.id, info.container);
        }
        NeighbourEvent::ControlUp { conn, .. } => {
            tracing::info!(target: "ROUTER_CORE", "[C{}] Links to the neighbour are attached", conn.id);
        }
        NeighbourEvent::Control { conn, message } => {
            tracing::debug!(target: "ROUTER_CORE", "[C{}] Control message of {} bytes", conn.id, message.len());
        }
        NeighbourEvent::ControlDown { conn, reason } => {
            tracing::info!(target: "ROUTER_CORE", "[C{}] Control link lost: {reason}", conn.id);
        }
        // Logged where it was noticed.
        NeighbourEvent::GroupSplit { .. } => {}
        NeighbourEvent::Closed { conn, reason } => {
            tracing::debug!(target: "ROUTER_CORE", "[C{}] Neighbour gone: {reason}", conn.id);
        }
    }
}
