//! The processes of the demo.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::Happened;
use super::guide::say;

/// How long the routers may take to end in order.
const END_LIMIT: Duration = Duration::from_secs(6);
/// How often it is looked whether they have ended.
const LOOK: Duration = Duration::from_millis(20);

/// What of the environment would make a router or a client another one.
const ENVIRONMENT: &[&str] = &["SPANWAY_CONFIG", "SPANWAY_LOG", "SPANWAY_LOG_FORMAT", "SPANWAY_URL"];

/// Routers and receivers. Whatever still runs when they are dropped is killed.
#[derive(Debug)]
pub(super) struct Programs {
    binary: PathBuf,
    events: mpsc::Sender<Happened>,
    routers: Vec<Program>,
    receivers: Vec<Program>,
}

#[derive(Debug)]
struct Program {
    site: &'static str,
    child: Child,
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Programs {
    pub(super) fn new(events: mpsc::Sender<Happened>) -> Result<Self> {
        let binary = std::env::current_exe().context("find the own binary")?;
        Ok(Self { binary, events, routers: Vec::new(), receivers: Vec::new() })
    }

    /// A program of ours, which Ctrl-C in the terminal does not reach: the demo ends it.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        for name in ENVIRONMENT {
            command.env_remove(name);
        }
        command
    }

    /// Starts the router of a site, with its AMQP port and what is special about it.
    pub(super) fn router(&mut self, site: &'static str, port: u16, arguments: &[&str]) -> Result<()> {
        let listen = format!("127.0.0.1:{port}");
        let mut all = vec!["run", "--id", site, "--listen", &listen, "--admin", "127.0.0.1:0", "--until-stdin-ends"];
        all.extend(["--log-format", "json"]);
        all.extend_from_slice(arguments);
        let mut command = self.command(&all);
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().context("start a router")?;
        let events = self.events.clone();
        let stderr = child.stderr.take();
        self.routers.push(Program { site, child });
        if let Some(stderr) = stderr {
            std::thread::Builder::new().name(format!("router {site}")).spawn(move || {
                // All is read, told or not, so that the router never waits for its log to be written.
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    if let Some(event) = log_line(site, &line) {
                        let _ = events.blocking_send(event);
                    }
                }
                let _ = events.blocking_send(Happened::Ended(site));
            })?;
        }
        Ok(())
    }

    /// Starts a receiver at the router of a site.
    pub(super) fn receiver(&mut self, site: &'static str, port: u16, address: &str) -> Result<()> {
        let url = format!("amqp://127.0.0.1:{port}");
        let mut command = self.command(&["recv", address, "--url", &url]);
        let mut child = command.stdout(Stdio::piped()).spawn().context("start a receiver")?;
        let events = self.events.clone();
        let stdout = child.stdout.take();
        self.receivers.push(Program { site, child });
        if let Some(stdout) = stdout {
            std::thread::Builder::new().name(format!("receiver {site}")).spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    // Nobody is told any more when the demo ends.
                    if events.blocking_send(Happened::Received(site, line)).is_err() {
                        return;
                    }
                }
            })?;
        }
        Ok(())
    }

    /// The process of a site's router.
    pub(super) fn pid(&self, site: &str) -> Option<u32> {
        self.routers.iter().find(|router| router.site == site).map(|router| router.child.id())
    }

    /// Ends them: receivers at once, routers in order as long as that takes no longer than it should. What is left then is told and killed.
    pub(super) async fn end(&mut self) {
        self.receivers.clear();
        for router in &mut self.routers {
            drop(router.child.stdin.take());
        }
        let by = Instant::now() + END_LIMIT;
        while Instant::now() < by {
            self.routers.retain_mut(|router| matches!(router.child.try_wait(), Ok(None)));
            if self.routers.is_empty() {
                return;
            }
            sleep(LOOK).await;
        }
        for router in self.routers.drain(..) {
            say(router.site, "the router does not end, and is killed");
        }
    }
}

/// What a line of a router's log is worth: changes of the network, and whatever is wrong.
fn log_line(site: &'static str, line: &str) -> Option<Happened> {
    let Ok(entry) = serde_json::from_str::<Value>(line) else {
        return Some(Happened::Told(site, line.to_owned())).filter(|_| !line.is_empty());
    };
    let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
    let (module, level, message) = (text("module"), text("level"), text("message"));
    if message.starts_with("Operational, ") {
        return Some(Happened::Ready(site));
    }
    let of_network = module == "ROUTER_LS" || (module == "SERVER" && message.contains("role edge"));
    let wrong = matches!(level, "warning" | "error" | "critical");
    (wrong || (level == "info" && of_network)).then(|| Happened::Told(site, message.to_owned()))
}
