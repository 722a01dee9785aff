//! Scripts and random interleavings against a recording egress that behaves as peers would.

mod annotated;
mod balanced;
mod client_streams;
mod credit;
mod delays;
mod edges;
mod flows;
mod forwarding;
mod inspect;
mod invariants;
mod learned;
mod lifecycle;
mod loads;
mod multicast;
mod network;
mod operations;
mod order;
mod pool;
mod resend;
mod settlement;
mod spans;
mod stream_links;
mod streaming;
mod trees;
mod workers;
mod world;
