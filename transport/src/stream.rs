//! A connected byte stream, plain or TLS, with the operations that the hot path needs.
//!
//! Operations never wait: a task waits with [`Stream::poll_read_ready`] and [`Stream::poll_write_ready`] and then calls `try_*` until
//! they answer that they would block. A read or write that was short tells the stream that the socket is exhausted, which saves the
//! system call that would only return `EAGAIN`.

use crate::tls::TlsStream;
use bytes::BytesMut;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

mod plain;
#[cfg(test)]
mod tests;
mod websocket;

pub use plain::{Pipe, PlainStream};
pub use websocket::WebSocketStream;

/// Why a stream ended other than by an orderly end. What hangs on it must be reset, never closed as if it had ended.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The peer aborted the connection (RST), or the connection was found broken by an earlier operation.
    #[error("connection reset by peer")]
    Reset,
    /// The peer did not answer (keepalive or retransmission gave up).
    #[error("connection timed out")]
    TimedOut,
    /// The operating system reported another failure.
    #[error("{0}")]
    Io(io::Error),
    /// TLS: the connection ended inside a record.
    #[error("TLS stream was cut inside a record")]
    Truncated,
    /// TLS: the connection ended at a record boundary without `close_notify`, and the options ask for one.
    #[error("TLS stream ended without close_notify")]
    NoCloseNotify,
    /// TLS: the peer broke the protocol, or refused what we sent.
    #[error("TLS failure: {0}")]
    Tls(Box<rustls::Error>),
    /// The peer broke the rules of WebSocket, or sent more than is taken.
    #[error("WebSocket failure: {0}")]
    WebSocket(String),
}

impl From<io::Error> for StreamError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
                Self::Reset
            }
            io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Io(error),
        }
    }
}

/// What a read attempt found.
#[derive(Debug)]
#[must_use]
pub enum Read {
    /// So many bytes (at least one) were appended to the buffer.
    Data(usize),
    /// Nothing there; wait with [`Stream::poll_read_ready`].
    Blocked,
    /// The peer ended its direction in order (FIN; with TLS `close_notify`, or FIN at a record boundary where tolerated).
    Eof,
    /// The stream is broken. Every later read says so again, though perhaps with [`StreamError::Reset`].
    Failed(StreamError),
}

/// What a write attempt did.
#[derive(Debug)]
#[must_use]
pub enum Write {
    /// So many bytes of the slices were taken. With TLS they may still wait as ciphertext: see [`Stream::has_pending_output`].
    Done(usize),
    /// Nothing was taken; wait with [`Stream::poll_write_ready`].
    Blocked,
    /// The stream is broken.
    Failed(StreamError),
}

/// A connected stream. 48 bytes; the state of TLS is boxed.
#[derive(Debug)]
pub enum Stream {
    /// TCP as it is.
    Plain(PlainStream),
    /// TCP with TLS, after the handshake.
    Tls(Box<TlsStream>),
    /// Either of them, inside WebSocket messages.
    WebSocket(Box<WebSocketStream>),
}

impl Stream {
    /// Ready when a read may find something.
    pub fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Plain(s) => s.poll_read_ready(cx),
            Self::Tls(s) => s.poll_read_ready(cx),
            Self::WebSocket(s) => s.poll_read_ready(cx),
        }
    }

    /// Ready when a write may take something (and, with TLS, when pending ciphertext may be flushed).
    pub fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Plain(s) => s.poll_write_ready(cx),
            Self::Tls(s) => s.plain().poll_write_ready(cx),
            Self::WebSocket(s) => s.poll_write_ready(cx),
        }
    }

    /// Waits until [`poll_read_ready`](Self::poll_read_ready). Cancel safe.
    pub async fn readable(&mut self) {
        poll_fn(|cx| self.poll_read_ready(cx)).await;
    }

    /// Waits until [`poll_write_ready`](Self::poll_write_ready). Cancel safe.
    pub async fn writable(&mut self) {
        poll_fn(|cx| self.poll_write_ready(cx)).await;
    }

    /// Reads once, into the spare capacity of `buf` (which must not be empty, and is not grown).
    /// With TLS, one call decrypts everything that one read of the socket brought and that fits.
    pub fn try_read(&mut self, buf: &mut BytesMut) -> Read {
        match self {
            Self::Plain(s) => s.try_read(buf),
            Self::Tls(s) => s.try_read(buf),
            Self::WebSocket(s) => s.try_read(buf),
        }
    }

    /// Writes as much of `slices` as the socket takes at once, in one system call for plain TCP.
    pub fn try_write_vectored(&mut self, slices: &[IoSlice<'_>]) -> Write {
        match self {
            Self::Plain(s) => s.try_write_vectored(slices),
            Self::Tls(s) => s.try_write_vectored(slices),
            Self::WebSocket(s) => s.try_write_vectored(slices),
        }
    }

    /// Whether taken bytes (or TLS messages of our own) still wait to be written. Always `false` for plain TCP. Reads can cause it, too.
    #[must_use]
    pub fn has_pending_output(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(s) => s.has_pending_output(),
            Self::WebSocket(s) => s.has_pending_output(),
        }
    }

    /// Writes what [`has_pending_output`](Self::has_pending_output) tells of. `Done` (of the bytes written) when nothing waits any more.
    pub fn try_flush(&mut self) -> Write {
        match self {
            Self::Plain(_) => Write::Done(0),
            Self::Tls(s) => s.try_flush(),
            Self::WebSocket(s) => s.try_flush(),
        }
    }

    /// Ends our direction in order: FIN, with TLS after `close_notify`. `Blocked`: call again when writable. Idempotent.
    pub fn try_shutdown_write(&mut self) -> Write {
        match self {
            Self::Plain(s) => s.shutdown_write(),
            Self::Tls(s) => s.try_shutdown_write(),
            Self::WebSocket(s) => s.try_shutdown_write(),
        }
    }

    /// Closes with RST: the peer sees an abort, not an end; unsent and unread bytes are dropped.
    pub fn reset(self) {
        match self {
            Self::Plain(s) => s.reset(),
            Self::Tls(s) => s.reset(),
            Self::WebSocket(s) => s.into_inner().reset(),
        }
    }

    /// Makes a later drop close with RST, for owners that cannot give the stream away.
    pub fn reset_on_drop(&self) {
        self.plain().reset_on_drop();
    }

    /// Writes all of `data`, waiting as needed. For set-up and tools, not for the hot path.
    ///
    /// # Errors
    /// The stream is broken.
    pub async fn write_all(&mut self, mut data: &[u8]) -> Result<(), StreamError> {
        while !data.is_empty() || self.has_pending_output() {
            let outcome =
                if data.is_empty() { self.try_flush() } else { self.try_write_vectored(&[IoSlice::new(data)]) };
            match outcome {
                Write::Done(n) => data = data.get(n.min(data.len())..).unwrap_or_default(),
                Write::Blocked => self.writable().await,
                Write::Failed(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Appends to `buf` once, waiting as needed; 0 at the end. For set-up and tools. `buf` is grown when it has no room.
    ///
    /// # Errors
    /// The stream is broken.
    pub async fn read_some(&mut self, buf: &mut BytesMut) -> Result<usize, StreamError> {
        if buf.spare_capacity_mut().is_empty() {
            buf.reserve(crate::block::POOL_BUFFER);
        }
        loop {
            match self.try_read(buf) {
                Read::Data(n) => return Ok(n),
                Read::Eof => return Ok(0),
                Read::Failed(error) => return Err(error),
                Read::Blocked => self.readable().await,
            }
        }
    }

    /// Ends our direction, waiting as needed.
    ///
    /// # Errors
    /// The stream is broken.
    pub async fn shutdown_write(&mut self) -> Result<(), StreamError> {
        loop {
            match self.try_shutdown_write() {
                Write::Done(_) => return Ok(()),
                Write::Failed(error) => return Err(error),
                Write::Blocked => self.writable().await,
            }
        }
    }

    /// The TCP socket, below TLS if there is any.
    #[must_use]
    pub fn plain(&self) -> &PlainStream {
        match self {
            Self::Plain(s) => s,
            Self::Tls(s) => s.plain(),
            Self::WebSocket(s) => s.inner().plain(),
        }
    }

    /// What TLS knows: peer certificates, protocol, cipher, ALPN.
    #[must_use]
    pub fn tls(&self) -> Option<&TlsStream> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(s) => Some(s),
            Self::WebSocket(s) => s.inner().tls(),
        }
    }

    /// The peer's address; an IPv4 peer of a dual-stack socket appears as IPv4.
    ///
    /// # Errors
    /// The connection is already gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.plain().peer_addr()
    }

    /// Our own address of this connection.
    ///
    /// # Errors
    /// The connection is already gone.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.plain().local_addr()
    }
}

impl From<PlainStream> for Stream {
    fn from(stream: PlainStream) -> Self {
        Self::Plain(stream)
    }
}

/// Waits for either direction: `(readable, writable)`, at least one of them true. `want_write` false only waits for reads.
pub fn poll_ready(stream: &mut Stream, cx: &mut Context<'_>, want_write: bool) -> Poll<(bool, bool)> {
    let readable = stream.poll_read_ready(cx).is_ready();
    if !want_write {
        return if readable { Poll::Ready((true, false)) } else { Poll::Pending };
    }
    if readable {
        return Poll::Ready((true, stream.poll_write_ready(cx).is_ready()));
    }
    ready!(stream.poll_write_ready(cx));
    Poll::Ready((false, true))
}
