//! Which routers have destinations for an address: the addresses of all routers the other way round.

use std::{
    collections::{HashMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    sync::Arc,
};

use super::{
    message::{AddressEntry, AddressKey, Hint, RouterId},
    output::Event,
};

/// A router with destinations for an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The router.
    pub router: RouterId,
    /// Treatment as that router sees it.
    pub hint: Option<Hint>,
    /// How many links send to the address there.
    pub in_links: u32,
    /// The edge mesh that has all of its destinations there, if a single one has.
    pub mesh: Option<Arc<str>>,
}

/// The routers with destinations for one address, in the order of their ids.
pub type Destinations = Arc<[Destination]>;

type Shard = HashMap<AddressKey, Destinations>;

/// How many parts the book has. At 100,000 addresses a change copies one part of some 400 entries.
const SHARDS: usize = 256;

/// The addresses of all remote routers, by key.
///
/// Fed with [`Event::Addresses`]. A clone costs 256 reference counts and never changes: it can be published to other threads with every
/// batch, and a later change copies only the part that has the address.
#[derive(Clone, Debug)]
pub struct AddressBook {
    shards: Box<[Arc<Shard>]>,
}

impl Default for AddressBook {
    fn default() -> Self {
        Self { shards: vec![Arc::default(); SHARDS].into() }
    }
}

impl AddressBook {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// The routers with destinations for an address; empty if there is none.
    pub fn destinations(&self, key: &str) -> &[Destination] {
        self.shards.get(shard_of(key)).and_then(|shard| shard.get(key)).map_or(&[], |found| found)
    }

    /// The keys of all addresses, in no order.
    pub fn keys(&self) -> impl Iterator<Item = &AddressKey> {
        self.shards.iter().flat_map(|shard| shard.keys())
    }

    /// Number of addresses.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.len()).sum()
    }

    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.shards.iter().all(|shard| shard.is_empty())
    }

    /// Takes over what an event says; other events than [`Event::Addresses`] change nothing.
    pub fn apply(&mut self, event: &Event) {
        let Event::Addresses { router, added, removed } = event else { return };
        for key in removed.iter() {
            self.remove(router, key);
        }
        for entry in added.iter() {
            self.put(router, entry);
        }
    }

    fn put(&mut self, router: &RouterId, entry: &AddressEntry) {
        let new = Destination {
            router: router.clone(),
            hint: entry.hint,
            in_links: entry.in_links,
            mesh: entry.mesh.clone(),
        };
        let Some(shard) = self.shards.get_mut(shard_of(&entry.key)) else { return };
        let shard = Arc::make_mut(shard);
        match shard.get_mut(&*entry.key) {
            Some(known) => {
                let mut all = known.to_vec();
                match all.binary_search_by(|known| known.router.cmp(router)) {
                    Ok(at) => all.splice(at..=at, [new]).for_each(drop),
                    Err(at) => all.insert(at, new),
                }
                *known = all.into();
            }
            None => {
                shard.insert(entry.key.clone(), Arc::new([new]));
            }
        }
    }

    fn remove(&mut self, router: &RouterId, key: &str) {
        let Some(shard) = self.shards.get_mut(shard_of(key)) else { return };
        let shard = Arc::make_mut(shard);
        let Some(known) = shard.get_mut(key) else { return };
        let rest: Destinations = known.iter().filter(|known| known.router != *router).cloned().collect();
        if rest.is_empty() {
            shard.remove(key);
        } else {
            *known = rest;
        }
    }
}

fn shard_of(key: &str) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    usize::try_from(hasher.finish() % SHARDS as u64).unwrap_or(0)
}
