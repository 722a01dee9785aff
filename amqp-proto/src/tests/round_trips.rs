//! Properties: what is written reads as the same; noise and damage never panic.

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};

use super::read;
use crate::{
    Array, Decimal32, Decimal64, Decimal128, DecodeError, Encode, Kind, Raw, Reader, Symbol, Timestamp, Uuid, Value,
    fuzz,
};

pub(super) fn symbol() -> impl Strategy<Value = Symbol> {
    vec(0u8..128, 0..300).prop_map(|bytes| Symbol::from_bytes(bytes.into()).expect("ASCII"))
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![8 => vec(any::<char>(), 0..20), 1 => vec(any::<char>(), 60..300)]
        .prop_map(|chars| chars.into_iter().collect())
}

fn binary() -> impl Strategy<Value = Bytes> {
    prop_oneof![8 => vec(any::<u8>(), 0..20), 1 => vec(any::<u8>(), 250..300)].prop_map(Bytes::from)
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u8>().prop_map(Value::from),
        any::<u16>().prop_map(Value::from),
        prop_oneof![0u32..300, any::<u32>()].prop_map(Value::from),
        prop_oneof![0u64..300, any::<u64>()].prop_map(Value::from),
        any::<i8>().prop_map(Value::from),
        any::<i16>().prop_map(Value::from),
        prop_oneof![-200i32..200, any::<i32>()].prop_map(Value::from),
        prop_oneof![-200i64..200, any::<i64>()].prop_map(Value::from),
        any::<f32>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<[u8; 4]>().prop_map(|b| Decimal32(b).into()),
        any::<[u8; 8]>().prop_map(|b| Decimal64(b).into()),
        any::<[u8; 16]>().prop_map(|b| Decimal128(b).into()),
        any::<char>().prop_map(Value::from),
        any::<i64>().prop_map(|t| Timestamp(t).into()),
        any::<[u8; 16]>().prop_map(|b| Uuid(b).into()),
        binary().prop_map(Value::from),
        text().prop_map(Value::from),
        symbol().prop_map(Value::from),
    ]
}

/// Elements of the kind of the first; described ones and nulls are left out: see `hostile::elements_without_bytes_are_bounded`.
fn uniform(items: Vec<Value>, descriptors: Vec<Value>) -> Value {
    let items: Vec<Value> = items.into_iter().filter(|item| !item.is_null() && Kind::of(item).is_some()).collect();
    let kind = items.first().and_then(Kind::of).unwrap_or(Kind::Symbol);
    let items = items.into_iter().filter(|item| Kind::of(item) == Some(kind)).collect();
    Array::described(descriptors, kind, items).expect("uniform").into()
}

pub(super) fn value() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(4, 64, 8, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..8).prop_map(Value::List),
            vec((inner.clone(), inner.clone()), 0..6).prop_map(Value::Map),
            (vec(inner.clone(), 0..8), vec(leaf(), 0..2)).prop_map(|(items, descriptors)| uniform(items, descriptors)),
            // One element many times: arrays that are not short.
            (inner.clone(), 0usize..300).prop_map(|(item, n)| uniform(vec![item; n], vec![])),
            (inner.clone(), inner).prop_map(|(descriptor, value)| Value::described(descriptor, value)),
        ]
    })
}

/// Changes a byte, or cuts the end off.
pub(super) fn damaged(bytes: &[u8], at: usize, byte: u8, cut: bool) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes.is_empty() {
        return bytes;
    }
    let at = at % bytes.len();
    if cut {
        bytes.truncate(at);
    } else {
        bytes[at] = byte;
    }
    bytes
}

proptest! {
    #[test]
    fn values(value in value()) {
        let bytes = Bytes::from(value.encoded());
        prop_assert_eq!(bytes.len(), value.encoded_len());
        let again = read::<Value>(&bytes);
        // NaN in the bit patterns of floats: compared as bytes too.
        prop_assert_eq!(again.map(|v| v.encoded()), Ok(bytes.to_vec()));
        prop_assert_eq!(read::<Raw>(&bytes).map(|raw| raw.bytes().clone()), Ok(bytes));
    }

    #[test]
    fn values_without_nan_are_equal(value in value().prop_filter("NaN", |v| v == v)) {
        prop_assert_eq!(read::<Value>(&value.encoded().into()), Ok(value));
    }

    #[test]
    fn truncated_values(value in value(), cut in any::<prop::sample::Index>()) {
        let bytes = Bytes::from(value.encoded());
        let part = bytes.slice(..cut.index(bytes.len()));
        let error = read::<Value>(&part);
        prop_assert!(matches!(&error, Err(error) if error.is_truncated()), "{:?}", error);
        prop_assert!(read::<Raw>(&part).is_err());
    }

    #[test]
    fn values_are_found_among_others(before in value(), value in value(), after in vec(any::<u8>(), 0..8)) {
        let mut bytes = before.encoded();
        let start = bytes.len();
        value.encode(&mut bytes);
        let end = bytes.len();
        bytes.extend(after);
        let bytes = Bytes::from(bytes);
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(reader.skip(), Ok(0..start));
        prop_assert_eq!(reader.skip(), Ok(start..end));
    }

    #[test]
    fn damaged_values_never_panic(value in value(), at in any::<usize>(), byte in any::<u8>(), cut in any::<bool>()) {
        fuzz::fuzz_value(&damaged(&value.encoded(), at, byte, cut));
    }

    #[test]
    fn noise_never_panics(bytes in vec(any::<u8>(), 0..200)) {
        fuzz::fuzz_value(&bytes);
        fuzz::fuzz_frame(&bytes);
        fuzz::fuzz_message(&bytes);
    }
}

#[test]
fn errors_say_where() {
    let error = read::<Value>(&Bytes::from_static(&[0xc0, 0x02, 0x01, 0x99])).expect_err("no constructor");
    assert_eq!(error, DecodeError::UnknownConstructor { code: 0x99, at: 3 });
    assert_eq!(error.to_string(), "0x99 at byte 3 is no AMQP constructor");
}
