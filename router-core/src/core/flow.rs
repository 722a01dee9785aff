//! Credit: that of senders, which we give, and that of receivers, which we use.

use super::Core;
use crate::{InletKey, OutletKey, core::slots::Key, distribution::Candidate, egress::Egress};

impl Core {
    /// The receiver's credit is now `credit` deliveries, those subtracted that were sent already. `drain`: it wants what is there and
    /// then an answer ([`Egress::drained_out`]).
    pub fn credit(&mut self, key: OutletKey, credit: u32, drain: bool, eg: &mut impl Egress) {
        let o = key.0;
        let Some(outlet) = self.outlets.get_mut(o) else { return };
        outlet.credit = credit;
        outlet.drain = drain;
        let (address, window) = (outlet.address, credit.saturating_add(outlet.outstanding));
        if outlet.credit < outlet.lent + outlet.reserved {
            self.recall(o, eg);
        }
        let others_first = self.addresses.get_mut(address).is_some_and(|a| {
            a.note_window(window);
            let both = a.waiting.len() > 0 && !a.wanters.is_empty();
            a.others_first = both && !a.others_first;
            a.others_first
        });
        if others_first {
            self.serve_wanters(address, eg);
        }
        self.flush(o, eg);
        self.serve_wanters(address, eg);
        self.answer_drain(o, eg);
    }

    /// The sender answered a drain: it has `remaining` credits (usually 0).
    pub fn inlet_drained(&mut self, key: InletKey, remaining: u32, _eg: &mut impl Egress) {
        let Some(inlet) = self.inlets.get_mut(key.0) else { return };
        inlet.draining = false;
        inlet.issued = inlet.issued.min(remaining);
        if inlet.granting {
            self.mark_dirty(key.0);
        }
    }

    /// There is somebody to send to.
    pub(super) fn start_granting(&mut self, key: Key) {
        if let Some(inlet) = self.inlets.get_mut(key) {
            inlet.granting = true;
            self.mark_dirty(key);
        }
    }

    /// There is nobody to send to: no more credit, and what the sender has is withdrawn.
    pub(super) fn withdraw(&mut self, key: Key, eg: &mut impl Egress) {
        let Some(inlet) = self.inlets.get_mut(key) else { return };
        inlet.granting = false;
        if inlet.issued > 0 && !inlet.draining {
            inlet.draining = true;
            eg.drain_in(inlet.link);
        }
    }

    pub(super) fn mark_dirty(&mut self, key: Key) {
        if let Some(inlet) = self.inlets.get_mut(key)
            && !inlet.dirty
        {
            inlet.dirty = true;
            self.dirty.push(key);
        }
    }

    /// A delivery does not need its credit any more.
    #[inline]
    pub(super) fn give_back(&mut self, key: Key) {
        self.give_back_all(key, 1);
    }

    /// Some do not.
    #[inline]
    pub(super) fn give_back_all(&mut self, key: Key, count: u32) {
        let Some(inlet) = self.inlets.get_mut(key) else { return };
        inlet.open = inlet.open.saturating_sub(count);
        inlet.capacity.passed(count);
        let capacity = inlet.capacity.get();
        let owed = capacity.saturating_sub(inlet.issued + inlet.open);
        let idle = inlet.one_by_one && inlet.open == 0;
        if !inlet.dirty && (owed * 4 >= capacity || inlet.issued == 0 || idle) {
            inlet.dirty = true;
            self.dirty.push(key);
        }
    }

    /// Grants what was collected: a quarter of the capacity at least, unless the sender has nothing left, or sends one delivery for each grant.
    pub(super) fn grant_collected(&mut self, eg: &mut impl Egress) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for key in dirty.drain(..) {
            let Some(inlet) = self.inlets.get_mut(key) else { continue };
            inlet.dirty = false;
            if !inlet.granting {
                continue;
            }
            // A delivery that waits costs the core seven times one that passes (November 2026), so a link to one address is held back
            // while any of its own wait. Each of those gives its credit back later, and then this is looked at again.
            if inlet.waiting > 0 && inlet.address.is_some() && !inlet.draining {
                continue;
            }
            inlet.capacity.adapt();
            let capacity = inlet.capacity.get();
            let mut owed = capacity.saturating_sub(inlet.issued + inlet.open);
            if inlet.issued == 0 && inlet.open == inlet.capacity.row() {
                // Only a tracked delivery brings the credit of those back.
                owed = owed.max(1);
            }
            let many = owed * 4 >= capacity;
            let idle = inlet.one_by_one && inlet.open == 0;
            inlet.one_by_one &= !many;
            if inlet.draining || (owed > 0 && (many || inlet.issued == 0 || idle)) {
                inlet.draining = false;
                inlet.issued += owed;
                eg.grant(inlet.link, owed);
            }
        }
        self.dirty = dirty;
    }

    /// Notes whether an outlet can take a delivery. True if it can.
    #[inline]
    pub(super) fn refresh(&mut self, o: Key) -> bool {
        let Some(outlet) = self.outlets.get(o) else { return false };
        let ready = outlet.is_ready();
        let at = outlet.address_at;
        if let Some(address) = self.addresses.get_mut(outlet.address)
            // An outlet that is going away has left its position to another.
            && address.candidates.get(at as usize) == Some(Candidate::Local(o))
        {
            address.candidates.set_ready(at, ready);
        }
        ready
    }

    /// The link takes nothing more now; its connection will say when.
    pub(super) fn block(&mut self, o: Key) {
        let Some(outlet) = self.outlets.get_mut(o) else { return };
        if !outlet.blocked {
            outlet.blocked = true;
            if let Some(conn) = self.conns.get_mut(outlet.conn) {
                conn.blocked.push(o);
            }
        }
        self.refresh(o);
    }

    /// Answers the drain of a receiver when everything that could be sent was, and lent credit is back.
    pub(super) fn answer_drain(&mut self, o: Key, eg: &mut impl Egress) {
        let Some(outlet) = self.outlets.get_mut(o) else { return };
        if !outlet.drain {
            return;
        }
        if outlet.lent > 0 {
            return self.recall(o, eg);
        }
        if outlet.credit > 0 {
            let waiting = self.addresses.get(outlet.address).map_or(0, |a| a.waiting.len());
            if outlet.queued > 0 || waiting > 0 {
                // Something holds it up: a window, or a delivery that is still arriving.
                return;
            }
        }
        outlet.credit = 0;
        outlet.drain = false;
        eg.drained_out(outlet.link);
        self.refresh(o);
    }
}
