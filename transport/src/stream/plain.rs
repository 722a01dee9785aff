//! TCP without TLS.

use super::{Read, StreamError, Write};
use crate::memory::CloseCounter;
use crate::metrics::count;
use crate::socket::TcpOptions;
use bytes::BytesMut;
use socket2::SockRef;
use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::TcpStream;

mod splice;

pub use splice::Pipe;

/// The kernel takes at most so many slices a call (`UIO_MAXIOV`).
pub(crate) const MAX_SLICES: usize = 1024;

/// A connected TCP socket.
#[derive(Debug)]
pub struct PlainStream {
    io: TcpStream,
    /// The socket reported an error once. Linux reports it only once, and to either direction: a read that follows a failed write
    /// returns 0, which would look like an orderly end.
    broken: bool,
    /// FIN was sent.
    write_ended: bool,
    _closes: CloseCounter,
}

impl PlainStream {
    /// Takes over a connected socket of tokio's.
    #[must_use]
    pub const fn new(io: TcpStream) -> Self {
        Self { io, broken: false, write_ended: false, _closes: CloseCounter }
    }

    /// Ready when a read may find something.
    pub fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // An error means that the runtime ends; the next operation fails and says so.
        self.io.poll_read_ready(cx).map(|_| ())
    }

    /// Ready when a write may take something.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.io.poll_write_ready(cx).map(|_| ())
    }

    /// See [`Stream::try_read`](super::Stream::try_read).
    pub fn try_read(&mut self, buf: &mut BytesMut) -> Read {
        let spare = buf.spare_capacity_mut();
        debug_assert!(!spare.is_empty(), "a read needs room");
        match self.recv(spare) {
            Ok(0) if self.broken => Read::Failed(StreamError::Reset),
            Ok(0) => Read::Eof,
            Ok(n) => {
                // SAFETY: the kernel initialised the first `n` bytes of the spare capacity, which starts at `len`.
                unsafe { buf.set_len(buf.len() + n) };
                Read::Data(n)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Read::Blocked,
            Err(error) => Read::Failed(error.into()),
        }
    }

    /// Reads once. `Ok(0)` is an end of the socket (see `broken`), `WouldBlock` an error.
    pub(crate) fn recv(&mut self, room: &mut [std::mem::MaybeUninit<u8>]) -> io::Result<usize> {
        let socket = SockRef::from(&self.io);
        let mut received = None;
        let outcome = self.io.try_io(Interest::READABLE, || {
            let result = retry_interrupted(|| socket.recv(room));
            count(|c| {
                c.reads += 1;
                match &result {
                    Ok(n) => c.bytes_read += *n as u64,
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => c.empty_reads += 1,
                    Err(_) => {}
                }
            });
            let n = result?;
            received = Some(n);
            if n > 0 && n < room.len() {
                // The socket is exhausted: with edge-triggered readiness (which tokio uses) whatever comes next is a new event, so readiness
                // can be cleared without asking again. An end or a reset that came already is remembered apart by tokio, and not cleared.
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(())
        });
        match (received, outcome) {
            (Some(n), _) => Ok(n),
            (None, Ok(())) => Err(io::ErrorKind::WouldBlock.into()),
            (None, Err(error)) => {
                self.broken |= error.kind() != io::ErrorKind::WouldBlock;
                Err(error)
            }
        }
    }

    /// See [`Stream::try_write_vectored`](super::Stream::try_write_vectored).
    pub fn try_write_vectored(&mut self, slices: &[IoSlice<'_>]) -> Write {
        match self.send(slices) {
            Ok(n) => Write::Done(n),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Write::Blocked,
            Err(error) => Write::Failed(error.into()),
        }
    }

    /// Writes once; `WouldBlock` is an error.
    pub(crate) fn send(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let slices = slices.get(..MAX_SLICES).unwrap_or(slices);
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        if total == 0 {
            return Ok(0);
        }
        let socket = SockRef::from(&self.io);
        let mut sent = None;
        let outcome = self.io.try_io(Interest::WRITABLE, || {
            let result = retry_interrupted(|| match slices {
                [one] => socket.send(one),
                _ => socket.send_vectored(slices),
            });
            count(|c| {
                c.writes += 1;
                match &result {
                    Ok(n) => c.bytes_written += *n as u64,
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => c.blocked_writes += 1,
                    Err(_) => {}
                }
            });
            let n = result?;
            sent = Some(n);
            // As for reads: a short write means that the socket is full.
            if n < total { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        match (sent, outcome) {
            (Some(n), _) => Ok(n),
            (None, Ok(())) => Err(io::ErrorKind::WouldBlock.into()),
            (None, Err(error)) => {
                self.broken |= error.kind() != io::ErrorKind::WouldBlock;
                Err(error)
            }
        }
    }

    /// Whether an operation found the connection broken.
    #[must_use]
    pub const fn is_broken(&self) -> bool {
        self.broken
    }

    /// Waits until the socket holds an error, as after a RST. For a stream of which nothing is read any more; one that is read finds out by that. Cancel safe.
    pub async fn wait_error(&self) {
        if self.io.ready(Interest::ERROR).await.is_err() {
            // The runtime ends, and this future with it.
            std::future::pending::<()>().await;
        }
    }

    /// Sends FIN. Idempotent.
    pub fn shutdown_write(&mut self) -> Write {
        if self.write_ended {
            return Write::Done(0);
        }
        self.write_ended = true;
        match SockRef::from(&self.io).shutdown(Shutdown::Write) {
            Ok(()) => Write::Done(0),
            Err(error) => {
                self.broken = true;
                // The connection is gone already.
                if error.kind() == io::ErrorKind::NotConnected {
                    return Write::Failed(StreamError::Reset);
                }
                Write::Failed(error.into())
            }
        }
    }

    /// Closes with RST.
    pub fn reset(self) {
        self.reset_on_drop();
    }

    /// Makes a later drop close with RST.
    pub fn reset_on_drop(&self) {
        // Can only fail on something that is no socket.
        let _ = SockRef::from(&self.io).set_linger(Some(Duration::ZERO));
    }

    /// The error that the socket holds, if any (`SO_ERROR`), which is cleared by asking, but remembered here.
    pub fn take_error(&mut self) -> Option<StreamError> {
        let error = match SockRef::from(&self.io).take_error() {
            Ok(error) => error?,
            Err(error) => error,
        };
        self.broken = true;
        Some(error.into())
    }

    /// Applies options.
    ///
    /// # Errors
    /// The kernel refuses a value.
    pub fn set_options(&self, options: &TcpOptions) -> io::Result<()> {
        options.apply(&SockRef::from(&self.io))
    }

    /// The peer's address; an IPv4 peer of a dual-stack socket appears as IPv4.
    ///
    /// # Errors
    /// The connection is already gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.io.peer_addr().map(crate::socket::unmapped)
    }

    /// Our own address.
    ///
    /// # Errors
    /// The connection is already gone.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr().map(crate::socket::unmapped)
    }

    /// Gives the socket back.
    #[must_use]
    pub fn into_inner(self) -> TcpStream {
        self.io
    }
}

impl AsFd for PlainStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

impl AsRawFd for PlainStream {
    fn as_raw_fd(&self) -> RawFd {
        self.io.as_raw_fd()
    }
}

fn retry_interrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
