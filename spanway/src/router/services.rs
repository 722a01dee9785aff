//! The service catalogue of this router: what its entities say goes in, messages to and from other routers, and what management shows.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use amqp_adaptor::Incoming;
use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use router_core::catalogue::{ADDRESS, Catalogue, Config, Event, NAME, Offer, Output, Pool, Role, codec};
use router_core::config::Configuration;
use router_core::entity::{AnyEntity, Entity, EntityKind, Map, Mode};
use router_core::{AddressConfig, Presence, Treatment};
use tokio::sync::Notify;
use transport::{MailReceiver, WorkerHandle, mailbox};

use super::convert::Tenant;
use super::worker;

/// For how long other sites keep what they know of this one when they hear nothing of it.
const AGE_LIMIT: Duration = Duration::from_secs(15);

/// What consumers of the two addresses are called: for what is sent to all, and to this router alone.
const ALL: u32 = 0;
const HERE: u32 = 1;

/// The catalogue, shared by those on the control thread who have something to do with it.
#[derive(Clone, Debug)]
pub(crate) struct Services {
    state: Arc<Mutex<State>>,
    /// Something is due earlier than it was.
    changed: Arc<Notify>,
    tenant: Tenant,
    /// There is no network.
    alone: bool,
}

#[derive(Debug)]
struct State {
    catalogue: Catalogue,
    /// Addresses that `address` entities name.
    named: Names,
    /// Lookup keys of addresses with destinations at this router.
    present: BTreeSet<Arc<str>>,
    /// Addresses that have TCP servers here.
    servers: Names,
}

/// Addresses of entities, by the entities' identities.
#[derive(Debug, Default)]
struct Names {
    by_id: BTreeMap<String, String>,
    counts: BTreeMap<String, usize>,
    labels: BTreeMap<String, Vec<(String, String)>>,
}

impl Names {
    fn insert(&mut self, id: &str, address: &str) {
        self.remove(id);
        self.by_id.insert(id.to_owned(), address.to_owned());
        *self.counts.entry(address.to_owned()).or_default() += 1;
    }

    fn remove(&mut self, id: &str) -> Option<String> {
        let address = self.by_id.remove(id)?;
        if let Some(count) = self.counts.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&address);
                self.labels.remove(&address);
            }
        }
        Some(address)
    }

    fn has(&self, address: &str) -> bool {
        self.counts.contains_key(address)
    }
}

impl Services {
    pub(crate) fn new(configuration: &Configuration) -> Self {
        let router = &configuration.router;
        let id: Arc<str> = router.id.clone().unwrap_or_default().into();
        let site = configuration.entities.iter().find(|entity| entity.kind() == EntityKind::Site);
        // One that has no name is called after its type and number.
        let name = site.map(Entity::name).filter(|name| !name.is_empty() && !name.starts_with("site/"));
        let name = name.map_or_else(|| Arc::clone(&id), Arc::from);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let config = Config {
            site: id,
            name,
            edge: router.mode == Mode::Edge,
            instance: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            age_limit: AGE_LIMIT,
            // New states are seeded by the system, and an empty hash of one is a random number.
            seed: std::collections::hash_map::RandomState::new().build_hasher().finish(),
        };
        Self {
            state: Arc::new(Mutex::new(State {
                catalogue: Catalogue::new(config, Instant::now()),
                named: Names::default(),
                present: BTreeSet::new(),
                servers: Names::default(),
            })),
            changed: Arc::default(),
            tenant: Tenant::of(configuration),
            alone: router.mode == Mode::Standalone,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at what is known.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&Catalogue) -> R) -> R {
        look(&self.lock().catalogue)
    }

    /// An entity was put to work.
    pub(super) fn created(&self, entity: &Entity) {
        let key = entity.identity();
        let mut state = self.lock();
        match AnyEntity::from(entity) {
            AnyEntity::TcpConnector(connector) => {
                let address = self.tenant.address(connector.address.as_deref().unwrap_or_default());
                state.servers.insert(key, &address);
                let labels = labels(connector.labels.as_ref());
                state.put(key, tcp(Role::Exposes, address.clone(), Some(connector.port.number()), labels));
                state.consider(&address);
            }
            AnyEntity::TcpListener(listener) => {
                let Some(address) = listener.address.as_deref().filter(|address| !address.is_empty()) else { return };
                let labels = labels(listener.labels.as_ref());
                state.put(key, tcp(Role::Wants, self.tenant.address(address), Some(listener.port.number()), labels));
            }
            AnyEntity::ListenerAddress(address) => {
                state.put(key, tcp(Role::Wants, self.tenant.address(&address.address), None, Vec::new()));
            }
            AnyEntity::Address(address) => {
                let name = address.prefix.or(address.pattern).unwrap_or_default();
                let name = name.trim_matches(['/', '.']).to_owned();
                if name.is_empty() || name.split(['/', '.']).any(|token| token == "*" || token == "#") {
                    return;
                }
                state.named.insert(key, &name);
                state.named.labels.insert(name.clone(), labels(address.labels.as_ref()));
                state.consider(&name);
            }
            _ => return,
        }
        drop(state);
        self.changed.notify_one();
    }

    /// An entity was taken out of work.
    pub(super) fn deleted(&self, entity: &Entity) {
        let key = entity.identity();
        let mut state = self.lock();
        match entity.kind() {
            EntityKind::TcpListener | EntityKind::ListenerAddress => state.catalogue.take(key, Instant::now()),
            EntityKind::TcpConnector => {
                state.catalogue.take(key, Instant::now());
                if let Some(address) = state.servers.remove(key) {
                    state.consider(&address);
                }
            }
            EntityKind::Address => {
                if let Some(name) = state.named.remove(key) {
                    state.consider(&name);
                }
            }
            _ => return,
        }
        drop(state);
        self.changed.notify_one();
    }

    /// An address got its first destination at this router, or lost its last.
    pub(super) fn presence(&self, presence: &Presence) {
        let Some(address) = presence.key.strip_prefix('M') else { return };
        let mut state = self.lock();
        if presence.here {
            state.present.insert(Arc::clone(&presence.key));
        } else {
            state.present.remove(&presence.key);
        }
        if state.named.has(address) {
            state.consider(address);
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Other routers may have become reachable.
    pub(super) fn network_changed(&self) {
        self.lock().catalogue.network_changed(Instant::now());
        self.changed.notify_one();
    }

    /// The router ends.
    pub(super) fn end(&self) {
        self.lock().catalogue.end();
        self.changed.notify_one();
    }

    /// Begins to take part in the network, and to do what is due.
    ///
    /// # Errors
    /// There is no worker that is set up.
    pub(super) async fn start(&self, workers: &[WorkerHandle]) -> anyhow::Result<()> {
        let (sender, inbox) = mailbox();
        let first = workers.first().context("there are no workers")?.clone();
        if !self.alone {
            for handle in workers {
                let treatment = AddressConfig::pattern(ADDRESS, Treatment::Multicast);
                let add = move || {
                    let worker = worker::current().context("the worker is not set up")?;
                    worker.amqp.with_core(|core, eg| core.add_address(&treatment, eg))?;
                    anyhow::Ok(())
                };
                handle.call(add).await??;
            }
            let consume = move || {
                let worker = worker::current().context("the worker is not set up")?;
                for (address, name) in [(ADDRESS.to_owned(), ALL), (format!("_local/{NAME}"), HERE)] {
                    let consumer = worker.amqp.consume(&address, name, sender.clone());
                    consumer.map_err(|refusal| anyhow!("the service catalogue cannot use {address}: {refusal}"))?;
                }
                anyhow::Ok(())
            };
            first.call(consume).await??;
        }
        tokio::spawn(self.clone().run(first, inbox));
        Ok(())
    }

    async fn run(self, first: WorkerHandle, mut inbox: MailReceiver<Incoming>) {
        let mut pool = Pool::new();
        let mut mails = Vec::new();
        let mut open = !self.alone;
        loop {
            let due = self.work(&first);
            let sleep = async {
                match due {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = sleep => {}
                read = inbox.drain(&mut mails), if open => open = read.is_ok(),
            }
            for mail in mails.drain(..) {
                self.read(&mail, &mut pool);
            }
        }
    }

    /// Does what is due. Answers when something is again.
    fn work(&self, first: &WorkerHandle) -> Option<Instant> {
        let now = Instant::now();
        let mut state = self.lock();
        let mut messages: Vec<Bytes> = Vec::new();
        loop {
            while let Some(output) = state.catalogue.poll_output() {
                match output {
                    Output::Send { to, message } => {
                        if !self.alone {
                            messages.push(codec::encode(&message, &to.address()).into());
                        }
                    }
                    Output::Event(event) => log(&event),
                }
            }
            if state.catalogue.poll_timeout().is_none_or(|at| at > now) {
                break;
            }
            state.catalogue.handle_timeout(now);
        }
        if !messages.is_empty() {
            // Fails only while the router ends.
            let _ = first.run(move || {
                if let Some(worker) = worker::current() {
                    messages.iter().for_each(|message| worker.amqp.inject(message, None));
                }
            });
        }
        state.catalogue.poll_timeout()
    }

    fn read(&self, mail: &Incoming, pool: &mut Pool) {
        match codec::decode(&mail.message, pool) {
            Ok(message) => self.lock().catalogue.handle_message(&message, mail.consumer == ALL, Instant::now()),
            Err(error) => tracing::debug!(target: "ROUTER", "A message of the service catalogue is ignored: {error}"),
        }
    }
}

impl State {
    fn put(&mut self, name: &str, offer: Offer) {
        let address = offer.address.clone();
        if let Err(error) = self.catalogue.put(name, offer, Instant::now()) {
            tracing::warn!(target: "ROUTER", "{name} ({address}) is not published in the service catalogue: {error}");
        }
    }

    /// Whether an address is exposed as one of AMQP: it is named, has consumers here, and these are no TCP servers.
    fn consider(&mut self, address: &str) {
        let name = format!("amqp/{address}");
        let meant = self.named.has(address) && !self.servers.has(address);
        if meant && self.present.contains(format!("M{address}").as_str()) {
            let address = address.to_owned();
            let labels = self.named.labels.get(&address).cloned().unwrap_or_default();
            let offer = Offer { role: Role::Exposes, address, protocol: "amqp", port: None, labels };
            self.put(&name, offer);
        } else {
            self.catalogue.take(&name, Instant::now());
        }
    }
}

fn tcp(role: Role, address: String, port: Option<u16>, labels: Vec<(String, String)>) -> Offer {
    Offer { role, address, protocol: "tcp", port, labels }
}

fn labels(map: Option<&Map>) -> Vec<(String, String)> {
    map.into_iter().flat_map(|map| &map.0).map(|(key, value)| (key.clone(), value.to_string())).collect()
}

fn log(event: &Event) {
    match event {
        Event::Found { site } => tracing::info!(target: "ROUTER", "Site {site} takes part in the service catalogue"),
        Event::Ended { site } => tracing::info!(target: "ROUTER", "Site {site} ends: its services are gone"),
        Event::Silent { site } => {
            tracing::warn!(target: "ROUTER", "Nothing was heard of site {site} for too long: its services are gone");
        }
        Event::Incomplete { site } => {
            tracing::warn!(target: "ROUTER", "Site {site} has services that the catalogue has no room for, or cannot read");
        }
    }
}
