use std::time::{Duration, Instant};

use amqp_proto::{
    Encode as _, Value,
    message::{Body, Message, Properties},
};
use bytes::Bytes;
use proptest::prelude::*;

use super::*;

struct World {
    flow: Vanflow,
    now: Instant,
}

/// A record that was told: its kind, identity and attributes.
type Told = (u64, String, BTreeMap<u64, Value>);

impl World {
    fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "a test has to begin at some time")]
        let now = Instant::now();
        let mut flow = Vanflow::new("abcde", now, 1_000_000);
        flow.open(RecordType::Router, vec![(Attribute::Name, "0/A".into())], now);
        Self { flow, now }
    }

    fn heard(topics: &[Topic]) -> Self {
        let mut world = Self::new();
        topics.iter().for_each(|topic| world.flow.set_heard(*topic, true));
        world
    }

    /// Lets time pass, and answers what was sent.
    fn pass(&mut self, ms: u64) -> Vec<Message> {
        let end = self.now + Duration::from_millis(ms);
        let mut sent = Vec::new();
        while self.now < end {
            self.now = self.flow.poll_timeout().min(end);
            self.flow.handle_timeout(self.now);
            sent.extend(std::iter::from_fn(|| self.flow.poll_transmit()).map(|bytes| Message::decode(&bytes).unwrap()));
        }
        sent
    }

    /// The records among what was sent, with where they went.
    fn told(&mut self, ms: u64) -> Vec<(String, Told)> {
        self.pass(ms).iter().flat_map(told).collect()
    }
}

fn to(message: &Message) -> String {
    message.properties.as_ref().unwrap().to.as_ref().unwrap().as_str().unwrap().to_owned()
}

fn subject(message: &Message) -> &str {
    message.properties.as_ref().unwrap().subject.as_ref().unwrap().as_str()
}

fn told(message: &Message) -> Vec<(String, Told)> {
    let Body::Value(Value::List(records)) = &message.body else { return Vec::new() };
    assert_eq!(subject(message), "RECORD");
    assert!(records.len() <= BATCH);
    let number = |value: &Value| match value {
        Value::Uint(n) => u64::from(*n),
        other => panic!("{other:?}"),
    };
    let read = |record: &Value| {
        let Value::Map(entries) = record else { panic!("{record:?}") };
        assert_eq!((number(&entries[0].0), number(&entries[1].0)), (0, 1));
        let attributes = entries[2..].iter().map(|(key, value)| (number(key), value.clone())).collect();
        (to(message), (number(&entries[0].1), entries[1].1.as_str().unwrap().to_owned(), attributes))
    };
    records.iter().map(read).collect()
}

fn message(subject: &str, body: Value) -> Bytes {
    let properties = Properties { subject: Some(subject.into()), ..Properties::default() };
    Message { properties: Some(properties), body: Body::Value(body), ..Message::default() }.encoded().into()
}

fn flow_attributes() -> Vec<(Attribute, Said)> {
    vec![(Attribute::Parent, "abcde:2".into()), (Attribute::SourceHost, "10.0.0.1".into())]
}

#[test]
fn nothing_is_sent_where_nobody_listens() {
    let mut world = World::new();
    assert!(!world.flow.open_flow(1, flow_attributes(), world.now));
    world.flow.log(vec![(Attribute::LogText, "no".into())], world.now);
    assert_eq!(world.pass(30_000).len(), 0);
    assert_eq!(world.flow.records.len(), 1, "nothing is kept for nobody");
}

#[test]
fn beacons_and_heartbeats_come_at_their_times() {
    let mut world = World::heard(&[Topic::Beacons, Topic::Records]);
    let sent = world.pass(22_000);
    let count = |what: &str| sent.iter().filter(|message| subject(message) == what).count();
    assert_eq!((count("BEACON"), count("HEARTBEAT"), count("RECORD")), (3, 11, 1));
    let beacon = sent.iter().find(|message| subject(message) == "BEACON").unwrap();
    assert_eq!(to(beacon), "mc/sfe.all");
    let expected = vec![
        ("v".into(), Value::Uint(1)),
        ("sourceType".into(), "ROUTER".into()),
        ("id".into(), "abcde:0".into()),
        ("address".into(), "mc/sfe.abcde:0".into()),
        ("direct".into(), "sfe.abcde:0".into()),
    ];
    assert_eq!(beacon.application_properties, Some(Value::Map(expected)));
    let heartbeat = sent.iter().find(|message| subject(message) == "HEARTBEAT").unwrap();
    assert_eq!(to(heartbeat), "mc/sfe.abcde:0");
    let Some(Value::Map(properties)) = &heartbeat.application_properties else { panic!() };
    assert_eq!(properties[1], ("now".into(), Value::Ulong(3_000_000)));
}

#[test]
fn changes_are_told_once_a_second_and_all_of_a_record_on_request() {
    let mut world = World::heard(&[Topic::Records]);
    let first = world.told(3_000);
    let [(to, (ty, identity, attributes))] = &first[..] else { panic!("{first:?}") };
    assert_eq!((to.as_str(), *ty, identity.as_str()), ("mc/sfe.abcde:0", 1, "abcde:0"));
    assert_eq!(attributes[&30], "0/A".into());
    assert_eq!(attributes[&3], Value::Ulong(1_000_000), "since when");
    for version in 0..10 {
        world.flow.set(0, Attribute::BuildVersion, format!("{version}"));
    }
    world.flow.set(0, Attribute::Name, "0/A");
    let changes = world.told(1_000);
    let [(_, (_, _, attributes))] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!(attributes.iter().collect::<Vec<_>>(), [(&32, &"9".into())]);
    assert_eq!(world.told(5_000), []);
    world.flow.handle_message(&message("FLUSH", Value::Null));
    let all = world.told(1_000);
    assert_eq!(all[0].1.2.len(), 3);
}

#[test]
fn all_records_are_told_at_once_but_only_once_a_second() {
    let mut world = World::heard(&[Topic::Records]);
    for n in 1..8 {
        world.flow.open(RecordType::Connector, vec![(Attribute::Name, format!("{n}").into())], world.now);
    }
    assert_eq!(world.told(3_000).len(), 8);
    world.flow.handle_message(&message("FLUSH", Value::Null));
    assert_eq!(world.told(200).len(), 8, "in one tick");
    world.flow.handle_message(&message("FLUSH", Value::Null));
    assert_eq!(world.told(800), []);
    assert_eq!(world.told(200).len(), 8);
    assert_eq!(world.told(2_000), []);
}

#[test]
fn a_flow_is_told_to_its_end_and_its_other_end_may_add_to_it() {
    let mut world = World::heard(&[Topic::Flows]);
    world.pass(3_000);
    assert!(world.flow.open_flow(7, flow_attributes(), world.now));
    assert!(!world.flow.open_flow(7, flow_attributes(), world.now), "it has one already");
    let begun = world.told(1_000);
    let [(to, (ty, identity, _))] = &begun[..] else { panic!("{begun:?}") };
    assert_eq!((to.as_str(), *ty, identity.as_str()), ("mc/sfe.abcde:0.flows", 16, "abcde:7"));
    world.flow.set(7, Attribute::Octets, 10);
    world.flow.end(7, world.now);
    assert_eq!(world.told(1_000)[0].1.2.keys().copied().collect::<Vec<_>>(), [4, 23]);
    let late = codec::record(
        RecordType::TransportFlow,
        "abcde:7",
        [(Attribute::ProxyHost, &"10.0.0.2".into()), (Attribute::Parent, &"evil".into())].into_iter(),
    );
    let foreign = codec::record(RecordType::TransportFlow, "other:7", std::iter::empty());
    let router = codec::record(RecordType::Router, "abcde:0", [(Attribute::ProxyHost, &"no".into())].into_iter());
    world.flow.handle_message(&message("RECORD", Value::List(vec![foreign, router, late])));
    let added = world.told(1_000);
    assert_eq!(added.len(), 1);
    assert_eq!(added[0].1.2.keys().copied().collect::<Vec<_>>(), [62], "only what it may say");
    assert!(world.flow.records.contains_key(&7));
    world.pass(4_000);
    assert!(!world.flow.records.contains_key(&7), "after five seconds it is forgotten");
}

#[test]
fn what_the_other_end_tells_too_early_is_kept_for_a_while() {
    let mut world = World::heard(&[Topic::Flows]);
    world.pass(3_000);
    let proxy = |identity: &str| {
        let said = [(Attribute::ProxyHost, &"10.0.0.2".into())];
        message("RECORD", Value::List(vec![codec::record(RecordType::TransportFlow, identity, said.into_iter())]))
    };
    world.flow.handle_message(&proxy("abcde:7"));
    assert!(world.flow.open_flow(7, flow_attributes(), world.now));
    assert!(world.told(1_000)[0].1.2.contains_key(&62));
    world.flow.handle_message(&proxy("abcde:9"));
    world.pass(6_000);
    assert!(world.flow.early.is_empty());
    for n in 0..2_000 {
        world.flow.handle_message(&proxy(&format!("abcde:{}", 2 * n + 11)));
    }
    assert_eq!(world.flow.early.len(), MAX_EARLY);
}

#[test]
fn an_owner_is_told_by_its_address() {
    let mut world = World::new();
    world.flow.tell_owner("xyz12:9", &[(Attribute::OctetsReverse, 5.into())]);
    world.flow.tell_owner("not/an:1", &[(Attribute::OctetsReverse, 5.into())]);
    world.flow.tell_owner("nothing", &[]);
    let told = world.told(200);
    let [(to, (ty, identity, attributes))] = &told[..] else { panic!("{told:?}") };
    assert_eq!((to.as_str(), *ty, identity.as_str()), ("vfcr.xyz12:0", 16, "xyz12:9"));
    assert_eq!(attributes[&58], Value::Ulong(5));
}

#[test]
fn there_are_only_so_many_flows_with_a_record() {
    let mut world = World::heard(&[Topic::Flows]);
    let id = |n| Vanflow::flow_id(n, 0, 1);
    for n in 0..MAX_FLOWS as u64 {
        assert!(world.flow.open_flow(id(n), Vec::new(), world.now));
    }
    assert!(!world.flow.open_flow(id(9_000), Vec::new(), world.now));
    for n in 0..10 {
        world.flow.end(id(n), world.now);
        assert!(!world.flow.open_flow(id(9_000), Vec::new(), world.now), "not before there are few enough");
    }
    world.flow.end(id(10), world.now);
    assert!(world.flow.open_flow(id(9_000), Vec::new(), world.now));
    let told = world.told(3_000);
    assert_eq!(told.len(), MAX_FLOWS + 1);
    world.flow.set_heard(Topic::Flows, false);
    assert_eq!(world.flow.records.len(), 1);
    assert_eq!(world.told(3_000), []);
}

#[test]
fn requests_belong_to_their_flow_and_go_when_they_were_told() {
    let mut world = World::heard(&[Topic::Flows]);
    world.pass(3_000);
    assert!(!world.flow.open_request(9, 7, Vec::new(), world.now), "there is no such flow");
    assert!(world.flow.open_flow(7, flow_attributes(), world.now));
    assert!(world.flow.open_request(9, 7, vec![(Attribute::Method, "GET".into())], world.now));
    world.flow.end(9, world.now);
    assert!(world.flow.open_request(11, 7, Vec::new(), world.now));
    let told = world.told(1_000);
    assert_eq!(told.iter().map(|(_, (ty, ..))| *ty).collect::<Vec<_>>(), [17, 16, 17]);
    let (to, (_, identity, said)) = &told[0];
    assert_eq!((to.as_str(), identity.as_str()), ("mc/sfe.abcde:0.flows", "abcde:11"));
    assert_eq!(said[&2], "abcde:7".into());
    let (_, (_, identity, said)) = &told[2];
    assert_eq!((identity.as_str(), &said[&27]), ("abcde:9", &"GET".into()));
    assert!(said.contains_key(&4));
    // Nobody else has anything to say of it.
    let other = [(Attribute::ProxyHost, &"10.0.0.2".into())];
    let other = codec::record(RecordType::TransportFlow, "abcde:11", other.into_iter());
    world.flow.handle_message(&message("RECORD", Value::List(vec![other])));
    assert_eq!(world.told(1_000), []);
    assert!(!world.flow.records.contains_key(&9));
    assert!(world.flow.records.contains_key(&7) && world.flow.records.contains_key(&11));
    // They count as flows do.
    assert_eq!(world.flow.flows, 2);
    world.flow.set_heard(Topic::Flows, false);
    assert_eq!((world.flow.records.len(), world.flow.flows), (1, 0));
}

#[test]
fn a_flood_of_the_log_is_cut() {
    let mut world = World::heard(&[Topic::Log]);
    for n in 0..1_000 {
        world.flow.log(vec![(Attribute::LogText, format!("{n}").into())], world.now);
    }
    assert_eq!(world.told(4_000).len(), MAX_LOG);
    world.pass(5_000);
    world.flow.log(vec![(Attribute::LogText, "again".into())], world.now);
    let told = world.told(2_000);
    assert_eq!((told.len(), told[0].0.as_str()), (1, "mc/sfe.abcde:0.logs"));
    world.pass(10_000);
    assert_eq!(world.flow.records.len(), 1);
}

#[test]
fn other_records_go_though_nobody_collects_flows_any_more() {
    let mut world = World::heard(&[Topic::Flows, Topic::Log]);
    for _ in 0..2 * MAX_LOG {
        world.flow.log(vec![(Attribute::LogText, "full".into())], world.now);
    }
    let listener = world.flow.open(RecordType::Listener, Vec::new(), world.now);
    world.flow.end(listener, world.now);
    world.flow.set_heard(Topic::Flows, false);
    world.pass(10_000);
    assert_eq!(world.flow.records.len(), 1);
    world.flow.log(vec![(Attribute::LogText, "again".into())], world.now);
    assert_eq!(world.told(2_000).len(), 1);
}

proptest! {
    #[test]
    fn any_message_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut world = World::heard(&Topic::ALL);
        world.flow.handle_message(&Bytes::from(bytes));
        world.pass(1_000);
    }
}
