//! The routing protocol between interior routers: who is there, which way leads where, which address has destinations at which router.
//!
//! [`Routing`] is a state machine in the manner of quinn's: inputs are told to it, [`Routing::poll_output`] says what to do,
//! [`Routing::poll_timeout`] when [`Routing::handle_timeout`] wants to be called. Inputs only take note; everything that follows from them,
//! in particular new routes, is worked out once for all inputs of a batch, in `handle_timeout`. So after a batch:
//!
//! ```
//! # use std::time::Instant;
//! # fn batch(routing: &mut router_core::routing::Routing, now: Instant) {
//! if routing.poll_timeout().is_some_and(|at| at <= now) {
//!     routing.handle_timeout(now);
//! }
//! while let Some(_output) = routing.poll_output() { /* send, or tell forwarding */ }
//! # }
//! ```
//!
//! The messages and rules are those of the reference. Where ours differ, a reference router sees nothing that it could not have seen from one
//! of its own kind: link states are also sent unasked, HELLOs also at once when somebody new is heard, address updates not on a tick.

mod book;
pub mod codec;
mod config;
mod graph;
mod known;
mod link_state;
mod links;
mod loads;
mod local;
pub mod message;
mod mobile;
mod nodes;
mod output;
mod relay;
mod routes;
#[cfg(test)]
mod tests;
pub(crate) mod throttle;
mod topology;
mod trees;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

pub use book::{AddressBook, Destination, Destinations};
pub use config::{Limits, LocalAddress, RoutingConfig};
pub use graph::{Fingerprint, Graph, RouterIndex};
pub use loads::{Load, LoadPart, LocalLoads, sample_interval};
pub use message::{AddressEntry, AddressKey, Hint, LoadEntry, Message, RouterId};
pub use output::{Event, Limit, LinkId, Output, Target};
pub use relay::FloodGuard;
pub use routes::{Route, Routes};

use links::Link;
pub use links::LinkCost;
use local::LocalAddresses;
use nodes::{ME, Nodes};
use throttle::Throttle;

/// How far apart changes of our link state are told, at least and, when there is no end of them, at most.
const OWN_STATE_GAP: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// The same for computing routes: at 1,000 routers of 8 neighbours a batch with it took 0.9 ms on a busy machine (November 2026).
const SPF_GAP: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(50));
/// How long after an address update our sequence numbers are advertised at the latest, for those who missed it, and how far apart
/// advertisements are that follow changes of our links.
const RA_GAP: Duration = Duration::from_secs(1);
/// How long a limit has to be kept before it is reported again.
const LIMIT_QUIET: Duration = Duration::from_secs(60);
/// How many unknown routers with protocol versions of the future are remembered, so that each is reported once.
const MAX_INCOMPATIBLE: usize = 64;

/// An address of a class that routers do not tell each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("address key {0:?} is not of class M, N or H, or too long")]
pub struct NotExchanged(pub AddressKey);

/// What management shows of a router.
#[derive(Clone, Debug)]
pub struct RouterInfo {
    /// Its id.
    pub id: RouterId,
    /// Its protocol version, if it said anything yet.
    pub version: Option<u32>,
    /// When it started: seconds since 1970.
    pub instance: Option<i64>,
    /// Its neighbours, as it named them.
    pub link_state: Vec<RouterId>,
    /// The link to it, if it is our neighbour.
    pub link: Option<LinkId>,
    /// Sequence number of its link state.
    pub ls_seq: u64,
    /// Sequence number of its addresses.
    pub mobile_seq: u64,
    /// How many addresses it has told.
    pub addresses: usize,
}

/// One interior router's part of the routing protocol. See the [module](self).
#[derive(Debug)]
pub struct Routing {
    config: RoutingConfig,
    me: RouterId,
    started: Instant,
    /// The latest time that was told.
    now: Instant,
    links: BTreeMap<LinkId, Link>,
    nodes: Nodes,
    local: LocalAddresses,
    /// Addresses of all remote routers together.
    addresses: usize,
    ls_seq: u64,
    /// Our link state is to be told.
    own_state: Throttle,
    /// Routes are to be computed.
    spf: Throttle,
    routes: Arc<Routes>,
    /// An older table, along whose trees copies go.
    held: Option<trees::Held>,
    /// Since when the present topology is known.
    trees_since: Instant,
    version: u64,
    last_change: Option<Instant>,
    next_hello: Instant,
    next_ra: Instant,
    last_ra: Option<Instant>,
    next_sweep: Instant,
    next_want: Option<Instant>,
    duplicate: Option<i64>,
    incompatible: VecDeque<RouterId>,
    limits_hit: HashMap<Limit, Instant>,
    out: VecDeque<Output>,
}

impl Routing {
    /// A router without links.
    pub fn new(config: RoutingConfig, now: Instant) -> Self {
        let me = config.id.clone();
        Self {
            nodes: Nodes::new(me.clone()),
            local: LocalAddresses::new(&config),
            routes: Arc::new(Routes::alone(me.clone())),
            me,
            started: now,
            now,
            links: BTreeMap::new(),
            addresses: 0,
            ls_seq: config.first_sequence.into(),
            own_state: Throttle::new(OWN_STATE_GAP.0, OWN_STATE_GAP.1),
            spf: Throttle::new(SPF_GAP.0, SPF_GAP.1),
            held: None,
            trees_since: now,
            version: 0,
            last_change: None,
            next_hello: now,
            next_ra: now + config.ra_interval_flux,
            last_ra: None,
            next_sweep: now,
            next_want: None,
            duplicate: None,
            incompatible: VecDeque::new(),
            limits_hit: HashMap::new(),
            out: VecDeque::new(),
            config,
        }
    }

    /// The control links of a connection to another router are attached. Costs are 1 to [`message::MAX_COST`]; what is outside becomes the
    /// nearest.
    pub fn link_up(&mut self, link: LinkId, cost: impl Into<LinkCost>, now: Instant) {
        self.advance(now);
        self.link_lost(link, now);
        self.links.insert(link, Link::new(cost.into()));
    }

    /// The control links of a connection are attached and take the place of those of another, which led to the same router: that stays a
    /// neighbour.
    pub fn link_replaced(&mut self, old: LinkId, link: LinkId, cost: impl Into<LinkCost>, now: Instant) {
        self.advance(now);
        let Some(mut known) = self.links.remove(&old) else { return self.link_up(link, cost, now) };
        known.moved(cost.into());
        let router = known.router().cloned();
        self.links.insert(link, known);
        if let Some(router) = router {
            self.refresh_neighbour(&router, now);
        }
    }

    /// Our side of a connection has another cost. A neighbour of our make is told, so that both ways cost the same.
    pub fn link_cost(&mut self, link: LinkId, ours: u32, now: Instant) {
        self.advance(now);
        let Some(known) = self.links.get_mut(&link) else { return };
        known.set_cost(ours);
        if let Some(router) = known.router().cloned() {
            self.refresh_neighbour(&router, now);
        }
    }

    /// A control link is gone.
    pub fn link_lost(&mut self, link: LinkId, now: Instant) {
        self.advance(now);
        let Some(lost) = self.links.remove(&link) else { return };
        if let Some(router) = lost.router() {
            self.refresh_neighbour(router, now);
        }
    }

    /// A message came, on a control link, whoever made it. HELLO counts only on the link it came on.
    pub fn handle_message(&mut self, link: LinkId, message: &Message, now: Instant) {
        self.advance(now);
        if message.version() > message.supported_version() {
            self.version_unsupported(message);
            return;
        }
        match message {
            Message::Hello(hello) => self.hello_received(link, hello, now),
            Message::RouterAdvertisement(ra) if ra.id == self.me => self.own_id_advertised(ra.instance, now),
            Message::RouterAdvertisement(ra) => self.advertisement_received(ra, now),
            Message::LinkStateUpdate(update) => self.link_state_received(link, update, now),
            Message::LinkStateRequest(request) => self.link_state_requested(request, now),
            Message::MobileAddressUpdate(update) => self.addresses_received(update, now),
            Message::MobileAddressRequest(request) => self.addresses_requested(request),
            Message::Loads(loads) => self.loads_received(loads),
        }
    }

    /// An address has destinations here, or (`None`) has none any more, or what is to be told about it changed.
    ///
    /// # Errors
    /// [`NotExchanged`] if the key is not of class M, N or H, or is longer than [`codec::MAX_KEY`] bytes; nothing is told then.
    pub fn local_address(
        &mut self,
        key: impl Into<AddressKey>,
        state: Option<LocalAddress>,
    ) -> Result<(), NotExchanged> {
        let key = key.into();
        if !key.starts_with(['M', 'N', 'H']) || key.len() > codec::MAX_KEY {
            return Err(NotExchanged(key));
        }
        self.local.set(key, state, self.now);
        Ok(())
    }

    /// When [`Routing::handle_timeout`] is to be called. May be in the past: then at once.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let fixed = [self.next_ra, self.next_sweep];
        let dues = [
            self.spf.due(),
            self.own_state.due(),
            self.local.due(),
            self.hello_due(),
            self.links_due(),
            self.introduction_due(),
            self.trees_due(),
            self.next_want.filter(|_| self.spf.due().is_none()),
        ];
        dues.into_iter().flatten().chain(fixed).min()
    }

    /// Does what is due. Wake-ups that are too early or too late do no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        let now = self.now;
        self.expire_links(now);
        if self.next_sweep <= now {
            self.next_sweep =
                now + self.config.hello_interval.clamp(Duration::from_millis(100), Duration::from_secs(1));
            self.expire_nodes(now);
        }
        let changed = self.own_state.take(now);
        if changed {
            self.ls_seq += 1;
        }
        // New routes come first: what is sent next should reach those who have just become reachable. So it is when our own links
        // changed, whether it is time for a new table or not.
        if changed {
            self.spf.request_now(now);
        }
        if self.spf.take(now) {
            self.compute(now);
        }
        self.release_trees(now);
        self.send_hellos(now);
        if changed {
            self.tell_own_link_state(now);
        }
        // Updates come before the advertisement of their number, lest everybody asks for what is under way.
        self.tell_changes(now);
        if self.next_ra <= now {
            self.advertise(now);
        }
        self.introduce(now);
        self.send_wants(now);
    }

    /// What to do next, `None` if nothing.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// The table as last published.
    pub fn routes(&self) -> &Arc<Routes> {
        &self.routes
    }

    /// Our id.
    pub fn id(&self) -> &RouterId {
        &self.me
    }

    /// Sequence number of our addresses.
    pub fn mobile_seq(&self) -> u64 {
        self.local.seq()
    }

    /// Our addresses as the others know them when they are at our sequence number, in the order of keys.
    pub fn told_addresses(&self) -> impl Iterator<Item = &AddressEntry> {
        self.local.told()
    }

    /// Number of addresses that have destinations here.
    pub fn local_addresses(&self) -> usize {
        self.local.len()
    }

    /// The addresses of a remote router, in the order of keys.
    pub fn addresses_of(&self, router: &str) -> impl Iterator<Item = &AddressEntry> {
        let node = self.nodes.find(router).and_then(|slot| self.nodes.get(slot));
        node.into_iter().flat_map(|node| node.addresses.iter())
    }

    /// All routers that are known, ourselves among them.
    pub fn routers(&self) -> impl Iterator<Item = RouterInfo> {
        self.nodes.iter().map(|(slot, node)| {
            let mine = slot == ME;
            RouterInfo {
                id: node.id.clone(),
                version: if mine { Some(message::ROUTER_VERSION) } else { node.version },
                instance: if mine { Some(self.config.instance) } else { node.instance },
                link_state: node.edges.iter().filter_map(|(to, _)| Some(self.nodes.get(*to)?.id.clone())).collect(),
                link: node.link,
                ls_seq: if mine { self.ls_seq } else { node.ls_seq },
                mobile_seq: if mine { self.local.seq() } else { node.mobile_seq },
                addresses: if mine { self.local.len() } else { node.addresses.len() },
            }
        })
    }

    /// When the topology last changed.
    pub const fn last_topology_change(&self) -> Option<Instant> {
        self.last_change
    }

    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    fn event(&mut self, event: Event) {
        self.out.push_back(Output::Event(event));
    }

    fn send(&mut self, to: Target, message: Message) {
        self.out.push_back(Output::Send { to, message });
    }

    /// An advertisement with our id is our own that came back, unless its instance is another one. Those of the run before us may
    /// still be under way when we start.
    fn own_id_advertised(&mut self, instance: i64, now: Instant) {
        if now.saturating_duration_since(self.started) > self.config.hello_max_age {
            self.own_id_heard(instance);
        }
    }

    fn version_unsupported(&mut self, message: &Message) {
        let router = message.id();
        let known = self.nodes.find(router).and_then(|slot| self.nodes.get_mut(slot));
        let reported = match known {
            Some(node) => std::mem::replace(&mut node.version_reported, true),
            None if self.incompatible.contains(router) => true,
            None => {
                if self.incompatible.len() >= MAX_INCOMPATIBLE {
                    self.incompatible.pop_front();
                }
                self.incompatible.push_back(router.clone());
                false
            }
        };
        if !reported {
            let (router, opcode, version) = (router.clone(), message.opcode(), message.version());
            self.event(Event::UnsupportedVersion { router, opcode, version });
        }
    }

    fn limit(&mut self, limit: Limit, router: &RouterId, now: Instant) {
        let last = self.limits_hit.insert(limit, now);
        if last.is_none_or(|last| now.saturating_duration_since(last) >= LIMIT_QUIET) {
            self.event(Event::LimitReached { limit, router: router.clone() });
        }
    }
}
