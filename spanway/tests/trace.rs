//! `spanway trace` in networks of routers.
#![allow(clippy::expect_used, reason = "helpers of tests fail as tests do")]

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "send_recv/process.rs"]
mod process;

use process::{Ended, Router, Running, recv, send, tool};
use serde_json::Value;

fn trace(router: &Router, arguments: &[&str]) -> Ended {
    Running::start(tool(&[&["trace", "--url", &router.url, "--timeout", "60s"], arguments].concat())).end()
}

fn json(router: &Router, arguments: &[&str]) -> Value {
    let ended = trace(router, &[arguments, &["-o", "json"]].concat());
    serde_json::from_str(&ended.stdout).expect("valid")
}

fn ids(route: &Value) -> Vec<&str> {
    route["hops"].as_array().expect("hops").iter().filter_map(|hop| hop["router"].as_str()).collect()
}

#[test]
fn the_hops_are_shown() {
    let c = Router::start_with(&["--id", "C", "--accept-links", "127.0.0.2:0"]);
    let b = Router::start_with(&["--id", "B", "--accept-links", "127.0.0.2:0", "--link", &c.links]);
    let a = Router::start_with(&["--id", "A", "--link", &b.links, "--accept-edges", "127.0.0.3:0"]);
    let e = Router::start_with(&["--id", "E", "--edge-link", &a.edges]);
    let _receivers = [recv(&c.url, &["orders"]), recv(&e.url, &["orders"])].map(Running::start);
    // Until the news of both has arrived everywhere.
    loop {
        let trace = json(&a, &["orders"]);
        if trace["routes"].as_array().is_some_and(|routes| routes.len() == 2)
            && trace["problems"] == serde_json::json!([])
        {
            break;
        }
    }
    let found = json(&a, &["orders"]);
    assert_eq!((&found["from"], &found["distribution"]), (&"A".into(), &"balanced".into()), "{found}");
    assert_eq!(ids(&found["routes"][0]), ["A", "E"]);
    assert_eq!(ids(&found["routes"][1]), ["A", "B", "C"]);
    assert_eq!(found["routes"][1]["cost"], 2);
    let hops = found["routes"][1]["hops"].as_array().expect("hops");
    assert_eq!(hops.iter().map(|hop| hop["consumers"].as_u64()).collect::<Vec<_>>(), [Some(0), Some(0), Some(1)]);
    assert!(hops.iter().all(|hop| hop["roundTripMicroseconds"].as_u64().is_some_and(|micros| micros > 0)), "{found}");
    // From elsewhere, and over an edge's connection.
    let found = json(&a, &["orders", "--router", "C"]);
    assert_eq!(ids(&found["routes"][1]), ["C", "B", "A", "E"], "{found}");
    let found = json(&e, &["orders"]);
    assert_eq!(ids(&found["routes"][0]), ["E"], "{found}");
    assert_eq!(ids(&found["routes"][1]), ["E", "A", "B", "C"], "{found}");
    let ended = trace(&a, &["orders"]);
    assert!(ended.status == 0 && ended.stdout.contains("-> C"), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.starts_with("orders (balanced) from A: 2 consumers at 2 routers\n"), "{}", ended.stdout);
}

#[test]
fn nobody_receives() {
    let router = Router::start();
    let ended = trace(&router, &["orders"]);
    assert_eq!(ended.status, 1, "{}", ended.stdout);
    assert!(
        ended.stderr.contains("nobody receives from orders: start a consumer, or see `spanway check orders`"),
        "{}",
        ended.stderr
    );
    let ended = trace(&router, &["orders", "--router", "X"]);
    assert!(ended.status == 1 && ended.stderr.contains("there is no router X in this network"), "{}", ended.stderr);
    let _receiver = Running::start(recv(&router.url, &["orders"]));
    assert_eq!(Running::start(send(&router.url, &["orders", "x"])).end().status, 0);
    assert_eq!(trace(&router, &["orders"]).status, 0);
}

#[test]
fn the_only_consumer_is_at_an_edge() {
    let a = Router::start_with(&["--id", "A", "--mode", "interior", "--accept-edges", "127.0.0.3:0"]);
    let e = Router::start_with(&["--id", "E", "--edge-link", &a.edges]);
    let _receiver = Running::start(recv(&e.url, &["orders"]));
    assert_eq!(Running::start(send(&a.url, &["orders", "x", "--timeout", "60s"])).end().status, 0);
    let found = json(&a, &["orders"]);
    assert_eq!((ids(&found["routes"][0]), &found["problems"]), (vec!["A", "E"], &serde_json::json!([])), "{found}");
    // And the other way round: to an edge router its uplink is no consumer.
    let _receiver = Running::start(recv(&a.url, &["news"]));
    assert_eq!(Running::start(send(&e.url, &["news", "x", "--timeout", "60s"])).end().status, 0);
    let found = json(&e, &["news"]);
    assert_eq!((ids(&found["routes"][0]), &found["problems"]), (vec!["E", "A"], &serde_json::json!([])), "{found}");
    assert_eq!(found["routes"].as_array().map(Vec::len), Some(1), "{found}");
    for (router, address) in [(&a, "orders"), (&e, "orders"), (&a, "news"), (&e, "news")] {
        let checked = Running::start(tool(&["check", address, "--url", &router.url])).end();
        assert_eq!(checked.status, 0, "{}", checked.stdout);
    }
    // Nobody receives from it anywhere, which the edge router alone cannot know.
    let sender = Running::start(send(&e.url, &["nothing", "x"]));
    sender.wait_for("no consumer for nothing yet");
    let checked = Running::start(tool(&["check", "nothing", "--url", &e.url])).end();
    assert!(checked.status == 1 && checked.stdout.contains("FAIL  consumers"), "{}", checked.stdout);
}
