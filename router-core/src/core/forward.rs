//! Deliveries come in and go out: the path of every message.

use amqp_proto::{codec::code, message::SectionKind};

use super::{
    Address, Core, Remote, Want,
    hops::Pick,
    routed::{Origin, Way},
};
use crate::{
    InKey, InletKey, Treatment,
    annotations::may_begin,
    core::slots::{Key, Slots},
    delivery::{
        AUTO, CREDIT, Delivery, From, HEAD_SETTLED, IN_SETTLED, LONG, OUT_SETTLED, Onward, POOLED, PRESETTLED, REPORT,
        RESENDS, SECOND, SENT, STARTED, STREAMS, TELL_WAITED, TRACED, TRACKED, To, WAITED, WAITS,
    },
    distribution::Candidate,
    egress::{DeliveryState, Egress, End, Error, Payload, SendHead, Sent, Transfer},
    outlet::Outlet,
};

/// What the first frame of a delivery says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival<'a> {
    pub(super) from: From,
    /// Its sender settled it.
    pub(super) settled: bool,
    /// It is sent settled. The same, but between routers of ours.
    pub(super) goes_settled: bool,
    pub(super) second: bool,
    pub(super) message_format: u32,
    /// Its origin on another worker counts bytes.
    pub(super) report: bool,
    pub(super) seq: u64,
    /// The half second in which it came.
    pub(super) born: u32,
    /// What has to be kept of it counts in the pool.
    pub(super) pooled: bool,
    /// The router of ours that it comes from wants to know whether it had to wait.
    pub(super) tell_waited: bool,
    /// How it came here, for annotations.
    pub(super) way: Way<'a>,
    /// The annotations to be sent in front of it, once it is on its way to a neighbour; and then the address that it goes to.
    pub(super) prefix: &'a [u8],
    pub(super) origin: Key,
    /// And that neighbour.
    pub(super) hop: Key,
    /// Toward a router of ours, of a row of presettled deliveries of one sender: it keeps its credit until a later one is over.
    pub(super) untracked: bool,
    /// It is such a later one: for how many others.
    pub(super) row: u8,
    /// If it is forwarded while it arrives, or served here, where it entered the network.
    pub(super) stream: Option<Origin>,
    /// It has a span.
    pub(super) traced: bool,
}

/// How many deliveries may wait at a worker before their senders at other routers are slowed down: those of an address alone, and those of several.
/// One flow is as fast as what is on its way, so that no router between runs dry. Several fill each other's gaps, and each delivery that waits costs
/// memory and time.
const ALONE: usize = 1000;
const TOGETHER: usize = 128;

impl Arrival<'_> {
    #[inline]
    pub(super) const fn record(&self, address: Key, end: End) -> Delivery {
        let mut flags = match (self.settled, self.goes_settled) {
            (true, true) => PRESETTLED | IN_SETTLED | HEAD_SETTLED,
            (true, false) => PRESETTLED | IN_SETTLED | TRACKED,
            (false, true) => HEAD_SETTLED | AUTO,
            (false, false) => 0,
        };
        if self.second {
            flags |= SECOND;
        }
        if self.report {
            flags |= REPORT;
        }
        if matches!(self.from, From::Inlet { .. }) {
            flags |= CREDIT;
        }
        if self.pooled {
            flags |= POOLED;
        }
        if self.tell_waited {
            flags |= TELL_WAITED;
        }
        if self.traced {
            flags |= TRACED;
        }
        if matches!(end, End::More) && self.way.streams() {
            flags |= STREAMS;
        }
        let mut record = Delivery::new(self.from, address, flags, self.message_format, self.seq, end);
        record.born = self.born;
        record
    }
}

impl Core {
    /// A frame of a delivery arrived. Answers, for the first frame of an unsettled delivery, the key to keep as its token; `None` if
    /// the delivery is settled already (the core may have called [`Egress::settle_in`] in this very call). An anonymous delivery
    /// whose first frame does not say yet where it goes gets its key with a later frame.
    pub fn transfer(
        &mut self,
        key: InletKey,
        transfer: &Transfer,
        payload: &Payload<'_>,
        eg: &mut impl Egress,
    ) -> Option<InKey> {
        let key = key.0;
        let inlet = self.inlets.get_mut(key)?;
        self.counters.bytes_in += payload.len() as u64;
        inlet.capacity.arrived(payload.len());
        inlet.strikes = 0;
        if !transfer.first {
            return self.transfer_more(key, transfer, payload, eg);
        }
        if !inlet.current.is_none() || inlet.pending.is_some() {
            // The engine does not let this happen; if it does, the old one cannot be finished any more.
            self.abandon_current(key, eg);
        }
        let inlet = self.inlets.get_mut(key)?;
        let ingress = inlet.ingress();
        self.counters.deliveries_in += u64::from(ingress);
        self.counters.presettled += u64::from(ingress && transfer.settled);
        inlet.counters.begin(transfer.settled);
        inlet.issued = inlet.issued.saturating_sub(1);
        inlet.open += 1;
        if transfer.end == End::Aborted {
            self.counters.aborted += 1;
            self.give_back(key);
            return None;
        }
        match inlet.address {
            // A delivery without bytes cannot be begun anywhere, but may be long.
            _ if transfer.end == End::More && payload.is_empty() => self.pend(key, transfer),
            Some(address) if inlet.router() => self.first_bound(key, address, transfer, payload, eg),
            None if inlet.router() => self.first_routed(key, transfer, payload, eg),
            _ if inlet.read() || may_begin(payload.as_slice()) => self.first_annotated(key, transfer, payload, eg),
            Some(address) => self.admit(key, address, transfer, payload, Way::Targeted(key), eg),
            None => self.first_anonymous(key, transfer, payload, eg),
        }
    }

    /// Remembers a delivery.
    #[inline]
    pub(super) fn record(&mut self, arrival: &Arrival<'_>, address: Key, end: End) -> Key {
        let mut record = arrival.record(address, end);
        if !arrival.hop.is_none() || arrival.stream.is_some() {
            let Arrival { origin, hop, stream, row, .. } = *arrival;
            let onward = Onward { prefix: None, origin, hop, tally: Key::NONE, row, stream, outlet: Key::NONE };
            record.onward = self.onwards.insert(onward).index;
        }
        self.deliveries.insert(record)
    }

    /// A delivery begins, and it is known where it goes.
    #[inline]
    pub(super) fn admit(
        &mut self,
        key: Key,
        address: Key,
        t: &Transfer,
        payload: &Payload<'_>,
        way: Way<'_>,
        eg: &mut impl Egress,
    ) -> Option<InKey> {
        if t.end == End::More && self.counters.bytes_held > self.stream_limit {
            return self.refuse_anonymous(key, t, &too_much(), eg);
        }
        self.seq += 1;
        let traced = self.spans.on && self.begin_span(key, address, payload, eg);
        let annotated = self.annotated > 0 || matches!(way, Way::Annotated { .. });
        let prefix = if annotated { self.prefix_here(address, &way) } else { Vec::new() };
        let arrival = Arrival {
            from: From::Inlet { inlet: key, id: t.delivery_id },
            settled: t.settled,
            goes_settled: t.settled || way.settles(),
            second: t.rcv_second,
            message_format: t.message_format,
            report: false,
            seq: self.seq,
            born: self.delays.now(),
            pooled: way.pooled(),
            tell_waited: way.tells_waited(),
            way,
            prefix: &prefix,
            origin: Key::NONE,
            hop: Key::NONE,
            untracked: false,
            row: 0,
            stream: None,
            traced,
        };
        let d = self.route(address, &arrival, payload, t.end, eg);
        if traced {
            self.span_begun(d, t.settled, eg);
        }
        if way.resends()
            && !t.settled
            && let Some(d) = d
        {
            self.keep_for_resend(d, address, &way, payload);
        }
        if matches!(way, Way::Routed { .. }) && t.end != End::More {
            self.routed_arrived(key, d);
        }
        if t.end == End::More {
            self.arriving(key, d);
        }
        self.answer(d)
    }

    /// The delivery has not arrived completely.
    pub(super) fn arriving(&mut self, inlet: Key, d: Option<Key>) {
        if let (Some(inlet), Some(d)) = (self.inlets.get_mut(inlet), d) {
            inlet.current = d;
            inlet.strikes = 0;
            self.stalls.arriving();
        }
    }

    /// The key for the sender's engine, if the delivery is not settled.
    #[inline]
    pub(super) fn answer(&self, d: Option<Key>) -> Option<InKey> {
        let d = d?;
        self.deliveries.get(d).filter(|delivery| !delivery.has(IN_SETTLED)).map(|_| InKey(d))
    }

    fn transfer_more(&mut self, key: Key, t: &Transfer, payload: &Payload<'_>, eg: &mut impl Egress) -> Option<InKey> {
        let inlet = self.inlets.get_mut(key)?;
        if inlet.pending.is_some() {
            return self.more_pending(key, t, payload, eg);
        }
        let (d, router) = (inlet.current, inlet.router());
        if d.is_none() {
            return None;
        }
        if t.end != End::More {
            inlet.current = Key::NONE;
            self.stalls.arrived();
        }
        if t.settled && t.end != End::Aborted {
            // §2.7.5: settled on a later frame counts for the delivery.
            self.on_sender_state(d, None, true, eg);
        }
        self.arrive(d, payload, t.end, eg);
        if self.pool.used > 0 {
            self.bound(d, eg);
        }
        if router && t.end != End::More {
            self.routed_arrived(key, Some(d));
        }
        None
    }

    /// Finds an outlet for a delivery of which the first part is here, or makes it wait. Answers its record, if it needs one.
    #[inline]
    pub(super) fn route(
        &mut self,
        address: Key,
        arrival: &Arrival<'_>,
        payload: &Payload<'_>,
        end: End,
        eg: &mut impl Egress,
    ) -> Option<Key> {
        let Some(a) = self.addresses.get(address) else {
            return self.refuse(arrival, end, Some(&DeliveryState::Released), eg);
        };
        match a.treatment {
            Treatment::Multicast => return self.fan_out(address, arrival, payload, end, eg),
            Treatment::Unavailable => {
                let rejected = super::anonymous::not_found();
                return self.refuse(arrival, end, Some(&rejected), eg);
            }
            Treatment::Closest | Treatment::Balanced => {}
        }
        if !a.servers.is_empty()
            && arrival.way.streams()
            && let Some(served) = self.serve(address, arrival, payload, end, eg)
        {
            return served;
        }
        let a = self.addresses.get(address)?;
        if a.waiting.len() > 0 {
            let far = a.far.is_some();
            let d = self.wait(address, Key::NONE, arrival, payload, end, eg);
            if far {
                // What came first may go to another router now.
                self.pump(address, eg);
            }
            return d;
        }
        // A presettled delivery that goes out at once needs no record, nor does one that another address takes over.
        let bare = arrival.settled && arrival.goes_settled && end == End::Complete;
        let mut d = Key::NONE;
        loop {
            match self.select(address, &arrival.way, arrival.from) {
                Some(Pick::Local(o)) if end == End::More && arrival.way.streams() && self.streams_apart(o) => {
                    if !d.is_none() {
                        self.deliveries.discard(d);
                    }
                    return self.stream_apart(o, arrival, payload, eg);
                }
                Some(Pick::Local(o)) => {
                    if !bare && d.is_none() {
                        d = self.record(arrival, address, end);
                    }
                    let Some(outlet) = self.outlets.get(o) else { break };
                    let head = SendHead {
                        message_format: arrival.message_format,
                        settled: arrival.goes_settled,
                        token: if arrival.goes_settled { 0 } else { d.to_raw() },
                        prefix: arrival.prefix,
                    };
                    let sent = eg.send(outlet.link, &head, payload, end);
                    if sent.started {
                        return self.started(o, d, address, arrival, payload, end, sent, eg);
                    }
                    self.block(o);
                }
                Some(Pick::Remote(remote)) => return self.lend_out(remote, d, address, arrival, payload, end, eg),
                Some(Pick::Far(hop)) => {
                    if !d.is_none() {
                        self.deliveries.discard(d);
                    }
                    return self.forward(hop, address, arrival, payload, end, eg);
                }
                None => break,
            }
        }
        self.wait(address, d, arrival, payload, end, eg)
    }

    /// The outlet whose turn it is. `from`: who sends the delivery.
    #[inline]
    pub(super) fn select(&mut self, address: Key, way: &Way<'_>, from: From) -> Option<Pick> {
        let a = self.addresses.get_mut(address)?;
        if a.far.is_some() {
            return self.select_far(address, way, from).or_else(|| self.astray(address, way));
        }
        self.select_near(address)
    }

    /// The outlet whose turn it is among those of this router.
    #[inline]
    pub(super) fn select_near(&mut self, address: Key) -> Option<Pick> {
        let a = self.addresses.get_mut(address)?;
        if a.own_streams {
            return a.candidates.local_ready().map(Pick::from);
        }
        if a.treatment == Treatment::Closest {
            return a.candidates.round_robin().map(Pick::from);
        }
        let (outlets, remotes) = (&self.outlets, &self.remotes);
        a.candidates.least(|candidate| load(outlets, remotes, candidate)).map(Pick::from)
    }

    /// The first part of a delivery went to an outlet.
    #[inline]
    #[expect(clippy::too_many_arguments, reason = "all of it is at hand, and nothing of it is worth storing")]
    pub(super) fn started(
        &mut self,
        o: Key,
        d: Key,
        address: Key,
        arrival: &Arrival<'_>,
        payload: &Payload<'_>,
        end: End,
        sent: Sent,
        eg: &mut impl Egress,
    ) -> Option<Key> {
        let outlet = self.outlets.get_mut(o)?;
        outlet.credit = outlet.credit.saturating_sub(1);
        outlet.counters.begin(arrival.settled);
        let outlet_link = outlet.link;
        self.counters.bytes_out += sent.taken as u64;
        if sent.done && end == End::Complete {
            let dry = outlet.free() == 0;
            self.counters.deliveries_out += u64::from(!outlet.inside);
            if dry {
                self.refresh(o);
            }
            if d.is_none() {
                if arrival.traced {
                    self.span_to_link(outlet_link, eg);
                }
                self.left_bare(arrival);
                return None;
            }
            let delivery = self.deliveries.get_mut(d)?;
            delivery.to = To::Outlet { outlet: o, id: sent.delivery_id };
            delivery.flags |= STARTED | SENT;
            if arrival.goes_settled || sent.settled {
                delivery.flags |= OUT_SETTLED;
                if arrival.report {
                    self.report(arrival.from, payload.len(), eg);
                }
                self.tell_sender(d, Some(&DeliveryState::Accepted), eg);
                self.retire(d, eg);
                return Some(d);
            }
            if arrival.report {
                self.report(arrival.from, payload.len(), eg);
            }
            self.list(d, o);
            return Some(d);
        }
        let d = if d.is_none() { self.record(arrival, address, end) } else { d };
        let delivery = self.deliveries.get_mut(d)?;
        delivery.to = To::Outlet { outlet: o, id: sent.delivery_id };
        delivery.flags |= STARTED;
        if sent.settled && !arrival.goes_settled {
            delivery.flags |= AUTO | OUT_SETTLED;
        }
        let outlet = self.outlets.get_mut(o)?;
        outlet.current = d;
        if outlet.single {
            self.stream_links.began(outlet.address);
        }
        self.list(d, o);
        if arrival.report {
            self.report(arrival.from, sent.taken, eg);
        }
        let rest = payload.skip(sent.taken);
        if !sent.done {
            self.store(d, &rest, eg);
            self.block(o);
        } else {
            self.refresh(o);
        }
        Some(d)
    }

    /// A delivery is gone of which there is no record.
    #[inline]
    pub(super) fn left_bare(&mut self, arrival: &Arrival<'_>) {
        let From::Inlet { inlet, .. } = arrival.from else { return };
        if !arrival.untracked {
            self.give_back(inlet);
        } else if let Some(inlet) = self.inlets.get_mut(inlet) {
            inlet.capacity.untracked();
        }
    }

    /// More of a delivery arrives, or its end.
    pub(super) fn arrive(&mut self, d: Key, payload: &Payload<'_>, end: End, eg: &mut impl Egress) {
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        if delivery.arrived() {
            return;
        }
        delivery.ended = end;
        if end == End::Aborted {
            return self.aborted_by_sender(d, eg);
        }
        let to = delivery.to;
        if delivery.has(RESENDS) {
            self.keep_more(d, payload);
        }
        match to {
            To::Outlet { outlet, .. } => self.feed(d, outlet, payload, end, eg),
            To::Worker { worker, .. } => self.post_more(d, worker, payload, end, eg),
            To::Fan => self.fan_more(d, payload, end, eg),
            To::Waiting | To::Queued { .. } | To::Returning { .. } => self.store(d, payload, eg),
            To::Parked { .. } => self.store_parked(d, payload),
            To::Gathering => self.gather(d, payload, end, eg),
            To::Nowhere => {
                let Some(delivery) = self.deliveries.get(d) else { return };
                let (from, report) = (delivery.from, delivery.has(REPORT));
                if report {
                    self.report(from, payload.len(), eg);
                }
                self.retire(d, eg);
            }
        }
    }

    /// A part for the outlet that has the delivery already.
    fn feed(&mut self, d: Key, o: Key, payload: &Payload<'_>, end: End, eg: &mut impl Egress) {
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        let Some(outlet) = self.outlets.get(o) else { return };
        if outlet.blocked || delivery.content.as_ref().is_some_and(|c| !c.is_empty()) {
            return self.store(d, payload, eg);
        }
        let settled = delivery.has(HEAD_SETTLED);
        let token = if settled { 0 } else { d.to_raw() };
        let head = SendHead { message_format: delivery.message_format, settled, token, prefix: &[] };
        let sent = eg.send(outlet.link, &head, payload, end);
        self.counters.bytes_out += sent.taken as u64;
        let (from, report) = (delivery.from, delivery.has(REPORT));
        if report {
            self.report(from, sent.taken, eg);
        }
        if !sent.done {
            self.store(d, &payload.skip(sent.taken), eg);
            self.block(o);
        } else if end == End::Complete {
            self.all_sent(d, o, eg);
            self.flush(o, eg);
        }
    }

    /// The last byte of a delivery went out.
    pub(super) fn all_sent(&mut self, d: Key, o: Key, eg: &mut impl Egress) {
        self.counters.deliveries_out += u64::from(self.outlets.get(o).is_none_or(|outlet| !outlet.inside));
        self.vacate(o, eg);
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        delivery.flags |= SENT;
        if delivery.has(HEAD_SETTLED) {
            delivery.flags |= OUT_SETTLED;
        } else if delivery.goes_settled() && !delivery.has(OUT_SETTLED) {
            // Its sender settled it while it was on its way.
            delivery.flags |= OUT_SETTLED;
            self.settle_receiver(d, None, true, eg);
        }
        let Some(delivery) = self.deliveries.get(d) else { return };
        if delivery.has(OUT_SETTLED) {
            let auto = delivery.has(AUTO);
            self.unlist(d, eg);
            if auto || self.deliveries.get(d).is_some_and(|d| matches!(d.from, From::Copy { .. })) {
                self.tell_sender(d, Some(&DeliveryState::Accepted), eg);
            }
        }
        self.retire(d, eg);
    }

    /// Nobody can take the delivery. What is still to come of it will be dropped.
    pub(super) fn refuse(
        &mut self,
        arrival: &Arrival<'_>,
        end: End,
        state: Option<&DeliveryState>,
        eg: &mut impl Egress,
    ) -> Option<Key> {
        if arrival.settled {
            self.counters.dropped_presettled += 1;
            if let From::Inlet { inlet, .. } = arrival.from
                && let Some(inlet) = self.inlets.get_mut(inlet)
            {
                inlet.counters.dropped_presettled += 1;
            }
        }
        if let From::Inlet { inlet, .. } = arrival.from
            && arrival.row > 0
        {
            self.give_back_all(inlet, arrival.row.into());
        }
        let mut record = arrival.record(Key::NONE, end);
        record.to = To::Nowhere;
        record.flags |= OUT_SETTLED;
        let d = self.deliveries.insert(record);
        self.tell_sender(d, state, eg);
        self.retire(d, eg);
        self.deliveries.contains(d).then_some(d)
    }

    /// Makes a delivery wait at its address until an outlet can take it.
    pub(super) fn wait(
        &mut self,
        address: Key,
        d: Key,
        arrival: &Arrival<'_>,
        payload: &Payload<'_>,
        end: End,
        eg: &mut impl Egress,
    ) -> Option<Key> {
        // What is only elsewhere, and not to be had from here, is not worth waiting for; nor may one address fill the pool.
        let room = !arrival.pooled || !self.is_over(address);
        let Some(a) = self.addresses.get(address).filter(|a| room && a.open && a.candidates.len() > 0) else {
            if !d.is_none() {
                self.leave_onward(d);
                self.deliveries.remove(d);
            }
            return self.refuse(arrival, end, Some(&DeliveryState::Released), eg);
        };
        let priority = a.priority.unwrap_or_else(|| header_priority(payload));
        let d = if d.is_none() { self.record(arrival, address, end) } else { d };
        self.counters.waited += 1;
        self.keep_prefix(d, arrival.prefix);
        self.store(d, payload, eg);
        self.enqueue(d, address, priority);
        self.demand(address, eg);
        Some(d)
    }

    /// Puts a delivery among those that wait, in order.
    pub(super) fn enqueue(&mut self, d: Key, address: Key, mut priority: u8) {
        let late = self.addresses.get(address).is_some_and(|a| self.is_long(a));
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        if delivery.has(LONG) {
            self.long_waits(d);
        }
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        delivery.to = To::Waiting;
        delivery.flags |= if late { WAITS | WAITED } else { WAITS };
        self.waiting += 1;
        if let From::Inlet { inlet, .. } = delivery.from
            && let Some(inlet) = self.inlets.get_mut(inlet)
        {
            inlet.waiting += 1;
            inlet.capacity.waited();
            // What a sender sent later must not overtake what it sent before.
            priority = priority.min(inlet.floor);
            inlet.floor = priority;
        }
        delivery.priority = priority;
        let seq = delivery.seq;
        let Some(a) = self.addresses.get_mut(address) else { return };
        let deliveries = &self.deliveries;
        a.waiting.insert(priority, seq, d, |key| deliveries.get(key).is_some_and(|d| d.waits_at(address)));
    }

    /// Whether so many wait that another one is late.
    fn is_long(&self, a: &Address) -> bool {
        let (here, all) = (a.waiting.len(), self.waiting as usize);
        let most = if here == all { ALONE } else { TOGETHER };
        all >= most || here >= a.window as usize
    }

    /// The delivery that has waited longest at the highest priority.
    pub(super) fn front_waiting(&mut self, address: Key) -> Option<Key> {
        let deliveries = &self.deliveries;
        let a = self.addresses.get_mut(address)?;
        a.waiting.front(|key| deliveries.get(key).is_some_and(|d| d.waits_at(address)))
    }

    /// Takes a delivery out of those that wait. The caller gives it another place at once.
    pub(super) fn leave_waiting(&mut self, d: Key) {
        let Some(delivery) = self.deliveries.get_mut(d).filter(|d| d.to == To::Waiting) else { return };
        delivery.to = To::Nowhere;
        self.left_waiting(d);
    }

    /// It does not wait any more.
    pub(super) fn left_waiting(&mut self, d: Key) {
        let Some(delivery) = self.deliveries.get_mut(d).filter(|d| d.has(WAITS)) else { return };
        delivery.flags &= !WAITS;
        let (address, from, long) = (delivery.address, delivery.from, delivery.has(LONG));
        self.waiting = self.waiting.saturating_sub(1);
        if long {
            self.long_left(d);
        }
        if let Some(a) = self.addresses.get_mut(address) {
            a.waiting.took();
            a.waiting.trim();
        }
        if let From::Inlet { inlet: from, .. } = from
            && let Some(inlet) = self.inlets.get_mut(from)
        {
            inlet.waiting = inlet.waiting.saturating_sub(1);
            if inlet.waiting == 0 {
                inlet.floor = 9;
                // What was not granted while it waited may be now. It need not have credit of its own to give back: it may have come back
                // from another worker.
                if inlet.address.is_some() && !inlet.dirty {
                    inlet.dirty = true;
                    self.dirty.push(from);
                }
            }
        }
    }

    /// Something waits at this address and nothing is ready: asks for credit that is elsewhere.
    pub(super) fn demand(&mut self, address: Key, eg: &mut impl Egress) {
        let Some(a) = self.addresses.get(address) else { return };
        if a.lent > 0 {
            self.recall_for(address, eg);
        }
        if self.addresses.get(address).is_some_and(|a| a.peers.iter().any(|p| p.want != Want::Urgently)) {
            self.want(address, true, eg);
        }
    }
}

/// No stream may begin: those that are there hold all the memory that there is for them.
#[cold]
fn too_much() -> DeliveryState {
    let what = "the router holds as much content as it may";
    DeliveryState::rejected(Some(&Error::new(amqp_proto::condition::RESOURCE_LIMIT_EXCEEDED, what)))
}

/// What balances: how much an outlet has to do already.
pub(super) fn load(outlets: &Slots<Outlet>, remotes: &Slots<Remote>, candidate: Candidate) -> u32 {
    match candidate {
        Candidate::Local(key) => outlets.get(key).map_or(u32::MAX, |o| o.outstanding),
        Candidate::Remote(key) => remotes.get(key).map_or(u32::MAX, |r| r.outstanding.saturating_add(r.others)),
    }
}

/// The priority in the header of a message, 4 if it has none or is not understood (§3.2.1).
pub(super) fn header_priority(payload: &Payload<'_>) -> u8 {
    let bytes = payload.as_slice();
    // The header comes first, so what begins with another section has none.
    if let [0, code::SMALL_ULONG, section, ..] = bytes
        && u64::from(*section) != SectionKind::Header.code()
    {
        return 4;
    }
    let mut cursor = amqp_proto::message::HeadCursor::new(amqp_proto::message::MAX_HEAD);
    // Whether all of the head is here does not matter; the header comes first.
    let _ = cursor.advance(bytes, false);
    cursor.head().read_header(bytes).map_or(4, |header| header.priority).min(9)
}
