use super::world::*;
use crate::egress::DeliveryState;

#[test]
fn with_ample_credit_the_split_between_workers_is_exact() {
    for workers in [2, 4] {
        for (address, settled) in [("a", true), ("a", false), ("close/a", true)] {
            let mut w = World::new(workers);
            let receivers: Vec<_> = (0..4).map(|n| w.receiver(n % workers, address, 1000)).collect();
            let s = w.sender(0, address);
            for n in 0..200u8 {
                w.send(s, &[n], settled);
            }
            let counts: Vec<_> = receivers.iter().map(|r| w.count(*r)).collect();
            assert_eq!(counts, [50; 4], "{workers} {address} {settled}");
            w.assert_empty();
        }
    }
}

#[test]
fn little_credit_is_lent_on_request() {
    let mut w = World::new(2);
    let r = w.receiver(1, "a", 3);
    let s = w.sender(0, "a");
    assert_eq!(w.cores[0].remotes.iter().map(|(_, r)| r.lent).sum::<u32>(), 0, "nothing is lent in advance");
    for n in 0..5u8 {
        w.send(s, &[n], true);
    }
    assert_eq!(w.count(r), 3);
    w.credit(r, 1, false);
    assert_eq!(w.count(r), 4);
    w.credit(r, 10, false);
    assert_eq!(w.bodies(r), [[0], [1], [2], [3], [4]]);
    w.assert_empty();
}

/// What was begun or lent goes on over a link that others took the place of, and nothing else comes to it, from whichever worker.
#[test]
fn a_link_that_was_replaced_finishes_what_it_has() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        let old = w.receiver(0, "a", 100);
        let senders: Vec<_> = (0..workers).map(|worker| w.sender(worker, "a")).collect();
        for s in &senders {
            w.send(*s, b"settled later", false);
            w.begin(*s, &[7; 3000], false, false, 1000);
        }
        let new = w.receiver(workers - 1, "a", 100);
        w.retire_receiver(old);
        let begun = w.outlet(old).received.len();
        for s in &senders {
            w.send_rest(*s);
            for n in 0..20 {
                w.send(*s, &[n], false);
            }
        }
        w.accept_all(old);
        w.accept_all(new);
        assert_eq!(w.count(old) + w.count(new), 22 * workers);
        assert!(w.count(new) >= 20 * workers, "{begun} at the old one");
        for s in senders {
            assert!((0..22).all(|id| w.told(s, id) == Some(DeliveryState::Accepted)));
        }
        w.detach_receiver(old);
        w.detach_receiver(new);
        w.assert_empty();
    }
}

/// The last one is as good as none for whoever comes now.
#[test]
fn nobody_waits_for_a_link_that_was_replaced() {
    let mut w = World::new(2);
    let r = w.receiver(1, "a", 1);
    let s = w.sender(0, "a");
    w.send(s, b"1", false);
    w.send(s, b"2", false);
    w.retire_receiver(r);
    w.accept_all(r);
    assert_eq!((w.told(s, 0), w.told(s, 1)), (Some(DeliveryState::Accepted), Some(DeliveryState::Released)));
    w.credit(r, 10, false);
    assert_eq!(w.count(r), 1);
    w.detach_receiver(r);
    w.assert_empty();
}

#[test]
fn credit_that_one_worker_does_not_use_goes_to_another() {
    let mut w = World::new(3);
    let r = w.receiver(2, "a", 16);
    let (one, two) = (w.sender(0, "a"), w.sender(1, "a"));
    let local = w.sender(2, "a");
    w.send(one, b"x", true);
    for _ in 0..7 {
        w.send(two, b"x", true);
    }
    for _ in 0..8 {
        w.send(local, b"x", true);
    }
    assert_eq!(w.count(r), 16, "all credit was used");
    w.send(one, b"x", true);
    w.send(two, b"x", true);
    w.send(local, b"x", true);
    assert_eq!(w.count(r), 16);
    w.credit(r, 3, false);
    assert_eq!(w.count(r), 19);
    w.assert_empty();
}

#[test]
fn a_drain_fetches_what_waits_elsewhere_and_lent_credit() {
    let mut w = World::new(2);
    let r = w.receiver(1, "a", 100);
    let s = w.sender(0, "a");
    w.send(s, b"1", true);
    assert!(w.cores[0].remotes.iter().any(|(_, r)| r.lent > 0));
    let left = w.outlet(r).credit;
    w.credit(r, left, true);
    assert_eq!((w.outlet(r).drained, w.outlet(r).credit), (1, 0));
    w.send(s, b"2", true);
    w.send(s, b"3", true);
    w.send(s, b"4", true);
    w.credit(r, 5, true);
    assert_eq!((w.count(r), w.outlet(r).drained), (4, 2));
    w.send(s, b"5", true);
    assert_eq!(w.count(r), 4);
    w.assert_empty();
}

#[test]
fn a_drain_is_not_answered_before_the_fence() {
    let mut w = World::new(2);
    let r = w.receiver(1, "a", 100);
    let s = w.sender(0, "a");
    w.prompt = false;
    w.send(s, b"on its way", true);
    let left = w.outlet(r).credit;
    w.credit(r, left, true);
    assert_eq!(w.outlet(r).drained, 0);
    w.deliver_all();
    assert_eq!((w.count(r), w.outlet(r).drained), (1, 1));
    w.prompt = true;
    w.assert_empty();
}

#[test]
fn what_is_on_its_way_to_a_lost_outlet_comes_back() {
    let mut w = World::new(2);
    let lost = w.receiver(1, "a", 100);
    let stays = w.receiver(1, "a", 0);
    let s = w.sender(0, "a");
    w.prompt = false;
    let settled = w.send(s, b"0", true);
    let id = w.send(s, b"1", false);
    let long = w.begin(s, b"2345", false, false, 2);
    w.detach_receiver(lost);
    w.deliver(0, 1);
    w.part(s, 1);
    w.deliver_all();
    w.part(s, 1);
    w.deliver_all();
    w.prompt = true;
    w.credit(stays, 100, false);
    assert!(w.bodies(stays) == [b"0".to_vec(), b"1".to_vec(), b"2345".to_vec()]);
    w.accept_all(stays);
    assert_eq!(
        [w.told(s, settled), w.told(s, id), w.told(s, long)],
        [None, Some(DeliveryState::Accepted), Some(DeliveryState::Accepted)]
    );
    assert_eq!(w.inlet(s).held, 0);
    w.assert_empty();
}

#[test]
fn what_comes_back_to_nobody_is_released() {
    let mut w = World::new(2);
    let r = w.receiver(1, "a", 100);
    let s = w.sender(0, "a");
    w.prompt = false;
    w.send(s, b"0", true);
    let id = w.send(s, b"1", false);
    let long = w.begin(s, b"2345", false, false, 2);
    w.detach_receiver(r);
    w.deliver_all();
    assert_eq!([w.told(s, id), w.told(s, long)], [Some(DeliveryState::Released), Some(DeliveryState::Released)]);
    assert_eq!(w.cores[0].counters().dropped_presettled, 1);
    w.part(s, 2);
    w.prompt = true;
    w.assert_empty();
}

#[test]
fn bytes_elsewhere_count_as_held_until_they_are_passed_on() {
    let mut w = World::new(2);
    let r = w.receiver(1, "a", 100);
    w.room(r, 1000);
    let s = w.sender(0, "a");
    w.begin(s, &[7; 100_000], false, false, 50_000);
    let held = w.inlet(s).held;
    assert!((49_000..=50_000).contains(&held), "{held}");
    w.room(r, FULL);
    assert_eq!(w.inlet(s).held, 0);
    w.send_rest(s);
    assert_eq!(w.count(r), 1);
    w.assert_empty();
}

#[test]
fn the_one_consumer_with_credit_is_found_among_many() {
    let mut w = World::new(2);
    let receivers: Vec<_> = (0..300).map(|_| w.receiver(1, "a", 0)).collect();
    let s = w.sender(0, "a");
    for n in [299usize, 0, 150, 299] {
        w.send(s, &n.to_be_bytes(), true);
        w.credit(receivers[n], 1, false);
        assert!(w.bodies(receivers[n]).contains(&n.to_be_bytes().to_vec()));
    }
    w.assert_empty();
}

#[test]
fn many_small_consumers_are_served_by_all_workers() {
    let mut w = World::new(4);
    let receivers: Vec<_> = (0..40).map(|n| w.receiver(n % 4, "a", 1)).collect();
    let senders: Vec<_> = (0..4).map(|n| w.sender(n, "a")).collect();
    for round in 0..50u8 {
        for s in &senders {
            w.send(*s, &[round], false);
        }
        for r in &receivers {
            w.accept_all(*r);
            if w.outlet(*r).credit == 0 {
                w.credit(*r, 1, false);
            }
        }
    }
    let total: usize = receivers.iter().map(|r| w.count(*r)).sum();
    assert_eq!(total, 200);
    w.assert_empty();
}
