//! From bytes to events.

use std::time::Instant;

use bytes::Bytes;

use super::{Closed, Connection, Event, Initiator, fault::Fault};
use crate::{
    Performative, Reader, condition,
    frame::{FrameHeader, FrameKind},
    performative::{Disposition, Flow, PerformativeCode, Transfer},
};

impl Connection {
    /// Reads from `*pos` on until something happens that the owner must know, and moves `*pos` behind what was read.
    ///
    /// `None`: the rest is an incomplete frame (never larger than the max-frame-size) or empty. Give it again, with more behind it.
    /// Any block will do: nothing of an earlier one is remembered, except by events that said so.
    ///
    /// Once the connection is closed all input is skipped, and every call that had some repeats the event.
    pub fn handle_input(&mut self, block: &Bytes, pos: &mut usize, now: Instant) -> Option<Event> {
        if *pos < block.len() {
            self.timers.heard(now);
        }
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            if let Some(closed) = &self.closed {
                let news = *pos < block.len();
                *pos = block.len();
                return news.then(|| Event::Closed(closed.clone()));
            }
            if self.awaits_owner() {
                return None;
            }
            let before = *pos;
            let result =
                if self.phase.is_amqp() { self.amqp_input(block, pos, now) } else { self.handshake_input(block, pos) };
            match result {
                Ok(Some(event)) => return Some(event),
                Ok(None) if *pos == before => return self.pending.pop_front(),
                Ok(None) => {}
                Err(fault) => {
                    let event = self.fail(fault);
                    if self.closed.is_some() {
                        *pos = block.len();
                    }
                    if event.is_some() {
                        return event;
                    }
                }
            }
        }
    }

    /// The peer will send no more. Tells what became of the connection, once.
    ///
    /// A peer that leaves without a word (a port scan, a health check), or after the close, did nothing wrong: no error is reported.
    pub fn handle_eof(&mut self) -> Option<Event> {
        if self.closed.is_some() {
            return None;
        }
        let error = (self.heard_anything() && !self.open.close_sent).then(|| {
            crate::Error::new(condition::CONNECTION_FRAMING_ERROR, "the peer ended the connection without closing it")
        });
        Some(self.finish(Closed { by: Initiator::Peer, error }))
    }

    /// One frame. `Ok(None)` with the position unchanged: the frame is incomplete.
    fn amqp_input(&mut self, block: &Bytes, pos: &mut usize, now: Instant) -> Result<Option<Event>, Fault> {
        let rest = block.get(*pos..).unwrap_or_default();
        let Some(header) = FrameHeader::parse(rest, self.max_frame_size)? else {
            return Ok(None);
        };
        if rest.len() < header.size {
            return Ok(None);
        }
        let body = header.body_range(*pos);
        *pos += header.size;
        self.stats.frames_in += 1;
        if header.kind != FrameKind::Amqp {
            return Err(Fault::connection(
                condition::CONNECTION_FRAMING_ERROR,
                "SASL frame after the end of the SASL exchange",
            ));
        }
        if header.channel > self.channel_max {
            return Err(Fault::connection(
                condition::CONNECTION_FRAMING_ERROR,
                format_args!("channel {} is above the channel-max of {}", header.channel, self.channel_max),
            ));
        }
        if header.is_empty() {
            return Ok(None);
        }
        let mut reader = Reader::part(block, body.clone());
        let code = PerformativeCode::read(&mut reader)?;
        if !self.open.received && code != PerformativeCode::Open {
            return Err(Fault::connection(condition::ILLEGAL_STATE, format_args!("{code:?} before open")));
        }
        if self.open.close_sent && code != PerformativeCode::Close {
            return Ok(None);
        }
        match code {
            // Used in place: it is too large to be moved for every message.
            PerformativeCode::Transfer => match &mut Transfer::read(&mut reader) {
                Ok(transfer) => {
                    self.on_transfer(header.channel, transfer, reader.pos()..reader.end(), header.size, now)
                }
                Err(error) => Err(Fault::decode(error)),
            },
            PerformativeCode::Disposition => {
                let disposition = Disposition::read(&mut reader)?;
                reader.finish()?;
                self.on_disposition(header.channel, disposition, now)
            }
            PerformativeCode::Flow => {
                let flow = Flow::read(&mut reader)?;
                reader.finish()?;
                self.on_flow(header.channel, flow, now)
            }
            _ => match Performative::decode(block, body)?.0 {
                Performative::Open(open) => self.on_open(header.channel, open),
                Performative::Begin(begin) => self.on_begin(header.channel, &begin),
                Performative::Attach(attach) => self.on_attach(header.channel, attach),
                Performative::Detach(detach) => self.on_detach(header.channel, *detach, now),
                Performative::End(end) => self.on_end(header.channel, *end, now),
                Performative::Close(close) => Ok(Some(self.on_close(*close))),
                // Read above.
                Performative::Transfer(_) | Performative::Flow(_) | Performative::Disposition(_) => Ok(None),
            },
        }
    }

    /// Index of the session that the peer means; `None` if what it sends there is to be discarded because we ended it.
    pub(super) fn session_on(&self, channel: u16, what: &'static str) -> Result<Option<usize>, Fault> {
        let Some(index) = self.channels.get(u32::from(channel)) else {
            return Err(Fault::connection(
                condition::ILLEGAL_STATE,
                format_args!("{what} on channel {channel}, on which no session is begun"),
            ));
        };
        let discard = self.sessions.get(index).is_none_or(|s| s.state == crate::session::SessionState::EndSent);
        Ok((!discard).then_some(index))
    }

    /// Takes one of what a peer may do for free.
    pub(super) fn spend_idle(&mut self, what: &'static str, now: Instant) -> Result<(), Fault> {
        if self.idle_frames.spend(now) {
            return Ok(());
        }
        Err(Fault::connection(
            condition::RESOURCE_LIMIT_EXCEEDED,
            format_args!("too many frames that carry nothing: {what}"),
        ))
    }

    /// As [`Connection::spend_idle`] for attach and detach, begin and end.
    pub(super) fn spend_cycle(&mut self, what: &'static str, now: Instant) -> Result<(), Fault> {
        if self.cycles.spend(now) {
            return Ok(());
        }
        Err(Fault::connection(condition::RESOURCE_LIMIT_EXCEEDED, format_args!("too many {what} in a short time")))
    }
}
