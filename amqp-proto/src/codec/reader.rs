//! The cursor over encoded bytes.

use std::ops::Range;

use bytes::Bytes;

use super::{Decode, code, skip};
use crate::DecodeError;

/// A cursor over a part of one block. Offsets, in errors too, are those of the block.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    /// What slices are taken from; they are copied if there is none.
    block: Option<&'a Bytes>,
    /// The block up to the end of the part.
    buf: &'a [u8],
    pos: usize,
}

impl<'a> Reader<'a> {
    /// Reads a whole block.
    pub fn new(block: &'a Bytes) -> Self {
        Self { block: Some(block), buf: block, pos: 0 }
    }

    /// Reads bytes that are in no block: what is kept of them is copied.
    pub fn of_slice(bytes: &'a [u8]) -> Self {
        Self { block: None, buf: bytes, pos: 0 }
    }

    /// Reads `range` of a block; what lies outside the block is left out.
    #[inline]
    pub fn part(block: &'a Bytes, range: Range<usize>) -> Self {
        let buf = block.get(..range.end).unwrap_or(block);
        Self { block: Some(block), buf, pos: range.start.min(buf.len()) }
    }

    /// The same bytes up to `end`.
    pub(crate) fn until(&self, end: usize) -> Self {
        Self { block: self.block, buf: self.buf.get(..end).unwrap_or(self.buf), pos: self.pos }
    }

    /// Goes to an offset within the part.
    #[inline]
    pub(crate) fn seek(&mut self, pos: usize) {
        self.pos = pos.min(self.buf.len());
    }

    /// Offset of the next byte.
    #[inline]
    pub fn pos(&self) -> usize {
        self.pos
    }

    /// Offset behind the last byte.
    #[inline]
    pub fn end(&self) -> usize {
        self.buf.len()
    }

    /// Number of bytes left.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.buf.len() - self.pos
    }

    /// True if nothing is left.
    pub fn is_empty(&self) -> bool {
        self.pos == self.buf.len()
    }

    /// The bytes left.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.buf.get(self.pos..).unwrap_or_default()
    }

    /// The next byte, which stays.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if nothing is left.
    #[inline]
    pub fn peek(&self) -> Result<u8, DecodeError> {
        self.buf.get(self.pos).copied().ok_or(DecodeError::Truncated { at: self.pos, missing: 1 })
    }

    /// Takes a byte.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if nothing is left.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        let byte = self.peek()?;
        self.pos += 1;
        Ok(byte)
    }

    /// Takes `N` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if there are fewer.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.rest().first_chunk::<N>() {
            Some(bytes) => {
                self.pos += N;
                Ok(*bytes)
            }
            None => Err(self.truncated(N)),
        }
    }

    /// Takes `len` bytes without a copy.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if there are fewer.
    #[inline]
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        match self.rest().get(..len) {
            Some(bytes) => {
                self.pos += len;
                Ok(bytes)
            }
            None => Err(self.truncated(len)),
        }
    }

    /// Takes `len` bytes as a slice that keeps the block alive.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if there are fewer.
    pub fn take_bytes(&mut self, len: usize) -> Result<Bytes, DecodeError> {
        let start = self.pos;
        self.take(len)?;
        Ok(self.slice(start..self.pos))
    }

    /// Takes one value of any type and checks that it is well-formed, see [`crate::Raw`].
    ///
    /// # Errors
    /// Whatever is wrong with it.
    pub fn skip(&mut self) -> Result<Range<usize>, DecodeError> {
        let start = self.pos;
        self.pos = skip::check_one(self.buf, start)?;
        Ok(start..self.pos)
    }

    /// The bytes of a range of the block as a slice that keeps it alive; empty if it is outside the part.
    pub fn slice(&self, range: Range<usize>) -> Bytes {
        let Some(bytes) = self.buf.get(range.clone()) else {
            return Bytes::new();
        };
        match self.block {
            Some(block) => block.slice(range),
            None => Bytes::copy_from_slice(bytes),
        }
    }

    /// Fails if anything is left.
    ///
    /// # Errors
    /// [`DecodeError::TrailingBytes`].
    pub fn finish(&self) -> Result<(), DecodeError> {
        if self.is_empty() { Ok(()) } else { Err(DecodeError::TrailingBytes { at: self.pos, count: self.remaining() }) }
    }

    /// Takes the descriptor of a described value: `Ok(None)` if the next value is not described or its descriptor is neither
    /// a ulong nor a symbol that `names` knows; nothing is taken then.
    ///
    /// # Errors
    /// If the bytes are malformed.
    pub fn descriptor(&mut self, names: impl Fn(&[u8]) -> Option<u64>) -> Result<Option<u64>, DecodeError> {
        let start = self.pos;
        if self.peek()? != code::DESCRIBED {
            return Ok(None);
        }
        self.pos += 1;
        let found = match self.u8()? {
            code::SMALL_ULONG => Some(u64::from(self.u8()?)),
            code::ULONG => Some(u64::from_be_bytes(self.array()?)),
            code::ULONG0 => Some(0),
            code::SYMBOL8 => {
                let len = usize::from(self.u8()?);
                names(self.take(len)?)
            }
            code::SYMBOL32 => {
                let len = self.len32()?;
                names(self.take(len)?)
            }
            _ => None,
        };
        if found.is_none() {
            self.pos = start;
        }
        Ok(found)
    }

    /// Takes a list's constructor and returns a reader of its elements; this reader stands behind the list.
    ///
    /// # Errors
    /// If it is no list, or sizes do not fit.
    #[inline]
    pub fn list(&mut self) -> Result<(Self, u32), DecodeError> {
        let at = self.pos;
        let (size, count, width) = match self.u8()? {
            code::LIST0 => {
                return Ok((
                    Self { block: self.block, buf: self.buf.get(..self.pos).unwrap_or_default(), pos: self.pos },
                    0,
                ));
            }
            code::LIST8 => {
                let [size, count] = self.array()?;
                (usize::from(size), u32::from(count), 1)
            }
            code::LIST32 => {
                let size = self.len32()?;
                (size, u32::from_be_bytes(self.array()?), 4)
            }
            code => {
                return Err(DecodeError::UnexpectedType { code, at, expected: "a list" });
            }
        };
        self.enter(at, size, width, count)
    }

    /// Takes a map's constructor and returns a reader of its keys and values, and their number (twice that of the entries).
    ///
    /// # Errors
    /// If it is no map, sizes do not fit, or the number is odd.
    pub fn map(&mut self) -> Result<(Self, u32), DecodeError> {
        let at = self.pos;
        let (size, count, width) = match self.u8()? {
            code::MAP8 => {
                let [size, count] = self.array()?;
                (usize::from(size), u32::from(count), 1)
            }
            code::MAP32 => {
                let size = self.len32()?;
                (size, u32::from_be_bytes(self.array()?), 4)
            }
            code => {
                return Err(DecodeError::UnexpectedType { code, at, expected: "a map" });
            }
        };
        if count % 2 == 1 {
            return Err(DecodeError::OddMap { at });
        }
        self.enter(at, size, width, count)
    }

    /// Splits off the `size - width` bytes of a compound value whose count was just read.
    #[inline]
    fn enter(&mut self, at: usize, size: usize, width: usize, count: u32) -> Result<(Self, u32), DecodeError> {
        let available = self.remaining();
        let len = size.checked_sub(width).ok_or(DecodeError::Size { size, at, available })?;
        // The size says where the value ends: beyond this reader it may still arrive, unless a container ends here.
        if len > available {
            return Err(DecodeError::Truncated { at: self.buf.len(), missing: len - available });
        }
        // Every element has a constructor, so a byte at least.
        if count as usize > len {
            return Err(DecodeError::Count { count: count as usize, at, available: len });
        }
        let end = self.pos + len;
        let inner = Self { block: self.block, buf: self.buf.get(..end).unwrap_or_default(), pos: self.pos };
        self.pos = end;
        Ok((inner, count))
    }

    /// Takes a 4-byte length.
    pub(crate) fn len32(&mut self) -> Result<usize, DecodeError> {
        // A usize has 32 bits at least on every target of std that this workspace builds for.
        Ok(u32::from_be_bytes(self.array()?) as usize)
    }

    fn truncated(&self, len: usize) -> DecodeError {
        DecodeError::Truncated { at: self.buf.len(), missing: len.saturating_sub(self.remaining()) }
    }
}

/// Reads the fields of a composite value (§1.4) one after the other.
#[derive(Debug)]
pub struct Fields<'a> {
    reader: Reader<'a>,
    left: u32,
    composite: &'static str,
    section: &'static str,
}

impl<'a> Fields<'a> {
    /// Takes the list of a composite value whose descriptor was taken before.
    ///
    /// # Errors
    /// If there is no list.
    pub fn open(reader: &mut Reader<'a>, composite: &'static str, section: &'static str) -> Result<Self, DecodeError> {
        let (reader, left) = reader.list()?;
        Ok(Self { reader, left, composite, section })
    }

    /// The next field, `None` if it is null or the list is too short to have it.
    ///
    /// # Errors
    /// If it is no `T`.
    pub fn optional<T: Decode>(&mut self, field: &'static str) -> Result<Option<T>, DecodeError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let composite = self.composite;
        let wrap = |source| DecodeError::Field { composite, field, source: Box::new(source) };
        if self.reader.peek().map_err(wrap)? == code::NULL {
            self.reader.pos += 1;
            return Ok(None);
        }
        T::decode(&mut self.reader).map(Some).map_err(wrap)
    }

    /// The next field, which must be there.
    ///
    /// # Errors
    /// If it is null, absent or no `T`.
    pub fn required<T: Decode>(&mut self, field: &'static str) -> Result<T, DecodeError> {
        let (composite, section) = (self.composite, self.section);
        self.optional(field)?.ok_or(DecodeError::MissingField { composite, field, section })
    }

    /// Ends the list.
    ///
    /// §1.4 correlates the elements of the list with the fields of the type by position, so an element beyond the last field
    /// is nothing that the type has: a value there is refused, because its sender relies on a meaning that we do not know. A null
    /// says nothing and is let pass.
    ///
    /// # Errors
    /// [`DecodeError::ExtraField`], or bytes after the last element.
    pub fn finish(mut self) -> Result<(), DecodeError> {
        while self.left > 0 {
            self.left -= 1;
            let at = self.reader.pos;
            if self.reader.u8()? != code::NULL {
                return Err(DecodeError::ExtraField { composite: self.composite, at });
            }
        }
        self.reader.finish()
    }
}
