//! Networks whose routers are on hosts of their own, as network namespaces: who can dial whom, partitions, equal addresses.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use conformance::agent::Agent;
use conformance::namespace::{Host, hosts, isolated};
use conformance::process::wait_for;
use conformance::router::{Config, PATIENCE, Router};
use conformance::tcp::pattern;
use conformance::tcp::peers::{echo, read_n};
use conformance::traffic::{Pace, Requests, Responder, Sink, Source};

/// Where routers take connections of routers.
const PORT: &str = "55671";

/// A router on a host, which takes connections of others on all addresses, and connects to `peers`.
fn router(host: &Host, id: &str, peers: &[&Host], extend: impl FnOnce(&mut Config) + Send) -> Router {
    host.on(|| {
        let hello = [("helloIntervalMilliseconds", "250"), ("helloMaxAgeMilliseconds", "1000")];
        let mut config =
            Config::router(&[&[("mode", "interior"), ("id", id), ("workerThreads", "2")], &hello[..]].concat());
        config.listener(&[]);
        let open = [("role", "inter-router"), ("saslMechanisms", "ANONYMOUS"), ("port", PORT)];
        config.section("listener", &[&open[..], &[("host", "0.0.0.0"), ("authenticatePeer", "no")]].concat());
        for peer in peers {
            config.section("connector", &[&open[..], &[("name", &peer.address), ("host", &peer.address)]].concat());
        }
        extend(&mut config);
        config.start()
    })
}

fn agent(host: &Host, router: &Router) -> Agent {
    host.on(|| Agent::connect(router.port))
}

/// Waits until a router can reach just these.
fn wait_reach(host: &Host, router: &Router, ids: &[&str]) {
    let mut agent = agent(host, router);
    wait_for(&format!("ways to {ids:?}"), PATIENCE, || {
        let nodes = agent.nodes();
        let reached: Vec<&str> = nodes.iter().filter(|node| node.cost.is_some()).map(|node| node.id.as_str()).collect();
        (reached == ids).then_some(())
    });
}

/// Requests from one host to another are answered.
fn ask(from: (&Host, &Router), to: (&Host, &Router), address: &str) {
    let _responder = to.0.on(|| Responder::start(to.1, address));
    let requests = from.0.on(|| Requests::start(from.1, address, Duration::ZERO));
    requests.wait(50);
    let answers = requests.stop();
    assert_eq!((answers.refused, answers.repeated, answers.ended), (0, 0, false));
}

/// Only B can dial A: what A sends to begin a connection is dropped. Services work in both directions (C1).
#[test]
fn one_side_dials() {
    isolated("one_side_dials", || {
        let [a, b] = hosts(["a", "b"]);
        b.rule("ip saddr 10.77.0.0/24 tcp flags & (fin | syn | rst | ack) == syn drop");
        let at_a = router(&a, "A", &[], |_| {});
        let at_b = router(&b, "B", &[&a], |_| {});
        wait_reach(&a, &at_a, &["A", "B"]);
        let port = PORT.parse().unwrap();
        let dialled = a.on(|| {
            let there = SocketAddr::new(b.address.parse().unwrap(), port);
            TcpStream::connect_timeout(&there, Duration::from_millis(300)).is_ok()
        });
        assert!(!dialled, "the rule lets A dial B");
        ask((&a, &at_a), (&b, &at_b), "service.b");
        ask((&b, &at_b), (&a, &at_a), "service.a");
    });
}

/// A database at B, where nobody can begin a connection: a client at A sends it a gibibyte and gets the same back (C2).
#[test]
fn a_private_server_is_reached() {
    const SIZE: usize = 1 << 30;
    isolated("a_private_server_is_reached", || {
        let [a, b] = hosts(["a", "b"]);
        b.rule("tcp flags & (fin | syn | rst | ack) == syn ip saddr 10.77.0.0/24 drop");
        let mut port = 0;
        let at_a = router(&a, "A", &[], |config| port = config.tcp_listener("database", &[]));
        let server = b.on(|| echo("ready"));
        let _at_b = router(&b, "B", &[&a], |config| _ = config.tcp_connector("database", server, &[]));
        wait_reach(&a, &at_a, &["A", "B"]);
        let dialled = a.on(|| {
            let there = SocketAddr::new(b.address.parse().unwrap(), PORT.parse().unwrap());
            TcpStream::connect_timeout(&there, Duration::from_millis(300)).is_ok()
        });
        assert!(!dialled, "the rule lets A dial B");
        let mut near = a.on(|| wait_for("a listener", PATIENCE, || TcpStream::connect(("127.0.0.1", port)).ok()));
        near.set_read_timeout(Some(PATIENCE)).unwrap();
        near.set_write_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(read_n(&mut near, 5), b"ready");
        let data = pattern((1 << 20) + 7);
        let (upload, mut out) = (data.clone(), near.try_clone().unwrap());
        let writer = std::thread::spawn(move || {
            let mut left = SIZE;
            while left > 0 {
                let part = left.min(upload.len());
                out.write_all(&upload[..part]).unwrap();
                left -= part;
            }
            out.shutdown(Shutdown::Write).unwrap();
        });
        let mut left = SIZE;
        let mut buffer = vec![0; data.len()];
        while left > 0 {
            let part = left.min(data.len());
            near.read_exact(&mut buffer[..part]).unwrap();
            assert!(buffer[..part] == data[..part], "wrong bytes with {left} left");
            left -= part;
        }
        assert_eq!(near.read(&mut buffer).unwrap(), 0);
        writer.join().unwrap();
    });
}

/// A is cut off from B and C by rules that drop, without anybody being told. Each side goes on by itself; when the rules are taken away,
/// all know the same again within ten seconds, and a service that ended meanwhile is gone (O4).
#[test]
fn a_partition_heals() {
    isolated("a_partition_heals", || {
        let [a, b, c] = hosts(["a", "b", "c"]);
        let at_a = router(&a, "A", &[&b, &c], |_| {});
        let at_b = router(&b, "B", &[&c], |_| {});
        let at_c = router(&c, "C", &[], |_| {});
        for (host, router) in [(&a, &at_a), (&b, &at_b), (&c, &at_c)] {
            wait_reach(host, router, &["A", "B", "C"]);
        }
        let stays = b.on(|| Sink::start(&at_b, "stays", 10));
        let ends = c.on(|| Sink::start(&at_c, "ends", 10));
        let at_home = a.on(|| Sink::start(&at_a, "home", 10));
        agent(&a, &at_a).wait_address("ends", 0, 1);
        agent(&a, &at_a).wait_address("stays", 0, 1);
        let inner =
            c.on(|| Source::start(&at_c, "inner", "stays", Pace { gap: Duration::from_millis(5), ..Pace::default() }));
        inner.wait_accepted(20);

        let begin = Instant::now();
        a.partition(&b);
        a.partition(&c);
        wait_reach(&a, &at_a, &["A"]);
        wait_reach(&b, &at_b, &["B", "C"]);
        wait_reach(&c, &at_c, &["B", "C"]);
        println!("noticed on both sides after {:?}", begin.elapsed());
        agent(&a, &at_a).wait_address("stays", 0, 0);
        inner.wait_accepted(20);
        ends.stop();
        let new = c.on(|| Sink::start(&at_c, "new", 10));
        let more = a.on(|| Sink::start(&at_a, "more", 10));
        agent(&b, &at_b).wait_address("new", 0, 1);

        [&a, &b, &c].into_iter().for_each(Host::heal);
        let healed = Instant::now();
        for (host, router) in [(&a, &at_a), (&b, &at_b), (&c, &at_c)] {
            wait_reach(host, router, &["A", "B", "C"]);
        }
        agent(&a, &at_a).wait_address("stays", 0, 1);
        agent(&a, &at_a).wait_address("new", 0, 1);
        agent(&a, &at_a).wait_address("ends", 0, 0);
        for (host, router) in [(&b, &at_b), (&c, &at_c)] {
            let mut agent = agent(host, router);
            agent.wait_address("home", 0, 1);
            agent.wait_address("more", 0, 1);
            agent.wait_address("ends", 0, 0);
        }
        println!("healed after {:?}", healed.elapsed());
        assert!(healed.elapsed() < Duration::from_secs(10), "{:?}", healed.elapsed());
        let sent = inner.stop();
        assert_eq!((sent.open, sent.refused.len(), sent.ended), (0, 0, false), "{:?}", sent.refused);
        stays.stop().assert_exactly_once("inner", &sent);
        drop((at_home, new, more));
    });
}

/// Both sites use 192.168.7.1 for their own services. A client knows only the one of its site, and reaches the other site by address.
#[test]
fn sites_may_use_the_same_addresses() {
    isolated("sites_may_use_the_same_addresses", || {
        let [a, b] = hosts(["a", "b"]);
        a.private("192.168.7.1/24");
        b.private("192.168.7.1/24");
        let site =
            [("host", "192.168.7.1"), ("port", "5672"), ("saslMechanisms", "ANONYMOUS"), ("authenticatePeer", "no")];
        let listen = move |config: &mut Config| _ = config.section("listener", &site);
        let at_a = router(&a, "A", &[], listen);
        let at_b = router(&b, "B", &[&a], listen);
        wait_reach(&b, &at_b, &["A", "B"]);
        for (host, router) in [(&a, &at_a), (&b, &at_b)] {
            host.on(|| TcpStream::connect(("192.168.7.1", 5672)).unwrap());
            let rows = agent(host, router).rows("router", &["id"]);
            assert_eq!(rows.len(), 1);
        }
        ask((&a, &at_a), (&b, &at_b), "service.b");
        ask((&b, &at_b), (&a, &at_a), "service.a");
    });
}
