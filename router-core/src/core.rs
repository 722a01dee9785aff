//! The forwarding core of one worker.
//!
//! Every public method takes what happened and answers through the [`Egress`]. The state is in slabs; what belongs together refers to
//! each other by keys with generations, so that nothing dangles when a link or a connection goes.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) use routed::Origin;

use crate::{
    Admission, ConnKey, ConnKind, Counters, Crossed, InletKey, OutletKey, Policy, Reachability, Terminus, Treatment,
    WorkerId,
    address::{AddressConfig, AddressTable, Class, NameGenerator, Syntax},
    annotations::KnownSections,
    delivery::{Arena, Content, Delivery, Onward, Waiting},
    distribution::Candidates,
    egress::{DeliveryState, Egress},
    inlet::Inlet,
    inspect::{LinkCounters, Past},
    outlet::Outlet,
    routing::{AddressBook, Routes},
    server::{Server, Watch},
};
pub use shares::Shares;
use shares::Tallies;
use slots::{Key, Slots};

pub use delays::{Delayed, LinkDelays};
pub use edges::{Demand, EdgeEnd, EdgeLink, edge_of_hop};
pub use flows::FlowPick;
pub use hops::HopLink;
pub use spans::{Span, SpanOutcome};

mod annotated;
mod anonymous;
mod attach;
mod client_streams;
mod composed;
mod delays;
mod edges;
mod far;
mod finish;
mod flow;
mod flows;
mod forward;
mod gather;
mod hops;
mod inspect;
pub(crate) mod keys;
mod loads;
mod multicast;
mod order;
mod peers;
mod pool;
mod refusals;
mod resend;
mod routed;
mod servers;
mod settle;
mod shares;
pub(crate) mod slots;
mod spans;
mod stalls;
mod stream;
mod stream_links;
mod table;
#[cfg(test)]
mod tests;
mod tracking;
mod trees;
mod workers;

/// Memory for deliveries that is kept when there are none: what a few senders' credit (`credit::CAP`) takes.
const DELIVERIES_KEPT: usize = 2 * 1024 * 1024;

/// What all cores of a router have in common.
#[derive(Clone, Debug)]
pub struct CoreConfig {
    /// The router's id.
    pub router_id: Arc<str>,
    /// The name of its network among networks (`networkId`).
    pub network_id: Option<Arc<str>>,
    /// The tenant of the network that it belongs to (`tenantId`).
    pub tenant_id: Option<Arc<str>>,
    /// It is an edge router: what it does not know goes up, to an interior router.
    pub edge: bool,
    /// Treatment of addresses that no configuration matches.
    pub default_distribution: Treatment,
    /// Configured addresses. Those with bad patterns are left out: check them first.
    pub addresses: Vec<AddressConfig>,
    /// Who may connect, attach and send where. Clones ask the same.
    pub policy: Arc<Policy>,
    /// How long a sender may stall in the middle of a delivery before it is aborted and the link detached. The check is coarse: up to
    /// a quarter more. Default 60 s.
    pub stall_limit: Duration,
    /// How many presettled copies a consumer of a multicast address may be behind before it misses the oldest. Default 250.
    pub multicast_queue: usize,
    /// How many bytes of one multicast delivery that is still arriving a consumer may be behind the fastest before its copy is
    /// aborted. Default 1 MiB.
    pub multicast_lag: usize,
    /// Memory for deliveries that wait though their sender has gone. Beyond it they are dropped when their sender goes. Default 32 MiB
    /// a worker.
    pub orphans: usize,
    /// Memory for what waits and must not push its sender back, because that would hold up others: deliveries that came over links which
    /// all addresses share, and those that are gathered for a neighbour. An address may have as much of it as is still free. Beyond that
    /// they are released, presettled ones dropped. Default 64 MiB a worker.
    pub pool: usize,
    /// Content that a worker holds, of whatever kind, beyond which no delivery of several frames begins: it is rejected. Default 512 MiB.
    pub streams: usize,
    /// Make spans of messages that carry a sampled trace context: [`Core::take_spans`]. Default: no.
    pub spans: bool,
    /// Counters that all workers share, and what other routers tell: clones have the same.
    pub shares: Shares,
}

impl CoreConfig {
    /// With the defaults.
    pub fn new(router_id: impl Into<Arc<str>>) -> Self {
        Self {
            router_id: router_id.into(),
            network_id: None,
            tenant_id: None,
            edge: false,
            default_distribution: Treatment::Balanced,
            addresses: Vec::new(),
            policy: Arc::default(),
            stall_limit: Duration::from_secs(60),
            multicast_queue: 250,
            multicast_lag: 1 << 20,
            orphans: 32 << 20,
            pool: 64 << 20,
            streams: 512 << 20,
            spans: false,
            shares: Shares::default(),
        }
    }
}

/// What an inlet is attached to.
#[derive(Clone, Copy, Debug)]
pub struct InletRequest<'a> {
    /// The target.
    pub target: Terminus<'a>,
}

/// An inlet was attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InletAttached {
    /// Its key.
    pub key: InletKey,
    /// The address made up for a dynamic target.
    pub dynamic: Option<String>,
}

/// What an outlet is attached to.
#[derive(Clone, Copy, Debug)]
pub struct OutletRequest<'a> {
    /// The source.
    pub source: Terminus<'a>,
}

/// An outlet was attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutletAttached {
    /// Its key.
    pub key: OutletKey,
    /// The address made up for a dynamic source.
    pub dynamic: Option<String>,
}

/// One worker's core. See `docs/ARCHITECTURE.md`, "The way of a delivery".
///
/// Calls, in the order of a link's life: [`connection_opened`](Self::connection_opened), [`attach_inlet`](Self::attach_inlet) or
/// [`attach_outlet`](Self::attach_outlet), then [`transfer`](Self::transfer), [`outcome`](Self::outcome),
/// [`sender_state`](Self::sender_state), [`credit`](Self::credit), [`inlet_drained`](Self::inlet_drained), and the detach. After each batch
/// of calls [`end_batch`](Self::end_batch). Unknown and stale keys are ignored.
#[derive(Debug)]
pub struct Core {
    worker: u16,
    workers: u16,
    syntax: Syntax,
    table: AddressTable,
    names: NameGenerator,
    policy: Arc<Policy>,
    /// There may be connections that may not do everything.
    restricts: bool,
    multicast_queue: usize,
    multicast_lag: usize,
    orphan_limit: usize,
    stream_limit: u64,
    conns: Slots<Conn>,
    inlets: Slots<Inlet>,
    outlets: Slots<Outlet>,
    addresses: Slots<Address>,
    deliveries: Slots<Delivery>,
    onwards: Slots<Onward>,
    remotes: Slots<Remote>,
    servers: Slots<Server>,
    watches: Slots<Watch>,
    /// Addresses by lookup key. An ordered map needs no random seed to withstand chosen names.
    by_name: BTreeMap<Arc<str>, Key>,
    peers: Vec<Peer>,
    /// Inlets that may be granted credit.
    dirty: Vec<Key>,
    reachability: VecDeque<Reachability>,
    /// Order of arrival of deliveries.
    seq: u64,
    /// Deliveries that wait at addresses.
    waiting: u32,
    /// Links that there ever were.
    links: u64,
    /// The connection of the router itself.
    internal: Option<Key>,
    counters: Counters,
    /// Connections to routers of other networks, and outlets of clients that get annotations, here and at other workers.
    annotated: usize,
    /// What links that are gone counted of deliveries of other kinds of peers than clients.
    crossed: Crossed,
    /// The same by address, as few addresses have that.
    crossed_by_address: BTreeMap<Key, Crossed>,
    /// Empty contents, to be used again.
    #[expect(clippy::vec_box, reason = "the boxes are what is used again")]
    spare: Vec<Box<Content>>,
    /// What small content that has to wait is copied to.
    arena: Arena,
    /// Memory of deliveries whose inlet is gone.
    orphaned: usize,
    pool: pool::Pool,
    delays: delays::Delays,
    stalls: stalls::Stalls,
    stream_links: stream_links::StreamLinks,
    order: order::Order,
    refusals: refusals::Refusals,
    resends: resend::Resends,
    /// For lookup keys.
    name: String,
    /// Our name in traces.
    hop_name: Box<str>,
    hops: Slots<hops::Hop>,
    /// The neighbours among them.
    hop_ids: BTreeMap<Arc<str>, Key>,
    edges: edges::Edges,
    tallies: Tallies,
    loads: loads::Loads,
    spans: spans::Spans,
    /// Addresses with less outstanding elsewhere than before, where something waits.
    relieved: Vec<Key>,
    /// How many addresses stand for links to neighbours.
    hop_addresses: usize,
    routes: Arc<Routes>,
    trees: trees::Trees,
    book: AddressBook,
    presence: VecDeque<Presence>,
    /// What inlets ask for their deliveries, as flags of annotations.
    asks: BTreeMap<Key, u32>,
    /// Targets of inlets that their address does not tell: those of other routers.
    targets: BTreeMap<Key, Box<str>>,
    composed: composed::Composed,
    /// Annotations that neighbours sent, and where they led.
    known: KnownSections<routed::Resolved>,
    /// The last number that a section got.
    sections: routed::Section,
}

/// A connection.
#[derive(Debug)]
struct Conn {
    /// What the policy said; of the connection of the router itself, nothing.
    admission: Option<Admission>,
    link_capacity: Option<u32>,
    kind: ConnKind,
    /// See [`ConnInfo`](crate::ConnInfo).
    streaming_links: bool,
    reads_annotations: bool,
    gives_annotations: bool,
    inlets: Vec<Key>,
    outlets: Vec<Key>,
    /// Outlets whose last send was short.
    blocked: Vec<Key>,
    /// When a delivery last began on one of its links, as far as looks see.
    active: Option<u32>,
}

/// An address that somebody uses.
#[derive(Debug)]
struct Address {
    name: Arc<str>,
    treatment: Treatment,
    priority: Option<u8>,
    candidates: Candidates,
    inlets: Vec<Key>,
    waiting: Waiting,
    /// Other workers that have outlets.
    peers: Vec<AddressPeer>,
    /// Other workers that want to borrow credit.
    wanters: Vec<Wanter>,
    /// Credit of local outlets that is lent.
    lent: u32,
    /// It was asked for.
    recalled: bool,
    /// Which outlet lends next.
    next_loan: u32,
    /// Whose turn it is when both this worker and others want credit.
    others_first: bool,
    /// How many deliveries its consumers want to have on their way, about. So many may wait before their senders are slowed down.
    window: u32,
    /// Destinations at other routers.
    far: Option<Box<far::Far>>,
    /// Producers were told that there is somebody.
    open: bool,
    servers: Vec<Key>,
    next_server: usize,
    watches: Vec<Key>,
    reachable: bool,
    /// Other routers were told that there are destinations here.
    told: bool,
    /// How many of its outlets are of clients that get annotations.
    annotated: u16,
    /// Of the links to a neighbour: it is a router of ours.
    ours: bool,
    /// Links for streams: this worker has some, and takes no others.
    own_streams: bool,
    past: Past,
}

impl Address {
    /// It stands for the links to a neighbour.
    fn is_hop(&self) -> bool {
        Class::of_key(&self.name) == Class::Hop
    }

    /// A consumer gave credit: so much it wants to have on its way. What was more is forgotten slowly.
    fn note_window(&mut self, window: u32) {
        if !self.is_hop() {
            self.window = window.max(self.window - self.window.div_ceil(16));
        }
    }

    /// Routers tell each other where it is.
    fn is_told(&self) -> bool {
        let own = self.name.starts_with("M_$qd.") || *self.name == *table::MANAGEMENT;
        !own && matches!(Class::of_key(&self.name), Class::Mobile | Class::Network | Class::Edge)
    }
}

/// An address got its first destination at this router, or lost its last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    /// Its lookup key.
    pub key: Arc<str>,
    /// How it is treated here.
    pub treatment: Treatment,
    /// Whether there is one.
    pub here: bool,
}

#[derive(Debug)]
struct AddressPeer {
    worker: u16,
    /// Its key of the address.
    address: u64,
    outlets: u32,
    want: Want,
}

/// What we asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Want {
    Nothing,
    Some,
    Urgently,
}

#[derive(Clone, Copy, Debug)]
struct Wanter {
    worker: u16,
    urgent: bool,
}

/// An outlet of another worker.
#[derive(Debug)]
struct Remote {
    worker: u16,
    /// Its key there.
    outlet: u64,
    address: Key,
    /// Position among the candidates of the address.
    at: u32,
    /// Credit that we may use, and what it was after the last loan.
    lent: u32,
    lent_most: u32,
    /// Deliveries of ours that are not settled there, and those of others as of the last loan.
    outstanding: u32,
    others: u32,
    /// It takes one delivery at a time.
    single: bool,
    /// Its worker uses it for what it has, and no more.
    retired: bool,
    /// See [`Outlet`].
    annotated: bool,
    /// It is kept for what a sender sends after something long.
    kept: bool,
}

/// Another worker.
#[derive(Debug, Default)]
struct Peer {
    /// Our keys of its outlets, by the index of its keys.
    outlets: Vec<Key>,
    /// Our keys of its deliveries, by the index of its keys.
    deliveries: Vec<Key>,
}

impl Core {
    /// A core. `seed` decides the names of dynamic addresses and must be unpredictable outside of tests; give each worker
    /// the same seed. `workers` is their number. `now` is any recent time.
    pub fn new(config: CoreConfig, worker: WorkerId, workers: u16, seed: [u8; 32], now: Instant) -> Self {
        let mut table = AddressTable::new(config.default_distribution);
        for address in &config.addresses {
            // Patterns were checked when the configuration was read.
            let _ = table.add(address);
        }
        Self {
            worker: worker.0,
            workers: workers.max(1),
            syntax: Syntax::new(Arc::clone(&config.router_id), config.network_id, config.edge)
                .with_tenant(config.tenant_id),
            table,
            names: NameGenerator::new(&seed, worker.0),
            restricts: config.policy.is_enabled(),
            policy: config.policy,
            multicast_queue: config.multicast_queue.max(1),
            multicast_lag: config.multicast_lag,
            orphan_limit: config.orphans,
            stream_limit: config.streams as u64,
            conns: Slots::default(),
            inlets: Slots::default(),
            outlets: Slots::default(),
            addresses: Slots::default(),
            deliveries: Slots::keeping(DELIVERIES_KEPT),
            onwards: Slots::default(),
            remotes: Slots::default(),
            servers: Slots::default(),
            watches: Slots::default(),
            by_name: BTreeMap::new(),
            peers: (0..workers.max(1)).map(|_| Peer::default()).collect(),
            dirty: Vec::new(),
            reachability: VecDeque::new(),
            seq: 0,
            waiting: 0,
            links: 0,
            internal: None,
            counters: Counters::default(),
            annotated: 0,
            crossed: Crossed::default(),
            crossed_by_address: BTreeMap::new(),
            spare: Vec::new(),
            arena: Arena::default(),
            orphaned: 0,
            pool: pool::Pool::new(config.pool),
            delays: delays::Delays::new(now),
            stalls: stalls::Stalls::new(config.stall_limit, now),
            stream_links: stream_links::StreamLinks::new(now),
            order: order::Order::new(now),
            refusals: refusals::Refusals::new(now),
            resends: resend::Resends::default(),
            name: String::new(),
            hop_name: format!("0/{}", config.router_id).into(),
            hops: Slots::default(),
            hop_ids: BTreeMap::new(),
            edges: edges::Edges::new(config.edge),
            tallies: Tallies::new(config.shares),
            loads: loads::Loads::default(),
            spans: spans::Spans::new(config.spans, &seed, worker.0),
            relieved: Vec::new(),
            hop_addresses: 0,
            trees: trees::Trees::default(),
            routes: Arc::new(Routes::alone(Arc::clone(&config.router_id))),
            book: AddressBook::new(),
            presence: VecDeque::new(),
            asks: BTreeMap::new(),
            targets: BTreeMap::new(),
            composed: composed::Composed::default(),
            known: KnownSections::default(),
            sections: 0,
        }
    }

    /// Gives the network another name among networks, or none. Do so in each worker.
    pub fn set_network_id(&mut self, network_id: Option<Arc<str>>) {
        self.syntax.set_network_id(network_id);
    }

    /// To be called after each batch of other calls, before connections are written: grants credit that was collected.
    pub fn end_batch(&mut self, eg: &mut impl Egress) {
        self.pump_relieved(eg);
        self.tallies.publish();
        self.grant_collected(eg);
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called. May be in the past. Changes with every call.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let links = [self.stream_links.poll(), self.order.poll()];
        [self.stalls.poll(), self.refusals.poll()].into_iter().chain(links).flatten().min()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant, eg: &mut impl Egress) {
        self.forgive(now);
        self.cut_stalled(now, eg);
        self.free_links(now, eg);
        self.trim_streams(now, eg);
    }

    /// Addresses that got their first destination at this router or lost their last. Only the first worker tells; it knows of all others'.
    pub fn poll_presence(&mut self) -> Option<Presence> {
        self.presence.pop_front()
    }

    /// Bytes of content that may be held in addition before no other delivery of several frames begins.
    pub fn stream_room(&self) -> u64 {
        self.stream_limit.saturating_sub(self.counters.bytes_held)
    }

    /// What this worker counted.
    pub fn counters(&self) -> Counters {
        let internal = self.internal.and_then(|key| self.conns.get(key));
        let own = |links: fn(&Conn) -> &Vec<Key>| internal.map_or(0, |conn| links(conn).len());
        Counters {
            connections: (self.conns.len() - usize::from(internal.is_some())) as u64,
            inlets: (self.inlets.len() - own(|conn| &conn.inlets)) as u64,
            outlets: (self.outlets.len() - own(|conn| &conn.outlets)) as u64,
            addresses: (self.addresses.len() - self.hop_addresses) as u64,
            deliveries_held: self.deliveries.len() as u64,
            ..self.counters
        }
    }

    /// A connection is gone, and with it its links.
    pub fn connection_closed(&mut self, conn: ConnKey, eg: &mut impl Egress) {
        while let Some(key) = self.conns.get(conn.0).and_then(|c| c.inlets.last().copied()) {
            self.detach_inlet(InletKey(key), eg);
        }
        while let Some(key) = self.conns.get(conn.0).and_then(|c| c.outlets.last().copied()) {
            self.detach_outlet(OutletKey(key), eg);
        }
        if self.is_internal(conn.0) {
            self.internal = None;
            self.conns.remove(conn.0);
            return;
        }
        let key = conn.0;
        let Some(conn) = self.conns.remove(key) else { return };
        self.client_streams_gone(key, eg);
        self.annotated -= usize::from(conn.kind == ConnKind::Network);
    }
}

/// Counts what a sender was told.
fn count(counters: &mut Counters, link: &mut LinkCounters, state: Option<&DeliveryState>) {
    link.outcome(state);
    match state {
        Some(DeliveryState::Accepted) => counters.accepted += 1,
        Some(DeliveryState::Rejected(_)) => counters.rejected += 1,
        Some(DeliveryState::Released) => counters.released += 1,
        Some(DeliveryState::Modified { .. }) => counters.modified += 1,
        _ => counters.settled_otherwise += 1,
    }
}
