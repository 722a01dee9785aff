//! How much memory there is, and giving that of closed connections back to the system.
//!
//! glibc's allocator keeps what lies below its topmost block, so that 10,000 connections that are gone would stay in the resident
//! set. Asking it to trim costs a walk over its free lists, so it is asked once after connections were closed, when that has calmed down.

use std::sync::atomic::{AtomicU32, Ordering};

static CLOSED: AtomicU32 = AtomicU32::new(0);

/// Closed connections that are worth a trim.
const WORTH: u32 = 64;

/// Part of each socket: counts it when it is closed.
#[derive(Debug)]
pub(crate) struct CloseCounter;

impl Drop for CloseCounter {
    fn drop(&mut self) {
        CLOSED.fetch_add(1, Ordering::Relaxed);
    }
}

/// Decides when to trim. One for the process, asked a few times a second.
#[derive(Debug, Default)]
pub struct Trimmer {
    seen: u32,
    owed: bool,
}

impl Trimmer {
    /// Trims if many connections were closed since the last trim, and hardly any since the last call. Tells whether it did.
    pub fn poll(&mut self) -> bool {
        let closed = CLOSED.load(Ordering::Relaxed);
        let since = closed.wrapping_sub(self.seen);
        if since >= WORTH {
            (self.seen, self.owed) = (closed, true);
            return false;
        }
        if !std::mem::take(&mut self.owed) {
            return false;
        }
        trim();
        true
    }
}

/// The memory that this process may use, in bytes: that of the machine, or what its control group has. `None` if neither can be read.
#[must_use]
pub fn limit() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").as_deref().and_then(total);
    // In a container these are its own; version 2 and version 1.
    let group = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    let group = group.into_iter().filter_map(read).find_map(|text| text.trim().parse().ok());
    machine.into_iter().chain(group).min()
}

/// Memory of this process, in bytes, where the system tells.
#[must_use]
pub fn resident() -> Option<u64> {
    own("VmRSS:")
}

/// Addresses of this process, in bytes, where the system tells. Most of them have no memory.
#[must_use]
pub fn virtual_size() -> Option<u64> {
    own("VmSize:")
}

/// A line of `/proc/self/status`, which counts in KiB.
fn own(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kib * 1024)
}

/// The first line of `/proc/meminfo`, which counts in KiB.
fn total(meminfo: &str) -> Option<u64> {
    let rest = meminfo.strip_prefix("MemTotal:")?.trim_start();
    rest.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(target_env = "gnu")]
fn trim() {
    // SAFETY: malloc_trim has no preconditions and may be called from any thread (malloc_trim(3), MT-Safe).
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(not(target_env = "gnu"))]
fn trim() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_has_some_memory() {
        assert_eq!(total("MemTotal:       24684148 kB\nMemFree: 1 kB\n"), Some(24_684_148 * 1024));
        assert_eq!(total("something else"), None);
        assert!(limit().is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn trims_once_after_many_were_closed() {
        let mut trimmer = Trimmer::default();
        (0..10 * WORTH).for_each(|_| drop(CloseCounter));
        assert!(!trimmer.poll(), "not while connections are being closed");
        // Other tests of this process close sockets, too.
        while !trimmer.poll() {}
    }
}
