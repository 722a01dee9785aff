//! What the cores of workers tell each other.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::egress::{DeliveryState, End, Payload};

/// Number of a worker, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub u16);

/// A message for the core of another worker. Opaque to adaptors, who only push it into a [`WorkerBatch`].
#[derive(Debug)]
pub struct WorkerMsg<'a> {
    pub(crate) msg: Msg,
    pub(crate) prefix: &'a [u8],
    pub(crate) payload: Payload<'a>,
    /// Nobody waits for it: the other worker need not know before it handles what comes from other routers.
    pub(crate) quiet: bool,
}

/// Payloads below this size are copied into the batch; larger ones go by reference.
pub(crate) const COPY_LIMIT: usize = 2048;

/// Messages for one worker, in order. What one worker posts to another must be handled in the order in which it was posted, once.
#[derive(Debug, Default)]
pub struct WorkerBatch {
    pub(crate) msgs: Vec<Posted>,
    pub(crate) bytes: BytesMut,
    pub(crate) blocks: Vec<Bytes>,
    /// Some of it is waited for.
    pub(crate) urgent: bool,
}

/// A message in a batch, and where in it its parts are.
#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) msg: Msg,
    /// What goes in front of a delivery, as a range of the batch's bytes.
    pub(crate) prefix: (u32, u32),
    pub(crate) payload: Place,
}

/// Where the payload of a message is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Place {
    /// No payload.
    #[default]
    Nowhere,
    /// A range of the batch's bytes.
    Copied { start: u32, end: u32 },
    /// A block of the batch.
    Block(u32),
}

/// Messages. Numbers are raw keys: `mine` of the worker that posts, `yours` of the one that reads.
#[derive(Clone, Debug)]
pub(crate) enum Msg {
    /// An outlet of mine can take deliveries for the address `name`, which is `address` to me. `ours`: it leads to a router of ours;
    /// `single`: it takes one delivery at a time, which may be long.
    OutletUp { outlet: u64, address: u64, name: Arc<str>, ours: bool, single: bool, annotated: bool },
    /// It went away. What was lent from it is void.
    OutletDown { outlet: u64 },
    /// It gets nothing more: give back what you have not used of it. What you sent to it goes on.
    OutletRetired { outlet: u64 },
    /// Lend me credit of outlets of this address of yours. `urgent`: something waits.
    Want { address: u64, urgent: bool },
    /// You may send `credit` deliveries more to my outlet, which has `outstanding` deliveries that are not settled.
    Lend { outlet: u64, credit: u32, outstanding: u32 },
    /// Give back what you have not used of my outlet.
    Recall { outlet: u64 },
    /// My line has ended for which your outlet is kept.
    Free { outlet: u64 },
    /// There it is. Everything that was sent with the rest came before this.
    Returned { outlet: u64, credit: u32 },
    /// A delivery, with the payload.
    Deliver(Deliver),
    /// More of it, with the payload.
    More { mine: u64, end: End },
    /// Its sender has said something.
    SenderState { mine: u64, state: Option<DeliveryState>, settled: bool },
    /// The receiver of your delivery has said something, or it is over.
    Settle { yours: u64, state: Option<DeliveryState>, settled: bool },
    /// So many bytes of your delivery were passed on.
    Consumed { yours: u64, bytes: usize },
    /// The outlet of your delivery went away before the first byte was sent. Ask for it with `GiveBack`, and post no more of it.
    Unsent { yours: u64 },
    /// Give it back: nothing more of it will come.
    GiveBack { mine: u64 },
    /// There it is.
    Bounced(Box<Bounced>),
}

/// A delivery on its way to another worker.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deliver {
    /// 0: settled and complete, the sender does not want to hear of it unless it bounces.
    pub(crate) mine: u64,
    /// My key of the address, should it bounce.
    pub(crate) address: u64,
    /// One of your outlets, for which I have credit; or, a copy, all of one of your addresses.
    pub(crate) target: DeliverTo,
    pub(crate) settled: bool,
    pub(crate) second: bool,
    /// I count the bytes as held until you say that they were passed on.
    pub(crate) report: bool,
    /// It has to be forwarded while it arrives.
    pub(crate) streams: bool,
    pub(crate) message_format: u32,
    pub(crate) seq: u64,
    pub(crate) born: u32,
    pub(crate) end: End,
    /// It became long: the outlet is kept for what I send to it next.
    pub(crate) long: bool,
}

/// Whom a delivery from another worker is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DeliverTo {
    Outlet(u64),
    Address(u64),
}

/// A delivery that comes back.
#[derive(Clone, Debug)]
pub(crate) struct Bounced {
    pub(crate) yours: u64,
    pub(crate) deliver: Deliver,
    pub(crate) prefix: Option<Bytes>,
    pub(crate) content: Vec<Bytes>,
    pub(crate) end: End,
}

impl<'a> WorkerMsg<'a> {
    pub(crate) fn bare(msg: Msg) -> WorkerMsg<'static> {
        WorkerMsg { msg, prefix: &[], payload: Payload::empty(), quiet: false }
    }

    /// A delivery, or its first part, with what goes in front of it.
    pub(crate) const fn begin(deliver: Deliver, prefix: &'a [u8], payload: Payload<'a>) -> Self {
        Self { msg: Msg::Deliver(deliver), prefix, payload, quiet: false }
    }

    pub(crate) const fn with(msg: Msg, payload: Payload<'a>) -> Self {
        Self { msg, prefix: &[], payload, quiet: false }
    }
}

impl WorkerBatch {
    /// True if there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.msgs.is_empty()
    }

    /// Whether its reader has to be woken for it. Else it is enough that it is read before what comes from other routers, and now and then.
    pub const fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// Number of messages.
    pub fn len(&self) -> usize {
        self.msgs.len()
    }

    /// Bytes of content, copied or by reference.
    pub fn content_len(&self) -> usize {
        self.bytes.len() + self.blocks.iter().map(Bytes::len).sum::<usize>()
    }

    /// Roughly the bytes of memory that it keeps when it is empty.
    pub fn capacity(&self) -> usize {
        self.msgs.capacity() * size_of::<Posted>() + self.bytes.capacity() + self.blocks.capacity() * size_of::<Bytes>()
    }

    /// Adds a message. Small payloads are copied, large ones referred to.
    pub fn push(&mut self, msg: WorkerMsg<'_>) {
        let place = if msg.payload.is_empty() {
            Place::Nowhere
        } else if msg.payload.len() < COPY_LIMIT && self.bytes.len() < u32::MAX as usize / 2 {
            let start = self.bytes.len() as u32;
            self.bytes.extend_from_slice(msg.payload.as_slice());
            Place::Copied { start, end: self.bytes.len() as u32 }
        } else {
            self.blocks.push(msg.payload.to_bytes());
            Place::Block(self.blocks.len() as u32 - 1)
        };
        self.urgent |= !msg.quiet;
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(msg.prefix);
        self.msgs.push(Posted { msg: msg.msg, prefix: (start, self.bytes.len() as u32), payload: place });
    }
}
