//! Independent peers drive Spanway: foreign clients, frames written by hand, real TCP programs.
//!
//! The library holds what the tests share; the tests are in `tests/`, the foreign client programs in `clients/`.
//! `conformance/install` (called by `./test`) brings what they need.

pub mod agent;
pub mod catalogue;
pub mod certs;
pub mod client;
pub mod collector;
pub mod http;
pub mod matrix;
pub mod namespace;
pub mod network;
pub mod ports;
pub mod process;
pub mod raw;
pub mod relay;
pub mod requests;
pub mod router;
pub mod simulate;
pub mod suite;
pub mod tcp;
pub mod traffic;

pub use process::{Process, wait_for};
pub use router::{Config, PATIENCE, Router};
