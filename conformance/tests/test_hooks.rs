//! What `skrouterd -T` has for tests of the router, what there is without it, and what a router says of itself when it crashes and when it is asked.

use std::os::unix::process::ExitStatusExt as _;

use conformance::agent::Agent;
use conformance::client::Client;
use conformance::router::{Config, PATIENCE, Router};
use conformance::suite::number;
use conformance::wait_for;
use serde_json::{Value, json};

fn address(name: &str) -> String {
    format!("io.skupper.router.router/test/{name}")
}

fn router(extend: impl FnOnce(&mut Config)) -> Router {
    Router::with(|config| {
        config.option("-T").section("log", &[("module", "DEFAULT"), ("enable", "debug+")]);
        extend(config);
    })
}

fn run(router: &Router, what: &str, name: &str, args: &[(&str, &str)]) -> Vec<Value> {
    let address = address(name);
    let args = [&[("address", address.as_str())], args].concat();
    Client::ProtonPython.run(router.dir(), what, router.port, &args)
}

fn last(router: &Router, what: &str, name: &str, args: &[(&str, &str)]) -> Value {
    run(router, what, name, args).pop().expect("it says what became of it")
}

#[test]
fn addresses_for_tests_do_what_their_names_say() {
    let router = router(|_| {});
    for count in ["1", "300"] {
        for size in ["0", "100000"] {
            let discarded = last(&router, "send", "discard", &[("count", count), ("size", size)]);
            assert_eq!(number(&discarded, "rejected").to_string(), count, "{discarded}");
            let sunk = last(&router, "send", "sink", &[("count", count), ("size", size)]);
            assert_eq!(number(&sunk, "accepted").to_string(), count, "{sunk}");
        }
        let settled = last(&router, "send", "sink", &[("count", count), ("settled", "1")]);
        assert_eq!(number(&settled, "sent").to_string(), count);
    }
    for (name, settled) in [("source", 0), ("source_ps", 1)] {
        for (count, batch) in [(300, "3"), (6000, "2000")] {
            let said = last(&router, "numbered", name, &[("count", &count.to_string()), ("batch", batch)]);
            assert_eq!(said, json!({"received": count, "settled": settled * count, "ordered": true}), "{name}");
        }
    }
    for receive in [&[][..], &[("receive", "1")]] {
        let said = last(&router, "knock", "deny", receive);
        assert_eq!(said, json!({"refused": "qd:forbidden"}), "{receive:?}");
    }
    for name in ["source", "source_ps"] {
        assert_eq!(last(&router, "knock", name, &[]), json!({"refused": "qd:forbidden"}), "{name}");
    }
    for name in ["sink", "discard", "log", "crash"] {
        let said = last(&router, "knock", name, &[("receive", "1")]);
        assert_eq!(said, json!({"refused": "qd:forbidden"}), "{name}");
    }
    let echo = address("echo");
    for (receive, sends) in [(&[][..], true), (&[("receive", "1")], false)] {
        let said = run(&router, "knock", "echo", receive);
        let expected = [
            json!({"echo": &echo, "sends": sends}),
            json!({"attached": &echo}),
            json!({"closed": "echo"}),
            json!({"closed": "link"}),
        ];
        assert_eq!(said.len(), expected.len(), "{said:?}");
        assert!(expected.iter().all(|line| said.contains(line)), "{said:?}");
    }
    assert!(router.stop().success());
}

#[test]
fn a_line_is_logged_with_the_level_that_was_asked_for() {
    let mut router = router(|_| {});
    for (level, name) in
        [("DEBUG", "debug"), ("INFO", "info"), ("WARNING", "warning"), ("ERROR", "error"), ("CRITICAL", "critical")]
    {
        let sent = last(&router, "send", "log", &[("subject", level)]);
        assert_eq!(number(&sent, "accepted"), 1, "{sent}");
        router.process.wait_output(&format!("ROUTER ({name}) A message for the log came from a test"), PATIENCE);
    }
}

#[test]
fn a_router_that_crashes_says_how() {
    for (how, signals) in [("ABORT", &[6][..]), ("SEGV", &[11]), ("HEAP", &[6, 7, 11])] {
        let mut router = router(|_| {});
        let address = address("crash");
        let args = [("address", address.as_str()), ("subject", how), ("settled", "1")];
        // What becomes of the client is no matter here.
        let _client = Client::ProtonPython.start(router.dir(), "send", router.port, &args);
        let status = router.process.wait(PATIENCE);
        assert!(status.signal().is_some_and(|signal| signals.contains(&signal)), "{how}: {status}");
        let output = router.process.output();
        for part in [
            "ROUTER (critical) ",
            "\n*** SKUPPER-ROUTER FATAL ERROR ***\nVersion: ",
            "\nSignal: ",
            &format!("\nProcess ID: {} (skrouterd)\n", router.process.pid()),
            "\n!!! libunwind not present: backtrace unavailable !!!\n",
            "\n*** END ***\n",
        ] {
            assert!(output.contains(part), "{how}: {part}: {output}");
        }
    }
}

#[test]
fn without_the_option_these_are_addresses_like_any_other() {
    let mut router = Router::plain();
    assert_eq!(last(&router, "knock", "deny", &[]), json!({"closed": "link"}));
    let address = address("crash");
    let receiver = Client::ProtonPython.start(router.dir(), "recv", router.port, &[("address", &address)]).ready();
    let sent = last(&router, "send", "crash", &[("subject", "ABORT")]);
    assert_eq!(number(&sent, "accepted"), 1, "{sent}");
    assert_eq!(number(&receiver.result(), "received"), 1);
    router.assert_alive();
}

/// Waits until the router has so many links without credit that it tells.
fn wait_blocked(router: &Router, links: u64) {
    let mut agent = Agent::connect(router.port);
    wait_for(&format!("{links} blocked links"), PATIENCE, || {
        let rows = agent.rows("routerMetrics", &["linksBlocked"]);
        (rows[0][0].number() == Some(links)).then_some(())
    });
}

#[test]
fn what_is_stuck_is_told_after_three_seconds() {
    let router = router(|_| {});
    let args = [("address", "nobody"), ("count", "1")];
    let sender = Client::ProtonPython.start(router.dir(), "send", router.port, &args);
    // Its link has no credit.
    wait_blocked(&router, 1);
    let received = Client::ProtonPython.run(router.dir(), "recv", router.port, &args);
    assert_eq!(number(&received[1], "received"), 1);
    assert_eq!(number(&sender.finish(PATIENCE)[0], "accepted"), 1);
    wait_blocked(&router, 0);
}

#[test]
fn the_line_about_memory_has_four_numbers() {
    let mut router = Router::with(|config| {
        config.variable("SKUPPER_ROUTER_ALLOC_MONITOR_SECS", "1");
    });
    let line = router.process.wait_output(" ram:", PATIENCE);
    let said = line.split_once(" ROUTER (info) ").expect("it is of the module ROUTER").1;
    let numbers: Vec<(&str, f64)> = said
        .split(' ')
        .map(|part| {
            let (name, size) = part.split_once(':').expect("a name and a number");
            let number = size.trim_end_matches(|unit: char| unit.is_alphabetic());
            (name, number.parse().expect("a number before the unit"))
        })
        .collect();
    assert_eq!(numbers.iter().map(|number| number.0).collect::<Vec<_>>(), ["ram", "vm", "rss", "pool"]);
    // Workers that have read nothing yet have no memory for it.
    assert!(numbers[..3].iter().all(|number| number.1 > 0.0), "{line}");
}
