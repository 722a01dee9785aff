//! Auto-links to a broker, which is a program on Proton's Python binding.

use conformance::client::{Client, Running, unique};
use conformance::ports::free_port;
use conformance::process::wait_for;
use conformance::router::{Config, PATIENCE, Router};
use conformance::suite::number;
use serde_json::{Value, json};

const AUTO_LINK: &str = "io.skupper.router.router.config.autoLink";

fn broker(router: &Router, port: u16, args: &[(&str, &str)]) -> Running {
    Client::ProtonPython.start(router.dir(), "broker", port, args).ready()
}

/// A router with a connector of role route-container to a broker's port, and these auto-links.
fn router(port: u16, links: &[&[(&str, &str)]]) -> Router {
    Router::with(|config| {
        let port = port.to_string();
        let role = [("name", "broker"), ("host", "127.0.0.1"), ("port", port.as_str()), ("role", "route-container")];
        config.section("connector", &[&role[..], &[("saslMechanisms", "ANONYMOUS")]].concat());
        for link in links {
            config.section("autoLink", link);
        }
    })
}

/// Sends a request to the management agent.
fn manage(router: &Router, request: &Value) -> Value {
    let file = router.dir().join(format!("requests-{}", unique()));
    std::fs::write(&file, format!("{request}\n")).unwrap();
    let path = file.display().to_string();
    let args = [("requests", path.as_str()), ("address", "$management")];
    Client::ProtonPython.run(router.dir(), "manage", router.port, &args).remove(0)
}

/// An auto-link as management shows it, once `until` holds.
fn link_when(router: &Router, name: &str, until: impl Fn(&Value) -> bool) -> Value {
    let read = json!({"properties": {"operation": "READ", "type": AUTO_LINK, "name": name}});
    let mut last = Value::Null;
    wait_for("an auto-link", PATIENCE, || {
        last = manage(router, &read)["body"].clone();
        until(&last).then_some(())
    });
    last
}

fn is(state: &'static str) -> impl Fn(&Value) -> bool {
    move |link| link["operStatus"] == state
}

/// `count` messages from a sender to one address to a receiver from another.
fn pass(router: &Router, to: &str, from: &str, count: &str) {
    let args = |address| [("address", address), ("count", count)];
    let sent = Client::Rhea.start(router.dir(), "send", router.port, &args(to));
    let received = Client::GoAmqp.start(router.dir(), "recv", router.port, &args(from)).result();
    assert_eq!(
        (received["received"].to_string(), &received["ordered"]),
        (count.to_owned(), &json!(true)),
        "{received}"
    );
    assert_eq!(sent.result()["accepted"].to_string(), count);
}

#[test]
fn messages_go_through_a_broker() {
    let port = free_port();
    let through = |name: &'static str, address: &'static str, direction: &'static str| {
        [("name", name), ("address", address), ("externalAddress", "queue"), ("connection", "broker")]
            .into_iter()
            .chain([("direction", direction)])
            .collect::<Vec<_>>()
    };
    let router = router(port, &[&through("to", "put", "out"), &through("from", "get", "in")]);
    link_when(&router, "to", is("inactive"));
    // The receiver comes after the messages are in the queue.
    let _broker = broker(&router, port, &[]);
    pass(&router, "put", "get", "500");
    let to = link_when(&router, "to", is("active"));
    assert!(to["linkRef"].is_string() && to["lastError"].is_null(), "{to}");
    let query = json!({
        "properties": {"operation": "QUERY", "name": "self", "type": "org.amqp.management",
                       "entityType": "io.skupper.router.routerMetrics"},
        "body": {"attributeNames":
            ["deliveriesIngressRouteContainer", "deliveriesEgressRouteContainer", "autoLinkCount"]},
    });
    let counts = manage(&router, &query)["body"]["results"][0].clone();
    assert_eq!(counts, json!([500, 500, 2]));
}

#[test]
fn a_link_that_is_refused_is_tried_again() {
    let port = free_port();
    let link = [("name", "link"), ("address", "shy"), ("direction", "in"), ("connection", "broker")];
    let router = router(port, &[&link]);
    let broker = broker(&router, port, &[("refuse", "shy"), ("refusals", "2")]);
    let failed = link_when(&router, "link", is("failed"));
    assert!(failed["lastError"].as_str().unwrap().contains("no such queue"), "{failed}");
    link_when(&router, "link", |link| link["operStatus"] == "active" && link["lastError"].is_null());
    drop(broker);
    link_when(&router, "link", |link| link["operStatus"] == "inactive" && link["linkRef"].is_null());
}

#[test]
fn links_come_and_go_while_the_router_runs() {
    let port = free_port();
    let router = router(port, &[]);
    let mut broker = broker(&router, port, &[]);
    let create = |name: &str, body: Value| {
        let properties = json!({"operation": "CREATE", "type": AUTO_LINK, "name": name});
        manage(&router, &json!({"properties": properties, "body": body}))
    };
    let answer = create("to", json!({"address": "queue", "direction": "out", "connection": "broker"}));
    assert_eq!(answer["status"], 201, "{answer}");
    broker.process.wait_output("\"attached\": \"queue\"", PATIENCE);
    link_when(&router, "to", is("active"));
    let sent = Client::Rhea.run(router.dir(), "send", router.port, &[("address", "queue"), ("count", "10")]).remove(0);
    assert_eq!(number(&sent, "accepted"), 10);
    let delete = json!({"properties": {"operation": "DELETE", "type": AUTO_LINK, "name": "to"}});
    assert_eq!(manage(&router, &delete)["status"], 204);
    // What comes back has nobody else to go to than who asks for it now.
    let answer = create("from", json!({"address": "queue", "direction": "in", "connection": "broker"}));
    assert_eq!(answer["status"], 201, "{answer}");
    let args = [("address", "queue"), ("count", "10")];
    let received = Client::GoAmqp.start(router.dir(), "recv", router.port, &args).result();
    assert_eq!(number(&received, "received"), 10);
    let answer = create("nothing", json!({"direction": "out", "connection": "broker"}));
    assert_eq!(answer["status"], 400, "{answer}");
}

#[test]
fn containers_that_connect_are_known_by_their_id() {
    let port = free_port();
    let router = Router::with(|config: &mut Config| {
        let port = port.to_string();
        let role = [("host", "127.0.0.1"), ("port", port.as_str()), ("role", "route-container")];
        config
            .section("listener", &[&role[..], &[("saslMechanisms", "ANONYMOUS"), ("authenticatePeer", "no")]].concat());
        for (address, direction) in [("to", "out"), ("from", "in")] {
            let names = [("name", address), ("address", address), ("externalAddress", "queue")];
            config.section("autoLink", &[&names[..], &[("direction", direction), ("containerId", "store")]].concat());
        }
    });
    let _other = broker(&router, port, &[("connect", "1"), ("container", "other")]);
    let _store = broker(&router, port, &[("connect", "1"), ("container", "store")]);
    pass(&router, "to", "from", "100");
}

#[test]
fn messages_of_an_anonymous_link_say_where_they_go() {
    let port = free_port();
    let to = [("name", "to"), ("address", "put"), ("externalAddress", "queue"), ("direction", "out")];
    let from = [("name", "from"), ("externalAddress", "queue"), ("direction", "in"), ("connection", "broker")];
    let router = router(port, &[&[&to[..], &[("connection", "broker")]].concat(), &from]);
    let _broker = broker(&router, port, &[]);
    let receiving =
        Client::GoAmqp.start(router.dir(), "recv", router.port, &[("address", "get"), ("count", "10")]).ready();
    link_when(&router, "from", is("active"));
    // They go through the broker to `put`, and carry `get` as the address that they are for.
    let args = [("address", "put"), ("label", "get"), ("count", "10")];
    let sent = Client::ProtonPython.run(router.dir(), "send", router.port, &args).remove(0);
    assert_eq!(number(&sent, "accepted"), 10);
    assert_eq!(number(&receiving.result(), "received"), 10);
}
