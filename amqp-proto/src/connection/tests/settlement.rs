use bytes::Bytes;

use super::peer::*;
use crate::{
    DeliveryState, Raw,
    connection::*,
    performative::{self, Attach, Role, SenderSettleMode},
};

fn receiver(first_id: u32, count: u32) -> (Peer, LinkId) {
    let mut peer = Peer::with_session();
    let link = peer.attach(0, Role::Sender);
    peer.engine.grant(link, count + 100);
    peer.recv_flow();
    for i in 0..count {
        let id = first_id.wrapping_add(i);
        peer.transfer(first(0, id), b"x");
        peer.event();
        assert!(peer.engine.set_incoming_token(link, id, u64::from(i)));
    }
    while peer.try_recv().is_some() {}
    (peer, link)
}

fn sender(first_id: u32, count: u32) -> (Peer, LinkId) {
    let mut peer = Peer::with_session_as(Config { first_id, ..config() }, 10_000);
    let link = peer.attach(0, Role::Receiver);
    peer.send(0, &performative::Flow { next_incoming_id: None, ..credit(0, first_id, count + 100) });
    peer.event();
    for i in 0..count {
        let head = SendHead { token: u64::from(i), ..SendHead::default() };
        assert!(peer.engine.send(link, &head, &Payload::empty(), End::Complete).done);
    }
    while peer.try_recv().is_some() {}
    (peer, link)
}

fn disposed(peer: &mut Peer) -> Vec<u64> {
    let Event::Disposition(mut disposition) = peer.event() else { panic!() };
    std::iter::from_fn(|| peer.engine.next_disposed(&mut disposition)).map(|d| d.token).collect()
}

fn says(role: Role, first: u32, last: Option<u32>, settled: bool) -> performative::Disposition {
    performative::Disposition { role, first, last, settled, state: Some(DeliveryState::Accepted), batchable: false }
}

#[test]
fn outcomes_go_out_in_ranges() {
    let (mut peer, link) = receiver(u32::MAX - 2, 10);
    let ids: Vec<u32> = (0..10u32).map(|i| (u32::MAX - 2).wrapping_add(i)).collect();
    for id in &ids[..6] {
        assert!(peer.engine.settle_incoming(link, *id, Some(&DeliveryState::Accepted), true));
    }
    assert!(peer.engine.settle_incoming(link, ids[6], Some(&DeliveryState::Released), true));
    assert!(peer.engine.settle_incoming(link, ids[9], Some(&DeliveryState::Released), true));
    assert!(peer.engine.settle_incoming(link, ids[8], Some(&DeliveryState::Released), true));
    assert!(!peer.engine.settle_incoming(link, ids[0], None, true), "settled already");
    let mut got = Vec::new();
    for _ in 0..3 {
        let d = peer.recv_disposition();
        assert!(d.role == Role::Receiver && d.settled);
        got.push((d.first, d.last, d.state.unwrap()));
    }
    peer.quiet();
    assert_eq!(
        got,
        [
            (ids[0], Some(ids[5]), DeliveryState::Accepted),
            (ids[6], None, DeliveryState::Released),
            (ids[8], Some(ids[9]), DeliveryState::Released),
        ]
    );
    assert_eq!(peer.engine.unsettled(link), 1);
}

#[test]
fn ranges_of_the_peer_are_clamped_to_what_is_unsettled() {
    let (mut peer, link) = sender(u32::MAX - 4, 10);
    // The widest range there is.
    peer.send(0, &says(Role::Receiver, 5u32.wrapping_sub(1 << 30), Some(1 << 30), false));
    assert_eq!(disposed(&mut peer), (0..10).collect::<Vec<_>>());
    assert_eq!(peer.engine.unsettled(link), 10);
    peer.send(0, &says(Role::Receiver, u32::MAX, Some(1), true));
    assert_eq!(disposed(&mut peer), [4, 5, 6]);
    peer.send(0, &says(Role::Receiver, u32::MAX, None, true));
    peer.no_event();
    peer.send(0, &says(Role::Receiver, 0, Some(u32::MAX - 4), true));
    peer.expect_end(1, "amqp:invalid-field", "before disposition.first 0");
}

#[test]
fn the_receiver_settles_second() {
    let (mut peer, link) = sender(0, 2);
    peer.send(0, &says(Role::Receiver, 0, Some(1), false));
    let Event::Disposition(mut d) = peer.event() else { panic!() };
    assert!(d.outgoing && !d.settled && d.state == Some(DeliveryState::Accepted));
    while let Some(one) = peer.engine.next_disposed(&mut d) {
        assert!(peer.engine.settle_outgoing(one.link, one.delivery_id, d.state.as_ref(), true));
    }
    let d = peer.recv_disposition();
    assert_eq!((d.role, d.first, d.last, d.settled), (Role::Sender, 0, Some(1), true));
    assert_eq!(peer.engine.unsettled(link), 0);

    // The other way round: we tell the outcome, the sender settles.
    let (mut peer, link) = receiver(0, 2);
    assert!(peer.engine.settle_incoming(link, 0, Some(&DeliveryState::Accepted), false));
    assert!(!peer.recv_disposition().settled);
    assert_eq!(peer.engine.incoming_token(link, 1), Some(1));
    peer.send(0, &says(Role::Sender, 0, None, true));
    let Event::Disposition(mut d) = peer.event() else { panic!() };
    assert!(!d.outgoing && d.settled);
    assert_eq!(peer.engine.next_disposed(&mut d).unwrap().token, 0);
    assert_eq!(peer.engine.next_disposed(&mut d), None);
    assert_eq!(peer.engine.unsettled(link), 1);
}

#[test]
fn unknown_states_pass_verbatim() {
    // A described map under a symbolic descriptor nobody has heard of.
    let bytes = b"\x00\xa3\x07x:state\xc1\x05\x02\xa1\x01k\x41";
    let state = DeliveryState::Other(Raw::new(Bytes::from_static(bytes)).unwrap());
    let (mut peer, _) = sender(0, 1);
    peer.send(0, &performative::Disposition { state: Some(state.clone()), ..says(Role::Receiver, 0, None, false) });
    let Event::Disposition(d) = peer.event() else { panic!() };
    assert_eq!(d.state, Some(state.clone()));
    let (mut peer, link) = receiver(0, 1);
    peer.engine.settle_incoming(link, 0, Some(&state), false);
    let Some(DeliveryState::Other(raw)) = peer.recv_disposition().state else { panic!() };
    assert_eq!(raw.as_bytes(), bytes);
}

#[test]
fn what_the_mode_forbids_to_settle_is_settled_behind_the_owners_back() {
    let mut peer = Peer::with_session();
    let link = peer.attach_as(Attach { snd_settle_mode: SenderSettleMode::Unsettled, ..attach(0, Role::Receiver) });
    peer.send(0, &credit(0, 0, 100));
    peer.event();
    let head = SendHead { settled: true, ..SendHead::default() };
    assert!(peer.engine.send(link, &head, &Payload::empty(), End::Complete).settled);
    assert!(peer.engine.send(link, &head, &Payload::empty(), End::Complete).settled);
    peer.recv_transfer();
    peer.recv_transfer();
    peer.send(0, &says(Role::Receiver, 0, None, false));
    assert_eq!(disposed(&mut peer), []);
    let d = peer.recv_disposition();
    assert!(d.settled && d.role == Role::Sender);
    peer.send(0, &says(Role::Receiver, 1, None, true));
    assert_eq!(disposed(&mut peer), []);
    peer.quiet();
    assert_eq!(peer.engine.unsettled(link), 0);
}

#[test]
fn dispositions_without_effect_have_a_budget() {
    let limits = Limits { idle_frames: 20, ..limits() };
    let mut peer = Peer::with_session_as(Config { limits, ..config() }, 10);
    for _ in 0..20 {
        peer.send(0, &says(Role::Receiver, 0, Some(1 << 30), true));
    }
    peer.no_event();
    peer.send(0, &says(Role::Receiver, 0, Some(1 << 30), true));
    peer.expect_close("amqp:resource-limit-exceeded", "settled deliveries");
}

#[test]
fn a_delivery_may_not_stay_unsettled_until_ids_repeat() {
    let (mut peer, link) = sender(0, 1);
    let next = |peer: &mut Peer, id| {
        peer.engine.sessions[0].next_delivery_id = id;
        peer.engine.send(link, &SendHead::default(), &Payload::empty(), End::Complete).done
    };
    assert!(next(&mut peer, 1000));
    assert!(next(&mut peer, (1 << 31) - (1 << 16) - 1));
    peer.recv_transfer();
    peer.recv_transfer();
    assert!(!next(&mut peer, 1 << 31));
    peer.bytes(b"");
    peer.expect_end(1, "amqp:resource-limit-exceeded", "unsettled for 2^31 deliveries");
}

#[test]
fn what_is_unsettled_on_a_link_goes_with_it() {
    let (mut peer, link) = sender(0, 5);
    let other = peer.attach(1, Role::Receiver);
    peer.send(0, &performative::Flow { next_incoming_id: Some(5), ..credit(1, 0, 5) });
    peer.event();
    let _ = peer.engine.send(other, &SendHead { token: 99, ..SendHead::default() }, &Payload::empty(), End::Complete);
    peer.send(0, &performative::Detach { handle: 0, closed: true, error: None });
    peer.event();
    peer.send(0, &says(Role::Receiver, 0, Some(100), true));
    assert_eq!(disposed(&mut peer), [99]);
    assert!(!peer.engine.settle_outgoing(link, 1, None, true));
}
