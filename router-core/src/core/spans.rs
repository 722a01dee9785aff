//! Spans of messages that carry a sampled trace context: one for the time in which this router has the message.
//!
//! Off, it costs a branch for each delivery that begins and each that is forgotten. On, a message that is not sampled costs a look at the sizes
//! of its sections, and nothing is allocated. Spans of deliveries that have a record are in a map beside the records, which do not grow by it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use amqp_proto::message::TraceContext;

use super::{Core, edges::edge_of_hop};
use crate::{
    core::slots::Key,
    delivery::{HEAD_SETTLED, PRESETTLED, TRACED, To},
    egress::{DeliveryState, Egress, End, LinkRef, Payload},
};

/// Spans that are not over, and those that are and were not taken, of a worker. Each takes some 200 bytes, and up to 1 KiB for names and its state.
pub(super) const MOST: usize = 8192;

/// How much of a peer's name is kept, in bytes.
const LONGEST_PEER: usize = 256;

/// The time in which a router had a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The trace that the message belongs to.
    pub trace_id: [u8; 16],
    /// The span of whoever sent the message.
    pub parent: [u8; 8],
    /// Its own id, unlike all others of the network.
    pub id: [u8; 8],
    /// `trace-flags` of the message.
    pub flags: u8,
    /// `tracestate` of the message.
    pub state: Box<str>,
    /// The lookup key of the address.
    pub address: Arc<str>,
    /// When its first frame came, as [`Egress::now`] has it.
    pub begin: u64,
    /// When the router forgot it: its sender knows the outcome, or all of it was sent.
    pub end: u64,
    /// Where it came from, as [`Egress::peer`] has it.
    pub from: Option<Box<str>>,
    /// Where it went. Unknown of copies, which go to several, and of deliveries to clients of another worker.
    pub to: Option<Box<str>>,
    /// What became of it.
    pub outcome: SpanOutcome,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanOutcome {
    /// Its receiver accepted it.
    Accepted,
    /// Its receiver, or a router, refused it.
    Rejected,
    /// Nobody took it.
    Released,
    /// It may or may not have been delivered.
    Modified,
    /// Its sender had settled it, and it was sent on.
    Settled,
    /// Its sender had settled it, and nobody took it.
    Dropped,
    /// Its sender did not finish it.
    Aborted,
    /// It ended without any of these, or with another state.
    Other,
}

impl SpanOutcome {
    /// In a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Rejected => "rejected",
            Self::Released => "released",
            Self::Modified => "modified",
            Self::Settled => "settled",
            Self::Dropped => "dropped",
            Self::Aborted => "aborted",
            Self::Other => "other",
        }
    }

    /// It was not delivered, as far as is known.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Rejected | Self::Released | Self::Modified | Self::Dropped | Self::Aborted)
    }

    const fn of(state: &DeliveryState) -> Self {
        match state {
            DeliveryState::Accepted => Self::Accepted,
            DeliveryState::Rejected(_) => Self::Rejected,
            DeliveryState::Released => Self::Released,
            DeliveryState::Modified { .. } => Self::Modified,
            _ => Self::Other,
        }
    }
}

fn shortened(peer: &str) -> Box<str> {
    peer.get(..peer.floor_char_boundary(LONGEST_PEER)).unwrap_or_default().into()
}

/// The spans of a worker.
#[derive(Debug)]
pub(super) struct Spans {
    /// They are wanted.
    pub(super) on: bool,
    /// Of deliveries with a record, by its key.
    active: BTreeMap<u64, Active>,
    /// That of the delivery that begins at this moment.
    current: Option<Active>,
    over: VecDeque<Span>,
    /// Where the next id is made from.
    next: u64,
}

/// A span that is not over.
#[derive(Debug)]
struct Active {
    span: Span,
    told: Option<SpanOutcome>,
}

impl Spans {
    pub(super) fn new(on: bool, seed: &[u8; 32], worker: u16) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = *seed;
        // Far apart in the row of numbers that the ids are made from.
        let next = u64::from_le_bytes([a, b, c, d, e, f, g, h]).wrapping_add(u64::from(worker) << 48);
        Self { on, active: BTreeMap::new(), current: None, over: VecDeque::new(), next }
    }

    /// An id: a row of numbers, mixed so that neighbours look unlike each other (SplitMix64). All zeros are none (W3C Trace Context §3.2.2.4).
    fn id(&mut self) -> [u8; 8] {
        loop {
            self.next = self.next.wrapping_add(1);
            let mut z = self.next.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^= z >> 31;
            if z != 0 {
                return z.to_be_bytes();
            }
        }
    }

    /// How many are not over.
    #[cfg(test)]
    pub(super) fn open(&self) -> usize {
        self.active.len() + usize::from(self.current.is_some())
    }

    fn of(&mut self, d: Key) -> Option<&mut Active> {
        self.active.get_mut(&d.to_raw()).or(self.current.as_mut())
    }
}

impl Core {
    /// Takes spans that are over, `most` at most, oldest first. To be called now and then: beyond a number of them, further ones are dropped and
    /// counted ([`Counters::spans_dropped`](crate::Counters::spans_dropped)).
    pub fn take_spans(&mut self, most: usize) -> Vec<Span> {
        let n = self.spans.over.len().min(most);
        self.spans.over.drain(..n).collect()
    }

    /// A delivery begins. True if it has a span; then [`span_begun`](Self::span_begun) has to follow.
    #[cold]
    #[inline(never)]
    pub(super) fn begin_span(&mut self, inlet: Key, address: Key, payload: &Payload<'_>, eg: &impl Egress) -> bool {
        let Some(context) = TraceContext::sampled(payload.as_slice()) else { return false };
        let Some((conn, link)) = self.inlets.get(inlet).map(|inlet| (inlet.conn, inlet.link)) else { return false };
        let Some(name) = self.addresses.get(address).map(|a| Arc::clone(&a.name)) else { return false };
        if self.is_internal(conn) {
            return false;
        }
        if self.spans.active.len() >= MOST {
            self.counters.spans_dropped += 1;
            return false;
        }
        let span = Span {
            trace_id: context.trace_id,
            parent: context.span_id,
            id: self.spans.id(),
            flags: context.flags,
            state: context.state.into(),
            address: name,
            begin: eg.now(),
            end: 0,
            from: eg.peer(link).map(shortened),
            to: None,
            outcome: SpanOutcome::Other,
        };
        self.spans.current = Some(Active { span, told: None });
        true
    }

    /// The first frame of a delivery with a span was handled. `d`: its record, if it has one.
    #[cold]
    pub(super) fn span_begun(&mut self, d: Option<Key>, settled: bool, eg: &impl Egress) {
        let Some(active) = self.spans.current.take() else { return };
        match d.filter(|d| self.deliveries.get(*d).is_some_and(|delivery| delivery.has(TRACED))) {
            Some(d) => {
                self.spans.active.insert(d.to_raw(), active);
            }
            // It was settled, and is gone.
            None => self.span_over(active, if settled { SpanOutcome::Settled } else { SpanOutcome::Other }, eg),
        }
    }

    /// Where the delivery that begins at this moment goes, when that is not to be found in its record.
    #[cold]
    pub(super) fn span_to_link(&mut self, link: LinkRef, eg: &impl Egress) {
        if let (Some(active), Some(peer)) = (&mut self.spans.current, eg.peer(link)) {
            active.span.to = Some(shortened(peer));
        }
    }

    /// The same, for one that goes to a neighbour.
    #[cold]
    pub(super) fn span_to_hop(&mut self, hop: Key) {
        let to = self.hop_peer(hop);
        if let Some(active) = &mut self.spans.current
            && active.span.to.is_none()
        {
            active.span.to = to;
        }
    }

    fn hop_peer(&self, hop: Key) -> Option<Box<str>> {
        let hop = self.hops.get(hop)?;
        // What stands for a connection with an edge router has no name that anybody knows.
        edge_of_hop(&hop.id).is_none().then(|| (&*hop.id).into())
    }

    /// The outcome of a delivery with a span. The first one counts.
    #[cold]
    pub(super) fn span_outcome(&mut self, d: Key, state: Option<&DeliveryState>) {
        if let (Some(active), Some(state)) = (self.spans.of(d), state) {
            active.told.get_or_insert_with(|| SpanOutcome::of(state));
        }
    }

    /// A delivery with a span is forgotten.
    #[cold]
    #[inline(never)]
    pub(super) fn end_span(&mut self, d: Key, eg: &impl Egress) {
        let Some(delivery) = self.deliveries.get(d).filter(|delivery| delivery.has(TRACED)) else { return };
        let taken = self.spans.active.remove(&d.to_raw()).or_else(|| self.spans.current.take());
        let Some(mut active) = taken else { return };
        let settled = delivery.flags & (PRESETTLED | HEAD_SETTLED) != 0;
        let outcome = match active.told {
            None if delivery.ended == End::Aborted => SpanOutcome::Aborted,
            None if settled => SpanOutcome::Settled,
            None => SpanOutcome::Other,
            // Between routers of ours it is told how something ended that its sender had settled.
            Some(SpanOutcome::Accepted) if settled => SpanOutcome::Settled,
            Some(told) if settled && told.is_failure() => SpanOutcome::Dropped,
            Some(told) => told,
        };
        let outlet = match delivery.to {
            To::Outlet { outlet, .. } => self.outlets.get(outlet),
            _ => None,
        };
        let peer = outlet.and_then(|outlet| eg.peer(outlet.link)).map(shortened);
        let hop = || self.onwards.at(delivery.onward).and_then(|(_, onward)| self.hop_peer(onward.hop));
        active.span.to = peer.or(active.span.to).or_else(hop);
        self.span_over(active, outcome, eg);
    }

    fn span_over(&mut self, active: Active, outcome: SpanOutcome, eg: &impl Egress) {
        self.counters.spans += 1;
        if self.spans.over.len() >= MOST {
            self.counters.spans_dropped += 1;
            return;
        }
        self.spans.over.push_back(Span { end: eg.now(), outcome, ..active.span });
    }
}
