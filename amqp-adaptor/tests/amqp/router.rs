//! A router of workers with nothing but the AMQP adaptor.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use amqp_adaptor::{
    AmqpAdaptor, ClientAnnotations, ConnectionRole, ListenerConfig, NeighbourConn, NeighbourEvent, NeighbourInfo,
    Neighbours, Placement, RouterIdentity,
};
use router_core::{Core, CoreConfig, Counters, WorkerId};
use transport::socket::Family;
use transport::worker::Task;
use transport::{MailReceiver, Workers, mailbox};

thread_local! {
    static ADAPTOR: RefCell<Option<(AmqpAdaptor, Vec<Task>)>> = const { RefCell::new(None) };
}

/// How long a condition may take to come true.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A running router. Dropping it stops it.
pub(crate) struct Router {
    pub(crate) workers: Workers,
    placement: Arc<Placement>,
    pub(crate) neighbours: Neighbours,
    inbox: RefCell<MailReceiver<NeighbourEvent>>,
    events: RefCell<Vec<NeighbourEvent>>,
    pub(crate) port: u16,
}

pub(crate) fn listener() -> ListenerConfig {
    ListenerConfig {
        name: "test".to_owned(),
        host: "127.0.0.1".to_owned(),
        port: 0,
        family: Family::Any,
        tls: None,
        require_tls: false,
        authenticate_peer: false,
        sasl_mechanisms: Vec::new(),
        sasl: None,
        max_frame_size: 16 * 1024,
        max_sessions: 32_768,
        idle_timeout: Some(Duration::from_secs(60)),
        handshake_timeout: Some(Duration::from_secs(60)),
        policy_vhost: None,
        link_capacity: None,
        annotations: ClientAnnotations::default(),
        role: ConnectionRole::Normal,
        cost: 1.into(),
        failover: Vec::new(),
        access_id: None,
        open_properties: Vec::new(),
        http: None,
    }
}

impl Router {
    pub(crate) fn new(workers: u16) -> Self {
        Self::with(workers, listener())
    }

    pub(crate) fn with(count: u16, listener: ListenerConfig) -> Self {
        Self::named("router", count, listener)
    }

    pub(crate) fn named(id: &'static str, count: u16, listener: ListenerConfig) -> Self {
        let listener = amqp_adaptor::listen(listener).unwrap();
        let workers = Workers::start(usize::from(count)).unwrap();
        let placement = Arc::new(Placement::new(usize::from(count)));
        let (senders, inboxes): (Vec<_>, Vec<_>) = (0..count).map(|_| mailbox()).unzip();
        let (neighbours, events) = Neighbours::new(workers.handles());
        for ((index, handle), inbox) in (0..count).zip(workers.handles()).zip(inboxes) {
            let (mail, placement, neighbours) = (senders.clone(), Arc::clone(&placement), neighbours.clone());
            let install = move || {
                let worker = WorkerId(index);
                let core = Core::new(CoreConfig::new(id), worker, count, [7; 32], Instant::now());
                let identity = RouterIdentity { id: id.to_owned(), version: "0".to_owned() };
                let adaptor = AmqpAdaptor::new(Rc::new(RefCell::new(core)), worker, identity, placement, mail, inbox);
                adaptor.join(neighbours);
                ADAPTOR.set(Some((adaptor, Vec::new())));
            };
            handle.call_blocking(install).unwrap();
        }
        let port = listener.addrs()[0].port();
        let all = workers.handles().to_vec();
        let start = move || {
            let task = listener.start(all).unwrap();
            ADAPTOR.with_borrow_mut(|a| a.as_mut().unwrap().1.push(task));
        };
        workers.handles()[0].call_blocking(start).unwrap();
        let (inbox, events) = (RefCell::new(events), RefCell::default());
        Self { workers, placement, neighbours, inbox, events, port }
    }

    /// All that was told about neighbours so far.
    pub(crate) fn events(&self) -> Vec<NeighbourEvent> {
        let mut new = Vec::new();
        self.inbox.borrow_mut().try_drain(&mut new);
        let mut events = self.events.borrow_mut();
        events.append(&mut new);
        events.clone()
    }

    /// The connections to neighbours that were opened and are not gone.
    pub(crate) fn open_neighbours(&self) -> Vec<NeighbourInfo> {
        let mut open = Vec::new();
        for event in self.events() {
            match event {
                NeighbourEvent::Opened(info) => open.push(info),
                NeighbourEvent::Closed { conn, .. } => open.retain(|info: &NeighbourInfo| info.conn != conn),
                _ => {}
            }
        }
        open
    }

    /// Waits until the control links of a connection are attached, and answers the latest such connection.
    pub(crate) fn control(&self) -> NeighbourConn {
        self.wait("control links", |r| r.control_up().is_some());
        self.control_up().unwrap()
    }

    pub(crate) fn control_up(&self) -> Option<NeighbourConn> {
        self.events().into_iter().rev().find_map(|event| match event {
            NeighbourEvent::ControlUp { conn, .. } => Some(conn),
            _ => None,
        })
    }

    /// Does something on the worker of a connection.
    pub(crate) fn on<R: Send + 'static>(
        &self,
        conn: NeighbourConn,
        f: impl FnOnce(&AmqpAdaptor) -> R + Send + 'static,
    ) -> R {
        let job = move || f(&ADAPTOR.with_borrow(|a| a.as_ref().unwrap().0.clone()));
        self.workers.handles()[usize::from(conn.worker)].call_blocking(job).unwrap()
    }

    /// Asks each worker.
    pub(crate) fn each<R: Send + 'static>(&self, f: impl Fn(&AmqpAdaptor) -> R + Clone + Send + 'static) -> Vec<R> {
        let ask = |handle: &transport::WorkerHandle| {
            let f = f.clone();
            // Cloned, because nothing may be borrowed while it works.
            let job = move || f(&ADAPTOR.with_borrow(|a| a.as_ref().unwrap().0.clone()));
            handle.call_blocking(job).unwrap()
        };
        self.workers.handles().iter().map(ask).collect()
    }

    /// Asks the first worker.
    pub(crate) fn on_first<R: Send + 'static>(&self, f: impl FnOnce(&AmqpAdaptor) -> R + Send + 'static) -> R {
        let job = move || f(&ADAPTOR.with_borrow(|a| a.as_ref().unwrap().0.clone()));
        self.workers.handles()[0].call_blocking(job).unwrap()
    }

    pub(crate) fn connections(&self) -> Vec<usize> {
        self.each(AmqpAdaptor::open_connections)
    }

    pub(crate) fn counters(&self) -> Vec<Counters> {
        self.each(|a| a.with_core(|core, _| core.counters()))
    }

    pub(crate) fn bytes_held(&self) -> u64 {
        self.counters().iter().map(|c| c.bytes_held).sum()
    }

    /// Waits until a condition holds.
    pub(crate) fn wait(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !condition(self) {
            assert!(start.elapsed() < LIMIT, "{what} did not happen: {:?} {:?}", self.connections(), self.counters());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until nothing is left of any connection. Workers tell each other a little later than connections go.
    pub(crate) fn wait_empty(&self) {
        self.wait("the end of all connections", |r| {
            r.connections().iter().all(|n| *n == 0)
                && r.placement.open().iter().all(|n| *n == 0)
                && r.counters()
                    .iter()
                    .all(|c| c.connections + c.inlets + c.outlets + c.addresses + c.deliveries_held + c.bytes_held == 0)
        });
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        for handle in self.workers.handles() {
            let _ = handle.call_blocking(|| drop(ADAPTOR.take()));
        }
    }
}
