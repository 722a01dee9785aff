//! `counts`: what forwarding costs in heap allocations, locks and system calls, counted in a router that runs in this process.
//!
//! The router is the real one (workers, core, both adaptors, over sockets); its clients are processes of their own (or threads that
//! allocate nothing), so that everything counted between two snapshots is the router's.

mod amqp;
mod report;
mod router;
mod snapshot;
mod syscalls;
mod tcp;

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use report::Row;

/// Options of `counts`.
#[derive(Args, Debug)]
#[command(after_long_help = HELP)]
pub(crate) struct Options {
    /// Only these, separated by commas: presettled, unsettled, 10k, r2-presettled, r2-unsettled, tcp-bulk, tcp-requests
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Workers of the router, separated by commas. With 2, sender and receiver are on different workers
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2], value_parser = clap::value_parser!(u16).range(1..=2))]
    workers: Vec<u16>,
    /// Seconds that are counted
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
    /// Seconds of traffic before that, in which buffers grow to their size
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    warm_up: f64,
    /// Credit of the receiver
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    credit: u32,
    /// Messages per second; 0 is as fast as credit allows. A slow sender shows what single messages cost: each is a batch
    #[arg(long, default_value_t = 0)]
    rate: u32,
    /// Do not count futex calls by strace
    #[arg(long)]
    no_strace: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
What is counted, between a snapshot after the warm-up and one at the end, over all workers:
  units    AMQP: deliveries sent to the receiver. TCP: megabytes (10^6 bytes) or requests (64 bytes there, 512 back)
  batches  reads of sockets that brought something, and batches that came from other workers
  allocs   calls of the global allocator that allocate or grow memory (stats_alloc)
  locks    pushes to and looks into transport::mailbox: the only queue between workers and the only lock of the project's own
           crates on the path of data. tokio takes locks of its own once per wake-up of a task, which is once per batch or less
  writes   write calls, and reads: read calls, those included that found nothing
  waited   messages that came when the receiver could take no more (credit, session window, socket), and were kept in the router meanwhile
  polls    times a worker went to wait for its sockets (epoll_wait)
  sleeps   times a worker's thread gave up its core (voluntary_ctxt_switches): more sleeps than polls would mean that it waited for a lock
  futex    futex calls of the whole process as strace saw them in a separate run of half a second, against that run's reads: a lock that
           is free costs no such call, one that is contended does, so this checks `locks` from outside. - without strace

The check: allocs - allowed * batches must not exceed 0.001 * units + 64 (timers run meanwhile), and locks likewise; what a batch is
allowed is printed. And where batches hold more than two units, allocs must be fewer than units, so that small batches hide nothing that
every unit does. The program ends with 1 if any row fails.";

fn seconds(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.05..=60.0).contains(&value) { Ok(value) } else { Err("from 0.05 to 60".to_owned()) }
}

/// How one scenario is run.
#[derive(Clone, Copy, Debug)]
struct Run {
    workers: u16,
    window: Duration,
    warm_up: Duration,
    strace: bool,
    credit: u32,
    rate: u32,
}

type Scenario = fn(&Run) -> Result<Row>;

const SCENARIOS: &[(&str, Scenario)] = &[
    ("presettled", amqp::presettled),
    ("unsettled", amqp::unsettled),
    ("10k", amqp::ten_kilobytes),
    ("r2-presettled", amqp::presettled_r2),
    ("r2-unsettled", amqp::unsettled_r2),
    ("tcp-bulk", tcp::bulk),
    ("tcp-requests", tcp::requests),
];

/// Runs the scenarios and prints what they cost.
///
/// # Errors
/// When the router or its clients cannot be run, and when the check fails.
pub(crate) fn run(options: &Options) -> Result<()> {
    for name in &options.only {
        if !SCENARIOS.iter().any(|(n, _)| n == name) {
            let known: Vec<&str> = SCENARIOS.iter().map(|(n, _)| *n).collect();
            bail!("nothing named {name}; there are: {}", known.join(", "));
        }
    }
    let strace = !options.no_strace && syscalls::is_available();
    if !strace && !options.no_strace {
        eprintln!("note: strace is not installed; futex calls are not counted");
    }
    let mut rows = Vec::new();
    for (name, scenario) in SCENARIOS {
        if !options.only.is_empty() && !options.only.iter().any(|n| n == name) {
            continue;
        }
        for &workers in &options.workers {
            let run = Run {
                workers,
                window: Duration::from_secs_f64(options.seconds),
                warm_up: Duration::from_secs_f64(options.warm_up),
                strace,
                credit: options.credit,
                rate: options.rate,
            };
            eprintln!("   {name}, {workers} worker(s)");
            rows.push(scenario(&run)?);
        }
    }
    if options.json {
        let list: Vec<_> = rows.iter().map(Row::json).collect();
        println!("{:#}", json!({ "seconds": options.seconds, "rows": list }));
    } else {
        report::print(&rows);
    }
    let failed: Vec<String> =
        rows.iter().filter_map(|row| row.check().err().map(|e| format!("{}: {e}", row.title))).collect();
    if !failed.is_empty() {
        bail!("{}", failed.join("; "));
    }
    Ok(())
}
