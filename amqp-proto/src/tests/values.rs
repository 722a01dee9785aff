//! Access to trees and to verbatim maps.

use super::{hex, read};
use crate::{Fields, Raw, Symbol, Symbols, Value};

#[test]
fn numbers_of_any_width() {
    for value in
        [Value::from(5u8), 5u16.into(), 5u32.into(), 5u64.into(), 5i8.into(), 5i16.into(), 5i32.into(), 5i64.into()]
    {
        assert_eq!((value.as_u64(), value.as_i64()), (Some(5), Some(5)));
    }
    assert_eq!(Value::from(-1i32).as_u64(), None);
    assert_eq!(Value::from(u64::MAX).as_i64(), None);
    assert_eq!(Value::from("5").as_u64(), None);
}

#[test]
fn keys_are_strings_or_symbols() {
    let map = Value::Map(vec![("a".into(), 1u32.into()), (Symbol::from("b").into(), 2u32.into())]);
    assert_eq!(map.get("a"), Some(&1u32.into()));
    assert_eq!(map.get("b"), Some(&2u32.into()));
    assert_eq!(map.get("c"), None);
    let fields = read::<Fields>(Raw::from(&map).bytes()).expect("a map");
    assert_eq!(fields.get("a").map(|raw| raw.to_value()), Some(Ok(1u32.into())));
    assert_eq!(fields.get("b").map(|raw| raw.to_value()), Some(Ok(2u32.into())));
    assert_eq!(fields.get("c"), None);
    assert_eq!(fields.iter().count(), 2);
    assert!(Fields::from_entries([]).is_empty());
}

#[test]
fn maps_must_be_maps() {
    assert!(read::<Fields>(&hex("45")).is_err());
    assert!(read::<Fields>(&hex("c1 02 01 40")).is_err());
}

#[test]
fn symbols_of_one_or_several() {
    assert_eq!(read::<Symbols>(&hex("a3 01 61")), Ok(["a"].into()));
    assert_eq!(read::<Symbols>(&hex("b3 00000001 61")), Ok(["a"].into()));
    assert_eq!(read::<Symbols>(&hex("e0 06 02 a3 01 61 01 62")), Ok(["a", "b"].into()));
    assert_eq!(read::<Symbols>(&hex("f0 0000000f 00000002 b3 00000001 61 00000001 62")), Ok(["a", "b"].into()));
    assert_eq!(read::<Symbols>(&hex("e0 02 00 a3")), Ok(Symbols::default()));
    assert_eq!(read::<Symbols>(&hex("45")), Ok(Symbols::default()));
    assert_eq!(read::<Symbols>(&hex("c0 07 02 a3 01 61 a3 01 62")), Ok(["a", "b"].into()));
    assert_eq!(read::<Symbols>(&hex("d0 0000000a 00000002 a3 01 61 a3 01 62")), Ok(["a", "b"].into()));
    assert!(read::<Symbols>(&hex("c0 04 01 a1 01 61")).is_err(), "a list of strings");
    assert!(read::<Symbols>(&hex("c0 04 02 a3 01 61")).is_err(), "fewer than it says");
    assert!(read::<Symbols>(&hex("c0 07 01 a3 01 61 a3 01 62")).is_err(), "more than it says");
    assert!(read::<Symbols>(&hex("c0 03 01 a3 01")).is_err(), "cut off");
    assert!(read::<Symbols>(&hex("e0 03 01 a1 00")).is_err(), "strings");
    assert!(read::<Symbols>(&hex("e0 04 01 a3 01 80")).is_err(), "not ASCII");
}

#[test]
fn symbols_of_any_number_and_length() {
    for names in [
        vec!["x".repeat(300)],
        vec!["x".repeat(100); 3],
        vec![String::new(); 300],
        vec!["y".into(); 84],
        vec!["yy".into(); 84],
    ] {
        let symbols: Symbols = names.iter().map(String::as_str).collect();
        let bytes = crate::Encode::encoded(&symbols);
        assert_eq!(bytes.len(), crate::Encode::encoded_len(&symbols));
        assert_eq!(read::<Symbols>(&bytes.into()), Ok(symbols));
    }
}
