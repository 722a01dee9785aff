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
    let counts = |w: &World| (all.map(|r| w.count(r)), one.map(|r| w.count(r)), w.count(here));
    // While it is not known whether the links of its own lead anywhere, copies go up with all that is not known here.
    w.send(s, b"x", true);
    assert_eq!(counts(&w), ([0, 1], [0, 0], 1));
    bind(&mut w, &[(7, key, true), (9, key, true)]);
    w.send(s, b"x", true);
    assert_eq!(counts(&w), ([0, 1], [0, 1], 2));
    bind(&mut w, &[(7, key, false)]);
    w.send(s, b"x", true);
    assert_eq!(counts(&w), ([0, 1], [1, 1], 3));
    // Nobody is there.
    bind(&mut w, &[(9, key, false)]);
    w.send(s, b"x", true);
    assert_eq!(counts(&w), ([0, 1], [1, 1], 4));
    // Without a link of its own nobody would say so.
    w.detach_sender(s);
    w.detach_receiver(one[0]);
    w.detach_receiver(one[1]);
    let anonymous = w.sender(0, "");
    w.send(anonymous, &message(Some("multi/news"), None), true);
    assert_eq!(counts(&w), ([0, 2], [1, 1], 5));
    // What comes down goes to consumers only.
    let down = w.edge_sender(0, 7, key);
    w.send(down, &from_b(None, 0, b"y"), true);
    assert_eq!(counts(&w), ([0, 2], [1, 1], 6));
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

/// A link of ours to another edge router.
fn peer_hop(w: &mut World, worker: usize, conn: u64, to: &str) -> usize {
    w.edge_hop_to(worker, crate::EdgeEnd { conn, ours: true, peer: true }, to, 100)
}

/// A link on which another edge router sends what is for this one.
fn peer_sender(w: &mut World, conn: u64) -> usize {
    w.edge_sender_from(0, crate::EdgeEnd { conn, ours: true, peer: true }, crate::EdgeLink::All)
}

#[test]
fn edge_routers_of_a_mesh_reach_each_other_directly() {
    for workers in [1, 2] {
        let mut w = edge(workers);
        let up = w.edge_hop(0, (7, true), "L_edge", 100);
        let (to_two, svc) = (peer_hop(&mut w, workers - 1, 8, "HE2"), peer_hop(&mut w, workers - 1, 8, "Msvc"));
        let bound = w.edge_hop(0, (7, true), "Msvc", 100);
        bind(&mut w, &[(7, "Msvc", true)]);
        // Not over the interior, though that leads somewhere as well.
        let s = w.sender(0, "svc");
        w.send(s, b"x", true);
        assert_eq!((w.count(svc), w.count(bound)), (1, 0));
        // What is for the other router itself, from links for all and for this alone.
        let (anonymous, one) = (w.sender(0, ""), w.sender(0, "_edge/E2/temp.1"));
        w.send(anonymous, &message(Some("amqp:/_edge/E2/temp.1"), None), true);
        w.send(anonymous, &message(Some("_edge/E3/temp.1"), None), true);
        w.send(one, b"x", true);
        assert_eq!((w.count(to_two), w.count(up)), (2, 1));
        // Without the link all of it goes up.
        w.detach_receiver(to_two);
        w.detach_receiver(svc);
        w.send(anonymous, &message(Some("_edge/E2/temp.1"), None), true);
        w.send(one, b"x", true);
        w.send(s, b"x", true);
        assert_eq!((w.count(up), w.count(bound)), (3, 1));
        bind(&mut w, &[(7, "Msvc", false)]);
        w.assert_empty();
    }
}

#[test]
fn what_comes_to_an_edge_router_is_not_sent_on_to_another() {
    let mut w = edge(1);
    let keys = ["Msvc", "Mmulti/x"];
    let ups = keys.map(|key| w.edge_hop(0, (7, true), key, 100));
    let peers = keys.map(|key| peer_hop(&mut w, 0, 8, key));
    bind(&mut w, &[(7, keys[0], true), (7, keys[1], true)]);
    let here = w.receiver(0, "multi/x", 100);
    let counts = |w: &World, of: [usize; 2]| of.map(|r| w.count(r));
    for conn in [7, 8, 9] {
        for (n, key) in keys.iter().enumerate() {
            let from = match conn {
                7 => w.edge_sender(0, 7, key),
                _ => w.edge_sender_from(
                    0,
                    crate::EdgeEnd { conn, ours: true, peer: true },
                    crate::EdgeLink::Address(key),
                ),
            };
            let id = w.send(from, &from_b(None, 0, b"x"), false);
            if n == 0 {
                assert_eq!(w.told(from, id), Some(DeliveryState::Released));
            }
            w.accept_all(here);
        }
        let from = peer_sender(&mut w, conn);
        let id = w.send(from, &from_b(Some("svc"), 0, b"x"), false);
        assert_eq!(w.told(from, id), Some(DeliveryState::Released));
    }
    assert_eq!((counts(&w, ups), counts(&w, peers), w.count(here)), ([0, 0], [0, 0], 3));
    // Copies of what is sent here go to each of the mesh, and up once.
    let s = w.sender(0, "multi/x");
    w.send(s, b"x", true);
    assert_eq!((counts(&w, ups), counts(&w, peers), w.count(here)), ([0, 1], [0, 1], 4));
    bind(&mut w, &[(7, keys[0], false), (7, keys[1], false)]);
    w.assert_empty();
}

#[test]
fn copies_go_to_the_mesh_and_up_though_nobody_here_has_a_link_for_that() {
    let mut w = edge(1);
    let up = w.edge_hop(0, (7, true), "L_edge", 100);
    let there = peer_hop(&mut w, 0, 8, "Mmulti/x");
    let s = w.sender(0, "");
    w.send(s, &message(Some("multi/x"), None), true);
    assert_eq!((w.count(up), w.count(there)), (1, 1));
    w.assert_empty();
}

#[test]
fn links_between_edge_routers_say_what_they_are_for() {
    let mut w = edge(1);
    peer_hop(&mut w, 0, 8, "HE2");
    peer_hop(&mut w, 0, 8, "Msvc");
    peer_sender(&mut w, 8);
    let core = &w.cores[0];
    let of = |handle: &crate::LinkHandle| core.link_status(*handle).map(|link| (link.kind, link.address));
    let mut all: Vec<_> =
        core.link_handles().iter().filter_map(of).map(|(kind, key)| format!("{kind:?} {key:?}")).collect();
    all.sort();
    assert_eq!(all, ["Endpoint Some(\"Msvc\")", "InterEdge None", "InterEdge Some(\"HE2\")"]);
    w.assert_empty();
}

#[test]
fn addresses_of_edges_are_listed_with_their_consumers() {
    let mut w = World::new(1);
    let edges = [w.edge_hop(0, (7, true), "Mmulti/x", 100), w.edge_hop(0, (8, true), "Mmulti/x", 100)];
    assert!(w.cores[0].address_keys().iter().any(|key| **key == *"Mmulti/x"));
    let status = |w: &World| w.cores[0].address_status("Mmulti/x").unwrap();
    assert_eq!((status(&w).outlets, status(&w).treatment), (2, crate::Treatment::Multicast));
    let _here = w.receiver(0, "multi/x", 100);
    let s = w.sender(0, "multi/x");
    w.send(s, b"x", true);
    assert_eq!((status(&w).outlets, status(&w).deliveries_out), (3, 3));
    assert_eq!(edges.map(|r| w.count(r)), [1, 1]);
    // At an edge router the way up is a consumer when it leads to some.
    let mut w = edge(1);
    w.edge_hop(0, (7, true), "Msvc", 100);
    let outlets = |w: &World| w.cores[0].address_status("Msvc").map(|status| status.outlets);
    assert_eq!(outlets(&w), Some(0));
    bind(&mut w, &[(7, "Msvc", true)]);
    assert_eq!(outlets(&w), Some(1));
    bind(&mut w, &[(7, "Msvc", false)]);
    w.assert_empty();
}

#[test]
fn one_edge_router_behind_several_others_gets_what_a_link_sends_in_order() {
    for (mesh, together) in [("~aaaaaaaaaaaaaa", true), (MESH, false)] {
        let mut w = World::new(1);
        let routes = crate::routing::Routes::of_links("A", &[("A", "B", 1), ("A", "C", 1)]);
        let mut book = crate::routing::AddressBook::new();
        for router in ["B", "C"] {
            for key in ["Mclose/x", "Msvc"] {
                let entry =
                    crate::routing::AddressEntry { key: key.into(), hint: None, in_links: 0, mesh: Some(mesh.into()) };
                book.apply(&crate::routing::Event::Addresses {
                    router: router.into(),
                    added: [entry].into(),
                    removed: [].into(),
                });
            }
        }
        let ways = ["B", "C"].map(|id| w.hop_to(0, (id, true), crate::HopLink::Priority(4), 1000));
        w.cores[0].set_routes(routes, book, None, &mut w.sides[0]);
        let counts = |w: &World| ways.map(|r| w.count(r));
        for address in ["close/x", "svc"] {
            let mut taken = [0, 0];
            for _ in 0..16 {
                let s = w.sender(0, address);
                let before = counts(&w);
                for _ in 0..4 {
                    w.send(s, b"x", false);
                }
                let got = [0, 1].map(|n| counts(&w)[n] - before[n]);
                assert_eq!(got == [4, 0] || got == [0, 4], together, "{got:?}");
                taken = [0, 1].map(|n| taken[n] + got[n]);
            }
            assert!(taken[0] > 4 && taken[1] > 4, "{taken:?}");
        }
        for r in ways {
            w.accept_all(r);
        }
        know(&mut w, &[]);
        w.assert_empty();
    }
}
