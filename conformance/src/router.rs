//! The router under test.
//!
//! Tests speak only the reference's configuration syntax and command line, so that each of them can also be run
//! against another router: `SPANWAY_CONFORMANCE_ROUTER=/path/to/skrouterd cargo test -p conformance`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;

use crate::ports::free_port;
use crate::process::{Process, wait_for};

/// A router starts, and a client program does its job, within this time, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Where the workspace is.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is a directory of the workspace")
}

/// The target directory and profile that this test was built into, such as `target/debug`.
pub fn profile_dir() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    exe.ancestors().find(|dir| dir.join("deps").is_dir()).expect("a test runs from target/<profile>/deps").to_owned()
}

/// The `spanway` binary of this workspace, built on the first call with the profile of the test, unless
/// `SPANWAY_CONFORMANCE_BUILT` says that it is there.
pub fn spanway() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let dir = profile_dir();
        let binary = dir.join("spanway");
        if std::env::var_os("SPANWAY_CONFORMANCE_BUILT").is_some() && binary.exists() {
            return binary;
        }
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.current_dir(workspace()).args(["build", "--quiet", "--package", "spanway", "--target-dir"]);
        build.arg(dir.parent().unwrap());
        match dir.file_name().and_then(|name| name.to_str()) {
            Some("debug") | None => {}
            Some(profile) => {
                build.args(["--profile", profile]);
            }
        }
        let status = build.status().expect("cargo runs");
        assert!(status.success(), "cannot build spanway: {status}");
        binary
    })
}

/// Another router than ours, to check the tests themselves.
pub fn foreign_router() -> Option<PathBuf> {
    std::env::var_os("SPANWAY_CONFORMANCE_ROUTER").map(PathBuf::from)
}

/// The configuration of a router, in the reference's syntax.
#[derive(Debug)]
pub struct Config {
    text: String,
    dir: TempDir,
    amqp: Vec<u16>,
    options: Vec<&'static str>,
    variables: Vec<(&'static str, &'static str)>,
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    /// A standalone router with the id `QDR` and no listener.
    pub fn new() -> Self {
        Self::of("standalone", "QDR")
    }

    /// A member of a network, without listeners.
    pub fn interior(id: &str) -> Self {
        Self::of("interior", id)
    }

    /// A router with these attributes, its mode and id among them, without listeners.
    pub fn router(attributes: &[(&str, &str)]) -> Self {
        let dir = tempfile::Builder::new().prefix("spanway-").tempdir().unwrap();
        let mut config =
            Self { text: String::new(), dir, amqp: Vec::new(), options: Vec::new(), variables: Vec::new() };
        config.section("router", attributes);
        config
    }

    /// An edge router, without listeners.
    pub fn edge(id: &str) -> Self {
        Self::of("edge", id)
    }

    fn of(mode: &str, id: &str) -> Self {
        Self::router(&[("mode", mode), ("id", id)])
    }

    /// Takes connections of other routers on this port of 127.0.0.1.
    pub fn accept_routers(&mut self, port: u16) -> &mut Self {
        self.accept(port, "inter-router")
    }

    /// Takes connections of edge routers on this port of 127.0.0.1.
    pub fn accept_edges(&mut self, port: u16) -> &mut Self {
        self.accept(port, "edge")
    }

    /// Connects to a router on this port of 127.0.0.1.
    pub fn connect_router(&mut self, port: u16) -> &mut Self {
        self.connect(port, "inter-router")
    }

    /// Connects to an interior router on this port of 127.0.0.1, as an edge router.
    pub fn uplink(&mut self, port: u16) -> &mut Self {
        self.connect(port, "edge")
    }

    /// Takes connections of edge routers of the same mesh on this port of 127.0.0.1, as an edge router.
    pub fn accept_mesh(&mut self, port: u16) -> &mut Self {
        self.accept(port, "inter-edge")
    }

    /// Connects to an edge router of the same mesh on this port of 127.0.0.1.
    pub fn connect_mesh(&mut self, port: u16) -> &mut Self {
        self.connect(port, "inter-edge")
    }

    fn accept(&mut self, port: u16, role: &str) -> &mut Self {
        let port = port.to_string();
        let role = [("host", "127.0.0.1"), ("port", port.as_str()), ("role", role)];
        self.section("listener", &[&role[..], &[("saslMechanisms", "ANONYMOUS"), ("authenticatePeer", "no")]].concat())
    }

    fn connect(&mut self, port: u16, role: &str) -> &mut Self {
        let port = port.to_string();
        let role = [("host", "127.0.0.1"), ("port", port.as_str()), ("role", role)];
        self.section("connector", &[&role[..], &[("saslMechanisms", "ANONYMOUS")]].concat())
    }

    /// Starts it with one more option.
    pub fn option(&mut self, option: &'static str) -> &mut Self {
        self.options.push(option);
        self
    }

    /// Starts it with one more variable in its environment.
    pub fn variable(&mut self, name: &'static str, value: &'static str) -> &mut Self {
        self.variables.push((name, value));
        self
    }

    /// Adds an entity.
    pub fn section(&mut self, name: &str, attributes: &[(&str, &str)]) -> &mut Self {
        writeln!(self.text, "{name} {{").unwrap();
        for (key, value) in attributes {
            writeln!(self.text, "    {key}: {value}").unwrap();
        }
        self.text.push_str("}\n");
        self
    }

    /// Adds an AMQP listener for clients on 127.0.0.1, without authentication unless `attributes` say otherwise;
    /// returns its port.
    pub fn listener(&mut self, attributes: &[(&str, &str)]) -> u16 {
        self.listener_on(free_port(), attributes)
    }

    /// The same on a port that is known.
    pub fn listener_on(&mut self, port: u16, attributes: &[(&str, &str)]) -> u16 {
        let port_text = port.to_string();
        let mut all = vec![("host", "127.0.0.1"), ("port", port_text.as_str())];
        for default in [("saslMechanisms", "ANONYMOUS"), ("authenticatePeer", "no"), ("idleTimeoutSeconds", "240")] {
            if !attributes.iter().any(|(key, _)| *key == default.0) {
                all.push(default);
            }
        }
        all.extend_from_slice(attributes);
        self.section("listener", &all);
        self.amqp.push(port);
        port
    }

    /// Adds a TCP listener on 127.0.0.1 for `address`; returns its port.
    pub fn tcp_listener(&mut self, address: &str, attributes: &[(&str, &str)]) -> u16 {
        let port = free_port();
        let text = port.to_string();
        let mut all = vec![("address", address), ("port", text.as_str())];
        if !attributes.iter().any(|(key, _)| *key == "host") {
            all.push(("host", "127.0.0.1"));
        }
        all.extend_from_slice(attributes);
        self.section("tcpListener", &all);
        port
    }

    /// Adds a TCP connector for `address` to a server on 127.0.0.1.
    pub fn tcp_connector(&mut self, address: &str, port: u16, attributes: &[(&str, &str)]) -> &mut Self {
        let text = port.to_string();
        let mut all = vec![("address", address), ("port", text.as_str())];
        if !attributes.iter().any(|(key, _)| *key == "host") {
            all.push(("host", "127.0.0.1"));
        }
        all.extend_from_slice(attributes);
        self.section("tcpConnector", &all)
    }

    /// The directory of the configuration file; it is removed with the router.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Starts the router and waits until it is ready and its AMQP listeners accept connections.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn start(self) -> Router {
        Router::launch(self.dir, "router.conf", &self.text, &self.amqp, |command| {
            command.args(self.options).envs(self.variables);
        })
    }
}

/// A running router. Dropping it kills it.
#[derive(Debug)]
pub struct Router {
    /// The process, for signals and memory.
    pub process: Process,
    /// The port of its first AMQP listener.
    pub port: u16,
    dir: TempDir,
}

impl Router {
    /// A standalone router with one AMQP listener for clients.
    pub fn plain() -> Self {
        Self::with(|_| {})
    }

    /// A standalone router with one AMQP listener for clients, and what `extend` adds.
    pub fn with(extend: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new();
        config.listener(&[]);
        extend(&mut config);
        config.start()
    }

    /// A router with a configuration file of this name, with a listener for clients on `port` of 127.0.0.1.
    pub fn of_file(name: &str, text: &str, port: u16) -> Self {
        Self::launch(tempfile::tempdir().unwrap(), name, text, &[port], |_| {})
    }

    fn launch(dir: TempDir, name: &str, text: &str, ports: &[u16], extend: impl FnOnce(&mut Command)) -> Self {
        let file = dir.path().join(name);
        std::fs::write(&file, text).unwrap();
        let mut command = match foreign_router() {
            Some(path) => Command::new(path),
            None => {
                let mut command = Command::new(spanway());
                command.arg("skrouterd");
                command
            }
        };
        command.current_dir(dir.path()).arg("-c").arg(&file);
        extend(&mut command);
        let mut process = Process::start("router", dir.path(), &mut command);
        process.wait_output("Operational, ", PATIENCE);
        for port in ports {
            // A probe as the reference's users make it: connect and close without a byte.
            wait_for("an AMQP listener", PATIENCE, || std::net::TcpStream::connect(("127.0.0.1", *port)).ok());
        }
        Self { process, port: ports.first().copied().unwrap_or(0), dir }
    }

    /// A directory for files of the test.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// SIGTERM; returns how it ended.
    pub fn stop(mut self) -> ExitStatus {
        self.process.terminate(PATIENCE)
    }

    /// Checks that the router is still alive and answers a connection.
    ///
    /// # Panics
    /// When it is not.
    pub fn assert_alive(&mut self) {
        assert_eq!(self.process.exit_status(), None, "the router ended");
        let mut peer = crate::raw::Peer::connect(self.port);
        peer.open("alive");
        peer.close();
    }
}
