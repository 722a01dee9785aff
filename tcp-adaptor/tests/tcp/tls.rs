//! TLS on listeners and connectors.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use tcp_adaptor::{ConnectorConfig, ListenerConfig};
use transport::tls::{ClientCerts, ClientOptions, ServerOptions};

use crate::support::certs::Certs;
use crate::support::peers::{Server, echo, pattern, read_n, read_to_end, read_to_reset};
use crate::support::{Router, client, connector, eventually};

fn listener(certs: &Certs, client_certs: ClientCerts) -> ListenerConfig {
    let mut config = ListenerConfig::new("in", "service", "127.0.0.1", 0);
    let options =
        ServerOptions { client_certs, alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()], require_close_notify: false };
    config.tls = Some(certs.profile("server").server(&options).unwrap());
    config
}

/// To a server with TLS, by a name that its certificate has.
fn secure(certs: &Certs, server: SocketAddr, host: &str, verify_hostname: bool) -> ConnectorConfig {
    let mut config = ConnectorConfig::new("out", "service", host, server.port());
    config.family = transport::socket::Family::V4;
    let options = ClientOptions { verify_hostname, ..ClientOptions::default() };
    config.tls = Some(certs.profile("client").client(&options).unwrap());
    config
}

#[test]
fn a_listener_with_tls_before_a_plain_server() {
    let certs = Certs::new();
    let router = Router::start(1);
    router.listen(listener(&certs, ClientCerts::None));
    router.connect(connector("out", "service", echo("hi")));
    let mut client = certs.client(client(router.local("in")), &[], false);
    let data = pattern(2 << 20);
    let mut greeting = [0; 2];
    client.read_exact(&mut greeting).unwrap();
    for part in data.chunks(100_000) {
        client.write_all(part).unwrap();
        let mut back = vec![0; part.len()];
        client.read_exact(&mut back).unwrap();
        assert!(back == part);
    }
    client.conn.send_close_notify();
    client.flush().unwrap();
    client.sock.shutdown(Shutdown::Write).unwrap();
    // A clean end, with close_notify.
    assert_eq!(client.read(&mut greeting).unwrap(), 0);
    eventually("the flow is gone", || router.flows() == 0);
    assert_eq!(router.listener_totals("in").bytes_in, 2 << 20);
}

#[test]
fn both_sides_with_tls_and_the_negotiated_protocol() {
    let certs = Certs::new();
    let server = Server::start();
    let router = Router::start(1);
    router.listen(listener(&certs, ClientCerts::None));
    router.connect(secure(&certs, server.addr, "localhost", true));
    for (offered, expected) in [(&["http/1.1"][..], Some("http/1.1")), (&["http/1.1", "h2"], Some("h2")), (&[], None)] {
        let mut client = certs.client(client(router.local("in")), offered, false);
        client.sock.set_nodelay(true).unwrap();
        let serving = std::thread::scope(|scope| {
            let serving = scope.spawn(|| {
                let mut served = certs.server(server.accept(), &["http/1.1", "h2"]);
                let mut ping = [0; 4];
                served.read_exact(&mut ping).unwrap();
                served.write_all(b"pong").unwrap();
                served.conn.alpn_protocol().map(<[u8]>::to_vec)
            });
            client.write_all(b"ping").unwrap();
            let mut pong = [0; 4];
            client.read_exact(&mut pong).unwrap();
            serving.join().unwrap()
        });
        assert_eq!(client.conn.alpn_protocol(), expected.map(str::as_bytes));
        assert_eq!(serving.as_deref(), expected.map(str::as_bytes));
    }
}

#[test]
fn a_server_of_another_name_is_not_used() {
    let certs = Certs::new();
    let server = Server::start();
    let certs = &certs;
    let answer = |host: &str, verify: bool| {
        let router = Router::start(1);
        router.listen(ListenerConfig::new("in", "service", "127.0.0.1", 0));
        router.connect(secure(certs, server.addr, host, verify));
        let mut client = client(router.local("in"));
        std::thread::scope(|scope| {
            let serving = scope.spawn(|| {
                let mut served = certs.server(server.accept(), &[]);
                served.write_all(b"ok").is_ok()
            });
            let mut buffer = [0; 2];
            let outcome = client.read_exact(&mut buffer);
            serving.join().unwrap();
            outcome.map(|()| buffer)
        })
    };
    assert_eq!(answer("localhost", true).unwrap(), *b"ok");
    assert_eq!(answer("127.0.0.1", true).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(answer("127.0.0.1", false).unwrap(), *b"ok");
}

#[test]
fn client_certificates_are_required_if_asked() {
    let certs = Certs::new();
    let router = Router::start(1);
    router.listen(listener(&certs, ClientCerts::Required));
    router.connect(connector("out", "service", echo("hi")));
    let addr = router.local("in");
    let mut known = certs.client(client(addr), &[], true);
    let mut hi = [0; 2];
    known.read_exact(&mut hi).unwrap();
    let mut unknown = certs.client(client(addr), &[], false);
    assert!(unknown.read_exact(&mut hi).is_err());
    eventually("the refusal is counted", || router.listener_totals("in").connections_failed == 1);
}

#[test]
fn a_tls_stream_cut_inside_a_record_is_a_reset() {
    let certs = Certs::new();
    let server = Server::start();
    let router = Router::start(1);
    router.listen(listener(&certs, ClientCerts::None));
    router.connect(connector("out", "service", server.addr));
    let mut client = certs.client(client(router.local("in")), &[], false);
    client.write_all(b"complete").unwrap();
    let mut served = server.accept();
    assert_eq!(read_n(&mut served, 8), b"complete");
    // The head of a record that never comes, then FIN.
    client.sock.write_all(&[0x17, 3, 3, 0, 100, 1, 2, 3]).unwrap();
    client.sock.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_reset(&mut served), b"");
    eventually("the flow is gone", || router.flows() == 0);
}

#[test]
fn an_end_at_a_record_boundary_is_an_end_unless_configured_otherwise() {
    let certs = Certs::new();
    for strict in [false, true] {
        let server = Server::start();
        let router = Router::start(1);
        let mut config = listener(&certs, ClientCerts::None);
        let options = ServerOptions { require_close_notify: strict, ..ServerOptions::default() };
        config.tls = Some(certs.profile("server").server(&options).unwrap());
        router.listen(config);
        router.connect(connector("out", "service", server.addr));
        let mut client = certs.client(client(router.local("in")), &[], false);
        client.write_all(b"complete").unwrap();
        let mut served = server.accept();
        assert_eq!(read_n(&mut served, 8), b"complete");
        client.sock.shutdown(Shutdown::Write).unwrap();
        if strict {
            assert_eq!(read_to_reset(&mut served), b"");
        } else {
            assert_eq!(read_to_end(&mut served), b"");
        }
    }
}

#[test]
fn a_client_that_never_finishes_its_handshake_is_dropped() {
    let certs = Certs::new();
    let router = Router::start(1);
    let mut config = listener(&certs, ClientCerts::None);
    config.handshake_timeout = Duration::from_millis(50);
    router.listen(config);
    router.connect(connector("out", "service", echo("hi")));
    let mut client = client(router.local("in"));
    client.write_all(&[0x16, 3, 1]).unwrap();
    eventually("it is dropped", || router.listener_totals("in").connections_failed == 1);
    eventually("its flow is gone", || router.flows() == 0);
}

#[test]
fn a_proxy_header_comes_before_tls_on_both_sides() {
    let certs = Certs::new();
    let server = Server::start();
    let router = Router::start(1);
    let mut config = listener(&certs, ClientCerts::None);
    config.accept_proxy = true;
    router.listen(config);
    let mut config = secure(&certs, server.addr, "localhost", true);
    config.send_proxy = Some(transport::proxy_protocol::Version::V1);
    router.connect(config);
    let mut socket = client(router.local("in"));
    let header = b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 443\r\n";
    socket.write_all(header).unwrap();
    let mut client = certs.client(socket, &[], false);
    std::thread::scope(|scope| {
        let serving = scope.spawn(|| {
            let mut served = server.accept();
            assert_eq!(read_n(&mut served, header.len()), header);
            let mut served = certs.server(served, &[]);
            let mut data = [0; 5];
            served.read_exact(&mut data).unwrap();
            data
        });
        client.write_all(b"hello").unwrap();
        assert_eq!(serving.join().unwrap(), *b"hello");
    });
}
