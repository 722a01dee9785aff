//! Connections of a TCP adaptor as streams to, from and through other routers.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;

use crate::{
    FlowPick, HopLink, ServerInfo, ServerKey,
    annotations::{Annotations, Parsed, Q2_DISABLED, STREAMING, parse},
    core::tests::world::{Sender, World},
    egress::{DeliveryState, End, Payload},
    routing::{AddressBook, AddressEntry, Event, Routes},
};

/// B - A - C, and D behind C. The tests are in A.
const LINE: &[(&str, &str, u32)] = &[("A", "B", 1), ("A", "C", 2), ("C", "D", 1)];

fn know(w: &mut World, entries: &[(&str, &str)]) {
    know_by(w, LINE, entries);
}

fn know_by(w: &mut World, links: &[(&str, &str, u32)], entries: &[(&str, &str)]) {
    let routes = Routes::of_links("A", links);
    let mut book = AddressBook::new();
    for (router, key) in entries {
        let entry = AddressEntry { key: (*key).into(), hint: None, in_links: 0, mesh: None };
        book.apply(&Event::Addresses { router: (*router).into(), added: [entry].into(), removed: [].into() });
    }
    for worker in 0..w.cores.len() {
        w.cores[worker].set_routes(routes.clone(), book.clone(), None, &mut w.sides[worker]);
        w.end_batch(worker);
    }
}

struct Server {
    key: ServerKey,
    open: Arc<AtomicU32>,
    failing: Arc<AtomicBool>,
}

fn server(w: &mut World, address: &str) -> Server {
    let (open, failing) = (Arc::default(), Arc::default());
    let info = ServerInfo { open: Arc::clone(&open), failing: Arc::clone(&failing), weight: 1, token: 7 };
    let key = w.cores[0].add_server(address, info, &mut w.sides[0]).unwrap();
    Server { key, open, failing }
}

fn pick(w: &mut World, address: &str, tried: &[ServerKey], hops: &[u32]) -> Option<FlowPick> {
    w.cores[0].pick_flow(address, tried, hops)
}

/// Deliveries of an address that came in and went out.
fn counted(w: &World, key: &str) -> (u64, u64) {
    let status = w.cores[0].address_status(key).unwrap();
    (status.deliveries_in, status.deliveries_out)
}

fn is_far(pick: Option<FlowPick>) -> bool {
    matches!(pick, Some(FlowPick::Far(_)))
}

/// A flow of ours toward whatever is picked.
fn begin(w: &mut World, address: &str) -> Sender {
    let Some(FlowPick::Far(hop)) = pick(w, address, &[], &[]) else { panic!("no neighbour was picked") };
    let head = Bytes::from_static(b"head");
    w.flow_sender(0, |core, link, side| core.begin_flow(link, address, hop, &Payload::new(&head), side).unwrap())
}

fn annotated(flags: u32, to: &str, body: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    let annotations = Annotations { flags, to_override: Some(to), ingress: Some("0/B"), ..Annotations::default() };
    annotations.compose(Some("0/B"), &mut message);
    message.extend_from_slice(body);
    message
}

#[test]
fn closest_takes_servers_here_before_neighbours() {
    let mut w = World::new(1);
    know(&mut w, &[("B", "Mclose")]);
    assert!(is_far(pick(&mut w, "close", &[], &[])));
    let one = server(&mut w, "close");
    for _ in 0..3 {
        assert!(matches!(pick(&mut w, "close", &[], &[]), Some(FlowPick::Server(picked)) if picked.key == one.key));
    }
    // One that fails comes last, and one that was tried not again.
    one.failing.store(true, Relaxed);
    assert!(is_far(pick(&mut w, "close", &[], &[])));
    let Some(FlowPick::Far(hop)) = pick(&mut w, "close", &[one.key], &[]) else { panic!() };
    assert!(matches!(pick(&mut w, "close", &[], &[hop]), Some(FlowPick::Server(_))));
    assert_eq!(pick(&mut w, "close", &[one.key], &[hop]), None);
    // Five flows, of which one was tried three times; servers here got four.
    assert_eq!(counted(&w, "Mclose"), (5, 4));
}

#[test]
fn to_ask_for_the_home_of_a_flow_takes_no_turn() {
    for address in ["close", "svc"] {
        let mut w = World::new(2);
        let key = format!("M{address}");
        know_by(&mut w, &[("A", "B", 1), ("A", "C", 1)], &[("B", &key), ("C", &key)]);
        let mut picked = BTreeSet::new();
        for _ in 0..2 {
            w.cores[0].flow_home(address);
            let Some(FlowPick::Far(hop)) = pick(&mut w, address, &[], &[]) else { panic!("no neighbour was picked") };
            picked.insert(hop);
        }
        assert_eq!(picked.len(), 2, "{address}: each neighbour has its turn");
    }
}

#[test]
fn balanced_compares_open_connections_with_what_is_under_way_and_the_cost_of_the_way() {
    let mut w = World::new(1);
    let _ = w.hop(0, "C", HopLink::Priority(4), 100);
    let c = w.hop(0, "C", HopLink::Stream, 100);
    let other = w.hop(0, "C", HopLink::Stream, 100);
    // At a cost of 2.
    know(&mut w, &[("C", "Msvc")]);
    let one = server(&mut w, "svc");
    for open in 0..3 {
        assert_eq!(one.open.load(Relaxed), open);
        assert!(matches!(pick(&mut w, "svc", &[], &[]), Some(FlowPick::Server(_))), "{open}");
    }
    let first = begin(&mut w, "svc");
    // One of ours and the cost make three, as many as the server has.
    assert!(!is_far(pick(&mut w, "svc", &[], &[])));
    assert_eq!(one.open.load(Relaxed), 4);
    let second = begin(&mut w, "svc");
    assert!(!is_far(pick(&mut w, "svc", &[], &[])));
    w.cores[0].server_closed(one.key);
    w.send_rest(second);
    let over = [c, other].into_iter().find(|r| w.count(*r) == 1).unwrap();
    w.accept(over, 0);
    assert!(is_far(pick(&mut w, "svc", &[], &[])), "one flow is over");
    w.detach_sender(first);
}

#[test]
fn a_flow_is_a_stream_that_routers_do_not_hold_back() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        let there = workers - 1;
        let _ = w.hop(there, "C", HopLink::Priority(4), 100);
        know(&mut w, &[("C", "Msvc")]);
        let s = begin(&mut w, "svc");
        w.part(s, 10);
        assert!(w.inlet(s).held > 0, "there is no link yet");
        assert_eq!(w.sides[0].streams_wanted[0], "C");
        let c = w.hop(there, "C", HopLink::Stream, 100);
        assert_eq!(w.inlet(s).held, 0);
        let bytes = w.outlet(c).received[0].bytes.clone();
        let Ok(Parsed::Found(annotations, size)) = parse(&bytes) else { panic!() };
        assert_eq!(annotations.flags, STREAMING | Q2_DISABLED);
        assert_eq!((annotations.to_override, annotations.ingress), (None, Some("0/A")));
        assert_eq!(&bytes[size..], b"head----------");
        // How far the receiver is comes back.
        let received = DeliveryState::Received { section_number: 0, section_offset: 10 };
        w.outcome(c, 0, Some(received.clone()), false);
        assert_eq!(w.inlet(s).deliveries[&0].states, [received]);
        // Silence is no reason to end it.
        for _ in 0..20 {
            w.tick(Duration::from_secs(60));
        }
        assert!(w.inlet(s).attached && w.inlet(s).detached_by_router.is_none());
        w.detach_sender(s);
        assert_eq!(w.outlet(c).received[0].end, End::Aborted);
        w.assert_empty();
    }
}

#[test]
fn a_link_of_another_worker_is_free_after_a_flow_that_came_complete() {
    let mut w = World::new(2);
    let _ = w.hop(1, "C", HopLink::Priority(4), 100);
    know(&mut w, &[("C", "Msvc")]);
    let c = w.hop(1, "C", HopLink::Stream, 100);
    for n in 0..5 {
        let first = begin(&mut w, "svc");
        assert_eq!(w.outlet(c).received.len(), 2 * n + 1);
        // It waits until the first is over, and ends meanwhile.
        let next = begin(&mut w, "svc");
        w.send_rest(next);
        assert_eq!(w.outlet(c).received.len(), 2 * n + 1);
        w.send_rest(first);
        w.deliver_all();
        assert_eq!(w.outlet(c).received.len(), 2 * n + 2);
        w.accept_all(c);
    }
    w.assert_empty();
}

#[test]
fn a_stream_of_another_router_is_served_here() {
    let mut w = World::new(1);
    w.serve(0);
    know(&mut w, &[]);
    let from = w.router_sender(0);
    let one = server(&mut w, "svc");
    let message = annotated(STREAMING, "svc", b"beginning and end");
    let id = w.begin(from, &message, false, false, message.len() - 8);
    assert_eq!(w.sides[0].served[0].1, "Msvc");
    let r = w.served(0, 0);
    assert_eq!(w.outlet(r).received[0].bytes, b"beginning");
    w.outcome(r, 0, Some(DeliveryState::Received { section_number: 0, section_offset: 9 }), false);
    assert_eq!(w.inlet(from).deliveries[&id].states.len(), 1);
    for _ in 0..20 {
        w.tick(Duration::from_secs(60));
    }
    w.send_rest(from);
    assert_eq!(w.bodies(r), [b"beginning and end".to_vec()]);
    w.accept(r, 0);
    assert_eq!(w.told(from, id), Some(DeliveryState::Accepted));
    // The link goes with the flow; the next stream gets another.
    w.detach_receiver(r);
    let id = w.begin(from, &message, false, false, message.len() - 1);
    let r = w.served(0, 1);
    // Whoever serves it gives up in its middle.
    w.detach_receiver(r);
    assert_eq!(w.told(from, id), Some(DeliveryState::modified(true, false)));
    w.send_rest(from);
    // One in a single frame; and an abort.
    let id = w.send(from, &message, false);
    let r = w.served(0, 2);
    w.outcome(r, 0, Some(DeliveryState::Released), true);
    assert_eq!(w.told(from, id), Some(DeliveryState::Released));
    w.detach_receiver(r);
    w.begin(from, &message, false, false, message.len() - 1);
    let r = w.served(0, 3);
    w.abort(from);
    assert_eq!(w.outlet(r).received[0].end, End::Aborted);
    // They came from another router, and each went out to a server.
    assert_eq!(counted(&w, "Msvc"), (0, 4));
    w.cores[0].remove_server(one.key, &mut w.sides[0]);
    w.assert_empty();
}

#[test]
fn only_streams_are_served_and_only_if_somebody_serves() {
    let mut w = World::new(1);
    know(&mut w, &[]);
    let from = w.router_sender(0);
    let one = server(&mut w, "svc");
    for flags in [0, STREAMING] {
        let id = w.send(from, &annotated(flags, "svc", b"message"), false);
        assert_eq!(w.told(from, id), Some(DeliveryState::Released));
        w.serve(0);
        assert!(flags == 0 || w.sides[0].served.is_empty());
        w.sides[0].serves = None;
    }
    w.cores[0].remove_server(one.key, &mut w.sides[0]);
    w.assert_empty();
}

#[test]
fn a_stream_goes_on_where_no_server_works() {
    let mut w = World::new(1);
    w.serve(0);
    let (_, c) = (w.hop(0, "C", HopLink::Priority(4), 100), w.hop(0, "C", HopLink::Stream, 100));
    know(&mut w, &[("D", "Msvc")]);
    let from = w.router_sender(0);
    let one = server(&mut w, "svc");
    one.failing.store(true, Relaxed);
    let message = annotated(STREAMING, "svc", b"bytes");
    w.begin(from, &message, false, false, message.len() - 1);
    w.send_rest(from);
    assert_eq!((w.sides[0].served.len(), w.count(c)), (0, 1));
    w.accept_all(c);
    w.cores[0].remove_server(one.key, &mut w.sides[0]);
}

#[test]
fn a_neighbour_that_refused_a_flow_comes_last_for_a_moment() {
    let mut w = World::new(1);
    let links: Vec<usize> = ["C", "E"]
        .into_iter()
        .flat_map(|to| [w.hop(0, to, HopLink::Priority(4), 100), w.hop(0, to, HopLink::Stream, 100)])
        .collect();
    let (c, e) = (links[1], links[3]);
    let routes = Routes::of_links("A", &[("A", "B", 1), ("A", "C", 1), ("A", "E", 3)]);
    let mut book = AddressBook::new();
    for router in ["C", "E"] {
        let entry = AddressEntry { key: "Msvc".into(), hint: None, in_links: 0, mesh: None };
        book.apply(&Event::Addresses { router: router.into(), added: [entry].into(), removed: [].into() });
    }
    w.cores[0].set_routes(routes, book, None, &mut w.sides[0]);
    let from = w.router_sender(0);
    let refusal = DeliveryState::modified(true, true);
    let message = annotated(STREAMING, "svc", b"bytes");
    let attempt = |w: &mut World, at: usize| {
        let before = w.outlet(at).received.len();
        let id = w.begin(from, &message, false, false, message.len() - 1);
        assert_eq!(w.outlet(at).received.len(), before + 1, "it went elsewhere");
        w.outcome(at, before, Some(refusal.clone()), true);
        w.abort(from);
        w.told(from, id)
    };
    // The cheaper one has no server; whoever tries again gets the other.
    assert_eq!(w.cores[0].poll_timeout(), None);
    assert_eq!(attempt(&mut w, c), Some(DeliveryState::Released));
    // With all others gone by now another attempt is of no use.
    assert_eq!(attempt(&mut w, e), Some(refusal.clone()));
    assert_eq!(attempt(&mut w, c), Some(refusal.clone()));
    // What is no flow goes where it would anyhow.
    let plain = annotated(0, "svc", b"bytes");
    let n = w.count(links[0]);
    w.send(from, &plain, true);
    assert_eq!(w.count(links[0]), n + 1);
    // A moment later all is forgotten.
    assert!(w.cores[0].poll_timeout().is_some());
    w.tick(Duration::ZERO);
    w.tick(Duration::from_millis(999));
    assert_eq!(attempt(&mut w, c), Some(refusal.clone()));
    w.tick(Duration::from_millis(1));
    assert_eq!(attempt(&mut w, c), Some(DeliveryState::Released));
    w.tick(Duration::ZERO);
    w.tick(Duration::from_secs(1));
    assert_eq!(w.cores[0].poll_timeout(), None);
}

#[test]
fn who_asks_for_a_server_that_fails_here_is_told_of_others() {
    let mut w = World::new(1);
    w.serve(0);
    let (_, c) = (w.hop(0, "C", HopLink::Priority(4), 100), w.hop(0, "C", HopLink::Stream, 100));
    let from = w.router_sender(0);
    let one = server(&mut w, "svc");
    let message = annotated(STREAMING, "svc", b"bytes");
    for (elsewhere, told) in [(false, DeliveryState::modified(true, true)), (true, DeliveryState::Released)] {
        know(&mut w, if elsewhere { &[("D", "Msvc")] } else { &[] });
        one.failing.store(false, Relaxed);
        let id = w.begin(from, &message, false, false, message.len() - 1);
        let r = w.served(0, usize::from(elsewhere));
        one.failing.store(true, Relaxed);
        w.outcome(r, 0, Some(DeliveryState::modified(true, true)), true);
        assert_eq!(w.told(from, id), Some(told));
        w.abort(from);
        w.detach_receiver(r);
    }
    w.begin(from, &message, false, false, message.len() - 1);
    w.send_rest(from);
    assert_eq!(w.count(c), 1);
    w.accept_all(c);
    w.cores[0].remove_server(one.key, &mut w.sides[0]);
    w.assert_empty();
}

#[test]
fn an_answer_comes_to_a_link_of_its_own() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        know(&mut w, &[]);
        let (conn, link) = (w.cores[0].internal_connection(), w.link());
        w.sides[0].outlets.insert(link, super::world::Outlet { credit: 1, ..super::world::Outlet::new(conn) });
        let (key, address) = w.cores[0].attach_flow(link, u32::MAX, &mut w.sides[0]).unwrap();
        w.sides[0].outlets.get_mut(&link).unwrap().key = key;
        w.receivers.push((0, link));
        w.end_batch(0);
        let r = w.receivers.len() - 1;
        let from = w.router_sender(workers - 1);
        let id = w.begin(from, &annotated(STREAMING, &address, b"answer"), false, false, usize::MAX / 4);
        assert_eq!(w.bodies(r), [b"answer".to_vec()]);
        w.accept(r, 0);
        assert_eq!(w.told(from, id), Some(DeliveryState::Accepted));
        w.assert_empty();
    }
}

#[test]
fn what_answers_nobody_is_released() {
    let mut w = World::new(1);
    know(&mut w, &[]);
    let head = Bytes::from_static(b"head");
    let s = w.flow_sender(0, |core, link, side| {
        core.begin_reply(link, "amqp:/_topo/0/A/temp.gone", None, &Payload::new(&head), side).unwrap()
    });
    assert_eq!(w.told(s, 0), Some(DeliveryState::Released));
    w.assert_empty();
}
