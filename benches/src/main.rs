//! Measures Spanway beside its peers, in one run on one machine.
//!
//! `compare` prints the side-by-side tables, `micro` times codec and forwarding, `counts` prints what the hot path allocates, locks and
//! writes. Every process it starts it also ends; all traffic stays on loopback.

mod compare;
mod counts;
mod load;
mod micro;
mod process;
mod relay;
mod stats;
mod table;
mod tables;

use std::alloc::System;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// Counts what the whole process allocates, for `counts` and `micro`. Nothing else here allocates in what it measures.
#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

#[derive(Debug, Parser)]
#[command(name = "benches", about = "Measures Spanway beside direct traffic, haproxy, nginx and skrouterd")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the workloads over every path and print them side by side, with ratios
    Compare(compare::Options),
    /// Count what forwarding costs in heap allocations, locks and system calls; ends with 1 if a transfer allocates
    Counts(counts::Options),
    /// Time single operations of codec, engine and core
    Micro(micro::Options),
    /// AMQP load generator: one sending or receiving process (used by `compare`)
    Load(load::Options),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Compare(options) => compare::run(&options),
        Command::Counts(options) => counts::run(&options),
        Command::Micro(options) => micro::run(&options),
        Command::Load(options) => load::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("benches: {error:#}");
            ExitCode::FAILURE
        }
    }
}
