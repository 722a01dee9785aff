//! Links for streams: one delivery at a time on each, so that streams do not wait for each other.

use amqp_proto::Role;
use amqp_proto::connection::{CommandError, Connection, SessionId};
use router_core::LinkRef;

use super::{ConnectionRole, LinkPurpose, Neighbour, NeighbourConn, NeighbourLinkTable, links};
use crate::egress::Conns;
use crate::worker::AmqpAdaptor;

/// Sessions for links of streams toward our own routers, so that each stream has a window of its own. Beyond it they share.
const SESSIONS: usize = 256;

/// Why there is no other link for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamLinkError {
    /// The connection is gone, or none to a router.
    #[error("there is no such connection to a router")]
    NoConnection,
    /// The peer did not offer `qd.streaming-links`.
    #[error("the neighbour takes no links for streams")]
    NotOffered,
    /// The links of all priorities come first: their order says what they are.
    #[error("the connection's links for messages are not attached yet")]
    NotReady,
    /// A limit of the connection was reached.
    #[error("the connection takes no other link: {0}")]
    Full(#[from] CommandError),
}

impl Conns {
    /// The links of a connection to a router, for the forwarding plane. `None` for other connections.
    #[must_use]
    pub fn neighbour_links(&self, conn: u32) -> Option<NeighbourLinkTable> {
        Some(self.slab.get(conn as usize)?.neighbour.as_ref()?.table())
    }

    /// Attaches one more link on which we send streams. It can be used when [`NeighbourLinks::attached`](super::NeighbourLinks::attached)
    /// and [`credit`](super::NeighbourLinks::credit) were called for it; it ends with [`Egress::detach`](router_core::Egress::detach).
    ///
    /// # Errors
    /// [`StreamLinkError`] says why there is none.
    pub fn open_stream_link(&mut self, conn: u32) -> Result<LinkRef, StreamLinkError> {
        let entry = self.get(conn).ok_or(StreamLinkError::NoConnection)?;
        let neighbour = entry.neighbour.as_mut().ok_or(StreamLinkError::NoConnection)?;
        if !neighbour.info.streaming_links {
            return Err(StreamLinkError::NotOffered);
        }
        if neighbour.info.role == ConnectionRole::InterRouter && !neighbour.links.is_complete() {
            return Err(StreamLinkError::NotReady);
        }
        // On the connection for control, whose other links have it too, the capability tells the peer what the link is.
        let purpose = match neighbour.info.role {
            ConnectionRole::InterRouter => LinkPurpose::Data(0),
            _ => LinkPurpose::Stream,
        };
        let session = stream_session(&mut entry.engine, neighbour)?;
        let attach = links::attach(purpose, Role::Sender, &neighbour.names.next());
        let link = entry.engine.attach(session, attach, LinkPurpose::Stream.token())?;
        neighbour.links.attaching(LinkPurpose::Stream, Role::Sender, link);
        if let Some(edge) = neighbour.edge.as_mut() {
            edge.stream(link);
        }
        self.touch(conn);
        Ok(LinkRef { conn, link: link.to_u32() })
    }
}

/// The reference has one session for all streams of a connection. Ours have a window for each stream.
fn stream_session(engine: &mut Connection, neighbour: &mut Neighbour) -> Result<SessionId, CommandError> {
    let most = if neighbour.info.ours { SESSIONS } else { 1 };
    let sessions = &mut neighbour.stream_sessions;
    if sessions.len() < most {
        let session = engine.begin()?;
        sessions.push(session);
        return Ok(session);
    }
    let at = neighbour.links.streams % sessions.len().max(1);
    sessions.get(at).copied().ok_or(CommandError::NoSession)
}

impl AmqpAdaptor {
    /// The links of a connection to a router. `None` if it is gone.
    #[must_use]
    pub fn neighbour_links(&self, conn: NeighbourConn) -> Option<NeighbourLinkTable> {
        let conns = self.0.conns.borrow();
        let neighbour = conns.slab.get(conn.slot as usize)?.neighbour.as_ref()?;
        (neighbour.info.conn == conn).then(|| neighbour.table())
    }

    /// As [`Conns::open_stream_link`], and writes it.
    ///
    /// # Errors
    /// [`StreamLinkError`] says why there is none.
    pub fn open_stream_link(&self, conn: NeighbourConn) -> Result<LinkRef, StreamLinkError> {
        if self.neighbour_links(conn).is_none() {
            return Err(StreamLinkError::NoConnection);
        }
        let link = self.0.conns.borrow_mut().open_stream_link(conn.slot)?;
        self.0.write_dirty();
        Ok(link)
    }
}
