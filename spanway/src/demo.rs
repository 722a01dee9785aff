//! `spanway demo`: a small network on this machine, to look at and to play with.
//!
//! Each router is a process of its own, started as users start theirs: so it can be looked at, and killed, like any other. The demo
//! reads their logs and tells what happens. They end with it, whatever ends it: each watches its standard input, which the demo holds.

mod guide;
mod ports;
mod programs;
mod web;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

use crate::client::{Interrupts, block_on};
use guide::say;
use ports::Ports;
use programs::Programs;

/// How long the network may take to be there. It takes half a second.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How often it is looked whether the web server can be reached.
const PROBE: Duration = Duration::from_millis(50);

/// How often it is tried with other ports.
const TRIES: usize = 3;

/// How many things may have happened that were not told yet.
const BACKLOG: usize = 1024;

/// Something that happened.
#[derive(Debug)]
enum Happened {
    /// A router logged that it is ready.
    Ready(&'static str),
    /// A receiver printed a message.
    Received(&'static str, String),
    /// Anything else worth to be told.
    Told(&'static str, String),
    /// A router has ended.
    Ended(&'static str),
}

/// How it went.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    /// To its end.
    Over,
    /// A router ended before it was ready.
    NotStarted(&'static str),
}

/// Does what the command line asks.
pub(crate) fn run() -> Result<()> {
    block_on(demo())
}

async fn demo() -> Result<()> {
    let mut interrupts = Interrupts::new()?;
    for _ in 1..TRIES {
        if once(&mut interrupts).await? == Outcome::Over {
            return Ok(());
        }
    }
    match once(&mut interrupts).await? {
        Outcome::Over => Ok(()),
        Outcome::NotStarted(name) => bail!("the router of {name} ended before it was ready"),
    }
}

/// Runs the network once, with ports that are free at this moment.
async fn once(interrupts: &mut Interrupts) -> Result<Outcome> {
    let (events, mut happened) = mpsc::channel(BACKLOG);
    let web = web::serve(events.clone()).await?;
    let ports = Ports::find()?;
    let mut programs = Programs::new(events)?;
    let outcome = tokio::select! {
        outcome = tell(&mut programs, &ports, web, &mut happened) => outcome,
        () = interrupts.wait() => Ok(Outcome::Over),
    };
    // What happens from here on is not told, and whoever tells does not wait.
    happened.close();
    say("", "Ending the routers and the receivers.");
    tokio::select! {
        () = programs.end() => {}
        // Asked again: at once. What is left is killed when it is dropped.
        () = interrupts.wait() => {}
    }
    outcome
}

/// Starts everything and tells what happens, until nothing is left.
async fn tell(
    programs: &mut Programs,
    ports: &Ports,
    web: SocketAddr,
    happened: &mut mpsc::Receiver<Happened>,
) -> Result<Outcome> {
    let by = Instant::now() + START_LIMIT;
    let place = |port: u16| format!("127.0.0.1:{port}");
    let server = format!("web={web}");
    let listener = format!("web={}", place(ports.web));
    let (east, east_edges, west_edges) = (place(ports.east_links), place(ports.east_edges), place(ports.west_edges));
    // Whoever is connected to first.
    programs.router(
        "east",
        ports.east,
        &["--accept-links", &east, "--accept-edges", &east_edges, "--tcp-listener", &listener],
    )?;
    if !is_ready(happened, "east", by).await? {
        return Ok(Outcome::NotStarted("east"));
    }
    programs.router("west", ports.west, &["--link", &east, "--accept-edges", &west_edges])?;
    if !is_ready(happened, "west", by).await? {
        return Ok(Outcome::NotStarted("west"));
    }
    let edge = ["--edge-link", &west_edges, "--edge-link", &east_edges, "--tcp-connector", &server];
    programs.router("shop", ports.shop, &edge)?;
    if !is_ready(happened, "shop", by).await? {
        return Ok(Outcome::NotStarted("shop"));
    }
    programs.receiver("west", ports.west, "greetings")?;
    programs.receiver("shop", ports.shop, "greetings")?;
    let reached = async {
        // The listener opens when the network has told its router of the server.
        while TcpStream::connect((Ipv4Addr::LOCALHOST, ports.web)).await.is_err() {
            sleep(PROBE).await;
        }
    };
    let mut left = ["east", "west", "shop"].len();
    let mut reached = std::pin::pin!(timeout_at(by, reached));
    loop {
        tokio::select! {
            reached = &mut reached => {
                if reached.is_err() {
                    bail!("the web server could not be reached through the network within {} s", START_LIMIT.as_secs());
                }
                break;
            }
            Some(event) = happened.recv() => left -= usize::from(told(event)),
        }
    }
    println!("{}", guide::text(programs, ports, web));
    while left > 0 {
        let Some(event) = happened.recv().await else { return Ok(Outcome::Over) };
        left -= usize::from(told(event));
    }
    bail!("no router is left");
}

/// Waits until a router is ready. False if it ended before: somebody else may have taken one of its ports.
async fn is_ready(happened: &mut mpsc::Receiver<Happened>, router: &str, by: Instant) -> Result<bool> {
    loop {
        match timeout_at(by, happened.recv()).await {
            Ok(Some(Happened::Ready(name))) if name == router => return Ok(true),
            Ok(Some(Happened::Ended(name))) if name == router => return Ok(false),
            Ok(Some(event)) => drop(told(event)),
            Ok(None) | Err(_) => bail!("the router of {router} was not ready within {} s", START_LIMIT.as_secs()),
        }
    }
}

/// Tells what happened. True if a router ended.
fn told(event: Happened) -> bool {
    match event {
        Happened::Ready(_) => {}
        Happened::Received(name, text) => say(name, &format!("received a greeting: {text}")),
        Happened::Told(name, text) => say(name, &text),
        Happened::Ended(name) => {
            say(name, "the router has ended");
            return true;
        }
    }
    false
}
