//! Trace context of messages, and what routers push to an OpenTelemetry collector.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::process::Command;
use std::time::{Duration, Instant};

use conformance::certs::Certs;
use conformance::client::{Client, installed};
use conformance::http::{admin, get};
use conformance::network::{Network, Plan};
use conformance::ports::free_port;
use conformance::process::Process;
use conformance::router::{Config, PATIENCE, Router};
use conformance::wait_for;
use serde_json::Value;

/// As in the recommendation's examples, sampled.
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const STATE: &str = "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE";

/// A - B, and an edge router E of B, which push to a collector if there is one.
fn network(collector: Option<&str>) -> (Network, Router) {
    let mut plan = Plan::line(2).edges();
    let mut config = Config::edge("E");
    config.listener(&[]);
    if let Some(url) = collector {
        plan = plan.section("otlp", &[("endpoint", url)]);
        config.section("otlp", &[("endpoint", url)]);
    }
    let network = plan.start();
    config.uplink(network.edge_port("B"));
    let edge = config.start();
    (network, edge)
}

#[test]
fn trace_context_passes_through_unchanged() {
    let (network, edge) = network(None);
    let a = network.router("A");
    let context = [("prop:traceparent", PARENT), ("prop:tracestate", STATE), ("prop:other", "x")];
    for (from, sender, to, receiver) in
        [(a, Client::Rhea, &edge, Client::ProtonPython), (&edge, Client::ProtonPython, a, Client::Rhea)]
    {
        let args = [("address", "traced"), ("count", "2")];
        let receiving = receiver.start(to.dir(), "recv", to.port, &args).ready();
        sender.run(from.dir(), "send", from.port, &[&args[..], &context[..]].concat());
        let lines = receiving.finish(PATIENCE);
        let wanted = serde_json::json!({ "traceparent": PARENT, "tracestate": STATE, "other": "x" });
        let seen: Vec<_> = lines.iter().filter_map(|line| line.get("properties")).collect();
        assert_eq!(seen, [&wanted, &wanted], "{sender} to {receiver}");
    }
}

/// The receiver of the OpenTelemetry Collector.
struct Collector {
    process: Process,
}

impl Collector {
    fn start(dir: &std::path::Path, port: u16, tls: Option<&Certs>) -> Self {
        let mut command = Command::new(installed("otel-collector").join("collector"));
        command.arg(format!("127.0.0.1:{port}"));
        if let Some(certs) = tls {
            command.arg(&certs.server.cert).arg(&certs.server.key);
        }
        let mut process = Process::start("collector", dir, &mut command);
        process.wait_output("\"ready\"", PATIENCE);
        Self { process }
    }

    /// What was pushed so far, one request each.
    fn requests(&self) -> Vec<Value> {
        let output = self.process.output();
        // The last line may not be complete yet.
        output.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The spans of each router, by `service.instance.id`.
    fn spans(&self) -> BTreeMap<String, Vec<Value>> {
        let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for resource in self.requests().iter().flat_map(|request| list(&request["resourceSpans"])) {
            let id = attribute(&resource["resource"], "service.instance.id").expect("a resource has an id");
            let spans = list(&resource["scopeSpans"]).into_iter().flat_map(|scope| list(&scope["spans"]));
            found.entry(id).or_default().extend(spans);
        }
        found
    }

    /// The metrics of the last push of each router, by `service.instance.id`, with the resource.
    fn metrics(&self) -> BTreeMap<String, (Value, Vec<Value>)> {
        let mut found = BTreeMap::new();
        for resource in self.requests().iter().flat_map(|request| list(&request["resourceMetrics"])) {
            let id = attribute(&resource["resource"], "service.instance.id").expect("a resource has an id");
            let metrics =
                list(&resource["scopeMetrics"]).into_iter().flat_map(|scope| list(&scope["metrics"])).collect();
            found.insert(id, (resource["resource"].clone(), metrics));
        }
        found
    }
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn attribute(of: &Value, key: &str) -> Option<String> {
    let found = list(&of["attributes"]).into_iter().find(|attribute| attribute["key"] == key)?;
    let value = &found["value"];
    value["stringValue"].as_str().or_else(|| value["intValue"].as_str()).map(str::to_owned)
}

/// Standalone, with an admin port, and a collector at this URL.
fn pushing(url: &str, attributes: &[(&str, &str)], extend: impl FnOnce(&mut Config)) -> Router {
    Router::with(|config| {
        config.section("admin", &[("host", "127.0.0.1"), ("port", "0")]);
        config.section("otlp", &[&[("endpoint", url), ("metricsIntervalSeconds", "1")], attributes].concat());
        extend(config);
    })
}

#[test]
fn a_collector_gets_what_prometheus_gets() {
    let port = free_port();
    let dir = tempfile::tempdir().unwrap();
    let collector = Collector::start(dir.path(), port, None);
    let attributes = [("serviceName", "van"), ("resourceAttributes", "deployment.environment.name=the%20test")];
    let router = pushing(&format!("http://127.0.0.1:{port}"), &attributes, |_| {});
    // One more than come, so that the address stays.
    let args = [("address", "news"), ("count", "11")];
    let _receiving = Client::ProtonPython.start(router.dir(), "recv", router.port, &args).ready();
    Client::ProtonPython.run(router.dir(), "send", router.port, &[args[0], ("count", "10")]);
    let (resource, metrics) = wait_for("the deliveries", PATIENCE, || {
        let (resource, metrics) = collector.metrics().remove("QDR")?;
        let of_news = |point: &Value| {
            attribute(point, "address").as_deref() == Some("news")
                && attribute(point, "direction").as_deref() == Some("out")
        };
        let deliveries = metrics.iter().find(|metric| metric["name"] == "spanway_address_deliveries_total")?;
        let counted = list(&deliveries["sum"]["dataPoints"]).into_iter().find(of_news)?;
        (counted["asInt"] == "10").then_some((resource, metrics))
    });
    for (key, value) in [
        ("service.name", "van"),
        ("deployment.environment.name", "the test"),
        ("spanway.router.id", "QDR"),
        ("spanway.router.mode", "standalone"),
    ] {
        assert_eq!(attribute(&resource, key).as_deref(), Some(value), "{resource}");
    }
    let text = get(admin(&router), "/metrics").body;
    let shown: BTreeSet<(&str, &str)> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let kind = |metric: &Value| match (&metric["sum"]["isMonotonic"], &metric["gauge"]) {
        (Value::Bool(true), Value::Null) => "counter",
        (Value::Null, Value::Object(_)) => "gauge",
        other => panic!("{other:?}"),
    };
    let pushed: BTreeSet<(&str, &str)> =
        metrics.iter().map(|metric| (metric["name"].as_str().unwrap(), kind(metric))).collect();
    assert_eq!(pushed, shown);
    // What it has counted is pushed when it ends, however long the interval.
    let before = collector.requests().len();
    assert!(router.stop().success());
    assert!(collector.requests().len() > before);
}

#[test]
fn a_collector_that_is_away_is_tried_again() {
    let port = free_port();
    let router = pushing(&format!("http://127.0.0.1:{port}/"), &[], |_| {});
    let said = |text: &str| router.process.output().matches(text).count();
    wait_for("a warning", PATIENCE, || (said("Cannot push to http://127.0.0.1") > 0).then_some(()));
    // Traffic does not notice.
    let args = [("address", "news"), ("count", "10")];
    let receiving = Client::ProtonPython.start(router.dir(), "recv", router.port, &args).ready();
    Client::ProtonPython.run(router.dir(), "send", router.port, &args);
    receiving.finish(PATIENCE);
    let collector = Collector::start(router.dir(), port, None);
    wait_for("metrics", PATIENCE, || collector.metrics().remove("QDR"));
    wait_for("the good news", PATIENCE, || (said("Pushes to http://127.0.0.1") > 0).then_some(()));
    assert_eq!(said("Cannot push to http://127.0.0.1"), 1);
    // Nor does a router wait for one that went away.
    drop(collector);
    let begun = Instant::now();
    assert!(router.stop().success());
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn a_collector_that_does_not_answer_holds_nothing_up() {
    // It accepts, and never reads.
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let router = pushing(&url, &[], |_| {});
    let (_connection, _) = silent.accept().unwrap();
    let text = get(admin(&router), "/metrics").body;
    assert!(text.contains("spanway_ready 1"), "{text}");
    let begun = Instant::now();
    assert!(router.stop().success());
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn metrics_over_tls_to_a_collector_that_is_known() {
    let port = free_port();
    let dir = tempfile::tempdir().unwrap();
    let certs = Certs::new(dir.path(), "collector");
    let collector = Collector::start(dir.path(), port, Some(&certs));
    let url = format!("https://localhost:{port}");
    let ca = certs.ca.display().to_string();
    let known = pushing(&url, &[("sslProfile", "collector")], |config| {
        config.section("sslProfile", &[("name", "collector"), ("caCertFile", &ca)]);
    });
    wait_for("metrics", PATIENCE, || collector.metrics().remove("QDR"));
    assert!(!known.process.output().contains("Cannot push"));
    // Its authority is none of the system's.
    let mut unknown = pushing(&url, &[], |_| {});
    let line = unknown.process.wait_output("Cannot push to https://localhost", PATIENCE);
    assert!(line.contains("TLS: "), "{line}");
}

#[test]
fn each_router_makes_a_span_of_a_sampled_message() {
    let port = free_port();
    let dir = tempfile::tempdir().unwrap();
    let collector = Collector::start(dir.path(), port, None);
    let (network, edge) = network(Some(&format!("http://127.0.0.1:{port}")));
    let a = network.router("A");
    let args = [("address", "traced"), ("count", "6")];
    let receiving = Client::ProtonPython.start(edge.dir(), "recv", edge.port, &args).ready();
    let not_sampled = format!("{}00", &PARENT[..PARENT.len() - 2]);
    for (parent, settled) in [(PARENT, false), (PARENT, true), (not_sampled.as_str(), false)] {
        let mut args = vec![args[0], ("count", "2"), ("prop:traceparent", parent), ("prop:tracestate", STATE)];
        args.extend(settled.then_some(("settled", "1")));
        Client::Rhea.run(a.dir(), "send", a.port, &args);
    }
    receiving.finish(PATIENCE);
    let spans = wait_for("the spans of all routers", PATIENCE, || {
        let spans = collector.spans();
        (["A", "B", "E"].iter().all(|id| spans.get(*id).is_some_and(|spans| spans.len() >= 4))).then_some(spans)
    });
    let mut ids = BTreeSet::new();
    for (router, from, to) in [("A", None, Some("B")), ("B", Some("A"), Some("E")), ("E", Some("B"), None)] {
        let spans = &spans[router];
        assert_eq!(spans.len(), 4, "{spans:?}");
        for span in spans {
            assert_eq!(span["traceId"], PARENT[3..35], "{span}");
            assert_eq!((&span["parentSpanId"], &span["traceState"]), (&PARENT[36..52].into(), &STATE.into()), "{span}");
            assert!(ids.insert(span["spanId"].as_str().unwrap().to_owned()), "{span} has the id of another");
            assert_eq!((&span["name"], &span["kind"]), (&"forward traced".into(), &1.into()), "{span}");
            assert_eq!(attribute(span, "messaging.destination.name").as_deref(), Some("traced"));
            let time = |key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
            assert!(time("startTimeUnixNano") > 0 && time("endTimeUnixNano") >= time("startTimeUnixNano"), "{span}");
            let before = attribute(span, "spanway.peer.from").unwrap_or_else(|| panic!("from nobody: {span}"));
            assert!(from.is_none_or(|from| before == from), "{span}");
            // The connection of an edge router may be that of another worker.
            let after = attribute(span, "spanway.peer.to");
            assert!(to.is_none_or(|to| after.as_deref() == Some(to) || (to == "E" && after.is_none())), "{span}");
        }
        let of = |outcome| {
            spans.iter().filter(|span| attribute(span, "spanway.outcome").as_deref() == Some(outcome)).count()
        };
        assert_eq!((of("accepted"), of("settled")), (2, 2), "{spans:?}");
    }
}

#[test]
fn what_nobody_takes_has_a_span_that_says_so() {
    let port = free_port();
    let dir = tempfile::tempdir().unwrap();
    let collector = Collector::start(dir.path(), port, None);
    let router = pushing(&format!("http://127.0.0.1:{port}"), &[("metrics", "no")], |_| {});
    let mut receiving =
        Client::ProtonPython.start(router.dir(), "outcomes-recv", router.port, &[("address", "a")]).ready();
    let args = [("address", "a"), ("prop:traceparent", PARENT)];
    Client::ProtonPython.run(router.dir(), "outcomes-send", router.port, &args);
    receiving.process.wait(PATIENCE);
    let spans = wait_for("the spans", PATIENCE, || collector.spans().remove("QDR").filter(|spans| spans.len() == 4));
    let mut seen: Vec<(String, bool)> =
        spans.iter().map(|span| (attribute(span, "spanway.outcome").unwrap(), span["status"]["code"] == 2)).collect();
    seen.sort();
    let expected = [("accepted", false), ("modified", true), ("rejected", true), ("released", true)];
    assert_eq!(seen, expected.map(|(outcome, failed)| (outcome.to_owned(), failed)));
    assert!(collector.metrics().is_empty());
}

#[test]
fn a_collector_may_take_metrics_and_no_spans() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (said, paths) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        // Ends with the test, whose end of the channel is gone then.
        for mut socket in listener.incoming().map_while(Result::ok) {
            let mut request = Vec::new();
            let mut block = [0; 16384];
            let complete = |request: &[u8]| {
                let text = String::from_utf8_lossy(request);
                let (head, _) = text.split_once("\r\n\r\n")?;
                let length =
                    head.to_lowercase().split("content-length: ").nth(1)?.split("\r\n").next()?.parse::<usize>();
                (request.len() >= head.len() + 4 + length.ok()?).then(|| head.split(' ').nth(1).unwrap().to_owned())
            };
            let path = loop {
                match socket.read(&mut block) {
                    Ok(n) if n > 0 => request.extend_from_slice(&block[..n]),
                    _ => break None,
                }
                if let Some(path) = complete(&request) {
                    break Some(path);
                }
            };
            let Some(path) = path else { continue };
            let status = if path == "/v1/metrics" { "200 OK" } else { "404 Not Found" };
            let _ = write!(socket, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            if said.send(path).is_err() {
                return;
            }
        }
    });
    let router = pushing(&url, &[], |_| {});
    let args = [("address", "a"), ("count", "2")];
    let receiving = Client::ProtonPython.start(router.dir(), "recv", router.port, &args).ready();
    let send = || {
        let args = [("address", "a"), ("prop:traceparent", PARENT)];
        Client::ProtonPython.run(router.dir(), "send", router.port, &args);
    };
    let wait_path = |wanted: &str| while paths.recv_timeout(PATIENCE).unwrap() != wanted {};
    send();
    wait_path("/v1/traces");
    wait_path("/v1/metrics");
    send();
    wait_path("/v1/traces");
    wait_path("/v1/metrics");
    receiving.finish(PATIENCE);
    let output = router.process.output();
    assert_eq!(output.matches("Cannot push to").count(), 1, "{output}");
    assert!(
        output.contains("/v1/traces: it answers 404 Not Found; dropped") && !output.contains("Pushes to"),
        "{output}"
    );
}
