//! The edge routers of an interior router: what they consume is told to the network, and they are told what they can reach.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use crate::routing::{AddressBook, Hint, LocalAddress};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NeighbourOutput {
    /// The network is to know this of an address.
    Address {
        /// The address's lookup key.
        key: Arc<str>,
        /// `None`: there is nobody.
        state: Option<LocalAddress>,
    },
    /// Tell an edge whether an address that it sends to has destinations elsewhere.
    Track {
        /// The edge's connection.
        conn: u64,
        /// The address's lookup key.
        key: Arc<str>,
        /// True if it has.
        reachable: bool,
        /// The edge was told nothing before. Routers of the reference take that for false.
        first: bool,
    },
}

#[derive(Debug, Default)]
struct Address {
    /// Treatment, if there are consumers at this router itself.
    here: Option<Hint>,
    /// Edges with consumers, and how many links they have for them.
    edges: BTreeMap<u64, u32>,
    edge_hint: Option<Hint>,
    /// Edges with producers: how many links, and what they were told last.
    producers: BTreeMap<u64, (u32, Option<bool>)>,
    told: Option<LocalAddress>,
}

impl Address {
    fn is_idle(&self) -> bool {
        self.here.is_none() && self.edges.is_empty() && self.producers.is_empty()
    }
}

/// The edge routers that have their uplinks here.
#[derive(Debug, Default)]
pub struct EdgeNeighbours {
    addresses: BTreeMap<Arc<str>, Address>,
    /// Addresses of each connection.
    conns: BTreeMap<u64, BTreeSet<Arc<str>>>,
    meshes: BTreeMap<u64, Arc<str>>,
    output: VecDeque<NeighbourOutput>,
}

impl EdgeNeighbours {
    /// Without any.
    pub fn new() -> Self {
        Self::default()
    }

    #[cfg(test)]
    pub(super) fn addresses_is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<NeighbourOutput> {
        self.output.pop_front()
    }

    /// An address got its first consumer at this router itself, with this treatment, or lost its last.
    pub fn local(&mut self, key: Arc<str>, hint: Option<Hint>, book: &AddressBook) {
        self.addresses.entry(Arc::clone(&key)).or_default().here = hint;
        self.changed(&key, book);
    }

    /// An edge attached a link to receive from an address, or detached one.
    pub fn consumer(&mut self, conn: u64, key: Arc<str>, hint: Hint, attached: bool, book: &AddressBook) {
        let address = self.addresses.entry(Arc::clone(&key)).or_default();
        let links = address.edges.entry(conn).or_default();
        *links = if attached { *links + 1 } else { links.saturating_sub(1) };
        if *links == 0 {
            address.edges.remove(&conn);
        }
        address.edge_hint = Some(hint);
        self.conns.entry(conn).or_default().insert(Arc::clone(&key));
        self.changed(&key, book);
    }

    /// How many edges have consumers of an address.
    pub fn consumers(&self, key: &str) -> usize {
        self.addresses.get(key).map_or(0, |address| address.edges.len())
    }

    /// The addresses for which an edge has attached links.
    pub fn addresses_of(&self, conn: u64) -> Vec<Arc<str>> {
        self.conns.get(&conn).into_iter().flatten().cloned().collect()
    }

    /// An edge attached a link to send to an address, or detached one.
    pub fn producer(&mut self, conn: u64, key: Arc<str>, attached: bool, book: &AddressBook) {
        let address = self.addresses.entry(Arc::clone(&key)).or_default();
        let (links, told) = address.producers.entry(conn).or_default();
        *links = if attached { *links + 1 } else { links.saturating_sub(1) };
        // Whoever attaches a link knows nothing.
        if attached {
            *told = None;
        }
        if *links == 0 {
            address.producers.remove(&conn);
        }
        self.conns.entry(conn).or_default().insert(Arc::clone(&key));
        self.changed(&key, book);
    }

    /// The mesh of an edge is known.
    pub fn mesh(&mut self, conn: u64, mesh: Arc<str>, book: &AddressBook) {
        self.meshes.insert(conn, mesh);
        for key in self.conns.get(&conn).cloned().unwrap_or_default() {
            self.changed(&key, book);
        }
    }

    /// A connection is gone, and with it all its links.
    pub fn closed(&mut self, conn: u64, book: &AddressBook) {
        self.meshes.remove(&conn);
        for key in self.conns.remove(&conn).unwrap_or_default() {
            if let Some(address) = self.addresses.get_mut(&key) {
                address.edges.remove(&conn);
                address.producers.remove(&conn);
            }
            self.changed(&key, book);
        }
    }

    /// Other routers' destinations of an address have changed; also to be called for what changed anyhow, which does no harm.
    pub fn changed(&mut self, key: &Arc<str>, book: &AddressBook) {
        let Some(address) = self.addresses.get_mut(key) else { return };
        let meshes = &self.meshes;
        let state = (address.here.is_some() || !address.edges.is_empty()).then(|| LocalAddress {
            hint: address.here.or(address.edge_hint),
            mesh: if address.here.is_some() { None } else { sole(address.edges.keys().map(|conn| meshes.get(conn))) },
            ..LocalAddress::default()
        });
        if state != address.told {
            address.told.clone_from(&state);
            self.output.push_back(NeighbourOutput::Address { key: Arc::clone(key), state });
        }
        let Address { here, edges, producers, .. } = address;
        for (conn, (_, told)) in producers.iter_mut() {
            let mesh = meshes.get(conn);
            let same = |other: Option<&Arc<str>>| mesh.is_some() && other == mesh;
            let reachable = here.is_some()
                || edges.keys().any(|other| other != conn && !same(meshes.get(other)))
                || book.destinations(key).iter().any(|there| !same(there.mesh.as_ref()));
            let before = told.replace(reachable);
            if before != Some(reachable) {
                let (key, first) = (Arc::clone(key), before.is_none());
                self.output.push_back(NeighbourOutput::Track { conn: *conn, key, reachable, first });
            }
        }
        if address.is_idle() {
            self.addresses.remove(key);
        }
    }

    /// The addresses that edges send to, all of which may have other destinations now.
    pub fn refresh(&mut self, book: &AddressBook) {
        let produced = self.addresses.iter().filter(|(_, address)| !address.producers.is_empty());
        for key in produced.map(|(key, _)| Arc::clone(key)).collect::<Vec<_>>() {
            self.changed(&key, book);
        }
    }
}

/// The mesh that all have in common.
fn sole<'a>(mut meshes: impl Iterator<Item = Option<&'a Arc<str>>>) -> Option<Arc<str>> {
    let first = meshes.next()??;
    meshes.all(|other| other == Some(first)).then(|| Arc::clone(first))
}
