//! How fast a network follows changes: a new address, a link that is closed, a link that falls silent.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use amqp_proto::connection::{Connection, End, Event, LinkId, Payload, SendHead};
use amqp_proto::message::data_header;
use amqp_proto::{Attach, DeliveryState, Role, SenderSettleMode, Source, SourceTerminus, Str, Target, TargetTerminus};
use anyhow::{Context, Result, bail};
use bytes::Bytes;

use crate::compare::Run;
use crate::compare::path::{NAMES, router_program};
use crate::compare::routers::{Config, Network, start_all};
use crate::load::Peer;
use crate::process::{Process, free_port};
use crate::relay::Relay;
use crate::stats::median;
use crate::table::{Better, Figure, Goal, Results};

const ADDRESS: &[Figure] = &[
    Figure { name: "usable after ms", digits: 1, better: Better::Low },
    Figure { name: "at worst ms", digits: 1, better: Better::Low },
];

const CLOSED: &[Figure] = &[
    Figure { name: "near link ms", digits: 0, better: Better::Low },
    Figure { name: "far link ms", digits: 0, better: Better::Low },
];

const SILENT: &[Figure] = &[
    Figure { name: "presettled ms", digits: 0, better: Better::Low },
    Figure { name: "unsettled ms", digits: 0, better: Better::Low },
];

/// New addresses in one run.
const ADDRESSES: usize = 10;
/// Messages a second while links are lost.
const RATE: u32 = 1000;
/// How long a network may take to be one.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long after the loss of a link traffic is watched.
const CLOSED_WATCH: Duration = Duration::from_secs(3);
const SILENT_WATCH: Duration = Duration::from_secs(20);

/// The three tables.
pub(crate) fn run(run: &Run<'_>) -> Result<Vec<Results>> {
    Ok(vec![addresses(run)?, closed(run)?, silent(run)?])
}

fn addresses(run: &Run<'_>) -> Result<Results> {
    let mut results = Results::new("r2: new address usable on a neighbour", ADDRESS);
    results.aim(&[("usable after ms", Goal::AtMost(20.0))]);
    for routers in start_all(run, Network::Two)? {
        for round in 0..run.runs {
            run.progress(&format!("   new addresses, run {} of {}, {}", round + 1, run.runs, routers.name));
            let mut times = Vec::new();
            for n in 0..ADDRESSES {
                // Whoever works once a second is met at any time of the second.
                std::thread::sleep(Duration::from_millis(n as u64 * 337 % 1000));
                let time = new_address(routers.send, routers.receive, &format!("new.{round}.{n}"))?;
                times.push(time.as_secs_f64() * 1e3);
            }
            results.add(routers.name, vec![median(&times), times.iter().copied().fold(0.0, f64::max)]);
        }
    }
    Ok(results)
}

/// From the attach of a receiver to the first message of a sender at the other router.
fn new_address(send: u16, receive: u16, address: &str) -> Result<Duration> {
    let (mut sender, link) = attached(send, address, Role::Sender, false)?;
    // It is known there, and has no credit.
    let mut known = false;
    let limit = Instant::now() + PATIENCE;
    while !known {
        sender.write()?;
        sender.read(|_, event, _| {
            known |= matches!(event, Event::Attached(_));
            Ok(())
        })?;
        if Instant::now() > limit {
            bail!("a sender was not attached within {PATIENCE:?}");
        }
    }
    let (mut receiver, _) = attached(receive, address, Role::Receiver, false)?;
    receiver.write()?;
    let start = Instant::now();
    let (mut sent, mut received) = (false, false);
    while !received {
        sender.read(|_, _, _| Ok(()))?;
        if !sent && sender.engine.room(link) > 0 {
            let _ = sender.engine.send(link, &SendHead::default(), &Payload::new(&message(0)), End::Complete);
            sent = true;
        }
        sender.write()?;
        receiver.read(|engine, event, _| {
            received |= take(engine, event);
            Ok(())
        })?;
        receiver.write()?;
        if start.elapsed() > PATIENCE {
            bail!("a new address was not usable within {PATIENCE:?}");
        }
        if !received {
            std::thread::sleep(Duration::from_micros(50));
        }
    }
    Ok(start.elapsed())
}

/// A connection with one link.
fn attached(port: u16, address: &str, role: Role, presettled: bool) -> Result<(Peer, LinkId)> {
    let mut peer = Peer::connect(port, &format!("{role:?}-{address}"))?;
    let session = peer.engine.begin()?;
    let link = Str::from(address);
    let attach = match role {
        Role::Sender => Attach {
            name: link,
            role,
            snd_settle_mode: if presettled { SenderSettleMode::Settled } else { SenderSettleMode::Unsettled },
            source: Some(SourceTerminus::from(Source::default())),
            target: Some(Target::at(address).into()),
            ..Attach::default()
        },
        Role::Receiver => Attach {
            name: link,
            role,
            snd_settle_mode: SenderSettleMode::Mixed,
            source: Some(Source::at(address).into()),
            target: Some(TargetTerminus::from(Target::default())),
            ..Attach::default()
        },
    };
    let link = peer.engine.attach(session, attach, 1)?;
    Ok((peer, link))
}

fn message(number: u64) -> Bytes {
    let (header, len) = data_header(100);
    let mut bytes = header[..len].to_vec();
    bytes.extend_from_slice(&number.to_le_bytes());
    bytes.resize(len + 100, b'x');
    bytes.into()
}

/// A receiver's part. True for a delivery.
fn take(engine: &mut Connection, event: Event) -> bool {
    match event {
        Event::Attached(attached) => engine.grant(attached.link, 1000),
        Event::Transfer(transfer) if !transfer.more && !transfer.aborted => {
            if !transfer.settled {
                engine.settle_incoming(transfer.link, transfer.delivery_id, Some(&DeliveryState::Accepted), true);
            }
            engine.grant(transfer.link, 1);
            return true;
        }
        _ => {}
    }
    false
}

/// Four routers in a ring: A - B - C - D. The cheap way from A to C leads over B, and each of its two links through a relay.
struct Ring {
    near: Relay,
    far: Relay,
    send: u16,
    receive: u16,
    _processes: Vec<Process>,
}

impl Ring {
    fn start(run: &Run<'_>, name: &str, program: &std::path::Path) -> Result<Self> {
        let ports: Vec<u16> = (0..8).map(|_| free_port()).collect::<Result<_>>()?;
        let [a, b, c, d, to_b, to_c, to_d, to_a] = ports[..] else { bail!("eight ports") };
        let near = Relay::start(to_b, Duration::ZERO)?;
        let far = Relay::start(to_c, Duration::ZERO)?;
        let mut processes = Vec::new();
        for (id, own, accepts, to, cost) in [
            ("A", a, to_a, near.port(), 1),
            ("B", b, to_b, far.port(), 1),
            ("C", c, to_c, to_d, 10),
            ("D", d, to_d, to_a, 10),
        ] {
            let mut config = Config::new("interior", id);
            config.amqp(own).listener("inter-router", accepts, None).connector("inter-router", to, cost, None);
            let mut process = config.start(run, name, program)?;
            process.wait_port(own)?;
            processes.push(process);
        }
        Ok(Self { near, far, send: a, receive: c, _processes: processes })
    }
}

fn closed(run: &Run<'_>) -> Result<Results> {
    let mut results = Results::new("ring of four, 1,000/s: link closed, longest gap", CLOSED);
    results.aim(&[("near link ms", Goal::AtMost(50.0)), ("far link ms", Goal::AtMost(50.0))]);
    for_each_ring(run, &mut results, "link closed", |make| {
        let near = gap(make()?, false, CLOSED_WATCH, |ring| ring.near.hang_up())?;
        let far = gap(make()?, false, CLOSED_WATCH, |ring| ring.far.hang_up())?;
        Ok(vec![near, far])
    })?;
    Ok(results)
}

fn silent(run: &Run<'_>) -> Result<Results> {
    let mut results = Results::new("ring of four, 1,000/s: link falls silent, longest gap", SILENT);
    // The age of hellos, unless configured.
    results.aim(&[("presettled ms", Goal::AtMost(3000.0)), ("unsettled ms", Goal::AtMost(3000.0))]);
    for_each_ring(run, &mut results, "link falls silent", |make| {
        let presettled = gap(make()?, true, SILENT_WATCH, |ring| ring.near.fall_silent())?;
        let unsettled = gap(make()?, false, SILENT_WATCH, |ring| ring.near.fall_silent())?;
        Ok(vec![presettled, unsettled])
    })?;
    Ok(results)
}

fn for_each_ring(
    run: &Run<'_>,
    results: &mut Results,
    what: &str,
    measure: impl Fn(&dyn Fn() -> Result<Ring>) -> Result<Vec<f64>>,
) -> Result<()> {
    for name in NAMES {
        let Some(program) = router_program(run, name).filter(|_| run.wants(name)) else { continue };
        for round in 0..run.runs {
            run.progress(&format!("   {what}, run {} of {}, {name}", round + 1, run.runs));
            results.add(name, measure(&|| Ring::start(run, name, &program))?);
        }
    }
    Ok(())
}

/// Sends steadily from A to C, does something to the ring, and answers the longest time without a message after that, in ms.
fn gap(mut ring: Ring, presettled: bool, watch: Duration, harm: impl FnOnce(&mut Ring)) -> Result<f64> {
    let (stop, received) = (AtomicBool::new(false), AtomicU64::new(0));
    let (send, receive) = (ring.send, ring.receive);
    std::thread::scope(|scope| {
        let receiving = scope.spawn(|| receive_all(receive, &stop, &received));
        let sending = scope.spawn(|| send_all(send, presettled, &stop));
        let begun = settle_in(&ring, &received);
        let harmed = Instant::now();
        if begun.is_ok() {
            harm(&mut ring);
            // The gap may be longer than expected, but not longer than this.
            while harmed.elapsed() < watch && !(receiving.is_finished() || sending.is_finished()) {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        stop.store(true, Ordering::SeqCst);
        let ended = Instant::now();
        let times = receiving.join().map_err(|_| anyhow::anyhow!("the receiver panicked"))?;
        sending.join().map_err(|_| anyhow::anyhow!("the sender panicked"))??;
        begun?;
        let times = times?;
        let after = times.iter().copied().filter(|at| *at > harmed).chain([ended]);
        let longest = after.scan(harmed, |last, at| Some(at.duration_since(std::mem::replace(last, at)))).max();
        Ok(longest.unwrap_or_default().as_secs_f64() * 1e3)
    })
}

/// Waits until messages flow over the cheap way, at the rate at which they are sent.
fn settle_in(ring: &Ring, received: &AtomicU64) -> Result<()> {
    let limit = Instant::now() + PATIENCE;
    let mut good = 0;
    while good < 5 {
        let before = (received.load(Ordering::Relaxed), ring.near.bytes(), ring.far.bytes());
        std::thread::sleep(Duration::from_millis(200));
        let messages = received.load(Ordering::Relaxed) - before.0;
        let carried = (ring.near.bytes() - before.1).min(ring.far.bytes() - before.2);
        let steady = messages > u64::from(RATE) / 10 && carried > messages * 100;
        good = if steady { good + 1 } else { 0 };
        if Instant::now() > limit {
            bail!("traffic does not take the cheap way within {PATIENCE:?}");
        }
    }
    Ok(())
}

fn send_all(port: u16, presettled: bool, stop: &AtomicBool) -> Result<()> {
    let (mut peer, link) = attached(port, "ring", Role::Sender, presettled)?;
    let head = SendHead { settled: presettled, ..SendHead::default() };
    let step = Duration::from_secs(1) / RATE;
    let mut next = Instant::now();
    let mut number = 0;
    while !stop.load(Ordering::SeqCst) {
        peer.read(|engine, event, _| {
            match event {
                Event::Disposition(mut disposition) => while engine.next_disposed(&mut disposition).is_some() {},
                Event::Credit { link, drain: true, .. } => engine.drained(link),
                _ => {}
            }
            Ok(())
        })?;
        let now = Instant::now();
        while next <= now {
            next += step;
            // What there is no credit for is not made up for: a gap is one of time.
            if peer.engine.room(link) > 0 {
                number += 1;
                let _ = peer.engine.send(link, &head, &Payload::new(&message(number)), End::Complete);
            }
        }
        peer.write()?;
        peer.wait(next.saturating_duration_since(Instant::now()).max(Duration::from_micros(20)))?;
    }
    Ok(())
}

fn receive_all(port: u16, stop: &AtomicBool, received: &AtomicU64) -> Result<Vec<Instant>> {
    let (mut peer, _) = attached(port, "ring", Role::Receiver, false).context("receive")?;
    let mut times = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        peer.write()?;
        let mut count = 0;
        let read = peer.read(|engine, event, _| {
            count += u64::from(take(engine, event));
            Ok(())
        })?;
        if count > 0 {
            times.push(Instant::now());
            received.fetch_add(count, Ordering::Relaxed);
        }
        peer.write()?;
        if !read {
            peer.wait(Duration::from_millis(20))?;
        }
    }
    Ok(times)
}
