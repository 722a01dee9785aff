//! Routers that start anew.

use std::time::Duration;

use super::world::World;
use crate::routing::{
    Event, Message,
    message::{LinkStateUpdate, MobileAddressUpdate, MobileContent, Peer, RouterAdvertisement},
};

const SOON: Duration = Duration::from_millis(500);

fn restarted(world: &World, id: &str) -> usize {
    world.events(id, |e| matches!(e, Event::RouterRestarted { .. }))
}

/// A ring of four where C serves an address.
fn ring() -> World {
    let mut world = World::of("A-B B-C C-D D-A");
    world.serve("C", "Mold");
    world.until(SOON, "known", |w| w.destinations("A", "Mold") == ["C"] && w.table("A").len() == 3);
    world.run(Duration::from_secs(5));
    world.forget_traffic();
    world
}

#[test]
fn a_restart_is_noticed_by_its_instance() {
    let mut world = ring();
    world.kill("C");
    world.instance += 1;
    world.router("C");
    world.serve("C", "Mnew");
    world.add("B-C C-D");
    let took = world.until(SOON, "told anew", |w| {
        w.routers.keys().filter(|id| *id != "C").all(|id| {
            w.destinations(id, "Mnew") == ["C"] && w.destinations(id, "Mold").is_empty() && w.reaches(id, "C")
        })
    });
    assert!(took < Duration::from_millis(100), "{took:?}");
    assert_eq!(restarted(&world, "A"), 1);
}

#[test]
fn a_restart_within_the_second_is_overtaken_by_sequence_numbers() {
    let mut world = ring();
    world.kill("C");
    let mut config = world.config("C");
    config.first_sequence = 300_000;
    world.start(config);
    world.serve("C", "Mnew");
    world.add("B-C C-D");
    let took = world.until(SOON, "told anew", |w| {
        ["A", "B", "D"].iter().all(|id| {
            w.destinations(id, "Mnew") == ["C"] && w.destinations(id, "Mold").is_empty() && w.reaches(id, "C")
        })
    });
    assert!(took < Duration::from_millis(100), "{took:?}");
    assert_eq!(restarted(&world, "A"), 0);
}

/// So does a reference router, whose sequence numbers begin at 0 with every start.
#[test]
fn a_restart_within_the_second_that_counts_from_zero_is_found_out() {
    let mut world = ring();
    world.serve("C", "Mold2");
    world.run(Duration::from_secs(1));
    world.serve("C", "Mold3");
    world.run(Duration::from_secs(1));
    world.kill("C");
    world.router("C");
    world.serve("C", "Mnew");
    world.add("B-C C-D");
    let took = world.until(Duration::from_secs(2), "told anew", |w| {
        ["A", "B", "D"].iter().all(|id| {
            w.destinations(id, "Mnew") == ["C"]
                && ["Mold", "Mold2", "Mold3"].iter().all(|key| w.destinations(id, key).is_empty())
                && w.reaches(id, "C")
        })
    });
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_restart_within_the_second_without_addresses_leaves_none_behind() {
    let mut world = ring();
    world.kill("C");
    world.router("C");
    world.add("B-C C-D");
    world.until(Duration::from_secs(2), "gone", |w| {
        ["A", "B", "D"].iter().all(|id| w.destinations(id, "Mold").is_empty() && w.reaches(id, "C"))
    });
}

#[test]
fn a_neighbour_that_restarts_behind_a_link_that_stays_is_noticed() {
    let mut world = World::new();
    world.router("A");
    world.with("A", |a, now| a.link_up(crate::routing::LinkId(1), 1, now));
    world.inject("A", 1, &World::hello("B", 5, &["A"]));
    let peers = [Peer { id: "A".into(), cost: 1 }, Peer { id: "C".into(), cost: 1 }];
    let update = LinkStateUpdate { id: "B".into(), version: 1, instance: 5, ls_seq: 9, peers: peers.into() };
    world.inject("A", 1, &Message::LinkStateUpdate(update));
    world.run(Duration::from_millis(10));
    assert!(world.reaches("A", "C"));
    world.inject("A", 1, &World::hello("B", 6, &["A"]));
    assert_eq!(restarted(&world, "A"), 1);
    world.run(Duration::from_millis(10));
    assert!(!world.reaches("A", "C"), "what it said before counts no more");
    assert!(world.reaches("A", "B"));
}

#[test]
fn an_advertisement_that_was_overtaken_changes_nothing() {
    let mut world = ring();
    let link = world.link("A", "B");
    let seq = world.routers["C"].routing.routers().find(|r| &*r.id == "C").unwrap();
    let old = RouterAdvertisement {
        id: "C".into(),
        version: 1,
        instance: world.instance,
        ls_seq: seq.ls_seq - 1,
        mobile_seq: seq.mobile_seq,
        loads: true,
    };
    world.inject("A", link, &Message::RouterAdvertisement(old));
    world.run(Duration::from_secs(3));
    assert!(world.reaches("A", "C"));
    assert_eq!(world.destinations("A", "Mold"), ["C"]);
    assert_eq!(world.events("A", |e| matches!(e, Event::RouterUnreachable { .. })), 0);
}

#[test]
fn an_absolute_update_that_was_overtaken_changes_nothing() {
    let mut world = ring();
    world.serve("C", "Mnew");
    world.until(SOON, "known", |w| w.destinations("A", "Mnew") == ["C"]);
    let link = world.link("A", "B");
    let content = MobileContent::Absolute { exist: [].into() };
    let late = MobileAddressUpdate { id: "C".into(), version: 2, mobile_seq: 1, content };
    world.inject("A", link, &Message::MobileAddressUpdate(late));
    assert_eq!(world.destinations("A", "Mnew"), ["C"]);
}
