//! AMQP workloads: our load generator straight to itself, and through each router.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use crate::compare::Run;
use crate::compare::path::{NAMES, router_command, router_program};
use crate::process::{Process, free_port, output};
use crate::table::{Better, Figure, Results};

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
    senders: u32,
    /// Receivers per sender's address.
    receivers: u32,
    size: u32,
    presettled: bool,
    /// Messages per second of each sender; 0 is as fast as credit allows.
    rate: u32,
}

/// A router that AMQP clients can connect to.
#[derive(Debug)]
pub(crate) struct Router {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    pub(crate) process: Process,
}

/// Starts every wanted router with one AMQP listener; addresses below `mc` are multicast.
pub(crate) fn routers(run: &Run<'_>) -> Result<Vec<Router>> {
    let mut routers = Vec::new();
    for name in NAMES {
        let Some(program) = router_program(run, name).filter(|_| run.wants(name)) else { continue };
        routers.push(router(run, name, &program)?);
    }
    Ok(routers)
}

/// Starts one router with one AMQP listener.
pub(crate) fn router(run: &Run<'_>, name: &'static str, program: &std::path::Path) -> Result<Router> {
    let port = free_port()?;
    let file = run.scratch.path().join(format!("{name}-{port}.conf"));
    std::fs::write(
        &file,
        format!(
            "router {{\n  mode: standalone\n  id: BENCH\n}}\n\
             listener {{\n  host: 127.0.0.1\n  port: {port}\n  saslMechanisms: ANONYMOUS\n  authenticatePeer: no\n  idleTimeoutSeconds: 120\n}}\n\
             address {{\n  prefix: mc\n  distribution: multicast\n}}\n"
        ),
    )?;
    let command = router_command(name, program, &file);
    let mut process = Process::start(&format!("{name}-{port}"), command, run.scratch.path())?;
    process.wait_port(port)?;
    Ok(Router { name, port, process })
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

fn one(run: &Run<'_>, port: u16, shape: &Shape, direct: bool) -> Result<(Value, Value)> {
    let mut receiver =
        Receiver(load(run, "recv", port, shape, direct)?.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?);
    let stdout = receiver.0.stdout.take().context("the receiver has no output")?;
    let mut lines = BufReader::new(stdout).lines();
    match lines.next() {
        Some(Ok(line)) if line == "ready" => {}
        other => bail!("the receiver did not get ready: {other:?}"),
    }
    let sent = output(load(run, "send", port, shape, direct)?, run.limit())?;
    let received = lines.next().ok_or_else(|| anyhow!("the receiver printed no report"))??;
    Ok((serde_json::from_str(&sent)?, serde_json::from_str(&received)?))
}

fn field(report: &Value, name: &str) -> f64 {
    report.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

fn over_routers(run: &Run<'_>, shape: &Shape) -> Result<Results> {
    let figures = if shape.rate > 0 { LATENCY } else { THROUGHPUT };
    let mut results = Results::new(shape.title, figures);
    let routers = routers(run)?;
    for round in 0..run.runs {
        if run.wants("direct") && shape.receivers == 1 {
            run.progress(&format!("   {}, run {} of {}, direct", shape.title, round + 1, run.runs));
            let (sent, received) = one(run, free_port()?, shape, true)?;
            results.add("direct", sample(shape, &sent, &received, None));
        }
        for router in &routers {
            run.progress(&format!("   {}, run {} of {}, {}", shape.title, round + 1, run.runs, router.name));
            let cpu = router.process.cpu_seconds();
            let (sent, received) = one(run, router.port, shape, false)?;
            let cpu = router.process.cpu_seconds() - cpu;
            results.add(router.name, sample(shape, &sent, &received, Some((cpu, router.process.rss_bytes()))));
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

const PAIR: Shape = Shape { title: "", senders: 1, receivers: 1, size: 100, presettled: false, rate: 0 };

/// 100-byte presettled messages, one pair.
pub(crate) fn presettled(run: &Run<'_>) -> Result<Vec<Results>> {
    Ok(vec![over_routers(run, &Shape { title: "amqp presettled, 1 pair", presettled: true, ..PAIR })?])
}

/// 100-byte unsettled messages, one pair and four.
pub(crate) fn unsettled(run: &Run<'_>) -> Result<Vec<Results>> {
    Ok(vec![
        over_routers(run, &Shape { title: "amqp unsettled, 1 pair", ..PAIR })?,
        over_routers(run, &Shape { title: "amqp unsettled, 4 pairs", senders: 4, ..PAIR })?,
    ])
}

/// 1,000 unsettled messages per second.
pub(crate) fn latency(run: &Run<'_>) -> Result<Vec<Results>> {
    Ok(vec![over_routers(run, &Shape { title: "amqp at 1,000/s unsettled", rate: 1000, ..PAIR })?])
}

/// 10 kB unsettled messages.
pub(crate) fn ten_kilobytes(run: &Run<'_>) -> Result<Vec<Results>> {
    Ok(vec![over_routers(run, &Shape { title: "amqp 10 kB unsettled", size: 10_000, ..PAIR })?])
}

/// Unsettled multicast to ten consumers; figures are per copy.
pub(crate) fn multicast(run: &Run<'_>) -> Result<Vec<Results>> {
    Ok(vec![over_routers(run, &Shape { title: "amqp multicast to 10, copies", receivers: 10, ..PAIR })?])
}
