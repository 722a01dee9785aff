//! Content that arrived and could not be passed on at once.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{delivery::Arena, egress::Payload};

/// Below this, content is copied out of the block it came in.
const COPY_BELOW: usize = 2048;

/// What a chunk costs beside its bytes: a peer that sends one byte per frame must not get memory for nothing.
pub(crate) const CHUNK_COST: usize = 128;

/// Chunks of one delivery, in order.
#[derive(Debug, Default)]
pub(crate) struct Content {
    chunks: VecDeque<Chunk>,
    /// Number of the first chunk, counted from the start of the delivery.
    first: u64,
    /// Memory that the chunks keep.
    charge: usize,
    /// Address of the block that the last chunk refers to, 0 if it was copied.
    block: usize,
}

#[derive(Debug)]
struct Chunk {
    bytes: Bytes,
    charge: usize,
    /// Bytes it had in the beginning.
    len: usize,
    /// Readers that have not passed it.
    readers: u32,
}

/// What became free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Freed {
    /// Memory, in the unit that [`Content::push`] answers.
    pub(crate) charge: usize,
    /// Bytes of content.
    pub(crate) bytes: usize,
}

impl Freed {
    pub(crate) const fn add(&mut self, other: Self) {
        self.charge += other.charge;
        self.bytes += other.bytes;
    }
}

impl Content {
    /// Adds a part, for `readers` readers (at least 1). Answers the memory that it costs: the whole block if the part refers to it, charged
    /// once for neighbouring chunks of the same block. `more`: the rest of the block probably belongs here as well.
    pub(crate) fn push(&mut self, payload: &Payload<'_>, more: bool, readers: u32, arena: &mut Arena) -> usize {
        let len = payload.len();
        let block = payload.block.as_ptr() as usize;
        let size = payload.block.len();
        let same = self.block == block && self.block != 0 && !self.chunks.is_empty();
        let worth = len * 4 >= size || (more && payload.start * 4 <= size * 3);
        if len >= COPY_BELOW && (same || worth) {
            let mut charge = size + CHUNK_COST;
            let mut added = charge;
            if same && let Some(last) = self.chunks.back_mut() {
                // The charge for the block moves on to the last chunk that needs it.
                added = CHUNK_COST;
                charge = last.charge;
                last.charge = CHUNK_COST;
            }
            self.chunks.push_back(Chunk { bytes: payload.to_bytes(), charge, len, readers });
            self.block = block;
            self.charge += added;
            return added;
        }
        let charge = len + CHUNK_COST;
        self.chunks.push_back(Chunk { bytes: arena.copy(payload.as_slice()), charge, len, readers });
        self.block = 0;
        self.charge += charge;
        charge
    }

    /// Puts chunks before all others. They are ours already.
    pub(crate) fn prepend(&mut self, chunks: Vec<Bytes>) -> usize {
        let mut added = 0;
        for bytes in chunks.into_iter().rev() {
            let (len, charge) = (bytes.len(), bytes.len() + CHUNK_COST);
            added += charge;
            self.chunks.push_front(Chunk { bytes, charge, len, readers: 1 });
        }
        self.charge += added;
        added
    }

    /// Sets the number of the next chunk, if there is none.
    pub(crate) fn start_at(&mut self, number: u64) {
        if self.chunks.is_empty() {
            self.first = number;
        }
    }

    /// Number of the first chunk.
    pub(crate) const fn first(&self) -> u64 {
        self.first
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The front chunk, and whether it is the only one.
    pub(crate) fn front(&self) -> Option<(Bytes, bool)> {
        self.chunks.front().map(|chunk| (chunk.bytes.clone(), self.chunks.len() == 1))
    }

    /// `n` bytes of the front chunk were passed on; `done` when all of it was, even if it was empty.
    pub(crate) fn consume(&mut self, n: usize) -> Freed {
        let Some(chunk) = self.chunks.front_mut() else { return Freed::default() };
        if n < chunk.bytes.len() {
            bytes::Buf::advance(&mut chunk.bytes, n);
            return Freed::default();
        }
        self.pop()
    }

    fn pop(&mut self) -> Freed {
        let Some(chunk) = self.chunks.pop_front() else { return Freed::default() };
        self.first += 1;
        self.charge -= chunk.charge;
        Freed { charge: chunk.charge, bytes: chunk.len }
    }

    /// The chunk of this number, and whether it is the last.
    pub(crate) fn at(&self, number: u64) -> Option<(Bytes, bool)> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.chunks.get(at).map(|chunk| (chunk.bytes.clone(), at + 1 == self.chunks.len()))
    }

    /// A reader is behind the chunk of this number.
    pub(crate) fn pass(&mut self, number: u64) -> Freed {
        let Some(chunk) = number.checked_sub(self.first).and_then(|at| self.chunks.get_mut(at as usize)) else {
            return Freed::default();
        };
        chunk.readers = chunk.readers.saturating_sub(1);
        self.pop_read()
    }

    /// A reader that was at this chunk goes away.
    pub(crate) fn leave(&mut self, number: u64) -> Freed {
        let skip = number.saturating_sub(self.first) as usize;
        for chunk in self.chunks.iter_mut().skip(skip) {
            chunk.readers = chunk.readers.saturating_sub(1);
        }
        self.pop_read()
    }

    fn pop_read(&mut self) -> Freed {
        let mut freed = Freed::default();
        while self.chunks.front().is_some_and(|chunk| chunk.readers == 0) {
            freed.add(self.pop());
        }
        freed
    }

    /// Memory kept.
    pub(crate) const fn charge(&self) -> usize {
        self.charge
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) -> Freed {
        let freed = Freed { charge: self.charge, bytes: self.chunks.iter().map(|c| c.len).sum() };
        self.first += self.chunks.len() as u64;
        self.chunks.clear();
        self.charge = 0;
        self.block = 0;
        freed
    }

    /// Ready for another delivery. True if it is worth keeping.
    pub(crate) fn reset(&mut self) -> bool {
        self.clear();
        self.first = 0;
        self.chunks.capacity() <= 64
    }

    /// All chunks, to be sent back.
    pub(crate) fn take_all(&mut self) -> Vec<Bytes> {
        let all = self.chunks.drain(..).map(|chunk| chunk.bytes).collect();
        self.charge = 0;
        self.block = 0;
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(n: usize) -> Bytes {
        Bytes::from((0..n).map(|i| i as u8).collect::<Vec<_>>())
    }

    #[test]
    fn small_parts_are_copied() {
        let block = block(65536);
        let mut content = Content::default();
        assert_eq!(content.push(&Payload::range(&block, 0, 100), true, 1, &mut Arena::default()), 100 + CHUNK_COST);
        let (bytes, last) = content.front().unwrap();
        assert!(last && bytes.as_ptr() != block.as_ptr());
        assert_eq!(content.consume(60), Freed::default());
        assert_eq!(content.front().unwrap().0[..], block[60..100]);
        assert_eq!(content.consume(40), Freed { charge: 100 + CHUNK_COST, bytes: 100 });
        assert!(content.is_empty() && content.charge() == 0);
    }

    #[test]
    fn a_block_is_charged_once_until_its_last_chunk() {
        let block = block(65536);
        let mut content = Content::default();
        let first = content.push(&Payload::range(&block, 0, 16384), true, 1, &mut Arena::default());
        assert_eq!(first, 65536 + CHUNK_COST);
        assert_eq!(content.push(&Payload::range(&block, 16384, 32768), true, 1, &mut Arena::default()), CHUNK_COST);
        assert_eq!(content.consume(16384), Freed { charge: CHUNK_COST, bytes: 16384 });
        assert_eq!(content.consume(16384), Freed { charge: 65536 + CHUNK_COST, bytes: 16384 });
        assert_eq!(content.charge(), 0);
    }

    #[test]
    fn a_little_of_a_big_block_is_copied() {
        let block = block(262_144);
        let mut content = Content::default();
        assert_eq!(
            content.push(&Payload::range(&block, 0, 10_000), false, 1, &mut Arena::default()),
            10_000 + CHUNK_COST
        );
    }

    #[test]
    fn chunks_stay_until_all_readers_passed() {
        let block = block(4096);
        let mut content = Content::default();
        content.push(&Payload::range(&block, 0, 10), false, 2, &mut Arena::default());
        content.push(&Payload::range(&block, 10, 20), false, 3, &mut Arena::default());
        assert_eq!(content.at(1).unwrap().0[..], block[10..20]);
        assert_eq!(content.pass(1), Freed::default());
        assert_eq!(content.pass(0), Freed::default());
        assert_eq!(content.leave(0).bytes, 10);
        assert_eq!(content.leave(1).bytes, 10);
        assert!(content.is_empty() && content.first() == 2);
    }
}
