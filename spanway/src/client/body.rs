//! The body of a message while it arrives: sections are recognised at whatever place frames cut them, and content is handed on as it
//! comes, so that a message of any size needs no more memory than its largest section that cannot be streamed.

use amqp_proto::DecodeError;
use amqp_proto::message::SectionKind;
use bytes::Bytes;

/// The largest value (a map, a list, ...) that is kept to be shown, in bytes. Binaries and texts are streamed at any size.
const VALUE_LIMIT: usize = 16 * 1024 * 1024;
/// The largest properties or annotations that are looked at, in bytes.
const HEAD_LIMIT: usize = 64 * 1024;
/// The most that descriptors and sizes in front of a section's content may take, in bytes.
const START_LIMIT: usize = 4096;
/// Described values in descriptors in described values.
const DEPTH: usize = 16;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Content of the body: of a data section, or of a value that is a binary, a string or a symbol.
    Content(Bytes),
    /// A whole section, encoded without its descriptor: properties, message annotations, or a body that is no [`Piece::Content`].
    Whole(SectionKind, Bytes),
    /// A body section that is too large to be shown.
    TooLarge(SectionKind, usize),
}

/// Why a message cannot be read: the sender's fault.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// Something in front of a section's content.
    #[error("the message is malformed: {0}")]
    Decode(#[from] DecodeError),
    /// A section where it may not be (AMQP 1.0 §3.2).
    #[error("the message is malformed: a section {0} is out of order")]
    Order(&'static str),
    /// A section's value is of a type that it may not have.
    #[error("the message is malformed: a section {0} has a value of type 0x{1:02x}")]
    Type(&'static str, u8),
    /// What stands where a section should begin.
    #[error("the message is malformed: no section begins with 0x{0:02x}")]
    NoSection(u8),
    /// Descriptors or their nesting beyond all measure.
    #[error("the message is malformed: a section's descriptor is too long")]
    TooLong,
    /// The end came within a section.
    #[error("the message is cut off inside a section")]
    Cut,
}

#[derive(Debug)]
enum State {
    /// Before or in what tells kind and size of a section.
    Start,
    /// Content is handed on, so many bytes are left.
    Stream(usize),
    /// As many bytes are of no interest.
    Skip(usize),
    /// The section is kept until it is complete.
    Keep(SectionKind, usize, Vec<u8>),
}

/// Reads one message after the other.
#[derive(Debug)]
pub(crate) struct BodyParser {
    state: State,
    /// Beginning of a section that is not understood yet.
    start: Vec<u8>,
    previous: Option<SectionKind>,
}

impl Default for BodyParser {
    fn default() -> Self {
        Self { state: State::Start, start: Vec::new(), previous: None }
    }
}

impl BodyParser {
    /// Takes the next bytes of the message.
    ///
    /// # Errors
    /// If the message is malformed; the rest of it must not be fed.
    pub(crate) fn feed(&mut self, mut bytes: Bytes, out: &mut impl FnMut(Piece)) -> Result<(), BodyError> {
        while !bytes.is_empty() {
            if !matches!(self.state, State::Start) {
                self.content(&mut bytes, out);
                continue;
            }
            if self.start.is_empty()
                && let Some((begin, note)) = self.begin(&bytes)?
            {
                drop(bytes.split_to(begin));
                note.into_iter().for_each(&mut *out);
                self.settle(out);
                continue;
            }
            // Cut by the frame: byte by byte, so that not one too many is taken.
            let next = bytes.split_to(1);
            self.start.extend_from_slice(&next);
            let start = std::mem::take(&mut self.start);
            match self.begin(&start)? {
                None if start.len() > START_LIMIT => return Err(BodyError::TooLong),
                None => self.start = start,
                Some((begin, note)) => {
                    note.into_iter().for_each(&mut *out);
                    // What is behind the beginning belongs to the section, whose size was found in it.
                    let mut rest = Bytes::from(start).split_off(begin);
                    self.settle(out);
                    while !rest.is_empty() && !matches!(self.state, State::Start) {
                        self.content(&mut rest, out);
                    }
                }
            }
        }
        Ok(())
    }

    /// The message is complete; the next one may be fed.
    ///
    /// # Errors
    /// If it ends within a section.
    pub(crate) fn finish(&mut self) -> Result<(), BodyError> {
        let done = std::mem::take(self);
        if matches!(done.state, State::Start) && done.start.is_empty() { Ok(()) } else { Err(BodyError::Cut) }
    }

    /// Moves what belongs to the current section out of `bytes`.
    fn content(&mut self, bytes: &mut Bytes, out: &mut impl FnMut(Piece)) {
        match &mut self.state {
            State::Start => return,
            State::Stream(left) => {
                let part = bytes.split_to(bytes.len().min(*left));
                *left -= part.len();
                out(Piece::Content(part));
            }
            State::Skip(left) => {
                let part = bytes.split_to(bytes.len().min(*left));
                *left -= part.len();
            }
            State::Keep(_, left, kept) => {
                let part = bytes.split_to(bytes.len().min(*left));
                *left -= part.len();
                kept.extend_from_slice(&part);
            }
        }
        self.settle(out);
    }

    /// Ends the section of which nothing is left.
    fn settle(&mut self, out: &mut impl FnMut(Piece)) {
        match &mut self.state {
            State::Stream(0) | State::Skip(0) => self.state = State::Start,
            State::Keep(kind, 0, kept) => {
                out(Piece::Whole(*kind, Bytes::from(std::mem::take(kept))));
                self.state = State::Start;
            }
            _ => {}
        }
    }

    /// Recognises a section from its beginning and sets the state for its content, which begins at the offset returned; with it comes what
    /// is to be told at once. `None`: more bytes are needed.
    fn begin(&mut self, bytes: &[u8]) -> Result<Option<(usize, Option<Piece>)>, BodyError> {
        let Some((kind, value)) = descriptor(bytes)? else {
            return Ok(None);
        };
        let Some(&code) = bytes.get(value) else {
            return Ok(None);
        };
        let expected = match kind {
            SectionKind::Value => true,
            SectionKind::Data => matches!(code, 0xa0 | 0xb0),
            SectionKind::Header | SectionKind::Properties | SectionKind::Sequence | SectionKind::RouterAnnotations => {
                matches!(code, 0x45 | 0xc0 | 0xd0)
            }
            _ => matches!(code, 0xc1 | 0xd1),
        };
        if !expected {
            return Err(BodyError::Type(kind.name(), code));
        }
        let Some(end) = extent(bytes, value, DEPTH)? else {
            return Ok(None);
        };
        if self.previous.is_some_and(|previous| !follows(previous, kind)) {
            return Err(BodyError::Order(kind.name()));
        }
        self.previous = Some(kind);
        let size = end - value;
        let streamed = match code {
            0xa0 | 0xa1 | 0xa3 => Some(2),
            0xb0 | 0xb1 | 0xb3 => Some(5),
            _ => None,
        };
        if let Some(head) = streamed.filter(|_| kind.is_body()) {
            self.state = State::Stream(size - head);
            return Ok(Some((value + head, None)));
        }
        let limit = match kind {
            SectionKind::Properties | SectionKind::MessageAnnotations => HEAD_LIMIT,
            SectionKind::Value | SectionKind::Sequence => VALUE_LIMIT,
            _ => 0,
        };
        if size <= limit {
            self.state = State::Keep(kind, size, Vec::new());
            return Ok(Some((value, None)));
        }
        self.state = State::Skip(size);
        Ok(Some((value, kind.is_body().then_some(Piece::TooLarge(kind, size)))))
    }
}

/// True if a section of kind `next` may come after one of kind `previous` (AMQP 1.0 §3.2).
fn follows(previous: SectionKind, next: SectionKind) -> bool {
    match previous {
        SectionKind::Data | SectionKind::Sequence => next == previous || next == SectionKind::Footer,
        SectionKind::Value => next == SectionKind::Footer,
        _ => previous < next,
    }
}

/// The kind of section that begins here, and where its value is. `None`: more bytes are needed.
fn descriptor(bytes: &[u8]) -> Result<Option<(SectionKind, usize)>, BodyError> {
    let code = match bytes {
        [] | [0x00] => return Ok(None),
        [0x00, 0x53, code, ..] => return known(u64::from(*code), 3),
        [0x00, 0x53] => return Ok(None),
        [0x00, code, ..] => *code,
        [other, ..] => return Err(BodyError::NoSection(*other)),
    };
    let Some(end) = extent(bytes, 1, DEPTH)? else {
        return Ok(None);
    };
    let Some(value) = bytes.get(..end) else {
        return Ok(None);
    };
    match (code, value) {
        (0x44, _) => known(0, end),
        (0x80, [_, _, number @ ..]) => known(number.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)), end),
        (0xa3, [_, _, _, name @ ..]) | (0xb3, [_, _, _, _, _, _, name @ ..]) => {
            by_name(name).map(|kind| Some((kind, end))).ok_or(BodyError::NoSection(code))
        }
        _ => Err(BodyError::NoSection(code)),
    }
}

fn known(code: u64, end: usize) -> Result<Option<(SectionKind, usize)>, BodyError> {
    let kind = SectionKind::of_code(code);
    kind.map(|kind| Some((kind, end))).ok_or(BodyError::NoSection(code as u8))
}

fn by_name(name: &[u8]) -> Option<SectionKind> {
    Some(match name {
        b"amqp:header:list" => SectionKind::Header,
        b"amqp:delivery-annotations:map" => SectionKind::DeliveryAnnotations,
        b"amqp:message-annotations:map" => SectionKind::MessageAnnotations,
        b"amqp:properties:list" => SectionKind::Properties,
        b"amqp:application-properties:map" => SectionKind::ApplicationProperties,
        b"amqp:data:binary" => SectionKind::Data,
        b"amqp:amqp-sequence:list" => SectionKind::Sequence,
        b"amqp:amqp-value:*" => SectionKind::Value,
        b"amqp:footer:map" => SectionKind::Footer,
        _ => return None,
    })
}

/// Where the value at `at` ends, which may be behind the end of `bytes`. `None`: more bytes are needed to say it.
///
/// The upper half of a constructor tells the width of what follows (AMQP 1.0 §1.2).
fn extent(bytes: &[u8], at: usize, depth: usize) -> Result<Option<usize>, BodyError> {
    let Some(&code) = bytes.get(at) else {
        return Ok(None);
    };
    let size_at = |width: usize| -> Option<usize> {
        let size = bytes.get(at + 1..at + 1 + width)?;
        let size = size.iter().fold(0, |sum: usize, byte| sum << 8 | usize::from(*byte));
        Some(at.saturating_add(1 + width).saturating_add(size))
    };
    Ok(match code >> 4 {
        0x0 if code == 0 => {
            if depth == 0 {
                return Err(BodyError::TooLong);
            }
            let Some(value) = extent(bytes, at + 1, depth - 1)? else {
                return Ok(None);
            };
            return extent(bytes, value, depth - 1);
        }
        0x4 => Some(at + 1),
        0x5 => Some(at + 2),
        0x6 => Some(at + 3),
        0x7 => Some(at + 5),
        0x8 => Some(at + 9),
        0x9 => Some(at + 17),
        0xa | 0xc | 0xe => size_at(1),
        0xb | 0xd | 0xf => size_at(4),
        _ => return Err(BodyError::NoSection(code)),
    })
}

#[cfg(test)]
mod tests;
