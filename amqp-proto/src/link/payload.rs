//! What goes out on a link: a part of a delivery as a range of a block.

use bytes::Bytes;

static NOTHING: Bytes = Bytes::new();

/// Bytes of a delivery as a range of the block they arrived in, borrowed, so that passing them on touches no reference count.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    /// The block.
    pub block: &'a Bytes,
    /// Offset of the first byte.
    pub start: usize,
    /// Offset behind the last byte; at most the length of the block.
    pub end: usize,
}

impl<'a> Payload<'a> {
    /// A whole block.
    pub fn new(block: &'a Bytes) -> Self {
        Self { block, start: 0, end: block.len() }
    }

    /// A range of a block, cut to what the block has.
    pub fn range(block: &'a Bytes, start: usize, end: usize) -> Self {
        let end = end.min(block.len());
        Self { block, start: start.min(end), end }
    }

    /// No bytes.
    pub fn empty() -> Payload<'static> {
        Payload { block: &NOTHING, start: 0, end: 0 }
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// True if there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// The bytes.
    pub fn as_slice(&self) -> &'a [u8] {
        self.block.get(self.start..self.end).unwrap_or_default()
    }

    /// The same without its first `n` bytes.
    #[must_use]
    pub fn skip(&self, n: usize) -> Self {
        Self { block: self.block, start: self.start.saturating_add(n).min(self.end), end: self.end }
    }

    /// The bytes with a reference to their block (which stays alive as long).
    pub fn to_bytes(&self) -> Bytes {
        if self.is_empty() { Bytes::new() } else { self.block.slice(self.start..self.end.min(self.block.len())) }
    }
}

/// What follows a part of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// More parts will follow.
    More,
    /// This was the last part.
    Complete,
    /// The delivery is given up; its bytes must not be used (AMQP 1.0 §2.7.5 `aborted`).
    Aborted,
}

/// What the first transfer frame of a delivery says about all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SendHead<'a> {
    /// `message-format` (AMQP 1.0 §2.8.11); 0 is the AMQP message of part 3.
    pub message_format: u32,
    /// Sent settled: nobody will hear of the outcome. What the link negotiated wins, see [`Sent::settled`].
    pub settled: bool,
    /// The owner's name for this delivery until it is settled.
    pub token: u64,
    /// What goes in front of the payload, such as the annotations that routers add. Sent whole when the delivery begins, copied, and
    /// not counted in [`Sent::taken`]. Ignored once it has begun.
    pub prefix: &'a [u8],
}

/// How much of a part was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[must_use = "what was not taken has to be sent later"]
pub struct Sent {
    /// Bytes of the payload that were queued.
    pub taken: usize,
    /// True if everything was queued, the mark of the end included.
    pub done: bool,
    /// True if at least one frame of the delivery is on its way, in this call or an earlier one. False: there was no credit or no
    /// window, and the delivery may still go elsewhere.
    pub started: bool,
    /// The delivery went out settled: because the head said so, or because the link's snd-settle-mode is `settled`.
    pub settled: bool,
    /// The id in the session, if `started`.
    pub delivery_id: u32,
}
