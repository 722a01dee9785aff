//! What comes back released goes elsewhere, for those who ask for it.

use super::network::{from_b, know};
use crate::{
    HopLink,
    annotations::{Parsed, RESEND_RELEASED, STREAMING, parse},
    core::tests::world::{Receiver, Sender, World},
    egress::{DeliveryState, End},
};

const NORMAL: HopLink = HopLink::Priority(4);
const RELEASED: Option<DeliveryState> = Some(DeliveryState::Released);

fn sender(w: &mut World, address: &str, flags: u32) -> Sender {
    let s = w.sender(0, address);
    let (worker, key) = (0, w.inlet(s).key);
    w.cores[worker].mark_inlet(key, flags);
    s
}

/// Receivers that release all, one after the other; answers who had it, in order.
fn release_all(w: &mut World, receivers: &[Receiver]) -> Vec<Receiver> {
    let mut seen = vec![0; receivers.len()];
    let mut order = Vec::new();
    loop {
        let news = receivers.iter().zip(&mut seen).find(|(r, seen)| w.outlet(**r).received.len() > **seen);
        let Some((r, seen)) = news else { return order };
        order.push(*r);
        *seen += 1;
        w.outcome(*r, *seen - 1, RELEASED, true);
    }
}

#[test]
fn each_receiver_has_it_once() {
    for workers in [1, 2] {
        for address in ["svc", "close/svc"] {
            let mut w = World::new(workers);
            let all: Vec<Receiver> = (0..4).map(|n| w.receiver(n % workers, address, 10)).collect();
            let s = sender(&mut w, address, RESEND_RELEASED);
            let id = w.send(s, b"hello", false);
            assert_eq!(w.told(s, id), None);
            let mut order = release_all(&mut w, &all);
            order.sort_unstable();
            assert_eq!(order, all, "{workers} {address}");
            assert_eq!(w.told(s, id), RELEASED);
            // Who takes it ends it.
            let id = w.send(s, b"again", false);
            let first = *all.iter().find(|r| w.count(**r) == 2).unwrap();
            w.outcome(first, 1, RELEASED, true);
            let second = *all.iter().find(|r| **r != first && w.count(**r) == 2).unwrap();
            w.accept(second, 1);
            assert_eq!(w.told(s, id), Some(DeliveryState::Accepted));
            assert_eq!(all.iter().filter(|r| w.count(**r) == 2).count(), 2);
            w.assert_empty();
        }
    }
}

#[test]
fn nobody_else_is_asked_without_it() {
    let mut w = World::new(1);
    let all: Vec<Receiver> = (0..2).map(|_| w.receiver(0, "svc", 10)).collect();
    let s = w.sender(0, "svc");
    let id = w.send(s, b"hello", false);
    assert_eq!(release_all(&mut w, &all).len(), 1);
    assert_eq!(w.told(s, id), RELEASED);
    // Nor for what its sender settled.
    let s = sender(&mut w, "svc", RESEND_RELEASED);
    w.send(s, b"hello", true);
    assert_eq!(w.count(all[0]) + w.count(all[1]), 2);
    w.assert_empty();
}

#[test]
fn another_word_than_released_ends_it() {
    for state in [DeliveryState::modified(true, true), DeliveryState::rejected(None)] {
        let mut w = World::new(1);
        let all: Vec<Receiver> = (0..2).map(|_| w.receiver(0, "close/svc", 10)).collect();
        let s = sender(&mut w, "close/svc", RESEND_RELEASED);
        let id = w.send(s, b"hello", false);
        let first = *all.iter().find(|r| w.count(**r) == 1).unwrap();
        w.outcome(first, 0, Some(state.clone()), true);
        assert_eq!(w.told(s, id), Some(state));
        w.assert_empty();
    }
}

/// It waits for the credit of the one that is left, and goes on when that leaves.
#[test]
fn it_waits_for_who_is_left() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        let first = w.receiver(0, "close/svc", 10);
        let s = sender(&mut w, "close/svc", RESEND_RELEASED);
        let ids = [w.send(s, b"one", false), w.send(s, b"two", false)];
        let slow = w.receiver(workers - 1, "close/svc", 0);
        w.outcome(first, 0, RELEASED, true);
        w.outcome(first, 1, RELEASED, true);
        assert_eq!((w.count(slow), w.told(s, ids[0])), (0, None));
        w.credit(slow, 1, false);
        assert_eq!(w.bodies(slow), [b"one"]);
        w.accept(slow, 0);
        assert_eq!(w.told(s, ids[0]), Some(DeliveryState::Accepted));
        w.detach_receiver(slow);
        let told = w.told(s, ids[1]);
        if told.is_none() {
            // From another worker it comes back, and to whom it was at already.
            w.outcome(first, 2, RELEASED, true);
        }
        assert_eq!(w.told(s, ids[1]), RELEASED);
        w.assert_empty();
    }
}

#[test]
fn a_receiver_may_settle_second() {
    let mut w = World::new(1);
    let all: Vec<Receiver> = (0..2).map(|_| w.receiver(0, "close/svc", 10)).collect();
    let s = sender(&mut w, "close/svc", RESEND_RELEASED);
    let id = w.send(s, b"hello", false);
    let first = *all.iter().find(|r| w.count(**r) == 1).unwrap();
    w.outcome(first, 0, RELEASED, false);
    assert!(w.outlet(first).received[0].settled, "nobody waits for it any more");
    let second = *all.iter().find(|r| **r != first && w.count(**r) == 1).unwrap();
    w.accept(second, 0);
    assert_eq!(w.told(s, id), Some(DeliveryState::Accepted));
    w.assert_empty();
}

#[test]
fn what_is_not_complete_is_aborted_and_begun_elsewhere() {
    for workers in [1, 2] {
        for flags in [RESEND_RELEASED, RESEND_RELEASED | STREAMING] {
            let mut w = World::new(workers);
            let all = [w.receiver(0, "close/svc", 10), w.receiver(workers - 1, "close/svc", 10)];
            let s = sender(&mut w, "close/svc", flags);
            let body = [7; 30_000];
            let id = w.begin(s, &body, false, false, 10_000);
            let had = |w: &World| *all.iter().find(|r| !w.outlet(**r).received.is_empty()).unwrap();
            let first = had(&w);
            w.part(s, 10_000);
            w.outcome(first, 0, RELEASED, true);
            assert_eq!(w.outlet(first).received[0].end, End::Aborted);
            let second = *all.iter().find(|r| **r != first).unwrap();
            assert_eq!(w.outlet(second).received[0].bytes, body[..20_000]);
            assert_eq!(w.told(s, id), None);
            w.send_rest(s);
            assert_eq!(w.bodies(second), [body]);
            w.accept(second, 0);
            assert_eq!(w.told(s, id), Some(DeliveryState::Accepted));
            assert_eq!(w.inlet(s).held, 0);
            w.assert_empty();
        }
    }
}

/// More is not kept than may be.
#[test]
fn what_is_too_long_comes_back() {
    let mut w = World::new(1);
    let all = [w.receiver(0, "close/svc", 10), w.receiver(0, "close/svc", 10)];
    let s = sender(&mut w, "close/svc", RESEND_RELEASED);
    let body = vec![7; 600_000];
    let id = w.begin(s, &body, false, false, 200_000);
    w.send_rest(s);
    let order = release_all(&mut w, &all);
    assert_eq!((order.len(), w.told(s, id)), (1, RELEASED));
    w.assert_empty();
}

#[test]
fn the_sender_may_abort_or_leave_between() {
    let mut w = World::new(1);
    let all = [w.receiver(0, "close/svc", 10), w.receiver(0, "close/svc", 10)];
    for leaves in [false, true] {
        let s = sender(&mut w, "close/svc", RESEND_RELEASED);
        let before = all.map(|r| w.outlet(r).received.len());
        w.begin(s, &[1; 500], false, false, 100);
        let at = all.iter().zip(before).position(|(r, before)| w.outlet(*r).received.len() > before).unwrap();
        w.outcome(all[at], before[at], RELEASED, true);
        let other = 1 - at;
        assert_eq!(w.outlet(all[other]).received.len(), before[other] + 1);
        if leaves {
            w.detach_sender(s);
        } else {
            w.abort(s);
        }
        assert_eq!(w.outlet(all[other]).received[before[other]].end, End::Aborted);
    }
    w.assert_empty();
}

#[test]
fn neighbours_are_tried_and_try_themselves() {
    for workers in [1, 2] {
        for address in ["svc", "close/svc"] {
            let mut w = World::new(workers);
            let (b, c) = (w.hop(0, "B", NORMAL, 10), w.hop(workers - 1, "C", NORMAL, 10));
            know(&mut w, &[("B", &format!("M{address}")), ("D", &format!("M{address}"))]);
            let here = w.receiver(0, address, 10);
            let s = sender(&mut w, address, RESEND_RELEASED);
            let id = w.send(s, b"hello", false);
            assert_eq!(release_all(&mut w, &[here, b, c]), [here, b, c], "nearest first");
            assert_eq!(w.told(s, id), RELEASED);
            for r in [b, c] {
                let bodies = w.bodies(r);
                let Parsed::Found(said, size) = parse(&bodies[0]).unwrap() else { panic!("no annotations") };
                assert_eq!((said.flags & 0xff, said.to_override), (RESEND_RELEASED, Some(address)));
                assert_eq!((said.trace.len(), &bodies[0][size..]), (1, &b"hello"[..]));
            }
            w.assert_empty();
        }
    }
}

/// A router on the way tries what it knows, but not those who had it.
#[test]
fn what_came_from_a_router_goes_on_but_not_back() {
    let mut w = World::new(1);
    let (b, c) = (w.hop(0, "B", NORMAL, 10), w.hop(0, "C", NORMAL, 10));
    know(&mut w, &[("B", "Msvc"), ("D", "Msvc")]);
    let here = w.receiver(0, "svc", 10);
    let from = w.router_sender(0);
    let id = w.send(from, &from_b(Some("svc"), RESEND_RELEASED, b"hello"), false);
    assert_eq!(release_all(&mut w, &[here, b, c]), [here, c]);
    assert_eq!(w.told(from, id), RELEASED);
    w.assert_empty();
}
