//! The way to other routers.
//!
//! The links to a neighbour are outlets of addresses of their own, one for each priority and one for streams: what waits for a
//! neighbour's credit, and what other workers send over our links, is then treated like what waits for any consumer. An address that has
//! destinations elsewhere knows them as its *far* destinations, by next hop.

use std::sync::Arc;

use super::{
    Core,
    edges::edge_of_hop,
    far::{Far, FarEnd, FarRouter, Share},
    forward::{Arrival, header_priority, load},
    order::Ahead,
    routed::{Origin, Way},
    tracking::{self, Tracking},
};
use crate::{
    ConnKey, LinkRef, OutletKey, Treatment,
    address::Class,
    annotations::{Parsed, STREAMING, parse},
    core::slots::Key,
    delivery::{self, HEAD_SETTLED, NIL, Onward, POOLED, TRACKED, To, WHOLE},
    distribution::{
        Candidate,
        balance::{self, Work},
    },
    egress::{DeliveryState, Egress, End, Payload},
    routing::{AddressBook, AddressKey, RouterId, RouterIndex, Routes},
};

/// Priorities of messages (§3.2.1), each with links of its own between routers.
const PRIORITIES: usize = 10;

/// The priority of links that have to serve when others are missing, and of messages that say nothing (§3.2.1).
pub(super) const MEDIUM: u8 = 4;

/// How much of a delivery for a neighbour is gathered before it gets a link of its own. What is smaller waits until it is complete, since
/// deliveries on one link cannot be interleaved (§2.6.14).
pub(super) const GATHER: usize = 64 * 1024;

/// What a link to a neighbour is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HopLink {
    /// Complete messages of this priority, 0 to 9.
    Priority(u8),
    /// One delivery at a time that is still arriving.
    Stream,
}

/// Who gets a delivery next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pick {
    /// An outlet of this worker.
    Local(Key),
    /// One of another worker.
    Remote(Key),
    /// A neighbour, by its key in [`Core::hops`].
    Far(Key),
}

impl From<Candidate> for Pick {
    fn from(candidate: Candidate) -> Self {
        match candidate {
            Candidate::Local(key) => Self::Local(key),
            Candidate::Remote(key) => Self::Remote(key),
        }
    }
}

/// A neighbour: the addresses that stand for the links to it. Those of an interior router stay when there are no links, so that their keys
/// do. A connection with an edge router at one end has one for each link to a single address, which lives as long as the link.
#[derive(Debug)]
pub(super) struct Hop {
    /// The router, or for a connection with an edge router what [`edges`](super::edges) calls it.
    pub(super) id: RouterId,
    /// As in traces.
    pub(super) name: Box<str>,
    pub(super) links: HopLinks,
    pub(super) stream: Key,
}

/// Where what is complete goes.
#[derive(Debug)]
pub(super) enum HopLinks {
    ByPriority([Key; PRIORITIES]),
    /// A link to one address.
    One(Key),
}

impl HopLinks {
    pub(super) fn contains(&self, links: Key) -> bool {
        match self {
            Self::ByPriority(all) => all.contains(&links),
            Self::One(link) => *link == links,
        }
    }
}

impl Core {
    /// Takes over the routes to other routers and what these have destinations for. `changed`: the keys of the addresses that may be
    /// concerned; `None`: any. Do so in each worker.
    pub fn set_routes(
        &mut self,
        routes: Arc<Routes>,
        book: AddressBook,
        changed: Option<&[AddressKey]>,
        eg: &mut impl Egress,
    ) {
        self.trees.replaced(&self.routes, &routes);
        self.routes = routes;
        self.book = book;
        let keys: Vec<Key> = match changed {
            None => self.addresses.keys(),
            Some(names) => names.iter().filter_map(|name| self.by_name.get(&**name).copied()).collect(),
        };
        for key in keys {
            self.refresh_far(key, eg);
        }
    }

    pub(super) fn refresh_far(&mut self, key: Key, eg: &mut impl Egress) {
        let Some(name) = self.addresses.get(key).filter(|a| !a.is_hop()).map(|a| Arc::clone(&a.name)) else { return };
        let mut far = self.far_of(&name).map(|far| self.tallied(far, &name));
        self.relearn(key, &name);
        let Some(a) = self.addresses.get_mut(key) else { return };
        if let (None, Some(old)) = (&far, &a.far) {
            self.delays.remember_transit(key, old.transit);
        }
        if let (Some(new), Some(old)) = (&mut far, &a.far) {
            (new.next, new.turn, new.transit) = (old.next, old.turn, old.transit);
            for avoided in old.to.iter().filter(|far| far.avoided) {
                if let Some(share) = old.shares.get(avoided.share) {
                    new.set_avoided(share.hop, true);
                }
            }
        }
        let old = std::mem::replace(&mut a.far, far);
        for share in old.into_iter().flat_map(|far| far.shares) {
            self.tallies.close(share.tally);
        }
        self.destinations_changed(key, eg);
        self.pump(key, eg);
        self.forget_address(key);
    }

    /// The far destinations of an address with this lookup key.
    pub(super) fn far_of(&mut self, name: &str) -> Option<Box<Far>> {
        let mut far = Far::default();
        self.far_routers(name, &mut far);
        self.far_edges(name, &mut far);
        far.to.sort_by_key(|far| far.cost);
        far.look_for_ways();
        (!far.to.is_empty()).then(|| Box::new(far))
    }

    /// Gives it what balancing goes by. Only those that an address has get that: it has to be given back.
    pub(super) fn tallied(&mut self, mut far: Box<Far>, name: &str) -> Box<Far> {
        for share in &mut far.shares {
            if let Some(hop) = self.hops.get(share.hop) {
                share.tally = self.tallies.open(name, &hop.id);
            }
        }
        // Routers of the reference tell nothing: where one is among them, its rule is the one that all go by.
        let graph = self.routes.graph();
        let id = |far: &FarRouter| match far.to {
            FarEnd::Router(router) => graph.id(router),
            FarEnd::Edge(_) => None,
        };
        let routers = far.to.iter().filter_map(id).map(|id| &**id);
        let hops = far.shares.iter().filter_map(|share| self.hops.get(share.hop)).map(|hop| &*hop.id);
        let hops = hops.filter(|hop| edge_of_hop(hop).is_none());
        far.sites = routers.clone().next().is_some() && self.tallies.all_tell(routers.chain(hops));
        if far.sites {
            for to in &mut far.to {
                to.site = id(to).map(|id| self.tallies.site(name, id));
            }
        }
        far
    }

    fn far_routers(&mut self, name: &str, far: &mut Far) {
        let routes = Arc::clone(&self.routes);
        if routes.reachable_count() == 0 {
            return;
        }
        let rest = name.get(1..).unwrap_or_default();
        let mut routers: Vec<(RouterIndex, Option<Arc<str>>)> = match Class::of_key(name) {
            Class::Router => routes.graph().index_of(rest).map(|router| (router, None)).into_iter().collect(),
            Class::Topological => routes.reachable().map(|(router, _)| (router, None)).collect(),
            Class::Mobile | Class::Network | Class::Edge => {
                let all = self.book.destinations(name).iter();
                all.filter_map(|d| Some((routes.graph().index_of(&d.router)?, d.mesh.clone()))).collect()
            }
            Class::Local | Class::Area | Class::Hop => return,
        };
        routers.retain(|(router, _)| routes.route(*router).is_some());
        for (router, mesh) in routers {
            let Some(route) = routes.route(router) else { continue };
            let Some(id) = routes.graph().id(route.next_hop) else { continue };
            let hop = self.hop(id);
            far.push(FarEnd::Router(router), mesh, route.cost, hop);
        }
    }

    /// The key of a neighbour; it gets one if it has none. Neighbours are few, and come back.
    fn hop(&mut self, id: &str) -> Key {
        if let Some(key) = self.hop_ids.get(id) {
            return *key;
        }
        let links = std::array::from_fn(|priority| self.address(&format!("P{id}/{priority}"), false));
        let stream = self.address(&format!("P{id}/stream"), false);
        let id: RouterId = id.into();
        let hop = Hop { id: id.clone(), name: format!("0/{id}").into(), links: HopLinks::ByPriority(links), stream };
        let key = self.hops.insert(hop);
        self.hop_ids.insert(id, key);
        key
    }

    /// A link of ours to a neighbour was attached. Its credit is told with [`credit`](Self::credit), as that of any outlet.
    /// `ours`: the neighbour is a router of this make. `None` if the connection is gone, or the priority is above 9.
    pub fn attach_hop(
        &mut self,
        conn: ConnKey,
        link: LinkRef,
        (neighbour, ours): (&str, bool),
        kind: HopLink,
        eg: &mut impl Egress,
    ) -> Option<OutletKey> {
        let hop = self.hop(neighbour);
        let hop = self.hops.get(hop)?;
        let address = match (kind, &hop.links) {
            (HopLink::Priority(priority), HopLinks::ByPriority(links)) => *links.get(usize::from(priority))?,
            (HopLink::Priority(_), HopLinks::One(link)) => *link,
            (HopLink::Stream, _) => hop.stream,
        };
        self.addresses.get_mut(address)?.ours = ours;
        let key = self.outlet_at(conn, link, address, kind == HopLink::Stream, eg)?;
        if let Some(outlet) = self.outlets.get_mut(key) {
            outlet.inside = true;
        }
        Some(OutletKey(key))
    }

    /// As [`Core::select`], for an address with far destinations.
    pub(super) fn select_far(&mut self, address: Key, way: &Way<'_>, from: delivery::From) -> Option<Pick> {
        let a = self.addresses.get_mut(address)?;
        let far = a.far.as_mut()?;
        let routes = &self.routes;
        let any = !way.streams() || far.only_avoided(way, routes);
        let valid = |far: &FarRouter| far.takes(way, routes) && (any || !far.avoided);
        let ordered = match from {
            delivery::From::Inlet { inlet, .. } if far.ways && !way.streams() => {
                far.choose_ways(self.inlets.get(inlet).map_or(0, |inlet| inlet.id), valid);
                true
            }
            _ if far.ways && way.streams() => {
                far.leave_detours(valid);
                true
            }
            _ => false,
        };
        let valid = |far: &FarRouter| valid(far) && !(ordered && far.second);
        let here = a.candidates.len();
        let edges_first = far.is_turn_of_edges(here, valid);
        if a.treatment == Treatment::Closest {
            if here > 0 && !edges_first {
                let free = |far: &FarRouter| far.cost == 0 && valid(far);
                let near = a.candidates.round_robin().map(Pick::from);
                return near.or_else(|| far.closest(free).map(Pick::Far));
            }
            return far.closest(valid).map(Pick::Far);
        }
        if here == 0
            && let [only] = &*far.to
        {
            let share = far.shares.get(only.share).filter(|_| valid(only))?;
            return Some(Pick::Far(share.hop));
        }
        let (outlets, remotes) = (&self.outlets, &self.remotes);
        let ready = a.candidates.least(|candidate| load(outlets, remotes, candidate));
        if let Some(candidate) = ready.filter(|candidate| !edges_first && load(outlets, remotes, *candidate) == 0) {
            return Some(candidate.into());
        }
        let near = a.candidates.least_of_all(|candidate| load(outlets, remotes, candidate)).map(|least| {
            // Consumers without credit have to do what waits for them. What is chosen for waits itself, unless it just arrived.
            let ahead = a.waiting.len().saturating_sub(1) / a.candidates.len().max(1);
            u64::from(least).saturating_add(ahead as u64)
        });
        // Taken out for as long as other addresses are looked at.
        let mut far = a.far.take()?;
        // Toward routers of the reference its limits apply here, too, so that both choose alike.
        let near_limit = far.shares.iter().find_map(|share| self.limit_of(share.hop));
        let near = near.map(|outstanding| Work::new(outstanding, 0, near_limit));
        let best = far.least(valid, |share, cost| self.work_of(share, cost), |share| self.all_behind(share));
        self.addresses.get_mut(address)?.far = Some(far);
        match best {
            Some((hop, work)) if balance::goes_far(near, Some(work)) || edges_first && near == Some(work) => {
                Some(Pick::Far(hop))
            }
            _ => ready.map(Pick::from),
        }
    }

    /// Where a delivery goes that came from another router for one to which no way of its origin leads through here. After a change of the network
    /// routers do not have their new routes at the same time: it goes on, though never to a router that it has passed.
    #[cold]
    pub(super) fn astray(&self, address: Key, way: &Way<'_>) -> Option<Pick> {
        let Way::Routed { origin: Origin::Router(origin), .. } = way else { return None };
        let a = self.addresses.get(address).filter(|a| a.candidates.len() == 0)?;
        let fresh = |hop: Key| {
            self.links_to(hop, MEDIUM).is_some() && self.hops.get(hop).is_some_and(|hop| !way.passed(&hop.name))
        };
        a.far.as_ref()?.astray(*origin, way, fresh).map(Pick::Far)
    }

    /// What a next hop has to do for an address, with the cost of the way.
    pub(super) fn work_of(&self, share: &Share, cost: u64) -> Work {
        Work::new(self.tallies.outstanding(share.tally).into(), cost, self.limit_of(share.hop))
    }

    /// What this router and others have outstanding behind a next hop.
    pub(super) fn all_behind(&self, share: &Share) -> u64 {
        u64::from(self.tallies.outstanding(share.tally)) + u64::from(self.tallies.others(share.tally))
    }

    /// What may be outstanding for an address at a neighbour before it comes after all others. Ours have no such limit, nor have edges.
    fn limit_of(&self, hop: Key) -> Option<u32> {
        let HopLinks::ByPriority(links) = &self.hops.get(hop)?.links else { return None };
        let links = links.get(usize::from(MEDIUM))?;
        (!self.addresses.get(*links)?.ours).then_some(balance::LIMIT)
    }

    /// Sends a delivery, or its first part, to a neighbour.
    pub(super) fn forward(
        &mut self,
        hop: Key,
        address: Key,
        arrival: &Arrival<'_>,
        payload: &Payload<'_>,
        end: End,
        eg: &mut impl Egress,
    ) -> Option<Key> {
        let priority = self.priority_of(address, payload);
        let Some(links) = self.links_to(hop, priority) else {
            return self.refuse(arrival, end, Some(&DeliveryState::Released), eg);
        };
        self.sent_on(address, hop);
        if arrival.traced {
            self.span_to_hop(hop);
        }
        let settled = arrival.goes_settled;
        let ours = self.addresses.get(links).is_some_and(|a| a.ours);
        // What goes the way of something long is known to pass, as that is, and is held by a window of its own.
        let ahead = if arrival.way.streams() { Ahead::Nothing } else { self.ahead(arrival.from, hop, address) };
        let tracking = if settled && ours && ahead == Ahead::Nothing {
            self.tracking(links, arrival, payload, end)
        } else {
            Tracking::No
        };
        let tracked = matches!(tracking, Tracking::Yes(_));
        let tell = ours && !settled && end == End::Complete && !arrival.way.streams();
        let prefix = self.composed(&arrival.way, tracking::flags(tracked, tell));
        // What is settled never counts as outstanding.
        let goes_settled = settled && !tracked;
        let (untracked, row) = match tracking {
            Tracking::No => (false, 0),
            Tracking::Later => (true, 0),
            Tracking::Yes(row) => (false, row),
        };
        let way = Way::Here;
        let stream = arrival.way.streams().then(|| arrival.way.origin());
        let onward =
            Arrival { way, prefix: &prefix, origin: address, hop, goes_settled, untracked, row, stream, ..*arrival };
        let d = match end {
            _ if ahead != Ahead::Nothing => self.go_after(ahead, priority, &onward, payload, end, eg),
            End::More if arrival.way.streams() => self.begin_stream(hop, &onward, payload, eg),
            End::More => {
                let d = self.record(&onward, links, end);
                self.keep_prefix(d, &prefix);
                if let Some(delivery) = self.deliveries.get_mut(d) {
                    delivery.to = To::Gathering;
                    delivery.priority = priority;
                    delivery.set(POOLED);
                }
                self.gather(d, payload, end, eg);
                Some(d)
            }
            _ => self.route(links, &onward, payload, end, eg),
        };
        self.composed.bytes = prefix;
        if let Some(d) = d {
            self.count_onward(d, if goes_settled { Key::NONE } else { address }, hop);
        }
        d
    }

    /// A delivery for an address goes to this neighbour. Those between an edge and an interior router count as those of clients do.
    #[inline]
    fn sent_on(&mut self, address: Key, hop: Key) {
        if matches!(self.hops.get(hop).map(|hop| &hop.links), Some(HopLinks::ByPriority(_))) {
            self.passed(address);
        }
    }

    /// Sends a delivery that waits at its address to a neighbour. It was sent by a client: what came from other routers knows where it
    /// has been only while it arrives.
    pub(super) fn forward_waiting(&mut self, d: Key, hop: Key, eg: &mut impl Egress) {
        self.leave_waiting(d);
        let kept = self.take_prefix(d);
        let Some(delivery) = self.deliveries.get(d) else { return };
        let (address, settled, arrived) =
            (delivery.address, delivery.has(crate::delivery::PRESETTLED), delivery.arrived());
        let from = delivery.from;
        let inlet = match from {
            delivery::From::Inlet { inlet, .. } => inlet,
            _ => Key::NONE,
        };
        let local = kept.is_some() || (self.inlets.get(inlet).is_some() && !self.is_of_router(d));
        let priority = delivery.priority.min(9);
        let links = self.links_to(hop, priority).filter(|_| local);
        let Some(links) = links else { return self.dropped(d, eg) };
        self.sent_on(address, hop);
        let way = if self.inlets.get(inlet).is_some_and(|inlet| inlet.address.is_some()) {
            Way::Targeted(inlet)
        } else {
            Way::Here
        };
        let ours = self.addresses.get(links).is_some_and(|a| a.ours);
        let flags = tracking::flags(settled && ours, ours && arrived && !settled);
        if let Some(prefix) = kept.as_deref().and_then(|kept| Self::prefix_onward(kept, flags)) {
            self.keep_prefix(d, &prefix);
        } else {
            let prefix = self.composed(&way, flags);
            self.keep_prefix(d, &prefix);
            self.composed.bytes = prefix;
        }
        if settled
            && ours
            && let Some(delivery) = self.deliveries.get_mut(d)
        {
            delivery.set(TRACKED);
            delivery.flags &= !HEAD_SETTLED;
        }
        self.count_onward(d, if settled && !ours { Key::NONE } else { address }, hop);
        self.move_to(d, links);
        let row = if settled && ours { self.row(inlet) } else { 0 };
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        if let Some(onward) = self.onwards.at_mut(delivery.onward) {
            (onward.origin, onward.hop, onward.row) = (address, hop, row);
        }
        match self.ahead(from, hop, address) {
            Ahead::Nothing => {}
            Ahead::On(link) => {
                self.move_to(d, self.streams_to(hop));
                return self.follow(d, link, eg);
            }
            Ahead::Waiting => {
                let stream = self.streams_to(hop);
                self.move_to(d, stream);
                self.becomes_long(d);
                return self.enqueue(d, stream, priority);
            }
        }
        let streams = |kept: &[u8]| matches!(parse(kept), Ok(Parsed::Found(said, _)) if said.flags & STREAMING != 0);
        if !arrived && kept.as_deref().is_some_and(streams) {
            let Some(stream) = self.hops.get(hop).map(|hop| hop.stream) else { return self.dropped(d, eg) };
            self.move_to(d, stream);
            self.enqueue(d, stream, MEDIUM);
            self.pump(stream, eg);
            self.want_stream(stream, eg);
        } else if arrived {
            self.enqueue(d, links, priority);
            self.pump(links, eg);
            self.demand(links, eg);
        } else {
            if let Some(delivery) = self.deliveries.get_mut(d) {
                delivery.to = To::Gathering;
            }
            self.pool(d, eg);
            self.gather(d, &Payload::empty(), End::More, eg);
        }
    }

    /// A part of a delivery that is gathered for a neighbour, or nothing more than a look at how much that is by now.
    pub(super) fn gather(&mut self, d: Key, payload: &Payload<'_>, end: End, eg: &mut impl Egress) {
        self.store(d, payload, eg);
        let Some(delivery) = self.deliveries.get(d) else { return };
        let (address, priority, whole) = (delivery.address, delivery.priority, delivery.has(WHOLE));
        let hop = self.onwards.at(delivery.onward).map_or(Key::NONE, |(_, onward)| onward.hop);
        if end == End::Complete {
            if self.addresses.get(address).is_none_or(|a| !a.open) {
                // The links went away meanwhile.
                return self.dropped(d, eg);
            }
            if self.is_of_one(d) {
                // From here on its sender may wait for it.
                self.unpool(d, eg);
            }
            self.enqueue(d, address, priority);
            self.pump(address, eg);
            if self.addresses.get(address).is_some_and(|a| a.waiting.len() > 0) {
                self.demand(address, eg);
            }
        } else if !whole && delivery.content.as_ref().is_some_and(|content| content.charge() > GATHER) {
            let Some(stream) = self.hops.get(hop).map(|hop| hop.stream) else { return self.dropped(d, eg) };
            if self.should_wait_its_turn(d) {
                return;
            }
            self.unpool(d, eg);
            self.move_to(d, stream);
            self.becomes_long(d);
            self.enqueue(d, stream, priority);
            self.pump(stream, eg);
            self.want_stream(stream, eg);
        }
    }

    /// The delivery waits elsewhere from now on.
    pub(super) fn move_to(&mut self, d: Key, address: Key) {
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        let from = std::mem::replace(&mut delivery.address, address);
        if delivery.has(POOLED) {
            let kept = delivery.content.as_ref().map_or(0, |content| content.charge());
            self.pool_out(from, kept);
            self.pool_in(address, kept);
        }
    }

    /// A delivery that has to be forwarded while it arrives.
    fn begin_stream(
        &mut self,
        hop: Key,
        arrival: &Arrival<'_>,
        payload: &Payload<'_>,
        eg: &mut impl Egress,
    ) -> Option<Key> {
        let stream = self.hops.get(hop)?.stream;
        if let Some(Pick::Local(_) | Pick::Remote(_)) = self.peek(stream) {
            return self.route(stream, arrival, payload, End::More, eg);
        }
        let d = self.record(arrival, stream, End::More);
        self.keep_prefix(d, arrival.prefix);
        self.counters.waited += 1;
        self.store(d, payload, eg);
        self.enqueue(d, stream, MEDIUM);
        self.want_stream(stream, eg);
        Some(d)
    }

    /// Whether some link could take a delivery, without using up its turn.
    pub(super) fn peek(&self, address: Key) -> Option<Pick> {
        let a = self.addresses.get(address)?;
        if a.own_streams {
            return a.candidates.local_ready().map(Pick::from);
        }
        a.candidates.ready_from(0).next().map(|(_, candidate)| candidate.into())
    }

    /// A copy for every neighbour that leads to a destination. Answers how many of them will read `payload` later.
    pub(super) fn fan_out_far(
        &mut self,
        p: Key,
        address: Key,
        arrival: &Arrival<'_>,
        payload: &Payload<'_>,
        end: End,
        eg: &mut impl Egress,
    ) -> u32 {
        let hops = self.hops_of_copies(address, &arrival.way);
        let priority = self.priority_of(address, payload);
        let prefix = self.composed(&arrival.way, self.tree_flags(&arrival.way));
        let mut readers = 0;
        for hop in hops {
            let passed = self.hops.get(hop).is_some_and(|hop| arrival.way.passed(&hop.name));
            let Some(links) = self.links_to(hop, priority).filter(|_| !passed) else { continue };
            self.sent_on(address, hop);
            let onward = Arrival { way: Way::Here, prefix: &prefix, ..*arrival };
            match self.ahead(arrival.from, hop, address) {
                Ahead::On(Candidate::Local(o)) => {
                    let stream = self.streams_to(hop);
                    self.order.uses(Candidate::Local(o), arrival.settled);
                    readers += u32::from(self.copy_to(p, o, stream, &onward, payload, end, eg));
                    continue;
                }
                Ahead::Waiting => {
                    readers += u32::from(self.wait_for_stream(p, links, self.streams_to(hop), &onward, payload, eg));
                    continue;
                }
                Ahead::On(Candidate::Remote(_)) | Ahead::Nothing => {}
            }
            let Some(a) = self.addresses.get(links) else { continue };
            let local = a.candidates.iter().find_map(|candidate| match candidate {
                Candidate::Local(o) => Some(o),
                Candidate::Remote(_) => None,
            });
            let peer = a.peers.first().map(|peer| (peer.worker, peer.address));
            if local.is_some() && end == End::More {
                readers += u32::from(self.gather_copy(p, links, &onward, payload, eg));
            } else if let Some(o) = local {
                readers += u32::from(self.copy_to(p, o, links, &onward, payload, end, eg));
            } else if let Some((worker, target)) = peer {
                self.copy_to_worker(p, worker, target, links, &onward, payload, end, eg);
            }
        }
        self.composed.bytes = prefix;
        readers
    }

    /// The address of the links for streams to a neighbour.
    pub(super) fn streams_to(&self, hop: Key) -> Key {
        self.hops.get(hop).map_or(Key::NONE, |hop| hop.stream)
    }

    /// The address of the links to a neighbour that carry a priority. Neighbours that have none for it use those of the medium one.
    pub(super) fn links_to(&self, hop: Key, priority: u8) -> Option<Key> {
        let open = |key: Key| self.addresses.get(key).filter(|a| a.candidates.len() > 0).map(|_| key);
        match &self.hops.get(hop)?.links {
            HopLinks::One(key) => open(*key),
            HopLinks::ByPriority(links) => {
                let of = |priority: u8| links.get(usize::from(priority)).and_then(|key| open(*key));
                of(priority).or_else(|| of(MEDIUM))
            }
        }
    }

    pub(super) fn priority_of(&self, address: Key, payload: &Payload<'_>) -> u8 {
        let configured = self.addresses.get(address).and_then(|a| a.priority);
        configured.unwrap_or_else(|| header_priority(payload)).min(PRIORITIES as u8 - 1)
    }

    /// A delivery to a neighbour counts among what is outstanding for its address there, until it is over.
    fn count_onward(&mut self, d: Key, address: Key, hop: Key) {
        let Some(far) = self.addresses.get(address).and_then(|a| a.far.as_ref()) else { return };
        let Some(share) = far.shares.iter().find(|share| share.hop == hop) else { return };
        let Some(delivery) = self.deliveries.get(d) else { return };
        if let Some(onward) = self.onwards.at_mut(delivery.onward) {
            onward.tally = share.tally;
            self.tallies.add(share.tally);
        }
    }

    /// A delivery that went to a neighbour is over.
    pub(super) fn leave_onward(&mut self, d: Key) {
        let Some(delivery) = self.deliveries.get_mut(d).filter(|d| d.onward != NIL) else { return };
        let onward = std::mem::replace(&mut delivery.onward, NIL);
        let Some((key, Onward { origin, tally, .. })) = self.onwards.at(onward) else { return };
        let (origin, tally) = (*origin, *tally);
        self.onwards.discard(key);
        self.tallies.sub(tally);
        // What waits for consumers here may go there now.
        if self.addresses.get(origin).is_some_and(|a| a.waiting.len() > 0) && self.relieved.last() != Some(&origin) {
            self.relieved.push(origin);
        }
    }

    /// Looks again at what waits here though it could have gone to another router, where less is outstanding now.
    pub(super) fn pump_relieved(&mut self, eg: &mut impl Egress) {
        loop {
            self.join_lines(eg);
            let Some(address) = self.relieved.pop() else { break };
            self.pump(address, eg);
        }
    }
}
