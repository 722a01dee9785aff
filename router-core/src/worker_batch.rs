//! What the cores of workers tell each other.

use crate::egress::{DeliveryState, End, Payload};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;

/// Number of a worker, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub u16);

/// A message for the core of another worker. Opaque to adaptors, who only push it into a [`WorkerBatch`].
#[derive(Debug)]
pub struct WorkerMsg<'a> {
    pub(crate) msg: Msg,
    pub(crate) payload: Option<Payload<'a>>,
}

/// Payloads below this size are copied into the batch; larger ones go by reference (`COPY_LIMIT` of the engine).
const COPY_LIMIT: usize = 2048;

/// Messages for one worker, in order. What one worker sends to another must be handled in the order in which it was posted.
#[derive(Debug, Default)]
pub struct WorkerBatch {
    pub(crate) msgs: Vec<Msg>,
    bytes: BytesMut,
    blocks: Vec<Bytes>,
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

/// Messages. Keys (`u64`) are raw keys of the worker that the name says: `mine` of the sender, `yours` of the receiver.
#[derive(Clone, Debug)]
pub(crate) enum Msg {
    /// An outlet of mine can take deliveries for this address; `address` is my key of it.
    OutletUp { outlet: u64, address: u64, name: Arc<str> },
    /// It went away. What was lent from it is void.
    OutletDown { outlet: u64 },
    /// Lend me credit of outlets of this address of yours; `mine` is my key of it. `urgent`: something waits.
    Want { address: u64, urgent: bool },
    /// You may send `credit` deliveries more to my outlet, which has `outstanding` unsettled ones.
    Lend { outlet: u64, credit: u32, outstanding: u32 },
    /// Give back what you have not used of my outlet.
    Recall { outlet: u64 },
    /// There it is. Everything I sent with it came before this.
    Returned { outlet: u64, credit: u32 },
    /// A delivery for one of your outlets (unicast), or for all of an address of yours (`outlet` is 0).
    Deliver(Box<Deliver>),
    /// More of it.
    More { mine: u64, place: Place, end: End },
    /// Its sender said something.
    SenderState { mine: u64, state: Option<DeliveryState>, settled: bool },
    /// Your delivery's receiver said something; `mine` is my key of it.
    Settle { yours: u64, mine: u64, state: Option<DeliveryState>, settled: bool },
    /// So many bytes of your delivery were passed on.
    Consumed { yours: u64, bytes: u32 },
    /// Your delivery came back: its outlet went away before a byte was sent. `at` says how much of the content is in it; what was
    /// posted later comes back as [`Msg::BouncedMore`].
    Bounced { place: Place },
}

/// A delivery on its way to another worker.
#[derive(Clone, Debug)]
pub(crate) struct Deliver {
    pub(crate) mine: u64,
    pub(crate) outlet: u64,
}

impl WorkerBatch {
    /// True if there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.msgs.is_empty()
    }

    /// Number of messages.
    pub fn len(&self) -> usize {
        self.msgs.len()
    }

    /// Adds a message.
    pub fn push(&mut self, msg: WorkerMsg<'_>) {
        let _ = (msg.payload.map(|p| p.len() < COPY_LIMIT), &self.bytes, &self.blocks);
        self.msgs.push(msg.msg);
    }
}
