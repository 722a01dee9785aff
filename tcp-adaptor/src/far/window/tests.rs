use std::collections::VecDeque;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{FIRST, LARGEST, ReceiveWindow, SAY_EVERY, SendWindow};

/// A way of some length to a reader, and what is on it.
struct Way {
    now: Instant,
    one_way: Duration,
    receiver: ReceiveWindow,
    there: VecDeque<(Instant, u64)>,
    back: VecDeque<(Instant, u64)>,
    waiting: u64,
}

impl Way {
    fn new(one_way: Duration) -> Self {
        let (there, back) = Default::default();
        Self { now: Instant::now(), one_way, receiver: ReceiveWindow::default(), there, back, waiting: 0 }
    }

    /// Sends as much as the window allows for a while, to a reader of some speed. Answers the bytes that were passed on.
    fn transfer(&mut self, window: &mut SendWindow, rate: u64, time: Duration) -> u64 {
        const READ: u64 = 64 * 1024;
        const TICK: Duration = Duration::from_micros(200);
        let (end, mut passed) = (self.now + time, 0);
        while self.now < end {
            let now = self.now;
            for _ in 0..16 {
                if !window.is_open() {
                    break;
                }
                window.sent(READ as usize, || now);
                self.there.push_back((now + self.one_way, READ));
            }
            while self.there.front().is_some_and(|(at, _)| *at <= now) {
                self.waiting += self.there.pop_front().unwrap().1;
            }
            let read = self.waiting.min(rate * TICK.as_micros() as u64 / 1_000_000);
            self.waiting -= read;
            passed += read;
            if let Some(total) = self.receiver.passed(read as usize) {
                self.back.push_back((now + self.one_way, total));
            }
            while self.back.front().is_some_and(|(at, _)| *at <= now) {
                window.acknowledged(self.back.pop_front().unwrap().1, || now);
            }
            self.now += TICK;
        }
        passed
    }
}

#[test]
fn toward_the_reference_the_window_stays_what_it_is() {
    let mut window = SendWindow::new();
    Way::new(Duration::from_millis(50)).transfer(&mut window, 1_000_000_000, Duration::from_secs(3));
    assert_eq!(window.size(), FIRST);
}

#[test]
fn a_long_way_gets_a_window_that_fills_it() {
    let mut window = SendWindow::new();
    window.allow(LARGEST);
    // 1 GB/s at a round trip of 100 ms are 100 MB on the way, of which 1.5 GB could have gone in a second and a half.
    let passed = Way::new(Duration::from_millis(50)).transfer(&mut window, 1_000_000_000, Duration::from_millis(1500));
    assert!(window.size() > 100_000_000, "{}", window.size());
    assert!(passed > 750_000_000, "{passed}");
}

#[test]
fn the_receiver_says_how_far_a_window_grows() {
    let mut window = SendWindow::new();
    window.allow(20_000_000);
    Way::new(Duration::from_millis(50)).transfer(&mut window, 1_000_000_000, Duration::from_secs(2));
    assert_eq!(window.size(), 20_000_000);
    window.allow(5_000_000);
    assert_eq!(window.size(), 5_000_000);
    window.allow(0);
    assert_eq!(window.size(), FIRST);
}

#[test]
fn a_reader_that_gets_slow_gets_a_smaller_window() {
    let (mut window, mut way) = (SendWindow::new(), Way::new(Duration::from_millis(50)));
    window.allow(LARGEST);
    way.transfer(&mut window, 1_000_000_000, Duration::from_secs(2));
    assert!(window.size() > 100_000_000, "{}", window.size());
    way.transfer(&mut window, 10_000_000, Duration::from_secs(10));
    assert!(window.size() <= 8_000_000, "{}", window.size());
}

#[test]
fn a_slow_reader_gets_no_larger_window_than_a_fast_one_needs() {
    let (mut window, mut way) = (SendWindow::new(), Way::new(Duration::from_millis(1)));
    window.allow(LARGEST);
    way.transfer(&mut window, 500_000_000, Duration::from_millis(50));
    let fast = window.size();
    way.transfer(&mut window, 1_000_000, Duration::from_secs(10));
    assert_eq!(window.size(), fast);
    assert!(fast <= 3 * FIRST, "{fast}");
}

#[test]
fn a_window_is_shut_until_the_receiver_speaks() {
    let mut window = SendWindow::new();
    let now = Instant::now();
    window.sent(FIRST as usize - 1, || now);
    assert!(window.is_open());
    window.sent(1, || now);
    assert!(!window.is_open());
    window.acknowledged(FIRST + 1, || now);
    assert!(!window.is_open(), "more than was sent");
    window.acknowledged(1, || now);
    assert!(window.is_open());
}

proptest! {
    /// Whatever a peer says, no more is on its way than the window, and the window stays within its bounds.
    #[test]
    fn windows_stay_within_their_bounds(steps in proptest::collection::vec((any::<bool>(), 0..2_000_000_u64, 0..100_u64), 0..200), most: u32) {
        let mut window = SendWindow::new();
        window.allow(u64::from(most));
        let (mut now, mut sent) = (Instant::now(), 0);
        for (send, n, wait) in steps {
            now += Duration::from_millis(wait);
            if send {
                if window.is_open() {
                    window.sent(n as usize, || now);
                    sent += n;
                }
            } else {
                window.acknowledged(n * 7, || now);
            }
            prop_assert!(window.size() >= FIRST && window.size() <= LARGEST);
            prop_assert!(window.acked <= sent && window.sent == sent);
        }
    }

    /// Two of these never stop: what the receiver leaves unsaid is less than any window.
    #[test]
    fn the_receiver_speaks_in_time(parts in proptest::collection::vec(1..300_000_usize, 1..100)) {
        let mut receiver = ReceiveWindow::default();
        let (mut passed, mut said) = (0, 0);
        for part in parts {
            passed += part as u64;
            said = receiver.passed(part).unwrap_or(said);
            prop_assert!(said <= passed && passed - said < SAY_EVERY);
        }
    }
}
