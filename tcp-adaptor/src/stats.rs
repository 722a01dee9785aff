//! Counters per listener and connector, and how control reads them.

use std::cell::Cell;
use std::net::SocketAddr;
use std::ops::AddAssign;
use std::time::Instant;

/// What a listener or a connector has counted on one worker. Plain cells: only the worker touches them.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) opened: Cell<u64>,
    pub(crate) closed: Cell<u64>,
    /// Bytes read from this side's sockets.
    pub(crate) bytes_in: Cell<u64>,
    /// Bytes written to this side's sockets.
    pub(crate) bytes_out: Cell<u64>,
    pub(crate) failed: Cell<u64>,
    /// Requests that were seen in the flows of a listener.
    pub(crate) requests: Cell<u64>,
}

pub(crate) fn add(cell: &Cell<u64>, n: u64) {
    cell.set(cell.get().wrapping_add(n));
}

impl Counters {
    pub(crate) fn totals(&self) -> Totals {
        Totals {
            connections_opened: self.opened.get(),
            connections_closed: self.closed.get(),
            bytes_in: self.bytes_in.get(),
            bytes_out: self.bytes_out.get(),
            connections_failed: self.failed.get(),
            requests: self.requests.get(),
        }
    }
}

/// Counters of one listener or connector. Those of several workers add up.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Connections accepted (listener) or established (connector).
    pub connections_opened: u64,
    /// Of these, how many are closed.
    pub connections_closed: u64,
    /// Application bytes read: from clients (listener) or from servers (connector). Those of open connections are included.
    pub bytes_in: u64,
    /// Application bytes written: to clients (listener) or to servers (connector).
    pub bytes_out: u64,
    /// Connections that came to nothing: no server could be reached or a handshake failed (listener), connect failed (connector).
    pub connections_failed: u64,
    /// Requests of HTTP that were seen in observed connections (listener).
    pub requests: u64,
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.connections_opened = self.connections_opened.wrapping_add(other.connections_opened);
        self.connections_closed = self.connections_closed.wrapping_add(other.connections_closed);
        self.bytes_in = self.bytes_in.wrapping_add(other.bytes_in);
        self.bytes_out = self.bytes_out.wrapping_add(other.bytes_out);
        self.connections_failed = self.connections_failed.wrapping_add(other.connections_failed);
        self.requests = self.requests.wrapping_add(other.requests);
    }
}

/// Whether a listener's socket is open on this worker (`operStatus`, `connectionMsg`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperStatus {
    /// Open: clients are accepted.
    Up {
        /// Where; the port that the system chose when 0 was configured.
        local: Vec<SocketAddr>,
    },
    /// Closed because no address of the listener has a server: clients are refused.
    Unreachable,
    /// The socket could not be opened; it is tried again.
    Failed {
        /// What the system said.
        message: String,
    },
    /// Closed because the router is draining.
    Draining,
}

/// One listener on one worker.
#[derive(Debug, Clone)]
pub struct ListenerStatus {
    /// Its name.
    pub name: String,
    /// Whether it accepts.
    pub oper: OperStatus,
    /// What it counted.
    pub totals: Totals,
    /// Its `listenerAddress` entities: how many connections reached a server of each.
    pub addresses: Vec<(String, u64)>,
}

/// One connector on one worker.
#[derive(Debug, Clone)]
pub struct ConnectorStatus {
    /// Its name.
    pub name: String,
    /// What it counted.
    pub totals: Totals,
}

/// A socket of a flow at one moment.
#[derive(Debug, Clone)]
pub struct SocketStatus {
    /// Its number, unique among connections of the router.
    pub id: u64,
    /// A connector made it.
    pub outgoing: bool,
    /// The client's address, or what the connector connects to.
    pub peer: String,
    /// The name of the listener or connector.
    pub name: String,
    /// The address that the flow is for; empty for a listener that has several.
    pub address: String,
    /// Since when it exists.
    pub since: Instant,
    /// Version of TLS, cipher suite and its bits.
    pub tls: Option<(&'static str, &'static str, u32)>,
    /// Application bytes that were read from it.
    pub bytes_in: u64,
    /// Application bytes that were written to it.
    pub bytes_out: u64,
}

/// Everything that control wants to know of one worker's adaptor, taken at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Sorted by name.
    pub listeners: Vec<ListenerStatus>,
    /// Sorted by name.
    pub connectors: Vec<ConnectorStatus>,
    /// Flows that are open now, those still connecting included.
    pub flows: usize,
    /// Of these, how many are known to carry HTTP/1 and HTTP/2: those that are observed.
    pub http: [usize; 2],
}
