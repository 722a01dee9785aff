//! A link on which deliveries come in.

use amqp_proto::message::{HeadCursor, MAX_HEAD};

use crate::{
    core::slots::Key,
    credit::Capacity,
    egress::{LinkRef, Transfer},
    inspect::LinkCounters,
};

#[derive(Debug)]
pub(crate) struct Inlet {
    pub(crate) link: LinkRef,
    pub(crate) conn: Key,
    /// Position in the lists of the connection and of the address.
    pub(crate) conn_at: u32,
    pub(crate) address_at: u32,
    /// None: anonymous.
    pub(crate) address: Option<Key>,
    /// Who sends on it.
    pub(crate) sends: Sends,
    /// Deliveries of all addresses come here: none may hold up the others.
    pub(crate) shared: bool,
    pub(crate) capacity: Capacity,
    /// Credit that the sender has.
    pub(crate) issued: u32,
    /// Deliveries that have not given their credit back.
    pub(crate) open: u32,
    /// There is somebody to send to.
    pub(crate) granting: bool,
    /// In the list of inlets to be granted credit.
    pub(crate) dirty: bool,
    /// A drain was asked for and not answered.
    pub(crate) draining: bool,
    /// It sends one delivery for each grant: it gets one whenever nothing of it is under way.
    pub(crate) one_by_one: bool,
    /// The delivery that is arriving.
    pub(crate) current: Key,
    /// The beginning of an anonymous delivery that does not say yet where it goes.
    pub(crate) pending: Option<Box<Pending>>,
    /// Deliveries that wait at an address, and the lowest priority among them: later ones must not overtake.
    pub(crate) waiting: u32,
    pub(crate) floor: u8,
    /// Memory held for it, which is bounded by its session's window.
    pub(crate) held: u32,
    /// How often stalled senders were looked for since its last frame.
    pub(crate) strikes: u8,
    /// Deliveries whose outcome was told and that the sender has to settle first.
    pub(crate) seconds: Vec<Key>,
    /// Its number for management, and what it has counted.
    pub(crate) id: u64,
    pub(crate) counters: LinkCounters,
}

/// Who sends on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sends {
    Client,
    /// A client that asks for something for all its deliveries.
    Asks,
    /// This router itself. What it sends did not come in.
    Own,
    /// A client that may not do everything.
    Limited,
    /// The same; and its messages may name no other user, or it asks for something, too.
    Watched,
    /// Another router: deliveries begin with annotations.
    Router,
    /// The same, on a connection with an edge router at one end.
    Edge,
}

impl Inlet {
    /// Deliveries come into the network here, or from an edge router.
    #[inline]
    pub(crate) const fn ingress(&self) -> bool {
        !matches!(self.sends, Sends::Router | Sends::Own)
    }

    /// Its client may not do everything.
    pub(crate) const fn limited(&self) -> bool {
        matches!(self.sends, Sends::Limited | Sends::Watched)
    }

    /// Its client's deliveries are read from their beginning.
    #[inline]
    pub(crate) const fn read(&self) -> bool {
        matches!(self.sends, Sends::Asks | Sends::Watched)
    }

    /// A client that has nothing under way, and less credit than it may have. Some send one delivery whenever they hear of credit: such a one
    /// would wait for ever.
    pub(crate) fn may_wait_for_credit(&self) -> bool {
        !self.router() && self.granting && self.open == 0 && self.issued < self.capacity.get()
    }

    /// Deliveries begin with annotations.
    #[inline]
    pub(crate) const fn router(&self) -> bool {
        matches!(self.sends, Sends::Router | Sends::Edge)
    }

    /// It is a link of a connection with an edge router at one end.
    #[inline]
    pub(crate) const fn edge(&self) -> bool {
        matches!(self.sends, Sends::Edge)
    }

    /// An anonymous one without credit.
    pub(crate) fn new(link: LinkRef, conn: Key, conn_at: u32, capacity: Capacity, id: u64) -> Self {
        Self {
            link,
            conn,
            conn_at,
            address_at: 0,
            address: None,
            sends: Sends::Client,
            shared: false,
            capacity,
            issued: 0,
            open: 0,
            granting: false,
            dirty: false,
            draining: false,
            one_by_one: false,
            current: Key::NONE,
            pending: None,
            waiting: 0,
            floor: 9,
            held: 0,
            strikes: 0,
            seconds: Vec::new(),
            id,
            counters: LinkCounters::default(),
        }
    }
}

/// The first frames of an anonymous delivery.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) cursor: HeadCursor,
    pub(crate) bytes: Vec<u8>,
    /// How many of them were looked at, by those who do so from the beginning.
    pub(crate) tried: usize,
    pub(crate) first: Transfer,
}

impl Pending {
    /// One that was read from its beginning, and did not say enough.
    pub(crate) fn tried(bytes: &[u8], first: Transfer) -> Self {
        Self { cursor: HeadCursor::new(MAX_HEAD), bytes: bytes.to_vec(), tried: bytes.len(), first }
    }

    /// Enough has come to read it from its beginning once more. Frames of a few bytes must not make us read the same again for each.
    pub(crate) fn has_grown(&self) -> bool {
        self.bytes.len() >= self.tried * 2 || self.bytes.len() - self.tried >= 4096
    }
}
