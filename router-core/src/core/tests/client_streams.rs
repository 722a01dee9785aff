//! Links for streams to clients that take them.

use super::network::{from_b, know};
use crate::{
    ConnInfo, ConnKey, HopLink, Terminus,
    annotations::{Parsed, RESEND_RELEASED, STREAMING, parse},
    core::tests::world::{Receiver, Sender, World},
    egress::{DeliveryState, End},
};

const BODY: [u8; 3000] = [5; 3000];

/// Without the annotations in front, which adaptors leave off for clients.
fn bare(bytes: &[u8]) -> &[u8] {
    match parse(bytes).unwrap() {
        Parsed::Found(_, size) => &bytes[size..],
        _ => bytes,
    }
}

/// What a receiver has of its `n`th delivery.
fn has(w: &World, r: Receiver, n: usize) -> Vec<u8> {
    bare(&w.outlet(r).received[n].bytes).to_vec()
}

fn receiver(w: &mut World, worker: usize) -> (ConnKey, Receiver) {
    let conn = w.conn_with(worker, &ConnInfo { streaming_links: true, ..ConnInfo::default() });
    let r = w.attach_receiver(worker, conn, Terminus::Address("svc")).unwrap();
    w.credit(r, 10, false);
    (conn, r)
}

fn sender(w: &mut World, flags: u32) -> Sender {
    let s = w.sender(0, "svc");
    let key = w.inlet(s).key;
    w.cores[0].mark_inlet(key, flags);
    s
}

#[test]
fn streams_have_links_of_their_own() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        let there = workers - 1;
        let (conn, own) = receiver(&mut w, there);
        let senders = [sender(&mut w, STREAMING), sender(&mut w, STREAMING)];
        let ids = senders.map(|s| w.begin(s, &BODY, false, false, 1000));
        let links = w.client_streams(there, conn, 10);
        assert_eq!(links.len(), 2);
        // Neither has to wait for the other, nor has what follows.
        for (s, r) in senders.iter().zip(&links) {
            assert_eq!(has(&w, *r, 0), BODY[..1000]);
            assert!(w.told(*s, ids[0]).is_none());
        }
        let other = w.sender(0, "svc");
        w.send(other, b"whole", true);
        assert_eq!((w.bodies(own), w.outlet(own).credit), (vec![b"whole".to_vec()], 9));
        w.detach_receiver(own);
        w.assert_empty();
    }
}

#[test]
fn a_link_is_used_again() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        let there = workers - 1;
        let (conn, own) = receiver(&mut w, there);
        let s = sender(&mut w, STREAMING);
        let mut link = None;
        for n in 0..4 {
            let id = w.begin(s, &BODY, n % 2 == 1, false, 1000);
            let new = w.client_streams(there, conn, 10);
            assert_eq!(new.len(), usize::from(n == 0), "{n}");
            let r = *link.get_or_insert_with(|| new[0]);
            w.part(s, 1000);
            w.send_rest(s);
            assert_eq!(w.bodies(r).len(), n + 1);
            if n % 2 == 0 {
                w.accept(r, n);
                assert_eq!(w.told(s, id), Some(DeliveryState::Accepted));
            }
        }
        // What is whole needs none.
        w.send(s, b"whole", true);
        assert_eq!(has(&w, own, 0), b"whole");
        w.assert_empty();
    }
}

#[test]
fn a_client_that_refuses_them_gets_streams_on_its_own_link() {
    for workers in [1, 2] {
        for at_once in [true, false] {
            let mut w = World::new(workers);
            let there = workers - 1;
            let (conn, own) = receiver(&mut w, there);
            w.sides[there].no_client_streams = at_once;
            let s = sender(&mut w, STREAMING);
            let id = w.begin(s, &BODY, false, false, 1000);
            if !at_once {
                assert_eq!(w.outlet(own).received.len(), 0);
                w.cores[there].no_client_stream(conn, &mut w.sides[there]);
                w.end_batch(there);
            }
            assert_eq!(has(&w, own, 0), BODY[..1000]);
            w.send_rest(s);
            w.accept(own, 0);
            assert_eq!(w.told(s, id), Some(DeliveryState::Accepted));
            w.send(s, b"whole", true);
            w.assert_empty();
        }
    }
}

#[test]
fn what_waits_for_a_link_goes_with_its_client_or_its_sender() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        let there = workers - 1;
        let (conn, own) = receiver(&mut w, there);
        let s = sender(&mut w, STREAMING);
        let id = w.begin(s, &BODY, false, false, 1000);
        w.detach_receiver(own);
        w.cores[there].connection_closed(conn, &mut w.sides[there]);
        w.end_batch(there);
        assert_eq!(w.told(s, id), Some(DeliveryState::Released), "{workers}");
        w.send_rest(s);
        let (_, _) = receiver(&mut w, there);
        w.begin(s, &BODY, false, false, 1000);
        w.abort(s);
        w.assert_empty();
    }
}

#[test]
fn streams_of_other_routers_have_them_too() {
    let mut w = World::new(1);
    let (conn, own) = receiver(&mut w, 0);
    let from = w.router_link(0, HopLink::Stream);
    let message = from_b(Some("svc"), STREAMING, &BODY);
    w.begin(from, &message, true, false, message.len() - 100);
    let links = w.client_streams(0, conn, 1);
    w.send_rest(from);
    assert_eq!((w.bodies(links[0]), w.count(own)), (vec![BODY.to_vec()], 0));
    w.assert_empty();
}

#[test]
fn a_released_stream_goes_to_another_client() {
    for workers in [1, 2] {
        let mut w = World::new(workers);
        let all: Vec<(ConnKey, Receiver)> = (0..3).map(|n| receiver(&mut w, n % workers)).collect();
        let s = sender(&mut w, STREAMING | RESEND_RELEASED);
        let id = w.begin(s, &BODY, false, false, 1000);
        for n in 0..3 {
            // Each time another client is asked for a link.
            let asked = |w: &World, r: Receiver| {
                let (worker, link) = w.receivers[r];
                w.sides[worker].client_streams_wanted.first() == Some(&link.conn)
            };
            let (conn, own) = *all.iter().find(|(_, own)| asked(&w, *own)).unwrap();
            let r = w.client_streams(w.receivers[own].0, conn, 1)[0];
            assert_eq!(has(&w, r, 0), BODY[..1000]);
            w.outcome(r, 0, Some(DeliveryState::Released), true);
            // What goes nowhere else is not told to end here.
            assert_eq!(w.outlet(r).received[0].end == End::Aborted, n < 2);
            assert_eq!(w.told(s, id).is_some(), n == 2);
        }
        w.send_rest(s);
        w.assert_empty();
    }
}

/// What comes back from a neighbour is as much of a stream as before.
#[test]
fn a_stream_that_a_neighbour_released_goes_apart_too() {
    let mut w = World::new(1);
    let b = w.hop(0, "B", HopLink::Stream, 1);
    w.hop(0, "B", HopLink::Priority(4), 10);
    know(&mut w, &[("B", "Msvc")]);
    let s = sender(&mut w, STREAMING | RESEND_RELEASED);
    let id = w.begin(s, &BODY, false, false, 1000);
    assert_eq!(w.outlet(b).received.len(), 1);
    let (conn, own) = receiver(&mut w, 0);
    w.outcome(b, 0, Some(DeliveryState::Released), false);
    assert_eq!(w.outlet(b).received[0].end, End::Aborted);
    let r = w.client_streams(0, conn, 1)[0];
    w.send_rest(s);
    assert_eq!((has(&w, r, 0), w.count(own)), (BODY.to_vec(), 0));
    w.accept(r, 0);
    assert_eq!(w.told(s, id), Some(DeliveryState::Accepted));
    w.assert_empty();
}
