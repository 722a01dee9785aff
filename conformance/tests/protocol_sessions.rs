//! Sessions: order, channels, handles, windows, serial numbers.

use conformance::Router;
use conformance::raw::{AMQP_HEADER, Frame, Peer, V, code, message};

/// Conditions for a frame that comes when it must not. The specification names none.
const ORDER: &[&str] = &[
    "amqp:illegal-state",
    "amqp:not-allowed",
    "amqp:connection:framing-error",
    "amqp:invalid-field",
    "amqp:session:errant-link",
];

#[test]
fn begin_before_open() {
    let mut router = Router::plain();
    let mut peer = Peer::connect(router.port);
    peer.send_bytes(&AMQP_HEADER);
    peer.send(&Frame::begin());
    assert_eq!(peer.read_header(), Some(AMQP_HEADER));
    peer.expect_close(ORDER);
    router.assert_alive();
}

#[test]
fn open_twice() {
    let mut router = Router::plain();
    let mut peer = Peer::opened(router.port);
    peer.send(&Frame::open("again"));
    peer.expect_close(ORDER);
    router.assert_alive();
}

#[test]
fn frames_on_a_channel_that_is_not_begun() {
    for frame in [
        Frame::sender("s", 0, Some("a")),
        Frame::credit(0, 0, 1),
        Frame::transfer(0, 0, message::data(b"x")),
        Frame::settle(0, 0, V::Desc(code::ACCEPTED, Box::new(V::List(Vec::new())))),
        Frame::detach(0, true),
        Frame::end(),
    ] {
        let mut router = Router::plain();
        let mut peer = Peer::opened(router.port);
        peer.send(&frame.on(5));
        peer.expect_close(ORDER);
        router.assert_alive();
    }
}

#[test]
fn begin_twice_on_one_channel() {
    let mut router = Router::plain();
    let mut peer = Peer::begun(router.port);
    peer.send(&Frame::begin());
    peer.expect_close(ORDER);
    router.assert_alive();
}

#[test]
fn a_channel_beyond_the_maximum() {
    let mut router = Router::plain();
    let mut peer = Peer::opened(router.port);
    peer.send(&Frame::begin().on(32_768));
    peer.expect_close(ORDER);
    router.assert_alive();
}

#[test]
fn the_last_channel_works() {
    let router = Router::plain();
    let mut peer = Peer::opened(router.port);
    peer.send(&Frame::begin().on(32_767));
    let begin = peer.expect(code::BEGIN);
    assert_eq!(begin.field(0).number(), Some(32_767));
    peer.send(&Frame::end().on(32_767));
    peer.expect(code::END);
    peer.close();
}

#[test]
fn max_sessions_is_announced_and_kept() {
    let mut config = conformance::Config::new();
    config.listener(&[("maxSessions", "4")]);
    let mut router = config.start();
    let mut peer = Peer::connect(router.port);
    assert_eq!(peer.open("few").field(3).number(), Some(3));
    for channel in 0..4 {
        peer.send(&Frame::begin().on(channel));
        peer.expect(code::BEGIN);
    }
    peer.send(&Frame::begin().on(4));
    peer.expect_close(ORDER);
    router.assert_alive();
}

#[test]
fn channels_are_reused() {
    let router = Router::plain();
    let mut peer = Peer::opened(router.port);
    for _ in 0..300 {
        peer.send(&Frame::begin().on(3));
        peer.expect(code::BEGIN);
        peer.send(&Frame::sender("s", 0, Some("a")).on(3));
        peer.expect(code::ATTACH);
        peer.send(&Frame::end().on(3));
        peer.expect(code::END);
    }
    peer.close();
}

#[test]
fn unattached_handles() {
    for frame in [Frame::transfer(9, 0, message::data(b"x")), Frame::credit(9, 0, 1)] {
        let mut router = Router::plain();
        let mut peer = Peer::begun(router.port);
        peer.send(&frame);
        peer.expect_session_end("amqp:session:unattached-handle");
        router.assert_alive();
    }
}

#[test]
fn a_handle_attached_twice() {
    let mut router = Router::plain();
    let mut peer = Peer::begun(router.port);
    peer.send(&Frame::receiver("one", 0, Some("a")));
    peer.expect(code::ATTACH);
    peer.send(&Frame::receiver("two", 0, Some("a")));
    peer.expect_session_end("amqp:session:handle-in-use");
    router.assert_alive();
}

#[test]
fn the_window_of_the_router_holds() {
    // The router's window is in transfers; whoever sends more breaks the session (§2.5.6).
    let mut router = Router::plain();
    let mut peer = Peer::opened(router.port);
    peer.send(&Frame::begin());
    let window = peer.expect(code::BEGIN).field(2).number().unwrap();
    assert!((1..=8192).contains(&window), "{window}");
    // A consumer that takes nothing: it has no session window.
    let mut consumer = Peer::opened(router.port);
    consumer.send(&Frame::begin().with(2, V::Uint(0)));
    consumer.expect(code::BEGIN);
    consumer.attach_receiver(0, Some("full"), 0);
    consumer.send(&Frame::credit(0, 0, 1).with(1, V::Uint(0)));
    peer.attach_sender(0, Some("full"));
    // Presettled or not, one delivery that never ends and of which nothing can be passed on.
    let part = vec![0x55; 16_000];
    let mut sent = 0;
    while sent <= window + 8_192 {
        if !peer.try_send(&Frame::transfer(0, 0, part.clone()).more()) {
            break;
        }
        sent += 1;
        // A window that grows must be announced; we do not listen, so the first one counts.
        if sent > window + 1 {
            break;
        }
    }
    peer.expect_session_end("amqp:session:window-violation");
    router.assert_alive();
}

#[test]
fn the_window_of_the_peer_holds() {
    let router = Router::plain();
    let mut consumer = Peer::opened(router.port);
    consumer.send(&Frame::begin().with(2, V::Uint(3)));
    consumer.expect(code::BEGIN);
    consumer.attach_receiver(0, Some("windowed"), 0);
    consumer.send(&Frame::credit(0, 0, 100).with(1, V::Uint(3)));
    let mut producer = Peer::begun(router.port);
    producer.attach_sender(0, Some("windowed"));
    for id in 0..10 {
        producer.send(&Frame::transfer(0, id, message::data(&[id as u8])));
    }
    for id in 0..3_u8 {
        assert_eq!(consumer.expect_delivery().1, message::data(&[id]));
    }
    consumer.expect_nothing(7);
    // Two more: a session flow without a handle.
    let flow = |next: u32, window: u32| {
        Frame::new(code::FLOW, vec![V::Uint(next), V::Uint(window), V::Uint(0), V::Uint(2048)])
    };
    consumer.send(&flow(3, 2));
    for id in 3..5_u8 {
        assert_eq!(consumer.expect_delivery().1, message::data(&[id]));
    }
    consumer.expect_nothing(7);
    consumer.send(&flow(5, 100));
    for id in 5..10_u8 {
        assert_eq!(consumer.expect_delivery().1, message::data(&[id]));
    }
}

#[test]
fn transfer_ids_wrap() {
    // RFC 1982: from 0xfffffff0 over zero, in both directions.
    let router = Router::plain();
    let start = u32::MAX - 15;
    let mut producer = Peer::opened(router.port);
    producer.send(&Frame::begin().with(1, V::Uint(start)));
    producer.expect(code::BEGIN);
    let mut consumer = Peer::begun(router.port);
    consumer.attach_receiver(0, Some("wrap"), 1_000);
    producer.attach_sender(0, Some("wrap"));
    let accepted = V::Desc(code::ACCEPTED, Box::new(V::List(Vec::new())));
    for i in 0..64_u32 {
        let id = start.wrapping_add(i);
        producer.send(&Frame::transfer(0, id, message::data(&i.to_be_bytes())));
        let (transfer, body) = consumer.expect_delivery();
        assert_eq!(body, message::data(&i.to_be_bytes()));
        let given = transfer.field(1).number().unwrap() as u32;
        consumer.send(&Frame::settle(given, given, accepted.clone()));
        let outcome = producer.expect(code::DISPOSITION);
        assert_eq!(outcome.field(1).number(), Some(u64::from(id)));
        assert_eq!(outcome.field(4).descriptor(), Some(code::ACCEPTED));
    }
}

#[test]
fn a_range_of_outcomes_may_wrap() {
    let router = Router::plain();
    let start = u32::MAX - 3;
    let mut producer = Peer::opened(router.port);
    producer.send(&Frame::begin().with(1, V::Uint(start)));
    producer.expect(code::BEGIN);
    let mut consumer = Peer::begun(router.port);
    consumer.attach_receiver(0, Some("range"), 100);
    producer.attach_sender(0, Some("range"));
    for i in 0..8_u32 {
        producer.send(&Frame::transfer(0, start.wrapping_add(i), message::data(&[i as u8])));
    }
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(consumer.expect_delivery().0.field(1).number().unwrap() as u32);
    }
    let accepted = V::Desc(code::ACCEPTED, Box::new(V::List(Vec::new())));
    consumer.send(&Frame::settle(ids[0], ids[7], accepted));
    let mut settled = 0_u32;
    while settled < 8 {
        let outcome = producer.expect(code::DISPOSITION);
        let first = outcome.field(1).number().unwrap() as u32;
        let last = outcome.field(2).number().map_or(first, |last| last as u32);
        assert_eq!(first, start.wrapping_add(settled));
        settled += last.wrapping_sub(first) + 1;
    }
    assert_eq!(settled, 8);
}

#[test]
fn delivery_ids_must_follow_each_other() {
    // §2.6.12: a sender's next delivery has the next id.
    let mut router = Router::plain();
    let mut consumer = Peer::begun(router.port);
    consumer.attach_receiver(0, Some("gap"), 100);
    let mut producer = Peer::begun(router.port);
    producer.attach_sender(0, Some("gap"));
    producer.send(&Frame::transfer(0, 0, message::data(b"a")));
    producer.send(&Frame::transfer(0, 7, message::data(b"b")));
    // Refused or taken as it is; never mixed up with another delivery.
    consumer.expect_delivery();
    let accepted = V::Desc(code::ACCEPTED, Box::new(V::List(Vec::new())));
    consumer.send(&Frame::settle(0, 0, accepted));
    loop {
        match producer.next_frame() {
            Some(frame) if frame.code == Some(code::DISPOSITION) => {
                assert_eq!(frame.field(1).number(), Some(0));
                break;
            }
            Some(frame) if matches!(frame.code, Some(code::END | code::CLOSE)) => {
                let error = frame.field(0);
                assert!(error.field(0).text().unwrap_or_default().starts_with("amqp:"), "{frame:?}");
                assert!(error.field(1).text().is_some_and(|text| !text.is_empty()), "{frame:?}");
                break;
            }
            Some(_) => {}
            None => panic!("hung up without a reason"),
        }
    }
    router.assert_alive();
}

#[test]
fn a_disposition_with_a_huge_range() {
    // Another implementation loops over the range (STACK.md): the router must look at what it holds only.
    let mut router = Router::plain();
    let mut consumer = Peer::begun(router.port);
    consumer.attach_receiver(0, Some("huge"), 100);
    let mut producer = Peer::begun(router.port);
    producer.attach_sender(0, Some("huge"));
    producer.send(&Frame::transfer(0, 0, message::data(b"a")));
    consumer.expect_delivery();
    let accepted = V::Desc(code::ACCEPTED, Box::new(V::List(Vec::new())));
    for _ in 0..1_000 {
        consumer.send(&Frame::settle(0, 0x7fff_fffe, accepted.clone()));
    }
    assert_eq!(producer.expect(code::DISPOSITION).field(4).descriptor(), Some(code::ACCEPTED));
    consumer.close();
    router.assert_alive();
}

#[test]
fn an_echoed_flow_is_answered() {
    let router = Router::plain();
    let mut peer = Peer::begun(router.port);
    let echo =
        Frame::new(code::FLOW, vec![V::Uint(0), V::Uint(2048), V::Uint(0), V::Uint(2048)]).with(9, V::Bool(true));
    peer.send(&echo);
    let flow = peer.expect(code::FLOW);
    assert!(flow.field(1).number().is_some_and(|window| window > 0), "{flow:?}");
    assert_eq!(*flow.field(4), V::Null, "about the session: {flow:?}");
}

#[test]
fn frames_after_end_of_the_router_are_ignored() {
    // The router ends a session; what the peer had sent before it knew is discarded (§2.5.5).
    let mut router = Router::plain();
    let mut peer = Peer::begun(router.port);
    peer.send(&Frame::credit(9, 0, 1));
    for id in 0..50 {
        peer.send(&Frame::transfer(9, id, message::data(b"late")));
    }
    peer.expect_session_end("amqp:session:unattached-handle");
    router.assert_alive();
}
