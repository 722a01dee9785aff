//! AMQP workloads: our load generator straight to itself, and through each router.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use crate::compare::Run;
use crate::compare::routers::{Network, Routers, start_all};
use crate::process::{free_port, output};
use crate::table::{Better, Figure, Goal, Results};

const THROUGHPUT: &[Figure] = &[
    Figure { name: "received/s", digits: 0, better: Better::High },
    Figure { name: "CPU us each", digits: 3, better: Better::Low },
    Figure { name: "lost %", digits: 2, better: Better::Low },
    Figure { name: "RSS MB", digits: 1, better: Better::Low },
];

const LATENCY: &[Figure] = &[
    Figure { name: "p50 us", digits: 0, better: Better::Low },
    Figure { name: "p99 us", digits: 0, better: Better::Low },
    Figure { name: "CPU us each", digits: 1, better: Better::Low },
];

/// One AMQP workload.
#[derive(Clone, Copy, Debug)]
struct Shape {
    title: &'static str,
    network: Network,
    senders: u32,
    /// Receivers per sender's address.
    receivers: u32,
    size: u32,
    presettled: bool,
    /// Messages per second of each sender; 0 is as fast as credit allows.
    rate: u32,
    /// Goals, by figure.
    goals: &'static [(&'static str, Goal)],
}

/// A receiving load process; killed when dropped before its report was read.
#[derive(Debug)]
struct Receiver(Child);

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn load(run: &Run<'_>, role: &str, port: u16, shape: &Shape, direct: bool) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    let links = if role == "recv" { shape.senders * shape.receivers } else { shape.senders };
    let address = if shape.receivers > 1 { "mc/bench" } else { "bench" };
    command.args(["load", role, "--port", &port.to_string(), "--address", address]);
    command.args(["--connections", &links.to_string(), "--size", &shape.size.to_string()]);
    command.args(["--seconds", &run.seconds.to_string(), "--rate", &shape.rate.to_string()]);
    if shape.receivers == 1 {
        command.arg("--own-addresses");
    }
    if shape.presettled {
        command.arg("--presettled");
    }
    if direct && role == "recv" {
        command.arg("--listen");
    }
    Ok(command)
}

/// Sends to one port and receives from the other.
fn one(run: &Run<'_>, (to, from): (u16, u16), shape: &Shape, direct: bool) -> Result<(Value, Value)> {
    let mut receiver =
        Receiver(load(run, "recv", from, shape, direct)?.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
    let stdout = receiver.0.stdout.take().context("the receiver has no output")?;
    let mut lines = BufReader::new(stdout).lines();
    match lines.next() {
        Some(Ok(line)) if line == "ready" => {}
        other => bail!("the receiver did not get ready: {other:?}"),
    }
    let sent = output(load(run, "send", to, shape, direct)?, run.limit())?;
    let received = lines.next().ok_or_else(|| anyhow!("the receiver printed no report"))??;
    Ok((serde_json::from_str(&sent)?, serde_json::from_str(&received)?))
}

fn field(report: &Value, name: &str) -> f64 {
    report.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

/// What traffic at a rate saw, and what it cost the routers.
#[derive(Debug)]
pub(crate) struct Paced {
    /// Messages received in a second.
    pub(crate) rate: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// CPU of the routers for each message.
    pub(crate) cpu_us: f64,
}

/// One pair with unsettled messages of 100 bytes at a rate; 0 is as fast as credit allows.
pub(crate) fn paced(run: &Run<'_>, routers: &Routers, rate: u32) -> Result<Paced> {
    let cpu = routers.cpu_seconds();
    let (_, received) = one(run, (routers.send, routers.receive), &Shape { rate, ..PAIR }, false)?;
    let cpu = routers.cpu_seconds() - cpu;
    let count = field(&received, "count");
    Ok(Paced {
        rate: count / field(&received, "seconds"),
        p50_us: field(&received, "p50_us"),
        p99_us: field(&received, "p99_us"),
        cpu_us: cpu * 1e6 / count,
    })
}

fn over_routers(run: &Run<'_>, shape: &Shape) -> Result<Results> {
    let figures = if shape.rate > 0 { LATENCY } else { THROUGHPUT };
    let title = format!("{}{}", shape.network.prefix(), shape.title);
    let mut results = Results::new(&title, figures);
    results.aim(shape.goals);
    let all = start_all(run, shape.network)?;
    for round in 0..run.runs {
        if run.wants("direct") && shape.receivers == 1 {
            run.progress(&format!("   {title}, run {} of {}, direct", round + 1, run.runs));
            let port = free_port()?;
            let (sent, received) = one(run, (port, port), shape, true)?;
            results.add("direct", sample(shape, &sent, &received, None));
        }
        for routers in &all {
            run.progress(&format!("   {title}, run {} of {}, {}", round + 1, run.runs, routers.name));
            let cpu = routers.cpu_seconds();
            let (sent, received) = one(run, (routers.send, routers.receive), shape, false)?;
            let cpu = routers.cpu_seconds() - cpu;
            results.add(routers.name, sample(shape, &sent, &received, Some((cpu, routers.rss_bytes()))));
        }
    }
    Ok(results)
}

fn sample(shape: &Shape, sent: &Value, received: &Value, router: Option<(f64, u64)>) -> Vec<f64> {
    let count = field(received, "count");
    let cpu = router.map_or(f64::NAN, |(cpu, _)| cpu * 1e6 / count);
    if shape.rate > 0 {
        return vec![field(received, "p50_us"), field(received, "p99_us"), cpu];
    }
    let expected = field(sent, "count") * f64::from(shape.receivers);
    vec![
        count / field(received, "seconds"),
        cpu,
        (expected - count).max(0.0) * 100.0 / expected,
        router.map_or(f64::NAN, |(_, rss)| rss as f64 / 1e6),
    ]
}

const PAIR: Shape = Shape {
    title: "",
    network: Network::One,
    senders: 1,
    receivers: 1,
    size: 100,
    presettled: false,
    rate: 0,
    goals: &[],
};

const RATE: &str = "received/s";
const CPU: &str = "CPU us each";
const LOST: &str = "lost %";
const P50: &str = "p50 us";

/// 100-byte presettled messages, one pair.
pub(crate) fn presettled(run: &Run<'_>) -> Result<Vec<Results>> {
    let shape = Shape { title: "amqp presettled, 1 pair", presettled: true, ..PAIR };
    let goals = &[(RATE, Goal::AtLeast(2.0e6)), (CPU, Goal::AtMost(0.3)), (LOST, Goal::AtMost(0.0))];
    Ok(vec![over_routers(run, &Shape { goals, ..shape })?])
}

/// The same through two routers.
pub(crate) fn presettled_r2(run: &Run<'_>) -> Result<Vec<Results>> {
    let shape = Shape { title: "amqp presettled, 1 pair", network: Network::Two, presettled: true, ..PAIR };
    let goals = &[(RATE, Goal::AtLeast(1.4e6)), (CPU, Goal::AtMost(0.6)), (LOST, Goal::AtMost(0.0))];
    Ok(vec![over_routers(run, &Shape { goals, ..shape })?])
}

/// The same through edge, interior, edge.
pub(crate) fn presettled_eie(run: &Run<'_>) -> Result<Vec<Results>> {
    let shape = Shape { title: "amqp presettled, 1 pair", network: Network::Edges, presettled: true, ..PAIR };
    let goals = &[(RATE, Goal::AtLeast(1.0e6)), (CPU, Goal::AtMost(0.9)), (LOST, Goal::AtMost(0.0))];
    Ok(vec![over_routers(run, &Shape { goals, ..shape })?])
}

/// 100-byte unsettled messages, one pair and four.
pub(crate) fn unsettled(run: &Run<'_>) -> Result<Vec<Results>> {
    one_and_four(
        run,
        Network::One,
        &[(RATE, Goal::AtLeast(1.6e6)), (CPU, Goal::AtMost(0.5)), (LOST, Goal::AtMost(0.0))],
    )
}

/// The same through two routers.
pub(crate) fn unsettled_r2(run: &Run<'_>) -> Result<Vec<Results>> {
    one_and_four(
        run,
        Network::Two,
        &[(RATE, Goal::AtLeast(1.2e6)), (CPU, Goal::AtMost(1.0)), (LOST, Goal::AtMost(0.0))],
    )
}

/// The same through edge, interior, edge.
pub(crate) fn unsettled_eie(run: &Run<'_>) -> Result<Vec<Results>> {
    const GOALS: &[(&str, Goal)] = &[(RATE, Goal::AtLeast(0.9e6)), (CPU, Goal::AtMost(1.5)), (LOST, Goal::AtMost(0.0))];
    one_and_four(run, Network::Edges, GOALS)
}

fn one_and_four(run: &Run<'_>, network: Network, goals: &'static [(&'static str, Goal)]) -> Result<Vec<Results>> {
    let pair = Shape { network, goals, ..PAIR };
    Ok(vec![
        over_routers(run, &Shape { title: "amqp unsettled, 1 pair", ..pair })?,
        over_routers(run, &Shape { title: "amqp unsettled, 4 pairs", senders: 4, ..pair })?,
    ])
}

/// 1,000 unsettled messages per second.
pub(crate) fn latency(run: &Run<'_>) -> Result<Vec<Results>> {
    let goals = &[(P50, Goal::TimesAtMost(0.5, "skrouterd")), (CPU, Goal::AtMost(40.0))];
    Ok(vec![over_routers(run, &Shape { title: "amqp at 1,000/s unsettled", rate: 1000, goals, ..PAIR })?])
}

/// The same through two routers.
pub(crate) fn latency_r2(run: &Run<'_>) -> Result<Vec<Results>> {
    let goals = &[(P50, Goal::TimesAtMost(0.5, "skrouterd")), (CPU, Goal::AtMost(80.0))];
    let shape = Shape { title: "amqp at 1,000/s unsettled", network: Network::Two, rate: 1000, ..PAIR };
    Ok(vec![over_routers(run, &Shape { goals, ..shape })?])
}

/// The same through edge, interior, edge.
pub(crate) fn latency_eie(run: &Run<'_>) -> Result<Vec<Results>> {
    let goals = &[(P50, Goal::TimesAtMost(0.5, "skrouterd")), (CPU, Goal::AtMost(120.0))];
    let shape = Shape { title: "amqp at 1,000/s unsettled", network: Network::Edges, rate: 1000, ..PAIR };
    Ok(vec![over_routers(run, &Shape { goals, ..shape })?])
}

/// 10 kB unsettled messages.
pub(crate) fn ten_kilobytes(run: &Run<'_>) -> Result<Vec<Results>> {
    let goals = &[(RATE, Goal::TimesAtLeast(2.5, "skrouterd")), (CPU, Goal::AtMost(7.0))];
    Ok(vec![over_routers(run, &Shape { title: "amqp 10 kB unsettled", size: 10_000, goals, ..PAIR })?])
}

/// The same through two routers.
pub(crate) fn ten_kilobytes_r2(run: &Run<'_>) -> Result<Vec<Results>> {
    let goals = &[(RATE, Goal::TimesAtLeast(2.5, "skrouterd")), (CPU, Goal::AtMost(14.0))];
    let shape = Shape { title: "amqp 10 kB unsettled", network: Network::Two, size: 10_000, ..PAIR };
    Ok(vec![over_routers(run, &Shape { goals, ..shape })?])
}

/// Unsettled multicast to ten consumers; figures are per copy.
pub(crate) fn multicast(run: &Run<'_>) -> Result<Vec<Results>> {
    Ok(vec![multicast_over(run, Network::One)?])
}

/// The same through two routers.
pub(crate) fn multicast_r2(run: &Run<'_>) -> Result<Vec<Results>> {
    Ok(vec![multicast_over(run, Network::Two)?])
}

fn multicast_over(run: &Run<'_>, network: Network) -> Result<Results> {
    let goals = &[(RATE, Goal::TimesAtLeast(4.0, "skrouterd")), (CPU, Goal::AtMost(0.5))];
    over_routers(run, &Shape { title: "amqp multicast to 10, copies", network, receivers: 10, goals, ..PAIR })
}
