//! Measures Spanway beside its peers, in one run on one machine.
//!
//! `compare` prints the side-by-side tables, `micro` times codec and forwarding, `counts` prints what the hot path allocates, locks and
//! writes. Every process it starts it also ends; all traffic stays on loopback.

mod compare;
mod load;
mod process;
mod stats;
mod table;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    /// AMQP load generator: one sending or receiving process (used by `compare`)
    Load(load::Options),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Compare(options) => compare::run(&options),
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
