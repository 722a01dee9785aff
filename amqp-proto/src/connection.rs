//! The engine of one connection, for both roles, without I/O and without a clock.
//!
//! The owner gives it what was read, acts on the events, gives commands, and writes what is in [`Connection::output`]:
//!
//! ```text
//! read:    handle_input(block, &mut pos, now) until it returns None; what is left from pos on is an incomplete frame: keep it
//!          flush(), once for everything that was read
//! write:   output().chunks(..), output_mut().advance(n)
//! time:    poll_timeout() says when to call handle_timeout(now)
//! ```
//!
//! Commands name sessions and links by [`SessionId`] and [`LinkId`]; those that are gone are ignored, so the owner need not know
//! the instant at which a peer detached. Whatever breaks a rule of the specification ends the smallest thing it can: the link, the
//! session or the connection, with a condition and a description, and is reported as an event.
//!
//! Transfers, dispositions and flows allocate nothing in steady state.

mod attach;
mod budget;
mod commands;
mod config;
mod control;
mod deliver;
mod event;
mod fault;
mod flush;
mod growth;
mod handshake;
mod id;
mod input;
mod send;
mod settle;
mod stats;
mod timers;

#[cfg(test)]
mod tests;

use std::{collections::VecDeque, time::Instant};

use budget::Budget;
pub use commands::CommandError;
pub use config::{ClientSasl, Config, Limits, ServerSasl, Side};
pub use event::{Attached, Closed, Disposed, Disposition, Event, Initiator, SaslResponse, Transfer};
pub use id::{LinkId, SessionId};
pub use stats::Stats;

use growth::Growth;
use handshake::{Handshake, Phase};
use slab::Slab;
use timers::Timers;

pub use crate::link::{End, Payload, SendHead, Sent};
use crate::{
    link::{Link, Names},
    output::Output,
    session::{Session, table::Table},
};

/// One AMQP connection. See the [module](self) for how it is driven.
#[derive(Debug)]
pub struct Connection {
    phase: Phase,
    output: Output,
    sessions: Slab<Session>,
    /// The peer's channels.
    channels: Table,
    links: Slab<Link>,
    names: Names,
    /// Links that have a flow to be written.
    dirty_links: Vec<u32>,
    /// Sessions that have something to be written.
    dirty_sessions: Vec<u16>,
    /// Events beyond the one that a frame returns.
    pending: VecDeque<Event>,
    /// What is of no use any more once both sides have opened.
    handshake: Option<Box<Handshake>>,
    closed: Option<Box<Closed>>,
    /// The error of our close, until the peer answers it.
    close_error: Option<Box<crate::Error>>,
    limits: Limits,
    /// Largest frame that we accept.
    max_frame_size: u32,
    /// Largest frame that we send.
    peer_max_frame_size: u32,
    /// Highest channel that we accept.
    channel_max: u16,
    /// Highest channel that the peer accepts.
    peer_channel_max: u16,
    /// Sessions that the peer may have begun at a time.
    max_sessions: Option<u32>,
    open: OpenState,
    /// First transfer-id, delivery-id and delivery-count.
    first_id: u32,
    generation: u32,
    timers: Timers,
    cycles: Budget,
    idle_frames: Budget,
    /// Windows of sessions grow.
    growth: Option<Box<Growth>>,
    stats: Stats,
}

/// Which of open and close went which way.
#[derive(Clone, Copy, Debug, Default)]
struct OpenState {
    sent: bool,
    received: bool,
    close_sent: bool,
}

impl Connection {
    /// A connection that just came about. A client's first bytes are in [`Connection::output`] at once.
    pub fn new(config: Config, side: Side, now: Instant) -> Self {
        let max_frame_size = config.max_frame_size.max(crate::frame::MIN_MAX_FRAME_SIZE);
        let mut connection = Self {
            phase: Phase::first(&side),
            output: Output::default(),
            sessions: Slab::new(),
            channels: Table::default(),
            links: Slab::new(),
            names: Names::default(),
            dirty_links: Vec::new(),
            dirty_sessions: Vec::new(),
            pending: VecDeque::new(),
            closed: None,
            close_error: None,
            limits: config.limits,
            max_frame_size,
            peer_max_frame_size: crate::frame::MIN_MAX_FRAME_SIZE,
            channel_max: config.channel_max,
            peer_channel_max: 0,
            max_sessions: None,
            open: OpenState::default(),
            first_id: config.first_id,
            generation: 0,
            timers: Timers::new(&config, now),
            cycles: Budget::new(config.limits.cycles, now),
            idle_frames: Budget::new(config.limits.idle_frames, now),
            growth: None,
            stats: Stats::default(),
            handshake: Some(Box::new(Handshake::new(config, side))),
        };
        connection.start_handshake();
        connection
    }

    /// What waits to be written to the peer.
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// The same, to take away what was written and to lend buffers.
    pub fn output_mut(&mut self) -> &mut Output {
        &mut self.output
    }

    /// True from both opens to the first close.
    pub fn is_open(&self) -> bool {
        self.open.sent && self.open.received && !self.open.close_sent && self.closed.is_none()
    }

    /// True once nothing the peer could say matters any more: write the output and close the socket.
    pub fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// True if [`Event::Sasl`], or a server's [`Event::Opened`], was not answered yet; input is not read before.
    pub fn awaits_owner(&self) -> bool {
        self.phase == Phase::ServerDecides || (self.open.received && !self.open.sent)
    }

    /// Frames and deliveries so far.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Largest frame that the peer accepts (and that we are willing to send), in bytes.
    pub fn peer_max_frame_size(&self) -> u32 {
        self.peer_max_frame_size
    }

    fn link(&self, id: LinkId) -> Option<&Link> {
        self.links.get(id.index()).filter(|l| l.id(id.index()) == id)
    }

    fn link_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.get_mut(id.index()).filter(|l| l.id(id.index()) == id)
    }

    fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(usize::from(id.index)).filter(|s| s.generation == id.generation)
    }

    fn session_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.get_mut(usize::from(id.index)).filter(|s| s.generation == id.generation)
    }

    fn link_id(&self, index: usize) -> LinkId {
        self.links.get(index).map_or_else(|| LinkId::from_u32(u32::MAX), |l| l.id(index))
    }

    fn session_id(&self, index: usize) -> SessionId {
        SessionId { index: index as u16, generation: self.sessions.get(index).map_or(0, |s| s.generation) }
    }

    fn mark_link(&mut self, index: usize, urgent: bool) {
        if let Some(link) = self.links.get_mut(index) {
            link.urgent |= urgent;
            if !link.dirty {
                link.dirty = true;
                self.dirty_links.push(index as u32);
            }
        }
    }

    fn mark_session(&mut self, index: usize) {
        if let Some(session) = self.sessions.get_mut(index)
            && !session.dirty
        {
            session.dirty = true;
            self.dirty_sessions.push(index as u16);
        }
    }
}
