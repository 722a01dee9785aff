//! Entities at run time.

use crate::config::{Configuration, Syntax};
use crate::entity::*;

fn store() -> EntityStore {
    let file =
        "router: {id: R}\nsslProfile: {name: tls}\ntcpListener: {name: l, port: 1, multiAddressStrategy: weighted}";
    let mut store =
        Configuration::from_text("f", Syntax::Yaml, file).map(|c| c.store().expect("a store")).expect("a file");
    while store.poll_change().is_some() {}
    store
}

const TCP: EntityKind = EntityKind::TcpListener;

#[test]
fn entities_come_change_and_go() {
    let mut store = store();
    let before = store.len();
    let made = store
        .create(TCP, [("address", "a".into()), ("port", 7.into()), ("host", "h".into())])
        .expect("created")
        .clone();
    assert_eq!((made.identity(), made.name()), ("tcpListener/h:7", "tcpListener/h:7"));
    assert_eq!(store.poll_change(), Some(Change::Created(made.clone())));
    assert_eq!(store.read(None, None, Some("tcpListener/h:7")), Ok(&made));
    assert_eq!(store.read(Some(TCP), Some("tcpListener/h:7"), None), Ok(&made));

    let changed = store
        .update(Some(TCP), None, Some(made.identity()), [("observer", "none".into()), ("port", "7".into())])
        .expect("updated")
        .clone();
    assert_eq!(changed.text("observer"), Some("none"));
    assert_eq!(store.poll_change(), Some(Change::Updated { before: made.clone(), after: changed.clone() }));
    store.update(Some(TCP), None, Some(made.identity()), [("observer", "none".into())]).expect("no change");
    assert_eq!(store.poll_change(), None, "nothing changed");

    assert_eq!(store.delete(None, None, Some(made.identity())), Ok(changed.clone()));
    assert_eq!(store.poll_change(), Some(Change::Deleted(changed)));
    assert_eq!(store.len(), before);
    store
        .create(TCP, [("address", "a".into()), ("port", 7.into()), ("host", "h".into())])
        .expect("the name is free again");
}

#[test]
fn counted_identities_go_on_behind_the_file() {
    let file = "addresses: [{prefix: a}, {prefix: b}]";
    let mut store = Configuration::from_text("f", Syntax::Yaml, file).expect("a file").store().expect("a store");
    let made = store.create(EntityKind::Address, [("prefix", Value::from("c"))]).expect("created");
    assert_eq!(made.identity(), "3");
    assert_eq!(store.query(Some(EntityKind::Address)).count(), 3);
    store.delete(Some(EntityKind::Address), None, Some("3")).expect("deleted");
    let made = store.create(EntityKind::Address, [("prefix", Value::from("c"))]).expect("created");
    assert_eq!(made.identity(), "4", "identities are not used twice");
}

#[test]
fn refusals_say_whose_fault_it_was() {
    let mut store = store();
    let address = |name: &'static str| [("address", Value::from(name)), ("listener", "l".into()), ("value", 1.into())];
    store.create(EntityKind::ListenerAddress, address("a")).expect("created");
    let none: [(&str, Value); 0] = [];
    for (result, status, text) in [
        (store.read(None, None, None).cloned(), 400, "No name or identity provided"),
        (store.read(None, None, Some("x")).cloned(), 404, "No entity with identity=x"),
        (store.read(Some(TCP), Some("x"), None).cloned(), 404, "No entity with name=x"),
        (
            store.create(EntityKind::Router, none.clone()).cloned(),
            501,
            "Operation 'CREATE' not implemented for 'router'",
        ),
        (store.create(TCP, [("prot", Value::from(1))]).cloned(), 400, "unknown attribute `prot`"),
        (store.create(TCP, [("port", Value::from(1))]).cloned(), 400, "Exactly one of the 'address'"),
        (store.create(EntityKind::ListenerAddress, address("a")).cloned(), 400, "there already is a listenerAddress"),
        (
            store.create(EntityKind::Listener, [("port", 9.into()), ("sslProfile", "tsl".into())]).cloned(),
            400,
            "sslProfile 'tsl' not found; did you mean `tls`?",
        ),
        (
            store.create(EntityKind::Listener, [("port", Value::from(9)), ("role", "edge".into())]).cloned(),
            400,
            "role='standalone' not allowed to connect to or accept connections from other routers.",
        ),
        (
            store.create(EntityKind::Listener, [("port", Value::from(77_777)), ("role", "edge".into())]).cloned(),
            400,
            "routers.; port: expected",
        ),
        (store.delete(Some(TCP), Some("l"), None), 400, "Listener cannot be deleted"),
        (store.delete(Some(EntityKind::Router), None, Some("router/R")), 501, "Operation 'DELETE'"),
        (
            store.update(Some(TCP), Some("l"), None, [("port", Value::from(2))]).cloned(),
            400,
            "Cannot update attribute 'port' in UPDATE",
        ),
        (
            store.update(Some(TCP), Some("l"), None, [("observer", Value::from("x"))]).cloned(),
            400,
            "observer: expected",
        ),
    ] {
        let error = result.expect_err(text);
        assert_eq!(error.status(), status, "{error}");
        assert!(error.to_string().contains(text), "{error}");
    }
}
