//! TCP through a listener and a connector. Client and server are threads that allocate nothing once they run.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use anyhow::Result;

use crate::counts::Run;
use crate::counts::report::{Allowed, Row};
use crate::counts::router::Router;
use crate::counts::snapshot::{Snapshot, measure};

/// A worker looks into its mailbox whenever it wakes.
const ALLOWED: Allowed = Allowed { allocs: 0.0, locks: 2.0 };

/// How much the client writes at once.
const CHUNK: usize = 256 * 1024;
/// Bytes of a request and of its response.
const REQUEST: usize = 64;
const RESPONSE: usize = 512;

/// Two threads, and the client's socket, by which they are ended.
#[derive(Debug)]
struct Peers {
    socket: TcpStream,
    threads: Vec<JoinHandle<std::io::Result<()>>>,
}

impl Drop for Peers {
    fn drop(&mut self) {
        // Both threads see an end or an error of their socket then, which is how they end.
        let _ = self.socket.shutdown(Shutdown::Both);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn start(
    router: &Router,
    client: impl FnOnce(TcpStream) -> std::io::Result<()> + Send + 'static,
    server: impl FnOnce(TcpStream) -> std::io::Result<()> + Send + 'static,
) -> Result<Peers> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = router.listen_tcp(listener.local_addr()?.port())?;
    let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    socket.set_nodelay(true)?;
    let own = socket.try_clone()?;
    let server = std::thread::spawn(move || {
        let (socket, _) = listener.accept()?;
        socket.set_nodelay(true)?;
        server(socket)
    });
    let client = std::thread::spawn(move || client(own));
    Ok(Peers { socket, threads: vec![client, server] })
}

fn title(what: &str, run: &Run) -> String {
    format!("{what}, {} worker(s)", run.workers)
}

/// One stream in one direction, as fast as it goes.
pub(super) fn bulk(run: &Run) -> Result<Row> {
    let router = Router::start(run.workers)?;
    let source = |mut socket: TcpStream| {
        let chunk = vec![b'x'; CHUNK];
        loop {
            socket.write_all(&chunk)?;
        }
    };
    let sink = |mut socket: TcpStream| {
        let mut chunk = vec![0; CHUNK];
        while socket.read(&mut chunk)? > 0 {}
        Ok(())
    };
    let peers = start(&router, source, sink)?;
    let costs = measure(router.workers(), run, |s: &Snapshot| s.bytes_written() as f64 / 1e6)?;
    drop(peers);
    Ok(Row { title: title("tcp bulk", run), unit: "MB", costs, allowed: ALLOWED })
}

/// One request at a time.
pub(super) fn requests(run: &Run) -> Result<Row> {
    static DONE: AtomicU64 = AtomicU64::new(0);
    let router = Router::start(run.workers)?;
    DONE.store(0, Ordering::Relaxed);
    let client = |mut socket: TcpStream| {
        let (request, mut response) = ([b'q'; REQUEST], [0; RESPONSE]);
        loop {
            socket.write_all(&request)?;
            socket.read_exact(&mut response)?;
            DONE.fetch_add(1, Ordering::Relaxed);
        }
    };
    let server = |mut socket: TcpStream| {
        let (mut request, response) = ([0; REQUEST], [b'a'; RESPONSE]);
        loop {
            socket.read_exact(&mut request)?;
            socket.write_all(&response)?;
        }
    };
    let peers = start(&router, client, server)?;
    let costs = measure(router.workers(), run, |_| DONE.load(Ordering::Relaxed) as f64)?;
    drop(peers);
    Ok(Row { title: title("tcp requests", run), unit: "request", costs, allowed: ALLOWED })
}
