//! Records of what this router carries, for collectors ([`router_core::vanflow`]). Runs on the control thread, and asks workers once a second, while somebody
//! listens.

mod configured;

use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::{BuildHasher as _, DefaultHasher, Hasher as _, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use amqp_adaptor::Incoming;
use router_core::WatchKey;
use router_core::config::Configuration;
use router_core::vanflow::{Attribute, Said, Topic, Vanflow};
use tcp_adaptor::{FlowId, FlowReport, Group, RequestReport};
use transport::{MailReceiver, WorkerHandle, mailbox};

use super::entities::Running;
use super::worker;
use crate::logging::LogHandle;
use configured::Configured;

/// How often it is looked who listens and what has changed.
const LOOK: Duration = Duration::from_secs(1);

/// The number of watches of ours, which no listener has.
const TOKEN: u64 = u64::MAX;

/// What is told of this router.
#[derive(Debug)]
pub(crate) struct Recorder {
    flow: Vanflow,
    configured: Configured,
    running: Arc<Running>,
    workers: Vec<WorkerHandle>,
    group: Group,
    log: LogHandle,
    watches: Vec<(Topic, WatchKey)>,
    /// When the last entry of the log was written that was looked at.
    logged: Option<jiff::Timestamp>,
    looked: Option<Instant>,
}

impl Recorder {
    /// Begins to consume what collectors ask, on the first worker.
    pub(crate) async fn start(
        configuration: &Configuration,
        running: Arc<Running>,
        workers: Vec<WorkerHandle>,
        log: LogHandle,
    ) -> anyhow::Result<(Self, MailReceiver<Incoming>)> {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let mut flow = Vanflow::new(running.source(), Instant::now(), u64::try_from(epoch).unwrap_or(u64::MAX));
        let configured = Configured::of_router(configuration, &mut flow, Instant::now());
        let (sender, inbox) = mailbox();
        let consumed = [flow.commands(), flow.co_records()];
        let watched = Topic::ALL.map(|topic| (topic, flow.address(topic)));
        let begin = move || {
            let Some(worker) = worker::current() else { return Vec::new() };
            for address in consumed {
                // Refused only where the configuration makes such an address unavailable: then nobody asks.
                let _ = worker.amqp.consume(&address, 0, sender.clone());
            }
            worker.amqp.with_core(|core, _| {
                watched.iter().filter_map(|(topic, address)| Some((*topic, core.watch(address, TOKEN)?))).collect()
            })
        };
        let watches = match workers.first() {
            Some(first) => first.call(begin).await?,
            None => Vec::new(),
        };
        let group = running.tcp_group();
        let recorder = Self { flow, configured, running, workers, group, log, watches, logged: None, looked: None };
        Ok((recorder, inbox))
    }

    /// Runs until the router ends.
    pub(crate) async fn run(mut self, mut inbox: MailReceiver<Incoming>) -> Infallible {
        let mut mails = Vec::new();
        loop {
            let next = if self.is_busy() { self.flow.poll_timeout() } else { Instant::now() + LOOK };
            tokio::select! {
                drained = inbox.drain(&mut mails) => {
                    if drained.is_err() {
                        std::future::pending::<()>().await;
                    }
                    for incoming in mails.drain(..) {
                        self.flow.handle_message(&incoming.message);
                    }
                }
                () = tokio::time::sleep_until(next.into()) => {}
            }
            let now = Instant::now();
            if self.looked.is_none_or(|looked| now >= looked + LOOK) {
                self.looked = Some(now);
                self.look(now).await;
            }
            self.flow.handle_timeout(now);
            self.send();
        }
    }

    /// Somebody listens, or will.
    fn is_busy(&self) -> bool {
        Topic::ALL.into_iter().any(|topic| self.flow.is_heard(topic)) || self.group.records() > 0
    }

    async fn look(&mut self, now: Instant) {
        self.look_for_listeners().await;
        if self.flow.is_heard(Topic::Records) || self.flow.is_heard(Topic::Flows) {
            self.configured.look(&mut self.flow, &self.running, &self.workers, now).await;
        }
        if self.group.records() > 0 {
            self.look_at_flows(now).await;
        }
        if self.flow.is_heard(Topic::Log) {
            self.look_at_log(now);
        } else {
            self.logged = Some(jiff::Timestamp::now());
        }
    }

    async fn look_for_listeners(&mut self) {
        let Some(first) = self.workers.first() else { return };
        let watches = self.watches.clone();
        let look = move || {
            let Some(worker) = worker::current() else { return Vec::new() };
            worker.amqp.with_core(|core, _| {
                watches.into_iter().map(|(topic, watch)| (topic, core.is_reachable(watch))).collect::<Vec<_>>()
            })
        };
        for (topic, heard) in first.call(look).await.unwrap_or_default() {
            if self.flow.is_heard(topic) == heard {
                continue;
            }
            self.flow.set_heard(topic, heard);
            if topic == Topic::Flows {
                let source: Option<Arc<str>> = heard.then(|| self.flow.source().into());
                for worker in &self.workers {
                    let source = source.clone();
                    // A worker that is gone has no flows.
                    let _ = worker.run(move || {
                        if let Some(worker) = worker::current() {
                            worker.tcp.collect(source);
                        }
                    });
                }
            }
        }
    }

    async fn look_at_flows(&mut self, now: Instant) {
        for (index, handle) in self.workers.iter().enumerate() {
            let look = || worker::current().map(|worker| (worker.tcp.poll_records(), worker.tcp.poll_requests()));
            let Ok(Some((flows, (requests, left_out)))) = handle.call(look).await else { continue };
            for report in flows {
                match &report.id {
                    FlowId::Own(n) => {
                        let id = self.group.flow_number(*n, index);
                        record(&mut self.flow, &self.configured, id, &report, now);
                    }
                    FlowId::Other(identity) => {
                        let mut attributes = self.of_server(&report);
                        if let Some(error) = report.error.as_ref().filter(|_| report.unreachable.is_none()) {
                            attributes.push((Attribute::ErrorConnectorSide, error.as_str().into()));
                        }
                        self.flow.tell_owner(identity, &attributes);
                    }
                }
            }
            for report in requests {
                let id = |n| self.group.flow_number(n, index);
                request(&mut self.flow, id(report.number), id(report.flow), &report, now);
            }
            if left_out > 0 {
                tracing::debug!(left_out, "requests without a record: there were too many");
            }
        }
    }

    /// Which server a flow has.
    fn of_server(&self, report: &FlowReport) -> Vec<(Attribute, Said)> {
        of_server(&self.flow, &self.configured, report)
    }

    fn look_at_log(&mut self, now: Instant) {
        let since = self.logged;
        for entry in self.log.recent(usize::MAX) {
            if since.is_some_and(|since| entry.time <= since) {
                continue;
            }
            self.logged = Some(entry.time);
            if entry.level < router_core::config::levels::Severity::Warning {
                continue;
            }
            let micros = u64::try_from(entry.time.as_microsecond()).unwrap_or_default();
            let mut attributes = vec![
                (Attribute::LogText, entry.text().into()),
                (Attribute::LogSeverity, (entry.level as u64).into()),
                (Attribute::StartTime, micros.into()),
            ];
            if let Some((file, line)) = entry.place {
                attributes.push((Attribute::SourceFile, file.into()));
                attributes.push((Attribute::SourceLine, u64::from(line).into()));
            }
            self.flow.log(attributes, now);
        }
    }

    fn send(&mut self) {
        let messages: Vec<_> = std::iter::from_fn(|| self.flow.poll_transmit()).collect();
        let Some(first) = self.workers.first().filter(|_| !messages.is_empty()) else { return };
        // Fails only while the router ends.
        let _ = first.run(move || {
            if let Some(worker) = worker::current() {
                messages.iter().for_each(|message| worker.amqp.inject(message, None));
            }
        });
    }
}

/// Takes over what is new of a flow of ours.
fn record(flow: &mut Vanflow, configured: &Configured, id: u64, report: &FlowReport, now: Instant) {
    let address = report.listener_address.as_deref();
    let parent = report.listener.as_deref().and_then(|listener| configured.listener(listener, address));
    let mut begins = vec![(Attribute::Octets, 0.into()), (Attribute::OctetsReverse, 0.into())];
    if let Some(parent) = parent {
        begins.push((Attribute::Parent, flow.identity(parent).into()));
    }
    begins.extend(report.began.map(|began| (Attribute::StartTime, flow.micros(began).into())));
    begins.extend(place(report.client, Attribute::SourceHost, Attribute::SourcePort));
    // It has one already, or there are too many.
    let _ = flow.open_flow(id, begins, now);
    flow.set(id, Attribute::Octets, report.octets);
    flow.set(id, Attribute::OctetsReverse, report.octets_reverse);
    for (attribute, said) in of_server(flow, configured, report) {
        flow.set(id, attribute, said);
    }
    if let Some(error) = &report.error {
        flow.set(id, Attribute::ErrorListenerSide, error.as_str());
    }
    if let Some(latency) = report.latency {
        flow.set(id, Attribute::Latency, micros(latency));
    }
    if let Some(ended) = report.ended {
        flow.end(id, ended);
    }
}

/// Takes over what is new of a request in a flow of ours.
fn request(flow: &mut Vanflow, id: u64, parent: u64, report: &RequestReport, now: Instant) {
    let request = &report.request;
    let mut begins = vec![
        (Attribute::Protocol, request.protocol.into()),
        (Attribute::Method, (&*request.method).into()),
        (Attribute::StartTime, flow.micros(request.began).into()),
        (Attribute::Octets, 0.into()),
        (Attribute::OctetsReverse, 0.into()),
    ];
    begins.extend(request.stream.map(|stream| (Attribute::StreamId, u64::from(stream).into())));
    begins.extend(request.source_host.as_deref().map(|host| (Attribute::SourceHost, host.into())));
    // It has one already, or there are too many.
    let _ = flow.open_request(id, parent, begins, now);
    flow.set(id, Attribute::Octets, request.octets);
    flow.set(id, Attribute::OctetsReverse, request.octets_reverse);
    if let Some(result) = request.result {
        flow.set(id, Attribute::Result, result.to_string());
    }
    if let Some(reason) = request.reason.as_deref() {
        flow.set(id, Attribute::Reason, reason);
    }
    if let Some(answered) = request.answered {
        flow.set(id, Attribute::Latency, micros(answered.saturating_duration_since(request.began)));
    }
    if let Some(ended) = request.ended {
        flow.end(id, ended);
    }
}

fn of_server(flow: &Vanflow, configured: &Configured, report: &FlowReport) -> Vec<(Attribute, Said)> {
    let connector = report.connector.as_deref().and_then(|name| configured.connector(name));
    let connector = connector.map(|record| (Attribute::Connector, flow.identity(record).into()));
    let mut said: Vec<_> =
        connector.into_iter().chain(place(report.proxy, Attribute::ProxyHost, Attribute::ProxyPort)).collect();
    if let Some(latency) = report.latency.filter(|_| report.connector.is_some()) {
        said.push((Attribute::ProcessLatency, micros(latency).into()));
    }
    if let Some(error) = &report.unreachable {
        said.push((Attribute::ErrorConnectorSide, error.as_str().into()));
    }
    said
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn place(address: Option<SocketAddr>, host: Attribute, port: Attribute) -> impl Iterator<Item = (Attribute, Said)> {
    let parts = address.map(|address| {
        [(host, address.ip().to_canonical().to_string().into()), (port, address.port().to_string().into())]
    });
    parts.into_iter().flatten()
}

/// Five characters that no other router has: the end of the name of a pod, or random ones.
pub(crate) fn source() -> String {
    let pod = std::env::var("HOSTNAME").ok().and_then(|name| {
        let (_, end) = name.rsplit_once('-')?;
        (end.len() == 5 && end.bytes().all(|byte| byte.is_ascii_alphanumeric())).then(|| end.to_owned())
    });
    pod.unwrap_or_else(|| {
        // Seeded by the system.
        let mut random = RandomState::new().build_hasher().finish();
        let mut letter = || {
            let digit = random % 36;
            random /= 36;
            char::from_digit(u32::try_from(digit).unwrap_or_default(), 36).unwrap_or('0')
        };
        std::iter::repeat_with(&mut letter).take(5).collect()
    })
}

/// The number of the record of a listener for routers. It is told to whoever connects there, from the first one on, when nobody may collect records yet:
/// so it is made of the name, above the numbers that others get one after the other.
pub(crate) fn access_record(listener: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(listener.as_bytes());
    (1 << 40) | ((hasher.finish() & 0xffff_ffff) << 1)
}

/// Records by the names of what they are about.
type Names = HashMap<String, u64>;
