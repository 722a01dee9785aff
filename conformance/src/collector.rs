//! A collector of flow records: hears of sources, and keeps everything that it was told.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::raw::{Heard, Session, V};
use crate::{PATIENCE, Router};

const PROPERTIES: u64 = 0x73;
const APPLICATION_PROPERTIES: u64 = 0x74;
const BODY: u64 = 0x77;

/// How long one session is listened to before the next.
const TURN: Duration = Duration::from_millis(20);

/// Kind of record: a router.
pub const ROUTER: u64 = 1;
/// A connector to another router.
pub const LINK: u64 = 2;
/// A TCP listener.
pub const LISTENER: u64 = 4;
/// A TCP connector.
pub const CONNECTOR: u64 = 5;
/// A listener for routers.
pub const ROUTER_ACCESS: u64 = 15;
/// A TCP connection.
pub const FLOW: u64 = 16;
/// A request in one.
pub const REQUEST: u64 = 17;
/// Attribute: parent.
pub const PARENT: u64 = 2;
/// Attribute: peer.
pub const PEER: u64 = 6;
/// Attribute: start.
pub const START: u64 = 3;
/// Attribute: end.
pub const END: u64 = 4;
/// Attribute: source host.
pub const SOURCE_HOST: u64 = 14;
/// Attribute: protocol.
pub const PROTOCOL: u64 = 16;
/// Attribute: address.
pub const ADDRESS: u64 = 19;
/// Attribute: octets.
pub const OCTETS: u64 = 23;
/// Attribute: latency.
pub const LATENCY: u64 = 24;
/// Attribute: method.
pub const METHOD: u64 = 27;
/// Attribute: result.
pub const RESULT: u64 = 28;
/// Attribute: reason.
pub const REASON: u64 = 29;
/// Attribute: name.
pub const NAME: u64 = 30;
/// Attribute: cost.
pub const COST: u64 = 33;
/// Attribute: flow count.
pub const FLOW_COUNT: u64 = 40;
/// Attribute: requests of a listener.
pub const REQUEST_COUNT: u64 = 41;
/// Attribute: stream of HTTP/2.
pub const STREAM: u64 = 47;
/// Attribute: links.
pub const LINKS: u64 = 52;
/// Attribute: status.
pub const STATUS: u64 = 53;
/// Attribute: reverse.
pub const REVERSE: u64 = 58;
/// Attribute: its connector.
pub const ITS_CONNECTOR: u64 = 60;
/// Attribute: process latency.
pub const PROCESS_LATENCY: u64 = 61;
/// Attribute: proxy host.
pub const PROXY_HOST: u64 = 62;
/// Attribute: error connector.
pub const ERROR_CONNECTOR: u64 = 65;

/// A collector: everything that it was told, by identity.
#[derive(Debug)]
pub struct Collector {
    port: u16,
    /// One for beacons, and one for each source.
    sessions: Vec<Session>,
    /// Identities of sources, with where they listen to commands.
    sources: BTreeMap<String, String>,
    /// Kinds and attributes.
    pub records: BTreeMap<String, (u64, BTreeMap<u64, V>)>,
    /// How many there were.
    pub heartbeats: usize,
}

impl Collector {
    /// One that is a client of this router.
    pub fn start(router: &Router) -> Self {
        let mut collector = Self {
            port: router.port,
            sessions: Vec::new(),
            sources: BTreeMap::new(),
            records: BTreeMap::new(),
            heartbeats: 0,
        };
        collector.consume(&["mc/sfe.all".to_owned()]);
        collector
    }

    fn consume(&mut self, addresses: &[String]) {
        let mut session = Session::begin(self.port);
        for (handle, address) in (0..).zip(addresses) {
            session.receiver(handle, Some(address), 10_000);
        }
        self.sessions.push(session);
    }

    /// Listens until it is so.
    pub fn until(&mut self, what: &str, so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !so(self) {
            assert!(begun.elapsed() < PATIENCE, "{what}: {:#?}", self.records);
            let heard: Vec<Heard> = self.sessions.iter_mut().map(|session| session.listen(TURN)).collect();
            for heard in heard {
                if let Heard::Delivery(delivery) = heard {
                    self.hear(&delivery.payload);
                }
            }
        }
    }

    fn hear(&mut self, mut payload: &[u8]) {
        let mut sections = BTreeMap::new();
        while !payload.is_empty() {
            let V::Desc(code, value) = V::read(&mut payload) else { panic!("no section") };
            sections.insert(code, *value);
        }
        let V::List(properties) = &sections[&PROPERTIES] else { panic!("no properties") };
        match properties[3].text() {
            Some("BEACON") => {
                let said = text_map(&sections[&APPLICATION_PROPERTIES]);
                if self.sources.insert(said["id"].clone(), said["direct"].clone()).is_none() {
                    let address = &said["address"];
                    self.consume(&[address.clone(), format!("{address}.flows"), format!("{address}.logs")]);
                    // What it told before all links were there.
                    self.flush(&said["id"]);
                }
            }
            Some("HEARTBEAT") => self.heartbeats += 1,
            Some("RECORD") => {
                let V::List(records) = &sections[&BODY] else { panic!("no records") };
                records.iter().for_each(|record| self.record(record));
            }
            other => panic!("{other:?}"),
        }
    }

    fn record(&mut self, record: &V) {
        let V::Map(entries) = record else { panic!("{record:?}") };
        let mut said: BTreeMap<u64, V> =
            entries.iter().map(|(key, value)| (key.number().unwrap(), value.clone())).collect();
        let (ty, identity) = (said.remove(&0).unwrap().number().unwrap(), said.remove(&1).unwrap());
        let identity = identity.text().unwrap().to_owned();
        self.records.entry(identity).or_insert((ty, BTreeMap::new())).1.extend(said);
    }

    /// The only record of a kind of which an attribute says this.
    pub fn find(&self, ty: u64, attribute: u64, text: &str) -> Option<(&str, &BTreeMap<u64, V>)> {
        let of = |(_, (kind, said)): &(&String, &(u64, BTreeMap<u64, V>))| {
            *kind == ty && said.get(&attribute).and_then(V::text) == Some(text)
        };
        let found: Vec<_> = self.records.iter().filter(of).collect();
        assert!(found.len() <= 1, "{found:?}");
        found.first().map(|(identity, (_, said))| (identity.as_str(), said))
    }

    /// All records of TCP connections.
    pub fn flows(&self) -> Vec<&BTreeMap<u64, V>> {
        self.all(FLOW)
    }

    /// All records of a kind.
    pub fn all(&self, ty: u64) -> Vec<&BTreeMap<u64, V>> {
        self.records.values().filter(|(kind, _)| *kind == ty).map(|(_, said)| said).collect()
    }

    /// Asks a source for everything.
    pub fn flush(&self, source: &str) {
        let to = &self.sources[source];
        let mut session = Session::begin(self.port);
        session.sender(0, Some(to));
        while !matches!(session.listen(PATIENCE), Heard::Credit(0, 1..)) {}
        let mut message = Vec::new();
        let properties = [V::Null, V::Null, V::str(to), V::str("FLUSH")];
        V::Desc(PROPERTIES, Box::new(V::List(properties.to_vec()))).write(&mut message);
        V::Desc(BODY, Box::new(V::Null)).write(&mut message);
        session.send(0, &message, false);
        while !matches!(session.listen(PATIENCE), Heard::Outcome(..)) {}
    }
}

fn text_map(map: &V) -> BTreeMap<String, String> {
    let V::Map(entries) = map else { panic!("{map:?}") };
    let text = |value: &V| value.text().map(str::to_owned);
    entries.iter().filter_map(|(key, value)| Some((text(key)?, text(value)?))).collect()
}

/// An attribute that is a number.
pub fn said(said: &BTreeMap<u64, V>, attribute: u64) -> Option<u64> {
    said.get(&attribute).and_then(V::number)
}
