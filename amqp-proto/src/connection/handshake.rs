//! From the first byte to `open`: protocol headers and the SASL layer.

use bytes::Bytes;

use super::{Closed, Config, Connection, Event, Initiator, ServerSasl, Side, fault::Fault};
use crate::{
    Encode, Error, Symbol, condition,
    frame::{FrameHeader, FrameKind, ProtocolId, write_sasl},
    performative::Open,
    sasl::{SaslChallenge, SaslCode, SaslFrame, SaslInit, SaslMechanisms, SaslOutcome, SaslResponse, Secret},
    sasl_engine,
};

/// What is expected next from the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Server: the first header.
    ServerHeader,
    /// Server: sasl-init.
    ServerInit,
    /// Server: nothing, the owner must answer.
    ServerDecides,
    /// Server: sasl-response.
    ServerResponse,
    /// Server: the AMQP header after SASL.
    ServerAmqpHeader,
    /// Client: the SASL header.
    ClientSaslHeader,
    /// Client: sasl-mechanisms.
    ClientMechanisms,
    /// Client: sasl-outcome or a challenge.
    ClientOutcome,
    /// Client: the AMQP header.
    ClientAmqpHeader,
    /// AMQP frames.
    Amqp,
}

impl Phase {
    pub(super) fn first(side: &Side) -> Self {
        match side {
            Side::Server(_) => Self::ServerHeader,
            Side::Client(super::ClientSasl::None) => Self::ClientAmqpHeader,
            Side::Client(_) => Self::ClientSaslHeader,
        }
    }

    pub(super) fn is_amqp(self) -> bool {
        self == Self::Amqp
    }
}

/// What is needed until both sides have opened.
#[derive(Debug)]
pub(super) struct Handshake {
    pub(super) config: Config,
    side: Side,
    mechanism: Option<Symbol>,
    hostname: Option<crate::Str>,
    /// Client: the initial response of the mechanism chosen.
    response: Secret,
    authenticated: bool,
}

impl Handshake {
    pub(super) fn new(config: Config, side: Side) -> Self {
        Self { config, side, mechanism: None, hostname: None, response: Secret::default(), authenticated: false }
    }

    fn server(&self) -> Option<&ServerSasl> {
        match &self.side {
            Side::Server(sasl) => Some(sasl),
            Side::Client(_) => None,
        }
    }
}

impl Connection {
    pub(super) fn start_handshake(&mut self) {
        match self.phase {
            Phase::ClientSaslHeader => self.output.push(&ProtocolId::Sasl.header()),
            Phase::ClientAmqpHeader => {
                self.output.push(&ProtocolId::Amqp.header());
                // Nothing is gained by waiting for the header of the server before opening (§2.4.2).
                self.send_open();
            }
            _ => {}
        }
    }

    /// Input before the first AMQP frame. `Ok(None)` with the position unchanged: more bytes are needed.
    pub(super) fn handshake_input(&mut self, block: &Bytes, pos: &mut usize) -> Result<Option<Event>, Fault> {
        match self.phase {
            Phase::ServerDecides | Phase::Amqp => Ok(None),
            Phase::ServerHeader | Phase::ServerAmqpHeader | Phase::ClientSaslHeader | Phase::ClientAmqpHeader => {
                self.on_header(block, pos)
            }
            Phase::ServerInit | Phase::ServerResponse | Phase::ClientMechanisms | Phase::ClientOutcome => {
                self.on_sasl(block, pos)
            }
        }
    }

    fn on_header(&mut self, block: &Bytes, pos: &mut usize) -> Result<Option<Event>, Fault> {
        let rest = block.get(*pos..).unwrap_or_default();
        let id = match ProtocolId::parse(rest) {
            Ok(None) => return Ok(None),
            Ok(Some(id)) => id,
            Err(error) => {
                *pos = block.len();
                return Err(self.refuse_header(&error.to_string()));
            }
        };
        *pos += crate::frame::PROTOCOL_HEADER;
        let server = self.handshake.as_ref().and_then(|h| h.server());
        let sasl = server.is_some_and(|s| !s.mechanisms.is_empty());
        let bare = server.is_some_and(|s| s.allow_bare || s.mechanisms.is_empty());
        match (self.phase, id) {
            (Phase::ServerHeader, ProtocolId::Sasl) if sasl => {
                let mechanisms = server.map(|s| s.mechanisms.clone()).unwrap_or_default();
                self.output.push(&ProtocolId::Sasl.header());
                self.write_sasl(&SaslMechanisms { sasl_server_mechanisms: mechanisms });
                self.phase = Phase::ServerInit;
            }
            (Phase::ServerHeader, ProtocolId::Amqp) if bare => {
                self.output.push(&ProtocolId::Amqp.header());
                self.phase = Phase::Amqp;
            }
            (Phase::ServerAmqpHeader, ProtocolId::Amqp) => {
                self.output.push(&ProtocolId::Amqp.header());
                self.phase = Phase::Amqp;
            }
            (Phase::ClientSaslHeader, ProtocolId::Sasl) => self.phase = Phase::ClientMechanisms,
            (Phase::ClientAmqpHeader, ProtocolId::Amqp) => self.phase = Phase::Amqp,
            (_, id) => {
                *pos = block.len();
                return Err(self
                    .refuse_header(&format!("protocol header {id:?} where {} was expected", self.expected_header())));
            }
        }
        Ok(None)
    }

    fn expected_header(&self) -> &'static str {
        let server = self.handshake.as_ref().and_then(|h| h.server());
        match self.phase {
            Phase::ServerHeader if server.is_some_and(|s| !s.mechanisms.is_empty()) => "Sasl",
            Phase::ClientSaslHeader => "Sasl",
            _ => "Amqp",
        }
    }

    /// §2.2: a peer that asks for something else is told what we speak, and disconnected.
    fn refuse_header(&mut self, what: &str) -> Fault {
        if matches!(self.phase, Phase::ServerHeader | Phase::ServerAmqpHeader) {
            let header = if self.expected_header() == "Sasl" { ProtocolId::Sasl } else { ProtocolId::Amqp };
            self.output.push(&header.header());
        }
        Fault::connection(condition::CONNECTION_FRAMING_ERROR, what)
    }

    fn on_sasl(&mut self, block: &Bytes, pos: &mut usize) -> Result<Option<Event>, Fault> {
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
        if header.kind != FrameKind::Sasl {
            return Err(Fault::connection(
                condition::CONNECTION_FRAMING_ERROR,
                "AMQP frame before the end of the SASL exchange",
            ));
        }
        let frame = SaslFrame::decode(block, body)?;
        match (self.phase, frame) {
            (Phase::ServerInit, SaslFrame::Init(init)) => self.on_init(init),
            (Phase::ServerResponse, SaslFrame::Response(response)) => Ok(self.ask_owner(response.response.0)),
            (Phase::ClientMechanisms, SaslFrame::Mechanisms(offered)) => self.on_mechanisms(&offered),
            (Phase::ClientOutcome, SaslFrame::Challenge(_)) => {
                // None of our mechanisms has more to say than its initial response, which an empty answer repeats.
                let response = self.client_response();
                self.write_sasl(&SaslResponse { response });
                Ok(None)
            }
            (Phase::ClientOutcome, SaslFrame::Outcome(outcome)) => self.on_outcome(outcome.code),
            (_, frame) => Err(Fault::connection(
                condition::ILLEGAL_STATE,
                format_args!("{} is not expected now", sasl_engine::name(&frame)),
            )),
        }
    }

    fn on_init(&mut self, init: SaslInit) -> Result<Option<Event>, Fault> {
        let offered = self
            .handshake
            .as_ref()
            .and_then(|h| h.server())
            .is_some_and(|s| s.mechanisms.contains(init.mechanism.as_str()));
        if !offered {
            self.write_sasl(&SaslOutcome { code: SaslCode::Auth, additional_data: None });
            return Err(Fault::connection(
                condition::UNAUTHORIZED_ACCESS,
                format_args!("SASL mechanism {} was not offered", init.mechanism),
            ));
        }
        let needs_response = sasl_engine::needs_response(&init.mechanism);
        if let Some(handshake) = &mut self.handshake {
            handshake.mechanism = Some(init.mechanism);
            handshake.hostname = init.hostname;
        }
        match init.initial_response {
            Some(response) => Ok(self.ask_owner(response.0)),
            None if needs_response => {
                self.write_sasl(&SaslChallenge { challenge: Secret(Bytes::new()) });
                self.phase = Phase::ServerResponse;
                Ok(None)
            }
            None => Ok(self.ask_owner(Bytes::new())),
        }
    }

    fn ask_owner(&mut self, response: Bytes) -> Option<Event> {
        self.phase = Phase::ServerDecides;
        let handshake = self.handshake.as_ref()?;
        let request = super::SaslResponse {
            mechanism: handshake.mechanism.clone().unwrap_or_default(),
            response,
            hostname: handshake.hostname.clone(),
        };
        Some(Event::Sasl(Box::new(request)))
    }

    /// Server: answers [`Event::Sasl`] with another question to the client. Without such an event nothing happens.
    pub fn sasl_challenge(&mut self, challenge: &[u8]) {
        if self.phase == Phase::ServerDecides {
            self.write_sasl(&SaslChallenge { challenge: Secret(Bytes::copy_from_slice(challenge)) });
            self.phase = Phase::ServerResponse;
        }
    }

    /// Server: answers [`Event::Sasl`] with the end of the exchange. Without such an event nothing happens.
    ///
    /// Any code but [`SaslCode::Ok`] closes the connection, which [`Event::Closed`] tells.
    pub fn sasl_outcome(&mut self, code: SaslCode) {
        if self.phase != Phase::ServerDecides {
            return;
        }
        self.write_sasl(&SaslOutcome { code, additional_data: None });
        if code == SaslCode::Ok {
            self.phase = Phase::ServerAmqpHeader;
            return;
        }
        let error = Error::new(condition::UNAUTHORIZED_ACCESS, "Authentication failed");
        self.finish_later(Closed { by: Initiator::Local, error: Some(error) });
    }

    /// The SASL mechanism that the client chose, until the peer's `open` has come.
    pub fn sasl_mechanism(&self) -> Option<&str> {
        self.handshake.as_ref()?.mechanism.as_ref().map(Symbol::as_str)
    }

    fn client_response(&self) -> Secret {
        self.handshake.as_ref().map(|h| h.response.clone()).unwrap_or_default()
    }

    fn on_mechanisms(&mut self, offered: &SaslMechanisms) -> Result<Option<Event>, Fault> {
        let Some(handshake) = &self.handshake else {
            return Ok(None);
        };
        let Side::Client(sasl) = &handshake.side else {
            return Ok(None);
        };
        let Some((mechanism, response)) = sasl_engine::choose(sasl, &offered.sasl_server_mechanisms.0) else {
            let offered: Vec<&str> = offered.sasl_server_mechanisms.0.iter().map(Symbol::as_str).collect();
            return Err(Fault::connection(
                condition::UNAUTHORIZED_ACCESS,
                format_args!("the server offers SASL {}, not {}", offered.join(", "), sasl_engine::wanted(sasl)),
            ));
        };
        let init = SaslInit {
            mechanism: mechanism.clone(),
            initial_response: Some(response.clone()),
            hostname: handshake.config.hostname.clone(),
        };
        if let Some(handshake) = &mut self.handshake {
            handshake.response = response;
            handshake.mechanism = Some(mechanism);
        }
        self.write_sasl(&init);
        self.phase = Phase::ClientOutcome;
        Ok(None)
    }

    fn on_outcome(&mut self, code: SaslCode) -> Result<Option<Event>, Fault> {
        if code != SaslCode::Ok {
            let mechanism = self.sasl_mechanism().unwrap_or_default();
            let text = match code {
                SaslCode::Auth => format!("Authentication failed [mech={mechanism}]"),
                code => format!("Authentication failed [mech={mechanism}]: SASL outcome {code:?}"),
            };
            return Err(Fault::connection(condition::UNAUTHORIZED_ACCESS, text));
        }
        if let Some(handshake) = &mut self.handshake {
            handshake.authenticated = true;
        }
        self.output.push(&ProtocolId::Amqp.header());
        self.phase = Phase::ClientAmqpHeader;
        self.send_open();
        Ok(Some(Event::Authenticated))
    }

    fn write_sasl<T: Encode>(&mut self, body: &T) {
        self.stats.frames_out += 1;
        self.output.append(64, |out| write_sasl(out, body));
    }

    /// Sends our open unless it was sent.
    pub(super) fn send_open(&mut self) {
        if self.open.sent {
            return;
        }
        self.open.sent = true;
        let Some(handshake) = &mut self.handshake else {
            return;
        };
        let config = &mut handshake.config;
        let open = Open {
            container_id: config.container_id.clone(),
            hostname: config.hostname.clone(),
            max_frame_size: self.max_frame_size,
            channel_max: self.channel_max,
            idle_time_out: config.idle_timeout.map(|t| u32::try_from((t / 2).as_millis()).unwrap_or(u32::MAX).max(1)),
            offered_capabilities: std::mem::take(&mut config.offered_capabilities),
            desired_capabilities: std::mem::take(&mut config.desired_capabilities),
            properties: config.properties.take(),
            ..Open::default()
        };
        self.write_cold(0, &open);
        self.opened_once();
    }

    /// Drops what only the handshake needed when both sides have opened.
    pub(super) fn opened_once(&mut self) {
        if self.open.sent && self.open.received {
            self.handshake = None;
            self.timers.handshake_done();
        }
    }

    /// True if the peer said anything before it was lost: one that did not is a port scan or a health check.
    pub(super) fn heard_anything(&self) -> bool {
        self.phase != Phase::ServerHeader
    }
}
