//! Counters of a connection.

/// Plain counters, copied out by [`super::Connection::stats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Frames received, empty ones included.
    pub frames_in: u64,
    /// Frames queued, empty ones included.
    pub frames_out: u64,
    /// Deliveries whose first frame arrived.
    pub deliveries_in: u64,
    /// Deliveries whose first frame was queued.
    pub deliveries_out: u64,
}
