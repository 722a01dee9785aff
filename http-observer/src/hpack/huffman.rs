//! The Huffman code of HPACK (RFC 7541, appendix B).
//!
//! It is canonical: codes of the same length are consecutive, in the order of their symbols. So the lengths say everything.

/// Symbols: the bytes and the end of the string, which never appears.
const SYMBOLS: usize = 257;
const LONGEST: usize = 30;

#[rustfmt::skip]
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// What follows from the lengths.
struct Table {
    /// Symbols in the order of their codes.
    symbols: [u16; SYMBOLS],
    /// Of each length: the first code, how many there are, and the place of the first symbol.
    codes: [(u32, u32, usize); LONGEST + 1],
}

const TABLE: Table = {
    let mut table = Table { symbols: [0; SYMBOLS], codes: [(0, 0, 0); LONGEST + 1] };
    let (mut code, mut place, mut length) = (0_u32, 0, 1);
    while length <= LONGEST {
        code <<= 1;
        table.codes[length] = (code, 0, place);
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == length {
                table.symbols[place] = symbol as u16;
                table.codes[length].1 += 1;
                place += 1;
                code += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    table
};

/// Decodes a string, and calls `put` with each byte of it. False if it is malformed.
pub(super) fn decode(encoded: &[u8], mut put: impl FnMut(u8)) -> bool {
    let (mut code, mut length) = (0_u32, 0_usize);
    for byte in encoded {
        for shift in (0..8).rev() {
            code = (code << 1) | u32::from((byte >> shift) & 1);
            length += 1;
            let Some((first, count, place)) = TABLE.codes.get(length).copied() else { return false };
            let Some(nth) = code.checked_sub(first).filter(|nth| *nth < count) else { continue };
            let symbol = TABLE.symbols.get(place + nth as usize).copied();
            let Some(byte) = symbol.and_then(|symbol| u8::try_from(symbol).ok()) else { return false };
            put(byte);
            (code, length) = (0, 0);
        }
    }
    // The rest of the last byte is the beginning of the code that ends a string.
    length < 8 && code == (1 << length) - 1
}

#[cfg(test)]
mod tests {
    use super::{LENGTHS, TABLE, decode};

    fn text(encoded: &[u8]) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        decode(encoded, |byte| text.push(byte)).then_some(text)
    }

    /// Strings of RFC 7541, appendix C.
    #[test]
    fn strings_of_the_specification() {
        for (encoded, expected) in [
            ("f1e3c2e5f23a6ba0ab90f4ff", "www.example.com"),
            ("a8eb10649cbf", "no-cache"),
            ("25a849e95ba97d7f", "custom-key"),
            ("25a849e95bb8e8b4bf", "custom-value"),
            ("6402", "302"),
            ("aec3771a4b", "private"),
            ("d07abe941054d444a8200595040b8166e082a62d1bff", "Mon, 21 Oct 2013 20:13:21 GMT"),
            ("9d29ad171863c78f0b97c8e9ae82ae43d3", "https://www.example.com"),
            ("640eff", "307"),
            (
                "94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
                "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
            ),
        ] {
            let bytes: Vec<u8> =
                (0..encoded.len()).step_by(2).map(|at| u8::from_str_radix(&encoded[at..at + 2], 16).unwrap()).collect();
            assert_eq!(text(&bytes).as_deref(), Some(expected.as_bytes()));
        }
    }

    fn encode(bytes: &[u8]) -> Vec<u8> {
        let mut bits = Vec::new();
        for byte in bytes {
            let place = TABLE.symbols.iter().position(|symbol| *symbol == u16::from(*byte)).unwrap();
            let length = usize::from(LENGTHS[usize::from(*byte)]);
            let (first, _, at) = TABLE.codes[length];
            let code = first + u32::try_from(place - at).unwrap();
            bits.extend((0..length).rev().map(|shift| (code >> shift) & 1 == 1));
        }
        while bits.len() % 8 != 0 {
            bits.push(true);
        }
        bits.chunks(8).map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit))).collect()
    }

    #[test]
    fn every_byte_and_bad_ends() {
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(text(&encode(&all)), Some(all));
        // The codes fill the space of 30 bits: none is missing, none too many.
        assert_eq!(LENGTHS.iter().map(|length| 1_u64 << (30 - length)).sum::<u64>(), 1 << 30);
        assert_eq!(text(b""), Some(Vec::new()));
        // `0` followed by zeros, by too much, and the end of the string as a symbol.
        assert_eq!(text(&[0b0000_0000]), None);
        assert_eq!(text(&[0b0000_0111, 0xff]), None);
        assert_eq!(text(&[0xff, 0xff, 0xff, 0xff]), None);
    }
}
