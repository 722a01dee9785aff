//! Servers (TCP, HTTP) of addresses, and those who want to know whether an address can be reached.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32},
};

use crate::{
    ServerKey, WatchKey,
    core::slots::{Key, Slots},
};

/// A server of an address. Every worker adds it to its core, with the same counter.
#[derive(Clone, Debug)]
pub struct ServerInfo {
    /// Open connections of all workers.
    pub open: Arc<AtomicU32>,
    /// How many connections it should carry compared with others; 0 counts as 1.
    pub weight: u32,
    /// The last connection that was tried could not be opened: others are taken first. Shared by all workers, too.
    pub failing: Arc<AtomicBool>,
    /// The adaptor's own number; comes back in [`ServerPick`].
    pub token: u64,
}

/// The server that was chosen. Its count of open connections went up by one; [`Core::server_closed`](crate::Core::server_closed) takes
/// it down.
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
    pub watch: WatchKey,
    /// The adaptor's own number.
    pub token: u64,
    /// Somebody serves the address now.
    pub reachable: bool,
}

#[derive(Debug)]
pub(crate) struct Server {
    /// None: removed, with connections that are still open.
    pub(crate) address: Option<Key>,
    pub(crate) info: ServerInfo,
    /// Connections that this worker opened.
    pub(crate) mine: u32,
}

#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) address: Key,
    pub(crate) token: u64,
}

/// What to tell a watch.
pub(crate) fn reachability_event(watches: &Slots<Watch>, key: Key, reachable: bool) -> Option<Reachability> {
    watches.get(key).map(|watch| Reachability { watch: WatchKey(key), token: watch.token, reachable })
}
