//! Hand-tuned paths of the frames that carry traffic.

use bytes::BufMut;

use super::{Disposition, Flow, Transfer};
use crate::{DecodeError, Reader, frame};

impl Transfer {
    /// Reads the fields behind the descriptor; the same result as [`Transfer::decode_fields`], faster.
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::decode_fields(reader)
    }
}

impl Flow {
    /// Reads the fields behind the descriptor; the same result as [`Flow::decode_fields`], faster.
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::decode_fields(reader)
    }
}

impl Disposition {
    /// Reads the fields behind the descriptor; the same result as [`Disposition::decode_fields`], faster.
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Self::decode_fields(reader)
    }
}

/// Writes frame header and transfer for a payload of `payload_len` bytes, which the caller writes behind it.
pub fn write_transfer<B: BufMut>(out: &mut B, channel: u16, transfer: &Transfer, payload_len: usize) {
    frame::write_amqp(out, channel, transfer, payload_len);
}

/// Writes a flow frame.
pub fn write_flow<B: BufMut>(out: &mut B, channel: u16, flow: &Flow) {
    frame::write_amqp(out, channel, flow, 0);
}

/// Writes a disposition frame.
pub fn write_disposition<B: BufMut>(out: &mut B, channel: u16, disposition: &Disposition) {
    frame::write_amqp(out, channel, disposition, 0);
}
