//! Tables that come about, and change.

use std::time::Duration;

use super::world::World;
use crate::routing::Event;

const SOON: Duration = Duration::from_millis(500);

fn full(world: &World) -> bool {
    let all = world.routers.len() - 1;
    world.routers.keys().all(|id| world.table(id).len() == all)
}

fn ways(world: &World, id: &str) -> Vec<String> {
    world.table(id).into_iter().map(|(to, (via, cost))| format!("{to} via {via} {cost}")).collect()
}

#[test]
fn two_routers_know_each_other_after_two_round_trips() {
    let mut world = World::of("A-B:3");
    let took = world.until(SOON, "both know", full);
    assert!(took <= Duration::from_millis(5), "{took:?}");
    assert_eq!(ways(&world, "A"), ["B via B 3"]);
    assert_eq!(ways(&world, "B"), ["A via A 3"]);
    assert_eq!(world.events("A", |e| matches!(e, Event::NeighbourUp { cost: 3, .. })), 1);
}

#[test]
fn a_line_reaches_its_ends() {
    let mut world = World::of("A-B B-C C-D");
    let took = world.until(SOON, "all know all", full);
    assert!(took < Duration::from_millis(100), "{took:?}");
    assert_eq!(ways(&world, "A"), ["B via B 1", "C via B 2", "D via B 3"]);
    assert_eq!(world.routers["A"].routing.routes().radius(), 3);
    assert_eq!(world.routers["B"].routing.routes().radius(), 2);
}

#[test]
fn valid_origins_are_those_whose_path_leads_through() {
    let mut world = World::of("A-B B-C C-D");
    world.until(SOON, "all know all", full);
    let routes = world.routers["B"].routing.routes().clone();
    let at = |id: &str| routes.graph().index_of(id).unwrap();
    let ids = |of: &str| -> Vec<String> {
        routes.valid_origins(at(of)).into_iter().map(|i| routes.graph().id(i).unwrap().to_string()).collect()
    };
    assert_eq!(ids("A"), ["B", "C", "D"]);
    assert_eq!(ids("C"), ["A", "B"]);
    assert!(routes.is_valid_origin(at("A"), at("D")));
    assert!(!routes.is_valid_origin(at("C"), at("D")));
    assert_eq!(world.routers["A"].routing.routes().behind(at("D")), []);
}

#[test]
fn a_ring_goes_round_a_lost_link() {
    let mut world = World::of("A-B B-C C-D D-A");
    world.run(SOON);
    assert_eq!(ways(&world, "A"), ["B via B 1", "C via B 2", "D via D 1"]);
    world.cut("A", "B");
    assert_eq!(ways(&world, "A"), ["B via D 3", "C via D 2", "D via D 1"], "acted on at once");
    let took = world.until(SOON, "C knows", |w| ways(w, "C") == ["A via D 2", "B via B 1", "D via D 1"]);
    assert!(took <= Duration::from_millis(50), "{took:?}");
    world.connect("A", "B", 1);
    world.until(SOON, "as before", |w| ways(w, "A") == ["B via B 1", "C via B 2", "D via D 1"]);
}

#[test]
fn a_cost_changed_on_a_live_link_moves_traffic() {
    let mut world = World::of("A-B B-C C-D D-A");
    world.until(SOON, "all know all", full);
    world.run(SOON);
    world.set_cost("A", "B", 5);
    assert_eq!(ways(&world, "A"), ["B via D 3", "C via D 2", "D via D 1"]);
    world.until(SOON, "B goes round, too", |w| ways(w, "B")[0] == "A via C 3");
    assert_eq!(world.events("A", |e| matches!(e, Event::NeighbourDown { .. })), 0);
    world.set_cost("A", "B", 2);
    world.until(SOON, "and comes back", |w| ways(w, "B")[0] == "A via A 2");
}

#[test]
fn a_partition_heals_with_what_changed_meanwhile() {
    let mut world = World::of("A-B B-C C-D");
    world.serve("A", "Ma");
    world.serve("D", "Md");
    world.until(SOON, "all know all", |w| {
        full(w) && w.destinations("A", "Md") == ["D"] && w.destinations("D", "Ma") == ["A"]
    });
    world.run(SOON);
    world.cut("B", "C");
    assert!(!world.reaches("B", "C"));
    world.until(SOON, "the far ends know", |w| !w.reaches("A", "D") && !w.reaches("D", "A"));
    let kept = world.until(Duration::from_secs(5), "flushed", |w| w.destinations("A", "Md").is_empty());
    assert!(kept >= Duration::from_millis(900), "kept for the hold-off: {kept:?}");
    world.serve("D", "Md2");
    world.unserve("A", "Ma");
    world.run(Duration::from_secs(20));
    world.connect("B", "C", 1);
    let took = world.until(SOON, "healed", |w| {
        full(w)
            && w.destinations("A", "Md") == ["D"]
            && w.destinations("A", "Md2") == ["D"]
            && w.destinations("D", "Ma").is_empty()
    });
    assert!(took < Duration::from_millis(200), "{took:?}");
}

#[test]
fn a_partition_of_minutes_forgets_and_heals() {
    let mut world = World::of("A-B B-C C-D");
    world.serve("D", "Md");
    world.until(SOON, "all know all", |w| full(w) && w.destinations("A", "Md") == ["D"]);
    world.cut("B", "C");
    world.run(Duration::from_secs(70));
    for gone in ["C", "D"] {
        assert_eq!(
            world.events("A", |e| matches!(e, Event::RouterForgotten { router } if **router == *gone)),
            1,
            "{gone}"
        );
    }
    assert_eq!(world.routers["A"].routing.routers().count(), 2);
    world.connect("B", "C", 1);
    let took = world.until(SOON, "healed", |w| full(w) && w.destinations("A", "Md") == ["D"]);
    assert!(took < Duration::from_millis(200), "{took:?}");
}

#[test]
fn a_quiet_network_sends_hellos_and_an_advertisement_each_half_minute() {
    let mut world = World::of("A-B B-C");
    world.run(Duration::from_secs(60));
    world.forget_traffic();
    world.run(Duration::from_secs(300));
    assert_eq!(world.sent("B", "HELLO"), 600);
    assert_eq!(world.sent("B", "RA"), 10);
    assert_eq!(world.routers["B"].sent.len(), 610, "nothing else");
    assert!(world.routers["B"].events.is_empty(), "{:?}", world.routers["B"].events);
}

#[test]
fn many_losses_at_once_are_computed_together() {
    let spokes: Vec<_> = (0..50).map(|i| format!("H-R{i:02}")).collect();
    let mut world = World::of(&spokes.join(" "));
    world.until(Duration::from_secs(5), "all know all", full);
    world.run(Duration::from_secs(10));
    world.forget_traffic();
    let links: Vec<_> = (0..40).map(|i| world.link("H", &format!("R{i:02}"))).collect();
    world.with("H", |routing, now| links.iter().for_each(|link| routing.link_lost(crate::routing::LinkId(*link), now)));
    assert_eq!(world.events("H", |e| matches!(e, Event::Routes(_))), 1);
    assert_eq!(world.sent("H", "LSU"), 1);
    assert_eq!(world.table("H").len(), 10);
}

/// The far end of a lost link is told by way of those who were told by the near end, who must not take it for told already.
#[test]
fn both_ends_of_a_lost_link_learn_the_other_side_at_once() {
    let mut world = World::of("A-B B-C C-A");
    world.run(Duration::from_secs(20));
    world.cut("A", "B");
    let named = |w: &World, at: &str, of: &str| {
        let info = w.routers[at].routing.routers().find(|info| &*info.id == of).unwrap();
        info.link_state.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    world.until(Duration::from_millis(50), "told", |w| named(w, "B", "A") == ["C"] && named(w, "A", "B") == ["C"]);
}

/// The topology that copies go by, from each router.
fn trees(world: &World) -> Vec<(u16, u16)> {
    let routes = world.routers.values().map(|router| router.routing.routes());
    routes.map(|routes| (routes.fingerprint(), routes.copies_by())).collect()
}

#[test]
fn copies_keep_to_the_old_trees_until_all_know_of_a_new_link() {
    let mut world = World::of("A-B B-C C-D");
    world.until(SOON, "all know all", full);
    world.run(SOON);
    let line = trees(&world)[0].0;
    assert_eq!(trees(&world), [(line, line); 4], "all see the same");
    world.connect("D", "A", 1);
    world.until(SOON, "the ring is known", |w| trees(w).iter().all(|(now, _)| *now == trees(w)[0].0 && *now != line));
    let ring = trees(&world)[0].0;
    assert_eq!(trees(&world), [(ring, line); 4], "and nobody has begun to use it for copies");
    world.run(Duration::from_millis(900));
    assert_eq!(trees(&world), [(ring, line); 4]);
    world.run(Duration::from_millis(300));
    assert_eq!(trees(&world), [(ring, ring); 4]);
    // A loss is no time to wait.
    world.cut("D", "A");
    assert_eq!(trees(&world)[0].0, trees(&world)[0].1);
    world.until(SOON, "the line is known", |w| trees(w) == [(line, line); 4]);
    // Nor is a router that could not be reached before.
    world.add("D-E");
    world.until(SOON, "E is known", |w| trees(w)[0].0 != line && w.reaches("A", "E"));
    assert_eq!(trees(&world)[0].0, trees(&world)[0].1);
}
