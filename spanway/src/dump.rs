//! `spanway debug dump`: everything that routers tell of themselves, in one archive that can be given to others.

mod archive;
mod redact;

use std::time::SystemTime;

use amqp_proto::Value;
use anyhow::{Context as _, Result, bail};
use serde_json::json;

use crate::cli::debug::{DebugArgs, DebugCommand, DumpArgs};
use crate::client::entities::Entities;
use crate::client::format::{object, plain, pretty, to_json};
use crate::client::management::{Manager, Query, Request, Whose, short};
use crate::client::network::{Member, Network};
use crate::client::report::{Count, Size, note};
use crate::client::{Interrupts, block_on};
use archive::Archive;

/// Does what the command line asks.
pub(crate) fn run(args: &DebugArgs) -> Result<()> {
    let DebugCommand::Dump(args) = &args.command;
    args.connect.check_or_exit();
    let (archive, silent) = block_on(async {
        let mut interrupts = Interrupts::new()?;
        tokio::select! {
            collected = collect(args) => collected,
            () = interrupts.wait() => bail!("interrupted before all routers had answered"),
        }
    })?;
    let (files, size) = archive.write(&args.file).with_context(|| format!("write {}", args.file.display()))?;
    note(format_args!(
        "wrote {}: {}, {}; secrets are removed",
        args.file.display(),
        Count(files, "file"),
        Size(size as f64)
    ));
    match silent.first() {
        None => Ok(()),
        Some(first) => bail!("{} did not answer: {}", Count(silent.len() as u64, "router"), first),
    }
}

async fn collect(args: &DumpArgs) -> Result<(Archive, Vec<String>)> {
    let mut manager = Manager::connect(&args.connect, "dump").await?;
    let network = Network::discover(&mut manager).await?;
    let mut archive = Archive::new(SystemTime::now());
    let (mut silent, mut members, mut topology) = (Vec::new(), Vec::new(), serde_json::Map::new());
    for (at, member) in network.members.iter().enumerate() {
        let directory = format!("routers/{:02}-{}", at + 1, archive::file_name(&member.id));
        let tables = match types(&mut manager, &member.whose).await {
            Ok(types) => entities(&mut manager, member, &types).await?,
            Err(error) => {
                silent.push(format!("{}: {error:#}", member.id));
                members.push(json!({"id": member.id, "uplink": member.uplink, "error": format!("{error:#}")}));
                continue;
            }
        };
        let mut failures = Vec::new();
        for (ty, entities) in tables {
            match entities {
                Ok(entities) => {
                    let rows: serde_json::Value =
                        entities.lines().map(|line| redact::json(object(&line), short(&ty))).collect();
                    if short(&ty) == "router.node" {
                        topology.insert(member.id.clone(), rows.clone());
                    }
                    archive.add(&format!("{directory}/{}.json", archive::file_name(short(&ty))), &pretty(&rows));
                }
                Err(error) => failures.push(format!("{}: {error:#}\n", short(&ty))),
            }
        }
        if !failures.is_empty() {
            archive.add(&format!("{directory}/not-answered.txt"), &redact::text(&failures.concat()));
        }
        let log = log(&mut manager, &member.whose).await.unwrap_or_else(|error| format!("{error:#}\n"));
        archive.add(&format!("{directory}/log.txt"), &redact::text(&log));
        members.push(json!({"id": member.id, "uplink": member.uplink, "directory": directory}));
    }
    archive.add("topology.json", &pretty(&serde_json::Value::Object(topology)));
    let about = json!({
        "made": jiff::Timestamp::now().to_string(),
        "by": format!("spanway {}", crate::cli::VERSION),
        "over": args.connect.url.to_string(),
        "routers": members,
    });
    archive.add("about.json", &pretty(&about));
    let _ = manager.close().await;
    Ok((archive, silent))
}

/// The long names of the types that an agent has entities of.
async fn types(manager: &mut Manager, whose: &Whose) -> Result<Vec<String>> {
    let answer = manager.call(whose, Request::new("GET-TYPES")).await?;
    let types: Vec<String> = answer.body.as_map().unwrap_or_default().iter().map(|(name, _)| plain(name)).collect();
    if types.is_empty() {
        bail!("the agent knows no types: {} {}", answer.status, answer.description);
    }
    // Types that others extend would have all of theirs again.
    let bases: Vec<String> = answer
        .body
        .as_map()
        .unwrap_or_default()
        .iter()
        .flat_map(|(_, extends)| extends.as_list().unwrap_or_default().iter().map(plain))
        .collect();
    Ok(types.into_iter().filter(|ty| !bases.contains(ty)).collect())
}

async fn entities(manager: &mut Manager, member: &Member, types: &[String]) -> Result<Vec<(String, Result<Entities>)>> {
    let query = |ty: &String| (member.whose.clone(), Query { entity_type: ty.clone(), ..Query::default() });
    let queries: Vec<_> = types.iter().map(query).collect();
    Ok(types.iter().cloned().zip(manager.query_each(&queries).await?).collect())
}

/// What was logged last, a line for each entry.
async fn log(manager: &mut Manager, whose: &Whose) -> Result<String> {
    let answer = manager.call(whose, Request::new("GET-LOG")).await?;
    let entries = answer.body.as_list().unwrap_or_default().iter();
    Ok(entries.map(log_line).collect())
}

/// Module, level, text, file, line, and seconds since 1970.
fn log_line(entry: &Value) -> String {
    let at = |index: usize| entry.as_list().and_then(|items| items.get(index)).unwrap_or(&Value::Null);
    let time = at(5).as_i64().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let time = time.map_or_else(|| to_json(at(5)).to_string(), |time| time.to_string());
    format!("{time} {} ({}) {}\n", plain(at(0)), plain(at(1)), plain(at(2)))
}
