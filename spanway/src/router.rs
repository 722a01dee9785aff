//! Wires entities to workers and adaptors, and ends them in order.

pub(crate) mod asking;
mod convert;
pub(crate) mod entities;
mod hints;
mod memory;
mod network;
mod services;
mod users;
mod vanflow;
pub(crate) mod worker;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use router_core::config::Configuration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use transport::{WorkerHandle, Workers};

use crate::admin;
use crate::management::{Agent, LogControl};
use crate::observe::Observer;
use crate::start::{Ended, Start, StartedAs};
use crate::telemetry::Telemetry;

use entities::Running;
use network::Network;
pub(crate) use network::{Seen, View};
use vanflow::Recorder;

/// How long connections may take to be closed in order, once nothing is in flight any more.
const CLOSE_LIMIT: Duration = Duration::from_secs(3);

/// How often it is looked whether closed connections are worth giving memory back.
const TRIM_INTERVAL: Duration = Duration::from_millis(300);

/// Runs the router until it is told to end.
pub(crate) fn run(start: Start) -> anyhow::Result<Ended> {
    // Control: signals, the admin port, changes of entities. Traffic never runs here.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the control runtime")?;
    runtime.block_on(control(start))
}

async fn control(start: Start) -> anyhow::Result<Ended> {
    // Before anything is announced, so that a signal which follows the readiness line is not missed.
    let mut signals = Signals::new()?;
    let configuration = &start.configuration;
    let workers = Workers::start(worker_count(configuration, start.command)).context("start the workers")?;
    let running = Arc::new(Running::start(configuration, workers.handles()).await?);
    if start.command == (StartedAs::Skrouterd { test_hooks: true }) {
        for handle in workers.handles() {
            let _ = handle.call(worker::offer_tests).await;
        }
    }
    let log = LogControl { handle: start.log.clone(), args: start.log_args.clone() };
    let (agent, requests) = Agent::start(configuration, Arc::clone(&running), workers.handles().to_vec(), log)
        .await
        .context("start management")?;
    tokio::spawn(agent.serve(requests));
    let network = Network::new(
        configuration,
        running.neighbours(),
        workers.handles(),
        running.network(),
        running.services().clone(),
    );
    running.services().start(workers.handles()).await.context("start the service catalogue")?;
    let observed = Observer::start(configuration, Arc::clone(&running), workers.handles()).await;
    let (observer, questions) = observed.context("start the observer")?;
    running.answered_by(&observer);
    tokio::spawn(Arc::clone(&observer).serve(questions));
    let recorder = Recorder::start(configuration, Arc::clone(&running), workers.handles().to_vec(), start.log.clone());
    let (recorder, asked) = recorder.await.context("start the records of flows")?;
    tokio::spawn(recorder.run(asked));
    let (stop_admin, stopped) = tokio::sync::watch::channel(());
    let mut admin_addresses = Vec::new();
    for entity in &configuration.admins {
        let place = format!("{}:{}", entity.host, entity.port.number());
        for listener in admin::bind(entity).await.with_context(|| format!("open the admin port {place}"))? {
            admin_addresses.push(listener.local_addr()?);
            let mut stopped = stopped.clone();
            let stop = async move {
                // Ends when the sender is dropped.
                let _ = stopped.changed().await;
            };
            tokio::spawn(admin::serve(listener, entity.host.as_str().into(), Arc::clone(&observer), stop));
        }
    }
    let telemetry = match &configuration.otlp {
        Some(otlp) => Some(Telemetry::start(otlp, running.collector_tls(otlp)?, Arc::clone(&observer))?),
        None => None,
    };
    observer.set_stage(Ok(()));
    announce(&start, &running, &admin_addresses, workers.len());
    let interrupted = tokio::select! {
        interrupted = signals.wait() => interrupted,
        () = stdin_ended(start.command) => false,
        never = trim_memory() => match never {},
        never = memory::report(start.command, workers.handles()) => match never {},
        never = network.run(running.inputs()) => match never {},
    };
    observer.set_stage(Err("the router is shutting down".to_owned()));
    drain(&running, workers.handles(), &start, &mut signals).await;
    if let Some(telemetry) = telemetry {
        telemetry.stop().await;
    }
    drop(stop_admin);
    running.stop(workers.handles()).await;
    workers.stop();
    tracing::info!(target: "SERVER", "Shut Down");
    Ok(if interrupted { Ended::Interrupted } else { Ended::Done })
}

/// Waits for the end of the standard input, if the router is to end with it.
async fn stdin_ended(command: StartedAs) {
    if !matches!(command, StartedAs::Run { until_stdin_ends: true, .. }) {
        return std::future::pending().await;
    }
    let (over, ended) = tokio::sync::oneshot::channel();
    // A thread of its own: reading blocks, and goes on when the router ends for another reason.
    let spawned = std::thread::Builder::new().name("stdin".to_owned()).spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = over.send(());
    });
    if spawned.is_err() {
        return std::future::pending().await;
    }
    let _ = ended.await;
}

/// Gives memory back after many connections were closed.
async fn trim_memory() -> std::convert::Infallible {
    let mut trimmer = transport::memory::Trimmer::default();
    let mut interval = tokio::time::interval(TRIM_INTERVAL);
    loop {
        interval.tick().await;
        trimmer.poll();
    }
}

/// One worker per core for `spanway run`; what is configured, or the reference's default, for `skrouterd`.
fn worker_count(configuration: &Configuration, command: StartedAs) -> usize {
    let configured = configuration.worker_threads.map(|n| n as usize);
    let count = configured.unwrap_or_else(|| match command {
        StartedAs::Run { .. } => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        StartedAs::Skrouterd { .. } => std::thread::available_parallelism().map_or(4, |n| n.get().min(4)),
    });
    count.clamp(1, 1024)
}

fn announce(start: &Start, running: &Running, admin: &[std::net::SocketAddr], workers: usize) {
    for (name, addresses) in running.listening() {
        for address in addresses {
            tracing::info!(target: "SERVER", "Listening on {address} ({name})");
        }
    }
    for address in admin {
        tracing::info!(target: "HTTP", "Admin port on http://{address}: /livez, /readyz, /metrics, /topology, and the console");
    }
    tracing::info!(
        target: "SERVER",
        "Operational, {workers} Threads Running (process ID {})",
        std::process::id()
    );
    if let StartedAs::Run { default_configuration: true, until_stdin_ends: false } = start.command {
        eprintln!("{}", hints::text(&start.configuration, running, admin));
    }
    start.ready.announce();
}

/// Refuses new work, and lets what is in flight finish: up to the limit, or a second signal.
async fn drain(running: &Running, workers: &[WorkerHandle], start: &Start, signals: &mut Signals) {
    let limit = Duration::from_secs(u64::from(start.configuration.router.drain_timeout_seconds));
    tracing::info!(target: "SERVER", "Draining: at most {} s for what is in flight", limit.as_secs());
    running.services().end();
    running.stop_accepting(workers).await;
    let begun = Instant::now();
    let drained = async {
        let flows = workers.iter().map(|w| w.call(move || worker::start_drain(limit)));
        for flow in flows {
            let _ = flow.await;
        }
        loop {
            let mut left = 0;
            for handle in workers {
                left += handle.call(worker::in_flight).await.unwrap_or(0);
            }
            if left == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = drained => tracing::info!(target: "SERVER", "Drained in {} ms", begun.elapsed().as_millis()),
        () = tokio::time::sleep(limit) => tracing::warn!(target: "SERVER", "Gave up draining after {} s", limit.as_secs()),
        _ = signals.wait() => tracing::warn!(target: "SERVER", "Signalled again: not waiting for what is in flight"),
    }
    close_connections(workers).await;
}

async fn close_connections(workers: &[WorkerHandle]) {
    for handle in workers {
        let _ = handle.call(worker::close_connections).await;
    }
    let closed = async {
        loop {
            let mut open = 0;
            for handle in workers {
                open += handle.call(worker::open_connections).await.unwrap_or(0);
            }
            if open == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    // Those who do not answer are cut.
    let _ = tokio::time::timeout(CLOSE_LIMIT, closed).await;
}

/// The signals that end the router.
#[derive(Debug)]
struct Signals {
    terminate: Signal,
    quit: Signal,
    hangup: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let of = |kind| signal(kind).context("watch for signals");
        Ok(Self {
            terminate: of(SignalKind::terminate())?,
            quit: of(SignalKind::quit())?,
            hangup: of(SignalKind::hangup())?,
            interrupt: of(SignalKind::interrupt())?,
        })
    }

    /// True if it was SIGINT.
    async fn wait(&mut self) -> bool {
        tokio::select! {
            _ = self.terminate.recv() => false,
            _ = self.quit.recv() => false,
            _ = self.hangup.recv() => false,
            _ = self.interrupt.recv() => true,
        }
    }
}
