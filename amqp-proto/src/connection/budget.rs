//! What a peer may repeat for free.

use std::time::{Duration, Instant};

/// A bucket of tokens that refills by a tenth of its size per second.
///
/// Time is looked at only when the bucket runs dry, so spending costs a decrement.
#[derive(Debug)]
pub(crate) struct Budget {
    left: u32,
    size: u32,
    filled: Instant,
}

impl Budget {
    pub(crate) fn new(size: u32, now: Instant) -> Self {
        Self { left: size, size, filled: now }
    }

    /// Takes a token. False if there is none: the peer does too much of it.
    #[must_use]
    pub(crate) fn spend(&mut self, now: Instant) -> bool {
        if self.left == 0 {
            let tenth = u64::from(self.size / 10 + 1);
            let passed = now.saturating_duration_since(self.filled).min(Duration::from_secs(10)).as_millis() as u64;
            let refill = tenth * passed / 1000;
            if refill == 0 {
                return false;
            }
            self.left = u32::try_from(refill).unwrap_or(u32::MAX).min(self.size.max(1));
            self.filled = now;
        }
        self.left -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refills_with_time() {
        let start = crate::connection::tests::beginning();
        let mut budget = Budget::new(100, start);
        for _ in 0..100 {
            assert!(budget.spend(start));
        }
        assert!(!budget.spend(start));
        assert!(!budget.spend(start + Duration::from_millis(50)));
        let later = start + Duration::from_secs(1);
        for _ in 0..11 {
            assert!(budget.spend(later));
        }
        assert!(!budget.spend(later));
        let much_later = start + Duration::from_secs(3600);
        assert_eq!((0..1000).take_while(|_| budget.spend(much_later)).count(), 100);
    }
}
