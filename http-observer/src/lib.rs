//! Reads along with the two directions of a TCP connection, and tells which HTTP requests it carries and what came of them.
//!
//! An [`Observer`] is given every byte, in pieces of any size, or told how many it did not get to see where that does not matter
//! ([`Observer::unseen`]). It never asks for bytes to be held back or changed. What it does not understand, and what is more than it is ready to
//! remember, ends the observation, never the connection.
//!
//! Sans-io: time is an argument. Memory is bounded whatever the peers send: a head in pieces, the requests that are open at a time, and the
//! indices of HPACK's dynamic tables, of which only what a record needs is kept.
#![forbid(unsafe_code)]

mod forwarded;
mod hpack;
mod http1;
mod http2;
mod request;
#[cfg(test)]
mod tests;

use std::time::Instant;

use thiserror::Error;

use http1::Http1;
use http2::{Http2, PREFACE};
use request::Log;
pub use request::Request;

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Either protocol, by the client's first bytes.
    Any,
    /// HTTP/1.0 and HTTP/1.1.
    Http1,
    /// HTTP/2 that begins with its preface.
    Http2,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0 or HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Who sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Whoever opened the connection.
    Client,
    /// Whoever answers.
    Server,
}

/// Why an observation has ended before its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Stop {
    /// It is another protocol, or a peer makes mistakes.
    #[error("{0}")]
    Malformed(&'static str),
    /// A peer may do so, but this is more than is remembered.
    #[error("{0}")]
    TooMuch(&'static str),
    /// The peers have agreed on another protocol.
    #[error("the connection has become a tunnel")]
    Tunnel,
}

#[derive(Debug)]
enum State {
    Undecided(Undecided),
    Http1(Box<Http1>),
    Http2(Box<Http2>),
    Over(Option<Stop>),
}

/// The client has not said enough.
#[derive(Debug)]
struct Undecided {
    wanted: Wanted,
    /// So much of HTTP/2's preface has come.
    matched: usize,
    /// Servers of HTTP/2 may begin to speak at once. Those of HTTP/1 never do.
    early: Option<Box<Http2>>,
}

/// What is known of one connection.
#[derive(Debug)]
pub struct Observer {
    state: State,
    log: Log,
}

impl Observer {
    /// Of a connection on which nothing was sent yet.
    pub fn new(wanted: Wanted) -> Self {
        let state = match wanted {
            Wanted::Http1 => State::Http1(Box::default()),
            Wanted::Any | Wanted::Http2 => State::Undecided(Undecided { wanted, matched: 0, early: None }),
        };
        Self { state, log: Log::default() }
    }

    /// One side has sent this.
    pub fn observe(&mut self, side: Side, bytes: &[u8], now: Instant) {
        if let Err(stop) = self.read(side, bytes, now) {
            self.stop(Some(stop), now);
        }
    }

    fn read(&mut self, side: Side, bytes: &[u8], now: Instant) -> Result<(), Stop> {
        let log = &mut self.log;
        match &mut self.state {
            State::Over(_) => Ok(()),
            State::Http1(http) => http.read(side, bytes, log, now),
            State::Http2(http) => http.read(side, bytes, log, now),
            State::Undecided(undecided) => match side {
                Side::Server => undecided.early.get_or_insert_default().read(side, bytes, log, now),
                Side::Client => {
                    let expected = PREFACE.get(undecided.matched..).unwrap_or_default();
                    let same = expected.iter().zip(bytes).take_while(|(expected, byte)| expected == byte).count();
                    undecided.matched += same;
                    let matched = undecided.matched;
                    if same == expected.len() {
                        let http = undecided.early.take().unwrap_or_default();
                        self.state = State::Http2(http);
                    } else if same == bytes.len() {
                        return Ok(());
                    } else if undecided.wanted == Wanted::Http2 || undecided.early.is_some() {
                        return Err(Stop::Malformed("the client does not speak HTTP"));
                    } else {
                        let mut http = Box::<Http1>::default();
                        let before = PREFACE.get(..matched - same).unwrap_or_default();
                        http.read(side, before, log, now)?;
                        self.state = State::Http1(http);
                        return self.read(side, bytes, now);
                    }
                    self.read(side, bytes.get(same..).unwrap_or_default(), now)
                }
            },
        }
    }

    /// How many of the bytes that a side sends next need not be seen, but counted by [`skip`](Self::skip): they are a body's, or it is over.
    pub fn unseen(&self, side: Side) -> u64 {
        match &self.state {
            State::Undecided(_) | State::Http2(_) => 0,
            State::Http1(http) => http.unseen(side),
            State::Over(_) => u64::MAX,
        }
    }

    /// A side has sent so many bytes, no more than [`unseen`](Self::unseen) said.
    pub fn skip(&mut self, side: Side, n: u64, now: Instant) {
        let skipped = match &mut self.state {
            State::Over(_) => Ok(()),
            State::Http1(http) => http.skip(side, n, &mut self.log, now),
            State::Undecided(_) | State::Http2(_) => Err(Stop::TooMuch("bytes went by unseen")),
        };
        if let Err(stop) = skipped {
            self.stop(Some(stop), now);
        }
    }

    /// A side sends nothing more.
    pub fn end(&mut self, side: Side, now: Instant) {
        if let State::Http1(http) = &mut self.state {
            http.end(side, &mut self.log, now);
        }
    }

    /// The connection is over, or nobody wants to know any more: so are all requests.
    pub fn finish(&mut self, now: Instant) {
        self.stop(None, now);
    }

    fn stop(&mut self, stop: Option<Stop>, now: Instant) {
        if !self.is_over() {
            self.state = State::Over(stop);
            self.log.finish_all(now);
        }
    }

    /// Nothing more will be found.
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Over(_))
    }

    /// Why it ended before its connection.
    pub const fn stopped(&self) -> Option<Stop> {
        if let State::Over(stop) = self.state { stop } else { None }
    }

    /// What the peers speak, as long as it is read along.
    pub const fn protocol(&self) -> Option<Protocol> {
        match self.state {
            State::Http1(_) if self.log.begun > 0 => Some(Protocol::Http1),
            State::Http2(_) => Some(Protocol::Http2),
            _ => None,
        }
    }

    /// Requests that have begun, those that are not told of included.
    pub const fn begun(&self) -> u64 {
        self.log.begun
    }

    /// Requests beyond those that are remembered at a time.
    pub const fn left_out(&self) -> u64 {
        self.log.left_out
    }

    /// Requests that are not complete, the oldest first or nearly so.
    pub fn open(&mut self) -> impl Iterator<Item = &mut Request> {
        self.log.open.iter_mut()
    }

    /// Requests that have ended since this was asked last.
    pub fn take_ended(&mut self) -> std::vec::Drain<'_, Request> {
        self.log.ended.drain(..)
    }

    /// Whether there are such.
    pub const fn has_ended(&self) -> bool {
        !self.log.ended.is_empty()
    }
}
