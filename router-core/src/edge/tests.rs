use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::codec::{decode_bid, decode_mesh, decode_tracking, encode_bid, encode_mesh, encode_tracking};
use super::*;
use crate::routing::{AddressBook, AddressEntry, Event, Hint};

fn drain(uplinks: &mut Uplinks) -> Vec<UplinkOutput> {
    std::iter::from_fn(|| uplinks.poll_output()).collect()
}

fn attach(conn: u64, key: &str, direction: Direction) -> UplinkOutput {
    UplinkOutput::Attach { conn, key: key.into(), direction }
}

fn detach(conn: u64, key: &str, direction: Direction) -> UplinkOutput {
    UplinkOutput::Detach { conn, key: key.into(), direction }
}

fn bind(conn: u64, key: &str, bound: bool) -> UplinkOutput {
    UplinkOutput::Bind { conn, key: key.into(), bound }
}

/// A connection to a router that has its number for a name.
fn uplink(conn: u64, ordinal: u64) -> Uplink {
    Uplink { conn, ordinal, router: conn.to_string().into(), ours: true, peer: false }
}

#[test]
fn the_first_connection_is_used_and_the_next_one_when_it_is_lost() {
    let mut edge = Uplinks::new(false);
    edge.consumers("Ma".into(), true, false);
    edge.opened(uplink(1, 0));
    edge.opened(uplink(2, 0));
    edge.opened(uplink(3, 0));
    edge.producers("Mb".into(), 0, true);
    edge.producers("Mb".into(), 1, true);
    assert_eq!(
        drain(&mut edge),
        [UplinkOutput::Activate { conn: 1 }, attach(1, "Ma", Direction::In), attach(1, "Mb", Direction::Out)]
    );
    edge.tracked(1, &"Mb".into(), true);
    edge.tracked(2, &"Mb".into(), false);
    edge.tracked(1, &"Mc".into(), true);
    assert_eq!(drain(&mut edge), [bind(1, "Mb", true)]);
    // That there is nobody is news, too.
    edge.producers("Md".into(), 0, true);
    edge.tracked(1, &"Md".into(), false);
    edge.tracked(1, &"Md".into(), false);
    edge.producers("Md".into(), 0, false);
    let about = [attach(1, "Md", Direction::Out), bind(1, "Md", false), detach(1, "Md", Direction::Out)];
    assert_eq!(drain(&mut edge), about);
    edge.closed(1);
    assert_eq!(
        drain(&mut edge),
        [
            bind(1, "Mb", false),
            UplinkOutput::Activate { conn: 2 },
            attach(2, "Ma", Direction::In),
            attach(2, "Mb", Direction::Out)
        ]
    );
    edge.closed(3);
    edge.producers("Mb".into(), 0, false);
    assert_eq!(drain(&mut edge), []);
    edge.producers("Mb".into(), 1, false);
    assert_eq!(drain(&mut edge), [detach(2, "Mb", Direction::Out)]);
}

#[test]
fn newer_credentials_take_over_and_refused_links_wait() {
    for all in [false, true] {
        let to_a = |conn, ordinal| Uplink { router: "A".into(), ..uplink(conn, ordinal) };
        let mut edge = Uplinks::new(all);
        edge.opened(to_a(1, 4));
        edge.opened(to_a(2, 3));
        edge.consumers("Ma".into(), true, false);
        edge.refused(1, "Ma".into(), Direction::In);
        drain(&mut edge);
        edge.consumers("Ma".into(), false, false);
        assert_eq!(drain(&mut edge), [], "there is no link to be detached");
        edge.consumers("Ma".into(), true, false);
        edge.producers("Mb".into(), 0, true);
        edge.producers("Mc".into(), 0, true);
        edge.tracked(1, &"Mb".into(), true);
        drain(&mut edge);
        edge.opened(to_a(3, 5));
        let mut to_three = vec![UplinkOutput::Activate { conn: 3 }, attach(3, "Ma", Direction::In)];
        to_three.extend(["Mb", "Mc"].map(|key| attach(3, key, Direction::Out)));
        assert_eq!(drain(&mut edge), to_three);
        // Until the new one can do the same, the old one does it.
        edge.ready(3);
        edge.tracked(3, &"Mc".into(), false);
        assert_eq!((drain(&mut edge), edge.used()), (vec![bind(3, "Mc", false)], &[1, 3][..]));
        edge.tracked(3, &"Mb".into(), true);
        let moved = [bind(3, "Mb", true), bind(1, "Mb", false), UplinkOutput::Retire { conn: 1 }];
        assert_eq!((drain(&mut edge), edge.used()), (moved.to_vec(), &[3][..]));
        edge.closed(3);
        assert_eq!(edge.used(), [1]);
        // One that comes while another is not ready yet, and is lost again.
        drain(&mut edge);
        edge.opened(to_a(4, 6));
        edge.opened(to_a(5, 7));
        assert_eq!(edge.used(), [1, 4, 5]);
        edge.closed(5);
        assert_eq!(edge.used(), [1, 4]);
        edge.ready(4);
        assert_eq!(edge.used(), [4]);
    }
}

#[test]
fn all_connections_to_routers_of_ours_are_used_at_once() {
    let mut edge = Uplinks::new(true);
    let foreign = |conn| Uplink { ours: false, ..uplink(conn, 9) };
    edge.consumers("Ma".into(), true, false);
    edge.consumers("Mcopies".into(), true, true);
    edge.producers("Mb".into(), 0, true);
    edge.opened(foreign(1));
    edge.opened(foreign(2));
    assert_eq!(edge.used(), [1], "the others stand by");
    edge.opened(uplink(3, 0));
    assert_eq!(edge.used(), [3]);
    drain(&mut edge);
    edge.opened(uplink(4, 0));
    // Only one gets copies.
    let second = [UplinkOutput::Activate { conn: 4 }, attach(4, "Ma", Direction::In), attach(4, "Mb", Direction::Out)];
    assert_eq!((drain(&mut edge), edge.used()), (second.to_vec(), &[3, 4][..]));
    edge.tracked(3, &"Mb".into(), true);
    edge.tracked(4, &"Mb".into(), true);
    assert_eq!(drain(&mut edge), [bind(3, "Mb", true), bind(4, "Mb", true)]);
    edge.consumers("Mnews".into(), true, true);
    assert_eq!(drain(&mut edge), [attach(3, "Mnews", Direction::In)]);
    edge.closed(3);
    let moved = [bind(3, "Mb", false), attach(4, "Mcopies", Direction::In), attach(4, "Mnews", Direction::In)];
    assert_eq!((drain(&mut edge), edge.used()), (moved.to_vec(), &[4][..]));
    edge.consumers("Mnews".into(), false, true);
    assert_eq!(drain(&mut edge), [detach(4, "Mnews", Direction::In)]);
    edge.opened(uplink(5, 0));
    edge.producers("Mb".into(), 0, false);
    let last = drain(&mut edge);
    assert!(last.ends_with(&[bind(4, "Mb", false), detach(4, "Mb", Direction::Out), detach(5, "Mb", Direction::Out)]));
}

#[test]
fn edge_routers_of_the_mesh_get_links_for_what_is_consumed_here() {
    let mut edge = Uplinks::new(false);
    let peer = |conn, router: &str| Uplink { peer: true, router: router.into(), ..uplink(conn, 0) };
    edge.consumers("Ma".into(), true, false);
    edge.consumers("Mcopies".into(), true, true);
    edge.producers("Mb".into(), 0, true);
    edge.opened(peer(1, "E2"));
    edge.opened(peer(2, "E3"));
    // Both sides may connect.
    edge.opened(peer(3, "E2"));
    let of = |conn| {
        [UplinkOutput::Activate { conn }, attach(conn, "Ma", Direction::In), attach(conn, "Mcopies", Direction::In)]
    };
    assert_eq!(drain(&mut edge), [of(1), of(2)].concat());
    edge.opened(uplink(4, 0));
    let up = [&of(4)[..], &[attach(4, "Mb", Direction::Out)]].concat();
    assert_eq!(drain(&mut edge), up);
    edge.tracked(2, &"Mb".into(), true);
    edge.closed(1);
    assert_eq!((drain(&mut edge), edge.used()), (of(3).to_vec(), &[2, 4, 3][..]));
    edge.closed(4);
    edge.closed(2);
    assert_eq!(drain(&mut edge), []);
    edge.consumers("Ma".into(), false, false);
    assert_eq!(drain(&mut edge), [detach(3, "Ma", Direction::In)]);
}

#[test]
fn the_lowest_ordinal_names_the_mesh() {
    let bid = |ordinal, id: &str| MeshBid { ordinal, id: id.into() };
    let mut mesh = Mesh::new(bid(5, "five"), false);
    assert_eq!((mesh.poll_change().as_deref(), mesh.poll_change()), (Some("five"), None));
    assert!(!mesh.heard(1, bid(7, "seven")) && !mesh.heard(2, bid(3, "three")));
    assert_eq!(mesh.poll_change().as_deref(), Some("three"));
    mesh.closed(2);
    assert_eq!(mesh.poll_change().as_deref(), Some("five"));
    // Our own, told by another, is no other.
    assert!(!mesh.heard(1, bid(5, "five")));
    assert!(mesh.heard(1, bid(5, "other")));
    mesh.offer(bid(9, "nine"));
    assert_eq!((mesh.own().ordinal, mesh.poll_change().as_deref()), (9, Some("other")));
    // One router that is reached in several ways says so while it is alone.
    let mut mesh = Mesh::new(bid(5, "five"), true);
    assert_eq!(&*mesh.id(), "~ive");
    mesh.heard(1, bid(7, "seven"));
    assert_eq!(&*mesh.id(), "five");
    mesh.closed(1);
    assert!(is_alone(&mesh.id()) && !is_alone("five"));
}

fn book(entries: &[(&str, &str, Option<&str>)]) -> AddressBook {
    let mut book = AddressBook::new();
    for (router, key, mesh) in entries {
        let entry = AddressEntry { key: (*key).into(), hint: None, in_links: 0, mesh: mesh.map(Arc::from) };
        book.apply(&Event::Addresses { router: (*router).into(), added: [entry].into(), removed: [].into() });
    }
    book
}

fn tracked(edges: &mut EdgeNeighbours) -> Vec<(u64, String, bool)> {
    let of = |output| match output {
        NeighbourOutput::Track { first: true, reachable: false, .. } => None,
        NeighbourOutput::Track { conn, key, reachable, .. } => Some((conn, key.to_string(), reachable)),
        NeighbourOutput::Address { .. } => None,
    };
    std::iter::from_fn(|| edges.poll_output()).filter_map(of).collect()
}

const MESH: &str = "aaaaaaaaaaaaaaa";

#[test]
fn an_edge_is_told_of_destinations_that_are_not_its_own() {
    let nobody = AddressBook::new();
    let mut edges = EdgeNeighbours::new();
    edges.producer(1, "Ma".into(), true, &nobody);
    let nowhere = NeighbourOutput::Track { conn: 1, key: "Ma".into(), reachable: false, first: true };
    assert_eq!(edges.poll_output(), Some(nowhere));
    edges.consumer(1, "Ma".into(), Hint::Balanced, true, &nobody);
    assert_eq!(tracked(&mut edges), []);
    edges.consumer(2, "Ma".into(), Hint::Balanced, true, &nobody);
    assert_eq!(tracked(&mut edges), [(1, "Ma".into(), true)]);
    edges.mesh(1, MESH.into(), &nobody);
    edges.mesh(2, MESH.into(), &nobody);
    assert_eq!(tracked(&mut edges), [(1, "Ma".into(), false)], "the mesh serves itself");
    edges.changed(&"Ma".into(), &book(&[("B", "Ma", Some(MESH))]));
    assert_eq!(tracked(&mut edges), []);
    edges.changed(&"Ma".into(), &book(&[("B", "Ma", None)]));
    assert_eq!(tracked(&mut edges), [(1, "Ma".into(), true)]);
    edges.refresh(&nobody);
    edges.local("Ma".into(), Some(Hint::Closest), &nobody);
    assert_eq!(tracked(&mut edges), [(1, "Ma".into(), false), (1, "Ma".into(), true)]);
    // Who attaches anew is told anew.
    edges.closed(1, &nobody);
    edges.producer(3, "Ma".into(), true, &nobody);
    assert_eq!(tracked(&mut edges), [(3, "Ma".into(), true)]);
    edges.local("Ma".into(), None, &nobody);
    edges.closed(2, &nobody);
    assert_eq!(tracked(&mut edges), [(3, "Ma".into(), false)]);
    edges.closed(3, &nobody);
    assert!(edges.addresses_is_empty());
}

#[test]
fn the_network_is_told_what_edges_consume() {
    let nobody = AddressBook::new();
    let mut edges = EdgeNeighbours::new();
    let states = |edges: &mut EdgeNeighbours| {
        let of = |output| match output {
            NeighbourOutput::Address { state, .. } => Some(state.map(|s| (s.hint, s.mesh.map(|m| m.to_string())))),
            NeighbourOutput::Track { .. } => None,
        };
        std::iter::from_fn(|| edges.poll_output()).filter_map(of).collect::<Vec<_>>()
    };
    edges.mesh(1, MESH.into(), &nobody);
    edges.consumer(1, "HE1".into(), Hint::Balanced, true, &nobody);
    assert_eq!(states(&mut edges), [Some((Some(Hint::Balanced), Some(MESH.into())))]);
    edges.local("HE1".into(), Some(Hint::Closest), &nobody);
    assert_eq!(states(&mut edges), [Some((Some(Hint::Closest), None))]);
    edges.local("HE1".into(), None, &nobody);
    edges.closed(1, &nobody);
    assert_eq!(states(&mut edges), [Some((Some(Hint::Balanced), Some(MESH.into()))), None]);
}

#[test]
fn messages_are_those_of_the_reference() {
    let mesh = encode_mesh(MESH);
    let expected = b"\x00\x53\x74\xd1\x00\x00\x00\x1d\x00\x00\x00\x02\xa3\x06meshid\xa1\x0faaaaaaaaaaaaaaa";
    assert!(mesh.ends_with(expected), "{mesh:02x?}");
    assert_eq!(decode_mesh(&mesh.into()), Ok(MESH.into()));
    let tracking = encode_tracking("MES_ALL_1", true, "0/A");
    let expected = b"\x00\x53\x77\xd0\x00\x00\x00\x10\x00\x00\x00\x02\xa1\x09MES_ALL_1\x41";
    assert!(tracking.ends_with(expected), "{tracking:02x?}");
    assert_eq!(decode_tracking(&tracking.into()), Ok(("MES_ALL_1".into(), true)));
    let bid = MeshBid { ordinal: 0x0006_615b_5501_4d51, id: "cXdi4h4ZmqEp08y".into() };
    let offer = encode_bid(&bid);
    // Seen on the wire.
    let expected = b"\x00\x80SKPR--RA\xd0\x00\x00\x00\x08\x00\x00\x00\x04C@@E\x00St\xd1\x00\x00\x00+\x00\x00\x00\x04\
        \xa3\x07ordinal\x81\x00\x06a[U\x01MQ\xa3\x02id\xa1\x0fcXdi4h4ZmqEp08y";
    assert_eq!(offer, expected);
    assert_eq!(decode_bid(&offer.into()), Ok(bid.clone()));
    assert!(decode_bid(&encode_bid(&MeshBid { id: "short".into(), ..bid }).into()).is_err());
    assert!(decode_bid(&encode_mesh(MESH).into()).is_err());
    assert!(decode_mesh(&encode_mesh("short").into()).is_err());
    assert!(decode_tracking(&encode_mesh(MESH).into()).is_err());
}

#[derive(Clone, Debug)]
enum Step {
    Opened(Uplink),
    Closed(u64),
    Consumers(u8, bool),
    Producers(u8, u16, bool),
    Tracked(u64, u8, bool),
    Refused(u64, u8, bool),
    Ready(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let opened = (1..7u64, 0..3u64, 0..4u8, any::<bool>()).prop_map(|(conn, ordinal, router, ours)| {
        let peer = router > 1;
        Step::Opened(Uplink { conn, ordinal, router: router.to_string().into(), ours: ours || router > 0, peer })
    });
    prop_oneof![
        opened,
        (1..7u64).prop_map(Step::Closed),
        (0..4u8, any::<bool>()).prop_map(|(key, here)| Step::Consumers(key, here)),
        (0..4u8, 0..2u16, any::<bool>()).prop_map(|(key, worker, here)| Step::Producers(key, worker, here)),
        (1..7u64, 0..4u8, any::<bool>()).prop_map(|(conn, key, up)| Step::Tracked(conn, key, up)),
        (1..7u64, 0..4u8, any::<bool>()).prop_map(|(conn, key, out)| Step::Refused(conn, key, out)),
        (1..7u64).prop_map(Step::Ready),
    ]
}

proptest! {
    /// Whoever does what it is told has links on the connections in use only, one for each address that needs one, one connection to each
    /// router, copies over one connection, and counts nothing that it does not need.
    #[test]
    fn links_are_those_that_are_needed(all in any::<bool>(), steps in proptest::collection::vec(step(), 0..60)) {
        let mut edge = Uplinks::new(all);
        let mut open: Vec<Uplink> = Vec::new();
        let mut used: Vec<u64> = Vec::new();
        let mut links: BTreeSet<(u64, Direction, Arc<str>)> = BTreeSet::new();
        let mut refused = links.clone();
        let (mut here, mut wanted) = (BTreeSet::new(), BTreeSet::new());
        let mut bound: BTreeMap<(u64, Arc<str>), bool> = BTreeMap::new();
        // Of the last of these addresses each consumer gets a copy.
        let copies = |key: &str| key == "M3";
        let name = |key: u8| Arc::<str>::from(format!("M{key}"));
        for step in steps {
            match step {
                Step::Opened(uplink) => if open.iter().all(|known| known.conn != uplink.conn) {
                    open.push(uplink.clone());
                    edge.opened(uplink);
                },
                Step::Closed(conn) => if open.iter().any(|known| known.conn == conn) {
                    open.retain(|known| known.conn != conn);
                    used.retain(|other| *other != conn);
                    links.retain(|link| link.0 != conn);
                    refused.retain(|link| link.0 != conn);
                    edge.closed(conn);
                },
                Step::Consumers(key, up) => {
                    if up { here.insert(name(key)); } else { here.remove(&name(key)); }
                    edge.consumers(name(key), up, copies(&name(key)));
                }
                Step::Producers(key, worker, up) => {
                    if up { wanted.insert((name(key), worker)); } else { wanted.remove(&(name(key), worker)); }
                    edge.producers(name(key), worker, up);
                }
                Step::Tracked(conn, key, up) => edge.tracked(conn, &name(key), up),
                Step::Ready(conn) => edge.ready(conn),
                Step::Refused(conn, key, out) => {
                    let direction = if out { Direction::Out } else { Direction::In };
                    let link = (conn, direction, name(key));
                    if links.remove(&link) {
                        refused.insert(link);
                        edge.refused(conn, name(key), direction);
                    }
                }
            }
            while let Some(output) = edge.poll_output() {
                match output {
                    UplinkOutput::Activate { conn } => {
                        prop_assert!(!used.contains(&conn) && open.iter().any(|known| known.conn == conn));
                        used.push(conn);
                    }
                    UplinkOutput::Retire { conn } => {
                        prop_assert!(used.contains(&conn));
                        used.retain(|other| *other != conn);
                        links.retain(|link| link.0 != conn);
                        refused.retain(|link| link.0 != conn);
                    }
                    UplinkOutput::Attach { conn, key, direction } => {
                        prop_assert!(used.contains(&conn));
                        let link = (conn, direction, key);
                        refused.remove(&link);
                        bound.remove(&(link.0, Arc::clone(&link.2)));
                        prop_assert!(links.insert(link));
                    }
                    UplinkOutput::Detach { conn, key, direction } => {
                        prop_assert!(used.contains(&conn));
                        prop_assert!(links.remove(&(conn, direction, key)));
                    }
                    UplinkOutput::Bind { conn, key, bound: now } => {
                        prop_assert!(bound.insert((conn, key), now) != Some(now));
                    }
                }
            }
            prop_assert_eq!(&used, edge.used());
            let routers = |which: &dyn Fn(&Uplink) -> bool| {
                open.iter().filter(|known| which(known)).map(|known| &known.router).collect::<BTreeSet<_>>().len()
            };
            let is_peer = |conn: &u64| open.iter().any(|known| known.conn == *conn && known.peer);
            let (ours, any) = (routers(&|known| known.ours && !known.peer), routers(&|known| !known.peer));
            let most = if all && ours > 0 { ours } else { any.min(1) };
            // Beside those that should be in use are those that bridge the time until others are ready, with older credentials.
            let up: Vec<&Uplink> = open.iter().filter(|known| !known.peer && used.contains(&known.conn)).collect();
            let newer = |old: &Uplink| up.iter().any(|new| new.ordinal > old.ordinal);
            prop_assert!(up.len() >= most && up.iter().filter(|known| !newer(known)).count() <= most);
            prop_assert_eq!(used.iter().filter(|conn| is_peer(conn)).count(), routers(&|known| known.peer));
            // What is needed and was not refused is there, and nothing else.
            let mut needed = BTreeSet::new();
            let first = used.iter().find(|conn| !is_peer(conn));
            for conn in &used {
                let peer = is_peer(conn);
                let here = here.iter().filter(|key| peer || first == Some(conn) || !copies(key));
                needed.extend(here.map(|key| (*conn, Direction::In, Arc::clone(key))));
                if peer {
                    continue;
                }
                needed.extend(wanted.iter().map(|(key, _)| (*conn, Direction::Out, Arc::clone(key))));
            }
            refused.retain(|link| needed.contains(link));
            let there: BTreeSet<_> = links.union(&refused).cloned().collect();
            prop_assert_eq!(there, needed);
            for ((conn, key), _) in bound.iter().filter(|(_, bound)| **bound) {
                prop_assert!(links.contains(&(*conn, Direction::Out, Arc::clone(key))));
            }
        }
    }
}
