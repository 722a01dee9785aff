//! Edge routers that are linked with each other: what one sends for the other does not go over an interior router, and is not copied there either.

use std::io::Write as _;
use std::time::{Duration, Instant};

use conformance::agent::Agent;
use conformance::ports::free_port;
use conformance::raw::V;
use conformance::relay::{Line, Relay};
use conformance::tcp::peers::{client, echo, read_n};
use conformance::tcp::wait_listening;
use conformance::traffic::{Pace, Requests, Responder, Sink, Source};
use conformance::{Config, PATIENCE, Router, wait_for};

fn config(mut config: Config) -> Config {
    config.listener(&[]);
    config.section("address", &[("prefix", "all"), ("distribution", "multicast")]);
    config
}

/// Values of some attributes of all entities of a type, as texts.
fn rows(router: &Router, ty: &str, attributes: &[&str]) -> Vec<Vec<String>> {
    let text = |value: &V| match (value.text(), value.number()) {
        (Some(text), _) => text.to_owned(),
        (None, Some(number)) => number.to_string(),
        _ => "-".to_owned(),
    };
    let rows = Agent::connect(router.port).rows(ty, attributes);
    rows.iter().map(|row| row.iter().map(text).collect()).collect()
}

/// The meshes of a router's connections with edge routers, and the roles of these.
fn meshes(router: &Router) -> Vec<(String, String)> {
    let rows = rows(router, "connection", &["role", "meshId"]);
    let edges = rows.into_iter().filter(|row| row[0].ends_with("edge"));
    edges.map(|row| (row[0].clone(), row[1].clone())).collect()
}

/// Waits until an edge router knows that another wants what is sent to an address.
fn wait_asked(router: &Router, address: &str) {
    wait_for("a link of the other edge router", PATIENCE, || {
        let links = rows(router, "router.link", &["linkDir", "owningAddr", "linkType"]);
        links.contains(&["out", &format!("M{address}"), "endpoint"].map(str::to_owned).to_vec()).then_some(())
    });
}

/// A source sends some messages; all sinks get each of them once.
fn copies(from: &Router, name: &str, sinks: &[&Sink]) {
    let before: Vec<usize> = sinks.iter().map(|sink| sink.count()).collect();
    let pace = Pace { count: 50, gap: Duration::from_millis(1), ..Pace::default() };
    let source = Source::start(from, name, "all.news", pace);
    source.wait_done(50);
    assert_eq!(source.stop().accepted.count(), 50);
    for (sink, before) in sinks.iter().zip(before) {
        sink.wait(before + 50);
    }
}

/// E1 - E2
#[test]
fn two_edge_routers_need_no_interior_router() {
    let port = free_port();
    let mut two = config(Config::edge("E2"));
    two.accept_mesh(port).tcp_connector("web", echo("web"), &[]);
    let two = two.start();
    let mut one = config(Config::edge("E1"));
    one.connect_mesh(port);
    let web = one.tcp_listener("web", &[]);
    let one = one.start();
    wait_listening(web);
    let mut stream = client(web);
    assert_eq!(read_n(&mut stream, 3), b"web");
    let data = vec![b'x'; 1 << 20];
    let mut writer = stream.try_clone().unwrap();
    let sent = data.clone();
    let sending = std::thread::spawn(move || writer.write_all(&sent).unwrap());
    assert!(read_n(&mut stream, data.len()) == data);
    sending.join().unwrap();

    for (near, far) in [(&one, &two), (&two, &one)] {
        let _responder = Responder::start(far, "service");
        let requests = Requests::start(near, "service", Duration::ZERO);
        requests.wait(200);
        let answers = requests.stop();
        assert!(answers.refused == 0 && answers.repeated == 0);
    }
    let sinks = [Sink::start(&one, "all.news", 100), Sink::start(&two, "all.news", 100)];
    wait_asked(&one, "all.news");
    wait_asked(&two, "all.news");
    copies(&one, "one", &[&sinks[0], &sinks[1]]);
    copies(&two, "two", &[&sinks[0], &sinks[1]]);
    for received in sinks.map(Sink::stop) {
        assert_eq!(received.times.len(), 100);
        assert!(received.times.values().all(|times| *times == 1), "a copy came twice");
    }

    let (here, there) = (meshes(&one), meshes(&two));
    assert!(
        here == there && here.len() == 1 && here[0].0 == "inter-edge" && here[0].1.len() == 15,
        "{here:?} {there:?}"
    );
    let links = rows(&one, "router.link", &["linkType", "linkDir", "owningAddr"]);
    for link in [["inter-edge", "out", "HE2"], ["inter-edge", "in", "-"], ["endpoint", "out", "Mweb"]] {
        assert!(links.contains(&link.map(str::to_owned).to_vec()), "{link:?} {links:?}");
    }
    // Neither asks the other by way of an interior router.
    for (asked, id) in [(&one, "E2"), (&two, "E1")] {
        assert_eq!(Agent::of_edge(asked.port, id).rows("router", &["id"])[0][0].text(), Some(id));
    }
}

/// Deliveries for an address that came to an interior router from its edges.
fn from_edges(router: &Router, address: &str) -> u64 {
    let links = rows(router, "router.link", &["linkDir", "owningAddr", "deliveryCount"]);
    links.iter().filter(|row| row[0] == "in" && row[1] == address).filter_map(|row| row[2].parse::<u64>().ok()).sum()
}

/// E1 and E2, linked with each other and with A. What they send each other goes over A only while their own link is cut.
#[test]
fn a_mesh_falls_back_to_its_interior_router() {
    let (edges, mesh) = (free_port(), free_port());
    let mut interior = config(Config::interior("A"));
    interior.accept_edges(edges);
    let interior = interior.start();
    let mut two = config(Config::edge("E2"));
    two.uplink(edges).accept_mesh(mesh);
    let two = two.start();
    let relay = Relay::start(mesh, Line::default());
    let mut one = config(Config::edge("E1"));
    one.uplink(edges).connect_mesh(relay.port);
    let one = one.start();
    let joined = || {
        wait_for("the mesh", PATIENCE, || {
            let all = meshes(&interior);
            let same = all.len() == 2 && all[0] == all[1] && all[0].1.len() == 15;
            let linked = |router| meshes(router).iter().any(|(role, _)| role == "inter-edge");
            (same && linked(&one) && linked(&two)).then_some(())
        });
    };
    joined();
    let _responder = Responder::start(&two, "service");
    let sinks = [&one, &two, &interior].map(|router| Sink::start(router, "all.news", 100));
    let all = || sinks.iter().collect::<Vec<_>>();
    wait_asked(&one, "service");
    wait_asked(&one, "all.news");
    wait_asked(&two, "all.news");
    wait_for("consumers", PATIENCE, || {
        (rows(&interior, "router.link", &["owningAddr", "linkDir"])
            .iter()
            .filter(|row| row[0] == "Mall.news" && row[1] == "out")
            .count()
            == 3)
            .then_some(())
    });
    let requests = Requests::start(&one, "service", Duration::from_millis(2));
    requests.wait(100);
    assert_eq!(from_edges(&interior, "Mservice"), 0, "requests do not go over the interior router");
    for (router, name) in [(&one, "one"), (&two, "two"), (&interior, "interior")] {
        copies(router, name, &all());
    }

    let cut = Instant::now();
    relay.cut();
    requests.wait(100);
    let gap = requests.moments().longest_gap(cut - Duration::from_millis(50), Instant::now()).unwrap();
    println!("no answers for {gap:?}; {} refused", requests.refused());
    assert!(gap < Duration::from_secs(3), "{gap:?}");
    assert!(from_edges(&interior, "Mservice") > 0, "requests go over the interior router");
    wait_for("two meshes", PATIENCE, || {
        let all = meshes(&interior);
        (all.len() == 2 && all[0] != all[1]).then_some(())
    });

    relay.restore();
    joined();
    wait_asked(&one, "service");
    wait_asked(&one, "all.news");
    wait_asked(&two, "all.news");
    let before = from_edges(&interior, "Mservice");
    requests.wait(100);
    // One may have been on its way.
    assert!(from_edges(&interior, "Mservice") <= before + 1, "requests do not go over the interior router");
    for (router, name) in [(&one, "one-again"), (&two, "two-again"), (&interior, "interior-again")] {
        copies(router, name, &all());
    }
    assert!(!requests.stop().ended);
    for received in sinks.map(Sink::stop) {
        for name in ["one", "two", "interior", "one-again", "two-again", "interior-again"] {
            assert_eq!(received.of(name).len(), 50, "{name}");
        }
        assert!(received.times.values().all(|times| *times == 1), "a copy came twice");
    }
}
