use proptest::prelude::*;

use super::{DEFAULT_TABLE, Decoder, Field, MAX_TABLE, STATIC};

fn bytes(hex: &str) -> Vec<u8> {
    let hex: String = hex.split_whitespace().collect();
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn told(decoder: &mut Decoder, block: &[u8]) -> Vec<(Field, String)> {
    let mut told = Vec::new();
    decoder
        .decode(block, |field, value| {
            if field != Field::Other {
                told.push((field, String::from_utf8_lossy(value).into_owned()));
            }
        })
        .unwrap();
    told
}

/// RFC 7541, C.3 and C.4: requests without and with Huffman code. The sizes of the table are those that it gives.
#[test]
fn requests_of_the_specification() {
    for blocks in [
        [
            "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "8286 84be 5808 6e6f 2d63 6163 6865",
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ],
        [
            "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
            "8286 84be 5886 a8eb 1064 9cbf",
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        ],
    ] {
        let mut decoder = Decoder::default();
        for (block, (entries, size)) in blocks.into_iter().zip([(1, 57), (2, 110), (3, 164)]) {
            assert_eq!(told(&mut decoder, &bytes(block)), [(Field::Method, "GET".to_owned())]);
            assert_eq!((decoder.entries.len(), decoder.size), (entries, size));
        }
    }
}

/// C.5 and C.6: responses, with a table of 256 bytes, so that entries are evicted.
#[test]
fn responses_of_the_specification() {
    for blocks in [
        [
            "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 474d 546e
             1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "4803 3330 37c1 c0bf",
            "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 666f 6f3d
             4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572
             7369 6f6e 3d31",
        ],
        [
            "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 63c7 8f0b
             97c8 e9ae 82ae 43d3",
            "4883 640e ffc1 c0bf",
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 dfdf
             cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
        ],
    ] {
        let mut decoder = Decoder::default();
        decoder.resize(256).unwrap();
        for (block, (status, entries, size)) in
            blocks.into_iter().zip([("302", 4, 222), ("307", 4, 222), ("200", 3, 215)])
        {
            assert_eq!(told(&mut decoder, &bytes(block)), [(Field::Status, status.to_owned())]);
            assert_eq!((decoder.entries.len(), decoder.size), (entries, size));
        }
    }
}

#[test]
fn what_is_kept_can_be_referred_to() {
    let mut decoder = Decoder::default();
    let mut block = vec![0x40, 15];
    block.extend(b"x-forwarded-for\x0810.1.2.3");
    let expected = [(Field::XForwardedFor, "10.1.2.3".to_owned())];
    assert_eq!(told(&mut decoder, &block), expected);
    // By its index, and its name by its index, not to be kept.
    assert_eq!(told(&mut decoder, &[0x80 | 62]), expected);
    let other = [(Field::XForwardedFor, "::1".to_owned())];
    assert_eq!(told(&mut decoder, &[0x1f, 62 - 15, 3, b':', b':', b'1']), other);
    assert_eq!(decoder.entries.len(), 1);
    // A table of nothing forgets it.
    assert_eq!(told(&mut decoder, &[0x20]), []);
    assert!(decoder.decode(&[0x80 | 62], |_, _| {}).is_err());
}

#[test]
fn the_table_stays_bounded() {
    let mut decoder = Decoder::default();
    assert!(decoder.resize(DEFAULT_TABLE + 1).is_err());
    decoder.allow(u32::MAX);
    assert!(decoder.resize(MAX_TABLE + 1).is_err());
    decoder.resize(MAX_TABLE).unwrap();
    // Entries without text.
    for _ in 0..10_000 {
        decoder.decode(&[0x40, 0, 0], |_, _| {}).unwrap();
    }
    assert_eq!((decoder.entries.len(), decoder.size), (2048, MAX_TABLE));
    // One that is larger than the table.
    let mut block = vec![0x40, 0, 0x7f, 0x81, 0xff, 0x03];
    block.extend(std::iter::repeat_n(b'x', 127 + 0x81 % 128 + (0x7f << 7) + (3 << 14)));
    decoder.decode(&block, |_, _| {}).unwrap();
    assert_eq!((decoder.entries.len(), decoder.size), (0, 0));
}

#[test]
fn malformed_blocks() {
    for block in [
        // No index, one beyond the tables, a name beyond them, an integer without an end or too large, a string cut short, a bad code.
        &[0x80][..],
        &[0x80 | 62],
        &[0x7f, 0x00, 0],
        &[0xff, 0x80],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0x40, 5, b'a'],
        &[0x40, 0x81, 0x00],
        &[0x40],
    ] {
        assert!(Decoder::default().decode(block, |_, _| {}).is_err(), "{block:?}");
    }
    assert_eq!(STATIC[60].0, "www-authenticate");
}

proptest! {
    #[test]
    fn anything_is_taken(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..8)) {
        let mut decoder = Decoder::default();
        for block in blocks {
            let _ = decoder.decode(&block, |_, _| {});
            prop_assert!(decoder.size <= decoder.most);
            prop_assert_eq!(decoder.size, decoder.entries.iter().map(|entry| entry.size).sum::<u32>());
        }
    }
}
