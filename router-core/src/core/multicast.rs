//! Multicast: a copy for every consumer, over shared content, and one outcome for the sender.

use amqp_proto::condition;

use super::{Core, forward::Arrival};
use crate::{
    WorkerId,
    core::slots::Key,
    delivery::{
        AUTO, CREDIT, Delivery, From, HEAD_SETTLED, IN_SETTLED, NIL, OUT_SETTLED, OUTCOME_SENT, PRESETTLED, SENT,
        STARTED, To,
    },
    distribution::Candidate,
    egress::{DeliveryState, Egress, End, Error, Payload, SendHead},
    worker_batch::{Deliver, DeliverTo, Msg, WorkerMsg},
};

/// Copies that a consumer may be behind whatever memory they take.
const FEW: u32 = 16;

/// Descriptor of transactional-state (§4.5.8).
const TRANSACTIONAL: u64 = 0x34;

// Ranks of outcomes: the sender is told that of the highest.
const RELEASED: u8 = 1;
const MODIFIED: u8 = 2;
const ACCEPTED: u8 = 3;
const REJECTED: u8 = 4;

impl Core {
    /// Makes copies of a delivery of which the first part is here.
    pub(super) fn fan_out(
        &mut self,
        address: Key,
        arrival: &Arrival<'_>,
        payload: &Payload<'_>,
        end: End,
        eg: &mut impl Egress,
    ) -> Option<Key> {
        let a = self.addresses.get(address).filter(|a| a.open);
        let from_here = matches!(arrival.from, From::Inlet { .. });
        let some = a.is_some_and(|a| from_here || a.candidates.iter().any(|c| matches!(c, Candidate::Local(_))));
        // One copy is enough for a neighbour, however many links lead to it.
        let most = if a.is_some_and(|a| a.is_hop()) { 1 } else { usize::MAX };
        let Some(n) = a.filter(|_| some).map(|a| a.candidates.len()) else {
            return self.refuse(arrival, end, Some(&DeliveryState::Released), eg);
        };
        let mut parent = arrival.record(address, end);
        parent.to = To::Fan;
        // One more until all copies are made, so that it does not end before.
        parent.children = 1;
        let p = self.deliveries.insert(parent);
        let mut lag = 0;
        let mut made = 0;
        for at in 0..n {
            if made == most {
                break;
            }
            let candidate = self.addresses.get(address).and_then(|a| a.candidates.get(at));
            if let Some(Candidate::Local(o)) = candidate {
                made += 1;
                let whole = most > 1 || end != End::More;
                let reads = if whole {
                    self.copy_to(p, o, address, arrival, payload, end, eg)
                } else {
                    self.gather_copy(p, address, arrival, payload, eg)
                };
                lag += u32::from(reads);
            }
        }
        if from_here && (self.edges.here || self.addresses.get(address).is_some_and(|a| a.far.is_some())) {
            lag += self.fan_out_far(p, address, arrival, payload, end, eg);
        }
        for at in 0.. {
            let peer = self.addresses.get(address).filter(|_| from_here).and_then(|a| a.peers.get(at));
            let Some((worker, target)) = peer.map(|peer| (peer.worker, peer.address)) else { break };
            self.copy_to_worker(p, worker, target, address, arrival, payload, end, eg);
        }
        self.keep_for(p, payload, lag, eg);
        self.copies_made(p, eg);
        self.deliveries.contains(p).then_some(p)
    }

    /// Makes the copy for one outlet. True if it has to read `payload` later.
    #[expect(clippy::too_many_arguments, reason = "all of it is at hand, and nothing of it is worth storing")]
    pub(super) fn copy_to(
        &mut self,
        p: Key,
        o: Key,
        address: Key,
        arrival: &Arrival<'_>,
        payload: &Payload<'_>,
        end: End,
        eg: &mut impl Egress,
    ) -> bool {
        let Some(outlet) = self.outlets.get(o) else { return false };
        let ready = outlet.takes_next();
        let (link, inside) = (outlet.link, outlet.inside);
        let bare = ready && arrival.settled && end == End::Complete;
        let c = if bare { Key::NONE } else { self.child(p, address, arrival, end) };
        let token = if arrival.settled { 0 } else { c.to_raw() };
        let head = SendHead {
            message_format: arrival.message_format,
            settled: arrival.settled,
            token,
            prefix: arrival.prefix,
        };
        if ready {
            let sent = eg.send(link, &head, payload, end);
            if sent.started {
                self.counters.bytes_out += sent.taken as u64;
                if let Some(outlet) = self.outlets.get_mut(o) {
                    outlet.credit = outlet.credit.saturating_sub(1);
                    outlet.counters.begin(arrival.settled);
                }
                if sent.done && end == End::Complete && c.is_none() {
                    self.counters.deliveries_out += u64::from(!inside);
                    self.refresh(o);
                    return false;
                }
                let c = if c.is_none() { self.child(p, address, arrival, end) } else { c };
                if let Some(child) = self.deliveries.get_mut(c) {
                    child.to = To::Outlet { outlet: o, id: sent.delivery_id };
                    child.flags |= STARTED;
                    if sent.settled && !arrival.settled {
                        child.flags |= AUTO | OUT_SETTLED;
                    }
                    let all = sent.taken == payload.len();
                    child.chunk = u64::from(all && !payload.is_empty());
                    child.offset = if all { 0 } else { sent.taken as u32 };
                }
                self.list(c, o);
                if sent.done && end == End::Complete {
                    self.all_sent(c, o, eg);
                    self.refresh(o);
                } else {
                    if let Some(outlet) = self.outlets.get_mut(o) {
                        outlet.current = c;
                    }
                    self.refresh(o);
                    if !sent.done {
                        self.block(o);
                    }
                }
                return sent.taken < payload.len();
            }
            self.block(o);
        }
        let c = if c.is_none() { self.child(p, address, arrival, end) } else { c };
        let few = self.outlets.get(o).is_none_or(|outlet| outlet.queued <= FEW);
        if arrival.pooled && !arrival.settled && !few && self.is_too_much(p) {
            self.tell_sender(c, Some(&DeliveryState::Released), eg);
            return false;
        }
        self.keep_prefix(c, arrival.prefix);
        if let Some(child) = self.deliveries.get_mut(c) {
            child.to = To::Queued { outlet: o };
        }
        if let Some(outlet) = self.outlets.get_mut(o) {
            outlet.queue.push_back(c);
            outlet.queued += 1;
        }
        if arrival.settled {
            self.bound_queue(o, p, eg);
        }
        self.refresh(o);
        !payload.is_empty()
    }

    /// A record for a copy.
    pub(super) fn child(&mut self, p: Key, address: Key, arrival: &Arrival<'_>, end: End) -> Key {
        let flags = if arrival.settled { PRESETTLED | HEAD_SETTLED } else { 0 };
        let mut child =
            Delivery::new(From::Copy { parent: p }, address, flags, arrival.message_format, arrival.seq, end);
        let Some((first, born)) = self.deliveries.get(p).map(|p| (p.first_child, p.born)) else { return Key::NONE };
        (child.sib_next, child.born) = (first, born);
        let c = self.deliveries.insert(child);
        if let Some(first) = self.deliveries.at_mut(first) {
            first.sib_prev = c.index;
        }
        if let Some(parent) = self.deliveries.get_mut(p) {
            parent.first_child = c.index;
            parent.children += 1;
        }
        c
    }

    /// A full queue loses its oldest presettled copy, but not the one at its head; so does one of more than a few if the address has too
    /// much memory.
    pub(super) fn bound_queue(&mut self, o: Key, making: Key, eg: &mut impl Egress) {
        let full = |queued: u32| queued as usize > self.multicast_queue || (queued > FEW && self.is_too_much(making));
        if self.outlets.get(o).is_none_or(|outlet| !full(outlet.queued)) {
            return;
        }
        let Some(outlet) = self.outlets.get_mut(o) else { return };
        let deliveries = &self.deliveries;
        let droppable = |key: &Key| {
            deliveries.get(*key).is_some_and(|d| {
                d.to == To::Queued { outlet: o }
                    && d.has(PRESETTLED)
                    && matches!(d.from, From::Copy { parent } if parent != making)
            })
        };
        let Some(at) = outlet.queue.iter().skip(1).position(droppable).map(|at| at + 1) else { return };
        if let Some(c) = outlet.queue.remove(at) {
            outlet.counters.dropped_presettled += 1;
            self.counters.dropped_presettled += 1;
            self.tell_sender(c, Some(&DeliveryState::Released), eg);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "all of it is at hand, and nothing of it is worth storing")]
    pub(super) fn copy_to_worker(
        &mut self,
        p: Key,
        worker: u16,
        target: u64,
        address: Key,
        arrival: &Arrival<'_>,
        payload: &Payload<'_>,
        end: End,
        eg: &mut impl Egress,
    ) {
        let c = self.child(p, address, arrival, end);
        if let Some(parent) = self.deliveries.get_mut(p) {
            parent.posted += 1;
        }
        let report = !payload.is_empty() || end == End::More;
        let Some(child) = self.deliveries.get_mut(c) else { return };
        child.to = To::Worker { worker, remote: Key::NONE };
        // It reads nothing here.
        child.chunk = u64::MAX;
        child.posted = payload.len();
        let deliver = Deliver {
            mine: c.to_raw(),
            address: address.to_raw(),
            target: DeliverTo::Address(target),
            settled: arrival.settled,
            second: false,
            report,
            streams: false,
            message_format: arrival.message_format,
            seq: arrival.seq,
            born: arrival.born,
            end,
            long: false,
        };
        eg.post(WorkerId(worker), WorkerMsg::begin(deliver, arrival.prefix, *payload));
        self.charge(p, payload.len(), eg);
    }

    /// Keeps a part for those copies that could not take all of it.
    fn keep_for(&mut self, p: Key, payload: &Payload<'_>, readers: u32, eg: &mut impl Egress) {
        let Some(parent) = self.deliveries.get_mut(p) else { return };
        if payload.is_empty() {
            return;
        }
        let from = parent.from;
        let report = parent.has(crate::delivery::REPORT);
        let number = parent.chunk;
        parent.chunk += 1;
        if readers == 0 {
            if report {
                self.report(from, payload.len(), eg);
            }
            return;
        }
        let more = !parent.arrived();
        let content = parent.content.get_or_insert_with(|| self.spare.pop().unwrap_or_default());
        content.start_at(number);
        let added = content.push(payload, more, readers, &mut self.arena);
        self.charge(p, added, eg);
    }

    /// The copies of a part were made, or served.
    fn copies_made(&mut self, p: Key, eg: &mut impl Egress) {
        let Some(parent) = self.deliveries.get_mut(p) else { return };
        parent.children = parent.children.saturating_sub(1);
        self.fan_check(p, eg);
    }

    /// Ends a multicast delivery whose copies are all done, or frees the sender of a presettled one.
    fn fan_check(&mut self, p: Key, eg: &mut impl Egress) {
        let Some(parent) = self.deliveries.get_mut(p) else { return };
        if parent.children > 0 {
            if parent.has(PRESETTLED) && parent.has(IN_SETTLED) && parent.arrived() && parent.posted == 0 {
                self.free_sender(p, eg);
            }
            return;
        }
        let state = match parent.worst {
            // All were settled without a state; so is it.
            0 => None,
            ACCEPTED => Some(DeliveryState::Accepted),
            RELEASED => Some(DeliveryState::Released),
            _ => parent.worst_state.take().map(|state| *state),
        };
        parent.flags |= OUT_SETTLED;
        self.decide(p, state.as_ref(), eg);
    }

    /// The sender of a presettled delivery is done with it though some consumers are slow: they may miss copies, it need not wait.
    fn free_sender(&mut self, p: Key, eg: &mut impl Egress) {
        self.pool(p, eg);
        let Some(parent) = self.deliveries.get_mut(p) else { return };
        match parent.from {
            From::Inlet { inlet, id } => {
                let credit = parent.has(CREDIT);
                parent.flags &= !CREDIT;
                parent.from = From::Inlet { inlet: Key::NONE, id };
                if credit {
                    self.give_back(inlet);
                }
            }
            From::Worker { worker, key } if key != 0 => {
                // This also frees what its origin counts as held.
                parent.from = From::Worker { worker, key: 0 };
                eg.post(WorkerId(worker), WorkerMsg::bare(Msg::Settle { yours: key, state: None, settled: true }));
            }
            _ => {}
        }
    }

    pub(super) fn children(&self, p: Key) -> Vec<Key> {
        let mut keys = Vec::new();
        let mut next = self.deliveries.get(p).map_or(NIL, |p| p.first_child);
        while let Some((c, child)) = self.deliveries.at(next) {
            keys.push(c);
            next = child.sib_next;
        }
        keys
    }

    /// More of a multicast delivery.
    pub(super) fn fan_more(&mut self, p: Key, payload: &Payload<'_>, end: End, eg: &mut impl Egress) {
        let Some(parent) = self.deliveries.get_mut(p) else { return };
        parent.children += 1;
        let number = parent.chunk;
        let mut lag = 0;
        let mut ahead = false;
        let children = self.children(p);
        for c in &children {
            let Some(child) = self.deliveries.get_mut(*c) else { continue };
            match child.to {
                To::Worker { worker, .. } => {
                    ahead = true;
                    self.post_more(*c, worker, payload, end, eg);
                }
                To::Outlet { outlet: o, .. } if child.ended != End::Aborted && child.chunk == number => {
                    let settled = child.has(HEAD_SETTLED);
                    let token = if settled { 0 } else { c.to_raw() };
                    let head = SendHead { message_format: child.message_format, settled, token, prefix: &[] };
                    let Some(outlet) = self.outlets.get(o) else { continue };
                    if outlet.blocked {
                        lag += u32::from(!payload.is_empty());
                        continue;
                    }
                    let sent = eg.send(outlet.link, &head, payload, end);
                    self.counters.bytes_out += sent.taken as u64;
                    if sent.taken == payload.len() {
                        child.chunk += u64::from(!payload.is_empty());
                        ahead = true;
                    } else {
                        child.offset = sent.taken as u32;
                        lag += 1;
                    }
                    if !sent.done {
                        self.block(o);
                    } else if end == End::Complete {
                        self.all_sent(*c, o, eg);
                        self.flush(o, eg);
                    }
                }
                To::Outlet { .. } if child.chunk != u64::MAX => lag += u32::from(!payload.is_empty()),
                To::Queued { .. } | To::Gathering | To::Waiting => lag += u32::from(!payload.is_empty()),
                _ => {}
            }
        }
        self.keep_for(p, payload, lag, eg);
        self.advance_copies(p, &children, end, eg);
        if ahead && end == End::More {
            self.leave_slow_behind(p, &children, eg);
        }
        self.copies_made(p, eg);
    }

    /// Aborts the copies that are too far behind the others. Those for routers are waited for, and the sender with them: behind one there may be
    /// any number of consumers, and it leaves slow ones behind itself.
    fn leave_slow_behind(&mut self, p: Key, children: &[Key], eg: &mut impl Egress) {
        loop {
            let Some(content) = self.deliveries.get(p).and_then(|p| p.content.as_ref()) else { return };
            if content.charge() <= self.multicast_lag {
                return;
            }
            let first = content.first();
            let slow = |c: &&Key| self.deliveries.get(**c).is_some_and(|c| c.chunk == first && !self.is_for_router(c));
            let Some(c) = children.iter().find(slow).copied() else { return };
            self.abort_copy(c, eg);
        }
    }

    /// A copy is on a link for streams to a router, or waits for one.
    fn is_for_router(&self, copy: &Delivery) -> bool {
        match copy.to {
            To::Waiting | To::Gathering => true,
            To::Outlet { outlet, .. } => self.outlets.get(outlet).is_some_and(|outlet| {
                outlet.single && self.conns.get(outlet.conn).is_some_and(|conn| !conn.streaming_links)
            }),
            _ => false,
        }
    }

    /// One reader gets no more of the content.
    pub(super) fn abort_copy(&mut self, c: Key, eg: &mut impl Egress) {
        let Some(child) = self.deliveries.get_mut(c) else { return };
        let From::Copy { parent } = child.from else { return };
        self.counters.dropped_presettled += u64::from(child.has(PRESETTLED));
        if let To::Outlet { outlet, .. } = child.to {
            child.ended = End::Aborted;
            let chunk = std::mem::replace(&mut child.chunk, u64::MAX);
            self.leave_content(parent, chunk, eg);
            self.flush(outlet, eg);
        } else {
            self.tell_sender(c, Some(&DeliveryState::Released), eg);
        }
    }

    pub(super) fn leave_content(&mut self, p: Key, chunk: u64, eg: &mut impl Egress) {
        let Some(content) = self.deliveries.get_mut(p).and_then(|p| p.content.as_mut()) else { return };
        let freed = content.leave(chunk);
        self.freed(p, freed, eg);
    }

    /// The sender aborted: so are the copies that were begun; the others never were.
    pub(super) fn abort_copies(&mut self, p: Key, eg: &mut impl Egress) {
        let Some(parent) = self.deliveries.get_mut(p) else { return };
        parent.children += 1;
        self.drop_content(p, eg);
        for c in self.children(p) {
            let Some(child) = self.deliveries.get_mut(c) else { continue };
            child.ended = End::Aborted;
            match child.to {
                To::Outlet { outlet, .. } if !child.has(SENT) => {
                    child.chunk = u64::MAX;
                    self.flush(outlet, eg);
                }
                // `copy_done` tells the other worker.
                _ => self.tell_sender(c, Some(&DeliveryState::Released), eg),
            }
        }
        self.copies_made(p, eg);
    }

    /// Copies that nobody has begun to read.
    pub(super) fn drop_queued_copies(&mut self, p: Key, eg: &mut impl Egress) {
        for c in self.children(p) {
            if self.deliveries.get(c).is_some_and(|c| matches!(c.to, To::Queued { .. })) {
                self.tell_sender(c, Some(&DeliveryState::Released), eg);
            }
        }
    }

    /// The receiver of a copy has spoken.
    pub(super) fn copy_outcome(
        &mut self,
        c: Key,
        state: Option<&DeliveryState>,
        settled: bool,
        terminal: bool,
        eg: &mut impl Egress,
    ) {
        let Some(child) = self.deliveries.get(c).filter(|c| !c.has(OUTCOME_SENT)) else { return };
        let transactional = state.and_then(DeliveryState::descriptor) == Some(TRANSACTIONAL);
        if !terminal && !transactional {
            return;
        }
        let From::Copy { parent } = child.from else { return };
        let sent = child.has(SENT);
        let remote = matches!(child.to, To::Worker { .. });
        if !settled {
            self.settle_receiver(c, None, true, eg);
        }
        if let Some(state) = state {
            self.note_outcome(parent, state);
        }
        if let Some(child) = self.deliveries.get_mut(c) {
            child.flags |= OUTCOME_SENT | OUT_SETTLED;
        }
        // While it is partly sent its outlet still has to know it.
        if sent || remote {
            self.copy_done(c, parent, None, eg);
        }
    }

    fn note_outcome(&mut self, p: Key, state: &DeliveryState) {
        let Some(parent) = self.deliveries.get_mut(p) else { return };
        let (rank, keep) = match state {
            DeliveryState::Released => (RELEASED, None),
            DeliveryState::Modified { .. } => (MODIFIED, Some(state.detached())),
            DeliveryState::Accepted => (ACCEPTED, None),
            DeliveryState::Rejected(_) => (REJECTED, Some(state.detached())),
            // Unknown states mean something between two parties; here there are more.
            _ => (REJECTED, Some(refused_state())),
        };
        if rank > parent.worst {
            parent.worst = rank;
            parent.worst_state = keep.map(Box::new);
        }
    }

    /// A copy is done: it was settled, dropped or lost.
    pub(super) fn copy_done(&mut self, c: Key, p: Key, state: Option<&DeliveryState>, eg: &mut impl Egress) {
        let Some(child) = self.deliveries.get(c) else { return };
        if let Some(state) = state
            && !child.has(OUTCOME_SENT)
        {
            self.note_outcome(p, state);
        }
        let Some(child) = self.deliveries.get_mut(c) else { return };
        child.flags |= OUTCOME_SENT;
        let (to, chunk) = (child.to, child.chunk);
        let worker = match to {
            To::Worker { worker, .. } => Some(worker),
            _ => None,
        };
        let arrived = self.deliveries.get(p).is_none_or(|p| p.ended == End::Complete);
        match (to, worker) {
            (To::Queued { outlet }, _) => self.leave_queue(c, outlet),
            (To::Waiting, _) => self.leave_waiting(c),
            (_, Some(worker)) => {
                if !arrived {
                    // It must not wait for the rest there.
                    let msg = Msg::More { mine: c.to_raw(), end: End::Aborted };
                    eg.post(WorkerId(worker), WorkerMsg::bare(msg));
                }
                self.remote_done(c, eg);
            }
            _ => {}
        }
        self.unlist(c, eg);
        self.leave_content(p, chunk, eg);
        self.leave_onward(c);
        self.count_delay(c);
        let Some(child) = self.deliveries.remove(c) else { return };
        if let Some(next) = self.deliveries.at_mut(child.sib_next) {
            next.sib_prev = child.sib_prev;
        }
        if let Some(prev) = self.deliveries.at_mut(child.sib_prev) {
            prev.sib_next = child.sib_next;
        }
        let Some(parent) = self.deliveries.get_mut(p) else { return };
        if parent.first_child == c.index {
            parent.first_child = child.sib_next;
        }
        parent.children = parent.children.saturating_sub(1);
        if worker.is_some() {
            parent.posted = parent.posted.saturating_sub(1);
        }
        self.fan_check(p, eg);
    }

    /// The sender of a multicast delivery has spoken.
    pub(super) fn fan_sender_state(
        &mut self,
        p: Key,
        state: Option<&DeliveryState>,
        settled: bool,
        eg: &mut impl Egress,
    ) {
        if settled {
            if let Some(parent) = self.deliveries.get_mut(p) {
                parent.flags |= IN_SETTLED;
            }
        } else if state.and_then(DeliveryState::descriptor) == Some(TRANSACTIONAL) {
            self.tell_sender(p, Some(&refused_state()), eg);
        }
    }
}

fn refused_state() -> DeliveryState {
    DeliveryState::rejected(Some(&Error::new(
        condition::NOT_IMPLEMENTED,
        "transactions are not supported on multicast addresses",
    )))
}
