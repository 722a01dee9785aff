//! Looking at links and addresses without changing them, and the connection of the router itself.

use std::sync::Arc;

use super::{Conn, Core};
use crate::{
    ConnKey, ConnKind, Crossed, Direction, InletKey, OutletKey,
    address::Class,
    core::slots::Key,
    distribution::Candidate,
    inspect::{AddressStatus, LinkHandle, LinkKind, LinkStatus},
};

impl Core {
    /// The connection on which code of the router itself attaches links; made with the first call. No policy is asked about its links,
    /// and it is left out of what is counted and shown.
    pub fn internal_connection(&mut self) -> ConnKey {
        if let Some(key) = self.internal {
            return ConnKey(key);
        }
        let key = self.conns.insert(Conn {
            admission: None,
            link_capacity: None,
            kind: ConnKind::Client,
            streaming_links: false,
            reads_annotations: false,
            gives_annotations: false,
            inlets: Vec::new(),
            outlets: Vec::new(),
            blocked: Vec::new(),
            active: None,
        });
        self.internal = Some(key);
        ConnKey(key)
    }

    pub(super) fn is_internal(&self, conn: Key) -> bool {
        self.internal == Some(conn)
    }

    /// The number of a new link.
    pub(super) fn next_link_id(&mut self) -> u64 {
        self.links += 1;
        (self.links - 1) * u64::from(self.workers) + u64::from(self.worker) + 1
    }

    /// All links of connections, in no order.
    pub fn link_handles(&self) -> Vec<LinkHandle> {
        let inlets = self.inlets.iter().filter(|(_, inlet)| !self.is_internal(inlet.conn));
        let outlets = self.outlets.iter().filter(|(_, outlet)| !self.is_internal(outlet.conn));
        inlets
            .map(|(key, inlet)| LinkHandle { id: inlet.id, key, inlet: true })
            .chain(outlets.map(|(key, outlet)| LinkHandle { id: outlet.id, key, inlet: false }))
            .collect()
    }

    /// A link as it is now; `None` if it is gone.
    pub fn link_status(&self, handle: LinkHandle) -> Option<LinkStatus> {
        if !handle.inlet {
            let outlet = self.outlets.get(handle.key)?;
            let address = self.addresses.get(outlet.address).map(|a| Arc::clone(&a.name));
            let priority = address.as_deref().and_then(priority_of_links);
            let (kind, address) = match address {
                Some(name) if Class::of_key(&name) == Class::Hop => self.hop_link(&name),
                address => (LinkKind::Endpoint, address),
            };
            return Some(LinkStatus {
                id: outlet.id,
                link: outlet.link,
                direction: Direction::Out,
                kind,
                address,
                capacity: self.conns.get(outlet.conn).and_then(|conn| conn.link_capacity),
                undelivered: outlet.queued.into(),
                unsettled: outlet.outstanding.into(),
                credit: outlet.credit,
                counters: outlet.counters,
                delays: self.delays.of_link(outlet.id),
                zero_credit_seconds: self.delays.seconds_since(outlet.dry),
                priority,
            });
        }
        let inlet = self.inlets.get(handle.key)?;
        let address = inlet.address.and_then(|a| self.addresses.get(a)).map(|a| Arc::clone(&a.name));
        let (kind, address) = match self.edges.inlet(handle.key, inlet) {
            Some(edge) => (edge.kind, edge.bound.clone()),
            None if inlet.router() && address.is_none() => (LinkKind::InterRouter, None),
            None => (LinkKind::Endpoint, address),
        };
        Some(LinkStatus {
            id: inlet.id,
            link: inlet.link,
            direction: Direction::In,
            kind,
            address,
            capacity: Some(inlet.capacity.get()),
            undelivered: inlet.waiting.into(),
            unsettled: inlet.open.saturating_sub(inlet.waiting + inlet.capacity.row()).into(),
            credit: inlet.issued,
            counters: inlet.counters,
            delays: self.delays.of_link(inlet.id),
            zero_credit_seconds: self.delays.sender_waits(inlet.id),
            priority: None,
        })
    }

    /// Lookup keys of all addresses that this worker knows, in order. Cheap: the keys are shared.
    pub fn address_keys(&self) -> Vec<Arc<str>> {
        let own = self.by_name.keys().filter(|key| Class::of_key(key) != Class::Hop);
        let mut keys: Vec<Arc<str>> = own.chain(self.edge_addresses()).cloned().collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The address with this lookup key as it is now; `None` if this worker does not know it.
    pub fn address_status(&self, key: &str) -> Option<AddressStatus> {
        let Some((at, a)) = self.by_name.get(key).and_then(|at| Some((*at, self.addresses.get(*at)?))) else {
            // Nobody here, but somebody at an edge.
            let key = self.edge_address_named(key)?;
            let (treatment, priority) = self.treatment_of(key, false);
            let mut status = AddressStatus { key: Arc::clone(key), treatment, priority, ..AddressStatus::default() };
            self.count_edges(&mut status);
            return Some(status);
        };
        let mut status = AddressStatus {
            key: Arc::clone(&a.name),
            treatment: a.treatment,
            priority: a.priority,
            inlets: a.inlets.len() as u64,
            servers: a.servers.len() as u64,
            watched: !a.watches.is_empty(),
            deliveries_in: a.past.deliveries_in,
            deliveries_out: a.past.deliveries_out,
            to_container: a.past.to_container,
            from_container: a.past.from_container,
            waiting: a.waiting.len() as u64,
            transit: self.transit_of(at),
            crossed: self.crossed_by_address.get(&at).copied().unwrap_or_default(),
            ..AddressStatus::default()
        };
        for inlet in a.inlets.iter().filter_map(|key| self.inlets.get(*key)) {
            status.deliveries_in += inlet.counters.deliveries;
            status.crossed.count(self.kind_of(inlet.conn), Direction::In, inlet.counters.deliveries);
        }
        for candidate in a.candidates.iter() {
            let Candidate::Local(key) = candidate else { continue };
            let Some(outlet) = self.outlets.get(key) else { continue };
            if self.is_internal(outlet.conn) {
                status.in_process += 1;
                status.to_container += outlet.counters.deliveries;
            } else {
                status.outlets += 1;
                status.deliveries_out += outlet.counters.deliveries;
                status.crossed.count(self.kind_of(outlet.conn), Direction::Out, outlet.counters.deliveries);
            }
        }
        self.count_edges(&mut status);
        Some(status)
    }

    /// Links by which edges get what is sent to an address are consumers like others.
    fn count_edges(&self, status: &mut AddressStatus) {
        let (mut outlets, mut deliveries) = (0, 0);
        for outlet in self.edge_outlets(&status.key) {
            outlets += 1;
            deliveries += outlet.counters.deliveries;
        }
        status.outlets += outlets;
        status.edges += outlets;
        status.edge_deliveries += deliveries;
        status.deliveries_out += deliveries;
    }

    pub(super) fn kind_of(&self, conn: Key) -> ConnKind {
        self.conns.get(conn).map_or(ConnKind::Client, |conn| conn.kind)
    }

    /// An address remembers deliveries of a link that is gone, or that cannot tell its address.
    pub(super) fn count_crossed(&mut self, address: Key, kind: ConnKind, direction: Direction, deliveries: u64) {
        if kind != ConnKind::Client {
            self.crossed_by_address.entry(address).or_default().count(kind, direction, deliveries);
        }
    }

    /// Deliveries that came from other kinds of peers than clients, or went to them, since the start.
    pub fn crossed(&self) -> Crossed {
        let mut crossed = self.crossed;
        for (_, conn) in self.conns.iter().filter(|(_, conn)| conn.kind != ConnKind::Client) {
            for inlet in conn.inlets.iter().filter_map(|key| self.inlets.get(*key)) {
                crossed.count(conn.kind, Direction::In, inlet.counters.deliveries);
            }
            for outlet in conn.outlets.iter().filter_map(|key| self.outlets.get(*key)) {
                crossed.count(conn.kind, Direction::Out, outlet.counters.deliveries);
            }
        }
        crossed
    }

    /// The number of a link on which deliveries come in, as in [`LinkHandle::id`].
    pub fn inlet_id(&self, key: InletKey) -> Option<u64> {
        self.inlets.get(key.0).map(|inlet| inlet.id)
    }

    /// The number of a link on which deliveries go out.
    pub fn outlet_id(&self, key: OutletKey) -> Option<u64> {
        self.outlets.get(key.0).map(|outlet| outlet.id)
    }

    /// An anonymous sender begins a delivery for an address.
    pub(super) fn count_anonymous(&mut self, inlet: Key, address: Key) {
        let Some(conn) = self.inlets.get(inlet).map(|inlet| inlet.conn) else { return };
        let (internal, kind) = (self.is_internal(conn), self.kind_of(conn));
        if let Some(address) = self.addresses.get_mut(address) {
            if internal {
                address.past.from_container += 1;
            } else {
                address.past.deliveries_in += 1;
            }
        }
        self.count_crossed(address, kind, Direction::In, 1);
    }
}

/// The priority that is part of the lookup key of an address for links to an interior router.
fn priority_of_links(key: &str) -> Option<u8> {
    let links = key.strip_prefix('P').filter(|links| !links.starts_with(['!', '@']))?;
    links.rsplit_once('/')?.1.parse().ok()
}
