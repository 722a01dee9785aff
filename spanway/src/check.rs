//! `spanway check`: goes the way of a message step by step, and says where it ends and what to do.

mod address;
mod open;
mod path;
mod report;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::cli::check::CheckArgs;
use crate::client::management::Manager;
use crate::client::network::Network;
use crate::client::{Interrupts, block_on};
use report::{Fault, Report};

/// How long a step may take, unless --timeout says something else.
const LIMIT: Duration = Duration::from_secs(5);

/// Does what the command line asks.
pub(crate) fn run(args: &CheckArgs) -> Result<()> {
    args.connect.check_or_exit();
    let mut args = args.clone();
    args.connect.timeout.get_or_insert(LIMIT);
    let mut report = Report::new(args.output);
    let outcome = block_on(async {
        let mut interrupts = Interrupts::new()?;
        tokio::select! {
            outcome = steps(&args, &mut report) => Ok(outcome),
            () = interrupts.wait() => bail!("interrupted"),
        }
    })?;
    let failed = outcome.err();
    let step = report.step();
    report.end(failed)?;
    match step {
        Some(step) => bail!("the check failed at the step {step}"),
        None => Ok(()),
    }
}

/// All steps, until one fails.
async fn steps(args: &CheckArgs, report: &mut Report) -> Result<(), Fault> {
    let connect = &args.connect;
    report.begin("name");
    let found = path::resolve(connect).await?;
    report.ok(found);
    report.begin("TCP");
    let (socket, found) = path::tcp(connect).await?;
    report.ok(found);
    report.begin("TLS");
    let stream = path::tls(connect, socket, report).await?;
    let mut client = open::open(connect, stream, report).await?;
    if let Some(address) = &args.address {
        report.begin("permission");
        let found = open::may_send(&mut client, connect, address).await?;
        report.ok(found);
    }
    report.begin("agent");
    let mut manager = Manager::over(client, connect, "check").await.map_err(address::no_agent)?;
    let (found, here) = address::agent(&mut manager).await?;
    report.ok(found);
    report.begin("links");
    let network = Network::discover(&mut manager).await.map_err(address::no_agent)?;
    let links = address::links(&mut manager, &network).await?;
    match (&args.address, links.down.is_empty()) {
        (_, true) => report.ok(links.summary()),
        // Whether they matter depends on where the consumers are.
        (Some(_), false) => report.warn(links.summary(), links.remedy()),
        (None, false) => return Err(Fault::new(links.summary(), links.remedy())),
    }
    if let Some(address) = &args.address {
        report.begin("path");
        let places = address::find(&mut manager, &network, address).await?;
        let found = address::path(&places, &here, &links)?;
        report.ok(found);
        report.begin("consumers");
        let found = address::consumers(&mut manager, &places, &links, address).await?;
        report.ok(found);
        report.begin("credit");
        let found = address::credit(&mut manager, &places, address).await?;
        report.ok(found);
    }
    // Everything is known; how the router says goodbye does not matter.
    let _ = manager.close().await;
    report.finished();
    Ok(())
}

/// A step's time limit.
fn deadline(limit: Option<Duration>) -> tokio::time::Instant {
    (Instant::now() + limit.unwrap_or(LIMIT)).into()
}
