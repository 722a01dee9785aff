//! Headers, frames and encodings: what is accepted, and how the router refuses the rest.

use std::time::Duration;

use conformance::Router;
use conformance::raw::{AMQP_HEADER, Frame, Peer, SASL_HEADER, V, code, sasl};

const FRAMING: &str = "amqp:connection:framing-error";
const DECODE: &str = "amqp:decode-error";
const INVALID: &str = "amqp:invalid-field";

/// Sends `bytes` on an open connection; the router closes it for one of `conditions` and lives on.
fn refused(bytes: &[u8], conditions: &[&str]) {
    let mut router = Router::plain();
    let mut peer = Peer::opened(router.port);
    peer.send_bytes(bytes);
    peer.expect_close(conditions);
    router.assert_alive();
}

#[test]
fn bare_amqp_header_is_accepted() {
    let router = Router::plain();
    let mut peer = Peer::connect(router.port);
    let open = peer.open("bare");
    assert_eq!(open.field(0).text(), Some("QDR"));
    // The reference's values (WIRE.md 2.1).
    assert_eq!(open.field(2).number(), Some(16_384));
    assert_eq!(open.field(3).number(), Some(32_767));
    peer.close();
    peer.expect_end();
}

#[test]
fn sasl_anonymous_is_accepted() {
    let router = Router::plain();
    let mut peer = Peer::connect(router.port);
    peer.send_bytes(&SASL_HEADER);
    assert_eq!(peer.read_header(), Some(SASL_HEADER));
    let mechanisms = peer.expect(code::SASL_MECHANISMS);
    assert!(format!("{mechanisms:?}").contains("ANONYMOUS") || !mechanisms.fields.is_empty());
    peer.send(&sasl::init("ANONYMOUS", None));
    assert_eq!(peer.expect(code::SASL_OUTCOME).field(0).number(), Some(0));
    peer.open("sasl");
    peer.close();
}

#[test]
fn sasl_with_an_unknown_mechanism_fails() {
    let mut router = Router::plain();
    let mut peer = Peer::connect(router.port);
    peer.send_bytes(&SASL_HEADER);
    assert_eq!(peer.read_header(), Some(SASL_HEADER));
    peer.expect(code::SASL_MECHANISMS);
    peer.send(&sasl::init("NO-SUCH-MECHANISM", None));
    let outcome = peer.expect(code::SASL_OUTCOME).field(0).number();
    assert!(matches!(outcome, Some(1..=3)), "{outcome:?}");
    peer.expect_end();
    router.assert_alive();
}

#[test]
fn sasl_frames_out_of_order_end_the_connection() {
    let mut router = Router::plain();
    let mut peer = Peer::connect(router.port);
    peer.send_bytes(&SASL_HEADER);
    assert_eq!(peer.read_header(), Some(SASL_HEADER));
    // An open within the SASL layer.
    peer.send(&Frame::open("early"));
    peer.expect_end();
    router.assert_alive();
}

#[test]
fn a_listener_that_authenticates_refuses_the_bare_header() {
    let router = Router::with(|config| {
        config.listener(&[("saslMechanisms", "PLAIN"), ("authenticatePeer", "yes")]);
    });
    drop(router);
    let mut config = conformance::Config::new();
    config.listener(&[("saslMechanisms", "EXTERNAL"), ("authenticatePeer", "yes")]);
    let router = config.start();
    let mut peer = Peer::connect(router.port);
    peer.send_bytes(&AMQP_HEADER);
    peer.try_send(&Frame::open("unauthenticated"));
    // Answered with the header that is wanted, or at least not with an open.
    while let Some(header) = peer.read_header() {
        if header != SASL_HEADER && header != AMQP_HEADER {
            let text = String::from_utf8_lossy(&header);
            panic!("served without authentication: {text:?}");
        }
        if header == SASL_HEADER {
            return;
        }
        if let Some(frame) = peer.next_frame() {
            assert_ne!(frame.code, Some(code::BEGIN));
            if frame.code == Some(code::OPEN) {
                // An open may come before the close that refuses (§2.4.1).
                let (condition, _) = peer.expect_error(code::CLOSE);
                assert!(condition.starts_with("amqp:"), "{condition}");
                return;
            }
        }
    }
}

#[test]
fn a_wrong_protocol_header_is_answered_with_ours() {
    for wrong in [*b"AMQP\x00\x09\x01\x00", *b"AMQP\x07\x01\x00\x00", *b"GET / HT", *b"AMQP\x00\x01\x01\x00"] {
        let mut router = Router::plain();
        let mut peer = Peer::connect(router.port);
        peer.send_bytes(&wrong);
        // §2.2: the header of the protocol that is spoken, then the end.
        let answer = peer.read_header();
        assert!(answer.is_none_or(|header| header.starts_with(b"AMQP")), "{answer:?}");
        if wrong.starts_with(b"AMQP") {
            assert!(answer == Some(AMQP_HEADER) || answer == Some(SASL_HEADER), "{answer:?}");
        }
        peer.expect_end();
        router.assert_alive();
    }
}

#[test]
fn probes_are_harmless() {
    let mut router = Router::plain();
    for _ in 0..200 {
        drop(Peer::connect(router.port));
    }
    let mut peer = Peer::connect(router.port);
    peer.send_bytes(&AMQP_HEADER[..3]);
    drop(peer);
    router.assert_alive();
}

#[test]
fn bytes_may_come_one_by_one() {
    let router = Router::plain();
    let mut peer = Peer::connect(router.port);
    let mut all = AMQP_HEADER.to_vec();
    all.extend(Frame::open("slow").bytes());
    all.extend(Frame::begin().bytes());
    for byte in all {
        peer.send_bytes(&[byte]);
    }
    assert_eq!(peer.read_header(), Some(AMQP_HEADER));
    peer.expect(code::OPEN);
    peer.expect(code::BEGIN);
    peer.close();
}

#[test]
fn everything_may_come_at_once() {
    let router = Router::plain();
    let mut peer = Peer::connect(router.port);
    let mut all = AMQP_HEADER.to_vec();
    for frame in [Frame::open("fast"), Frame::begin(), Frame::receiver("r", 0, Some("a")), Frame::close()] {
        all.extend(frame.bytes());
    }
    peer.send_bytes(&all);
    assert_eq!(peer.read_header(), Some(AMQP_HEADER));
    for wanted in [code::OPEN, code::BEGIN, code::ATTACH, code::CLOSE] {
        peer.expect(wanted);
    }
    peer.expect_end();
}

#[test]
fn frame_size_below_eight() {
    for size in [0_u8, 1, 7] {
        refused(&[0, 0, 0, size, 2, 0, 0, 0], &[FRAMING]);
    }
}

#[test]
fn frame_beyond_the_maximum() {
    let mut bytes = Frame::begin().bytes();
    bytes[..4].copy_from_slice(&(16_384_u32 + 1).to_be_bytes());
    refused(&bytes, &[FRAMING, "amqp:frame-size-too-small"]);
    bytes[..4].copy_from_slice(&u32::MAX.to_be_bytes());
    refused(&bytes, &[FRAMING, "amqp:frame-size-too-small"]);
}

#[test]
fn the_largest_frame_is_accepted() {
    let router = Router::plain();
    let mut peer = Peer::begun(router.port);
    peer.attach_receiver(0, Some("full"), 10);
    peer.attach_sender(1, Some("full"));
    let mut frame = Frame::transfer(1, 0, conformance::raw::message::data(&vec![7; 16_000]));
    let room = 16_384 - frame.bytes().len();
    frame = Frame::transfer(1, 0, conformance::raw::message::data(&vec![7; 16_000 + room]));
    assert_eq!(frame.bytes().len(), 16_384);
    peer.send(&frame);
    assert_eq!(peer.expect_delivery().1, frame.payload);
}

#[test]
fn doff_below_two() {
    refused(&Frame::wrap(0, 0, 0, &[]), &[FRAMING]);
    refused(&Frame::wrap(1, 0, 0, &[]), &[FRAMING]);
}

#[test]
fn doff_beyond_the_frame() {
    let mut bytes = Frame::wrap(2, 0, 0, &[0; 4]);
    bytes[4] = 200;
    refused(&bytes, &[FRAMING]);
}

#[test]
fn extended_header_is_skipped() {
    let router = Router::plain();
    let mut peer = Peer::opened(router.port);
    let begin = Frame::begin().bytes();
    peer.send_bytes(&Frame::wrap(7, 0, 0, &begin[8..]));
    peer.expect(code::BEGIN);
    // And on an empty frame.
    peer.send_bytes(&Frame::wrap(3, 0, 0, &[]));
    peer.close();
}

#[test]
fn empty_frames_are_heartbeats() {
    let router = Router::plain();
    let mut peer = Peer::opened(router.port);
    for _ in 0..100 {
        peer.send(&Frame::empty());
        peer.send(&Frame::empty().on(77));
    }
    peer.close();
}

#[test]
fn unknown_frame_type() {
    refused(&Frame::wrap(2, 9, 0, &[]), &[FRAMING, "amqp:not-implemented"]);
}

#[test]
fn unknown_performative() {
    let bytes = Frame::new(0x99, Vec::new()).bytes();
    refused(&bytes, &[FRAMING, DECODE, "amqp:not-implemented", "amqp:not-allowed"]);
    // A SASL performative after the SASL layer.
    let bytes = Frame::wrap(2, 0, 0, &Frame::new(code::SASL_INIT, vec![V::sym("ANONYMOUS")]).bytes()[8..]);
    refused(&bytes, &[FRAMING, DECODE, "amqp:not-implemented", "amqp:not-allowed"]);
}

#[test]
fn noise_instead_of_a_performative() {
    for body in [
        &b"\x40"[..],                                        // null
        b"\x00\x53",                                         // a descriptor cut off
        b"\x00\x53\x11",                                     // no fields
        b"\x00\x53\x11\x40",                                 // fields that are no list
        b"\x00\x53\x11\xc0\xff\x01\x40",                     // a list longer than the frame
        b"\x00\x53\x11\xd0\xff\xff\xff\xff\xff\xff\xff\xff", // the same with wide sizes
        b"\x00\x53\x11\xc0\x02\xff\x40",                     // more items than bytes
        b"\x00\x53\x11\xd0\x00\x00\x00\x05\xff\xff\xff\xff\x40",
        b"\x3f\x53\x11\x45",     // no such format code
        b"\x00\xa1\x01\xff\x45", // a string as descriptor, not UTF-8
    ] {
        refused(&Frame::wrap(2, 0, 0, body), &[FRAMING, DECODE, INVALID, "amqp:not-implemented", "amqp:not-allowed"]);
    }
}

#[test]
fn depth_is_bounded() {
    // STACK.md: 2,500 nested described values made another implementation abort.
    for (open, inner) in [(&b"\x00\x53\x01"[..], 2_500), (b"\x00\x00\x00", 3_000)] {
        let mut bomb = open.repeat(inner);
        bomb.push(0x40);
        // As a property of the session, so that it is decoded as a value.
        let map = V::Map(vec![(V::sym("bomb"), V::Raw(bomb))]);
        let bytes = Frame::begin().with(7, map).bytes();
        refused(&bytes, &[DECODE, INVALID, "amqp:resource-limit-exceeded", FRAMING]);
    }
    // Lists in lists.
    let mut bomb = vec![0x40];
    for _ in 0..1_500 {
        let mut outer = vec![0xd0];
        outer.extend((bomb.len() as u32 + 4).to_be_bytes());
        outer.extend(1_u32.to_be_bytes());
        outer.extend(&bomb);
        bomb = outer;
    }
    let bytes = Frame::begin().with(7, V::Map(vec![(V::sym("bomb"), V::Raw(bomb))])).bytes();
    refused(&bytes, &[DECODE, INVALID, "amqp:resource-limit-exceeded", FRAMING]);
}

#[test]
fn depth_in_a_message_is_the_receivers_business() {
    let router = Router::plain();
    let mut peer = Peer::begun(router.port);
    peer.attach_receiver(0, Some("deep"), 10);
    peer.attach_sender(1, Some("deep"));
    let mut bomb = b"\x00\x53\x77".to_vec();
    bomb.extend(b"\x00\x53\x01".repeat(2_500));
    bomb.push(0x40);
    peer.send(&Frame::transfer(1, 0, bomb.clone()));
    assert_eq!(peer.expect(code::TRANSFER).payload, bomb);
}

#[test]
fn missing_mandatory_fields() {
    refused(&Frame::new(code::BEGIN, Vec::new()).bytes(), &[DECODE, INVALID]);
    refused(&Frame::new(code::BEGIN, vec![V::Null, V::Null, V::Uint(1), V::Uint(1)]).bytes(), &[DECODE, INVALID]);
}

#[test]
fn a_field_of_the_wrong_type() {
    refused(&Frame::begin().with(2, V::str("many")).bytes(), &[DECODE, INVALID]);
    refused(&Frame::begin().with(2, V::Ulong(5)).bytes(), &[DECODE, INVALID]);
}

#[test]
fn an_open_without_container() {
    let mut router = Router::plain();
    let mut peer = Peer::connect(router.port);
    peer.send_bytes(&AMQP_HEADER);
    peer.send(&Frame::new(code::OPEN, Vec::new()));
    assert_eq!(peer.read_header(), Some(AMQP_HEADER));
    peer.expect_close(&[DECODE, INVALID]);
    router.assert_alive();
}

#[test]
fn max_frame_size_of_the_peer_is_kept() {
    let router = Router::plain();
    let mut peer = Peer::connect(router.port);
    peer.send_bytes(&AMQP_HEADER);
    peer.send(&Frame::open("small").with(2, V::Uint(512)));
    assert_eq!(peer.read_header(), Some(AMQP_HEADER));
    peer.expect(code::OPEN);
    peer.send(&Frame::begin());
    peer.expect(code::BEGIN);
    peer.attach_receiver(0, Some("small"), 10);
    peer.attach_sender(1, Some("small"));
    let message = conformance::raw::message::data(&vec![1; 10_000]);
    peer.send(&Frame::transfer(1, 0, message.clone()));
    let mut body: Vec<u8> = Vec::new();
    loop {
        let part = peer.expect(code::TRANSFER);
        assert!(part.bytes().len() <= 600, "re-encoded with wide fields, it was at most 512 on the wire");
        assert!(part.payload.len() < 512);
        body.extend_from_slice(&part.payload);
        if !part.field(5).is_true() {
            break;
        }
    }
    assert_eq!(body, message);
}

#[test]
fn a_silent_peer_is_closed_after_its_idle_timeout() {
    let mut config = conformance::Config::new();
    config.listener(&[("idleTimeoutSeconds", "2")]);
    let router = config.start();
    let mut peer = Peer::opened(router.port);
    peer.expect_close(&["amqp:resource-limit-exceeded"]);
}

#[test]
fn the_router_keeps_the_peers_idle_timeout() {
    let router = Router::plain();
    let mut peer = Peer::connect(router.port);
    peer.send_bytes(&AMQP_HEADER);
    peer.send(&Frame::open("impatient").with(4, V::Uint(2_000)));
    assert_eq!(peer.read_header(), Some(AMQP_HEADER));
    peer.expect(code::OPEN);
    // Empty frames arrive, each within the timeout.
    for _ in 0..3 {
        assert!(peer.readable_within(Duration::from_millis(2_000)), "no heartbeat");
        let frame = peer.next_any().unwrap();
        assert_eq!(frame.code, None, "{frame:?}");
    }
    peer.close();
}
