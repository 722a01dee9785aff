//! Links for streams to a neighbour: none is waited for in vain, none is asked for too often, and none is kept for nothing.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::network::{from_b, got, know, sent_here};
use crate::{
    FlowPick, HopLink, WorkerId,
    annotations::{Q2_DISABLED, STREAMING},
    core::tests::world::{FULL, Receiver, Sender, World},
    egress::{DeliveryState, End, Payload},
};

const NORMAL: HopLink = HopLink::Priority(4);
const PERIOD: Duration = Duration::from_secs(10);

/// A flow of ours to "svc", which is at a neighbour.
fn flow(w: &mut World, worker: usize) -> Sender {
    let Some(FlowPick::Far(hop)) = w.cores[worker].pick_flow("svc", &[], &[]) else {
        panic!("no neighbour was picked")
    };
    let head = Bytes::from_static(b"head");
    let begin =
        |core: &mut crate::Core, link, side: &mut _| core.begin_flow(link, "svc", hop, &Payload::new(&head), side);
    w.flow_sender(worker, |core, link, side| begin(core, link, side).unwrap())
}

/// The neighbour of "svc" has links for messages on the last worker.
fn world(workers: usize) -> (World, Receiver) {
    let mut w = World::new(workers);
    let c = w.hop(workers - 1, "C", NORMAL, 100);
    know(&mut w, &[("C", "Msvc"), ("C", "Mmulti/x")]);
    (w, c)
}

fn asked(w: &World, worker: usize) -> usize {
    w.sides[worker].streams_wanted.len()
}

fn stream(w: &mut World, worker: usize) -> Receiver {
    w.hop(worker, "C", HopLink::Stream, 100)
}

fn released(w: &World, s: Sender) -> bool {
    w.told(s, 0) == Some(DeliveryState::Released)
}

#[test]
fn what_has_not_begun_is_given_up_with_the_last_link_to_the_neighbour() {
    for workers in [1, 2] {
        let (mut w, c) = world(workers);
        let urgent = w.hop(workers - 1, "C", HopLink::Priority(9), 100);
        let near = w.receiver(0, "multi/x", 100);
        let waiting = flow(&mut w, 0);
        let from = w.router_link(0, HopLink::Stream);
        let through = w.begin(from, &from_b(Some("svc"), STREAMING | Q2_DISABLED, &[5; 1000]), false, false, 500);
        let (gathered, long, copied) = (w.sender(0, "svc"), w.sender(0, "svc"), w.sender(0, "multi/x"));
        w.begin(gathered, &[7; 50_000], false, false, 10_000);
        w.begin(long, &[8; 200_000], false, false, 100_000);
        w.begin(copied, &[9; 200_000], false, false, 100_000);
        w.part(copied, 10_000);
        assert!(asked(&w, 0) > 0);
        w.detach_receiver(urgent);
        let all = |w: &World| [w.told(waiting, 0), w.told(from, through), w.told(gathered, 0), w.told(long, 0)];
        assert_eq!(all(&w), [const { None }; 4], "there are other links");
        w.detach_receiver(c);
        assert_eq!(all(&w), [const { Some(DeliveryState::Released) }; 4]);
        // Whoever comes now is told at once, and what was given up may end or not.
        let late = flow(&mut w, 0);
        assert!(released(&w, late));
        [long, copied].into_iter().for_each(|s| w.send_rest(s));
        w.accept_all(near);
        assert_eq!(w.told(copied, 0), Some(DeliveryState::Accepted), "by the other consumer");
        // It is back.
        let _ = w.hop(workers - 1, "C", NORMAL, 100);
        let again = flow(&mut w, 0);
        assert!(w.told(again, 0).is_none());
        let stream = stream(&mut w, workers - 1);
        assert_eq!(w.outlet(stream).received.len(), 1);
        w.assert_empty();
    }
}

/// The neighbour's connection is on another worker, whose news come late.
#[test]
fn a_flow_that_begins_while_its_neighbour_is_lost_is_given_up_by_the_news() {
    for also_told in [false, true] {
        let (mut w, c) = world(2);
        w.prompt = false;
        let before = flow(&mut w, 0);
        let gathered = w.sender(0, "svc");
        w.begin(gathered, &[7; 200_000], false, false, 100_000);
        w.detach_receiver(c);
        let meanwhile = flow(&mut w, 0);
        assert_eq!(w.told(meanwhile, 0), None, "this worker does not know yet");
        if also_told {
            // Its adaptor found no connection to ask for a link. What ends may still be gathered.
            w.no_stream(0, "C");
            assert!(released(&w, before) && released(&w, meanwhile));
            assert_eq!(w.told(gathered, 0), None);
            let after = flow(&mut w, 0);
            assert_eq!((w.told(after, 0), asked(&w, 0)), (None, 1));
        }
        w.deliver_all();
        assert!([before, meanwhile, gathered].into_iter().all(|s| released(&w, s)));
        w.send_rest(gathered);
        w.assert_empty();
    }
}

/// A flow lasts, and each part of it that takes another worker's link wakes that worker.
#[test]
fn a_worker_with_links_of_its_own_takes_no_others() {
    let (mut w, _) = world(2);
    let far = stream(&mut w, 1);
    let own = stream(&mut w, 0);
    let first = flow(&mut w, 0);
    assert_eq!((w.outlet(own).received.len(), asked(&w, 0)), (1, 0));
    let second = flow(&mut w, 0);
    assert_eq!((w.outlet(far).received.len(), asked(&w, 0)), (0, 1), "it waits for one of its own");
    let more = stream(&mut w, 0);
    w.stream_answered(0, "C");
    assert_eq!((w.outlet(far).received.len(), w.outlet(more).received.len()), (0, 1));
    // Without its connection it takes what there is.
    w.detach_receiver(own);
    w.detach_receiver(more);
    assert!(w.told(first, 0).is_some() && w.told(second, 0).is_some());
    let third = flow(&mut w, 0);
    assert_eq!((w.outlet(far).received.len(), w.told(third, 0)), (1, None));
}

/// Its connection may be one that gets no more of them.
#[test]
fn who_gets_no_link_of_its_own_takes_another() {
    let (mut w, _) = world(2);
    let own = stream(&mut w, 0);
    let first = flow(&mut w, 0);
    let second = flow(&mut w, 0);
    assert_eq!((w.outlet(own).received.len(), asked(&w, 0)), (1, 1));
    let far = stream(&mut w, 1);
    w.stream_answered(0, "C");
    assert_eq!((w.outlet(far).received.len(), w.told(second, 0)), (1, None));
    let _ = first;
}

#[test]
fn a_flow_is_at_home_where_its_neighbour_is() {
    let (mut w, c) = world(2);
    assert_eq!(w.cores[0].flow_home("svc"), Some(WorkerId(1)));
    assert_eq!(w.cores[1].flow_home("svc"), None);
    assert_eq!(w.cores[0].flow_home("nowhere"), None);
    let here = w.hop(0, "C", NORMAL, 100);
    assert_eq!(w.cores[0].flow_home("svc"), None, "it has links, too");
    w.detach_receiver(here);
    w.detach_receiver(c);
    assert_eq!(w.cores[0].flow_home("svc"), None);
}

#[test]
fn what_waits_goes_on_waiting_while_another_link_can_be_had() {
    for workers in [1, 2] {
        let (mut w, _) = world(workers);
        let there = workers - 1;
        let link = stream(&mut w, there);
        let first = flow(&mut w, 0);
        let second = flow(&mut w, 0);
        assert!(w.outlet(link).received.len() == 1 && asked(&w, 0) > 0);
        // The connection for data is lost, with the link that was asked for; that for control is not.
        w.detach_receiver(link);
        assert!([first, second].iter().filter(|s| w.told(**s, 0).is_some()).count() == 1);
        let waits = if w.told(first, 0).is_some() { second } else { first };
        w.sides[0].streams_wanted.clear();
        w.stream_answered(0, "C");
        assert_eq!(asked(&w, 0), 1);
        w.stream_answered(0, "B");
        let link = stream(&mut w, there);
        assert_eq!((w.outlet(link).received.len(), w.told(waits, 0)), (1, None));
        w.assert_empty();
    }
}

/// Without a link for it, a flow cannot be gathered as a message is: it may never end.
#[test]
fn a_flow_without_a_link_is_released() {
    for workers in [1, 2] {
        let (mut w, c) = world(workers);
        let ours = flow(&mut w, 0);
        let from = w.router_link(0, HopLink::Stream);
        let through = w.begin(from, &from_b(Some("svc"), STREAMING | Q2_DISABLED, &[5; 1000]), false, false, 500);
        let message = w.sender(0, "svc");
        w.begin(message, &[8; 200_000], false, false, 100_000);
        let ended = flow(&mut w, 0);
        w.send_rest(ended);
        w.no_stream(0, "C");
        assert!(released(&w, ours) && w.told(from, through) == Some(DeliveryState::Released));
        assert_eq!((w.told(message, 0), w.told(ended, 0), w.count(c)), (None, None, 1));
        w.send_rest(message);
        assert_eq!(got(&w, c)[1], sent_here("svc", &[8; 200_000]));
        w.accept_all(c);
        assert_eq!(w.told(ended, 0), Some(DeliveryState::Accepted));
        w.assert_empty();
    }
}

/// What another worker's link was given and did not begin comes back, and asks for another.
#[test]
fn a_flow_that_comes_back_asks_for_another_link() {
    for complete in [false, true] {
        let (mut w, _) = world(2);
        let link = stream(&mut w, 1);
        let first = flow(&mut w, 0);
        w.send_rest(first);
        w.accept_all(link);
        // There is a loan again, or will be.
        w.prompt = false;
        let s = flow(&mut w, 0);
        if complete {
            w.send_rest(s);
        }
        w.deliver(0, 1);
        w.deliver(1, 0);
        w.detach_receiver(link);
        w.deliver_all();
        w.prompt = true;
        w.deliver_all();
        if w.told(s, 0).is_none() {
            assert_eq!(asked(&w, 0), 1);
            let other = stream(&mut w, 1);
            assert_eq!(w.outlet(other).received.len(), 1);
        }
        w.assert_empty();
    }
}

/// A link that was asked for comes up, and that is said.
fn come(w: &mut World, asker: usize, at: usize) -> Receiver {
    let link = stream(w, at);
    w.stream_answered(asker, "C");
    link
}

#[test]
fn no_more_links_are_asked_for_than_wait() {
    for workers in [1, 2] {
        let (mut w, _) = world(workers);
        let there = workers - 1;
        let flows: Vec<Sender> = (0..8).map(|_| flow(&mut w, 0)).collect();
        assert_eq!(asked(&w, 0), 8);
        // Who gives up leaves a link for others.
        flows[..5].iter().for_each(|s| w.detach_sender(*s));
        let more: Vec<Sender> = (0..5).map(|_| flow(&mut w, 0)).collect();
        assert_eq!(asked(&w, 0), 8);
        let links: Vec<Receiver> = (0..6).map(|_| come(&mut w, 0, there)).collect();
        assert!(links.iter().all(|link| w.outlet(*link).received.len() == 1));
        // A link that is free again does, too.
        w.send_rest(flows[5]);
        w.send_rest(flows[6]);
        let last: Vec<Sender> = (0..2).map(|_| flow(&mut w, 0)).collect();
        (0..2).for_each(|_| {
            come(&mut w, 0, there);
        });
        assert_eq!(asked(&w, 0), 8);
        let begun = w.receivers.len() - 1;
        assert_eq!((1..=begun).map(|r| w.outlet(r).received.len()).sum::<usize>(), 10);
        let left = [&flows[7..], &more[..], &last[..]].concat();
        left.into_iter().for_each(|s| w.send_rest(s));
        w.assert_empty();
    }
}

/// A consumer that takes nothing is left behind by the others; a router that is slow is waited for, and so is one that has no link yet.
#[test]
fn copies_for_routers_are_waited_for() {
    for linked in [true, false] {
        let mut w = World::with(1, |c| c.multicast_lag = 100_000);
        let _c = w.hop(0, "C", NORMAL, 100);
        know(&mut w, &[("C", "Mmulti/x")]);
        let link = linked.then(|| stream(&mut w, 0));
        let (near, stuck) = (w.receiver(0, "multi/x", 100), w.receiver(0, "multi/x", 100));
        w.room(stuck, 1000);
        link.into_iter().for_each(|link| w.room(link, 1000));
        let s = w.sender(0, "multi/x");
        w.begin(s, &[8; 900_000], false, false, 300_000);
        (0..5).for_each(|_| w.part(s, 100_000));
        let link = link.unwrap_or_else(|| stream(&mut w, 0));
        w.room(link, FULL);
        w.room(stuck, FULL);
        w.send_rest(s);
        assert_eq!(w.outlet(stuck).received[0].end, End::Aborted);
        assert_eq!(w.outlet(link).received[0].end, End::Complete);
        w.accept_all(link);
        w.accept_all(near);
        w.assert_empty();
    }
}

/// A message that has become long takes a link of another worker that is free, as flows do, whatever is answered to its request.
#[test]
fn a_long_message_takes_a_link_of_another_worker_that_is_free() {
    for multicast in [false, true] {
        let (mut w, _) = world(2);
        let link = stream(&mut w, 1);
        assert!(w.cores[1].has_free_stream("C"));
        let (at, address) = if multicast { (1, "multi/x") } else { (0, "svc") };
        let s = w.sender(at, address);
        w.begin(s, &[8; 600_000], false, false, 200_000);
        w.part(s, 100_000);
        assert_eq!(w.outlet(link).received.len(), 1);
        w.streams_answered(at, "C");
        assert_eq!(asked(&w, at), 0);
        w.send_rest(s);
        w.accept_all(link);
        assert_eq!(w.told(s, 0), Some(DeliveryState::Accepted));
        w.assert_empty();
    }
}

/// Somebody else took the link that was asked for.
#[test]
fn a_flow_whose_link_was_taken_asks_again() {
    let (mut w, _) = world(2);
    w.prompt = false;
    let one = flow(&mut w, 0);
    let link = stream(&mut w, 1);
    let other = flow(&mut w, 1);
    assert_eq!((w.outlet(link).received.len(), asked(&w, 0), asked(&w, 1)), (1, 1, 0));
    w.prompt = true;
    w.deliver_all();
    w.stream_answered(0, "C");
    assert_eq!(asked(&w, 0), 2);
    w.send_rest(other);
    assert_eq!(w.outlet(link).received.len(), 2, "its turn came before the second link");
    assert!(!w.cores[1].has_free_stream("C"));
    w.send_rest(one);
    w.accept_all(link);
    let second = come(&mut w, 0, 1);
    assert!(w.cores[1].has_free_stream("C") && !w.cores[0].has_free_stream("C"));
    assert_eq!((w.outlet(second).received.len(), asked(&w, 0)), (0, 2));
    w.assert_empty();
}

fn attached(w: &World, links: &[Receiver]) -> usize {
    links.iter().filter(|link| w.outlet(**link).attached).count()
}

#[test]
fn links_that_were_not_needed_lately_are_given_back() {
    let (mut w, _) = world(1);
    let flows: Vec<Sender> = (0..20).map(|_| flow(&mut w, 0)).collect();
    let links: Vec<Receiver> = (0..20).map(|_| stream(&mut w, 0)).collect();
    w.tick(PERIOD);
    flows.iter().for_each(|s| w.send_rest(*s));
    links.iter().for_each(|link| w.accept_all(*link));
    for _ in 0..4 {
        assert_eq!(attached(&w, &links), 20);
        w.tick(PERIOD);
    }
    // None has been in use at any time of the last three periods; a few stay.
    assert_eq!(attached(&w, &links), 4);
    for _ in 0..5 {
        w.tick(PERIOD);
    }
    assert_eq!(attached(&w, &links), 4);
    assert_eq!(w.cores[0].poll_timeout(), None, "there is nothing to look after");
    w.assert_empty();
}

#[test]
fn how_many_links_stay_can_be_set() {
    let (mut w, _) = world(1);
    w.cores[0].set_spare_streams(2, PERIOD / 2);
    let flows: Vec<Sender> = (0..5).map(|_| flow(&mut w, 0)).collect();
    let links: Vec<Receiver> = (0..5).map(|_| stream(&mut w, 0)).collect();
    flows.iter().for_each(|s| w.send_rest(*s));
    links.iter().for_each(|link| w.accept_all(*link));
    (0..3).for_each(|_| w.tick(PERIOD / 2));
    assert_eq!(attached(&w, &links), 5);
    (0..2).for_each(|_| w.tick(PERIOD / 2));
    assert_eq!(attached(&w, &links), 2);
    w.assert_empty();
}

#[test]
fn as_many_links_stay_as_are_used_at_once() {
    for workers in [1, 2] {
        let (mut w, _) = world(workers);
        let there = workers - 1;
        let flows: Vec<Sender> = (0..20).map(|_| flow(&mut w, 0)).collect();
        let mut links: Vec<Receiver> = (0..20).map(|_| stream(&mut w, there)).collect();
        flows.iter().for_each(|s| w.send_rest(*s));
        for _ in 0..8 {
            // Nine at once, now and then, however short.
            let nine: Vec<Sender> = (0..9).map(|_| flow(&mut w, 0)).collect();
            nine.iter().for_each(|s| w.send_rest(*s));
            links
                .iter()
                .filter(|link| w.outlet(**link).attached)
                .copied()
                .collect::<Vec<_>>()
                .into_iter()
                .for_each(|link| w.accept_all(link));
            (0..2).for_each(|_| w.tick(PERIOD));
        }
        assert_eq!(attached(&w, &links), 9, "{workers} workers");
        // One that has a delivery, or waits for an outcome, stays.
        let long = flow(&mut w, 0);
        let short = flow(&mut w, 0);
        w.send_rest(short);
        for _ in 0..8 {
            w.tick(PERIOD);
        }
        assert_eq!(attached(&w, &links), 4);
        assert_eq!([w.told(long, 0), w.told(short, 0)], [None, None]);
        links.retain(|link| w.outlet(*link).attached);
        w.send_rest(long);
        links.iter().for_each(|link| w.accept_all(*link));
        assert_eq!([w.told(long, 0), w.told(short, 0)], [const { Some(DeliveryState::Accepted) }; 2]);
        w.assert_empty();
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Begin(usize),
    End(usize),
    Leave(usize),
    /// A link that was asked for comes, on this worker.
    Come(usize),
    Lost,
    /// A link goes.
    Go(usize),
    Mail(usize, usize),
    Tick,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..2_usize).prop_map(Step::Begin),
        2 => (0..20_usize).prop_map(Step::End),
        1 => (0..20_usize).prop_map(Step::Leave),
        3 => (0..2_usize).prop_map(Step::Come),
        1 => Just(Step::Lost),
        1 => (0..20_usize).prop_map(Step::Go),
        6 => (0..2_usize, 0..2_usize).prop_map(|(from, to)| Step::Mail(from, to)),
        1 => Just(Step::Tick),
    ]
}

/// Answers a request for a link: with one on a worker, or because it was lost. What is said about it comes after the news of it.
fn answer(w: &mut World, at: Option<usize>) -> Option<Receiver> {
    let asker = (0..2).find(|worker| asked(w, *worker) > 0)?;
    w.sides[asker].streams_wanted.pop();
    let link = at.map(|at| stream(w, at));
    if let Some(at) = at {
        while w.deliver(at, asker) {}
    }
    w.stream_answered(asker, "C");
    link
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever happens to links and flows, in the end every flow that is left has a link or was told that there is none.
    #[test]
    fn no_flow_waits_in_vain(steps in prop::collection::vec(step(), 1..80)) {
        let (mut w, _) = world(2);
        w.prompt = false;
        let mut flows = Vec::new();
        let mut links: Vec<Receiver> = Vec::new();
        for step in steps {
            match step {
                Step::Begin(worker) => flows.push(flow(&mut w, worker)),
                Step::End(n) if !flows.is_empty() => {
                    let s = flows[n % flows.len()];
                    if w.inlet(s).current.is_some() {
                        w.send_rest(s);
                    }
                }
                Step::Leave(n) if !flows.is_empty() => {
                    let s = flows.swap_remove(n % flows.len());
                    w.detach_sender(s);
                }
                Step::Come(worker) => links.extend(answer(&mut w, Some(worker))),
                Step::Lost => {
                    answer(&mut w, None);
                }
                Step::Go(n) if !links.is_empty() => {
                    let link = links.swap_remove(n % links.len());
                    w.detach_receiver(link);
                }
                Step::Mail(from, to) => {
                    w.deliver(from, to);
                }
                Step::Tick => w.tick(PERIOD),
                _ => {}
            }
        }
        w.prompt = true;
        w.deliver_all();
        let before = links.len() + flows.len();
        let mut answered = 0;
        while answer(&mut w, Some(answered % 2)).is_some() {
            answered += 1;
            prop_assert!(answered <= 80, "links without end for {} flows", before);
        }
        w.cores.iter().for_each(crate::Core::assert_consistent);
        let waiting: usize = w.cores.iter().map(crate::Core::waiting_for_streams).sum();
        prop_assert_eq!(waiting, 0);
        w.assert_empty();
    }
}
