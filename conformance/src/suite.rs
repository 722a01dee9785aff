//! What every foreign client must be able to do through one router.
//!
//! `client_tests!` makes a test of each function; `tests/<client>.rs` call it. Libraries that let a program drain a
//! link and authenticate with EXTERNAL say so.

use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::certs::Certs;
use crate::client::Client;
use crate::matrix;
use crate::router::{Config, PATIENCE, Router};

/// Tests of a client with itself, each through a router of its own.
#[macro_export]
macro_rules! client_tests {
    ($client:expr) => {
        #[test]
        fn send_and_receive() {
            $crate::suite::send_and_receive($client);
        }
        #[test]
        fn presettled() {
            $crate::suite::presettled($client);
        }
        #[test]
        fn large_messages() {
            $crate::suite::large_messages($client);
        }
        #[test]
        fn request_and_reply() {
            $crate::suite::request_and_reply($client);
        }
        #[test]
        fn anonymous_relay() {
            $crate::suite::anonymous_relay($client);
        }
        #[test]
        fn outcomes() {
            $crate::suite::outcomes($client);
        }
        #[test]
        fn tls() {
            $crate::suite::tls($client);
        }
    };
    ($client:expr, drain and external) => {
        $crate::client_tests!($client);
        #[test]
        fn drain() {
            $crate::suite::drain($client);
        }
        #[test]
        fn tls_external() {
            $crate::suite::tls_external($client);
        }
    };
}

/// One message of `size` bytes, in a stream from a client of one router to a client of another.
pub fn stream(from: &Router, to: &Router, size: u64) {
    let text = size.to_string();
    let args = [("address", "stream"), ("size", text.as_str())];
    let limit = Duration::from_secs(300);
    let receiving = Client::ProtonPython.start(to.dir(), "stream-recv", to.port, &args).ready();
    let sent = Client::ProtonPython.start(from.dir(), "stream-send", from.port, &args).finish(limit);
    let received = receiving.finish(limit).pop().unwrap();
    assert_eq!((received["received"].as_u64(), &received["good"]), (Some(size), &true.into()), "{received}");
    assert_eq!(sent.last().unwrap()["state"], "ACCEPTED");
}

/// A message of 1 GiB, with which the memory of none of these routers grows by more than `limit` MiB.
pub fn stream_in_bounded_memory(from: &Router, to: &Router, routers: &[&Router], limit: u64) {
    const MIB: u64 = 1 << 20;
    stream(from, to, MIB);
    let peaks = || routers.iter().map(|router| router.process.peak_rss() / MIB).collect::<Vec<_>>();
    let before = peaks();
    stream(from, to, 1024 * MIB);
    let grown: Vec<u64> = peaks().iter().zip(before).map(|(after, before)| after - before).collect();
    println!("routers grew by {grown:?} MiB");
    assert!(grown.iter().all(|grown| *grown < limit), "grown by {grown:?} MiB");
}

/// A number of what a client printed.
pub fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_else(|| panic!("no {key} in {value}"))
}

/// `count` messages from a client of one router to a client of another, or the same, all accepted, in order.
pub fn exchange(from: (Client, &Router), to: (Client, &Router), args: &[(&str, &str)]) {
    let args = [&[("address", "exchange")], args].concat();
    let count: u64 = args.iter().find(|(key, _)| *key == "count").unwrap().1.parse().unwrap();
    let ((sender, near), (receiver, far)) = (from, to);
    let receiving = receiver.start(far.dir(), "recv", far.port, &args).ready();
    let sent = sender.start(near.dir(), "send", near.port, &args).result();
    let received = receiving.result();
    assert_eq!(number(&received, "received"), count);
    assert_eq!(received["ordered"], true, "{received}");
    assert_eq!(number(&sent, "sent"), count);
    if !args.iter().any(|(key, _)| *key == "settled") {
        assert_eq!(number(&sent, "accepted"), count, "{sent}");
    }
    if let Some((_, size)) = args.iter().find(|(key, _)| *key == "size") {
        assert_eq!(number(&received, "bytes"), count * size.parse::<u64>().unwrap());
    }
}

fn within(router: &Router, client: Client, args: &[(&str, &str)]) {
    exchange((client, router), (client, router), args);
}

/// 2,000 unsettled messages.
pub fn send_and_receive(client: Client) {
    within(&Router::plain(), client, &[("count", "2000")]);
}

/// 2,000 presettled messages: none is lost while a consumer is there.
pub fn presettled(client: Client) {
    // skrouterd drops presettled deliveries beyond its 250 credits; we push back.
    let count = if crate::router::foreign_router().is_some() { "200" } else { "2000" };
    within(&Router::plain(), client, &[("count", count), ("settled", "1")]);
}

/// Messages of many frames.
pub fn large_messages(client: Client) {
    within(&Router::plain(), client, &[("count", "4"), ("size", "10000000")]);
}

/// Requests, answered to a dynamic address through an anonymous sender.
pub fn request_and_reply(client: Client) {
    request_between(&Router::plain(), client, client);
}

/// The same between two clients.
pub fn request_between(router: &Router, requester: Client, responder: Client) {
    let address = format!("service-{requester}-{responder}");
    let args = [("address", address.as_str()), ("count", "20")];
    let responding = responder.start(router.dir(), "respond", router.port, &args).ready();
    let asked = requester.start(router.dir(), "request", router.port, &args).result();
    assert_eq!(number(&asked, "replies"), 20);
    // JMS makes temporary queues with a dynamic target, whose addresses have their own form.
    let prefix = if requester == Client::QpidJms { "amqp:/_$temp." } else { "amqp:/_topo/0/QDR/temp." };
    assert!(asked["reply_to"].as_str().unwrap().starts_with(prefix), "{asked}");
    assert_eq!(number(&responding.result(), "answered"), 20);
}

/// One sender without a target, two addresses in turn.
pub fn anonymous_relay(client: Client) {
    let router = Router::plain();
    // "one" gets m-0 only, "two" gets m-1: order within an address is checked elsewhere.
    let one = client.start(router.dir(), "recv", router.port, &[("address", "one"), ("count", "1")]).ready();
    let two = client.start(router.dir(), "recv", router.port, &[("address", "two"), ("count", "1")]).ready();
    let args = [("to", "one,two"), ("count", "2")];
    let sent = client.start(router.dir(), "send", router.port, &args).result();
    assert_eq!(number(&sent, "accepted"), 2);
    assert_eq!(number(&one.result(), "received"), 1);
    assert_eq!(number(&two.result(), "received"), 1);
}

/// Every outcome that a receiver gives is the one that the sender sees.
pub fn outcomes(client: Client) {
    outcomes_between(&Router::plain(), client, client);
}

/// The same between two clients.
pub fn outcomes_between(router: &Router, sender: Client, receiver: Client) {
    let address = format!("outcomes-{sender}-{receiver}");
    let args = [("address", address.as_str())];
    let receiving = receiver.start(router.dir(), "outcomes-recv", router.port, &args).ready();
    let line = sender.start(router.dir(), "outcomes-send", router.port, &args).result();
    assert_eq!(number(&receiving.result(), "handled"), 4);
    let seen = |name: &str| line["outcomes"][name].as_str().unwrap_or("nothing").to_owned();
    assert_eq!(seen("accept"), "accepted", "{sender} to {receiver}");
    assert!(seen("reject").starts_with("rejected"), "{sender} to {receiver}: {line}");
    assert_eq!(seen("release"), "released", "{sender} to {receiver}");
    assert!(seen("modify").starts_with("modified"), "{sender} to {receiver}: {line}");
    // Where the libraries let both sides see details, they are the same, too.
    let detailed = |client| matches!(client, Client::ProtonPython | Client::Rhea | Client::GoAmqp | Client::Fe2o3);
    if detailed(sender) && detailed(receiver) {
        assert_eq!(seen("reject"), "rejected:test:rejected:as told", "{sender} to {receiver}");
        assert_eq!(seen("modify"), "modified:failed=true:undeliverable=true", "{sender} to {receiver}");
    }
}

/// Draining gives what is there and ends; what comes later needs new credit.
pub fn drain(client: Client) {
    if client == Client::GoAmqp && crate::router::foreign_router().is_some() {
        // go-amqp asks with link-credit 0 and drain; skrouterd does not answer that.
        eprintln!("not against this router: go-amqp's drain is not answered by skrouterd");
        return;
    }
    let router = Router::plain();
    let args = [("address", "drained"), ("count", "3")];
    let draining = client.start(router.dir(), "drain", router.port, &args).ready();
    let sent = client.start(router.dir(), "send", router.port, &args).result();
    assert_eq!(number(&sent, "accepted"), 3);
    let drained = draining.result();
    assert_eq!(number(&drained, "received"), 3, "{drained}");
    assert!(number(&drained, "drains") >= 1, "{drained}");
}

/// A router with a TLS listener, and its certificates.
fn tls_router(mutual: bool) -> (Router, Certs) {
    let mut config = Config::new();
    let certs = Certs::new(config.dir(), "good");
    let path = |path: &Path| path.display().to_string();
    let (ca, cert, key) = (path(&certs.ca), path(&certs.server.cert), path(&certs.server.key));
    config
        .section("sslProfile", &[("name", "tls"), ("caCertFile", &ca), ("certFile", &cert), ("privateKeyFile", &key)]);
    let mut attributes = vec![("sslProfile", "tls"), ("requireSsl", "yes")];
    if mutual {
        attributes.extend([("saslMechanisms", "EXTERNAL"), ("authenticatePeer", "yes")]);
    }
    config.listener(&attributes);
    (config.start(), certs)
}

/// TLS with the server's certificate verified.
pub fn tls(client: Client) {
    let (router, certs) = tls_router(false);
    let args = client.tls_args(&certs, false);
    let args: Vec<(&str, &str)> = args.iter().map(|(key, value)| (*key, value.as_str())).collect();
    within(&router, client, &[&[("count", "500"), ("size", "2000")], &args[..]].concat());
    // A client that does not know the authority does not talk.
    let other = Certs::new(router.dir(), "other");
    let args = client.tls_args(&other, false);
    refused(&router, client, &args);
}

/// TLS with certificates of both sides and SASL EXTERNAL.
pub fn tls_external(client: Client) {
    let (router, certs) = tls_router(true);
    let args = client.tls_args(&certs, true);
    let args: Vec<(&str, &str)> = args.iter().map(|(key, value)| (*key, value.as_str())).collect();
    within(&router, client, &[&[("count", "500")], &args[..]].concat());
    // Without a certificate, or with one that the router's authority did not issue, there is no service.
    refused(&router, client, &client.tls_args(&certs, false));
    let mut other = Certs::new(router.dir(), "other");
    other.ca.clone_from(&certs.ca);
    refused(&router, client, &client.tls_args(&other, true));
}

fn refused(router: &Router, client: Client, args: &[(&str, String)]) {
    let mut args: Vec<(&str, &str)> = args.iter().map(|(key, value)| (*key, value.as_str())).collect();
    args.extend([("address", "refused"), ("count", "1")]);
    let mut running = client.start(router.dir(), "send", router.port, &args);
    let status = running.process.wait(PATIENCE);
    assert!(!status.success(), "{client} was served: {}", running.process.output());
}

/// The type matrix from one client to another.
pub fn types_between(router: &Router, sender: Client, receiver: Client) {
    let unreadable = matrix::cannot_read(receiver);
    let cases = matrix::write_cases(router.dir());
    let address = format!("types-{sender}-{receiver}");
    let missing = matrix::cannot_send(sender);
    let names: Vec<&str> = matrix::names().into_iter().filter(|name| !missing.contains(name)).collect();
    // go-amqp refuses some types by closing the link, so they are not sent to it at all.
    let fatal = |name: &str| receiver == Client::GoAmqp && unreadable.contains(&name) && name != "symbol";
    let skip: Vec<&str> = names.iter().copied().filter(|name| fatal(name)).collect();
    let names: Vec<&str> = names.into_iter().filter(|name| !fatal(name)).collect();
    let count = names.len().to_string();
    let cases = cases.display().to_string();
    let skip = skip.join(",");
    let args =
        [("address", address.as_str()), ("count", count.as_str()), ("cases", cases.as_str()), ("skip", skip.as_str())];
    let receiving = receiver.start(router.dir(), "types-recv", router.port, &args).ready();
    let sent = sender.start(router.dir(), "types-send", router.port, &args).finish(PATIENCE);
    let sent: Vec<&str> = sent.iter().filter_map(|line| line["sent"].as_str()).collect();
    for name in &names {
        assert!(sent.contains(name), "{sender} did not send {name}");
    }
    assert_eq!(sent.len(), names.len(), "{sender} sent more than it should be able to: {sent:?}");
    let received = receiving.finish(PATIENCE);
    for name in names.iter().filter(|name| !unreadable.contains(name)) {
        let line = received.iter().find(|line| line["name"] == *name);
        let line = line.unwrap_or_else(|| panic!("{receiver} did not print {name} from {sender}"));
        check_case(name, line, sender, receiver);
    }
}

fn check_case(name: &str, line: &Value, sender: Client, receiver: Client) {
    let Some(value) = matrix::expected_body(name) else {
        for (field, text) in matrix::PROPERTIES {
            let got = &line["properties"][*field];
            // JMS shows less of a message.
            if receiver == Client::QpidJms && got.is_null() {
                continue;
            }
            assert_eq!(got.as_str(), Some(*text), "{field}, {sender} to {receiver}");
        }
        return;
    };
    let body = matrix::substitute_body(sender, name).unwrap_or(&value);
    assert_eq!(line["body"].as_str(), Some(body), "body of {name}, {sender} to {receiver}");
    for place in ["prop", "ann"] {
        if let Some(got) = line[place].as_str() {
            assert_eq!(got, value, "{place} of {name}, {sender} to {receiver}");
        }
    }
}
