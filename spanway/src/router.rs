//! Wires entities to workers and adaptors.

use crate::start::{Ended, Start};

/// Runs the router until it is told to end.
pub(crate) fn run(start: Start) -> anyhow::Result<Ended> {
    let _ = start;
    anyhow::bail!("the router is not wired to its adaptors yet")
}
