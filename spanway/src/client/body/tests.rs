use amqp_proto::message::{Body, Message, MessageHeader, Properties, data_header};
use amqp_proto::{Encode as _, Fields, Value};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn encode(message: &Message) -> Bytes {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    bytes.into()
}

/// Feeds `bytes` cut at these places; content is joined, as where it is cut means nothing.
fn feed(bytes: &Bytes, cuts: &[usize]) -> Result<Vec<Piece>, BodyError> {
    let mut parser = BodyParser::default();
    let mut pieces = Vec::new();
    let mut on = |piece| match (pieces.last_mut(), piece) {
        (Some(Piece::Content(before)), Piece::Content(more)) => *before = [&before[..], &more[..]].concat().into(),
        (_, piece) => pieces.push(piece),
    };
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    for range in cuts.windows(2) {
        parser.feed(bytes.slice(range[0]..range[1]), &mut on)?;
    }
    parser.finish()?;
    Ok(pieces)
}

fn rich(body: Body) -> Message {
    Message {
        header: Some(MessageHeader { durable: true, ..MessageHeader::default() }),
        message_annotations: Some(Fields::from_entries([("x-opt-a", Value::from(1_u64))])),
        properties: Some(Properties { subject: Some("s".into()), ..Properties::default() }),
        application_properties: Some(Value::Map(vec![("k".into(), "v".into())])),
        body,
        footer: Some(Fields::from_entries([("x-opt-f", Value::Null)])),
        ..Message::default()
    }
}

fn content(pieces: &[Piece]) -> Vec<u8> {
    pieces
        .iter()
        .flat_map(|piece| if let Piece::Content(bytes) = piece { bytes.to_vec() } else { Vec::new() })
        .collect()
}

#[test]
fn binaries_and_texts_are_content() {
    for (body, expected) in [
        (Body::Data(vec!["ab".into(), "".into(), "c".into()]), "abc"),
        (Body::Data(vec![vec![b'x'; 300].into()]), &"x".repeat(300)),
        (Body::Value("text".into()), "text"),
        (Body::Value(Value::Binary("bin".into())), "bin"),
        (Body::Value(Value::Symbol("sym".into())), "sym"),
        (Body::Empty, ""),
    ] {
        let pieces = feed(&encode(&rich(body)), &[]).expect("well formed");
        assert_eq!(String::from_utf8(content(&pieces)).expect("text"), expected);
    }
}

#[test]
fn other_values_and_the_head_come_whole() {
    let list = Value::List(vec![1_u32.into(), Value::described(7_u64.into(), "d".into())]);
    let message = rich(Body::Value(list.clone()));
    let wholes: Vec<_> = feed(&encode(&message), &[])
        .expect("well formed")
        .into_iter()
        .map(|piece| if let Piece::Whole(kind, bytes) = piece { (kind, bytes) } else { panic!("{piece:?}") })
        .collect();
    let kinds: Vec<_> = wholes.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [SectionKind::MessageAnnotations, SectionKind::Properties, SectionKind::Value]);
    let value = amqp_proto::Raw::new(wholes[2].1.clone()).expect("one value").to_value().expect("a value");
    assert_eq!(value, list);
}

#[test]
fn a_described_value_is_one_value() {
    let value = Value::described("a:b".into(), Value::described(Value::Symbol("c".into()), vec![Value::Null].into()));
    let bytes = encode(&Message::value(value.clone()));
    for cut in 0..bytes.len() {
        let pieces = feed(&bytes, &[cut]).expect("well formed");
        let [Piece::Whole(SectionKind::Value, encoded)] = pieces.as_slice() else { panic!("{pieces:?}") };
        assert_eq!(amqp_proto::Raw::new(encoded.clone()).expect("one").to_value().expect("a value"), value);
    }
}

#[test]
fn long_descriptors_are_understood() {
    for head in [
        &b"\x00\x80\x00\x00\x00\x00\x00\x00\x00\x75"[..],
        b"\x00\xa3\x10amqp:data:binary",
        b"\x00\xb3\x00\x00\x00\x10amqp:data:binary",
    ] {
        let bytes = Bytes::from([head, b"\xa0\x02hi"].concat());
        for cut in 0..bytes.len() {
            assert_eq!(content(&feed(&bytes, &[cut]).expect("well formed")), b"hi");
        }
    }
}

#[test]
fn faults_are_found() {
    let data = [0x00, 0x53, 0x75, 0xa0, 0x01, b'x'];
    let value = [0x00, 0x53, 0x77, 0x40];
    for (bytes, expected) in [
        (&b"\x41"[..], "no section begins with 0x41"),
        (b"\x00\x53\x10\x40", "no section begins with 0x10"),
        (b"\x00\x53\x75\xa1\x00", "a section data has a value of type 0xa1"),
        (b"\x00\x53\x70\xc1\x00", "a section header has a value of type 0xc1"),
        (b"\x00\x53\x75\xa0\x05x", "cut off"),
        (b"\x00\x53", "cut off"),
        (b"\x00\x53\x77\x30", "0x30"),
        (&[data, data].concat()[..11], "cut off"),
        (&[&data[..], &value[..]].concat(), "a section amqp-value is out of order"),
        (&[&value[..], &value[..]].concat(), "out of order"),
        (&[&[0x00, 0x53, 0x77][..], &[0; 5000]].concat(), "too long"),
    ] {
        let error = feed(&Bytes::copy_from_slice(bytes), &[]).expect_err("malformed");
        assert!(error.to_string().contains(expected), "{bytes:x?}: {error}");
    }
}

#[test]
fn memory_stays_bounded_at_any_size() {
    let mut parser = BodyParser::default();
    let mut streamed = 0_u64;
    let mut on = |piece| match piece {
        Piece::Content(bytes) => streamed += bytes.len() as u64,
        other => panic!("{other:?}"),
    };
    let chunk = Bytes::from(vec![0; 1 << 20]);
    let (head, len) = data_header(u32::MAX);
    parser.feed(Bytes::copy_from_slice(&head[..len]), &mut on).expect("a head");
    // The last byte is behind the section.
    for _ in 0..4096 {
        parser.feed(chunk.clone(), &mut on).expect("content");
    }
    assert_eq!(streamed, u64::from(u32::MAX));
    let mut pieces = Vec::new();
    let sequence = Bytes::from_static(b"\x00\x53\x76\xd0\xff\xff\xff\xff");
    BodyParser::default().feed(sequence, &mut |piece| pieces.push(piece)).expect("a head");
    assert!(matches!(pieces.as_slice(), [Piece::TooLarge(SectionKind::Sequence, _)]), "{pieces:?}");
}

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        vec(vec(any::<u8>(), 0..600), 1..4).prop_map(|all| Body::Data(all.into_iter().map(Bytes::from).collect())),
        vec(any::<u32>(), 0..100).prop_map(|n| Body::Value(n.into_iter().map(Value::from).collect::<Vec<_>>().into())),
        vec(any::<u32>(), 0..9).prop_map(|n| Body::Sequence(vec![n.into_iter().map(Value::from).collect(); 2])),
        any::<u64>().prop_map(|n| Body::Value(Value::described("x".into(), n.into()))),
        ".{0,300}".prop_map(|text| Body::Value(text.into())),
    ]
}

proptest! {
    #[test]
    fn cuts_mean_nothing(body in body(), cuts in vec(any::<usize>(), 0..20)) {
        let message = rich(body);
        let bytes = encode(&message);
        let whole = feed(&bytes, &[]).expect("well formed");
        prop_assert_eq!(&feed(&bytes, &cuts).expect("well formed"), &whole);
        prop_assert_eq!(&feed(&bytes, &(0..bytes.len()).collect::<Vec<_>>()).expect("well formed"), &whole);
        if let Some(expected) = message.body_bytes() {
            prop_assert_eq!(content(&whole), expected.to_vec());
        }
    }

    #[test]
    fn noise_never_panics(bytes in vec(prop_oneof![Just(0), Just(0x53), 0x70..0x79_u8, any::<u8>()], 0..200), cuts in vec(any::<usize>(), 0..9)) {
        let bytes = Bytes::from(bytes);
        let whole = feed(&bytes, &[]);
        prop_assert_eq!(whole.is_ok(), feed(&bytes, &cuts).is_ok());
    }
}
