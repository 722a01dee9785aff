//! What is outstanding for an address by next hop, counted by all workers together: balancing compares what the router has sent, not
//! what one of its workers has. And what other routers tell of their loads (decision 0017).
//!
//! A worker counts in a number of its own, and adds to that of all workers what changed since its last batch. So a delivery costs no access to
//! memory that others write, and of what others have sent a worker knows all but their current batch.

mod told;

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use super::slots::{Key, Slots};
use crate::routing::{AddressKey, RouterId};
use told::Told;

/// The counters of all workers, by address and neighbour. Only changes of the tables take the lock.
#[derive(Clone, Debug, Default)]
pub struct Shares(Arc<Mutex<Registry>>);

#[derive(Debug, Default)]
struct Registry {
    counters: HashMap<Box<str>, Vec<Named>>,
    /// When the counters that nobody has any more are looked for.
    sweep_at: usize,
    /// The routers that tell loads.
    tellers: BTreeSet<RouterId>,
    /// What they told.
    told: HashMap<AddressKey, Told>,
    /// The addresses of which what others have sent is taken over step by step.
    moving: BTreeSet<AddressKey>,
}

/// The id of a router, and what is known of it.
type Named = (Box<str>, Weak<Counter>);

/// What is known of a router, for one address.
#[derive(Debug)]
pub(super) struct Counter {
    /// What this router has sent over it as the next hop.
    outstanding: AtomicU32,
    /// What other routers have sent to those behind it.
    others: AtomicU32,
    /// How many consumers it has itself.
    consumers: AtomicU32,
}

impl Counter {
    pub(super) fn consumers(&self) -> u32 {
        self.consumers.load(Relaxed)
    }
}

impl Registry {
    fn find(&self, address: &str, router: &str) -> Option<Arc<Counter>> {
        let all = self.counters.get(address)?;
        all.iter().find(|(of, _)| **of == *router).and_then(|(_, counter)| counter.upgrade())
    }

    fn get(&mut self, address: &str, router: &str) -> Arc<Counter> {
        if let Some(counter) = self.find(address, router) {
            return counter;
        }
        if self.counters.len() >= self.sweep_at.max(64) {
            self.counters.retain(|_, all| all.iter().any(|(_, counter)| counter.strong_count() > 0));
            self.sweep_at = self.counters.len() * 2;
        }
        let told = self.told.get(address);
        let counter = Arc::new(Counter {
            outstanding: AtomicU32::new(0),
            others: AtomicU32::new(told.map_or(0, |told| told.others(router))),
            consumers: AtomicU32::new(told.map_or(1, |told| told.consumers(router))),
        });
        let all = match self.counters.get_mut(address) {
            Some(all) => all,
            None => self.counters.entry(address.into()).or_default(),
        };
        all.retain(|(_, counter)| counter.strong_count() > 0);
        all.push((router.into(), Arc::downgrade(&counter)));
        counter
    }
}

impl Shares {
    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What this worker has to do with the counters.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    shares: Shares,
    all: Slots<Tally>,
    /// Those that changed in this batch.
    changed: Vec<Key>,
}

#[derive(Debug)]
struct Tally {
    counter: Arc<Counter>,
    /// Of this worker, and how much of it the counter has.
    mine: u32,
    told: u32,
    changed: bool,
    /// An address has it. Otherwise it stays until nothing is outstanding.
    open: bool,
}

impl Tallies {
    pub(super) fn new(shares: Shares) -> Self {
        Self { shares, ..Self::default() }
    }

    /// That of an address and a neighbour. To be [closed](Self::close).
    pub(super) fn open(&mut self, address: &str, neighbour: &str) -> Key {
        let counter = self.shares.lock().get(address, neighbour);
        self.all.insert(Tally { counter, mine: 0, told: 0, changed: false, open: true })
    }

    /// The address has it no more. What is outstanding is still to be counted down.
    pub(super) fn close(&mut self, key: Key) {
        if let Some(tally) = self.all.get_mut(key) {
            tally.open = false;
            self.change(key);
        }
    }

    /// What is known of a router with destinations for an address.
    pub(super) fn site(&self, address: &str, router: &str) -> Arc<Counter> {
        self.shares.lock().get(address, router)
    }

    /// Whether all of these routers tell loads.
    pub(super) fn all_tell<'a>(&self, mut routers: impl Iterator<Item = &'a str>) -> bool {
        let registry = self.shares.lock();
        routers.all(|router| registry.tellers.contains(router))
    }

    /// What all workers have outstanding.
    #[inline]
    pub(super) fn outstanding(&self, key: Key) -> u32 {
        let Some(tally) = self.all.get(key) else { return 0 };
        tally.counter.outstanding.load(Relaxed).wrapping_sub(tally.told).wrapping_add(tally.mine)
    }

    /// What other routers have outstanding at the destinations behind a neighbour.
    #[inline]
    pub(super) fn others(&self, key: Key) -> u32 {
        self.all.get(key).map_or(0, |tally| tally.counter.others.load(Relaxed))
    }

    /// What this worker has outstanding.
    pub(super) fn mine(&self, key: Key) -> u32 {
        self.all.get(key).map_or(0, |tally| tally.mine)
    }

    /// One delivery more, until [`sub`](Self::sub).
    #[inline]
    pub(super) fn add(&mut self, key: Key) {
        if let Some(tally) = self.all.get_mut(key) {
            tally.mine += 1;
            self.change(key);
        }
    }

    #[inline]
    pub(super) fn sub(&mut self, key: Key) {
        if let Some(tally) = self.all.get_mut(key) {
            tally.mine = tally.mine.saturating_sub(1);
            self.change(key);
        }
    }

    #[inline]
    fn change(&mut self, key: Key) {
        if let Some(tally) = self.all.get_mut(key)
            && !std::mem::replace(&mut tally.changed, true)
        {
            self.changed.push(key);
        }
    }

    /// Tells the other workers.
    pub(super) fn publish(&mut self) {
        while let Some(key) = self.changed.pop() {
            let Some(tally) = self.all.get_mut(key) else { continue };
            tally.changed = false;
            let more = tally.mine.wrapping_sub(std::mem::replace(&mut tally.told, tally.mine));
            if more != 0 {
                tally.counter.outstanding.fetch_add(more, Relaxed);
            }
            if !tally.open && tally.mine == 0 {
                self.all.discard(key);
            }
        }
    }
}

#[cfg(test)]
impl Tallies {
    pub(super) fn shares(&self) -> &Shares {
        &self.shares
    }

    /// Nothing is outstanding, nor is anything left that nobody has. `open`: how many addresses have.
    pub(super) fn assert_empty(&self, open: usize) {
        assert_eq!(self.all.len(), open);
        let left = |tally: &Tally| !tally.open || tally.mine > 0 || tally.changed;
        let left: Vec<_> = self.all.iter().map(|(_, tally)| tally).filter(|tally| left(tally)).collect();
        assert!(left.is_empty() && self.changed.is_empty(), "tallies are left: {left:#?}");
    }
}
