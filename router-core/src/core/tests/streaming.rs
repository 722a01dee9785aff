use std::time::Duration;

use super::world::*;
use crate::egress::{DeliveryState, End};

fn body(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i / 3) as u8).collect()
}

#[test]
fn a_delivery_is_forwarded_while_it_arrives() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        let r = w.receiver(workers - 1, "a", 10);
        let s = w.sender(0, "a");
        let all = body(10_000);
        let id = w.begin(s, &all, false, false, 4000);
        assert_eq!(w.outlet(r).received[0].bytes.len(), 4000);
        assert_eq!(w.inlet(s).held, 0);
        w.part(s, 4000);
        assert_eq!(w.outlet(r).received[0].bytes.len(), 8000);
        w.part(s, 4000);
        assert!(w.bodies(r) == [all]);
        w.accept(r, 0);
        assert_eq!(w.told(s, id), Some(DeliveryState::Accepted));
        w.assert_empty();
    }
}

#[test]
fn what_a_consumer_does_not_take_is_held() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        let r = w.receiver(workers - 1, "a", 10);
        w.room(r, 5000);
        let s = w.sender(0, "a");
        let all = body(20_000);
        w.begin(s, &all, false, false, 4000);
        for _ in 0..3 {
            w.part(s, 4000);
        }
        assert!(w.inlet(s).held >= 11_000, "{}", w.inlet(s).held);
        w.room(r, 1000);
        w.room(r, 20_000);
        assert_eq!(w.inlet(s).held, 0);
        w.part(s, 4000);
        assert!(w.bodies(r) == [all]);
        w.assert_empty();
    }
}

#[test]
fn another_sender_is_not_held_up() {
    let mut w = World::new(1);
    let (stalled, other) = (w.receiver(0, "a", 1), w.receiver(0, "b", 10));
    w.room(stalled, 10);
    let (one, two) = (w.sender(0, "a"), w.sender(0, "b"));
    w.begin(one, &body(1000), false, false, 900);
    assert!(w.inlet(one).held > 0);
    w.send(two, b"x", true);
    assert_eq!((w.count(other), w.inlet(two).held), (1, 0));
}

#[test]
fn the_next_delivery_follows_the_end_of_a_long_one() {
    let mut w = World::new(1);
    let r = w.receiver(0, "a", 10);
    let (one, two) = (w.sender(0, "a"), w.sender(0, "a"));
    w.begin(one, &body(100), true, false, 50);
    w.send(two, b"x", true);
    assert_eq!(w.count(r), 0);
    w.part(one, 50);
    assert!(w.bodies(r) == [body(100), b"x".to_vec()]);
}

#[test]
fn an_abort_is_passed_on() {
    for workers in [1, 2] {
        for room in [FULL, 10] {
            let mut w = World::new(workers);
            let r = w.receiver(workers - 1, "a", 10);
            w.room(r, room);
            let s = w.sender(0, "a");
            w.begin(s, &body(100), false, false, 50);
            w.abort(s);
            w.room(r, FULL);
            assert_eq!(w.outlet(r).received[0].end, End::Aborted);
            assert_eq!(w.inlet(s).held, 0);
            w.send(s, b"next", true);
            assert!(w.bodies(r) == [b"next"]);
            w.assert_empty();
        }
    }
}

#[test]
fn an_abort_of_what_waits_leaves_nothing() {
    let mut w = World::new(1);
    let r = w.receiver(0, "a", 0);
    let s = w.sender(0, "a");
    for _ in 0..1000 {
        w.begin(s, &body(100), false, false, 50);
        w.abort(s);
    }
    w.send(s, b"x", true);
    w.credit(r, 10, false);
    assert!(w.bodies(r) == [b"x"]);
    assert_eq!(w.outlet(r).received.len(), 1);
    w.assert_empty();
}

#[test]
fn a_lost_sender_aborts_what_it_had_begun() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        let r = w.receiver(workers - 1, "a", 10);
        let s = w.sender(0, "a");
        w.begin(s, &body(100), false, false, 50);
        w.detach_sender(s);
        assert_eq!(w.outlet(r).received[0].end, End::Aborted);
        assert!(w.cores.iter().all(|c| c.counters().deliveries_held == 0));
        w.assert_empty();
    }
}

#[test]
fn a_complete_delivery_outlives_its_sender() {
    let mut w = World::new(1);
    let r = w.receiver(0, "a", 0);
    let s = w.sender(0, "a");
    w.send(s, b"settled", true);
    w.send(s, b"unsettled", false);
    w.begin(s, b"incomplete", false, false, 3);
    w.detach_sender(s);
    w.credit(r, 10, false);
    assert!(w.bodies(r) == [b"settled".to_vec(), b"unsettled".to_vec()]);
    w.accept_all(r);
    w.assert_empty();
}

#[test]
fn orphans_have_a_limit() {
    let mut w = World::with(1, |c| c.orphans = 10_000);
    let r = w.receiver(0, "a", 0);
    for n in 0..100u8 {
        let s = w.sender(0, "a");
        w.send(s, &[n; 1000], n % 2 == 0);
        w.detach_sender(s);
    }
    assert!(w.cores[0].counters().bytes_held <= 10_000);
    w.credit(r, 100, false);
    assert!((5..10).contains(&w.count(r)), "{}", w.count(r));
    w.accept_all(r);
    w.assert_empty();
}

#[test]
fn a_lost_receiver_modifies_what_was_begun() {
    for workers in [1, 2] {
        for settled in [false, true] {
            let mut w = World::new(workers);
            let r = w.receiver(workers - 1, "a", 10);
            let other = w.receiver(workers - 1, "a", 0);
            let s = w.sender(0, "a");
            let id = w.begin(s, &body(100), settled, false, 50);
            w.detach_receiver(r);
            assert_eq!(w.told(s, id), (!settled).then(|| DeliveryState::modified(true, false)));
            w.part(s, 50);
            w.credit(other, 10, false);
            assert_eq!(w.count(other), 0, "the rest of it goes nowhere");
            w.send(s, b"next", true);
            assert_eq!(w.count(other), 1);
            w.assert_empty();
        }
    }
}

#[test]
fn what_was_not_begun_goes_to_another() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        let r = w.receiver(workers - 1, "a", 10);
        w.room(r, 0);
        let s = w.sender(0, "a");
        let id = w.send(s, b"whole", false);
        let settled = w.send(s, b"settled", true);
        let long = w.begin(s, &body(100), false, false, 50);
        let other = w.receiver(workers - 1, "a", 0);
        w.detach_receiver(r);
        w.part(s, 50);
        w.credit(other, 10, false);
        assert!(w.bodies(other) == [b"whole".to_vec(), b"settled".to_vec(), body(100)], "{workers}");
        w.accept_all(other);
        assert_eq!(w.told(s, id), Some(DeliveryState::Accepted));
        assert_eq!(w.told(s, long), Some(DeliveryState::Accepted));
        assert_eq!(w.told(s, settled), None);
        w.assert_empty();
    }
}

#[test]
fn a_receiver_may_settle_before_the_end() {
    let mut w = World::new(1);
    let r = w.receiver(0, "a", 10);
    let s = w.sender(0, "a");
    let id = w.begin(s, &body(100), false, false, 50);
    w.outcome(r, 0, Some(DeliveryState::rejected(None)), true);
    assert_eq!(w.told(s, id), Some(DeliveryState::rejected(None)));
    w.part(s, 50);
    assert_eq!(w.count(r), 1);
    w.assert_empty();
}

#[test]
fn a_sender_that_stalls_is_cut_off() {
    let mut w = World::with(1, |c| c.stall_limit = Duration::from_secs(40));
    assert_eq!(w.cores[0].poll_timeout(), None);
    let r = w.receiver(0, "a", 10);
    let s = w.sender(0, "a");
    w.begin(s, &body(100), false, false, 10);
    for _ in 0..5 {
        assert!(w.cores[0].poll_timeout().is_some());
        w.tick(Duration::from_secs(10));
        w.part(s, 10);
    }
    for _ in 0..4 {
        assert!(w.inlet(s).attached);
        w.tick(Duration::from_secs(10));
    }
    assert!(w.inlet(s).attached);
    w.tick(Duration::from_secs(10));
    assert!(w.inlet(s).detached_by_router.is_some());
    assert_eq!(w.outlet(r).received[0].end, End::Aborted);
    assert_eq!(w.cores[0].counters().stalled, 1);
    assert_eq!(w.cores[0].poll_timeout(), None);
    w.assert_empty();
}

#[test]
fn a_sender_is_not_blamed_for_a_slow_consumer() {
    let mut w = World::with(1, |c| c.stall_limit = Duration::from_secs(40));
    let r = w.receiver(0, "a", 10);
    w.room(r, 5);
    let s = w.sender(0, "a");
    w.begin(s, &body(100), false, false, 10);
    for _ in 0..20 {
        w.tick(Duration::from_secs(10));
    }
    assert!(w.inlet(s).attached);
}
