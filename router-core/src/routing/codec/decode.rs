//! Bytes to messages.

use std::time::Duration;

use amqp_proto::{
    DecodeError, Raw, Reader, Value,
    codec::code,
    message::{SectionKind, Sections},
};
use bytes::Bytes;

use super::{MAX_ID, MAX_KEY, error::MessageError};
use crate::routing::message::{
    AddressEntry, AddressKey, Hello, Hint, LinkStateRequest, LinkStateUpdate, LoadEntry, Loads, MAX_COST, Message,
    MobileAddressRequest, MobileAddressUpdate, MobileContent, Peer, RouterAdvertisement, RouterId,
};
use crate::{intern::Interner, routing::Load};

/// Reads a complete message. Router annotations in front of it are left out.
///
/// Memory stays within a small multiple of the message's own size.
///
/// # Errors
/// If it is malformed, or no message of the routing protocol; see [`MessageError`].
pub fn decode(bytes: &Bytes, interner: &mut Interner) -> Result<Message, MessageError> {
    let (mut opcode, mut body) = (None, None);
    for section in Sections::new(bytes) {
        let section = section?;
        match section.kind {
            SectionKind::ApplicationProperties => opcode = find_opcode(Reader::part(bytes, section.value_range()))?,
            SectionKind::Value => body = Some(Reader::part(bytes, section.value_range())),
            _ => {}
        }
    }
    let opcode = opcode.ok_or(MessageError::NoOpcode)?;
    let opcode = match opcode.as_str().unwrap_or_default() {
        "HELLO" => "HELLO",
        "RA" => "RA",
        "LSU" => "LSU",
        "LSR" => "LSR",
        "MAU" => "MAU",
        "MAR" => "MAR",
        "LOADS" => "LOADS",
        // A peer can make this long; what a log needs is short.
        other => return Err(MessageError::UnknownOpcode(other.chars().take(32).collect())),
    };
    let mut body = body.ok_or(MessageError::NoBody { opcode })?;
    let map = Map::read(opcode, &mut body)?;
    Body { opcode, map, interner }.message()
}

fn find_opcode(mut properties: Reader<'_>) -> Result<Option<Value>, DecodeError> {
    let (mut entries, count) = properties.map()?;
    for _ in 0..count / 2 {
        let is_opcode = key(&mut entries)?.as_deref() == Some("opcode".as_bytes());
        if is_opcode {
            return read(&mut entries).map(Some);
        }
        entries.skip()?;
    }
    Ok(None)
}

fn read<T: amqp_proto::Decode>(reader: &mut Reader<'_>) -> Result<T, DecodeError> {
    T::decode(reader)
}

/// The bytes of a key that is a string or a symbol; `None` for other keys.
fn key(reader: &mut Reader<'_>) -> Result<Option<Bytes>, DecodeError> {
    let raw: Raw = read(reader)?;
    let head = match raw.as_bytes() {
        [code::STRING8 | code::SYMBOL8, ..] => 2,
        [code::STRING32 | code::SYMBOL32, ..] => 5,
        _ => return Ok(None),
    };
    Ok(Some(raw.bytes().slice(head..)))
}

/// The entries of a body that the protocol knows, unread.
#[derive(Default)]
struct Map {
    id: Option<Raw>,
    pv: Option<Raw>,
    instance: Option<Raw>,
    seen: Option<Raw>,
    ls_seq: Option<Raw>,
    mobile_seq: Option<Raw>,
    ls: Option<Raw>,
    peers: Option<Raw>,
    add: Option<Raw>,
    del: Option<Raw>,
    exist: Option<Raw>,
    have_seq: Option<Raw>,
    interval: Option<Raw>,
    cost: Option<Raw>,
    loads: Option<Raw>,
}

impl Map {
    fn read(opcode: &'static str, reader: &mut Reader<'_>) -> Result<Self, MessageError> {
        let wrap = |source| MessageError::Entry { opcode, key: "body", source };
        let (mut entries, count) = reader.map().map_err(wrap)?;
        let mut map = Self::default();
        for _ in 0..count / 2 {
            let key = key(&mut entries).map_err(wrap)?.unwrap_or_default();
            let value: Raw = read(&mut entries).map_err(wrap)?;
            let slot = match &*key {
                b"id" => &mut map.id,
                b"pv" => &mut map.pv,
                b"instance" => &mut map.instance,
                b"seen" => &mut map.seen,
                b"ls_seq" => &mut map.ls_seq,
                b"mobile_seq" => &mut map.mobile_seq,
                b"ls" => &mut map.ls,
                b"peers" => &mut map.peers,
                b"add" => &mut map.add,
                b"del" => &mut map.del,
                b"exist" => &mut map.exist,
                b"have_seq" => &mut map.have_seq,
                b"interval_ms" => &mut map.interval,
                b"cost" => &mut map.cost,
                b"loads" => &mut map.loads,
                _ => continue,
            };
            *slot = Some(value);
        }
        entries.finish().map_err(wrap)?;
        Ok(map)
    }
}

struct Body<'a> {
    opcode: &'static str,
    map: Map,
    interner: &'a mut Interner,
}

impl Body<'_> {
    fn message(mut self) -> Result<Message, MessageError> {
        let id = self.map.id.take();
        let id = self.id("id", id)?;
        let pv = self.map.pv.take();
        let version = self.optional("pv", pv)?.unwrap_or(0);
        let version = u32::try_from(version).map_err(|_| self.invalid("pv", "a version"))?;
        let instance = self.map.instance.take();
        let instance = self.optional("instance", instance)?.unwrap_or(0);
        Ok(match self.opcode {
            "HELLO" => {
                let seen = self.map.seen.take();
                let seen = self.list("seen", seen)?;
                let seen = self.items("seen", &seen, |body, item| body.text("seen", item, MAX_ID))?;
                let (interval, cost) = (self.map.interval.take(), self.map.cost.take());
                let interval = self.optional("interval_ms", interval)?.and_then(|ms| u64::try_from(ms).ok());
                let cost = self.optional("cost", cost)?.and_then(|cost| u32::try_from(cost).ok());
                let interval = interval.map(Duration::from_millis);
                Message::Hello(Hello { id, version, instance, seen, interval, cost })
            }
            "RA" => {
                let (ls_seq, mobile_seq) = (self.map.ls_seq.take(), self.map.mobile_seq.take());
                let loads = self.map.loads.take();
                Message::RouterAdvertisement(RouterAdvertisement {
                    id,
                    version,
                    instance,
                    ls_seq: self.sequence("ls_seq", ls_seq)?,
                    mobile_seq: self.sequence("mobile_seq", mobile_seq)?,
                    loads: self.optional("loads", loads)?.is_some_and(|version| version > 0),
                })
            }
            "LSU" => self.link_state(id, version, instance)?,
            "LSR" => Message::LinkStateRequest(LinkStateRequest { id, version }),
            "MAU" => {
                let mobile_seq = self.map.mobile_seq.take();
                let mobile_seq = self.sequence("mobile_seq", mobile_seq)?;
                let content = self.content()?;
                Message::MobileAddressUpdate(MobileAddressUpdate { id, version, mobile_seq, content })
            }
            "LOADS" => {
                let loads = self.map.loads.take();
                let loads = self.list("loads", loads)?;
                let entries = self.items("loads", &loads, |body, item| body.load(item))?.into();
                Message::Loads(Loads { id, version, entries })
            }
            _ => {
                let have_seq = self.map.have_seq.take();
                let have_seq = self.sequence("have_seq", have_seq)?;
                Message::MobileAddressRequest(MobileAddressRequest { id, version, have_seq })
            }
        })
    }

    fn link_state(&mut self, id: RouterId, version: u32, instance: i64) -> Result<Message, MessageError> {
        let ls = self.map.ls.take().ok_or_else(|| self.missing("ls"))?;
        let mut ls = Map::read(self.opcode, &mut Reader::new(ls.bytes()))?;
        // What counts is the sequence number of the state; that of the message is the same one.
        let ls_seq = self.sequence("ls_seq", ls.ls_seq.take())?;
        let of = self.id("id", ls.id.take())?;
        if of != id {
            return Err(self.invalid("ls", "the link state of the sender"));
        }
        let peers = ls.peers.take().ok_or_else(|| self.missing("peers"))?;
        let mut reader = Reader::new(peers.bytes());
        let (mut entries, count) = reader.map().map_err(|source| self.entry("peers", source))?;
        let mut peers = Vec::new();
        for _ in 0..count / 2 {
            let id: Raw = read(&mut entries).map_err(|source| self.entry("peers", source))?;
            let id = self.text("peers", &id, MAX_ID)?;
            let cost: Value = read(&mut entries).map_err(|source| self.entry("peers", source))?;
            let cost =
                cost.as_u64().and_then(|cost| u32::try_from(cost).ok()).filter(|cost| (1..=MAX_COST).contains(cost));
            let cost = cost.ok_or_else(|| self.invalid("peers", "a map of ids to costs of 1 or more"))?;
            peers.push(Peer { id, cost });
        }
        Ok(Message::LinkStateUpdate(LinkStateUpdate { id, version, instance, ls_seq, peers: peers.into() }))
    }

    fn content(&mut self) -> Result<MobileContent, MessageError> {
        match (self.map.exist.take(), self.map.add.take(), self.map.del.take()) {
            (exist @ Some(_), None, None) => {
                let exist = self.list("exist", exist)?;
                Ok(MobileContent::Absolute { exist: self.items("exist", &exist, |b, i| b.address("exist", i))?.into() })
            }
            (None, add @ Some(_), del @ Some(_)) => {
                let (add, del) = (self.list("add", add)?, self.list("del", del)?);
                let add = self.items("add", &add, |b, i| b.address("add", i))?;
                let del = self.items("del", &del, |b, i| b.address("del", i).map(|entry| entry.key))?;
                Ok(MobileContent::Differential { add: add.into(), del: del.into() })
            }
            _ => Err(MessageError::MixedUpdate),
        }
    }

    /// An address descriptor: a list of key, treatment, number of in-links, something reserved, mesh. All but the key may be absent.
    fn address(&mut self, key: &'static str, item: &Raw) -> Result<AddressEntry, MessageError> {
        const FORM: &str = "a list of addresses, each a list of its key and what is known about it";
        let mut reader = Reader::new(item.bytes());
        let (mut fields, count) = reader.list().map_err(|source| self.entry(key, source))?;
        let mut entry = None;
        for index in 0..count.min(5) {
            let field: Raw = read(&mut fields).map_err(|source| self.entry(key, source))?;
            let Some(entry) = &mut entry else {
                let name = self.text(key, &field, MAX_KEY)?;
                entry = Some(AddressEntry { key: name, hint: None, in_links: 0, mesh: None });
                continue;
            };
            match index {
                _ if field.is_null() => {}
                1 => entry.hint = Hint::of_number(self.integer(key, &field)?),
                2 => entry.in_links = self.integer(key, &field)?.clamp(0, u32::MAX.into()) as u32,
                4 => entry.mesh = Some(self.text(key, &field, MAX_ID)?),
                _ => {}
            }
        }
        entry.ok_or_else(|| self.invalid(key, FORM))
    }

    /// A list of key, number of consumers, number of what is outstanding; perhaps more.
    fn load(&mut self, item: &Raw) -> Result<LoadEntry, MessageError> {
        let mut reader = Reader::new(item.bytes());
        let (mut fields, count) = reader.list().map_err(|source| self.entry("loads", source))?;
        if count < 3 {
            return Err(self.invalid("loads", "a list of addresses, each a list of its key and two numbers"));
        }
        let mut field = || read::<Raw>(&mut fields).map_err(|source| self.entry("loads", source));
        let (key, consumers, outstanding) = (field()?, field()?, field()?);
        let key = self.text("loads", &key, MAX_KEY)?;
        let number = |raw: &Raw| self.integer("loads", raw).map(|number| number.clamp(0, u32::MAX.into()) as u32);
        let load = Load { consumers: number(&consumers)?, outstanding: number(&outstanding)? };
        Ok(LoadEntry { key, load })
    }

    fn list(&self, key: &'static str, value: Option<Raw>) -> Result<Raw, MessageError> {
        value.ok_or_else(|| self.missing(key))
    }

    /// Reads the elements of a list. Room is made for each as it comes, not for a count.
    fn items<T>(
        &mut self,
        key: &'static str,
        list: &Raw,
        mut item: impl FnMut(&mut Self, &Raw) -> Result<T, MessageError>,
    ) -> Result<Vec<T>, MessageError> {
        let mut reader = Reader::new(list.bytes());
        let (mut items, count) = reader.list().map_err(|source| self.entry(key, source))?;
        let mut found = Vec::new();
        for _ in 0..count {
            let raw: Raw = read(&mut items).map_err(|source| self.entry(key, source))?;
            found.push(item(self, &raw)?);
        }
        Ok(found)
    }

    fn id(&mut self, key: &'static str, value: Option<Raw>) -> Result<RouterId, MessageError> {
        let value = value.ok_or_else(|| self.missing(key))?;
        self.text(key, &value, MAX_ID)
    }

    /// A string (or a symbol) of 1 to `max` bytes.
    fn text(&mut self, key: &'static str, raw: &Raw, max: usize) -> Result<AddressKey, MessageError> {
        let value: Value = raw.to_value().map_err(|source| self.entry(key, source))?;
        match value.as_str() {
            Some(text) if !text.is_empty() && text.len() <= max => Ok(self.interner.get(text)),
            Some(_) => Err(self.invalid(key, "of a length that names have")),
            None => Err(self.invalid(key, "made of strings")),
        }
    }

    fn integer(&self, key: &'static str, raw: &Raw) -> Result<i64, MessageError> {
        let value: Value = raw.to_value().map_err(|source| self.entry(key, source))?;
        value.as_i64().ok_or_else(|| self.invalid(key, "an integer"))
    }

    fn optional(&self, key: &'static str, value: Option<Raw>) -> Result<Option<i64>, MessageError> {
        value.filter(|raw| !raw.is_null()).map(|raw| self.integer(key, &raw)).transpose()
    }

    fn sequence(&self, key: &'static str, value: Option<Raw>) -> Result<u64, MessageError> {
        let value = value.ok_or_else(|| self.missing(key))?;
        u64::try_from(self.integer(key, &value)?).map_err(|_| self.invalid(key, "a sequence number"))
    }

    const fn missing(&self, key: &'static str) -> MessageError {
        MessageError::Missing { opcode: self.opcode, key }
    }

    const fn invalid(&self, key: &'static str, expected: &'static str) -> MessageError {
        MessageError::Invalid { opcode: self.opcode, key, expected }
    }

    const fn entry(&self, key: &'static str, source: DecodeError) -> MessageError {
        MessageError::Entry { opcode: self.opcode, key, source }
    }
}
