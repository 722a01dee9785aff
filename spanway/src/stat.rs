//! `spanway stat`: what a router tells about itself, its connections and its traffic.

mod report;

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::cli::output::Format;
use crate::cli::stat::StatArgs;
use crate::client::entities::Entities;
use crate::client::management::{Manager, Query, Whose};
use crate::client::network::Network;
use crate::client::report::{note, print};
use crate::client::{Interrupts, block_on, format};
use report::Part;

/// Puts the cursor into the corner, and takes away what stood below.
const CLEAR: &str = "\x1b[H\x1b[J";

/// Does what the command line asks.
pub(crate) fn run(args: &StatArgs) -> Result<()> {
    args.agent.connect.check_or_exit();
    block_on(async {
        let mut interrupts = Interrupts::new()?;
        tokio::select! {
            done = show(args) => done,
            () = interrupts.wait() => match args.watch {
                Some(_) => Ok(()),
                None => bail!("interrupted before the router answered"),
            },
        }
    })
}

async fn show(args: &StatArgs) -> Result<()> {
    let mut manager = Manager::connect(&args.agent.connect, "stat").await?;
    let Some(interval) = args.watch else {
        let text = collect(&mut manager, args).await?;
        // Everything is here; how the router says goodbye does not matter.
        let _ = manager.close().await;
        return print(&text).map(drop);
    };
    let terminal = std::io::stdout().is_terminal();
    loop {
        let text = collect(&mut manager, args).await?;
        let text = if terminal { format!("{CLEAR}{}\n{text}", heading(interval)) } else { format!("{text}\n") };
        if !print(&text)? {
            return Ok(());
        }
        tokio::time::sleep(interval).await;
    }
}

fn heading(interval: Duration) -> String {
    let now = jiff::Zoned::now().strftime("%H:%M:%S").to_string();
    format!("{now}, every {} s; Ctrl-C ends it\n", interval.as_secs_f64())
}

/// Asks, and writes the report.
async fn collect(manager: &mut Manager, args: &StatArgs) -> Result<String> {
    if !args.all_routers {
        let mut reports = reports(manager, args, &[args.agent.whose()]).await?;
        return Ok(write(&reports.pop().unwrap_or_else(|| Ok(Vec::new()))?, args.output));
    }
    let members = Network::discover(manager).await?.members;
    let whose: Vec<Whose> = members.iter().map(|member| member.whose.clone()).collect();
    let mut reports = Vec::new();
    for (member, report) in members.iter().zip(self::reports(manager, args, &whose).await?) {
        match report {
            Ok(report) => reports.push((&member.id, report)),
            Err(error) => note(format_args!("{}: {error:#}", member.id)),
        }
    }
    if args.output == Format::Table {
        let reports = reports.iter().map(|(id, report)| format!("{id}:\n{}", report::tables(report)));
        return Ok(reports.collect::<Vec<_>>().join("\n"));
    }
    // Programs get one table, with a column that says whose each line is.
    let mut all: Vec<(Part, Entities)> = Vec::new();
    for (id, report) in reports {
        for (at, (part, mut entities)) in report.into_iter().enumerate() {
            entities.prepend("router", &id.as_str().into());
            match all.get_mut(at) {
                Some((_, so_far)) => so_far.append(entities),
                None => all.push((part, entities)),
            }
        }
    }
    Ok(write(&all, args.output))
}

/// What each of some routers tells, all being asked at once.
async fn reports(
    manager: &mut Manager,
    args: &StatArgs,
    whose: &[Whose],
) -> Result<Vec<Result<Vec<(Part, Entities)>>>> {
    let limit = args.limit.map(|limit| limit as usize);
    let query = |whose: &Whose, part: Part| (whose.clone(), Query { limit, ..Query::all(part.entity) });
    let of_router = |whose| report::parts(args.what).into_iter().map(move |part| query(whose, part));
    let queries: Vec<(Whose, Query)> = whose.iter().flat_map(of_router).collect();
    let mut answers = manager.query_each(&queries).await?.into_iter();
    let report = |_: &Whose| -> Result<Vec<(Part, Entities)>> {
        let parts = report::parts(args.what);
        let own: Vec<Result<Entities>> = answers.by_ref().take(parts.len()).collect();
        let table = |(part, entities): (Part, Result<Entities>)| {
            let mut entities = entities?;
            part.choose(&mut entities);
            Ok((part, entities))
        };
        parts.into_iter().zip(own).map(table).collect()
    };
    Ok(whose.iter().map(report).collect())
}

fn write(tables: &[(Part, Entities)], output: Format) -> String {
    let entities: Vec<&Entities> = tables.iter().map(|(_, entities)| entities).collect();
    match output {
        Format::Table => report::tables(tables),
        Format::Json => format::json(&entities),
        Format::Csv => format::csv(&entities),
    }
}
