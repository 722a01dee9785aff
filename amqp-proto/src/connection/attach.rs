//! Attach and detach, in both directions.

use std::time::Instant;

use super::{Attached, CommandError, Connection, Event, LinkId, SessionId, fault::Fault};
use crate::{
    Error, condition,
    link::{Link, LinkState},
    performative::{Attach, Detach, Role},
    session::SessionState,
};

impl Connection {
    pub(super) fn on_attach(&mut self, channel: u16, attach: Box<Attach>) -> Result<Option<Event>, Fault> {
        let Some(index) = self.session_on(channel, "attach")? else {
            return Ok(None);
        };
        let handle_max = self.limits.links.saturating_sub(1);
        if attach.handle > handle_max {
            return Err(Fault::connection(
                condition::CONNECTION_FRAMING_ERROR,
                format_args!("attach.handle {} is above the handle-max of {handle_max}", attach.handle),
            ));
        }
        if self.sessions.get(index).is_some_and(|s| s.handles.get(attach.handle).is_some()) {
            return Err(Fault::session(
                index,
                condition::SESSION_HANDLE_IN_USE,
                format_args!("attach on handle {}, which is in use", attach.handle),
            ));
        }
        if attach.role == Role::Sender && attach.initial_delivery_count.is_none() {
            return Err(Fault::session(
                index,
                condition::INVALID_FIELD,
                "attach of a sender has no initial-delivery-count",
            ));
        }
        let role = attach.role.other();
        let found = self.names.find(role, attach.name.as_bytes(), |i| {
            self.links.get(i).is_some_and(|l| l.role == role && l.name == attach.name)
        });
        match found {
            Some(li) if self.links.get(li).is_some_and(|l| l.peer_handle.is_none()) => {
                self.on_attach_answer(index, li, attach)
            }
            Some(li) => {
                // §2.6.1: whoever attaches the name last has the link.
                let id = self.link_id(li);
                let user = self.links.get(li).map_or(0, |l| l.user);
                let error = Error::new(condition::LINK_STOLEN, format!("link {} was attached again", attach.name));
                self.detach_index(li, true, Some(error.clone()));
                let stolen = Event::Detached {
                    link: id,
                    role,
                    user,
                    closed: true,
                    by: super::Initiator::Local,
                    error: Some(Box::new(error)),
                };
                let attached = self.new_peer_link(index, attach)?;
                self.pending.extend(attached);
                Ok(Some(stolen))
            }
            None => self.new_peer_link(index, attach),
        }
    }

    fn on_attach_answer(&mut self, session: usize, index: usize, attach: Box<Attach>) -> Result<Option<Event>, Fault> {
        let Some(link) = self.links.get_mut(index) else {
            return Ok(None);
        };
        if usize::from(link.session) != session {
            return Err(Fault::session(
                session,
                condition::NOT_ALLOWED,
                format_args!("link {} is being attached in another session", attach.name),
            ));
        }
        if link.state == LinkState::DetachSent {
            // The owner changed its mind; the peer's detach follows.
            link.peer_handle = Some(attach.handle);
            self.names.remove(attach.role.other(), attach.name.as_bytes(), index);
            if let Some(session) = self.sessions.get_mut(session) {
                session.handles.insert(attach.handle, index);
            }
            return Ok(None);
        }
        link.state = LinkState::Attached;
        self.adopt(session, index, &attach);
        // Credit may have been granted before the answer; its flow could not be written yet.
        self.mark_link(index, false);
        Ok(Some(self.attached_event(session, index, attach, true, false)))
    }

    fn new_peer_link(&mut self, session: usize, attach: Box<Attach>) -> Result<Option<Event>, Fault> {
        let role = attach.role.other();
        let resumed = self.names.resume(role, attach.name.as_bytes());
        let index = match self.new_link(session, attach.name.detached(), role) {
            Ok(index) => index,
            Err(CommandError::NoHandle) => {
                return Err(Fault::session(
                    session,
                    condition::RESOURCE_LIMIT_EXCEEDED,
                    "no handle is left below the peer's handle-max",
                ));
            }
            Err(_) => {
                return Err(Fault::session(
                    session,
                    condition::RESOURCE_LIMIT_EXCEEDED,
                    format_args!("more than {} links on one connection", self.limits.links),
                ));
            }
        };
        self.adopt(session, index, &attach);
        Ok(Some(self.attached_event(session, index, attach, false, resumed)))
    }

    /// Takes over what the peer's attach says.
    fn adopt(&mut self, session: usize, index: usize, attach: &Attach) {
        let Some(link) = self.links.get_mut(index) else {
            return;
        };
        link.peer_handle = Some(attach.handle);
        if link.role == Role::Receiver {
            link.delivery_count = attach.initial_delivery_count.unwrap_or(0);
            link.snd_mode = attach.snd_settle_mode;
        } else {
            link.rcv_mode = attach.rcv_settle_mode;
        }
        if let Some(session) = self.sessions.get_mut(session) {
            session.handles.insert(attach.handle, index);
        }
    }

    fn attached_event(&self, session: usize, index: usize, attach: Box<Attach>, answer: bool, resumed: bool) -> Event {
        let user = self.links.get(index).map_or(0, |l| l.user);
        let (link, session) = (self.link_id(index), self.session_id(session));
        Event::Attached(Box::new(Attached { link, session, user, attach: *attach, answer, resumed }))
    }

    fn new_link(&mut self, session: usize, name: crate::Str, role: Role) -> Result<usize, CommandError> {
        if self.links.len() >= (self.limits.links as usize).min(super::id::MAX_LINKS) {
            return Err(CommandError::TooManyLinks);
        }
        let handle = self.sessions.get_mut(session).and_then(|s| s.take_handle()).ok_or(CommandError::NoHandle)?;
        self.generation = self.generation.wrapping_add(1);
        let mut link = Link::new(name.clone(), role, session as u16, self.generation);
        link.handle = handle;
        if role == Role::Sender {
            link.delivery_count = self.first_id;
        }
        if self.links.capacity() == 0 {
            // Most connections have a link or two; a slab would begin with four.
            self.links.reserve_exact(1);
        }
        let index = self.links.insert(link);
        self.names.insert(role, name.as_bytes(), index);
        Ok(index)
    }

    /// Attaches a link. `attach` says name, role, termini, modes and properties; handle, initial-delivery-count and unsettled are
    /// filled in. The answer comes as [`Event::Attached`]; one without our terminus refuses, and a detach follows it.
    ///
    /// # Errors
    /// If the session is gone, the name is in use, or there may be no more links.
    pub fn attach(&mut self, session: SessionId, attach: Attach, user: u64) -> Result<LinkId, CommandError> {
        let ended = self.session(session).is_none_or(|s| s.state == SessionState::EndSent);
        if ended {
            return Err(CommandError::NoSession);
        }
        let role = attach.role;
        if self
            .names
            .find(role, attach.name.as_bytes(), |i| {
                self.links.get(i).is_some_and(|l| l.role == role && l.name == attach.name)
            })
            .is_some()
        {
            return Err(CommandError::NameInUse);
        }
        let index = self.new_link(usize::from(session.index), attach.name.clone(), role)?;
        if let Some(link) = self.links.get_mut(index) {
            link.state = LinkState::AttachSent;
            link.user = user;
        }
        self.names.resume(role, attach.name.as_bytes());
        self.write_attach(index, attach);
        Ok(self.link_id(index))
    }

    /// Answers [`Event::Attached`] of a link that the peer attached. `attach` says termini, modes and properties; name, handle, role,
    /// initial-delivery-count and unsettled are filled in.
    pub fn accept_attach(&mut self, link: LinkId, attach: Attach, user: u64) {
        let Some(l) = self.link_mut(link) else { return };
        l.user = user;
        if l.state == LinkState::AttachReceived {
            l.state = LinkState::Attached;
            self.write_attach(link.index(), attach);
            // Credit may have been granted before.
            self.mark_link(link.index(), false);
        }
    }

    /// Refuses a link that the peer attached (§2.6.3): answers without our terminus and closes it with `error`.
    pub fn refuse_attach(&mut self, link: LinkId, error: Error) {
        if self.link(link).is_some_and(|l| l.state == LinkState::AttachReceived) {
            self.detach_index(link.index(), true, Some(error));
        }
    }

    /// Detaches a link: with `closed` for ever, else its terminus stays and the name can be attached again. What is unsettled is
    /// forgotten; a delivery sent half is thereby aborted. There is no event for it.
    pub fn detach(&mut self, link: LinkId, closed: bool, error: Option<Error>) {
        if self.link(link).is_some() {
            self.detach_index(link.index(), closed, error);
        }
    }

    fn write_attach(&mut self, index: usize, mut attach: Attach) {
        let Some(link) = self.links.get_mut(index) else {
            return;
        };
        attach.name = link.name.clone();
        attach.handle = link.handle;
        attach.role = link.role;
        attach.unsettled = None;
        attach.incomplete_unsettled = false;
        match link.role {
            Role::Sender => {
                attach.initial_delivery_count = Some(link.delivery_count);
                link.snd_mode = attach.snd_settle_mode;
            }
            Role::Receiver => {
                attach.initial_delivery_count = None;
                link.rcv_mode = attach.rcv_settle_mode;
                link.max_message_size = attach.max_message_size.unwrap_or(0);
            }
        }
        let channel = link.session;
        self.write_cold(channel, &attach);
    }

    /// The attach that goes before the detach of a link that the owner never answered: without our terminus.
    pub(super) fn send_refusal(&mut self, index: usize) {
        self.write_attach(index, Attach::default());
    }

    pub(super) fn on_detach(&mut self, channel: u16, detach: Detach, now: Instant) -> Result<Option<Event>, Fault> {
        let Some(session) = self.session_on(channel, "detach")? else {
            return Ok(None);
        };
        let index = self.attached_link(session, detach.handle, "detach")?;
        self.spend_cycle("links attached and detached", now)?;
        let Some(link) = self.links.get(index) else {
            return Ok(None);
        };
        if link.state == LinkState::DetachSent {
            self.remove_link(index);
            return Ok(None);
        }
        let (id, role, user) = (self.link_id(index), link.role, link.user);
        self.detach_index(index, detach.closed, None);
        self.remove_link(index);
        let error = detach.error.map(Box::new);
        Ok(Some(Event::Detached { link: id, role, user, closed: detach.closed, by: super::Initiator::Peer, error }))
    }

    /// Forgets the unsettled deliveries of a link.
    pub(super) fn forget_deliveries(&mut self, index: usize) {
        self.release_index(index, usize::MAX);
        let Some(link) = self.links.get_mut(index) else {
            return;
        };
        let unsettled = std::mem::take(&mut link.unsettled);
        link.partial = false;
        link.dirty = false;
        link.credit = 0;
        let role = link.role;
        if let Some(session) = self.sessions.get_mut(usize::from(link.session)) {
            let ring = if role == Role::Sender { &mut session.outgoing } else { &mut session.incoming };
            ring.forget(index as u32, unsettled);
        }
    }

    /// Removes a link and gives its handles back.
    pub(super) fn remove_link(&mut self, index: usize) -> Option<Link> {
        self.forget_deliveries(index);
        let link = self.links.try_remove(index)?;
        self.names.remove(link.role, link.name.as_bytes(), index);
        if let Some(session) = self.sessions.get_mut(usize::from(link.session)) {
            session.free_handles.push(link.handle);
            if let Some(handle) = link.peer_handle {
                session.handles.remove(handle);
            }
        }
        Some(link)
    }
}
