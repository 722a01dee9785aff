//! The router in this process: what `spanway` makes of entities, without entities.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use amqp_adaptor::{
    AmqpAdaptor, AmqpConnector, BESIDE, ConnectionRole, DataConnections, Mail, Neighbours, Placement, RouterIdentity,
};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use router_core::egress::{DeliveryState, End, Payload};
use router_core::routing::{AddressBook, Routes};
use router_core::{
    Core, CoreConfig, FlowPick, InletKey, LinkRef, OutKey, OutletKey, Reachability, ServerInfo, ServerKey, ServerPick,
    Transfer, WatchKey, WorkerId,
};
use tcp_adaptor::{ConnectorConfig, Directory, Group, OperStatus, TcpAdaptor};
use transport::socket::Family;
use transport::{MailReceiver, MailSender, WorkerHandle, Workers, mailbox};

use crate::tables::{FIRST, SECOND, book, routes};

thread_local! {
    static WORKER: RefCell<Option<Rc<Worker>>> = const { RefCell::new(None) };
}

/// A worker's parts.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) amqp: AmqpAdaptor,
    tcp: Rc<TcpAdaptor>,
    listeners: RefCell<Vec<transport::worker::Task>>,
}

/// The calling worker's parts.
pub(super) fn current() -> Option<Rc<Worker>> {
    WORKER.with_borrow(Clone::clone)
}

/// A running router. Dropping it stops it.
#[derive(Debug)]
pub(super) struct Router {
    workers: Workers,
    placement: Arc<Placement>,
    neighbours: Neighbours,
    connector: Option<AmqpConnector>,
}

impl Router {
    pub(super) fn start(count: u16) -> Result<Self> {
        Self::named("COUNTS", count)
    }

    /// A router with this id.
    pub(super) fn named(id: &'static str, count: u16) -> Result<Self> {
        let workers = Workers::start(usize::from(count)).context("start the workers")?;
        let placement = Arc::new(Placement::new(workers.len()));
        let group = Group::new(workers.handles());
        // Nobody works on what is told about neighbours: there is one, and tables are made by hand.
        let (neighbours, _) = Neighbours::new(workers.handles());
        let (senders, inboxes): (Vec<_>, Vec<_>) = (0..count).map(|_| mailbox()).unzip();
        for ((index, handle), inbox) in (0..count).zip(workers.handles()).zip(inboxes) {
            let (placement, group, mail) = (Arc::clone(&placement), group.clone(), senders.clone());
            let neighbours = neighbours.clone();
            handle.call_blocking(move || install(id, index, count, placement, &group, neighbours, mail, inbox))?;
        }
        Ok(Self { workers, placement, neighbours, connector: None })
    }

    /// Two routers that are linked and know their ways to each other: [`FIRST`], and [`SECOND`] with its consumer of `bench`.
    pub(super) fn two(count: u16) -> Result<[Self; 2]> {
        let (mut first, second) = (Self::named(FIRST, count)?, Self::named(SECOND, count)?);
        let port = second.listen_amqp(ConnectionRole::InterRouter)?;
        let config = amqp_adaptor::ConnectorConfig {
            name: "to the second".to_owned(),
            host: "127.0.0.1".to_owned(),
            port,
            family: Family::V4,
            role: ConnectionRole::InterRouter,
            cost: 1.into(),
            tls: None,
            ordinal: None,
            proxy: None,
            sasl_mechanisms: Vec::new(),
            credentials: None,
            max_frame_size: 16_384,
            max_sessions: 32_768,
            idle_timeout: None,
            handshake_timeout: None,
            policy_vhost: None,
            link_capacity: None,
            annotations: amqp_adaptor::ClientAnnotations::default(),
            data_connections: DataConnections::Auto,
            open_properties: Vec::new(),
        };
        first.connector = Some(AmqpConnector::start(config, first.workers(), 7));
        let limit = Instant::now() + Duration::from_secs(10);
        while first.neighbours.groups_to(SECOND).is_empty() || second.neighbours.groups_to(FIRST).is_empty() {
            if Instant::now() > limit {
                bail!("two routers were not linked within 10 s");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let [near, far] = routes()?;
        first.set_routes(&near, &book())?;
        second.set_routes(&far, &AddressBook::new())?;
        Ok([first, second])
    }

    fn set_routes(&self, routes: &Arc<Routes>, book: &AddressBook) -> Result<()> {
        for handle in self.workers() {
            let (routes, book) = (Arc::clone(routes), book.clone());
            handle.call_blocking(move || {
                let worker = current().context("the worker is not set up")?;
                worker.amqp.with_core(|core, eg| core.set_routes(routes, book, None, eg));
                worker.amqp.flush();
                anyhow::Ok(())
            })??;
        }
        Ok(())
    }

    pub(super) fn workers(&self) -> &[WorkerHandle] {
        self.workers.handles()
    }

    /// Opens a listener for AMQP and answers its port.
    pub(super) fn listen_amqp(&self, role: ConnectionRole) -> Result<u16> {
        let config = amqp_adaptor::ListenerConfig {
            name: "amqp".to_owned(),
            host: "127.0.0.1".to_owned(),
            port: 0,
            family: Family::V4,
            tls: None,
            require_tls: false,
            authenticate_peer: false,
            sasl_mechanisms: Vec::new(),
            sasl: None,
            max_frame_size: 16_384,
            max_sessions: 32_768,
            idle_timeout: None,
            handshake_timeout: None,
            policy_vhost: None,
            link_capacity: None,
            annotations: amqp_adaptor::ClientAnnotations::default(),
            role,
            cost: 1.into(),
            failover: Vec::new(),
            access_id: None,
            open_properties: Vec::new(),
            http: None,
        };
        let listener = amqp_adaptor::listen(config)?;
        let port = listener.addrs().first().context("the listener has no address")?.port();
        let all = self.workers().to_vec();
        let first = self.workers().first().context("there are no workers")?;
        first.call_blocking(move || {
            let task = listener.start(all)?;
            if let Some(worker) = current() {
                worker.listeners.borrow_mut().push(task);
            }
            anyhow::Ok(())
        })??;
        Ok(port)
    }

    /// Lets the next AMQP connection go to the second worker (of two): fills up the first one's share.
    pub(super) fn place_next_on_second(&self) {
        if self.workers.len() > 1 {
            while self.placement.place() == 0 {}
        }
    }

    /// Opens a TCP listener whose server is at `server` on loopback, and answers its port once it accepts.
    pub(super) fn listen_tcp(&self, server: u16) -> Result<u16> {
        let connector = ConnectorConfig::new("server", "svc", "127.0.0.1", server);
        let listener = tcp_adaptor::ListenerConfig::new("clients", "svc", "127.0.0.1", 0);
        for handle in self.workers() {
            let (connector, listener) = (connector.clone(), listener.clone());
            handle.call_blocking(move || {
                let worker = current().context("the worker is not set up")?;
                worker.tcp.add_connector(connector)?;
                worker.tcp.add_listener(listener)?;
                anyhow::Ok(())
            })??;
        }
        let first = self.workers().first().context("there are no workers")?;
        let limit = Instant::now() + Duration::from_secs(10);
        loop {
            let status = first.call_blocking(|| current().map(|w| w.tcp.snapshot()))?;
            let oper = status.and_then(|s| s.listeners.into_iter().next()).map(|l| l.oper);
            match oper {
                Some(OperStatus::Up { local }) => {
                    return Ok(local.first().context("the listener has no address")?.port());
                }
                Some(OperStatus::Failed { message }) => bail!("the TCP listener: {message}"),
                other if Instant::now() > limit => bail!("the TCP listener does not open: {other:?}"),
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        if let Some(connector) = &self.connector {
            connector.stop();
        }
        for handle in self.workers.handles() {
            // A worker that is gone has dropped its parts.
            let _ = handle.call_blocking(|| drop(WORKER.take()));
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "each is a part of the worker")]
fn install(
    id: &str,
    index: u16,
    workers: u16,
    placement: Arc<Placement>,
    group: &Group,
    neighbours: Neighbours,
    mail: Vec<MailSender<Mail>>,
    inbox: MailReceiver<Mail>,
) {
    // Only names of dynamic addresses depend on it, and there are none.
    let seed = [7; 32];
    let worker = WorkerId(index);
    let core = Rc::new(RefCell::new(Core::new(CoreConfig::new(id), worker, workers, seed, Instant::now())));
    let identity = RouterIdentity { id: id.to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let amqp = AmqpAdaptor::new(core, worker, identity, placement, mail, inbox);
    amqp.join(neighbours);
    let servers = Rc::new(Servers { amqp: amqp.clone(), flushing: Rc::new(Cell::new(false)) });
    let tcp = TcpAdaptor::new(servers, group, usize::from(index), u64::from(index));
    amqp.with_core(|_, conns| conns.set_beside(tcp.egress(BESIDE)));
    let weak = Rc::downgrade(&tcp);
    amqp.after_batch(move || {
        if let Some(tcp) = weak.upgrade() {
            tcp.refresh();
        }
    });
    WORKER.set(Some(Rc::new(Worker { amqp, tcp, listeners: RefCell::default() })));
}

/// The core's servers, for the TCP adaptor.
#[derive(Debug)]
struct Servers {
    amqp: AmqpAdaptor,
    flushing: Rc<Cell<bool>>,
}

impl Servers {
    fn flush_later(&self) {
        if self.flushing.replace(true) {
            return;
        }
        let (amqp, flushing) = (self.amqp.clone(), Rc::clone(&self.flushing));
        transport::worker::spawn("flush", async move {
            flushing.set(false);
            amqp.flush();
        });
    }
}

impl Servers {
    fn with_core<R>(&self, f: impl FnOnce(&mut Core, &mut amqp_adaptor::Conns) -> R) -> R {
        self.flush_later();
        self.amqp.with_core(f)
    }
}

impl Directory for Servers {
    fn add_server(&self, address: &str, info: ServerInfo) -> Option<ServerKey> {
        let key = self.amqp.with_core(|core, eg| core.add_server(address, info, eg));
        self.flush_later();
        key
    }

    fn remove_server(&self, server: ServerKey) {
        self.amqp.with_core(|core, eg| core.remove_server(server, eg));
        self.flush_later();
    }

    fn pick_server(&self, address: &str, exclude: &[ServerKey]) -> Option<ServerPick> {
        self.amqp.with_core(|core, _| core.pick_server(address, exclude))
    }

    fn server_closed(&self, server: ServerKey) {
        self.amqp.with_core(|core, _| core.server_closed(server));
    }

    fn watch(&self, address: &str, token: u64) -> Option<WatchKey> {
        self.amqp.with_core(|core, _| core.watch(address, token))
    }

    fn unwatch(&self, watch: WatchKey) {
        self.amqp.with_core(|core, _| core.unwatch(watch));
    }

    fn poll_reachability(&self) -> Option<Reachability> {
        self.amqp.with_core(|core, _| core.poll_reachability())
    }

    fn pick_flow(&self, address: &str, tried: &[ServerKey], hops: &[u32]) -> Option<FlowPick> {
        self.amqp.with_core(|core, _| core.pick_flow(address, tried, hops))
    }

    fn attach_flow(&self, link: LinkRef, hop: u32) -> Option<(OutletKey, String)> {
        self.with_core(|core, eg| core.attach_flow(link, hop, eg))
    }

    fn begin_flow(&self, link: LinkRef, address: &str, hop: u32, head: &Bytes) -> Option<InletKey> {
        self.with_core(|core, eg| core.begin_flow(link, address, hop, &Payload::new(head), eg))
    }

    fn begin_reply(&self, link: LinkRef, to: &str, asked: Option<OutletKey>, head: &Bytes) -> Option<InletKey> {
        self.with_core(|core, eg| core.begin_reply(link, to, asked, &Payload::new(head), eg))
    }

    fn transfer(&self, inlet: InletKey, bytes: &Bytes, end: End) {
        let part = Transfer { delivery_id: 0, first: false, end, settled: false, message_format: 0, rcv_second: false };
        self.with_core(|core, eg| core.transfer(inlet, &part, &Payload::new(bytes), eg));
    }

    fn outcome(&self, delivery: OutKey, state: &DeliveryState, settled: bool) {
        self.with_core(|core, eg| core.outcome(delivery, Some(state), settled, eg));
    }

    fn flow_writable(&self, outlet: OutletKey) {
        self.with_core(|core, eg| core.flow_writable(outlet, eg));
    }

    fn close_flow(&self, inlet: Option<InletKey>, outlet: Option<OutletKey>) {
        self.with_core(|core, eg| {
            if let Some(inlet) = inlet {
                core.detach_inlet(inlet, eg);
            }
            if let Some(outlet) = outlet {
                core.detach_outlet(outlet, eg);
            }
        });
    }
}
