//! What operators see: readiness, metrics, and the network as one picture.
//!
//! Nothing of it touches the way of a delivery: workers count in plain integers of their own, and are asked for them in pages
//! ([`sample`]). Requests within a second share one look at the workers and, for `/topology`, one question to the other routers.

mod exchange;
mod metrics;
mod network;
mod rates;
mod ready;
mod report;
mod sample;
mod site;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use amqp_adaptor::Incoming;
use parking_lot::Mutex;
use router_core::Span;
use router_core::config::Configuration;
use router_core::entity::{EntityKind, Mode};
use router_core::routing::RouterInfo;
use transport::{MailReceiver, WorkerHandle};

use crate::admin::AdminSource;
use crate::cli::VERSION;
use crate::router::entities::Running;
use crate::router::{Seen, View};
use exchange::{Exchange, Target};
pub(crate) use metrics::{CONTENT_TYPE, MetricSet};
use metrics::{Facts, Shown};
use network::Topology;
pub(crate) use ready::Check;
use report::{LinkUp, Material, Places};
use sample::{Ledger, Sample, name_of};
use site::{Known, Site};
#[cfg(test)]
pub(crate) use table::FAMILIES;
pub(crate) use table::{Family, Kind};

/// What was looked at is shown for so long.
const FRESH: Duration = Duration::from_millis(900);

/// Other routers may take so long to answer. Those that did not the last time are not waited for.
const ANSWER: Duration = Duration::from_millis(800);

/// Routers that are asked at a time.
const MOST_ASKED: usize = 256;

/// Addresses that only the routing protocol tells of.
const MOST_TOLD: usize = 1000;

/// The router, as operators see it.
#[derive(Debug)]
pub(crate) struct Observer {
    id: String,
    mode: Mode,
    workers: Vec<WorkerHandle>,
    running: Arc<Running>,
    view: View,
    started: Instant,
    /// When it began to count.
    since: SystemTime,
    /// Spans that were taken from the workers, and came to nothing.
    spans_dropped: AtomicU64,
    /// `Err`: it starts or ends.
    stage: Mutex<Result<(), String>>,
    looked: tokio::sync::Mutex<Looked>,
    picture: tokio::sync::Mutex<Picture>,
    exchange: Exchange,
}

/// What was seen of this router.
#[derive(Debug, Default)]
struct Looked {
    ledger: Ledger,
    shown: Shown,
    now: Option<Sample>,
    before: Option<Sample>,
}

/// What was seen of the network.
#[derive(Debug, Default)]
struct Picture {
    at: Option<Instant>,
    text: String,
    /// Edge routers and their interior routers, as of the last time.
    edges: BTreeMap<String, String>,
    /// Routers that did not answer the last time.
    silent: BTreeSet<String>,
}

impl Observer {
    /// Not ready yet.
    ///
    /// # Errors
    /// There is no worker that is set up.
    pub(crate) async fn start(
        configuration: &Configuration,
        running: Arc<Running>,
        workers: &[WorkerHandle],
    ) -> anyhow::Result<(Arc<Self>, MailReceiver<Incoming>)> {
        let (exchange, inbox) = Exchange::start(workers).await?;
        let observer = Self {
            id: configuration.router.id.clone().unwrap_or_default(),
            mode: configuration.router.mode,
            workers: workers.to_vec(),
            view: running.network(),
            running,
            started: Instant::now(),
            since: SystemTime::now(),
            spans_dropped: AtomicU64::new(0),
            stage: Mutex::new(Err("the router is starting".to_owned())),
            looked: tokio::sync::Mutex::default(),
            picture: tokio::sync::Mutex::default(),
            exchange,
        };
        Ok((Arc::new(observer), inbox))
    }

    /// Says whether the router works from now on.
    pub(crate) fn set_stage(&self, stage: Result<(), String>) {
        *self.stage.lock() = stage;
    }

    /// Answers other routers, until this one ends.
    pub(crate) async fn serve(self: Arc<Self>, mut inbox: MailReceiver<Incoming>) {
        let mut mails = Vec::new();
        while inbox.drain(&mut mails).await.is_ok() {
            for incoming in mails.drain(..) {
                let Some(asked) = self.exchange.take(&incoming) else { continue };
                let mut site = self.site().await;
                if asked.network {
                    site.network = self.known(&self.view.get());
                }
                self.exchange.answer(asked, &site);
            }
        }
    }

    /// Looks at the workers, unless somebody did a moment ago.
    async fn look(&self) -> tokio::sync::MutexGuard<'_, Looked> {
        let mut looked = self.looked.lock().await;
        if looked.now.as_ref().is_none_or(|now| now.at.elapsed() > FRESH) {
            let sample = Sample::take(&self.workers, &mut looked.ledger).await;
            looked.before = looked.now.replace(sample);
        }
        looked
    }

    async fn site(&self) -> Site {
        let connectors = self.connectors();
        let places = self.running.with_store(Places::of);
        let looked = self.look().await;
        let Some(now) = &looked.now else { return Site::default() };
        report::site(&Material {
            id: &self.id,
            kind: self.mode.as_str(),
            version: VERSION,
            uptime_seconds: self.started.elapsed().as_secs(),
            now,
            before: looked.before.as_ref(),
            places: &places,
            connectors: &connectors,
        })
    }

    /// Connectors to other routers, by name.
    fn connectors(&self) -> Vec<LinkUp> {
        let states = self.running.connectors();
        let mut found = self.running.with_store(|store| {
            let connectors = store.query(Some(EntityKind::Connector));
            connectors.filter_map(|entity| ready::link(entity, &states)).collect::<Vec<_>>()
        });
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }

    /// What the routing protocol knows.
    fn known(&self, seen: &Seen) -> Vec<Known> {
        let Some(routes) = &seen.routes else { return Vec::new() };
        let graph = routes.graph();
        let known = |router: &RouterInfo| {
            let at = graph.index_of(&router.id);
            let edges = at.map(|at| graph.edges(at)).unwrap_or_default();
            let links = edges.iter().filter_map(|(to, cost)| Some((graph.id(*to)?.to_string(), *cost))).collect();
            let here = *router.id == *self.id;
            let reachable = here || at.is_some_and(|at| routes.route(at).is_some());
            Known { id: router.id.to_string(), links, reachable }
        };
        seen.routers.iter().map(known).collect()
    }

    /// Whether all workers answer.
    pub(crate) async fn works(&self) -> bool {
        crate::router::asking::each(&self.workers, |_| ()).await.len() == self.workers.len()
    }

    /// The router's id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The router's mode.
    pub(crate) const fn mode(&self) -> &'static str {
        self.mode.as_str()
    }

    /// Since when metrics count.
    pub(crate) const fn since(&self) -> SystemTime {
        self.since
    }

    /// Takes the spans that are over, `most` of each worker at most.
    pub(crate) async fn take_spans(&self, most: usize) -> Vec<Span> {
        let taken = crate::router::asking::each(&self.workers, move |worker| {
            worker.amqp.with_core(|core, _| core.take_spans(most))
        });
        taken.await.into_iter().flatten().collect()
    }

    /// So many of them were not wanted by anybody.
    pub(crate) fn drop_spans(&self, count: usize) {
        self.spans_dropped.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Metrics in the format of Prometheus.
    pub(crate) async fn text_of_metrics(&self) -> String {
        self.metric_set().await.map(|set| set.encode()).unwrap_or_default()
    }

    /// Metrics as they are now. `None` when there is nothing to look at.
    pub(crate) async fn metric_set(&self) -> Option<MetricSet> {
        let ready = self.ready().await.iter().all(|check| check.result.is_ok());
        let connectors =
            self.connectors().into_iter().map(|link| (link.name, link.role, link.state.is_ok())).collect::<Vec<_>>();
        let places = self.running.with_store(Places::of);
        let seen = self.view.get();
        let reachable = self.known(&seen).iter().filter(|router| router.reachable).count() as u64;
        let mut looked = self.look().await;
        let Looked { shown, now, .. } = &mut *looked;
        let now = now.as_ref()?;
        let facts = Facts {
            version: VERSION,
            id: &self.id,
            mode: self.mode.as_str(),
            uptime_seconds: self.started.elapsed().as_secs(),
            memory: transport::memory::resident(),
            ready,
            routers: reachable,
            topology_change: seen.changed,
            spans_dropped: self.spans_dropped.load(Ordering::Relaxed),
            connectors,
            places: &places,
            book: &seen.book,
        };
        Some(metrics::metrics(now, &facts, shown))
    }

    /// The whole network as JSON.
    async fn picture(&self) -> String {
        let mut picture = self.picture.lock().await;
        if picture.at.is_none_or(|at| at.elapsed() > FRESH) {
            let topology = self.assemble(&mut picture).await;
            picture.text = serde_json::to_string(&topology).unwrap_or_default();
            picture.at = Some(Instant::now());
        }
        picture.text.clone()
    }

    async fn assemble(&self, picture: &mut Picture) -> Topology {
        let own = self.site().await;
        let seen = self.view.get();
        let mut known = self.known(&seen);
        let mut sites = BTreeMap::new();
        let mut from = format!("_topo/0/{}", self.id);
        if self.mode == Mode::Edge {
            // The interior router knows the rest.
            let uplink = own.links.iter().find(|link| link.role == "edge" && link.outgoing);
            if let Some(uplink) = uplink {
                from = format!("_topo/0/{}/_edge/{}", uplink.peer, self.id);
                let target = Target { id: uplink.peer.clone(), by_way_of: None };
                for mut site in self.exchange.ask(&from, &[target], true, ANSWER).await {
                    known = std::mem::take(&mut site.network);
                    sites.insert(site.id.clone(), site);
                }
            }
        }
        sites.insert(self.id.clone(), own);
        note_edges(&mut picture.edges, &sites, &known);
        let mut asked = BTreeSet::new();
        // Twice when there are edge routers that were not known before.
        for _ in 0..2 {
            let targets = self.targets(picture, &known, &sites, &asked);
            if targets.is_empty() {
                break;
            }
            asked.extend(targets.iter().map(|target| target.id.clone()));
            let (waited, late): (Vec<Target>, Vec<Target>) =
                targets.into_iter().partition(|target| !picture.silent.contains(&target.id));
            let limit = if waited.is_empty() { Duration::from_millis(100) } else { ANSWER };
            let all = [waited.as_slice(), late.as_slice()].concat();
            for site in self.exchange.ask(&from, &all, false, limit).await {
                sites.insert(site.id.clone(), site);
            }
            note_edges(&mut picture.edges, &sites, &known);
        }
        picture.silent = asked.into_iter().filter(|id| !sites.contains_key(id)).collect();
        network::assemble(&self.id, &known, &sites, &told(&seen, &sites))
    }

    /// Who is to be asked, and was not yet.
    fn targets(
        &self,
        picture: &Picture,
        known: &[Known],
        sites: &BTreeMap<String, Site>,
        asked: &BTreeSet<String>,
    ) -> Vec<Target> {
        let interior = known.iter().filter(|router| router.reachable).map(|router| (router.id.as_str(), None));
        let edges = picture.edges.iter().map(|(id, interior)| (id.as_str(), Some(interior.clone())));
        interior
            .chain(edges)
            .filter(|(id, _)| *id != self.id && !sites.contains_key(*id) && !asked.contains(*id))
            .take(MOST_ASKED)
            .map(|(id, by_way_of)| Target { id: id.to_owned(), by_way_of })
            .collect()
    }
}

/// Edge routers are known to those they are linked to. Forgets the ones that nobody knows any more, and those of interior routers that are gone.
fn note_edges(edges: &mut BTreeMap<String, String>, sites: &BTreeMap<String, Site>, known: &[Known]) {
    let is_interior = |id: &str| known.iter().any(|router| router.id == id);
    edges.retain(|_, interior| is_interior(interior) || sites.contains_key(interior));
    for site in sites.values().filter(|site| site.kind != "edge") {
        let linked = |edge: &str| site.links.iter().any(|link| link.role == "edge" && link.peer == edge);
        edges.retain(|edge, interior| *interior != site.id || linked(edge));
        for link in site.links.iter().filter(|link| link.role == "edge" && !is_interior(&link.peer)) {
            edges.insert(link.peer.clone(), site.id.clone());
        }
    }
}

/// Addresses that have consumers at routers that tell nothing of themselves.
fn told(seen: &Seen, sites: &BTreeMap<String, Site>) -> Vec<(String, String)> {
    let all = seen.book.keys().filter_map(|key| Some((name_of(key)?, key)));
    let pairs = all.flat_map(|(name, key)| seen.book.destinations(key).iter().map(move |at| (name, at)));
    let silent = pairs.filter(|(_, at)| !sites.contains_key(&*at.router));
    silent.take(MOST_TOLD).map(|(name, at)| (name.to_owned(), at.router.to_string())).collect()
}

impl AdminSource for Observer {
    async fn ready(&self) -> Vec<Check> {
        let mut checks =
            vec![Check { name: "configured".to_owned(), is_link: false, result: self.stage.lock().clone() }];
        checks.extend(ready::listening(&self.workers).await);
        checks.extend(self.connectors().into_iter().map(ready::linked));
        checks
    }

    async fn metrics(&self) -> String {
        self.text_of_metrics().await
    }

    async fn topology(&self) -> String {
        self.picture().await
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{MetricSet, table};

    /// Two metrics.
    pub(crate) fn small_set() -> MetricSet {
        let mut set = MetricSet::new();
        set.add(&table::LINK_BYTES, &["B", "edge", "in"], 7).add(&table::LINKS, &[], 1);
        set
    }
}
