use std::collections::VecDeque;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{FIRST, LARGEST, ReceiveWindow, SAY_EVERY, SendWindow};

/// A way of some length and a reader of some speed: sends as much as the window allows for a while. Answers the bytes that were passed on.
fn transfer(window: &mut SendWindow, one_way: Duration, rate: u64, time: Duration) -> u64 {
    const READ: u64 = 64 * 1024;
    let start = Instant::now();
    let mut now = start;
    let tick = Duration::from_micros(200);
    let mut receiver = ReceiveWindow::default();
    let (mut there, mut back) = (VecDeque::new(), VecDeque::new());
    let (mut waiting, mut passed) = (0_u64, 0);
    while now < start + time {
        for _ in 0..16 {
            if !window.is_open() {
                break;
            }
            window.sent(READ as usize, || now);
            there.push_back((now + one_way, READ));
        }
        while there.front().is_some_and(|(at, _)| *at <= now) {
            waiting += there.pop_front().unwrap().1;
        }
        let read = waiting.min(rate * tick.as_micros() as u64 / 1_000_000);
        waiting -= read;
        passed += read;
        if let Some(total) = receiver.passed(read as usize) {
            back.push_back((now + one_way, total));
        }
        while back.front().is_some_and(|(at, _)| *at <= now) {
            window.acknowledged(back.pop_front().unwrap().1, || now);
        }
        now += tick;
    }
    passed
}

#[test]
fn toward_the_reference_the_window_stays_what_it_is() {
    let mut window = SendWindow::new();
    transfer(&mut window, Duration::from_millis(50), 1_000_000_000, Duration::from_secs(3));
    assert_eq!(window.size(), FIRST);
}

#[test]
fn a_long_way_gets_a_window_that_fills_it() {
    let mut window = SendWindow::new();
    window.allow(LARGEST);
    // 80 MB/s at a round trip of 100 ms are 8 MB on the way.
    let passed = transfer(&mut window, Duration::from_millis(50), 80_000_000, Duration::from_secs(5));
    assert!(window.size() > 8_000_000, "{}", window.size());
    assert!(passed > 330_000_000, "{passed}");
}

#[test]
fn a_slow_reader_gets_no_larger_window_than_a_fast_one_needs() {
    let mut window = SendWindow::new();
    window.allow(LARGEST);
    transfer(&mut window, Duration::from_millis(1), 500_000_000, Duration::from_millis(50));
    let fast = window.size();
    transfer(&mut window, Duration::from_millis(1), 1_000_000, Duration::from_secs(10));
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
