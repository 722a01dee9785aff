//! The addresses that this worker knows, and what happens when they win or lose their destinations.

use std::sync::Arc;

use super::{Address, Core, Presence, client_streams::is_client_hop, edges, hops::MEDIUM};
use crate::{
    AddressConfig, Treatment,
    address::Class,
    core::slots::Key,
    delivery::{From, Waiting},
    distribution::Candidates,
    egress::{DeliveryState, Egress},
    routing::Hint,
    server::reachability_event,
};

/// The mobile address of the management agent.
pub(super) const MANAGEMENT: &str = "M$management";
/// The beginning of the addresses of records of flows.
const RECORDS: &str = "Mmc/sfe.";

impl Core {
    /// Treatment and priority of an address that has this lookup key.
    pub(super) fn treatment_of(&self, name: &str, dynamic: bool) -> (Treatment, Option<u8>) {
        let (treatment, priority) = self.own_treatment(name, dynamic);
        if treatment == Treatment::Balanced
            && let Some(learned) = self.learned(name)
            && !dynamic
            && !self.table.has(name.get(1..).unwrap_or_default())
        {
            return (learned, priority);
        }
        (treatment, priority)
    }

    /// How other routers treat a mobile address, if not as everybody does who knows nothing of it (decision 0034).
    pub(super) fn learned(&self, name: &str) -> Option<Treatment> {
        if Class::of_key(name) != Class::Mobile || name == MANAGEMENT {
            return None;
        }
        let treatment = |hint: Option<Hint>| match hint {
            Some(Hint::Multicast) => Some(Treatment::Multicast),
            Some(Hint::Closest) => Some(Treatment::Closest),
            _ => None,
        };
        // If they do not agree, too many copies are better than too few.
        let rank = |treatment: &Treatment| u8::from(*treatment == Treatment::Multicast);
        self.book.destinations(name).iter().filter_map(|to| treatment(to.hint)).max_by_key(rank)
    }

    /// What others say of an address may have changed.
    pub(super) fn relearn(&mut self, key: Key, name: &str) {
        let learned = self.learned(name).unwrap_or(Treatment::Balanced);
        if self.addresses.get(key).is_none_or(|a| a.treatment == learned) {
            return;
        }
        let (treatment, _) = self.treatment_of(name, is_dynamic(name));
        if let Some(a) = self.addresses.get_mut(key) {
            a.treatment = treatment;
        }
    }

    /// The same as it was configured here. That is what other routers are told: they do not hear from us what we have from them.
    pub(super) fn own_treatment(&self, name: &str, dynamic: bool) -> (Treatment, Option<u8>) {
        match Class::of_key(name) {
            // The router's own address must work whatever is configured for others.
            _ if dynamic || name == MANAGEMENT => (Treatment::Balanced, None),
            // What a source of records sends there is for all who collect.
            Class::Mobile if name.starts_with(RECORDS) => (Treatment::Multicast, None),
            Class::Mobile => self.table.find(name.get(1..).unwrap_or_default()),
            Class::Topological => (Treatment::Multicast, None),
            // It is in one place: a router that has a link there needs no other.
            Class::Edge => (Treatment::Closest, None),
            // What waits there was sorted by priority already: the header is not read again.
            Class::Hop => (Treatment::Closest, Some(MEDIUM)),
            _ => (Treatment::Balanced, None),
        }
    }

    /// The address with this lookup key; made if there is none.
    pub(super) fn address(&mut self, name: &str, dynamic: bool) -> Key {
        if let Some(key) = self.by_name.get(name) {
            return *key;
        }
        let (treatment, priority) = self.treatment_of(name, dynamic);
        let far = self.far_of(name).map(|far| self.tallied(far, name));
        let open = far.is_some() && treatment != Treatment::Unavailable;
        let name: Arc<str> = name.into();
        let key = self.addresses.insert(Address {
            name: name.clone(),
            treatment,
            priority,
            candidates: Candidates::default(),
            inlets: Vec::new(),
            waiting: Waiting::default(),
            peers: Vec::new(),
            wanters: Vec::new(),
            lent: 0,
            recalled: false,
            next_loan: 0,
            others_first: false,
            window: 0,
            far,
            open,
            servers: Vec::new(),
            next_server: 0,
            watches: Vec::new(),
            reachable: open,
            told: false,
            annotated: 0,
            ours: false,
            own_streams: false,
            past: crate::inspect::Past::default(),
        });
        self.hop_addresses += usize::from(Class::of_key(&name) == Class::Hop);
        self.by_name.insert(name, key);
        key
    }

    /// Forgets the address if nobody needs it any more.
    pub(super) fn forget_address(&mut self, key: Key) {
        let Some(a) = self.addresses.get(key) else { return };
        // The names of neighbours stay; those of single links go with them.
        let edge = edges::is_edge_hop(&a.name) || is_client_hop(&a.name);
        let used = a.candidates.len() > 0
            || (a.is_hop() && (!edge || self.is_edge_stream_in_use(key, &a.name)))
            || a.far.is_some()
            || !a.inlets.is_empty()
            || a.waiting.len() > 0
            || !a.servers.is_empty()
            || !a.watches.is_empty();
        if !used && let Some(address) = self.addresses.remove(key) {
            self.by_name.remove(&*address.name);
            self.crossed_by_address.remove(&key);
            self.delays.address_gone(key);
            self.load_gone(key, &address.name);
            self.hop_addresses -= usize::from(address.is_hop());
            self.stream_links.forget(key);
        }
    }

    /// Outlets or servers of the address came or went.
    pub(super) fn destinations_changed(&mut self, key: Key, eg: &mut impl Egress) {
        self.tell_presence(key);
        let Some(address) = self.addresses.get_mut(key) else { return };
        let here = address.candidates.len() > 0;
        let open = (here || address.far.is_some()) && address.treatment != Treatment::Unavailable;
        let was_open = std::mem::replace(&mut address.open, open);
        let reachable = open || (!address.servers.is_empty() && address.treatment != Treatment::Unavailable);
        if std::mem::replace(&mut address.reachable, reachable) != reachable {
            for watch in &address.watches {
                self.reachability.extend(reachability_event(&self.watches, *watch, reachable));
            }
        }
        if open == was_open {
            if !here && address.waiting.len() > 0 {
                // It waited for consumers here, and there are only others left.
                self.pump(key, eg);
            }
            return;
        }
        let hop = address.is_hop().then(|| Arc::clone(&address.name));
        let inlets = address.inlets.clone();
        if open {
            inlets.into_iter().for_each(|inlet| self.start_granting(inlet));
        } else {
            if !self.may_get_streams(key) {
                self.drop_waiting(key, eg);
            }
            for inlet in inlets {
                self.withdraw(inlet, eg);
            }
        }
        match hop {
            Some(name) if edges::is_edge_hop(&name) => self.edge_link_changed(key, &name, open, eg),
            Some(name) if !open => self.hop_closed(&name, eg),
            _ => {}
        }
    }

    /// Tells other routers, if the first consumer or server came, or the last one went.
    fn tell_presence(&mut self, key: Key) {
        let Some(address) = self.addresses.get_mut(key) else { return };
        let told = (address.candidates.len() > 0 || !address.servers.is_empty()) && address.is_told();
        if std::mem::replace(&mut address.told, told) != told && self.worker == 0 {
            let key = Arc::clone(&address.name);
            let (treatment, _) = self.own_treatment(&key, is_dynamic(&key));
            self.presence.push_back(Presence { key, treatment, here: told });
        }
    }

    /// Nobody is left for what waits at an address.
    pub(super) fn drop_waiting(&mut self, key: Key, eg: &mut impl Egress) {
        while let Some(d) = self.front_waiting(key) {
            self.leave_waiting(d);
            self.dropped(d, eg);
        }
    }

    /// Nobody takes the delivery: released, or dropped if it was presettled.
    pub(super) fn dropped(&mut self, d: Key, eg: &mut impl Egress) {
        let released = Some(&DeliveryState::Released);
        if self.deliveries.get(d).is_some_and(|d| d.has(crate::delivery::RESENDS)) && self.resend(d, released, true, eg)
        {
            return;
        }
        if let Some(delivery) = self.deliveries.get(d).filter(|d| d.has(crate::delivery::PRESETTLED)) {
            self.counters.dropped_presettled += 1;
            if let From::Inlet { inlet, .. } = delivery.from
                && let Some(inlet) = self.inlets.get_mut(inlet)
            {
                inlet.counters.dropped_presettled += 1;
            }
        }
        if let Some(delivery) = self.deliveries.get_mut(d) {
            delivery.set(crate::delivery::OUT_SETTLED);
        }
        self.decide(d, released, eg);
    }

    /// Adds an address configuration, or replaces the one with the same pattern. Links that are there stay, and are treated anew. Do so in
    /// each worker.
    ///
    /// # Errors
    /// If the pattern is bad.
    pub fn add_address(
        &mut self,
        config: &AddressConfig,
        eg: &mut impl Egress,
    ) -> Result<(), crate::address::PatternError> {
        self.table.add(config)?;
        self.reconfigure(eg);
        Ok(())
    }

    /// Removes the address configuration with this pattern (a prefix counts as its pattern). True if there was one. Do so in each worker.
    pub fn remove_address(&mut self, pattern: &str, eg: &mut impl Egress) -> bool {
        let removed = self.table.remove(pattern);
        if removed {
            self.reconfigure(eg);
        }
        removed
    }

    fn reconfigure(&mut self, eg: &mut impl Egress) {
        for key in self.addresses.keys() {
            let Some(name) = self.addresses.get(key).map(|a| a.name.clone()) else { continue };
            let (treatment, priority) = self.treatment_of(&name, is_dynamic(&name));
            if let Some(address) = self.addresses.get_mut(key) {
                (address.treatment, address.priority) = (treatment, priority);
            }
            self.destinations_changed(key, eg);
            self.pump(key, eg);
        }
    }
}

/// Dynamic targets are mobile, but nobody configures them.
fn is_dynamic(name: &str) -> bool {
    name.starts_with("M_$temp.")
}
