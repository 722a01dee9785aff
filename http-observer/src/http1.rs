//! HTTP/1.0 and HTTP/1.1 (RFC 9112): heads, bodies by their framing, and which response belongs to which request.

mod body;
mod head;

use std::collections::VecDeque;
use std::time::Instant;

use crate::request::{Log, MAX_OPEN};
use crate::{Request, Side, Stop};
use body::Body;
use head::{Heads, RequestHead, ResponseHead};

/// A connection.
#[derive(Debug)]
pub(crate) struct Http1 {
    client: Phase,
    server: Phase,
    /// Requests whose responses are not complete, the oldest first.
    awaited: VecDeque<Awaited>,
    next: u64,
    /// The client has sent something of which it depends on the response what it is.
    blind: bool,
}

#[derive(Debug)]
enum Phase {
    Head(Heads),
    Body {
        key: u64,
        body: Body,
    },
    /// After a CONNECT, until it is answered.
    Blind,
}

#[derive(Debug, Clone, Copy)]
struct Awaited {
    key: u64,
    head: bool,
    connect: bool,
}

impl Default for Http1 {
    fn default() -> Self {
        Self {
            client: Phase::Head(Heads::of_requests()),
            server: Phase::Head(Heads::of_responses()),
            awaited: VecDeque::new(),
            next: 0,
            blind: false,
        }
    }
}

impl Http1 {
    pub(crate) fn read(&mut self, side: Side, mut bytes: &[u8], log: &mut Log, now: Instant) -> Result<(), Stop> {
        while !bytes.is_empty() {
            let phase = match side {
                Side::Client => &mut self.client,
                Side::Server => &mut self.server,
            };
            match phase {
                Phase::Blind => {
                    self.blind = true;
                    return Ok(());
                }
                Phase::Body { key, body } => {
                    let key = *key;
                    let read = body.read(bytes)?;
                    bytes = bytes.get(read.consumed..).unwrap_or_default();
                    log.count(key, side, read.payload);
                    if body.is_complete() {
                        self.complete(key, side, log, now);
                    }
                }
                Phase::Head(heads) => {
                    let (head, rest) = heads.read(bytes)?;
                    bytes = rest;
                    match (head, side) {
                        (Some(head), Side::Client) => self.request(RequestHead::parse(&head)?, log, now)?,
                        (Some(head), Side::Server) => self.response(&ResponseHead::parse(&head)?, log, now)?,
                        (None, _) => {}
                    }
                }
            }
        }
        Ok(())
    }

    fn request(&mut self, head: RequestHead, log: &mut Log, now: Instant) -> Result<(), Stop> {
        if self.awaited.len() >= MAX_OPEN {
            return Err(Stop::TooMuch("there are too many requests without an answer"));
        }
        let key = self.next;
        self.next += 1;
        let connect = head.method == "CONNECT";
        self.awaited.push_back(Awaited { key, head: head.method == "HEAD", connect });
        let mut request = Request::new(key, head.version, head.method, now);
        request.source_host = head.source_host;
        log.begin(request);
        if connect {
            log.complete(key, Side::Client, now);
            self.client = Phase::Blind;
        } else {
            self.client = Phase::Body { key, body: head.body };
            self.complete_if_empty(key, Side::Client, log, now);
        }
        Ok(())
    }

    fn response(&mut self, head: &ResponseHead, log: &mut Log, now: Instant) -> Result<(), Stop> {
        let awaited = *self.awaited.front().ok_or(Stop::Malformed("there is a response without a request"))?;
        let key = awaited.key;
        if let Some(request) = log.get(key) {
            request.answer(head.status, &head.reason, now);
        }
        let tunnel = head.status == 101 || (awaited.connect && head.status / 100 == 2);
        if tunnel || (awaited.connect && self.blind) {
            log.finish(key, now);
            return Err(Stop::Tunnel);
        }
        if head.status / 100 == 1 {
            return Ok(());
        }
        if awaited.connect {
            self.client = Phase::Head(Heads::of_requests());
        }
        let body = if awaited.head { Body::Empty } else { head.body };
        self.server = Phase::Body { key, body };
        self.complete_if_empty(key, Side::Server, log, now);
        Ok(())
    }

    fn complete_if_empty(&mut self, key: u64, side: Side, log: &mut Log, now: Instant) {
        let phase = if side == Side::Client { &self.client } else { &self.server };
        if matches!(phase, Phase::Body { body, .. } if body.is_complete()) {
            self.complete(key, side, log, now);
        }
    }

    fn complete(&mut self, key: u64, side: Side, log: &mut Log, now: Instant) {
        match side {
            Side::Client => self.client = Phase::Head(Heads::of_requests()),
            Side::Server => {
                self.server = Phase::Head(Heads::of_responses());
                self.awaited.pop_front();
            }
        }
        log.complete(key, side, now);
    }

    pub(crate) fn unseen(&self, side: Side) -> u64 {
        let phase = if side == Side::Client { &self.client } else { &self.server };
        match phase {
            Phase::Body { body, .. } => body.unseen(),
            Phase::Head(_) | Phase::Blind => 0,
        }
    }

    pub(crate) fn skip(&mut self, side: Side, n: u64, log: &mut Log, now: Instant) -> Result<(), Stop> {
        let phase = if side == Side::Client { &mut self.client } else { &mut self.server };
        let Phase::Body { key, body } = phase else { return Err(Stop::TooMuch("bytes went by unseen")) };
        let key = *key;
        body.skip(n)?;
        log.count(key, side, n);
        self.complete_if_empty(key, side, log, now);
        Ok(())
    }

    /// The only body that the end of its side completes is one that lasts until then; others are cut short.
    pub(crate) fn end(&mut self, side: Side, log: &mut Log, now: Instant) {
        if side == Side::Server
            && let Phase::Body { key, body: Body::UntilEnd } = self.server
        {
            self.complete(key, side, log, now);
        }
    }
}
