//! Listeners, connectors and flows over real sockets.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail like tests")]

mod addresses;
mod config;
mod flows;
mod limits;
mod proxy;
mod servers;
mod support;
mod tls;
mod workers;
