//! A network of twenty interior and a hundred edge routers (C6).

use std::thread;
use std::time::{Duration, Instant};

use conformance::agent::Agent;
use conformance::network::{Network, Plan};
use conformance::process::wait_for;
use conformance::raw::{Heard, Session, V, code};
use conformance::router::{Config, PATIENCE, Router};

const INTERIORS: usize = 20;
const EDGES: usize = 100;
/// Three at each edge router.
const ADDRESSES: usize = 300;

/// Twenty interior routers of four neighbours, a hundred edge routers, five on each, and 300 addresses at these: everybody knows everything well
/// within 30 s, each edge reaches another, and when nothing happens all need less than 1 % of a core each and little memory.
#[test]
fn twenty_interior_and_a_hundred_edge_routers_agree_and_are_quiet() {
    let mut plan = Plan::ring(INTERIORS).edges();
    let ids: Vec<String> = plan.ids().to_vec();
    for n in 0..INTERIORS {
        plan = plan.link(&ids[n], &ids[(n + 7) % INTERIORS], 1);
    }
    let begin = Instant::now();
    let network = plan.start();
    let agreed = begin.elapsed();
    println!("{INTERIORS} interior routers know each other after {agreed:?}");
    let begin = Instant::now();
    let edges = start_edges(&network, &ids);
    println!("{EDGES} edge routers started within {:?}", begin.elapsed());

    let told = Instant::now();
    let mut consumers: Vec<Session> = edges.iter().map(|edge| Session::begin(edge.port)).collect();
    for n in 0..ADDRESSES {
        consumers[n % EDGES].receiver((n / EDGES) as u32, Some(&format!("address.{n}")), 1);
    }
    for id in &ids {
        let mut agent = network.agent(id);
        wait_for("all addresses", PATIENCE, || (known(&mut agent) == ADDRESSES).then_some(()));
    }
    let known = told.elapsed();
    println!("they know {ADDRESSES} addresses after {known:?}");
    assert!(agreed + known < Duration::from_secs(30), "{agreed:?} {known:?}");

    // From each to one on the other side.
    let begin = Instant::now();
    for (n, edge) in edges.iter().enumerate() {
        let to = (n * 3 + EDGES / 2) % ADDRESSES;
        deliver(edge, to, &mut consumers[to % EDGES]);
    }
    println!("each edge router reached another, {EDGES} messages one after the other in {:?}", begin.elapsed());

    let routers = || network.routers().map(|(_, router)| router).chain(&edges);
    let most = routers().map(|router| router.process.peak_rss() >> 20).max();
    println!("at most {most:?} MiB each");
    assert!(most < Some(64), "{most:?} MiB");
    // Once what is left of the start is over: CPU time in a span of 5 s, in which there is nothing to do.
    let used = || routers().map(|router| router.process.cpu()).collect::<Vec<_>>();
    wait_for("a quiet network", PATIENCE, || {
        let (before, begin) = (used(), Instant::now());
        thread::sleep(Duration::from_secs(5));
        let spent: Vec<Duration> = used().iter().zip(before).map(|(after, before)| *after - before).collect();
        let share = |spent: &[Duration]| {
            spent.iter().sum::<Duration>().as_secs_f64() / begin.elapsed().as_secs_f64() / spent.len() as f64
        };
        let (interior, edge) = (share(&spent[..INTERIORS]), share(&spent[INTERIORS..]));
        println!("{:.2} % of a core each interior router, {:.2} % each edge router", interior * 100.0, edge * 100.0);
        (interior < 0.01 && edge < 0.01).then_some(())
    });
}

/// Five edge routers on each interior one, and the edges' connections seen there. A few are started at a time.
fn start_edges(network: &Network, ids: &[String]) -> Vec<Router> {
    let start = |n: usize| {
        let id = format!("E{n}");
        let mut config = Config::router(&[("mode", "edge"), ("id", &id), ("workerThreads", "1")]);
        config.listener(&[]);
        config.uplink(network.edge_port(&ids[n % INTERIORS]));
        config.start()
    };
    let mut edges: Vec<(usize, Router)> = thread::scope(|scope| {
        let starting: Vec<_> = (0..4)
            .map(|first| scope.spawn(move || (first..EDGES).step_by(4).map(|n| (n, start(n))).collect::<Vec<_>>()))
            .collect();
        starting.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    edges.sort_by_key(|(n, _)| *n);
    for id in ids {
        let mut agent = network.agent(id);
        wait_for("five edges", PATIENCE, || {
            let rows = agent.rows("connection", &["role"]);
            (rows.iter().filter(|row| row[0].text() == Some("edge")).count() == EDGES / INTERIORS).then_some(())
        });
    }
    edges.into_iter().map(|(_, router)| router).collect()
}

/// How many of the addresses a router knows destinations for: edges of its own are told apart from other routers by their links.
fn known(agent: &mut Agent) -> usize {
    let rows = agent.rows("router.address", &["key", "subscriberCount", "remoteCount"]);
    let served = rows.iter().filter(|row| row[1].number().unwrap_or(0) + row[2].number().unwrap_or(0) > 0);
    let far = served.filter_map(|row| row[0].text()).filter(|key| key.starts_with("Maddress."));
    far.count()
}

/// Sends a message from an edge router to an address, and takes it there.
fn deliver(from: &Router, to: usize, consumer: &mut Session) {
    let mut sender = Session::begin(from.port);
    sender.sender(0, Some(&format!("address.{to}")));
    let credit = |heard| matches!(heard, Heard::Credit(0, 1..)).then_some(());
    wait_for("credit", PATIENCE, || credit(sender.listen(Duration::from_millis(20))));
    sender.send(0, &V::Desc(0x75, Box::new(V::Bin(b"hello".to_vec()))).bytes(), false);
    wait_for("the message", PATIENCE, || match consumer.listen(Duration::from_millis(20)) {
        Heard::Delivery(delivery) => {
            consumer.accept(delivery.id);
            Some(())
        }
        _ => None,
    });
    wait_for("the outcome", PATIENCE, || match sender.listen(Duration::from_millis(20)) {
        Heard::Outcome(_, _, state, _) => {
            assert_eq!(state, Some(code::ACCEPTED));
            Some(())
        }
        _ => None,
    });
}
