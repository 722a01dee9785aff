//! The addresses of one remote router.

use std::{collections::BTreeMap, sync::Arc};

use super::message::{AddressEntry, AddressKey};

/// A set of addresses that shares memory with the message it came in: the last complete list, in the order of keys, and what has changed
/// since.
#[derive(Clone, Debug)]
pub(super) struct Known {
    base: Arc<[AddressEntry]>,
    /// Newer than the base; `None` is a removal.
    changes: BTreeMap<AddressKey, Option<AddressEntry>>,
    len: usize,
}

impl Default for Known {
    fn default() -> Self {
        Self { base: Arc::new([]), changes: BTreeMap::new(), len: 0 }
    }
}

/// What a change did to the set.
#[derive(Debug)]
pub(super) struct Delta {
    pub(super) added: Arc<[AddressEntry]>,
    pub(super) removed: Arc<[AddressKey]>,
    /// Entries were left out because there was no room.
    pub(super) short: bool,
}

impl Delta {
    pub(super) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

/// In ascending order, each key once.
fn sorted(entries: Arc<[AddressEntry]>) -> Arc<[AddressEntry]> {
    if entries.is_sorted_by(|a, b| a.key < b.key) {
        return entries;
    }
    let by_key: BTreeMap<_, _> = entries.iter().map(|entry| (entry.key.clone(), entry)).collect();
    by_key.into_values().cloned().collect()
}

impl Known {
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, key: &str) -> Option<&AddressEntry> {
        if let Some(change) = self.changes.get(key) {
            return change.as_ref();
        }
        self.base.binary_search_by(|entry| (*entry.key).cmp(key)).ok().and_then(|at| self.base.get(at))
    }

    /// All entries in the order of keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = &AddressEntry> {
        let mut base = self.base.iter().peekable();
        let mut changes = self.changes.iter().peekable();
        std::iter::from_fn(move || {
            loop {
                let Some((key, _)) = changes.peek() else { return base.next() };
                match base.peek() {
                    Some(entry) if entry.key < **key => return base.next(),
                    Some(entry) if entry.key == **key => {
                        base.next();
                    }
                    _ => {}
                }
                if let Some((_, Some(entry))) = changes.next() {
                    return Some(entry);
                }
            }
        })
    }

    /// Adds, changes and removes. `room`: how many more entries there may be.
    pub(super) fn change(&mut self, add: &Arc<[AddressEntry]>, del: &[AddressKey], room: usize) -> Delta {
        if self.len == 0 && add.len() <= room {
            *self = Self::of(sorted(add.clone()));
            return Delta { added: self.base.clone(), removed: Arc::new([]), short: false };
        }
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        let most = self.len + room;
        let mut short = false;
        for key in del {
            if self.get(key).is_some() {
                self.len -= 1;
                self.changes.insert(key.clone(), None);
                removed.push(key.clone());
            }
        }
        for entry in add.iter() {
            let known = self.get(&entry.key);
            if known == Some(entry) {
                continue;
            }
            if known.is_none() {
                if self.len >= most {
                    short = true;
                    continue;
                }
                self.len += 1;
            }
            self.changes.insert(entry.key.clone(), Some(entry.clone()));
            added.push(entry.clone());
        }
        // Rewriting the base costs its size; doing it when a quarter changed keeps that small for each change.
        if self.changes.len() > 64 + self.base.len() / 4 {
            *self = Self::of(self.iter().cloned().collect());
        }
        Delta { added: added.into(), removed: removed.into(), short }
    }

    /// Replaces all entries. `most`: how many there may be.
    pub(super) fn replace(&mut self, entries: &Arc<[AddressEntry]>, most: usize) -> Delta {
        let mut next = sorted(entries.clone());
        let short = next.len() > most;
        if short {
            next = next.iter().take(most).cloned().collect();
        }
        if self.len == 0 {
            *self = Self::of(next);
            return Delta { added: self.base.clone(), removed: Arc::new([]), short };
        }
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        if !self.changes.is_empty() || !Arc::ptr_eq(&self.base, &next) {
            let mut old = self.iter().peekable();
            for entry in next.iter() {
                while let Some(gone) = old.next_if(|old| old.key < entry.key) {
                    removed.push(gone.key.clone());
                }
                let known = old.next_if(|old| old.key == entry.key);
                if known != Some(entry) {
                    added.push(entry.clone());
                }
            }
            removed.extend(old.map(|gone| gone.key.clone()));
        }
        *self = Self::of(next);
        Delta { added: added.into(), removed: removed.into(), short }
    }

    fn of(base: Arc<[AddressEntry]>) -> Self {
        Self { len: base.len(), base, changes: BTreeMap::new() }
    }
}
