//! Deliveries: settlement, states, aborts and the loss of either side half-way.

use conformance::Router;
use conformance::raw::{Frame, Peer, V, code, message};

fn state(code: u64, fields: Vec<V>) -> V {
    V::Desc(code, Box::new(V::List(fields)))
}

/// A producer and a consumer with credit 100 on one address; both have session 0, handle 0.
fn pair(router: &Router, address: &str) -> (Peer, Peer) {
    let mut consumer = Peer::begun(router.port);
    consumer.attach_receiver(0, Some(address), 100);
    let mut producer = Peer::begun(router.port);
    producer.attach_sender(0, Some(address));
    (producer, consumer)
}

fn id(transfer: &Frame) -> u32 {
    transfer.field(1).number().unwrap() as u32
}

#[test]
fn every_state_travels_as_it_is() {
    let router = Router::plain();
    let (mut producer, mut consumer) = pair(&router, "states");
    let error = V::Desc(
        0x1d,
        Box::new(V::List(vec![V::sym("x:reason"), V::str("because"), V::Map(vec![(V::sym("detail"), V::Uint(7))])])),
    );
    let annotations = V::Map(vec![(V::sym("x-opt-a"), V::str("b"))]);
    let states = [
        state(code::ACCEPTED, Vec::new()),
        state(code::REJECTED, vec![error]),
        state(code::RELEASED, Vec::new()),
        state(code::MODIFIED, vec![V::Bool(true), V::Bool(true), annotations]),
        // A state of an extension: descriptors above 0x30 belong to others.
        state(0x1234_0000_0000_0001, vec![V::str("custom"), V::Long(-1)]),
    ];
    for (i, sent) in states.into_iter().enumerate() {
        producer.send(&Frame::transfer(0, i as u32, message::data(b"x")));
        let (transfer, _) = consumer.expect_delivery();
        consumer.send(&Frame::settle(id(&transfer), id(&transfer), sent.clone()));
        let outcome = producer.expect(code::DISPOSITION);
        assert!(outcome.field(0).is_true());
        assert!(outcome.field(3).is_true(), "settled: {outcome:?}");
        assert_eq!(outcome.field(4), &sent);
    }
}

#[test]
fn receiver_settles_second() {
    // rcv-settle-mode second on both links (§2.6.12): the outcome first, then the sender settles, then the receiver.
    let router = Router::plain();
    let second = V::Ubyte(1);
    let mut consumer = Peer::begun(router.port);
    consumer.send(&Frame::receiver("r", 0, Some("second")).with(4, second.clone()));
    assert_eq!(consumer.expect(code::ATTACH).field(4), &second);
    consumer.send(&Frame::credit(0, 0, 10));
    let mut producer = Peer::begun(router.port);
    producer.send(&Frame::sender("s", 0, Some("second")).with(4, second.clone()));
    assert_eq!(producer.expect(code::ATTACH).field(4), &second);
    producer.expect(code::FLOW);
    producer.send(&Frame::transfer(0, 0, message::data(b"x")));
    let (transfer, _) = consumer.expect_delivery();
    let n = id(&transfer);
    let accepted = state(code::ACCEPTED, Vec::new());
    consumer.send(&Frame::settle(n, n, accepted.clone()).with(3, V::Bool(false)));
    let outcome = producer.expect(code::DISPOSITION);
    assert_eq!(outcome.field(4), &accepted);
    assert!(!outcome.field(3).is_true(), "{outcome:?}");
    producer.send(&Frame::settle(0, 0, accepted).with(0, V::Bool(false)));
    let settled = consumer.expect(code::DISPOSITION);
    assert!(!settled.field(0).is_true(), "role sender: {settled:?}");
    assert!(settled.field(3).is_true(), "{settled:?}");
}

#[test]
fn an_outcome_without_settlement_is_settled_in_the_end() {
    // A receiver in mode first that waits for the sender all the same.
    let router = Router::plain();
    let (mut producer, mut consumer) = pair(&router, "outcome");
    producer.send(&Frame::transfer(0, 0, message::data(b"x")));
    let (transfer, _) = consumer.expect_delivery();
    let n = id(&transfer);
    let accepted = state(code::ACCEPTED, Vec::new());
    consumer.send(&Frame::settle(n, n, accepted.clone()).with(3, V::Bool(false)));
    let outcome = producer.expect(code::DISPOSITION);
    assert_eq!(outcome.field(4), &accepted);
    if !outcome.field(3).is_true() {
        producer.send(&Frame::settle(0, 0, accepted).with(0, V::Bool(false)));
    }
    let settled = consumer.expect(code::DISPOSITION);
    assert!(!settled.field(0).is_true(), "role sender: {settled:?}");
    assert!(settled.field(3).is_true(), "{settled:?}");
}

#[test]
fn a_received_state_travels() {
    let router = Router::plain();
    let (mut producer, mut consumer) = pair(&router, "received");
    producer.send(&Frame::transfer(0, 0, message::data(&[1; 5_000])));
    let (transfer, _) = consumer.expect_delivery();
    let n = id(&transfer);
    let received = state(code::RECEIVED, vec![V::Uint(0), V::Ulong(4_096)]);
    consumer.send(&Frame::settle(n, n, received).with(3, V::Bool(false)));
    let seen = producer.expect(code::DISPOSITION);
    assert_eq!(seen.field(4).descriptor(), Some(code::RECEIVED));
    assert_eq!(seen.field(4).field(1).number(), Some(4_096));
    assert!(!seen.field(3).is_true(), "{seen:?}");
    consumer.send(&Frame::settle(n, n, state(code::ACCEPTED, Vec::new())));
    assert_eq!(producer.expect(code::DISPOSITION).field(4).descriptor(), Some(code::ACCEPTED));
}

#[test]
fn presettled_deliveries_stay_presettled() {
    let router = Router::plain();
    let (mut producer, mut consumer) = pair(&router, "presettled");
    for n in 0..100_u32 {
        producer.send(&Frame::transfer(0, n, message::data(&[n as u8])).with(4, V::Bool(true)));
    }
    for n in 0..100_u32 {
        let (transfer, body) = consumer.expect_delivery();
        assert_eq!(body, message::data(&[n as u8]));
        assert!(transfer.field(4).is_true(), "{transfer:?}");
    }
}

#[test]
fn message_format_and_bytes_pass_untouched() {
    let router = Router::plain();
    let (mut producer, mut consumer) = pair(&router, "verbatim");
    // Header, properties and body in wide encodings, an unusual order of annotations, a footer: nothing is re-encoded.
    let mut bytes = Vec::new();
    for (section, value) in [
        (0x70, V::List(vec![V::Bool(true), V::Ubyte(9), V::Null, V::Bool(false), V::Uint(3)])),
        (0x72, V::Map(vec![(V::sym("z"), V::Uint(1)), (V::sym("a"), V::Raw(vec![0x83, 0, 0, 0, 0, 0, 0, 0, 9]))])),
        (0x73, V::List(vec![V::Ulong(5), V::Null, V::Null, V::str("subject")])),
        (0x74, V::Map(vec![(V::str("k"), V::Raw(vec![0x56, 0x01]))])),
        (0x75, V::Bin(vec![1; 300])),
        (0x75, V::Bin(vec![2; 300])),
        (0x78, V::Map(vec![(V::sym("crc"), V::Uint(7))])),
    ] {
        V::Desc(section, Box::new(value)).write(&mut bytes);
    }
    producer.send(&Frame::transfer(0, 0, bytes.clone()));
    let (transfer, body) = consumer.expect_delivery();
    assert_eq!(transfer.field(3).number(), Some(0));
    assert_eq!(body, bytes);
    // Another message format is none of our business.
    producer.send(&Frame::transfer(0, 1, b"not AMQP at all".to_vec()).with(3, V::Uint(0x8000_0001)));
    let (transfer, body) = consumer.expect_delivery();
    assert_eq!(transfer.field(3).number(), Some(0x8000_0001));
    assert_eq!(body, b"not AMQP at all");
}

#[test]
fn deliveries_on_two_links_may_interleave() {
    let router = Router::plain();
    let mut consumer = Peer::begun(router.port);
    consumer.attach_receiver(0, Some("one"), 10);
    consumer.attach_receiver(1, Some("two"), 10);
    let mut producer = Peer::begun(router.port);
    producer.attach_sender(0, Some("one"));
    producer.attach_sender(1, Some("two"));
    let part = |handle, id, byte: u8| Frame::transfer(handle, id, vec![byte; 5_000]).more();
    for _ in 0..4 {
        producer.send(&part(0, 0, 1));
        producer.send(&part(1, 1, 2));
    }
    producer.send(&Frame::transfer(1, 1, vec![2]));
    producer.send(&Frame::transfer(0, 0, vec![1]));
    let mut bodies = [Vec::new(), Vec::new()];
    let mut done = 0;
    while done < 2 {
        let transfer = consumer.expect(code::TRANSFER);
        let handle = transfer.field(0).number().unwrap() as usize;
        bodies[handle].extend_from_slice(&transfer.payload);
        done += usize::from(!transfer.field(5).is_true());
    }
    assert_eq!(bodies[0], vec![1; 20_001]);
    assert_eq!(bodies[1], vec![2; 20_001]);
}

#[test]
fn the_first_part_is_passed_on_before_the_last_arrives() {
    let router = Router::plain();
    let (mut producer, mut consumer) = pair(&router, "streamed");
    producer.send(&Frame::transfer(0, 0, vec![7; 12_000]).more());
    let first = consumer.expect(code::TRANSFER);
    assert!(first.field(5).is_true(), "more: {first:?}");
    producer.send(&Frame::transfer(0, 0, b"end".to_vec()));
    let mut rest = Vec::new();
    loop {
        let part = consumer.expect(code::TRANSFER);
        rest.extend_from_slice(&part.payload);
        if !part.field(5).is_true() {
            break;
        }
    }
    assert!(rest.ends_with(b"end"));
}

#[test]
fn an_aborted_delivery_is_aborted_downstream() {
    let router = Router::plain();
    let (mut producer, mut consumer) = pair(&router, "aborted");
    producer.send(&Frame::transfer(0, 0, vec![7; 12_000]).more());
    consumer.expect(code::TRANSFER);
    producer.send(&Frame::transfer(0, 0, Vec::new()).with(9, V::Bool(true)));
    let (last, _) = consumer.expect_delivery();
    assert!(last.field(9).is_true(), "aborted: {last:?}");
    // The link goes on.
    producer.send(&Frame::transfer(0, 1, message::data(b"next")));
    assert_eq!(consumer.expect_delivery().1, message::data(b"next"));
}

#[test]
fn a_delivery_aborted_before_it_was_sent_is_never_seen() {
    let router = Router::plain();
    let mut consumer = Peer::begun(router.port);
    consumer.attach_receiver(0, Some("unseen"), 0);
    let mut producer = Peer::begun(router.port);
    producer.attach_sender(0, Some("unseen"));
    producer.send(&Frame::transfer(0, 0, vec![7; 1_000]).more());
    producer.send(&Frame::transfer(0, 0, Vec::new()).with(9, V::Bool(true)));
    producer.send(&Frame::transfer(0, 1, message::data(b"next")));
    producer.expect_nothing(1);
    consumer.send(&Frame::credit(0, 0, 10));
    loop {
        let (last, body) = consumer.expect_delivery();
        if last.field(9).is_true() {
            continue;
        }
        assert_eq!(body, message::data(b"next"));
        break;
    }
}

#[test]
fn loss_of_the_sender_within_a_delivery_aborts_it() {
    for clean in [false, true] {
        let router = Router::plain();
        let (mut producer, mut consumer) = pair(&router, "cut");
        producer.send(&Frame::transfer(0, 0, vec![7; 12_000]).more());
        consumer.expect(code::TRANSFER);
        if clean {
            producer.close();
        } else {
            drop(producer);
        }
        let (last, _) = consumer.expect_delivery();
        assert!(last.field(9).is_true(), "never a clean end: {last:?}");
    }
}

#[test]
fn loss_of_the_link_within_a_delivery_aborts_it() {
    let router = Router::plain();
    let (mut producer, mut consumer) = pair(&router, "cut");
    producer.send(&Frame::transfer(0, 0, vec![7; 12_000]).more());
    consumer.expect(code::TRANSFER);
    producer.send(&Frame::detach(0, true));
    producer.expect(code::DETACH);
    assert!(consumer.expect_delivery().0.field(9).is_true());
}

#[test]
fn loss_of_the_receiver_after_delivery_is_modified() {
    for whole in [true, false] {
        let router = Router::plain();
        let (mut producer, mut consumer) = pair(&router, "gone");
        let transfer = Frame::transfer(0, 0, vec![7; 12_000]);
        producer.send(&if whole { transfer } else { transfer.more() });
        consumer.expect(code::TRANSFER);
        drop(consumer);
        if !whole {
            // The rest may still come; it goes nowhere.
            producer.try_send(&Frame::transfer(0, 0, vec![8; 100]));
        }
        let outcome = producer.expect(code::DISPOSITION);
        assert_eq!(outcome.field(4).descriptor(), Some(code::MODIFIED), "{outcome:?}");
        assert!(outcome.field(4).field(0).is_true(), "delivery-failed: {outcome:?}");
        assert!(outcome.field(3).is_true(), "{outcome:?}");
    }
}

#[test]
fn loss_of_the_receiver_before_delivery_is_released() {
    let router = Router::plain();
    let mut consumer = Peer::begun(router.port);
    consumer.attach_receiver(0, Some("queued"), 1);
    let mut producer = Peer::begun(router.port);
    producer.attach_sender(0, Some("queued"));
    for n in 0..3 {
        producer.send(&Frame::transfer(0, n, message::data(b"x")));
    }
    consumer.expect_delivery();
    producer.expect_nothing(1);
    drop(consumer);
    let mut seen = std::collections::BTreeMap::new();
    while seen.len() < 3 {
        let outcome = producer.expect(code::DISPOSITION);
        let first = outcome.field(1).number().unwrap();
        let last = outcome.field(2).number().unwrap_or(first);
        for n in first..=last {
            seen.insert(n, outcome.field(4).descriptor().unwrap());
        }
    }
    assert_eq!(seen[&0], code::MODIFIED, "it had been sent");
    assert_eq!(seen[&1], code::RELEASED, "no byte of it was sent");
    assert_eq!(seen[&2], code::RELEASED);
}

#[test]
fn what_waits_goes_to_another_receiver() {
    let router = Router::plain();
    let mut first = Peer::begun(router.port);
    first.attach_receiver(0, Some("moved"), 0);
    let mut producer = Peer::begun(router.port);
    producer.attach_sender(0, Some("moved"));
    let mut second = Peer::begun(router.port);
    second.attach_receiver(0, Some("moved"), 0);
    for n in 0..4_u32 {
        producer.send(&Frame::transfer(0, n, message::data(&[n as u8])));
    }
    producer.expect_nothing(1);
    first.close();
    second.send(&Frame::credit(0, 0, 10));
    // The reference had queued some for the first receiver and releases them.
    let mut got = 0;
    let mut released = 0;
    let foreign = conformance::router::foreign_router().is_some();
    if !foreign {
        for n in 0..4_u8 {
            assert_eq!(second.expect_delivery().1, message::data(&[n]));
            got += 1;
        }
    } else {
        while got + released < 4 && producer.readable_within(std::time::Duration::from_millis(300)) {
            let outcome = producer.expect(code::DISPOSITION);
            released += 1;
            assert_eq!(outcome.field(4).descriptor(), Some(code::RELEASED));
        }
        got = 4 - released;
    }
    assert!(got > 0 || released == 4);
}

#[test]
fn close_while_deliveries_wait() {
    let router = Router::plain();
    let (mut producer, mut consumer) = pair(&router, "waiting");
    for n in 0..20 {
        producer.send(&Frame::transfer(0, n, message::data(b"x")));
    }
    // Unsettled deliveries, and the producer closes: answered, in whatever order outcomes come.
    producer.close();
    producer.expect_end();
    for _ in 0..20 {
        let (transfer, _) = consumer.expect_delivery();
        consumer.send(&Frame::settle(id(&transfer), id(&transfer), state(code::ACCEPTED, Vec::new())));
    }
    consumer.close();
    consumer.expect_end();
}

#[test]
fn end_while_deliveries_wait() {
    let router = Router::plain();
    let (mut producer, mut consumer) = pair(&router, "ending");
    producer.send(&Frame::transfer(0, 0, message::data(b"x")));
    consumer.expect_delivery();
    consumer.send(&Frame::end());
    consumer.expect(code::END);
    let outcome = producer.expect(code::DISPOSITION);
    assert_eq!(outcome.field(4).descriptor(), Some(code::MODIFIED), "{outcome:?}");
    consumer.close();
}

#[test]
fn multicast_copies_and_gathers_outcomes() {
    let router = Router::with(|config| {
        config.section("address", &[("prefix", "all"), ("distribution", "multicast")]);
    });
    let mut consumers: Vec<Peer> = (0..3)
        .map(|_| {
            let mut consumer = Peer::begun(router.port);
            consumer.attach_receiver(0, Some("all/a"), 100);
            consumer
        })
        .collect();
    let mut producer = Peer::begun(router.port);
    producer.attach_sender(0, Some("all/a"));
    // rejected > accepted > modified > released (ROUTER.md 1.3)
    let rounds = [
        ([code::ACCEPTED, code::ACCEPTED, code::ACCEPTED], code::ACCEPTED),
        ([code::RELEASED, code::MODIFIED, code::RELEASED], code::MODIFIED),
        ([code::RELEASED, code::MODIFIED, code::ACCEPTED], code::ACCEPTED),
        ([code::ACCEPTED, code::REJECTED, code::RELEASED], code::REJECTED),
        ([code::RELEASED, code::RELEASED, code::RELEASED], code::RELEASED),
    ];
    for (n, (given, expected)) in rounds.into_iter().enumerate() {
        producer.send(&Frame::transfer(0, n as u32, message::data(&[n as u8])));
        for (consumer, outcome) in consumers.iter_mut().zip(given) {
            let (transfer, body) = consumer.expect_delivery();
            assert_eq!(body, message::data(&[n as u8]));
            consumer.send(&Frame::settle(id(&transfer), id(&transfer), state(outcome, Vec::new())));
        }
        let outcome = producer.expect(code::DISPOSITION);
        assert_eq!(outcome.field(1).number(), Some(n as u64));
        assert_eq!(outcome.field(4).descriptor(), Some(expected), "round {n}: {outcome:?}");
    }
}

#[test]
fn balanced_spreads_and_closest_takes_turns() {
    let router = Router::with(|config| {
        config.section("address", &[("prefix", "near"), ("distribution", "closest")]);
    });
    for address in ["spread", "near/a"] {
        let mut consumers: Vec<Peer> = (0..2)
            .map(|_| {
                let mut consumer = Peer::begun(router.port);
                consumer.attach_receiver(0, Some(address), 100);
                consumer
            })
            .collect();
        let mut producer = Peer::begun(router.port);
        producer.attach_sender(0, Some(address));
        for n in 0..10 {
            producer.send(&Frame::transfer(0, n, message::data(b"x")));
        }
        for consumer in &mut consumers {
            for _ in 0..5 {
                consumer.expect_delivery();
            }
        }
    }
}

#[test]
fn a_tag_that_is_too_long() {
    let mut router = Router::plain();
    let (mut producer, _consumer) = pair(&router, "tag");
    producer.send(&Frame::transfer(0, 0, message::data(b"x")).with(2, V::Bin(vec![1; 33])));
    // §2.8.7: at most 32 octets.
    loop {
        let frame = producer.next_frame().expect("a reason");
        if let Some(code::CLOSE | code::END | code::DETACH) = frame.code {
            let error = frame.field(if frame.code == Some(code::DETACH) { 2 } else { 0 });
            assert!(error.field(0).text().is_some_and(|text| text.starts_with("amqp:")), "{frame:?}");
            assert!(error.field(1).text().is_some_and(|text| !text.is_empty()), "{frame:?}");
            break;
        }
    }
    router.assert_alive();
}

#[test]
fn a_first_transfer_needs_id_and_tag() {
    for missing in [1, 2] {
        let mut router = Router::plain();
        let (mut producer, _consumer) = pair(&router, "nameless");
        producer.send(&Frame::transfer(0, 0, message::data(b"x")).with(missing, V::Null));
        loop {
            let frame = producer.next_frame().expect("a reason");
            if let Some(code::CLOSE | code::END | code::DETACH) = frame.code {
                let error = frame.field(if frame.code == Some(code::DETACH) { 2 } else { 0 });
                assert!(error.field(1).text().is_some_and(|text| !text.is_empty()), "{frame:?}");
                break;
            }
        }
        router.assert_alive();
    }
}

#[test]
fn empty_transfers_are_not_free() {
    // What a peer may repeat for free has a budget (STYLE.md, rule 5): endless empty parts of one delivery.
    let mut router = Router::plain();
    let (mut producer, _consumer) = pair(&router, "nothing");
    producer.send(&Frame::transfer(0, 0, vec![1]).more());
    let empty = Frame::transfer(0, 0, Vec::new()).more();
    let bytes: Vec<u8> = empty.bytes().repeat(100);
    // Each read of the loop is a look whether the router ended it; windows would do, too.
    for _ in 0..1_000 {
        use std::io::Write as _;
        if producer.stream().write_all(&bytes).is_err() {
            break;
        }
    }
    let mut ended = false;
    while let Some(frame) = producer.next_frame() {
        if let Some(code::CLOSE | code::END | code::DETACH) = frame.code {
            let error = frame.field(if frame.code == Some(code::DETACH) { 2 } else { 0 });
            assert!(error.field(1).text().is_some_and(|text| !text.is_empty()), "{frame:?}");
            ended = true;
            break;
        }
    }
    assert!(ended, "hung up without a reason");
    router.assert_alive();
}
