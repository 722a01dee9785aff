//! Random interleavings keep what was promised.

use proptest::{collection::vec, prelude::*};

use super::world::{FULL, Receiver, Sender, World};
use crate::{
    ConnInfo, Core, Terminus,
    egress::{DeliveryState, End},
};

#[derive(Debug, Clone, Copy)]
enum Op {
    Sender { worker: u8, address: u8, capacity: u8 },
    Receiver { worker: u8, address: u8, settles: bool },
    DetachSender(u8),
    DetachReceiver(u8),
    RetireReceiver(u8),
    Send { sender: u8, size: u16, parts: u8, settled: bool, second: bool },
    Part(u8),
    Abort(u8),
    Credit { receiver: u8, credit: u8, drain: bool },
    Room { receiver: u8, room: u16 },
    Outcome { receiver: u8, which: u8, state: u8, settled: bool },
    SenderState { sender: u8, which: u8 },
    AnswerDrain(u8),
    Mail { from: u8, to: u8 },
    Tick,
}

fn op() -> impl Strategy<Value = Op> {
    let b = any::<u8>;
    prop_oneof![
        2 => (b(), b(), b()).prop_map(|(worker, address, capacity)| Op::Sender { worker, address, capacity }),
        3 => (b(), b(), prop::bool::weighted(0.1)).prop_map(|(worker, address, settles)| Op::Receiver { worker, address, settles }),
        1 => b().prop_map(Op::DetachSender),
        1 => b().prop_map(Op::DetachReceiver),
        1 => b().prop_map(Op::RetireReceiver),
        12 => (b(), prop_oneof![0..40u16, 1000..6000u16], 1..4u8, any::<bool>(), prop::bool::weighted(0.2))
            .prop_map(|(sender, size, parts, settled, second)| Op::Send { sender, size, parts, settled, second }),
        6 => b().prop_map(Op::Part),
        1 => b().prop_map(Op::Abort),
        8 => (b(), 0..40u8, prop::bool::weighted(0.15)).prop_map(|(receiver, credit, drain)| Op::Credit { receiver, credit, drain }),
        3 => (b(), prop_oneof![Just(0u16), 1..3000u16, Just(u16::MAX)]).prop_map(|(receiver, room)| Op::Room { receiver, room }),
        10 => (b(), b(), b(), any::<bool>()).prop_map(|(receiver, which, state, settled)| Op::Outcome { receiver, which, state, settled }),
        2 => (b(), b()).prop_map(|(sender, which)| Op::SenderState { sender, which }),
        1 => b().prop_map(Op::AnswerDrain),
        12 => (b(), b()).prop_map(|(from, to)| Op::Mail { from, to }),
        1 => Just(Op::Tick),
    ]
}

/// Two addresses of each treatment would only make meetings rarer.
const ALL: [&str; 4] = ["bal", "close/a", "multi/a", "bal"];
const UNICAST: [&str; 4] = ["bal", "close/a", "bal", "bal"];

struct Run {
    world: World,
    /// Which deliveries a body belongs to: bodies are unique.
    serial: u32,
    known: [&'static str; 4],
    /// What each sender sends to; empty: anonymous.
    addresses: Vec<&'static str>,
    lost_receivers: bool,
}

fn body(serial: u32, size: u16, to: Option<&str>) -> Vec<u8> {
    let mut body = Vec::new();
    if let Some(to) = to {
        // properties, with `to` only
        body.extend([0x00, 0x53, 0x73, 0xc0, (to.len() + 4) as u8, 3, 0x40, 0x40, 0xa1, to.len() as u8]);
        body.extend(to.as_bytes());
    }
    if serial.is_multiple_of(2) {
        body.extend(super::spans::context(true));
    }
    body.extend([0x00, 0x53, 0x75, 0xb0]);
    body.extend((u32::from(size) + 4).to_be_bytes());
    body.extend(serial.to_be_bytes());
    body.extend((0..size).map(|i| (i as u32 ^ serial) as u8));
    body
}

impl Run {
    fn senders(&self) -> Vec<Sender> {
        (0..self.world.senders.len()).filter(|s| self.world.inlet(*s).attached).collect()
    }

    fn receivers(&self) -> Vec<Receiver> {
        (0..self.world.receivers.len()).filter(|r| self.world.outlet(*r).attached).collect()
    }

    fn apply(&mut self, op: Op) {
        let workers = self.world.cores.len();
        let pick = |list: Vec<usize>, n: u8| (!list.is_empty()).then(|| list[usize::from(n) % list.len()]);
        match op {
            Op::Sender { worker, address, capacity } => {
                let w = usize::from(worker) % workers;
                let info = ConnInfo {
                    link_capacity: (capacity % 3 == 0).then_some(u32::from(capacity % 20) + 1),
                    ..ConnInfo::default()
                };
                let conn = self.world.conn_with(w, &info);
                let address = if address % 8 == 7 { "" } else { self.known[usize::from(address) % self.known.len()] };
                let target = if address.is_empty() { Terminus::Anonymous } else { Terminus::Address(address) };
                self.world.attach_sender(w, conn, target).unwrap();
                self.addresses.push(address);
            }
            Op::Receiver { worker, address, settles } => {
                let w = usize::from(worker) % workers;
                let r = self.world.receiver(w, self.known[usize::from(address) % self.known.len()], 0);
                self.world.outlet_mut(r).settles = settles;
            }
            Op::DetachSender(n) => {
                if let Some(s) = pick(self.senders(), n) {
                    self.world.detach_sender(s);
                }
            }
            Op::DetachReceiver(n) => {
                if let Some(r) = pick(self.receivers(), n) {
                    self.lost_receivers = true;
                    self.world.detach_receiver(r);
                }
            }
            Op::RetireReceiver(n) => {
                if let Some(r) = pick(self.receivers(), n) {
                    self.world.retire_receiver(r);
                }
            }
            Op::Send { sender, size, parts, settled, second } => {
                let Some(s) = pick(self.senders(), sender) else { return };
                let inlet = self.world.inlet(s);
                if inlet.credit == 0 || inlet.current.is_some() {
                    return;
                }
                self.serial += 1;
                let to = self.addresses[s].is_empty().then(|| self.known[self.serial as usize % self.known.len()]);
                let body = body(self.serial, size, to);
                let first = if parts == 1 { body.len() } else { body.len() / usize::from(parts) };
                self.world.begin(s, &body, settled, second && !settled, first);
            }
            Op::Part(n) => {
                let sending = self.senders().into_iter().filter(|s| self.world.inlet(*s).current.is_some()).collect();
                if let Some(s) = pick(sending, n) {
                    let id = self.world.inlet(s).current.unwrap();
                    let len = self.world.inlet(s).deliveries[&id].body.len();
                    self.world.part(s, (len / 3).max(1));
                }
            }
            Op::Abort(n) => {
                let sending = self.senders().into_iter().filter(|s| self.world.inlet(*s).current.is_some()).collect();
                if let Some(s) = pick(sending, n) {
                    self.world.abort(s);
                }
            }
            Op::Credit { receiver, credit, drain } => {
                if let Some(r) = pick(self.receivers(), receiver) {
                    self.world.credit(r, credit.into(), drain);
                }
            }
            Op::Room { receiver, room } => {
                if let Some(r) = pick(self.receivers(), receiver) {
                    self.world.room(r, if room == u16::MAX { FULL } else { room.into() });
                }
            }
            Op::Outcome { receiver, which, state, settled } => {
                let Some(r) = pick(self.receivers(), receiver) else { return };
                let open: Vec<usize> = (0..self.world.outlet(r).received.len())
                    .filter(|n| {
                        let d = &self.world.outlet(r).received[*n];
                        // A receiver may settle what is still arriving, but not speak again after an outcome.
                        !d.settled && d.outcome.is_none() && d.end != End::Aborted
                    })
                    .collect();
                let Some(n) = pick(open, which) else { return };
                let early = self.world.outlet(r).received[n].end == End::More;
                let state = match state % 8 {
                    0..=3 if early => Some(DeliveryState::rejected(None)),
                    0..=3 => Some(DeliveryState::Accepted),
                    4 => Some(DeliveryState::Released),
                    5 => Some(DeliveryState::modified(true, state > 100)),
                    6 => Some(DeliveryState::rejected(None)),
                    _ if settled => None,
                    _ => Some(DeliveryState::Received { section_number: 0, section_offset: 0 }),
                };
                self.world.outcome(r, n, state, settled);
            }
            Op::SenderState { sender, which } => {
                let Some(s) = pick(self.senders(), sender) else { return };
                let told = |d: &super::world::Outgoing| d.outcomes.iter().any(|(_, settled)| !settled);
                let open: Vec<u32> = self
                    .world
                    .inlet(s)
                    .deliveries
                    .iter()
                    .filter(|(_, d)| !d.settled && d.key.is_some() && (told(d) || which > 200))
                    .map(|(id, _)| *id)
                    .collect();
                if !open.is_empty() {
                    let id = open[usize::from(which) % open.len()];
                    self.world.sender_state(s, id, None, true);
                }
            }
            Op::AnswerDrain(n) => {
                if let Some(s) = pick(self.senders(), n) {
                    self.world.answer_drain(s);
                }
            }
            Op::Mail { from, to } => {
                self.world.deliver(usize::from(from) % workers, usize::from(to) % workers);
            }
            Op::Tick => self.world.tick(std::time::Duration::from_secs(1)),
        }
    }

    /// Everybody does what is owed, until nothing happens any more.
    fn quiesce(&mut self) {
        self.world.prompt = true;
        for _ in 0..200 {
            self.world.deliver_all();
            let before = self.fingerprint();
            for s in self.senders() {
                if self.world.inlet(s).current.is_some() {
                    self.world.part(s, usize::MAX / 4);
                }
                self.world.answer_drain(s);
                let second: Vec<u32> = self
                    .world
                    .inlet(s)
                    .deliveries
                    .iter()
                    .filter(|(_, d)| !d.settled && d.outcomes.iter().any(|(_, settled)| !settled))
                    .map(|(id, _)| *id)
                    .collect();
                for id in second {
                    self.world.sender_state(s, id, None, true);
                }
            }
            for r in self.receivers() {
                self.world.room(r, FULL);
                self.world.accept_all(r);
                if self.world.outlet(r).credit < 500 {
                    self.world.credit(r, 1000, false);
                }
            }
            if self.fingerprint() == before {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    fn fingerprint(&self) -> Vec<u64> {
        let mut all = Vec::new();
        for core in &self.world.cores {
            let c = core.counters();
            all.extend([
                c.bytes_in,
                c.bytes_out,
                c.deliveries_out,
                c.deliveries_held,
                c.accepted,
                c.bytes_held,
                c.released,
                c.modified,
            ]);
        }
        for s in &self.world.senders {
            let i = &self.world.sides[s.0].inlets[&s.1];
            all.extend([u64::from(i.credit), u64::from(i.draining), i.held as u64]);
        }
        all
    }

    fn check(&mut self) {
        let mut received = std::collections::HashMap::<Vec<u8>, (usize, usize)>::new();
        for (w, link) in &self.world.receivers {
            for d in &self.world.sides[*w].outlets[link].received {
                if d.end == End::Complete {
                    let entry = received.entry(d.bytes.clone()).or_default();
                    entry.0 += 1;
                    entry.1 += usize::from(d.outcome == Some(DeliveryState::Accepted));
                }
            }
        }
        let auto = self.world.sides.iter().any(|s| s.outlets.values().any(|o| o.settles));
        for s in 0..self.world.senders.len() {
            let inlet = self.world.inlet(s);
            for (id, d) in &inlet.deliveries {
                let (copies, accepted) = received.get(&d.body).copied().unwrap_or_default();
                let multicast = self.addresses[s].starts_with("multi")
                    || self.addresses[s].is_empty() && self.known[2].starts_with("multi");
                if !multicast {
                    assert!(copies <= 1, "a unicast delivery came {copies} times");
                }
                if inlet.attached {
                    assert!(d.settled, "sender {s} was told nothing of delivery {id}: {d:?}");
                }
                let told = d.outcomes.iter().any(|(state, _)| *state == Some(DeliveryState::Accepted));
                if told && !auto {
                    assert!(accepted > 0, "delivery {id} of sender {s} is accepted and nobody accepted it");
                }
                assert!(d.complete || copies == 0, "an incomplete delivery was completed");
            }
            if inlet.attached {
                assert_eq!(inlet.held, 0, "sender {s}: bytes are held");
                let (issued, open, capacity) = self.world.cores[inlet.worker].issued(inlet.key);
                assert_eq!(open, 0, "sender {s}: deliveries are open");
                assert_eq!(issued, inlet.credit, "sender {s}: credit differs");
                let granting = inlet.credit > 0 || inlet.draining;
                assert!(
                    !granting || capacity.saturating_sub(issued) * 4 < capacity.max(1) || issued >= capacity,
                    "sender {s}: {issued} of {capacity}"
                );
            }
        }
        for (w, link) in &self.world.receivers {
            let outlet = &self.world.sides[*w].outlets[link];
            for d in &outlet.received {
                assert!(d.end != End::More || !outlet.attached, "a delivery was never finished");
                assert!(d.settled || d.end == End::Aborted || !outlet.attached, "an outcome was never settled: {d:?}");
            }
        }
        if !self.lost_receivers {
            self.check_order();
        }
        self.check_conservation();
        for core in &self.world.cores {
            assert_eq!(core.counters().bytes_held, 0);
            assert_eq!(core.counters().deliveries_held, 0, "{:#?}", core);
        }
    }

    /// Presettled unicast deliveries are received once, or counted as dropped, or went down with their receiver.
    fn check_conservation(&self) {
        let (mut sent, mut multicast) = (0, false);
        for s in 0..self.world.senders.len() {
            multicast |= self.known[2].starts_with("multi");
            sent += self.world.inlet(s).deliveries.values().filter(|d| d.complete && d.presettled).count();
        }
        if multicast {
            return;
        }
        let bodies: std::collections::HashSet<&[u8]> = (0..self.world.senders.len())
            .flat_map(|s| self.world.inlet(s).deliveries.values())
            .filter(|d| d.complete && d.presettled)
            .map(|d| d.body.as_slice())
            .collect();
        let received = self
            .world
            .receivers
            .iter()
            .flat_map(|(w, link)| &self.world.sides[*w].outlets[link].received)
            .filter(|d| d.end == End::Complete && bodies.contains(d.bytes.as_slice()))
            .count();
        let dropped: u64 = self.world.cores.iter().map(|c| c.counters().dropped_presettled).sum();
        assert!(
            received as u64 + dropped >= sent as u64,
            "of {sent} presettled {received} came and {dropped} were dropped"
        );
        if !self.lost_receivers {
            assert!(received <= sent);
        }
    }

    /// What a receiver got of one sender comes in the order in which that sender sent it.
    fn check_order(&self) {
        for s in 0..self.world.senders.len() {
            let sent: std::collections::HashMap<&[u8], u32> =
                self.world.inlet(s).deliveries.iter().map(|(id, d)| (d.body.as_slice(), *id)).collect();
            for (w, link) in &self.world.receivers {
                let got: Vec<u32> = self.world.sides[*w].outlets[link]
                    .received
                    .iter()
                    .filter_map(|d| sent.get(d.bytes.as_slice()).copied())
                    .collect();
                assert!(got.is_sorted(), "receiver {link:?} got {got:?} of sender {s}");
            }
        }
    }
}

fn run(workers: usize, known: [&'static str; 4], ops: &[Op]) {
    let mut run = Run {
        known,
        world: World::with(workers, |c| (c.multicast_lag, c.spans) = (3000, true)),
        serial: 0,
        addresses: Vec::new(),
        lost_receivers: false,
    };
    run.world.prompt = false;
    for op in ops {
        run.apply(*op);
        run.world.cores.iter().for_each(Core::assert_consistent);
    }
    run.quiesce();
    run.check();
    run.world.assert_empty();
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_worker(ops in vec(op(), 1..200)) {
        run(1, ALL, &ops);
    }

    #[test]
    fn two_workers(ops in vec(op(), 1..250)) {
        run(2, ALL, &ops);
    }

    #[test]
    fn four_workers(ops in vec(op(), 1..250)) {
        run(4, ALL, &ops);
    }

    #[test]
    fn unicast(ops in vec(op(), 1..250)) {
        run(3, UNICAST, &ops);
    }
}
