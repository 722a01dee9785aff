//! What is told of single flows to whoever collects records of them (vanflow).
//!
//! A flow belongs to the router of its listener, which gives it a number while somebody collects. The number travels in front of the stream, so that the
//! router of the connector can tell what it knows. Flows pay nothing for it while nobody collects; then control asks for what has changed once a
//! second, and nothing is sent for a flow from its own task.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http_observer::Protocol;
use router_core::vanflow::MAX_FLOWS;

use crate::adaptor::TcpAdaptor;
use crate::flow::FlowInfo;
use crate::tap::{RequestReport, Requests, Tap};

/// Ends of flows that may wait to be asked for, on each worker. Those beyond are left out; what listeners and connectors count has them.
pub(crate) const MAX_ENDED: usize = 5000;
/// The longest identity that another router may give a flow.
const MAX_IDENTITY: usize = 64;

/// Which flow a report is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlowId {
    /// The `n`th of this worker's listeners since it began.
    Own(u64),
    /// One of another router, which calls it so.
    Other(Arc<str>),
}

/// What is new of a flow.
#[derive(Debug, Clone)]
pub struct FlowReport {
    /// Which one.
    pub id: FlowId,
    /// The listener that took it; none of one of another router.
    pub listener: Option<String>,
    /// The `listenerAddress` that it goes to, of a listener that has several.
    pub listener_address: Option<String>,
    /// The connector that serves it, if it is one of this router's.
    pub connector: Option<String>,
    /// The client, of one of our own.
    pub client: Option<SocketAddr>,
    /// Our address toward the server, once it is connected.
    pub proxy: Option<SocketAddr>,
    /// Bytes from the client, and to it.
    pub octets: u64,
    /// See `octets`.
    pub octets_reverse: u64,
    /// From the first byte of the client to the first of the server, as this router saw it.
    pub latency: Option<Duration>,
    /// When a client was accepted; none of one of another router.
    pub began: Option<Instant>,
    /// When it ended, if it is over.
    pub ended: Option<Instant>,
    /// Why, unless both sides ended it.
    pub error: Option<String>,
    /// Why the last server of this router that was tried could not be reached; `connector` is its.
    pub unreachable: Option<String>,
}

/// The part of it that a flow keeps.
#[derive(Debug)]
pub(crate) struct Record {
    id: FlowId,
    pub(crate) proxy: Cell<Option<SocketAddr>>,
    pub(crate) error: RefCell<Option<String>>,
    /// The connector that was tried last and did not reach its server, and why.
    unreachable: RefCell<Option<(String, String)>>,
    /// What the last report said.
    told: Cell<Option<(u64, u64, bool)>>,
}

/// What a worker's adaptor keeps of records.
#[derive(Debug, Default)]
pub(crate) struct Records {
    /// Who collects: the source that identities begin with. None: nobody does.
    source: RefCell<Option<Arc<str>>>,
    /// Requests that were seen in flows, and the numbers of both.
    pub(crate) requests: Rc<Requests>,
    /// Open flows of our own that have a record: no more than the whole router may tell of, so that a look at them stays short.
    open: Cell<usize>,
    ended: RefCell<Vec<FlowReport>>,
}

impl Record {
    const fn new(id: FlowId) -> Self {
        Self {
            id,
            proxy: Cell::new(None),
            error: RefCell::new(None),
            unreachable: RefCell::new(None),
            told: Cell::new(None),
        }
    }

    /// A connector was tried: it reached its server, from this address, or did not, because of this.
    pub(crate) fn tried(&self, connector: &str, reached: Result<Option<SocketAddr>, String>) {
        self.unreachable.replace(match reached {
            Ok(proxy) => {
                self.proxy.set(proxy);
                None
            }
            Err(error) => Some((connector.to_owned(), error)),
        });
    }

    fn report(&self, info: &FlowInfo, ended: Option<Instant>) -> FlowReport {
        let meters = &info.meters;
        let own = matches!(self.id, FlowId::Own(_));
        let connector = info.connector.borrow().as_ref().map(|connector| connector.config.name.clone());
        let (tried, unreachable) = self.unreachable.borrow().clone().unzip();
        FlowReport {
            id: self.id.clone(),
            listener: info.listener.as_ref().map(|listener| listener.config.name.clone()),
            listener_address: info.target.borrow().as_deref().map(str::to_owned),
            connector: connector.or(tried),
            client: info.client.as_ref().and_then(|client| client.peer),
            proxy: self.proxy.get(),
            octets: if own { meters.up.read.get() } else { 0 },
            octets_reverse: if own { meters.down.written.get() } else { 0 },
            latency: meters.latency(),
            unreachable,
            began: info.client.as_ref().map(|client| client.since.into_std()),
            ended,
            error: self.error.borrow().clone(),
        }
    }

    /// Whether a report would say something new.
    fn is_new(&self, info: &FlowInfo) -> bool {
        let connected = info.connected.get();
        let now = match self.id {
            FlowId::Own(_) => (info.meters.up.read.get(), info.meters.down.written.get(), connected),
            // Its owner counts.
            FlowId::Other(_) if !connected => return false,
            FlowId::Other(_) => (0, u64::from(info.meters.latency().is_some()), connected),
        };
        self.told.replace(Some(now)) != Some(now)
    }
}

impl TcpAdaptor {
    /// Somebody collects records of flows now, which are identities of this source; or nobody does any more.
    pub fn collect(&self, source: Option<Arc<str>>) {
        let begins = source.is_some();
        *self.records.source.borrow_mut() = source;
        if begins {
            self.each_flow(|entry| self.begin_record(&entry.info));
            return;
        }
        let own = |record: &Record| matches!(record.id, FlowId::Own(_));
        self.each_flow(|entry| {
            if let Some(tap) = entry.info.meters.tap() {
                tap.finish();
            }
            if entry.info.record.borrow().as_deref().is_some_and(own) {
                *entry.info.record.borrow_mut() = None;
                self.group.count_records(-1);
            }
        });
        self.records.open.set(0);
        self.records.requests.clear();
        let mut ended = self.records.ended.borrow_mut();
        let before = ended.len();
        ended.retain(|report| matches!(report.id, FlowId::Other(_)));
        self.group.count_records(ended.len() as isize - before as isize);
    }

    /// What is new of flows since it was asked last.
    pub fn poll_records(&self) -> Vec<FlowReport> {
        let mut reports = Vec::new();
        self.each_flow(|entry| {
            if let Some(record) = entry.info.record.borrow().as_deref()
                && record.is_new(&entry.info)
            {
                reports.push(record.report(&entry.info, None));
            }
        });
        let ended = std::mem::take(&mut *self.records.ended.borrow_mut());
        self.group.count_records(-(ended.len() as isize));
        reports.extend(ended);
        reports
    }

    /// A flow of one of our listeners gets a record, if somebody collects.
    pub(crate) fn begin_record(&self, info: &FlowInfo) {
        if info.listener.is_none() || self.records.source.borrow().is_none() || info.record.borrow().is_some() {
            return;
        }
        if self.records.open.get() >= MAX_FLOWS {
            return;
        }
        self.records.open.set(self.records.open.get() + 1);
        let n = self.records.requests.number();
        *info.record.borrow_mut() = Some(Box::new(Record::new(FlowId::Own(n))));
        self.group.count_records(1);
    }

    /// Looks for requests in a flow that has just begun and has a record, if its listener wants that.
    pub(crate) fn observe(&self, info: &FlowInfo) {
        let Some(listener) = &info.listener else { return };
        let Some(wanted) = listener.observer.get() else {
            let client = info.client.as_ref().and_then(|client| client.peer);
            tracing::debug!(listener = %listener.config.name, ?client, "no protocol observer setup for this connection");
            return;
        };
        if let Some(FlowId::Own(flow)) = info.record.borrow().as_deref().map(|record| &record.id) {
            let tap = Tap::new(wanted, *flow, Rc::clone(listener), Rc::clone(&self.records.requests));
            info.meters.observe(&Rc::new(tap));
        }
    }

    /// What is new of requests in flows, and how many more there were since it was asked last. To be asked after
    /// [`poll_records`](Self::poll_records), which tells of the flows.
    pub fn poll_requests(&self) -> (Vec<RequestReport>, u64) {
        let (mut reports, left_out) = self.records.requests.take();
        self.each_flow(|entry| {
            if let Some(tap) = entry.info.meters.tap() {
                tap.poll(&mut reports);
            }
        });
        (reports, left_out)
    }

    /// Flows that are known to carry HTTP/1, and HTTP/2.
    #[must_use]
    pub fn http_flows(&self) -> [usize; 2] {
        let mut found = [0, 0];
        self.each_flow(|entry| {
            if let Some(protocol) = entry.info.meters.tap().and_then(|tap| tap.protocol()) {
                found[usize::from(protocol == Protocol::Http2)] += 1;
            }
        });
        found
    }

    /// The owner of a flow that came from another router calls it so.
    pub(crate) fn adopt_record(&self, info: &FlowInfo, identity: &str) {
        if identity.len() <= MAX_IDENTITY {
            *info.record.borrow_mut() = Some(Box::new(Record::new(FlowId::Other(identity.into()))));
            self.group.count_records(1);
        }
    }

    /// What the other router is to call a flow of ours.
    pub(crate) fn identity(&self, info: &FlowInfo) -> Option<String> {
        let record = info.record.borrow();
        let FlowId::Own(n) = record.as_deref()?.id else { return None };
        let source = self.records.source.borrow().clone()?;
        Some(format!("{source}:{}", self.group.flow_number(n, self.index)))
    }

    /// A flow is over.
    pub(crate) fn end_record(&self, info: &FlowInfo) {
        if let Some(tap) = info.meters.tap() {
            tap.finish();
        }
        let Some(record) = info.record.take() else { return };
        if matches!(record.id, FlowId::Own(_)) {
            self.records.open.set(self.records.open.get().saturating_sub(1));
        }
        let mut ended = self.records.ended.borrow_mut();
        if ended.len() < MAX_ENDED {
            ended.push(record.report(info, Some(Instant::now())));
        } else {
            self.group.count_records(-1);
        }
    }
}
