//! The network as the control thread sees it: the routing protocol runs here, and the workers get the tables that come of it.

mod edges;
mod loads;
mod relay;
mod view;

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use amqp_adaptor::{NeighbourConn, NeighbourEvent, NeighbourInfo, Neighbours};
use amqp_proto::{Error, condition};
use router_core::config::Configuration;
use router_core::edge::{EdgeNeighbours, Mesh, Uplinks};
use router_core::entity::{ActiveUplinks, Mode};
use router_core::routing::codec::Interner;
use router_core::routing::{
    AddressBook, AddressKey, Event, FloodGuard, LinkCost, LinkId, LoadPart, Output, Routing, RoutingConfig,
};
use router_core::{Demand, Presence, Shares};
use transport::{MailReceiver, WorkerHandle, mailbox};

use super::services::Services;
use super::worker;
use edges::Edges;
use loads::Loads;
pub(crate) use view::{Seen, View};

/// What control hears from the workers.
#[derive(Debug)]
pub(crate) struct Inputs {
    pub(crate) neighbours: MailReceiver<NeighbourEvent>,
    pub(crate) presence: MailReceiver<Presence>,
    pub(crate) demand: MailReceiver<Demand>,
    /// What the workers share.
    pub(crate) shares: Shares,
}

/// What is new in a worker about what consumers have to do.
#[derive(Debug)]
pub(crate) struct WorkerLoads {
    worker: u16,
    parts: Vec<LoadPart>,
}

/// The routing protocol of this router and what it needs to run.
#[derive(Debug)]
pub(crate) struct Network {
    /// `None`: a router that stands alone.
    routing: Option<Routing>,
    edges: Edges,
    loads: Loads,
    interner: Interner,
    guard: FloodGuard,
    /// As in traces.
    name: String,
    conns: HashMap<u64, NeighbourInfo>,
    neighbours: Neighbours,
    workers: Vec<WorkerHandle>,
    book: AddressBook,
    /// What the workers have to be told.
    changed: Vec<AddressKey>,
    new_routes: bool,
    new_trees: bool,
    view: View,
    services: Services,
    /// What management sees is not what is.
    stale: bool,
}

impl Network {
    pub(crate) fn new(
        configuration: &Configuration,
        neighbours: Neighbours,
        workers: &[WorkerHandle],
        view: View,
        services: Services,
    ) -> Self {
        let router = &configuration.router;
        let id = router.id.clone().unwrap_or_default();
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let routing = (router.mode == Mode::Interior).then(|| {
            let seconds = |n: u32| Duration::from_secs(u64::from(n));
            let finer = |ms: Option<u32>, n: u32| ms.map_or_else(|| seconds(n), |ms| Duration::from_millis(ms.into()));
            let config = RoutingConfig {
                first_sequence: since.subsec_micros(),
                hello_interval: finer(router.hello_interval_milliseconds, router.hello_interval_seconds),
                hello_max_age: finer(router.hello_max_age_milliseconds, router.hello_max_age_seconds),
                ra_interval: seconds(router.ra_interval_seconds),
                ra_interval_flux: seconds(router.ra_interval_flux_seconds),
                remote_ls_max_age: seconds(router.remote_ls_max_age_seconds),
                unreachable_holdoff: seconds(router.unreachable_holdoff_seconds),
                ..RoutingConfig::new(id.as_str(), i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
            };
            Routing::new(config, Instant::now())
        });
        let edges = if router.mode == Mode::Edge {
            let all = router.active_uplinks == ActiveUplinks::All;
            Edges::Here { uplinks: Uplinks::new(all), mesh: Mesh::new(edges::new_mesh(), all) }
        } else {
            Edges::Neighbours(EdgeNeighbours::new())
        };
        let mut network = Self {
            routing,
            edges,
            loads: Loads::default(),
            interner: Interner::new(),
            guard: FloodGuard::new(),
            name: format!("0/{id}"),
            conns: HashMap::new(),
            neighbours,
            workers: workers.to_vec(),
            book: AddressBook::new(),
            changed: Vec::new(),
            new_routes: false,
            new_trees: false,
            view,
            services,
            stale: true,
        };
        network.show();
        network.settle_mesh();
        network
    }

    /// Runs until it is dropped.
    pub(crate) async fn run(mut self, inputs: Option<Inputs>) -> Infallible {
        let Some(Inputs { mut neighbours, mut presence, mut demand, shares }) = inputs else { return pending().await };
        self.loads = Loads::new(shares);
        let (mut events, mut addresses, mut demands) = (Vec::new(), Vec::new(), Vec::new());
        let (answers, mut loads) = mailbox();
        let mut reports = Vec::new();
        loop {
            let wake = self.routing.as_ref().and_then(Routing::poll_timeout).into_iter().chain(self.loads.due()).min();
            let sleep = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                open = neighbours.drain(&mut events) => {
                    if open.is_err() {
                        return pending().await;
                    }
                }
                open = presence.drain(&mut addresses) => {
                    if open.is_err() {
                        return pending().await;
                    }
                }
                open = demand.drain(&mut demands) => {
                    if open.is_err() {
                        return pending().await;
                    }
                }
                open = loads.drain(&mut reports) => {
                    if open.is_err() {
                        return pending().await;
                    }
                }
                () = sleep => {}
            }
            let now = Instant::now();
            for event in events.drain(..) {
                self.neighbour(event, now);
            }
            for presence in addresses.drain(..) {
                self.presence(presence);
            }
            for demand in demands.drain(..) {
                self.demand(demand);
            }
            for report in reports.drain(..) {
                self.loads.report(report);
            }
            self.sample_loads(&answers, now);
            self.settle(now);
        }
    }

    fn neighbour(&mut self, event: NeighbourEvent, now: Instant) {
        match event {
            NeighbourEvent::Opened(info) => {
                self.edge_opened(&info);
                self.conns.insert(info.conn.id, info);
            }
            NeighbourEvent::ControlUp { conn, replaces } => {
                let info = self.conns.get(&conn.id);
                let cost = info.map_or_else(|| LinkCost::from(1), |info| info.cost);
                if let Some(routing) = &mut self.routing {
                    match replaces {
                        Some(old) => routing.link_replaced(LinkId(old.id), LinkId(conn.id), cost, now),
                        None => routing.link_up(LinkId(conn.id), cost, now),
                    }
                    if let Some(info) = info.filter(|info| !info.ours) {
                        routing.presume_neighbour(LinkId(conn.id), info.container.as_str(), now);
                    }
                }
            }
            NeighbourEvent::CostChanged { outgoing, via, cost } => {
                for (id, info) in &mut self.conns {
                    if info.outgoing == outgoing && info.via == via {
                        info.cost.ours = cost;
                        if let Some(routing) = &mut self.routing {
                            routing.link_cost(LinkId(*id), cost, now);
                        }
                    }
                }
            }
            NeighbourEvent::Control { conn, message } => self.control_message(conn, &message, now),
            NeighbourEvent::ControlDown { conn, .. } => self.link_lost(conn, now),
            // Logged where it was noticed.
            NeighbourEvent::GroupSplit { .. } => {}
            NeighbourEvent::Edge { conn, event } => self.edge_event(conn, event),
            NeighbourEvent::Closed { conn, .. } => {
                if let Some(info) = self.conns.remove(&conn.id) {
                    self.edge_closed(&info);
                }
                self.link_lost(conn, now);
            }
        }
    }

    fn link_lost(&mut self, conn: NeighbourConn, now: Instant) {
        if let Some(routing) = &mut self.routing {
            routing.link_lost(LinkId(conn.id), now);
        }
    }

    /// Does what is due, and everything that follows from what came in.
    fn settle(&mut self, now: Instant) {
        while let Some(routing) = self.routing.as_mut().filter(|r| r.poll_timeout().is_some_and(|at| at <= now)) {
            routing.handle_timeout(now);
        }
        loop {
            while let Some(output) = self.routing.as_mut().and_then(Routing::poll_output) {
                match output {
                    Output::Send { to, message } => self.send(&to, &message),
                    Output::Event(event) => {
                        self.stale |= !matches!(event, Event::Loads { .. });
                        self.happened(event);
                    }
                }
            }
            if !self.settle_edges() {
                break;
            }
        }
        self.publish();
        self.show();
    }

    fn happened(&mut self, event: Event) {
        self.book.apply(&event);
        self.happened_to_loads(&event);
        match &event {
            Event::NeighbourUp { router, cost, .. } => {
                tracing::info!(target: "ROUTER_LS", "Router {router} is a neighbour, at cost {cost}");
            }
            Event::NeighbourDown { router } => tracing::info!(target: "ROUTER_LS", "Lost the neighbour {router}"),
            Event::LinkSilent { link, router } => {
                tracing::info!(target: "ROUTER_HELLO", "[C{}] Nothing heard from router {router} for too long: closing", link.0);
                self.close_silent(*link);
            }
            Event::Routes(routes) => {
                tracing::debug!(target: "ROUTER_LS", "{} other routers can be reached", routes.reachable_count());
                self.new_routes = true;
                self.services.network_changed();
            }
            Event::Addresses { added, removed, .. } => {
                let keys = added.iter().map(|entry| &entry.key).chain(removed.iter());
                for key in keys {
                    self.changed.push(Arc::clone(key));
                    if let Edges::Neighbours(edges) = &mut self.edges {
                        edges.changed(key, &self.book);
                    }
                }
            }
            Event::Trees(_) => self.new_trees = true,
            Event::TellsLoads { .. } => self.new_routes = true,
            Event::Loads { .. } => {}
            Event::RouterUnreachable { router } => {
                tracing::info!(target: "ROUTER_LS", "Router {router} cannot be reached any more");
            }
            Event::RouterForgotten { router } => tracing::info!(target: "ROUTER_LS", "Forgot router {router}"),
            Event::RouterRestarted { router } => tracing::info!(target: "ROUTER_LS", "Router {router} was restarted"),
            Event::DuplicateId { .. } => {
                tracing::error!(
                    target: "ROUTER_LS",
                    "Another router in the network has this router's id ({}): give one of them another id",
                    self.name.get(2..).unwrap_or_default()
                );
            }
            Event::UnsupportedVersion { router, opcode, version } => {
                tracing::warn!(target: "ROUTER_LS", "Router {router} speaks version {version} of {opcode}, which is ignored");
            }
            Event::LimitReached { limit, router } => {
                tracing::warn!(target: "ROUTER_LS", "Router {router} told more than is kept: {limit:?}");
            }
        }
    }

    /// Closes a connection on which a neighbour is silent, and those for data that go with it: what waits there for an outcome gets one
    /// now, instead of after the idle timeout, and a connector connects again.
    fn close_silent(&self, link: LinkId) {
        let Some(info) = self.conns.get(&link.0) else { return };
        let groups = self.neighbours.groups_to(&info.container);
        let data = groups.into_iter().filter(|group| group.control == info.conn).flat_map(|group| group.data);
        for conn in data.chain([info.conn]) {
            let text = "nothing was heard from the router for longer than helloMaxAge";
            self.neighbours.abandon(conn, Error::new(condition::CONNECTION_FORCED, text));
        }
    }

    /// Lets management see what is new.
    fn show(&mut self) {
        if let Some(routing) = self.routing.as_ref().filter(|_| self.stale) {
            self.view.set(routing.routers().collect(), routing.routes(), &self.book);
            self.stale = false;
        }
    }

    /// Gives the workers what is new.
    fn publish(&mut self) {
        let Some(routing) = &self.routing else { return };
        let changed = std::mem::take(&mut self.changed);
        let new_routes = std::mem::take(&mut self.new_routes);
        let new_trees = std::mem::take(&mut self.new_trees);
        if !new_routes && !new_trees && changed.is_empty() {
            return;
        }
        let routes = Arc::clone(routing.routes());
        // Every address may have another way after a change of routes.
        let changed: Option<Arc<[AddressKey]>> = (!new_routes).then(|| changed.into());
        for handle in &self.workers {
            let (routes, book, changed) = (Arc::clone(&routes), self.book.clone(), changed.clone());
            // A worker that is gone needs no routes.
            let _ = handle.run(move || {
                let Some(worker) = worker::current() else { return };
                worker.amqp.with_core(|core, eg| {
                    core.set_routes(routes, book, changed.as_deref(), eg);
                    core.end_batch(eg);
                });
                worker.amqp.flush();
            });
        }
    }
}
