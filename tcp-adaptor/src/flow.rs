//! One flow: an accepted client, the server chosen for it, and the task that owns both sockets.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use router_core::ServerKey;
use socket2::SockRef;
use tokio::time::{Instant, Sleep, sleep};
use transport::block::with_read_block;
use transport::{PlainStream, Stream, StreamError};

use crate::adaptor::TcpAdaptor;
use crate::connector::{Connector, Origin};
use crate::greeting::{self, Greeted};
use crate::listener::Listener;
use crate::relay::{Broken, Meters, Relay};
use crate::stats::add;

/// How often a socket that is not being read because the other side takes nothing is asked whether it is still alive.
const STALLED_CHECK: Duration = Duration::from_secs(1);
/// The same for one that is not being read because it has ended.
const HALF_OPEN_CHECK: Duration = Duration::from_secs(10);

/// What others may know of a flow while its task owns the rest.
#[derive(Debug)]
pub(crate) struct FlowInfo {
    pub(crate) listener: Rc<Listener>,
    /// The connector that is tried or used.
    pub(crate) connector: RefCell<Option<Rc<Connector>>>,
    /// Bytes are moving, or could: the server is connected.
    pub(crate) connected: Cell<bool>,
    pub(crate) meters: Meters,
}

/// The task's part. Dropping it before [`run`](Self::run) came to a good end resets both sockets: whatever stops a flow, an abort or
/// a panic included, no side takes it for an end of stream.
struct Flow {
    adaptor: Rc<TcpAdaptor>,
    slot: usize,
    info: Rc<FlowInfo>,
    client: Option<Stream>,
    server: Option<Stream>,
    /// Counted as open by the core.
    server_key: Option<ServerKey>,
    complete: bool,
}

impl Drop for Flow {
    fn drop(&mut self) {
        if !self.complete {
            for stream in [&self.client, &self.server].into_iter().flatten() {
                stream.reset_on_drop();
            }
        }
        self.release_server();
        let listener = &self.info.listener.counters;
        let meters = &self.info.meters;
        add(&listener.closed, 1);
        add(&listener.bytes_in, meters.up.read.get());
        add(&listener.bytes_out, meters.down.written.get());
        if let Some(connector) = self.info.connector.take().filter(|_| self.info.connected.get()) {
            add(&connector.counters.closed, 1);
            add(&connector.counters.bytes_in, meters.down.read.get());
            add(&connector.counters.bytes_out, meters.up.written.get());
        }
        self.adaptor.flow_ended(self.slot);
    }
}

/// The life of a flow, from an accepted socket on. `slot` is its place in the adaptor.
pub(crate) fn run(
    adaptor: Rc<TcpAdaptor>,
    slot: usize,
    info: Rc<FlowInfo>,
    socket: PlainStream,
    peer: SocketAddr,
) -> impl Future<Output = ()> {
    let flow = Flow {
        adaptor,
        slot,
        info,
        client: Some(Stream::Plain(socket)),
        server: None,
        server_key: None,
        complete: false,
    };
    live(flow, peer)
}

async fn live(mut flow: Flow, peer: SocketAddr) {
    // What is needed only at the beginning is boxed, so that the future of an idle flow stays small.
    let Some(early) = Box::pin(flow.establish(peer)).await else { return };
    match flow.relay(early).await {
        Ok(()) => flow.complete = true,
        Err(broken) => {
            tracing::debug!(listener = %flow.info.listener.config.name, client = %peer, error = %broken, "flow reset")
        }
    }
}

impl Flow {
    /// Greets the client and finds it a server. `None`: there is none, and the reason was logged.
    async fn establish(&mut self, peer: SocketAddr) -> Option<Bytes> {
        let listener = Rc::clone(&self.info.listener);
        let config = &listener.config;
        let mut early = Bytes::new();
        let mut addrs = None;
        if greeting::needed(config)
            && let Some(Stream::Plain(socket)) = self.client.take()
        {
            match greeting::greet(socket, config).await {
                Ok(Greeted { stream, early: bytes, addrs: named }) => {
                    self.client = Some(stream);
                    early = bytes;
                    addrs = named;
                }
                Err(error) => {
                    add(&listener.counters.failed, 1);
                    tracing::debug!(listener = %config.name, client = %peer, %error, "client refused");
                    return None;
                }
            }
        }
        add(&self.info.meters.up.read, early.len() as u64);
        if self.find_server(peer, addrs).await {
            self.info.connected.set(true);
            self.adaptor.flow_connected(&self.info);
            Some(early)
        } else {
            add(&listener.counters.failed, 1);
            tracing::debug!(listener = %config.name, client = %peer, "client reset: no server could be reached");
            None
        }
    }

    /// Tries servers, each once, until one is connected.
    async fn find_server(&mut self, peer: SocketAddr, addrs: Option<(SocketAddr, SocketAddr)>) -> bool {
        let mut choice = Choice::default();
        loop {
            let Some((key, connector)) = self.adaptor.pick(&self.info.listener, &mut choice) else {
                return false;
            };
            self.server_key = Some(key);
            let Some(connector) = connector else {
                self.release_server();
                continue;
            };
            self.info.connector.replace(Some(Rc::clone(&connector)));
            let origin = connector.config.send_proxy.and_then(|_| self.origin(peer, addrs));
            let alpn = connector.config.tls.as_ref().and_then(|_| self.alpn());
            match connector.connect(origin, alpn).await {
                Ok(stream) => {
                    add(&connector.counters.opened, 1);
                    self.server = Some(stream);
                    return true;
                }
                Err(error) => {
                    add(&connector.counters.failed, 1);
                    tracing::debug!(connector = %connector.config.name, %error, "trying another server");
                    self.info.connector.replace(None);
                    self.release_server();
                }
            }
        }
    }

    fn release_server(&mut self) {
        if let Some(key) = self.server_key.take() {
            self.adaptor.server_closed(key);
        }
    }

    fn origin(&self, peer: SocketAddr, addrs: Option<(SocketAddr, SocketAddr)>) -> Option<Origin> {
        let (client, destination) = match addrs {
            Some(addrs) => addrs,
            None => (peer, self.client.as_ref()?.local_addr().ok()?),
        };
        Some(Origin { client, destination })
    }

    /// What to offer a server with TLS: exactly what the client's TLS agreed on.
    fn alpn(&self) -> Option<Vec<Vec<u8>>> {
        let tls = self.client.as_ref()?.tls()?;
        Some(tls.alpn().map(<[u8]>::to_vec).into_iter().collect())
    }

    async fn relay(&mut self, early: Bytes) -> Result<(), Broken> {
        let (Some(client), Some(server)) = (&mut self.client, &mut self.server) else {
            return Ok(());
        };
        let meters = &self.info.meters;
        let mut relay = Relay::new(early);
        let mut check = LivenessCheck::default();
        poll_fn(|cx| {
            let outcome = with_read_block(|block| relay.poll(cx, client, server, block, meters));
            if outcome.is_ready() {
                return outcome;
            }
            check.poll(cx, &relay, client, server)
        })
        .await
    }
}

/// What a search for a server has tried so far.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    /// Servers that were tried.
    pub(crate) tried: Vec<ServerKey>,
    /// Addresses of which all servers were tried.
    pub(crate) exhausted: Vec<Rc<str>>,
}

/// Finds out that a socket is dead which the relay does not read at the moment.
///
/// The kernel keeps the error until somebody asks. A timer, started at the first stall and left running while stalls come and go, costs
/// less than a second registration of each socket.
#[derive(Debug, Default)]
struct LivenessCheck {
    timer: Option<Pin<Box<Sleep>>>,
}

impl LivenessCheck {
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        relay: &Relay,
        client: &Stream,
        server: &Stream,
    ) -> Poll<Result<(), Broken>> {
        let unread = relay.unread();
        if !unread.client && !unread.server {
            // A timer that still runs is left to fire once for nothing.
            self.timer.take_if(|timer| timer.is_elapsed());
            return Poll::Pending;
        }
        let period = if unread.stalled { STALLED_CHECK } else { HALF_OPEN_CHECK };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(period)));
        while timer.as_mut().poll(cx).is_ready() {
            if let Some(error) = unread.client.then(|| pending_error(client)).flatten() {
                return Poll::Ready(Err(Broken::Client(error)));
            }
            if let Some(error) = unread.server.then(|| pending_error(server)).flatten() {
                return Poll::Ready(Err(Broken::Server(error)));
            }
            timer.as_mut().reset(Instant::now() + period);
        }
        Poll::Pending
    }
}

fn pending_error(stream: &Stream) -> Option<StreamError> {
    match SockRef::from(stream.plain()).take_error() {
        Ok(error) => error.map(StreamError::from),
        Err(error) => Some(error.into()),
    }
}

#[cfg(test)]
mod tests;
