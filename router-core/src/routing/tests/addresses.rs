//! MAU and MAR.

use std::{sync::Arc, time::Duration};

use super::world::World;
use crate::routing::{
    AddressEntry, Event, Hint, LocalAddress, Message,
    message::{MobileAddressRequest, MobileAddressUpdate, MobileContent},
};

const SOON: Duration = Duration::from_millis(500);

fn pair() -> World {
    let mut world = World::of("A-B");
    world.until(SOON, "up", |w| w.reaches("A", "B") && w.reaches("B", "A"));
    world.run(Duration::from_secs(15));
    world.forget_traffic();
    world
}

#[test]
fn a_new_address_is_known_to_the_neighbour_at_once() {
    let mut world = pair();
    world.serve("A", "Mone");
    let took = world.until(SOON, "known", |w| w.destinations("B", "Mone") == ["A"]);
    assert!(took <= Duration::from_millis(1), "{took:?}");
    world.serve("A", "Mtwo");
    let took = world.until(SOON, "known", |w| w.destinations("B", "Mtwo") == ["A"]);
    assert!(took <= Duration::from_millis(11), "{took:?}");
    world.unserve("A", "Mone");
    let took = world.until(SOON, "gone", |w| w.destinations("B", "Mone").is_empty());
    assert!(took <= Duration::from_millis(11), "{took:?}");
}

#[test]
fn what_comes_and_goes_within_an_interval_is_not_told() {
    let mut world = pair();
    world.serve("A", "Mone");
    world.run(Duration::from_millis(1));
    let seq = world.routers["A"].routing.mobile_seq();
    world.serve("A", "Mtwo");
    world.unserve("A", "Mtwo");
    world.unserve("A", "Mone");
    world.serve("A", "Mone");
    world.run(Duration::from_secs(5));
    assert_eq!(world.routers["A"].routing.mobile_seq(), seq);
    assert_eq!(world.sent("A", "MAU"), 1);
    assert_eq!(world.destinations("B", "Mone"), ["A"]);
    assert_eq!(world.sent("A", "RA"), 1, "one advertisement for those who missed the update");
}

#[test]
fn a_busy_router_tells_changes_together() {
    let mut world = pair();
    for i in 0..1000 {
        world.serve("A", &format!("M{i}"));
        world.run(Duration::from_micros(100));
    }
    world.run(Duration::from_secs(2));
    let updates = world.sent("A", "MAU");
    assert!((9..=12).contains(&updates), "{updates}");
    assert_eq!(world.routers["B"].book.len(), 1000);
    assert!(world.sent("A", "RA") <= 2);
}

#[test]
fn treatment_in_links_and_mesh_travel_along() {
    let mut world = pair();
    let state = |in_links, mesh: Option<&str>| LocalAddress {
        hint: Some(Hint::Multicast),
        in_links,
        mesh: mesh.map(Arc::from),
    };
    world.with("A", |a, _| a.local_address("Hedge", Some(state(7, Some("123456789012345")))).unwrap());
    world.run(Duration::from_millis(2));
    let got = world.routers["B"].book.destinations("Hedge").to_vec();
    assert_eq!(
        (got[0].hint, got[0].in_links, got[0].mesh.as_deref()),
        (Some(Hint::Multicast), 7, Some("123456789012345"))
    );
    // Another mesh is told, another number of senders alone is not.
    world.with("A", |a, _| a.local_address("Hedge", Some(state(8, Some("123456789012345")))).unwrap());
    world.run(Duration::from_secs(3));
    assert_eq!(world.sent("A", "MAU"), 1);
    world.with("A", |a, _| a.local_address("Hedge", Some(state(9, None))).unwrap());
    world.run(Duration::from_secs(3));
    let got = world.routers["B"].book.destinations("Hedge").to_vec();
    assert_eq!((got[0].in_links, got[0].mesh.as_deref()), (9, None));
}

#[test]
fn keys_of_other_classes_are_refused() {
    let mut world = pair();
    for key in ["Lqdhello", "Tall", "Rx", "", "x"] {
        world.with("A", |a, _| assert!(a.local_address(key, Some(LocalAddress::default())).is_err(), "{key}"));
    }
    world.with("A", |a, _| assert!(a.local_address("M".repeat(5000), Some(LocalAddress::default())).is_err()));
    world.run(Duration::from_secs(2));
    assert_eq!(world.sent("A", "MAU"), 0);
}

#[test]
fn a_gap_in_the_sequence_is_asked_about_once() {
    let mut world = pair();
    world.serve("A", "Mone");
    world.run(Duration::from_secs(2));
    world.silence("A", "B", true);
    world.serve("A", "Mlost");
    world.run(Duration::from_millis(100));
    world.silence("A", "B", false);
    for i in 0..5 {
        world.serve("A", &format!("M{i}"));
        world.with("B", |_, _| {});
    }
    world.forget_traffic();
    let took = world.until(SOON, "all known", |w| w.routers["B"].book.len() == 7);
    assert!(took <= Duration::from_millis(15), "{took:?}");
    assert_eq!(world.sent("B", "MAR"), 1);
    assert_eq!(world.sent("A", "MAU"), 2, "the update with the gap and the answer");
}

#[test]
fn a_lost_update_is_noticed_by_the_advertisement_after_it() {
    let mut world = pair();
    world.silence("A", "B", true);
    world.serve("A", "Mone");
    world.run(Duration::from_millis(100));
    world.silence("A", "B", false);
    let took = world.until(Duration::from_secs(2), "known", |w| w.destinations("B", "Mone") == ["A"]);
    assert!(took <= Duration::from_millis(1100), "{took:?}");
}

#[test]
fn a_request_is_answered_when_the_sequence_is_another_one() {
    let mut world = pair();
    world.serve("A", "Mone");
    world.run(Duration::from_secs(2));
    world.forget_traffic();
    let link = world.link("A", "B");
    let seq = world.routers["A"].routing.mobile_seq();
    for (have_seq, answers) in [(seq, 0), (seq - 1, 1), (seq + 9, 2)] {
        let request = MobileAddressRequest { id: "B".into(), version: 2, have_seq };
        world.inject("A", link, &Message::MobileAddressRequest(request));
        assert_eq!(world.sent("A", "MAU"), answers, "{have_seq}");
        world.run(Duration::from_millis(100));
    }
}

#[test]
fn requests_without_end_are_not_answered_without_end() {
    let mut world = pair();
    world.serve("A", "Mone");
    world.run(Duration::from_secs(2));
    world.forget_traffic();
    let link = world.link("A", "B");
    for _ in 0..1000 {
        let request = MobileAddressRequest { id: "B".into(), version: 2, have_seq: 0 };
        world.inject("A", link, &Message::MobileAddressRequest(request));
        world.run(Duration::from_millis(1));
    }
    assert!(world.sent("A", "MAU") <= 20);
}

#[test]
fn updates_of_routers_nobody_knows_are_left_alone() {
    let mut world = pair();
    let content = MobileContent::Absolute { exist: [].into() };
    let update = MobileAddressUpdate { id: "X".into(), version: 2, mobile_seq: 1, content };
    let link = world.link("A", "B");
    world.inject("A", link, &Message::MobileAddressUpdate(update));
    assert_eq!(world.routers["A"].routing.routers().count(), 2);
}

/// Long lists are told in parts, and taken apart by nobody who does not need them.
#[test]
fn a_hundred_thousand_addresses_of_one_router_arrive() {
    let mut world = World::of("A-B");
    world.with("A", |a, _| {
        for i in 0..100_000 {
            a.local_address(format!("Mservice/{i:06}"), Some(LocalAddress::default())).unwrap();
        }
    });
    world.until(SOON, "known", |w| w.routers["B"].book.len() == 100_000);
    let parts = world.sent("A", "MAU");
    assert!((10..=20).contains(&parts), "{parts}");
    // A third router comes later, and misses one of the changes.
    world.add("B-C");
    world.until(SOON, "known", |w| w.routers["C"].book.len() == 100_000);
    world.silence("B", "C", true);
    world.unserve("A", "Mservice/000007");
    world.run(Duration::from_millis(50));
    world.silence("B", "C", false);
    world.serve("A", "Mnew");
    world.until(SOON, "known", |w| w.routers["C"].book.len() == 100_000 && w.destinations("C", "Mnew") == ["A"]);
    assert!(world.destinations("C", "Mservice/000007").is_empty());
    let known: Vec<_> = world.routers["C"].routing.addresses_of("A").cloned().collect();
    let told: Vec<_> = world.routers["A"].routing.told_addresses().cloned().collect();
    assert_eq!(known, told);
}

#[test]
fn lists_in_any_order_are_taken() {
    let mut world = pair();
    let link = world.link("A", "B");
    let entry = |key: &str| AddressEntry { key: key.into(), hint: None, in_links: 0, mesh: None };
    let send = |world: &mut World, seq, content| {
        let update = MobileAddressUpdate { id: "A".into(), version: 2, mobile_seq: seq, content };
        world.inject("B", link, &Message::MobileAddressUpdate(update));
    };
    send(&mut world, 5, MobileContent::Absolute { exist: [entry("Mz"), entry("Ma"), entry("Mz"), entry("Mk")].into() });
    let keys = |w: &World| w.routers["B"].routing.addresses_of("A").map(|e| e.key.to_string()).collect::<Vec<_>>();
    assert_eq!(keys(&world), ["Ma", "Mk", "Mz"]);
    let del = ["Mk".into(), "Mnever".into()];
    send(&mut world, 6, MobileContent::Differential { add: [entry("Mb"), entry("Ma")].into(), del: del.into() });
    assert_eq!(keys(&world), ["Ma", "Mb", "Mz"]);
    send(&mut world, 7, MobileContent::Absolute { exist: [entry("Mb")].into() });
    assert_eq!(keys(&world), ["Mb"]);
    assert_eq!(world.routers["B"].book.len(), 1);
    assert_eq!(world.events("B", |e| matches!(e, Event::Addresses { .. })), 3);
}
