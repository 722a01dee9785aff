//! Many streams through two linked routers, of which one is stalled or none. Every stream is one message that does not end, sent in parts.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use amqp_proto::connection::{End, Event, LinkId, Payload, SendHead};
use amqp_proto::{Attach, Role, Source, SourceTerminus, Str, Target, TargetTerminus};
use anyhow::{Context, Result, bail};
use bytes::Bytes;

use crate::compare::Run;
use crate::compare::path::router_program;
use crate::compare::routers::{Network, Routers, start};
use crate::load::{OUTPUT, Peer};
use crate::table::{Better, Figure, Goal, Results};

/// Streams that flow.
const STREAMS: usize = 99;

/// Bytes sent on one before it is the next one's turn.
const PART: usize = 64 * 1024;

/// The path with which ours is compared.
const CALM: &str = "none stalled";

const FIGURES: &[Figure] = &[
    Figure { name: "MB/s", digits: 1, better: Better::High },
    Figure { name: "CPU us/MB", digits: 1, better: Better::Low },
    Figure { name: "RSS MB", digits: 1, better: Better::Low },
];

const GOALS: &[(&str, Goal)] =
    &[("MB/s", Goal::TimesAtLeast(0.95, CALM)), ("CPU us/MB", Goal::TimesAtMost(1.05, CALM))];

/// 99 streams at half of what they reach, beside a stalled one and without.
pub(crate) fn run(run: &Run<'_>) -> Result<Vec<Results>> {
    let Some(program) = router_program(run, "spanway").filter(|_| run.wants("spanway")) else { return Ok(Vec::new()) };
    let routers = start(run, "spanway", &program, Network::Two)?;
    let mut results = Results::new("r2: 99 streams at half load, and one stalled", FIGURES);
    results.aim(GOALS);
    let most = flow(&routers, "warm", f64::INFINITY, 2)?.bytes / 2.0;
    run.progress(&format!("   as fast as they can: {:.0} MB/s", most / 1e6));
    let mut stalled = None;
    for round in 0..2 * run.runs {
        let calm = round % 2 == 0;
        run.progress(&format!("   streams, run {} of {}", round + 1, 2 * run.runs));
        if calm {
            drop(stalled.take());
        } else {
            stalled = Some(Stalled::new(&routers)?);
        }
        let flow = flow(&routers, &format!("run{round}"), most / 2.0, run.seconds)?;
        let seconds = run.seconds as f64;
        let sample = vec![flow.bytes / 1e6 / seconds, flow.cpu * 1e12 / flow.bytes, routers.rss_bytes() as f64 / 1e6];
        results.add(if calm { CALM } else { "spanway" }, sample);
    }
    Ok(vec![results])
}

/// What was received, and what that cost the routers in seconds.
struct Flow {
    bytes: f64,
    cpu: f64,
}

/// Lets all streams flow for some seconds, at so many bytes per second together.
fn flow(routers: &Routers, name: &str, rate: f64, seconds: u64) -> Result<Flow> {
    let (received, over) = (AtomicU64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let receiving = receiver(routers.receive, name, STREAMS)?;
        let receiving = scope.spawn(|| receive(receiving, &received, &over));
        let sending = scope.spawn(|| send(routers.send, name, STREAMS, rate, &over));
        let begin = Instant::now();
        while received.load(Ordering::Relaxed) == 0
            && begin.elapsed() < Duration::from_secs(10)
            && !sending.is_finished()
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        // All streams have begun, and their windows are what they will be.
        std::thread::sleep(Duration::from_secs(1));
        let (bytes, cpu) = (received.load(Ordering::Relaxed), routers.cpu_seconds());
        std::thread::sleep(Duration::from_secs(seconds));
        let bytes = received.load(Ordering::Relaxed) - bytes;
        let cpu = routers.cpu_seconds() - cpu;
        over.store(true, Ordering::Relaxed);
        for thread in [receiving, sending] {
            thread.join().map_err(|_| anyhow::anyhow!("a load thread panicked"))??;
        }
        if bytes == 0 {
            bail!("nothing was received");
        }
        Ok(Flow { bytes: bytes as f64, cpu })
    })
}

fn attach(role: Role, address: &str) -> Attach {
    let (source, target) = match role {
        Role::Sender => (SourceTerminus::from(Source::default()), Target::at(address).into()),
        Role::Receiver => (Source::at(address).into(), TargetTerminus::from(Target::default())),
    };
    Attach { name: Str::from(address), role, source: Some(source), target: Some(target), ..Attach::default() }
}

/// A connection with links to so many addresses, each in a session of its own.
fn links(port: u16, name: &str, role: Role, count: usize) -> Result<(Peer, Vec<LinkId>)> {
    let mut peer = Peer::connect(port, &format!("bench-{name}-{role:?}"))?;
    let mut links = Vec::with_capacity(count);
    for n in 0..count {
        let session = peer.engine.begin()?;
        let link = peer.engine.attach(session, attach(role, &format!("{name}.{n}")), 1)?;
        if role == Role::Receiver {
            peer.engine.grant(link, 10);
        }
        links.push(link);
    }
    Ok((peer, links))
}

fn receiver(port: u16, name: &str, count: usize) -> Result<Peer> {
    let (mut peer, _) = links(port, name, Role::Receiver, count)?;
    let mut attached = 0;
    let limit = Instant::now() + Duration::from_secs(10);
    while attached < count && Instant::now() < limit {
        peer.write()?;
        let read = peer.read(|_, event, _| {
            attached += usize::from(matches!(event, Event::Attached(_)));
            Ok(())
        })?;
        if !read {
            peer.wait(Duration::from_millis(20))?;
        }
    }
    Ok(peer)
}

fn receive(mut peer: Peer, received: &AtomicU64, over: &AtomicBool) -> Result<()> {
    while !over.load(Ordering::Relaxed) {
        let mut bytes = 0;
        let read = peer.read(|_, event, block| {
            if let Event::Transfer(transfer) = event {
                bytes += transfer.payload(block).len();
            }
            Ok(())
        })?;
        received.fetch_add(bytes as u64, Ordering::Relaxed);
        peer.write()?;
        if !read {
            peer.wait(Duration::from_millis(20))?;
        }
    }
    peer.close()
}

/// Sends parts in turn until it is over. A stream that takes nothing misses its turn.
fn send(port: u16, name: &str, count: usize, rate: f64, over: &AtomicBool) -> Result<()> {
    let (mut peer, links) = links(port, name, Role::Sender, count)?;
    let part = Bytes::from(vec![b'x'; PART]);
    let head = SendHead::default();
    let begin = Instant::now();
    let (mut sent, mut turn) = (0.0, 0);
    while !over.load(Ordering::Relaxed) {
        let read = peer.read(|_, _, _| Ok(()))?;
        let mut idle = 0;
        let due = rate * begin.elapsed().as_secs_f64();
        while sent < due && idle < count && peer.engine.output().len() < OUTPUT {
            let link = *links.get(turn % count).context("no links")?;
            turn += 1;
            let taken = peer.engine.send(link, &head, &Payload::new(&part), End::More).taken;
            sent += taken as f64;
            idle = if taken == 0 { idle + 1 } else { 0 };
        }
        peer.write()?;
        if !read {
            peer.wait(Duration::from_millis(1))?;
        }
    }
    peer.close()
}

/// A stream whose receiver takes nothing after its first window, and its sender, who never gives up.
struct Stalled {
    over: std::sync::Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<Result<()>>>,
}

impl Stalled {
    fn new(routers: &Routers) -> Result<Self> {
        let over = std::sync::Arc::new(AtomicBool::new(false));
        let (to, from) = (routers.receive, routers.send);
        let mut receiver = receiver(to, "stalled", 1)?;
        let here = std::sync::Arc::clone(&over);
        let receiving = std::thread::spawn(move || {
            while !here.load(Ordering::Relaxed) {
                let read = receiver.read(|engine, event, block| {
                    if let Event::Transfer(transfer) = event {
                        // Kept for good.
                        engine.hold(transfer.link, transfer.payload(block).len());
                    }
                    Ok(())
                })?;
                receiver.write()?;
                if !read {
                    receiver.wait(Duration::from_millis(20))?;
                }
            }
            receiver.close()
        });
        let here = std::sync::Arc::clone(&over);
        let sending = std::thread::spawn(move || send(from, "stalled", 1, f64::INFINITY, &here));
        // Until all windows on its way are full.
        std::thread::sleep(Duration::from_secs(1));
        Ok(Self { over, threads: vec![receiving, sending] })
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
