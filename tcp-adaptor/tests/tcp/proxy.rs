//! The PROXY protocol on both sides.

use std::io::Write;
use std::net::SocketAddr;

use tcp_adaptor::ListenerConfig;
use transport::proxy_protocol::Version;

use crate::support::peers::{Server, read_n, read_to_end};
use crate::support::{Router, client, connector, eventually};

fn router(accept: bool, send: Option<Version>) -> (Router, SocketAddr, Server) {
    let server = Server::start();
    let router = Router::start(1);
    let mut config = ListenerConfig::new("in", "service", "127.0.0.1", 0);
    config.accept_proxy = accept;
    router.listen(config);
    let mut config = connector("out", "service", server.addr);
    config.send_proxy = send;
    router.connect(config);
    let addr = router.local("in");
    (router, addr, server)
}

#[test]
fn version_1_tells_the_server_who_its_client_is() {
    let (router, addr, server) = router(false, Some(Version::V1));
    let mut client = client(addr);
    let own = client.local_addr().unwrap();
    client.write_all(b"data").unwrap();
    let mut served = server.accept();
    let expected = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\ndata", own.port(), addr.port());
    assert_eq!(read_n(&mut served, expected.len()), expected.as_bytes());
    eventually("only the client's bytes are counted", || router.connector_totals("out").bytes_out == 4);
}

#[test]
fn version_2_comes_at_once_though_the_client_waits_for_the_server() {
    let (_router, addr, server) = router(false, Some(Version::V2));
    let client = client(addr);
    let port = client.local_addr().unwrap().port().to_be_bytes();
    let mut served = server.accept();
    let header = read_n(&mut served, 28);
    assert_eq!(&header[..16], b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c");
    assert_eq!(&header[16..24], [127, 0, 0, 1, 127, 0, 0, 1]);
    assert_eq!(&header[24..26], port);
}

#[test]
fn an_accepted_header_is_passed_on_in_the_other_version() {
    let (router, addr, server) = router(true, Some(Version::V2));
    let mut client = client(addr);
    // In pieces, and with data behind it in one segment.
    client.write_all(b"PROXY TCP6 2001:db8::1 2001").unwrap();
    client.write_all(b":db8::2 4000 443\r\nGET /").unwrap();
    let mut served = server.accept();
    let header = read_n(&mut served, 52);
    assert_eq!(header[13], 0x21);
    assert_eq!(&header[16..20], [0x20, 0x01, 0x0d, 0xb8]);
    assert_eq!(&header[48..], [0x0f, 0xa0, 0x01, 0xbb]);
    assert_eq!(read_n(&mut served, 5), b"GET /");
    eventually("only the data is counted", || router.listener_totals("in").bytes_in == 5);
}

#[test]
fn an_accepted_header_is_not_passed_on_unless_asked() {
    let (_router, addr, server) = router(true, None);
    let mut client = client(addr);
    client.write_all(b"PROXY UNKNOWN whatever\r\n").unwrap();
    client.write_all(b"data").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut server.accept()), b"data");
}

#[test]
fn a_client_without_the_header_is_not_served() {
    let (router, addr, server) = router(true, None);
    let mut bad = client(addr);
    bad.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    eventually("it is refused", || router.listener_totals("in").connections_failed == 1);
    assert!(server.accepted_already().is_none());
    let left = client(addr);
    drop(left);
    eventually("one that left is counted", || router.listener_totals("in").connections_failed == 2);
    eventually("the flows are gone", || router.flows() == 0);
}
