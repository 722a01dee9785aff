//! The trace: through which routers a message came.

use amqp_proto::codec::code;
use amqp_proto::{DecodeError, Reader};
use bytes::BufMut;

use super::{put_text, text, text_len};

/// A list of names, kept as it is encoded: a hop copies it and adds its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trace<'a> {
    /// The elements with their constructors, which were checked.
    elements: &'a [u8],
    len: u32,
}

impl<'a> Trace<'a> {
    /// Reads a list of strings; null stands for an empty one.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        if reader.peek()? == code::NULL {
            reader.u8()?;
            return Ok(Self::default());
        }
        let (mut entries, len) = reader.list()?;
        let elements = entries.rest();
        for _ in 0..len {
            let at = entries.pos();
            if text(&mut entries)?.is_none() {
                return Err(DecodeError::UnexpectedType { code: code::NULL, at, expected: "a string" });
            }
        }
        entries.finish()?;
        Ok(Self { elements, len })
    }

    /// What [`Trace::elements`] answered.
    pub(super) const fn of_elements(elements: &'a [u8], len: u32) -> Self {
        Self { elements, len }
    }

    /// As it is encoded.
    pub(super) const fn elements(&self) -> (&'a [u8], u32) {
        (self.elements, self.len)
    }

    /// How many routers there are: the distance to where the message entered.
    pub const fn len(&self) -> u32 {
        self.len
    }

    /// True for a message that comes from an edge or a client.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The names, the first one first.
    pub fn iter(&self) -> TraceIter<'a> {
        TraceIter { reader: Reader::of_slice(self.elements) }
    }

    /// Whether a router (`0/<id>`) is among them.
    pub fn contains(&self, name: &str) -> bool {
        self.iter().any(|other| other == name)
    }

    pub(super) fn composed_len(&self, hop: Option<&str>) -> usize {
        if self.is_empty() && hop.is_none() { 1 } else { 9 + self.elements.len() + hop.map_or(0, text_len) }
    }

    /// Writes the list as the reference does: an empty one as such, any other in the long form.
    pub(super) fn compose<B: BufMut>(&self, hop: Option<&str>, out: &mut B) {
        if self.is_empty() && hop.is_none() {
            out.put_u8(code::LIST0);
            return;
        }
        out.put_u8(code::LIST32);
        out.put_u32((self.composed_len(hop) - 5) as u32);
        out.put_u32(self.len + u32::from(hop.is_some()));
        out.put_slice(self.elements);
        if let Some(hop) = hop {
            put_text(hop, out);
        }
    }
}

impl PartialEq for Trace<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.iter().eq(other.iter())
    }
}

impl Eq for Trace<'_> {}

impl<'a> IntoIterator for Trace<'a> {
    type Item = &'a str;
    type IntoIter = TraceIter<'a>;

    fn into_iter(self) -> TraceIter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &Trace<'a> {
    type Item = &'a str;
    type IntoIter = TraceIter<'a>;

    fn into_iter(self) -> TraceIter<'a> {
        self.iter()
    }
}

/// Names in a [`Trace`].
#[derive(Clone, Debug)]
pub struct TraceIter<'a> {
    reader: Reader<'a>,
}

impl<'a> Iterator for TraceIter<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.reader.is_empty() {
            return None;
        }
        // Checked when it was read.
        text(&mut self.reader).ok().flatten()
    }
}
