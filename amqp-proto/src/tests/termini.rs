//! §3.5: termini are echoed as they came.

use super::{hex, read, refuses_every_truncation};
use crate::{
    Address, Coordinator, Encode, Source, SourceTerminus, Symbols, Target, TargetTerminus, TerminusDurability,
};

#[test]
fn source() {
    let fields = [
        "a1 01 61",
        "52 02",
        "a3 05 6e65766572",
        "52 3c",
        "40",
        "c1 0a 02 a3 04 78707270 a1 01 76",
        "a3 04 636f7079",
        "c1 12 02 a3 03 666f6f 00 80 0000468c00000004 a1 00",
        "00 53 26 45",
        "e0 05 01 a3 02 6f31",
        "e0 05 01 a3 02 6331",
    ];
    let body: Vec<u8> = fields.iter().flat_map(|f| hex(f).to_vec()).collect();
    let mut bytes = vec![0x00, 0x53, 0x28, 0xc0, u8::try_from(body.len() + 1).expect("short"), 11];
    bytes.extend(body);
    let bytes = bytes.into();
    refuses_every_truncation::<SourceTerminus>(&bytes);
    let terminus = read::<SourceTerminus>(&bytes).expect("a source");
    assert_eq!(terminus.encoded(), bytes, "an echo");
    let source = terminus.as_source().expect("a source");
    assert_eq!(source.address_str(), Some("a"));
    assert_eq!(source.durable, TerminusDurability::UnsettledState);
    assert_eq!(source.expiry_policy, *"never");
    assert_eq!(source.timeout, 60);
    assert!(!source.dynamic);
    assert_eq!(source.distribution_mode.as_ref().map(|m| m.as_str()), Some("copy"));
    let filter = source.filter.as_ref().expect("filter").get("foo").expect("foo");
    assert_eq!(filter.as_bytes(), hex("00 80 0000468c00000004 a1 00"));
    assert_eq!(source.default_outcome.as_ref().map(|o| o.as_bytes().to_vec()), Some(hex("00 53 26 45").to_vec()));
    assert_eq!(source.outcomes, Symbols::from(["o1"]));
    assert!(source.capabilities.contains("c1"));
    // Another address, the rest as it was.
    let moved = source.with_address("temp");
    assert_eq!(moved.address_str(), Some("temp"));
    assert_eq!(moved.filter, source.filter);
}

#[test]
fn target() {
    let bytes = hex("00 53 29 c0 06 05 40 40 40 40 41");
    let terminus = read::<TargetTerminus>(&bytes).expect("a target");
    assert_eq!(terminus, Target { dynamic: true, ..Target::default() }.into());
    assert_eq!(terminus.encoded(), bytes);
    let by_name = hex("00 a3 10 616d71703a7461726765743a6c697374 c0 04 01 a1 01 61");
    assert_eq!(read::<TargetTerminus>(&by_name), Ok(Target::at("a").into()));
    // Defaults spelt out.
    let spelt = hex("00 53 29 c0 17 07 40 43 a3 0b 73657373696f6e2d656e64 43 42 40 e0 02 00 a3");
    assert_eq!(read::<TargetTerminus>(&spelt), Ok(Target::default().into()));
}

#[test]
fn coordinator() {
    let bytes = hex("00 53 30 c0 04 01 a3 01 78");
    let coordinator = Coordinator { capabilities: ["x"].into() };
    assert_eq!(read::<TargetTerminus>(&bytes), Ok(TargetTerminus::Coordinator(Box::new(coordinator))));
    assert!(read::<SourceTerminus>(&bytes).is_ok_and(|s| s.as_source().is_none()), "unknown as a source");
}

#[test]
fn extensions_are_kept() {
    for text in ["00 80 000001370000000a c0 08 03 a1 01 61 a1 01 62 41", "00 a3 01 78 a1 01 61"] {
        let bytes = hex(text);
        let source = read::<SourceTerminus>(&bytes).expect(text);
        assert_eq!(source.encoded(), bytes);
        let target = read::<TargetTerminus>(&bytes).expect(text);
        assert!(target.as_target().is_none());
        assert_eq!(target.encoded(), bytes);
    }
    assert!(read::<TargetTerminus>(&hex("45")).is_err());
}

#[test]
fn addresses_of_other_types_are_kept() {
    let bytes = hex("00 53 29 c0 04 01 a3 01 61");
    let terminus = read::<TargetTerminus>(&bytes).expect("a target");
    let target = terminus.as_target().expect("a target");
    assert!(matches!(target.address, Some(Address::Other(_))));
    assert_eq!(target.address_str(), None);
    assert_eq!(terminus.encoded(), bytes);
    assert_eq!(Source::at("x").address_str(), Some("x"));
}
