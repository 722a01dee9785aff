//! Records of what a router carries, for collectors: the protocol that the field calls vanflow.
//!
//! A router is a *source*. It says so in beacons, tells attributes of its records as they change, and all of them when a collector asks. Nothing is
//! sent to addresses that nobody consumes from. A TCP connection through the network is one record, which belongs to the router of its listener;
//! the router of its connector tells that one what it knows. Requests that are seen in it are records of that router, too.
//!
//! Sans-io: time is an argument. What is told is bounded: a record goes out once a second at most, and of flows there are no more than
//! [`MAX_FLOWS`] at a time. Totals of listeners and connectors count flows without a record, too.

mod attribute;
mod codec;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use amqp_proto::Value;
use bytes::Bytes;

pub use attribute::{Attribute, RecordType, Said};
use codec::Heard;

/// Flows, and requests in them, that may have a record at a time; more begin without.
pub const MAX_FLOWS: usize = 5000;
/// After there were too many, none gets a record before there are so few.
const FEW_FLOWS: usize = 4990;

/// Flows without a record of which something is kept that others told.
const MAX_EARLY: usize = 1000;

/// How often records are told, and in how many parts all of them.
const TICK: Duration = Duration::from_millis(200);
const PARTS: usize = 5;
/// A heartbeat every so many ticks, and a beacon every so many heartbeats.
const HEARTBEAT: u64 = 10;
const BEACON: u64 = 5;
/// For how many ticks an ended flow is kept, because its other end may have more to say.
const KEEP: u64 = 25;
/// The same of other records, until they are told: each part had its turn by then.
const KEEP_TOLD: u64 = PARTS as u64 + 1;
/// Records in a message.
const BATCH: usize = 50;
/// Entries of the log that may wait to be told.
const MAX_LOG: usize = 200;

/// The address of beacons.
pub const BEACONS: &str = "mc/sfe.all";

/// What somebody may consume from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// Beacons of all sources.
    Beacons,
    /// Records and heartbeats of this one.
    Records,
    /// Its flows.
    Flows,
    /// Its log.
    Log,
}

impl Topic {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Beacons, Self::Records, Self::Flows, Self::Log];
}

/// A record of a source.
#[derive(Debug)]
struct Record {
    ty: RecordType,
    attributes: BTreeMap<Attribute, Said>,
    /// What has changed since it was told.
    changed: BTreeSet<Attribute>,
    /// The tick in which it ended.
    ended: Option<u64>,
}

impl Record {
    const fn topic(&self) -> Topic {
        match self.ty {
            RecordType::TransportFlow | RecordType::Request => Topic::Flows,
            RecordType::Log => Topic::Log,
            _ => Topic::Records,
        }
    }
}

/// A message to be sent, settled, to the address that it names.
pub type Transmit = Bytes;

/// The records of one router.
#[derive(Debug)]
pub struct Vanflow {
    source: String,
    start: Instant,
    /// Microseconds from 1970 to the start.
    epoch: u64,
    tick: u64,
    records: BTreeMap<u64, Record>,
    /// Records with something to tell, by part.
    dirty: [BTreeSet<u64>; PARTS],
    /// Ended records, the oldest first: those that others may have more to say of, and requests.
    ended: VecDeque<u64>,
    ended_requests: VecDeque<u64>,
    flows: usize,
    full: bool,
    next: u64,
    log: usize,
    listening: [bool; 4],
    /// A collector wants all records, which costs as much however many ask.
    flush: bool,
    /// The tick in which all records were told.
    flushed: u64,
    /// What others have told of flows of ours that have no record yet, and at which tick.
    early: BTreeMap<u64, (u64, BTreeMap<Attribute, Said>)>,
    /// What this router knows of flows that belong to others, by the address of their owner.
    others: BTreeMap<String, Vec<Value>>,
    output: VecDeque<Transmit>,
}

impl Vanflow {
    /// A source without records. `source`: five characters that no other router has; `epoch`: microseconds from 1970 to `now`.
    pub fn new(source: impl Into<String>, now: Instant, epoch: u64) -> Self {
        Self {
            source: source.into(),
            start: now,
            epoch,
            tick: 0,
            records: BTreeMap::new(),
            dirty: Default::default(),
            ended: VecDeque::new(),
            ended_requests: VecDeque::new(),
            flows: 0,
            full: false,
            next: 0,
            log: 0,
            listening: [false; 4],
            flush: false,
            flushed: 0,
            early: BTreeMap::new(),
            others: BTreeMap::new(),
            output: VecDeque::new(),
        }
    }

    /// The name of this source in identities.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The address of a topic.
    pub fn address(&self, topic: Topic) -> String {
        let source = &self.source;
        match topic {
            Topic::Beacons => BEACONS.to_owned(),
            Topic::Records => format!("mc/sfe.{source}:0"),
            Topic::Flows => format!("mc/sfe.{source}:0.flows"),
            Topic::Log => format!("mc/sfe.{source}:0.logs"),
        }
    }

    /// Where collectors ask for all records.
    pub fn commands(&self) -> String {
        format!("sfe.{}:0", self.source)
    }

    /// Where other routers tell what they know of our flows.
    pub fn co_records(&self) -> String {
        format!("vfcr.{}:0", self.source)
    }

    /// The identity of a record.
    pub fn identity(&self, record: u64) -> String {
        format!("{}:{record}", self.source)
    }

    /// Microseconds since 1970.
    pub fn micros(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.start).as_micros();
        self.epoch.saturating_add(u64::try_from(since).unwrap_or(u64::MAX))
    }

    /// Whether somebody consumes from a topic.
    pub fn is_heard(&self, topic: Topic) -> bool {
        self.listening[topic as usize]
    }

    /// Somebody consumes from a topic now, or nobody does any more.
    pub fn set_heard(&mut self, topic: Topic, heard: bool) {
        self.listening[topic as usize] = heard;
        if topic == Topic::Flows && !heard {
            // Nobody will hear of their ends.
            self.forget(|record| record.topic() == Topic::Flows);
            (self.flows, self.full) = (0, false);
            self.ended_requests.clear();
            // Entries of the log and other records that have ended are still to be told, and to go.
            self.ended.retain(|id| self.records.contains_key(id));
        }
    }

    /// Begins a record that is no flow. The first is the router's.
    pub fn open(&mut self, ty: RecordType, attributes: Vec<(Attribute, Said)>, now: Instant) -> u64 {
        let id = self.next;
        // Odd numbers are those of flows.
        self.next += 2;
        self.insert(id, ty, attributes, now);
        id
    }

    /// The same with a number of the caller's own: an even one that is higher than those of [`open`](Self::open) can become.
    pub fn open_as(&mut self, id: u64, ty: RecordType, attributes: Vec<(Attribute, Said)>, now: Instant) {
        self.insert(id, ty, attributes, now);
    }

    /// The number of the record of a flow: the `n`th of this worker.
    pub const fn flow_id(n: u64, worker: u64, workers: u64) -> u64 {
        2 * (n * workers + worker) + 1
    }

    /// Begins a record of a flow with the number that its worker gave it. False if there are too many, or nobody wants to know.
    pub fn open_flow(&mut self, id: u64, attributes: Vec<(Attribute, Said)>, now: Instant) -> bool {
        if !self.has_room(id) {
            return false;
        }
        self.insert(id, RecordType::TransportFlow, attributes, now);
        for (attribute, said) in self.early.remove(&id).into_iter().flat_map(|(_, attributes)| attributes) {
            self.set(id, attribute, said);
        }
        true
    }

    /// The same of a request in the flow with the number `flow`.
    pub fn open_request(&mut self, id: u64, flow: u64, mut attributes: Vec<(Attribute, Said)>, now: Instant) -> bool {
        if !self.records.contains_key(&flow) || !self.has_room(id) {
            return false;
        }
        attributes.push((Attribute::Parent, self.identity(flow).into()));
        self.insert(id, RecordType::Request, attributes, now);
        true
    }

    /// Counts one more flow, if it may have a record.
    fn has_room(&mut self, id: u64) -> bool {
        if !self.is_heard(Topic::Flows) || self.records.contains_key(&id) {
            return false;
        }
        self.full = self.flows >= MAX_FLOWS || (self.full && self.flows >= FEW_FLOWS);
        self.flows += usize::from(!self.full);
        !self.full
    }

    fn insert(&mut self, id: u64, ty: RecordType, attributes: Vec<(Attribute, Said)>, now: Instant) {
        let mut attributes: BTreeMap<Attribute, Said> = attributes.into_iter().collect();
        let start = self.micros(now);
        attributes.entry(Attribute::StartTime).or_insert(Said::Number(start));
        let changed = attributes.keys().copied().collect();
        self.records.insert(id, Record { ty, attributes, changed, ended: None });
        self.touch(id);
    }

    fn touch(&mut self, id: u64) {
        self.dirty[(id % PARTS as u64) as usize].insert(id);
    }

    /// Sets an attribute. Nothing is told if it was so already.
    pub fn set(&mut self, id: u64, attribute: Attribute, said: impl Into<Said>) {
        let said = said.into();
        let Some(record) = self.records.get_mut(&id) else { return };
        if record.attributes.get(&attribute) == Some(&said) {
            return;
        }
        record.attributes.insert(attribute, said);
        record.changed.insert(attribute);
        self.touch(id);
    }

    /// A record has ended. It is told once more.
    pub fn end(&mut self, id: u64, now: Instant) {
        let time = self.micros(now);
        let tick = self.tick;
        let Some(record) = self.records.get_mut(&id).filter(|record| record.ended.is_none()) else { return };
        record.ended = Some(tick);
        if record.topic() == Topic::Flows {
            self.flows = self.flows.saturating_sub(1);
        }
        let queue = if record.ty == RecordType::Request { &mut self.ended_requests } else { &mut self.ended };
        queue.push_back(id);
        self.set(id, Attribute::EndTime, time);
    }

    /// An entry of the log. Those that nobody can hear, and those of a flood, are left out.
    pub fn log(&mut self, attributes: Vec<(Attribute, Said)>, now: Instant) {
        if !self.is_heard(Topic::Log) || self.log >= MAX_LOG {
            return;
        }
        self.log += 1;
        let id = self.open(RecordType::Log, attributes, now);
        self.end(id, now);
    }

    /// What this router, which has the connector of a flow, knows of it. Its owner hears of it with the next tick.
    pub fn tell_owner(&mut self, identity: &str, attributes: &[(Attribute, Said)]) {
        let Some((source, _)) = identity.split_once(':').filter(|(source, _)| is_source(source)) else { return };
        let told = attributes.iter().map(|(attribute, said)| (*attribute, said));
        let record = codec::record(RecordType::TransportFlow, identity, told);
        self.others.entry(format!("vfcr.{source}:0")).or_default().push(record);
    }

    /// A message came to one of our addresses.
    pub fn handle_message(&mut self, message: &Bytes) {
        match codec::read(message) {
            Some(Heard::Flush) => self.flush = true,
            Some(Heard::Flows(flows)) => {
                for (identity, attributes) in flows {
                    let own = identity.strip_prefix(self.source.as_str()).and_then(|rest| rest.strip_prefix(':'));
                    let Some(id) = own.and_then(|id| id.parse().ok()) else { continue };
                    match self.records.get(&id) {
                        Some(record) if record.ty == RecordType::TransportFlow => {}
                        // The other router may have looked at its flows sooner than this one.
                        None if id % 2 == 1 && self.early.len() < MAX_EARLY => {
                            let early = self.early.entry(id).or_insert_with(|| (self.tick, BTreeMap::new()));
                            early.1.extend(attributes);
                            continue;
                        }
                        _ => continue,
                    }
                    for (attribute, said) in attributes {
                        self.set(id, attribute, said);
                    }
                }
            }
            None => {}
        }
    }

    /// Everything is to be told again.
    fn tell_all(&mut self) {
        let mut ids = Vec::with_capacity(self.records.len());
        for (id, record) in &mut self.records {
            record.changed = record.attributes.keys().copied().collect();
            ids.push(*id);
        }
        ids.into_iter().for_each(|id| self.touch(id));
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn poll_timeout(&self) -> Instant {
        self.start + TICK * u32::try_from(self.tick + 1).unwrap_or(u32::MAX)
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now < self.poll_timeout() {
            return;
        }
        // After a long sleep there is nothing to catch up with.
        self.tick = u64::try_from(now.saturating_duration_since(self.start).as_millis() / TICK.as_millis())
            .unwrap_or(u64::MAX)
            .max(self.tick + 1);
        let beat = self.tick / HEARTBEAT;
        if self.tick.is_multiple_of(HEARTBEAT) {
            let id = self.identity(0);
            if self.is_heard(Topic::Beacons) && (beat - 1).is_multiple_of(BEACON) {
                let to = self.address(Topic::Beacons);
                self.output.push_back(codec::beacon(&to, &id, &self.address(Topic::Records), &self.commands()));
            }
            if self.is_heard(Topic::Records) {
                self.output.push_back(codec::heartbeat(&self.address(Topic::Records), &id, self.micros(now)));
            }
        }
        for (to, records) in std::mem::take(&mut self.others) {
            self.write(&to, records);
        }
        if beat > 0 && self.flush && self.tick >= self.flushed + PARTS as u64 {
            // All at once: whoever asks has nothing to show until it knows the router, its listeners and its connectors.
            (self.flush, self.flushed) = (false, self.tick);
            self.tell_all();
            (0..PARTS).for_each(|part| self.tell_part(part));
        } else if beat > 0 {
            self.tell_part((self.tick % PARTS as u64) as usize);
        }
        self.forget_ended();
        self.early.retain(|_, (tick, _)| *tick + KEEP > self.tick);
    }

    /// Tells what has changed of the records of a part.
    fn tell_part(&mut self, part: usize) {
        let mut told: BTreeMap<Topic, Vec<Value>> = BTreeMap::new();
        let mut kept = BTreeSet::new();
        for id in std::mem::take(&mut self.dirty[part]) {
            let identity = self.identity(id);
            let Some(record) = self.records.get_mut(&id) else { continue };
            let topic = record.topic();
            if !self.listening[topic as usize] {
                kept.insert(id);
                continue;
            }
            let changed = std::mem::take(&mut record.changed);
            let attributes = changed.iter().filter_map(|changed| Some((*changed, record.attributes.get(changed)?)));
            told.entry(topic).or_default().push(codec::record(record.ty, &identity, attributes));
        }
        self.dirty[part] = kept;
        for (topic, records) in told {
            self.write(&self.address(topic), records);
        }
    }

    fn write(&mut self, to: &str, mut records: Vec<Value>) {
        while !records.is_empty() {
            let rest = records.split_off(records.len().min(BATCH));
            self.output.push_back(codec::records(to, std::mem::replace(&mut records, rest)));
        }
    }

    /// Ended records go when they were told; flows a little later.
    fn forget_ended(&mut self) {
        while let Some(id) = self.ended_requests.front().copied() {
            let ended = self.records.get(&id).and_then(|record| record.ended);
            if ended.is_some_and(|ended| self.tick < ended.saturating_add(KEEP_TOLD)) {
                break;
            }
            self.records.remove(&id);
            self.dirty[(id % PARTS as u64) as usize].remove(&id);
            self.ended_requests.pop_front();
        }
        while let Some(id) = self.ended.front().copied() {
            let Some(record) = self.records.get(&id) else {
                self.ended.pop_front();
                continue;
            };
            if record.ended.is_none_or(|ended| self.tick < ended.saturating_add(KEEP)) {
                return;
            }
            self.log -= usize::from(record.ty == RecordType::Log);
            self.records.remove(&id);
            self.dirty[(id % PARTS as u64) as usize].remove(&id);
            self.ended.pop_front();
        }
    }

    fn forget(&mut self, gone: impl Fn(&Record) -> bool) {
        self.records.retain(|_, record| !gone(record));
        for part in &mut self.dirty {
            part.retain(|id| self.records.contains_key(id));
        }
    }

    /// The next message to be sent. Poll until `None` after each call.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.output.pop_front()
    }
}

/// Whether a text is the name of a source, so that an address can be made of it.
fn is_source(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}
