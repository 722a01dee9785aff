//! What the fuzz target of the engine runs, and `connection/tests/fuzzing.rs` over its corpus and random bytes.
//!
//! The bytes are a script: how far an engine is brought first, then what a peer sends (noise, or frames that are nearly right) in which
//! pieces, and what its owner commands in between.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::{
    DeliveryState, Error, Str, Symbols,
    connection::{
        ClientSasl, Config, Connection, End, Event, Limits, LinkId, Payload, SendHead, ServerSasl, SessionId, Side,
    },
    frame::{ProtocolId, write_amqp, write_sasl},
    performative::{
        self, Attach, Begin, Close, DeliveryTag, Detach, Disposition, Flow, Open, ReceiverSettleMode, Role,
        SenderSettleMode, Transfer,
    },
    sasl::{SaslCode, SaslInit, SaslMechanisms, SaslOutcome, Secret},
    sasl_engine::{ANONYMOUS, PLAIN},
};

const MAX_FRAME_SIZE: u32 = 1024;

/// The script, read from the front; zeros when it is over.
struct Script<'a>(&'a [u8]);

impl<'a> Script<'a> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((byte, rest)) => {
                self.0 = rest;
                *byte
            }
            None => 0,
        }
    }

    fn flag(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    /// A small number mostly, now and then one at the edge.
    fn number(&mut self) -> u32 {
        match self.byte() {
            byte @ 0..200 => u32::from(byte % 8),
            byte @ 200..230 => u32::from(byte),
            byte @ 230..240 => u32::MAX - u32::from(byte - 230),
            byte @ 240..250 => (1 << 31) - 5 + u32::from(byte - 240),
            _ => u32::from_be_bytes([self.byte(), self.byte(), self.byte(), self.byte()]),
        }
    }

    /// One of the handles of the set-up mostly: of those that send (to the engine), or of all.
    fn handle(&mut self, sending: bool) -> u32 {
        match self.byte() {
            byte @ 0..250 if sending => u32::from(byte % 2) * 2,
            byte @ 0..250 => u32::from(byte % 4),
            _ => self.number(),
        }
    }

    fn maybe(&mut self) -> Option<u32> {
        self.flag().then(|| self.number())
    }

    fn take(&mut self, n: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(n.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// An engine and what its owner and its peer know.
struct Stage<'a> {
    script: Script<'a>,
    engine: Connection,
    now: Instant,
    /// What was sent to it and not taken.
    kept: Vec<u8>,
    links: Vec<LinkId>,
    sessions: Vec<SessionId>,
    deliveries: Vec<(LinkId, u32)>,
    /// What the peer should send next as a delivery-id.
    next_delivery: u32,
    /// Handles on which a delivery of the peer is not complete.
    partial: [bool; 4],
    first_id: u32,
    commands: u64,
    over: bool,
}

/// Runs a script. Panics if an invariant does not hold.
#[expect(clippy::disallowed_methods, reason = "an Instant can be had in no other way; only distances from it count")]
pub fn fuzz_engine(data: &[u8]) {
    let mut script = Script(data);
    let shape = script.byte();
    let now = Instant::now();
    let config = Config {
        container_id: Str::from("fuzz"),
        max_frame_size: MAX_FRAME_SIZE,
        first_id: if shape & 8 == 0 { 0 } else { u32::MAX - 3 },
        idle_timeout: Some(Duration::from_secs(10)),
        handshake_timeout: Some(Duration::from_secs(10)),
        limits: Limits {
            links: 8,
            session_bytes: 8 * 1024,
            session_most: 0,
            first_window_bytes: 16 * 1024,
            session_frames: 16,
            cycles: 100,
            idle_frames: 100,
        },
        ..Config::default()
    };
    let side = match shape % 4 {
        0 => Side::Client(ClientSasl::Plain { username: "u".into(), password: "p".into() }),
        1 => Side::Client(ClientSasl::None),
        _ => Side::Server(ServerSasl { mechanisms: Symbols(vec![PLAIN, ANONYMOUS]), allow_bare: true }),
    };
    let mut stage = Stage {
        script,
        engine: Connection::new(config, side, now),
        now,
        kept: Vec::new(),
        links: Vec::new(),
        sessions: Vec::new(),
        deliveries: Vec::new(),
        next_delivery: 0,
        partial: [false; 4],
        first_id: if shape & 8 == 0 { 0 } else { u32::MAX - 3 },
        commands: 0,
        over: false,
    };
    if shape & 64 != 0 {
        stage.engine.grow_sessions(64 * 1024);
    }
    if shape & 4 != 0 {
        stage.set_up(shape % 4, shape >> 4);
    }
    while !stage.script.0.is_empty() && !stage.over {
        stage.step();
    }
    stage.finish();
}

impl Stage<'_> {
    /// Brings the engine to where most scripts would not get: opened, with a session, with links that have credit.
    fn set_up(&mut self, side: u8, far: u8) {
        let mut out = Vec::new();
        if side == 0 {
            out.extend_from_slice(&ProtocolId::Sasl.header());
            write_sasl(&mut out, &SaslMechanisms { sasl_server_mechanisms: Symbols(vec![PLAIN]) });
            write_sasl(&mut out, &SaslOutcome { code: SaslCode::Ok, additional_data: None });
        }
        out.extend_from_slice(&ProtocolId::Amqp.header());
        let open = Open { container_id: "peer".into(), max_frame_size: 512, ..Open::default() };
        write_amqp(&mut out, 0, &open, 0);
        if far > 0 {
            let begin = Begin { incoming_window: 20, outgoing_window: 20, ..Begin::default() };
            write_amqp(&mut out, 0, &begin, 0);
        }
        for handle in 0..u32::from(far.min(4)) {
            let role = if handle % 2 == 0 { Role::Sender } else { Role::Receiver };
            write_amqp(&mut out, 0, &attach(handle, handle, role), 0);
            if role == Role::Receiver {
                write_amqp(
                    &mut out,
                    0,
                    &Flow {
                        incoming_window: 20,
                        handle: Some(handle),
                        delivery_count: Some(0),
                        link_credit: Some(10),
                        ..Flow::default()
                    },
                    0,
                );
            }
        }
        self.feed(&out, usize::MAX);
        for link in self.links.clone() {
            self.engine.grant(link, 10);
        }
        self.engine.flush();
    }

    fn step(&mut self) {
        let op = self.script.byte();
        if op >= 160 {
            self.commands += 1;
            return self.command(op);
        }
        let channel = match self.script.byte() {
            0..230 => 0,
            byte @ 230..253 => u16::from(byte % 3),
            byte => u16::from(byte) << 8,
        };
        let mut out = Vec::new();
        let script = &mut self.script;
        match op {
            0..4 => {
                let n = usize::from(script.byte());
                out.extend_from_slice(script.take(n));
            }
            16..18 => out.extend_from_slice(
                &[ProtocolId::Amqp, ProtocolId::Sasl, ProtocolId::Tls][usize::from(op % 3)].header(),
            ),
            18..20 => {
                let init = SaslInit {
                    mechanism: if op == 18 { PLAIN } else { ANONYMOUS },
                    initial_response: script.flag().then(|| Secret(Bytes::from_static(b"\0u\0p"))),
                    hostname: None,
                };
                write_sasl(&mut out, &init);
            }
            20..22 => {
                let open = Open {
                    max_frame_size: script.number().wrapping_mul(16).wrapping_add(500),
                    idle_time_out: script.maybe(),
                    ..Open::default()
                };
                write_amqp(&mut out, channel, &open, 0);
            }
            22..26 => {
                let begin = Begin {
                    remote_channel: script.maybe().map(|n| n as u16),
                    next_outgoing_id: script.number(),
                    incoming_window: script.number(),
                    outgoing_window: script.number(),
                    handle_max: script.number(),
                    ..Begin::default()
                };
                write_amqp(&mut out, channel, &begin, 0);
            }
            26..46 => {
                let role = if script.flag() { Role::Sender } else { Role::Receiver };
                let mut attach = attach(script.number(), u32::from(script.byte() % 6), role);
                attach.snd_settle_mode =
                    SenderSettleMode::from_value(script.byte() % 4).unwrap_or(SenderSettleMode::Mixed);
                if script.flag() {
                    attach.rcv_settle_mode = ReceiverSettleMode::Second;
                }
                write_amqp(&mut out, channel, &attach, 0);
            }
            46..76 | 4..16 => {
                let flow = Flow {
                    next_incoming_id: match script.byte() {
                        0..200 => Some(self.first_id),
                        200..240 => None,
                        _ => script.maybe(),
                    },
                    incoming_window: script.number(),
                    next_outgoing_id: if script.byte() < 240 { 0 } else { script.number() },
                    outgoing_window: 9,
                    handle: Some(script.handle(false)).filter(|_| !op.is_multiple_of(4)),
                    delivery_count: Some(script.number().wrapping_add(self.first_id)).filter(|_| !op.is_multiple_of(4)),
                    link_credit: Some(script.number()).filter(|_| !op.is_multiple_of(4)),
                    available: script.maybe(),
                    drain: script.flag(),
                    echo: script.flag(),
                    properties: None,
                };
                write_amqp(&mut out, channel, &flow, 0);
            }
            76..116 => {
                let expected = self.next_delivery;
                let handle = script.handle(true);
                let goes_on = self.partial.get(handle as usize).is_some_and(|p| *p);
                let transfer = Transfer {
                    handle,
                    delivery_id: match script.byte() {
                        0..240 if goes_on => None,
                        0..240 => Some(expected),
                        240..250 => None,
                        _ => Some(script.number()),
                    },
                    delivery_tag: (!goes_on || script.byte() > 250).then(|| DeliveryTag::from_u64(expected.into())),
                    message_format: Some(0).filter(|_| script.byte() < 128),
                    settled: match script.byte() % 3 {
                        0 => None,
                        1 => Some(false),
                        _ => Some(true),
                    },
                    more: script.flag(),
                    aborted: script.byte().is_multiple_of(16),
                    resume: script.byte().is_multiple_of(32),
                    ..Transfer::default()
                };
                let n = usize::from(script.byte());
                let payload = script.take(n);
                write_amqp(&mut out, channel, &transfer, payload.len());
                out.extend_from_slice(payload);
                if let Some(partial) = self.partial.get_mut(handle as usize) {
                    *partial = transfer.more && !transfer.aborted;
                }
                if transfer.delivery_id == Some(expected) {
                    self.next_delivery = expected.wrapping_add(1);
                }
            }
            116..136 => {
                let first = script.number().wrapping_add(self.first_id);
                let disposition = Disposition {
                    role: if script.flag() { Role::Sender } else { Role::Receiver },
                    first,
                    last: script.maybe().map(|n| first.wrapping_add(n)),
                    settled: script.flag(),
                    state: script.flag().then_some(DeliveryState::Accepted),
                    batchable: false,
                };
                write_amqp(&mut out, channel, &disposition, 0);
            }
            136..150 => {
                let handle = script.handle(false);
                if let Some(partial) = self.partial.get_mut(handle as usize) {
                    *partial = false;
                }
                let detach = Detach { handle, closed: script.flag(), error: None };
                write_amqp(&mut out, channel, &detach, 0);
            }
            150..157 => write_amqp(&mut out, channel, &performative::End::default(), 0),
            _ => write_amqp(&mut out, channel, &Close::default(), 0),
        }
        let split = match self.script.byte() {
            byte @ 0..64 => usize::from(byte) + 1,
            _ => usize::MAX,
        };
        self.feed(&out, split);
    }

    fn command(&mut self, op: u8) {
        let link = self.links.get(usize::from(op) % self.links.len().max(1)).copied();
        let session = self.sessions.get(usize::from(op) % self.sessions.len().max(1)).copied();
        let error = self.script.flag().then(|| Error::new(crate::condition::INTERNAL_ERROR, "fuzz"));
        match (op, link, session) {
            (160..175, Some(link), _) => {
                let size = self.script.number().min(5000) as usize;
                let block = Bytes::from(vec![op; size]);
                let end = [End::Complete, End::More, End::Aborted][usize::from(self.script.byte() % 3)];
                let head = SendHead { settled: self.script.flag(), ..SendHead::default() };
                let sent = self.engine.send(link, &head, &Payload::new(&block), end);
                assert!(sent.taken <= size, "took more than there was");
            }
            (175..190, Some(link), _) => self.engine.grant(link, self.script.number() % 64),
            (190..195, Some(link), _) => drop(self.engine.request_drain(link)),
            (195..200, Some(link), _) => self.engine.drained(link),
            (200..220, ..) if !self.deliveries.is_empty() => {
                let (link, id) = self.deliveries.swap_remove(usize::from(self.script.byte()) % self.deliveries.len());
                self.engine.settle_incoming(link, id, Some(&DeliveryState::Released), error.is_none());
            }
            (220..225, Some(link), _) => self.engine.detach(link, error.is_some(), error),
            (225..228, _, Some(session)) => self.engine.end(session, error),
            (228..235, _, Some(session)) => {
                let name = u32::from(self.script.byte() % 6);
                let role = if self.script.flag() { Role::Sender } else { Role::Receiver };
                if let Ok(link) = self.engine.attach(session, attach(0, name, role), 1) {
                    self.links.push(link);
                }
            }
            (235..240, ..) => {
                if let Ok(session) = self.engine.begin() {
                    self.sessions.push(session);
                }
            }
            (240..242, ..) => self.engine.close(error),
            (242..246, Some(link), _) => {
                self.engine.hold(link, self.script.number() as usize);
                self.engine.release(link, self.script.number() as usize);
            }
            (246..250, ..) => {
                self.now += Duration::from_millis(u64::from(self.script.byte()) * 50);
                if let Some(event) = self.engine.handle_timeout(self.now) {
                    self.on_event(event, &Bytes::new());
                }
            }
            _ => self.engine.flush(),
        }
    }

    /// Hands bytes to the engine in pieces.
    fn feed(&mut self, bytes: &[u8], split: usize) {
        for piece in bytes.chunks(split.min(bytes.len()).max(1)) {
            if self.over {
                return;
            }
            self.kept.extend_from_slice(piece);
            let block = Bytes::copy_from_slice(&self.kept);
            let mut pos = 0;
            let mut events = 0;
            while let Some(event) = self.engine.handle_input(&block, &mut pos, self.now) {
                assert!(pos <= block.len(), "read beyond the block");
                events += 1;
                assert!(events <= 4 * block.len() + 1000, "events without end from {} bytes", block.len());
                self.on_event(event, &block);
            }
            self.kept.drain(..pos);
            assert!(
                self.kept.len() <= MAX_FRAME_SIZE as usize || self.engine.awaits_owner(),
                "{} bytes are left",
                self.kept.len()
            );
        }
    }

    fn on_event(&mut self, event: Event, block: &Bytes) {
        assert!(!self.over || matches!(event, Event::Closed(_)), "{event:?} after the end");
        match event {
            Event::Sasl(response) => {
                let refuse = response.response.is_empty() && response.mechanism == PLAIN;
                self.engine.sasl_outcome(if refuse { SaslCode::Auth } else { SaslCode::Ok });
            }
            Event::Opened(_) => self.engine.open(),
            Event::SessionBegun { session, .. } => {
                assert!(self.sessions.len() < 100_000);
                self.sessions.push(session);
            }
            Event::SessionEnded { session, error, .. } => {
                self.sessions.retain(|s| *s != session);
                check(error.as_deref());
            }
            Event::Attached(attached) => {
                if !attached.answer {
                    if attached.attach.name.as_bytes() == b"link-5" {
                        let error = Error::new(crate::condition::NOT_FOUND, "no");
                        self.engine.refuse_attach(attached.link, error);
                    } else {
                        let answer = attached.answer(attached.attach.source.clone(), attached.attach.target.clone());
                        self.engine.accept_attach(attached.link, answer, 1);
                        self.links.push(attached.link);
                    }
                }
            }
            Event::Detached { link, error, .. } => {
                assert!(!self.engine.is_attached(link), "{link:?} is still attached");
                self.links.retain(|l| *l != link);
                check(error.as_deref());
            }
            Event::Transfer(transfer) => {
                let payload = transfer.payload(block);
                assert!(payload.end <= block.len() && payload.start <= payload.end);
                if transfer.first && !transfer.settled {
                    assert!(self.engine.set_incoming_token(transfer.link, transfer.delivery_id, 9));
                    self.deliveries.push((transfer.link, transfer.delivery_id));
                }
            }
            Event::Disposition(mut disposition) => {
                let mut n = 0;
                while let Some(one) = self.engine.next_disposed(&mut disposition) {
                    n += 1;
                    assert!(n <= 100_000, "dispositions without end");
                    if disposition.outgoing && !disposition.settled {
                        self.engine.settle_outgoing(one.link, one.delivery_id, None, true);
                    }
                }
            }
            Event::Closed(closed) => {
                self.over = true;
                check(closed.error.as_ref());
                assert!(self.engine.is_closed());
            }
            Event::Credit { link, drain: true, .. } => self.engine.drained(link),
            Event::Authenticated
            | Event::Credit { .. }
            | Event::Drained { .. }
            | Event::Available { .. }
            | Event::SessionWindow { .. } => {}
        }
    }

    /// The last invariants: work is in proportion to input, and what is over stays over.
    fn finish(mut self) {
        // A command may have left an event.
        let block = Bytes::from(std::mem::take(&mut self.kept));
        let mut pos = 0;
        while let Some(event) = self.engine.handle_input(&block, &mut pos, self.now) {
            self.on_event(event, &block);
        }
        self.engine.flush();
        let stats = self.engine.stats();
        let most = 4 * stats.frames_in + 16 * self.commands + 64;
        assert!(stats.frames_out <= most, "{stats:?}");
        let (sessions, links) = self.engine.counts();
        assert!(links <= 8 && sessions <= 40_000, "{sessions} {links}");
        let event = self.engine.handle_eof();
        assert_eq!(event.is_none(), self.over, "{event:?}");
        assert!(self.engine.is_closed());
        assert_eq!(self.engine.counts(), (0, 0));
        assert_eq!(self.engine.poll_timeout(), None);
        let before = self.engine.output().len();
        let block = Bytes::from_static(b"after the end");
        let mut pos = 0;
        assert!(matches!(self.engine.handle_input(&block, &mut pos, self.now), Some(Event::Closed(_))));
        assert!(self.engine.handle_input(&block, &mut pos, self.now).is_none());
        assert_eq!(self.engine.output().len(), before, "words after the end");
    }
}

/// Every error has a condition and says what was wrong.
fn check(error: Option<&Error>) {
    if let Some(error) = error {
        assert!(!error.condition.is_empty());
    }
}

fn attach(handle: u32, name: u32, role: Role) -> Attach {
    Attach {
        name: Str::from(format!("link-{name}")),
        handle,
        role,
        initial_delivery_count: Some(0),
        ..Attach::default()
    }
}
