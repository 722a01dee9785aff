//! A byte stream inside a WebSocket connection (RFC 6455): binary messages, whose borders mean nothing.
//!
//! Framing is tungstenite's, driven without waiting: it reads and writes a [`Stream`] that would block. Only connections that came as
//! WebSocket pay for it.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes, BytesMut};
use tungstenite::error::{CapacityError, Error};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Message, Utf8Bytes};

use super::{Read, Stream, StreamError, Write};

/// Largest frame and largest message that is taken, in bytes: rhea sends each frame of AMQP as a message. Larger ones end the connection.
const MAX_MESSAGE: usize = 1024 * 1024;

/// What a connection reads at a time, and keeps for it while it is open.
const READ_BUFFER: usize = 8192;

/// Most that goes into one message.
const WRITE_CHUNK: usize = 64 * 1024;

/// A byte stream in binary messages.
#[derive(Debug)]
pub struct WebSocketStream {
    io: Io,
    context: WebSocketContext,
    /// Payload of a message that had no room yet.
    payload: Bytes,
    /// Frames may wait in the context's buffer: readiness of the socket does not tell.
    buffered: bool,
    /// Something of ours was not written yet.
    pending: bool,
    ended: bool,
    /// Our close was sent, or the connection is broken.
    closed: bool,
}

/// The socket, as tungstenite wants it.
#[derive(Debug)]
struct Io {
    stream: Stream,
    /// Its end was an error of its own.
    failed: Option<StreamError>,
}

impl io::Read for Io {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let mut buffer = BytesMut::with_capacity(room.len());
        match self.stream.try_read(&mut buffer) {
            Read::Data(_) => {
                // The buffer may have got more room than was asked for.
                let n = buffer.len().min(room.len());
                if let (Some(to), Some(from)) = (room.get_mut(..n), buffer.get(..n)) {
                    to.copy_from_slice(from);
                }
                debug_assert_eq!(n, buffer.len());
                Ok(n)
            }
            Read::Blocked => Err(io::ErrorKind::WouldBlock.into()),
            Read::Eof => Ok(0),
            Read::Failed(error) => {
                self.failed = Some(error);
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
    }
}

impl io::Write for Io {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self.stream.try_write_vectored(&[IoSlice::new(data)]) {
            Write::Done(n) => Ok(n),
            Write::Blocked => Err(io::ErrorKind::WouldBlock.into()),
            Write::Failed(error) => {
                self.failed = Some(error);
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.stream.try_flush() {
            Write::Done(_) => Ok(()),
            Write::Blocked => Err(io::ErrorKind::WouldBlock.into()),
            Write::Failed(error) => {
                self.failed = Some(error);
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
    }
}

impl WebSocketStream {
    /// The server's end of a connection on which 101 was sent. `early`: what the client sent behind its request already.
    #[must_use]
    pub fn server(stream: Stream, early: &[u8]) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            // A message, and answers to pings.
            .max_write_buffer_size(4 * WRITE_CHUNK)
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE))
            .accept_unmasked_frames(false);
        let context = WebSocketContext::from_partially_read(early.to_vec(), Role::Server, Some(config));
        Self {
            io: Io { stream, failed: None },
            context,
            payload: Bytes::new(),
            buffered: !early.is_empty(),
            pending: false,
            ended: false,
            closed: false,
        }
    }

    pub(super) const fn inner(&self) -> &Stream {
        &self.io.stream
    }

    pub(super) fn into_inner(self) -> Stream {
        self.io.stream
    }

    pub(super) fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.buffered || self.ended || !self.payload.is_empty() {
            return Poll::Ready(());
        }
        self.io.stream.poll_read_ready(cx)
    }

    pub(super) fn poll_write_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.io.stream.poll_write_ready(cx)
    }

    pub(super) fn try_read(&mut self, buf: &mut BytesMut) -> Read {
        loop {
            if !self.payload.is_empty() {
                let n = self.payload.len().min(buf.capacity() - buf.len());
                buf.extend_from_slice(self.payload.get(..n).unwrap_or_default());
                self.payload.advance(n);
                return Read::Data(n);
            }
            if self.ended {
                return Read::Eof;
            }
            let message = self.context.read(&mut self.io);
            self.buffered = message.is_ok();
            match message {
                Ok(Message::Binary(payload)) => self.payload = payload,
                Ok(Message::Text(_)) => return self.refuse(CloseCode::Unsupported, "AMQP goes in binary messages"),
                // Its answer, and that to a ping, was queued.
                Ok(Message::Close(_)) => {
                    self.flush();
                    (self.ended, self.closed) = (true, true);
                }
                Ok(_) => self.flush(),
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => self.ended = true,
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.flush();
                    return Read::Blocked;
                }
                Err(Error::Io(error)) => return Read::Failed(self.io.failed.take().unwrap_or_else(|| error.into())),
                Err(Error::Capacity(CapacityError::MessageTooLong { size, .. })) => {
                    let text = format!("a message of {size} bytes is longer than {MAX_MESSAGE}");
                    return self.refuse(CloseCode::Size, &text);
                }
                Err(error) => return self.refuse(CloseCode::Protocol, &error.to_string()),
            }
        }
    }

    /// Tells the client why the connection ends.
    fn refuse(&mut self, code: CloseCode, reason: &str) -> Read {
        // What a close frame has room for (RFC 6455 §5.5).
        let told: String = reason.chars().filter(char::is_ascii).take(120).collect();
        let frame = CloseFrame { code, reason: Utf8Bytes::from(told) };
        if !self.closed {
            // As much as the socket takes: nobody waits for it.
            let _ = self.context.close(&mut self.io, Some(frame));
        }
        self.closed = true;
        Read::Failed(StreamError::WebSocket(reason.to_owned()))
    }

    /// Writes what is queued.
    fn flush(&mut self) {
        self.pending = match self.context.flush(&mut self.io) {
            Ok(()) => false,
            Err(Error::Io(error)) => error.kind() == io::ErrorKind::WouldBlock,
            // Nothing is left to be written after both sides have closed.
            Err(_) => false,
        };
    }

    pub(super) fn has_pending_output(&self) -> bool {
        self.pending || self.io.stream.has_pending_output()
    }

    pub(super) fn try_flush(&mut self) -> Write {
        self.flush();
        if let Some(error) = self.io.failed.take() {
            return Write::Failed(error);
        }
        if self.has_pending_output() { Write::Blocked } else { Write::Done(0) }
    }

    pub(super) fn try_write_vectored(&mut self, slices: &[IoSlice<'_>]) -> Write {
        if self.has_pending_output() {
            match self.try_flush() {
                Write::Done(_) => {}
                other => return other,
            }
        }
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        if total == 0 {
            return Write::Done(0);
        }
        let mut message = BytesMut::with_capacity(total.min(WRITE_CHUNK));
        for slice in slices {
            let room = WRITE_CHUNK - message.len();
            message.extend_from_slice(slice.get(..room.min(slice.len())).unwrap_or_default());
        }
        let taken = message.len();
        match self.context.write(&mut self.io, Message::Binary(message.freeze())) {
            Ok(()) => {
                self.flush();
                Write::Done(taken)
            }
            // It was queued as a whole.
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.pending = true;
                Write::Done(taken)
            }
            Err(Error::Io(error)) => Write::Failed(self.io.failed.take().unwrap_or_else(|| error.into())),
            // The client closed, and takes nothing any more.
            Err(_) => Write::Failed(StreamError::Reset),
        }
    }

    pub(super) fn try_shutdown_write(&mut self) -> Write {
        if !self.closed {
            self.closed = true;
            let normal = CloseFrame { code: CloseCode::Normal, reason: Utf8Bytes::from_static("") };
            self.pending = match self.context.close(&mut self.io, Some(normal)) {
                Err(Error::Io(error)) => error.kind() == io::ErrorKind::WouldBlock,
                _ => false,
            };
        }
        if self.has_pending_output() {
            match self.try_flush() {
                Write::Done(_) => {}
                other => return other,
            }
        }
        self.io.stream.try_shutdown_write()
    }
}
