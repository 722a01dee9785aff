//! Reading and writing of encoded values (AMQP 1.0 part 1).
//!
//! [`Decode`] reads from a [`Reader`] over one block, so that strings, symbols, binaries and [`crate::Raw`] values are slices of
//! that block by reference. Every legal width is read. [`Encode`] writes the smallest.

pub mod code;
pub(crate) mod primitive;
mod reader;
mod skip;

pub use primitive::{Decimal32, Decimal64, Decimal128, Timestamp, Uuid};
pub use reader::{Fields as FieldReader, Reader};
pub(crate) use skip::{check_one, expect_end, fixed_width};

use bytes::BufMut;

use crate::DecodeError;

/// How deep values may nest: lists, maps, arrays and described values each count one.
///
/// The message formats of the specification need 5; management bodies of the reference 6. Work and stack per byte stay constant.
pub const MAX_DEPTH: usize = 32;

/// A type that can be read from encoded bytes.
pub trait Decode: Sized {
    /// Reads one value with its constructor.
    ///
    /// # Errors
    /// If the bytes are malformed, end early, or have another type.
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
}

/// A type that can be written as encoded bytes, in the smallest width.
pub trait Encode {
    /// Exact number of bytes that [`Encode::encode`] writes.
    fn encoded_len(&self) -> usize;

    /// Writes constructor and value.
    fn encode<B: BufMut>(&self, out: &mut B);

    /// The encoded bytes in a buffer of their own.
    fn encoded(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.encoded_len());
        self.encode(&mut out);
        out
    }
}
