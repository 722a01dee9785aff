//! Two networks of two routers each, X and Y, joined by a connection over which auto-links lead. A client in X asks a service in Y; its
//! address for replies says which network it is in.

use conformance::client::Client;
use conformance::ports::free_port;
use conformance::router::{Config, Router};
use conformance::suite::number;

struct Networks {
    x: [Router; 2],
    y: [Router; 2],
}

impl Networks {
    /// The first routers of both are connected, with this role.
    fn joined(role: &str) -> Self {
        let between = free_port().to_string();
        let cross = |port| {
            [("name", "cross"), ("host", "127.0.0.1"), ("port", port), ("role", role), ("saslMechanisms", "ANONYMOUS")]
        };
        let auto = |link: [(&'static str, &'static str); 2]| [&[("connection", "cross")], &link[..]].concat();
        let x = network("X", |config| {
            config.section("listener", &[&cross(&between)[..], &[("authenticatePeer", "no")]].concat());
            // Y is told that what is for X goes here, and says itself where in X.
            config.section("autoLink", &auto([("direction", "in"), ("externalAddress", "_xtopo/X")]));
        });
        let y = network("Y", |config| {
            config.section("connector", &cross(&between));
            config.section("autoLink", &auto([("direction", "in"), ("address", "service")]));
        });
        Self { x, y }
    }
}

/// Two linked routers; `extend` adds to the first.
fn network(id: &str, extend: impl FnOnce(&mut Config)) -> [Router; 2] {
    let port = free_port();
    let member = |number: usize| {
        let mut config = Config::interior(&format!("{id}{number}"));
        config.section("network", &[("networkId", id)]);
        config.listener(&[]);
        config
    };
    let mut first = member(1);
    first.accept_routers(port);
    extend(&mut first);
    let mut second = member(2);
    second.connect_router(port);
    [first.start(), second.start()]
}

/// A client asks at one router, a service answers at another.
fn ask(client: &Router, service: &Router) {
    let args = [("address", "service"), ("count", "20")];
    let responding = Client::Rhea.start(service.dir(), "respond", service.port, &args).ready();
    let asked = Client::ProtonPython.start(client.dir(), "request", client.port, &args).result();
    assert_eq!(number(&asked, "replies"), 20);
    assert!(asked["reply_to"].as_str().unwrap().starts_with("amqp:/_xtopo/X/0/X"), "{asked}");
    assert_eq!(number(&responding.result(), "answered"), 20);
}

fn requests_and_replies_cross(role: &str) {
    let networks = Networks::joined(role);
    for client in &networks.x {
        for service in &networks.y {
            ask(client, service);
        }
    }
}

#[test]
fn requests_and_replies_cross_between_networks() {
    requests_and_replies_cross("inter-network");
}

#[test]
fn requests_and_replies_cross_where_the_peer_is_taken_for_a_container() {
    requests_and_replies_cross("route-container");
}

/// A link to an address of another network; its messages say nothing themselves.
#[test]
fn links_to_addresses_of_another_network_lead_there() {
    let networks = Networks::joined("inter-network");
    for (sender, receiver) in [(&networks.y[1], &networks.x[1]), (&networks.y[0], &networks.x[0])] {
        let dynamic = format!("_xtopo/X/0/{}/inbox", if receiver.port == networks.x[0].port { "X1" } else { "X2" });
        let args = [("address", dynamic.as_str()), ("count", "300")];
        let receiving = Client::GoAmqp.start(receiver.dir(), "recv", receiver.port, &args).ready();
        let sent = Client::Rhea.start(sender.dir(), "send", sender.port, &args).result();
        assert_eq!(number(&sent, "accepted"), 300);
        assert_eq!(number(&receiving.result(), "received"), 300);
    }
}
