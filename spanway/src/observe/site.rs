//! What one router tells of itself: to its own console, and to other routers that are asked about the network.
//!
//! Fields are only ever added: routers of different versions read each other's.

use serde::{Deserialize, Serialize};

/// Most links, addresses and services that a router tells of, so that an answer stays far below what routers take (1 MiB).
pub(crate) const MOST: usize = 500;

/// Longer names of addresses are left out, as they are of metrics, in bytes: peers give them.
pub(crate) const LONGEST_NAME: usize = 256;

/// A router as it sees itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Site {
    /// Its id.
    pub(crate) id: String,
    /// `interior`, `edge` or `standalone`.
    pub(crate) kind: String,
    /// Its version.
    pub(crate) version: String,
    /// Since when it runs.
    pub(crate) uptime_seconds: u64,
    /// Open connections of clients.
    pub(crate) client_connections: u64,
    /// Open TCP connections of services.
    pub(crate) tcp_connections: u64,
    /// What comes from clients and goes to them; nothing when it was not looked for a while.
    pub(crate) rates: Option<Rates>,
    /// Links to other routers that are up.
    pub(crate) links: Vec<SiteLink>,
    /// Addresses, the busiest first.
    pub(crate) addresses: Vec<SiteAddress>,
    /// Addresses beyond the limit.
    pub(crate) addresses_left_out: u64,
    /// TCP listeners and connectors.
    pub(crate) services: Vec<SiteService>,
    /// What is wrong.
    pub(crate) problems: Vec<Problem>,
    /// What it knows of the network's routers, if that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) network: Vec<Known>,
}

/// Per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Rates {
    /// Deliveries in.
    pub(crate) deliveries_in: f64,
    /// Deliveries out.
    pub(crate) deliveries_out: f64,
    /// Bytes in.
    pub(crate) bytes_in: f64,
    /// Bytes out.
    pub(crate) bytes_out: f64,
}

/// All connections to one other router, for one purpose.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SiteLink {
    /// The other router.
    pub(crate) peer: String,
    /// `inter-router`, `edge` or `inter-edge`.
    pub(crate) role: String,
    /// The name of the listener or connector.
    pub(crate) via: String,
    /// This router connected.
    pub(crate) outgoing: bool,
    /// What it costs.
    pub(crate) cost: u32,
    /// All of its connections have TLS.
    pub(crate) tls: bool,
    /// How many connections there are, those for data included.
    pub(crate) connections: u64,
    /// The other router's version, for people.
    pub(crate) version: String,
    /// Since when it exists.
    pub(crate) uptime_seconds: u64,
    /// Bytes received and sent.
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// Deliveries received and sent, those of the routing protocol included.
    pub(crate) deliveries_in: u64,
    pub(crate) deliveries_out: u64,
    /// The same per second.
    pub(crate) rates: Option<Rates>,
}

/// An address of messages.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SiteAddress {
    /// Its name.
    pub(crate) address: String,
    /// `balanced`, `closest`, `multicast` or `unavailable`.
    pub(crate) distribution: String,
    /// Receivers and servers here.
    pub(crate) consumers: u64,
    /// Edge routers that are linked here and have consumers.
    pub(crate) edges: u64,
    /// Senders here, anonymous ones not counted.
    pub(crate) senders: u64,
    /// Deliveries that wait here.
    pub(crate) waiting: u64,
    /// Deliveries that came from clients and went to them here.
    pub(crate) deliveries_in: u64,
    pub(crate) deliveries_out: u64,
    /// The same per second.
    pub(crate) rates: Option<Rates>,
}

/// A TCP listener or connector.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SiteService {
    /// The address that it is for.
    pub(crate) address: String,
    /// `listener` or `connector`.
    pub(crate) kind: String,
    /// Its name.
    pub(crate) name: String,
    /// Where it listens or connects to: `host:port`.
    pub(crate) place: String,
    /// `up`, or why it is not.
    pub(crate) state: String,
    /// Connections that are open, were opened, and came to nothing.
    pub(crate) open: u64,
    pub(crate) opened: u64,
    pub(crate) failed: u64,
    /// Bytes from clients or servers, and to them.
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// The same per second; `deliveries_in` are connections.
    pub(crate) rates: Option<Rates>,
}

/// Something that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    /// `error`: something that was configured does not work. `warning`: somebody may be waiting.
    pub(crate) severity: String,
    /// The router.
    pub(crate) router: String,
    /// What it is about, such as `connector east`.
    pub(crate) about: String,
    /// What is wrong with it, in words.
    pub(crate) text: String,
}

/// A router as the routing protocol knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Known {
    /// Its id.
    pub(crate) id: String,
    /// The neighbours that it named, and what the links cost.
    pub(crate) links: Vec<(String, u32)>,
    /// A way leads there.
    pub(crate) reachable: bool,
}
