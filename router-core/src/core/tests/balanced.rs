//! Balanced over routers: the reference's rule, delivery by delivery.

use proptest::prelude::*;

use crate::{
    HopLink,
    core::tests::{
        network::know,
        world::{Receiver, Sender, World},
    },
    routing::{AddressBook, Routes},
};

const NORMAL: HopLink = HopLink::Priority(4);

/// Where a delivery went, as far as anybody can see.
fn sent(w: &mut World, s: Sender, all: &[(char, Receiver)]) -> char {
    let before: Vec<_> = all.iter().map(|(_, r)| w.count(*r)).collect();
    w.send(s, b"x", false);
    let grown = all.iter().zip(before).find(|((_, r), before)| w.count(*r) > *before);
    grown.map_or('_', |((name, _), _)| *name)
}

/// A with a consumer here and one at B, over a link of this cost.
fn pair(ours: bool, cost: u32, credit: u32) -> (World, Vec<(char, Receiver)>, Sender) {
    let mut w = World::new(1);
    let b = w.hop_to(0, ("B", ours), NORMAL, 1000);
    let near = w.receiver(0, "svc", credit);
    let routes = Routes::of_links("A", &[("A", "B", cost)]);
    w.cores[0].set_routes(routes, super::network::book(&[("B", "Msvc")]), None, &mut w.sides[0]);
    w.end_batch(0);
    let s = w.sender(0, "svc");
    (w, vec![('.', near), ('B', b)], s)
}

/// All of it was seen with skrouterd routers, too (decision 0014).
#[test]
fn the_staircase_is_that_of_the_reference() {
    for (cost, credit, n, expected) in [
        (1, 1000, 14, "..B.B.B.B.B.B."),
        (3, 1000, 14, "....B.B.B.B.B."),
        (10, 1000, 26, "...........B.B.B.B.B.B.B.B"),
        // What a consumer without credit gets counts for it like what it has.
        (10, 3, 20, "...________B_B_B_B_B"),
        (3, 0, 10, "____B_B_B_"),
    ] {
        let (mut w, all, s) = pair(false, cost, credit);
        let went: String = (0..n).map(|_| sent(&mut w, s, &all)).collect();
        assert_eq!(went, expected, "cost {cost}, credit {credit}");
        w.assert_empty();
    }
}

#[test]
fn what_waits_here_goes_elsewhere_when_less_is_outstanding_there() {
    let (mut w, all, s) = pair(true, 1, 0);
    let (near, b) = (all[0].1, all[1].1);
    for n in 0..6 {
        w.send(s, &[n], false);
    }
    let before = w.count(b);
    assert!(before < 6);
    w.accept_all(b);
    assert!(w.count(b) > before);
    // In the order in which it was sent.
    let order: Vec<u8> = w.bodies(b).iter().filter_map(|body| body.last().copied()).collect();
    assert!(order.is_sorted(), "{order:?}");
    w.credit(near, 10, false);
    assert_eq!(w.count(near) + w.count(b), 6);
    w.assert_empty();
}

#[test]
fn all_workers_count_together() {
    let mut w = World::new(2);
    let (b, c) = (w.hop(0, "B", NORMAL, 100), w.hop(1, "C", NORMAL, 100));
    know(&mut w, &[("B", "Msvc"), ("C", "Msvc")]);
    // C costs one more than B.
    let (s, t) = (w.sender(0, "svc"), w.sender(1, "svc"));
    for n in 0..4 {
        w.send(s, &[n], false);
        w.send(t, &[n], false);
    }
    assert_eq!((w.count(b), w.count(c)), (4, 4));
    w.accept_all(b);
    for n in 0..3 {
        w.send(t, &[n], false);
    }
    assert_eq!((w.count(b), w.count(c)), (7, 4));
    w.accept_all(b);
    w.accept_all(c);
    w.assert_empty();
}

/// 250 are the limit of the reference, not ours.
#[test]
fn limits_are_those_of_the_reference() {
    for ours in [false, true] {
        let (mut w, all, mut s) = pair(ours, 10_000, 1000);
        for n in 0..250 {
            if n % 100 == 0 {
                s = w.sender(0, "svc");
            }
            assert_eq!(sent(&mut w, s, &all), '.');
        }
        assert_eq!(sent(&mut w, s, &all), if ours { '.' } else { 'B' });
        w.accept_all(all[0].1);
        w.accept_all(all[1].1);
        w.assert_empty();
    }
}

/// What the reference does, in plain words.
#[derive(Debug)]
struct Model {
    near: Vec<u32>,
    far: Vec<u32>,
    costs: Vec<u32>,
}

impl Model {
    /// The least work of a consumer here, and of a router.
    fn least(&self) -> (Option<u32>, Option<u32>) {
        let far = self.far.iter().zip(&self.costs).map(|(outstanding, cost)| outstanding + cost);
        (self.near.iter().copied().min(), far.min())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_choice_is_one_that_the_reference_could_make(
        consumers in 0usize..4,
        b in 1u32..6,
        c in 1u32..6,
        steps in proptest::collection::vec((0u8..4, 0usize..5), 1..120),
    ) {
        let mut w = World::new(1);
        let hops = [w.hop(0, "B", NORMAL, 1000), w.hop(0, "C", NORMAL, 1000)];
        let near: Vec<_> = (0..consumers).map(|_| w.receiver(0, "svc", 1000)).collect();
        let routes = Routes::of_links("A", &[("A", "B", b), ("A", "C", c)]);
        let book: AddressBook = super::network::book(&[("B", "Msvc"), ("C", "Msvc")]);
        w.cores[0].set_routes(routes, book, None, &mut w.sides[0]);
        w.end_batch(0);
        let s = w.sender(0, "svc");
        let mut model = Model { near: vec![0; consumers], far: vec![0; 2], costs: vec![b.min(b + c), c.min(b + c)] };
        let receivers: Vec<Receiver> = near.iter().chain(&hops).copied().collect();
        let mut settled = vec![0; receivers.len()];
        for (kind, which) in steps {
            if kind < 3 {
                let before: Vec<_> = receivers.iter().map(|r| w.count(*r)).collect();
                w.send(s, b"x", false);
                let at = receivers.iter().zip(&before).position(|(r, before)| w.count(*r) > *before).unwrap();
                let (least_near, least_far) = model.least();
                if at < consumers {
                    prop_assert_eq!(Some(model.near[at]), least_near);
                    prop_assert!(least_far.is_none_or(|far| model.near[at] <= far));
                    model.near[at] += 1;
                } else {
                    let work = model.far[at - consumers] + model.costs[at - consumers];
                    prop_assert_eq!(Some(work), least_far);
                    prop_assert!(least_near.is_none_or(|near| work < near));
                    model.far[at - consumers] += 1;
                }
            } else if let Some(r) = receivers.get(which) && settled[which] < w.count(*r) {
                w.accept(*r, settled[which]);
                settled[which] += 1;
                if which < consumers {
                    model.near[which] -= 1;
                } else {
                    model.far[which - consumers] -= 1;
                }
            }
        }
        for r in receivers {
            w.accept_all(r);
        }
        w.assert_empty();
    }
}
