//! What stands between routers: HTTP proxies, and balancers that look at the name in a TLS handshake (C7).

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use conformance::agent::Agent;
use conformance::certs::Certs;
use conformance::namespace::{hosts, isolated, names};
use conformance::ports::free_port;
use conformance::process::{Process, wait_for};
use conformance::router::{Config, PATIENCE, Router};
use conformance::traffic::{Requests, Responder};

fn interior(id: &str) -> Config {
    let mut config = Config::router(&[("mode", "interior"), ("id", id), ("workerThreads", "2")]);
    config.listener(&[]);
    config
}

/// Requests from one router to the other are answered, in both directions.
fn ask(a: &Router, b: &Router) {
    for (from, to, address) in [(a, b, "service.b"), (b, a, "service.a")] {
        let _responder = Responder::start(to, address);
        let requests = Requests::start(from, address, Duration::ZERO);
        requests.wait(50);
        let answers = requests.stop();
        assert_eq!((answers.refused, answers.ended), (0, false));
    }
}

/// An HTTP proxy that knows CONNECT only, and only for those who know its password. Counts its tunnels.
fn proxy(tunnels: &Arc<AtomicUsize>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let tunnels = Arc::clone(tunnels);
    // Its threads end with the test.
    thread::spawn(move || {
        while let Ok((client, _)) = listener.accept() {
            let tunnels = Arc::clone(&tunnels);
            thread::spawn(move || tunnel(client, &tunnels));
        }
    });
    port
}

fn tunnel(mut client: TcpStream, tunnels: &AtomicUsize) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut reader = BufReader::with_capacity(1, client.try_clone()?);
    while !head.ends_with(b"\r\n\r\n") {
        if reader.read_until(b'\n', &mut head)? == 0 {
            return Ok(());
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    // user:secret
    if !head.contains("Proxy-Authorization: Basic dXNlcjpzZWNyZXQ=\r\n") {
        return client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
    }
    let target =
        head.strip_prefix("CONNECT ").and_then(|rest| rest.split_once(' ')).map(|(target, _)| target.to_owned());
    let Some(target) = target else { return client.write_all(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n") };
    let server = TcpStream::connect(target)?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    tunnels.fetch_add(1, Ordering::Relaxed);
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let (mut from, mut to) = (server, client);
    let _ = std::io::copy(&mut from, &mut to);
    to.shutdown(Shutdown::Write)
}

fn wait_neighbour(router: &Router, id: &str) {
    let mut agent = Agent::connect(router.port);
    wait_for(&format!("a way to {id}"), PATIENCE, || {
        agent.nodes().iter().any(|node| node.id == id && node.cost.is_some()).then_some(())
    });
}

/// A router that reaches the world through an HTTP proxy only.
#[test]
fn a_link_through_an_http_proxy() {
    let tunnels = Arc::new(AtomicUsize::new(0));
    let through = proxy(&tunnels).to_string();
    let port = free_port();
    let mut config = interior("A");
    config.accept_routers(port);
    let a = config.start();
    let mut config = interior("B");
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("password");
    fs::write(&secret, "secret\n").unwrap();
    let secret = format!("file:{}", secret.display());
    let profile =
        [("name", "way-out"), ("host", "127.0.0.1"), ("port", &through), ("username", "user"), ("password", &secret)];
    config.section("proxyProfile", &profile);
    let port = port.to_string();
    let connector =
        [("host", "127.0.0.1"), ("port", port.as_str()), ("role", "inter-router"), ("proxyProfile", "way-out")];
    config.section("connector", &[&connector[..], &[("saslMechanisms", "ANONYMOUS")]].concat());
    let b = config.start();
    wait_neighbour(&a, "B");
    ask(&a, &b);
    // One for control, and one for data for each worker.
    wait_for("all connections", PATIENCE, || (tunnels.load(Ordering::Relaxed) == 3).then_some(()));
}

/// Two sites behind one balancer, which has one address and port 443 only: it looks at the name in the TLS handshake and passes
/// everything on as it is.
#[test]
fn links_through_a_balancer_that_looks_at_names() {
    isolated("links_through_a_balancer_that_looks_at_names", || {
        let [front, a, b, c] = hosts(["front", "a", "b", "c"]);
        names(&[("a.sites.test", &front.address), ("b.sites.test", &front.address)]);
        let mut routers = Vec::new();
        let dir = tempfile::tempdir().unwrap();
        let haproxy = dir.path().join("haproxy.cfg");
        let rules = format!(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 1h\n timeout server 1h\n\
             frontend all\n bind *:443\n tcp-request inspect-delay 5s\n tcp-request content accept if {{ req_ssl_hello_type 1 }}\n\
             use_backend a if {{ req_ssl_sni -i a.sites.test }}\n use_backend b if {{ req_ssl_sni -i b.sites.test }}\n\
             backend a\n server a {}:55671\nbackend b\n server b {}:55671\n",
            a.address, b.address
        );
        fs::write(&haproxy, rules).unwrap();
        let _balancer = front.on(|| {
            let mut command = Command::new("haproxy");
            Process::start("haproxy", dir.path(), command.arg("-db").arg("-f").arg(&haproxy))
        });
        front.on(|| wait_for("the balancer", PATIENCE, || TcpStream::connect(("127.0.0.1", 443)).ok()));
        // One authority for the network; each site has a certificate for its name.
        let sites = Certs::for_hosts(dir.path(), &["a.sites.test", "b.sites.test"]);
        for (host, id, certs) in [(&a, "A", &sites[0]), (&b, "B", &sites[1])] {
            routers.push(host.on(|| {
                let mut config = interior(id);
                config.ssl_profile("site", certs, Some(&certs.server));
                let port = [("host", "0.0.0.0"), ("port", "55671"), ("role", "inter-router"), ("sslProfile", "site")];
                let secure = [("saslMechanisms", "EXTERNAL"), ("authenticatePeer", "yes"), ("requireSsl", "yes")];
                config.section("listener", &[&port[..], &secure].concat());
                config.start()
            }));
        }
        let at_c = c.on(|| {
            let mut config = interior("C");
            config.ssl_profile("mine", &sites[0], Some(&sites[0].client));
            for host in ["a.sites.test", "b.sites.test"] {
                let to = [("host", host), ("port", "443"), ("role", "inter-router"), ("sslProfile", "mine")];
                config.section("connector", &[&to[..], &[("saslMechanisms", "EXTERNAL")]].concat());
            }
            config.start()
        });
        c.on(|| ["A", "B"].into_iter().for_each(|id| wait_neighbour(&at_c, id)));
        let _responders: Vec<Responder> = [(&a, &routers[0], "service.A"), (&b, &routers[1], "service.B")]
            .map(|(host, router, address)| host.on(|| Responder::start(router, address)))
            .into();
        for (host, router, address) in
            [(&c, &at_c, "service.A"), (&c, &at_c, "service.B"), (&a, &routers[0], "service.B")]
        {
            let requests = host.on(|| Requests::start(router, address, Duration::ZERO));
            requests.wait(50);
            assert_eq!(requests.stop().refused, 0);
        }
    });
}
