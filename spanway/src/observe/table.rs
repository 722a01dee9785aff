//! Every metric, described once: `/metrics`, what is pushed to collectors, and `docs/reference/metrics.md` derive from this table.

/// Whether a number only grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only grows, since the router started.
    Counter,
    /// As it is now.
    Gauge,
}

/// A metric.
#[derive(Debug)]
pub(crate) struct Family {
    /// As Prometheus knows it.
    pub(crate) name: &'static str,
    /// Counter or gauge.
    pub(crate) kind: Kind,
    /// The names of its labels.
    pub(crate) labels: &'static [&'static str],
    /// What it is counted in.
    pub(crate) unit: &'static str,
    /// What it tells.
    pub(crate) help: &'static str,
}

/// Addresses that have metrics of their own.
pub(crate) const MOST_ADDRESSES: usize = 200;

/// Other routers that have metrics of their own.
pub(crate) const MOST_PEERS: usize = 200;

/// TCP listeners and connectors that have metrics of their own.
pub(crate) const MOST_SERVICES: usize = 500;

macro_rules! families {
    ($($(#[$head:meta])* $name:ident = $metric:literal $kind:ident [$($label:literal)*] $unit:literal $help:literal;)*) => {
        $(pub(crate) const $name: Family =
            Family { name: $metric, kind: Kind::$kind, labels: &[$($label),*], unit: $unit, help: $help };)*

        /// All of them, as they are documented.
        pub(crate) const FAMILIES: &[&Family] = &[$(&$name),*];
    };
}

families! {
    CONNECTIONS = "qdr_connections_total" Gauge [] "connections" "Open AMQP connections of clients";
    LINKS = "qdr_links_total" Gauge [] "links" "Attached links";
    ADDRESSES = "qdr_addresses_total" Gauge [] "addresses" "Known addresses";
    ROUTERS = "qdr_routers_total" Gauge [] "routers" "Interior routers of the network that can be reached, this one included; 0 for one that stands alone";
    PRESETTLED = "qdr_presettled_deliveries_total" Counter [] "deliveries" "Deliveries that came in settled";
    DROPPED = "qdr_dropped_presettled_deliveries_total" Counter [] "deliveries" "Settled deliveries that nobody received";
    ACCEPTED = "qdr_accepted_deliveries_total" Counter [] "deliveries" "Deliveries that ended accepted";
    RELEASED = "qdr_released_deliveries_total" Counter [] "deliveries" "Deliveries that ended released";
    REJECTED = "qdr_rejected_deliveries_total" Counter [] "deliveries" "Deliveries that ended rejected";
    MODIFIED = "qdr_modified_deliveries_total" Counter [] "deliveries" "Deliveries that ended modified";
    INGRESS = "qdr_deliveries_ingress_total" Counter [] "deliveries" "Deliveries that entered the network here: from clients, and streams of TCP connections";
    EGRESS = "qdr_deliveries_egress_total" Counter [] "deliveries" "Deliveries that left the network here; each copy of a multicast delivery is one";
    TRANSIT = "qdr_deliveries_transit_total" Counter [] "deliveries" "Deliveries that were sent to other interior routers, wherever they came from";
    DELAYED_1 = "qdr_deliveries_delayed_1sec_total" Counter [] "deliveries" "Deliveries that were settled more than a second after they came";
    DELAYED_10 = "qdr_deliveries_delayed_10sec_total" Counter [] "deliveries" "Deliveries that were settled more than ten seconds after they came";
    STUCK = "qdr_deliveries_stuck_total" Gauge [] "deliveries" "Deliveries that are neither sent nor settled ten seconds after they came, one at the link that they came on and one at that they went to";
    BLOCKED = "qdr_links_blocked_total" Gauge [] "links" "Receivers that have given no credit, and senders that were given none, for ten seconds";
    TCP_CONNECTIONS = "qdr_tcp_service_connections" Gauge [] "connections" "Open TCP connections of services, but for those that are known to carry HTTP";
    HTTP1_CONNECTIONS = "qdr_http1_service_connections" Gauge [] "connections" "Open TCP connections that carry HTTP/1, as far as they are observed";
    HTTP2_CONNECTIONS = "qdr_http2_service_connections" Gauge [] "connections" "Open TCP connections that carry HTTP/2, as far as they are observed";
    AMQP_CONNECTIONS = "qdr_amqp_service_connections" Gauge [] "connections" "Open AMQP connections, those of other routers included";
    TOPOLOGY_CHANGE = "qdr_last_topology_change_timestamp" Gauge [] "seconds since 1970" "When the ways through the network changed last; 0 if they never did";

    BUILD = "spanway_build_info" Gauge ["version" "router" "mode"] "1" "What runs here; the value is always 1";
    UPTIME = "spanway_uptime_seconds" Gauge [] "seconds" "Since when the router runs";
    MEMORY = "spanway_resident_memory_bytes" Gauge [] "bytes" "Memory of the process";
    READY = "spanway_ready" Gauge [] "1 or 0" "Whether /readyz says yes";
    HELD = "spanway_deliveries_held" Gauge [] "deliveries" "Deliveries that wait or are unsettled";
    HELD_BYTES = "spanway_held_bytes" Gauge [] "bytes" "Memory that waiting content keeps";
    RECEIVED = "spanway_received_bytes_total" Counter [] "bytes" "Content of deliveries that came in, from clients and routers";
    SENT = "spanway_sent_bytes_total" Counter [] "bytes" "Content of deliveries that went out, to clients and routers";
    ABORTED = "spanway_aborted_deliveries_total" Counter [] "deliveries" "Deliveries that ended before they were complete";
    WAITED = "spanway_waited_deliveries_total" Counter [] "deliveries" "Deliveries that had to wait for credit";
    STALLED = "spanway_stalled_deliveries_total" Counter [] "deliveries" "Deliveries that were given up because their sender stalled in the middle";
    DENIED_LINKS = "spanway_denied_links_total" Counter [] "links" "Links that were refused";
    DENIED_CONNECTIONS = "spanway_denied_connections_total" Counter [] "connections" "Connections that were refused";
    SPANS = "spanway_spans_total" Counter [] "spans" "Spans of messages with a sampled trace context";
    SPANS_DROPPED = "spanway_dropped_spans_total" Counter [] "spans" "Spans that were too many for the router, or that the collector did not take in time";
    OPENED_CONNECTIONS = "spanway_opened_connections_total" Counter [] "connections" "Connections of clients that were opened";

    ADDRESS_DELIVERIES = "spanway_address_deliveries_total" Counter ["address" "direction"] "deliveries" "Deliveries of an address that came from clients here (in), went to them here (out), and went to other routers (transit)";
    ADDRESS_CONSUMERS = "spanway_address_consumers" Gauge ["address" "place"] "consumers" "Receivers and servers of an address here (here), and other routers that have some (elsewhere)";
    ADDRESS_SENDERS = "spanway_address_senders" Gauge ["address"] "links" "Senders of an address here, anonymous ones not counted";
    ADDRESS_WAITING = "spanway_address_waiting_deliveries" Gauge ["address"] "deliveries" "Deliveries of an address that wait here";
    ADDRESSES_LEFT_OUT = "spanway_addresses_left_out" Gauge [] "addresses" "Addresses beyond the limit of 200, which have no metrics of their own";

    LINK_UP = "spanway_link_up" Gauge ["connector" "role"] "1 or 0" "Whether a connector to another router has its connection";
    LINK_COST = "spanway_link_cost" Gauge ["router" "role"] "cost" "What the link to another router costs, the larger one of both sides' costs";
    LINK_CONNECTIONS = "spanway_link_connections" Gauge ["router" "role"] "connections" "Connections to another router, those for data included";
    LINK_BYTES = "spanway_link_bytes_total" Counter ["router" "role" "direction"] "bytes" "Bytes of AMQP from another router (in) and to it (out)";
    LINK_DELIVERIES = "spanway_link_deliveries_total" Counter ["router" "role" "direction"] "deliveries" "Deliveries from another router (in) and to it (out), messages of the routing protocol among them";
    ROUTERS_LEFT_OUT = "spanway_link_routers_left_out" Gauge [] "routers" "Linked routers beyond the limit of 200, which have no metrics of their own";

    TCP_OPEN = "spanway_tcp_connections" Gauge ["kind" "name" "address"] "connections" "Open TCP connections of a listener or connector";
    TCP_OPENED = "spanway_tcp_connections_opened_total" Counter ["kind" "name" "address"] "connections" "TCP connections that were opened";
    TCP_CLOSED = "spanway_tcp_connections_closed_total" Counter ["kind" "name" "address"] "connections" "TCP connections that were closed";
    TCP_FAILED = "spanway_tcp_connections_failed_total" Counter ["kind" "name" "address"] "connections" "TCP connections that came to nothing";
    TCP_RECEIVED = "spanway_tcp_received_bytes_total" Counter ["kind" "name" "address"] "bytes" "Bytes from clients (listener) or servers (connector)";
    TCP_SENT = "spanway_tcp_sent_bytes_total" Counter ["kind" "name" "address"] "bytes" "Bytes to clients (listener) or servers (connector)";
    TCP_LEFT_OUT = "spanway_tcp_left_out" Gauge [] "listeners and connectors" "TCP listeners and connectors beyond the limit of 500, which have no metrics of their own";

    SOCKET_READS = "spanway_socket_reads_total" Counter [] "calls" "Read calls";
    SOCKET_WRITES = "spanway_socket_writes_total" Counter [] "calls" "Write calls";
    SOCKET_READ_BYTES = "spanway_socket_read_bytes_total" Counter [] "bytes" "Bytes read from sockets";
    SOCKET_WRITTEN_BYTES = "spanway_socket_written_bytes_total" Counter [] "bytes" "Bytes written to sockets";
    ACCEPTED_SOCKETS = "spanway_accepted_sockets_total" Counter [] "connections" "Connections accepted";
    CONNECTED_SOCKETS = "spanway_connected_sockets_total" Counter [] "connections" "Connections made";
    TLS_HANDSHAKES = "spanway_tls_handshakes_total" Counter [] "handshakes" "TLS handshakes completed";
    TLS_RESUMPTIONS = "spanway_tls_resumptions_total" Counter [] "handshakes" "TLS handshakes that resumed a session";
}

/// `docs/reference/metrics.md`, whole. A test keeps the file equal to this.
#[cfg(test)]
pub(crate) fn markdown() -> String {
    let mut out = String::from(
        "# Metrics\n\n\
         Made from the table in `spanway/src/observe/table.rs`; do not edit. After a change of the table, run\n\
         `SPANWAY_WRITE_DOCS=1 cargo test -p spanway docs`.\n\n\
         `/metrics` of the admin port, and of listeners with `http: yes`, answers in the text format of Prometheus. Names that begin with\n\
         `qdr_` are those of skupper-router, so that existing dashboards work; some of its gauges end in `_total`. It has no labels and no\n\
         metrics of single addresses, links or services. What it tells of its memory pools has no counterpart here.\n\n\
         Deliveries count when their first frame came, and when their last one was sent. The labels `address`, `router` and `name` are\n\
         bounded in number: the busiest are taken, and one that is shown stays as long as it exists. Labels of more than 256 bytes are left\n\
         out as well. What is left out is still in the metrics without labels.\n\n\
         | name | kind | labels | unit | what it tells |\n|---|---|---|---|---|\n",
    );
    for family in FAMILIES {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        out.push_str(&format!(
            "| `{}` | {kind} | {} | {} | {} |\n",
            family.name,
            labels.join(", "),
            family.unit,
            family.help
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docs_do_not_drift() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/metrics.md");
        if std::env::var_os("SPANWAY_WRITE_DOCS").is_some() {
            std::fs::write(path, markdown()).expect("the page is written");
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            found == markdown(),
            "docs/reference/metrics.md is not what the table says; SPANWAY_WRITE_DOCS=1 cargo test -p spanway docs writes it"
        );
    }

    #[test]
    fn names_are_as_prometheus_wants_them() {
        for family in FAMILIES {
            let of_reference = family.name.starts_with("qdr_");
            let total = family.name.ends_with("_total");
            assert!(of_reference || total == (family.kind == Kind::Counter), "{}", family.name);
            assert_eq!(FAMILIES.iter().filter(|other| other.name == family.name).count(), 1, "{}", family.name);
        }
    }
}
