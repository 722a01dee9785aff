//! Handshakes, in both roles.

use super::error::HandshakeError;
use super::record::{Engine, Session};
use super::stream::{StreamRules, TlsStream};
use crate::metrics::count;
use crate::stream::{PlainStream, Stream};
use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::ServerName;
use std::sync::{Arc, PoisonError, RwLock};

/// What handshakes go by, until the profile is read again. Only handshakes take the lock.
#[derive(Debug)]
pub(super) struct Current<C>(RwLock<Arc<C>>);

impl<C> Current<C> {
    pub(super) fn new(config: Arc<C>) -> Self {
        Self(RwLock::new(config))
    }

    pub(super) fn get(&self) -> Arc<C> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn set(&self, config: Arc<C>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
    }
}

/// TLS of a listener. Handshakes that begin after its profile was read again go by what was read then.
#[derive(Debug)]
pub struct TlsServer {
    config: Current<ServerConfig>,
    rules: Arc<StreamRules>,
}

/// TLS of a connector. Handshakes that begin after its profile was read again go by what was read then.
#[derive(Debug)]
pub struct TlsClient {
    config: Current<ClientConfig>,
    rules: Arc<StreamRules>,
}

impl TlsServer {
    pub(super) fn new(config: Arc<ServerConfig>, rules: Arc<StreamRules>) -> Self {
        Self { config: Current::new(config), rules }
    }

    pub(super) const fn config(&self) -> &Current<ServerConfig> {
        &self.config
    }

    /// Handshakes with a client on an accepted connection. There is no time limit here: drop the future to give up.
    ///
    /// # Errors
    /// [`HandshakeError`]; a peer that can understand it was sent an alert.
    pub async fn accept(&self, socket: PlainStream) -> Result<Stream, HandshakeError> {
        self.accept_after(socket, &[]).await
    }

    /// As [`accept`](Self::accept), when the first bytes of the client were read already (behind a PROXY header, or to find out what it speaks).
    ///
    /// # Errors
    /// As there.
    pub async fn accept_after(&self, socket: PlainStream, received: &[u8]) -> Result<Stream, HandshakeError> {
        let session = UnbufferedServerConnection::new(self.config.get()).map_err(HandshakeError::from_rustls)?;
        run(socket, Session::Server(session), received, &self.rules).await
    }
}

impl TlsClient {
    pub(super) fn new(config: Arc<ClientConfig>, rules: Arc<StreamRules>) -> Self {
        Self { config: Current::new(config), rules }
    }

    pub(super) const fn config(&self) -> &Current<ClientConfig> {
        &self.config
    }

    /// There is a certificate to show to servers.
    #[must_use]
    pub fn has_certificate(&self) -> bool {
        self.config.get().client_auth_cert_resolver.has_certs()
    }

    /// Handshakes with the server of that name (or literal address, with or without brackets), offering the configured ALPN protocols.
    ///
    /// # Errors
    /// [`HandshakeError`].
    pub async fn connect(&self, host: &str, socket: PlainStream) -> Result<Stream, HandshakeError> {
        self.connect_with_alpn(host, socket, self.config.get().alpn_protocols.clone()).await
    }

    /// As [`connect`](Self::connect), offering exactly `alpn`.
    ///
    /// # Errors
    /// As there.
    pub async fn connect_with_alpn(
        &self,
        host: &str,
        socket: PlainStream,
        alpn: Vec<Vec<u8>>,
    ) -> Result<Stream, HandshakeError> {
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        // A trailing dot makes a name absolute for the resolver, and is no part of it in certificates (RFC 6066 §3).
        let bare = bare.strip_suffix('.').unwrap_or(bare);
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| HandshakeError::ServerName(host.to_owned()))?;
        let session = UnbufferedClientConnection::new_with_alpn(self.config.get(), name, alpn)
            .map_err(HandshakeError::from_rustls)?;
        run(socket, Session::Client(session), &[], &self.rules).await
    }
}

async fn run(
    socket: PlainStream,
    session: Session,
    received: &[u8],
    rules: &Arc<StreamRules>,
) -> Result<Stream, HandshakeError> {
    let mut stream = Box::new(TlsStream::new(socket, Engine::new(session, received), Arc::clone(rules)));
    if let Err(error) = stream.handshake().await {
        stream.close_after_alert();
        return Err(error);
    }
    count(|c| {
        c.handshakes += 1;
        c.resumed += u64::from(stream.was_resumed());
    });
    Ok(Stream::Tls(stream))
}
