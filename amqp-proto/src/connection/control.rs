//! Open, begin, flow, end and close of the peer.

use std::time::{Duration, Instant};

use super::{Closed, Connection, Event, Initiator, fault::Fault};
use crate::{
    condition,
    frame::MIN_MAX_FRAME_SIZE,
    performative::{Begin, Close, End, Flow, Open, Role},
    session::{Session, SessionState, most_frames, serial::ahead},
};

/// Frames larger than this are not sent, whatever the peer accepts: others wait behind them.
const OUR_MAX_FRAME_SIZE: u32 = 1024 * 1024;
/// §2.4.5 lets us refuse an idle-time-out that is too short.
const MIN_PEER_IDLE: Duration = Duration::from_millis(100);
/// What we tell about transfers that we might send.
pub(super) const OUTGOING_WINDOW: u32 = i32::MAX as u32;

impl Connection {
    pub(super) fn on_open(&mut self, channel: u16, open: Box<Open>) -> Result<Option<Event>, Fault> {
        if self.open.received {
            return Err(Fault::connection(condition::ILLEGAL_STATE, "second open"));
        }
        if channel != 0 {
            return Err(Fault::connection(
                condition::NOT_ALLOWED,
                format_args!("open on channel {channel} and not on 0 (AMQP 1.0 §2.4.1)"),
            ));
        }
        self.open.received = true;
        if open.max_frame_size < MIN_MAX_FRAME_SIZE {
            return Err(Fault::connection(
                condition::INVALID_FIELD,
                format_args!("open.max-frame-size is {}, less than {MIN_MAX_FRAME_SIZE}", open.max_frame_size),
            ));
        }
        self.peer_max_frame_size = open.max_frame_size.min(OUR_MAX_FRAME_SIZE);
        self.peer_channel_max = open.channel_max;
        if let Some(idle) = open.idle_time_out.filter(|t| *t > 0) {
            let idle = Duration::from_millis(u64::from(idle));
            if idle < MIN_PEER_IDLE {
                return Err(Fault::connection(
                    condition::INVALID_FIELD,
                    format_args!(
                        "open.idle-time-out of {} ms is shorter than {} ms",
                        idle.as_millis(),
                        MIN_PEER_IDLE.as_millis()
                    ),
                ));
            }
            self.timers.peer_idle(idle);
        }
        self.opened_once();
        Ok(Some(Event::Opened(open)))
    }

    pub(super) fn on_close(&mut self, close: Close) -> Event {
        if self.open.close_sent {
            let error = self.handshake_error();
            return self.finish(Closed { by: Initiator::Local, error });
        }
        self.write_pending();
        self.send_open();
        self.open.close_sent = true;
        self.write_cold(0, &Close { error: None });
        self.finish(Closed { by: Initiator::Peer, error: close.error })
    }

    pub(super) fn on_begin(&mut self, channel: u16, begin: &Begin) -> Result<Option<Event>, Fault> {
        if self.channels.get(u32::from(channel)).is_some() {
            return Err(Fault::connection(
                condition::ILLEGAL_STATE,
                format_args!("begin on channel {channel}, which has a session"),
            ));
        }
        let (index, by) = match begin.remote_channel {
            Some(ours) => {
                let index = usize::from(ours);
                let waits = self.sessions.get(index).is_some_and(|s| s.peer_channel.is_none());
                if !waits {
                    return Err(Fault::connection(
                        condition::ILLEGAL_STATE,
                        format_args!("begin answers channel {ours}, on which no begin waits for an answer"),
                    ));
                }
                (index, Initiator::Local)
            }
            None => {
                let Some(index) = self.new_session() else {
                    return Err(Fault::connection(
                        condition::RESOURCE_LIMIT_EXCEEDED,
                        format_args!("no channel is left below the peer's channel-max of {}", self.peer_channel_max),
                    ));
                };
                (index, Initiator::Peer)
            }
        };
        let Some(session) = self.sessions.get_mut(index) else {
            return Ok(None);
        };
        let window = session.incoming_window();
        session.peer_channel = Some(channel);
        session.window = begin.incoming_window;
        session.next_incoming_id = begin.next_outgoing_id;
        session.incoming_limit = begin.next_outgoing_id.wrapping_add(window);
        session.handle_max = begin.handle_max;
        self.channels.insert(u32::from(channel), index);
        if by == Initiator::Peer {
            self.write_begin(index, Some(channel));
        }
        let Some(session) = self.sessions.get_mut(index) else {
            return Ok(None);
        };
        if session.state == SessionState::EndSent {
            return Ok(None);
        }
        session.state = SessionState::Mapped;
        if by == Initiator::Peer {
            session.by_peer = true;
            if self.is_beyond_max_sessions() {
                let what = "session disallowed by local policy";
                return Err(Fault::session(index, condition::RESOURCE_LIMIT_EXCEEDED, what));
            }
            self.ask_round_trip(index);
        }
        Ok(Some(Event::SessionBegun { session: self.session_id(index), by }))
    }

    fn is_beyond_max_sessions(&self) -> bool {
        let Some(most) = self.max_sessions else { return false };
        let there = self.sessions.iter().filter(|(_, s)| s.by_peer && s.state == SessionState::Mapped).count();
        u32::try_from(there).map_or(true, |there| there > most)
    }

    /// A session on the first free channel; `None` if both sides' channel-max leave none.
    pub(super) fn new_session(&mut self) -> Option<usize> {
        let index = self.sessions.vacant_key();
        if index > usize::from(self.channel_max) || (self.open.received && index > usize::from(self.peer_channel_max)) {
            return None;
        }
        self.generation = self.generation.wrapping_add(1);
        let session = Session::new(self.generation as u16, self.first_id, self.max_frame_size, &self.limits);
        if self.sessions.capacity() == 0 {
            self.sessions.reserve_exact(1);
        }
        Some(self.sessions.insert(session))
    }

    pub(super) fn write_begin(&mut self, index: usize, answer_to: Option<u16>) {
        let Some(session) = self.sessions.get(index) else {
            return;
        };
        let begin = Begin {
            remote_channel: answer_to,
            next_outgoing_id: session.next_outgoing_id,
            incoming_window: session.incoming_window(),
            outgoing_window: OUTGOING_WINDOW,
            handle_max: self.limits.links.saturating_sub(1),
            ..Begin::default()
        };
        self.write_cold(index as u16, &begin);
    }

    pub(super) fn on_end(&mut self, channel: u16, end: End, now: Instant) -> Result<Option<Event>, Fault> {
        let live = self.session_on(channel, "end")?;
        let Some(index) = self.channels.get(u32::from(channel)) else {
            return Ok(None);
        };
        self.spend_cycle("sessions begun and ended", now)?;
        if live.is_none() {
            // The answer to our end.
            self.remove_session(index, channel);
            return Ok(None);
        }
        let id = self.session_id(index);
        self.write_session(index);
        self.write_cold(index as u16, &End { error: None });
        self.lose_links(id, Initiator::Peer, end.error.as_ref());
        self.remove_session(index, channel);
        self.pending.push_back(Event::SessionEnded {
            session: id,
            by: Initiator::Peer,
            error: end.error.map(Box::new),
        });
        Ok(self.pending.pop_front())
    }

    fn remove_session(&mut self, index: usize, channel: u16) {
        let id = self.session_id(index);
        // Links that were detached and wait for an answer that will not come.
        self.lose_links(id, Initiator::Local, None);
        self.channels.remove(u32::from(channel));
        if self.sessions.contains(index) {
            self.sessions.remove(index);
        }
    }

    pub(super) fn on_flow(&mut self, channel: u16, flow: Flow, now: Instant) -> Result<Option<Event>, Fault> {
        let Some(index) = self.session_on(channel, "flow")? else {
            return Ok(None);
        };
        let changed = self.on_session_flow(index, &flow)?;
        match flow.handle {
            None => {
                if flow.link_credit.is_some() || flow.delivery_count.is_some() {
                    return Err(Fault::session(
                        index,
                        condition::INVALID_FIELD,
                        "flow has link-credit or delivery-count but no handle",
                    ));
                }
                if flow.echo || !changed {
                    self.spend_idle("flows that change nothing", now)?;
                }
                if !flow.echo {
                    self.round_trip_told(index, now);
                } else {
                    self.mark_session(index);
                    if let Some(session) = self.sessions.get_mut(index) {
                        session.echo = true;
                    }
                }
                Ok(None)
            }
            Some(handle) => {
                let event = self.on_link_flow(index, handle, &flow)?;
                if flow.echo || (event.is_none() && !changed) {
                    self.spend_idle("flows that change nothing", now)?;
                }
                Ok(event)
            }
        }
    }

    /// §2.5.6. True if the frame changed anything.
    fn on_session_flow(&mut self, index: usize, flow: &Flow) -> Result<bool, Fault> {
        let Some(session) = self.sessions.get_mut(index) else {
            return Ok(false);
        };
        let seen = flow.next_incoming_id.unwrap_or(session.initial_outgoing_id);
        let in_flight = ahead(session.next_outgoing_id, seen);
        if in_flight < 0 {
            return Err(Fault::session(
                index,
                condition::INVALID_FIELD,
                format_args!("flow.next-incoming-id {seen} is beyond our next transfer {}", session.next_outgoing_id),
            ));
        }
        let window = flow.incoming_window.saturating_sub(in_flight as u32);
        let opened = session.window == 0 && window > 0;
        let mut changed = session.window != window;
        session.window = window;
        // A peer that skips transfer-ids uses up the window as if it had sent them.
        if ahead(flow.next_outgoing_id, session.next_incoming_id) > 0 {
            session.next_incoming_id = flow.next_outgoing_id;
            changed = true;
            if session.is_low() {
                self.mark_session(index);
            }
        }
        if opened {
            let session = self.session_id(index);
            self.pending.push_back(Event::SessionWindow { session });
        }
        Ok(changed)
    }

    /// §2.6.7.
    fn on_link_flow(&mut self, index: usize, handle: u32, flow: &Flow) -> Result<Option<Event>, Fault> {
        let li = self.attached_link(index, handle, "flow")?;
        let id = self.link_id(li);
        let Some(link) = self.links.get_mut(li) else {
            return Ok(None);
        };
        if link.state == crate::link::LinkState::DetachSent {
            return self.errant(index, li);
        }
        let user = link.user;
        let event = if link.role == Role::Sender {
            let before = (link.credit, link.drain);
            if let Some(credit) = flow.link_credit {
                // A receiver that has not seen our attach counts from its initial-delivery-count.
                let count = flow.delivery_count.unwrap_or(self.first_id);
                let left = ahead(count.wrapping_add(credit), link.delivery_count);
                // What we have sent since may exceed a credit that was reduced; and no receiver can have seen more than we sent.
                link.credit = u32::try_from(left).unwrap_or(0).min(credit);
            }
            link.drain = flow.drain;
            if before == (link.credit, link.drain) && !flow.drain {
                None
            } else {
                Some(Event::Credit { link: id, user, credit: link.credit, drain: link.drain })
            }
        } else {
            let mut event = None;
            if let Some(count) = flow.delivery_count {
                let returned = ahead(count, link.delivery_count);
                if returned > 0 {
                    let returned = returned as u32;
                    if returned > link.credit {
                        return Err(Fault::link(
                            li,
                            condition::LINK_TRANSFER_LIMIT_EXCEEDED,
                            format_args!(
                                "flow.delivery-count {count} is {} beyond the credit given",
                                returned - link.credit
                            ),
                        ));
                    }
                    link.delivery_count = count;
                    link.credit -= returned;
                    event = Some(Event::Drained { link: id, user, returned });
                } else if link.drain && link.credit == 0 {
                    event = Some(Event::Drained { link: id, user, returned: 0 });
                }
                if event.is_some() && link.credit == 0 {
                    link.drain = false;
                }
            }
            if let Some(available) = flow.available.filter(|a| *a != link.available) {
                link.available = available;
                event = event.or(Some(Event::Available { link: id, user, available }));
            }
            event
        };
        if flow.echo {
            self.mark_link(li, true);
        }
        Ok(event)
    }

    /// Index of the link with a handle of the peer.
    pub(super) fn attached_link(&self, session: usize, handle: u32, what: &'static str) -> Result<usize, Fault> {
        self.sessions.get(session).and_then(|s| s.handles.get(handle)).ok_or_else(|| {
            Fault::session(
                session,
                condition::SESSION_UNATTACHED_HANDLE,
                format_args!("{what} for handle {handle}, which is not attached"),
            )
        })
    }

    /// Discards a frame for a link that we have detached, of which some may be on their way, but not without end.
    pub(super) fn errant(&mut self, session: usize, index: usize) -> Result<Option<Event>, Fault> {
        // More frames than any window of ours allows to be on their way, twice.
        let most = 2 * most_frames(if self.growth.is_some() { u32::MAX } else { 0 }, &self.limits);
        let Some(link) = self.links.get_mut(index) else {
            return Ok(None);
        };
        link.errant += 1;
        if link.errant > most {
            let name = link.name.clone();
            return Err(Fault::session(
                session,
                condition::SESSION_ERRANT_LINK,
                format_args!("frames for link {name} go on long after it was detached"),
            ));
        }
        Ok(None)
    }

    fn handshake_error(&mut self) -> Option<crate::Error> {
        self.close_error.take().map(|e| *e)
    }
}
