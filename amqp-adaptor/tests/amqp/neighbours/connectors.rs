//! Connectors in themselves: until there is a peer, and how they get to it.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use amqp_adaptor::{ConnectionRole, ConnectorConfig, ConnectorState, Credentials, DataConnections, Proxy, ProxyConfig};
use amqp_proto::{Symbol, Value};

use super::{Fake, connector, inter_router, roles, says, start, wait};
use crate::client::{Client, message};
use crate::router::{LIMIT, Router, listener};

#[test]
fn a_listener_may_come_late() {
    let a = Router::named("A", 1, listener());
    // Somebody else may take the port in between: then it is tried with another.
    let (up, b) = loop {
        let port = Fake::new().port;
        let up = start(&a, connector(port));
        let status = wait(&up, "failures", |s| s.failures >= 3);
        assert!(status.message.contains("cannot connect"), "{status:?}");
        let late = std::panic::catch_unwind(|| {
            let mut config = inter_router();
            config.port = port;
            Router::named("B", 1, config)
        });
        match late {
            Ok(b) => break (up, b),
            Err(_) => up.stop(),
        }
    };
    a.control();
    b.control();
    let status = up.status();
    assert_eq!((status.state, status.failures, status.opened), (ConnectorState::Success, 0, 1));
    assert!(status.message.contains("container_id=B"), "{status:?}");
    // And lost, and made again.
    let conn = b.control();
    b.neighbours.close(conn, amqp_proto::Error::new("amqp:connection:forced", "again"));
    wait(&up, "another connection", |s| s.opened == 2 && s.state == ConnectorState::Success);
    up.stop();
    a.wait_empty();
    b.wait_empty();
}

#[test]
fn each_worker_has_a_connection_for_data_to_a_router_of_ours() {
    let b = Router::named("B", 3, inter_router());
    let a = Router::named("A", 2, listener());
    let up = start(&a, ConnectorConfig { data_connections: DataConnections::Auto, ..connector(b.port) });
    // As many as the router with more of them has workers.
    wait(&up, "data connections", |s| s.data == 3);
    b.wait("data connections", |r| r.open_neighbours().len() == 4);
    let data = |r: &Router| {
        let open = r.open_neighbours().into_iter();
        let data = open.filter(|info| info.role == ConnectionRole::InterRouterData);
        let mut workers: Vec<u16> = data.map(|info| info.conn.worker).collect();
        workers.sort_unstable();
        workers.dedup();
        workers
    };
    assert_eq!(data(&a), [0, 1]);
    assert!(data(&b).len() >= 2, "{:?}", b.open_neighbours());
    up.stop();
    a.wait_empty();
    b.wait_empty();
}

#[test]
fn others_have_half_as_many() {
    let fake = Fake::new();
    let a = Router::named("A", 4, listener());
    let up = start(&a, ConnectorConfig { data_connections: DataConnections::Auto, ..connector(fake.port) });
    let mut control = fake.router("B");
    control.wait("attaches", |c| c.offered.len() == 22);
    let open = control.open.take().unwrap();
    let property = |open: &amqp_proto::Open, name: &str| {
        open.properties.as_ref().and_then(|p| p.get(name)).and_then(|raw| raw.to_value().ok())
    };
    assert_eq!(property(&open, "qd.annotations-version"), Some(Value::Int(2)));
    assert_eq!(property(&open, "qd.inter-router-role"), None);
    assert!(matches!(property(&open, "qd.conn-id"), Some(Value::Int(_))));
    let correlator = property(&open, "qd.group-correlator").unwrap();
    assert_eq!(correlator.as_str().unwrap().len(), 15);
    assert_eq!(property(&open, "qd.group-ordinal"), None, "only with TLS");
    let mut data = Vec::new();
    for _ in 0..2 {
        let mut peer = fake.router("B");
        peer.wait("open", |c| c.opened);
        let open = peer.open.take().unwrap();
        assert_eq!(property(&open, "qd.inter-router-role"), Some(Value::Int(4)));
        assert_eq!(property(&open, "qd.group-correlator"), Some(correlator.clone()));
        data.push(peer);
    }
    wait(&up, "data connections", |s| s.data == 2);
    assert_eq!(roles(&a.open_neighbours()).len(), 3);
    // No link until there is a stream.
    data.iter_mut().for_each(Client::step);
    assert!(data.iter().all(|peer| peer.attached == 0));
    up.stop();
    for mut peer in data.into_iter().chain([control]) {
        peer.wait("close", |c| c.closed.is_some());
    }
    a.wait_empty();
}

#[test]
fn places_that_the_peer_knows_are_tried_too() {
    let b = Router::named("B", 1, inter_router());
    let fake = Fake::new();
    let a = Router::named("A", 1, listener());
    let up = start(&a, connector(fake.port));
    let entry = [("network-host", Value::from("127.0.0.1")), ("port", Value::from(b.port.to_string()))];
    let entry = Value::Map(entry.into_iter().map(|(key, value)| (Value::Symbol(Symbol::from(key)), value)).collect());
    let config = says("F", &[("failover-server-list", Value::List(vec![entry]))]);
    let mut peer = Client::server(fake.accept(), config, &["ANONYMOUS"]);
    peer.wait("attaches", |c| c.offered.len() == 22);
    let status = wait(&up, "success", |s| s.state == ConnectorState::Success);
    assert_eq!(status.failover, format!("amqp://127.0.0.1:{}, amqp://127.0.0.1:{}", fake.port, b.port));
    drop(peer);
    drop(fake);
    b.control();
    up.stop();
    a.wait_empty();
    b.wait_empty();
}

#[test]
fn a_connector_for_clients_is_one() {
    let b = Router::named("B", 1, listener());
    let a = Router::named("A", 1, listener());
    let config = ConnectorConfig {
        role: ConnectionRole::RouteContainer,
        open_properties: vec![("mine".to_owned(), Value::from("x"))],
        ..connector(b.port)
    };
    let up = start(&a, config);
    wait(&up, "success", |s| s.state == ConnectorState::Success);
    let seen = a.each(amqp_adaptor::AmqpAdaptor::connections).concat();
    assert!(seen[0].outgoing && seen[0].role == ConnectionRole::RouteContainer && seen[0].container == "B");
    assert!(a.open_neighbours().is_empty());
    up.stop();
    a.wait_empty();
    b.wait_empty();
    // A peer at such a connection may attach links as any client does.
    let fake = Fake::new();
    let up = start(&a, ConnectorConfig { role: ConnectionRole::RouteContainer, ..connector(fake.port) });
    let mut peer = fake.router("broker");
    peer.begin();
    let mut client = Client::new(a.port);
    client.receiver("a", 10);
    let link = peer.sender("a");
    peer.send(link, &message(0, 10), false);
    client.wait("delivery", |c| c.received.len() == 1);
    peer.wait("outcome", |c| c.outcomes.len() == 1);
    client.close();
    up.stop();
    peer.wait("close", |c| c.closed.is_some());
    drop(peer);
    a.wait_empty();
}

#[test]
fn users_and_passwords() {
    let fake = Fake::new();
    let a = Router::named("A", 1, listener());
    let credentials = Some(Credentials { username: "me".to_owned(), password: "secret".to_owned() });
    let config = ConnectorConfig {
        credentials: credentials.clone(),
        sasl_mechanisms: vec!["PLAIN".to_owned()],
        ..connector(fake.port)
    };
    assert!(!format!("{config:?}").contains("secret"));
    let up = start(&a, config);
    let mut peer = Client::server(fake.accept(), says("B", &[]), &["ANONYMOUS", "PLAIN"]);
    peer.wait("open", |c| c.opened);
    let sasl = peer.sasl.take().unwrap();
    assert_eq!((sasl.mechanism.as_str(), &sasl.response[..]), ("PLAIN", &b"\0me\0secret"[..]));
    up.stop();
    drop(peer);
    // A password does not go in the clear unless that is asked for.
    let up = start(&a, ConnectorConfig { credentials, ..connector(fake.port) });
    let mut peer = Client::server(fake.accept(), says("B", &[]), &["PLAIN", "ANONYMOUS"]);
    peer.wait("open", |c| c.opened);
    assert_eq!(peer.sasl.take().unwrap().mechanism.as_str(), "ANONYMOUS");
    drop(peer);
    up.stop();
    // A server that offers nothing of use.
    let up = start(&a, connector(fake.port));
    let peer = Client::server(fake.accept(), says("B", &[]), &["EXTERNAL"]);
    let peer = serve(peer);
    let status = wait(&up, "failure", |s| s.failures > 0);
    assert!(status.message.contains("offers SASL EXTERNAL, not ANONYMOUS"), "{status:?}");
    up.stop();
    drop(fake);
    peer.join().unwrap();
    a.wait_empty();
}

/// Runs a peer until its connection is over.
fn serve(mut peer: Client) -> thread::JoinHandle<()> {
    thread::spawn(move || peer.wait("end", |c| c.eof))
}

/// An HTTP proxy for one connection. Answers what it was asked for.
fn proxy(listener: TcpListener, answer: &'static str) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        client.set_read_timeout(Some(LIMIT)).unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        client.write_all(answer.as_bytes()).unwrap();
        let request = String::from_utf8(request).unwrap();
        if answer.contains("200") {
            let place = request.split(' ').nth(1).unwrap();
            let server = TcpStream::connect(place).unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            let up = thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(std::net::Shutdown::Write);
            });
            let (mut from, mut to) = (server, client);
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Write);
            up.join().unwrap();
        }
        request
    })
}

#[test]
fn through_a_proxy() {
    let b = Router::named("B", 1, inter_router());
    let a = Router::named("A", 1, listener());
    let via = |answer| {
        let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = socket.local_addr().unwrap().port();
        let credentials = Some(("me".to_owned(), "secret".to_owned()));
        let proxy_config = Proxy::new(ProxyConfig { host: "127.0.0.1".to_owned(), port, credentials });
        (proxy(socket, answer), ConnectorConfig { proxy: Some(proxy_config), ..connector(b.port) })
    };
    let (proxy, config) = via("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    let up = start(&a, config);
    let status = wait(&up, "failure", |s| s.failures > 0);
    assert!(proxy.join().unwrap().contains("Proxy-Authorization: Basic bWU6c2VjcmV0\r\n"));
    assert!(status.message.contains("the proxy answered: 403 Forbidden"), "{status:?}");
    up.stop();
    let (proxy, config) = via("HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n");
    let up = start(&a, config);
    a.control();
    b.control();
    up.stop();
    a.wait_empty();
    b.wait_empty();
    assert!(proxy.join().unwrap().starts_with(&format!("CONNECT 127.0.0.1:{} HTTP/1.1\r\n", b.port)));
}

#[test]
fn a_router_that_ends_makes_no_connections() {
    let b = Router::named("B", 1, inter_router());
    let a = Router::named("A", 1, listener());
    let up = start(&a, connector(b.port));
    a.control();
    a.each(amqp_adaptor::AmqpAdaptor::close_all);
    a.wait_empty();
    b.wait_empty();
    a.wait("the end of the neighbour", |r| r.open_neighbours().is_empty());
    assert_eq!(up.status().opened, 1);
}
