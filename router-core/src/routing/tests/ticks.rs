//! Neighbours of another make, which do everything in ticks of a second.

use std::time::Duration;

use super::world::World;
use crate::routing::{
    Event, LinkId, Message, Target,
    message::{LinkStateUpdate, MobileAddressUpdate, MobileContent, Peer, RouterAdvertisement},
};

/// A with a link to a reference router B that has just come up, for which tests speak.
fn world() -> World {
    let mut world = World::new();
    world.router("A");
    link_up(&mut world, 1, "B");
    world
}

fn link_up(world: &mut World, link: u64, router: &str) {
    world.with("A", |a, now| {
        a.link_up(LinkId(link), 1, now);
        a.presume_neighbour(LinkId(link), router, now);
    });
}

fn link_state(id: &str, seq: u64, peers: &[&str]) -> Message {
    let peers = peers.iter().map(|id| Peer { id: (*id).into(), cost: 1 }).collect();
    Message::LinkStateUpdate(LinkStateUpdate { id: id.into(), version: 1, instance: 5, ls_seq: seq, peers })
}

fn advertisement(id: &str, ls_seq: u64, mobile_seq: u64) -> Message {
    let ra = RouterAdvertisement { id: id.into(), version: 1, instance: 5, ls_seq, mobile_seq, loads: false };
    Message::RouterAdvertisement(ra)
}

#[test]
fn it_is_told_everything_before_its_tick() {
    let world = world();
    assert!(world.reaches("A", "B"));
    let sent: Vec<_> = world.routers["A"].sent.iter().map(|(opcode, to)| (*opcode, to.clone())).collect();
    assert_eq!(sent[0], ("HELLO", Target::Hop(LinkId(1))), "first of all that we hear it: {sent:?}");
    assert_eq!(world.sent("A", "LSU"), 1);
    assert!(world.sent("A", "RA") >= 1);
}

#[test]
fn it_stays_a_neighbour_when_its_first_hello_was_sent_before_it_heard_us() {
    let mut world = world();
    world.inject("A", 1, &World::hello("B", 5, &[]));
    assert!(world.reaches("A", "B"));
    world.run(Duration::from_secs(1));
    world.inject("A", 1, &World::hello("B", 5, &["A"]));
    world.run(Duration::from_millis(2500));
    assert!(world.reaches("A", "B"));
    assert_eq!(world.events("A", |e| matches!(e, Event::NeighbourDown { .. })), 0);
}

#[test]
fn who_says_nothing_is_a_neighbour_for_the_age_of_hellos_only() {
    let mut world = world();
    let took = world.until(Duration::from_secs(5), "given up", |w| !w.reaches("A", "B"));
    assert!(took >= Duration::from_secs(2) && took <= Duration::from_secs(3), "{took:?}");
    assert_eq!(world.events("A", |e| matches!(e, Event::NeighbourDown { .. })), 1);
    world.inject("A", 1, &World::hello("B", 5, &["A"]));
    world.run(Duration::from_millis(100));
    assert!(world.reaches("A", "B"));
}

#[test]
fn hello_of_another_router_ends_what_was_presumed() {
    let mut world = world();
    world.inject("A", 1, &World::hello("C", 5, &["A"]));
    world.run(Duration::from_millis(100));
    assert!(world.reaches("A", "C") && !world.reaches("A", "B"));
}

#[test]
fn our_own_name_is_not_presumed() {
    let mut world = World::new();
    world.router("A");
    link_up(&mut world, 1, "A");
    assert_eq!(world.table("A").len(), 0);
}

#[test]
fn what_it_told_before_it_was_lost_is_asked_for_again() {
    let mut world = world();
    world.inject("A", 1, &World::hello("B", 5, &["A"]));
    world.inject("A", 1, &link_state("B", 3, &["A", "C"]));
    let exist = [crate::routing::AddressEntry { key: "Mold".into(), hint: None, in_links: 0, mesh: None }];
    let content = MobileContent::Absolute { exist: exist.into() };
    let update = MobileAddressUpdate { id: "B".into(), version: 2, mobile_seq: 4, content };
    world.inject("A", 1, &Message::MobileAddressUpdate(update));
    world.run(Duration::from_millis(100));
    assert!(world.reaches("A", "C"));
    assert_eq!(world.destinations("A", "Mold"), ["B"]);
    world.with("A", |a, now| a.link_lost(LinkId(1), now));
    world.run(Duration::from_millis(100));
    world.forget_traffic();
    link_up(&mut world, 2, "B");
    world.run(Duration::from_millis(10));
    assert!(world.reaches("A", "B") && !world.reaches("A", "C"), "it may have started anew");
    assert!(world.destinations("A", "Mold").is_empty());
    assert_eq!((world.sent("A", "LSR"), world.sent("A", "MAR")), (1, 1));
}

#[test]
fn its_link_state_is_told_to_all_once() {
    let mut world = world();
    world.with("A", |a, now| a.link_up(LinkId(2), 1, now));
    world.inject("A", 2, &World::hello("C", 5, &["A"]));
    world.run(Duration::from_secs(2));
    world.forget_traffic();
    let told =
        |w: &World| w.routers["A"].sent.iter().filter(|(op, to)| *op == "LSU" && *to == Target::AllRouters).count();
    for _ in 0..3 {
        world.inject("A", 1, &link_state("B", 7, &["A", "C"]));
    }
    assert_eq!(told(&world), 1);
    world.inject("A", 2, &link_state("B", 8, &["A", "C"]));
    assert_eq!(told(&world), 1, "it came from elsewhere");
    world.inject("A", 2, &link_state("C", 3, &["A"]));
    assert_eq!(told(&world), 1, "routers of our make tell everybody themselves");
}

#[test]
fn requests_are_repeated_with_its_ticks_and_rarely_in_the_end() {
    let mut world = world();
    world.inject("A", 1, &World::hello("B", 5, &["A"]));
    world.inject("A", 1, &link_state("B", 3, &["A", "C"]));
    world.inject("A", 1, &advertisement("B", 3, 0));
    world.inject("A", 1, &advertisement("C", 2, 9));
    // 0.1, 0.2 and then 0.4 s after one another.
    world.forget_traffic();
    world.run(Duration::from_millis(2000));
    let soon = world.sent("A", "MAR");
    assert!((5..=8).contains(&soon), "{soon}");
    // Its HELLO begins a tick.
    for _ in 0..20 {
        world.forget_traffic();
        world.inject("A", 1, &World::hello("B", 5, &["A"]));
        world.run(Duration::from_millis(30));
        let asked = world.sent("A", "MAR");
        world.run(Duration::from_millis(970));
        if world.sent("A", "MAR") == 1 {
            assert_eq!(asked, 1, "nothing but the tick makes it ask now");
            break;
        }
    }
    // Who never answers.
    world.forget_traffic();
    for _ in 0..60 {
        world.inject("A", 1, &World::hello("B", 5, &["A"]));
        world.run(Duration::from_secs(1));
    }
    let late = world.sent("A", "MAR");
    assert!(late < 20, "{late}");
}
