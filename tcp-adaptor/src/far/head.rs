//! The sections in front of a stream of bytes.

use std::net::SocketAddr;

use amqp_proto::message::{MAX_HEAD, MediaType, Properties, SectionKind, Sections};
use amqp_proto::{Decode, DecodeError, Encode, Raw, Reader, Value};
use bytes::Bytes;
use thiserror::Error;

use crate::connector::Origin;

#[cfg(test)]
mod tests;

const CONTENT_TYPE: &str = "application/octet-stream";

/// Version of the mapping.
const VERSION: &str = "V";
/// The protocol that the client's TLS agreed on.
const ALPN: &str = "alpn";
/// Between routers of this make: how many bytes the sender of this message takes before it has passed them on. Others skip it.
const WINDOW: &str = "x-window";
/// The same: who the client is, for servers that want to know.
const CLIENT: &str = "x-client";
const DESTINATION: &str = "x-destination";

/// What the sections of a stream say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// Where the stream goes. Not read: the routers on its way have done that.
    pub(crate) to: String,
    /// Where the stream in the other direction goes.
    pub(crate) reply_to: Option<String>,
    /// The protocol that the client's TLS agreed on.
    pub(crate) alpn: Option<String>,
    /// Who the client is.
    pub(crate) origin: Option<Origin>,
    /// What the router of the listener calls the flow in its records, if somebody collects those.
    pub(crate) correlation: Option<String>,
    /// How many bytes the peer takes before it has passed them on; only routers of this make say so.
    pub(crate) window: Option<u32>,
}

/// Why a stream is not taken.
#[derive(Debug, Error)]
pub(crate) enum HeadError {
    /// The sections are none, or too long.
    #[error("{0}")]
    Malformed(#[from] DecodeError),
    /// Something else than a stream of bytes.
    #[error("the content is no stream of bytes")]
    Foreign,
}

impl Head {
    /// The sections, behind which the bytes follow.
    pub(crate) fn compose(&self) -> Bytes {
        let properties = Properties {
            to: Some(self.to.as_str().into()),
            reply_to: self.reply_to.as_deref().map(Into::into),
            correlation_id: self.correlation.as_deref().map(|identity| Raw::from(&Value::from(identity))),
            content_type: Some(MediaType::String(CONTENT_TYPE.into())),
            ..Properties::default()
        };
        let mut map = vec![(Value::from(VERSION), Value::Uint(1))];
        if let Some(alpn) = &self.alpn {
            map.push((ALPN.into(), alpn.as_str().into()));
        }
        if let Some(window) = self.window {
            map.push((WINDOW.into(), window.into()));
        }
        if let Some(origin) = &self.origin {
            map.push((CLIENT.into(), origin.client.to_string().into()));
            map.push((DESTINATION.into(), origin.destination.to_string().into()));
        }
        let mut out = Vec::with_capacity(256);
        properties.encode(&mut out);
        section(SectionKind::ApplicationProperties, &Value::Map(map), &mut out);
        section(SectionKind::Value, &Value::Null, &mut out);
        out.into()
    }

    /// Reads the sections, of which the end may be missing. Answers where the bytes begin; `None`: more is needed.
    ///
    /// # Errors
    /// [`HeadError`].
    pub(crate) fn parse(message: &[u8], complete: bool) -> Result<Option<(Self, usize)>, HeadError> {
        let mut head = Self::default();
        let mut bytes = false;
        for section in Sections::new(message) {
            let section = match section {
                Ok(section) => section,
                Err(DecodeError::Truncated { at, .. }) if at >= message.len() && !complete => break,
                Err(error) => return Err(error.into()),
            };
            let mut reader = Reader::of_slice(message.get(section.value_range()).unwrap_or_default());
            match section.kind {
                SectionKind::Properties => {
                    let properties = Properties::decode_fields(&mut reader)?;
                    bytes = properties.content_type.as_ref().is_some_and(|kind| kind.as_str() == CONTENT_TYPE);
                    head.reply_to = properties.reply_to.and_then(|address| address.as_str().map(str::to_owned));
                    // It may be of any type; ours, and the reference's, are strings.
                    let correlation = properties.correlation_id.and_then(|raw| raw.to_value().ok());
                    head.correlation = correlation.as_ref().and_then(Value::as_str).map(str::to_owned);
                }
                SectionKind::ApplicationProperties => head.application(&Value::decode(&mut reader)?),
                SectionKind::Value if bytes => return Ok(Some((head, section.end))),
                SectionKind::Data | SectionKind::Sequence | SectionKind::Value | SectionKind::Footer => {
                    return Err(HeadError::Foreign);
                }
                _ => {}
            }
        }
        if complete {
            return Err(HeadError::Foreign);
        }
        if message.len() > MAX_HEAD {
            return Err(DecodeError::HeadTooLarge { limit: MAX_HEAD }.into());
        }
        Ok(None)
    }

    /// What is not understood is left out: it may be of a later version.
    fn application(&mut self, map: &Value) {
        let text = |key: &str| map.get(key).and_then(Value::as_str);
        let addr = |key: &str| text(key)?.parse::<SocketAddr>().ok();
        self.alpn = text(ALPN).map(str::to_owned);
        self.window = map.get(WINDOW).and_then(Value::as_u64).and_then(|window| window.try_into().ok());
        self.origin = addr(CLIENT).zip(addr(DESTINATION)).map(|(client, destination)| Origin { client, destination });
    }
}

fn section(kind: SectionKind, value: &Value, out: &mut Vec<u8>) {
    Value::described(Value::Ulong(kind.code()), value.clone()).encode(out);
}
