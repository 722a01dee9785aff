//! AMQP over WebSocket, and what else listeners with `http: yes` answer.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use conformance::certs::Certs;
use conformance::client::Client;
use conformance::http::{Answer, answer, get, request};
use conformance::router::{Config, PATIENCE, Router};
use conformance::suite::{self, number};

/// A router with an HTTP listener, and its port.
fn router(attributes: &[(&str, &str)]) -> (Router, u16) {
    let mut config = Config::new();
    config.listener(&[]);
    let port = config.listener(&[&[("http", "yes")], attributes].concat());
    (config.start(), port)
}

/// Sends and receives at the HTTP listener.
fn exchange(router: &Router, port: u16, args: &[(&str, &str)]) {
    let args = [&[("address", "exchange"), ("ws", "amqp")], args].concat();
    let count = args.iter().find(|(key, _)| *key == "count").unwrap().1.parse::<u64>().unwrap();
    let receiving = Client::Rhea.start(router.dir(), "recv", port, &args).ready();
    let sent = Client::Rhea.start(router.dir(), "send", port, &args).result();
    let received = receiving.result();
    assert_eq!((number(&received, "received"), number(&sent, "accepted")), (count, count));
    assert_eq!(received["ordered"], true, "{received}");
}

#[test]
fn messages_pass() {
    let (router, port) = router(&[]);
    exchange(&router, port, &[("count", "2000")]);
}

#[test]
fn large_messages_pass() {
    let (router, port) = router(&[]);
    exchange(&router, port, &[("count", "3"), ("size", "5000000")]);
}

#[test]
fn fragments_and_pings_are_understood() {
    let (router, port) = router(&[]);
    exchange(&router, port, &[("count", "50"), ("size", "3000"), ("pieces", "7")]);
}

#[test]
fn older_subprotocols_are_taken() {
    let (router, port) = router(&[]);
    for protocols in ["binary", "AMQPWSB10", "mqtt,AMQPWSB10,binary"] {
        exchange(&router, port, &[("count", "5"), ("ws", protocols)]);
    }
}

#[test]
fn browsers_reach_programs_without_websocket() {
    let (router, port) = router(&[]);
    let args = [("address", "mixed"), ("count", "100")];
    let receiving = Client::ProtonPython.start(router.dir(), "recv", router.port, &args).ready();
    let ws = [args[0], args[1], ("ws", "amqp")];
    let sent = Client::Rhea.start(router.dir(), "send", port, &ws).result();
    assert_eq!((number(&sent, "accepted"), number(&receiving.result(), "received")), (100, 100));
    suite::request_between(&router, Client::ProtonPython, Client::ProtonPython);
}

#[test]
fn tls_and_client_certificates() {
    let mut config = Config::new();
    let certs = Certs::new(config.dir(), "ws");
    config.listener(&[]);
    let text = |path: &std::path::Path| path.display().to_string();
    let (cert, key, ca) = (text(&certs.server.cert), text(&certs.server.key), text(&certs.ca));
    config.section("sslProfile", &[("name", "p"), ("certFile", &cert), ("privateKeyFile", &key), ("caCertFile", &ca)]);
    let tls = [("http", "yes"), ("sslProfile", "p"), ("requireSsl", "yes")];
    let mutual = [("authenticatePeer", "yes"), ("saslMechanisms", "EXTERNAL")];
    let plain = config.listener(&tls);
    let external = config.listener(&[&tls[..], &mutual].concat());
    let router = config.start();
    for (port, mutual) in [(plain, false), (external, true)] {
        let owned = Client::Rhea.tls_args(&certs, mutual);
        let mut args: Vec<(&str, &str)> = owned.iter().map(|(key, value)| (*key, value.as_str())).collect();
        args.push(("count", "20"));
        exchange(&router, port, &args);
    }
}

#[test]
fn probes_metrics_and_files() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("index.html"), "<p>start").unwrap();
    let root = dir.path().to_str().unwrap();
    let (_router, port) = router(&[("httpRootDir", root)]);
    let healthz = get(port, "/healthz");
    assert_eq!((healthz.status, healthz.body.as_str()), (200, "OK\n"));
    assert!(get(port, "/metrics").body.contains("\nqdr_connections_total "));
    let start = get(port, "/");
    assert_eq!((start.status, start.body.as_str()), (200, "<p>start"));
    assert!(start.head.contains("content-type: text/html"), "{}", start.head);
    for path in ["/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/nothing", "//etc/passwd"] {
        assert_eq!(get(port, path).status, 404, "{path}");
    }
    let post = request(port, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(post.status, 405);
}

#[test]
fn what_is_switched_off_is_not_answered() {
    let (_router, port) = router(&[("healthz", "no"), ("metrics", "no"), ("websockets", "no")]);
    for path in ["/healthz", "/metrics", "/"] {
        assert_eq!(get(port, path).status, 404, "{path}");
    }
    assert_eq!(handshake(port, "amqp").1, 404);
}

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Asks for a WebSocket; the connection, and the status of the answer.
fn handshake(port: u16, protocol: &str) -> (TcpStream, u16) {
    let text = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
    );
    let (socket, answer) = upgrade(port, &text);
    if answer.status == 101 {
        // RFC 6455 §1.3 has this example.
        assert!(answer.head.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{}", answer.head);
    }
    (socket, answer.status)
}

/// Sends a request; the connection, and the head of the answer.
fn upgrade(port: u16, text: &str) -> (TcpStream, Answer) {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(text.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    (socket, answer(&String::from_utf8(head).unwrap()))
}

fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 126);
    let mask = [1, 2, 3, 4];
    let mut frame = vec![0x80 | opcode, 0x80 | payload.len() as u8, 1, 2, 3, 4];
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// What the router answers until it ends the connection.
fn rest(socket: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    // A reset ends it as well.
    let _ = socket.read_to_end(&mut all);
    all
}

#[test]
fn handshakes_have_to_be_right() {
    let (mut router, port) = router(&[]);
    for protocol in ["mqtt", "", "amqpx", "AMQP1.0"] {
        assert_eq!(handshake(port, protocol).1, 400, "{protocol}");
    }
    let with = |from: &str, to: &str| {
        let text = format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Protocol: amqp\r\n\r\n"
        );
        assert!(text.contains(from));
        request(port, &text.replace(from, to)).status
    };
    assert_eq!(with("Version: 13", "Version: 8"), 426);
    assert_eq!(with(KEY, "short"), 400);
    assert_eq!(with("Upgrade: websocket", "Upgrade: h2c"), 400);
    assert_eq!(with("Connection: Upgrade", "Connection: close"), 400);
    assert_eq!(with("GET", "PUT"), 400);
    router.assert_alive();
}

/// What the listener answers to a request for a WebSocket from a page of this origin.
fn asked_by(port: u16, host: &str, origin: &str) -> u16 {
    let text = format!(
        "GET / HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Protocol: amqp\r\n\r\n"
    );
    upgrade(port, &text).1.status
}

#[test]
fn pages_of_other_origins_need_leave() {
    let (_router, port) = router(&[]);
    let own = format!("127.0.0.1:{port}");
    assert_eq!(asked_by(port, &own, &format!("http://{own}")), 101);
    for stranger in ["http://evil.example", "http://127.0.0.1:1", "null", "http://localhost"] {
        assert_eq!(asked_by(port, &own, stranger), 403, "{stranger}");
    }
    // A name that an attacker had resolve to this machine.
    let evil = format!("evil.example:{port}");
    assert_eq!(asked_by(port, &evil, &format!("http://{evil}")), 421);
    let page = format!("GET /metrics HTTP/1.1\r\nHost: {evil}\r\nConnection: close\r\n\r\n");
    assert_eq!(request(port, &page).status, 421);
    let (_router, port) = router(&[("websocketOrigins", "https://app.example http://other.example:8080")]);
    let own = format!("127.0.0.1:{port}");
    for friend in ["https://app.example", "http://other.example:8080"] {
        assert_eq!(asked_by(port, &own, friend), 101, "{friend}");
    }
    assert_eq!(asked_by(port, &own, "https://app.example:8080"), 403);
    let (_router, port) = router(&[("websocketOrigins", "*")]);
    assert_eq!(asked_by(port, "localhost", "null"), 101);
}

#[test]
fn hostile_frames_end_the_connection_only() {
    let (mut router, port) = router(&[]);
    let unmasked = [0x82, 8, b'A', b'M', b'Q', b'P', 0, 1, 0, 0];
    let huge = [&[0x82, 0xff][..], &u64::MAX.to_be_bytes(), &[1, 2, 3, 4]].concat();
    let big = [&[0x82, 0xff][..], &(2_u64 << 20).to_be_bytes(), &[1, 2, 3, 4]].concat();
    // Never the last one.
    let part = |opcode: u8| {
        let mut part = frame(opcode, &[0; 100]);
        part[0] &= 0x7f;
        part
    };
    let fragments = [part(2), (0..12_000).flat_map(|_| part(0)).collect()].concat();
    let cases: [(&str, Vec<u8>); 9] = [
        ("unmasked", unmasked.to_vec()),
        ("huge", huge),
        ("over the limit", big),
        ("endless fragments", fragments),
        ("text", frame(1, b"AMQP")),
        ("reserved bits", vec![0xf2, 0x80, 0, 0, 0, 0]),
        ("an unknown opcode", frame(3, b"x")),
        ("a continuation of nothing", frame(0, b"x")),
        ("no AMQP", frame(2, b"GET / HTTP/1.1\r\n\r\n")),
    ];
    for (what, bytes) in cases {
        let (mut socket, status) = handshake(port, "amqp");
        assert_eq!(status, 101);
        // The router may have ended it in the middle.
        let _ = socket.write_all(&bytes);
        rest(&mut socket);
        println!("{what}: ended");
    }
    router.assert_alive();
    // A close is answered with a close, and a ping with a pong.
    let (mut socket, _) = handshake(port, "amqp");
    socket.write_all(&frame(9, b"hi")).unwrap();
    let mut pong = [0; 4];
    socket.read_exact(&mut pong).unwrap();
    assert_eq!(pong, [0x8a, 2, b'h', b'i']);
    socket.write_all(&frame(8, &1000_u16.to_be_bytes())).unwrap();
    assert_eq!(rest(&mut socket), [0x88, 2, 3, 0xe8]);
    router.assert_alive();
}

#[test]
fn slow_and_large_heads_are_given_up() {
    let (mut router, port) = router(&[("initialHandshakeTimeoutSeconds", "1")]);
    let begun = Instant::now();
    let mut slow = TcpStream::connect(("127.0.0.1", port)).unwrap();
    slow.set_read_timeout(Some(PATIENCE)).unwrap();
    slow.write_all(b"GET / HT").unwrap();
    rest(&mut slow);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let long = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "x".repeat(40_000));
    let mut large = TcpStream::connect(("127.0.0.1", port)).unwrap();
    large.set_read_timeout(Some(PATIENCE)).unwrap();
    let _ = large.write_all(long.as_bytes());
    let told = String::from_utf8_lossy(&rest(&mut large)).into_owned();
    assert!(told.is_empty() || told.starts_with("HTTP/1.1 431"), "{told}");
    // AMQP without WebSocket is no HTTP.
    let mut plain = TcpStream::connect(("127.0.0.1", port)).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    plain.write_all(b"AMQP\x00\x01\x00\x00\r\n\r\n").unwrap();
    assert!(!rest(&mut plain).starts_with(b"AMQP"));
    router.assert_alive();
}
