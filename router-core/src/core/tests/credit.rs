use std::time::Duration;

use super::world::*;
use crate::{ConnInfo, Terminus};

#[test]
fn credit_comes_with_a_consumer() {
    let mut w = World::new(1);
    let s = w.sender(0, "a");
    assert_eq!(w.inlet(s).credit, 0);
    let r = w.receiver(0, "a", 0);
    assert_eq!(w.inlet(s).credit, 250);
    w.detach_receiver(r);
    assert!(w.inlet(s).draining);
    w.answer_drain(s);
    assert_eq!(w.inlet(s).credit, 0);
    w.receiver(0, "a", 0);
    assert_eq!(w.inlet(s).credit, 250);
}

#[test]
fn a_drain_that_nobody_answers_is_taken_back() {
    let mut w = World::new(1);
    let s = w.sender(0, "a");
    let r = w.receiver(0, "a", 0);
    w.detach_receiver(r);
    let id = w.send(s, b"too late", false);
    assert_eq!(w.told(s, id), Some(crate::egress::DeliveryState::Released));
    assert_eq!(w.inlet(s).credit, 249);
    w.receiver(0, "a", 0);
    assert!(!w.inlet(s).draining);
    assert_eq!(w.inlet(s).credit, 250);
    assert_eq!(w.inlet(s).grants, [250, 1]);
}

#[test]
fn grants_are_collected() {
    let mut w = World::new(1);
    let r = w.receiver(0, "a", 10_000);
    let conn = w.conn_with(0, &ConnInfo { link_capacity: Some(100), ..ConnInfo::default() });
    let s = w.attach_sender(0, conn, Terminus::Address("a")).unwrap();
    for n in 0..100u8 {
        w.send(s, &[n], n % 2 == 0);
        w.accept_all(r);
    }
    assert_eq!(w.inlet(s).grants, [100, 25, 25, 25, 25]);
    assert_eq!(w.inlet(s).credit, 100);
}

/// Some clients send one delivery whenever they hear of credit. They need not wait until a quarter of it is used.
#[test]
fn a_sender_that_fell_silent_hears_of_credit() {
    let mut w = World::new(1);
    let r = w.receiver(0, "a", 10_000);
    let conn = w.conn_with(0, &ConnInfo { link_capacity: Some(100), ..ConnInfo::default() });
    let s = w.attach_sender(0, conn, Terminus::Address("a")).unwrap();
    let tick = |w: &mut World| w.tick(Duration::from_millis(500));
    (0..3).for_each(|_| tick(&mut w));
    assert_eq!(w.inlet(s).grants, [100], "it has all that it may have");
    for settled in [true, false] {
        w.send(s, b"one", settled);
        tick(&mut w);
    }
    assert_eq!(w.inlet(s).grants, [100], "it is not silent");
    tick(&mut w);
    assert_eq!(w.inlet(s).grants, [100], "one is under way");
    w.accept_all(r);
    tick(&mut w);
    assert_eq!(w.inlet(s).grants, [100, 2]);
    // From now on at once.
    w.send(s, b"two", true);
    assert_eq!(w.inlet(s).grants, [100, 2, 1]);
    w.send(s, b"two", false);
    w.accept_all(r);
    assert_eq!(w.inlet(s).grants, [100, 2, 1, 1]);
    // One that sends many is not told of each any more.
    let ids: Vec<u32> = (0..30).map(|_| w.send(s, b"many", false)).collect();
    assert_eq!(w.inlet(s).grants.len(), 4);
    ids.into_iter().for_each(|_| w.accept_all(r));
    let granted = w.inlet(s).grants.len();
    w.send(s, b"three", true);
    assert_eq!(w.inlet(s).grants.len(), granted);
}

#[test]
fn credit_of_unsettled_deliveries_comes_back_when_they_are_settled() {
    let mut w = World::new(1);
    let r = w.receiver(0, "a", 1000);
    let conn = w.conn_with(0, &ConnInfo { link_capacity: Some(4), ..ConnInfo::default() });
    let s = w.attach_sender(0, conn, Terminus::Address("a")).unwrap();
    for n in 0..4u8 {
        w.send(s, &[n], false);
    }
    assert_eq!(w.inlet(s).credit, 0);
    w.accept(r, 2);
    assert_eq!(w.inlet(s).credit, 1);
    w.accept_all(r);
    assert_eq!(w.inlet(s).credit, 4);
}

#[test]
fn presettled_traffic_is_pushed_back_and_never_lost() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        let r = w.receiver(workers - 1, "a", 0);
        let s = w.sender(0, "a");
        let mut sent = 0u32;
        for round in 0..50 {
            while w.inlet(s).credit > 0 {
                w.send(s, &sent.to_be_bytes(), true);
                sent += 1;
            }
            w.credit(r, 1 + round * 7 % 40, false);
        }
        assert!(sent < 250 + 50 * 40, "the sender was not held back");
        for _ in 0..20 {
            w.credit(r, 1000, false);
        }
        let got = w.bodies(r);
        assert!(got == (0..sent).map(|n| n.to_be_bytes().to_vec()).collect::<Vec<_>>());
        assert!(w.cores.iter().all(|c| c.counters().dropped_presettled == 0));
        w.assert_empty();
    }
}

#[test]
fn capacity_follows_the_rate() {
    let mut w = World::new(1);
    w.receiver(0, "a", 1_000_000);
    let s = w.sender(0, "a");
    for _ in 0..20_000 {
        w.send(s, b"x", true);
    }
    let (issued, open, capacity) = w.cores[0].issued(w.inlet(s).key);
    assert_eq!((open, capacity), (0, 4000));
    assert!(issued > 3000);
}

#[test]
fn a_drain_is_answered() {
    let mut w = World::new(1);
    let r = w.receiver(0, "a", 0);
    let s = w.sender(0, "a");
    w.send(s, b"1", true);
    w.send(s, b"2", true);
    w.credit(r, 5, true);
    assert_eq!((w.count(r), w.outlet(r).drained, w.outlet(r).credit), (2, 1, 0));
    w.send(s, b"3", true);
    assert_eq!(w.count(r), 2);
    w.credit(r, 1, true);
    assert_eq!((w.count(r), w.outlet(r).drained), (3, 2));
    w.credit(r, 1, false);
    w.send(s, b"4", true);
    assert_eq!((w.count(r), w.outlet(r).drained), (4, 2));
}

#[test]
fn a_drain_waits_for_what_a_window_holds_up() {
    let mut w = World::new(1);
    let r = w.receiver(0, "a", 0);
    w.room(r, 0);
    let s = w.sender(0, "a");
    w.send(s, b"1", true);
    w.credit(r, 5, true);
    assert_eq!(w.outlet(r).drained, 0);
    w.room(r, FULL);
    assert_eq!((w.count(r), w.outlet(r).drained), (1, 1));
}
