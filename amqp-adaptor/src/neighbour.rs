//! Connections to other routers: their links, their groups, and what the control thread and the forwarding plane see of them.
//!
//! A connection lives on its worker like any other. When the peer has opened, it becomes a neighbour: the connecting side attaches the
//! links of [`links`], the control thread is told by [`NeighbourEvent`]s, and the forwarding plane by [`NeighbourLinks`].

mod control;
mod edge;
mod forwarding;
mod groups;
mod links;
pub(crate) mod open;
mod registry;
mod role;
mod streams;
mod wire;

use std::sync::Arc;
use std::time::Instant;

use amqp_proto::Role;
use amqp_proto::connection::{Disposed, Disposition, LinkId};
use bytes::Bytes;
use router_core::routing::LinkCost;
use router_core::{Core, EdgeLink, LinkRef};

use crate::egress::Conns;

pub use control::{ControlMessage, MAX_CONTROL_MESSAGE};
pub(crate) use edge::is_edge_link;
pub use edge::{EdgeCommand, EdgeEvent};
pub(crate) use forwarding::Forwarding;
pub use links::{LinkPurpose, PRIORITIES};
pub use registry::{GroupView, Neighbours};
pub use role::ConnectionRole;
pub use streams::StreamLinkError;

pub(crate) use control::{Inbox, Outbox};
pub(crate) use groups::GroupKey;
pub(crate) use links::{CAPACITY, LinkRefusal, Links, is_router_link};
pub(crate) use streams::StreamLinks;
pub(crate) use wire::{Names, discriminator, forbidden, not_an_edge};

/// A connection to a neighbour, wherever it is. Stale ones are harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NeighbourConn {
    /// Its worker.
    pub worker: u16,
    /// Its number on the worker, as in [`LinkRef`].
    pub slot: u32,
    /// Its number in the router, which is never used again.
    pub id: u64,
}

/// A connection to a neighbour that both sides have opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeighbourInfo {
    /// Which.
    pub conn: NeighbourConn,
    /// What it is for.
    pub role: ConnectionRole,
    /// The neighbour's router id (its container-id).
    pub container: String,
    /// What the link costs.
    pub cost: LinkCost,
    /// The neighbour is a router of this make.
    pub ours: bool,
    /// The neighbour's version, for people.
    pub version: String,
    /// We connected.
    pub outgoing: bool,
    /// The name of the connector or listener.
    pub via: Arc<str>,
    /// The neighbour accepts links for streams.
    pub streaming_links: bool,
    /// The neighbour spreads streams over data connections.
    pub trunking: bool,
    /// The ordinal of its group; 0 without TLS, or without a group.
    pub ordinal: u64,
}

/// What the control thread is told about neighbours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NeighbourEvent {
    /// A connection was opened by both sides.
    Opened(NeighbourInfo),
    /// Both control links of a connection are attached, and all others if it takes the place of another: messages may be sent and will come.
    ControlUp {
        /// Which.
        conn: NeighbourConn,
        /// The connection of the same group, to the same router, that it takes the place of. What is told about that one from here on is about
        /// leftovers.
        replaces: Option<NeighbourConn>,
    },
    /// A complete message came on a control link.
    Control {
        /// On which connection.
        conn: NeighbourConn,
        /// The message with its router annotations, at most [`MAX_CONTROL_MESSAGE`] bytes.
        message: Bytes,
    },
    /// The cost of a connector or listener was changed, and with it our side of its links.
    CostChanged {
        /// It is a connector.
        outgoing: bool,
        /// Its name.
        via: Arc<str>,
        /// What its links cost now.
        cost: u32,
    },
    /// A control link of a connection is gone, though the connection is not.
    ControlDown {
        /// Which.
        conn: NeighbourConn,
        /// Why, in words.
        reason: String,
    },
    /// A connection for data of a connector reached another router than the connection for control did: something between them balances
    /// load. It was closed, and will be tried again.
    GroupSplit {
        /// The connection.
        conn: NeighbourConn,
        /// Where it led to.
        container: String,
        /// Where the connection for control leads to.
        expected: String,
    },
    /// Something about the links of a connection with an edge router at one end.
    Edge {
        /// On which connection.
        conn: NeighbourConn,
        /// What.
        event: EdgeEvent,
    },
    /// A connection that was opened is gone.
    Closed {
        /// Which.
        conn: NeighbourConn,
        /// Why, in words.
        reason: String,
    },
}

/// The links of a connection between routers that are attached, by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NeighbourLinkTable {
    /// Control messages come here.
    pub control_in: Option<LinkRef>,
    /// Control messages go here.
    pub control_out: Option<LinkRef>,
    /// Messages come here, by priority.
    pub data_in: [Option<LinkRef>; PRIORITIES],
    /// Messages go here, by priority.
    pub data_out: [Option<LinkRef>; PRIORITIES],
}

/// What the forwarding plane is told about links to neighbours, on the worker of the connection, while it is being processed.
///
/// Answers go out through `Conns` as an [`Egress`](router_core::Egress). Everything does nothing unless it is implemented.
#[expect(unused_variables, reason = "the names are the documentation")]
pub trait NeighbourLinks {
    /// Whether links for data get their credit from here, instead of as many deliveries as the connection is configured for.
    fn grants(&self) -> bool {
        false
    }

    /// A connection was opened.
    fn opened(&self, core: &mut Core, conns: &mut Conns, info: &NeighbourInfo) {}

    /// A link is attached by both sides. `role` is what we are on it.
    fn attached(&self, core: &mut Core, conns: &mut Conns, link: LinkRef, purpose: LinkPurpose, role: Role) {}

    /// A link of a connection with an edge router at one end, which has the number `edge`, is attached by both sides.
    fn edge_attached(
        &self,
        core: &mut Core,
        conns: &mut Conns,
        link: LinkRef,
        edge: u64,
        kind: EdgeLink<'_>,
        role: Role,
    ) {
    }

    /// We may send this many deliveries on a link.
    fn credit(&self, core: &mut Core, conns: &mut Conns, link: LinkRef, purpose: LinkPurpose, credit: u32) {}

    /// A session of the connection takes transfers again, or the connection has room again.
    fn writable(&self, core: &mut Core, conns: &mut Conns, conn: u32) {}

    /// A link is gone.
    fn detached(&self, core: &mut Core, conns: &mut Conns, link: LinkRef, purpose: LinkPurpose, role: Role) {}

    /// A frame came on a link for data or streams. The answer is whether it was taken: a delivery whose first frame is not taken is
    /// released when it is complete, and its credit given back; the hook sees no more of it.
    fn transfer(
        &self,
        core: &mut Core,
        conns: &mut Conns,
        link: LinkRef,
        purpose: LinkPurpose,
        transfer: &router_core::Transfer,
        payload: &amqp_proto::connection::Payload<'_>,
    ) -> bool {
        false
    }

    /// The neighbour gave a state to a delivery, or settled it: one of ours if `disposition.outgoing`, else one of its own.
    fn disposed(&self, core: &mut Core, conns: &mut Conns, conn: u32, disposed: &Disposed, disposition: &Disposition) {}

    /// Another connection took the place of this one: nothing new is sent on its links.
    fn retired(&self, core: &mut Core, conns: &mut Conns, conn: NeighbourConn) {}

    /// A connection is gone, and with it all its links.
    fn closed(&self, core: &mut Core, conns: &mut Conns, conn: NeighbourConn) {}
}

/// What a connection to a neighbour has beyond other connections.
#[derive(Debug)]
pub(crate) struct Neighbour {
    pub(crate) info: NeighbourInfo,
    pub(crate) group: Option<GroupKey>,
    pub(crate) links: Links,
    /// The links of a connection with an edge router at one end.
    pub(crate) edge: Option<Box<edge::EdgeLinks>>,
    pub(crate) inbox: Inbox,
    pub(crate) outbox: Outbox,
    /// A connection with newer credentials took its place.
    pub(crate) retired: bool,
    /// Both control links were reported to be attached.
    pub(crate) control_up: bool,
    /// The peer has to have answered our attaches by then.
    pub(crate) setup_by: Option<Instant>,
    /// Links of ours for streams.
    pub(crate) streams: StreamLinks,
    /// Links for data whose current delivery nobody took.
    pub(crate) unwanted: Vec<LinkId>,
    /// It was said that deliveries are released.
    pub(crate) release_told: bool,
    pub(crate) capacity: u32,
    pub(crate) names: wire::Names,
}

impl Neighbour {
    /// The links that are attached.
    pub(crate) fn table(&self) -> NeighbourLinkTable {
        let conn = self.info.conn.slot;
        let link = |purpose, role| {
            let slot = self.links.get(purpose, role).filter(|slot| slot.attached)?;
            Some(LinkRef { conn, link: slot.link.to_u32() })
        };
        let data = |role| std::array::from_fn(|p| link(LinkPurpose::Data(u8::try_from(p).unwrap_or(0)), role));
        NeighbourLinkTable {
            control_in: link(LinkPurpose::Control, Role::Receiver),
            control_out: link(LinkPurpose::Control, Role::Sender),
            data_in: data(Role::Receiver),
            data_out: data(Role::Sender),
        }
    }
}
