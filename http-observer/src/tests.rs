//! Conversations of both protocols, whole and in pieces.

mod http1;
mod http2;

use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::Side::{Client, Server};
use crate::{Observer, Protocol, Request, Side, Stop, Wanted};

/// What both sides say, one after the other, a second apart.
type Script = Vec<(Side, Vec<u8>)>;

fn script(said: &[(Side, &str)]) -> Script {
    said.iter().map(|(side, text)| (*side, text.as_bytes().to_vec())).collect()
}

/// What a record says but when.
fn words(request: &Request) -> String {
    let Request { protocol, method, stream, source_host, result, reason, octets, octets_reverse, .. } = request;
    let mut words = format!("{protocol} {method} {octets}>{octets_reverse}");
    for word in [
        stream.map(|stream| format!("stream {stream}")),
        source_host.as_ref().map(|host| format!("for {host}")),
        result.map(|result| result.to_string()),
        reason.as_ref().map(|reason| reason.to_string()),
    ] {
        words.extend(word.map(|word| format!(" {word}")));
    }
    words
}

#[derive(Debug)]
struct Seen {
    ended: Vec<Request>,
    open: Vec<Request>,
    stopped: Option<Stop>,
    protocol: Option<Protocol>,
}

/// A mistake may show sooner in pieces, and be called differently.
impl PartialEq for Seen {
    fn eq(&self, other: &Self) -> bool {
        let Self { ended, open, stopped, protocol } = self;
        (ended, open, stopped.is_some(), protocol)
            == (&other.ended, &other.open, other.stopped.is_some(), &other.protocol)
    }
}

impl Seen {
    /// Those that have ended, and those that have not.
    fn words(&self) -> (Vec<String>, Vec<String>) {
        (self.ended.iter().map(words).collect(), self.open.iter().map(words).collect())
    }
}

/// Observes it in pieces, which `cut` says from what is left.
fn observe(wanted: Wanted, script: &Script, start: Instant, mut cut: impl FnMut(&[u8]) -> usize) -> Seen {
    let mut observer = Observer::new(wanted);
    for (at, (side, bytes)) in script.iter().enumerate() {
        let now = start + Duration::from_secs(at as u64);
        let mut left = bytes.as_slice();
        while !left.is_empty() {
            let (piece, rest) = left.split_at(cut(left).clamp(1, left.len()));
            observer.observe(*side, piece, now);
            left = rest;
        }
        if bytes.is_empty() {
            observer.end(*side, now);
        }
    }
    let stopped = observer.stopped();
    let protocol = observer.protocol();
    let open = observer.open().map(|request| request.clone()).collect();
    Seen { ended: observer.take_ended().collect(), open, stopped, protocol }
}

/// The same whole, cut in two at every place, and byte by byte.
fn see(wanted: Wanted, script: &Script) -> Seen {
    let start = Instant::now();
    let whole = observe(wanted, script, start, <[u8]>::len);
    assert_eq!(observe(wanted, script, start, |_| 1), whole);
    let longest = script.iter().map(|(_, bytes)| bytes.len()).max().unwrap_or_default();
    for place in 1..longest.min(3000) {
        let mut length = 0;
        let seen = observe(wanted, script, start, |left| {
            let first = left.len() != length;
            length = left.len() - place.min(left.len());
            if first { place } else { left.len() }
        });
        assert_eq!(seen, whole, "cut at {place}");
    }
    whole
}

/// Records of what has ended, in words.
fn ended(said: &[(Side, &str)]) -> Vec<String> {
    let seen = see(Wanted::Any, &script(said));
    assert_eq!((seen.open, seen.stopped), (vec![], None));
    seen.ended.iter().map(words).collect()
}

#[test]
fn what_is_no_http() {
    for said in [
        &[(Client, "\x16\x03\x01\x02\x00\x01\x00")][..],
        &[(Client, "PRI * HTTP/2.1\r\n\r\n")],
        &[(Client, "GET\n")],
        &[(Client, "AVERYLONGWORDTHATCANNOTBEANYMETHODATALL")],
        &[(Server, "220 mail.example ESMTP\r\n")],
        &[(Server, "\0\0\0\x04\0\0\0\0\0"), (Client, "GET / HTTP/1.1\r\n\r\n")],
    ] {
        let seen = see(Wanted::Any, &script(said));
        assert!(seen.stopped.is_some(), "{said:?}: {seen:?}");
        assert_eq!((seen.protocol, seen.open.len(), seen.ended.len()), (None, 0, 0));
    }
    // It shows before there is a whole head.
    let seen = see(Wanted::Any, &script(&[(Client, "GET / HTTP/1.1\r\n\r\n"), (Server, "SSH-2.0-x")]));
    assert!(seen.stopped.is_some());
}

#[test]
fn only_what_is_wanted() {
    let one = script(&[(Client, "GET / HTTP/1.1\r\n\r\n")]);
    assert_eq!(see(Wanted::Http1, &one).protocol, Some(Protocol::Http1));
    assert_eq!(see(Wanted::Http2, &one).stopped, Some(Stop::Malformed("the client does not speak HTTP")));
    let two = vec![(Client, crate::http2::PREFACE.to_vec())];
    assert_eq!(see(Wanted::Http2, &two).protocol, Some(Protocol::Http2));
    assert_eq!(see(Wanted::Any, &two).protocol, Some(Protocol::Http2));
    assert_eq!(see(Wanted::Http1, &two).protocol, None);
}

#[test]
fn a_connection_that_breaks_ends_its_requests() {
    let mut observer = Observer::new(Wanted::Any);
    let now = Instant::now();
    observer.observe(Client, b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n12345", now);
    assert!(!observer.has_ended());
    observer.finish(now + Duration::from_secs(1));
    assert_eq!(observer.take_ended().map(|request| words(&request)).collect::<Vec<_>>(), ["HTTP/1.1 POST 5>0"]);
    assert!(observer.is_over() && observer.stopped().is_none());
    assert_eq!(observer.unseen(Client), u64::MAX);
    observer.observe(Client, b"GET / HTTP/1.1\r\n\r\n", now);
    assert_eq!(observer.begun(), 1);
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Client), Just(Server)]
}

proptest! {
    /// Bytes that are like HTTP, and any others: nothing panics, what is kept stays bounded, and the pieces do not matter.
    #[test]
    fn anything_is_taken(
        said in prop::collection::vec(
            (side(), prop_oneof![
                prop::collection::vec(any::<u8>(), 0..100),
                prop::sample::select(http1::PHRASES).prop_map(|text| text.as_bytes().to_vec()),
                http2::frames(),
            ]),
            0..20,
        ),
        two in any::<bool>(),
        cuts in prop::collection::vec(1_usize..40, 1..20),
    ) {
        let mut script = said;
        script.retain(|(_, bytes)| !bytes.is_empty());
        if two {
            script.insert(0, (Client, crate::http2::PREFACE.to_vec()));
        }
        let start = Instant::now();
        let whole = observe(Wanted::Any, &script, start, <[u8]>::len);
        let mut cuts = cuts.into_iter().cycle();
        let pieces = observe(Wanted::Any, &script, start, |_| cuts.next().unwrap());
        prop_assert_eq!(whole, pieces);
    }
}
