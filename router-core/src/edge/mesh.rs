//! Which id a mesh of edge routers has.

use std::{collections::BTreeMap, sync::Arc};

/// What an edge router offers as the id of its mesh. The one of the lowest ordinal wins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MeshBid {
    /// When the router started: microseconds since 1970, with a random part of less than a second.
    pub ordinal: i64,
    /// The id.
    pub id: Arc<str>,
}

/// The mesh of this edge router. Every edge router of a mesh is linked with all others, and tells each of them what it offers itself.
#[derive(Debug)]
pub struct Mesh {
    own: MeshBid,
    /// Tell that it is alone while it is.
    alone: bool,
    /// What others offer, by connection.
    peers: BTreeMap<u64, MeshBid>,
    told: Option<Arc<str>>,
}

impl Mesh {
    /// Of one edge router. `uplinks`: it has several in use, and others are to know that they lead to one router.
    pub const fn new(own: MeshBid, uplinks: bool) -> Self {
        Self { own, alone: uplinks, peers: BTreeMap::new(), told: None }
    }

    /// What this router offers.
    pub const fn own(&self) -> &MeshBid {
        &self.own
    }

    /// The id of the mesh.
    pub fn id(&self) -> Arc<str> {
        if self.alone && self.peers.is_empty() {
            let id = std::iter::once(super::ALONE).chain(self.own.id.chars().skip(1));
            return id.collect::<String>().into();
        }
        Arc::clone(&self.peers.values().fold(&self.own, Ord::min).id)
    }

    /// The id, if it is another than at the last call.
    pub fn poll_change(&mut self) -> Option<Arc<str>> {
        let id = self.id();
        let changed = self.told.as_ref() != Some(&id);
        changed.then(|| self.told.insert(id).clone())
    }

    /// What another edge router offers. True if neither wins: both have to offer something else.
    pub fn heard(&mut self, conn: u64, bid: MeshBid) -> bool {
        let tie = bid.ordinal == self.own.ordinal && bid.id != self.own.id;
        self.peers.insert(conn, bid);
        tie
    }

    /// Offers something else.
    pub fn offer(&mut self, own: MeshBid) {
        self.own = own;
    }

    /// A connection is gone, and with it what the router there offered.
    pub fn closed(&mut self, conn: u64) {
        self.peers.remove(&conn);
    }
}
