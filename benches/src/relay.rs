//! A relay of TCP connections in this process, between programs on loopback: it delays, falls silent, or hangs up.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

/// Bytes of one read.
const CHUNK: usize = 64 * 1024;
/// Chunks on their way in one direction, at most: 256 MB, which is 5 GB/s over 50 ms.
const CHUNKS: usize = 4096;

/// What a paced line keeps beyond what is on its way.
const QUEUE: Duration = Duration::from_millis(2);

/// A listening relay. It hangs up when dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    port: u16,
    shared: Arc<Shared>,
    accepting: Option<thread::JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    target: u16,
    delay: Duration,
    /// Bytes a second in one direction of a connection.
    rate: Option<f64>,
    ended: AtomicBool,
    silent: AtomicBool,
    bytes: AtomicU64,
    /// Both sockets of every connection there was.
    sockets: Mutex<Vec<TcpStream>>,
}

impl Relay {
    /// Listens on a port of loopback and relays to another; bytes arrive later by `delay`, in both directions.
    pub(crate) fn start(target: u16, delay: Duration) -> Result<Self> {
        Self::start_at(target, delay, None)
    }

    /// The same, with no more than so many bytes a second in each direction of a connection.
    pub(crate) fn start_at(target: u16, delay: Duration, rate: Option<f64>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            target,
            delay,
            rate,
            ended: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
            sockets: Mutex::default(),
        });
        let accepting = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || accept(&listener, &shared))
        };
        Ok(Self { port, shared, accepting: Some(accepting) })
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Bytes that it has taken so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// From now on nothing passes, and nobody is told.
    pub(crate) fn fall_silent(&self) {
        self.shared.silent.store(true, Ordering::SeqCst);
    }

    /// Closes all connections in order, and takes no other.
    pub(crate) fn hang_up(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        if let Some(accepting) = self.accepting.take() {
            // Wakes it; it sees that it is over.
            let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
            let _ = accepting.join();
        }
        for socket in self.shared.sockets.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.hang_up();
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.ended.load(Ordering::SeqCst) {
            return;
        }
        let Ok(client) = client else { continue };
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, shared.target)) else { continue };
        // A connection that cannot be relayed is closed by dropping it.
        let _ = relay(client, server, shared);
    }
}

fn relay(client: TcpStream, server: TcpStream, shared: &Arc<Shared>) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let mut sockets = shared.sockets.lock().unwrap_or_else(PoisonError::into_inner);
    for (from, to) in [(&client, &server), (&server, &client)] {
        let (read, write) = (from.try_clone()?, to.try_clone()?);
        let (sender, receiver) = sync_channel(CHUNKS);
        let shared = Arc::clone(shared);
        thread::spawn(move || take(read, &sender, &shared));
        thread::spawn(move || give(write, &receiver));
    }
    sockets.extend([client, server]);
    Ok(())
}

/// Reads until the end, or until nothing may pass any more.
fn take(mut from: TcpStream, to: &SyncSender<(Instant, Vec<u8>)>, shared: &Shared) {
    let mut buffer = vec![0; CHUNK];
    let mut free = Instant::now();
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        if shared.silent.load(Ordering::SeqCst) {
            // What comes meanwhile stays in the socket, as it would with a peer that is gone.
            while !shared.ended.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(5));
            }
            return;
        }
        shared.bytes.fetch_add(n as u64, Ordering::Relaxed);
        free = free.max(Instant::now());
        if to.send((free + shared.delay, buffer[..n].to_vec())).is_err() {
            return;
        }
        let Some(rate) = shared.rate else { continue };
        free += Duration::from_secs_f64(n as f64 / rate);
        // What is ahead of its time waits in the sockets, as it would before a slow line.
        let ahead = free.saturating_duration_since(Instant::now());
        if ahead > QUEUE {
            thread::sleep(ahead - QUEUE);
        }
    }
}

/// Writes what was read, each when its time has come; and then the end.
fn give(mut to: TcpStream, from: &Receiver<(Instant, Vec<u8>)>) {
    for (due, bytes) in from {
        let wait = due.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            thread::sleep(wait);
        }
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
