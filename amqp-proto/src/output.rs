//! What a connection has to send: copied bytes in one buffer, large payloads by reference between them.

use std::{collections::VecDeque, io::IoSlice};

use bytes::Bytes;

#[cfg(test)]
mod tests;

/// Payloads below this many bytes are copied behind their frame header, larger ones are queued by reference.
///
/// A slice of a vectored write costs about as much as copying 1-2 KiB (`benches`, November 2026), and a small payload must not
/// keep its read block alive.
pub const COPY_LIMIT: usize = 2048;

/// A buffer that has become larger than this is not kept for reuse.
const KEEP_LIMIT: usize = 256 * 1024;

/// The bytes that wait to be written to the peer.
///
/// The stream is one buffer of copied bytes into which referenced blocks are inserted. An empty `Output` owns no memory after
/// [`Output::take_buffer`]; with a buffer from a pool ([`Output::give_buffer`]) nothing is allocated in steady state.
#[derive(Debug, Default)]
pub struct Output {
    /// Copied bytes; those before `start` were written already.
    buf: Vec<u8>,
    start: usize,
    /// Blocks by reference, each after `gap` copied bytes that follow the block before it.
    refs: VecDeque<Ref>,
    /// Copied bytes since the last of `refs`.
    tail: usize,
    /// Bytes in `refs`.
    referenced: usize,
    /// Bytes ever queued, wrapping: tells whether something was queued since.
    queued: u32,
}

#[derive(Debug)]
struct Ref {
    gap: usize,
    bytes: Bytes,
}

impl Output {
    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.buf.len() - self.start + self.referenced
    }

    /// True if nothing waits.
    pub fn is_empty(&self) -> bool {
        self.buf.len() == self.start && self.refs.is_empty()
    }

    /// Fills `slices` from the front of what waits; returns how many were filled. Follow with [`Output::advance`].
    pub fn chunks<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        let mut rest = self.buf.get(self.start..).unwrap_or_default();
        let mut put = |bytes: &'a [u8]| {
            if bytes.is_empty() {
                return true;
            }
            match slices.get_mut(filled) {
                Some(slot) => {
                    *slot = IoSlice::new(bytes);
                    filled += 1;
                    true
                }
                None => false,
            }
        };
        for r in &self.refs {
            let (gap, after) = rest.split_at(r.gap.min(rest.len()));
            rest = after;
            if !put(gap) || !put(&r.bytes) {
                return filled;
            }
        }
        put(rest);
        filled
    }

    /// A copy of what waits behind the first `skip` bytes, for traces.
    pub fn copied(&self, skip: usize) -> Vec<u8> {
        let mut copy = Vec::with_capacity(self.len().saturating_sub(skip));
        let mut skip = skip;
        let mut put = |bytes: &[u8]| {
            let from = skip.min(bytes.len());
            skip -= from;
            copy.extend_from_slice(bytes.get(from..).unwrap_or_default());
        };
        let mut rest = self.buf.get(self.start..).unwrap_or_default();
        for r in &self.refs {
            let (gap, after) = rest.split_at(r.gap.min(rest.len()));
            rest = after;
            put(gap);
            put(&r.bytes);
        }
        put(rest);
        copy
    }

    /// Removes `n` bytes that were written from the front. More than [`Output::len`] removes everything.
    pub fn advance(&mut self, mut n: usize) {
        while let Some(front) = self.refs.front_mut() {
            let step = n.min(front.gap);
            front.gap -= step;
            self.start += step;
            n -= step;
            if front.gap > 0 {
                return;
            }
            let step = n.min(front.bytes.len());
            bytes::Buf::advance(&mut front.bytes, step);
            self.referenced -= step;
            n -= step;
            if !front.bytes.is_empty() {
                return;
            }
            self.refs.pop_front();
        }
        let step = n.min(self.tail);
        self.tail -= step;
        self.start += step;
        if self.start == self.buf.len() {
            self.buf.clear();
            self.start = 0;
        }
    }

    /// Takes the buffer away when nothing waits, for the owner's pool. `None` if something waits or there is none.
    pub fn take_buffer(&mut self) -> Option<Vec<u8>> {
        if !self.is_empty() || self.buf.capacity() == 0 {
            return None;
        }
        self.start = 0;
        self.refs = VecDeque::new();
        let mut buf = std::mem::take(&mut self.buf);
        buf.clear();
        (buf.capacity() <= KEEP_LIMIT).then_some(buf)
    }

    /// True if there is a buffer to write into, so that [`Output::give_buffer`] would be of no use.
    pub fn has_buffer(&self) -> bool {
        self.buf.capacity() > 0
    }

    /// Lends an empty buffer of a pool. Returned if there is one already.
    pub fn give_buffer(&mut self, mut buf: Vec<u8>) -> Option<Vec<u8>> {
        if self.buf.capacity() > 0 {
            return Some(buf);
        }
        buf.clear();
        self.buf = buf;
        self.start = 0;
        None
    }

    /// Bytes ever queued, modulo 2^32.
    pub fn queued(&self) -> u32 {
        self.queued
    }

    /// Copies bytes to the end.
    pub fn push(&mut self, bytes: &[u8]) {
        self.reclaim(bytes.len());
        self.buf.extend_from_slice(bytes);
        self.account(bytes.len());
    }

    /// Queues a payload: copied below [`COPY_LIMIT`], by reference from there on.
    pub(crate) fn push_payload(&mut self, block: &Bytes, start: usize, end: usize) {
        let Some(bytes) = block.get(start..end) else {
            return;
        };
        if bytes.len() < COPY_LIMIT {
            return self.push(bytes);
        }
        let gap = std::mem::take(&mut self.tail);
        self.referenced += bytes.len();
        self.queued = self.queued.wrapping_add(bytes.len() as u32);
        self.refs.push_back(Ref { gap, bytes: block.slice(start..end) });
    }

    /// Lets `write` append to the buffer of copied bytes; whatever it appended is queued.
    ///
    /// `write` gets the buffer with what is in it already and must only append.
    pub(crate) fn append<R>(&mut self, expected: usize, write: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        self.reclaim(expected);
        let before = self.buf.len();
        let result = write(&mut self.buf);
        let added = self.buf.len().saturating_sub(before);
        self.account(added);
        result
    }

    fn account(&mut self, added: usize) {
        self.tail += added;
        self.queued = self.queued.wrapping_add(added as u32);
    }

    /// Makes room at the end by moving what waits to the front of the buffer instead of growing it, when more than half of it
    /// was written already: each byte moves at most once per byte written.
    fn reclaim(&mut self, more: usize) {
        if self.buf.capacity() - self.buf.len() >= more {
            return;
        }
        if self.start > self.buf.len() / 2 {
            self.buf.copy_within(self.start.., 0);
            self.buf.truncate(self.buf.len() - self.start);
            self.start = 0;
        }
        self.buf.reserve(more);
    }
}
