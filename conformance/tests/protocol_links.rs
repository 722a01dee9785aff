//! Links: attach, termini, credit, drain, detach and attaching again.

use conformance::Router;
use conformance::raw::{Frame, Peer, V, code, message};

fn accepted() -> V {
    V::Desc(code::ACCEPTED, Box::new(V::List(Vec::new())))
}

#[test]
fn termini_are_echoed() {
    let router = Router::plain();
    let mut peer = Peer::begun(router.port);
    let capabilities = V::Sym("x-mine".to_owned());
    let target = V::Desc(0x29, Box::new(V::List(vec![V::str("echo"), V::Uint(0), V::sym("session-end")])));
    let attach = Frame::sender("s", 0, None).with(6, target).with(12, capabilities);
    peer.send(&attach);
    let answer = peer.expect(code::ATTACH);
    assert_eq!(answer.field(0).text(), Some("s"));
    assert!(answer.field(2).is_true(), "the router is the receiver");
    assert_eq!(answer.field(6).field(0).text(), Some("echo"));
    assert_eq!(answer.field(5).field(0).text(), Some("client"));
}

#[test]
fn unknown_filters_and_properties_do_no_harm() {
    let router = Router::plain();
    let mut peer = Peer::begun(router.port);
    let filter = V::Map(vec![(V::sym("x:filter"), V::Desc(0x1234_5678, Box::new(V::str("a > 5"))))]);
    let source = V::Desc(
        0x28,
        Box::new(V::List(vec![
            V::str("filtered"),
            V::Uint(2),
            V::sym("never"),
            V::Uint(60),
            V::Bool(false),
            V::Null,
            V::sym("copy"),
            filter,
            V::Desc(code::RELEASED, Box::new(V::List(Vec::new()))),
        ])),
    );
    let properties = V::Map(vec![(V::sym("x"), V::List(vec![V::Bool(true), V::Long(-1)]))]);
    peer.send(&Frame::receiver("r", 0, None).with(5, source).with(13, properties));
    let answer = peer.expect(code::ATTACH);
    assert_eq!(answer.field(5).field(0).text(), Some("filtered"));
    peer.close();
}

#[test]
fn unavailable_addresses_are_refused() {
    let mut router = Router::with(|config| {
        config.section("address", &[("prefix", "closed"), ("distribution", "unavailable")]);
    });
    let mut peer = Peer::begun(router.port);
    peer.send(&Frame::sender("s", 0, Some("closed/a")));
    // §2.6.3: the answer has no terminus, then the detach says why.
    let answer = peer.expect(code::ATTACH);
    assert_eq!(*answer.field(6), V::Null, "{answer:?}");
    peer.expect_detach("amqp:not-found");
    peer.send(&Frame::detach(0, true));
    peer.send(&Frame::receiver("r", 0, Some("closed/a")));
    let answer = peer.expect(code::ATTACH);
    assert_eq!(*answer.field(5), V::Null, "{answer:?}");
    peer.expect_detach("amqp:not-found");
    router.assert_alive();
}

#[test]
fn dynamic_source() {
    let router = Router::plain();
    let mut peer = Peer::begun(router.port);
    let answer = peer.attach_receiver(0, None, 10);
    let address = answer.field(5).field(0).text().unwrap().to_owned();
    assert!(address.starts_with("amqp:/_topo/0/QDR/temp."), "{address}");
    // Two are different, and both are reached by their addresses.
    let other = peer.attach_receiver(1, None, 10);
    let other = other.field(5).field(0).text().unwrap().to_owned();
    assert_ne!(address, other);
    let mut producer = Peer::begun(router.port);
    producer.attach_sender(0, None);
    producer.send(&Frame::transfer(0, 0, message::to(&other, b"to the other")));
    producer.send(&Frame::transfer(0, 1, message::to(&address, b"to the first")));
    let (one, body) = peer.expect_delivery();
    assert_eq!((one.field(0).clone(), body), (V::Uint(1), message::to(&other, b"to the other")));
    let (two, body) = peer.expect_delivery();
    assert_eq!((two.field(0).clone(), body), (V::Uint(0), message::to(&address, b"to the first")));
}

#[test]
fn dynamic_target() {
    let router = Router::plain();
    let mut peer = Peer::begun(router.port);
    let target = V::Desc(0x29, Box::new(V::List(vec![V::Null, V::Null, V::Null, V::Null, V::Bool(true)])));
    peer.send(&Frame::sender("s", 0, None).with(6, target));
    let answer = peer.expect(code::ATTACH);
    let address = answer.field(6).field(0).text().unwrap().to_owned();
    assert!(address.starts_with("amqp:/_$temp."), "{address}");
    peer.attach_receiver(1, Some(&address), 10);
    peer.expect(code::FLOW);
    peer.send(&Frame::transfer(0, 0, message::data(b"dynamic")));
    assert_eq!(peer.expect_delivery().1, message::data(b"dynamic"));
}

#[test]
fn credit_only_while_there_is_a_consumer() {
    let router = Router::plain();
    let mut producer = Peer::begun(router.port);
    producer.send(&Frame::sender("s", 0, Some("later")));
    producer.expect(code::ATTACH);
    // No credit. (A flow with none would be fine.)
    producer.send(&Frame::begin().on(1));
    loop {
        let frame = producer.next_frame().unwrap();
        match frame.code {
            Some(code::BEGIN) => break,
            Some(code::FLOW) => assert_eq!(frame.field(6).number().unwrap_or(0), 0, "{frame:?}"),
            _ => panic!("{frame:?}"),
        }
    }
    let mut consumer = Peer::begun(router.port);
    consumer.attach_receiver(0, Some("later"), 1);
    let flow = producer.expect(code::FLOW);
    assert_eq!(flow.field(6).number(), Some(250), "the reference's credit: {flow:?}");
    // When the last consumer goes, the credit is withdrawn by a drain.
    consumer.send(&Frame::detach(0, true));
    consumer.expect(code::DETACH);
    while !producer.expect(code::FLOW).field(8).is_true() {}
    producer.send(&Frame::credit(0, 250, 0).with(8, V::Bool(true)));
    // And given again.
    consumer.attach_receiver(1, Some("later"), 1);
    let flow = loop {
        let flow = producer.expect(code::FLOW);
        if flow.field(6).number().unwrap_or(0) > 0 && !flow.field(8).is_true() {
            break flow;
        }
    };
    let credit = flow.field(6).number().unwrap();
    assert!(credit >= 1, "{flow:?}");
    producer.send(&Frame::transfer(0, 0, message::data(b"at last")));
    assert_eq!(consumer.expect_delivery().1, message::data(b"at last"));
}

#[test]
fn link_capacity_is_the_credit() {
    let mut config = conformance::Config::new();
    config.listener(&[("linkCapacity", "17")]);
    let router = config.start();
    let mut peer = Peer::begun(router.port);
    peer.attach_receiver(0, Some("a"), 1);
    assert_eq!(peer.attach_sender(1, Some("a")), 17);
}

#[test]
fn an_anonymous_sender_has_credit_at_once() {
    let router = Router::plain();
    let mut peer = Peer::begun(router.port);
    assert_eq!(peer.attach_sender(0, None), 250);
    // No consumer: released. No address: rejected.
    peer.send(&Frame::transfer(0, 0, message::to("nobody", b"x")));
    let outcome = peer.expect(code::DISPOSITION);
    assert_eq!(outcome.field(4).descriptor(), Some(code::RELEASED), "{outcome:?}");
    peer.send(&Frame::transfer(0, 1, message::data(b"no address")));
    let outcome = peer.expect(code::DISPOSITION);
    assert_eq!(outcome.field(4).descriptor(), Some(code::REJECTED), "{outcome:?}");
    assert_eq!(outcome.field(4).field(0).field(0).text(), Some("amqp:precondition-failed"), "{outcome:?}");
}

#[test]
fn transfer_without_credit() {
    let mut router = Router::plain();
    let mut peer = Peer::begun(router.port);
    peer.send(&Frame::sender("s", 0, Some("nobody")));
    peer.expect(code::ATTACH);
    peer.send(&Frame::transfer(0, 0, message::data(b"x")));
    // §2.6.7: transfer-limit-exceeded. Others release it, and so does the reference.
    loop {
        let frame = peer.next_frame().expect("an answer");
        match frame.code {
            Some(code::FLOW) => {}
            Some(code::DETACH) => {
                assert_eq!(frame.field(2).field(0).text(), Some("amqp:link:transfer-limit-exceeded"));
                assert!(frame.field(2).field(1).text().is_some_and(|text| !text.is_empty()));
                break;
            }
            Some(code::DISPOSITION) => {
                assert_eq!(frame.field(4).descriptor(), Some(code::RELEASED));
                break;
            }
            _ => panic!("{frame:?}"),
        }
    }
    router.assert_alive();
}

#[test]
fn more_transfers_than_credit() {
    let mut config = conformance::Config::new();
    config.listener(&[("linkCapacity", "5")]);
    let mut router = config.start();
    let mut consumer = Peer::begun(router.port);
    consumer.attach_receiver(0, Some("limited"), 0);
    consumer.send(&Frame::credit(0, 0, 1));
    let mut peer = Peer::begun(router.port);
    let credit = peer.attach_sender(0, Some("limited"));
    assert_eq!(credit, 5);
    for id in 0..50 {
        peer.try_send(&Frame::transfer(0, id, message::data(b"x")));
    }
    peer.expect_detach("amqp:link:transfer-limit-exceeded");
    router.assert_alive();
}

#[test]
fn drain_is_answered() {
    let router = Router::plain();
    let mut peer = Peer::begun(router.port);
    peer.attach_receiver(0, Some("dry"), 0);
    peer.send(&Frame::credit(0, 0, 10).with(8, V::Bool(true)));
    // delivery-count is advanced by all the credit (§2.6.7).
    let flow = loop {
        let flow = peer.expect(code::FLOW);
        if flow.field(8).is_true() {
            break flow;
        }
    };
    assert_eq!(flow.field(5).number(), Some(10), "{flow:?}");
    assert_eq!(flow.field(6).number(), Some(0), "{flow:?}");
    // Again, from the new delivery-count.
    peer.send(&Frame::credit(0, 10, 5).with(8, V::Bool(true)));
    let flow = peer.expect(code::FLOW);
    assert_eq!(flow.field(5).number(), Some(15), "{flow:?}");
}

#[test]
fn a_drain_without_credit_is_answered() {
    // go-amqp drains with link-credit 0; the reference does not answer, and the client waits for ever.
    let router = Router::plain();
    let mut peer = Peer::begun(router.port);
    peer.attach_receiver(0, Some("dry"), 0);
    peer.send(&Frame::credit(0, 0, 0).with(8, V::Bool(true)));
    let flow = peer.expect(code::FLOW);
    assert!(flow.field(8).is_true(), "{flow:?}");
    assert_eq!(flow.field(6).number(), Some(0));
}

#[test]
fn drain_gives_what_is_there_first() {
    let router = Router::plain();
    let mut consumer = Peer::begun(router.port);
    consumer.attach_receiver(0, Some("some"), 0);
    let mut producer = Peer::begun(router.port);
    producer.attach_sender(0, Some("some"));
    for id in 0..3 {
        producer.send(&Frame::transfer(0, id, message::data(&[id as u8])));
    }
    // A round trip of the producer: its messages are in the router.
    producer.expect_nothing(1);
    consumer.send(&Frame::credit(0, 0, 10).with(8, V::Bool(true)));
    for id in 0..3_u8 {
        assert_eq!(consumer.expect_delivery().1, message::data(&[id]));
    }
    let flow = consumer.expect(code::FLOW);
    assert_eq!(flow.field(5).number(), Some(10), "{flow:?}");
    assert!(flow.field(8).is_true(), "{flow:?}");
}

#[test]
fn a_link_flow_with_echo_is_answered() {
    let router = Router::plain();
    let mut peer = Peer::begun(router.port);
    peer.attach_receiver(0, Some("echo"), 0);
    peer.send(&Frame::credit(0, 0, 3).with(9, V::Bool(true)));
    let flow = peer.expect(code::FLOW);
    assert_eq!(flow.field(4).number(), Some(0), "{flow:?}");
}

#[test]
fn credit_may_be_withdrawn() {
    let router = Router::plain();
    let mut consumer = Peer::begun(router.port);
    consumer.attach_receiver(0, Some("less"), 5);
    consumer.send(&Frame::credit(0, 0, 0));
    consumer.expect_nothing(1);
    let mut producer = Peer::begun(router.port);
    producer.attach_sender(0, Some("less"));
    producer.send(&Frame::transfer(0, 0, message::data(b"x")));
    producer.expect_nothing(1);
    consumer.expect_nothing(1);
    consumer.send(&Frame::credit(0, 0, 1));
    consumer.expect_delivery();
}

#[test]
fn detach_is_answered_alike() {
    let router = Router::plain();
    let mut peer = Peer::begun(router.port);
    for (handle, closed) in [(0, true), (1, false)] {
        peer.attach_receiver(handle, Some("a"), 1);
        peer.send(&Frame::detach(handle, closed));
        let detach = peer.expect(code::DETACH);
        assert_eq!(detach.field(1).is_true(), closed, "{detach:?}");
        assert_eq!(*detach.field(2), V::Null, "{detach:?}");
    }
    peer.close();
}

#[test]
fn attaching_again_by_name() {
    if conformance::router::foreign_router().is_some() {
        eprintln!("not against this router: the reference closes the connection");
        return;
    }
    let router = Router::plain();
    let mut peer = Peer::begun(router.port);
    let mut producer = Peer::begun(router.port);
    for round in 0..3_u32 {
        // The same name and handle, after a detach that did not close.
        peer.send(&Frame::receiver("again", 0, Some("again")));
        let answer = peer.expect(code::ATTACH);
        assert_eq!(answer.field(5).field(0).text(), Some("again"));
        peer.send(&Frame::credit(0, 0, 10));
        if round == 0 {
            producer.attach_sender(0, Some("again"));
        }
        producer.send(&Frame::transfer(0, round, message::data(&[round as u8])));
        let (transfer, body) = peer.expect_delivery();
        assert_eq!(body, message::data(&[round as u8]));
        let id = transfer.field(1).number().unwrap() as u32;
        peer.send(&Frame::settle(id, id, accepted()));
        assert_eq!(producer.expect(code::DISPOSITION).field(4).descriptor(), Some(code::ACCEPTED));
        peer.send(&Frame::detach(0, false));
        peer.expect(code::DETACH);
    }
    peer.close();
}

#[test]
fn handles_are_reused() {
    let router = Router::plain();
    let mut peer = Peer::begun(router.port);
    for round in 0..300 {
        peer.send(&Frame::receiver(&format!("r{round}"), 4, Some("a")));
        peer.expect(code::ATTACH);
        peer.send(&Frame::detach(4, true));
        peer.expect(code::DETACH);
    }
    peer.close();
}

#[test]
fn a_name_in_use_by_another_connection_is_no_concern() {
    // Link names belong to a pair of containers and a direction (§2.6.1).
    let router = Router::plain();
    let mut one = Peer::begun(router.port);
    let mut two = Peer::begun(router.port);
    for peer in [&mut one, &mut two] {
        peer.send(&Frame::receiver("same", 0, Some("a")));
        peer.expect(code::ATTACH);
        peer.send(&Frame::sender("same", 1, Some("b")));
        peer.expect(code::ATTACH);
    }
    one.close();
    two.close();
}

#[test]
fn handles_are_sparse() {
    let router = Router::plain();
    let mut peer = Peer::begun(router.port);
    let max = 0xffff_fffe_u32;
    peer.send(&Frame::receiver("far", max, Some("a")));
    // Taken, or refused with a reason: never a table of four billion entries.
    let frame = loop {
        let frame = peer.next_frame().expect("an answer");
        if frame.code != Some(code::FLOW) {
            break frame;
        }
    };
    match frame.code {
        Some(code::ATTACH) => {}
        Some(code::CLOSE | code::END) => {
            assert!(frame.field(0).field(1).text().is_some_and(|text| !text.is_empty()), "{frame:?}");
        }
        _ => panic!("{frame:?}"),
    }
}
