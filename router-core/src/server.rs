//! Servers (TCP, HTTP) of addresses, and those who want to know whether an address can be reached.

use std::sync::{Arc, atomic::AtomicU32};

use crate::ServerKey;

/// A server of an address. Every worker adds it to its core, with the same counter.
#[derive(Clone, Debug)]
pub struct ServerInfo {
    /// Open connections of all workers.
    pub open: Arc<AtomicU32>,
    /// How many connections it should carry compared with others, at least 1.
    pub weight: u32,
    /// The adaptor's own number; comes back in [`ServerPick`].
    pub token: u64,
}

/// The server that was chosen. Its count of open connections went up by one; [`Core::server_closed`](crate::Core::server_closed) takes it down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerPick {
    /// The server.
    pub key: ServerKey,
    /// The adaptor's own number.
    pub token: u64,
}

/// An address became reachable, or is not any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reachability {
    /// Which watch.
    pub watch: crate::WatchKey,
    /// The adaptor's own number.
    pub token: u64,
    /// Somebody serves the address now.
    pub reachable: bool,
}
