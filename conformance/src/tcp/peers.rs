//! Sockets of the tests' own, for ends that programs do not show.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};

use crate::certs::Certs;
use crate::router::PATIENCE;

/// A server whose connections the test accepts.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    /// Its port.
    pub port: u16,
}

impl Server {
    /// On 127.0.0.1.
    pub fn start() -> Self {
        Self::on((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// On ::1.
    pub fn v6() -> Self {
        Self::on((Ipv6Addr::LOCALHOST, 0).into())
    }

    fn on(addr: SocketAddr) -> Self {
        let listener = TcpListener::bind(addr).unwrap();
        let port = listener.local_addr().unwrap().port();
        listener.set_nonblocking(true).unwrap();
        Self { listener, port }
    }

    /// The next connection.
    ///
    /// # Panics
    /// After `PATIENCE`.
    #[track_caller]
    pub fn accept(&self) -> TcpStream {
        crate::process::wait_for("a connection from the router", PATIENCE, || match self.listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                Some(patient(stream))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        })
    }
}

/// A server that says its name to everyone, and then repeats what it hears. Its threads end with the test.
pub fn echo(name: &'static str) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            std::thread::spawn(move || -> std::io::Result<()> {
                stream.write_all(name.as_bytes())?;
                std::io::copy(&mut stream.try_clone()?, &mut stream)?;
                stream.shutdown(Shutdown::Write)
            });
        }
    });
    port
}

/// A client of `port` on 127.0.0.1.
#[track_caller]
pub fn client(port: u16) -> TcpStream {
    patient(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap())
}

/// An end of a connection that can be expected to fail instead of hanging.
fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// The name that an `echo` server gives to a client of `port`.
#[track_caller]
pub fn greeting(port: u16) -> String {
    let mut stream = client(port);
    stream.shutdown(Shutdown::Write).unwrap();
    String::from_utf8(read_to_end(&mut stream)).unwrap()
}

/// A TLS client of `localhost` that trusts the authority and offers protocols (ALPN), after its handshake.
pub fn tls_client(port: u16, certs: &Certs, protocols: &[&str]) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&certs.ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), client(port));
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).unwrap();
    }
    stream
}

/// Ends a connection with RST.
pub fn reset(stream: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
    drop(stream);
}

/// Reads so many bytes.
///
/// # Panics
/// When they do not come.
#[track_caller]
pub fn read_n(stream: &mut impl Read, n: usize) -> Vec<u8> {
    let mut data = vec![0; n];
    stream.read_exact(&mut data).unwrap();
    data
}

/// Reads to a clean end.
///
/// # Panics
/// When the end is another.
#[track_caller]
pub fn read_to_end(stream: &mut impl Read) -> Vec<u8> {
    let mut data = Vec::new();
    stream.read_to_end(&mut data).unwrap();
    data
}

/// Reads until the connection is reset; returns how many bytes came before.
///
/// # Panics
/// When it ends otherwise.
#[track_caller]
pub fn read_to_reset(stream: &mut impl Read) -> usize {
    let mut total = 0;
    let mut buffer = vec![0; 64 << 10];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => panic!("a clean end after {total} bytes instead of a reset"),
            Ok(n) => total += n,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return total,
            Err(error) => panic!("{error} after {total} bytes instead of a reset"),
        }
    }
}
