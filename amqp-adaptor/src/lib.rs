//! AMQP connections of clients and of other routers, between their sockets and `router-core`. See docs/ARCHITECTURE.md.
//!
//! Each worker has one [`AmqpAdaptor`]. It owns the connections of the worker, lets `amqp_proto::Connection` turn their bytes
//! into events, hands those to the worker's `Core`, and is the `Egress` through which the core answers.

mod attach;
mod auto_link;
mod client_streams;
mod config;
mod conn;
mod connector;
mod drive;
mod egress;
mod inproc;
mod inspect;
mod listener;
mod neighbour;
mod placement;
mod policy;
mod sasl;
mod test_addresses;
mod trace;
mod worker;

pub use auto_link::{AutoLinkConfig, AutoLinkState, AutoLinkStatus};
pub use config::{ClientAnnotations, Cost, Failover, Identity, ListenerConfig, RouterIdentity};
pub use connector::{
    AmqpConnector, ConnectorConfig, ConnectorState, ConnectorStatus, Credentials, DataConnections, Proxy, ProxyConfig,
};
pub use egress::{BESIDE, Conns};
pub use inproc::{ConsumerId, Incoming, MAX_MESSAGE, Report};
pub use inspect::{ConnectionStatus, LinkInfo, NeighbourStatus, TlsStatus};
pub use listener::{AmqpListener, StartError, listen};
pub use neighbour::{
    ConnectionRole, ControlMessage, EdgeCommand, EdgeEvent, GroupView, LinkPurpose, MAX_CONTROL_MESSAGE, NeighbourConn,
    NeighbourEvent, NeighbourInfo, NeighbourLinkTable, NeighbourLinks, Neighbours, PRIORITIES, StreamLinkError,
};
pub use placement::Placement;
pub use worker::{AmqpAdaptor, ConnectionInfo, Mail, Totals};
