//! The reference's list form.

use super::{accept, refuse, value};
use crate::config::Syntax::Json;
use crate::entity::{EntityKind, TcpConnectorEntity};

/// As Skupper's controller writes it.
const CONTROLLER: &str = r#"[
    ["router", {"id": "site-a-skupper-router-1", "mode": "interior", "helloMaxAgeSeconds": 10,
                "metadata": "{\"id\":\"4f\",\"version\":\"2.1\"}"}],
    # a comment of the reference's kind
    ["site", {"name": "4f", "location": "here", "platform": "kubernetes", "namespace": "ns", "version": "2.1"}],
    ["sslProfile", {"name": "skupper-local-server", "certFile": "/c/tls.crt", "privateKeyFile": "/c/tls.key",
                    "caCertFile": "/c/ca.crt", "ordinal": 0}],
    ["listener", {"name": "amqp", "host": "localhost", "port": 5672}],
    ["listener", {"name": "amqps", "port": "5671", "role": "normal", "authenticatePeer": true, "saslMechanisms": "EXTERNAL",
                  "sslProfile": "skupper-local-server"}],
    ["listener", {"name": "@9090", "port": 9090, "http": true, "httpRootDir": "disabled", "healthz": true, "metrics": true}],
    ["listener", {"name": "inter-router", "role": "inter-router", "port": 55671, "maxFrameSize": 16384,
                  "maxSessionFrames": 640, "sslProfile": null}],
    ["log", {"module": "ROUTER_CORE", "enable": "error+"}],
    ["address", {"prefix": "mc", "distribution": "multicast"}],
    ["tcpListener", {"name": "backend:8080", "host": "0.0.0.0", "port": "1024", "address": "backend:8080", "siteId": "4f"}],
    ["tcpConnector", {"name": "backend@10.0.0.7", "host": "10.0.0.7", "port": "8080", "address": "backend:8080",
                      "processId": "p1"}]
]"#;

#[test]
fn a_file_of_the_controller_loads() {
    let c = accept(Json, CONTROLLER);
    assert_eq!(c.router.hello_max_age_seconds, 10);
    assert_eq!(c.router.metadata.as_deref(), Some("{\"id\":\"4f\",\"version\":\"2.1\"}"));
    let names: Vec<_> = c.listeners.iter().map(|listener| listener.name.as_str()).collect();
    assert_eq!(names, ["amqp", "amqps", "@9090", "inter-router"]);
    let expected = TcpConnectorEntity {
        name: "backend@10.0.0.7".to_owned(),
        identity: "tcpConnector/10.0.0.7:8080:backend@10.0.0.7".to_owned(),
        ..c.tcp_connectors.first().cloned().expect("a connector")
    };
    assert_eq!(c.tcp_connectors, [expected]);
    assert_eq!(c.tcp_listeners.first().map(|listener| listener.port.number()), Some(1024));
    assert_eq!(value(&c, EntityKind::Site, "platform"), "kubernetes");
    let warnings: Vec<_> = c.warnings.iter().map(ToString::to_string).collect();
    assert!(warnings.iter().all(|warning| !warning.contains("@9090")), "{warnings:#?}");
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (text, expected) in [
        ("{}", "test.conf:1:1: expected a list of sections"),
        ("", "test.conf:1:1: expected JSON, found nothing"),
        ("[[\"router\"]]", "test.conf:1:2: expected a section: [\"name\", {attributes}]"),
        ("[\n  [\"router\", {\"ide\": 1}]\n]", "test.conf:2:15: unknown attribute `ide` of router"),
        ("[\n  [\"rooter\", {}]\n]", "test.conf:2:4: unknown section `rooter`; did you mean `router`?"),
        ("[[\"router\", {\"workerThreads\": 1.5}]]", "test.conf:1:31: workerThreads: expected a whole number"),
        ("[[\"router\", {\"workerThreads\": true}]]", "found `true`"),
        ("[[\"router\", {\"id\": \"a\",\n \"id\": \"b\"}]]", "test.conf:2:2: `id` was already set on line 1"),
        ("[[\"listener\", {\"host\": [\"a\"]}]]", "test.conf:1:24: host: expected text, found a list"),
        ("[[\"router\", {\"id\": 'a'}]]", "test.conf:1:20: not JSON:"),
        ("[[\"router\" {}]]", "not JSON: Expected comma"),
    ] {
        let message = refuse(Json, text);
        assert!(message.contains(expected), "{text:?}\n  says    {message}\n  expected {expected}");
    }
}

#[test]
fn depth_is_limited() {
    let open = "[".repeat(100_000);
    assert!(refuse(Json, &open).contains("not JSON"), "unclosed");
    let deep = format!("[[\"vhost\", {{\"hostname\": \"h\", \"groups\": {}1{}}}]]", "[".repeat(40), "]".repeat(40));
    assert!(refuse(Json, &deep).contains("may only nest 32 deep"));
}
