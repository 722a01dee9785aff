//! TCP listeners and connectors of addresses: programs that know nothing of AMQP talk to each other through the router.
//!
//! A [`TcpAdaptor`] belongs to one worker. An accepted client, the server chosen for it and all their bytes stay on that worker, in one
//! task that owns both sockets: what is read from one is written to the other from the worker's read block. Ends, resets and
//! back-pressure of either side reach the other as if they were connected directly; nothing that failed is ever passed on as an end.
//!
//! `router_core::Core` knows connectors as servers of their address. It decides which of them is next, and tells whether a listener's
//! address has any: only then is the listener's socket open.
#![forbid(unsafe_code)]

mod adaptor;
mod config;
mod connector;
mod directory;
mod error;
mod far;
mod flow;
mod greeting;
mod group;
mod listener;
mod record;
mod relay;
mod side;
mod stats;
mod sweep;
mod tap;
mod targets;

pub use adaptor::TcpAdaptor;
pub use config::{ConnectorConfig, FlowOptions, ListenerAddressConfig, ListenerConfig, MultiAddressStrategy};
pub use directory::Directory;
pub use error::CommandError;
pub use group::Group;
pub use http_observer::{Request, Wanted};
pub use record::{FlowId, FlowReport};
pub use stats::{ConnectorStatus, ListenerStatus, OperStatus, Snapshot, SocketStatus, Totals};
pub use tap::RequestReport;
