//! The hook that a policy hangs on: asked at connection, attach and route.

use std::fmt;

use amqp_proto::condition;

/// Who a connection is, as far as its adaptor knows. `Core` passes it on to the [`Policy`] and keeps what is not about who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnInfo {
    /// The peer's container id.
    pub container: String,
    /// The authenticated user.
    pub user: Option<String>,
    /// The peer's host, without port.
    pub host: Option<String>,
    /// The virtual host (`hostname` of open) that the peer asked for.
    pub vhost: Option<String>,
    /// Credit for each sender of this connection (`linkCapacity`), if somebody set it. Without it, capacity adapts.
    pub link_capacity: Option<u32>,
    /// What it is.
    pub kind: ConnKind,
    /// A client that takes streams on links of their own (`qd.streaming-links`), which its adaptor attaches.
    pub streaming_links: bool,
    /// A client whose annotations are read, not only taken off (`stripAnnotations` without `in`).
    pub reads_annotations: bool,
    /// A client that gets annotations in front of its messages (`stripAnnotations` without `out`). Its adaptor leaves them off for all others.
    pub gives_annotations: bool,
}

/// What the peer of a connection is, as far as deliveries are counted apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConnKind {
    /// A client.
    #[default]
    Client,
    /// A broker, or another container of addresses.
    Container,
    /// A router of another network.
    Network,
}

/// Whether a link sends to us or receives from us, or which way a terminus faces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// The client sends: an inlet.
    In,
    /// The client receives: an outlet.
    Out,
}

/// What a link is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminus<'a> {
    /// This address, as the peer wrote it.
    Address(&'a str),
    /// No address. For an inlet: each message says where it goes. An outlet cannot be anonymous.
    Anonymous,
    /// The router is asked to make an address up.
    Dynamic,
}

/// Why something is refused: an error condition of AMQP and words for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such address, or nobody may use it. `amqp:not-found`
    #[error("{0}")]
    NotFound(&'static str),
    /// The policy says no. `amqp:unauthorized-access`
    #[error("{0}")]
    Unauthorized(String),
    /// A limit was reached. `amqp:resource-limit-exceeded`
    #[error("{0}")]
    LimitExceeded(String),
    /// The peer asked for something senseless. `amqp:invalid-field`
    #[error("{0}")]
    Invalid(&'static str),
}

impl Refusal {
    /// The error condition for the peer.
    pub const fn condition(&self) -> &'static str {
        match self {
            Self::NotFound(_) => condition::NOT_FOUND,
            Self::Unauthorized(_) => condition::UNAUTHORIZED_ACCESS,
            Self::LimitExceeded(_) => condition::RESOURCE_LIMIT_EXCEEDED,
            Self::Invalid(_) => condition::INVALID_FIELD,
        }
    }
}

/// Who may connect, attach and send where. Shared by all workers.
///
/// The number that [`connection`](Self::connection) answers is handed back with every later question about that connection, so
/// a policy can resolve user and host to its own rule set once.
pub trait Policy: fmt::Debug + Send + Sync {
    /// May this connection be open? Answers the policy's own number for it.
    fn connection(&self, info: &ConnInfo) -> Result<u64, Refusal> {
        let _ = info;
        Ok(0)
    }

    /// The connection went away.
    fn connection_closed(&self, group: u64) {
        let _ = group;
    }

    /// May a link be attached?
    fn attach(&self, group: u64, direction: Direction, terminus: Terminus<'_>) -> Result<(), Refusal> {
        let _ = (group, direction, terminus);
        Ok(())
    }

    /// May an anonymous sender send a message to this address? Asked once per message, before it is routed.
    fn route(&self, group: u64, address: &str) -> Result<(), Refusal> {
        let _ = (group, address);
        Ok(())
    }
}

/// The policy that allows everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAll;

impl Policy for AllowAll {}
