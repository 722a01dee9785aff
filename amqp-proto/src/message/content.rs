//! A whole message, for the programs at the ends: `send`, `recv`, management, the load generator.

use bytes::{BufMut, Bytes};

use super::{MessageHeader, Properties, SectionKind, Sections};
use crate::{Decode, DecodeError, Encode, Fields, Reader, Value, codec::code};

/// The body of a message (§3.2).
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Body {
    /// No section. The specification wants one; messages without are tolerated.
    #[default]
    Empty,
    /// Data sections.
    Data(Vec<Bytes>),
    /// Sequence sections.
    Sequence(Vec<Vec<Value>>),
    /// A value.
    Value(Value),
}

/// A message.
#[derive(Debug, Clone, PartialEq, Default)]
#[expect(missing_docs, reason = "the names of the specification")]
pub struct Message {
    pub header: Option<MessageHeader>,
    pub delivery_annotations: Option<Fields>,
    pub message_annotations: Option<Fields>,
    pub properties: Option<Properties>,
    /// A map; its keys are strings (§3.2.5).
    pub application_properties: Option<Value>,
    pub body: Body,
    pub footer: Option<Fields>,
}

impl Message {
    /// A message with one data section.
    pub fn data(data: impl Into<Bytes>) -> Self {
        Self { body: Body::Data(vec![data.into()]), ..Self::default() }
    }

    /// A message with a value.
    pub fn value(value: impl Into<Value>) -> Self {
        Self { body: Body::Value(value.into()), ..Self::default() }
    }

    /// Sets where it goes.
    #[must_use]
    pub fn to(mut self, address: &str) -> Self {
        self.properties.get_or_insert_default().to = Some(address.into());
        self
    }

    /// Reads a complete message. A router-annotations section is left out.
    ///
    /// # Errors
    /// If it is malformed, or its sections are not in the order of §3.2.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut message = Self::default();
        for section in Sections::new(bytes) {
            let section = section?;
            let mut reader = Reader::part(bytes, section.value_range());
            match section.kind {
                SectionKind::RouterAnnotations => continue,
                SectionKind::Header => message.header = Some(MessageHeader::decode_fields(&mut reader)?),
                SectionKind::DeliveryAnnotations => message.delivery_annotations = Some(Fields::decode(&mut reader)?),
                SectionKind::MessageAnnotations => message.message_annotations = Some(Fields::decode(&mut reader)?),
                SectionKind::Properties => message.properties = Some(Properties::decode_fields(&mut reader)?),
                SectionKind::ApplicationProperties => {
                    message.application_properties = Some(Value::decode(&mut reader)?)
                }
                SectionKind::Data => {
                    let data = Bytes::decode(&mut reader)?;
                    match &mut message.body {
                        Body::Data(sections) => sections.push(data),
                        body => *body = Body::Data(vec![data]),
                    }
                }
                SectionKind::Sequence => {
                    let Value::List(items) = Value::decode(&mut reader)? else {
                        continue;
                    };
                    match &mut message.body {
                        Body::Sequence(sections) => sections.push(items),
                        body => *body = Body::Sequence(vec![items]),
                    }
                }
                SectionKind::Value => message.body = Body::Value(Value::decode(&mut reader)?),
                SectionKind::Footer => message.footer = Some(Fields::decode(&mut reader)?),
            }
            reader.finish()?;
        }
        Ok(message)
    }

    /// All data of data sections, or the text of a string or binary value; `None` for other bodies.
    pub fn body_bytes(&self) -> Option<Bytes> {
        match &self.body {
            Body::Data(sections) => match sections.as_slice() {
                [one] => Some(one.clone()),
                several => Some(several.concat().into()),
            },
            Body::Value(Value::Binary(bytes)) => Some(bytes.clone()),
            Body::Value(Value::String(text)) => Some(text.clone().into_bytes()),
            _ => None,
        }
    }
}

/// What stands in front of a data section's `len` bytes: for bodies that are streamed, section by section.
pub fn data_header(len: u32) -> ([u8; 8], usize) {
    match u8::try_from(len) {
        Ok(len) => ([code::DESCRIBED, code::SMALL_ULONG, 0x75, code::BINARY8, len, 0, 0, 0], 5),
        Err(_) => {
            let [a, b, c, d] = len.to_be_bytes();
            ([code::DESCRIBED, code::SMALL_ULONG, 0x75, code::BINARY32, a, b, c, d], 8)
        }
    }
}

/// Descriptor and value of a section that is no composite: every descriptor takes three bytes.
fn section_len<T: Encode>(value: &T) -> usize {
    3 + value.encoded_len()
}

fn put_section<T: Encode, B: BufMut>(out: &mut B, kind: SectionKind, value: &T) {
    out.put_u8(code::DESCRIBED);
    kind.code().encode(out);
    value.encode(out);
}

/// A sequence section's list without a copy of its items.
struct Items<'a>(&'a [Value]);

impl Encode for Items<'_> {
    fn encoded_len(&self) -> usize {
        let size: usize = self.0.iter().map(Encode::encoded_len).sum();
        crate::composite::list_head_len(self.0.len(), size) + size
    }
    fn encode<B: BufMut>(&self, out: &mut B) {
        crate::composite::put_list_head(out, self.0.len(), self.0.iter().map(Encode::encoded_len).sum());
        self.0.iter().for_each(|item| item.encode(out));
    }
}

impl Encode for Message {
    fn encoded_len(&self) -> usize {
        let body = match &self.body {
            Body::Empty => 0,
            Body::Data(sections) => sections.iter().map(section_len).sum(),
            Body::Sequence(sections) => sections.iter().map(|items| section_len(&Items(items))).sum(),
            Body::Value(value) => section_len(value),
        };
        self.header.as_ref().map_or(0, Encode::encoded_len)
            + self.delivery_annotations.as_ref().map_or(0, section_len)
            + self.message_annotations.as_ref().map_or(0, section_len)
            + self.properties.as_ref().map_or(0, Encode::encoded_len)
            + self.application_properties.as_ref().map_or(0, section_len)
            + body
            + self.footer.as_ref().map_or(0, section_len)
    }

    fn encode<B: BufMut>(&self, out: &mut B) {
        if let Some(header) = &self.header {
            header.encode(out);
        }
        if let Some(map) = &self.delivery_annotations {
            put_section(out, SectionKind::DeliveryAnnotations, map);
        }
        if let Some(map) = &self.message_annotations {
            put_section(out, SectionKind::MessageAnnotations, map);
        }
        if let Some(properties) = &self.properties {
            properties.encode(out);
        }
        if let Some(map) = &self.application_properties {
            put_section(out, SectionKind::ApplicationProperties, map);
        }
        match &self.body {
            Body::Empty => {}
            Body::Data(sections) => sections.iter().for_each(|data| put_section(out, SectionKind::Data, data)),
            Body::Sequence(sections) => {
                sections.iter().for_each(|items| put_section(out, SectionKind::Sequence, &Items(items)))
            }
            Body::Value(value) => put_section(out, SectionKind::Value, value),
        }
        if let Some(map) = &self.footer {
            put_section(out, SectionKind::Footer, map);
        }
    }
}
