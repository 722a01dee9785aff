//! The table, and the check.

use serde_json::{Value, json};

use crate::table::{number, print_aligned};

/// What may remain of a unit, above what its batches are allowed.
const EPSILON: f64 = 0.001;
/// What may remain in all: the timers of the workers, and the look of the harness itself.
const SLACK: f64 = 64.0;

/// What a scenario cost in all.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Costs {
    pub(super) seconds: f64,
    pub(super) units: f64,
    pub(super) batches: f64,
    pub(super) allocs: f64,
    pub(super) bytes: f64,
    pub(super) locks: f64,
    pub(super) writes: f64,
    pub(super) reads: f64,
    pub(super) polls: f64,
    pub(super) sleeps: f64,
    /// AMQP: deliveries that waited in the router, because the receiver had no credit left.
    pub(super) waited: f64,
    pub(super) futex_per_read: Option<f64>,
}

/// What a batch may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowed {
    pub(super) allocs: f64,
    pub(super) locks: f64,
}

/// A scenario and what it cost.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) title: String,
    pub(super) unit: &'static str,
    pub(super) costs: Costs,
    pub(super) allowed: Allowed,
}

impl Row {
    /// Allocations of a unit beyond those its batches are allowed.
    fn excess_allocs(&self) -> f64 {
        (self.costs.allocs - self.allowed.allocs * self.costs.batches - SLACK).max(0.0) / self.costs.units
    }

    fn excess_locks(&self) -> f64 {
        (self.costs.locks - self.allowed.locks * self.costs.batches - SLACK).max(0.0) / self.costs.units
    }

    /// Whether steady forwarding allocates and locks nothing beyond what its batches may.
    ///
    /// # Errors
    /// What it does.
    pub(super) fn check(&self) -> Result<(), String> {
        let excess = self.excess_allocs();
        if excess > EPSILON {
            return Err(format!(
                "{excess:.4} heap allocations per {} beyond those of its batches{}",
                self.unit,
                self.waited()
            ));
        }
        let excess = self.excess_locks();
        if excess > EPSILON {
            return Err(format!("{excess:.4} lock operations per {} beyond those of its batches", self.unit));
        }
        // What the allowance could hide while batches are small: an allocation that every unit makes.
        if self.costs.units > 2.0 * self.costs.batches && self.costs.allocs >= self.costs.units {
            return Err(format!(
                "{:.2} heap allocations per {}{}",
                self.costs.allocs / self.costs.units,
                self.unit,
                self.waited()
            ));
        }
        Ok(())
    }

    fn waited(&self) -> String {
        let share = self.costs.waited * 100.0 / self.costs.units;
        if share < 0.1 { String::new() } else { format!(" ({share:.0} % waited for the receiver)") }
    }

    pub(super) fn json(&self) -> Value {
        let c = &self.costs;
        let of = |n: f64| {
            json!({
                "allocs": c.allocs / n, "bytes_allocated": c.bytes / n, "locks": c.locks / n, "writes": c.writes / n,
                "reads": c.reads / n, "waited": c.waited / n, "polls": c.polls / n, "sleeps": c.sleeps / n,
            })
        };
        json!({
            "title": self.title, "unit": self.unit, "seconds": c.seconds, "units": c.units, "batches": c.batches,
            "per_unit": of(c.units), "per_batch": of(c.batches), "futex_per_read": c.futex_per_read,
            "allowed_per_batch": { "allocs": self.allowed.allocs, "locks": self.allowed.locks },
            "excess_per_unit": { "allocs": self.excess_allocs(), "locks": self.excess_locks() },
            "ok": self.check().is_ok(),
        })
    }

    fn cells(&self) -> Vec<String> {
        let c = &self.costs;
        let unit = |n: f64| number(n / c.units, 4);
        let batch = |n: f64| number(n / c.batches, 2);
        vec![
            self.title.clone(),
            self.unit.to_owned(),
            number(c.units / c.seconds, 0),
            number(c.units / c.batches, 1),
            unit(c.allocs),
            unit(c.locks),
            unit(c.writes),
            unit(c.reads),
            unit(c.waited),
            batch(c.allocs),
            batch(c.locks),
            batch(c.writes),
            batch(c.reads),
            batch(c.polls),
            batch(c.sleeps),
            c.futex_per_read.map_or_else(|| "-".to_owned(), |n| number(n, 4)),
            format!("{}/{}", self.allowed.allocs, self.allowed.locks),
            number(self.excess_allocs(), 4),
            if self.check().is_ok() { "ok".to_owned() } else { "FAILED".to_owned() },
        ]
    }
}

/// Prints the rows as a table, with what its columns mean.
pub(super) fn print(rows: &[Row]) {
    let head = [
        "steady state",
        "unit",
        "units/s",
        "units/batch",
        "allocs/unit",
        "locks",
        "writes",
        "reads",
        "waited",
        "allocs/batch",
        "locks",
        "writes",
        "reads",
        "polls",
        "sleeps",
        "futex/read",
        "allowed",
        "excess",
        "check",
    ];
    let mut table: Vec<Vec<String>> = vec![head.map(str::to_owned).to_vec()];
    table.extend(rows.iter().map(Row::cells));
    print_aligned(&table);
    println!(
        "\nA batch is a read that brought something, or a batch from another worker. locks: pushes and looks of transport::mailbox, the only\n\
         lock of our own on the path of data; futex/read: futex calls per read, by strace, which contended locks would need.\n\
         waited: share that waited until the receiver could take more; allowed: allocations/locks that a batch may cost; excess: allocations per\n\
         unit beyond (0 is the goal). More: counts --help."
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(allocs: f64, batches: f64) -> Row {
        let costs = Costs { seconds: 1.0, units: 100_000.0, batches, allocs, ..Costs::default() };
        Row { title: String::new(), unit: "transfer", costs, allowed: Allowed { allocs: 8.0, locks: 4.0 } }
    }

    #[test]
    fn allocations_of_batches_pass_and_those_of_units_fail() {
        assert!(row(0.0, 100.0).check().is_ok());
        assert!(row(800.0, 100.0).check().is_ok());
        assert!(row(850.0, 100.0).check().is_ok(), "within epsilon");
        assert!(row(100_000.0, 100.0).check().is_err());
        assert!(row(1000.0, 100.0).check().is_err());
    }

    #[test]
    fn one_for_each_unit_fails_however_small_the_batches_are() {
        assert!(row(100_000.0, 20_000.0).check().is_err());
        assert!(row(50_000.0, 20_000.0).check().is_ok());
    }
}
