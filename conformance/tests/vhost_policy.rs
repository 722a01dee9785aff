//! What the policy lets clients do: limits for everybody, vhosts with groups of users, changes while the router runs, and what is counted.

use std::path::PathBuf;

use conformance::certs::Certs;
use conformance::client::{Client, Running};
use conformance::ports::free_port;
use conformance::requests::{ask, query, request};
use conformance::router::{Config, PATIENCE, Router};
use conformance::wait_for;
use serde_json::{Value, json};

/// A vhost as it stands in a file, with these options of its only group `all` added to what allows everything.
fn vhost(hostname: &str, options: &Value) -> Value {
    let mut all = json!({
        "users": "*", "remoteHosts": "127.0.0.1, ::1", "sources": "*", "targets": "*",
        "allowAnonymousSender": true, "allowDynamicSource": true,
    });
    for (name, value) in options.as_object().unwrap() {
        match value {
            Value::Null => drop(all.as_object_mut().unwrap().remove(name)),
            value => all[name] = value.clone(),
        }
    }
    json!({"hostname": hostname, "groups": {"all": all}})
}

fn manager() -> Value {
    vhost("manager", &json!({}))
}

/// A router with these vhosts in its `policyDir`, and one that management comes to.
fn router(policy: &[(&str, &str)], vhosts: &[Value]) -> Router {
    let mut config = Config::new();
    let dir = config.dir().join("policies");
    std::fs::create_dir(&dir).unwrap();
    let all: Vec<Value> = vhosts.iter().chain([&manager()]).map(|vhost| json!(["vhost", vhost])).collect();
    std::fs::write(dir.join("vhosts.json"), json!(all).to_string()).unwrap();
    std::fs::write(dir.join("notes.txt"), "no JSON").unwrap();
    let dir = dir.display().to_string();
    let attributes = [&[("enableVhostPolicy", "yes"), ("policyDir", dir.as_str())], policy].concat();
    config.section("policy", &attributes);
    config.listener(&[]);
    // Management comes here.
    config.listener(&[("policyVhost", "manager")]);
    config.start()
}

/// The port of the router's second listener.
fn management(router: &Router) -> u16 {
    let text = std::fs::read_to_string(router.dir().join("router.conf")).unwrap();
    let mut ports = text.lines().filter_map(|line| line.trim().strip_prefix("port: "));
    ports.next_back().unwrap().parse().unwrap()
}

fn asked(router: &Router, requests: &[Value]) -> Vec<Value> {
    ask(router.dir(), management(router), Some("$management"), requests)
}

/// All entities of a type, as maps.
fn rows(router: &Router, ty: &str) -> Vec<Value> {
    let answer = asked(router, &[query(ty, &[])]).remove(0);
    let names = answer["body"]["attributeNames"].as_array().unwrap().clone();
    let row = |values: &Value| {
        let pairs = names.iter().zip(values.as_array().unwrap());
        Value::Object(pairs.map(|(name, value)| (name.as_str().unwrap().to_owned(), value.clone())).collect())
    };
    answer["body"]["results"].as_array().unwrap().iter().map(row).collect()
}

fn stats(router: &Router, hostname: &str) -> Value {
    rows(router, "vhostStats").into_iter().find(|row| row["hostname"] == hostname).unwrap_or_default()
}

/// What the client says that tries to do things as a client of a host.
fn tried(router: &Router, vhost: &str, args: &[(&str, &str)]) -> Vec<Value> {
    Client::ProtonPython.run(router.dir(), "try", router.port, &[&[("vhost", vhost)], args].concat())
}

/// Links that were refused, and why.
fn refused(said: &[Value]) -> Vec<(String, String)> {
    let error = |line: &Value| Some((line["link"].as_str()?.to_owned(), line["error"][0].as_str()?.to_owned()));
    said.iter().filter_map(error).collect()
}

fn closed(said: &[Value]) -> Option<&Value> {
    said.iter().find_map(|line| line.get("closed"))
}

/// A connection that stays until it is told to end.
struct Held {
    client: Running,
    until: PathBuf,
}

impl Held {
    fn open(router: &Router, port: u16, vhost: &str, number: usize) -> Self {
        let until = router.dir().join(format!("end-{vhost}-{number}"));
        let path = until.display().to_string();
        let client = Client::ProtonPython.start(router.dir(), "try", port, &[("vhost", vhost), ("until", &path)]);
        Self { client: client.ready(), until }
    }

    fn end(self) {
        std::fs::write(&self.until, "").unwrap();
        self.client.finish(PATIENCE);
    }
}

const UNAUTHORIZED: &str = "amqp:unauthorized-access";
const LIMIT: &str = "amqp:resource-limit-exceeded";

#[test]
fn links_are_refused_that_no_group_allows() {
    let vhost = vhost(
        "shop",
        &json!({
            "sources": "news*, of-${user}", "targets": null, "targetPattern": "orders/*/new, ${user}.#",
            "allowAnonymousSender": false, "allowDynamicSource": "false", "maxReceivers": 3,
            "maxFrameSize": 2048, "maxSessions": 3, "maxMessageSize": 1000,
        }),
    );
    let router = router(&[], &[vhost]);
    let links = "in:orders/5/new,in:orders/5/old,in:,in:anonymous.x,in:nobody.x,out:news.today,out:of-anonymous,out:of-nobody,out:?,out:news,out:news";
    let said = tried(&router, "shop", &[("links", links)]);
    let expected = [
        ("in:orders/5/old", UNAUTHORIZED),
        ("in:", UNAUTHORIZED),
        ("in:nobody.x", UNAUTHORIZED),
        ("out:of-nobody", UNAUTHORIZED),
        ("out:?", UNAUTHORIZED),
        ("out:news", LIMIT),
    ];
    let expected: Vec<_> = expected.iter().map(|(link, why)| ((*link).to_owned(), (*why).to_owned())).collect();
    assert_eq!(refused(&said), expected, "{said:?}");
    assert_eq!((&said[0]["max_frame"], &said[0]["sessions"]), (&json!(2048), &json!(3)));
    let error = said.iter().find(|line| line["link"] == "in:").unwrap();
    assert_eq!(error["error"][1], "link disallowed by local policy");
    let first = said.iter().find(|line| line["link"] == "in:orders/5/new").unwrap();
    assert_eq!(first["max_message_size"], 1000);
    let shop = stats(&router, "shop");
    assert_eq!((&shop["senderDenied"], &shop["receiverDenied"]), (&json!(3), &json!(3)));
    assert_eq!(shop["connectionsApproved"], 1);
    let policy = &rows(&router, "policy")[0];
    assert_eq!((&policy["linksDenied"], &policy["totalDenials"]), (&json!(6), &json!(6)));
    let groups = rows(&router, "vhostUserGroupSettings");
    let group = groups.iter().find(|row| row["name"] == "vhostUserGroupSettings/shop/all").unwrap();
    assert_eq!((&group["maxReceivers"], &group["sources"]), (&json!(3), &json!("news*, of-${user}")));
}

#[test]
fn connections_are_refused_that_nobody_allows() {
    let mut few = vhost("few", &json!({}));
    few["maxConnections"] = json!(2);
    few["aliases"] = json!("some, less");
    let away = vhost("away", &json!({"remoteHosts": "10.0.0.0-10.0.0.255"}));
    let others = vhost("others", &json!({"users": "bob"}));
    let router = router(&[], &[few, away, others]);
    let disallowed = json!([LIMIT, "connection disallowed by local policy"]);
    for vhost in ["nowhere", "away", "others"] {
        assert_eq!(closed(&tried(&router, vhost, &[])), Some(&disallowed), "{vhost}");
    }
    let held = ["few", "some"].map(|name| Held::open(&router, router.port, name, 0));
    assert_eq!(closed(&tried(&router, "less", &[])), Some(&disallowed));
    let few = stats(&router, "few");
    assert_eq!((&few["connectionsCurrent"], &few["connectionsDenied"]), (&json!(2), &json!(1)));
    assert_eq!(few["perUserState"]["anonymous"].as_array().map(Vec::len), Some(2));
    held.into_iter().for_each(Held::end);
    assert_eq!(closed(&tried(&router, "few", &[])), None);
    wait_for("places that are given back", PATIENCE, || {
        (stats(&router, "few")["connectionsCurrent"] == 0).then_some(())
    });
}

#[test]
fn connections_are_counted_over_all_workers() {
    let mut config = Config::router(&[("mode", "standalone"), ("id", "QDR"), ("workerThreads", "3")]);
    config.section("policy", &[("maxConnections", "3")]);
    config.listener(&[]);
    let router = config.start();
    let held: Vec<_> = (0..3).map(|n| Held::open(&router, router.port, "any", n)).collect();
    let said = tried(&router, "any", &[]);
    assert_eq!(closed(&said).map(|error| error[0].clone()), Some(json!(LIMIT)));
    held.into_iter().for_each(Held::end);
    let answers = wait_for("a place", PATIENCE, || match closed(&tried(&router, "any", &[])) {
        None => Some(ask(
            router.dir(),
            router.port,
            Some("$management"),
            &[query("policy", &["connectionsDenied", "totalDenials"])],
        )),
        Some(_) => None,
    });
    assert!(answers[0]["body"]["results"][0][0].as_u64() >= Some(1), "{answers:?}");
}

#[test]
fn messages_go_where_they_may_and_name_who_sends_them() {
    let router = router(&[], &[vhost("shop", &json!({"targets": "orders, ${user}-in"}))]);
    let links = [("links", "out:orders,out:anonymous-in,out:secret,in:")];
    let messages = [("messages", "orders//5,secret//5,anonymous-in/anonymous/5,orders/eve/5,orders//5")];
    let said = tried(&router, "shop", &[links, messages].concat());
    let outcomes: Vec<_> = said.iter().filter(|line| line.get("outcome").is_some()).collect();
    let errors: Vec<&Value> = outcomes.iter().map(|line| &line["error"]).collect();
    let violation = json!([UNAUTHORIZED, "policy violation on target"]);
    let proxy = json!([UNAUTHORIZED, "user_id proxy violation"]);
    assert_eq!(errors, [&Value::Null, &violation, &Value::Null, &proxy, &Value::Null], "{said:?}");
    // The same on a link with a target, with and without the right to name others.
    let proxies = vhost("proxies", &json!({"allowUserIdProxy": true}));
    assert_eq!(asked(&router, &[request("CREATE", "vhost", "proxies", proxies)])[0]["status"], 201);
    for (host, refused) in [("shop", true), ("proxies", false)] {
        let said =
            tried(&router, host, &[("links", "out:orders,in:orders"), ("messages", "/eve/5,//5000,/anonymous/5")]);
        let outcomes: Vec<_> = said.iter().filter(|line| line.get("outcome").is_some()).collect();
        let errors: Vec<bool> = outcomes.iter().map(|line| !line["error"].is_null()).collect();
        assert_eq!(errors, [refused, false, false], "{host}: {said:?}");
    }
}

#[test]
fn large_messages_are_refused_as_soon_as_they_are() {
    let small = vhost("small", &json!({"maxMessageSize": 2000}));
    let router = router(&[("maxMessageSize", "100000")], &[small, vhost("medium", &json!({}))]);
    for (host, fits, exceeds) in [("small", 1900, 2001), ("medium", 99_000, 1_000_000)] {
        let messages = format!("//{fits},//{exceeds}");
        let said = tried(&router, host, &[("links", "out:a,in:a"), ("messages", &messages)]);
        let outcomes: Vec<_> = said.iter().filter(|line| line.get("outcome").is_some()).collect();
        assert_eq!(outcomes[0]["error"], Value::Null, "{said:?}");
        assert_eq!(closed(&said), Some(&json!(["amqp:connection:forced", "Message size exceeded"])), "{said:?}");
        if let Some(second) = outcomes.get(1) {
            assert_eq!(second["error"], json!(["amqp:link:message-size-exceeded", "Message size exceeded"]));
        }
        assert_eq!(stats(&router, host)["maxMessageSizeDenied"], 1);
    }
    let policy = &rows(&router, "policy")[0];
    assert_eq!((&policy["maxMessageSizeDenied"], &policy["totalDenials"]), (&json!(2), &json!(2)));
}

#[test]
fn vhosts_change_while_the_router_runs() {
    let router = router(&[("defaultVhost", "rest")], &[]);
    let denied = |vhost: &str| closed(&tried(&router, vhost, &[])).is_some();
    assert!(denied("shop"));
    let shop = vhost("shop", &json!({"sources": "a"}));
    let answer = asked(&router, &[request("CREATE", "vhost", "shop", shop)]).remove(0);
    assert_eq!((&answer["status"], &answer["body"]["hostname"]), (&json!(201), &json!("shop")));
    assert_eq!(refused(&tried(&router, "shop", &[("links", "out:a,out:b")])), [("out:b".into(), UNAUTHORIZED.into())]);
    let update = json!({"groups": vhost("", &json!({"sources": "b"}))["groups"], "aliases": "store"});
    let requests = [
        request("UPDATE", "vhost", "shop", update),
        request("READ", "vhost", "shop", json!({})),
        request("UPDATE", "vhost", "shop", json!({"hostname": "other"})),
        request("UPDATE", "vhost", "shop", json!({"groups": {"g": {"maxSenders": "many"}}})),
        request("CREATE", "vhost", "second", json!({"hostname": "second", "aliases": "shop"})),
        request("CREATE", "vhost", "third", json!({"hostname": "third", "allowUnknownUser": true})),
        request("CREATE", "vhost", "fourth", json!({"hostname": "fourth", "groups": {"g": {"remoteHosts": "a b"}}})),
        request("CREATE", "vhost", "fifth", json!({"hostname": "fifth", "maxConnections": -1})),
    ];
    let answers = asked(&router, &requests);
    let expected = [
        (200, "OK"),
        (200, "OK"),
        (400, "Cannot update attribute 'hostname'"),
        (400, "user group 'g' option 'maxSenders': expected a whole number"),
        (400, "defines alias 'shop' which conflicts with an existing vhost"),
        (400, "a user group '$default' is needed"),
        (400, "option 'remoteHosts': expected an address"),
        (400, "maxConnections: expected a whole number"),
    ];
    for (answer, (status, text)) in answers.iter().zip(expected) {
        let description = answer["description"].as_str().unwrap();
        assert!(answer["status"] == status && description.contains(text), "{answer} is not {status} {text}");
    }
    assert_eq!(answers[1]["body"]["aliases"], "store");
    assert_eq!(refused(&tried(&router, "store", &[("links", "out:a,out:b")])), [("out:a".into(), UNAUTHORIZED.into())]);
    assert_eq!(asked(&router, &[request("DELETE", "vhost", "shop", json!({}))])[0]["status"], 204);
    assert!(denied("shop") && denied("store"));
    let rest = vhost("rest", &json!({}));
    assert_eq!(asked(&router, &[request("CREATE", "vhost", "rest", rest)])[0]["status"], 201);
    assert!(!denied("shop"));
}

#[test]
fn users_with_certificates_have_their_groups() {
    let mut config = Config::new();
    let certs = Certs::new(config.dir(), "localhost");
    let text = |path: &std::path::Path| path.display().to_string();
    let (ca, cert, key) = (text(&certs.ca), text(&certs.server.cert), text(&certs.server.key));
    config
        .section("sslProfile", &[("name", "tls"), ("caCertFile", &ca), ("certFile", &cert), ("privateKeyFile", &key)]);
    config.section("policy", &[("enableVhostPolicy", "yes")]);
    let groups = r#"{
        "anonymous": {"users": "anonymous", "remoteHosts": "*", "sources": "public"},
        "$default": {"remoteHosts": "*", "sources": "public, private"}
    }"#;
    config.section("vhost", &[("hostname", "$default"), ("allowUnknownUser", "yes"), ("groups", groups)]);
    let tls = [("sslProfile", "tls"), ("saslMechanisms", "EXTERNAL ANONYMOUS"), ("authenticatePeer", "no")];
    config.listener(&tls);
    let router = config.start();
    for (mutual, refusals) in [(true, 0), (false, 1)] {
        let args = Client::ProtonPython.tls_args(&certs, mutual);
        let mut args: Vec<(&str, &str)> = args.iter().map(|(key, value)| (*key, value.as_str())).collect();
        args.push(("links", "out:public,out:private"));
        let said = Client::ProtonPython.run(router.dir(), "try", router.port, &args);
        assert_eq!(refused(&said).len(), refusals, "{said:?}");
    }
}

#[test]
fn connections_are_closed_by_those_who_may() {
    let router = router(&[], &[vhost("may not", &json!({"allowAdminStatusUpdate": false}))]);
    let held = Held::open(&router, management(&router), "any", 0);
    let connections = rows(&router, "connection");
    // The oldest is the one that is held.
    let number = |row: &Value| row["identity"].as_str().unwrap().parse::<u64>().unwrap();
    let identity = connections.iter().map(number).min().unwrap().to_string();
    let close = json!({
        "properties": {"operation": "UPDATE", "type": "io.skupper.router.connection", "identity": identity},
        "body": {"adminStatus": "deleted"},
    });
    let file = router.dir().join("close");
    std::fs::write(&file, format!("{close}\n")).unwrap();
    let path = file.display().to_string();
    let args = [("vhost", "may not"), ("address", "$management"), ("requests", path.as_str())];
    let answers = Client::ProtonPython.run(router.dir(), "manage", router.port, &args);
    assert_eq!(answers[0]["status"], 403, "{answers:?}");
    let answers = asked(&router, &[close]);
    assert_eq!(answers[0]["status"], 200, "{answers:?}");
    drop(held);
}

#[test]
fn peers_of_connectors_are_limited() {
    for (vhost, expected) in [("v", 1), ("nobody", 0)] {
        let port = free_port();
        let mut broker = Config::new();
        broker.listener_on(port, &[]);
        let broker = broker.start();
        let mut config = Config::new();
        config.section("policy", &[("enableVhostPolicy", "yes")]);
        config
            .section("vhost", &[("hostname", "v"), ("groups", r#"{"$connector": {"sources": "a", "targets": "a"}}"#)]);
        let text = port.to_string();
        config.section(
            "connector",
            &[("host", "127.0.0.1"), ("port", &text), ("role", "route-container"), ("policyVhost", vhost)],
        );
        config.section("autoLink", &[("address", "queue"), ("direction", "in"), ("containerId", "QDR")]);
        config.section("vhost", &[("hostname", "m"), ("groups", &manager()["groups"].to_string())]);
        config.listener(&[("policyVhost", "m")]);
        let router = config.start();
        let state = || {
            let answers = ask(router.dir(), router.port, Some("$management"), &[query("autoLink", &["operStatus"])]);
            answers[0]["body"]["results"][0][0].clone()
        };
        // What the router attaches itself nobody limits; a connection without its rules is closed.
        if expected == 1 {
            wait_for("an auto-link", PATIENCE, || (state() == "active").then_some(()));
        } else {
            let log = || router.process.output().contains("Failed to find policyVhost settings");
            wait_for("a refusal", PATIENCE, || log().then_some(()));
            assert_ne!(state(), "active");
        }
        drop(broker);
    }
}

#[test]
fn what_is_wrong_in_files_is_said_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let policies = dir.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    let bad = "[\n  [\"vhost\", {\"hostname\": \"h\",\n    \"groups\": {\"g\": {\"maxSenders\": \"many\"}}}]\n]\n";
    std::fs::write(policies.join("bad.json"), bad).unwrap();
    for (policy_dir, expected) in
        [(policies, "bad.json:3:15: Policy 'h' is invalid"), (dir.path().join("missing"), "policyDir: cannot read")]
    {
        let file = dir.path().join("router.conf");
        std::fs::write(&file, format!("policy {{\n    policyDir: {}\n}}\n", policy_dir.display())).unwrap();
        let mut command = std::process::Command::new(conformance::router::spanway());
        let output = command.args(["run", "--check", "-c"]).arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(expected), "{said}");
    }
}
