//! What the adaptor is told: listeners, their addresses, connectors.
//!
//! Plain data, made from the entities by control and cloned to every worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::time::Duration;

use http_observer::Wanted;
use transport::proxy_protocol;
use transport::socket::{Family, Keepalive};
use transport::tls::{TlsClient, TlsServer};

/// How a listener with several addresses takes one for a connection (`multiAddressStrategy`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MultiAddressStrategy {
    /// The listener has one address, its own.
    #[default]
    None,
    /// The reachable address of the highest value.
    Priority,
    /// One of the reachable addresses at random, by value.
    Weighted,
}

/// What may end a flow that is silent, and how its sockets are probed. All off by default.
///
/// Both the listener's and the connector's limits apply; of two, the shorter one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlowOptions {
    /// Keepalive probes on this side's socket.
    pub keepalive: Option<Keepalive>,
    /// Resets a flow in which no byte moved in either direction for so long (up to an eighth longer).
    pub idle_timeout: Option<Duration>,
    /// Resets a flow of which one direction has ended, and in the other of which no byte moved for so long (up to an eighth longer).
    pub half_open_timeout: Option<Duration>,
}

/// A `tcpListener`.
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    /// Name of the entity.
    pub name: String,
    /// The address that clients reach here. Not used with a [`strategy`](Self::strategy) other than `None`.
    pub address: String,
    /// How an address is chosen among those of [`ListenerAddressConfig`].
    pub strategy: MultiAddressStrategy,
    /// Where to listen: a name, a literal, or empty for all addresses.
    pub host: String,
    /// The port; 0 lets the system choose one, which the listener then keeps as long as it exists.
    pub port: u16,
    /// IPv4, IPv6 or both.
    pub family: Family,
    /// Connections that may wait to be accepted; 0 is the system's maximum.
    pub backlog: u32,
    /// TLS towards clients. The protocol that ALPN chooses is offered to a server with TLS.
    pub tls: Option<Arc<TlsServer>>,
    /// Clients must begin with a PROXY protocol header (v1 or v2), before TLS. Only for a port that only proxies reach.
    pub accept_proxy: bool,
    /// How long a client may take for PROXY header and TLS handshake together.
    pub handshake_timeout: Duration,
    /// Limits of flows, and probing of clients.
    pub flow: FlowOptions,
    /// Which requests are looked for in flows while somebody collects records; none: no look is taken.
    pub observer: Option<Wanted>,
}

impl ListenerConfig {
    /// A plain listener with one address and nothing else set.
    pub fn new(name: impl Into<String>, address: impl Into<String>, host: impl Into<String>, port: u16) -> Self {
        Self {
            name: name.into(),
            address: address.into(),
            strategy: MultiAddressStrategy::None,
            host: host.into(),
            port,
            family: Family::Any,
            backlog: 0,
            tls: None,
            accept_proxy: false,
            handshake_timeout: Duration::from_secs(30),
            flow: FlowOptions::default(),
            observer: Some(Wanted::Any),
        }
    }
}

/// A `listenerAddress`: one of several addresses of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerAddressConfig {
    /// Name of the entity.
    pub name: String,
    /// Name of the listener.
    pub listener: String,
    /// The address.
    pub address: String,
    /// Priority or weight, above 0.
    pub value: u64,
}

/// A `tcpConnector`.
#[derive(Debug, Clone)]
pub struct ConnectorConfig {
    /// Name of the entity.
    pub name: String,
    /// The address that this server serves.
    pub address: String,
    /// Host of the server: a name or a literal.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// IPv4, IPv6 or both.
    pub family: Family,
    /// How many connections this server should carry compared with the others of its address, at least 1.
    pub weight: u32,
    /// TLS towards the server, whose certificate has to name [`host`](Self::host) unless the profile was told otherwise.
    pub tls: Option<Arc<TlsClient>>,
    /// Tells the server, before TLS, who its client is.
    pub send_proxy: Option<proxy_protocol::Version>,
    /// How long a connection to the server may take, name resolution and TLS handshake included; then another connector is tried.
    pub connect_timeout: Duration,
    /// Limits of flows, and probing of the server.
    pub flow: FlowOptions,
    /// Open connections of all workers, by which the least loaded server is found. The clones of a configuration share it.
    pub open: Arc<AtomicU32>,
    /// The last attempt to connect failed, a moment ago: other servers, here or elsewhere, are taken first. Shared as well.
    pub failing: Arc<AtomicBool>,
}

impl ConnectorConfig {
    /// A plain connector with nothing else set.
    pub fn new(name: impl Into<String>, address: impl Into<String>, host: impl Into<String>, port: u16) -> Self {
        Self {
            name: name.into(),
            address: address.into(),
            host: host.into(),
            port,
            family: Family::Any,
            weight: 1,
            tls: None,
            send_proxy: None,
            connect_timeout: Duration::from_secs(10),
            flow: FlowOptions::default(),
            open: Arc::default(),
            failing: Arc::default(),
        }
    }
}
