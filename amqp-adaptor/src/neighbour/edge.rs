//! Links of a connection with an edge router at one end: what they are for, and who may attach which.
//!
//! The edge attaches all but those of streams: one up and one down for whatever has no link of its own, one for each address that it consumes
//! from or sends to, and two on which it is told which addresses it can reach, and tells of its mesh.
//!
//! Where both are edge routers, each attaches one on which it sends what is for the other itself, one for each address that it consumes from, and one on
//! which it offers an id for their mesh.

mod wire;

use std::collections::HashMap;
use std::sync::Arc;

use amqp_proto::connection::{LinkId, SessionId};
use amqp_proto::{Attach, Role, Source, SourceTerminus, Target, TargetTerminus};
use router_core::edge::MeshBid;
use router_core::{Core, Treatment};

use super::links::{self, LinkRefusal};
use super::{ConnectionRole, NeighbourInfo};

/// Capability of the termini of the link on which an edge router gets what is sent to itself.
pub(super) const DOWNLINK: &str = "qd.router-edge-downlink";
/// Capability of the termini of the links on which edge routers of a mesh get what is sent to themselves.
pub(super) const INTER_EDGE: &str = "qd.router-inter-edge";
/// Source of the link on which an edge router is told which addresses it can reach.
const TRACKING: &str = "_$qd.edge_addr_tracking";
/// Target of the link on which it tells of its mesh.
const MESH: &str = "_$qd.mesh_discovery";

/// Target of the link on which it offers others an id for their mesh.
const NEGOTIATION: &str = "_$qd.mesh_id_negotiation";

/// Credit of the link of [`TRACKING`], and of those of [`MESH`] and [`NEGOTIATION`].
const TRACKING_CREDIT: u32 = 32;
const MESH_CREDIT: u32 = 3;

/// What the control thread is told about the links of a connection with an edge router at one end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EdgeEvent {
    /// At an interior router: the edge began to receive from an address (`here`), or ended that.
    Consumer {
        /// The address's lookup key.
        key: Arc<str>,
        /// Its treatment here.
        treatment: Treatment,
        /// Whether it began.
        here: bool,
    },
    /// At an interior router: the edge wants to send to an address, or does not any more.
    Producer {
        /// The address's lookup key.
        key: Arc<str>,
        /// Whether it wants to.
        here: bool,
    },
    /// At an interior router: the mesh of the edge.
    Mesh(Arc<str>),
    /// At an edge router: what another one offers as the id of their mesh.
    Bid(MeshBid),
    /// At an edge router: whether an address that we want to send to has destinations.
    Tracking {
        /// The address's lookup key.
        key: Arc<str>,
        /// True if it has.
        reachable: bool,
    },
    /// At an edge router: all links that an uplink was asked for until now are attached.
    Ready,
    /// At an edge router: the other end refused a link of ours for one address, or took it away.
    LinkGone {
        /// The address's lookup key.
        key: Arc<str>,
        /// What we were on it.
        role: Role,
    },
}

/// What the control thread wants done with a connection that has an edge router at one end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EdgeCommand {
    /// At an edge router: attach the links that every uplink has, and tell this mesh.
    Activate {
        /// The mesh.
        mesh: Arc<str>,
    },
    /// At an edge router: attach the links that every connection to another one has, and offer this as the id of their mesh.
    Join {
        /// What we offer.
        bid: MeshBid,
    },
    /// At an edge router: tell an interior router that this is the mesh now.
    Mesh(Arc<str>),
    /// At an edge router: offer another one this as the id of their mesh.
    Offer(MeshBid),
    /// At an edge router: detach all links of ours but those of streams.
    Retire,
    /// At an edge router: attach a link for one address.
    Attach {
        /// The address's lookup key.
        key: Arc<str>,
        /// What we are on it.
        role: Role,
    },
    /// Detach it.
    Detach {
        /// The address's lookup key.
        key: Arc<str>,
        /// What we are on it.
        role: Role,
    },
    /// At an interior router: tell the edge whether an address has destinations.
    Track {
        /// The address's lookup key.
        key: Arc<str>,
        /// True if it has.
        reachable: bool,
    },
}

/// What a link is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EdgePurpose {
    /// From the edge, for whatever has no link of its own; and from one edge to another.
    Uplink,
    /// To the edge, for what is sent to itself; the edge's lookup key.
    Downlink(Arc<str>),
    /// To or from the edge, for one address.
    Proxy(Arc<str>, Treatment),
    Stream,
    Tracking,
    Mesh,
    Negotiation,
}

/// What we are on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// An edge router, under an interior one.
    Edge,
    /// An interior router.
    Interior,
    /// An edge router, beside another one.
    Peer,
}

impl Side {
    const fn of(info: &NeighbourInfo) -> Self {
        match (info.role, info.outgoing) {
            (ConnectionRole::InterEdge, _) => Self::Peer,
            (_, true) => Self::Edge,
            (_, false) => Self::Interior,
        }
    }
}

/// One link.
#[derive(Debug)]
struct EdgeLink {
    purpose: EdgePurpose,
    /// We attached it.
    ours: bool,
    attached: bool,
}

/// The links of a connection.
#[derive(Debug, Default)]
pub(crate) struct EdgeLinks {
    links: HashMap<u32, EdgeLink>,
    /// Ours at an edge router: for messages about addresses, and for deliveries.
    sessions: Option<(SessionId, SessionId)>,
    /// Where messages about addresses go, and where they come from.
    message_out: Option<LinkId>,
    messages_in: Vec<LinkId>,
    /// The link that all deliveries share.
    uplink: Option<LinkId>,
}

impl EdgeLinks {
    /// Where messages about addresses go.
    pub(crate) const fn message_out(&self) -> Option<LinkId> {
        self.message_out
    }

    /// Whether messages about addresses come on this link.
    #[inline]
    pub(crate) fn has_messages(&self, link: LinkId) -> bool {
        self.messages_in.contains(&link)
    }

    fn purpose(&self, link: LinkId) -> Option<&EdgePurpose> {
        self.links.get(&link.to_u32()).map(|link| &link.purpose)
    }

    /// Our link for an address.
    fn find(&self, key: &str, role: Role) -> Option<LinkId> {
        let of = |link: &EdgeLink| link.ours && matches!(&link.purpose, EdgePurpose::Proxy(of, _) if **of == *key);
        let mut links = self.links.iter().map(|(id, link)| (LinkId::from_u32(*id), link));
        links.find(|(id, link)| id.role() == role && of(link)).map(|(id, _)| id)
    }

    /// `ours`: the other side has to answer.
    fn attaching(&mut self, link: LinkId, purpose: EdgePurpose, ours: bool) {
        if matches!(purpose, EdgePurpose::Tracking | EdgePurpose::Mesh | EdgePurpose::Negotiation) {
            match link.role() {
                Role::Sender => self.message_out = Some(link),
                Role::Receiver => self.messages_in.push(link),
            }
        }
        if purpose == EdgePurpose::Uplink {
            self.uplink = Some(link);
        }
        self.links.insert(link.to_u32(), EdgeLink { purpose, ours, attached: !ours });
    }

    /// One more link of ours for streams.
    pub(crate) fn stream(&mut self, link: LinkId) {
        self.attaching(link, EdgePurpose::Stream, true);
    }

    /// One that the core has ended.
    pub(crate) fn ended(&mut self, link: LinkId) {
        self.gone(link);
    }

    fn gone(&mut self, link: LinkId) -> Option<EdgeLink> {
        if self.message_out == Some(link) {
            self.message_out = None;
        }
        self.messages_in.retain(|known| *known != link);
        if self.uplink == Some(link) {
            self.uplink = None;
        }
        self.links.remove(&link.to_u32())
    }

    /// The first of the links that are for no single address is the one that all deliveries share.
    const fn has_uplink(&self) -> bool {
        self.uplink.is_some()
    }

    /// All links of ours but those of streams are attached by both.
    fn is_ready(&self) -> bool {
        self.links.values().filter(|link| link.ours && link.purpose != EdgePurpose::Stream).all(|link| link.attached)
    }

    /// The links of an uplink in use are there.
    fn is_complete(&self) -> bool {
        let has = |what: fn(&EdgePurpose) -> bool| self.links.values().any(|link| link.attached && what(&link.purpose));
        has(|p| matches!(p, EdgePurpose::Uplink)) && has(|p| matches!(p, EdgePurpose::Downlink(_)))
    }
}

impl EdgePurpose {
    fn kind(&self) -> Option<router_core::EdgeLink<'_>> {
        Some(match self {
            Self::Uplink => router_core::EdgeLink::All,
            Self::Downlink(key) | Self::Proxy(key, _) => router_core::EdgeLink::Address(key),
            Self::Stream => router_core::EdgeLink::Stream,
            Self::Tracking | Self::Mesh | Self::Negotiation => return None,
        })
    }
}

fn source(attach: &Attach) -> Option<&Source> {
    attach.source.as_ref().and_then(SourceTerminus::as_source)
}

fn target(attach: &Attach) -> Option<&Target> {
    attach.target.as_ref().and_then(TargetTerminus::as_target)
}

/// What a link is for that the peer attached.
fn decide(core: &mut Core, container: &str, side: Side, attach: &Attach) -> Result<EdgePurpose, LinkRefusal> {
    let own = match side {
        Side::Edge => None,
        Side::Interior => Some(DOWNLINK),
        Side::Peer => Some(INTER_EDGE),
    };
    if links::is_router_link(attach) && !own.is_some_and(|own| links::has(attach, own)) {
        return Err(LinkRefusal::Forbidden);
    }
    let ours = attach.role.other();
    if side == Side::Edge {
        let stream = ours == Role::Receiver && links::is_anonymous(attach);
        return if stream { Ok(EdgePurpose::Stream) } else { Err(LinkRefusal::Role) };
    }
    let (source, target) = (source(attach), target(attach));
    if source.is_some_and(|s| s.dynamic) || target.is_some_and(|t| t.dynamic) {
        return Err(LinkRefusal::Role);
    }
    let proxy = |core: &mut Core, text: &str| match core.edge_address(text) {
        Some((_, Treatment::Unavailable)) | None => Err(LinkRefusal::NotFound),
        Some((key, treatment)) => Ok(EdgePurpose::Proxy(key, treatment)),
    };
    let addresses = (ours, source.and_then(Source::address_str), target.and_then(Target::address_str));
    if side == Side::Peer {
        let anonymous = links::is_anonymous(attach);
        return match addresses {
            (Role::Receiver, ..) if anonymous && links::has(attach, INTER_EDGE) => Ok(EdgePurpose::Uplink),
            (Role::Receiver, ..) if anonymous => Ok(EdgePurpose::Stream),
            (Role::Receiver, _, Some(NEGOTIATION)) => Ok(EdgePurpose::Negotiation),
            (Role::Sender, Some(NEGOTIATION | TRACKING | MESH), _) => Err(LinkRefusal::Direction),
            (Role::Sender, Some(text), _) => proxy(core, text),
            _ => Err(LinkRefusal::Role),
        };
    }
    match addresses {
        (Role::Receiver, _, None) if links::is_anonymous(attach) => Ok(EdgePurpose::Stream),
        (Role::Receiver, _, Some(MESH)) => Ok(EdgePurpose::Mesh),
        (Role::Receiver, _, Some(TRACKING)) | (Role::Sender, Some(MESH), _) => Err(LinkRefusal::Direction),
        (Role::Receiver, _, Some(text)) => proxy(core, text),
        (Role::Sender, Some(TRACKING), _) => Ok(EdgePurpose::Tracking),
        // Nobody gets what is for another.
        (Role::Sender, Some(text), _) if links::has(attach, DOWNLINK) => {
            if text == container && !text.contains('/') {
                Ok(EdgePurpose::Downlink(format!("H{text}").into()))
            } else {
                Err(LinkRefusal::Role)
            }
        }
        (Role::Sender, Some(text), _) => proxy(core, text),
        _ => Err(LinkRefusal::Role),
    }
}

/// Whether only edge routers attach such a link.
pub(crate) fn is_edge_link(attach: &Attach) -> bool {
    let source = source(attach).and_then(Source::address_str);
    let target = target(attach).and_then(Target::address_str);
    [source, target].iter().any(|address| matches!(*address, Some(TRACKING | MESH | NEGOTIATION)))
}
