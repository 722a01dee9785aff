//! TCP programs that know nothing of the router: servers behind its connectors, clients before its listeners.
//!
//! `nginx` and `postgres` start real servers in directories of their own; `peers` has sockets whose every end is
//! looked at. Everything is on loopback and ends with the test.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use crate::certs::Certs;
use crate::client::unique;
use crate::process::{Process, tail, wait_for};
use crate::router::{Config, PATIENCE, Router};

pub mod nginx;
pub mod peers;
pub mod postgres;

pub use nginx::Nginx;
pub use postgres::Postgres;

/// Says why a test has nothing to do against another router, if there is one.
pub fn ours_only(what: &str) -> bool {
    let foreign = crate::router::foreign_router().is_some();
    if foreign {
        eprintln!("not against this router: {what}");
    }
    foreign
}

/// Bytes that are not all alike, so that a hole or a swap shows.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}

/// What a program came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Exit status.
    pub status: ExitStatus,
    /// Standard output and error.
    pub output: String,
}

impl Outcome {
    /// Its output.
    ///
    /// # Panics
    /// When it failed.
    #[track_caller]
    pub fn success(self) -> String {
        assert!(self.status.success(), "{}:\n{}", self.status, tail(&self.output));
        self.output
    }

    /// Its output.
    ///
    /// # Panics
    /// When it did not fail.
    #[track_caller]
    pub fn failure(self) -> String {
        assert!(!self.status.success(), "was expected to fail, but printed:\n{}", tail(&self.output));
        self.output
    }
}

/// Runs a program to its end.
///
/// # Panics
/// When it takes longer than `PATIENCE`.
pub fn run(dir: &Path, command: &mut Command) -> Outcome {
    let mut process = start(dir, command);
    let status = process.wait(PATIENCE);
    Outcome { status, output: process.output() }
}

/// Starts a program.
pub fn start(dir: &Path, command: &mut Command) -> Process {
    let program = Path::new(command.get_program()).file_name().unwrap().to_string_lossy().into_owned();
    Process::start(&format!("{program}-{}", unique()), dir, command)
}

/// A curl that is silent, unless it fails, and gives up after `PATIENCE`.
pub fn curl(url: &str) -> Command {
    let mut command = Command::new("curl");
    // No `~/.curlrc`, no proxy of the environment.
    command.args(["-q", "--noproxy", "*", "--silent", "--show-error", "--fail", "--max-time"]);
    command.arg(PATIENCE.as_secs().to_string()).arg(url);
    command
}

/// A wrk of one second over eight connections.
///
/// # Panics
/// When there is no answer, or an error.
#[track_caller]
pub fn wrk(dir: &Path, url: &str) {
    let output = run(dir, Command::new("wrk").args(["-t", "1", "-c", "8", "-d", "1s", url])).success();
    assert!(!output.contains("Socket errors") && !output.contains("Non-2xx"), "{output}");
    let requests = output.lines().find_map(|line| line.trim().split_once(" requests in "));
    assert!(requests.is_some_and(|(count, _)| count.parse::<u64>().unwrap() > 0), "{output}");
}

/// An iperf3 server.
#[derive(Debug)]
pub struct Iperf {
    /// The server.
    pub process: Process,
    /// Its port.
    pub port: u16,
}

impl Iperf {
    /// Starts it.
    pub fn start(dir: &Path) -> Self {
        let port = crate::ports::free_port();
        let mut command = Command::new("iperf3");
        command.args(["--server", "--bind", "127.0.0.1", "--forceflush", "--port", &port.to_string()]);
        let process = start(dir, &mut command);
        wait_listening(port);
        Self { process, port }
    }

    /// One second of data through `port`, from the client and then from the server.
    ///
    /// # Panics
    /// When bytes are missing, or the client fails.
    #[track_caller]
    pub fn measure(&self, dir: &Path, port: u16) {
        for direction in [&[][..], &["--reverse"]] {
            // A server that still ends the last test answers "busy"; that is no fault of the router.
            let output = wait_for("an iperf3 server that is not busy", PATIENCE, || {
                let mut client = Command::new("iperf3");
                client.args(["--client", "127.0.0.1", "--time", "1", "--json", "--port", &port.to_string()]);
                let outcome = run(dir, client.args(direction));
                if outcome.output.contains("server is busy") { None } else { Some(outcome.success()) }
            });
            let report: serde_json::Value = serde_json::from_str(&output).unwrap();
            let bytes = |side: &str| report["end"][side]["bytes"].as_u64().unwrap_or(0);
            assert!(bytes("sum_received") > 0, "{direction:?}: {output}");
            assert!(bytes("sum_sent") >= bytes("sum_received"), "{direction:?}: {output}");
        }
    }
}

/// Waits until a socket of this machine listens on `port`, without a connection that somebody would see.
///
/// # Panics
/// After `PATIENCE`.
#[track_caller]
pub fn wait_listening(port: u16) {
    wait_for(&format!("a listener on port {port}"), PATIENCE, || is_listening(port).then_some(()));
}

/// Waits until nothing listens on `port`.
///
/// # Panics
/// After `PATIENCE`.
#[track_caller]
pub fn wait_closed(port: u16) {
    wait_for(&format!("no listener on port {port}"), PATIENCE, || (!is_listening(port)).then_some(()));
}

/// Whether a socket listens on `port`.
pub fn is_listening(port: u16) -> bool {
    const LISTEN: &str = "0A";
    sockets().any(|socket| socket.local == port && socket.state == LISTEN)
}

/// Whether an established connection of the server on `port` has bytes that the server has not read.
pub fn has_unread(port: u16) -> bool {
    const ESTABLISHED: &str = "01";
    sockets().any(|socket| socket.local == port && socket.state == ESTABLISHED && socket.unread > 0)
}

/// A line of `/proc/net/tcp`.
#[derive(Debug)]
struct Socket {
    local: u16,
    state: String,
    unread: u64,
}

fn sockets() -> impl Iterator<Item = Socket> {
    let table = |name: &str| fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default();
    let lines = table("tcp") + &table("tcp6");
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let parse = move |line: &str| {
        // `sl local_address rem_address st tx_queue:rx_queue ...`
        let fields: Vec<&str> = line.split_whitespace().collect();
        let local = hex(fields.get(1)?.rsplit_once(':')?.1)? as u16;
        let unread = hex(fields.get(4)?.rsplit_once(':')?.1)?;
        Some(Socket { local, state: (*fields.get(3)?).to_owned(), unread })
    };
    lines.lines().filter_map(parse).collect::<Vec<_>>().into_iter()
}

/// Whether a connection to `port` of 127.0.0.1 is refused.
///
/// # Panics
/// When it fails otherwise.
#[track_caller]
pub fn is_refused(port: u16) -> bool {
    match TcpStream::connect(("127.0.0.1", port)) {
        Ok(_) => false,
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => true,
        Err(error) => panic!("{error} instead of a refusal"),
    }
}

/// Whether a socket was reset, rather than closed.
pub fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

/// A directory that also other users may enter.
pub fn open_dir() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::Builder::new().prefix("spanway-tcp-").tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

/// What the tests add to a configuration.
impl Config {
    /// Adds an `sslProfile`: certificate and key of the server, or of a client, and the authority.
    pub fn ssl_profile(&mut self, name: &str, certs: &Certs, own: Option<&crate::certs::Pair>) -> &mut Self {
        let text = |path: &PathBuf| path.display().to_string();
        let mut attributes = vec![("name", name.to_owned()), ("caCertFile", text(&certs.ca))];
        if let Some(pair) = own {
            attributes.extend([("certFile", text(&pair.cert)), ("privateKeyFile", text(&pair.key))]);
        }
        let attributes: Vec<(&str, &str)> = attributes.iter().map(|(key, value)| (*key, value.as_str())).collect();
        self.section("sslProfile", &attributes)
    }

    /// A listener for `address` behind which data crosses a connection with TLS on its way to the server on `port`:
    /// listener, connector with TLS, listener with TLS, connector. Programs without TLS use both sides of ours so.
    pub fn tls_tunnel(&mut self, address: &str, certs: &Certs, port: u16) -> u16 {
        let (client, server, inner) =
            (format!("{address}-client"), format!("{address}-server"), format!("{address}-in"));
        self.ssl_profile(&client, certs, Some(&certs.client)).ssl_profile(&server, certs, Some(&certs.server));
        let middle = self.tcp_listener(&inner, &[("sslProfile", &server), ("authenticatePeer", "yes")]);
        self.tcp_connector(&inner, port, &[]);
        self.tcp_connector(address, middle, &[("host", "localhost"), ("sslProfile", &client)]);
        self.tcp_listener(address, &[])
    }

    /// Adds a TCP listener without an address, for `listenerAddress` entities that name it; returns its port.
    pub fn tcp_listener_with_strategy(&mut self, name: &str, strategy: &str) -> u16 {
        let port = crate::ports::free_port();
        let text = port.to_string();
        let attributes = [("name", name), ("host", "127.0.0.1"), ("port", &text), ("multiAddressStrategy", strategy)];
        self.section("tcpListener", &attributes);
        port
    }

    /// Starts the router and waits until the TCP listeners on `ports` are open.
    pub fn start_tcp(self, ports: &[u16]) -> Router {
        let router = self.start();
        ports.iter().for_each(|port| wait_listening(*port));
        router
    }
}
