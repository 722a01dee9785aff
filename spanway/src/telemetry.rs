//! Metrics and spans for an OpenTelemetry collector: OTLP over HTTP, from a thread of its own.
//!
//! Nothing waits for the collector: what workers count is looked at as it is for `/metrics`, and a request that fails is made again later
//! with what is counted then. Spans are taken from the workers once a second; so many are kept, and others dropped and counted.

mod collector;
mod metrics;
mod proto;
mod spans;

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use prost::Message as _;
use router_core::Span;
use router_core::entity::{OtlpEndpoint, OtlpEntity, otlp_pairs};
use tokio::sync::oneshot;
use tokio::time::Instant;
use transport::tls::TlsClient;

use crate::cli::VERSION;
use crate::observe::Observer;
use collector::{Collector, PushError};
use proto::{KeyValue, Resource, Scope};

/// The first pause after a request that failed. Each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often spans are taken from the workers.
const SPANS_INTERVAL: Duration = Duration::from_secs(1);
/// Spans that are taken from a worker at a time, and that wait for the collector: some MiB.
const MOST_SPANS: usize = 16_384;
/// Spans of a request: the default of OpenTelemetry.
const BATCH: usize = 512;
/// How long the last requests may take when the router ends.
const LAST_LIMIT: Duration = Duration::from_secs(2);

/// The thread that pushes.
#[derive(Debug)]
pub(crate) struct Telemetry {
    stop: oneshot::Sender<()>,
    ended: oneshot::Receiver<()>,
    thread: JoinHandle<()>,
}

impl Telemetry {
    /// Begins to push. `tls`: for an endpoint with `https`.
    ///
    /// # Errors
    /// There can be no other thread.
    pub(crate) fn start(entity: &OtlpEntity, tls: Option<Arc<TlsClient>>, observer: Arc<Observer>) -> Result<Self> {
        let endpoint = OtlpEndpoint::parse(&entity.endpoint).context("otlp: endpoint")?;
        let headers = entity.headers.as_ref().and_then(|headers| otlp_pairs(headers.expose())).unwrap_or_default();
        let exporter = Exporter {
            collector: Collector::new(endpoint, tls, &headers),
            resource: resource(entity, &observer),
            scope: Scope { name: "spanway".to_owned(), version: VERSION.to_owned() },
            interval: entity.metrics.then(|| Duration::from_secs(entity.metrics_interval_seconds.into())),
            wants_spans: entity.spans,
            waiting: VecDeque::new(),
            observer,
            metrics: Signal::new("metrics"),
            spans: Signal::new("traces"),
        };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("otlp: its runtime")?;
        let (stop, stopped) = oneshot::channel();
        let (over, ended) = oneshot::channel();
        let thread = std::thread::Builder::new().name("otlp".to_owned()).spawn(move || {
            runtime.block_on(exporter.run(stopped));
            // Whoever waits for it may have given up.
            let _ = over.send(());
        });
        Ok(Self { stop, ended, thread: thread.context("otlp: its thread")? })
    }

    /// Pushes once more, and ends. Takes not much longer than two seconds.
    pub(crate) async fn stop(self) {
        let _ = self.stop.send(());
        if tokio::time::timeout(LAST_LIMIT * 2, self.ended).await.is_ok() {
            let _ = self.thread.join();
        }
    }
}

/// What every push says of this router, in the names of OpenTelemetry's semantic conventions.
fn resource(entity: &OtlpEntity, observer: &Observer) -> Resource {
    let own = [
        ("service.name", entity.service_name.as_str()),
        ("service.instance.id", observer.id()),
        ("service.version", VERSION),
        ("spanway.router.id", observer.id()),
        ("spanway.router.mode", observer.mode()),
    ];
    let others = entity.resource_attributes.as_deref().and_then(otlp_pairs).unwrap_or_default();
    let is_own = |name: &str| own.iter().any(|(own, _)| *own == name);
    let others = others.into_iter().filter(|(name, _)| !is_own(name)).map(|(name, value)| KeyValue::text(&name, value));
    Resource { attributes: own.into_iter().map(|(name, value)| KeyValue::text(name, value)).chain(others).collect() }
}

/// What pushes, on its thread.
struct Exporter {
    collector: Collector,
    resource: Resource,
    scope: Scope,
    /// Between pushes of metrics, if they are pushed.
    interval: Option<Duration>,
    /// Spans are pushed.
    wants_spans: bool,
    /// Spans that are to be pushed, oldest first.
    waiting: VecDeque<Span>,
    observer: Arc<Observer>,
    metrics: Signal,
    spans: Signal,
}

impl Exporter {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        // When metrics are due.
        let mut due = self.interval.map(|_| Instant::now());
        loop {
            let spans = self.wants_spans.then(|| Instant::now() + SPANS_INTERVAL);
            let next = due.into_iter().map(|due| due.max(self.metrics.free)).chain(spans).min();
            tokio::select! {
                () = sleep_until(next) => {}
                // Also when nobody can stop it any more.
                _ = &mut stopped => break,
            }
            let work = async {
                if self.wants_spans {
                    self.take_spans().await;
                    if self.spans.free <= Instant::now() {
                        self.push_spans().await;
                    }
                }
                if let Some(interval) = self.interval
                    && due.is_some_and(|due| due.max(self.metrics.free) <= Instant::now())
                    && self.push_metrics().await
                {
                    due = Some(Instant::now() + interval);
                }
            };
            tokio::select! {
                () = work => {}
                _ = &mut stopped => break,
            }
        }
        // A collector that does not answer now is not waited for.
        let _ = tokio::time::timeout(LAST_LIMIT, self.last()).await;
    }

    async fn last(&mut self) {
        if self.wants_spans {
            self.take_spans().await;
            self.push_spans().await;
        }
        if self.interval.is_some() {
            self.push_metrics().await;
        }
    }

    /// Takes from the workers what is over. What is too much is dropped, newest first.
    async fn take_spans(&mut self) {
        let mut taken = self.observer.take_spans(MOST_SPANS).await;
        let room = MOST_SPANS.saturating_sub(self.waiting.len());
        self.observer.drop_spans(taken.len().saturating_sub(room));
        taken.truncate(room);
        self.waiting.extend(taken);
    }

    /// Pushes what waits, until something fails. What the collector refuses is dropped.
    async fn push_spans(&mut self) {
        while !self.waiting.is_empty() {
            let batch = self.waiting.len().min(BATCH);
            let request = spans::request(self.waiting.iter().take(batch), &self.resource, &self.scope);
            let pushed = self.collector.push(self.spans.name, request.encode_to_vec().into()).await;
            let refused = pushed.as_ref().is_err_and(|error| !error.is_passing());
            if refused {
                self.observer.drop_spans(batch);
            }
            if refused || pushed.is_ok() {
                self.waiting.drain(..batch);
            }
            if !self.spans.told(&self.collector, &pushed, LONGEST_PAUSE) {
                return;
            }
        }
    }

    /// Whether the collector took them.
    async fn push_metrics(&mut self) -> bool {
        let Some(set) = self.observer.metric_set().await else { return true };
        let (start, now) = (nanos(self.observer.since()), nanos(SystemTime::now()));
        let request = metrics::request(&set, &self.resource, &self.scope, start, now);
        let pushed = self.collector.push(self.metrics.name, request.encode_to_vec().into()).await;
        let longest = self.interval.unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE);
        self.metrics.told(&self.collector, &pushed, longest)
    }
}

/// Never, if there is nothing to wait for.
async fn sleep_until(next: Option<Instant>) {
    match next {
        Some(next) => tokio::time::sleep_until(next).await,
        None => std::future::pending().await,
    }
}

/// Nanoseconds since 1970.
fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// What became of the pushes of a signal. A collector may take one and not the other.
#[derive(Debug)]
struct Signal {
    /// As in URLs.
    name: &'static str,
    /// Not to be tried before.
    free: Instant,
    /// How many failed, one after the other.
    failures: u32,
    /// It was said that the collector does not take everything.
    partial: bool,
    random: RandomState,
}

impl Signal {
    fn new(name: &'static str) -> Self {
        Self { name, free: Instant::now(), failures: 0, partial: false, random: RandomState::new() }
    }

    /// A request was made; whether it went well. Said once when it begins to fail, and when it ends to. Then the pauses between requests grow, up to
    /// `longest`.
    fn told(&mut self, collector: &Collector, pushed: &Result<Option<String>, PushError>, longest: Duration) -> bool {
        let url = collector.url(self.name);
        let error = match pushed {
            Ok(said) => {
                if std::mem::take(&mut self.failures) > 0 {
                    tracing::info!(target: "HTTP", "Pushes to {url} again");
                }
                if let Some(said) = said
                    && !std::mem::replace(&mut self.partial, true)
                {
                    tracing::warn!(target: "HTTP", "{url} does not take everything: {said}");
                }
                return true;
            }
            Err(error) => error,
        };
        self.failures = self.failures.saturating_add(1);
        if self.failures == 1 {
            let then = if error.is_passing() { "trying again" } else { "dropped" };
            tracing::warn!(target: "HTTP", "Cannot push to {url}: {error}; {then}");
        } else {
            tracing::debug!(target: "HTTP", "Cannot push to {url}: {error}");
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << (self.failures - 1).min(6)).min(longest);
        self.free = Instant::now() + error.pause().unwrap_or_default().max(self.varied(pause));
        false
    }

    /// Up to a quarter more, so that routers which lost the same collector do not come back to it together.
    fn varied(&self, pause: Duration) -> Duration {
        let random = self.random.hash_one(self.failures);
        pause + pause.mul_f64((random % 1000) as f64 / 4000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let endpoint = OtlpEndpoint::parse("http://127.0.0.1:1/x").expect("a URL");
        let collector = Collector::new(endpoint, None, &[]);
        assert_eq!(collector.url("metrics"), "http://127.0.0.1:1/x/v1/metrics");
        let mut signal = Signal::new("metrics");
        let mut pause = |pushed| {
            let before = Instant::now();
            assert_eq!(signal.told(&collector, &pushed, LONGEST_PAUSE), pushed.is_ok());
            signal.free.saturating_duration_since(before)
        };
        // With a random part, and the time that passes.
        let within = |pause: Duration, least: u64| {
            let (pause, least) = (pause.as_secs_f64(), least as f64);
            assert!((least..least * 1.25 + 0.5).contains(&pause), "{pause} instead of {least}");
        };
        for least in [1, 2, 4, 8, 16, 32, 60, 60] {
            within(pause(Err(PushError::Late)), least);
        }
        let asked = Duration::from_secs(200);
        within(pause(Err(PushError::Busy(hyper::StatusCode::TOO_MANY_REQUESTS, Some(asked)))), 200);
        pause(Ok(None));
        within(pause(Err(PushError::Late)), 1);
    }
}
