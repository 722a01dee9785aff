//! What the owner decides about a connection before it starts.

use std::{fmt, time::Duration};

use crate::{Fields, Str, Symbols};

/// Settings of one connection. Kept until both sides have opened, then dropped.
#[derive(Clone, Debug)]
pub struct Config {
    /// Our `container-id`.
    pub container_id: Str,
    /// The `hostname` that a client asks for, in `open` and in `sasl-init`.
    pub hostname: Option<Str>,
    /// Largest frame that we accept, in bytes; at least 512. Default 16,384.
    pub max_frame_size: u32,
    /// Highest channel number that we accept: one less than the number of sessions. Default 32,767.
    pub channel_max: u16,
    /// The peer's silence after which the connection is closed. As other peers do, we ask for half of it in `open`. Default 16 s.
    pub idle_timeout: Option<Duration>,
    /// Time until both sides must have opened; none by default.
    pub handshake_timeout: Option<Duration>,
    /// `offered-capabilities` of our `open`.
    pub offered_capabilities: Symbols,
    /// `desired-capabilities` of our `open`.
    pub desired_capabilities: Symbols,
    /// `properties` of our `open`.
    pub properties: Option<Fields>,
    /// What a peer may cost us.
    pub limits: Limits,
    /// First transfer-id, delivery-id and delivery-count: tests start near the wrap-around.
    #[doc(hidden)]
    pub first_id: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            container_id: Str::default(),
            hostname: None,
            max_frame_size: 16 * 1024,
            channel_max: 32_767,
            idle_timeout: Some(Duration::from_secs(16)),
            handshake_timeout: None,
            offered_capabilities: Symbols::default(),
            desired_capabilities: Symbols::default(),
            properties: None,
            limits: Limits::default(),
            first_id: 0,
        }
    }
}

/// Who speaks first, and how the peers get to trust each other.
#[derive(Clone, Debug)]
pub enum Side {
    /// We connected.
    Client(ClientSasl),
    /// We accepted.
    Server(ServerSasl),
}

/// How a client authenticates.
#[derive(Clone)]
pub enum ClientSasl {
    /// No SASL layer: starts with the bare AMQP header.
    None,
    /// `ANONYMOUS`.
    Anonymous,
    /// `PLAIN` (RFC 4616). The owner sees to it that the connection is encrypted.
    Plain {
        /// The user.
        username: String,
        /// The password, in clear.
        password: String,
    },
    /// `EXTERNAL` (RFC 4422): what the transport proved, usually a client certificate.
    External {
        /// The identity to act as; empty for the one proved.
        authzid: String,
    },
    /// The first of these that the server offers. [`ClientSasl::None`] inside is never chosen.
    First(Vec<Self>),
}

impl fmt::Debug for ClientSasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Anonymous => f.write_str("Anonymous"),
            Self::Plain { username, .. } => f.debug_struct("Plain").field("username", username).finish_non_exhaustive(),
            Self::External { authzid } => f.debug_struct("External").field("authzid", authzid).finish(),
            Self::First(choices) => f.debug_tuple("First").field(choices).finish(),
        }
    }
}

/// What a server asks of its clients.
#[derive(Clone, Debug, Default)]
pub struct ServerSasl {
    /// Mechanisms offered, in order of preference. If there are none the SASL header is refused.
    pub mechanisms: Symbols,
    /// Accept clients that start with the bare AMQP header, without any SASL.
    pub allow_bare: bool,
}

/// Bounds on what a peer may make us hold or do.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Links of the connection, in all sessions. Default 65,536, at most 1,048,576.
    pub links: u32,
    /// Content that a session may have on its way to us before it was passed on, in bytes. Default 1 MiB.
    pub session_bytes: u32,
    /// How far that grows, in bytes, once [`Connection::grow_sessions`] was called. Default 0: not at all.
    ///
    /// [`Connection::grow_sessions`]: super::Connection::grow_sessions
    pub session_most: u32,
    /// The first incoming window of a session in bytes, before anything is known about its frames. Default 8 MiB, as the reference.
    pub first_window_bytes: u32,
    /// Largest incoming window of a session, in frames. Default 4,096.
    pub session_frames: u32,
    /// Links detached and sessions ended by the peer: as many at once, refilled by a tenth of it per second. Default 200,000.
    pub cycles: u32,
    /// Frames that ask for work and carry nothing: empty transfers, flows with echo, flows and dispositions without effect; as many at
    /// once, refilled by a tenth of it per second. Default 200,000.
    pub idle_frames: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            links: 65_536,
            session_bytes: 1024 * 1024,
            session_most: 0,
            first_window_bytes: 8 * 1024 * 1024,
            session_frames: 4096,
            // An honest test that attaches and detaches in a loop reaches 20,000 cycles a second on this machine, and closing 65,536
            // links at once is honest too (November 2026).
            cycles: 200_000,
            idle_frames: 200_000,
        }
    }
}
