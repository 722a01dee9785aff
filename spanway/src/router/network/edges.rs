//! Edge routers: the uplinks of one, or those that have their uplinks here.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use amqp_adaptor::{ConnectionRole, EdgeCommand, EdgeEvent, NeighbourConn, NeighbourInfo};
use amqp_proto::Role;
use router_core::edge::{
    Direction, EdgeNeighbours, MESH_ID, Mesh, MeshBid, NeighbourOutput, Uplink, UplinkOutput, Uplinks,
};
use router_core::routing::Hint;
use router_core::{Demand, Presence, Treatment};

use super::Network;
use crate::router::worker;

/// What control does about edge routers.
#[derive(Debug)]
pub(super) enum Edges {
    /// This router is one.
    Here { uplinks: Uplinks, mesh: Mesh },
    /// It may have some.
    Neighbours(EdgeNeighbours),
}

pub(super) fn hint(treatment: Treatment) -> Hint {
    match treatment {
        Treatment::Multicast => Hint::Multicast,
        Treatment::Closest => Hint::Closest,
        Treatment::Balanced => Hint::Balanced,
        Treatment::Unavailable => Hint::Unavailable,
    }
}

/// An id that no other mesh has.
pub(super) fn new_mesh() -> MeshBid {
    const ALPHABET: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+_";
    // New states are seeded by the system, and an empty hash of one is a random number.
    let random = || RandomState::new().build_hasher().finish();
    let letters = (0..MESH_ID).map(|_| ALPHABET.get((random() % 64) as usize).map_or('a', |c| char::from(*c)));
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
    let ordinal = i64::try_from(since).unwrap_or_default().saturating_add((random() % 1_000_000) as i64);
    MeshBid { ordinal, id: letters.collect::<String>().into() }
}

impl Network {
    /// Whether a connection is one with an edge router at one end; then that it was opened is known.
    pub(super) fn edge_opened(&mut self, info: &NeighbourInfo) {
        let peer = info.role == ConnectionRole::InterEdge;
        if let Edges::Here { uplinks, .. } = &mut self.edges
            && (peer || info.role == ConnectionRole::Edge && info.outgoing)
        {
            uplinks.opened(Uplink {
                conn: info.conn.id,
                ordinal: info.ordinal,
                router: info.container.as_str().into(),
                ours: info.ours,
                peer,
            });
        }
    }

    pub(super) fn edge_closed(&mut self, info: &NeighbourInfo) {
        if !info.role.is_edge() {
            return;
        }
        let id = info.conn.id;
        self.view.set_mesh(id, None);
        self.view.set_uplink(id, false);
        match &mut self.edges {
            Edges::Here { uplinks, mesh } => {
                if uplinks.used().contains(&id) {
                    let what = if uplinks.is_peer(id) { "link to edge router" } else { "uplink to router" };
                    tracing::info!(target: "ROUTER_CORE", "[C{id}] Lost the {what} {}", info.container);
                }
                uplinks.closed(id);
                mesh.closed(id);
                self.on_workers(move |worker| worker.amqp.with_core(|core, _| core.set_uplink(id, None)));
            }
            Edges::Neighbours(edges) => {
                let keys = edges.addresses_of(id);
                edges.closed(id, &self.book);
                self.loads.edges_changed(edges, keys);
                self.on_workers(move |worker| {
                    worker.amqp.with_core(|core, eg| core.set_edge_mesh(id, None, eg));
                });
            }
        }
    }

    pub(super) fn edge_event(&mut self, conn: NeighbourConn, event: EdgeEvent) {
        // What is late for a connection that is gone would never be taken back.
        if !self.conns.contains_key(&conn.id) {
            return;
        }
        match (&mut self.edges, event) {
            (Edges::Neighbours(edges), EdgeEvent::Consumer { key, treatment, here }) => {
                edges.consumer(conn.id, Arc::clone(&key), hint(treatment), here, &self.book);
                self.loads.edges_changed(edges, [key]);
            }
            (Edges::Neighbours(edges), EdgeEvent::Producer { key, here }) => {
                edges.producer(conn.id, key, here, &self.book);
            }
            (Edges::Neighbours(edges), EdgeEvent::Mesh(mesh)) => {
                edges.mesh(conn.id, Arc::clone(&mesh), &self.book);
                self.view.set_mesh(conn.id, Some(Arc::clone(&mesh)));
                self.on_workers(move |worker| {
                    let mesh = Some(Arc::clone(&mesh));
                    worker.amqp.with_core(|core, eg| core.set_edge_mesh(conn.id, mesh, eg));
                });
            }
            (Edges::Here { uplinks, .. }, EdgeEvent::Tracking { key, reachable }) => {
                uplinks.tracked(conn.id, &key, reachable);
            }
            (Edges::Here { uplinks, .. }, EdgeEvent::Ready) => {
                uplinks.ready(conn.id);
                self.services.network_changed();
            }
            (Edges::Here { mesh, .. }, EdgeEvent::Bid(bid)) => {
                let tie = mesh.heard(conn.id, bid);
                if tie {
                    mesh.offer(new_mesh());
                    let offer = EdgeCommand::Offer(mesh.own().clone());
                    self.tell_edges(true, &offer);
                }
            }
            (Edges::Here { uplinks, .. }, EdgeEvent::LinkGone { key, role }) => {
                uplinks.refused(conn.id, key, direction(role));
            }
            _ => {}
        }
    }

    /// Consumers of this router itself. True if that was all there is to do.
    pub(super) fn presence(&mut self, presence: Presence) {
        self.services.presence(&presence);
        match &mut self.edges {
            Edges::Here { uplinks, .. } => {
                if presence.key.starts_with('M') {
                    let copies = presence.treatment == Treatment::Multicast;
                    uplinks.consumers(presence.key, presence.here, copies);
                }
            }
            Edges::Neighbours(edges) => {
                let hint = presence.here.then(|| hint(presence.treatment));
                edges.local(presence.key, hint, &self.book);
            }
        }
    }

    pub(super) fn demand(&mut self, demand: Demand) {
        if let Edges::Here { uplinks, .. } = &mut self.edges
            && demand.key.starts_with('M')
        {
            uplinks.producers(demand.key, demand.worker, demand.wanted);
        }
    }

    /// Does what follows from events about edges. True if the routing protocol has something new.
    pub(super) fn settle_edges(&mut self) -> bool {
        let mut news = false;
        let mut bound = Vec::new();
        self.settle_mesh();
        loop {
            match &mut self.edges {
                Edges::Here { uplinks, .. } => {
                    let Some(output) = uplinks.poll_output() else { break };
                    self.uplink_output(output, &mut bound);
                }
                Edges::Neighbours(edges) => {
                    let Some(output) = edges.poll_output() else { break };
                    news = true;
                    self.neighbour_output(output);
                }
            }
        }
        if !bound.is_empty() {
            let bound: Arc<[(u64, Arc<str>, bool)]> = bound.into();
            self.on_workers(move |worker| {
                worker.amqp.with_core(|core, eg| core.set_bound(&bound, eg));
            });
        }
        news
    }

    /// Does what follows from another id of our mesh.
    pub(super) fn settle_mesh(&mut self) {
        let Edges::Here { uplinks, mesh } = &mut self.edges else { return };
        let Some(id) = mesh.poll_change() else { return };
        tracing::info!(target: "ROUTER_CORE", "The id of the edge mesh is {id}");
        for conn in uplinks.used().iter().filter(|conn| uplinks.is_peer(**conn)) {
            self.view.set_mesh(*conn, Some(Arc::clone(&id)));
        }
        self.tell_edges(false, &EdgeCommand::Mesh(Arc::clone(&id)));
        self.on_workers(move |worker| worker.amqp.with_core(|core, _| core.set_mesh(Arc::clone(&id))));
    }

    /// Sends a command to the connections in use that lead to other edge routers, or to those that lead to interior routers.
    fn tell_edges(&self, peers: bool, command: &EdgeCommand) {
        let Edges::Here { uplinks, .. } = &self.edges else { return };
        let used = uplinks.used().iter().filter(|conn| uplinks.is_peer(**conn) == peers);
        for info in used.filter_map(|conn| self.conns.get(conn)) {
            self.neighbours.edge(info.conn, command.clone());
        }
    }

    fn uplink_output(&mut self, output: UplinkOutput, bound: &mut Vec<(u64, Arc<str>, bool)>) {
        let Edges::Here { uplinks, mesh } = &self.edges else { return };
        let (conn, command) = match output {
            UplinkOutput::Activate { conn } => {
                let container = self.conns.get(&conn).map_or("", |info| info.container.as_str());
                if uplinks.is_peer(conn) {
                    tracing::info!(target: "ROUTER_CORE", "[C{conn}] Edge router {container} is of the same mesh");
                    self.view.set_mesh(conn, Some(mesh.id()));
                    (conn, EdgeCommand::Join { bid: mesh.own().clone() })
                } else {
                    self.view.set_uplink(conn, true);
                    tracing::info!(target: "ROUTER_CORE", "[C{conn}] The uplink is the connection to router {container}");
                    if self.conns.get(&conn).is_some_and(|info| info.ours) {
                        let router: Arc<str> = container.into();
                        self.on_workers(move |worker| {
                            worker.amqp.with_core(|core, _| core.set_uplink(conn, Some(Arc::clone(&router))));
                        });
                    }
                    (conn, EdgeCommand::Activate { mesh: mesh.id() })
                }
            }
            UplinkOutput::Retire { conn } => {
                self.view.set_uplink(conn, false);
                self.on_workers(move |worker| worker.amqp.with_core(|core, _| core.set_uplink(conn, None)));
                (conn, EdgeCommand::Retire)
            }
            UplinkOutput::Attach { conn, key, direction } => (conn, EdgeCommand::Attach { key, role: role(direction) }),
            UplinkOutput::Detach { conn, key, direction } => (conn, EdgeCommand::Detach { key, role: role(direction) }),
            UplinkOutput::Bind { conn, key, bound: now } => return bound.push((conn, key, now)),
        };
        if let Some(info) = self.conns.get(&conn) {
            self.neighbours.edge(info.conn, command);
        }
    }

    fn neighbour_output(&mut self, output: NeighbourOutput) {
        match output {
            NeighbourOutput::Address { key, state } => {
                let Some(routing) = &mut self.routing else { return };
                if let Err(error) = routing.local_address(key, state) {
                    tracing::warn!(target: "ROUTER_MA", "{error}: other routers are not told of it");
                }
            }
            NeighbourOutput::Track { conn, key, reachable, first } => {
                if let Some(info) = self.conns.get(&conn).filter(|info| reachable || !first || info.ours) {
                    self.neighbours.edge(info.conn, EdgeCommand::Track { key, reachable });
                }
            }
        }
    }

    /// Changes something in every worker's core.
    pub(super) fn on_workers(&self, change: impl Fn(&worker::Worker) + Clone + Send + 'static) {
        for handle in &self.workers {
            let change = change.clone();
            // A worker that is gone needs no news.
            let _ = handle.run(move || {
                let Some(worker) = worker::current() else { return };
                change(&worker);
                worker.amqp.flush();
            });
        }
    }
}

const fn role(direction: Direction) -> Role {
    match direction {
        Direction::In => Role::Receiver,
        Direction::Out => Role::Sender,
    }
}

const fn direction(role: Role) -> Direction {
    match role {
        Role::Receiver => Direction::In,
        Role::Sender => Direction::Out,
    }
}
