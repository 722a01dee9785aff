//! The links of flows, as the core sees them: what it says about them is noted for the flow's task, which is woken.
//!
//! The core must not be called back while it speaks, so nothing is decided here.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::IoSlice;
use std::rc::{Rc, Weak};
use std::task::Waker;

use bytes::{Buf, Bytes, BytesMut};
use router_core::egress::{DeliveryState, Egress, End, Error, Payload, SendHead, Sent};
use router_core::{LinkRef, OutletKey, WorkerId, WorkerMsg};
use slab::Slab;
use transport::block::{put_buffer, take_buffer};

use crate::adaptor::TcpAdaptor;
use crate::far::window::{FIRST, LARGEST};

#[cfg(test)]
mod tests;

/// What is kept of an incoming stream beyond the window that its sender was told of: only a peer that knows none is held back otherwise.
const BEYOND: usize = 1024 * 1024;

/// What the flows of a worker keep in the end of what arrives, unless less is set: no stream gets a window of more than half of what is left
/// of it ([`Links::window`]).
const BUDGET: usize = 512 * 1024 * 1024;

/// Smaller parts are copied together: a few bytes must not keep a block, nor need an entry each.
const COPY_BELOW: usize = 2048;

/// Slices of one vectored write.
const SLICES: usize = 64;

/// What became of an outgoing stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The other side has passed on everything.
    Accepted,
    /// It was not begun: another destination may take it.
    Refused,
    /// The same, and there may be one in the same direction.
    Released,
    /// It failed, perhaps after some of it had been used.
    Failed,
}

impl Verdict {
    /// What a terminal state, or a settlement without one, means.
    fn of(state: Option<&DeliveryState>) -> Self {
        match state {
            Some(DeliveryState::Accepted) => Self::Accepted,
            Some(DeliveryState::Released) => Self::Released,
            Some(DeliveryState::Modified { undeliverable_here: true, .. }) => Self::Refused,
            _ => Self::Failed,
        }
    }
}

/// What arrives of a stream and was not written yet.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    chunks: VecDeque<Bytes>,
    /// Small parts, behind the chunks. Belongs to the worker's pool while it is empty.
    tail: BytesMut,
    len: usize,
    /// So many chunks at the front have memory of their own.
    own: usize,
}

impl Queue {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    fn push(&mut self, payload: &Payload<'_>) {
        self.len += payload.len();
        if payload.len() < COPY_BELOW {
            if self.tail.capacity() == 0 {
                self.tail = take_buffer();
            }
            self.tail.extend_from_slice(payload.as_slice());
            return;
        }
        if !self.tail.is_empty() {
            self.chunks.push_back(self.tail.split().freeze());
        }
        self.chunks.push_back(payload.to_bytes());
    }

    /// What comes next, as slices. Answers how many.
    pub(crate) fn slices<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let all = self.chunks.iter().map(|chunk| &chunk[..]).chain(std::iter::once(&self.tail[..]));
        let mut n = 0;
        for (slice, bytes) in slices.iter_mut().zip(all.filter(|bytes| !bytes.is_empty())) {
            *slice = IoSlice::new(bytes);
            n += 1;
        }
        n
    }

    /// Empty slices for [`slices`](Self::slices).
    pub(crate) fn none<'a>() -> [IoSlice<'a>; SLICES] {
        [IoSlice::new(&[]); SLICES]
    }

    /// So many bytes were written.
    pub(crate) fn advance(&mut self, mut n: usize) {
        n = n.min(self.len);
        self.len -= n;
        while let Some(front) = self.chunks.front_mut() {
            if n < front.len() {
                front.advance(n);
                return;
            }
            n -= front.len();
            self.chunks.pop_front();
            self.own = self.own.saturating_sub(1);
        }
        self.tail.advance(n.min(self.tail.len()));
        if self.tail.is_empty() && self.tail.capacity() > 0 {
            put_buffer(std::mem::take(&mut self.tail));
        }
        if self.len == 0 && self.chunks.capacity() > SLICES {
            self.chunks = VecDeque::new();
        }
    }

    /// The reader has stalled: what waits for it gets memory of its own size, so that it does not keep the blocks of other streams.
    pub(crate) fn detach(&mut self) {
        for chunk in self.chunks.iter_mut().skip(self.own) {
            *chunk = Bytes::copy_from_slice(chunk);
        }
        self.own = self.chunks.len();
    }

    /// Everything, in one piece: for the sections at the beginning.
    fn whole(&mut self) -> Bytes {
        if self.chunks.len() == 1 && self.tail.is_empty() {
            return self.chunks.front().cloned().unwrap_or_default();
        }
        let mut whole = BytesMut::with_capacity(self.len);
        self.chunks.iter().for_each(|chunk| whole.extend_from_slice(chunk));
        whole.extend_from_slice(&self.tail);
        let whole = whole.freeze();
        let len = self.len;
        self.advance(len);
        self.len = len;
        self.chunks.push_back(whole.clone());
        whole
    }
}

/// What the core has said about a flow.
#[derive(Debug)]
pub(crate) struct Said {
    /// Bytes of the outgoing stream that the core keeps.
    pub(crate) held: usize,
    /// Bytes of the outgoing stream that the other side has passed on.
    pub(crate) acked: u64,
    /// How many it takes before it has passed them on; 0 if it did not say.
    pub(crate) takes: u32,
    /// What became of the outgoing stream.
    pub(crate) verdict: Option<Verdict>,
    /// The incoming stream has begun; its token, 0 if nobody waits for its outcome.
    pub(crate) begun: bool,
    pub(crate) token: u64,
    pub(crate) queue: Queue,
    /// How the incoming stream ends behind what is in the queue.
    pub(crate) end: End,
    /// The core waits to be told of room.
    pub(crate) short: bool,
    /// So much of the incoming stream is kept.
    keep: usize,
    waker: Option<Waker>,
}

impl Said {
    /// What was held back of the incoming stream may go on.
    pub(crate) const fn has_room(&self) -> bool {
        self.queue.len() <= self.keep / 2
    }
}

/// What a flow's task and the core share.
#[derive(Debug)]
pub(crate) struct Flow {
    index: usize,
    said: RefCell<Said>,
    links: Weak<Links>,
}

impl Flow {
    /// Looks at what was said, or changes it.
    pub(crate) fn said<R>(&self, f: impl FnOnce(&mut Said) -> R) -> R {
        f(&mut self.said.borrow_mut())
    }

    /// Who is woken by what comes.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut said = self.said.borrow_mut();
        if !said.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            said.waker = Some(waker.clone());
        }
    }

    /// The window that the sender of the incoming stream may be told of now.
    pub(crate) fn window(&self) -> u32 {
        let window = self.links.upgrade().map_or(FIRST, |links| links.window());
        let mut said = self.said.borrow_mut();
        // What was told before is on its way.
        said.keep = said.keep.max(window as usize + BEYOND);
        window as u32
    }

    /// So many bytes of the incoming stream were passed on.
    pub(crate) fn advance(&self, n: usize) {
        self.said.borrow_mut().queue.advance(n);
        self.passed(n);
    }

    /// The same, after they were taken from the queue.
    pub(crate) fn passed(&self, n: usize) {
        if let Some(links) = self.links.upgrade() {
            links.kept.set(links.kept.get().saturating_sub(n));
        }
    }

    /// The link of the outgoing stream.
    pub(crate) fn outgoing(&self) -> LinkRef {
        self.link(1)
    }

    /// The link of the incoming stream.
    pub(crate) fn incoming(&self) -> LinkRef {
        self.link(0)
    }

    /// The beginning of the incoming stream, all that is here.
    pub(crate) fn beginning(&self) -> Bytes {
        self.said.borrow_mut().queue.whole()
    }

    fn link(&self, odd: u32) -> LinkRef {
        // A worker has fewer flows than descriptors.
        let index = u32::try_from(self.index).unwrap_or(u32::MAX >> 1);
        LinkRef { conn: self.links.upgrade().map_or(u32::MAX, |links| links.conn.get()), link: (index << 1) | odd }
    }

    fn change(&self, f: impl FnOnce(&mut Said)) {
        let mut said = self.said.borrow_mut();
        f(&mut said);
        if let Some(waker) = &said.waker {
            waker.wake_by_ref();
        }
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        if let Some(links) = self.links.upgrade() {
            links.kept.set(links.kept.get().saturating_sub(self.said.borrow().queue.len()));
            links.flows.borrow_mut().try_remove(self.index);
        }
    }
}

/// The flows of one worker that go through the network.
#[derive(Debug)]
pub(crate) struct Links {
    /// The connection number that all of our links have.
    conn: Cell<u32>,
    flows: RefCell<Slab<Weak<Flow>>>,
    /// What arrived and was not passed on, of all flows.
    kept: Cell<usize>,
    /// And how much that is to be at most.
    pub(crate) budget: Cell<usize>,
}

impl Default for Links {
    fn default() -> Self {
        Self { conn: Cell::default(), flows: RefCell::default(), kept: Cell::new(0), budget: Cell::new(BUDGET) }
    }
}

impl Links {
    /// The window of one more stream: half of what the budget has left, so that streams which fill up and stall one after the other share it.
    fn window(&self) -> u64 {
        let left = self.budget.get().saturating_sub(self.kept.get());
        (left as u64 / 2).clamp(FIRST, LARGEST)
    }

    /// A new flow.
    pub(crate) fn open(self: &Rc<Self>) -> Rc<Flow> {
        let mut flows = self.flows.borrow_mut();
        let entry = flows.vacant_entry();
        let said = Said {
            held: 0,
            acked: 0,
            takes: 0,
            verdict: None,
            begun: false,
            token: 0,
            queue: Queue::default(),
            end: End::More,
            short: false,
            keep: FIRST as usize + BEYOND,
            waker: None,
        };
        let flow = Rc::new(Flow { index: entry.key(), said: RefCell::new(said), links: Rc::downgrade(self) });
        entry.insert(Rc::downgrade(&flow));
        flow
    }

    fn flow(&self, link: LinkRef) -> Option<Rc<Flow>> {
        self.flows.borrow().get((link.link >> 1) as usize)?.upgrade()
    }
}

/// What the core sends to.
pub(crate) struct FlowEgress {
    links: Rc<Links>,
    adaptor: Weak<TcpAdaptor>,
}

impl FlowEgress {
    pub(crate) fn new(links: &Rc<Links>, adaptor: &Rc<TcpAdaptor>, conn: u32) -> Self {
        links.conn.set(conn);
        Self { links: Rc::clone(links), adaptor: Rc::downgrade(adaptor) }
    }
}

impl Egress for FlowEgress {
    fn send(&mut self, outlet: LinkRef, head: &SendHead<'_>, payload: &Payload<'_>, end: End) -> Sent {
        let Some(flow) = self.links.flow(outlet) else { return Sent::default() };
        let mut sent = Sent { started: true, settled: head.settled, ..Sent::default() };
        flow.change(|said| {
            if !said.begun {
                (said.begun, said.token) = (true, head.token);
            }
            if end == End::Aborted {
                (said.end, sent.done) = (end, true);
                return;
            }
            sent.taken = payload.len().min(said.keep.saturating_sub(said.queue.len()));
            let taken = Payload::range(payload.block, payload.start, payload.start + sent.taken);
            if !taken.is_empty() {
                said.queue.push(&taken);
                self.links.kept.set(self.links.kept.get() + taken.len());
            }
            sent.done = sent.taken == payload.len();
            said.short = !sent.done;
            if sent.done {
                said.end = end;
            }
        });
        sent
    }

    fn settle_in(&mut self, inlet: LinkRef, _: u32, state: Option<&DeliveryState>, settled: bool) {
        let Some(flow) = self.links.flow(inlet) else { return };
        flow.change(|said| match state {
            Some(DeliveryState::Received { section_number, section_offset }) if !settled => {
                (said.acked, said.takes) = (said.acked.max(*section_offset), *section_number);
            }
            state if settled || state.is_some_and(DeliveryState::is_terminal) => {
                said.verdict.get_or_insert_with(|| Verdict::of(state));
            }
            _ => {}
        });
    }

    /// The sender of the incoming stream is done with it. That it is complete is known from its last frame.
    fn settle_out(&mut self, _: LinkRef, _: u32, _: Option<&DeliveryState>, _: bool) {}

    fn grant(&mut self, _: LinkRef, _: u32) {}

    fn drain_in(&mut self, _: LinkRef) {}

    fn drained_out(&mut self, _: LinkRef) {}

    fn detach(&mut self, link: LinkRef, _: Option<Error>) {
        if let Some(flow) = self.links.flow(link) {
            flow.change(|said| said.verdict = Some(Verdict::Failed));
        }
    }

    fn hold(&mut self, inlet: LinkRef, bytes: usize) {
        if let Some(flow) = self.links.flow(inlet) {
            flow.said(|said| said.held += bytes);
        }
    }

    fn release(&mut self, inlet: LinkRef, bytes: usize) {
        if let Some(flow) = self.links.flow(inlet) {
            flow.change(|said| said.held = said.held.saturating_sub(bytes));
        }
    }

    fn accept_flow(&mut self, outlet: OutletKey, address: &str) -> Option<LinkRef> {
        self.adaptor.upgrade()?.serve(outlet, address)
    }

    /// Only whoever owns the core has mail for other workers.
    fn post(&mut self, _: WorkerId, _: WorkerMsg<'_>) {}
}
