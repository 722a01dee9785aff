//! Workers run jobs in order, survive panics and end when told to.

use super::{Workers, current, spawn};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

#[test]
fn jobs_run_in_order_on_their_worker() {
    let workers = Workers::start(3).unwrap();
    assert_eq!(workers.len(), 3);
    for (index, handle) in workers.handles().iter().enumerate() {
        let (tx, rx) = mpsc::channel();
        for n in 0..100 {
            let tx = tx.clone();
            handle.run(move || tx.send((n, current().unwrap().index())).unwrap()).unwrap();
        }
        for n in 0..100 {
            assert_eq!(rx.recv().unwrap(), (n, index));
        }
    }
    assert!(current().is_none());
    workers.stop();
}

#[test]
fn a_panic_ends_only_its_task() {
    struct Held(mpsc::Sender<()>);
    impl Drop for Held {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }
    let workers = Workers::start(1).unwrap();
    let worker = &workers.handles()[0];
    let (tx, rx) = mpsc::channel();
    worker
        .run(move || {
            spawn("panics", async move {
                let _held = Held(tx);
                tokio::task::yield_now().await;
                panic!("on purpose");
            });
        })
        .unwrap();
    rx.recv().expect("what the task owned is dropped");
    assert!(worker.call_blocking(|| panic!("a job, on purpose")).is_err());
    assert_eq!(worker.call_blocking(|| 7).unwrap(), 7);
    workers.stop();
}

#[test]
fn stopping_runs_what_was_handed_over_and_drops_tasks() {
    let workers = Workers::start(2).unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    let dropped = Arc::new(AtomicUsize::new(0));
    struct CountDrop(Arc<AtomicUsize>);
    impl Drop for CountDrop {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    for worker in workers.handles() {
        let guard = CountDrop(Arc::clone(&dropped));
        worker
            .run(move || {
                // Not Send, on purpose.
                let local = Rc::new(guard);
                spawn("waits for ever", async move {
                    std::future::pending::<()>().await;
                    drop(local);
                });
            })
            .unwrap();
        for _ in 0..50 {
            let ran = Arc::clone(&ran);
            worker
                .run(move || {
                    ran.fetch_add(1, Ordering::SeqCst);
                })
                .unwrap();
        }
    }
    let handles = workers.handles().to_vec();
    workers.stop();
    assert_eq!(ran.load(Ordering::SeqCst), 100);
    assert_eq!(dropped.load(Ordering::SeqCst), 2);
    for handle in handles {
        assert!(handle.run(|| ()).is_err(), "a stopped worker says so");
    }
}

#[test]
fn a_task_can_be_aborted() {
    let workers = Workers::start(1).unwrap();
    let worker = &workers.handles()[0];
    let (tx, rx) = mpsc::channel::<()>();
    worker
        .run(move || {
            let task = spawn("aborted", async move {
                std::future::pending::<()>().await;
                drop(tx);
            });
            assert!(!task.is_finished());
            task.abort();
        })
        .unwrap();
    assert!(rx.recv().is_err(), "its future was dropped");
    workers.stop();
}

#[test]
fn workers_call_each_other() {
    let workers = Workers::start(2).unwrap();
    let other = workers.handles()[1].clone();
    let (tx, rx) = mpsc::channel();
    workers.handles()[0]
        .run(move || {
            spawn("asks", async move {
                let index = other.call(|| current().unwrap().index()).await.unwrap();
                tx.send(index).unwrap();
            });
        })
        .unwrap();
    assert_eq!(rx.recv().unwrap(), 1);
    workers.stop();
}
