//! The messages of the protocol.

use amqp_proto::{
    Encode as _, Value,
    message::{Body, Message, Properties},
};
use bytes::Bytes;

use super::attribute::{Attribute, RecordType, Said};

/// The version that messages say they are of.
const VERSION: u32 = 1;

/// The longest text of another router's that is taken over.
const MAX_TEXT: usize = 1024;

fn message(to: &str, subject: &str, properties: Option<Vec<(Value, Value)>>, body: Body) -> Bytes {
    let message = Message {
        properties: Some(Properties { to: Some(to.into()), subject: Some(subject.into()), ..Properties::default() }),
        application_properties: properties.map(Value::Map),
        body,
        ..Message::default()
    };
    let mut bytes = Vec::with_capacity(message.encoded_len());
    message.encode(&mut bytes);
    bytes.into()
}

/// Says that a source of records is there, and where.
pub(super) fn beacon(to: &str, id: &str, address: &str, direct: &str) -> Bytes {
    let properties = vec![
        ("v".into(), VERSION.into()),
        ("sourceType".into(), "ROUTER".into()),
        ("id".into(), id.into()),
        ("address".into(), address.into()),
        ("direct".into(), direct.into()),
    ];
    message(to, "BEACON", Some(properties), Body::Value(Value::Null))
}

/// Says that it is still there.
pub(super) fn heartbeat(to: &str, id: &str, now: u64) -> Bytes {
    let properties = vec![("v".into(), VERSION.into()), ("now".into(), Value::Ulong(now)), ("id".into(), id.into())];
    message(to, "HEARTBEAT", Some(properties), Body::Value(Value::Null))
}

/// A record as it is written: its kind, its identity, and those attributes that are to be told.
pub(super) fn record<'a>(
    ty: RecordType,
    identity: &str,
    attributes: impl Iterator<Item = (Attribute, &'a Said)>,
) -> Value {
    let mut entries = vec![(Value::Uint(0), Value::Uint((ty as u8).into())), (Value::Uint(1), identity.into())];
    entries.extend(attributes.map(|(attribute, said)| {
        let value = match said {
            Said::Number(number) => Value::Ulong(*number),
            Said::Text(text) => Value::from(&**text),
        };
        (Value::Uint((attribute as u8).into()), value)
    }));
    Value::Map(entries)
}

pub(super) fn records(to: &str, records: Vec<Value>) -> Bytes {
    message(to, "RECORD", None, Body::Value(Value::List(records)))
}

/// What another sent us.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// It wants all records.
    Flush,
    /// What it knows of flows: identity, and attributes.
    Flows(Vec<(String, Vec<(Attribute, Said)>)>),
}

/// Reads a message. `None`: it is nothing that concerns us, or cannot be read.
pub(super) fn read(message: &Bytes) -> Option<Heard> {
    let message = Message::decode(message).ok()?;
    let subject = message.properties.as_ref()?.subject.as_ref()?;
    match (subject.as_str(), message.body) {
        ("FLUSH", _) => Some(Heard::Flush),
        ("RECORD", Body::Value(Value::List(records))) => Some(Heard::Flows(records.iter().filter_map(flow).collect())),
        _ => None,
    }
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Ubyte(n) => Some((*n).into()),
        Value::Ushort(n) => Some((*n).into()),
        Value::Uint(n) => Some((*n).into()),
        Value::Ulong(n) => Some(*n),
        Value::Int(n) => u64::try_from(*n).ok(),
        Value::Long(n) => u64::try_from(*n).ok(),
        _ => None,
    }
}

/// A record of a flow.
fn flow(record: &Value) -> Option<(String, Vec<(Attribute, Said)>)> {
    let Value::Map(entries) = record else { return None };
    let (mut ty, mut identity, mut attributes) = (None, None, Vec::new());
    for (key, value) in entries {
        match number(key)? {
            0 => ty = number(value),
            1 => identity = value.as_str().map(str::to_owned),
            other => {
                let Some(attribute) = Attribute::of_other_end(other) else { continue };
                let said = match (value.as_str(), number(value)) {
                    (Some(text), _) if text.len() <= MAX_TEXT => Said::from(text),
                    (None, Some(number)) => Said::Number(number),
                    _ => continue,
                };
                attributes.push((attribute, said));
            }
        }
    }
    (ty? == RecordType::TransportFlow as u64).then_some((identity?, attributes))
}
