//! The numbers that a peer gave to its links or sessions, and what they mean to us.

use std::collections::BTreeMap;

/// Numbers up to this far beyond the densely used ones are kept in a vector.
const SLACK: usize = 32;
const NONE: u32 = u32::MAX;

/// A map from numbers that a peer chose to indices.
///
/// Peers number from 0, so a vector it is; one that picks a lone high number costs an entry in a tree and not a huge vector.
#[derive(Debug, Default)]
pub(crate) struct Table {
    dense: Vec<u32>,
    sparse: Option<BTreeMap<u32, u32>>,
}

impl Table {
    pub(crate) fn get(&self, number: u32) -> Option<usize> {
        match self.dense.get(number as usize) {
            Some(&NONE) | None if self.sparse.is_none() => None,
            Some(&index) if index != NONE => Some(index as usize),
            _ => self.sparse.as_ref()?.get(&number).map(|i| *i as usize),
        }
    }

    pub(crate) fn insert(&mut self, number: u32, index: usize) {
        let at = number as usize;
        if at > self.dense.len() + SLACK {
            self.sparse.get_or_insert_default().insert(number, index as u32);
            return;
        }
        if at >= self.dense.len() {
            self.dense.resize(at + 1, NONE);
        }
        if let Some(slot) = self.dense.get_mut(at) {
            *slot = index as u32;
        }
    }

    pub(crate) fn remove(&mut self, number: u32) {
        match self.dense.get_mut(number as usize) {
            Some(slot) if *slot != NONE => *slot = NONE,
            _ => {
                if let Some(sparse) = &mut self.sparse {
                    sparse.remove(&number);
                    if sparse.is_empty() {
                        self.sparse = None;
                    }
                }
            }
        }
        while self.dense.last() == Some(&NONE) {
            self.dense.pop();
        }
        if self.dense.capacity() > 4 * self.dense.len() + SLACK {
            self.dense.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_lone_high_number_is_cheap() {
        let mut table = Table::default();
        table.insert(u32::MAX, 3);
        table.insert(1, 4);
        assert!(table.dense.capacity() < 64);
        assert_eq!(table.get(u32::MAX), Some(3));
        assert_eq!(table.get(1), Some(4));
        assert_eq!(table.get(0), None);
        table.remove(u32::MAX);
        assert_eq!(table.get(u32::MAX), None);
    }

    proptest! {
        #[test]
        fn behaves_like_a_map(ops in proptest::collection::vec((any::<bool>(), 0u32..200), 0..500)) {
            let mut table = Table::default();
            let mut model = BTreeMap::new();
            for (insert, number) in ops {
                if insert && !model.contains_key(&number) {
                    table.insert(number, number as usize + 1);
                    model.insert(number, number as usize + 1);
                } else {
                    table.remove(number);
                    model.remove(&number);
                }
                for n in 0..200 {
                    prop_assert_eq!(table.get(n), model.get(&n).copied());
                }
            }
        }
    }
}
