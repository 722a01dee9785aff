//! Blocks are used again, and pools stay bounded.

use super::{BLOCK_SIZE, BufferPool, MAX_RETIRED, POOL_BUFFER, POOL_CAP, READ_BLOCK, ReadBlock};
use bytes::{Bytes, BytesMut};

fn read(block: &mut ReadBlock, prefix: &[u8], data: &[u8]) -> Bytes {
    let buf = block.writable(prefix);
    assert_eq!(buf.as_ref(), prefix);
    assert!(buf.capacity() - buf.len() >= READ_BLOCK);
    buf.extend_from_slice(data);
    block.take()
}

#[test]
fn one_allocation_serves_all_reads_that_are_dropped() {
    let mut block = ReadBlock::new();
    let first = read(&mut block, b"", &[1; 1000]);
    let start = first.as_ptr();
    drop(first);
    for n in [1, 100, 70_000, READ_BLOCK] {
        let data = read(&mut block, b"pre", &vec![2; n - n.min(3)]);
        assert_eq!(data.as_ptr(), start, "reads begin at the front");
        assert!(data.starts_with(b"pre"));
    }
    assert_eq!(block.allocations(), 1);
}

#[test]
fn kept_content_stays_valid_and_its_block_comes_back() {
    let mut block = ReadBlock::new();
    let kept = read(&mut block, b"", &vec![7; READ_BLOCK]);
    let other = read(&mut block, b"", &vec![8; READ_BLOCK]);
    assert_eq!(block.allocations(), 2);
    assert!(kept.iter().all(|&b| b == 7));
    assert!(other.iter().all(|&b| b == 8));
    drop(kept);
    let third = read(&mut block, b"", &vec![9; READ_BLOCK]);
    assert_eq!(block.allocations(), 2, "the first block was free again");
    assert!(other.iter().all(|&b| b == 8));
    assert!(third.iter().all(|&b| b == 9));
}

#[test]
fn alternating_kept_blocks_do_not_allocate_for_ever() {
    let mut block = ReadBlock::new();
    let mut queue = std::collections::VecDeque::new();
    for round in 0..1000 {
        queue.push_back(read(&mut block, b"", &vec![round as u8; READ_BLOCK]));
        if queue.len() > MAX_RETIRED - 2 {
            queue.pop_front();
        }
    }
    assert!(block.allocations() <= MAX_RETIRED as u64, "{}", block.allocations());
}

#[test]
fn untaken_content_is_forgotten() {
    let mut block = ReadBlock::new();
    block.writable(b"abc").extend_from_slice(b"def");
    assert_eq!(block.writable(b"x").as_ref(), b"x");
    assert!(block.take().as_ref() == b"x");
}

#[test]
fn a_large_prefix_gets_a_block_of_its_own() {
    let mut block = ReadBlock::new();
    let prefix = vec![1; BLOCK_SIZE];
    let data = read(&mut block, &prefix, &[2; 10]);
    assert_eq!(data.len(), BLOCK_SIZE + 10);
    drop(data);
    let small = read(&mut block, b"", &[3; 10]);
    assert_eq!(small.as_ref(), [3; 10]);
}

#[test]
fn the_pool_keeps_what_is_returned_up_to_its_cap() {
    let mut pool = BufferPool::new();
    let buffer = pool.take();
    assert!(buffer.capacity() >= POOL_BUFFER);
    let at = buffer.as_ptr();
    pool.put(buffer);
    assert_eq!(pool.bytes(), POOL_BUFFER);
    let again = pool.take();
    assert_eq!(again.as_ptr(), at);
    assert_eq!(pool.bytes(), 0);
    for _ in 0..2 * POOL_CAP / POOL_BUFFER {
        pool.put(BytesMut::with_capacity(POOL_BUFFER));
    }
    assert_eq!(pool.bytes(), POOL_CAP);
}

#[test]
fn the_pool_refuses_what_is_referred_to_or_too_large() {
    let mut pool = BufferPool::new();
    let mut shared = pool.take();
    shared.extend_from_slice(b"abc");
    let kept = shared.split().freeze();
    pool.put(shared);
    assert_eq!(pool.bytes(), 0);
    drop(kept);
    pool.put(BytesMut::with_capacity(1024 * 1024));
    assert_eq!(pool.bytes(), 0);
    pool.put(BytesMut::new());
    assert_eq!(pool.bytes(), 0);
}

#[test]
fn shrinking_frees_what_was_not_needed() {
    let mut pool = BufferPool::new();
    for _ in 0..10 {
        pool.put(BytesMut::with_capacity(POOL_BUFFER));
    }
    pool.shrink();
    assert_eq!(pool.bytes(), 10 * POOL_BUFFER, "all came since the last call");
    let used: Vec<_> = (0..4).map(|_| pool.take()).collect();
    for buffer in used {
        pool.put(buffer);
    }
    pool.shrink();
    assert_eq!(pool.bytes(), 4 * POOL_BUFFER, "four were in use at a time");
    pool.shrink();
    assert_eq!(pool.bytes(), 0);
}
