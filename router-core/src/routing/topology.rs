//! From link states to a table of ways.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Routing,
    graph::Graph,
    message::{LinkStateRequest, Message, ROUTER_VERSION},
    nodes::{ME, Slot},
    output::{Event, Target},
    routes::{Route, Routes},
};

/// How long a reference router takes from the HELLO at the beginning of its tick to having new ways in use.
const TICK: Duration = Duration::from_millis(20);

impl Routing {
    /// Some link state is another one: the table is to be computed, together with what else changes now.
    pub(super) fn topology_changed(&mut self, now: Instant, urgent: bool) {
        self.spf.request(now, urgent);
        self.last_change = Some(now);
        self.next_ra = self.next_ra.min(now + self.config.ra_interval_flux);
    }

    /// Computes the table and publishes it.
    pub(super) fn compute(&mut self, now: Instant) {
        let order = self.nodes.order();
        let (nodes, ranks) = (&self.nodes, &order);
        let edges_of = order.slots.iter().map(move |slot| {
            let edges = nodes.get(*slot).map_or(&[][..], |node| &node.edges);
            edges.iter().map(move |(to, cost)| (ranks.rank(*to), *cost))
        });
        let graph = Graph::new(order.ids.clone(), edges_of);
        let me = order.rank(ME);
        let tree = graph.tree(me);

        let mut routes = vec![None; order.ids.len()].into_boxed_slice();
        let mut radius = 0;
        let places = tree.reached().zip(tree.first_hops());
        for ((to, place), (_, next_hop)) in places {
            let slot = order.slots.get(next_hop as usize).copied().unwrap_or(ME);
            // Only neighbours are named in our own link state, and each has a link.
            let Some(link) = self.nodes.get(slot).and_then(|node| node.link) else { continue };
            radius = radius.max(place.hops);
            if let Some(route) = routes.get_mut(to as usize) {
                *route = Some(Route { link, next_hop, cost: place.cost, hops: place.hops });
            }
        }
        let mut neighbours: Vec<_> =
            self.nodes.iter().filter_map(|(slot, node)| Some((order.rank(slot), node.link?))).collect();
        neighbours.sort_unstable_by_key(|(_, link)| *link);

        self.version += 1;
        let routes = Routes::new(Arc::new(graph), me, routes, neighbours.into(), radius, self.version);
        self.routes = Arc::new(self.hold_trees(routes, &tree, now));
        self.event(Event::Routes(self.routes.clone()));
        for (slot, rank) in order.slots.iter().zip(0..) {
            self.set_reachable(*slot, self.routes.route(rank).is_some(), now);
        }
        for slot in order.slots.iter() {
            let Some(node) = self.nodes.get(*slot).filter(|node| node.reachable) else { continue };
            let (owed_ls, owed_mobile) = (node.owed_ls, node.owed_mobile);
            if owed_ls {
                self.answer_link_state(*slot);
            }
            if owed_mobile {
                self.answer_addresses(*slot);
            }
        }
    }

    /// True if a way is known that still holds: with a new table to come, the old one may lead astray.
    pub(super) fn can_reach(&self, slot: Slot) -> bool {
        self.spf.due().is_none() && self.nodes.get(slot).is_some_and(|node| node.reachable)
    }

    fn set_reachable(&mut self, slot: Slot, reachable: bool, now: Instant) {
        let Some(node) = self.nodes.get_mut(slot).filter(|node| node.reachable != reachable) else { return };
        node.reachable = reachable;
        if reachable {
            // What it told meanwhile went past us, and it advertises again only after a while. Who has nothing new does not answer,
            // and is asked until its next advertisement.
            let was_away = node.unreachable_since.take().is_some();
            node.want_ls.restart(now);
            node.want_mobile.restart(now);
            if was_away {
                node.want_ls.ask(now);
            }
            if was_away || node.addresses_missing() {
                node.want_mobile.ask(now);
            }
            self.wants_changed(slot, now);
        } else {
            node.unreachable_since = Some(now);
            let router = node.id.clone();
            self.event(Event::RouterUnreachable { router });
        }
    }

    /// A request may be due.
    pub(super) fn wants_changed(&mut self, slot: Slot, now: Instant) {
        let Some(node) = self.nodes.get(slot).filter(|node| node.reachable) else { return };
        let due = [node.want_ls.at, node.want_mobile.at].into_iter().flatten().min();
        if let Some(due) = due.map(|due| due.max(now)) {
            self.next_want = Some(self.next_want.map_or(due, |known| known.min(due)));
        }
    }

    /// A reference router beside us is at its tick: what it did not let pass will pass when it is done.
    pub(super) fn ticked(&mut self, now: Instant) {
        let at = now + TICK;
        for (_, node) in self.nodes.iter_mut().filter(|(slot, node)| *slot != ME && node.reachable) {
            if node.link_state_missing() {
                node.want_ls.hurry(at);
            }
            if node.addresses_missing() {
                node.want_mobile.hurry(at);
            }
        }
        self.next_want = self.next_want.map(|due| due.min(at));
    }

    /// Sends requests that are due to routers that can be reached.
    pub(super) fn send_wants(&mut self, now: Instant) {
        // What is sent before a new table that is due may go astray, and costs the time until it is sent again.
        if self.next_want.is_none_or(|due| due > now) || self.spf.due().is_some() {
            return;
        }
        let (mut next, mut link_states, mut addresses) = (None::<Instant>, Vec::new(), Vec::new());
        for (slot, node) in self.nodes.iter_mut().filter(|(slot, node)| *slot != ME && node.reachable) {
            if node.want_ls.take(node.link_state_missing(), now) {
                link_states.push(node.id.clone());
            }
            if node.want_mobile.take(node.addresses_missing(), now) {
                addresses.push(slot);
            }
            for at in [node.want_ls.at, node.want_mobile.at].into_iter().flatten() {
                next = Some(next.map_or(at, |known| known.min(at)));
            }
        }
        self.next_want = next;
        for router in link_states {
            let request = LinkStateRequest { id: self.me.clone(), version: ROUTER_VERSION };
            self.send(Target::Router(router), Message::LinkStateRequest(request));
        }
        for slot in addresses {
            self.request_addresses(slot);
        }
    }
}
