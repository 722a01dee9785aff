//! Spans of messages with a trace context.

use super::{
    network::{from_b, know},
    world::*,
};
use crate::{HopLink, Span, SpanOutcome, core::spans::MOST, egress::DeliveryState};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0";

/// A message with a trace context that is sampled or not.
fn message(sampled: bool) -> Vec<u8> {
    [context(sampled), vec![0x00, 0x53, 0x77, 0xa1, 1, b'x']].concat()
}

/// Its application properties.
pub(super) fn context(sampled: bool) -> Vec<u8> {
    let parent = format!("{PARENT}{}", u8::from(sampled));
    let mut m = vec![0x00, 0x53, 0x74, 0xc1, 71, 2, 0xa1, 11];
    m.extend(b"traceparent");
    m.extend([0xa1, 55]);
    m.extend(parent.as_bytes());
    m
}

fn world(workers: usize) -> World {
    World::with(workers, |config| config.spans = true)
}

/// What was made since the last call, of all workers.
fn spans(w: &mut World) -> Vec<Span> {
    w.cores.iter_mut().flat_map(|core| core.take_spans(usize::MAX)).collect()
}

fn outcomes(w: &mut World) -> Vec<SpanOutcome> {
    spans(w).iter().map(|span| span.outcome).collect()
}

#[test]
fn only_sampled_messages_have_spans() {
    let mut w = world(1);
    let r = w.receiver(0, "a", 10);
    let s = w.sender(0, "a");
    w.send(s, &message(false), false);
    w.send(s, b"something else", false);
    w.send(s, &message(true), false);
    assert_eq!(spans(&mut w), [], "they are not over");
    w.accept_all(r);
    let [span] = &spans(&mut w)[..] else { panic!("one is sampled") };
    assert_eq!((span.trace_id[0], span.parent[1], span.flags), (0x4b, 0xf0, 1));
    assert_eq!((&*span.address, span.outcome), ("Ma", SpanOutcome::Accepted));
    assert_eq!((w.cores[0].counters().spans, w.cores[0].counters().spans_dropped), (1, 0));
    w.assert_empty();
    let mut off = World::new(1);
    off.receiver(0, "a", 10);
    let s = off.sender(0, "a");
    off.send(s, &message(true), true);
    assert_eq!(spans(&mut off), []);
}

#[test]
fn outcomes_are_those_that_senders_are_told() {
    let mut w = world(1);
    let r = w.receiver(0, "a", 10);
    let s = w.sender(0, "a");
    for n in 0..4 {
        w.send(s, &message(true), false);
        let state = match n {
            0 => DeliveryState::rejected(None),
            1 => DeliveryState::Released,
            2 => DeliveryState::modified(true, false),
            _ => DeliveryState::Accepted,
        };
        w.outcome(r, n, Some(state), true);
    }
    // Its sender is not told how it ended.
    w.send(s, &message(true), true);
    let mut seen = outcomes(&mut w);
    assert_eq!(seen.pop(), Some(SpanOutcome::Settled));
    assert_eq!(seen, [SpanOutcome::Rejected, SpanOutcome::Released, SpanOutcome::Modified, SpanOutcome::Accepted]);
    w.assert_empty();
}

#[test]
fn what_waits_has_one_too() {
    let mut w = world(1);
    let r = w.receiver(0, "a", 0);
    let s = w.sender(0, "a");
    for settled in [false, true] {
        w.send(s, &message(true), settled);
    }
    assert_eq!(spans(&mut w), []);
    w.credit(r, 10, false);
    w.accept_all(r);
    assert_eq!(outcomes(&mut w), [SpanOutcome::Settled, SpanOutcome::Accepted]);
    // Nobody is left.
    w.credit(r, 0, false);
    for settled in [false, true] {
        w.send(s, &message(true), settled);
    }
    w.detach_receiver(r);
    let mut seen = outcomes(&mut w);
    seen.sort_by_key(|outcome| outcome.as_str());
    assert_eq!(seen, [SpanOutcome::Dropped, SpanOutcome::Released]);
    w.assert_empty();
}

#[test]
fn deliveries_in_parts() {
    let mut w = world(1);
    let r = w.receiver(0, "a", 10);
    let s = w.sender(0, "a");
    let long = [message(true), vec![7; 1000]].concat();
    w.begin(s, &long, false, false, 200);
    w.send_rest(s);
    w.accept_all(r);
    assert_eq!(outcomes(&mut w), [SpanOutcome::Accepted]);
    w.begin(s, &long, false, false, 200);
    w.abort(s);
    assert_eq!(outcomes(&mut w), [SpanOutcome::Aborted]);
    // Its beginning does not have all of the context.
    w.begin(s, &long, false, false, 20);
    w.send_rest(s);
    w.accept_all(r);
    assert_eq!(outcomes(&mut w), []);
    w.assert_empty();
}

#[test]
fn one_for_all_workers_and_all_copies() {
    let mut w = world(2);
    let far = w.receiver(1, "a", 10);
    let s = w.sender(0, "a");
    w.deliver_all();
    for settled in [false, true] {
        w.send(s, &message(true), settled);
        w.deliver_all();
        w.accept_all(far);
        w.deliver_all();
        let expected = if settled { SpanOutcome::Settled } else { SpanOutcome::Accepted };
        assert_eq!(outcomes(&mut w), [expected]);
    }
    let copies = [w.receiver(0, "multi/b", 10), w.receiver(0, "multi/b", 10), w.receiver(1, "multi/b", 10)];
    let s = w.sender(0, "multi/b");
    w.deliver_all();
    for settled in [false, true] {
        w.send(s, &message(true), settled);
        w.deliver_all();
        for r in copies {
            w.accept_all(r);
        }
        w.deliver_all();
        let expected = if settled { SpanOutcome::Settled } else { SpanOutcome::Accepted };
        assert_eq!(outcomes(&mut w), [expected], "{settled}");
    }
    w.assert_empty();
}

#[test]
fn between_routers() {
    let mut w = world(1);
    let b = w.hop(0, "B", HopLink::Priority(4), 10);
    let c = w.hop(0, "C", HopLink::Priority(4), 10);
    let s = w.sender(0, "svc");
    know(&mut w, &[("B", "Msvc")]);
    for settled in [false, true] {
        w.send(s, &message(true), settled);
        w.accept_all(b);
        let seen = spans(&mut w);
        assert_eq!(seen.len(), 1, "{settled}");
        assert_eq!(seen[0].to.as_deref(), Some("B"));
    }
    know(&mut w, &[("C", "Msvc")]);
    let s = w.router_sender(0);
    w.send(s, &from_b(Some("svc"), 0, &message(true)), false);
    w.accept_all(c);
    let [span] = &spans(&mut w)[..] else { panic!("one passed") };
    assert_eq!((&*span.address, span.to.as_deref(), span.outcome), ("Msvc", Some("C"), SpanOutcome::Accepted));
    know(&mut w, &[]);
    w.send(s, &from_b(Some("other"), 0, &message(true)), false);
    assert_eq!(spans(&mut w), [], "nothing is known of where it goes");
    w.assert_empty();
}

#[test]
fn they_are_bounded() {
    let mut w = world(1);
    let r = w.receiver(0, "a", u32::MAX / 4);
    let s = w.sender(0, "a");
    w.inlet_mut(s).credit = u32::MAX / 4;
    for _ in 0..MOST + 10 {
        w.send(s, &message(true), true);
    }
    assert_eq!(w.cores[0].counters().spans_dropped, 10);
    let seen = w.cores[0].take_spans(100);
    assert_eq!((seen.len(), spans(&mut w).len()), (100, MOST - 100));
    let ids: std::collections::HashSet<_> = seen.iter().map(|span| span.id).collect();
    assert_eq!(ids.len(), 100);
    // As many that are not over.
    for _ in 0..MOST + 10 {
        w.send(s, &message(true), false);
    }
    assert_eq!(w.cores[0].counters().spans_dropped, 20);
    w.accept_all(r);
    assert_eq!(spans(&mut w).len(), MOST);
}
