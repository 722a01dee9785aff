//! HTTP/2.

use std::time::Instant;

use proptest::prelude::*;

use super::{Script, see};
use crate::Side::{Client, Server};
use crate::http2::PREFACE;
use crate::{Observer, Protocol, Stop, Wanted};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const GO_AWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const WITH_PRIORITY: u8 = 0x20;
const END: u8 = END_STREAM | END_HEADERS;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// `:method: GET`, and some proxy's field, which enters the table.
fn get() -> Vec<u8> {
    let mut block = vec![0x82, 0x40, 15];
    block.extend(b"x-forwarded-for\x0810.1.2.3");
    block
}

/// The same by reference to that field.
const GET_AGAIN: &[u8] = &[0x82, 0x80 | 62];
/// `:status: 200` and 404.
const OK: &[u8] = &[0x88];
const NOT_FOUND: &[u8] = &[0x8d];

fn conversation(said: &[(crate::Side, Vec<u8>)]) -> Script {
    let begin = [(Server, frame(SETTINGS, 0, 0, b"")), (Client, [PREFACE, &frame(SETTINGS, 0, 0, b"")].concat())];
    [&begin[..], said].concat()
}

fn seen(said: &[(crate::Side, Vec<u8>)]) -> (Vec<String>, Vec<String>) {
    let seen = see(Wanted::Any, &conversation(said));
    assert_eq!((seen.stopped, seen.protocol), (None, Some(Protocol::Http2)));
    seen.words()
}

pub(super) fn frames() -> impl Strategy<Value = Vec<u8>> {
    let block = prop_oneof![
        Just(get()),
        Just(GET_AGAIN.to_vec()),
        Just(OK.to_vec()),
        prop::collection::vec(any::<u8>(), 0..20)
    ];
    (0_u8..11, any::<u8>(), 0_u32..6, block).prop_map(|(kind, flags, stream, block)| frame(kind, flags, stream, &block))
}

#[test]
fn requests_side_by_side() {
    let said = [
        (Client, frame(HEADERS, END, 1, &get())),
        (Client, frame(HEADERS, END_HEADERS, 3, &[&[0x83][..], GET_AGAIN.get(1..).unwrap()].concat())),
        (Client, [frame(DATA, 0, 3, b"abc"), frame(WINDOW_UPDATE, 0, 0, &[0, 0, 1, 0])].concat()),
        (Server, [frame(HEADERS, END_HEADERS, 3, NOT_FOUND), frame(DATA, END_STREAM, 3, b"")].concat()),
        (Client, frame(DATA, END_STREAM, 3, b"defg")),
        (Server, frame(HEADERS, END_HEADERS, 1, &[0x48, 3, b'1', b'0', b'0'])),
        (Server, frame(HEADERS, END_HEADERS, 1, OK)),
        (Server, frame(DATA, 0, 1, &[0; 300])),
        // Trailers.
        (Server, frame(HEADERS, END, 1, &[0x40, 1, b'a', 1, b'b'])),
        (Client, frame(HEADERS, END, 5, GET_AGAIN)),
    ];
    assert_eq!(
        seen(&said),
        (
            vec![
                "HTTP/2 POST 7>0 stream 3 for 10.1.2.3 404".to_owned(),
                "HTTP/2 GET 0>300 stream 1 for 10.1.2.3 200".to_owned()
            ],
            vec!["HTTP/2 GET 0>0 stream 5 for 10.1.2.3".to_owned()]
        )
    );
}

#[test]
fn padding_priority_and_blocks_in_pieces() {
    let block = get();
    let (one, two) = block.split_at(7);
    let padded = [&[3, 0, 0, 0, 0, 16][..], one, &[0; 3]].concat();
    let said = [
        (Client, frame(PRIORITY, 0, 1, &[0; 5])),
        (Client, frame(HEADERS, END_STREAM | PADDED | WITH_PRIORITY, 1, &padded)),
        (Client, frame(CONTINUATION, 0, 1, b"")),
        (Client, frame(CONTINUATION, END_HEADERS, 1, two)),
        // What is pushed takes part in the table, and is no request.
        (Server, frame(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &[0x48, 3], b"207"].concat())),
        (Server, frame(HEADERS, END, 2, OK)),
        (Server, frame(HEADERS, END_HEADERS, 1, &[0x80 | 62])),
        (Server, frame(DATA, PADDED, 1, &[5, b'a', b'b', 0, 0, 0, 0, 0])),
        (Server, frame(DATA, PADDED | END_STREAM, 1, &[1, 0])),
    ];
    assert_eq!(seen(&said), (vec!["HTTP/2 GET 0>2 stream 1 for 10.1.2.3 207".to_owned()], vec![]));
}

#[test]
fn streams_that_are_given_up() {
    let said = [
        (Client, frame(HEADERS, END_HEADERS, 1, &get())),
        (Client, frame(HEADERS, END, 3, GET_AGAIN)),
        (Client, frame(HEADERS, END, 5, GET_AGAIN)),
        (Server, frame(RESET, 0, 1, &[0, 0, 0, 8])),
        (Client, frame(DATA, 0, 1, b"late")),
        (Server, frame(GO_AWAY, 0, 0, &[0, 0, 0, 3, 0, 0, 0, 0])),
        (Server, frame(HEADERS, END, 3, OK)),
    ];
    let record = |stream, rest: &str| format!("HTTP/2 GET 0>0 stream {stream} for 10.1.2.3{rest}");
    assert_eq!(seen(&said), (vec![record(1, ""), record(5, ""), record(3, " 200")], vec![]));
}

#[test]
fn the_other_sides_settings_bound_the_table() {
    let resize = |size: u8| [&[0x3f, size, 0x3f][..], OK].concat();
    let large = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255, 0, 1, 0, 0, 0x40, 0]);
    let said =
        [(Client, [frame(HEADERS, END, 1, &get()), large].concat()), (Server, frame(HEADERS, END, 1, &resize(0xe1)))];
    assert_eq!(seen(&said).0, ["HTTP/2 GET 0>0 stream 1 for 10.1.2.3 200"]);
    let said = [(Client, frame(HEADERS, END, 1, &get())), (Server, frame(HEADERS, END, 1, &resize(0xe1)))];
    assert!(see(Wanted::Any, &conversation(&said)).stopped.is_some());
}

#[test]
fn mistakes_end_the_observation() {
    for said in [
        (Client, frame(CONTINUATION, END_HEADERS, 1, b"")),
        (Client, [frame(HEADERS, 0, 1, GET_AGAIN), frame(DATA, 0, 1, b"")].concat()),
        (Client, [frame(HEADERS, 0, 1, b""), frame(CONTINUATION, END_HEADERS, 3, b"")].concat()),
        (Client, frame(HEADERS, END, 0, &get())),
        (Client, frame(HEADERS, END, 1, b"")),
        (Client, frame(HEADERS, END | PADDED, 1, &[9, 0x82])),
        (Client, frame(HEADERS, END, 1, GET_AGAIN)),
        (Client, frame(DATA, PADDED, 1, b"")),
        (Client, frame(DATA, PADDED, 1, &[2, 0])),
        (Client, frame(SETTINGS, 0, 0, b"12345")),
        (Server, frame(GO_AWAY, 0, 0, b"")),
    ] {
        let seen = see(Wanted::Any, &conversation(std::slice::from_ref(&said)));
        assert!(matches!(seen.stopped, Some(Stop::Malformed(_))), "{said:?}");
    }
    let long = [(Client, frame(HEADERS, END, 1, &vec![0; 70_000]))];
    let mut observer = Observer::new(Wanted::Any);
    for (side, bytes) in conversation(&long) {
        observer.observe(side, &bytes, Instant::now());
    }
    assert_eq!(observer.stopped(), Some(Stop::TooMuch("a frame is too long")));
}

#[test]
fn no_more_than_so_many_are_remembered() {
    let mut observer = Observer::new(Wanted::Http2);
    let now = Instant::now();
    for (side, bytes) in conversation(&[(Client, frame(HEADERS, END, 1, &get()))]) {
        observer.observe(side, &bytes, now);
    }
    for stream in 1..1000 {
        observer.observe(Client, &frame(HEADERS, END, stream * 2 + 1, GET_AGAIN), now);
    }
    assert_eq!((observer.open().count(), observer.begun(), observer.left_out()), (256, 1000, 744));
    for stream in 0..1000 {
        observer.observe(Server, &frame(HEADERS, END, stream * 2 + 1, OK), now);
    }
    assert_eq!(observer.take_ended().count(), 256);
    assert!(!observer.is_over());
}
