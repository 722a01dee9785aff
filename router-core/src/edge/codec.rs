//! The messages that an edge router exchanges with interior routers, about addresses and meshes, and with other edge routers of its mesh.

use std::sync::Arc;

use amqp_proto::codec::code;
use amqp_proto::message::{SectionKind, Sections};
use amqp_proto::{Decode as _, DecodeError, Reader, Value};
use bytes::Bytes;

use super::MeshBid;
use crate::annotations::Annotations;

/// What is wrong with a message. Always the peer's fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// It is malformed.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
    /// It is another message.
    #[error("the message has no {0}")]
    Missing(&'static str),
}

/// Writes a tracking message: whether an address has destinations that the edge can reach.
pub fn encode_tracking(key: &str, reachable: bool, hop: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + key.len());
    Annotations { ingress: Some(hop), ..Annotations::default() }.compose(Some(hop), &mut out);
    // A header that says nothing, as the reference has it.
    out.extend_from_slice(&[0, code::SMALL_ULONG, 0x70, code::LIST0, 0, code::SMALL_ULONG, 0x77, code::LIST32]);
    let size = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&2u32.to_be_bytes());
    put_text(code::STRING8, code::STRING32, key, &mut out);
    out.push(if reachable { code::TRUE } else { code::FALSE });
    finish(&mut out, size);
    out
}

/// Reads a tracking message.
///
/// # Errors
/// If it is malformed or has not the form.
pub fn decode_tracking(message: &Bytes) -> Result<(Arc<str>, bool), MessageError> {
    let body = section(message, SectionKind::Value)?.ok_or(MessageError::Missing("body"))?;
    match body.as_list().unwrap_or_default() {
        [key, Value::Boolean(reachable), ..] => {
            let key = key.as_str().ok_or(MessageError::Missing("address"))?;
            Ok((key.into(), *reachable))
        }
        _ => Err(MessageError::Missing("list of address and truth")),
    }
}

/// Writes what an edge tells of its mesh.
pub fn encode_mesh(mesh: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    Annotations { ingress_mesh: Some(mesh), ..Annotations::default() }.compose(None, &mut out);
    out.extend_from_slice(&[0, code::SMALL_ULONG, 0x74, code::MAP32]);
    let size = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&2u32.to_be_bytes());
    put_text(code::SYMBOL8, code::SYMBOL32, "meshid", &mut out);
    put_text(code::STRING8, code::STRING32, mesh, &mut out);
    finish(&mut out, size);
    out
}

/// Reads it.
///
/// # Errors
/// If it is malformed or has not the form.
pub fn decode_mesh(message: &Bytes) -> Result<Arc<str>, MessageError> {
    let properties = section(message, SectionKind::ApplicationProperties)?;
    let mesh = properties.as_ref().and_then(|map| map.get("meshid")).and_then(Value::as_str);
    mesh.and_then(super::mesh_id).ok_or(MessageError::Missing("id of a mesh"))
}

/// Writes what an edge offers others as the id of their mesh.
pub fn encode_bid(bid: &MeshBid) -> Vec<u8> {
    let mut out = Vec::with_capacity(96);
    Annotations::default().compose(None, &mut out);
    out.extend_from_slice(&[0, code::SMALL_ULONG, 0x74, code::MAP32]);
    let size = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&4u32.to_be_bytes());
    put_text(code::SYMBOL8, code::SYMBOL32, "ordinal", &mut out);
    out.push(code::LONG);
    out.extend_from_slice(&bid.ordinal.to_be_bytes());
    put_text(code::SYMBOL8, code::SYMBOL32, "id", &mut out);
    put_text(code::STRING8, code::STRING32, &bid.id, &mut out);
    finish(&mut out, size);
    out
}

/// Reads it.
///
/// # Errors
/// If it is malformed or has not the form.
pub fn decode_bid(message: &Bytes) -> Result<MeshBid, MessageError> {
    let properties = section(message, SectionKind::ApplicationProperties)?.ok_or(MessageError::Missing("ordinal"))?;
    let ordinal = properties.get("ordinal").and_then(Value::as_i64).ok_or(MessageError::Missing("ordinal"))?;
    let id = properties.get("id").and_then(Value::as_str).and_then(super::mesh_id);
    Ok(MeshBid { ordinal, id: id.ok_or(MessageError::Missing("id of a mesh"))? })
}

fn section(message: &Bytes, kind: SectionKind) -> Result<Option<Value>, DecodeError> {
    for section in Sections::new(message) {
        let section = section?;
        if section.kind == kind {
            return Value::decode(&mut Reader::part(message, section.value_range())).map(Some);
        }
    }
    Ok(None)
}

fn put_text(short: u8, long: u8, text: &str, out: &mut Vec<u8>) {
    match u8::try_from(text.len()) {
        Ok(len) => out.extend_from_slice(&[short, len]),
        Err(_) => {
            out.push(long);
            out.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
    out.extend_from_slice(text.as_bytes());
}

/// Puts the size where it was left out.
fn finish(out: &mut [u8], size: usize) {
    let len = u32::try_from(out.len() - size - 4).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(size..size + 4) {
        place.copy_from_slice(&len.to_be_bytes());
    }
}
