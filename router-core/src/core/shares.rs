//! What is outstanding for an address by next hop, counted by all workers together: balancing compares what the router has sent, not
//! what one of its workers has.
//!
//! A worker counts in a number of its own, and adds to that of all workers what changed since its last batch. So a delivery costs no access to
//! memory that others write, and of what others have sent a worker knows all but their current batch.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use super::slots::{Key, Slots};

/// The counters of all workers, by address and neighbour. Only changes of the tables take the lock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shares(Arc<Mutex<Registry>>);

#[derive(Debug, Default)]
struct Registry {
    counters: BTreeMap<(Box<str>, Box<str>), Weak<AtomicU32>>,
    /// When the counters that nobody has any more are looked for.
    sweep_at: usize,
}

impl Shares {
    fn get(&self, address: &str, neighbour: &str) -> Arc<AtomicU32> {
        let mut registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let registry = &mut *registry;
        if registry.counters.len() >= registry.sweep_at.max(64) {
            registry.counters.retain(|_, counter| counter.strong_count() > 0);
            registry.sweep_at = registry.counters.len() * 2;
        }
        let entry = registry.counters.entry((address.into(), neighbour.into())).or_default();
        entry.upgrade().unwrap_or_else(|| {
            let counter = Arc::default();
            *entry = Arc::downgrade(&counter);
            counter
        })
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
    total: Arc<AtomicU32>,
    /// Of this worker, and how much of it the total has.
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
        let total = self.shares.get(address, neighbour);
        self.all.insert(Tally { total, mine: 0, told: 0, changed: false, open: true })
    }

    /// The address has it no more. What is outstanding is still to be counted down.
    pub(super) fn close(&mut self, key: Key) {
        if let Some(tally) = self.all.get_mut(key) {
            tally.open = false;
            self.change(key);
        }
    }

    /// What all workers have outstanding.
    #[inline]
    pub(super) fn outstanding(&self, key: Key) -> u32 {
        let Some(tally) = self.all.get(key) else { return 0 };
        tally.total.load(Relaxed).wrapping_sub(tally.told).wrapping_add(tally.mine)
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
                tally.total.fetch_add(more, Relaxed);
            }
            if !tally.open && tally.mine == 0 {
                self.all.discard(key);
            }
        }
    }
}

#[cfg(test)]
impl Tallies {
    /// Nothing is outstanding, nor is anything left that nobody has.
    pub(super) fn assert_empty(&self) {
        let left = |tally: &Tally| !tally.open || tally.mine > 0 || tally.changed;
        let left: Vec<_> = self.all.iter().map(|(_, tally)| tally).filter(|tally| left(tally)).collect();
        assert!(left.is_empty() && self.changed.is_empty(), "tallies are left: {left:#?}");
    }
}
