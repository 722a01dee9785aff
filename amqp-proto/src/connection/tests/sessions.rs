use super::peer::*;
use crate::{
    Error, Performative,
    connection::*,
    frame::ProtocolId,
    performative::{self, Begin, Flow, Open, Role},
};

#[test]
fn the_peer_begins_and_ends() {
    let mut peer = Peer::opened();
    let session = peer.begin(5, 10);
    assert_eq!(peer.engine.window(session), 10);
    peer.send(5, &performative::End { error: Some(Error::new("amqp:internal-error", "why")) });
    assert!(matches!(peer.recv(), (0, Performative::End(e), _) if e.error.is_none()));
    assert!(
        matches!(peer.event(), Event::SessionEnded { by: Initiator::Peer, error: Some(e), .. } if e.condition == "amqp:internal-error")
    );
    assert_eq!(peer.engine.counts(), (0, 0));
    let again = peer.begin(5, 10);
    assert_ne!(session, again, "the same channel is another session");
    assert_eq!(peer.engine.window(session), 0);
}

#[test]
fn sessions_may_be_limited() {
    let mut peer = Peer::opened();
    peer.engine.set_max_sessions(2);
    let first = peer.begin(0, 10);
    peer.begin(1, 10);
    // Those that we begin do not count.
    peer.engine.begin().unwrap();
    peer.recv();
    peer.send(2, &Begin { incoming_window: 1, outgoing_window: 1, ..Begin::default() });
    assert!(
        matches!(peer.event(), Event::SessionEnded { by: Initiator::Local, error: Some(e), .. } if e.condition == "amqp:resource-limit-exceeded")
    );
    assert!(matches!(peer.recv(), (_, Performative::Begin(_), _)));
    assert!(matches!(peer.recv(), (_, Performative::End(e), _) if e.error.is_some()));
    peer.send(2, &performative::End::default());
    peer.no_event();
    peer.engine.end(first, None);
    peer.recv();
    peer.send(0, &performative::End::default());
    peer.no_event();
    peer.begin(5, 10);
}

#[test]
fn limits_of_open_may_come_late() {
    let mut peer = Peer::raw(config(), Side::Server(ServerSasl { allow_bare: true, ..ServerSasl::default() }));
    peer.polite = false;
    peer.bytes(&ProtocolId::Amqp.header());
    peer.send(0, &Open { container_id: "peer".into(), ..Open::default() });
    assert!(matches!(peer.event(), Event::Opened(_)));
    peer.engine.set_open_limits(Some(2048), Some(2));
    peer.engine.set_open_limits(None, None);
    peer.engine.open();
    assert_eq!(peer.take_header(), ProtocolId::Amqp.header());
    let (_, Performative::Open(open), _) = peer.recv() else { panic!() };
    assert_eq!((open.max_frame_size, open.channel_max), (2048, 2));
    peer.engine.set_open_limits(None, Some(100));
    peer.begin(2, 10);
    peer.send(3, &Begin { incoming_window: 1, outgoing_window: 1, ..Begin::default() });
    assert!(matches!(peer.event(), Event::Closed(closed) if closed.by == Initiator::Local));
}

#[test]
fn we_begin_and_end() {
    let mut peer = Peer::opened();
    let session = peer.engine.begin().unwrap();
    let (channel, Performative::Begin(begin), _) = peer.recv() else { panic!() };
    assert_eq!(begin.remote_channel, None);
    peer.send(
        77,
        &Begin {
            remote_channel: Some(channel),
            next_outgoing_id: 9,
            incoming_window: 4,
            outgoing_window: 1,
            ..Begin::default()
        },
    );
    assert!(matches!(peer.event(), Event::SessionBegun { session: s, by: Initiator::Local } if s == session));
    assert_eq!(peer.engine.window(session), 4);
    peer.engine.end(session, None);
    assert!(matches!(peer.recv(), (c, Performative::End(_), _) if c == channel));
    peer.send(77, &Flow { incoming_window: 1, ..Flow::default() });
    peer.no_event();
    peer.send(77, &performative::End::default());
    peer.no_event();
    assert_eq!(peer.engine.counts(), (0, 0));
}

#[test]
fn an_end_that_crosses_the_answer_to_begin() {
    let mut peer = Peer::opened();
    let session = peer.engine.begin().unwrap();
    peer.engine.end(session, None);
    peer.recv();
    peer.recv();
    peer.send(3, &Begin { remote_channel: Some(0), incoming_window: 4, ..Begin::default() });
    peer.no_event();
    peer.send(3, &performative::End::default());
    assert_eq!(peer.engine.counts(), (0, 0));
}

#[test]
fn links_go_with_their_session() {
    let mut peer = Peer::with_session();
    let a = peer.attach(0, Role::Sender);
    let b = peer.attach(1, Role::Receiver);
    peer.send(0, &performative::End::default());
    for link in [a, b] {
        assert!(
            matches!(peer.event(), Event::Detached { link: l, user: 7, closed: true, by: Initiator::Peer, .. } if l == link)
        );
    }
    assert!(matches!(peer.event(), Event::SessionEnded { .. }));
    assert_eq!(peer.engine.counts(), (0, 0));
}

#[test]
fn the_incoming_window_is_enforced() {
    let limits = Limits { session_frames: 8, ..limits() };
    let mut peer = Peer::with_session_as(Config { limits, ..config() }, 100);
    let link = peer.attach(0, Role::Sender);
    peer.engine.grant(link, 100);
    let flow = peer.recv_flow();
    assert_eq!((flow.next_incoming_id, flow.incoming_window), (Some(0), 8));
    // Eight frames at once, without a flush in which the window would be opened again.
    let mut bytes = Vec::new();
    for id in 0..9 {
        crate::frame::write_amqp(&mut bytes, 0, &first(0, id), 1);
        bytes.push(0);
    }
    peer.bytes(&bytes);
    for _ in 0..8 {
        assert!(matches!(peer.event(), Event::Transfer(_)));
    }
    peer.expect_end(1, "amqp:session:window-violation", "transfer 8");
}

#[test]
fn the_incoming_window_is_opened_as_content_is_passed_on() {
    let limits = Limits { session_frames: 8, session_bytes: 8 * 100, ..limits() };
    let config = Config { limits, max_frame_size: 512, ..config() };
    let mut peer = Peer::with_session_as(config, 100);
    let link = peer.attach(0, Role::Sender);
    peer.engine.grant(link, 1000);
    assert_eq!(peer.recv_flow().incoming_window, 8);
    let payload = [0u8; 400];
    let mut id = 0;
    // Held: the window runs out when about eight frames are.
    let mut window = 8;
    while window > 0 {
        peer.transfer(performative::Transfer { more: false, ..first(0, id) }, &payload);
        peer.engine.hold(link, 400);
        peer.event();
        id += 1;
        window -= 1;
        peer.engine.flush();
        while let Some((_, Performative::Flow(flow), _)) = peer.try_recv() {
            assert_eq!(flow.next_incoming_id, Some(id));
            window = flow.incoming_window;
        }
    }
    assert!((8..12).contains(&id), "{id}");
    // Passed on: it opens.
    peer.engine.release(link, id as usize * 400);
    let flow = peer.recv_flow();
    assert_eq!((flow.handle, flow.next_incoming_id, flow.incoming_window), (None, Some(id), 8));
    // And stays open while nothing is held.
    for _ in 0..100 {
        peer.transfer(first(0, id), &payload);
        id += 1;
        assert!(matches!(peer.event(), Event::Transfer(_)));
    }
    // What was held for a link that goes is forgotten.
    peer.engine.hold(link, 1_000_000);
    peer.send(0, &performative::Detach { handle: 0, closed: true, error: None });
    peer.event();
    while peer.try_recv().is_some() {}
    let link = peer.attach(1, Role::Sender);
    peer.engine.grant(link, 1000);
    peer.engine.flush();
    while peer.try_recv().is_some() {}
    for _ in 0..20 {
        peer.transfer(first(1, id), &payload);
        id += 1;
        assert!(matches!(peer.event(), Event::Transfer(_)));
    }
}

#[test]
fn small_frames_get_a_larger_window() {
    let mut peer = Peer::with_session();
    let link = peer.attach(0, Role::Sender);
    peer.engine.grant(link, 100_000);
    assert_eq!(peer.recv_flow().incoming_window, 512);
    let mut widest = 0;
    for id in 0..2000 {
        peer.transfer(first(0, id), b"tiny");
        peer.event();
        while let Some((_, Performative::Flow(flow), _)) = peer.try_recv() {
            widest = widest.max(flow.incoming_window);
        }
    }
    assert_eq!(widest, 4096);
}

#[test]
fn our_sends_stop_at_the_peers_window() {
    let mut peer = Peer::with_session_as(config(), 2);
    let link = peer.attach(0, Role::Receiver);
    peer.send(0, &Flow { incoming_window: 2, ..credit(0, 0, 100) });
    assert!(matches!(peer.event(), Event::Credit { credit: 100, .. }));
    let send = |peer: &mut Peer| peer.engine.send(link, &SendHead::default(), &Payload::empty(), End::Complete);
    assert!(send(&mut peer).done);
    assert!(send(&mut peer).done);
    let short = send(&mut peer);
    assert!(!short.done && !short.started);
    assert_eq!(peer.engine.room(link), 0);
    assert_eq!(peer.recv_transfer().0.delivery_id, Some(0));
    assert_eq!(peer.recv_transfer().0.delivery_id, Some(1));
    // One seen, three more allowed beyond it: two of them are free.
    peer.send(0, &Flow { next_incoming_id: Some(1), incoming_window: 3, outgoing_window: 1, ..Flow::default() });
    assert!(matches!(peer.event(), Event::SessionWindow { .. }));
    assert_eq!(peer.engine.room(link), 98);
    assert!(send(&mut peer).done);
    assert!(send(&mut peer).done);
    assert!(!send(&mut peer).done);
    // A window that was reduced below what is on its way is shut.
    peer.send(0, &Flow { next_incoming_id: Some(1), incoming_window: 1, outgoing_window: 1, ..Flow::default() });
    assert!(!send(&mut peer).done);
    peer.no_event();
}

#[test]
fn a_flow_cannot_know_more_than_we_sent() {
    let mut peer = Peer::with_session();
    peer.send(0, &Flow { next_incoming_id: Some(1), incoming_window: 3, ..Flow::default() });
    peer.expect_end(0, "amqp:invalid-field", "next-incoming-id 1");
    let mut peer = Peer::with_session();
    peer.send(0, &Flow { next_incoming_id: Some(0), incoming_window: 3, link_credit: Some(1), ..Flow::default() });
    peer.expect_end(0, "amqp:invalid-field", "no handle");
}

#[test]
fn echo_is_answered_once_per_batch() {
    let mut peer = Peer::with_session();
    let echo =
        Flow { next_incoming_id: Some(0), incoming_window: 1000, outgoing_window: 5, echo: true, ..Flow::default() };
    let mut bytes = Vec::new();
    for _ in 0..3 {
        crate::frame::write_amqp(&mut bytes, 0, &echo, 0);
    }
    peer.bytes(&bytes);
    let flow = peer.recv_flow();
    assert!(!flow.echo && flow.handle.is_none());
    peer.quiet();
}

#[test]
fn skipped_transfer_ids_use_up_the_window() {
    let limits = Limits { session_frames: 8, ..limits() };
    let mut peer = Peer::with_session_as(Config { limits, ..config() }, 100);
    let link = peer.attach(0, Role::Sender);
    peer.engine.grant(link, 100);
    peer.recv_flow();
    let flow = Flow {
        next_incoming_id: Some(0),
        incoming_window: 100,
        next_outgoing_id: 8,
        outgoing_window: 1,
        ..Flow::default()
    };
    let mut bytes = Vec::new();
    crate::frame::write_amqp(&mut bytes, 0, &flow, 0);
    crate::frame::write_amqp(&mut bytes, 0, &first(0, 0), 0);
    peer.bytes(&bytes);
    peer.expect_end(1, "amqp:session:window-violation", "transfer 8");
}

#[test]
fn repeating_begin_and_end_has_a_budget() {
    let limits = Limits { cycles: 100, ..limits() };
    let mut peer = Peer::opened_with(Config { limits, ..config() });
    for i in 0.. {
        peer.send(0, &Begin { incoming_window: 1, ..Begin::default() });
        peer.send(0, &performative::End::default());
        if peer.engine.is_closed() {
            assert_eq!(i, 100);
            break;
        }
        while peer.try_recv().is_some() {}
        peer.events.clear();
    }
    peer.events.pop_front();
    peer.expect_close("amqp:resource-limit-exceeded", "begun and ended");
}

#[test]
fn flows_that_change_nothing_have_a_budget() {
    let limits = Limits { idle_frames: 50, ..limits() };
    for echo in [true, false] {
        let mut peer = Peer::with_session_as(Config { limits, ..config() }, 100);
        for _ in 0..51 {
            peer.send(
                0,
                &Flow { next_incoming_id: Some(0), incoming_window: 100, outgoing_window: 5, echo, ..Flow::default() },
            );
        }
        while let Some((_, Performative::Flow(_), _)) = peer.try_recv() {}
        assert!(
            matches!(peer.event(), Event::Closed(c) if c.error.as_ref().unwrap().condition == "amqp:resource-limit-exceeded")
        );
    }
}
