//! Routers connected by links that take a millisecond, with the forwarding of control messages that real routers do.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::{Duration, Instant},
};

use crate::routing::{
    AddressBook, Event, FloodGuard, LinkId, LocalAddress, Message, Output, RouterId, Routing, RoutingConfig, Target,
    message::Hello,
};

const LATENCY: Duration = Duration::from_millis(1);
/// More than a handful of routers ever have to say to each other within `LATENCY`.
const MOST_IN_FLIGHT: usize = 20_000;

#[derive(Clone, Debug)]
pub(super) struct Envelope {
    to: Target,
    pub(super) message: Message,
    trace: Vec<RouterId>,
}

pub(super) struct Router {
    pub(super) routing: Routing,
    guard: FloodGuard,
    pub(super) book: AddressBook,
    pub(super) events: Vec<Event>,
    /// What it sent: opcode and target.
    pub(super) sent: Vec<(&'static str, Target)>,
}

pub(super) struct World {
    pub(super) now: Instant,
    start: Instant,
    pub(super) routers: BTreeMap<String, Router>,
    /// Both ends of each link, and whether it carries anything.
    links: BTreeMap<u64, (String, String, bool)>,
    /// In flight: time, order of sending, link, receiver.
    queue: BinaryHeap<Reverse<(Instant, u64)>>,
    flying: BTreeMap<u64, (u64, String, Envelope)>,
    sequence: u64,
    next_link: u64,
    pub(super) instance: i64,
}

impl World {
    pub(super) fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "any time will do, and this is the only way to have one")]
        let now = Instant::now();
        Self {
            now,
            start: now,
            routers: BTreeMap::new(),
            links: BTreeMap::new(),
            queue: BinaryHeap::new(),
            flying: BTreeMap::new(),
            sequence: 0,
            next_link: 0,
            instance: 1_700_000_000,
        }
    }

    /// `"A-B B-C:5"`: routers by their names, links with their costs.
    pub(super) fn of(links: &str) -> Self {
        let mut world = Self::new();
        world.add(links);
        world
    }

    pub(super) fn add(&mut self, links: &str) {
        for link in links.split_whitespace() {
            let (ends, cost) = link.split_once(':').unwrap_or((link, "1"));
            let (a, b) = ends.split_once('-').unwrap();
            self.router(a);
            self.router(b);
            self.connect(a, b, cost.parse().unwrap());
        }
    }

    pub(super) fn config(&self, id: &str) -> RoutingConfig {
        RoutingConfig::new(id, self.instance)
    }

    pub(super) fn router(&mut self, id: &str) {
        if !self.routers.contains_key(id) {
            let config = self.config(id);
            self.start(config);
        }
    }

    pub(super) fn start(&mut self, config: RoutingConfig) {
        let id = config.id.to_string();
        let router = Router {
            routing: Routing::new(config, self.now),
            guard: FloodGuard::new(),
            book: AddressBook::new(),
            events: Vec::new(),
            sent: Vec::new(),
        };
        self.routers.insert(id, router);
    }

    /// A connection of which nobody knows yet.
    pub(super) fn wire(&mut self, a: &str, b: &str) -> u64 {
        self.next_link += 1;
        self.links.insert(self.next_link, (a.to_owned(), b.to_owned(), true));
        self.next_link
    }

    pub(super) fn connect(&mut self, a: &str, b: &str, cost: u32) -> u64 {
        let link = self.wire(a, b);
        for end in [a, b] {
            self.with(end, |routing, now| routing.link_up(LinkId(link), cost, now));
        }
        link
    }

    /// Both ends notice at once that the link is gone.
    pub(super) fn cut(&mut self, a: &str, b: &str) {
        let link = self.link(a, b);
        self.links.remove(&link);
        for end in [a, b] {
            if self.routers.contains_key(end) {
                self.with(end, |routing, now| routing.link_lost(LinkId(link), now));
            }
        }
    }

    /// Nothing comes through a link any more (or again), and nobody is told.
    pub(super) fn silence(&mut self, a: &str, b: &str, silent: bool) {
        let link = self.link(a, b);
        self.links.get_mut(&link).unwrap().2 = !silent;
    }

    pub(super) fn set_cost(&mut self, a: &str, b: &str, cost: u32) {
        let link = self.link(a, b);
        for end in [a, b] {
            self.with(end, |routing, now| routing.link_cost(LinkId(link), cost, now));
        }
    }

    /// A router dies; its neighbours' connections end.
    pub(super) fn kill(&mut self, id: &str) {
        self.routers.remove(id);
        let links: Vec<_> =
            self.links.iter().filter(|(_, (a, b, _))| a == id || b == id).map(|(link, _)| *link).collect();
        for link in links {
            let (a, b, _) = self.links.remove(&link).unwrap();
            let other = if a == id { b } else { a };
            self.with(&other, |routing, now| routing.link_lost(LinkId(link), now));
        }
    }

    pub(super) fn link(&self, a: &str, b: &str) -> u64 {
        let found = self.links.iter().find(|(_, (x, y, _))| (x == a && y == b) || (x == b && y == a));
        *found.unwrap_or_else(|| panic!("no link {a}-{b}")).0
    }

    /// One batch of inputs for a router.
    pub(super) fn with(&mut self, id: &str, input: impl FnOnce(&mut Routing, Instant)) {
        let now = self.now;
        input(&mut self.routers.get_mut(id).unwrap().routing, now);
        self.settle(id);
    }

    pub(super) fn serve(&mut self, id: &str, key: &str) {
        self.with(id, |routing, _| routing.local_address(key, Some(LocalAddress::default())).unwrap());
    }

    pub(super) fn unserve(&mut self, id: &str, key: &str) {
        self.with(id, |routing, _| routing.local_address(key, None).unwrap());
    }

    pub(super) fn settle(&mut self, id: &str) {
        let now = self.now;
        let router = self.routers.get_mut(id).unwrap();
        let mut rounds = 0;
        while router.routing.poll_timeout().is_some_and(|at| at <= now) {
            router.routing.handle_timeout(now);
            rounds += 1;
            assert!(rounds < 10, "{id} always has something due");
        }
        let mut sends = Vec::new();
        while let Some(output) = router.routing.poll_output() {
            match output {
                Output::Send { to, message } => {
                    router.sent.push((message.opcode(), to.clone()));
                    sends.push(Envelope { to, message, trace: Vec::new() });
                }
                Output::Event(event) => {
                    router.book.apply(&event);
                    router.events.push(event);
                }
            }
        }
        for envelope in sends {
            self.forward(id, envelope);
        }
    }

    /// Sends a message on from a router.
    fn forward(&mut self, id: &str, mut envelope: Envelope) {
        let router = &self.routers[id];
        let routes = router.routing.routes();
        let trace = envelope.trace.iter().map(|id| &**id);
        let links = match &envelope.to {
            Target::Hop(link) => vec![*link],
            Target::Router(to) => routes.toward(to, trace).into_iter().collect(),
            Target::AllRouters if envelope.message.is_mobile() => {
                routes.spread(envelope.trace.first().unwrap_or_else(|| router.routing.id()))
            }
            Target::AllRouters => router.routing.flood(trace),
        };
        envelope.trace.push(router.routing.id().clone());
        for link in links {
            self.transmit(id, link, envelope.clone());
        }
    }

    fn transmit(&mut self, from: &str, link: LinkId, envelope: Envelope) {
        let Some((a, b, true)) = self.links.get(&link.0) else { return };
        let to = if a == from { b.clone() } else { a.clone() };
        self.sequence += 1;
        assert!(self.flying.len() < MOST_IN_FLIGHT, "messages multiply: {envelope:?}\n{}", self.describe());
        self.queue.push(Reverse((self.now + LATENCY, self.sequence)));
        self.flying.insert(self.sequence, (link.0, to, envelope));
    }

    /// Puts a message on a link to a router, as a peer of any kind could.
    pub(super) fn inject(&mut self, to: &str, link: u64, message: &Message) {
        self.with(to, |routing, now| routing.handle_message(LinkId(link), message, now));
    }

    pub(super) fn hello(id: &str, instance: i64, seen: &[&str]) -> Message {
        let seen = seen.iter().map(|id| RouterId::from(*id)).collect();
        Message::Hello(Hello { id: id.into(), version: 1, instance, seen, interval: None, cost: None })
    }

    fn arrive(&mut self, link: u64, id: &str, envelope: &Envelope) {
        // What has been here is in a loop, as it can be while tables differ, and multiplies if it may go on.
        let looped = envelope.trace.iter().any(|passed| **passed == *id);
        if looped || !self.links.get(&link).is_some_and(|(_, _, up)| *up) || !self.routers.contains_key(id) {
            return;
        }
        let now = self.now;
        let router = self.routers.get_mut(id).unwrap();
        let mine = match &envelope.to {
            Target::Router(to) => *to == *router.routing.id(),
            _ => true,
        };
        if mine {
            router.routing.handle_message(LinkId(link), &envelope.message, now);
        }
        let on = match &envelope.to {
            Target::Hop(_) => false,
            Target::Router(_) => !mine,
            Target::AllRouters if envelope.message.is_mobile() => true,
            Target::AllRouters => router.guard.is_first((&envelope.trace[0], format!("{:?}", envelope.message)), now),
        };
        if on {
            self.forward(id, envelope.clone());
        }
        self.settle(id);
    }

    /// Lets time pass up to the next thing that happens, at most to `until`. False if that came first.
    fn step(&mut self, until: Instant) -> bool {
        let arrival = self.queue.peek().map(|Reverse((at, _))| *at);
        let timeout = self.routers.values().filter_map(|r| r.routing.poll_timeout()).min();
        let Some(next) = arrival.into_iter().chain(timeout).min().filter(|next| *next <= until) else {
            self.now = until;
            return false;
        };
        self.now = self.now.max(next);
        if arrival == Some(next) {
            let Some(Reverse((_, sequence))) = self.queue.pop() else { return true };
            let (link, to, envelope) = self.flying.remove(&sequence).unwrap();
            self.arrive(link, &to, &envelope);
        } else {
            let due: Vec<_> = self.routers.iter().filter(|(_, r)| r.routing.poll_timeout() <= Some(next)).collect();
            let due: Vec<_> = due.into_iter().map(|(id, _)| id.clone()).collect();
            for id in due {
                self.settle(&id);
            }
        }
        true
    }

    pub(super) fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.step(until) {}
    }

    /// Runs until something holds, and answers how long that took. Fails after `limit`.
    pub(super) fn until(&mut self, limit: Duration, what: &str, holds: impl Fn(&Self) -> bool) -> Duration {
        let begin = self.now;
        while !holds(self) {
            assert!(self.step(begin + limit), "not within {limit:?}: {what}\n{}", self.describe());
        }
        self.now - begin
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// Next hop and cost to every router that one of them can reach.
    pub(super) fn table(&self, id: &str) -> BTreeMap<String, (String, u64)> {
        let routes = self.routers[id].routing.routes();
        let name = |index| routes.graph().id(index).unwrap().to_string();
        routes.reachable().map(|(to, route)| (name(to), (name(route.next_hop), route.cost))).collect()
    }

    pub(super) fn reaches(&self, from: &str, to: &str) -> bool {
        self.table(from).contains_key(to)
    }

    /// The ids of the routers that one of them believes to have destinations for an address.
    pub(super) fn destinations(&self, at: &str, key: &str) -> Vec<String> {
        self.routers[at].book.destinations(key).iter().map(|d| d.router.to_string()).collect()
    }

    pub(super) fn sent(&self, id: &str, opcode: &str) -> usize {
        self.routers[id].sent.iter().filter(|(sent, _)| *sent == opcode).count()
    }

    pub(super) fn forget_traffic(&mut self) {
        for router in self.routers.values_mut() {
            router.sent.clear();
            router.events.clear();
        }
    }

    pub(super) fn events(&self, id: &str, which: impl Fn(&Event) -> bool) -> usize {
        self.routers[id].events.iter().filter(|event| which(event)).count()
    }

    pub(super) fn describe(&self) -> String {
        let line = |id: &String| format!("{id}: {:?}\n", self.table(id));
        self.routers.keys().map(line).collect()
    }
}
