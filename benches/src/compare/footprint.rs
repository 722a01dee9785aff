//! What a router costs when nothing moves: start, memory of idle connections, what is given back, a burst of connects.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::compare::Run;
use crate::compare::path::{NAMES, network_paths, router_program, tcp_paths};
use crate::compare::routers::{Link, Network, start};
use crate::load::IdleClients;
use crate::process::free_port;
use crate::table::{Better, Figure, Goal, Results};

const ROUTER: &[Figure] = &[
    Figure { name: "start ms", digits: 1, better: Better::Low },
    Figure { name: "idle RSS MB", digits: 1, better: Better::Low },
    Figure { name: "kB/AMQP conn", digits: 1, better: Better::Low },
    Figure { name: "given back %", digits: 0, better: Better::High },
    Figure { name: "idle CPU %", digits: 2, better: Better::Low },
    Figure { name: "400 connects ms", digits: 0, better: Better::Low },
];

const TCP: &[Figure] = &[
    Figure { name: "kB/TCP conn", digits: 1, better: Better::Low },
    Figure { name: "given back %", digits: 0, better: Better::High },
];

const AMQP_CONNECTIONS: usize = 10_000;
const TCP_CONNECTIONS: usize = 9_000;

/// Waits until a reading has not moved for a while, at most 15 s, and returns it.
fn settled(mut read: impl FnMut() -> u64) -> u64 {
    let start = Instant::now();
    let (mut last, mut since) = (read(), Instant::now());
    while since.elapsed() < Duration::from_millis(1500) && start.elapsed() < Duration::from_secs(15) {
        std::thread::sleep(Duration::from_millis(100));
        let now = read();
        if now.abs_diff(last) > last / 200 {
            (last, since) = (now, Instant::now());
        }
    }
    read()
}

/// Both tables.
pub(crate) fn run(run: &Run<'_>) -> Result<Vec<Results>> {
    Ok(vec![routers(run)?, proxied(run, Network::One)?])
}

/// Idle TCP connections through two routers; memory is that of both.
pub(crate) fn run_r2(run: &Run<'_>) -> Result<Vec<Results>> {
    Ok(vec![proxied(run, Network::Two)?])
}

fn routers(run: &Run<'_>) -> Result<Results> {
    let mut results = Results::new(&format!("idle router, {AMQP_CONNECTIONS} AMQP connections"), ROUTER);
    for name in NAMES {
        let Some(program) = router_program(run, name).filter(|_| run.wants(name)) else { continue };
        run.progress(&format!("   {AMQP_CONNECTIONS} idle AMQP connections, {name}"));
        let mut starts = Vec::new();
        for _ in 0..run.runs {
            let began = Instant::now();
            drop(start(run, name, &program, Network::One)?);
            starts.push(began.elapsed().as_secs_f64() * 1e3);
        }
        let router = start(run, name, &program, Network::One)?;
        let idle = settled(|| router.rss_bytes());
        let connects = burst(router.send, 400)?;
        let base = settled(|| router.rss_bytes());
        let clients = IdleClients::open(router.send, AMQP_CONNECTIONS)?;
        let full = settled(|| router.rss_bytes());
        let cpu = router.cpu_seconds();
        let watched = Instant::now();
        std::thread::sleep(Duration::from_secs(run.seconds));
        let cpu = (router.cpu_seconds() - cpu) * 100.0 / watched.elapsed().as_secs_f64();
        drop(clients);
        let after = settled(|| router.rss_bytes());
        let grown = full.saturating_sub(base) as f64;
        results.add(
            name,
            vec![
                crate::stats::median(&starts),
                idle as f64 / 1e6,
                grown / 1e3 / AMQP_CONNECTIONS as f64,
                (full.saturating_sub(after)) as f64 * 100.0 / grown,
                cpu,
                connects.as_secs_f64() * 1e3,
            ],
        );
    }
    Ok(results)
}

/// Opens `count` AMQP connections at once and waits until each was answered.
fn burst(port: u16, count: usize) -> Result<Duration> {
    let start = Instant::now();
    let clients = IdleClients::open(port, count)?;
    let elapsed = start.elapsed();
    drop(clients);
    Ok(elapsed)
}

fn proxied(run: &Run<'_>, network: Network) -> Result<Results> {
    let title = format!("{}{TCP_CONNECTIONS} idle proxied TCP connections", network.prefix());
    let mut results = Results::new(&title, TCP);
    results.aim(match network {
        Network::One => &[("kB/TCP conn", Goal::AtMost(8.0))],
        _ => &[("kB/TCP conn", Goal::AtMost(16.0))],
    });
    let server_port = free_port()?;
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, server_port))?;
    server.set_nonblocking(true)?;
    // All paths are started at once but used one after the other: idle ones hold nothing.
    let paths = match network {
        Network::One => tcp_paths(run, server_port, None)?,
        _ => network_paths(run, (network, Link::Plain), server_port)?,
    };
    for path in paths.iter().filter(|path| !path.is_direct()) {
        run.progress(&format!("   {TCP_CONNECTIONS} idle TCP connections, {}", path.name));
        drop(accept_all(&server, 0)?);
        let base = settled(|| path.rss_bytes());
        let mut clients = Vec::with_capacity(TCP_CONNECTIONS);
        let mut servers = Vec::with_capacity(TCP_CONNECTIONS);
        let limit = descriptors(TCP_CONNECTIONS);
        for _ in 0..limit {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, path.port));
            clients.push(TcpStream::connect_timeout(&address, Duration::from_secs(5))?);
            if clients.len() % 64 == 0 {
                let wanted = clients.len() - servers.len();
                servers.extend(accept_all(&server, wanted)?);
            }
        }
        let wanted = clients.len() - servers.len();
        servers.extend(accept_all(&server, wanted)?);
        // A byte each way, so that every flow is whole.
        for (client, server) in clients.iter_mut().zip(&mut servers) {
            std::io::Write::write_all(client, b"x")?;
            std::io::Write::write_all(server, b"y")?;
        }
        let full = settled(|| path.rss_bytes());
        let count = clients.len() as f64;
        drop(clients);
        drop(servers);
        let after = settled(|| path.rss_bytes());
        let grown = full.saturating_sub(base) as f64;
        results.add(path.name, vec![grown / 1e3 / count, full.saturating_sub(after) as f64 * 100.0 / grown]);
    }
    Ok(results)
}

/// This process holds both ends, so its own limit counts twice.
fn descriptors(wanted: usize) -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1024);
    wanted.min(usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(200) / 2)
}

/// Accepts until `wanted` connections came, at most 10 s; what is there beyond them is closed.
fn accept_all(listener: &TcpListener, wanted: usize) -> Result<Vec<TcpStream>> {
    let start = Instant::now();
    let mut accepted = Vec::with_capacity(wanted);
    loop {
        match listener.accept() {
            Ok((stream, _)) if accepted.len() < wanted => accepted.push(stream),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if accepted.len() >= wanted {
                    return Ok(accepted);
                }
                if start.elapsed() > Duration::from_secs(10) {
                    bail!("only {} of {wanted} connections reached the server", accepted.len());
                }
                std::thread::sleep(Duration::from_micros(200));
            }
            Err(error) => return Err(error.into()),
        }
    }
}
