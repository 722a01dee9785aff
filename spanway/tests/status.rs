//! `spanway status` of sites that are well, and of some that are not.
#![allow(clippy::expect_used, reason = "helpers of tests fail as tests do")]

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "send_recv/process.rs"]
mod process;

use process::{Ended, Router, Running, recv, send, tool};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::Value;

fn status(router: &Router, arguments: &[&str]) -> Ended {
    Running::start(tool(&[&["status", "--url", &router.url, "--timeout", "60s"], arguments].concat())).end()
}

fn json(router: &Router) -> Value {
    serde_json::from_str(&status(router, &["-o", "json"]).stdout).expect("valid")
}

/// What is wrong, once this is among it.
fn problems(router: &Router, what: &str) -> Vec<String> {
    loop {
        let status = json(router);
        let problems = status["problems"].as_array().expect("a list");
        let problems: Vec<String> =
            problems.iter().map(|problem| format!("{} -> {}", problem["what"], problem["remedy"])).collect();
        if problems.iter().any(|problem| problem.contains(what)) {
            return problems;
        }
    }
}

#[test]
fn a_site_is_shown() {
    let b = Router::start_with(&["--id", "B", "--accept-links", "127.0.0.2:0"]);
    let a = Router::start_with(&["--id", "A", "--link", &b.links]);
    let _receiver = Running::start(recv(&b.url, &["orders"]));
    assert_eq!(Running::start(send(&a.url, &["orders", "x", "--timeout", "60s"])).end().status, 0);
    let ended = status(&a, &[]);
    assert_eq!(ended.status, 0, "{}{}", ended.stdout, ended.stderr);
    let text = ended.stdout;
    assert!(text.starts_with("A: interior router at "), "{text}");
    let line = |start: &str| {
        text.lines().find(|line| line.trim_start().starts_with(start)).unwrap_or_else(|| panic!("{start}: {text}"))
    };
    assert!(line("up ").contains(" B ") && line("up ").contains("inter-router"), "{text}");
    assert!(line("B (cost 1)").len() > 3, "{text}");
    assert!(line("orders").contains("balanced"), "{text}");
    assert!(text.ends_with("Problems\n  none\n"), "{text}");
    // Of the other, over the network.
    let ended = status(&a, &["--router", "B"]);
    assert!(ended.stdout.starts_with("B: interior router"), "{}", ended.stdout);

    let links = b.links.clone();
    drop(b);
    let found = problems(&a, "inter-router connection to");
    assert!(found[0].contains(&format!("{links} is down")) && found[0].contains("spanway check --url"), "{found:?}");
    assert_eq!(status(&a, &[]).status, 1);
}

#[test]
fn what_waits_is_found() {
    let router = Router::start_with(&["--tcp-listener", "db=127.0.0.1:0"]);
    let sender = Running::start(send(&router.url, &["orders", "x"]));
    sender.wait_for("no consumer for orders yet");
    let found = problems(&router, "nobody receives from orders: 1 sender");
    assert!(found.iter().any(|problem| problem.contains("`spanway check orders`")), "{found:?}");
    let found = problems(&router, "nobody serves db");
    assert!(found.iter().any(|problem| problem.contains("spanway stat tcp --all-routers")), "{found:?}");
    let text = status(&router, &[]);
    assert_eq!(text.status, 1, "{}", text.stdout);
    assert!(text.stdout.contains("  ! nobody receives from orders"), "{}", text.stdout);
    assert!(text.stderr.contains("2 problems found"), "{}", text.stderr);
}

#[test]
fn certificates_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let mut params = CertificateParams::new(vec!["a.example".to_owned()]).expect("valid");
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    let key = KeyPair::generate().expect("a key");
    std::fs::write(path("tls.crt"), params.self_signed(&key).expect("signed").pem()).expect("written");
    std::fs::write(path("tls.key"), key.serialize_pem()).expect("written");
    let (cert, key) = (path("tls.crt"), path("tls.key"));
    let router = Router::start_with(&["--listen", "amqps://127.0.0.4:0", "--cert", &cert, "--key", &key]);
    let found = problems(&router, "has ended 2021-01-01T00:00:00Z");
    assert!(found.iter().any(|problem| problem.contains("spanway manage update sslProfile")), "{found:?}");
}
