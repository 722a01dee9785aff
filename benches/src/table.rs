//! Results as aligned tables and as JSON.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::stats::median;

/// Which way a figure is better, for the reader of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    High,
    Low,
}

/// A measured figure: its name, unit and which way is better.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) digits: usize,
    pub(crate) better: Better,
}

/// What one of our medians has to reach.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// So many times the median of another path.
    TimesAtLeast(f64, &'static str),
    TimesAtMost(f64, &'static str),
    /// What comes on top of `direct`: so many times what another path adds to it.
    AddedAtMost(f64, &'static str),
}

/// One sample of a workload on a path: a value per figure, NaN where the figure has no meaning.
pub(crate) type Sample = Vec<f64>;

/// All samples of one workload.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) workload: String,
    pub(crate) figures: Vec<Figure>,
    goals: &'static [(&'static str, Goal)],
    paths: Vec<String>,
    samples: BTreeMap<String, Vec<Sample>>,
}

impl Results {
    pub(crate) fn new(workload: &str, figures: &[Figure]) -> Self {
        Self {
            workload: workload.to_owned(),
            figures: figures.to_vec(),
            goals: &[],
            paths: Vec::new(),
            samples: BTreeMap::new(),
        }
    }

    /// Goals for Spanway, by the names of figures.
    pub(crate) fn aim(&mut self, goals: &'static [(&'static str, Goal)]) {
        self.goals = goals;
    }

    /// The same samples under another name, with other goals.
    pub(crate) fn again(&self, workload: &str, goals: &'static [(&'static str, Goal)]) -> Self {
        Self {
            workload: workload.to_owned(),
            figures: self.figures.clone(),
            goals,
            paths: self.paths.clone(),
            samples: self.samples.clone(),
        }
    }

    /// The goal of a figure: as a bound, and whether our median keeps it. `None` if there is none, or nothing to compare with.
    fn goal(&self, at: usize) -> Option<(String, bool)> {
        let figure = self.figures.get(at)?;
        let goal = self.goals.iter().find(|(name, _)| *name == figure.name)?.1;
        let ours = *self.medians("spanway").get(at)?;
        let of = |path: &str| self.medians(path).get(at).copied().unwrap_or(f64::NAN);
        let (bound, least) = match goal {
            Goal::AtLeast(bound) => (bound, true),
            Goal::AtMost(bound) => (bound, false),
            Goal::TimesAtLeast(times, path) => (times * of(path), true),
            Goal::TimesAtMost(times, path) => (times * of(path), false),
            Goal::AddedAtMost(times, path) => (of("direct") + times * (of(path) - of("direct")), false),
        };
        if bound.is_nan() || ours.is_nan() {
            return None;
        }
        // As it is printed: a goal of 0 means none that shows.
        let scale = 10_f64.powi(i32::try_from(figure.digits).unwrap_or(0));
        let ours = (ours * scale).round() / scale;
        let met = if least { ours >= bound } else { ours <= bound };
        let sign = if least { ">=" } else { "<=" };
        Some((format!("{sign} {}", number(bound, figure.digits)), met))
    }

    pub(crate) fn add(&mut self, path: &str, sample: Sample) {
        if !self.paths.iter().any(|p| p == path) {
            self.paths.push(path.to_owned());
        }
        self.samples.entry(path.to_owned()).or_default().push(sample);
    }

    fn medians(&self, path: &str) -> Vec<f64> {
        let samples = self.samples.get(path).map_or(&[][..], Vec::as_slice);
        (0..self.figures.len())
            .map(|i| median(&samples.iter().filter_map(|s| s.get(i).copied()).collect::<Vec<_>>()))
            .collect()
    }

    /// Prints the medians of each path and Spanway's ratio to every other path.
    pub(crate) fn print(&self) {
        let mut rows: Vec<Vec<String>> = vec![
            std::iter::once(self.workload.clone())
                .chain(
                    self.figures
                        .iter()
                        .map(|f| format!("{} {}", f.name, if f.better == Better::High { "^" } else { "v" })),
                )
                .collect(),
        ];
        let ours = self.medians("spanway");
        for path in &self.paths {
            let values = self.medians(path);
            rows.push(
                std::iter::once(path.clone())
                    .chain(values.iter().zip(&self.figures).map(|(v, f)| number(*v, f.digits)))
                    .collect(),
            );
        }
        for path in self.paths.iter().filter(|p| *p != "spanway") {
            let values = self.medians(path);
            if ours.iter().all(|v| v.is_nan()) {
                continue;
            }
            rows.push(
                std::iter::once(format!("  spanway / {path}"))
                    .chain(ours.iter().zip(&values).map(|(a, b)| {
                        let ratio = a / b;
                        if ratio.is_finite() && *b != 0.0 { format!("{ratio:.2}x") } else { "-".to_owned() }
                    }))
                    .collect(),
            );
        }
        let goals: Vec<Option<(String, bool)>> = (0..self.figures.len()).map(|at| self.goal(at)).collect();
        if goals.iter().any(Option::is_some) {
            let cell = |goal: &Option<(String, bool)>| match goal {
                Some((bound, met)) => format!("{bound} {}", if *met { "met" } else { "missed" }),
                None => "-".to_owned(),
            };
            rows.push(std::iter::once("  goal".to_owned()).chain(goals.iter().map(cell)).collect());
        }
        print_aligned(&rows);
        println!();
    }

    /// The same as JSON: medians and every sample.
    pub(crate) fn json(&self) -> Value {
        let paths: serde_json::Map<String, Value> = self
            .paths
            .iter()
            .map(|path| {
                let medians: serde_json::Map<String, Value> =
                    self.figures.iter().zip(self.medians(path)).map(|(f, v)| (f.name.to_owned(), json!(v))).collect();
                (path.clone(), json!({ "median": medians, "samples": self.samples.get(path) }))
            })
            .collect();
        let goals: serde_json::Map<String, Value> = (0..self.figures.len())
            .filter_map(|at| {
                let (bound, met) = self.goal(at)?;
                Some((self.figures.get(at)?.name.to_owned(), json!({ "bound": bound, "met": met })))
            })
            .collect();
        json!({ "workload": self.workload, "paths": paths, "goals": goals })
    }
}

/// A figure with so many digits; - if there is none.
pub(crate) fn number(value: f64, digits: usize) -> String {
    if value.is_nan() { "-".to_owned() } else { format!("{value:.digits$}") }
}

/// Prints rows as columns: the first to the left, the others to the right.
pub(crate) fn print_aligned(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> =
        (0..columns).map(|c| rows.iter().filter_map(|r| r.get(c)).map(String::len).max().unwrap_or(0)).collect();
    for row in rows {
        let mut line = String::new();
        for (c, cell) in row.iter().enumerate() {
            let width = widths[c];
            if c == 0 { line.push_str(&format!("{cell:<width$}")) } else { line.push_str(&format!("  {cell:>width$}")) }
        }
        println!("{line}");
    }
}
