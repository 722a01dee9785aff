//! Names that nobody can guess: an address made up for one client's replies must not be found by another.

/// Names from a seed, by ChaCha with 8 rounds: whoever has seen some of them cannot compute the others.
#[derive(Debug)]
pub(crate) struct NameGenerator {
    key: [u32; 8],
    worker: u32,
    counter: u64,
}

/// The alphabet of discriminators: 64 characters.
const ALPHABET: &[u8; 64] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+_";

/// Length of a discriminator: 90 bits.
const LENGTH: usize = 15;

impl NameGenerator {
    /// Each worker of a router has the same seed and its own sequence.
    pub(crate) fn new(seed: &[u8; 32], worker: u16) -> Self {
        let mut key = [0; 8];
        for (word, bytes) in key.iter_mut().zip(seed.chunks_exact(4)) {
            *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        Self { key, worker: worker.into(), counter: 0 }
    }

    /// The next discriminator.
    pub(crate) fn discriminator(&mut self) -> String {
        let block = self.block();
        let letter = |i: usize| char::from(ALPHABET[((block[i / 4] >> (8 * (i % 4))) & 63) as usize]);
        (0..LENGTH).map(letter).collect()
    }

    fn block(&mut self) -> [u32; 16] {
        let k = &self.key;
        let mut start = [
            0x6170_7865,
            0x3320_646e,
            0x7962_2d32,
            0x6b20_6574,
            k[0],
            k[1],
            k[2],
            k[3],
            k[4],
            k[5],
            k[6],
            k[7],
            0,
            0,
            0,
            0,
        ];
        start[12] = self.counter as u32;
        start[13] = (self.counter >> 32) as u32;
        start[14] = self.worker;
        self.counter += 1;
        let mut state = start;
        for _ in 0..4 {
            for (a, b, c, d) in [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)] {
                quarter(&mut state, a, b, c, d);
            }
            for (a, b, c, d) in [(0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)] {
                quarter(&mut state, a, b, c, d);
            }
        }
        for (word, first) in state.iter_mut().zip(start) {
            *word = word.wrapping_add(first);
        }
        state
    }
}

fn quarter(s: &mut [u32; 16], a: usize, b: usize, c: usize, d: usize) {
    s[a] = s[a].wrapping_add(s[b]);
    s[d] = (s[d] ^ s[a]).rotate_left(16);
    s[c] = s[c].wrapping_add(s[d]);
    s[b] = (s[b] ^ s[c]).rotate_left(12);
    s[a] = s[a].wrapping_add(s[b]);
    s[d] = (s[d] ^ s[a]).rotate_left(8);
    s[c] = s[c].wrapping_add(s[d]);
    s[b] = (s[b] ^ s[c]).rotate_left(7);
}
