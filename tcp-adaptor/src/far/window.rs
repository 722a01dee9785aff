//! How much of a stream may be on its way.
//!
//! The receiver says how many bytes it has passed on (state `received` with the count since the beginning); the sender reads no more from
//! its socket while too many are unsaid. Between routers of this make the window grows with what the way can hold; toward the reference it is
//! the reference's.

use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// The reference stops reading when so many bytes are unsaid, and says so at least every half of it: a smaller window would stop for ever.
pub(crate) const FIRST: u64 = 1_042_432;

/// What a stream may have on its way at most, between routers of this make. 1 Gbit/s at a round trip of 130 ms.
pub(crate) const LARGEST: u64 = 16 * 1024 * 1024;

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
    /// Since when, and from which count on, the rate is measured.
    since: Option<(Instant, u64)>,
    /// The window was used up since then.
    used_up: bool,
}

impl SendWindow {
    pub(crate) const fn new() -> Self {
        Self { sent: 0, acked: 0, size: FIRST, most: FIRST, probe: None, round_trip: None, since: None, used_up: false }
    }

    /// The receiver takes more than the reference does.
    pub(crate) fn allow(&mut self, most: u64) {
        self.most = most.clamp(FIRST, LARGEST);
    }

    /// May more be read now?
    pub(crate) fn is_open(&mut self) -> bool {
        let open = self.sent - self.acked < self.size;
        self.used_up |= !open;
        open
    }

    /// Bytes were sent.
    pub(crate) fn sent(&mut self, n: usize, now: impl FnOnce() -> Instant) {
        self.sent += n as u64;
        if self.probe.is_none() && self.size < self.most {
            let now = now();
            self.probe = Some((self.sent, now));
            self.since.get_or_insert((now, self.acked));
        }
    }

    /// The receiver has passed on so many bytes since the beginning.
    pub(crate) fn acknowledged(&mut self, total: u64, now: impl FnOnce() -> Instant) {
        // What goes back, or beyond what was sent, is a mistake of the peer's, and of no use.
        if total <= self.acked || total > self.sent {
            return;
        }
        self.acked = total;
        if self.size >= self.most {
            return;
        }
        let now = now();
        if let Some((byte, at)) = self.probe
            && byte <= total
        {
            let took = now.saturating_duration_since(at);
            self.round_trip = Some(self.round_trip.map_or(took, |least| least.min(took)));
            self.probe = None;
        }
        let (Some(round_trip), Some((since, from))) = (self.round_trip, self.since) else { return };
        let elapsed = now.saturating_duration_since(since);
        if elapsed < round_trip || elapsed.is_zero() {
            return;
        }
        // Twice what arrives in a round trip: enough to go on growing while the window is what holds it up, and no more than that when it is
        // the reader.
        let passed = u128::from(total - from) * round_trip.as_nanos() / elapsed.as_nanos();
        let wanted = u64::try_from(passed).unwrap_or(u64::MAX).saturating_mul(2);
        if self.used_up && wanted > self.size {
            self.size = wanted.min(self.size * 2).min(self.most);
        }
        self.used_up = false;
        self.since = Some((now, total));
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
