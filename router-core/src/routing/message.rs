//! The messages of the routing protocol, as data.

use std::{sync::Arc, time::Duration};

use super::Load;

/// A router's id. Shared: every mention of a router costs a reference count.
pub type RouterId = Arc<str>;

/// A lookup key of an address: class letter and rest, such as `Mgreetings`. Shared like ids.
pub type AddressKey = Arc<str>;

/// Protocol version of HELLO, RA, LSU and LSR that we speak. Messages of a higher one are ignored.
pub const ROUTER_VERSION: u32 = 1;
/// Protocol version of MAU and MAR that we speak. Messages of a higher one are ignored.
pub const MOBILE_VERSION: u32 = 2;
/// The highest cost that a link can have; the highest that fits every peer's integers.
pub const MAX_COST: u32 = i32::MAX as u32;

/// A message of the routing protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Who is there: between neighbours only.
    Hello(Hello),
    /// How far the states of a router have moved on: to all routers.
    RouterAdvertisement(RouterAdvertisement),
    /// The neighbours of a router.
    LinkStateUpdate(LinkStateUpdate),
    /// Asks for a link-state update.
    LinkStateRequest(LinkStateRequest),
    /// The addresses with destinations at a router, or how they changed.
    MobileAddressUpdate(MobileAddressUpdate),
    /// Asks for a mobile-address update.
    MobileAddressRequest(MobileAddressRequest),
    /// How much there is to do for the consumers of addresses at a router. Of our own; the reference passes it on and makes nothing of it.
    Loads(Loads),
}

impl Message {
    /// The router that made the message.
    pub const fn id(&self) -> &RouterId {
        match self {
            Self::Hello(m) => &m.id,
            Self::RouterAdvertisement(m) => &m.id,
            Self::LinkStateUpdate(m) => &m.id,
            Self::LinkStateRequest(m) => &m.id,
            Self::MobileAddressUpdate(m) => &m.id,
            Self::MobileAddressRequest(m) => &m.id,
            Self::Loads(m) => &m.id,
        }
    }

    /// The protocol version it is written in.
    pub const fn version(&self) -> u32 {
        match self {
            Self::Hello(m) => m.version,
            Self::RouterAdvertisement(m) => m.version,
            Self::LinkStateUpdate(m) => m.version,
            Self::LinkStateRequest(m) => m.version,
            Self::MobileAddressUpdate(m) => m.version,
            Self::MobileAddressRequest(m) => m.version,
            Self::Loads(m) => m.version,
        }
    }

    /// Its name on the wire.
    pub const fn opcode(&self) -> &'static str {
        match self {
            Self::Hello(_) => "HELLO",
            Self::RouterAdvertisement(_) => "RA",
            Self::LinkStateUpdate(_) => "LSU",
            Self::LinkStateRequest(_) => "LSR",
            Self::MobileAddressUpdate(_) => "MAU",
            Self::MobileAddressRequest(_) => "MAR",
            Self::Loads(_) => "LOADS",
        }
    }

    /// True for the messages about addresses, which have a version, an address and an encoding of their own.
    pub const fn is_mobile(&self) -> bool {
        matches!(self, Self::MobileAddressUpdate(_) | Self::MobileAddressRequest(_) | Self::Loads(_))
    }

    /// The version of this kind of message that we speak.
    pub const fn supported_version(&self) -> u32 {
        if self.is_mobile() { MOBILE_VERSION } else { ROUTER_VERSION }
    }
}

/// HELLO
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The sender.
    pub id: RouterId,
    /// Protocol version.
    pub version: u32,
    /// When the sender started: seconds since 1970. 0 if it does not say.
    pub instance: i64,
    /// The neighbours that the sender hears.
    pub seen: Vec<RouterId>,
    /// How often the sender sends HELLO; `None` means once a second. The reference neither says it nor reads it.
    pub interval: Option<Duration>,
    /// What the link costs as the sender is configured, if that was changed since the connection was opened. As `interval`.
    pub cost: Option<u32>,
}

/// RA
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterAdvertisement {
    /// The sender.
    pub id: RouterId,
    /// Protocol version.
    pub version: u32,
    /// When the sender started.
    pub instance: i64,
    /// Sequence number of its link state.
    pub ls_seq: u64,
    /// Sequence number of its addresses.
    pub mobile_seq: u64,
    /// It tells loads, and counts those that it is told. The reference neither says it nor reads it.
    pub loads: bool,
}

/// A neighbour in a link state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its id.
    pub id: RouterId,
    /// What it costs to reach it, 1 to [`MAX_COST`].
    pub cost: u32,
}

/// LSU
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkStateUpdate {
    /// The router whose link state it is.
    pub id: RouterId,
    /// Protocol version.
    pub version: u32,
    /// When that router started.
    pub instance: i64,
    /// Sequence number of the link state.
    pub ls_seq: u64,
    /// Its neighbours.
    pub peers: Arc<[Peer]>,
}

/// LSR
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkStateRequest {
    /// The sender, to which the answer goes.
    pub id: RouterId,
    /// Protocol version.
    pub version: u32,
}

/// How deliveries for an address are to be spread, as the router with the destination sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Hint {
    /// A copy for everybody, without regard to valid origins.
    Flood = 0,
    /// A copy for everybody.
    Multicast = 1,
    /// The nearest.
    Closest = 2,
    /// The one with the least work.
    Balanced = 3,
    /// Nobody.
    Unavailable = 4,
}

impl Hint {
    /// The hint of a number on the wire. Unknown numbers are no hint.
    pub const fn of_number(number: i64) -> Option<Self> {
        Some(match number {
            0 => Self::Flood,
            1 => Self::Multicast,
            2 => Self::Closest,
            3 => Self::Balanced,
            4 => Self::Unavailable,
            _ => return None,
        })
    }
}

/// An address with destinations at a router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressEntry {
    /// Lookup key, of class M, N or H.
    pub key: AddressKey,
    /// Treatment, if known.
    pub hint: Option<Hint>,
    /// How many links send to the address at that router.
    pub in_links: u32,
    /// The edge mesh that has all its destinations there, if a single one has.
    pub mesh: Option<Arc<str>>,
}

/// MAU
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MobileAddressUpdate {
    /// The router whose addresses they are.
    pub id: RouterId,
    /// Protocol version.
    pub version: u32,
    /// The sequence number that the receiver has afterwards.
    pub mobile_seq: u64,
    /// What to do.
    pub content: MobileContent,
}

/// What a mobile-address update says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MobileContent {
    /// Changes of the state with the sequence number before.
    Differential {
        /// New and changed addresses.
        add: Arc<[AddressEntry]>,
        /// Those without destinations now.
        del: Arc<[AddressKey]>,
    },
    /// All addresses.
    Absolute {
        /// All addresses.
        exist: Arc<[AddressEntry]>,
    },
}

/// MAR
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MobileAddressRequest {
    /// The sender, to which the answer goes.
    pub id: RouterId,
    /// Protocol version.
    pub version: u32,
    /// The sequence number that the sender has.
    pub have_seq: u64,
}

/// LOADS
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loads {
    /// The router whose loads they are.
    pub id: RouterId,
    /// Protocol version.
    pub version: u32,
    /// Those that changed, and some of those that did not.
    pub entries: Arc<[LoadEntry]>,
}

/// The load of an address at a router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadEntry {
    /// Lookup key.
    pub key: AddressKey,
    /// The load.
    pub load: Load,
}
