//! Whatever happens, all agree in the end.

use std::time::Duration;

use proptest::prelude::*;

use super::world::{AGE, World, name, offer};
use crate::catalogue::{Event, Offer, Role};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_change_is_everywhere_at_once() {
    let mut w = World::new(5, 1);
    w.run(SECOND * 10);
    w.put(0, "c", offer("db", 5432));
    assert!(w.agree(SECOND) <= Duration::from_millis(20));
    assert_eq!(w.known(3), ["db Exposes site-0 1 [5432]"]);
    w.put(0, "d", offer("db", 5433));
    w.put(1, "l", Offer { role: Role::Wants, ..offer("db", 15432) });
    w.agree(SECOND);
    assert_eq!(w.known(3), ["db Exposes site-0 2 [5432, 5433]", "db Wants site-1 1 [15432]"]);
    w.take(0, "c");
    w.take(0, "d");
    w.agree(SECOND);
    assert_eq!(w.known(3), ["db Wants site-1 1 [15432]"]);
}

#[test]
fn labels_and_several_sites_of_a_service_are_put_together() {
    let mut w = World::new(3, 1);
    let labelled = |value: &str| Offer {
        labels: vec![("team".to_owned(), value.to_owned()), ("tier".to_owned(), "1".to_owned())],
        ..offer("db", 1)
    };
    w.put(0, "c", labelled("a"));
    w.put(0, "d", labelled("b"));
    w.put(1, "c", offer("db", 2));
    w.agree(SECOND * 5);
    let catalogue = w.sites[2].catalogue.as_ref().unwrap();
    let service = catalogue.services().next().unwrap();
    assert_eq!((&*service.address, &*service.protocol, service.ports()), ("db", "tcp", vec![1, 2]));
    let labels = service.labels();
    let labels: Vec<(&str, &str)> = labels.iter().map(|(key, value)| (&**key, &**value)).collect();
    assert_eq!(labels, [("team", "a"), ("tier", "1")]);
    let sites: Vec<&str> = service.places(Role::Exposes).map(|place| &*place.name).collect();
    assert_eq!(sites, ["site-0", "site-1"]);
}

#[test]
fn who_comes_late_learns_everything() {
    let mut w = World::new(4, 2);
    w.kill(3);
    for n in 0..3000 {
        w.put(n % 3, &format!("c{n}"), offer(&format!("service/{n}"), 80));
    }
    w.agree(SECOND * 10);
    w.start(3);
    w.put(3, "mine", offer("mine", 1));
    let time = w.agree(SECOND * 10);
    assert!(time < SECOND * 2, "{time:?}");
}

#[test]
fn the_last_change_may_be_lost() {
    let mut w = World::new(3, 3);
    w.run(SECOND * 20);
    w.lost = 100;
    w.put(0, "c", offer("db", 1));
    w.run(Duration::from_millis(50));
    w.lost = 0;
    let time = w.agree(SECOND);
    assert!(time < Duration::from_millis(600), "{time:?}");
}

#[test]
fn a_site_that_dies_is_gone_within_its_age_limit() {
    let mut w = World::new(3, 4);
    w.put(0, "c", offer("db", 1));
    w.agree(SECOND * 10);
    w.run(SECOND * 30);
    w.kill(0);
    let time = w.agree(AGE + SECOND);
    assert!(time <= AGE && time >= AGE / 2, "{time:?}");
    assert!(w.sites[1].events.contains(&Event::Silent { site: name(0).into() }));
    w.start(0);
    w.agree(SECOND * 2);
}

#[test]
fn a_site_that_ends_is_gone_at_once() {
    let mut w = World::new(3, 4);
    w.put(0, "c", offer("db", 1));
    w.agree(SECOND * 10);
    if let Some(catalogue) = &mut w.sites[0].catalogue {
        catalogue.end();
        assert_eq!(catalogue.poll_timeout(), None);
    }
    // Its last message goes out with what it is given to read.
    w.deliver(0, true, &bytes::Bytes::new());
    w.run(Duration::from_millis(20));
    w.kill(0);
    assert!(w.all_agree());
    assert!(w.sites[1].events.contains(&Event::Ended { site: name(0).into() }));
}

#[test]
fn a_restart_with_the_same_configuration_costs_nothing() {
    let mut w = World::new(3, 5);
    for n in 0..2000 {
        w.put(0, &format!("c{n}"), offer(&format!("service/{n}"), 80));
    }
    w.agree(SECOND * 10);
    w.run(SECOND * 20);
    w.kill(0);
    w.run(SECOND * 2);
    // What it says as it starts is lost: there is no link yet.
    w.sites[0].part = 1;
    w.start(0);
    w.run(SECOND);
    w.sites[0].part = 0;
    let before = w.sent.1;
    w.network_changed();
    for _ in 0..300 {
        w.run(Duration::from_millis(10));
        assert_eq!(w.known(1).len(), 2000);
    }
    w.agree(SECOND);
    // The other way: it knew nothing of two sites without entries.
    assert!(w.sent.1 - before < 10_000, "{}", w.sent.1 - before);
}

#[test]
fn a_restart_with_another_configuration_shows_no_gap() {
    let mut w = World::new(3, 6);
    for n in 0..2000 {
        w.put(0, &format!("c{n}"), offer(&format!("service/{n}"), 80));
    }
    w.agree(SECOND * 10);
    w.kill(0);
    w.run(SECOND * 2);
    for n in 0..100 {
        w.sites[0].offers.remove(&format!("c{n}"));
    }
    w.start(0);
    for _ in 0..200 {
        w.run(Duration::from_millis(10));
        assert!(w.known(1).len() >= 1900, "{}", w.known(1).len());
    }
    w.agree(SECOND);
}

#[test]
fn a_short_partition_costs_only_what_has_changed() {
    let mut w = World::new(6, 7);
    for n in 0..3000 {
        w.put(n % 6, &format!("c{n}"), offer(&format!("service/{n}"), 80));
    }
    w.agree(SECOND * 10);
    w.run(SECOND * 20);
    for (at, site) in w.sites.iter_mut().enumerate() {
        site.part = at % 2;
    }
    w.run(SECOND * 8);
    w.take(0, "c0");
    w.put(1, "new", offer("new", 1));
    w.run(SECOND);
    let before = w.sent.1;
    w.sites.iter_mut().for_each(|site| site.part = 0);
    w.network_changed();
    let time = w.agree(SECOND * 2);
    assert!(time < SECOND, "{time:?}");
    w.run(SECOND * 3);
    assert!(w.sent.1 - before < 30_000, "{}", w.sent.1 - before);
}

#[test]
fn a_long_partition_heals_within_seconds_even_if_nobody_says_so() {
    let mut w = World::new(8, 8);
    for n in 0..1600 {
        w.put(n % 8, &format!("c{n}"), offer(&format!("service/{n}"), 80));
    }
    w.agree(SECOND * 10);
    for (at, site) in w.sites.iter_mut().enumerate() {
        site.part = at % 2;
    }
    w.agree(AGE + SECOND);
    w.take(0, "c0");
    w.put(1, "new", offer("new", 1));
    w.run(SECOND * 10);
    w.sites.iter_mut().for_each(|site| site.part = 0);
    let time = w.agree(SECOND * 10);
    assert!(time < AGE / 3 + SECOND * 2, "{time:?}");
}

#[test]
fn many_that_were_removed_are_not_remembered_for_ever() {
    let mut w = World::new(2, 9);
    for n in 0..4600 {
        w.put(0, &format!("c{n}"), offer(&format!("service/{n}"), 80));
    }
    w.agree(SECOND * 20);
    w.sites[1].part = 1;
    for n in 0..4500 {
        w.take(0, &format!("c{n}"));
    }
    w.run(SECOND * 8);
    w.sites[1].part = 0;
    w.agree(SECOND * 10);
    assert_eq!(w.known(1).len(), 100);
}

#[test]
fn a_quiet_network_says_little() {
    let mut w = World::new(10, 10);
    for n in 0..1000 {
        w.put(n % 10, &format!("c{n}"), offer(&format!("service/{n}"), 80));
    }
    w.agree(SECOND * 10);
    w.run(SECOND * 30);
    let before = w.sent.0;
    w.run(SECOND * 60);
    let sent = w.sent.0 - before;
    // One digest of each site in about five seconds.
    assert!((115..=140).contains(&sent), "{sent}");
}

#[derive(Clone, Debug)]
enum Step {
    Put(usize, u8, u16),
    Take(usize, u8),
    Restart(usize),
    Kill(usize),
    Part(usize, usize),
    Loss(u64, u64),
    Latency(u64),
    Changed,
    Wait(u64),
}

fn step(sites: usize) -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..sites, 0..12_u8, 1..4_u16).prop_map(|(at, name, port)| Step::Put(at, name, port)),
        4 => (0..sites, 0..12_u8).prop_map(|(at, name)| Step::Take(at, name)),
        1 => (0..sites).prop_map(Step::Restart),
        1 => (0..sites).prop_map(Step::Kill),
        2 => (0..sites, 0..2_usize).prop_map(|(at, part)| Step::Part(at, part)),
        1 => (0..60_u64, 0..40_u64).prop_map(|(lost, twice)| Step::Loss(lost, twice)),
        1 => (1..800_u64).prop_map(Step::Latency),
        1 => Just(Step::Changed),
        5 => (0..3000_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn all_agree_in_the_end(steps in prop::collection::vec(step(4), 1..60), seed: u64) {
        let mut w = World::new(4, seed);
        for step in steps {
            match step {
                // Few addresses, so that several offers are one entry.
                Step::Put(at, name, port) => w.put(at, &name.to_string(), offer(&format!("s{}", name / 3), port)),
                Step::Take(at, name) => w.take(at, &name.to_string()),
                Step::Restart(at) => w.start(at),
                Step::Kill(at) => w.kill(at),
                Step::Part(at, part) => w.sites[at].part = part,
                Step::Loss(lost, twice) => (w.lost, w.twice) = (lost, twice),
                Step::Latency(latency) => w.latency = latency,
                Step::Changed => w.network_changed(),
                Step::Wait(ms) => w.run(Duration::from_millis(ms)),
            }
        }
        // With losses, too.
        w.lost = w.lost.min(30);
        for at in 0..4 {
            w.sites[at].part = 0;
            if w.sites[at].catalogue.is_none() {
                w.start(at);
            }
        }
        w.agree(SECOND * 120);
        w.lost = 0;
        w.run(SECOND * 10);
        prop_assert!(w.all_agree());
    }
}
