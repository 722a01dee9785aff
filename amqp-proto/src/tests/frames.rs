//! §2.2, §2.3: protocol headers and frame headers.

use super::hex;
use crate::{
    Close, Encode,
    frame::{EMPTY_FRAME, FrameError, FrameHeader, FrameKind, ProtocolError, ProtocolId, write_amqp, write_sasl},
    sasl::SaslMechanisms,
};

fn parse(text: &str) -> Result<Option<FrameHeader>, FrameError> {
    FrameHeader::parse(&hex(text), 16384)
}

#[test]
fn protocol_headers() {
    for (id, bytes) in [
        (ProtocolId::Amqp, b"AMQP\x00\x01\x00\x00"),
        (ProtocolId::Tls, b"AMQP\x02\x01\x00\x00"),
        (ProtocolId::Sasl, b"AMQP\x03\x01\x00\x00"),
    ] {
        assert_eq!(id.header(), *bytes);
        assert_eq!(ProtocolId::parse(bytes), Ok(Some(id)));
        for len in 0..8 {
            assert_eq!(ProtocolId::parse(&bytes[..len]), Ok(None));
        }
    }
}

#[test]
fn foreign_protocols_are_seen_at_the_first_wrong_byte() {
    assert_eq!(ProtocolId::parse(b"G"), Err(ProtocolError::NotAmqp { at: 0, byte: b'G' }));
    assert_eq!(ProtocolId::parse(b"AMQX"), Err(ProtocolError::NotAmqp { at: 3, byte: b'X' }));
    assert_eq!(
        ProtocolId::parse(b"AMQP\x00\x00\x09\x01"),
        Err(ProtocolError::Unsupported { id: 0, major: 0, minor: 9, revision: 1 })
    );
    assert_eq!(
        ProtocolId::parse(b"AMQP\x01\x01\x00\x00"),
        Err(ProtocolError::Unsupported { id: 1, major: 1, minor: 0, revision: 0 })
    );
}

#[test]
fn frame_headers() {
    let header = FrameHeader { size: 8, body: 8, kind: FrameKind::Amqp, channel: 0 };
    assert_eq!(parse("00000008 02 00 0000"), Ok(Some(header)));
    assert!(header.is_empty());
    assert_eq!(FrameHeader::parse(&EMPTY_FRAME, 512), Ok(Some(header)));
    assert_eq!(
        parse("00000020 02 00 0102"),
        Ok(Some(FrameHeader { size: 32, body: 8, kind: FrameKind::Amqp, channel: 0x0102 }))
    );
    assert_eq!(
        parse("00000020 02 01 0000"),
        Ok(Some(FrameHeader { size: 32, body: 8, kind: FrameKind::Sasl, channel: 0 }))
    );
    // The extended header is skipped.
    let extended = parse("00000020 04 00 0000").expect("legal").expect("complete");
    assert_eq!((extended.body, extended.body_range(100)), (16, 116..132));
    // It may fill the frame.
    assert!(parse("00000020 08 00 0000").expect("legal").expect("complete").is_empty());
    for len in 0..8 {
        assert_eq!(FrameHeader::parse(&EMPTY_FRAME[..len], 512), Ok(None));
    }
}

#[test]
fn bad_frame_headers() {
    assert_eq!(parse("00000007 02 00 0000"), Err(FrameError::TooSmall { size: 7 }));
    assert_eq!(parse("00000000 02 00 0000"), Err(FrameError::TooSmall { size: 0 }));
    assert_eq!(parse("00004001 02 00 0000"), Err(FrameError::TooLarge { size: 16385, max: 16384 }));
    assert!(parse("00004000 02 00 0000").is_ok());
    assert_eq!(parse("ffffffff 02 00 0000"), Err(FrameError::TooLarge { size: u32::MAX, max: 16384 }));
    assert_eq!(parse("00000008 01 00 0000"), Err(FrameError::DataOffset { doff: 1, size: 8 }));
    assert_eq!(parse("00000008 00 00 0000"), Err(FrameError::DataOffset { doff: 0, size: 8 }));
    assert_eq!(parse("00000008 03 00 0000"), Err(FrameError::DataOffset { doff: 3, size: 8 }));
    assert_eq!(parse("00000008 02 02 0000"), Err(FrameError::Kind { kind: 2 }));
}

#[test]
fn frames_are_written_with_their_size() {
    let mut out = Vec::new();
    write_amqp(&mut out, 5, &Close::default(), 3);
    assert_eq!(out, hex("0000000f 02 00 0005 00 53 18 45"));
    out.clear();
    let mechanisms = SaslMechanisms { sasl_server_mechanisms: ["PLAIN", "ANONYMOUS"].into() };
    write_sasl(&mut out, &mechanisms);
    assert_eq!(out.len(), 8 + mechanisms.encoded_len());
    assert_eq!(out, hex("00000022 02 01 0000 00 53 40 c0 15 01 e0 12 02 a3 05 504c41494e 09 414e4f4e594d4f5553"));
}
