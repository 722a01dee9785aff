//! Tests of the engine by hand: a file per topic. [`peer`] speaks in frames, [`pair`] lets two engines speak to each other.

mod closing;
mod credit;
mod footprint;
mod fuzzing;
mod growth;
mod handshake;
mod links;
mod operations;
mod pair;
mod peer;
mod sessions;
mod settlement;
mod timeouts;
mod transfers;

/// Where virtual time begins.
#[expect(clippy::disallowed_methods, reason = "an Instant can be had in no other way")]
pub(crate) fn beginning() -> std::time::Instant {
    std::time::Instant::now()
}
