//! `spanway top` in a pseudo terminal, read by a terminal emulator.
#![allow(clippy::expect_used, reason = "helpers of tests fail as tests do")]

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "send_recv/process.rs"]
mod process;
#[path = "top/terminal.rs"]
mod terminal;

use process::{Router, Running, recv, send, tool};
use terminal::Terminal;

#[test]
fn a_network_is_watched() {
    let b = Router::start_with(&["--id", "B", "--accept-links", "127.0.0.2:0"]);
    let a = Router::start_with(&["--id", "A", "--link", &b.links]);
    let _receiver = Running::start(recv(&b.url, &["orders", "--quiet"]));
    assert_eq!(Running::start(send(&a.url, &["orders", "x", "--timeout", "60s"])).end().status, 0);
    let load = ["orders", "x", "--count", "10000000", "--rate", "500", "--quiet"];
    let _sender = Running::start(send(&a.url, &load));
    let mut top = Terminal::start(&["top", "--url", &a.url, "--interval", "0.2"], 30, 120);
    let screen = top.wait_for(|screen| {
        screen.contains("2 routers") && screen.lines().any(|line| line.starts_with("B ") && line.contains("interior"))
    });
    assert!(screen.contains("1 Routers (2)") && screen.contains("Sort: slowest first"), "{screen}");
    // Rates of some hundreds, that of A into the network and that of B out of it.
    top.wait_for(|screen| rate(screen, "A ", "IN/s") > 100.0 && rate(screen, "B ", "OUT/s") > 100.0);
    top.type_keys("3");
    top.wait_for(|screen| {
        screen.contains("3 Addresses (")
            && rate(screen, "orders ", "IN/s") > 100.0
            && rate(screen, "orders ", "OUT/s") > 100.0
    });
    top.type_keys("\t\t");
    top.wait_for(|screen| screen.contains("2 Links (") && rate(screen, "spanway-recv-", "OUT/s") > 100.0);
    top.type_keys("/inter-router");
    top.wait_for(|screen| screen.contains("/inter-router_") && !screen.contains("spanway-recv-"));
    top.type_keys("\x1b");
    top.wait_for(|screen| screen.contains("spanway-recv-"));
    top.type_keys("s");
    top.wait_for(|screen| screen.contains("Sort: PEER") && screen.contains("PEER▲"));
    top.type_keys("?");
    top.wait_for(|screen| screen.contains("how long those take at this rate"));
    top.type_keys("x ");
    top.wait_for(|screen| screen.contains("paused") && !screen.contains("how long those take"));
    top.resize(16, 60);
    top.wait_for(|screen| {
        screen.lines().next().is_some_and(|line| line.contains("spanway top")) && screen.lines().count() == 16
    });
    top.type_keys("q");
    top.end_restored(0);
}

/// The number in a column of the line that begins so; 0 if there is none.
fn rate(screen: &str, line: &str, column: &str) -> f64 {
    let Some(head) = screen.lines().find(|line| line.contains(column)) else { return 0.0 };
    let Some(line) = screen.lines().find(|text| text.starts_with(line)) else { return 0.0 };
    // Numbers end below the last letter of their heads.
    let end = head.chars().collect::<String>().find(column).map_or(0, |at| head[..at].chars().count() + column.len());
    let cells: String = line.chars().take(end).collect();
    cells.rsplit(' ').next().unwrap_or_default().replace(',', "").parse().unwrap_or(0.0)
}

#[test]
fn a_router_that_goes_away_is_waited_for() {
    let router = Router::start();
    let mut top = Terminal::start(&["top", "--url", &router.url, "--interval", "0.2"], 24, 80);
    top.wait_for(|screen| {
        screen.contains("1 Routers (1)") && screen.contains("standalone_") || screen.contains("Standalone_")
    });
    drop(router);
    top.wait_for(|screen| screen.contains("trying again"));
    top.signal("TERM");
    top.end_restored(0);
}

#[test]
fn the_terminal_is_left_in_order() {
    let router = Router::start();
    for signal in ["INT", "TERM"] {
        let mut top = Terminal::start(&["top", "--url", &router.url], 24, 80);
        top.wait_for(|screen| screen.contains("Routers (1)"));
        top.signal(signal);
        top.end_restored(0);
    }
    let mut top = Terminal::start(&["top", "--url", &router.url], 24, 80);
    top.wait_for(|screen| screen.contains("Routers (1)"));
    top.type_keys("\x03");
    top.end_restored(0);
    // As small as they come.
    let mut top = Terminal::start(&["top", "--url", &router.url, "--view", "links"], 3, 12);
    top.wait_for(|screen| !screen.trim().is_empty());
    top.type_keys("?q");
    top.end_restored(0);
}

#[test]
fn without_a_terminal_there_is_another_way() {
    let ended = Running::start(tool(&["top"])).end();
    assert_eq!(ended.status, 1);
    assert!(ended.stderr.contains("top needs a terminal; `spanway stat --watch` writes to pipes"), "{}", ended.stderr);
    let mut top = Terminal::start(&["top", "--url", "amqp://127.0.0.1:1"], 24, 80);
    let screen = top.wait_for(|screen| screen.contains("is a router running?"));
    assert!(screen.contains("spanway run"), "{screen}");
    top.end_restored(1);
}
