//! What happened on a connection.

use bytes::Bytes;

use super::{LinkId, SessionId};
use crate::{
    DeliveryState, Error, SourceTerminus, Str, Symbol, TargetTerminus,
    link::Payload,
    performative::{Attach, Open, Role},
};

/// Who ended a connection, a session or a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Initiator {
    /// We: a command of the owner, or a rule that the peer broke.
    Local,
    /// The peer.
    Peer,
}

/// What [`super::Connection::handle_input`] found. Small: cold events are boxed.
#[derive(Debug)]
pub enum Event {
    /// Server: a client chose a mechanism or answered a challenge. The owner must call [`super::Connection::sasl_outcome`] or
    /// [`super::Connection::sasl_challenge`]; no further input is read before.
    Sasl(Box<SaslResponse>),
    /// Client: the server accepted our credentials.
    Authenticated,
    /// The peer's `open` arrived. A server answers with [`super::Connection::open`] or [`super::Connection::close`].
    Opened(Box<Open>),
    /// A session is mapped in both directions: the peer began it and we answered, or the peer answered ours.
    SessionBegun {
        /// The session.
        session: SessionId,
        /// Who began it.
        by: Initiator,
    },
    /// A session is gone, and its links were reported before.
    SessionEnded {
        /// The session.
        session: SessionId,
        /// Who ended it.
        by: Initiator,
        /// Why, if it was an error.
        error: Option<Box<Error>>,
    },
    /// The peer attached a link, or answered ours.
    Attached(Box<Attached>),
    /// A link is gone, and with it all that is unsettled on it. The peer has or will get its answer.
    Detached {
        /// The link.
        link: LinkId,
        /// What we were on it.
        role: Role,
        /// The owner's token.
        user: u64,
        /// False: only detached, the terminus stays and may be attached again by the same name.
        closed: bool,
        /// Who detached it.
        by: Initiator,
        /// Why, if it was an error.
        error: Option<Box<Error>>,
    },
    /// We are the sender: the credit changed, or the peer asks for a drain.
    Credit {
        /// The link.
        link: LinkId,
        /// The owner's token.
        user: u64,
        /// Deliveries that we may begin.
        credit: u32,
        /// The receiver wants us to use the credit at once and give back the rest with [`super::Connection::drained`].
        drain: bool,
    },
    /// We are the receiver: the sender gave credit back, usually because of [`super::Connection::request_drain`].
    Drained {
        /// The link.
        link: LinkId,
        /// The owner's token.
        user: u64,
        /// Credit that is gone without a delivery.
        returned: u32,
    },
    /// We are the receiver: the sender told how many deliveries it has (`available`).
    Available {
        /// The link.
        link: LinkId,
        /// The owner's token.
        user: u64,
        /// Deliveries that the sender could send given enough credit.
        available: u32,
    },
    /// The peer opened its incoming window, which had stopped us: sends of this session may go on.
    SessionWindow {
        /// The session.
        session: SessionId,
    },
    /// A transfer frame.
    Transfer(Transfer),
    /// The peer spoke about deliveries. Ask [`super::Connection::next_disposed`] which, until it answers `None`.
    Disposition(Disposition),
    /// The end of the connection.
    Closed(Box<Closed>),
}

/// A client's part in SASL, for the owner to judge.
#[derive(Debug)]
pub struct SaslResponse {
    /// The mechanism chosen, one of those offered.
    pub mechanism: Symbol,
    /// The initial response or the answer to a challenge. Never absent: a client that sent none is asked with an empty challenge, where
    /// the mechanism needs one.
    pub response: Bytes,
    /// The host that the client believes to talk to.
    pub hostname: Option<Str>,
}

/// A link that the peer attached, or whose attach the peer answered.
#[derive(Debug)]
pub struct Attached {
    /// The link.
    pub link: LinkId,
    /// The session it is in.
    pub session: SessionId,
    /// The owner's token.
    pub user: u64,
    /// The peer's frame. Its `role` is the peer's.
    pub attach: Attach,
    /// True if this is the answer to our attach. If not, the owner must answer.
    pub answer: bool,
    /// True if a link of this name was detached without being closed before on this connection.
    pub resumed: bool,
}

/// A transfer frame (AMQP 1.0 §2.7.5), whose payload is a range of the block that was read.
#[derive(Debug)]
pub struct Transfer {
    /// The link.
    pub link: LinkId,
    /// Id of the delivery in its session.
    pub delivery_id: u32,
    /// The owner's token of the link.
    pub user: u64,
    /// `message-format` of the delivery.
    pub message_format: u32,
    /// Where the payload begins in the block.
    pub start: u32,
    /// Where the payload ends in the block.
    pub end: u32,
    /// The first frame of its delivery.
    pub first: bool,
    /// More frames of this delivery will follow.
    pub more: bool,
    /// The delivery was given up by the sender, who regards it as settled.
    pub aborted: bool,
    /// The delivery is settled by the sender.
    pub settled: bool,
    /// The receiver is to settle second.
    pub rcv_second: bool,
    /// The state of the delivery at the sender, rarely present.
    pub state: Option<Box<DeliveryState>>,
}

impl Transfer {
    /// The payload in the block given to [`super::Connection::handle_input`].
    pub fn payload<'a>(&self, block: &'a Bytes) -> Payload<'a> {
        Payload::range(block, self.start as usize, self.end as usize)
    }
}

/// A disposition frame (AMQP 1.0 §2.7.6), clamped to what is unsettled here. Also the cursor of [`super::Connection::next_disposed`].
#[derive(Debug)]
pub struct Disposition {
    /// The session.
    pub session: SessionId,
    /// True: the peer is the receiver and speaks about deliveries that we sent. False: about deliveries that it sent.
    pub outgoing: bool,
    /// The peer settled them.
    pub settled: bool,
    /// The state, if the frame had one; passed on verbatim if it is unknown.
    pub state: Option<DeliveryState>,
    /// Where to look next.
    pub(crate) next: u32,
    /// The last delivery-id meant.
    pub(crate) last: u32,
    /// Everything was handed out.
    pub(crate) done: bool,
}

/// One delivery that a [`Disposition`] speaks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disposed {
    /// The link.
    pub link: LinkId,
    /// The owner's token of the link.
    pub user: u64,
    /// Id of the delivery in its session.
    pub delivery_id: u32,
    /// The owner's token of the delivery.
    pub token: u64,
}

impl Attached {
    /// An answer with these termini that agrees to the peer's settle modes, for [`super::Connection::accept_attach`].
    pub fn answer(&self, source: Option<SourceTerminus>, target: Option<TargetTerminus>) -> Attach {
        Attach {
            snd_settle_mode: self.attach.snd_settle_mode,
            rcv_settle_mode: self.attach.rcv_settle_mode,
            source,
            target,
            ..Attach::default()
        }
    }
}

/// Why and by whom a connection was closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Who closed it.
    pub by: Initiator,
    /// Why, if it was an error: what we told the peer, or what the peer told us.
    pub error: Option<Error>,
}
