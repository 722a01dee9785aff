//! A network of twenty routers (C6).

use std::time::{Duration, Instant};

use conformance::network::Plan;
use conformance::process::wait_for;
use conformance::raw::Session;
use conformance::router::PATIENCE;

/// Twenty interior routers of four neighbours and 300 addresses: everybody knows everything well within 30 s, and when nothing happens they
/// need less than 1 % of a core each.
#[test]
fn twenty_routers_agree_and_are_quiet() {
    const ROUTERS: usize = 20;
    const ADDRESSES: usize = 300;
    let mut plan = Plan::ring(ROUTERS);
    let ids: Vec<String> = plan.ids().to_vec();
    for n in 0..ROUTERS {
        plan = plan.link(&ids[n], &ids[(n + 7) % ROUTERS], 1);
    }
    let begin = Instant::now();
    let network = plan.start();
    println!("{ROUTERS} routers know each other after {:?}", begin.elapsed());
    let told = Instant::now();
    let mut consumers: Vec<Session> = ids.iter().map(|id| Session::begin(network.port(id))).collect();
    for n in 0..ADDRESSES {
        consumers[n % ROUTERS].receiver((n / ROUTERS) as u32, Some(&format!("address.{n}")), 0);
    }
    for id in &ids {
        let mut agent = network.agent(id);
        wait_for("all addresses", PATIENCE, || {
            let rows = agent.rows("router.address", &["key", "subscriberCount", "remoteCount"]);
            let known = rows.iter().filter(|row| {
                let served = row[1].number().unwrap_or(0) + row[2].number().unwrap_or(0) > 0;
                served && row[0].text().is_some_and(|key| key.starts_with("Maddress."))
            });
            (known.count() == ADDRESSES).then_some(())
        });
    }
    println!("they know {ADDRESSES} addresses after {:?}", told.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());

    // Once what is left of the start is over: CPU time in a span of 5 s, in which there is nothing to do.
    let used = || network.routers().map(|(_, router)| router.process.cpu()).collect::<Vec<_>>();
    let share = wait_for("a quiet network", PATIENCE, || {
        let (before, begin) = (used(), Instant::now());
        std::thread::sleep(Duration::from_secs(5));
        let spent: Duration = used().iter().zip(before).map(|(after, before)| *after - before).sum();
        let share = spent.as_secs_f64() / begin.elapsed().as_secs_f64() / ROUTERS as f64;
        println!("{:.2} % of a core each", share * 100.0);
        (share < 0.01).then_some(share)
    });
    assert!(share < 0.01);
}
