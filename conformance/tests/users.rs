//! Users with passwords, as the system's SASL library knows them: Proton Python and connectors of ours get in with the right ones only.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use conformance::agent::Agent;
use conformance::certs::Certs;
use conformance::client::Client;
use conformance::ports::free_port;
use conformance::raw::V;
use conformance::router::{Config, PATIENCE, Router};
use conformance::suite::number;
use conformance::wait_for;

/// The user of these tests.
const USER: &str = "ada@example.org";
const PASSWORD: &str = "analytical engine";

/// Settings for the library in a directory, and a database with the user.
fn sasl_files(dir: &Path) {
    let database = dir.join("users.sasldb");
    let settings = format!(
        "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: {}\nmech_list: SCRAM-SHA-256 DIGEST-MD5 PLAIN\n\
         sql_select: none\n",
        database.display()
    );
    fs::write(dir.join("tests.conf"), settings).unwrap();
    let (name, realm) = USER.split_once('@').unwrap();
    let mut tool = Command::new("/usr/sbin/saslpasswd2")
        .args(["-c", "-p", "-u", realm, "-f"])
        .arg(&database)
        .arg(name)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    tool.stdin.take().unwrap().write_all(PASSWORD.as_bytes()).unwrap();
    assert!(tool.wait().unwrap().success());
}

/// A configuration of a router that knows the user.
fn config(id: &str) -> Config {
    let config =
        Config::router(&[("mode", "interior"), ("id", id), ("saslConfigName", "tests"), ("saslConfigDir", ".")]);
    sasl_files(config.dir());
    config
}

/// Who is connected to a router by SASL, by container id.
fn users(router: &Router) -> Vec<(String, String)> {
    let rows = Agent::connect(router.port).rows("connection", &["sasl", "user", "isAuthenticated"]);
    let named = rows.iter().filter(|row| row[2].is_true() && row[0].text() != Some("ANONYMOUS"));
    let text = |value: &V| value.text().unwrap_or_default().to_owned();
    named.map(|row| (text(&row[0]), text(&row[1]))).collect()
}

/// A client is not let in.
fn refused(client: Client, router: &Router, port: u16, args: &[(&str, &str)]) {
    let mut client = client.start(router.dir(), "send", port, args);
    let status = client.process.wait(PATIENCE);
    assert!(!status.success());
    let output = client.process.output();
    assert!(
        ["Authentication failed", "failed to authenticate", "Could not find a suitable SASL"]
            .iter()
            .any(|text| output.contains(text)),
        "{output}"
    );
}

#[test]
fn clients_get_in_with_their_passwords() {
    let mut config = config("A");
    config.listener(&[]);
    let certs = Certs::new(config.dir(), "users");
    let [cert, key] = [&certs.server.cert, &certs.server.key].map(|path| path.display().to_string());
    config.section("sslProfile", &[("name", "server"), ("certFile", &cert), ("privateKeyFile", &key)]);
    let any = config.listener(&[("authenticatePeer", "yes"), ("saslMechanisms", "SCRAM-SHA-256 DIGEST-MD5 PLAIN")]);
    let secure = config.listener(&[("authenticatePeer", "yes"), ("sslProfile", "server"), ("saslMechanisms", "PLAIN")]);
    let all = free_port();
    let port = all.to_string();
    config.section("listener", &[("host", "127.0.0.1"), ("port", &port), ("authenticatePeer", "yes")]);
    let router = config.start();
    let tls: Vec<(&str, String)> = Client::ProtonPython.tls_args(&certs, false);
    let tls: Vec<(&str, &str)> = tls.iter().map(|(key, value)| (*key, value.as_str())).collect();
    use Client::{ProtonPython, QpidJms};
    for (client, port, mechanism, more) in [
        (ProtonPython, any, "PLAIN", &[][..]),
        (QpidJms, any, "PLAIN", &[]),
        (QpidJms, any, "SCRAM-SHA-256", &[]),
        (ProtonPython, secure, "PLAIN", &tls),
        (QpidJms, all, "SCRAM-SHA-256", &[]),
    ] {
        let args = |user, password| {
            [&[("user", user), ("password", password), ("mechanism", mechanism), ("address", "svc")], more].concat()
        };
        let admitted = client.start(router.dir(), "recv", port, &args(USER, PASSWORD)).ready();
        assert_eq!(users(&router), [(mechanism.to_owned(), USER.to_owned())]);
        drop(admitted);
        wait_for("the end of the connection", PATIENCE, || users(&router).is_empty().then_some(()));
        for (user, password) in [(USER, "wrong"), ("nobody@example.org", PASSWORD)] {
            refused(client, &router, port, &args(user, password));
        }
    }
    // In the clear only where it is asked for.
    let who = [("user", USER), ("password", PASSWORD), ("mechanism", "PLAIN"), ("address", "svc")];
    refused(ProtonPython, &router, all, &who);
    let nothing = [("user", USER), ("password", ""), ("mechanism", "PLAIN"), ("address", "svc")];
    refused(ProtonPython, &router, any, &nothing);
    // Others go on.
    let sent =
        Client::ProtonPython.start(router.dir(), "recv", router.port, &[("address", "svc"), ("count", "1")]).ready();
    let args = [("address", "svc"), ("user", USER), ("password", PASSWORD), ("mechanism", "PLAIN")];
    let outcome = Client::ProtonPython.run(router.dir(), "send", any, &args);
    assert_eq!(number(&outcome[0], "accepted"), 1, "{outcome:?}");
    sent.finish(PATIENCE);
}

#[test]
fn routers_get_in_with_their_passwords() {
    let port = free_port();
    let mut a = config("A");
    a.listener(&[]);
    let asks = [("role", "inter-router"), ("authenticatePeer", "yes"), ("saslMechanisms", "PLAIN")];
    a.listener_on(port, &asks);
    let a = a.start();
    let port = port.to_string();
    let connector = |id: &str, password: &str| {
        let mut config = Config::interior(id);
        config.listener(&[]);
        config.section(
            "connector",
            &[
                ("name", "up"),
                ("role", "inter-router"),
                ("host", "127.0.0.1"),
                ("port", &port),
                ("saslMechanisms", "PLAIN"),
                ("saslUsername", USER),
                ("saslPassword", password),
            ],
        );
        config.start()
    };
    let _b = connector("B", &format!("pass:{PASSWORD}"));
    wait_for("B to be known at A", PATIENCE, || {
        Agent::connect(a.port).nodes().iter().any(|node| node.id == "B" && node.cost.is_some()).then_some(())
    });
    // One without its password runs, and says what is wrong.
    let c = connector("C", "file:/no/such/file");
    let status = wait_for("the connector to be refused", PATIENCE, || {
        let rows = Agent::connect(c.port).rows("connector", &["connectionMsg"]);
        rows[0][0].text().filter(|text| text.contains("Authentication failed [mech=PLAIN]")).map(str::to_owned)
    });
    assert!(status.contains("amqp:unauthorized-access"), "{status}");
}

#[test]
fn a_mechanism_that_nobody_has_is_named() {
    let mut config = config("A");
    config.listener(&[]);
    let router = config.start();
    let mut agent = Agent::connect(router.port);
    let mut create = |name: &str, mechanisms: &str| {
        let attributes = [("port", "0"), ("host", "127.0.0.1"), ("saslMechanisms", mechanisms)];
        agent.create("listener", name, attributes.map(|(key, value)| (V::str(key), V::str(value))).to_vec())
    };
    let some = create("some", "SCRAM-SHA-256 NEVER-HEARD-OF");
    assert_eq!(some.status, 201, "{some:?}");
    let none = create("none", "NEVER-HEARD-OF");
    assert_ne!(none.status, 201);
    assert!(none.description.contains("libsasl2 does not offer NEVER-HEARD-OF with ./tests.conf, but "), "{none:?}");
}
