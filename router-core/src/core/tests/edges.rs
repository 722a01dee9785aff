//! Links of connections with an edge router at one end.

use super::{
    forwarding::message,
    network::{from_b, know},
    world::World,
};
use crate::{
    annotations::{Annotations, SETTLED},
    egress::DeliveryState,
};

const MESH: &str = "aaaaaaaaaaaaaaa";

fn edge(workers: usize) -> World {
    World::with(workers, |config| config.edge = true)
}

/// At an edge router: over which connections an address is reached.
fn bind(w: &mut World, changes: &[(u64, &str, bool)]) {
    let changes: Vec<_> = changes.iter().map(|(conn, key, bound)| (*conn, (*key).into(), *bound)).collect();
    for worker in 0..w.cores.len() {
        w.cores[worker].set_bound(&changes, &mut w.sides[worker]);
        w.end_batch(worker);
    }
}

#[test]
fn what_edges_send_goes_where_their_links_lead() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        let there = workers - 1;
        let (one, two) = (w.receiver(there, "one", 100), w.receiver(there, "two", 100));
        let back = w.edge_hop(0, (7, true), "Mone", 100);
        let (a, b) = (w.edge_sender(0, 7, "Mone"), w.edge_sender(0, 8, "Mtwo"));
        // All begin with the same bytes.
        let message = from_b(None, 0, b"hello");
        for n in 1..20 {
            let ids = (w.send(a, &message, false), w.send(b, &message, false));
            assert_eq!((w.count(one), w.count(two), w.count(back)), (n, n, 0));
            w.accept_all(one);
            w.accept_all(two);
            assert_eq!(w.told(a, ids.0), Some(DeliveryState::Accepted));
            assert_eq!(w.told(b, ids.1), Some(DeliveryState::Accepted));
        }
        // The place of a link that is gone is free for others.
        w.detach_sender(a);
        w.send(b, &message, true);
        w.send(b, &message, true);
        assert_eq!((w.count(one), w.count(two)), (19, 21));
        w.assert_empty();
    }
}

#[test]
fn presettled_deliveries_are_pushed_back_by_edges_of_ours() {
    let mut w = World::new(1);
    let edge = w.edge_hop(0, (7, true), "Msvc", 10_000);
    let s = w.sender(0, "svc");
    let all = w.inlet(s).credit;
    for _ in 0..all {
        w.send(s, b"x", true);
    }
    assert_eq!((w.count(edge) as u32, w.inlet(s).credit), (all, 0));
    w.accept_all(edge);
    assert!(w.inlet(s).credit * 2 > all);
    // What another edge says is told on.
    let from = w.edge_sender(0, 8, "Msvc");
    let id = w.send(from, &from_b(None, SETTLED, b"y"), false);
    assert_eq!(w.told(from, id), None);
    w.accept_all(edge);
    assert_eq!(w.told(from, id), Some(DeliveryState::Accepted));
    know(&mut w, &[]);
    w.assert_empty();
}

#[test]
fn what_comes_with_the_same_annotations_leaves_with_the_same() {
    let mut w = World::new(1);
    let from = w.router_sender(0);
    let c = w.hop_to(0, ("C", true), crate::HopLink::Priority(4), 100);
    know(&mut w, &[("C", "Mone"), ("C", "Mtwo")]);
    let (one, two) = (from_b(Some("one"), 0, b"1"), from_b(Some("two"), 0, b"2"));
    let (settled, both) = (from_b(Some("one"), SETTLED, b"3"), 4);
    for _ in 0..both {
        w.send(from, &one, false);
        w.send(from, &two, false);
        w.send(from, &one, false);
        w.send(from, &settled, false);
    }
    let bodies = w.bodies(c);
    for n in 0..4 {
        let all: Vec<_> = bodies.iter().skip(n).step_by(4).collect();
        assert!(all.iter().all(|body| *body == all[0]), "{n}");
    }
    assert_eq!(bodies[0], bodies[2]);
    assert!(bodies[0] != bodies[1] && bodies[0] != bodies[3]);
    w.accept_all(c);
    w.assert_empty();
}

#[test]
fn links_are_spread_over_uplinks_and_stay_with_theirs() {
    for (workers, address) in [(1, "svc"), (2, "svc"), (1, "close/x")] {
        let mut w = edge(workers);
        let key = &format!("M{address}");
        let up = [w.edge_hop(0, (7, true), key, 1000), w.edge_hop(workers - 1, (9, true), key, 1000)];
        bind(&mut w, &[(7, key, true), (9, key, true)]);
        let senders: Vec<_> = (0..12).map(|_| w.sender(0, address)).collect();
        let counts = |w: &World| up.map(|r| w.count(r));
        let mut taken = [0, 0];
        for s in &senders {
            let before = counts(&w);
            for _ in 0..5 {
                w.send(*s, b"x", true);
            }
            let got = [0, 1].map(|n| counts(&w)[n] - before[n]);
            assert!(got == [5, 0] || got == [0, 5], "{got:?}");
            taken[usize::from(got[1] > 0)] += 1;
        }
        assert!(taken[0] > 1 && taken[1] > 1, "{taken:?}");
        // An uplink is lost, and one that leads to nobody any more is as good as lost.
        bind(&mut w, &[(7, key, false)]);
        let before = counts(&w);
        for s in &senders {
            w.send(*s, b"x", true);
        }
        assert_eq!(counts(&w), [before[0], before[1] + 12]);
        bind(&mut w, &[(7, key, true)]);
        w.detach_receiver(up[1]);
        for s in &senders {
            w.send(*s, b"x", true);
        }
        assert_eq!(w.count(up[0]), before[0] + 12);
        w.accept_all(up[0]);
        bind(&mut w, &[(7, key, false), (9, key, false)]);
        w.assert_empty();
    }
}

#[test]
fn copies_go_up_once() {
    let mut w = edge(1);
    let key = "Mmulti/news";
    let all = [w.edge_hop(0, (9, true), "L_edge", 100), w.edge_hop(0, (7, true), "L_edge", 100)];
    let one = [w.edge_hop(0, (9, true), key, 100), w.edge_hop(0, (7, true), key, 100)];
    let here = w.receiver(0, "multi/news", 100);
    let s = w.sender(0, "multi/news");
    let counts = |w: &World, of: [usize; 2]| of.map(|r| w.count(r));
    bind(&mut w, &[(7, key, true), (9, key, true)]);
    w.send(s, b"x", true);
    assert_eq!((counts(&w, one), w.count(here)), ([0, 1], 1));
    bind(&mut w, &[(7, key, false)]);
    w.send(s, b"x", true);
    assert_eq!((counts(&w, one), w.count(here)), ([1, 1], 2));
    // Without a link of its own it goes up with all that is not known here.
    w.detach_sender(s);
    bind(&mut w, &[(9, key, false)]);
    let anonymous = w.sender(0, "");
    w.send(anonymous, &message(Some("multi/news"), None), true);
    assert_eq!((counts(&w, all), w.count(here)), ([0, 1], 3));
    // What comes down goes to consumers only.
    let down = w.edge_sender(0, 7, key);
    w.send(down, &from_b(None, 0, b"y"), true);
    assert_eq!((counts(&w, all), counts(&w, one), w.count(here)), ([0, 1], [1, 1], 4));
    w.assert_empty();
}

#[test]
fn what_an_edge_sends_does_not_come_back_to_it_through_another_router() {
    let mut w = World::new(1);
    let (one, other) = (w.edge_hop(0, (7, true), "Mmulti/x", 100), w.edge_hop(0, (8, true), "Mmulti/x", 100));
    w.cores[0].set_edge_mesh(7, Some(MESH.into()), &mut w.sides[0]);
    know(&mut w, &[]);
    // The edge of connection 7 has another uplink, at B, which got this from it.
    let from = w.router_sender(0);
    let mut bytes = Vec::new();
    let annotations = Annotations {
        to_override: Some("multi/x"),
        ingress: Some("0/B"),
        ingress_mesh: Some(MESH),
        ..Annotations::default()
    };
    annotations.compose(Some("0/B"), &mut bytes);
    bytes.extend_from_slice(b"x");
    w.send(from, &bytes, true);
    assert_eq!((w.count(one), w.count(other)), (0, 1));
    w.assert_empty();
}
