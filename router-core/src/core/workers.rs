//! Messages of other workers: credit of our outlets is lent to them, and what they send with it goes out.

use bytes::Bytes;

use super::{AddressPeer, Core, Remote, Want, Wanter, forward::Arrival, routed::Way};
use crate::{
    Treatment, WorkerBatch, WorkerId,
    core::slots::Key,
    delivery::{Delivery, From, HEAD_SETTLED, IN_SETTLED, PRESETTLED, SECOND, SENT, To},
    distribution::Candidate,
    egress::{DeliveryState, Egress, End, Payload, SendHead},
    worker_batch::{Bounced, Deliver, DeliverTo, Msg, Place, Posted, WorkerMsg},
};

/// An outlet with this much credit lends some of it before anybody is in need; below, only on urgent request.
const AMPLE: u32 = 16;

/// The most that is lent at once.
const LOAN: u32 = 512;

/// How many outlets are asked for a loan.
const LOOK: usize = 64;

impl Core {
    /// Messages from another worker. Answers the batch without them, so that its memory can be used for others.
    pub fn worker_batch(&mut self, from: WorkerId, batch: WorkerBatch, eg: &mut impl Egress) -> WorkerBatch {
        let WorkerBatch { mut msgs, bytes, mut blocks, .. } = batch;
        let copied = bytes.freeze();
        let nothing = Bytes::new();
        for Posted { msg, prefix, payload } in msgs.drain(..) {
            let prefix = copied.get(prefix.0 as usize..prefix.1 as usize).unwrap_or_default();
            let payload = match payload {
                Place::Nowhere => Payload::new(&nothing),
                Place::Copied { start, end } => Payload::range(&copied, start as usize, end as usize),
                Place::Block(at) => Payload::new(blocks.get(at as usize).unwrap_or(&nothing)),
            };
            self.message(from.0, msg, prefix, &payload, eg);
        }
        blocks.clear();
        // Unless a delivery that waits refers to it.
        let mut bytes = copied.try_into_mut().unwrap_or_default();
        bytes.clear();
        WorkerBatch { msgs, bytes, blocks, urgent: false }
    }

    fn message(&mut self, worker: u16, msg: Msg, prefix: &[u8], payload: &Payload<'_>, eg: &mut impl Egress) {
        match msg {
            Msg::OutletUp { outlet, address, name, ours, single, annotated } => {
                self.outlet_up(worker, outlet, address, &name, (ours, single, annotated), eg);
            }
            Msg::OutletDown { outlet } => self.outlet_down(worker, outlet, eg),
            Msg::OutletRetired { outlet } => self.outlet_retired(worker, outlet, eg),
            Msg::Want { address, urgent } => self.wanted(worker, Key::from_raw(address), urgent, eg),
            Msg::Lend { outlet, credit, outstanding } => self.lent(worker, outlet, credit, outstanding, eg),
            Msg::Recall { outlet } => {
                if let Some(remote) = self.remote(worker, outlet) {
                    self.give_loan_back(remote, true, eg);
                }
            }
            Msg::Free { outlet } => self.line_of_other_ends(Candidate::Local(Key::from_raw(outlet)), eg),
            Msg::Returned { outlet, credit } => self.returned(worker, Key::from_raw(outlet), credit, eg),
            Msg::Deliver(deliver) => self.delivered(worker, &deliver, prefix, payload, eg),
            Msg::More { mine, end } => {
                if let Some(d) = self.foreign(worker, mine) {
                    self.arrive(d, payload, end, eg);
                }
            }
            Msg::SenderState { mine, state, settled } => {
                if let Some(d) = self.foreign(worker, mine) {
                    self.on_sender_state(d, state.as_ref(), settled, eg);
                }
            }
            Msg::Settle { yours, state, settled } => self.on_outcome(Key::from_raw(yours), state.as_ref(), settled, eg),
            Msg::Consumed { yours, bytes } => self.consumed(Key::from_raw(yours), bytes, eg),
            Msg::Unsent { yours } => self.comes_back(worker, Key::from_raw(yours), eg),
            Msg::GiveBack { mine } => {
                if let Some(d) = self.foreign(worker, mine) {
                    self.bounce(d, worker, eg);
                }
            }
            Msg::Bounced(bounced) => self.bounced(*bounced, eg),
        }
    }

    fn outlet_up(
        &mut self,
        worker: u16,
        outlet: u64,
        theirs: u64,
        name: &str,
        (ours, single, annotated): (bool, bool, bool),
        eg: &mut impl Egress,
    ) {
        let address = self.address(name, name.starts_with("M_$temp."));
        let Some(a) = self.addresses.get_mut(address) else { return };
        a.ours = ours;
        let Some(peer) = self.peers.get_mut(usize::from(worker)) else { return };
        let at = a.candidates.len() as u32;
        let remote = self.remotes.insert(Remote {
            worker,
            outlet,
            address,
            at,
            lent: 0,
            lent_most: 0,
            outstanding: 0,
            others: 0,
            single,
            retired: false,
            annotated,
            kept: false,
        });
        a.candidates.push(Candidate::Remote(remote));
        set_at(&mut peer.outlets, Key::from_raw(outlet).index, remote);
        self.annotated += usize::from(annotated);
        a.annotated = a.annotated.saturating_add(annotated.into());
        match a.peers.iter_mut().find(|p| p.worker == worker) {
            Some(peer) => peer.outlets += 1,
            None => a.peers.push(AddressPeer { worker, address: theirs, outlets: 1, want: Want::Nothing }),
        }
        let (interested, waiting) = (!a.inlets.is_empty(), a.waiting.len() > 0);
        self.destinations_changed(address, eg);
        if waiting {
            self.want(address, true, eg);
        } else if interested {
            self.want(address, false, eg);
        }
    }

    fn outlet_down(&mut self, worker: u16, outlet: u64, eg: &mut impl Egress) {
        let Some(key) = self.remote(worker, outlet) else { return };
        self.free_link(Candidate::Remote(key), eg);
        let Some(remote) = self.remotes.remove(key) else { return };
        self.annotated_gone(remote.address, remote.annotated);
        if remote.retired {
            return;
        }
        self.not_offered(worker, remote.address, remote.at, eg);
    }

    /// Another worker's outlet is kept for what is under way there.
    fn outlet_retired(&mut self, worker: u16, outlet: u64, eg: &mut impl Egress) {
        let Some(key) = self.remote(worker, outlet) else { return };
        self.give_loan_back(key, false, eg);
        let Some(remote) = self.remotes.get_mut(key).filter(|remote| !remote.retired) else { return };
        remote.retired = true;
        let (address, at) = (remote.address, remote.at);
        self.free_link(Candidate::Remote(key), eg);
        self.not_offered(worker, address, at, eg);
    }

    /// Another worker has an outlet less for an address.
    fn not_offered(&mut self, worker: u16, address: Key, at: u32, eg: &mut impl Egress) {
        let Some(a) = self.addresses.get_mut(address) else { return };
        if let Some(at) = a.peers.iter().position(|p| p.worker == worker) {
            a.peers[at].outlets -= 1;
            if a.peers[at].outlets == 0 {
                a.peers.swap_remove(at);
            }
        }
        let moved = a.candidates.remove(at);
        self.candidate_moved(moved, at);
        self.destinations_changed(address, eg);
        self.forget_address(address);
    }

    /// Our key of another worker's outlet.
    fn remote(&self, worker: u16, outlet: u64) -> Option<Key> {
        let peer = self.peers.get(usize::from(worker))?;
        let key = *peer.outlets.get(Key::from_raw(outlet).index as usize)?;
        self.remotes.get(key).filter(|r| r.worker == worker && r.outlet == outlet).map(|_| key)
    }

    /// Our record of another worker's delivery.
    fn foreign(&self, worker: u16, theirs: u64) -> Option<Key> {
        let peer = self.peers.get(usize::from(worker))?;
        let d = *peer.deliveries.get(Key::from_raw(theirs).index as usize)?;
        // A multicast delivery whose sender was freed has no key any more, and nothing more comes of it.
        self.deliveries.get(d).filter(|d| d.from == (From::Worker { worker, key: theirs })).map(|_| d)
    }

    fn wanted(&mut self, worker: u16, address: Key, urgent: bool, eg: &mut impl Egress) {
        let Some(a) = self.addresses.get_mut(address) else { return };
        match a.wanters.iter_mut().find(|w| w.worker == worker) {
            Some(wanter) => wanter.urgent |= urgent,
            None => a.wanters.push(Wanter { worker, urgent }),
        }
        self.serve_wanters(address, eg);
    }

    /// Lends credit of our outlets to those who want it.
    pub(super) fn serve_wanters(&mut self, address: Key, eg: &mut impl Egress) {
        let Some(a) = self.addresses.get_mut(address) else { return };
        if a.wanters.is_empty() || a.treatment == Treatment::Multicast {
            return;
        }
        let share = u32::from(self.workers).max(2);
        let mut left = Vec::new();
        let mut starving = false;
        for wanter in std::mem::take(&mut a.wanters) {
            let mut lent = 0;
            let ready = a.candidates.ready_from(a.next_loan as usize);
            let ready = ready.filter_map(|(at, candidate)| match candidate {
                Candidate::Local(o) => Some((at, o)),
                Candidate::Remote(_) => None,
            });
            let ready: Vec<(usize, Key)> = ready.take(LOOK).collect();
            let some = (ready.len() as u32 / share).max(1);
            for (at, o) in ready {
                let Some(outlet) = self.outlets.get_mut(o) else { continue };
                let free = outlet.free();
                let credit = if outlet.drain && wanter.urgent {
                    free
                } else if outlet.drain {
                    0
                } else if free >= AMPLE {
                    (free / share).clamp(1, LOAN)
                } else if wanter.urgent && free > 0 && (lent == 0 || outlet.single && lent < some) {
                    1
                } else {
                    0
                };
                if credit == 0 {
                    continue;
                }
                lent += credit;
                a.next_loan = at as u32 + 1;
                a.lent += credit;
                outlet.lend(wanter.worker, credit);
                let ready = outlet.is_ready();
                a.candidates.set_ready(outlet.address_at, ready);
                let msg = Msg::Lend { outlet: o.to_raw(), credit, outstanding: outlet.outstanding };
                eg.post(WorkerId(wanter.worker), WorkerMsg::bare(msg));
            }
            if lent == 0 {
                starving |= wanter.urgent;
                left.push(wanter);
            }
        }
        a.wanters = left;
        if starving && a.lent > 0 {
            self.recall_for(address, eg);
        }
    }

    /// Credit that another worker lends us.
    fn lent(&mut self, worker: u16, outlet: u64, credit: u32, outstanding: u32, eg: &mut impl Egress) {
        let Some(key) = self.remote(worker, outlet) else { return };
        let Some(remote) = self.remotes.get_mut(key) else { return };
        remote.lent += credit;
        remote.lent_most = remote.lent;
        remote.others = outstanding.saturating_sub(remote.outstanding);
        let address = remote.address;
        let Some(a) = self.addresses.get_mut(address) else { return };
        a.candidates.set_ready(remote.at, remote.lent > 0);
        a.note_window(remote.lent.saturating_add(remote.outstanding));
        if let Some(peer) = a.peers.iter_mut().find(|p| p.worker == worker) {
            peer.want = Want::Nothing;
        }
        self.pump(address, eg);
        if self.addresses.get(address).is_some_and(|a| a.waiting.len() > 0) {
            self.demand(address, eg);
        }
    }

    /// Recalls what was lent from an outlet.
    pub(super) fn recall(&mut self, o: Key, eg: &mut impl Egress) {
        let Some(outlet) = self.outlets.get_mut(o) else { return };
        for lender in &mut outlet.lenders {
            if !lender.recalled {
                lender.recalled = true;
                eg.post(WorkerId(lender.worker), WorkerMsg::bare(Msg::Recall { outlet: o.to_raw() }));
            }
        }
    }

    /// Recalls what was lent from the outlets of an address.
    pub(super) fn recall_for(&mut self, address: Key, eg: &mut impl Egress) {
        let Some(a) = self.addresses.get_mut(address) else { return };
        if std::mem::replace(&mut a.recalled, true) {
            return;
        }
        for at in 0..a.candidates.len() {
            let candidate = self.addresses.get(address).and_then(|a| a.candidates.get(at));
            if let Some(Candidate::Local(o)) = candidate
                && self.outlets.get(o).is_some_and(|o| o.lent > 0)
            {
                self.recall(o, eg);
            }
        }
    }

    fn returned(&mut self, worker: u16, o: Key, credit: u32, eg: &mut impl Egress) {
        let Some(outlet) = self.outlets.get_mut(o) else { return };
        if let Some(lender) = outlet.lenders.iter_mut().find(|l| l.worker == worker) {
            lender.recalled = false;
        }
        let before = outlet.lent;
        outlet.unlend(worker, credit);
        let back = before - outlet.lent;
        let address = outlet.address;
        if let Some(a) = self.addresses.get_mut(address) {
            a.lent = a.lent.saturating_sub(back);
            a.recalled = false;
        }
        self.flush(o, eg);
        self.serve_wanters(address, eg);
        self.answer_drain(o, eg);
        if self.addresses.get(address).is_some_and(|a| a.waiting.len() > 0 && a.lent > 0) {
            self.recall_for(address, eg);
        }
    }

    /// A delivery of another worker, for an outlet of ours or for all of an address.
    fn delivered(
        &mut self,
        worker: u16,
        deliver: &Deliver,
        prefix: &[u8],
        payload: &Payload<'_>,
        eg: &mut impl Egress,
    ) {
        let arrival = Arrival {
            from: From::Worker { worker, key: deliver.mine },
            settled: deliver.settled,
            goes_settled: deliver.settled,
            second: deliver.second,
            message_format: deliver.message_format,
            report: deliver.report,
            seq: deliver.seq,
            born: deliver.born,
            pooled: false,
            tell_waited: false,
            way: Way::Here,
            prefix,
            origin: Key::NONE,
            hop: Key::NONE,
            untracked: false,
            row: 0,
            stream: None,
            traced: false,
        };
        match deliver.target {
            DeliverTo::Address(address) => {
                let d = self.fan_out(Key::from_raw(address), &arrival, payload, deliver.end, eg);
                if let Some(d) = d {
                    self.remember(worker, deliver.mine, d);
                }
            }
            DeliverTo::Outlet(o) => self.delivered_to(Key::from_raw(o), worker, deliver, &arrival, payload, eg),
        }
    }

    pub(super) fn remember(&mut self, worker: u16, theirs: u64, d: Key) {
        if let Some(peer) = self.peers.get_mut(usize::from(worker)) {
            set_at(&mut peer.deliveries, Key::from_raw(theirs).index, d);
        }
    }

    fn delivered_to(
        &mut self,
        o: Key,
        worker: u16,
        deliver: &Deliver,
        arrival: &Arrival<'_>,
        payload: &Payload<'_>,
        eg: &mut impl Egress,
    ) {
        let Some(outlet) = self.outlets.get_mut(o) else {
            return self.bounce_arrival(worker, deliver, arrival, payload, eg);
        };
        let before = outlet.lent;
        outlet.unlend(worker, 1);
        let back = before - outlet.lent;
        if deliver.streams && deliver.end == End::More && self.streams_apart(o) {
            return self.delivered_apart(o, back, worker, deliver, arrival, payload, eg);
        }
        let Some(outlet) = self.outlets.get_mut(o) else { return };
        let (address, link) = (outlet.address, outlet.link);
        let free = outlet.credit > 0 && !outlet.blocked && outlet.current.is_none() && outlet.queued == 0;
        if let Some(a) = self.addresses.get_mut(address) {
            a.lent = a.lent.saturating_sub(back);
        }
        if deliver.long {
            let link = Candidate::Local(o);
            self.keep(link, None);
            self.order.uses(link, arrival.settled);
        }
        let bare = arrival.settled && deliver.end == End::Complete && deliver.mine == 0;
        let d = if bare { Key::NONE } else { self.record(arrival, address, deliver.end) };
        if !bare {
            self.remember(worker, deliver.mine, d);
        }
        if free {
            let token = if arrival.settled { 0 } else { d.to_raw() };
            let head = SendHead {
                message_format: arrival.message_format,
                settled: arrival.settled,
                token,
                prefix: arrival.prefix,
            };
            let sent = eg.send(link, &head, payload, deliver.end);
            if sent.started {
                self.started(o, d, address, arrival, payload, deliver.end, sent, eg);
                if self.outlets.get(o).is_some_and(|outlet| outlet.single && outlet.is_ready()) {
                    // It came complete, so the link is free again though nothing of this delivery follows.
                    self.flush(o, eg);
                }
                self.answer_drain(o, eg);
                return;
            }
            self.block(o);
        }
        let d = if bare { self.record(arrival, address, deliver.end) } else { d };
        if let Some(delivery) = self.deliveries.get_mut(d) {
            delivery.to = To::Queued { outlet: o };
            delivery.chunk = deliver.address;
        }
        self.keep_prefix(d, arrival.prefix);
        self.store(d, payload, eg);
        if let Some(outlet) = self.outlets.get_mut(o) {
            outlet.queue.push_back(d);
            outlet.queued += 1;
            outlet.reserved += 1;
        }
        self.refresh(o);
    }

    /// Its outlet went away before it arrived here.
    fn bounce_arrival(
        &mut self,
        worker: u16,
        deliver: &Deliver,
        arrival: &Arrival<'_>,
        payload: &Payload<'_>,
        eg: &mut impl Egress,
    ) {
        if deliver.end == End::More {
            let mut record = arrival.record(Key::NONE, End::More);
            record.to = To::Parked { worker };
            let d = self.deliveries.insert(record);
            self.remember(worker, deliver.mine, d);
            self.stop_reporting(d);
            self.keep_prefix(d, arrival.prefix);
            self.store_parked(d, payload);
            eg.post(WorkerId(worker), WorkerMsg::bare(Msg::Unsent { yours: deliver.mine }));
            return;
        }
        let content = if payload.is_empty() { Vec::new() } else { vec![payload.to_bytes()] };
        let prefix = (!arrival.prefix.is_empty()).then(|| Bytes::copy_from_slice(arrival.prefix));
        let bounced = Bounced { yours: deliver.mine, deliver: *deliver, prefix, content, end: deliver.end };
        eg.post(WorkerId(worker), WorkerMsg::bare(Msg::Bounced(Box::new(bounced))));
    }

    /// The outlet is going away, and the delivery that waited there was not begun.
    pub(super) fn unsent_by_outlet(&mut self, d: Key, eg: &mut impl Egress) {
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        match delivery.from {
            From::Worker { worker, .. } if delivery.arrived() => self.bounce(d, worker, eg),
            From::Worker { worker, key } => {
                delivery.to = To::Parked { worker };
                self.stop_reporting(d);
                eg.post(WorkerId(worker), WorkerMsg::bare(Msg::Unsent { yours: key }));
            }
            // It was queued for another attempt.
            From::Inlet { .. } => self.dropped(d, eg),
            From::Copy { .. } => self.tell_sender(d, Some(&DeliveryState::Released), eg),
        }
    }

    /// Sends a delivery back to the worker that it came from.
    fn bounce(&mut self, d: Key, worker: u16, eg: &mut impl Egress) {
        let content = self.whole_content(d);
        let prefix = self.take_prefix(d);
        self.leave_onward(d);
        let Some(delivery) = self.deliveries.remove(d) else { return };
        let From::Worker { key, .. } = delivery.from else { return };
        let deliver = Deliver {
            mine: key,
            address: delivery.chunk,
            target: DeliverTo::Address(0),
            settled: delivery.has(PRESETTLED),
            second: delivery.has(SECOND),
            report: false,
            streams: false,
            message_format: delivery.message_format,
            seq: delivery.seq,
            born: delivery.born,
            end: delivery.ended,
            long: false,
        };
        let bounced = Bounced { yours: key, deliver, prefix, content, end: delivery.ended };
        eg.post(WorkerId(worker), WorkerMsg::bare(Msg::Bounced(Box::new(bounced))));
    }

    /// A delivery of ours was not begun and is to be fetched.
    fn comes_back(&mut self, worker: u16, d: Key, eg: &mut impl Egress) {
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        let To::Worker { remote, .. } = delivery.to else { return };
        if let From::Copy { .. } = delivery.from {
            // It has no content of its own to which what was there could be put back.
            return self.tell_sender(d, Some(&DeliveryState::Released), eg);
        }
        delivery.to = To::Returning { worker };
        if let Some(remote) = self.remotes.get_mut(remote) {
            remote.outstanding = remote.outstanding.saturating_sub(1);
        }
        eg.post(WorkerId(worker), WorkerMsg::bare(Msg::GiveBack { mine: d.to_raw() }));
    }

    /// It is back: it waits for another outlet.
    fn bounced(&mut self, bounced: Bounced, eg: &mut impl Egress) {
        let Bounced { yours, deliver, prefix, content, end } = bounced;
        let d = if yours == 0 {
            // It was settled and complete, so we kept no record, and its sender has its credit back.
            let from = From::Inlet { inlet: Key::NONE, id: 0 };
            let flags = PRESETTLED | IN_SETTLED | HEAD_SETTLED;
            let address = Key::from_raw(deliver.address);
            let mut record = Delivery::new(from, address, flags, deliver.message_format, deliver.seq, end);
            record.born = deliver.born;
            self.deliveries.insert(record)
        } else {
            Key::from_raw(yours)
        };
        let back = |d: &&Delivery| yours == 0 || matches!(d.to, To::Worker { .. } | To::Returning { .. });
        let Some(delivery) = self.deliveries.get(d).filter(back) else { return };
        if let From::Copy { .. } = delivery.from {
            return self.tell_sender(d, Some(&DeliveryState::Released), eg);
        }
        self.remote_done(d, eg);
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        delivery.flags &= !SENT;
        let address = delivery.address;
        let kept = delivery.content.get_or_insert_with(|| self.spare.pop().unwrap_or_default());
        let added = kept.prepend(content);
        self.charge(d, added, eg);
        let wanted = self.addresses.get(address).is_some_and(|a| a.open) || self.may_get_streams(address);
        let priority = self.addresses.get(address).filter(|_| wanted).map(|a| a.priority.unwrap_or(4));
        let Some(priority) = priority else { return self.dropped(d, eg) };
        self.keep_prefix(d, prefix.as_deref().unwrap_or_default());
        self.enqueue(d, address, priority);
        self.pump(address, eg);
        if self.addresses.get(address).is_some_and(|a| a.waiting.len() > 0) {
            self.demand(address, eg);
            self.want_stream(address, eg);
        }
    }
}

/// Notes a key under the index of another worker's key. Such indices are dense, as slabs are.
fn set_at(keys: &mut Vec<Key>, index: u32, key: Key) {
    let index = index as usize;
    if keys.len() <= index {
        keys.resize(index + 1, Key::NONE);
    }
    if let Some(slot) = keys.get_mut(index) {
        *slot = key;
    }
}
