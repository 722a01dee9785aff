//! Flags.

use crate::config::{Configuration, Flag, FlagError, Section, Syntax, parse};
use crate::entity::{Entity, EntityKind, Mode, Role};

fn build(file: &str, flags: &[Flag]) -> Configuration {
    let mut sections: Vec<Section> = parse("file", Syntax::Yaml, file).expect("a file");
    for flag in flags {
        flag.merge_into(&mut sections);
    }
    Configuration::build(sections).expect("a configuration")
}

fn host_port(flag: Result<Flag, FlagError>) -> String {
    let c = build("", &[flag.expect("a flag"), Flag::tls(Some("c"), Some("k"), None)]);
    let entity: &Entity = c
        .entities
        .iter()
        .find(|entity| matches!(entity.kind(), EntityKind::Listener | EntityKind::TcpListener | EntityKind::Admin))
        .expect("an entity");
    let text = |name| entity.text(name).unwrap_or_default();
    format!("{}|{}|{}{}", text("host"), text("port"), text("address"), text("sslProfile"))
}

#[test]
fn forms_of_hosts_and_ports() {
    assert_eq!(host_port(Flag::listen("amqp://127.0.0.1:5673")), "127.0.0.1|5673|");
    assert_eq!(host_port(Flag::listen("amqps://[::1]")), "::1|amqps|command-line");
    assert_eq!(host_port(Flag::listen(":0")), "|0|");
    assert_eq!(host_port(Flag::listen("example.org")), "example.org|amqp|");
    assert_eq!(host_port(Flag::tcp_listener("a=b=0.0.0.0:80")), "0.0.0.0|80|a=b");
    assert_eq!(host_port(Flag::admin("[::]:9")), "::|9|");
}

#[test]
fn other_forms_are_refused() {
    for wrong in ["http://h:1", "h:x", "h:70000", "::1:80", "[::1", "[::1]80"] {
        assert!(Flag::listen(wrong).is_err(), "{wrong}");
    }
    for wrong in ["a", "a=h", "=h:1", "a=:1", "a=h:"] {
        assert!(Flag::tcp_connector(wrong).is_err(), "{wrong}");
    }
    let error = Flag::tcp_connector("db").expect_err("no target");
    assert_eq!(error.to_string(), "expected ADDRESS=HOST:PORT, such as database=127.0.0.1:5432, found `db`");
}

#[test]
fn links_between_routers() {
    let c = build(
        "router: {mode: interior}",
        &[
            Flag::accept_links("amqps://0.0.0.0").expect("a flag"),
            Flag::link("site-b:7").expect("a flag"),
            Flag::tls(Some("c"), Some("k"), Some("a")),
        ],
    );
    let listener = c.listeners.first().expect("a listener");
    assert_eq!((listener.role, listener.port.number(), listener.authenticate_peer), (Role::InterRouter, 55671, true));
    assert!(listener.require_ssl && listener.ssl_profile.is_some());
    let connector = c.connectors.first().expect("a connector");
    assert_eq!((connector.role, connector.host.as_str(), connector.port.number()), (Role::InterRouter, "site-b", 7));
    for wrong in ["", ":5", "h:x", "h:0", "http://h:1"] {
        assert!(Flag::link(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn links_without_tls_are_warned_about_unless_they_stay_on_the_machine() {
    let warnings = |flag: Result<Flag, FlagError>| {
        let c = build("router: {mode: interior}", &[flag.expect("a flag"), Flag::tls(Some("c"), Some("k"), Some("a"))]);
        c.warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    for here in ["127.0.0.1:1", "[::1]:1", "localhost:1", "amqps://10.0.0.1:1"] {
        assert_eq!((warnings(Flag::link(here)), warnings(Flag::accept_links(here))), (vec![], vec![]), "{here}");
    }
    let [there] = &warnings(Flag::accept_links(":1"))[..] else { panic!("one warning") };
    assert!(there.contains("--accept-links :1") && there.contains("without TLS"), "{there}");
    let [there] = &warnings(Flag::link("10.0.0.1"))[..] else { panic!("one warning") };
    assert!(there.contains("--link 10.0.0.1") && there.contains("without TLS"), "{there}");
}

#[test]
fn flags_replace_the_router_and_add_the_rest() {
    let flags = [
        Flag::router("--id", "id", "B"),
        Flag::listen("amqp://h:2").expect("a flag"),
        Flag::router("--workers", "workerThreads", "3"),
    ];
    let c = build("router: {id: A, mode: interior}\nlistener: {port: 1}", &flags);
    assert_eq!((c.router.id.as_deref(), c.router.mode, c.worker_threads), (Some("B"), Mode::Interior, Some(3)));
    assert_eq!(c.listeners.len(), 2);
}

#[test]
fn mistakes_name_the_flag() {
    let mut sections = Vec::new();
    Flag::router("--mode", "mode", "inner").merge_into(&mut sections);
    let error = Configuration::build(sections).expect_err("no such mode");
    assert_eq!(
        error.to_string(),
        "--mode inner: mode: expected one of `standalone`, `interior` or `edge`, found `inner`; did you mean `interior`?"
            .replace("; did you mean `interior`?", ""),
    );
}
