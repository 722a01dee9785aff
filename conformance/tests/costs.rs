//! Which way deliveries take: costs of links, and the reference's rule of balancing.

use std::time::Duration;

use conformance::agent::Agent;
use conformance::network::{Network, Plan};
use conformance::raw::V;
use conformance::traffic::{Pace, Sink, Source};

/// How a router reaches another: by which neighbour, at which cost.
fn way(network: &Network, from: &str, to: &str) -> (String, u64) {
    let node = network.agent(from).nodes().into_iter().find(|node| node.id == to).expect("it is known");
    (node.next_hop.unwrap_or(node.id), node.cost.expect("it can be reached"))
}

/// A way of two cheap links is taken rather than one dear link; when the cost of a link is changed while it is in use, both
/// directions follow, no connection is dropped, and nothing is lost or doubled (R5).
#[test]
fn the_cheapest_way_is_taken_and_follows_a_change_of_cost() {
    let mut network = Plan::routers(3).link("A", "B", 2).link("B", "C", 2).link("A", "C", 10).start();
    assert_eq!(way(&network, "A", "C"), ("B".to_owned(), 4));
    let sink = Sink::start(network.router("C"), "x", 50);
    network.wait_address("A", "x", 0, 1);
    let source = Source::start(network.router("A"), "x", "x", Pace::default());
    source.wait_accepted(100);
    for (cost, hop) in [(3, "C"), (10, "B"), (1, "C")] {
        let before = connections(&network);
        let answer = network.agent("A").update("connector", "A-C", vec![(V::str("cost"), V::Int(cost))]);
        assert_eq!(answer.status, 200, "{answer:?}");
        network.cost_is("A", "C", cost as u32);
        network.converge();
        assert_eq!(way(&network, "A", "C").0, hop);
        source.wait_accepted(100);
        assert_eq!(connections(&network), before, "connections stay");
    }
    // The other side of a link may raise its cost as well; the larger one counts.
    let answer = network.agent("C").update("listener", "A-C", vec![(V::str("cost"), V::Int(7))]);
    assert_eq!(answer.status, 200, "{answer:?}");
    network.cost_is("A", "C", 7);
    network.converge();
    let sent = source.stop();
    // Until all know the new cost, some are released, and their senders know.
    println!("{} accepted, refused {:?}", sent.accepted.count(), sent.refused);
    assert_eq!((sent.open, sent.ended), (0, false));
    sink.stop().assert_exactly_once("x", &sent);
}

/// The connections between routers that router A has.
fn connections(network: &Network) -> Vec<String> {
    let rows = network.agent("A").rows("connection", &["identity", "role"]);
    let routers = rows.into_iter().filter(|row| row[1].text().is_some_and(|role| role.starts_with("inter-router")));
    let mut ids: Vec<String> = routers.map(|row| row[0].text().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

/// The reference's rule for `balanced`, step by step: of one consumer here and one behind a link of cost `c`, neither of which settles, the
/// first c+1 deliveries stay, the next one goes away, and then they alternate (R2).
#[test]
fn balanced_follows_the_staircase_of_costs() {
    for cost in [1, 10] {
        let network = Plan::routers(2).link("B", "A", cost).distribution("shared", "balanced").start();
        let mut here = idle_consumer(network.port("A"), "shared.x");
        let mut there = idle_consumer(network.port("B"), "shared.x");
        network.wait_address("A", "shared.x", 1, 1);
        let mut places = String::new();
        let total = cost as usize + 7;
        let pace = Pace { count: total as u64, window: total, gap: Duration::from_millis(30), ..Pace::default() };
        let source = Source::start(network.router("A"), "x", "shared.x", pace);
        while places.len() < total {
            places.extend(came(&mut here).then_some('h'));
            places.extend(came(&mut there).then_some('t'));
        }
        let expected: String = "h".repeat(cost as usize + 1) + &"th".repeat(3);
        assert!(places.starts_with(&expected), "cost {cost}: {places}, expected {expected}...");
        drop((here, there));
        drop(source);
    }
}

/// A consumer that never settles.
fn idle_consumer(port: u16, address: &str) -> conformance::raw::Session {
    let mut session = conformance::raw::Session::begin(port);
    session.receiver(0, Some(address), 100);
    session
}

fn came(session: &mut conformance::raw::Session) -> bool {
    matches!(session.listen(Duration::from_millis(5)), conformance::raw::Heard::Delivery(_))
}

/// A link of cost 99999 is for emergencies: everything stays here as long as there is a consumer here, goes away when it is gone, and
/// comes back with it (R3).
#[test]
fn a_huge_cost_makes_a_failover() {
    let network = Plan::routers(2).link("B", "A", 99_999).distribution("shared", "balanced").start();
    let there = Sink::start(network.router("B"), "shared.x", 50);
    network.wait_address("A", "shared.x", 0, 1);
    let mut agent: Agent = network.agent("A");
    let send = |count: u64| {
        let source = Source::start(network.router("A"), "x", "shared.x", Pace { count, window: 50, ..Pace::default() });
        source.wait_done(count);
        assert_eq!(source.stop().accepted.count() as u64, count);
    };
    for _ in 0..2 {
        let before = there.count();
        let here = Sink::start(network.router("A"), "shared.x", 50);
        agent.wait_address("shared.x", 1, 1);
        send(200);
        assert_eq!((here.count(), there.count()), (200, before));
        here.stop();
        agent.wait_address("shared.x", 0, 1);
        send(200);
        assert_eq!(there.count(), before + 200);
    }
}
