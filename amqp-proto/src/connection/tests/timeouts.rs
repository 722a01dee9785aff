use std::time::Duration;

use super::peer::*;
use crate::{Performative, connection::*, frame::EMPTY_FRAME, performative::Open};

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn a_silent_peer_is_closed() {
    let mut peer = Peer::opened_with(Config { idle_timeout: Some(ms(1000)), ..config() });
    assert_eq!(peer.engine.poll_timeout(), Some(peer.now + ms(1000)));
    peer.later(ms(999));
    assert!(peer.engine.handle_timeout(peer.now).is_none());
    // An empty frame is enough.
    peer.bytes(&EMPTY_FRAME);
    peer.later(ms(999));
    assert!(peer.engine.handle_timeout(peer.now).is_none());
    peer.later(ms(1));
    let Some(Event::Closed(closed)) = peer.engine.handle_timeout(peer.now) else { panic!() };
    let error = closed.error.unwrap();
    check(&error, "amqp:resource-limit-exceeded", "local-idle-timeout expired");
    assert!(matches!(peer.recv(), (0, Performative::Close(c), _) if c.error == Some(error)));
    assert_eq!(peer.engine.poll_timeout(), None);
}

#[test]
fn empty_frames_keep_the_peer_content() {
    let open = Open { container_id: "p".into(), idle_time_out: Some(400), ..Open::default() };
    let mut peer = Peer::opened_as(Config { idle_timeout: None, ..config() }, open);
    let mut last = peer.now;
    for _ in 0..20 {
        peer.now = peer.engine.poll_timeout().unwrap();
        assert!(peer.engine.handle_timeout(peer.now).is_none());
        if !peer.engine.output().is_empty() {
            assert_eq!(peer.take_bytes(100), EMPTY_FRAME);
            assert!(peer.now - last <= ms(200), "{:?}", peer.now - last);
            last = peer.now;
        }
    }
    assert!(last > peer.now - ms(201));
    // Not when something else was sent, and not on top of what the peer does not read.
    peer.engine.begin().unwrap();
    peer.now = peer.engine.poll_timeout().unwrap();
    let waiting = peer.engine.output().len();
    peer.engine.handle_timeout(peer.now);
    peer.now = peer.engine.poll_timeout().unwrap();
    peer.engine.handle_timeout(peer.now);
    assert_eq!(peer.engine.output().len(), waiting);
}

#[test]
fn the_handshake_may_be_limited() {
    let config = Config { handshake_timeout: Some(ms(100)), ..config() };
    let mut peer = Peer::raw(config.clone(), Side::Server(ServerSasl { allow_bare: true, ..ServerSasl::default() }));
    assert_eq!(peer.engine.poll_timeout(), Some(peer.now + ms(100)));
    peer.later(ms(100));
    let Some(Event::Closed(closed)) = peer.engine.handle_timeout(peer.now) else { panic!() };
    check(&closed.error.unwrap(), "amqp:resource-limit-exceeded", "handshake");
    let mut peer = Peer::opened_with(config);
    peer.later(ms(200));
    assert!(peer.engine.handle_timeout(peer.now).is_none());
}
