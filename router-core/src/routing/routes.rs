//! What forwarding needs to know about the topology: an immutable table, published as an `Arc`.

use std::sync::{Arc, OnceLock};

use super::{
    graph::{Fingerprint, Graph, RouterIndex},
    message::RouterId,
    output::LinkId,
};

/// The way to a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The link on which it begins.
    pub link: LinkId,
    /// The neighbour at the other end of that link.
    pub next_hop: RouterIndex,
    /// What it costs.
    pub cost: u64,
    /// Over how many links it leads.
    pub hops: u32,
}

/// The ways to all routers from one of them, at one time.
///
/// Valid origins are computed when they are first asked for, once per origin and table: one run of Dijkstra's algorithm each. A router
/// that nothing travels through never pays for them.
#[derive(Debug)]
pub struct Routes {
    graph: Arc<Graph>,
    me: RouterIndex,
    routes: Box<[Option<Route>]>,
    /// Our neighbours and the links to them, in the order of the links.
    neighbours: Box<[(RouterIndex, LinkId)]>,
    radius: u32,
    version: u64,
    fingerprint: Fingerprint,
    /// That of the topology whose trees the copies of what enters the network here follow.
    copies_by: Fingerprint,
    /// For each origin the routers behind us on paths from there, in ascending order.
    behind: Box<[OnceLock<Box<[RouterIndex]>>]>,
}

impl Routes {
    pub(super) fn new(
        graph: Arc<Graph>,
        me: RouterIndex,
        routes: Box<[Option<Route>]>,
        neighbours: Box<[(RouterIndex, LinkId)]>,
        radius: u32,
        version: u64,
    ) -> Self {
        let behind = graph.ids().iter().map(|_| OnceLock::new()).collect();
        Self { graph, me, routes, neighbours, radius, version, fingerprint: 0, copies_by: 0, behind }
    }

    /// Says which topology this is, and which the copies of what enters the network here go by.
    pub(super) const fn with_trees(mut self, fingerprint: Fingerprint, copies_by: Fingerprint) -> Self {
        (self.fingerprint, self.copies_by) = (fingerprint, copies_by);
        self
    }

    /// The same ways as a later table, by whose trees copies go.
    pub(super) fn released(&self, version: u64) -> Self {
        let (routes, neighbours) = (self.routes.clone(), self.neighbours.clone());
        Self::new(Arc::clone(&self.graph), self.me, routes, neighbours, self.radius, version)
            .with_trees(self.fingerprint, self.fingerprint)
    }

    /// A table of a router that knows no other.
    pub fn alone(me: RouterId) -> Self {
        let graph = Graph::new(Arc::new([me]), [[]]);
        Self::new(Arc::new(graph), 0, Box::new([None]), Box::new([]), 0, 0)
    }

    /// A table of `me` in a network with these links, for tests of what uses tables.
    #[cfg(test)]
    pub(crate) fn of_links(me: &str, links: &[(&str, &str, u32)]) -> Arc<Self> {
        let mut ids: Vec<&str> = links.iter().flat_map(|(a, b, _)| [*a, *b]).chain([me]).collect();
        ids.sort_unstable();
        ids.dedup();
        let index = |id: &str| ids.iter().position(|known| *known == id).unwrap() as u32;
        let edges = |of: &str| -> Vec<(u32, u32)> {
            let ends = |(a, b, cost): &(&str, &str, u32)| match of {
                of if of == *a => Some((index(b), *cost)),
                of if of == *b => Some((index(a), *cost)),
                _ => None,
            };
            links.iter().filter_map(ends).collect()
        };
        let graph = Graph::new(ids.iter().map(|id| RouterId::from(*id)).collect(), ids.iter().map(|id| edges(id)));
        let tree = graph.tree(index(me));
        let fingerprint = graph.fingerprint(&tree);
        let mut routes = vec![None; ids.len()].into_boxed_slice();
        let mut radius = 0;
        for ((to, place), (_, next_hop)) in tree.reached().zip(tree.first_hops()) {
            radius = radius.max(place.hops);
            let link = LinkId(u64::from(next_hop));
            routes[to as usize] = Some(Route { link, next_hop, cost: place.cost, hops: place.hops });
        }
        let neighbours = edges(me).into_iter().map(|(to, _)| (to, LinkId(u64::from(to)))).collect();
        let routes = Self::new(Arc::new(graph), index(me), routes, neighbours, radius, 1);
        Arc::new(routes.with_trees(fingerprint, fingerprint))
    }

    /// The same while copies go by an older topology.
    #[cfg(test)]
    pub(crate) fn copies_as(&self, older: &Self) -> Arc<Self> {
        Arc::new(self.released(self.version + 1).with_trees(self.fingerprint, older.fingerprint))
    }

    /// The topology it was computed from.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Ourselves.
    pub const fn me(&self) -> RouterIndex {
        self.me
    }

    /// Counts the tables of a router, from 0 for the empty one.
    pub const fn version(&self) -> u64 {
        self.version
    }

    /// The topology it was computed from, in short: two that routers see at the same time differ. 0 for the empty one.
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The fingerprint of the topology along whose trees the copies of what enters the network here go.
    pub const fn copies_by(&self) -> Fingerprint {
        self.copies_by
    }

    /// Over how many links the way to the farthest router leads. A message that has passed more than one router more than this is
    /// in a loop.
    pub const fn radius(&self) -> u32 {
        self.radius
    }

    /// The way to a router; `None` for ourselves and for those that cannot be reached.
    pub fn route(&self, to: RouterIndex) -> Option<&Route> {
        self.routes.get(to as usize)?.as_ref()
    }

    /// The way to the router with an id.
    pub fn route_to(&self, id: &str) -> Option<&Route> {
        self.route(self.graph.index_of(id)?)
    }

    /// Our neighbours and the links to them, in the order of the links.
    pub const fn neighbours(&self) -> &[(RouterIndex, LinkId)] {
        &self.neighbours
    }

    /// All routers that can be reached, in the order of their ids.
    pub fn reachable(&self) -> impl Iterator<Item = (RouterIndex, &Route)> {
        (0..).zip(&self.routes).filter_map(|(index, route)| Some((index, route.as_ref()?)))
    }

    /// Number of routers that can be reached.
    pub fn reachable_count(&self) -> usize {
        self.routes.iter().flatten().count()
    }

    /// The routers to which we may forward what `origin` sent: those behind us on its cheapest paths, in ascending order. Not for what
    /// we send ourselves, which may go anywhere.
    ///
    /// Only then do all routers together forward along one tree, without loops and without second copies.
    pub fn behind(&self, origin: RouterIndex) -> &[RouterIndex] {
        match self.behind.get(origin as usize) {
            Some(cell) if origin != self.me => cell.get_or_init(|| self.graph.tree(origin).below(self.me)),
            _ => &[],
        }
    }

    /// True if what `origin` sent may be forwarded toward `to`.
    pub fn is_valid_origin(&self, origin: RouterIndex, to: RouterIndex) -> bool {
        if origin == self.me {
            return self.route(to).is_some();
        }
        self.behind(origin).binary_search(&to).is_ok() && self.route(to).is_some()
    }

    /// All valid origins for a router, ourselves among them, in the order of their ids. Computes what was not asked for before: for
    /// management, not for forwarding.
    pub fn valid_origins(&self, to: RouterIndex) -> Vec<RouterIndex> {
        (0..).take(self.routes.len()).filter(|origin| self.is_valid_origin(*origin, to)).collect()
    }
}
