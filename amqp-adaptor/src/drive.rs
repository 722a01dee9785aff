//! What happens when a socket is readable: everything that was read is processed, then every connection it touched is written.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use amqp_proto::connection::{Closed, End, Event, Initiator, Transfer};
use amqp_proto::{Error, Open, Role, condition};
use bytes::Bytes;
use router_core::policy::SESSION_DISALLOWED;
use router_core::{Core, InKey, InletKey, OutKey, OutletKey};
use transport::block::with_read_block;
use transport::{Read, StreamError};

use crate::attach::attach;
use crate::client_streams;
use crate::config::Identity;
use crate::conn::Origin;
use crate::egress::Conns;
use crate::neighbour::open::Theirs;
use crate::policy;
use crate::sasl;
use crate::test_addresses;
use crate::worker::Inner;

/// Bytes that a connection may bring before others get their turn.
const READ_BUDGET: usize = 256 * 1024;

/// Output at which a connection is not read any more until some of it was taken. Far more than deliveries can make
/// ([`crate::egress`] stops them long before), so that only a peer gets here that asks for answers without reading them.
const INPUT_STOP: usize = 8 * 1024 * 1024;

/// Properties of a peer's open that are larger, in bytes, are not kept for management.
const KEPT_PROPERTIES: usize = 2048;

/// How long a connection that is closing may take to read what it was sent.
pub(crate) const END_LIMIT: Duration = Duration::from_secs(5);

/// Removes the connection when its task ends, however it ends.
pub(crate) struct Guard {
    pub(crate) inner: Rc<Inner>,
    pub(crate) id: u32,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.inner.remove(self.id);
    }
}

/// Runs the connection until it is over.
pub(crate) async fn drive(guard: Guard) {
    std::future::poll_fn(|cx| guard.inner.poll_conn(guard.id, cx)).await;
}

/// What one turn at a socket brought.
enum Turn {
    Read(Bytes, usize),
    Blocked,
    Over,
}

impl Inner {
    /// One wake-up of a connection's task.
    fn poll_conn(&self, id: u32, cx: &mut Context<'_>) -> Poll<()> {
        if self.poll_write(id, cx).is_ready() {
            return Poll::Ready(());
        }
        let mut budget = READ_BUDGET;
        loop {
            match self.read(id, cx) {
                Turn::Over => return Poll::Ready(()),
                Turn::Blocked => break,
                Turn::Read(block, n) => {
                    self.process(id, &block);
                    drop(block);
                    self.write_dirty();
                    if self.is_over(id) {
                        return Poll::Ready(());
                    }
                    budget = budget.saturating_sub(n);
                    if budget == 0 {
                        cx.waker().wake_by_ref();
                        break;
                    }
                }
            }
        }
        // What was processed may have left this connection with something that the socket did not take.
        self.poll_write(id, cx)
    }

    /// Remembers the task's waker, and waits for room in the socket if something waits for it.
    fn poll_write(&self, id: u32, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut state = self.conns.borrow_mut();
            let Some(conn) = state.get(id) else { return Poll::Ready(()) };
            if !conn.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
                conn.waker = Some(cx.waker().clone());
            }
            if conn.is_over() {
                return Poll::Ready(());
            }
            if !conn.wants_write || conn.stream.poll_write_ready(cx).is_pending() {
                return Poll::Pending;
            }
            conn.wants_write = false;
            state.touch(id);
            drop(state);
            self.write_dirty();
        }
    }

    fn is_over(&self, id: u32) -> bool {
        self.conns.borrow_mut().get(id).is_none_or(|conn| conn.is_over())
    }

    fn read(&self, id: u32, cx: &mut Context<'_>) -> Turn {
        let mut state = self.conns.borrow_mut();
        let Some(conn) = state.get(id) else { return Turn::Over };
        if conn.input_ended || (conn.wants_write && conn.engine.output().len() >= INPUT_STOP) {
            return Turn::Blocked;
        }
        // What came behind a question to us is kept until it is answered, and must not grow.
        if conn.engine.awaits_owner() && conn.details.sasl.is_some() {
            return Turn::Blocked;
        }
        if conn.stream.poll_read_ready(cx).is_pending() {
            return Turn::Blocked;
        }
        let kept = conn.leftover.len();
        let outcome = with_read_block(|block| {
            let buffer = block.writable(&conn.leftover);
            match conn.stream.try_read(buffer) {
                Read::Data(n) => {
                    conn.bytes_in += n as u64;
                    Ok((block.take(), n))
                }
                other => Err(other),
            }
        });
        match outcome {
            Ok((block, n)) => {
                debug_assert_eq!(block.len(), kept + n);
                Turn::Read(block, n)
            }
            // Readiness was spurious: register again, which is what the next read does.
            Err(Read::Data(_) | Read::Blocked) => {
                // TLS may have answered something of its own.
                conn.wants_write |= conn.stream.has_pending_output();
                match conn.stream.poll_read_ready(cx) {
                    Poll::Pending => Turn::Blocked,
                    Poll::Ready(()) => {
                        cx.waker().wake_by_ref();
                        Turn::Blocked
                    }
                }
            }
            Err(Read::Eof) => {
                conn.hung_up();
                if conn.is_over() { Turn::Over } else { Turn::Blocked }
            }
            Err(Read::Failed(error)) => {
                conn.lost(&error);
                Turn::Over
            }
        }
    }

    /// Hands everything in `block` to the engine, and what comes out to the core.
    pub(crate) fn process(&self, id: u32, block: &Bytes) {
        let now = Instant::now();
        let mut core = self.core.borrow_mut();
        let mut state = self.conns.borrow_mut();
        let conns = &mut *state;
        let mut pos = 0;
        let mut routed = conns.get(id).is_some_and(|conn| conn.neighbour.is_some());
        if routed {
            self.take_mail(&mut core, conns);
        }
        loop {
            let Some(conn) = conns.get(id) else { return };
            let Some(event) = conn.engine.handle_input(block, &mut pos, now) else { break };
            match event {
                Event::Transfer(transfer) if routed => self.neighbour_transfer(&mut core, conns, id, &transfer, block),
                Event::Transfer(transfer) => on_transfer(&mut core, conns, id, &transfer, block),
                event if routed => self.on_neighbour_event(&mut core, conns, id, event),
                event => {
                    let opened = matches!(event, Event::Opened(_));
                    self.on_event(&mut core, conns, id, event);
                    routed = opened && conns.get(id).is_some_and(|conn| conn.neighbour.is_some());
                }
            }
        }
        if let Some(conn) = conns.get(id) {
            if conn.is_traced() {
                conn.trace_input(block.get(..pos).unwrap_or_default());
            }
            conn.keep_rest(block, pos);
        }
        // The engine may have something to say of its own.
        conns.touch(id);
        core.end_batch(conns);
    }

    /// Writes every connection that has something, until nobody has: room that came back lets the core send more.
    pub(crate) fn write_dirty(&self) {
        let mut core = self.core.borrow_mut();
        let mut state = self.conns.borrow_mut();
        let conns = &mut *state;
        // First, so that whoever answers what is written finds other workers knowing what this one knew.
        self.post(conns);
        conns.set_room(core.stream_room());
        while let Some(id) = conns.next_dirty() {
            if id == crate::inproc::CONN {
                crate::inproc::settle(&mut core, conns);
                core.end_batch(conns);
                continue;
            }
            if let Some(key) = conns.write(id) {
                core.writable(key, conns);
                core.end_batch(conns);
            }
            while let Some(id) = conns.roomy.pop() {
                self.neighbour_writable(&mut core, conns, id);
                core.end_batch(conns);
            }
        }
        self.post(conns);
        drop(state);
        drop(core);
        self.after_batch();
    }

    pub(crate) fn on_event(&self, core: &mut Core, conns: &mut Conns, id: u32, event: Event) {
        match event {
            Event::Transfer(_) => {}
            Event::Disposition(mut disposition) => {
                while let Some(disposed) = conns.get(id).and_then(|c| c.engine.next_disposed(&mut disposition)) {
                    let state = disposition.state.as_ref();
                    if disposition.outgoing {
                        core.outcome(OutKey::from_raw(disposed.token), state, disposition.settled, conns);
                    } else {
                        core.sender_state(InKey::from_raw(disposed.token), state, disposition.settled, conns);
                    }
                }
            }
            Event::Credit { link, user: test_addresses::TOKEN, .. } => test_addresses::credit(conns, id, link),
            Event::Credit { user, credit, drain, .. } => core.credit(OutletKey::from_raw(user), credit, drain, conns),
            Event::SessionWindow { .. } => {
                if let Some(key) = conns.get(id).and_then(|c| c.key) {
                    core.writable(key, conns);
                }
            }
            Event::Drained { link, user, .. } => {
                let remaining = conns.get(id).map_or(0, |c| c.engine.link_credit(link));
                core.inlet_drained(InletKey::from_raw(user), remaining, conns);
            }
            Event::Attached(attached) if attached.answer && client_streams::attached(core, conns, id, &attached) => {}
            Event::Attached(attached) if attached.answer && test_addresses::answered(conns, id, &attached) => {}
            Event::Attached(attached) if attached.answer => self.auto_link_attached(core, conns, id, &attached),
            Event::Attached(attached) if test_addresses::attached(conns, id, &attached) => {}
            Event::Attached(attached) => {
                if let Some(key) = conns.get(id).and_then(|c| c.key) {
                    attach(core, conns, id, key, &attached);
                }
            }
            Event::Detached { user, by: Initiator::Local, error: Some(error), .. }
                if error.condition.as_str() == condition::LINK_MESSAGE_SIZE_EXCEEDED =>
            {
                policy::oversize(core, conns, id, InletKey::from_raw(user));
            }
            Event::Detached { link, user, error, .. }
                if self.auto_link_detached(core, conns, id, (link, user), error.as_deref()) => {}
            Event::Detached { link, .. } if client_streams::refused(core, conns, id, link) => {}
            Event::Detached { link, user: test_addresses::TOKEN, .. } => test_addresses::detached(conns, id, link),
            Event::Detached { role: Role::Sender, user, .. } => core.detach_outlet(OutletKey::from_raw(user), conns),
            Event::Detached { role: Role::Receiver, user, .. } => core.detach_inlet(InletKey::from_raw(user), conns),
            Event::Sasl(response) => sasl::asked(conns, id, &response),
            Event::Opened(open) => self.on_open(core, conns, id, &open),
            Event::Closed(closed) => self.on_closed(core, conns, id, &closed),
            Event::Authenticated => Self::on_authenticated(conns, id),
            Event::SessionEnded { by: Initiator::Local, error: Some(error), .. }
                if error.description.as_ref().is_some_and(|what| what.as_str() == SESSION_DISALLOWED) =>
            {
                policy::session_refused(core, conns, id);
            }
            // Sessions begin and end inside the engine; their links are reported one by one. `available` is for receivers
            // that plan their credit.
            Event::SessionBegun { .. } | Event::SessionEnded { .. } | Event::Available { .. } => {}
        }
    }

    /// The same for a connection to another router.
    fn on_neighbour_event(&self, core: &mut Core, conns: &mut Conns, id: u32, event: Event) {
        match event {
            Event::Attached(attached) => self.neighbour_attached(core, conns, id, &attached),
            Event::Detached { link, user, by, error, .. } => {
                self.neighbour_detached(core, conns, id, link, user, (by, error.as_deref()));
            }
            Event::Credit { link, user, credit, drain } => {
                self.neighbour_credit(core, conns, id, link, (user, credit, drain));
            }
            Event::SessionWindow { .. } => self.neighbour_writable(core, conns, id),
            Event::SessionEnded { session, .. } => Self::neighbour_session_ended(conns, id, session),
            Event::Disposition(mut disposition) => {
                while let Some(disposed) = conns.get(id).and_then(|c| c.engine.next_disposed(&mut disposition)) {
                    if let Some(hook) = self.links_hook() {
                        hook.disposed(core, conns, id, &disposed, &disposition);
                    }
                }
            }
            Event::Closed(closed) => self.on_closed(core, conns, id, &closed),
            // A router does not drain, and the rest came before it was known to be one.
            Event::Transfer(_)
            | Event::Drained { .. }
            | Event::SessionBegun { .. }
            | Event::Available { .. }
            | Event::Sasl(_)
            | Event::Opened(_)
            | Event::Authenticated => {}
        }
    }

    fn on_closed(&self, core: &mut Core, conns: &mut Conns, id: u32, closed: &Closed) {
        let Some(conn) = conns.get(id) else { return };
        if conn.ending {
            // The engine says so again for all that still comes in.
            return;
        }
        if let Some(error) = &closed.error {
            conn.log_end(&format!("closed by {:?}: {error}", closed.by));
        } else if closed.by == Initiator::Peer {
            conn.details.reason.get_or_insert_with(|| "closed by the peer".to_owned());
        }
        // Nothing comes behind the peer's close, which may be its answer to ours.
        conn.input_ended |= closed.by == Initiator::Peer || conn.details.end_by.is_some();
        conn.end(Instant::now() + END_LIMIT);
        let (key, neighbour) = (conn.key.take(), conn.neighbour.take());
        let reason = conn.details.reason.clone().unwrap_or_default();
        if let Some(key) = key {
            policy::log_end(core, key, conn);
            core.connection_closed(key, conns);
        }
        if let Some(neighbour) = neighbour {
            self.neighbour_closed(core, conns, &neighbour, reason);
        }
    }

    /// The server has taken what a connector of ours said about itself.
    fn on_authenticated(conns: &mut Conns, id: u32) {
        let Some(conn) = conns.get(id) else { return };
        let mechanism = conn.engine.sasl_mechanism().map(str::to_owned);
        let user = match &conn.origin {
            Origin::Connector(dial) if mechanism.as_deref() == Some("PLAIN") => {
                dial.run.config.credentials.as_ref().map(|credentials| credentials.username.clone())
            }
            _ => None,
        };
        conn.details.identity = Identity { mechanism, user };
    }

    fn on_open(&self, core: &mut Core, conns: &mut Conns, id: u32, open: &Open) {
        let Some(conn) = conns.get(id) else { return };
        conn.details.container = open.container_id.as_str().to_owned();
        let properties = open.properties.as_ref();
        let kept = properties.filter(|fields| fields.raw().as_bytes().len() <= KEPT_PROPERTIES);
        conn.details.properties = kept.map(amqp_proto::Fields::detached);
        let authenticate = matches!(&conn.origin, Origin::Listener(config) if config.authenticate_peer);
        if authenticate && conn.details.identity.user.is_none() {
            let error = Error::new(condition::UNAUTHORIZED_ACCESS, "this listener requires authentication");
            conn.close(error, Instant::now() + END_LIMIT);
            return;
        }
        if conn.origin.role().is_router() {
            return self.neighbour_opened(core, conns, id, open);
        }
        match core.connection_opened(&policy::info(conn, open)) {
            Ok(key) => {
                conn.key = Some(key);
                if let Some(rights) = core.admission(key).and_then(router_core::Admission::rights) {
                    conn.limit(rights);
                }
                conn.engine.open();
                if let Origin::Connector(dial) = &conn.origin {
                    dial.opened_by(&Theirs::read(open), &conn.details.container, conn.details.id);
                }
                if conn.origin.role().has_auto_links() {
                    self.attach_auto_links(conns, id);
                }
            }
            Err(refusal) => {
                policy::log_refusal(conn.details.id, &refusal);
                let error = Error::new(refusal.condition(), refusal.to_string());
                conn.close(error, Instant::now() + END_LIMIT);
            }
        }
    }
}

/// How a frame ends.
pub(crate) const fn end_of(transfer: &Transfer) -> End {
    match (transfer.aborted, transfer.more) {
        (true, _) => End::Aborted,
        (false, true) => End::More,
        (false, false) => End::Complete,
    }
}

/// A frame as the core wants it.
pub(crate) const fn frame_of(transfer: &Transfer) -> router_core::Transfer {
    router_core::Transfer {
        delivery_id: transfer.delivery_id,
        first: transfer.first,
        end: end_of(transfer),
        settled: transfer.settled,
        message_format: transfer.message_format,
        rcv_second: transfer.rcv_second,
    }
}

fn on_transfer(core: &mut Core, conns: &mut Conns, id: u32, transfer: &Transfer, block: &Bytes) {
    let frame = frame_of(transfer);
    let key = core.transfer(InletKey::from_raw(transfer.user), &frame, &transfer.payload(block), conns);
    if let Some(key) = key
        && let Some(conn) = conns.get(id)
    {
        conn.engine.set_incoming_token(transfer.link, transfer.delivery_id, key.to_raw());
    } else if key.is_none() && transfer.user == test_addresses::TOKEN {
        test_addresses::transfer(conns, id, transfer, block);
    }
}

impl crate::conn::Conn {
    /// The peer hung up. If that is no end of the connection in order, nobody waits for what is still to be written.
    fn hung_up(&mut self) {
        self.input_ended = true;
        if self.ending {
            return;
        }
        self.broken = true;
        // A probe that connects and leaves is no news, and no error.
        let error = match self.engine.handle_eof() {
            Some(Event::Closed(closed)) => closed.error,
            _ => None,
        };
        match error {
            Some(error) => self.log_end(&format!("lost: {error}")),
            None => {
                self.details.reason.get_or_insert_with(|| "lost: the peer hung up".to_owned());
            }
        }
    }

    /// Says why the connection ended. Of one that was made here, its connector will say so.
    fn log_end(&mut self, reason: &str) {
        if let Origin::Listener(_) = self.origin {
            tracing::info!(target: "SERVER", "[C{}] Connection from {} {reason}", self.details.id, self.details.peer);
        }
        self.details.reason.get_or_insert_with(|| reason.to_owned());
    }

    /// The socket failed.
    fn lost(&mut self, error: &StreamError) {
        self.broken = true;
        if self.ending || (self.key.is_none() && self.neighbour.is_none()) {
            self.details.reason.get_or_insert_with(|| format!("lost: {error}"));
        } else {
            self.log_end(&format!("lost: {error}"));
        }
    }

    /// Closes the connection. The peer may take until `by` to answer.
    pub(crate) fn close(&mut self, error: Error, by: Instant) {
        self.details.reason.get_or_insert_with(|| format!("closed: {error}"));
        self.engine.close(Some(error));
        self.details.end_by.get_or_insert(by);
        if self.engine.is_closed() && !self.ending {
            // There is no protocol yet in which the peer could answer.
            self.end(by);
        }
    }

    /// The protocol is over: what is queued is still written, until `by`.
    pub(crate) fn end(&mut self, by: Instant) {
        self.ending = true;
        self.details.end_by.get_or_insert(by);
        crate::egress::wake(self);
    }

    /// Nothing is left to be done.
    pub(crate) fn is_over(&self) -> bool {
        self.broken
            || (self.ending && self.input_ended && self.engine.output().is_empty() && !self.stream.has_pending_output())
    }
}
