//! Events of a connection to a router, as they come from the engine.

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use amqp_proto::connection::{Attached, CommandError, End, Initiator, LinkId, SessionId, Transfer};
use amqp_proto::{DeliveryState, Error, Open, Role, condition};
use bytes::Bytes;
use router_core::routing::LinkCost;
use router_core::{Core, LinkRef};

use super::control::Arrived;
use super::groups::{Admission, Member};
use super::open::Theirs;
use super::{
    CAPACITY, ConnectionRole, ControlMessage, GroupKey, Inbox, LinkPurpose, LinkRefusal, Links, Neighbour,
    NeighbourConn, NeighbourEvent, NeighbourInfo, Outbox, StreamLinks, links,
};
use crate::conn::{Conn, Origin};
use crate::drive::END_LIMIT;
use crate::egress::Conns;
use crate::worker::Inner;

/// How long the peer may take to answer the attaches of a connection, unless the connector has a limit for its handshake.
pub(super) const SETUP_LIMIT: Duration = Duration::from_secs(10);

/// Links whose current delivery is unwanted are remembered; a peer that opens more than this at once is cut off.
const MAX_UNWANTED: usize = 65_536;

/// What a session of a reference router may have on its way to us, in bytes. Its engine, Proton, moves what is left of a stream byte by byte
/// whenever a window let only a part of it go, and may stand still for seconds with that (seen in November 2026 with windows of 1 and
/// of 8 MiB and a busy machine). The reference gives 128 MiB; it hands on 1 MiB at a time to Proton, so less does.
const FOREIGN_SESSION: u32 = 64 * 1024 * 1024;

/// Makes names of links: unique on their connection, and not to be guessed.
#[derive(Debug)]
pub(crate) struct Names(u64);

impl Names {
    pub(crate) fn new() -> Self {
        Self(std::collections::hash_map::RandomState::new().build_hasher().finish())
    }

    pub(crate) fn next(&mut self) -> String {
        format!("qdlink.{}", discriminator(&mut self.0))
    }
}

/// 15 characters that nobody else has, from a state that is advanced.
pub(crate) fn discriminator(state: &mut u64) -> String {
    const ALPHABET: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+_";
    let mut text = String::with_capacity(15);
    for _ in 0..3 {
        let mut bits = crate::connector::splitmix(state);
        for _ in 0..5 {
            text.extend(ALPHABET.get((bits & 63) as usize).map(|c| char::from(*c)));
            bits >>= 6;
        }
    }
    text
}

impl Inner {
    /// The peer of a connection whose role is one between routers has opened.
    pub(crate) fn neighbour_opened(&self, core: &mut Core, conns: &mut Conns, id: u32, open: &Open) {
        let session_most = conns.session_most;
        let Some(conn) = conns.get(id) else { return };
        let theirs = Theirs::read(open);
        let info = self.neighbour_info(conn, id, &theirs);
        let group = match &conn.origin {
            Origin::Connector(dial) if has_group(info.role) => Some(GroupKey::Ours(dial.run.correlator.clone())),
            Origin::Listener(_) if has_group(info.role) => theirs
                .group
                .as_ref()
                .map(|(correlator, _)| GroupKey::Theirs(info.container.clone(), correlator.clone())),
            _ => None,
        };
        // A peer that we accepted waits for our open, and gets it before anything else.
        conn.engine.open();
        if info.ours {
            conn.engine.grow_sessions(session_most);
        } else {
            conn.engine.set_session_limits(FOREIGN_SESSION);
        }
        if let Err(error) = self.admit(&info, group.as_ref()) {
            conn.close(error, Instant::now() + END_LIMIT);
            return;
        }
        let limit = match &conn.origin {
            Origin::Connector(dial) => Some(dial.run.config.handshake_timeout.unwrap_or(SETUP_LIMIT)),
            Origin::Listener(_) => None,
        };
        let mut neighbour = Neighbour {
            group,
            links: Links::default(),
            edge: info.role.is_edge().then(Box::default),
            inbox: Inbox::default(),
            outbox: Outbox::default(),
            control_up: false,
            setup_by: None,
            streams: StreamLinks::default(),
            unwanted: Vec::new(),
            retired: false,
            release_told: false,
            capacity: conn.origin.link_capacity().unwrap_or(CAPACITY).max(1),
            names: Names::new(),
            info: info.clone(),
        };
        if info.outgoing && info.role == ConnectionRole::InterRouter {
            neighbour.setup_by = limit.map(|limit| Instant::now() + limit);
            let grants = self.links_hook().is_some_and(|hook| hook.grants());
            if let Err(error) = attach_plan(conn, &mut neighbour, grants) {
                let error = Error::new(condition::RESOURCE_LIMIT_EXCEEDED, format!("links between routers: {error}"));
                conn.close(error, Instant::now() + END_LIMIT);
            }
        }
        tracing::info!(
            target: "SERVER",
            "[C{}] Connection {} router {} opened: role {}, cost {}, version {}",
            info.conn.id, if info.outgoing { "to" } else { "from" }, info.container, info.role, info.cost.larger(),
            if info.version.is_empty() { "unknown" } else { &info.version }
        );
        if let Some(version) = theirs.annotations {
            tracing::debug!(target: "ROUTER", "Remote router annotations version: {version}");
        }
        conn.neighbour = Some(Box::new(neighbour));
        if let Some(neighbours) = self.neighbours.get().filter(|_| info.role.is_edge()) {
            neighbours.edge_opened(info.conn);
        }
        if let Origin::Connector(dial) = &conn.origin {
            dial.opened(&theirs, &info);
        }
        self.tell(NeighbourEvent::Opened(info.clone()));
        if let Some(hook) = self.links_hook() {
            hook.opened(core, conns, &info);
        }
    }

    fn neighbour_info(&self, conn: &Conn, slot: u32, theirs: &Theirs) -> NeighbourInfo {
        let configured = conn.origin.role();
        let role = match configured {
            ConnectionRole::InterRouter if theirs.data => ConnectionRole::InterRouterData,
            role => role,
        };
        let outgoing = matches!(conn.origin, Origin::Connector(_));
        let ordinal = match &conn.origin {
            Origin::Connector(dial) => dial.run.config.ordinal.unwrap_or(0),
            Origin::Listener(_) => theirs.group.as_ref().map_or(0, |(_, ordinal)| *ordinal),
        };
        let cost = match role.has_cost() {
            true => LinkCost { ours: conn.origin.cost(), theirs: theirs.cost },
            false => LinkCost::from(1),
        };
        NeighbourInfo {
            conn: NeighbourConn { worker: self.worker.0, slot, id: conn.details.id },
            role,
            container: conn.details.container.clone(),
            cost,
            ours: theirs.is_ours(),
            version: theirs.version.clone().unwrap_or_default(),
            outgoing,
            via: Arc::from(conn.origin.name()),
            streaming_links: theirs.streaming_links,
            trunking: theirs.trunking,
            ordinal,
        }
    }

    /// Whether the connection fits its group.
    fn admit(&self, info: &NeighbourInfo, group: Option<&GroupKey>) -> Result<(), Error> {
        let (Some(neighbours), Some(key)) = (self.neighbours.get(), group) else { return Ok(()) };
        let member = Member { conn: info.conn, ordinal: info.ordinal, container: info.container.clone() };
        if info.role == ConnectionRole::InterRouterData {
            return neighbours.groups().data_opened(key, member).map_err(|expected| {
                tracing::error!(
                    target: "ROUTER_CORE",
                    "[C{}] Connection group failure: connections split across routers: a data connection of connector {} reached router {}, the control connection {expected}. Is there a load balancer between them?",
                    info.conn.id, info.via, info.container
                );
                let text = format!("the connection group is split: this is router {}, not {expected}", info.container);
                neighbours.tell(NeighbourEvent::GroupSplit {
                    conn: info.conn,
                    container: info.container.clone(),
                    expected,
                });
                Error::new(condition::CONNECTION_FORCED, text)
            });
        }
        let admission = neighbours.groups().control_opened(key, member);
        match admission {
            Admission::Outdated { ordinal } => {
                let text =
                    format!("a connection of group ordinal {ordinal} is in use, which is above {}", info.ordinal);
                Err(Error::new(condition::CONNECTION_FORCED, text))
            }
            Admission::Welcome { displaced } => {
                for conn in displaced {
                    let text = "its connector has connected anew";
                    neighbours.close(conn, Error::new(condition::CONNECTION_FORCED, text));
                }
                Ok(())
            }
        }
    }

    /// The peer attached a link, or answered ours.
    pub(crate) fn neighbour_attached(&self, core: &mut Core, conns: &mut Conns, id: u32, attached: &Attached) {
        conns.touch(id);
        let Some(conn) = conns.get(id) else { return };
        let Some(neighbour) = conn.neighbour.as_mut() else { return };
        if neighbour.edge.is_some() {
            return self.edge_attached(core, conns, id, attached);
        }
        let role = attached.link.role();
        let grants = self.links_hook().is_some_and(|hook| hook.grants());
        let purpose = if attached.answer {
            let purpose = LinkPurpose::of_token(attached.user);
            let refused = match role {
                Role::Sender => attached.attach.target.is_none(),
                Role::Receiver => attached.attach.source.is_none(),
            };
            if refused {
                // The peer's detach follows, and says why.
                return;
            }
            neighbour.links.answered(purpose, attached.link);
            purpose
        } else {
            match neighbour.links.peer_attached(neighbour.info.role, attached.link, &attached.attach) {
                Ok(purpose) => {
                    conn.engine.accept_attach(attached.link, links::answer(&attached.attach), purpose.token());
                    if role == Role::Receiver && (purpose == LinkPurpose::Control || !grants) {
                        conn.engine.grant(attached.link, neighbour.capacity);
                    }
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
        let complete = neighbour.links.is_complete();
        if complete {
            neighbour.setup_by = None;
        }
        // One that is to take the place of another does so when it can do all that the other does.
        let ready = |key: NeighbourConn, group: &Option<GroupKey>| complete || !self.is_pending(key, group.as_ref());
        if !neighbour.control_up
            && !neighbour.retired
            && neighbour.links.has_control()
            && ready(neighbour.info.conn, &neighbour.group)
        {
            neighbour.control_up = true;
            let (key, group) = (neighbour.info.conn, neighbour.group.clone());
            if let Origin::Connector(dial) = &conn.origin {
                dial.run.take_over();
            }
            self.control_up(key, group.as_ref());
        }
        if let Some(hook) = self.links_hook() {
            hook.attached(core, conns, LinkRef { conn: id, link: attached.link.to_u32() }, purpose, role);
        }
    }

    fn is_pending(&self, conn: NeighbourConn, group: Option<&GroupKey>) -> bool {
        let (Some(neighbours), Some(group)) = (self.neighbours.get(), group) else { return false };
        neighbours.groups().is_pending(group, conn)
    }

    /// The control links are there: the connection may take the place of an older one of its group.
    fn control_up(&self, conn: NeighbourConn, group: Option<&GroupKey>) {
        let Some(neighbours) = self.neighbours.get() else { return };
        let replaced = group.and_then(|key| neighbours.groups().control_ready(key, conn));
        let replaces = replaced.as_ref().filter(|old| old.same_router).map(|old| old.control);
        self.tell(NeighbourEvent::ControlUp { conn, replaces });
        for old in replaced.into_iter().flat_map(|old| old.data.into_iter().chain([old.control])) {
            neighbours.retire(old, conn);
        }
    }

    /// A connection was replaced by one with newer credentials: what was begun on it goes on, nothing new begins, and the side that has made it
    /// takes its control links away.
    pub(super) fn retire(&self, key: NeighbourConn) {
        self.with_neighbour(key, |core, conns| {
            let Some(conn) = conns.get(key.slot) else { return };
            let Some(neighbour) = conn.neighbour.as_mut() else { return };
            neighbour.retired = true;
            if neighbour.info.outgoing {
                for role in [Role::Receiver, Role::Sender] {
                    if let Some(slot) = neighbour.links.get(LinkPurpose::Control, role) {
                        neighbour.links.gone(LinkPurpose::Control, slot.link);
                        conn.engine.detach(slot.link, true, None);
                    }
                }
                neighbour.control_up = false;
            }
            neighbour.outbox.clear();
            if let Some(hook) = self.links_hook() {
                hook.retired(core, conns, key);
            }
            core.end_batch(conns);
        });
    }

    /// A link is gone.
    pub(crate) fn neighbour_detached(
        &self,
        core: &mut Core,
        conns: &mut Conns,
        id: u32,
        link: LinkId,
        user: u64,
        (by, error): (Initiator, Option<&Error>),
    ) {
        conns.touch(id);
        let Some(conn) = conns.get(id) else { return };
        let Some(neighbour) = conn.neighbour.as_mut() else { return };
        if neighbour.edge.is_some() {
            return self.edge_detached(core, conns, id, link, by, error);
        }
        let purpose = LinkPurpose::of_token(user);
        neighbour.links.gone(purpose, link);
        neighbour.unwanted.retain(|other| *other != link);
        if purpose == LinkPurpose::Control {
            neighbour.outbox.clear();
            neighbour.inbox = Inbox::default();
            let reason = error.map_or_else(|| "detached by the peer".to_owned(), ToString::to_string);
            let (key, was_up) = (neighbour.info.conn, std::mem::replace(&mut neighbour.control_up, false));
            tracing::info!(target: "ROUTER_CORE", "[C{}] Control link to {} is gone: {reason}", key.id, neighbour.info.container);
            if neighbour.info.outgoing && by == Initiator::Peer {
                // The peer will not be our neighbour on this connection. Another try may find that it has changed its mind.
                let what = if was_up { "ended" } else { "refused" };
                let error = Error::new(condition::CONNECTION_FORCED, format!("the control link was {what}: {reason}"));
                conn.close(error, Instant::now() + END_LIMIT);
            }
            if was_up {
                self.tell(NeighbourEvent::ControlDown { conn: key, reason });
            }
        }
        if purpose == LinkPurpose::Stream {
            self.stream_detached(conns, id, link);
        }
        if let Some(hook) = self.links_hook() {
            hook.detached(core, conns, LinkRef { conn: id, link: link.to_u32() }, purpose, link.role());
        }
    }

    /// Credit for a link on which we send.
    pub(crate) fn neighbour_credit(
        &self,
        core: &mut Core,
        conns: &mut Conns,
        id: u32,
        link: LinkId,
        (user, credit, drain): (u64, u32, bool),
    ) {
        let purpose = LinkPurpose::of_token(user);
        conns.touch(id);
        let Some(conn) = conns.get(id) else { return };
        if Self::edge_credit(conn, link) {
            if drain {
                conn.engine.drained(link);
            }
            return;
        }
        let Some(neighbour) = conn.neighbour.as_mut() else { return };
        let asker = neighbour.streams.usable(link).map(|asker| (neighbour.hop(), asker));
        if purpose == LinkPurpose::Control {
            neighbour.outbox.flush(&mut conn.engine, link);
        }
        let hook = self.links_hook();
        if drain && (purpose == LinkPurpose::Control || hook.is_none()) {
            conn.engine.drained(link);
        }
        if let Some(hook) = hook {
            hook.credit(core, conns, LinkRef { conn: id, link: link.to_u32() }, purpose, credit);
        }
        conns.streams_answered.extend(asker);
    }

    /// A link for streams is gone by the peer's will. One of ours that never had credit was refused: the peer takes none.
    pub(super) fn stream_detached(&self, conns: &mut Conns, id: u32, link: LinkId) {
        let Some(neighbour) = conns.get(id).and_then(|conn| conn.neighbour.as_mut()) else { return };
        let Some(asker) = neighbour.streams.gone(link) else { return };
        let hop = neighbour.hop();
        if let Some(neighbours) = self.neighbours.get() {
            neighbours.stream_refused(&hop);
        }
        conns.streams_answered.push((hop, asker));
    }

    /// A session takes transfers again.
    pub(crate) fn neighbour_writable(&self, core: &mut Core, conns: &mut Conns, id: u32) {
        let Some(conn) = conns.get(id) else { return };
        let Some(neighbour) = conn.neighbour.as_mut() else { return };
        if let Some(slot) = neighbour.links.get(LinkPurpose::Control, Role::Sender) {
            neighbour.outbox.flush(&mut conn.engine, slot.link);
        }
        if let Some(link) = neighbour.edge.as_ref().and_then(|edge| edge.message_out()) {
            neighbour.outbox.flush(&mut conn.engine, link);
        }
        if let Some(hook) = self.links_hook() {
            hook.writable(core, conns, id);
        }
    }

    /// A session is gone.
    pub(crate) fn neighbour_session_ended(conns: &mut Conns, id: u32, session: SessionId) {
        if let Some(neighbour) = conns.get(id).and_then(|conn| conn.neighbour.as_mut()) {
            neighbour.streams.session_ended(session);
        }
    }

    /// A frame on one of the links.
    pub(crate) fn neighbour_transfer(
        &self,
        core: &mut Core,
        conns: &mut Conns,
        id: u32,
        transfer: &Transfer,
        block: &Bytes,
    ) {
        let purpose = LinkPurpose::of_token(transfer.user);
        if purpose == LinkPurpose::Control {
            self.control_frame(conns, id, transfer, block);
            return;
        }
        let Some(neighbour) = conns.get(id).and_then(|conn| conn.neighbour.as_mut()) else { return };
        if neighbour.edge.as_ref().is_some_and(|edge| edge.has_messages(transfer.link)) {
            self.edge_message(conns, id, transfer, block);
            return;
        }
        let unwanted = !transfer.first && neighbour.unwanted.contains(&transfer.link);
        if !unwanted {
            let frame = crate::drive::frame_of(transfer);
            let link = LinkRef { conn: id, link: transfer.link.to_u32() };
            let taken = self
                .links_hook()
                .is_some_and(|hook| hook.transfer(core, conns, link, purpose, &frame, &transfer.payload(block)));
            if taken {
                return;
            }
        }
        release(conns, id, transfer, unwanted);
    }

    fn control_frame(&self, conns: &mut Conns, id: u32, transfer: &Transfer, block: &Bytes) {
        let Some(conn) = conns.get(id) else { return };
        let Some(neighbour) = conn.neighbour.as_mut() else { return };
        let end = crate::drive::end_of(transfer);
        let arrived = neighbour.inbox.frame(transfer.payload(block).as_slice(), transfer.first, end);
        if end == End::More {
            return;
        }
        if !transfer.settled && end == End::Complete {
            let state = match arrived {
                Arrived::TooLarge => DeliveryState::rejected(Some(&too_large())),
                _ => DeliveryState::Accepted,
            };
            conn.engine.settle_incoming(transfer.link, transfer.delivery_id, Some(&state), true);
        }
        conn.engine.grant(transfer.link, 1);
        let key = neighbour.info.conn;
        match arrived {
            Arrived::Nothing => {}
            Arrived::Message(message) => self.tell(NeighbourEvent::Control { conn: key, message }),
            Arrived::TooLarge => {
                tracing::warn!(
                    target: "ROUTER_CORE",
                    "[C{}] A control message of router {} of more than {} bytes was dropped",
                    key.id, neighbour.info.container, super::MAX_CONTROL_MESSAGE
                );
            }
        }
    }

    /// Queues a control message, and sends it if there is credit.
    pub(crate) fn send_control(&self, key: NeighbourConn, message: ControlMessage) {
        self.with_neighbour(key, |_, conns| {
            let Some(conn) = conns.get(key.slot) else { return };
            let Some(neighbour) = conn.neighbour.as_mut().filter(|n| n.control_up) else { return };
            let before = neighbour.outbox.dropped;
            neighbour.outbox.push(message);
            if before == 0 && neighbour.outbox.dropped > 0 {
                tracing::warn!(
                    target: "ROUTER_CORE",
                    "[C{}] Router {} gives no credit: control messages are dropped", key.id, neighbour.info.container
                );
            }
            if let Some(slot) = neighbour.links.get(LinkPurpose::Control, Role::Sender) {
                neighbour.outbox.flush(&mut conn.engine, slot.link);
            }
        });
    }

    /// Closes a connection in order, or without the peer's part after `limit`. That the neighbour is lost is told at once: a peer that is
    /// gone does not answer.
    pub(crate) fn close_neighbour(&self, key: NeighbourConn, error: Error, limit: Duration) {
        let mut lost = None;
        self.with_neighbour(key, |_, conns| {
            let Some(conn) = conns.get(key.slot) else { return };
            conn.close(error, Instant::now() + limit);
            lost = conn.neighbour.take().map(|n| (n, conn.details.reason.clone().unwrap_or_default()));
        });
        if let Some((neighbour, reason)) = lost {
            {
                let mut core = self.core.borrow_mut();
                let mut conns = self.conns.borrow_mut();
                self.neighbour_closed(&mut core, &mut conns, &neighbour, reason);
                core.end_batch(&mut *conns);
            }
            self.write_dirty();
        }
    }

    /// Does something with a connection if it is still there, and writes what that brought.
    fn with_neighbour(&self, key: NeighbourConn, f: impl FnOnce(&mut Core, &mut Conns)) {
        {
            let mut core = self.core.borrow_mut();
            let mut conns = self.conns.borrow_mut();
            if conns.get(key.slot).is_none_or(|conn| conn.details.id != key.id) {
                return;
            }
            conns.touch(key.slot);
            f(&mut core, &mut conns);
        }
        self.write_dirty();
    }

    /// A connection is over. Called once for each that was opened, with all that is left of it.
    pub(crate) fn neighbour_closed(&self, core: &mut Core, conns: &mut Conns, neighbour: &Neighbour, reason: String) {
        let conn = neighbour.info.conn;
        if let (Some(neighbours), Some(key)) = (self.neighbours.get(), &neighbour.group) {
            neighbours.groups().closed(key, conn);
        }
        if let Some(neighbours) = self.neighbours.get().filter(|_| neighbour.edge.is_some()) {
            neighbours.edge_closed(conn.id);
        }
        self.tell(NeighbourEvent::Closed { conn, reason });
        conns.streams_answered.extend(neighbour.streams.askers().map(|asker| (neighbour.hop(), asker)));
        if let Some(hook) = self.links_hook() {
            hook.closed(core, conns, conn);
        }
    }

    pub(super) fn tell(&self, event: NeighbourEvent) {
        if let Some(neighbours) = self.neighbours.get() {
            neighbours.tell(event);
        }
    }
}

const fn has_group(role: ConnectionRole) -> bool {
    matches!(role, ConnectionRole::InterRouter | ConnectionRole::InterRouterData)
}

/// Attaches what the connecting side has to, with credit for the peer; for links of data only unless others grant that.
fn attach_plan(conn: &mut Conn, neighbour: &mut Neighbour, grants: bool) -> Result<(), CommandError> {
    let mut sessions: Vec<SessionId> = Vec::new();
    for (purpose, role) in Links::plan() {
        let session = match sessions.get(purpose.session()) {
            Some(session) => *session,
            None => {
                let session = conn.engine.begin()?;
                sessions.push(session);
                session
            }
        };
        let attach = links::attach(purpose, role, &neighbour.names.next());
        let link = conn.engine.attach(session, attach, purpose.token())?;
        neighbour.links.attaching(purpose, role, link);
        if role == Role::Receiver && (purpose == LinkPurpose::Control || !grants) {
            conn.engine.grant(link, neighbour.capacity);
        }
    }
    Ok(())
}

/// Gives back a delivery that nobody takes: when it is complete, because until then its sender goes on.
fn release(conns: &mut Conns, id: u32, transfer: &Transfer, known: bool) {
    conns.touch(id);
    let Some(conn) = conns.get(id) else { return };
    let Some(neighbour) = conn.neighbour.as_mut() else { return };
    if !neighbour.release_told {
        neighbour.release_told = true;
        tracing::info!(
            target: "ROUTER_CORE",
            "[C{}] Deliveries from router {} are released: nothing takes them from its link",
            conn.details.id, neighbour.info.container
        );
    }
    if crate::drive::end_of(transfer) == End::More {
        if !known {
            if neighbour.unwanted.len() >= MAX_UNWANTED {
                let error = Error::new(condition::RESOURCE_LIMIT_EXCEEDED, "too many deliveries at once");
                conn.close(error, Instant::now() + END_LIMIT);
                return;
            }
            neighbour.unwanted.push(transfer.link);
        }
        return;
    }
    neighbour.unwanted.retain(|link| *link != transfer.link);
    if !transfer.settled && !transfer.aborted {
        conn.engine.settle_incoming(transfer.link, transfer.delivery_id, Some(&DeliveryState::Released), true);
    }
    conn.engine.grant(transfer.link, 1);
}

/// The refusal of a link between routers on a connection of another role.
pub(crate) fn forbidden() -> Error {
    LinkRefusal::Forbidden.into()
}

/// The refusal of a link that only edge routers attach.
pub(crate) fn not_an_edge() -> Error {
    LinkRefusal::Role.into()
}

fn too_large() -> Error {
    Error::new(condition::LINK_MESSAGE_SIZE_EXCEEDED, "the message is larger than control messages may be")
}
