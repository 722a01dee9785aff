//! The routers, their links, and what is on the way between them.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use router_core::routing::{
    AddressKey, Event, FloodGuard, Hint, LinkId, LocalAddress, Message, Output, RouterId, Routing, RoutingConfig,
    Target, codec,
};

use super::{Options, queue::Queue, rng::Rng};

/// What arrives at a router within this time is one batch, as it is for a thread that was woken by the first of it.
const BATCH: Duration = Duration::from_micros(100);
/// When the first router starts: seconds since 1970.
const EPOCH: i64 = 1_700_000_000;

/// A link between two routers.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) ends: (usize, usize),
    pub(super) cost: u32,
    latency: Duration,
    /// Both ends know it.
    pub(super) up: bool,
    /// What is sent gets lost.
    pub(super) silent: bool,
    /// Counts its connections: what was on the way in an earlier one does not arrive.
    connection: u32,
    /// From when on each end gets what is sent to it; what comes before is lost.
    hears_from: [Duration; 2],
}

impl Link {
    /// Which of its ends a router is.
    fn end(&self, router: usize) -> usize {
        usize::from(self.ends.1 == router)
    }
}

/// A router, if it is running.
#[derive(Debug)]
pub(super) struct Router {
    pub(super) id: RouterId,
    pub(super) routing: Option<Routing>,
    guard: FloodGuard,
    links: Vec<usize>,
    /// Addresses with consumers here.
    pub(super) serves: BTreeSet<AddressKey>,
    /// When it is to be woken; wake-ups for other times are out of date.
    wake: Option<Duration>,
}

/// A message on its way.
#[derive(Debug)]
struct Envelope {
    to: Target,
    message: Message,
    trace: Vec<RouterId>,
    bytes: usize,
}

#[derive(Debug)]
enum What {
    Arrive {
        link: usize,
        connection: u32,
        envelope: Rc<Envelope>,
    },
    /// The connection of a link is known at this end, too.
    Up {
        link: usize,
        connection: u32,
    },
    Wake,
}

/// What was sent and done; differences of two of them measure what lies between.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    /// Messages that routers made or forwarded: one for each copy on a link.
    pub(super) messages: u64,
    /// Their bytes, router annotations included.
    pub(super) bytes: u64,
    /// Tables that were computed.
    pub(super) tables: u64,
}

/// The network.
#[derive(Debug)]
pub(super) struct Network {
    base: Instant,
    pub(super) now: Duration,
    pub(super) routers: Vec<Router>,
    pub(super) links: Vec<Link>,
    index: BTreeMap<RouterId, usize>,
    queue: Queue<What>,
    /// When a table or the addresses of a router last changed anywhere.
    pub(super) changed: Duration,
    pub(super) totals: Totals,
    /// Of everything that was sent, in order.
    digest: DefaultHasher,
    /// Time that the machine spent in routers, and in inputs that ended with a table.
    pub(super) cpu: Duration,
    pub(super) table_cpu: Duration,
}

/// What makes a flooded message the one that it is. As for real routers, it counts what it says and not when it was sent.
fn content(message: &Message) -> (&'static str, RouterId, i64, u64, u64) {
    let (instance, ls_seq, mobile_seq) = match message {
        Message::RouterAdvertisement(ra) => (ra.instance, ra.ls_seq, ra.mobile_seq),
        Message::LinkStateUpdate(update) => (update.instance, update.ls_seq, 0),
        _ => (0, 0, 0),
    };
    (message.opcode(), message.id().clone(), instance, ls_seq, mobile_seq)
}

/// Bytes of the router annotations of a message that passed these routers.
fn annotations(trace: &[RouterId]) -> usize {
    // Descriptor, list, flags, override, ingress, list of the trace; names are `0/<id>`.
    let name = |id: &RouterId| 4 + id.len();
    10 + 9 + 2 + trace.first().map_or(1, name) + 9 + trace.iter().map(name).sum::<usize>()
}

impl Network {
    pub(super) fn new(options: &Options, links: &[(usize, usize)], rng: &mut Rng) -> Self {
        let width = options.routers.to_string().len();
        let ids: Vec<RouterId> = (0..options.routers).map(|i| format!("router-{i:0width$}").into()).collect();
        let latency = |rng: &mut Rng| {
            let span = (options.latency.0.end - options.latency.0.start) as usize * 1000;
            Duration::from_micros(options.latency.0.start * 1000 + rng.below(span + 1) as u64)
        };
        let links: Vec<Link> = links
            .iter()
            .map(|&ends| Link {
                ends,
                cost: 1 + rng.below(options.max_cost as usize) as u32,
                latency: latency(rng),
                up: false,
                silent: false,
                connection: 0,
                hears_from: [Duration::ZERO; 2],
            })
            .collect();
        let mut routers: Vec<Router> = ids
            .iter()
            .map(|id| Router {
                id: id.clone(),
                routing: None,
                guard: FloodGuard::new(),
                links: Vec::new(),
                serves: BTreeSet::new(),
                wake: None,
            })
            .collect();
        for (number, link) in links.iter().enumerate() {
            routers[link.ends.0].links.push(number);
            routers[link.ends.1].links.push(number);
        }
        for i in 0..options.addresses {
            routers[rng.below(options.routers)].serves.insert(format!("Mservice/{i}").into());
        }
        for i in 0..options.edges {
            routers[rng.below(options.routers)].serves.insert(format!("Hedge-{i}").into());
        }
        let index = ids.into_iter().zip(0..).collect();
        Self {
            base: Instant::now(),
            now: Duration::ZERO,
            routers,
            links,
            index,
            queue: Queue::default(),
            changed: Duration::ZERO,
            totals: Totals::default(),
            digest: DefaultHasher::new(),
            cpu: Duration::ZERO,
            table_cpu: Duration::ZERO,
        }
    }

    /// All routers start, then all connections open, spread over a second.
    pub(super) fn start_all(&mut self) {
        for router in 0..self.routers.len() {
            self.start(router);
        }
        let count = self.links.len();
        for link in 0..count {
            let at = Duration::from_secs(1) * link as u32 / count as u32;
            self.run_until(at);
            self.open(link);
        }
    }

    /// The place of a router.
    pub(super) fn find(&self, id: &str) -> Option<usize> {
        self.index.get(id).copied()
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest.finish()
    }

    /// Starts a router as the real one does: instance and first sequence number come from the time.
    pub(super) fn start(&mut self, router: usize) {
        let mut config = RoutingConfig::new(self.routers[router].id.clone(), EPOCH + self.now.as_secs() as i64);
        config.first_sequence = self.now.subsec_micros();
        self.routers[router].routing = Some(Routing::new(config, self.base + self.now));
        self.routers[router].guard = FloodGuard::new();
        let keys: Vec<_> = self.routers[router].serves.iter().cloned().collect();
        self.serve(router, keys, true);
    }

    /// Ends a router without a word. Its connections close.
    pub(super) fn kill(&mut self, router: usize) {
        self.routers[router].routing = None;
        self.routers[router].wake = None;
        for link in self.routers[router].links.clone() {
            self.close(link);
        }
    }

    /// Opens a connection, unless an end of it does not run.
    pub(super) fn open(&mut self, link: usize) {
        self.open_deaf(link, [Duration::ZERO; 2]);
    }

    /// The same, but each end is told so much later, and what was sent to it before is lost.
    pub(super) fn open_deaf(&mut self, link: usize, late: [Duration; 2]) {
        let (a, b) = self.links[link].ends;
        if self.links[link].up || self.routers[a].routing.is_none() || self.routers[b].routing.is_none() {
            return;
        }
        let state = &mut self.links[link];
        state.up = true;
        state.connection += 1;
        state.hears_from = late.map(|late| self.now + late);
        let (connection, times) = (state.connection, state.hears_from);
        for (end, at) in [a, b].into_iter().zip(times) {
            if at > self.now {
                self.queue.push(at, end, What::Up { link, connection });
            } else {
                self.up(end, link, connection);
            }
        }
    }

    fn up(&mut self, router: usize, link: usize, connection: u32) {
        let state = &self.links[link];
        if state.up && state.connection == connection {
            let cost = state.cost;
            self.input(router, |routing, now| routing.link_up(LinkId(link as u64), cost, now));
        }
    }

    /// From now on, for this long, what is sent on a link is lost on its way to one of its ends, or to both.
    pub(super) fn lose(&mut self, link: usize, times: [Duration; 2]) {
        let now = self.now;
        for (from, time) in self.links[link].hears_from.iter_mut().zip(times) {
            *from = (*from).max(now + time);
        }
    }

    /// Closes a connection; both ends notice.
    pub(super) fn close(&mut self, link: usize) {
        if !std::mem::replace(&mut self.links[link].up, false) {
            return;
        }
        let (a, b) = self.links[link].ends;
        for end in [a, b] {
            self.input(end, |routing, now| routing.link_lost(LinkId(link as u64), now));
        }
    }

    pub(super) fn open_all_of(&mut self, router: usize) {
        for link in self.routers[router].links.clone() {
            self.open(link);
        }
    }

    pub(super) fn set_cost(&mut self, link: usize, cost: u32) {
        self.links[link].cost = cost;
        let (a, b) = self.links[link].ends;
        for end in [a, b] {
            self.input(end, |routing, now| routing.link_cost(LinkId(link as u64), cost, now));
        }
    }

    /// Adds or removes consumers.
    pub(super) fn serve(&mut self, router: usize, keys: impl IntoIterator<Item = AddressKey>, on: bool) {
        let keys: Vec<_> = keys.into_iter().collect();
        for key in &keys {
            if on {
                self.routers[router].serves.insert(key.clone());
            } else {
                self.routers[router].serves.remove(key);
            }
        }
        let state = on.then_some(LocalAddress { hint: Some(Hint::Balanced), in_links: 0, mesh: None });
        self.input(router, |routing, _| {
            for key in keys {
                routing.local_address(key, state.clone()).expect("a key of class M or H");
            }
        });
    }

    fn input(&mut self, router: usize, input: impl FnOnce(&mut Routing, Instant)) {
        let now = self.base + self.now;
        if let Some(routing) = &mut self.routers[router].routing {
            let begin = Instant::now();
            input(routing, now);
            self.cpu += begin.elapsed();
            self.settle(router);
        }
    }

    /// Ends a batch of a router: what is due is done, what comes of it is sent.
    fn settle(&mut self, router: usize) {
        let now = self.base + self.now;
        let Some(routing) = &mut self.routers[router].routing else { return };
        let begin = Instant::now();
        while routing.poll_timeout().is_some_and(|at| at <= now) {
            routing.handle_timeout(now);
        }
        let mut sends = Vec::new();
        let (mut tables, mut changed) = (0, false);
        while let Some(output) = routing.poll_output() {
            match output {
                Output::Send { to, message } => sends.push((to, message)),
                Output::Event(Event::Routes(_)) => tables += 1,
                Output::Event(Event::Addresses { .. }) => changed = true,
                Output::Event(_) => {}
            }
        }
        let wake = routing.poll_timeout();
        let spent = begin.elapsed();
        self.cpu += spent;
        if tables > 0 {
            self.table_cpu += spent;
            self.totals.tables += tables;
        }
        if tables > 0 || changed {
            self.changed = self.now;
        }
        for (to, message) in sends {
            let bytes = codec::encoded_len(&message, &to);
            (self.now, router, message.opcode(), bytes).hash(&mut self.digest);
            let envelope = Envelope { to, message, trace: Vec::new(), bytes };
            self.forward(router, &envelope);
        }
        if let Some(wake) = wake {
            // Not before now; on a whole microsecond, so that what is due together is done together.
            let wake = wake.saturating_duration_since(self.base).max(self.now);
            if self.routers[router].wake != Some(wake) {
                self.routers[router].wake = Some(wake);
                self.queue.push(wake, router, What::Wake);
            }
        }
    }

    /// Sends a message on from a router by its own table.
    fn forward(&mut self, router: usize, envelope: &Envelope) {
        let Some(routing) = &self.routers[router].routing else { return };
        let routes = routing.routes();
        let trace = envelope.trace.iter().map(|id| &**id);
        let links = match &envelope.to {
            Target::Hop(link) => vec![*link],
            Target::Router(to) => routes.toward(to, trace).into_iter().collect(),
            Target::AllRouters if envelope.message.is_mobile() => {
                routes.spread(envelope.trace.first().unwrap_or_else(|| routing.id()))
            }
            Target::AllRouters => routing.flood(trace),
        };
        if links.is_empty() {
            return;
        }
        let mut trace = Vec::with_capacity(envelope.trace.len() + 1);
        trace.extend_from_slice(&envelope.trace);
        trace.push(routing.id().clone());
        let size = envelope.bytes + annotations(&trace);
        let next = Rc::new(Envelope {
            to: envelope.to.clone(),
            message: envelope.message.clone(),
            trace,
            bytes: envelope.bytes,
        });
        for LinkId(link) in links {
            let link = link as usize;
            let Link { ends, latency, up, silent, connection, .. } = self.links[link];
            self.totals.messages += 1;
            self.totals.bytes += size as u64;
            if up && !silent {
                let to = if ends.0 == router { ends.1 } else { ends.0 };
                let at = self.now + latency;
                let at = Duration::from_nanos((at.as_nanos() as u64).next_multiple_of(BATCH.as_nanos() as u64));
                self.queue.push(at, to, What::Arrive { link, connection, envelope: next.clone() });
            }
        }
    }

    fn arrive(&mut self, router: usize, link: usize, connection: u32, envelope: &Envelope) {
        let state = &self.links[link];
        let deaf = self.now < state.hears_from[state.end(router)];
        let now = self.base + self.now;
        if !state.up || state.silent || state.connection != connection || deaf {
            return;
        }
        // Who finds itself in the trace refuses the message, whatever it says: it is in a loop, as it can be while tables differ.
        if envelope.trace.contains(&self.routers[router].id) {
            return;
        }
        let Router { routing: Some(routing), guard, .. } = &mut self.routers[router] else { return };
        let (mine, on) = match &envelope.to {
            Target::Hop(_) => (true, false),
            Target::Router(to) => (to == routing.id(), to != routing.id()),
            Target::AllRouters if envelope.message.is_mobile() => (true, true),
            // A second copy has nothing new, neither for us nor for others.
            Target::AllRouters => {
                let first = guard.is_first(content(&envelope.message), now);
                (first, first)
            }
        };
        if mine {
            let begin = Instant::now();
            routing.handle_message(LinkId(link as u64), &envelope.message, now);
            self.cpu += begin.elapsed();
        }
        if on {
            self.forward(router, envelope);
        }
    }

    /// Lets everything happen up to a time.
    pub(super) fn run_until(&mut self, until: Duration) {
        while let Some((at, router)) = self.queue.next(until) {
            self.now = at;
            let mut touched = false;
            // All that this router gets at this time.
            while let Some(what) = self.queue.take(at, router) {
                match what {
                    What::Arrive { link, connection, envelope } => self.arrive(router, link, connection, &envelope),
                    What::Up { link, connection } => self.up(router, link, connection),
                    What::Wake if self.routers[router].wake == Some(at) => self.routers[router].wake = None,
                    What::Wake => continue,
                }
                touched = true;
            }
            if touched {
                self.settle(router);
            }
        }
        self.now = until;
    }

    /// Lets time pass.
    pub(super) fn calm(&mut self, time: Duration) {
        self.run_until(self.now + time);
    }

    /// Runs until no table and no list of addresses has changed for `quiet`, or `until` is reached. False in the latter case.
    pub(super) fn settle_down(&mut self, quiet: Duration, until: Duration) -> bool {
        while self.now < until {
            let next = (self.changed + quiet).max(self.now + Duration::from_millis(1)).min(until);
            self.run_until(next);
            if self.changed + quiet <= self.now {
                return true;
            }
        }
        false
    }

    /// Routers that can reach one another: for each its group, for those that do not run none.
    pub(super) fn groups(&self) -> Vec<Option<usize>> {
        let mut groups = vec![None; self.routers.len()];
        for start in 0..self.routers.len() {
            if groups[start].is_some() || self.routers[start].routing.is_none() {
                continue;
            }
            let mut open = vec![start];
            groups[start] = Some(start);
            while let Some(at) = open.pop() {
                for &link in &self.routers[at].links {
                    let Link { ends, up, silent, .. } = self.links[link];
                    let other = if ends.0 == at { ends.1 } else { ends.0 };
                    if up && !silent && groups[other].is_none() {
                        groups[other] = Some(start);
                        open.push(other);
                    }
                }
            }
        }
        groups
    }

    /// The neighbours that a router should have, and their costs.
    pub(super) fn neighbours(&self, router: usize) -> impl Iterator<Item = (usize, u32)> {
        self.routers[router].links.iter().filter_map(move |&link| {
            let Link { ends, cost, up, silent, .. } = self.links[link];
            let other = if ends.0 == router { ends.1 } else { ends.0 };
            (up && !silent).then_some((other, cost))
        })
    }

    /// A shared copy of a key, if it is served anywhere.
    pub(super) fn any_address(&self, rng: &mut Rng) -> Option<(usize, AddressKey)> {
        let serving: Vec<usize> = (0..self.routers.len())
            .filter(|r| self.routers[*r].routing.is_some() && !self.routers[*r].serves.is_empty())
            .collect();
        let router = *rng.pick(&serving)?;
        let at = rng.below(self.routers[router].serves.len());
        self.routers[router].serves.iter().nth(at).map(|key| (router, Arc::clone(key)))
    }
}
