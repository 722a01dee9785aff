//! One slow receiver of many that share a link: it costs a bounded amount of memory, and nobody else anything.

use super::network::{from_b, got, know, sent_here};
use crate::{
    HopLink,
    annotations::STREAMING,
    core::tests::world::{Receiver, Sender, World},
    egress::{DeliveryState, End},
};

const NORMAL: HopLink = HopLink::Priority(4);
const POOL: usize = 1 << 20;

fn world(workers: usize) -> World {
    let mut w = World::with(workers, |config| config.pool = POOL);
    know(&mut w, &[]);
    w
}

fn held(w: &World) -> u64 {
    w.cores.iter().map(|core| core.counters().bytes_held).sum()
}

fn dropped(w: &World) -> u64 {
    w.cores.iter().map(|core| core.counters().dropped_presettled).sum()
}

/// Sends through a shared link, and expects that it never holds up its sender.
fn flood(w: &mut World, from: Sender, to: &str, n: usize, size: usize, settled: bool) -> Vec<u32> {
    let message = from_b(Some(to), 0, &vec![1; size]);
    let send = |_| {
        let id = w.send(from, &message, settled);
        assert_eq!(w.inlet(from).held, 0, "the window of all addresses is held for one");
        assert!(w.inlet(from).credit > 0);
        assert!(held(w) <= POOL as u64);
        id
    };
    (0..n).map(send).collect()
}

fn passes(w: &mut World, from: Sender, to: &str, r: Receiver) {
    let before = w.count(r);
    w.send(from, &from_b(Some(to), 0, b"other"), true);
    assert_eq!(w.count(r), before + 1);
}

#[test]
fn what_a_slow_consumer_is_sent_over_a_shared_link_takes_half_of_the_pool() {
    for workers in [1, 2] {
        let mut w = world(workers);
        let from = w.router_sender(0);
        let slow = w.receiver(workers - 1, "slow", 0);
        let other = w.receiver(0, "other", 1000);
        flood(&mut w, from, "slow", 1000, 3000, true);
        assert!(held(&w) > POOL as u64 / 3, "{}", held(&w));
        assert!(held(&w) <= POOL as u64 / 2, "{}", held(&w));
        let kept = 1000 - dropped(&w);
        passes(&mut w, from, "other", other);
        // Another slow one has room all the same.
        let slow_too = w.receiver(0, "slow-too", 0);
        flood(&mut w, from, "slow-too", 10, 3000, true);
        assert_eq!(dropped(&w), 1000 - kept);
        w.credit(slow, 1000, false);
        assert_eq!(w.count(slow) as u64, kept);
        w.credit(slow_too, 10, false);
        assert_eq!(w.count(slow_too), 10);
        w.assert_empty();
    }
}

#[test]
fn what_is_not_settled_is_released_beyond_that() {
    let mut w = world(1);
    let from = w.router_sender(0);
    let slow = w.receiver(0, "slow", 0);
    let ids = flood(&mut w, from, "slow", 500, 3000, false);
    let released = ids.iter().filter(|id| w.told(from, **id) == Some(DeliveryState::Released)).count();
    assert!(released > 200, "{released}");
    w.credit(slow, 500, false);
    w.accept_all(slow);
    let accepted = ids.iter().filter(|id| w.told(from, **id) == Some(DeliveryState::Accepted)).count();
    assert_eq!((accepted + released, dropped(&w)), (500, 0));
    // There is room again.
    flood(&mut w, from, "slow", 50, 3000, false);
    w.credit(slow, 50, false);
    w.accept_all(slow);
    assert_eq!(w.count(slow), accepted + 50);
    w.assert_empty();
}

#[test]
fn a_slow_neighbour_holds_up_no_other() {
    let mut w = world(1);
    let from = w.router_sender(0);
    let slow = w.hop(0, "C", NORMAL, 0);
    know(&mut w, &[("C", "Msvc")]);
    let other = w.receiver(0, "other", 1000);
    flood(&mut w, from, "svc", 500, 3000, true);
    assert!(dropped(&w) > 100);
    passes(&mut w, from, "other", other);
    w.credit(slow, 500, false);
    assert_eq!(w.count(slow) as u64 + dropped(&w), 500);
    w.assert_empty();
}

#[test]
fn a_delivery_without_end_on_a_shared_link_is_given_up_or_goes_at_the_pace_of_its_receiver() {
    let mut w = world(1);
    let from = w.router_sender(0);
    let slow = w.receiver(0, "slow", 0);
    let long = from_b(Some("slow"), 0, &vec![1; 3 * POOL]);
    let id = w.begin(from, &long, false, false, 10_000);
    (0..200).for_each(|_| w.part(from, 10_000));
    assert_eq!(w.told(from, id), Some(DeliveryState::Released));
    assert_eq!(held(&w), 0);
    w.send_rest(from);
    assert!(w.inlet(from).credit > 0);
    // Begun, it cannot be.
    w.credit(slow, 1, false);
    w.room(slow, 50_000);
    let id = w.begin(from, &long, false, false, 10_000);
    (0..200).for_each(|_| w.part(from, 10_000));
    assert!(w.inlet(from).held > POOL / 2, "now it has to wait");
    w.room(slow, 4 * POOL);
    w.send_rest(from);
    w.accept_all(slow);
    assert_eq!(w.told(from, id), Some(DeliveryState::Accepted));
    w.assert_empty();
}

#[test]
fn deliveries_that_are_gathered_do_not_wait_for_each_others_window() {
    let mut w = world(1);
    let b = w.hop(0, "B", NORMAL, 100);
    know(&mut w, &[("B", "Msvc")]);
    let senders: Vec<Sender> = (0..5).map(|_| w.sender(0, "svc")).collect();
    for s in &senders {
        w.begin(*s, &[7; 50_000], false, false, 40_000);
        assert_eq!(w.inlet(*s).held, 0);
    }
    // What is complete waits at the cost of its sender.
    w.credit(b, 2, false);
    senders.iter().for_each(|s| w.send_rest(*s));
    assert_eq!(w.count(b), 2);
    assert_eq!(senders.iter().filter(|s| w.inlet(**s).held > 0).count(), 3);
    w.credit(b, 3, false);
    w.accept_all(b);
    w.assert_empty();
}

#[test]
fn a_stream_for_a_neighbour_without_links_for_streams_is_gathered_to_its_end() {
    for workers in [1, 2] {
        let mut w = world(workers);
        let b = w.hop(workers - 1, "B", NORMAL, 100);
        know(&mut w, &[("B", "Msvc")]);
        let s = w.sender(0, "svc");
        let long = vec![8; 600_000];
        let id = w.begin(s, &long, false, false, 300_000);
        assert_eq!(w.sides[0].streams_wanted, ["B"]);
        w.no_stream(0, "B");
        assert_eq!(w.outlet(b).received.len(), 0);
        w.part(s, 100_000);
        assert_eq!(w.inlet(s).held, 0, "the rest would never come");
        w.send_rest(s);
        assert_eq!(got(&w, b), [sent_here("svc", &long)]);
        w.accept(b, 0);
        assert_eq!(w.told(s, id), Some(DeliveryState::Accepted));
        // What has all of its content already, and what is too much.
        w.begin(s, &long, true, false, 599_999);
        w.send_rest(s);
        w.no_stream(0, "B");
        assert_eq!(got(&w, b).len(), 2);
        let huge = vec![9; 3 * POOL];
        let id = w.begin(s, &huge, false, false, 300_000);
        w.no_stream(0, "B");
        (0..20).for_each(|_| w.part(s, 100_000));
        assert_eq!(w.told(s, id), Some(DeliveryState::Released));
        w.send_rest(s);
        assert_eq!((got(&w, b).len(), held(&w)), (2, 0));
        w.assert_empty();
    }
}

#[test]
fn a_stream_of_another_router_without_links_for_streams_is_gathered_too() {
    let mut w = world(1);
    let c = w.hop(0, "C", NORMAL, 100);
    let s = w.router_link(0, HopLink::Stream);
    know(&mut w, &[("C", "Msvc")]);
    let message = from_b(Some("svc"), STREAMING, &[5; 1000]);
    let id = w.begin(s, &message, false, false, 500);
    assert_eq!(w.sides[0].streams_wanted, ["C"]);
    w.no_stream(0, "C");
    assert_eq!(w.outlet(c).received.len(), 0);
    w.send_rest(s);
    assert_eq!(w.outlet(c).received.iter().filter(|d| d.end == End::Complete).count(), 1);
    w.accept(c, 0);
    assert_eq!(w.told(s, id), Some(DeliveryState::Accepted));
    w.assert_empty();
}

#[test]
fn what_slow_consumers_of_a_multicast_address_are_behind_is_bounded_in_bytes() {
    for workers in [1, 2] {
        let mut w = world(workers);
        let from = w.router_sender(0);
        let fast = w.receiver(0, "multi/x", 2000);
        let slow: Vec<Receiver> = (0..3).map(|_| w.receiver(workers - 1, "multi/x", 1)).collect();
        let s = w.sender(0, "multi/x");
        let message = from_b(Some("multi/x"), 0, &[2; 20_000]);
        for n in 0..300 {
            w.send(if n % 2 == 0 { s } else { from }, if n % 2 == 0 { &[2; 20_000] } else { &message }, true);
            assert!(held(&w) <= (POOL / 2) as u64 + 50_000, "{}", held(&w));
            assert_eq!((w.inlet(from).held, w.count(fast)), (0, n + 1));
        }
        assert!(dropped(&w) > 3 * 200);
        slow.iter().for_each(|r| w.credit(*r, 500, false));
        let got: usize = slow.iter().map(|r| w.count(*r)).sum();
        assert_eq!(got as u64 + dropped(&w), 900);
        // And what is not settled.
        let slow = w.receiver(0, "multi/y", 0);
        let to_y = from_b(Some("multi/y"), 0, &[2; 20_000]);
        let ids: Vec<u32> = (0..100).map(|_| w.send(from, &to_y, false)).collect();
        assert!(ids.iter().filter(|id| w.told(from, **id) == Some(DeliveryState::Released)).count() > 50);
        w.credit(slow, 100, false);
        w.accept_all(slow);
        w.accept_all(fast);
        w.assert_empty();
    }
}

#[test]
fn no_stream_begins_when_those_that_are_there_hold_too_much() {
    let mut w = World::with(1, |config| config.streams = 200_000);
    let (slow, fast) = (w.receiver(0, "slow", 10), w.receiver(0, "fast", 10));
    w.room(slow, 1000);
    let (s, t, from) = (w.sender(0, "slow"), w.sender(0, "fast"), w.router_link(0, HopLink::Stream));
    let long = vec![1; 1_000_000];
    w.begin(s, &long, false, false, 300_000);
    let rejected = |state: Option<DeliveryState>| matches!(state, Some(DeliveryState::Rejected(_)));
    let id = w.begin(t, &long, false, false, 10_000);
    assert!(rejected(w.told(t, id)));
    w.send_rest(t);
    let id = w.begin(from, &from_b(Some("fast"), STREAMING, &long), false, false, 10_000);
    assert!(rejected(w.told(from, id)));
    w.send_rest(from);
    w.send(t, b"short", true);
    assert_eq!(w.bodies(fast), [b"short".to_vec()]);
    // There is room again.
    w.room(slow, 2_000_000);
    w.begin(from, &from_b(Some("fast"), STREAMING, &long), false, false, 10_000);
    w.send_rest(from);
    assert_eq!(w.count(fast), 2);
    w.send_rest(s);
    w.accept_all(slow);
    w.accept_all(fast);
    for sender in [s, t, from] {
        assert_eq!(w.cores[0].issued(w.inlet(sender).key).1, 0, "all credit is back");
    }
    w.assert_empty();
}
