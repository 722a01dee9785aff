//! Stand-ins for types of `amqp_proto`, in its shape, until that crate has them. To be replaced by re-exports.
#![allow(missing_docs, reason = "goes away")]

use bytes::Bytes;

static NOTHING: Bytes = Bytes::new();

#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    pub block: &'a Bytes,
    pub start: usize,
    pub end: usize,
}

impl<'a> Payload<'a> {
    pub fn new(block: &'a Bytes) -> Self {
        Self { block, start: 0, end: block.len() }
    }
    pub fn range(block: &'a Bytes, start: usize, end: usize) -> Self {
        let end = end.min(block.len());
        Self { block, start: start.min(end), end }
    }
    pub fn empty() -> Payload<'static> {
        Payload { block: &NOTHING, start: 0, end: 0 }
    }
    pub fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }
    pub fn as_slice(&self) -> &'a [u8] {
        self.block.get(self.start..self.end).unwrap_or_default()
    }
    #[must_use]
    pub fn skip(&self, n: usize) -> Self {
        Self { block: self.block, start: self.start.saturating_add(n).min(self.end), end: self.end }
    }
    pub fn to_bytes(&self) -> Bytes {
        if self.is_empty() { Bytes::new() } else { self.block.slice(self.start..self.end.min(self.block.len())) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    More,
    Complete,
    Aborted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SendHead {
    pub message_format: u32,
    pub settled: bool,
    pub token: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[must_use = "what was not taken has to be sent later"]
pub struct Sent {
    pub taken: usize,
    pub done: bool,
    pub started: bool,
    pub settled: bool,
    pub delivery_id: u32,
}
