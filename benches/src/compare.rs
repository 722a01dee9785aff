//! `compare`: the workloads of the project's goals over every path, interleaved, in one run.

mod amqp;
mod convergence;
mod footprint;
mod management;
mod networks;
mod path;
mod routers;
mod streams;
mod tcp;

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;

use crate::process::{self, Scratch};
use crate::table::Results;

/// Options of `compare`.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Only these workloads, separated by commas: tcp-bulk, tcp-requests, tcp-connections, tls-download, tls-connections,
    /// amqp-presettled, amqp-unsettled, amqp-latency, amqp-10k, amqp-multicast, footprint, management; through two linked routers:
    /// r2-amqp-presettled, r2-amqp-unsettled, r2-amqp-latency, r2-amqp-10k, r2-amqp-multicast, r2-tcp-bulk, r2-tls-bulk,
    /// r2-tcp-delayed, r2-tcp-requests, r2-tcp-connections, r2-footprint, r2-streams; through edge, interior, edge: eie-amqp-presettled,
    /// eie-amqp-unsettled, eie-amqp-latency, eie-tcp-bulk, eie-tcp-requests, eie-tcp-connections; and convergence
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these paths, separated by commas: direct, haproxy, nginx, spanway, skrouterd
    #[arg(long, value_delimiter = ',')]
    paths: Vec<String>,
    /// Seconds of each run
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Runs of each workload on each path; medians are printed
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=20))]
    runs: u64,
    /// Print JSON, every sample included
    #[arg(long)]
    json: bool,
    /// The Spanway binary [default: spanway beside this program]
    #[arg(long)]
    spanway: Option<std::path::PathBuf>,
}

/// What every workload needs to know.
#[derive(Debug)]
pub(crate) struct Run<'a> {
    pub(crate) seconds: u64,
    pub(crate) runs: u64,
    pub(crate) scratch: &'a Scratch,
    pub(crate) tools: path::Tools,
    paths: &'a [String],
    quiet: bool,
}

impl Run<'_> {
    /// Whether the user asked for this path (or for none in particular).
    pub(crate) fn wants(&self, path: &str) -> bool {
        self.paths.is_empty() || self.paths.iter().any(|p| p == path)
    }

    /// A line of progress on stderr.
    pub(crate) fn progress(&self, text: &str) {
        if !self.quiet {
            eprintln!("{text}");
        }
    }

    /// How long an external tool may take for a run of `seconds`.
    pub(crate) fn limit(&self) -> Duration {
        Duration::from_secs(self.seconds + 20)
    }
}

type Workload = fn(&Run<'_>) -> Result<Vec<Results>>;

const WORKLOADS: &[(&str, Workload)] = &[
    ("tcp-bulk", tcp::bulk),
    ("tcp-requests", tcp::requests),
    ("tcp-connections", tcp::connections),
    ("tls-download", tcp::tls_download),
    ("tls-connections", tcp::tls_connections),
    ("amqp-presettled", amqp::presettled),
    ("amqp-unsettled", amqp::unsettled),
    ("amqp-latency", amqp::latency),
    ("amqp-10k", amqp::ten_kilobytes),
    ("amqp-multicast", amqp::multicast),
    ("footprint", footprint::run),
    ("management", management::run),
    ("r2-amqp-presettled", amqp::presettled_r2),
    ("r2-amqp-unsettled", amqp::unsettled_r2),
    ("r2-amqp-latency", amqp::latency_r2),
    ("r2-amqp-10k", amqp::ten_kilobytes_r2),
    ("r2-amqp-multicast", amqp::multicast_r2),
    ("r2-tcp-bulk", networks::bulk_r2),
    ("r2-tls-bulk", networks::bulk_tls),
    ("r2-tcp-delayed", networks::delayed),
    ("r2-tcp-requests", networks::requests_r2),
    ("r2-tcp-connections", networks::connections_r2),
    ("r2-footprint", footprint::run_r2),
    ("eie-amqp-presettled", amqp::presettled_eie),
    ("eie-amqp-unsettled", amqp::unsettled_eie),
    ("eie-amqp-latency", amqp::latency_eie),
    ("eie-tcp-bulk", networks::bulk_eie),
    ("eie-tcp-requests", networks::requests_eie),
    ("eie-tcp-connections", networks::connections_eie),
    ("r2-streams", streams::run),
    ("convergence", convergence::run),
];

/// Runs the comparison.
pub(crate) fn run(options: &Options) -> Result<()> {
    for name in &options.only {
        if !WORKLOADS.iter().any(|(n, _)| n == name) {
            let known: Vec<&str> = WORKLOADS.iter().map(|(n, _)| *n).collect();
            bail!("no workload named {name}; there are: {}", known.join(", "));
        }
    }
    for name in &options.paths {
        if !path::NAMES.contains(&name.as_str()) {
            bail!("no path named {name}; there are: {}", path::NAMES.join(", "));
        }
    }
    let scratch = Scratch::new().context("make a scratch folder")?;
    let spanway = match &options.spanway {
        Some(path) => path.clone(),
        None => beside_us()?,
    };
    let context = Run {
        seconds: options.seconds,
        runs: options.runs,
        scratch: &scratch,
        tools: path::Tools::find(spanway),
        paths: &options.paths,
        quiet: false,
    };
    for missing in context.tools.missing() {
        context.progress(&format!("note: {missing} is not installed; its rows are left out"));
    }
    let mut all = Vec::new();
    for (name, workload) in WORKLOADS {
        if options.only.is_empty() || options.only.iter().any(|n| n == name) {
            context.progress(&format!("== {name}"));
            let results = workload(&context).with_context(|| format!("workload {name}"))?;
            if !options.json {
                for result in &results {
                    result.print();
                }
            }
            all.extend(results);
        }
    }
    if options.json {
        let list: Vec<_> = all.iter().map(Results::json).collect();
        println!("{:#}", json!({ "seconds": options.seconds, "runs": options.runs, "workloads": list }));
    }
    Ok(())
}

/// Builds Spanway in the profile that this program was built in, and returns where it is.
fn beside_us() -> Result<std::path::PathBuf> {
    let us = std::env::current_exe()?;
    let dir = us.parent().context("this program has no folder")?;
    let mut command = std::process::Command::new("cargo");
    command.args(["build", "--quiet", "-p", "spanway"]);
    if dir.file_name().is_some_and(|name| name == "release") {
        command.arg("--release");
    }
    process::output(command, Duration::from_secs(1800)).context("build spanway")?;
    Ok(dir.join("spanway"))
}
