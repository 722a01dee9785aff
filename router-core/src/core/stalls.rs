//! Senders that stop in the middle of a delivery hold up a consumer's link: they are cut off after a while.

use std::time::{Duration, Instant};

use amqp_proto::condition;

use super::Core;
use crate::{
    InletKey,
    core::slots::Key,
    delivery::To,
    egress::{Egress, Error},
};

/// Looks within the limit.
const LOOKS: u8 = 4;

/// When to look next. Nothing is measured per frame: each look notes who has made no progress since the one before.
#[derive(Debug)]
pub(super) struct Stalls {
    interval: Duration,
    last: Instant,
    /// Deliveries that are arriving.
    arriving: usize,
}

impl Stalls {
    pub(super) fn new(limit: Duration, now: Instant) -> Self {
        Self { interval: (limit / LOOKS.into()).max(Duration::from_millis(1)), last: now, arriving: 0 }
    }

    pub(super) const fn arriving(&mut self) {
        self.arriving += 1;
    }

    pub(super) const fn arrived(&mut self) {
        self.arriving = self.arriving.saturating_sub(1);
    }

    pub(super) fn poll(&self) -> Option<Instant> {
        (self.arriving > 0).then(|| self.last + self.interval)
    }
}

impl Core {
    /// Cuts off those who stalled for too long.
    pub(super) fn cut_stalled(&mut self, now: Instant, eg: &mut impl Egress) {
        if self.stalls.poll().is_none_or(|at| at > now) {
            return;
        }
        self.stalls.last = now;
        for key in self.inlets.keys() {
            let Some(inlet) = self.inlets.get_mut(key) else { continue };
            if inlet.current.is_none() || inlet.strikes == 0 {
                // It was busy since the last look.
                inlet.strikes = 1;
                continue;
            }
            if !self.holds_up(key) {
                continue;
            }
            let Some(inlet) = self.inlets.get_mut(key) else { continue };
            inlet.strikes += 1;
            if inlet.strikes <= LOOKS {
                continue;
            }
            let link = inlet.link;
            self.counters.stalled += 1;
            self.detach_inlet(InletKey(key), eg);
            let what = "the sender stalled in the middle of a delivery";
            eg.detach(link, Some(Error::new(condition::RESOURCE_LIMIT_EXCEEDED, what)));
        }
    }

    /// Whether the delivery that is arriving has a consumer's link, and everything of it that arrived went there.
    fn holds_up(&self, inlet: Key) -> bool {
        let Some(inlet) = self.inlets.get(inlet) else { return false };
        let Some(delivery) = self.deliveries.get(inlet.current) else { return false };
        let passed_on = match delivery.to {
            // A link for one delivery holds up nobody, and a stream may be silent for as long as it likes.
            To::Outlet { outlet, .. } => self.outlets.get(outlet).is_none_or(|outlet| !outlet.single),
            To::Worker { remote, .. } => {
                delivery.posted == 0 && self.remotes.get(remote).is_none_or(|remote| !remote.single)
            }
            To::Fan => {
                self.children(inlet.current).into_iter().all(|c| self.deliveries.get(c).is_none_or(|c| c.posted == 0))
            }
            _ => false,
        };
        passed_on && delivery.content.as_ref().is_none_or(|content| content.is_empty())
    }
}
