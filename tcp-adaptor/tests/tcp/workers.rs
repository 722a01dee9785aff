//! Several workers share one listener.

use tcp_adaptor::ListenerConfig;

use crate::support::peers::{echo, read_n};
use crate::support::{Router, client, connector, eventually};

#[test]
fn all_workers_accept_and_close_and_open_again() {
    let router = Router::start(3);
    router.listen(ListenerConfig::new("in", "service", "127.0.0.1", 0));
    let server = echo("hi");
    let mut addr = None;
    for round in 0..10 {
        router.connect(connector("out", "service", server));
        let now = router.local("in");
        assert_eq!(*addr.get_or_insert(now), now);
        // A connection may meet the sockets of a worker that is just closing; whoever is accepted is served.
        let mut clients: Vec<_> = (0..20).map(|_| client(now)).collect();
        for client in &mut clients {
            assert_eq!(read_n(client, 2), b"hi", "round {round}");
        }
        drop(clients);
        router.disconnect("out");
        eventually("clients are refused", || std::net::TcpStream::connect(now).is_err());
    }
    assert_eq!(router.listener_totals("in").connections_failed, 0);
    let busy = (0..3)
        .filter(|&index| router.on(index, |adaptor| adaptor.snapshot().listeners[0].totals.connections_opened) > 0);
    assert!(busy.count() > 1, "one worker got all of 200 connections");
}

#[test]
fn servers_are_balanced_over_all_workers() {
    let router = Router::start(2);
    router.listen(ListenerConfig::new("in", "service", "127.0.0.1", 0));
    for name in ["a", "b"] {
        router.connect(connector(name, "service", echo("x")));
    }
    let addr = router.local("in");
    let mut clients = Vec::new();
    for _ in 0..40 {
        let mut client = client(addr);
        read_n(&mut client, 1);
        clients.push(client);
    }
    assert_eq!(router.connector_totals("a").connections_opened, 20);
    assert_eq!(router.flows(), 40);
}
