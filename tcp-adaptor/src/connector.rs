//! A connector on one worker: opens connections to its server.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::BytesMut;
use router_core::ServerKey;
use thiserror::Error;
use transport::socket::{self, ConnectOptions, TcpOptions};
use transport::tls::HandshakeError;
use transport::{PlainStream, Stream, StreamError, proxy_protocol};

use crate::config::ConnectorConfig;
use crate::stats::Counters;

/// How long a server that could not be reached comes after all others. Long enough for another attempt of the same client to go elsewhere.
const AVOID: Duration = Duration::from_secs(1);

/// Why a server could not be used for a connection. Another connector is tried then.
#[derive(Debug, Error)]
pub(crate) enum ServerError {
    /// No TCP connection.
    #[error("{0}")]
    Connect(#[from] socket::ConnectError),
    /// The server left while it was told who its client is.
    #[error("cannot send the PROXY header: {0}")]
    Proxy(#[from] StreamError),
    /// TLS failed.
    #[error("TLS handshake: {0}")]
    Handshake(#[from] HandshakeError),
    /// TLS took too long.
    #[error("no TLS handshake within {} ms", .0.as_millis())]
    TimedOut(Duration),
}

/// Who the client is, for the PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) client: SocketAddr,
    pub(crate) destination: SocketAddr,
}

/// A `tcpConnector`.
#[derive(Debug)]
pub(crate) struct Connector {
    pub(crate) config: ConnectorConfig,
    pub(crate) key: ServerKey,
    pub(crate) counters: Counters,
    /// The last attempt of this worker failed: the log says so once, not for every client.
    failing: Cell<bool>,
}

impl Connector {
    pub(crate) fn new(config: ConnectorConfig, key: ServerKey) -> Self {
        Self { config, key, counters: Counters::default(), failing: Cell::new(false) }
    }

    /// Opens a connection. `alpn`: what the client's TLS connection negotiated (`Some` of nothing if it did not), `None` for a client without TLS.
    pub(crate) async fn connect(
        &self,
        origin: Option<Origin>,
        alpn: Option<Vec<Vec<u8>>>,
    ) -> Result<Stream, ServerError> {
        let result = self.try_connect(origin, alpn).await;
        let config = &self.config;
        let (name, host, port) = (&self.config.name, &self.config.host, self.config.port);
        match &result {
            Ok(_) => {
                config.failing.store(false, Relaxed);
                if self.failing.replace(false) {
                    tracing::info!(connector = %name, %host, port, "the server accepts connections again");
                }
            }
            Err(error) => {
                self.avoid();
                if !self.failing.replace(true) {
                    tracing::warn!(connector = %name, %host, port, %error, "the server cannot be reached");
                }
            }
        }
        result
    }

    /// Makes others be taken first for a moment.
    fn avoid(&self) {
        let failing = &self.config.failing;
        if !failing.swap(true, Relaxed) {
            let failing = Arc::clone(failing);
            transport::worker::spawn("tcp server avoided", async move {
                tokio::time::sleep(AVOID).await;
                failing.store(false, Relaxed);
            });
        }
    }

    async fn try_connect(&self, origin: Option<Origin>, alpn: Option<Vec<Vec<u8>>>) -> Result<Stream, ServerError> {
        let config = &self.config;
        let options = ConnectOptions {
            family: config.family,
            timeout: config.connect_timeout,
            tcp: TcpOptions { nodelay: true, keepalive: config.flow.keepalive },
        };
        let mut socket = socket::connect(&config.host, config.port, &options).await?;
        if let (Some(version), Some(origin)) = (config.send_proxy, origin) {
            socket = send_header(socket, version, origin).await?;
        }
        let Some(tls) = &config.tls else {
            return Ok(Stream::Plain(socket));
        };
        let handshake = async {
            match alpn {
                Some(alpn) => tls.connect_with_alpn(&config.host, socket, alpn).await,
                None => tls.connect(&config.host, socket).await,
            }
        };
        match tokio::time::timeout(config.connect_timeout, handshake).await {
            Ok(stream) => Ok(stream?),
            Err(_) => Err(ServerError::TimedOut(config.connect_timeout)),
        }
    }
}

/// The header goes before TLS (PROXY §2: "before any other data").
async fn send_header(
    socket: PlainStream,
    version: proxy_protocol::Version,
    origin: Origin,
) -> Result<PlainStream, StreamError> {
    let mut header = BytesMut::new();
    proxy_protocol::write(version, origin.client, origin.destination, &mut header);
    let mut stream = Stream::Plain(socket);
    stream.write_all(&header).await?;
    match stream {
        Stream::Plain(socket) => Ok(socket),
        // It was made three lines above.
        Stream::Tls(_) | Stream::WebSocket(_) => Err(StreamError::Reset),
    }
}
