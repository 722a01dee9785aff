//! What all workers have counted, at one moment. Asked for in pages, so that none of them is held up for long.

use std::collections::{BTreeMap, HashMap};
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Instant;

use amqp_adaptor::{ConnectionRole, NeighbourStatus};
use router_core::{AddressStatus, Counters, Delayed};
use tcp_adaptor::{OperStatus, Totals};
use transport::WorkerHandle;
use transport::metrics::IoCounters;

use crate::router::asking::{address_keys, each};
use crate::router::worker::{self, Worker};

/// How many addresses a worker is asked for at once: a few hundred microseconds of its time (2026-11, computed).
const PAGE: usize = 500;

/// Routers that were linked once and are remembered for what they had counted.
const REMEMBERED: usize = 1000;

/// Everything that was counted.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) at: Instant,
    pub(super) core: Counters,
    pub(super) delayed: Delayed,
    pub(super) io: IoCounters,
    /// Open AMQP connections.
    pub(super) amqp: u64,
    /// Open TCP connections.
    pub(super) flows: u64,
    /// Of these, those that are known to carry HTTP/1 and HTTP/2.
    pub(super) http: [u64; 2],
    pub(super) listeners: BTreeMap<String, Listener>,
    pub(super) connectors: BTreeMap<String, Totals>,
    pub(super) peers: BTreeMap<PeerKey, Peer>,
    /// Addresses of messages, by name.
    pub(super) addresses: BTreeMap<Arc<str>, AddressStatus>,
}

/// A TCP listener.
#[derive(Clone, Debug, Default)]
pub(super) struct Listener {
    pub(super) totals: Totals,
    pub(super) state: State,
    /// Where it listens.
    pub(super) local: Option<String>,
}

/// How a TCP listener is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// It accepts.
    #[default]
    Up,
    /// Nobody serves its address.
    Unreachable,
    /// Its socket cannot be opened: why.
    Failed(String),
    /// The router ends.
    Draining,
}

impl State {
    /// In words.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Up => "up".to_owned(),
            Self::Unreachable => "no server for its address".to_owned(),
            Self::Failed(message) => message.clone(),
            Self::Draining => "draining".to_owned(),
        }
    }
}

/// Another router and the role of the link to it, as in configurations.
pub(super) type PeerKey = (String, &'static str);

/// All connections to another router.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) via: Arc<str>,
    pub(super) outgoing: bool,
    pub(super) cost: u32,
    pub(super) tls: bool,
    pub(super) version: String,
    pub(super) connections: u64,
    pub(super) since: Instant,
    pub(super) passed: Passed,
}

/// What passed over links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) deliveries_in: u64,
    pub(super) deliveries_out: u64,
}

impl AddAssign for Passed {
    fn add_assign(&mut self, other: Self) {
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.deliveries_in += other.deliveries_in;
        self.deliveries_out += other.deliveries_out;
    }
}

/// What connections to other routers had counted before they were closed: numbers of a router must not fall when it loses one of several.
/// What was counted after the last look at a connection is not known.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    open: HashMap<u64, (PeerKey, Passed)>,
    past: BTreeMap<PeerKey, Passed>,
}

impl Ledger {
    /// Puts connections together by router, with what earlier ones had counted.
    pub(super) fn peers(&mut self, connections: &[NeighbourStatus]) -> BTreeMap<PeerKey, Peer> {
        let mut open = HashMap::with_capacity(connections.len());
        let mut peers: BTreeMap<PeerKey, Peer> = BTreeMap::new();
        for status in connections {
            let info = &status.info;
            let role = match info.role {
                ConnectionRole::InterRouterData => ConnectionRole::InterRouter,
                role => role,
            };
            let key: PeerKey = (info.container.clone(), role.as_str());
            let passed = Passed {
                bytes_in: status.bytes_in,
                bytes_out: status.bytes_out,
                deliveries_in: status.deliveries_in,
                deliveries_out: status.deliveries_out,
            };
            open.insert(info.conn.id, (key.clone(), passed));
            let peer = peers.entry(key).or_insert_with(|| Peer {
                via: Arc::clone(&info.via),
                outgoing: info.outgoing,
                cost: 0,
                tls: true,
                version: info.version.clone(),
                connections: 0,
                since: status.since,
                passed: Passed::default(),
            });
            peer.cost = peer.cost.max(info.cost.ours).max(info.cost.theirs);
            peer.tls &= status.tls;
            peer.connections += 1;
            peer.since = peer.since.min(status.since);
            peer.passed += passed;
        }
        for (id, (key, passed)) in std::mem::take(&mut self.open) {
            if !open.contains_key(&id) {
                *self.past.entry(key).or_default() += passed;
            }
        }
        self.open = open;
        if self.past.len() > REMEMBERED {
            self.past.retain(|key, _| peers.contains_key(key));
        }
        for (key, peer) in &mut peers {
            peer.passed += self.past.get(key).copied().unwrap_or_default();
        }
        peers
    }
}

impl Sample {
    /// Nothing but these routers.
    pub(super) fn new(peers: BTreeMap<PeerKey, Peer>) -> Self {
        Self {
            at: Instant::now(),
            core: Counters::default(),
            delayed: Delayed::default(),
            io: IoCounters::default(),
            amqp: 0,
            flows: 0,
            http: [0, 0],
            listeners: BTreeMap::new(),
            connectors: BTreeMap::new(),
            peers,
            addresses: BTreeMap::new(),
        }
    }

    /// Looks at everything.
    pub(super) async fn take(workers: &[WorkerHandle], ledger: &mut Ledger) -> Self {
        let connections = each(workers, |worker| worker.amqp.neighbour_statuses()).await.concat();
        let mut sample = Self::new(ledger.peers(&connections));
        for delayed in each(workers, |worker| worker.amqp.with_core(|core, _| core.delayed())).await {
            sample.delayed.add(&delayed);
        }
        for counts in each(workers, |_| worker::counts()).await {
            sample.core.add(&counts.core);
            sample.io += counts.io;
            sample.amqp += counts.amqp.opened.saturating_sub(counts.amqp.closed);
            if let Some(tcp) = counts.tcp {
                sample.add_tcp(tcp);
            }
        }
        sample.addresses = addresses(workers).await;
        sample
    }

    fn add_tcp(&mut self, tcp: tcp_adaptor::Snapshot) {
        self.flows += tcp.flows as u64;
        let [one, two] = tcp.http;
        self.http = [self.http[0] + one as u64, self.http[1] + two as u64];
        for listener in tcp.listeners {
            let known = self.listeners.entry(listener.name).or_default();
            known.totals += listener.totals;
            match listener.oper {
                OperStatus::Up { local } => {
                    known.local = known.local.take().or_else(|| local.first().map(ToString::to_string));
                }
                OperStatus::Unreachable if known.state == State::Up => known.state = State::Unreachable,
                OperStatus::Unreachable => {}
                OperStatus::Failed { message } => known.state = State::Failed(message),
                OperStatus::Draining => known.state = State::Draining,
            }
        }
        for connector in tcp.connectors {
            *self.connectors.entry(connector.name).or_default() += connector.totals;
        }
    }
}

/// Whether a lookup key is that of an address that programs use; its name.
pub(super) fn name_of(key: &str) -> Option<&str> {
    key.strip_prefix('M').filter(|name| !name.starts_with(['$', '_']))
}

async fn addresses(workers: &[WorkerHandle]) -> BTreeMap<Arc<str>, AddressStatus> {
    let mut keys = address_keys(workers).await;
    keys.retain(|key| name_of(key).is_some());
    let mut all: BTreeMap<Arc<str>, AddressStatus> = BTreeMap::new();
    for page in keys.chunks(PAGE) {
        let page: Arc<[Arc<str>]> = page.into();
        let look = move |worker: &Worker| {
            worker.amqp.with_core(|core, _| page.iter().filter_map(|key| core.address_status(key)).collect::<Vec<_>>())
        };
        for status in each(workers, look).await.into_iter().flatten() {
            let name: Arc<str> = name_of(&status.key).unwrap_or_default().into();
            match all.get_mut(&name) {
                Some(known) => known.add(&status),
                None => drop(all.insert(name, status)),
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use amqp_adaptor::{NeighbourConn, NeighbourInfo};
    use router_core::routing::LinkCost;

    use super::*;

    fn connection(id: u64, peer: &str, role: ConnectionRole, bytes: u64) -> NeighbourStatus {
        NeighbourStatus {
            info: NeighbourInfo {
                conn: NeighbourConn { worker: 0, slot: 0, id },
                role,
                container: peer.to_owned(),
                cost: LinkCost::from(3),
                ours: true,
                version: "1".to_owned(),
                outgoing: true,
                via: "east".into(),
                streaming_links: true,
                trunking: true,
                ordinal: 0,
            },
            since: Instant::now(),
            tls: false,
            bytes_in: bytes,
            bytes_out: 0,
            deliveries_in: 0,
            deliveries_out: 0,
        }
    }

    #[test]
    fn numbers_of_a_router_do_not_fall_with_one_of_its_connections() {
        let mut ledger = Ledger::default();
        let control = connection(1, "B", ConnectionRole::InterRouter, 100);
        let data = connection(2, "B", ConnectionRole::InterRouterData, 1000);
        let peers = ledger.peers(&[control, data]);
        let key = ("B".to_owned(), "inter-router");
        assert_eq!((peers[&key].connections, peers[&key].passed.bytes_in, peers[&key].cost), (2, 1100, 3));
        let control = connection(1, "B", ConnectionRole::InterRouter, 150);
        let peers = ledger.peers(&[control]);
        assert_eq!((peers[&key].connections, peers[&key].passed.bytes_in), (1, 1150));
        // Gone, and back again.
        assert!(ledger.peers(&[]).is_empty());
        let peers = ledger.peers(&[connection(3, "B", ConnectionRole::InterRouter, 1)]);
        assert_eq!(peers[&key].passed.bytes_in, 1151);
    }

    #[test]
    fn addresses_of_programs_are_told_from_others() {
        assert_eq!(name_of("Mnews"), Some("news"));
        for key in ["M$management", "L$management", "RB", "M_x", ""] {
            assert_eq!(name_of(key), None, "{key}");
        }
    }
}
