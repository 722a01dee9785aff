//! The adaptor of one worker: what control commands, and what the tasks of listeners and flows share.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use http_observer::Wanted;
use router_core::{Egress, FlowPick, LinkRef, OutletKey, ServerInfo, ServerKey};
use slab::Slab;
use tokio::sync::Notify;
use transport::PlainStream;
use transport::socket::ListenerSet;
use transport::worker::{Task, spawn};

use crate::config::{ConnectorConfig, ListenerAddressConfig, ListenerConfig, MultiAddressStrategy};
use crate::connector::Connector;
use crate::directory::Directory;
use crate::error::CommandError;
use crate::far::links::{FlowEgress, Links};
use crate::far::serve;
use crate::flow::{self, Choice, FlowInfo, Picked, SocketInfo};
use crate::group::Group;
use crate::listener::{Listener, Target};
use crate::record::Records;
use crate::relay::Meters;
use crate::stats::{ConnectorStatus, Snapshot, add};
use crate::sweep::{Limits, Seen, sweep};
use crate::targets::Dice;

mod flows;
mod homes;
mod sockets;

const LISTENER: &str = "tcpListener";
const CONNECTOR: &str = "tcpConnector";
const ADDRESS: &str = "listenerAddress";

/// TCP listeners and connectors of one worker.
///
/// Control runs every command on every worker of the [`Group`], the first one included, in the same order. Methods must be called on
/// the worker's thread, inside its runtime, and not while the core behind the [`Directory`] is borrowed.
pub struct TcpAdaptor {
    core: Rc<dyn Directory>,
    pub(crate) group: Group,
    pub(crate) index: usize,
    pub(crate) records: Records,
    state: RefCell<State>,
    flows: RefCell<Slab<Entry>>,
    links: Rc<Links>,
    dice: RefCell<Dice>,
    sweeper: RefCell<Option<(Duration, Task)>>,
    draining: Cell<bool>,
    /// The last flow ended.
    idle: Notify,
}

#[derive(Debug, Default)]
struct State {
    listeners: BTreeMap<String, Rc<Listener>>,
    connectors: BTreeMap<String, Rc<Connector>>,
    /// By the token given to the core.
    servers: HashMap<u64, Rc<Connector>>,
    /// Who watches, by the token given to the core.
    watches: HashMap<u64, Rc<Listener>>,
    /// Sockets that arrived from the first worker before control told us of their listener.
    unclaimed: HashMap<String, ListenerSet>,
    next_token: u64,
}

impl State {
    fn token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }
}

/// A running flow.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) info: Rc<FlowInfo>,
    pub(crate) task: Option<Task>,
    pub(crate) seen: Seen,
}

impl TcpAdaptor {
    /// The adaptor of worker `index` of the group. `seed` decides the choice among weighted addresses; give each worker another.
    pub fn new(core: Rc<dyn Directory>, group: &Group, index: usize, seed: u64) -> Rc<Self> {
        let adaptor = Rc::new(Self {
            core,
            group: group.clone(),
            index,
            records: Records::default(),
            state: RefCell::default(),
            flows: RefCell::default(),
            links: Rc::default(),
            dice: RefCell::new(Dice::new(seed)),
            sweeper: RefCell::default(),
            draining: Cell::new(false),
            idle: Notify::new(),
        });
        group.register(&adaptor);
        adaptor
    }

    /// Adds a listener. Its socket opens as soon as one of its addresses has a server.
    ///
    /// # Errors
    /// The name is taken, or it has neither an address nor a strategy.
    pub fn add_listener(self: &Rc<Self>, config: ListenerConfig) -> Result<(), CommandError> {
        if config.strategy == MultiAddressStrategy::None && config.address.is_empty() {
            return Err(CommandError::NoAddress { name: config.name });
        }
        if self.state.borrow().listeners.contains_key(&config.name) {
            return Err(CommandError::Exists { kind: LISTENER, name: config.name });
        }
        let listener = Rc::new(Listener::new(config));
        let config = &listener.config;
        if config.strategy == MultiAddressStrategy::None && !self.add_target(&listener, None, &config.address, 1) {
            return Err(bad_address(LISTENER, &config.name, &config.address));
        }
        let name = config.name.clone();
        self.state.borrow_mut().listeners.insert(name, Rc::clone(&listener));
        self.claim(&listener);
        self.refresh();
        Ok(())
    }

    /// Removes a listener and closes its socket at once. Its flows are reset if `drop_flows` (`dropTcpConnections`), otherwise they go on.
    ///
    /// # Errors
    /// There is none of that name, or it still has addresses.
    pub fn remove_listener(self: &Rc<Self>, name: &str, drop_flows: bool) -> Result<(), CommandError> {
        let listener = {
            let mut state = self.state.borrow_mut();
            let Some(listener) = state.listeners.get(name) else {
                return Err(missing(LISTENER, name));
            };
            let addresses = listener.targets.borrow().iter().filter(|target| target.name.is_some()).count();
            if addresses > 0 {
                return Err(CommandError::InUse { name: name.to_owned(), addresses });
            }
            let listener = Rc::clone(listener);
            state.listeners.remove(name);
            listener
        };
        for target in listener.targets.take() {
            self.remove_target(&target);
        }
        self.close_everywhere(&listener);
        if drop_flows {
            self.abort_flows(|info| info.listener.as_ref().is_some_and(|used| Rc::ptr_eq(used, &listener)));
        }
        Ok(())
    }

    /// Changes what is looked for in new flows of a listener.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn set_observer(&self, name: &str, observer: Option<Wanted>) -> Result<(), CommandError> {
        let state = self.state.borrow();
        let listener = state.listeners.get(name).ok_or_else(|| missing(LISTENER, name))?;
        listener.observer.set(observer);
        Ok(())
    }

    /// Adds an address to a listener that has a strategy.
    ///
    /// # Errors
    /// The listener is missing or has no strategy, the name is taken, or the value is 0.
    pub fn add_listener_address(self: &Rc<Self>, config: &ListenerAddressConfig) -> Result<(), CommandError> {
        let listener = {
            let state = self.state.borrow();
            let Some(listener) = state.listeners.get(&config.listener) else {
                return Err(missing(LISTENER, &config.listener));
            };
            if listener.config.strategy == MultiAddressStrategy::None {
                return Err(CommandError::SingleAddress { name: config.listener.clone() });
            }
            if config.value == 0 {
                return Err(CommandError::BadValue { name: config.name.clone() });
            }
            if find_target(&state, &config.name).is_some() {
                return Err(CommandError::Exists { kind: ADDRESS, name: config.name.clone() });
            }
            Rc::clone(listener)
        };
        if !self.add_target(&listener, Some(config.name.as_str().into()), &config.address, config.value) {
            return Err(bad_address(ADDRESS, &config.name, &config.address));
        }
        self.refresh();
        Ok(())
    }

    /// Removes an address from its listener. Flows to it go on.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn remove_listener_address(self: &Rc<Self>, name: &str) -> Result<(), CommandError> {
        let Some((listener, index)) = find_target(&self.state.borrow(), name) else {
            return Err(missing(ADDRESS, name));
        };
        let target = listener.targets.borrow_mut().remove(index);
        self.remove_target(&target);
        self.reconcile(&listener);
        self.refresh();
        Ok(())
    }

    /// Adds a connector: its address has one server more.
    ///
    /// # Errors
    /// The name is taken.
    pub fn add_connector(self: &Rc<Self>, config: ConnectorConfig) -> Result<(), CommandError> {
        {
            let mut state = self.state.borrow_mut();
            if state.connectors.contains_key(&config.name) {
                return Err(CommandError::Exists { kind: CONNECTOR, name: config.name });
            }
            let token = state.token();
            let info = ServerInfo {
                open: config.open.clone(),
                failing: config.failing.clone(),
                weight: config.weight.max(1),
                token,
            };
            let Some(key) = self.core.add_server(&config.address, info) else {
                return Err(bad_address(CONNECTOR, &config.name, &config.address));
            };
            let connector = Rc::new(Connector::new(config, key));
            state.servers.insert(token, Rc::clone(&connector));
            state.connectors.insert(connector.config.name.clone(), connector);
        }
        self.refresh();
        Ok(())
    }

    /// Removes a connector. Its flows are reset if `drop_flows` (`dropTcpConnections`), otherwise they go on.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn remove_connector(self: &Rc<Self>, name: &str, drop_flows: bool) -> Result<(), CommandError> {
        let connector = {
            let mut state = self.state.borrow_mut();
            let Some(connector) = state.connectors.remove(name) else {
                return Err(missing(CONNECTOR, name));
            };
            state.servers.retain(|_, other| !Rc::ptr_eq(other, &connector));
            connector
        };
        self.core.remove_server(connector.key);
        if drop_flows {
            self.abort_flows(|info| info.connector.borrow().as_ref().is_some_and(|used| Rc::ptr_eq(used, &connector)));
        }
        self.refresh();
        Ok(())
    }

    /// Takes note of addresses that gained or lost their servers. The adaptor does so after its own commands; whoever changes
    /// the core otherwise (consumers that come and go, messages from other workers) calls this afterwards. Cheap when nothing changed.
    pub fn refresh(self: &Rc<Self>) {
        loop {
            let change = self.core.poll_reachability();
            let Some(change) = change else {
                return;
            };
            let Some(listener) = self.state.borrow().watches.get(&change.token).cloned() else {
                continue;
            };
            for target in listener.targets.borrow_mut().iter_mut() {
                if target.token == change.token {
                    target.reachable = change.reachable;
                }
            }
            self.reconcile(&listener);
        }
    }

    /// What this worker has counted, and whether its listeners accept. The first worker's status is the listener's.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.state.borrow();
        let mut snapshot = Snapshot {
            listeners: state.listeners.values().map(|listener| listener.status()).collect(),
            connectors: state
                .connectors
                .values()
                .map(|connector| ConnectorStatus {
                    name: connector.config.name.clone(),
                    totals: connector.counters.totals(),
                })
                .collect(),
            flows: 0,
            http: self.http_flows(),
        };
        // Bytes of a flow are added to the totals when it ends; until then they are its own.
        let flows = self.flows.borrow();
        snapshot.flows = flows.len();
        for (_, entry) in flows.iter() {
            let info = &entry.info;
            let position =
                |name: &str| snapshot.listeners.binary_search_by(|status| status.name.as_str().cmp(name)).ok();
            let listener = info.listener.as_ref();
            let place = listener.and_then(|listener| position(&listener.config.name));
            if let Some(status) = place.and_then(|index| snapshot.listeners.get_mut(index)) {
                status.totals.bytes_in += info.meters.up.read.get();
                status.totals.bytes_out += info.meters.down.written.get();
            }
            let connector = info.connector.borrow();
            let Some(connector) = connector.as_ref().filter(|_| info.connected.get()) else {
                continue;
            };
            let position = snapshot.connectors.binary_search_by(|status| status.name.cmp(&connector.config.name)).ok();
            if let Some(status) = position.and_then(|index| snapshot.connectors.get_mut(index)) {
                status.totals.bytes_in += info.meters.down.read.get();
                status.totals.bytes_out += info.meters.up.written.get();
            }
        }
        snapshot
    }

    /// Flows that are open now, those still connecting included.
    pub fn open_flows(&self) -> usize {
        self.flows.borrow().len()
    }

    /// Accepts nobody any more, waits at most `limit` for the flows to end, and resets those that are left. Returns how many these were.
    pub async fn drain(self: &Rc<Self>, limit: Duration) -> usize {
        self.draining.set(true);
        let listeners: Vec<_> = self.state.borrow().listeners.values().cloned().collect();
        for listener in &listeners {
            listener.stop();
        }
        // Clients in the queues are accepted by the listeners' tasks, which are ready now: let them run before counting flows.
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        if tokio::time::timeout(limit, self.all_ended()).await.is_ok() {
            return 0;
        }
        for listener in &listeners {
            listener.close();
        }
        let left = self.open_flows();
        self.abort_flows(|_| true);
        self.all_ended().await;
        left
    }

    async fn all_ended(&self) {
        loop {
            let notified = self.idle.notified();
            if self.flows.borrow().is_empty() {
                return;
            }
            notified.await;
        }
    }

    /// False if the address is no address.
    fn add_target(&self, listener: &Rc<Listener>, name: Option<Rc<str>>, address: &str, value: u64) -> bool {
        let token = self.state.borrow_mut().token();
        let Some(watch) = self.core.watch(address, token) else {
            return false;
        };
        self.state.borrow_mut().watches.insert(token, Rc::clone(listener));
        listener.targets.borrow_mut().push(Target {
            name,
            opened: Cell::new(0),
            address: address.into(),
            value,
            watch,
            token,
            reachable: false,
        });
        true
    }

    fn remove_target(&self, target: &Target) {
        self.core.unwatch(target.watch);
        self.state.borrow_mut().watches.remove(&target.token);
    }

    pub(crate) fn server_closed(&self, key: ServerKey) {
        self.core.server_closed(key);
    }

    /// Starts the flow of an accepted client.
    fn start_flow(self: &Rc<Self>, listener: &Rc<Listener>, socket: PlainStream, peer: SocketAddr) {
        add(&listener.counters.opened, 1);
        let (slot, info) = self.new_flow(Some((Rc::clone(listener), peer)));
        self.begin_record(&info);
        self.observe(&info);
        let task = spawn("tcp flow", flow::run(Rc::clone(self), slot, info, socket, peer));
        self.set_task(slot, task);
    }

    /// Starts the flow of a stream from another router, for an address (by its lookup key) of which we have servers. Called by the core.
    pub(crate) fn serve(self: &Rc<Self>, outlet: OutletKey, address: &str) -> Option<LinkRef> {
        if self.draining.get() {
            return None;
        }
        // Only these two classes can be named by a connector.
        let address = match address.split_at_checked(1)? {
            ("M", address) => address.to_owned(),
            ("L", rest) => format!("_local/{rest}"),
            _ => return None,
        };
        let (slot, info) = self.new_flow(None);
        let flow = self.links.open();
        let link = flow.incoming();
        let task = spawn("tcp stream", serve::run(Rc::clone(self), slot, info, flow, outlet, address));
        self.set_task(slot, task);
        Some(link)
    }

    fn new_flow(&self, client: Option<(Rc<Listener>, SocketAddr)>) -> (usize, Rc<FlowInfo>) {
        let (listener, peer) = client.unzip();
        let info = Rc::new(FlowInfo {
            client: peer.map(|peer| SocketInfo::new(Some(peer))),
            server: OnceCell::new(),
            listener,
            connector: RefCell::default(),
            target: RefCell::default(),
            connected: Cell::new(false),
            meters: Meters::default(),
            record: RefCell::default(),
        });
        let entry = Entry { info: Rc::clone(&info), task: None, seen: Seen::first() };
        let mut flows = self.flows.borrow_mut();
        let slot = flows.insert(entry);
        self.group.count_flows(self.index, flows.len());
        (slot, info)
    }

    fn set_task(&self, slot: usize, task: Task) {
        if let Some(entry) = self.flows.borrow_mut().get_mut(slot) {
            entry.task = Some(task);
        }
    }

    /// How much the ends of flows that go through the network keep of what arrives, in bytes; 512 MiB unless it is set. Each stream gets a
    /// window of at most half of what is left of it, and of 1 MiB in any case.
    pub fn bound_memory(&self, bytes: usize) {
        self.links.budget.set(bytes);
    }

    /// What the core is to be given as the egress of the connection number `conn`, which has to be nobody else's: streams of flows that go
    /// through the network come and go there. To be called once.
    pub fn egress(self: &Rc<Self>, conn: u32) -> Box<dyn Egress> {
        Box::new(FlowEgress::new(&self.links, self, conn))
    }

    pub(crate) const fn directory(&self) -> &Rc<dyn Directory> {
        &self.core
    }

    pub(crate) const fn links(&self) -> &Rc<Links> {
        &self.links
    }

    /// Who is to be tried next for a connection of this listener.
    pub(crate) fn pick(&self, listener: &Listener, choice: &mut Choice) -> Option<Picked> {
        loop {
            let (address, name) = listener.choose(&choice.exhausted, &mut self.dice.borrow_mut())?;
            choice.target = name;
            match self.core.pick_flow(&address, &choice.tried, &choice.hops) {
                Some(FlowPick::Server(pick)) => {
                    choice.tried.push(pick.key);
                    return Some(Picked::Server(pick.key, self.connector(pick.token)));
                }
                Some(FlowPick::Far(hop)) => {
                    choice.hops.push(hop);
                    return Some(Picked::Far(address, hop));
                }
                // Several routers with servers may lie behind a neighbour, and one that could not reach its own comes last for a while.
                None if !choice.hops.is_empty() && choice.rounds < flow::ROUNDS => {
                    choice.rounds += 1;
                    choice.hops.clear();
                }
                None => choice.exhaust(address),
            }
        }
    }

    /// The next server to try for a stream from another router.
    pub(crate) fn pick_server(&self, address: &str, tried: &mut Vec<ServerKey>) -> Option<Picked> {
        let pick = self.core.pick_server(address, tried)?;
        tried.push(pick.key);
        Some(Picked::Server(pick.key, self.connector(pick.token)))
    }

    fn connector(&self, token: u64) -> Option<Rc<Connector>> {
        self.state.borrow().servers.get(&token).cloned()
    }

    /// A flow has found its server; if it has limits, somebody has to watch them.
    pub(crate) fn flow_connected(self: &Rc<Self>, info: &FlowInfo) {
        let Some(tick) = Limits::of(info).tick() else {
            return;
        };
        let mut sweeper = self.sweeper.borrow_mut();
        if sweeper.as_ref().is_some_and(|(current, _)| *current <= tick) {
            return;
        }
        let task = spawn("tcp timeouts", sweep(Rc::downgrade(self), tick));
        if let Some((_, slower)) = sweeper.replace((tick, task)) {
            slower.abort();
        }
    }

    /// The sweeper goes on with this tick, or ends.
    pub(crate) fn sweeping(&self, tick: Option<Duration>) {
        let mut sweeper = self.sweeper.borrow_mut();
        match tick {
            None => *sweeper = None,
            Some(tick) => {
                if let Some((current, _)) = sweeper.as_mut() {
                    *current = tick;
                }
            }
        }
    }

    pub(crate) fn each_flow(&self, mut look: impl FnMut(&mut Entry)) {
        for (_, entry) in self.flows.borrow_mut().iter_mut() {
            look(entry);
        }
    }

    pub(crate) fn flow_ended(&self, slot: usize) {
        let mut flows = self.flows.borrow_mut();
        flows.try_remove(slot);
        self.group.count_flows(self.index, flows.len());
        if flows.is_empty() {
            // Ten thousand flows of yesterday are no reason to keep their table.
            flows.shrink_to_fit();
            self.idle.notify_waiters();
        }
    }

    fn abort_flows(&self, which: impl Fn(&FlowInfo) -> bool) {
        // The futures are dropped later, by the worker's loop: nothing here is re-entered.
        for (_, entry) in self.flows.borrow().iter() {
            if which(&entry.info)
                && let Some(task) = &entry.task
            {
                task.abort();
            }
        }
    }
}

impl std::fmt::Debug for TcpAdaptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TcpAdaptor")
            .field("group", &self.group)
            .field("index", &self.index)
            .field("state", &self.state)
            .field("flows", &self.open_flows())
            .finish_non_exhaustive()
    }
}

fn bad_address(kind: &'static str, name: &str, address: &str) -> CommandError {
    CommandError::BadAddress { kind, name: name.to_owned(), address: address.to_owned() }
}

fn missing(kind: &'static str, name: &str) -> CommandError {
    CommandError::Missing { kind, name: name.to_owned() }
}

fn find_target(state: &State, name: &str) -> Option<(Rc<Listener>, usize)> {
    state.listeners.values().find_map(|listener| {
        let index = listener.targets.borrow().iter().position(|target| target.name.as_deref() == Some(name))?;
        Some((Rc::clone(listener), index))
    })
}
