//! Every interleaving of the mailbox's senders and receiver, by loom: the same source file, compiled against loom's locks.
#![allow(dead_code, unreachable_pub, reason = "the file is a public module elsewhere")]

mod sync {
    pub(crate) use loom::sync::{Arc, Mutex};
}

#[path = "../src/mailbox.rs"]
mod mailbox;
#[path = "../src/metrics.rs"]
mod metrics;

use loom::future::block_on;
use loom::thread;
use mailbox::{Closed, mailbox};

/// Three threads have too many interleavings; nearly all mistakes show with few preemptions (loom's documentation says two or three).
fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

#[test]
fn nothing_is_lost_or_reordered_and_the_receiver_always_wakes() {
    explore(|| {
        let (tx, mut rx) = mailbox();
        let other = tx.clone();
        let a = thread::spawn(move || tx.push_batch(&mut vec![1, 2]).unwrap());
        let b = thread::spawn(move || {
            other.push(10).unwrap();
            other.push(11).unwrap();
        });
        let mut got = Vec::new();
        while block_on(rx.drain(&mut got)) != Err(Closed) {}
        a.join().unwrap();
        b.join().unwrap();
        assert_eq!(got.len(), 4);
        for pair in [[1, 2], [10, 11]] {
            let at = pair.map(|n| got.iter().position(|&g| g == n).unwrap());
            assert!(at[0] < at[1], "{got:?}");
        }
    });
}

#[test]
fn a_receiver_that_waits_hears_of_the_last_sender() {
    explore(|| {
        let (tx, mut rx) = mailbox::<u8>();
        let thread = thread::spawn(move || drop(tx));
        assert_eq!(block_on(rx.drain(&mut Vec::new())), Err(Closed));
        thread.join().unwrap();
    });
}

#[test]
fn a_receiver_that_goes_fails_pushes_but_loses_no_lock() {
    explore(|| {
        let (tx, rx) = mailbox();
        let thread = thread::spawn(move || {
            let mut batch = vec![1, 2];
            let pushed = tx.push_batch(&mut batch);
            assert_eq!(batch.len(), if pushed.is_ok() { 0 } else { 2 });
            tx.is_closed()
        });
        drop(rx);
        thread.join().unwrap();
    });
}
