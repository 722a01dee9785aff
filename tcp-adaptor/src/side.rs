//! A socket, plain or TLS, as a side of a relay.

use std::io::{IoSlice, Read as _};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use socket2::SockRef;
use transport::{Pipe, Read, Stream, StreamError, Write};

use crate::relay::Side;

/// What is read at once of a connection that broke. Rare, so it need not be much.
const LEFT: usize = 64 * 1024;

impl Side for Stream {
    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        // TLS takes more only when its ciphertext has left, so that what it holds stays bounded.
        ready!(self.poll_flush(cx))?;
        self.poll_write_ready(cx).map(Ok)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, block: &mut BytesMut) -> Poll<Result<usize, StreamError>> {
        loop {
            ready!(self.poll_read_ready(cx));
            match self.try_read(block) {
                Read::Data(n) => return Poll::Ready(Ok(n)),
                Read::Eof => return Poll::Ready(Ok(0)),
                Read::Failed(error) => return Poll::Ready(Err(error)),
                Read::Blocked => {
                    // Reading may make TLS answer (a key update); nobody else may be about to write.
                    if self.has_pending_output()
                        && let Write::Failed(error) = self.try_flush()
                    {
                        return Poll::Ready(Err(error));
                    }
                }
            }
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, StreamError>> {
        loop {
            match self.try_write_vectored(&[IoSlice::new(data)]) {
                Write::Done(n) => return Poll::Ready(Ok(n)),
                Write::Failed(error) => return Poll::Ready(Err(error)),
                Write::Blocked => ready!(self.poll_write_ready(cx)),
            }
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        while self.has_pending_output() {
            match self.try_flush() {
                Write::Done(_) => {}
                Write::Failed(error) => return Poll::Ready(Err(error)),
                Write::Blocked => ready!(self.poll_write_ready(cx)),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_end(&mut self, cx: &mut Context<'_>, last: bool) -> Poll<Result<(), StreamError>> {
        if last && matches!(self, Self::Plain(_)) {
            // The socket is closed at once, which sends the same FIN. Nothing is left unread in it: it has ended itself.
            return Poll::Ready(Ok(()));
        }
        loop {
            match self.try_shutdown_write() {
                Write::Done(_) => return Poll::Ready(Ok(())),
                Write::Failed(error) => return Poll::Ready(Err(error)),
                Write::Blocked => ready!(self.poll_write_ready(cx)),
            }
        }
    }

    fn read_left(&mut self, cx: &mut Context<'_>, block: &mut BytesMut) -> usize {
        let Self::Plain(socket) = self else {
            return match self.poll_read(cx, block) {
                Poll::Ready(Ok(n)) => n,
                _ => 0,
            };
        };
        // A write may learn of a reset before the runtime has heard of what came with it.
        block.resize(LEFT, 0);
        let n = (&*SockRef::from(&*socket)).read(block).unwrap_or(0);
        block.truncate(n);
        n
    }

    fn splices(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    fn poll_read_pipe(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<Result<Option<usize>, StreamError>> {
        let Self::Plain(socket) = self else {
            return Poll::Ready(Ok(None));
        };
        loop {
            ready!(socket.poll_read_ready(cx));
            match socket.try_read_to_pipe(pipe) {
                None => return Poll::Ready(Ok(None)),
                Some(Read::Data(n)) => return Poll::Ready(Ok(Some(n))),
                Some(Read::Eof) => return Poll::Ready(Ok(Some(0))),
                Some(Read::Failed(error)) => return Poll::Ready(Err(error)),
                Some(Read::Blocked) => {}
            }
        }
    }

    fn poll_write_pipe(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<Result<usize, StreamError>> {
        let Self::Plain(socket) = self else {
            // Nothing is read into a pipe for such a side.
            return Poll::Ready(Err(StreamError::Reset));
        };
        loop {
            match socket.try_write_from_pipe(pipe) {
                Write::Done(n) => return Poll::Ready(Ok(n)),
                Write::Failed(error) => return Poll::Ready(Err(error)),
                Write::Blocked => ready!(socket.poll_write_ready(cx)),
            }
        }
    }
}
