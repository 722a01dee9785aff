//! Decodes header blocks of HTTP/2 (HPACK, RFC 7541) as far as records need them.
//!
//! The dynamic table is followed entry by entry, because later blocks refer to its indices, but of an entry only its size is kept, unless it
//! is one of the few [`Field`]s that are told.

mod huffman;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use crate::Stop;
use crate::forwarded::MAX_HOST;

/// The size of a dynamic table before anything is said of it.
const DEFAULT_TABLE: u32 = 4096;
/// The largest that is followed, which is what browsers offer. It takes as much memory as it says at most, since each entry counts for 32 bytes and its text.
const MAX_TABLE: u32 = 64 * 1024;
/// What each entry counts for beside its text.
const ENTRY: u32 = 32;
/// So much of a text is kept: no name that matters is longer, no value is told that is, but a list may begin with a short one.
const KEPT: usize = MAX_HOST + 1;

/// A header field that is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Method,
    Status,
    XForwardedFor,
    Forwarded,
    /// Any other.
    Other,
}

impl Field {
    fn of(name: &[u8]) -> Self {
        match name {
            b":method" => Self::Method,
            b":status" => Self::Status,
            b"x-forwarded-for" => Self::XForwardedFor,
            b"forwarded" => Self::Forwarded,
            _ => Self::Other,
        }
    }
}

/// An entry of the dynamic table.
#[derive(Debug)]
struct Entry {
    field: Field,
    name: u32,
    size: u32,
    value: Option<Box<[u8]>>,
}

/// A text, the beginning of which is kept.
struct Text {
    kept: [u8; KEPT],
    len: usize,
}

impl Text {
    const fn new() -> Self {
        Self { kept: [0; KEPT], len: 0 }
    }

    const fn put(&mut self, byte: u8) {
        if self.len < KEPT {
            self.kept[self.len] = byte;
        }
        self.len += 1;
    }

    fn kept(&self) -> &[u8] {
        self.kept.get(..self.len.min(KEPT)).unwrap_or_default()
    }

    fn len(&self) -> u32 {
        u32::try_from(self.len).unwrap_or(u32::MAX)
    }
}

const MALFORMED: Stop = Stop::Malformed("a header block is malformed");

/// What the header blocks of one side refer to.
#[derive(Debug)]
pub(crate) struct Decoder {
    /// The newest first.
    entries: VecDeque<Entry>,
    size: u32,
    /// What the sender said that its table may grow to.
    most: u32,
    /// What the other side allowed it to say.
    allowed: u32,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { entries: VecDeque::new(), size: 0, most: DEFAULT_TABLE, allowed: DEFAULT_TABLE }
    }
}

impl Decoder {
    /// The other side allows a table of this size. A smaller one than before is not enforced: the sender may not have heard of it.
    pub(crate) fn allow(&mut self, size: u32) {
        self.allowed = self.allowed.max(size);
    }

    /// Decodes a block, and calls `tell` with each field of it and at least the beginning of its value.
    pub(crate) fn decode(&mut self, mut block: &[u8], mut tell: impl FnMut(Field, &[u8])) -> Result<(), Stop> {
        while let Some(first) = block.first().copied() {
            if first & 0x80 != 0 {
                let index = integer(&mut block, 7)?;
                let (field, _, value) = self.get(index)?;
                tell(field, value);
            } else if first & 0xe0 == 0x20 {
                self.resize(integer(&mut block, 5)?)?;
            } else {
                let indexed = first & 0xc0 == 0x40;
                let index = integer(&mut block, if indexed { 6 } else { 4 })?;
                let (field, name) = if index == 0 {
                    let name = string(&mut block)?;
                    (Field::of(name.kept()), name.len())
                } else {
                    let (field, name, _) = self.get(index)?;
                    (field, name)
                };
                let value = string(&mut block)?;
                tell(field, value.kept());
                if indexed {
                    self.insert(field, name, &value);
                }
            }
        }
        Ok(())
    }

    /// Field, length of the name, and value.
    fn get(&self, index: u32) -> Result<(Field, u32, &[u8]), Stop> {
        let index = index.checked_sub(1).ok_or(MALFORMED)? as usize;
        if let Some((name, value)) = STATIC.get(index) {
            return Ok((Field::of(name.as_bytes()), u32::try_from(name.len()).unwrap_or_default(), value.as_bytes()));
        }
        let entry = self.entries.get(index - STATIC.len()).ok_or(MALFORMED)?;
        Ok((entry.field, entry.name, entry.value.as_deref().unwrap_or_default()))
    }

    fn insert(&mut self, field: Field, name: u32, value: &Text) {
        let size = name.saturating_add(value.len()).saturating_add(ENTRY);
        self.shrink(self.most.saturating_sub(size));
        // One that is larger than the table empties it, and that is all.
        if size <= self.most {
            let value = (field != Field::Other).then(|| value.kept().into());
            self.entries.push_front(Entry { field, name, size, value });
            self.size += size;
        }
    }

    fn resize(&mut self, most: u32) -> Result<(), Stop> {
        if most > self.allowed {
            return Err(MALFORMED);
        }
        if most > MAX_TABLE {
            return Err(Stop::TooMuch("a peer keeps a larger table of header fields than is followed"));
        }
        self.most = most;
        self.shrink(most);
        Ok(())
    }

    fn shrink(&mut self, most: u32) {
        while self.size > most
            && let Some(entry) = self.entries.pop_back()
        {
            self.size -= entry.size;
        }
    }
}

/// An integer, of which the first byte has so many bits.
fn integer(block: &mut &[u8], bits: u32) -> Result<u32, Stop> {
    let mut next = || {
        let (first, rest) = block.split_first().ok_or(MALFORMED)?;
        *block = rest;
        Ok(*first)
    };
    let mask = (1_u8 << bits) - 1;
    let mut value = u32::from(next()? & mask);
    if value < u32::from(mask) {
        return Ok(value);
    }
    for shift in [0, 7, 14, 21] {
        let byte = next()?;
        value += u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(MALFORMED)
}

fn string(block: &mut &[u8]) -> Result<Text, Stop> {
    let huffman = block.first().is_some_and(|first| first & 0x80 != 0);
    let len = integer(block, 7)? as usize;
    let (bytes, rest) = block.split_at_checked(len).ok_or(MALFORMED)?;
    *block = rest;
    let mut text = Text::new();
    if !huffman {
        bytes.iter().for_each(|byte| text.put(*byte));
    } else if !huffman::decode(bytes, |byte| text.put(byte)) {
        return Err(MALFORMED);
    }
    Ok(text)
}

/// The static table (RFC 7541, appendix A).
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];
