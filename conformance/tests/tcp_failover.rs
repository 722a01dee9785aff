//! TCP connections while routers and links of their network go away and come back.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use conformance::agent::Agent;
use conformance::ports::free_port;
use conformance::relay::{Line, Relay};
use conformance::tcp::peers::{client, echo, read_n, read_to_reset};
use conformance::tcp::{is_reset, wait_listening};
use conformance::{Config, PATIENCE, Router, wait_for};

/// Nobody waits longer than this to be served or refused: far less than what a router waits for another that says nothing.
const PROMPT: Duration = Duration::from_secs(10);

/// What became of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Served,
    Reset,
    Refused,
}

/// Sends something to an echo server, and reads it back.
fn try_echo(port: u16, data: &[u8]) -> Fate {
    let mut near = match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
        Ok(near) => near,
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Fate::Refused,
        Err(error) => panic!("{error}"),
    };
    near.set_read_timeout(Some(PROMPT)).unwrap();
    let mut back = vec![0; data.len()];
    match near.write_all(data).and_then(|()| near.read_exact(&mut back)) {
        Ok(()) => {
            assert!(back == data, "what a server hears it says");
            Fate::Served
        }
        Err(error) if is_reset(&error) => Fate::Reset,
        Err(error) => panic!("{error} instead of an answer or a reset"),
    }
}

/// The neighbour through which a router reaches another, if it does.
fn way(agent: u16, to: &str) -> Option<String> {
    let node = Agent::connect(agent).nodes().into_iter().find(|node| node.id == to)?;
    node.cost.map(|_| node.next_hop.unwrap_or(node.id))
}

/// Whether a router has A and D as neighbours.
fn is_between(agent: u16) -> bool {
    let nodes = Agent::connect(agent).nodes();
    let is_near = |id: &str| nodes.iter().any(|node| node.id == id && node.cost.is_some() && node.next_hop.is_none());
    is_near("A") && is_near("D")
}

/// A and D, with B and C between them. The router on the way from A to D is killed in a loop while clients come: each of them is served,
/// by the other way if need be, or told at once that it is not.
#[test]
fn a_router_that_is_killed_while_clients_come_leaves_none_of_them_waiting() {
    const CLIENTS: usize = 6;
    const ROUNDS: usize = 8;
    let ports = [("B", free_port()), ("C", free_port())];
    let middle = |id: &str| {
        let mut config = Config::interior(id);
        let port = ports.iter().find(|(other, _)| *other == id).expect("B or C").1;
        config.accept_routers(port);
        config.listener(&[]);
        config.start()
    };
    let mut middles: Vec<(&str, Option<Router>)> = ports.iter().map(|(id, _)| (*id, Some(middle(id)))).collect();
    let mut near = Config::interior("A");
    let (port, agent) = (near.tcp_listener("service", &[]), near.listener(&[]));
    let mut far = Config::interior("D");
    far.tcp_connector("service", echo(""), &[]);
    for (_, middle) in ports {
        near.connect_router(middle);
        far.connect_router(middle);
    }
    let (_near, _far) = (near.start(), far.start());
    for (_, router) in &middles {
        let agent = router.as_ref().expect("it is there").port;
        wait_for("neighbours", PATIENCE, || is_between(agent).then_some(()));
    }
    wait_listening(port);
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let fates: Vec<(Fate, Duration)> = std::thread::scope(|scope| {
        let come = |first: usize| {
            let mut fates = Vec::new();
            for n in (first..).step_by(CLIENTS).take_while(|_| !stop.load(Relaxed)) {
                let begin = Instant::now();
                let fate = try_echo(port, &vec![b'x'; n % 3000 + 1]);
                served.fetch_add(usize::from(fate == Fate::Served), Relaxed);
                fates.push((fate, begin.elapsed()));
            }
            fates
        };
        let clients: Vec<_> = (0..CLIENTS).map(|first| scope.spawn(move || come(first))).collect();
        for round in 0..ROUNDS {
            let before = served.load(Relaxed);
            wait_for("clients that are served", PATIENCE, || (served.load(Relaxed) > before + 100).then_some(()));
            let way = wait_for("a way", PATIENCE, || way(agent, "D"));
            let (id, router) = middles.iter_mut().find(|(id, _)| *id == way).expect("B or C");
            router.take().expect("it is there").process.kill();
            let before = served.load(Relaxed);
            let killed = Instant::now();
            wait_for("the other way", PATIENCE, || (served.load(Relaxed) > before + 20).then_some(()));
            println!("{round}: {id} killed, 20 served {:?} later", killed.elapsed());
            // Both ways, as it sees them itself: A may go by what it knew of the one before.
            let back = router.insert(middle(id));
            wait_for("its neighbours", PATIENCE, || is_between(back.port).then_some(()));
        }
        stop.store(true, Relaxed);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let count = |fate: Fate| fates.iter().filter(|(other, _)| *other == fate).count();
    let longest = fates.iter().map(|(_, time)| *time).max().unwrap_or_default();
    println!(
        "{} served, {} reset, {} refused, the longest after {longest:?}",
        count(Fate::Served),
        count(Fate::Reset),
        count(Fate::Refused)
    );
    assert!(longest < PROMPT, "{longest:?}");
    // Those that were being served, and perhaps again at the next router that had not heard of it yet.
    assert!(count(Fate::Reset) <= ROUNDS * CLIENTS * 3, "all others are served by the other way");
    assert_eq!(count(Fate::Refused), 0);
}

/// A service of two sites: when one dies, connections to it are reset, others go on, and those who come next get the other (R1).
#[test]
fn a_service_in_two_sites_survives_the_loss_of_one() {
    let (b, c) = (free_port(), free_port());
    let site = |id: &str, port: u16, name: &'static str| {
        let mut config = Config::interior(id);
        config.accept_routers(port);
        config.tcp_connector("service", echo(name), &[]);
        config.start()
    };
    let mut dying = site("B", b, "at B");
    let _living = site("C", c, "at C");
    let mut near = Config::interior("A");
    let (port, agent) = (near.tcp_listener("service", &[]), near.listener(&[]));
    near.connect_router(b).connect_router(c);
    let _near = near.start();
    Agent::connect(agent).wait_address("service", 0, 2);
    wait_listening(port);
    let name = |near: &mut TcpStream| read_n(near, 4);
    let mut open: Vec<TcpStream> = (0..20).map(|_| client(port)).collect();
    let names: Vec<Vec<u8>> = open.iter_mut().map(name).collect();
    assert!(names.contains(&b"at B".to_vec()) && names.contains(&b"at C".to_vec()), "balanced over both");
    dying.process.kill();
    for (near, name) in open.iter_mut().zip(&names) {
        if name == b"at B" {
            assert_eq!(read_to_reset(near), 0);
        } else {
            near.write_all(b"ping").unwrap();
            assert_eq!(read_n(near, 4), b"ping");
        }
    }
    Agent::connect(agent).wait_address("service", 0, 1);
    for _ in 0..50 {
        assert_eq!(name(&mut client(port)), b"at C");
    }
}

/// A connection on which a byte goes back and forth until it ends.
fn ping(port: u16, stop: &AtomicBool, pings: &AtomicUsize) -> std::io::Result<()> {
    let mut near = client(port);
    while !stop.load(Relaxed) {
        near.write_all(b"p")?;
        near.read_exact(&mut [0])?;
        pings.fetch_add(1, Relaxed);
    }
    Ok(())
}

/// A ring of four routers, in which a link is cut again and again: its connections are reset and come back by the other way; those of routers
/// that have nothing to do with it never stop.
#[test]
fn a_link_of_a_ring_that_is_cut_is_of_no_concern_to_others() {
    let ids = ["A", "B", "C", "D"];
    let mut configs: Vec<Config> = ids.map(Config::interior).into();
    // A connects to B through a relay, B to C, C to D, D to A.
    let mut relay = None;
    for at in 0..4 {
        let port = free_port();
        configs[(at + 1) % 4].accept_routers(port);
        let through = if at == 0 { relay.insert(Relay::start(port, Line::default())).port } else { port };
        configs[at].connect_router(through);
    }
    let relay = relay.expect("the link of A and B");
    configs[1].tcp_connector("at-b", echo(""), &[]);
    configs[3].tcp_connector("at-d", echo(""), &[]);
    let affected = configs[0].tcp_listener("at-b", &[]);
    let untouched = configs[2].tcp_listener("at-d", &[]);
    let agent = configs[0].listener(&[]);
    let _routers: Vec<Router> = configs.into_iter().map(Config::start).collect();
    let by = |hop: &str| {
        wait_for(&format!("the way of A to B by {hop}"), PATIENCE, || (way(agent, "B")? == hop).then_some(()));
    };
    [affected, untouched].into_iter().for_each(wait_listening);
    let (stop, pings) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let steady = scope.spawn(|| ping(untouched, &stop, &pings));
        for _ in 0..5 {
            by("B");
            let mut near = client(affected);
            near.write_all(b"before").unwrap();
            assert_eq!(read_n(&mut near, 6), b"before");
            relay.cut();
            assert_eq!(read_to_reset(&mut near), 0);
            let again = Instant::now();
            wait_for("the other way", PATIENCE, || (try_echo(affected, b"after") == Fate::Served).then_some(()));
            println!("served again {:?} after the reset", again.elapsed());
            let before = pings.load(Relaxed);
            wait_for("the others", PATIENCE, || (pings.load(Relaxed) > before + 10).then_some(()));
            by("D");
            relay.restore();
        }
        stop.store(true, Relaxed);
        steady.join().unwrap().expect("its connection is never touched");
    });
}
