//! The configurations and command lines of docs/policy.md, as they stand there.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a step that fails has to fail the test")]

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Command, Stdio};

const PAGE: &str = include_str!("../../docs/policy.md");

/// What stands in fenced blocks of this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    PAGE.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

fn spanway() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spanway"));
    command.stdin(Stdio::null());
    command
}

#[test]
fn configurations_are_valid() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("router.yaml");
    for text in blocks("yaml") {
        std::fs::write(&file, text).unwrap();
        let output = spanway().args(["run", "--check", "-c"]).arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !said.contains("ignored"), "{text}\n{said}");
    }
}

#[test]
fn commands_work_for_operators() {
    let [_, configuration] = blocks("yaml")[..] else { panic!("there are two configurations") };
    let port = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
    let (clients, operators) = (port(), port());
    let configuration = configuration
        .replace("- port: 5672", &format!("- port: {clients}\n    host: 127.0.0.1"))
        .replace("5673", &operators.to_string());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("router.yaml");
    std::fs::write(&file, configuration).unwrap();
    let admin = format!("127.0.0.1:{}", port());
    let mut router =
        spanway().args(["run", "--admin", &admin, "-c"]).arg(&file).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(router.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("Operational")), "the router ended");
    let run = |line: &str, port: u16| {
        let words = line.split_whitespace().skip(1);
        let url = format!("amqp://127.0.0.1:{port}");
        spanway().args(words).args(["--timeout", "30s", "--url", &url]).output().unwrap()
    };
    let mut said = String::new();
    for line in blocks("sh").iter().flat_map(|block| block.lines()) {
        let output = run(line, operators);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        said.push_str(&String::from_utf8_lossy(&output.stdout));
    }
    assert!(said.contains("connectionsDenied") && said.contains("deleted vhost"), "{said}");
    // Visitors may not.
    let output = run("spanway manage query policy", clients);
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    router.kill().unwrap();
    router.wait().unwrap();
}
