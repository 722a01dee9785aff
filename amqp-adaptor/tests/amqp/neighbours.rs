//! Connections between routers: two of ours, and peers that behave in other ways.

mod connectors;
mod groups;
mod links;
mod wrong;

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use amqp_adaptor::{
    AmqpConnector, ClientAnnotations, ConnectionRole, ConnectorConfig, ConnectorStatus, DataConnections,
    ListenerConfig, NeighbourInfo,
};
use amqp_proto::connection::Config;
use amqp_proto::{Attach, Fields, Role, Source, Str, Symbols, Target, Value};
use transport::socket::Family;

use crate::client::{self, Client};
use crate::router::{LIMIT, Router, listener};

/// A listener for routers.
fn inter_router() -> ListenerConfig {
    ListenerConfig { role: ConnectionRole::InterRouter, cost: 3.into(), ..listener() }
}

/// A connector to a router at a port of this machine.
fn connector(port: u16) -> ConnectorConfig {
    ConnectorConfig {
        name: "up".to_owned(),
        host: "127.0.0.1".to_owned(),
        port,
        family: Family::Any,
        role: ConnectionRole::InterRouter,
        cost: 1.into(),
        tls: None,
        ordinal: None,
        proxy: None,
        sasl_mechanisms: Vec::new(),
        credentials: None,
        max_frame_size: 16 * 1024,
        max_sessions: 32_768,
        idle_timeout: Some(Duration::from_secs(60)),
        handshake_timeout: Some(Duration::from_secs(60)),
        policy_vhost: None,
        link_capacity: None,
        annotations: ClientAnnotations::default(),
        data_connections: DataConnections::Exactly(0),
        open_properties: Vec::new(),
    }
}

fn start(router: &Router, config: ConnectorConfig) -> AmqpConnector {
    AmqpConnector::start(config, router.workers.handles(), 42)
}

/// Waits for something that a connector says.
fn wait(connector: &AmqpConnector, what: &str, condition: impl Fn(&ConnectorStatus) -> bool) -> ConnectorStatus {
    let begun = Instant::now();
    loop {
        let status = connector.status();
        if condition(&status) {
            return status;
        }
        assert!(begun.elapsed() < LIMIT, "no {what}: {status:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A place where connectors connect to, and a script says what they find.
struct Fake {
    socket: TcpListener,
    port: u16,
}

impl Fake {
    fn new() -> Self {
        let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = socket.local_addr().unwrap().port();
        Self { socket, port }
    }

    fn accept(&self) -> TcpStream {
        self.socket.accept().unwrap().0
    }

    /// The next connection, which finds a router of this name.
    fn router(&self, name: &str) -> Client {
        Client::server(self.accept(), says(name, &[]), &["ANONYMOUS"])
    }
}

/// What a router of another make says of itself.
fn says(container: &str, properties: &[(&str, Value)]) -> Config {
    let properties =
        properties.iter().cloned().chain([("product", Value::from("other")), ("version", Value::from("9"))]);
    let capabilities = Symbols::from(["ANONYMOUS-RELAY", "qd.streaming-links", "qd.connection_trunking"]);
    Config {
        container_id: Str::from(container),
        offered_capabilities: capabilities.clone(),
        desired_capabilities: capabilities,
        properties: Some(Fields::from_entries(properties)),
        ..client::config()
    }
}

/// A link between routers as the connecting side attaches it; `role` is that side's.
fn router_link(name: &str, role: Role, capability: Option<&str>) -> Attach {
    let capabilities: Symbols = capability.into_iter().collect();
    Attach {
        name: Str::from(name),
        role,
        source: Some(Source { capabilities: capabilities.clone(), ..Source::default() }.into()),
        target: Some(Target { capabilities, ..Target::default() }.into()),
        ..Attach::default()
    }
}

fn roles(neighbours: &[NeighbourInfo]) -> Vec<ConnectionRole> {
    let mut roles: Vec<ConnectionRole> = neighbours.iter().map(|info| info.role).collect();
    roles.sort_by_key(|role| role.number());
    roles
}
