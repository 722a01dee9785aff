//! The foreign client programs of `clients/`, behind one interface: commands, `key=value` arguments, JSON lines.
//! `clients/README.md` describes both.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::certs::Certs;
use crate::process::Process;
use crate::router::{PATIENCE, profile_dir, workspace};

/// A client library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// `python3-qpid-proton`
    ProtonPython,
    /// `libqpid-proton-cpp`
    ProtonCpp,
    /// rhea, JavaScript
    Rhea,
    /// `github.com/Azure/go-amqp`
    GoAmqp,
    /// Apache Qpid JMS, Java
    QpidJms,
    /// `fe2o3-amqp`, Rust
    Fe2o3,
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ProtonPython => "proton-python",
            Self::ProtonCpp => "proton-cpp",
            Self::Rhea => "rhea",
            Self::GoAmqp => "go-amqp",
            Self::QpidJms => "qpid-jms",
            Self::Fe2o3 => "fe2o3-amqp",
        })
    }
}

impl Client {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::ProtonPython, Self::ProtonCpp, Self::Rhea, Self::GoAmqp, Self::QpidJms, Self::Fe2o3];

    fn program(self) -> Command {
        let sources = workspace().join("conformance/clients").join(self.to_string());
        let built = installed(&self.to_string());
        match self {
            Self::ProtonPython => {
                // Debian's package is for Debian's Python, not for one that comes first in PATH.
                let mut command = Command::new("/usr/bin/python3");
                command.arg(sources.join("client.py"));
                command
            }
            Self::ProtonCpp | Self::GoAmqp => Command::new(built.join("client")),
            Self::Rhea => {
                let mut command = Command::new("node");
                command.env("NODE_PATH", built.join("node_modules")).arg(sources.join("client.js"));
                command
            }
            Self::QpidJms => {
                let mut command = Command::new("java");
                // A JVM that starts fast and stays small.
                command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Xmx512m", "-cp"]);
                command.arg(format!("{0}/classes:{0}/lib/*", built.display())).arg("Client");
                command
            }
            Self::Fe2o3 => Command::new(profile_dir().join("fe2o3-amqp")),
        }
    }

    /// Starts a command against the router on `port` of 127.0.0.1.
    pub fn start(self, dir: &Path, what: &str, port: u16, args: &[(&str, &str)]) -> Running {
        let mut command = self.program();
        command.arg(what).arg(format!("port={port}"));
        command.args(args.iter().map(|(key, value)| format!("{key}={value}")));
        let name = format!("{self}-{what}-{}", unique());
        Running { process: Process::start(&name, dir, &mut command), name }
    }

    /// Runs a command to its end; returns what it printed.
    ///
    /// # Panics
    /// When it fails, or takes longer than `PATIENCE`.
    pub fn run(self, dir: &Path, what: &str, port: u16, args: &[(&str, &str)]) -> Vec<Value> {
        self.start(dir, what, port, args).finish(PATIENCE)
    }

    /// The arguments for TLS, with a client certificate (SASL EXTERNAL) when `mutual`.
    pub fn tls_args(self, certs: &Certs, mutual: bool) -> Vec<(&'static str, String)> {
        let text = |path: &Path| path.display().to_string();
        let mut args = vec![("tls", "1".to_owned()), ("host", "localhost".to_owned()), ("ca", text(&certs.ca))];
        if self == Self::QpidJms {
            args.push(("truststore", text(&certs.java_stores().0)));
        }
        if mutual {
            args.push(("cert", text(&certs.client.cert)));
            args.push(("key", text(&certs.client.key)));
            if self == Self::QpidJms {
                args.push(("keystore", text(&certs.java_stores().1)));
            }
        }
        args
    }
}

/// Runs a command of the browser to its end; returns what it printed.
///
/// # Panics
/// When it fails, or takes longer than four times `PATIENCE`.
pub fn browser(dir: &Path, what: &str, args: &[(&str, &str)]) -> Value {
    let mut command = Command::new("node");
    command.env("NODE_PATH", installed("rhea").join("node_modules"));
    command.arg(workspace().join("conformance/clients/browser/browser.js")).arg(what);
    command.args(args.iter().map(|(key, value)| format!("{key}={value}")));
    let name = format!("browser-{what}-{}", unique());
    let running = Running { process: Process::start(&name, dir, &mut command), name };
    running.finish(PATIENCE * 4).pop().expect("the browser prints what it saw")
}

/// What `conformance/install` built, by name.
pub fn installed(name: &str) -> PathBuf {
    let target = profile_dir().parent().unwrap().join("conformance").join(name);
    if target.exists() || matches!(name, "proton-python" | "fe2o3-amqp") {
        return target;
    }
    panic!("{} is missing: run `./test` or `conformance/install` first", target.display());
}

/// Another number on each call.
pub fn unique() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A client program at work.
#[derive(Debug)]
pub struct Running {
    /// The program.
    pub process: Process,
    name: String,
}

impl Running {
    /// Waits until its receiving link is attached.
    ///
    /// # Panics
    /// When it ends before.
    pub fn ready(mut self) -> Self {
        self.process.wait_output("\"ready\"", PATIENCE);
        self
    }

    /// Waits for its end; returns what it printed.
    ///
    /// # Panics
    /// When it fails, or takes longer than `limit`.
    pub fn finish(mut self, limit: Duration) -> Vec<Value> {
        let status = self.process.wait(limit);
        let output = self.process.output();
        assert!(status.success(), "{} ended with {status}:\n{}", self.name, crate::process::tail(&output));
        output.lines().filter(|line| line.starts_with('{')).map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The last line of its output.
    ///
    /// # Panics
    /// As `finish`.
    pub fn result(self) -> Value {
        self.finish(PATIENCE).pop().expect("a client prints its result")
    }
}
