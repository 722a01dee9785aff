//! A worker's share of the AMQP adaptor.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use amqp_proto::connection::{Config, Connection, Limits, ServerSasl, Side};
use amqp_proto::{Error, Str, condition};
use router_core::{Core, WorkerBatch, WorkerId};
use transport::{Closed, MailReceiver, MailSender, Stream};

use crate::auto_link::AutoLinkConfig;
use crate::config::{Identity, ListenerConfig, RouterIdentity};
use crate::conn::{Conn, Details, Origin};
use crate::connector::{Dial, client_sasl};
use crate::drive::{Guard, drive};
use crate::egress::Conns;
use crate::neighbour::Forwarding;
use crate::neighbour::open::{self, Ours};
use crate::neighbour::{ConnectionRole, NeighbourLinks, Neighbours};
use crate::placement::{Place, Placement};

/// A batch of messages of one worker's core for another's.
#[derive(Debug)]
pub struct Mail {
    /// Whose.
    pub from: WorkerId,
    /// What.
    pub batch: WorkerBatch,
}

/// How often deadlines are looked at: a timer for each connection would cost more than looking at all of them this often.
const TICK: Duration = Duration::from_millis(500);

/// So many batches may wait for a worker before it is woken for what it need not know at once.
const QUIET: usize = 64;

/// What a session between routers may have on its way at first, in bytes. Between routers of this make it grows from there
/// ([`Conns::session_most`]).
const ROUTER_WINDOW: u32 = 4 * 1024 * 1024;

/// How long a server may take for SASL and open when nothing is configured.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// How long a connection may stay silent about its close when the router ends.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

thread_local! {
    /// The adaptor of the calling worker, for connections that other workers hand over.
    static CURRENT: RefCell<Weak<Inner>> = const { RefCell::new(Weak::new()) };
}

/// The AMQP adaptor of one worker. Cheap to clone; stays on its thread.
#[derive(Clone, Debug)]
pub struct AmqpAdaptor(pub(crate) Rc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) core: Rc<RefCell<Core>>,
    pub(crate) conns: RefCell<Conns>,
    pub(crate) worker: WorkerId,
    pub(crate) placement: Arc<Placement>,
    pub(crate) identity: RouterIdentity,
    mail: Vec<MailSender<Mail>>,
    inbox: RefCell<MailReceiver<Mail>>,
    /// What was taken from it; empty between calls.
    mails: RefCell<Vec<Mail>>,
    after: RefCell<Option<Hook>>,
    opened: Cell<u64>,
    closed: Cell<u64>,
    draining: Cell<bool>,
    /// Set when the router is part of a network.
    pub(crate) neighbours: OnceCell<Neighbours>,
    links: RefCell<Option<Links>>,
    pub(crate) auto_links: RefCell<Vec<Arc<AutoLinkConfig>>>,
}

/// Told about links to neighbours.
struct Links(Rc<dyn NeighbourLinks>);

impl std::fmt::Debug for Links {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Links")
    }
}

/// Called after each batch.
struct Hook(Rc<dyn Fn()>);

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hook")
    }
}

/// What a worker's connections add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Connections ever accepted.
    pub opened: u64,
    /// Connections that are gone.
    pub closed: u64,
    /// Frames read of open connections.
    pub frames_in: u64,
    /// Frames written of open connections.
    pub frames_out: u64,
}

/// One open connection, for those who look.
#[derive(Clone, Debug)]
pub struct ConnectionInfo {
    /// Its number, unique in the router.
    pub id: u64,
    /// The peer's address.
    pub peer: String,
    /// The peer's container-id; empty before its open.
    pub container: String,
    /// Name of the listener, or of the connector.
    pub listener: String,
    /// The router made it.
    pub outgoing: bool,
    /// What it is for.
    pub role: ConnectionRole,
    /// Who the peer is.
    pub identity: Identity,
    /// Since when.
    pub opened: Instant,
    /// TLS protocol, if any.
    pub tls: Option<&'static str>,
}

impl AmqpAdaptor {
    /// The adaptor of the calling worker.
    ///
    /// `mail` has a sender for each worker, the own one included, and `inbox` is what others send to this one.
    pub fn new(
        core: Rc<RefCell<Core>>,
        worker: WorkerId,
        identity: RouterIdentity,
        placement: Arc<Placement>,
        mail: Vec<MailSender<Mail>>,
        inbox: MailReceiver<Mail>,
    ) -> Self {
        let inner = Rc::new(Inner {
            core,
            conns: RefCell::new(Conns::new(mail.len())),
            worker,
            placement,
            identity,
            mail,
            inbox: RefCell::new(inbox),
            mails: RefCell::default(),
            after: RefCell::new(None),
            opened: Cell::new(0),
            closed: Cell::new(0),
            draining: Cell::new(false),
            neighbours: OnceCell::new(),
            links: RefCell::new(None),
            auto_links: RefCell::default(),
        });
        CURRENT.with_borrow_mut(|current| *current = Rc::downgrade(&inner));
        transport::worker::spawn("mail", read_mail(Rc::downgrade(&inner)));
        transport::worker::spawn("timeouts", tick(Rc::downgrade(&inner)));
        Self(inner)
    }

    /// Calls `hook` after each batch of work, when everything was handed to the core and nothing is borrowed: for those who
    /// want to know what changed in the core.
    pub fn after_batch(&self, hook: impl Fn() + 'static) {
        *self.0.after.borrow_mut() = Some(Hook(Rc::new(hook)));
    }

    /// Makes the worker a part of a network: what happens with neighbours is told there. To be called once, before connections are made.
    pub fn join(&self, neighbours: Neighbours) {
        *self.0.links.borrow_mut() = Some(Links(Rc::new(Forwarding::default())));
        // A second call does nothing.
        let _ = self.0.neighbours.set(neighbours);
    }

    /// Tells somebody about the links to neighbours: the forwarding plane.
    pub fn set_neighbour_links(&self, links: Rc<dyn NeighbourLinks>) {
        *self.0.links.borrow_mut() = Some(Links(links));
    }

    /// Lets the core do something that has effects on connections. They are written by the next [`flush`](Self::flush).
    pub fn with_core<R>(&self, f: impl FnOnce(&mut Core, &mut Conns) -> R) -> R {
        f(&mut self.0.core.borrow_mut(), &mut self.0.conns.borrow_mut())
    }

    /// Passes on what the core owes after calls that did not come from here.
    pub fn flush(&self) {
        {
            let mut core = self.0.core.borrow_mut();
            core.end_batch(&mut *self.0.conns.borrow_mut());
        }
        self.0.write_dirty();
    }

    /// What the connections add up to.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let conns = self.0.conns.borrow();
        let mut totals = Totals { opened: self.0.opened.get(), closed: self.0.closed.get(), ..Totals::default() };
        for (_, conn) in &conns.slab {
            let stats = conn.engine.stats();
            totals.frames_in += stats.frames_in;
            totals.frames_out += stats.frames_out;
        }
        totals
    }

    /// The open connections.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnectionInfo> {
        let conns = self.0.conns.borrow();
        conns.slab.iter().map(|(_, conn)| conn.info()).collect()
    }

    /// How many connections are open.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.0.conns.borrow().slab.len()
    }

    /// Closes every connection with `amqp:connection:forced`, as the router ends, and takes no others. Those whose peers do not answer are cut after two seconds.
    pub fn close_all(&self) {
        self.0.draining.set(true);
        let ids = self.0.conns.borrow().ids();
        for id in ids {
            self.close(id, Error::new(condition::CONNECTION_FORCED, "the router is shutting down"));
        }
        self.flush();
    }

    pub(crate) fn close(&self, id: u32, error: Error) {
        let mut core = self.0.core.borrow_mut();
        let mut conns = self.0.conns.borrow_mut();
        if let Some(conn) = conns.get(id) {
            conn.close(error, Instant::now() + CLOSE_LIMIT);
            let neighbour = conn.neighbour.take();
            if let Some(key) = conn.key.take() {
                core.connection_closed(key, &mut *conns);
            }
            if let Some(neighbour) = neighbour {
                self.0.neighbour_closed(&mut core, &mut conns, &neighbour, "the router is shutting down".to_owned());
            }
            conns.touch(id);
        }
    }
}

impl Conn {
    /// When the links of a neighbour have to be there, unless they are or the connection is ending.
    fn setup_by(&self) -> Option<Instant> {
        self.neighbour.as_ref().and_then(|neighbour| neighbour.setup_by).filter(|_| self.details.end_by.is_none())
    }

    fn info(&self) -> ConnectionInfo {
        ConnectionInfo {
            id: self.details.id,
            peer: self.details.peer.to_string(),
            container: self.details.container.clone(),
            listener: self.origin.name().to_owned(),
            outgoing: matches!(self.origin, Origin::Connector(_)),
            role: self.neighbour.as_ref().map_or_else(|| self.origin.role(), |neighbour| neighbour.info.role),
            identity: self.details.identity.clone(),
            opened: self.details.opened,
            tls: self.stream.tls().map(transport::tls::TlsStream::protocol),
        }
    }
}

impl Inner {
    /// The adaptor of the calling worker, if there is one.
    pub(crate) fn current() -> Option<Rc<Self>> {
        CURRENT.with_borrow(Weak::upgrade)
    }

    /// Takes over an accepted connection, after its TLS handshake if it has one.
    pub(crate) fn adopt_accepted(
        self: &Rc<Self>,
        stream: Stream,
        peer: &str,
        place: Place,
        listener: Arc<ListenerConfig>,
    ) {
        let side = Side::Server(server_sasl(&listener, &stream));
        self.adopt(stream, peer, place, Origin::Listener(listener), side);
    }

    /// Takes over a connection that a connector made. `None` if the router ends.
    pub(crate) fn adopt_dialled(self: &Rc<Self>, stream: Stream, dial: &Rc<Dial>) -> Option<u32> {
        let role = dial.run.role(dial.part);
        let place = Place::at(&self.placement, usize::from(self.worker.0), role);
        let side = Side::Client(client_sasl(&dial.run.config));
        let peer = stream.peer_addr().map_or_else(|_| dial.hostname().to_owned(), |addr| addr.to_string());
        let slot = self.adopt(stream, &peer, place, Origin::Connector(Rc::clone(dial)), side);
        if slot.is_some() {
            // A client speaks first.
            if let Some(slot) = slot {
                self.conns.borrow_mut().touch(slot);
            }
            self.write_dirty();
        }
        slot
    }

    /// Closes a connection that a connector made, if it is still there.
    pub(crate) fn close_dialled(&self, slot: u32, dial: &Rc<Dial>, text: &str) {
        {
            let mut conns = self.conns.borrow_mut();
            conns.touch(slot);
            match conns.get(slot) {
                Some(conn) if matches!(&conn.origin, Origin::Connector(other) if Rc::ptr_eq(other, dial)) => {
                    conn.close(Error::new(condition::CONNECTION_FORCED, text.to_owned()), Instant::now() + CLOSE_LIMIT);
                }
                _ => return,
            }
        }
        self.write_dirty();
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    pub(crate) fn links_hook(&self) -> Option<Rc<dyn NeighbourLinks>> {
        self.links.borrow().as_ref().map(|links| Rc::clone(&links.0))
    }

    fn adopt(self: &Rc<Self>, stream: Stream, peer: &str, place: Place, origin: Origin, side: Side) -> Option<u32> {
        if self.draining.get() {
            // It was accepted, or began its TLS handshake, before the router began to end.
            return None;
        }
        let now = Instant::now();
        let id = transport::socket::next_id();
        let engine = Connection::new(self.engine_config(&origin, id), side, now);
        let annotates = origin.role() == ConnectionRole::InterNetwork || origin.annotations().given;
        let conn = Conn {
            engine,
            stream,
            origin,
            annotates,
            key: None,
            neighbour: None,
            bytes_in: 0,
            bytes_out: 0,
            leftover: Vec::new(),
            waker: None,
            dirty: false,
            unwritable: false,
            wants_write: false,
            starved: false,
            broken: false,
            ending: false,
            input_ended: false,
            traced: None,
            details: Box::new(Details {
                id,
                peer: peer.into(),
                opened: now,
                identity: Identity::default(),
                sasl: None,
                container: String::new(),
                properties: None,
                streams: None,
                test_links: None,
                auto_links: None,
                place,
                end_by: None,
                reason: None,
                told: 0,
            }),
        };
        let slot = index(self.conns.borrow_mut().slab.insert(conn));
        self.opened.set(self.opened.get() + 1);
        let guard = Guard { inner: Rc::clone(self), id: slot };
        transport::worker::spawn("amqp connection", drive(guard));
        Some(slot)
    }

    fn engine_config(&self, origin: &Origin, id: u64) -> Config {
        let role = origin.role();
        let ours = |group, custom| Ours {
            id,
            version: &self.identity.version,
            role,
            cost: origin.cost(),
            workers: u32::try_from(self.mail.len()).unwrap_or(u32::MAX),
            group,
            failover: match origin {
                Origin::Listener(listener) => &listener.failover,
                Origin::Connector(_) => &[],
            },
            access: match origin {
                Origin::Listener(listener) => listener.access_id.as_deref(),
                Origin::Connector(_) => None,
            },
            custom,
        };
        let capabilities = open::capabilities(role, origin.annotations().read);
        let defaults = Limits::default();
        let limits = match role.is_router() {
            true => Limits { session_bytes: ROUTER_WINDOW, first_window_bytes: ROUTER_WINDOW, ..defaults },
            false => defaults,
        };
        let common = Config {
            limits,
            container_id: Str::from(self.identity.id.as_str()),
            desired_capabilities: if open::is_trunk(role) { capabilities.clone() } else { Default::default() },
            offered_capabilities: capabilities,
            ..Config::default()
        };
        match origin {
            Origin::Listener(listener) => Config {
                max_frame_size: listener.max_frame_size,
                channel_max: channel_max(listener.max_sessions),
                idle_timeout: listener.idle_timeout,
                handshake_timeout: listener.handshake_timeout,
                properties: Some(open::properties(&ours(None, &listener.open_properties))),
                ..common
            },
            Origin::Connector(dial) => {
                let config = &dial.run.config;
                let grouped = config.role == ConnectionRole::InterRouter;
                let group = grouped.then(|| (dial.run.correlator.as_str(), config.ordinal));
                Config {
                    hostname: Some(Str::from(dial.hostname())),
                    max_frame_size: config.max_frame_size,
                    channel_max: channel_max(config.max_sessions),
                    idle_timeout: config.idle_timeout,
                    handshake_timeout: Some(config.handshake_timeout.unwrap_or(HANDSHAKE_LIMIT)),
                    properties: Some(open::properties(&ours(group, &config.open_properties))),
                    ..common
                }
            }
        }
    }

    /// The connection's task has ended.
    pub(crate) fn remove(&self, id: u32) {
        let Some(conn) = self.conns.borrow_mut().slab.try_remove(id as usize) else { return };
        self.closed.set(self.closed.get() + 1);
        let reason = conn.details.reason.clone().unwrap_or_else(|| "lost".to_owned());
        if conn.key.is_some() || conn.neighbour.is_some() {
            let mut core = self.core.borrow_mut();
            let mut conns = self.conns.borrow_mut();
            if let Some(key) = conn.key {
                crate::policy::log_end(&core, key, &conn);
                core.connection_closed(key, &mut *conns);
            }
            if let Some(neighbour) = &conn.neighbour {
                self.neighbour_closed(&mut core, &mut conns, neighbour, reason.clone());
            }
            core.end_batch(&mut *conns);
        }
        if let Origin::Connector(dial) = &conn.origin {
            dial.ended(format!("[C{}] Connection to {} {reason}", conn.details.id, conn.details.peer));
        }
        drop(conn);
        self.write_dirty();
        let mut conns = self.conns.borrow_mut();
        if conns.slab.is_empty() {
            conns.forget_memory();
        }
    }

    /// Sends what the core has for other workers.
    pub(crate) fn post(&self, conns: &mut Conns) {
        for (batch, mail) in conns.outgoing.iter_mut().zip(&self.mail) {
            if !batch.is_empty() {
                let batch = std::mem::replace(batch, conns.spare_batches.pop().unwrap_or_default());
                let most = if batch.is_urgent() { 1 } else { QUIET };
                // A worker that is gone takes its connections with it.
                let _ = mail.push_quietly(Mail { from: self.worker, batch }, most);
            }
        }
        // Behind the mail: what is asked of others there may make this needless, and what was lent there is the answer.
        let Some(neighbours) = self.neighbours.get() else { return };
        for neighbour in conns.streams_wanted.drain(..) {
            neighbours.open_stream(&neighbour, self.worker.0);
        }
        for (neighbour, worker) in conns.streams_answered.drain(..) {
            neighbours.stream_answered(&neighbour, worker);
        }
    }

    /// Handles what other workers have sent by now. Called before anything that may follow from it: what a worker posts is posted before
    /// it writes to its connections, so an answer that comes from another router finds the address that was made for it.
    pub(crate) fn take_mail(&self, core: &mut Core, conns: &mut Conns) {
        if self.mail.len() > 1 && self.inbox.borrow_mut().try_drain(&mut self.mails.borrow_mut()) {
            self.handle_mail(core, conns);
        }
    }

    /// Handles what other workers have sent by now, and nothing else.
    pub(crate) fn read_mail(&self) {
        self.take_mail(&mut self.core.borrow_mut(), &mut self.conns.borrow_mut());
        self.write_dirty();
    }

    fn handle_mail(&self, core: &mut Core, conns: &mut Conns) {
        for mail in self.mails.borrow_mut().drain(..) {
            let spare = core.worker_batch(mail.from, mail.batch, conns);
            conns.keep_batch(spare);
        }
        core.end_batch(conns);
    }

    pub(crate) fn after_batch(&self) {
        let hook = self.after.borrow().as_ref().map(|hook| Rc::clone(&hook.0));
        if let Some(hook) = hook {
            hook();
        }
    }

    /// Looks at the deadlines of all connections and of the core.
    fn handle_timeouts(&self, now: Instant) {
        let ids: Vec<u32> = {
            let conns = self.conns.borrow();
            let due = |conn: &Conn| {
                conn.engine.poll_timeout().is_some_and(|at| at <= now)
                    || conn.details.end_by.is_some_and(|at| at <= now)
                    || conn.setup_by().is_some_and(|at| at <= now)
                    || conn.details.auto_links.as_ref().is_some_and(|autos| autos.is_due(now))
            };
            conns.slab.iter().filter(|(_, conn)| due(conn)).map(|(id, _)| index(id)).collect()
        };
        {
            let mut core = self.core.borrow_mut();
            let mut conns = self.conns.borrow_mut();
            for id in ids {
                let Some(conn) = conns.get(id) else { continue };
                if conn.details.end_by.is_some_and(|at| at <= now) {
                    conn.broken = true;
                    crate::egress::wake(conn);
                    continue;
                }
                if conn.setup_by().is_some_and(|at| at <= now) {
                    let text = "the links between routers were not attached in time";
                    conn.close(Error::new(condition::CONNECTION_FORCED, text), now + CLOSE_LIMIT);
                }
                let event = conn.engine.handle_timeout(now);
                Self::retry_auto_links(&mut conns, id, now);
                if let Some(event) = event {
                    self.on_event(&mut core, &mut conns, id, event);
                }
            }
            core.observe(now);
            if core.poll_timeout().is_some_and(|at| at <= now) {
                core.handle_timeout(now, &mut *conns);
            }
            // Of some of it nobody told us.
            self.take_mail(&mut core, &mut conns);
            core.end_batch(&mut *conns);
        }
        self.write_dirty();
    }
}

fn channel_max(sessions: u32) -> u16 {
    u16::try_from(sessions.clamp(1, 65_536) - 1).unwrap_or(u16::MAX)
}

/// Slab indices fit: a worker has fewer connections than descriptors.
fn index(id: usize) -> u32 {
    u32::try_from(id).unwrap_or(u32::MAX)
}

fn server_sasl(listener: &ListenerConfig, stream: &Stream) -> ServerSasl {
    let certified = stream.tls().is_some_and(|tls| tls.peer_certificates().is_some());
    let checked = listener.sasl.as_ref().map_or(&[][..], |sasl| sasl.mechanisms());
    let possible = |name: &str| match name {
        "EXTERNAL" => certified,
        "ANONYMOUS" => !listener.authenticate_peer,
        // In the clear only for those who ask for it.
        "PLAIN" | "LOGIN" if stream.tls().is_none() && listener.sasl_mechanisms.is_empty() => false,
        name => checked.iter().any(|checked| checked == name),
    };
    let wanted: Vec<&str> = if listener.sasl_mechanisms.is_empty() {
        let checked = checked.iter().map(String::as_str).filter(|name| !matches!(*name, "EXTERNAL" | "ANONYMOUS"));
        std::iter::once("EXTERNAL").chain(checked).chain(["ANONYMOUS"]).collect()
    } else {
        listener.sasl_mechanisms.iter().map(String::as_str).collect()
    };
    ServerSasl {
        mechanisms: wanted.into_iter().filter(|name| possible(name)).collect(),
        allow_bare: !listener.authenticate_peer,
    }
}

async fn read_mail(inner: Weak<Inner>) {
    let next = |cx: &mut Context<'_>| match inner.upgrade() {
        Some(inner) => inner.inbox.borrow_mut().poll_drain(cx, &mut inner.mails.borrow_mut()),
        None => Poll::Ready(Err(Closed)),
    };
    while poll_fn(next).await.is_ok() {
        let Some(inner) = inner.upgrade() else { return };
        inner.handle_mail(&mut inner.core.borrow_mut(), &mut inner.conns.borrow_mut());
        inner.write_dirty();
    }
}

async fn tick(inner: Weak<Inner>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let Some(inner) = inner.upgrade() else { return };
        inner.handle_timeouts(Instant::now());
    }
}
