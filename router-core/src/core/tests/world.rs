//! Clients and workers around cores: what the adaptors and the peers would do, checked at each step.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    ConnInfo, ConnKey, Core, CoreConfig, InKey, InletKey, InletRequest, LinkRef, OutKey, OutletKey, OutletRequest,
    Refusal, Terminus, Transfer, WorkerBatch, WorkerId, WorkerMsg,
    egress::{DeliveryState, Egress, End, Error, Payload, SendHead, Sent},
};

pub(super) type Sender = usize;
pub(super) type Receiver = usize;

/// A delivery as its sender knows it.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub(super) key: Option<InKey>,
    pub(super) settled: bool,
    pub(super) presettled: bool,
    pub(super) second: bool,
    pub(super) complete: bool,
    pub(super) aborted: bool,
    begun: bool,
    /// Terminal states that were told, and whether they were settled.
    pub(super) outcomes: Vec<(Option<DeliveryState>, bool)>,
    pub(super) states: Vec<DeliveryState>,
    pub(super) body: Vec<u8>,
    pub(super) sent: usize,
}

#[derive(Debug)]
pub(super) struct Inlet {
    pub(super) worker: usize,
    pub(super) key: InletKey,
    pub(super) credit: u32,
    pub(super) draining: bool,
    pub(super) held: usize,
    pub(super) attached: bool,
    pub(super) deliveries: BTreeMap<u32, Outgoing>,
    pub(super) current: Option<u32>,
    pub(super) grants: Vec<u32>,
    pub(super) dynamic: Option<String>,
    pub(super) detached_by_router: Option<Error>,
}

/// A delivery as its receiver knows it.
#[derive(Debug, Clone)]
pub(super) struct Incoming {
    pub(super) token: u64,
    pub(super) id: u32,
    pub(super) bytes: Vec<u8>,
    pub(super) settled: bool,
    pub(super) end: End,
    /// What the receiver said, if terminal.
    pub(super) outcome: Option<DeliveryState>,
    pub(super) states: Vec<DeliveryState>,
}

#[derive(Debug)]
pub(super) struct Outlet {
    pub(super) conn: ConnKey,
    pub(super) key: OutletKey,
    pub(super) credit: u32,
    pub(super) attached: bool,
    /// Bytes that the link takes before it is full; each frame takes one more.
    pub(super) room: usize,
    /// It took less than was offered.
    pub(super) short: bool,
    pub(super) partial: bool,
    pub(super) received: Vec<Incoming>,
    pub(super) drained: u32,
    /// It sends settled only.
    pub(super) settles: bool,
    pub(super) dynamic: Option<String>,
}

impl Inlet {
    fn new(worker: usize, key: InletKey) -> Self {
        Self {
            worker,
            key,
            credit: 0,
            draining: false,
            held: 0,
            attached: true,
            deliveries: BTreeMap::new(),
            current: None,
            grants: Vec::new(),
            dynamic: None,
            detached_by_router: None,
        }
    }
}

impl Outlet {
    pub(super) fn new(conn: ConnKey) -> Self {
        Self {
            conn,
            key: OutletKey::NONE,
            credit: 0,
            attached: true,
            room: FULL,
            short: false,
            partial: false,
            received: Vec::new(),
            drained: 0,
            settles: false,
            dynamic: None,
        }
    }
}

/// The egress of one worker.
#[derive(Debug, Default)]
pub(super) struct Side {
    pub(super) inlets: HashMap<LinkRef, Inlet>,
    pub(super) outlets: HashMap<LinkRef, Outlet>,
    pub(super) posts: Vec<WorkerBatch>,
    pub(super) next_id: u32,
    pub(super) accepted: Vec<Vec<u8>>,
    pub(super) streams_wanted: Vec<String>,
    pub(super) client_streams_wanted: Vec<u32>,
    pub(super) no_client_streams: bool,
    /// Who accepts streams for servers, if anybody does; and the links that did.
    pub(super) serves: Option<ConnKey>,
    pub(super) served: Vec<(LinkRef, String)>,
}

impl Egress for Side {
    fn send(&mut self, link: LinkRef, head: &SendHead, payload: &Payload<'_>, end: End) -> Sent {
        let Some(o) = self.outlets.get_mut(&link) else { return Sent::default() };
        assert!(o.attached, "sent to a detached outlet");
        assert!(!o.short, "sent though the last answer was short and nothing changed");
        assert!(end != End::Aborted || (o.partial && payload.is_empty()), "aborted what was not begun");
        assert!(!(end == End::More && payload.is_empty()), "sent nothing");
        if o.room == 0 {
            o.short = true;
            let id = o.received.last().map_or(0, |r| r.id);
            return Sent {
                started: o.partial,
                settled: o.partial && o.settles,
                delivery_id: if o.partial { id } else { 0 },
                ..Sent::default()
            };
        }
        if !o.partial {
            assert!(o.credit > 0, "sent without credit");
            o.credit -= 1;
            self.next_id += 1;
            assert!(head.settled == (head.token == 0), "a token is for unsettled deliveries");
            o.received.push(Incoming {
                token: head.token,
                id: self.next_id,
                bytes: head.prefix.to_vec(),
                settled: head.settled || o.settles,
                end: End::More,
                outcome: None,
                states: Vec::new(),
            });
            o.partial = true;
        }
        let settles = o.settles;
        let Some(r) = o.received.last_mut() else { unreachable!() };
        let taken = payload.len().min(o.room);
        o.room -= taken;
        r.bytes.extend_from_slice(&payload.as_slice()[..taken]);
        let mut done = taken == payload.len();
        if done && end != End::More {
            if o.room == 0 && taken > 0 {
                done = false;
            } else {
                o.room = o.room.saturating_sub(1);
                r.end = end;
                o.partial = false;
            }
        }
        if !done {
            o.short = true;
        }
        Sent { taken, done, started: true, settled: settles, delivery_id: r.id }
    }

    fn settle_in(&mut self, link: LinkRef, id: u32, state: Option<&DeliveryState>, settled: bool) {
        let Some(i) = self.inlets.get_mut(&link).filter(|i| i.attached) else {
            panic!("settled on an inlet that is gone")
        };
        let d = i.deliveries.get_mut(&id).expect("settled an unknown delivery");
        assert!(!d.settled, "settled what the sender had settled");
        let terminal = settled || state.is_some_and(DeliveryState::is_terminal);
        if !terminal {
            d.states.extend(state.cloned());
            return;
        }
        if let [(before, told @ false)] = d.outcomes.as_mut_slice()
            && (state.is_none() || *before == state.cloned())
        {
            // It had not finished when it was told, or nothing is added to what it was told.
            assert!(settled && !d.second && d.complete);
            (*told, d.settled) = (true, true);
            return;
        }
        assert!(d.outcomes.is_empty(), "a second outcome: {state:?} after {:?}", d.outcomes);
        d.outcomes.push((state.cloned(), settled));
        assert!(!settled || !d.second || state.is_none(), "settled before a sender that settles first");
        if settled {
            d.settled = true;
        }
    }

    fn renamed_in(&mut self, link: LinkRef, id: u32, key: InKey) {
        let d = self.inlets.get_mut(&link).and_then(|i| i.deliveries.get_mut(&id)).expect("unknown delivery");
        assert!(!d.settled && d.key.replace(key).is_some());
    }

    fn settle_out(&mut self, link: LinkRef, id: u32, state: Option<&DeliveryState>, settled: bool) {
        let o = self.outlets.get_mut(&link).expect("unknown outlet");
        assert!(o.attached);
        let r = o.received.iter_mut().rev().find(|r| r.id == id).expect("unknown delivery");
        assert!(!r.settled, "settled twice");
        r.states.extend(state.cloned());
        r.settled |= settled;
    }

    fn grant(&mut self, link: LinkRef, credit: u32) {
        let i = self.inlets.get_mut(&link).expect("unknown inlet");
        assert!(i.attached);
        i.credit += credit;
        i.draining = false;
        i.grants.push(credit);
    }

    fn drain_in(&mut self, link: LinkRef) {
        let i = self.inlets.get_mut(&link).expect("unknown inlet");
        assert!(i.attached && !i.draining);
        i.draining = true;
    }

    fn drained_out(&mut self, link: LinkRef) {
        let o = self.outlets.get_mut(&link).expect("unknown outlet");
        assert!(o.attached);
        o.credit = 0;
        o.drained += 1;
    }

    fn detach(&mut self, link: LinkRef, error: Option<Error>) {
        if let Some(o) = self.outlets.get_mut(&link) {
            assert!(o.attached && error.is_none());
            o.attached = false;
            return;
        }
        let i = self.inlets.get_mut(&link).expect("unknown inlet");
        i.attached = false;
        i.detached_by_router = error;
    }

    fn hold(&mut self, link: LinkRef, bytes: usize) {
        self.inlets.get_mut(&link).filter(|i| i.attached).expect("held for an unknown inlet").held += bytes;
    }

    fn release(&mut self, link: LinkRef, bytes: usize) {
        let i = self.inlets.get_mut(&link).filter(|i| i.attached).expect("released for an unknown inlet");
        i.held = i.held.checked_sub(bytes).expect("released more than was held");
    }

    fn accept_flow(&mut self, outlet: OutletKey, address: &str) -> Option<LinkRef> {
        let conn = self.serves?;
        let link = LinkRef { conn: u32::MAX - 1, link: self.served.len() as u32 };
        self.outlets.insert(link, Outlet { key: outlet, credit: 1, ..Outlet::new(conn) });
        self.served.push((link, address.to_owned()));
        Some(link)
    }

    fn open_client_stream(&mut self, conn: u32) -> bool {
        self.client_streams_wanted.push(conn);
        !self.no_client_streams
    }

    fn open_stream(&mut self, neighbour: &str) {
        self.streams_wanted.push(neighbour.to_owned());
    }

    fn post(&mut self, worker: WorkerId, msg: WorkerMsg<'_>) {
        self.posts[usize::from(worker.0)].push(msg);
    }
}

pub(super) const FULL: usize = usize::MAX / 2;

/// Workers, clients, and what is under way between workers.
#[derive(Debug)]
pub(super) struct World {
    pub(super) cores: Vec<Core>,
    pub(super) sides: Vec<Side>,
    /// From worker, to worker.
    pub(super) mail: Vec<Vec<VecDeque<WorkerBatch>>>,
    pub(super) senders: Vec<(usize, LinkRef)>,
    pub(super) receivers: Vec<(usize, LinkRef)>,
    next_link: u32,
    pub(super) now: Instant,
    /// Deliver mail at once after each step.
    pub(super) prompt: bool,
}

impl World {
    pub(super) fn new(workers: usize) -> Self {
        Self::with(workers, |_| {})
    }

    #[expect(clippy::disallowed_methods, reason = "a test has to begin at some time")]
    pub(super) fn with(workers: usize, change: impl Fn(&mut CoreConfig)) -> Self {
        let now = Instant::now();
        let mut config = CoreConfig::new("A");
        config.addresses = vec![
            crate::AddressConfig::prefix("multi", crate::Treatment::Multicast),
            crate::AddressConfig::prefix("close", crate::Treatment::Closest),
            crate::AddressConfig::prefix("none", crate::Treatment::Unavailable),
        ];
        change(&mut config);
        let core = |w: usize| Core::new(config.clone(), WorkerId(w as u16), workers as u16, [3; 32], now);
        let posts = || (0..workers).map(|_| WorkerBatch::default()).collect();
        Self {
            cores: (0..workers).map(core).collect(),
            sides: (0..workers).map(|_| Side { posts: posts(), ..Side::default() }).collect(),
            mail: (0..workers).map(|_| (0..workers).map(|_| VecDeque::new()).collect()).collect(),
            senders: Vec::new(),
            receivers: Vec::new(),
            next_link: 0,
            now,
            prompt: true,
        }
    }

    /// What an adaptor does after a batch.
    pub(super) fn end_batch(&mut self, w: usize) {
        self.cores[w].end_batch(&mut self.sides[w]);
        for to in 0..self.cores.len() {
            let batch = std::mem::take(&mut self.sides[w].posts[to]);
            if !batch.is_empty() {
                self.mail[w][to].push_back(batch);
            }
        }
        if self.prompt {
            self.deliver_all();
        }
    }

    /// Hands over one batch. False if there is none.
    pub(super) fn deliver(&mut self, from: usize, to: usize) -> bool {
        let Some(batch) = self.mail[from][to].pop_front() else { return false };
        let spare = self.cores[to].worker_batch(WorkerId(from as u16), batch, &mut self.sides[to]);
        assert!(spare.is_empty() && spare.content_len() == 0);
        // Used again, as adaptors do.
        if self.sides[to].posts[from].is_empty() {
            self.sides[to].posts[from] = spare;
        }
        let prompt = std::mem::replace(&mut self.prompt, false);
        self.end_batch(to);
        self.prompt = prompt;
        true
    }

    pub(super) fn deliver_all(&mut self) {
        for _ in 0..10_000 {
            let mut any = false;
            for from in 0..self.cores.len() {
                for to in 0..self.cores.len() {
                    any |= self.deliver(from, to);
                }
            }
            if !any {
                return;
            }
        }
        panic!("workers do not stop talking");
    }

    pub(super) fn conn(&mut self, w: usize) -> ConnKey {
        self.conn_with(w, &ConnInfo::default())
    }

    pub(super) fn conn_with(&mut self, w: usize, info: &ConnInfo) -> ConnKey {
        self.cores[w].connection_opened(info).unwrap()
    }

    pub(super) fn link(&mut self) -> LinkRef {
        self.next_link += 1;
        LinkRef { conn: self.next_link, link: self.next_link }
    }

    pub(super) fn attach_sender(&mut self, w: usize, conn: ConnKey, target: Terminus<'_>) -> Result<Sender, Refusal> {
        let link = self.link();
        let inlet = Inlet::new(w, InletKey::NONE);
        self.sides[w].inlets.insert(link, inlet);
        let attached = self.cores[w].attach_inlet(conn, link, &InletRequest { target }, &mut self.sides[w])?;
        let inlet = self.sides[w].inlets.get_mut(&link).unwrap();
        inlet.key = attached.key;
        inlet.dynamic = attached.dynamic;
        self.senders.push((w, link));
        self.end_batch(w);
        Ok(self.senders.len() - 1)
    }

    pub(super) fn attach_receiver(
        &mut self,
        w: usize,
        conn: ConnKey,
        source: Terminus<'_>,
    ) -> Result<Receiver, Refusal> {
        let link = self.link();
        let outlet = Outlet::new(conn);
        self.sides[w].outlets.insert(link, outlet);
        let attached = self.cores[w].attach_outlet(conn, link, &OutletRequest { source }, &mut self.sides[w])?;
        let outlet = self.sides[w].outlets.get_mut(&link).unwrap();
        outlet.key = attached.key;
        outlet.dynamic = attached.dynamic;
        self.receivers.push((w, link));
        self.end_batch(w);
        Ok(self.receivers.len() - 1)
    }

    /// A link of ours to a neighbour, and its credit.
    pub(super) fn hop(&mut self, w: usize, neighbour: &str, kind: crate::HopLink, credit: u32) -> Receiver {
        self.hop_to(w, (neighbour, false), kind, credit)
    }

    /// The same, to a router of ours or another.
    pub(super) fn hop_to(&mut self, w: usize, neighbour: (&str, bool), kind: crate::HopLink, credit: u32) -> Receiver {
        let conn = self.conn(w);
        let link = self.link();
        self.sides[w].outlets.insert(link, Outlet::new(conn));
        let key = self.cores[w].attach_hop(conn, link, neighbour, kind, &mut self.sides[w]).unwrap();
        self.sides[w].outlets.get_mut(&link).unwrap().key = key;
        self.receivers.push((w, link));
        self.end_batch(w);
        let r = self.receivers.len() - 1;
        if credit > 0 {
            self.credit(r, credit, false);
        }
        r
    }

    /// A link to the router at the other end of an edge connection, `to` this lookup key.
    pub(super) fn edge_hop(&mut self, w: usize, (edge, ours): (u64, bool), to: &str, credit: u32) -> Receiver {
        self.edge_hop_to(w, crate::EdgeEnd { conn: edge, ours, peer: false }, to, credit)
    }

    /// The same, to an interior or an edge router.
    pub(super) fn edge_hop_to(&mut self, w: usize, end: crate::EdgeEnd, to: &str, credit: u32) -> Receiver {
        let conn = self.conn(w);
        let link = self.link();
        self.sides[w].outlets.insert(link, Outlet::new(conn));
        let to = crate::EdgeLink::Address(to);
        let key = self.cores[w].attach_edge_outlet(conn, link, end, to, &mut self.sides[w]).unwrap();
        self.sides[w].outlets.get_mut(&link).unwrap().key = key;
        self.receivers.push((w, link));
        self.end_batch(w);
        let r = self.receivers.len() - 1;
        if credit > 0 {
            self.credit(r, credit, false);
        }
        r
    }

    /// A link from there, for the address with this lookup key.
    pub(super) fn edge_sender(&mut self, w: usize, edge: u64, bound: &str) -> Sender {
        self.edge_sender_from(
            w,
            crate::EdgeEnd { conn: edge, ours: true, peer: false },
            crate::EdgeLink::Address(bound),
        )
    }

    /// A link of any kind from there.
    pub(super) fn edge_sender_from(&mut self, w: usize, end: crate::EdgeEnd, from: crate::EdgeLink<'_>) -> Sender {
        let conn = self.conn(w);
        let link = self.link();
        let key = self.cores[w].attach_edge_inlet(conn, link, end, from).unwrap();
        self.sides[w].inlets.insert(link, Inlet::new(w, key));
        self.senders.push((w, link));
        self.end_batch(w);
        self.senders.len() - 1
    }

    /// The links for streams that were asked for on a connection.
    pub(super) fn client_streams(&mut self, w: usize, conn: ConnKey, credit: u32) -> Vec<Receiver> {
        let wanted = std::mem::take(&mut self.sides[w].client_streams_wanted).len();
        let mut all = Vec::new();
        for _ in 0..wanted {
            let link = self.link();
            self.sides[w].outlets.insert(link, Outlet::new(conn));
            let key = self.cores[w].attach_client_stream(conn, link, &mut self.sides[w]).unwrap();
            self.sides[w].outlets.get_mut(&link).unwrap().key = key;
            self.receivers.push((w, link));
            self.end_batch(w);
            let r = self.receivers.len() - 1;
            self.credit(r, credit, false);
            all.push(r);
        }
        all
    }

    /// Servers of this worker take streams from now on.
    pub(super) fn serve(&mut self, w: usize) {
        self.sides[w].serves = Some(self.cores[w].internal_connection());
    }

    /// The `n`th stream that a server took.
    pub(super) fn served(&mut self, w: usize, n: usize) -> Receiver {
        self.receivers.push((w, self.sides[w].served[n].0));
        self.receivers.len() - 1
    }

    /// Notes an inlet that the core made.
    pub(super) fn flow_sender(
        &mut self,
        w: usize,
        make: impl FnOnce(&mut Core, LinkRef, &mut Side) -> InletKey,
    ) -> Sender {
        let link = self.link();
        let mut inlet = Inlet::new(w, InletKey::NONE);
        inlet.deliveries.insert(0, Outgoing { begun: true, body: vec![b'-'; 1000], ..Outgoing::default() });
        inlet.current = Some(0);
        self.sides[w].inlets.insert(link, inlet);
        let key = make(&mut self.cores[w], link, &mut self.sides[w]);
        self.sides[w].inlets.get_mut(&link).unwrap().key = key;
        self.senders.push((w, link));
        self.end_batch(w);
        self.senders.len() - 1
    }

    /// A link on which a neighbour sends.
    pub(super) fn router_sender(&mut self, w: usize) -> Sender {
        self.router_link(w, crate::HopLink::Priority(4))
    }

    pub(super) fn router_link(&mut self, w: usize, kind: crate::HopLink) -> Sender {
        let conn = self.conn(w);
        let link = self.link();
        let key = self.cores[w].attach_router_inlet(conn, link, true, kind).unwrap();
        self.sides[w].inlets.insert(link, Inlet::new(w, key));
        self.senders.push((w, link));
        self.end_batch(w);
        self.senders.len() - 1
    }

    /// No link for streams to a neighbour is to be had.
    pub(super) fn no_stream(&mut self, w: usize, neighbour: &str) {
        self.cores[w].no_stream(neighbour, &mut self.sides[w]);
        self.streams_answered(w, neighbour);
    }

    /// All requests for links for streams are answered.
    pub(super) fn streams_answered(&mut self, w: usize, neighbour: &str) {
        for _ in 0..std::mem::take(&mut self.sides[w].streams_wanted).len() {
            self.cores[w].stream_answered(neighbour, &mut self.sides[w]);
        }
        self.end_batch(w);
    }

    /// One request for a link for streams is answered.
    pub(super) fn stream_answered(&mut self, w: usize, neighbour: &str) {
        self.cores[w].stream_answered(neighbour, &mut self.sides[w]);
        self.end_batch(w);
    }

    /// A sender with a connection of its own.
    pub(super) fn sender(&mut self, w: usize, address: &str) -> Sender {
        let conn = self.conn(w);
        let target = if address.is_empty() { Terminus::Anonymous } else { Terminus::Address(address) };
        self.attach_sender(w, conn, target).unwrap()
    }

    /// A receiver with a connection of its own.
    pub(super) fn receiver(&mut self, w: usize, address: &str, credit: u32) -> Receiver {
        let conn = self.conn(w);
        let r = self.attach_receiver(w, conn, Terminus::Address(address)).unwrap();
        if credit > 0 {
            self.credit(r, credit, false);
        }
        r
    }

    pub(super) fn inlet(&self, s: Sender) -> &Inlet {
        let (w, link) = self.senders[s];
        &self.sides[w].inlets[&link]
    }

    pub(super) fn inlet_mut(&mut self, s: Sender) -> &mut Inlet {
        let (w, link) = self.senders[s];
        self.sides[w].inlets.get_mut(&link).unwrap()
    }

    pub(super) fn outlet(&self, r: Receiver) -> &Outlet {
        let (w, link) = self.receivers[r];
        &self.sides[w].outlets[&link]
    }

    pub(super) fn outlet_mut(&mut self, r: Receiver) -> &mut Outlet {
        let (w, link) = self.receivers[r];
        self.sides[w].outlets.get_mut(&link).unwrap()
    }

    /// Bodies that a receiver has in full.
    pub(super) fn bodies(&self, r: Receiver) -> Vec<Vec<u8>> {
        self.outlet(r).received.iter().filter(|r| r.end == End::Complete).map(|r| r.bytes.clone()).collect()
    }

    pub(super) fn count(&self, r: Receiver) -> usize {
        self.bodies(r).len()
    }

    /// Sends a whole message; answers its delivery-id.
    pub(super) fn send(&mut self, s: Sender, body: &[u8], settled: bool) -> u32 {
        self.begin(s, body, settled, false, body.len())
    }

    /// Sends the first `n` bytes of a message; all of them complete it.
    pub(super) fn begin(&mut self, s: Sender, body: &[u8], settled: bool, second: bool, n: usize) -> u32 {
        let inlet = self.inlet_mut(s);
        assert!(inlet.credit > 0, "the sender has no credit");
        inlet.credit -= 1;
        let id = inlet.deliveries.last_key_value().map_or(0, |(id, _)| id + 1);
        inlet
            .deliveries
            .insert(id, Outgoing { settled, presettled: settled, second, body: body.to_vec(), ..Outgoing::default() });
        inlet.current = Some(id);
        self.part(s, n);
        id
    }

    /// Sends `n` bytes more of the current message.
    pub(super) fn part(&mut self, s: Sender, n: usize) {
        let (w, link) = self.senders[s];
        let inlet = self.sides[w].inlets.get_mut(&link).unwrap();
        let id = inlet.current.expect("nothing is being sent");
        let d = inlet.deliveries.get_mut(&id).unwrap();
        let first = !std::mem::replace(&mut d.begun, true);
        let to = (d.sent + n).min(d.body.len());
        let block = Bytes::copy_from_slice(&d.body[d.sent..to]);
        d.sent = to;
        let end = if to == d.body.len() { End::Complete } else { End::More };
        d.complete = end == End::Complete;
        if d.complete {
            inlet.current = None;
        }
        let t = Transfer { delivery_id: id, first, end, settled: d.settled, message_format: 0, rcv_second: d.second };
        self.transfer(s, id, &t, &block);
    }

    fn transfer(&mut self, s: Sender, id: u32, t: &Transfer, block: &Bytes) {
        let (w, link) = self.senders[s];
        let key = self.sides[w].inlets[&link].key;
        // The outcome may come in the same call.
        let settled = t.settled;
        let answer = self.cores[w].transfer(key, t, &Payload::new(block), &mut self.sides[w]);
        let inlet = self.sides[w].inlets.get_mut(&link).unwrap();
        if let Some(d) = inlet.deliveries.get_mut(&id) {
            if answer.is_some() {
                assert!(!settled, "a key for a settled delivery");
                d.key = answer;
            } else if t.first && t.end == End::Complete {
                assert!(d.settled, "an unsettled delivery without key");
            }
        }
        self.end_batch(w);
    }

    pub(super) fn send_rest(&mut self, s: Sender) {
        self.part(s, usize::MAX / 4);
    }

    pub(super) fn abort(&mut self, s: Sender) {
        let inlet = self.inlet_mut(s);
        let id = inlet.current.take().expect("nothing is being sent");
        let d = inlet.deliveries.get_mut(&id).unwrap();
        d.aborted = true;
        d.settled = true;
        let t = Transfer {
            delivery_id: id,
            first: false,
            end: End::Aborted,
            settled: false,
            message_format: 0,
            rcv_second: false,
        };
        let (w, link) = self.senders[s];
        let key = self.sides[w].inlets[&link].key;
        self.cores[w].transfer(key, &t, &Payload::empty(), &mut self.sides[w]);
        self.end_batch(w);
    }

    pub(super) fn credit(&mut self, r: Receiver, credit: u32, drain: bool) {
        let (w, link) = self.receivers[r];
        let outlet = self.sides[w].outlets.get_mut(&link).unwrap();
        outlet.credit = credit;
        let key = outlet.key;
        self.cores[w].credit(key, credit, drain, &mut self.sides[w]);
        self.end_batch(w);
    }

    /// The receiver speaks about its `n`th delivery.
    pub(super) fn outcome(&mut self, r: Receiver, n: usize, state: Option<DeliveryState>, settled: bool) {
        self.say(r, n, state, settled);
        self.end_batch(self.receivers[r].0);
    }

    fn say(&mut self, r: Receiver, n: usize, state: Option<DeliveryState>, settled: bool) {
        let (w, link) = self.receivers[r];
        let incoming = &mut self.sides[w].outlets.get_mut(&link).unwrap().received[n];
        assert!(!incoming.settled, "the receiver speaks of a settled delivery");
        if settled || state.as_ref().is_some_and(DeliveryState::is_terminal) {
            incoming.outcome = state.clone();
            if state == Some(DeliveryState::Accepted) {
                let body = incoming.bytes.clone();
                self.sides[w].accepted.push(body);
            }
        }
        let incoming = &mut self.sides[w].outlets.get_mut(&link).unwrap().received[n];
        incoming.settled |= settled;
        let token = incoming.token;
        self.cores[w].outcome(OutKey::from_raw(token), state.as_ref(), settled, &mut self.sides[w]);
    }

    pub(super) fn accept(&mut self, r: Receiver, n: usize) {
        self.outcome(r, n, Some(DeliveryState::Accepted), true);
    }

    /// In one batch.
    pub(super) fn accept_all(&mut self, r: Receiver) {
        for n in 0..self.outlet(r).received.len() {
            let incoming = &self.outlet(r).received[n];
            if !incoming.settled && incoming.end == End::Complete {
                self.say(r, n, Some(DeliveryState::Accepted), true);
            }
        }
        self.end_batch(self.receivers[r].0);
    }

    /// The sender speaks.
    pub(super) fn sender_state(&mut self, s: Sender, id: u32, state: Option<DeliveryState>, settled: bool) {
        let (w, link) = self.senders[s];
        let d = self.sides[w].inlets.get_mut(&link).unwrap().deliveries.get_mut(&id).unwrap();
        d.settled |= settled;
        let Some(key) = d.key else { return };
        self.cores[w].sender_state(key, state.as_ref(), settled, &mut self.sides[w]);
        self.end_batch(w);
    }

    /// Gives a receiver's link so much room.
    pub(super) fn room(&mut self, r: Receiver, room: usize) {
        let (w, link) = self.receivers[r];
        let outlet = self.sides[w].outlets.get_mut(&link).unwrap();
        outlet.room = room;
        let conn = outlet.conn;
        if outlet.short && room > 0 {
            outlet.short = false;
            self.cores[w].writable(conn, &mut self.sides[w]);
            self.end_batch(w);
        }
    }

    pub(super) fn answer_drain(&mut self, s: Sender) {
        let (w, link) = self.senders[s];
        let inlet = self.sides[w].inlets.get_mut(&link).unwrap();
        if !std::mem::replace(&mut inlet.draining, false) {
            return;
        }
        inlet.credit = 0;
        let key = inlet.key;
        self.cores[w].inlet_drained(key, 0, &mut self.sides[w]);
        self.end_batch(w);
    }

    pub(super) fn detach_sender(&mut self, s: Sender) {
        let (w, link) = self.senders[s];
        let inlet = self.sides[w].inlets.get_mut(&link).unwrap();
        if !inlet.attached {
            return;
        }
        let key = inlet.key;
        // Until the core knows, it may still release and settle.
        self.cores[w].detach_inlet(key, &mut self.sides[w]);
        let inlet = self.sides[w].inlets.get_mut(&link).unwrap();
        inlet.attached = false;
        inlet.current = None;
        self.end_batch(w);
    }

    pub(super) fn detach_receiver(&mut self, r: Receiver) {
        let (w, link) = self.receivers[r];
        let outlet = self.sides[w].outlets.get_mut(&link).unwrap();
        if !outlet.attached {
            return;
        }
        outlet.attached = false;
        let key = outlet.key;
        self.cores[w].detach_outlet(key, &mut self.sides[w]);
        self.end_batch(w);
    }

    /// Others take the place of a receiver: it goes on with what it has.
    pub(super) fn retire_receiver(&mut self, r: Receiver) {
        let (w, key) = (self.receivers[r].0, self.outlet(r).key);
        self.cores[w].retire_outlet(key, &mut self.sides[w]);
        self.end_batch(w);
    }

    pub(super) fn tick(&mut self, after: Duration) {
        self.now += after;
        for w in 0..self.cores.len() {
            self.cores[w].observe(self.now);
            self.cores[w].handle_timeout(self.now, &mut self.sides[w]);
            self.end_batch(w);
        }
    }

    /// How many links are kept for what senders send after something long, in all workers that send.
    pub(super) fn kept(&self) -> usize {
        self.cores.iter().map(Core::kept_for_lines).sum()
    }

    /// The only outcome that a sender was told of a delivery.
    pub(super) fn told(&self, s: Sender, id: u32) -> Option<DeliveryState> {
        match self.inlet(s).deliveries[&id].outcomes.as_slice() {
            [] => None,
            [(state, _)] => state.clone(),
            more => panic!("{more:?}"),
        }
    }

    /// Nothing is left of anything, once all links are gone.
    pub(super) fn assert_empty(&mut self) {
        for s in 0..self.senders.len() {
            self.detach_sender(s);
        }
        for r in 0..self.receivers.len() {
            self.detach_receiver(r);
        }
        self.deliver_all();
        for core in &self.cores {
            core.assert_empty();
        }
    }
}
