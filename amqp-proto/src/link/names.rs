//! Finding links by name.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::performative::Role;

/// Names of links that were detached and may come back; the oldest is forgotten first.
const SUSPENDED_MAX: usize = 1024;

/// Names of a connection's links by hash: eight bytes for each. The names themselves are in the links.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Hash of role and name, index of the link; sorted.
    attached: Vec<(u32, u32)>,
    /// Hashes of names that were detached without being closed.
    suspended: Vec<u64>,
}

fn hash(role: Role, name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (role == Role::Sender).hash(&mut hasher);
    name.hash(&mut hasher);
    hasher.finish()
}

impl Names {
    pub(crate) fn insert(&mut self, role: Role, name: &[u8], link: usize) {
        let entry = (hash(role, name) as u32, link as u32);
        let at = self.attached.partition_point(|e| *e < entry);
        self.attached.insert(at, entry);
    }

    pub(crate) fn remove(&mut self, role: Role, name: &[u8], link: usize) {
        if let Ok(at) = self.attached.binary_search(&(hash(role, name) as u32, link as u32)) {
            self.attached.remove(at);
            if self.attached.capacity() > 4 * self.attached.len() + 16 {
                self.attached.shrink_to_fit();
            }
        }
    }

    /// The links that may have this name: `is` decides.
    pub(crate) fn find(&self, role: Role, name: &[u8], is: impl Fn(usize) -> bool) -> Option<usize> {
        let hash = hash(role, name) as u32;
        let from = self.attached.partition_point(|e| e.0 < hash);
        let candidates = self.attached.get(from..)?.iter().take_while(|e| e.0 == hash);
        candidates.map(|e| e.1 as usize).find(|link| is(*link))
    }

    /// Remembers that a link was detached and not closed.
    pub(crate) fn suspend(&mut self, role: Role, name: &[u8]) {
        let hash = hash(role, name);
        if self.suspended.contains(&hash) {
            return;
        }
        if self.suspended.len() == SUSPENDED_MAX {
            self.suspended.remove(0);
        }
        self.suspended.push(hash);
    }

    /// True if a link of this name was detached and not closed; forgets it.
    pub(crate) fn resume(&mut self, role: Role, name: &[u8]) -> bool {
        let hash = hash(role, name);
        match self.suspended.iter().position(|h| *h == hash) {
            Some(at) => {
                self.suspended.swap_remove(at);
                true
            }
            None => false,
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_by_role_and_name() {
        let names = ["a", "b", "c", "a"];
        let mut table = Names::default();
        table.insert(Role::Sender, b"a", 0);
        table.insert(Role::Sender, b"b", 1);
        table.insert(Role::Sender, b"c", 2);
        table.insert(Role::Receiver, b"a", 3);
        let find = |table: &Names, role, name: &str| table.find(role, name.as_bytes(), |l| names[l] == name);
        assert_eq!(find(&table, Role::Sender, "a"), Some(0));
        assert_eq!(find(&table, Role::Receiver, "a"), Some(3));
        assert_eq!(find(&table, Role::Receiver, "b"), None);
        table.remove(Role::Sender, b"a", 0);
        assert_eq!(find(&table, Role::Sender, "a"), None);
        assert_eq!(find(&table, Role::Receiver, "a"), Some(3));
    }

    #[test]
    fn remembers_a_bounded_number_of_suspended_names() {
        let mut table = Names::default();
        for i in 0..10_000u32 {
            table.suspend(Role::Sender, &i.to_be_bytes());
        }
        assert_eq!(table.suspended.len(), SUSPENDED_MAX);
        assert!(table.resume(Role::Sender, &9_999u32.to_be_bytes()));
        assert!(!table.resume(Role::Sender, &9_999u32.to_be_bytes()));
        assert!(!table.resume(Role::Sender, &0u32.to_be_bytes()));
        assert!(!table.resume(Role::Receiver, &9_998u32.to_be_bytes()));
    }
}
