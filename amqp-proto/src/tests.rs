//! Tests of the codec, a file per topic. Those of the engine stand beside it.

mod corpus;
mod frames;
mod hostile;
mod hot_frames;
mod messages;
mod performatives;
mod primitives;
mod round_trips;
mod states;
mod termini;
mod values;

use bytes::Bytes;

use crate::{Decode, DecodeError, Reader};

/// Bytes written as hexadecimal digits; blanks are for the reader.
pub(crate) fn hex(text: &str) -> Bytes {
    let digits: Vec<u8> =
        text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16).expect("hexadecimal digit") as u8).collect();
    assert!(digits.len().is_multiple_of(2), "odd number of digits");
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Reads bytes that are one `T`.
pub(crate) fn read<T: Decode>(bytes: &Bytes) -> Result<T, DecodeError> {
    let mut reader = Reader::new(bytes);
    let value = T::decode(&mut reader)?;
    reader.finish()?;
    Ok(value)
}

/// Every proper beginning of what is one `T` is refused as truncated.
pub(crate) fn refuses_every_truncation<T: Decode + std::fmt::Debug>(bytes: &Bytes) {
    for len in 0..bytes.len() {
        let part = bytes.slice(..len);
        let error = T::decode(&mut Reader::new(&part)).expect_err("a truncated value");
        assert!(error.is_truncated(), "{len} bytes of {bytes:02x?}: {error}");
    }
}
