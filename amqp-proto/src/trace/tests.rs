//! The texts are compared with what Qpid Proton's traces look like.

use bytes::Bytes;
use proptest::prelude::*;

use super::{LONGEST, text, units};
use crate::{
    Attach, Begin, Close, DeliveryState, DeliveryTag, Disposition, Encode, Error, Fields, Open, Role, Source, Symbols,
    Target, Transfer, Value, condition,
    frame::{EMPTY_FRAME, FrameKind, ProtocolId, write_amqp, write_header, write_sasl},
    sasl::{SaslInit, SaslMechanisms, Secret},
};

fn amqp<T: Encode>(channel: u16, performative: &T, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    write_amqp(&mut frame, channel, performative, payload.len());
    frame.extend_from_slice(payload);
    frame
}

fn received<T: Encode>(performative: &T) -> String {
    text(&amqp(0, performative, &[]), false)
}

#[test]
fn headers_and_empty_frames() {
    assert_eq!(text(&ProtocolId::Amqp.header(), false), "FRAME:   <- AMQP");
    assert_eq!(text(&ProtocolId::Sasl.header(), true), "FRAME:   -> SASL");
    assert_eq!(text(b"AMQP\x00\x09\x00\x00", false), "FRAME:   <- (a protocol header that is not known)");
    assert_eq!(text(&EMPTY_FRAME, true), "FRAME: 0 -> (EMPTY FRAME)");
}

#[test]
fn connections_and_sessions() {
    let open = Open {
        container_id: "it's \"me\"".into(),
        max_frame_size: 0x4000,
        idle_time_out: Some(8000),
        offered_capabilities: Symbols::from(["ANONYMOUS-RELAY", "qd.streaming-links"]),
        properties: Some(Fields::from_entries([("product", "p".into()), ("x.y", Value::Int(-3))])),
        ..Open::default()
    };
    assert_eq!(
        received(&open),
        "FRAME: 0 <- @open(16) [container-id=\"it's \\x22me\\x22\", max-frame-size=0x4000, idle-time-out=0x1f40, \
         offered-capabilities=@<symbol>[:ANONYMOUS-RELAY, :\"qd.streaming-links\"], properties={:product=\"p\", :\"x.y\"=-3}]"
    );
    let begin =
        Begin { remote_channel: Some(7), incoming_window: 10, outgoing_window: 0x7fff_ffff, ..Begin::default() };
    assert_eq!(
        text(&amqp(3, &begin, &[]), true),
        "FRAME: 3 -> @begin(17) [remote-channel=0x7, next-outgoing-id=0x0, incoming-window=0xa, outgoing-window=0x7fffffff]"
    );
    assert_eq!(received(&Close::default()), "FRAME: 0 <- @close(24) []");
    let close = Close { error: Some(Error::new(condition::NOT_FOUND, "gone")) };
    let expected = "FRAME: 0 <- @close(24) [error=@error(29) [condition=:\"amqp:not-found\", description=\"gone\"]]";
    assert_eq!(received(&close), expected);
}

#[test]
fn links_and_deliveries() {
    let attach = Attach {
        name: "l".into(),
        handle: 1,
        role: Role::Receiver,
        source: Some(Source { dynamic: true, ..Source::default() }.into()),
        target: Some(Target { address: Some("a/b".into()), ..Target::default() }.into()),
        ..Attach::default()
    };
    assert_eq!(
        received(&attach),
        "FRAME: 0 <- @attach(18) [name=\"l\", handle=0x1, role=true, source=@source(40) [dynamic=true], \
         target=@target(41) [address=\"a/b\"]]"
    );
    let transfer = Transfer {
        handle: 0,
        delivery_id: Some(9),
        delivery_tag: DeliveryTag::new(b"1\x00"),
        message_format: Some(0),
        settled: Some(true),
        ..Transfer::default()
    };
    assert_eq!(
        text(&amqp(0, &transfer, b"\x00Sw\xa1\x02\"\xff"), true),
        "FRAME: 0 -> @transfer(20) [handle=0x0, delivery-id=0x9, delivery-tag=b\"1\\x00\", message-format=0x0, settled=true] \
         (7) \\x00Sw\\xa1\\x02\\x22\\xff"
    );
    let mut disposition = Disposition { role: Role::Receiver, first: 2, settled: true, ..Disposition::default() };
    disposition.state = Some(DeliveryState::Accepted);
    let expected = "FRAME: 0 <- @disposition(21) [role=true, first=0x2, settled=true, state=@accepted(36) []]";
    assert_eq!(received(&disposition), expected);
    disposition.state = Some(DeliveryState::Received { section_number: 1, section_offset: 16 });
    assert!(received(&disposition).ends_with("state=@received(35) [section-number=0x1, section-offset=0x10]]"));
}

#[test]
fn secrets_are_left_out() {
    let mut frame = Vec::new();
    let init = SaslInit {
        mechanism: "PLAIN".into(),
        initial_response: Some(Secret(Bytes::from_static(b"\0me\0hush"))),
        hostname: None,
    };
    write_sasl(&mut frame, &init);
    let shown = text(&frame, false);
    assert_eq!(shown, "FRAME: 0 <- @sasl-init(65) [mechanism=:PLAIN, initial-response=(8 bytes)]");
    frame.clear();
    write_sasl(&mut frame, &SaslMechanisms { sasl_server_mechanisms: Symbols::from(["ANONYMOUS"]) });
    let expected = "FRAME: 0 -> @sasl-mechanisms(64) [sasl-server-mechanisms=@<symbol>[:ANONYMOUS]]";
    assert_eq!(text(&frame, true), expected);
}

#[test]
fn long_ones_are_cut_and_unknown_ones_shown() {
    let shown = text(&amqp(0, &Transfer::default(), &[b'x'; 4096]), true);
    assert!(shown.contains("(4096) xxx") && shown.ends_with("xxx ... (truncated)"), "{shown}");
    assert!(shown.len() <= LONGEST + 20);
    let mut frame = Vec::new();
    // A list described by 0x99, and then nothing that could be read.
    write_header(&mut frame, FrameKind::Amqp, 1, 4);
    frame.extend_from_slice(&[0x00, 0x53, 0x99, 0x45]);
    assert_eq!(text(&frame, false), "FRAME: 1 <- @0x99 []");
    frame.truncate(8);
    frame.extend_from_slice(&[0xff; 4]);
    assert!(text(&frame, false).starts_with("FRAME: 1 <- (4 bytes that cannot be read: "), "{}", text(&frame, false));
}

#[test]
fn a_stream_is_split() {
    let close = amqp(0, &Close::default(), &[]);
    let stream = [&ProtocolId::Amqp.header()[..], &EMPTY_FRAME, &close].concat();
    let split: Vec<&[u8]> = units(&stream).collect();
    assert_eq!(split, [&ProtocolId::Amqp.header()[..], &EMPTY_FRAME, &close]);
    assert!(units(&stream).are_whole() && units(&[]).are_whole());
    assert!(!units(&stream[..stream.len() - 1]).are_whole());
    assert_eq!(units(&stream[..stream.len() - 1]).count(), 2);
    assert!(!units(&stream[3..]).are_whole());
}

proptest! {
    #[test]
    fn anything_has_a_text(bytes in prop::collection::vec(any::<u8>(), 0..200), sent in any::<bool>()) {
        for unit in units(&bytes) {
            prop_assert!(!text(unit, sent).is_empty());
        }
        // And the same in a frame.
        let mut frame = Vec::new();
        write_header(&mut frame, FrameKind::Amqp, 0, bytes.len());
        frame.extend_from_slice(&bytes);
        prop_assert!(text(&frame, sent).len() <= LONGEST + 20);
        prop_assert!(units(&frame).are_whole());
    }
}
