//! `spanway send` and `spanway recv`, run as users run them: with a router of ours, and with peers that misbehave.
#![allow(clippy::expect_used, reason = "helpers of tests fail as tests do")]

#[path = "send_recv/peer.rs"]
mod peer;
#[path = "send_recv/process.rs"]
mod process;

use std::io::Write as _;
use std::net::TcpListener;
use std::time::Duration;

use amqp_proto::connection::{End, Event, LinkId, Payload, SendHead};
use amqp_proto::message::{Body, Message};
use amqp_proto::{DeliveryState, Encode as _, Error, Target, Value};
use bytes::Bytes;

use peer::Peer;
use process::{Router, Running, recv, send, tool};

#[test]
fn a_greeting_arrives() {
    let router = Router::start();
    let receiver = Running::start(recv(&router.url, &["greetings", "--count", "1"]));
    let sent = Running::start(send(&router.url, &["greetings", "hello"])).end();
    assert_eq!((sent.status, sent.stdout.as_str()), (0, ""), "{}", sent.stderr);
    let received = receiver.end();
    assert_eq!((received.status, received.stdout.as_str()), (0, "hello\n"), "{}", received.stderr);
}

#[test]
fn lines_of_the_standard_input_are_messages() {
    let router = Router::start();
    let receiver = Running::start(recv(&router.url, &["a", "-n", "3"]));
    let mut sender = Running::start(send(&router.url, &["a"]));
    sender.input().write_all("one\nzwölf\n".as_bytes()).expect("written");
    // They do not wait for the end of the input.
    assert_eq!(receiver.line(), "one");
    assert_eq!(receiver.line(), "zwölf");
    sender.input().write_all(b"\x1b[2J\xff").expect("written");
    sender.close_input();
    assert_eq!(sender.end().status, 0);
    assert_eq!(receiver.line(), "\\x1b[2J\\xff");
    assert_eq!(receiver.end().status, 0);
}

#[test]
fn the_standard_input_is_one_message() {
    let router = Router::start();
    let receiver = Running::start(recv(&router.url, &["a", "-n", "2"]));
    let mut sender = Running::start(send(&router.url, &["a", "-", "--count", "2"]));
    sender.input().write_all(b"one\ntwo\n").expect("written");
    sender.close_input();
    assert_eq!(sender.end().status, 0);
    let received = receiver.end();
    assert_eq!((received.status, received.stdout.as_str()), (0, "one\ntwo\none\ntwo\n"));
}

#[test]
fn a_large_file_is_streamed() {
    const SIZE: usize = 64 << 20;
    let router = Router::start();
    let directory = tempfile::tempdir().expect("a directory");
    let (from, to) = (directory.path().join("from"), directory.path().join("to"));
    let mut state = 1_u32;
    let data: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(SIZE)
    .collect();
    std::fs::write(&from, &data).expect("written");
    let (from, to) = (from.to_string_lossy().into_owned(), to.to_string_lossy().into_owned());
    // As a file, whose size is known, and as a pipe, whose size is not.
    for piped in [false, true] {
        let receiver = Running::start(recv(&router.url, &["f", "-n", "1", "--file", &to, "--summary"]));
        let mut sender = if piped {
            Running::start(send(&router.url, &["f", "-", "--summary"]))
        } else {
            Running::start(send(&router.url, &["f", "--file", &from, "--summary"]))
        };
        if piped {
            sender.input().write_all(&data).expect("written");
            sender.close_input();
        }
        let (sent, sender_memory) = sender.end_with_memory();
        assert_eq!(sent.status, 0, "{}", sent.stderr);
        assert!(sent.stderr.contains("sent 1 message, 64.0 MiB in "), "{}", sent.stderr);
        assert!(sent.stderr.contains("outcomes: 1 accepted"), "{}", sent.stderr);
        let (received, receiver_memory) = receiver.end_with_memory();
        assert_eq!(received.status, 0, "{}", received.stderr);
        assert!(received.stderr.contains("received 1 message, 64.0 MiB in "), "{}", received.stderr);
        assert!(std::fs::read(&to).expect("the file") == data, "what arrived is something else");
        for memory in [sender_memory, receiver_memory] {
            assert!(memory < 40 << 20, "{} MiB of memory", memory >> 20);
        }
    }
}

#[test]
fn a_sender_waits_for_a_consumer_and_says_so() {
    let router = Router::start();
    let sender = Running::start(send(&router.url, &["later", "x"]));
    sender.wait_for("spanway: waiting: no consumer for later yet");
    let received = Running::start(recv(&router.url, &["later", "-n", "1"])).end();
    assert_eq!(received.stdout, "x\n");
    let sent = sender.end();
    assert_eq!(sent.status, 0);
    assert!(sent.stderr.contains("spanway: going on: there is a consumer for later"), "{}", sent.stderr);
}

#[test]
fn timeouts_end_both() {
    let router = Router::start();
    let sent = Running::start(send(&router.url, &["a", "x", "--timeout", "300ms"])).end();
    assert_eq!(sent.status, 1);
    assert!(sent.stderr.contains("no consumer for a within 300ms; start one with `spanway recv a`"), "{}", sent.stderr);
    let received = Running::start(recv(&router.url, &["a", "--timeout", "300ms"])).end();
    assert_eq!(received.status, 1);
    assert!(received.stderr.contains("no message for a within 300ms"), "{}", received.stderr);
    // Who has got something without asking for a number has got all.
    let receiver = Running::start(recv(&router.url, &["a", "--timeout", "2s"]));
    assert_eq!(Running::start(send(&router.url, &["a", "x"])).end().status, 0);
    let received = receiver.end();
    assert_eq!((received.status, received.stdout.as_str()), (0, "x\n"), "{}", received.stderr);
}

#[test]
fn many_messages_presettled_and_not() {
    let router = Router::start();
    for presettled in [true, false] {
        let receiver = Running::start(recv(&router.url, &["w", "-n", "20000", "--quiet", "--summary"]));
        let mut arguments = vec!["w", "{}", "-n", "20000", "--summary", "--durable", "--priority", "7"];
        if presettled {
            arguments.push("--presettled");
        }
        let sent = Running::start(send(&router.url, &arguments)).end();
        assert_eq!(sent.status, 0, "{}", sent.stderr);
        assert!(sent.stderr.contains("sent 20000 messages"), "{}", sent.stderr);
        let outcomes = if presettled { "outcomes: presettled" } else { "outcomes: 20000 accepted\n" };
        assert!(sent.stderr.contains(outcomes), "{}", sent.stderr);
        let received = receiver.end();
        assert_eq!((received.status, received.stdout.as_str()), (0, ""));
        assert!(received.stderr.contains("received 20000 messages"), "{}", received.stderr);
        assert!(received.stderr.contains("latency: median "), "{}", received.stderr);
    }
}

#[test]
fn a_rate_is_kept() {
    let router = Router::start();
    let receiver = Running::start(recv(&router.url, &["r", "-n", "100", "-q"]));
    let start = std::time::Instant::now();
    let sent = Running::start(send(&router.url, &["r", "x", "-n", "100", "--rate", "200"])).end();
    let took = start.elapsed();
    assert_eq!(sent.status, 0, "{}", sent.stderr);
    // 99 pauses of 5 ms, less what may be caught up with.
    assert!(took >= Duration::from_millis(390), "{took:?}");
    assert_eq!(receiver.end().status, 0);
}

#[test]
fn an_interrupt_ends_in_order() {
    let router = Router::start();
    let receiver = Running::start(recv(&router.url, &["a", "--summary"]));
    assert_eq!(Running::start(send(&router.url, &["a", "x"])).end().status, 0);
    assert_eq!(receiver.line(), "x");
    receiver.interrupt();
    let received = receiver.end();
    assert_eq!(received.status, 0, "{}", received.stderr);
    assert!(received.stderr.contains("received 1 message, 1 B"), "{}", received.stderr);

    let sender = Running::start(send(&router.url, &["a", "x"]));
    sender.wait_for("waiting: no consumer");
    sender.interrupt();
    let sent = sender.end();
    assert_eq!(sent.status, 1);
    assert!(sent.stderr.contains("interrupted: 0 messages sent"), "{}", sent.stderr);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let router = Router::start();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let receiver = Running::start_unread(recv(&router.url, &["a"]), writer.into());
    let sent = Running::start(send(&router.url, &["a", "x", "-n", "10", "--timeout", "5s"])).end();
    // What could not be printed was not accepted.
    assert_eq!(sent.status, 1, "{}", sent.stderr);
    let received = receiver.end();
    assert_eq!((received.status, received.stderr.as_str()), (0, ""));
}

#[test]
fn without_a_router_the_remedy_is_named() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let url = format!("amqp://127.0.0.1:{port}");
    for command in [send(&url, &["a", "x"]), recv(&url, &["a"])] {
        let ended = Running::start(command).end();
        assert_eq!(ended.status, 1);
        let expected = format!(
            "spanway: cannot connect to {url}: connection refused; is a router running? Start one with `spanway run`\n"
        );
        assert_eq!(ended.stderr, expected);
    }
}

#[test]
fn a_silent_server_is_not_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("amqp://{}", listener.local_addr().expect("an address"));
    let ended = Running::start(recv(&url, &["a", "--timeout", "200ms"])).end();
    assert_eq!(ended.status, 1);
    assert!(ended.stderr.contains("does not answer: is it an AMQP router?"), "{}", ended.stderr);
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let router = Router::start();
    let sent = Running::start(send(&router.url, &["a", "--file", "/nonexistent/in"])).end();
    assert_eq!(sent.status, 1);
    assert!(sent.stderr.starts_with("spanway: cannot read /nonexistent/in: "), "{}", sent.stderr);
    let received = Running::start(recv(&router.url, &["a", "--file", "/nonexistent/out"])).end();
    assert_eq!(received.status, 1);
    assert!(received.stderr.starts_with("spanway: cannot write /nonexistent/out: "), "{}", received.stderr);
}

#[test]
fn mistakes_in_the_command_line_end_with_2() {
    for arguments in [
        &["send"][..],
        &["recv", "a", "--credit", "0"],
        &["send", "a", "b", "--url", "localhost"],
        &["recv", "a", "--url", "amqp://h", "--ca", "x"],
    ] {
        assert_eq!(Running::start(tool(arguments)).end().status, 2, "{arguments:?}");
    }
}

/// A consumer that answers every message with `state`.
fn consumer(state: DeliveryState) -> Peer {
    Peer::start(move |engine, event, _| match event {
        Event::Attached(attached) => {
            let answer = attached.answer(attached.attach.source.clone(), attached.attach.target.clone());
            engine.accept_attach(attached.link, answer, 0);
            engine.grant(attached.link, 10);
        }
        Event::Transfer(transfer) if !transfer.more => {
            engine.settle_incoming(transfer.link, transfer.delivery_id, Some(&state), true);
        }
        _ => {}
    })
}

#[test]
fn outcomes_other_than_accepted_are_explained() {
    let error = Error::new("amqp:decode-error", "cannot read this");
    for (state, expected) in [
        (
            DeliveryState::rejected(Some(&error)),
            "1 message rejected by the consumer: amqp:decode-error: cannot read this",
        ),
        (DeliveryState::rejected(None), "1 message rejected by the consumer: no reason was given"),
        (DeliveryState::Released, "1 message released: no consumer took it"),
        (DeliveryState::modified(true, false), "1 message modified: a consumer failed"),
    ] {
        let peer = consumer(state);
        let sent = Running::start(send(&peer.url, &["a", "x"])).end();
        assert_eq!(sent.status, 1, "{}", sent.stderr);
        assert!(sent.stderr.contains(expected), "{}", sent.stderr);
    }
    assert_eq!(Running::start(send(&consumer(DeliveryState::Accepted).url, &["a", "x"])).end().status, 0);
}

#[test]
fn a_large_message_that_is_settled_early_is_given_up() {
    let peer = Peer::start(move |engine, event, _| match event {
        Event::Attached(attached) => {
            let answer = attached.answer(attached.attach.source.clone(), attached.attach.target.clone());
            engine.accept_attach(attached.link, answer, 0);
            engine.grant(attached.link, 10);
        }
        Event::Transfer(transfer) if transfer.first => {
            engine.settle_incoming(transfer.link, transfer.delivery_id, Some(&DeliveryState::Released), true);
        }
        _ => {}
    });
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(&vec![7; 8 << 20]).expect("written");
    let path = file.path().to_string_lossy().into_owned();
    let sent = Running::start(send(&peer.url, &["a", "--file", &path, "-n", "2", "--timeout", "10s"])).end();
    assert_eq!(sent.status, 1);
    assert!(sent.stderr.contains("2 messages released"), "{}", sent.stderr);
}

#[test]
fn what_the_router_says_is_shown() {
    let error = || Error::new("amqp:not-allowed", "not for you");
    let refusing = Peer::start(move |engine, event, _| {
        if let Event::Attached(attached) = event {
            engine.refuse_attach(attached.link, error());
        }
    });
    let sent = Running::start(send(&refusing.url, &["a", "x"])).end();
    assert_eq!(sent.status, 1);
    let expected = "spanway: the router refuses to take messages for a: amqp:not-allowed: not for you";
    assert!(sent.stderr.contains(expected), "{}", sent.stderr);
    let received = Running::start(recv(&refusing.url, &["a"])).end();
    assert_eq!(received.status, 1);
    assert!(
        received.stderr.contains("refuses to give messages of a: amqp:not-allowed: not for you"),
        "{}",
        received.stderr
    );

    let closing = Peer::start(move |engine, event, _| {
        if let Event::Attached(_) = event {
            engine.close(Some(Error::new("amqp:connection:forced", "going down")));
        }
    });
    let received = Running::start(recv(&closing.url, &["a"])).end();
    assert_eq!(received.status, 1);
    assert!(
        received.stderr.contains("closed the connection: amqp:connection:forced: going down"),
        "{}",
        received.stderr
    );
}

fn encode(message: &Message) -> Bytes {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    bytes.into()
}

/// A producer that gives these deliveries, each in parts, as soon as there is credit.
fn producer(deliveries: Vec<(Vec<Bytes>, End)>) -> Peer {
    let mut left: std::collections::VecDeque<_> = deliveries.into();
    let mut send = move |engine: &mut amqp_proto::Connection, link: LinkId| {
        while engine.room(link) > 0 {
            let Some((parts, end)) = left.pop_front() else { break };
            let head = SendHead::default();
            for part in &parts {
                let _ = engine.send(link, &head, &Payload::new(part), End::More);
            }
            let _ = engine.send(link, &head, &Payload::empty(), end);
        }
    };
    Peer::start(move |engine, event, states| match event {
        Event::Attached(attached) => {
            let answer = attached.answer(attached.attach.source.clone(), Some(Target::default().into()));
            engine.accept_attach(attached.link, answer, 0);
        }
        Event::Credit { link, .. } => send(engine, link),
        Event::Disposition(mut disposition) => {
            while engine.next_disposed(&mut disposition).is_some() {
                let _ = states.send(disposition.state.clone());
            }
        }
        _ => {}
    })
}

#[test]
fn bodies_are_readable_and_faults_do_not_count() {
    let map = Value::Map(vec![("k".into(), vec![1_u32.into(), Value::Null].into())]);
    let text = encode(&Message::value("a long text"));
    let peer = producer(vec![
        (vec![encode(&Message::value(map))], End::Complete),
        (vec![text.slice(..7)], End::Aborted),
        (vec![Bytes::from_static(b"no message")], End::Complete),
        (vec![text.slice(..7), text.slice(7..)], End::Complete),
        (
            vec![encode(&Message { body: Body::Data(vec!["da".into(), "ta".into()]), ..Message::default() })],
            End::Complete,
        ),
    ]);
    let received = Running::start(recv(&peer.url, &["a", "-n", "3", "--credit", "1", "--summary"])).end();
    assert_eq!(received.status, 0, "{}", received.stderr);
    assert_eq!(received.stdout, "{\"k\": [1, null]}\na long text\ndata\n");
    assert!(received.stderr.contains("a message was aborted by its sender, and is not counted"), "{}", received.stderr);
    assert!(received.stderr.contains("the message is malformed"), "{}", received.stderr);
    assert!(received.stderr.contains("not counted: 1 aborted, 1 malformed"), "{}", received.stderr);
    let states = peer.told();
    assert!(
        matches!(
            states.as_slice(),
            [
                Some(DeliveryState::Accepted),
                Some(DeliveryState::Rejected(_)),
                Some(DeliveryState::Accepted),
                Some(DeliveryState::Accepted)
            ]
        ),
        "{states:?}"
    );
}

#[test]
fn a_file_holds_no_halves() {
    let whole = encode(&Message::data("whole "));
    let peer = producer(vec![
        (vec![whole.clone()], End::Complete),
        (vec![whole.slice(..8)], End::Aborted),
        (vec![whole.clone()], End::Complete),
        // And one that goes on for ever.
        (vec![whole.slice(..8)], End::More),
    ]);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("out");
    let name = path.to_string_lossy().into_owned();
    let receiver = Running::start(recv(&peer.url, &["a", "--file", &name, "--timeout", "500ms"]));
    let received = receiver.end();
    assert_eq!(received.status, 0, "{}", received.stderr);
    assert!(received.stderr.contains("wrote 2 messages, 12 B to "), "{}", received.stderr);
    assert_eq!(std::fs::read_to_string(&path).expect("the file"), "whole whole ");
}
