//! Well-formedness of values of any type, without recursion.

use super::{MAX_DEPTH, code};
use crate::DecodeError;

/// What is open while values are walked: a compound, an array, or the two halves of a described value.
#[derive(Clone, Copy)]
struct Level {
    /// Where the compound ends, `usize::MAX` for a described value, which has no size of its own.
    end: usize,
    /// Elements still to come.
    left: u32,
    /// Constructor of the elements if this is an array; they are a width apart and have none of their own.
    element: Option<u8>,
}

/// Checks one value from `start`, returns the offset behind it.
///
/// Sizes are checked against what contains the value before anything is followed; the work is linear in the bytes, whatever
/// counts they declare, because elements without a byte are not visited.
pub(crate) fn check_one(buf: &[u8], start: usize) -> Result<usize, DecodeError> {
    // The common cases need no stack.
    if let Some(&byte) = buf.get(start)
        && byte != code::DESCRIBED
        && byte < code::LIST8
    {
        return scalar(buf, start + 1, byte, start);
    }
    Walk { buf, stack: [Level { end: 0, left: 0, element: None }; MAX_DEPTH], depth: 0, pos: start }.run()
}

struct Walk<'a> {
    buf: &'a [u8],
    stack: [Level; MAX_DEPTH],
    depth: usize,
    pos: usize,
}

impl Walk<'_> {
    fn run(mut self) -> Result<usize, DecodeError> {
        self.value()?;
        while let Some(top) = self.depth.checked_sub(1).and_then(|d| self.stack.get_mut(d)) {
            if top.left == 0 {
                if top.end != usize::MAX && top.end != self.pos {
                    return Err(DecodeError::TrailingBytes { at: self.pos, count: top.end.saturating_sub(self.pos) });
                }
                self.depth -= 1;
                continue;
            }
            top.left -= 1;
            match top.element {
                None => self.value()?,
                Some(element) => self.body(element, self.pos)?,
            }
        }
        Ok(self.pos)
    }

    /// Where the innermost compound ends.
    fn limit(&self) -> usize {
        self.stack.iter().take(self.depth).rev().map(|l| l.end).find(|&end| end != usize::MAX).unwrap_or(self.buf.len())
    }

    /// A value with its constructor.
    fn value(&mut self) -> Result<(), DecodeError> {
        let at = self.pos;
        let limit = self.limit();
        let byte =
            self.buf.get(..limit).and_then(|b| b.get(at)).copied().ok_or(DecodeError::Truncated { at, missing: 1 })?;
        self.pos += 1;
        if byte == code::DESCRIBED {
            return self.push(at, Level { end: usize::MAX, left: 2, element: None });
        }
        self.body(byte, at)
    }

    /// The part of a value behind its constructor.
    fn body(&mut self, byte: u8, at: usize) -> Result<(), DecodeError> {
        let limit = self.limit();
        let buf = self.buf.get(..limit).unwrap_or_default();
        let width = match byte {
            code::LIST8 | code::MAP8 | code::ARRAY8 => 1,
            code::LIST32 | code::MAP32 | code::ARRAY32 => 4,
            _ => {
                self.pos = scalar(buf, self.pos, byte, at)?;
                return Ok(());
            }
        };
        let size = number(buf, self.pos, width)?;
        self.pos += width;
        let available = buf.len().saturating_sub(self.pos);
        if size > available {
            return Err(DecodeError::Truncated { at: buf.len(), missing: size - available });
        }
        if size < width {
            return Err(DecodeError::Size { size, at, available });
        }
        let end = self.pos + size;
        let count = number(buf, self.pos, width)?;
        self.pos += width;
        let bytes = end - self.pos;
        if matches!(byte, code::ARRAY8 | code::ARRAY32) {
            return self.array(at, end, count);
        }
        if count > bytes {
            return Err(DecodeError::Count { count, at, available: bytes });
        }
        if matches!(byte, code::MAP8 | code::MAP32) && count % 2 == 1 {
            return Err(DecodeError::OddMap { at });
        }
        self.push(at, Level { end, left: count as u32, element: None })
    }

    /// The constructor and elements of an array.
    fn array(&mut self, at: usize, end: usize, count: usize) -> Result<(), DecodeError> {
        // Descriptors of the element constructor are values of their own; they are walked first, each within this call so that
        // the walk of the elements can go on with the constructor behind them. Their own nesting is bounded by the depth left.
        let mut descriptors = 0;
        let element = loop {
            let byte = self.buf.get(..end).and_then(|b| b.get(self.pos)).copied();
            let byte = byte.ok_or(DecodeError::Size { size: end - at, at, available: 0 })?;
            self.pos += 1;
            if byte != code::DESCRIBED {
                break byte;
            }
            descriptors += 1;
            if self.depth + descriptors >= MAX_DEPTH {
                return Err(DecodeError::TooDeep { at: self.pos });
            }
            self.pos = scalar_descriptor(self.buf.get(..end).unwrap_or_default(), self.pos)?;
        };
        let available = end - self.pos;
        let minimum =
            minimum_width(element).ok_or(DecodeError::UnknownConstructor { code: element, at: self.pos - 1 })?;
        if minimum == 0 {
            // Lists without a byte are a level like others, and so is the array.
            let levels = if element == code::LIST0 { 2 } else { 1 };
            if self.depth + levels > MAX_DEPTH {
                return Err(DecodeError::TooDeep { at });
            }
            // Any count of elements without a byte is well-formed; who expands them has to bound them.
            if available != 0 {
                return Err(DecodeError::TrailingBytes { at: self.pos, count: available });
            }
            return Ok(());
        }
        if count > available / minimum {
            return Err(DecodeError::Count { count, at, available });
        }
        self.push(at, Level { end, left: count as u32, element: Some(element) })
    }

    fn push(&mut self, at: usize, level: Level) -> Result<(), DecodeError> {
        let slot = self.stack.get_mut(self.depth).ok_or(DecodeError::TooDeep { at })?;
        *slot = level;
        self.depth += 1;
        Ok(())
    }
}

/// The descriptor in an array's constructor. Only scalars: a compound or described descriptor is legal by the letter of §1.2 but
/// no specification has one, and refusing it keeps this walk free of recursion.
fn scalar_descriptor(buf: &[u8], pos: usize) -> Result<usize, DecodeError> {
    let byte = *buf.get(pos).ok_or(DecodeError::Truncated { at: pos, missing: 1 })?;
    if byte == code::DESCRIBED || byte >= code::LIST8 {
        return Err(DecodeError::UnexpectedType {
            code: byte,
            at: pos,
            expected: "a scalar descriptor of array elements",
        });
    }
    scalar(buf, pos + 1, byte, pos)
}

/// Least number of bytes of an array element, `None` for what is no constructor.
fn minimum_width(byte: u8) -> Option<usize> {
    Some(match byte {
        code::LIST8 | code::MAP8 => 2,
        // The constructor of the inner array's elements is a byte at least.
        code::ARRAY8 => 3,
        code::LIST32 | code::MAP32 => 8,
        code::ARRAY32 => 9,
        code::BINARY8 | code::STRING8 | code::SYMBOL8 => 1,
        code::BINARY32 | code::STRING32 | code::SYMBOL32 => 4,
        _ => return fixed_width(byte),
    })
}

/// Bytes of a value of fixed width behind its constructor.
pub(crate) fn fixed_width(byte: u8) -> Option<usize> {
    Some(match byte {
        code::NULL | code::TRUE | code::FALSE | code::UINT0 | code::ULONG0 | code::LIST0 => 0,
        code::UBYTE
        | code::BYTE
        | code::SMALL_UINT
        | code::SMALL_ULONG
        | code::SMALL_INT
        | code::SMALL_LONG
        | code::BOOLEAN => 1,
        code::USHORT | code::SHORT => 2,
        code::UINT | code::INT | code::FLOAT | code::CHAR | code::DECIMAL32 => 4,
        code::ULONG | code::LONG | code::DOUBLE | code::TIMESTAMP | code::DECIMAL64 => 8,
        code::DECIMAL128 | code::UUID => 16,
        _ => return None,
    })
}

/// Skips the bytes of a value that contains no other, behind its constructor at `at`.
#[inline]
fn scalar(buf: &[u8], pos: usize, byte: u8, at: usize) -> Result<usize, DecodeError> {
    let (pos, len) = match byte {
        code::BINARY8 | code::STRING8 | code::SYMBOL8 => (pos + 1, number(buf, pos, 1)?),
        code::BINARY32 | code::STRING32 | code::SYMBOL32 => (pos + 4, number(buf, pos, 4)?),
        _ => (pos, fixed_width(byte).ok_or(DecodeError::UnknownConstructor { code: byte, at })?),
    };
    let available = buf.len().saturating_sub(pos);
    if len > available {
        return Err(DecodeError::Truncated { at: buf.len(), missing: len - available });
    }
    Ok(pos + len)
}

/// A big-endian number of 1 or 4 bytes.
fn number(buf: &[u8], pos: usize, width: usize) -> Result<usize, DecodeError> {
    let bytes = buf.get(pos..).unwrap_or_default();
    let found = if width == 1 {
        bytes.first().map(|&b| usize::from(b))
    } else {
        bytes.first_chunk().map(|b| u32::from_be_bytes(*b) as usize)
    };
    found.ok_or_else(|| DecodeError::Truncated { at: buf.len(), missing: width - bytes.len().min(width) })
}

/// Fails unless `pos` is the end of `buf`.
pub(crate) fn expect_end(buf: &[u8], pos: usize) -> Result<(), DecodeError> {
    if pos == buf.len() {
        Ok(())
    } else {
        Err(DecodeError::TrailingBytes { at: pos, count: buf.len().saturating_sub(pos) })
    }
}
