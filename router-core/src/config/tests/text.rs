//! The reference's text form.

use super::{accept, refuse, value};
use crate::config::Syntax::Text;
use crate::entity::{Distribution, EntityKind, LogModule, Mode, MultiAddressStrategy, Role, Value};

/// As the reference's test harness writes it.
const HARNESS: &str = r#"router {
    mode: interior
    id: QDR.A
    debugDumpFile: QDR.A-qddebug.txt
}
log {
    module: DEFAULT
    enable: debug+
    includeSource: true
    outputFile: QDR.A.log
}
listener {
    port: 21000
    host: 0.0.0.0
    saslMechanisms: ANONYMOUS
    idleTimeoutSeconds: 240
    authenticatePeer: no
    role: normal
    openProperties: {
            "outer-string": "OPEN",
            "outer-list": ["one", 2, true, {"deep": null}],
            "a-map": {"key": 1.5},
        }
}
connector {
    port: 21001
    role: route-container
}
address {
    prefix: closest
    distribution: closest
}
address {
    pattern: a/*/b.#   # the hash belongs to the pattern
    distribution: multicast
}
tcpListener {
    name: several
    host: 0.0.0.0
    port: 21002
    multiAddressStrategy: priority
}
listenerAddress {
    address: one
    value: 5
    listener: several
}
tcpConnector {
    port: 21003
    address: one
}
"#;

#[test]
fn a_file_of_the_reference_loads() {
    let c = accept(Text, HARNESS);
    assert_eq!((c.router.id.as_deref(), c.router.mode), (Some("QDR.A"), Mode::Interior));
    assert_eq!((c.router.worker_threads, c.worker_threads), (4, None));
    let [listener] = c.listeners.as_slice() else { panic!("{:?}", c.listeners) };
    assert_eq!((listener.port.number(), listener.idle_timeout_seconds, listener.role), (21000, 240, Role::Normal));
    assert_eq!(listener.max_frame_size, 16384);
    assert_eq!(listener.identity, "listener/0.0.0.0:21000");
    assert_eq!(listener.name, listener.identity);
    let properties = &listener.open_properties.as_ref().expect("open properties").0;
    assert_eq!(properties.first(), Some(&("outer-string".to_owned(), Value::from("OPEN"))));
    assert_eq!(properties.get(1).map(|(_, value)| value.to_string()).as_deref(), Some("[one, 2, true, {deep: null}]"));
    assert_eq!(c.connectors.first().map(|connector| connector.host.as_str()), Some("127.0.0.1"));
    let patterns: Vec<_> = c
        .addresses
        .iter()
        .map(|address| (address.prefix.as_deref().or(address.pattern.as_deref()), address.distribution))
        .collect();
    assert_eq!(patterns, [(Some("closest"), Distribution::Closest), (Some("a/*/b.#"), Distribution::Multicast)]);
    assert_eq!(c.tcp_listeners.first().map(|l| l.multi_address_strategy), Some(MultiAddressStrategy::Priority));
    assert_eq!(c.tcp_listeners.first().map(|l| l.identity.as_str()), Some("tcpListener/0.0.0.0:21002:several"));
    assert_eq!(c.listener_addresses.first().map(|a| a.identity.as_str()), Some("listenerAddress/several:one"));
    assert!(c.warnings.is_empty(), "{:?}", c.warnings);
}

#[test]
fn singletons_and_log_modules_are_added() {
    let c = accept(Text, "");
    assert_eq!(c.router.mode, Mode::Standalone);
    assert_eq!(c.policy.max_connections, 65535);
    assert_eq!(c.logs.len(), LogModule::ALL.len());
    let default = c.logs.iter().find(|log| log.module == LogModule::Default).expect("DEFAULT");
    assert_eq!((default.enable.as_deref(), default.output_file.as_deref()), (Some("info+"), Some("stderr")));
    assert_eq!(default.identity, "log/DEFAULT");
}

#[test]
fn entities_are_in_the_order_of_their_creation() {
    let c = accept(Text, HARNESS);
    let mut kinds: Vec<_> = c.entities.iter().map(|entity| entity.kind()).collect();
    kinds.dedup();
    use EntityKind::*;
    assert_eq!(
        kinds,
        [Log, Router, Network, Policy, Address, Connector, Listener, TcpListener, TcpConnector, ListenerAddress]
    );
}

#[test]
fn comments_blanks_and_dashes_do_not_hurt() {
    let c = accept(
        Text,
        "# a comment\n\nssl-profile{ # another\n  name : with blanks inside  # and a third\r\n  cert-file: /a b/c.pem\n\t}\t# end\n",
    );
    let [profile] = c.ssl_profiles.as_slice() else { panic!("{:?}", c.ssl_profiles) };
    assert_eq!(profile.name, "with blanks inside");
    assert_eq!(profile.cert_file.as_deref(), Some(std::path::Path::new("/a b/c.pem")));
}

#[test]
fn comments_inside_json_are_skipped() {
    let c = accept(
        Text,
        "listener {\n  port: 0\n  openProperties: {\n    # \"no\": \"}\",\n    \"yes\": \"}{#\"\n  }  # end\n  host: ::1\n}\n",
    );
    assert_eq!(value(&c, EntityKind::Listener, "openProperties"), "{yes: }{#}");
    assert_eq!(value(&c, EntityKind::Listener, "host"), "::1");
}

#[test]
fn values_come_as_text() {
    let c = accept(
        Text,
        "listener {\n port: amqps\n http: FALSE\n cost: 7\n maxSessions: 0\n name: a\\u0041\\\\b\n}\nsite {\n version: 2.10\n}\n",
    );
    assert_eq!(c.listeners.first().map(|listener| (listener.port.number(), listener.cost)), Some((5671, 7)));
    assert_eq!(c.listeners.first().map(|listener| listener.name.as_str()), Some("aA\\b"));
    assert_eq!(c.sites.first().and_then(|site| site.version.as_deref()), Some("2.10"));
}

/// A mistake, and what has to be said about it.
const MISTAKES: &[(&str, &str)] = &[
    ("listener {\n    prot: 5672\n}\n", "test.conf:2:5: unknown attribute `prot` of listener; did you mean `port`?"),
    ("lisener {\n}\n", "test.conf:1:1: unknown section `lisener`; did you mean `listener`?"),
    (
        "listener {\n  port: 5672\n  role: inter-rooter\n}\n",
        "test.conf:3:9: role: expected one of `normal`, `inter-router`, `route-container`, `edge`, `inter-edge` or \
         `inter-network`, found `inter-rooter`; did you mean `inter-router`?",
    ),
    (
        "listener {\n  port: 70000\n}\n",
        "test.conf:2:9: port: expected a port: a number from 0 to 65535, `amqp` (5672) or `amqps` (5671), found `70000`",
    ),
    (
        "listener {\n  idleTimeoutSeconds: soon\n}\n",
        "test.conf:2:23: idleTimeoutSeconds: expected a whole number from 0 to 4294967295, found `soon`",
    ),
    (
        "listener {\n  authenticatePeer: maybe\n}\n",
        "test.conf:2:21: authenticatePeer: expected yes or no (or true, false, on, off), found `maybe`",
    ),
    ("tcpListener {\n  address: a\n}\n", "test.conf:1:1: tcpListener needs the attribute `port`: a port"),
    (
        "tcpListener {\n  address: a\n  port: 1\n  operStatus: up\n}\n",
        "test.conf:4:3: attribute `operStatus` of tcpListener can only be read",
    ),
    ("listener {\n  port: 1\n  port: 2\n}\n", "test.conf:3:3: `port` was already set on line 2"),
    ("listener {\n  port: 1\n", "test.conf:1:1: section `listener` has no `}` at its end"),
    (
        "listener {\nrouter {\n}\n",
        "test.conf:2:1: section `listener` of line 1 has to end with `}` before `router` begins",
    ),
    ("}\n", "test.conf:1:1: `}` without a section that it ends"),
    ("port: 1\n", "test.conf:1:1: attribute `port` outside of a section; expected `section {`"),
    ("listener {\n  what is this\n}\n", "test.conf:2:3: expected `name: value` or `}`, found `what is this`"),
    ("listener {\n  host:\n}\n", "test.conf:2:8: host: expected a value, found nothing"),
    ("listener {\n  host: \"a\"\n}\n", "test.conf:2:9: host: values are written without quotes: `a`"),
    ("listener {\n  name: \\d\n}\n", "test.conf:2:9: name: a backslash has to be written twice: `\\d`"),
    ("listener {\n  openProperties: {\n    \"a\" 1\n  }\n}\n", "test.conf:3:"),
    ("listener {\n  openProperties: {\n    \"a\": 1\n", "test.conf:2:19: this map has no `}` at its end"),
    ("listener {\n  openProperties: {\n  } x\n}\n", "test.conf:3:4: expected the end of the line after `}`, found `x`"),
    (
        "listener {\n  openProperties: 5\n}\n",
        "test.conf:2:19: openProperties: expected a map with ASCII names, found `5`",
    ),
    ("listener {\n  host: {\n  }\n}\n", "test.conf:2:9: host: expected text, found a map"),
    ("address {\n  pattern: a b\n  prefix: c\n}\n", "an address needs one of `prefix` and `pattern`, and not both"),
    ("log {\n module: DEFAULT\n enable: inof+\n}\n", "found `inof+`; did you mean `info`?"),
];

#[test]
fn mistakes_are_named_with_their_place() {
    for (text, expected) in MISTAKES {
        let message = refuse(Text, text);
        assert!(message.contains(expected), "{text:?}\n  says    {message}\n  expected {expected}");
    }
}

#[test]
fn all_mistakes_are_named_at_once() {
    let message = refuse(Text, "router {\n  mod: interior\n}\nlistener {\n  cost: x\n  zzzz: 1\n}\n");
    assert_eq!(message.lines().count(), 3, "{message}");
    assert!(message.contains("zzzz` of listener; it has name, host, port"), "{message}");
}
