//! A subscriber that stops taking messages is its own problem (story A3 of multicast addresses).

use std::time::Instant;

use conformance::network::Plan;
use conformance::process::wait_for;
use conformance::raw::Session;
use conformance::router::PATIENCE;
use conformance::traffic::{Pace, Sink, Source};

const MIB: u64 = 1 << 20;

/// Five sites subscribe, one of them stops reading its socket. A publisher who waits for nobody is not slowed down, the other four get
/// everything in order, and no router keeps what the fifth does not take.
#[test]
fn a_paused_subscriber_stops_nobody_and_costs_nothing() {
    const COUNT: u64 = 8_000;
    const SIZE: usize = 16_000;
    let network = Plan::star(5).distribution("cache", "multicast").start();
    let address = "cache.invalidate";
    let sinks: Vec<Sink> =
        ["A", "C", "D", "E"].iter().map(|id| Sink::start(network.router(id), address, 500)).collect();
    let mut paused = Session::begin(network.port("B"));
    paused.receiver(0, Some(address), 1_000_000);
    for id in ["A", "B", "C", "D", "E"] {
        network.wait_address(id, address, 1, 4);
    }
    let pace = Pace { size: SIZE, settled: true, count: COUNT, ..Pace::default() };
    // What the first messages make routers and the system allocate for good is not counted.
    let warm = Source::start(network.router("A"), "warm", address, Pace { count: 500, ..pace });
    warm.wait_done(500);
    warm.stop();
    sinks.iter().for_each(|sink| sink.wait(500));
    let before: Vec<u64> = network.routers().map(|(_, router)| router.process.peak_rss()).collect();
    let begin = Instant::now();
    let publisher = Source::start(network.router("A"), "news", address, pace);
    wait_for("the publisher to be done", PATIENCE, || (publisher.sent() == COUNT).then_some(()));
    let spent = begin.elapsed();
    for sink in &sinks {
        sink.wait(500 + COUNT as usize);
    }
    println!("{COUNT} messages of {SIZE} bytes sent in {spent:?}, received in {:?}", begin.elapsed());
    for sink in sinks {
        let received = sink.stop();
        assert!(received.ordered);
        assert_eq!(received.of("news").len() as u64, COUNT);
    }
    let grown: Vec<u64> = network
        .routers()
        .zip(before)
        .map(|((_, router), before)| router.process.peak_rss().saturating_sub(before) / MIB)
        .collect();
    println!("routers grew by {grown:?} MiB");
    // 128 MB went by.
    assert!(grown.iter().all(|grown| *grown < 24), "routers grew by {grown:?} MiB");
    drop(paused);
}
