use std::collections::BTreeSet;

use proptest::prelude::*;

use super::codec::{decode_mesh, decode_tracking, encode_mesh, encode_tracking};
use super::*;
use crate::routing::{AddressBook, AddressEntry, Event, Hint};

fn drain(uplinks: &mut Uplinks) -> Vec<UplinkOutput> {
    std::iter::from_fn(|| uplinks.poll_output()).collect()
}

fn attach(conn: u64, key: &str, direction: Direction) -> UplinkOutput {
    UplinkOutput::Attach { conn, key: key.into(), direction }
}

fn bind(key: &str, bound: bool) -> UplinkOutput {
    UplinkOutput::Bind { key: key.into(), bound }
}

#[test]
fn the_first_connection_is_used_and_the_next_one_when_it_is_lost() {
    let mut edge = Uplinks::new();
    edge.consumers("Ma".into(), true);
    edge.opened(1, 0);
    edge.opened(2, 0);
    edge.opened(3, 0);
    edge.producers("Mb".into(), 0, true);
    edge.producers("Mb".into(), 1, true);
    assert_eq!(
        drain(&mut edge),
        [UplinkOutput::Activate { conn: 1 }, attach(1, "Ma", Direction::In), attach(1, "Mb", Direction::Out)]
    );
    edge.tracked(1, &"Mb".into(), true);
    edge.tracked(2, &"Mb".into(), false);
    edge.tracked(1, &"Mc".into(), true);
    assert_eq!(drain(&mut edge), [bind("Mb", true)]);
    edge.closed(1);
    assert_eq!(
        drain(&mut edge),
        [
            bind("Mb", false),
            UplinkOutput::Activate { conn: 2 },
            attach(2, "Ma", Direction::In),
            attach(2, "Mb", Direction::Out)
        ]
    );
    edge.closed(3);
    edge.producers("Mb".into(), 0, false);
    assert_eq!(drain(&mut edge), []);
    edge.producers("Mb".into(), 1, false);
    let gone = UplinkOutput::Detach { conn: 2, key: "Mb".into(), direction: Direction::Out };
    assert_eq!(drain(&mut edge), [gone]);
}

#[test]
fn newer_credentials_take_over_and_refused_links_wait() {
    let mut edge = Uplinks::new();
    edge.opened(1, 4);
    edge.opened(2, 3);
    edge.consumers("Ma".into(), true);
    edge.refused(1, "Ma".into(), Direction::In);
    drain(&mut edge);
    edge.consumers("Ma".into(), false);
    assert_eq!(drain(&mut edge), [], "there is no link to be detached");
    edge.consumers("Ma".into(), true);
    edge.opened(3, 5);
    assert_eq!(
        drain(&mut edge),
        [
            attach(1, "Ma", Direction::In),
            UplinkOutput::Retire { conn: 1 },
            UplinkOutput::Activate { conn: 3 },
            attach(3, "Ma", Direction::In)
        ]
    );
    edge.closed(3);
    assert_eq!(edge.active(), Some(1));
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
        NeighbourOutput::Track { conn, key, reachable } => Some((conn, key.to_string(), reachable)),
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
    assert!(decode_mesh(&encode_mesh("short").into()).is_err());
    assert!(decode_tracking(&encode_mesh(MESH).into()).is_err());
}

#[derive(Clone, Debug)]
enum Step {
    Opened(u64, u64),
    Closed(u64),
    Consumers(u8, bool),
    Producers(u8, u16, bool),
    Tracked(u64, u8, bool),
    Refused(u64, u8, bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..5u64, 0..3u64).prop_map(|(conn, ordinal)| Step::Opened(conn, ordinal)),
        (1..5u64).prop_map(Step::Closed),
        (0..3u8, any::<bool>()).prop_map(|(key, here)| Step::Consumers(key, here)),
        (0..3u8, 0..2u16, any::<bool>()).prop_map(|(key, worker, here)| Step::Producers(key, worker, here)),
        (1..5u64, 0..3u8, any::<bool>()).prop_map(|(conn, key, up)| Step::Tracked(conn, key, up)),
        (1..5u64, 0..3u8, any::<bool>()).prop_map(|(conn, key, out)| Step::Refused(conn, key, out)),
    ]
}

proptest! {
    /// Whoever does what it is told has links on the connection in use only, one for each address that needs one, and counts nothing that
    /// it does not need.
    #[test]
    fn links_are_those_that_are_needed(steps in proptest::collection::vec(step(), 0..60)) {
        let mut edge = Uplinks::new();
        let mut open = BTreeSet::new();
        let mut active = None;
        let mut links: BTreeSet<(Direction, Arc<str>)> = BTreeSet::new();
        let (mut here, mut wanted) = (BTreeSet::new(), BTreeSet::new());
        let mut bound: BTreeSet<Arc<str>> = BTreeSet::new();
        let name = |key: u8| Arc::<str>::from(format!("M{key}"));
        for step in steps {
            match step {
                Step::Opened(conn, ordinal) => if open.insert(conn) { edge.opened(conn, ordinal) },
                Step::Closed(conn) => if open.remove(&conn) {
                    if active == Some(conn) {
                        active = None;
                        links.clear();
                    }
                    edge.closed(conn);
                },
                Step::Consumers(key, up) => {
                    if up { here.insert(name(key)); } else { here.remove(&name(key)); }
                    edge.consumers(name(key), up);
                }
                Step::Producers(key, worker, up) => {
                    if up { wanted.insert((name(key), worker)); } else { wanted.remove(&(name(key), worker)); }
                    edge.producers(name(key), worker, up);
                }
                Step::Tracked(conn, key, up) => edge.tracked(conn, &name(key), up),
                Step::Refused(conn, key, out) => {
                    let direction = if out { Direction::Out } else { Direction::In };
                    if active == Some(conn) && links.remove(&(direction, name(key))) {
                        edge.refused(conn, name(key), direction);
                    }
                }
            }
            while let Some(output) = edge.poll_output() {
                match output {
                    UplinkOutput::Activate { conn } => {
                        prop_assert!(active.is_none() && open.contains(&conn));
                        active = Some(conn);
                    }
                    UplinkOutput::Retire { conn } => {
                        prop_assert_eq!(active.take(), Some(conn));
                        links.clear();
                    }
                    UplinkOutput::Attach { conn, key, direction } => {
                        prop_assert_eq!(active, Some(conn));
                        prop_assert!(links.insert((direction, key)));
                    }
                    UplinkOutput::Detach { conn, key, direction } => {
                        prop_assert_eq!(active, Some(conn));
                        prop_assert!(links.remove(&(direction, key)));
                    }
                    UplinkOutput::Bind { key, bound: true } => prop_assert!(bound.insert(key)),
                    UplinkOutput::Bind { key, bound: false } => prop_assert!(bound.remove(&key)),
                }
            }
            prop_assert_eq!(active.is_some(), !open.is_empty());
            prop_assert_eq!(active, edge.active());
            for (direction, key) in &links {
                let needed = match direction {
                    Direction::In => here.contains(key),
                    Direction::Out => wanted.iter().any(|(wanted, _)| wanted == key),
                };
                prop_assert!(needed, "{:?} {} is not needed", direction, key);
            }
            for key in &bound {
                prop_assert!(links.contains(&(Direction::Out, Arc::clone(key))));
            }
        }
    }
}
