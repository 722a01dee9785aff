//! Timeouts, and draining.

use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use tcp_adaptor::ListenerConfig;

use crate::support::peers::{Server, echo, read_n, read_to_end, read_to_reset};
use crate::support::{LIMIT, Router, client, connector, eventually};

#[test]
fn an_idle_flow_is_reset() {
    let router = Router::start(1);
    let mut config = ListenerConfig::new("in", "service", "127.0.0.1", 0);
    config.flow.idle_timeout = Some(Duration::from_millis(1000));
    router.listen(config);
    router.connect(connector("out", "service", echo("hi")));
    let mut client = client(router.local("in"));
    read_n(&mut client, 2);
    // As long as bytes move it lives, if slowly.
    let start = Instant::now();
    let mut last = start;
    while start.elapsed() < Duration::from_millis(1500) {
        last = Instant::now();
        client.write_all(b"x").unwrap();
        read_n(&mut client, 1);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(read_to_reset(&mut client), b"");
    assert!(last.elapsed() >= Duration::from_millis(1000));
}

#[test]
fn the_limit_of_a_connector_counts_too() {
    let router = Router::start(1);
    router.listen(ListenerConfig::new("in", "service", "127.0.0.1", 0));
    let mut config = connector("out", "service", echo("hi"));
    config.flow.idle_timeout = Some(Duration::from_millis(50));
    router.connect(config);
    let mut client = client(router.local("in"));
    assert_eq!(read_to_reset(&mut client), b"hi");
}

#[test]
fn a_half_open_flow_is_reset_but_an_open_one_is_not() {
    let server = Server::start();
    let router = Router::start(1);
    let mut config = ListenerConfig::new("in", "service", "127.0.0.1", 0);
    config.flow.half_open_timeout = Some(Duration::from_millis(100));
    router.listen(config);
    router.connect(connector("out", "service", server.addr));
    let addr = router.local("in");
    let (mut open, mut open_served) = (client(addr), server.accept());
    let (half, mut half_served) = (client(addr), server.accept());
    half.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut half_served), b"");
    eventually("the half-open flow is reset", || router.flows() == 1);
    assert!(
        half_served.write_all(b"x").and_then(|()| half_served.write_all(b"y")).is_err() || {
            read_to_reset(&mut half_served);
            true
        }
    );
    open.write_all(b"alive").unwrap();
    assert_eq!(read_n(&mut open_served, 5), b"alive");
}

#[test]
fn nothing_times_out_unless_asked() {
    let (router, addr) = Router::simple(&[echo("hi")]);
    let mut client = client(addr);
    read_n(&mut client, 2);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(router.flows(), 1);
}

#[test]
fn a_drain_waits_for_flows_and_refuses_new_ones() {
    let (router, addr) = Router::simple(&[echo("hi")]);
    let mut client = client(addr);
    read_n(&mut client, 2);
    std::thread::scope(|scope| {
        let draining = scope.spawn(|| router.drain(LIMIT));
        eventually("clients are refused", || std::net::TcpStream::connect(addr).is_err());
        client.write_all(b"last words").unwrap();
        assert_eq!(read_n(&mut client, 10), b"last words");
        assert!(!draining.is_finished());
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_to_end(&mut client), b"");
        assert_eq!(draining.join().unwrap(), 0);
    });
}

#[test]
fn a_drain_resets_what_is_left_at_its_limit() {
    let router = Router::start(2);
    router.listen(ListenerConfig::new("in", "service", "127.0.0.1", 0));
    router.connect(connector("out", "service", echo("hi")));
    let addr = router.local("in");
    let mut clients: Vec<_> = (0..10).map(|_| client(addr)).collect();
    for client in &mut clients {
        read_n(client, 2);
    }
    assert_eq!(router.drain(Duration::from_millis(50)), 10);
    for client in &mut clients {
        assert_eq!(read_to_reset(client), b"");
    }
    assert_eq!(router.flows(), 0);
}
