//! Deliveries that wait at an address, by priority.

use std::collections::VecDeque;

use crate::core::slots::Key;

const PRIORITIES: usize = 10;

/// Deliveries with their order of arrival.
type Queue = VecDeque<(u64, Key)>;

/// A queue for each priority. Deliveries that are taken out elsewhere leave their keys behind; those are skipped.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    queues: Option<Box<[Queue; PRIORITIES]>>,
    len: u32,
    /// Memory of the worker's pool that is used for the address, in bytes.
    pub(crate) pooled: u32,
}

impl Waiting {
    /// Number of deliveries.
    pub(crate) const fn len(&self) -> usize {
        self.len as usize
    }

    /// Adds one behind those of its priority that came before it.
    pub(crate) fn insert(&mut self, priority: u8, seq: u64, key: Key, live: impl Fn(Key) -> bool) {
        self.len += 1;
        let len = self.len as usize;
        let queue = &mut self.queues.get_or_insert_default()[usize::from(priority).min(PRIORITIES - 1)];
        if queue.len() > 64 && queue.len() > 2 * len {
            queue.retain(|(_, key)| live(*key));
        }
        let at = match queue.back() {
            Some((last, _)) if *last > seq => queue.partition_point(|(other, _)| *other < seq),
            _ => queue.len(),
        };
        queue.insert(at, (seq, key));
    }

    /// The one that comes next.
    pub(crate) fn front(&mut self, live: impl Fn(Key) -> bool) -> Option<Key> {
        if self.len == 0 {
            return None;
        }
        for queue in self.queues.as_mut()?.iter_mut().rev() {
            while let Some((_, key)) = queue.front() {
                if live(*key) {
                    return Some(*key);
                }
                queue.pop_front();
            }
        }
        None
    }

    /// All that come, and some that were taken out elsewhere.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        self.queues.iter().flat_map(|queues| queues.iter().rev()).flatten().map(|(_, key)| *key)
    }

    /// One was taken out: it is not `live` any more.
    pub(crate) const fn took(&mut self) {
        self.len = self.len.saturating_sub(1);
    }

    /// Gives memory back when nothing waits.
    pub(crate) fn trim(&mut self) {
        if self.len == 0 {
            self.queues = None;
        }
    }
}
