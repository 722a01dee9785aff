//! A delivery, or one copy of it, while somebody has to remember it.

mod arena;
mod content;
mod waiting;

pub(crate) use arena::Arena;
pub(crate) use content::{Content, Freed};
pub(crate) use waiting::Waiting;

use bytes::Bytes;

use crate::{
    core::{Origin, slots::Key},
    egress::{DeliveryState, End},
};

/// No record.
pub(crate) const NIL: u32 = u32::MAX;

/// Who is to be told about the delivery's fate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// A link of this worker. The key may be stale: then nobody.
    Inlet { inlet: Key, id: u32 },
    /// The core of another worker, which knows it by `key`; 0 if it does not want to know.
    Worker { worker: u16, key: u64 },
    /// It is one copy of a multicast delivery.
    Copy { parent: Key },
}

/// Where the delivery is going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    /// It waits at its address.
    Waiting,
    /// It waits at an outlet: a copy, or what another worker sent with credit that we lent.
    Queued { outlet: Key },
    /// Its first byte went to an outlet, as this delivery of the outlet's session.
    Outlet { outlet: Key, id: u32 },
    /// It goes to a neighbour, and is gathered because it must not begin before it is complete, or known to be long.
    Gathering,
    /// It went to another worker; `remote` is the outlet there, or none for a copy.
    Worker { worker: u16, remote: Key },
    /// As [`To::Worker`], but it is on its way back because the outlet was lost before the first byte.
    Returning { worker: u16 },
    /// Back at its origin's request-to-be: the outlet was lost; its origin has been told and will ask for what we have.
    Parked { worker: u16 },
    /// Its copies are.
    Fan,
    /// Nowhere: its fate is decided; what still arrives of it is dropped.
    Nowhere,
}

/// The sender settled it: nobody waits for the outcome.
pub(crate) const PRESETTLED: u32 = 1;
/// The sender wants to settle before us (`rcv-settle-mode` second).
pub(crate) const SECOND: u32 = 1 << 1;
/// Toward the sender, everything is said.
pub(crate) const IN_SETTLED: u32 = 1 << 2;
/// Toward the receiver, everything is said.
pub(crate) const OUT_SETTLED: u32 = 1 << 3;
/// The outcome was told to the sender; it has to settle now.
pub(crate) const OUTCOME_SENT: u32 = 1 << 4;
/// The first byte went out: it cannot go elsewhere.
pub(crate) const STARTED: u32 = 1 << 5;
/// All of it went out.
pub(crate) const SENT: u32 = 1 << 6;
/// The outlet sends settled though the sender did not: it is accepted when it was sent.
pub(crate) const AUTO: u32 = 1 << 7;
/// It still has its inlet's credit.
pub(crate) const CREDIT: u32 = 1 << 8;
/// It is in its outlet's list.
pub(crate) const LISTED: u32 = 1 << 9;
/// Its origin on another worker counts its bytes as held until we say that they were passed on.
pub(crate) const REPORT: u32 = 1 << 10;
/// It counts among those that wait at its address.
pub(crate) const WAITS: u32 = 1 << 12;
/// Its content counts in the worker's pool, not against its sender's window.
pub(crate) const POOLED: u32 = 1 << 13;
/// Of a delivery that is gathered: to its end, because there is no link for streams.
pub(crate) const WHOLE: u32 = 1 << 14;
/// Its sender settled it, but it goes to a router of ours unsettled: what is told there says when its consumer took it.
pub(crate) const TRACKED: u32 = 1 << 15;
/// It has waited at an address.
pub(crate) const WAITED: u32 = 1 << 16;
/// The router of ours from which it comes wants to know whether it has waited.
pub(crate) const TELL_WAITED: u32 = 1 << 17;
/// It counts among the stuck ones of the link that it came on, and of the one that it went to.
pub(crate) const STUCK_IN: u32 = 1 << 18;
/// See [`STUCK_IN`].
pub(crate) const STUCK_OUT: u32 = 1 << 19;
/// It has a span.
pub(crate) const TRACED: u32 = 1 << 20;
/// Its sender did not ask for it, but settles before us, because its receiver waits for that.
pub(crate) const YIELDED: u32 = 1 << 21;
/// When it comes back released it is tried elsewhere.
pub(crate) const RESENDS: u32 = 1 << 22;
/// It had not arrived completely when it came, and has to be forwarded while it does.
pub(crate) const STREAMS: u32 = 1 << 23;
/// It became long on its way to a neighbour, or comes after one that did: it goes over a link for streams.
pub(crate) const LONG: u32 = 1 << 24;
/// It was sent with `settled` on its first frame, whatever happened later.
pub(crate) const HEAD_SETTLED: u32 = 1 << 11;

/// A record. Which fields mean something depends on `from` and `to`.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) from: From,
    pub(crate) to: To,
    /// The address it was sent to.
    pub(crate) address: Key,
    /// Order of arrival at the worker where it came in.
    pub(crate) seq: u64,
    /// What arrived and was not passed on. Copies read that of their parent.
    pub(crate) content: Option<Box<Content>>,
    /// Neighbours in the list of the outlet.
    pub(crate) next: u32,
    pub(crate) prev: u32,
    /// Neighbours among the copies of the parent.
    pub(crate) sib_next: u32,
    pub(crate) sib_prev: u32,
    /// Of a parent: its first copy, and how many are not settled.
    pub(crate) first_child: u32,
    pub(crate) children: u32,
    /// Of a copy: the chunk of the parent that comes next, and how much of that was sent. Of a parent: the number of the next chunk. Of a
    /// delivery from another worker: that worker's key of the address.
    pub(crate) chunk: u64,
    pub(crate) offset: u32,
    pub(crate) message_format: u32,
    /// Bytes that are at another worker and count as held at our inlet. Of a parent: copies at other workers.
    pub(crate) posted: usize,
    pub(crate) flags: u32,
    /// The half second in which it came, since its router began.
    pub(crate) born: u32,
    pub(crate) priority: u8,
    /// How far it has arrived.
    pub(crate) ended: End,
    /// Of a parent: rank of the worst outcome so far, 0 for none; and the outcome itself if it has something to say. Of any whose sender was
    /// told before it had finished: the outcome, to be told again.
    pub(crate) worst: u8,
    pub(crate) worst_state: Option<Box<DeliveryState>>,
    /// Index of what is to be known of it on its way to a neighbour; NIL for all others.
    pub(crate) onward: u32,
}

/// What is to be known of a delivery on its way to a neighbour, and of a flow's that is served here.
#[derive(Debug)]
pub(crate) struct Onward {
    /// Annotations to be sent in front of it; none once it has begun.
    pub(crate) prefix: Option<Bytes>,
    /// The address for which it goes there.
    pub(crate) origin: Key,
    /// The neighbour.
    pub(crate) hop: Key,
    /// Where it counts among what is outstanding for the address there.
    pub(crate) tally: Key,
    /// Of a tracked presettled delivery: how many untracked ones of its sender are over when it is.
    pub(crate) row: u8,
    /// Of one that is forwarded while it arrives, or served: where it entered the network.
    pub(crate) stream: Option<Origin>,
    /// Of one that goes to a client on a link for streams: the client's own, for which it was chosen.
    pub(crate) outlet: Key,
}

impl Delivery {
    #[inline]
    pub(crate) const fn new(from: From, address: Key, flags: u32, message_format: u32, seq: u64, ended: End) -> Self {
        Self {
            from,
            to: To::Waiting,
            address,
            seq,
            content: None,
            next: NIL,
            prev: NIL,
            sib_next: NIL,
            sib_prev: NIL,
            first_child: NIL,
            children: 0,
            chunk: 0,
            offset: 0,
            message_format,
            posted: 0,
            flags,
            born: 0,
            priority: 4,
            ended,
            worst: 0,
            worst_state: None,
            onward: NIL,
        }
    }

    #[inline]
    pub(crate) const fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    #[inline]
    pub(crate) const fn set(&mut self, flag: u32) {
        self.flags |= flag;
    }

    /// It is to be sent settled.
    #[inline]
    pub(crate) const fn goes_settled(&self) -> bool {
        self.has(HEAD_SETTLED) || (self.has(IN_SETTLED) && !self.has(TRACKED))
    }

    /// It waits at this address. Places where it waited before it was moved elsewhere are found out by that.
    #[inline]
    pub(crate) fn waits_at(&self, address: Key) -> bool {
        self.to == To::Waiting && self.address == address
    }

    /// All of it is here.
    pub(crate) fn arrived(&self) -> bool {
        self.ended != End::More
    }
}
