//! Child processes that never outlive a test.

use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How often conditions are looked at again.
const POLL: Duration = Duration::from_millis(5);

/// Waits until `check` gives a value.
///
/// # Panics
/// After `limit`, with `what` in the message.
pub fn wait_for<T>(what: &str, limit: Duration, mut check: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(value) = check() {
            return value;
        }
        assert!(Instant::now() < end, "waited {limit:?} in vain: {what}");
        std::thread::sleep(POLL);
    }
}

/// A child with its standard output and error in a file. Killed when dropped, by its own process id.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    status: Option<ExitStatus>,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").field("name", &self.name).field("pid", &self.child.id()).finish_non_exhaustive()
    }
}

impl Process {
    /// Starts `command`; both outputs go to `dir/name.log`.
    ///
    /// # Panics
    /// When the program cannot be started.
    pub fn start(name: &str, dir: &Path, command: &mut Command) -> Self {
        let log = dir.join(format!("{name}.log"));
        let out = File::create(&log).unwrap();
        let err = out.try_clone().unwrap();
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn().unwrap_or_else(|error| {
            panic!("cannot start {name} ({command:?}): {error}; `./test` installs what is needed")
        });
        Self { name: name.to_owned(), child, log, status: None }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it printed so far.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits until it printed a line that contains `text`; returns that line.
    ///
    /// # Panics
    /// When it ended before, or after `limit`.
    pub fn wait_output(&mut self, text: &str, limit: Duration) -> String {
        let end = Instant::now() + limit;
        loop {
            let over = self.exit_status();
            let output = self.output();
            if let Some(line) = output.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            if let Some(status) = over {
                panic!("{} ended with {status} before it printed {text:?}:\n{}", self.name, tail(&output));
            }
            assert!(Instant::now() < end, "{} did not print {text:?} in {limit:?}:\n{}", self.name, tail(&output));
            std::thread::sleep(POLL);
        }
    }

    /// Its exit status, once it ended.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().unwrap();
        }
        self.status
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.exit_status() {
                return status;
            }
            assert!(Instant::now() < end, "{} still runs after {limit:?}:\n{}", self.name, tail(&self.output()));
            std::thread::sleep(POLL);
        }
    }

    /// Sends a signal; nothing happens when the process has ended.
    pub fn signal(&mut self, signal: Signal) {
        if self.exit_status().is_none() {
            let pid = Pid::from_child(&self.child);
            kill_process(pid, signal).unwrap();
        }
    }

    /// SIGTERM, then waits for its end.
    ///
    /// # Panics
    /// When it still runs after `limit`.
    pub fn terminate(&mut self, limit: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait(limit)
    }

    /// SIGKILL, then waits for its end.
    pub fn kill(&mut self) {
        if self.exit_status().is_none() {
            let _ = self.child.kill();
            self.status = self.child.wait().ok();
        }
    }

    /// Resident memory in bytes.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn rss(&self) -> u64 {
        status_kib(self.pid(), "VmRSS:") * 1024
    }

    /// Highest resident memory so far, in bytes.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn peak_rss(&self) -> u64 {
        status_kib(self.pid(), "VmHWM:") * 1024
    }

    /// CPU time that it has used so far, to some 10 ms.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        // The name, which may hold anything, is in parentheses; `utime` and `stime` are the 14th and 15th field.
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    }

    /// Number of open file descriptors.
    ///
    /// # Panics
    /// When the process is gone.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- {} ({:?}) printed:\n{}---", self.name, self.status, tail(&self.output()));
        }
    }
}

fn status_kib(pid: u32, key: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The last 60 lines.
pub(crate) fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].iter().map(|line| format!("{line}\n")).collect()
}
