//! Deliveries whose senders ask for another attempt when they come back released (`qd.resend-released`): each goes on to a destination that it has
//! not been to, until somebody takes it or there is none left. With the flag in its annotations each router on its way does so, before it says
//! that the delivery was released.
//!
//! An attempt is a delivery of its own: what the last receiver may still say does not meet the next one. Content is kept until the first word
//! that is not `released`, and no more than [`MOST`] of it.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    Core,
    far::FarEnd,
    forward::load,
    hops::Pick,
    routed::{Origin, Way},
};
use crate::{
    InKey, Treatment,
    annotations::{Annotations, PUBLIC, Parsed, RESEND_RELEASED, STREAMING, parse},
    core::slots::Key,
    delivery::{
        CREDIT, Delivery, From, IN_SETTLED, OUT_SETTLED, POOLED, RESENDS, SECOND, SENT, STREAMS, TELL_WAITED, To,
    },
    distribution::Candidate,
    egress::{DeliveryState, Egress, End, Payload},
};

/// The most that is kept of a delivery. The reference keeps all, and stops reading from its sender at 64 KiB; a consumer that takes more has said so
/// by then.
const MOST: usize = 256 * 1024;

/// The most that is kept of all, in a worker.
const MOST_OF_ALL: usize = 32 * 1024 * 1024;

/// What is kept of deliveries, by delivery.
#[derive(Debug, Default)]
pub(super) struct Resends {
    kept: BTreeMap<Key, Box<Kept>>,
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    address: Key,
    origin: Origin,
    /// Its annotations, as they leave.
    prefix: Vec<u8>,
    content: Vec<Bytes>,
    bytes: usize,
    /// Where it was, or is.
    tried: Vec<Pick>,
}

impl Resends {
    fn take(&mut self, d: Key) -> Option<Box<Kept>> {
        let kept = self.kept.remove(&d)?;
        self.bytes -= kept.bytes;
        Some(kept)
    }

    fn put(&mut self, d: Key, kept: Box<Kept>) {
        self.bytes += kept.bytes;
        self.kept.insert(d, kept);
    }
}

impl Way<'_> {
    /// Its sender wants another attempt when it comes back.
    pub(super) const fn resends(&self) -> bool {
        match self {
            Self::Here | Self::Targeted(_) | Self::Stream => false,
            Self::Routed { annotations, .. } | Self::Annotated { annotations, .. } => {
                annotations.flags & RESEND_RELEASED != 0
            }
        }
    }
}

impl Core {
    /// Keeps what another attempt needs of a delivery that was just routed.
    #[cold]
    pub(super) fn keep_for_resend(&mut self, d: Key, address: Key, way: &Way<'_>, payload: &Payload<'_>) {
        if self.addresses.get(address).is_none_or(|a| a.treatment == Treatment::Multicast) {
            return;
        }
        let Some(delivery) = self.deliveries.get(d) else { return };
        if delivery.to == To::Nowhere || delivery.has(IN_SETTLED) || !self.may_keep(0, payload.len()) {
            return;
        }
        let said = self.annotations_of(way);
        let mut prefix = Vec::new();
        Annotations { flags: said.flags & PUBLIC, ..said }.compose(self.trace_name(), &mut prefix);
        let content = vec![Bytes::copy_from_slice(payload.as_slice())];
        let kept = Kept { address, origin: way.origin(), prefix, content, bytes: payload.len(), tried: Vec::new() };
        self.resends.put(d, Box::new(kept));
        if let Some(delivery) = self.deliveries.get_mut(d) {
            delivery.set(RESENDS);
        }
    }

    /// More of it came.
    #[cold]
    pub(super) fn keep_more(&mut self, d: Key, payload: &Payload<'_>) {
        let Some(mut kept) = self.resends.take(d) else { return };
        if !self.may_keep(kept.bytes, payload.len()) {
            return self.keep_no_more(d);
        }
        if !payload.is_empty() {
            kept.content.push(Bytes::copy_from_slice(payload.as_slice()));
            kept.bytes += payload.len();
        }
        self.resends.put(d, kept);
    }

    const fn may_keep(&self, before: usize, more: usize) -> bool {
        before + more <= MOST && self.resends.bytes + before + more <= MOST_OF_ALL
    }

    /// There will be no other attempt.
    #[cold]
    pub(super) fn keep_no_more(&mut self, d: Key) {
        self.resends.take(d);
        if let Some(delivery) = self.deliveries.get_mut(d) {
            delivery.flags &= !RESENDS;
        }
    }

    /// The receiver of a delivery that may be tried again has spoken. True if it goes elsewhere: then its sender hears nothing.
    #[cold]
    pub(super) fn resend(
        &mut self,
        d: Key,
        state: Option<&DeliveryState>,
        settled: bool,
        eg: &mut impl Egress,
    ) -> bool {
        let Some(kept) = self.resends.take(d) else { return false };
        let Some(delivery) = self.deliveries.get_mut(d) else { return false };
        delivery.flags &= !RESENDS;
        let From::Inlet { inlet, .. } = delivery.from else { return false };
        if state != Some(&DeliveryState::Released) || delivery.has(IN_SETTLED) || !self.inlets.contains(inlet) {
            return false;
        }
        let Some(was) = self.was_at(d) else { return false };
        let mut kept = kept;
        kept.tried.push(was);
        let Some(next) = self.untried(&kept) else { return false };
        self.attempt(d, kept, next, settled, eg);
        true
    }

    /// Where a delivery went.
    fn was_at(&self, d: Key) -> Option<Pick> {
        let delivery = self.deliveries.get(d)?;
        let onward = self.onwards.at(delivery.onward);
        let (hop, own) = onward.map_or((Key::NONE, Key::NONE), |(_, onward)| (onward.hop, onward.outlet));
        Some(match delivery.to {
            _ if !hop.is_none() => Pick::Far(hop),
            _ if !own.is_none() => Pick::Local(own),
            To::Outlet { outlet, .. } | To::Queued { outlet } => Pick::Local(outlet),
            To::Worker { remote, .. } => Pick::Remote(remote),
            _ => return None,
        })
    }

    /// The destination for another attempt, whether it has credit or not: the delivery waits there.
    fn untried(&self, kept: &Kept) -> Option<Pick> {
        let Ok(Parsed::Found(annotations, _)) = parse(&kept.prefix) else { return None };
        let way = Way::Routed { annotations: &annotations, origin: kept.origin, pooled: false, section: 0 };
        let a = self.addresses.get(kept.address)?;
        let closest = a.treatment == Treatment::Closest;
        let fresh = |pick: &Pick| !kept.tried.contains(pick);
        let near = a.candidates.iter().filter(|candidate| fresh(&Pick::from(*candidate))).map(|candidate| {
            let work = load(&self.outlets, &self.remotes, candidate);
            let idle = match candidate {
                Candidate::Local(o) => self.outlets.get(o).is_some_and(|outlet| outlet.free() > 0),
                // What it could lend is not known.
                Candidate::Remote(_) => true,
            };
            ((0, !idle, u64::from(work)), Pick::from(candidate))
        });
        let far = a.far.as_deref();
        let far = far.iter().flat_map(|far| far.to.iter().map(|to| (to, far.shares.get(to.share))));
        let far = far.filter_map(|(to, share)| {
            let share = share?;
            let hop = self.hops.get(share.hop)?;
            let valid = to.takes(&way, &self.routes) && fresh(&Pick::Far(share.hop));
            // A router that it has passed has tried all that it knows.
            let passed = matches!(to.to, FarEnd::Router(_)) && way.passed(&hop.name);
            self.links_to(share.hop, super::hops::MEDIUM).filter(|_| valid && !passed)?;
            let work = u64::from(self.tallies.outstanding(share.tally));
            let rank = if closest { (to.cost, false, work) } else { (0, false, work.saturating_add(to.cost)) };
            Some((rank, Pick::Far(share.hop)))
        });
        near.chain(far).min_by_key(|(rank, _)| *rank).map(|(_, pick)| pick)
    }

    /// Ends an attempt that came back, and makes another.
    fn attempt(&mut self, d: Key, kept: Box<Kept>, next: Pick, settled: bool, eg: &mut impl Egress) {
        let Some(old) = self.deliveries.get_mut(d) else { return };
        let From::Inlet { inlet, id } = old.from else { return };
        let same = old.flags & (SECOND | CREDIT | TELL_WAITED);
        let mut record = Delivery::new(old.from, kept.address, same, old.message_format, old.seq, old.ended);
        record.born = old.born;
        old.flags = old.flags & !CREDIT | IN_SETTLED;
        let Some(of) = self.inlets.get(inlet) else { return };
        if of.shared {
            record.set(POOLED);
        }
        record.set(RESENDS);
        // Toward a neighbour its annotations said so.
        let streams = matches!(parse(&kept.prefix), Ok(Parsed::Found(said, _)) if said.flags & STREAMING != 0);
        if streams && !record.arrived() {
            record.set(STREAMS);
        }
        let link = of.link;
        let again = self.deliveries.insert(record);
        if let Some(inlet) = self.inlets.get_mut(inlet).filter(|inlet| inlet.current == d) {
            inlet.current = again;
        }
        eg.renamed_in(link, id, InKey(again));
        self.attempt_over(d, settled, eg);
        let first = kept.content.first().cloned().unwrap_or_default();
        let priority = self.priority_of(kept.address, &Payload::new(&first));
        if let Some(delivery) = self.deliveries.get_mut(again) {
            delivery.priority = priority;
        }
        let clients_want_it = self.addresses.get(kept.address).is_some_and(|a| a.annotated > 0);
        if clients_want_it || matches!(next, Pick::Far(_)) {
            self.keep_prefix(again, &kept.prefix);
        }
        for part in &kept.content {
            self.store(again, &Payload::new(part), eg);
        }
        self.resends.put(again, kept);
        match next {
            Pick::Local(o) if self.goes_apart(again, o) => self.queue_apart(again, o, eg),
            Pick::Local(o) => self.queue_at(again, o, eg),
            Pick::Remote(remote) => self.lend_out_waiting(remote, again, eg),
            Pick::Far(hop) => self.forward_waiting(again, hop, eg),
        }
    }

    /// Of an attempt that came back nobody has to hear any more. One that was not finished is aborted.
    fn attempt_over(&mut self, d: Key, settled: bool, eg: &mut impl Egress) {
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        if delivery.has(SENT) {
            return self.receiver_done(d, settled, eg);
        }
        delivery.ended = End::Aborted;
        delivery.flags |= OUT_SETTLED;
        self.ended_early(d, eg);
    }
}
