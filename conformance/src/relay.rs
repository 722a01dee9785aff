//! A relay in user space between TCP peers, which can be told to behave like a long, a broken or a silent line.
//!
//! Each direction has a delay and carries at most a given number of bytes at a time, as a line does: when the far end does not take
//! them, the near end cannot write. All connections of a relay run on a thread of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// Bytes that are read at once.
const CHUNK: usize = 256 * 1024;

/// How a line behaves.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Delay from who connects to the target.
    pub forward: Duration,
    /// Delay from the target to who connects.
    pub back: Duration,
    /// Bytes on the way in each direction of each connection, at most. Default 64 MiB: what 100 ms hold at 640 MB/s.
    pub capacity: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { forward: Duration::ZERO, back: Duration::ZERO, capacity: 64 * 1024 * 1024 }
    }
}

impl Line {
    /// With the same delay in both directions.
    pub fn delayed(delay: Duration) -> Self {
        Self { forward: delay, back: delay, ..Self::default() }
    }
}

/// A running relay. Dropping it ends it and all its connections.
#[derive(Debug)]
pub struct Relay {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    state: Arc<watch::Sender<State>>,
    open: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

/// What its connections are to do.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    paused: bool,
    /// New connections are reset.
    refusing: bool,
    stopped: bool,
    /// Counts up when connections are to be closed, and when they are to be reset.
    closings: u64,
    resets: u64,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Closed,
    Reset,
}

impl Relay {
    /// To a port of 127.0.0.1.
    ///
    /// # Panics
    /// When there is no socket for it.
    pub fn start(target: u16, line: Line) -> Self {
        Self::listen(0, SocketAddr::from((Ipv4Addr::LOCALHOST, target)), line)
    }

    /// From a port of 127.0.0.1 (0: any that is free) to a target.
    ///
    /// # Panics
    /// When the port is taken.
    pub fn listen(port: u16, target: SocketAddr, line: Line) -> Self {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, port)).expect("a port for the relay");
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(watch::Sender::new(State::default()));
        let open = Arc::new(AtomicUsize::new(0));
        let (watched, count) = (state.subscribe(), Arc::clone(&open));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(accept(listener, watched, count, target, line));
        });
        Self { port, state, open, thread: Some(thread) }
    }

    /// Nothing passes any more, ends of connections included: a line that went silent.
    pub fn pause(&self) {
        self.state.send_modify(|state| state.paused = true);
    }

    /// Everything passes again, what waited first.
    pub fn resume(&self) {
        self.state.send_modify(|state| state.paused = false);
    }

    /// Closes all connections, as if both peers had.
    pub fn close(&self) {
        self.state.send_modify(|state| state.closings += 1);
    }

    /// Resets all connections.
    pub fn reset(&self) {
        self.state.send_modify(|state| state.resets += 1);
    }

    /// Resets all connections, and those that are made from now on until [`restore`](Self::restore).
    pub fn cut(&self) {
        self.state.send_modify(|state| {
            state.refusing = true;
            state.resets += 1;
        });
    }

    /// Takes connections again.
    pub fn restore(&self) {
        self.state.send_modify(|state| state.refusing = false);
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.state.send_modify(|state| state.stopped = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(
    listener: StdListener,
    mut state: watch::Receiver<State>,
    open: Arc<AtomicUsize>,
    target: SocketAddr,
    line: Line,
) {
    let listener = TcpListener::from_std(listener).unwrap();
    let mut ending = state.clone();
    loop {
        let near = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = ending.wait_for(|state| state.stopped) => return,
        };
        let Ok((near, _)) = near else { continue };
        if state.wait_for(|state| state.stopped || !state.paused).await.is_err() {
            return;
        }
        if state.borrow().refusing {
            end(near, Ending::Reset);
            continue;
        }
        let (state, open) = (state.clone(), Arc::clone(&open));
        tokio::spawn(async move {
            open.fetch_add(1, Ordering::Relaxed);
            connection(near, target, state, line).await;
            open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

fn end(socket: TcpStream, ending: Ending) {
    if ending == Ending::Reset {
        let _ = rustix::net::sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
    }
    drop(socket);
}

async fn connection(mut near: TcpStream, target: SocketAddr, mut state: watch::Receiver<State>, line: Line) {
    let Ok(mut far) = TcpStream::connect(target).await else { return end(near, Ending::Reset) };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let begun = *state.borrow_and_update();
    let ending = {
        let ((near_in, near_out), (far_in, far_out)) = (near.split(), far.split());
        let forward = carry(near_in, far_out, state.clone(), line.forward, line.capacity);
        let back = carry(far_in, near_out, state.clone(), line.back, line.capacity);
        let told = state.wait_for(|now| now.stopped || now.closings > begun.closings || now.resets > begun.resets);
        tokio::select! {
            both = async { tokio::try_join!(forward, back) } => if both.is_ok() { Ending::Closed } else { Ending::Reset },
            told = told => if told.is_ok_and(|now| now.resets > begun.resets) { Ending::Reset } else { Ending::Closed },
        }
    };
    end(near, ending);
    end(far, ending);
}

/// What is on the way.
#[derive(Debug)]
enum Part {
    Data(Vec<u8>),
    End,
    Reset,
}

/// One direction of a connection. Fails when it was reset.
async fn carry(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    state: watch::Receiver<State>,
    delay: Duration,
    capacity: usize,
) -> Result<(), ()> {
    let room = Semaphore::new(capacity.max(CHUNK));
    let (parts, mut due) = mpsc::unbounded_channel();
    let (mut gate, mut door) = (state.clone(), state);
    let read = async {
        let mut block = vec![0; CHUNK];
        loop {
            let part = match from.read(&mut block).await {
                Ok(0) => Part::End,
                Ok(n) => {
                    room.acquire_many(n as u32).await.map_err(drop)?.forget();
                    Part::Data(block[..n].to_vec())
                }
                Err(_) => Part::Reset,
            };
            let last = !matches!(part, Part::Data(_));
            pass(&mut gate).await?;
            parts.send((Instant::now() + delay, part)).map_err(drop)?;
            if last {
                return Ok(());
            }
        }
    };
    let write = async {
        while let Some((at, part)) = due.recv().await {
            if !delay.is_zero() {
                sleep_until(at).await;
            }
            pass(&mut door).await?;
            match part {
                Part::Data(bytes) => {
                    to.write_all(&bytes).await.map_err(drop)?;
                    room.add_permits(bytes.len());
                }
                Part::End => return to.shutdown().await.map_err(drop),
                Part::Reset => return Err(()),
            }
        }
        Ok(())
    };
    tokio::try_join!(read, write).map(|_| ())
}

/// Waits until something may pass.
async fn pass(state: &mut watch::Receiver<State>) -> Result<(), ()> {
    state.wait_for(|state| !state.paused).await.map(drop).map_err(drop)
}
