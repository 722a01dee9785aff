use amqp_proto::Raw;
use bytes::Bytes;

use super::world::*;
use crate::egress::{DeliveryState, Error};

/// A state of an extension: described by 0x99, one binary.
fn extension(code: u8) -> DeliveryState {
    DeliveryState::Other(Raw::new(Bytes::copy_from_slice(&[0x00, 0x53, code, 0xc0, 4, 1, 0xa0, 1, 7])).unwrap())
}

#[test]
fn every_outcome_travels_as_it_is() {
    let rejected = DeliveryState::rejected(Some(&Error::new("amqp:internal-error", "no")));
    for state in [DeliveryState::Accepted, DeliveryState::Released, DeliveryState::modified(true, true), rejected] {
        for settled in [true, false] {
            for workers in [1, 2] {
                let mut w = World::new(workers);
                let r = w.receiver(workers - 1, "a", 10);
                let s = w.sender(0, "a");
                let id = w.send(s, b"x", false);
                w.outcome(r, 0, Some(state.clone()), settled);
                assert_eq!(w.told(s, id), Some(state.clone()));
                if !settled {
                    // Nobody settles before the sender knows.
                    assert!(!w.inlet(s).deliveries[&id].settled && !w.outlet(r).received[0].settled);
                    w.sender_state(s, id, None, true);
                }
                assert!(w.inlet(s).deliveries[&id].settled);
                assert!(w.outlet(r).received[0].settled, "{state:?} {settled}: the receiver is left unsettled");
                w.assert_empty();
            }
        }
    }
}

#[test]
fn states_that_end_nothing_are_passed_on() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        let r = w.receiver(workers - 1, "a", 10);
        let s = w.sender(0, "a");
        let id = w.send(s, b"x", false);
        let received = DeliveryState::Received { section_number: 1, section_offset: 7 };
        w.outcome(r, 0, Some(received.clone()), false);
        w.outcome(r, 0, Some(extension(0x34)), false);
        assert_eq!(w.inlet(s).deliveries[&id].states, [received, extension(0x34)]);
        // The sender discharges what the receiver said within a transaction.
        w.sender_state(s, id, Some(extension(0x34)), true);
        assert_eq!(w.outlet(r).received[0].states, [extension(0x34)]);
        assert!(w.outlet(r).received[0].settled);
        w.assert_empty();
    }
}

#[test]
fn an_extension_that_settles_is_passed_on() {
    let mut w = World::new(1);
    let r = w.receiver(0, "a", 10);
    let s = w.sender(0, "a");
    let id = w.send(s, b"x", false);
    w.outcome(r, 0, Some(extension(0x99)), true);
    assert_eq!(w.told(s, id), Some(extension(0x99)));
    let id = w.send(s, b"x", false);
    w.outcome(r, 1, None, true);
    assert_eq!(w.inlet(s).deliveries[&id].outcomes, [(None, true)]);
    assert_eq!(w.cores[0].counters().settled_otherwise, 2);
    w.assert_empty();
}

#[test]
fn a_sender_may_settle_first() {
    for workers in [1, 2] {
        for receiver_settles in [true, false] {
            let mut w = World::new(workers);
            let r = w.receiver(workers - 1, "a", 10);
            let s = w.sender(0, "a");
            let id = w.begin(s, b"x", false, true, 1);
            w.outcome(r, 0, Some(DeliveryState::Accepted), receiver_settles);
            assert_eq!(w.inlet(s).deliveries[&id].outcomes, [(Some(DeliveryState::Accepted), false)]);
            assert_eq!(w.outlet(r).received[0].settled, receiver_settles);
            assert_ne!(w.cores[0].counters().deliveries_held, 0);
            w.sender_state(s, id, None, true);
            assert!(w.outlet(r).received[0].settled);
            assert!(w.cores.iter().all(|c| c.counters().deliveries_held == 0));
            w.assert_empty();
        }
    }
}

#[test]
fn a_receiver_may_settle_after_all() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        let r = w.receiver(workers - 1, "a", 10);
        let s = w.sender(0, "a");
        let id = w.send(s, b"x", false);
        let accepted = Some(DeliveryState::Accepted);
        for settled in [false, true] {
            w.outcome(r, 0, accepted.clone(), settled);
            assert_eq!(w.inlet(s).deliveries[&id].outcomes, [(accepted.clone(), settled)]);
        }
        assert_eq!(w.cores.iter().map(|c| c.counters().accepted).sum::<u64>(), 1);
        assert!(w.cores.iter().all(|c| c.counters().deliveries_held == 0));
        w.assert_empty();
    }
}

#[test]
fn many_that_wait_for_their_sender_are_forgotten_when_it_settles() {
    let mut w = World::new(1);
    let r = w.receiver(0, "a", 1000);
    let s = w.sender(0, "a");
    let ids: Vec<_> = (0..200u8).map(|n| w.send(s, &[n], false)).collect();
    (0..200).for_each(|n| w.outcome(r, n, Some(DeliveryState::Accepted), false));
    assert!(w.outlet(r).received.iter().all(|d| !d.settled));
    ids.iter().for_each(|id| w.sender_state(s, *id, None, true));
    assert!(w.outlet(r).received.iter().all(|d| d.settled));
    assert_eq!(w.cores[0].counters().deliveries_held, 0);
    w.assert_empty();
}

#[test]
fn nobody_waits_for_a_sender_that_has_left() {
    for workers in [1, 2] {
        for second in [true, false] {
            let mut w = World::new(workers);
            let r = w.receiver(workers - 1, "a", 10);
            let s = w.sender(0, "a");
            w.begin(s, b"x", false, second, 1);
            w.detach_sender(s);
            w.outcome(r, 0, Some(DeliveryState::Accepted), false);
            assert!(w.outlet(r).received[0].settled);
            assert!(w.cores.iter().all(|c| c.counters().deliveries_held == 0));
            w.assert_empty();
        }
    }
}

#[test]
fn a_sender_that_leaves_before_it_settles_is_forgotten() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        let r = w.receiver(workers - 1, "a", 10);
        let s = w.sender(0, "a");
        w.begin(s, b"x", false, true, 1);
        w.outcome(r, 0, Some(DeliveryState::Accepted), false);
        w.detach_sender(s);
        assert!(w.outlet(r).received[0].settled);
        assert!(w.cores.iter().all(|c| c.counters().deliveries_held == 0));
        w.assert_empty();
    }
}

#[test]
fn nobody_waits_for_a_receiver_that_has_left() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        let r = w.receiver(workers - 1, "a", 10);
        let s = w.sender(0, "a");
        let known = w.send(s, b"its outcome is known", false);
        let unknown = w.send(s, b"and this one's is not", false);
        w.outcome(r, 0, Some(DeliveryState::Accepted), false);
        w.detach_receiver(r);
        let sender = w.inlet(s);
        assert_eq!(sender.deliveries[&known].outcomes, [(Some(DeliveryState::Accepted), true)]);
        let lost = Some(DeliveryState::modified(true, false));
        assert_eq!(sender.deliveries[&unknown].outcomes, [(lost, true)]);
        assert!(w.cores.iter().all(|c| c.counters().deliveries_held == 0));
        w.assert_empty();
    }
}

#[test]
fn a_sender_may_lose_interest() {
    let mut w = World::new(1);
    let r = w.receiver(0, "a", 1);
    let s = w.sender(0, "a");
    let sent = w.send(s, b"1", false);
    let waits = w.send(s, b"2", false);
    w.sender_state(s, sent, None, true);
    assert!(w.outlet(r).received[0].settled, "the receiver hears of it");
    w.sender_state(s, waits, None, true);
    w.credit(r, 1, false);
    assert!(w.outlet(r).received[1].settled, "it goes out settled");
    assert_eq!(w.cores[0].counters().deliveries_held, 0);
    w.assert_empty();
}

#[test]
fn a_receiver_of_settled_deliveries_only_makes_them_accepted() {
    for workers in [1, 2] {
        for address in ["a", "multi/a"] {
            let mut w = World::new(workers);
            let r = w.receiver(workers - 1, address, 10);
            w.outlet_mut(r).settles = true;
            let s = w.sender(0, address);
            let id = w.send(s, b"x", false);
            assert_eq!(w.told(s, id), Some(DeliveryState::Accepted));
            let id = w.begin(s, b"xyz", false, false, 1);
            w.part(s, 1);
            assert_eq!(w.told(s, id), None);
            w.part(s, 1);
            assert_eq!(w.told(s, id), Some(DeliveryState::Accepted));
            w.assert_empty();
        }
    }
}

#[test]
fn a_lost_receiver_modifies_what_it_had() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        let r = w.receiver(workers - 1, "a", 2);
        let s = w.sender(0, "a");
        let ids: Vec<_> = (0..4u8).map(|n| w.send(s, &[n], false)).collect();
        w.detach_receiver(r);
        let told: Vec<_> = ids.iter().map(|id| w.told(s, *id).unwrap()).collect();
        let (failed, released) = (DeliveryState::modified(true, false), DeliveryState::Released);
        assert_eq!(told, [failed.clone(), failed, released.clone(), released]);
        assert!(w.inlet(s).draining);
        w.assert_empty();
    }
}

#[test]
fn outcomes_for_a_lost_sender_are_dropped() {
    let mut w = World::new(2);
    let (near, far) = (w.receiver(0, "a", 10), w.receiver(1, "a", 10));
    let s = w.sender(0, "a");
    for n in 0..4u8 {
        w.send(s, &[n], false);
    }
    w.detach_sender(s);
    w.accept_all(near);
    w.accept_all(far);
    assert_eq!(w.count(near) + w.count(far), 4);
    assert!(w.cores.iter().all(|c| c.counters().deliveries_held == 0));
    w.assert_empty();
}
