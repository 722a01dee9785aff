//! Two engines that exchange random operations in random pieces: nothing panics, neither finds fault with the other, and at the end
//! every delivery that was sent was received and settled as the receiver said.

use std::{collections::HashMap, time::Duration};

use bytes::Bytes;
use proptest::prelude::*;

use super::{pair::Pair, peer::config};
use crate::{
    DeliveryState,
    connection::*,
    performative::{Attach, Role},
};

#[derive(Clone, Copy, Debug)]
enum Op {
    /// Node, sending link, size, settled, how it goes on.
    Send(usize, usize, usize, bool, u8),
    Grant(usize, usize, u32),
    Drain(usize, usize),
    /// Node, receiving link, which of the unsettled, whether settled at once.
    Settle(usize, usize, usize, bool),
    Hold(usize, usize, usize),
    Release(usize),
    Deliver(usize, usize),
    Detach(usize, usize, bool),
    Attach(usize, bool),
    Time(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let node = 0usize..2;
    prop_oneof![
        6 => (node.clone(), 0usize..4, prop_oneof![Just(0usize), 1usize..200, 1000usize..9000], any::<bool>(), 0u8..8)
            .prop_map(|(n, l, s, p, e)| Op::Send(n, l, s, p, e)),
        4 => (node.clone(), 0usize..4, 1u32..20).prop_map(|(n, l, c)| Op::Grant(n, l, c)),
        1 => (node.clone(), 0usize..4).prop_map(|(n, l)| Op::Drain(n, l)),
        5 => (node.clone(), 0usize..4, 0usize..50, any::<bool>()).prop_map(|(n, l, w, s)| Op::Settle(n, l, w, s)),
        1 => (node.clone(), 0usize..4, 0usize..20_000).prop_map(|(n, l, b)| Op::Hold(n, l, b)),
        1 => node.clone().prop_map(Op::Release),
        8 => (node.clone(), 1usize..3000).prop_map(|(n, b)| Op::Deliver(n, b)),
        1 => (node.clone(), 0usize..4, any::<bool>()).prop_map(|(n, l, c)| Op::Detach(n, l, c)),
        1 => (node, any::<bool>()).prop_map(|(n, s)| Op::Attach(n, s)),
        1 => (1u64..3000).prop_map(Op::Time),
    ]
}

/// What the model knows about one end of a link.
#[derive(Debug, Default)]
struct End_ {
    id: Option<LinkId>,
    name: String,
    /// Receiver: ids that are unsettled here.
    unsettled: Vec<u32>,
    held: usize,
    /// Deliveries whose first frame was sent or received; incomplete one.
    begun: u64,
    partial: Option<Vec<u8>>,
    /// Digest of all that was completed.
    complete: Vec<(usize, u8)>,
    aborted: u64,
}

#[derive(Default)]
struct Model {
    senders: [Vec<End_>; 2],
    receivers: [Vec<End_>; 2],
    faults: Vec<String>,
    outcomes: HashMap<u64, bool>,
    sessions: [Option<SessionId>; 2],
    names: u32,
}

impl Model {
    fn on_event(&mut self, node: usize, engine: &mut Connection, event: Event, block: &Bytes) {
        match event {
            Event::SessionBegun { session, .. } => self.sessions[node] = Some(session),
            Event::Attached(attached) if !attached.answer => {
                let answer = attached.answer(attached.attach.source.clone(), attached.attach.target.clone());
                engine.accept_attach(attached.link, answer, 1);
                let end = End_ { id: Some(attached.link), name: attached.attach.name.to_string(), ..End_::default() };
                if attached.link.role() == Role::Sender {
                    self.senders[node].push(end)
                } else {
                    self.receivers[node].push(end)
                }
            }
            Event::Transfer(t) => {
                let end = self.receivers[node].iter_mut().find(|e| e.id == Some(t.link)).expect("a link of the model");
                if t.first {
                    assert!(end.partial.is_none());
                    end.begun += 1;
                    end.partial = Some(Vec::new());
                    if !t.settled {
                        end.unsettled.push(t.delivery_id);
                        assert!(engine.set_incoming_token(t.link, t.delivery_id, 5));
                    }
                }
                let partial = end.partial.as_mut().expect("a delivery was begun");
                partial.extend_from_slice(t.payload(block).as_slice());
                if t.aborted {
                    end.aborted += 1;
                    end.partial = None;
                } else if !t.more {
                    let all = end.partial.take().unwrap();
                    end.complete.push((all.len(), all.first().copied().unwrap_or(0)));
                }
                if t.settled {
                    end.unsettled.retain(|id| *id != t.delivery_id);
                }
            }
            Event::Disposition(mut d) => {
                let (settled, outgoing) = (d.settled, d.outgoing);
                while let Some(one) = engine.next_disposed(&mut d) {
                    if outgoing {
                        assert!(self.outcomes.insert(one.token, settled) != Some(true), "settled twice");
                        if !settled {
                            engine.settle_outgoing(one.link, one.delivery_id, None, true);
                        }
                    } else {
                        let end = self.receivers[node].iter_mut().find(|e| e.id == Some(one.link)).unwrap();
                        end.unsettled.retain(|id| *id != one.delivery_id);
                    }
                }
            }
            Event::Credit { link, drain: true, .. } if !engine.sent_so_far(link).started => engine.drained(link),
            Event::Detached { link, error, .. } => {
                if let Some(error) = error {
                    self.faults.push(error.to_string());
                }
                let ends =
                    if link.role() == Role::Sender { &mut self.senders[node] } else { &mut self.receivers[node] };
                ends.retain(|e| e.id != Some(link));
            }
            Event::SessionEnded { error, .. } => self.faults.push(format!("session: {error:?}")),
            Event::Closed(closed) => self.faults.push(format!("closed: {closed:?}")),
            _ => {}
        }
    }

    fn attach(&mut self, pair: &mut Pair, node: usize, sender: bool) {
        let Some(session) = self.sessions[node] else {
            return;
        };
        let role = if sender { Role::Sender } else { Role::Receiver };
        let ends = if sender { &mut self.senders[node] } else { &mut self.receivers[node] };
        if ends.len() >= 4 {
            return;
        }
        self.names += 1;
        let name = format!("l{}", self.names);
        let id = pair.nodes[node]
            .engine
            .attach(session, Attach { name: name.as_str().into(), role, ..Attach::default() }, 1)
            .unwrap();
        ends.push(End_ { id: Some(id), name, ..End_::default() });
    }

    fn apply(&mut self, pair: &mut Pair, op: Op, token: u64) {
        match op {
            Op::Send(n, l, size, settled, how) => {
                let Some(end) = self.senders[n].get_mut(l) else {
                    return;
                };
                let engine = &mut pair.nodes[n].engine;
                let block = Bytes::from(vec![token as u8; size]);
                let how = match how {
                    0..=4 => End::Complete,
                    5 | 6 => End::More,
                    _ => End::Aborted,
                };
                let id = end.id.unwrap();
                let before = engine.sent_so_far(id);
                let prefix = vec![!token as u8; size % 7 * 100];
                let head = SendHead { settled, token, prefix: &prefix, ..SendHead::default() };
                let sent = engine.send(id, &head, &Payload::new(&block), how);
                assert!(sent.taken <= size);
                if before.started || sent.taken > 0 || (sent.done && sent.started) {
                    assert!(sent.started);
                    if !before.started {
                        end.begun += 1;
                        assert!(end.partial.is_none());
                        end.partial = Some(prefix);
                    }
                    end.partial.as_mut().unwrap().extend_from_slice(&block[..sent.taken]);
                }
                if sent.done && end.partial.is_some() && how != End::More {
                    let all = end.partial.take().unwrap();
                    if how == End::Complete {
                        end.complete.push((all.len(), all.first().copied().unwrap_or(0)));
                    } else {
                        end.aborted += 1;
                    }
                }
            }
            Op::Grant(n, l, credit) => {
                if let Some(end) = self.receivers[n].get(l) {
                    pair.nodes[n].engine.grant(end.id.unwrap(), credit);
                }
            }
            Op::Drain(n, l) => {
                if let Some(end) = self.receivers[n].get(l) {
                    pair.nodes[n].engine.request_drain(end.id.unwrap());
                }
            }
            Op::Settle(n, l, which, settled) => {
                let Some(end) = self.receivers[n].get_mut(l) else {
                    return;
                };
                if end.unsettled.is_empty() {
                    return;
                }
                let which = which % end.unsettled.len();
                let id = end.unsettled[which];
                assert!(pair.nodes[n].engine.settle_incoming(
                    end.id.unwrap(),
                    id,
                    Some(&DeliveryState::Accepted),
                    settled
                ));
                if settled {
                    end.unsettled.remove(which);
                }
            }
            Op::Hold(n, l, bytes) => {
                if let Some(end) = self.receivers[n].get_mut(l) {
                    end.held += bytes;
                    pair.nodes[n].engine.hold(end.id.unwrap(), bytes);
                }
            }
            Op::Release(n) => {
                for end in &mut self.receivers[n] {
                    pair.nodes[n].engine.release(end.id.unwrap(), std::mem::take(&mut end.held));
                }
            }
            Op::Deliver(to, bytes) => {
                pair.deliver(to, bytes, |engine, event, block| self.on_event(to, engine, event, block));
            }
            Op::Detach(n, l, closed) => {
                if l < self.senders[n].len() {
                    let end = self.senders[n].remove(l);
                    pair.nodes[n].engine.detach(end.id.unwrap(), closed, None);
                }
            }
            Op::Attach(n, sender) => self.attach(pair, n, sender),
            Op::Time(ms) => {
                pair.now += Duration::from_millis(ms);
                let now = pair.now;
                for node in &mut pair.nodes {
                    assert!(node.engine.handle_timeout(now).is_none() || !self.faults.is_empty());
                }
            }
        }
    }
}

/// Returns how many deliveries were completed.
fn run(first_id: u32, frame: u32, ops: &[Op]) -> usize {
    let limits =
        Limits { session_bytes: 16 * 1024, first_window_bytes: 64 * 1024, session_frames: 64, ..Limits::default() };
    let with = |max_frame_size| Config { first_id, max_frame_size, limits, idle_timeout: None, ..config() };
    let mut pair = Pair::new(with(frame), with(2048));
    let mut model = Model::default();
    pair.settle(|n, c, e, b| model.on_event(n, c, e, b));
    pair.nodes[0].engine.begin().unwrap();
    pair.settle(|n, c, e, b| model.on_event(n, c, e, b));
    for sender in [true, false] {
        model.attach(&mut pair, 0, sender);
        model.attach(&mut pair, 1, sender);
    }
    for (i, op) in ops.iter().enumerate() {
        model.apply(&mut pair, *op, i as u64);
        if !model.faults.is_empty() {
            break;
        }
    }
    assert!(model.faults.is_empty(), "{:?}", model.faults);
    // Everybody gets credit and nobody holds anything back: all that was begun is finished and settled.
    for n in 0..2 {
        model.apply(&mut pair, Op::Release(n), 0);
    }
    for round in 0..200 {
        pair.settle(|n, c, e, b| model.on_event(n, c, e, b));
        for n in 0..2 {
            for l in 0..model.senders[n].len() {
                if model.senders[n][l].partial.is_some() {
                    model.apply(&mut pair, Op::Send(n, l, 0, false, 0), 1_000_000 + round);
                }
            }
            for end in &mut model.receivers[n] {
                for id in end.unsettled.drain(..) {
                    assert!(pair.nodes[n].engine.settle_incoming(
                        end.id.unwrap(),
                        id,
                        Some(&DeliveryState::Accepted),
                        true
                    ));
                }
            }
        }
    }
    assert!(model.faults.is_empty(), "{:?}", model.faults);
    let mut total = 0;
    for n in 0..2 {
        for sender in &model.senders[n] {
            total += sender.complete.len();
            let Some(receiver) = model.receivers[1 - n].iter().find(|r| r.name == sender.name) else {
                panic!("{sender:?} has no receiver")
            };
            assert!(sender.partial.is_none() && receiver.partial.is_none());
            assert_eq!(sender.begun, receiver.begun);
            assert_eq!(sender.aborted, receiver.aborted);
            assert_eq!(sender.complete, receiver.complete, "what was sent was received");
            let (s, r) = (&pair.nodes[n].engine, &pair.nodes[1 - n].engine);
            assert_eq!(s.unsettled(sender.id.unwrap()), 0);
            assert_eq!(r.unsettled(receiver.id.unwrap()), 0);
            // What the receiver believes the sender may send is what it may send, up to grants that are not worth a flow yet.
            assert!(s.link_credit(sender.id.unwrap()) <= r.link_credit(receiver.id.unwrap()));
        }
    }
    total
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn deliveries_credit_and_windows_are_conserved(
        first_id in prop_oneof![Just(0u32), Just(u32::MAX - 20), any::<u32>()],
        frame in prop_oneof![Just(512u32), Just(16_384u32)],
        ops in proptest::collection::vec(op(), 0..400),
    ) {
        let total = run(first_id, frame, &ops);
        prop_assert!(total <= ops.len());
    }
}

#[test]
fn a_long_exchange_in_one_go() {
    let mut ops = vec![Op::Deliver(0, 5000), Op::Deliver(1, 5000)];
    for i in 0..5000 {
        // The first receiver of node 1 is of a link that it attached itself.
        ops.push(Op::Grant(1, 1, 2));
        ops.push(Op::Send(0, 0, i % 3000, false, 0));
        ops.push(Op::Deliver(1, 4000));
        ops.push(Op::Settle(1, 1, i, i % 3 != 0));
        ops.push(Op::Deliver(0, 4000));
    }
    let total = run(u32::MAX - 1000, 512, &ops);
    assert!(total > 4900, "{total}");
}
