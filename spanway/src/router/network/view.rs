//! What management may see of the network.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use router_core::routing::{AddressBook, RouterInfo, Routes};

/// What the routing protocol knew when it last said so. Cheap to clone; clones see the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct View(Arc<Mutex<Seen>>);

/// See [`View`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// All routers that are known, this one among them. None, if it stands alone.
    pub(crate) routers: Arc<[RouterInfo]>,
    /// The ways to them.
    pub(crate) routes: Option<Arc<Routes>>,
    /// Where addresses have destinations elsewhere.
    pub(crate) book: AddressBook,
    /// When the routes changed: seconds since 1970.
    pub(crate) changed: u64,
    /// Meshes of the edge routers at the other ends of connections.
    pub(crate) meshes: Arc<BTreeMap<u64, Arc<str>>>,
    /// Uplinks of this edge router that are in use.
    pub(crate) uplinks: Arc<BTreeSet<u64>>,
}

impl View {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As of now.
    pub(crate) fn get(&self) -> Seen {
        self.lock().clone()
    }

    /// The mesh of the edge router at the other end of a connection; `None` if it is gone.
    pub(super) fn set_mesh(&self, conn: u64, mesh: Option<Arc<str>>) {
        let mut seen = self.lock();
        let meshes = Arc::make_mut(&mut seen.meshes);
        match mesh {
            Some(mesh) => meshes.insert(conn, mesh),
            None => meshes.remove(&conn),
        };
    }

    /// Whether a connection is an uplink in use.
    pub(super) fn set_uplink(&self, conn: u64, used: bool) {
        let mut seen = self.lock();
        let uplinks = Arc::make_mut(&mut seen.uplinks);
        if used {
            uplinks.insert(conn)
        } else {
            uplinks.remove(&conn)
        };
    }

    /// Takes over what is known now.
    pub(super) fn set(&self, routers: Arc<[RouterInfo]>, routes: &Arc<Routes>, book: &AddressBook) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut seen = self.lock();
        if seen.routes.as_ref().is_none_or(|known| known.version() != routes.version()) {
            seen.changed = now;
        }
        seen.routers = routers;
        seen.routes = Some(Arc::clone(routes));
        seen.book = book.clone();
    }
}
