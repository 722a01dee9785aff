//! How much credit a sender gets.

/// Credit of a sender whose capacity nobody set, in the beginning: what the reference gives.
const START: u32 = 250;

/// What it grows to. 4,000 messages of 100 bytes are 400 kB on the way: enough for 1 Gb/s over 3 ms (2026-11, computed).
const CAP: u32 = 4000;

/// For how many rounds more credit is not tried again, at most, when it was in vain. A round is as many deliveries as the credit; one in
/// which they wait costs half as much again (November 2026: without this half of all deliveries waited when the router was faster than
/// its receiver).
const PATIENCE: u8 = 127;

/// How many rounds it takes to know that more credit was not in vain.
const TRIAL: u8 = 2;

/// How much content of one sender may be on the way, in bytes, if that is at least `LEAST` deliveries: a slow consumer at another router
/// costs that router so much memory (2026-11, chosen to fit eight times into what one address gets there).
const MOST_BYTES: u32 = 4 << 20;
const LEAST: u32 = 16;

/// Of so many presettled deliveries of one sender that go to routers of ours one after the other only the last is tracked: a record and a
/// disposition for each made the way through two routers a fifth dearer (November 2026).
const ROW: u32 = 64;

/// How many deliveries of one sender may be on the way.
///
/// When nobody set it, it starts at 250 and doubles as long as deliveries pass straight through; when they have to wait, more credit would
/// only make a longer queue, and it halves. From then on it changes in smaller steps. It stays as it is for longer each time that more was too
/// much, and for half as long each time that more was not: whether deliveries pass is also a matter of luck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capacity {
    current: u32,
    /// Deliveries that gave their credit back since it was adapted.
    passed: u32,
    exact: bool,
    waited: bool,
    /// It has just become less: what is over in this round was on the way before.
    shrunk: bool,
    /// Rounds until it is clear whether more was too much. From routers further on one hears of it late.
    trial: u8,
    /// Rounds until more is tried again, and how many it was the last time.
    rest: u8,
    patience: u8,
    /// Content that came since it was adapted, in bytes.
    bytes: u32,
    /// Presettled deliveries that left untracked since the last tracked one.
    row: u8,
}

impl Capacity {
    pub(crate) fn new(set: Option<u32>) -> Self {
        Self {
            current: set.unwrap_or(START).max(1),
            passed: 0,
            bytes: 0,
            exact: set.is_some(),
            waited: false,
            shrunk: false,
            trial: 0,
            rest: 0,
            patience: 0,
            row: 0,
        }
    }

    /// For a link that a neighbour sends on. One of ours knows what its own senders may have on the way, so nothing is gained if all of them
    /// have to wait for this link when one of their consumers is slow.
    pub(crate) fn of_router(set: Option<u32>, ours: bool) -> Self {
        Self::new(set.or_else(|| ours.then_some(CAP)))
    }

    /// Whether a presettled delivery may leave for a router of ours untracked. A row is a small part of what may be on the way, so that the
    /// sender always has credit for the tracked one.
    #[inline]
    pub(crate) fn leaves_untracked(&self) -> bool {
        u32::from(self.row) + 1 < ROW.min(self.current / 8)
    }

    /// How many have left since the last tracked one.
    pub(crate) const fn row(&self) -> u32 {
        self.row as u32
    }

    /// One left.
    #[inline]
    pub(crate) const fn untracked(&mut self) {
        self.row = self.row.saturating_add(1);
    }

    /// One leaves tracked. It comes after the untracked ones at its consumer, so when it is over they are: how many that is.
    #[inline]
    pub(crate) const fn tracked(&mut self) -> u8 {
        std::mem::replace(&mut self.row, 0)
    }

    pub(crate) const fn get(&self) -> u32 {
        self.current
    }

    /// A delivery had to wait for credit of a consumer.
    pub(crate) const fn waited(&mut self) {
        self.waited = true;
    }

    /// Content came.
    #[inline]
    pub(crate) const fn arrived(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u32);
    }

    /// A number of deliveries gave their credit back.
    #[inline]
    pub(crate) const fn passed(&mut self, count: u32) {
        self.passed = self.passed.saturating_add(count);
    }

    /// Before a grant: adapts.
    pub(crate) fn adapt(&mut self) {
        if self.exact || self.passed < self.current {
            return;
        }
        let most = (MOST_BYTES / (self.bytes / self.passed).max(1)).clamp(LEAST, CAP);
        (self.passed, self.bytes) = (0, 0);
        self.change();
        self.current = self.current.min(most);
    }

    fn change(&mut self) {
        let waited = std::mem::take(&mut self.waited);
        if std::mem::take(&mut self.shrunk) {
            return;
        }
        if waited {
            self.shrunk = self.current > START;
            let less = if self.patience == 0 { self.current / 2 } else { self.current / 4 };
            self.current = (self.current - less).max(START);
            self.patience = (self.patience * 2 + 1).min(PATIENCE);
            (self.rest, self.trial) = (self.patience, 0);
            return;
        }
        if self.trial > 0 {
            self.trial -= 1;
            if self.trial == 0 {
                self.patience /= 2;
                self.rest = self.patience;
            }
        }
        if self.rest > 0 {
            self.rest -= 1;
        } else if self.trial == 0 && self.current < CAP {
            let (more, trial) = if self.patience == 0 { (self.current, 0) } else { (self.current / 3, TRIAL) };
            (self.current, self.trial) = ((self.current + more).min(CAP), trial);
        }
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
            (0..expected).for_each(|_| capacity.passed(1));
            capacity.adapt();
        }
        capacity.waited();
        capacity.adapt();
        assert_eq!(capacity.get(), 4000);
        (0..4000).for_each(|_| capacity.passed(1));
        capacity.adapt();
        assert_eq!(capacity.get(), 2000);
    }

    /// Rounds of deliveries, of which those above `limit` wait. Answers in how many rounds some did.
    fn waits(capacity: &mut Capacity, rounds: u32, limit: u32) -> u32 {
        let mut waits = 0;
        for _ in 0..rounds {
            if capacity.get() > limit {
                capacity.waited();
                waits += 1;
            }
            (0..capacity.get()).for_each(|_| capacity.passed(1));
            capacity.adapt();
        }
        waits
    }

    #[test]
    fn what_was_too_much_is_tried_less_and_less_often() {
        let mut capacity = Capacity::new(None);
        assert!(waits(&mut capacity, 1000, 1000) <= 22);
        assert!((1..=2).contains(&waits(&mut capacity, 200, 1000)), "it is tried again, though");
        assert_eq!(waits(&mut capacity, 400, 4000), 0);
        assert_eq!(capacity.get(), 4000);
    }

    #[test]
    fn late_news_and_luck_change_little() {
        let mut capacity = Capacity::new(None);
        let (mut waits, mut late) = (0, false);
        for round in 0..4000 {
            if std::mem::take(&mut late) {
                capacity.waited();
            }
            // Half of the credit always passes, all of it sometimes, more never.
            late = capacity.get() > 1000 || capacity.get() > 500 && round % 3 > 0;
            waits += u32::from(late);
            (0..capacity.get()).for_each(|_| capacity.passed(1));
            capacity.adapt();
        }
        assert!(waits < 160, "{waits}");
        assert!(capacity.get() >= 250);
    }

    #[test]
    fn large_deliveries_get_less_of_it() {
        let mut capacity = Capacity::new(None);
        for (size, expected) in [(16_384, 256), (65_536, 64), (10_000_000, 16), (100, 32), (100, 64)] {
            for _ in 0..capacity.get() {
                capacity.arrived(size);
                capacity.passed(1);
            }
            capacity.adapt();
            assert_eq!(capacity.get(), expected);
        }
    }

    #[test]
    fn a_set_capacity_is_exact() {
        let mut capacity = Capacity::new(Some(10));
        (0..100).for_each(|_| capacity.passed(1));
        capacity.adapt();
        assert_eq!(capacity.get(), 10);
    }
}
