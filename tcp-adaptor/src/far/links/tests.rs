use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use proptest::prelude::*;
use router_core::egress::{Egress as _, End, Payload, SendHead};

use super::{BEYOND, COPY_BELOW, FlowEgress, Links, Queue, SLICES};
use crate::far::window::FIRST;

fn front(queue: &Queue) -> Vec<u8> {
    let mut slices = Queue::none();
    let filled = queue.slices(&mut slices);
    slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect()
}

#[test]
fn large_parts_are_referred_to_and_small_ones_copied_together() {
    let block = Bytes::from(vec![7; 4 * COPY_BELOW]);
    let mut queue = Queue::default();
    queue.push(&Payload::range(&block, 0, 10));
    queue.push(&Payload::range(&block, 10, 20));
    queue.push(&Payload::range(&block, 20, 20 + COPY_BELOW));
    let mut slices = Queue::none();
    assert_eq!(queue.slices(&mut slices), 2);
    assert_eq!(slices[0].len(), 20);
    assert_eq!(slices[1].as_ptr(), block[20..].as_ptr());
    queue.detach();
    let mut slices = Queue::none();
    queue.slices(&mut slices);
    assert_ne!(slices[1].as_ptr(), block[20..].as_ptr());
    queue.advance(usize::MAX);
    assert_eq!((queue.len(), queue.tail.capacity(), queue.own), (0, 0, 0));
}

proptest! {
    /// What comes out is what went in, whatever happens to it in between.
    #[test]
    fn bytes_come_out_as_they_went_in(steps in proptest::collection::vec((0..4_u8, 1..6000_usize), 1..80)) {
        let block: Bytes = (0..8192_u32).map(|n| (n % 251) as u8).collect::<Vec<_>>().into();
        let (mut queue, mut expected) = (Queue::default(), VecDeque::new());
        for (step, n) in steps {
            match step {
                0 | 1 => {
                    let start = (n * 7) % 2000;
                    let part = Payload::range(&block, start, start + n);
                    expected.extend(part.as_slice().iter().copied());
                    queue.push(&part);
                }
                2 => {
                    queue.advance(n.min(expected.len()));
                    expected.drain(..n.min(expected.len()));
                }
                _ if n % 2 == 0 => queue.detach(),
                _ => prop_assert_eq!(&queue.whole()[..], &*expected.make_contiguous()),
            }
            prop_assert_eq!(queue.len(), expected.len());
            let seen = front(&queue);
            prop_assert!(expected.make_contiguous().starts_with(&seen));
            prop_assert!(seen.len() == expected.len() || queue.chunks.len() >= SLICES);
        }
    }
}

#[test]
fn streams_that_stall_one_after_the_other_share_what_there_is() {
    let links = Rc::new(Links::default());
    links.budget.set(64 << 20);
    let block = Bytes::from(vec![0; 64 << 20]);
    let flows: Vec<_> = (0..8).map(|_| links.open()).collect();
    let mut windows = Vec::new();
    let mut egress = FlowEgress { links: Rc::clone(&links), adaptor: std::rc::Weak::new() };
    for flow in &flows {
        let window = flow.window() as usize;
        windows.push(window >> 20);
        // All of it arrives, and nobody takes it.
        let sent = egress.send(flow.outgoing(), &SendHead::default(), &Payload::range(&block, 0, window), End::More);
        assert_eq!(sent.taken, window);
    }
    assert_eq!(windows, [32, 16, 8, 4, 2, 1, 0, 0]);
    assert_eq!(u64::from(flows[7].window()), FIRST);
    flows[0].advance(32 << 20);
    assert_eq!(flows[1].window() >> 20, 15);
    drop(flows);
    assert_eq!(links.kept.get(), 0);
}

#[test]
fn a_sender_that_knows_no_window_is_held_back() {
    let links = Rc::new(Links::default());
    let block = Bytes::from(vec![0; 4 << 20]);
    let flow = links.open();
    let mut egress = FlowEgress { links: Rc::clone(&links), adaptor: std::rc::Weak::new() };
    let sent = egress.send(flow.outgoing(), &SendHead::default(), &Payload::range(&block, 0, 4 << 20), End::More);
    assert_eq!(sent.taken, FIRST as usize + BEYOND);
    flow.advance(sent.taken);
    assert!(flow.said(|said| said.short && said.has_room()));
}
