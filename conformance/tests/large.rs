//! Size and number: streams of 1 GiB, 10,000 links, 10,000 connections, and what they cost.

use std::time::{Duration, Instant};

use conformance::client::Client;
use conformance::raw::{Frame, Peer, code};
use conformance::{PATIENCE, Router, wait_for};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const MIB: u64 = 1 << 20;
/// A long transfer ends within this time, on a busy machine.
const LONG: Duration = Duration::from_secs(300);

fn stream(router: &Router, size: u64) {
    let size_text = size.to_string();
    let args = [("address", "stream"), ("size", size_text.as_str())];
    let receiving = Client::ProtonPython.start(router.dir(), "stream-recv", router.port, &args).ready();
    let sent = Client::ProtonPython.start(router.dir(), "stream-send", router.port, &args).finish(LONG);
    let received = receiving.finish(LONG).pop().unwrap();
    assert_eq!(received["received"].as_u64(), Some(size), "{received}");
    assert_eq!(received["good"], true, "{received}");
    assert_eq!(sent.last().unwrap()["state"], "ACCEPTED");
}

/// 1 GiB in one message goes through a router whose memory grows by less than 16 MiB.
#[test]
fn a_message_of_1_gib() {
    let router = Router::plain();
    stream(&router, MIB);
    let before = router.process.peak_rss();
    stream(&router, 1024 * MIB);
    let grown = router.process.peak_rss().saturating_sub(before);
    println!("RSS {} MiB, grown by {} KiB at the most", before / MIB, grown / 1024);
    assert!(grown < 16 * MIB, "grown by {} MiB", grown / MIB);
}

/// A receiver that stops reading within a large message stops its sender; memory stays bounded.
#[test]
fn a_slow_receiver_holds_its_sender_back() {
    let router = Router::plain();
    let mut consumer = Peer::begun(router.port);
    consumer.attach_receiver(0, Some("slow"), 0);
    // One transfer at a time.
    consumer.send(&Frame::credit(0, 0, 1).with(1, conformance::raw::V::Uint(1)));
    let before = router.process.peak_rss();
    let size = (512 * MIB).to_string();
    let args = [("address", "slow"), ("size", size.as_str())];
    let mut sending = Client::ProtonPython.start(router.dir(), "stream-send", router.port, &args);
    consumer.expect(code::TRANSFER);
    // The sender writes as long as it is let; a while of nothing taken is enough to fill whatever is unbounded.
    let mut last = 0;
    wait_for("the router to stop taking in", PATIENCE, || {
        let now = router.process.rss();
        let steady = now == last;
        last = now;
        std::thread::sleep(Duration::from_millis(300));
        steady.then_some(())
    });
    let grown = router.process.peak_rss().saturating_sub(before);
    assert!(grown < 24 * MIB, "grown by {} MiB", grown / MIB);
    assert_eq!(sending.process.exit_status(), None, "the sender still waits");
}

fn links(connections: usize) {
    let mut router = Router::plain();
    let until = router.dir().join("until");
    let (count, connections) = ("10000".to_owned(), connections.to_string());
    let until_text = until.display().to_string();
    let args = [
        ("address", "link"),
        ("count", count.as_str()),
        ("connections", connections.as_str()),
        ("until", until_text.as_str()),
    ];
    let mut client = Client::ProtonCpp.start(router.dir(), "links", router.port, &args);
    client.process.wait_output("\"attached\":10000", LONG);
    // Each of them works: a message to some of them arrives (it is released, for they gave no credit and go).
    let mut peer = Peer::begun(router.port);
    for i in [0, 4_999, 9_999] {
        peer.attach_sender(i, Some(&format!("link.{i}")));
    }
    std::fs::write(until, "").unwrap();
    let lines = client.finish(LONG);
    assert_eq!(lines.last().unwrap()["closed"].to_string(), connections);
    router.assert_alive();
}

#[test]
fn ten_thousand_links_in_one_connection() {
    links(1);
}

#[test]
fn ten_thousand_links_over_many_connections() {
    links(200);
}

/// 10,000 idle connections with a link each cost little and are given back.
#[test]
fn ten_thousand_idle_connections() {
    const COUNT: usize = 10_000;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    let mut router = Router::plain();
    // What the first connections allocate for good is not counted.
    let warm: Vec<Peer> = (0..50).map(|_| receiver(router.port)).collect();
    drop(warm);
    let base = router.process.rss();
    let base_descriptors = settled_descriptors(&router, usize::MAX);
    let peers: Vec<Peer> = (0..COUNT).map(|_| receiver(router.port)).collect();
    assert!(router.process.descriptors() >= COUNT);
    let full = router.process.rss();
    let each = (full - base) / COUNT as u64;
    println!("{each} bytes for each connection with a session and a link");
    // PERFORMANCE.md: 8 kB (the reference: 34 kB). This is the test build, so there is some room.
    if conformance::router::foreign_router().is_none() {
        assert!(each <= 10 * 1024, "{each} bytes each");
    }
    drop(peers);
    settled_descriptors(&router, base_descriptors + 10);
    // PERFORMANCE.md: at least 90 % (the reference: none). Given back in the seconds after, not necessarily at once.
    let end = Instant::now() + Duration::from_secs(10);
    let mut left = u64::MAX;
    while left > (full - base) / 10 && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(100));
        left = router.process.rss().saturating_sub(base);
    }
    println!("{} of {} KiB kept after closing", left / 1024, (full - base) / 1024);
    if conformance::router::foreign_router().is_none() {
        assert!(left <= (full - base) / 10, "{} of {} KiB kept after closing", left / 1024, (full - base) / 1024);
    }
    router.assert_alive();
}

fn receiver(port: u16) -> Peer {
    let mut peer = Peer::begun(port);
    peer.attach_receiver(0, Some("idle"), 1);
    peer
}

/// Waits until the router holds at most `most` descriptors and their number is steady.
fn settled_descriptors(router: &Router, most: usize) -> usize {
    let mut last = usize::MAX;
    wait_for("descriptors to be closed", PATIENCE, || {
        let now = router.process.descriptors();
        let steady = now == last && now <= most;
        last = now;
        std::thread::sleep(Duration::from_millis(50));
        steady.then_some(now)
    })
}
