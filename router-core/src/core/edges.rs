//! Connections with an edge router at one end.
//!
//! Links for single addresses (*proxies*) and the links for everything else that such a connection has are neighbours of their own to the
//! forwarding plane ([`hops`](super::hops)): each is an outlet of an address that nobody can name, which says the connection's number
//! and the address that the link leads to. So every worker knows from its list of outlets what can be had from whom.
//!
//! At an interior router the proxies of edges are destinations without cost, equal to consumers here. An edge router has one proxy
//! upward for each address that somebody here sends to, which counts while the interior says that there are destinations.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Bound::{Included, Unbounded},
    sync::Arc,
};

use super::{
    Core,
    far::{Far, FarEnd},
    hops::{Hop, HopLinks},
    routed::Way,
};
use crate::{
    ConnKey, InletKey, LinkKind, LinkRef, OutletKey, Treatment,
    address::Class,
    core::slots::Key,
    credit::Capacity,
    egress::Egress,
    inlet::{Inlet, Sends},
};

/// Lookup key of what an edge router cannot resolve: its uplink.
pub(super) const UPLINK: &str = "L_edge";

/// What the way up costs an edge router.
pub(super) const UP: u64 = 1;

/// The last part of the names of addresses for streams. No lookup key begins with it.
const STREAM: &str = "stream";

/// What a link to the other end of an edge connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeLink<'a> {
    /// Deliveries for the address with this lookup key, or, upward, for all that is not known here.
    Address(&'a str),
    /// One delivery at a time that is still arriving.
    Stream,
}

impl EdgeLink<'_> {
    /// Upward, for what is not known here.
    pub const UPLINK: EdgeLink<'static> = EdgeLink::Address(UPLINK);
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
}

#[derive(Debug)]
struct EdgeConn {
    stream: Key,
    links: usize,
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

/// Number of the connection, and what a link is for, of an address that stands for it.
fn parse(name: &str) -> Option<(u64, &str)> {
    let (conn, rest) = name.strip_prefix("P!")?.split_once('/')?;
    Some((conn.parse().ok()?, rest))
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
    /// A link of ours on a connection with an edge router was attached. `edge` is the connection's number, unique in the router. Credit is
    /// told with [`credit`](Self::credit), as that of any outlet. `ours`: the other end is a router of this make. `None` if the connection is
    /// gone.
    pub fn attach_edge_outlet(
        &mut self,
        conn: ConnKey,
        link: LinkRef,
        (edge, ours): (u64, bool),
        to: EdgeLink<'_>,
        eg: &mut impl Egress,
    ) -> Option<OutletKey> {
        let (rest, single) = match to {
            EdgeLink::Address(key) => (key, false),
            EdgeLink::Stream => (STREAM, true),
        };
        self.conns.get(conn.0)?;
        let address = self.address(&format!("P!{edge}/{rest}"), false);
        self.addresses.get_mut(address)?.ours = ours;
        let key = self.outlet_at(conn, link, address, single, eg);
        self.forget_address(address);
        key.map(OutletKey)
    }

    /// The other end attached a link on which it sends: to the address with the lookup key `bound`, or else to all. Credit comes with the
    /// next [`end_batch`](Core::end_batch). `ours`: the other end is a router of this make. `None` if the connection is gone.
    pub fn attach_edge_inlet(
        &mut self,
        conn: ConnKey,
        link: LinkRef,
        (edge, ours): (u64, bool),
        bound: Option<&str>,
        stream: bool,
    ) -> Option<InletKey> {
        let id = self.next_link_id();
        let owner = self.conns.get_mut(conn.0)?;
        let capacity = Capacity::of_router(owner.link_capacity, ours);
        let inlet = Inlet::new(link, conn.0, owner.inlets.len() as u32, capacity, id);
        let key = self.inlets.insert(Inlet { sends: Sends::Edge, shared: !stream, ..inlet });
        self.edges.inlets.insert(key, EdgeInlet { conn: edge, bound: bound.map(Arc::from) });
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
        let found = known.map(|_| (Arc::from(name.as_str()), self.treatment_of(&name, false).0));
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
        let of = |name: &Arc<str>| name.strip_prefix(&prefix).map(str::to_owned);
        let names = self
            .by_name
            .range::<str, _>((Included(prefix.as_str()), Unbounded))
            .map_while(|(name, _)| of(name))
            .collect::<Vec<_>>();
        for name in names {
            self.refresh_named(&name, eg);
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
            let conns = self.edges.bound.entry(Arc::clone(key)).or_default();
            let changed = if *bound { conns.insert(*edge) } else { conns.remove(edge) };
            if conns.is_empty() {
                self.edges.bound.remove(key);
            }
            if changed {
                self.refresh_named(key, eg);
            }
        }
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
            Some((_, STREAM)) => (LinkKind::Endpoint, None),
            Some((_, key)) if Class::of_key(key) == Class::Edge => (LinkKind::EdgeDownlink, Some(key.into())),
            Some((_, key)) => (LinkKind::Endpoint, Some(key.into())),
        }
    }

    /// An address that stands for a link of an edge connection got its outlet, or lost it.
    pub(super) fn edge_link_changed(&mut self, address: Key, name: &str, open: bool, eg: &mut impl Egress) {
        let Some((conn, rest)) = parse(name).filter(|(_, rest)| *rest != STREAM) else { return };
        if open {
            let id: Arc<str> = format!("!{conn}").into();
            let stream = match self.edges.conns.get_mut(&conn) {
                Some(known) => {
                    known.links += 1;
                    known.stream
                }
                None => {
                    let stream = self.address(&format!("P!{conn}/{STREAM}"), false);
                    self.edges.conns.insert(conn, EdgeConn { stream, links: 1 });
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
    }

    /// The address that stands for streams of a connection is in use.
    pub(super) fn is_edge_stream_in_use(&self, address: Key, name: &str) -> bool {
        parse(name).and_then(|(conn, _)| self.edges.conns.get(&conn)).is_some_and(|conn| conn.stream == address)
    }

    fn refresh_named(&mut self, name: &str, eg: &mut impl Egress) {
        if let Some(key) = self.by_name.get(name) {
            self.refresh_far(*key, eg);
        }
    }

    /// The links of edge connections that lead to an address.
    pub(super) fn far_edges(&self, name: &str, far: &mut Far) {
        let Some(serving) = self.edges.serving.get(name) else { return };
        // Upward it is farther than to anybody here.
        let cost = if self.edges.here { UP } else { 0 };
        let bound = self.edges.bound.get(name);
        for key in serving {
            let Some(conn) = self.hops.get(*key).and_then(|hop| edge_of_hop(&hop.id)) else { continue };
            if self.edges.here && name != UPLINK && bound.is_none_or(|bound| !bound.contains(&conn)) {
                continue;
            }
            let mesh = self.edges.meshes.get(&conn).cloned();
            far.push(FarEnd::Edge(conn), mesh, cost, *key);
            far.uplinks += usize::from(self.edges.here);
        }
    }

    /// Where copies of a multicast delivery go up: those that have no link of their own to do so. One is enough for all of the network.
    pub(super) fn uplink_for(&self, address: Key, way: &Way<'_>) -> Vec<Key> {
        let proxied = self.addresses.get(address).is_none_or(|a| self.edges.wanted.contains(&a.name));
        if !self.edges.here || proxied || !matches!(way, Way::Here) {
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
