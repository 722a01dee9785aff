//! A request, and those of a connection.

use std::borrow::Cow;
use std::time::Instant;

use crate::{Side, Stop};

/// Requests of a connection that are remembered at a time. Servers take 100 to 250 streams by default; what HTTP/1 has in its pipeline is far less.
pub(crate) const MAX_OPEN: usize = 256;
/// Requests that may have ended in one piece of what a side sent.
const MAX_ENDED: usize = 4096;

/// The longest method that is told.
pub(crate) const MAX_METHOD: usize = 32;
/// The longest reason.
const MAX_REASON: usize = 64;

const METHODS: [&str; 9] = ["GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"];
const REASONS: [&str; 8] =
    ["OK", "Created", "No Content", "Not Modified", "Found", "Not Found", "Bad Request", "Internal Server Error"];

/// One request and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Whatever its owner calls it.
    pub number: Option<u64>,
    /// Something is new since its owner said otherwise.
    pub changed: bool,
    /// HTTP/1.0, HTTP/1.1 or HTTP/2.
    pub protocol: &'static str,
    /// GET, for example.
    pub method: Cow<'static, str>,
    /// Its stream, in HTTP/2.
    pub stream: Option<u32>,
    /// On whose behalf a proxy asks, as that one says.
    pub source_host: Option<String>,
    /// The status code of the final response.
    pub result: Option<u16>,
    /// And its reason, which HTTP/2 does not have.
    pub reason: Option<Cow<'static, str>>,
    /// Bytes of the request's body.
    pub octets: u64,
    /// Bytes of the response's body.
    pub octets_reverse: u64,
    /// When its head was complete.
    pub began: Instant,
    /// When the first response's was.
    pub answered: Option<Instant>,
    /// When both were complete, or it was over otherwise.
    pub ended: Option<Instant>,
    pub(crate) key: u64,
    asked: bool,
    served: bool,
}

impl Request {
    pub(crate) const fn new(key: u64, protocol: &'static str, method: Cow<'static, str>, began: Instant) -> Self {
        Self {
            number: None,
            changed: true,
            protocol,
            method,
            stream: None,
            source_host: None,
            result: None,
            reason: None,
            octets: 0,
            octets_reverse: 0,
            began,
            answered: None,
            ended: None,
            key,
            asked: false,
            served: false,
        }
    }

    /// The head of a response has come, maybe not of the final one.
    pub(crate) fn answer(&mut self, status: u16, reason: &str, now: Instant) {
        self.answered.get_or_insert(now);
        self.changed = true;
        // 101 is the last that is said in this protocol.
        if status / 100 != 1 || status == 101 {
            self.result.get_or_insert(status);
            if self.reason.is_none() && !reason.is_empty() {
                self.reason = Some(known(&REASONS, reason, MAX_REASON));
            }
        }
    }
}

/// A method of a request.
pub(crate) fn method(text: &[u8]) -> Result<Cow<'static, str>, Stop> {
    let text = std::str::from_utf8(text).ok().filter(|text| (1..=MAX_METHOD).contains(&text.len()));
    let text = text.filter(|text| text.bytes().all(is_token));
    text.map(|text| known(&METHODS, text, MAX_METHOD)).ok_or(Stop::Malformed("this is no method"))
}

/// Whether a byte may be part of a method.
pub(crate) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

fn known(known: &[&'static str], text: &str, most: usize) -> Cow<'static, str> {
    match known.iter().find(|known| **known == text) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(text.chars().take(most).collect()),
    }
}

/// The requests of a connection.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) open: Vec<Request>,
    pub(crate) ended: Vec<Request>,
    pub(crate) begun: u64,
    pub(crate) left_out: u64,
    /// Where the last one was found: bodies come in many pieces.
    last: usize,
}

impl Log {
    /// A request begins. False if there are too many.
    pub(crate) fn begin(&mut self, request: Request) -> bool {
        self.begun += 1;
        let room = self.open.len() < MAX_OPEN;
        if room {
            self.open.push(request);
        } else {
            self.left_out += 1;
        }
        room
    }

    /// One that is open.
    pub(crate) fn get(&mut self, key: u64) -> Option<&mut Request> {
        if self.open.get(self.last).is_none_or(|request| request.key != key) {
            self.last = self.open.iter().position(|request| request.key == key)?;
        }
        self.open.get_mut(self.last)
    }

    /// More of a body has come.
    pub(crate) fn count(&mut self, key: u64, side: Side, n: u64) {
        if let Some(request) = self.get(key) {
            let octets = match side {
                Side::Client => &mut request.octets,
                Side::Server => &mut request.octets_reverse,
            };
            *octets = octets.saturating_add(n);
            request.changed = true;
        }
    }

    /// A side has said everything.
    pub(crate) fn complete(&mut self, key: u64, side: Side, now: Instant) {
        let Some(request) = self.get(key) else { return };
        match side {
            Side::Client => request.asked = true,
            Side::Server => request.served = true,
        }
        if request.asked && request.served {
            self.finish(key, now);
        }
    }

    /// It is over.
    pub(crate) fn finish(&mut self, key: u64, now: Instant) {
        if self.get(key).is_some() {
            let request = self.open.remove(self.last);
            self.push(request, now);
        }
    }

    /// All those are over.
    pub(crate) fn finish_if(&mut self, over: impl Fn(u64) -> bool, now: Instant) {
        let (over, open) = std::mem::take(&mut self.open).into_iter().partition(|request| over(request.key));
        self.open = open;
        let over: Vec<Request> = over;
        over.into_iter().for_each(|request| self.push(request, now));
    }

    pub(crate) fn finish_all(&mut self, now: Instant) {
        self.finish_if(|_| true, now);
        self.open = Vec::new();
    }

    fn push(&mut self, mut request: Request, now: Instant) {
        request.ended = Some(now);
        if self.ended.len() < MAX_ENDED {
            self.ended.push(request);
        } else {
            self.left_out += 1;
        }
    }
}
