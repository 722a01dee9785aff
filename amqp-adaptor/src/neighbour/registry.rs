//! What all workers and the control thread share about neighbours.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use amqp_proto::Error;
use transport::{MailReceiver, MailSender, WorkerHandle, mailbox};

use super::groups::Groups;
use super::{ControlMessage, EdgeCommand, NeighbourConn, NeighbourEvent};
use crate::drive::END_LIMIT;
use crate::worker::Inner;

/// The neighbours of a router, for the control thread and for every worker's adaptor. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Neighbours(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    events: MailSender<NeighbourEvent>,
    workers: Vec<WorkerHandle>,
    groups: Mutex<Groups>,
    /// Which of several connections for data gets the next link.
    turn: AtomicUsize,
    /// Connections with an edge router at one end, by number.
    edges: Mutex<HashMap<u64, NeighbourConn>>,
}

/// The connections that one connector made, as far as they go together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupView {
    /// The connection that has the control links.
    pub control: NeighbourConn,
    /// Those for data.
    pub data: Vec<NeighbourConn>,
}

impl Neighbours {
    /// For a router of these workers; and where their events come.
    #[must_use]
    pub fn new(workers: &[WorkerHandle]) -> (Self, MailReceiver<NeighbourEvent>) {
        let (events, inbox) = mailbox();
        (
            Self(Arc::new(Shared {
                events,
                workers: workers.to_vec(),
                groups: Mutex::default(),
                turn: AtomicUsize::new(0),
                edges: Mutex::default(),
            })),
            inbox,
        )
    }

    /// The groups of connections that lead to a router, those that have control links only.
    #[must_use]
    pub fn groups_to(&self, container: &str) -> Vec<GroupView> {
        self.groups().leading_to(container).map(|(control, data)| GroupView { control, data }).collect()
    }

    /// Sends a message on a connection's control link, now or when there is credit. Does nothing for one that is gone. Callable from any thread.
    pub fn send_control(&self, conn: NeighbourConn, message: ControlMessage) {
        self.on(conn, move |inner| inner.send_control(conn, message));
    }

    /// Closes a connection. A connector of ours will make it again. Callable from any thread.
    pub fn close(&self, conn: NeighbourConn, error: Error) {
        self.on(conn, move |inner| inner.close_neighbour(conn, error, END_LIMIT));
    }

    /// The same for a connection whose peer is silent: nothing is expected of it any more. Callable from any thread.
    pub fn abandon(&self, conn: NeighbourConn, error: Error) {
        self.on(conn, move |inner| inner.close_neighbour(conn, error, Duration::ZERO));
    }

    /// The cost of a connector or listener is another one: so it is on the links that there are. Callable from any thread.
    pub fn cost_changed(&self, outgoing: bool, via: &str, cost: u32) {
        self.tell(NeighbourEvent::CostChanged { outgoing, via: Arc::from(via), cost });
    }

    /// Does something with a connection that has an edge router at one end, if it is still there. Callable from any thread.
    pub fn edge(&self, conn: NeighbourConn, command: EdgeCommand) {
        self.on(conn, move |inner| inner.edge_command(conn, command));
    }

    pub(crate) fn edge_opened(&self, conn: NeighbourConn) {
        self.edges().insert(conn.id, conn);
    }

    pub(crate) fn edge_closed(&self, id: u64) {
        self.edges().remove(&id);
    }

    fn edges(&self) -> MutexGuard<'_, HashMap<u64, NeighbourConn>> {
        self.0.edges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Attaches one more link for streams to a router: on a connection of the worker that wants it if there is one, on one for data if there
    /// is one.
    pub(crate) fn open_stream(&self, container: &str, worker: u16) {
        if let Some(edge) = router_core::edge_of_hop(container) {
            let conn = self.edges().get(&edge).copied();
            return match conn {
                Some(conn) => self.open_stream_on(conn, container, worker),
                None => self.no_stream(container, worker),
            };
        }
        let groups = self.groups_to(container);
        let data = || groups.iter().flat_map(|group| &group.data);
        let control = || groups.iter().map(|group| &group.control);
        let here = |conn: &&NeighbourConn| conn.worker == worker;
        let turn = self.0.turn.fetch_add(1, Ordering::Relaxed);
        let next = || data().nth(turn % data().count().max(1));
        let conn = data().find(here).or_else(next).or_else(|| control().find(here)).or_else(|| control().next());
        match conn {
            Some(conn) => self.open_stream_on(*conn, container, worker),
            None => self.no_stream(container, worker),
        }
    }

    fn open_stream_on(&self, conn: NeighbourConn, container: &str, worker: u16) {
        let container = container.to_owned();
        self.on(conn, move |inner| inner.open_stream(conn, &container, worker));
    }

    /// Tells a worker, which has asked for a link, that the streams that wait there get none.
    pub(super) fn no_stream(&self, container: &str, worker: u16) {
        let container = container.to_owned();
        self.at(worker, move |inner| inner.no_stream(&container, true));
    }

    /// The router refused a link for streams: it takes none.
    pub(super) fn stream_refused(&self, container: &str) {
        for worker in 0..self.0.workers.len() {
            let container = container.to_owned();
            self.at(u16::try_from(worker).unwrap_or(u16::MAX), move |inner| inner.no_stream(&container, false));
        }
    }

    /// A worker has got the link for streams that it asked for, or may ask again.
    pub(crate) fn stream_answered(&self, container: &str, worker: u16) {
        let container = container.to_owned();
        self.at(worker, move |inner| inner.stream_answered(&container));
    }

    pub(crate) fn on(&self, conn: NeighbourConn, f: impl FnOnce(&Inner) + Send + 'static) {
        // If that worker is gone, so is the connection.
        self.at(conn.worker, f);
    }

    /// `old` was replaced by `new`: retires it when every worker has heard of the links of `new`, and none is without a way meanwhile.
    pub(crate) fn retire(&self, old: NeighbourConn, new: NeighbourConn) {
        let all = self.clone();
        // Its worker sends its mail at the end of what it does now.
        self.on(new, move |_| all.retire_after(old, 0));
    }

    fn retire_after(&self, old: NeighbourConn, worker: u16) {
        if usize::from(worker) >= self.0.workers.len() {
            return self.on(old, move |inner| inner.retire(old));
        }
        let all = self.clone();
        self.at(worker, move |inner| {
            inner.read_mail();
            all.retire_after(old, worker + 1);
        });
    }

    fn at(&self, worker: u16, f: impl FnOnce(&Inner) + Send + 'static) {
        let Some(worker) = self.0.workers.get(usize::from(worker)) else { return };
        let _ = worker.run(move || {
            if let Some(inner) = Inner::current() {
                f(&inner);
            }
        });
    }

    pub(crate) fn tell(&self, event: NeighbourEvent) {
        // Nobody listens any more when the router ends.
        let _ = self.0.events.push(event);
    }

    pub(crate) fn groups(&self) -> MutexGuard<'_, Groups> {
        self.0.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
