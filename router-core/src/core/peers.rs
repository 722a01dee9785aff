//! Outlets of other workers: their credit, and the deliveries that we send them.

use super::{Core, Want};
use crate::{
    Treatment, WorkerId,
    core::slots::Key,
    delivery::{From, REPORT, SECOND, SENT, STREAMS, To},
    distribution::Candidate,
    egress::{Egress, End, Payload},
    worker_batch::{COPY_LIMIT, Deliver, DeliverTo, Msg, WorkerMsg},
};

use super::forward::Arrival;

impl Core {
    /// A message for every other worker.
    pub(super) fn tell_all(&self, msg: impl Fn() -> Msg, quiet: bool, eg: &mut impl Egress) {
        for worker in (0..self.workers).filter(|worker| *worker != self.worker) {
            eg.post(WorkerId(worker), WorkerMsg { quiet, ..WorkerMsg::bare(msg()) });
        }
    }

    /// Asks other workers that have outlets of the address to lend us credit.
    pub(super) fn want(&mut self, address: Key, urgent: bool, eg: &mut impl Egress) {
        let Some(a) = self.addresses.get_mut(address) else { return };
        if a.treatment == Treatment::Multicast || a.own_streams {
            return;
        }
        let level = if urgent { Want::Urgently } else { Want::Some };
        for peer in &mut a.peers {
            if peer.want < level {
                peer.want = level;
                eg.post(WorkerId(peer.worker), WorkerMsg::bare(Msg::Want { address: peer.address, urgent }));
            }
        }
    }

    /// Uses up one credit of another worker's outlet. Answers the worker and its key of the outlet.
    pub(super) fn use_loan(&mut self, remote: Key, counted: bool, eg: &mut impl Egress) -> Option<(u16, u64)> {
        let r = self.remotes.get_mut(remote)?;
        r.lent = r.lent.saturating_sub(1);
        r.outstanding += u32::from(counted);
        let (worker, outlet, address, at) = (r.worker, r.outlet, r.address, r.at);
        let (dry, low) = (r.lent == 0, r.lent * 2 < r.lent_most);
        let a = self.addresses.get_mut(address)?;
        if dry {
            a.candidates.set_ready(at, false);
        }
        if low && a.peers.iter().any(|p| p.worker == worker && p.want == Want::Nothing) {
            self.want(address, false, eg);
        }
        Some((worker, outlet))
    }

    /// Sends the first part of a delivery to another worker's outlet. Answers its record, if it needs one.
    #[expect(clippy::too_many_arguments, reason = "all of it is at hand, and nothing of it is worth storing")]
    pub(super) fn lend_out(
        &mut self,
        remote: Key,
        d: Key,
        address: Key,
        arrival: &Arrival<'_>,
        payload: &Payload<'_>,
        end: End,
        eg: &mut impl Egress,
    ) -> Option<Key> {
        let small = end == End::Complete && payload.len() < COPY_LIMIT;
        let bare = arrival.settled && arrival.goes_settled && small;
        let d = if d.is_none() && !bare { self.record(arrival, address, end) } else { d };
        let (worker, outlet) = self.use_loan(remote, !d.is_none(), eg)?;
        let deliver = Deliver {
            mine: if d.is_none() { 0 } else { d.to_raw() },
            address: address.to_raw(),
            target: DeliverTo::Outlet(outlet),
            settled: arrival.goes_settled,
            second: arrival.second,
            report: !small,
            streams: end == End::More && arrival.way.streams(),
            message_format: arrival.message_format,
            seq: arrival.seq,
            born: arrival.born,
            end,
            long: self.order.keeps(Candidate::Remote(remote)),
        };
        eg.post(WorkerId(worker), WorkerMsg::begin(deliver, arrival.prefix, *payload));
        let Some(delivery) = self.deliveries.get_mut(d) else {
            self.left_bare(arrival);
            return None;
        };
        delivery.to = To::Worker { worker, remote };
        if end == End::Complete {
            delivery.flags |= SENT;
        }
        if !small {
            delivery.posted = payload.len();
            self.charge(d, payload.len(), eg);
        }
        self.retire(d, eg);
        self.deliveries.contains(d).then_some(d)
    }

    /// Sends a delivery that waits to another worker's outlet.
    pub(super) fn lend_out_waiting(&mut self, remote: Key, d: Key, eg: &mut impl Egress) {
        if let Some(From::Copy { parent }) = self.deliveries.get(d).map(|d| d.from) {
            return self.lend_out_copy(remote, d, parent, eg);
        }
        self.leave_waiting(d);
        let prefix = self.take_prefix(d);
        let Some((worker, outlet)) = self.use_loan(remote, true, eg) else { return self.dropped(d, eg) };
        self.keep_link(d, Candidate::Remote(remote));
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        delivery.to = To::Worker { worker, remote };
        let mut content = delivery.content.take();
        let ended = delivery.ended;
        let mut chunk = content.as_ref().and_then(|c| c.front());
        let mut first = Some(Deliver {
            mine: d.to_raw(),
            address: delivery.address.to_raw(),
            target: DeliverTo::Outlet(outlet),
            settled: delivery.goes_settled(),
            second: delivery.has(SECOND),
            report: true,
            streams: ended == End::More && delivery.has(STREAMS),
            message_format: delivery.message_format,
            seq: delivery.seq,
            born: delivery.born,
            end: End::More,
            long: self.order.keeps(Candidate::Remote(remote)),
        });
        loop {
            let last = chunk.as_ref().is_none_or(|(_, last)| *last);
            let end = if last { ended } else { End::More };
            let block = chunk.take().map(|(chunk, _)| chunk).unwrap_or_default();
            let payload = Payload::new(&block);
            self.charge(d, block.len(), eg);
            if let Some(delivery) = self.deliveries.get_mut(d) {
                delivery.posted += block.len();
            }
            let msg = match first.take() {
                Some(deliver) => {
                    WorkerMsg::begin(Deliver { end, ..deliver }, prefix.as_deref().unwrap_or_default(), payload)
                }
                None => WorkerMsg::with(Msg::More { mine: d.to_raw(), end }, payload),
            };
            eg.post(WorkerId(worker), msg);
            if let Some(content) = &mut content {
                let freed = content.consume(usize::MAX);
                self.discharge(d, freed.charge, eg);
            }
            if last {
                break;
            }
            chunk = content.as_ref().and_then(|c| c.front());
        }
        if let Some(content) = content {
            self.recycle(content);
        }
        if ended == End::Complete
            && let Some(delivery) = self.deliveries.get_mut(d)
        {
            delivery.flags |= SENT;
        }
        self.retire(d, eg);
    }

    /// More of a delivery that is at another worker.
    pub(super) fn post_more(&mut self, d: Key, worker: u16, payload: &Payload<'_>, end: End, eg: &mut impl Egress) {
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        delivery.posted += payload.len();
        if end == End::Complete {
            delivery.flags |= SENT;
        }
        eg.post(WorkerId(worker), WorkerMsg::with(Msg::More { mine: d.to_raw(), end }, *payload));
        self.charge(d, payload.len(), eg);
        if !matches!(self.deliveries.get(d).map(|d| d.from), Some(From::Copy { .. })) {
            self.retire(d, eg);
        }
    }

    /// Another worker passed on, or dropped, bytes of ours.
    pub(super) fn consumed(&mut self, d: Key, bytes: usize, eg: &mut impl Egress) {
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        let bytes = bytes.min(delivery.posted);
        delivery.posted -= bytes;
        self.discharge(d, bytes, eg);
    }

    /// Another worker is done with a delivery of ours.
    pub(super) fn remote_done(&mut self, d: Key, eg: &mut impl Egress) {
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        let posted = delivery.posted;
        match &mut delivery.to {
            To::Worker { remote, .. } => {
                let key = std::mem::replace(remote, Key::NONE);
                if let Some(remote) = self.remotes.get_mut(key) {
                    remote.outstanding = remote.outstanding.saturating_sub(1);
                    if remote.kept {
                        self.kept_link_rests(Candidate::Remote(key), eg);
                    }
                }
            }
            To::Returning { .. } => {}
            _ => return,
        }
        self.consumed(d, posted, eg);
    }

    /// Gives back all credit that other workers lent us for an address.
    pub(super) fn return_all(&mut self, address: Key, eg: &mut impl Egress) {
        let Some(a) = self.addresses.get_mut(address) else { return };
        if a.peers.is_empty() {
            return;
        }
        let remotes: Vec<Key> = a
            .candidates
            .iter()
            .filter_map(|candidate| match candidate {
                Candidate::Remote(remote) => Some(remote),
                Candidate::Local(_) => None,
            })
            .collect();
        for remote in remotes {
            self.give_loan_back(remote, false, eg);
        }
    }

    /// Gives back what is left of a loan; `always`: even nothing, as an answer.
    pub(super) fn give_loan_back(&mut self, remote: Key, always: bool, eg: &mut impl Egress) {
        let Some(r) = self.remotes.get_mut(remote) else { return };
        let credit = std::mem::take(&mut r.lent);
        let offered = !r.retired;
        if credit > 0 || always {
            let msg = Msg::Returned { outlet: r.outlet, credit };
            eg.post(WorkerId(r.worker), WorkerMsg::bare(msg));
        }
        if let Some(a) = self.addresses.get_mut(r.address).filter(|_| offered) {
            a.candidates.set_ready(r.at, false);
        }
    }

    /// The delivery does not report bytes to its origin any more.
    pub(super) fn stop_reporting(&mut self, d: Key) {
        if let Some(delivery) = self.deliveries.get_mut(d) {
            delivery.flags &= !REPORT;
        }
    }
}
