//! TCP programs whose client and server are at different routers of a network.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use conformance::agent::{Agent, Node};
use conformance::certs::Certs;
use conformance::ports::free_port;
use conformance::tcp::peers::{Server, client, echo, greeting, read_n, read_to_end, read_to_reset, reset, tls_client};
use conformance::tcp::{
    Iperf, Nginx, Postgres, curl, has_unread, is_refused, is_reset, open_dir, pattern, run, wait_closed,
    wait_listening, wrk,
};
use conformance::{Config, PATIENCE, Router, wait_for};

/// A line of routers, each of which may have more in its configuration.
struct Line(Vec<Option<Router>>);

impl Line {
    /// Each but the first connects to the one before it. Waits until everybody on `ports` listens, which needs the whole way.
    fn start(configs: Vec<Config>, ports: &[u16]) -> Self {
        Self::shaped(configs, ports, false)
    }

    /// `ring`: the last one connects to the first, too.
    fn shaped(configs: Vec<Config>, ports: &[u16], ring: bool) -> Self {
        let mut accepts: Vec<u16> = Vec::new();
        let mut routers = Vec::new();
        let count = configs.len();
        for mut config in configs {
            let first = accepts.first().filter(|_| ring && accepts.len() + 1 == count);
            for port in accepts.last().into_iter().chain(first) {
                config.connect_router(*port);
            }
            let port = free_port();
            config.accept_routers(port);
            accepts.push(port);
            routers.push(Some(config.start()));
        }
        ports.iter().for_each(|port| wait_listening(*port));
        Self(routers)
    }
}

fn configs(names: &[&str]) -> Vec<Config> {
    names.iter().map(|name| Config::interior(name)).collect()
}

/// A line of so many routers with a client's listener at the first and the server at the last; the listener's port.
fn across(routers: usize, server: u16) -> (Line, u16) {
    let mut configs = configs(&["A", "B", "C"][..routers]);
    let port = configs[0].tcp_listener("service", &[]);
    configs[routers - 1].tcp_connector("service", server, &[]);
    (Line::start(configs, &[port]), port)
}

/// In a line of three.
#[test]
fn every_placement_of_client_and_server() {
    every_placement(&["A", "B", "C"], false);
}

/// In a ring of four.
#[test]
fn every_placement_in_a_ring() {
    every_placement(&["A", "B", "C", "D"], true);
}

fn every_placement(ids: &[&str], ring: bool) {
    let mut configs = configs(ids);
    let mut ports = Vec::new();
    let names = ["at A", "at B", "at C", "at D"];
    for (server, name) in names.into_iter().take(ids.len()).enumerate() {
        let address = format!("service-{server}");
        configs[server].tcp_connector(&address, echo(name), &[]);
        for config in &mut configs {
            ports.push((config.tcp_listener(&address, &[]), name));
        }
    }
    let listeners: Vec<u16> = ports.iter().map(|(port, _)| *port).collect();
    let _line = Line::shaped(configs, &listeners, ring);
    for _ in 0..3 {
        for (port, name) in &ports {
            assert_eq!(greeting(*port), *name);
        }
    }
    let mut open: Vec<(TcpStream, &str)> = ports.iter().map(|(port, name)| (client(*port), *name)).collect();
    for (near, name) in &mut open {
        assert_eq!(read_n(near, name.len()), name.as_bytes());
        near.write_all(b"what a server hears it says").unwrap();
        assert_eq!(read_n(near, 27), b"what a server hears it says");
    }
}

#[test]
fn nginx_and_curl() {
    let dir = open_dir();
    let (nginx, content) = Nginx::with_big(dir.path(), None);
    let (_line, port) = across(3, nginx.plain);
    let url = format!("http://127.0.0.1:{port}");
    let copy = dir.path().join("copy");
    run(dir.path(), curl(&format!("{url}/big")).arg("--output").arg(&copy)).success();
    assert!(fs::read(&copy).unwrap() == content, "the download differs");
    run(dir.path(), curl(&format!("{url}/put/big")).arg("--upload-file").arg(&copy)).success();
    assert!(fs::read(dir.path().join("nginx/www/put/big")).unwrap() == content, "the upload differs");
    let small = format!("{url}/small");
    let mut thrice = curl(&small);
    let output = run(dir.path(), thrice.args([&small, &small]).args(["--write-out", "%{num_connects}\n"])).success();
    assert_eq!(output, "small\n1\nsmall\n0\nsmall\n0\n");
    wrk(dir.path(), &small);
    let mut parallel = curl(&small);
    parallel
        .args(["--parallel", "--parallel-immediate", "--parallel-max", "100", "--no-progress-meter"])
        .args(std::iter::repeat_n(&small, 99));
    assert_eq!(run(dir.path(), &mut parallel).success(), "small\n".repeat(100));
}

#[test]
fn iperf3_both_ways() {
    let dir = open_dir();
    let server = Iperf::start(dir.path());
    let (_line, port) = across(2, server.port);
    server.measure(dir.path(), port);
}

#[test]
fn postgresql() {
    let server = Postgres::start();
    let (_line, port) = across(2, server.port);
    assert_eq!(server.query(port, "select 6 * 7").success(), "42\n");
    let rows = server.query(port, "select n, repeat('x', 100) from generate_series(1, 50000) n").success();
    assert_eq!(rows.lines().count(), 50_000);
    server.pgbench(port, &["--initialize", "--scale=1", "--quiet"]);
    assert!(server.bench(port) > 0);
}

#[test]
fn either_side_may_end_first() {
    let server = Server::start();
    let (_line, port) = across(3, server.port);
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
fn a_reset_reaches_the_other_side() {
    let server = Server::start();
    let (_line, port) = across(3, server.port);
    // Of the server, with data on its way: all that its system had sent may or may not arrive.
    let (mut near, mut far) = (client(port), server.accept());
    far.write_all(&pattern(100_000)).unwrap();
    read_n(&mut near, 1);
    reset(far);
    assert!(read_to_reset(&mut near) < 100_000);
    // Of the client, likewise.
    let (mut near, mut far) = (client(port), server.accept());
    near.write_all(&pattern(100_000)).unwrap();
    read_n(&mut far, 1);
    reset(near);
    assert!(read_to_reset(&mut far) < 100_000);
    // After the other side has ended.
    let (near, mut far) = (client(port), server.accept());
    far.write_all(b"x").unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    let mut reader = &near;
    assert_eq!(read_n(&mut reader, 1), b"x");
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    reset(near);
    assert_eq!(read_to_reset(&mut far), 0);
}

#[test]
fn many_short_connections_from_both_sides_are_all_answered() {
    const AT_ONCE: usize = 16;
    const EACH: usize = 125;
    let mut configs = configs(&["A", "B"]);
    let mut ports = Vec::new();
    for (client, server) in [(0, 1), (1, 0)] {
        let address = format!("service-{server}");
        configs[server].tcp_connector(&address, echo("hello"), &[]);
        ports.push(configs[client].tcp_listener(&address, &[]));
    }
    let agents: Vec<u16> = configs.iter_mut().map(|config| config.listener(&[])).collect();
    let _line = Line::start(configs, &ports);
    std::thread::scope(|scope| {
        for port in &ports {
            for first in 0..AT_ONCE {
                scope.spawn(move || {
                    for n in (first * EACH..).take(EACH) {
                        let mut near = client(*port);
                        let data = pattern(n % 5000 + 1);
                        near.write_all(&data).unwrap();
                        if n % 3 == 0 {
                            near.shutdown(Shutdown::Write).unwrap();
                        }
                        assert_eq!(read_n(&mut near, 5), b"hello");
                        assert!(read_n(&mut near, data.len()) == data, "what a server hears it says");
                        if n % 7 == 0 {
                            reset(near);
                        }
                    }
                });
            }
        }
    });
    for agent in agents {
        // Each side sends requests and answers, 16 at once of each. Others may wait for their end to be known, and there are links
        // for messages.
        let links = Agent::connect(agent).rows("router.link", &["linkDir"]).len();
        assert!(links < 16 * AT_ONCE, "{links} links");
    }
}

#[test]
fn a_killed_server_resets_its_clients() {
    let dir = open_dir();
    let (mut nginx, _) = Nginx::with_big(dir.path(), None);
    let (_line, port) = across(2, nginx.plain);
    let mut near = client(port);
    let request = b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n";
    near.write_all(request).unwrap();
    read_n(&mut near, 100_000);
    near.write_all(&request.repeat(100)).unwrap();
    wait_for("requests that nginx did not read", PATIENCE, || has_unread(nginx.plain).then_some(()));
    nginx.process.kill();
    assert!(read_to_reset(&mut near) < conformance::tcp::nginx::BIG);
    // Those who come later are told, too.
    let mut near = client(port);
    match near.write_all(request) {
        Ok(()) => assert_eq!(read_to_reset(&mut near), 0),
        Err(error) => assert!(is_reset(&error), "{error}"),
    }
}

/// Whatever router the dead server is at, what the client sent reaches the one that lives.
#[test]
fn clients_of_a_dead_server_get_another() {
    for (dead, alive) in [(0, 2), (1, 2), (2, 1), (2, 0), (2, 2)] {
        let mut configs = configs(&["A", "B", "C"]);
        let port = configs[0].tcp_listener("service", &[]);
        configs[dead].tcp_connector("service", free_port(), &[]);
        configs[alive].tcp_connector("service", echo(""), &[]);
        let _line = Line::start(configs, &[port]);
        // The listener opens with the first server that its router hears of, which may be the dead one.
        wait_for("the server that lives", PATIENCE, || {
            let mut near = client(port);
            near.write_all(b"hello").ok()?;
            let mut answer = [0; 5];
            near.read_exact(&mut answer).ok()?;
            assert_eq!(&answer, b"hello");
            Some(())
        });
        for round in 0..10 {
            let mut near = client(port);
            near.write_all(b"hello").unwrap();
            near.shutdown(Shutdown::Write).unwrap();
            let mut answer = Vec::new();
            let outcome = near.read_to_end(&mut answer);
            assert!(outcome.is_ok() && answer == b"hello", "{dead} dead, {alive} alive, {round}: {outcome:?}");
        }
    }
}

/// A listener with two addresses, each served at another router: by priority all clients go to the first that can be reached; by weight a
/// quarter and three quarters, within three standard deviations of 1,000 clients; and all to the other one when one cannot be reached (R8).
#[test]
fn addresses_of_the_network_are_taken_by_priority_and_weight() {
    let mut configs = configs(&["A", "B", "C"]);
    configs[0].tcp_connector("one", echo("one"), &[]);
    configs[2].tcp_connector("two", echo("two"), &[]);
    let ports = [("priority", ["2", "1"]), ("weighted", ["25", "75"])].map(|(strategy, values)| {
        let port = configs[1].tcp_listener_with_strategy(strategy, strategy);
        for (address, value) in ["one", "two"].into_iter().zip(values) {
            let name = format!("{strategy}-{address}");
            let attributes = [("name", &*name), ("listener", strategy), ("address", address), ("value", value)];
            configs[1].section("listenerAddress", &attributes);
        }
        port
    });
    let mut line = Line::start(configs, &ports);
    let [priority, weighted] = ports;
    for (port, name) in [(priority, "one"), (weighted, "one"), (weighted, "two")] {
        wait_for(name, PATIENCE, || (greeting(port) == name).then_some(()));
    }
    let count = |port| (0..1000).filter(|_| greeting(port) == "one").count();
    assert_eq!(count(priority), 1000);
    // One run in 370 is farther away by chance; two in a row are not.
    let counts: Vec<usize> = (0..2).map(|_| count(weighted)).collect();
    assert!(counts.iter().any(|count| (209..=291).contains(count)), "{counts:?} of 1000 instead of about 250");
    line.0[0] = None;
    for port in ports {
        wait_for("the other address", PATIENCE, || {
            let mut near = TcpStream::connect(("127.0.0.1", port)).ok()?;
            near.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut name = [0; 3];
            near.read_exact(&mut name).ok().filter(|()| name == *b"two")
        });
    }
    for port in ports {
        assert!((0..100).all(|_| greeting(port) == "two"));
    }
}

/// A service of two sites: when one site is killed its clients are reset, those of the other one notice nothing, and new ones get that (R1).
#[test]
fn a_service_in_two_sites_survives_the_loss_of_one() {
    let mut configs = configs(&["A", "B", "C"]);
    configs[0].tcp_connector("service", echo("A"), &[]);
    let port = configs[1].tcp_listener("service", &[]);
    configs[2].tcp_connector("service", echo("C"), &[]);
    let mut line = Line::start(configs, &[port]);
    for name in ["A", "C"] {
        wait_for(name, PATIENCE, || (greeting(port) == name).then_some(()));
    }
    let name = |near: &mut TcpStream| String::from_utf8(read_n(near, 1)).unwrap();
    let mut open: Vec<TcpStream> = (0..20).map(|_| client(port)).collect();
    let names: Vec<String> = open.iter_mut().map(name).collect();
    assert!(["A", "C"].iter().all(|site| names.iter().any(|name| name == site)), "{names:?}");
    line.0[2].as_mut().unwrap().process.kill();
    let mut lost = open.iter_mut().zip(&names).filter(|(_, name)| *name == "C");
    assert!(lost.all(|(near, _)| read_to_reset(near) == 0));
    for _ in 0..100 {
        assert_eq!(greeting(port), "A");
    }
    for (near, _) in open.iter_mut().zip(&names).filter(|(_, name)| *name == "A") {
        near.write_all(b"still there").unwrap();
        assert_eq!(read_n(near, 11), b"still there");
    }
}

/// Without any server that lives the client is reset, and what it sends meanwhile does not matter.
#[test]
fn a_server_that_is_down_resets_its_clients() {
    let (_line, port) = across(3, free_port());
    for _ in 0..5 {
        let mut near = client(port);
        match near.write_all(b"hello") {
            Ok(()) => assert_eq!(read_to_reset(&mut near), 0),
            Err(error) => assert!(is_reset(&error), "{error}"),
        }
    }
}

#[test]
fn a_listener_opens_and_closes_with_the_servers_of_the_network() {
    let server = Server::start();
    let (mut line, port) = across(3, server.port);
    line.0[2] = None;
    wait_closed(port);
    assert!(is_refused(port));
}

/// The router in the middle is killed: its flows are reset, not ended, and new ones work when it is back.
#[test]
fn a_lost_router_resets_its_flows() {
    let server = Server::start();
    let middle_port = free_port();
    let middle = || {
        let mut config = Config::interior("B");
        config.accept_routers(middle_port);
        config.listener(&[]);
        config.start()
    };
    let mut first = Config::interior("A");
    let (port, at_a) = (first.tcp_listener("service", &[]), first.listener(&[]));
    first.connect_router(middle_port);
    let mut last = Config::interior("C");
    last.tcp_connector("service", server.port, &[]).connect_router(middle_port);
    let at_c = last.listener(&[]);
    let mut between = middle();
    let (_first, _last) = (first.start(), last.start());
    wait_listening(port);
    let (mut near, mut far) = (client(port), server.accept());
    near.write_all(b"request").unwrap();
    assert_eq!(read_n(&mut far, 7), b"request");
    far.write_all(b"answer").unwrap();
    assert_eq!(read_n(&mut near, 6), b"answer");
    between.process.kill();
    assert_eq!(read_to_reset(&mut near), 0);
    assert_eq!(read_to_reset(&mut far), 0);
    wait_closed(port);
    let between = middle();
    Agent::connect(between.port).wait_address("service", 0, 1);
    // Until the new B has said which neighbours it has, A and C go by what they knew of the one before, and may take back then that there is
    // a way to the other. What they hear from its agent comes behind that.
    for (agent, far) in [(at_a, "C"), (at_c, "A")] {
        wait_for("B between A and C", PATIENCE, || {
            let nodes = Agent::of(agent, "B").nodes();
            nodes.iter().all(|node| node.cost.is_some() && node.next_hop.is_none()).then_some(())?;
            (nodes.len() == 3).then_some(())
        });
        let reaches = |node: &Node| node.id == far && node.cost.is_some();
        wait_for("a way", PATIENCE, || Agent::connect(agent).nodes().iter().any(reaches).then_some(()));
    }
    Agent::connect(at_a).wait_address("service", 0, 1);
    wait_listening(port);
    let (mut near, mut far) = (client(port), server.accept());
    near.write_all(b"request").unwrap();
    assert_eq!(read_n(&mut far, 7), b"request");
}

/// A reader that stalls costs no more than its window, and holds up nobody else.
#[test]
fn a_stalled_reader_holds_up_only_itself() {
    let server = Server::start();
    let (line, port) = across(3, server.port);
    let before: u64 = line.0.iter().flatten().map(|router| router.process.rss()).sum();
    let (near, mut far) = (client(port), server.accept());
    far.set_nonblocking(true).unwrap();
    let data = pattern(1 << 20);
    // Until nothing more is taken: sockets, windows and routers are full.
    let mut sent = 0_usize;
    let mut quiet = 0;
    while quiet < 50 {
        match far.write(&data[sent % data.len()..]) {
            Ok(n) => (sent, quiet) = (sent + n, 0),
            Err(_) => {
                quiet += 1;
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
        assert!(sent < 128 << 20, "nobody stops the sender");
    }
    let after: u64 = line.0.iter().flatten().map(|router| router.process.rss()).sum();
    assert!(after < before + (48 << 20), "{before} bytes of memory before, {after} after");
    // Others go on.
    let (mut other, mut theirs) = (client(port), server.accept());
    for _ in 0..100 {
        other.write_all(b"ping").unwrap();
        assert_eq!(read_n(&mut theirs, 4), b"ping");
        theirs.write_all(b"pong").unwrap();
        assert_eq!(read_n(&mut other, 4), b"pong");
    }
    // And it gets everything when it reads again.
    far.set_nonblocking(false).unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    let mut near = near;
    let (mut total, mut buffer) = (0, vec![0; 1 << 20]);
    loop {
        let n = near.read(&mut buffer).unwrap();
        if n == 0 {
            break;
        }
        let right = buffer[..n].iter().enumerate().all(|(at, byte)| *byte == data[(total + at) % data.len()]);
        assert!(right, "wrong bytes after {total}");
        total += n;
    }
    assert_eq!(total, sent);
}

/// One of a hundred streams is not read: all others get what is sent to them, and it does when it reads.
#[test]
fn one_stalled_stream_of_a_hundred_holds_up_only_itself() {
    const STREAMS: usize = 100;
    let server = Server::start();
    let (_line, port) = across(2, server.port);
    let data = pattern(4 << 20);
    let ends: Vec<(TcpStream, TcpStream)> = (0..STREAMS).map(|_| (client(port), server.accept())).collect();
    let data = &data;
    std::thread::scope(|scope| {
        let mut readers = Vec::new();
        for (at, (near, mut far)) in ends.into_iter().enumerate() {
            // More than windows and sockets hold, so that the writer of the one that is not read waits until the end.
            let times = if at == 0 { 8 } else { 1 };
            scope.spawn(move || {
                (0..times).for_each(|_| far.write_all(data).unwrap());
                far.shutdown(Shutdown::Write).unwrap();
            });
            readers.push((near, times));
        }
        let read = |(mut near, times): (TcpStream, usize)| {
            (0..times).for_each(|_| assert!(&read_n(&mut near, data.len()) == data, "not what was sent"));
            assert_eq!(near.read(&mut [0]).unwrap(), 0);
        };
        let stalled = readers.swap_remove(0);
        let others: Vec<_> = readers.into_iter().map(|reader| scope.spawn(move || read(reader))).collect();
        others.into_iter().for_each(|reader| reader.join().unwrap());
        read(stalled);
    });
}

/// A gibibyte arrives as it was.
#[test]
fn a_gibibyte_arrives_as_it_was() {
    const SIZE: usize = 1 << 30;
    let server = Server::start();
    let (line, port) = across(2, server.port);
    let (mut near, mut far) = (client(port), server.accept());
    let data = pattern((1 << 20) + 7);
    let upload = data.clone();
    let writer = std::thread::spawn(move || {
        let mut left = SIZE;
        while left > 0 {
            let part = left.min(upload.len());
            near.write_all(&upload[..part]).unwrap();
            left -= part;
        }
        near.shutdown(Shutdown::Write).unwrap();
        assert!(read_to_end(&mut near).is_empty());
    });
    let mut left = SIZE;
    let mut buffer = vec![0; data.len()];
    while left > 0 {
        let part = left.min(data.len());
        far.read_exact(&mut buffer[..part]).unwrap();
        assert!(buffer[..part] == data[..part], "wrong bytes with {left} left");
        left -= part;
    }
    assert_eq!(far.read(&mut buffer).unwrap(), 0);
    drop(far);
    writer.join().unwrap();
    for router in line.0.iter().flatten() {
        assert!(router.process.peak_rss() < 128 << 20, "{} bytes", router.process.peak_rss());
    }
}

/// TLS at both edges of the network: the protocol that the client chose is what the server is offered.
#[test]
fn tls_on_both_sides() {
    let dir = open_dir();
    let certs = Certs::new(dir.path(), "good");
    let (nginx, content) = Nginx::with_big(dir.path(), Some(&certs.server));
    let mut configs = configs(&["A", "B"]);
    configs[0].ssl_profile("server", &certs, Some(&certs.server));
    let port = configs[0].tcp_listener("service", &[("sslProfile", "server")]);
    configs[1].ssl_profile("client", &certs, None);
    configs[1].tcp_connector("service", nginx.tls, &[("host", "localhost"), ("sslProfile", "client")]);
    let _line = Line::start(configs, &[port]);
    let url = format!("https://localhost:{port}");
    let copy = dir.path().join("copy");
    let https = |url: &str| {
        let mut command = curl(url);
        command.arg("--cacert").arg(&certs.ca);
        command
    };
    run(dir.path(), https(&format!("{url}/big")).arg("--output").arg(&copy)).success();
    assert!(fs::read(&copy).unwrap() == content, "the download differs");
    run(dir.path(), https(&format!("{url}/put/big")).arg("--upload-file").arg(&copy)).success();
    assert!(fs::read(dir.path().join("nginx/www/put/big")).unwrap() == content, "the upload differs");
    let near = tls_client(port, &certs, &["h2", "http/1.1"]);
    assert!(near.conn.alpn_protocol().is_some());
}

#[test]
fn a_server_learns_who_its_client_is() {
    let dir = open_dir();
    let nginx = Nginx::start(dir.path(), "nginx", None);
    let mut configs = configs(&["A", "B"]);
    let port = configs[0].tcp_listener("service", &[]);
    configs[1].tcp_connector("service", nginx.proxied, &[("proxyProtocol", "v2")]);
    let _line = Line::start(configs, &[port]);
    let local = free_port().to_string();
    let mut curl = curl(&format!("http://127.0.0.1:{port}/client"));
    let answer = run(dir.path(), curl.args(["--interface", "127.0.0.1", "--local-port", &local])).success();
    assert_eq!(answer, format!("127.0.0.1 {local}"));
}

#[test]
fn sigterm_lets_transfers_finish() {
    let server = Server::start();
    let (mut line, port) = across(2, server.port);
    let (mut near, mut far) = (client(port), server.accept());
    far.write_all(b"-").unwrap();
    assert_eq!(read_n(&mut near, 1), b"-");
    let first = line.0[0].as_mut().unwrap();
    first.process.signal(rustix::process::Signal::TERM);
    wait_closed(port);
    let data = pattern(4 << 20);
    let sent = data.clone();
    let writer = std::thread::spawn(move || {
        far.write_all(&sent).unwrap();
        far
    });
    assert!(read_n(&mut near, data.len()) == data);
    assert_eq!(first.process.exit_status(), None, "it must wait for the transfer");
    drop(writer.join().unwrap());
    assert!(read_to_end(&mut near).is_empty());
    drop(near);
    assert!(first.process.wait(PATIENCE).success());
}
