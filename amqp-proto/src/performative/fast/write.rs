//! Writing.

use bytes::BufMut;

use crate::{DeliveryState, DeliveryTag, Disposition, Encode, Flow, Transfer, codec::code, frame};

/// Enough for a frame without state or properties (73 bytes) and [`MAX_STATE`].
const SMALL: usize = 128;
/// A state up to this size takes the fast path: `received`, and `modified` and `rejected` without more.
const MAX_STATE: usize = 32;
/// Frame header, descriptor and list8 in front of the fields.
const FRONT: usize = frame::FRAME_HEADER + 6;

/// A frame with a list8 under construction.
struct Small {
    bytes: [u8; SMALL],
    len: usize,
    /// Length up to the last field that is not null, and the number of fields up to there.
    kept: usize,
    kept_count: u8,
    count: u8,
}

impl Small {
    #[inline(always)]
    fn new() -> Self {
        Self { bytes: [0; SMALL], len: FRONT, kept: FRONT, kept_count: 0, count: 0 }
    }

    /// Appends; callers have made sure that it fits.
    #[inline(always)]
    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        if let Some(slot) = self.bytes.get_mut(self.len..).and_then(<[u8]>::first_chunk_mut) {
            *slot = bytes;
            self.len += N;
        }
    }

    #[inline(always)]
    fn null(&mut self) {
        self.put([code::NULL]);
        self.count += 1;
    }

    /// Ends a field that is not null.
    #[inline(always)]
    fn keep(&mut self) {
        self.count += 1;
        self.kept = self.len;
        self.kept_count = self.count;
    }

    #[inline(always)]
    fn uint(&mut self, value: u32) {
        match value {
            0 => self.put([code::UINT0]),
            1..=255 => self.put([code::SMALL_UINT, value as u8]),
            _ => {
                let [a, b, c, d] = value.to_be_bytes();
                self.put([code::UINT, a, b, c, d]);
            }
        }
        self.keep();
    }

    #[inline(always)]
    fn uint_or_null(&mut self, value: Option<u32>) {
        match value {
            Some(value) => self.uint(value),
            None => self.null(),
        }
    }

    #[inline(always)]
    fn boolean(&mut self, value: bool) {
        self.put([if value { code::TRUE } else { code::FALSE }]);
        self.keep();
    }

    /// A boolean whose default is false.
    #[inline(always)]
    fn flag(&mut self, value: bool) {
        if value { self.boolean(true) } else { self.null() }
    }

    #[inline(always)]
    fn tag(&mut self, tag: Option<&DeliveryTag>) {
        let Some(tag) = tag else { return self.null() };
        let bytes = tag.as_bytes();
        self.put([code::BINARY8, bytes.len() as u8]);
        self.slice(bytes);
        self.keep();
    }

    #[inline(always)]
    fn slice(&mut self, bytes: &[u8]) {
        if let Some(slot) = self.bytes.get_mut(self.len..self.len + bytes.len()) {
            slot.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }

    #[inline(always)]
    fn state(&mut self, state: Option<&DeliveryState>) {
        match state {
            None => return self.null(),
            Some(DeliveryState::Accepted) => self.put([code::DESCRIBED, code::SMALL_ULONG, 0x24, code::LIST0]),
            Some(state) => {
                let len = state.encoded_len();
                if let Some(mut slot) = self.bytes.get_mut(self.len..self.len + len) {
                    state.encode(&mut slot);
                    self.len += len;
                }
            }
        }
        self.keep();
    }

    /// Fills in what stands in front and writes the frame.
    #[inline(always)]
    fn finish<B: BufMut>(mut self, out: &mut B, channel: u16, descriptor: u64, payload_len: usize) {
        let size = u32::try_from(self.kept + payload_len).unwrap_or(u32::MAX);
        let [s0, s1, s2, s3] = size.to_be_bytes();
        let [c0, c1] = channel.to_be_bytes();
        // The count is a byte of the list's size.
        let list = (self.kept - FRONT + 1) as u8;
        if let Some(front) = self.bytes.first_chunk_mut::<FRONT>() {
            *front = [s0, s1, s2, s3, 2, 0, c0, c1, code::DESCRIBED, code::SMALL_ULONG, descriptor as u8, code::LIST8, list, self.kept_count];
        }
        out.put_slice(self.bytes.get(..self.kept).unwrap_or_default());
    }
}

fn is_small(state: Option<&DeliveryState>) -> bool {
    state.is_none_or(|state| state.encoded_len() <= MAX_STATE)
}

/// Writes frame header and transfer for a payload of `payload_len` bytes, which the caller writes behind it.
#[inline]
pub fn write_transfer<B: BufMut>(out: &mut B, channel: u16, transfer: &Transfer, payload_len: usize) {
    if !is_small(transfer.state.as_ref()) {
        return frame::write_amqp(out, channel, transfer, payload_len);
    }
    let mut frame = Small::new();
    frame.uint(transfer.handle);
    frame.uint_or_null(transfer.delivery_id);
    frame.tag(transfer.delivery_tag.as_ref());
    frame.uint_or_null(transfer.message_format);
    match transfer.settled {
        Some(settled) => frame.boolean(settled),
        None => frame.null(),
    }
    frame.flag(transfer.more);
    match transfer.rcv_settle_mode {
        Some(mode) => {
            frame.put([code::UBYTE, mode.value()]);
            frame.keep();
        }
        None => frame.null(),
    }
    frame.state(transfer.state.as_ref());
    frame.flag(transfer.resume);
    frame.flag(transfer.aborted);
    frame.flag(transfer.batchable);
    frame.finish(out, channel, Transfer::CODE, payload_len);
}

/// Writes a flow frame.
#[inline]
pub fn write_flow<B: BufMut>(out: &mut B, channel: u16, flow: &Flow) {
    if flow.properties.is_some() {
        return frame::write_amqp(out, channel, flow, 0);
    }
    let mut frame = Small::new();
    frame.uint_or_null(flow.next_incoming_id);
    frame.uint(flow.incoming_window);
    frame.uint(flow.next_outgoing_id);
    frame.uint(flow.outgoing_window);
    frame.uint_or_null(flow.handle);
    frame.uint_or_null(flow.delivery_count);
    frame.uint_or_null(flow.link_credit);
    frame.uint_or_null(flow.available);
    frame.flag(flow.drain);
    frame.flag(flow.echo);
    frame.finish(out, channel, Flow::CODE, 0);
}

/// Writes a disposition frame.
#[inline]
pub fn write_disposition<B: BufMut>(out: &mut B, channel: u16, disposition: &Disposition) {
    if !is_small(disposition.state.as_ref()) {
        return frame::write_amqp(out, channel, disposition, 0);
    }
    let mut frame = Small::new();
    frame.boolean(disposition.role.value());
    frame.uint(disposition.first);
    frame.uint_or_null(disposition.last);
    frame.flag(disposition.settled);
    frame.state(disposition.state.as_ref());
    frame.flag(disposition.batchable);
    frame.finish(out, channel, Disposition::CODE, 0);
}
