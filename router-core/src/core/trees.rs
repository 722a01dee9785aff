//! Which neighbours get copies of a multicast delivery.
//!
//! All routers on the way of a copy go by the same topology, the one that its annotations name, though some have a newer one already
//! (`routing/trees.rs` has the reasons). Who has forgotten it, or does not know it yet, goes by its own.

use std::{collections::VecDeque, sync::Arc};

use super::{
    Core,
    edges::UP,
    far::{FarEnd, FarRouter},
    routed::{Origin, Way},
};
use crate::{
    annotations::TREE_SHIFT,
    core::slots::Key,
    routing::{Fingerprint, Routes},
};

/// Tables of the past that are remembered: a router that starts again changes the topology a few times.
const MOST: usize = 8;

/// The last tables before the present one, newest first, one for each topology.
#[derive(Debug, Default)]
pub(super) struct Trees {
    past: VecDeque<Arc<Routes>>,
    radius: u32,
}

impl Trees {
    /// Another table replaces this one.
    pub(super) fn replaced(&mut self, old: &Arc<Routes>, new: &Routes) {
        if old.fingerprint() != new.fingerprint() && old.fingerprint() != 0 {
            self.past.retain(|known| known.fingerprint() != old.fingerprint());
            self.past.push_front(Arc::clone(old));
            self.past.truncate(MOST);
        }
        self.radius = self.past.iter().map(|known| known.radius()).fold(new.radius(), u32::max);
    }

    /// Over how many links a way leads at most, by any of the tables.
    pub(super) const fn radius(&self) -> u32 {
        self.radius
    }

    fn find(&self, fingerprint: Fingerprint) -> Option<&Arc<Routes>> {
        self.past.iter().find(|known| known.fingerprint() == fingerprint)
    }
}

impl Core {
    /// The topology by which a delivery goes if it is copied.
    fn tree_of(&self, way: &Way<'_>) -> Fingerprint {
        match way {
            Way::Routed { annotations, .. } if annotations.ingress.is_some() => {
                (annotations.flags >> TREE_SHIFT) as Fingerprint
            }
            _ => self.routes.copies_by(),
        }
    }

    /// What the flags of copies say besides, if what is copied enters the network here.
    pub(super) fn tree_flags(&self, way: &Way<'_>) -> u32 {
        match way {
            Way::Routed { annotations, .. } if annotations.ingress.is_some() => 0,
            _ => u32::from(self.routes.copies_by()) << TREE_SHIFT,
        }
    }

    /// The neighbours that get a copy.
    pub(super) fn hops_of_copies(&self, address: Key, way: &Way<'_>) -> Vec<Key> {
        let far = self.addresses.get(address).and_then(|a| a.far.as_ref());
        let mut hops = Vec::with_capacity(far.map_or(1, |far| far.shares.len()));
        if let Some(far) = far {
            let tree = self.tree_of(way);
            let older = if tree == self.routes.fingerprint() { None } else { self.trees.find(tree) };
            let takes = |to: &FarRouter| to.takes(way, &self.routes);
            let uplink = if far.uplinks > 1 { far.first_uplink(takes) } else { None };
            for to in &far.to {
                let hop = match (older, to.to) {
                    (Some(older), FarEnd::Router(router)) => {
                        let id = self.routes.graph().id(router).filter(|_| to.is_elsewhere(way));
                        id.and_then(|id| self.older_hop(older, id, way.origin()))
                    }
                    _ => {
                        let valid = takes(to) && (to.cost != UP || uplink.is_none_or(|uplink| uplink == to.to));
                        far.shares.get(to.share).filter(|_| valid).map(|share| share.hop)
                    }
                };
                if let Some(hop) = hop.filter(|hop| !hops.contains(hop)) {
                    hops.push(hop);
                }
            }
        }
        if far.is_none_or(|far| far.uplinks == 0) {
            hops.extend(self.uplink_for(address, way));
        }
        hops
    }

    /// The neighbour that led to a router.
    #[cold]
    fn older_hop(&self, older: &Routes, to: &str, origin: Origin) -> Option<Key> {
        let graph = older.graph();
        let to = graph.index_of(to)?;
        let valid = match origin {
            Origin::Here | Origin::Edge(_) => true,
            Origin::Router(origin) => {
                let origin = graph.index_of(self.routes.graph().id(origin)?)?;
                older.is_valid_origin(origin, to)
            }
            Origin::Unknown => false,
        };
        let hop = older.route(to).filter(|_| valid)?.next_hop;
        self.hop_ids.get(graph.id(hop)?).copied()
    }
}
