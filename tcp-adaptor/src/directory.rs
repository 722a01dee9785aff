//! What the adaptor asks of its worker's core.

use bytes::Bytes;
use router_core::egress::{DeliveryState, End};
use router_core::{
    FlowPick, InletKey, LinkRef, OutKey, OutletKey, Reachability, ServerInfo, ServerKey, ServerPick, WatchKey,
};

/// The servers of addresses and the flows to other routers, as `router_core::Core` keeps them.
///
/// Most of the core's methods need an `Egress`, which the worker's owner has. It implements this by borrowing the core, and passes on what it
/// owes later: nothing that is called here waits for that, and what the core says about a flow comes through
/// [`TcpAdaptor::egress`](crate::TcpAdaptor::egress). Each method means the `Core` method of the same name unless it says otherwise.
/// Implementations must not call the adaptor's methods back.
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

    /// Chooses a server, and counts a connection for it, or a neighbour.
    fn pick_flow(&self, address: &str, tried: &[ServerKey], hops: &[u32]) -> Option<FlowPick>;
    /// The worker that has links to the neighbour that would get a flow, by its index, if this one has none.
    fn flow_home(&self, _address: &str) -> Option<usize> {
        None
    }
    /// Attaches a link for the answer to a flow. Answers it and its address.
    fn attach_flow(&self, link: LinkRef, hop: u32) -> Option<(OutletKey, String)>;
    /// Begins a stream to a neighbour.
    fn begin_flow(&self, link: LinkRef, address: &str, hop: u32, head: &Bytes) -> Option<InletKey>;
    /// Begins a stream that answers.
    fn begin_reply(&self, link: LinkRef, to: &str, asked: Option<OutletKey>, head: &Bytes) -> Option<InletKey>;
    /// More of a stream that was begun, or its end.
    fn transfer(&self, inlet: InletKey, bytes: &Bytes, end: End);
    /// What became of a stream that came in, or how much of it was passed on.
    fn outcome(&self, delivery: OutKey, state: &DeliveryState, settled: bool);
    /// A link has room for more of its stream.
    fn flow_writable(&self, outlet: OutletKey);
    /// Detaches the links of a flow: what is not complete is aborted, what was not accepted is modified.
    fn close_flow(&self, inlet: Option<InletKey>, outlet: Option<OutletKey>);
}
