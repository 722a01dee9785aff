//! Moves the bytes of one flow between its two sides.
//!
//! The relay knows nothing of sockets, addresses or timers: it is polled with two [`Side`]s and a read block that it borrows for
//! the duration of the poll. What was read is written to the other side at once; only what that side does not take is kept, and
//! until it is gone nothing more is read in that direction. So an idle flow holds no buffer, and a stalled one holds at most
//! one block per direction.

use std::cell::{Cell, OnceCell};
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes, BytesMut};
use http_observer::Side as Speaker;
use thiserror::Error;
use transport::block::ReadBlock;
use transport::{Pipe, StreamError};

use crate::tap::Tap;

#[cfg(test)]
mod tests;

/// Bytes a direction may move in one poll before it lets the other tasks of the worker run.
///
/// One full read block (docs/ARCHITECTURE.md, Threads).
const TURN: usize = transport::block::READ_BLOCK;

/// A remainder up to this size is copied into a buffer of its own; a larger one keeps the block, and the worker reads into another.
const COPY_REST: usize = 32 * 1024;

/// A read of so many bytes makes a direction a bulk transfer, whose bytes move through a pipe from then on.
const BULK_FROM: usize = 128 * 1024;
/// One of fewer ends that.
const BULK_UNTIL: usize = 32 * 1024;

/// One end of a flow, as the relay sees it.
pub(crate) trait Side {
    /// Is there room to write? A direction reads nothing that it could not pass on.
    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>>;
    /// Reads once into the spare room of `block`; 0 is the peer's end of stream, and never anything else.
    fn poll_read(&mut self, cx: &mut Context<'_>, block: &mut BytesMut) -> Poll<Result<usize, StreamError>>;
    /// Writes a part of `data`, which is not empty.
    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, StreamError>>;
    /// Hands what the side itself still holds (TLS records) to the kernel.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>>;
    /// Ends our half of the stream: the peer reads an end after everything that was written. `last`: it has ended its half before,
    /// and the side is dropped next.
    fn poll_end(&mut self, cx: &mut Context<'_>, last: bool) -> Poll<Result<(), StreamError>>;
    /// Reads once what arrived before the connection broke, whether or not an event has told of it. 0: nothing more.
    fn read_left(&mut self, cx: &mut Context<'_>, block: &mut BytesMut) -> usize;
    /// Can it move bytes through a pipe, without copying them?
    fn splices(&self) -> bool {
        false
    }
    /// As [`poll_read`](Self::poll_read), into an empty pipe. `None`: that does not work after all.
    fn poll_read_pipe(&mut self, _: &mut Context<'_>, _: &mut Pipe) -> Poll<Result<Option<usize>, StreamError>> {
        Poll::Ready(Ok(None))
    }
    /// Writes a part of what the pipe holds, which is not nothing.
    fn poll_write_pipe(&mut self, _: &mut Context<'_>, _: &mut Pipe) -> Poll<Result<usize, StreamError>> {
        Poll::Ready(Err(nothing_taken()))
    }
}

/// Why a flow could not complete. Both sides are then reset.
#[derive(Debug, Error)]
pub(crate) enum Broken {
    /// Reading from or writing to the client failed.
    #[error("client side: {0}")]
    Client(#[source] StreamError),
    /// Reading from or writing to the server failed.
    #[error("server side: {0}")]
    Server(#[source] StreamError),
}

/// What one flow has moved and how far it is, readable while it runs.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Bytes read from the source of this direction.
    pub(crate) read: Cell<u64>,
    /// Bytes that the destination took.
    pub(crate) written: Cell<u64>,
    /// The source has ended and the destination was told.
    pub(crate) ended: Cell<bool>,
    /// When the first byte was read.
    pub(crate) first: Cell<Option<Instant>>,
    /// Who reads along, and whose bytes these are.
    tap: OnceCell<(Rc<Tap>, Speaker)>,
}

impl Meter {
    /// These bytes were read.
    pub(crate) fn saw(&self, bytes: &[u8]) {
        self.add_read(bytes.len());
        self.show(bytes);
    }

    /// Lets whoever reads along see bytes that are counted elsewhere.
    pub(crate) fn show(&self, bytes: &[u8]) {
        if let Some((tap, speaker)) = self.tap.get() {
            tap.saw(*speaker, bytes);
        }
    }

    /// Whether a pipe's fill may go by without being seen.
    fn may_pass_unseen(&self) -> bool {
        self.tap.get().is_none_or(|(tap, speaker)| tap.unseen(*speaker) >= Pipe::SIZE as u64)
    }

    /// So many bytes went by unseen.
    fn passed_unseen(&self, n: usize) {
        self.add_read(n);
        if let Some((tap, speaker)) = self.tap.get() {
            tap.skip(*speaker, n);
        }
    }

    /// The source has ended, and the destination was told.
    pub(crate) fn end(&self) {
        self.ended.set(true);
        if let Some((tap, speaker)) = self.tap.get() {
            tap.end(*speaker);
        }
    }

    pub(crate) fn add_read(&self, n: usize) {
        if self.first.get().is_none() && n > 0 {
            self.first.set(Some(Instant::now()));
        }
        self.read.set(self.read.get().wrapping_add(n as u64));
    }
    pub(crate) fn add_written(&self, n: usize) {
        self.written.set(self.written.get().wrapping_add(n as u64));
    }
}

/// Both meters of a flow.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    /// Client to server.
    pub(crate) up: Meter,
    /// Server to client.
    pub(crate) down: Meter,
}

impl Meters {
    /// Somebody reads along from now on, which is before the first byte.
    pub(crate) fn observe(&self, tap: &Rc<Tap>) {
        // Nobody asks for it twice.
        let _ = self.up.tap.set((Rc::clone(tap), Speaker::Client));
        let _ = self.down.tap.set((Rc::clone(tap), Speaker::Server));
    }

    /// Who does.
    pub(crate) fn tap(&self) -> Option<&Rc<Tap>> {
        self.up.tap.get().map(|(tap, _)| tap)
    }

    /// From the first byte of the client to the first of the server, as they came by here; none as long as one of them has said nothing, or if the
    /// server began.
    pub(crate) fn latency(&self) -> Option<Duration> {
        self.down.first.get()?.checked_duration_since(self.up.first.get()?)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HalfState {
    Open,
    /// The source ended; the destination has yet to be told.
    Ending,
    Ended,
}

/// One direction.
#[derive(Debug)]
struct Half {
    /// What the destination did not take. Owns no memory when there is nothing.
    rest: Bytes,
    /// The same of a bulk transfer. Belongs to the worker's pool while it is empty.
    pipe: Option<Pipe>,
    /// Bytes come in large pieces.
    bulk: bool,
    state: HalfState,
    /// The destination took less than there is: the source is not being read.
    stalled: bool,
}

/// Which of the two calls failed, so that the caller knows which side is to blame.
enum HalfError {
    Source(StreamError),
    Destination(StreamError),
}

/// See [`Relay::unread`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unread {
    /// The client's socket is not being read.
    pub(crate) client: bool,
    /// The server's socket is not being read.
    pub(crate) server: bool,
    /// At least one because the other side takes nothing, not because it has ended.
    pub(crate) stalled: bool,
}

/// The state of a flow's bytes.
#[derive(Debug)]
pub(crate) struct Relay {
    up: Half,
    down: Half,
}

impl Relay {
    /// A relay that first passes `early`, bytes of the client that were read before the server was connected.
    pub(crate) const fn new(early: Bytes) -> Self {
        Self { up: Half::new(early), down: Half::new(Bytes::new()) }
    }

    /// Which sides are not being read now: the client because the server takes nothing or because it has ended, and the reverse.
    ///
    /// Their loss goes unnoticed unless somebody else watches for it.
    pub(crate) fn unread(&self) -> Unread {
        Unread {
            client: self.up.stalled || self.up.state != HalfState::Open,
            server: self.down.stalled || self.down.state != HalfState::Open,
            stalled: self.up.stalled || self.down.stalled,
        }
    }

    /// Moves what can be moved. Ready when both directions have ended, or when the flow broke.
    pub(crate) fn poll<C: Side, S: Side>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut C,
        server: &mut S,
        block: &mut ReadBlock,
        meters: &Meters,
    ) -> Poll<Result<(), Broken>> {
        let up = self.up.poll(cx, client, server, block, &meters.up, self.down.ended());
        match up {
            Poll::Ready(Err(HalfError::Source(error))) => {
                return Poll::Ready(Err(Broken::Client(error)));
            }
            Poll::Ready(Err(HalfError::Destination(error))) => {
                // What the server said before it went away still belongs to the client, as on a direct connection.
                self.down.last_words(cx, server, client, block, &meters.down);
                return Poll::Ready(Err(Broken::Server(error)));
            }
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        let down = self.down.poll(cx, server, client, block, &meters.down, self.up.ended());
        match down {
            Poll::Ready(Err(HalfError::Source(error))) => {
                return Poll::Ready(Err(Broken::Server(error)));
            }
            Poll::Ready(Err(HalfError::Destination(error))) => {
                self.up.last_words(cx, client, server, block, &meters.up);
                return Poll::Ready(Err(Broken::Client(error)));
            }
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        match (up, down) {
            (Poll::Ready(_), Poll::Ready(_)) => Poll::Ready(Ok(())),
            _ => Poll::Pending,
        }
    }
}

impl Half {
    fn ended(&self) -> bool {
        self.state == HalfState::Ended
    }

    const fn new(rest: Bytes) -> Self {
        Self { rest, pipe: None, bulk: false, state: HalfState::Open, stalled: false }
    }

    fn poll<A: Side, B: Side>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut A,
        destination: &mut B,
        block: &mut ReadBlock,
        meter: &Meter,
        last: bool,
    ) -> Poll<Result<(), HalfError>> {
        let mut moved = 0;
        self.stalled = true;
        loop {
            ready!(self.poll_rest(cx, destination, meter))?;
            match self.state {
                HalfState::Ended => {
                    self.stalled = false;
                    return Poll::Ready(Ok(()));
                }
                HalfState::Ending => {
                    ready!(destination.poll_end(cx, last)).map_err(HalfError::Destination)?;
                    self.state = HalfState::Ended;
                    self.stalled = false;
                    meter.end();
                    return Poll::Ready(Ok(()));
                }
                HalfState::Open => {}
            }
            if moved >= TURN {
                self.stalled = false;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            ready!(destination.poll_writable(cx)).map_err(HalfError::Destination)?;
            if self.bulk && source.splices() && destination.splices() && meter.may_pass_unseen() {
                match self.poll_pipe(cx, source, meter) {
                    Poll::Ready(Ok(Some(n))) => {
                        moved += n;
                        continue;
                    }
                    // No pipe to be had: copy, until the next large read asks again.
                    Poll::Ready(Ok(None)) => self.bulk = false,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(HalfError::Source(error))),
                    Poll::Pending => {
                        self.stalled = false;
                        return Poll::Pending;
                    }
                }
            }
            let buffer = block.writable(&[]);
            let n = match source.poll_read(cx, buffer) {
                Poll::Ready(Ok(n)) => n,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(HalfError::Source(error))),
                Poll::Pending => {
                    self.stalled = false;
                    // Nothing follows at once, so what the destination collected has to leave now.
                    ready!(destination.poll_flush(cx)).map_err(HalfError::Destination)?;
                    return Poll::Pending;
                }
            };
            if n == 0 {
                self.state = HalfState::Ending;
                continue;
            }
            moved += n;
            meter.saw(buffer);
            self.bulk = n >= BULK_FROM;
            let mut taken = 0;
            while let Some(left) = buffer.get(taken..).filter(|left| !left.is_empty()) {
                match destination.poll_write(cx, left) {
                    Poll::Ready(Ok(0)) => {
                        return Poll::Ready(Err(HalfError::Destination(nothing_taken())));
                    }
                    Poll::Ready(Ok(m)) => {
                        taken += m;
                        meter.add_written(m);
                    }
                    Poll::Ready(Err(error)) => {
                        return Poll::Ready(Err(HalfError::Destination(error)));
                    }
                    Poll::Pending => {
                        self.rest = if left.len() <= COPY_REST {
                            Bytes::copy_from_slice(left)
                        } else {
                            block.take().split_off(taken)
                        };
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    /// Writes what was left over, and gives its memory back.
    fn poll_rest<B: Side>(
        &mut self,
        cx: &mut Context<'_>,
        destination: &mut B,
        meter: &Meter,
    ) -> Poll<Result<(), HalfError>> {
        if !self.rest.is_empty() {
            while !self.rest.is_empty() {
                match ready!(destination.poll_write(cx, &self.rest)) {
                    Ok(0) => return Poll::Ready(Err(HalfError::Destination(nothing_taken()))),
                    Ok(n) => {
                        self.rest.advance(n);
                        meter.add_written(n);
                    }
                    Err(error) => return Poll::Ready(Err(HalfError::Destination(error))),
                }
            }
            self.rest = Bytes::new();
        }
        if let Some(pipe) = &mut self.pipe {
            while pipe.held() > 0 {
                match ready!(destination.poll_write_pipe(cx, pipe)) {
                    Ok(0) => return Poll::Ready(Err(HalfError::Destination(nothing_taken()))),
                    Ok(n) => meter.add_written(n),
                    Err(error) => return Poll::Ready(Err(HalfError::Destination(error))),
                }
            }
            if let Some(pipe) = self.pipe.take() {
                pipe.put();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Fills a pipe from the source, for [`poll_rest`](Self::poll_rest) to empty. `None`: there is no pipe.
    fn poll_pipe<A: Side>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut A,
        meter: &Meter,
    ) -> Poll<Result<Option<usize>, StreamError>> {
        let Some(mut pipe) = Pipe::take() else {
            return Poll::Ready(Ok(None));
        };
        match source.poll_read_pipe(cx, &mut pipe) {
            Poll::Ready(Ok(Some(n))) => {
                self.bulk = n >= BULK_UNTIL;
                if n == 0 {
                    self.state = HalfState::Ending;
                }
                meter.passed_unseen(n);
                self.pipe = Some(pipe);
                Poll::Ready(Ok(Some(n)))
            }
            other => {
                pipe.put();
                other
            }
        }
    }

    /// The source cannot be written to any more: passes on what it had sent before, as far as that is possible without waiting.
    ///
    /// Never ends the destination: the kernel reports a plain end once a write has consumed the socket's error.
    fn last_words<A: Side, B: Side>(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut A,
        destination: &mut B,
        block: &mut ReadBlock,
        meter: &Meter,
    ) {
        if self.state != HalfState::Open || !matches!(self.poll_rest(cx, destination, meter), Poll::Ready(Ok(()))) {
            return;
        }
        let mut moved = 0;
        while moved < TURN {
            let buffer = block.writable(&[]);
            let n = source.read_left(cx, buffer);
            if n == 0 {
                break;
            }
            moved += n;
            meter.saw(buffer);
            let mut left: &[u8] = buffer;
            while !left.is_empty() {
                let Poll::Ready(Ok(taken @ 1..)) = destination.poll_write(cx, left) else {
                    return;
                };
                meter.add_written(taken);
                left = left.get(taken..).unwrap_or_default();
            }
        }
        // A failing flush changes nothing: both sides are about to be reset.
        let _ = destination.poll_flush(cx);
    }
}

/// A write of something that took nothing cannot happen; it must not become an endless loop if it does.
fn nothing_taken() -> StreamError {
    StreamError::Io(io::ErrorKind::WriteZero.into())
}
