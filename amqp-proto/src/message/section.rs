//! Sections (§3.2) and how far each one reaches.

use std::ops::Range;

use crate::{
    DecodeError, Reader,
    codec::{check_one, code},
    composite::unknown_descriptor,
};

/// Descriptor of the router-annotations section that the reference puts in front of messages between routers: "SKPR--RA".
pub const ROUTER_ANNOTATIONS: u64 = 0x534b_5052_2d2d_5241;

/// The sections of a message, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SectionKind {
    /// Only between routers, before everything else.
    RouterAnnotations,
    /// §3.2.1
    Header,
    /// §3.2.2
    DeliveryAnnotations,
    /// §3.2.3
    MessageAnnotations,
    /// §3.2.4
    Properties,
    /// §3.2.5
    ApplicationProperties,
    /// §3.2.6, may be repeated
    Data,
    /// §3.2.7, may be repeated
    Sequence,
    /// §3.2.8
    Value,
    /// §3.2.9
    Footer,
}

impl SectionKind {
    /// Numeric descriptor.
    pub const fn code(self) -> u64 {
        match self {
            Self::RouterAnnotations => ROUTER_ANNOTATIONS,
            Self::Header => 0x70,
            Self::DeliveryAnnotations => 0x71,
            Self::MessageAnnotations => 0x72,
            Self::Properties => 0x73,
            Self::ApplicationProperties => 0x74,
            Self::Data => 0x75,
            Self::Sequence => 0x76,
            Self::Value => 0x77,
            Self::Footer => 0x78,
        }
    }

    /// The section of a descriptor.
    pub const fn of_code(code: u64) -> Option<Self> {
        Some(match code {
            0x70 => Self::Header,
            0x71 => Self::DeliveryAnnotations,
            0x72 => Self::MessageAnnotations,
            0x73 => Self::Properties,
            0x74 => Self::ApplicationProperties,
            0x75 => Self::Data,
            0x76 => Self::Sequence,
            0x77 => Self::Value,
            0x78 => Self::Footer,
            ROUTER_ANNOTATIONS => Self::RouterAnnotations,
            _ => return None,
        })
    }

    /// As the specification calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RouterAnnotations => "router-annotations",
            Self::Header => "header",
            Self::DeliveryAnnotations => "delivery-annotations",
            Self::MessageAnnotations => "message-annotations",
            Self::Properties => "properties",
            Self::ApplicationProperties => "application-properties",
            Self::Data => "data",
            Self::Sequence => "amqp-sequence",
            Self::Value => "amqp-value",
            Self::Footer => "footer",
        }
    }

    /// True for data, sequence and value.
    pub const fn is_body(self) -> bool {
        matches!(self, Self::Data | Self::Sequence | Self::Value)
    }

    /// True if `next` may follow this section.
    fn allows(self, next: Self) -> bool {
        match self {
            Self::Data => matches!(next, Self::Data | Self::Footer),
            Self::Sequence => matches!(next, Self::Sequence | Self::Footer),
            Self::Value => matches!(next, Self::Footer),
            _ => self < next,
        }
    }
}

fn code_of(name: &[u8]) -> Option<u64> {
    Some(match name {
        b"amqp:header:list" => 0x70,
        b"amqp:delivery-annotations:map" => 0x71,
        b"amqp:message-annotations:map" => 0x72,
        b"amqp:properties:list" => 0x73,
        b"amqp:application-properties:map" => 0x74,
        b"amqp:data:binary" => 0x75,
        b"amqp:amqp-sequence:list" => 0x76,
        b"amqp:amqp-value:*" => 0x77,
        b"amqp:footer:map" => 0x78,
        _ => return None,
    })
}

/// A section: offsets in the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// Which.
    pub kind: SectionKind,
    /// First byte of its descriptor.
    pub start: usize,
    /// Constructor of its value.
    pub value: usize,
    /// Behind its last byte.
    pub end: usize,
}

impl Section {
    /// The whole section.
    pub fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    /// The value without its descriptor.
    pub fn value_range(&self) -> Range<usize> {
        self.value..self.end
    }
}

/// Kind of the section at `pos` and offset of its value. Only the descriptor is read.
pub(super) fn section_kind(
    bytes: &[u8],
    pos: usize,
    previous: Option<SectionKind>,
) -> Result<(SectionKind, usize), DecodeError> {
    let mut reader = Reader::of_slice(bytes);
    reader.seek(pos);
    let found = match reader.rest() {
        [code::DESCRIBED, code::SMALL_ULONG, byte, ..] => {
            reader.seek(pos + 3);
            SectionKind::of_code(u64::from(*byte))
        }
        _ => reader.descriptor(code_of)?.and_then(SectionKind::of_code),
    };
    let Some(kind) = found else {
        reader.seek(pos);
        return Err(unknown_descriptor(&reader, "a message section"));
    };
    if previous.is_some_and(|previous| !previous.allows(kind)) {
        return Err(DecodeError::SectionOrder { section: kind.name(), at: pos });
    }
    Ok((kind, reader.pos()))
}

/// End of the value at `pos`, from its size: its content is not walked, except that of an amqp-value, which can be of any type.
///
/// The end may lie beyond `bytes`.
pub(super) fn section_end(bytes: &[u8], pos: usize, kind: SectionKind) -> Result<usize, DecodeError> {
    let mut reader = Reader::of_slice(bytes);
    reader.seek(pos);
    let expected = match kind {
        SectionKind::RouterAnnotations | SectionKind::Header | SectionKind::Properties | SectionKind::Sequence => {
            "a list"
        }
        SectionKind::Data => "a binary",
        SectionKind::Value => return check_one(bytes, pos),
        _ => "a map",
    };
    let constructor = reader.u8()?;
    let size = match (expected, constructor) {
        ("a list", code::LIST0) => 0,
        ("a list", code::LIST8) | ("a map", code::MAP8) | ("a binary", code::BINARY8) => usize::from(reader.u8()?),
        ("a list", code::LIST32) | ("a map", code::MAP32) | ("a binary", code::BINARY32) => reader.len32()?,
        _ => {
            return Err(DecodeError::UnexpectedType { code: constructor, at: pos, expected });
        }
    };
    Ok(reader.pos().saturating_add(size))
}

/// All sections of a message that is complete, in order. Ends after the first error.
#[derive(Debug)]
pub struct Sections<'a> {
    bytes: &'a [u8],
    pos: usize,
    previous: Option<SectionKind>,
}

impl<'a> Sections<'a> {
    /// Walks a message.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, pos: 0, previous: None }
    }

    fn step(&mut self) -> Result<Section, DecodeError> {
        let start = self.pos;
        let (kind, value) = section_kind(self.bytes, start, self.previous)?;
        let end = section_end(self.bytes, value, kind)?;
        if end > self.bytes.len() {
            return Err(DecodeError::Truncated { at: self.bytes.len(), missing: end - self.bytes.len() });
        }
        self.pos = end;
        self.previous = Some(kind);
        Ok(Section { kind, start, value, end })
    }
}

impl Iterator for Sections<'_> {
    type Item = Result<Section, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.pos >= self.bytes.len() {
            return None;
        }
        let step = self.step();
        if step.is_err() {
            self.pos = self.bytes.len();
        }
        Some(step)
    }
}
