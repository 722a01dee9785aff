//! Part 3: sections.

use bytes::Bytes;
use proptest::prelude::*;

use super::{hex, round_trips};
use crate::{
    DecodeError, Encode, Fields, Raw, Timestamp, Value, fuzz,
    message::{
        Body, Head, HeadCursor, MAX_HEAD, MediaType, Message, MessageHeader, Progress, Properties, SectionKind,
        Sections, data_header,
    },
};

fn scan(message: &[u8], complete: bool) -> Result<Option<Head>, DecodeError> {
    let mut cursor = HeadCursor::new(MAX_HEAD);
    Ok((cursor.advance(message, complete)? == Progress::Done).then_some(*cursor.head()))
}

/// Sections as routers send them to each other (reference/WIRE.md 2.3), then header, properties and a body.
const BETWEEN_ROUTERS: &str = concat!(
    "00 80 534b50522d2d5241 d0 0000001d 00000004 43 a1 03 737663 a1 03 302f41 d0 00000009 00000001 a1 03 302f41",
    "00 53 70 d0 00000005 00000001 42",
    "00 53 73 c0 0e 03 40 40 a1 09 736572766963652f61",
    "00 53 75 a0 03 010203"
);

#[test]
fn finds_the_head() {
    let message = hex(BETWEEN_ROUTERS);
    let head = scan(&message, true).expect("legal").expect("complete");
    assert_eq!(head.router_annotations.map(|s| s.range()), Some(0..44));
    assert_eq!(head.header.map(|s| s.range()), Some(44..57));
    assert_eq!(head.read_header(&message), Ok(MessageHeader::default()));
    assert_eq!(head.priority(&message), Ok(4));
    let properties = head.read_properties(&message);
    assert_eq!(properties.to(), Ok(Some("service/a")));
    assert_eq!(properties.reply_to(), Ok(None));
    assert_eq!(properties.message_id(), Ok(None));
    // The body has not been looked at: it need not be there.
    assert_eq!(scan(&message.slice(..head.rest), false), Ok(Some(head)));
    let kinds: Vec<_> = Sections::new(&message).map(|s| s.map(|s| s.kind)).collect::<Result<_, _>>().expect("legal");
    assert_eq!(
        kinds,
        [SectionKind::RouterAnnotations, SectionKind::Header, SectionKind::Properties, SectionKind::Data]
    );
}

#[test]
fn needs_more_until_the_properties_are_there() {
    let message = hex(BETWEEN_ROUTERS);
    let rest = scan(&message, true).expect("legal").expect("complete").rest;
    for len in 0..rest {
        assert_eq!(scan(&message[..len], false), Ok(None), "{len} bytes");
    }
    for len in rest..=message.len() {
        assert!(scan(&message[..len], false).expect("legal").is_some(), "{len} bytes");
    }
    // Said to be complete, it is malformed, except between two sections.
    for len in 1..rest {
        let boundary = len == 44 || len == 57;
        assert_eq!(scan(&message[..len], true).is_ok(), boundary, "{len} bytes");
    }
}

#[test]
fn messages_without_properties() {
    // The scan ends at the first section that can only follow them.
    for body in ["00 53 74 c1 01 00", "00 53 75 a0 00", "00 53 76 45", "00 53 77 40", "00 53 78 c1 01 00"] {
        let head = scan(&hex(body)[..3], false).expect("legal").expect("decided by the descriptor");
        assert_eq!(head, Head::default());
        assert_eq!(head.read_properties(&[]).to(), Ok(None));
    }
    assert_eq!(scan(&[], true), Ok(Some(Head::default())));
    assert_eq!(scan(&[], false), Ok(None));
}

#[test]
fn sections_by_name() {
    let message = hex(
        "00 a3 10 616d71703a6865616465723a6c697374 c0 04 02 41 50 07 00 a3 0f 616d71703a646174613a62696e617279 a0 00",
    );
    let message = Bytes::from(message.to_vec());
    let head = scan(&message, true).expect_err("amqp:data:binary has 16 characters");
    assert!(
        matches!(
            head,
            DecodeError::UnexpectedDescriptor { .. }
                | DecodeError::UnknownConstructor { .. }
                | DecodeError::UnexpectedType { .. }
        ),
        "{head}"
    );
    let message = hex(
        "00 a3 10 616d71703a6865616465723a6c697374 c0 04 02 41 50 07 00 a3 10 616d71703a646174613a62696e617279 a0 00",
    );
    let head = scan(&message, true).expect("legal").expect("complete");
    assert_eq!(head.priority(&message), Ok(7));
    assert!(head.read_header(&message).expect("a header").durable);
}

#[test]
fn sections_in_wrong_order_or_of_wrong_types() {
    for text in [
        "00 53 73 45 00 53 70 45",
        "00 53 70 45 00 53 70 45",
        "00 53 77 40 00 53 75 a0 00",
        "00 53 75 a0 00 00 53 76 45",
        "00 53 78 c1 01 00 00 53 77 40",
    ] {
        let message = hex(text);
        assert!(Sections::new(&message).any(|s| matches!(s, Err(DecodeError::SectionOrder { .. }))), "{text}");
    }
    assert!(matches!(scan(&hex("00 53 72 c1 01 00 00 53 71 c1 01 00"), true), Err(DecodeError::SectionOrder { .. })));
    for text in ["00 53 70 c1 01 00", "00 53 71 45", "00 53 73 a0 00", "00 53 24 45", "a0 00", "00 41 40"] {
        assert!(scan(&hex(text), false).is_err(), "{text}");
    }
    assert!(Sections::new(&hex("00 53 75 a1 00")).any(|s| s.is_err()));
}

#[test]
fn heads_are_bounded() {
    // By the declared size, without waiting for the bytes.
    let message = hex("00 53 72 d1 00010000 00000000");
    assert_eq!(scan(&message, false), Err(DecodeError::HeadTooLarge { limit: MAX_HEAD }));
    let mut cursor = HeadCursor::new(16);
    assert_eq!(cursor.advance(&hex("00 53 70 c0 20 00"), false), Err(DecodeError::HeadTooLarge { limit: 16 }));
}

#[test]
fn priorities() {
    for (list, priority) in [
        ("45", 4),
        ("c0 01 00", 4),
        ("c0 02 01 41", 4),
        ("c0 03 02 41 40", 4),
        ("c0 04 02 41 50 09", 9),
        ("c0 04 02 40 50 00", 0),
        ("c0 05 02 56 01 50 05", 5),
        ("c0 04 02 42 50 ff", 9),
        ("d0 00000007 00000002 42 50 06", 6),
    ] {
        let message = hex(&format!("00 53 70 {list} 00 53 77 40"));
        let head = scan(&message, true).expect("legal").expect("complete");
        assert_eq!(head.priority(&message), Ok(priority), "{list}");
    }
}

#[test]
fn properties_view_reads_every_position() {
    let properties = Properties {
        message_id: Some(Raw::from(&Value::from(7u64))),
        user_id: Some(Bytes::from_static(b"guest")),
        to: Some("to".into()),
        subject: Some("subject".into()),
        reply_to: Some("reply".into()),
        correlation_id: Some(Raw::from(&Value::from("c"))),
        content_type: Some(MediaType::String("application/octet-stream".into())),
        creation_time: Some(Timestamp(1)),
        ..Properties::default()
    };
    let message = Message { properties: Some(properties), ..Message::value(Value::Null) };
    let bytes = Bytes::from(message.encoded());
    let head = scan(&bytes, true).expect("legal").expect("complete");
    let view = head.read_properties(&bytes);
    assert_eq!(view.message_id(), Ok(Some(hex("53 07").as_ref())));
    assert_eq!(view.user_id(), Ok(Some(hex("a0 05 6775657374").as_ref())));
    assert_eq!((view.to(), view.subject(), view.reply_to()), (Ok(Some("to")), Ok(Some("subject")), Ok(Some("reply"))));
    assert_eq!(view.correlation_id(), Ok(Some(hex("a1 01 63").as_ref())));
    assert_eq!(view.field(7), Ok(None));
    assert_eq!(view.field(8), Ok(None));
    assert_eq!(view.field(20), Ok(None));
    assert_eq!(Message::decode(&bytes), Ok(message));
}

#[test]
fn a_to_that_is_no_string_is_refused() {
    let message = hex("00 53 73 c0 06 03 40 40 a3 01 61");
    let head = scan(&message, true).expect("legal").expect("complete");
    assert_eq!(
        head.read_properties(&message).to().expect_err("a symbol").to_string(),
        "properties.to: constructor 0xa3 at byte 0 where a string was expected"
    );
    let message = hex("00 53 73 c0 06 03 40 40 a1 01 ff");
    assert!(scan(&message, true).expect("legal").expect("complete").read_properties(&message).to().is_err());
}

#[test]
fn whole_messages() {
    let message = Message {
        header: Some(MessageHeader { durable: true, ttl: Some(1000), ..MessageHeader::default() }),
        delivery_annotations: Some(Fields::from_entries([("x-d", Value::Null)])),
        message_annotations: Some(Fields::from_entries([("x-m", 1u8.into())])),
        application_properties: Some(Value::Map(vec![("opcode".into(), "HELLO".into())])),
        body: Body::Data(vec![Bytes::from_static(b"ab"), Bytes::from(vec![7; 300])]),
        footer: Some(Fields::from_entries([("x-f", 2u8.into())])),
        ..Message::default()
    }
    .to("a");
    let bytes = Bytes::from(message.encoded());
    assert_eq!(Message::decode(&bytes), Ok(message.clone()));
    assert_eq!(message.body_bytes().map(|b| b.len()), Some(302));
    for len in 1..bytes.len() {
        // Cut between sections it is another message; anywhere else it is none.
        if let Ok(part) = Message::decode(&bytes.slice(..len)) {
            assert_eq!(part.encoded(), bytes.slice(..len));
        }
        fuzz::fuzz_message(&bytes[..len]);
    }
    let sequence = Message { body: Body::Sequence(vec![vec![1u8.into()], vec![]]), ..Message::default() };
    assert_eq!(Message::decode(&sequence.encoded().into()), Ok(sequence));
    // A router-annotations section is not part of what applications see.
    assert_eq!(Message::decode(&hex(BETWEEN_ROUTERS)).expect("legal").body, Body::Data(vec![hex("010203")]));
}

#[test]
fn smallest_message() {
    assert_eq!(Message::data("hi").encoded(), hex("00 53 75 a0 02 6869"));
    assert_eq!(Message::value("hi").to("x").encoded(), hex("00 53 73 c0 06 03 40 40 a1 01 78 00 53 77 a1 02 6869"));
}

#[test]
fn data_headers() {
    for len in [0u32, 255, 256, 70_000] {
        let (head, used) = data_header(len);
        let mut bytes = head[..used].to_vec();
        bytes.extend(vec![1; len as usize]);
        assert_eq!(bytes, Message::data(vec![1; len as usize]).encoded());
    }
}

proptest! {
    #[test]
    fn round_trip(value in round_trips::value(), to in "[a-z/]{0,300}", at in any::<usize>(), byte in any::<u8>(), cut in any::<bool>()) {
        let message = Message::value(value).to(&to);
        let bytes = message.encoded();
        prop_assert_eq!(bytes.len(), message.encoded_len());
        let again = Message::decode(&bytes.clone().into());
        prop_assert_eq!(again.map(|m| m.encoded()), Ok(bytes.clone()));
        let head = scan(&bytes, true).expect("legal").expect("complete");
        prop_assert_eq!(head.read_properties(&bytes).to(), Ok(Some(to.as_str())));
        fuzz::fuzz_message(&bytes);
        fuzz::fuzz_message(&round_trips::damaged(&bytes, at, byte, cut));
    }
}
