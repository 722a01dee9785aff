//! Messages as bytes: as they are written, as later versions may write them, and as nobody should.

use std::{sync::Arc, time::Duration};

use amqp_proto::{Encode as _, Value, message::Message as Amqp};
use bytes::Bytes;
use proptest::prelude::*;

use super::world::{World, offer};
use crate::catalogue::{
    Changes, CodecError, Content, Digest, Entry, Message, Pool, Role, Sender, Target,
    codec::{self, decode, encode},
};

fn sender() -> Sender {
    Sender { site: "A".into(), name: "Berlin".into(), edge: true, instance: 7, valid: Duration::from_secs(15) }
}

fn entry(address: &str) -> Entry {
    Entry {
        role: Role::Wants,
        address: address.into(),
        protocol: "tcp".into(),
        count: 2,
        ports: [80, 8080].into(),
        labels: [("team".into(), "db".into())].into(),
    }
}

fn changes(entries: Vec<Arc<Entry>>) -> Message {
    let digest = Digest { seq: 10, count: 4, hash: u64::MAX };
    let changes = Changes { digest, after: 3, to: 9, anew: true, left: 2, entries, unreadable: false };
    Message { from: sender(), content: Content::Changes(changes) }
}

fn read(message: &Message) -> Message {
    decode(&encode(message, "x").into(), &mut Pool::new()).unwrap()
}

#[test]
fn what_is_written_is_read() {
    let plain = Entry { ports: [].into(), labels: [].into(), role: Role::Exposes, ..entry("b") };
    let messages = [
        changes(vec![Arc::new(entry("a")), Arc::new(plain), Arc::new(entry("c").gone())]),
        Message { from: sender(), content: Content::Digest(Digest { seq: 0, count: 0, hash: 0 }) },
        Message { from: sender(), content: Content::Request { site: "B".into(), instance: 1, have: u64::MAX } },
        Message { from: Sender { name: "A".into(), edge: false, ..sender() }, content: Content::Bye },
    ];
    for message in messages {
        assert_eq!(read(&message), message);
    }
}

#[test]
fn addresses_of_sites_are_those_of_their_routers() {
    let site = |edge| Target::Site { site: "A".into(), edge };
    assert_eq!(site(false).address(), "_topo/0/A/spanway.services");
    assert_eq!(site(true).address(), "_edge/A/spanway.services");
}

#[test]
fn what_sites_have_in_common_is_kept_once() {
    let mut pool = Pool::new();
    let mut entries = Vec::new();
    for _ in 0..2 {
        let message = decode(&encode(&changes(vec![Arc::new(entry("a"))]), "x").into(), &mut pool).unwrap();
        let Content::Changes(changes) = message.content else { panic!("{message:?}") };
        entries.extend(changes.entries);
    }
    let [a, b] = &entries[..] else { panic!("{entries:?}") };
    assert!(
        Arc::ptr_eq(&a.address, &b.address) && Arc::ptr_eq(&a.ports, &b.ports) && Arc::ptr_eq(&a.labels, &b.labels)
    );
}

/// A message with another body.
fn altered(change: impl FnOnce(&mut Vec<(Value, Value)>)) -> Bytes {
    let bytes = encode(&changes(vec![Arc::new(entry("a"))]), "x");
    let mut message = Amqp::decode(&bytes.into()).unwrap();
    let amqp_proto::message::Body::Value(Value::Map(map)) = &mut message.body else { panic!("a map") };
    change(map);
    message.encoded().into()
}

fn set(map: &mut Vec<(Value, Value)>, key: &str, value: Value) {
    map.retain(|(known, _)| known.as_str() != Some(key));
    map.push((key.into(), value));
}

#[test]
fn what_later_versions_add_is_skipped() {
    let later = altered(|map| {
        map.push(("colour".into(), Value::List(vec!["red".into()])));
        map.push((Value::Ubyte(1), Value::Null));
        let known = Value::List(vec![
            0_u8.into(),
            "b".into(),
            "tcp".into(),
            1_u32.into(),
            Value::Null,
            Value::Null,
            "more".into(),
        ]);
        let unknown = Value::List(vec![9_u8.into(), true.into(), Value::Null, Value::Null]);
        set(map, "services", Value::List(vec![known, unknown]));
    });
    let message = decode(&later, &mut Pool::new()).unwrap();
    let Content::Changes(changes) = message.content else { panic!("{message:?}") };
    assert!(!changes.unreadable);
    assert_eq!(changes.entries.iter().map(|entry| &*entry.address).collect::<Vec<_>>(), ["b"]);
    let higher = altered(|map| set(map, "v", 2_u8.into()));
    assert_eq!(decode(&higher, &mut Pool::new()), Err(CodecError::Version(2)));
    let unheard = altered(|map| set(map, "op", "dance".into()));
    assert_eq!(decode(&unheard, &mut Pool::new()), Err(CodecError::Operation));
}

#[test]
fn entries_beyond_the_limits_are_left_out_and_noticed() {
    let service = |address: String, ports: usize| {
        Value::List(vec![
            0_u8.into(),
            address.into(),
            "tcp".into(),
            1_u32.into(),
            Value::List((0..ports).map(|port| (port as u16).into()).collect()),
        ])
    };
    let wrong = [
        service("x".repeat(1025), 1),
        service(String::new(), 1),
        service("x".into(), 65),
        Value::List(vec![0_u8.into(), "x".into(), "tcp".into(), "many".into()]),
        Value::Null,
    ];
    for wrong in wrong {
        let bytes = altered(|map| set(map, "services", Value::List(vec![wrong, service("y".into(), 1)])));
        let Content::Changes(changes) = decode(&bytes, &mut Pool::new()).unwrap().content else { panic!() };
        assert!(changes.unreadable);
        assert_eq!(changes.entries.len(), 1);
    }
    for key in ["site", "name", "of"] {
        let long = altered(|map| {
            set(map, "op", "request".into());
            set(map, "known", 0_u8.into());
            set(map, "have", 0_u8.into());
            set(map, "of", "B".into());
            set(map, key, "x".repeat(256).into());
        });
        assert!(decode(&long, &mut Pool::new()).is_err(), "{key}");
    }
    let mut bytes = encode(&changes(Vec::new()), "x");
    bytes.resize(codec::MAX_MESSAGE + 1, 0);
    assert_eq!(decode(&bytes.into(), &mut Pool::new()), Err(CodecError::TooLarge(codec::MAX_MESSAGE + 1)));
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(&bytes.into(), &mut Pool::new());
    }

    /// Nearly right messages get further than random ones, into a site that goes on working.
    #[test]
    fn damaged_messages_are_survived(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        which in 0..4_usize,
        broadcast: bool,
    ) {
        let mut w = World::new(2, 1);
        w.put(0, "c", offer("db", 1));
        w.run(Duration::from_secs(2));
        let from = Sender { site: "site-0".into(), instance: 1, edge: false, ..sender() };
        let content = match which {
            0 => Content::Digest(Digest { seq: 1, count: 1, hash: 5 }),
            1 => changes(vec![Arc::new(entry("a")), Arc::new(entry("b"))]).content,
            2 => Content::Request { site: "site-1".into(), instance: 1, have: 0 },
            _ => Content::Bye,
        };
        let mut bytes = encode(&Message { from, content }, "x");
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        w.deliver(1, broadcast, &bytes.into());
        w.run(Duration::from_secs(100));
        // Whoever was made up is forgotten, and what was told wrongly is told rightly.
        w.agree(Duration::from_secs(3600 * 2));
    }
}
