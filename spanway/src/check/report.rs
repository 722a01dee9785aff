//! What the steps found, told while they go.

use std::time::Instant;

use anyhow::Result;
use serde_json::json;

use crate::cli::output::ReportFormat;
use crate::client::format::pretty;
use crate::client::report::print;
use crate::client::table::shown;

/// Why a step failed, and what can be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) found: String,
    pub(super) remedy: String,
}

impl Fault {
    pub(super) fn new(found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { found: found.into(), remedy: remedy.into() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Ok,
    Warning,
    Failed,
    Skipped,
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warn",
            Self::Failed => "FAIL",
            Self::Skipped => "-",
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// The steps so far.
#[derive(Debug)]
pub(super) struct Report {
    output: ReportFormat,
    steps: Vec<serde_json::Value>,
    current: Option<(&'static str, Instant)>,
}

impl Report {
    pub(super) fn new(output: ReportFormat) -> Self {
        Self { output, steps: Vec::new(), current: None }
    }

    /// A step begins.
    pub(super) fn begin(&mut self, step: &'static str) {
        self.current = Some((step, Instant::now()));
    }

    /// The step that is under way: that which failed, after the end.
    pub(super) fn step(&self) -> Option<&'static str> {
        self.current.map(|(step, _)| step)
    }

    /// The last step is over.
    pub(super) fn finished(&mut self) {
        self.current = None;
    }

    pub(super) fn ok(&mut self, found: impl Into<String>) {
        self.tell(Outcome::Ok, &found.into(), None);
    }

    /// It may be the reason, or become one.
    pub(super) fn warn(&mut self, found: impl Into<String>, remedy: impl Into<String>) {
        self.tell(Outcome::Warning, &found.into(), Some(&remedy.into()));
    }

    /// There is nothing to be done here.
    pub(super) fn skip(&mut self, why: impl Into<String>) {
        self.tell(Outcome::Skipped, &why.into(), None);
    }

    fn tell(&mut self, outcome: Outcome, found: &str, remedy: Option<&str>) {
        let Some((step, since)) = self.current else { return };
        let millis = since.elapsed().as_secs_f64() * 1e3;
        let found = shown(found);
        if self.output == ReportFormat::Table {
            let mut text = format!("{:<5} {step:<11} {found}", outcome.word());
            if millis >= 1.0 {
                text.push_str(&format!(" ({millis:.0} ms)"));
            }
            text.push('\n');
            for line in remedy.unwrap_or_default().lines() {
                text.push_str(&format!("                  -> {}\n", shown(line)));
            }
            // Who has stopped to read does not want to know the rest.
            let _ = print(&text);
        }
        self.steps.push(json!({
            "step": step,
            "outcome": outcome.as_str(),
            "found": found,
            "remedy": remedy,
            "milliseconds": (millis * 1e3).round() / 1e3,
        }));
    }

    /// Tells about the step that failed, if one did.
    pub(super) fn end(&mut self, failed: Option<Fault>) -> Result<()> {
        if let Some(fault) = &failed {
            self.tell(Outcome::Failed, &fault.found, Some(&fault.remedy));
        }
        if self.output == ReportFormat::Json {
            let step = failed.and_then(|_| self.step());
            let text = pretty(&json!({ "ok": step.is_none(), "failed": step, "steps": self.steps }));
            print(&text)?;
        }
        Ok(())
    }
}
