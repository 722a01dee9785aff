//! Connectors: connections that the router makes, again and again until it has them.
//!
//! A connector of role inter-router makes a connection for control and, when the peer has opened that, several for data. Each has a task of
//! its own on the worker that is to own the connection.

mod backoff;
mod dial;
mod proxy;
mod status;
mod targets;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use amqp_proto::Value;
use tokio::sync::watch;
use transport::WorkerHandle;
use transport::socket::Family;
use transport::tls::TlsClient;

use crate::config::{ClientAnnotations, Cost};
use crate::neighbour::{ConnectionRole, NeighbourInfo};

pub use proxy::{Proxy, ProxyConfig};
pub use status::{ConnectorState, ConnectorStatus};

pub(crate) use backoff::splitmix;
pub(crate) use dial::{Dial, client_sasl};

use status::Status;
use targets::Targets;

/// The most connections for data that one connector makes.
const MAX_DATA: u32 = 64;

/// Workers take turns in owning connections for control.
static NEXT_HOME: AtomicUsize = AtomicUsize::new(0);

/// How many connections for data a connector of role inter-router makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataConnections {
    /// One for each worker toward our own routers, half as many as workers toward others.
    Auto,
    /// This many.
    Exactly(u32),
}

/// An AMQP connector.
#[derive(Clone, Debug)]
pub struct ConnectorConfig {
    /// Its name, for logs.
    pub name: String,
    /// Host to connect to.
    pub host: String,
    /// Port to connect to.
    pub port: u16,
    /// Restricts the addresses used.
    pub family: Family,
    /// What the connection is for.
    pub role: ConnectionRole,
    /// The cost of the link.
    pub cost: Cost,
    /// TLS, if used.
    pub tls: Option<Arc<TlsClient>>,
    /// The ordinal of the TLS profile; with TLS only.
    pub ordinal: Option<u64>,
    /// The HTTP proxy to go through.
    pub proxy: Option<Proxy>,
    /// SASL mechanisms that may be used; empty means every one that makes sense here.
    pub sasl_mechanisms: Vec<String>,
    /// User and password for `PLAIN`, which is only used without TLS if `sasl_mechanisms` names it.
    pub credentials: Option<Credentials>,
    /// Largest frame accepted, in bytes (`maxFrameSize`).
    pub max_frame_size: u32,
    /// Sessions of a connection (`maxSessions`), 1 to 65,536.
    pub max_sessions: u32,
    /// Silence after which a connection is closed (`idleTimeoutSeconds`); none for 0.
    pub idle_timeout: Option<Duration>,
    /// Time for connecting, for TLS, SASL and open, and for the links between routers, each.
    pub handshake_timeout: Option<Duration>,
    /// The `vhost` whose group `$connector` says what the peer may do (`policyVhost`).
    pub policy_vhost: Option<Arc<str>>,
    /// Credit for each sender (`linkCapacity`).
    pub link_capacity: Option<u32>,
    /// What a container has to do with router annotations.
    pub annotations: ClientAnnotations,
    /// Connections for data.
    pub data_connections: DataConnections,
    /// Properties of the user's own for open, where the peer is no router.
    pub open_properties: Vec<(String, Value)>,
}

/// A user's name and password.
#[derive(Clone)]
pub struct Credentials {
    /// The user.
    pub username: String,
    /// The password, in clear.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// A connector at work. Dropping it does not stop it: [`stop`](Self::stop) does. Usable from any thread.
#[derive(Debug)]
pub struct AmqpConnector {
    /// The newest one last: each has credentials that are newer than those before.
    runs: Mutex<Vec<Arc<Run>>>,
    workers: Vec<WorkerHandle>,
}

/// One set of credentials of a connector, and the connections made with it.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) config: ConnectorConfig,
    /// Name of the connector's groups, the same for all of its life.
    pub(crate) correlator: String,
    /// The one before, with older credentials.
    before: Weak<Self>,
    pub(crate) status: Arc<Mutex<Status>>,
    targets: Mutex<Targets>,
    wanted: watch::Sender<Wanted>,
    /// Tasks for data that run.
    running: Mutex<BTreeSet<u32>>,
    workers: Vec<WorkerHandle>,
    home: usize,
    seed: u64,
}

/// What its tasks are to do.
#[derive(Clone, Debug, Default)]
struct Wanted {
    /// No connection, and why.
    stopped: Option<&'static str>,
    /// No other connection than there is.
    retired: bool,
    /// So many for data.
    data: u32,
    /// Where the connection for control leads to.
    container: Option<Arc<str>>,
}

/// Which connection of a connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Control,
    Data(u32),
}

impl AmqpConnector {
    /// Starts to connect. `seed` decides about jitter and names; it should be unpredictable outside of tests.
    #[must_use]
    pub fn start(config: ConnectorConfig, workers: &[WorkerHandle], seed: u64) -> Self {
        let mut state = seed;
        let correlator = crate::neighbour::discriminator(&mut state);
        let run = Run::start(config, workers, splitmix(&mut state), correlator, Arc::default(), Weak::new());
        Self { runs: Mutex::new(vec![run]), workers: workers.to_vec() }
    }

    fn runs(&self) -> MutexGuard<'_, Vec<Arc<Run>>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state of its connection, for people.
    #[must_use]
    pub fn status(&self) -> ConnectorStatus {
        self.runs().last().map(|run| run.status_now()).unwrap_or_default()
    }

    /// The credentials of its TLS profile are newer: makes new connections with them, if it is one to routers, and the ordinal is higher
    /// than before. When they work, they take the place of the old ones, on which streams go on. Those of a lower ordinal than
    /// `oldest` are closed at once.
    pub fn renew(&self, ordinal: u64, oldest: u64) {
        let mut runs = self.runs();
        let Some(last) = runs.last() else { return };
        let Some(before) = last.config.ordinal.filter(|_| last.is_renewable()) else { return };
        if ordinal > before {
            let config = ConnectorConfig { ordinal: Some(ordinal), ..last.config.clone() };
            let (seed, correlator, status) = (last.seed ^ ordinal, last.correlator.clone(), Arc::clone(&last.status));
            let run = Run::start(config, &self.workers, seed, correlator, status, Arc::downgrade(last));
            runs.push(run);
        }
        runs.retain(|run| {
            let valid = run.config.ordinal >= Some(oldest);
            if !valid {
                run.stop("its credentials are not valid any more");
            }
            valid
        });
    }

    /// Closes its connections and makes no others.
    pub fn stop(&self) {
        for run in self.runs().iter() {
            run.stop("the connector was removed");
        }
    }
}

impl Run {
    fn start(
        config: ConnectorConfig,
        workers: &[WorkerHandle],
        seed: u64,
        correlator: String,
        status: Arc<Mutex<Status>>,
        before: Weak<Self>,
    ) -> Arc<Self> {
        let targets = Mutex::new(Targets::new(&config.host, config.port));
        let run = Arc::new(Self {
            config,
            correlator,
            before,
            status,
            targets,
            wanted: watch::Sender::new(Wanted::default()),
            running: Mutex::default(),
            workers: workers.to_vec(),
            home: NEXT_HOME.fetch_add(1, Ordering::Relaxed),
            seed,
        });
        run.spawn(Part::Control);
        run
    }

    fn spawn(self: &Arc<Self>, part: Part) {
        let at = match part {
            Part::Control => self.home,
            Part::Data(n) => self.home.wrapping_add(n as usize),
        };
        let Some(worker) = self.workers.get(at % self.workers.len().max(1)) else { return };
        let run = Arc::clone(self);
        // If that worker is gone the router is ending.
        let _ = worker.run(move || {
            transport::worker::spawn("amqp connector", dial::keep_connected(run, part));
        });
    }

    fn targets(&self) -> MutexGuard<'_, Targets> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status_now(&self) -> ConnectorStatus {
        self.status().shown(self.targets().shown())
    }

    /// The role of a part's connection.
    pub(crate) fn role(&self, part: Part) -> ConnectionRole {
        match part {
            Part::Control => self.config.role,
            Part::Data(_) => ConnectionRole::InterRouterData,
        }
    }

    /// The connection for control leads to a router: now it is known how many there are to be for data, and where to.
    fn control_opened(self: &Arc<Self>, info: &NeighbourInfo, peer_workers: u32) {
        let workers = u32::try_from(self.workers.len()).unwrap_or(u32::MAX);
        let data = match self.config.data_connections {
            DataConnections::Exactly(n) => n,
            DataConnections::Auto if info.ours => workers.max(peer_workers),
            DataConnections::Auto => workers.saturating_add(1) / 2,
        }
        .min(MAX_DATA);
        self.wanted.send_modify(|wanted| {
            wanted.data = data;
            wanted.container = Some(Arc::from(info.container.as_str()));
        });
        for n in 0..data {
            if self.running().insert(n) {
                self.spawn(Part::Data(n));
            }
        }
    }

    fn running(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A task is about to end because its connection is not wanted. False if it is wanted again: nobody else makes it then.
    fn task_ended(&self, part: Part) -> bool {
        let mut running = self.running();
        if dial::is_wanted(&self.wanted.borrow(), part) {
            return false;
        }
        if let Part::Data(n) = part {
            running.remove(&n);
        }
        true
    }

    /// Connectors to clients and containers use new credentials when they connect again.
    const fn is_renewable(&self) -> bool {
        matches!(self.config.role, ConnectionRole::InterRouter | ConnectionRole::Edge)
    }

    /// Its connection for control works: those of older credentials stay as long as they are needed, and are not made again.
    pub(crate) fn take_over(&self) {
        let mut before = self.before.upgrade();
        while let Some(run) = before {
            run.wanted.send_if_modified(|wanted| !std::mem::replace(&mut wanted.retired, true));
            before = run.before.upgrade();
        }
    }

    fn stop(&self, reason: &'static str) {
        self.wanted.send_modify(|wanted| wanted.stopped = Some(reason));
    }
}
