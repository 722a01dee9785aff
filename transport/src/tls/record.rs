//! Between ciphertext and plaintext: drives rustls' state machine over buffers of ours.
//!
//! This is rustls' *unbuffered* interface: it decrypts inside our buffer, and an idle connection keeps no buffer at all. Per record it still
//! allocates a vector each way (0.24 will not).

use bytes::{Buf as _, BytesMut};
use rustls::CommonState;
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};

/// Header, explicit nonce, content type and tag of a record, with room to spare.
const RECORD_OVERHEAD: usize = 64;
/// Most plaintext of a record (RFC 8446 §5.1).
pub(super) const RECORD: usize = 16 * 1024;

/// The most that `count` records may take.
pub(super) const fn ciphertext_bound(plaintext: usize) -> usize {
    plaintext + (plaintext / RECORD + 1) * RECORD_OVERHEAD
}

/// rustls' state for either role.
pub(super) enum Session {
    Client(UnbufferedClientConnection),
    Server(UnbufferedServerConnection),
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Client(_) => "Client",
            Self::Server(_) => "Server",
        })
    }
}

impl Session {
    pub(super) fn common(&self) -> &CommonState {
        match self {
            Self::Client(session) => session,
            Self::Server(session) => session,
        }
    }
}

#[derive(Debug)]
pub(super) struct Engine {
    session: Session,
    /// Ciphertext that is no whole message yet. Without allocation when empty.
    pub(super) incoming: BytesMut,
    /// Ciphertext that waits for the socket. Without allocation when empty.
    pub(super) outgoing: BytesMut,
    /// `close_notify` was received.
    pub(super) peer_closed: bool,
    close_notify_sent: bool,
    /// rustls reported an error, and is not asked again.
    failed: Option<rustls::Error>,
}

/// Appends a message of rustls' to `outgoing`.
macro_rules! encode {
    ($engine:expr, $message:expr) => {
        append(&mut $engine.outgoing, |room| match $message.encode(room) {
            Ok(written) => Ok(written),
            Err(EncodeError::InsufficientSize(size)) => Err(Some(size.required_size)),
            Err(EncodeError::AlreadyEncoded) => Err(None),
        })
    };
}

/// Steps one role's state machine as far as the input goes. A macro, because the two roles share no public trait.
macro_rules! drive {
    ($engine:expr, $session:expr, $data:expr, $sink:expr) => {{
        let mut consumed = 0;
        loop {
            let Some(rest) = $data.get_mut(consumed..) else {
                break (consumed, Ok(()));
            };
            let UnbufferedStatus { mut discard, state } = $session.process_tls_records(rest);
            let mut more = true;
            match state {
                Err(error) => break (consumed + discard, Err(error)),
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        // Decrypted already; the interface is made for versions that do it here.
                        if let Ok(record) = record {
                            discard += record.discard;
                            $sink(record.payload);
                        }
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut message)) => {
                    encode!($engine, message);
                }
                // It counts as transmitted once it is in `outgoing`, which keeps the order.
                Ok(ConnectionState::TransmitTlsData(message)) => message.done(),
                Ok(ConnectionState::PeerClosed) => $engine.peer_closed = true,
                // WriteTraffic, BlockedHandshake, Closed: nothing more to do with this input. (ReadEarlyData: never offered.)
                Ok(_) => more = false,
            }
            consumed += discard;
            if !more {
                break (consumed, Ok(()));
            }
        }
    }};
}

/// After an error: what rustls still wants to send, an alert mostly. It must not be driven further, or it would process the same input again.
macro_rules! last_words {
    ($engine:expr, $session:expr, $rest:expr) => {
        while $session.wants_write() {
            let UnbufferedStatus { state, .. } = $session.process_tls_records($rest);
            let Ok(ConnectionState::EncodeTlsData(mut message)) = state else {
                break;
            };
            encode!($engine, message);
        }
    };
}

/// Runs `$use` with the `WriteTraffic` state. Whatever must be sent before is put into `outgoing`. rustls has to see `incoming` again, because it
/// remembers positions in it (of parts of handshake messages), and would panic without.
macro_rules! write_traffic {
    ($engine:expr, $session:expr, $use:expr) => {{
        loop {
            let UnbufferedStatus { discard, state } = $session.process_tls_records(&mut $engine.incoming);
            let mut done = None;
            match state {
                Err(error) => done = Some(Err(error)),
                Ok(ConnectionState::EncodeTlsData(mut message)) => {
                    encode!($engine, message);
                }
                Ok(ConnectionState::TransmitTlsData(message)) => message.done(),
                Ok(ConnectionState::PeerClosed) => $engine.peer_closed = true,
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    done = Some(Ok($use(&mut traffic)));
                }
                // Not after the handshake; plaintext was taken when it came.
                Ok(_) => done = Some(Err(rustls::Error::HandshakeNotComplete)),
            }
            $engine.incoming.advance(discard);
            if let Some(done) = done {
                break done;
            }
        }
    }};
}

impl Engine {
    /// `received` is ciphertext that was read before.
    pub(super) fn new(session: Session, received: &[u8]) -> Self {
        Self {
            session,
            incoming: BytesMut::from(received),
            outgoing: BytesMut::new(),
            peer_closed: false,
            close_notify_sent: false,
            failed: None,
        }
    }

    pub(super) fn common(&self) -> &CommonState {
        self.session.common()
    }

    /// Processes the whole messages in `data`, hands plaintext to `sink` and keeps the rest in `incoming` (of which `data` must be the continuation, with
    /// that content in front). Messages of our own, an alert in case of an error among them, are appended to `outgoing`.
    pub(super) fn process(&mut self, data: &mut [u8], mut sink: impl FnMut(&[u8])) -> Result<(), rustls::Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let (mut consumed, result) = match &mut self.session {
            Session::Client(session) => drive!(self, session, data, sink),
            Session::Server(session) => drive!(self, session, data, sink),
        };
        if let Err(error) = &result {
            let rest = data.get_mut(consumed..).unwrap_or_default();
            match &mut self.session {
                Session::Client(session) => last_words!(self, session, rest),
                Session::Server(session) => last_words!(self, session, rest),
            }
            self.failed = Some(error.clone());
            consumed = data.len();
        }
        let rest = data.get(consumed..).unwrap_or_default();
        if rest.is_empty() {
            self.incoming = BytesMut::new();
        } else {
            self.incoming.clear();
            self.incoming.extend_from_slice(rest);
        }
        result
    }

    /// Encrypts `plaintext` into `out`, which must have [`ciphertext_bound`] bytes, and returns how many were used. What `outgoing` holds afterwards
    /// must be sent before.
    pub(super) fn encrypt(&mut self, plaintext: &[u8], out: &mut [u8]) -> Result<usize, rustls::Error> {
        self.check()?;
        let encrypted = match &mut self.session {
            Session::Client(session) => {
                write_traffic!(self, session, |traffic: &mut rustls::unbuffered::WriteTraffic<'_, _>| traffic
                    .encrypt(plaintext, out))
            }
            Session::Server(session) => {
                write_traffic!(self, session, |traffic: &mut rustls::unbuffered::WriteTraffic<'_, _>| traffic
                    .encrypt(plaintext, out))
            }
        }?;
        encrypted.map_err(|error| match error {
            EncryptError::EncryptExhausted => rustls::Error::EncryptError,
            EncryptError::InsufficientSize(size) => {
                rustls::Error::General(format!("a record buffer of {} bytes is too small", size.required_size))
            }
        })
    }

    fn check(&self) -> Result<(), rustls::Error> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Puts `close_notify` into `outgoing`, once.
    pub(super) fn close_notify(&mut self) -> Result<(), rustls::Error> {
        if self.close_notify_sent {
            return Ok(());
        }
        self.check()?;
        self.close_notify_sent = true;
        let mut alert = [0; 2 * RECORD_OVERHEAD];
        let written = match &mut self.session {
            Session::Client(session) => {
                write_traffic!(self, session, |traffic: &mut rustls::unbuffered::WriteTraffic<'_, _>| traffic
                    .queue_close_notify(&mut alert))
            }
            Session::Server(session) => {
                write_traffic!(self, session, |traffic: &mut rustls::unbuffered::WriteTraffic<'_, _>| traffic
                    .queue_close_notify(&mut alert))
            }
        }?
        .map_err(|_| rustls::Error::EncryptError)?;
        self.outgoing.extend_from_slice(alert.get(..written).unwrap_or_default());
        Ok(())
    }

    /// Forgets the first `sent` bytes of `outgoing`, and the buffer itself when nothing is left.
    pub(super) fn sent(&mut self, sent: usize) {
        if sent >= self.outgoing.len() {
            self.outgoing = BytesMut::new();
        } else {
            self.outgoing.advance(sent);
        }
    }
}

/// Lets `encode` write behind the content of `buffer`; it says how much room it needs when that is too little.
fn append(buffer: &mut BytesMut, mut encode: impl FnMut(&mut [u8]) -> Result<usize, Option<usize>>) {
    let len = buffer.len();
    let mut room = 512;
    loop {
        buffer.resize(len + room, 0);
        match encode(buffer.get_mut(len..).unwrap_or_default()) {
            Ok(written) => return buffer.truncate(len + written),
            Err(Some(needed)) if needed > room => room = needed,
            Err(_) => return buffer.truncate(len),
        }
    }
}
