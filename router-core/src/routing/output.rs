//! What the routing protocol wants from whoever runs it.

use std::sync::Arc;

use super::{
    message::{AddressEntry, AddressKey, LoadEntry, Message, RouterId},
    routes::Routes,
};

/// The link pair to a neighbour that carries the routing protocol, as whoever runs the protocol numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The router at the other end of this link, no further.
    Hop(LinkId),
    /// One router, by way of the routers between.
    Router(RouterId),
    /// All routers: [`super::Routing::flood`] says on which links RA and LSU go out, [`Routes::spread`] on which MAU.
    AllRouters,
}

/// What to do next. [`super::Routing::poll_output`] gives them in the order in which to do them.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send a message.
    Send {
        /// Where to.
        to: Target,
        /// What.
        message: Message,
    },
    /// Something happened.
    Event(Event),
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A neighbour can be used: it hears us and we hear it.
    NeighbourUp {
        /// The neighbour.
        router: RouterId,
        /// The link that leads to it from now on.
        link: LinkId,
        /// What the link costs.
        cost: u32,
    },
    /// A neighbour was lost: its last link went away, or it was silent for too long.
    NeighbourDown {
        /// The neighbour.
        router: RouterId,
    },
    /// Nothing was heard on a link for too long: whatever carries it is dead, or the other end is. Told once; what is heard on it later counts.
    LinkSilent {
        /// The link.
        link: LinkId,
        /// The router that was heard on it.
        router: RouterId,
    },
    /// The topology is another one.
    Routes(Arc<Routes>),
    /// The ways are the same, but copies go along other trees.
    Trees(Arc<Routes>),
    /// The addresses of a remote router changed.
    Addresses {
        /// The router.
        router: RouterId,
        /// New and changed addresses.
        added: Arc<[AddressEntry]>,
        /// Addresses that it has no destination for any more.
        removed: Arc<[AddressKey]>,
    },
    /// A router tells loads, or does so no more: whether it is of our make.
    TellsLoads {
        /// The router.
        router: RouterId,
        /// Whether it does.
        tells: bool,
    },
    /// A router told loads.
    Loads {
        /// The router.
        router: RouterId,
        /// Of which addresses, and how much.
        entries: Arc<[LoadEntry]>,
    },
    /// No way leads to a router any more. Its addresses are kept for the hold-off.
    RouterUnreachable {
        /// The router.
        router: RouterId,
    },
    /// Nobody names the router any more.
    RouterForgotten {
        /// The router.
        router: RouterId,
    },
    /// A router was started again; its addresses were removed until it tells them again.
    RouterRestarted {
        /// The router.
        router: RouterId,
    },
    /// Another router has our id. Told once for each instance of it in a row.
    DuplicateId {
        /// When the other one started: seconds since 1970.
        instance: i64,
    },
    /// A router speaks a protocol version that we do not. Its messages of this kind are ignored. Told once a router.
    UnsupportedVersion {
        /// The router.
        router: RouterId,
        /// The kind of message.
        opcode: &'static str,
        /// Its version.
        version: u32,
    },
    /// A peer made us reach a limit; what exceeded it was left out. Told when it is first hit, and again after it was not for a while.
    LimitReached {
        /// Which.
        limit: Limit,
        /// The router whose message exceeded it.
        router: RouterId,
    },
}

/// A bound on what peers can make us remember.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// [`super::Limits::routers`]
    Routers,
    /// [`super::Limits::peers_per_router`]
    PeersPerRouter,
    /// [`super::Limits::addresses_per_router`]
    AddressesPerRouter,
    /// [`super::Limits::addresses`]
    Addresses,
}
