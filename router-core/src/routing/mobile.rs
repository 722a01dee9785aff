//! MAU and MAR: which addresses have destinations at which router.

use std::time::{Duration, Instant};

use super::{
    Routing,
    known::Delta,
    message::{MOBILE_VERSION, Message, MobileAddressRequest, MobileAddressUpdate, MobileContent},
    nodes::Slot,
    output::{Event, Limit, Target},
};

/// The least time between two equal answers to one router: below that after which it asks again.
const ANSWER_GAP: Duration = Duration::from_millis(50);

impl Routing {
    pub(super) fn addresses_received(&mut self, update: &MobileAddressUpdate, now: Instant) {
        // One that is not known is learnt by its advertisement, which makes us ask for all of its addresses.
        let Some(slot) = self.nodes.find(&update.id).filter(|_| update.id != self.me) else { return };
        let limits = self.config.limits;
        let Some(node) = self.nodes.get_mut(slot) else { return };
        let before = node.addresses.len();
        let room = limits.addresses.saturating_sub(self.addresses);
        let most = limits.addresses_per_router.min(before + room);
        let delta = match &update.content {
            MobileContent::Differential { .. } if update.mobile_seq <= node.mobile_seq => return,
            MobileContent::Differential { .. } if update.mobile_seq != node.mobile_seq + 1 => {
                node.mobile_advertised = update.mobile_seq;
                node.want_mobile.ask(now);
                self.wants_changed(slot, now);
                return;
            }
            MobileContent::Differential { add, del } => node.addresses.change(add, del, most.saturating_sub(before)),
            // The answer to a request that was answered before. One that was asked for may well begin below the number we have: a
            // long list comes in several parts, and a router that has started anew counts anew.
            MobileContent::Absolute { .. }
                if update.mobile_seq < node.mobile_seq && !node.suspect_mobile && !node.want_mobile.is_under_way() =>
            {
                return;
            }
            MobileContent::Absolute { exist } => node.addresses.replace(exist, most),
        };
        node.suspect_mobile = false;
        node.mobile_seq = update.mobile_seq;
        // After a list of all the router's number is the one to believe.
        if node.mobile_seq >= node.mobile_advertised || matches!(update.content, MobileContent::Absolute { .. }) {
            node.mobile_advertised = node.mobile_seq;
            node.want_mobile.satisfied();
        }
        let after = node.addresses.len();
        self.addresses = self.addresses + after - before;
        if delta.short {
            let limit = if after >= limits.addresses_per_router { Limit::AddressesPerRouter } else { Limit::Addresses };
            self.limit(limit, &update.id, now);
        }
        self.tell_addresses(slot, delta);
    }

    fn tell_addresses(&mut self, slot: Slot, delta: Delta) {
        let Some(node) = self.nodes.get(slot).filter(|_| !delta.is_empty()) else { return };
        let router = node.id.clone();
        self.event(Event::Addresses { router, added: delta.added, removed: delta.removed });
    }

    /// Forgets the addresses of a router; what it tells next has to be everything.
    pub(super) fn flush_addresses(&mut self, slot: Slot) {
        let Some(node) = self.nodes.get_mut(slot) else { return };
        (node.mobile_seq, node.mobile_advertised) = (0, 0);
        self.addresses -= node.addresses.len();
        let delta = node.addresses.replace(&[].into(), 0);
        self.tell_addresses(slot, delta);
    }

    pub(super) fn addresses_requested(&mut self, request: &MobileAddressRequest) {
        // More than we have is what a peer has that knew us before we started anew within the same second.
        if request.id == self.me || request.have_seq == self.local.seq() {
            return;
        }
        if let Some(slot) = self.nodes.find(&request.id) {
            self.answer_addresses(slot);
        }
    }

    /// Tells a router all our addresses: now, or when a way leads to it.
    pub(super) fn answer_addresses(&mut self, slot: Slot) {
        let now = self.can_reach(slot);
        let Some(node) = self.nodes.get_mut(slot) else { return };
        node.owed_mobile = !now;
        // Who asks again and again gets the same again only when the first answer may have been lost.
        let told = (self.now, self.local.seq());
        let again = node.told_all.is_some_and(|(at, seq)| seq == told.1 && told.0 - at < ANSWER_GAP);
        if !now || again {
            return;
        }
        node.told_all = Some(told);
        let to = Target::Router(node.id.clone());
        let updates: Vec<_> = self.local.everything().iter().cloned().map(Message::MobileAddressUpdate).collect();
        for update in updates {
            self.send(to.clone(), update);
        }
    }

    /// Tells everybody how our addresses changed.
    ///
    /// The reference does so once a second. Nothing in it depends on that: it takes any update that has the next sequence number. It
    /// advertises the number after each update; we do that once a second at most, for those who missed an update.
    pub(super) fn tell_changes(&mut self, now: Instant) {
        let updates = self.local.update(now);
        if updates.is_empty() {
            return;
        }
        self.next_ra = self.next_ra.min(now + super::RA_GAP);
        if self.routes.reachable_count() > 0 {
            for update in updates {
                self.send(Target::AllRouters, Message::MobileAddressUpdate(update));
            }
        }
    }

    pub(super) fn request_addresses(&mut self, slot: Slot) {
        let Some(node) = self.nodes.get(slot) else { return };
        // A router that may have started anew would take the number we have for one of its own.
        let have_seq = if node.suspect_mobile { 0 } else { node.mobile_seq };
        let to = Target::Router(node.id.clone());
        let id = self.me.clone();
        self.send(to, Message::MobileAddressRequest(MobileAddressRequest { id, version: MOBILE_VERSION, have_seq }));
    }
}
