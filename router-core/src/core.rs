//! The forwarding core of one worker.

use std::{sync::Arc, time::Instant};

use crate::{
    ConnInfo, ConnKey, Counters, InKey, InletKey, OutKey, OutletKey, Policy, Reachability, Refusal, ServerInfo, ServerKey, ServerPick,
    Terminus, Treatment, WatchKey, WorkerBatch, WorkerId,
    address::AddressConfig,
    egress::{DeliveryState, Egress, LinkRef, Payload, Transfer},
};

pub(crate) mod keys;
pub(crate) mod slots;

/// What all cores of a router have in common.
#[derive(Clone, Debug)]
pub struct CoreConfig {
    /// The router's id.
    pub router_id: Arc<str>,
    /// Treatment of addresses that no configuration matches.
    pub default_distribution: Treatment,
    /// Configured addresses.
    pub addresses: Vec<AddressConfig>,
    /// Asked at connection, attach and route.
    pub policy: Option<Arc<dyn Policy>>,
    /// How long a sender may stall in the middle of a delivery that has begun to arrive at a consumer. The check is coarse: between
    /// this and one and a half times this.
    pub stall_limit: std::time::Duration,
}

/// What an inlet is attached to.
#[derive(Clone, Copy, Debug)]
pub struct InletRequest<'a> {
    /// The target.
    pub target: Terminus<'a>,
}

/// An inlet was attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InletAttached {
    /// Its key.
    pub key: InletKey,
    /// The address made up for a dynamic target.
    pub dynamic: Option<String>,
}

/// What an outlet is attached to.
#[derive(Clone, Copy, Debug)]
pub struct OutletRequest<'a> {
    /// The source.
    pub source: Terminus<'a>,
}

/// An outlet was attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutletAttached {
    /// Its key.
    pub key: OutletKey,
    /// The address made up for a dynamic source.
    pub dynamic: Option<String>,
}

/// One worker's core. See `docs/ARCHITECTURE.md`, "The way of a delivery".
#[derive(Debug)]
pub struct Core {
    counters: Counters,
}

#[expect(unused_variables, clippy::missing_const_for_fn, reason = "signatures first, for those who write against them")]
impl Core {
    /// A core. `seed` decides the names of dynamic addresses and must be unpredictable outside of tests; give each worker
    /// the same seed. `now` is any recent time.
    pub fn new(config: CoreConfig, worker: WorkerId, workers: u16, seed: [u8; 32], now: Instant) -> Self {
        Self { counters: Counters::default() }
    }

    /// A connection was opened (authenticated, and its open received).
    ///
    /// # Errors
    /// If the policy refuses it.
    pub fn connection_opened(&mut self, info: &ConnInfo) -> Result<ConnKey, Refusal> {
        Ok(ConnKey::NONE)
    }

    /// A connection is gone, and with it its links.
    pub fn connection_closed(&mut self, conn: ConnKey, eg: &mut impl Egress) {}

    /// A client attached a link on which it sends. Credit is granted through `eg`, perhaps in this call: so answer the attach first
    /// or queue what `grant` does behind the answer.
    ///
    /// # Errors
    /// If the address is unavailable or the policy refuses it: refuse the attach with the refusal's condition.
    pub fn attach_inlet(&mut self, conn: ConnKey, link: LinkRef, request: &InletRequest<'_>, eg: &mut impl Egress) -> Result<InletAttached, Refusal> {
        Err(Refusal::NotFound("Node not found"))
    }

    /// A client attached a link on which it receives.
    ///
    /// # Errors
    /// As [`attach_inlet`](Self::attach_inlet); and if there is no source address.
    pub fn attach_outlet(&mut self, conn: ConnKey, link: LinkRef, request: &OutletRequest<'_>, eg: &mut impl Egress) -> Result<OutletAttached, Refusal> {
        Err(Refusal::NotFound("Node not found"))
    }

    /// The inlet is gone, closed or lost. What it began to send and did not finish is aborted downstream.
    pub fn detach_inlet(&mut self, key: InletKey, eg: &mut impl Egress) {}

    /// The outlet is gone, closed or lost. What it did not settle is `modified` for its senders.
    pub fn detach_outlet(&mut self, key: OutletKey, eg: &mut impl Egress) {}

    /// A frame of a delivery arrived. Answers, for the first frame of an unsettled delivery, the key to keep as its token; `None` if
    /// the delivery is settled already (the core may have called [`Egress::settle_in`] in this very call).
    pub fn transfer(&mut self, key: InletKey, transfer: &Transfer, payload: &Payload<'_>, eg: &mut impl Egress) -> Option<InKey> {
        None
    }

    /// The receiver of a delivery gave a state, or settled it, or both.
    pub fn outcome(&mut self, key: OutKey, state: Option<&DeliveryState>, settled: bool, eg: &mut impl Egress) {}

    /// The sender of a delivery gave a state, or settled it, or both.
    pub fn sender_state(&mut self, key: InKey, state: Option<&DeliveryState>, settled: bool, eg: &mut impl Egress) {}

    /// The receiver's credit is now `credit` deliveries, those subtracted that were sent already. `drain`: it wants what is there and
    /// then an answer ([`Egress::drained_out`]).
    pub fn credit(&mut self, key: OutletKey, credit: u32, drain: bool, eg: &mut impl Egress) {}

    /// The sender answered a drain: it has `remaining` credits (usually 0).
    pub fn inlet_drained(&mut self, key: InletKey, remaining: u32, eg: &mut impl Egress) {}

    /// After short sends: a window or the output of this connection has room again.
    pub fn writable(&mut self, conn: ConnKey, eg: &mut impl Egress) {}

    /// Messages from another worker.
    pub fn worker_batch(&mut self, from: WorkerId, batch: WorkerBatch, eg: &mut impl Egress) {}

    /// To be called after each batch of other calls, before connections are written: grants credit that was collected.
    pub fn end_batch(&mut self, eg: &mut impl Egress) {}

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called. May be in the past. Changes with every call.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant, eg: &mut impl Egress) {}

    /// What this worker counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Adds an address configuration. A configuration with the same pattern is replaced. Do so in each worker.
    pub fn add_address(&mut self, config: &AddressConfig) {}

    /// Removes the address configuration with this pattern (a prefix counts as its pattern). True if there was one.
    pub fn remove_address(&mut self, pattern: &str) -> bool {
        false
    }

    /// Adds a server of an address. Do so in each worker, with the same counter.
    pub fn add_server(&mut self, address: &str, info: ServerInfo) -> ServerKey {
        ServerKey::NONE
    }

    /// Removes a server. Its connections stay counted until they are closed.
    pub fn remove_server(&mut self, key: ServerKey) {}

    /// Chooses a server, none of `exclude`, and counts one connection more for it.
    pub fn pick_server(&mut self, address: &str, exclude: &[ServerKey]) -> Option<ServerPick> {
        None
    }

    /// A connection to a server was closed, or could not be opened. Harmless when the server was removed.
    pub fn server_closed(&mut self, key: ServerKey) {}

    /// Tells whether the address can be reached, now and from now on, through [`poll_reachability`](Self::poll_reachability).
    /// Servers and AMQP consumers of all workers count.
    pub fn watch(&mut self, address: &str, token: u64) -> WatchKey {
        WatchKey::NONE
    }

    /// Ends a watch.
    pub fn unwatch(&mut self, key: WatchKey) {}

    /// The next change of reachability. Poll until `None` after calls of this core.
    pub fn poll_reachability(&mut self) -> Option<Reachability> {
        None
    }
}
