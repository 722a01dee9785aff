//! What a sender sends reaches a neighbour in order, also when some of it goes over links for streams.

use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::network::know;
use crate::{
    HopLink,
    annotations::{Parsed, parse},
    core::tests::world::{FULL, Incoming, Receiver, Sender, World},
    egress::End,
};

const NORMAL: HopLink = HopLink::Priority(4);
const LONG: usize = 100_000;
const VERY_LONG: usize = 400_000;
const PERIOD: Duration = Duration::from_secs(10);

fn body(number: u32, size: usize) -> Vec<u8> {
    let mut body = number.to_be_bytes().to_vec();
    body.resize(size.max(4), 7);
    body
}

/// The numbers of what began on a link. `None` if one of them has not come so far.
fn begun_on(w: &World, link: Receiver) -> Option<Vec<u32>> {
    let number = |came: &Incoming| match parse(&came.bytes) {
        Ok(Parsed::Found(_, size)) => came.bytes.get(size..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)),
        _ => None,
    };
    w.outlet(link).received.iter().map(number).collect()
}

fn numbers(w: &World, link: Receiver) -> Vec<u32> {
    begun_on(w, link).expect("some of it has hardly begun")
}

fn send(w: &mut World, s: Sender, number: u32, size: usize, settled: bool) {
    w.begin(s, &body(number, size), settled, false, 40_000);
    while w.inlet(s).current.is_some() {
        w.part(s, 40_000);
    }
}

/// A neighbour with links for messages, and so many for streams, on the last worker.
fn world(workers: usize, streams: usize, ours: bool) -> (World, Receiver, Vec<Receiver>) {
    let mut w = World::new(workers);
    let at = workers - 1;
    let shared = w.hop_to(at, ("C", ours), NORMAL, 100);
    let streams = (0..streams).map(|_| w.hop_to(at, ("C", ours), HopLink::Stream, 100)).collect();
    know(&mut w, &[("C", "Msvc"), ("C", "Mother"), ("C", "Mmulti/x")]);
    (w, shared, streams)
}

fn at(w: &World, links: &[Receiver]) -> Vec<Vec<u32>> {
    links.iter().map(|link| numbers(w, *link)).collect()
}

#[test]
fn what_follows_something_long_goes_the_same_way_for_a_while() {
    for workers in [1, 2] {
        let (mut w, shared, streams) = world(workers, 2, true);
        let (s, other) = (w.sender(0, "svc"), w.sender(0, "svc"));
        send(&mut w, s, 0, 10, false);
        w.accept(shared, 0);
        for (number, size) in [(1, LONG), (2, 10), (3, LONG), (4, 10)] {
            send(&mut w, s, number, size, false);
        }
        let used = streams.iter().copied().find(|link| w.count(*link) > 0).unwrap();
        let free = streams.iter().copied().find(|link| *link != used).unwrap();
        assert_eq!((numbers(&w, shared), numbers(&w, used)), (vec![0], vec![1, 2, 3, 4]));
        // Others have other links.
        send(&mut w, other, 5, LONG, false);
        send(&mut w, other, 6, 10, false);
        assert_eq!(numbers(&w, free), [5, 6]);
        for n in 0..4 {
            send(&mut w, s, 10 + n, 10, false);
            w.accept(used, n as usize);
        }
        assert_eq!(numbers(&w, shared), [0]);
        w.accept_all(used);
        send(&mut w, s, 20, 10, false);
        w.accept_all(used);
        assert_eq!(numbers(&w, shared), [0], "it may go on like this");
        (0..2).for_each(|_| w.tick(PERIOD));
        send(&mut w, s, 21, 10, false);
        assert_eq!(numbers(&w, shared), [0, 21]);
        // With its sender gone, a link is kept only until all of it is settled.
        w.detach_sender(other);
        assert_eq!(w.kept(), 1);
        w.accept_all(free);
        assert_eq!(w.kept(), 0);
        w.assert_empty();
    }
}

#[test]
fn what_follows_waits_for_the_same_link() {
    for workers in [1, 2] {
        let (mut w, shared, _) = world(workers, 0, true);
        let (s, other) = (w.sender(0, "svc"), w.sender(0, "svc"));
        for (s, first) in [(s, 0), (other, 10)] {
            send(&mut w, s, first, LONG, false);
            send(&mut w, s, first + 1, 10, false);
            send(&mut w, s, first + 2, LONG, false);
        }
        assert_eq!((w.count(shared), w.sides[0].streams_wanted.len()), (0, 2), "one for each");
        let link = w.hop(workers - 1, "C", HopLink::Stream, 1);
        w.stream_answered(0, "C");
        assert_eq!(numbers(&w, link), [0]);
        w.credit(link, 10, false);
        assert_eq!(numbers(&w, link), [0, 1, 2]);
        let second = w.hop(workers - 1, "C", HopLink::Stream, 10);
        w.stream_answered(0, "C");
        assert_eq!(at(&w, &[shared, link, second]), [vec![], vec![0, 1, 2], vec![10, 11, 12]]);
        w.assert_empty();
    }
}

/// The neighbour refuses links for streams.
#[test]
fn without_links_for_streams_all_goes_over_the_others() {
    for workers in [1, 2] {
        let (mut w, shared, _) = world(workers, 0, false);
        let s = w.sender(0, "svc");
        send(&mut w, s, 0, LONG, false);
        send(&mut w, s, 1, 10, false);
        w.no_stream(0, "C");
        send(&mut w, s, 2, 10, false);
        assert_eq!(numbers(&w, shared), [0, 1, 2]);
        w.assert_empty();
    }
}

/// A router of the reference has to take them one by one, but for what is very long.
#[test]
fn long_ones_go_over_the_links_of_all_to_routers_of_the_reference() {
    for settled in [false, true] {
        let (mut w, shared, streams) = world(1, 1, false);
        let s = w.sender(0, "svc");
        for (number, size) in [(0, 10), (1, LONG), (2, 10), (3, VERY_LONG), (4, 10)] {
            send(&mut w, s, number, size, settled);
        }
        assert_eq!((numbers(&w, shared), numbers(&w, streams[0])), (vec![0, 1, 2, 4], vec![3]));
        w.assert_empty();
    }
}

#[test]
fn what_is_sent_settled_keeps_its_link_for_a_while() {
    for workers in [1, 2] {
        let (mut w, shared, streams) = world(workers, 1, true);
        let s = w.sender(0, "svc");
        send(&mut w, s, 0, VERY_LONG, true);
        send(&mut w, s, 1, 10, true);
        w.accept_all(streams[0]);
        w.tick(PERIOD);
        send(&mut w, s, 2, 10, true);
        assert_eq!(numbers(&w, streams[0]), [0, 1, 2]);
        for _ in 0..2 {
            w.accept_all(streams[0]);
            w.tick(PERIOD);
        }
        send(&mut w, s, 3, 10, true);
        assert_eq!((numbers(&w, streams[0]), numbers(&w, shared)), (vec![0, 1, 2], vec![3]));
        w.assert_empty();
    }
}

#[test]
fn copies_for_a_neighbour_stay_in_order() {
    for streams in [0, 1] {
        let (mut w, shared, streams) = world(1, streams, true);
        let (near, s) = (w.receiver(0, "multi/x", 100), w.sender(0, "multi/x"));
        for (n, size) in [10, VERY_LONG, 10, LONG, 10].into_iter().enumerate() {
            send(&mut w, s, n as u32, size, false);
        }
        assert_eq!(w.bodies(near).len(), 5);
        let link = streams.first().copied().unwrap_or_else(|| w.hop(0, "C", HopLink::Stream, 100));
        assert_eq!((numbers(&w, shared), numbers(&w, link)), (vec![0], vec![1, 2, 3, 4]));
        w.accept_all(near);
        w.accept_all(link);
        (0..2).for_each(|_| w.tick(PERIOD));
        send(&mut w, s, 5, LONG, false);
        send(&mut w, s, 6, 10, false);
        assert_eq!(numbers(&w, shared), [0, 5, 6], "it is not very long");
        w.assert_empty();
    }
}

/// What waits for the links that all share is not passed by something that is not very long.
#[test]
fn something_long_does_not_pass_what_its_sender_sent_before() {
    let (mut w, _, streams) = world(1, 1, true);
    let at_credit = w.hop(0, "B", NORMAL, 1);
    let stream = w.hop(0, "B", HopLink::Stream, 10);
    know(&mut w, &[("C", "Msvc"), ("B", "Mslow")]);
    let s = w.sender(0, "slow");
    send(&mut w, s, 0, 10, false);
    send(&mut w, s, 1, 10, false);
    send(&mut w, s, 2, LONG, false);
    send(&mut w, s, 3, 10, false);
    assert_eq!(at(&w, &[at_credit, stream]), [vec![0], vec![]]);
    w.credit(at_credit, 10, false);
    assert_eq!(at(&w, &[at_credit, stream, streams[0]]), [vec![0, 1, 2, 3], vec![], vec![]]);
    // But it does not take memory without end.
    w.credit(at_credit, 0, false);
    send(&mut w, s, 4, 10, false);
    send(&mut w, s, 5, 1_000_000, false);
    assert_eq!(numbers(&w, stream), [5]);
    w.credit(at_credit, 10, false);
    w.assert_empty();
}

#[test]
fn a_link_that_is_lost_is_kept_for_nobody() {
    for workers in [1, 2] {
        for retired in [false, true] {
            let (mut w, shared, streams) = world(workers, 1, true);
            let s = w.sender(0, "svc");
            send(&mut w, s, 0, LONG, false);
            send(&mut w, s, 1, 10, false);
            assert_eq!(numbers(&w, streams[0]), [0, 1]);
            if retired {
                w.retire_receiver(streams[0])
            } else {
                w.detach_receiver(streams[0])
            }
            send(&mut w, s, 2, 10, false);
            assert_eq!(numbers(&w, shared), [2]);
            w.assert_empty();
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Begin(usize, usize),
    Part(usize, usize),
    Come,
    Accept(usize, usize),
    Credit(usize, u32),
    Room(usize, usize),
    Mail(usize, usize),
    Leave(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![3 => 4..100_usize, 2 => 60_000..200_000_usize];
    let room = prop_oneof![Just(0), 1..100_000_usize, Just(FULL)];
    prop_oneof![
        8 => (0..4_usize, size).prop_map(|(s, size)| Step::Begin(s, size)),
        8 => (0..4_usize, 1..100_000_usize).prop_map(|(s, n)| Step::Part(s, n)),
        2 => Just(Step::Come),
        6 => (0..9_usize, 0..9_usize).prop_map(|(link, n)| Step::Accept(link, n)),
        2 => (0..9_usize, 0..20_u32).prop_map(|(link, credit)| Step::Credit(link, credit)),
        2 => (0..9_usize, room).prop_map(|(link, room)| Step::Room(link, room)),
        6 => (0..2_usize, 0..2_usize).prop_map(|(from, to)| Step::Mail(from, to)),
        1 => (0..4_usize).prop_map(Step::Leave),
    ]
}

/// The numbers of what each sender sent, in order.
type Sent = Vec<Vec<u32>>;

/// Nothing has begun that has something before it which has not, or which is under way on another link for streams.
/// The first of `links` is that which all share.
fn check(w: &World, sent: &Sent, links: &[Receiver]) -> Result<(), TestCaseError> {
    let mut begun = BTreeMap::new();
    for link in links {
        let Some(numbers) = begun_on(w, *link) else { return Ok(()) };
        for (at, (number, came)) in numbers.into_iter().zip(&w.outlet(*link).received).enumerate() {
            begun.insert(number, (*link, at, came.settled));
        }
    }
    for line in sent {
        let mut before: Vec<u32> = Vec::new();
        for number in line {
            let Some((link, at, _)) = begun.get(number) else {
                before.push(*number);
                continue;
            };
            for first in &before {
                let Some((its_link, its_at, settled)) = begun.get(first) else {
                    return Err(TestCaseError::fail(format!("{number} began before {first}")));
                };
                let passes = *its_link != links[0] && its_link != link && !settled;
                prop_assert!(!passes, "{} may pass {}", number, first);
                prop_assert!(its_link != link || its_at < at, "{} came before {}", number, first);
            }
            before.push(*number);
        }
    }
    Ok(())
}

fn random(steps: Vec<Step>, workers: usize, ours: bool) -> Result<(), TestCaseError> {
    let (mut w, shared, _) = world(workers, 0, ours);
    w.prompt = false;
    let last = workers - 1;
    let senders: Vec<Sender> = (0..4).map(|n| w.sender(n % workers, if n < 3 { "svc" } else { "other" })).collect();
    let mut links = vec![shared];
    let mut sent: Sent = vec![Vec::new(); senders.len()];
    let mut next = 0;
    for step in steps {
        match step {
            Step::Begin(n, size) => {
                let s = senders[n];
                let inlet = w.inlet(s);
                if inlet.attached && inlet.current.is_none() && inlet.credit > 0 {
                    w.begin(s, &body(next, size), false, false, 40_000);
                    sent[n].push(next);
                    next += 1;
                }
            }
            Step::Part(n, size) if w.inlet(senders[n]).current.is_some() => w.part(senders[n], size),
            Step::Come => {
                if let Some(asker) = (0..workers).find(|worker| !w.sides[*worker].streams_wanted.is_empty()) {
                    w.sides[asker].streams_wanted.pop();
                    links.push(w.hop_to(last, ("C", ours), HopLink::Stream, 5));
                    while w.deliver(last, asker) {}
                    w.stream_answered(asker, "C");
                }
            }
            Step::Accept(link, n) => {
                let link = links[link % links.len()];
                let open = |came: &&Incoming| !came.settled && came.end == End::Complete;
                let count = w.outlet(link).received.iter().filter(open).count();
                if count > 0 {
                    let came = &w.outlet(link).received;
                    let at = (0..came.len()).filter(|at| open(&&came[*at])).nth(n % count);
                    w.accept(link, at.unwrap_or_default());
                }
            }
            Step::Credit(link, credit) => w.credit(links[link % links.len()], credit, false),
            Step::Room(link, room) => w.room(links[link % links.len()], room),
            Step::Mail(from, to) if from < workers && to < workers => {
                w.deliver(from, to);
            }
            Step::Leave(n) if w.inlet(senders[n]).current.is_none() => w.detach_sender(senders[n]),
            _ => {}
        }
        check(&w, &sent, &links)?;
    }
    // In the end all of it arrives.
    w.prompt = true;
    for s in &senders {
        if w.inlet(*s).current.is_some() {
            w.send_rest(*s);
        }
    }
    for _ in 0..200 {
        w.deliver_all();
        for asker in 0..workers {
            while w.sides[asker].streams_wanted.pop().is_some() {
                links.push(w.hop_to(last, ("C", ours), HopLink::Stream, 5));
                w.stream_answered(asker, "C");
            }
        }
        for link in &links {
            w.room(*link, FULL);
            w.credit(*link, 50, false);
            w.accept_all(*link);
        }
        check(&w, &sent, &links)?;
    }
    let all: usize = links.iter().map(|link| w.count(*link)).sum();
    prop_assert_eq!(all, next as usize);
    w.cores.iter().for_each(crate::Core::assert_consistent);
    w.assert_empty();
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nothing_passes_what_its_sender_sent_before(
        steps in prop::collection::vec(step(), 1..120),
        workers in 1..3_usize,
        ours: bool,
    ) {
        random(steps, workers, ours)?;
    }
}
