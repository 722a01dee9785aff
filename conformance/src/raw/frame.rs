//! Frames and performatives.

use super::value::V;

/// Descriptors of performatives (AMQP 1.0 §2.7, §5.3.3).
#[expect(missing_docs, reason = "the names are the specification's")]
pub mod code {
    pub const OPEN: u64 = 0x10;
    pub const BEGIN: u64 = 0x11;
    pub const ATTACH: u64 = 0x12;
    pub const FLOW: u64 = 0x13;
    pub const TRANSFER: u64 = 0x14;
    pub const DISPOSITION: u64 = 0x15;
    pub const DETACH: u64 = 0x16;
    pub const END: u64 = 0x17;
    pub const CLOSE: u64 = 0x18;
    pub const RECEIVED: u64 = 0x23;
    pub const ACCEPTED: u64 = 0x24;
    pub const REJECTED: u64 = 0x25;
    pub const RELEASED: u64 = 0x26;
    pub const MODIFIED: u64 = 0x27;
    pub const SASL_MECHANISMS: u64 = 0x40;
    pub const SASL_INIT: u64 = 0x41;
    pub const SASL_OUTCOME: u64 = 0x44;
}

/// One frame: a performative with its fields, and what follows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// 0 AMQP, 1 SASL.
    pub kind: u8,
    /// Channel.
    pub channel: u16,
    /// Descriptor of the performative; `None` for an empty frame.
    pub code: Option<u64>,
    /// Fields of the performative, as far as they were written.
    pub fields: Vec<V>,
    /// Bytes after the performative.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A performative on channel 0.
    pub fn new(code: u64, fields: Vec<V>) -> Self {
        Self { kind: 0, channel: 0, code: Some(code), fields, payload: Vec::new() }
    }

    /// An empty frame (a heartbeat).
    pub fn empty() -> Self {
        Self { kind: 0, channel: 0, code: None, fields: Vec::new(), payload: Vec::new() }
    }

    /// `open` with a container id.
    pub fn open(container: &str) -> Self {
        Self::new(code::OPEN, vec![V::str(container)])
    }

    /// `begin` with windows of 2,048 transfers.
    pub fn begin() -> Self {
        Self::new(code::BEGIN, vec![V::Null, V::Uint(0), V::Uint(2048), V::Uint(2048), V::Uint(u32::MAX)])
    }

    /// `attach` as a sender to `target`; `None` is an anonymous one.
    pub fn sender(name: &str, handle: u32, target: Option<&str>) -> Self {
        let address = target.map_or(V::Null, V::str);
        Self::new(
            code::ATTACH,
            vec![
                V::str(name),
                V::Uint(handle),
                V::Bool(false),
                V::Null,
                V::Null,
                V::Desc(0x28, Box::new(V::List(vec![V::str("client")]))),
                V::Desc(0x29, Box::new(V::List(vec![address]))),
                V::Null,
                V::Null,
                V::Uint(0),
            ],
        )
    }

    /// `attach` as a receiver from `source`; `None` is a dynamic one.
    pub fn receiver(name: &str, handle: u32, source: Option<&str>) -> Self {
        let source = match source {
            Some(address) => vec![V::str(address)],
            None => vec![V::Null, V::Null, V::Null, V::Null, V::Bool(true)],
        };
        Self::new(
            code::ATTACH,
            vec![
                V::str(name),
                V::Uint(handle),
                V::Bool(true),
                V::Null,
                V::Null,
                V::Desc(0x28, Box::new(V::List(source))),
                V::Desc(0x29, Box::new(V::List(vec![V::str("client")]))),
            ],
        )
    }

    /// `flow` that gives a link `credit`; `delivery_count` as the receiver knows it.
    pub fn credit(handle: u32, delivery_count: u32, credit: u32) -> Self {
        Self::new(
            code::FLOW,
            vec![
                V::Uint(0),
                V::Uint(2048),
                V::Uint(0),
                V::Uint(2048),
                V::Uint(handle),
                V::Uint(delivery_count),
                V::Uint(credit),
            ],
        )
    }

    /// `transfer` of a whole unsettled delivery; its tag is its id.
    pub fn transfer(handle: u32, id: u32, payload: Vec<u8>) -> Self {
        let mut frame = Self::new(
            code::TRANSFER,
            vec![
                V::Uint(handle),
                V::Uint(id),
                V::Bin(id.to_be_bytes().to_vec()),
                V::Uint(0),
                V::Bool(false),
                V::Bool(false),
            ],
        );
        frame.payload = payload;
        frame
    }

    /// `disposition` of the receiver for `first..=last`, settled.
    pub fn settle(first: u32, last: u32, state: V) -> Self {
        Self::new(code::DISPOSITION, vec![V::Bool(true), V::Uint(first), V::Uint(last), V::Bool(true), state])
    }

    /// `detach`.
    pub fn detach(handle: u32, closed: bool) -> Self {
        Self::new(code::DETACH, vec![V::Uint(handle), V::Bool(closed)])
    }

    /// `end`.
    pub fn end() -> Self {
        Self::new(code::END, Vec::new())
    }

    /// `close`.
    pub fn close() -> Self {
        Self::new(code::CLOSE, Vec::new())
    }

    /// The same on another channel.
    pub fn on(mut self, channel: u16) -> Self {
        self.channel = channel;
        self
    }

    /// The same with field `index` set.
    pub fn with(mut self, index: usize, value: V) -> Self {
        if self.fields.len() <= index {
            self.fields.resize(index + 1, V::Null);
        }
        self.fields[index] = value;
        self
    }

    /// A transfer that is followed by more of its delivery.
    pub fn more(self) -> Self {
        self.with(5, V::Bool(true))
    }

    /// Field `index`; null when it was not written.
    pub fn field(&self, index: usize) -> &V {
        self.fields.get(index).unwrap_or(&V::Null)
    }

    /// The bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        if let Some(code) = self.code {
            V::Desc(code, Box::new(V::List(self.fields.clone()))).write(&mut body);
        }
        body.extend(&self.payload);
        Self::wrap(2, self.kind, self.channel, &body)
    }

    /// A frame around any bytes, with a header of `doff` words (the extended header is filled with 0xee).
    pub fn wrap(doff: u8, kind: u8, channel: u16, body: &[u8]) -> Vec<u8> {
        let header = usize::from(doff) * 4;
        let mut out = ((header.max(8) + body.len()) as u32).to_be_bytes().to_vec();
        out.extend([doff, kind]);
        out.extend(channel.to_be_bytes());
        out.resize(header.max(8), 0xee);
        out.extend(body);
        out
    }

    /// Reads the bytes after the size field of a frame.
    ///
    /// # Panics
    /// On anything that is not a frame.
    pub fn parse(rest: &[u8]) -> Self {
        let doff = usize::from(rest[0]) * 4 - 4;
        let mut body = &rest[doff..];
        let mut frame = Self { kind: rest[1], channel: u16::from_be_bytes([rest[2], rest[3]]), ..Self::empty() };
        if !body.is_empty() {
            let V::Desc(code, list) = V::read(&mut body) else { panic!("a frame without performative") };
            let V::List(fields) = *list else { panic!("a performative that is no list") };
            frame.code = Some(code);
            frame.fields = fields;
            frame.payload = body.to_vec();
        }
        frame
    }
}

/// SASL frames.
pub mod sasl {
    use super::{Frame, code};
    use crate::raw::V;

    /// `sasl-init`.
    pub fn init(mechanism: &str, response: Option<&[u8]>) -> Frame {
        let response = response.map_or(V::Null, |bytes| V::Bin(bytes.to_vec()));
        let mut frame = Frame::new(code::SASL_INIT, vec![V::sym(mechanism), response]);
        frame.kind = 1;
        frame
    }
}

/// Messages.
pub mod message {
    use crate::raw::V;

    /// A message with a binary body.
    pub fn data(body: &[u8]) -> Vec<u8> {
        V::Desc(0x75, Box::new(V::Bin(body.to_vec()))).bytes()
    }

    /// A message with `properties.to` and a binary body.
    pub fn to(address: &str, body: &[u8]) -> Vec<u8> {
        let mut out = V::Desc(0x73, Box::new(V::List(vec![V::Null, V::Null, V::str(address)]))).bytes();
        out.extend(data(body));
        out
    }
}
