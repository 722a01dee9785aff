//! Instructions of an operation, counted by valgrind: the same on every run and on a busy machine.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::process::{Scratch, find, output};

/// How often an operation is run: enough for what happens once per block or rarer to show in its share.
const COUNT: u64 = 16 * super::harness::BLOCK;

/// Whether valgrind is there.
pub(super) fn is_available() -> bool {
    find("valgrind").is_some()
}

/// Instructions per operation in the timed sections. `None` without valgrind.
pub(super) fn count(name: &str) -> Result<Option<f64>> {
    if !is_available() {
        return Ok(None);
    }
    let scratch = Scratch::new()?;
    let file = scratch.path().join("callgrind");
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*timed_section*"]);
    command.arg(format!("--callgrind-out-file={}", file.display()));
    command.arg(std::env::current_exe()?).args(["micro", "--exactly", name, "--fixed", &COUNT.to_string()]);
    output(command, Duration::from_secs(120)).context("run valgrind")?;
    let report = std::fs::read_to_string(&file).context("read what valgrind counted")?;
    let total = report.lines().find_map(|line| {
        let rest = line.strip_prefix("totals:").or_else(|| line.strip_prefix("summary:"))?;
        rest.split_whitespace().next()?.parse::<f64>().ok()
    });
    Ok(total.filter(|n| *n > 0.0).map(|n| n / COUNT as f64))
}
