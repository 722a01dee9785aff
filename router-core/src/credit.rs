//! How much credit a sender gets.

/// Credit of a sender whose capacity nobody set, in the beginning: what the reference gives.
const START: u32 = 250;

/// What it grows to. 4,000 messages of 100 bytes are 400 kB on the way: enough for 1 Gb/s over 3 ms (2026-11, computed).
const CAP: u32 = 4000;

/// How many deliveries of one sender may be on the way.
///
/// When nobody set it, it starts at 250 and doubles as long as deliveries pass straight through; when they have to wait, more credit
/// would only make a longer queue, and it halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capacity {
    current: u32,
    exact: bool,
    waited: bool,
    passed: u32,
}

impl Capacity {
    pub(crate) fn new(set: Option<u32>) -> Self {
        Self { current: set.unwrap_or(START).max(1), exact: set.is_some(), waited: false, passed: 0 }
    }

    pub(crate) const fn get(&self) -> u32 {
        self.current
    }

    /// A delivery had to wait for credit of a consumer.
    pub(crate) const fn waited(&mut self) {
        self.waited = true;
    }

    /// A delivery gave its credit back.
    #[inline]
    pub(crate) const fn passed(&mut self) {
        self.passed = self.passed.saturating_add(1);
    }

    /// Before a grant: adapts.
    pub(crate) fn adapt(&mut self) {
        if self.exact || self.passed < self.current {
            return;
        }
        self.current = if self.waited { (self.current / 2).max(START) } else { (self.current * 2).min(CAP) };
        self.waited = false;
        self.passed = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_grows_while_deliveries_pass() {
        let mut capacity = Capacity::new(None);
        for expected in [250, 500, 1000, 2000, 4000, 4000] {
            assert_eq!(capacity.get(), expected);
            (0..expected).for_each(|_| capacity.passed());
            capacity.adapt();
        }
        capacity.waited();
        capacity.adapt();
        assert_eq!(capacity.get(), 4000);
        (0..4000).for_each(|_| capacity.passed());
        capacity.adapt();
        assert_eq!(capacity.get(), 2000);
    }

    #[test]
    fn a_set_capacity_is_exact() {
        let mut capacity = Capacity::new(Some(10));
        (0..100).for_each(|_| capacity.passed());
        capacity.adapt();
        assert_eq!(capacity.get(), 10);
    }
}
