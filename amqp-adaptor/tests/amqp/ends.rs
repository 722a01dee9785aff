//! Ends of connections, in order and otherwise.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use amqp_proto::condition;
use amqp_proto::connection::ClientSasl;

use crate::client::{Client, dial, receiver, sender};
use crate::router::{Router, listener};

fn error(client: &Client) -> Option<&str> {
    client.closed.as_ref().and_then(|e| e.as_ref()).map(|e| e.condition.as_str())
}

#[test]
fn a_probe_does_no_harm() {
    let router = Router::new(2);
    let mut client = Client::new(router.port);
    for _ in 0..20 {
        drop(dial(router.port));
    }
    router.wait("the end of the probes", |r| r.connections() == [1, 0]);
    client.receiver("a", 1);
    client.close();
    router.wait_empty();
}

#[test]
fn all_are_closed_when_the_router_ends() {
    let router = Router::new(2);
    let mut clients: Vec<Client> = (0..12).map(|_| Client::new(router.port)).collect();
    let silent = Client::new(router.port);
    // Has not said a word.
    let mut mute = dial(router.port);
    router.wait("all connections", |r| r.connections().iter().sum::<usize>() == 14);
    let start = Instant::now();
    router.each(amqp_adaptor::AmqpAdaptor::close_all);
    for client in &mut clients {
        client.wait("close", |c| c.closed.is_some());
        assert_eq!(error(client), Some(condition::CONNECTION_FORCED));
        client.wait("end", |c| c.eof);
    }
    // Whoever comes now is turned away.
    let mut late = dial(router.port);
    late.set_read_timeout(None).unwrap();
    assert_eq!(late.read(&mut [0]).unwrap_or(0), 0);
    mute.set_read_timeout(None).unwrap();
    assert_eq!(mute.read(&mut [0]).unwrap_or(0), 0);
    // The one that does not answer is cut.
    router.wait_empty();
    assert!(start.elapsed() < Duration::from_secs(5));
    drop(silent);
}

#[test]
fn an_error_is_seen_though_more_was_sent_behind_it() {
    let router = Router::new(1);
    let mut socket = dial(router.port);
    socket.set_read_timeout(Some(crate::router::LIMIT)).unwrap();
    // A frame of 3 bytes, then much that nobody wants.
    let mut bytes = b"AMQP\0\x01\0\0\0\0\0\x03\x02\0\0\0".to_vec();
    bytes.resize(1 << 20, 0);
    socket.write_all(&bytes).unwrap();
    socket.write_all(&bytes).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let framing = b"amqp:connection:framing-error";
    assert!(answer.windows(framing.len()).any(|w| w == framing));
    drop(socket);
    router.wait_empty();
}

#[test]
fn a_silent_peer_is_closed() {
    let mut config = listener();
    config.idle_timeout = Some(Duration::from_millis(600));
    let router = Router::with(1, config);
    let mut client = Client::new(router.port);
    client.wait("close", |c| c.closed.is_some());
    assert_eq!(error(&client), Some(condition::RESOURCE_LIMIT_EXCEEDED));
    drop(client);
    router.wait_empty();
}

#[test]
fn a_handshake_takes_no_longer_than_allowed() {
    let mut config = listener();
    config.handshake_timeout = Some(Duration::from_millis(100));
    let router = Router::with(1, config);
    let mut socket = dial(router.port);
    socket.set_read_timeout(None).unwrap();
    assert_eq!(socket.read(&mut [0]).unwrap_or(0), 0);
    drop(socket);
    router.wait_empty();
}

#[test]
fn a_peer_that_wants_to_hear_something_does() {
    let router = Router::new(1);
    let mut client = Client::with_idle_timeout(router.port, Duration::from_secs(2));
    let frames = |r: &Router| r.each(|a| a.totals().frames_out)[0];
    let before = frames(&router);
    router.wait("an empty frame", |r| frames(r) > before);
    client.step();
    client.close();
    router.wait_empty();
}

#[test]
fn mechanisms_that_are_not_offered_are_refused() {
    let router = Router::new(1);
    let plain = ClientSasl::Plain { username: "u".to_owned(), password: "p".to_owned() };
    let mut client = Client::plain(router.port, plain);
    client.wait("refusal", |c| c.closed.is_some() || c.eof);
    assert!(!client.opened);
    drop(client);
    let mut client = Client::plain(router.port, ClientSasl::Anonymous);
    client.begin();
    client.close();
    router.wait_empty();
}

#[test]
fn a_half_closed_connection_is_over() {
    let router = Router::new(1);
    let mut socket = dial(router.port);
    socket.set_read_timeout(None).unwrap();
    socket.write_all(b"AMQP\0\x01\0\0").unwrap();
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    let _ = socket.read_to_end(&mut Vec::new());
    router.wait_empty();
}

#[test]
fn refused_links_leave_the_connection() {
    let router = Router::new(1);
    let mut client = Client::new(router.port);
    let mut anonymous = receiver("r", "a");
    anonymous.source = Some(amqp_proto::Source::default().into());
    client.attach(anonymous);
    client.wait("detach", |c| c.detached.len() == 1);
    assert!(client.detached[0].is_some());
    client.attach(sender("s", "a"));
    client.close();
    router.wait_empty();
}
