//! Listening sockets for AMQP: accept, find out whether TLS is spoken, answer HTTP where that is configured, place the connection on a worker.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use transport::socket::{ListenError, ListenOptions, ListenerSet};
use transport::tls::{ClientCerts, ServerOptions, TlsConfigError, TlsServer};
use transport::worker::{Task, spawn};
use transport::{PlainStream, Stream, WorkerHandle};

use crate::config::ListenerConfig;
use crate::placement::Place;
use crate::worker::Inner;

/// How long a client may take until it is known what it speaks, and for its TLS handshake, when nothing is configured.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(30);

/// First byte of a TLS record that carries a handshake (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;

/// Why a listener cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its socket.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Its TLS profile.
    #[error(transparent)]
    Tls(#[from] TlsConfigError),
}

/// A listener that was opened and can be started on a worker.
#[derive(Debug)]
pub struct AmqpListener {
    config: Arc<ListenerConfig>,
    tls: Option<Arc<TlsServer>>,
    sets: Vec<ListenerSet>,
    addrs: Vec<SocketAddr>,
}

/// Opens the socket of a listener. Resolves names by blocking: for the control thread.
///
/// # Errors
/// [`StartError`] says what is wrong with the address or the TLS profile.
pub fn listen(config: ListenerConfig) -> Result<AmqpListener, StartError> {
    let tls = match &config.tls {
        None => None,
        Some(profile) => {
            // Those who may say who they are by a password need no certificate.
            let by_password = config.sasl.is_some() && !config.sasl_mechanisms.iter().any(|name| name == "EXTERNAL");
            let client_certs =
                if config.authenticate_peer && !by_password { ClientCerts::Required } else { ClientCerts::Optional };
            Some(profile.server(&ServerOptions { client_certs, alpn: Vec::new(), require_close_notify: false })?)
        }
    };
    let options = ListenOptions { family: config.family, ..ListenOptions::default() };
    let group = transport::socket::listen(&config.host, config.port, &options)?;
    let addrs = group.addrs().to_vec();
    Ok(AmqpListener { config: Arc::new(config), tls, sets: group.into_sets(), addrs })
}

impl AmqpListener {
    /// Where it listens.
    #[must_use]
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// Accepts connections on the calling worker from now on, and hands them to all workers. Aborting the task closes the socket; connections stay.
    ///
    /// # Errors
    /// The kernel refuses to watch the socket.
    pub fn start(self, workers: Vec<WorkerHandle>) -> std::io::Result<Task> {
        let mut acceptors = Vec::new();
        for set in self.sets {
            acceptors.push(set.into_acceptor()?);
        }
        let (config, tls) = (self.config, self.tls);
        let workers: Arc<[WorkerHandle]> = workers.into();
        Ok(spawn("amqp listener", async move {
            let Some(mut acceptor) = acceptors.pop() else { return };
            loop {
                let (socket, peer) = acceptor.accept().await;
                place(&workers, socket, peer, Arc::clone(&config), tls.clone());
            }
        }))
    }
}

/// Hands a connection to the worker that is to own it.
fn place(
    workers: &Arc<[WorkerHandle]>,
    socket: PlainStream,
    peer: SocketAddr,
    config: Arc<ListenerConfig>,
    tls: Option<Arc<TlsServer>>,
) {
    let Some(here) = Inner::current() else { return };
    let place = Place::take(&here.placement, config.role);
    if place.worker() == usize::from(here.worker.0) {
        serve(&here, socket, peer, place, config, tls);
        return;
    }
    let Ok(socket) = socket.into_inner().into_std() else { return };
    let Some(worker) = workers.get(place.worker()) else { return };
    // If that worker is gone the router is ending.
    let _ = worker.run(move || {
        let Some(there) = Inner::current() else { return };
        // Fails only if the kernel refuses to watch the socket, which closes it.
        if let Ok(socket) = tokio::net::TcpStream::from_std(socket) {
            serve(&there, PlainStream::new(socket), peer, place, config, tls);
        }
    });
}

fn serve(
    inner: &std::rc::Rc<Inner>,
    socket: PlainStream,
    peer: SocketAddr,
    place: Place,
    config: Arc<ListenerConfig>,
    tls: Option<Arc<TlsServer>>,
) {
    if tls.is_none() && config.http.is_none() {
        inner.adopt_accepted(Stream::Plain(socket), &peer.to_string(), place, config);
        return;
    }
    let inner = std::rc::Rc::clone(inner);
    spawn("handshake", async move {
        let limit = config.handshake_timeout.unwrap_or(HANDSHAKE_LIMIT);
        let secured = async {
            match &tls {
                Some(tls) => secure(socket, &config, tls).await,
                None => Ok(Some(Stream::Plain(socket))),
            }
        };
        let stream = match tokio::time::timeout(limit, secured).await {
            Ok(Ok(Some(stream))) => stream,
            // A probe that connects and leaves is no news.
            Ok(Ok(None)) => return,
            Ok(Err(reason)) => {
                tracing::info!(target: "SERVER", "Connection from {peer} to {}:{} failed: {reason}", config.host, config.port);
                return;
            }
            Err(_) => {
                tracing::info!(target: "SERVER", "Connection from {peer} to {}:{} failed: no TLS handshake within {limit:?}", config.host, config.port);
                return;
            }
        };
        let stream = match &config.http {
            None => Some(stream),
            Some(site) => transport::http::serve(stream, site, config.handshake_timeout).await,
        };
        if let Some(stream) = stream {
            inner.adopt_accepted(stream, &peer.to_string(), place, config);
        }
    });
}

/// TLS if the client begins it; plain if it does not and may; nothing if it left without a word.
async fn secure(socket: PlainStream, config: &ListenerConfig, tls: &TlsServer) -> Result<Option<Stream>, String> {
    let socket = socket.into_inner();
    let mut first = [0];
    let n = socket.peek(&mut first).await.map_err(|e| e.to_string())?;
    if n == 0 {
        return Ok(None);
    }
    let socket = PlainStream::new(socket);
    if first == [TLS_HANDSHAKE] {
        return tls.accept(socket).await.map(Some).map_err(|e| e.to_string());
    }
    if config.require_tls {
        return Err("amqp:connection:policy-error Client connection unencrypted".to_owned());
    }
    Ok(Some(Stream::Plain(socket)))
}
