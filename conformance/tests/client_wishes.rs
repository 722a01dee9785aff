//! What clients ask for beyond AMQP: router annotations, another attempt for what is released, links of their own for streams, names for users.

use std::fs;

use conformance::agent::Agent;
use conformance::certs::Certs;
use conformance::client::{Client, Running};
use conformance::ports::free_port;
use conformance::router::{Config, PATIENCE, Router};
use conformance::suite::number;
use conformance::wait_for;
use serde_json::{Value, json};

/// A connects to B. Both have a listener for clients for each of these values of `stripAnnotations`, the first one without any.
struct Pair {
    a: Router,
    b: Router,
    strip: Vec<&'static str>,
    ports: [Vec<u16>; 2],
}

impl Pair {
    fn start(strip: &[&'static str]) -> Self {
        let link = free_port();
        let mut configs = ["A", "B"].map(Config::interior);
        let ports = configs.each_mut().map(|config| {
            config.section("address", &[("prefix", "copies"), ("distribution", "multicast")]);
            let plain = config.listener(&[]);
            let others = strip.iter().map(|strip| config.listener(&[("stripAnnotations", strip)]));
            [plain].into_iter().chain(others).collect()
        });
        let [mut a, mut b] = configs;
        b.accept_routers(link);
        a.connect_router(link);
        let (b, a) = (b.start(), a.start());
        Self { a, b, strip: strip.to_vec(), ports }
    }

    /// The port of A or B with this value.
    fn port(&self, router: usize, strip: &str) -> u16 {
        let at = self.strip.iter().position(|other| *other == strip).expect("a listener of the pair");
        self.ports[router][at + 1]
    }

    /// Waits until A knows that B has consumers of an address, of which A itself has so many.
    fn known(&self, address: &str, local: u64) {
        Agent::connect(self.a.port).wait_address(address, local, 1);
    }

    /// A receiver that says of each of `count` deliveries how it came.
    fn receiver(&self, port: u16, address: &str, count: &str, more: &[(&str, &str)]) -> Running {
        let args = [&[("address", address), ("count", count)], more].concat();
        Client::ProtonPython.start(self.b.dir(), "deliveries-recv", port, &args).ready()
    }
}

/// A message's annotations.
fn annotations(receiver: Running) -> Value {
    let said = receiver.finish(PATIENCE);
    let whole: Vec<&Value> = said.iter().filter(|line| line.get("link").is_some()).collect();
    assert_eq!(whole.len(), 1, "{said:?}");
    whole[0]["annotations"].clone()
}

/// One text, accepted.
fn send(router: &Router, port: u16, address: &str) {
    let sent = Client::ProtonPython.run(router.dir(), "send", port, &[("address", address)]);
    assert_eq!(number(&sent[0], "accepted"), 1, "{sent:?}");
}

/// A message with annotations of its client's.
fn annotated(pair: &Pair, port: u16, args: &[(&str, &str)]) -> Value {
    let said = Client::ProtonPython.run(pair.a.dir(), "annotated-send", port, args);
    said.last().expect("it says what became of it")["outcome"].clone()
}

#[test]
fn annotations_reach_clients_that_want_them() {
    let pair = Pair::start(&["in", "out", "both", "no"]);
    // Of what goes to another router, the sender's address is among them.
    let given = |address: &str| json!([0, address, "0/A", ["0/A", "0/B"]]);
    let listeners = [("in", true), ("no", true), ("out", false), ("both", false)];
    let wanted = |gets: bool, address: &str| if gets { given(address) } else { Value::Null };
    for (strip, gets) in listeners {
        let address = format!("to-{strip}");
        let receiver = pair.receiver(pair.port(1, strip), &address, "1", &[]);
        pair.known(&address, 0);
        send(&pair.a, pair.a.port, &address);
        assert_eq!(annotations(receiver), wanted(gets, &address), "{strip}");
    }
    // All of them have a copy of one message.
    let plain = pair.receiver(pair.b.port, "copies", "1", &[]);
    let copies = listeners.map(|(strip, _)| pair.receiver(pair.port(1, strip), "copies", "1", &[]));
    Agent::connect(pair.b.port).wait_address("copies", 5, 0);
    pair.known("copies", 0);
    send(&pair.a, pair.a.port, "copies");
    assert_eq!(annotations(plain), Value::Null);
    for (receiver, (strip, gets)) in copies.into_iter().zip(listeners) {
        assert_eq!(annotations(receiver), wanted(gets, "copies"), "{strip}");
    }
}

#[test]
fn annotations_of_clients_are_believed_where_that_is_asked_for() {
    let pair = Pair::start(&["in", "out", "both", "no"]);
    let said = [("ingress", "0/X"), ("flags", "128")];
    let own = |address: &str| json!([0, address, "0/A", ["0/A", "0/B"]]);
    let theirs = |address: &str| json!([128, address, "0/X", ["0/X", "0/A", "0/B"]]);
    let mut senders = vec![(pair.a.port, false)];
    let believed = [("in", false), ("both", false), ("out", true), ("no", true)];
    senders.extend(believed.map(|(strip, believed)| (pair.port(0, strip), believed)));
    for (port, believed) in senders {
        let address = format!("from-{port}");
        let receiver = pair.receiver(pair.port(1, "no"), &address, "1", &[]);
        pair.known(&address, 0);
        let args = [&[("address", address.as_str())], &said[..]].concat();
        assert_eq!(annotated(&pair, port, &args), "ACCEPTED");
        let wanted = if believed { theirs(&address) } else { own(&address) };
        assert_eq!(annotations(receiver), wanted, "from {port}, {:?}: {believed}", pair.strip);
    }
    // Where it goes is the client's to say only there, too.
    let receiver = pair.receiver(pair.port(1, "no"), "elsewhere", "1", &[]);
    pair.known("elsewhere", 0);
    let args = [&[("override", "elsewhere")], &said[..]].concat();
    assert_ne!(annotated(&pair, pair.a.port, &args), "ACCEPTED");
    assert_eq!(annotated(&pair, pair.port(0, "out"), &args), "ACCEPTED");
    assert_eq!(annotations(receiver), theirs("elsewhere"));
}

#[test]
fn what_is_released_goes_elsewhere_for_those_who_ask() {
    const COUNT: u64 = 200;
    let pair = Pair::start(&[]);
    let releaser = pair.receiver(pair.a.port, "jobs", "0", &[("release", "1")]);
    // Few at a time: what is given back waits for it.
    let worker = pair.receiver(pair.b.port, "jobs", "1000000", &[("credit", "5")]);
    for router in [&pair.a, &pair.b] {
        Agent::connect(router.port).wait_address("jobs", 1, 1);
    }
    let count = COUNT.to_string();
    let had = |receiver: &Running| receiver.process.output().matches("\"link\"").count() as u64;
    let send = |router: &Router, more: &[(&str, &str)]| {
        let before = [had(&releaser), had(&worker)];
        let args = [&[("address", "jobs"), ("count", count.as_str())], more].concat();
        let said = Client::ProtonPython.run(router.dir(), "send", router.port, &args).pop().unwrap();
        assert_eq!(number(&said, "accepted") + number(&said, "released"), COUNT, "{said}");
        (said, had(&releaser) - before[0], had(&worker) - before[1])
    };
    let (said, gave_back, done) = send(&pair.a, &[]);
    assert!(number(&said, "released") > 0, "{said}");
    assert_eq!((gave_back, done), (number(&said, "released"), number(&said, "accepted")));
    // From both routers: the one that gives back is here, and there. Each is done once.
    let wish = [("wish", "qd.resend-released")];
    let (said, gave_back, done) = send(&pair.a, &wish);
    assert_eq!((number(&said, "accepted"), done), (COUNT, COUNT), "{said}");
    assert!(gave_back > 0, "nothing was given back");
    let (said, _, done) = send(&pair.b, &wish);
    assert_eq!((number(&said, "accepted"), done), (COUNT, COUNT), "{said}");
}

/// What a receiver says of a stream from the other router, and of a text that is sent when half of the stream is there.
fn stream_and_text(offer: &[(&str, &str)]) -> Vec<Value> {
    const SIZE: &str = "100000";
    let pair = Pair::start(&[]);
    let mut receiver = pair.receiver(pair.b.port, "svc", "2", offer);
    pair.known("svc", 0);
    let end = pair.a.dir().join("end");
    let until = end.display().to_string();
    let args = [("address", "svc"), ("size", SIZE), ("until", until.as_str()), ("wish", "qd.streaming-deliveries")];
    let stream = Client::ProtonPython.start(pair.a.dir(), "stream-send", pair.a.port, &args);
    receiver.process.wait_output("\"begun\"", PATIENCE);
    let text = Client::ProtonPython.start(pair.a.dir(), "send", pair.a.port, &[("address", "svc")]);
    let text = if offer.is_empty() {
        Some(text)
    } else {
        // It passes the stream.
        assert_eq!(number(&text.result(), "accepted"), 1);
        None
    };
    fs::write(&end, "").unwrap();
    assert_eq!(stream.result()["state"], "ACCEPTED");
    assert!(text.is_none_or(|text| number(&text.result(), "accepted") == 1));
    receiver.finish(PATIENCE)
}

#[test]
fn streams_come_on_links_of_their_own_where_that_is_offered() {
    let whole = |link: &str, size: u64| json!({"link": link, "annotations": null, "size": size});
    let begun = |link: &str| json!({"begun": link});
    let end = [json!({"whole": 2})];
    let (own, theirs) = ("own", "of the router");
    let said = stream_and_text(&[("offer", "qd.streaming-links")]);
    let wanted = [json!({"ready": true}), begun(theirs), begun(own), whole(own, 3), whole(theirs, 100_000)];
    assert_eq!(said, [&wanted[..], &end].concat());
    let said = stream_and_text(&[]);
    let wanted = [json!({"ready": true}), begun(own), whole(own, 100_000), begun(own), whole(own, 3)];
    assert_eq!(said, [&wanted[..], &end].concat());
}

/// An open has capabilities in arrays. Proton's binding writes a list where it is given one.
#[test]
fn capabilities_may_come_in_a_list() {
    let router = Router::plain();
    let args = [("address", "svc"), ("offer", "one,two"), ("list", "1")];
    let receiver = Client::ProtonPython.start(router.dir(), "recv", router.port, &args).ready();
    send(&router, router.port, "svc");
    assert_eq!(number(&receiver.result(), "received"), 1);
}

#[test]
fn users_are_called_what_the_mapping_file_says() {
    let mut config = Config::new();
    config.listener(&[]);
    let certs = Certs::new(config.dir(), "good");
    let names = config.dir().join("names.json");
    fs::write(&names, r#"{"client": "somebody", "nobody": "else"}"#).unwrap();
    let [ca, cert, key, names] =
        [&certs.ca, &certs.server.cert, &certs.server.key, &names].map(|p| p.display().to_string());
    let files = [("caCertFile", ca.as_str()), ("certFile", &cert), ("privateKeyFile", &key), ("uidFormat", "n")];
    config.section("sslProfile", &[&[("name", "called"), ("uidNameMappingFile", names.as_str())], &files[..]].concat());
    config.section("sslProfile", &[&[("name", "not-called")], &files[..]].concat());
    let ports = ["called", "not-called"].map(|profile| {
        let secure = [("requireSsl", "yes"), ("saslMechanisms", "EXTERNAL"), ("authenticatePeer", "yes")];
        config.listener(&[&[("sslProfile", profile)], &secure[..]].concat())
    });
    let router = config.start();
    let args = Client::ProtonPython.tls_args(&certs, true);
    let args: Vec<(&str, &str)> = args.iter().map(|(key, value)| (*key, value.as_str())).collect();
    let args = [&[("address", "svc")], &args[..]].concat();
    for (port, name) in ports.into_iter().zip(["somebody", "client"]) {
        let client = Client::ProtonPython.start(router.dir(), "recv", port, &args).ready();
        let rows = Agent::connect(router.port).rows("connection", &["user", "sasl", "isAuthenticated"]);
        let external: Vec<_> = rows.iter().filter(|row| row[1].text() == Some("EXTERNAL")).collect();
        assert_eq!(external.len(), 1, "{rows:?}");
        assert_eq!((external[0][0].text(), external[0][2].is_true()), (Some(name), true), "{rows:?}");
        drop(client);
        wait_for("the end of the connection", PATIENCE, || {
            let rows = Agent::connect(router.port).rows("connection", &["sasl"]);
            rows.iter().all(|row| row[0].text() != Some("EXTERNAL")).then_some(())
        });
    }
}
