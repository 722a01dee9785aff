use bytes::BytesMut;
use proptest::prelude::*;

use super::*;

fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

fn section(list: &str) -> Vec<u8> {
    [hex("00 80 53 4b 50 52 2d 2d 52 41"), hex(list)].concat()
}

fn found(message: &[u8]) -> (Annotations<'_>, usize) {
    match parse(message) {
        Ok(Parsed::Found(annotations, rest)) => (annotations, rest),
        other => panic!("{other:?}"),
    }
}

fn composed(annotations: &Annotations<'_>, hop: Option<&str>) -> Vec<u8> {
    let mut out = Vec::new();
    annotations.compose(hop, &mut out);
    out
}

/// Each vector: the bytes, what is composed to get them, and the own name.
#[test]
fn the_bytes_that_the_reference_writes() {
    let interior = Annotations { ingress: Some("0/A"), ..Annotations::default() };
    let mesh = "abcdefghijklmno";
    let vectors = [
        (
            "d0 00 00 00 19 00 00 00 04 43 40 a1 03 30 2f 41 d0 00 00 00 09 00 00 00 01 a1 03 30 2f 41".to_owned(),
            interior,
            Some("0/A"),
        ),
        (
            "d0 00 00 00 1a 00 00 00 04 52 05 40 a1 03 30 2f 41 d0 00 00 00 09 00 00 00 01 a1 03 30 2f 41".to_owned(),
            Annotations { flags: STREAMING | Q2_DISABLED, ..interior },
            Some("0/A"),
        ),
        (
            "d0 00 00 00 1d 00 00 00 04 43 a1 03 73 76 63 a1 03 30 2f 41 d0 00 00 00 09 00 00 00 01 a1 03 30 2f 41"
                .to_owned(),
            Annotations { to_override: Some("svc"), ..interior },
            Some("0/A"),
        ),
        (
            "d0 00 00 00 0c 00 00 00 04 43 a1 03 73 76 63 40 45".to_owned(),
            Annotations { to_override: Some("svc"), ..Annotations::default() },
            None,
        ),
        (
            format!(
                "d0 00 00 00 1a 00 00 00 05 52 05 40 40 45 a1 0f {}",
                mesh.bytes().map(|b| format!("{b:02x} ")).collect::<String>()
            ),
            Annotations { flags: 5, ingress_mesh: Some(mesh), ..Annotations::default() },
            None,
        ),
    ];
    for (list, annotations, hop) in vectors {
        let bytes = section(&list);
        assert_eq!(composed(&annotations, hop), bytes, "{list}");
        let (read, rest) = found(&bytes);
        assert_eq!(rest, bytes.len());
        assert_eq!(read.trace.iter().collect::<Vec<_>>(), hop.into_iter().collect::<Vec<_>>());
        assert_eq!(Annotations { trace: Trace::default(), ..read }, annotations);
    }
}

#[test]
fn a_hop_adds_its_name_to_the_trace() {
    let first = composed(&Annotations { ingress: Some("0/INTC"), ..Annotations::default() }, Some("0/INTC"));
    let (received, _) = found(&first);
    let second = composed(&received, Some("0/INTB"));
    let trace = hex("d0 00 00 00 14 00 00 00 02 a1 06 30 2f 49 4e 54 43 a1 06 30 2f 49 4e 54 42");
    assert!(second.ends_with(&trace), "{second:02x?}");
    let (received, _) = found(&second);
    assert_eq!((received.trace.len(), received.ingress), (2, Some("0/INTC")));
    assert!(received.trace.contains("0/INTB") && !received.trace.contains("0/INT"));
}

#[test]
fn other_widths_and_further_entries_are_read() {
    let same = Annotations { flags: 5, to_override: Some("svc"), ingress: Some("0/A"), ..Annotations::default() };
    for list in [
        // Short list, uint in four bytes, symbols, a short trace.
        "c0 1b 04 70 00 00 00 05 a3 03 73 76 63 b1 00 00 00 03 30 2f 41 c0 06 01 a1 03 30 2f 41",
        // Ulong flags, null mesh and two entries that are not known.
        "d0 00 00 00 1d 00 00 00 07 53 05 a1 03 73 76 63 a1 03 30 2f 41 c0 06 01 a3 03 30 2f 41 40 c1 01 00 41",
    ] {
        let mut bytes = section(list);
        let len = bytes.len();
        bytes.extend_from_slice(b"the rest");
        let (read, rest) = found(&bytes);
        assert_eq!(rest, len);
        assert_eq!(read.trace.iter().collect::<Vec<_>>(), ["0/A"]);
        assert_eq!(Annotations { trace: Trace::default(), ..read }, same);
    }
    // All that may be null is.
    let bytes = section("c0 05 04 40 40 40 40");
    assert_eq!(found(&bytes), (Annotations::default(), bytes.len()));
    // Bits that are not known come back.
    let bytes = section("c0 09 04 70 80 00 00 00 40 40 45");
    let (read, _) = found(&bytes);
    assert!(composed(&read, None).windows(5).any(|w| w == [0x70, 0x80, 0, 0, 0]));
}

#[test]
fn what_is_no_section_and_what_is_half_of_one() {
    assert_eq!(parse(&hex("00 53 70 45")), Ok(Parsed::Absent));
    assert_eq!(parse(&hex("00 80 00 00 00 00 00 00 00 70 45")), Ok(Parsed::Absent));
    assert_eq!(parse(b""), Ok(Parsed::Incomplete(11)));
    let whole = composed(&Annotations { ingress: Some("0/A"), ..Annotations::default() }, Some("0/A"));
    for len in 0..whole.len() {
        let Ok(Parsed::Incomplete(needed)) = parse(&whole[..len]) else { panic!("{len}") };
        assert!(needed > len && needed <= whole.len());
    }
}

#[test]
fn errors_say_where() {
    let says = |list: &str, text: &str| {
        let error = parse(&section(list)).unwrap_err().to_string();
        assert!(error.contains(text), "{error:?} does not say {text:?}");
    };
    says("45", "0 entries");
    says("c0 04 03 43 40 40", "3 entries");
    says("a1 00", "section: constructor 0xa1 at byte 10");
    says("c0 05 04 a1 00 40 45", "flags: constructor 0xa1 at byte 13");
    says("c0 06 04 54 ff 40 40 45", "flags: value at byte 13");
    says("c0 05 04 43 43 40 45", "to-override: constructor 0x43 at byte 14");
    says("c0 08 04 43 40 a1 02 c3 28 45", "ingress: string at byte 17 is not UTF-8");
    says("c0 05 04 43 40 40 43", "trace: constructor 0x43 at byte 16");
    says("c0 08 04 43 40 40 c0 02 01 40", "trace: constructor 0x40 at byte 19");
    says("c0 09 04 43 40 40 c0 03 01 a1 09", "trace: ");
    says("c0 06 05 43 40 40 45 43", "ingress-mesh: constructor 0x43 at byte 17");
    says("c0 07 06 43 40 40 45 40 ff", "a further entry: 0xff at byte 18");
    says("c0 06 04 43 40 40 45 45", "section: ");
    says("c0 07 04 43 a1 ff 40 45 40", "to-override: ");
    says("d0 00 01 00 00 00 00 00 04", "65551 bytes are more than");
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["0/[A-Za-z0-9-]{0,20}", "\\PC{0,300}"]
}

proptest! {
    #[test]
    fn what_was_composed_is_read(
        flags in any::<u32>(),
        to in proptest::option::of(name()),
        ingress in proptest::option::of(name()),
        mesh in proptest::option::of("[a-z]{15}"),
        hops in proptest::collection::vec(name(), 0..6),
        rest in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut out = BytesMut::new();
        let first = Annotations {
            flags, to_override: to.as_deref(), ingress: ingress.as_deref(), ingress_mesh: mesh.as_deref(),
            ..Annotations::default()
        };
        first.compose(None, &mut out);
        for hop in &hops {
            let received = out.split();
            let (annotations, end) = found(&received);
            prop_assert_eq!(end, received.len());
            annotations.compose(Some(hop), &mut out);
        }
        let len = out.len();
        out.extend_from_slice(&rest);
        let (read, end) = found(&out);
        prop_assert_eq!(end, len);
        prop_assert_eq!(read.trace.iter().collect::<Vec<_>>(), hops.iter().map(String::as_str).collect::<Vec<_>>());
        prop_assert_eq!(Annotations { trace: Trace::default(), ..read }, first);
    }

    #[test]
    fn garbage_is_refused_or_read_but_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64), cut in 0usize..80) {
        let mut section = section("");
        section.extend_from_slice(&bytes);
        section.truncate(cut);
        if let Ok(Parsed::Found(annotations, end)) = parse(&section) {
            prop_assert!(end <= section.len());
            prop_assert_eq!(annotations.trace.iter().count(), annotations.trace.len() as usize);
            let again = composed(&annotations, None);
            prop_assert_eq!(found(&again).0, annotations);
        }
        let _ = parse(&bytes);
    }

    #[test]
    fn one_wrong_byte_never_panics(at in 0usize..41, byte in any::<u8>()) {
        let mut section = section("d0 00 00 00 1d 00 00 00 04 43 a1 03 73 76 63 a1 03 30 2f 41 d0 00 00 00 09 00 00 00 01 a1 03 30 2f 41");
        if let Some(at) = section.get_mut(at) {
            *at = byte;
        }
        let _ = parse(&section);
    }
}

#[test]
fn the_section_that_says_nothing() {
    let mut out = Vec::new();
    Annotations::default().compose(None, &mut out);
    assert_eq!(out, EMPTY);
}
