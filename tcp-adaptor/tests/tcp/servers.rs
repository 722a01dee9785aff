//! Which server a flow gets, and when a listener is open.

use std::io::{ErrorKind, Read};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use tcp_adaptor::{ConnectorConfig, ListenerConfig, OperStatus};
use transport::socket::Family;

use crate::support::peers::{Server, echo, read_n, read_to_reset};
use crate::support::{Router, client, connector, dead_port, eventually};

fn refused(addr: SocketAddr) -> bool {
    matches!(TcpStream::connect(addr), Err(error) if error.kind() == ErrorKind::ConnectionRefused)
}

#[test]
fn a_listener_is_open_while_its_address_has_a_server() {
    let router = Router::start(1);
    router.listen(ListenerConfig::new("in", "service", "127.0.0.1", 0));
    assert_eq!(router.status("in").oper, OperStatus::Unreachable);
    router.connect(connector("other", "elsewhere", dead_port()));
    assert_eq!(router.status("in").oper, OperStatus::Unreachable);

    router.connect(connector("one", "service", echo("one")));
    let addr = router.local("in");
    assert_eq!(read_n(&mut client(addr), 3), b"one");

    router.connect(connector("two", "service", echo("two")));
    router.disconnect("one");
    assert_eq!(read_n(&mut client(addr), 3), b"two");
    router.disconnect("two");
    assert_eq!(router.status("in").oper, OperStatus::Unreachable);
    eventually("clients are refused", || refused(addr));

    router.connect(connector("three", "service", echo("333")));
    assert_eq!(router.local("in"), addr, "the port stays");
    assert_eq!(read_n(&mut client(addr), 3), b"333");
}

#[test]
fn removing_a_connector_leaves_its_flows_unless_told_otherwise() {
    let (router, addr) = Router::simple(&[echo("a"), echo("b")]);
    let mut first = client(addr);
    let mut second = client(addr);
    let names = [read_n(&mut first, 1), read_n(&mut second, 1)].concat();
    assert!(names == b"ab" || names == b"ba");
    let (mut to_a, mut to_b) = if names == b"ab" { (first, second) } else { (second, first) };

    router.each(|adaptor| adaptor.remove_connector("out0", false)).unwrap();
    std::io::Write::write_all(&mut to_a, b"still there").unwrap();
    assert_eq!(read_n(&mut to_a, 11), b"still there");

    router.each(|adaptor| adaptor.remove_connector("out1", true)).unwrap();
    assert_eq!(read_to_reset(&mut to_b), b"");
    assert_eq!(router.flows(), 1);
}

#[test]
fn another_server_is_tried_when_one_cannot_be_reached() {
    let (router, addr) = Router::simple(&[dead_port(), echo("ok"), dead_port()]);
    for _ in 0..20 {
        assert_eq!(read_n(&mut client(addr), 2), b"ok");
    }
    assert_eq!(router.connector_totals("out1").connections_opened, 20);
    assert!(router.connector_totals("out0").connections_failed > 0);
    assert_eq!(router.connector_totals("out0").connections_opened, 0);
    assert_eq!(router.listener_totals("in").connections_failed, 0);
}

#[test]
fn a_client_is_reset_when_no_server_can_be_reached() {
    let (router, addr) = Router::simple(&[dead_port(), dead_port()]);
    for _ in 0..3 {
        assert_eq!(read_to_reset(&mut client(addr)), b"");
    }
    eventually("the flows are gone", || router.flows() == 0);
    let totals = router.listener_totals("in");
    assert_eq!((totals.connections_opened, totals.connections_closed, totals.connections_failed), (3, 3, 3));
    assert_eq!(router.connector_totals("out0").connections_failed, 3);
}

#[test]
fn a_server_that_does_not_answer_is_given_up() {
    // A full queue that nobody accepts from: the kernel drops further SYNs.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    full.listen(0).unwrap();
    let silent = full.local_addr().unwrap().as_socket().unwrap();
    let mut fill = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&silent, Duration::from_millis(100)) {
        fill.push(stream);
    }
    let router = Router::start(1);
    router.listen(ListenerConfig::new("in", "service", "127.0.0.1", 0));
    let mut config = connector("silent", "service", silent);
    config.connect_timeout = Duration::from_millis(50);
    router.connect(config);
    router.connect(connector("good", "service", echo("ok")));
    let addr = router.local("in");
    for _ in 0..3 {
        assert_eq!(read_n(&mut client(addr), 2), b"ok");
    }
    assert!(router.connector_totals("silent").connections_failed > 0);
}

#[test]
fn connections_are_balanced_over_the_servers() {
    let (router, addr) = Router::simple(&[echo("0"), echo("1"), echo("2")]);
    let mut clients: Vec<TcpStream> = (0..30).map(|_| client(addr)).collect();
    let mut counts = [0; 3];
    for client in &mut clients {
        let mut name = [0];
        client.read_exact(&mut name).unwrap();
        counts[usize::from(name[0] - b'0')] += 1;
    }
    assert_eq!(counts, [10, 10, 10]);
    assert_eq!(router.connector_totals("out2").connections_opened, 10);
}

#[test]
fn a_listener_is_retried_when_its_port_is_taken() {
    let squatter = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = squatter.local_addr().unwrap().port();
    let router = Router::start(2);
    router.listen(ListenerConfig::new("in", "service", "127.0.0.1", port));
    router.connect(connector("out", "service", echo("mine")));
    eventually(
        "the failure is reported",
        || matches!(router.status("in").oper, OperStatus::Failed { message } if message.contains(&port.to_string())),
    );
    drop(squatter);
    let addr = router.local("in");
    assert_eq!(addr.port(), port);
    assert_eq!(read_n(&mut client(addr), 4), b"mine");
}

#[test]
fn names_are_resolved_on_both_sides() {
    let router = Router::start(1);
    router.listen(ListenerConfig::new("in", "service", "localhost", 0));
    let server = echo("named");
    router.connect(ConnectorConfig::new("out", "service", "localhost", server.port()));
    let addr = router.local("in");
    assert_eq!(read_n(&mut client(addr), 5), b"named");
}

#[test]
fn ipv6_on_both_sides_and_dual_stack() {
    let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else {
        panic!("this test needs IPv6 on the loopback interface");
    };
    let server = Server::on(listener);
    let router = Router::start(1);
    router.listen(ListenerConfig::new("six", "service", "::1", 0));
    router.listen(ListenerConfig::new("all", "service", "", 0));
    let mut only4 = ListenerConfig::new("four", "service", "", 0);
    only4.family = Family::V4;
    router.listen(only4);
    router.connect(connector("out", "service", server.addr));
    assert!(router.local("six").is_ipv6());
    let through = |addr: SocketAddr| {
        let mut client = client(addr);
        std::io::Write::write_all(&mut client, b"x").unwrap();
        assert_eq!(read_n(&mut server.accept(), 1), b"x");
    };
    through(router.local("six"));
    let port = router.local("all").port();
    through(SocketAddr::from((Ipv6Addr::LOCALHOST, port)));
    through(SocketAddr::from(([127, 0, 0, 1], port)));
    let port = router.local("four").port();
    through(SocketAddr::from(([127, 0, 0, 1], port)));
    assert!(refused(SocketAddr::from((Ipv6Addr::LOCALHOST, port))));
}
