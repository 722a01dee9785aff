use super::peer::*;
use crate::{
    Error, Performative,
    connection::*,
    performative::{self, Attach, Begin, Detach, Flow, ReceiverSettleMode, Role, SenderSettleMode},
};

#[test]
fn the_peer_attaches_and_closes() {
    let mut peer = Peer::with_session();
    let mut asked = attach(4, Role::Sender);
    asked.rcv_settle_mode = ReceiverSettleMode::Second;
    asked.snd_settle_mode = SenderSettleMode::Unsettled;
    let link = peer.attach_as(asked);
    assert!(!link.role().value() || !peer.engine.is_sender(link));
    assert_eq!(peer.engine.link_name(link), Some("link-4"));
    assert_eq!(peer.engine.link_user(link), Some(7));
    assert_eq!(peer.engine.link_modes(link), Some((SenderSettleMode::Unsettled, ReceiverSettleMode::Second)));
    peer.send(0, &Detach { handle: 4, closed: true, error: None });
    assert!(matches!(peer.recv(), (0, Performative::Detach(d), _) if d.closed && d.error.is_none()));
    assert!(
        matches!(peer.event(), Event::Detached { link: l, user: 7, closed: true, by: Initiator::Peer, error: None, role: Role::Receiver } if l == link)
    );
    let again = peer.attach(4, Role::Sender);
    assert_ne!(link, again);
    assert!(!peer.engine.is_attached(link));
    peer.engine.detach(link, true, None);
    assert!(peer.engine.is_attached(again), "a stale id does nothing");
}

#[test]
fn a_detach_that_does_not_close_keeps_the_name() {
    let mut peer = Peer::with_session();
    peer.attach(4, Role::Sender);
    peer.send(0, &Detach { handle: 4, closed: false, error: None });
    assert!(matches!(peer.recv(), (0, Performative::Detach(d), _) if !d.closed));
    assert!(matches!(peer.event(), Event::Detached { closed: false, .. }));
    // Again, under another handle.
    for (closed, resumed) in [(false, true), (true, true), (true, false)] {
        peer.send(0, &Attach { handle: 9, ..attach(4, Role::Sender) });
        let Event::Attached(attached) = peer.event() else { panic!() };
        assert_eq!(attached.resumed, resumed);
        peer.recv();
        peer.send(0, &Detach { handle: 9, closed, error: None });
        peer.event();
        peer.recv();
    }
}

#[test]
fn we_attach_and_detach() {
    let mut peer = Peer::opened();
    let session = peer.engine.begin().unwrap();
    let link = peer
        .engine
        .attach(session, Attach { name: "mine".into(), role: Role::Sender, ..Attach::default() }, 99)
        .unwrap();
    let same = Attach { name: "mine".into(), role: Role::Sender, ..Attach::default() };
    assert_eq!(peer.engine.attach(session, same, 1), Err(CommandError::NameInUse));
    peer.recv();
    let (_, Performative::Attach(sent), _) = peer.recv() else { panic!() };
    assert_eq!(sent.initial_delivery_count, Some(0));
    peer.send(2, &Begin { remote_channel: Some(0), incoming_window: 100, ..Begin::default() });
    peer.event();
    peer.send(2, &Attach { handle: 3, role: Role::Receiver, name: "mine".into(), ..Attach::default() });
    let Event::Attached(attached) = peer.event() else { panic!() };
    assert!(attached.answer && attached.link == link && attached.user == 99);
    peer.quiet();
    peer.send(2, &Flow { handle: Some(3), ..credit(3, 0, 5) });
    assert!(matches!(peer.event(), Event::Credit { user: 99, credit: 5, .. }));
    peer.engine.detach(link, true, Some(Error::new("amqp:link:detach-forced", "bye")));
    assert!(matches!(peer.recv(), (0, Performative::Detach(d), _) if d.closed && d.error.is_some()));
    // Crossing frames are discarded until the peer's detach.
    peer.send(2, &Flow { handle: Some(3), ..credit(3, 0, 50) });
    peer.no_event();
    assert_eq!(peer.engine.counts(), (1, 1));
    peer.send(2, &Detach { handle: 3, closed: true, error: None });
    peer.no_event();
    assert_eq!(peer.engine.counts(), (1, 0));
    assert!(
        peer.engine.attach(session, Attach { name: "mine".into(), role: Role::Sender, ..Attach::default() }, 1).is_ok()
    );
}

#[test]
fn credit_granted_before_the_answer_is_told_with_it() {
    let mut peer = Peer::opened();
    let session = peer.engine.begin().unwrap();
    let attach = |name: &str| Attach { name: name.into(), role: Role::Receiver, ..Attach::default() };
    let link = peer.engine.attach(session, attach("mine"), 1).unwrap();
    peer.engine.grant(link, 250);
    peer.recv();
    peer.recv();
    peer.quiet();
    peer.send(2, &Begin { remote_channel: Some(0), incoming_window: 100, ..Begin::default() });
    peer.event();
    peer.quiet();
    let answer =
        Attach { handle: 3, role: Role::Sender, name: "mine".into(), initial_delivery_count: Some(7), ..attach("") };
    peer.send(2, &Attach { name: "mine".into(), ..answer });
    assert!(matches!(peer.event(), Event::Attached(attached) if attached.answer));
    let flow = peer.recv_flow();
    assert_eq!((flow.handle, flow.delivery_count, flow.link_credit), (Some(0), Some(7), Some(250)));
    peer.quiet();
}

#[test]
fn a_detach_that_crosses_the_answer_to_attach() {
    let mut peer = Peer::opened();
    let session = peer.engine.begin().unwrap();
    let link = peer
        .engine
        .attach(session, Attach { name: "mine".into(), role: Role::Receiver, ..Attach::default() }, 1)
        .unwrap();
    peer.engine.detach(link, true, None);
    peer.send(2, &Begin { remote_channel: Some(0), incoming_window: 100, ..Begin::default() });
    peer.event();
    peer.send(2, &Attach { handle: 3, name: "mine".into(), ..attach(3, Role::Sender) });
    peer.no_event();
    peer.send(2, &Detach { handle: 3, closed: true, error: None });
    peer.no_event();
    assert_eq!(peer.engine.counts(), (1, 0));
}

#[test]
fn a_refused_attach_is_answered_without_terminus_and_closed() {
    for role in [Role::Sender, Role::Receiver] {
        let mut peer = Peer::with_session();
        peer.polite = false;
        peer.send(0, &attach(1, role));
        let Event::Attached(attached) = peer.event() else { panic!() };
        peer.engine.refuse_attach(attached.link, Error::new("amqp:not-found", "no such node"));
        let (_, Performative::Attach(answer), _) = peer.recv() else { panic!() };
        assert!(answer.source.is_none() && answer.target.is_none());
        assert_eq!(answer.name, "link-1");
        let (_, Performative::Detach(detach), _) = peer.recv() else { panic!() };
        assert!(detach.closed);
        assert_eq!(detach.error.unwrap().condition, "amqp:not-found");
        peer.send(0, &Detach { handle: 1, closed: true, error: None });
        peer.no_event();
        peer.quiet();
        assert_eq!(peer.engine.counts(), (1, 0));
    }
}

#[test]
fn the_last_attach_of_a_name_steals_it() {
    let mut peer = Peer::with_session();
    let old = peer.attach(0, Role::Sender);
    peer.begin(1, 10);
    // Another direction is another link.
    peer.attach_as(Attach { name: "link-0".into(), ..attach(5, Role::Receiver) });
    let stealing = Attach { name: "link-0".into(), ..attach(0, Role::Sender) };
    peer.send(1, &stealing);
    let Event::Detached { link, by: Initiator::Local, error: Some(error), .. } = peer.event() else { panic!() };
    assert_eq!(link, old);
    check(&error, "amqp:link:stolen", "link-0");
    let Event::Attached(attached) = peer.event() else { panic!() };
    assert!(!attached.resumed);
    assert!(
        matches!(peer.recv(), (0, Performative::Detach(d), _) if d.error.as_ref().unwrap().condition == "amqp:link:stolen")
    );
    assert!(matches!(peer.recv(), (1, Performative::Attach(_), _)));
    peer.send(0, &Detach { handle: 0, closed: true, error: None });
    peer.no_event();
    assert!(peer.engine.is_attached(attached.link));
}

#[test]
fn handles_that_are_in_use_unattached_or_too_high() {
    let mut peer = Peer::with_session();
    peer.attach(3, Role::Sender);
    peer.send(0, &Attach { name: "other".into(), ..attach(3, Role::Sender) });
    peer.expect_end(1, "amqp:session:handle-in-use", "handle 3");

    let mut peer = Peer::with_session();
    peer.send(0, &credit(6, 0, 1));
    peer.expect_end(0, "amqp:session:unattached-handle", "flow for handle 6");
    let mut peer = Peer::with_session();
    peer.transfer(first(6, 0), b"");
    peer.expect_end(0, "amqp:session:unattached-handle", "transfer for handle 6");
    let mut peer = Peer::with_session();
    peer.send(0, &Detach { handle: 6, closed: true, error: None });
    peer.expect_end(0, "amqp:session:unattached-handle", "detach for handle 6");

    let limits = Limits { links: 4, ..limits() };
    let mut peer = Peer::with_session_as(Config { limits, ..config() }, 10);
    peer.send(0, &attach(4, Role::Sender));
    peer.expect_close("amqp:connection:framing-error", "handle-max of 3");
}

#[test]
fn links_are_limited() {
    let limits = Limits { links: 2, ..limits() };
    let mut peer = Peer::with_session_as(Config { limits, ..config() }, 10);
    peer.begin(1, 10);
    peer.attach(0, Role::Sender);
    peer.attach(1, Role::Sender);
    peer.send(1, &Attach { name: "third".into(), ..attach(0, Role::Sender) });
    let (1, Performative::End(end), _) = peer.recv() else { panic!() };
    check(&end.error.unwrap(), "amqp:resource-limit-exceeded", "more than 2 links");
}

#[test]
fn the_peers_handle_max_is_respected() {
    let mut peer = Peer::opened();
    peer.send(0, &Begin { incoming_window: 10, handle_max: 0, ..Begin::default() });
    let Event::SessionBegun { session, .. } = peer.event() else { panic!() };
    let named = |name: &str| Attach { name: name.into(), ..Attach::default() };
    assert!(peer.engine.attach(session, named("a"), 0).is_ok());
    assert_eq!(peer.engine.attach(session, named("b"), 0), Err(CommandError::NoHandle));
}

#[test]
fn a_sender_must_say_where_it_counts_from() {
    let mut peer = Peer::with_session();
    peer.send(0, &Attach { initial_delivery_count: None, ..attach(3, Role::Sender) });
    peer.expect_end(0, "amqp:invalid-field", "initial-delivery-count");
}

#[test]
fn frames_for_a_link_we_detached_are_borne_for_a_while() {
    let mut peer = Peer::with_session();
    let link = peer.attach(0, Role::Sender);
    peer.engine.grant(link, 10);
    peer.recv_flow();
    peer.engine.detach(link, true, Some(Error::new("amqp:link:detach-forced", "go")));
    peer.recv();
    let mut ended = false;
    for id in 0..10_000 {
        peer.transfer(first(0, id), b"x");
        while let Some((_, frame, _)) = peer.try_recv() {
            match frame {
                Performative::Flow(_) => {}
                Performative::End(end) => {
                    assert!(id > 8000);
                    check(&end.error.unwrap(), "amqp:session:errant-link", "link-0");
                    ended = true;
                }
                other => panic!("{other:?}"),
            }
        }
        if ended {
            break;
        }
    }
    assert!(ended);
}

#[test]
fn repeating_attach_and_detach_has_a_budget() {
    let limits = Limits { cycles: 100, ..limits() };
    let mut peer = Peer::with_session_as(Config { limits, ..config() }, 10);
    let mut cycles = 0;
    while !peer.engine.is_closed() {
        peer.events.clear();
        peer.send(0, &attach(0, Role::Sender));
        peer.send(0, &Detach { handle: 0, closed: true, error: None });
        cycles += 1;
    }
    assert_eq!(cycles, 101);
    peer.events.pop_front();
    assert!(
        matches!(peer.event(), Event::Closed(c) if c.error.as_ref().unwrap().condition == "amqp:resource-limit-exceeded")
    );
}

#[test]
fn ten_thousand_links_come_and_go() {
    let mut peer = Peer::with_session();
    for handle in 0..10_000 {
        peer.send(0, &attach(handle, if handle % 2 == 0 { Role::Sender } else { Role::Receiver }));
        peer.events.clear();
    }
    assert_eq!(peer.engine.counts(), (1, 10_000));
    for handle in 0..10_000 {
        peer.send(0, &Detach { handle, closed: true, error: None });
        assert!(matches!(peer.event(), Event::Detached { .. }));
    }
    assert_eq!(peer.engine.counts(), (1, 0));
    peer.send(0, &performative::End::default());
    assert_eq!(peer.engine.counts(), (0, 0));
}
