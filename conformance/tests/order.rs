//! What a sender sends arrives in the order in which it was sent, whatever its size and however many routers are between.

use conformance::network::{Network, Plan};
use conformance::router::{Config, Router};
use conformance::traffic::{Pace, Sink, Source};

const COUNT: u64 = 400;

fn edge(id: &str, network: &Network, up: &str) -> Router {
    let mut config = Config::edge(id);
    config.listener(&[]);
    config.uplink(network.edge_port(up));
    config.start()
}

/// Short messages, and among them some that get links for streams between routers.
fn check(from: &Router, to: &Router, address: &str, wait: impl Fn()) {
    // The first is very long, so that there is a link of its own for all that follows.
    for settled in [false, true] {
        let (sink, also) = (Sink::start(to, address, 100), Sink::start(to, &format!("{address}.other"), 100));
        wait();
        let long = &[(7, 300_000), (5, 100_050)];
        let pace = Pace { long, size: 20, window: 50, settled, count: COUNT, ..Pace::default() };
        // Others that do the same.
        let others: Vec<Source> =
            (0..3).map(|n| Source::start(from, &format!("other{n}"), &format!("{address}.other"), pace)).collect();
        let source = Source::start(from, "source", address, pace);
        sink.wait(COUNT as usize);
        also.wait(3 * COUNT as usize);
        let sent = source.stop();
        others.into_iter().for_each(|other| drop(other.stop()));
        let (received, others) = (sink.stop(), also.stop());
        assert!(received.ordered && others.ordered, "settled: {settled}");
        assert_eq!(received.of("source").len() as u64, COUNT);
        received.assert_exactly_once("source", &sent);
    }
}

#[test]
fn of_one_sender_through_a_line_of_interior_routers() {
    let network = Plan::line(3).start();
    let address = "line";
    check(network.router("A"), network.router("C"), address, || {
        network.wait_address("A", address, 0, 1);
        network.wait_address("A", "line.other", 0, 1);
    });
}

#[test]
fn of_one_sender_from_edge_to_edge() {
    let network = Plan::line(2).edges().start();
    let (one, two) = (edge("E1", &network, "A"), edge("E2", &network, "B"));
    let address = "edges";
    check(&one, &two, address, || {
        network.wait_address("A", address, 0, 1);
        network.wait_address("A", "edges.other", 0, 1);
    });
}
