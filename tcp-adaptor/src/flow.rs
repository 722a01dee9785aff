//! One flow: an accepted client, the server chosen for it, and the task that owns both sockets.

use std::cell::{Cell, OnceCell, RefCell};
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
use crate::far::exchange::{Early, Exchange, Step, Stop};
use crate::far::head::Head;
use crate::greeting::{self, Greeted};
use crate::listener::Listener;
use crate::record::Record;
use crate::relay::{Broken, Meter, Meters, Relay};
use crate::stats::add;

/// How often a socket that is not being read because the other side takes nothing is asked whether it is still alive.
const STALLED_CHECK: Duration = Duration::from_secs(1);
/// The same for one that is not being read because it has ended.
const HALF_OPEN_CHECK: Duration = Duration::from_secs(10);

/// How long another router may take to find a server. It tries each of its own for 10 s by default.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// Pauses before a stream is begun again for which there was no way: after a link is lost routers take some milliseconds for their new routes,
/// on a busy machine more.
pub(crate) const PAUSES: [Duration; 7] = {
    let mut pauses = [Duration::from_millis(5); 7];
    let mut at = 1;
    while at < pauses.len() {
        pauses[at] = Duration::from_millis(5 << at);
        at += 1;
    }
    pauses
};

/// What others may know of a flow while its task owns the rest.
#[derive(Debug)]
pub(crate) struct FlowInfo {
    /// None: it came from another router.
    pub(crate) listener: Option<Rc<Listener>>,
    /// The connector that is tried or used; none if the server is at another router.
    pub(crate) connector: RefCell<Option<Rc<Connector>>>,
    /// Name of the `listenerAddress` that it goes to, if its listener has several.
    pub(crate) target: RefCell<Option<Rc<str>>>,
    /// Bytes are moving, or could: the server is connected.
    pub(crate) connected: Cell<bool>,
    pub(crate) meters: Meters,
    /// The socket of the client that a listener accepted.
    pub(crate) client: Option<SocketInfo>,
    /// The socket to the server of a connector, once it is connected.
    pub(crate) server: OnceCell<SocketInfo>,
    /// What is told of it, if somebody collects that.
    pub(crate) record: RefCell<Option<Box<Record>>>,
}

/// What management shows of a socket.
#[derive(Debug)]
pub(crate) struct SocketInfo {
    /// Unique among connections of the router.
    pub(crate) id: u64,
    pub(crate) since: Instant,
    /// The client's address; of a server, it is the connector's.
    pub(crate) peer: Option<SocketAddr>,
    /// Version, cipher suite and its bits.
    pub(crate) tls: Cell<Option<(&'static str, &'static str, u32)>>,
}

impl SocketInfo {
    pub(crate) fn new(peer: Option<SocketAddr>) -> Self {
        Self { id: transport::socket::next_id(), since: Instant::now(), peer, tls: Cell::new(None) }
    }

    fn note_tls(&self, stream: Option<&Stream>) {
        let tls = stream.and_then(Stream::tls);
        self.tls.set(tls.map(|tls| (tls.protocol(), tls.cipher(), tls.cipher_bits())));
    }
}

impl FlowInfo {
    /// It did not end as both sides wanted.
    pub(crate) fn failed(&self, error: &dyn std::fmt::Display) {
        if let Some(record) = self.record.borrow().as_deref() {
            *record.error.borrow_mut() = Some(error.to_string());
        }
    }

    /// For the log.
    pub(crate) fn name(&self) -> String {
        let connector = || self.connector.borrow().as_ref().map(|connector| connector.config.name.clone());
        self.listener.as_ref().map(|listener| listener.config.name.clone()).or_else(connector).unwrap_or_default()
    }
}

/// The task's part. Dropping it before it is complete resets its sockets: whatever stops a flow, an abort or a panic included, no side
/// takes it for an end of stream.
pub(crate) struct Flow {
    pub(crate) adaptor: Rc<TcpAdaptor>,
    slot: usize,
    pub(crate) info: Rc<FlowInfo>,
    pub(crate) client: Option<Stream>,
    pub(crate) server: Option<Stream>,
    /// Counted as open by the core.
    server_key: Option<ServerKey>,
    pub(crate) complete: bool,
}

impl Drop for Flow {
    fn drop(&mut self) {
        if !self.complete {
            for stream in [&self.client, &self.server].into_iter().flatten() {
                stream.reset_on_drop();
            }
        }
        self.release_server();
        self.adaptor.end_record(&self.info);
        let meters = &self.info.meters;
        if let Some(listener) = &self.info.listener {
            add(&listener.counters.closed, 1);
            add(&listener.counters.bytes_in, meters.up.read.get());
            add(&listener.counters.bytes_out, meters.down.written.get());
        }
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
    let mut flow = Flow::new(adaptor, slot, info);
    flow.client = Some(Stream::Plain(socket));
    live(flow, peer)
}

async fn live(mut flow: Flow, peer: SocketAddr) {
    // What is needed only at the beginning is boxed, so that the future of an idle flow stays small.
    let outcome = match Box::pin(flow.establish(peer)).await {
        None => return,
        Some(Reached::Server(early)) => flow.relay(early).await.map_err(|broken| broken.to_string()),
        Some(Reached::Far(mut exchange)) => {
            // Boxed, so that flows within the router stay small, too.
            let (client, meters) = (&mut flow.client, &flow.info.meters);
            let passed = Box::pin(pass(&mut exchange, client, &meters.up, &meters.down));
            passed.await.map_err(|stop| stop.to_string())
        }
    };
    match outcome {
        Ok(()) => flow.complete = true,
        Err(error) => {
            flow.info.failed(&error);
            tracing::debug!(flow = %flow.info.name(), client = %peer, error, "flow reset");
        }
    }
}

/// Moves bytes between a socket and the network until both directions have ended.
pub(crate) async fn pass(
    exchange: &mut Exchange,
    socket: &mut Option<Stream>,
    out: &Meter,
    back: &Meter,
) -> Result<(), Stop> {
    while step(exchange, socket, out, back).await? != Step::Done {}
    Ok(())
}

/// The same until something is to be told.
async fn step(exchange: &mut Exchange, socket: &mut Option<Stream>, out: &Meter, back: &Meter) -> Result<Step, Stop> {
    let Some(socket) = socket else { return Ok(Step::Done) };
    let mut check = LivenessCheck::default();
    poll_fn(|cx| {
        let outcome = exchange.poll(cx, socket, out, back);
        if outcome.is_ready() {
            return outcome;
        }
        let stalled = exchange.unread();
        check.poll(cx, stalled, || pending_error(socket).map(Stop::Socket)).map(Err)
    })
    .await
}

/// Who serves a client.
enum Reached {
    /// A server of this router, with what the client has sent already.
    Server(Bytes),
    /// One at another router, which has answered.
    Far(Box<Exchange>),
}

impl Flow {
    pub(crate) const fn new(adaptor: Rc<TcpAdaptor>, slot: usize, info: Rc<FlowInfo>) -> Self {
        Self { adaptor, slot, info, client: None, server: None, server_key: None, complete: false }
    }

    /// Greets the client and finds it a server. `None`: there is none, and the reason was logged.
    async fn establish(&mut self, peer: SocketAddr) -> Option<Reached> {
        let listener = self.info.listener.clone()?;
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
        self.info.meters.up.saw(&early);
        match self.find_server(&listener, peer, addrs, early).await {
            Ok(reached) => {
                self.connected();
                Some(reached)
            }
            Err(stop) => {
                add(&listener.counters.failed, 1);
                self.info.failed(&stop);
                tracing::debug!(listener = %config.name, client = %peer, %stop, "client reset");
                None
            }
        }
    }

    /// Tries servers here, each once, and neighbours until one is connected.
    async fn find_server(
        &mut self,
        listener: &Listener,
        peer: SocketAddr,
        addrs: Option<(SocketAddr, SocketAddr)>,
        bytes: Bytes,
    ) -> Result<Reached, Stop> {
        let mut choice = Choice::default();
        let mut early = Early::default();
        early.push(bytes);
        let (mut pauses, mut released) = (PAUSES.into_iter(), false);
        loop {
            let picked = self.adaptor.pick(listener, &mut choice);
            self.info.target.replace(choice.target.take());
            match picked {
                None => {
                    // Routers on the way may be about to find a new one; where servers are known to fail, waiting is of no use.
                    let Some(pause) = pauses.next().filter(|_| released) else {
                        return Err(Stop::Refused { again: false });
                    };
                    sleep(pause).await;
                    (choice, released) = (Choice::default(), false);
                }
                Some(Picked::Server(key, connector)) => {
                    let origin = || self.origin(peer, addrs);
                    let wanted = connector.as_ref().is_some_and(|connector| connector.config.send_proxy.is_some());
                    let origin = wanted.then(origin).flatten();
                    let alpn = self.alpn();
                    if self.connect(key, connector, origin, alpn).await {
                        return Ok(Reached::Server(early.into_bytes()));
                    }
                }
                Some(Picked::Far(address, hop)) => {
                    let alpn =
                        self.alpn().and_then(|mut alpn| alpn.pop()).and_then(|alpn| String::from_utf8(alpn).ok());
                    let origin = self.origin(peer, addrs);
                    let correlation = self.adaptor.identity(&self.info);
                    let head = Head { to: address.as_ref().to_owned(), alpn, origin, correlation, ..Head::default() };
                    self.info.meters.up.written.set(early.len() as u64);
                    let (core, flow) = (self.adaptor.directory(), self.adaptor.links().open());
                    let mut exchange = match Exchange::begin(core, flow, head, hop, early) {
                        Ok(exchange) => exchange,
                        Err(back) => {
                            early = back;
                            continue;
                        }
                    };
                    let meters = &self.info.meters;
                    let answer = step(&mut exchange, &mut self.client, &meters.up, &meters.down);
                    match tokio::time::timeout(ANSWER_LIMIT, answer).await {
                        Ok(Ok(_)) => return Ok(Reached::Far(Box::new(exchange))),
                        Ok(Err(Stop::Refused { again })) => {
                            early = exchange.take_early();
                            released = again;
                            if again {
                                choice.again(hop);
                            }
                        }
                        Ok(Err(stop)) => return Err(stop),
                        Err(_) => return Err(Stop::Silent),
                    }
                }
            }
        }
    }

    /// The server is connected, and so are all sockets of this router.
    pub(crate) fn connected(&self) {
        if let Some(client) = &self.info.client {
            client.note_tls(self.client.as_ref());
        }
        if self.server.is_some() {
            self.info.server.get_or_init(|| SocketInfo::new(None)).note_tls(self.server.as_ref());
        }
        if let (Some(listener), Some(target)) = (&self.info.listener, self.info.target.borrow().as_deref()) {
            listener.count_address(target);
        }
        self.info.connected.set(true);
        self.adaptor.flow_connected(&self.info);
    }

    /// Connects to a server that was picked. False if that is impossible.
    pub(crate) async fn connect(
        &mut self,
        key: ServerKey,
        connector: Option<Rc<Connector>>,
        origin: Option<Origin>,
        alpn: Option<Vec<Vec<u8>>>,
    ) -> bool {
        self.server_key = Some(key);
        let Some(connector) = connector else {
            self.release_server();
            return false;
        };
        self.info.connector.replace(Some(Rc::clone(&connector)));
        match connector.connect(origin, alpn).await {
            Ok(stream) => {
                add(&connector.counters.opened, 1);
                if let Some(record) = self.info.record.borrow().as_deref() {
                    record.tried(&connector.config.name, Ok(stream.local_addr().ok()));
                }
                self.server = Some(stream);
                true
            }
            Err(error) => {
                add(&connector.counters.failed, 1);
                tracing::debug!(connector = %connector.config.name, %error, "trying another server");
                if let Some(record) = self.info.record.borrow().as_deref() {
                    record.tried(&connector.config.name, Err(error.to_string()));
                }
                self.info.connector.replace(None);
                self.release_server();
                false
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
            let unread = relay.unread();
            let stalled = (unread.client || unread.server).then_some(unread.stalled);
            let look = || {
                let client = unread.client.then(|| pending_error(client)).flatten().map(Broken::Client);
                client.or_else(|| unread.server.then(|| pending_error(server)).flatten().map(Broken::Server))
            };
            check.poll(cx, stalled, look).map(Err)
        })
        .await
    }
}

/// What a client or a stream may be sent to next.
pub(crate) enum Picked {
    /// A server of this router; without its connector if that was removed just now.
    Server(ServerKey, Option<Rc<Connector>>),
    /// A neighbour, for this address.
    Far(Rc<str>, u32),
}

/// How often all neighbours are tried again when none of them could reach a server.
pub(crate) const ROUNDS: u32 = 2;

/// How often a neighbour that knows of other servers than the one that it could not reach is tried again at once.
const AGAIN: u32 = 8;

/// What a search for a server has tried so far.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    /// Servers that were tried.
    pub(crate) tried: Vec<ServerKey>,
    /// Addresses of which all servers were tried.
    pub(crate) exhausted: Vec<Rc<str>>,
    /// Neighbours that were tried for the present address in this round, and how many rounds there were before.
    pub(crate) hops: Vec<u32>,
    pub(crate) rounds: u32,
    /// Name of the `listenerAddress` that was chosen last.
    pub(crate) target: Option<Rc<str>>,
    /// How often one of them was tried again at once.
    again: u32,
}

impl Choice {
    /// A neighbour that was tried may find another server.
    fn again(&mut self, hop: u32) {
        if self.again < AGAIN {
            self.again += 1;
            self.hops.retain(|tried| *tried != hop);
        }
    }

    /// Nobody of this address is left.
    pub(crate) fn exhaust(&mut self, address: Rc<str>) {
        self.exhausted.push(address);
        self.hops.clear();
        self.rounds = 0;
    }
}

/// Finds out that a socket is dead which is not being read at the moment.
///
/// The kernel keeps the error until somebody asks. A timer, started at the first stall and left running while stalls come and go, costs
/// less than a second registration of each socket.
#[derive(Debug, Default)]
struct LivenessCheck {
    timer: Option<Pin<Box<Sleep>>>,
}

impl LivenessCheck {
    /// `stalled`: whether a socket is not read because the other side takes nothing; `None` if all are read. `look` finds what is wrong.
    fn poll<E>(&mut self, cx: &mut Context<'_>, stalled: Option<bool>, look: impl Fn() -> Option<E>) -> Poll<E> {
        let Some(stalled) = stalled else {
            // A timer that still runs is left to fire once for nothing.
            self.timer.take_if(|timer| timer.is_elapsed());
            return Poll::Pending;
        };
        let period = if stalled { STALLED_CHECK } else { HALF_OPEN_CHECK };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(period)));
        while timer.as_mut().poll(cx).is_ready() {
            if let Some(error) = look() {
                return Poll::Ready(error);
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
