//! Delivery tags.

use std::fmt;

use bytes::BufMut;

use crate::{
    Decode, DecodeError, Encode, Reader,
    codec::{
        code,
        primitive::{put_variable, variable_len},
    },
};

/// A `delivery-tag` (§2.8.7): up to 32 bytes, in place.
#[derive(Clone, Copy)]
pub struct DeliveryTag {
    len: u8,
    bytes: [u8; Self::MAX],
}

impl DeliveryTag {
    /// The longest tag in bytes.
    pub const MAX: usize = 32;

    /// A tag; `None` if it is too long.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut tag = Self { len: u8::try_from(bytes.len()).ok()?, bytes: [0; Self::MAX] };
        tag.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(tag)
    }

    /// A tag of exactly `N` bytes, which the compiler copies without a call; `N` is at most 32.
    #[inline(always)]
    pub(super) fn of_chunk<const N: usize>(bytes: &[u8; N]) -> Self {
        let mut tag = Self { len: N as u8, bytes: [0; Self::MAX] };
        if let Some(head) = tag.bytes.first_chunk_mut() {
            *head = *bytes;
        }
        tag
    }

    /// A tag of 8 bytes from a number, little-endian as the reference writes it.
    pub fn from_u64(number: u64) -> Self {
        Self::of_chunk(&number.to_le_bytes())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }
}

impl PartialEq for DeliveryTag {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}
impl Eq for DeliveryTag {}
impl std::hash::Hash for DeliveryTag {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}
impl fmt::Debug for DeliveryTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

impl Decode for DeliveryTag {
    #[inline]
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.pos();
        let len = match reader.u8()? {
            code::BINARY8 => usize::from(reader.u8()?),
            code::BINARY32 => reader.len32()?,
            code => {
                return Err(DecodeError::UnexpectedType { code, at, expected: "a binary of up to 32 bytes" });
            }
        };
        if len > Self::MAX {
            return Err(DecodeError::InvalidValue { at, expected: "delivery-tag of up to 32 bytes" });
        }
        Self::new(reader.take(len)?).ok_or(DecodeError::InvalidValue { at, expected: "delivery-tag" })
    }
}
impl Encode for DeliveryTag {
    #[inline]
    fn encoded_len(&self) -> usize {
        variable_len(usize::from(self.len))
    }
    #[inline]
    fn encode<B: BufMut>(&self, out: &mut B) {
        put_variable(out, self.as_bytes(), code::BINARY8, code::BINARY32);
    }
}
