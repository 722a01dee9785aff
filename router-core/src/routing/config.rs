//! Settings of the routing protocol.

use std::{sync::Arc, time::Duration};

use super::message::{Hint, RouterId};

/// Settings. [`RoutingConfig::new`] gives those of the reference.
#[derive(Clone, Debug)]
pub struct RoutingConfig {
    /// Our id.
    pub id: RouterId,
    /// When we started: whole seconds since 1970. Peers take another one for a restart.
    pub instance: i64,
    /// Where our sequence numbers begin. Instances tell restarts apart by the second only, and peers ignore what has no higher sequence
    /// number than what they have; the microseconds within the second of the start make a router that was restarted within one second
    /// begin above where it ended. Below 2^31.
    pub first_sequence: u32,
    /// How often neighbours are greeted. Default 1 s.
    pub hello_interval: Duration,
    /// After which silence a neighbour is lost. Default 3 s.
    pub hello_max_age: Duration,
    /// How often our sequence numbers are advertised. Default 30 s.
    pub ra_interval: Duration,
    /// The same, for twice this time after a change of the topology. Default 4 s.
    pub ra_interval_flux: Duration,
    /// After which silence the link state of a router is dropped. Default 60 s.
    pub remote_ls_max_age: Duration,
    /// How long the addresses of a router are kept that cannot be reached. Default 1 s.
    pub unreachable_holdoff: Duration,
    /// The least time between two address updates of ours: changes within it travel together. Default 10 ms.
    pub mobile_interval: Duration,
    /// What peers can make us remember.
    pub limits: Limits,
}

impl RoutingConfig {
    /// The reference's settings.
    pub fn new(id: impl Into<RouterId>, instance: i64) -> Self {
        Self {
            id: id.into(),
            instance,
            first_sequence: 0,
            hello_interval: Duration::from_secs(1),
            hello_max_age: Duration::from_secs(3),
            ra_interval: Duration::from_secs(30),
            ra_interval_flux: Duration::from_secs(4),
            remote_ls_max_age: Duration::from_secs(60),
            unreachable_holdoff: Duration::from_secs(1),
            mobile_interval: Duration::from_millis(10),
            limits: Limits::default(),
        }
    }
}

/// Bounds on what peers can make us remember. What exceeds them is left out and reported as [`super::Event::LimitReached`].
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Routers in the network, ours included. Default 4,096: four times what the network is built for. One costs some 300 bytes and 8 for
    /// each of its neighbours.
    pub routers: usize,
    /// Neighbours in one link state. Default 1,024.
    pub peers_per_router: usize,
    /// Addresses of one remote router. Default 1,000,000. One costs 40 bytes, and its text once.
    pub addresses_per_router: usize,
    /// Addresses of all remote routers together, each counted once a router. Default 4,000,000.
    pub addresses: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { routers: 4096, peers_per_router: 1024, addresses_per_router: 1_000_000, addresses: 4_000_000 }
    }
}

/// What is told to other routers about an address that has destinations here.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct LocalAddress {
    /// Its treatment.
    pub hint: Option<Hint>,
    /// How many links send to it here. A change of this alone is not told at once but along with the next update.
    pub in_links: u32,
    /// The edge mesh that has all its destinations here, if a single one has.
    pub mesh: Option<Arc<str>>,
}
