//! What the workers have done so far.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use router_core::Counters;
use transport::WorkerHandle;
use transport::metrics::IoCounters;

use crate::HEAP;
use crate::counts::Run;
use crate::counts::report::Costs;
use crate::counts::router::current;
use crate::counts::syscalls;

/// The sums of all workers, and the heap's.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Snapshot {
    /// Calls that allocated or grew memory, in the whole process.
    allocs: u64,
    /// Bytes that were allocated.
    bytes: u64,
    io: IoCounters,
    pub(super) core: Counters,
    polls: u64,
    sleeps: u64,
}

impl Snapshot {
    /// Before what is counted: the heap is looked at last, because the rest of the look allocates.
    pub(super) fn before(workers: &[WorkerHandle]) -> Result<Self> {
        let mut all = Self::of_workers(workers)?;
        all.look_at_heap();
        Ok(all)
    }

    /// After it: the heap is looked at first.
    pub(super) fn after(workers: &[WorkerHandle]) -> Result<Self> {
        let mut heap = Self::default();
        heap.look_at_heap();
        Ok(Self { allocs: heap.allocs, bytes: heap.bytes, ..Self::of_workers(workers)? })
    }

    fn look_at_heap(&mut self) {
        let heap = HEAP.stats();
        self.allocs = (heap.allocations + heap.reallocations) as u64;
        self.bytes = heap.bytes_allocated as u64;
    }

    fn of_workers(workers: &[WorkerHandle]) -> Result<Self> {
        let mut all = Self::default();
        for handle in workers {
            let (core, io, polls, sleeps) =
                handle.call_blocking(of_this_worker)?.context("the worker is not set up")?;
            all.core.add(&core);
            all.io += io;
            all.polls += polls;
            all.sleeps += sleeps;
        }
        Ok(all)
    }

    /// What happened since `start`, but for the units.
    fn since(&self, start: &Self) -> Costs {
        let data_reads = |io: &IoCounters| io.reads - io.empty_reads;
        let locks = |io: &IoCounters| io.mail_pushes + io.mail_drains;
        let of = |f: &dyn Fn(&Self) -> u64| f(self).saturating_sub(f(start)) as f64;
        Costs {
            seconds: 0.0,
            units: 0.0,
            batches: of(&|s| data_reads(&s.io) + s.io.mail_pushes),
            allocs: of(&|s| s.allocs),
            bytes: of(&|s| s.bytes),
            locks: of(&|s| locks(&s.io)),
            writes: of(&|s| s.io.writes),
            reads: of(&|s| s.io.reads),
            polls: of(&|s| s.polls),
            sleeps: of(&|s| s.sleeps),
            waited: of(&|s| s.core.waited),
            futex_per_read: None,
        }
    }

    pub(super) fn bytes_written(&self) -> u64 {
        self.io.bytes_written
    }
}

fn of_this_worker() -> Option<(Counters, IoCounters, u64, u64)> {
    let core = current()?.amqp.with_core(|core, _| core.counters());
    let io = transport::metrics::snapshot();
    // A worker's runtime has one thread: itself.
    let polls = tokio::runtime::Handle::try_current().map_or(0, |runtime| runtime.metrics().worker_park_count(0));
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let sleeps = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
        .and_then(|n| n.trim().parse().ok())
        .unwrap_or(0);
    Some((core, io, polls, sleeps))
}

/// Lets the traffic that flows warm up, then counts for a while. `units` says how many units of work were done by then.
pub(super) fn measure(workers: &[WorkerHandle], run: &Run, units: impl Fn(&Snapshot) -> f64) -> Result<Costs> {
    let start = Instant::now();
    while units(&Snapshot::after(workers)?) == 0.0 {
        if start.elapsed() > Duration::from_secs(10) {
            bail!("no traffic within 10 s");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    std::thread::sleep(run.warm_up);
    let before = Snapshot::before(workers)?;
    let done_before = units(&before);
    let begun = Instant::now();
    std::thread::sleep(run.window);
    let seconds = begun.elapsed().as_secs_f64();
    let after = Snapshot::after(workers)?;
    let mut costs = after.since(&before);
    costs.seconds = seconds;
    costs.units = units(&after) - done_before;
    if run.strace {
        costs.futex_per_read = syscalls::futex_per_read(run.window.min(Duration::from_millis(500)))?;
    }
    if costs.units < 1.0 {
        bail!("the traffic has stopped after {done_before} units: {:?}", after.core);
    }
    Ok(costs)
}
