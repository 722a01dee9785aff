//! Certificates that are replaced while routers run: what flows is left alone, what is new goes over new connections.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use conformance::agent::Agent;
use conformance::certs::{Certs, Pair};
use conformance::ports::free_port;
use conformance::raw::V;
use conformance::tcp::peers::{client, echo, greeting, read_n};
use conformance::tcp::{is_reset, wait_listening};
use conformance::traffic::{Requests, Responder};
use conformance::{Config, PATIENCE, Router, wait_for};

/// The files of a router's profile, always of the same names.
struct Files {
    dir: tempfile::TempDir,
}

impl Files {
    fn new(trusted: &[&Certs], own: &Pair) -> Self {
        let files = Self { dir: tempfile::tempdir().unwrap() };
        files.trust(trusted);
        files.show(own);
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn trust(&self, authorities: &[&Certs]) {
        let all: Vec<String> = authorities.iter().map(|certs| fs::read_to_string(&certs.ca).unwrap()).collect();
        fs::write(self.path("ca.pem"), all.concat()).unwrap();
    }

    fn show(&self, own: &Pair) {
        copy(&own.cert, &self.path("tls.pem"));
        copy(&own.key, &self.path("tls.key"));
    }

    fn profile(&self, config: &mut Config) {
        let [ca, cert, key] = ["ca.pem", "tls.pem", "tls.key"].map(|name| self.path(name).display().to_string());
        let files = [("caCertFile", ca.as_str()), ("certFile", &cert), ("privateKeyFile", &key)];
        config.section("sslProfile", &[&[("name", "site")][..], &files].concat());
    }
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
}

/// UPDATE of the profile of a router.
fn update(router: &Router, attributes: &[(&str, u64)]) {
    let attributes = attributes.iter().map(|(name, value)| (V::str(name), V::Ulong(*value))).collect();
    let answer = Agent::connect(router.port).update("sslProfile", "site", attributes);
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// The connections of a router to others: identity and ordinal of its credentials.
fn links(router: &Router) -> Vec<(String, u64)> {
    let rows = Agent::connect(router.port).rows("connection", &["identity", "role", "opened", "tlsOrdinal"]);
    let linked = |row: &&Vec<V>| row[1].text() != Some("normal") && row[2] == V::Bool(true);
    let of = |row: &Vec<V>| (row[0].text().unwrap().to_owned(), row[3].number().unwrap_or(0));
    rows.iter().filter(linked).map(of).collect()
}

/// How many of them have this ordinal.
fn count(router: &Router, ordinal: u64) -> usize {
    links(router).iter().filter(|(_, other)| *other == ordinal).count()
}

/// Deliveries that links on connections of this ordinal have carried.
fn carried(router: &Router, ordinal: u64) -> u64 {
    let of: Vec<String> = links(router).into_iter().filter(|(_, other)| *other == ordinal).map(|(id, _)| id).collect();
    let rows = Agent::connect(router.port).rows("router.link", &["connectionId", "deliveryCount"]);
    let on = rows.iter().filter(|row| row[0].text().is_some_and(|id| of.iter().any(|other| other == id)));
    on.filter_map(|row| row[1].number()).sum()
}

/// A client that writes and reads without end what a server repeats, and compares.
struct Stream {
    stop: Arc<AtomicBool>,
    bytes: Arc<AtomicU64>,
    thread: JoinHandle<std::io::Result<()>>,
}

impl Stream {
    fn start(port: u16, name: &str) -> Self {
        let (stop, bytes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&bytes));
        let mut stream = client(port);
        assert_eq!(read_n(&mut stream, name.len()), name.as_bytes());
        let thread = std::thread::spawn(move || {
            let mut number = 0_u64;
            while !stopped.load(Ordering::Relaxed) {
                let sent: Vec<u8> = (0..4096).flat_map(|n: u64| (number + n).to_be_bytes()).collect();
                stream.write_all(&sent)?;
                let mut back = vec![0; sent.len()];
                stream.read_exact(&mut back)?;
                assert!(back == sent, "bytes {number} and following came back as others");
                number += 4096;
                count.fetch_add(sent.len() as u64, Ordering::Relaxed);
            }
            end(&mut stream)
        });
        Self { stop, bytes, thread }
    }

    /// Waits until it has moved on.
    fn wait(&self) {
        let before = self.bytes.load(Ordering::Relaxed);
        wait_for("bytes of a stream", PATIENCE, || {
            assert!(!self.thread.is_finished(), "the stream has ended");
            (self.bytes.load(Ordering::Relaxed) > before + (1 << 20)).then_some(())
        });
    }

    /// Ends it in order.
    fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap().unwrap();
    }

    fn wait_reset(self) {
        wait_for("the end of a stream", PATIENCE, || self.thread.is_finished().then_some(()));
        let error = self.thread.join().unwrap().expect_err("the stream goes on");
        assert!(is_reset(&error), "{error}");
    }
}

fn end(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest)?;
    assert!(rest.is_empty(), "{} bytes that nobody sent", rest.len());
    Ok(())
}

/// Two routers of which the second connects to the first, each with a TCP server that the other one has a listener for.
struct Rotating {
    near: Router,
    far: Router,
    ports: [u16; 2],
    files: [Files; 2],
    certs: [Certs; 2],
    link: u16,
    _dir: tempfile::TempDir,
}

impl Rotating {
    fn start(mut near: Config, mut far: Config, role: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let certs = ["first", "second"].map(|name| Certs::new(dir.path(), name));
        let files = [Files::new(&[&certs[0]], &certs[0].server), Files::new(&[&certs[0]], &certs[0].client)];
        let link = free_port();
        let port = link.to_string();
        let place = [("host", "127.0.0.1"), ("port", port.as_str()), ("role", role), ("sslProfile", "site")];
        let both = [("saslMechanisms", "EXTERNAL")];
        files[0].profile(&mut near);
        near.section("listener", &[&place[..], &both, &[("authenticatePeer", "yes"), ("requireSsl", "yes")]].concat());
        files[1].profile(&mut far);
        far.section("connector", &[&place[..], &both].concat());
        near.tcp_connector("near", echo("near"), &[]);
        far.tcp_connector("far", echo("far"), &[]);
        let ports = [far.tcp_listener("near", &[]), near.tcp_listener("far", &[])];
        let (near, far) = (near.start(), far.start());
        ports.into_iter().for_each(wait_listening);
        Self { near, far, ports, files, certs, link, _dir: dir }
    }

    /// A router that would join with a certificate of the first authority.
    fn outsider(&self, mut config: Config, role: &str) -> (Router, Files) {
        let files = Files::new(&[&self.certs[0], &self.certs[1]], &self.certs[0].client);
        files.profile(&mut config);
        let port = self.link.to_string();
        let place = [("host", "127.0.0.1"), ("port", port.as_str()), ("role", role), ("sslProfile", "site")];
        config.section("connector", &[&place[..], &[("name", "in"), ("saslMechanisms", "EXTERNAL")]].concat());
        (config.start(), files)
    }
}

/// The way from one authority to another, as a controller goes it: both are trusted, then each shows a certificate of the new one, then
/// only the new one is trusted, then what was made with the old one is closed. `given_back`: so many requests may be refused because they were
/// under way on links that moved.
fn rotate(pair: Rotating, outsider: Config, role: &str, given_back: u64) {
    let Rotating { near, far, ports, files, certs, .. } = &pair;
    let [old, new] = certs;
    let streams = [Stream::start(ports[0], "near"), Stream::start(ports[1], "far")];
    let others = [Stream::start(ports[0], "near"), Stream::start(ports[1], "far")];
    let _responder = Responder::start(near, "requests");
    let requests = Requests::start(far, "requests", Duration::from_millis(2));
    requests.wait(20);
    let before = links(far).len();
    assert_eq!(links(near).len(), before);
    for (router, files) in [(near, &files[0]), (far, &files[1])] {
        files.trust(&[old, new]);
        update(router, &[]);
    }
    files[0].show(&new.server);
    update(near, &[]);
    files[1].show(&new.client);
    update(far, &[("ordinal", 1)]);
    wait_for("new connections", PATIENCE, || (count(far, 1) == before).then_some(()));
    assert_eq!(count(far, 0), before, "the old connections stay");
    for (router, files) in [(near, &files[0]), (far, &files[1])] {
        files.trust(&[new]);
        update(router, &[]);
    }
    streams.iter().for_each(Stream::wait);
    requests.wait(100);
    // What begins now goes over the new connections.
    let (on_old, on_new) = (carried(far, 0), carried(far, 1));
    for _ in 0..20 {
        assert_eq!(greeting(ports[0]), "near");
        assert_eq!(greeting(ports[1]), "far");
    }
    requests.wait(100);
    assert_eq!(carried(far, 0), on_old);
    assert!(carried(far, 1) > on_new + 100);
    // Nobody joins with what is not trusted any more.
    let (outsider, _files) = pair.outsider(outsider, role);
    wait_for("a refusal", PATIENCE, || {
        let rows = Agent::connect(outsider.port).rows("connector", &["connectionStatus", "connectionMsg"]);
        let state = [rows[0][0].text(), rows[0][1].text()].map(Option::unwrap_or_default);
        // Before the first failure it says where it connects to.
        (state[0] == "CONNECTING" && !state[1].starts_with("Connecting")).then_some(())
    });
    streams.iter().for_each(Stream::wait);
    others.into_iter().for_each(Stream::finish);
    update(far, &[("oldestValidOrdinal", 1)]);
    streams.into_iter().for_each(Stream::wait_reset);
    wait_for("the end of the old connections", PATIENCE, || {
        (count(far, 0) == 0 && links(near).len() == before).then_some(())
    });
    requests.wait(100);
    for _ in 0..20 {
        assert_eq!(greeting(ports[0]), "near");
        assert_eq!(greeting(ports[1]), "far");
    }
    let heard = requests.stop();
    assert!(heard.refused <= given_back, "{} requests were refused", heard.refused);
    assert_eq!(heard.repeated, 0);
}

fn with_clients(mut config: Config) -> Config {
    config.listener(&[]);
    config
}

#[test]
fn between_interior_routers() {
    let [near, far, outsider] = ["A", "B", "C"].map(|name| with_clients(Config::interior(name)));
    rotate(Rotating::start(near, far, "inter-router"), outsider, "inter-router", 0);
}

#[test]
fn of_an_edge_router() {
    let [far, outsider] = ["E", "F"].map(|name| with_clients(Config::edge(name)));
    rotate(Rotating::start(with_clients(Config::interior("A")), far, "edge"), outsider, "edge", 1);
}

/// What cannot be used is refused, and what was used before goes on to be.
#[test]
fn a_wrong_change_changes_nothing() {
    let [near, far] = ["A", "B"].map(|name| with_clients(Config::interior(name)));
    let pair = Rotating::start(near, far, "inter-router");
    let before = links(&pair.far);
    let mut agent = Agent::connect(pair.far.port);
    let mut refused = |name: &str, value: V, why: &str| {
        let answer = agent.update("sslProfile", "site", vec![(V::str(name), value)]);
        assert!(answer.status == 400 && answer.description.contains(why), "{answer:?}");
    };
    refused("caCertFile", V::str("/nonexistent/ca.pem"), "caCertFile");
    refused("oldestValidOrdinal", V::Ulong(1), "oldestValidOrdinal: expected a whole number from 0 to 0");
    fs::write(pair.files[1].path("tls.key"), "none").unwrap();
    refused("ordinal", V::Ulong(1), "privateKeyFile");
    pair.files[1].show(&pair.certs[0].client);
    update(&pair.far, &[("ordinal", 2)]);
    wait_for("new connections", PATIENCE, || (count(&pair.far, 2) == before.len()).then_some(()));
    refused("ordinal", V::Ulong(1), "lower than 2");
    assert_eq!(greeting(pair.ports[0]), "near");
}
