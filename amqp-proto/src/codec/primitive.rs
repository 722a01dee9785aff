//! The primitive types as Rust types.

use bytes::{BufMut, Bytes};

use super::{Decode, Encode, Reader, code};
use crate::{DecodeError, Str, Symbol};

fn unexpected<T>(code: u8, reader: &Reader<'_>, expected: &'static str) -> Result<T, DecodeError> {
    Err(DecodeError::UnexpectedType { code, at: reader.pos().saturating_sub(1), expected })
}

impl Decode for bool {
    #[inline]
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8()? {
            code::TRUE => Ok(true),
            code::FALSE => Ok(false),
            code::BOOLEAN => match reader.u8()? {
                0 => Ok(false),
                1 => Ok(true),
                _ => Err(DecodeError::InvalidValue { at: reader.pos() - 1, expected: "boolean" }),
            },
            code => unexpected(code, reader, "a boolean"),
        }
    }
}
impl Encode for bool {
    fn encoded_len(&self) -> usize {
        1
    }
    fn encode<B: BufMut>(&self, out: &mut B) {
        out.put_u8(if *self { code::TRUE } else { code::FALSE });
    }
}

/// Types with one fixed width.
macro_rules! fixed {
    ($($type:ty, $code:ident, $what:literal;)*) => {$(
        impl Decode for $type {
            #[inline]
            fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                match reader.u8()? {
                    code::$code => Ok(Self::from_be_bytes(reader.array()?)),
                    code => unexpected(code, reader, $what),
                }
            }
        }
        impl Encode for $type {
            fn encoded_len(&self) -> usize {
                1 + size_of::<Self>()
            }
            fn encode<B: BufMut>(&self, out: &mut B) {
                out.put_u8(code::$code);
                out.put_slice(&self.to_be_bytes());
            }
        }
    )*};
}
fixed! {
    u8, UBYTE, "a ubyte";
    u16, USHORT, "a ushort";
    i8, BYTE, "a byte";
    i16, SHORT, "a short";
    f32, FLOAT, "a float";
    f64, DOUBLE, "a double";
}

/// Unsigned types with a form for 0 and a small one.
macro_rules! unsigned {
    ($($type:ty, $zero:ident, $small:ident, $full:ident, $what:literal;)*) => {$(
        impl Decode for $type {
            #[inline]
            fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                match reader.u8()? {
                    code::$zero => Ok(0),
                    code::$small => Ok(Self::from(reader.u8()?)),
                    code::$full => Ok(Self::from_be_bytes(reader.array()?)),
                    code => unexpected(code, reader, $what),
                }
            }
        }
        impl Encode for $type {
            #[inline]
            fn encoded_len(&self) -> usize {
                match *self {
                    0 => 1,
                    1..=255 => 2,
                    _ => 1 + size_of::<Self>(),
                }
            }
            #[inline]
            fn encode<B: BufMut>(&self, out: &mut B) {
                match *self {
                    0 => out.put_u8(code::$zero),
                    1..=255 => out.put_slice(&[code::$small, *self as u8]),
                    _ => {
                        out.put_u8(code::$full);
                        out.put_slice(&self.to_be_bytes());
                    }
                }
            }
        }
    )*};
}
unsigned! {
    u32, UINT0, SMALL_UINT, UINT, "a uint";
    u64, ULONG0, SMALL_ULONG, ULONG, "a ulong";
}

/// Signed types with a small form.
macro_rules! signed {
    ($($type:ty, $small:ident, $full:ident, $what:literal;)*) => {$(
        impl Decode for $type {
            #[inline]
            fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                match reader.u8()? {
                    code::$small => Ok(Self::from(i8::from_be_bytes(reader.array()?))),
                    code::$full => Ok(Self::from_be_bytes(reader.array()?)),
                    code => unexpected(code, reader, $what),
                }
            }
        }
        impl Encode for $type {
            fn encoded_len(&self) -> usize {
                if i8::try_from(*self).is_ok() { 2 } else { 1 + size_of::<Self>() }
            }
            fn encode<B: BufMut>(&self, out: &mut B) {
                match i8::try_from(*self) {
                    Ok(small) => {
                        out.put_u8(code::$small);
                        out.put_i8(small);
                    }
                    Err(_) => {
                        out.put_u8(code::$full);
                        out.put_slice(&self.to_be_bytes());
                    }
                }
            }
        }
    )*};
}
signed! {
    i32, SMALL_INT, INT, "an int";
    i64, SMALL_LONG, LONG, "a long";
}

impl Decode for char {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8()? {
            code::CHAR => {
                let at = reader.pos();
                Self::from_u32(u32::from_be_bytes(reader.array()?))
                    .ok_or(DecodeError::InvalidValue { at, expected: "char" })
            }
            code => unexpected(code, reader, "a char"),
        }
    }
}
impl Encode for char {
    fn encoded_len(&self) -> usize {
        5
    }
    fn encode<B: BufMut>(&self, out: &mut B) {
        out.put_u8(code::CHAR);
        out.put_u32(u32::from(*self));
    }
}

/// Types that are kept as they are on the wire.
macro_rules! opaque {
    ($($(#[$meta:meta])* $name:ident([u8; $len:literal]), $code:ident, $what:literal;)*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub struct $name(pub [u8; $len]);

        impl Decode for $name {
            fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                match reader.u8()? {
                    code::$code => Ok(Self(reader.array()?)),
                    code => unexpected(code, reader, $what),
                }
            }
        }
        impl Encode for $name {
            fn encoded_len(&self) -> usize {
                1 + $len
            }
            fn encode<B: BufMut>(&self, out: &mut B) {
                out.put_u8(code::$code);
                out.put_slice(&self.0);
            }
        }
    )*};
}
opaque! {
    /// A `decimal32` (§1.6.12), IEEE 754 in network order.
    Decimal32([u8; 4]), DECIMAL32, "a decimal32";
    /// A `decimal64` (§1.6.13), IEEE 754 in network order.
    Decimal64([u8; 8]), DECIMAL64, "a decimal64";
    /// A `decimal128` (§1.6.14), IEEE 754 in network order.
    Decimal128([u8; 16]), DECIMAL128, "a decimal128";
    /// A `uuid` (§1.6.18), RFC 4122 in network order.
    Uuid([u8; 16]), UUID, "a uuid";
}

/// A `timestamp` (§1.6.17): milliseconds since 1970-01-01T00:00Z, negative before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(pub i64);

impl Decode for Timestamp {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8()? {
            code::TIMESTAMP => Ok(Self(i64::from_be_bytes(reader.array()?))),
            code => unexpected(code, reader, "a timestamp"),
        }
    }
}
impl Encode for Timestamp {
    fn encoded_len(&self) -> usize {
        9
    }
    fn encode<B: BufMut>(&self, out: &mut B) {
        out.put_u8(code::TIMESTAMP);
        out.put_i64(self.0);
    }
}

/// Takes length and bytes of a variable-width value.
fn variable(reader: &mut Reader<'_>, narrow: u8, wide: u8, what: &'static str) -> Result<Bytes, DecodeError> {
    let len = match reader.u8()? {
        code if code == narrow => usize::from(reader.u8()?),
        code if code == wide => reader.len32()?,
        code => return unexpected(code, reader, what),
    };
    reader.take_bytes(len)
}

pub(crate) fn variable_len(len: usize) -> usize {
    if len <= 255 { 2 + len } else { 5 + len }
}

pub(crate) fn put_variable<B: BufMut>(out: &mut B, bytes: &[u8], narrow: u8, wide: u8) {
    match u8::try_from(bytes.len()) {
        Ok(len) => out.put_slice(&[narrow, len]),
        Err(_) => {
            out.put_u8(wide);
            out.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        }
    }
    out.put_slice(bytes);
}

impl Decode for Bytes {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        variable(reader, code::BINARY8, code::BINARY32, "a binary")
    }
}
impl Encode for Bytes {
    fn encoded_len(&self) -> usize {
        variable_len(self.len())
    }
    fn encode<B: BufMut>(&self, out: &mut B) {
        put_variable(out, self, code::BINARY8, code::BINARY32);
    }
}

impl Decode for Str {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.pos();
        let bytes = variable(reader, code::STRING8, code::STRING32, "a string")?;
        Self::from_bytes(bytes).ok_or(DecodeError::NotUtf8 { at })
    }
}
impl Encode for Str {
    fn encoded_len(&self) -> usize {
        variable_len(self.len())
    }
    fn encode<B: BufMut>(&self, out: &mut B) {
        put_variable(out, self.as_bytes(), code::STRING8, code::STRING32);
    }
}

impl Decode for Symbol {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.pos();
        let bytes = variable(reader, code::SYMBOL8, code::SYMBOL32, "a symbol")?;
        Self::from_bytes(bytes).ok_or(DecodeError::NotAscii { at })
    }
}
impl Encode for Symbol {
    fn encoded_len(&self) -> usize {
        variable_len(self.len())
    }
    fn encode<B: BufMut>(&self, out: &mut B) {
        put_variable(out, self.as_bytes(), code::SYMBOL8, code::SYMBOL32);
    }
}
