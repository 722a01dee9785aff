//! One connection of a connector: made, watched, and made again.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use amqp_proto::connection::ClientSasl;
use tokio::sync::{Notify, watch};
use transport::socket::{ConnectOptions, TcpOptions, connect};
use transport::{PlainStream, Stream};

use super::backoff::Backoff;
use super::{ConnectorConfig, Part, Run, Wanted, proxy};
use crate::neighbour::open::{Place, Theirs};
use crate::neighbour::{ConnectionRole, NeighbourInfo};
use crate::worker::Inner;

/// How long each step of connecting may take when nothing is configured.
const STEP_LIMIT: Duration = Duration::from_secs(10);

/// What a connection tells the task that made it. Stays on the worker.
#[derive(Debug)]
pub(crate) struct Dial {
    pub(crate) run: Arc<Run>,
    pub(crate) part: Part,
    /// Where it leads to.
    pub(crate) place: Place,
    opened: Cell<bool>,
    /// The router at the other end.
    container: RefCell<Option<String>>,
    /// Why it ended.
    ended: RefCell<Option<String>>,
    news: Notify,
}

impl Dial {
    fn new(run: Arc<Run>, part: Part, place: Place) -> Self {
        Self {
            run,
            part,
            place,
            opened: Cell::new(false),
            container: RefCell::new(None),
            ended: RefCell::new(None),
            news: Notify::new(),
        }
    }

    /// The name that the peer is asked for.
    pub(crate) fn hostname(&self) -> &str {
        self.place.hostname.as_deref().unwrap_or(&self.place.host)
    }

    /// A router has opened.
    pub(crate) fn opened(&self, theirs: &Theirs, info: &NeighbourInfo) {
        self.opened_by(theirs, &info.container, info.conn.id);
        match info.role {
            ConnectionRole::InterRouter => self.run.control_opened(info, theirs.workers),
            // Of several connections to interior routers one with the newest credentials is used from here on.
            ConnectionRole::Edge => self.run.take_over(),
            _ => {}
        }
    }

    /// The peer has opened, whoever it is.
    pub(crate) fn opened_by(&self, theirs: &Theirs, container: &str, id: u64) {
        self.opened.set(true);
        *self.container.borrow_mut() = Some(container.to_owned());
        match self.part {
            Part::Control => {
                self.run.targets().opened(theirs.failover.clone());
                let place = self.shown();
                let message = format!("[C{id}] Connection Opened: dir=out host={place} container_id={container}");
                self.run.status().opened(message, theirs.access.clone());
            }
            Part::Data(_) => self.run.status().data += 1,
        }
        self.news.notify_one();
    }

    /// The connection is gone.
    pub(crate) fn ended(&self, reason: String) {
        self.ended.borrow_mut().get_or_insert(reason);
        self.news.notify_one();
    }

    /// As it was configured: a name says more than the address that it had at the moment.
    pub(crate) fn shown(&self) -> String {
        format!("{}:{}", self.place.host, self.place.port)
    }

    /// Whether this connection leads to another router than the one for control does.
    fn strays(&self, wanted: &Wanted) -> bool {
        let container = self.container.borrow();
        let other = |ours: &str| wanted.container.as_deref().is_some_and(|control| control != ours);
        self.part != Part::Control && container.as_deref().is_some_and(other)
    }
}

/// Makes a connection, and makes it again whenever it is lost, as long as it is wanted.
pub(crate) async fn keep_connected(run: Arc<Run>, part: Part) {
    let salt = match part {
        Part::Control => 0,
        Part::Data(n) => 1 + u64::from(n),
    };
    let mut backoff = Backoff::new(run.seed ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut wanted = run.wanted.subscribe();
    loop {
        if Inner::current().is_none_or(|inner| inner.is_draining()) {
            return;
        }
        if !is_wanted(&wanted.borrow_and_update(), part) {
            if run.task_ended(part) {
                return;
            }
            continue;
        }
        let place = run.targets().current();
        if part == Part::Control {
            run.status().connecting(&format!("{}:{}", place.host, place.port));
        }
        let made = tokio::select! {
            made = make(&run.config, &place) => made,
            () = until(&mut wanted, |wanted| !is_wanted(wanted, part)) => continue,
        };
        let dial = Rc::new(Dial::new(Arc::clone(&run), part, place));
        let reason = match made {
            Ok(stream) => watch_over(&dial, stream, &mut wanted, &mut backoff).await,
            Err(reason) => format!("Connection to {} failed: {reason}", dial.shown()),
        };
        if !is_wanted(&wanted.borrow(), part) {
            continue;
        }
        // Another place is tried at once, but not if this one was only lost: both might do nothing but hang up.
        let another = fail(&run, part, &reason) && !dial.opened.get();
        let wait = if another { Duration::ZERO } else { backoff.failed(Instant::now()) };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = until(&mut wanted, |wanted| !is_wanted(wanted, part)) => {}
        }
    }
}

/// Notes a failure. True if there is another place to be tried at once.
fn fail(run: &Run, part: Part, reason: &str) -> bool {
    let name = &run.config.name;
    if part != Part::Control {
        tracing::debug!(target: "SERVER", "Connector {name}: data connection: {reason}");
        return false;
    }
    let another = run.targets().failed();
    let news = run.status().failed(reason);
    const REFUSED: &str = amqp_proto::condition::UNAUTHORIZED_ACCESS;
    match reason.split_once(&format!("{REFUSED}: ")) {
        // Trying again does not help: somebody has to do something, and is told each time. In the reference's form, which others look for.
        Some((place, why)) => tracing::error!(target: "SERVER", "Connector {name}: {place}{REFUSED} {why}"),
        None if news => tracing::info!(target: "SERVER", "Connector {name}: {reason}"),
        None => {}
    }
    another
}

pub(super) fn is_wanted(wanted: &Wanted, part: Part) -> bool {
    let part = match part {
        Part::Control => true,
        Part::Data(n) => n < wanted.data,
    };
    part && wanted.stopped.is_none() && !wanted.retired
}

/// Waits until a condition holds of what is wanted.
async fn until(wanted: &mut watch::Receiver<Wanted>, condition: impl FnMut(&Wanted) -> bool) {
    // The sender lives in the run, which the task holds.
    let _ = wanted.wait_for(condition).await;
}

/// Lets the connection run, and answers why it ended.
async fn watch_over(
    dial: &Rc<Dial>,
    stream: Stream,
    wanted: &mut watch::Receiver<Wanted>,
    backoff: &mut Backoff,
) -> String {
    let Some(slot) = Inner::current().and_then(|inner| inner.adopt_dialled(stream, dial)) else {
        return "the router is shutting down".to_owned();
    };
    let mut noted = false;
    loop {
        if let Some(reason) = dial.ended.borrow_mut().take() {
            if dial.opened.get() && dial.part != Part::Control {
                let mut status = dial.run.status();
                status.data = status.data.saturating_sub(1);
            }
            return reason;
        }
        if dial.opened.get() && !noted {
            noted = true;
            backoff.opened(Instant::now());
        }
        let unwanted = |wanted: &Wanted| {
            let counted = !matches!(dial.part, Part::Data(n) if n >= wanted.data);
            wanted.stopped.is_some() || !counted || dial.strays(wanted)
        };
        let closing = tokio::select! {
            () = dial.news.notified() => false,
            () = until(wanted, unwanted) => true,
        };
        if closing {
            if dial.strays(&wanted.borrow()) {
                let name = &dial.run.config.name;
                tracing::error!(target: "SERVER", "Connection group failure: connections split across routers: connector {name}");
            }
            let text = wanted.borrow().stopped.unwrap_or("not needed any more");
            if let Some(inner) = Inner::current() {
                inner.close_dialled(slot, dial, text);
            }
            while dial.ended.borrow().is_none() {
                dial.news.notified().await;
            }
        }
    }
}

/// Everything before the first byte of AMQP.
async fn make(config: &ConnectorConfig, place: &Place) -> Result<Stream, String> {
    let limit = config.handshake_timeout.unwrap_or(STEP_LIMIT);
    let options = ConnectOptions { family: config.family, timeout: limit, tcp: TcpOptions::default() };
    let socket = match &config.proxy {
        None => connect(&place.host, place.port, &options).await.map_err(|e| e.to_string())?,
        Some(proxy) => {
            let via = proxy.get();
            let socket = connect(&via.host, via.port, &options).await.map_err(|e| format!("proxy: {e}"))?;
            let mut socket = socket.into_inner();
            let tunnel = proxy::tunnel(&mut socket, &via, &place.host, place.port);
            within(limit, "the proxy's answer", tunnel).await?.map_err(|e| e.to_string())?;
            PlainStream::new(socket)
        }
    };
    let Some(tls) = &config.tls else { return Ok(Stream::Plain(socket)) };
    let name = place.hostname.as_deref().unwrap_or(&place.host);
    let handshake = within(limit, "the end of the TLS handshake", tls.connect(name, socket)).await?;
    handshake.map_err(|e| e.to_string())
}

async fn within<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> Result<T, String> {
    tokio::time::timeout(limit, future).await.map_err(|_| format!("{what} did not come within {limit:?}"))
}

/// The ways to authenticate that make sense on a connection, the strongest first.
pub(crate) fn client_sasl(config: &ConnectorConfig) -> ClientSasl {
    let named = |name: &str| config.sasl_mechanisms.iter().any(|m| m == name);
    let allowed = |name: &str| config.sasl_mechanisms.is_empty() || named(name);
    let mut choices = Vec::new();
    if config.tls.as_ref().is_some_and(|tls| tls.has_certificate()) && allowed("EXTERNAL") {
        choices.push(ClientSasl::External { authzid: String::new() });
    }
    if let Some(credentials) = &config.credentials
        // In the clear only for those who ask for it.
        && (named("PLAIN") || (config.tls.is_some() && allowed("PLAIN")))
    {
        let (username, password) = (credentials.username.clone(), credentials.password.clone());
        choices.push(ClientSasl::Plain { username, password });
    }
    if allowed("ANONYMOUS") {
        choices.push(ClientSasl::Anonymous);
    }
    ClientSasl::First(choices)
}
