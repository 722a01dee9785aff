//! §2.7, §5.3.3: each performative by hand-made bytes, in the forms that peers write.

use bytes::Bytes;

use super::hex;
use crate::{
    Attach, Begin, Close, DecodeError, DeliveryState, DeliveryTag, Detach, Disposition, Encode, End, Error, Fields,
    Flow, Open, Performative, ReceiverSettleMode, Role, SenderSettleMode, Source, Symbols, Target, Transfer, Value,
    condition,
    sasl::{SaslCode, SaslFrame, SaslInit, SaslMechanisms, SaslOutcome, Secret},
};

fn decode(bytes: &Bytes) -> Result<Performative, DecodeError> {
    let (performative, payload) = Performative::decode(bytes, 0..bytes.len())?;
    assert_eq!(payload, bytes.len()..bytes.len());
    Ok(performative)
}

/// The first encoding is ours; all read as the same.
fn check(performative: Performative, encodings: &[&str]) {
    assert_eq!(Bytes::from(performative.encoded()), hex(encodings[0]), "{performative:?}");
    assert_eq!(performative.encoded_len(), hex(encodings[0]).len());
    for encoding in encodings {
        let bytes = hex(encoding);
        assert_eq!(decode(&bytes).as_ref(), Ok(&performative), "{encoding}");
        for len in 0..bytes.len() {
            let part = bytes.slice(..len);
            assert!(
                Performative::decode(&part, 0..len).expect_err("truncated").is_truncated(),
                "{len} bytes of {encoding}"
            );
        }
    }
}

#[test]
fn open() {
    check(
        Performative::Open(Box::new(Open { container_id: "c".into(), ..Open::default() })),
        &[
            "00 53 10 c0 04 01 a1 01 63",
            // All fields by name and in full width, with the defaults spelt out, as small devices do.
            "00 a3 0e 616d71703a6f70656e3a6c697374 d0 00000014 00000005 b1 00000001 63 40 70 ffffffff 60 ffff 40",
            "00 80 0000000000000010 c0 05 02 a1 01 63 40",
        ],
    );
    check(
        Performative::Open(Box::new(Open {
            container_id: "c".into(),
            hostname: Some("h".into()),
            max_frame_size: 16384,
            channel_max: 32767,
            idle_time_out: Some(8000),
            offered_capabilities: ["ANONYMOUS-RELAY"].into(),
            desired_capabilities: ["a", "b"].into(),
            properties: Some(Fields::from_entries([("product", Value::from("x"))])),
            ..Open::default()
        })),
        &[concat!(
            "00 53 10 c0 41 0a a1 01 63 a1 01 68 70 00004000 60 7fff 70 00001f40 40 40",
            "e0 12 01 a3 0f 414e4f4e594d4f55532d52454c4159 e0 06 02 a3 01 61 01 62 c1 0d 02 a3 07 70726f64756374 a1 01 78"
        )],
    );
}

#[test]
fn capabilities_may_be_one_symbol() {
    let bytes = hex("00 53 10 c0 0d 08 a1 01 63 40 40 40 40 40 40 a3 01 61");
    let Ok(Performative::Open(open)) = decode(&bytes) else { panic!("an open") };
    assert_eq!(open.offered_capabilities, Symbols::from(["a"]));
}

#[test]
fn begin() {
    check(
        Performative::Begin(Box::new(Begin {
            remote_channel: Some(1),
            next_outgoing_id: 0,
            incoming_window: 2048,
            outgoing_window: 0x7fff_ffff,
            handle_max: 255,
            ..Begin::default()
        })),
        &[
            "00 53 11 c0 11 05 60 0001 43 70 00000800 70 7fffffff 52 ff",
            "00 53 11 d0 0000001a 00000007 60 0001 52 00 70 00000800 70 7fffffff 70 000000ff 40 40",
        ],
    );
}

#[test]
fn attach() {
    check(
        Performative::Attach(Box::new(Attach {
            name: "l".into(),
            handle: 0,
            role: Role::Sender,
            snd_settle_mode: SenderSettleMode::Unsettled,
            rcv_settle_mode: ReceiverSettleMode::Second,
            source: Some(Source::default().into()),
            target: Some(Target::at("a").into()),
            initial_delivery_count: Some(0),
            max_message_size: Some(0),
            ..Attach::default()
        })),
        &[
            "00 53 12 c0 1b 0b a1 01 6c 43 42 50 00 50 01 00 53 28 45 00 53 29 c0 04 01 a1 01 61 40 40 43 44",
            // As Proton writes it: list32, full termini.
            concat!(
                "00 53 12 d0 0000003d 0000000b a1 01 6c 43 42 50 00 50 01",
                "00 53 28 d0 00000007 00000003 40 43 40",
                "00 53 29 d0 0000000d 00000007 a1 01 61 43 40 43 42 40 40",
                "40 42 43 80 0000000000000000"
            ),
        ],
    );
}

#[test]
fn flow() {
    check(
        Performative::Flow(Box::new(Flow {
            next_incoming_id: Some(0),
            incoming_window: 2048,
            next_outgoing_id: 1,
            outgoing_window: 256,
            handle: Some(0),
            delivery_count: Some(7),
            link_credit: Some(250),
            available: None,
            drain: true,
            echo: false,
            properties: None,
        })),
        &[
            "00 53 13 c0 15 09 43 70 00000800 52 01 70 00000100 43 52 07 52 fa 40 41",
            "00 53 13 d0 0000001c 0000000b 52 00 70 00000800 52 01 70 00000100 43 52 07 52 fa 40 56 01 42 40",
        ],
    );
}

#[test]
fn transfer() {
    let transfer = Transfer {
        handle: 0,
        delivery_id: Some(1),
        delivery_tag: DeliveryTag::new(&[0xaa]),
        message_format: Some(0),
        settled: Some(false),
        more: true,
        ..Transfer::default()
    };
    let encodings = [
        "00 53 14 c0 0a 06 43 52 01 a0 01 aa 43 42 41",
        "00 53 14 d0 00000017 00000008 70 00000000 52 01 b0 00000001 aa 43 56 00 41 40 40",
    ];
    check(Performative::Transfer(Box::new(transfer.clone())), &encodings);
    // The payload is what follows.
    for encoding in encodings {
        let mut bytes = vec![9; 20];
        let body = hex(encoding);
        bytes.extend(&body);
        bytes.extend([1, 2, 3]);
        let bytes = Bytes::from(bytes);
        let decoded = Performative::decode(&bytes, 20..bytes.len());
        assert_eq!(decoded, Ok((Performative::Transfer(Box::new(transfer.clone())), 20 + body.len()..bytes.len())));
    }
}

#[test]
fn delivery_tags_have_32_bytes_at_most() {
    let tag = |len: u8| {
        let mut bytes = vec![0x00, 0x53, 0x14, 0xc0, len + 5, 3, 0x43, 0x43, 0xa0, len];
        bytes.extend(vec![7; usize::from(len)]);
        decode(&bytes.into())
    };
    let Ok(Performative::Transfer(transfer)) = tag(32) else { panic!("a transfer") };
    assert_eq!(transfer.delivery_tag.expect("tag").as_bytes(), [7; 32]);
    let error = tag(33).expect_err("too long");
    assert_eq!(error.condition(), condition::INVALID_FIELD);
    assert_eq!(error.to_string(), "transfer.delivery-tag: value at byte 8 is no valid delivery-tag of up to 32 bytes");
    assert!(DeliveryTag::new(&[0; 33]).is_none());
}

#[test]
fn disposition() {
    let disposition = |state| {
        Performative::Disposition(Box::new(Disposition {
            role: Role::Receiver,
            first: 1,
            last: Some(300),
            settled: true,
            state,
            batchable: false,
        }))
    };
    check(
        disposition(Some(DeliveryState::Accepted)),
        &[
            "00 53 15 c0 0e 05 41 52 01 70 0000012c 41 00 53 24 45",
            "00 53 15 d0 00000012 00000006 41 52 01 70 0000012c 41 00 53 24 45 42",
            "00 53 15 c0 10 05 41 52 01 70 0000012c 41 00 53 24 c0 01 00",
        ],
    );
    check(disposition(None), &["00 53 15 c0 0a 04 41 52 01 70 0000012c 41"]);
}

#[test]
fn detach_end_close() {
    let error = || Some(Error { condition: "amqp:not-found".into(), description: Some("d".into()), info: None });
    check(
        Performative::Detach(Box::new(Detach { handle: 2, closed: true, error: None })),
        &["00 53 16 c0 04 02 52 02 41"],
    );
    check(
        Performative::Detach(Box::new(Detach { handle: 2, closed: true, error: error() })),
        &["00 53 16 c0 1d 03 52 02 41 00 53 1d c0 14 02 a3 0e 616d71703a6e6f742d666f756e64 a1 01 64"],
    );
    check(Performative::End(Box::default()), &["00 53 17 45", "00 53 17 c0 01 00", "00 53 17 d0 00000005 00000001 40"]);
    check(
        Performative::Close(Box::new(Close { error: error() })),
        &["00 53 18 c0 1a 01 00 53 1d c0 14 02 a3 0e 616d71703a6e6f742d666f756e64 a1 01 64"],
    );
    assert_eq!(End::default(), End { error: None });
}

#[test]
fn what_is_mandatory_must_be_there() {
    for (text, field) in [
        ("00 53 10 45", "open has no container-id, which is mandatory (AMQP 1.0 §2.7.1)"),
        ("00 53 10 c0 02 01 40", "open has no container-id, which is mandatory (AMQP 1.0 §2.7.1)"),
        ("00 53 11 c0 03 02 40 43", "begin has no incoming-window, which is mandatory (AMQP 1.0 §2.7.2)"),
        ("00 53 12 c0 05 02 a1 01 6c 43", "attach has no role, which is mandatory (AMQP 1.0 §2.7.3)"),
        ("00 53 13 c0 04 03 40 43 43", "flow has no outgoing-window, which is mandatory (AMQP 1.0 §2.7.4)"),
        ("00 53 14 45", "transfer has no handle, which is mandatory (AMQP 1.0 §2.7.5)"),
        ("00 53 15 c0 02 01 41", "disposition has no first, which is mandatory (AMQP 1.0 §2.7.6)"),
        ("00 53 16 45", "detach has no handle, which is mandatory (AMQP 1.0 §2.7.7)"),
    ] {
        let error = decode(&hex(text)).expect_err(text);
        assert_eq!(error.to_string(), field);
        assert_eq!(error.condition(), condition::INVALID_FIELD);
    }
}

#[test]
fn fields_of_wrong_types_are_named() {
    let error = decode(&hex("00 53 10 c0 03 01 50 01")).expect_err("an open");
    assert_eq!(error.to_string(), "open.container-id: constructor 0x50 at byte 3 where a string was expected");
    let error = decode(&hex("00 53 12 c0 08 04 a1 01 6c 43 41 50 03")).expect_err("settle mode 3");
    assert_eq!(error.to_string(), "attach.snd-settle-mode: value at byte 8 is no valid sender-settle-mode");
    assert_eq!(Error::from(&error).condition, *condition::INVALID_FIELD);
}

#[test]
fn fields_beyond_the_last_may_be_null_only() {
    assert!(decode(&hex("00 53 17 c0 03 02 40 40")).is_ok());
    let error = decode(&hex("00 53 17 c0 03 02 40 41")).expect_err("a second field");
    assert_eq!(error.to_string(), "end has a value beyond its last field at byte 4 (AMQP 1.0 §1.4)");
}

#[test]
fn nothing_may_follow_but_the_payload_of_a_transfer() {
    assert!(matches!(decode(&hex("00 53 18 45 00")), Err(DecodeError::TrailingBytes { count: 1, .. })));
    assert!(matches!(decode(&hex("00 53 15 c0 03 02 41 43 00")), Err(DecodeError::TrailingBytes { count: 1, .. })));
}

#[test]
fn unknown_performatives() {
    for text in ["00 53 19 45", "00 a3 01 78 45", "00 53 40 45", "00 41 45", "45"] {
        assert!(decode(&hex(text)).is_err(), "{text}");
    }
    assert_eq!(
        decode(&hex("00 a3 01 78 45")).expect_err("x").to_string(),
        "descriptor Symbol(\"x\") at byte 0 where a performative was expected"
    );
}

#[test]
fn long_lived_fields_do_not_keep_the_block() {
    let block = Bytes::from(hex("00 53 10 c0 04 01 a1 01 63").to_vec());
    let Ok(Performative::Open(open)) = decode(&block) else { panic!("an open") };
    assert!(block.is_unique());
    assert_eq!(open.container_id, *"c");
}

fn sasl(frame: SaslFrame, encode: Vec<u8>, encodings: &[&str]) {
    assert_eq!(Bytes::from(encode), hex(encodings[0]));
    for encoding in encodings {
        let bytes = hex(encoding);
        assert_eq!(SaslFrame::decode(&bytes, 0..bytes.len()).as_ref(), Ok(&frame), "{encoding}");
        for len in 0..bytes.len() {
            assert!(SaslFrame::decode(&bytes, 0..len).expect_err("truncated").is_truncated());
        }
    }
}

#[test]
fn sasl_frames() {
    let f = SaslMechanisms { sasl_server_mechanisms: ["ANONYMOUS"].into() };
    sasl(
        SaslFrame::Mechanisms(f.clone()),
        f.encoded(),
        &["00 53 40 c0 0f 01 e0 0c 01 a3 09 414e4f4e594d4f5553", "00 53 40 c0 0c 01 a3 09 414e4f4e594d4f5553"],
    );
    let f = SaslInit {
        mechanism: "PLAIN".into(),
        initial_response: Some(Secret(Bytes::from_static(b"\0u\0p"))),
        hostname: Some("h".into()),
    };
    sasl(SaslFrame::Init(f.clone()), f.encoded(), &["00 53 41 c0 11 03 a3 05 504c41494e a0 04 00750070 a1 01 68"]);
    assert!(format!("{f:?}").contains("initial_response: Some((4 bytes))"), "no secrets in logs");
    let f = SaslOutcome { code: SaslCode::Ok, additional_data: None };
    sasl(
        SaslFrame::Outcome(f.clone()),
        f.encoded(),
        &["00 53 44 c0 03 01 50 00", "00 53 44 d0 00000007 00000002 50 00 40"],
    );
    let f = crate::sasl::SaslChallenge { challenge: Secret(Bytes::from_static(b"x")) };
    sasl(SaslFrame::Challenge(f.clone()), f.encoded(), &["00 53 42 c0 04 01 a0 01 78"]);
    let f = crate::sasl::SaslResponse { response: Secret(Bytes::from_static(b"x")) };
    sasl(SaslFrame::Response(f.clone()), f.encoded(), &["00 53 43 c0 04 01 a0 01 78"]);
    assert!(SaslFrame::decode(&hex("00 53 10 c0 04 01 a1 01 63"), 0..9).is_err());
    assert!(SaslFrame::decode(&hex("00 53 44 c0 03 01 50 05"), 0..8).is_err());
}
