//! Counts of system calls and bytes, per worker: plain thread-local integers, free of locks and atomics.
//!
//! A worker reads its own with [`snapshot`]; whoever wants a sum asks each worker through
//! [`WorkerHandle::call`](crate::WorkerHandle::call).

use std::cell::Cell;

/// Counts since the worker started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IoCounters {
    /// Read calls that went to the kernel, successful or not.
    pub reads: u64,
    /// Read calls that found nothing (`EAGAIN`).
    pub empty_reads: u64,
    /// Bytes read, as they came from the socket (with TLS: ciphertext).
    pub bytes_read: u64,
    /// Write calls that went to the kernel, successful or not.
    pub writes: u64,
    /// Write calls that could write nothing (`EAGAIN`).
    pub blocked_writes: u64,
    /// Bytes written, as they went to the socket (with TLS: ciphertext).
    pub bytes_written: u64,
    /// Connections accepted.
    pub accepts: u64,
    /// Connections made to others.
    pub connects: u64,
    /// TLS handshakes completed.
    pub handshakes: u64,
    /// Those of `handshakes` that resumed an earlier session.
    pub resumed: u64,
    /// Batches (or jobs) handed to mailboxes: one lock each.
    pub mail_pushes: u64,
    /// Looks into mailboxes of its own, whether there was anything or not: one lock each.
    pub mail_drains: u64,
}

impl std::ops::AddAssign for IoCounters {
    fn add_assign(&mut self, other: Self) {
        self.reads += other.reads;
        self.empty_reads += other.empty_reads;
        self.bytes_read += other.bytes_read;
        self.writes += other.writes;
        self.blocked_writes += other.blocked_writes;
        self.bytes_written += other.bytes_written;
        self.accepts += other.accepts;
        self.connects += other.connects;
        self.handshakes += other.handshakes;
        self.resumed += other.resumed;
        self.mail_pushes += other.mail_pushes;
        self.mail_drains += other.mail_drains;
    }
}

thread_local! {
    static COUNTERS: Cell<IoCounters> = const { Cell::new(IoCounters {
        reads: 0, empty_reads: 0, bytes_read: 0, writes: 0, blocked_writes: 0, bytes_written: 0,
        accepts: 0, connects: 0, handshakes: 0, resumed: 0, mail_pushes: 0, mail_drains: 0,
    }) };
}

/// The counts of the calling thread.
#[must_use]
pub fn snapshot() -> IoCounters {
    COUNTERS.get()
}

#[inline]
pub(crate) fn count(f: impl FnOnce(&mut IoCounters)) {
    COUNTERS.with(|cell| {
        let mut counters = cell.get();
        f(&mut counters);
        cell.set(counters);
    });
}
