//! `micro`: what one operation of codec, engine and core takes, without sockets.

mod codec;
mod core;
mod engine;
mod forward;
mod harness;
mod instructions;

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;

use crate::table::{number, print_aligned};
use harness::{Bench, Measured};

/// Options of `micro`.
#[derive(Args, Debug)]
#[command(after_long_help = HELP)]
pub(crate) struct Options {
    /// Only operations whose names contain one of these, separated by commas
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Milliseconds of each sample
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    sample_ms: u64,
    /// Samples of each operation
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=1000))]
    samples: u32,
    /// Count instructions too, by running each operation under valgrind (a second or two for each)
    #[arg(long)]
    instructions: bool,
    /// Names of the operations, nothing else
    #[arg(long)]
    list: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Run each operation so many times and print nothing: what valgrind looks at
    #[arg(long, hide = true)]
    fixed: Option<u64>,
    /// Only the operation of this name
    #[arg(long, hide = true)]
    exactly: Option<String>,
}

const HELP: &str = "\
Columns:
  ns            nanoseconds per operation, median of the samples; min: the best of them, which a busy machine disturbs least
  allocs        calls of the global allocator that allocate or grow memory, per operation
  instructions  per operation, counted by valgrind (callgrind) in the timed sections only; - without --instructions

Operations are timed in blocks of up to 128; what has to be done between the blocks (credit, windows, dispositions the other way) is not
counted. `core` operations answer to an egress that does nothing; `forward` ones go through a receiving engine, the core and a sending
engine, as in the router, but for sockets. `multicast` is per delivery, not per copy.";

/// All operations, in the order of the table.
fn all() -> Vec<Bench> {
    [codec::benches(), engine::benches(), core::benches(), forward::benches()].into_iter().flatten().collect()
}

/// Runs the operations and prints what they take.
///
/// # Errors
/// When none has such a name, or the table cannot be made.
pub(crate) fn run(options: &Options) -> Result<()> {
    let mut benches = all();
    benches.retain(|b| {
        let wanted = options.only.is_empty() || options.only.iter().any(|only| b.name.contains(only.as_str()));
        wanted && options.exactly.as_ref().is_none_or(|name| b.name == name)
    });
    if benches.is_empty() {
        bail!("no operation has such a name; --list prints them");
    }
    if options.list {
        for bench in &benches {
            println!("{}", bench.name);
        }
        return Ok(());
    }
    if let Some(count) = options.fixed {
        for bench in &benches {
            bench.run_fixed(count)?;
        }
        return Ok(());
    }
    if options.instructions && !instructions::is_available() {
        eprintln!("note: valgrind is not installed; instructions are not counted");
    }
    let mut rows = Vec::new();
    for bench in &benches {
        let measured = bench.measure(Duration::from_millis(options.sample_ms), options.samples)?;
        let count = if options.instructions { instructions::count(bench.name)? } else { None };
        rows.push((bench.name, measured, count));
    }
    if options.json {
        let list: Vec<_> = rows
            .iter()
            .map(|(name, m, count)| {
                json!({ "name": name, "ns": m.median, "min_ns": m.min, "max_ns": m.max, "allocs": m.allocs, "instructions": count })
            })
            .collect();
        println!("{:#}", json!({ "operations": list }));
        return Ok(());
    }
    let mut table = vec![["operation", "ns", "min", "allocs", "instructions"].map(str::to_owned).to_vec()];
    table.extend(rows.iter().map(|(name, m, count)| cells(name, m, *count)));
    print_aligned(&table);
    Ok(())
}

fn cells(name: &str, measured: &Measured, instructions: Option<f64>) -> Vec<String> {
    vec![
        name.to_owned(),
        number(measured.median, 1),
        number(measured.min, 1),
        number(measured.allocs, 3),
        number(instructions.unwrap_or(f64::NAN), 0),
    ]
}
