//! What is to come, by time.
//!
//! Millions of messages are under way in a large network, most of them for the next few milliseconds. One heap for all of them misses the
//! caches at every step; here what comes at one time is together, and put in order only when its time has come.

use std::{
    cmp::{Ordering, Reverse},
    collections::{BTreeMap, BinaryHeap},
    time::Duration,
};

/// Something that happens at a router.
#[derive(Debug)]
struct Entry<T> {
    router: usize,
    order: u64,
    what: T,
}

impl<T> Entry<T> {
    fn key(&self) -> (usize, u64) {
        (self.router, self.order)
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// Events in the order of their times; at one time by router; at one router as they were pushed.
#[derive(Debug)]
pub(super) struct Queue<T> {
    /// The time of `current`.
    now: Duration,
    current: BinaryHeap<Reverse<Entry<T>>>,
    later: BTreeMap<Duration, Vec<Reverse<Entry<T>>>>,
    /// Counts what was pushed.
    order: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { now: Duration::ZERO, current: BinaryHeap::new(), later: BTreeMap::new(), order: 0 }
    }
}

impl<T> Queue<T> {
    /// Adds an event. It is not earlier than the last that was taken.
    pub(super) fn push(&mut self, at: Duration, router: usize, what: T) {
        self.order += 1;
        let entry = Reverse(Entry { router, order: self.order, what });
        if at <= self.now {
            self.current.push(entry);
        } else {
            self.later.entry(at).or_default().push(entry);
        }
    }

    /// The time and router of the next event, up to a time.
    pub(super) fn next(&mut self, until: Duration) -> Option<(Duration, usize)> {
        if self.current.is_empty() {
            let next = self.later.first_entry().filter(|next| *next.key() <= until)?;
            let (at, entries) = next.remove_entry();
            (self.now, self.current) = (at, entries.into());
        }
        self.current.peek().filter(|_| self.now <= until).map(|Reverse(entry)| (self.now, entry.router))
    }

    /// Takes the next event, if it happens at this time and router.
    pub(super) fn take(&mut self, at: Duration, router: usize) -> Option<T> {
        if self.now != at || self.current.peek().is_none_or(|Reverse(entry)| entry.router != router) {
            return None;
        }
        self.current.pop().map(|Reverse(entry)| entry.what)
    }
}
