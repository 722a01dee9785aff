//! Presettled deliveries to routers of ours: their senders are pushed back by consumers there, so some of them are tracked.

use amqp_proto::Raw;
use bytes::Bytes;

use super::{Core, forward::Arrival, routed::Way};
use crate::{
    annotations::{SETTLED, TELL_WAITED},
    core::slots::{Key, Slots},
    delivery::{Delivery, From, WAITED},
    egress::{DeliveryState, End, Payload},
    inlet::Inlet,
};

/// The longest presettled message that a router of ours gets untracked, in bytes. The annotations and the record of a longer one cost little
/// beside its content, and its sender's credit should follow it closely.
const SMALL: usize = 4096;

/// How a router learns that a delivery which goes to another was taken, though its sender does not want to know.
pub(super) enum Tracking {
    /// Not at all.
    No,
    /// Together with a later one of the same sender.
    Later,
    /// It is told, and then knows it of so many untracked ones of the same sender as well.
    Yes(u8),
}

/// A described list without fields, whose descriptor only routers of ours know.
const ACCEPTED_LATE: &[u8] = b"\x00\x80SPANWAIT\x45";

/// What a router of ours is told instead of accepted of a delivery that had to wait for its consumer: with less on the way nothing would.
pub(super) fn accepted_late() -> DeliveryState {
    Raw::new(Bytes::from_static(ACCEPTED_LATE)).map_or(DeliveryState::Accepted, DeliveryState::Other)
}

/// Whether a state says so.
#[inline]
pub(super) fn is_late(state: &DeliveryState) -> bool {
    matches!(state, DeliveryState::Other(raw) if raw.as_bytes() == ACCEPTED_LATE)
}

/// The flags of ours of a delivery that leaves. `tell`: its outcome comes back all the same, and may say that it had to wait.
pub(super) const fn flags(tracked: bool, tell: bool) -> u32 {
    match (tracked, tell) {
        (true, _) => SETTLED | TELL_WAITED,
        (false, true) => TELL_WAITED,
        (false, false) => 0,
    }
}

/// It was accepted late. Its sender, if it is not another router of ours that is told in turn, gets less credit.
#[cold]
pub(super) fn was_late(delivery: &mut Delivery, inlets: &mut Slots<Inlet>) {
    delivery.set(WAITED);
    if let From::Inlet { inlet, .. } = delivery.from
        && let Some(inlet) = inlets.get_mut(inlet)
    {
        inlet.capacity.waited();
    }
}

impl Core {
    /// How the router learns that a delivery was taken, which its sender settled and which now leaves over `links`.
    pub(super) fn tracking(&mut self, links: Key, arrival: &Arrival<'_>, payload: &Payload<'_>, end: End) -> Tracking {
        let Some(a) = self.addresses.get(links) else { return Tracking::No };
        let From::Inlet { inlet: key, .. } = arrival.from else { return Tracking::Yes(0) };
        if matches!(arrival.way, Way::Routed { .. }) {
            // What comes tracked goes on so; for what does not, another counts, or nobody does.
            return if arrival.settled { Tracking::No } else { Tracking::Yes(0) };
        }
        let Some(inlet) = self.inlets.get(key) else { return Tracking::Yes(0) };
        // What has to wait here is tracked, and so takes those before it with it. So is what is long, since it counts by itself.
        let passes =
            end == End::Complete && payload.len() <= SMALL && a.waiting.len() == 0 && self.peek(links).is_some();
        if passes && inlet.capacity.leaves_untracked() {
            return Tracking::Later;
        }
        Tracking::Yes(self.row(key))
    }

    /// A tracked delivery of this sender leaves: for how many untracked ones it counts.
    pub(super) fn row(&mut self, inlet: Key) -> u8 {
        self.inlets.get_mut(inlet).map_or(0, |inlet| inlet.capacity.tracked())
    }
}
