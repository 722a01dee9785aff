//! Requests and answers, without a connection: what comes in and goes out are encoded messages.

use std::sync::Arc;

use amqp_proto::message::{Body, Message, Properties};
use amqp_proto::{Encode as _, Raw, Uuid, Value};
use bytes::Bytes;
use proptest::prelude::*;
use router_core::config::{Configuration, Syntax};
use transport::Workers;

use super::{Agent, LogControl};
use crate::cli::LogArgs;
use crate::logging::{LogHandle, Settings};
use crate::router::entities::Running;

const CONFIGURATION: &str = "
router {
    mode: interior
    id: A
}
sslProfile {
    name: tls
    password: secret
}
address {
    prefix: news
    distribution: multicast
}
tcpListener {
    name: in
    address: svc
    host: 127.0.0.1
    port: 0
}
";

struct Fixture {
    workers: Workers,
    agent: Agent,
    runtime: tokio::runtime::Runtime,
}

/// What came back.
#[derive(Debug)]
struct Answer {
    status: i64,
    description: String,
    body: Value,
    message: Message,
}

impl Fixture {
    fn new() -> Self {
        let configuration = Configuration::from_text("test", Syntax::Text, CONFIGURATION).unwrap();
        let workers = Workers::start(2).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let agent = runtime.block_on(async {
            let running = Arc::new(Running::start(&configuration, workers.handles()).await.unwrap());
            let args = LogArgs::default();
            let log = LogControl { handle: LogHandle::new(Settings::new(args.log_format)), args };
            let (agent, _) = Agent::start(&configuration, running, workers.handles().to_vec(), log).await.unwrap();
            agent
        });
        Self { workers, agent, runtime }
    }

    fn send(&self, message: &Message) -> Option<Answer> {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        let answer = self.runtime.block_on(self.agent.answer(&Bytes::from(bytes), false))?;
        let message = Message::decode(&answer).unwrap();
        let properties = message.application_properties.as_ref().unwrap();
        let body = match &message.body {
            Body::Value(body) => body.clone(),
            other => panic!("{other:?}"),
        };
        Some(Answer {
            status: properties.get("statusCode").and_then(Value::as_i64).unwrap(),
            description: properties.get("statusDescription").and_then(Value::as_str).unwrap().to_owned(),
            body,
            message,
        })
    }

    fn ask(&self, properties: &[(&str, Value)], body: Value) -> Answer {
        self.send(&request(properties, body)).unwrap()
    }

    fn query(&self, ty: &str, attributes: &[&str]) -> Answer {
        let names = attributes.iter().map(|name| Value::from(*name)).collect();
        let body = Value::Map(vec![("attributeNames".into(), Value::List(names))]);
        self.ask(
            &[
                ("operation", "QUERY".into()),
                ("name", "self".into()),
                ("type", "org.amqp.management".into()),
                ("entityType", ty.into()),
            ],
            body,
        )
    }

    /// The refusal of a request.
    fn refusal(&self, properties: &[(&str, Value)], body: Value) -> (i64, String) {
        let answer = self.ask(properties, body);
        assert!(answer.status >= 400, "{answer:?}");
        assert_eq!(answer.body, Value::Map(Vec::new()));
        (answer.status, answer.description)
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.runtime.block_on(self.agent.running.stop(self.workers.handles()));
    }
}

fn request(properties: &[(&str, Value)], body: Value) -> Message {
    let map = properties.iter().map(|(name, value)| (Value::from(*name), value.clone())).collect();
    Message {
        properties: Some(Properties {
            reply_to: Some("amqp:/_topo/0/A/temp.x".into()),
            correlation_id: Some(Raw::from(&Value::from("7"))),
            ..Properties::default()
        }),
        application_properties: Some(Value::Map(map)),
        body: Body::Value(body),
        ..Message::default()
    }
}

fn none() -> Value {
    Value::Map(Vec::new())
}

fn results(answer: &Answer) -> &[Value] {
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body.get("results").and_then(Value::as_list).unwrap()
}

#[test]
fn answers_go_back_with_their_correlation() {
    let router = Fixture::new();
    for id in [Value::from("text"), Value::Ulong(9), Value::Uuid(Uuid([7; 16])), Value::Binary("b".into())] {
        let mut message = request(&[("operation", "GET-ANNOTATIONS".into())], none());
        message.properties.as_mut().unwrap().correlation_id = Some(Raw::from(&id));
        let answer = router.send(&message).unwrap();
        assert_eq!((answer.status, answer.description.as_str()), (200, "OK"));
        let properties = answer.message.properties.as_ref().unwrap();
        assert_eq!(properties.to.as_ref().and_then(|to| to.as_str()), Some("amqp:/_topo/0/A/temp.x"));
        assert_eq!(properties.correlation_id.as_ref().unwrap().to_value().unwrap(), id);
        // As the reference writes it: a 32-bit integer.
        let status = answer.message.application_properties.as_ref().unwrap().get("statusCode");
        assert_eq!(status, Some(&Value::Int(200)));
    }
}

#[test]
fn without_a_place_for_the_answer_there_is_none() {
    let router = Fixture::new();
    let mut message = request(&[("operation", "QUERY".into())], none());
    message.properties.as_mut().unwrap().reply_to = None;
    assert!(router.send(&message).is_none());
    message.properties = None;
    assert!(router.send(&message).is_none());
    let garbage = Bytes::from_static(b"\x00\x53\x73nonsense");
    assert!(router.runtime.block_on(router.agent.answer(&garbage, false)).is_none());
}

#[test]
fn entities_are_queried() {
    let router = Fixture::new();
    let answer = router.query("io.skupper.router.router", &["id", "mode", "area", "identity", "metadata"]);
    assert_eq!(
        answer.body.get("attributeNames"),
        Some(&Value::List(["id", "mode", "area", "identity", "metadata"].map(Value::from).to_vec()))
    );
    let row = Value::List(vec!["A".into(), "interior".into(), "0".into(), "router/A".into(), Value::Null]);
    assert_eq!(results(&answer), [row]);

    // Short names, and all attributes.
    let answer = router.query("listenerAddress", &[]);
    assert!(results(&answer).is_empty());
    assert!(answer.body.get("attributeNames").unwrap().as_list().unwrap().contains(&"value".into()));

    let answer = router.query("tcpListener", &["name", "connectionsOpened", "operStatus", "type"]);
    let row = ["in".into(), Value::Long(0), "down".into(), "io.skupper.router.tcpListener".into()];
    assert_eq!(results(&answer), [Value::List(row.to_vec())]);

    // Secrets stay secret.
    let answer = router.query("sslProfile", &["name", "password"]);
    assert_eq!(results(&answer), [Value::List(vec!["tls".into(), Value::Null])]);
}

#[test]
fn a_base_type_means_all_that_extend_it() {
    let router = Fixture::new();
    let types = |answer: &Answer| -> Vec<String> {
        let row = |row: &Value| row.as_list().unwrap()[0].as_str().unwrap().to_owned();
        results(answer).iter().map(row).collect()
    };
    let configured = types(&router.query("configurationEntity", &["type"]));
    assert!(configured.contains(&"io.skupper.router.tcpListener".to_owned()), "{configured:?}");
    assert!(!configured.contains(&"io.skupper.router.routerMetrics".to_owned()));
    let all = types(&router.ask(
        &[("operation", "QUERY".into())],
        Value::Map(vec![("attributeNames".into(), Value::List(vec!["type".into()]))]),
    ));
    assert!(all.len() > configured.len() && all.contains(&"io.skupper.router.management".to_owned()), "{all:?}");
}

#[test]
fn queries_are_answered_in_pages() {
    let router = Fixture::new();
    let page = |offset: i64, count: i64| {
        let answer = router.ask(
            &[
                ("operation", "QUERY".into()),
                ("entityType", "log".into()),
                ("offset", Value::Long(offset)),
                ("count", Value::Long(count)),
            ],
            Value::Map(vec![("attributeNames".into(), Value::List(vec!["module".into()]))]),
        );
        results(&answer).to_vec()
    };
    let all = page(0, -1);
    assert!(all.len() > 5);
    let mut paged = Vec::new();
    loop {
        let next = page(i64::try_from(paged.len()).unwrap(), 5);
        let got = next.len();
        paged.extend(next);
        if got < 5 {
            break;
        }
    }
    assert_eq!(paged, all);
    assert!(page(1000, 5).is_empty());
    assert!(page(0, 0).is_empty());
}

#[test]
fn traffic_is_queried() {
    let router = Fixture::new();
    let answer =
        router.query("io.skupper.router.router.address", &["name", "inProcess", "subscriberCount", "nonsense"]);
    let row = |name: &str| Value::List(vec![name.into(), Value::Long(1), Value::Long(0), Value::Null]);
    let found = results(&answer);
    assert!(found.contains(&row("L$management")) && found.contains(&row("M$management")), "{found:?}");
    for ty in ["connection", "router.link", "allocator"] {
        assert!(results(&router.query(ty, &[])).is_empty(), "{ty}");
    }
    let answer = router.query("routerMetrics", &["id", "connectionCount", "linkCount"]);
    assert_eq!(results(&answer), [Value::List(vec!["A".into(), Value::Long(0), Value::Long(0)])]);
    let answer = router.query("router.node", &["id", "nextHop"]);
    assert_eq!(results(&answer), [Value::List(vec!["A".into(), "(self)".into()])]);
}

#[test]
fn entities_are_read() {
    let router = Fixture::new();
    let read = |properties: &[(&str, &str)]| {
        let mut all: Vec<(&str, Value)> = properties.iter().map(|(name, value)| (*name, Value::from(*value))).collect();
        all.push(("operation", "read".into()));
        router.ask(&all, none())
    };
    for properties in [
        &[("type", "tcpListener"), ("name", "in")][..],
        &[("identity", "tcpListener/127.0.0.1:0:in")],
        &[("name", "in"), ("identity", "tcpListener/127.0.0.1:0:in"), ("type", "entity")],
    ] {
        let answer = read(properties);
        assert_eq!(answer.status, 200, "{properties:?}: {answer:?}");
        assert_eq!(answer.body.get("address"), Some(&"svc".into()));
        assert_eq!(answer.body.get("siteId"), None, "what is not set is left out");
    }
    assert_eq!(read(&[]).body.get("name"), Some(&"self".into()));
    let node = read(&[("type", "router.node"), ("identity", "router.node/A")]);
    assert_eq!(node.body.get("id"), Some(&"A".into()));
    let address = read(&[("type", "io.skupper.router.router.address"), ("name", "M$management")]);
    assert_eq!(address.body.get("key"), Some(&"M$management".into()), "{address:?}");
}

#[test]
fn wrong_requests_are_refused() {
    let router = Fixture::new();
    let refusal = |properties: &[(&str, &str)]| {
        let all: Vec<_> = properties.iter().map(|(name, value)| (*name, Value::from(*value))).collect();
        router.refusal(&all, none())
    };
    for (properties, status, text) in [
        (&[][..], 400, "No 'operation' property"),
        (&[("operation", "NONSENSE")], 501, "Operation 'NONSENSE' not implemented for 'io.skupper.router.management'"),
        (&[("operation", "QUERY"), ("entityType", "nonsense")], 400, "No such entity type 'nonsense'"),
        (&[("operation", "QUERY"), ("offset", "x")], 400, "'offset' has to be an integer"),
        (&[("operation", "QUERY"), ("name", "in")], 501, "not implemented for 'io.skupper.router.tcpListener'"),
        (&[("operation", "GET-TYPES"), ("type", "tcpListener")], 400, "tcpListener: No name or identity provided"),
        (&[("operation", "GET-TYPES"), ("entityType", "x")], 400, "No such entity type 'x'"),
        (&[("operation", "READ"), ("type", "x"), ("name", "y")], 400, "No such entity type 'x'"),
        (
            &[("operation", "READ"), ("type", "listener")],
            400,
            "io.skupper.router.listener: No name or identity provided",
        ),
        (&[("operation", "READ"), ("name", "nobody")], 404, "No entity with name=nobody"),
        (&[("operation", "READ"), ("identity", "router.node/B")], 404, "No entity with identity=router.node/B"),
        (&[("operation", "READ"), ("type", "listener"), ("name", "in")], 400, "does not extend requested type"),
        (&[("operation", "READ"), ("type", "connection"), ("name", "x")], 400, "Identity required"),
        (&[("operation", "READ"), ("type", "connection"), ("identity", "x")], 404, "Not Found"),
        (&[("operation", "READ"), ("type", "router.link"), ("identity", "99")], 404, "Not Found"),
        (&[("operation", "READ"), ("type", "router.address"), ("identity", "Mx")], 404, "Not Found"),
        (&[("operation", "READ"), ("type", "routerMetrics"), ("identity", "1")], 403, "Forbidden"),
        (&[("operation", "UPDATE"), ("name", "router/A")], 501, "Operation 'UPDATE' not implemented"),
        (&[("operation", "UPDATE")], 400, "No name or identity provided"),
        (&[("operation", "DELETE"), ("name", "router/A")], 501, "Operation 'DELETE' not implemented"),
        (&[("operation", "DELETE"), ("type", "router.link"), ("identity", "1")], 404, "Not Found"),
        (&[("operation", "DELETE"), ("name", "nobody")], 404, "No entity with name=nobody"),
        (&[("operation", "CREATE")], 400, "No 'type' attribute"),
        (&[("operation", "CREATE"), ("type", "x")], 400, "No such entity type 'x'"),
        (&[("operation", "CREATE"), ("type", "router.link")], 501, "Operation 'CREATE' not implemented"),
        (&[("operation", "CREATE"), ("type", "router")], 501, "Operation 'CREATE' not implemented"),
        (&[("operation", "CREATE"), ("type", "entity")], 501, "Operation 'CREATE' not implemented"),
    ] {
        let (found, description) = refusal(properties);
        assert_eq!(found, status, "{properties:?}: {description}");
        assert!(description.contains(text), "{properties:?}: {description}");
    }
}

#[test]
fn wrong_bodies_are_refused() {
    let router = Fixture::new();
    let query = [("operation", Value::from("QUERY")), ("entityType", "listener".into())];
    let names = |value: Value| Value::Map(vec![("attributeNames".into(), value)]);
    for (body, text) in [
        (Value::List(vec![1_i64.into()]), "The body of the request has to be a map"),
        (Value::from("text"), "The body of the request has to be a map"),
        (names("id".into()), "attributeNames has to be a list of strings"),
        (names(Value::List(vec![1_i64.into()])), "attributeNames has to be a list of strings"),
    ] {
        let (status, description) = router.refusal(&query, body);
        assert_eq!((status, description.as_str()), (400, text));
    }
    let (status, description) = router.refusal(&query, names(Value::List(vec!["host".into(), "x".into()])));
    assert_eq!(status, 404);
    assert_eq!(description, "Unknown attributes ['x'] for type io.skupper.router.listener.");
    let (status, _) = router.refusal(&[("operation", 5_i64.into())], none());
    assert_eq!(status, 400);
    let (status, description) = router.refusal(&[("operation", "READ".into()), ("name", 5_i64.into())], none());
    assert_eq!((status, description.as_str()), (400, "The property 'name' has to be a string"));

    let create = [("operation", Value::from("CREATE")), ("type", "tcpListener".into())];
    let attributes = |entries: &[(&str, Value)]| {
        Value::Map(entries.iter().map(|(name, value)| (Value::from(*name), value.clone())).collect())
    };
    for (body, text) in [
        (Value::List(Vec::new()), "has to be a map"),
        (attributes(&[]), "port"),
        (attributes(&[("port", "1".into()), ("prot", "1".into())]), "did you mean `port`?"),
        (attributes(&[("port", "many".into())]), "a port"),
        (attributes(&[("port", Value::Uuid(Uuid([0; 16])))]), "of a type that is not known here"),
        (attributes(&[("port", "1".into()), ("type", "listener".into())]), "Conflicting values for 'type'"),
        (attributes(&[("port", "1".into()), ("identity", "x".into())]), "'identity' attribute cannot be specified"),
        (attributes(&[("port", "1".into()), ("bytesIn", 1_i64.into())]), "can only be read"),
        (attributes(&[("port", "0".into()), ("name", "in".into()), ("address", "svc".into())]), "there already is"),
        (Value::Map(vec![(1_i64.into(), "x".into())]), "Names of attributes have to be strings"),
    ] {
        let (status, description) = router.refusal(&create, body.clone());
        assert_eq!(status, 400, "{body:?}: {description}");
        assert!(description.contains(text), "{body:?}: {description}");
    }
}

#[test]
fn entities_are_created_and_deleted() {
    let router = Fixture::new();
    let body = Value::Map(vec![
        ("address".into(), "more".into()),
        ("host".into(), "127.0.0.1".into()),
        ("port".into(), "0".into()),
    ]);
    let create =
        [("operation", "CREATE".into()), ("type", "io.skupper.router.tcpConnector".into()), ("name", "out".into())];
    let answer = router.ask(&create, body.clone());
    assert_eq!((answer.status, answer.description.as_str()), (201, "Created"), "{answer:?}");
    assert_eq!(answer.body.get("identity"), Some(&"tcpConnector/127.0.0.1:0:out".into()));
    assert_eq!(answer.body.get("verifyHostname"), Some(&true.into()), "defaults are filled in");
    assert_eq!(results(&router.query("tcpConnector", &["name"])).len(), 1);
    let (status, description) = router.refusal(&create, body);
    assert_eq!(status, 400, "{description}");

    let answer =
        router.ask(&[("operation", "DELETE".into()), ("type", "tcpConnector".into()), ("name", "out".into())], none());
    assert_eq!((answer.status, answer.description.as_str()), (204, "No Content"), "{answer:?}");
    assert_eq!(answer.body, none());
    assert!(results(&router.query("tcpConnector", &["name"])).is_empty());

    // What cannot be put to work is not there afterwards.
    let body = Value::Map(vec![("name".into(), "bad".into()), ("certFile".into(), "/nonexistent.pem".into())]);
    let (status, description) = router.refusal(&[("operation", "CREATE".into()), ("type", "sslProfile".into())], body);
    assert_eq!(status, 400);
    assert!(description.contains("/nonexistent.pem"), "{description}");
    assert_eq!(results(&router.query("sslProfile", &["name"])).len(), 1);
}

#[test]
fn log_settings_are_changed() {
    let router = Fixture::new();
    let update = |attributes: &[(&str, Value)]| {
        let body = attributes.iter().map(|(name, value)| (Value::from(*name), value.clone())).collect();
        let properties = [("operation", "UPDATE".into()), ("type", "log".into()), ("identity", "log/SERVER".into())];
        router.ask(&properties, Value::Map(body))
    };
    let answer = update(&[("enable", "debug+".into()), ("identity", "log/SERVER".into())]);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body.get("enable"), Some(&"debug+".into()));
    for (name, value) in [("enable", "nonsense"), ("module", "AGENT"), ("outputFile", "/nonexistent/x"), ("x", "y")] {
        let answer = update(&[(name, value.into())]);
        assert_eq!(answer.status, 400, "{name}: {answer:?}");
    }
    let answer = router.ask(&[("operation", "READ".into()), ("identity", "log/SERVER".into())], none());
    assert_eq!(answer.body.get("enable"), Some(&"debug+".into()));
    assert_eq!(answer.body.get("outputFile"), None, "what failed changed nothing");
}

#[test]
fn listeners_are_changed() {
    let router = Fixture::new();
    let update = |name: &str, value: &str| {
        let body = Value::Map(vec![(name.into(), value.into())]);
        router.ask(&[("operation", "UPDATE".into()), ("type", "tcpListener".into()), ("name", "in".into())], body)
    };
    let answer = update("observer", "http1");
    assert_eq!((answer.status, answer.body.get("observer")), (200, Some(&"http1".into())));
    let answer = update("port", "1");
    assert_eq!((answer.status, answer.description.as_str()), (400, "Cannot update attribute 'port' in UPDATE"));
    assert_eq!(update("port", "0").status, 200, "that is what it is");
}

#[test]
fn the_schema_is_told() {
    let router = Fixture::new();
    let ask = |operation: &str| router.ask(&[("operation", operation.into())], none());
    let types = ask("GET-TYPES");
    let bases = types.body.get("io.skupper.router.listener").unwrap();
    let expected = ["io.skupper.router.configurationEntity", "io.skupper.router.entity"].map(Value::from);
    assert_eq!(bases, &Value::List(expected.to_vec()));
    let attributes = ask("GET-ATTRIBUTES");
    let of_link = attributes.body.get("io.skupper.router.router.link").unwrap().as_list().unwrap();
    assert!(of_link.contains(&"settleRate".into()));
    let operations = router.ask(&[("operation", "GET-OPERATIONS".into()), ("entityType", "sslProfile".into())], none());
    let expected = ["CREATE", "UPDATE", "DELETE", "READ"].map(Value::from);
    let expected = vec![("io.skupper.router.sslProfile".into(), Value::List(expected.to_vec()))];
    assert_eq!(operations.body, Value::Map(expected));
    assert_eq!(ask("GET-LOG").body, Value::List(Vec::new()), "this log has no entries");
    assert_eq!(ask("GET-MGMT-NODES").body, Value::List(vec!["amqp:/_topo/0/A/$management".into()]));
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Boolean),
        any::<i64>().prop_map(Value::Long),
        any::<u64>().prop_map(Value::Ulong),
        prop_oneof![
            Just("QUERY"),
            Just("READ"),
            Just("CREATE"),
            Just("DELETE"),
            Just("UPDATE"),
            Just("self"),
            Just("in"),
            Just("tcpListener"),
            Just("router.link"),
            Just("entity"),
            Just("id"),
            Just("0"),
            Just(""),
        ]
        .prop_map(Value::from),
        "[a-z/]{0,5}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::List),
            prop::collection::vec((inner.clone(), inner), 0..3).prop_map(Value::Map),
        ]
    })
}

#[test]
fn every_request_is_answered() {
    let router = Fixture::new();
    const NAMES: &[&str] = &["operation", "type", "entityType", "name", "identity", "offset", "count"];
    let properties = prop::collection::vec((prop::sample::select(NAMES), any_value()), 0..6);
    proptest!(ProptestConfig::with_cases(200), |(properties in properties, body in any_value())| {
        let answer = router.ask(&properties, body);
        prop_assert!((200..=501).contains(&answer.status));
        prop_assert!(!answer.description.is_empty());
    });
}
