//! Bytes as the reference writes them.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::routing::{
    Load,
    message::{
        AddressEntry, Hello, Hint, LinkStateRequest, LinkStateUpdate, LoadEntry, Loads, Message, MobileAddressRequest,
        MobileAddressUpdate, MobileContent, Peer, RouterAdvertisement,
    },
    output::{LinkId, Target},
};

/// `"00 53 'opcode'"`: hexadecimal bytes, and texts in quotes.
fn bytes(text: &str) -> Bytes {
    let mut out = Vec::new();
    for (i, part) in text.split('\'').enumerate() {
        if i % 2 == 1 {
            out.extend_from_slice(part.as_bytes());
        } else {
            out.extend(part.split_whitespace().map(|hex| u8::from_str_radix(hex, 16).unwrap()));
        }
    }
    out.into()
}

/// Both ways.
fn vector(message: &Message, to: &Target, wire: &str) {
    let wire = bytes(wire);
    let encoded = Bytes::from(encode(message, to));
    assert_eq!(encoded, wire, "{message:?}");
    assert_eq!(encoded_len(message, to), wire.len());
    assert_eq!(&decode(&wire, &mut Interner::new()).unwrap(), message);
    // What stands in front on the wire.
    let annotations = bytes(
        "00 80 53 4b 50 52 2d 2d 52 41 d0 00 00 00 19 00 00 00 04 43 40 a1 03 '0/A' d0 00 00 00 09 00 00 00 01 a1 03 '0/A'",
    );
    let whole = Bytes::from([annotations, wire].concat());
    assert_eq!(&decode(&whole, &mut Interner::new()).unwrap(), message);
}

const HEADER: &str = "00 53 70 d0 00 00 00 05 00 00 00 01 42 ";

fn entry(key: &str, hint: Hint, in_links: u32, mesh: Option<&str>) -> AddressEntry {
    AddressEntry { key: key.into(), hint: Some(hint), in_links, mesh: mesh.map(Arc::from) }
}

#[test]
fn hello() {
    let hello = Hello {
        id: "A".into(),
        version: 1,
        instance: 1_700_000_000,
        seen: vec!["B".into()],
        interval: None,
        cost: None,
    };
    let wire = "00 53 73 d0 00 00 00 1f 00 00 00 06 40 40 a1 14 'amqp:/_local/qdhello' 40 40 40
        00 53 74 d1 00 00 00 13 00 00 00 02 a1 06 'opcode' a1 05 'HELLO'
        00 53 77 d1 00 00 00 3b 00 00 00 0a a1 02 'id' a1 01 'A' a1 02 'pv' 54 01 a1 04 'area' a1 01 '0'
        a1 08 'instance' 71 65 53 f1 00 a1 04 'seen' d0 00 00 00 07 00 00 00 01 a1 01 'B'";
    vector(&Message::Hello(hello), &Target::Hop(LinkId(1)), &format!("{HEADER}{wire}"));
}

#[test]
fn hello_of_a_router_that_hears_nobody() {
    let hello = Hello { id: "C".into(), version: 1, instance: 1_795_384_095, seen: vec![], interval: None, cost: None };
    let wire = "00 53 73 d0 00 00 00 1f 00 00 00 06 40 40 a1 14 'amqp:/_local/qdhello' 40 40 40
        00 53 74 d1 00 00 00 13 00 00 00 02 a1 06 'opcode' a1 05 'HELLO'
        00 53 77 d1 00 00 00 30 00 00 00 0a a1 02 'id' a1 01 'C' a1 02 'pv' 54 01 a1 04 'area' a1 01 '0'
        a1 08 'instance' 71 6b 03 63 1f a1 04 'seen' 45";
    vector(&Message::Hello(hello), &Target::Hop(LinkId(1)), &format!("{HEADER}{wire}"));
}

#[test]
fn router_advertisement() {
    let ra = RouterAdvertisement {
        id: "A".into(),
        version: 1,
        instance: 1_700_000_000,
        ls_seq: 3,
        mobile_seq: 300,
        loads: false,
    };
    let wire = "00 53 73 d0 00 00 00 25 00 00 00 06 40 40 a1 1a 'amqp:/_topo/0/all/qdrouter' 40 40 40
        00 53 74 d1 00 00 00 10 00 00 00 02 a1 06 'opcode' a1 02 'RA'
        00 53 77 d1 00 00 00 44 00 00 00 0c a1 02 'id' a1 01 'A' a1 02 'pv' 54 01 a1 04 'area' a1 01 '0'
        a1 08 'instance' 71 65 53 f1 00 a1 06 'ls_seq' 54 03 a1 0a 'mobile_seq' 71 00 00 01 2c";
    vector(&Message::RouterAdvertisement(ra), &Target::AllRouters, &format!("{HEADER}{wire}"));
}

#[test]
fn link_state_update() {
    let update = LinkStateUpdate {
        id: "A".into(),
        version: 1,
        instance: 1_700_000_000,
        ls_seq: 2,
        peers: [Peer { id: "B".into(), cost: 1 }, Peer { id: "C".into(), cost: 500 }].into(),
    };
    let wire = "00 53 73 d0 00 00 00 23 00 00 00 06 40 40 a1 18 'amqp:/_topo/0/B/qdrouter' 40 40 40
        00 53 74 d1 00 00 00 11 00 00 00 02 a1 06 'opcode' a1 03 'LSU'
        00 53 77 d1 00 00 00 77 00 00 00 0c a1 02 'id' a1 01 'A' a1 02 'pv' 54 01 a1 04 'area' a1 01 '0'
        a1 08 'instance' 71 65 53 f1 00 a1 06 'ls_seq' 54 02
        a1 02 'ls' d1 00 00 00 3b 00 00 00 08 a1 02 'id' a1 01 'A' a1 04 'area' a1 01 '0' a1 06 'ls_seq' 54 02
        a1 05 'peers' d1 00 00 00 11 00 00 00 04 a1 01 'B' 54 01 a1 01 'C' 71 00 00 01 f4";
    vector(&Message::LinkStateUpdate(update), &Target::Router("B".into()), &format!("{HEADER}{wire}"));
}

#[test]
fn link_state_request() {
    let request = LinkStateRequest { id: "A".into(), version: 1 };
    let wire = "00 53 73 d0 00 00 00 23 00 00 00 06 40 40 a1 18 'amqp:/_topo/0/B/qdrouter' 40 40 40
        00 53 74 d1 00 00 00 11 00 00 00 02 a1 06 'opcode' a1 03 'LSR'
        00 53 77 d1 00 00 00 1a 00 00 00 06 a1 02 'id' a1 01 'A' a1 02 'pv' 54 01 a1 04 'area' a1 01 '0'";
    vector(&Message::LinkStateRequest(request), &Target::Router("B".into()), &format!("{HEADER}{wire}"));
}

#[test]
fn differential_address_update() {
    let update = MobileAddressUpdate {
        id: "A".into(),
        version: 2,
        mobile_seq: 200,
        content: MobileContent::Differential {
            add: [entry("Msvc", Hint::Balanced, 0, None), entry("HEB1", Hint::Balanced, 0, Some("abcdefghijklmno"))]
                .into(),
            del: ["Mold".into()].into(),
        },
    };
    let wire = "00 53 73 d0 00 00 00 1f 00 00 00 03 40 40 a1 17 '_topo/0/all/qdrouter.ma'
        00 53 74 d1 00 00 00 11 00 00 00 02 a3 06 'opcode' a1 03 'MAU'
        00 53 77 d1 00 00 00 92 00 00 00 0c a3 02 'id' a1 01 'A' a3 02 'pv' 55 02 a3 04 'area' a1 01 '0'
        a3 0a 'mobile_seq' 81 00 00 00 00 00 00 00 c8
        a3 03 'add' d0 00 00 00 3c 00 00 00 02
        d0 00 00 00 0e 00 00 00 03 a1 04 'Msvc' 54 03 54 00
        d0 00 00 00 20 00 00 00 05 a1 04 'HEB1' 54 03 54 00 40 a1 0f 'abcdefghijklmno'
        a3 03 'del' d0 00 00 00 13 00 00 00 01 d0 00 00 00 0a 00 00 00 01 a1 04 'Mold'";
    vector(&Message::MobileAddressUpdate(update), &Target::AllRouters, &format!("{HEADER}{wire}"));
}

/// A list without elements is written as a list of no elements in the wide form.
#[test]
fn absolute_address_update_and_empty_lists() {
    let update = MobileAddressUpdate {
        id: "A".into(),
        version: 2,
        mobile_seq: 5,
        content: MobileContent::Absolute { exist: [].into() },
    };
    let wire = "00 53 73 d0 00 00 00 23 00 00 00 03 40 40 a1 1b 'amqp:/_topo/0/B/qdrouter.ma'
        00 53 74 d1 00 00 00 11 00 00 00 02 a3 06 'opcode' a1 03 'MAU'
        00 53 77 d1 00 00 00 38 00 00 00 0a a3 02 'id' a1 01 'A' a3 02 'pv' 55 02 a3 04 'area' a1 01 '0'
        a3 0a 'mobile_seq' 55 05 a3 05 'exist' d0 00 00 00 04 00 00 00 00";
    vector(&Message::MobileAddressUpdate(update), &Target::Router("B".into()), &format!("{HEADER}{wire}"));
}

#[test]
fn mobile_address_request() {
    let request = MobileAddressRequest { id: "A".into(), version: 2, have_seq: 4 };
    let wire = "00 53 73 d0 00 00 00 23 00 00 00 03 40 40 a1 1b 'amqp:/_topo/0/B/qdrouter.ma'
        00 53 74 d1 00 00 00 11 00 00 00 02 a3 06 'opcode' a1 03 'MAR'
        00 53 77 d1 00 00 00 26 00 00 00 08 a3 02 'id' a1 01 'A' a3 02 'pv' 55 02 a3 04 'area' a1 01 '0'
        a3 08 'have_seq' 55 04";
    vector(&Message::MobileAddressRequest(request), &Target::Router("B".into()), &format!("{HEADER}{wire}"));
}

/// The reference has no such entry, and skips it.
#[test]
fn router_advertisement_of_ours() {
    let ra = RouterAdvertisement { id: "A".into(), version: 1, instance: 1, ls_seq: 3, mobile_seq: 3, loads: true };
    let wire = "00 53 73 d0 00 00 00 25 00 00 00 06 40 40 a1 1a 'amqp:/_topo/0/all/qdrouter' 40 40 40
        00 53 74 d1 00 00 00 10 00 00 00 02 a1 06 'opcode' a1 02 'RA'
        00 53 77 d1 00 00 00 47 00 00 00 0e a1 02 'id' a1 01 'A' a1 02 'pv' 54 01 a1 04 'area' a1 01 '0'
        a1 08 'instance' 54 01 a1 06 'ls_seq' 54 03 a1 0a 'mobile_seq' 54 03 a1 05 'loads' 54 01";
    vector(&Message::RouterAdvertisement(ra), &Target::AllRouters, &format!("{HEADER}{wire}"));
}

#[test]
fn loads() {
    let entry =
        |key: &str, consumers, outstanding| LoadEntry { key: key.into(), load: Load { consumers, outstanding } };
    let entries = [entry("Ma", 2, 300)].into();
    let wire = "00 53 73 d0 00 00 00 1f 00 00 00 03 40 40 a1 17 '_topo/0/all/qdrouter.ma'
        00 53 74 d1 00 00 00 13 00 00 00 02 a3 06 'opcode' a1 05 'LOADS'
        00 53 77 d1 00 00 00 42 00 00 00 08 a3 02 'id' a1 01 'A' a3 02 'pv' 55 02 a3 04 'area' a1 01 '0'
        a3 05 'loads' d0 00 00 00 1c 00 00 00 01 d0 00 00 00 13 00 00 00 03 a1 02 'Ma' 55 02 81 00 00 00 00 00 00 01 2c";
    let loads = Loads { id: "A".into(), version: 2, entries };
    vector(&Message::Loads(loads), &Target::AllRouters, &format!("{HEADER}{wire}"));
    let wrong = "00 53 74 d1 00 00 00 13 00 00 00 02 a3 06 'opcode' a1 05 'LOADS'
        00 53 77 c1 17 04 a3 02 'id' a1 01 'A' a3 05 'loads' c0 06 01 c0 03 01 a1 00";
    let error = decode(&bytes(wrong), &mut Interner::new()).unwrap_err().to_string();
    assert!(error.starts_with("LOADS"), "{error}");
}

/// Another encoder may choose other forms of the same.
#[test]
fn narrow_forms_and_other_integers_are_read() {
    let wire = bytes(
        "00 a3 17 'amqp:properties:list' 45
        00 53 74 c1 10 02 a3 06 'opcode' a1 05 'HELLO'",
    );
    assert!(decode(&wire, &mut Interner::new()).is_err(), "a symbol of 23 bytes was announced, and 20 are there");
    let wire = bytes(
        "00 53 74 c1 11 04 a3 01 'x' 41 a3 06 'opcode' a3 02 'RA'
        00 53 77 c1 4f 0e a3 05 'extra' d1 00 00 00 04 00 00 00 00
        a1 02 'id' b1 00 00 00 01 'A' 54 07 40 a3 02 'pv' 43
        a3 08 'instance' 80 00 00 00 00 00 00 00 09 a3 06 'ls_seq' 50 02 a3 0a 'mobile_seq' 60 00 03",
    );
    let ra = RouterAdvertisement { id: "A".into(), version: 0, instance: 9, ls_seq: 2, mobile_seq: 3, loads: false };
    assert_eq!(decode(&wire, &mut Interner::new()), Ok(Message::RouterAdvertisement(ra)));
}

#[test]
fn what_is_wrong_is_said() {
    let hello = |body: &str| {
        let head = "00 53 74 d1 00 00 00 13 00 00 00 02 a1 06 'opcode' a1 05 'HELLO' 00 53 77 ";
        decode(&bytes(&format!("{head}{body}")), &mut Interner::new()).unwrap_err().to_string()
    };
    assert_eq!(hello("c1 01 00"), "HELLO has no \"id\"");
    assert_eq!(hello("c1 07 02 a1 02 'id' a1 00"), "HELLO: \"id\" is not of a length that names have");
    assert_eq!(hello("c1 07 02 a1 02 'id' 54 01"), "HELLO: \"id\" is not made of strings");
    assert_eq!(hello("c1 08 02 a1 02 'id' a1 01 'A'"), "HELLO has no \"seen\"");
    assert!(hello("45").starts_with("HELLO: \"body\": constructor 0x45"));
    let other = |text: &str| decode(&bytes(text), &mut Interner::new()).unwrap_err();
    assert_eq!(other("00 53 77 40"), MessageError::NoOpcode);
    assert_eq!(
        other("00 53 74 c1 0c 02 a1 06 'opcode' a1 01 'X' 00 53 77 40"),
        MessageError::UnknownOpcode("X".into())
    );
    assert_eq!(other("00 53 74 c1 0d 02 a1 06 'opcode' a1 02 'RA'"), MessageError::NoBody { opcode: "RA" });
    let lsu = "00 53 74 c1 0e 02 a1 06 'opcode' a1 03 'LSU' 00 53 77 c1 39 06 a1 02 'id' a1 01 'A' a1 06 'ls_seq' 54 01
        a1 02 'ls' c1 21 06 a1 02 'id' a1 01 'A' a1 06 'ls_seq' 54 01 a1 05 'peers' c1 06 02 a1 01 'B' 54 00";
    assert_eq!(other(lsu).to_string(), "LSU: \"peers\" is not a map of ids to costs of 1 or more");
}

fn id() -> impl Strategy<Value = Arc<str>> {
    "[A-Za-zäö0-9_-]{1,40}".prop_map(Arc::from)
}

fn entries() -> impl Strategy<Value = Arc<[AddressEntry]>> {
    let hint = prop_oneof![Just(None), (0..5_i64).prop_map(Hint::of_number)];
    let one = (id(), hint, 0..=i32::MAX as u32, prop::option::of(id()))
        .prop_map(|(key, hint, in_links, mesh)| AddressEntry { key, hint, in_links, mesh });
    prop::collection::vec(one, 0..20).prop_map(Arc::from)
}

fn message() -> impl Strategy<Value = Message> {
    let seq = || 0..=i64::MAX as u64;
    let version = 0..4_u32;
    let head = (id(), version, any::<i64>());
    let peers = prop::collection::vec((id(), 1..=i32::MAX as u32).prop_map(|(id, cost)| Peer { id, cost }), 0..20);
    let content = prop_oneof![
        entries().prop_map(|exist| MobileContent::Absolute { exist }),
        (entries(), prop::collection::vec(id(), 0..20))
            .prop_map(|(add, del)| MobileContent::Differential { add, del: del.into() }),
    ];
    (head, seq(), seq(), prop::collection::vec(id(), 0..20), peers, content, 0..7).prop_map(
        |((id, version, instance), a, b, seen, peers, content, kind)| match kind {
            0 => {
                let interval = (a % 2 == 0).then(|| std::time::Duration::from_millis(a % 100_000));
                let cost = u32::try_from(b % 100_000).ok().filter(|cost| cost % 2 == 0);
                Message::Hello(Hello { id, version, instance, seen, interval, cost })
            }
            1 => Message::RouterAdvertisement(RouterAdvertisement {
                id,
                version,
                instance,
                ls_seq: a,
                mobile_seq: b,
                loads: a % 3 == 0,
            }),
            2 => Message::LinkStateUpdate(LinkStateUpdate { id, version, instance, ls_seq: a, peers: peers.into() }),
            3 => Message::LinkStateRequest(LinkStateRequest { id, version }),
            4 => Message::MobileAddressUpdate(MobileAddressUpdate { id, version, mobile_seq: a, content }),
            5 => Message::MobileAddressRequest(MobileAddressRequest { id, version, have_seq: b }),
            _ => {
                let load = |n: usize| Load { consumers: n as u32, outstanding: a as u32 };
                let entry = |(n, key)| LoadEntry { key, load: load(n) };
                Message::Loads(Loads { id, version, entries: seen.into_iter().enumerate().map(entry).collect() })
            }
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read(message in message()) {
        let wire = Bytes::from(encode(&message, &Target::AllRouters));
        prop_assert_eq!(decode(&wire, &mut Interner::new()), Ok(message));
    }

    #[test]
    fn damaged_messages_do_no_harm(message in message(), at in any::<prop::sample::Index>(), byte in any::<u8>(), end in any::<prop::sample::Index>()) {
        let mut wire = encode(&message, &Target::AllRouters);
        let at = at.index(wire.len());
        wire[at] = byte;
        let _ = decode(&wire.clone().into(), &mut Interner::new());
        wire.truncate(end.index(wire.len()));
        let _ = decode(&wire.into(), &mut Interner::new());
    }

    #[test]
    fn noise_does_no_harm(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut wire = bytes("00 53 74 c1 0e 02 a1 06 'opcode' a1 03 'MAU' 00 53 77").to_vec();
        wire.extend(noise);
        let _ = decode(&wire.into(), &mut Interner::new());
    }
}
