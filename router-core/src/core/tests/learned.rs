//! How an address is treated that only other routers have configured (decision 0034).

use super::{
    network::{from_b, got, sent_here},
    world::*,
};
use crate::{
    AddressConfig, HopLink, Presence, Treatment,
    routing::{AddressBook, AddressEntry, Event, Hint, Routes},
};

/// B - A - C. The tests are in A.
const LINE: &[(&str, &str, u32)] = &[("A", "B", 1), ("A", "C", 1)];

/// Which routers have destinations for which address, and how they treat it.
fn know(w: &mut World, entries: &[(&str, &str, Hint)]) {
    let mut book = AddressBook::new();
    for (router, key, hint) in entries {
        let entry = AddressEntry { key: (*key).into(), hint: Some(*hint), in_links: 0, mesh: None };
        book.apply(&Event::Addresses { router: (*router).into(), added: [entry].into(), removed: [].into() });
    }
    let routes = Routes::of_links("A", LINE);
    for worker in 0..w.cores.len() {
        w.cores[worker].set_routes(routes.clone(), book.clone(), None, &mut w.sides[worker]);
        w.end_batch(worker);
    }
}

#[test]
fn what_is_multicast_elsewhere_is_so_here() {
    for workers in [1, 2] {
        for late in [true, false] {
            let mut w = World::new(workers);
            let there = workers - 1;
            let (b, c) = (w.hop(there, "B", HopLink::Priority(4), 100), w.hop(0, "C", HopLink::Priority(4), 100));
            let known = [("B", "Mnews", Hint::Multicast), ("C", "Mnews", Hint::Balanced)];
            if !late {
                know(&mut w, &known);
            }
            let r = w.receiver(there, "news", 100);
            let s = w.sender(0, "news");
            if late {
                know(&mut w, &known);
            }
            w.send(s, b"all", true);
            assert!(w.bodies(r) == [b"all"]);
            for hop in [b, c] {
                assert_eq!(got(&w, hop), [sent_here("news", b"all")]);
            }
            // On its way through, too.
            let from = w.router_sender(there);
            w.send(from, &from_b(Some("news"), 0, b"from b"), true);
            assert_eq!((w.count(r), w.count(b), w.count(c)), (2, 1, 2));
            // When those who treat it so have no more consumers, it is as before.
            know(&mut w, &[("C", "Mnews", Hint::Balanced)]);
            w.send(s, b"one", true);
            assert_eq!(w.count(r) + w.count(c), 5);
            w.assert_empty();
        }
    }
}

#[test]
fn what_is_closest_elsewhere_is_so_here() {
    let mut w = World::new(1);
    let b = w.hop(0, "B", HopLink::Priority(4), 100);
    know(&mut w, &[("B", "Mnear", Hint::Closest)]);
    let r = w.receiver(0, "near", 100);
    let s = w.sender(0, "near");
    for _ in 0..10 {
        w.send(s, b"x", false);
    }
    assert_eq!((w.count(r), w.count(b)), (10, 0), "balanced would send some to B");
    w.assert_empty();
}

#[test]
fn what_is_configured_here_stays_and_others_do_not_hear_their_own_words() {
    let mut w = World::new(1);
    let told = |w: &mut World| std::iter::from_fn(|| w.cores[0].poll_presence()).last().unwrap();
    let b = w.hop(0, "B", HopLink::Priority(4), 100);
    know(&mut w, &[("B", "Mnews", Hint::Multicast), ("B", "Mnone.x", Hint::Multicast)]);
    let r = w.receiver(0, "news", 100);
    // Else two routers that know it only from each other would keep it for ever.
    let balanced = Presence { key: "Mnews".into(), treatment: Treatment::Balanced, here: true };
    assert_eq!(told(&mut w), balanced);
    let s = w.sender(0, "news");
    let config = AddressConfig::prefix("news", Treatment::Balanced);
    w.cores[0].add_address(&config, &mut w.sides[0]).unwrap();
    w.end_batch(0);
    for _ in 0..10 {
        w.send(s, b"x", false);
    }
    assert_eq!(w.count(r) + w.count(b), 10);
    let conn = w.conn(0);
    assert!(w.attach_sender(0, conn, crate::Terminus::Address("none.x")).is_err(), "unavailable stays unavailable");
    w.assert_empty();
}
