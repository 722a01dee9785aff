//! What goes wrong on one side reaches the other as what it is, and only it.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;

use conformance::certs::Certs;
use conformance::ports::free_port;
use conformance::tcp::peers::{Server, client, echo, greeting, read_n, read_to_reset, reset, tls_client};
use conformance::tcp::{
    Nginx, Postgres, curl, has_unread, is_refused, is_reset, open_dir, ours_only, pattern, run, start,
};
use conformance::{Config, PATIENCE, Router, wait_for};

/// A router with a listener for a server on `port`; the listener's port.
fn service(port: u16) -> (Router, u16) {
    let mut config = Config::new();
    config.tcp_connector("service", port, &[]);
    let listener = config.tcp_listener("service", &[]);
    (config.start_tcp(&[listener]), listener)
}

#[test]
fn without_a_server_clients_are_refused() {
    let mut config = Config::new();
    let served = config.tcp_listener("served", &[]);
    let unserved = config.tcp_listener("unserved", &[]);
    let unserved_multi = config.tcp_listener_with_strategy("multi", "priority");
    config.section("listenerAddress", &[("name", "one"), ("listener", "multi"), ("address", "nobody"), ("value", "1")]);
    config.tcp_connector("served", echo("served"), &[]);
    let _router = config.start_tcp(&[served]);
    assert!(is_refused(unserved));
    assert!(is_refused(unserved_multi));
    assert_eq!(greeting(served), "served");
}

#[test]
fn a_server_that_is_down_resets_its_clients() {
    // The reference closes the connection; which of both ways depends on what the client has sent.
    if ours_only("skrouterd may end it cleanly") {
        return;
    }
    let down = free_port();
    let (mut router, port) = service(down);
    for _ in 0..10 {
        let mut near = client(port);
        // It may be gone before, which is a reset, too.
        match near.write_all(b"hello") {
            Ok(()) => assert_eq!(read_to_reset(&mut near), 0),
            Err(error) => assert!(is_reset(&error), "{error}"),
        }
    }
    // The server comes up: nothing has to be told to the router.
    let server = std::net::TcpListener::bind(("127.0.0.1", down)).unwrap();
    let mut near = client(port);
    near.write_all(b"hello").unwrap();
    assert_eq!(read_n(&mut server.accept().unwrap().0, 5), b"hello");
    assert_eq!(router.process.exit_status(), None);
}

#[test]
fn a_dead_server_leaves_its_clients_to_the_others() {
    if ours_only("skrouterd does not try another connector") {
        return;
    }
    let mut config = Config::new();
    config.tcp_connector("service", free_port(), &[]).tcp_connector("service", echo("alive"), &[]);
    config.tcp_connector("service", free_port(), &[]);
    let port = config.tcp_listener("service", &[]);
    let _router = config.start_tcp(&[port]);
    for _ in 0..40 {
        assert_eq!(greeting(port), "alive");
    }
    // Also all at once.
    let mut open: Vec<_> = (0..40).map(|_| client(port)).collect();
    for near in &mut open {
        assert_eq!(read_n(near, 5), b"alive");
    }
}

#[test]
fn an_address_of_dead_servers_leaves_its_clients_to_the_next() {
    if ours_only("skrouterd does not try another connector") {
        return;
    }
    let mut config = Config::new();
    let port = config.tcp_listener_with_strategy("multi", "priority");
    for (address, value) in [("one", "1"), ("two", "2")] {
        config.section(
            "listenerAddress",
            &[("name", address), ("listener", "multi"), ("address", address), ("value", value)],
        );
    }
    config.tcp_connector("one", echo("one"), &[]).tcp_connector("two", free_port(), &[]);
    let _router = config.start_tcp(&[port]);
    for _ in 0..10 {
        assert_eq!(greeting(port), "one");
    }
}

/// nginx is killed while it sends 64 MiB and has requests that it did not read: its system resets the connection.
#[test]
fn a_killed_server_resets_its_clients() {
    if ours_only("skrouterd makes a clean end of a reset") {
        return;
    }
    let dir = open_dir();
    let (mut nginx, _) = Nginx::with_big(dir.path(), None);
    let (_router, port) = service(nginx.plain);
    let mut near = client(port);
    let request = b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n";
    near.write_all(request).unwrap();
    read_n(&mut near, 100_000);
    near.write_all(&request.repeat(100)).unwrap();
    wait_for("requests that nginx did not read", PATIENCE, || has_unread(nginx.plain).then_some(()));
    nginx.process.kill();
    assert!(read_to_reset(&mut near) < conformance::tcp::nginx::BIG);
    // Those who come later are told at once.
    let mut near = client(port);
    match near.write_all(request) {
        Ok(()) => assert_eq!(read_to_reset(&mut near), 0),
        Err(error) => assert!(is_reset(&error), "{error}"),
    }
}

#[test]
fn curl_sees_that_the_server_was_killed() {
    let dir = open_dir();
    let certs = Certs::new(dir.path(), "good");
    for tls in [false, true] {
        let name = if tls { "tls" } else { "plain" };
        let (mut nginx, _) = Nginx::with_big(&dir.path().join(name), None);
        let mut config = Config::new();
        config.ssl_profile("server", &certs, Some(&certs.server)).tcp_connector("service", nginx.plain, &[]);
        let attributes = if tls { &[("sslProfile", "server")][..] } else { &[] };
        let port = config.tcp_listener("service", attributes);
        let _router = config.start_tcp(&[port]);
        let scheme = if tls { "https" } else { "http" };
        let copy = dir.path().join(name).join("copy");
        let mut slow = curl(&format!("{scheme}://localhost:{port}/big"));
        slow.args(["--limit-rate", "4M", "--cacert"]).arg(&certs.ca).arg("--output").arg(&copy);
        let mut download = start(dir.path(), &mut slow);
        let begun = || fs::metadata(&copy).is_ok_and(|file| file.len() > 0).then_some(());
        wait_for("the download's first bytes", PATIENCE, begun);
        nginx.process.kill();
        assert!(!download.wait(PATIENCE).success(), "{name}: curl took it for complete");
    }
}

/// The same with TLS to the server: it ends without saying so, whatever was unread.
#[test]
fn a_killed_tls_server_resets_its_clients() {
    if ours_only("requireCloseNotify is ours") {
        return;
    }
    let dir = open_dir();
    let certs = Certs::new(dir.path(), "good");
    let (mut nginx, _) = Nginx::with_big(dir.path(), Some(&certs.server));
    let mut config = Config::new();
    config.ssl_profile("client", &certs, None);
    let attributes = [("host", "localhost"), ("sslProfile", "client"), ("requireCloseNotify", "yes")];
    config.tcp_connector("service", nginx.tls, &attributes);
    let port = config.tcp_listener("service", &[]);
    let _router = config.start_tcp(&[port]);
    let mut near = client(port);
    near.write_all(b"GET /big HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    read_n(&mut near, 100_000);
    nginx.process.kill();
    assert!(read_to_reset(&mut near) < conformance::tcp::nginx::BIG);
}

/// A client with TLS is not told close_notify when its server was lost.
#[test]
fn a_reset_of_the_server_reaches_clients_with_tls() {
    if ours_only("skrouterd makes a clean end of a reset") {
        return;
    }
    let dir = open_dir();
    let certs = Certs::new(dir.path(), "good");
    let server = Server::start();
    let mut config = Config::new();
    config.ssl_profile("server", &certs, Some(&certs.server)).tcp_connector("service", server.port, &[]);
    let port = config.tcp_listener("service", &[("sslProfile", "server")]);
    let _router = config.start_tcp(&[port]);
    let mut near = tls_client(port, &certs, &[]);
    near.write_all(b"hello").unwrap();
    let mut far = server.accept();
    assert_eq!(read_n(&mut far, 5), b"hello");
    far.write_all(b"world").unwrap();
    assert_eq!(read_n(&mut near, 5), b"world");
    reset(far);
    let mut rest = Vec::new();
    let error = near.read_to_end(&mut rest).expect_err("a clean end");
    assert!(rest.is_empty() && is_reset(&error), "{error}");
}

/// A server that goes away cleanly, however, is an end with close_notify, and half-close works inside TLS.
#[test]
fn a_clean_end_is_one_with_tls_too() {
    let dir = open_dir();
    let certs = Certs::new(dir.path(), "good");
    let server = Server::start();
    let mut config = Config::new();
    config.ssl_profile("server", &certs, Some(&certs.server)).tcp_connector("service", server.port, &[]);
    let port = config.tcp_listener("service", &[("sslProfile", "server")]);
    let _router = config.start_tcp(&[port]);
    let mut near = tls_client(port, &certs, &[]);
    near.write_all(b"hello").unwrap();
    let mut far = server.accept();
    assert_eq!(read_n(&mut far, 5), b"hello");
    far.write_all(b"world").unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    let mut all = Vec::new();
    near.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"world");
    // The other direction is still open.
    near.write_all(b"again").unwrap();
    assert_eq!(read_n(&mut far, 5), b"again");
    near.conn.send_close_notify();
    near.flush().unwrap();
    assert_eq!(far.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_reset_reaches_the_other_side() {
    if ours_only("skrouterd makes a clean end of a reset") {
        return;
    }
    let server = Server::start();
    let (_router, port) = service(server.port);
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
fn psql_sees_that_its_server_was_killed() {
    let dir = open_dir();
    let mut server = Postgres::start();
    let (_router, port) = service(server.port);
    let mut waiting = start(dir.path(), &mut server.psql(port, "select pg_sleep(3600)"));
    wait_for("the query to run", PATIENCE, || {
        let sql = "select count(*) from pg_stat_activity where query = 'select pg_sleep(3600)'";
        (server.query(port, sql).success() == "1\n").then_some(())
    });
    server.process.signal(rustix::process::Signal::QUIT);
    assert!(!waiting.wait(PATIENCE).success());
    server.process.wait(PATIENCE);
    server.query(port, "select 1").failure();
}

/// What one client suffers is no other's business.
#[test]
fn other_clients_do_not_notice() {
    let dir = open_dir();
    let nginx = Nginx::start(dir.path(), "nginx", None);
    let server = Server::start();
    let mut config = Config::new();
    config.tcp_connector("web", nginx.plain, &[]).tcp_connector("raw", server.port, &[]);
    let (web, raw) = (config.tcp_listener("web", &[]), config.tcp_listener("raw", &[]));
    let _router = config.start_tcp(&[web, raw]);
    for round in 0..20 {
        let (near, far) = (client(raw), server.accept());
        if round % 2 == 0 {
            reset(near)
        } else {
            reset(far)
        }
        let answer = run(dir.path(), &mut curl(&format!("http://127.0.0.1:{web}/name"))).success();
        assert_eq!(answer, "nginx");
    }
}
