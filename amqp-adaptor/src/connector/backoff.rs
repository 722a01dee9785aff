//! How long to wait before the next try.

use std::time::{Duration, Instant};

/// The first wait, which doubles with each failure up to the last.
const FIRST: Duration = Duration::from_millis(50);
/// The last one is short enough for a network to be whole again within ten seconds after a long interruption.
const LAST: Duration = Duration::from_secs(4);

/// A connection that stayed open this long was no failure: a peer that hangs up on everybody is tried twice a second at most, and a line
/// that breaks every second is used in between.
const STABLE: Duration = Duration::from_millis(500);

/// The next number of a sequence that looks random (SplitMix64). Jitter and names need no more.
pub(crate) const fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Exponential backoff with jitter, so that those who lost the same peer do not come back at the same moment.
#[derive(Debug)]
pub(crate) struct Backoff {
    next: Duration,
    state: u64,
    opened: Option<Instant>,
}

impl Backoff {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { next: FIRST, state: seed, opened: None }
    }

    /// The connection works.
    pub(crate) const fn opened(&mut self, now: Instant) {
        self.opened = Some(now);
    }

    /// The connection was lost, or could not be made. Answers how long to wait: between half of the current limit and all of it.
    pub(crate) fn failed(&mut self, now: Instant) -> Duration {
        if self.opened.take().is_some_and(|opened| now.duration_since(opened) >= STABLE) {
            self.next = FIRST;
        }
        let limit = self.next;
        self.next = (limit * 2).min(LAST);
        let half = limit / 2;
        let span = u64::try_from(half.as_micros()).unwrap_or(u64::MAX).max(1);
        half + Duration::from_micros(splitmix(&mut self.state) % span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_limit_and_start_over() {
        let now = Instant::now();
        let mut backoff = Backoff::new(3);
        let mut limit = FIRST;
        for _ in 0..20 {
            let wait = backoff.failed(now);
            assert!(wait >= limit / 2 && wait <= limit, "{wait:?} of {limit:?}");
            limit = (limit * 2).min(LAST);
        }
        assert_eq!(limit, LAST);
        // A short success is none.
        backoff.opened(now);
        assert!(backoff.failed(now + STABLE / 2) >= LAST / 2);
        backoff.opened(now);
        assert!(backoff.failed(now + STABLE) <= FIRST);
        assert!(backoff.failed(now) > FIRST / 2);
    }

    #[test]
    fn seeds_differ() {
        let now = Instant::now();
        let waits = |seed| {
            let mut backoff = Backoff::new(seed);
            (0..5).map(|_| backoff.failed(now)).collect::<Vec<_>>()
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }
}
