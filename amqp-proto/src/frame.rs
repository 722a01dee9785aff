//! Frames (§2.3) and protocol headers (§2.2, §5.2.1, §5.3.2).

use std::ops::Range;

use bytes::BufMut;

use crate::{Encode, condition};

/// Bytes of a frame header without extension.
pub const FRAME_HEADER: usize = 8;
/// §2.4.1: every peer accepts frames of this size; the largest before open, and of SASL (§5.3.1).
pub const MIN_MAX_FRAME_SIZE: u32 = 512;

/// What kind of body a frame has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// Type 0.
    Amqp,
    /// Type 1.
    Sasl,
}

/// The header of a frame whose numbers make sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// Bytes of the whole frame.
    pub size: usize,
    /// Offset of the body: behind the extended header, which is skipped (§2.3.1).
    pub body: usize,
    /// Type.
    pub kind: FrameKind,
    /// Channel; has no meaning in a SASL frame.
    pub channel: u16,
}

/// Why a frame header was refused. The peer's fault; nothing after it can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Smaller than its own header.
    #[error("frame of {size} bytes is smaller than its header")]
    TooSmall {
        /// Declared size in bytes.
        size: u32,
    },
    /// Larger than we accept.
    #[error("frame of {size} bytes exceeds the max-frame-size of {max}")]
    TooLarge {
        /// Declared size in bytes.
        size: u32,
        /// The limit in bytes.
        max: u32,
    },
    /// The data offset lies before the end of the fixed header or behind the end of the frame.
    #[error("data offset {doff} of a frame of {size} bytes is out of range")]
    DataOffset {
        /// Declared offset in 4-byte words.
        doff: u8,
        /// Declared size in bytes.
        size: u32,
    },
    /// A type that is not defined.
    #[error("frame type {kind} is not defined")]
    Kind {
        /// The type byte.
        kind: u8,
    },
}

impl FrameError {
    /// The condition to close with.
    pub fn condition(&self) -> &'static str {
        condition::CONNECTION_FRAMING_ERROR
    }
}

impl FrameHeader {
    /// Reads the header at the beginning of `bytes`; `None` if it is not complete. The frame may be incomplete still.
    ///
    /// # Errors
    /// If the frame cannot be read or is larger than `max`.
    #[inline]
    pub fn parse(bytes: &[u8], max: u32) -> Result<Option<Self>, FrameError> {
        let Some(&[s0, s1, s2, s3, doff, kind, c0, c1]) = bytes.first_chunk::<FRAME_HEADER>() else {
            return Ok(None);
        };
        let size = u32::from_be_bytes([s0, s1, s2, s3]);
        if size < FRAME_HEADER as u32 {
            return Err(FrameError::TooSmall { size });
        }
        if size > max {
            return Err(FrameError::TooLarge { size, max });
        }
        let body = u32::from(doff) * 4;
        if doff < 2 || body > size {
            return Err(FrameError::DataOffset { doff, size });
        }
        let kind = match kind {
            0 => FrameKind::Amqp,
            1 => FrameKind::Sasl,
            kind => return Err(FrameError::Kind { kind }),
        };
        Ok(Some(Self { size: size as usize, body: body as usize, kind, channel: u16::from_be_bytes([c0, c1]) }))
    }

    /// True for a frame without body, which only says that the peer lives (§2.4.5).
    pub fn is_empty(&self) -> bool {
        self.body == self.size
    }

    /// Range of the body for a frame that begins at `start`.
    pub fn body_range(&self, start: usize) -> Range<usize> {
        start + self.body..start + self.size
    }
}

/// An empty AMQP frame on channel 0.
pub const EMPTY_FRAME: [u8; 8] = [0, 0, 0, 8, 2, 0, 0, 0];

/// Writes a frame header for a body of `body_len` bytes.
#[inline]
pub fn write_header<B: BufMut>(out: &mut B, kind: FrameKind, channel: u16, body_len: usize) {
    let size = u32::try_from(FRAME_HEADER + body_len).unwrap_or(u32::MAX);
    let [s0, s1, s2, s3] = size.to_be_bytes();
    let [c0, c1] = channel.to_be_bytes();
    out.put_slice(&[s0, s1, s2, s3, 2, u8::from(kind == FrameKind::Sasl), c0, c1]);
}

/// Writes frame header and performative for a payload of `payload_len` bytes, which the caller writes behind it.
pub fn write_amqp<B: BufMut, T: Encode>(out: &mut B, channel: u16, performative: &T, payload_len: usize) {
    write_header(out, FrameKind::Amqp, channel, performative.encoded_len() + payload_len);
    performative.encode(out);
}

/// Writes a SASL frame.
pub fn write_sasl<B: BufMut, T: Encode>(out: &mut B, body: &T) {
    write_header(out, FrameKind::Sasl, 0, body.encoded_len());
    body.encode(out);
}

/// The layer that a protocol header asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtocolId {
    /// 0
    Amqp,
    /// 2
    Tls,
    /// 3
    Sasl,
}

/// Bytes of a protocol header.
pub const PROTOCOL_HEADER: usize = 8;

/// Why a protocol header was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// No AMQP at all.
    #[error("the peer does not speak AMQP: byte {at} is 0x{byte:02x}")]
    NotAmqp {
        /// Offset of the first wrong byte.
        at: usize,
        /// That byte.
        byte: u8,
    },
    /// AMQP, but another layer or version.
    #[error("protocol {id} version {major}.{minor}.{revision} is not supported")]
    Unsupported {
        /// Protocol id.
        id: u8,
        /// Version.
        major: u8,
        /// Version.
        minor: u8,
        /// Version.
        revision: u8,
    },
}

impl ProtocolId {
    /// The header.
    pub const fn header(self) -> [u8; PROTOCOL_HEADER] {
        let id = match self {
            Self::Amqp => 0,
            Self::Tls => 2,
            Self::Sasl => 3,
        };
        [b'A', b'M', b'Q', b'P', id, 1, 0, 0]
    }

    /// Reads a header; `None` if `bytes` are the beginning of one. What is wrong is found at the first byte that shows it, so a
    /// peer that speaks something else is answered without waiting for eight bytes.
    ///
    /// # Errors
    /// If it is none, or of another version than 1.0.0.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, ProtocolError> {
        for (at, (&byte, &expected)) in bytes.iter().zip(b"AMQP").enumerate() {
            if byte != expected {
                return Err(ProtocolError::NotAmqp { at, byte });
            }
        }
        let Some(&[_, _, _, _, id, major, minor, revision]) = bytes.first_chunk::<PROTOCOL_HEADER>() else {
            return Ok(None);
        };
        match (id, major, minor, revision) {
            (0, 1, 0, 0) => Ok(Some(Self::Amqp)),
            (2, 1, 0, 0) => Ok(Some(Self::Tls)),
            (3, 1, 0, 0) => Ok(Some(Self::Sasl)),
            _ => Err(ProtocolError::Unsupported { id, major, minor, revision }),
        }
    }
}
