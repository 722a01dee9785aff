//! Links of connections with an edge router at one end.

use super::{
    network::{from_b, know},
    world::World,
};
use crate::{annotations::SETTLED, egress::DeliveryState};

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
