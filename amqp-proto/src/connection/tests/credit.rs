use super::peer::*;
use crate::{
    Performative,
    connection::*,
    performative::{Attach, Flow, Role},
};

fn send(peer: &mut Peer, link: LinkId) -> bool {
    peer.engine.send(link, &SendHead { settled: true, ..SendHead::default() }, &Payload::empty(), End::Complete).done
}

#[test]
fn we_send_no_more_than_the_credit() {
    let mut peer = Peer::with_session();
    let link = peer.attach(0, Role::Receiver);
    assert!(!send(&mut peer, link));
    peer.send(0, &credit(0, 0, 2));
    assert!(matches!(peer.event(), Event::Credit { credit: 2, drain: false, user: 7, .. }));
    assert!(send(&mut peer, link) && send(&mut peer, link));
    assert!(!send(&mut peer, link));
    peer.recv_transfer();
    peer.recv_transfer();
    // One of them seen: three credits beyond it are two more.
    peer.send(0, &credit(0, 1, 3));
    assert!(matches!(peer.event(), Event::Credit { credit: 2, .. }));
    // Reduced below what is on its way.
    peer.send(0, &credit(0, 1, 0));
    assert!(matches!(peer.event(), Event::Credit { credit: 0, .. }));
    assert!(!send(&mut peer, link));
    // The same again changes nothing.
    peer.send(0, &credit(0, 2, 0));
    peer.no_event();
}

#[test]
fn credit_counts_across_the_wrap() {
    let mut peer = Peer::with_session_as(Config { first_id: u32::MAX - 1, ..config() }, 100);
    let link = peer.attach(0, Role::Receiver);
    peer.send(0, &Flow { next_incoming_id: None, ..credit(0, u32::MAX - 1, 5) });
    assert!(matches!(peer.event(), Event::Credit { credit: 5, .. }));
    for expected in [u32::MAX - 1, u32::MAX, 0, 1] {
        assert!(send(&mut peer, link));
        assert_eq!(peer.recv_transfer().0.delivery_id, Some(expected));
    }
    peer.send(0, &Flow { next_incoming_id: Some(1), ..credit(0, 1, 5) });
    assert!(matches!(peer.event(), Event::Credit { credit: 4, .. }));

    // And as the receiver.
    let mut sender = attach(1, Role::Sender);
    sender.initial_delivery_count = Some(u32::MAX);
    let link = peer.attach_as(sender);
    peer.engine.grant(link, 3);
    assert_eq!(peer.recv_flow().delivery_count, Some(u32::MAX));
    for id in [u32::MAX - 1, u32::MAX, 0] {
        peer.transfer(first(1, id), b"x");
        assert!(matches!(peer.event(), Event::Transfer(t) if t.delivery_id == id));
    }
    peer.engine.grant(link, 3);
    assert_eq!(peer.recv_flow().delivery_count, Some(2));
    peer.transfer(first(1, 7), b"x");
    peer.expect_end(2, "amqp:invalid-field", "delivery-id is 7 where 1");
}

#[test]
fn the_drain_of_a_receiver() {
    let mut peer = Peer::with_session();
    let link = peer.attach(0, Role::Receiver);
    peer.send(0, &Flow { drain: true, ..credit(0, 0, 10) });
    assert!(matches!(peer.event(), Event::Credit { credit: 10, drain: true, .. }));
    assert!(send(&mut peer, link));
    peer.engine.drained(link);
    peer.recv_transfer();
    let flow = peer.recv_flow();
    assert_eq!((flow.handle, flow.delivery_count, flow.link_credit, flow.drain), (Some(0), Some(10), Some(0), true));
    assert!(!send(&mut peer, link));
    // Asked again without credit: told again, so that the owner answers.
    peer.send(0, &Flow { drain: true, next_incoming_id: Some(1), ..credit(0, 10, 0) });
    assert!(matches!(peer.event(), Event::Credit { credit: 0, drain: true, .. }));
    peer.engine.drained(link);
    assert_eq!(peer.recv_flow().delivery_count, Some(10));
    peer.send(0, &Flow { next_incoming_id: Some(1), ..credit(0, 10, 1) });
    assert!(matches!(peer.event(), Event::Credit { credit: 1, drain: false, .. }));
}

#[test]
fn draining_a_sender() {
    let mut peer = Peer::with_session();
    let link = peer.attach(0, Role::Sender);
    assert!(!peer.engine.request_drain(link), "no credit, nothing to drain");
    peer.quiet();
    peer.engine.grant(link, 10);
    peer.recv_flow();
    peer.transfer(first(0, 0), b"x");
    peer.event();
    assert!(peer.engine.request_drain(link));
    let flow = peer.recv_flow();
    assert_eq!((flow.delivery_count, flow.link_credit, flow.drain), (Some(1), Some(9), true));
    peer.transfer(first(0, 1), b"x");
    peer.event();
    // The peer gives the rest back.
    let answer = Flow { next_outgoing_id: 2, drain: true, ..credit(0, 10, 0) };
    peer.send(0, &answer);
    assert!(matches!(peer.event(), Event::Drained { returned: 8, user: 7, .. }));
    assert_eq!(peer.engine.link_credit(link), 0);
    peer.engine.grant(link, 1);
    let flow = peer.recv_flow();
    assert_eq!((flow.delivery_count, flow.link_credit, flow.drain), (Some(10), Some(1), false));
}

#[test]
fn a_grant_takes_the_drain_back() {
    let mut peer = Peer::with_session();
    let link = peer.attach(0, Role::Sender);
    peer.engine.grant(link, 10);
    peer.recv_flow();
    peer.engine.request_drain(link);
    peer.recv_flow();
    peer.engine.grant(link, 5);
    let flow = peer.recv_flow();
    assert_eq!((flow.link_credit, flow.drain), (Some(15), false));
    // It crossed the answer to the drain: what was given back is told, the rest stays.
    peer.send(0, &Flow { drain: true, ..credit(0, 10, 0) });
    assert!(matches!(peer.event(), Event::Drained { returned: 10, .. }));
    assert_eq!(peer.engine.link_credit(link), 5);
    peer.engine.request_drain(link);
    peer.engine.grant(link, 0);
    assert!(!peer.recv_flow().drain);
}

#[test]
fn a_sender_that_used_all_credit_has_drained() {
    let mut peer = Peer::with_session();
    let link = peer.attach(0, Role::Sender);
    peer.engine.grant(link, 1);
    peer.recv_flow();
    peer.engine.request_drain(link);
    peer.recv_flow();
    peer.transfer(first(0, 0), b"x");
    peer.event();
    peer.send(0, &Flow { next_outgoing_id: 1, drain: true, ..credit(0, 1, 0) });
    assert!(matches!(peer.event(), Event::Drained { returned: 0, .. }));
    peer.no_event();
}

#[test]
fn a_transfer_without_credit_costs_the_link() {
    let mut peer = Peer::with_session();
    let link = peer.attach(0, Role::Sender);
    let other = peer.attach(1, Role::Sender);
    peer.engine.grant(link, 1);
    peer.engine.grant(other, 1);
    peer.recv_flow();
    peer.recv_flow();
    peer.transfer(first(0, 0), b"x");
    peer.event();
    peer.transfer(first(0, 1), b"x");
    peer.expect_detach("amqp:link:transfer-limit-exceeded", "delivery 1 on link link-0 without credit");
    // More of the same on its way, then another link goes on in the same sequence.
    peer.transfer(first(0, 2), b"x");
    peer.no_event();
    peer.transfer(first(1, 3), b"x");
    assert!(matches!(peer.event(), Event::Transfer(t) if t.link == other));
    // Nor may the delivery-count run ahead of the credit.
    peer.send(0, &Flow { next_outgoing_id: 4, ..credit(1, 9, 0) });
    peer.expect_detach("amqp:link:transfer-limit-exceeded", "8 beyond the credit");
}

#[test]
fn grants_are_coalesced_and_small_ones_wait() {
    let mut peer = Peer::with_session();
    let link = peer.attach(0, Role::Sender);
    for _ in 0..100 {
        peer.engine.grant(link, 1);
    }
    assert_eq!(peer.recv_flow().link_credit, Some(100));
    peer.quiet();
    let mut flows = 0;
    for id in 0..1000 {
        peer.transfer(first(0, id), b"x");
        peer.event();
        peer.engine.grant(link, 1);
        peer.engine.flush();
        while let Some((_, Performative::Flow(flow), _)) = peer.try_recv() {
            flows += u32::from(flow.handle.is_some());
        }
    }
    assert!((40..=60).contains(&flows), "{flows}");
}

#[test]
fn a_grant_that_waited_is_told_when_the_credit_runs_low() {
    let mut peer = Peer::with_session();
    let link = peer.attach(0, Role::Sender);
    peer.engine.grant(link, 100);
    peer.recv_flow();
    peer.engine.grant(link, 10);
    peer.quiet();
    let mut told = false;
    for id in 0..100 {
        peer.transfer(first(0, id), b"x");
        if let Some((_, Performative::Flow(flow), _)) = peer.try_recv() {
            assert_eq!(flow.link_credit, Some(100 - id - 1 + 10));
            told = true;
            break;
        }
    }
    assert!(told);
}

#[test]
fn credit_may_be_granted_before_the_attach_is_answered() {
    let mut peer = Peer::with_session();
    peer.polite = false;
    peer.send(0, &attach(0, Role::Sender));
    let Event::Attached(attached) = peer.event() else { panic!() };
    peer.engine.grant(attached.link, 10);
    peer.quiet();
    peer.engine.accept_attach(attached.link, attached.answer(None, attached.attach.target.clone()), 0);
    assert!(matches!(peer.recv(), (0, Performative::Attach(_), _)));
    assert_eq!(peer.recv_flow().link_credit, Some(10));
}

#[test]
fn available_and_echo() {
    let mut peer = Peer::with_session();
    let link = peer.attach(0, Role::Sender);
    peer.send(0, &Flow { available: Some(5), echo: true, ..credit(0, 0, 0) });
    assert!(matches!(peer.event(), Event::Available { available: 5, link: l, .. } if l == link));
    assert_eq!(peer.recv_flow().handle, Some(0));
    let out = peer.attach_as(Attach { name: "out".into(), ..attach(1, Role::Receiver) });
    peer.engine.set_available(out, 12);
    peer.send(0, &Flow { echo: true, ..credit(1, 0, 3) });
    assert!(matches!(peer.event(), Event::Credit { .. }));
    let flow = peer.recv_flow();
    assert_eq!((flow.available, flow.link_credit, flow.echo), (Some(12), Some(3), false));
}
