//! Runs an operation often enough to tell how long it takes.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::HEAP;
use crate::stats::median;

/// Operations between two looks at the clock, at most.
pub(super) const BLOCK: u64 = 128;

/// Something that can be done any number of times; times itself with the clock.
pub(super) type Operation = Box<dyn FnMut(u64, &mut Clock) -> Result<()>>;

/// An operation and its name.
pub(super) struct Bench {
    pub(super) name: &'static str,
    /// Sets up whatever it needs.
    pub(super) make: fn() -> Result<Operation>,
}

/// What was measured, per operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
    pub(super) allocs: f64,
}

/// Adds up the sections that count.
#[derive(Debug, Default)]
pub(super) struct Clock {
    spent: Duration,
    allocs: usize,
}

impl Clock {
    /// Runs what counts.
    pub(super) fn time<R>(&mut self, f: impl FnOnce() -> R) -> R {
        let before = heap_calls();
        let start = Instant::now();
        let result = timed_section(f);
        self.spent += start.elapsed();
        self.allocs += heap_calls() - before;
        result
    }
}

fn heap_calls() -> usize {
    let heap = HEAP.stats();
    heap.allocations + heap.reallocations
}

/// A function of its own, because callgrind collects between its entry and its return.
#[inline(never)]
fn timed_section<R>(f: impl FnOnce() -> R) -> R {
    black_box(f())
}

impl Bench {
    /// Measures `samples` samples of about `length` each.
    pub(super) fn measure(&self, length: Duration, samples: u32) -> Result<Measured> {
        let mut operation = (self.make)()?;
        // Doubles until it is long enough to tell; that also warms everything up.
        let mut count = BLOCK;
        let per_operation = loop {
            let mut clock = Clock::default();
            operation(count, &mut clock)?;
            if clock.spent >= length / 4 {
                break clock.spent.as_secs_f64() / count as f64;
            }
            if count > 1 << 40 {
                bail!("{} takes no time", self.name);
            }
            count *= 2;
        };
        let count = ((length.as_secs_f64() / per_operation) as u64).max(BLOCK).next_multiple_of(BLOCK);
        let mut all = Vec::new();
        let mut allocs = 0;
        for _ in 0..samples {
            let mut clock = Clock::default();
            operation(count, &mut clock)?;
            all.push(clock.spent.as_nanos() as f64 / count as f64);
            allocs += clock.allocs;
        }
        Ok(Measured {
            median: median(&all),
            min: all.iter().copied().fold(f64::INFINITY, f64::min),
            max: all.iter().copied().fold(0.0, f64::max),
            allocs: allocs as f64 / (count * u64::from(samples)) as f64,
        })
    }

    /// Runs it so many times.
    pub(super) fn run_fixed(&self, count: u64) -> Result<()> {
        (self.make)()?(count, &mut Clock::default())
    }
}

/// An operation that needs nothing between its blocks.
pub(super) fn simple<R>(mut f: impl FnMut() -> R + 'static) -> Operation {
    blocks(move |n, clock| {
        clock.time(|| {
            for _ in 0..n {
                black_box(f());
            }
        });
        Ok(())
    })
}

/// An operation that times blocks of at most [`BLOCK`] itself.
pub(super) fn blocks(mut f: impl FnMut(u64, &mut Clock) -> Result<()> + 'static) -> Operation {
    Box::new(move |mut count, clock| {
        while count > 0 {
            let n = count.min(BLOCK);
            f(n, clock)?;
            count -= n;
        }
        Ok(())
    })
}
