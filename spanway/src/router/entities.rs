//! Entities at work: each is put to work, and taken out again, by one function of its kind.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use amqp_adaptor::{AmqpConnector, Cost, DataConnections, Neighbours, Placement, Proxy, RouterIdentity};
use anyhow::{Context as _, anyhow};
use router_core::config::Configuration;
use router_core::entity::{
    AnyEntity, Change, Entity, EntityKind, EntityStore, Mode, NetworkEntity, OtlpEntity, SslProfileEntity, StoreError,
    TcpListenerEntity, Value, VhostEntity, ineffective,
};
use router_core::policy::Vhost;
use router_core::{CoreConfig, Policy};
use tcp_adaptor::{CommandError, Group, TcpAdaptor};
use transport::tls::TlsClient;
use transport::{WorkerHandle, mailbox};

use crate::cli::VERSION;
use crate::http::{Answerer, Answers};
use crate::observe::Observer;
use crate::router::convert::{self, Profiles, Proxies, Tenant};
use crate::router::network::{Inputs, View};
use crate::router::services::Services;
use crate::router::users::Users;
use crate::router::vanflow;
use crate::router::worker::{self, Parts, Worker};

/// How long a sender may stall in the middle of a delivery.
const STALL_LIMIT: Duration = Duration::from_secs(60);

/// The entities of a running router and what they became.
#[derive(Debug)]
pub(crate) struct Running {
    state: Mutex<State>,
    drop_tcp_connections: bool,
    data_connections: DataConnections,
    tenant: Tenant,
    neighbours: Neighbours,
    group: Group,
    network: View,
    policy: Arc<Policy>,
    services: Services,
    inputs: Mutex<Option<Inputs>>,
    answers: Answers,
    users: Users,
    /// The source of this router's flow records.
    source: String,
}

/// Why an entity cannot be added or taken away at run time.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    /// The request is wrong.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// This version has nothing that such an entity could do.
    #[error("{0}")]
    Inactive(String),
    /// It could not be put to work, or taken out of it.
    #[error("{0:#}")]
    Work(anyhow::Error),
}

#[derive(Debug, Default)]
struct State {
    store: EntityStore,
    profiles: Profiles,
    proxies: Proxies,
    connectors: HashMap<String, AmqpConnector>,
    /// What links of listeners and connectors cost, by identity.
    costs: HashMap<String, Cost>,
    /// AMQP listeners in the order in which they were opened.
    listening: Vec<(String, Vec<SocketAddr>)>,
}

impl State {
    /// Reads a TLS profile again. Connectors to other routers connect anew if its credentials are newer, and close what is not valid any
    /// more.
    fn renew(&mut self, entity: &SslProfileEntity) -> anyhow::Result<()> {
        let name = &entity.name;
        let profile = self.profiles.get_mut(name).with_context(|| format!("there is no sslProfile named {name}"))?;
        let ordinal = profile.reload(entity)?;
        let oldest = u64::from(entity.oldest_valid_ordinal.unwrap_or(0));
        tracing::info!(
            target: "CONN_MGR",
            "sslProfile {name}: read again, ordinal {ordinal}, oldest valid ordinal {oldest}"
        );
        for connector in self.store.query(Some(EntityKind::Connector)) {
            if connector.text("sslProfile") == Some(name)
                && let Some(connector) = self.connectors.get(connector.name())
            {
                connector.renew(ordinal, oldest);
            }
        }
        Ok(())
    }
}

impl Running {
    /// Sets up the workers and puts a configuration to work.
    ///
    /// # Errors
    /// The first entity that cannot be put to work, and why.
    pub(crate) async fn start(configuration: &Configuration, workers: &[WorkerHandle]) -> anyhow::Result<Self> {
        let policy = Arc::new(Policy::new(&configuration.policy));
        let (neighbours, group, inputs) = install_workers(configuration, &policy, workers).await?;
        let running = Self {
            state: Mutex::default(),
            drop_tcp_connections: configuration.router.drop_tcp_connections,
            data_connections: convert::data_connections(&configuration.router.data_connection_count)?,
            tenant: Tenant::of(configuration),
            neighbours,
            group,
            network: View::default(),
            policy,
            services: Services::new(configuration),
            inputs: Mutex::new(Some(inputs)),
            answers: Answers::default(),
            users: Users::of(&configuration.router),
            source: vanflow::source(),
        };
        for entity in &configuration.entities {
            running.create(&convert::without_lost_password(entity), workers).await?;
        }
        Ok(running)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The source of this router's flow records, which no other router has.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Where AMQP listeners listen, by name.
    pub(crate) fn listening(&self) -> impl Iterator<Item = (String, Vec<SocketAddr>)> + use<> {
        self.lock().listening.clone().into_iter()
    }

    /// Where control learns about the network. Answers once.
    pub(crate) fn inputs(&self) -> Option<Inputs> {
        self.inputs.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Says who answers for HTTP listeners. Once.
    pub(crate) fn answered_by(&self, observer: &Arc<Observer>) {
        // Nobody calls this twice.
        let _ = self.answers.set(Answerer::here(observer));
    }

    /// Who may do what.
    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What is known of the network.
    pub(crate) fn network(&self) -> View {
        self.network.clone()
    }

    /// The services of the network.
    pub(crate) fn services(&self) -> &Services {
        &self.services
    }

    /// The TCP adaptors of the workers.
    pub(crate) fn tcp_group(&self) -> Group {
        self.group.clone()
    }

    /// The connections to other routers.
    pub(crate) fn neighbours(&self) -> Neighbours {
        self.neighbours.clone()
    }

    /// How connectors are doing, by name.
    pub(crate) fn connectors(&self) -> Vec<(String, amqp_adaptor::ConnectorStatus)> {
        self.lock().connectors.iter().map(|(name, connector)| (name.clone(), connector.status())).collect()
    }

    /// Adds an entity and puts it to work.
    ///
    /// # Errors
    /// It clashes with another, or cannot be put to work; it is not there then.
    pub(crate) async fn create(&self, entity: &Entity, workers: &[WorkerHandle]) -> anyhow::Result<()> {
        let entity = self.lock().store.insert(entity.clone()).map_err(|e| anyhow!("{e}"))?.clone();
        let outcome = self.put_to_work(&entity, workers).await;
        if outcome.is_err() {
            // It was inserted above, so it is there.
            let _ = self.lock().store.delete(Some(entity.kind()), None, Some(entity.identity()));
        }
        while self.lock().store.poll_change().is_some() {}
        outcome
    }

    /// The TLS of a collector, if its endpoint wants any.
    ///
    /// # Errors
    /// Files that it needs cannot be used.
    pub(crate) fn collector_tls(&self, otlp: &OtlpEntity) -> anyhow::Result<Option<Arc<TlsClient>>> {
        convert::collector_tls(otlp, &self.lock().profiles)
    }

    /// Looks at the entities.
    pub(crate) fn with_store<R>(&self, look: impl FnOnce(&EntityStore) -> R) -> R {
        look(&self.lock().store)
    }

    /// Makes an entity from the attributes of a request and puts it to work.
    ///
    /// # Errors
    /// Why it cannot be; it is not there then.
    pub(crate) async fn create_from(
        &self,
        kind: EntityKind,
        attributes: Vec<(String, Value)>,
        workers: &[WorkerHandle],
    ) -> Result<Entity, ChangeError> {
        let names: Vec<String> = attributes.iter().map(|(name, _)| name.clone()).collect();
        let entity = self.lock().store.create(kind, attributes)?.clone();
        let idle = ineffective(&entity, |name| names.iter().any(|other| other == name));
        let reason = idle.first().map(ToString::to_string);
        let outcome = match reason {
            Some(reason) => Err(ChangeError::Inactive(reason)),
            None => self.put_to_work(&entity, workers).await.map_err(ChangeError::Work),
        };
        if outcome.is_err() {
            // It was inserted above, so it is there.
            let _ = self.lock().store.delete(Some(kind), None, Some(entity.identity()));
        }
        while self.lock().store.poll_change().is_some() {}
        outcome.map(|()| entity)
    }

    /// Changes attributes of an entity with `apply`, which is told what all entities are afterwards.
    ///
    /// # Errors
    /// The change is not allowed, or `apply` failed; then everything is as it was.
    pub(crate) fn update(
        &self,
        kind: EntityKind,
        identity: &str,
        attributes: Vec<(String, Value)>,
        apply: impl FnOnce(&EntityStore) -> anyhow::Result<()>,
    ) -> Result<Entity, ChangeError> {
        let mut state = self.lock();
        let entity = state.store.update(Some(kind), None, Some(identity), attributes)?.clone();
        let before = match state.store.poll_change() {
            Some(Change::Updated { before, .. }) => Some(before),
            // The files may say something else though their names are the same.
            _ if kind == EntityKind::SslProfile => None,
            _ => return Ok(entity),
        };
        let applied = apply(&state.store).and_then(|()| match AnyEntity::from(&entity) {
            AnyEntity::SslProfile(profile) => state.renew(&profile),
            AnyEntity::Vhost(vhost) => rules(&vhost).map(|vhost| self.policy.set_vhost(vhost)),
            AnyEntity::ProxyProfile(profile) => convert::proxy(&profile).map(|config| {
                if let Some(proxy) = state.proxies.get(&profile.name) {
                    proxy.set(config);
                }
            }),
            _ => Ok(()),
        });
        if let Err(error) = applied {
            before.into_iter().for_each(|before| state.store.revert(before));
            return Err(ChangeError::Work(error));
        }
        let (outgoing, value) = match AnyEntity::from(&entity) {
            AnyEntity::Connector(connector) => (true, connector.cost),
            AnyEntity::Listener(listener) => (false, listener.cost),
            _ => return Ok(entity),
        };
        if let Some(cost) = state.costs.get(entity.identity()).filter(|cost| cost.get() != convert::cost(value)) {
            cost.set(convert::cost(value));
            self.neighbours.cost_changed(outgoing, entity.name(), cost.get());
        }
        Ok(entity)
    }

    /// What is looked for in new connections of a TCP listener has changed.
    ///
    /// # Errors
    /// The listener is gone meanwhile.
    pub(crate) async fn set_observer(&self, entity: &Entity, workers: &[WorkerHandle]) -> Result<(), ChangeError> {
        let listener = TcpListenerEntity::from(entity);
        let observer = convert::observer(listener.observer);
        let set = on_tcp(workers, move |tcp| tcp.set_observer(&listener.name, observer)).await;
        set.map_err(ChangeError::Work)
    }

    /// Takes an entity out of work and forgets it.
    ///
    /// # Errors
    /// There is no such entity, it is of a kind that cannot be deleted, or others need it.
    pub(crate) async fn delete(
        &self,
        kind: EntityKind,
        name: &str,
        workers: &[WorkerHandle],
    ) -> Result<(), ChangeError> {
        self.lock().store.delete(Some(kind), Some(name), None)?;
        let mut changes = Vec::new();
        while let Some(change) = self.lock().store.poll_change() {
            changes.push(change);
        }
        for change in changes {
            let Change::Deleted(entity) = change else { continue };
            if let Err(error) = self.take_out(&entity, workers).await {
                self.lock().store.insert(entity)?;
                while self.lock().store.poll_change().is_some() {}
                return Err(ChangeError::Work(error));
            }
        }
        Ok(())
    }

    async fn put_to_work(&self, entity: &Entity, workers: &[WorkerHandle]) -> anyhow::Result<()> {
        match AnyEntity::from(entity) {
            AnyEntity::SslProfile(profile) => {
                let loaded = convert::profile(&profile)?;
                self.lock().profiles.insert(profile.name.clone(), loaded);
            }
            AnyEntity::Address(address) => {
                let config = convert::address(&address)?;
                on_all(workers, move |worker| {
                    let added = worker.amqp.with_core(|core, eg| core.add_address(&config, eg));
                    worker.amqp.flush();
                    added.map_err(|e| anyhow!("address {}: {e}", config.pattern))
                })
                .await?;
            }
            AnyEntity::Listener(listener) => {
                let mut config = convert::listener(&listener, &self.lock().profiles, &self.answers)?;
                config.sasl = self.users.of_listener(&config)?;
                if config.role.is_router() {
                    let record = vanflow::access_record(entity.name());
                    config.access_id = Some(format!("{}:{record}", self.source));
                }
                let cost = config.cost.clone();
                self.open_listener(config, workers).await?;
                self.lock().costs.insert(entity.identity().to_owned(), cost);
            }
            AnyEntity::Vhost(vhost) => {
                let vhost = tokio::task::spawn_blocking(move || rules(&vhost)).await??;
                self.policy.set_vhost(vhost);
            }
            AnyEntity::ProxyProfile(profile) => {
                let proxy = Proxy::new(convert::proxy(&profile)?);
                self.lock().proxies.insert(profile.name, proxy);
            }
            AnyEntity::Connector(connector) => {
                let mut state = self.lock();
                let config = convert::connector(&connector, &state.profiles, &state.proxies, self.data_connections)?;
                let [a, b, c, d, e, f, g, h, ..] = random_seed();
                let seed = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
                state.costs.insert(entity.identity().to_owned(), config.cost.clone());
                state.connectors.insert(connector.name.clone(), AmqpConnector::start(config, workers, seed));
            }
            AnyEntity::AutoLink(link) => {
                let config = Arc::new(convert::auto_link(&link));
                on_all(workers, move |worker| {
                    worker.amqp.add_auto_link(&config);
                    Ok(())
                })
                .await?;
            }
            AnyEntity::TcpListener(listener) => {
                let config = convert::tcp_listener(&listener, &self.lock().profiles, &self.tenant)?;
                on_tcp(workers, move |tcp| tcp.add_listener(config.clone())).await?;
            }
            AnyEntity::TcpConnector(connector) => {
                let config = convert::tcp_connector(&connector, &self.lock().profiles, &self.tenant)?;
                on_tcp(workers, move |tcp| tcp.add_connector(config.clone())).await?;
            }
            AnyEntity::ListenerAddress(address) => {
                let config = convert::listener_address(&address, &self.tenant)?;
                on_tcp(workers, move |tcp| tcp.add_listener_address(&config)).await?;
            }
            // These are looked at by whoever needs them, or only shown.
            _ => {}
        }
        self.services.created(entity);
        Ok(())
    }

    async fn take_out(&self, entity: &Entity, workers: &[WorkerHandle]) -> anyhow::Result<()> {
        let drop_flows = self.drop_tcp_connections;
        self.lock().costs.remove(entity.identity());
        match AnyEntity::from(entity) {
            AnyEntity::SslProfile(profile) => {
                self.lock().profiles.remove(&profile.name);
            }
            AnyEntity::Address(address) => {
                let config = convert::address(&address)?;
                on_all(workers, move |worker| {
                    worker.amqp.with_core(|core, eg| core.remove_address(&config.pattern, eg));
                    worker.amqp.flush();
                    Ok(())
                })
                .await?;
            }
            AnyEntity::Listener(listener) => {
                let name = listener.name.clone();
                on_all(workers, move |worker| {
                    close_listener(worker, &name);
                    Ok(())
                })
                .await?;
                self.lock().listening.retain(|(name, _)| *name != listener.name);
            }
            AnyEntity::Vhost(vhost) => self.policy.remove_vhost(&vhost.hostname),
            AnyEntity::ProxyProfile(profile) => {
                self.lock().proxies.remove(&profile.name);
            }
            AnyEntity::Connector(connector) => {
                if let Some(connector) = self.lock().connectors.remove(&connector.name) {
                    connector.stop();
                }
            }
            AnyEntity::AutoLink(link) => {
                on_all(workers, move |worker| {
                    worker.amqp.remove_auto_link(&link.name);
                    Ok(())
                })
                .await?;
            }
            AnyEntity::TcpListener(listener) => {
                on_tcp(workers, move |tcp| tcp.remove_listener(&listener.name, drop_flows)).await?;
            }
            AnyEntity::TcpConnector(connector) => {
                on_tcp(workers, move |tcp| tcp.remove_connector(&connector.name, drop_flows)).await?;
            }
            AnyEntity::ListenerAddress(address) => {
                on_tcp(workers, move |tcp| tcp.remove_listener_address(&address.name)).await?;
            }
            _ => {}
        }
        self.services.deleted(entity);
        Ok(())
    }

    async fn open_listener(
        &self,
        config: amqp_adaptor::ListenerConfig,
        workers: &[WorkerHandle],
    ) -> anyhow::Result<()> {
        let name = config.name.clone();
        let place = format!("{}:{}", config.host, config.port);
        // Names are resolved by blocking, and control may wait for that.
        let listener = amqp_adaptor::listen(config).with_context(|| format!("listener {name} on {place}"))?;
        let addresses = listener.addrs().to_vec();
        let first = workers.first().context("there are no workers")?;
        let (task_name, all) = (name.clone(), workers.to_vec());
        first
            .call(move || {
                let worker = worker::current().context("the worker is not set up")?;
                let task = listener.start(all)?;
                worker.listeners.borrow_mut().push((task_name, task));
                anyhow::Ok(())
            })
            .await??;
        self.lock().listening.push((name, addresses));
        Ok(())
    }

    /// Closes all sockets that accept AMQP connections.
    pub(crate) async fn stop_accepting(&self, workers: &[WorkerHandle]) {
        let names: Vec<String> = self.lock().listening.drain(..).map(|(name, _)| name).collect();
        let closed = on_all(workers, move |worker| {
            for name in &names {
                close_listener(worker, name);
            }
            Ok(())
        });
        // Fails only for workers that are gone.
        let _ = closed.await;
    }

    /// Takes the workers' parts down, before their threads are stopped.
    pub(crate) async fn stop(&self, workers: &[WorkerHandle]) {
        for handle in workers {
            let _ = handle.call(worker::tear_down).await;
        }
    }
}

/// The rules of a vhost, with the addresses of the hosts that they name.
fn rules(entity: &VhostEntity) -> anyhow::Result<Vhost> {
    let mut vhost = Vhost::read(entity)?;
    for what in &vhost.ignored {
        tracing::warn!(target: "POLICY", "{what}");
    }
    vhost.resolve(|name| {
        let found = (name, 0).to_socket_addrs().map_err(|error| format!("host '{name}': {error}"))?;
        Ok(found.map(|address| address.ip()).collect())
    })?;
    Ok(vhost)
}

fn close_listener(worker: &Worker, name: &str) {
    worker.listeners.borrow_mut().retain(|(other, task)| {
        if other == name {
            task.abort();
        }
        other != name
    });
}

/// Content of streams takes at most this part of the memory, by all workers together, and the ends of TCP flows as much again.
const MEMORY_SHARE: u64 = 8;

/// A worker may have this much of it in any case, in bytes.
const LEAST_MEMORY: usize = 16 * 1024 * 1024;

async fn install_workers(
    configuration: &Configuration,
    policy: &Arc<Policy>,
    workers: &[WorkerHandle],
) -> anyhow::Result<(Neighbours, Group, Inputs)> {
    let id: Arc<str> = configuration.router.id.clone().context("the router has no id")?.into();
    let mut core = CoreConfig::new(Arc::clone(&id));
    core.policy = Arc::clone(policy);
    core.network_id = network_id(&configuration.network);
    core.tenant_id = Tenant::of(configuration).id();
    core.edge = configuration.router.mode == Mode::Edge;
    core.default_distribution = convert::treatment(configuration.router.default_distribution);
    core.stall_limit = STALL_LIMIT;
    core.spans = configuration.otlp.as_ref().is_some_and(|otlp| otlp.spans);
    let count = u16::try_from(workers.len()).context("too many workers")?;
    if let Some(memory) = transport::memory::limit() {
        let share = usize::try_from(memory / MEMORY_SHARE).unwrap_or(usize::MAX) / workers.len().max(1);
        core.streams = core.streams.min(share.max(LEAST_MEMORY));
    }
    let seed = random_seed();
    let placement = Arc::new(Placement::new(workers.len()));
    let group = Group::new(workers);
    let (neighbours, events) = Neighbours::new(workers);
    let (presence, present) = mailbox();
    let (demand, demanded) = mailbox();
    let (senders, inboxes): (Vec<_>, Vec<_>) = workers.iter().map(|_| mailbox()).unzip();
    for (index, (handle, inbox)) in (0..count).zip(workers.iter().zip(inboxes)) {
        let parts = Parts {
            index,
            workers: count,
            core: core.clone(),
            seed,
            identity: RouterIdentity { id: id.to_string(), version: VERSION.to_owned() },
            placement: Arc::clone(&placement),
            group: group.clone(),
            mail: senders.clone(),
            inbox,
            neighbours: neighbours.clone(),
            presence: presence.clone(),
            demand: demand.clone(),
        };
        handle.call(move || worker::install(parts)).await?;
    }
    Ok((neighbours, group, Inputs { neighbours: events, presence: present, demand: demanded, shares: core.shares }))
}

/// What the network is called among networks, if it has a name.
pub(crate) fn network_id(network: &NetworkEntity) -> Option<Arc<str>> {
    network.network_id.as_deref().filter(|id| !id.is_empty()).map(Arc::from)
}

/// Unpredictable: new `RandomState`s are seeded by the system, and an empty hash of one is a random number.
fn random_seed() -> [u8; 32] {
    let mut seed = [0; 32];
    for chunk in seed.chunks_mut(8) {
        let random = RandomState::new().build_hasher().finish();
        chunk.copy_from_slice(&random.to_ne_bytes());
    }
    seed
}

/// Does something on every worker, in order; stops at the first failure.
async fn on_all(
    workers: &[WorkerHandle],
    f: impl Fn(&Worker) -> anyhow::Result<()> + Clone + Send + 'static,
) -> anyhow::Result<()> {
    for handle in workers {
        let f = f.clone();
        handle.call(move || f(&*worker::current().context("the worker is not set up")?)).await??;
    }
    Ok(())
}

async fn on_tcp(
    workers: &[WorkerHandle],
    f: impl Fn(&std::rc::Rc<TcpAdaptor>) -> Result<(), CommandError> + Clone + Send + 'static,
) -> anyhow::Result<()> {
    on_all(workers, move |worker| Ok(f(&worker.tcp)?)).await
}

#[cfg(test)]
mod tests;
