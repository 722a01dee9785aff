//! Edge routers with foreign clients. A sender gets no credit before its router has heard of a consumer, so that nothing here has to wait for
//! routes.

use std::process::Command;
use std::time::{Duration, Instant};

use conformance::agent::Agent;
use conformance::client::{Client, Running};
use conformance::ports::free_port;
use conformance::raw::V;
use conformance::router::{Config, PATIENCE, Router, spanway};
use conformance::suite::{exchange, number, stream_in_bounded_memory};
use conformance::traffic::{Pace, Requests, Responder, Sink, Source};
use conformance::wait_for;

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
    edge_of(Config::edge(id), uplinks)
}

fn edge_of(mut config: Config, uplinks: &[u16]) -> Router {
    config.listener(&[]);
    for port in uplinks {
        config.uplink(*port);
    }
    distributions(&mut config);
    config.start()
}

fn distributions(config: &mut Config) {
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

/// A, and five edge routers of it.
fn star() -> (Router, Vec<Router>) {
    let port = free_port();
    (interior("A", port), (1..=5).map(|n| edge(&format!("E{n}"), &[port])).collect())
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

/// The other edge routers of the star do not notice it.
#[test]
fn a_message_of_1_gib_from_edge_to_edge() {
    let (middle, edges) = star();
    let routers: Vec<&Router> = edges.iter().chain([&middle]).collect();
    // 4 MiB on their way pin up to four times as much when they come in small pieces, as on a busy machine (23 MiB seen).
    stream_in_bounded_memory(&edges[0], &edges[1], &routers, 32);
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

/// In a star of five edges every edge reaches every other one (KUBERNETES.md, C3).
#[test]
fn edges_of_a_star_reach_each_other() {
    let (_middle, edges) = star();
    for (n, from) in edges.iter().enumerate() {
        let to = edges.get((n + 1) % edges.len()).unwrap();
        exchange((Client::Rhea, from), (Client::GoAmqp, to), &[("address", "ring"), ("count", "50")]);
    }
}

/// Connections of edges that a router has.
fn edge_connections(router: &Router) -> usize {
    let rows = Agent::connect(router.port).rows("connection", &["role", "container"]);
    rows.iter().filter(|row| row[0].text() == Some("edge")).count()
}

/// A and B, each of which takes edges on one of these ports, and C, to which both are connected. They know each other.
fn triangle(edges: [u16; 2]) -> ([Option<Router>; 2], Router) {
    let of_c = free_port();
    let last = interior_with("C", free_port(), |config| {
        config.accept_routers(of_c);
    });
    let joined = |id: &str, edges: u16| {
        Some(interior_with(id, edges, |config| {
            config.connect_router(of_c);
        }))
    };
    let interiors = [joined("A", edges[0]), joined("B", edges[1])];
    for router in interiors.iter().flatten().chain([&last]) {
        wait_for("the interior routers", PATIENCE, || (ids(router) == ["A", "B", "C"]).then_some(()));
    }
    (interiors, last)
}

/// The interior routers that a router knows.
fn ids(router: &Router) -> Vec<String> {
    Agent::connect(router.port).nodes().into_iter().map(|n| n.id).collect()
}

/// How often an edge router began to use an uplink to a router.
fn used(edge: &Router, id: &str) -> usize {
    edge.process.output().matches(&format!("The uplink is the connection to router {id}")).count()
}

/// E connects to A and B, which are connected; the service is at C, behind both. What E sends goes on when its uplink is lost, and all
/// that was accepted has arrived (KUBERNETES.md, C5).
#[test]
fn an_edge_takes_its_other_uplink_when_it_loses_one() {
    let ports = [free_port(), free_port()];
    let (mut interiors, last) = triangle(ports);
    let outer = edge("E", &ports);
    for router in interiors.iter().flatten() {
        wait_for("both uplinks", PATIENCE, || (edge_connections(router) == 1).then_some(()));
    }
    let _responder = Responder::start(&last, "service");
    let requests = Requests::start(&outer, "service", Duration::from_millis(2));
    let sink = Sink::start(&last, "bulk", 100);
    let bulk = Source::start(&outer, "bulk", "bulk", Pace { size: 2_000, ..Pace::default() });
    requests.wait(50);
    bulk.wait_accepted(200);
    let active = match (used(&outer, "A"), used(&outer, "B")) {
        (1, 0) => 0,
        (0, 1) => 1,
        other => panic!("the uplinks in use: {other:?}"),
    };
    let lost = Instant::now();
    interiors[active] = None;
    requests.wait(50);
    let gap = requests.moments().longest_gap(lost - Duration::from_millis(100), Instant::now()).unwrap();
    assert!(gap < Duration::from_secs(3), "{gap:?}");
    bulk.wait_accepted(200);
    let other = interiors[1 - active].as_ref().unwrap();
    assert_eq!(used(&outer, "A") + used(&outer, "B"), 2);
    assert!(!ids(other).contains(&"E".to_owned()));
    let answers = requests.stop();
    assert!(!answers.ended && answers.repeated == 0);
    let sent = bulk.stop();
    assert_eq!(sent.open, 0);
    let received = sink.stop();
    assert!(sent.numbers.is_subset(&received.of("bulk")), "what was accepted has not arrived");
    println!("no answers for {gap:?}; {} of {} accepted", sent.accepted.count(), sent.sent);
}

/// Deliveries of an address that an interior router got from its edges.
fn from_edges(router: &Router, address: &str) -> u64 {
    let rows = Agent::connect(router.port).rows("router.link", &["linkDir", "owningAddr", "deliveryCount"]);
    let of = |row: &&Vec<V>| row[0].text() == Some("in") && row[1].text() == Some(address);
    rows.iter().filter(of).map(|row| row[2].number().unwrap_or(0)).sum()
}

/// The same network, of which E uses both uplinks at once. What goes up is spread over them, what comes down comes over either, copies
/// come once, and when A is killed under load the other goes on without a pause.
#[test]
fn an_edge_uses_all_its_uplinks_if_it_is_told_to() {
    let ports = [free_port(), free_port()];
    let (mut interiors, last) = triangle(ports);
    let outer = edge_of(Config::router(&[("mode", "edge"), ("id", "E"), ("activeUplinks", "all")]), &ports);
    wait_for("both uplinks", PATIENCE, || (used(&outer, "A") == 1 && used(&outer, "B") == 1).then_some(()));
    let _responder = Responder::start(&last, "service");
    let (up, down) = (Sink::start(&last, "up", 200), Sink::start(&outer, "down", 200));
    let (copies, news) = (Sink::start(&last, "all.copies", 200), Sink::start(&outer, "all.news", 200));
    let own = Sink::start(&outer, "all.copies", 200);
    // Two routers have consumers of what E sends down to itself.
    Agent::connect(last.port).wait_address("down", 0, 2);
    Agent::connect(last.port).wait_address("all.news", 0, 1);
    let pace = |gap: u64| Pace { gap: Duration::from_millis(gap), ..Pace::default() };
    let requests = Requests::start(&outer, "service", Duration::from_millis(2));
    let names: Vec<String> = (0..8).map(|n| format!("up{n}")).collect();
    let senders: Vec<Source> = names.iter().map(|name| Source::start(&outer, name, "up", pace(5))).collect();
    let others = [
        Source::start(&last, "down", "down", pace(1)),
        Source::start(&last, "news", "all.news", pace(2)),
        Source::start(&outer, "copies", "all.copies", pace(2)),
    ];
    let all = || senders.iter().chain(&others);
    all().for_each(|source| source.wait_accepted(50));
    requests.wait(50);
    for router in interiors.iter().flatten() {
        assert!(from_edges(router, "Mup") > 0, "what goes up is spread over both uplinks");
    }
    // What comes down by several ways stays in order.
    let row = Sink::start(&outer, "row", 200);
    Agent::connect(last.port).wait_address("row", 0, 2);
    let sent = Source::start(&last, "row", "row", Pace { count: 2000, window: 200, ..Pace::default() });
    sent.wait_done(2000);
    let received = row.stop();
    received.assert_exactly_once("row", &sent.stop());
    assert!(received.ordered);

    let lost = Instant::now();
    interiors[0] = None;
    requests.wait(50);
    all().for_each(|source| source.wait_accepted(50));
    let gap = requests.moments().longest_gap(lost - Duration::from_millis(100), Instant::now()).unwrap();
    assert!(gap < Duration::from_secs(1), "{gap:?}");
    assert_eq!((used(&outer, "A"), used(&outer, "B")), (1, 1), "nothing has to be begun");
    let answers = requests.stop();
    assert!(!answers.ended);
    let sent: Vec<_> = senders.into_iter().map(Source::stop).collect();
    let received = up.stop();
    for (name, sent) in names.iter().zip(&sent) {
        assert_eq!(sent.open, 0);
        received.assert_exactly_once(name, sent);
    }
    let [sent_down, sent_news, sent_copies] = others.map(Source::stop);
    down.stop().assert_exactly_once("down", &sent_down);
    news.stop().assert_exactly_once("news", &sent_news);
    let here = own.stop();
    here.assert_exactly_once("copies", &sent_copies);
    let there = copies.stop();
    assert!(there.times.values().all(|times| *times == 1), "copies came twice");
    // Those that were on their way through A are lost.
    assert!(there.times.len() + 50 > here.times.len(), "{} of {}", there.times.len(), here.times.len());
    println!("no answers for {gap:?}; {} refused", answers.refused);
}

/// What `spanway stat` prints.
fn stat(port: u16, arguments: &[&str]) -> String {
    let url = format!("amqp://127.0.0.1:{port}");
    let output = Command::new(spanway()).arg("stat").args(arguments).args(["--url", &url]).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Edges are seen, and asked, from wherever somebody is connected.
#[test]
fn edges_are_listed_and_asked_for_what_they_know() {
    let (one, middle, two) = line();
    wait_for("both edges", PATIENCE, || (edge_connections(&middle) == 2).then_some(()));
    let id = |mut agent: Agent| agent.rows("router", &["id", "mode"]);
    for (asked, at) in [(&middle, "A"), (&one, "E1"), (&two, "E2")] {
        for edge in ["E1", "E2"] {
            let rows = id(Agent::of_edge(asked.port, edge));
            let texts: Vec<_> = rows[0].iter().map(|value| value.text().unwrap()).collect();
            assert_eq!(texts, [edge, "edge"], "asked at {at}");
            for option in ["--router", "--edge"] {
                let told = stat(asked.port, &["router", option, edge]);
                assert!(told.contains(&format!("{:<22}{edge}", "id")), "asked at {at}: {told}");
            }
        }
        let told = stat(asked.port, &["router", "--router", "A"]);
        assert!(told.contains("interior"), "asked at {at}: {told}");
        let told = stat(asked.port, &["router", "--router", "E3"]);
        assert!(told.starts_with("spanway: router E3 cannot be reached from here"), "asked at {at}: {told}");
    }
    let edges = stat(middle.port, &["edges"]);
    assert!(edges.contains(" E1 ") && edges.contains(" E2 ") && edges.lines().count() == 3, "{edges}");
    assert!(stat(one.port, &["edges"]).contains(" A "));
}

/// What the links of edge connections are for, as the reference tells it, and which addresses they lead to.
#[test]
fn links_of_edges_say_what_they_are_for() {
    let (one, middle, _two) = line();
    let _sink = Sink::start(&one, "news", 10);
    let source = Source::start(&middle, "news", "news", Pace::default());
    source.wait_accepted(1);
    let links = |router: &Router| {
        let rows = Agent::connect(router.port).rows("router.link", &["linkType", "linkDir", "owningAddr"]);
        let of = |row: Vec<V>| row.iter().map(|value| value.text().unwrap_or("-").to_owned()).collect::<Vec<_>>();
        rows.into_iter().map(of).collect::<Vec<_>>()
    };
    let has = |links: &[Vec<String>], link: [&str; 3]| links.iter().any(|other| *other == link);
    let there = links(&middle);
    assert!(has(&there, ["edge-downlink", "out", "HE1"]) && has(&there, ["edge-downlink", "out", "HE2"]), "{there:?}");
    assert!(has(&there, ["endpoint", "out", "Mnews"]) && has(&there, ["endpoint", "in", "-"]), "{there:?}");
    let here = links(&one);
    assert!(has(&here, ["endpoint", "out", "L_edge"]) && has(&here, ["endpoint", "in", "-"]), "{here:?}");
    assert!(source.stop().open == 0);
}
