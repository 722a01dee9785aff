//! Peers that do not do what a router does.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use amqp_adaptor::{ConnectorConfig, ConnectorState, NeighbourEvent};
use amqp_proto::{Error, Role, SourceTerminus};

use super::{Fake, connector, start, wait};
use crate::client::Client;
use crate::router::{Router, listener};

fn impatient(port: u16) -> ConnectorConfig {
    ConnectorConfig { handshake_timeout: Some(Duration::from_millis(300)), ..connector(port) }
}

#[test]
fn answers_in_another_order_are_as_good() {
    let fake = Fake::new();
    let a = Router::named("A", 1, listener());
    let up = start(&a, connector(fake.port));
    let mut peer = fake.router("B");
    peer.answers = false;
    peer.wait("attaches", |c| c.offered.len() == 22);
    let offered = std::mem::take(&mut peer.offered);
    // The order of the reference: control, then each priority in a session of its own; first what we receive on.
    let roles: Vec<Role> = offered.iter().map(|o| o.attach.role).collect();
    assert_eq!(roles, [Role::Receiver, Role::Sender].repeat(11));
    for (n, attached) in offered.iter().enumerate() {
        let Some(SourceTerminus::Source(source)) = &attached.attach.source else { panic!() };
        assert_eq!(source.capabilities.contains("qd.router"), n < 2);
        assert_eq!(source.capabilities.contains("qd.router-data"), n >= 2);
        assert_eq!(source.expiry_policy, amqp_proto::EXPIRY_LINK_DETACH);
        assert_eq!(attached.session, offered[n / 2 * 2].session);
        assert!(attached.attach.name.as_str().starts_with("qdlink."));
    }
    for attached in offered.iter().rev() {
        peer.answer(attached);
    }
    peer.write();
    let conn = a.control();
    a.wait("all links", |r| {
        let table = r.on(conn, move |adaptor| adaptor.neighbour_links(conn)).unwrap();
        table.data_in.iter().chain(&table.data_out).all(Option::is_some)
    });
    // Credit that was granted before the answers came.
    for attached in offered.iter().filter(|o| o.attach.role == Role::Receiver) {
        peer.wait("credit", |c| c.engine.link_credit(attached.link) == 250);
    }
    up.stop();
    peer.wait("close", |c| c.closed.is_some());
    drop(peer);
    a.wait_empty();
}

#[test]
fn a_refused_control_link_is_tried_again() {
    let fake = Fake::new();
    let a = Router::named("A", 1, listener());
    let up = start(&a, connector(fake.port));
    for _ in 0..2 {
        let mut peer = fake.router("B");
        peer.answers = false;
        peer.wait("attaches", |c| c.offered.len() == 22);
        let link = peer.offered[1].link;
        peer.engine.refuse_attach(link, Error::new("qd:forbidden", "not you"));
        peer.wait("close", |c| c.closed.is_some());
        drop(peer);
        let status = wait(&up, "failure", |s| s.state != ConnectorState::Success);
        assert!(status.message.contains("not you"), "{status:?}");
    }
    assert!(a.control_up().is_none());
    up.stop();
    a.wait_empty();
}

#[test]
fn a_control_link_that_ends_is_made_again() {
    let fake = Fake::new();
    let a = Router::named("A", 1, listener());
    let up = start(&a, connector(fake.port));
    for opened in 1..3 {
        let mut peer = fake.router("B");
        peer.wait("attaches", |c| c.offered.len() == 22);
        wait(&up, "success", |s| s.opened == opened && s.state == ConnectorState::Success);
        let ups = |r: &Router| r.events().iter().filter(|e| matches!(e, NeighbourEvent::ControlUp { .. })).count();
        a.wait("control links", |r| ups(r) as u64 == opened);
        let link = peer.offered[0].link;
        peer.engine.detach(link, true, None);
        peer.wait("close", |c| c.closed.is_some());
    }
    up.stop();
    a.wait_empty();
}

#[test]
fn peers_that_say_nothing_are_given_up() {
    let fake = Fake::new();
    let a = Router::named("A", 1, listener());
    let up = start(&a, impatient(fake.port));
    // Not a byte.
    let mut mute = fake.accept();
    let status = wait(&up, "failure", |s| s.failures > 0);
    assert!(status.message.contains("handshake took too long"), "{status:?}");
    let _ = mute.read_to_end(&mut Vec::new());
    // An open, and no answer to any attach. On a busy machine the open itself may take longer than allowed.
    let mut peer = loop {
        let mut peer = fake.router("B");
        peer.answers = false;
        peer.wait("attaches", |c| c.offered.len() == 22 || c.eof);
        if peer.offered.len() == 22 {
            break peer;
        }
    };
    peer.wait("close", |c| c.closed.is_some());
    let text = peer.closed.clone().flatten().unwrap().to_string();
    assert!(text.contains("not attached in time"), "{text}");
    drop(peer);
    up.stop();
    a.wait_empty();
}

#[test]
fn peers_that_hang_up_half_way() {
    let fake = Fake::new();
    let a = Router::named("A", 1, listener());
    let up = start(&a, connector(fake.port));
    let mut failures = 0;
    let mut hung_up = |opened: u64| {
        failures = if opened > 0 { 1 } else { failures + 1 };
        wait(&up, "failure", |s| s.failures >= failures && s.opened == opened)
    };
    drop(fake.accept());
    hung_up(0);
    // Not what was expected.
    let mut socket = fake.accept();
    socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    let status = hung_up(0);
    assert!(status.message.contains("framing-error"), "{status:?}");
    drop(socket);
    // In the middle of the set-up.
    let mut peer = fake.router("B");
    peer.answers = false;
    peer.wait("attaches", |c| c.offered.len() == 22);
    for attached in peer.offered.drain(..5).collect::<Vec<_>>() {
        peer.answer(&attached);
    }
    peer.write();
    a.control();
    drop(peer);
    a.wait("the end", |r| r.open_neighbours().is_empty());
    hung_up(1);
    // With a reason.
    let mut peer = fake.router("B");
    peer.wait("attaches", |c| c.offered.len() == 22);
    peer.engine.close(Some(Error::new("amqp:connection:forced", "maintenance")));
    peer.wait("close", |c| c.closed.is_some());
    let closed = |event: &NeighbourEvent| matches!(event, NeighbourEvent::Closed { reason, .. } if reason.contains("maintenance"));
    a.wait("the reason", |r| r.events().iter().any(closed));
    let status = hung_up(2);
    assert!(status.message.contains("maintenance"), "{status:?}");
    drop(peer);
    up.stop();
    a.wait_empty();
}

#[test]
fn a_peer_that_gives_no_credit_is_not_waited_for() {
    let fake = Fake::new();
    let a = Router::named("A", 1, listener());
    let up = start(&a, connector(fake.port));
    let mut peer = fake.router("B");
    peer.answers = false;
    peer.wait("attaches", |c| c.offered.len() == 22);
    let offered = std::mem::take(&mut peer.offered);
    for attached in &offered {
        let answer = attached.answer(attached.attach.source.clone(), attached.attach.target.clone());
        peer.engine.accept_attach(attached.link, answer, 0);
    }
    peer.write();
    let conn = a.control();
    // Of many hellos only the last is sent when there is credit.
    for n in 0..1000u32 {
        let bytes = n.to_be_bytes().to_vec().into();
        a.neighbours.send_control(conn, amqp_adaptor::ControlMessage { bytes, hello: true });
    }
    a.each(|_| ());
    // The second link is the one on which the connector sends.
    peer.engine.grant(offered[1].link, 10);
    peer.wait("the last hello", |c| c.received.len() == 1);
    assert_eq!(peer.received[0], 999u32.to_be_bytes());
    up.stop();
    peer.wait("close", |c| c.closed.is_some());
    drop(peer);
    a.wait_empty();
}

#[test]
fn hostile_messages_on_control_links_do_no_harm() {
    let fake = Fake::new();
    let a = Router::named("A", 1, listener());
    let up = start(&a, connector(fake.port));
    let mut peer: Client = fake.router("B");
    peer.wait("attaches", |c| c.offered.len() == 22);
    a.control();
    // The first link is the one on which the connector receives.
    let link = peer.offered[0].link;
    peer.wait("credit", |c| c.engine.link_credit(link) > 0);
    let garbage = vec![0xff; 5000];
    peer.send(link, &garbage, true);
    // Larger than allowed, in frames.
    peer.send(link, &vec![1; amqp_adaptor::MAX_CONTROL_MESSAGE + 1], false);
    peer.send(link, b"sane", true);
    let came = |event: &NeighbourEvent| matches!(event, NeighbourEvent::Control { message, .. } if message == "sane");
    a.wait("the sane one", |r| r.events().iter().any(came));
    peer.wait("outcome", |c| c.outcomes.len() == 1);
    assert!(matches!(peer.outcomes[0], Some(amqp_proto::DeliveryState::Rejected(_))));
    assert_eq!(a.bytes_held(), 0);
    up.stop();
    peer.wait("close", |c| c.closed.is_some());
    drop(peer);
    a.wait_empty();
}
