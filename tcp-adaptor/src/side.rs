//! A socket, plain or TLS, as a side of a relay.

use std::io::IoSlice;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use transport::{Read, Stream, StreamError, Write};

use crate::relay::Side;

impl Side for Stream {
    fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        // TLS takes more only when its ciphertext has left, so that what it holds stays bounded.
        ready!(self.poll_flush(cx))?;
        self.poll_write_ready(cx).map(Ok)
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        block: &mut BytesMut,
    ) -> Poll<Result<usize, StreamError>> {
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

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<Result<usize, StreamError>> {
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

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        loop {
            match self.try_shutdown_write() {
                Write::Done(_) => return Poll::Ready(Ok(())),
                Write::Failed(error) => return Poll::Ready(Err(error)),
                Write::Blocked => ready!(self.poll_write_ready(cx)),
            }
        }
    }
}
