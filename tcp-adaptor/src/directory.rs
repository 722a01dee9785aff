//! What the adaptor asks of its worker's core.

use router_core::{Reachability, ServerInfo, ServerKey, ServerPick, WatchKey};

/// The servers of addresses, as `router_core::Core` keeps them.
///
/// Some of the core's methods need an `Egress`, because a server may be what an AMQP sender waits for. The worker's owner has one
/// and implements this by borrowing the core (and passing on what it owes afterwards). Each method means the `Core` method of the
/// same name. Implementations must not call the adaptor back.
pub trait Directory {
    /// An address has one server more. `None` if the address is no address.
    fn add_server(&self, address: &str, info: ServerInfo) -> Option<ServerKey>;
    /// The server takes no new connections.
    fn remove_server(&self, server: ServerKey);
    /// Chooses a server and counts a connection for it.
    fn pick_server(&self, address: &str, exclude: &[ServerKey]) -> Option<ServerPick>;
    /// That connection is closed, or came to nothing.
    fn server_closed(&self, server: ServerKey);
    /// Asks to be told, with this token, whether the address has a server. `None` if the address is no address.
    fn watch(&self, address: &str, token: u64) -> Option<WatchKey>;
    /// No longer.
    fn unwatch(&self, watch: WatchKey);
    /// The next change, until there is none.
    fn poll_reachability(&self) -> Option<Reachability>;
}
