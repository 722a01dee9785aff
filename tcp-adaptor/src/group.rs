//! The adaptors of one router, one per worker, and how the first of them reaches the others.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use router_core::vanflow::Vanflow;
use transport::WorkerHandle;

use crate::adaptor::TcpAdaptor;

thread_local! {
    /// The adaptors of this thread. Mostly one; tests run several routers on one thread.
    static LOCAL: RefCell<Vec<(u64, Weak<TcpAdaptor>)>> = const { RefCell::new(Vec::new()) };
}

/// The workers of one router. Control makes it once and gives a clone to every worker's [`TcpAdaptor`].
///
/// The listening sockets of all workers have to be opened together (`transport::socket::listen` says why), so the first worker
/// decides when a listener is open, and hands the others their share.
#[derive(Debug, Clone)]
pub struct Group {
    id: u64,
    workers: Arc<[WorkerHandle]>,
    /// Flows that each of them has.
    flows: Arc<[AtomicUsize]>,
    /// Flows of which something may be told.
    records: Arc<AtomicUsize>,
}

impl Group {
    /// The group of these workers, in the order of their index.
    pub fn new(workers: &[WorkerHandle]) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let flows = workers.iter().map(|_| AtomicUsize::new(0)).collect();
        Self { id: NEXT.fetch_add(1, Ordering::Relaxed), workers: workers.into(), flows, records: Arc::default() }
    }

    /// A group of one, for a router that has a single worker (or a test without any).
    pub fn single() -> Self {
        Self::new(&[])
    }

    /// How many sets of listening sockets there are.
    pub(crate) fn size(&self) -> usize {
        self.workers.len().max(1)
    }

    /// Flows of which a worker may have something to tell ([`TcpAdaptor::poll_records`]); 0 while nobody collects.
    pub fn records(&self) -> usize {
        self.records.load(Ordering::Relaxed)
    }

    pub(crate) fn count_records(&self, more: isize) {
        if more >= 0 {
            self.records.fetch_add(more.unsigned_abs(), Ordering::Relaxed);
        } else {
            self.records.fetch_sub(more.unsigned_abs(), Ordering::Relaxed);
        }
    }

    /// The number of a worker's `n`th recorded flow in the identity of its record.
    pub fn flow_number(&self, n: u64, worker: usize) -> u64 {
        Vanflow::flow_id(n, worker as u64, self.size() as u64)
    }

    /// Flows of a worker.
    pub(crate) fn flows(&self, worker: usize) -> usize {
        self.flows.get(worker).map_or(0, |flows| flows.load(Ordering::Relaxed))
    }

    /// A worker has this many flows now.
    pub(crate) fn count_flows(&self, worker: usize, now: usize) {
        if let Some(flows) = self.flows.get(worker) {
            flows.store(now, Ordering::Relaxed);
        }
    }

    pub(crate) fn register(&self, adaptor: &Rc<TcpAdaptor>) {
        LOCAL.with_borrow_mut(|local| {
            local.retain(|(_, weak)| weak.strong_count() > 0);
            local.push((self.id, Rc::downgrade(adaptor)));
        });
    }

    /// Runs `job` with the adaptor of another worker. Jobs of one worker for another arrive in order.
    pub(crate) fn tell(&self, worker: usize, job: impl FnOnce(&Rc<TcpAdaptor>) + Send + 'static) {
        let id = self.id;
        let Some(handle) = self.workers.get(worker) else {
            return;
        };
        // A worker that has stopped listens no more anyway.
        let _ = handle.run(move || {
            let adaptor = LOCAL.with_borrow(|local| {
                let found = local.iter().find(|(group, _)| *group == id)?;
                found.1.upgrade()
            });
            if let Some(adaptor) = adaptor {
                job(&adaptor);
            }
        });
    }
}
