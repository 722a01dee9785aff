//! What a peer may send to hurt: depth, counts, sizes. Every case must end at once and in little memory.

use bytes::Bytes;

use super::{hex, read};
use crate::{DecodeError, Encode, Fields, MAX_DEPTH, Performative, Raw, SourceTerminus, Symbols, Value, fuzz};

/// `depth` times `front`, whose last four bytes are a size that is filled in, around a null.
fn nested(front: &[u8], sized: bool, behind: &[u8], depth: usize) -> Bytes {
    let mut bytes = vec![0x40];
    for _ in 0..depth {
        let mut outer = front.to_vec();
        if sized {
            outer.extend(u32::try_from(bytes.len() + behind.len()).expect("size").to_be_bytes());
        }
        outer.extend(behind);
        outer.extend(&bytes);
        bytes = outer;
        // Building it is quadratic; the reader never goes this far.
        if depth > 2000 && bytes.len() > 200_000 {
            break;
        }
    }
    bytes.into()
}

fn deep(depth: usize) -> Vec<Bytes> {
    vec![
        nested(&[0xd0], true, &[0, 0, 0, 1], depth),
        nested(&[0xd1], true, &[0, 0, 0, 2, 0x40], depth),
        nested(&[0x00, 0x53, 0x24], false, &[], depth),
    ]
}

#[test]
fn depth_is_limited_and_needs_no_stack() {
    for bytes in deep(MAX_DEPTH) {
        let value = read::<Value>(&bytes).expect("the deepest legal value");
        assert_eq!(read::<Value>(&value.encoded().into()), Ok(value));
        assert!(read::<Raw>(&bytes).is_ok());
    }
    for depth in [MAX_DEPTH + 1, 10_000] {
        for bytes in deep(depth) {
            assert!(matches!(read::<Value>(&bytes), Err(DecodeError::TooDeep { .. })));
            assert!(matches!(read::<Raw>(&bytes), Err(DecodeError::TooDeep { .. })));
        }
    }
}

#[test]
fn descriptors_nest_to_the_same_limit() {
    // A descriptor that is described, whose descriptor is described...
    let mut bytes = vec![0u8; 10_000];
    bytes.extend([0x40; 10_001]);
    assert!(matches!(read::<Raw>(&bytes.clone().into()), Err(DecodeError::TooDeep { .. })));
    assert!(matches!(read::<Value>(&bytes.into()), Err(DecodeError::TooDeep { .. })));
    // An array whose element constructor never ends.
    let mut front = hex("f0 00002714 00000001").to_vec();
    front.extend([0x00, 0x53, 0x01].repeat(10_000));
    assert!(read::<Raw>(&front.into()).is_err());
}

/// Arrays of one array of one array...: measured once per level, so linear, not two to the depth.
#[test]
fn nested_arrays_are_encoded_in_linear_time() {
    let mut bytes = hex("50 01").to_vec();
    for _ in 1..MAX_DEPTH {
        let mut outer = vec![0xf0];
        outer.extend(u32::try_from(bytes.len() + 4).expect("size").to_be_bytes());
        outer.extend([0, 0, 0, 1]);
        outer.extend(&bytes);
        bytes = outer;
    }
    let value = read::<Value>(&bytes.into()).expect("nested arrays");
    assert_eq!(read::<Value>(&value.encoded().into()), Ok(value));
}

#[test]
fn counts_are_checked_before_anything_is_allocated() {
    for text in [
        "d0 00000004 ffffffff",
        "d1 00000004 fffffffe",
        "d0 00000005 ffffffff 40",
        "f0 00000005 ffffffff 50",
        "f0 00000006 ffffffff 50 01",
        "f0 00000006 00000002 50 01",
        "c0 02 ff 40",
        "e0 04 03 50 01 02",
        "e0 03 ff a1 00",
    ] {
        assert!(matches!(read::<Value>(&hex(text)), Err(DecodeError::Count { .. })), "{text}");
        assert!(matches!(read::<Raw>(&hex(text)), Err(DecodeError::Count { .. })), "{text}");
    }
}

#[test]
fn elements_without_bytes_are_bounded() {
    for element in ["40", "41", "42", "43", "44", "45"] {
        let bytes = hex(&format!("f0 00000005 ffffffff {element}"));
        // Kept verbatim it costs nothing.
        assert!(read::<Raw>(&bytes).is_ok());
        assert!(matches!(read::<Value>(&bytes), Err(DecodeError::Count { .. })), "{element}");
    }
    // The bound is for the whole tree.
    let inner = hex("f0 00000005 00000300 40");
    let mut list = vec![0xd0];
    list.extend(u32::try_from(4 + inner.len() * 1000).expect("size").to_be_bytes());
    list.extend([0, 0, 3, 0xe8]);
    list.extend(inner.repeat(1000));
    assert!(matches!(read::<Value>(&list.into()), Err(DecodeError::Count { .. })));
    assert!(matches!(read::<Symbols>(&hex("f0 00000005 ffffffff a3")), Err(DecodeError::Count { .. })));
    assert!(matches!(read::<Symbols>(&hex("f0 00000005 ffffffff 40")), Err(DecodeError::UnexpectedType { .. })));
}

#[test]
fn sizes_beyond_the_bytes_are_refused() {
    for text in
        ["b0 ffffffff", "b1 ffffffff 61", "d0 ffffffff ffffffff", "f0 ffffffff 00000001 40", "d1 7fffffff 00000000"]
    {
        assert!(read::<Value>(&hex(text)).expect_err(text).is_truncated(), "{text}");
        assert!(read::<Raw>(&hex(text)).expect_err(text).is_truncated(), "{text}");
    }
    for text in ["d0 00000003 00000000", "c1 00 00", "e0 01 00", "e0 00 00", "f0 00000004 00000000"] {
        assert!(matches!(read::<Raw>(&hex(text)), Err(DecodeError::Size { .. })), "{text}");
    }
}

#[test]
fn fields_are_judged_in_their_frames() {
    let open = |fields: &str, count: u8| {
        let fields = hex(fields);
        let mut bytes = vec![0x00, 0x53, 0x10, 0xc0, u8::try_from(fields.len() + 1).expect("size"), count];
        bytes.extend(&fields);
        let bytes = Bytes::from(bytes);
        Performative::decode(&bytes, 0..bytes.len())
    };
    assert!(open("a1 01 61", 1).is_ok());
    // Properties that are no map, with a huge count, too deep.
    assert!(open("a1 01 61 40 40 40 40 40 40 40 40 45", 10).is_err());
    assert!(open("a1 01 61 40 40 40 40 40 40 40 40 d1 00000004 fffffffe", 10).is_err());
    let empty = open("a1 01 61 40 40 40 40 40 40 40 40 c1 01 00", 10);
    assert!(
        matches!(empty, Ok((Performative::Open(open), _)) if open.properties.as_ref().is_some_and(Fields::is_empty))
    );
}

#[test]
fn raw_passes_what_it_does_not_read() {
    // A string that is no UTF-8 inside a map is well-formed; only who reads it refuses.
    let bytes = hex("c1 06 02 a3 01 6b a1 00");
    assert!(read::<Fields>(&bytes).is_ok());
    let bad = hex("c1 07 02 a3 01 6b a1 01 ff");
    let fields = read::<Fields>(&bad).expect("well-formed");
    assert!(fields.get("k").expect("entry").to_value().is_err());
    assert!(read::<SourceTerminus>(&hex("00 80 0000468c00000004 c0 03 01 a1 00")).is_ok());
}

#[test]
fn noise_in_every_shape() {
    // A linear congruential generator (Knuth's constants) over the constructor bytes finds more than flat noise.
    let codes = hex(
        "00 40 41 42 43 44 45 50 52 53 54 56 70 80 98 a0 a1 a3 b0 b1 b3 c0 c1 d0 d1 e0 f0 01 02 03 05 10 14 24 27 29 70 73 77 ff",
    );
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    for _ in 0..30_000 {
        let len = next() % 40;
        let body: Vec<u8> = (0..len).map(|_| codes[next() % codes.len()]).collect();
        fuzz::fuzz_value(&body);
        fuzz::fuzz_message(&body);
        let mut frame = vec![0, 0, 0, u8::try_from(len + 11).expect("short"), 2, (next() % 2) as u8, 0, 0, 0, 0x53];
        frame.push(if frame[5] == 0 { 0x10 + (next() % 9) as u8 } else { 0x40 + (next() % 5) as u8 });
        frame.extend(&body);
        fuzz::fuzz_frame(&frame);
    }
}
