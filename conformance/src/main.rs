//! Tools of the conformance suite; its tests run with `cargo test`.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use conformance::{catalogue, simulate};

#[derive(Debug, Parser)]
#[command(name = "conformance", about = "Tools that show how Spanway behaves")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a network of routers in virtual time, break it, and check that it recovers
    Simulate(simulate::Options),
    /// Let sites tell each other of their services in virtual time, and check that all agree
    Services(catalogue::Options),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Simulate(options) => simulate(&options),
        Command::Services(options) => {
            let report = catalogue::run(&options);
            print!("{}", report.text());
            if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}

fn simulate(options: &simulate::Options) -> ExitCode {
    let report = match simulate::run(options) {
        Ok(report) => report,
        Err(error) => {
            eprintln!("conformance: {error}");
            return ExitCode::from(2);
        }
    };
    match options.output {
        simulate::Format::Text => print!("{}", report.text()),
        simulate::Format::Json => println!("{:#}", report.json()),
    }
    if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
