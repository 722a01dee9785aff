//! `spanway demo` as somebody uses it: what it says to try is tried.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a step that fails has to fail the test")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Longer than anything takes on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

fn spanway() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spanway"));
    command.stdin(Stdio::null());
    command
}

/// Two demos that start at the same moment would want the same port for the web server.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The demo and what it prints.
struct Demo {
    child: Child,
    lines: Receiver<String>,
    printed: String,
    _alone: MutexGuard<'static, ()>,
}

impl Demo {
    fn start() -> Self {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let mut child = spanway().arg("demo").stdout(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let stdout = child.stdout.take().unwrap();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines, printed: String::new(), _alone: alone }
    }

    /// Waits until a line contains all of these; returns it.
    fn line(&mut self, parts: &[&str]) -> String {
        loop {
            let line = self.lines.recv_timeout(LIMIT).unwrap_or_else(|e| panic!("{e}: {parts:?} in {}", self.printed));
            self.printed.push_str(&line);
            self.printed.push('\n');
            if parts.iter().all(|part| line.contains(part)) {
                return line;
            }
        }
    }

    /// The word behind this one.
    fn word_after(&self, before: &str) -> String {
        let rest =
            &self.printed[self.printed.find(before).unwrap_or_else(|| panic!("{}", self.printed)) + before.len()..];
        rest.split([' ', ',', '\n', ';']).next().unwrap().to_owned()
    }

    fn signal(&self, signal: &str, pid: &str) {
        // The shell has `kill` built in; a program of that name need not be installed.
        let status = Command::new("sh").args(["-c", &format!("kill -{signal} {pid}")]).status().unwrap();
        assert!(status.success());
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is not answered is reset; nobody is left waiting.
fn get(place: &str) -> std::io::Result<String> {
    let mut socket = TcpStream::connect(place)?;
    socket.set_read_timeout(Some(LIMIT))?;
    write!(socket, "GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    let read = socket.read_to_string(&mut answer);
    let in_vain = read.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::WouldBlock);
    assert!(!in_vain, "a request waits for {LIMIT:?}: {answer}");
    read.map(|_| answer)
}

/// It runs, and is not only still listed because its parent has not asked for its end.
fn is_running(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

/// Runs a line that the demo says to try.
fn try_line(line: &str) -> String {
    let arguments: Vec<&str> = line.split_whitespace().skip(1).collect();
    let output = spanway().args(arguments).args(["--timeout", "60s"]).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Waits for a condition.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + LIMIT;
    while !holds() {
        assert!(std::time::Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_the_demo_says_can_be_tried_and_nothing_is_left() {
    let mut demo = Demo::start();
    demo.line(&["Until then, this is what happens"]);
    let place = demo.word_after("curl http://").trim_end_matches('/').to_owned();
    assert!(get(&place).unwrap().contains("Hello from the web server"));
    demo.line(&["shop", "the web server answers GET /hello"]);
    let line = |demo: &Demo, start: &str| {
        demo.printed.lines().map(str::trim).find(|line| line.starts_with(start)).expect("a line to try").to_owned()
    };
    let nodes = try_line(&line(&demo, "spanway stat nodes"));
    assert!(nodes.contains("east") && nodes.contains("west"), "{nodes}");
    // The receivers were started last, and the network has to be told of them.
    until("the receivers are known", || try_line(&line(&demo, "spanway stat addresses")).contains("greetings"));
    try_line(&line(&demo, "spanway send greetings hello"));
    demo.line(&["received a greeting: hello"]);
    try_line(&line(&demo, "spanway send greetings --count 10"));
    for _ in 0..10 {
        demo.line(&["received a greeting: hello"]);
    }
    let pids: Vec<String> = ["east", "west", "shop"]
        .iter()
        .map(|site| {
            let line =
                demo.printed.lines().find(|line| line.trim_start().starts_with(site) && line.contains("process"));
            let words = line.expect("a line of the site").split_once("process ").unwrap().1;
            words.chars().take_while(char::is_ascii_digit).collect()
        })
        .collect();
    demo.signal("KILL", &pids[1]);
    demo.line(&["west", "the router has ended"]);
    // The shop's other link carries on.
    until("the web server answers again", || get(&place).is_ok_and(|answer| answer.contains("200 OK")));
    demo.signal("INT", &demo.child.id().to_string());
    assert!(demo.child.wait().unwrap().success());
    demo.printed.extend(demo.lines.iter());
    assert!(!demo.printed.contains("is killed"), "{}", demo.printed);
    for pid in pids {
        assert!(!is_running(&pid), "the router {pid} is left");
    }
}

#[test]
fn routers_end_with_a_demo_that_is_killed() {
    let mut demo = Demo::start();
    demo.line(&["Until then, this is what happens"]);
    let pid = demo.word_after("east  process ");
    assert!(is_running(&pid));
    demo.child.kill().unwrap();
    demo.child.wait().unwrap();
    let end = std::time::Instant::now() + LIMIT;
    while is_running(&pid) {
        assert!(std::time::Instant::now() < end, "the router outlives the demo");
        std::thread::sleep(Duration::from_millis(5));
    }
}
