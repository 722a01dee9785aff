//! RA, LSU and LSR: what every router knows about the links of every other.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Routing,
    links::Link,
    message::{LinkStateRequest, LinkStateUpdate, Message, Peer, ROUTER_VERSION, RouterAdvertisement, RouterId},
    nodes::{ME, Slot},
    output::{Event, Limit, LinkId, Target},
};

/// How long an address update may be later than the advertisement of it, which travels other ways, before it is asked for.
const UPDATE_GRACE: Duration = Duration::from_millis(100);

impl Routing {
    pub(super) fn advertisement_received(&mut self, ra: &RouterAdvertisement, now: Instant) {
        if ra.id == self.me {
            return;
        }
        let Some(slot) = self.learn(&ra.id, now) else { return };
        self.heard_instance(slot, ra.version, ra.instance, now);
        let Some(node) = self.nodes.get_mut(slot) else { return };
        node.last_seen = Some(now);
        node.advertised = true;
        let tells = std::mem::replace(&mut node.tells_loads, ra.loads) != ra.loads;
        node.ls_advertised = ra.ls_seq;
        if ra.ls_seq == node.ls_seq {
            node.want_ls.satisfied();
        } else {
            // A number below ours comes from an advertisement that was overtaken, or from a router that has started anew
            // within the second of its instance. Asking tells them apart.
            node.suspect_ls |= ra.ls_seq < node.ls_seq;
            node.want_ls.ask(now);
        }
        // Who is at 0 has told nothing yet, and does not answer that it has nothing.
        let started_anew = ra.mobile_seq == 0 && node.mobile_seq > 0;
        if started_anew {
            self.flush_addresses(slot);
        }
        let Some(node) = self.nodes.get_mut(slot) else { return };
        node.mobile_advertised = ra.mobile_seq;
        if ra.mobile_seq == node.mobile_seq {
            node.want_mobile.satisfied();
        } else {
            node.suspect_mobile |= ra.mobile_seq < node.mobile_seq;
            let next = node.mobile_seq > 0 && ra.mobile_seq.checked_sub(1) == Some(node.mobile_seq);
            node.want_mobile.ask(if next { now + UPDATE_GRACE } else { now });
        }
        self.wants_changed(slot, now);
        if tells {
            self.event(Event::TellsLoads { router: ra.id.clone(), tells: ra.loads });
        }
    }

    pub(super) fn link_state_received(&mut self, link: LinkId, update: &LinkStateUpdate, now: Instant) {
        if update.id == self.me {
            return;
        }
        let Some(slot) = self.learn(&update.id, now) else { return };
        self.heard_instance(slot, update.version, update.instance, now);
        let Some(node) = self.nodes.get_mut(slot) else { return };
        node.last_seen = Some(now);
        let newer = update.ls_seq > node.ls_seq || node.suspect_ls && update.ls_seq >= node.ls_advertised;
        if newer {
            node.suspect_ls = false;
            node.ls_seq = update.ls_seq;
            node.ls_advertised = node.ls_advertised.max(update.ls_seq);
            let edges = self.resolve(slot, &update.peers, now);
            if self.nodes.set_edges(slot, edges) {
                self.topology_changed(now, false);
            }
            self.relay_link_state(slot, link, update);
        }
        if let Some(node) = self.nodes.get_mut(slot)
            && node.ls_seq >= node.ls_advertised
        {
            node.suspect_ls = false;
            node.want_ls.satisfied();
        }
    }

    /// Tells everybody the link state of a reference router beside us. It only answers those that ask, and they ask once for each
    /// advertisement: while ways change the request or the answer is often lost, and the next one is four seconds away.
    fn relay_link_state(&mut self, of: Slot, link: LinkId, update: &LinkStateUpdate) {
        let direct = self.nodes.get(of).is_some_and(|node| node.link == Some(link));
        if direct && self.links.get(&link).is_some_and(Link::needs_help) {
            self.send(Target::AllRouters, Message::LinkStateUpdate(update.clone()));
        }
    }

    /// Finds the routers that a link state names. Those that are new are asked for theirs as soon as a way leads to them.
    fn resolve(&mut self, of: Slot, peers: &[Peer], now: Instant) -> Vec<(Slot, u32)> {
        let most = self.config.limits.peers_per_router;
        if peers.len() > most
            && let Some(node) = self.nodes.get(of)
        {
            let id = node.id.clone();
            self.limit(Limit::PeersPerRouter, &id, now);
        }
        let slots = peers.iter().take(most).filter_map(|peer| Some((self.learn(&peer.id, now)?, peer.cost)));
        slots.filter(|(slot, _)| *slot != of).collect()
    }

    pub(super) fn link_state_requested(&mut self, request: &LinkStateRequest, now: Instant) {
        if request.id == self.me {
            return;
        }
        let Some(slot) = self.learn(&request.id, now) else { return };
        self.answer_link_state(slot);
    }

    /// Tells a router our link state: now, or when a way leads to it. It may well know its way to us before we know ours.
    pub(super) fn answer_link_state(&mut self, slot: Slot) {
        let now = self.can_reach(slot);
        let Some(node) = self.nodes.get_mut(slot) else { return };
        node.owed_ls = !now;
        if now {
            let to = Target::Router(node.id.clone());
            let update = self.own_link_state();
            self.send(to, update);
        }
    }

    fn own_link_state(&self) -> Message {
        let edges = self.nodes.get(ME).map_or(&[][..], |me| &me.edges);
        let peer = |(slot, cost): &(Slot, u32)| Some(Peer { id: self.nodes.get(*slot)?.id.clone(), cost: *cost });
        let peers: Arc<[Peer]> = edges.iter().filter_map(peer).collect();
        Message::LinkStateUpdate(LinkStateUpdate {
            id: self.me.clone(),
            version: ROUTER_VERSION,
            instance: self.config.instance,
            ls_seq: self.ls_seq,
            peers,
        })
    }

    /// Tells everybody about our links. The reference advertises the new sequence number and waits for each router to ask; it takes
    /// what comes unasked as well, so we send the link state along and save a round trip, and a request and an answer a router.
    pub(super) fn tell_own_link_state(&mut self, now: Instant) {
        if self.routes.reachable_count() > 0 {
            let update = self.own_link_state();
            self.send(Target::AllRouters, update);
        }
        // The advertisement says what the update does not: our sequence number of addresses, to those that did not know us.
        self.advertise_soon(now);
    }

    /// Advertises now, or as soon as the last time is a while ago.
    pub(super) fn advertise_soon(&mut self, now: Instant) {
        let at = self.last_ra.map_or(now, |last| now.max(last + super::RA_GAP));
        self.next_ra = self.next_ra.min(at);
    }

    pub(super) fn advertise(&mut self, now: Instant) {
        let flux =
            self.last_change.is_some_and(|at| now.saturating_duration_since(at) <= self.config.ra_interval_flux * 2);
        self.next_ra = now + if flux { self.config.ra_interval_flux } else { self.config.ra_interval };
        if self.routes.reachable_count() > 0 {
            self.last_ra = Some(now);
            let advertisement = self.own_advertisement();
            self.send(Target::AllRouters, advertisement);
        }
    }

    pub(super) fn own_advertisement(&self) -> Message {
        Message::RouterAdvertisement(RouterAdvertisement {
            id: self.me.clone(),
            version: ROUTER_VERSION,
            instance: self.config.instance,
            ls_seq: self.ls_seq,
            mobile_seq: self.local.seq(),
            loads: true,
        })
    }

    /// Compares the instance of a router with the one we knew: another one is another run of it, of which nothing is known.
    pub(super) fn heard_instance(&mut self, slot: Slot, version: u32, instance: i64, now: Instant) {
        let Some(node) = self.nodes.get_mut(slot) else { return };
        node.version = Some(version);
        match node.instance.replace(instance) {
            None => return,
            Some(known) if known == instance => return,
            Some(_) => {}
        }
        let router = node.id.clone();
        self.event(Event::RouterRestarted { router });
        self.forget_told(slot, now);
    }

    /// Forgets what a router told, and asks for all of it.
    pub(super) fn forget_told(&mut self, slot: Slot, now: Instant) {
        let Some(node) = self.nodes.get_mut(slot) else { return };
        (node.ls_seq, node.ls_advertised) = (0, 0);
        (node.suspect_ls, node.suspect_mobile, node.advertised) = (false, false, false);
        node.want_ls.satisfied();
        node.want_ls.ask(now);
        node.want_mobile.satisfied();
        node.want_mobile.ask(now);
        if self.nodes.set_edges(slot, Vec::new()) {
            self.topology_changed(now, false);
        }
        self.wants_changed(slot, now);
        self.flush_addresses(slot);
    }

    /// The place of a router, which is made if there is room.
    pub(super) fn learn(&mut self, id: &RouterId, now: Instant) -> Option<Slot> {
        if let Some(slot) = self.nodes.find(id) {
            return Some(slot);
        }
        if self.nodes.len() >= self.config.limits.routers {
            self.limit(Limit::Routers, id, now);
            return None;
        }
        let slot = self.nodes.insert(id.clone());
        if let Some(node) = self.nodes.get_mut(slot) {
            node.want_ls.ask(now);
        }
        Some(slot)
    }

    /// Drops link states that nobody confirms any more, and routers that nobody names.
    pub(super) fn expire_nodes(&mut self, now: Instant) {
        const ORPHAN_MAX_AGE: Duration = Duration::from_secs(3);
        let (mut silent, mut unreachable, mut orphans) = (Vec::new(), Vec::new(), Vec::new());
        for (slot, node) in self.nodes.iter_mut().filter(|(slot, _)| *slot != ME) {
            let age = node.last_seen.map(|at| now.saturating_duration_since(at));
            if !node.edges.is_empty() && age.is_none_or(|age| age >= self.config.remote_ls_max_age) {
                silent.push(slot);
            }
            let told = node.mobile_seq > 0 || node.addresses.len() > 0;
            if told && !node.reachable {
                // It told us before we had a way to it, and the way may have gone before it was ever in a table.
                node.unreachable_since.get_or_insert(now);
            }
            let away = node.unreachable_since.map(|at| now.saturating_duration_since(at));
            if told && away.is_some_and(|away| away >= self.config.unreachable_holdoff) {
                unreachable.push(slot);
            }
            if node.named > 0 || !node.edges.is_empty() {
                node.orphan_since = None;
            } else if now.saturating_duration_since(*node.orphan_since.get_or_insert(now)) >= ORPHAN_MAX_AGE {
                orphans.push(slot);
            }
        }
        for slot in silent {
            if let Some(node) = self.nodes.get_mut(slot) {
                (node.ls_seq, node.ls_advertised) = (0, 0);
            }
            self.nodes.set_edges(slot, Vec::new());
            self.topology_changed(now, false);
        }
        for slot in unreachable {
            self.flush_addresses(slot);
        }
        for slot in orphans {
            self.flush_addresses(slot);
            if let Some(node) = self.nodes.remove(slot) {
                self.event(Event::RouterForgotten { router: node.id });
                self.spf.request(now, false);
            }
        }
    }
}
