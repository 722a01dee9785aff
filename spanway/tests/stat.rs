//! `spanway stat` as people and programs use it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a step that fails has to fail the test")]

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn spanway() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spanway"));
    command.stdin(Stdio::null());
    command
}

/// A process that is killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A router with a TCP listener and a connector that nobody answers.
struct Router {
    _process: Running,
    url: String,
}

impl Router {
    fn start() -> Self {
        let url = format!("amqp://127.0.0.1:{}", free_port());
        let mut child = spanway()
            .args(["run", "--id", "A", "--workers", "2", "--listen", &url])
            .args(["--admin", &format!("127.0.0.1:{}", free_port())])
            .args(["--tcp-listener", &format!("svc=127.0.0.1:{}", free_port())])
            .args(["--tcp-connector", "svc=127.0.0.1:1"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let process = Running(child);
        let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.contains("Operational")), "the router gets ready");
        // Something has to read it, or the router blocks on its log.
        std::thread::spawn(move || lines.for_each(drop));
        Self { _process: process, url }
    }

    fn stat(&self, arguments: &[&str]) -> Output {
        spanway().arg("stat").args(arguments).args(["--timeout", "60s", "--url", &self.url]).output().unwrap()
    }

    fn text(&self, arguments: &[&str]) -> String {
        let output = self.stat(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, what: &str) -> Vec<Value> {
        serde_json::from_str(&self.text(&[what, "-o", "json"])).unwrap()
    }
}

#[test]
fn every_report_is_shown() {
    let router = Router::start();
    let text = router.text(&[]);
    let fact = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    assert_eq!(fact("id "), Some("A"), "{text}");
    assert_eq!(fact("worker threads "), Some("2"), "{text}");
    assert_eq!(fact("connections "), Some("1"), "this client: {text}");
    for (what, expected) in [
        ("connections", "spanway-stat-"),
        ("links", "spanway-stat-requests"),
        ("addresses", "$management (local)"),
        ("nodes", "not part of a network"),
        ("edges", "no connections of edge routers"),
        ("tcp", "TCP connectors:"),
        ("log", "DEFAULT"),
    ] {
        let text = router.text(&[what]);
        assert!(text.contains(expected), "{what}: {text}");
    }
    let tcp = router.text(&["tcp"]);
    assert!(tcp.contains("svc"), "{tcp}");
}

#[test]
fn programs_get_json_and_csv() {
    let router = Router::start();
    let mut receiver = spanway().args(["recv", "news", "--url", &router.url]).stdout(Stdio::piped()).spawn().unwrap();
    let stdout = receiver.stdout.take().unwrap();
    let _receiver = Running(receiver);
    let sent = spanway().args(["send", "news", "hello", "--timeout", "60s", "--url", &router.url]).status().unwrap();
    assert!(sent.success());
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "hello");

    let addresses = router.json("addresses");
    let news = addresses.iter().find(|address| address["key"] == "Mnews").expect("the address is in use");
    assert_eq!(
        (&news["subscriberCount"], &news["deliveriesIngress"], &news["deliveriesEgress"]),
        (&1.into(), &1.into(), &1.into())
    );
    let links = router.json("links");
    let link = links.iter().find(|link| link["owningAddr"] == "Mnews").expect("the receiver is attached");
    assert_eq!((&link["linkDir"], &link["acceptedCount"]), (&"out".into(), &1.into()));
    let connection = &link["connectionId"];
    assert!(router.json("connections").iter().any(|c| &c["identity"] == connection && c["listener"].is_string()));
    assert_eq!(router.json("router").len(), 2);

    let csv = router.text(&["tcp", "-o", "csv"]);
    let lines: Vec<&str> = csv.split("\r\n").collect();
    assert_eq!(lines.len(), 4, "{csv}");
    assert!(lines[0].starts_with("name,identity,type,address,host"), "{csv}");
    assert_eq!(lines[1].matches(',').count(), lines[0].matches(',').count(), "{csv}");
    assert_eq!(router.text(&["links", "-o", "csv", "--limit", "1"]).split("\r\n").count(), 3);
}

#[test]
fn all_routers_are_asked() {
    let router = Router::start();
    let text = router.text(&["addresses", "--all-routers"]);
    assert!(text.starts_with("A:\naddress "), "{text}");
    let links: Vec<Value> = serde_json::from_str(&router.text(&["links", "--all-routers", "-o", "json"])).unwrap();
    assert!(links.iter().all(|link| link["router"] == "A") && !links.is_empty(), "{links:?}");
}

#[test]
fn a_report_is_watched() {
    let router = Router::start();
    let mut watcher = spanway()
        .args(["stat", "router", "--url", &router.url, "--watch", "0.1"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(watcher.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert_eq!(lines.filter(|line| line.starts_with("id ")).take(3).count(), 3);
    let _watcher = Running(watcher);
    let refused = spanway().args(["stat", "--watch", "0"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));
}

#[test]
fn failures_say_what_to_do() {
    let router = Router::start();
    let refused = |output: Output| {
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let error = refused(router.stat(&["--router", "B"]));
    assert!(error.contains("router B cannot be reached from here; `spanway stat nodes`"), "{error}");
    let error = refused(router.stat(&["links", "--edge", "E"]));
    assert!(error.contains("edge router E cannot be reached"), "{error}");

    let nobody = format!("amqp://127.0.0.1:{}", free_port());
    let error = refused(spanway().args(["stat", "--url", &nobody]).output().unwrap());
    assert!(error.contains("is a router running? Start one with `spanway run`"), "{error}");

    for arguments in [&["stat", "nonsense"][..], &["stat", "--router", "A", "--edge", "B"], &["stat", "-o", "xml"]] {
        let output = spanway().args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    // The router's own name is as good as none.
    assert!(router.text(&["--router", "A"]).contains("worker threads"));
}
