//! Where small content is copied to, so that keeping it does not allocate for each message.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Size of a block. A copy pins no more than that, however small it is, which bounds what a straggler costs.
const BLOCK: usize = 64 * 1024;

/// Larger content gets memory of its own.
const LARGEST: usize = BLOCK / 4;

/// Blocks that are kept until their content is gone, to be used again.
const RETIRED: usize = 16;

/// Blocks that copies are cut from, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    block: BytesMut,
    retired: VecDeque<BytesMut>,
}

impl Arena {
    /// A copy of `bytes`.
    pub(crate) fn copy(&mut self, bytes: &[u8]) -> Bytes {
        if bytes.len() > LARGEST {
            return Bytes::copy_from_slice(bytes);
        }
        if self.block.capacity() < bytes.len() {
            self.renew();
        }
        self.block.extend_from_slice(bytes);
        self.block.split().freeze()
    }

    /// A block with room: the same one if its content is gone, or one whose content is, or a new one.
    fn renew(&mut self) {
        if self.block.try_reclaim(BLOCK) {
            return;
        }
        let free = self.retired.iter_mut().position(|block| block.try_reclaim(BLOCK));
        let next = free.and_then(|at| self.retired.remove(at)).unwrap_or_else(|| BytesMut::with_capacity(BLOCK));
        let full = std::mem::replace(&mut self.block, next);
        if self.retired.len() == RETIRED {
            self.retired.pop_front();
        }
        self.retired.push_back(full);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_what_was_copied_and_blocks_are_used_again() {
        let mut arena = Arena::default();
        let mut seen = std::collections::HashSet::new();
        for round in 0..200_u32 {
            let copies: Vec<Bytes> =
                (0..1000_u32).map(|n| arena.copy(&(round * 1000 + n).to_le_bytes().repeat(25))).collect();
            for (n, copy) in (0..).zip(&copies) {
                assert_eq!(*copy, (round * 1000 + n).to_le_bytes().repeat(25));
                seen.insert(copy.as_ptr() as usize / BLOCK);
            }
        }
        assert!(seen.len() <= 3 * RETIRED, "{} blocks", seen.len());
    }

    #[test]
    fn large_content_has_memory_of_its_own() {
        let mut arena = Arena::default();
        let large = vec![7; LARGEST + 1];
        assert_eq!(arena.copy(&large), large);
        assert_eq!(arena.block.capacity(), 0);
    }
}
