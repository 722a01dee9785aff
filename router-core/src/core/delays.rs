//! Deliveries that take long, links without credit, and how busy links are: found by looking now and then, so that a message pays for no more
//! than a note of the half second in which it came.

use std::{
    collections::BTreeMap,
    num::NonZeroU32,
    time::{Duration, Instant},
};

use super::Core;
use crate::{
    ConnKey,
    core::slots::Key,
    delivery::{Delivery, From, NIL, STUCK_IN, STUCK_OUT, To},
};

/// Since when a link has been without credit: the grain and one, for the sake of the niche.
type Dry = Option<NonZeroU32>;

/// The grain of ages.
const GRAIN: Duration = Duration::from_millis(500);
/// A delivery is late after this, in grains: one second, as for the reference.
const LATE: u32 = 2;
/// And very late after ten.
const VERY_LATE: u32 = 20;
/// It is stuck if it is still there, and a link blocked, after this; again as for the reference.
const STUCK: u32 = 20;
/// How often rates are taken, in grains.
const RATES: u32 = 10;
/// Deliveries that are looked at in a look at least; and the part of all of them, so that each is seen within ten seconds.
const LOOK: u32 = 4096;
const SHARE: u32 = 20;

/// What is known of late deliveries.
#[derive(Debug)]
pub(super) struct Delays {
    start: Instant,
    /// Grains since the start.
    now: u32,
    /// After so many a delivery is stuck, and a link blocked.
    patience: u32,
    /// When rates were taken last.
    rated: u32,
    /// The slot at which the next look begins.
    cursor: u32,
    late: u64,
    very_late: u64,
    stuck: u64,
    blocked: u64,
    transit: u64,
    /// That of addresses without destinations at other routers at the moment.
    past_transit: BTreeMap<Key, u64>,
    /// Of links that have had late ones, by number. Few do.
    links: BTreeMap<u64, LinkDelays>,
    /// Senders without credit, by number: few, too, and the others need no place for it.
    senders: BTreeMap<u64, NonZeroU32>,
}

/// What a link, or a router, has had of late deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkDelays {
    /// Deliveries that took more than a second, and not more than ten.
    pub late: u64,
    /// Deliveries that took more than ten seconds.
    pub very_late: u64,
    /// Complete deliveries that are still here after more than ten seconds.
    pub stuck: u64,
}

/// What a worker knows of its deliveries besides how many there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delayed {
    /// Late deliveries of all links on which they came in.
    pub deliveries: LinkDelays,
    /// Receivers that have given no credit, and senders that were given none, for more than ten seconds.
    pub blocked_links: u64,
    /// Deliveries that went to other interior routers, wherever they came from; each copy of a multicast delivery is one.
    pub transit: u64,
}

impl Delayed {
    /// Adds another worker's.
    pub fn add(&mut self, other: &Self) {
        self.deliveries.late += other.deliveries.late;
        self.deliveries.very_late += other.deliveries.very_late;
        self.deliveries.stuck += other.deliveries.stuck;
        self.blocked_links += other.blocked_links;
        self.transit += other.transit;
    }
}

impl Delays {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            start: now,
            now: 0,
            patience: STUCK,
            rated: 0,
            cursor: 0,
            late: 0,
            very_late: 0,
            stuck: 0,
            blocked: 0,
            transit: 0,
            past_transit: BTreeMap::new(),
            links: BTreeMap::new(),
            senders: BTreeMap::new(),
        }
    }

    /// The grain in which something happens now.
    #[inline]
    pub(super) const fn now(&self) -> u32 {
        self.now
    }

    /// An address has no destinations at other routers any more, and has had so many deliveries that passed through.
    pub(super) fn remember_transit(&mut self, address: Key, deliveries: u64) {
        if deliveries > 0 {
            *self.past_transit.entry(address).or_default() += deliveries;
        }
    }

    /// An address is gone.
    pub(super) fn address_gone(&mut self, address: Key) {
        self.past_transit.remove(&address);
    }

    /// Whether it has to be counted when it is over.
    #[inline]
    const fn is_late(&self, delivery: &Delivery) -> bool {
        self.age(delivery) > LATE
    }

    /// Grains since a delivery came. Workers began at about the same time, but not at the same.
    #[inline]
    const fn age(&self, delivery: &Delivery) -> u32 {
        self.now.saturating_sub(delivery.born)
    }

    /// What a link has had.
    pub(super) fn of_link(&self, id: u64) -> LinkDelays {
        self.links.get(&id).copied().unwrap_or_default()
    }

    /// Seconds for which a sender has been without credit.
    pub(super) fn sender_waits(&self, id: u64) -> u64 {
        self.seconds_since(self.senders.get(&id).copied())
    }

    /// A link is gone.
    pub(super) fn link_gone(&mut self, id: u64) {
        self.senders.remove(&id);
        self.links.remove(&id);
    }

    /// Seconds for which a link has had no credit; 0 if it has some.
    pub(super) const fn seconds_since(&self, dry: Dry) -> u64 {
        match dry {
            Some(since) => (self.now.saturating_sub(since.get() - 1) / 2) as u64,
            None => 0,
        }
    }
}

impl Core {
    /// Time has passed: looks for what has been here for long and for senders that fell silent, and takes rates. Call it about twice a second,
    /// and [`end_batch`](Self::end_batch) after it.
    pub fn observe(&mut self, now: Instant) {
        let grains = now.saturating_duration_since(self.delays.start).as_millis() / GRAIN.as_millis();
        self.delays.now = u32::try_from(grains).unwrap_or(u32::MAX);
        self.look_for_stuck();
        self.look_at_links();
    }

    /// From now on deliveries are stuck, and links blocked, after this instead of ten seconds.
    pub fn set_patience(&mut self, patience: Duration) {
        self.delays.patience = u32::try_from(patience.as_millis() / GRAIN.as_millis()).unwrap_or(u32::MAX);
    }

    /// Seconds since a delivery last began on a link of this connection; `None` if none has.
    pub fn seconds_since_delivery(&self, conn: ConnKey) -> Option<u64> {
        let active = self.conns.get(conn.0)?.active?;
        Some(u64::from(self.delays.now.saturating_sub(active) / 2))
    }

    /// Late deliveries, blocked receivers, and what passed through.
    pub fn delayed(&self) -> Delayed {
        let delays = &self.delays;
        Delayed {
            deliveries: LinkDelays { late: delays.late, very_late: delays.very_late, stuck: delays.stuck },
            blocked_links: delays.blocked,
            transit: delays.transit,
        }
    }

    /// A delivery for an address goes to another interior router.
    #[inline]
    pub(super) fn passed(&mut self, address: Key) {
        self.delays.transit += 1;
        if let Some(far) = self.addresses.get_mut(address).and_then(|a| a.far.as_mut()) {
            far.transit += 1;
        }
    }

    /// How many did.
    pub(super) fn transit_of(&self, address: Key) -> u64 {
        let now = self.addresses.get(address).and_then(|a| a.far.as_ref()).map_or(0, |far| far.transit);
        now + self.delays.past_transit.get(&address).copied().unwrap_or_default()
    }

    /// A delivery is over.
    #[inline]
    pub(super) fn count_delay(&mut self, d: Key) {
        if self.deliveries.get(d).is_some_and(|delivery| self.delays.is_late(delivery)) {
            self.count_late(d);
        }
    }

    #[cold]
    fn count_late(&mut self, d: Key) {
        let Some(delivery) = self.deliveries.get(d).filter(|d| !self.is_flow(d)) else { return };
        let very = self.delays.age(delivery) > VERY_LATE;
        let (stuck_in, stuck_out) = (delivery.has(STUCK_IN), delivery.has(STUCK_OUT));
        let (inlet, outlet) = self.link_ids(delivery);
        let delays = &mut self.delays;
        if matches!(delivery.from, From::Inlet { .. }) {
            delays.late += u64::from(!very);
            delays.very_late += u64::from(very);
        }
        delays.stuck = delays.stuck.saturating_sub(u64::from(stuck_in) + u64::from(stuck_out));
        for (id, stuck) in [(inlet, stuck_in), (outlet, stuck_out)] {
            let Some(id) = id else { continue };
            let link = delays.links.entry(id).or_default();
            link.late += u64::from(!very);
            link.very_late += u64::from(very);
            link.stuck = link.stuck.saturating_sub(stuck.into());
        }
    }

    /// Streams of flows may be open for as long as their programs like.
    fn is_flow(&self, delivery: &Delivery) -> bool {
        delivery.onward != NIL && self.onwards.at(delivery.onward).is_some_and(|(_, onward)| onward.stream.is_some())
    }

    /// The numbers of the links that it came on, and that it went to.
    fn link_ids(&self, delivery: &Delivery) -> (Option<u64>, Option<u64>) {
        let inlet = match delivery.from {
            From::Inlet { inlet, .. } => self.inlets.get(inlet).map(|inlet| inlet.id),
            From::Worker { .. } | From::Copy { .. } => None,
        };
        let outlet = match delivery.to {
            To::Outlet { outlet, .. } => self.outlets.get(outlet).map(|outlet| outlet.id),
            _ => None,
        };
        (inlet, outlet)
    }

    fn look_for_stuck(&mut self) {
        let all = self.deliveries.end();
        let looks = all.min(LOOK.max(all / SHARE));
        for _ in 0..looks {
            let at = if self.delays.cursor < all { self.delays.cursor } else { 0 };
            self.delays.cursor = at + 1;
            let Some((d, delivery)) = self.deliveries.at(at) else { continue };
            let flags = delivery.flags & (STUCK_IN | STUCK_OUT);
            if self.delays.age(delivery) <= self.delays.patience
                || flags == STUCK_IN | STUCK_OUT
                || !delivery.arrived()
                || self.is_flow(delivery)
            {
                continue;
            }
            let of_inlet = matches!(delivery.from, From::Inlet { .. }) && flags & STUCK_IN == 0;
            let (inlet, outlet) = self.link_ids(delivery);
            let outlet = outlet.filter(|_| flags & STUCK_OUT == 0);
            for id in [inlet.filter(|_| of_inlet), outlet].into_iter().flatten() {
                self.delays.links.entry(id).or_default().stuck += 1;
            }
            self.delays.stuck += u64::from(of_inlet) + u64::from(outlet.is_some());
            if let Some(delivery) = self.deliveries.get_mut(d) {
                delivery.flags |= if of_inlet { STUCK_IN } else { 0 } | if outlet.is_some() { STUCK_OUT } else { 0 };
            }
        }
    }

    fn look_at_links(&mut self) {
        let now = self.delays.now;
        let seconds = u64::from(now.saturating_sub(self.delays.rated) / 2);
        let rates = now.saturating_sub(self.delays.rated) >= RATES;
        if rates {
            self.delays.rated = now;
        }
        let internal = self.internal;
        let mut senders = std::mem::take(&mut self.delays.senders);
        let mut blocked = 0;
        let mut count_blocked = |dry: Dry| {
            blocked += u64::from(self.delays.seconds_since(dry) * 2 > self.delays.patience.into());
        };
        for (key, inlet) in self.inlets.iter_mut() {
            if rates {
                inlet.counters.take_rate(seconds);
            }
            let moved = inlet.counters.has_moved();
            if moved && let Some(conn) = self.conns.get_mut(inlet.conn) {
                conn.active = Some(now);
            }
            // Flows have no use for credit.
            if internal == Some(inlet.conn) {
                continue;
            }
            if !moved && inlet.may_wait_for_credit() {
                inlet.one_by_one = true;
                if !std::mem::replace(&mut inlet.dirty, true) {
                    self.dirty.push(key);
                }
            }
            let before = senders.get(&inlet.id).copied();
            let dry = still_dry(before, inlet.issued, moved, now);
            match dry {
                Some(since) if dry != before => _ = senders.insert(inlet.id, since),
                None if before.is_some() => _ = senders.remove(&inlet.id),
                _ => {}
            }
            count_blocked(dry);
        }
        for (_, outlet) in self.outlets.iter_mut() {
            if rates {
                outlet.counters.take_rate(seconds);
            }
            let moved = outlet.counters.has_moved();
            if moved && let Some(conn) = self.conns.get_mut(outlet.conn) {
                conn.active = Some(now);
            }
            outlet.dry = still_dry(outlet.dry, outlet.credit, moved, now);
            if internal != Some(outlet.conn) {
                count_blocked(outlet.dry);
            }
        }
        self.delays.blocked = blocked;
        self.delays.senders = senders;
    }
}

/// Since when a link is without credit, as it was and is now.
const fn still_dry(dry: Dry, credit: u32, moved: bool, now: u32) -> Dry {
    match dry {
        _ if credit > 0 => None,
        Some(since) if !moved => Some(since),
        _ => NonZeroU32::new(now.saturating_add(1)),
    }
}
