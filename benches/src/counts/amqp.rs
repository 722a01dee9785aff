//! AMQP messages from one connection to another.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use amqp_adaptor::ConnectionRole;
use anyhow::{Context, Result, bail};

use crate::counts::Run;
use crate::counts::report::{Allowed, Row};
use crate::counts::router::Router;
use crate::counts::snapshot::{Snapshot, measure};

/// What is sent.
#[derive(Clone, Copy, Debug)]
struct Shape {
    title: &'static str,
    size: u32,
    presettled: bool,
}

/// A load process; killed when dropped, because it would go on for longer than is counted.
#[derive(Debug)]
struct Load {
    child: Child,
    /// Kept open, so that it can print its report should it end by itself.
    stdout: BufReader<ChildStdout>,
}

impl Load {
    fn start(role: &str, port: u16, shape: &Shape, run: &Run) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([
            "load",
            role,
            "--port",
            &port.to_string(),
            "--size",
            &shape.size.to_string(),
            "--seconds",
            "300",
        ]);
        command.args(["--credit", &run.credit.to_string(), "--rate", &run.rate.to_string()]);
        if shape.presettled {
            command.arg("--presettled");
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("start a load process")?;
        let stdout = child.stdout.take().context("a load process has no output")?;
        Ok(Self { child, stdout: BufReader::new(stdout) })
    }

    /// Waits until the receiver is attached.
    fn wait_ready(&mut self) -> Result<()> {
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        if line != "ready\n" {
            bail!("the receiver did not get ready: {line:?}");
        }
        Ok(())
    }

    fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn one(run: &Run, shape: &Shape) -> Result<Row> {
    let router = Router::start(run.workers)?;
    let port = router.listen_amqp(ConnectionRole::Normal)?;
    let mut receiver = Load::start("recv", port, shape, run)?;
    receiver.wait_ready()?;
    router.place_next_on_second();
    let mut sender = Load::start("send", port, shape, run)?;
    let costs = measure(router.workers(), run, |s: &Snapshot| s.core.deliveries_out as f64)?;
    if !sender.is_running()? || !receiver.is_running()? {
        bail!("a load process ended early");
    }
    if run.workers > 1 {
        for handle in router.workers() {
            let open =
                handle.call_blocking(|| crate::counts::router::current().map_or(0, |w| w.amqp.open_connections()))?;
            if open != 1 {
                bail!("worker {} has {open} connections instead of one", handle.index());
            }
        }
    }
    let placed = if run.workers > 1 { "two workers" } else { "one worker" };
    let allowed = Allowed { allocs: 8.0, locks: 4.0 };
    Ok(Row { title: format!("{}, {placed}", shape.title), unit: "transfer", costs, allowed })
}

/// Through two linked routers in this process: what is counted is what both do.
fn linked(run: &Run, shape: &Shape) -> Result<Row> {
    let [first, second] = Router::two(run.workers)?;
    let mut receiver = Load::start("recv", second.listen_amqp(ConnectionRole::Normal)?, shape, run)?;
    receiver.wait_ready()?;
    let mut sender = Load::start("send", first.listen_amqp(ConnectionRole::Normal)?, shape, run)?;
    let workers = [first.workers(), second.workers()].concat();
    // Each delivery leaves two routers.
    let costs = measure(&workers, run, |s: &Snapshot| s.core.deliveries_out as f64 / 2.0)?;
    if !sender.is_running()? || !receiver.is_running()? {
        bail!("a load process ended early");
    }
    let placed = if run.workers > 1 { "two workers each" } else { "one worker each" };
    let allowed = Allowed { allocs: 8.0, locks: 4.0 };
    Ok(Row { title: format!("r2: {}, {placed}", shape.title), unit: "transfer", costs, allowed })
}

pub(super) fn presettled_r2(run: &Run) -> Result<Row> {
    linked(run, &Shape { title: "amqp 100 B presettled", size: 100, presettled: true })
}

pub(super) fn unsettled_r2(run: &Run) -> Result<Row> {
    linked(run, &Shape { title: "amqp 100 B unsettled", size: 100, presettled: false })
}

pub(super) fn presettled(run: &Run) -> Result<Row> {
    one(run, &Shape { title: "amqp 100 B presettled", size: 100, presettled: true })
}

pub(super) fn unsettled(run: &Run) -> Result<Row> {
    one(run, &Shape { title: "amqp 100 B unsettled", size: 100, presettled: false })
}

pub(super) fn ten_kilobytes(run: &Run) -> Result<Row> {
    one(run, &Shape { title: "amqp 10 kB unsettled", size: 10_000, presettled: false })
}
