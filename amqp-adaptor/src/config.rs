//! What a listener decides about its connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use amqp_proto::Value;
use transport::http::HttpSite;
use transport::sasl::Sasl;
use transport::socket::Family;
use transport::tls::TlsProfile;

use crate::neighbour::ConnectionRole;

/// Who the router is, in every `open`.
#[derive(Clone, Debug)]
pub struct RouterIdentity {
    /// `router.id`: the container-id.
    pub id: String,
    /// The program's version, in the open properties.
    pub version: String,
}

/// The cost of a listener's or connector's links to routers, 1 or more. It can be changed while they are in use: clones share it.
#[derive(Clone, Debug)]
pub struct Cost(Arc<AtomicU32>);

impl From<u32> for Cost {
    fn from(cost: u32) -> Self {
        Self(Arc::new(AtomicU32::new(cost)))
    }
}

impl Cost {
    /// What it is now.
    #[must_use]
    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    /// What connections say from now on. [`Neighbours::cost_changed`](crate::Neighbours::cost_changed) is for those that there are.
    pub fn set(&self, cost: u32) {
        self.0.store(cost, Ordering::Relaxed);
    }
}

/// What clients have to do with router annotations (`stripAnnotations`). The default: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientAnnotations {
    /// Those in front of what a client sends are read, not only taken off.
    pub read: bool,
    /// What a client receives has them in front.
    pub given: bool,
}

/// Another place that clients may go to (`failoverUrls`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failover {
    /// `amqp` or `amqps`, if somebody said so.
    pub scheme: Option<String>,
    /// Name or address.
    pub host: String,
    /// Port, as it was written.
    pub port: String,
}

/// An AMQP listener.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    /// Its name, for logs.
    pub name: String,
    /// Host to listen on; empty means all addresses.
    pub host: String,
    /// Port; 0 takes a free one.
    pub port: u16,
    /// Restricts the addresses used.
    pub family: Family,
    /// Who connects here.
    pub role: ConnectionRole,
    /// The cost of links to routers that connect here.
    pub cost: Cost,
    /// TLS, if offered.
    pub tls: Option<Arc<TlsProfile>>,
    /// Refuse connections without TLS (`requireSsl`, `requireEncryption`).
    pub require_tls: bool,
    /// Refuse connections that do not authenticate (`authenticatePeer`). With TLS a client certificate is asked for.
    pub authenticate_peer: bool,
    /// SASL mechanisms to offer, in order; empty means every one that makes sense here.
    pub sasl_mechanisms: Vec<String>,
    /// What checks the users of all mechanisms but `ANONYMOUS` and `EXTERNAL`, if these may be used.
    pub sasl: Option<Arc<Sasl>>,
    /// Largest frame accepted, in bytes (`maxFrameSize`).
    pub max_frame_size: u32,
    /// Sessions of a connection (`maxSessions`), 1 to 65,536.
    pub max_sessions: u32,
    /// Silence after which a connection is closed (`idleTimeoutSeconds`); none for 0.
    pub idle_timeout: Option<Duration>,
    /// Time for TLS, SASL and open (`initialHandshakeTimeoutSeconds`); none for 0.
    pub handshake_timeout: Option<Duration>,
    /// The `vhost` whose rules apply, instead of the one that clients ask for (`policyVhost`).
    pub policy_vhost: Option<Arc<str>>,
    /// Credit for each sender (`linkCapacity`); adapts when unset.
    pub link_capacity: Option<u32>,
    /// What clients have to do with router annotations.
    pub annotations: ClientAnnotations,
    /// Where clients may go to when their connection is lost.
    pub failover: Vec<Failover>,
    /// The identity of its flow record, which routers that connect here hear.
    pub access_id: Option<String>,
    /// Properties of the user's own for open, where the peer is no router.
    pub open_properties: Vec<(String, Value)>,
    /// It speaks HTTP, and AMQP inside WebSocket (`http`).
    pub http: Option<HttpSite>,
}

/// Who a peer proved to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The SASL mechanism, if the peer used SASL.
    pub mechanism: Option<String>,
    /// The user; absent for anonymous peers.
    pub user: Option<String>,
}
