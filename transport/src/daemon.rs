//! Running as a daemon: two forks, a session of its own, and a launcher that waits until the daemon is ready.
//!
//! Has to be called before the process starts any thread, because a forked child has only the thread that forked.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

/// What the daemon tells its launcher when it is ready; the reference's word.
const READY: &[u8] = b"ok";
/// A failure text is cut off here; it has to fit into the pipe, so that the daemon never waits for its launcher.
const FAILURE_LIMIT: usize = 2048;

/// What to do besides forking.
#[derive(Debug, Clone, Default)]
pub struct DaemonOptions {
    /// Where to write the daemon's process id. Relative to the directory in which it was started.
    pub pid_file: Option<PathBuf>,
    /// The user to become, with the groups of that user.
    pub user: Option<String>,
}

/// Why there is no daemon.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The caller has started threads already. A mistake of the program.
    #[error("a process with {0} threads cannot become a daemon")]
    Threads(usize),
    /// The system refused a step.
    #[error("{step}: {source}")]
    System {
        /// What was attempted.
        step: &'static str,
        /// The answer.
        source: io::Error,
    },
    /// There is no such user. The fault of whoever started the program.
    #[error("Can't look up user {0}")]
    UnknownUser(String),
}

/// Which of the processes this is, after [`daemonize`].
#[derive(Debug)]
pub enum Role {
    /// The process that was started: the daemon is ready or has failed, and this one should end.
    Launcher(Outcome),
    /// The daemon. It has to say when it is ready, or drop the notifier to say that it failed.
    Daemon(ReadyNotifier),
}

/// What became of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is ready.
    Ready,
    /// It ended, with this to say.
    Failed(String),
}

/// The daemon's end of the pipe to its launcher.
#[derive(Debug)]
pub struct ReadyNotifier {
    pipe: File,
}

impl ReadyNotifier {
    /// Tells the launcher that the daemon is ready.
    ///
    /// # Errors
    /// The launcher is gone, which need not concern the daemon.
    pub fn ready(mut self) -> io::Result<()> {
        self.pipe.write_all(READY)
    }

    /// Tells the launcher why the daemon could not start.
    pub fn failed(mut self, message: &str) {
        let mut end = message.len().min(FAILURE_LIMIT);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        // If the launcher is gone there is nobody left to tell.
        let _ = self.pipe.write_all(message.get(..end).unwrap_or_default().as_bytes());
    }
}

/// Becomes a daemon. Returns in two processes: the launcher, once the daemon is ready or has failed, and the daemon.
///
/// The daemon has `/` as its directory, so callers make relative paths absolute first; its standard streams go to `/dev/null`.
///
/// # Errors
/// In the launcher only: no pipe, no fork, or threads.
pub fn daemonize(options: &DaemonOptions) -> Result<Role, DaemonError> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads > 1 {
        return Err(DaemonError::Threads(threads));
    }
    let pid_file = options.pid_file.as_deref().map(std::path::absolute).transpose();
    let pid_file = pid_file.map_err(|source| DaemonError::System { step: "current directory", source })?;
    let (read, write) = pipe()?;
    if fork()? {
        drop(write);
        return Ok(Role::Launcher(wait(read)));
    }
    drop(read);
    let notifier = ReadyNotifier { pipe: File::from(write) };
    match detach(pid_file.as_deref(), options.user.as_deref()) {
        Ok(()) => Ok(Role::Daemon(notifier)),
        Err(error) => {
            notifier.failed(&format!("{error}\n"));
            // Not the launcher: nobody must take this process for it.
            std::process::exit(1);
        }
    }
}

/// Waits for the daemon's word, or for its end.
fn wait(read: OwnedFd) -> Outcome {
    let mut said = Vec::new();
    match File::from(read).read_to_end(&mut said) {
        Ok(_) if said == READY => Outcome::Ready,
        Ok(_) => Outcome::Failed(String::from_utf8_lossy(&said).into_owned()),
        Err(error) => Outcome::Failed(format!("Error reading inter-process pipe: {error}")),
    }
}

/// Everything a child does to be nobody's child.
fn detach(pid_file: Option<&Path>, user: Option<&str>) -> Result<(), DaemonError> {
    // SAFETY: setsid takes no pointers and only changes the session of this process.
    check(unsafe { libc::setsid() }, "Cannot start a new session")?;
    if fork()? {
        // The middle process has done its work; the daemon must not be the leader of the session.
        std::process::exit(0);
    }
    let null = File::options().read(true).write(true).open("/dev/null");
    let null = null.map_err(|source| DaemonError::System { step: "/dev/null", source })?;
    for stream in 0..=2 {
        // SAFETY: dup2 takes descriptors only; `null` is open, and replacing 0 to 2 invalidates nothing that Rust owns,
        // because std's handles of the standard streams refer to them by number.
        check(unsafe { libc::dup2(null.as_raw_fd(), stream) }, "Can't redirect a standard stream")?;
    }
    // SAFETY: umask cannot fail and takes no pointers. Only its user may write what the daemon writes.
    unsafe { libc::umask(0o022) };
    std::env::set_current_dir("/").map_err(|source| DaemonError::System { step: "Can't chdir /", source })?;
    if let Some(pid_file) = pid_file {
        std::fs::write(pid_file, format!("{}\n", std::process::id()))
            .map_err(|source| DaemonError::System { step: "Can't write pidfile", source })?;
    }
    user.map_or(Ok(()), become_user)
}

fn become_user(name: &str) -> Result<(), DaemonError> {
    let unknown = || DaemonError::UnknownUser(name.to_owned());
    let c_name = CString::new(name).map_err(|_| unknown())?;
    // SAFETY: `c_name` lives across the call. The result points to static memory that only another call of the getpw family
    // changes, and this process has one thread; it is read before anything else is called.
    let (uid, gid) = unsafe {
        let entry = libc::getpwnam(c_name.as_ptr());
        if entry.is_null() {
            return Err(unknown());
        }
        ((*entry).pw_uid, (*entry).pw_gid)
    };
    // Groups first: afterwards this process may no longer change them.
    // SAFETY: getuid takes nothing and cannot fail.
    if unsafe { libc::getuid() } != uid {
        set_groups(&c_name, gid)?;
        // SAFETY: setuid takes no pointers.
        check(unsafe { libc::setuid(uid) }, "Can't set user ID")?;
    }
    Ok(())
}

fn set_groups(name: &CStr, gid: libc::gid_t) -> Result<(), DaemonError> {
    // SAFETY: `name` is a C string that lives across the call.
    check(unsafe { libc::initgroups(name.as_ptr(), gid) }, "Can't set the user's groups")?;
    // SAFETY: setgid takes no pointers.
    check(unsafe { libc::setgid(gid) }, "Can't set group ID")?;
    Ok(())
}

fn pipe() -> Result<(OwnedFd, OwnedFd), DaemonError> {
    let mut ends = [0; 2];
    // SAFETY: `ends` is room for the two descriptors that pipe2 writes.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) }, "Error creating inter-process pipe")?;
    let [read, write] = ends;
    // SAFETY: pipe2 succeeded, so both are open and nobody else owns them.
    Ok(unsafe { (OwnedFd::from_raw_fd(read), OwnedFd::from_raw_fd(write)) })
}

/// Whether this is the parent.
fn fork() -> Result<bool, DaemonError> {
    // SAFETY: `daemonize` has made sure that there is one thread, so the child has all threads and no lock is held by a
    // thread that it lacks.
    let pid = check(unsafe { libc::fork() }, "fork")?;
    Ok(pid != 0)
}

fn check(result: libc::c_int, step: &'static str) -> Result<libc::c_int, DaemonError> {
    if result < 0 { Err(DaemonError::System { step, source: io::Error::last_os_error() }) } else { Ok(result) }
}

/// Ends this process as an interrupt (SIGINT) that nobody handles would, so that the shell which started it sees one.
pub fn end_interrupted() -> ! {
    // SAFETY: SIG_DFL is a valid disposition, and raise takes no pointers; the default action ends the process.
    unsafe {
        libc::signal(libc::SIGINT, libc::SIG_DFL);
        libc::raise(libc::SIGINT);
    }
    // Only reached where SIGINT is blocked.
    std::process::exit(130);
}
