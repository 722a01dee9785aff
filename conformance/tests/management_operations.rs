//! Every operation of the management agent, with right and wrong input, at the agents of this router, of another one and of an edge.

use conformance::client::Client;
use conformance::network::{Network, Plan};
use conformance::ports::free_port;
use conformance::process::wait_for;
use conformance::requests::{ask, query, request};
use conformance::router::{Config, PATIENCE, Router};
use serde_json::{Value, json};

/// A - B, and the edge router E under A.
fn network() -> (Network, Router) {
    let network = Plan::line(2).edges().start();
    let mut config = Config::edge("E");
    config.uplink(network.edge_port("A"));
    config.listener(&[]);
    (network, config.start())
}

/// Asks the agent at `address` until it is there, as that of an edge is some time after its start.
fn answers(network: &Network, address: &str, requests: &[Value]) -> Vec<Value> {
    let router = network.router("A");
    ask(router.dir(), router.port, Some(address), requests)
}

fn of_self(operation: &str, rest: Value) -> Value {
    let mut properties = json!({"operation": operation, "type": "org.amqp.management", "name": "self"});
    properties.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    json!({"properties": properties})
}

fn with(mut request: Value, key: &str, value: Value) -> Value {
    request[key] = value;
    request
}

/// Requests, the status of the answer, and what its description has to contain.
fn wrong_input(port: u16) -> Vec<(Value, u64, &'static str)> {
    let port = port.to_string();
    let tcp = |attributes: Value| request("CREATE", "tcpListener", "new", attributes);
    let all = |rest: Value| {
        let mut rest = rest;
        rest["entityType"] = json!("io.skupper.router.listener");
        of_self("QUERY", rest)
    };
    let names = |names: Value| {
        with(of_self("QUERY", json!({"entityType": "router"})), "body", json!({"attributeNames": names}))
    };
    vec![
        // No operation, or one that makes no sense.
        (json!({"properties": {}}), 400, "No 'operation' property"),
        (json!({"properties": {"operation": 5}}), 400, "'operation'"),
        (json!({"properties": {"operation": ""}}), 501, "not implemented"),
        (of_self("NONSENSE", json!({})), 501, "Operation 'NONSENSE' not implemented"),
        (of_self("PROFILE", json!({})), 501, "Operation 'PROFILE' not implemented"),
        // QUERY
        (of_self("QUERY", json!({"entityType": "no.such.type"})), 400, "No such entity type 'no.such.type'"),
        (of_self("QUERY", json!({"entityType": 5})), 400, "'entityType' has to be a string"),
        (names(json!(["nonsense"])), 404, "Unknown attributes ['nonsense']"),
        (names(json!("id")), 400, "attributeNames has to be a list of strings"),
        (names(json!([5])), 400, "attributeNames has to be a list of strings"),
        (with(all(json!({})), "body", json!([1])), 400, "has to be a map"),
        (with(all(json!({})), "body", json!("text")), 400, "has to be a map"),
        (with(with(all(json!({})), "body", json!({"$binary": "x"})), "section", json!(true)), 400, "has to be a map"),
        (with(with(all(json!({})), "body", json!([1])), "section", json!(true)), 400, "has to be a map"),
        (with(all(json!({})), "body", Value::Null), 200, "OK"),
        (all(json!({"offset": "x"})), 400, "'offset' has to be an integer"),
        (all(json!({"count": 1.5})), 400, "'count' has to be an integer"),
        (all(json!({"count": [1]})), 400, "'count' has to be an integer"),
        (all(json!({"offset": 9_223_372_036_854_775_807_u64, "count": 9_223_372_036_854_775_807_u64})), 200, "OK"),
        (all(json!({"offset": {"$ulong": u64::MAX}})), 400, "'offset' has to be an integer"),
        (all(json!({"offset": -5, "count": -1})), 200, "OK"),
        (all(json!({"offset": "0", "count": "1"})), 200, "OK"),
        (all(json!({"offset": {"$ubyte": 0}, "count": {"$uint": 1}})), 200, "OK"),
        // READ
        (
            json!({"properties": {"operation": "READ", "type": "io.skupper.router.listener"}}),
            400,
            "No name or identity provided",
        ),
        (json!({"properties": {"operation": "READ", "name": 5}}), 400, "'name' has to be a string"),
        (
            json!({"properties": {"operation": "READ", "identity": "listener/nowhere"}}),
            404,
            "No entity with identity=listener/nowhere",
        ),
        (request("READ", "listener", "nobody", json!({})), 404, "No entity with name=nobody"),
        (request("READ", "nonsense", "x", json!({})), 400, "No such entity type"),
        (request("READ", "listener", "log/AGENT", json!({})), 400, "does not extend requested type"),
        (request("READ", "routerMetrics", "routerMetrics", json!({})), 403, "Forbidden"),
        (request("READ", "connection", "x", json!({})), 400, "Identity required"),
        (request("READ", "router.link", "x", json!({})), 404, "Not Found"),
        (request("READ", "router.address", "Mx", json!({})), 404, "Not Found"),
        // CREATE
        (json!({"properties": {"operation": "CREATE"}, "body": {"port": port}}), 400, "No 'type' attribute"),
        (request("CREATE", "nonsense", "new", json!({})), 400, "No such entity type"),
        (request("CREATE", "router", "new", json!({"id": "x"})), 501, "'CREATE' not implemented"),
        (request("CREATE", "log", "new", json!({"module": "AGENT"})), 501, "'CREATE' not implemented"),
        (request("CREATE", "connection", "new", json!({})), 501, "'CREATE' not implemented"),
        (tcp(json!({"identity": "x"})), 400, "'identity' attribute cannot be specified"),
        (tcp(json!({"name": "other", "port": port})), 400, "Conflicting values for 'name'"),
        (tcp(json!({"port": port, "adress": "x"})), 400, "did you mean `address`?"),
        (tcp(json!({"address": "x"})), 400, "needs the attribute `port`"),
        (tcp(json!({"address": "x", "port": "70000"})), 400, "port: expected a port"),
        (tcp(json!({"address": "x", "port": -1})), 400, "port: expected a port"),
        (tcp(json!({"address": "x", "port": [5]})), 400, "port: expected a port"),
        (tcp(json!({"port": port})), 400, "Exactly one of the 'address' or 'multiAddressStrategy'"),
        (tcp(json!({"address": "x", "port": port, "backlog": "many"})), 400, "backlog: expected a whole number"),
        (
            tcp(json!({"address": "x", "port": port, "authenticatePeer": "maybe"})),
            400,
            "authenticatePeer: expected yes or no",
        ),
        (tcp(json!({"address": "x", "port": port, "observer": "http9"})), 400, "observer: expected one of"),
        (tcp(json!({"address": "x", "port": port, "bytesIn": 5})), 400, "can only be read"),
        (tcp(json!({"address": "x", "port": port, "sslProfile": "nobody"})), 400, "sslProfile 'nobody' not found"),
        (
            tcp(json!({"address": {"$uuid": "00000000-0000-0000-0000-000000000001"}})),
            400,
            "of a type that is not known here",
        ),
        (tcp(json!({"$map": [[5, "x"]]})), 400, "Names of attributes have to be strings"),
        (with(tcp(json!({})), "body", json!(["address"])), 400, "has to be a map"),
        (request("CREATE", "listener", "new", json!({"port": port, "cost": 0})), 400, "Invalid cost (0)"),
        (request("CREATE", "listener", "new", json!({"port": port, "role": "nonsense"})), 400, "role: expected one of"),
        (
            request("CREATE", "listener", "new", json!({"port": port, "messageLoggingComponents": "all"})),
            501,
            "messageLoggingComponents: has no effect in this version",
        ),
        (request("CREATE", "vhost", "new", json!({"hostname": "h", "groups": 5})), 400, "groups: expected a map"),
        (
            request("CREATE", "connector", "new", json!({"port": port, "proxyProfile": "p"})),
            400,
            "proxyProfile 'p' not found",
        ),
        (request("CREATE", "sslProfile", "new", json!({"caCertFile": "/no/such/file"})), 400, "/no/such/file"),
        (request("CREATE", "proxyProfile", "new", json!({"port": "1"})), 400, "host must be set"),
        (
            request("CREATE", "router.config.address", "new", json!({"prefix": "a", "pattern": "b"})),
            400,
            "one of `prefix` and `pattern`",
        ),
        (request("CREATE", "router.config.address", "new", json!({"prefix": "a", "priority": 10})), 400, "from 0 to 9"),
        (
            request("CREATE", "router.config.autoLink", "new", json!({"address": "a"})),
            400,
            "needs the attribute `direction`",
        ),
        (
            request(
                "CREATE",
                "router.config.autoLink",
                "new",
                json!({"address": "a", "direction": "in", "connection": "c", "containerId": "d"}),
            ),
            400,
            "Both connection and containerId cannot be specified",
        ),
        (
            request("CREATE", "listenerAddress", "new", json!({"address": "a", "value": 1, "listener": "nobody"})),
            400,
            "tcpListener 'nobody' not found",
        ),
        // UPDATE
        (
            json!({"properties": {"operation": "UPDATE", "type": "io.skupper.router.log"}}),
            400,
            "No name or identity provided",
        ),
        (request("UPDATE", "log", "log/NONSENSE", json!({"enable": "info+"})), 404, "No entity with name=log/NONSENSE"),
        (request("UPDATE", "log", "log/AGENT", json!({"enable": "loud"})), 400, "enable: expected levels"),
        (request("UPDATE", "log", "log/AGENT", json!({"module": "SERVER"})), 400, "Cannot update attribute 'module'"),
        (request("UPDATE", "log", "log/AGENT", json!({"nonsense": "x"})), 400, "unknown attribute `nonsense`"),
        (
            request("UPDATE", "log", "log/AGENT", json!({"outputFile": "/no/such/directory/log"})),
            400,
            "/no/such/directory/log",
        ),
        (with(request("UPDATE", "log", "log/AGENT", json!({})), "body", json!("enable")), 400, "has to be a map"),
        (request("UPDATE", "tcpConnector", "nobody", json!({"port": "1"})), 404, "No entity with name=nobody"),
        (
            json!({"properties": {"operation": "UPDATE", "identity": "0"}, "body": {"adminStatus": "deleted"}}),
            404,
            "No entity",
        ),
        // DELETE
        (
            json!({"properties": {"operation": "DELETE", "type": "io.skupper.router.listener"}}),
            400,
            "No name or identity provided",
        ),
        (request("DELETE", "listener", "nobody", json!({})), 404, "No entity with name=nobody"),
        (request("DELETE", "log", "log/AGENT", json!({})), 501, "'DELETE' not implemented"),
        (json!({"properties": {"operation": "DELETE", "name": "self"}}), 501, "'DELETE' not implemented"),
        // The rest
        (of_self("GET-TYPES", json!({"entityType": "nonsense"})), 400, "No such entity type"),
        (of_self("GET-ATTRIBUTES", json!({"entityType": "nonsense"})), 400, "No such entity type"),
        (of_self("GET-OPERATIONS", json!({"entityType": "nonsense"})), 400, "No such entity type"),
        (of_self("GET-LOG", json!({"limit": "many"})), 400, "'limit' has to be an integer"),
        (of_self("GET-LOG", json!({"limit": -1})), 200, "OK"),
        (json!({"properties": {"operation": "GET-TYPES", "name": "somebody"}}), 404, "No entity with name=somebody"),
    ]
}

/// Whatever is asked of whichever agent, the answer says what is wrong, nothing changes, and the next request is answered.
#[test]
fn wrong_input_is_refused_by_every_agent() {
    let (network, _edge) = network();
    for (router, address) in [
        ("A", "$management"),
        ("B", "_topo/0/B/$management"),
        ("E", "_edge/E/$management"),
        ("A", "_topo/0/A/$management"),
    ] {
        let cases = wrong_input(free_port());
        let mut requests: Vec<Value> = cases.iter().map(|(request, ..)| request.clone()).collect();
        requests.push(query("router", &["id"]));
        requests.push(query("tcpListener", &["name"]));
        requests.push(of_self("QUERY", json!({"entityType": "listener", "count": 0})));
        let mut answers = answers(&network, address, &requests);
        assert_eq!(answers.pop().unwrap()["body"]["results"], json!([]));
        assert_eq!(answers.pop().unwrap()["body"]["results"], json!([]), "{address}: something was created");
        assert_eq!(answers.pop().unwrap()["body"]["results"], json!([[router]]));
        for ((request, status, text), answer) in cases.iter().zip(&answers) {
            assert_eq!(answer["status"], *status, "{address}: {request} is answered with {answer}");
            assert!(answer["description"].as_str().unwrap().contains(text), "{address}: {request}: {answer}");
        }
    }
}

/// An answer has the correlation-id of its request, whatever type that is.
#[test]
fn correlation_ids_come_back_as_they_were() {
    let (network, _edge) = network();
    let ids = [
        json!("text"),
        json!(""),
        json!({"$ulong": 0}),
        json!({"$ulong": u64::MAX}),
        json!({"$uuid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"}),
        json!({"$binary": "bytes"}),
        Value::Null,
    ];
    let requests: Vec<Value> = ids.iter().map(|id| with(query("router", &["id"]), "correlation", id.clone())).collect();
    for address in ["$management", "_topo/0/B/$management", "_edge/E/$management"] {
        // The client compares them.
        assert!(answers(&network, address, &requests).iter().all(|answer| answer["status"] == 200), "{address}");
    }
}

/// Everything that can be created, changed and deleted at run time, at every agent, while deliveries pass.
#[test]
fn entities_come_change_and_go_under_traffic() {
    let (network, edge) = network();
    let (a, b) = (network.router("A"), network.router("B"));
    let count = "20000";
    let receiving =
        Client::ProtonPython.start(b.dir(), "recv", b.port, &[("address", "busy"), ("count", count)]).ready();
    network.wait_address("A", "busy", 0, 1);
    let sending = Client::ProtonPython.start(a.dir(), "send", a.port, &[("address", "busy"), ("count", count)]);
    for (id, address) in [("A", "$management"), ("B", "_topo/0/B/$management"), ("E", "_edge/E/$management")] {
        let log = a.dir().join(format!("{id}-agent.log"));
        let ports: Vec<String> = (0..5).map(|_| free_port().to_string()).collect();
        let life = |ty: &str, attributes: Value, change: Option<Value>| {
            let mut requests = vec![
                (request("CREATE", ty, "mine", attributes.clone()), 201),
                (request("CREATE", ty, "mine", attributes), 400),
                (request("READ", ty, "mine", json!({})), 200),
            ];
            match change {
                Some(change) => requests.push((request("UPDATE", ty, "mine", change), 200)),
                None => requests.push((request("UPDATE", ty, "mine", json!({"name": "other"})), 501)),
            }
            requests.push((request("DELETE", ty, "mine", json!({})), 204));
            requests.push((request("DELETE", ty, "mine", json!({})), 404));
            requests
        };
        let here = "127.0.0.1";
        let mut cases = [
            life("listener", json!({"host": here, "port": ports[0]}), Some(json!({"cost": 5}))),
            life("connector", json!({"host": here, "port": ports[1]}), Some(json!({"cost": 5}))),
            life(
                "tcpListener",
                json!({"host": here, "port": ports[2], "address": "t"}),
                Some(json!({"observer": "none"})),
            ),
            life("tcpConnector", json!({"host": here, "port": ports[3], "address": "t"}), None),
            life("router.config.address", json!({"prefix": "mine", "distribution": "multicast"}), None),
            life(
                "router.config.autoLink",
                json!({"address": "mine", "direction": "in", "containerId": "broker"}),
                None,
            ),
            life("sslProfile", json!({"ordinal": 1}), Some(json!({"ordinal": 2, "oldestValidOrdinal": "1"}))),
            life("proxyProfile", json!({"host": here, "port": "1"}), Some(json!({"port": "2"}))),
        ]
        .concat();
        let several = json!({"host": here, "port": ports[4], "multiAddressStrategy": "priority"});
        let one = json!({"listener": "several", "address": "x", "value": "3"});
        cases.extend([
            (request("CREATE", "tcpListener", "several", several), 201),
            (request("CREATE", "listenerAddress", "mine", one), 201),
            (request("DELETE", "tcpListener", "several", json!({})), 400),
            (request("UPDATE", "listenerAddress", "mine", json!({"value": 4})), 501),
            (request("DELETE", "listenerAddress", "mine", json!({})), 204),
            (request("DELETE", "tcpListener", "several", json!({})), 204),
            (request("UPDATE", "log", "log/AGENT", json!({"enable": "debug+", "outputFile": log})), 200),
            (request("UPDATE", "network", "network/1", json!({"networkId": "elsewhere"})), 200),
            (request("READ", "network", "network/1", json!({})), 200),
            // Without this, answers would not come back from another network than ours.
            (request("UPDATE", "network", "network/1", json!({"networkId": ""})), 200),
        ]);
        let requests: Vec<Value> = cases.iter().map(|(request, _)| request.clone()).collect();
        let answers = answers(&network, address, &requests);
        for ((request, status), answer) in cases.iter().zip(&answers) {
            assert_eq!(answer["status"], *status, "{address}: {request} is answered with {answer}");
            if *status == 201 {
                assert_eq!(answer["body"]["name"], request["properties"]["name"], "{answer}");
            }
        }
        assert_eq!(answers[answers.len() - 2]["body"]["networkId"], "elsewhere");
        let line = "AGENT (debug) Agent request READ type=io.skupper.router.network name=network/1";
        assert!(std::fs::read_to_string(log).unwrap().contains(line));
    }
    let sent = sending.result();
    assert_eq!((&sent["sent"], &sent["accepted"]), (&json!(20_000), &json!(20_000)), "{sent}");
    assert_eq!(receiving.result()["received"], 20_000);
    drop(edge);
}

/// Connections are closed through their `adminStatus`, but for those between routers; sockets of TCP flows are connections, too.
#[test]
fn connections_end_through_their_admin_status() {
    let server = conformance::tcp::peers::echo("echo");
    let mut config = Config::interior("A");
    config.listener(&[]);
    let edges = free_port();
    config.accept_edges(edges);
    let port = config.tcp_listener("echo", &[]);
    config.tcp_connector("echo", server, &[]);
    let a = config.start();
    let mut config = Config::edge("E");
    config.uplink(edges);
    let _edge = config.start();
    let connections = || {
        let columns = ["identity", "protocol", "role", "dir", "container", "active"];
        let answer = ask(a.dir(), a.port, Some("$management"), &[query("connection", &columns)]).remove(0);
        answer["body"]["results"].as_array().unwrap().clone()
    };
    let delete = |identity: &Value| {
        let properties = json!({"operation": "UPDATE", "type": "io.skupper.router.connection", "identity": identity});
        let request = json!({"properties": properties, "body": {"adminStatus": "deleted"}});
        ask(a.dir(), a.port, Some("$management"), &[request]).remove(0)["status"].clone()
    };
    let uplink = wait_for("the uplink of E", PATIENCE, || {
        connections().into_iter().find(|row| row[2] == "edge" && row[5] == true)
    });
    assert_eq!(delete(&uplink[0]), 403);
    conformance::tcp::wait_listening(port);
    let client = conformance::tcp::peers::client(port);
    let sockets = wait_for("both sockets of the flow", PATIENCE, || {
        let rows: Vec<Value> = connections().into_iter().filter(|row| row[1] == "tcp").collect();
        (rows.len() == 2).then_some(rows)
    });
    assert_eq!((&sockets[0][3], &sockets[1][3], &sockets[1][4]), (&json!("in"), &json!("out"), &json!("TcpAdaptor")));
    assert_eq!(delete(&sockets[1][0]), 200);
    wait_for("the end of the flow", PATIENCE, || connections().iter().all(|row| row[1] != "tcp").then_some(()));
    assert_eq!(connections().iter().filter(|row| row[2] == "edge").count(), 1);
    drop(client);
}
