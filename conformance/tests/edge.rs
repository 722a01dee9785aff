//! Edge routers with foreign clients. A sender gets no credit before its router has heard of a consumer, so that nothing here has to wait for
//! routes.

use conformance::client::{Client, Running};
use conformance::ports::free_port;
use conformance::router::{Config, Router};
use conformance::suite::{exchange, number};

fn interior(id: &str, edges: u16) -> Router {
    interior_with(id, edges, |_| {})
}

fn interior_with(id: &str, edges: u16, extend: impl FnOnce(&mut Config)) -> Router {
    let mut config = Config::interior(id);
    config.listener(&[]);
    config.accept_edges(edges);
    distributions(&mut config);
    extend(&mut config);
    config.start()
}

fn edge(id: &str, uplinks: &[u16]) -> Router {
    let mut config = Config::edge(id);
    config.listener(&[]);
    for port in uplinks {
        config.uplink(*port);
    }
    distributions(&mut config);
    config.start()
}

fn distributions(config: &mut Config) {
    config.section("address", &[("prefix", "near"), ("distribution", "closest")]);
    config.section("address", &[("prefix", "all"), ("distribution", "multicast")]);
}

fn start(client: Client, what: &str, router: &Router, args: &[(&str, &str)]) -> Running {
    client.start(router.dir(), what, router.port, args)
}

/// E1 - A - E2
fn line() -> (Router, Router, Router) {
    let port = free_port();
    let middle = interior("A", port);
    (edge("E1", &[port]), middle, edge("E2", &[port]))
}

#[test]
fn messages_go_from_edge_to_edge_and_between_edge_and_interior() {
    let (one, middle, two) = line();
    exchange((Client::Rhea, &one), (Client::ProtonPython, &two), &[("count", "1000")]);
    exchange((Client::ProtonCpp, &two), (Client::GoAmqp, &one), &[("count", "1000")]);
    exchange((Client::GoAmqp, &middle), (Client::Rhea, &one), &[("count", "1000")]);
    exchange((Client::ProtonPython, &one), (Client::ProtonCpp, &middle), &[("count", "1000")]);
    exchange((Client::Rhea, &one), (Client::ProtonCpp, &one), &[("count", "1000")]);
}

#[test]
fn large_and_settled_messages_go_from_edge_to_edge() {
    let (one, _middle, two) = line();
    exchange((Client::ProtonCpp, &one), (Client::GoAmqp, &two), &[("count", "4"), ("size", "10000000")]);
    exchange((Client::Rhea, &two), (Client::ProtonCpp, &one), &[("count", "200"), ("settled", "1")]);
}

#[test]
fn requests_are_answered_across_edges() {
    let (one, middle, two) = line();
    for (near, far) in [(&one, &two), (&middle, &one), (&two, &middle)] {
        let args = [("address", "service"), ("count", "20")];
        let responding = start(Client::Rhea, "respond", far, &args).ready();
        let asked = start(Client::ProtonPython, "request", near, &args).result();
        assert_eq!(number(&asked, "replies"), 20);
        let reply_to = asked["reply_to"].as_str().unwrap();
        assert!(reply_to.starts_with("amqp:/_edge/E") || reply_to.starts_with("amqp:/_topo/0/A/"), "{reply_to}");
        assert_eq!(number(&responding.result(), "answered"), 20);
    }
}

/// Distributions in a star of five edges. Every edge reaches every other one (KUBERNETES.md, C3).
#[test]
fn a_star_of_edges_distributes_as_it_should() {
    let port = free_port();
    let middle = interior("A", port);
    let edges: Vec<Router> = (1..=5).map(|n| edge(&format!("E{n}"), &[port])).collect();
    for (n, from) in edges.iter().enumerate() {
        let to = edges.get((n + 1) % edges.len()).unwrap();
        exchange((Client::Rhea, from), (Client::GoAmqp, to), &[("address", "ring"), ("count", "50")]);
    }
    let args = [("address", "all.news"), ("count", "20")];
    let mut all: Vec<Running> = edges.iter().map(|e| start(Client::Rhea, "recv", e, &args).ready()).collect();
    all.push(start(Client::ProtonPython, "recv", &middle, &args).ready());
    let sent = start(Client::Rhea, "send", edges.first().unwrap(), &args).result();
    assert_eq!(number(&sent, "accepted"), 20);
    let first = number(&all.remove(0).result(), "received");
    assert_eq!(first, 20);
    drop(all);
}
