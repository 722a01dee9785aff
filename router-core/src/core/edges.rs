//! Connections with an edge router at one end.
//!
//! Links for single addresses (*proxies*) and the links for everything else that such a connection has are neighbours of their own to the
//! forwarding plane ([`hops`](super::hops)): each is an outlet of an address that nobody can name, which says the connection's number
//! and the address that the link leads to. So every worker knows from its list of outlets what can be had from whom.
//!
//! At an interior router the proxies of edges are destinations without cost, equal to consumers here. An edge router has one proxy
//! upward for each address that somebody here sends to, which counts while the interior says that there are destinations. To another edge
//! router of its mesh it has the proxies that that one asked for, which count like consumers here.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Bound::{Included, Unbounded},
    sync::Arc,
};

use super::{
    Core,
    far::{Far, FarEnd},
    hops::{Hop, HopLinks},
    routed::{Origin, Way},
};
use crate::{
    ConnKey, InletKey, LinkKind, LinkRef, OutletKey, Treatment,
    address::Class,
    core::slots::Key,
    credit::Capacity,
    delivery::From,
    distribution::Candidate,
    egress::Egress,
    inlet::{Inlet, Sends},
    outlet::Outlet,
};

/// Lookup key of what an edge router cannot resolve: its uplink.
pub(super) const UPLINK: &str = "L_edge";

/// What the way up costs an edge router.
pub(super) const UP: u64 = 1;

/// The last part of the names of addresses for streams. No lookup key begins with it.
const STREAM: &str = "stream";

/// The other end of a connection with an edge router at one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EdgeEnd {
    /// The connection's number, unique in the router.
    pub conn: u64,
    /// There is a router of this make.
    pub ours: bool,
    /// Both ends are edge routers, of one mesh.
    pub peer: bool,
}

/// What a link of an edge connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeLink<'a> {
    /// Deliveries for the address with this lookup key. Those for an edge router itself say more.
    Address(&'a str),
    /// Those that have no link of their own: upward what is not known here, and whatever comes down.
    All,
    /// One delivery at a time that is still arriving.
    Stream,
}

/// At an edge router: somebody on this worker sends to an address, or wants to know whether it can be reached; or nobody does any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// The worker.
    pub worker: u16,
    /// The address's lookup key.
    pub key: Arc<str>,
    /// Whether there is somebody.
    pub wanted: bool,
}

/// What a core knows of edge connections.
#[derive(Debug, Default)]
pub(super) struct Edges {
    /// This router is an edge.
    pub(super) here: bool,
    /// The mesh that this edge router belongs to.
    mesh: Option<Arc<str>>,
    /// Links that lead to an address, by its key.
    serving: BTreeMap<Arc<str>, Vec<Key>>,
    conns: BTreeMap<u64, EdgeConn>,
    /// Meshes of the edges at the other ends.
    meshes: BTreeMap<u64, Arc<str>>,
    /// At an edge router: addresses that have destinations elsewhere, and over which connections.
    bound: BTreeMap<Arc<str>, BTreeSet<u64>>,
    /// Those of which the other end of a connection says that they have none, though there is a link for them.
    nowhere: BTreeMap<Arc<str>, BTreeSet<u64>>,
    /// At an edge router: the routers of ours that its uplinks in use lead to.
    uplinks: BTreeMap<u64, Arc<str>>,
    /// Addresses that somebody here sends to, or watches.
    wanted: BTreeSet<Arc<str>>,
    demand: VecDeque<Demand>,
    inlets: BTreeMap<Key, EdgeInlet>,
}

/// What is to be known of a link from the other end of an edge connection.
#[derive(Clone, Debug)]
pub(super) struct EdgeInlet {
    /// The connection's number.
    pub(super) conn: u64,
    /// Lookup key of the address that all of its deliveries are for.
    pub(super) bound: Option<Arc<str>>,
    pub(super) kind: LinkKind,
}

#[derive(Debug)]
struct EdgeConn {
    stream: Key,
    links: usize,
    /// To another edge router of the mesh.
    peer: bool,
}

impl Edges {
    pub(super) fn new(here: bool) -> Self {
        Self { here, ..Self::default() }
    }

    /// Whether a delivery comes from the other end of an edge connection, and on which link.
    pub(super) fn inlet(&self, key: Key, inlet: &Inlet) -> Option<&EdgeInlet> {
        if inlet.edge() { self.inlets.get(&key) } else { None }
    }

    pub(super) fn inlet_gone(&mut self, key: Key, inlet: &Inlet) {
        if inlet.edge() {
            self.inlets.remove(&key);
        }
    }

    /// The address of the links for streams of a connection.
    pub(super) fn stream_of(&self, conn: u64) -> Option<Key> {
        self.conns.get(&conn).map(|conn| conn.stream)
    }

    /// Our mesh, as it is told in annotations.
    pub(super) fn own_mesh(&self) -> Option<&str> {
        self.mesh.as_deref()
    }
}

/// Number of the connection, whether it leads to another edge router of a mesh, and what a link is for, of an address that stands for it.
fn parse(name: &str) -> Option<(u64, bool, &str)> {
    let (conn, rest) = name.strip_prefix("P!")?.split_once('/')?;
    let (conn, peer) = conn.strip_suffix('+').map_or((conn, false), |conn| (conn, true));
    Some((conn.parse().ok()?, peer, rest))
}

/// Puts a connection into the set of an address, or takes it out. True if that changed it.
fn set(of: &mut BTreeMap<Arc<str>, BTreeSet<u64>>, key: &Arc<str>, conn: u64, there: bool) -> bool {
    if there {
        return of.entry(Arc::clone(key)).or_default().insert(conn);
    }
    let Some(conns) = of.get_mut(key) else { return false };
    let changed = conns.remove(&conn);
    if conns.is_empty() {
        of.remove(key);
    }
    changed
}

/// What stands for a link to the other end of an edge connection, and goes when the link does.
pub(super) fn is_edge_hop(name: &str) -> bool {
    name.starts_with("P!")
}

/// The number of the connection for which links are wanted in [`Egress::open_stream`], if it is one with an edge router.
pub fn edge_of_hop(id: &str) -> Option<u64> {
    id.strip_prefix('!')?.parse().ok()
}

impl Core {
    /// A link of ours on a connection with an edge router was attached. Credit is told with [`credit`](Self::credit), as that of any outlet.
    /// `None` if the connection is gone.
    pub fn attach_edge_outlet(
        &mut self,
        conn: ConnKey,
        link: LinkRef,
        end: EdgeEnd,
        to: EdgeLink<'_>,
        eg: &mut impl Egress,
    ) -> Option<OutletKey> {
        let mark = if end.peer { "+" } else { "" };
        let (mark, rest) = match to {
            EdgeLink::Address(key) => (mark, key),
            EdgeLink::All => (mark, UPLINK),
            EdgeLink::Stream => ("", STREAM),
        };
        self.conns.get(conn.0)?;
        let address = self.address(&format!("P!{}{mark}/{rest}", end.conn), false);
        self.addresses.get_mut(address)?.ours = end.ours;
        let key = self.outlet_at(conn, link, address, to == EdgeLink::Stream, eg);
        self.forget_address(address);
        key.map(OutletKey)
    }

    /// The other end attached a link on which it sends. Credit comes with the next [`end_batch`](Core::end_batch). `None` if the connection is
    /// gone.
    pub fn attach_edge_inlet(
        &mut self,
        conn: ConnKey,
        link: LinkRef,
        end: EdgeEnd,
        from: EdgeLink<'_>,
    ) -> Option<InletKey> {
        let id = self.next_link_id();
        let owner = self.conns.get_mut(conn.0)?;
        let capacity = Capacity::of_router(owner.link_capacity, end.ours);
        let inlet = Inlet::new(link, conn.0, owner.inlets.len() as u32, capacity, id);
        let key = self.inlets.insert(Inlet { sends: Sends::Edge, shared: from != EdgeLink::Stream, ..inlet });
        let bound = match from {
            EdgeLink::Address(key) if Class::of_key(key) != Class::Edge => Some(Arc::from(key)),
            _ => None,
        };
        let kind = if end.peer && from == EdgeLink::All { LinkKind::InterEdge } else { LinkKind::Endpoint };
        self.edges.inlets.insert(key, EdgeInlet { conn: end.conn, bound, kind });
        owner.inlets.push(key);
        self.start_granting(key);
        Some(InletKey(key))
    }

    /// The lookup key of an address that another router names, and how it is treated. `None` for one that is no address, or none of a kind that
    /// links between edge and interior routers are for.
    pub fn edge_address(&mut self, text: &str) -> Option<(Arc<str>, Treatment)> {
        let mut name = std::mem::take(&mut self.name);
        let class = self.syntax.key(text, &mut name);
        let known = class.filter(|class| matches!(class, Class::Mobile | Class::Network));
        let found = known.map(|_| (Arc::from(name.as_str()), self.own_treatment(&name, false).0));
        self.name = name;
        found
    }

    /// The mesh of the edge router at the other end of a connection is known. Do so in each worker.
    pub fn set_edge_mesh(&mut self, edge: u64, mesh: Option<Arc<str>>, eg: &mut impl Egress) {
        match mesh {
            Some(mesh) => self.edges.meshes.insert(edge, mesh),
            None => self.edges.meshes.remove(&edge),
        };
        let prefix = format!("P!{edge}/");
        for name in self.names_from(&prefix) {
            self.refresh_named(name.get(prefix.len()..).unwrap_or_default(), eg);
        }
    }

    /// The mesh of this edge router. Do so in each worker.
    pub fn set_mesh(&mut self, mesh: Arc<str>) {
        self.edges.mesh = Some(mesh);
        self.composed.bytes.clear();
    }

    /// At an edge router: over which connections an address has destinations, or has them no more. Do so in each worker.
    pub fn set_bound(&mut self, changes: &[(u64, Arc<str>, bool)], eg: &mut impl Egress) {
        for (edge, key, bound) in changes {
            let linked = self.uplinks_for(key).any(|conn| conn == *edge);
            set(&mut self.edges.nowhere, key, *edge, !bound && linked);
            if set(&mut self.edges.bound, key, *edge, *bound) {
                self.refresh_named(key, eg);
            }
        }
    }

    /// At an edge router: a connection is an uplink in use, which leads to this router of ours; or it is none any more. Do so in each worker.
    pub fn set_uplink(&mut self, conn: u64, router: Option<Arc<str>>) {
        match router {
            Some(router) => self.edges.uplinks.insert(conn, router),
            None => self.edges.uplinks.remove(&conn),
        };
    }

    /// The router of ours through which what goes to a neighbour leaves this edge router, if there are several uplinks.
    pub(super) fn uplink_router(&self, hop: Key) -> Option<&Arc<str>> {
        let conn = edge_of_hop(&self.hops.get(hop)?.id)?;
        self.edges.uplinks.get(&conn).filter(|_| self.edges.uplinks.len() > 1)
    }

    /// At an edge router, for what answers a stream from above: the neighbour toward an address by the uplink that the stream came over.
    pub(super) fn way_back(&self, outlet: Key, address: Key) -> Option<Key> {
        let outlet = self.outlets.get(outlet).filter(|_| self.edges.here)?;
        let stream = self.deliveries.get(outlet.current).or_else(|| Some(self.deliveries.at(outlet.first)?.1))?;
        let From::Inlet { inlet, .. } = stream.from else { return None };
        let conn = self.edges.inlets.get(&inlet)?.conn;
        let far = self.addresses.get(address)?.far.as_ref()?;
        let up = far.to.iter().find(|far| far.cost == UP && far.to == FarEnd::Edge(conn))?;
        far.shares.get(up.share).map(|share| share.hop)
    }

    /// What changed about who sends from this worker. Only edge routers tell.
    pub fn poll_demand(&mut self) -> Option<Demand> {
        self.edges.demand.pop_front()
    }

    /// Senders or watches of an address came or went.
    pub(super) fn demand_changed(&mut self, address: Key) {
        if !self.edges.here {
            return;
        }
        let worker = self.worker;
        let Some(a) = self.addresses.get(address).filter(|a| a.is_told()) else { return };
        let (key, wanted) = (Arc::clone(&a.name), !a.inlets.is_empty() || !a.watches.is_empty());
        let all = &mut self.edges.wanted;
        let changed = if wanted { all.insert(Arc::clone(&key)) } else { all.remove(&key) };
        if changed {
            self.edges.demand.push_back(Demand { worker, key, wanted });
        }
    }

    /// What a link is for whose address stands for it, and the address that it leads to.
    pub(super) fn hop_link(&self, name: &str) -> (LinkKind, Option<Arc<str>>) {
        match parse(name) {
            None => (LinkKind::InterRouter, None),
            Some((.., STREAM)) => (LinkKind::Endpoint, None),
            Some((_, peer, key)) if Class::of_key(key) == Class::Edge => {
                (if peer { LinkKind::InterEdge } else { LinkKind::EdgeDownlink }, Some(key.into()))
            }
            Some((.., key)) => (LinkKind::Endpoint, Some(key.into())),
        }
    }

    /// An address that stands for a link of an edge connection got its outlet, or lost it.
    pub(super) fn edge_link_changed(&mut self, address: Key, name: &str, open: bool, eg: &mut impl Egress) {
        let Some((conn, peer, rest)) = parse(name).filter(|(.., rest)| *rest != STREAM) else { return };
        if open {
            let id: Arc<str> = format!("!{conn}").into();
            let stream = match self.edges.conns.get_mut(&conn) {
                Some(known) => {
                    known.links += 1;
                    known.stream
                }
                None => {
                    let stream = self.address(&format!("P!{conn}/{STREAM}"), false);
                    self.edges.conns.insert(conn, EdgeConn { stream, links: 1, peer });
                    stream
                }
            };
            let hop = self.hops.insert(Hop { id, name: "".into(), links: HopLinks::One(address), stream });
            self.edges.serving.entry(rest.into()).or_default().push(hop);
        } else {
            let hops = &self.hops;
            let Some(serving) = self.edges.serving.get_mut(rest) else { return };
            let this =
                |hop: &Key| hops.get(*hop).is_some_and(|hop| matches!(hop.links, HopLinks::One(a) if a == address));
            let Some(hop) = serving.iter().position(this).map(|at| serving.swap_remove(at)) else { return };
            if serving.is_empty() {
                self.edges.serving.remove(rest);
            }
            set(&mut self.edges.nowhere, &rest.into(), conn, false);
            self.hops.remove(hop);
            if let Some(known) = self.edges.conns.get_mut(&conn) {
                known.links -= 1;
                if known.links == 0 {
                    let stream = known.stream;
                    self.edges.conns.remove(&conn);
                    self.give_up(stream, eg);
                    self.forget_address(stream);
                }
            }
        }
        self.refresh_named(rest, eg);
        if self.edges.here && rest == UPLINK {
            // Edge routers of the mesh with which there is no link any more are reached over it.
            for name in self.names_from("H") {
                self.refresh_named(&name, eg);
            }
        } else if peer && let Some(router) = rest.strip_prefix('H') {
            self.syntax.set_peer(router, self.edges.serving.contains_key(rest));
        }
    }

    /// Links of this worker that lead to an address by an edge connection.
    pub(super) fn edge_outlets(&self, name: &str) -> impl Iterator<Item = &Outlet> {
        let bound = self.edges.bound.get(name);
        let leads = move |key: &&Key| {
            let Some(conn) = self.hops.get(**key).and_then(|hop| edge_of_hop(&hop.id)) else { return false };
            let up = self.edges.here && self.edges.conns.get(&conn).is_none_or(|conn| !conn.peer);
            !up || name == UPLINK || bound.is_some_and(|bound| bound.contains(&conn))
        };
        let hops = self.edges.serving.get(name).into_iter().flatten().filter(leads);
        let links = hops.filter_map(|key| match self.hops.get(*key)?.links {
            HopLinks::One(links) => self.addresses.get(links),
            HopLinks::ByPriority(_) => None,
        });
        links.flat_map(|a| a.candidates.iter()).filter_map(|candidate| match candidate {
            Candidate::Local(key) => self.outlets.get(key),
            Candidate::Remote(_) => None,
        })
    }

    /// The addresses to which edge connections have links.
    pub(super) fn edge_addresses(&self) -> impl Iterator<Item = &Arc<str>> {
        self.edges.serving.keys()
    }

    /// The same, if it is one of them.
    pub(super) fn edge_address_named(&self, name: &str) -> Option<&Arc<str>> {
        self.edges.serving.get_key_value(name).map(|(key, _)| key)
    }

    /// Lookup keys of addresses that begin so.
    fn names_from(&self, prefix: &str) -> Vec<Arc<str>> {
        let all = self.by_name.range::<str, _>((Included(prefix), Unbounded));
        all.map(|(name, _)| Arc::clone(name)).take_while(|name| name.starts_with(prefix)).collect()
    }

    /// The address that stands for streams of a connection is in use.
    pub(super) fn is_edge_stream_in_use(&self, address: Key, name: &str) -> bool {
        parse(name).and_then(|(conn, ..)| self.edges.conns.get(&conn)).is_some_and(|conn| conn.stream == address)
    }

    fn refresh_named(&mut self, name: &str, eg: &mut impl Egress) {
        if let Some(key) = self.by_name.get(name) {
            self.refresh_far(*key, eg);
        }
    }

    /// The links of edge connections that lead to an address.
    pub(super) fn far_edges(&self, name: &str, far: &mut Far) {
        let edges = &self.edges;
        let bound = edges.bound.get(name);
        let mut push = |key: &Key, known: bool| {
            let Some(conn) = self.hops.get(*key).and_then(|hop| edge_of_hop(&hop.id)) else { return };
            // Upward it is farther than to anybody here.
            let up = edges.here && edges.conns.get(&conn).is_none_or(|conn| !conn.peer);
            if up && !known && bound.is_none_or(|bound| !bound.contains(&conn)) {
                return;
            }
            let mesh = edges.meshes.get(&conn).cloned();
            far.push(FarEnd::Edge(conn), mesh, if up { UP } else { 0 }, *key);
            far.uplinks += usize::from(up);
        };
        for key in edges.serving.get(name).into_iter().flatten() {
            push(key, name == UPLINK);
        }
        if edges.here && Class::of_key(name) == Class::Edge && !edges.serving.contains_key(name) {
            for key in edges.serving.get(UPLINK).into_iter().flatten() {
                push(key, true);
            }
        }
    }

    /// Connections with links of this edge router for one address, that lead up.
    fn uplinks_for(&self, name: &str) -> impl Iterator<Item = u64> {
        let hops = self.edges.serving.get(name).into_iter().flatten();
        let conns = hops.filter_map(|key| edge_of_hop(&self.hops.get(*key)?.id));
        conns.filter(|conn| self.edges.conns.get(conn).is_none_or(|conn| !conn.peer))
    }

    /// Where copies of a multicast delivery go up that have no link of their own to do so, or one of which it is not known yet whether it leads
    /// anywhere. One is enough for all of the network.
    pub(super) fn uplink_for(&self, address: Key, way: &Way<'_>) -> Vec<Key> {
        if !self.edges.here || way.origin() != Origin::Here {
            return Vec::new();
        }
        let nowhere = self.addresses.get(address).and_then(|a| Some((&a.name, self.edges.nowhere.get(&a.name)?)));
        if nowhere.is_some_and(|(name, nowhere)| self.uplinks_for(name).all(|conn| nowhere.contains(&conn))) {
            return Vec::new();
        }
        let uplinks = self.edges.serving.get(UPLINK).into_iter().flatten();
        let opened = |key: &&Key| self.hops.get(**key).and_then(|hop| edge_of_hop(&hop.id));
        uplinks.min_by_key(opened).copied().into_iter().collect()
    }

    /// At an edge router, where deliveries go whose address has no destination that is known here.
    pub(super) fn uplink(&mut self) -> Option<Key> {
        if !self.edges.here {
            return None;
        }
        self.known_address(UPLINK)
    }

    /// Our name for the trace. Edge routers have none.
    pub(super) fn trace_name(&self) -> Option<&str> {
        (!self.edges.here).then_some(&*self.hop_name)
    }
}
