//! The sections that routing reads, found in the first bytes of a message while it still arrives.

use super::{
    MessageHeader, PropertiesView, Section, SectionKind,
    section::{section_end, section_kind},
};
use crate::{DecodeError, Reader, codec::code};

/// Where the sections up to properties stand. Offsets are those of the message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Head {
    /// Router annotations of the reference.
    pub router_annotations: Option<Section>,
    /// Header.
    pub header: Option<Section>,
    /// Delivery annotations.
    pub delivery_annotations: Option<Section>,
    /// Message annotations.
    pub message_annotations: Option<Section>,
    /// Properties.
    pub properties: Option<Section>,
    /// Behind the last section that was found. The rest of the message has not been looked at.
    pub rest: usize,
}

impl Head {
    /// The header of a message; that of all defaults if it has none.
    ///
    /// # Errors
    /// If the header is malformed.
    pub fn read_header(&self, message: &[u8]) -> Result<MessageHeader, DecodeError> {
        let Some(section) = self.header else {
            return Ok(MessageHeader::default());
        };
        let mut reader = Reader::of_slice(message).until(section.end);
        reader.seek(section.value);
        MessageHeader::decode_fields(&mut reader)
    }

    /// The priority of a message, 0 to 9 (§3.2.1: higher ones mean 9); 4 if it has none.
    ///
    /// # Errors
    /// If the header is malformed.
    #[inline]
    pub fn priority(&self, message: &[u8]) -> Result<u8, DecodeError> {
        let value = self.header.and_then(|section| message.get(section.value_range())).unwrap_or_default();
        Ok(match *value {
            [] | [code::LIST0] | [code::LIST8, _, 0 | 1, ..] => 4,
            // Durable or not, then the priority: what nearly every header looks like.
            [code::LIST8, _, _, code::TRUE | code::FALSE | code::NULL, code::NULL, ..] => 4,
            [code::LIST8, _, _, code::TRUE | code::FALSE | code::NULL, code::UBYTE, priority, ..] => priority.min(9),
            _ => self.read_header(message)?.priority.min(9),
        })
    }

    /// The properties of a message, unread.
    pub fn read_properties<'a>(&self, message: &'a [u8]) -> PropertiesView<'a> {
        let value = self.properties.and_then(|section| message.get(section.value_range()));
        PropertiesView::new(value.unwrap_or_default())
    }
}

/// Whether a scan came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Progress {
    /// [`HeadCursor::head`] is final.
    Done,
    /// More bytes of the message are needed.
    NeedMore,
}

/// Finds a [`Head`]. A message that is split over frames is scanned again with each, from the last section that was complete; so the work
/// stays linear however small the frames are.
#[derive(Debug, Clone, Copy)]
pub struct HeadCursor {
    head: Head,
    previous: Option<SectionKind>,
    limit: usize,
    done: bool,
}

impl HeadCursor {
    /// A scan that refuses heads of more than `limit` bytes, see [`super::MAX_HEAD`].
    pub fn new(limit: usize) -> Self {
        Self { head: Head::default(), previous: None, limit, done: false }
    }

    /// What was found so far.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Continues with all bytes of the message that have come so far; `complete` says that no more will come.
    ///
    /// The scan is done behind the properties, or before the first section that may only follow them.
    ///
    /// # Errors
    /// If the bytes are no sections in the order of §3.2, end early although they are complete, or exceed the limit.
    #[inline]
    pub fn advance(&mut self, message: &[u8], complete: bool) -> Result<Progress, DecodeError> {
        while !self.done {
            if complete && self.head.rest == message.len() {
                self.done = true;
                break;
            }
            match self.step(message) {
                Ok(()) => {}
                // What is missing is missing at the end; elsewhere the sizes contradict each other.
                Err(DecodeError::Truncated { at, .. }) if at >= message.len() && !complete => {
                    return Ok(Progress::NeedMore);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Progress::Done)
    }

    fn step(&mut self, message: &[u8]) -> Result<(), DecodeError> {
        let start = self.head.rest;
        if start >= self.limit {
            return Err(DecodeError::HeadTooLarge { limit: self.limit });
        }
        let (kind, value) = section_kind(message, start, self.previous)?;
        let slot = match kind {
            SectionKind::RouterAnnotations => &mut self.head.router_annotations,
            SectionKind::Header => &mut self.head.header,
            SectionKind::DeliveryAnnotations => &mut self.head.delivery_annotations,
            SectionKind::MessageAnnotations => &mut self.head.message_annotations,
            SectionKind::Properties => &mut self.head.properties,
            _ => {
                self.done = true;
                return Ok(());
            }
        };
        let end = section_end(message, value, kind)?;
        if end > self.limit {
            return Err(DecodeError::HeadTooLarge { limit: self.limit });
        }
        if end > message.len() {
            return Err(DecodeError::Truncated { at: message.len(), missing: end - message.len() });
        }
        *slot = Some(Section { kind, start, value, end });
        self.head.rest = end;
        self.previous = Some(kind);
        self.done = kind == SectionKind::Properties;
        Ok(())
    }
}
