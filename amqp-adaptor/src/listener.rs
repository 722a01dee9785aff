//! Listening sockets for AMQP: accept, find out whether TLS is spoken, place the connection on a worker.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use transport::socket::{ListenError, ListenOptions, ListenerSet, TcpOptions};
use transport::tls::{ClientCerts, ServerOptions, TlsConfigError, TlsServer};
use transport::worker::{Task, spawn};
use transport::{PlainStream, Stream, WorkerHandle};

use crate::config::ListenerConfig;
use crate::worker::Inner;

/// How long a client may take until it is known what it speaks, and for its TLS handshake, when nothing is configured.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(30);

/// First byte of a TLS record that carries a handshake (RFC 8446 §5.1).
const TLS_HANDSHAKE: u8 = 0x16;

static NEXT_CONNECTION: AtomicU64 = AtomicU64::new(1);

pub(crate) fn next_connection_id() -> u64 {
    NEXT_CONNECTION.fetch_add(1, Ordering::Relaxed)
}

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
            let client_certs = if config.authenticate_peer { ClientCerts::Required } else { ClientCerts::Optional };
            Some(profile.server(&ServerOptions { client_certs, alpn: Vec::new(), require_close_notify: false })?)
        }
    };
    let options = ListenOptions { family: config.family, backlog: 0, group: 1 };
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
    let target = here.placement.place();
    if target == usize::from(here.worker.0) {
        serve(&here, socket, peer, config, tls);
        return;
    }
    let Ok(socket) = socket.into_inner().into_std() else {
        here.placement.gone(target);
        return;
    };
    let Some(worker) = workers.get(target) else { return };
    // If that worker is gone the router is ending.
    let _ = worker.run(move || {
        let Some(there) = Inner::current() else { return };
        match tokio::net::TcpStream::from_std(socket) {
            Ok(socket) => serve(&there, PlainStream::new(socket), peer, config, tls),
            Err(_) => there.placement.gone(target),
        }
    });
}

fn serve(
    inner: &std::rc::Rc<Inner>,
    socket: PlainStream,
    peer: SocketAddr,
    config: Arc<ListenerConfig>,
    tls: Option<Arc<TlsServer>>,
) {
    // Fails only if the connection is gone already, which its task will find out.
    let _ = socket.set_options(&TcpOptions::default());
    match tls {
        None => inner.adopt(Stream::Plain(socket), &peer.to_string(), config),
        Some(tls) => {
            let inner = std::rc::Rc::clone(inner);
            spawn("tls handshake", async move {
                let limit = config.handshake_timeout.unwrap_or(HANDSHAKE_LIMIT);
                match tokio::time::timeout(limit, secure(socket, &config, &tls)).await {
                    Ok(Ok(stream)) => {
                        inner.adopt(stream, &peer.to_string(), config);
                        return;
                    }
                    Ok(Err(reason)) => {
                        tracing::info!(target: "SERVER", "Connection from {peer} to {}:{} failed: {reason}", config.host, config.port);
                    }
                    Err(_) => {
                        tracing::info!(target: "SERVER", "Connection from {peer} to {}:{} failed: no TLS handshake within {limit:?}", config.host, config.port);
                    }
                }
                inner.placement.gone(usize::from(inner.worker.0));
            });
        }
    }
}

/// TLS if the client begins it; plain if it does not and may.
async fn secure(socket: PlainStream, config: &ListenerConfig, tls: &TlsServer) -> Result<Stream, String> {
    let socket = socket.into_inner();
    let mut first = [0];
    let n = socket.peek(&mut first).await.map_err(|e| e.to_string())?;
    if n == 0 {
        return Err("the client left".to_owned());
    }
    let socket = PlainStream::new(socket);
    if first == [TLS_HANDSHAKE] {
        return tls.accept(socket).await.map_err(|e| format!("TLS connection failed: {e}"));
    }
    if config.require_tls {
        return Err("amqp:connection:policy-error Client connection unencrypted".to_owned());
    }
    Ok(Stream::Plain(socket))
}
