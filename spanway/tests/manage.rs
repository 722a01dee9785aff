//! `spanway manage` as people and programs use it.
#![allow(clippy::expect_used, reason = "helpers of tests fail as tests do")]

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "send_recv/process.rs"]
mod process;

use std::io::Write as _;

use process::{Ended, Router, Running, tool};
use serde_json::Value;

fn manage_with(url: &str, arguments: &[&str], input: &str) -> Ended {
    let mut all = vec!["manage"];
    all.extend(arguments);
    all.extend(["--url", url, "--timeout", "60s"]);
    let mut running = Running::start(tool(&all));
    running.input().write_all(input.as_bytes()).expect("written");
    running.close_input();
    running.end()
}

fn manage(router: &Router, arguments: &[&str]) -> String {
    let ended = manage_with(&router.url, arguments, "");
    assert_eq!(ended.status, 0, "{arguments:?}: {}", ended.stderr);
    ended.stdout
}

fn json(router: &Router, arguments: &[&str]) -> Value {
    serde_json::from_str(&manage(router, &[arguments, &["-o", "json"]].concat())).expect("valid")
}

fn refused(router: &Router, arguments: &[&str], status: i32) -> String {
    let ended = manage_with(&router.url, arguments, "");
    assert_eq!(ended.status, status, "{arguments:?}: {}", ended.stdout);
    ended.stderr
}

#[test]
fn an_entity_lives() {
    let router = Router::start();
    let created = json(&router, &["create", "tcpListener", "name=db", "address=db", "host=127.0.0.1", "port=0"]);
    assert_eq!((&created["name"], &created["type"]), (&"db".into(), &"io.skupper.router.tcpListener".into()));
    let identity = created["identity"].as_str().expect("it has one");
    // By either, and by the name alone.
    for id in [identity, "db"] {
        assert_eq!(json(&router, &["read", "tcpListener", id])["address"], "db", "{id}");
    }
    assert!(manage(&router, &["read", "--name", "db"]).contains("address "));
    assert_eq!(
        json(&router, &["query", "tcpListener", "name", "port"]),
        serde_json::json!([{"name": "db", "port": "0"}])
    );
    let table = manage(&router, &["query", "tcpListener", "name", "address"]);
    assert_eq!(table, "name  address\ndb    db\n");
    assert_eq!(manage(&router, &["delete", "tcpListener", "db"]), "deleted tcpListener db\n");
    assert_eq!(manage(&router, &["query", "tcpListener"]), "none\n");
    let error = refused(&router, &["delete", "tcpListener", "db"], 1);
    assert!(error.contains("404") && error.contains("spanway manage query tcpListener name identity"), "{error}");
}

#[test]
fn several_entities_come_from_the_standard_input() {
    let router = Router::start();
    let input = r#"[{"type": "tcpConnector", "name": "a", "address": "x", "host": "127.0.0.1", "port": 1},
                    {"type": "io.skupper.router.tcpConnector", "name": "b", "address": "x", "host": "127.0.0.1", "port": "2"}]"#;
    let ended = manage_with(&router.url, &["create", "--stdin", "-o", "json"], input);
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    let created: Vec<Value> = serde_json::from_str(&ended.stdout).expect("valid");
    assert_eq!(created.iter().map(|entity| entity["port"].clone()).collect::<Vec<_>>(), ["1", "2"]);
    // An entity as it was shown can be given back.
    let ended = manage_with(&router.url, &["delete", "--stdin"], &serde_json::to_string(&created).expect("text"));
    assert_eq!(ended.status, 0, "{}", ended.stderr);
    assert_eq!(manage(&router, &["query", "tcpConnector"]), "none\n");

    let input = r#"[{"name": "c", "address": "x", "host": "127.0.0.1", "port": 1}, {"name": "d", "port": "none"}]"#;
    let ended = manage_with(&router.url, &["create", "tcpConnector", "--stdin"], input);
    assert_eq!(ended.status, 1, "{}", ended.stdout);
    assert!(
        ended.stderr.contains("1 of 2 were done, then it failed: the router cannot create tcpConnector d: 400"),
        "{}",
        ended.stderr
    );
    assert!(ended.stdout.contains("name "), "what was done is shown: {}", ended.stdout);
    let ended = manage_with(&router.url, &["create", "tcpConnector", "--stdin"], "{");
    assert!(ended.status == 1 && ended.stderr.contains("expected a JSON object"), "{}", ended.stderr);
}

#[test]
fn attributes_are_changed() {
    let router = Router::start();
    let changed = json(&router, &["update", "log", "log/DEFAULT", "enable=debug+"]);
    assert_eq!(changed["enable"], "debug+");
    let changed = json(&router, &["update", "log", "--identity", "log/DEFAULT", "enable=info+"]);
    assert_eq!(changed["enable"], "info+");
    let error = refused(&router, &["update", "log", "log/DEFAULT", "enable=loud"], 1);
    assert!(error.contains("cannot update log log/DEFAULT: 400"), "{error}");
    let error = refused(&router, &["update", "log", "log/DEFAULT"], 1);
    assert!(error.contains("what is to change? Add NAME=VALUE"), "{error}");
}

#[test]
fn agents_tell_what_they_know() {
    let router = Router::start();
    assert!(manage(&router, &["get-types"]).contains("router.link"));
    assert_eq!(
        json(&router, &["get-operations", "log"])["io.skupper.router.log"],
        serde_json::json!(["UPDATE", "READ"])
    );
    assert!(manage(&router, &["get-attributes", "router.address"]).contains("subscriberCount"));
    assert_eq!(manage(&router, &["get-annotations"]), "none\n");
    assert_eq!(manage(&router, &["get-mgmt-nodes"]), "none\n");
    let log = manage(&router, &["get-log", "--limit", "3"]);
    assert!(log.lines().count() == 4 && log.starts_with("time "), "{log}");
    let overview = manage(&router, &["query"]);
    assert!(overview.lines().any(|line| line.starts_with("log ") && line.ends_with(" log/DEFAULT")), "{overview}");
    let csv = manage(&router, &["query", "connection", "role", "container", "-o", "csv"]);
    assert!(csv.starts_with("role,container\r\nnormal,spanway-manage-"), "{csv}");
}

#[test]
fn mistakes_are_explained() {
    let router = Router::start();
    let error = refused(&router, &["query", "tcpListner"], 2);
    assert!(error.contains("did you mean `tcpListener`?"), "{error}");
    let error = refused(&router, &["create", "tcpListener", "name"], 2);
    assert!(error.contains("expected NAME=VALUE"), "{error}");
    let error = refused(&router, &["query", "router", "nonsense"], 1);
    assert!(error.contains("the router cannot list router: Unknown attributes ['nonsense']"), "{error}");
    let error = refused(&router, &["delete", "tcpListener"], 1);
    assert!(error.contains("spanway manage query tcpListener"), "{error}");
    let error = refused(&router, &["query", "router", "--router", "X"], 1);
    assert!(error.contains("router X cannot be reached from here; `spanway stat nodes`"), "{error}");
}
