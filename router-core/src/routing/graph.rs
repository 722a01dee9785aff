//! The topology as numbers, and cheapest paths through it.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
    sync::Arc,
};

use super::message::RouterId;

/// A router's place in one [`Graph`]: routers are numbered in the order of their ids, so that a lower number is a lower id.
pub type RouterIndex = u32;

/// What tells one topology from another, with 14 bits: few are of interest at a time.
pub type Fingerprint = u16;

const MAX_FINGERPRINT: Fingerprint = Fingerprint::MAX >> 2;

/// Who is connected to whom, at which cost, as told by each router about its own side.
#[derive(Debug)]
pub struct Graph {
    ids: Arc<[RouterId]>,
    /// Edges of router `i` are those from `starts[i]` to `starts[i + 1]`.
    starts: Box<[u32]>,
    edges: Box<[(RouterIndex, u32)]>,
}

impl Graph {
    /// From the routers in the order of their ids, each with its edges.
    pub(super) fn new<E: IntoIterator<Item = (RouterIndex, u32)>>(
        ids: Arc<[RouterId]>,
        edges_of: impl IntoIterator<Item = E>,
    ) -> Self {
        let mut starts = Vec::with_capacity(ids.len() + 1);
        let mut edges = Vec::new();
        starts.push(0);
        for own in edges_of {
            edges.extend(own);
            starts.push(u32::try_from(edges.len()).unwrap_or(u32::MAX));
        }
        Self { ids, starts: starts.into(), edges: edges.into() }
    }

    /// The ids of all routers in ascending order.
    pub fn ids(&self) -> &[RouterId] {
        &self.ids
    }

    /// The place of a router.
    pub fn index_of(&self, id: &str) -> Option<RouterIndex> {
        self.ids.binary_search_by(|known| (**known).cmp(id)).ok().and_then(|index| u32::try_from(index).ok())
    }

    /// The id at a place.
    pub fn id(&self, index: RouterIndex) -> Option<&RouterId> {
        self.ids.get(index as usize)
    }

    /// The neighbours that a router named, with costs.
    pub fn edges(&self, index: RouterIndex) -> &[(RouterIndex, u32)] {
        let index = index as usize;
        match (self.starts.get(index), self.starts.get(index + 1)) {
            (Some(&start), Some(&end)) => self.edges.get(start as usize..end as usize).unwrap_or_default(),
            _ => &[],
        }
    }

    /// A number for the part of the topology that a router is in, the same at all routers that see the same; never 0. FNV-1a, folded.
    pub(super) fn fingerprint(&self, tree: &Tree) -> Fingerprint {
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut add = |bytes: &[u8]| {
            for byte in bytes {
                hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        for at in tree.members() {
            add(self.id(at).map_or(&[][..], |id| id.as_bytes()));
            let mut edges: Vec<_> =
                self.edges(at).iter().filter_map(|(to, cost)| Some((self.id(*to)?, *cost))).collect();
            edges.sort_unstable();
            for (to, cost) in edges {
                add(&[0]);
                add(to.as_bytes());
                add(&cost.to_be_bytes());
            }
            add(&[0, 0]);
        }
        let folded = (hash ^ (hash >> 14) ^ (hash >> 28) ^ (hash >> 42)) as Fingerprint & MAX_FINGERPRINT;
        folded.max(1)
    }

    /// Whether copies can go along the trees of an older topology as if nothing had changed: the same routers are here, and all links that
    /// there were. `tree`, `then`: from the same router, in this one and in the older one.
    pub(super) fn contains(&self, tree: &Tree, older: &Self, then: &Tree) -> bool {
        let ids = |graph: &Self, tree: &Tree| tree.members().map(|at| graph.id(at).cloned()).collect::<Vec<_>>();
        let named = |graph: &Self, at: RouterIndex| {
            graph.edges(at).iter().filter_map(|(to, _)| graph.id(*to).cloned()).collect::<BTreeSet<_>>()
        };
        ids(self, tree) == ids(older, then)
            && tree.members().zip(then.members()).all(|(at, was)| named(self, at).is_superset(&named(older, was)))
    }

    /// The cheapest paths from one router to all others.
    ///
    /// Of paths that cost the same all routers have to choose the same one, the reference's among them: a router is reached by way of
    /// the nearest of the routers that lead to it at the least cost, and of those the one with the lowest id. This is what Dijkstra's
    /// algorithm finds when it takes routers in the order of cost and id and changes its mind only for less.
    pub(super) fn tree(&self, root: RouterIndex) -> Tree {
        let mut nodes = vec![Place::default(); self.ids.len()];
        let mut order = Vec::new();
        let mut pending = BinaryHeap::new();
        if let Some(place) = nodes.get_mut(root as usize) {
            place.cost = 0;
            pending.push(Reverse((0, root)));
        }
        while let Some(Reverse((cost, at))) = pending.pop() {
            let Some(place) = nodes.get_mut(at as usize).filter(|place| !place.settled) else { continue };
            place.settled = true;
            let hops = place.hops;
            if at != root {
                order.push(at);
            }
            for &(to, step) in self.edges(at) {
                let Some(next) = nodes.get_mut(to as usize).filter(|next| !next.settled) else { continue };
                let alternative = cost + u64::from(step);
                if alternative < next.cost {
                    next.cost = alternative;
                    next.hops = hops + 1;
                    next.parent = at;
                    pending.push(Reverse((alternative, to)));
                }
            }
        }
        Tree { root, nodes, order }
    }
}

/// Cheapest paths from one router.
#[derive(Debug)]
pub(super) struct Tree {
    root: RouterIndex,
    nodes: Vec<Place>,
    /// Those that can be reached, nearest first, without the root.
    order: Vec<RouterIndex>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) cost: u64,
    pub(super) hops: u32,
    parent: RouterIndex,
    settled: bool,
}

impl Default for Place {
    fn default() -> Self {
        Self { cost: u64::MAX, hops: 0, parent: 0, settled: false }
    }
}

impl Tree {
    /// The root and all routers that can be reached, in ascending order.
    fn members(&self) -> impl Iterator<Item = RouterIndex> {
        (0..).zip(&self.nodes).filter(|(_, place)| place.settled).map(|(at, _)| at)
    }

    /// Where each router that can be reached is, nearest first.
    pub(super) fn reached(&self) -> impl Iterator<Item = (RouterIndex, Place)> {
        self.order.iter().filter_map(|&at| self.nodes.get(at as usize).map(|place| (at, *place)))
    }

    /// For each router that can be reached, nearest first, the neighbour of the root by which its path begins.
    pub(super) fn first_hops(&self) -> Vec<(RouterIndex, RouterIndex)> {
        let mut first = vec![RouterIndex::MAX; self.nodes.len()];
        let mut found = Vec::with_capacity(self.order.len());
        // A parent comes before its children.
        for (at, place) in self.reached() {
            let hop =
                if place.parent == self.root { at } else { first.get(place.parent as usize).copied().unwrap_or(at) };
            if let Some(slot) = first.get_mut(at as usize) {
                *slot = hop;
            }
            found.push((at, hop));
        }
        found
    }

    /// The routers whose path leads through `via`, in ascending order.
    pub(super) fn below(&self, via: RouterIndex) -> Box<[RouterIndex]> {
        let mut under = vec![false; self.nodes.len()];
        let mut found = Vec::new();
        for (at, place) in self.reached() {
            let child = via != self.root && place.parent == via;
            let below = child || under.get(place.parent as usize).copied().unwrap_or(false);
            if below {
                found.push(at);
                if let Some(slot) = under.get_mut(at as usize) {
                    *slot = true;
                }
            }
        }
        found.sort_unstable();
        found.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `edges`: from, to, cost, one way.
    fn graph(ids: &[&str], edges: &[(&str, &str, u32)]) -> Graph {
        let ids: Arc<[RouterId]> = ids.iter().map(|id| RouterId::from(*id)).collect();
        let at = |id: &str| ids.iter().position(|known| &**known == id).unwrap() as u32;
        let of = ids.iter().map(|id| edges.iter().filter(|e| *e.0 == **id).map(|e| (at(e.1), e.2)).collect::<Vec<_>>());
        let of: Vec<_> = of.collect();
        Graph::new(ids, of)
    }

    fn both<'a>(edges: &[(&'a str, &'a str, u32)]) -> Vec<(&'a str, &'a str, u32)> {
        edges.iter().flat_map(|&(a, b, cost)| [(a, b, cost), (b, a, cost)]).collect()
    }

    #[test]
    fn equal_paths_go_by_the_lower_id_whatever_order_they_are_named_in() {
        for edges in [
            both(&[("A", "B", 1), ("A", "C", 1), ("B", "D", 1), ("C", "D", 1)]),
            both(&[("C", "D", 1), ("B", "D", 1), ("A", "C", 1), ("A", "B", 1)]),
        ] {
            let graph = graph(&["A", "B", "C", "D"], &edges);
            let hops = graph.tree(0).first_hops();
            assert_eq!(hops, [(1, 1), (2, 2), (3, 1)]);
        }
    }

    #[test]
    fn of_equal_paths_the_one_with_the_nearest_last_router_is_taken() {
        // A to D: A-B-D costs 1 + 3, A-C-D costs 2 + 2. B is settled before C.
        let far_b = both(&[("A", "B", 1), ("B", "D", 3), ("A", "C", 2), ("C", "D", 2)]);
        assert_eq!(graph(&["A", "B", "C", "D"], &far_b).tree(0).first_hops().last(), Some(&(3, 1)));
        // The other way round the higher id is nearer.
        let far_c = both(&[("A", "C", 1), ("C", "D", 3), ("A", "B", 2), ("B", "D", 2)]);
        assert_eq!(graph(&["A", "B", "C", "D"], &far_c).tree(0).first_hops().last(), Some(&(3, 2)));
    }

    #[test]
    fn below_is_the_part_of_the_tree_behind_a_router() {
        let line = graph(&["A", "B", "C", "D"], &both(&[("A", "B", 1), ("B", "C", 1), ("C", "D", 1)]));
        assert_eq!(&*line.tree(0).below(1), [2, 3]);
        assert_eq!(&*line.tree(3).below(1), [0]);
        assert_eq!(&*line.tree(0).below(3), []);
        assert_eq!(&*line.tree(0).below(0), [], "a root is not a transit router of its own paths");
    }

    #[test]
    fn one_way_edges_are_followed_one_way() {
        let graph = graph(&["A", "B"], &[("A", "B", 5)]);
        assert_eq!(graph.tree(0).reached().map(|(at, place)| (at, place.cost)).collect::<Vec<_>>(), [(1, 5)]);
        assert_eq!(graph.tree(1).reached().count(), 0);
    }
}
