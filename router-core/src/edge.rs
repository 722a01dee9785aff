//! What edge routers and interior routers have to agree on: which links an edge router's connection has, and which addresses an edge can
//! reach through it. State machines without I/O: events in, outputs out.
//!
//! [`Uplinks`] and [`Mesh`] run in an edge router, [`EdgeNeighbours`] in an interior one. Connections are known by their number in the router.

pub mod codec;
mod interior;
mod mesh;
mod uplinks;

#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use interior::{EdgeNeighbours, NeighbourOutput};
pub use mesh::{Mesh, MeshBid};
pub use uplinks::{Direction, Uplink, UplinkOutput, Uplinks};

/// Length of the id of a mesh of edge routers.
pub const MESH_ID: usize = 15;

/// What the id of a mesh begins with that consists of one router of ours with several uplinks: who reaches it in several ways reaches the same
/// consumers. Routers of the reference do not look into ids, and theirs never begin so.
const ALONE: char = '~';

/// Whether a mesh is one router with several uplinks.
pub(crate) fn is_alone(mesh: &str) -> bool {
    mesh.starts_with(ALONE)
}

/// A mesh's id as a peer told it. `None` if it is none.
pub fn mesh_id(text: &str) -> Option<Arc<str>> {
    (text.len() == MESH_ID).then(|| text.into())
}
