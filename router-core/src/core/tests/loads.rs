//! Balanced among routers of this make: consumers of a site count, and what others have sent there.

use std::sync::Arc;

use crate::{
    HopLink, Shares,
    core::tests::{
        network::book,
        world::{Receiver, Sender, World},
    },
    routing::{AddressBook, Event, Load, LoadEntry, LoadPart, Routes},
};

const NORMAL: HopLink = HopLink::Priority(4);

/// B - A - C, all links at cost 1, and consumers of `svc` at B and C.
struct Net {
    w: World,
    b: Receiver,
    c: Receiver,
    s: Sender,
    routes: Arc<Routes>,
    book: AddressBook,
}

impl Net {
    fn new(tellers: &[&str]) -> Self {
        let mut w = World::new(1);
        let (b, c) = (w.hop_to(0, ("B", true), NORMAL, 10_000), w.hop_to(0, ("C", true), NORMAL, 10_000));
        let routes = Routes::of_links("A", &[("A", "B", 1), ("A", "C", 1)]);
        let book = book(&[("B", "Msvc"), ("C", "Msvc")]);
        let s = w.sender(0, "svc");
        let mut net = Self { w, b, c, s, routes, book };
        for teller in tellers {
            net.apply(&Event::TellsLoads { router: (*teller).into(), tells: true });
        }
        net.publish();
        net
    }

    fn shares(&self) -> Shares {
        self.w.cores[0].tallies.shares().clone()
    }

    fn apply(&self, event: &Event) {
        self.shares().apply(event, &self.book, &self.routes);
    }

    fn publish(&mut self) {
        self.w.cores[0].set_routes(Arc::clone(&self.routes), self.book.clone(), None, &mut self.w.sides[0]);
        self.w.end_batch(0);
    }

    fn tell(&self, router: &str, consumers: u32, outstanding: u32) {
        let entries = [LoadEntry { key: "Msvc".into(), load: Load { consumers, outstanding } }].into();
        self.apply(&Event::Loads { router: router.into(), entries });
    }

    /// Sends so many, which stay unsettled. Answers how many went where.
    fn send(&mut self, count: usize) -> (usize, usize) {
        let before = (self.w.count(self.b), self.w.count(self.c));
        for n in 0..count {
            if n % 100 == 0 {
                self.s = self.w.sender(0, "svc");
            }
            self.w.send(self.s, b"x", false);
        }
        (self.w.count(self.b) - before.0, self.w.count(self.c) - before.1)
    }

    fn end(mut self) {
        self.w.accept_all(self.b);
        self.w.accept_all(self.c);
        self.w.assert_empty();
    }
}

#[test]
fn a_site_counts_with_its_consumers() {
    let mut net = Net::new(&["B", "C"]);
    assert_eq!(net.send(100), (50, 50));
    net.tell("B", 3, 50);
    // All in all three quarters of 400.
    assert_eq!(net.send(300), (250, 50));
    net.end();
}

#[test]
fn what_others_have_sent_counts() {
    let mut net = Net::new(&["B", "C"]);
    net.tell("B", 1, 40);
    assert_eq!(net.send(20), (0, 20));
    assert_eq!(net.send(40), (10, 30));
    // Of what is told now 10 are ours; that others have less there is taken over in steps.
    net.tell("B", 1, 10);
    for _ in 0..100 {
        net.shares().step(1);
    }
    assert!(net.shares().is_quiet());
    assert_eq!(net.send(40), (40, 0));
    net.end();
}

#[test]
fn hints_are_kept_for_those_who_come_later_and_forgotten_with_the_address() {
    let mut net = Net::new(&["B", "C"]);
    net.tell("B", 2, 0);
    net.tell("D", 9, 0);
    net.publish();
    assert_eq!(net.send(90), (60, 30));
    let gone = Event::Addresses { router: "B".into(), added: [].into(), removed: ["Msvc".into()].into() };
    net.book.apply(&gone);
    net.apply(&gone);
    net.publish();
    assert_eq!(net.send(10), (0, 10));
    net.book = book(&[("B", "Msvc"), ("C", "Msvc")]);
    net.publish();
    // It counts as one again: 40 and 60, with 60 of before still there.
    assert_eq!(net.send(60), (20, 40));
    net.end();
}

/// Where one of the routers is the reference's, all go by its rule.
#[test]
fn mixed_networks_are_the_references() {
    let mut net = Net::new(&["B"]);
    net.tell("B", 3, 200);
    assert_eq!(net.send(100), (50, 50));
    net.apply(&Event::TellsLoads { router: "C".into(), tells: true });
    net.publish();
    net.apply(&Event::TellsLoads { router: "C".into(), tells: false });
    net.publish();
    assert_eq!(net.send(100), (50, 50));
    net.end();
}

#[test]
fn loads_are_looked_up() {
    let part = |consumers, outstanding| LoadPart { key: "Msvc".into(), load: Load { consumers, outstanding } };
    let mut w = World::new(2);
    let (one, two) = (w.receiver(0, "svc", 10), w.receiver(0, "svc", 0));
    let s = w.sender(0, "svc");
    assert_eq!(w.cores[0].poll_loads(), [part(2, 0)]);
    assert_eq!(w.cores[0].poll_loads(), []);
    for _ in 0..15 {
        w.send(s, b"x", false);
    }
    // Ten were sent, and five wait.
    assert_eq!(w.cores[0].poll_loads(), [part(2, 15)]);
    w.accept_all(one);
    w.credit(two, 10, false);
    assert_eq!(w.cores[0].poll_loads(), [part(2, 5)]);
    // Other workers know of its consumers, but they are not theirs.
    assert_eq!(w.cores[1].poll_loads(), []);
    w.accept_all(two);
    w.assert_empty();
    assert_eq!(w.cores[0].poll_loads(), [part(0, 0)]);
    assert_eq!(w.cores[0].poll_loads(), []);
}

/// So many routers send to two sites at once, each knowing of the others only what was three samples ago. They come to an even spread, and stay.
#[test]
fn many_who_follow_hints_do_not_run_to_and_fro() {
    for ingress in [2, 5, 12] {
        let all: Vec<Net> = (0..ingress).map(|_| Net::new(&["B", "C"])).collect();
        // What each has at B and at C, of 100 that it always has under way; and what all have, sample by sample.
        let mut at_b = vec![100_i64; ingress];
        let mut told = vec![(100 * ingress as i64, 0); 3];
        for tick in 0..600 {
            let (b, c) = told[told.len() - 3];
            for (net, own) in all.iter().zip(&mut at_b) {
                let shares = net.shares();
                let others = |name: &str| i64::from(shares.others("Msvc", name));
                // Both sites have as much to do as this router knows.
                *own = ((100 + others("C") - others("B")) / 2).clamp(0, 100);
                let target = |all: i64, own: i64| (all - own).max(0) as u32;
                shares.aim_at("Msvc", &[("B", target(b, *own)), ("C", target(c, 100 - *own))]);
                shares.step(ingress);
            }
            let b: i64 = at_b.iter().sum();
            let all = 100 * ingress as i64;
            told.push((b, all - b));
            if tick > 300 {
                assert!((b - all / 2).abs() <= all / 10, "{ingress} routers: {b} of {all} at B after {tick} samples");
            }
        }
    }
}
