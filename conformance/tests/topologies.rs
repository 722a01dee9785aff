//! Every shape of network carries every kind of traffic: a line of three routers and a ring of four.

use std::collections::BTreeSet;
use std::time::Duration;

use conformance::network::{Network, Plan};
use conformance::process::wait_for;
use conformance::raw::{Heard, Session};
use conformance::relay::Line;
use conformance::router::{PATIENCE, Router};
use conformance::suite::stream_in_bounded_memory;
use conformance::traffic::{Pace, Requests, Responder, Sink, Source};

fn shapes() -> [Plan; 2] {
    let all = [Plan::line(3), Plan::ring(4)];
    all.map(|plan| {
        plan.distribution("near", "closest").distribution("shared", "balanced").distribution("all", "multicast")
    })
}

fn ids(network: &Network) -> Vec<String> {
    network.routers().map(|(id, _)| id.to_owned()).collect()
}

/// Sends `count` messages from a router and waits for their outcomes.
fn send(network: &Network, from: &str, address: &str, count: u64) -> conformance::traffic::Sent {
    let source = Source::start(network.router(from), from, address, Pace { count, ..Pace::default() });
    source.wait_done(count);
    source.stop()
}

/// `closest`: everything stays with the consumer at the sender's own router; without one it goes to the nearest.
#[test]
fn closest() {
    for plan in shapes() {
        let network = plan.start();
        let all = ids(&network);
        let far = all.last().unwrap();
        let there = Sink::start(network.router("B"), "near.one", 50);
        network.wait_address("A", "near.one", 0, 1);
        assert_eq!(send(&network, "A", "near.one", 100).accepted.count(), 100);
        let here = Sink::start(network.router("A"), "near.one", 50);
        network.wait_address(far, "near.one", 0, 2);
        network.wait_address("A", "near.one", 1, 1);
        assert_eq!(send(&network, "A", "near.one", 100).accepted.count(), 100);
        assert_eq!((here.count(), there.count()), (100, 100), "the consumer here gets what is sent here");
        here.stop();
        network.wait_address("A", "near.one", 0, 1);
        assert_eq!(send(&network, "A", "near.one", 1).accepted.count(), 1);
        assert_eq!(there.stop().moments.count(), 101);
    }
}

/// `balanced`: three consumers at three routers all take part in 300 messages (O2).
#[test]
fn balanced() {
    for plan in shapes() {
        let network = plan.start();
        // Work that takes time: with nothing under way here, nothing needs to go away.
        let work = Duration::from_millis(3);
        let sinks: Vec<Sink> = ["A", "B", "C"].map(|id| Sink::slow(network.router(id), "shared.x", 50, work)).into();
        network.wait_address("B", "shared.x", 1, 2);
        let sent = send(&network, "B", "shared.x", 300);
        assert_eq!((sent.accepted.count(), sent.open), (300, 0), "{:?}", sent.refused);
        let received: Vec<_> = sinks.into_iter().map(Sink::stop).collect();
        let counts: Vec<usize> = received.iter().map(|received| received.moments.count()).collect();
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
        let all: BTreeSet<u64> = received.iter().flat_map(|received| received.of("B")).collect();
        assert_eq!((counts.iter().sum::<usize>(), all.len()), (300, 300), "{counts:?}");
    }
}

/// `multicast`: every consumer gets one copy of every message, in order, and the sender one outcome (O1).
#[test]
fn multicast() {
    for plan in shapes() {
        let network = plan.start();
        let all = ids(&network);
        // Two at one router, and one at each other one.
        let mut sinks: Vec<Sink> = all.iter().map(|id| Sink::start(network.router(id), "all.x", 50)).collect();
        sinks.push(Sink::start(network.router("C"), "all.x", 50));
        for id in &all {
            network.wait_address(id, "all.x", if id == "C" { 2 } else { 1 }, all.len() as u64 - 1);
        }
        for id in &all {
            let sent = send(&network, id, "all.x", 50);
            assert_eq!((sent.accepted.count(), sent.open), (50, 0), "{:?}", sent.refused);
        }
        for sink in sinks {
            sink.wait(50 * all.len());
            let received = sink.stop();
            assert!(received.ordered);
            assert!(received.times.values().all(|times| *times == 1), "copies came twice");
            assert_eq!(received.times.len(), 50 * all.len());
        }
    }
}

/// From every router to every other.
#[test]
fn requests() {
    for plan in shapes() {
        let network = plan.start();
        let all = ids(&network);
        let _responders: Vec<Responder> =
            all.iter().map(|id| Responder::start(network.router(id), &format!("service.{id}"))).collect();
        for from in &all {
            let loops: Vec<Requests> = all
                .iter()
                .map(|to| Requests::start(network.router(from), &format!("service.{to}"), Duration::ZERO))
                .collect();
            for requests in loops {
                requests.wait(20);
                let answers = requests.stop();
                assert_eq!((answers.refused, answers.repeated, answers.ended), (0, 0, false));
            }
        }
    }
}

/// A client in the west asks workers in the east, 20 ms away, and is answered at an address that its router made. A worker that dies with a
/// request leaves the client an outcome, and the other worker goes on (A2).
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
}

/// One message of 1 GiB over two routers between, whose memory does not grow with it.
#[test]
fn a_message_of_1_gib_over_three_routers() {
    let network = Plan::line(3).start();
    let routers: Vec<&Router> = network.routers().map(|(_, router)| router).collect();
    // A session between routers begins with 4 MiB on its way. On a longer way it would be more.
    stream_in_bounded_memory(network.router("A"), network.router("C"), &routers, 24);
}
