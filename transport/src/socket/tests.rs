//! Listening and connecting on loopback.

use super::{ConnectError, ConnectOptions, Family, ListenError, ListenOptions, connect, listen, parse_port};
use crate::stream::{PlainStream, Stream};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn group(n: usize) -> ListenOptions {
    ListenOptions { group: n, ..ListenOptions::default() }
}

fn has_ipv6() -> bool {
    TcpListener::bind("[::1]:0").is_ok()
}

#[test]
fn a_group_shares_one_port_and_all_members_are_served() {
    let group = listen("127.0.0.1", 0, &group(3)).unwrap();
    let port = group.port();
    assert_ne!(port, 0);
    assert_eq!(group.addrs(), [SocketAddr::from(([127, 0, 0, 1], port))]);
    let sets = group.into_sets();
    assert_eq!(sets.len(), 3);
    runtime().block_on(async {
        let mut acceptors: Vec<_> = sets.into_iter().map(|set| set.into_acceptor().unwrap()).collect();
        let mut served = [0; 3];
        // The kernel spreads by hash: 200 connections that all miss one of three sockets would be a wonder.
        for _ in 0..200 {
            let client = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let index = std::future::poll_fn(|cx| {
                for (index, acceptor) in acceptors.iter_mut().enumerate() {
                    if let std::task::Poll::Ready(accepted) = acceptor.poll_accept(cx) {
                        let (_, peer) = accepted.unwrap();
                        assert_eq!(peer, client.local_addr().unwrap());
                        return std::task::Poll::Ready(index);
                    }
                }
                std::task::Poll::Pending
            })
            .await;
            served[index] += 1;
        }
        assert!(served.iter().all(|&n| n > 0), "{served:?}");
    });
}

#[test]
fn a_port_in_use_is_an_error_even_if_it_would_be_shared() {
    let first = listen("127.0.0.1", 0, &group(2)).unwrap();
    for n in [1, 2] {
        let error = listen("127.0.0.1", first.port(), &group(n)).unwrap_err();
        assert!(error.is_in_use(), "{error}");
        assert!(error.to_string().contains(&first.port().to_string()));
        let all = listen("", first.port(), &group(n)).unwrap_err();
        assert!(all.is_in_use(), "{all}");
    }
    let port = first.port();
    drop(first);
    listen("127.0.0.1", port, &group(2)).expect("free again");
}

#[test]
fn a_port_can_be_used_again_at_once_after_connections() {
    let runtime = runtime();
    runtime.block_on(async {
        let first = listen("127.0.0.1", 0, &group(2)).unwrap();
        let port = first.port();
        let mut sets = first.into_sets().into_iter();
        let mut acceptor = sets.next().unwrap().into_acceptor().unwrap();
        drop(sets);
        let client = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (server, _) = acceptor.accept().await;
        // The server closes first and is left in TIME_WAIT.
        drop(server);
        drop(client);
        drop(acceptor);
        listen("127.0.0.1", port, &group(2)).unwrap();
    });
}

#[test]
fn an_empty_host_means_all_addresses_of_both_families() {
    let group = listen("", 0, &group(2)).unwrap();
    let port = group.port();
    let mut clients = vec![TcpStream::connect(("127.0.0.1", port)).unwrap()];
    if has_ipv6() {
        assert!(group.addrs()[0].is_ipv6());
        clients.push(TcpStream::connect(("::1", port)).unwrap());
    }
    runtime().block_on(async {
        let mut sets: Vec<_> = group.into_sets().into_iter().map(|s| s.into_acceptor().unwrap()).collect();
        for _ in 0..clients.len() {
            let (first, rest) = sets.split_at_mut(1);
            let (stream, peer) = tokio::select! {
                accepted = first[0].accept() => accepted,
                accepted = rest[0].accept() => accepted,
            };
            assert!(clients.iter().any(|c| c.local_addr().unwrap() == peer), "v4 appears as v4: {peer}");
            assert_eq!(Stream::from(stream).peer_addr().unwrap(), peer);
        }
    });
}

#[test]
fn families_are_kept_apart_when_asked() {
    let v4 = ListenOptions { family: Family::V4, ..ListenOptions::default() };
    let only4 = listen("", 0, &v4).unwrap();
    assert!(only4.addrs().iter().all(SocketAddr::is_ipv4));
    assert!(matches!(listen("::1", 0, &v4), Err(ListenError::Resolve { .. })));
    if has_ipv6() {
        let v6 = ListenOptions { family: Family::V6, ..ListenOptions::default() };
        let only6 = listen("", 0, &v6).unwrap();
        assert!(only6.addrs().iter().all(SocketAddr::is_ipv6));
        let local = listen("[::1]", 0, &v6).unwrap();
        assert!(TcpStream::connect(("::1", local.port())).is_ok());
        // With family IPv6, "all addresses" leaves IPv4 to others.
        let beside = TcpListener::bind(("0.0.0.0", only6.port()));
        assert!(beside.is_ok(), "{beside:?}");
    }
}

#[test]
fn names_are_resolved_on_both_sides() {
    let group = listen("localhost", 0, &group(2)).unwrap();
    assert!(group.addrs().iter().all(|addr| addr.ip().is_loopback()));
    assert!(group.addrs().iter().all(|addr| addr.port() == group.port()));
    runtime().block_on(async {
        let stream = connect("localhost", group.port(), &ConnectOptions::default()).await.unwrap();
        assert!(group.addrs().contains(&stream.peer_addr().unwrap()));
    });
    let error = listen("no-such-host.invalid", 1, &ListenOptions::default()).unwrap_err();
    assert!(error.to_string().contains("no-such-host.invalid"), "{error}");
}

#[test]
fn refusal_is_told_with_the_address() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = free.local_addr().unwrap();
    drop(free);
    runtime().block_on(async {
        match connect("127.0.0.1", addr.port(), &ConnectOptions::default()).await {
            Err(ConnectError::Refused { addr: tried, source }) => {
                assert_eq!(tried, addr);
                assert_eq!(source.kind(), std::io::ErrorKind::ConnectionRefused);
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn an_address_of_the_other_family_is_tried_as_well() {
    if !has_ipv6() {
        eprintln!("skipped: this machine has no IPv6");
        return;
    }
    let only4 = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = only4.local_addr().unwrap().port();
    runtime().block_on(async {
        // "localhost" is ::1 first on most machines, which refuses here.
        let stream = connect("localhost", port, &ConnectOptions::default()).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap().ip(), IpAddr::from([127, 0, 0, 1]));
        let only6 = ConnectOptions { family: Family::V6, ..ConnectOptions::default() };
        assert!(connect("localhost", port, &only6).await.is_err());
    });
}

#[test]
fn a_connect_that_gets_no_answer_times_out() {
    // A full backlog: further SYNs are dropped, so that no answer comes.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    runtime().block_on(async {
        let options = ConnectOptions { timeout: Duration::from_millis(300), ..ConnectOptions::default() };
        let mut held = Vec::new();
        let error = loop {
            match connect("127.0.0.1", addr.port(), &options).await {
                Ok(stream) => held.push(stream),
                Err(error) => break error,
            }
            assert!(held.len() < 10);
        };
        assert!(matches!(error, ConnectError::TimedOut { .. }), "{error}");
        assert!(error.to_string().contains("300 ms"));
    });
}

#[test]
fn options_reach_the_sockets_of_both_sides() {
    let keepalive = super::Keepalive { idle: Duration::from_secs(7), interval: Duration::from_secs(3), probes: 4 };
    let tcp = super::TcpOptions { nodelay: true, keepalive: Some(keepalive) };
    let group = listen("127.0.0.1", 0, &ListenOptions { tcp, ..ListenOptions::default() }).unwrap();
    let port = group.port();
    runtime().block_on(async {
        let mut acceptor = group.into_sets().remove(0).into_acceptor().unwrap();
        let options = ConnectOptions { tcp, ..ConnectOptions::default() };
        let connected: PlainStream = connect("127.0.0.1", port, &options).await.unwrap();
        let (accepted, _) = acceptor.accept().await;
        for stream in [&connected, &accepted] {
            let socket = socket2::SockRef::from(stream);
            assert!(socket.tcp_nodelay().unwrap());
            assert!(socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(7));
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(3));
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), 4);
        }
    });
}

#[test]
fn ports_by_number_and_name() {
    assert_eq!(parse_port("amqp"), Some(5672));
    assert_eq!(parse_port(" amqps "), Some(5671));
    assert_eq!(parse_port("0"), Some(0));
    assert_eq!(parse_port("65535"), Some(65535));
    assert_eq!(parse_port("65536"), None);
    assert_eq!(parse_port(""), None);
    assert_eq!(parse_port("-1"), None);
    assert_eq!(parse_port("no such service"), None);
}
