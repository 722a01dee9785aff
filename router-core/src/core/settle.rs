//! States and settlement travel back and forth.

use super::{Core, count, tracking};
use crate::{
    InKey, OutKey, WorkerId,
    core::slots::Key,
    delivery::{
        CREDIT, Delivery, From, HEAD_SETTLED, IN_SETTLED, LISTED, NIL, OUT_SETTLED, OUTCOME_SENT, PRESETTLED, RESENDS,
        SECOND, SENT, TELL_WAITED, TRACED, TRACKED, To, WAITED, YIELDED,
    },
    distribution::Candidate,
    egress::{DeliveryState, Egress, End, Payload},
    worker_batch::{Msg, WorkerMsg},
};

impl Core {
    /// The receiver of a delivery gave a state, or settled it, or both.
    #[inline]
    pub fn outcome(&mut self, key: OutKey, state: Option<&DeliveryState>, settled: bool, eg: &mut impl Egress) {
        self.on_outcome(key.0, state, settled, eg);
    }

    /// The sender of a delivery gave a state, or settled it, or both.
    pub fn sender_state(&mut self, key: InKey, state: Option<&DeliveryState>, settled: bool, eg: &mut impl Egress) {
        self.on_sender_state(key.0, state, settled, eg);
    }

    pub(super) fn on_outcome(&mut self, d: Key, state: Option<&DeliveryState>, settled: bool, eg: &mut impl Egress) {
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        if matches!(delivery.to, To::Nowhere | To::Waiting | To::Gathering | To::Fan) {
            return;
        }
        let late = state.is_some_and(tracking::is_late);
        if late {
            tracking::was_late(delivery, &mut self.inlets);
        }
        let state = if late { Some(&DeliveryState::Accepted) } else { state };
        let terminal = settled || state.is_some_and(DeliveryState::is_terminal);
        if terminal
            && delivery.flags & (OUT_SETTLED | OUTCOME_SENT) == 0
            && let To::Outlet { outlet, .. } = delivery.to
            && let Some(outlet) = self.outlets.get_mut(outlet)
        {
            outlet.counters.outcome(state);
        }
        if let From::Copy { .. } = delivery.from {
            return self.copy_outcome(d, state, settled, terminal, eg);
        }
        if delivery.has(RESENDS) && self.resend(d, state, settled, eg) {
            return;
        }
        let instead = self.refused(d, state);
        let state = instead.as_ref().or(state);
        let Some(delivery) = self.deliveries.get(d) else { return };
        if !terminal {
            return self.pass_state(d, state, eg);
        }
        if delivery.has(IN_SETTLED) {
            if delivery.has(TRACKED)
                && !delivery.has(OUT_SETTLED)
                && state.is_some_and(|state| *state != DeliveryState::Accepted)
            {
                self.counters.dropped_presettled += 1;
                self.span_outcome(d, state);
            }
            return self.receiver_done(d, settled, eg);
        }
        if settled && delivery.has(YIELDED) && delivery.has(OUTCOME_SENT) {
            return self.settled_after_all(d, state, eg);
        }
        if !settled && self.settles_second(d) {
            // The sender settles first; then we tell the receiver.
            return self.tell_sender_unsettled(d, state, eg);
        }
        // Settled on both sides at once. (If the sender settles second, only toward the receiver; see `tell_sender`.)
        self.tell_sender(d, state, eg);
        self.receiver_done(d, settled, eg);
    }

    /// The receiver of this delivery leaves it to its sender to settle first, whatever that asked for: so nobody forgets a delivery whose
    /// sender does not know its outcome (§2.6.12). Senders inside this router do not answer, and of what another router still sends it
    /// is not known whether it does.
    fn settles_second(&mut self, d: Key) -> bool {
        let Some(delivery) = self.deliveries.get(d) else { return false };
        let inlet = match delivery.from {
            From::Inlet { inlet, .. } => self.inlets.get(inlet),
            // The worker that has the link decides.
            From::Worker { .. } => {
                if let Some(delivery) = self.deliveries.get_mut(d) {
                    delivery.set(SECOND | YIELDED);
                }
                return true;
            }
            From::Copy { .. } => return false,
        };
        // Of one that is gone nothing more will come.
        let Some(inlet) = inlet else { return false };
        if delivery.has(SECOND) {
            return true;
        }
        let yields = !self.is_internal(inlet.conn) && delivery.arrived();
        if yields && let Some(delivery) = self.deliveries.get_mut(d) {
            delivery.set(SECOND | YIELDED);
        }
        yields
    }

    /// The receiver did not wait for the sender, which knows the outcome already: now it is settled for both.
    fn settled_after_all(&mut self, d: Key, state: Option<&DeliveryState>, eg: &mut impl Egress) {
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        delivery.flags |= IN_SETTLED;
        let from = delivery.from;
        self.say(from, state, true, eg);
        self.receiver_done(d, true, eg);
    }

    /// The receiver is gone. If it had left it to the sender to settle first, and that knows the outcome, there is nothing left to wait for.
    pub(super) fn settled_by_loss(&mut self, d: Key, eg: &mut impl Egress) {
        let waits =
            |delivery: &&mut Delivery| delivery.flags & (YIELDED | OUTCOME_SENT | IN_SETTLED) == YIELDED | OUTCOME_SENT;
        let Some(delivery) = self.deliveries.get_mut(d).filter(waits) else { return };
        delivery.flags |= IN_SETTLED;
        let from = delivery.from;
        self.say(from, None, true, eg);
    }

    /// The receiver has no more to say; `settled`: nor has it to hear anything.
    pub(super) fn receiver_done(&mut self, d: Key, settled: bool, eg: &mut impl Egress) {
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        if !settled && matches!(delivery.to, To::Outlet { .. }) && !delivery.has(SENT) {
            // Settled now, the frames that follow would say that it is not. The settlement follows the last one; an abort settles anyway.
            return;
        }
        delivery.flags |= OUT_SETTLED;
        if !settled {
            self.settle_receiver(d, None, true, eg);
        }
        // While it is partly sent its outlet still has to know it.
        if self.deliveries.get(d).is_some_and(|d| d.has(SENT)) {
            self.unlist(d, eg);
        }
        self.remote_done(d, eg);
        self.retire(d, eg);
    }

    /// A state that ends nothing goes on to the sender as it is.
    fn pass_state(&mut self, d: Key, state: Option<&DeliveryState>, eg: &mut impl Egress) {
        let Some(delivery) = self.deliveries.get(d).filter(|d| !d.has(IN_SETTLED)) else { return };
        self.say(delivery.from, state, false, eg);
    }

    /// Passes a state on to where a delivery came from; the sender of copies hears of all of them together.
    fn say(&self, from: From, state: Option<&DeliveryState>, settled: bool, eg: &mut impl Egress) {
        match from {
            From::Inlet { inlet, id } => {
                if let Some(inlet) = self.inlets.get(inlet) {
                    eg.settle_in(inlet.link, id, state, settled);
                }
            }
            From::Worker { worker, key } => {
                let msg = Msg::Settle { yours: key, state: state.map(DeliveryState::detached), settled };
                eg.post(WorkerId(worker), WorkerMsg::bare(msg));
            }
            From::Copy { .. } => {}
        }
    }

    /// The outcome, for a sender that settles second.
    fn tell_sender_unsettled(&mut self, d: Key, state: Option<&DeliveryState>, eg: &mut impl Egress) {
        let Some(delivery) = self.deliveries.get(d) else { return };
        match delivery.from {
            From::Inlet { .. } => self.tell_sender(d, state, eg),
            _ => {
                self.pass_state(d, state, eg);
                if let Some(delivery) = self.deliveries.get_mut(d) {
                    delivery.flags |= OUTCOME_SENT;
                }
            }
        }
    }

    /// Tells the sender the outcome, once.
    pub(super) fn tell_sender(&mut self, d: Key, state: Option<&DeliveryState>, eg: &mut impl Egress) {
        if self.spans.on && self.deliveries.get(d).is_some_and(|delivery| delivery.has(TRACED)) {
            self.span_outcome(d, state);
        }
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        if let From::Copy { parent } = delivery.from {
            return self.copy_done(d, parent, state, eg);
        }
        if delivery.flags & (IN_SETTLED | OUTCOME_SENT) != 0 {
            return;
        }
        match delivery.from {
            From::Inlet { inlet: key, id } => {
                let Some(inlet) = self.inlets.get_mut(key) else {
                    delivery.flags |= IN_SETTLED;
                    return;
                };
                count(&mut self.counters, &mut inlet.counters, state);
                let late = (delivery.has(WAITED) && delivery.has(TELL_WAITED)).then(tracking::accepted_late);
                let state = match state {
                    Some(DeliveryState::Accepted) if late.is_some() => late.as_ref(),
                    // It went out settled, of which nothing is said.
                    None if delivery.has(HEAD_SETTLED) => late.as_ref(),
                    state => state,
                };
                let waits = inlet.router() && !delivery.arrived() && !delivery.has(SECOND);
                if let Some(state) = state.filter(|_| waits) {
                    // Of a delivery that it has not finished another router takes this as a reason to do so. Settled before, the reference
                    // may lose its place in the middle of it, and send nothing more on the link for ever.
                    delivery.flags |= OUTCOME_SENT;
                    delivery.worst_state = Some(Box::new(state.detached()));
                    eg.settle_in(inlet.link, id, Some(state), false);
                    return;
                }
                // Settled without a state there is nothing to wait for.
                if delivery.has(SECOND) && state.is_some() {
                    delivery.flags |= OUTCOME_SENT;
                    let (seconds, deliveries) = (&mut inlet.seconds, &self.deliveries);
                    // Those that are over leave before it grows.
                    if seconds.len() == seconds.capacity() {
                        seconds.retain(|second| deliveries.contains(*second));
                        seconds.reserve(seconds.len() + 1);
                    }
                    seconds.push(d);
                    eg.settle_in(inlet.link, id, state, false);
                } else {
                    delivery.flags |= IN_SETTLED;
                    eg.settle_in(inlet.link, id, state, true);
                }
            }
            From::Worker { worker, key } => {
                delivery.flags |= IN_SETTLED;
                let state = match state {
                    Some(DeliveryState::Accepted) if delivery.has(WAITED) => Some(tracking::accepted_late()),
                    state => state.map(DeliveryState::detached),
                };
                let msg = Msg::Settle { yours: key, state, settled: true };
                eg.post(WorkerId(worker), WorkerMsg::bare(msg));
            }
            From::Copy { .. } => {}
        }
    }

    /// The sender knows the outcome and has finished.
    #[cold]
    fn settle_sender(&mut self, d: Key, eg: &mut impl Egress) {
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        let outcome = delivery.worst_state.take();
        let From::Inlet { inlet, id } = delivery.from else { return };
        delivery.flags |= IN_SETTLED;
        if let Some(inlet) = self.inlets.get(inlet) {
            eg.settle_in(inlet.link, id, outcome.as_deref(), true);
        }
    }

    pub(super) fn on_sender_state(
        &mut self,
        d: Key,
        state: Option<&DeliveryState>,
        settled: bool,
        eg: &mut impl Egress,
    ) {
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        if delivery.has(IN_SETTLED) {
            return;
        }
        if delivery.to == To::Fan {
            return self.fan_sender_state(d, state, settled, eg);
        }
        if settled {
            if !delivery.has(OUTCOME_SENT) {
                delivery.flags |= PRESETTLED;
            }
            delivery.flags |= IN_SETTLED;
        }
        let partly_sent = matches!(delivery.to, To::Outlet { .. }) && !delivery.has(SENT);
        // While it is partly sent only states go on; the settlement follows the last frame.
        let tell = settled && !partly_sent;
        if (state.is_some() || tell) && !delivery.has(OUT_SETTLED) {
            self.settle_receiver(d, state, tell, eg);
        }
        if !settled {
            return;
        }
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        match delivery.to {
            To::Outlet { .. } if delivery.has(SENT) => {
                // The receiver was told that it is settled, so it will not answer.
                delivery.flags |= OUT_SETTLED;
                self.unlist(d, eg);
            }
            To::Worker { .. } if delivery.arrived() && delivery.has(OUTCOME_SENT) => {
                delivery.flags |= OUT_SETTLED;
                self.remote_done(d, eg);
            }
            _ => {}
        }
        self.retire(d, eg);
    }

    /// A state, or the settlement, for the receiver.
    pub(super) fn settle_receiver(
        &mut self,
        d: Key,
        state: Option<&DeliveryState>,
        settled: bool,
        eg: &mut impl Egress,
    ) {
        let Some(delivery) = self.deliveries.get(d) else { return };
        match delivery.to {
            To::Outlet { outlet, id } => {
                if let Some(outlet) = self.outlets.get(outlet) {
                    eg.settle_out(outlet.link, id, state, settled);
                }
            }
            To::Worker { worker, .. } | To::Returning { worker } => {
                let msg = Msg::SenderState { mine: d.to_raw(), state: state.map(DeliveryState::detached), settled };
                eg.post(WorkerId(worker), WorkerMsg::bare(msg));
            }
            _ => {}
        }
    }

    /// The fate of a delivery is decided without, or after, a receiver: its sender is told, its content dropped.
    pub(super) fn decide(&mut self, d: Key, state: Option<&DeliveryState>, eg: &mut impl Egress) {
        self.unlist(d, eg);
        self.drop_content(d, eg);
        if let Some(delivery) = self.deliveries.get_mut(d) {
            delivery.to = To::Nowhere;
        }
        self.tell_sender(d, state, eg);
        self.retire(d, eg);
    }

    /// Gives back the credit and forgets the delivery, as soon as each may be.
    #[inline]
    pub(super) fn retire(&mut self, d: Key, eg: &mut impl Egress) {
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        if delivery.flags & (OUTCOME_SENT | IN_SETTLED | SECOND) == OUTCOME_SENT && delivery.arrived() {
            self.settle_sender(d, eg);
        }
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        let gone = delivery.has(SENT) || delivery.to == To::Nowhere;
        if !delivery.has(IN_SETTLED) || !delivery.arrived() || !gone {
            return;
        }
        if delivery.has(TRACKED) && !delivery.has(OUT_SETTLED) {
            // Its sender waits for its consumer, though it does not know.
            return;
        }
        let from = delivery.from;
        if delivery.has(CREDIT) {
            delivery.flags &= !CREDIT;
            let row =
                if delivery.has(TRACKED) { self.onwards.at(delivery.onward).map_or(0, |(_, o)| o.row) } else { 0 };
            if let From::Inlet { inlet, .. } = from {
                self.give_back_all(inlet, 1 + u32::from(row));
            }
        }
        let Some(delivery) = self.deliveries.get(d) else { return };
        if !delivery.has(OUT_SETTLED) {
            return;
        }
        if let From::Worker { worker, key } = from
            && delivery.has(PRESETTLED)
            && key != 0
        {
            let msg = Msg::Settle { yours: key, state: None, settled: true };
            eg.post(WorkerId(worker), WorkerMsg::bare(msg));
        }
        self.remove(d, eg);
    }

    /// Forgets a delivery, whatever its state.
    pub(super) fn remove(&mut self, d: Key, eg: &mut impl Egress) {
        if self.spans.on {
            self.end_span(d, eg);
        }
        if self.deliveries.get(d).is_some_and(|delivery| delivery.has(RESENDS)) {
            self.keep_no_more(d);
        }
        self.count_delay(d);
        self.drop_content(d, eg);
        self.unlist(d, eg);
        self.remote_done(d, eg);
        self.leave_onward(d);
        self.deliveries.discard(d);
    }

    /// The sender aborted it, or is gone before it was complete. What an aborted delivery had is settled (§2.7.5).
    pub(super) fn aborted_by_sender(&mut self, d: Key, eg: &mut impl Egress) {
        self.counters.aborted += 1;
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        delivery.flags |= IN_SETTLED;
        if delivery.to == To::Fan {
            return self.abort_copies(d, eg);
        }
        self.ended_early(d, eg);
    }

    /// Takes back what was passed on of a delivery that will not come to its end.
    pub(super) fn ended_early(&mut self, d: Key, eg: &mut impl Egress) {
        let Some(to) = self.deliveries.get(d).map(|delivery| delivery.to) else { return };
        self.drop_content(d, eg);
        match to {
            To::Outlet { outlet, .. } => return self.flush(outlet, eg),
            To::Waiting => self.leave_waiting(d),
            To::Queued { outlet } => self.leave_queue(d, outlet),
            To::Worker { worker, .. } | To::Returning { worker } => {
                let msg = Msg::More { mine: d.to_raw(), end: End::Aborted };
                eg.post(WorkerId(worker), WorkerMsg::with(msg, Payload::empty()));
                self.remote_done(d, eg);
            }
            To::Gathering | To::Parked { .. } | To::Nowhere | To::Fan => {}
        }
        if let Some(delivery) = self.deliveries.get_mut(d) {
            delivery.to = To::Nowhere;
            delivery.flags |= OUT_SETTLED;
        }
        self.retire(d, eg);
    }

    /// Puts a delivery into the list of its outlet.
    #[inline]
    pub(super) fn list(&mut self, d: Key, o: Key) {
        let Some(outlet) = self.outlets.get_mut(o) else { return };
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        let first = std::mem::replace(&mut outlet.first, d.index);
        outlet.outstanding += 1;
        delivery.next = first;
        delivery.prev = NIL;
        delivery.flags |= LISTED;
        if let Some(first) = self.deliveries.at_mut(first) {
            first.prev = d.index;
        }
    }

    /// Takes it out.
    #[inline]
    pub(super) fn unlist(&mut self, d: Key, eg: &mut impl Egress) {
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        if !delivery.has(LISTED) {
            return;
        }
        delivery.flags &= !LISTED;
        let (next, prev, to) = (delivery.next, delivery.prev, delivery.to);
        if let Some(next) = self.deliveries.at_mut(next) {
            next.prev = prev;
        }
        if let Some(prev) = self.deliveries.at_mut(prev) {
            prev.next = next;
        }
        if let To::Outlet { outlet: o, .. } = to
            && let Some(outlet) = self.outlets.get_mut(o)
        {
            outlet.outstanding = outlet.outstanding.saturating_sub(1);
            if outlet.first == d.index {
                outlet.first = next;
            }
            if outlet.kept && outlet.outstanding == 0 {
                self.kept_link_rests(Candidate::Local(o), eg);
            }
        }
    }
}
