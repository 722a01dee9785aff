//! Copies of multicast deliveries for neighbours, while the delivery arrives. As with others, they begin on the link of their priority only
//! when they are complete, and go to a link for streams when they become long.

use super::{
    Core,
    forward::Arrival,
    hops::{GATHER, MEDIUM},
};
use crate::{
    WorkerId,
    core::slots::Key,
    delivery::{HEAD_SETTLED, LONG, PRESETTLED, To, WHOLE},
    distribution::Candidate,
    egress::{DeliveryState, Egress, End, Payload},
    worker_batch::{Deliver, DeliverTo, Msg, WorkerMsg},
};

/// How much of a multicast delivery is gathered for a neighbour, at most.
const MOST: usize = 4 * GATHER;

impl Core {
    /// A copy for a neighbour of what has only begun to arrive. True if it has to read `payload` later.
    pub(super) fn gather_copy(
        &mut self,
        p: Key,
        links: Key,
        arrival: &Arrival<'_>,
        payload: &Payload<'_>,
        eg: &mut impl Egress,
    ) -> bool {
        self.copy_to_gather(p, links, arrival, eg);
        !payload.is_empty()
    }

    /// A copy for a neighbour that goes after others of the same sender, which wait for a link for streams. True if it has to read `payload`
    /// later.
    pub(super) fn wait_for_stream(
        &mut self,
        p: Key,
        links: Key,
        stream: Key,
        arrival: &Arrival<'_>,
        payload: &Payload<'_>,
        eg: &mut impl Egress,
    ) -> bool {
        let c = self.copy_to_gather(p, links, arrival, eg);
        self.wait_at_stream(c, stream);
        !payload.is_empty()
    }

    fn wait_at_stream(&mut self, c: Key, stream: Key) {
        if let Some(child) = self.deliveries.get_mut(c) {
            child.address = stream;
        }
        self.becomes_long(c);
        self.enqueue(c, stream, MEDIUM);
    }

    fn copy_to_gather(&mut self, p: Key, links: Key, arrival: &Arrival<'_>, eg: &mut impl Egress) -> Key {
        let c = self.child(p, links, arrival, End::More);
        self.keep_prefix(c, arrival.prefix);
        let hop = self.hops.iter().find(|(_, hop)| hop.links.contains(links)).map(|(key, _)| key);
        let Some(child) = self.deliveries.get_mut(c) else { return c };
        child.to = To::Gathering;
        if let (Some(onward), Some(hop)) = (self.onwards.at_mut(child.onward), hop) {
            onward.hop = hop;
        }
        self.pool(p, eg);
        c
    }

    /// More of the delivery is here.
    pub(super) fn advance_copies(&mut self, p: Key, children: &[Key], end: End, eg: &mut impl Egress) {
        let mut left = false;
        for c in children {
            if self.deliveries.get(*c).is_some_and(|c| c.to == To::Gathering) {
                self.advance_copy(p, *c, end, eg);
                left |= self.deliveries.get(*c).is_some_and(|c| c.to == To::Gathering);
            }
        }
        if !left && self.is_of_one(p) {
            self.unpool(p, eg);
        }
    }

    fn advance_copy(&mut self, p: Key, c: Key, end: End, eg: &mut impl Egress) {
        let kept = self.deliveries.get(p).and_then(|p| p.content.as_ref()).map_or(0, |content| content.charge());
        let Some(child) = self.deliveries.get_mut(c) else { return };
        if end == End::Complete {
            let address = child.address;
            return self.queue_copy(p, c, address, eg);
        }
        // As long as it does not take much it goes where those before it went.
        let most = if child.has(WHOLE) || self.pool.is_ample() { MOST } else { GATHER };
        if kept <= most {
            return;
        }
        let hop = self.onwards.at(child.onward).map_or(Key::NONE, |(_, onward)| onward.hop);
        let stream = self.hops.get(hop).map(|hop| hop.stream).filter(|_| !child.has(WHOLE));
        let Some(stream) = stream else { return self.abort_copy(c, eg) };
        self.wait_at_stream(c, stream);
        self.pump(stream, eg);
        self.want_stream(stream, eg);
    }

    /// It is complete: it goes over the link of its priority.
    fn queue_copy(&mut self, p: Key, c: Key, links: Key, eg: &mut impl Egress) {
        let local = self.addresses.get(links).and_then(|a| {
            a.candidates.iter().find_map(|candidate| match candidate {
                Candidate::Local(o) => Some(o),
                Candidate::Remote(_) => None,
            })
        });
        let (Some(o), Some(child)) = (local, self.deliveries.get_mut(c)) else {
            return self.tell_sender(c, Some(&DeliveryState::Released), eg);
        };
        child.to = To::Queued { outlet: o };
        let settled = child.has(PRESETTLED);
        if let Some(outlet) = self.outlets.get_mut(o) {
            outlet.queue.push_back(c);
            outlet.queued += 1;
        }
        if settled {
            self.bound_queue(o, p, eg);
        }
        self.refresh(o);
        self.flush(o, eg);
    }

    /// Of a copy: it waited for a link for streams in vain, and is to be gathered to its end. False if it is no copy.
    pub(super) fn copy_is_whole(&mut self, c: Key, links: Key, eg: &mut impl Egress) -> bool {
        let Some(p) = self.root(c).filter(|p| *p != c) else { return false };
        let end = self.deliveries.get(p).map_or(End::Aborted, |p| p.ended);
        if let Some(child) = self.deliveries.get_mut(c) {
            child.to = To::Gathering;
            child.flags &= !LONG;
            child.set(WHOLE);
            child.address = links;
        }
        self.advance_copy(p, c, end, eg);
        true
    }

    /// Sends a copy that waits to another worker's link for streams.
    pub(super) fn lend_out_copy(&mut self, remote: Key, c: Key, p: Key, eg: &mut impl Egress) {
        self.leave_waiting(c);
        let prefix = self.take_prefix(c);
        let Some((worker, outlet)) = self.use_loan(remote, true, eg) else { return self.dropped(c, eg) };
        self.keep_link(c, Candidate::Remote(remote));
        let Some(child) = self.deliveries.get_mut(c) else { return };
        child.to = To::Worker { worker, remote };
        let (from, address) = (std::mem::replace(&mut child.chunk, u64::MAX), child.address.to_raw());
        let (settled, message_format) = (child.has(HEAD_SETTLED), child.message_format);
        let (seq, born) = (child.seq, child.born);
        let Some(parent) = self.deliveries.get_mut(p) else { return };
        parent.posted += 1;
        let arrived = parent.ended == End::Complete;
        for at in from.. {
            let chunk = self.deliveries.get(p).and_then(|p| p.content.as_ref()).and_then(|content| content.at(at));
            let Some((block, last)) = chunk else { break };
            let end = if last && arrived { End::Complete } else { End::More };
            self.charge(c, block.len(), eg);
            if let Some(child) = self.deliveries.get_mut(c) {
                child.posted += block.len();
            }
            let payload = Payload::new(&block);
            let msg = if at == from {
                let deliver = Deliver {
                    mine: c.to_raw(),
                    address,
                    target: DeliverTo::Outlet(outlet),
                    settled,
                    second: false,
                    report: true,
                    streams: false,
                    message_format,
                    seq,
                    born,
                    end,
                    long: self.order.keeps(Candidate::Remote(remote)),
                };
                WorkerMsg::begin(deliver, prefix.as_deref().unwrap_or_default(), payload)
            } else {
                WorkerMsg::with(Msg::More { mine: c.to_raw(), end }, payload)
            };
            eg.post(WorkerId(worker), msg);
        }
        self.leave_content(p, from, eg);
    }
}
