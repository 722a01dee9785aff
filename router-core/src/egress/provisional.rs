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

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    pub condition: &'static str,
    pub description: Option<String>,
}

impl Error {
    pub fn new(condition: &'static str, description: impl Into<String>) -> Self {
        Self { condition, description: Some(description.into()) }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    Accepted,
    Released,
    Received { section_number: u32, section_offset: u64 },
    Rejected(Option<Error>),
    Modified { delivery_failed: bool, undeliverable_here: bool },
    Other(u64),
}

impl DeliveryState {
    pub fn rejected(error: Option<&Error>) -> Self {
        Self::Rejected(error.cloned())
    }
    pub const fn modified(delivery_failed: bool, undeliverable_here: bool) -> Self {
        Self::Modified { delivery_failed, undeliverable_here }
    }
    pub fn is_terminal(&self) -> bool {
        !matches!(self, Self::Received { .. } | Self::Other(_))
    }
    pub fn descriptor(&self) -> Option<u64> {
        Some(match self {
            Self::Accepted => 0x24,
            Self::Released => 0x26,
            Self::Received { .. } => 0x23,
            Self::Rejected(_) => 0x25,
            Self::Modified { .. } => 0x27,
            Self::Other(code) => *code,
        })
    }
    #[must_use]
    pub fn detached(&self) -> Self {
        self.clone()
    }
}

pub mod condition {
    pub const NOT_FOUND: &str = "amqp:not-found";
    pub const UNAUTHORIZED_ACCESS: &str = "amqp:unauthorized-access";
    pub const RESOURCE_LIMIT_EXCEEDED: &str = "amqp:resource-limit-exceeded";
    pub const NOT_IMPLEMENTED: &str = "amqp:not-implemented";
    pub const INVALID_FIELD: &str = "amqp:invalid-field";
    pub const PRECONDITION_FAILED: &str = "amqp:precondition-failed";
}
