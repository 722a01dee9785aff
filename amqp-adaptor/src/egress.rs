//! The connections of a worker, as what the core sends to.

use std::io::IoSlice;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use amqp_proto::connection::{End, LinkId, Payload, SendHead, Sent};
use amqp_proto::{DeliveryState, Error};
use router_core::{ConnKey, Egress, InKey, LinkRef, OutletKey, WorkerBatch, WorkerId, WorkerMsg};
use slab::Slab;
use transport::Write;

use crate::conn::Conn;
use crate::drive::END_LIMIT;
use crate::inproc::{CONN, Inproc};
use crate::neighbour::LinkPurpose;

/// What a connection may have waiting to be written before the core is told that it is full. The socket's own buffer comes on top.
///
/// Twice what one read brings, so that a connection which is written once per batch is never found full by the batch itself.
const OUTPUT_LIMIT: usize = 512 * 1024;

/// How far the window of a session between routers of this make grows at most, in bytes: 10 Gbit/s at a round trip of 200 ms.
const SESSION_MOST: u32 = 256 * 1024 * 1024;

/// Slices of one vectored write. Large payloads take two each (header and payload); with TLS rustls looks through all of them for each record.
const SLICES: usize = 64;

/// Emptied batches of other workers that are kept to be sent to others again, and the most memory each may have.
const SPARE_BATCHES: usize = 4;
const SPARE_BATCH: usize = 256 * 1024;

/// Output buffers that are kept for reuse, each at most 256 KiB.
const POOLED: usize = 16;

/// The connection number of links that belong to another adaptor of the worker, which no slab has. See [`Conns::set_beside`].
pub const BESIDE: u32 = CONN - 1;

/// Another adaptor's links.
struct Beside(Box<dyn Egress>);

impl std::fmt::Debug for Beside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Beside")
    }
}

/// All connections of a worker: what a `Core` of that worker sends to.
#[derive(Debug)]
pub struct Conns {
    pub(crate) slab: Slab<Conn>,
    dirty: Vec<u32>,
    /// Routers for which one more link for streams is wanted.
    pub(crate) streams_wanted: Vec<String>,
    /// And workers whose request for one is over.
    pub(crate) streams_answered: Vec<(String, u16)>,
    /// Connections to routers that have room again after they had none.
    pub(crate) roomy: Vec<u32>,
    /// Messages for other workers, by worker.
    pub(crate) outgoing: Vec<WorkerBatch>,
    pub(crate) spare_batches: Vec<WorkerBatch>,
    /// Consumers and senders of the router itself.
    pub(crate) inproc: Inproc,
    /// There are addresses for tests.
    pub(crate) test_addresses: bool,
    beside: Option<Beside>,
    pool: Vec<Vec<u8>>,
    /// How far the windows of sessions with routers of this make grow.
    pub(crate) session_most: u32,
}

impl Conns {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            slab: Slab::new(),
            dirty: Vec::new(),
            streams_wanted: Vec::new(),
            streams_answered: Vec::new(),
            roomy: Vec::new(),
            outgoing: (0..workers).map(|_| WorkerBatch::default()).collect(),
            spare_batches: Vec::new(),
            inproc: Inproc::default(),
            test_addresses: false,
            beside: None,
            pool: Vec::new(),
            session_most: SESSION_MOST,
        }
    }

    /// So much content may be held in addition. One session may get half of it, so that those which fill up and stall one after the other
    /// share what there is.
    pub(crate) fn set_room(&mut self, bytes: u64) {
        self.session_most = u32::try_from(bytes / 2).unwrap_or(u32::MAX).clamp(1, SESSION_MOST);
    }

    /// Hands everything about links of the connection [`BESIDE`] to another adaptor of the same worker, and asks it to accept flows. It is
    /// called while the core is borrowed, so it only takes notes.
    pub fn set_beside(&mut self, egress: Box<dyn Egress>) {
        self.beside = Some(Beside(egress));
    }

    /// Who has a link that no connection of the slab has.
    #[cold]
    fn beside(&mut self, link: LinkRef) -> Option<&mut dyn Egress> {
        match &mut self.beside {
            Some(Beside(egress)) if link.conn == BESIDE => Some(&mut **egress),
            _ => None,
        }
    }

    /// Gives back what was kept for connections, when there are none. A vacant entry of the slab is as large as a connection.
    pub(crate) fn forget_memory(&mut self) {
        self.slab = Slab::new();
        self.pool = Vec::new();
        self.spare_batches = Vec::new();
    }

    /// Keeps the memory of a batch that was handled for one to be posted. As many come as go while work flows both ways.
    pub(crate) fn keep_batch(&mut self, batch: WorkerBatch) {
        if self.spare_batches.len() < SPARE_BATCHES && (1..=SPARE_BATCH).contains(&batch.capacity()) {
            self.spare_batches.push(batch);
        }
    }

    pub(crate) fn get(&mut self, id: u32) -> Option<&mut Conn> {
        self.slab.get_mut(id as usize)
    }

    /// The numbers of all connections.
    pub(crate) fn ids(&self) -> Vec<u32> {
        // A worker has fewer connections than descriptors.
        self.slab.iter().map(|(id, _)| u32::try_from(id).unwrap_or(u32::MAX)).collect()
    }

    /// Puts a connection on the list of those to be written at the end of the batch, and gives it a buffer to write into.
    pub(crate) fn touch(&mut self, id: u32) {
        let Some(conn) = self.slab.get_mut(id as usize) else { return };
        if !conn.dirty {
            conn.dirty = true;
            self.dirty.push(id);
            if !conn.engine.output().has_buffer()
                && let Some(buffer) = self.pool.pop()
            {
                let _ = conn.engine.output_mut().give_buffer(buffer);
            }
        }
    }

    /// For links that no slab has: of other adaptors, or of consumers of the router itself.
    #[cold]
    fn send_inside(&mut self, outlet: LinkRef, head: &SendHead, payload: &Payload<'_>, end: End) -> Sent {
        if let Some(beside) = self.beside(outlet) {
            return beside.send(outlet, head, payload, end);
        }
        let (sent, work) = self.inproc.send(outlet, head, payload, end);
        if work {
            self.dirty.push(CONN);
        }
        sent
    }

    fn touched(&mut self, id: u32) -> Option<&mut Conn> {
        self.touch(id);
        self.slab.get_mut(id as usize)
    }

    pub(crate) fn next_dirty(&mut self) -> Option<u32> {
        let id = self.dirty.pop()?;
        if let Some(conn) = self.slab.get_mut(id as usize) {
            conn.dirty = false;
        }
        Some(id)
    }

    /// Writes what a connection has. Answers its key if the core waits for room in it and there is some now.
    pub(crate) fn write(&mut self, id: u32) -> Option<ConnKey> {
        let conn = self.slab.get_mut(id as usize)?;
        if conn.neighbour.as_ref().is_some_and(|neighbour| neighbour.info.ours) {
            conn.engine.grow_sessions(self.session_most);
        }
        conn.engine.flush();
        if conn.is_traced() {
            conn.trace_output();
        }
        if conn.unwritable {
            let waiting = conn.engine.output().len();
            conn.engine.output_mut().advance(waiting);
            return None;
        }
        loop {
            if conn.engine.output().is_empty() && !conn.stream.has_pending_output() {
                conn.wants_write = false;
                if let Some(buffer) = conn.engine.output_mut().take_buffer()
                    && self.pool.len() < POOLED
                {
                    self.pool.push(buffer);
                }
                if conn.ending {
                    match conn.stream.try_shutdown_write() {
                        Write::Done(_) => {}
                        Write::Blocked => conn.wants_write = true,
                        Write::Failed(_) => conn.broken = true,
                    }
                    wake(conn);
                }
                break;
            }
            let mut slices = [IoSlice::new(&[]); SLICES];
            let filled = conn.engine.output().chunks(&mut slices);
            let slices = slices.get(..filled).unwrap_or_default();
            let written =
                if slices.is_empty() { conn.stream.try_flush() } else { conn.stream.try_write_vectored(slices) };
            match written {
                Write::Done(n) => {
                    // What TLS had of its own is no output of the engine.
                    conn.bytes_out += if filled > 0 { n as u64 } else { 0 };
                    conn.engine.output_mut().advance(n);
                }
                Write::Blocked => {
                    conn.wants_write = true;
                    wake(conn);
                    break;
                }
                Write::Failed(_) => {
                    // The own task cleans up, once it has read what the peer sent before it reset the connection.
                    conn.wants_write = false;
                    if conn.stream.tls().is_some() {
                        conn.broken = true;
                    } else {
                        conn.unwritable = true;
                        conn.details.end_by.get_or_insert_with(|| Instant::now() + END_LIMIT);
                    }
                    wake(conn);
                    return None;
                }
            }
        }
        if conn.starved && conn.engine.output().len() < OUTPUT_LIMIT / 2 {
            conn.starved = false;
            if conn.neighbour.is_some() {
                self.roomy.push(id);
            }
            return conn.key;
        }
        None
    }
}

impl Conn {
    /// Sends to a router of another network or a client that wants annotations, which get some in any case; or to a client at an address where others
    /// get them, which gets none.
    #[cold]
    fn send_elsewhere(&mut self, outlet: LinkRef, head: &SendHead, payload: &Payload<'_>, end: End) -> Sent {
        let prefix = match (self.annotates, head.prefix) {
            (false, _) => &[],
            (true, []) => &router_core::annotations::EMPTY[..],
            (true, prefix) => prefix,
        };
        self.engine.send(LinkId::from_u32(outlet.link), &SendHead { prefix, ..*head }, payload, end)
    }
}

/// Lets the connection's own task run.
pub(crate) fn wake(conn: &mut Conn) {
    if let Some(waker) = &conn.waker {
        waker.wake_by_ref();
    }
}

impl Egress for Conns {
    fn send(&mut self, outlet: LinkRef, head: &SendHead, payload: &Payload<'_>, end: End) -> Sent {
        let Some(conn) = self.touched(outlet.conn) else { return self.send_inside(outlet, head, payload, end) };
        if conn.engine.output().len() >= OUTPUT_LIMIT && end != End::Aborted {
            conn.starved = true;
            return conn.engine.sent_so_far(LinkId::from_u32(outlet.link));
        }
        if conn.annotates || (!head.prefix.is_empty() && conn.neighbour.is_none()) {
            return conn.send_elsewhere(outlet, head, payload, end);
        }
        conn.engine.send(LinkId::from_u32(outlet.link), head, payload, end)
    }

    fn settle_in(&mut self, inlet: LinkRef, delivery_id: u32, state: Option<&DeliveryState>, settled: bool) {
        if let Some(conn) = self.touched(inlet.conn) {
            conn.engine.settle_incoming(LinkId::from_u32(inlet.link), delivery_id, state, settled);
        } else if let Some(beside) = self.beside(inlet) {
            beside.settle_in(inlet, delivery_id, state, settled);
        } else if self.inproc.settle_in(inlet, state, settled) {
            self.dirty.push(CONN);
        }
    }

    fn renamed_in(&mut self, inlet: LinkRef, delivery_id: u32, key: InKey) {
        if let Some(conn) = self.get(inlet.conn) {
            conn.engine.set_incoming_token(LinkId::from_u32(inlet.link), delivery_id, key.to_raw());
        }
    }

    fn settle_out(&mut self, outlet: LinkRef, delivery_id: u32, state: Option<&DeliveryState>, settled: bool) {
        if let Some(conn) = self.touched(outlet.conn) {
            conn.engine.settle_outgoing(LinkId::from_u32(outlet.link), delivery_id, state, settled);
        } else if let Some(beside) = self.beside(outlet) {
            beside.settle_out(outlet, delivery_id, state, settled);
        }
    }

    fn grant(&mut self, inlet: LinkRef, credit: u32) {
        if let Some(conn) = self.touched(inlet.conn) {
            conn.engine.grant(LinkId::from_u32(inlet.link), credit);
        }
    }

    fn drain_in(&mut self, inlet: LinkRef) {
        if let Some(conn) = self.touched(inlet.conn) {
            conn.engine.request_drain(LinkId::from_u32(inlet.link));
        }
    }

    fn drained_out(&mut self, outlet: LinkRef) {
        if let Some(conn) = self.touched(outlet.conn) {
            conn.engine.drained(LinkId::from_u32(outlet.link));
        }
    }

    fn detach(&mut self, link: LinkRef, error: Option<Error>) {
        if let Some(conn) = self.touched(link.conn) {
            let id = LinkId::from_u32(link.link);
            let user = conn.engine.link_user(id);
            conn.engine.detach(id, true, error);
            if let (Some(neighbour), Some(user)) = (conn.neighbour.as_mut(), user) {
                neighbour.link_ended(id, LinkPurpose::of_token(user));
            }
        } else if let Some(beside) = self.beside(link) {
            beside.detach(link, error);
        }
    }

    fn hold(&mut self, inlet: LinkRef, bytes: usize) {
        if let Some(conn) = self.get(inlet.conn) {
            conn.engine.hold(LinkId::from_u32(inlet.link), bytes);
        } else if let Some(beside) = self.beside(inlet) {
            beside.hold(inlet, bytes);
        }
    }

    fn release(&mut self, inlet: LinkRef, bytes: usize) {
        if let Some(conn) = self.touched(inlet.conn) {
            conn.engine.release(LinkId::from_u32(inlet.link), bytes);
        } else if let Some(beside) = self.beside(inlet) {
            beside.release(inlet, bytes);
        }
    }

    fn accept_flow(&mut self, outlet: OutletKey, address: &str) -> Option<LinkRef> {
        self.beside.as_mut()?.0.accept_flow(outlet, address)
    }

    fn open_stream(&mut self, neighbour: &str) {
        self.streams_wanted.push(neighbour.to_owned());
    }

    fn open_client_stream(&mut self, conn: u32) -> bool {
        self.touched(conn).is_some_and(Conn::open_client_stream)
    }

    fn now(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    fn peer(&self, link: LinkRef) -> Option<&str> {
        let conn = self.slab.get(link.conn as usize)?;
        Some(conn.details.container.as_str()).filter(|name| !name.is_empty())
    }

    fn post(&mut self, worker: WorkerId, msg: WorkerMsg<'_>) {
        if let Some(batch) = self.outgoing.get_mut(usize::from(worker.0)) {
            batch.push(msg);
        }
    }
}
