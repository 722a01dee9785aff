//! How much of a stream may be on its way.
//!
//! The receiver says how many bytes it has passed on (state `received` with the count since the beginning); the sender reads no more from
//! its socket while too many are unsaid. Between routers of this make the window grows with what the way can hold, as far as the receiver
//! says that it has memory for; toward the reference it is the reference's.

use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// The reference stops reading when so many bytes are unsaid, and says so at least every half of it: a smaller window would stop for ever.
pub(crate) const FIRST: u64 = 1_042_432;

/// What a stream may have on its way at most, between routers of this make. 10 Gbit/s at a round trip of 200 ms.
pub(crate) const LARGEST: u64 = 256 * 1024 * 1024;

/// In the beginning a window that is used up grows faster while it is smaller than this, where round trips are long: 64 MiB are reached
/// after three of them.
const SOON: u64 = 32 * 1024 * 1024;

/// They are long.
const LONG: Duration = Duration::from_millis(10);

/// A window that is smaller than this does not shrink when its reader gets slow.
const SMALL: u64 = 4 * FIRST;

/// After so many bytes the receiver says how far it is. A quarter of the smallest window, so that a sender which has used its window up
/// hears of room long before the way is empty.
const SAY_EVERY: u64 = 256 * 1024;

/// The sender's side.
#[derive(Debug)]
pub(crate) struct SendWindow {
    sent: u64,
    acked: u64,
    size: u64,
    most: u64,
    /// A byte whose arrival is waited for, and when it was sent.
    probe: Option<(u64, Instant)>,
    /// The shortest time that took.
    round_trip: Option<Duration>,
    /// The byte that used the window up, when it was sent, and how far the receiver was then.
    last: Option<(u64, Instant, u64)>,
    /// The window grew whenever it was used up.
    beginning: bool,
    /// Since when, and from which count on, it is looked at whether the reader has got slow.
    since: Option<(Instant, u64)>,
}

impl SendWindow {
    pub(crate) const fn new() -> Self {
        Self {
            sent: 0,
            acked: 0,
            size: FIRST,
            most: FIRST,
            probe: None,
            round_trip: None,
            last: None,
            beginning: true,
            since: None,
        }
    }

    /// The receiver is of this make, and takes as much now.
    pub(crate) fn allow(&mut self, most: u64) {
        self.most = most.clamp(FIRST, LARGEST);
        self.size = self.size.min(self.most);
    }

    /// May more be read now?
    pub(crate) const fn is_open(&self) -> bool {
        self.sent - self.acked < self.size
    }

    /// Bytes were sent.
    pub(crate) fn sent(&mut self, n: usize, now: impl FnOnce() -> Instant) {
        self.sent += n as u64;
        let last = self.last.is_none() && !self.is_open();
        if self.most > FIRST && (last || self.probe.is_none()) {
            let now = now();
            self.probe.get_or_insert((self.sent, now));
            if last {
                self.last = Some((self.sent, now, self.acked));
            }
        }
    }

    /// The receiver has passed on so many bytes since the beginning.
    pub(crate) fn acknowledged(&mut self, total: u64, now: impl FnOnce() -> Instant) {
        // What goes back, or beyond what was sent, is a mistake of the peer's, and of no use.
        if total <= self.acked || total > self.sent {
            return;
        }
        let full = !self.is_open();
        self.acked = total;
        let probe = self.probe.take_if(|(byte, _)| *byte <= total);
        let last = self.last.take_if(|(byte, ..)| *byte <= total);
        let large = self.size > SMALL && full;
        if probe.is_none() && last.is_none() && !large {
            return;
        }
        let now = now();
        if let Some((_, at)) = probe {
            let took = now.saturating_duration_since(at);
            self.round_trip = Some(self.round_trip.map_or(took, |least| least.min(took)));
        }
        if let (Some((_, at, from)), Some(round_trip)) = (last, self.round_trip) {
            self.was_used_up(total - from, now.saturating_duration_since(at), round_trip);
        }
        if large {
            self.is_slow(now);
        } else {
            self.since = None;
        }
    }

    /// All of a window arrived: so many bytes were passed on in this time.
    fn was_used_up(&mut self, passed: u64, time: Duration, round_trip: Duration) {
        // Twice what arrives in a round trip: enough to go on growing while the window is what holds it up, and no more than that when it is
        // the reader.
        let factor = if self.beginning && self.size < SOON && round_trip >= LONG { 4 } else { 2 };
        let passed = u128::from(passed) * round_trip.as_nanos() / time.as_nanos().max(1);
        let wanted = u64::try_from(passed).unwrap_or(u64::MAX).saturating_mul(factor);
        if wanted > self.size {
            self.size = wanted.min(self.size * factor).min(self.most);
        } else {
            self.beginning = false;
        }
    }

    /// The window is large, and used up. What a reader that got slow does not take would wait in the memory of its router: it gets a smaller
    /// one.
    fn is_slow(&mut self, now: Instant) {
        let (Some(round_trip), (since, from)) = (self.round_trip, *self.since.get_or_insert((now, self.acked))) else {
            return;
        };
        let time = now.saturating_duration_since(since);
        if time >= round_trip && !time.is_zero() {
            let passed = u128::from(self.acked - from) * round_trip.as_nanos() / time.as_nanos();
            if passed < u128::from(self.size / 8) {
                self.size = (self.size / 2).max(SMALL);
            }
            self.since = Some((now, self.acked));
        }
    }

    #[cfg(test)]
    pub(crate) const fn size(&self) -> u64 {
        self.size
    }
}

/// The receiver's side.
#[derive(Debug, Default)]
pub(crate) struct ReceiveWindow {
    passed: u64,
    said: u64,
}

impl ReceiveWindow {
    /// Bytes were passed on. Answers the count to be told, when it is time.
    pub(crate) fn passed(&mut self, n: usize) -> Option<u64> {
        self.passed += n as u64;
        (self.passed - self.said >= SAY_EVERY).then(|| {
            self.said = self.passed;
            self.said
        })
    }
}
