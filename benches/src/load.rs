//! The AMQP load generator: threads with one connection each that send or receive as fast as they may.
//!
//! It is built on `amqp-proto` and blocks in `poll`; a thread does nothing else, so that the generator is never what is measured.

mod idle;
mod peer;
mod receiver;
mod sender;

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use clap::{Args, ValueEnum};
use serde_json::json;

pub(crate) use idle::IdleClients;
pub(crate) use peer::{OUTPUT, Peer};

/// What a load process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    /// Send messages
    Send,
    /// Receive messages; prints "ready" when it can
    Recv,
}

/// Options of `load`.
#[derive(Args, Debug)]
pub(crate) struct Options {
    role: Role,
    /// Port on 127.0.0.1
    #[arg(long)]
    port: u16,
    /// Address to send to or receive from
    #[arg(long, default_value = "bench")]
    address: String,
    /// Append the number of the connection to the address
    #[arg(long)]
    own_addresses: bool,
    /// Connections, a thread each
    #[arg(long, default_value_t = 1)]
    connections: u32,
    /// Bytes of each message's body, at least 16
    #[arg(long, default_value_t = 100)]
    size: u32,
    /// Seconds to send; a receiver stops one second after the last message
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Messages per second of each sender; 0 is as fast as credit allows
    #[arg(long, default_value_t = 0)]
    rate: u32,
    /// Credit of each receiver
    #[arg(long, default_value_t = 1000)]
    credit: u32,
    /// Send presettled
    #[arg(long)]
    presettled: bool,
    /// Receiver only: listen instead of connecting
    #[arg(long)]
    listen: bool,
}

impl Options {
    fn address(&self, index: u32) -> String {
        if self.own_addresses { format!("{}.{index}", self.address) } else { self.address.clone() }
    }
}

/// What one connection counted.
#[derive(Debug, Default)]
struct Report {
    count: u64,
    first: Option<Instant>,
    last: Option<Instant>,
    /// Microseconds from sending to receiving.
    latencies: Vec<u32>,
}

/// Nanoseconds of a clock that all processes of the machine share.
fn clock_nanos() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// Runs one load process and prints its report as a line of JSON.
pub(crate) fn run(options: &Options) -> Result<()> {
    let reports: Vec<Result<Report>> = std::thread::scope(|scope| {
        let (ready, all_ready) = std::sync::mpsc::channel();
        let listener = options.listen.then(|| std::net::TcpListener::bind(("127.0.0.1", options.port)));
        let threads: Vec<_> = match options.role {
            Role::Send => {
                (0..options.connections).map(|index| scope.spawn(move || sender::run(options, index))).collect()
            }
            Role::Recv => {
                let listener = listener.transpose();
                match listener {
                    Err(error) => return vec![Err(error.into())],
                    Ok(listener) => (0..options.connections)
                        .map(|index| {
                            let ready = ready.clone();
                            let listener = listener.as_ref().map(std::net::TcpListener::try_clone);
                            scope.spawn(move || receiver::run(options, index, listener.transpose()?, &ready))
                        })
                        .collect(),
                }
            }
        };
        drop(ready);
        if options.role == Role::Recv {
            // A receiver that listens is ready at once: its peer does not exist yet.
            for _ in 0..options.connections {
                if all_ready.recv().is_err() {
                    break;
                }
            }
            println!("ready");
        }
        threads.into_iter().map(|t| t.join().unwrap_or_else(|_| Err(anyhow!("a load thread panicked")))).collect()
    });
    let mut total = Report::default();
    for report in reports {
        let report = report?;
        total.count += report.count;
        total.first = [total.first, report.first].into_iter().flatten().min();
        total.last = [total.last, report.last].into_iter().flatten().max();
        total.latencies.extend(report.latencies);
    }
    let seconds = match (total.first, total.last) {
        (Some(first), Some(last)) => (last - first).max(Duration::from_millis(1)).as_secs_f64(),
        _ => 0.0,
    };
    total.latencies.sort_unstable();
    let percentile = |p: f64| {
        let at = (total.latencies.len() as f64 * p) as usize;
        total.latencies.get(at.min(total.latencies.len().saturating_sub(1))).copied()
    };
    println!(
        "{}",
        json!({ "count": total.count, "seconds": seconds, "p50_us": percentile(0.5), "p99_us": percentile(0.99) })
    );
    Ok(())
}
