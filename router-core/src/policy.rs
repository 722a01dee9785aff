//! Who may connect, attach and send where: limits for everybody, and the rules of vhosts.
//!
//! Rules are compiled when they are configured and never change; [`Policy`] swaps the whole set. A connection is looked up once, when it opens. What it
//! may do from then on is its [`Rights`], which its core keeps: no lock and no lookup for a link or a message.

mod admission;
mod count;
mod hosts;
mod names;
mod rules;
#[cfg(test)]
mod tests;
mod vhost;

use std::{fmt, sync::Arc};

use amqp_proto::condition;

pub use admission::{Admission, Policy, Rights};
pub use count::{Denials, PolicyCounts, VhostStatus};
pub(crate) use rules::conflicts;
pub use vhost::{Group, Vhost, VhostError};

/// What a peer is told whose connection is refused.
pub const CONNECTION_DISALLOWED: &str = "connection disallowed by local policy";
/// What a peer is told whose session is refused.
pub const SESSION_DISALLOWED: &str = "session disallowed by local policy";
/// What a peer is told whose link is refused.
pub const LINK_DISALLOWED: &str = "link disallowed by local policy";
/// What a peer is told whose message is larger than it may be.
pub const OVERSIZE: &str = "Message size exceeded";

/// Who a connection is, as far as its adaptor knows. `Core` passes it on to the [`Policy`] and keeps what is not about who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnInfo {
    /// The peer's container id.
    pub container: String,
    /// Host and port of the peer.
    pub name: String,
    /// The authenticated user.
    pub user: Option<String>,
    /// The peer's host, without port.
    pub host: Option<String>,
    /// The virtual host (`hostname` of open) that the peer asked for.
    pub vhost: Option<String>,
    /// How it came about.
    pub entrance: Entrance,
    /// The `policyVhost` of its listener or connector.
    pub policy_vhost: Option<Arc<str>>,
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

/// How a connection came about, as far as policies tell connections apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Entrance {
    /// It is of another router of the network, or of this one. No policy is asked.
    #[default]
    Network,
    /// A listener took it.
    Listener,
    /// A connector made it.
    Connector,
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
    /// The policy says no.
    #[error(transparent)]
    Denied(Box<Denied>),
    /// The peer asked for something senseless. `amqp:invalid-field`
    #[error("{0}")]
    Invalid(&'static str),
}

/// A decision of the policy. The peer is told little, the log more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub struct Denied {
    /// `amqp:unauthorized-access`, or `amqp:resource-limit-exceeded`.
    pub condition: &'static str,
    /// For the peer.
    pub words: &'static str,
    /// For the log.
    pub why: String,
}

impl Denied {
    /// A limit was reached, or nobody may do that from there.
    fn limit(words: &'static str, why: impl fmt::Display) -> Refusal {
        Self::refusal(condition::RESOURCE_LIMIT_EXCEEDED, words, why)
    }

    /// This user may not do that.
    fn unauthorized(words: &'static str, why: impl fmt::Display) -> Refusal {
        Self::refusal(condition::UNAUTHORIZED_ACCESS, words, why)
    }

    fn refusal(condition: &'static str, words: &'static str, why: impl fmt::Display) -> Refusal {
        Refusal::Denied(Box::new(Self { condition, words, why: why.to_string() }))
    }
}

impl Refusal {
    /// The error condition for the peer.
    pub const fn condition(&self) -> &'static str {
        match self {
            Self::NotFound(_) => condition::NOT_FOUND,
            Self::Denied(denied) => denied.condition,
            Self::Invalid(_) => condition::INVALID_FIELD,
        }
    }
}
