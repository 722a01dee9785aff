//! A client's connection to a router, for all commands that are clients: one engine, one socket, one thread.

pub(crate) mod body;
pub(crate) mod connect;
pub(crate) mod entities;
pub(crate) mod format;
pub(crate) mod input;
pub(crate) mod management;
pub(crate) mod network;
pub(crate) mod places;
pub(crate) mod report;
pub(crate) mod show;
pub(crate) mod table;
pub(crate) mod url;
pub(crate) mod writer;

use std::future::poll_fn;
use std::io::IoSlice;
use std::time::{Duration, Instant};

use amqp_proto::connection::{Closed, Connection, Event, Initiator};
use anyhow::{Result, anyhow, bail};
use bytes::{Bytes, BytesMut};
use tokio::signal::unix::{Signal, SignalKind, signal};
use transport::stream::{Read, Stream, Write, poll_ready};

/// How much one read takes at most.
const READ: usize = 256 * 1024;
/// A read block with less room than this is replaced.
const ROOM: usize = 16 * 1024;
/// Output beyond this waits for the socket before more is made.
pub(crate) const OUTPUT: usize = 256 * 1024;
/// How long the router may take to answer a close.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);
/// Slices of one write.
const SLICES: usize = 64;

/// An open connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) engine: Connection,
    stream: Stream,
    /// The read block, beginning with an incomplete frame.
    input: BytesMut,
    /// The socket takes no more at the moment.
    blocked: bool,
    /// Writing failed. The reason is told when everything was read that the router said before.
    broken: Option<String>,
    /// How messages call the router.
    router: String,
}

impl Client {
    fn new(engine: Connection, stream: Stream, router: String) -> Self {
        Self { engine, stream, input: BytesMut::new(), blocked: false, broken: None, router }
    }

    /// Reads once if something is there, hands each event to `on`, and does what time asks for.
    ///
    /// # Errors
    /// The connection has ended, however it did: unless [`Client::close`] is under way, that is never expected. Errors of `on`.
    pub(crate) fn read(&mut self, mut on: impl FnMut(&mut Connection, Event, &Bytes) -> Result<()>) -> Result<()> {
        if self.input.capacity() - self.input.len() < ROOM {
            self.input.reserve(READ);
        }
        let outcome = self.stream.try_read(&mut self.input);
        let now = Instant::now();
        let block = match outcome {
            Read::Data(_) => self.input.split().freeze(),
            // What is left is known to be incomplete; but commands may have caused events.
            Read::Blocked | Read::Eof | Read::Failed(_) => Bytes::new(),
        };
        let mut pos = 0;
        while let Some(event) = self.engine.handle_input(&block, &mut pos, now) {
            self.dispatch(event, &block, &mut on)?;
        }
        self.input.extend_from_slice(block.get(pos..).unwrap_or_default());
        match outcome {
            Read::Data(_) => {}
            Read::Eof => {
                if let Some(event) = self.engine.handle_eof() {
                    self.dispatch(event, &block, &mut on)?;
                }
                bail!("{} ended the connection without a word", self.router);
            }
            Read::Failed(error) => bail!("the connection to {} was lost: {error}", self.router),
            Read::Blocked => {
                if let Some(error) = self.broken.take() {
                    bail!("the connection to {} was lost: {error}", self.router);
                }
            }
        }
        if self.engine.poll_timeout().is_some_and(|at| at <= now)
            && let Some(event) = self.engine.handle_timeout(now)
        {
            self.dispatch(event, &block, &mut on)?;
        }
        Ok(())
    }

    fn dispatch(
        &mut self,
        event: Event,
        block: &Bytes,
        on: &mut impl FnMut(&mut Connection, Event, &Bytes) -> Result<()>,
    ) -> Result<()> {
        match event {
            Event::Closed(closed) => Err(self.closed(&closed)),
            Event::SessionEnded { error, .. } => match error {
                Some(error) => Err(anyhow!("{} ended the session: {error}", self.router)),
                None => Err(anyhow!("{} ended the session", self.router)),
            },
            event => on(&mut self.engine, event, block),
        }
    }

    fn closed(&self, closed: &Closed) -> anyhow::Error {
        let router = &self.router;
        match (closed.by, &closed.error) {
            (Initiator::Peer, Some(error)) => anyhow!("{router} closed the connection: {error}"),
            (Initiator::Peer, None) => anyhow!("{router} closed the connection"),
            (Initiator::Local, Some(error)) => anyhow!("the connection to {router} had to be closed: {error}"),
            (Initiator::Local, None) => anyhow!("the connection to {router} is closed"),
        }
    }

    /// Writes what waits, as far as the socket takes it.
    pub(crate) fn write(&mut self) {
        self.engine.flush();
        self.blocked = false;
        while self.broken.is_none() {
            let outcome = if self.engine.output().is_empty() {
                if !self.stream.has_pending_output() {
                    return;
                }
                self.stream.try_flush()
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES];
                let filled = self.engine.output().chunks(&mut slices);
                let outcome = self.stream.try_write_vectored(slices.get(..filled).unwrap_or_default());
                if let Write::Done(n) = outcome {
                    self.engine.output_mut().advance(n);
                }
                outcome
            };
            match outcome {
                Write::Done(_) => {}
                Write::Blocked => {
                    self.blocked = true;
                    return;
                }
                Write::Failed(error) => self.broken = Some(error.to_string()),
            }
        }
    }

    /// True if everything was given to the socket.
    pub(crate) fn is_written(&self) -> bool {
        self.engine.output().is_empty() && !self.stream.has_pending_output()
    }

    /// Waits until [`Client::read`] or [`Client::write`] has something to do. Can be dropped at any time.
    pub(crate) async fn ready(&mut self) {
        if self.broken.is_some() {
            return;
        }
        let want_write = self.blocked || self.stream.has_pending_output();
        let timer = self.engine.poll_timeout();
        let stream = &mut self.stream;
        let ready = poll_fn(|cx| poll_ready(stream, cx, want_write));
        match timer {
            // Which of the two it was does not matter: both are looked at.
            Some(at) => drop(tokio::time::timeout_at(at.into(), ready).await),
            None => drop(ready.await),
        }
    }

    /// Closes in order.
    ///
    /// # Errors
    /// The router closed with an error, or did not answer.
    pub(crate) async fn close(mut self) -> Result<()> {
        self.engine.close(None);
        let limit = Instant::now() + CLOSE_LIMIT;
        let outcome = loop {
            self.write();
            let mut error = None;
            // The end of the connection is what is waited for.
            let read = self.read(|_, event, _| {
                if let Event::Detached { error: Some(why), .. } = event {
                    error.get_or_insert(why);
                }
                Ok(())
            });
            if self.engine.is_closed() {
                break Ok(());
            }
            if let Err(error) = read {
                break Err(error);
            }
            if tokio::time::timeout_at(limit.into(), self.ready()).await.is_err() {
                break Err(anyhow!("{} did not confirm the end of the connection", self.router));
            }
        };
        self.write();
        // Said to a router that has closed already.
        let _ = tokio::time::timeout(Duration::from_millis(200), self.stream.shutdown_write()).await;
        outcome
    }
}

/// SIGINT and SIGTERM: ask to end in order.
#[derive(Debug)]
pub(crate) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    /// From now on these signals no longer end the process.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next. Can be dropped at any time.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Sleeps until then; without an instant, for ever.
pub(crate) async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Runs a command's work on a runtime of its own.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
