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

/// One sample of a workload on a path: a value per figure, NaN where the figure has no meaning.
pub(crate) type Sample = Vec<f64>;

/// All samples of one workload.
#[derive(Debug)]
pub(crate) struct Results {
    pub(crate) workload: String,
    pub(crate) figures: Vec<Figure>,
    paths: Vec<String>,
    samples: BTreeMap<String, Vec<Sample>>,
}

impl Results {
    pub(crate) fn new(workload: &str, figures: &[Figure]) -> Self {
        Self { workload: workload.to_owned(), figures: figures.to_vec(), paths: Vec::new(), samples: BTreeMap::new() }
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
        json!({ "workload": self.workload, "paths": paths })
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
