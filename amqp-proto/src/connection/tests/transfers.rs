use bytes::Bytes;

use super::peer::*;
use crate::{
    DeliveryState, Performative,
    connection::*,
    output::COPY_LIMIT,
    performative::{self, Attach, DeliveryTag, Open, ReceiverSettleMode, Role, SenderSettleMode},
};

fn receiver(config: Config) -> (Peer, LinkId) {
    let mut peer = Peer::with_session_as(config, 1000);
    let link = peer.attach(0, Role::Sender);
    peer.engine.grant(link, 1000);
    peer.recv_flow();
    (peer, link)
}

fn next(handle: u32) -> performative::Transfer {
    performative::Transfer { handle, ..performative::Transfer::default() }
}

#[test]
fn a_delivery_in_parts() {
    let (mut peer, link) = receiver(config());
    peer.transfer(performative::Transfer { more: true, ..first(0, 0) }, b"one");
    let seen = peer.seen();
    assert!(
        matches!(seen.event, Event::Transfer(t) if t.first && t.more && !t.aborted && !t.settled && t.link == link && t.user == 7)
    );
    assert_eq!(seen.payload, b"one");
    // A continuation may repeat what the first said, or not.
    peer.transfer(performative::Transfer { more: true, ..first(0, 0) }, b"two");
    assert!(matches!(peer.event(), Event::Transfer(t) if !t.first && t.more && t.delivery_id == 0));
    peer.transfer(performative::Transfer { settled: Some(true), ..next(0) }, b"three");
    let seen = peer.seen();
    assert!(matches!(seen.event, Event::Transfer(t) if !t.first && !t.more && t.settled && t.delivery_id == 0));
    assert_eq!(seen.payload, b"three");
    assert_eq!(peer.engine.unsettled(link), 0);
    assert_eq!(peer.engine.link_credit(link), 999);
}

#[test]
fn aborted_deliveries_are_settled() {
    let (mut peer, link) = receiver(config());
    peer.transfer(performative::Transfer { more: true, ..first(0, 0) }, b"one");
    peer.event();
    assert_eq!(peer.engine.unsettled(link), 1);
    peer.transfer(performative::Transfer { more: true, aborted: true, ..next(0) }, b"ignored");
    let seen = peer.seen();
    assert!(matches!(seen.event, Event::Transfer(t) if t.aborted && !t.more && t.settled));
    assert!(seen.payload.is_empty());
    assert_eq!(peer.engine.unsettled(link), 0);
    peer.transfer(performative::Transfer { aborted: true, ..first(0, 1) }, b"");
    assert!(matches!(peer.event(), Event::Transfer(t) if t.aborted && t.first));
    peer.transfer(first(0, 2), b"x");
    assert!(matches!(peer.event(), Event::Transfer(t) if t.first && !t.aborted));
}

#[test]
fn continuations_may_not_contradict() {
    let begin = || {
        let (mut peer, _) = receiver(config());
        peer.transfer(performative::Transfer { more: true, ..first(0, 0) }, b"one");
        peer.event();
        peer
    };
    let mut peer = begin();
    peer.transfer(first(0, 1), b"");
    peer.expect_detach("amqp:not-allowed", "delivery 1 before the end of delivery 0");
    let mut peer = begin();
    peer.transfer(performative::Transfer { delivery_tag: DeliveryTag::new(b"else"), ..next(0) }, b"");
    peer.expect_detach("amqp:invalid-field", "delivery-tag");
    let mut peer = begin();
    peer.transfer(performative::Transfer { message_format: Some(9), ..next(0) }, b"");
    peer.expect_detach("amqp:invalid-field", "message-format");
}

#[test]
fn deliveries_of_different_links_may_interleave() {
    let (mut peer, _) = receiver(config());
    let other = peer.attach(1, Role::Sender);
    peer.engine.grant(other, 10);
    peer.recv_flow();
    peer.transfer(performative::Transfer { more: true, ..first(0, 0) }, b"a");
    peer.transfer(performative::Transfer { more: true, ..first(1, 1) }, b"b");
    peer.transfer(next(0), b"a");
    peer.transfer(next(1), b"b");
    for (id, starts) in [(0, true), (1, true), (0, false), (1, false)] {
        assert!(matches!(peer.event(), Event::Transfer(t) if t.delivery_id == id && t.first == starts));
    }
}

#[test]
fn first_transfers_say_who_they_are_in_sequence() {
    let (mut peer, _) = receiver(config());
    peer.transfer(next(0), b"");
    peer.expect_end(1, "amqp:invalid-field", "delivery-id");
    let (mut peer, _) = receiver(config());
    peer.transfer(performative::Transfer { delivery_tag: None, ..first(0, 0) }, b"");
    peer.expect_end(1, "amqp:invalid-field", "delivery-tag");
    let (mut peer, _) = receiver(config());
    peer.transfer(first(0, 500), b"");
    peer.event();
    peer.transfer(first(0, 502), b"");
    peer.expect_end(1, "amqp:invalid-field", "502 where 501");
}

#[test]
fn a_peer_that_receives_may_not_send() {
    let mut peer = Peer::with_session();
    peer.attach(0, Role::Receiver);
    peer.transfer(first(0, 0), b"");
    peer.expect_end(1, "amqp:not-allowed", "the receiver");
}

#[test]
fn settle_modes_are_kept() {
    let with = |snd, rcv| {
        let mut peer = Peer::with_session();
        let link = peer.attach_as(Attach { snd_settle_mode: snd, rcv_settle_mode: rcv, ..attach(0, Role::Sender) });
        peer.engine.grant(link, 10);
        peer.recv_flow();
        peer
    };
    let settled = performative::Transfer { settled: Some(true), ..first(0, 0) };
    let mut peer = with(SenderSettleMode::Unsettled, ReceiverSettleMode::First);
    peer.transfer(settled.clone(), b"");
    peer.expect_detach("amqp:invalid-field", "is settled on a link");
    let mut peer = with(SenderSettleMode::Settled, ReceiverSettleMode::First);
    peer.transfer(first(0, 0), b"");
    peer.expect_detach("amqp:invalid-field", "is not settled on a link");
    let mut peer = with(SenderSettleMode::Settled, ReceiverSettleMode::First);
    peer.transfer(settled, b"");
    assert!(matches!(peer.event(), Event::Transfer(t) if t.settled));
    let second = performative::Transfer { rcv_settle_mode: Some(ReceiverSettleMode::Second), ..first(0, 0) };
    let mut peer = with(SenderSettleMode::Mixed, ReceiverSettleMode::First);
    peer.transfer(second.clone(), b"");
    peer.expect_detach("amqp:invalid-field", "rcv-settle-mode second");
    let mut peer = with(SenderSettleMode::Mixed, ReceiverSettleMode::Second);
    peer.transfer(second, b"");
    assert!(matches!(peer.event(), Event::Transfer(t) if t.rcv_second));
    peer.transfer(performative::Transfer { rcv_settle_mode: Some(ReceiverSettleMode::First), ..first(0, 1) }, b"");
    assert!(matches!(peer.event(), Event::Transfer(t) if !t.rcv_second));
}

/// A sender whose messages may have ten bytes.
fn limited_to_ten_bytes() -> Peer {
    let mut peer = Peer::with_session();
    peer.polite = false;
    peer.send(0, &attach(0, Role::Sender));
    let Event::Attached(attached) = peer.event() else { panic!() };
    let answer = attached.answer(None, attached.attach.target.clone());
    peer.engine.accept_attach(attached.link, Attach { max_message_size: Some(10), ..answer }, 0);
    peer.engine.grant(attached.link, 10);
    peer.recv();
    peer.recv_flow();
    peer
}

#[test]
fn messages_may_be_limited() {
    let mut peer = limited_to_ten_bytes();
    peer.transfer(first(0, 0), &[0; 10]);
    assert!(matches!(peer.event(), Event::Transfer(_)));
    peer.transfer(performative::Transfer { more: true, ..first(0, 1) }, &[0; 6]);
    peer.event();
    peer.transfer(next(0), &[0; 5]);
    let (_, Performative::Disposition(told), _) = peer.recv() else { panic!() };
    assert!(told.settled && told.first == 1 && told.role == Role::Receiver);
    let error = told.state.and_then(|state| state.rejected_error()).unwrap();
    assert_eq!(error.condition, "amqp:link:message-size-exceeded");
    assert!(matches!(peer.recv(), (_, Performative::Detach(detach), _) if detach.closed && detach.error.is_none()));
    assert!(matches!(peer.event(), Event::Detached { by: Initiator::Local, error: Some(e), .. } if *e == error));
}

#[test]
fn messages_that_are_settled_may_be_limited_too() {
    let mut peer = limited_to_ten_bytes();
    peer.transfer(performative::Transfer { settled: Some(true), ..first(0, 0) }, &[0; 11]);
    peer.expect_detach("amqp:link:message-size-exceeded", "10 bytes");
}

#[test]
fn resumed_deliveries_we_do_not_know_are_ignored() {
    let (mut peer, link) = receiver(config());
    peer.transfer(performative::Transfer { resume: true, more: true, ..first(0, 0) }, b"part");
    peer.transfer(next(0), b"rest");
    peer.no_event();
    assert_eq!(peer.engine.link_credit(link), 1000);
    assert_eq!(peer.engine.unsettled(link), 0);
    peer.transfer(first(0, 1), b"x");
    assert!(matches!(peer.event(), Event::Transfer(_)));
}

#[test]
fn states_on_transfers_pass() {
    let (mut peer, _) = receiver(config());
    let state = DeliveryState::Received { section_number: 1, section_offset: 2 };
    peer.transfer(performative::Transfer { state: Some(state.clone()), ..first(0, 0) }, b"x");
    assert!(matches!(peer.event(), Event::Transfer(t) if t.state.as_deref() == Some(&state)));
}

#[test]
fn empty_transfers_have_a_budget() {
    let limits = Limits { idle_frames: 20, ..limits() };
    let (mut peer, _) = receiver(Config { limits, ..config() });
    peer.transfer(performative::Transfer { more: true, ..first(0, 0) }, b"");
    for _ in 0..21 {
        peer.transfer(performative::Transfer { more: true, ..next(0) }, b"");
    }
    while peer.events.len() > 1 {
        assert!(matches!(peer.event(), Event::Transfer(_)));
    }
    peer.expect_close("amqp:resource-limit-exceeded", "empty transfers");
}

fn sender(max_frame_size: u32, window: u32) -> (Peer, LinkId) {
    let mut peer = Peer::opened_as(config(), Open { container_id: "p".into(), max_frame_size, ..Open::default() });
    peer.begin(0, window);
    let link = peer.attach(0, Role::Receiver);
    peer.send(0, &performative::Flow { incoming_window: window, ..credit(0, 0, 100) });
    peer.event();
    (peer, link)
}

#[test]
fn sends_are_split_to_the_peers_frames() {
    for (max, len) in [(512, 2000), (512, 448), (512, 449), (4096, COPY_LIMIT * 4), (1 << 20, 100_000), (512, 0)] {
        let (mut peer, link) = sender(max, 1000);
        let block = Bytes::from((0..len + 20).map(|i| i as u8).collect::<Vec<_>>());
        let payload = Payload::range(&block, 10, 10 + len);
        let head = SendHead { message_format: 3, token: 42, ..SendHead::default() };
        let sent = peer.engine.send(link, &head, &payload, End::Complete);
        assert_eq!(sent, Sent { taken: len, done: true, started: true, settled: false, delivery_id: 0 });
        assert_eq!(peer.engine.outgoing_token(link, 0), Some(42));
        let mut got = Vec::new();
        for frame in 0.. {
            let (transfer, payload) = peer.recv_transfer();
            assert!(payload.len() + 30 <= max as usize);
            assert_eq!(transfer.delivery_tag.is_some(), frame == 0);
            assert_eq!(transfer.message_format, (frame == 0).then_some(3));
            got.extend(payload);
            if !transfer.more {
                break;
            }
        }
        assert_eq!(got, payload.as_slice());
        peer.quiet();
    }
}

#[test]
fn a_prefix_goes_in_front_of_the_first_frame() {
    for (len, rest) in [(0, 10), (10, 0), (100, 2000), (448, 1), (449, 0), (2000, 3000), (896, COPY_LIMIT * 2)] {
        let (mut peer, link) = sender(512, 1000);
        let (prefix, block) = (vec![7; len], Bytes::from(vec![8; rest]));
        let head = SendHead { prefix: &prefix, ..SendHead::default() };
        let sent = peer.engine.send(link, &head, &Payload::new(&block), End::Complete);
        assert_eq!((sent.taken, sent.done), (rest, true), "what is taken is counted without the prefix");
        let mut got = Vec::new();
        loop {
            let (transfer, payload) = peer.recv_transfer();
            assert!(payload.len() + 30 <= 512);
            got.extend(payload);
            if !transfer.more {
                break;
            }
        }
        assert_eq!(got, [prefix, block.to_vec()].concat());
        peer.quiet();
    }
    // A window that is too small for it and something more is none.
    let (mut peer, link) = sender(512, 3);
    let (prefix, block) = (vec![7; 3 * 448], Bytes::from(vec![8; 10]));
    let head = SendHead { prefix: &prefix, ..SendHead::default() };
    assert!(!peer.engine.send(link, &head, &Payload::new(&block), End::Complete).started);
    peer.quiet();
}

#[test]
fn a_send_stops_at_the_window_and_goes_on() {
    let (mut peer, link) = sender(512, 2);
    let block = Bytes::from(vec![1; 1500]);
    let sent = peer.engine.send(link, &SendHead::default(), &Payload::new(&block), End::Complete);
    assert_eq!((sent.taken, sent.done, sent.started), (896, false, true));
    assert_eq!(peer.engine.sent_so_far(link), Sent { taken: 0, ..sent });
    let rest = Payload::new(&block).skip(sent.taken);
    assert_eq!(peer.engine.send(link, &SendHead::default(), &rest, End::Complete).taken, 0);
    peer.recv_transfer();
    peer.recv_transfer();
    peer.send(
        0,
        &performative::Flow { next_incoming_id: Some(2), incoming_window: 10, ..performative::Flow::default() },
    );
    assert!(matches!(peer.event(), Event::SessionWindow { .. }));
    let sent = peer.engine.send(link, &SendHead::default(), &rest, End::Complete);
    assert_eq!((sent.taken, sent.done, sent.delivery_id), (604, true, 0));
    assert!(peer.recv_transfer().0.more);
    assert!(!peer.recv_transfer().0.more);
    assert_eq!(peer.engine.sent_so_far(link), Sent::default());
}

#[test]
fn sends_in_parts_and_aborts() {
    let (mut peer, link) = sender(512, 1000);
    let block = Bytes::from_static(b"part");
    let part = Payload::new(&block);
    let head = SendHead { token: 5, ..SendHead::default() };
    // Nothing begun, nothing to abort; an empty beginning is no beginning.
    assert!(peer.engine.send(link, &head, &part, End::Aborted).done);
    assert!(peer.engine.send(link, &head, &Payload::empty(), End::More).done);
    peer.quiet();
    assert!(peer.engine.send(link, &head, &part, End::More).done);
    assert_eq!(peer.engine.room(link), 0);
    assert!(peer.engine.send(link, &head, &part, End::Complete).done);
    assert_eq!(peer.engine.room(link), 99);
    assert!(peer.recv_transfer().0.more);
    assert!(!peer.recv_transfer().0.more);
    assert!(peer.engine.send(link, &head, &part, End::More).done);
    assert_eq!(peer.engine.unsettled(link), 2);
    assert!(peer.engine.send(link, &head, &part, End::Aborted).done);
    assert_eq!(peer.engine.unsettled(link), 1);
    peer.recv_transfer();
    let (transfer, payload) = peer.recv_transfer();
    assert!(transfer.aborted && payload.is_empty() && transfer.delivery_id == Some(1));
    // The end of a stream may be empty.
    assert!(peer.engine.send(link, &head, &part, End::More).done);
    assert!(peer.engine.send(link, &head, &Payload::empty(), End::Complete).done);
    peer.recv_transfer();
    let (transfer, payload) = peer.recv_transfer();
    assert!(!transfer.more && !transfer.aborted && payload.is_empty());
}

#[test]
fn the_links_settle_mode_wins() {
    for (mode, wire) in [(SenderSettleMode::Settled, true), (SenderSettleMode::Unsettled, false)] {
        let mut peer = Peer::with_session();
        let link = peer.attach_as(Attach { snd_settle_mode: mode, ..attach(0, Role::Receiver) });
        peer.send(0, &credit(0, 0, 100));
        peer.event();
        for head_settled in [true, false] {
            let head = SendHead { settled: head_settled, ..SendHead::default() };
            let sent = peer.engine.send(link, &head, &Payload::empty(), End::Complete);
            assert_eq!(sent.settled, wire || head_settled);
            assert_eq!(peer.recv_transfer().0.settled, Some(wire));
        }
    }
}

#[test]
fn frames_may_arrive_in_any_pieces() {
    let (mut peer, _) = receiver(config());
    let mut bytes = Vec::new();
    for id in 0..5 {
        crate::frame::write_amqp(&mut bytes, 0, &first(0, id), 300);
        bytes.extend_from_slice(&[id as u8; 300]);
    }
    let mut kept: Vec<u8> = Vec::new();
    let mut ids = Vec::new();
    for piece in bytes.chunks(7) {
        kept.extend_from_slice(piece);
        let block = Bytes::copy_from_slice(&kept);
        let mut pos = 0;
        while let Some(event) = peer.engine.handle_input(&block, &mut pos, peer.now) {
            let Event::Transfer(t) = event else { panic!() };
            assert_eq!(t.payload(&block).as_slice(), [t.delivery_id as u8; 300]);
            ids.push(t.delivery_id);
        }
        kept.drain(..pos);
        assert!(kept.len() < 400);
    }
    assert_eq!(ids, [0, 1, 2, 3, 4]);
    assert!(!matches!(peer.try_recv(), Some((_, Performative::Close(_), _))));
}
