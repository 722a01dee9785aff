//! Metrics for an OpenTelemetry collector: OTLP over HTTP, from a thread of its own.
//!
//! Nothing waits for the collector: what workers count is looked at as it is for `/metrics`, and a request that fails is made again later
//! with what is counted then.

mod collector;
mod metrics;
mod proto;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use prost::Message as _;
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
            observer,
            pause: Pause::new(),
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
    observer: Arc<Observer>,
    pause: Pause,
}

impl Exporter {
    async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut next = Instant::now();
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(next) => {}
                // Also when nobody can stop it any more.
                _ = &mut stopped => break,
            }
            let work = async {
                let Some(interval) = self.interval else { return LONGEST_PAUSE };
                self.push_metrics().await.map_or(interval, |pause| pause.min(interval))
            };
            tokio::select! {
                after = work => next = Instant::now() + after,
                _ = &mut stopped => break,
            }
        }
        // A collector that does not answer now is not waited for.
        let _ = tokio::time::timeout(LAST_LIMIT, self.last()).await;
    }

    async fn last(&mut self) {
        if self.interval.is_some() {
            let _ = self.push_metrics().await;
        }
    }

    /// Answers how long to wait if it failed.
    async fn push_metrics(&mut self) -> Option<Duration> {
        let set = self.observer.metric_set().await?;
        let (start, now) = (nanos(self.observer.since()), nanos(SystemTime::now()));
        let request = metrics::request(&set, &self.resource, &self.scope, start, now);
        let pushed = self.collector.push("metrics", request.encode_to_vec().into()).await;
        self.pause.told(&self.collector, "metrics", &pushed)
    }
}

/// Nanoseconds since 1970.
fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// How long to wait after failures, and who was told about them.
#[derive(Debug)]
struct Pause {
    failures: u32,
    /// It was said that something is refused.
    refused: bool,
    random: RandomState,
}

impl Pause {
    fn new() -> Self {
        Self { failures: 0, refused: false, random: RandomState::new() }
    }

    /// What became of a request. Said once when it begins to fail, and when it ends to. Answers how long to wait if it failed.
    fn told(
        &mut self,
        collector: &Collector,
        signal: &str,
        pushed: &Result<Option<String>, PushError>,
    ) -> Option<Duration> {
        let url = collector.url(signal);
        let error = match pushed {
            Ok(said) => {
                if std::mem::take(&mut self.failures) > 0 {
                    tracing::info!(target: "HTTP", "Pushes to {url} again");
                }
                if let Some(said) = said
                    && !std::mem::replace(&mut self.refused, true)
                {
                    tracing::warn!(target: "HTTP", "{url} does not take everything: {said}");
                }
                return None;
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
        let pause = FIRST_PAUSE.saturating_mul(1 << (self.failures - 1).min(6)).min(LONGEST_PAUSE);
        Some(error.pause().unwrap_or_default().max(self.varied(pause)))
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
        let mut pause = Pause::new();
        let seconds: Vec<u64> = (0..9)
            .filter_map(|_| pause.told(&collector, "metrics", &Err(PushError::Late)))
            .map(|pause| pause.as_secs_f64().log2().floor() as u64)
            .collect();
        assert_eq!(seconds[..5], [0, 1, 2, 3, 4]);
        assert!(seconds[5..].iter().all(|pause| (5..=6).contains(pause)), "{seconds:?}");
        let busy = PushError::Busy(hyper::StatusCode::TOO_MANY_REQUESTS, Some(Duration::from_secs(200)));
        assert_eq!(pause.told(&collector, "metrics", &Err(busy)), Some(Duration::from_secs(200)));
        assert_eq!(pause.told(&collector, "metrics", &Ok(None)), None);
        assert!(pause.told(&collector, "metrics", &Err(PushError::Late)).expect("a pause") < Duration::from_secs(2));
    }
}
