//! Which worker gets a new AMQP connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Connections are dealt to workers in groups of this size.
///
/// An unsettled message costs the core 55 ns within a worker and 163 ns between two, and a handful of clients that come together
/// usually talk to each other; more connections than this are better spread than close (November 2026).
const GROUP: usize = 8;

/// Counts the AMQP connections of each worker. Shared by all listeners of a router.
#[derive(Debug)]
pub struct Placement {
    open: Vec<AtomicUsize>,
    /// Of these, connections to other routers.
    routers: Vec<AtomicUsize>,
}

impl Placement {
    /// For this many workers, at least one.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        let zeros = || (0..workers.max(1)).map(|_| AtomicUsize::new(0)).collect();
        Self { open: zeros(), routers: zeros() }
    }

    /// Chooses the worker for one more connection to a router, and counts it there. These are spread evenly: each carries the traffic of many,
    /// and every worker wants one to each neighbour.
    fn place_router(&self) -> usize {
        let fewest = self.routers.iter().enumerate().min_by_key(|(_, open)| open.load(Ordering::Relaxed));
        let worker = fewest.map_or(0, |(worker, _)| worker);
        self.router_taken(worker);
        worker
    }

    fn router_taken(&self, worker: usize) {
        self.taken(worker);
        if let Some(open) = self.routers.get(worker) {
            open.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Chooses the worker for one more connection and counts it there: the first of those with the fewest full groups.
    pub fn place(&self) -> usize {
        let mut best = 0;
        let mut fewest = usize::MAX;
        for (worker, open) in self.open.iter().enumerate() {
            let groups = open.load(Ordering::Relaxed) / GROUP;
            if groups < fewest {
                (best, fewest) = (worker, groups);
            }
        }
        self.taken(best);
        best
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

/// A connection's place on a worker: counted until it is dropped, whatever becomes of the connection.
#[derive(Debug)]
pub(crate) struct Place {
    placement: Arc<Placement>,
    worker: usize,
    router: bool,
}

impl Place {
    /// On the worker that [`Placement`] chooses for a client or a router.
    pub(crate) fn take(placement: &Arc<Placement>, router: bool) -> Self {
        let worker = if router { placement.place_router() } else { placement.place() };
        Self { placement: Arc::clone(placement), worker, router }
    }

    /// On this worker.
    pub(crate) fn at(placement: &Arc<Placement>, worker: usize, router: bool) -> Self {
        if router {
            placement.router_taken(worker)
        } else {
            placement.taken(worker)
        }
        Self { placement: Arc::clone(placement), worker, router }
    }

    pub(crate) const fn worker(&self) -> usize {
        self.worker
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.placement.gone(self.worker);
        if let Some(open) = self.placement.routers.get(self.worker).filter(|_| self.router) {
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
        let places: Vec<Place> = (0..3).map(|n| Place::take(&placement, n == 2)).collect();
        assert_eq!(placement.open[0].load(Ordering::Relaxed), 3);
        drop(places);
        assert_eq!(placement.open[0].load(Ordering::Relaxed), 0);
        assert_eq!(placement.routers[0].load(Ordering::Relaxed), 0);
    }

    #[test]
    fn routers_are_spread_from_the_first_on() {
        let placement = Arc::new(Placement::new(3));
        let here = Place::at(&placement, 1, true);
        let places: Vec<Place> = (0..5).map(|_| Place::take(&placement, true)).collect();
        let mut counts = [0; 3];
        places.iter().chain([&here]).for_each(|place| counts[place.worker()] += 1);
        assert_eq!(counts, [2; 3]);
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
