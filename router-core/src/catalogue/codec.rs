//! Messages as bytes: an AMQP message whose body is a map, so that any client can read along.
//!
//! Later versions may add entries to the map, and elements to the lists of services; both are skipped here. A message with a higher `v` than
//! ours can only be understood by those who know that version, and an operation that nobody has heard of is ignored.

use std::{sync::Arc, time::Duration};

use amqp_proto::{
    DecodeError, Encode, Value,
    message::{Body, Message as Amqp},
};
use bytes::Bytes;

use super::{
    entry::{Entry, Labels, MAX_LABELS, MAX_NAME, MAX_PORTS, Pool, Role},
    message::{Changes, Content, Digest, Message, Sender},
};

/// The version that we write, and the highest that we read.
pub const VERSION: u64 = 1;
/// The most bytes of a message that is read.
pub const MAX_MESSAGE: usize = 128 * 1024;
/// How long a site may say that it is to be remembered.
const VALID: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);

/// Why a message is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// It is no AMQP message.
    #[error("it is malformed")]
    Malformed(#[from] DecodeError),
    /// It is longer than any that is sent.
    #[error("it has {0} bytes, of at most {MAX_MESSAGE}")]
    TooLarge(usize),
    /// It is of a later version.
    #[error("it is of version {0}, and only versions up to {VERSION} are known")]
    Version(u64),
    /// It says what nobody said when this was written.
    #[error("it has an operation that is not known")]
    Operation,
    /// Something is missing, or is something else than it should be.
    #[error("it has no {0}, or a wrong one")]
    Field(&'static str),
}

/// Writes a message to `address`.
pub fn encode(message: &Message, address: &str) -> Vec<u8> {
    let Message { from, content } = message;
    let valid = u64::try_from(from.valid.as_millis()).unwrap_or(u64::MAX);
    let mut body: Vec<(&str, Value)> = vec![
        ("v", VERSION.into()),
        ("op", operation(content).into()),
        ("site", (&*from.site).into()),
        ("instance", from.instance.into()),
        ("valid", valid.into()),
    ];
    if from.name != from.site {
        body.push(("name", (&*from.name).into()));
    }
    if from.edge {
        body.push(("edge", true.into()));
    }
    match content {
        Content::Digest(digest) => put_digest(&mut body, digest),
        Content::Changes(changes) => {
            put_digest(&mut body, &changes.digest);
            body.push(("after", changes.after.into()));
            body.push(("to", changes.to.into()));
            if changes.anew {
                body.push(("anew", true.into()));
            }
            if changes.left > 0 {
                body.push(("left", changes.left.into()));
            }
            body.push(("services", Value::List(changes.entries.iter().map(|entry| service(entry)).collect())));
        }
        Content::Request { site, instance, have } => {
            body.push(("of", (&**site).into()));
            body.push(("known", (*instance).into()));
            body.push(("have", (*have).into()));
        }
        Content::Bye => {}
    }
    let body = body.into_iter().map(|(key, value)| (key.into(), value)).collect();
    Amqp::value(Value::Map(body)).to(address).encoded()
}

const fn operation(content: &Content) -> &'static str {
    match content {
        Content::Digest(_) => "digest",
        Content::Changes(_) => "changes",
        Content::Request { .. } => "request",
        Content::Bye => "bye",
    }
}

fn put_digest(body: &mut Vec<(&str, Value)>, digest: &Digest) {
    body.push(("seq", digest.seq.into()));
    body.push(("count", digest.count.into()));
    body.push(("hash", digest.hash.into()));
}

/// A list of role, address, protocol, count, ports, labels. What is empty at its end is left out.
fn service(entry: &Entry) -> Value {
    let text = |text: &Arc<str>| Value::from(&**text);
    let ports = entry.ports.iter().map(|port| Value::from(*port)).collect();
    let labels = entry.labels.iter().map(|(key, value)| (text(key), text(value))).collect();
    let mut fields: Vec<Value> =
        vec![(entry.role as u8).into(), text(&entry.address), text(&entry.protocol), entry.count.into()];
    if !entry.ports.is_empty() || !entry.labels.is_empty() {
        fields.push(Value::List(ports));
    }
    if !entry.labels.is_empty() {
        fields.push(Value::Map(labels));
    }
    Value::List(fields)
}

/// Reads a message. Memory stays within a small multiple of its own size, of which no more is kept than the limits of entries allow.
///
/// # Errors
/// It is malformed, or of a later version.
pub fn decode(bytes: &Bytes, pool: &mut Pool) -> Result<Message, CodecError> {
    if bytes.len() > MAX_MESSAGE {
        return Err(CodecError::TooLarge(bytes.len()));
    }
    let Body::Value(body @ Value::Map(_)) = Amqp::decode(bytes)?.body else { return Err(CodecError::Field("body")) };
    let map = Fields(&body);
    let version = map.number("v")?;
    if version > VERSION {
        return Err(CodecError::Version(version));
    }
    let site = map.name("site", pool)?;
    let name = match body.get("name") {
        Some(_) => map.name("name", pool)?,
        None => Arc::clone(&site),
    };
    let from = Sender {
        site,
        name,
        edge: map.flag("edge"),
        instance: map.number("instance")?,
        valid: Duration::from_millis(map.number("valid")?).clamp(*VALID.start(), *VALID.end()),
    };
    let content = match body.get("op").and_then(Value::as_str) {
        Some("digest") => Content::Digest(map.digest()?),
        Some("changes") => {
            let mut unreadable = false;
            let services = body.get("services").and_then(Value::as_list).ok_or(CodecError::Field("services"))?;
            let mut entries = Vec::new();
            for service in services {
                match read_service(service, pool) {
                    Service::Known(entry) => entries.push(Arc::new(entry)),
                    Service::Later => {}
                    Service::Unreadable => unreadable = true,
                }
            }
            Content::Changes(Changes {
                digest: map.digest()?,
                after: map.number("after")?,
                to: map.number("to")?,
                anew: map.flag("anew"),
                left: body
                    .get("left")
                    .and_then(Value::as_u64)
                    .map_or(0, |left| u32::try_from(left).unwrap_or(u32::MAX)),
                entries,
                unreadable,
            })
        }
        Some("request") => {
            Content::Request { site: map.name("of", pool)?, instance: map.number("known")?, have: map.number("have")? }
        }
        Some("bye") => Content::Bye,
        _ => return Err(CodecError::Operation),
    };
    Ok(Message { from, content })
}

struct Fields<'a>(&'a Value);

impl Fields<'_> {
    fn number(&self, key: &'static str) -> Result<u64, CodecError> {
        self.0.get(key).and_then(Value::as_u64).ok_or(CodecError::Field(key))
    }

    fn flag(&self, key: &str) -> bool {
        self.0.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    fn name(&self, key: &'static str, pool: &mut Pool) -> Result<Arc<str>, CodecError> {
        let text = self.0.get(key).and_then(Value::as_str).filter(|text| !text.is_empty() && text.len() <= MAX_NAME);
        Ok(pool.texts.get(text.ok_or(CodecError::Field(key))?))
    }

    fn digest(&self) -> Result<Digest, CodecError> {
        let count = u32::try_from(self.number("count")?).map_err(|_| CodecError::Field("count"))?;
        Ok(Digest { seq: self.number("seq")?, count, hash: self.number("hash")? })
    }
}

/// What came of reading one.
enum Service {
    Known(Entry),
    /// Something that a later version knows and that we do not count.
    Later,
    Unreadable,
}

fn read_service(value: &Value, pool: &mut Pool) -> Service {
    let Some([role, address, protocol, count, rest @ ..]) = value.as_list() else { return Service::Unreadable };
    let Some(role) = role.as_u64() else { return Service::Unreadable };
    let Some(role) = Role::of_number(role) else { return Service::Later };
    let entry = (|| {
        let count = u32::try_from(count.as_u64()?).ok()?;
        let (address, protocol) = (address.as_str()?, protocol.as_str()?);
        let entry = Entry {
            role,
            address: address.into(),
            protocol: protocol.into(),
            count,
            ports: ports(rest.first())?.into(),
            labels: labels(rest.get(1))?,
        };
        // Only what is kept goes into the pool.
        entry.is_acceptable().then(|| pooled(entry, pool))
    })();
    entry.map_or(Service::Unreadable, Service::Known)
}

fn pooled(entry: Entry, pool: &mut Pool) -> Entry {
    let labels: Vec<_> = entry.labels.iter().map(|(key, value)| (pool.texts.get(key), pool.texts.get(value))).collect();
    Entry {
        address: pool.texts.get(&entry.address),
        protocol: pool.texts.get(&entry.protocol),
        ports: pool.ports.get(&entry.ports),
        labels: pool.labels.get(&labels),
        ..entry
    }
}

fn ports(value: Option<&Value>) -> Option<Vec<u16>> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Some(Vec::new()) };
    let list = value.as_list().filter(|list| list.len() <= MAX_PORTS)?;
    list.iter().map(|port| u16::try_from(port.as_u64()?).ok()).collect()
}

fn labels(value: Option<&Value>) -> Option<Labels> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Some([].into()) };
    let map = value.as_map().filter(|map| map.len() <= MAX_LABELS)?;
    map.iter().map(|(key, value)| Some((key.as_str()?.into(), value.as_str()?.into()))).collect()
}
