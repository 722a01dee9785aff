//! What a peer did wrong, and what ends because of it.

use std::fmt::Display;

use super::{Closed, Connection, Event, Initiator, SessionId};
use crate::{
    DecodeError, Error, Str, condition,
    frame::FrameError,
    link::LinkState,
    performative::{Close, Detach, End},
    session::SessionState,
};

/// The smallest thing that a broken rule ends.
#[derive(Debug)]
pub(super) enum Fault {
    Connection(Box<Error>),
    Session(usize, Box<Error>),
    Link(usize, Box<Error>),
    /// A link whose peer was told why already: its detach does not repeat it.
    ToldLink(usize, Box<Error>),
}

fn error(condition: &'static str, what: impl Display) -> Box<Error> {
    Box::new(Error::new(condition, Str::from(what.to_string())))
}

impl Fault {
    #[cold]
    pub(super) fn connection(condition: &'static str, what: impl Display) -> Self {
        Self::Connection(error(condition, what))
    }

    #[cold]
    pub(super) fn decode(error: &DecodeError) -> Self {
        Self::Connection(Box::new(Error::from(error)))
    }

    #[cold]
    pub(super) fn session(index: usize, condition: &'static str, what: impl Display) -> Self {
        Self::Session(index, error(condition, what))
    }

    #[cold]
    pub(super) fn link(index: usize, condition: &'static str, what: impl Display) -> Self {
        Self::Link(index, error(condition, what))
    }
}

impl From<DecodeError> for Fault {
    #[cold]
    fn from(error: DecodeError) -> Self {
        Self::decode(&error)
    }
}

impl From<FrameError> for Fault {
    #[cold]
    fn from(error: FrameError) -> Self {
        Self::connection(condition::CONNECTION_FRAMING_ERROR, error)
    }
}

impl Connection {
    /// Ends what a fault is about, tells the peer why, and returns the event for the owner.
    #[cold]
    pub(super) fn fail(&mut self, fault: Fault) -> Option<Event> {
        match fault {
            Fault::Connection(error) => Some(self.fail_connection(*error)),
            Fault::Session(index, error) => self.fail_session(index, error),
            Fault::Link(index, error) => self.fail_link(index, error, false),
            Fault::ToldLink(index, error) => self.fail_link(index, error, true),
        }
    }

    fn fail_connection(&mut self, error: Error) -> Event {
        if self.phase.is_amqp() && !self.open.close_sent {
            self.write_pending();
            self.send_open();
            self.open.close_sent = true;
            self.write_cold(0, &Close { error: Some(error.clone()) });
        }
        self.finish(Closed { by: Initiator::Local, error: Some(error) })
    }

    /// Drops all sessions and links.
    pub(super) fn drop_all(&mut self) {
        self.sessions = slab::Slab::new();
        self.links = slab::Slab::new();
        self.names.clear();
        self.channels = crate::session::table::Table::default();
        self.dirty_links = Vec::new();
        self.dirty_sessions = Vec::new();
        self.pending.clear();
    }

    /// Nothing will follow. Everything that the connection held is dropped.
    pub(super) fn finish(&mut self, closed: Closed) -> Event {
        self.drop_all();
        self.handshake = None;
        self.closed = Some(Box::new(closed.clone()));
        Event::Closed(Box::new(closed))
    }

    /// As [`Connection::finish`] for commands: the event comes with the next call of `handle_input`.
    pub(super) fn finish_later(&mut self, closed: Closed) {
        let event = self.finish(closed);
        self.pending.push_back(event);
    }

    fn fail_session(&mut self, index: usize, error: Box<Error>) -> Option<Event> {
        let id = self.session_id(index);
        self.write_session(index);
        self.write_cold(index as u16, &End { error: Some((*error).clone()) });
        self.sessions.get_mut(index)?.state = SessionState::EndSent;
        self.lose_links(id, Initiator::Local, Some(&error));
        self.pending.push_back(Event::SessionEnded { session: id, by: Initiator::Local, error: Some(error) });
        self.pending.pop_front()
    }

    /// Removes the links of a session that ended, with an event for each.
    pub(super) fn lose_links(&mut self, session: SessionId, by: Initiator, error: Option<&Error>) {
        let lost: Vec<usize> =
            self.links.iter().filter(|(_, l)| l.session == session.index).map(|(index, _)| index).collect();
        for index in lost {
            let link = self.link_id(index);
            let Some(gone) = self.remove_link(index) else {
                continue;
            };
            if gone.state != LinkState::DetachSent {
                let error = error.cloned().map(Box::new);
                self.pending.push_back(Event::Detached {
                    link,
                    role: gone.role,
                    user: gone.user,
                    closed: true,
                    by,
                    error,
                });
            }
        }
    }

    fn fail_link(&mut self, index: usize, error: Box<Error>, told: bool) -> Option<Event> {
        let id = self.link_id(index);
        let link = self.links.get(index)?;
        let (role, user) = (link.role, link.user);
        self.detach_index(index, true, (!told).then(|| (*error).clone()));
        Some(Event::Detached { link: id, role, user, closed: true, by: Initiator::Local, error: Some(error) })
    }

    /// Sends detach and forgets what the link held; it stays until the peer's detach arrives.
    pub(super) fn detach_index(&mut self, index: usize, closed: bool, error: Option<Error>) {
        let Some(link) = self.links.get(index) else {
            return;
        };
        if link.state == LinkState::DetachSent {
            return;
        }
        let session = usize::from(link.session);
        let (role, name) = (link.role, link.name.clone());
        if link.state == LinkState::AttachReceived {
            self.send_refusal(index);
        }
        let Some(link) = self.links.get(index) else {
            return;
        };
        let handle = link.handle;
        self.write_session(session);
        if self.links.get(index).is_some_and(|l| l.peer_handle.is_some()) {
            // Otherwise the name is still needed to recognise the answer to our attach.
            self.names.remove(role, name.as_bytes(), index);
        }
        if !closed {
            self.names.suspend(role, name.as_bytes());
        }
        self.forget_deliveries(index);
        if let Some(link) = self.links.get_mut(index) {
            link.state = LinkState::DetachSent;
        }
        self.write_cold(session as u16, &Detach { handle, closed, error });
    }
}
