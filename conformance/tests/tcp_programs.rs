//! Unmodified TCP programs through listener and connector.

use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, TcpStream};
use std::path::Path;

use conformance::ports::free_port;
use conformance::tcp::peers::{Server, client, echo, greeting, read_n, read_to_end, read_to_reset};
use conformance::tcp::{
    Iperf, Nginx, Postgres, curl, is_refused, open_dir, ours_only, pattern, run, wait_closed, wait_listening, wrk,
};
use conformance::{Config, PATIENCE, Router};

/// A router with a listener for a server on `port`; the listener's port.
fn service(port: u16) -> (Router, u16) {
    let mut config = Config::new();
    config.tcp_connector("service", port, &[]);
    let listener = config.tcp_listener("service", &[]);
    (config.start_tcp(&[listener]), listener)
}

fn get(dir: &Path, url: &str) -> String {
    run(dir, &mut curl(url)).success()
}

#[test]
fn nginx_and_curl() {
    let dir = open_dir();
    let (nginx, content) = Nginx::with_big(dir.path(), None);
    let (_router, port) = service(nginx.plain);
    let url = format!("http://127.0.0.1:{port}");
    assert_eq!(get(dir.path(), &format!("{url}/small")), "small\n");
    // 64 MiB down, and up again.
    let copy = dir.path().join("copy");
    run(dir.path(), curl(&format!("{url}/big")).arg("--output").arg(&copy)).success();
    assert!(fs::read(&copy).unwrap() == content, "the download differs");
    run(dir.path(), curl(&format!("{url}/put/big")).arg("--upload-file").arg(&copy)).success();
    assert!(fs::read(dir.path().join("nginx/www/put/big")).unwrap() == content, "the upload differs");
    // Three requests over one connection.
    let small = format!("{url}/small");
    let mut thrice = curl(&small);
    let output = run(dir.path(), thrice.args([&small, &small]).args(["--write-out", "%{num_connects}\n"])).success();
    assert_eq!(output, "small\n1\nsmall\n0\nsmall\n0\n");
}

#[test]
fn nginx_and_wrk() {
    let dir = open_dir();
    let nginx = Nginx::start(dir.path(), "nginx", None);
    let (_router, port) = service(nginx.plain);
    wrk(dir.path(), &format!("http://127.0.0.1:{port}/small"));
}

#[test]
fn iperf3_both_ways() {
    let dir = open_dir();
    let server = Iperf::start(dir.path());
    let (_router, port) = service(server.port);
    server.measure(dir.path(), port);
}

#[test]
fn postgresql() {
    let server = Postgres::start();
    let (_router, port) = service(server.port);
    assert_eq!(server.query(port, "select 6 * 7").success(), "42\n");
    // A result of some megabytes.
    let rows = server.query(port, "select n, repeat('x', 100) from generate_series(1, 50000) n").success();
    assert_eq!(rows.lines().count(), 50_000);
    server.pgbench(port, &["--initialize", "--scale=1", "--quiet"]);
    assert!(server.bench(port) > 0);
}

#[test]
fn ipv6_on_both_sides() {
    let dir = open_dir();
    let nginx = Nginx::start(dir.path(), "nginx", None);
    let mut config = Config::new();
    config.tcp_connector("service", nginx.plain, &[("host", "::1")]);
    let port = config.tcp_listener("service", &[("host", "::1")]);
    let _router = config.start_tcp(&[port]);
    assert_eq!(get(dir.path(), &format!("http://[::1]:{port}/name")), "nginx");
    assert!(is_refused(port), "it must listen on ::1 only");
}

#[test]
fn every_address_of_the_machine() {
    let server = Server::v6();
    let mut config = Config::new();
    config.tcp_connector("service", server.port, &[("host", "::1")]);
    // Neither host nor anything else that would say where.
    let port = free_port();
    config.section("tcpListener", &[("address", "service"), ("port", &port.to_string())]);
    let _router = config.start_tcp(&[port]);
    for host in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        let mut stream = TcpStream::connect((host, port)).unwrap();
        stream.write_all(b"hello").unwrap();
        assert_eq!(read_n(&mut server.accept(), 5), b"hello");
    }
}

#[test]
fn either_side_may_end_first() {
    let server = Server::start();
    let (_router, port) = service(server.port);
    let data = pattern(1 << 20);
    // The client ends, the server answers afterwards.
    let (mut near, mut far) = (client(port), server.accept());
    near.write_all(b"request").unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut far), b"request");
    let answer = data.clone();
    let writer = std::thread::spawn(move || far.write_all(&answer));
    assert!(read_to_end(&mut near) == data);
    writer.join().unwrap().unwrap();
    // The server ends, the client goes on.
    let (mut near, mut far) = (client(port), server.accept());
    far.write_all(b"hello").unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut near), b"hello");
    let upload = data.clone();
    let writer = std::thread::spawn(move || near.write_all(&upload));
    assert!(read_to_end(&mut far) == data);
    writer.join().unwrap().unwrap();
}

#[test]
fn connectors_share_the_clients() {
    let mut config = Config::new();
    config.tcp_connector("service", echo("one"), &[]).tcp_connector("service", echo("two"), &[]);
    let port = config.tcp_listener("service", &[]);
    let _router = config.start_tcp(&[port]);
    // Open connections go where fewer are open. Each of four workers may begin anywhere.
    let open: Vec<_> = (0..20).map(|_| client(port)).collect();
    let mut names: Vec<String> = Vec::new();
    for mut stream in open.iter() {
        names.push(String::from_utf8(read_n(&mut stream, 3)).unwrap());
    }
    for name in ["one", "two"] {
        let count = names.iter().filter(|n| *n == name).count();
        assert!((6..=14).contains(&count), "{name} got {count} of 20");
    }
}

/// A router with a listener of two addresses; the listener's port.
fn two_addresses(strategy: &str, values: [&str; 2], connectors: &[(&str, u16)]) -> (Router, u16) {
    let mut config = Config::new();
    let port = config.tcp_listener_with_strategy("multi", strategy);
    for (address, value) in ["one", "two"].into_iter().zip(values) {
        let name = format!("multi-{address}");
        config.section(
            "listenerAddress",
            &[("name", &name), ("listener", "multi"), ("address", address), ("value", value)],
        );
    }
    for (address, server) in connectors {
        config.tcp_connector(address, *server, &[]);
    }
    (config.start_tcp(&[port]), port)
}

#[test]
fn the_address_of_the_highest_priority_is_taken() {
    let (_router, port) = two_addresses("priority", ["1", "2"], &[("one", echo("one")), ("two", echo("two"))]);
    for _ in 0..10 {
        assert_eq!(greeting(port), "two");
    }
    // An address that nobody serves is passed over.
    let (_router, port) = two_addresses("priority", ["1", "2"], &[("one", echo("one"))]);
    for _ in 0..10 {
        assert_eq!(greeting(port), "one");
    }
}

#[test]
fn addresses_are_taken_by_weight() {
    let (_router, port) = two_addresses("weighted", ["80", "20"], &[("one", echo("one")), ("two", echo("two"))]);
    let count = (0..200).filter(|_| greeting(port) == "one").count();
    // Six standard deviations.
    assert!((126..=194).contains(&count), "{count} of 200 instead of about 160");
}

#[test]
fn a_listener_opens_and_closes_with_its_address() {
    let mut config = Config::new();
    let amqp = config.listener(&[]);
    let port = config.tcp_listener("service", &[]);
    let _router = config.start();
    assert!(is_refused(port));
    // A receiver of AMQP serves the address, too.
    let mut peer = conformance::raw::Peer::begun(amqp);
    peer.attach_receiver(0, Some("service"), 10);
    wait_listening(port);
    peer.close();
    wait_closed(port);
    assert!(is_refused(port));
}

#[test]
fn sigterm_lets_transfers_finish_and_refuses_new_ones() {
    if ours_only("skrouterd cuts connections when it ends") {
        return;
    }
    let server = Server::start();
    let (mut router, port) = service(server.port);
    let (mut near, mut far) = (client(port), server.accept());
    let data = pattern(4 << 20);
    let half = data.len() / 2;
    let (sent, rest) = (data.clone(), data[half..].to_vec());
    far.write_all(b"-").unwrap();
    assert_eq!(read_n(&mut near, 1), b"-");
    let writer = std::thread::spawn(move || {
        far.write_all(&sent[..half]).unwrap();
        far
    });
    router.process.signal(rustix::process::Signal::TERM);
    wait_closed(port);
    assert!(is_refused(port));
    assert!(read_n(&mut near, half) == data[..half]);
    let mut far = writer.join().unwrap();
    assert_eq!(router.process.exit_status(), None, "it must wait for the transfer");
    let writer = std::thread::spawn(move || {
        far.write_all(&rest).unwrap();
        far
    });
    assert!(read_n(&mut near, data.len() - half) == data[half..]);
    // Both sides end, and nothing is left to wait for.
    drop(writer.join().unwrap());
    assert!(read_to_end(&mut near).is_empty());
    drop(near);
    assert!(router.process.wait(PATIENCE).success());
}

#[test]
fn sigterm_lets_a_download_finish() {
    if ours_only("skrouterd cuts connections when it ends") {
        return;
    }
    let dir = open_dir();
    let (nginx, content) = Nginx::with_big(dir.path(), None);
    let (router, port) = service(nginx.plain);
    let copy = dir.path().join("copy");
    // Some 4 s from here on, of which the router sees the most as its client is slow.
    let mut slow = curl(&format!("http://127.0.0.1:{port}/big"));
    let mut download = conformance::tcp::start(dir.path(), slow.args(["--limit-rate", "16M", "--output"]).arg(&copy));
    let begun = || fs::metadata(&copy).is_ok_and(|file| file.len() > 0).then_some(());
    conformance::wait_for("the download's first bytes", PATIENCE, begun);
    assert!(router.stop().success());
    assert!(download.wait(PATIENCE).success(), "{}", download.output());
    assert!(fs::read(&copy).unwrap() == content, "the download differs");
}

#[test]
fn nginx_learns_who_its_client_is() {
    if ours_only("skrouterd has no PROXY protocol") {
        return;
    }
    let dir = open_dir();
    let nginx = Nginx::start(dir.path(), "nginx", None);
    for version in ["v1", "v2"] {
        let mut config = Config::new();
        config.tcp_connector("service", nginx.proxied, &[("proxyProtocol", version)]);
        let port = config.tcp_listener("service", &[]);
        let _router = config.start_tcp(&[port]);
        let local = free_port().to_string();
        let mut curl = curl(&format!("http://127.0.0.1:{port}/client"));
        let answer = run(dir.path(), curl.args(["--interface", "127.0.0.1", "--local-port", &local])).success();
        assert_eq!(answer, format!("127.0.0.1 {local}"), "{version}");
    }
}

#[test]
fn a_listener_takes_the_client_from_a_header() {
    if ours_only("skrouterd has no PROXY protocol") {
        return;
    }
    let dir = open_dir();
    let nginx = Nginx::start(dir.path(), "nginx", None);
    let mut config = Config::new();
    config.tcp_connector("service", nginx.proxied, &[("proxyProtocol", "v2")]);
    let port = config.tcp_listener("service", &[("proxyProtocol", "any")]);
    let _router = config.start_tcp(&[port]);
    let ask = |header: &[u8]| {
        let mut stream = client(port);
        stream.write_all(header).unwrap();
        stream.write_all(b"GET /client HTTP/1.0\r\n\r\n").unwrap();
        stream
    };
    let answer = read_to_end(&mut ask(b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 80\r\n"));
    assert!(String::from_utf8_lossy(&answer).ends_with("\r\n\r\n192.0.2.7 4711"), "{answer:?}");
    // Whoever does not say is not served.
    read_to_reset(&mut ask(b""));
}

#[test]
fn a_hundred_connections_at_once() {
    let dir = open_dir();
    let nginx = Nginx::start(dir.path(), "nginx", None);
    let (_router, port) = service(nginx.plain);
    let url = format!("http://127.0.0.1:{port}/small");
    let mut parallel = curl(&url);
    parallel
        .args(["--parallel", "--parallel-immediate", "--parallel-max", "100", "--no-progress-meter"])
        .args(std::iter::repeat_n(&url, 99));
    assert_eq!(run(dir.path(), &mut parallel).success(), "small\n".repeat(100));
}
