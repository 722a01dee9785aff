//! The encrypted stream.

use super::error::HandshakeError;
use super::record::{Engine, RECORD, ciphertext_bound};
use super::uid::UserNames;
use crate::stream::{PlainStream, Read, StreamError, Write};
use bytes::{Buf as _, BytesMut};
use rustls::{HandshakeKind, ProtocolVersion};
use rustls_pki_types::CertificateDer;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Ciphertext read at once.
const READ_CHUNK: usize = 128 * 1024;
/// Plaintext encrypted for one write: eight full records. With it a download of 1 GB through a TLS listener takes 0.7 of haproxy's CPU
/// (three interleaved runs on a busy machine, November 2026); other sizes were not tried.
const WRITE_CHUNK: usize = 8 * RECORD;
/// Slices looked at in one write.
const MAX_SLICES: usize = 64;
/// How long a peer that was refused may take to read the alert.
const ALERT_TIME: Duration = Duration::from_secs(1);

/// A worker's buffers for ciphertext, used by whichever stream is reading or writing.
struct Scratch {
    read: BytesMut,
    /// Small slices are gathered here, so that records are full.
    gather: Vec<u8>,
    /// Always of full length, so that nothing has to be cleared.
    write: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> =
        RefCell::new(Scratch { read: BytesMut::new(), gather: Vec::new(), write: Vec::new() });
}

/// What the streams of a listener or connector have in common.
#[derive(Debug)]
pub(super) struct StreamRules {
    pub(super) users: UserNames,
    pub(super) require_close_notify: bool,
}

/// TCP with TLS. Owns no buffers while nothing is under way.
#[derive(Debug)]
pub struct TlsStream {
    io: PlainStream,
    engine: Engine,
    rules: Arc<StreamRules>,
    /// Decrypted, but the reader had no room (or the handshake was not over).
    plaintext: BytesMut,
    /// Found after data that had to be delivered first.
    error: Option<StreamError>,
    failed: bool,
    read_ended: bool,
}

impl TlsStream {
    pub(super) fn new(io: PlainStream, engine: Engine, rules: Arc<StreamRules>) -> Self {
        Self { io, engine, rules, plaintext: BytesMut::new(), error: None, failed: false, read_ended: false }
    }

    pub(crate) const fn plain(&self) -> &PlainStream {
        &self.io
    }

    pub(crate) fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.plaintext.is_empty() || self.error.is_some() || self.engine.peer_closed {
            return Poll::Ready(());
        }
        self.io.poll_read_ready(cx)
    }

    pub(crate) fn try_read(&mut self, buf: &mut BytesMut) -> Read {
        loop {
            if !self.plaintext.is_empty() {
                return Read::Data(self.take_plaintext(buf));
            }
            if let Some(error) = self.error.take() {
                self.failed = true;
                return Read::Failed(error);
            }
            if self.failed {
                return Read::Failed(StreamError::Reset);
            }
            if self.engine.peer_closed || self.read_ended {
                return Read::Eof;
            }
            let before = buf.len();
            match self.read_records(Some(buf)) {
                Ok(true) => {}
                Ok(false) => return Read::Blocked,
                Err(error) => self.error = Some(error),
            }
            if self.has_pending_output()
                && let Write::Failed(error) = self.try_flush()
            {
                // What was read before still counts.
                self.error.get_or_insert(error);
            }
            let read = buf.len() - before;
            if read > 0 {
                return Read::Data(read);
            }
            // Only messages of TLS itself, a record for which `buf` has no room, or an error or end to be reported.
        }
    }

    /// One read of the socket, and everything that follows from it. Plaintext goes to `buf` as far as it has room, otherwise to `plaintext`.
    /// `false` when the socket had nothing.
    fn read_records(&mut self, mut buf: Option<&mut BytesMut>) -> Result<bool, StreamError> {
        SCRATCH.with_borrow_mut(|scratch| {
            let data = &mut scratch.read;
            data.clear();
            data.extend_from_slice(&self.engine.incoming);
            // Not more than fits at the reader's, but a whole record in any case.
            let wanted = buf.as_ref().map_or(READ_CHUNK, |buf| buf.capacity() - buf.len());
            let room = wanted.saturating_sub(data.len()).clamp(ciphertext_bound(RECORD), READ_CHUNK);
            data.reserve(READ_CHUNK);
            let spare = data.spare_capacity_mut();
            let room = room.min(spare.len());
            let received = match self.io.recv(spare.get_mut(..room).unwrap_or_default()) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            if received == 0 {
                return self.end_of_socket().map(|()| true);
            }
            // SAFETY: the kernel initialised `received` bytes of the spare capacity, which starts at `len`.
            unsafe { data.set_len(data.len() + received) };
            let overflow = &mut self.plaintext;
            self.engine
                .process(data, |payload| match &mut buf {
                    Some(buf) if overflow.is_empty() && buf.capacity() - buf.len() >= payload.len() => {
                        buf.extend_from_slice(payload);
                    }
                    _ => overflow.extend_from_slice(payload),
                })
                .map_err(|error| StreamError::Tls(Box::new(error)))?;
            Ok(true)
        })
    }

    /// FIN without `close_notify` (RFC 8446 §6.1 forbids it, many programs do it).
    fn end_of_socket(&mut self) -> Result<(), StreamError> {
        self.read_ended = true;
        if self.io.is_broken() {
            Err(StreamError::Reset)
        } else if !self.engine.incoming.is_empty() {
            Err(StreamError::Truncated)
        } else if self.rules.require_close_notify {
            Err(StreamError::NoCloseNotify)
        } else {
            Ok(())
        }
    }

    fn take_plaintext(&mut self, buf: &mut BytesMut) -> usize {
        let n = self.plaintext.len().min(buf.capacity() - buf.len());
        buf.extend_from_slice(self.plaintext.get(..n).unwrap_or_default());
        self.plaintext.advance(n);
        if self.plaintext.is_empty() {
            self.plaintext = BytesMut::new();
        }
        n
    }

    pub(crate) fn try_write_vectored(&mut self, slices: &[IoSlice<'_>]) -> Write {
        if self.failed {
            return Write::Failed(StreamError::Reset);
        }
        if self.has_pending_output() {
            match self.try_flush() {
                Write::Done(_) => {}
                other => return other,
            }
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let Scratch { gather, write, .. } = scratch;
            if write.is_empty() {
                write.resize(ciphertext_bound(WRITE_CHUNK) + ciphertext_bound(RECORD), 0);
                gather.reserve_exact(RECORD);
            }
            let (taken, used) = match self.encrypt_slices(slices, gather, write) {
                Ok(done) => done,
                Err(error) => {
                    self.failed = true;
                    return Write::Failed(StreamError::Tls(Box::new(error)));
                }
            };
            let fresh = write.get(..used).unwrap_or_default();
            match self.send_with(fresh) {
                Ok(()) => Write::Done(taken),
                Err(error) => self.fail(error),
            }
        })
    }

    /// Encrypts what the limits allow into `out`: how much plaintext was taken, and how much ciphertext it gave.
    fn encrypt_slices(
        &mut self,
        slices: &[IoSlice<'_>],
        gather: &mut Vec<u8>,
        out: &mut [u8],
    ) -> Result<(usize, usize), rustls::Error> {
        gather.clear();
        let mut taken = 0;
        let mut used = 0;
        for slice in slices.iter().take(MAX_SLICES) {
            let mut rest: &[u8] = slice;
            rest = rest.get(..rest.len().min(WRITE_CHUNK - taken)).unwrap_or_default();
            taken += rest.len();
            while !rest.is_empty() {
                if gather.is_empty() && rest.len() >= RECORD {
                    let (whole, tail) = rest.split_at(rest.len() - rest.len() % RECORD);
                    used += self.engine.encrypt(whole, out.get_mut(used..).unwrap_or_default())?;
                    rest = tail;
                } else {
                    let (now, later) = rest.split_at(rest.len().min(RECORD - gather.len()));
                    gather.extend_from_slice(now);
                    rest = later;
                    if gather.len() == RECORD {
                        used += self.engine.encrypt(gather, out.get_mut(used..).unwrap_or_default())?;
                        gather.clear();
                    }
                }
            }
            if taken == WRITE_CHUNK {
                break;
            }
        }
        if !gather.is_empty() {
            used += self.engine.encrypt(gather, out.get_mut(used..).unwrap_or_default())?;
        }
        Ok((taken, used))
    }

    /// Sends what waits and then `fresh`, once; what the socket does not take waits.
    fn send_with(&mut self, fresh: &[u8]) -> io::Result<()> {
        let waiting = self.engine.outgoing.len();
        let sent = if waiting == 0 {
            self.io.send(&[IoSlice::new(fresh)])
        } else {
            self.io.send(&[IoSlice::new(&self.engine.outgoing), IoSlice::new(fresh)])
        };
        let sent = match sent {
            Ok(sent) => sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        let of_fresh = sent.saturating_sub(waiting);
        self.engine.sent(sent.min(waiting));
        let rest = fresh.get(of_fresh..).unwrap_or_default();
        if !rest.is_empty() {
            self.engine.outgoing.extend_from_slice(rest);
        }
        Ok(())
    }

    fn fail(&mut self, error: io::Error) -> Write {
        // The socket remembers that it is broken; data that it still holds can be read.
        Write::Failed(error.into())
    }

    pub(crate) fn has_pending_output(&self) -> bool {
        !self.engine.outgoing.is_empty()
    }

    pub(crate) fn try_flush(&mut self) -> Write {
        let mut written = 0;
        while self.has_pending_output() {
            match self.io.send(&[IoSlice::new(&self.engine.outgoing)]) {
                Ok(sent) => {
                    self.engine.sent(sent);
                    written += sent;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Write::Blocked,
                Err(error) => return self.fail(error),
            }
        }
        Write::Done(written)
    }

    pub(crate) fn try_shutdown_write(&mut self) -> Write {
        if let Err(error) = self.engine.close_notify() {
            self.failed = true;
            return Write::Failed(StreamError::Tls(Box::new(error)));
        }
        match self.try_flush() {
            Write::Done(_) => self.io.shutdown_write(),
            other => other,
        }
    }

    pub(crate) fn reset(self: Box<Self>) {
        self.io.reset();
    }

    /// Until both sides may send data, and everything of ours was sent.
    pub(super) async fn handshake(&mut self) -> Result<(), HandshakeError> {
        let mut begun = std::mem::take(&mut self.engine.incoming);
        let overflow = &mut self.plaintext;
        let first = self.engine.process(&mut begun, |payload| overflow.extend_from_slice(payload));
        if let Err(error) = first {
            return Err(self.refuse(error));
        }
        loop {
            let flushed = self.flush().await;
            if !self.engine.common().is_handshaking() {
                // A client of TLS 1.3 may send all that it has to say with its last message and leave: that counts, though it does not take our
                // tickets any more.
                self.error = flushed.err();
                return Ok(());
            }
            flushed?;
            match self.read_records(None) {
                Ok(true) if !self.engine.common().is_handshaking() => {}
                Ok(true) if self.read_ended || self.engine.peer_closed => {
                    return Err(HandshakeError::Closed);
                }
                Ok(true) => {}
                Ok(false) => poll_fn(|cx| self.io.poll_read_ready(cx)).await,
                Err(StreamError::Tls(error)) => return Err(self.refuse(*error)),
                Err(StreamError::Truncated) => return Err(HandshakeError::Closed),
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn flush(&mut self) -> Result<(), StreamError> {
        loop {
            match self.try_flush() {
                Write::Done(_) => return Ok(()),
                Write::Blocked => poll_fn(|cx| self.io.poll_write_ready(cx)).await,
                Write::Failed(error) => return Err(error),
            }
        }
    }

    /// Sends the alert, as far as the socket takes it at once.
    fn refuse(&mut self, error: rustls::Error) -> HandshakeError {
        self.failed = true;
        let _ = self.try_flush();
        HandshakeError::from_rustls(error)
    }

    /// Closes such that the peer can read our alert: a close with unread input would be a reset, which overtakes it.
    pub(super) fn close_after_alert(self) {
        let mut io = self.io;
        if io.is_broken() || !matches!(io.shutdown_write(), Write::Done(_)) {
            return;
        }
        tokio::spawn(async move {
            let mut sink = BytesMut::with_capacity(4096);
            let drain = async {
                loop {
                    sink.clear();
                    match io.try_read(&mut sink) {
                        Read::Data(_) => {}
                        Read::Blocked => poll_fn(|cx| io.poll_read_ready(cx)).await,
                        Read::Eof | Read::Failed(_) => return,
                    }
                }
            };
            // Whether it ended in time or not, the socket is closed now.
            let _ = tokio::time::timeout(ALERT_TIME, drain).await;
        });
    }

    /// Takes the socket from under TLS; what TLS holds is lost.
    #[cfg(test)]
    pub(super) fn into_plain(self) -> PlainStream {
        self.io
    }

    /// Memory of buffers that this stream holds, in bytes; 0 while nothing is under way.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.engine.incoming.capacity() + self.engine.outgoing.capacity() + self.plaintext.capacity()
    }

    /// The peer's certificates, its own first; `None` when it sent none.
    #[must_use]
    pub fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.engine.common().peer_certificates()
    }

    /// The user that the peer's certificate stands for, by the profile's `uidFormat`; for SASL EXTERNAL.
    #[must_use]
    pub fn peer_user(&self) -> Option<String> {
        self.rules.users.user(self.peer_certificates()?.first()?)
    }

    /// The application protocol that was agreed upon.
    #[must_use]
    pub fn alpn(&self) -> Option<&[u8]> {
        self.engine.common().alpn_protocol()
    }

    /// `TLSv1.2` or `TLSv1.3`.
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        match self.engine.common().protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        }
    }

    /// Name of the cipher suite, as OpenSSL calls it.
    #[must_use]
    pub fn cipher(&self) -> &'static str {
        self.engine.common().negotiated_cipher_suite().map_or("", super::ciphers::openssl_name)
    }

    /// Strength of the cipher, in bits (`sslSsf`).
    #[must_use]
    pub fn cipher_bits(&self) -> u32 {
        if self.cipher().contains("128") { 128 } else { 256 }
    }

    /// Whether the handshake resumed an earlier session.
    #[must_use]
    pub fn was_resumed(&self) -> bool {
        self.engine.common().handshake_kind() == Some(HandshakeKind::Resumed)
    }
}
