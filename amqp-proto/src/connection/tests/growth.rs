//! Windows that grow with what arrives in a round trip.

use std::time::Duration;

use super::peer::*;
use crate::{
    Performative,
    connection::*,
    performative::{self, Flow, Role},
};

const PAYLOAD: [u8; 70] = [0; 70];
const ROUND_TRIP: Duration = Duration::from_millis(100);

/// A peer that answers after 100 ms and sends frames of 100 bytes, of which 8 fit into the first window, and the link that it sends on.
fn growing() -> (Peer, LinkId) {
    let limits = Limits { session_frames: 8, session_bytes: 800, first_window_bytes: 800, ..limits() };
    let mut peer = Peer::opened_with(Config { limits, max_frame_size: 512, ..config() });
    peer.engine.grow_sessions(12_800);
    peer.begin(0, 100);
    let asks = peer.recv_flow();
    assert!(asks.echo && asks.handle.is_none());
    peer.now += ROUND_TRIP;
    peer.send(0, &Flow { next_incoming_id: Some(0), incoming_window: 100, outgoing_window: 100, ..Flow::default() });
    let link = peer.attach(0, Role::Sender);
    peer.engine.grant(link, 100_000);
    assert!(!peer.recv_flow().echo, "once is enough");
    (peer, link)
}

/// Sends so many frames in a second, and answers the window told last.
fn send(peer: &mut Peer, id: &mut u32, frames: u32) -> Option<u32> {
    let mut window = None;
    for _ in 0..frames {
        peer.now += Duration::from_secs(1) / frames;
        peer.transfer(performative::Transfer { more: false, ..first(0, *id) }, &PAYLOAD);
        assert!(matches!(peer.event(), Event::Transfer(_)));
        *id += 1;
        while let Some((_, Performative::Flow(flow), _)) = peer.try_recv() {
            assert!(!flow.echo);
            window = Some(flow.incoming_window);
        }
    }
    window
}

#[test]
fn a_window_grows_to_twice_what_arrives_in_a_round_trip() {
    let (mut peer, _) = growing();
    let mut id = 0;
    // 3 frames in a round trip are less than half of 8.
    assert_eq!(send(&mut peer, &mut id, 30), Some(8));
    // 6 are not.
    let wider = send(&mut peer, &mut id, 60).unwrap();
    assert!((24..=32).contains(&wider), "{wider}");
    assert_eq!(send(&mut peer, &mut id, 120), Some(wider), "twice 12 fit");
    let widest = send(&mut peer, &mut id, 2000).unwrap();
    assert!((120..=128).contains(&widest), "12,800 bytes are the most: {widest}");
    // Less is allowed from now on.
    peer.engine.grow_sessions(1600);
    let less = send(&mut peer, &mut id, 2000).unwrap();
    assert!((14..=16).contains(&less), "{less}");
}

#[test]
fn what_is_held_is_no_reason_to_grow_but_to_shrink() {
    let (mut peer, link) = growing();
    let mut id = 0;
    peer.engine.hold(link, 200);
    assert_eq!(send(&mut peer, &mut id, 100), Some(6));
    peer.engine.release(link, 200);
    let wider = send(&mut peer, &mut id, 100).unwrap();
    assert!(wider >= 30, "{wider}");
    // Everything that was on its way is held now.
    peer.engine.hold(link, wider as usize * 100);
    let allowed = wider - wider / 4;
    assert_eq!(send(&mut peer, &mut id, allowed), None);
    peer.engine.release(link, wider as usize * 100);
    send(&mut peer, &mut id, wider - allowed);
    let first = send(&mut peer, &mut id, 10).unwrap();
    assert!(first <= 8, "{first}");
}

#[test]
fn others_are_asked_nothing() {
    let mut peer = Peer::opened();
    peer.begin(0, 100);
    peer.engine.flush();
    assert!(peer.try_recv().is_none());
}

#[test]
fn only_who_did_not_begin_asks() {
    let mut peer = Peer::opened();
    peer.engine.grow_sessions(1 << 30);
    peer.engine.begin().unwrap();
    peer.recv();
    let answer = performative::Begin { remote_channel: Some(0), incoming_window: 4, ..performative::Begin::default() };
    peer.send(7, &answer);
    peer.event();
    assert!(peer.try_recv().is_none());
}
