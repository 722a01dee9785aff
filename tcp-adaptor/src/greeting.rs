//! What happens on an accepted socket before a server is chosen: PROXY header, TLS handshake. Only by option.

use std::net::SocketAddr;

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;
use transport::proxy_protocol::{self, ProxyError};
use transport::tls::HandshakeError;
use transport::{PlainStream, Stream, StreamError};

use crate::config::ListenerConfig;

/// Why a client was not served. Always the client's fault.
#[derive(Debug, Error)]
pub(crate) enum GreetingError {
    /// Not a PROXY header.
    #[error("{0}")]
    Proxy(#[from] ProxyError),
    /// It left first.
    #[error("connection ended before the PROXY header was complete")]
    Ended,
    /// The socket failed.
    #[error("{0}")]
    Stream(#[from] StreamError),
    /// TLS failed.
    #[error("TLS handshake: {0}")]
    Handshake(#[from] HandshakeError),
    /// It took too long.
    #[error("no complete handshake within {} ms", .0.as_millis())]
    TimedOut(std::time::Duration),
}

/// A client that may be connected to a server.
#[derive(Debug)]
pub(crate) struct Greeted {
    pub(crate) stream: Stream,
    /// Bytes that came behind the PROXY header.
    pub(crate) early: Bytes,
    /// Client and destination, as the PROXY header names them.
    pub(crate) addrs: Option<(SocketAddr, SocketAddr)>,
}

/// Is there anything to wait for?
pub(crate) const fn needed(config: &ListenerConfig) -> bool {
    config.accept_proxy || config.tls.is_some()
}

pub(crate) async fn greet(socket: PlainStream, config: &ListenerConfig) -> Result<Greeted, GreetingError> {
    match tokio::time::timeout(config.handshake_timeout, exchange(socket, config)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(GreetingError::TimedOut(config.handshake_timeout)),
    }
}

async fn exchange(mut socket: PlainStream, config: &ListenerConfig) -> Result<Greeted, GreetingError> {
    let mut received = BytesMut::new();
    let mut addrs = None;
    if config.accept_proxy {
        (socket, addrs) = read_header(socket, &mut received).await?;
    }
    match &config.tls {
        Some(tls) => Ok(Greeted { stream: tls.accept_after(socket, &received).await?, early: Bytes::new(), addrs }),
        None => Ok(Greeted {
            stream: Stream::Plain(socket),
            // A copy of the right size: the buffer has room for 16 KiB.
            early: Bytes::copy_from_slice(&received),
            addrs,
        }),
    }
}

async fn read_header(
    socket: PlainStream,
    received: &mut BytesMut,
) -> Result<(PlainStream, Option<(SocketAddr, SocketAddr)>), GreetingError> {
    let mut stream = Stream::Plain(socket);
    match find_header(&mut stream, received).await {
        Ok(addrs) => match stream {
            Stream::Plain(socket) => Ok((socket, addrs)),
            // It was made above.
            Stream::Tls(_) | Stream::WebSocket(_) => Err(GreetingError::Ended),
        },
        Err(error) => {
            // An end would look like an answer without a byte. "must abort the connection" (PROXY §2).
            stream.reset_on_drop();
            Err(error)
        }
    }
}

async fn find_header(
    stream: &mut Stream,
    received: &mut BytesMut,
) -> Result<Option<(SocketAddr, SocketAddr)>, GreetingError> {
    loop {
        if let Some(header) = proxy_protocol::parse(received)? {
            received.advance(header.len.min(received.len()));
            return Ok(header.addrs);
        }
        if stream.read_some(received).await? == 0 {
            return Err(GreetingError::Ended);
        }
    }
}
