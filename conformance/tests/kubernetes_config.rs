//! A configuration in the list form that Skupper's controller for Kubernetes writes starts as it is.

use std::io::{Read as _, Write as _};
use std::path::Path;

use conformance::agent::Agent;
use conformance::certs::Certs;
use conformance::client::Client;
use conformance::ports::free_port;
use conformance::process::wait_for;
use conformance::raw::V;
use conformance::router::{Config, PATIENCE, Router};
use conformance::tcp::peers;
use serde_json::{Value, json};

/// Ports of a site's router.
struct Ports {
    amqp: u16,
    amqps: u16,
    http: u16,
    interior: u16,
    edge: u16,
    service: u16,
}

/// What the controller writes for a site with one link, one listener and one connector. Its own words are kept: numbers and truth values
/// as JSON has them or as text, names with `@` in them, and a credential of which there is only the authority.
fn configuration(certs: &Certs, ports: &Ports, link: u16, server: u16) -> Value {
    let path = |path: &Path| path.display().to_string();
    let (ca, cert, key) = (path(&certs.ca), path(&certs.server.cert), path(&certs.server.key));
    let (link_cert, link_key) = (path(&certs.client.cert), path(&certs.client.key));
    let metadata =
        json!({"id": "7f6a1c3e-0d5b-4a52-9c61-3f0c36cbd7f0", "version": "2.1.1", "platform": "kubernetes"}).to_string();
    json!([
        ["router", {"id": "west-skupper-router-75c9f7d6b4-x2lqv", "mode": "interior", "helloMaxAgeSeconds": "3", "metadata": metadata,
                    "dataConnectionCount": "auto"}],
        ["network", {"networkId": ""}],
        ["site", {"name": "west", "location": "eu", "provider": "kind", "platform": "kubernetes", "namespace": "west",
                  "version": "2.1.1"}],
        ["sslProfile", {"name": "skupper-local-server", "certFile": cert, "privateKeyFile": key, "caCertFile": ca}],
        ["sslProfile", {"name": "skupper-site-server", "certFile": cert, "privateKeyFile": key, "caCertFile": ca, "ordinal": 0,
                        "oldestValidOrdinal": 0}],
        ["sslProfile", {"name": "link-east", "certFile": link_cert, "privateKeyFile": link_key, "caCertFile": ca, "ordinal": 1}],
        ["sslProfile", {"name": "link-east-profile", "caCertFile": ca}],
        ["listener", {"name": "amqp", "host": "localhost", "port": ports.amqp}],
        ["listener", {"name": "amqps", "port": ports.amqps, "sslProfile": "skupper-local-server", "saslMechanisms": "EXTERNAL",
                      "authenticatePeer": true}],
        ["listener", {"name": "@9090", "role": "normal", "port": ports.http, "http": true, "httpRootDir": "disabled", "healthz": true,
                      "metrics": true, "websockets": false}],
        ["listener", {"name": "skupper-router-inter-router", "role": "inter-router", "port": ports.interior,
                      "sslProfile": "skupper-site-server", "saslMechanisms": "EXTERNAL", "authenticatePeer": true, "maxFrameSize": 16384,
                      "maxSessionFrames": 640}],
        ["listener", {"name": "skupper-router-edge", "role": "edge", "port": ports.edge, "sslProfile": "skupper-site-server",
                      "saslMechanisms": "EXTERNAL", "authenticatePeer": true, "maxFrameSize": 16384, "maxSessionFrames": 640}],
        ["connector", {"name": "link-east", "role": "inter-router", "host": "localhost", "port": link.to_string(), "cost": 1,
                       "sslProfile": "link-east", "maxFrameSize": 16384, "maxSessionFrames": 640}],
        ["address", {"prefix": "mc", "distribution": "multicast"}],
        ["log", {"module": "ROUTER_CORE", "enable": "error+"}],
        ["log", {"module": "DEFAULT", "enable": "info+"}],
        ["tcpListener", {"name": "listener/backend", "host": "", "port": ports.service.to_string(), "address": "backend:8080",
                         "siteId": "7f6a1c3e-0d5b-4a52-9c61-3f0c36cbd7f0", "observer": "auto"}],
        ["tcpConnector", {"name": "connector/backend@127.0.0.1", "host": "127.0.0.1", "port": server.to_string(),
                          "address": "backend:8080", "siteId": "7f6a1c3e-0d5b-4a52-9c61-3f0c36cbd7f0",
                          "processId": "0b21cde4-9b9d-4b1f-8a0e-6a6d0a8a0a11", "verifyHostname": true}]
    ])
}

#[test]
fn the_controllers_configuration_starts_unchanged() {
    // The other site, which the link leads to.
    let mut east = Config::interior("east");
    let certs = Certs::new(east.dir(), "site");
    east.ssl_profile("site", &certs, Some(&certs.server));
    let link = free_port();
    let link_text = link.to_string();
    east.section(
        "listener",
        &[
            ("host", "127.0.0.1"),
            ("port", &link_text),
            ("role", "inter-router"),
            ("sslProfile", "site"),
            ("saslMechanisms", "EXTERNAL"),
            ("authenticatePeer", "yes"),
        ],
    );
    east.listener(&[]);
    let east = east.start();

    let server = peers::echo("backend");
    let ports = Ports {
        amqp: free_port(),
        amqps: free_port(),
        http: free_port(),
        interior: free_port(),
        edge: free_port(),
        service: free_port(),
    };
    let text = serde_json::to_string_pretty(&configuration(&certs, &ports, link, server)).unwrap();
    let west = Router::of_file("skrouterd.json", &text, ports.amqp);

    let mut agent = Agent::connect(ports.amqp);
    wait_for("the link", PATIENCE, || (agent.nodes().len() == 2).then_some(()));
    let rows = agent.rows("router", &["id", "helloMaxAgeSeconds", "metadata"]);
    assert_eq!((rows[0][0].text(), rows[0][1].number()), (Some("west-skupper-router-75c9f7d6b4-x2lqv"), Some(3)));
    let metadata: Value = serde_json::from_str(rows[0][2].text().unwrap()).unwrap();
    assert_eq!(metadata["platform"], "kubernetes");
    let site = agent.rows("site", &["name", "namespace", "platform"]);
    assert_eq!(site[0].iter().map(V::text).collect::<Vec<_>>(), [Some("west"), Some("west"), Some("kubernetes")]);
    let names = |agent: &mut Agent, ty: &str| {
        let rows = agent.rows(ty, &["name"]);
        rows.iter().map(|row| row[0].text().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        names(&mut agent, "listener"),
        ["amqp", "amqps", "@9090", "skupper-router-inter-router", "skupper-router-edge"]
    );
    assert_eq!(names(&mut agent, "sslProfile").len(), 4);
    assert_eq!(names(&mut agent, "tcpConnector"), ["connector/backend@127.0.0.1"]);

    // Clients with a certificate, the link in both directions, `mc` as multicast, and the service.
    let args = Client::ProtonPython.tls_args(&certs, true);
    let mut args: Vec<(&str, &str)> = args.iter().map(|(key, value)| (*key, value.as_str())).collect();
    args.extend([("address", "queue"), ("count", "10")]);
    let receiving = Client::ProtonPython.start(west.dir(), "recv", ports.amqps, &args).ready();
    let mut far = Agent::connect(east.port);
    far.wait_address("queue", 0, 1);
    let sent = Client::ProtonPython.run(east.dir(), "send", east.port, &[("address", "queue"), ("count", "10")]);
    assert_eq!(sent.last().unwrap()["accepted"], 10);
    assert_eq!(receiving.result()["received"], 10);
    let addresses = agent.rows("router.config.address", &["prefix", "distribution"]);
    assert_eq!(addresses[0].iter().map(V::text).collect::<Vec<_>>(), [Some("mc"), Some("multicast")]);
    conformance::tcp::wait_listening(ports.service);
    let mut client = peers::client(ports.service);
    client.write_all(b"hello").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
    assert!(west.stop().success());
}
