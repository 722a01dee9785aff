//! Commands about connections and sessions, and what can be asked about links.

use super::growth::Growth;
use super::{Connection, LinkId, SessionId};
use crate::{
    Error,
    performative::{Close, End, ReceiverSettleMode, Role, SenderSettleMode},
    session::SessionState,
};

/// Why a command was not carried out. The owner's fault, or a limit that both sides agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The session is gone.
    #[error("the session is gone")]
    NoSession,
    /// Neither side's channel-max allows another session.
    #[error("no channel is left")]
    NoChannel,
    /// The peer's handle-max allows no other link in the session.
    #[error("no handle is left")]
    NoHandle,
    /// [`super::Limits::links`] is reached.
    #[error("too many links")]
    TooManyLinks,
    /// A link of that name and role is attached.
    #[error("the link name is in use")]
    NameInUse,
    /// The connection is closed.
    #[error("the connection is closed")]
    Closed,
}

impl Connection {
    /// Sends `open`. Clients do so by themselves. Repeated calls do nothing.
    pub fn open(&mut self) {
        if self.phase.is_amqp() {
            self.send_open();
        }
    }

    /// Changes the largest frame and the highest channel that our open allows. Without effect once it was sent.
    pub fn set_open_limits(&mut self, max_frame_size: Option<u32>, channel_max: Option<u16>) {
        if !self.open.sent {
            let most = max_frame_size.unwrap_or(self.max_frame_size);
            self.max_frame_size = most.max(crate::frame::MIN_MAX_FRAME_SIZE);
            self.channel_max = channel_max.unwrap_or(self.channel_max);
        }
    }

    /// How many sessions of the peer's there may be at a time. Those beyond are ended as soon as they begin, which [`super::Event::SessionEnded`] tells.
    pub fn set_max_sessions(&mut self, most: u32) {
        self.max_sessions = Some(most);
    }

    /// Closes the connection with its sessions and links; what waits is sent before. [`super::Event::Closed`] comes with the peer's answer. Before AMQP was agreed on,
    /// the connection is just over.
    pub fn close(&mut self, error: Option<Error>) {
        if self.closed.is_some() || self.open.close_sent {
            return;
        }
        if !self.phase.is_amqp() && !self.open.sent {
            self.finish_later(super::Closed { by: super::Initiator::Local, error });
            return;
        }
        self.write_pending();
        self.send_open();
        self.open.close_sent = true;
        self.write_cold(0, &Close { error: error.clone() });
        self.close_error = error.map(Box::new);
        self.drop_all();
    }

    /// Sets how much content a session that begins from now on may have on its way to us before it was passed on, in bytes; see
    /// [`Limits::session_bytes`].
    ///
    /// [`Limits::session_bytes`]: super::Limits::session_bytes
    pub fn set_session_limits(&mut self, bytes: u32) {
        self.limits.session_bytes = bytes;
        self.limits.first_window_bytes = bytes;
    }

    /// The peer is one whose windows are worth more memory: those of sessions that begin from now on grow to at most `most` bytes, with what
    /// arrives in a round trip and is passed on. The peer is asked for an answer to know how long that takes. To be called again when the
    /// bound changes.
    pub fn grow_sessions(&mut self, most: u32) {
        self.limits.session_most = most;
        if self.growth.is_none() {
            self.growth = Some(Box::new(Growth::new(self.timers.last_input())));
        }
    }

    /// Begins a session. [`super::Event::SessionBegun`] comes with the peer's answer, links may be attached at once.
    ///
    /// # Errors
    /// If no channel is left or the connection is closed.
    pub fn begin(&mut self) -> Result<SessionId, CommandError> {
        if self.closed.is_some() || self.open.close_sent || !self.open.sent {
            return Err(CommandError::Closed);
        }
        let index = self.new_session().ok_or(CommandError::NoChannel)?;
        self.write_begin(index, None);
        Ok(self.session_id(index))
    }

    /// Ends a session and all its links. There is no event for it, nor for its links.
    pub fn end(&mut self, session: SessionId, error: Option<Error>) {
        if self.session(session).is_none_or(|s| s.state == SessionState::EndSent) {
            return;
        }
        let index = usize::from(session.index);
        self.write_session(index);
        let lost: Vec<usize> = self.links.iter().filter(|(_, l)| l.session == session.index).map(|(i, _)| i).collect();
        for link in lost {
            self.remove_link(link);
        }
        self.write_cold(session.index, &End { error });
        if let Some(session) = self.session_mut(session) {
            session.state = SessionState::EndSent;
        }
    }

    /// The owner's token of a link; `None` if it is gone.
    pub fn link_user(&self, link: LinkId) -> Option<u64> {
        self.link(link).map(|l| l.user)
    }

    /// Sets the owner's token of a link, which its events carry.
    pub fn set_link_user(&mut self, link: LinkId, user: u64) {
        if let Some(link) = self.link_mut(link) {
            link.user = user;
        }
    }

    /// The session of a link.
    pub fn link_session(&self, link: LinkId) -> Option<SessionId> {
        self.link(link).map(|l| self.session_id(usize::from(l.session)))
    }

    /// True if we are the sender on a link. Known even when the link is gone.
    pub fn is_sender(&self, link: LinkId) -> bool {
        link.role() == Role::Sender
    }

    /// The name of a link.
    pub fn link_name(&self, link: LinkId) -> Option<&str> {
        self.link(link).map(|l| l.name.as_str())
    }

    /// The settle modes that a link negotiated: how the sender settles, how the receiver does.
    pub fn link_modes(&self, link: LinkId) -> Option<(SenderSettleMode, ReceiverSettleMode)> {
        self.link(link).map(|l| (l.snd_mode, l.rcv_mode))
    }

    /// True if both sides have attached a link and neither has detached it.
    pub fn is_attached(&self, link: LinkId) -> bool {
        self.link(link).is_some_and(super::Link::is_attached)
    }

    /// Credit of a link: what we may send, or what the sender has and will have after the next flow.
    pub fn link_credit(&self, link: LinkId) -> u32 {
        self.link(link).map_or(0, |l| l.credit.saturating_add(l.grant))
    }

    /// Deliveries of a link that nobody has settled.
    pub fn unsettled(&self, link: LinkId) -> u32 {
        self.link(link).map_or(0, |l| l.unsettled)
    }

    /// Transfer frames that the peer takes in a session now.
    pub fn window(&self, session: SessionId) -> u32 {
        self.session(session).map_or(0, |s| s.window)
    }

    /// Sessions and links that exist, those included that wait for the peer's answer to an end.
    pub fn counts(&self) -> (usize, usize) {
        (self.sessions.len(), self.links.len())
    }
}
