//! §1.6: every constructor, read in every legal width, written in the smallest.

use bytes::Bytes;

use super::{hex, read, refuses_every_truncation};
use crate::{
    Array, Decimal32, Decimal64, Decimal128, DecodeError, Encode, Kind, Raw, Str, Symbol, Timestamp, Uuid, Value,
};

fn uuid() -> Uuid {
    Uuid([0xf8, 0x1d, 0x4f, 0xae, 0x7d, 0xec, 0x11, 0xd0, 0xa7, 0x65, 0x00, 0xa0, 0xc9, 0x1e, 0x6b, 0xf6])
}

/// Encodings of a value, the smallest first.
fn vectors() -> Vec<(Value, Vec<&'static str>)> {
    vec![
        (Value::Null, vec!["40"]),
        (true.into(), vec!["41", "56 01"]),
        (false.into(), vec!["42", "56 00"]),
        (0x7fu8.into(), vec!["50 7f"]),
        (0x1234u16.into(), vec!["60 1234"]),
        (0u32.into(), vec!["43", "52 00", "70 00000000"]),
        (255u32.into(), vec!["52 ff", "70 000000ff"]),
        (256u32.into(), vec!["70 00000100"]),
        (u32::MAX.into(), vec!["70 ffffffff"]),
        (0u64.into(), vec!["44", "53 00", "80 0000000000000000"]),
        (16u64.into(), vec!["53 10", "80 0000000000000010"]),
        (u64::MAX.into(), vec!["80 ffffffffffffffff"]),
        ((-1i8).into(), vec!["51 ff"]),
        ((-2i16).into(), vec!["61 fffe"]),
        ((-128i32).into(), vec!["54 80", "71 ffffff80"]),
        (0i32.into(), vec!["54 00", "71 00000000"]),
        (128i32.into(), vec!["71 00000080"]),
        (i32::MIN.into(), vec!["71 80000000"]),
        ((-1i64).into(), vec!["55 ff", "81 ffffffffffffffff"]),
        (127i64.into(), vec!["55 7f", "81 000000000000007f"]),
        ((-129i64).into(), vec!["81 ffffffffffffff7f"]),
        (1.5f32.into(), vec!["72 3fc00000"]),
        ((-2.25f64).into(), vec!["82 c002000000000000"]),
        (Decimal32([0x22, 0x50, 0, 1]).into(), vec!["74 22500001"]),
        (Decimal64([0x22, 0x34, 0, 0, 0, 0, 0, 9]).into(), vec!["84 2234000000000009"]),
        (Decimal128([7; 16]).into(), vec!["94 07070707070707070707070707070707"]),
        ('é'.into(), vec!["73 000000e9"]),
        ('🎈'.into(), vec!["73 0001f388"]),
        (Timestamp(-1).into(), vec!["83 ffffffffffffffff"]),
        (Timestamp(0x131_68c0_aae1).into(), vec!["83 00000131 68c0aae1"]),
        (uuid().into(), vec!["98 f81d4fae7dec11d0a76500a0c91e6bf6"]),
        (Bytes::new().into(), vec!["a0 00", "b0 00000000"]),
        (Bytes::from_static(&[1, 2]).into(), vec!["a0 02 0102", "b0 00000002 0102"]),
        ("".into(), vec!["a1 00", "b1 00000000"]),
        // §1.6.20 in its example: "Hello Glorious Messaging World".
        (
            "Hello Glorious Messaging World".into(),
            vec![
                "a1 1e 48656c6c6f20476c6f72696f7573204d6573736167696e6720576f726c64",
                "b1 0000001e 48656c6c6f20476c6f72696f7573204d6573736167696e6720576f726c64",
            ],
        ),
        (Symbol::from("ab").into(), vec!["a3 02 6162", "b3 00000002 6162"]),
        (Value::List(vec![]), vec!["45", "c0 01 00", "d0 00000004 00000000"]),
        (Value::List(vec![Value::Null, true.into()]), vec!["c0 03 02 40 41", "d0 00000006 00000002 40 41"]),
        (Value::Map(vec![]), vec!["c1 01 00", "d1 00000004 00000000"]),
        (
            Value::Map(vec![(Symbol::from("k").into(), 1u32.into())]),
            vec!["c1 06 02 a3 01 6b 52 01", "d1 00000009 00000002 a3 01 6b 52 01"],
        ),
        (Value::described(0x24u64.into(), Value::List(vec![])), vec!["00 53 24 45", "00 80 0000000000000024 c0 01 00"]),
        (
            Value::described(Symbol::from("x").into(), Value::described(1u64.into(), Value::Null)),
            vec!["00 a3 01 78 00 53 01 40", "00 b3 00000001 78 00 80 0000000000000001 40"],
        ),
    ]
}

fn array(descriptors: Vec<Value>, kind: Kind, items: Vec<Value>) -> Value {
    Array::described(descriptors, kind, items).expect("a legal array").into()
}

/// Arrays, whose elements share a constructor (§1.6.24).
fn arrays() -> Vec<(Value, Vec<&'static str>)> {
    vec![
        (array(vec![], Kind::Symbol, vec![]), vec!["e0 02 00 a3", "f0 00000005 00000000 a3", "e0 02 00 b3"]),
        (
            array(vec![], Kind::Symbol, vec![Symbol::from("a").into(), Symbol::from("bc").into()]),
            vec![
                "e0 07 02 a3 01 61 02 6263",
                "f0 0000000a 00000002 a3 01 61 02 6263",
                "e0 0d 02 b3 00000001 61 00000002 6263",
            ],
        ),
        (array(vec![], Kind::Boolean, vec![true.into(), false.into()]), vec!["e0 04 02 56 01 00"]),
        (array(vec![], Kind::Boolean, vec![true.into(), true.into()]), vec!["e0 04 02 56 01 01", "e0 02 02 41"]),
        (array(vec![], Kind::Null, vec![Value::Null; 3]), vec!["e0 02 03 40"]),
        (
            array(vec![], Kind::Uint, vec![0u32.into(), 9u32.into()]),
            vec!["e0 04 02 52 00 09", "e0 0a 02 70 00000000 00000009"],
        ),
        (array(vec![], Kind::Uint, vec![0u32.into()]), vec!["e0 03 01 52 00", "e0 02 01 43"]),
        (array(vec![], Kind::Uint, vec![256u32.into()]), vec!["e0 06 01 70 00000100"]),
        (array(vec![], Kind::Ulong, vec![1u64.into()]), vec!["e0 03 01 53 01", "e0 0a 01 80 0000000000000001"]),
        (array(vec![], Kind::Int, vec![(-1i32).into()]), vec!["e0 03 01 54 ff", "e0 06 01 71 ffffffff"]),
        (array(vec![], Kind::Long, vec![(-1i64).into()]), vec!["e0 03 01 55 ff", "e0 0a 01 81 ffffffffffffffff"]),
        (
            array(vec![], Kind::List, vec![Value::List(vec![]), Value::List(vec![true.into()])]),
            vec!["e0 07 02 c0 01 00 02 01 41"],
        ),
        (
            array(vec![], Kind::List, vec![Value::List(vec![])]),
            vec!["e0 04 01 c0 01 00", "e0 02 01 45", "e0 0a 01 d0 00000004 00000000"],
        ),
        (
            array(vec![], Kind::Map, vec![Value::Map(vec![(1u8.into(), 2u8.into())])]),
            vec!["e0 08 01 c1 05 02 50 01 50 02"],
        ),
        (
            array(vec![], Kind::Array, vec![array(vec![], Kind::Ubyte, vec![7u8.into(), 8u8.into()])]),
            vec!["e0 07 01 e0 04 02 50 07 08", "f0 00000010 00000001 f0 00000007 00000002 50 07 08"],
        ),
        (
            array(vec![Symbol::from("d").into()], Kind::Ubyte, vec![1u8.into(), 2u8.into()]),
            vec!["e0 08 02 00 a3 01 64 50 01 02"],
        ),
        (
            array(vec![1u64.into(), 2u64.into()], Kind::Ubyte, vec![3u8.into()]),
            vec!["e0 09 01 00 53 01 00 53 02 50 03"],
        ),
    ]
}

#[test]
fn reads_every_width() {
    for (value, encodings) in vectors().into_iter().chain(arrays()) {
        for encoding in encodings {
            let bytes = hex(encoding);
            assert_eq!(read::<Value>(&bytes).as_ref(), Ok(&value), "{encoding}");
            assert_eq!(read::<Raw>(&bytes).expect(encoding).as_bytes(), bytes, "{encoding}");
        }
    }
}

#[test]
fn writes_the_smallest() {
    for (value, encodings) in vectors().into_iter().chain(arrays()) {
        assert_eq!(Bytes::from(value.encoded()), hex(encodings[0]), "{value:?}");
        assert_eq!(value.encoded_len(), hex(encodings[0]).len(), "{value:?}");
    }
}

#[test]
fn refuses_truncated_values() {
    for (_, encodings) in vectors().into_iter().chain(arrays()) {
        for encoding in encodings {
            refuses_every_truncation::<Value>(&hex(encoding));
            refuses_every_truncation::<Raw>(&hex(encoding));
        }
    }
}

#[test]
fn typed_reads_agree_with_values() {
    for (value, encodings) in vectors() {
        for encoding in encodings {
            let b = hex(encoding);
            let typed = match &value {
                Value::Boolean(v) => read(&b) == Ok(*v),
                Value::Ubyte(v) => read(&b) == Ok(*v),
                Value::Ushort(v) => read(&b) == Ok(*v),
                Value::Uint(v) => read(&b) == Ok(*v),
                Value::Ulong(v) => read(&b) == Ok(*v),
                Value::Byte(v) => read(&b) == Ok(*v),
                Value::Short(v) => read(&b) == Ok(*v),
                Value::Int(v) => read(&b) == Ok(*v),
                Value::Long(v) => read(&b) == Ok(*v),
                Value::Float(v) => read(&b) == Ok(*v),
                Value::Double(v) => read(&b) == Ok(*v),
                Value::Decimal32(v) => read(&b) == Ok(*v),
                Value::Decimal64(v) => read(&b) == Ok(*v),
                Value::Decimal128(v) => read(&b) == Ok(*v),
                Value::Char(v) => read(&b) == Ok(*v),
                Value::Timestamp(v) => read(&b) == Ok(*v),
                Value::Uuid(v) => read(&b) == Ok(*v),
                Value::Binary(v) => read(&b) == Ok(v.clone()),
                Value::String(v) => read(&b) == Ok(v.clone()),
                Value::Symbol(v) => read(&b) == Ok(v.clone()),
                _ => true,
            };
            assert!(typed, "{encoding}");
        }
    }
}

#[test]
fn width_boundaries_of_text() {
    for (len, head) in [(255, "a1 ff"), (256, "b1 00000100")] {
        let text = "x".repeat(len);
        let value = Value::from(text.as_str());
        let bytes = Bytes::from(value.encoded());
        assert!(bytes.starts_with(&hex(head)));
        assert_eq!(read::<Value>(&bytes), Ok(value));
    }
}

#[test]
fn width_boundaries_of_lists() {
    // The size of a list8 includes its count: 254 bytes of elements fit, and 255 elements at most.
    for (items, head) in
        [(vec![Value::from("x".repeat(252))], "c0 ff 01"), (vec![Value::from("x".repeat(253))], "d0 00000103 00000001")]
    {
        let value = Value::List(items);
        let bytes = Bytes::from(value.encoded());
        assert!(bytes.starts_with(&hex(head)), "{:02x?}", &bytes[..9]);
        assert_eq!(read::<Value>(&bytes), Ok(value));
    }
    let many = Value::List(vec![Value::Null; 256]);
    assert!(many.encoded().starts_with(&hex("d0 00000104 00000100")));
}

#[test]
fn refuses_bad_contents() {
    let value = |text| read::<Value>(&hex(text)).expect_err(text);
    assert_eq!(value("56 02"), DecodeError::InvalidValue { at: 0, expected: "boolean" });
    assert_eq!(value("73 0000d800"), DecodeError::InvalidValue { at: 0, expected: "char" });
    assert_eq!(value("a1 01 ff"), DecodeError::NotUtf8 { at: 0 });
    assert_eq!(value("a3 01 80"), DecodeError::NotAscii { at: 0 });
    // A size beyond the bytes is a truncation: the rest may arrive yet.
    assert_eq!(value("c1 03 01 40"), DecodeError::Truncated { at: 4, missing: 1 });
    assert_eq!(value("c0 00 00"), DecodeError::Size { size: 0, at: 0, available: 1 });
    // Inside of a container it cannot arrive.
    assert_eq!(value("c0 04 01 a1 05 61 62 63 64 65"), DecodeError::Truncated { at: 6, missing: 4 });
    assert_eq!(value("c1 02 01 40"), DecodeError::OddMap { at: 0 });
    assert_eq!(value("01"), DecodeError::UnknownConstructor { code: 1, at: 0 });
    assert_eq!(value("c0 02 01 3f"), DecodeError::UnknownConstructor { code: 0x3f, at: 3 });
    assert_eq!(value("e0 02 01 3f"), DecodeError::UnknownConstructor { code: 0x3f, at: 3 });
    assert_eq!(value("c0 03 01 40 40"), DecodeError::TrailingBytes { at: 4, count: 1 });
    assert_eq!(value("40 40"), DecodeError::TrailingBytes { at: 1, count: 1 });
    assert!(matches!(read::<bool>(&hex("50 01")), Err(DecodeError::UnexpectedType { code: 0x50, at: 0, .. })));
    assert!(matches!(read::<u32>(&hex("80 0000000000000001")), Err(DecodeError::UnexpectedType { code: 0x80, .. })));
    assert!(matches!(read::<Str>(&hex("a3 01 61")), Err(DecodeError::UnexpectedType { code: 0xa3, .. })));
}

#[test]
fn only_uniform_arrays_can_be_made() {
    assert!(Array::new(Kind::Uint, vec![1u32.into(), 1u64.into()]).is_none());
    assert!(Array::described(vec![Value::List(vec![])], Kind::Uint, vec![]).is_none());
}

#[test]
fn symbols_are_ascii() {
    assert_eq!(Symbol::from("aé").as_str(), "a?");
    assert!(Symbol::from_bytes(Bytes::from_static(b"\x80")).is_none());
    assert!(Str::from_bytes(Bytes::from_static(b"\xc3\xa9")).is_some());
}
