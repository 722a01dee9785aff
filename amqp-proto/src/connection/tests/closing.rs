use super::peer::*;
use crate::{
    Error, Performative,
    connection::*,
    performative::{self, Begin, Close, Flow, Role},
};

#[test]
fn a_close_is_answered_while_deliveries_wait() {
    let mut peer = Peer::with_session();
    let link = peer.attach(0, Role::Sender);
    peer.engine.grant(link, 10);
    peer.recv_flow();
    for id in 0..3 {
        peer.transfer(first(0, id), b"x");
        peer.event();
    }
    peer.engine.settle_incoming(link, 0, Some(&crate::DeliveryState::Accepted), true);
    peer.send(0, &Close { error: None });
    assert!(matches!(peer.recv(), (0, Performative::Disposition(d), _) if d.first == 0));
    assert!(matches!(peer.recv(), (0, Performative::Close(c), _) if c.error.is_none()));
    assert!(matches!(peer.event(), Event::Closed(c) if *c == Closed { by: Initiator::Peer, error: None }));
    assert_eq!(peer.engine.counts(), (0, 0));
    assert!(!peer.engine.settle_incoming(link, 1, None, true));
    peer.quiet();
    assert!(peer.engine.handle_eof().is_none());
}

#[test]
fn the_peers_reason_is_told() {
    let mut peer = Peer::opened();
    let error = Error::new("amqp:connection:forced", "bye");
    peer.send(0, &Close { error: Some(error.clone()) });
    assert!(matches!(peer.event(), Event::Closed(c) if *c == Closed { by: Initiator::Peer, error: Some(error) }));
}

#[test]
fn our_close_waits_for_the_answer_and_discards_the_rest() {
    let mut peer = Peer::with_session();
    let link = peer.attach(0, Role::Receiver);
    let error = Error::new("amqp:connection:forced", "going down");
    peer.engine.close(Some(error.clone()));
    peer.engine.close(None);
    assert!(matches!(peer.recv(), (0, Performative::Close(c), _) if c.error.as_ref() == Some(&error)));
    peer.quiet();
    assert_eq!(peer.engine.begin(), Err(CommandError::Closed));
    assert_eq!(peer.engine.send(link, &SendHead::default(), &Payload::empty(), End::Complete), Sent::default());
    peer.send(0, &Flow::default());
    peer.send(5, &Begin::default());
    peer.no_event();
    peer.quiet();
    assert!(!peer.engine.is_closed());
    peer.send(0, &Close { error: None });
    assert!(matches!(peer.event(), Event::Closed(c) if *c == Closed { by: Initiator::Local, error: Some(error) }));
    assert!(peer.engine.is_closed());
    peer.quiet();
}

#[test]
fn a_close_before_our_open_opens_first() {
    let mut peer = Peer::raw(config(), Side::Server(ServerSasl { allow_bare: true, ..ServerSasl::default() }));
    peer.polite = false;
    peer.bytes(&crate::frame::ProtocolId::Amqp.header());
    peer.take_header();
    peer.send(0, &performative::Open::default());
    peer.engine.close(Some(Error::new("amqp:unauthorized-access", "no")));
    assert!(matches!(peer.recv(), (0, Performative::Open(_), _)));
    assert!(matches!(peer.recv(), (0, Performative::Close(_), _)));
}

#[test]
fn broken_frames_close_the_connection() {
    let big = (16 * 1024u32 + 1).to_be_bytes();
    let cases: [(&[u8], &str, &str); 9] = [
        (&[0, 0, 0, 7, 2, 0, 0, 0], "amqp:connection:framing-error", "7 bytes"),
        (
            &[big[0], big[1], big[2], big[3], 2, 0, 0, 0],
            "amqp:connection:framing-error",
            "exceeds the max-frame-size of 16384",
        ),
        (&[0, 0, 0, 8, 1, 0, 0, 0], "amqp:connection:framing-error", "data offset"),
        (&[0, 0, 0, 8, 3, 0, 0, 0], "amqp:connection:framing-error", "data offset"),
        (&[0, 0, 0, 8, 2, 9, 0, 0], "amqp:connection:framing-error", "type 9"),
        (&[0, 0, 0, 8, 2, 0, 0xff, 0], "amqp:connection:framing-error", "channel-max"),
        (&[0, 0, 0, 9, 2, 0, 0, 0, 0x40], "amqp:decode-error", "performative"),
        (&[0, 0, 0, 12, 2, 0, 0, 0, 0, 0x53, 0x11, 0x45], "amqp:invalid-field", "next-outgoing-id"),
        (&[0, 0, 0, 12, 2, 0, 0, 0, 0, 0x53, 0x99, 0x45], "amqp:decode-error", "0x99"),
    ];
    for (bytes, condition, says) in cases {
        let mut peer = Peer::opened();
        peer.bytes(bytes);
        peer.expect_close(condition, says);
    }
}

#[test]
fn extended_headers_are_skipped() {
    let mut peer = Peer::opened();
    let mut frame = vec![0, 0, 0, 0, 4, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    crate::Encode::encode(&Begin { incoming_window: 1, outgoing_window: 1, ..Begin::default() }, &mut frame);
    frame[3] = frame.len() as u8;
    peer.bytes(&frame);
    assert!(matches!(peer.event(), Event::SessionBegun { .. }));
}

#[test]
fn frames_before_open_and_on_unknown_channels() {
    let mut peer = Peer::raw(config(), Side::Server(ServerSasl { allow_bare: true, ..ServerSasl::default() }));
    peer.bytes(&crate::frame::ProtocolId::Amqp.header());
    peer.take_header();
    peer.send(0, &Begin::default());
    peer.expect_close("amqp:illegal-state", "Begin before open");
    let mut peer = Peer::opened();
    peer.transfer(first(0, 0), b"");
    peer.expect_close("amqp:illegal-state", "transfer on channel 0");
    let mut peer = Peer::with_session();
    peer.send(9, &performative::End::default());
    peer.expect_close("amqp:illegal-state", "end on channel 9");
    let mut peer = Peer::with_session();
    peer.send(0, &Begin::default());
    peer.expect_close("amqp:illegal-state", "channel 0, which has a session");
    let mut peer = Peer::opened();
    peer.send(0, &Begin { remote_channel: Some(3), ..Begin::default() });
    peer.expect_close("amqp:illegal-state", "answers channel 3");
}
