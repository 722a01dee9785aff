//! What the admin port tells of routers and networks.

use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Stdio};

use conformance::client::{Client, installed};
use conformance::http::{self, admin, get};
use conformance::network::Plan;
use conformance::ports::free_port;
use conformance::router::{Config, PATIENCE, Router};
use conformance::wait_for;
use serde_json::Value;

const ADMIN: [(&str, &str); 2] = [("host", "127.0.0.1"), ("port", "0")];

/// The value of a series, as it is written.
fn metric(router: &Router, series: &str) -> Option<f64> {
    let text = get(admin(router), "/metrics").body;
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
}

fn number(router: &Router, series: &str) -> f64 {
    metric(router, series).unwrap_or_else(|| panic!("no {series}"))
}

/// What Prometheus' own parser and checker say.
fn lint(text: &str) -> String {
    let mut child = Command::new(installed("promlint").join("lint"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn topology(router: &Router) -> Value {
    let answer = get(admin(router), "/topology");
    assert_eq!(answer.status, 200);
    serde_json::from_str(&answer.body).unwrap()
}

fn texts(list: &Value, key: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|item| item[key].as_str().unwrap().to_owned()).collect()
}

#[test]
fn metrics_of_a_network() {
    let network = Plan::line(3).section("admin", &ADMIN).start();
    let [a, b, c] = ["A", "B", "C"].map(|id| network.router(id));
    let args = [("address", "news \"of\" Zürich\\"), ("count", "201")];
    let mut receiving = Client::ProtonPython.start(c.dir(), "recv", c.port, &args).ready();
    let before = ["A", "B", "C"].map(|id| number(network.router(id), "qdr_deliveries_transit_total"));
    let send = |count: &str| Client::ProtonPython.run(a.dir(), "send", a.port, &[args[0], ("count", count)]);
    send("200");
    // Escaped as the format wants it.
    let series = |name: &str, labels: &str| format!(r#"{name}{{address="news \"of\" Zürich\\"{labels}}}"#);
    let out = series("spanway_address_deliveries_total", r#",direction="out""#);
    wait_for("the copies at C", PATIENCE, || (metric(c, &out) == Some(200.0)).then_some(()));
    assert_eq!(number(c, &series("spanway_address_consumers", r#",place="here""#)), 1.0);
    let transit = |at: usize, router| number(router, "qdr_deliveries_transit_total") - before[at];
    // What each sends on to another router, and a few messages of the routers themselves.
    for (at, router) in [(0, a), (1, b)] {
        assert!((200.0..230.0).contains(&transit(at, router)), "{at}: {}", transit(at, router));
    }
    assert!(transit(2, c) < 30.0, "{}", transit(2, c));
    assert!(number(a, "qdr_deliveries_ingress_total") >= 200.0 && number(c, "qdr_deliveries_egress_total") >= 200.0);
    assert!(number(b, "qdr_deliveries_ingress_total") < 100.0, "what passes through is not what comes in");
    for router in [a, b, c] {
        assert_eq!(number(router, "qdr_routers_total"), 3.0);
        assert_eq!(number(router, "spanway_ready"), 1.0);
        // The reference's names of gauges are not what is recommended.
        let said = lint(&get(admin(router), "/metrics").body);
        let known = |line: &str| line.starts_with("qdr_") && line.contains("\"_total\" suffix");
        assert!(said.lines().all(known), "{said}");
    }
    let link = |direction: &str| {
        let labels = format!(r#"{{router="B",role="inter-router",direction="{direction}"}}"#);
        (
            number(a, &format!("spanway_link_bytes_total{labels}")),
            number(a, &format!("spanway_link_deliveries_total{labels}")),
        )
    };
    assert!(link("out").0 > 200.0 * 3.0 && link("out").1 >= 200.0, "{:?}", link("out"));
    assert!(link("in").0 > 0.0 && number(a, r#"spanway_link_cost{router="B",role="inter-router"}"#) == 1.0);
    assert_eq!(number(a, r#"spanway_link_up{connector="A-B",role="inter-router"}"#), 1.0);
    send("1");
    receiving.process.wait(PATIENCE);
}

#[test]
fn readiness_is_about_links() {
    let mut network = Plan::line(3).section("admin", &ADMIN).start();
    for id in ["A", "B", "C"] {
        let answer = get(admin(network.router(id)), "/readyz?verbose");
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    network.kill("B");
    let a = admin(network.router("A"));
    let answer = wait_for("the loss of B", PATIENCE, || Some(get(a, "/readyz")).filter(|answer| answer.status == 503));
    assert!(answer.body.starts_with("not ready: link A-B: 127.0.0.1:"), "{}", answer.body);
    assert_eq!(get(a, "/readyz?exclude=links").status, 200);
    // It has no connector of its own.
    assert_eq!(get(admin(network.router("C")), "/readyz").status, 200);
    let problems = topology(network.router("A"))["problems"].clone();
    assert!(texts(&problems, "about").contains(&"connector A-B".to_owned()), "{problems}");
    network.start("B");
    wait_for("B again", PATIENCE, || (get(a, "/readyz").status == 200).then_some(()));
}

#[test]
fn every_router_shows_the_whole_network() {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = server.local_addr().unwrap().port().to_string();
    let connector = [("address", "web"), ("host", "127.0.0.1"), ("port", port.as_str()), ("name", "web")];
    let network = Plan::ring(3).edges().section("admin", &ADMIN).section("tcpConnector", &connector).start();
    let mut config = Config::edge("E");
    config.listener(&[]);
    config.uplink(network.edge_port("B")).section("admin", &ADMIN);
    let (listener, nowhere) = (config.tcp_listener("web", &[]), config.tcp_listener("nothing", &[]));
    let edge = config.start();
    let args = [("address", "news"), ("count", "1")];
    let c = network.router("C");
    let receiving = Client::ProtonPython.start(c.dir(), "recv", c.port, &args).ready();
    let complete = |shown: &Value| {
        let answers = shown["routers"].as_array().unwrap().iter().all(|router| router["answers"] == true);
        let up = shown["links"].as_array().unwrap().iter().filter(|link| link["state"] == "up");
        let news = shown["addresses"].as_array().unwrap().iter().any(|address| address["address"] == "news");
        answers && up.count() == 4 && news
    };
    let routers = [network.router("A"), network.router("B"), c, &edge];
    for router in routers {
        let shown = wait_for("the whole network", PATIENCE, || Some(topology(router)).filter(complete));
        assert_eq!(texts(&shown["routers"], "id"), ["A", "B", "C", "E"]);
        assert_eq!(texts(&shown["routers"], "kind"), ["interior", "interior", "interior", "edge"]);
        let ends: Vec<(String, String, u64)> = shown["links"]
            .as_array()
            .unwrap()
            .iter()
            .map(|link| {
                let text = |key: &str| link[key].as_str().unwrap().to_owned();
                (text("a"), text("b"), link["cost"].as_u64().unwrap())
            })
            .collect();
        let wanted = [("A", "B"), ("A", "C"), ("B", "C"), ("B", "E")].map(|(a, b)| (a.to_owned(), b.to_owned(), 1));
        assert_eq!(ends, wanted);
        let news = shown["addresses"].as_array().unwrap().iter().find(|address| address["address"] == "news").unwrap();
        let at_c = news["consumers"].as_array().unwrap().iter().find(|place| place["router"] == "C");
        assert_eq!(at_c.unwrap()["count"], 1, "{news}");
        let web = shown["services"].as_array().unwrap().iter().find(|service| service["address"] == "web").unwrap();
        assert_eq!(texts(&web["connectors"], "router"), ["A", "B", "C"]);
        assert_eq!(web["listeners"][0]["place"], format!("127.0.0.1:{listener}"), "{web}");
        let closed = format!("127.0.0.1:{nowhere}");
        let problems = shown["problems"].as_array().unwrap();
        let of_listener =
            |problem: &Value| problem["router"] == "E" && problem["about"].as_str().unwrap().contains(&closed);
        assert!(problems.iter().any(of_listener), "{problems:?}");
        // Rates come with the second look.
        wait_for("rates", PATIENCE, || topology(router)["links"][0]["rates"].is_object().then_some(()));
    }
    let sent = Client::ProtonPython.start(edge.dir(), "send", edge.port, &args).result();
    assert_eq!(sent["accepted"], 1);
    receiving.result();
}

#[test]
fn a_router_alone_shows_itself() {
    let router = Router::with(|config| {
        config.section("admin", &ADMIN);
        let port = free_port().to_string();
        config.section("connector", &[("name", "broker"), ("port", &port), ("role", "route-container")]);
    });
    let shown = topology(&router);
    assert_eq!(
        (texts(&shown["routers"], "kind"), shown["links"].as_array().unwrap().len()),
        (vec!["standalone".into()], 0)
    );
    // A broker that is not there is no link of the network.
    assert_eq!(get(admin(&router), "/readyz").status, 200);
    let refused = http::request(
        admin(&router),
        "POST /topology HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(refused.status, 405);
}
