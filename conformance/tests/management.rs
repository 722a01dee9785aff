//! The management agent, asked by Proton's Python binding.

use conformance::agent::Agent;
use conformance::client::Client;
use conformance::process::wait_for;
use conformance::raw::V;
use conformance::requests::{self, query};
use conformance::router::{Config, PATIENCE, Router};
use serde_json::{Value, json};

fn ask(router: &Router, address: Option<&str>, requests: &[Value]) -> Vec<Value> {
    requests::ask(router.dir(), router.port, address, requests)
}

/// The rows of a query for these attributes.
fn rows(router: &Router, ty: &str, attributes: &[&str]) -> Vec<Value> {
    let answer = ask(router, Some("$management"), &[query(ty, attributes)]).remove(0);
    assert_eq!(answer["status"], 200, "{answer}");
    answer["body"]["results"].as_array().unwrap().clone()
}

/// The agent answers at each of its addresses, to a link of its own and to anonymous senders.
#[test]
fn every_address_of_the_agent() {
    let router = Router::plain();
    let request = query("router", &["id", "mode"]);
    let addresses = ["$management", "amqp:/$management", "_local/$management", "_topo/0/QDR/$management"];
    for address in addresses {
        let answers = ask(&router, Some(address), &[request.clone(), request.clone()]);
        for answer in answers {
            assert_eq!(answer["status"], 200, "{address}: {answer}");
            assert_eq!(answer["description"], "OK");
            assert_eq!(answer["body"], json!({"attributeNames": ["id", "mode"], "results": [["QDR", "standalone"]]}));
        }
    }
    let requests: Vec<Value> = addresses
        .iter()
        .map(|address| {
            let mut request = request.clone();
            request["to"] = json!(address);
            request
        })
        .collect();
    assert!(ask(&router, None, &requests).iter().all(|answer| answer["status"] == 200));
}

/// Requests that make no sense get an error, and the agent goes on.
#[test]
fn wrong_requests() {
    let router = Router::plain();
    let of = |properties: Value| json!({"properties": properties});
    let answers = ask(
        &router,
        Some("$management"),
        &[
            of(json!({})),
            of(json!({"operation": "NONSENSE", "type": "org.amqp.management", "name": "self"})),
            of(json!({"operation": "READ", "type": "io.skupper.router.listener", "name": "nobody"})),
            of(
                json!({"operation": "QUERY", "type": "org.amqp.management", "name": "self", "entityType": "no.such.type"}),
            ),
            query("listener", &["host", "nonsense"]),
            of(json!({"operation": "CREATE", "type": "io.skupper.router.tcpListener", "name": "x"})),
            of(json!({"operation": "DELETE", "type": "io.skupper.router.router", "identity": "router/QDR"})),
            query("router", &["id"]),
        ],
    );
    let statuses: Vec<i64> = answers.iter().map(|answer| answer["status"].as_i64().unwrap()).collect();
    assert_eq!(statuses, [400, 501, 404, 400, 404, 400, 501, 200], "{answers:?}");
    assert_eq!(answers[2]["description"], "No entity with name=nobody");
}

/// A request without a place for its answer is accepted and forgotten; one that is too large is rejected.
#[test]
fn requests_without_an_answer() {
    if conformance::router::foreign_router().is_some() {
        eprintln!("not against this router: what is too large is ours to say");
        return;
    }
    let router = Router::plain();
    let properties = json!({"operation": "QUERY", "type": "org.amqp.management", "name": "self"});
    let answers = ask(
        &router,
        Some("$management"),
        &[
            json!({"properties": properties, "reply": false}),
            json!({"properties": properties, "size": 2_000_000, "reply": false}),
            json!({"properties": properties, "size": 900_000}),
            query("router", &["id"]),
        ],
    );
    assert_eq!(answers[0]["outcome"], "ACCEPTED");
    assert_eq!(answers[1], json!({"outcome": "REJECTED", "condition": "amqp:link:message-size-exceeded"}));
    assert_eq!((&answers[2]["status"], &answers[3]["status"]), (&json!(200), &json!(200)));
}

/// Connections, links and addresses, with counters that are true.
#[test]
fn traffic_is_counted() {
    let router = Router::plain();
    let dir = router.dir();
    let args = [("address", "counted"), ("count", "5")];
    let receiving = Client::ProtonPython.start(dir, "recv", router.port, &args).ready();
    let sent = Client::ProtonPython.start(dir, "send", router.port, &[("address", "counted"), ("count", "3")]).result();
    assert_eq!(sent["accepted"], 3);

    let columns = ["linkDir", "deliveryCount", "acceptedCount", "releasedCount", "unsettledCount", "linkType"];
    let links = || {
        let mut names = vec!["owningAddr", "connectionId"];
        names.extend(columns);
        rows(&router, "router.link", &names).into_iter().filter(|row| row[0] == "Mcounted").collect::<Vec<_>>()
    };
    // The receiver's dispositions may be on their way.
    let link = wait_for("the receiver's link", PATIENCE, || {
        let links = links();
        (links.len() == 1 && links[0][4] == 3).then(|| links[0].clone())
    });
    assert_eq!(link.as_array().unwrap()[2..], json!(["out", 3, 3, 0, 0, "endpoint"]).as_array().unwrap()[..]);

    let address =
        rows(&router, "router.address", &["name", "subscriberCount", "deliveriesIngress", "deliveriesEgress"]);
    assert!(address.contains(&json!(["Mcounted", 1, 3, 3])), "{address:?}");

    let columns = ["identity", "role", "dir", "isAuthenticated", "user", "protocol", "opened"];
    let connections = rows(&router, "connection", &columns);
    let own = connections.iter().find(|row| row[0] == link[1]).expect("the link's connection is listed");
    assert_eq!(own.as_array().unwrap()[1..3], json!(["normal", "in"]).as_array().unwrap()[..]);
    assert_eq!((&own[5], &own[6]), (&json!("amqp"), &json!(true)));

    let metrics = rows(&router, "routerMetrics", &["id", "acceptedDeliveries", "version"]);
    assert_eq!(metrics.len(), 1);
    assert_eq!(metrics[0][0], "QDR");
    assert!(metrics[0][1].as_u64().unwrap() >= 3);

    let rest = Client::ProtonPython.start(dir, "send", router.port, &[("address", "counted"), ("count", "2")]).result();
    assert_eq!(rest["accepted"], 2);
    assert_eq!(receiving.finish(PATIENCE).pop().unwrap()["received"], 5);
}

/// TCP entities come and go at run time.
#[test]
fn tcp_entities_come_and_go() {
    let mut config = Config::new();
    config.listener(&[]);
    let router = config.start();
    let port = conformance::ports::free_port().to_string();
    let properties = |operation: &str| {
        json!({"properties": {"operation": operation, "type": "io.skupper.router.tcpListener", "name": "web"},
               "body": {"address": "web", "host": "127.0.0.1", "port": port}})
    };
    let answers = ask(
        &router,
        Some("$management"),
        &[properties("CREATE"), properties("READ"), properties("CREATE"), properties("DELETE"), properties("READ")],
    );
    let statuses: Vec<i64> = answers.iter().map(|answer| answer["status"].as_i64().unwrap()).collect();
    assert_eq!(statuses, [201, 200, 400, 204, 404], "{answers:?}");
    assert_eq!(answers[0]["body"]["identity"], format!("tcpListener/127.0.0.1:{port}:web"));
    assert_eq!(answers[1]["body"]["address"], "web");
    assert_eq!(answers[3]["body"], json!({}));
}

/// A connection is closed by setting its `adminStatus`.
#[test]
fn connections_are_closed() {
    let router = Router::plain();
    let args = [("address", "x"), ("count", "1")];
    let receiving = Client::ProtonPython.start(router.dir(), "recv", router.port, &args).ready();
    let links = rows(&router, "router.link", &["owningAddr", "connectionId", "identity"]);
    let link = links.iter().find(|row| row[0] == "Mx").expect("the receiver is attached");
    let update = |status: &str| {
        json!({"properties": {"operation": "UPDATE", "type": "io.skupper.router.connection", "identity": link[1]},
               "body": {"adminStatus": status}})
    };
    // Links end with who attached them.
    let of_link = |operation: &str| {
        let ty = "io.skupper.router.router.link";
        json!({"properties": {"operation": operation, "type": ty, "identity": link[2]}})
    };
    let requests = [of_link("DELETE"), of_link("UPDATE"), update("nonsense"), update("enabled"), update("deleted")];
    let answers = ask(&router, Some("$management"), &requests);
    let statuses: Vec<i64> = answers.iter().map(|answer| answer["status"].as_i64().unwrap()).collect();
    assert_eq!(statuses, [403, 403, 400, 200, 200], "{answers:?}");
    assert_eq!(answers[4]["body"]["adminStatus"], "deleted");
    // Proton takes a forced close for a loss that it may get over, and does not end.
    wait_for("the end of the connection", PATIENCE, || {
        let connections = rows(&router, "connection", &["identity"]);
        (!connections.contains(&json!([link[1]]))).then_some(())
    });
    drop(receiving);
}

/// A connection that was made here has the host that was configured, whatever address that was.
#[test]
fn hosts_are_those_of_the_configuration() {
    let other = Router::plain();
    let port = other.port.to_string();
    let router = Router::with(|config| {
        config.section("connector", &[("host", "localhost"), ("port", &port), ("role", "route-container")]);
    });
    wait_for("the connection", PATIENCE, || {
        rows(&router, "connection", &["host"]).contains(&json!([format!("localhost:{port}")])).then_some(())
    });
}

/// Links are in the log of the module ROUTER_CORE, and frames in that of PROTOCOL: those of all connections, or of one that somebody asks for.
#[test]
fn frames_are_logged() {
    let router = Router::with(|config| {
        config.section("log", &[("module", "ROUTER_CORE"), ("enable", "debug+"), ("outputFile", "links.log")]);
        config.section("log", &[("module", "PROTOCOL"), ("enable", "debug+"), ("outputFile", "frames.log")]);
    });
    let log = || std::fs::read_to_string(router.dir().join("frames.log")).unwrap_or_default();
    rows(&router, "router", &["id"]);
    wait_for("all frames of a client", PATIENCE, || log().contains("]:FRAME: 0 -> @close(24) []").then_some(()));
    let frames = log();
    for shown in [
        "]:FRAME:   <- AMQP",
        "]:FRAME: 0 <- @open(16) [container-id=",
        "]:FRAME: 0 -> @open(16) [container-id=\"QDR\", ",
        "target=@target(41) [address=\"$management\"",
        "]:FRAME: 0 <- @transfer(20) [handle=0x",
        ", delivery-id=0x0, delivery-tag=b\"",
        "state=@accepted(36) []",
    ] {
        assert!(frames.contains(shown), "no {shown} in {frames}");
    }
    let links = std::fs::read_to_string(router.dir().join("links.log")).unwrap();
    assert!(links.contains(" of a Sender attached: $management"), "{links}");

    // Of none, and then of one connection.
    let mut other = Agent::connect(router.port);
    let mut agent = Agent::connect(router.port);
    let quiet = |agent: &mut Agent| {
        let before = log();
        agent.rows("router", &["id"]);
        assert_eq!(log(), before);
    };
    assert_eq!(agent.update("log", "log/PROTOCOL", vec![(V::str("enable"), V::str("info+"))]).status, 200);
    quiet(&mut agent);
    let mut ids: Vec<u64> = Vec::new();
    for row in agent.rows("connection", &["identity"]) {
        ids.push(row[0].text().unwrap().parse().unwrap());
    }
    let id = ids.into_iter().max().unwrap().to_string();
    let mut trace = |identity: &str, on: &str| {
        let properties = [("operation", "UPDATE"), ("type", "io.skupper.router.connection"), ("identity", identity)];
        other.ask(&properties, V::Map(vec![(V::str("enableProtocolTrace"), V::str(on))])).status
    };
    assert_eq!((trace("nonsense", "yes"), trace("123456789", "yes"), trace(&id, "perhaps")), (400, 404, 400));
    assert_eq!(trace(&id, "yes"), 200);
    let before = log().len();
    let row = agent.rows("connection", &["identity", "enableProtocolTrace"]);
    assert!(row.contains(&vec![V::str(&id), V::Bool(true)]), "{row:?}");
    let frames = log().split_off(before);
    let of_one = format!("[C{id}]:FRAME: ");
    assert!(frames.contains("@transfer") && frames.lines().all(|line| line.contains(&of_one)), "{frames}");
    assert_eq!(trace(&id, "no"), 200);
    quiet(&mut agent);
}
