//! Workers: one thread per core, each with a current-thread runtime and everything its connections touch.
//!
//! [`Workers::start`] is the one place that decides how tasks meet threads. Code elsewhere only uses [`WorkerHandle`] and [`spawn`].

use crate::mailbox::{Closed, MailReceiver, MailSender, mailbox};
use futures_panic::CatchPanic;
use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;
use tokio::sync::oneshot;
use tokio::task::LocalSet;

mod futures_panic;
#[cfg(test)]
mod tests;

type Job = Box<dyn FnOnce() + Send>;

thread_local! {
    static CURRENT: RefCell<Option<WorkerHandle>> = const { RefCell::new(None) };
}

/// A group of running workers. Dropping it stops and joins them.
#[derive(Debug)]
pub struct Workers {
    handles: Vec<WorkerHandle>,
    threads: Vec<JoinHandle<()>>,
    stops: Vec<oneshot::Sender<()>>,
}

/// A way to reach one worker from anywhere. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WorkerHandle {
    index: usize,
    jobs: MailSender<Job>,
}

/// A task that [`spawn`] started. Dropping the handle leaves the task running.
#[derive(Debug)]
pub struct Task {
    handle: tokio::task::AbortHandle,
}

impl Task {
    /// Drops the task's future (and with it the sockets it owns) the next time the worker gets to it.
    pub fn abort(&self) {
        self.handle.abort();
    }

    /// Whether the task has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }
}

impl Workers {
    /// Starts `count` workers (at least one) and returns when all of them run.
    ///
    /// # Errors
    /// When a thread or its runtime cannot be created; those already started are stopped again.
    pub fn start(count: usize) -> io::Result<Self> {
        let mut workers = Self { handles: Vec::new(), threads: Vec::new(), stops: Vec::new() };
        for index in 0..count.max(1) {
            let (jobs, inbox) = mailbox();
            let handle = WorkerHandle { index, jobs };
            let (stop, stopped) = oneshot::channel();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                // Only name resolution and files use it; threads end after the default 10 s of idleness.
                .max_blocking_threads(4)
                .thread_name(format!("spanway-r{index}"))
                .build()?;
            let own_handle = handle.clone();
            let thread = std::thread::Builder::new()
                .name(format!("spanway-w{index}"))
                .spawn(move || run_worker(runtime, own_handle, inbox, stopped))?;
            workers.handles.push(handle);
            workers.threads.push(thread);
            workers.stops.push(stop);
        }
        Ok(workers)
    }

    /// How many workers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.handles.len()
    }

    /// Never: there is always at least one worker.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.handles.is_empty()
    }

    /// Handles of all workers, by index.
    #[must_use]
    pub fn handles(&self) -> &[WorkerHandle] {
        &self.handles
    }

    /// Ends all workers: jobs already handed over are still run, then every task is dropped (its sockets close). Returns when the threads ended.
    /// A graceful end (connections closed by protocol) has to come before, through [`WorkerHandle::run`].
    pub fn stop(mut self) {
        self.stop_and_join();
    }

    fn stop_and_join(&mut self) {
        self.stops.clear();
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop_and_join();
    }
}

impl WorkerHandle {
    /// Position of the worker, from 0.
    #[must_use]
    pub const fn index(&self) -> usize {
        self.index
    }

    /// Runs `job` on the worker's thread, inside its runtime, where it can [`spawn`]. Jobs run in the order in which they were handed over
    /// by one thread. A panic in the job is logged and ends the job only.
    ///
    /// # Errors
    /// [`Closed`] when the worker has stopped; the job is dropped.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Closed> {
        self.jobs.push(Box::new(job))
    }

    /// Runs `job` on the worker and waits for what it returns.
    ///
    /// # Errors
    /// [`Closed`] when the worker has stopped, or the job panicked.
    pub async fn call<R: Send + 'static>(&self, job: impl FnOnce() -> R + Send + 'static) -> Result<R, Closed> {
        let (tx, rx) = oneshot::channel();
        self.run(move || {
            // The caller may have stopped waiting.
            let _ = tx.send(job());
        })?;
        rx.await.map_err(|_| Closed)
    }

    /// Like [`call`](Self::call), for a thread without a runtime. Must not be called on a worker: it would wait for itself.
    ///
    /// # Errors
    /// [`Closed`] when the worker has stopped, or the job panicked.
    pub fn call_blocking<R: Send + 'static>(&self, job: impl FnOnce() -> R + Send + 'static) -> Result<R, Closed> {
        let (tx, rx) = std::sync::mpsc::sync_channel(1);
        self.run(move || {
            let _ = tx.send(job());
        })?;
        rx.recv().map_err(|_| Closed)
    }
}

/// The worker on which the caller runs, if it runs on one.
#[must_use]
pub fn current() -> Option<WorkerHandle> {
    CURRENT.with_borrow(Clone::clone)
}

/// Starts a task on the calling worker; `name` stands in the log if it panics. Its future need not be `Send`.
///
/// A panic ends the task only: it is logged, and the future is dropped, which closes the sockets that it owns.
///
/// # Panics
/// When not called on a worker (or another [`LocalSet`]).
pub fn spawn(name: &'static str, future: impl Future<Output = ()> + 'static) -> Task {
    let task = tokio::task::spawn_local(CatchPanic::new(name, future));
    Task { handle: task.abort_handle() }
}

fn run_worker(
    runtime: tokio::runtime::Runtime,
    handle: WorkerHandle,
    inbox: MailReceiver<Job>,
    stopped: oneshot::Receiver<()>,
) {
    let index = handle.index;
    CURRENT.set(Some(handle));
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, run_jobs(inbox, stopped));
    // Tasks are dropped inside the runtime's context: their sockets deregister.
    {
        let _guard = runtime.enter();
        drop(tasks);
    }
    CURRENT.set(None);
    // A resolver thread that hangs must not keep the process.
    runtime.shutdown_background();
    tracing::debug!(worker = index, "worker ended");
}

async fn run_jobs(mut inbox: MailReceiver<Job>, mut stopped: oneshot::Receiver<()>) {
    let mut jobs = Vec::new();
    let mut ending = false;
    while !ending {
        tokio::select! {
            biased;
            drained = inbox.drain(&mut jobs) => ending = drained.is_err(),
            // The sender is dropped, never used.
            _ = &mut stopped => {
                inbox.try_drain(&mut jobs);
                ending = true;
            }
        }
        for job in jobs.drain(..) {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(job)) {
                futures_panic::log("job", panic.as_ref());
            }
        }
    }
}
