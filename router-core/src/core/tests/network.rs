//! Deliveries to, from and through other routers.

use crate::{
    HopLink, Presence, Treatment,
    annotations::{Annotations, Parsed, SETTLED, STREAMING, TELL_WAITED, parse},
    core::{
        tests::world::{Receiver, World},
        tracking,
    },
    egress::{DeliveryState, End},
    routing::{AddressBook, AddressEntry, Event, Routes},
};

/// B - A - C, and D behind C. The tests are in A.
const LINE: &[(&str, &str, u32)] = &[("A", "B", 1), ("A", "C", 2), ("C", "D", 1)];

const NORMAL: HopLink = HopLink::Priority(4);

pub(super) fn book(entries: &[(&str, &str)]) -> AddressBook {
    let mut book = AddressBook::new();
    for (router, key) in entries {
        let entry = AddressEntry { key: (*key).into(), hint: None, in_links: 0, mesh: None };
        book.apply(&Event::Addresses { router: (*router).into(), added: [entry].into(), removed: [].into() });
    }
    book
}

/// What is known from now on: which router has destinations for which address.
pub(super) fn know(w: &mut World, entries: &[(&str, &str)]) {
    let routes = Routes::of_links("A", LINE);
    for worker in 0..w.cores.len() {
        w.cores[worker].set_routes(routes.clone(), book(entries), None, &mut w.sides[worker]);
        w.end_batch(worker);
    }
}

pub(super) fn from_b(to: Option<&str>, flags: u32, body: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    let annotations = Annotations { flags, to_override: to, ingress: Some("0/B"), ..Annotations::default() };
    annotations.compose(Some("0/B"), &mut message);
    message.extend_from_slice(body);
    message
}

/// Override, ingress, trace and body of what a neighbour got.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Got {
    to: Option<String>,
    ingress: Option<String>,
    trace: Vec<String>,
    body: Vec<u8>,
}

impl Got {
    #[track_caller]
    pub(super) fn assert_says(&self, to: &str, ingress: &str, trace: &[&str], body: &[u8]) {
        assert_eq!((self.to.as_deref(), self.ingress.as_deref()), (Some(to), Some(ingress)));
        assert_eq!(
            (self.trace.as_slice(), self.body.as_slice()),
            (trace.iter().map(|hop| (*hop).to_owned()).collect::<Vec<_>>().as_slice(), body)
        );
    }
}

pub(super) fn got(w: &World, r: Receiver) -> Vec<Got> {
    let read = |bytes: Vec<u8>| match parse(&bytes).unwrap() {
        Parsed::Found(annotations, size) => Got {
            to: annotations.to_override.map(str::to_owned),
            ingress: annotations.ingress.map(str::to_owned),
            trace: annotations.trace.iter().map(str::to_owned).collect(),
            body: bytes[size..].to_vec(),
        },
        other => panic!("{other:?}"),
    };
    w.bodies(r).into_iter().map(read).collect()
}

pub(super) fn sent_here(to: &str, body: &[u8]) -> Got {
    Got { to: Some(to.into()), ingress: Some("0/A".into()), trace: vec!["0/A".into()], body: body.to_vec() }
}

#[test]
fn a_client_reaches_a_consumer_of_another_router() {
    let mut w = World::new(1);
    let b = w.hop(0, "B", NORMAL, 10);
    let s = w.sender(0, "svc");
    assert_eq!(w.inlet(s).credit, 0);
    know(&mut w, &[("B", "Msvc")]);
    assert!(w.inlet(s).credit > 0, "there is somebody now");
    let id = w.send(s, b"hello", false);
    w.send(s, b"settled", true);
    assert_eq!(got(&w, b), [sent_here("svc", b"hello"), sent_here("svc", b"settled")]);
    assert_eq!(w.told(s, id), None);
    w.accept(b, 0);
    assert_eq!(w.told(s, id), Some(DeliveryState::Accepted));
    know(&mut w, &[]);
    assert!(w.inlet(s).draining, "there is nobody any more");
    w.assert_empty();
}

#[test]
fn what_a_neighbour_does_not_take_waits_with_its_annotations() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        let there = workers - 1;
        let b = w.hop(there, "B", NORMAL, 0);
        know(&mut w, &[("B", "Msvc")]);
        let s = w.sender(0, "svc");
        let ids = [w.send(s, b"one", false), w.send(s, b"two", true)];
        assert_eq!(got(&w, b), []);
        w.credit(b, 1, false);
        assert_eq!(got(&w, b), [sent_here("svc", b"one")]);
        w.credit(b, 1, false);
        assert_eq!(got(&w, b), [sent_here("svc", b"one"), sent_here("svc", b"two")]);
        w.outcome(b, 0, Some(DeliveryState::Released), true);
        assert_eq!(w.told(s, ids[0]), Some(DeliveryState::Released));
        w.assert_empty();
    }
}

#[test]
fn presettled_deliveries_are_pushed_back_between_routers_of_ours() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        let there = workers - 1;
        let b = w.hop_to(there, ("B", true), NORMAL, 1000);
        know(&mut w, &[("B", "Msvc")]);
        let s = w.sender(0, "svc");
        let all = w.inlet(s).credit;
        for n in 0..all {
            w.send(s, &n.to_be_bytes(), true);
        }
        assert_eq!((w.count(b) as u32, w.inlet(s).credit), (all, 0), "sent, but nobody says that it was taken");
        let flags = |bytes: &[u8]| match parse(bytes).unwrap() {
            Parsed::Found(annotations, _) => annotations.flags,
            other => panic!("{other:?}"),
        };
        // The last of each row is tracked, and what has to wait, as the first does for credit of another worker.
        let row = all / 8;
        let tracked: Vec<usize> = (0..all as usize).filter(|n| !w.outlet(b).received[*n].settled).collect();
        let first = if workers == 1 { row - 1 } else { 0 };
        assert_eq!(tracked, (first as usize..all as usize).step_by(row as usize).collect::<Vec<_>>());
        for (n, body) in w.bodies(b).iter().enumerate() {
            assert_eq!(flags(body), if tracked.contains(&n) { SETTLED | TELL_WAITED } else { 0 }, "{n}");
        }
        assert_eq!(w.cores[0].issued(w.inlet(s).key).1, all);
        w.outcome(b, tracked[0], Some(DeliveryState::Released), true);
        assert_eq!(w.cores[0].issued(w.inlet(s).key).1, all - first - 1, "its row is over");
        w.outcome(b, tracked[1], Some(tracking::accepted_late()), true);
        w.accept_all(b);
        let rest = all - 1 - *tracked.last().unwrap() as u32;
        assert_eq!(w.cores[0].issued(w.inlet(s).key).1, rest);
        assert!((w.inlet(s).credit + rest) * 4 > all * 3);
        assert_eq!(w.cores.iter().map(|core| core.counters().dropped_presettled).sum::<u64>(), 1);
        // In parts, and waiting for the neighbour.
        w.credit(b, 0, false);
        w.begin(s, &[1; 3000], true, false, 1000);
        w.send_rest(s);
        w.send(s, b"x", true);
        w.credit(b, 10, false);
        assert_eq!(w.count(b) as u32, all + 2);
        assert!(w.outlet(b).received.iter().rev().take(2).all(|d| !d.settled));
        w.accept_all(b);
        assert_eq!(w.cores[0].issued(w.inlet(s).key).1, 0, "they count for those before them");
        w.assert_empty();
    }
}

#[test]
fn a_sender_has_credit_for_a_tracked_delivery() {
    let mut w = World::new(1);
    let b = w.hop_to(0, ("B", true), NORMAL, 100_000);
    know(&mut w, &[("B", "Msvc")]);
    let s = w.sender(0, "svc");
    for n in 0..200 {
        w.send(s, &vec![7; if n < 80 { 10 } else { 400_000 }], true);
        if n % 10 == 9 {
            w.accept_all(b);
        }
    }
    // The long ones make the capacity small once they are over, while as many small ones are that nobody says anything of.
    while w.inlet(s).credit > 30 {
        w.send(s, &[7; 400_000], true);
    }
    while w.inlet(s).credit > 0 {
        w.send(s, b"small", true);
    }
    w.accept_all(b);
    let (credit, on_the_way, capacity) = w.cores[0].issued(w.inlet(s).key);
    assert_eq!((credit, on_the_way, capacity < 30), (1, 30, true));
    for _ in 0..40 {
        w.send(s, b"small", true);
        w.accept_all(b);
        assert!(w.inlet(s).credit > 0);
    }
    w.assert_empty();
}

#[test]
fn what_comes_settled_from_a_router_goes_on_settled() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        let from = w.router_sender(0);
        let c = w.hop_to(workers - 1, ("C", true), NORMAL, 10);
        know(&mut w, &[("C", "Msvc")]);
        w.send(from, &from_b(Some("svc"), 0, b"hello"), true);
        assert!(w.outlet(c).received[0].settled);
        w.assert_empty();
    }
}

#[test]
fn as_many_as_a_consumer_wants_may_wait_for_it_without_being_late() {
    let mut w = World::new(1);
    let from = w.router_sender(0);
    let r = w.receiver(0, "svc", 4);
    let ids: Vec<_> = (0..10u8).map(|n| w.send(from, &from_b(Some("svc"), TELL_WAITED, &[n]), false)).collect();
    w.accept_all(r);
    w.credit(r, 10, false);
    w.accept_all(r);
    let late = |n: usize| w.told(from, ids[n]) == Some(tracking::accepted_late());
    assert_eq!((0..10).filter(|n| late(*n)).collect::<Vec<_>>(), [8, 9]);
    w.assert_empty();
}

#[test]
fn a_consumer_gets_settled_what_was_sent_settled_to_another_router_of_ours() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        let there = workers - 1;
        let from = w.router_sender(0);
        let (b, c) = (w.hop_to(there, ("B", true), NORMAL, 10), w.hop(there, "C", NORMAL, 10));
        know(&mut w, &[("C", "Mforeign")]);
        let r = w.receiver(there, "svc", 0);
        let one = w.send(from, &from_b(Some("svc"), SETTLED | TELL_WAITED, b"one"), false);
        let two = w.begin(from, &from_b(Some("svc"), SETTLED | TELL_WAITED, &[2; 5000]), false, false, 1000);
        w.send_rest(from);
        assert_eq!((w.told(from, one), w.told(from, two)), (None, None), "nobody took it");
        w.credit(r, 3, false);
        assert_eq!(w.count(r), 2);
        assert!(w.outlet(r).received.iter().all(|d| d.settled));
        let taken = |w: &World, id| w.inlet(from).deliveries[&id].settled;
        assert!(taken(&w, one) && taken(&w, two));
        let late = Some(tracking::accepted_late());
        assert_eq!((w.told(from, one), w.told(from, two)), (late.clone(), late));
        let three = w.begin(from, &from_b(Some("svc"), SETTLED | TELL_WAITED, &[3; 5000]), false, false, 1000);
        assert_eq!(w.outlet(r).received.len(), 3, "while it arrives");
        w.send_rest(from);
        assert!(taken(&w, three));
        // Between workers it waits for the credit that is there, but not as long as to be late. Of what goes out settled nothing is said there.
        assert_eq!(w.told(from, three), (workers == 1).then_some(DeliveryState::Accepted));
        // To another router it goes settled, and without what only ours know.
        let on = w.send(from, &from_b(Some("foreign"), SETTLED | STREAMING << 1, b"on"), false);
        let sent = w.bodies(c)[0].clone();
        let Parsed::Found(annotations, _) = parse(&sent).unwrap() else { panic!() };
        assert_eq!((annotations.flags, w.outlet(c).received[0].settled), (STREAMING << 1, true));
        assert!(taken(&w, on));
        w.detach_receiver(r);
        let id = w.send(from, &from_b(Some("svc"), SETTLED | TELL_WAITED, b"nobody"), false);
        assert_eq!(w.told(from, id), Some(DeliveryState::Released));
        assert_eq!(w.count(b), 0);
        w.assert_empty();
    }
}

#[test]
fn other_workers_send_over_the_links_of_one() {
    let mut w = World::new(3);
    let b = w.hop(2, "B", NORMAL, 100);
    know(&mut w, &[("B", "Msvc")]);
    let (s, t) = (w.sender(0, "svc"), w.sender(1, "svc"));
    for n in 0..5 {
        w.send(s, &[n], false);
        w.send(t, &vec![n + 10; 5000], false);
    }
    let mut bodies: Vec<_> = got(&w, b).into_iter().map(|got| (got.to, got.body[0], got.body.len())).collect();
    bodies.sort();
    let expected = |n: u8, len| (Some("svc".to_owned()), n, len);
    let short = (0..5).map(|n| expected(n, 1));
    assert_eq!(bodies, short.chain((10..15).map(|n| expected(n, 5000))).collect::<Vec<_>>());
    w.accept_all(b);
    w.assert_empty();
}

#[test]
fn what_another_router_sends_goes_to_consumers_without_annotations() {
    let mut w = World::new(1);
    let from = w.router_sender(0);
    know(&mut w, &[]);
    assert_eq!(w.inlet(from).credit, 4000);
    let r = w.receiver(0, "svc", 10);
    let id = w.send(from, &from_b(Some("svc"), 0, b"hello"), false);
    assert_eq!(w.bodies(r), [b"hello".to_vec()]);
    w.accept(r, 0);
    assert_eq!(w.told(from, id), Some(DeliveryState::Accepted));
    // In frames of a byte.
    let message = from_b(Some("svc"), 0, b"again");
    w.begin(from, &message, false, false, 1);
    for _ in 1..message.len() {
        w.part(from, 1);
    }
    assert_eq!(w.bodies(r), [b"hello".to_vec(), b"again".to_vec()]);
    w.accept(r, 1);
    w.assert_empty();
}

/// A ring of three would send it back, and its router release what it has seen before.
#[test]
fn what_another_router_sent_waits_for_consumers_here_though_there_are_others() {
    let mut w = World::new(1);
    let _b = w.hop(0, "B", NORMAL, 10);
    let from = w.router_sender(0);
    know(&mut w, &[("B", "Msvc")]);
    let r = w.receiver(0, "svc", 0);
    let id = w.send(from, &from_b(Some("svc"), 0, b"x"), false);
    know(&mut w, &[("B", "Msvc")]);
    assert_eq!(w.told(from, id), None);
    w.credit(r, 1, false);
    assert_eq!(w.bodies(r), [b"x".to_vec()]);
    w.accept(r, 0);
    assert_eq!(w.told(from, id), Some(DeliveryState::Accepted));
    w.assert_empty();
}

#[test]
fn the_credit_of_a_router_does_not_wait_for_outcomes() {
    let mut w = World::new(1);
    let from = w.router_sender(0);
    know(&mut w, &[]);
    let _r = w.receiver(0, "svc", 0);
    for n in 0..1000u32 {
        assert!(w.inlet(from).credit > 0, "after {n}");
        w.send(from, &from_b(Some("svc"), 0, &n.to_be_bytes()), n % 2 == 0);
    }
    w.assert_empty();
}

#[test]
fn a_router_on_the_way_forwards_and_adds_itself_to_the_trace() {
    let mut w = World::new(1);
    let (b, c) = (w.hop(0, "B", NORMAL, 10), w.hop(0, "C", NORMAL, 10));
    let from = w.router_sender(0);
    know(&mut w, &[("D", "Msvc"), ("B", "Msvc")]);
    let id = w.send(from, &from_b(Some("svc"), 0, b"on"), false);
    let on = Got {
        to: Some("svc".into()),
        ingress: Some("0/B".into()),
        trace: vec!["0/B".into(), "0/A".into()],
        body: b"on".to_vec(),
    };
    assert_eq!((got(&w, b), got(&w, c)), (vec![], vec![on]), "never back to where it came from");
    w.outcome(c, 0, Some(DeliveryState::modified(true, false)), true);
    assert_eq!(w.told(from, id), Some(DeliveryState::modified(true, false)));
    w.assert_empty();
}

#[test]
fn what_comes_on_a_way_that_is_none_goes_on_but_never_back() {
    let mut w = World::new(1);
    let (b, c) = (w.hop(0, "B", NORMAL, 10), w.hop(0, "C", NORMAL, 10));
    let from = w.router_sender(0);
    know(&mut w, &[("D", "Msvc"), ("D", "Mmulti.all")]);
    let came = |ingress: &str, hop: &str, to: &str| {
        let mut message = Vec::new();
        Annotations { to_override: Some(to), ingress: Some(ingress), ..Annotations::default() }
            .compose(Some(hop), &mut message);
        message.extend_from_slice(b"x");
        message
    };
    // By our routes C does not send to D through us. It does not know of its link to D yet, or we not of the way that it found.
    let id = w.send(from, &came("0/C", "0/B", "svc"), false);
    assert_eq!((got(&w, b).len(), got(&w, c).len()), (0, 1));
    w.accept(c, 0);
    assert_eq!(w.told(from, id), Some(DeliveryState::Accepted));
    // Not where it has been, nor copies, of which others go there.
    let id = w.send(from, &came("0/C", "0/C", "svc"), false);
    assert_eq!(w.told(from, id), Some(DeliveryState::Released));
    w.send(from, &came("0/C", "0/B", "multi.all"), false);
    assert_eq!((got(&w, b).len(), got(&w, c).len()), (0, 1));
    w.assert_empty();
}

#[test]
fn what_is_in_a_loop_or_for_nobody_is_released() {
    let mut w = World::new(1);
    let from = w.router_sender(0);
    know(&mut w, &[("B", "Msvc")]);
    let _r = w.receiver(0, "here", 10);
    let annotated = |hops: &[&str], to: &str| {
        let mut message = Vec::new();
        let mut first = Vec::new();
        Annotations { to_override: Some(to), ingress: Some("0/B"), ..Annotations::default() }
            .compose(Some(hops[0]), &mut first);
        for hop in &hops[1..] {
            let Parsed::Found(annotations, _) = parse(&first).unwrap() else { panic!() };
            message.clear();
            annotations.compose(Some(hop), &mut message);
            first.clone_from(&message);
        }
        first.push(b'x');
        first
    };
    let cases = [
        annotated(&["0/B", "0/A"], "here"),
        annotated(&["0/B", "0/X", "0/Y", "0/Z"], "here"),
        annotated(&["0/B"], "nobody"),
        // B has destinations, but that is where it comes from.
        annotated(&["0/B"], "svc"),
    ];
    for (n, message) in cases.iter().enumerate() {
        let id = w.send(from, message, false);
        assert_eq!(w.told(from, id), Some(DeliveryState::Released), "case {n}");
    }
    let id = w.send(from, b"\x00\x80SKPR--RA\xc0\x02\x01\x43", false);
    assert!(matches!(w.told(from, id), Some(DeliveryState::Rejected(_))));
    w.assert_empty();
}

#[test]
fn closest_prefers_consumers_here_and_then_the_cheapest_router() {
    let mut w = World::new(1);
    let (b, c) = (w.hop(0, "B", NORMAL, 100), w.hop(0, "C", NORMAL, 100));
    know(&mut w, &[("B", "Mclose/x"), ("D", "Mclose/x")]);
    let r = w.receiver(0, "close/x", 100);
    let s = w.sender(0, "close/x");
    w.send(s, b"1", false);
    assert_eq!((w.count(r), w.count(b), w.count(c)), (1, 0, 0));
    w.detach_receiver(r);
    w.send(s, b"2", false);
    w.send(s, b"3", false);
    assert_eq!((w.count(b), w.count(c)), (2, 0));
    know(&mut w, &[("D", "Mclose/x")]);
    w.send(s, b"4", false);
    assert_eq!((w.count(b), w.count(c)), (2, 1));
}

#[test]
fn balanced_counts_what_is_outstanding_and_what_the_way_costs() {
    let mut w = World::new(1);
    let (b, c) = (w.hop(0, "B", NORMAL, 100), w.hop(0, "C", NORMAL, 100));
    know(&mut w, &[("B", "Msvc"), ("C", "Msvc")]);
    let r = w.receiver(0, "svc", 100);
    let s = w.sender(0, "svc");
    for n in 0..9 {
        w.send(s, &[n], false);
    }
    // Values begin at 0, 1 and 2, and each delivery adds one.
    assert_eq!((w.count(r), w.count(b), w.count(c)), (4, 3, 2));
    w.accept_all(r);
    for n in 0..4 {
        w.send(s, &[n], false);
    }
    assert_eq!((w.count(r), w.count(b), w.count(c)), (8, 3, 2));
    w.accept_all(b);
    w.send(s, b"x", false);
    assert_eq!(w.count(b), 4);
    w.assert_empty();
}

#[test]
fn multicast_sends_one_copy_to_each_neighbour_that_leads_somewhere() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        let there = workers - 1;
        let (b, c) = (w.hop(there, "B", NORMAL, 100), w.hop(0, "C", NORMAL, 100));
        know(&mut w, &[("B", "Mmulti/x"), ("C", "Mmulti/x"), ("D", "Mmulti/x")]);
        let r = w.receiver(0, "multi/x", 100);
        let s = w.sender(0, "multi/x");
        let id = w.send(s, b"all", false);
        assert_eq!(
            (w.bodies(r), got(&w, b), got(&w, c)),
            (vec![b"all".to_vec()], vec![sent_here("multi/x", b"all")], vec![sent_here("multi/x", b"all")],)
        );
        w.accept(r, 0);
        w.accept(b, 0);
        assert_eq!(w.told(s, id), None);
        w.accept(c, 0);
        assert_eq!(w.told(s, id), Some(DeliveryState::Accepted));
        // From B it goes on to C only.
        let from = w.router_sender(there);
        w.send(from, &from_b(Some("multi/x"), 0, b"from b"), true);
        assert_eq!((w.count(r), w.count(b), w.count(c)), (2, 1, 2));
        w.assert_empty();
    }
}

#[test]
fn multicast_copies_wait_for_a_neighbour_with_their_annotations() {
    let mut w = World::new(2);
    let b = w.hop(1, "B", NORMAL, 0);
    know(&mut w, &[("B", "Mmulti/x")]);
    let s = w.sender(0, "multi/x");
    w.send(s, b"1", false);
    w.send(s, b"2", true);
    w.credit(b, 5, false);
    assert_eq!(got(&w, b), [sent_here("multi/x", b"1"), sent_here("multi/x", b"2")]);
    w.accept_all(b);
    w.assert_empty();
}

#[test]
fn long_deliveries_are_gathered_or_get_a_link_of_their_own() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        let there = workers - 1;
        let b = w.hop(there, "B", NORMAL, 100);
        know(&mut w, &[("B", "Msvc")]);
        let (s, t) = (w.sender(0, "svc"), w.sender(0, "svc"));
        w.begin(s, &[7; 30_000], false, false, 10_000);
        w.part(s, 10_000);
        assert_eq!(w.outlet(b).received.len(), 0, "not begun before it is complete");
        w.send(t, b"meanwhile", false);
        assert_eq!(w.count(b), 1);
        w.send_rest(s);
        assert_eq!(got(&w, b)[1], sent_here("svc", &[7; 30_000]));
        w.accept_all(b);

        let long = vec![8; 500_000];
        let id = w.begin(s, &long, false, false, 200_000);
        assert!(w.sides.iter().all(|side| side.streams_wanted.is_empty()));
        w.part(s, 100_000);
        assert_eq!(w.sides[0].streams_wanted, ["B"]);
        let stream = w.hop(there, "B", HopLink::Stream, 100);
        assert_eq!(w.outlet(stream).received.len(), 1, "it goes on while it arrives");
        w.part(s, 50_000);
        w.send_rest(s);
        assert_eq!(got(&w, stream), [sent_here("svc", &long)]);
        w.accept(stream, 0);
        assert_eq!(w.told(s, id), Some(DeliveryState::Accepted));
        w.accept_all(b);
        w.assert_empty();
    }
}

#[test]
fn streams_of_other_routers_go_on_at_once_each_on_a_link_of_its_own() {
    let mut w = World::new(1);
    let c = w.hop(0, "C", HopLink::Stream, 100);
    let _ = w.hop(0, "C", NORMAL, 100);
    know(&mut w, &[("C", "Msvc")]);
    let (s, t) = (w.router_link(0, HopLink::Stream), w.router_link(0, HopLink::Stream));
    let message = |body: &[u8]| from_b(Some("svc"), STREAMING, body);
    let (one, two) = (message(b"one and more"), message(b"two and more"));
    let beginning = message(b"").len() + 3;
    w.begin(s, &one, false, false, beginning);
    assert_eq!(w.outlet(c).received.len(), 1);
    w.begin(t, &two, false, false, beginning);
    assert_eq!((w.outlet(c).received.len(), &*w.sides[0].streams_wanted), (1, &["C".to_owned()][..]));
    let other = w.hop(0, "C", HopLink::Stream, 100);
    assert_eq!(w.outlet(other).received.len(), 1);
    w.send_rest(t);
    w.send_rest(s);
    assert_eq!(
        (got(&w, c)[0].body.as_slice(), got(&w, other)[0].body.as_slice()),
        (&b"one and more"[..], &b"two and more"[..])
    );
    // And back in the pool.
    w.begin(s, &one, false, false, beginning);
    assert_eq!(w.sides[0].streams_wanted.len(), 1);
    w.abort(s);
    let aborted = |r| w.outlet(r).received.iter().filter(|d| d.end == End::Aborted).count();
    assert_eq!(aborted(c) + aborted(other), 1);
    w.accept_all(c);
    w.accept_all(other);
    w.assert_empty();
}

#[test]
fn a_lost_neighbour_leaves_nothing_unsaid() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        let b = w.hop(workers - 1, "B", NORMAL, 1);
        know(&mut w, &[("B", "Msvc")]);
        let s = w.sender(0, "svc");
        let ids = [w.send(s, b"sent", false), w.send(s, b"waits", false)];
        w.detach_receiver(b);
        assert_eq!(w.told(s, ids[0]), Some(DeliveryState::modified(true, false)));
        assert_eq!(w.told(s, ids[1]), Some(DeliveryState::Released));
        // Routes are still those of before.
        let id = w.send(s, b"too late", false);
        assert_eq!(w.told(s, id), Some(DeliveryState::Released));
        w.assert_empty();
    }
}

#[test]
fn anonymous_senders_and_replies_to_other_routers() {
    let mut w = World::new(1);
    let b = w.hop(0, "B", NORMAL, 10);
    know(&mut w, &[("B", "Msvc")]);
    let s = w.sender(0, "");
    // properties with `to` = "svc", and with the dynamic address of a client of B
    let to = |address: &str| {
        let mut message =
            vec![0x00, 0x53, 0x73, 0xc0, address.len() as u8 + 5, 3, 0x40, 0x40, 0xa1, address.len() as u8];
        message.extend_from_slice(address.as_bytes());
        message
    };
    w.send(s, &to("svc"), false);
    w.send(s, &to("amqp:/_topo/0/B/temp.x"), false);
    let id = w.send(s, &to("amqp:/_topo/0/Z/temp.x"), false);
    assert_eq!(w.told(s, id), Some(DeliveryState::Released));
    let targeted = w.sender(0, "amqp:/_topo/0/B/temp.y");
    w.send(targeted, b"reply", false);
    let overrides: Vec<_> = got(&w, b).into_iter().map(|got| got.to).collect();
    assert_eq!(overrides, [None, None, Some("amqp:/_topo/0/B/temp.y".into())]);
    w.accept_all(b);
    w.assert_empty();
}

#[test]
fn others_are_told_of_destinations_here() {
    let mut w = World::new(2);
    let told = |w: &mut World| std::iter::from_fn(|| w.cores[0].poll_presence()).collect::<Vec<_>>();
    let presence = |here| Presence { key: "Msvc".into(), treatment: Treatment::Balanced, here };
    let r = w.receiver(1, "svc", 0);
    let q = w.receiver(0, "svc", 0);
    let _local = w.receiver(0, "_local/x", 0);
    let _hop = w.hop(0, "B", NORMAL, 0);
    know(&mut w, &[("B", "Melsewhere")]);
    let _s = w.sender(0, "elsewhere");
    assert_eq!(told(&mut w), [presence(true)]);
    w.detach_receiver(q);
    assert_eq!(told(&mut w), []);
    w.detach_receiver(r);
    assert_eq!(told(&mut w), [presence(false)]);
    assert!(w.cores[1].poll_presence().is_none());
}

#[test]
fn a_multicast_delivery_begins_on_a_shared_link_when_it_is_complete() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        let there = workers - 1;
        let b = w.hop(there, "B", NORMAL, 100);
        know(&mut w, &[("B", "Mmulti/x"), ("B", "Msvc")]);
        let (s, t) = (w.sender(0, "multi/x"), w.sender(0, "svc"));
        let r = w.receiver(0, "multi/x", 100);
        for settled in [false, true] {
            let id = w.begin(s, &[7; 30_000], settled, false, 10_000);
            w.part(s, 10_000);
            assert_eq!(w.outlet(b).received.iter().filter(|d| d.end == End::More).count(), 0);
            let before = w.count(b);
            w.send(t, b"meanwhile", true);
            assert_eq!(w.count(b), before + 1);
            w.send_rest(s);
            assert_eq!(got(&w, b).last(), Some(&sent_here("multi/x", &[7; 30_000])));
            w.accept_all(b);
            w.accept_all(r);
            assert_eq!(w.told(s, id), (!settled).then_some(DeliveryState::Accepted));
        }
        w.begin(s, &[7; 30_000], false, false, 10_000);
        w.abort(s);
        assert_eq!(w.count(b), 4);
        w.assert_empty();
    }
}

#[test]
fn a_long_multicast_delivery_goes_to_neighbours_on_links_for_streams() {
    // The link may be on the worker of the other links, or on a third.
    for (workers, there, stream_at) in [(1, 0, 0), (2, 1, 1), (2, 0, 1), (3, 1, 2)] {
        let mut w = World::new(workers);
        let b = w.hop(there, "B", NORMAL, 100);
        know(&mut w, &[("B", "Mmulti/x")]);
        let s = w.sender(0, "multi/x");
        let r = w.receiver(0, "multi/x", 100);
        let long = vec![8; 600_000];
        for settled in [false, true] {
            let id = w.begin(s, &long, settled, false, 200_000);
            w.part(s, 100_000);
            assert_eq!(w.sides[there].streams_wanted.len(), 1);
            let stream = w.hop(stream_at, "B", HopLink::Stream, 100);
            assert_eq!(w.outlet(stream).received.len(), 1, "it goes on while it arrives");
            w.part(s, 50_000);
            w.send_rest(s);
            assert_eq!(got(&w, stream), [sent_here("multi/x", &long)]);
            w.accept_all(stream);
            w.accept_all(r);
            assert_eq!(w.told(s, id), (!settled).then_some(DeliveryState::Accepted));
            w.detach_receiver(stream);
            w.streams_answered(there, "B");
        }
        // Lost while it is under way, aborted, and waiting in vain.
        w.begin(s, &long, false, false, 290_000);
        w.part(s, 10_000);
        let stream = w.hop(stream_at, "B", HopLink::Stream, 100);
        w.streams_answered(there, "B");
        w.detach_receiver(stream);
        w.send_rest(s);
        w.begin(s, &long, false, false, 290_000);
        w.part(s, 10_000);
        let stream = w.hop(stream_at, "B", HopLink::Stream, 100);
        w.streams_answered(there, "B");
        w.abort(s);
        assert_eq!(w.outlet(stream).received.last().unwrap().end, End::Aborted);
        w.detach_receiver(stream);
        w.begin(s, &long, false, false, 290_000);
        w.part(s, 10_000);
        w.no_stream(there, "B");
        w.part(s, 100_000);
        w.part(s, 90_000);
        w.send_rest(s);
        w.accept_all(r);
        assert_eq!(w.count(b), 0, "more than is gathered");
        w.begin(s, &[9; 200_000], false, false, 100_000);
        w.part(s, 10_000);
        w.no_stream(there, "B");
        w.send_rest(s);
        assert_eq!(got(&w, b), [sent_here("multi/x", &[9; 200_000])]);
        w.assert_empty();
    }
}

/// What another router has begun to send is settled when it has finished, though it is told before what has become of it.
#[test]
fn another_router_finishes_a_delivery_before_it_is_settled() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        know(&mut w, &[]);
        let r = w.receiver(workers - 1, "svc", 100);
        let from = w.router_link(0, HopLink::Stream);
        let told = |w: &World, id: u32| w.inlet(from).deliveries[&id].outcomes.clone();
        let check = |w: &mut World, id: u32, state: &DeliveryState| {
            assert_eq!(told(w, id), [(Some(state.clone()), false)]);
            w.part(from, 100);
            assert_eq!(told(w, id), [(Some(state.clone()), false)]);
            w.send_rest(from);
            assert_eq!(told(w, id), [(Some(state.clone()), true)]);
        };
        let message = from_b(Some("svc"), STREAMING, &[5; 1000]);
        let failed = DeliveryState::modified(true, false);
        let id = w.begin(from, &message, false, false, 500);
        w.outcome(r, 0, Some(failed.clone()), true);
        check(&mut w, id, &failed);
        let nowhere = from_b(Some("elsewhere"), STREAMING, &[5; 1000]);
        let id = w.begin(from, &nowhere, false, false, 500);
        check(&mut w, id, &DeliveryState::Released);
        // Unless it settles or aborts it itself, or goes.
        let id = w.begin(from, &nowhere, false, false, 500);
        w.abort(from);
        assert_eq!(told(&w, id), [(Some(DeliveryState::Released), false)]);
        let id = w.begin(from, &nowhere, false, false, 500);
        w.sender_state(from, id, None, true);
        w.send_rest(from);
        assert_eq!(told(&w, id), [(Some(DeliveryState::Released), false)]);
        w.begin(from, &nowhere, false, false, 500);
        w.assert_empty();
    }
}
