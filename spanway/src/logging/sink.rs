//! Where log lines go.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::unix::net::UnixDatagram;

use parking_lot::Mutex;
use router_core::config::levels::Severity;

/// A place that lines are appended to.
#[derive(Debug)]
pub(crate) struct Sink {
    name: String,
    target: Target,
}

#[derive(Debug)]
enum Target {
    Stderr,
    Stdout,
    /// The file, in append mode; one write per line, so that lines of several processes do not mix.
    File(Mutex<File>),
    Syslog(UnixDatagram),
}

/// The facility `daemon`, which the reference uses.
const SYSLOG_FACILITY: u8 = 3 << 3;

impl Sink {
    /// The standard error.
    pub(super) fn stderr() -> Self {
        Self { name: "stderr".to_owned(), target: Target::Stderr }
    }

    /// Opens what an `outputFile` names.
    pub(super) fn open(name: &str) -> io::Result<Self> {
        let target = match name {
            "stderr" => Target::Stderr,
            "stdout" => Target::Stdout,
            "syslog" => {
                let socket = UnixDatagram::unbound()?;
                socket.connect("/dev/log")?;
                // A full log must not stop a router.
                socket.set_nonblocking(true)?;
                Target::Syslog(socket)
            }
            file => Target::File(Mutex::new(File::options().append(true).create(true).open(file)?)),
        };
        Ok(Self { name: name.to_owned(), target })
    }

    /// The name it was opened by.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether colours make sense.
    pub(super) fn is_terminal(&self) -> bool {
        match self.target {
            Target::Stderr => io::stderr().is_terminal(),
            Target::Stdout => io::stdout().is_terminal(),
            _ => false,
        }
    }

    /// Whether lines get their time from elsewhere.
    pub(super) fn has_own_time(&self) -> bool {
        matches!(self.target, Target::Syslog(_))
    }

    /// Appends a line, which ends with a line feed. A line that cannot be written is lost: there is no log to say so.
    pub(super) fn write(&self, level: Severity, line: &str) {
        let _ = match &self.target {
            Target::Stderr => io::stderr().lock().write_all(line.as_bytes()),
            Target::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush())
            }
            Target::File(file) => file.lock().write_all(line.as_bytes()),
            Target::Syslog(socket) => {
                let severity = match level {
                    Severity::Debug => 7,
                    Severity::Info => 6,
                    Severity::Warning => 4,
                    Severity::Error => 3,
                    Severity::Critical => 2,
                };
                let priority = SYSLOG_FACILITY | severity;
                let entry = format!("<{priority}>skrouterd[{}]: {}", std::process::id(), line.trim_end());
                socket.send(entry.as_bytes()).map(|_| ())
            }
        };
    }
}
