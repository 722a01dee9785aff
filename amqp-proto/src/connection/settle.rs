//! Dispositions, in both directions.

use std::time::Instant;

use super::{Connection, Disposed, Disposition, Event, LinkId, SessionId, fault::Fault};
use crate::{
    DeliveryState, condition,
    frame::write_amqp,
    performative::{self, Role},
    session::{ring::Slot, serial::before},
};

impl Connection {
    pub(super) fn on_disposition(
        &mut self,
        channel: u16,
        frame: performative::Disposition,
        now: Instant,
    ) -> Result<Option<Event>, Fault> {
        let Some(index) = self.session_on(channel, "disposition")? else {
            return Ok(None);
        };
        let Some(session) = self.sessions.get(index) else {
            return Ok(None);
        };
        let last = frame.last.unwrap_or(frame.first);
        if before(last, frame.first) {
            return Err(Fault::session(
                index,
                condition::INVALID_FIELD,
                format_args!("disposition.last {last} is before disposition.first {}", frame.first),
            ));
        }
        let outgoing = frame.role == Role::Receiver;
        let ring = if outgoing { &session.outgoing } else { &session.incoming };
        let Some((next, _)) = ring.next(frame.first, last) else {
            // Both sides may settle at the same time, so this is no error.
            self.spend_idle("dispositions of settled deliveries", now)?;
            return Ok(None);
        };
        let generation = session.generation;
        if !frame.settled && frame.state.is_none() {
            self.spend_idle("dispositions that say nothing", now)?;
        }
        Ok(Some(Event::Disposition(Disposition {
            session: SessionId { index: index as u16, generation },
            outgoing,
            settled: frame.settled,
            state: frame.state,
            next,
            last,
            done: false,
        })))
    }

    /// The next delivery that a disposition is about; if the peer settled it, it is forgotten here. `None` when there are no more.
    ///
    /// Must be called until then. Between calls anything may be done with the connection.
    pub fn next_disposed(&mut self, disposition: &mut Disposition) -> Option<Disposed> {
        while !disposition.done {
            let index = usize::from(disposition.session.index);
            let session = self.sessions.get_mut(index).filter(|s| s.generation == disposition.session.generation)?;
            let ring = if disposition.outgoing { &mut session.outgoing } else { &mut session.incoming };
            let Some((id, slot)) = ring.next(disposition.next, disposition.last) else {
                disposition.done = true;
                break;
            };
            disposition.done = id == disposition.last;
            disposition.next = id.wrapping_add(1);
            let auto = slot.flags & Slot::AUTO != 0;
            if disposition.settled || auto {
                ring.take(id);
            }
            let Some(link) = self.links.get_mut(slot.link as usize) else {
                continue;
            };
            if disposition.settled || auto {
                link.unsettled = link.unsettled.saturating_sub(1);
            }
            if auto {
                if !disposition.settled {
                    self.queue_disposition(index, Role::Sender, id, None, true);
                }
                continue;
            }
            let (user, link) = (link.user, link.id(slot.link as usize));
            return Some(Disposed { link, user, delivery_id: id, token: slot.token });
        }
        None
    }

    /// Names an unsettled delivery that was received; the name comes back with its dispositions. False if it is settled.
    pub fn set_incoming_token(&mut self, link: LinkId, delivery_id: u32, token: u64) -> bool {
        let Some(index) = self.link(link).map(|l| usize::from(l.session)) else {
            return false;
        };
        let slot = self
            .sessions
            .get_mut(index)
            .and_then(|s| s.incoming.get_mut(delivery_id))
            .filter(|s| s.link as usize == link.index());
        match slot {
            Some(slot) => {
                slot.token = token;
                true
            }
            None => false,
        }
    }

    /// The owner's name of an unsettled delivery that was received on a link.
    pub fn incoming_token(&self, link: LinkId, delivery_id: u32) -> Option<u64> {
        let session = self.sessions.get(usize::from(self.link(link)?.session))?;
        session.incoming.get(delivery_id).filter(|s| s.link as usize == link.index()).map(|s| s.token)
    }

    /// The owner's name of an unsettled delivery that was sent on a link.
    pub fn outgoing_token(&self, link: LinkId, delivery_id: u32) -> Option<u64> {
        let session = self.sessions.get(usize::from(self.link(link)?.session))?;
        session.outgoing.get(delivery_id).filter(|s| s.link as usize == link.index()).map(|s| s.token)
    }

    /// Tells the sender the state of a delivery that we received, and settles it if `settled`. Written by [`Connection::flush`], in
    /// ranges. False, and nothing is sent, if it is settled already or its link is gone.
    pub fn settle_incoming(
        &mut self,
        link: LinkId,
        delivery_id: u32,
        state: Option<&DeliveryState>,
        settled: bool,
    ) -> bool {
        self.settle(link, Role::Receiver, delivery_id, state, settled)
    }

    /// Tells the receiver the state of a delivery that we sent, and settles it if `settled`, as
    /// [`Connection::settle_incoming`] does.
    pub fn settle_outgoing(
        &mut self,
        link: LinkId,
        delivery_id: u32,
        state: Option<&DeliveryState>,
        settled: bool,
    ) -> bool {
        self.settle(link, Role::Sender, delivery_id, state, settled)
    }

    fn settle(
        &mut self,
        id: LinkId,
        role: Role,
        delivery_id: u32,
        state: Option<&DeliveryState>,
        settled: bool,
    ) -> bool {
        let li = id.index();
        let Some(link) = self.links.get_mut(li).filter(|l| l.id(li) == id) else {
            return false;
        };
        let index = usize::from(link.session);
        let Some(session) = self.sessions.get_mut(index) else {
            return false;
        };
        let ring = if role == Role::Sender { &mut session.outgoing } else { &mut session.incoming };
        if ring.get(delivery_id).is_none_or(|s| s.link as usize != li) {
            return false;
        }
        if settled {
            ring.take(delivery_id);
            link.unsettled = link.unsettled.saturating_sub(1);
        }
        self.queue_disposition(index, role, delivery_id, state, settled);
        true
    }

    fn queue_disposition(&mut self, index: usize, role: Role, id: u32, state: Option<&DeliveryState>, settled: bool) {
        let Some(session) = self.sessions.get_mut(index) else {
            return;
        };
        if let Some(frame) = session.runs.add(role, id, state, settled) {
            self.stats.frames_out += 1;
            self.output.append(64, |out| write_amqp(out, index as u16, &frame, 0));
        }
        if !session.dirty {
            session.dirty = true;
            self.dirty_sessions.push(index as u16);
        }
    }
}
