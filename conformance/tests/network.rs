//! Networks of interior routers, with foreign clients at different ones. A sender gets no credit before its router has heard of a
//! consumer, so that nothing here has to wait for routes.

use conformance::client::{Client, Running};
use conformance::ports::free_port;
use conformance::router::{Config, Router};
use conformance::suite::{exchange, number};

/// A - B - C: both ends connect to the middle.
struct Line {
    a: Router,
    b: Option<Router>,
    c: Router,
    port: u16,
}

impl Line {
    fn new() -> Self {
        let port = free_port();
        let end = |id: &str| {
            let mut config = Config::interior(id);
            config.listener(&[]);
            config.connect_router(port);
            config.start()
        };
        Self { a: end("A"), b: Some(middle(port)), c: end("C"), port }
    }
}

fn middle(port: u16) -> Router {
    let mut config = Config::interior("B");
    config.listener(&[]);
    config.accept_routers(port);
    config.start()
}

fn start(client: Client, what: &str, router: &Router, args: &[(&str, &str)]) -> Running {
    client.start(router.dir(), what, router.port, args)
}

#[test]
fn messages_cross_the_network_in_both_directions() {
    let line = Line::new();
    exchange((Client::Rhea, &line.a), (Client::ProtonPython, &line.c), &[("count", "1000")]);
    exchange((Client::ProtonCpp, &line.c), (Client::GoAmqp, &line.a), &[("count", "1000")]);
    let middle = line.b.as_ref().unwrap();
    exchange((Client::GoAmqp, middle), (Client::Rhea, &line.a), &[("count", "1000")]);
}

#[test]
fn settled_messages_are_not_lost_while_a_consumer_takes_them() {
    let line = Line::new();
    exchange((Client::Rhea, &line.a), (Client::ProtonCpp, &line.c), &[("count", "200"), ("settled", "1")]);
}

#[test]
fn large_messages_cross_the_network() {
    let line = Line::new();
    exchange((Client::ProtonCpp, &line.a), (Client::GoAmqp, &line.c), &[("count", "4"), ("size", "10000000")]);
    exchange((Client::GoAmqp, &line.c), (Client::ProtonCpp, &line.a), &[("count", "4"), ("size", "10000000")]);
}

#[test]
fn requests_are_answered_across_the_network() {
    let line = Line::new();
    let args = [("address", "service"), ("count", "20")];
    let responding = start(Client::Rhea, "respond", &line.a, &args).ready();
    let asked = start(Client::ProtonPython, "request", &line.c, &args).result();
    assert_eq!(number(&asked, "replies"), 20);
    assert!(asked["reply_to"].as_str().unwrap().starts_with("amqp:/_topo/0/C/temp."), "{asked}");
    assert_eq!(number(&responding.result(), "answered"), 20);
}

#[test]
fn outcomes_and_what_they_say_cross_the_network() {
    let line = Line::new();
    let args = [("address", "outcomes")];
    let receiving = start(Client::ProtonPython, "outcomes-recv", &line.c, &args).ready();
    let told = start(Client::Rhea, "outcomes-send", &line.a, &args).result();
    assert_eq!(number(&receiving.result(), "handled"), 4);
    let seen = |name: &str| told["outcomes"][name].as_str().unwrap_or("nothing").to_owned();
    assert_eq!(seen("accept"), "accepted");
    assert_eq!(seen("reject"), "rejected:test:rejected:as told");
    assert_eq!(seen("release"), "released");
    assert_eq!(seen("modify"), "modified:failed=true:undeliverable=true");
}

#[test]
fn a_network_heals_when_the_router_in_its_middle_comes_back() {
    let mut line = Line::new();
    exchange((Client::ProtonPython, &line.a), (Client::ProtonPython, &line.c), &[("count", "10")]);
    drop(line.b.take());
    let middle = middle(line.port);
    exchange((Client::ProtonPython, &line.a), (Client::ProtonPython, &line.c), &[("count", "10")]);
    assert!(middle.stop().success());
}
