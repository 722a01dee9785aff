//! Every shape of network carries every kind of traffic: a line of three routers, a ring of four, a star of five edge routers around an
//! interior one, and two edge routers with an interior one between them.

use std::collections::BTreeSet;
use std::time::Duration;

use conformance::agent::Agent;
use conformance::network::{Network, Plan};
use conformance::process::wait_for;
use conformance::raw::{Heard, Session, code};
use conformance::relay::Line;
use conformance::router::{Config, PATIENCE, Router};
use conformance::suite::stream_in_bounded_memory;
use conformance::traffic::{Holder, Pace, Requests, Responder, Sink, Source};

const DISTRIBUTIONS: [(&str, &str); 3] = [("near", "closest"), ("shared", "balanced"), ("all", "multicast")];

/// Interior routers, and edge routers of A.
struct Shape {
    edges: Vec<(String, Router)>,
    network: Network,
}

impl Shape {
    fn start(plan: Plan, edges: usize) -> Self {
        let with = |plan: Plan, (prefix, distribution)| plan.distribution(prefix, distribution);
        let network = DISTRIBUTIONS.into_iter().fold(plan.edges(), with).start();
        let edge = |n| {
            let id = format!("E{n}");
            let mut config = Config::router(&[("mode", "edge"), ("id", &id), ("workerThreads", "2")]);
            config.listener(&[]);
            config.uplink(network.edge_port("A"));
            for (prefix, distribution) in DISTRIBUTIONS {
                config.section("address", &[("prefix", prefix), ("distribution", distribution)]);
            }
            (id, config.start())
        };
        Self { edges: (1..=edges).map(edge).collect(), network }
    }

    /// All routers, the interior ones first.
    fn routers(&self) -> Vec<(&str, &Router)> {
        self.network.routers().chain(self.edges.iter().map(|(id, router)| (id.as_str(), router))).collect()
    }

    /// The routers that have clients in the first place: the edge routers, if there are any.
    fn outer(&self) -> Vec<(&str, &Router)> {
        let all = self.routers();
        if self.edges.is_empty() { all } else { all.into_iter().filter(|(id, _)| id.starts_with('E')).collect() }
    }

    /// Waits until every router knows of the consumers of an address, which are at these routers. Nobody sends to it meanwhile.
    fn wait_consumers(&self, address: &str, at: &[&str]) {
        let here = |id: &str| at.iter().filter(|other| **other == id).count() as u64;
        let has_edges: BTreeSet<&&str> = at.iter().filter(|id| id.starts_with('E')).collect();
        let edges_of = |id: &str| if id == "A" { has_edges.len() as u64 } else { 0 };
        // An interior router takes each edge router with consumers for one of its own.
        let interior: Vec<(&str, u64)> = self.network.routers().map(|(id, _)| (id, here(id) + edges_of(id))).collect();
        for (id, local) in &interior {
            let remote = interior.iter().filter(|(other, local)| other != id && *local > 0).count() as u64;
            self.network.wait_address(id, address, *local, remote);
        }
        for (id, edge) in &self.edges {
            Agent::connect(edge.port).wait_address(address, here(id), 0);
        }
    }
}

/// One after the other.
fn shapes() -> impl Iterator<Item = Shape> {
    let all = [(Plan::line(3), 0), (Plan::ring(4), 0), (Plan::routers(1), 5), (Plan::routers(1), 2)];
    all.into_iter().map(|(plan, edges)| Shape::start(plan, edges))
}

/// `closest`: everything stays with the consumer at the sender's own router; without one it goes to the nearest.
#[test]
fn closest() {
    for shape in shapes() {
        let ((one, near), (other, far)) = (shape.outer()[0], shape.outer()[1]);
        let send = || Source::send_all(near, one, "near.one", 100).accepted.count();
        let there = Sink::start(far, "near.one", 50);
        shape.wait_consumers("near.one", &[other]);
        assert_eq!(send(), 100);
        let here = Sink::start(near, "near.one", 50);
        shape.wait_consumers("near.one", &[one, other]);
        assert_eq!(send(), 100);
        assert_eq!((here.count(), there.count()), (100, 100), "the consumer here gets what is sent here");
        here.stop();
        shape.wait_consumers("near.one", &[other]);
        assert_eq!(send(), 100);
        assert_eq!(there.stop().moments.count(), 200);
    }
}

/// `balanced`: consumers at all routers take part in 300 messages (O2).
#[test]
fn balanced() {
    for shape in shapes() {
        let routers = shape.routers();
        let ids: Vec<&str> = routers.iter().map(|(id, _)| *id).collect();
        // Work that takes time: with nothing under way here, nothing needs to go away.
        let work = Duration::from_millis(3);
        let sinks: Vec<Sink> = routers.iter().map(|(_, router)| Sink::slow(router, "shared.x", 50, work)).collect();
        shape.wait_consumers("shared.x", &ids);
        let sent = Source::send_all(routers[1].1, ids[1], "shared.x", 300);
        assert_eq!((sent.accepted.count(), sent.open), (300, 0), "{:?}", sent.refused);
        let received: Vec<_> = sinks.into_iter().map(Sink::stop).collect();
        let counts: Vec<usize> = received.iter().map(|received| received.moments.count()).collect();
        println!("{ids:?}: {counts:?}");
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
        let all: BTreeSet<u64> = received.iter().flat_map(|received| received.of(ids[1])).collect();
        assert_eq!((counts.iter().sum::<usize>(), all.len()), (300, 300), "{counts:?}");
    }
}

/// `multicast`: every consumer gets one copy of every message, in order, and the sender one outcome (O1).
#[test]
fn multicast() {
    for shape in shapes() {
        let mut places = shape.routers();
        let senders = places.clone();
        // Two at one router, and one at each other one.
        places.push(senders[senders.len() - 1]);
        let sinks: Vec<Sink> = places.iter().map(|(_, router)| Sink::start(router, "all.x", 50)).collect();
        let ids: Vec<&str> = places.iter().map(|(id, _)| *id).collect();
        shape.wait_consumers("all.x", &ids);
        for (id, router) in &senders {
            let sent = Source::send_all(router, id, "all.x", 50);
            assert_eq!((sent.accepted.count(), sent.open), (50, 0), "{:?}", sent.refused);
        }
        for sink in sinks {
            sink.wait(50 * senders.len());
            let received = sink.stop();
            assert!(received.ordered);
            assert!(received.times.values().all(|times| *times == 1), "copies came twice");
            assert_eq!(received.times.len(), 50 * senders.len());
        }
    }
}

/// From every router to every other.
#[test]
fn requests() {
    for shape in shapes() {
        let all = shape.routers();
        let service = |id: &str| format!("service.{id}");
        let _responders: Vec<Responder> =
            all.iter().map(|(id, router)| Responder::start(router, &service(id))).collect();
        for (_, from) in &all {
            let loops: Vec<Requests> =
                all.iter().map(|(to, _)| Requests::start(from, &service(to), Duration::ZERO)).collect();
            for requests in loops {
                requests.wait(20);
                let answers = requests.stop();
                assert_eq!((answers.refused, answers.repeated, answers.ended), (0, 0, false));
            }
        }
    }
}

/// A client in the west asks workers in the east, 20 ms away, and is answered at an address that its router made. A worker that dies with a
/// request leaves the client an outcome, and the other worker goes on. What a worker has not settled when it dies comes back, and is done by
/// another one when the client sends it again: nothing is lost, nothing done twice (A2).
#[test]
fn workers_in_another_cluster() {
    const AWAY: Duration = Duration::from_millis(20);
    let network = Plan::line(2).lines(Line { forward: AWAY, back: AWAY, ..Line::default() }).start();
    let _worker = Responder::start(network.router("B"), "price");
    network.wait_address("A", "price", 0, 1);
    let requests = Requests::start(network.router("A"), "price", Duration::ZERO);
    requests.wait(100);
    let mut times = requests.moments().gaps();
    times.sort();
    let (median, most) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    println!("answers after {median:?}, 99 of 100 within {most:?}");
    assert!(median < 2 * AWAY + Duration::from_millis(10) && most < 2 * AWAY + Duration::from_millis(100));
    let mut other = Session::begin(network.port("B"));
    other.receiver(0, Some("price"), 1);
    wait_for("a request", PATIENCE, || {
        matches!(other.listen(Duration::from_millis(20)), Heard::Delivery(_)).then_some(())
    });
    assert_eq!(requests.refused(), 0);
    drop(other);
    requests.wait(50);
    let answers = requests.stop();
    assert_eq!((answers.refused, answers.repeated, answers.ended), (1, 0, false));

    let dying = Holder::start(network.router("B"), "orders", 10);
    let pace = Pace { count: 20, window: 20, again: true, ..Pace::default() };
    let orders = Source::start(network.router("A"), "orders", "orders", pace);
    wait_for("as many orders as the worker takes", PATIENCE, || (dying.count() == 10).then_some(()));
    let worker = Sink::start(network.router("B"), "orders", 50);
    worker.wait(10);
    drop(dying);
    orders.wait_done(20);
    let sent = orders.stop();
    println!("what came back: {:?}", sent.refused);
    assert!(sent.refused.keys().all(|state| [code::RELEASED, code::MODIFIED].contains(state)), "{:?}", sent.refused);
    assert_eq!((sent.refused.values().sum::<u64>(), sent.accepted.count(), sent.numbers.len()), (10, 20, 20));
    worker.stop().assert_exactly_once("orders", &sent);
}

/// One message of 1 GiB over three routers of a line and of a ring, whose memory does not grow with it. `edge.rs` has it for edge routers.
#[test]
fn a_message_of_1_gib_over_three_routers() {
    for plan in [Plan::line(3), Plan::ring(4)] {
        let network = plan.start();
        let routers: Vec<&Router> = network.routers().map(|(_, router)| router).collect();
        // A session between routers begins with 4 MiB on its way. On a longer way it would be more.
        stream_in_bounded_memory(network.router("A"), network.router("C"), &routers, 24);
    }
}
