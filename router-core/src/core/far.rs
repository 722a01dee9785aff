//! Where else an address has destinations, and which of them is next.

use std::{collections::BTreeSet, sync::Arc};

use super::{edges::UP, routed::Way, shares::Counter};
use crate::{
    core::slots::Key,
    distribution::balance::{self, Work},
    edge,
    routing::{RouterIndex, Routes},
};

/// Where else an address has destinations.
#[derive(Debug, Default)]
pub(super) struct Far {
    /// Routers with destinations, cheapest first.
    pub(super) to: Vec<FarRouter>,
    pub(super) shares: Vec<Share>,
    /// Which router is looked at first among equals.
    pub(super) next: usize,
    /// Of those at no cost, edges that count like consumers here, and of consumers here: whose turn it is.
    pub(super) turn: usize,
    /// All routers among them tell loads: their consumers count, and what others have sent there.
    pub(super) sites: bool,
    /// At an edge router: how many of them are uplinks, which all lead to the same network.
    pub(super) uplinks: usize,
    /// Several of them are ways to the same place: uplinks, or routers that have the same edge router.
    pub(super) ways: bool,
    /// Deliveries that came from an interior router and went to another.
    pub(super) transit: u64,
}

#[derive(Debug)]
pub(super) struct FarRouter {
    pub(super) to: FarEnd,
    /// The edge mesh that has all of its destinations there, if one has.
    pub(super) mesh: Option<Arc<str>>,
    /// Position of the next hop among the shares.
    pub(super) share: usize,
    pub(super) cost: u64,
    /// What it told, if that counts.
    pub(super) site: Option<Arc<Counter>>,
    /// A flow was refused there: others come first for a moment.
    pub(super) avoided: bool,
    /// Another way to the same place is the one for what was looked at last.
    pub(super) second: bool,
}

/// Where far destinations are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FarEnd {
    /// At an interior router.
    Router(RouterIndex),
    /// Behind a connection with an edge router at one end, by its number.
    Edge(u64),
}

impl FarRouter {
    /// Whether a delivery that came this way may go there.
    pub(super) fn takes(&self, way: &Way<'_>, routes: &Routes) -> bool {
        way.leads_to(self.to, routes) && self.is_elsewhere(way)
    }

    /// Not in the mesh of edge routers that the delivery came from.
    pub(super) fn is_elsewhere(&self, way: &Way<'_>) -> bool {
        self.mesh.is_none() || way.mesh().is_none() || way.mesh() != self.mesh.as_deref()
    }
}

/// What a next hop has to do for an address.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) hop: Key,
    pub(super) tally: Key,
}

impl Far {
    pub(super) fn push(&mut self, to: FarEnd, mesh: Option<Arc<str>>, cost: u64, hop: Key) {
        let share = self.shares.iter().position(|share| share.hop == hop).unwrap_or_else(|| {
            self.shares.push(Share { hop, tally: Key::NONE });
            self.shares.len() - 1
        });
        self.to.push(FarRouter { to, mesh, share, cost, site: None, avoided: false, second: false });
    }

    /// What counts what the edges have to do.
    pub(super) fn edges(&self) -> impl Iterator<Item = Key> {
        let edges = self.to.iter().filter(|far| matches!(far.to, FarEnd::Edge(_)));
        edges.filter_map(|far| self.shares.get(far.share)).map(|share| share.tally)
    }

    /// To be called when all are there.
    pub(super) fn look_for_ways(&mut self) {
        let mut meshes = BTreeSet::new();
        let mut alone = self.to.iter().filter_map(|far| far.mesh.as_deref()).filter(|mesh| edge::is_alone(mesh));
        self.ways = self.uplinks > 1 || alone.any(|mesh| !meshes.insert(mesh));
    }

    /// Of several ways to the same place only one is for what a link sends: a cheapest one, which is the same as long as it is there, so that
    /// deliveries stay in order and each way has its share of the links. The others are `second`.
    pub(super) fn choose_ways(&mut self, link: u64, valid: impl Fn(&FarRouter) -> bool) {
        let shares = &self.shares;
        let score = |far: &FarRouter| match far.to {
            FarEnd::Edge(conn) => mix(link ^ mix(conn)),
            // Routers behind the same neighbour are one way from here.
            FarEnd::Router(_) => mix(link ^ mix(shares.get(far.share).map_or(0, |share| share.hop.index.into()))),
        };
        let up = |far: &FarRouter| far.cost == UP && matches!(far.to, FarEnd::Edge(_));
        let alone = |far: &FarRouter| far.mesh.as_deref().is_some_and(edge::is_alone);
        let same = |one: &FarRouter, other: &FarRouter| up(one) && up(other) || alone(one) && one.mesh == other.mesh;
        let rank = |far: &FarRouter| (far.cost, std::cmp::Reverse(score(far)));
        for at in 0..self.to.len() {
            let Some(far) = self.to.get(at) else { break };
            let before = |other: &FarRouter| same(other, far) && valid(other) && rank(other) < rank(far);
            let second = self.to.iter().any(before);
            if let Some(far) = self.to.get_mut(at) {
                far.second = second;
            }
        }
    }

    /// For streams, which need not stay in order with others: of several ways to the same edge router the dearer ones are `second`.
    pub(super) fn leave_detours(&mut self, valid: impl Fn(&FarRouter) -> bool) {
        if !self.ways {
            return;
        }
        let alone = |far: &FarRouter| far.mesh.as_deref().is_some_and(edge::is_alone);
        for at in 0..self.to.len() {
            let Some(far) = self.to.get(at) else { break };
            let nearer = |other: &FarRouter| other.mesh == far.mesh && other.cost < far.cost && valid(other);
            let second = alone(far) && self.to.iter().any(nearer);
            if let Some(far) = self.to.get_mut(at) {
                far.second = second;
            }
        }
    }

    /// The uplink that copies take: one is enough for all of the network.
    pub(super) fn first_uplink(&self, valid: impl Fn(&FarRouter) -> bool) -> Option<FarEnd> {
        let conn = |far: &FarRouter| match far.to {
            FarEnd::Edge(conn) if far.cost == UP && valid(far) => Some(conn),
            _ => None,
        };
        self.to.iter().filter_map(conn).min().map(FarEnd::Edge)
    }

    /// How many neighbours lead to them.
    #[cfg(test)]
    pub(super) fn next_hops(&self) -> usize {
        self.shares.len()
    }

    /// What lies behind a next hop comes last, or does not any more. False if it did already.
    pub(super) fn set_avoided(&mut self, hop: Key, avoided: bool) -> bool {
        let shares = &self.shares;
        let behind = |far: &&mut FarRouter| shares.get(far.share).is_some_and(|share| share.hop == hop);
        let mut changed = false;
        for far in self.to.iter_mut().filter(behind) {
            changed |= std::mem::replace(&mut far.avoided, avoided) != avoided;
        }
        changed
    }

    /// Whether a flow that came this way could only go where one was refused.
    pub(super) fn only_avoided(&self, way: &Way<'_>, routes: &Routes) -> bool {
        self.to.iter().all(|far| far.avoided || !far.takes(way, routes))
    }

    /// Whether there is a destination that did not refuse.
    pub(super) fn any_fresh(&self, leads: impl Fn(FarEnd) -> bool) -> bool {
        self.to.iter().any(|far| !far.avoided && leads(far.to))
    }

    /// Whether the turn is at edges that count like the `here` consumers of this router.
    pub(super) fn is_turn_of_edges(&mut self, here: usize, valid: impl Fn(&FarRouter) -> bool) -> bool {
        let edges = self.to.iter().take_while(|far| far.cost == 0).filter(|far| valid(far)).count();
        if edges == 0 {
            return false;
        }
        self.turn = self.turn.wrapping_add(1);
        self.turn % (here + edges) < edges
    }

    /// The cheapest router; among equals the next in the round.
    pub(super) fn closest(&mut self, valid: impl Fn(&FarRouter) -> bool) -> Option<Key> {
        let least = self.to.iter().find(|far| valid(far))?.cost;
        let equals = |(_, far): &(usize, &FarRouter)| far.cost == least && valid(far);
        let all = || self.to.iter().enumerate().filter(equals);
        let (at, far) = all().find(|(at, _)| *at >= self.next).or_else(|| all().next())?;
        let hop = self.shares.get(far.share)?.hop;
        self.next = at + 1;
        Some(hop)
    }

    /// The neighbour toward the nearest router for what came from another on a way that is none by our routes. `fresh`: it was not there yet.
    pub(super) fn astray(&self, origin: RouterIndex, way: &Way<'_>, fresh: impl Fn(Key) -> bool) -> Option<Key> {
        let elsewhere = |to: FarEnd| matches!(to, FarEnd::Router(router) if router != origin);
        let routers = self.to.iter().filter(|far| elsewhere(far.to) && far.is_elsewhere(way));
        routers.filter_map(|far| self.shares.get(far.share)).map(|share| share.hop).find(|hop| fresh(*hop))
    }

    /// The router with the least to do, its cost counted as well; among equals the next in the round. `work`: of a next hop at a cost.
    pub(super) fn least(
        &mut self,
        valid: impl Fn(&FarRouter) -> bool,
        work: impl Fn(&Share, u64) -> Work,
        all: impl Fn(&Share) -> u64,
    ) -> Option<(Key, Work)> {
        if self.sites {
            return self.least_site(valid, all);
        }
        let n = self.to.len();
        let mut best: Option<(usize, Key, Work)> = None;
        for i in 0..n {
            let at = (self.next + i) % n;
            let Some(far) = self.to.get(at).filter(|far| valid(far)) else { continue };
            let Some(share) = self.shares.get(far.share) else { continue };
            let work = work(share, far.cost);
            if best.is_none_or(|(.., least)| work < least) {
                best = Some((at, share.hop, work));
            }
        }
        let (at, hop, work) = best?;
        self.next = at + 1;
        Some((hop, work))
    }

    /// The neighbour behind which a consumer has the least to do when all deliveries behind it are spread there with regard to costs.
    /// `all`: what is outstanding behind a neighbour.
    pub(super) fn least_site(
        &mut self,
        valid: impl Fn(&FarRouter) -> bool,
        all: impl Fn(&Share) -> u64,
    ) -> Option<(Key, Work)> {
        let n = self.shares.len();
        let mut best: Option<(usize, Key, Work)> = None;
        for i in 0..n {
            let at = (self.next + i) % n;
            let Some(share) = self.shares.get(at) else { continue };
            let behind = self.to.iter().filter(|far| far.share == at && valid(far));
            let sites = behind.map(|far| (far.site.as_ref().map_or(1, |site| site.consumers()), far.cost));
            let Some(work) = Work::spread(all(share), sites) else { continue };
            if best.is_none_or(|(.., least)| work < least) {
                best = Some((at, share.hop, work));
            }
        }
        let (at, hop, work) = best?;
        self.next = at + 1;
        Some((hop, work))
    }

    /// The neighbour for a flow, none of `hops`: the cheapest, or the one with the least to do, if that is less than a server `near` has.
    pub(super) fn flow(
        &mut self,
        closest: bool,
        near: Option<Work>,
        hops: &[u32],
        valid: impl Fn(&FarRouter) -> bool,
        work: impl Fn(&Share, u64) -> Work,
        all: impl Fn(&Share) -> u64,
    ) -> Option<Key> {
        // Which routers lie behind a neighbour is looked up before, since the choice borrows all of this.
        let excluded: Vec<FarEnd> = match hops {
            [] => Vec::new(),
            _ => {
                let behind = |far: &&FarRouter| self.shares.get(far.share).is_some_and(|s| hops.contains(&s.hop.index));
                self.to.iter().filter(behind).map(|far| far.to).collect()
            }
        };
        let valid = |far: &FarRouter| valid(far) && !excluded.contains(&far.to);
        if closest {
            return self.closest(valid);
        }
        let (hop, work) = self.least(valid, work, all)?;
        balance::goes_far(near, Some(work)).then_some(hop)
    }
}

/// Spreads numbers that lie close together (the finalizer of SplitMix64).
const fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}
