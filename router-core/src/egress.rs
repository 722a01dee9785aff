//! What [`Core`](crate::Core) asks of adaptors, and what adaptors tell it about transfers.
//!
//! `Core` calls an [`Egress`] that is passed to each of its methods; an `Egress` never calls back (decision 0003).
//! Nothing here assumes that a link is an AMQP link: a [`LinkRef`] is whatever the adaptor makes of its two numbers.

pub use amqp_proto::{
    DeliveryState, Error,
    connection::{End, Payload, SendHead, Sent},
};

use crate::{
    InKey, OutletKey,
    worker_batch::{WorkerId, WorkerMsg},
};

/// A link of an adaptor, in the adaptor's own numbers. `Core` only keeps it and hands it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkRef {
    /// The connection (or what stands for one) in the adaptor.
    pub conn: u32,
    /// The link on that connection.
    pub link: u32,
}

/// One frame of a delivery that arrived at an inlet. The payload is passed beside it.
#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    /// The adaptor's number of the delivery; comes back in [`Egress::settle_in`].
    pub delivery_id: u32,
    /// The first frame of a delivery.
    pub first: bool,
    /// Whether more frames follow, this was the last, or the sender aborted the delivery.
    pub end: End,
    /// The sender has settled the delivery (AMQP 1.0 §2.7.5; may become true on a later frame).
    pub settled: bool,
    /// `message-format` of the delivery; only looked at on the first frame.
    pub message_format: u32,
    /// The sender wants `rcv-settle-mode` second: it settles first, after it has seen the outcome (§2.8.3).
    pub rcv_second: bool,
}

/// What the core asks of adaptors while it handles something. Implementations never call back into the core.
pub trait Egress {
    /// Tries to send (a part of) a delivery on an outlet.
    ///
    /// The first call for a delivery starts it; until `done` was answered with an `end` other than [`End::More`], further
    /// calls for the same link continue it. `head.token` is the [`OutKey`](crate::OutKey) of the delivery (`to_raw`), to
    /// come back in [`Core::outcome`](crate::Core::outcome); it is 0 for presettled deliveries.
    ///
    /// The answer may be short: `taken` bytes were taken; `done` says that all bytes and `end` were; `started` that the
    /// delivery is on its way and cannot go elsewhere any more. After a short answer the core leaves the link alone until
    /// [`Core::writable`](crate::Core::writable). `settled` says that the link sends settled whatever the head says: then the
    /// core takes a delivery for accepted when it was sent. An [`End::Aborted`] of a delivery in progress carries no
    /// payload. `delivery_id` is the adaptor's number of the delivery, the same for every part.
    fn send(&mut self, outlet: LinkRef, head: &SendHead, payload: &Payload<'_>, end: End) -> Sent;

    /// A state, or the settlement, toward the sender of a delivery.
    fn settle_in(&mut self, inlet: LinkRef, delivery_id: u32, state: Option<&DeliveryState>, settled: bool);

    /// A delivery that is not settled has another key from now on.
    fn renamed_in(&mut self, inlet: LinkRef, delivery_id: u32, key: InKey) {
        let _ = (inlet, delivery_id, key);
    }

    /// A state, or the settlement, toward the receiver of a delivery.
    fn settle_out(&mut self, outlet: LinkRef, delivery_id: u32, state: Option<&DeliveryState>, settled: bool);

    /// Extends the sender's credit by `credit` deliveries. Also takes back a drain that is under way; `credit` may be 0 then.
    fn grant(&mut self, inlet: LinkRef, credit: u32);

    /// Withdraws credit: asks the sender to drain. The answer comes as [`Core::inlet_drained`](crate::Core::inlet_drained).
    fn drain_in(&mut self, inlet: LinkRef);

    /// Answers the receiver's drain: its credit is used up now.
    fn drained_out(&mut self, outlet: LinkRef);

    /// The core ends a link, because of `error` or because it is not needed any more. The adaptor detaches it and must not name its key
    /// again (doing so is harmless).
    fn detach(&mut self, link: LinkRef, error: Option<Error>);

    /// The core keeps `bytes` more of what came in on this link: do not extend the window for them.
    fn hold(&mut self, inlet: LinkRef, bytes: usize);

    /// The core has passed on, or dropped, `bytes` that it held.
    fn release(&mut self, inlet: LinkRef, bytes: usize);

    /// More deliveries than there are links for streams want to go to this neighbour: attach one more, and tell it with
    /// [`Core::attach_hop`](crate::Core::attach_hop). Each request is to be answered with
    /// [`Core::stream_answered`](crate::Core::stream_answered); bounded by whoever attaches.
    fn open_stream(&mut self, neighbour: &str) {
        let _ = neighbour;
    }

    /// As [`open_stream`](Self::open_stream), for the client of this connection; [`Core::attach_client_stream`](crate::Core::attach_client_stream)
    /// or [`Core::no_client_stream`](crate::Core::no_client_stream) is the answer. False: there can be none.
    fn open_client_stream(&mut self, conn: u32) -> bool {
        let _ = conn;
        false
    }

    /// A stream for an address (by its lookup key) that has servers: who takes it answers the link that the core sends it on. `outlet` is
    /// that link's key, which the adaptor detaches when it is done. Credit is for one delivery. `None`: nobody takes it.
    fn accept_flow(&mut self, outlet: OutletKey, address: &str) -> Option<LinkRef> {
        let _ = (outlet, address);
        None
    }

    /// The time, in nanoseconds since 1970. Asked for when a delivery with a span begins and when it ends.
    fn now(&self) -> u64 {
        0
    }

    /// What the peer of a link calls itself, for spans.
    fn peer(&self, link: LinkRef) -> Option<&str> {
        let _ = link;
        None
    }

    /// A message for the core of another worker. Adaptors collect them in a [`WorkerBatch`](crate::WorkerBatch).
    fn post(&mut self, worker: WorkerId, msg: WorkerMsg<'_>);
}
