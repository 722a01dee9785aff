//! Entities that come and go while the router runs.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use router_core::config::{Configuration, Syntax};
use router_core::entity::{Entity, EntityKind, Value};
use transport::Workers;

use super::Running;

fn entity(kind: EntityKind, attributes: &[(&str, &str)]) -> Entity {
    let attributes = attributes.iter().map(|(name, value)| (*name, Value::from(*value)));
    Entity::from_attributes(kind, attributes).unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// Connects as soon as something listens.
fn connect(port: u16) -> TcpStream {
    loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Ok(socket) => return socket,
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused),
        }
    }
}

/// Waits until nothing listens any more.
fn refused(port: u16) {
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {}
}

struct Fixture {
    workers: Workers,
    running: Running,
    runtime: tokio::runtime::Runtime,
}

impl Fixture {
    fn new() -> Self {
        let text = "router {\n  mode: standalone\n  id: A\n}\n";
        let configuration = Configuration::from_text("test", Syntax::Text, text).unwrap();
        let workers = Workers::start(2).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let running = runtime.block_on(Running::start(&configuration, workers.handles())).unwrap();
        Self { workers, running, runtime }
    }

    fn create(&self, entity: &Entity) -> anyhow::Result<()> {
        self.runtime.block_on(self.running.create(entity, self.workers.handles()))
    }

    fn delete(&self, kind: EntityKind, name: &str) -> anyhow::Result<()> {
        Ok(self.runtime.block_on(self.running.delete(kind, name, self.workers.handles()))?)
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.runtime.block_on(self.running.stop(self.workers.handles()));
    }
}

#[test]
fn tcp_entities_come_and_go() {
    let router = Fixture::new();
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (to, from) = (server.local_addr().unwrap().port().to_string(), free_port());
    let host = ("host", "127.0.0.1");
    let listener = [("name", "in"), ("address", "svc"), host, ("port", &from.to_string())];
    router.create(&entity(EntityKind::TcpListener, &listener)).unwrap();
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, from)).is_err(), "nobody serves the address");
    let connector = [("name", "out"), ("address", "svc"), host, ("port", &to)];
    router.create(&entity(EntityKind::TcpConnector, &connector)).unwrap();
    assert!(router.create(&entity(EntityKind::TcpConnector, &connector)).is_err(), "the name is taken");

    let mut client = connect(from);
    let (mut accepted, _) = server.accept().unwrap();
    client.write_all(b"hello").unwrap();
    let mut text = [0; 5];
    accepted.read_exact(&mut text).unwrap();
    assert_eq!(&text, b"hello");

    router.delete(EntityKind::TcpConnector, "out").unwrap();
    refused(from);
    // dropTcpConnections is on by default.
    assert!(client.read(&mut text).is_err());
    router.delete(EntityKind::TcpListener, "in").unwrap();
    assert!(router.delete(EntityKind::TcpListener, "in").is_err(), "it is gone");
}

#[test]
fn a_listener_keeps_its_addresses() {
    let router = Fixture::new();
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (to, from) = (server.local_addr().unwrap().port().to_string(), free_port());
    let host = ("host", "127.0.0.1");
    let port = from.to_string();
    let listener = [("name", "in"), ("multiAddressStrategy", "priority"), host, ("port", &port)];
    router.create(&entity(EntityKind::TcpListener, &listener)).unwrap();
    let address = [("name", "first"), ("address", "svc"), ("value", "2"), ("listener", "in")];
    router.create(&entity(EntityKind::ListenerAddress, &address)).unwrap();
    let connector = [("name", "out"), ("address", "svc"), host, ("port", &to)];
    router.create(&entity(EntityKind::TcpConnector, &connector)).unwrap();
    drop(connect(from));
    assert!(router.delete(EntityKind::TcpListener, "in").is_err(), "it has an address");
    router.delete(EntityKind::ListenerAddress, "first").unwrap();
    refused(from);
    router.delete(EntityKind::TcpListener, "in").unwrap();
}

#[test]
fn amqp_entities_come_and_go() {
    let router = Fixture::new();
    let port = free_port();
    let attributes = [("name", "clients"), ("host", "127.0.0.1"), ("port", &port.to_string())];
    let listener = entity(EntityKind::Listener, &attributes);
    router.create(&listener).unwrap();
    let mut client = connect(port);
    client.write_all(b"AMQP\0\x01\0\0").unwrap();
    let mut header = [0; 8];
    client.read_exact(&mut header).unwrap();
    assert_eq!(&header, b"AMQP\0\x01\0\0");
    router.delete(EntityKind::Listener, "clients").unwrap();
    refused(port);
    // The port is free again.
    router.create(&listener).unwrap();
    drop(connect(port));

    let address = [("name", "news"), ("prefix", "news"), ("distribution", "multicast")];
    router.create(&entity(EntityKind::Address, &address)).unwrap();
    router.delete(EntityKind::Address, "news").unwrap();
}

#[test]
fn a_profile_that_cannot_be_loaded_is_refused() {
    let router = Fixture::new();
    let attributes = [("name", "tls"), ("certFile", "/nonexistent.pem")];
    let error = router.create(&entity(EntityKind::SslProfile, &attributes)).unwrap_err();
    assert!(format!("{error:#}").contains("/nonexistent.pem"), "{error:#}");
    // It is not there: the name is free.
    let attributes = [("name", "tls")];
    router.create(&entity(EntityKind::SslProfile, &attributes)).unwrap();
    router.delete(EntityKind::SslProfile, "tls").unwrap();
}

#[test]
fn amqp_connectors_come_and_go() {
    let router = Fixture::new();
    let port = free_port().to_string();
    let host = ("host", "127.0.0.1");
    router.create(&entity(EntityKind::Listener, &[("name", "in"), host, ("port", &port)])).unwrap();
    let connector = [("name", "out"), host, ("port", &port), ("role", "route-container")];
    router.create(&entity(EntityKind::Connector, &connector)).unwrap();
    let connections = || {
        let handles = router.workers.handles().iter();
        handles.map(|w| w.call_blocking(crate::router::worker::open_connections).unwrap()).sum::<usize>()
    };
    while router.running.connectors().iter().all(|(_, status)| status.state.as_str() != "SUCCESS") {
        std::thread::yield_now();
    }
    assert_eq!(connections(), 2, "both ends of it");
    router.delete(EntityKind::Connector, "out").unwrap();
    while connections() > 0 {
        std::thread::yield_now();
    }
    assert!(router.running.connectors().is_empty());
}

#[test]
fn connectors_need_what_they_name() {
    let router = Fixture::new();
    let proxy = [("name", "via"), ("host", "127.0.0.1"), ("port", "no port")];
    let error = router.create(&entity(EntityKind::ProxyProfile, &proxy)).unwrap_err();
    assert!(format!("{error:#}").contains("`no port` is no port"), "{error:#}");
    let connector = [("name", "out"), ("port", "1"), ("proxyProfile", "via")];
    let error = router.create(&entity(EntityKind::Connector, &connector)).unwrap_err();
    assert!(format!("{error:#}").contains("there is no proxyProfile named via"), "{error:#}");
}

/// Passwords are looked for when what has them is created; what is missing is named, and nothing of the password told.
#[test]
fn passwords_are_found_where_the_configuration_says() {
    let router = Fixture::new();
    let connector = |name, password| {
        let password = [("name", name), ("port", "1"), ("saslUsername", "me"), ("saslPassword", password)];
        router.create(&entity(EntityKind::Connector, &password))
    };
    connector("plain", "secret").unwrap();
    connector("named", "env:PATH").unwrap();
    let error = connector("unset", "env:SPANWAY_TEST_UNSET").unwrap_err();
    let expected = "connector unset: saslPassword: the environment has no variable 'SPANWAY_TEST_UNSET'";
    assert_eq!(format!("{error:#}"), expected);
    let error = connector("no-file", "file:/no/such/file").unwrap_err();
    assert!(format!("{error:#}").starts_with("connector no-file: saslPassword: /no/such/file: "), "{error:#}");
    let proxy = [("name", "via"), ("host", "h"), ("port", "1"), ("username", "me"), ("password", "file:/no/such/file")];
    let error = router.create(&entity(EntityKind::ProxyProfile, &proxy)).unwrap_err();
    assert!(format!("{error:#}").starts_with("proxyProfile via: password: /no/such/file: "), "{error:#}");
}
