//! Links for streams: one delivery at a time on each, so that streams do not wait for each other.

use std::collections::HashMap;

use amqp_proto::Role;
use amqp_proto::connection::{CommandError, Connection, LinkId, SessionId};
use router_core::LinkRef;

use super::{ConnectionRole, LinkPurpose, Neighbour, NeighbourConn, NeighbourLinkTable, links};
use crate::egress::Conns;
use crate::worker::{AmqpAdaptor, Inner};

/// Sessions for links of streams toward our own routers, so that each stream has a window of its own. Beyond it they share.
const SESSIONS: usize = 256;

/// Links of ours for streams on one connection.
#[derive(Debug, Default)]
pub(crate) struct StreamLinks {
    /// Their sessions, and how many links each has.
    sessions: Vec<(SessionId, usize)>,
    links: HashMap<u32, StreamLink>,
}

#[derive(Debug)]
struct StreamLink {
    session: SessionId,
    /// The worker that asked for it, until it has credit.
    asker: Option<u16>,
}

impl StreamLinks {
    /// A session for one more link: one that has none, or else a new one, or the one with the fewest. The reference has one session for all
    /// streams of a connection. Ours have a window for each stream.
    fn session(&mut self, engine: &mut Connection, ours: bool) -> Result<SessionId, CommandError> {
        let most = if ours { SESSIONS } else { 1 };
        let fewest = self.sessions.iter().min_by_key(|(_, links)| *links).copied();
        match fewest {
            Some((session, links)) if links == 0 || self.sessions.len() >= most => Ok(session),
            _ => {
                let session = engine.begin()?;
                self.sessions.push((session, 0));
                Ok(session)
            }
        }
    }

    fn attaching(&mut self, link: LinkId, session: SessionId, asker: Option<u16>) {
        self.links.insert(link.to_u32(), StreamLink { session, asker });
        self.count(session, 1);
    }

    fn count(&mut self, session: SessionId, change: isize) {
        if let Some((_, links)) = self.sessions.iter_mut().find(|(other, _)| *other == session) {
            *links = links.saturating_add_signed(change);
        }
    }

    /// A link has credit: answers who asked for it, once.
    pub(crate) fn usable(&mut self, link: LinkId) -> Option<u16> {
        self.links.get_mut(&link.to_u32())?.asker.take()
    }

    /// A link is gone. Answers who waits for it.
    pub(crate) fn gone(&mut self, link: LinkId) -> Option<u16> {
        let gone = self.links.remove(&link.to_u32())?;
        self.count(gone.session, -1);
        gone.asker
    }

    pub(crate) fn session_ended(&mut self, session: SessionId) {
        self.sessions.retain(|(other, _)| *other != session);
    }

    /// The connection is gone: those who wait for a link.
    pub(crate) fn askers(&self) -> impl Iterator<Item = u16> {
        self.links.values().filter_map(|link| link.asker)
    }
}

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
        self.attach_stream(conn, None)
    }

    fn attach_stream(&mut self, conn: u32, asker: Option<u16>) -> Result<LinkRef, StreamLinkError> {
        let entry = self.get(conn).ok_or(StreamLinkError::NoConnection)?;
        let neighbour = entry.neighbour.as_mut().filter(|n| !n.retired).ok_or(StreamLinkError::NoConnection)?;
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
        let session = neighbour.streams.session(&mut entry.engine, neighbour.info.ours)?;
        let attach = links::attach(purpose, Role::Sender, &neighbour.names.next());
        let link = entry.engine.attach(session, attach, LinkPurpose::Stream.token())?;
        neighbour.links.attaching(LinkPurpose::Stream, Role::Sender, link);
        neighbour.streams.attaching(link, session, asker);
        if let Some(edge) = neighbour.edge.as_mut() {
            edge.stream(link);
        }
        self.touch(conn);
        Ok(LinkRef { conn, link: link.to_u32() })
    }
}

impl Neighbour {
    /// What the core calls this neighbour: the router, or with an edge router at one end the connection.
    pub(crate) fn hop(&self) -> String {
        match &self.edge {
            Some(_) => format!("!{}", self.info.conn.id),
            None => self.info.container.clone(),
        }
    }

    /// The core has ended a link.
    pub(crate) fn link_ended(&mut self, link: LinkId, purpose: LinkPurpose) {
        self.unwanted.retain(|other| *other != link);
        if let Some(edge) = self.edge.as_mut() {
            edge.ended(link);
        }
        if purpose == LinkPurpose::Stream {
            self.links.gone(purpose, link);
            self.streams.gone(link);
        }
    }
}

impl Inner {
    /// Attaches one more link for streams on a connection of this worker, because another worker, or this one, asked for it. If one is free,
    /// that one will do.
    pub(super) fn open_stream(&self, key: NeighbourConn, hop: &str, asker: u16) {
        let refused = {
            let mut core = self.core.borrow_mut();
            let mut conns = self.conns.borrow_mut();
            // What the other wanted of ours it may have got by now.
            self.take_mail(&mut core, &mut conns);
            let here = conns.get(key.slot).is_some_and(|conn| conn.details.id == key.id);
            let opened = match here {
                true if core.has_free_stream(hop) => None,
                true => Some(conns.attach_stream(key.slot, Some(asker))),
                false => Some(Err(StreamLinkError::NoConnection)),
            };
            match opened {
                Some(Ok(_)) => None,
                // Without this connection there may be another.
                None | Some(Err(StreamLinkError::NoConnection)) => {
                    conns.streams_answered.push((hop.to_owned(), asker));
                    None
                }
                Some(Err(error)) => Some(error),
            }
        };
        self.write_dirty();
        if let (Some(error), Some(neighbours)) = (refused, self.neighbours.get()) {
            tracing::debug!(target: "ROUTER_CORE", "[C{}] No link for a stream: {error}", key.id);
            neighbours.no_stream(hop, asker);
        }
    }

    /// Streams for a neighbour that wait here get no link. `asked`: this is the answer to a request.
    pub(super) fn no_stream(&self, hop: &str, asked: bool) {
        {
            let mut core = self.core.borrow_mut();
            let mut conns = self.conns.borrow_mut();
            self.take_mail(&mut core, &mut conns);
            core.no_stream(hop, &mut *conns);
            if asked {
                core.stream_answered(hop, &mut *conns);
            }
            core.end_batch(&mut *conns);
        }
        self.write_dirty();
    }

    /// A link for streams that was asked for here came, or will not, and others may.
    pub(super) fn stream_answered(&self, hop: &str) {
        {
            let mut core = self.core.borrow_mut();
            let mut conns = self.conns.borrow_mut();
            self.take_mail(&mut core, &mut conns);
            core.stream_answered(hop, &mut *conns);
            core.end_batch(&mut *conns);
        }
        self.write_dirty();
    }
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
