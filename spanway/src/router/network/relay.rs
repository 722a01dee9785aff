//! Messages of the routing protocol on their way: ours go out, those of others are read and passed on.

use std::time::Instant;

use amqp_adaptor::{ControlMessage, NeighbourConn};
use bytes::Bytes;
use router_core::annotations::{Annotations, Parsed, parse};
use router_core::routing::codec::{self, decode, encode};
use router_core::routing::{LinkId, Message, Target};

use super::Network;

impl Network {
    /// Sends a message of ours.
    pub(super) fn send(&mut self, to: &Target, message: &Message) {
        let Some(routing) = &self.routing else { return };
        let routes = routing.routes();
        log(format_args!("Sent"), message);
        let links = match to {
            Target::Hop(link) => vec![*link],
            Target::Router(id) => routes.toward(id, []).into_iter().collect(),
            Target::AllRouters if message.is_mobile() => routes.spread(routing.id()),
            Target::AllRouters => routing.flood([]),
        };
        let annotations = Annotations { ingress: Some(&self.name), ..Annotations::default() };
        self.transmit(&links, &annotations, &encode(message, to), matches!(message, Message::Hello(_)));
    }

    fn transmit(&self, links: &[LinkId], annotations: &Annotations<'_>, rest: &[u8], hello: bool) {
        let mut bytes = Vec::with_capacity(rest.len() + 128);
        annotations.compose(Some(&self.name), &mut bytes);
        bytes.extend_from_slice(rest);
        let bytes = Bytes::from(bytes);
        for link in links {
            if let Some(info) = self.conns.get(&link.0) {
                self.neighbours.send_control(info.conn, ControlMessage { bytes: bytes.clone(), hello });
            }
        }
    }

    /// A message came on a control link: it is for us, for others, or for all.
    pub(super) fn control_message(&mut self, conn: NeighbourConn, bytes: &Bytes, now: Instant) {
        let Some(routing) = &mut self.routing else { return };
        let (annotations, size) = match parse(bytes) {
            Ok(Parsed::Found(annotations, size)) => (annotations, size),
            Ok(Parsed::Absent) => (Annotations::default(), 0),
            Ok(Parsed::Incomplete(_)) => return malformed(conn, &"the router annotations are not complete"),
            Err(error) => return malformed(conn, &error),
        };
        let rest = bytes.slice(size..);
        let Some(destination) = destination(&rest, routing.id()) else {
            return malformed(conn, &"its address is none of the routing protocol");
        };
        let passed = |name: &str| name.strip_prefix("0/").map_or_else(|| name.to_owned(), str::to_owned);
        let trace: Vec<String> = annotations.trace.iter().map(passed).collect();
        let trace = || trace.iter().map(String::as_str);
        let mobile = destination.mobile;
        if let To::All = destination.to
            && !mobile
        {
            // A second copy has nothing new, neither for us nor for others.
            let here = trace().any(|id| *id == **routing.id());
            if here || !self.guard.is_first((annotations.ingress, &rest[..]), now) {
                return;
            }
        }
        if !matches!(destination.to, To::Router(_)) {
            match decode(&rest, &mut self.interner) {
                Ok(message) => {
                    log(format_args!("[C{}] Received", conn.id), &message);
                    routing.handle_message(LinkId(conn.id), &message, now);
                }
                Err(error) => return malformed(conn, &error),
            }
        }
        let links = match &destination.to {
            To::Me => Vec::new(),
            To::Router(id) => routing.routes().toward(id, trace()).into_iter().collect(),
            To::All if mobile => {
                let origin = annotations.ingress.map(passed).unwrap_or_default();
                routing.routes().spread(&origin)
            }
            // After it was handled: it may be the news of a link that is gone.
            To::All => routing.flood(trace()),
        };
        if !links.is_empty() {
            self.transmit(&links, &annotations, &rest, false);
        }
    }
}

fn log(what: std::fmt::Arguments<'_>, message: &Message) {
    match message {
        Message::Hello(_) => tracing::debug!(target: "ROUTER_HELLO", "{what} {message:?}"),
        _ if message.is_mobile() => tracing::debug!(target: "ROUTER_MA", "{what} {message:?}"),
        _ => tracing::debug!(target: "ROUTER_LS", "{what} {message:?}"),
    }
}

fn malformed(conn: NeighbourConn, error: &dyn std::fmt::Display) {
    tracing::warn!(target: "ROUTER_CORE", "[C{}] A message of the routing protocol is ignored: {error}", conn.id);
}

struct Destination {
    to: To,
    mobile: bool,
}

enum To {
    Me,
    Router(String),
    All,
}

/// Reads the address of a message.
fn destination(message: &[u8], me: &str) -> Option<Destination> {
    let mut cursor = amqp_proto::message::HeadCursor::new(codec::MAX_ID + 4096);
    let _complete = cursor.advance(message, true).ok()?;
    let to = cursor.head().read_properties(message).to().ok()??;
    let to = to.strip_prefix("amqp:").unwrap_or(to);
    let to = to.strip_prefix('/').unwrap_or(to);
    let (to, name) = match to.strip_prefix("_local/") {
        Some(name) => (To::Me, name),
        None => {
            let (router, name) = to.strip_prefix("_topo/0/")?.split_once('/')?;
            let to = match router {
                "all" => To::All,
                router if router == me => To::Me,
                router => To::Router(router.to_owned()),
            };
            (to, name)
        }
    };
    let mobile = match name {
        "qdrouter.ma" => true,
        "qdrouter" | "qdhello" => false,
        _ => return None,
    };
    Some(Destination { to, mobile })
}
