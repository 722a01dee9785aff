//! TCP services with TLS before the listener, behind the connector, and both.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use conformance::certs::Certs;
use conformance::tcp::peers::{read_n, tls_client};
use conformance::tcp::{Iperf, Nginx, Postgres, curl, open_dir, run, wrk};
use conformance::{Config, Router};

/// A curl that knows the authority.
fn https(certs: &Certs, url: &str) -> Command {
    let mut command = curl(url);
    command.arg("--cacert").arg(&certs.ca);
    command
}

/// Downloads and uploads 64 MiB.
fn copy_big(dir: &Path, certs: &Certs, content: &[u8], url: &str) {
    let copy = dir.join("copy");
    run(dir, https(certs, &format!("{url}/big")).arg("--output").arg(&copy)).success();
    assert!(fs::read(&copy).unwrap() == content, "the download differs");
    run(dir, https(certs, &format!("{url}/put/big")).arg("--upload-file").arg(&copy)).success();
    assert!(fs::read(dir.join("nginx/www/put/big")).unwrap() == content, "the upload differs");
}

#[test]
fn https_clients_of_a_plain_server() {
    let dir = open_dir();
    let certs = Certs::new(dir.path(), "good");
    let (nginx, content) = Nginx::with_big(dir.path(), None);
    let mut config = Config::new();
    config.ssl_profile("server", &certs, Some(&certs.server)).tcp_connector("service", nginx.plain, &[]);
    let port = config.tcp_listener("service", &[("sslProfile", "server")]);
    let _router = config.start_tcp(&[port]);
    let url = format!("https://localhost:{port}");
    let small = format!("{url}/small");
    let mut twice = https(&certs, &small);
    twice.args([&small, "--write-out", "%{num_connects}\n"]);
    assert_eq!(run(dir.path(), &mut twice).success(), "small\n1\nsmall\n0\n");
    for version in ["--tlsv1.2", "--tlsv1.3"] {
        let mut curl = https(&certs, &small);
        curl.args([version, "--tls-max", &version["--tlsv".len()..]]);
        assert_eq!(run(dir.path(), &mut curl).success(), "small\n", "{version}");
    }
    let copy = dir.path().join("copy");
    run(dir.path(), https(&certs, &format!("{url}/big")).arg("--output").arg(&copy)).success();
    assert!(fs::read(&copy).unwrap() == content, "the download differs");
    wrk(dir.path(), &small);
    // A client that does not know the authority does not talk.
    let other = Certs::new(dir.path(), "other");
    run(dir.path(), &mut https(&other, &small)).failure();
    // Neither does one without TLS get anything.
    run(dir.path(), &mut curl(&format!("http://localhost:{port}/small"))).failure();
}

#[test]
fn plain_clients_of_an_https_server() {
    let dir = open_dir();
    let certs = Certs::new(dir.path(), "good");
    let (nginx, content) = Nginx::with_big(dir.path(), Some(&certs.server));
    let mut config = Config::new();
    config.ssl_profile("client", &certs, None);
    config.tcp_connector("service", nginx.tls, &[("host", "localhost"), ("sslProfile", "client")]);
    let port = config.tcp_listener("service", &[]);
    let _router = config.start_tcp(&[port]);
    let url = format!("http://127.0.0.1:{port}");
    assert_eq!(run(dir.path(), &mut curl(&format!("{url}/small"))).success(), "small\n");
    copy_big(dir.path(), &certs, &content, &url);
    wrk(dir.path(), &format!("{url}/small"));
}

#[test]
fn tls_that_the_router_only_carries() {
    let dir = open_dir();
    let certs = Certs::new(dir.path(), "good");
    let (nginx, content) = Nginx::with_big(dir.path(), Some(&certs.server));
    let mut config = Config::new();
    config.tcp_connector("service", nginx.tls, &[]);
    let port = config.tcp_listener("service", &[]);
    let _router = config.start_tcp(&[port]);
    copy_big(dir.path(), &certs, &content, &format!("https://localhost:{port}"));
}

/// A listener that requires certificates, before a plain nginx.
fn mutual(dir: &Path, certs: &Certs, server: u16) -> (Router, String) {
    let mut config = Config::new();
    config.ssl_profile("server", certs, Some(&certs.server)).tcp_connector("service", server, &[]);
    let port = config.tcp_listener("service", &[("sslProfile", "server"), ("authenticatePeer", "yes")]);
    let router = config.start_tcp(&[port]);
    assert!(dir.exists());
    (router, format!("https://localhost:{port}/small"))
}

#[test]
fn clients_need_a_certificate_if_asked_for() {
    let dir = open_dir();
    let certs = Certs::new(dir.path(), "good");
    let other = Certs::new(dir.path(), "other");
    let nginx = Nginx::start(dir.path(), "nginx", None);
    let (_router, url) = mutual(dir.path(), &certs, nginx.plain);
    let with = |pair: &conformance::certs::Pair| {
        let mut curl = https(&certs, &url);
        curl.arg("--cert").arg(&pair.cert).arg("--key").arg(&pair.key);
        run(dir.path(), &mut curl)
    };
    assert_eq!(with(&certs.client).success(), "small\n");
    // None, one of another authority, and one for servers.
    run(dir.path(), &mut https(&certs, &url)).failure();
    with(&other.client).failure();
    with(&certs.server).failure();
    assert_eq!(with(&certs.client).success(), "small\n");
}

#[test]
fn servers_must_be_who_they_should_be() {
    let dir = open_dir();
    let certs = Certs::new(dir.path(), "good");
    let other = Certs::new(dir.path(), "other");
    let named = Certs::for_host(dir.path(), "named", "elsewhere.example");
    let good = Nginx::start(dir.path(), "good", Some(&certs.server));
    let unknown = Nginx::start(dir.path(), "unknown", Some(&other.server));
    let elsewhere = Nginx::start(dir.path(), "elsewhere", Some(&named.server));
    let mut config = Config::new();
    config.ssl_profile("good", &certs, None).ssl_profile("named", &named, None);
    let mut service = |address: &str, server: &Nginx, profile: &str, more: &[(&str, &str)]| {
        let mut attributes = vec![("name", address), ("host", "localhost"), ("sslProfile", profile)];
        attributes.extend_from_slice(more);
        config.tcp_connector(address, server.tls, &attributes);
        config.tcp_listener(address, &[])
    };
    let trusted = service("trusted", &good, "good", &[]);
    let of_another = service("of-another", &unknown, "good", &[]);
    let misnamed = service("misnamed", &elsewhere, "named", &[]);
    let unnamed = service("unnamed", &elsewhere, "named", &[("verifyHostname", "no")]);
    // TLS to a server without it.
    config.tcp_connector("without", good.plain, &[("host", "localhost"), ("sslProfile", "good")]);
    let without = config.tcp_listener("without", &[]);
    let _router = config.start_tcp(&[trusted, of_another, misnamed, unnamed, without]);
    let ask = |port: u16| run(dir.path(), &mut curl(&format!("http://127.0.0.1:{port}/name")));
    assert_eq!(ask(trusted).success(), "good");
    assert_eq!(ask(unnamed).success(), "elsewhere");
    for refused in [of_another, misnamed, without] {
        ask(refused).failure();
    }
}

#[test]
fn iperf3_over_tls() {
    let dir = open_dir();
    let certs = Certs::new(dir.path(), "good");
    let server = Iperf::start(dir.path());
    let mut config = Config::new();
    let port = config.tls_tunnel("service", &certs, server.port);
    let _router = config.start_tcp(&[port]);
    server.measure(dir.path(), port);
}

#[test]
fn postgresql_over_tls() {
    let dir = open_dir();
    let certs = Certs::new(dir.path(), "good");
    let server = Postgres::start();
    let mut config = Config::new();
    let port = config.tls_tunnel("service", &certs, server.port);
    let _router = config.start_tcp(&[port]);
    assert_eq!(server.query(port, "select 6 * 7").success(), "42\n");
    let rows = server.query(port, "select n, repeat('x', 100) from generate_series(1, 50000) n").success();
    assert_eq!(rows.lines().count(), 50_000);
    server.pgbench(port, &["--initialize", "--scale=1", "--quiet"]);
    assert!(server.bench(port) > 0);
}

#[test]
fn nginx_over_tls_on_both_sides() {
    let dir = open_dir();
    let certs = Certs::new(dir.path(), "good");
    let (nginx, content) = Nginx::with_big(dir.path(), None);
    let mut config = Config::new();
    let port = config.tls_tunnel("service", &certs, nginx.plain);
    let _router = config.start_tcp(&[port]);
    copy_big(dir.path(), &certs, &content, &format!("http://127.0.0.1:{port}"));
    wrk(dir.path(), &format!("http://127.0.0.1:{port}/small"));
}

/// What a client and the listener agree on is what the server is offered.
#[test]
fn http_2_if_the_client_wants_nothing_else() {
    let dir = open_dir();
    let certs = Certs::new(dir.path(), "good");
    let nginx = Nginx::start(dir.path(), "nginx", Some(&certs.server));
    let mut config = Config::new();
    config.ssl_profile("server", &certs, Some(&certs.server)).ssl_profile("client", &certs, None);
    config.tcp_connector("service", nginx.tls, &[("host", "localhost"), ("sslProfile", "client")]);
    let port = config.tcp_listener("service", &[("sslProfile", "server")]);
    let _router = config.start_tcp(&[port]);
    // HTTP/1.1 where the client has the choice: the server behind might not know the other.
    let mut curl = https(&certs, &format!("https://localhost:{port}/name"));
    curl.args(["--http2", "--write-out", " %{http_version}"]);
    assert_eq!(run(dir.path(), &mut curl).success(), "nginx 1.1");
    let mut client = tls_client(port, &certs, &["h2"]);
    assert_eq!(client.conn.alpn_protocol(), Some(&b"h2"[..]));
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    // Length, type SETTINGS, no flags, stream 0 (RFC 9113 §4.1).
    let frame = read_n(&mut client, 9);
    assert_eq!(frame[3..], [4, 0, 0, 0, 0, 0], "{frame:?}");
}
