//! Peers that tell more than anybody should remember.

use std::time::Duration;

use super::world::World;
use crate::routing::{
    AddressEntry, Event, Limit, LinkId, Message,
    message::{LinkStateUpdate, MobileAddressUpdate, MobileContent, Peer, RouterAdvertisement},
};

fn hits(world: &World, limit: Limit) -> usize {
    world.events("A", |e| matches!(e, Event::LimitReached { limit: hit, .. } if *hit == limit))
}

/// A with a neighbour B that tests speak for.
fn world() -> World {
    let mut world = World::new();
    let mut config = world.config("A");
    config.limits.routers = 50;
    config.limits.peers_per_router = 20;
    config.limits.addresses_per_router = 100;
    config.limits.addresses = 150;
    world.start(config);
    world.with("A", |a, now| a.link_up(LinkId(1), 1, now));
    world.inject("A", 1, &World::hello("B", 5, &["A"]));
    world
}

fn link_state(id: &str, seq: u64, peers: impl IntoIterator<Item = String>) -> Message {
    let peers = peers.into_iter().map(|id| Peer { id: id.into(), cost: 1 }).collect();
    Message::LinkStateUpdate(LinkStateUpdate { id: id.into(), version: 1, instance: 5, ls_seq: seq, peers })
}

#[test]
fn endless_routers_are_bounded_and_forgotten() {
    let mut world = world();
    for i in 0..1000 {
        let id = format!("X{i}").into();
        let ra = RouterAdvertisement { id, version: 1, instance: 5, ls_seq: 1, mobile_seq: 1, loads: true };
        world.inject("A", 1, &Message::RouterAdvertisement(ra));
    }
    assert_eq!(world.routers["A"].routing.routers().count(), 50);
    assert_eq!(hits(&world, Limit::Routers), 1);
    // Real ones find room again.
    for _ in 0..5 {
        world.inject("A", 1, &World::hello("B", 5, &["A"]));
        world.run(Duration::from_secs(1));
    }
    assert_eq!(world.routers["A"].routing.routers().count(), 2);
}

#[test]
fn a_huge_link_state_is_cut() {
    let mut world = world();
    world.inject("A", 1, &link_state("B", 1, (0..100_000).map(|i| format!("X{i}"))));
    assert_eq!(hits(&world, Limit::PeersPerRouter), 1);
    assert_eq!(world.routers["A"].routing.routers().count(), 22);
    world.run(Duration::from_millis(10));
    assert!(world.reaches("A", "X0"));
}

#[test]
fn address_floods_are_bounded_by_router_and_in_all() {
    let mut world = world();
    world.inject("A", 1, &link_state("B", 1, ["A".into(), "C".into()]));
    let entries = |n: usize| -> Vec<_> {
        (0..n).map(|i| AddressEntry { key: format!("M{i}").into(), hint: None, in_links: 0, mesh: None }).collect()
    };
    let update = |id: &str, seq, content| {
        Message::MobileAddressUpdate(MobileAddressUpdate { id: id.into(), version: 2, mobile_seq: seq, content })
    };
    world.inject("A", 1, &update("B", 3, MobileContent::Absolute { exist: entries(5000).into() }));
    assert_eq!(world.routers["A"].book.len(), 100);
    assert_eq!(hits(&world, Limit::AddressesPerRouter), 1);
    let add = (0..5000).map(|i| AddressEntry { key: format!("Mmore{i}").into(), hint: None, in_links: 0, mesh: None });
    let add = MobileContent::Differential { add: add.collect(), del: [].into() };
    world.inject("A", 1, &update("B", 4, add));
    assert_eq!(world.routers["A"].book.len(), 100);
    world.inject("A", 1, &update("C", 1, MobileContent::Absolute { exist: entries(5000).into() }));
    assert_eq!(world.routers["A"].routing.addresses_of("C").count(), 50);
    assert_eq!(hits(&world, Limit::Addresses), 1);
    // What goes makes room.
    world.inject("A", 1, &update("B", 5, MobileContent::Absolute { exist: entries(10).into() }));
    world.inject("A", 1, &update("C", 2, MobileContent::Absolute { exist: entries(90).into() }));
    assert_eq!(world.routers["A"].routing.addresses_of("C").count(), 90);
}

#[test]
fn sequence_numbers_at_the_end_of_their_range_do_no_harm() {
    let mut world = world();
    world.inject("A", 1, &link_state("B", u64::MAX, ["C".into()]));
    world.run(Duration::from_millis(10));
    assert!(world.reaches("A", "C"));
    let end = RouterAdvertisement {
        id: "B".into(),
        version: 1,
        instance: 5,
        ls_seq: u64::MAX,
        mobile_seq: u64::MAX,
        loads: true,
    };
    world.inject("A", 1, &Message::RouterAdvertisement(end));
    let content = MobileContent::Absolute { exist: [].into() };
    let update = MobileAddressUpdate { id: "B".into(), version: 2, mobile_seq: u64::MAX, content };
    world.inject("A", 1, &Message::MobileAddressUpdate(update));
    let content = MobileContent::Differential { add: [].into(), del: [].into() };
    let update = MobileAddressUpdate { id: "B".into(), version: 2, mobile_seq: 0, content };
    world.inject("A", 1, &Message::MobileAddressUpdate(update));
    let low =
        RouterAdvertisement { id: "B".into(), version: 1, instance: 5, ls_seq: 0, mobile_seq: u64::MAX, loads: true };
    world.inject("A", 1, &Message::RouterAdvertisement(low));
    world.run(Duration::from_secs(2));
}

#[test]
fn costs_at_the_end_of_their_range_add_up() {
    let mut world = World::of("A-B:2147483647 B-C:2147483647 C-D:2147483647");
    world.until(Duration::from_secs(1), "up", |w| w.reaches("A", "D"));
    assert_eq!(world.table("A")["D"].1, 3 * 2_147_483_647);
}
