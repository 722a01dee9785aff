//! One AMQP connection on a blocking thread: a non-blocking socket, an engine, and `poll` in between.

use std::io::{ErrorKind, IoSlice, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use amqp_proto::Str;
use amqp_proto::connection::{ClientSasl, Config, Connection, Event, ServerSasl, Side};
use amqp_proto::sasl::SaslCode;
use anyhow::{Result, bail};
use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// How much one read takes.
const READ: usize = 256 * 1024;

/// Output beyond this waits for the socket before more is made.
pub(crate) const OUTPUT: usize = 128 * 1024;

/// A connection and its socket.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) engine: Connection,
    socket: TcpStream,
    block: Vec<u8>,
    rest: Vec<u8>,
    blocked: bool,
}

impl Peer {
    /// Connects to a router, without SASL.
    pub(crate) fn connect(port: u16, name: &str) -> Result<Self> {
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        Self::new(socket, Connection::new(config(name), Side::Client(ClientSasl::None), Instant::now()))
    }

    /// Waits for the generator's other side.
    pub(crate) fn accept(listener: &TcpListener, name: &str) -> Result<Self> {
        let (socket, _) = listener.accept()?;
        let sasl = ServerSasl { allow_bare: true, ..ServerSasl::default() };
        Self::new(socket, Connection::new(config(name), Side::Server(sasl), Instant::now()))
    }

    fn new(socket: TcpStream, engine: Connection) -> Result<Self> {
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        Ok(Self { engine, socket, block: Vec::new(), rest: Vec::new(), blocked: false })
    }

    /// Reads what is there and hands each event to `on`. False if nothing was there. An end of the connection is an error
    /// unless the engine is closed.
    pub(crate) fn read(&mut self, mut on: impl FnMut(&mut Connection, Event, &Bytes) -> Result<()>) -> Result<bool> {
        // The vector comes back from `Bytes` below, so this allocates once.
        let mut buffer = std::mem::take(&mut self.block);
        buffer.clear();
        buffer.extend_from_slice(&self.rest);
        buffer.reserve(READ);
        match rustix::io::read(&self.socket, spare_capacity(&mut buffer)) {
            Ok(0) if self.engine.is_closed() => return Ok(false),
            Ok(0) => bail!("the peer hung up"),
            Ok(_) => self.rest.clear(),
            Err(Errno::AGAIN) => {
                self.block = buffer;
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        }
        let block = Bytes::from(buffer);
        let now = Instant::now();
        let mut pos = 0;
        while let Some(event) = self.engine.handle_input(&block, &mut pos, now) {
            match event {
                Event::Sasl(_) => self.engine.sasl_outcome(SaslCode::Ok),
                Event::Opened(_) => self.engine.open(),
                Event::Closed(closed) => {
                    if let Some(error) = closed.error {
                        bail!("the connection was closed: {error:?}");
                    }
                    return Ok(true);
                }
                Event::Detached { error: Some(error), .. } => bail!("the link was detached: {error:?}"),
                event => on(&mut self.engine, event, &block)?,
            }
        }
        self.rest.extend_from_slice(&block[pos..]);
        self.block = block.into();
        Ok(true)
    }

    /// Writes what waits, as far as the socket takes it.
    pub(crate) fn write(&mut self) -> Result<()> {
        self.engine.flush();
        self.blocked = false;
        while !self.engine.output().is_empty() {
            let mut slices = [IoSlice::new(&[]); 64];
            let filled = self.engine.output().chunks(&mut slices);
            match self.socket.write_vectored(&slices[..filled]) {
                Ok(n) => self.engine.output_mut().advance(n),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.blocked = true;
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Gives back the read buffer, for peers that will be idle.
    pub(crate) fn shrink(&mut self) {
        self.block = Vec::new();
    }

    /// True if nothing waits to be written.
    pub(crate) fn is_written(&self) -> bool {
        self.engine.output().is_empty()
    }

    /// Waits until the socket can be read (or written, if that is wanted), at most `limit`.
    pub(crate) fn wait(&self, limit: Duration) -> Result<()> {
        let flags = if self.blocked { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let mut fds = [PollFd::new(&self.socket, flags)];
        let limit = Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(limit.subsec_nanos()),
        };
        match poll(&mut fds, Some(&limit)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Closes in order, waiting at most two seconds for the answer.
    pub(crate) fn close(mut self) -> Result<()> {
        self.engine.close(None);
        let start = Instant::now();
        while !self.engine.is_closed() && start.elapsed() < Duration::from_secs(2) {
            self.write()?;
            if !self.read(|_, _, _| Ok(()))? {
                self.wait(Duration::from_millis(50))?;
            }
        }
        Ok(())
    }
}

fn config(name: &str) -> Config {
    Config { container_id: Str::from(name), idle_timeout: None, ..Config::default() }
}
