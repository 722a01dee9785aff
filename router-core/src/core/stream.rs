//! Outlets take what waits for them, and deliveries that are partly sent go on.

use super::{Core, hops::Pick, routed::Way};
use crate::{
    ConnKey,
    core::slots::Key,
    delivery::{AUTO, Delivery, From, HEAD_SETTLED, LONG, OUT_SETTLED, SENT, STARTED, To},
    distribution::Candidate,
    egress::{Egress, End, Payload, SendHead},
};

/// How far a delivery got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pushed {
    /// To its end.
    Finished,
    /// As far as the link took it.
    Short,
    /// As far as it has arrived.
    Starved,
    /// Nowhere: it may still go elsewhere.
    NotStarted,
}

impl Core {
    /// After short sends: a window or the output of this connection has room again.
    pub fn writable(&mut self, conn: ConnKey, eg: &mut impl Egress) {
        let Some(owner) = self.conns.get_mut(conn.0) else { return };
        let mut blocked = std::mem::take(&mut owner.blocked);
        for o in &blocked {
            if let Some(outlet) = self.outlets.get_mut(*o) {
                outlet.blocked = false;
            }
        }
        for o in blocked.drain(..) {
            self.flush(o, eg);
            self.answer_drain(o, eg);
        }
        if let Some(owner) = self.conns.get_mut(conn.0)
            && owner.blocked.is_empty()
        {
            owner.blocked = blocked;
        }
    }

    /// Sends what an outlet has to send, and then what waits at its address.
    pub(super) fn flush(&mut self, o: Key, eg: &mut impl Egress) {
        loop {
            let Some(outlet) = self.outlets.get_mut(o) else { return };
            if outlet.blocked {
                break;
            }
            if !outlet.current.is_none() {
                let current = outlet.current;
                match self.push(current, o, eg) {
                    Pushed::Finished => continue,
                    Pushed::Short | Pushed::Starved | Pushed::NotStarted => break,
                }
            }
            if outlet.credit == 0 || outlet.queued == 0 {
                break;
            }
            let Some(d) = outlet.queue.pop_front() else {
                outlet.queued = 0;
                break;
            };
            let queued = To::Queued { outlet: o };
            let Some(delivery) = self.deliveries.get_mut(d).filter(|d| d.to == queued) else { continue };
            let lent = matches!(delivery.from, From::Worker { .. });
            delivery.to = To::Outlet { outlet: o, id: 0 };
            settled_meanwhile(delivery);
            outlet.current = d;
            if self.push(d, o, eg) == Pushed::NotStarted {
                if let Some(delivery) = self.deliveries.get_mut(d) {
                    delivery.to = queued;
                }
                if let Some(outlet) = self.outlets.get_mut(o) {
                    outlet.current = Key::NONE;
                    outlet.queue.push_front(d);
                }
                break;
            }
            if let Some(outlet) = self.outlets.get_mut(o) {
                outlet.queued = outlet.queued.saturating_sub(1);
                if lent {
                    outlet.reserved = outlet.reserved.saturating_sub(1);
                }
                if outlet.queued == 0 && outlet.queue.capacity() > 64 {
                    outlet.queue = std::collections::VecDeque::new();
                }
            }
        }
        if self.refresh(o)
            && let Some(outlet) = self.outlets.get(o)
        {
            let address = outlet.address;
            self.pump(address, eg);
            if self.addresses.get(address).is_some_and(|a| !a.wanters.is_empty()) {
                self.serve_wanters(address, eg);
            }
        }
    }

    /// Another router of this network sent it, which is known of its link only: the delivery says nothing any more of where it has been.
    pub(super) fn is_of_router(&self, d: Key) -> bool {
        let Some(From::Inlet { inlet, .. }) = self.deliveries.get(d).map(|d| d.from) else { return false };
        self.inlets.get(inlet).is_some_and(|inlet| inlet.router() && inlet.address.is_none())
    }

    /// Sends deliveries that wait at an address to outlets that are ready.
    pub(super) fn pump(&mut self, address: Key, eg: &mut impl Egress) {
        while let Some(a) = self.addresses.get(address)
            && a.waiting.len() > 0
            && (a.candidates.any_ready() || a.far.is_some() || !self.order.is_empty())
        {
            let (far, near) = (a.far.is_some(), a.candidates.len() > 0);
            let Some(d) = self.front_waiting(address) else { return };
            if !self.order.is_empty()
                && let Some(link) = self.link_in_line(d)
            {
                self.follow(d, link, eg);
                continue;
            }
            // What came from another router chose this one when it arrived: it may have been where else there are destinations.
            let stays = far && near && self.is_of_router(d);
            let Some(from) = self.deliveries.get(d).map(|d| d.from) else { return };
            let pick = if stays { self.select_near(address) } else { self.select(address, &Way::Here, from) };
            match pick {
                Some(Pick::Local(o)) if self.goes_apart(d, o) => {
                    self.leave_waiting(d);
                    self.queue_apart(d, o, eg);
                }
                Some(Pick::Local(o)) => self.assign(d, o, eg),
                Some(Pick::Remote(remote)) => self.lend_out_waiting(remote, d, eg),
                Some(Pick::Far(hop)) => self.forward_waiting(d, hop, eg),
                None => return,
            }
        }
    }

    /// Gives a delivery that waits to an outlet that is ready.
    fn assign(&mut self, d: Key, o: Key, eg: &mut impl Egress) {
        let (Some(outlet), Some(delivery)) = (self.outlets.get_mut(o), self.deliveries.get_mut(d)) else { return };
        // Out of the queue only when it is on its way, so that it keeps its place.
        delivery.to = To::Outlet { outlet: o, id: 0 };
        settled_meanwhile(delivery);
        outlet.current = d;
        let pushed = self.push(d, o, eg);
        if pushed == Pushed::NotStarted {
            if let Some(delivery) = self.deliveries.get_mut(d) {
                delivery.to = To::Waiting;
            }
            if let Some(outlet) = self.outlets.get_mut(o) {
                outlet.current = Key::NONE;
            }
        }
        self.refresh(o);
    }

    /// Sends as much as possible of the delivery that an outlet has as its current one.
    fn push(&mut self, d: Key, o: Key, eg: &mut impl Egress) -> Pushed {
        loop {
            let Some(delivery) = self.deliveries.get(d) else {
                if let Some(outlet) = self.outlets.get_mut(o) {
                    outlet.current = Key::NONE;
                }
                return Pushed::Finished;
            };
            let Some(outlet) = self.outlets.get(o) else { return Pushed::Short };
            let settled = delivery.has(HEAD_SETTLED);
            let head = SendHead {
                message_format: delivery.message_format,
                settled,
                token: if settled { 0 } else { d.to_raw() },
                prefix: self.onwards.at(delivery.onward).and_then(|(_, o)| o.prefix.as_deref()).unwrap_or_default(),
            };
            let started = delivery.has(STARTED);
            let (chunk, last) = match self.next_chunk(d) {
                Some((chunk, last)) => (Some(chunk), last),
                None => (None, true),
            };
            let Some(delivery) = self.deliveries.get(d) else { return Pushed::Short };
            let ended = self.ended(d);
            let end = match ended {
                End::Aborted => End::Aborted,
                End::Complete if last => End::Complete,
                _ if chunk.is_none() && started => return Pushed::Starved,
                _ => End::More,
            };
            let from = delivery.from;
            let whole = chunk.as_ref().filter(|_| end != End::Aborted);
            let payload = match whole {
                Some(chunk) => Payload::new(chunk),
                None => Payload::empty(),
            };
            let payload = match from {
                From::Copy { .. } => payload.skip(delivery.offset as usize),
                _ => payload,
            };
            let sent = eg.send(outlet.link, &head, &payload, end);
            if !started {
                if !sent.started {
                    self.block(o);
                    return Pushed::NotStarted;
                }
                self.begun(d, o, sent.delivery_id, sent.settled);
            }
            self.counters.bytes_out += sent.taken as u64;
            self.pushed(d, sent.taken, sent.taken == payload.len() && whole.is_some(), eg);
            if !sent.done {
                self.block(o);
                return Pushed::Short;
            }
            match end {
                End::Complete => {
                    self.all_sent(d, o, eg);
                    return Pushed::Finished;
                }
                End::Aborted => {
                    self.abort_sent(d, o, eg);
                    return Pushed::Finished;
                }
                End::More if chunk.is_none() => return Pushed::Starved,
                End::More => {}
            }
        }
    }

    /// How far the delivery has arrived; a copy as far as its parent.
    fn ended(&self, d: Key) -> End {
        let Some(delivery) = self.deliveries.get(d) else { return End::Aborted };
        match delivery.from {
            From::Copy { parent } if delivery.ended != End::Aborted => {
                self.deliveries.get(parent).map_or(End::Aborted, |p| p.ended)
            }
            _ => delivery.ended,
        }
    }

    /// The chunk that comes next, and whether it is the last that is here.
    fn next_chunk(&self, d: Key) -> Option<(bytes::Bytes, bool)> {
        let delivery = self.deliveries.get(d)?;
        match delivery.from {
            From::Copy { parent } => self.deliveries.get(parent)?.content.as_ref()?.at(delivery.chunk),
            _ => delivery.content.as_ref()?.front(),
        }
    }

    /// Bytes of the next chunk went out; `all` of them.
    fn pushed(&mut self, d: Key, taken: usize, all: bool, eg: &mut impl Egress) {
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        if let From::Copy { parent } = delivery.from {
            if !all {
                delivery.offset += taken as u32;
                return;
            }
            let chunk = delivery.chunk;
            delivery.chunk += 1;
            delivery.offset = 0;
            let Some(content) = self.deliveries.get_mut(parent).and_then(|p| p.content.as_mut()) else { return };
            let freed = content.pass(chunk);
            return self.freed(parent, freed, eg);
        }
        let Some(content) = delivery.content.as_mut() else { return };
        let freed = if all { content.consume(usize::MAX) } else { content.consume(taken) };
        self.freed(d, freed, eg);
    }

    /// The first part of a delivery went out.
    fn begun(&mut self, d: Key, o: Key, id: u32, settled: bool) {
        let (Some(outlet), Some(delivery)) = (self.outlets.get_mut(o), self.deliveries.get_mut(d)) else { return };
        outlet.credit = outlet.credit.saturating_sub(1);
        outlet.counters.begin(delivery.has(HEAD_SETTLED));
        if outlet.single {
            self.stream_links.began(outlet.address);
        }
        delivery.to = To::Outlet { outlet: o, id };
        delivery.flags |= STARTED;
        let long = delivery.has(LONG);
        if settled && !delivery.has(HEAD_SETTLED) {
            delivery.flags |= AUTO | OUT_SETTLED;
        }
        if let Some(onward) = self.onwards.at_mut(delivery.onward) {
            onward.prefix = None;
        }
        self.left_waiting(d);
        self.list(d, o);
        if long {
            self.keep_link(d, Candidate::Local(o));
        }
    }

    /// An outlet is done with its current delivery.
    pub(super) fn vacate(&mut self, o: Key, eg: &mut impl Egress) {
        let Some(outlet) = self.outlets.get_mut(o) else { return };
        outlet.current = Key::NONE;
        let kept = outlet.kept;
        if outlet.single {
            self.stream_links.ended(outlet.address);
        }
        if kept {
            self.kept_link_rests(Candidate::Local(o), eg);
        }
    }

    /// The abort of a delivery went out: that settles it.
    fn abort_sent(&mut self, d: Key, o: Key, eg: &mut impl Egress) {
        self.vacate(o, eg);
        self.unlist(d, eg);
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        delivery.flags |= SENT | OUT_SETTLED;
        if let From::Copy { parent } = delivery.from {
            return self.copy_done(d, parent, Some(&crate::egress::DeliveryState::modified(true, false)), eg);
        }
        self.retire(d, eg);
    }

    /// The chunks that another worker counts as held and we have.
    pub(super) fn whole_content(&mut self, d: Key) -> Vec<bytes::Bytes> {
        let Some(mut content) = self.deliveries.get_mut(d).and_then(|d| d.content.take()) else { return Vec::new() };
        let charge = content.charge();
        self.counters.bytes_held = self.counters.bytes_held.saturating_sub(charge as u64);
        let chunks = content.take_all();
        self.recycle(content);
        chunks
    }

    /// Content for a delivery whose origin was told that it comes back.
    pub(super) fn store_parked(&mut self, d: Key, payload: &Payload<'_>) {
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        let content = delivery.content.get_or_insert_with(|| self.spare.pop().unwrap_or_default());
        if !payload.is_empty() {
            self.counters.bytes_held += content.push(payload, true, 1, &mut self.arena) as u64;
        }
    }
}

/// A delivery that its sender settled while it waited goes out settled.
const fn settled_meanwhile(delivery: &mut Delivery) {
    if delivery.goes_settled() {
        delivery.flags |= HEAD_SETTLED;
    }
}
