//! The routers that we know of.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use slab::Slab;

use super::{graph::RouterIndex, known::Known, message::RouterId, output::LinkId};

/// Place of a router in [`Nodes`], for as long as it is known.
pub(super) type Slot = usize;

/// Where [`Nodes`] has ourselves.
pub(super) const ME: Slot = 0;

/// What is known about a router.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) id: RouterId,
    pub(super) version: Option<u32>,
    pub(super) instance: Option<i64>,
    /// Sequence number of the link state that we have; 0 if none.
    pub(super) ls_seq: u64,
    /// The highest one that it advertised.
    pub(super) ls_advertised: u64,
    /// Its neighbours and costs, by slot.
    pub(super) edges: Box<[(Slot, u32)]>,
    pub(super) last_seen: Option<Instant>,
    /// The link to it, if it is our neighbour.
    pub(super) link: Option<LinkId>,
    /// In how many link states it is named.
    pub(super) named: u32,
    /// Since when nobody names it.
    pub(super) orphan_since: Option<Instant>,
    pub(super) reachable: bool,
    /// Since when no way leads to it.
    pub(super) unreachable_since: Option<Instant>,
    /// Sequence number of the addresses that we have; 0 if none.
    pub(super) mobile_seq: u64,
    /// The highest one that it advertised.
    pub(super) mobile_advertised: u64,
    pub(super) addresses: Known,
    pub(super) want_ls: Want,
    pub(super) want_mobile: Want,
    /// It advertised a sequence number below the one we have, of link states, of addresses: it may have started anew within the second.
    pub(super) suspect_ls: bool,
    pub(super) suspect_mobile: bool,
    pub(super) version_reported: bool,
    /// It has told its sequence numbers since it was found.
    pub(super) advertised: bool,
    /// When it was last told all our addresses, and at which sequence number.
    pub(super) told_all: Option<(Instant, u64)>,
    /// It asked for our link state, for our addresses, when no way led to it yet.
    pub(super) owed_ls: bool,
    pub(super) owed_mobile: bool,
    /// It tells loads.
    pub(super) tells_loads: bool,
}

impl Node {
    fn new(id: RouterId) -> Self {
        Self {
            id,
            version: None,
            instance: None,
            ls_seq: 0,
            ls_advertised: 0,
            edges: Box::new([]),
            last_seen: None,
            link: None,
            named: 0,
            orphan_since: None,
            reachable: false,
            unreachable_since: None,
            mobile_seq: 0,
            mobile_advertised: 0,
            addresses: Known::default(),
            want_ls: Want::default(),
            want_mobile: Want::default(),
            suspect_ls: false,
            suspect_mobile: false,
            version_reported: false,
            advertised: false,
            told_all: None,
            owed_ls: false,
            owed_mobile: false,
            tells_loads: false,
        }
    }

    /// It has a link state that we do not have.
    pub(super) fn link_state_missing(&self) -> bool {
        self.ls_seq == 0 || self.ls_seq != self.ls_advertised
    }

    /// It has addresses that we do not have, or has told nothing about them yet.
    pub(super) fn addresses_missing(&self) -> bool {
        !self.advertised || self.mobile_seq != self.mobile_advertised
    }
}

/// A request that is to be sent to a router, or was.
#[derive(Debug, Default)]
pub(super) struct Want {
    /// When to send it (again).
    pub(super) at: Option<Instant>,
    sent: u8,
}

impl Want {
    /// A way that a router between does not know yet costs this; then twice as long.
    const FIRST_RETRY: Duration = Duration::from_millis(100);
    /// How often it is sent before gaps get longer than the third one, if something is certainly missing: for three seconds. A reference
    /// router lets nothing pass for which it has computed no way, which it does once a second.
    const STEADY: u8 = 10;

    /// Asks at `at`, and again until it is satisfied.
    pub(super) fn ask(&mut self, at: Instant) {
        self.at = Some(self.at.map_or(at, |known| known.min(at)));
    }

    /// Forgets what was sent: it may have been lost with the way it took.
    pub(super) fn restart(&mut self, at: Instant) {
        if self.at.is_some() {
            *self = Self { at: Some(at), sent: 0 };
        }
    }

    /// True if it is to be sent now; then it counts as sent. `missing`: it is known that there is an answer.
    #[must_use]
    pub(super) fn take(&mut self, missing: bool, now: Instant) -> bool {
        let due = self.at.is_some_and(|at| at <= now);
        if due {
            let doublings = if missing { self.sent.min(2) + self.sent.saturating_sub(Self::STEADY) } else { self.sent };
            self.at = Some(now + Self::FIRST_RETRY * (1 << doublings.min(8)));
            self.sent = self.sent.saturating_add(1);
        }
        due
    }

    /// What was sent may have been lost, and would not be from `at` on. Who never answers is not asked each time.
    pub(super) fn hurry(&mut self, at: Instant) {
        if self.sent < 2 * Self::STEADY {
            self.at = self.at.map(|due| due.min(at));
        }
    }

    /// True if an answer may come.
    pub(super) const fn is_under_way(&self) -> bool {
        self.sent > 0
    }

    /// The answer came.
    pub(super) fn satisfied(&mut self) {
        *self = Self::default();
    }
}

/// The routers that we know of, ourselves first.
#[derive(Debug)]
pub(super) struct Nodes {
    slots: Slab<Node>,
    by_id: HashMap<RouterId, Slot>,
    /// Ids in ascending order, and where the slots are among them. Rebuilt when routers come or go.
    order: Option<Order>,
}

/// Routers numbered in the order of their ids.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) ids: Arc<[RouterId]>,
    pub(super) slots: Arc<[Slot]>,
    ranks: Arc<[RouterIndex]>,
}

impl Order {
    pub(super) fn rank(&self, slot: Slot) -> RouterIndex {
        self.ranks.get(slot).copied().unwrap_or(RouterIndex::MAX)
    }
}

impl Nodes {
    pub(super) fn new(me: RouterId) -> Self {
        let mut nodes = Self { slots: Slab::new(), by_id: HashMap::new(), order: None };
        nodes.insert(me);
        nodes
    }

    pub(super) fn insert(&mut self, id: RouterId) -> Slot {
        self.order = None;
        let slot = self.slots.insert(Node::new(id.clone()));
        self.by_id.insert(id, slot);
        slot
    }

    /// Forgets a router, which nobody may name any more.
    pub(super) fn remove(&mut self, slot: Slot) -> Option<Node> {
        let node = self.slots.try_remove(slot)?;
        self.by_id.remove(&node.id);
        self.order = None;
        Some(node)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn find(&self, id: &str) -> Option<Slot> {
        self.by_id.get(id).copied()
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Node> {
        self.slots.get(slot)
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Node> {
        self.slots.get_mut(slot)
    }

    /// All routers, ourselves among them, in a fixed order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Slot, &Node)> {
        self.slots.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (Slot, &mut Node)> {
        self.slots.iter_mut()
    }

    /// Replaces the link state of a router. Answers whether it was another one.
    pub(super) fn set_edges(&mut self, slot: Slot, mut edges: Vec<(Slot, u32)>) -> bool {
        edges.sort_unstable();
        edges.dedup_by_key(|(to, _)| *to);
        let Some(node) = self.slots.get_mut(slot) else { return false };
        if *node.edges == *edges {
            return false;
        }
        let old = std::mem::replace(&mut node.edges, edges.into());
        for (to, _) in &old {
            if let Some(node) = self.slots.get_mut(*to) {
                node.named = node.named.saturating_sub(1);
            }
        }
        let new: Vec<Slot> =
            self.slots.get(slot).map(|node| node.edges.iter().map(|(to, _)| *to).collect()).unwrap_or_default();
        for to in new {
            if let Some(node) = self.slots.get_mut(to) {
                node.named += 1;
            }
        }
        true
    }

    pub(super) fn order(&mut self) -> Order {
        if let Some(order) = &self.order {
            return order.clone();
        }
        let mut sorted: Vec<_> = self.slots.iter().map(|(slot, node)| (node.id.clone(), slot)).collect();
        sorted.sort_unstable();
        let mut ranks = vec![RouterIndex::MAX; sorted.iter().map(|(_, slot)| slot + 1).max().unwrap_or(0)];
        for (rank, (_, slot)) in (0..).zip(&sorted) {
            if let Some(place) = ranks.get_mut(*slot) {
                *place = rank;
            }
        }
        let slots = sorted.iter().map(|(_, slot)| *slot).collect();
        let order = Order { ids: sorted.into_iter().map(|(id, _)| id).collect(), slots, ranks: ranks.into() };
        self.order = Some(order.clone());
        order
    }
}
