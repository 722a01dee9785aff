//! Transfer frames of ours.

use super::{Connection, End, LinkId, Payload, SendHead, Sent, fault::Fault};
use crate::{
    condition,
    performative::{DeliveryTag, Role, SenderSettleMode, Transfer, write_transfer},
    session::ring::Slot,
};

/// The most that frame header and transfer take: 8 + 3 + 9 for the list, 5 for each number, 10 for the tag, 6 for the rest.
const HEAD: usize = 64;

impl Connection {
    /// Deliveries that may begin on a link now: its credit, or 0 while the session's window is shut or a delivery is not complete.
    pub fn room(&self, link: LinkId) -> u32 {
        let Some(l) = self.link(link) else { return 0 };
        let window = self.sessions.get(usize::from(l.session)).map_or(0, |s| s.window);
        if window == 0 || l.partial || !l.is_attached() || l.role != Role::Sender { 0 } else { l.credit }
    }

    /// What [`Connection::send`] would answer if it could take nothing now: how far the delivery in progress has come.
    pub fn sent_so_far(&self, link: LinkId) -> Sent {
        match self.link(link) {
            Some(l) if l.partial && l.role == Role::Sender => {
                Sent { taken: 0, done: false, started: true, settled: l.settled || l.auto, delivery_id: l.delivery_id }
            }
            _ => Sent::default(),
        }
    }

    /// Sends a part of a delivery, split to the peer's max-frame-size, as far as credit and the session's window allow. Small payloads
    /// are copied, large ones queued by reference.
    ///
    /// The first part begins a delivery (its `head` counts), the following ones continue it until one ends it. What was not taken is
    /// sent by calling again with the rest, after [`super::Event::SessionWindow`] or [`super::Event::Credit`]. On a link that is gone
    /// nothing is taken.
    ///
    /// Aborting takes no payload; a delivery that was not begun is aborted by doing nothing.
    pub fn send(&mut self, id: LinkId, head: &SendHead<'_>, payload: &Payload<'_>, end: End) -> Sent {
        let mut sent = Sent::default();
        let li = id.index();
        let Some(link) = self.links.get_mut(li).filter(|l| l.id(li) == id) else {
            return sent;
        };
        let channel = link.session;
        let Some(session) = self.sessions.get_mut(usize::from(channel)) else {
            return sent;
        };
        if !link.is_attached() || link.role != Role::Sender {
            return sent;
        }
        let payload = if end == End::Aborted { Payload::empty() } else { *payload };
        let room = (self.peer_max_frame_size as usize).saturating_sub(HEAD).max(1);
        let mut first = !link.partial;
        let mut prefix = if first { head.prefix } else { &[] };
        if first {
            if end == End::Aborted || (end == End::More && payload.is_empty()) {
                sent.done = true;
                return sent;
            }
            // All frames that the prefix needs, and one for the payload.
            if link.credit == 0 || (session.window as usize) <= head.prefix.len() / room {
                return sent;
            }
            if session.outgoing.has_old() && session.outgoing.too_old(session.next_delivery_id).is_some() {
                self.end_ambiguous(usize::from(channel));
                return sent;
            }
            link.credit -= 1;
            link.delivery_count = link.delivery_count.wrapping_add(1);
            link.delivery_id = session.next_delivery_id;
            session.next_delivery_id = session.next_delivery_id.wrapping_add(1);
            link.message_format = head.message_format;
            link.settled = match link.snd_mode {
                SenderSettleMode::Settled => true,
                SenderSettleMode::Unsettled => false,
                SenderSettleMode::Mixed => head.settled,
            };
            link.auto = head.settled && !link.settled;
            if !link.settled {
                link.unsettled += 1;
                let flags = if link.auto { Slot::AUTO } else { 0 };
                session.outgoing.insert(link.delivery_id, Slot { token: head.token, link: li as u32, flags });
            }
            link.partial = true;
            self.stats.deliveries_out += 1;
        }
        sent.started = true;
        sent.delivery_id = link.delivery_id;
        sent.settled = link.settled || link.auto;
        loop {
            let rest = payload.len() - sent.taken;
            if rest == 0 && end == End::More && prefix.is_empty() {
                sent.done = true;
                return sent;
            }
            if session.window == 0 {
                return sent;
            }
            let (front, behind) = prefix.split_at(prefix.len().min(room));
            prefix = behind;
            let size = rest.min(room - front.len());
            let last = size == rest && prefix.is_empty() && end != End::More;
            let transfer = Transfer {
                handle: link.handle,
                delivery_id: Some(link.delivery_id),
                delivery_tag: first.then(|| DeliveryTag::from_u64(u64::from(link.delivery_id))),
                message_format: first.then_some(link.message_format),
                settled: Some(link.settled),
                more: !last,
                aborted: end == End::Aborted,
                ..Transfer::default()
            };
            self.output.append(HEAD + front.len() + size.min(crate::output::COPY_LIMIT), |out| {
                write_transfer(out, channel, &transfer, front.len() + size);
                out.extend_from_slice(front);
            });
            let from = payload.start + sent.taken;
            self.output.push_payload(payload.block, from, from + size);
            session.window -= 1;
            session.next_outgoing_id = session.next_outgoing_id.wrapping_add(1);
            self.stats.frames_out += 1;
            sent.taken += size;
            first = false;
            if last {
                sent.done = true;
                link.partial = false;
                if end == End::Aborted && !link.settled && session.outgoing.take(link.delivery_id).is_some() {
                    link.unsettled = link.unsettled.saturating_sub(1);
                }
                return sent;
            }
        }
    }

    /// Ids of deliveries would repeat that of one that was never settled (RFC 1982): the session cannot go on.
    #[cold]
    fn end_ambiguous(&mut self, session: usize) {
        let what = "a delivery was left unsettled for 2^31 deliveries";
        let event = self.fail(Fault::session(session, condition::RESOURCE_LIMIT_EXCEEDED, what));
        if let Some(event) = event {
            self.pending.push_front(event);
        }
    }
}
