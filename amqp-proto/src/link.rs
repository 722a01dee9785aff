//! The state of a link: one end of it, as the engine keeps it.

mod names;
mod payload;

pub(crate) use names::Names;
pub use payload::{End, Payload, SendHead, Sent};

use crate::{
    Str,
    connection::LinkId,
    performative::{DeliveryTag, ReceiverSettleMode, Role, SenderSettleMode},
};

/// How far attach and detach have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkState {
    /// We sent attach and wait for the peer's.
    AttachSent,
    /// The peer sent attach and the owner has not answered.
    AttachReceived,
    /// Both did.
    Attached,
    /// We sent detach and wait for the peer's; what it sends until then is discarded.
    DetachSent,
}

/// One end of a link.
///
/// The same numbers serve both roles: `credit` is what the sender may still send, be it us or the peer.
#[derive(Debug)]
pub(crate) struct Link {
    /// The owner's token.
    pub(crate) user: u64,
    /// Largest message that we accept, in bytes; 0: no limit.
    pub(crate) max_message_size: u64,
    /// Bytes so far of the delivery that is being received.
    pub(crate) size: u64,
    /// Content that the owner holds, in bytes.
    pub(crate) held: u32,
    pub(crate) name: Str,
    pub(crate) generation: u32,
    /// Our number for it, which goes into our frames.
    pub(crate) handle: u32,
    /// The peer's number, if it has attached.
    pub(crate) peer_handle: Option<u32>,
    /// `delivery-count` (AMQP 1.0 §2.6.7).
    pub(crate) delivery_count: u32,
    /// Deliveries that the sender may begin.
    pub(crate) credit: u32,
    /// Receiver: credit to be told to the sender with the next flow.
    pub(crate) grant: u32,
    /// Receiver: what the sender said it has.
    pub(crate) available: u32,
    /// Deliveries in the session's ring.
    pub(crate) unsettled: u32,
    /// The delivery of which a part was sent or received.
    pub(crate) delivery_id: u32,
    /// Its format.
    pub(crate) message_format: u32,
    /// Frames that came after we had detached.
    pub(crate) errant: u32,
    pub(crate) session: u16,
    /// What we are.
    pub(crate) role: Role,
    pub(crate) state: LinkState,
    pub(crate) snd_mode: SenderSettleMode,
    pub(crate) rcv_mode: ReceiverSettleMode,
    /// A delivery is not complete.
    pub(crate) partial: bool,
    /// That delivery is settled.
    pub(crate) settled: bool,
    /// That delivery is settled by the owner's wish, but the link's mode forbids to say so.
    pub(crate) auto: bool,
    /// That delivery asks the receiver to settle second.
    pub(crate) second: bool,
    /// That delivery is none that we know: the sender resumes something, which we ignore (§2.7.5).
    pub(crate) ignored: bool,
    /// A drain is asked for: by us as receiver, by the peer if we are the sender.
    pub(crate) drain: bool,
    /// Listed to have a flow written.
    pub(crate) dirty: bool,
    /// The flow must be written even if it tells nothing urgent.
    pub(crate) urgent: bool,
    /// Tag of the delivery that is being received in parts.
    pub(crate) tag: DeliveryTag,
}

impl Link {
    pub(crate) fn new(name: Str, role: Role, session: u16, generation: u32) -> Self {
        Self {
            user: 0,
            max_message_size: 0,
            size: 0,
            held: 0,
            name,
            generation,
            handle: 0,
            peer_handle: None,
            delivery_count: 0,
            credit: 0,
            grant: 0,
            available: 0,
            unsettled: 0,
            delivery_id: 0,
            message_format: 0,
            errant: 0,
            session,
            role,
            state: LinkState::AttachReceived,
            snd_mode: SenderSettleMode::Mixed,
            rcv_mode: ReceiverSettleMode::First,
            partial: false,
            settled: false,
            auto: false,
            second: false,
            ignored: false,
            drain: false,
            dirty: false,
            urgent: false,
            tag: DeliveryTag::from_u64(0),
        }
    }

    /// The name of the link at an index of the connection.
    pub(crate) fn id(&self, index: usize) -> LinkId {
        LinkId::new(index, self.generation, self.role)
    }

    /// True while deliveries can move: not before both attached, not after we detached.
    pub(crate) fn is_attached(&self) -> bool {
        self.state == LinkState::Attached
    }
}
