//! Header and properties.

use bytes::{BufMut, Bytes};

use crate::{
    Address, Decode, DecodeError, Encode, Raw, Reader, Str, Symbol, Timestamp,
    codec::{check_one, code},
    composite::composite,
};

composite! {
    /// How to treat the message (§3.2.1).
    MessageHeader = 0x70 "amqp:header:list", "header", "3.2.1" {
        /// Must not be lost.
        default durable: bool = false,
        /// Relative importance; 4 is normal.
        default priority: u8 = 4,
        /// Milliseconds for which the message is live.
        optional ttl: u32,
        /// No other link acquired it before.
        default first_acquirer: bool = false,
        /// Unsuccessful attempts before.
        default delivery_count: u32 = 0,
    }

    /// Immutable properties (§3.2.4).
    Properties = 0x73 "amqp:properties:list", "properties", "3.2.4" {
        /// Identity: ulong, uuid, binary or string.
        optional message_id: Raw,
        /// Who made it.
        optional user_id: Bytes,
        /// Where it goes.
        optional to: Address,
        /// What it is about.
        optional subject: Str,
        /// Where answers go.
        optional reply_to: Address,
        /// Which message it answers: ulong, uuid, binary or string.
        optional correlation_id: Raw,
        /// MIME type of data sections.
        optional content_type: MediaType,
        /// Encoding of data sections.
        optional content_encoding: MediaType,
        /// When it expires.
        optional absolute_expiry_time: Timestamp,
        /// When it was made.
        optional creation_time: Timestamp,
        /// Group.
        optional group_id: Str,
        /// Position in the group.
        optional group_sequence: u32,
        /// Group of answers.
        optional reply_to_group_id: Str,
    }
}

/// content-type and content-encoding: a symbol (§3.2.4); the reference's TCP streams have a string instead, which is kept one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the specification")]
pub enum MediaType {
    Symbol(Symbol),
    String(Str),
}

impl MediaType {
    /// The text.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Symbol(text) => text.as_str(),
            Self::String(text) => text.as_str(),
        }
    }
}
impl Decode for MediaType {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.peek()? {
            code::STRING8 | code::STRING32 => Str::decode(reader).map(Self::String),
            _ => Symbol::decode(reader).map(Self::Symbol),
        }
    }
}
impl Encode for MediaType {
    fn encoded_len(&self) -> usize {
        match self {
            Self::Symbol(text) => text.encoded_len(),
            Self::String(text) => text.encoded_len(),
        }
    }
    fn encode<B: BufMut>(&self, out: &mut B) {
        match self {
            Self::Symbol(text) => text.encode(out),
            Self::String(text) => text.encode(out),
        }
    }
}

/// The fields of properties read on demand and in place: nothing is allocated, nothing beyond the field asked for is looked at.
#[derive(Debug, Clone, Copy)]
pub struct PropertiesView<'a> {
    /// The list without its descriptor; empty if there are no properties.
    list: &'a [u8],
}

impl<'a> PropertiesView<'a> {
    /// Over the encoded list without its descriptor.
    pub fn new(list: &'a [u8]) -> Self {
        Self { list }
    }

    /// The encoded value of the field with this index, `None` if null or absent. Indices are those of §3.2.4: `message-id` is 0.
    ///
    /// # Errors
    /// If the list or a field before it is malformed.
    pub fn field(&self, index: u32) -> Result<Option<&'a [u8]>, DecodeError> {
        if self.list.is_empty() {
            return Ok(None);
        }
        let (mut fields, count) = Reader::of_slice(self.list).list()?;
        if index >= count {
            return Ok(None);
        }
        for _ in 0..index {
            fields.skip()?;
        }
        let start = fields.pos();
        let end = check_one(self.list.get(..fields.end()).unwrap_or_default(), start)?;
        Ok(self.list.get(start..end).filter(|value| *value != [code::NULL]))
    }

    /// Bytes of a string field.
    fn text(&self, index: u32, field: &'static str) -> Result<Option<&'a str>, DecodeError> {
        let Some(value) = self.field(index)? else {
            return Ok(None);
        };
        let wrap = |source| DecodeError::Field { composite: "properties", field, source: Box::new(source) };
        let bytes = match value {
            [code::STRING8, _, text @ ..] | [code::STRING32, _, _, _, _, text @ ..] => text,
            [code, ..] => {
                return Err(wrap(DecodeError::UnexpectedType { code: *code, at: 0, expected: "a string" }));
            }
            [] => return Ok(None),
        };
        std::str::from_utf8(bytes).map(Some).map_err(|_| wrap(DecodeError::NotUtf8 { at: 0 }))
    }

    /// Where the message goes.
    ///
    /// # Errors
    /// If it is malformed or no string.
    pub fn to(&self) -> Result<Option<&'a str>, DecodeError> {
        self.text(2, "to")
    }

    /// What it is about.
    ///
    /// # Errors
    /// If it is malformed or no string.
    pub fn subject(&self) -> Result<Option<&'a str>, DecodeError> {
        self.text(3, "subject")
    }

    /// Where answers go.
    ///
    /// # Errors
    /// If it is malformed or no string.
    pub fn reply_to(&self) -> Result<Option<&'a str>, DecodeError> {
        self.text(4, "reply_to")
    }

    /// Encoded message-id.
    ///
    /// # Errors
    /// If the list is malformed.
    pub fn message_id(&self) -> Result<Option<&'a [u8]>, DecodeError> {
        self.field(0)
    }

    /// Encoded correlation-id.
    ///
    /// # Errors
    /// If the list is malformed.
    pub fn correlation_id(&self) -> Result<Option<&'a [u8]>, DecodeError> {
        self.field(5)
    }

    /// Encoded user-id.
    ///
    /// # Errors
    /// If the list is malformed.
    pub fn user_id(&self) -> Result<Option<&'a [u8]>, DecodeError> {
        self.field(1)
    }
}
