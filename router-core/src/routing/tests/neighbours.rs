//! Links and HELLO.

use std::time::Duration;

use super::world::World;
use crate::routing::{Event, LinkCost, LinkId, Target};

const SOON: Duration = Duration::from_millis(500);

fn down(world: &World, id: &str) -> usize {
    world.events(id, |e| matches!(e, Event::NeighbourDown { .. }))
}

#[test]
fn a_neighbour_that_does_not_hear_us_is_none() {
    let mut world = World::new();
    world.router("A");
    world.with("A", |a, now| a.link_up(LinkId(1), 1, now));
    world.inject("A", 1, &World::hello("B", 5, &["C"]));
    world.run(Duration::from_secs(1));
    assert!(!world.reaches("A", "B"));
    world.inject("A", 1, &World::hello("B", 5, &["C", "A"]));
    assert!(world.reaches("A", "B"));
}

#[test]
fn silence_is_noticed_at_the_configured_age() {
    let mut world = World::of("A-B");
    world.until(SOON, "up", |w| w.reaches("A", "B") && w.reaches("B", "A"));
    world.run(Duration::from_secs(10));
    world.silence("A", "B", true);
    let took = world.until(Duration::from_secs(4), "lost", |w| !w.reaches("A", "B"));
    assert!(took >= Duration::from_secs(2) && took <= Duration::from_secs(3), "{took:?}");
    assert_eq!(down(&world, "A"), 1);
    world.silence("A", "B", false);
    world.until(Duration::from_secs(3), "back", |w| w.reaches("A", "B") && w.reaches("B", "A"));
}

#[test]
fn intervals_below_a_second_are_kept() {
    let mut world = World::new();
    for id in ["A", "B"] {
        let mut config = world.config(id);
        config.hello_interval = Duration::from_millis(50);
        config.hello_max_age = Duration::from_millis(150);
        world.start(config);
    }
    world.connect("A", "B", 1);
    world.until(SOON, "up", |w| w.reaches("A", "B"));
    world.run(Duration::from_secs(2));
    assert_eq!(down(&world, "A"), 0);
    world.silence("A", "B", true);
    let took = world.until(SOON, "lost", |w| !w.reaches("A", "B"));
    assert!(took >= Duration::from_millis(100) && took <= Duration::from_millis(150), "{took:?}");
}

#[test]
fn a_second_link_to_a_neighbour_takes_over_without_a_gap() {
    let mut world = World::of("A-B:2");
    world.until(SOON, "up", |w| w.reaches("A", "B") && w.reaches("B", "A"));
    let first = world.link("A", "B");
    let second = world.connect("A", "B", 4);
    world.run(Duration::from_secs(5));
    assert_eq!(world.routers["A"].routing.routes().route_to("B").unwrap().link, LinkId(first), "the cheaper one");
    world.with("A", |a, now| a.link_lost(LinkId(first), now));
    let route = *world.routers["A"].routing.routes().route_to("B").unwrap();
    assert_eq!((route.link, route.cost), (LinkId(second), 4));
    assert_eq!(down(&world, "A"), 0);
}

/// Whether the new link is known to one end or to both, and whatever it costs.
#[test]
fn a_link_that_takes_the_place_of_another_keeps_the_neighbour() {
    let mut world = World::of("A-B:2 B-C");
    world.until(SOON, "up", |w| w.reaches("A", "C") && w.reaches("C", "A"));
    let old = world.link("A", "B");
    let new = world.wire("A", "B");
    world.with("A", |a, now| a.link_replaced(LinkId(old), LinkId(new), 3, now));
    world.run(Duration::from_millis(50));
    world.with("B", |b, now| b.link_replaced(LinkId(old), LinkId(new), 3, now));
    world.run(Duration::from_secs(10));
    for id in ["A", "B"] {
        assert_eq!(down(&world, id), 0);
    }
    let route = *world.routers["A"].routing.routes().route_to("C").unwrap();
    assert_eq!((route.link, route.cost), (LinkId(new), 4));
    // What is late about the old one is of no interest.
    world.with("A", |a, now| a.link_lost(LinkId(old), now));
    assert!(world.reaches("A", "C"));
    // One that is not known is new.
    world.with("A", |a, now| a.link_replaced(LinkId(99), LinkId(100), 1, now));
    assert!(world.reaches("A", "C"));
}

#[test]
fn a_link_that_is_lost_and_attached_again_under_the_same_number_starts_anew() {
    let mut world = World::of("A-B");
    world.until(SOON, "up", |w| w.reaches("A", "B") && w.reaches("B", "A"));
    let link = world.link("A", "B");
    world.with("A", |a, now| a.link_up(LinkId(link), 1, now));
    assert_eq!(down(&world, "A"), 1);
    world.until(Duration::from_secs(2), "up again", |w| w.reaches("A", "B"));
}

#[test]
fn a_router_with_our_id_is_reported_once_an_instance() {
    let mut world = World::new();
    world.router("A");
    world.with("A", |a, now| a.link_up(LinkId(1), 1, now));
    let duplicates = |w: &World| w.events("A", |e| matches!(e, Event::DuplicateId { .. }));
    world.inject("A", 1, &World::hello("A", world.instance, &["A"]));
    assert_eq!(duplicates(&world), 0, "that is ourselves");
    for _ in 0..3 {
        world.inject("A", 1, &World::hello("A", 77, &["A"]));
    }
    assert_eq!(duplicates(&world), 1);
    world.inject("A", 1, &World::hello("A", 78, &[]));
    assert_eq!(duplicates(&world), 2);
    assert_eq!(world.table("A").len(), 0);
}

#[test]
fn endless_new_ids_on_a_link_leave_nothing_behind() {
    let mut world = World::new();
    world.router("A");
    world.with("A", |a, now| a.link_up(LinkId(1), 1, now));
    for i in 0..10_000 {
        world.inject("A", 1, &World::hello(&format!("R{i}"), 5, &[]));
    }
    assert_eq!(world.routers["A"].routing.routers().count(), 1, "who does not hear us is not remembered");
    let hellos = world.sent("A", "HELLO");
    assert!(hellos <= 5, "new names are not answered without end: {hellos}");
    world.run(Duration::from_secs(5));
    for i in 0..2000 {
        world.inject("A", 1, &World::hello(&format!("R{i}"), 5, &["A"]));
        if i % 100 == 0 {
            world.run(Duration::from_millis(100));
        }
    }
    world.run(Duration::from_secs(10));
    assert_eq!(world.routers["A"].routing.routers().count(), 1, "and forgotten when it is gone");
}

#[test]
fn higher_protocol_versions_are_reported_once_and_ignored() {
    let mut world = World::new();
    world.router("A");
    world.with("A", |a, now| a.link_up(LinkId(1), 1, now));
    for id in ["B", "B", "C"] {
        let crate::routing::Message::Hello(mut hello) = World::hello(id, 5, &["A"]) else { unreachable!() };
        hello.version = 2;
        world.inject("A", 1, &crate::routing::Message::Hello(hello));
    }
    assert_eq!(world.events("A", |e| matches!(e, Event::UnsupportedVersion { version: 2, opcode: "HELLO", .. })), 2);
    assert_eq!(world.table("A").len(), 0);
}

/// With short ages on our side, a neighbour that says HELLO once a second, as the reference does, is not lost.
#[test]
fn neighbours_are_granted_two_of_their_own_intervals() {
    let mut world = World::new();
    let mut config = world.config("A");
    config.hello_interval = Duration::from_millis(50);
    config.hello_max_age = Duration::from_millis(150);
    world.start(config);
    world.router("B");
    world.connect("A", "B", 1);
    world.until(SOON, "up", |w| w.reaches("A", "B"));
    world.run(Duration::from_secs(10));
    assert_eq!(down(&world, "A"), 0);
    world.silence("A", "B", true);
    let took = world.until(Duration::from_secs(3), "lost", |w| !w.reaches("A", "B"));
    assert!(took > Duration::from_millis(900) && took <= Duration::from_secs(2), "{took:?}");
}

/// Whoever carries a link is told once that nothing comes on it.
#[test]
fn a_silent_link_is_told() {
    let mut world = World::of("A-B");
    world.until(SOON, "up", |w| w.reaches("A", "B") && w.reaches("B", "A"));
    let silent = |w: &World| w.events("A", |e| matches!(e, Event::LinkSilent { .. }));
    world.run(Duration::from_secs(5));
    assert_eq!(silent(&world), 0);
    world.silence("A", "B", true);
    world.run(Duration::from_secs(10));
    assert_eq!(silent(&world), 1);
}

/// A router that was suspended does not take its neighbours for lost, whose HELLOs it has yet to read.
#[test]
fn nobody_is_lost_for_our_own_sleep() {
    let mut world = World::of("A-B");
    world.until(SOON, "up", |w| w.reaches("A", "B"));
    world.run(Duration::from_secs(5));
    world.with("A", |a, now| a.handle_timeout(now + Duration::from_secs(60)));
    assert_eq!(down(&world, "A"), 0);
    assert_eq!(world.events("A", |e| matches!(e, Event::LinkSilent { .. })), 0);
}

/// The cost of one side, changed while the link is in use, counts in both directions.
#[test]
fn a_changed_cost_is_told_to_the_other_side() {
    let mut world = World::of("A-B:4 B-C");
    world.until(Duration::from_secs(5), "up", |w| w.reaches("A", "C") && w.reaches("C", "A"));
    let link = LinkId(world.link("A", "B"));
    // As if both sides had said their 4 when the connection was opened.
    world.with("A", |a, now| a.link_up(link, LinkCost { ours: 4, theirs: 4 }, now));
    world.until(Duration::from_secs(5), "up", |w| w.reaches("A", "C") && w.reaches("C", "A"));
    world.run(Duration::from_secs(5));
    let lost = down(&world, "A") + down(&world, "B");
    let cost = |w: &World, from: &str, to: &str| w.table(from)[to].1;
    assert_eq!(cost(&world, "C", "A"), 5);
    world.with("A", |a, now| a.link_cost(link, 9, now));
    world.until(Duration::from_secs(2), "told", |w| cost(w, "A", "C") == 10 && cost(w, "C", "A") == 10);
    // B is still configured with 4.
    world.with("A", |a, now| a.link_cost(link, 2, now));
    world.until(Duration::from_secs(2), "told", |w| cost(w, "A", "C") == 5 && cost(w, "C", "A") == 5);
    assert_eq!(down(&world, "A") + down(&world, "B"), lost);
}

/// What is sent while a link comes up may be lost, so a neighbour is told more than once where we are.
#[test]
fn a_new_neighbour_is_told_again_soon() {
    let mut world = World::of("A-B B-C A-C");
    world.run(Duration::from_secs(40));
    world.cut("A", "B");
    world.run(Duration::from_secs(1));
    world.forget_traffic();
    world.connect("A", "B", 1);
    world.run(Duration::from_millis(1100));
    let again = ("RA", Target::Router("B".into()));
    let told = |id: &str| world.routers[id].sent.iter().filter(|sent| **sent == again).count();
    // At once, unless it was told with all others, and two times more.
    assert!((2..=3).contains(&told("A")), "{:?}", world.routers["A"].sent);
    assert_eq!(told("C"), 0);
}

#[test]
fn a_cost_counts_though_the_neighbour_has_lost_us_for_a_moment() {
    let mut world = World::new();
    for id in ["A", "B"] {
        world.router(id);
    }
    let link = world.connect("A", "B", 1);
    world.silence("A", "B", true);
    let says = |cost: u32, seen: &[&str]| {
        let crate::routing::Message::Hello(mut hello) = World::hello("B", 5, seen) else { unreachable!() };
        hello.cost = Some(cost);
        crate::routing::Message::Hello(hello)
    };
    for (cost, seen) in [(4, &["A"][..]), (2, &[]), (2, &["A"])] {
        world.inject("A", link, &says(cost, seen));
        world.run(Duration::from_millis(100));
        let table = world.table("A");
        assert!(table.get("B").is_none_or(|(_, known)| *known == u64::from(cost)), "{table:?}");
    }
    assert_eq!(world.table("A")["B"].1, 2);
}
