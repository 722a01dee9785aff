//! `spanway check` beside faults that people meet: each is found, with the right remedy.
#![allow(clippy::expect_used, reason = "helpers of tests fail as tests do")]

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "send_recv/peer.rs"]
mod peer;
#[allow(dead_code, reason = "other tests use the rest")]
#[path = "send_recv/process.rs"]
mod process;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;

use amqp_proto::Error;
use amqp_proto::connection::Event;
use peer::Peer;
use process::{Router, Running, recv, send, tool};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use serde_json::Value;

/// What a check found.
struct Checked {
    status: i32,
    text: String,
    step: String,
    found: String,
    remedy: String,
}

/// Checks, in both forms of output.
fn check(url: &str, arguments: &[&str]) -> Checked {
    let run = |more: &[&str]| {
        let all = [&["check", "--url", url][..], arguments, more].concat();
        Running::start(tool(&all)).end()
    };
    let ended = run(&["-o", "json"]);
    let json: Value = serde_json::from_str(&ended.stdout).expect("valid JSON");
    assert_eq!(json["ok"], ended.status == 0, "{json}");
    let steps = json["steps"].as_array().expect("steps");
    let last = steps.last().expect("a step");
    let text = |key: &str| last[key].as_str().unwrap_or_default().to_owned();
    let (step, found, remedy) = (json["failed"].as_str().unwrap_or_default().to_owned(), text("found"), text("remedy"));
    assert_eq!(step.is_empty(), ended.status == 0, "{json}");
    Checked { status: ended.status, text: json.to_string(), step, found, remedy }
}

impl Checked {
    /// It failed at `step`, saying and advising this.
    fn failed(&self, step: &str, found: &str, remedy: &str) {
        assert_eq!((self.status, self.step.as_str()), (1, step), "{}", self.text);
        assert!(self.found.contains(found), "{} has no `{found}`", self.found);
        assert!(self.remedy.contains(remedy), "{} has no `{remedy}`", self.remedy);
    }
}

/// Certificates of one authority, in files.
struct Certs {
    dir: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Certs {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "our authority");
        std::fs::write(dir.path().join("ca.pem"), params.self_signed(&key).expect("signed").pem()).expect("written");
        Self { dir, issuer: Issuer::new(params, key) }
    }

    /// A router that shows a certificate for this host, valid in these years.
    fn router(&self, host: &str, years: std::ops::Range<i32>) -> (Router, String) {
        let mut params = CertificateParams::new(vec![host.to_owned()]).expect("valid");
        params.distinguished_name.push(DnType::CommonName, "router");
        params.not_before = date_time_ymd(years.start, 1, 1);
        params.not_after = date_time_ymd(years.end, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let (cert_file, key_file) = (self.path("router.pem"), self.path("router.key"));
        std::fs::write(&cert_file, params.signed_by(&key, &self.issuer).expect("signed").pem()).expect("written");
        std::fs::write(&key_file, key.serialize_pem()).expect("written");
        let router = Router::start_with(&["--listen", "amqps://127.0.0.4:0", "--cert", &cert_file, "--key", &key_file]);
        let url = format!("amqps://{}", router.place("127.0.0.4"));
        (router, url)
    }

    fn path(&self, name: &str) -> String {
        Path::new(self.dir.path()).join(name).to_string_lossy().into_owned()
    }
}

/// A server that answers everything alike.
fn server(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let place = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        let mut held = Vec::new();
        while let Ok((mut socket, _)) = listener.accept() {
            let _ = socket.read(&mut [0; 512]);
            let _ = socket.write_all(answer);
            if answer.is_empty() {
                held.push(socket);
            }
        }
    });
    place.to_string()
}

#[test]
fn all_is_well() {
    let router = Router::start();
    let checked = check(&router.url, &[]);
    assert_eq!(checked.status, 0, "{}", checked.text);
    let _receiver = Running::start(recv(&router.url, &["news"]));
    wait_for_consumer(&router, "news");
    let ended = Running::start(tool(&["check", "news", "--url", &router.url])).end();
    assert_eq!(ended.status, 0, "{}", ended.stdout);
    for step in ["name", "TCP", "SASL", "AMQP", "version", "permission", "agent", "path", "consumers", "credit"] {
        let line = ended.stdout.lines().find(|line| line.get(6..).is_some_and(|rest| rest.starts_with(step)));
        assert!(line.is_some_and(|line| line.starts_with("ok ")), "{step}: {}", ended.stdout);
    }
    assert!(ended.stdout.contains("1 consumer, with credit for "), "{}", ended.stdout);
}

/// Waits until an address has a consumer that takes messages.
fn wait_for_consumer(router: &Router, address: &str) {
    let mut all = send(&router.url, &[address, "first", "--timeout", "60s"]);
    all.stdin(std::process::Stdio::null());
    assert_eq!(Running::start(all).end().status, 0);
}

#[test]
fn the_host_has_no_address() {
    check("amqp://no-such-host.invalid:5672", &[]).failed(
        "name",
        "no-such-host.invalid has no address",
        "getent hosts",
    );
}

#[test]
fn nothing_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("amqp://{}", listener.local_addr().expect("an address"));
    drop(listener);
    check(&url, &[]).failed("TCP", "refused", "Is the router running there (`spanway run`)");
}

#[test]
fn something_else_listens() {
    let place = server(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    check(&format!("amqp://{place}"), &[]).failed(
        "SASL",
        "does not speak AMQP 1.0",
        "the port of a router's listener?",
    );
    check(&format!("amqps://{place}"), &["--ca", &Certs::new().path("ca.pem")]).failed(
        "TLS",
        "does not speak TLS",
        "listener that has an sslProfile?",
    );
    let place = server(b"");
    check(&format!("amqp://{place}"), &["--timeout", "1s"]).failed("SASL", "does not answer", "which program listens");
}

#[test]
fn one_side_encrypts() {
    let certs = Certs::new();
    let (router, url) = certs.router("127.0.0.4", 2020..2090);
    let plain = url.replace("amqps", "amqp");
    check(&plain, &[]).failed("SASL", "speaks TLS, with the certificate of", "use amqps://127.0.0.4:");
    let tls = router.url.replace("amqp", "amqps");
    check(&tls, &["--ca", &certs.path("ca.pem")]).failed("TLS", "speaks AMQP without TLS", "use amqp://127.0.0.1:");
    assert_eq!(check(&url, &["--ca", &certs.path("ca.pem")]).status, 0);
}

#[test]
fn certificates_are_wrong() {
    let (certs, other) = (Certs::new(), Certs::new());
    let (ca, wrong_ca) = (certs.path("ca.pem"), other.path("ca.pem"));
    let (_router, url) = certs.router("127.0.0.4", 2020..2090);
    check(&url, &["--ca", &wrong_ca]).failed("TLS", "which is not trusted here", "does not hold this CN=our authority");
    let (_router, url) = certs.router("other.example", 2020..2090);
    check(&url, &["--ca", &ca]).failed(
        "TLS",
        "is for other.example, not for 127.0.0.4",
        "or give the router a certificate for 127.0.0.4",
    );
    assert_eq!(check(&url, &["--ca", &ca, "--no-verify-hostname"]).status, 0);
    let (_router, url) = certs.router("127.0.0.4", 2020..2021);
    check(&url, &["--ca", &ca]).failed("TLS", "ended 2021-01-01 00:00 UTC; the clock here says", "renew the router's");
    let (_router, url) = certs.router("127.0.0.4", 2080..2090);
    check(&url, &["--ca", &ca]).failed("TLS", "begins 2080-01-01", "is the clock of this machine right");
}

#[test]
fn a_certificate_is_asked_for() {
    let certs = Certs::new();
    let (_router, _) = certs.router("127.0.0.4", 2020..2090);
    let (cert, key, ca) = (certs.path("router.pem"), certs.path("router.key"), certs.path("ca.pem"));
    // Links of routers need a certificate.
    let router =
        Router::start_with(&["--accept-links", "amqps://127.0.0.4:0", "--cert", &cert, "--key", &key, "--ca", &ca]);
    let url = format!("amqps://{}", router.place("127.0.0.4"));
    check(&url, &["--ca", &ca]).failed("TLS", "refuses the TLS connection", "--cert FILE --key FILE");
}

#[test]
fn credentials_are_wrong() {
    let router = Router::start();
    let url = router.url.replace("amqp://", "amqp://me:secret@");
    check(&url, &[]).failed("SASL", "PLAIN as me was tried", "leave USER:PASSWORD, --cert and --key out");
    let peer = Peer::start_with(&["PLAIN"], |_, _, _| {});
    let checked = check(&peer.url, &[]);
    checked.failed("SASL", "the router offers SASL PLAIN, and ANONYMOUS was tried", "--url amqps://USER:PASSWORD@HOST");
    let url = peer.url.replace("amqp://", "amqp://me:wrong@");
    let checked = check(&url, &[]);
    checked.failed("SASL", "does not take PLAIN as me", "is the password of me right");
    assert!(!checked.text.contains("wrong"), "{}", checked.text);
}

#[test]
fn sending_is_not_allowed() {
    let peer = Peer::start(|engine, event, _| {
        if let Event::Attached(attached) = event {
            engine.refuse_attach(attached.link, Error::new("amqp:unauthorized-access", "not for you"));
        }
    });
    check(&peer.url, &["orders"]).failed("permission", "not for you", "ask for the right to send to orders");
}

#[test]
fn nobody_receives() {
    let router = Router::start();
    check(&router.url, &["orders"]).failed("consumers", "nobody receives from orders", "`spanway recv orders`");
    let _receiver = Running::start(recv(&router.url, &["order"]));
    wait_for_consumer(&router, "order");
    check(&router.url, &["orders"]).failed("consumers", "nobody receives", "`order` has consumers: was that meant?");
}

#[test]
fn a_consumer_hangs() {
    let router = Router::start();
    let receiver = Running::start(recv(&router.url, &["orders", "--credit", "1"]));
    wait_for_consumer(&router, "orders");
    receiver.signal("STOP");
    let sent = Running::start(send(&router.url, &["orders", "second", "--timeout", "500ms"])).end();
    assert_eq!(sent.status, 1, "{}", sent.stderr);
    let checked = check(&router.url, &["orders"]);
    receiver.signal("CONT");
    checked.failed("credit", "has a delivery and does not settle it", "it hangs, has stopped to receive");
    assert!(checked.found.contains("spanway-recv-"), "{}", checked.found);
}

#[test]
fn a_link_between_routers_is_down() {
    let far = Router::start_with(&["--id", "B", "--accept-links", "127.0.0.2:0"]);
    let near = Router::start_with(&["--id", "A", "--link", &far.links]);
    let _receiver = Running::start(recv(&far.url, &["orders"]));
    wait_for_consumer(&near, "orders");
    let checked = check(&near.url, &["orders"]);
    assert_eq!(checked.status, 0, "{}", checked.text);
    let links = far.links.clone();
    drop(far);
    // The router needs a moment to see it.
    let checked = loop {
        let checked = check(&near.url, &["orders"]);
        if checked.status != 0 {
            break checked;
        }
    };
    checked.failed("path", &format!("the link to {links} is down"), "is the router at");
    check(&near.url, &[]).failed("links", "1 of 1 links that the router makes are down", &links);
}
