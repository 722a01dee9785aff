//! What a Spanway router decides, without I/O, clock or randomness of its own. See docs/ARCHITECTURE.md.
#![forbid(unsafe_code)]

pub mod address;
pub mod annotations;
pub mod catalogue;
pub mod core;
pub mod counters;
mod credit;
mod delivery;
pub mod distribution;
pub mod edge;
pub mod egress;
mod inlet;
pub mod inspect;
mod intern;
mod outlet;
pub mod policy;
pub mod routing;
pub mod server;
pub mod stream;
pub mod vanflow;
pub mod worker_batch;

pub use crate::{
    address::AddressConfig,
    core::{
        Core, CoreConfig, Delayed, Demand, EdgeEnd, EdgeLink, FlowPick, HopLink, InletAttached, InletRequest,
        LinkDelays, OutletAttached, OutletRequest, Presence, Shares, Span, SpanOutcome, edge_of_hop,
        keys::{ConnKey, InKey, InletKey, OutKey, OutletKey, ServerKey, WatchKey},
    },
    counters::Counters,
    distribution::Treatment,
    egress::{Egress, LinkRef, Transfer},
    inspect::{AddressStatus, Crossed, LinkCounters, LinkHandle, LinkKind, LinkStatus},
    policy::{Admission, ConnInfo, ConnKind, Denied, Direction, Entrance, Policy, Refusal, Rights, Terminus},
    server::{Reachability, ServerInfo, ServerPick},
    worker_batch::{WorkerBatch, WorkerId, WorkerMsg},
};

pub mod config;
pub mod entity;
pub mod management;
