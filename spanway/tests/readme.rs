//! README's command lines and its configuration, run as they stand there but for ports and files.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a step that fails has to fail the test")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const README: &str = include_str!("../../README.md");

/// The command lines of README. A new one has to be added here together with what runs it.
const COMMANDS: &[&str] = &[
    // `tests/demo.rs`
    "cargo run --release -- demo",
    // `a_router_starts_and_says_what_to_try`; the workspace's default member is `spanway`.
    "cargo run --release -- run",
    // Runs this.
    "./test",
    // `messages_and_files_arrive`
    "spanway recv greetings",
    "spanway send greetings hello",
    "spanway send backups --file disk.img",
    // `two_routers_make_a_network`
    "spanway run --accept-links 127.0.0.1:55671",
    "spanway run --link 127.0.0.1:55671",
    "spanway stat nodes",
    // `an_edge_router_hangs_on_a_network`
    "spanway run --accept-edges 127.0.0.1:45671",
    "spanway run --edge-link 127.0.0.1:45671",
    // `a_tcp_service_is_reached`
    "spanway run --tcp-connector web=127.0.0.1:8000 --tcp-listener web=127.0.0.1:8080",
    // `services_are_shown`
    "spanway service list",
    "spanway service show web",
    // `addresses_are_shown`
    // `a_router_is_looked_at`
    "spanway status",
    "spanway check greetings",
    "spanway trace greetings",
    // `tests/top.rs`
    "spanway top",
    // `a_network_is_dumped`
    "spanway debug dump network.tar.gz",
    // `a_router_is_looked_at`
    "spanway stat addresses",
    // `a_router_is_changed`
    "spanway manage query listener",
    "spanway manage create tcpListener name=db address=db host=127.0.0.1 port=15432",
    "spanway manage update log log/DEFAULT enable=debug+",
    "spanway manage delete tcpListener db",
    // `shells_and_man_are_told`
    "spanway completions bash > spanway.bash",
    // `metrics_are_pushed`
    "spanway run --otlp http://127.0.0.1:4318",
    // The tests of `benches` run it.
    "cargo run --release -p benches -- compare --only tcp-bulk --seconds 2 --runs 1",
];

/// What stands in README's fenced blocks of this language.
fn blocks(language: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = README;
    let fence = format!("```{language}\n");
    while let Some(start) = rest.find(&fence) {
        rest = &rest[start + fence.len()..];
        let end = rest.find("```").expect("a block of README has no end");
        found.push(rest[..end].to_owned());
        rest = &rest[end..];
    }
    found
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn spanway() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spanway"));
    command.stdin(Stdio::null());
    command
}

/// A router that is killed when this is dropped.
struct Router {
    child: Child,
    url: String,
    admin: u16,
    output: String,
}

impl Router {
    fn start(arguments: &[&str]) -> Self {
        let (amqp, admin) = (free_port(), free_port());
        let url = format!("amqp://127.0.0.1:{amqp}");
        let mut child = spanway()
            .arg("run")
            .args(["--listen", &url, "--admin", &format!("127.0.0.1:{admin}")])
            .args(arguments)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A thread drains the router's output, so that it never blocks on it.
        let (lines, received) = mpsc::channel();
        let stderr = child.stderr.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = lines.send(line);
            }
        });
        let mut output = String::new();
        let ready = |output: &str| output.contains("Operational") && output.contains("Ctrl-C ends it");
        while !ready(&output) {
            let line = received.recv_timeout(Duration::from_secs(60)).expect("the router gets ready");
            output.push_str(&line);
            output.push('\n');
        }
        Self { child, url, admin, output }
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn get(port: u16, path: &str) -> String {
    let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    write!(socket, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn every_command_is_known_here() {
    let lines: Vec<String> =
        blocks("sh").iter().flat_map(|b| b.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    assert_eq!(lines, COMMANDS);
}

#[test]
fn a_router_starts_and_says_what_to_try() {
    let router = Router::start(&[]);
    for hint in ["spanway recv greetings", "spanway send greetings hello", "/metrics"] {
        assert!(router.output.contains(hint), "{}", router.output);
    }
    assert!(get(router.admin, "/livez").contains("200 OK"));
    assert!(get(router.admin, "/readyz").contains("200 OK"));
    assert!(get(router.admin, "/metrics").contains("qdr_connections_total"));
}

#[test]
fn messages_and_files_arrive() {
    let router = Router::start(&[]);
    let receive = |arguments: &[&str]| {
        let mut command = spanway();
        command.arg("recv").args(arguments).args(["--count", "1", "--timeout", "60s", "--url", &router.url]);
        command.stdout(Stdio::piped()).spawn().unwrap()
    };
    let send = |arguments: &[&str]| {
        let status = spanway().arg("send").args(arguments).args(["--timeout", "60s", "--url", &router.url]).status();
        assert!(status.unwrap().success());
    };
    let receiver = receive(&["greetings"]);
    send(&["greetings", "hello"]);
    let output = receiver.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "hello");

    let dir = tempfile::tempdir().unwrap();
    let (sent, received) = (dir.path().join("disk.img"), dir.path().join("copy"));
    let content: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(&sent, &content).unwrap();
    let as_str = |path: &Path| path.to_str().unwrap().to_owned();
    let receiver = receive(&["backups", "--file", &as_str(&received)]);
    send(&["backups", "--file", &as_str(&sent)]);
    assert!(receiver.wait_with_output().unwrap().status.success());
    assert!(std::fs::read(&received).unwrap() == content, "the file arrives unchanged");
}

#[test]
fn two_routers_make_a_network() {
    let links = format!("127.0.0.1:{}", free_port());
    let first = Router::start(&["--accept-links", &links]);
    assert!(first.output.contains(&format!("spanway run --link {links}")), "{}", first.output);
    let second = Router::start(&["--link", &links]);
    assert_eq!(exchange(&second, &first), "hello");
    assert_eq!(exchange(&first, &second), "hello");
    let output = spanway().args(["stat", "nodes", "-o", "csv", "--url", &first.url]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.lines().count() == 3, "{text}");
}

#[test]
fn an_edge_router_hangs_on_a_network() {
    let links = format!("127.0.0.1:{}", free_port());
    let interior = Router::start(&["--accept-edges", &links]);
    assert!(interior.output.contains(&format!("spanway run --edge-link {links}")), "{}", interior.output);
    let edge = Router::start(&["--edge-link", &links]);
    assert_eq!(exchange(&edge, &interior), "hello");
    assert_eq!(exchange(&interior, &edge), "hello");
}

/// What a receiver at one router is sent by a sender at another.
fn exchange(to: &Router, from: &Router) -> String {
    let mut receiver = spanway();
    receiver.args(["recv", "greetings", "--count", "1", "--timeout", "60s", "--url", &to.url]);
    let receiver = receiver.stdout(Stdio::piped()).spawn().unwrap();
    let sent = spanway().args(["send", "greetings", "hello", "--timeout", "60s", "--url", &from.url]).status();
    assert!(sent.unwrap().success());
    let output = receiver.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// What a command line prints that ends well.
fn output(arguments: &[&str]) -> String {
    let output = spanway().args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_router_is_looked_at() {
    let router = Router::start(&[]);
    let mut receiver =
        spanway().args(["recv", "greetings", "--url", &router.url]).stdout(Stdio::piped()).spawn().unwrap();
    let sent = spanway().args(["send", "greetings", "hello", "--timeout", "60s", "--url", &router.url]).status();
    assert!(sent.unwrap().success());
    assert!(output(&["status", "--url", &router.url]).contains("greetings"));
    assert!(output(&["check", "greetings", "--url", &router.url]).contains("1 consumer"));
    assert!(output(&["trace", "greetings", "--url", &router.url]).contains("1 consumer at 1 router"));
    let text = output(&["stat", "addresses", "--url", &router.url]);
    assert!(text.starts_with("address ") && text.contains("$management (local)"), "{text}");
    receiver.kill().unwrap();
    receiver.wait().unwrap();
}

#[test]
fn metrics_are_pushed() {
    let collector = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let _router = Router::start(&["--otlp", &format!("http://{}", collector.local_addr().unwrap())]);
    let (mut connection, _) = collector.accept().unwrap();
    let mut line = [0; 20];
    connection.read_exact(&mut line).unwrap();
    assert_eq!(&line, b"POST /v1/metrics HTT");
}

#[test]
fn a_network_is_dumped() {
    let router = Router::start(&[]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("network.tar.gz");
    assert_eq!(output(&["debug", "dump", file.to_str().unwrap(), "--url", &router.url]), "");
    assert!(file.metadata().unwrap().len() > 0);
}

#[test]
fn a_router_is_changed() {
    let router = Router::start(&[]);
    let manage = |arguments: &[&str]| output(&[&["manage"], arguments, &["--url", &router.url]].concat());
    assert!(manage(&["query", "listener"]).contains("127.0.0.1"));
    let port = format!("port={}", free_port());
    assert!(manage(&["create", "tcpListener", "name=db", "address=db", "host=127.0.0.1", &port]).contains("db"));
    assert!(manage(&["update", "log", "log/DEFAULT", "enable=debug+"]).contains("debug+"));
    assert_eq!(manage(&["delete", "tcpListener", "db"]), "deleted tcpListener db\n");
}

#[test]
fn shells_and_man_are_told() {
    for (shell, expected) in
        [("bash", "complete -F _spanway"), ("zsh", "#compdef spanway"), ("fish", "complete -c spanway")]
    {
        let script = output(&["completions", shell]);
        assert!(script.contains(expected) && script.contains("tcp-listener"), "{shell}");
    }
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("man1");
    assert_eq!(output(&["man", pages.to_str().unwrap()]), "");
    for (page, expected) in
        [("spanway.1", "Virtual Application Network"), ("spanway-check.1", "messages do not arrive")]
    {
        let text = std::fs::read_to_string(pages.join(page)).unwrap();
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn services_are_shown() {
    let router = Router::start(&["--id", "A", "--tcp-connector", "web=127.0.0.1:8000"]);
    for (args, line) in
        [(&["list"][..], "web      tcp       8000   A"), (&["show", "web"], "A     A       exposes      1  8000")]
    {
        let output = spanway().arg("service").args(args).args(["--url", &router.url]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.lines().any(|found| found.starts_with(line)), "{text}");
    }
}

#[test]
fn a_tcp_service_is_reached() {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (connector, listener) = (server.local_addr().unwrap().port(), free_port());
    let echo = std::thread::spawn(move || {
        let (mut socket, _) = server.accept().unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        socket.write_all(text.to_uppercase().as_bytes()).unwrap();
    });
    let _router = Router::start(&[
        "--tcp-connector",
        &format!("web=127.0.0.1:{connector}"),
        "--tcp-listener",
        &format!("web=127.0.0.1:{listener}"),
    ]);
    let mut client = loop {
        // The listener opens as soon as its worker knows of the connector.
        match TcpStream::connect((Ipv4Addr::LOCALHOST, listener)) {
            Ok(client) => break client,
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused),
        }
    };
    client.write_all(b"hello").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "HELLO");
    echo.join().unwrap();
}

#[test]
fn the_configuration_is_valid() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("router.yaml");
    let [users, browsers, configuration] = &blocks("yaml")[..] else { panic!("README has three configurations") };
    // Those for users and browsers are parts of one, which the last goes on.
    let (listeners, rest) = (configuration.find("listeners:").unwrap(), configuration.find("addresses:").unwrap());
    let with_browsers = format!("{}{browsers}{}", &configuration[..listeners], &configuration[rest..]);
    let (router, users) = users.split_at(users.find("listeners:").unwrap());
    let others = configuration[..listeners].strip_prefix("router:\n").unwrap();
    let with_users = format!("{router}{others}{users}{}", &configuration[rest..]);
    for text in [configuration, &with_browsers, &with_users] {
        std::fs::write(&file, text).unwrap();
        let output = spanway().args(["run", "--check", "-c"]).arg(&file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
