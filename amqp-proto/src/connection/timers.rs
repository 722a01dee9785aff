//! Idle timeouts of both sides and the limit of the handshake.

use std::time::{Duration, Instant};

use super::{Config, Connection, Event, fault::Fault};
use crate::{condition, frame::EMPTY_FRAME};

#[derive(Debug)]
pub(super) struct Timers {
    /// Both sides must have opened by then.
    handshake: Option<Instant>,
    /// Silence of the peer that we bear.
    idle: Option<Duration>,
    last_input: Instant,
    /// A quarter of the silence that the peer bears.
    quarter: Option<Duration>,
    /// When to look whether something was sent.
    next_look: Option<Instant>,
    /// [`crate::output::Output::queued`] when it was looked at last.
    queued: u32,
}

impl Timers {
    pub(super) fn new(config: &Config, now: Instant) -> Self {
        Self {
            handshake: config.handshake_timeout.map(|t| now + t),
            idle: config.idle_timeout,
            last_input: now,
            quarter: None,
            next_look: None,
            queued: 0,
        }
    }

    pub(super) fn heard(&mut self, now: Instant) {
        self.last_input = now;
    }

    /// When the peer was heard last.
    pub(super) const fn last_input(&self) -> Instant {
        self.last_input
    }

    pub(super) fn handshake_done(&mut self) {
        self.handshake = None;
    }

    pub(super) fn peer_idle(&mut self, idle: Duration) {
        self.quarter = Some(idle / 4);
        self.next_look = Some(self.last_input + idle / 4);
    }
}

impl Connection {
    /// When [`Connection::handle_timeout`] must be called at the latest. Changes with every input; a call that is too early does no harm.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.closed.is_some() {
            return None;
        }
        // The peer's idle timeout counts from our open on (§2.4.5).
        let idle = self.timers.idle.filter(|_| self.open.sent).map(|t| self.timers.last_input + t);
        [self.timers.handshake, idle, self.timers.next_look].into_iter().flatten().min()
    }

    /// Does what is due: an empty frame if nothing was sent for half the time that the peer bears, a close if it was silent for too long.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Event> {
        if self.closed.is_some() {
            return None;
        }
        if self.timers.handshake.is_some_and(|at| at <= now) {
            return self.fail(Fault::connection(condition::RESOURCE_LIMIT_EXCEEDED, "the handshake took too long"));
        }
        if let Some(idle) = self.timers.idle.filter(|_| self.open.sent)
            && self.timers.last_input + idle <= now
        {
            return self.fail(Fault::connection(condition::RESOURCE_LIMIT_EXCEEDED, "local-idle-timeout expired"));
        }
        if let (Some(quarter), Some(at)) = (self.timers.quarter, self.timers.next_look)
            && at <= now
        {
            // Looking four times in the period finds a silence of half of it at the latest.
            self.timers.next_look = Some(now + quarter);
            let silent = self.timers.queued == self.output.queued();
            if silent && self.output.is_empty() && self.open.sent && !self.open.close_sent {
                self.stats.frames_out += 1;
                self.output.push(&EMPTY_FRAME);
            }
            self.timers.queued = self.output.queued();
        }
        None
    }
}
