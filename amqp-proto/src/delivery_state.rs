//! Delivery states (§3.4): known ones typed, all of them passed on as they came.

use std::ops::Range;

use bytes::{BufMut, Bytes};

use crate::{
    Decode, DecodeError, Encode, Error, Fields, Raw, Reader,
    codec::code,
    composite::{Layout, composite_len, put_head, unknown_descriptor},
};

/// Descriptor of `received` (§3.4.1).
pub const RECEIVED: u64 = 0x23;
/// Descriptor of `accepted` (§3.4.2).
pub const ACCEPTED: u64 = 0x24;
/// Descriptor of `rejected` (§3.4.3).
pub const REJECTED: u64 = 0x25;
/// Descriptor of `released` (§3.4.4).
pub const RELEASED: u64 = 0x26;
/// Descriptor of `modified` (§3.4.5).
pub const MODIFIED: u64 = 0x27;

/// The state of a delivery at one of its ends.
///
/// States without content, and `received`, are kept as values; the rest is a slice of the frame, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryState {
    /// Terminal: processed.
    Accepted,
    /// Terminal: will not be processed, may be delivered elsewhere unchanged.
    Released,
    /// Not terminal: how far the receiver came.
    Received {
        /// Section up to which it was received.
        section_number: u32,
        /// Byte within the section.
        section_offset: u64,
    },
    /// Terminal: invalid. See [`DeliveryState::rejected_error`].
    Rejected(Raw),
    /// Terminal: as released, with changes.
    Modified {
        /// The delivery counts as a failed attempt.
        delivery_failed: bool,
        /// Not to be delivered to this receiver again.
        undeliverable_here: bool,
        /// The whole state. See [`DeliveryState::message_annotations`].
        raw: Raw,
    },
    /// A state that this crate does not know, such as those of transactions.
    Other(Raw),
}

// The four forms of `modified` that have no annotations, so that they need no buffer.
const MODIFIED_PLAIN: &[u8] = &[0x00, 0x53, 0x27, 0x45];
const MODIFIED_FAILED: &[u8] = &[0x00, 0x53, 0x27, 0xc0, 0x02, 0x01, 0x41];
const MODIFIED_HERE: &[u8] = &[0x00, 0x53, 0x27, 0xc0, 0x03, 0x02, 0x40, 0x41];
const MODIFIED_BOTH: &[u8] = &[0x00, 0x53, 0x27, 0xc0, 0x03, 0x02, 0x41, 0x41];
const REJECTED_PLAIN: &[u8] = &[0x00, 0x53, 0x25, 0x45];

fn code_of(name: &[u8]) -> Option<u64> {
    Some(match name {
        b"amqp:received:list" => RECEIVED,
        b"amqp:accepted:list" => ACCEPTED,
        b"amqp:rejected:list" => REJECTED,
        b"amqp:released:list" => RELEASED,
        b"amqp:modified:list" => MODIFIED,
        _ => return None,
    })
}

impl DeliveryState {
    /// `rejected`, with or without an error.
    pub fn rejected(error: Option<&Error>) -> Self {
        let Some(error) = error else {
            return Self::Rejected(Raw::from_static(REJECTED_PLAIN));
        };
        let mut layout = Layout::default();
        layout.field(Some(error.encoded_len()));
        let mut out = Vec::with_capacity(composite_len(REJECTED, layout.count, layout.size));
        put_head(&mut out, REJECTED, layout.count, layout.size);
        error.encode(&mut out);
        Self::Rejected(Raw::trusted(out.into()))
    }

    /// `modified` without annotations; needs no buffer.
    pub const fn modified(delivery_failed: bool, undeliverable_here: bool) -> Self {
        let raw = match (delivery_failed, undeliverable_here) {
            (false, false) => MODIFIED_PLAIN,
            (true, false) => MODIFIED_FAILED,
            (false, true) => MODIFIED_HERE,
            (true, true) => MODIFIED_BOTH,
        };
        Self::Modified { delivery_failed, undeliverable_here, raw: Raw::from_static(raw) }
    }

    /// `modified` with message annotations.
    pub fn modified_with(delivery_failed: bool, undeliverable_here: bool, annotations: &Fields) -> Self {
        let mut layout = Layout::default();
        layout.field(Some(1));
        layout.field(Some(1));
        layout.field(Some(annotations.encoded_len()));
        let mut out = Vec::with_capacity(composite_len(MODIFIED, layout.count, layout.size));
        put_head(&mut out, MODIFIED, layout.count, layout.size);
        delivery_failed.encode(&mut out);
        undeliverable_here.encode(&mut out);
        annotations.encode(&mut out);
        Self::Modified { delivery_failed, undeliverable_here, raw: Raw::trusted(out.into()) }
    }

    /// True for the outcomes of §3.4: nothing may follow. False for `received` and for unknown states, which their
    /// parties interpret.
    pub fn is_terminal(&self) -> bool {
        !matches!(self, Self::Received { .. } | Self::Other(_))
    }

    /// Numeric descriptor; `None` for an unknown symbol.
    pub fn descriptor(&self) -> Option<u64> {
        match self {
            Self::Accepted => Some(ACCEPTED),
            Self::Released => Some(RELEASED),
            Self::Received { .. } => Some(RECEIVED),
            Self::Rejected(_) => Some(REJECTED),
            Self::Modified { .. } => Some(MODIFIED),
            Self::Other(raw) => raw.descriptor(code_of),
        }
    }

    /// The error of a `rejected`, if it has one that can be read.
    pub fn rejected_error(&self) -> Option<Error> {
        let Self::Rejected(raw) = self else {
            return None;
        };
        let mut reader = Reader::new(raw.bytes());
        reader.descriptor(code_of).ok()??;
        let (mut list, count) = reader.list().ok()?;
        if count == 0 { None } else { Error::decode(&mut list).ok() }
    }

    /// The message-annotations of a `modified`.
    pub fn message_annotations(&self) -> Option<Fields> {
        let Self::Modified { raw, .. } = self else {
            return None;
        };
        let mut reader = Reader::new(raw.bytes());
        reader.descriptor(code_of).ok()??;
        let (mut list, count) = reader.list().ok()?;
        if count < 3 {
            return None;
        }
        list.skip().ok()?;
        list.skip().ok()?;
        Fields::decode(&mut list).ok()
    }

    /// A copy that does not keep the frame's block alive.
    pub fn detached(&self) -> Self {
        match self {
            Self::Rejected(raw) => Self::Rejected(raw.detached()),
            Self::Modified { delivery_failed, undeliverable_here, raw } => {
                match Self::modified(*delivery_failed, *undeliverable_here) {
                    Self::Modified { raw: plain, .. } if plain == *raw => {
                        Self::modified(*delivery_failed, *undeliverable_here)
                    }
                    _ => Self::Modified {
                        delivery_failed: *delivery_failed,
                        undeliverable_here: *undeliverable_here,
                        raw: raw.detached(),
                    },
                }
            }
            Self::Other(raw) => Self::Other(raw.detached()),
            same => same.clone(),
        }
    }
}

impl Decode for DeliveryState {
    #[inline]
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        // What nearly every disposition carries.
        let short = match reader.rest() {
            [code::DESCRIBED, code::SMALL_ULONG, 0x24, code::LIST0, ..] => Some(Self::Accepted),
            [code::DESCRIBED, code::SMALL_ULONG, 0x26, code::LIST0, ..] => Some(Self::Released),
            _ => None,
        };
        if let Some(state) = short {
            reader.take(4)?;
            return Ok(state);
        }
        decode_long(reader)
    }
}

fn decode_long(reader: &mut Reader<'_>) -> Result<DeliveryState, DecodeError> {
    if reader.peek()? != code::DESCRIBED {
        return Err(unknown_descriptor(reader, "a delivery state"));
    }
    let range = reader.clone().skip()?;
    let found = reader.descriptor(code_of)?;
    let state = match found {
        Some(code @ (ACCEPTED | RELEASED)) => {
            let fields =
                crate::codec::FieldReader::open(reader, if code == ACCEPTED { "accepted" } else { "released" }, "3.4")?;
            fields.finish()?;
            if code == ACCEPTED { DeliveryState::Accepted } else { DeliveryState::Released }
        }
        Some(RECEIVED) => {
            let mut fields = crate::codec::FieldReader::open(reader, "received", "3.4.1")?;
            let state = DeliveryState::Received {
                section_number: fields.required("section_number")?,
                section_offset: fields.required("section_offset")?,
            };
            fields.finish()?;
            state
        }
        Some(MODIFIED) => {
            let mut fields = crate::codec::FieldReader::open(reader, "modified", "3.4.5")?;
            let delivery_failed = fields.optional("delivery_failed")?.unwrap_or(false);
            let undeliverable_here = fields.optional("undeliverable_here")?.unwrap_or(false);
            fields.optional::<Fields>("message_annotations")?;
            fields.finish()?;
            modified_verbatim(reader, range.clone(), delivery_failed, undeliverable_here)
        }
        Some(REJECTED) => {
            let mut fields = crate::codec::FieldReader::open(reader, "rejected", "3.4.3")?;
            fields.optional::<Error>("error")?;
            fields.finish()?;
            DeliveryState::Rejected(raw_of(reader, range.clone(), &[REJECTED_PLAIN]))
        }
        _ => DeliveryState::Other(Raw::trusted(reader.slice(range.clone()))),
    };
    // Unknown states were not read.
    reader.seek(range.end);
    Ok(state)
}

fn modified_verbatim(
    reader: &Reader<'_>,
    range: Range<usize>,
    delivery_failed: bool,
    undeliverable_here: bool,
) -> DeliveryState {
    let raw = raw_of(reader, range, &[MODIFIED_PLAIN, MODIFIED_FAILED, MODIFIED_HERE, MODIFIED_BOTH]);
    DeliveryState::Modified { delivery_failed, undeliverable_here, raw }
}

/// The bytes of the state, as a constant if they equal one: a constant pins no block.
fn raw_of(reader: &Reader<'_>, range: Range<usize>, constants: &[&'static [u8]]) -> Raw {
    let bytes: Bytes = reader.slice(range);
    match constants.iter().find(|c| bytes == **c) {
        Some(constant) => Raw::from_static(constant),
        None => Raw::trusted(bytes),
    }
}

impl Encode for DeliveryState {
    #[inline]
    fn encoded_len(&self) -> usize {
        match self {
            Self::Accepted | Self::Released => 4,
            Self::Received { section_number, section_offset } => {
                composite_len(RECEIVED, 2, section_number.encoded_len() + section_offset.encoded_len())
            }
            Self::Rejected(raw) | Self::Modified { raw, .. } | Self::Other(raw) => raw.encoded_len(),
        }
    }

    #[inline]
    fn encode<B: BufMut>(&self, out: &mut B) {
        match self {
            Self::Accepted => out.put_slice(&[code::DESCRIBED, code::SMALL_ULONG, 0x24, code::LIST0]),
            Self::Released => out.put_slice(&[code::DESCRIBED, code::SMALL_ULONG, 0x26, code::LIST0]),
            Self::Received { section_number, section_offset } => {
                put_head(out, RECEIVED, 2, section_number.encoded_len() + section_offset.encoded_len());
                section_number.encode(out);
                section_offset.encode(out);
            }
            Self::Rejected(raw) | Self::Modified { raw, .. } | Self::Other(raw) => raw.encode(out),
        }
    }
}
