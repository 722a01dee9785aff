use proptest::prelude::*;

use super::{Head, HeadError};
use crate::connector::Origin;

fn full() -> Head {
    Head {
        correlation: Some("abcde:7".into()),
        to: "service".into(),
        reply_to: Some("amqp:/_topo/0/A/temp.NYcqweffSJuhOJo".into()),
        alpn: Some("h2".into()),
        origin: Some(Origin {
            client: "192.0.2.1:4000".parse().unwrap(),
            destination: "[2001:db8::1]:443".parse().unwrap(),
        }),
        window: Some(1 << 24),
    }
}

#[test]
fn what_was_composed_is_read_at_every_length() {
    let head = full();
    let sections = head.compose();
    let message = [&sections[..], b"bytes"].concat();
    for len in 0..sections.len() {
        assert!(matches!(Head::parse(&message[..len], false), Ok(None)), "{len}");
        assert!(Head::parse(&message[..len], true).is_err(), "{len}");
    }
    let (read, len) = Head::parse(&message, false).unwrap().unwrap();
    assert_eq!(len, sections.len());
    assert_eq!(read, Head { to: String::new(), ..head });
}

#[test]
fn the_sections_are_those_of_the_reference() {
    let head = Head { to: "svc".into(), reply_to: Some("r".into()), ..Head::default() };
    let expected = [
        b"\x00\x53\x73\xc0\x27\x07\x40\x40\xa1\x03svc\x40\xa1\x01r\x40\xa1\x18application/octet-stream".as_slice(),
        b"\x00\x53\x74\xc1\x06\x02\xa1\x01V\x52\x01",
        b"\x00\x53\x77\x40",
    ];
    assert_eq!(head.compose(), expected.concat());
}

#[test]
fn what_the_reference_sends_is_read() {
    let message = b"\x00\x53\x73\xd0\x00\x00\x00\x36\x00\x00\x00\x07\x40\x40\xa1\x03svc\x40\xa1\x05reply\xa1\x07abcde:1\
        \xa1\x18application/octet-stream\x00\x53\x74\xd1\x00\x00\x00\x09\x00\x00\x00\x02\xa1\x01V\x52\x01\x00\x53\x77\x40GET";
    let (head, len) = Head::parse(message, false).unwrap().unwrap();
    let expected = Head { reply_to: Some("reply".into()), correlation: Some("abcde:1".into()), ..Head::default() };
    assert_eq!(head, expected);
    assert_eq!(&message[len..], b"GET");
}

#[test]
fn other_content_is_foreign_and_what_is_no_message_malformed() {
    let data = b"\x00\x53\x75\xa0\x03abc";
    assert!(matches!(Head::parse(data, true), Err(HeadError::Foreign)));
    let other = b"\x00\x53\x73\xc0\x0e\x07\x40\x40\x40\x40\x40\x40\xa1\x05x/x-y\x00\x53\x77\x40";
    assert!(matches!(Head::parse(other, false), Err(HeadError::Foreign)));
    assert!(matches!(Head::parse(b"GET / HTTP/1.1", false), Err(HeadError::Malformed(_))));
    assert!(matches!(Head::parse(&[0x00, 0x53, 0x73, 0xc0, 1, 200], false), Err(_) | Ok(None)));
}

proptest! {
    #[test]
    fn anything_is_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0..400usize, complete: bool) {
        let _ = Head::parse(&bytes, complete);
        let mut message = full().compose().to_vec();
        for (at, byte) in bytes.iter().enumerate().take(4) {
            let place = usize::from(*byte) * 7 + at * 31;
            let len = message.len();
            message[place % len] = *byte;
        }
        message.truncate(cut);
        let _ = Head::parse(&message, complete);
    }
}
