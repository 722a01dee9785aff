//! Presettled deliveries to routers of ours: their senders are pushed back by consumers there, so some of them are tracked.

use super::{Core, forward::Arrival, routed::Way};
use crate::{
    core::slots::Key,
    delivery::From,
    egress::{DeliveryState, End, Payload},
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

/// What is said of a tracked delivery instead of accepted if it had to wait for its consumer: with less on the way nothing would. Its client
/// sees no outcome, so none can be mistaken for this.
pub(super) const fn had_to_wait() -> DeliveryState {
    DeliveryState::modified(false, false)
}

impl Core {
    /// How the router learns that a delivery was taken, which its sender settled and which now leaves over `links`.
    pub(super) fn tracking(&mut self, links: Key, arrival: &Arrival<'_>, payload: &Payload<'_>, end: End) -> Tracking {
        let Some(a) = self.addresses.get(links).filter(|a| a.ours) else { return Tracking::No };
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

    /// What a router of ours says of a tracked delivery.
    pub(super) fn tracked_outcome(&mut self, from: From, state: &DeliveryState) {
        if *state == DeliveryState::Accepted {
            return;
        }
        if *state != had_to_wait() {
            self.counters.dropped_presettled += 1;
        } else if let From::Inlet { inlet, .. } = from
            && let Some(inlet) = self.inlets.get_mut(inlet)
        {
            inlet.capacity.waited();
        }
    }

    /// A tracked delivery of this sender leaves: for how many untracked ones it counts.
    pub(super) fn row(&mut self, inlet: Key) -> u8 {
        self.inlets.get_mut(inlet).map_or(0, |inlet| inlet.capacity.tracked())
    }
}
