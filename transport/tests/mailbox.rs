//! Batches, wakes, ends. Interleavings are in `mailbox_loom.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use transport::{Closed, mailbox};

#[derive(Default)]
struct CountWakes(AtomicUsize);

impl Wake for CountWakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_batch_wakes_once_and_a_full_mailbox_not_again() {
    let (tx, mut rx) = mailbox();
    let wakes = Arc::new(CountWakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut cx = Context::from_waker(&waker);
    let mut got = Vec::new();
    assert!(rx.poll_drain(&mut cx, &mut got).is_pending());
    assert!(rx.poll_drain(&mut cx, &mut got).is_pending());
    tx.push_batch(&mut Vec::new()).unwrap();
    assert_eq!(wakes.0.load(Ordering::SeqCst), 0);
    tx.push_batch(&mut vec![1, 2]).unwrap();
    tx.push_batch(&mut vec![3]).unwrap();
    tx.push(4).unwrap();
    assert_eq!(wakes.0.load(Ordering::SeqCst), 1);
    assert_eq!(rx.poll_drain(&mut cx, &mut got), Poll::Ready(Ok(())));
    assert_eq!(got, [1, 2, 3, 4]);
}

#[test]
fn quiet_items_wake_when_there_are_many() {
    let (tx, mut rx) = mailbox();
    let wakes = Arc::new(CountWakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut cx = Context::from_waker(&waker);
    let mut got = Vec::new();
    for quietly in [true, false] {
        assert!(rx.poll_drain(&mut cx, &mut got).is_pending());
        tx.push_quietly(1, 3).unwrap();
        tx.push_quietly(2, 3).unwrap();
        assert_eq!(wakes.0.swap(0, Ordering::SeqCst), 0);
        if quietly { tx.push_quietly(3, 3) } else { tx.push(3) }.unwrap();
        assert_eq!(wakes.0.swap(0, Ordering::SeqCst), 1);
        assert!(rx.try_drain(&mut got));
        assert_eq!(std::mem::take(&mut got), [1, 2, 3]);
    }
}

#[test]
fn buffers_travel_between_the_sides() {
    let (tx, mut rx) = mailbox();
    let (mut batch, mut got) = (Vec::with_capacity(64), Vec::with_capacity(64));
    for round in 0..100 {
        batch.extend([round, round + 1]);
        tx.push_batch(&mut batch).unwrap();
        assert!(batch.is_empty());
        got.clear();
        assert!(rx.try_drain(&mut got));
        assert_eq!(got, [round, round + 1]);
    }
    assert!(batch.capacity() + got.capacity() >= 64);
    assert!(!rx.try_drain(&mut got));
}

#[test]
fn what_was_sent_is_received_before_the_end() {
    let (tx, mut rx) = mailbox();
    let other = tx.clone();
    other.push(1).unwrap();
    drop(other);
    drop(tx);
    let mut got = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(rx.poll_drain(&mut cx, &mut got), Poll::Ready(Ok(())));
    assert_eq!(rx.poll_drain(&mut cx, &mut got), Poll::Ready(Err(Closed)));
    assert_eq!(got, [1]);
}

#[test]
fn items_of_a_gone_receiver_are_dropped() {
    let (tx, rx) = mailbox();
    let item = Arc::new(());
    tx.push(Arc::clone(&item)).unwrap();
    drop(rx);
    assert_eq!(Arc::strong_count(&item), 1);
    assert_eq!(tx.push(Arc::clone(&item)), Err(Closed));
    assert_eq!(Arc::strong_count(&item), 1);
    let mut batch = vec![Arc::clone(&item)];
    assert_eq!(tx.push_batch(&mut batch), Err(Closed));
    assert_eq!(batch.len(), 1);
    assert!(tx.is_closed());
}
