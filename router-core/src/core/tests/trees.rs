//! Copies while the topology changes: all go by the one that they name.

use std::sync::Arc;

use super::network::{book, got};
use crate::{
    HopLink,
    annotations::{Annotations, Parsed, TREE_SHIFT, parse},
    core::tests::world::{Receiver, World},
    routing::Routes,
};

const NORMAL: HopLink = HopLink::Priority(4);

fn take_over(w: &mut World, routes: &Arc<Routes>) {
    w.cores[0].set_routes(routes.clone(), book(&[("C", "Mmulti/x")]), None, &mut w.sides[0]);
    w.end_batch(0);
}

fn tree_flags(routes: &Routes) -> u32 {
    u32::from(routes.fingerprint()) << TREE_SHIFT
}

fn last_flags(w: &World, r: Receiver) -> u32 {
    match parse(w.bodies(r).last().unwrap()).unwrap() {
        Parsed::Found(annotations, _) => annotations.flags,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_router_on_the_way_goes_by_the_topology_of_the_first() {
    // B finds a way to C that does not lead through A any more.
    let older = Routes::of_links("A", &[("A", "B", 1), ("A", "C", 1)]);
    let newer = Routes::of_links("A", &[("A", "B", 1), ("A", "C", 1), ("B", "C", 1)]);
    assert_ne!(older.fingerprint(), newer.fingerprint());
    let mut w = World::new(1);
    let (b, c) = (w.hop(0, "B", NORMAL, 100), w.hop(0, "C", NORMAL, 100));
    let from = w.router_sender(0);
    let send = |w: &mut World, flags: u32| {
        let mut message = Vec::new();
        Annotations { flags, to_override: Some("multi/x"), ingress: Some("0/B"), ..Annotations::default() }
            .compose(Some("0/B"), &mut message);
        message.push(b'x');
        w.send(from, &message, true);
        w.count(c)
    };
    take_over(&mut w, &older);
    assert_eq!(send(&mut w, tree_flags(&older)), 1);
    assert_eq!(last_flags(&w, c), tree_flags(&older), "passed on as it was");
    assert_eq!(send(&mut w, tree_flags(&newer)), 2, "not known yet: as it is here");
    take_over(&mut w, &newer);
    assert_eq!(send(&mut w, tree_flags(&older)), 3, "B has not sent it to C");
    assert_eq!(send(&mut w, tree_flags(&newer)), 3, "B has");
    assert_eq!(send(&mut w, 0), 3, "so would a router of another make");
    assert_eq!(w.count(b), 0);
    w.assert_empty();
}

#[test]
fn copies_begin_on_the_trees_that_are_kept_to() {
    let older = Routes::of_links("A", &[("A", "B", 1), ("B", "C", 1)]);
    let newer = Routes::of_links("A", &[("A", "B", 1), ("B", "C", 1), ("A", "C", 1)]);
    let mut w = World::new(1);
    let (b, c) = (w.hop(0, "B", NORMAL, 100), w.hop(0, "C", NORMAL, 100));
    take_over(&mut w, &older);
    let s = w.sender(0, "multi/x");
    w.send(s, b"1", true);
    take_over(&mut w, &newer.copies_as(&older));
    w.send(s, b"2", true);
    assert_eq!((got(&w, b).len(), got(&w, c).len()), (2, 0));
    assert_eq!(last_flags(&w, b), tree_flags(&older));
    take_over(&mut w, &newer);
    w.send(s, b"3", true);
    assert_eq!((got(&w, b).len(), got(&w, c).len()), (2, 1));
    assert_eq!(last_flags(&w, c), tree_flags(&newer));
    w.assert_empty();
}
