//! Events of connections with an edge router at one end, and what control wants of them.

use std::sync::Arc;
use std::time::Instant;

use amqp_proto::connection::{Attached, CommandError, Connection, End, Initiator, LinkId, Transfer};
use amqp_proto::{Attach, DeliveryState, EXPIRY_LINK_DETACH, Error, Role, Source, Str, Symbols, Target, condition};
use bytes::Bytes;
use router_core::edge::codec::{
    MessageError, decode_bid, decode_mesh, decode_tracking, encode_bid, encode_mesh, encode_tracking,
};
use router_core::{Core, LinkRef, Treatment};

use super::{
    DOWNLINK, EdgeCommand, EdgeEvent, EdgeLinks, EdgePurpose, INTER_EDGE, MESH, MESH_CREDIT, NEGOTIATION, Side,
    TRACKING, TRACKING_CREDIT, decide,
};
use crate::conn::Conn;
use crate::drive::END_LIMIT;
use crate::egress::Conns;
use crate::neighbour::control::Arrived;
use crate::neighbour::wire::SETUP_LIMIT;
use crate::neighbour::{ControlMessage, Inbox, LinkPurpose, Neighbour, NeighbourConn, NeighbourEvent, Outbox, links};
use crate::worker::Inner;

/// The token of all these links: what each is for is known by the link.
const TOKEN: u64 = LinkPurpose::Stream.token();

impl Inner {
    /// The peer attached a link, or answered ours.
    pub(in crate::neighbour) fn edge_attached(&self, core: &mut Core, conns: &mut Conns, id: u32, attached: &Attached) {
        let Some(conn) = conns.get(id) else { return };
        let Some(neighbour) = conn.neighbour.as_mut() else { return };
        let Some(edge) = neighbour.edge.as_mut() else { return };
        let role = attached.link.role();
        let purpose = if attached.answer {
            let refused = match role {
                Role::Sender => attached.attach.target.is_none(),
                Role::Receiver => attached.attach.source.is_none(),
            };
            let Some(link) = edge.links.get_mut(&attached.link.to_u32()).filter(|_| !refused) else { return };
            link.attached = true;
            link.purpose.clone()
        } else {
            let side = Side::of(&neighbour.info);
            let decided = decide(core, &neighbour.info.container, side, &attached.attach);
            match decided {
                Ok(purpose) => {
                    let up = purpose == EdgePurpose::Stream && side == Side::Interior && !edge.has_uplink();
                    let purpose = if up { EdgePurpose::Uplink } else { purpose };
                    conn.engine.accept_attach(attached.link, links::answer(&attached.attach), TOKEN);
                    if matches!(purpose, EdgePurpose::Mesh | EdgePurpose::Negotiation) {
                        conn.engine.grant(attached.link, MESH_CREDIT);
                    }
                    edge.attaching(attached.link, purpose.clone(), false);
                    purpose
                }
                Err(refusal) => {
                    let name = attached.attach.name.as_str();
                    tracing::info!(target: "ROUTER_CORE", "[C{}] Link {name:?} refused: {refusal}", conn.details.id);
                    conn.engine.refuse_attach(attached.link, refusal.into());
                    return;
                }
            }
        };
        if neighbour.setup_by.is_some() && edge.is_complete() {
            neighbour.setup_by = None;
        }
        let (key, side) = (neighbour.info.conn, Side::of(&neighbour.info));
        let ready = side == Side::Edge && purpose != EdgePurpose::Stream && edge.is_ready();
        if let (Some(kind), Some(hook)) = (purpose.kind(), self.links_hook()) {
            hook.edge_attached(core, conns, LinkRef { conn: id, link: attached.link.to_u32() }, key.id, kind, role);
        }
        if let Some(event) = event_of(purpose, role, true).filter(|_| side == Side::Interior) {
            self.tell(NeighbourEvent::Edge { conn: key, event });
        }
        if ready {
            self.tell(NeighbourEvent::Edge { conn: key, event: EdgeEvent::Ready });
        }
    }

    /// A link is gone.
    pub(in crate::neighbour) fn edge_detached(
        &self,
        core: &mut Core,
        conns: &mut Conns,
        id: u32,
        link: LinkId,
        by: Initiator,
        error: Option<&Error>,
    ) {
        let Some(conn) = conns.get(id) else { return };
        let Some(neighbour) = conn.neighbour.as_mut() else { return };
        neighbour.unwanted.retain(|other| *other != link);
        // One that we detached was forgotten then.
        let Some(gone) = neighbour.edge.as_mut().and_then(|edge| edge.gone(link)) else { return };
        let (key, side) = (neighbour.info.conn, Side::of(&neighbour.info));
        let reason = error.map_or_else(|| "detached by the peer".to_owned(), ToString::to_string);
        let event = match (gone.purpose, side) {
            (EdgePurpose::Stream, _) => {
                neighbour.links.gone(LinkPurpose::Stream, link);
                self.stream_detached(conns, id, link);
                None
            }
            (EdgePurpose::Proxy(key, _), Side::Edge | Side::Peer) => {
                gone.ours.then(|| EdgeEvent::LinkGone { key, role: link.role() })
            }
            (EdgePurpose::Uplink | EdgePurpose::Downlink(_) | EdgePurpose::Tracking, Side::Edge) => {
                if by == Initiator::Peer {
                    // Another try, or another router, may do better.
                    let text = format!("router {} takes no edge router here: {reason}", neighbour.info.container);
                    conn.close(Error::new(condition::CONNECTION_FORCED, text), Instant::now() + END_LIMIT);
                }
                None
            }
            (EdgePurpose::Mesh | EdgePurpose::Negotiation, _) => {
                neighbour.inbox = Inbox::default();
                None
            }
            (EdgePurpose::Downlink(_), Side::Peer) => {
                tracing::info!(
                    target: "ROUTER_CORE", "[C{}] Nothing can be sent to edge router {} itself: {reason}",
                    key.id, neighbour.info.container
                );
                None
            }
            (EdgePurpose::Uplink | EdgePurpose::Tracking, Side::Peer) => None,
            (purpose, Side::Interior) => event_of(purpose, link.role(), false),
        };
        if let Some(hook) = self.links_hook() {
            let purpose = LinkPurpose::Stream;
            hook.detached(core, conns, LinkRef { conn: id, link: link.to_u32() }, purpose, link.role());
        }
        if let Some(event) = event {
            self.tell(NeighbourEvent::Edge { conn: key, event });
        }
    }

    /// Whether a link is for messages about addresses; then what waits is sent.
    pub(in crate::neighbour) fn edge_credit(conn: &mut Conn, link: LinkId) -> bool {
        let Some(neighbour) = conn.neighbour.as_mut() else { return false };
        let ours = neighbour.edge.as_ref().is_some_and(|edge| edge.message_out == Some(link));
        if ours {
            neighbour.outbox.flush(&mut conn.engine, link);
        }
        ours
    }

    /// A frame on a link for messages about addresses.
    pub(in crate::neighbour) fn edge_message(&self, conns: &mut Conns, id: u32, transfer: &Transfer, block: &Bytes) {
        let Some(conn) = conns.get(id) else { return };
        let Some(neighbour) = conn.neighbour.as_mut() else { return };
        let purpose = neighbour.edge.as_ref().and_then(|edge| edge.purpose(transfer.link));
        let decode: fn(&Bytes) -> Result<EdgeEvent, MessageError> = match purpose {
            Some(EdgePurpose::Tracking) => {
                |message| decode_tracking(message).map(|(key, reachable)| EdgeEvent::Tracking { key, reachable })
            }
            Some(EdgePurpose::Mesh) => |message| decode_mesh(message).map(EdgeEvent::Mesh),
            Some(EdgePurpose::Negotiation) => |message| decode_bid(message).map(EdgeEvent::Bid),
            _ => return,
        };
        let end = crate::drive::end_of(transfer);
        let arrived = neighbour.inbox.frame(transfer.payload(block).as_slice(), transfer.first, end);
        if end == End::More {
            return;
        }
        if !transfer.settled && end == End::Complete {
            let state = DeliveryState::Accepted;
            conn.engine.settle_incoming(transfer.link, transfer.delivery_id, Some(&state), true);
        }
        conn.engine.grant(transfer.link, 1);
        let Arrived::Message(message) = arrived else { return };
        let key = neighbour.info.conn;
        match decode(&message) {
            Ok(event) => self.tell(NeighbourEvent::Edge { conn: key, event }),
            Err(error) => {
                tracing::warn!(
                    target: "ROUTER_CORE",
                    "[C{}] A message of router {} about addresses is ignored: {error}", key.id, neighbour.info.container
                );
            }
        }
    }

    /// Does what control wants of a connection, if it is still there.
    pub(crate) fn edge_command(&self, key: NeighbourConn, command: EdgeCommand) {
        {
            let mut core = self.core.borrow_mut();
            let mut conns = self.conns.borrow_mut();
            let conns = &mut *conns;
            if conns.get(key.slot).is_none_or(|conn| conn.details.id != key.id || conn.details.end_by.is_some()) {
                return;
            }
            conns.touch(key.slot);
            let mut gone = Vec::new();
            if let Some(conn) = conns.get(key.slot) {
                let done = apply(conn, command, &self.identity.id, &mut gone);
                if let Err(error) = done {
                    let error = Error::new(condition::RESOURCE_LIMIT_EXCEEDED, format!("links of edges: {error}"));
                    conn.close(error, Instant::now() + END_LIMIT);
                }
            }
            if let Some(hook) = self.links_hook() {
                for link in gone {
                    let at = LinkRef { conn: key.slot, link: link.to_u32() };
                    hook.detached(&mut core, conns, at, LinkPurpose::Stream, link.role());
                }
            }
            core.end_batch(conns);
        }
        self.write_dirty();
    }
}

/// What an interior router's control is told of a link.
fn event_of(purpose: EdgePurpose, role: Role, here: bool) -> Option<EdgeEvent> {
    match (purpose, role) {
        (EdgePurpose::Proxy(key, treatment), Role::Sender) => Some(EdgeEvent::Consumer { key, treatment, here }),
        (EdgePurpose::Proxy(key, _), Role::Receiver) => Some(EdgeEvent::Producer { key, here }),
        (EdgePurpose::Downlink(key), _) => Some(EdgeEvent::Consumer { key, treatment: Treatment::Balanced, here }),
        _ => None,
    }
}

fn apply(conn: &mut Conn, command: EdgeCommand, id: &str, gone: &mut Vec<LinkId>) -> Result<(), CommandError> {
    let limit = conn.origin.handshake_timeout().unwrap_or(SETUP_LIMIT);
    let Conn { engine, neighbour, .. } = conn;
    let Some(neighbour) = neighbour.as_deref_mut() else { return Ok(()) };
    let Neighbour { edge, names, outbox, setup_by, info, .. } = neighbour;
    let Some(edge) = edge.as_deref_mut() else { return Ok(()) };
    let message = |bytes: Vec<u8>| ControlMessage { bytes: bytes.into(), hello: false };
    match command {
        EdgeCommand::Activate { mesh } => {
            let (about, data) = match edge.sessions {
                Some(sessions) => sessions,
                None => *edge.sessions.insert((engine.begin()?, engine.begin()?)),
            };
            let down: Arc<str> = format!("H{id}").into();
            let plan = [
                (data, EdgePurpose::Uplink, Role::Sender, None),
                (data, EdgePurpose::Downlink(down), Role::Receiver, Some(id)),
                (about, EdgePurpose::Tracking, Role::Receiver, Some(TRACKING)),
                (about, EdgePurpose::Mesh, Role::Sender, Some(MESH)),
            ];
            outbox.clear();
            outbox.push(message(encode_mesh(&mesh)));
            for (session, purpose, role, address) in plan {
                let capability = matches!(purpose, EdgePurpose::Downlink(_)).then_some(DOWNLINK);
                let link = engine.attach(session, attach(capability, role, address, &names.next()), TOKEN)?;
                if purpose == EdgePurpose::Tracking {
                    engine.grant(link, TRACKING_CREDIT);
                }
                edge.attaching(link, purpose, true);
            }
            *setup_by = Some(Instant::now() + limit);
        }
        EdgeCommand::Join { bid } => {
            let (about, data) = match edge.sessions {
                Some(sessions) => sessions,
                None => {
                    let data = engine.begin()?;
                    *edge.sessions.insert((engine.begin()?, data))
                }
            };
            outbox.clear();
            outbox.push(message(encode_bid(&bid)));
            let to = EdgePurpose::Downlink(format!("H{}", info.container).into());
            let plan = [(data, to, Some(INTER_EDGE), None), (about, EdgePurpose::Negotiation, None, Some(NEGOTIATION))];
            for (session, purpose, capability, address) in plan {
                let attach = attach(capability, Role::Sender, address, &names.next());
                let link = engine.attach(session, attach, TOKEN)?;
                edge.attaching(link, purpose, true);
            }
        }
        EdgeCommand::Mesh(mesh) => tell(engine, edge, outbox, message(encode_mesh(&mesh))),
        EdgeCommand::Offer(bid) => tell(engine, edge, outbox, message(encode_bid(&bid))),
        EdgeCommand::Retire => {
            let ours = |(id, link): (&u32, &super::EdgeLink)| {
                (link.ours && link.purpose != EdgePurpose::Stream).then(|| LinkId::from_u32(*id))
            };
            for link in edge.links.iter().filter_map(ours).collect::<Vec<_>>() {
                detach(engine, edge, link, gone);
            }
            *setup_by = None;
        }
        EdgeCommand::Attach { key, role } => {
            let Some((_, session)) = edge.sessions else { return Ok(()) };
            let text = Some(key.get(1..).unwrap_or_default());
            // How it is treated is of interest at the other end only.
            let purpose = EdgePurpose::Proxy(Arc::clone(&key), Treatment::Balanced);
            let link = engine.attach(session, attach(None, role, text, &names.next()), TOKEN)?;
            edge.attaching(link, purpose, true);
        }
        EdgeCommand::Detach { key, role } => {
            if let Some(link) = edge.find(&key, role) {
                detach(engine, edge, link, gone);
            }
        }
        EdgeCommand::Track { key, reachable } => {
            tell(engine, edge, outbox, message(encode_tracking(&key, reachable, &format!("0/{id}"))));
        }
    }
    Ok(())
}

/// Sends a message now, or when there is credit.
fn tell(engine: &mut Connection, edge: &EdgeLinks, outbox: &mut Outbox, message: ControlMessage) {
    outbox.push(message);
    if let Some(link) = edge.message_out {
        outbox.flush(engine, link);
    }
}

fn detach(engine: &mut Connection, edge: &mut EdgeLinks, link: LinkId, gone: &mut Vec<LinkId>) {
    engine.detach(link, true, None);
    edge.gone(link);
    gone.push(link);
}

/// The attach of a link of an edge router's.
fn attach(capability: Option<&str>, role: Role, address: Option<&str>, name: &str) -> Attach {
    let capabilities: Symbols = capability.into_iter().collect();
    let mut source =
        Source { expiry_policy: EXPIRY_LINK_DETACH, capabilities: capabilities.clone(), ..Source::default() };
    let mut target = Target { expiry_policy: EXPIRY_LINK_DETACH, capabilities, ..Target::default() };
    match (address, role) {
        (Some(address), Role::Receiver) => source = source.with_address(address),
        (Some(address), Role::Sender) => target = target.with_address(address),
        (None, _) => {}
    }
    Attach {
        name: Str::from(name),
        role,
        source: Some(source.into()),
        target: Some(target.into()),
        max_message_size: Some(0),
        ..Attach::default()
    }
}
