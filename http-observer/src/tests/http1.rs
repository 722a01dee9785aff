//! HTTP/1.0 and HTTP/1.1.

use std::time::{Duration, Instant};

use super::{Script, ended, script, see, words};
use crate::Side::{Client, Server};
use crate::{Observer, Stop, Wanted};

/// Of which conversations, mostly wrong ones, are made.
pub(super) const PHRASES: &[&str] = &[
    "GET / HTTP/1.1\r\n\r\n",
    "HEAD / HTTP/1.0\r\n\r\n",
    "CONNECT a:1 HTTP/1.1\r\n\r\n",
    "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
    "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "HTTP/1.0 404\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\n\r\n",
    "3\r\nabc\r\n",
    "0\r\n\r\n",
    "0\r\nA: b\r\n\r\n",
    "FFFFFFFFFFFFFFFF\r\n",
];

#[test]
fn requests_one_after_the_other_and_in_a_pipeline() {
    let get = "GET /a HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.168.0.2, 10.0.0.1\r\n\r\n";
    let found = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let missing = "HTTP/1.1 404 Not Here\r\nContent-Length: 0\r\n\r\n";
    let expected = ["HTTP/1.1 GET 0>5 for 192.168.0.2 200 OK", "HTTP/1.1 GET 0>0 for 192.168.0.2 404 Not Here"];
    assert_eq!(ended(&[(Client, get), (Server, found), (Client, get), (Server, missing)]), expected);
    assert_eq!(ended(&[(Client, &get.repeat(2)), (Server, &format!("{found}{missing}"))]), expected);
}

#[test]
fn times() {
    let seen = see(
        Wanted::Any,
        &script(&[
            (Client, "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\na"),
            (Server, "HTTP/1.1 103 Early Hints\r\n\r\n"),
            (Client, "b"),
            (Server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na"),
            (Server, "b"),
        ]),
    );
    let request = &seen.ended[0];
    assert_eq!(request.answered, Some(request.began + Duration::from_secs(1)));
    assert_eq!(request.ended, Some(request.began + Duration::from_secs(4)));
}

#[test]
fn bodies() {
    let chunks = "3;x=\"y\"\r\nabc\r\n0010  \r\n0123456789abcdef\r\n0\r\nTrailer: x\r\n\r\n";
    let post = format!("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, Chunked\r\nContent-Length: 5\r\n\r\n{chunks}");
    let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
    let twice = [(Client, post.as_str()), (Server, &answer), (Client, &post), (Server, &answer)];
    assert_eq!(ended(&twice), ["HTTP/1.1 POST 19>19 200 OK"; 2]);
    // Without end of line as it should be, and with a length given twice.
    let lax = "\r\nPUT / HTTP/1.0\nContent-Length: 3, 3\n\nabc";
    assert_eq!(
        ended(&[(Client, lax), (Server, "HTTP/1.0 204 No Content\nContent-Length: 7\n\n")]),
        ["HTTP/1.0 PUT 3>0 204 No Content"]
    );
}

#[test]
fn responses_without_a_body() {
    let conversation = [
        (Client, "HEAD / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
        (Server, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        (Server, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"),
        (Server, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 \r\nContent-Length: 1\r\n\r\nx"),
    ];
    assert_eq!(
        ended(&conversation),
        ["HTTP/1.1 HEAD 0>0 200 OK", "HTTP/1.1 GET 0>0 304 Not Modified", "HTTP/1.1 GET 0>1 200"]
    );
}

#[test]
fn a_response_until_the_end() {
    let said = [(Client, "GET / HTTP/1.0\r\n\r\n"), (Server, "HTTP/1.1 200 OK\r\n\r\nsome"), (Server, "thing")];
    let seen = see(Wanted::Any, &script(&said));
    assert_eq!(seen.words(), (vec![], vec!["HTTP/1.0 GET 0>9 200 OK".to_owned()]));
    let mut said = said.to_vec();
    said.push((Server, ""));
    assert_eq!(ended(&said), ["HTTP/1.0 GET 0>9 200 OK"]);
}

#[test]
fn an_answer_before_the_request_is_complete() {
    let said = [
        (Client, "POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nab"),
        (Server, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n"),
    ];
    let record = |n| format!("HTTP/1.1 POST {n}>0 413 Content Too Large");
    assert_eq!(see(Wanted::Any, &script(&said)).words(), (vec![], vec![record(2)]));
    let said = [&said[..], &[(Client, "cd")]].concat();
    assert_eq!(ended(&said), [record(4)]);
}

#[test]
fn tunnels() {
    for (said, record) in [
        (
            vec![
                (Client, "GET /chat HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"),
                (Server, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"),
                (Client, "\u{1}\u{2}"),
            ],
            "HTTP/1.1 GET 0>0 101 Switching Protocols",
        ),
        (
            vec![
                (Client, "CONNECT x:443 HTTP/1.1\r\n\r\n\u{16}"),
                (Server, "HTTP/1.1 200 Connected\r\n\r\n"),
                (Client, "\u{1}"),
            ],
            "HTTP/1.1 CONNECT 0>0 200 Connected",
        ),
        (
            vec![(Client, "CONNECT x:443 HTTP/1.1\r\n\r\n\u{16}"), (Server, "HTTP/1.1 403 No\r\n\r\n")],
            "HTTP/1.1 CONNECT 0>0 403 No",
        ),
    ] {
        let seen = see(Wanted::Any, &script(&said));
        assert_eq!(seen.stopped, Some(Stop::Tunnel));
        assert_eq!(seen.words(), (vec![record.to_owned()], vec![]));
    }
    let refused = [
        (Client, "CONNECT x:443 HTTP/1.1\r\n\r\n"),
        (Server, "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"),
        (Client, "GET / HTTP/1.1\r\n\r\n"),
        (Server, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ];
    assert_eq!(ended(&refused), ["HTTP/1.1 CONNECT 0>2 403 No", "HTTP/1.1 GET 0>0 200 OK"]);
}

#[test]
fn mistakes_end_the_observation() {
    let get = "GET / HTTP/1.1\r\n\r\n";
    let post = |framing: &str| format!("POST / HTTP/1.1\r\n{framing}\r\n\r\n");
    for client in [
        post("Content-Length: 1\r\nContent-Length: 2"),
        post("Content-Length: -1"),
        post("Content-Length: 99999999999999999999"),
        post("Transfer-Encoding: gzip"),
        post("Transfer-Encoding: chunked") + "x\r\n",
        post("Transfer-Encoding: chunked") + "\r\n",
        post("Transfer-Encoding: chunked") + "11111111111111111\r\n",
        post("Transfer-Encoding: chunked") + "1\r\nab\r\n",
        "GET / HTTP/3.0\r\n\r\n".to_owned(),
        "GET /\r\n\r\n".to_owned(),
        format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(200)),
        get.repeat(257),
        format!("GET /{} HTTP/1.1\r\n", "x".repeat(40_000)),
    ] {
        let script: Script = script(&[(Client, &client)]);
        let mut observer = Observer::new(Wanted::Any);
        observer.observe(Client, &script[0].1, Instant::now());
        assert!(matches!(observer.stopped(), Some(Stop::Malformed(_) | Stop::TooMuch(_))), "{client}");
        assert_eq!(observer.open().count(), 0);
    }
    for server in ["HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "HTTP/2 200\r\n\r\n", "HTTP/1.1 abc\r\n\r\n"] {
        assert!(see(Wanted::Any, &script(&[(Client, get), (Server, server)])).stopped.is_some());
    }
    assert!(see(Wanted::Http1, &script(&[(Server, "HTTP/1.1 408 Too Late\r\n\r\n")])).stopped.is_some());
}

/// Bodies need not be seen, as far as it is known how long they are.
#[test]
fn what_goes_by_unseen() {
    let now = Instant::now();
    let mut observer = Observer::new(Wanted::Any);
    observer.observe(Client, b"PUT / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\nab", now);
    assert_eq!((observer.unseen(Client), observer.unseen(Server)), (999_998, 0));
    observer.skip(Client, 999_998, now);
    assert_eq!(observer.unseen(Client), 0);
    observer.observe(Server, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n", now);
    assert_eq!(observer.unseen(Server), 0x1000);
    observer.skip(Server, 0x1000, now);
    observer.observe(Server, b"\r\n0\r\n\r\n", now);
    observer.observe(Client, b"GET / HTTP/1.1\r\n\r\n", now);
    observer.observe(Server, b"HTTP/1.1 200 OK\r\n\r\n", now);
    assert_eq!(observer.unseen(Server), u64::MAX);
    observer.skip(Server, 1 << 40, now);
    observer.end(Server, now);
    let records: Vec<_> = observer.take_ended().map(|request| words(&request)).collect();
    assert_eq!(records, ["HTTP/1.1 PUT 1000000>4096 200 OK", "HTTP/1.1 GET 0>1099511627776 200 OK"]);
    // More than that is a mistake of whoever counts.
    observer.skip(Server, 1, now);
    assert!(observer.is_over());
}

/// A head in single bytes is looked at once, so that it costs no more than one in one piece.
#[test]
fn a_head_byte_by_byte() {
    let now = Instant::now();
    let mut observer = Observer::new(Wanted::Any);
    let head = format!("GET / HTTP/1.1\r\nCookie: {}\r\n\r\n", "x".repeat(30_000));
    head.bytes().for_each(|byte| observer.observe(Client, &[byte], now));
    assert_eq!(observer.begun(), 1);
}
