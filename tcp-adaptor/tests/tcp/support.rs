//! A router of TCP adaptors with real workers and cores; clients and servers are plain blocking sockets.

pub(crate) mod certs;
mod core_only;
pub(crate) mod peers;

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

use core_only::CoreOnly;
use router_core::{Core, CoreConfig, WorkerId};
use tcp_adaptor::{ConnectorConfig, Group, ListenerConfig, ListenerStatus, OperStatus, TcpAdaptor, Totals};
use transport::Workers;

/// Long enough for a loaded machine; nothing waits for it to pass.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

thread_local! {
    static ADAPTOR: RefCell<Option<Rc<TcpAdaptor>>> = const { RefCell::new(None) };
}

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < end, "timed out waiting: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Workers with an adaptor each.
pub(crate) struct Router {
    workers: Workers,
}

impl Router {
    pub(crate) fn start(count: usize) -> Self {
        let workers = Workers::start(count).unwrap();
        let group = Group::new(workers.handles());
        for handle in workers.handles() {
            let (group, index) = (group.clone(), handle.index());
            handle
                .call_blocking(move || {
                    let worker = WorkerId(u16::try_from(index).unwrap());
                    let count = u16::try_from(count).unwrap();
                    let core = Core::new(CoreConfig::new("test"), worker, count, [7; 32], Instant::now());
                    let core = Rc::new(CoreOnly::new(core));
                    ADAPTOR.set(Some(TcpAdaptor::new(core, &group, index, index as u64)));
                })
                .unwrap();
        }
        Self { workers }
    }

    /// A router of one worker with a listener for `address`, and connectors to these servers.
    pub(crate) fn simple(servers: &[SocketAddr]) -> (Self, SocketAddr) {
        let router = Self::start(1);
        router.listen(ListenerConfig::new("in", "service", "127.0.0.1", 0));
        for (index, server) in servers.iter().enumerate() {
            router.connect(connector(&format!("out{index}"), "service", *server));
        }
        let local = router.local("in");
        (router, local)
    }

    /// Runs a command on every worker, as control does. The result is that of the first.
    pub(crate) fn each<R: Send + 'static>(&self, command: impl Fn(&Rc<TcpAdaptor>) -> R + Clone + Send + 'static) -> R {
        let results: Vec<R> = (0..self.workers.len()).map(|index| self.on(index, command.clone())).collect();
        results.into_iter().next().unwrap()
    }

    /// Runs something on one worker.
    pub(crate) fn on<R: Send + 'static>(
        &self,
        index: usize,
        job: impl FnOnce(&Rc<TcpAdaptor>) -> R + Send + 'static,
    ) -> R {
        let job = move || ADAPTOR.with_borrow(|adaptor| job(adaptor.as_ref().unwrap()));
        self.workers.handles()[index].call_blocking(job).unwrap()
    }

    pub(crate) fn listen(&self, config: ListenerConfig) {
        self.each(move |adaptor| adaptor.add_listener(config.clone())).unwrap();
    }

    pub(crate) fn connect(&self, config: ConnectorConfig) {
        self.each(move |adaptor| adaptor.add_connector(config.clone())).unwrap();
    }

    pub(crate) fn disconnect(&self, name: &'static str) {
        self.each(move |adaptor| adaptor.remove_connector(name, false)).unwrap();
    }

    pub(crate) fn status(&self, name: &'static str) -> ListenerStatus {
        let snapshot = self.on(0, |adaptor| adaptor.snapshot());
        snapshot.listeners.into_iter().find(|status| status.name == name).unwrap()
    }

    /// Where a listener listens, as soon as it does.
    pub(crate) fn local(&self, name: &'static str) -> SocketAddr {
        let mut found = None;
        eventually("the listener is open", || {
            if let OperStatus::Up { local } = self.status(name).oper {
                found = local.first().copied();
            }
            found.is_some()
        });
        found.unwrap()
    }

    /// The counters of a listener, of all workers.
    pub(crate) fn listener_totals(&self, name: &'static str) -> Totals {
        let mut totals = Totals::default();
        for index in 0..self.workers.len() {
            let snapshot = self.on(index, |adaptor| adaptor.snapshot());
            totals += snapshot.listeners.iter().find(|status| status.name == name).unwrap().totals;
        }
        totals
    }

    /// The counters of a connector, of all workers.
    pub(crate) fn connector_totals(&self, name: &'static str) -> Totals {
        let mut totals = Totals::default();
        for index in 0..self.workers.len() {
            let snapshot = self.on(index, |adaptor| adaptor.snapshot());
            totals += snapshot.connectors.iter().find(|status| status.name == name).unwrap().totals;
        }
        totals
    }

    /// Flows open now.
    pub(crate) fn flows(&self) -> usize {
        (0..self.workers.len()).map(|index| self.on(index, |adaptor| adaptor.open_flows())).sum()
    }

    /// Drains all workers at once; answers how many flows were cut.
    pub(crate) fn drain(&self, limit: Duration) -> usize {
        let (tx, rx) = std::sync::mpsc::channel();
        for index in 0..self.workers.len() {
            let tx = tx.clone();
            self.on(index, move |adaptor| {
                let adaptor = Rc::clone(adaptor);
                transport::worker::spawn("drain", async move {
                    tx.send(adaptor.drain(limit).await).unwrap();
                });
            });
        }
        drop(tx);
        rx.iter().sum()
    }
}

pub(crate) fn connector(name: &str, address: &str, server: SocketAddr) -> ConnectorConfig {
    ConnectorConfig::new(name, address, server.ip().to_string(), server.port())
}

/// A port on which nobody listens, nor will: it stays bound until the tests end.
pub(crate) fn dead_port() -> SocketAddr {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    std::mem::forget(socket);
    addr
}

/// A client that gives up after [`LIMIT`].
#[track_caller]
pub(crate) fn client(addr: SocketAddr) -> TcpStream {
    limited(TcpStream::connect(addr).unwrap())
}

pub(crate) fn limited(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    stream
}
