//! What each worker owns: a core and the adaptors around it. Control reaches it with closures.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, Instant};

use amqp_adaptor::{AmqpAdaptor, BESIDE, Mail, Neighbours, Placement, RouterIdentity};
use bytes::Bytes;
use router_core::egress::{DeliveryState, End, Payload};
use router_core::{
    Core, CoreConfig, Counters, Demand, FlowPick, InletKey, LinkRef, OutKey, OutletKey, Presence, Reachability,
    ServerInfo, ServerKey, ServerPick, Transfer, WatchKey, WorkerId,
};
use tcp_adaptor::{Directory, Group, TcpAdaptor};
use tokio::sync::Notify;
use transport::metrics::IoCounters;
use transport::{MailReceiver, MailSender};

thread_local! {
    static WORKER: RefCell<Option<Rc<Worker>>> = const { RefCell::new(None) };
}

/// A worker's parts.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) amqp: AmqpAdaptor,
    pub(crate) tcp: Rc<TcpAdaptor>,
    pub(crate) listeners: RefCell<Vec<(String, transport::worker::Task)>>,
    /// TCP flows are still draining.
    draining: Cell<bool>,
}

/// What a worker is made of; sent to its thread.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) index: u16,
    pub(crate) workers: u16,
    pub(crate) core: CoreConfig,
    pub(crate) seed: [u8; 32],
    pub(crate) identity: RouterIdentity,
    pub(crate) placement: Arc<Placement>,
    pub(crate) group: Group,
    pub(crate) mail: Vec<MailSender<Mail>>,
    pub(crate) inbox: MailReceiver<Mail>,
    pub(crate) neighbours: Neighbours,
    pub(crate) presence: MailSender<Presence>,
    pub(crate) demand: MailSender<Demand>,
}

/// Sets up the calling worker.
pub(crate) fn install(parts: Parts) {
    let Parts { index, workers, core, seed, identity, placement, group, mail, inbox, neighbours, presence, demand } =
        parts;
    let id = WorkerId(index);
    let memory = core.streams;
    let core = Rc::new(RefCell::new(Core::new(core, id, workers, seed, Instant::now())));
    let amqp = AmqpAdaptor::new(Rc::clone(&core), id, identity, placement, mail, inbox);
    amqp.join(neighbours);
    let servers = Rc::new(Servers { amqp: amqp.clone(), work: Rc::default() });
    transport::worker::spawn("flush", flush(Rc::downgrade(&servers), Rc::clone(&servers.work)));
    let [a, b, c, d, e, f, g, h, ..] = seed;
    let tcp = TcpAdaptor::new(
        servers,
        &group,
        usize::from(index),
        u64::from_le_bytes([a, b, c, d, e, f, g, h]) ^ u64::from(index),
    );
    tcp.bound_memory(memory);
    amqp.with_core(|_, conns| conns.set_beside(tcp.egress(BESIDE)));
    let weak = Rc::downgrade(&tcp);
    // Weak, or the adaptor would keep itself alive.
    let core = Rc::downgrade(&core);
    amqp.after_batch(move || {
        if let Some(tcp) = weak.upgrade() {
            tcp.refresh();
        }
        if let Some(core) = core.upgrade() {
            while let Some(change) = core.borrow_mut().poll_presence() {
                // Nobody listens any more when the router ends.
                let _ = presence.push(change);
            }
            while let Some(change) = core.borrow_mut().poll_demand() {
                let _ = demand.push(change);
            }
        }
    });
    let worker = Worker { amqp, tcp, listeners: RefCell::default(), draining: Cell::new(false) };
    WORKER.set(Some(Rc::new(worker)));
}

/// The calling worker. `None` before it was set up and after it was torn down.
pub(crate) fn current() -> Option<Rc<Worker>> {
    WORKER.with_borrow(Clone::clone)
}

/// Drops what the calling worker owns.
pub(crate) fn tear_down() {
    let worker = WORKER.take();
    drop(worker);
}

/// With `-T`, as with the reference: after what time a delivery is stuck; how many links for streams stay, and how often it is looked for others.
const TEST_PATIENCE: Duration = Duration::from_secs(3);
const TEST_SPARE: u32 = 2;
const TEST_PERIOD: Duration = Duration::from_secs(5);

/// What tests of the router from outside need of the calling worker.
pub(crate) fn offer_tests() {
    let Some(worker) = current() else { return };
    worker.amqp.offer_test_addresses();
    worker.amqp.with_core(|core, _| {
        core.set_patience(TEST_PATIENCE);
        core.set_spare_streams(TEST_SPARE, TEST_PERIOD);
    });
}

/// Begins to let TCP flows end: none is accepted, those left after `limit` are reset.
pub(crate) fn start_drain(limit: Duration) {
    let Some(worker) = current() else { return };
    worker.draining.set(true);
    transport::worker::spawn("tcp drain", async move {
        let cut = worker.tcp.drain(limit).await;
        if cut > 0 {
            tracing::warn!(target: "TCP_ADAPTOR", "Reset {cut} connections that did not end in time");
        }
        worker.draining.set(false);
    });
}

/// What still has to finish on the calling worker: TCP flows, and deliveries that wait or are unsettled.
pub(crate) fn in_flight() -> usize {
    let Some(worker) = current() else { return 0 };
    let flows = if worker.draining.get() { worker.tcp.open_flows().max(1) } else { 0 };
    let held = worker.amqp.with_core(|core, _| core.counters().deliveries_held);
    flows + usize::try_from(held).unwrap_or(usize::MAX / 2)
}

/// Closes every AMQP connection of the calling worker in order.
pub(crate) fn close_connections() {
    if let Some(worker) = current() {
        worker.amqp.close_all();
    }
}

/// AMQP connections of the calling worker.
pub(crate) fn open_connections() -> usize {
    current().map_or(0, |worker| worker.amqp.open_connections())
}

/// Memory that the calling worker has for content, in bytes: its own buffers, and what waits in others.
pub(crate) fn held() -> u64 {
    let waiting = current().map_or(0, |worker| worker.amqp.with_core(|core, _| core.counters().bytes_held));
    waiting + transport::block::kept() as u64
}

/// What the calling worker has counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) core: Counters,
    pub(crate) io: IoCounters,
    pub(crate) tcp: Option<tcp_adaptor::Snapshot>,
    pub(crate) amqp: amqp_adaptor::Totals,
}

/// Reads the counters of the calling worker.
pub(crate) fn counts() -> Counts {
    let Some(worker) = current() else { return Counts::default() };
    Counts {
        core: worker.amqp.with_core(|core, _| core.counters()),
        io: transport::metrics::snapshot(),
        tcp: Some(worker.tcp.snapshot()),
        amqp: worker.amqp.totals(),
    }
}

/// The core's servers and flows, for the TCP adaptor.
#[derive(Debug)]
struct Servers {
    amqp: AmqpAdaptor,
    /// The core owes something to connections.
    work: Rc<Notify>,
}

/// Passes on what the core owes after calls of the TCP adaptor: once for all flows that were ready at the same time, and from a task of its
/// own, because the adaptor must not be called back while it calls.
async fn flush(servers: Weak<Servers>, work: Rc<Notify>) {
    loop {
        work.notified().await;
        let Some(servers) = servers.upgrade() else { return };
        servers.amqp.flush();
    }
}

impl Servers {
    /// Lets the core do something of which connections may be told.
    fn with_core<R>(&self, f: impl FnOnce(&mut Core, &mut amqp_adaptor::Conns) -> R) -> R {
        self.work.notify_one();
        self.amqp.with_core(f)
    }
}

impl Directory for Servers {
    fn add_server(&self, address: &str, info: ServerInfo) -> Option<ServerKey> {
        self.with_core(|core, eg| core.add_server(address, info, eg))
    }

    fn remove_server(&self, server: ServerKey) {
        self.with_core(|core, eg| core.remove_server(server, eg));
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

    fn flow_home(&self, address: &str) -> Option<usize> {
        self.amqp.with_core(|core, _| core.flow_home(address)).map(|worker| usize::from(worker.0))
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
