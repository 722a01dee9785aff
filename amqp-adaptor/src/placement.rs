//! Which worker gets a new AMQP connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::neighbour::ConnectionRole;

/// Connections are dealt to workers in groups of this size.
///
/// An unsettled message costs the core 55 ns within a worker and 163 ns between two, and a handful of clients that come together
/// usually talk to each other; more connections than this are better spread than close (November 2026).
const GROUP: usize = 8;

/// And those of edge routers to this interior one in groups of this size: what one edge sends is mostly for another, and a worker passes on more
/// than the network brings (between two edges on two workers a presettled message costs the interior router 1.7 times what it costs on
/// one, November 2026).
const EDGE_GROUP: usize = 4;

/// Counts the AMQP connections of each worker. Shared by all listeners of a router.
#[derive(Debug)]
pub struct Placement {
    open: Vec<AtomicUsize>,
    /// Of these, connections to interior routers, or as an edge router.
    routers: Vec<AtomicUsize>,
    /// Of these, connections of edge routers to this one.
    edges: Vec<AtomicUsize>,
}

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Client,
    Router,
    Edge,
}

impl Placement {
    /// For this many workers, at least one.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        let zeros = || (0..workers.max(1)).map(|_| AtomicUsize::new(0)).collect();
        Self { open: zeros(), routers: zeros(), edges: zeros() }
    }

    /// Chooses the worker for one more connection to a router, and counts it there. These are spread evenly: each carries the traffic of many,
    /// and every worker wants one to each neighbour.
    fn place_router(&self) -> usize {
        let worker = first_with_fewest(&self.routers, 1);
        self.counted(worker, Of::Router);
        worker
    }

    /// The same for one of an edge router.
    fn place_edge(&self) -> usize {
        let worker = first_with_fewest(&self.edges, EDGE_GROUP);
        self.counted(worker, Of::Edge);
        worker
    }

    /// Chooses the worker for one more connection and counts it there: the first of those with the fewest full groups.
    pub fn place(&self) -> usize {
        let worker = first_with_fewest(&self.open, GROUP);
        self.counted(worker, Of::Client);
        worker
    }

    fn counted(&self, worker: usize, of: Of) {
        self.taken(worker);
        if let Some(open) = self.list(of).and_then(|list| list.get(worker)) {
            open.fetch_add(1, Ordering::Relaxed);
        }
    }

    const fn list(&self, of: Of) -> Option<&Vec<AtomicUsize>> {
        match of {
            Of::Client => None,
            Of::Router => Some(&self.routers),
            Of::Edge => Some(&self.edges),
        }
    }

    fn taken(&self, worker: usize) {
        if let Some(open) = self.open.get(worker) {
            open.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Connections that are open, by worker, those included whose TLS handshake is under way.
    #[must_use]
    pub fn open(&self) -> Vec<usize> {
        self.open.iter().map(|open| open.load(Ordering::Relaxed)).collect()
    }

    /// A connection of this worker is gone.
    pub fn gone(&self, worker: usize) {
        if let Some(open) = self.open.get(worker) {
            open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// The first worker of those with the fewest full groups of this size.
fn first_with_fewest(open: &[AtomicUsize], group: usize) -> usize {
    let groups = open.iter().map(|open| open.load(Ordering::Relaxed) / group).enumerate();
    groups.min_by_key(|(_, full)| *full).map_or(0, |(worker, _)| worker)
}

/// A connection's place on a worker: counted until it is dropped, whatever becomes of the connection.
#[derive(Debug)]
pub(crate) struct Place {
    placement: Arc<Placement>,
    worker: usize,
    of: Of,
}

impl Place {
    /// On the worker that [`Placement`] chooses for a connection that a listener of this role took.
    pub(crate) fn take(placement: &Arc<Placement>, role: ConnectionRole) -> Self {
        let (worker, of) = match role {
            ConnectionRole::Edge | ConnectionRole::InterEdge => (placement.place_edge(), Of::Edge),
            role if role.is_router() => (placement.place_router(), Of::Router),
            _ => (placement.place(), Of::Client),
        };
        Self { placement: Arc::clone(placement), worker, of }
    }

    /// On this worker, for one that a connector made.
    pub(crate) fn at(placement: &Arc<Placement>, worker: usize, role: ConnectionRole) -> Self {
        let of = if role.is_router() { Of::Router } else { Of::Client };
        placement.counted(worker, of);
        Self { placement: Arc::clone(placement), worker, of }
    }

    pub(crate) const fn worker(&self) -> usize {
        self.worker
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.placement.gone(self.worker);
        if let Some(open) = self.placement.list(self.of).and_then(|list| list.get(self.worker)) {
            open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handful_stays_together_and_many_are_spread() {
        let placement = Placement::new(2);
        let first: Vec<usize> = (0..GROUP).map(|_| placement.place()).collect();
        assert_eq!(first, vec![0; GROUP]);
        let second: Vec<usize> = (0..GROUP).map(|_| placement.place()).collect();
        assert_eq!(second, vec![1; GROUP]);
        let many: usize = (0..100 * GROUP).map(|_| placement.place()).sum();
        assert_eq!(many, 50 * GROUP);
    }

    #[test]
    fn a_place_is_given_back_once() {
        let placement = Arc::new(Placement::new(1));
        let roles = [ConnectionRole::Normal, ConnectionRole::InterRouter, ConnectionRole::Edge];
        let places: Vec<Place> = roles.iter().map(|role| Place::take(&placement, *role)).collect();
        assert_eq!(placement.open[0].load(Ordering::Relaxed), 3);
        drop(places);
        for list in [&placement.open, &placement.routers, &placement.edges] {
            assert_eq!(list[0].load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn routers_are_spread_from_the_first_on() {
        let placement = Arc::new(Placement::new(3));
        let here = Place::at(&placement, 1, ConnectionRole::InterRouter);
        let places: Vec<Place> = (0..5).map(|_| Place::take(&placement, ConnectionRole::InterRouter)).collect();
        let mut counts = [0; 3];
        places.iter().chain([&here]).for_each(|place| counts[place.worker()] += 1);
        assert_eq!(counts, [2; 3]);
    }

    #[test]
    fn a_few_edges_stay_together() {
        let placement = Arc::new(Placement::new(2));
        let places: Vec<Place> = (0..16).map(|_| Place::take(&placement, ConnectionRole::Edge)).collect();
        let workers: Vec<usize> = places.iter().map(Place::worker).collect();
        assert_eq!(workers, [[0; 4], [1; 4], [0; 4], [1; 4]].concat());
    }

    #[test]
    fn places_that_became_free_are_used_again() {
        let placement = Placement::new(2);
        for _ in 0..2 * GROUP {
            placement.place();
        }
        placement.gone(1);
        assert_eq!(placement.place(), 1);
    }
}
