//! What the links and addresses of a worker look like at one moment, for management.

use std::sync::Arc;

use crate::{ConnKind, Direction, LinkDelays, Treatment, core::slots::Key, egress::DeliveryState, egress::LinkRef};

/// What a link has counted. Plain numbers of the worker that owns the link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Deliveries that began, settled or not.
    pub deliveries: u64,
    /// Of these, how many their sender had settled.
    pub presettled: u64,
    /// Settled deliveries that nobody received.
    pub dropped_presettled: u64,
    /// Outcomes: on an inlet what the sender was told, on an outlet what the receiver said.
    pub accepted: u64,
    /// See `accepted`.
    pub rejected: u64,
    /// See `accepted`.
    pub released: u64,
    /// See `accepted`.
    pub modified: u64,
    /// Deliveries a second that were settled, of the last five seconds or so.
    pub rate: u32,
    /// How many were settled when the rate was taken, and how many had begun at the last look.
    pub(crate) rated: u32,
    pub(crate) looked_at: u32,
}

impl LinkCounters {
    /// A delivery begins.
    #[inline]
    pub(crate) fn begin(&mut self, settled: bool) {
        self.deliveries += 1;
        self.presettled += u64::from(settled);
    }

    /// Takes the rate of the last seconds.
    pub(crate) fn take_rate(&mut self, seconds: u64) {
        let settled = self.presettled + self.accepted + self.rejected + self.released + self.modified;
        let since = (settled as u32).wrapping_sub(self.rated);
        self.rated = settled as u32;
        self.rate = (u64::from(since) / seconds.max(1)) as u32;
    }

    /// Whether deliveries have begun since it was asked last.
    pub(crate) const fn has_moved(&mut self) -> bool {
        let began = self.deliveries as u32;
        std::mem::replace(&mut self.looked_at, began) != began
    }

    /// A delivery has its outcome.
    #[inline]
    pub(crate) fn outcome(&mut self, state: Option<&DeliveryState>) {
        match state {
            Some(DeliveryState::Accepted) => self.accepted += 1,
            Some(DeliveryState::Rejected(_)) => self.rejected += 1,
            Some(DeliveryState::Released) => self.released += 1,
            Some(DeliveryState::Modified { .. }) => self.modified += 1,
            _ => {}
        }
    }
}

/// Deliveries that came from and went to one kind of peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crossed {
    /// From brokers and other containers.
    pub from_containers: u64,
    /// To them.
    pub to_containers: u64,
    /// From routers of other networks.
    pub from_networks: u64,
    /// To them.
    pub to_networks: u64,
}

impl Crossed {
    /// Deliveries of a link.
    pub(crate) fn count(&mut self, kind: ConnKind, direction: Direction, deliveries: u64) {
        match (kind, direction) {
            (ConnKind::Client, _) => {}
            (ConnKind::Container, Direction::In) => self.from_containers += deliveries,
            (ConnKind::Container, Direction::Out) => self.to_containers += deliveries,
            (ConnKind::Network, Direction::In) => self.from_networks += deliveries,
            (ConnKind::Network, Direction::Out) => self.to_networks += deliveries,
        }
    }

    /// Adds another worker's, or another address's.
    pub fn add(&mut self, other: &Self) {
        self.from_containers += other.from_containers;
        self.to_containers += other.to_containers;
        self.from_networks += other.from_networks;
        self.to_networks += other.to_networks;
    }
}

/// A link, to be looked at with [`Core::link_status`](crate::Core::link_status) while it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkHandle {
    /// The link's number: unique in the router, never used again, and growing with time on each worker.
    pub id: u64,
    pub(crate) key: Key,
    pub(crate) inlet: bool,
}

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// A client's, or one of an edge router's for one address or for all that it does not know.
    Endpoint,
    /// Deliveries of all addresses between interior routers.
    InterRouter,
    /// To an edge router, what is sent to itself.
    EdgeDownlink,
    /// The same between edge routers of a mesh.
    InterEdge,
}

/// A link at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkStatus {
    /// See [`LinkHandle::id`].
    pub id: u64,
    /// The adaptor's numbers.
    pub link: LinkRef,
    /// Whether the peer sends or receives.
    pub direction: Direction,
    /// What it is for.
    pub kind: LinkKind,
    /// Lookup key of its address, with the letter of its class; none for an anonymous sender, and for links that all addresses share.
    pub address: Option<Arc<str>>,
    /// How many deliveries the sender may have under way; of a receiver, what was configured for its connection.
    pub capacity: Option<u32>,
    /// Deliveries that wait to be sent.
    pub undelivered: u64,
    /// Deliveries that were sent and are not settled.
    pub unsettled: u64,
    /// Credit that is left.
    pub credit: u32,
    /// What it has counted.
    pub counters: LinkCounters,
    /// Deliveries that took long.
    pub delays: LinkDelays,
    /// Seconds for which a receiver has given no credit, or a sender was given none.
    pub zero_credit_seconds: u64,
    /// Of a link between interior routers, the priority of what we send on it.
    pub priority: Option<u8>,
}

/// One worker's part of an address at one moment. Numbers of several workers add up, but for servers and watches, which each worker knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressStatus {
    /// Lookup key, with the letter of its class.
    pub key: Arc<str>,
    /// How deliveries are distributed.
    pub treatment: Treatment,
    /// Priority of its deliveries, if configured.
    pub priority: Option<u8>,
    /// Receivers of clients, and links by which edge routers (or an edge router's interior router) are sent what they have consumers for.
    pub outlets: u64,
    /// Of these, the links to other routers, and what went out on them.
    pub edges: u64,
    /// See `edges`.
    pub edge_deliveries: u64,
    /// Senders of clients, anonymous ones not counted.
    pub inlets: u64,
    /// Consumers in the router itself.
    pub in_process: u64,
    /// Servers (TCP).
    pub servers: u64,
    /// Somebody wants to know whether it can be reached.
    pub watched: bool,
    /// Deliveries that came in from clients; a TCP connection is one.
    pub deliveries_in: u64,
    /// Deliveries that went out to clients; a TCP connection is one.
    pub deliveries_out: u64,
    /// Deliveries that went to consumers in the router.
    pub to_container: u64,
    /// Deliveries that came from the router itself.
    pub from_container: u64,
    /// Those that came from other kinds of peers than clients, or went to them; counted above, too.
    pub crossed: Crossed,
    /// Deliveries that went to other interior routers.
    pub transit: u64,
    /// Deliveries that wait.
    pub waiting: u64,
}

impl AddressStatus {
    /// Adds what another worker has of the same address.
    pub fn add(&mut self, other: &Self) {
        self.outlets += other.outlets;
        self.edges += other.edges;
        self.edge_deliveries += other.edge_deliveries;
        self.inlets += other.inlets;
        self.in_process += other.in_process;
        self.servers = self.servers.max(other.servers);
        self.watched |= other.watched;
        self.deliveries_in += other.deliveries_in;
        self.deliveries_out += other.deliveries_out;
        self.to_container += other.to_container;
        self.from_container += other.from_container;
        self.crossed.add(&other.crossed);
        self.transit += other.transit;
        self.waiting += other.waiting;
    }
}

/// What an address remembers of links that are gone, and of anonymous senders.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Past {
    pub(crate) deliveries_in: u64,
    pub(crate) deliveries_out: u64,
    pub(crate) to_container: u64,
    pub(crate) from_container: u64,
}
