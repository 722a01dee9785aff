//! `spanway stat`: what a router tells about itself, its connections and its traffic.

mod format;
mod report;
mod table;

use std::io::Write as _;

use anyhow::{Context as _, Result, bail};

use crate::cli::stat::{Format, StatArgs};
use crate::client::management::{Entities, Manager};
use crate::client::{Interrupts, block_on};

/// Does what the command line asks.
pub(crate) fn run(args: &StatArgs) -> Result<()> {
    args.connect.check_or_exit();
    let text = block_on(async {
        let mut interrupts = Interrupts::new()?;
        tokio::select! {
            text = collect(args) => text,
            () = interrupts.wait() => bail!("interrupted before the router answered"),
        }
    })?;
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Nobody reads it any more: no failure, as of any filter.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.context("write to the standard output"),
    }
}

/// Asks the router, and writes the report.
async fn collect(args: &StatArgs) -> Result<String> {
    let mut manager = Manager::connect(&args.connect, "stat", args.whose()).await?;
    let mut tables = Vec::new();
    for part in report::parts(args.what) {
        let mut entities = manager.query(part.entity, args.limit.map(|limit| limit as usize)).await?;
        part.choose(&mut entities);
        tables.push((part, entities));
    }
    // Everything is here; how the router says goodbye does not matter.
    let _ = manager.close().await;
    let entities: Vec<&Entities> = tables.iter().map(|(_, entities)| entities).collect();
    Ok(match args.output {
        Format::Table => report::tables(&tables),
        Format::Json => format::json(&entities),
        Format::Csv => format::csv(&entities),
    })
}
