//! What one slow receiver at another router costs: a bounded amount of memory, and the others nothing.

use std::time::Instant;

use conformance::client::Client;
use conformance::ports::free_port;
use conformance::raw::{Frame, Peer, V, code};
use conformance::router::{Config, PATIENCE, Router};
use conformance::suite::{exchange, number};
use conformance::wait_for;

const MIB: u64 = 1 << 20;
/// Content of one frame of ours.
const PART: usize = 16_000;

/// A connects to B.
fn pair() -> (Router, Router) {
    let port = free_port();
    let mut config = Config::interior("B");
    config.listener(&[]);
    config.accept_routers(port);
    let b = config.start();
    let mut config = Config::interior("A");
    config.listener(&[]);
    config.connect_router(port);
    (config.start(), b)
}

/// The most that the routers' memory has grown since then, in bytes.
struct Grown([(u32, u64); 2]);

impl Grown {
    fn since(a: &Router, b: &Router) -> Self {
        Self([a, b].map(|router| (router.process.pid(), router.process.rss())))
    }

    fn by(&self, a: &Router, b: &Router) -> u64 {
        let now = [a, b].map(|router| (router.process.pid(), router.process.peak_rss()));
        self.0.iter().zip(now).map(|(before, now)| now.1.saturating_sub(before.1)).max().unwrap_or(0)
    }
}

/// A consumer that takes the beginning of one message, in so many frames, and then no more.
fn stalled(router: &Router, address: &str, frames: u32) -> Peer {
    let mut peer = Peer::begun(router.port);
    peer.attach_receiver(0, Some(address), 0);
    peer.send(&Frame::credit(0, 0, 1).with(1, V::Uint(frames)));
    peer
}

/// Waits until a router takes in nothing more.
fn steady(router: &Router) {
    let (mut last, mut times) = (0, 0);
    wait_for("the router to stop taking in", PATIENCE, || {
        let now = router.process.rss();
        times = if now == last { times + 1 } else { 0 };
        last = now;
        std::thread::sleep(std::time::Duration::from_millis(100));
        (times > 5).then_some(())
    });
}

/// A message that is sent and received in parts, from one router to the other.
struct Stream {
    from: Peer,
    to: Peer,
    sent: usize,
    received: usize,
}

impl Stream {
    fn new(a: &Router, b: &Router, address: &str) -> Self {
        let mut to = Peer::begun(b.port);
        to.attach_receiver(0, Some(address), 10);
        let mut from = Peer::begun(a.port);
        from.attach_sender(0, Some(address));
        Self { from, to, sent: 0, received: 0 }
    }

    /// Sends so many frames.
    fn send(&mut self, frames: usize, last: bool) {
        for n in 1..=frames {
            // An amqp-value of one large binary would have to say how large it is; a router does not look into bodies.
            let frame = Frame::transfer(0, 0, vec![0x41; PART]).with(5, V::Bool(!(last && n == frames)));
            self.from.send(&frame);
            self.sent += PART;
        }
    }

    /// Takes what was sent. What is held back of a message that is not complete does not come.
    fn take(&mut self, all: bool) {
        let held_back = if all { 0 } else { PART };
        while self.received + held_back < self.sent {
            self.received += self.to.expect(code::TRANSFER).payload.len();
        }
    }
}

#[test]
fn one_stalled_stream_of_a_hundred_stops_no_other() {
    let (a, b) = pair();
    let _consumer = stalled(&b, "stalled", 8);
    let size = (512 * MIB).to_string();
    let args = [("address", "stalled"), ("size", size.as_str())];
    let mut streams: Vec<Stream> = (0..99).map(|n| Stream::new(&a, &b, &format!("stream.{n}"))).collect();
    let grown = Grown::since(&a, &b);
    let mut sending = Client::ProtonPython.start(a.dir(), "stream-send", a.port, &args);
    steady(&b);
    steady(&a);
    let stalled_costs = grown.by(&a, &b);
    // All of them are under way at the same time.
    let begun = Instant::now();
    for round in 0..12 {
        let last = round == 11;
        streams.iter_mut().for_each(|stream| stream.send(10, last));
        streams.iter_mut().for_each(|stream| stream.take(last));
    }
    let bytes: usize = streams.iter().map(|stream| stream.received).sum();
    assert!(bytes >= 99 * 120 * PART);
    println!(
        "{} MiB in {:?} beside a stalled stream, which cost {} KiB; all: {} KiB",
        bytes as u64 / MIB,
        begun.elapsed(),
        stalled_costs / 1024,
        grown.by(&a, &b) / 1024
    );
    assert_eq!(sending.process.exit_status(), None, "the sender of the stalled stream still waits");
    assert!(grown.by(&a, &b) < 64 * MIB, "grown by {} MiB", grown.by(&a, &b) / MIB);
    exchange((Client::ProtonPython, &a), (Client::Rhea, &b), &[("count", "100")]);
}

#[test]
fn settled_messages_wait_for_a_slow_consumer_of_another_router_of_ours() {
    let (a, b) = pair();
    let mut consumer = Peer::begun(b.port);
    consumer.attach_receiver(0, Some("slow"), 0);
    let grown = Grown::since(&a, &b);
    let args = [("address", "slow"), ("count", "20000"), ("size", "10000"), ("settled", "1")];
    // Not Proton, which does not send all that it took before it closes a connection whose window is shut.
    let mut sending = Client::GoAmqp.start(a.dir(), "send", a.port, &args);
    steady(&b);
    steady(&a);
    assert_eq!(sending.process.exit_status(), None, "the sender is pushed back");
    assert!(grown.by(&a, &b) < 32 * MIB, "grown by {} MiB", grown.by(&a, &b) / MIB);
    // Others have the same links.
    exchange((Client::Rhea, &a), (Client::ProtonPython, &b), &[("count", "1000")]);
    exchange((Client::GoAmqp, &a), (Client::ProtonCpp, &b), &[("count", "1000"), ("settled", "1")]);
    // None is lost.
    consumer.send(&Frame::credit(0, 0, 20_000).with(1, V::Uint(u32::MAX / 2)));
    for n in 0..20_000 {
        let (frame, body) = consumer.expect_delivery();
        assert!(frame.field(4).is_true(), "settled");
        assert!(body.len() > 10_000, "message {n}");
    }
    assert_eq!(number(&sending.result(), "sent"), 20_000);
}

#[test]
fn a_link_between_routers_that_is_full_does_not_flap() {
    let (a, b) = pair();
    // Messages over the links that hellos share a connection with, and streams, for longer than the age of a hello; and a consumer that
    // takes nothing.
    let _consumer = stalled(&b, "stalled", 8);
    let size = (512 * MIB).to_string();
    let _stalled =
        Client::ProtonPython.start(a.dir(), "stream-send", a.port, &[("address", "stalled"), ("size", size.as_str())]);
    let begun = Instant::now();
    let mut rounds = 0;
    while begun.elapsed().as_secs() < 6 {
        exchange((Client::ProtonCpp, &a), (Client::ProtonCpp, &b), &[("count", "20000"), ("size", "16000")]);
        rounds += 1;
    }
    println!("{rounds} rounds of 320 MB");
    for router in [&a, &b] {
        let log = router.process.output();
        assert!(!log.contains("Lost the neighbour"), "{log}");
    }
}
