//! The service catalogue: what a site exposes and wants is known at all others, interior and edge, and soon.

use std::process::Command;
use std::time::{Duration, Instant};

use conformance::agent::Agent;
use conformance::network::{Network, Plan};
use conformance::ports::free_port;
use conformance::raw::V;
use conformance::router::{Config, PATIENCE, Router, spanway};
use conformance::traffic::Sink;
use conformance::wait_for;

/// How soon a change has to be everywhere.
const AT_ONCE: Duration = Duration::from_secs(1);
/// How long a site is remembered that says nothing.
const AGE_LIMIT: Duration = Duration::from_secs(15);
/// How soon all have to agree after a partition.
const HEALED: Duration = Duration::from_secs(10);

/// Two stars whose middles, A and I, are linked: 15 interior routers; and two edge routers each at A, H and I.
fn sites() -> (Network, Vec<Router>) {
    let mut plan = Plan::routers(15).edges().relayed();
    for leaf in "BCDEFGH".chars() {
        plan = plan.link(&leaf.to_string(), "A", 1);
    }
    for leaf in "JKLMNO".chars() {
        plan = plan.link(&leaf.to_string(), "I", 1);
    }
    let network = plan.link("I", "A", 1).start();
    let edges = ["A", "A", "H", "H", "I", "I"].iter().enumerate();
    let edges = edges.map(|(n, at)| edge(&format!("E{n}"), network.edge_port(at))).collect();
    (network, edges)
}

fn edge(id: &str, uplink: u16) -> Router {
    let mut config = Config::router(&[("mode", "edge"), ("id", id), ("workerThreads", "1")]);
    config.listener(&[]);
    config.uplink(uplink);
    config.start()
}

/// A service as a router knows it: its address, and the sites that expose and want it.
type Service = (String, Vec<String>, Vec<String>);

fn services(agent: &mut Agent) -> Vec<Service> {
    let texts = |value: &V| {
        let V::List(items) = value else { panic!("{value:?} is no list") };
        items.iter().map(|item| item.text().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let rows = agent.rows("service", &["address", "exposedBy", "wantedBy"]);
    rows.iter().map(|row| (row[0].text().unwrap().to_owned(), texts(&row[1]), texts(&row[2]))).collect()
}

fn service(address: &str, exposed: &[&str], wanted: &[&str]) -> Service {
    let owned = |sites: &[&str]| sites.iter().map(|site| (*site).to_owned()).collect();
    (address.to_owned(), owned(exposed), owned(wanted))
}

/// Waits until all of these know these services, and no others. Answers how long it took.
fn wait_services<'a>(agents: impl Iterator<Item = &'a mut Agent>, wanted: &[Service]) -> Duration {
    let begin = Instant::now();
    for agent in agents {
        let end = Instant::now() + PATIENCE;
        wait_for("services", PATIENCE * 2, || {
            let known = services(agent);
            assert!(known == wanted || Instant::now() < end, "{known:?} instead of {wanted:?}");
            (known == wanted).then_some(())
        });
    }
    begin.elapsed()
}

fn create(agent: &mut Agent, address: &str, port: u16) {
    let port = port.to_string();
    let attributes = [("address", address), ("host", "127.0.0.1"), ("port", port.as_str())];
    let attributes = attributes.map(|(key, value)| (V::str(key), V::str(value))).to_vec();
    assert_eq!(agent.create("tcpConnector", address, attributes).status, 201);
}

/// Of several, the one in the middle: a busy machine may delay one of them.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[test]
fn twenty_sites_hear_at_once_what_another_exposes() {
    let (mut network, mut edges) = sites();
    let mut agents: Vec<(String, Agent)> =
        network.routers().map(|(id, router)| (id.to_owned(), Agent::connect(router.port))).collect();
    agents.extend(edges.iter().zip(0..).map(|(edge, n)| (format!("E{n}"), Agent::connect(edge.port))));
    assert_eq!(agents.len(), 21);
    // Everybody has heard of everybody.
    for (_, agent) in &mut agents {
        create(agent, "everywhere", 1);
    }
    let mut ids: Vec<String> = agents.iter().map(|(id, _)| id.clone()).collect();
    ids.sort_unstable();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let everywhere = [service("everywhere", &ids, &[])];
    wait_services(agents.iter_mut().map(|(_, agent)| agent), &everywhere);
    for (_, agent) in &mut agents {
        assert_eq!(agent.delete("tcpConnector", "everywhere").status, 204);
    }
    wait_services(agents.iter_mut().map(|(_, agent)| agent), &[]);

    for at in ["K", "E3"] {
        let (mut appeared, mut gone) = (Vec::new(), Vec::new());
        let own = agents.iter().position(|(id, _)| id == at).unwrap();
        for round in 0..3 {
            let address = format!("db-{round}");
            create(&mut agents[own].1, &address, 5432);
            let known = [service(&address, &[at], &[])];
            appeared.push(wait_services(agents.iter_mut().map(|(_, agent)| agent), &known));
            assert_eq!(agents[own].1.delete("tcpConnector", &address).status, 204);
            gone.push(wait_services(agents.iter_mut().map(|(_, agent)| agent), &[]));
        }
        println!("a service of {at} was known at 20 other sites after {appeared:?}, and forgotten after {gone:?}");
        let (appeared, gone) = (median(appeared), median(gone));
        assert!(appeared < AT_ONCE && gone < AT_ONCE, "{appeared:?}, {gone:?}");
    }

    // A site is killed.
    let own = agents.iter().position(|(id, _)| id == "K").unwrap();
    create(&mut agents[own].1, "db", 5432);
    wait_services(agents.iter_mut().map(|(_, agent)| agent), &[service("db", &["K"], &[])]);
    agents.remove(own);
    network.kill("K");
    let time = wait_services(agents.iter_mut().map(|(_, agent)| agent), &[]);
    println!("the services of a site that was killed were forgotten after {time:?}");
    assert!(time < AGE_LIMIT + AT_ONCE, "{time:?}");

    // The network falls in two for longer than that, and something is changed in both halves.
    let of = |agents: &[(String, Agent)], id: &str| agents.iter().position(|(other, _)| other == id).unwrap();
    let (left, right) = (of(&agents, "B"), of(&agents, "J"));
    create(&mut agents[left].1, "kept", 1);
    create(&mut agents[left].1, "removed", 2);
    let before = [service("kept", &["B"], &[]), service("removed", &["B"], &[])];
    wait_services(agents.iter_mut().map(|(_, agent)| agent), &before);
    network.cut("A", "I");
    let in_right = |id: &str| "IJKLMNO".contains(id) || ["E4", "E5"].contains(&id);
    wait_services(agents.iter_mut().filter(|(id, _)| in_right(id)).map(|(_, agent)| agent), &[]);
    assert_eq!(agents[left].1.delete("tcpConnector", "removed").status, 204);
    create(&mut agents[right].1, "new", 3);
    let new = service("new", &["J"], &[]);
    wait_services(agents.iter_mut().filter(|(id, _)| in_right(id)).map(|(_, agent)| agent), std::slice::from_ref(&new));
    network.mend("A", "I");
    let time = wait_services(agents.iter_mut().map(|(_, agent)| agent), &[service("kept", &["B"], &[]), new]);
    println!("after a partition was healed all agreed within {time:?}");
    assert!(time < HEALED, "{time:?}");

    // A router that ends in order says so.
    let (last, mut agent) = agents.pop().unwrap();
    assert_eq!(last, "E5");
    create(&mut agent, "last", 4);
    let known = ["kept", "last", "new"].map(|name| {
        service(
            name,
            &[match name {
                "kept" => "B",
                "last" => "E5",
                _ => "J",
            }],
            &[],
        )
    });
    wait_services(agents.iter_mut().map(|(_, agent)| agent), &known);
    drop(agent);
    // It is kept, so that a failure shows what it printed.
    let mut ended = edges.pop().unwrap();
    let status = ended.process.terminate(PATIENCE);
    assert!(status.success(), "{status}");
    let known = [service("kept", &["B"], &[]), service("new", &["J"], &[])];
    let time = wait_services(agents.iter_mut().map(|(_, agent)| agent), &known);
    println!("the services of a router that ended were forgotten {time:?} later");
    assert!(time < AGE_LIMIT / 3, "{time:?}");
}

/// What is published, and how it is shown.
#[test]
fn the_catalogue_has_what_entities_say() {
    let (port, accepting) = (free_port(), free_port());
    let mut config = Config::interior("A");
    config.listener_on(port, &[]);
    config.accept_routers(accepting);
    config.section("site", &[("name", "Berlin")]);
    config.section("address", &[("prefix", "orders"), ("distribution", "closest")]);
    config.section("address", &[("pattern", "any/*"), ("distribution", "closest")]);
    config.tcp_connector("web", 8000, &[("labels", "{\"team\": \"shop\", \"tier\": 1}")]);
    config.tcp_connector("web", 8001, &[]);
    let one = config.start();
    let mut config = Config::interior("B");
    config.listener(&[]);
    config.connect_router(accepting);
    let listener = config.tcp_listener("web", &[]);
    let two = config.start();

    let mut agent = Agent::connect(two.port);
    wait_services([&mut agent].into_iter(), &[service("web", &["A"], &["B"])]);
    // Consumers of an address that the configuration names, and of one that it does not.
    let named = Sink::start(&one, "orders", 1);
    let _other = Sink::start(&one, "unknown", 1);
    let _pattern = Sink::start(&one, "any/thing", 1);
    wait_services([&mut agent].into_iter(), &[service("orders", &["A"], &[]), service("web", &["A"], &["B"])]);

    let shown = |args: &[&str]| {
        let url = format!("amqp://127.0.0.1:{}", two.port);
        let output = Command::new(spanway()).arg("service").args(args).args(["--url", &url]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, text, _) = shown(&["list"]);
    assert_eq!(status, Some(0));
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1], ["orders", "amqp", "-", "Berlin", "-", "-"], "{text}");
    assert_eq!(lines[2], ["web", "tcp", "8000", "8001", "Berlin", "B", "team=shop", "tier=1"], "{text}");
    let (status, text, _) = shown(&["show", "web"]);
    assert_eq!(status, Some(0));
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["web", "(tcp)"]);
    assert_eq!(lines[2], ["Berlin", "A", "exposes", "2", "8000", "8001", "team=shop", "tier=1"], "{text}");
    assert_eq!(lines[3], ["B", "B", "wants", "1", &listener.to_string(), "-"], "{text}");
    let (status, text, _) = shown(&["list", "-o", "csv"]);
    assert_eq!(status, Some(0));
    assert!(text.starts_with("name,identity,type,address,protocol,ports,"), "{text}");
    let (status, text, _) = shown(&["show", "web", "-o", "json", "--router", "A"]);
    assert_eq!(status, Some(0));
    assert!(text.contains("\"tcp:web\"") && !text.contains("orders"), "{text}");
    let (status, _, error) = shown(&["show", "wbe"]);
    assert_eq!(status, Some(1));
    assert!(error.contains("no site exposes or wants `wbe`"), "{error}");

    let read = agent.ask(
        &[("operation", "READ"), ("type", "io.skupper.router.service"), ("identity", "tcp:web")],
        V::Map(Vec::new()),
    );
    assert_eq!(read.status, 200, "{read:?}");
    let missing = agent.ask(
        &[("operation", "READ"), ("type", "io.skupper.router.service"), ("identity", "tcp:wbe")],
        V::Map(Vec::new()),
    );
    assert_eq!(missing.status, 404, "{missing:?}");
    named.stop();
    wait_services([&mut agent].into_iter(), &[service("web", &["A"], &["B"])]);
    drop(one);
}

/// A router that stands alone has a catalogue of its own.
#[test]
fn a_router_alone_shows_its_own_services() {
    let mut config = Config::new();
    config.listener(&[]);
    config.tcp_connector("web", 8000, &[]);
    let router = config.start();
    wait_services([&mut Agent::connect(router.port)].into_iter(), &[service("web", &["QDR"], &[])]);
}
