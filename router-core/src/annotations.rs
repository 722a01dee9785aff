//! The router-annotations section, which routers put in front of every message that they send to each other.
//!
//! [`parse`] borrows from the message and [`Annotations::compose`] writes into a buffer of the caller's, so that a hop allocates nothing.
//! A router never changes what it received: it skips the section and writes a new one in front of the rest.

mod known;
mod trace;

#[cfg(test)]
mod tests;

use amqp_proto::codec::code;
use amqp_proto::message::ROUTER_ANNOTATIONS;
use amqp_proto::{DecodeError, Reader, condition};
use bytes::BufMut;

pub(crate) use known::KnownSections;
pub use trace::{Trace, TraceIter};

/// [`Annotations::flags`]: the delivery never ends, or not soon, and is forwarded while it still arrives.
pub const STREAMING: u32 = 1;
/// [`Annotations::flags`]: what comes back as released may be sent to another destination by the router where the message entered.
pub const RESEND_RELEASED: u32 = 2;
/// [`Annotations::flags`]: the delivery has a flow control of its own; routers on its way do not hold it back.
pub const Q2_DISABLED: u32 = 4;

/// [`Annotations::flags`], between routers of ours only: its sender settled the message, and it is to be sent settled to its consumer. The
/// delivery is not settled so that the router before knows when that was, and its sender can be pushed back.
pub const SETTLED: u32 = 1 << 16;

/// [`Annotations::flags`], between routers of ours only: the router before wants to know if the delivery, once accepted, had to wait for its
/// consumer.
pub const TELL_WAITED: u32 = 1 << 17;

/// [`Annotations::flags`], on copies: above this bit, the fingerprint of the topology along whose trees they go. 0 from routers of another make.
pub const TREE_SHIFT: u32 = 18;

/// [`Annotations::flags`] that mean something beyond two neighbours. All others say something between routers of ours.
pub(crate) const PUBLIC: u32 = SETTLED - 1;

/// The largest section accepted, in bytes. A trace has an entry for each hop: this is far more than any network needs.
pub const MAX_SECTION: usize = 64 * 1024;

/// The smallest that there is: an empty list.
pub(crate) const MIN_SECTION: usize = PREFIX_LEN + 1;

/// Constructor of the described list and its descriptor, which is always written in the long form.
const PREFIX_LEN: usize = 10;

/// The entries of the section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Annotations<'a> {
    /// See [`STREAMING`] and its neighbours. Bits that are not known here have to be passed on.
    pub flags: u32,
    /// Where the message goes, whatever its properties say.
    pub to_override: Option<&'a str>,
    /// The first interior router on the way, as `0/<id>`. Absent on messages that come from edges or other networks.
    pub ingress: Option<&'a str>,
    /// The interior routers on the way so far, each as `0/<id>`.
    pub trace: Trace<'a>,
    /// The mesh of edge routers from which the message came to the interior.
    pub ingress_mesh: Option<&'a str>,
}

/// What [`parse`] found in front of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// The message begins with another section.
    Absent,
    /// More bytes are needed: this many in all, at least.
    Incomplete(usize),
    /// The section, and where the rest of the message begins.
    Found(Annotations<'a>, usize),
}

/// What is wrong with a section. Always the peer's fault; [`condition`](Self::condition) is what to reject the message with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnnotationsError {
    /// An entry cannot be read.
    #[error("router annotations: {entry}: {source}")]
    Entry {
        /// Which.
        entry: &'static str,
        /// What is wrong, with the offset in the message.
        source: DecodeError,
    },
    /// The list is too short.
    #[error("router annotations: {count} entries where at least 4 are needed")]
    TooFew {
        /// Entries found.
        count: u32,
    },
    /// The section is larger than [`MAX_SECTION`].
    #[error("router annotations: {size} bytes are more than the {MAX_SECTION} allowed")]
    TooLarge {
        /// Size of the section in bytes.
        size: usize,
    },
}

impl AnnotationsError {
    /// The condition of AMQP: what is no list cannot be decoded, all else is a list of the wrong things.
    #[must_use]
    pub const fn condition(&self) -> &'static str {
        match self {
            Self::Entry { entry, .. } if matches!(entry.as_bytes(), b"section") => condition::DECODE_ERROR,
            _ => condition::INVALID_FIELD,
        }
    }
}

/// Whether a message may begin with the section. Those that begin as nearly all do, with a section of AMQP and the short form of its number, do not.
#[inline]
pub(crate) fn may_begin(message: &[u8]) -> bool {
    matches!(message, [_, code::ULONG, ..] | [_])
}

/// Finds the end of the section at the beginning of a message, and reads nothing of it.
pub(crate) fn skim(message: &[u8]) -> Result<Parsed<'_>, AnnotationsError> {
    Ok(match extent(message)? {
        Extent::Whole(section) => Parsed::Found(Annotations::default(), section.len()),
        Extent::Absent => Parsed::Absent,
        Extent::Incomplete(size) => Parsed::Incomplete(size),
    })
}

/// Where the section is.
enum Extent<'a> {
    Absent,
    Incomplete(usize),
    Whole(&'a [u8]),
}

fn extent(message: &[u8]) -> Result<Extent<'_>, AnnotationsError> {
    let prefix = prefix();
    let known = message.len().min(PREFIX_LEN);
    if message.get(..known) != prefix.get(..known) {
        return Ok(Extent::Absent);
    }
    if known < PREFIX_LEN {
        return Ok(Extent::Incomplete(PREFIX_LEN + 1));
    }
    let Some(size) = section_size(message)? else { return Ok(Extent::Incomplete(PREFIX_LEN + 5)) };
    if size > MAX_SECTION {
        return Err(AnnotationsError::TooLarge { size });
    }
    Ok(message.get(..size).map_or(Extent::Incomplete(size), Extent::Whole))
}

/// Reads the section at the beginning of a message, of which the end may be missing.
///
/// Lenient where other versions may differ: any width of list, string and integer, symbols for strings, null for what is absent,
/// and further entries, which are skipped.
///
/// # Errors
/// [`AnnotationsError`] says which entry is malformed, and where.
pub fn parse(message: &[u8]) -> Result<Parsed<'_>, AnnotationsError> {
    let section = match extent(message)? {
        Extent::Whole(section) => section,
        Extent::Absent => return Ok(Parsed::Absent),
        Extent::Incomplete(size) => return Ok(Parsed::Incomplete(size)),
    };
    let mut reader = Reader::of_slice(section);
    entry("section", reader.take(PREFIX_LEN))?;
    let (mut entries, count) = entry("section", reader.list())?;
    if count < 4 {
        return Err(AnnotationsError::TooFew { count });
    }
    let annotations = Annotations {
        flags: entry("flags", number(&mut entries))?,
        to_override: entry("to-override", text(&mut entries))?,
        ingress: entry("ingress", text(&mut entries))?,
        trace: entry("trace", Trace::read(&mut entries))?,
        ingress_mesh: if count > 4 { entry("ingress-mesh", text(&mut entries))? } else { None },
    };
    for _ in 5..count {
        entry("a further entry", entries.skip())?;
    }
    entry("section", entries.finish())?;
    Ok(Parsed::Found(annotations, section.len()))
}

impl Annotations<'_> {
    /// Writes the section. `hop` (`0/<id>`) is put at the end of the trace: an interior router's own name.
    pub fn compose<B: BufMut>(&self, hop: Option<&str>, out: &mut B) {
        let trace = self.trace.composed_len(hop);
        let mesh = self.ingress_mesh.map_or(0, text_len);
        let entries =
            number_len(self.flags) + optional_len(self.to_override) + optional_len(self.ingress) + trace + mesh;
        out.put_slice(&prefix());
        out.put_u8(code::LIST32);
        // A section is bounded by MAX_SECTION and one more name: it fits.
        out.put_u32(entries as u32 + 4);
        out.put_u32(4 + u32::from(self.ingress_mesh.is_some()));
        put_number(self.flags, out);
        put_optional(self.to_override, out);
        put_optional(self.ingress, out);
        self.trace.compose(hop, out);
        if let Some(mesh) = self.ingress_mesh {
            put_text(mesh, out);
        }
    }
}

/// The section that says nothing: what is composed of the defaults without a hop.
pub const EMPTY: [u8; 23] = *b"\x00\x80SKPR--RA\xd0\x00\x00\x00\x08\x00\x00\x00\x04\x43\x40\x40\x45";

const fn prefix() -> [u8; PREFIX_LEN] {
    let [a, b, c, d, e, f, g, h] = ROUTER_ANNOTATIONS.to_be_bytes();
    [code::DESCRIBED, code::ULONG, a, b, c, d, e, f, g, h]
}

/// How long the section is, if its length has arrived.
fn section_size(message: &[u8]) -> Result<Option<usize>, AnnotationsError> {
    let rest = message.get(PREFIX_LEN..).unwrap_or_default();
    Ok(match rest {
        [] => None,
        [code::LIST0, ..] => Some(PREFIX_LEN + 1),
        [code::LIST8, size, ..] => Some(PREFIX_LEN + 2 + usize::from(*size)),
        [code::LIST32, a, b, c, d, ..] => {
            Some((PREFIX_LEN + 5).saturating_add(u32::from_be_bytes([*a, *b, *c, *d]) as usize))
        }
        [code::LIST8 | code::LIST32, ..] => None,
        [code, ..] => {
            let source = DecodeError::UnexpectedType { code: *code, at: PREFIX_LEN, expected: "a list" };
            return Err(AnnotationsError::Entry { entry: "section", source });
        }
    })
}

/// The section at the beginning of a message, if all of it is there.
fn section_of(message: &[u8]) -> Option<&[u8]> {
    if message.get(..PREFIX_LEN) != Some(&prefix()) {
        return None;
    }
    message.get(..section_size(message).ok()??)
}

fn entry<T>(entry: &'static str, read: Result<T, DecodeError>) -> Result<T, AnnotationsError> {
    read.map_err(|source| AnnotationsError::Entry { entry, source })
}

/// An integer that is not negative, of any type; null is 0.
fn number(reader: &mut Reader<'_>) -> Result<u32, DecodeError> {
    let at = reader.pos();
    let unfit = || DecodeError::InvalidValue { at, expected: "uint" };
    Ok(match reader.u8()? {
        code::UINT0 | code::ULONG0 | code::NULL => 0,
        code::UBYTE | code::SMALL_UINT | code::SMALL_ULONG => u32::from(reader.u8()?),
        code::BYTE | code::SMALL_INT | code::SMALL_LONG => {
            u32::try_from(i8::from_be_bytes(reader.array()?)).map_err(|_| unfit())?
        }
        code::USHORT => u32::from(u16::from_be_bytes(reader.array()?)),
        code::SHORT => u32::try_from(i16::from_be_bytes(reader.array()?)).map_err(|_| unfit())?,
        code::UINT => u32::from_be_bytes(reader.array()?),
        code::INT => u32::try_from(i32::from_be_bytes(reader.array()?)).map_err(|_| unfit())?,
        code::ULONG => u32::try_from(u64::from_be_bytes(reader.array()?)).map_err(|_| unfit())?,
        code::LONG => u32::try_from(i64::from_be_bytes(reader.array()?)).map_err(|_| unfit())?,
        code => return Err(DecodeError::UnexpectedType { code, at, expected: "an integer" }),
    })
}

/// A string or symbol, or null.
fn text<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a str>, DecodeError> {
    let at = reader.pos();
    let len = match reader.u8()? {
        code::NULL => return Ok(None),
        code::STRING8 | code::SYMBOL8 => usize::from(reader.u8()?),
        code::STRING32 | code::SYMBOL32 => u32::from_be_bytes(reader.array()?) as usize,
        code => return Err(DecodeError::UnexpectedType { code, at, expected: "a string" }),
    };
    let start = reader.pos();
    std::str::from_utf8(reader.take(len)?).map(Some).map_err(|_| DecodeError::NotUtf8 { at: start })
}

const fn number_len(n: u32) -> usize {
    match n {
        0 => 1,
        1..=255 => 2,
        _ => 5,
    }
}

fn put_number<B: BufMut>(n: u32, out: &mut B) {
    match u8::try_from(n) {
        Ok(0) => out.put_u8(code::UINT0),
        Ok(small) => out.put_slice(&[code::SMALL_UINT, small]),
        Err(_) => {
            out.put_u8(code::UINT);
            out.put_u32(n);
        }
    }
}

const fn text_len(text: &str) -> usize {
    if text.len() <= 255 { 2 + text.len() } else { 5 + text.len() }
}

fn optional_len(text: Option<&str>) -> usize {
    text.map_or(1, text_len)
}

fn put_text<B: BufMut>(text: &str, out: &mut B) {
    match u8::try_from(text.len()) {
        Ok(len) => out.put_slice(&[code::STRING8, len]),
        Err(_) => {
            out.put_u8(code::STRING32);
            out.put_u32(text.len() as u32);
        }
    }
    out.put_slice(text.as_bytes());
}

fn put_optional<B: BufMut>(text: Option<&str>, out: &mut B) {
    match text {
        None => out.put_u8(code::NULL),
        Some(text) => put_text(text, out),
    }
}
