//! Balanced among our own routers: a site counts with its consumers, and with what all routers have sent there.

use std::time::{Duration, Instant};

use conformance::network::{Network, Plan};
use conformance::process::wait_for;
use conformance::router::PATIENCE;
use conformance::traffic::{Holder, Pace, Sink, Source};

/// A and B, where messages come in, and C, D and E with consumers. Whoever sends is next to whoever consumes.
fn network() -> Network {
    let pairs = ["A", "B"].into_iter().flat_map(|from| ["C", "D", "E"].map(|to| (from, to)));
    let plan = pairs.fold(Plan::routers(5), |plan, (from, to)| plan.link(from, to, 1));
    plan.distribution("shared", "balanced").start()
}

/// So many consumers at a router that settle nothing.
fn holders(network: &Network, id: &str, count: usize) -> Vec<Holder> {
    (0..count).map(|_| Holder::start(network.router(id), "shared.x", 1000)).collect()
}

fn count(holders: &[Holder]) -> usize {
    holders.iter().map(Holder::count).sum()
}

/// With 1, 2 and 3 consumers at three sites, two routers that send make shares of one, two and three sixths.
#[test]
fn shares_follow_the_number_of_consumers() {
    const EACH: usize = 90;
    let network = network();
    let sites: Vec<_> = [("C", 1), ("D", 2), ("E", 3)].map(|(id, n)| holders(&network, id, n)).into();
    for id in ["A", "B"] {
        network.wait_address(id, "shared.x", 0, 3);
    }
    let begun = Instant::now();
    loop {
        let pace = Pace { count: EACH as u64, window: EACH, ..Pace::default() };
        let sources = ["A", "B"].map(|id| Source::start(network.router(id), id, "shared.x", pace));
        let all = || sites.iter().map(|site| count(site)).sum::<usize>();
        wait_for("all messages", PATIENCE, || (all() == 2 * EACH).then_some(()));
        let counts: Vec<usize> = sites.iter().map(|site| count(site)).collect();
        sites.iter().flatten().for_each(Holder::release);
        for source in sources {
            source.wait_done(EACH as u64);
            assert_eq!(source.stop().accepted.count(), EACH);
        }
        let near = |(count, consumers): (&usize, usize)| count.abs_diff(2 * EACH * consumers / 6) <= 2 * EACH / 20;
        if counts.iter().zip(1..).all(near) {
            println!("{counts:?} after {:?}", begun.elapsed());
            return;
        }
        // How many there are is told a moment later than that there are some.
        assert!(begun.elapsed() < PATIENCE, "{counts:?} of {}", 2 * EACH);
    }
}

/// What one router has sent to a site, another one takes into account.
#[test]
fn what_others_have_sent_counts() {
    const FIRST: usize = 60;
    let network = network();
    let one = holders(&network, "C", 1);
    network.wait_address("A", "shared.x", 0, 1);
    let pace = Pace { count: FIRST as u64, window: FIRST, ..Pace::default() };
    let _first = Source::start(network.router("A"), "A", "shared.x", pace);
    wait_for("the first messages", PATIENCE, || (count(&one) == FIRST).then_some(()));
    let two = holders(&network, "D", 2);
    network.wait_address("B", "shared.x", 0, 2);
    // If it did not know of these, two thirds of all would be at D after 1,440 messages only. It takes them into account in steps.
    let pace = Pace { count: 240, window: 240, gap: Duration::from_millis(50), ..Pace::default() };
    let sources = ["B", "b"].map(|name| Source::start(network.router("B"), name, "shared.x", pace));
    let even = || {
        let (one, two) = (count(&one), count(&two));
        (one + two >= 3 * FIRST && one * 100 <= (one + two) * 36).then_some((one, two))
    };
    let counts = wait_for("an even spread", PATIENCE, even);
    println!("{counts:?} of {} and {FIRST}", sources.iter().map(Source::sent).sum::<u64>());
    one.iter().chain(&two).for_each(Holder::release);
}

/// A slow and a fast consumer, ten to one, at two sites: so are their shares of what two routers send (R4).
#[test]
fn a_slow_consumer_gets_less() {
    const EACH: u64 = 500;
    let network = network();
    let sink = |id: &str, work| Sink::slow(network.router(id), "shared.x", 50, Duration::from_millis(work));
    let (slow, fast) = (sink("C", 50), sink("D", 5));
    for id in ["A", "B"] {
        network.wait_address(id, "shared.x", 0, 2);
    }
    let pace = Pace { count: EACH, ..Pace::default() };
    let sources = ["A", "B"].map(|id| Source::start(network.router(id), id, "shared.x", pace));
    for source in sources {
        source.wait_done(EACH);
        assert_eq!(source.stop().accepted.count() as u64, EACH);
    }
    let (slow, fast) = (slow.stop().moments.count(), fast.stop().moments.count());
    println!("slow {slow}, fast {fast}");
    assert!((6 * slow..=14 * slow).contains(&fast), "slow {slow}, fast {fast}: not near one to ten");
}
