use super::{forwarding::message, world::*};
use crate::egress::{DeliveryState, End, Error};

fn body(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i / 7) as u8).collect()
}

#[test]
fn everybody_gets_a_copy() {
    for workers in [1, 3] {
        let mut w = World::new(workers);
        let receivers: Vec<_> = (0..6).map(|n| w.receiver(n % workers, "multi/a", 10)).collect();
        let s = w.sender(0, "multi/a");
        w.send(s, b"settled", true);
        let id = w.send(s, b"unsettled", false);
        for r in &receivers {
            assert!(w.bodies(*r) == [b"settled".to_vec(), b"unsettled".to_vec()]);
            assert_eq!(w.told(s, id), None);
            w.accept_all(*r);
        }
        assert_eq!(w.told(s, id), Some(DeliveryState::Accepted));
        let c = w.cores[0].counters();
        assert_eq!((c.deliveries_in, c.accepted), (2, 1));
        w.assert_empty();
    }
}

#[test]
fn the_worst_outcome_wins() {
    let rejected = DeliveryState::rejected(Some(&Error::new("amqp:internal-error", "no")));
    let modified = DeliveryState::modified(true, true);
    let (accepted, released) = (DeliveryState::Accepted, DeliveryState::Released);
    let cases = [
        ([&released, &released], &released),
        ([&modified, &released], &modified),
        ([&accepted, &modified], &accepted),
        ([&released, &accepted], &accepted),
        ([&rejected, &accepted], &rejected),
        ([&accepted, &rejected], &rejected),
    ];
    for (told, expected) in cases {
        for workers in [1, 2] {
            for settled in [true, false] {
                let mut w = World::new(workers);
                let receivers = [w.receiver(0, "multi/a", 10), w.receiver(workers - 1, "multi/a", 10)];
                let s = w.sender(0, "multi/a");
                let id = w.send(s, b"x", false);
                w.outcome(
                    receivers[0],
                    0,
                    Some(DeliveryState::Received { section_number: 0, section_offset: 0 }),
                    false,
                );
                for (r, state) in receivers.iter().zip(told) {
                    w.outcome(*r, 0, Some(state.clone()), settled);
                    assert!(w.outlet(*r).received[0].settled);
                }
                assert_eq!(w.told(s, id).as_ref(), Some(expected));
                w.assert_empty();
            }
        }
    }
}

#[test]
fn nobody_there_means_released() {
    let mut w = World::new(1);
    let s = w.sender(0, "");
    let id = w.send(s, &message(Some("multi/a"), None), false);
    assert_eq!(w.told(s, id), Some(DeliveryState::Released));
}

#[test]
fn a_slow_consumer_misses_presettled_copies() {
    for workers in [1, 2] {
        let mut w = World::with(workers, |c| c.multicast_queue = 10);
        let fast = w.receiver(0, "multi/a", 1_000_000);
        let slow = w.receiver(workers - 1, "multi/a", 0);
        let s = w.sender(0, "multi/a");
        for n in 0..1000u32 {
            w.send(s, &n.to_be_bytes(), true);
        }
        assert_eq!(w.count(fast), 1000);
        w.credit(slow, 100, false);
        let got = w.bodies(slow);
        assert_eq!(got.len(), 10);
        assert!(got[0] == 0u32.to_be_bytes() && got[9] == 999u32.to_be_bytes(), "the head and the newest stay");
        assert_eq!(w.cores[workers - 1].counters().dropped_presettled, 990);
        w.assert_empty();
    }
}

#[test]
fn unsettled_copies_are_never_dropped() {
    let mut w = World::with(1, |c| c.multicast_queue = 10);
    let fast = w.receiver(0, "multi/a", 1000);
    let slow = w.receiver(0, "multi/a", 0);
    let s = w.sender(0, "multi/a");
    let mut sent = 0u8;
    while w.inlet(s).credit > 0 {
        w.send(s, &[sent], false);
        w.accept_all(fast);
        sent += 1;
    }
    assert_eq!(sent, 250, "the slow one holds the sender back");
    w.credit(slow, 250, false);
    assert_eq!(w.count(slow), 250);
    w.accept_all(slow);
    w.assert_empty();
}

#[test]
fn copies_share_what_a_slow_reader_has_not_read() {
    let mut w = World::new(1);
    let fast = w.receiver(0, "multi/a", 10);
    let slow: Vec<_> = (0..5).map(|_| w.receiver(0, "multi/a", 10)).collect();
    slow.iter().for_each(|r| w.room(*r, 100));
    let s = w.sender(0, "multi/a");
    let id = w.begin(s, &body(10_000), false, false, 4000);
    w.part(s, 4000);
    assert_eq!(w.outlet(fast).received[0].bytes.len(), 8000);
    let held = w.inlet(s).held;
    assert!((8000..9000).contains(&held), "{held}");
    w.part(s, 4000);
    for r in &slow {
        w.room(*r, FULL);
        assert!(w.bodies(*r) == [body(10_000)]);
    }
    assert_eq!(w.inlet(s).held, 0);
    w.accept(fast, 0);
    slow.iter().for_each(|r| w.accept(*r, 0));
    assert_eq!(w.told(s, id), Some(DeliveryState::Accepted));
    w.assert_empty();
}

#[test]
fn the_slowest_reader_is_left_behind() {
    let mut w = World::with(1, |c| c.multicast_lag = 10_000);
    let fast = w.receiver(0, "multi/a", 10);
    let slow = w.receiver(0, "multi/a", 10);
    let idle = w.receiver(0, "multi/a", 0);
    w.room(slow, 100);
    let s = w.sender(0, "multi/a");
    let id = w.begin(s, &body(50_000), false, false, 4000);
    for _ in 0..12 {
        w.part(s, 4000);
        assert!(w.inlet(s).held <= 10_000 + 5000);
    }
    assert!(w.bodies(fast) == [body(50_000)]);
    w.room(slow, FULL);
    assert_eq!(w.outlet(slow).received[0].end, End::Aborted);
    w.credit(idle, 10, false);
    assert_eq!(w.outlet(idle).received.len(), 0);
    w.accept(fast, 0);
    assert_eq!(w.told(s, id), Some(DeliveryState::Accepted));
    w.assert_empty();
}

#[test]
fn when_all_are_slow_the_sender_waits() {
    let mut w = World::with(1, |c| c.multicast_lag = 10_000);
    let receivers = [w.receiver(0, "multi/a", 10), w.receiver(0, "multi/a", 0)];
    w.room(receivers[0], 10);
    let s = w.sender(0, "multi/a");
    w.begin(s, &body(50_000), false, false, 4000);
    for _ in 0..11 {
        w.part(s, 4000);
    }
    // It is the session's window that holds the sender back.
    assert!(w.inlet(s).held >= 48_000);
    w.credit(receivers[1], 1, false);
    w.room(receivers[0], FULL);
    w.part(s, 4000);
    receivers.iter().for_each(|r| assert!(w.bodies(*r) == [body(50_000)]));
    w.assert_empty();
}

#[test]
fn a_slow_reader_elsewhere_gets_all() {
    let mut w = World::with(2, |c| c.multicast_lag = 3000);
    let near = w.receiver(1, "multi/a", 0);
    let far = w.receiver(0, "multi/a", 0);
    let s = w.sender(1, "multi/a");
    let id = w.begin(s, &body(3300), false, false, 1650);
    w.part(s, 1100);
    w.part(s, 550);
    w.credit(far, 10, false);
    w.credit(near, 10, false);
    assert!(w.bodies(far) == [body(3300)]);
    w.accept(far, 0);
    w.accept_all(near);
    assert_eq!(w.told(s, id), Some(DeliveryState::Accepted));
    w.assert_empty();
}

#[test]
fn aborts_and_losses_reach_every_copy() {
    for workers in [1, 2] {
        for lost in [true, false] {
            let mut w = World::new(workers);
            let begun = w.receiver(0, "multi/a", 10);
            let far = w.receiver(workers - 1, "multi/a", 10);
            let queued = w.receiver(0, "multi/a", 0);
            let s = w.sender(0, "multi/a");
            w.begin(s, &body(100), false, false, 50);
            if lost {
                w.detach_sender(s);
            } else {
                w.abort(s);
            }
            for r in [begun, far] {
                assert_eq!(w.outlet(r).received[0].end, End::Aborted);
            }
            w.credit(queued, 10, false);
            assert_eq!(w.outlet(queued).received.len(), 0);
            assert!(w.cores.iter().all(|c| c.counters().deliveries_held == 0));
            w.assert_empty();
        }
    }
}

#[test]
fn a_lost_consumer_does_not_hold_up_the_outcome() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        let stays = w.receiver(0, "multi/a", 10);
        let leaves = w.receiver(workers - 1, "multi/a", 10);
        let queued = w.receiver(workers - 1, "multi/a", 0);
        let s = w.sender(0, "multi/a");
        let id = w.send(s, b"x", false);
        let long = w.begin(s, &body(100), false, false, 50);
        w.detach_receiver(leaves);
        w.detach_receiver(queued);
        w.part(s, 50);
        w.accept_all(stays);
        assert_eq!((w.told(s, id), w.told(s, long)), (Some(DeliveryState::Accepted), Some(DeliveryState::Accepted)));
        w.assert_empty();
    }
}

#[test]
fn the_last_consumer_leaves_in_the_middle() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        let r = w.receiver(workers - 1, "multi/a", 10);
        let s = w.sender(0, "multi/a");
        let id = w.begin(s, &body(100), false, false, 50);
        w.detach_receiver(r);
        assert_eq!(w.told(s, id), Some(DeliveryState::modified(true, false)));
        w.part(s, 50);
        assert!(w.cores.iter().all(|c| c.counters().deliveries_held == 0));
        w.assert_empty();
    }
}
