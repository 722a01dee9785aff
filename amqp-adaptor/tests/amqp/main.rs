//! Connections of clients over real sockets, with workers in this process.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod client;
mod ends;
mod flow;
mod inproc;
mod many;
mod neighbours;
mod router;
mod tls;
