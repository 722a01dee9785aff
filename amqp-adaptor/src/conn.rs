//! One connection of a worker: its engine, its socket and what the task needs to know.

use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use amqp_proto::Fields;
use amqp_proto::connection::Connection;
use bytes::Bytes;
use router_core::ConnKey;
use transport::Stream;
use transport::sasl::SaslExchange;

use crate::auto_link::AutoLinks;
use crate::client_streams::ClientStreams;
use crate::config::{ClientAnnotations, Identity, ListenerConfig};
use crate::connector::Dial;
use crate::neighbour::{ConnectionRole, Neighbour};
use crate::placement::Place;
use crate::test_addresses::TestLinks;

/// How a connection came about.
#[derive(Debug)]
pub(crate) enum Origin {
    /// We accepted it.
    Listener(Arc<ListenerConfig>),
    /// We made it.
    Connector(Rc<Dial>),
}

impl Origin {
    /// The name of the listener or connector.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Listener(config) => &config.name,
            Self::Connector(dial) => &dial.run.config.name,
        }
    }

    /// The role as it was configured.
    pub(crate) fn role(&self) -> ConnectionRole {
        match self {
            Self::Listener(config) => config.role,
            Self::Connector(dial) => dial.run.role(dial.part),
        }
    }

    /// The cost as it was configured.
    pub(crate) fn cost(&self) -> u32 {
        match self {
            Self::Listener(config) => config.cost.get(),
            Self::Connector(dial) => dial.run.config.cost.get(),
        }
    }

    /// How long the peer may take to answer, if somebody set it.
    pub(crate) fn handshake_timeout(&self) -> Option<std::time::Duration> {
        match self {
            Self::Listener(config) => config.handshake_timeout,
            Self::Connector(dial) => dial.run.config.handshake_timeout,
        }
    }

    /// The credit for each sender, if somebody set it.
    pub(crate) fn link_capacity(&self) -> Option<u32> {
        match self {
            Self::Listener(config) => config.link_capacity,
            Self::Connector(dial) => dial.run.config.link_capacity,
        }
    }

    /// What the peer has to do with annotations, if it is a client.
    pub(crate) fn annotations(&self) -> ClientAnnotations {
        match self {
            _ if self.role().is_router() || self.role() == ConnectionRole::InterNetwork => ClientAnnotations::default(),
            Self::Listener(config) => config.annotations,
            Self::Connector(dial) => dial.run.config.annotations,
        }
    }
}

/// A connection. Its task only waits for the socket; everything else happens in whatever task touches it.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) engine: Connection,
    pub(crate) stream: Stream,
    pub(crate) origin: Origin,
    /// Messages that leave get router annotations in front though the peer is no neighbour: it is a router of another network, or a client that
    /// wants them.
    pub(crate) annotates: bool,
    /// Set once the peer was admitted as a client.
    pub(crate) key: Option<ConnKey>,
    /// Set once the peer was admitted as a router. Nothing of it is known to the core under `key`.
    pub(crate) neighbour: Option<Box<Neighbour>>,
    /// Bytes of AMQP that were read and written, TLS not counted.
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// An incomplete frame at the end of the last read.
    pub(crate) leftover: Vec<u8>,
    pub(crate) waker: Option<Waker>,
    /// Writing failed; what the peer sent before is still read.
    pub(crate) unwritable: bool,
    /// On the worker's list of connections to be written.
    pub(crate) dirty: bool,
    /// The socket took less than there was: the own task waits until it is writable.
    pub(crate) wants_write: bool,
    /// The core was told that there is no room; it wants to know when there is.
    pub(crate) starved: bool,
    /// The socket failed or the peer hung up: nothing can be written any more.
    pub(crate) broken: bool,
    /// The protocol is over: our direction ends once everything was written.
    pub(crate) ending: bool,
    /// The peer sends nothing more that matters. Until then a connection that is ending is read and what comes thrown away: closing a
    /// socket with unread input resets it, and the peer might never see why.
    pub(crate) input_ended: bool,
    /// Frames are logged (or not) for this connection, whatever is for others.
    pub(crate) traced: Option<bool>,
    pub(crate) details: Box<Details>,
}

/// What is needed rarely.
#[derive(Debug)]
pub(crate) struct Details {
    pub(crate) id: u64,
    pub(crate) peer: Rc<str>,
    pub(crate) opened: Instant,
    pub(crate) identity: Identity,
    /// The exchange with a client that has a user checked.
    pub(crate) sasl: Option<Rc<SaslExchange>>,
    pub(crate) container: String,
    /// What the peer's open says about it, for management.
    pub(crate) properties: Option<Fields>,
    /// Links for streams, if the peer is a client that has had one.
    pub(crate) streams: Option<Box<ClientStreams>>,
    /// Links to addresses for tests, if the peer has had one.
    pub(crate) test_links: Option<Box<TestLinks>>,
    /// Set once the peer of a connection that may have some has opened.
    pub(crate) auto_links: Option<Box<AutoLinks>>,
    #[expect(dead_code, reason = "counts the connection until it is dropped")]
    pub(crate) place: Place,
    /// When a closing connection is given up although the peer did not take everything, or did not end its direction.
    pub(crate) end_by: Option<Instant>,
    /// Why the connection ended, or is about to.
    pub(crate) reason: Option<String>,
    /// Up to where the output was logged, as [`amqp_proto::output::Output::queued`] counts.
    pub(crate) told: u32,
}

impl Conn {
    /// Keeps what is left of a block behind `pos`. A buffer of its own size: an incomplete frame must not pin a read block.
    pub(crate) fn keep_rest(&mut self, block: &Bytes, pos: usize) {
        let rest = block.get(pos..).unwrap_or_default();
        if rest.is_empty() {
            if self.leftover.capacity() > 0 {
                self.leftover = Vec::new();
            }
        } else {
            self.leftover.clear();
            self.leftover.extend_from_slice(rest);
        }
    }
}
