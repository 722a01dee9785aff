//! Content that is kept, and credit that comes back.

use super::Core;
use crate::{
    WorkerId,
    core::slots::Key,
    delivery::{Content, Freed, From, POOLED, REPORT, To},
    egress::{Egress, Payload},
    worker_batch::{Msg, WorkerMsg},
};

/// Empty contents that are kept: as many as one sender's credit can make wait (`credit::CAP`), at about 200 bytes each.
const SPARE: usize = 4096;

impl Core {
    /// Keeps content until it can be passed on.
    pub(super) fn store(&mut self, d: Key, payload: &Payload<'_>, eg: &mut impl Egress) {
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        if payload.is_empty() && delivery.content.is_some() {
            return;
        }
        let more = !delivery.arrived();
        let content = delivery.content.get_or_insert_with(|| self.spare.pop().unwrap_or_default());
        if payload.is_empty() {
            return;
        }
        let added = content.push(payload, more, 1, &mut self.arena);
        self.charge(d, added, eg);
    }

    /// Memory is kept for a delivery, or a copy of it.
    pub(super) fn charge(&mut self, d: Key, bytes: usize, eg: &mut impl Egress) {
        let Some(delivery) = self.root(d).and_then(|root| self.deliveries.get(root)) else { return };
        self.counters.bytes_held += bytes as u64;
        if delivery.has(POOLED) {
            let address = delivery.address;
            return self.pool_in(address, bytes);
        }
        if let From::Inlet { inlet, .. } = delivery.from {
            match self.inlets.get_mut(inlet) {
                Some(inlet) => {
                    inlet.held = inlet.held.saturating_add(bytes as u32);
                    eg.hold(inlet.link, bytes);
                }
                None => self.orphaned += bytes,
            }
        }
    }

    /// Memory was given back.
    pub(super) fn discharge(&mut self, d: Key, bytes: usize, eg: &mut impl Egress) {
        if bytes == 0 {
            return;
        }
        let Some(delivery) = self.root(d).and_then(|root| self.deliveries.get(root)) else { return };
        self.counters.bytes_held = self.counters.bytes_held.saturating_sub(bytes as u64);
        if delivery.has(POOLED) {
            let address = delivery.address;
            return self.pool_out(address, bytes);
        }
        if let From::Inlet { inlet, .. } = delivery.from {
            match self.inlets.get_mut(inlet) {
                Some(inlet) => {
                    inlet.held = inlet.held.saturating_sub(bytes as u32);
                    eg.release(inlet.link, bytes);
                }
                None => self.orphaned = self.orphaned.saturating_sub(bytes),
            }
        }
    }

    /// Kept content was passed on or dropped.
    pub(super) fn freed(&mut self, d: Key, freed: Freed, eg: &mut impl Egress) {
        if freed == Freed::default() {
            return;
        }
        let Some(delivery) = self.deliveries.get(d) else { return };
        let (from, report) = (delivery.from, delivery.has(REPORT));
        self.discharge(d, freed.charge, eg);
        if report {
            self.report(from, freed.bytes, eg);
        }
    }

    /// Bytes that came from another worker, which counts them as held, were passed on or dropped.
    pub(super) fn report(&self, from: From, bytes: usize, eg: &mut impl Egress) {
        if let From::Worker { worker, key } = from
            && bytes > 0
            && key != 0
        {
            eg.post(WorkerId(worker), WorkerMsg::bare(Msg::Consumed { yours: key, bytes }));
        }
    }

    /// Drops the content that a delivery keeps.
    pub(super) fn drop_content(&mut self, d: Key, eg: &mut impl Egress) {
        let Some(mut content) = self.deliveries.get_mut(d).and_then(|d| d.content.take()) else { return };
        let freed = content.clear();
        self.freed(d, freed, eg);
        self.recycle(content);
    }

    /// Keeps an empty content for the next delivery.
    pub(super) fn recycle(&mut self, mut content: Box<Content>) {
        if self.spare.len() < SPARE && content.reset() {
            self.spare.push(content);
        }
    }

    /// A queued delivery will not be sent by this outlet.
    pub(super) fn leave_queue(&mut self, d: Key, o: Key) {
        let Some(delivery) = self.deliveries.get_mut(d).filter(|d| d.to == (To::Queued { outlet: o })) else { return };
        delivery.to = To::Nowhere;
        let lent = matches!(delivery.from, From::Worker { .. });
        let Some(outlet) = self.outlets.get_mut(o) else { return };
        outlet.queued = outlet.queued.saturating_sub(1);
        if lent {
            outlet.reserved = outlet.reserved.saturating_sub(1);
        }
        if outlet.queue.len() > 64 && outlet.queue.len() > 2 * outlet.queued as usize {
            let deliveries = &self.deliveries;
            outlet.queue.retain(|key| deliveries.get(*key).is_some_and(|d| d.to == To::Queued { outlet: o }));
        }
        self.refresh(o);
    }
}
