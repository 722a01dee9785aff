//! Windows of sessions that grow with what arrives in a round trip.
//!
//! A window is wide enough when it is twice what arrives while the peer's answer is on its way; the rest would only wait somewhere. How long
//! an answer takes is asked when a session begins, before much is under way: later it would be measured with everything that waits in
//! sockets.

use std::time::Instant;

use super::Connection;

/// What is known about the way to the peer. Times are in microseconds of a clock of the connection.
#[derive(Debug)]
pub(super) struct Growth {
    start: Instant,
    /// The shortest time that an answer took.
    round_trip: Option<u32>,
    /// A session whose next flow asks for an answer.
    ask: Option<usize>,
    /// A session whose flow did, and when.
    asked: Option<(usize, u32)>,
    /// By session: since when, and from which transfer-id on what arrives is counted.
    since: Vec<(u32, u32)>,
}

impl Growth {
    pub(super) const fn new(start: Instant) -> Self {
        Self { start, round_trip: None, ask: None, asked: None, since: Vec::new() }
    }

    fn clock(&self, now: Instant) -> u32 {
        // Only differences count, and no round trip takes an hour.
        now.saturating_duration_since(self.start).as_micros() as u32
    }
}

impl Connection {
    /// The peer has begun a session: its first flow asks for an answer. Were both to ask, one flow would be question and answer at once, and
    /// nobody could tell. Who begins a session for streams sends on it, so it is the receiver that asks.
    pub(super) fn ask_round_trip(&mut self, index: usize) {
        let Some(growth) = &mut self.growth else { return };
        growth.ask = Some(index);
        if let Some(session) = self.sessions.get_mut(index) {
            let now = growth.clock(self.timers.last_input());
            if growth.since.len() <= index {
                growth.since.resize(index + 1, (0, 0));
            }
            if let Some(since) = growth.since.get_mut(index) {
                *since = (now, session.next_incoming_id);
            }
            session.echo = true;
            self.mark_session(index);
        }
    }

    /// Whether the flow of a session that is being written is to ask.
    pub(super) fn asks_round_trip(&mut self, index: usize) -> bool {
        let Some(growth) = self.growth.as_mut().filter(|growth| growth.ask == Some(index)) else { return false };
        growth.ask = None;
        growth.asked = Some((index, growth.clock(self.timers.last_input())));
        true
    }

    /// A flow of a session came that may be the answer. If it was none, the window grows less than it could.
    pub(super) fn round_trip_told(&mut self, index: usize, now: Instant) {
        let Some(growth) = &mut self.growth else { return };
        if let Some((_, at)) = growth.asked.take_if(|(asked, _)| *asked == index) {
            let took = growth.clock(now).wrapping_sub(at);
            growth.round_trip = Some(growth.round_trip.map_or(took, |least| least.min(took)));
        }
    }

    /// Before the window of a session is looked at.
    pub(super) fn measure_session(&mut self, index: usize) {
        let Some(growth) = &mut self.growth else { return };
        let now = growth.clock(self.timers.last_input());
        let (Some(round_trip), Some(session)) = (growth.round_trip, self.sessions.get_mut(index)) else { return };
        let Some((since, from)) = growth.since.get_mut(index) else { return };
        let time = now.wrapping_sub(*since);
        if time >= round_trip.max(1) {
            let frames = session.next_incoming_id.wrapping_sub(*from);
            (*since, *from) = (now, session.next_incoming_id);
            session.grow(
                u64::from(frames) * u64::from(round_trip) / u64::from(time),
                self.max_frame_size,
                &self.limits,
            );
        }
    }
}
