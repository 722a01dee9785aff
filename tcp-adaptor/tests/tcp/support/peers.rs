//! Servers, and what tests do with sockets.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::{LIMIT, limited};

/// A server that hands accepted sockets to the test.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    accepted: Mutex<Receiver<TcpStream>>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap())
    }

    pub(crate) fn on(listener: TcpListener) -> Self {
        let addr = listener.local_addr().unwrap();
        let (tx, accepted) = channel();
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if tx.send(limited(stream)).is_err() {
                    return;
                }
            }
        });
        Self { addr, accepted: Mutex::new(accepted) }
    }

    /// The next connection.
    #[track_caller]
    pub(crate) fn accept(&self) -> TcpStream {
        self.accepted.lock().unwrap().recv_timeout(LIMIT).expect("nobody connected")
    }

    /// A connection that is there already.
    pub(crate) fn accepted_already(&self) -> Option<TcpStream> {
        self.accepted.lock().unwrap().recv_timeout(Duration::from_millis(20)).ok()
    }
}

/// A server that says its name, and then repeats what it hears.
pub(crate) fn echo(greeting: &'static str) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            std::thread::spawn(move || echo_one(stream, greeting));
        }
    });
    addr
}

fn echo_one(mut stream: TcpStream, greeting: &str) -> io::Result<()> {
    stream.write_all(greeting.as_bytes())?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return stream.shutdown(Shutdown::Write);
        }
        stream.write_all(&buffer[..n])?;
    }
}

/// Makes a socket close with RST.
pub(crate) fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// Reads so many bytes.
#[track_caller]
pub(crate) fn read_n(stream: &mut TcpStream, n: usize) -> Vec<u8> {
    let mut data = vec![0; n];
    stream.read_exact(&mut data).unwrap();
    data
}

/// Reads to a clean end.
#[track_caller]
pub(crate) fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut data = Vec::new();
    stream.read_to_end(&mut data).unwrap();
    data
}

/// Reads until the peer's reset, which must come, and not as an end; answers what came before.
#[track_caller]
pub(crate) fn read_to_reset(stream: &mut TcpStream) -> Vec<u8> {
    let mut data = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => panic!("a clean end after {} bytes instead of a reset", data.len()),
            Ok(n) => data.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return data,
            Err(error) => panic!("{error} instead of a reset"),
        }
    }
}

/// Bytes that are not all alike, so that a hole or a swap shows.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len as u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect()
}
