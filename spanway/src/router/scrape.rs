//! What the admin port tells: readiness, and the counters of all workers added up.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use router_core::Counters;
use tcp_adaptor::Totals;
use transport::WorkerHandle;
use transport::metrics::IoCounters;

use crate::admin::AdminSource;
use crate::metrics::MetricSet;
use crate::router::worker::{self, Counts};

/// The router, as the admin port sees it.
#[derive(Debug)]
pub(crate) struct Scrape {
    workers: Vec<WorkerHandle>,
    ready: Mutex<Result<(), String>>,
}

impl Scrape {
    /// Not ready yet.
    pub(crate) fn new(workers: Vec<WorkerHandle>) -> Self {
        Self { workers, ready: Mutex::new(Err("the router is starting".to_owned())) }
    }

    /// Says whether the router is ready from now on.
    pub(crate) fn set_ready(&self, ready: Result<(), String>) {
        *self.ready.lock() = ready;
    }
}

impl AdminSource for Scrape {
    fn ready(&self) -> Result<(), String> {
        self.ready.lock().clone()
    }

    async fn metrics(&self) -> String {
        let mut all = Vec::new();
        for worker in &self.workers {
            all.extend(worker.call(worker::counts).await);
        }
        encode(&all)
    }
}

fn encode(workers: &[Counts]) -> String {
    let mut core = Counters::default();
    let mut io = IoCounters::default();
    let mut flows = 0;
    let mut amqp_open = 0;
    let mut listeners: BTreeMap<&str, Totals> = BTreeMap::new();
    let mut connectors: BTreeMap<&str, Totals> = BTreeMap::new();
    for worker in workers {
        core.add(&worker.core);
        io += worker.io;
        amqp_open += worker.amqp.opened - worker.amqp.closed;
        let Some(tcp) = &worker.tcp else { continue };
        flows += tcp.flows as u64;
        for listener in &tcp.listeners {
            *listeners.entry(&listener.name).or_default() += listener.totals;
        }
        for connector in &tcp.connectors {
            *connectors.entry(&connector.name).or_default() += connector.totals;
        }
    }
    let mut set = MetricSet::new();
    set.core(&core);
    set.gauge("qdr_tcp_service_connections", "Open TCP connections of services", &[], flows);
    set.gauge("qdr_amqp_service_connections", "Open AMQP connections of clients", &[], amqp_open);
    for (name, help, value) in [
        ("spanway_socket_reads_total", "Read calls", io.reads),
        ("spanway_socket_writes_total", "Write calls", io.writes),
        ("spanway_socket_read_bytes_total", "Bytes read from sockets", io.bytes_read),
        ("spanway_socket_written_bytes_total", "Bytes written to sockets", io.bytes_written),
        ("spanway_accepted_sockets_total", "Connections accepted", io.accepts),
        ("spanway_connected_sockets_total", "Connections made", io.connects),
        ("spanway_tls_handshakes_total", "TLS handshakes completed", io.handshakes),
        ("spanway_tls_resumptions_total", "TLS handshakes that resumed a session", io.resumed),
    ] {
        set.counter(name, help, &[], value);
    }
    for (kind, totals) in [("listener", &listeners), ("connector", &connectors)] {
        for (name, totals) in totals {
            let labels = [("kind", kind), ("name", *name)];
            for (metric, help, value) in [
                ("spanway_tcp_connections_opened_total", "TCP connections opened", totals.connections_opened),
                ("spanway_tcp_connections_closed_total", "TCP connections closed", totals.connections_closed),
                (
                    "spanway_tcp_connections_failed_total",
                    "TCP connections that came to nothing",
                    totals.connections_failed,
                ),
                ("spanway_tcp_received_bytes_total", "Bytes read from clients or servers", totals.bytes_in),
                ("spanway_tcp_sent_bytes_total", "Bytes written to clients or servers", totals.bytes_out),
            ] {
                set.counter(metric, help, &labels, value);
            }
        }
    }
    set.encode()
}
