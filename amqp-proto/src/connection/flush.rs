//! What is written once per batch: dispositions in ranges, and at most one flow per link.

use super::{Connection, LinkId, control::OUTGOING_WINDOW};
use crate::{
    Encode,
    frame::write_amqp,
    performative::{Flow, Role, write_disposition, write_flow},
    session::SessionState,
};

impl Connection {
    /// Writes the dispositions and flows that wait. To be called once after everything that was read, or commanded, in a batch.
    pub fn flush(&mut self) {
        if self.dirty_sessions.is_empty() && self.dirty_links.is_empty() {
            return;
        }
        self.write_pending();
    }

    pub(super) fn write_pending(&mut self) {
        for i in 0..self.dirty_sessions.len() {
            if let Some(&index) = self.dirty_sessions.get(i) {
                self.write_runs(usize::from(index));
            }
        }
        for i in 0..self.dirty_links.len() {
            if let Some(&index) = self.dirty_links.get(i) {
                self.write_link_flow(index as usize);
            }
        }
        self.dirty_links.clear();
        for i in 0..self.dirty_sessions.len() {
            if let Some(&index) = self.dirty_sessions.get(i) {
                self.write_session_flow(usize::from(index));
            }
        }
        self.dirty_sessions.clear();
    }

    /// Writes the dispositions of a session that wait: before something that ends it, or one of its links.
    pub(super) fn write_session(&mut self, index: usize) {
        self.write_runs(index);
    }

    fn write_runs(&mut self, index: usize) {
        let Some(session) = self.sessions.get_mut(index) else {
            return;
        };
        if session.runs.is_empty() || session.state == SessionState::EndSent {
            return;
        }
        for frame in session.runs.take().into_iter().flatten() {
            self.stats.frames_out += 1;
            self.output.append(64, |out| write_disposition(out, index as u16, &frame));
        }
    }

    fn session_flow(&mut self, index: usize, anyway: bool) -> Option<Flow> {
        self.measure_session(index);
        let (max_frame_size, limits) = (self.max_frame_size, self.limits);
        let session = self.sessions.get_mut(index).filter(|s| s.state != SessionState::EndSent)?;
        if !session.extend_window(max_frame_size, &limits, anyway) {
            return None;
        }
        session.echo = false;
        Some(Flow {
            next_incoming_id: session.peer_channel.map(|_| session.next_incoming_id),
            incoming_window: session.incoming_window(),
            next_outgoing_id: session.next_outgoing_id,
            outgoing_window: OUTGOING_WINDOW,
            ..Flow::default()
        })
    }

    fn write_session_flow(&mut self, index: usize) {
        let Some(session) = self.sessions.get_mut(index) else {
            return;
        };
        session.dirty = false;
        let (echo, low, streaming) = (session.echo, session.is_low(), session.streaming);
        // Not with the flow of a link, which may have been written just now: the answer must be one of the session.
        let asks = self.asks_round_trip(index);
        if !echo && !asks && !low {
            return;
        }
        if let Some(mut flow) = self.session_flow(index, echo || asks) {
            flow.echo = asks;
            self.tell_streaming_link(index, streaming, &mut flow);
            self.stats.frames_out += 1;
            self.output.append(64, |out| write_flow(out, index as u16, &flow));
        }
    }

    /// Names the link whose delivery is under way in a flow that opens the window: Proton (0.40) wakes its sender only for flows
    /// that name a link, and would leave a large message half sent.
    fn tell_streaming_link(&mut self, session: usize, link: u32, flow: &mut Flow) {
        let link = self.links.get_mut(link as usize).filter(|l| usize::from(l.session) == session);
        if let Some(link) = link.filter(|l| l.role == Role::Receiver && l.partial && l.is_attached()) {
            link.credit = link.credit.saturating_add(std::mem::take(&mut link.grant));
            flow.handle = Some(link.handle);
            flow.delivery_count = Some(link.delivery_count);
            flow.link_credit = Some(link.credit);
            flow.drain = link.drain;
        }
    }

    fn write_link_flow(&mut self, index: usize) {
        let Some(link) = self.links.get_mut(index) else {
            return;
        };
        if !link.dirty {
            return;
        }
        link.dirty = false;
        // A receiver that lets the sender run down to three quarters before it tells of new credit writes a flow for many deliveries
        // also when they come one by one.
        let worth = link.grant > 0 && (link.grant >= link.credit / 4 || link.drain);
        if !link.is_attached() || !(link.urgent || worth) {
            return;
        }
        link.urgent = false;
        link.credit = link.credit.saturating_add(std::mem::take(&mut link.grant));
        let session = usize::from(link.session);
        let (handle, delivery_count, credit, drain, role) =
            (link.handle, link.delivery_count, link.credit, link.drain, link.role);
        let available = if role == Role::Sender { Some(link.available) } else { None };
        let Some(flow) = self.session_flow(session, true) else {
            return;
        };
        let flow = Flow {
            handle: Some(handle),
            delivery_count: Some(delivery_count),
            link_credit: Some(credit),
            available,
            drain,
            ..flow
        };
        self.stats.frames_out += 1;
        self.output.append(64, |out| write_flow(out, session as u16, &flow));
    }

    /// Writes a frame that is not part of the traffic.
    pub(super) fn write_cold<T: Encode>(&mut self, channel: u16, frame: &T) {
        self.stats.frames_out += 1;
        self.output.append(128, |out| write_amqp(out, channel, frame, 0));
    }

    /// As the receiver, lets the sender begin `n` more deliveries. Written by [`Connection::flush`]; a small addition to much credit
    /// waits until a quarter of it was used up. Takes back a drain that is under way, also with
    /// `n` 0; what the sender gives back because it came too late is told by [`super::Event::Drained`] all the same.
    pub fn grant(&mut self, link: LinkId, n: u32) {
        let Some(l) = self.link_mut(link) else { return };
        if l.role != Role::Receiver || (n == 0 && !l.drain) {
            return;
        }
        l.grant = l.grant.saturating_add(n);
        let urgent = std::mem::take(&mut l.drain);
        self.mark_link(link.index(), urgent);
    }

    /// As the receiver, asks the sender to use its credit at once or give it back, which [`super::Event::Drained`] tells. False if there is
    /// no credit: then nothing is sent, and no event will come.
    pub fn request_drain(&mut self, link: LinkId) -> bool {
        let Some(l) = self.link_mut(link) else {
            return false;
        };
        if l.role != Role::Receiver || (l.credit == 0 && l.grant == 0) {
            return false;
        }
        l.drain = true;
        self.mark_link(link.index(), true);
        true
    }

    /// As the sender, gives the rest of the credit back because there is nothing to send (§2.6.7, drain). Written by
    /// [`Connection::flush`].
    pub fn drained(&mut self, link: LinkId) {
        let Some(l) = self.link_mut(link) else { return };
        if l.role == Role::Sender {
            l.delivery_count = l.delivery_count.wrapping_add(std::mem::take(&mut l.credit));
            l.available = 0;
            self.mark_link(link.index(), true);
        }
    }

    /// As the sender, sets how many deliveries wait (`available`); told with the next flow that is written anyway.
    pub fn set_available(&mut self, link: LinkId, available: u32) {
        if let Some(l) = self.link_mut(link).filter(|l| l.role == Role::Sender) {
            l.available = available;
        }
    }

    /// Counts content of received deliveries that the owner keeps: the session's window is not opened for it.
    pub fn hold(&mut self, link: LinkId, bytes: usize) {
        let index = link.index();
        let Some(session) = self.link(link).map(|link| usize::from(link.session)) else {
            return;
        };
        if let (Some(link), Some(session)) = (self.links.get_mut(index), self.sessions.get_mut(session)) {
            // More than windows allow is not held.
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(u32::MAX - session.held);
            link.held = link.held.saturating_add(bytes);
            session.held += bytes;
        }
    }

    /// Takes back what [`Connection::hold`] counted. When a link goes, all that was held for it is taken back.
    pub fn release(&mut self, link: LinkId, bytes: usize) {
        let index = link.index();
        if self.link(link).is_some() {
            self.release_index(index, bytes);
        }
    }

    pub(super) fn release_index(&mut self, index: usize, bytes: usize) {
        let Some(link) = self.links.get_mut(index) else {
            return;
        };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(link.held);
        link.held -= bytes;
        let index = usize::from(link.session);
        let Some(session) = self.sessions.get_mut(index) else {
            return;
        };
        session.held = session.held.saturating_sub(bytes);
        if session.is_low() {
            self.mark_session(index);
        }
    }
}
