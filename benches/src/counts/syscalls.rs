//! System calls of this process, as strace sees them.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::process::{Scratch, find};

/// Reads of sockets, by whichever call; a splice may also be the write.
const READS: &[&str] = &["read", "readv", "recvfrom", "recvmsg", "splice"];

/// Whether strace is there.
pub(super) fn is_available() -> bool {
    find("strace").is_some()
}

/// Lets strace count for a while. `None` if it may not attach to this process, or nothing was read meanwhile.
pub(super) fn futex_per_read(window: Duration) -> Result<Option<f64>> {
    let scratch = Scratch::new()?;
    let file = scratch.path().join("strace");
    let mut command = Command::new("strace");
    command.args(["-f", "-c", "-q", "-e"]).arg(format!("trace=futex,{}", READS.join(",")));
    command.arg("-o").arg(&file).args(["-p", &std::process::id().to_string()]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().context("start strace")?;
    let until = Instant::now() + window;
    while Instant::now() < until {
        if child.try_wait()?.is_some() {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    // Told to end, it detaches and writes its summary.
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        kill_process(pid, Signal::INT).context("end strace")?;
    }
    let limit = Instant::now() + Duration::from_secs(10);
    while child.try_wait()?.is_none() {
        if Instant::now() > limit {
            let _ = child.kill();
            let _ = child.wait();
            bail!("strace does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(parse(&std::fs::read_to_string(&file).unwrap_or_default()))
}

/// Futex calls for each read of a summary: `% time, seconds, usecs/call, calls, [errors], syscall`.
fn parse(summary: &str) -> Option<f64> {
    let (mut futex, mut reads) = (0.0, 0.0);
    for line in summary.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (Some(calls), Some(name)) = (fields.get(3).and_then(|n| n.parse::<f64>().ok()), fields.last()) else {
            continue;
        };
        if *name == "futex" {
            futex += calls;
        } else if READS.contains(name) {
            reads += calls;
        }
    }
    (reads > 0.0).then(|| futex / reads)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_a_summary_of_strace() {
        let summary = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 99.00    0.200000          20     10000      4000 recvfrom
  1.00    0.000100          10        10         1 futex
------ ----------- ----------- --------- --------- ----------------
100.00    0.200100                 10010      4001 total
";
        assert_eq!(parse(summary), Some(0.001));
        assert_eq!(parse(""), None);
    }
}
