//! What takes long is counted, and what is stuck is found.

use std::time::Duration;

use super::{
    network::{from_b, know},
    world::*,
};
use crate::{Delayed, Direction, HopLink, LinkDelays, LinkStatus, Terminus, egress::DeliveryState};

const NORMAL: HopLink = HopLink::Priority(4);

fn seconds(w: &mut World, seconds: u64) {
    for _ in 0..seconds * 2 {
        w.tick(Duration::from_millis(500));
    }
}

fn link(w: &World, worker: usize, direction: Direction) -> LinkStatus {
    let core = &w.cores[worker];
    let mut links = core.link_handles().into_iter().filter_map(|handle| core.link_status(handle));
    links.find(|link| link.direction == direction).unwrap()
}

fn delayed(w: &World) -> Delayed {
    let mut all = Delayed::default();
    w.cores.iter().for_each(|core| all.add(&core.delayed()));
    all
}

fn delays(late: u64, very_late: u64, stuck: u64) -> LinkDelays {
    LinkDelays { late, very_late, stuck }
}

#[test]
fn late_deliveries_count_where_they_came_in_and_where_they_went() {
    for workers in [1, 2] {
        let there = workers - 1;
        let mut w = World::new(workers);
        let r = w.receiver(there, "a", 20);
        let s = w.sender(0, "a");
        w.send(s, b"at once", false);
        w.accept(r, 0);
        w.send(s, b"late", false);
        seconds(&mut w, 3);
        w.accept(r, 1);
        w.send(s, b"very late", false);
        seconds(&mut w, 9);
        assert_eq!(delayed(&w).deliveries, delays(1, 0, 0), "not yet");
        seconds(&mut w, 3);
        assert_eq!(delayed(&w).deliveries, delays(1, 0, 2), "one at each link");
        assert_eq!(link(&w, 0, Direction::In).delays, delays(1, 0, 1));
        assert_eq!(link(&w, there, Direction::Out).delays, delays(1, 0, 1));
        w.accept(r, 2);
        for of in [delayed(&w).deliveries, link(&w, 0, Direction::In).delays, link(&w, there, Direction::Out).delays] {
            assert_eq!(of, delays(1, 1, 0), "{workers}");
        }
    }
}

#[test]
fn what_waits_for_a_receiver_is_stuck_until_its_sender_leaves() {
    let mut w = World::new(1);
    w.receiver(0, "a", 0);
    let s = w.sender(0, "a");
    w.send(s, b"waits", false);
    w.send(s, b"waits settled", true);
    seconds(&mut w, 15);
    assert_eq!(delayed(&w).deliveries, delays(0, 0, 2));
    w.detach_sender(s);
    w.assert_empty();
    assert_eq!(delayed(&w).deliveries.stuck, 0);
}

#[test]
fn a_delivery_that_still_arrives_is_not_stuck() {
    let mut w = World::new(1);
    w.receiver(0, "a", 10);
    let s = w.sender(0, "a");
    w.begin(s, b"a long one", false, false, 3);
    seconds(&mut w, 15);
    assert_eq!(delayed(&w).deliveries, delays(0, 0, 0));
}

#[test]
fn copies_count_for_their_receivers() {
    let mut w = World::new(1);
    let r = w.receiver(0, "multi/a", 10);
    let s = w.sender(0, "multi/a");
    w.send(s, b"x", false);
    seconds(&mut w, 15);
    assert_eq!(delayed(&w).deliveries, delays(0, 0, 2));
    assert_eq!(link(&w, 0, Direction::Out).delays, delays(0, 0, 1));
    w.accept(r, 0);
    assert_eq!(delayed(&w).deliveries, delays(0, 1, 0));
    assert_eq!(link(&w, 0, Direction::Out).delays, delays(0, 1, 0));
}

#[test]
fn receivers_without_credit_are_blocked_after_a_while() {
    let mut w = World::new(1);
    let r = w.receiver(0, "a", 1);
    let s = w.sender(0, "a");
    seconds(&mut w, 20);
    assert_eq!((link(&w, 0, Direction::Out).zero_credit_seconds, delayed(&w).blocked_links), (0, 0));
    w.send(s, b"x", false);
    seconds(&mut w, 8);
    assert_eq!((link(&w, 0, Direction::Out).zero_credit_seconds, delayed(&w).blocked_links), (7, 0));
    // It gives some, which is used at once.
    w.credit(r, 1, false);
    w.send(s, b"x", false);
    seconds(&mut w, 8);
    assert_eq!(delayed(&w).blocked_links, 0);
    seconds(&mut w, 4);
    assert_eq!((link(&w, 0, Direction::Out).zero_credit_seconds, delayed(&w).blocked_links), (11, 1));
    w.credit(r, 1, false);
    seconds(&mut w, 1);
    assert_eq!((link(&w, 0, Direction::Out).zero_credit_seconds, delayed(&w).blocked_links), (0, 0));
}

#[test]
fn senders_without_credit_are_blocked_until_somebody_receives() {
    let mut w = World::new(1);
    w.sender(0, "a");
    seconds(&mut w, 10);
    assert_eq!((link(&w, 0, Direction::In).zero_credit_seconds, delayed(&w).blocked_links), (9, 0));
    seconds(&mut w, 3);
    assert_eq!((link(&w, 0, Direction::In).zero_credit_seconds, delayed(&w).blocked_links), (12, 1));
    w.receiver(0, "a", 10);
    seconds(&mut w, 1);
    assert_eq!((link(&w, 0, Direction::In).zero_credit_seconds, delayed(&w).blocked_links), (0, 0));
}

#[test]
fn what_is_stuck_can_be_told_sooner() {
    let mut w = World::new(1);
    w.cores[0].set_patience(Duration::from_secs(3));
    let r = w.receiver(0, "a", 1);
    let s = w.sender(0, "a");
    w.send(s, b"x", false);
    seconds(&mut w, 3);
    assert_eq!((delayed(&w).deliveries, delayed(&w).blocked_links), (delays(0, 0, 0), 0));
    seconds(&mut w, 2);
    assert_eq!((delayed(&w).deliveries, delayed(&w).blocked_links), (delays(0, 0, 2), 1));
    w.accept(r, 0);
    assert_eq!(delayed(&w).deliveries, delays(1, 0, 0));
}

#[test]
fn rates_and_the_last_delivery_are_known() {
    let mut w = World::new(1);
    let conn = w.conn(0);
    let r = w.attach_receiver(0, conn, Terminus::Address("a")).unwrap();
    w.credit(r, 200, false);
    let s = w.sender(0, "a");
    assert_eq!(w.cores[0].seconds_since_delivery(conn), None);
    for n in 0..100 {
        w.send(s, b"x", false);
        w.accept(r, n);
    }
    seconds(&mut w, 5);
    assert_eq!((link(&w, 0, Direction::In).counters.rate, link(&w, 0, Direction::Out).counters.rate), (20, 20));
    assert_eq!(w.cores[0].seconds_since_delivery(conn), Some(4));
    seconds(&mut w, 5);
    assert_eq!(link(&w, 0, Direction::In).counters.rate, 0);
}

#[test]
fn what_goes_to_other_routers_is_transit_and_nothing_else() {
    let mut w = World::new(1);
    let c = w.hop(0, "C", NORMAL, 100);
    know(&mut w, &[("C", "Msvc")]);
    let from = w.router_sender(0);
    let r = w.receiver(0, "here", 10);
    let s = w.sender(0, "svc");
    w.send(from, &from_b(Some("svc"), 0, b"passes"), false);
    w.send(from, &from_b(Some("here"), 0, b"ends here"), false);
    w.send(s, b"begins here", false);
    let status = w.cores[0].address_status("Msvc").unwrap();
    assert_eq!((status.transit, status.deliveries_in, status.deliveries_out), (2, 1, 0));
    let counters = w.cores[0].counters();
    assert_eq!((delayed(&w).transit, counters.deliveries_in, counters.deliveries_out), (2, 1, 1));
    w.outcome(c, 0, Some(DeliveryState::Accepted), true);
    w.accept(r, 0);
    know(&mut w, &[]);
    assert_eq!(w.cores[0].address_status("Msvc").map(|status| status.transit), Some(2), "its sender is still here");
}
