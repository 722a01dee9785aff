//! Things that are done at once when they are rare, and together when they are frequent.

use std::time::{Duration, Instant};

/// Spaces repetitions: the first is due at once, each that follows soon waits twice as long as the one before it.
#[derive(Debug)]
pub(crate) struct Throttle {
    floor: Duration,
    ceiling: Duration,
    gap: Duration,
    last: Option<Instant>,
    due: Option<Instant>,
}

impl Throttle {
    pub(crate) const fn new(floor: Duration, ceiling: Duration) -> Self {
        Self { floor, ceiling, gap: floor, last: None, due: None }
    }

    /// Asks for it; `urgent` waits for the shortest gap at most.
    pub(crate) fn request(&mut self, now: Instant, urgent: bool) {
        let at = match self.last {
            None => now,
            Some(last) => {
                if now.saturating_duration_since(last) > self.gap * 2 {
                    self.gap = self.floor;
                }
                now.max(last + if urgent { self.floor } else { self.gap })
            }
        };
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    /// Asks for it without regard to the time of the last one. Only for what is itself throttled.
    pub(crate) const fn request_now(&mut self, now: Instant) {
        self.due = Some(now);
    }

    /// When it is to be done.
    pub(crate) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// True if it is to be done now; then it counts as done.
    #[must_use]
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let due = self.due.is_some_and(|due| due <= now);
        if due {
            self.due = None;
            // The gap before this one was the shortest or has been doubled by those before.
            if self.last.is_some() {
                self.gap = (self.gap * 2).min(self.ceiling);
            }
            self.last = Some(now);
        }
        due
    }
}
