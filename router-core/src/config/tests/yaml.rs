//! YAML.

use super::{accept, refuse, value};
use crate::config::Syntax::Yaml;
use crate::entity::{EntityKind, ProxyProtocolAccept, Value};

#[test]
fn entities_by_type_load() {
    let c = accept(
        Yaml,
        "router:\n  id: A   # a name\n  workerThreads: 2\n\
         listeners:\n  - port: amqp\n  - {name: no, host: '127.0.0.1', port: 5673, openProperties: {a: 1, b: yes, c: true, d: '5'}}\n\
         tcpListeners:\n  - address: db\n    port: 5432\n    keepAliveSeconds: 30\n    proxyProtocol: any\n\
         tcp-connector: {address: db, host: ::1, port: 5433}\n\
         admin:\n",
    );
    assert_eq!(c.router.id.as_deref(), Some("A"));
    assert_eq!(c.worker_threads, Some(2));
    assert_eq!(c.listeners.iter().map(|l| l.port.number()).collect::<Vec<_>>(), [5672, 5673]);
    let second = c.listeners.get(1).expect("two listeners");
    assert_eq!(second.name, "no", "a name stays a name, whatever YAML makes of it elsewhere");
    let properties = second.open_properties.clone().expect("properties").0;
    assert_eq!(
        properties.into_iter().map(|(_, value)| value).collect::<Vec<_>>(),
        [Value::Integer(1), Value::from("yes"), Value::Bool(true), Value::from("5")]
    );
    let listener = c.tcp_listeners.first().expect("a TCP listener");
    assert_eq!((listener.keep_alive_seconds, listener.proxy_protocol), (30, ProxyProtocolAccept::Any));
    assert_eq!(value(&c, EntityKind::TcpConnector, "host"), "::1");
    assert_eq!(c.admins.first().map(|admin| (admin.host.as_str(), admin.port.number())), Some(("127.0.0.1", 5680)));
}

#[test]
fn lists_of_entities_load() {
    let c = accept(
        Yaml,
        "- router: {id: B}\n- [listener, {port: 1}]\n- type: io.skupper.router.listener\n  port: 2\n- listeners: [{port: 3}]\n",
    );
    assert_eq!(c.router.id.as_deref(), Some("B"));
    assert_eq!(c.listeners.iter().map(|l| l.port.number()).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn nothing_is_a_configuration() {
    for text in ["", "# only a comment\n", "---\n", "router:\n", "router: ~\nlisteners: []\n"] {
        assert!(accept(Yaml, text).listeners.is_empty(), "{text:?}");
    }
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (text, expected) in [
        ("router:\n  ide: A\n", "test.conf:2:3: unknown attribute `ide` of router; did you mean `id`?"),
        ("tcpListner:\n  port: 1\n", "test.conf:1:1: unknown section `tcpListner`; did you mean `tcpListener`?"),
        ("listeners:\n  - port: 1\n  - port: x\n", "test.conf:3:11: port: expected a port"),
        ("listeners:\n  - 5\n", "test.conf:2:5: expected the attributes of a listener, as a map"),
        ("listeners: 5672\n", "expected the attributes of a listener, as a map"),
        ("hello\n", "test.conf:1:1: expected entities by type"),
        ("- hello\n", "test.conf:1:3: expected an entity: `- listener: {port: 5672}`"),
        ("router: &a {id: A}\n", "anchors are not supported"),
        ("router: !!map {id: A}\n", "tags are not supported"),
        ("router:\n\tid: A\n", "test.conf:2:"),
        ("router: {id: A\n", "not YAML"),
        ("router:\n  id: A\n  id: B\n", "test.conf:3:3: `id` was already set on line 2"),
        ("router: {id: A}\nrouters: [{id: B}]\n", "there can only be one router"),
        ("? [a]\n: b\n", "expected a name"),
    ] {
        let message = refuse(Yaml, text);
        assert!(message.contains(expected), "{text:?}\n  says    {message}\n  expected {expected}");
    }
}

#[test]
fn depth_is_limited() {
    let nested = |count: usize| format!("router: {}{}", "[".repeat(count), "]".repeat(count));
    assert!(refuse(Yaml, &nested(33)).contains("may only nest 32 deep"));
    // Far deeper, the YAML crate refuses by itself.
    assert!(refuse(Yaml, &nested(100_000)).contains("test.conf:1:"));
}
