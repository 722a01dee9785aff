//! Destinations that refused a flow because no server there could be reached. They come last for a moment, so that the next attempt of the
//! same client, and other clients, go elsewhere.
//!
//! Whoever begins a flow keeps what its client has sent until it is answered, and tries again. Routers on the way keep nothing: they tell it
//! whether another attempt through them may do better (`released`), or not (`modified`, undeliverable here).

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::{Core, far::FarEnd, routed::Origin};
use crate::{core::slots::Key, egress::DeliveryState};

/// How long a destination comes last: as long as a server that could not be reached.
const AVOID: Duration = Duration::from_secs(1);

/// So many destinations are remembered at most.
const MOST: usize = 4096;

#[derive(Debug)]
struct Refusal {
    address: Key,
    hop: Key,
    /// Unknown until somebody says what time it is.
    until: Option<Instant>,
}

/// Those that come last, in the order in which they refused.
#[derive(Debug)]
pub(super) struct Refusals {
    list: VecDeque<Refusal>,
    /// A time that has passed.
    seen: Instant,
}

impl Refusals {
    pub(super) const fn new(now: Instant) -> Self {
        Self { list: VecDeque::new(), seen: now }
    }

    /// When the time is to be told next.
    pub(super) fn poll(&self) -> Option<Instant> {
        let unknown = self.list.back()?.until.is_none();
        if unknown { Some(self.seen) } else { self.list.front()?.until }
    }
}

impl Core {
    /// A delivery came to this outcome, which is not the last word if it is a flow's that was refused and that could go elsewhere from here:
    /// answers then what its sender is to be told instead.
    #[inline]
    pub(super) fn refused(&mut self, d: Key, state: Option<&DeliveryState>) -> Option<DeliveryState> {
        let Some(DeliveryState::Modified { undeliverable_here: true, .. }) = state else { return None };
        let (onward, address) = self.deliveries.get(d).map(|delivery| (delivery.onward, delivery.address))?;
        let (_, onward) = self.onwards.at(onward)?;
        let origin = onward.stream?;
        let address = if onward.hop.is_none() { address } else { onward.origin };
        self.avoid(address, onward.hop);
        // Whoever began it here chooses anew anyhow.
        (self.is_of_router(d) && self.has_another(address, origin)).then_some(DeliveryState::Released)
    }

    #[cold]
    fn avoid(&mut self, address: Key, hop: Key) {
        let Some(far) = self.addresses.get_mut(address).and_then(|a| a.far.as_mut()) else { return };
        if self.refusals.list.len() < MOST && far.set_avoided(hop, true) {
            self.refusals.list.push_back(Refusal { address, hop, until: None });
        }
    }

    /// Whether a flow that entered the network there may find a server that is not known to fail.
    fn has_another(&self, address: Key, origin: Origin) -> bool {
        let Some(a) = self.addresses.get(address) else { return false };
        let leads = |end: FarEnd| origin.leads_to(end, &self.routes);
        a.far.as_ref().is_some_and(|far| far.any_fresh(leads))
            || self.least_server(address, &[]).is_some_and(|server| !server.failing)
    }

    /// Time has passed.
    pub(super) fn forgive(&mut self, now: Instant) {
        self.refusals.seen = now;
        for refusal in self.refusals.list.iter_mut().rev().take_while(|refusal| refusal.until.is_none()) {
            refusal.until = Some(now + AVOID);
        }
        while let Some(refusal) = self.refusals.list.pop_front_if(|refusal| refusal.until.is_some_and(|at| at <= now)) {
            if let Some(far) = self.addresses.get_mut(refusal.address).and_then(|a| a.far.as_mut()) {
                far.set_avoided(refusal.hop, false);
            }
        }
    }
}
