//! A sample as metrics, and as text for Prometheus.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder as _, TextEncoder};

use router_core::routing::AddressBook;

use super::report::{Places, out};
use super::sample::{PeerKey, Sample};
use super::site::LONGEST_NAME;
use super::table::{
    ABORTED, ACCEPTED, ACCEPTED_SOCKETS, ADDRESS_CONSUMERS, ADDRESS_DELIVERIES, ADDRESS_SENDERS, ADDRESS_WAITING,
    ADDRESSES, ADDRESSES_LEFT_OUT, AMQP_CONNECTIONS, BLOCKED, BUILD, CONNECTED_SOCKETS, CONNECTIONS, DELAYED_1,
    DELAYED_10, DENIED_CONNECTIONS, DENIED_LINKS, DROPPED, EGRESS, FAMILIES, Family, HELD, HELD_BYTES,
    HTTP1_CONNECTIONS, HTTP2_CONNECTIONS, INGRESS, Kind, LINK_BYTES, LINK_CONNECTIONS, LINK_COST, LINK_DELIVERIES,
    LINK_UP, LINKS, MEMORY, MODIFIED, MOST_ADDRESSES, MOST_PEERS, MOST_SERVICES, OPENED_CONNECTIONS, PRESETTLED, READY,
    RECEIVED, REJECTED, RELEASED, ROUTERS, ROUTERS_LEFT_OUT, SENT, SOCKET_READ_BYTES, SOCKET_READS, SOCKET_WRITES,
    SOCKET_WRITTEN_BYTES, SPANS, SPANS_DROPPED, STALLED, STUCK, TCP_CLOSED, TCP_CONNECTIONS, TCP_FAILED, TCP_LEFT_OUT,
    TCP_OPEN, TCP_OPENED, TCP_RECEIVED, TCP_SENT, TLS_HANDSHAKES, TLS_RESUMPTIONS, TOPOLOGY_CHANGE, TRANSIT, UPTIME,
    WAITED,
};

/// The media type of [`MetricSet::encode`].
pub(crate) const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// All metrics at one moment.
#[derive(Debug)]
pub(crate) struct MetricSet {
    /// In the order of [`FAMILIES`].
    points: Vec<Vec<Point>>,
}

/// A number of a family.
#[derive(Debug)]
pub(crate) struct Point {
    /// The values of the family's labels, in its order.
    pub(crate) labels: Vec<String>,
    pub(crate) value: u64,
}

impl MetricSet {
    /// No metrics yet.
    pub(crate) fn new() -> Self {
        Self { points: FAMILIES.iter().map(|_| Vec::new()).collect() }
    }

    /// Adds a number. `labels`: the values of the family's labels, in its order.
    pub(crate) fn add(&mut self, family: &Family, labels: &[&str], value: u64) -> &mut Self {
        debug_assert_eq!(family.labels.len(), labels.len(), "{}", family.name);
        let at = FAMILIES.iter().position(|other| other.name == family.name);
        if let Some(points) = at.and_then(|at| self.points.get_mut(at)) {
            points.push(Point { labels: labels.iter().map(|label| (*label).to_owned()).collect(), value });
        }
        self
    }

    /// The families that have numbers, in the order of the table.
    pub(crate) fn families(&self) -> impl Iterator<Item = (&'static Family, &[Point])> {
        let all = FAMILIES.iter().zip(&self.points);
        all.filter(|(_, points)| !points.is_empty()).map(|(family, points)| (*family, points.as_slice()))
    }

    /// The text for Prometheus.
    pub(crate) fn encode(&self) -> String {
        let families: Vec<MetricFamily> = self.families().map(|(family, points)| encoded(family, points)).collect();
        let mut text = Vec::new();
        // Only fails for families without metrics, and for writers that fail.
        match TextEncoder::new().encode(&families, &mut text) {
            Ok(()) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) => format!("# {error}\n"),
        }
    }
}

fn encoded(family: &Family, points: &[Point]) -> MetricFamily {
    let metric = |point: &Point| {
        let pairs = family.labels.iter().zip(&point.labels).map(|(name, value)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value(value.clone());
            pair
        });
        let mut metric = Metric::from_label(pairs.collect());
        match family.kind {
            Kind::Counter => {
                let mut counter = Counter::default();
                counter.set_value(as_float(point.value));
                metric.set_counter(counter);
            }
            Kind::Gauge => {
                let mut gauge = Gauge::default();
                gauge.set_value(as_float(point.value));
                metric.set_gauge(gauge);
            }
        }
        metric
    };
    let mut encoded = MetricFamily::default();
    encoded.set_name(family.name.to_owned());
    encoded.set_help(family.help.to_owned());
    encoded.set_field_type(match family.kind {
        Kind::Counter => MetricType::COUNTER,
        Kind::Gauge => MetricType::GAUGE,
    });
    encoded.set_metric(points.iter().map(metric).collect());
    encoded
}

/// Prometheus knows floats only; exact up to 2^53.
#[allow(clippy::cast_precision_loss, reason = "the format of Prometheus")]
fn as_float(value: u64) -> f64 {
    value as f64
}

/// What the router knows of itself, besides what workers count.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    pub(super) version: &'a str,
    pub(super) id: &'a str,
    pub(super) mode: &'a str,
    pub(super) uptime_seconds: u64,
    pub(super) memory: Option<u64>,
    pub(super) ready: bool,
    /// Routers that can be reached, this one included.
    pub(super) routers: u64,
    /// Seconds since 1970.
    pub(super) topology_change: u64,
    /// Spans that were taken from the workers, and came to nothing.
    pub(super) spans_dropped: u64,
    /// Connectors to other routers: name, role, whether they are up.
    pub(super) connectors: Vec<(String, &'static str, bool)>,
    /// What TCP listeners and connectors are for.
    pub(super) places: &'a Places,
    /// Where else addresses have consumers.
    pub(super) book: &'a AddressBook,
}

/// Which labels have metrics of their own: as many as fit, and each for as long as it exists, so that no series comes and goes.
#[derive(Debug, Default)]
pub(super) struct Shown {
    addresses: BTreeSet<Arc<str>>,
    peers: BTreeSet<PeerKey>,
}

impl Shown {
    fn choose(&mut self, sample: &Sample) {
        let addresses = sample.addresses.iter().filter(|(name, _)| name.len() <= LONGEST_NAME);
        let addresses = addresses.map(|(name, status)| (name, status.deliveries_in + status.deliveries_out));
        keep_busiest(&mut self.addresses, addresses, MOST_ADDRESSES);
        let peers = sample.peers.iter().filter(|(key, _)| key.0.len() <= LONGEST_NAME);
        let peers = peers.map(|(key, peer)| (key, peer.passed.bytes_in + peer.passed.bytes_out));
        keep_busiest(&mut self.peers, peers, MOST_PEERS);
    }
}

/// Drops what does not exist any more, and fills up with the busiest of the rest. `all`: what there is, and how busy it was.
fn keep_busiest<'a, K: Clone + Ord + 'a>(
    shown: &mut BTreeSet<K>,
    all: impl Iterator<Item = (&'a K, u64)>,
    most: usize,
) {
    let (known, mut rest): (Vec<_>, Vec<_>) = all.partition(|(key, _)| shown.contains(*key));
    *shown = known.into_iter().map(|(key, _)| key.clone()).collect();
    rest.sort_unstable_by_key(|(key, busy)| (Reverse(*busy), *key));
    shown.extend(rest.into_iter().take(most.saturating_sub(shown.len())).map(|(key, _)| key.clone()));
}

/// The metrics of a sample.
pub(super) fn metrics(sample: &Sample, facts: &Facts<'_>, shown: &mut Shown) -> MetricSet {
    let mut set = MetricSet::new();
    set.add(&BUILD, &[facts.version, facts.id, facts.mode], 1);
    for (family, value) in [
        (&UPTIME, facts.uptime_seconds),
        (&READY, u64::from(facts.ready)),
        (&ROUTERS, facts.routers),
        (&TOPOLOGY_CHANGE, facts.topology_change),
    ] {
        set.add(family, &[], value);
    }
    if let Some(memory) = facts.memory {
        set.add(&MEMORY, &[], memory);
    }
    core(&mut set, sample, facts);
    shown.choose(sample);
    addresses(&mut set, sample, facts, shown);
    links(&mut set, sample, facts, shown);
    tcp(&mut set, sample, facts);
    set
}

fn core(set: &mut MetricSet, sample: &Sample, facts: &Facts<'_>) {
    let (c, io) = (&sample.core, &sample.io);
    for (family, value) in [
        (&CONNECTIONS, c.connections),
        (&LINKS, c.inlets + c.outlets),
        (&ADDRESSES, c.addresses),
        (&PRESETTLED, c.presettled),
        (&DROPPED, c.dropped_presettled),
        (&ACCEPTED, c.accepted),
        (&RELEASED, c.released),
        (&REJECTED, c.rejected),
        (&MODIFIED, c.modified),
        (&INGRESS, c.deliveries_in),
        (&EGRESS, c.deliveries_out),
        (&TRANSIT, sample.delayed.transit),
        (&DELAYED_1, sample.delayed.deliveries.late),
        (&DELAYED_10, sample.delayed.deliveries.very_late),
        (&STUCK, sample.delayed.deliveries.stuck),
        (&BLOCKED, sample.delayed.blocked_links),
        (&HELD, c.deliveries_held),
        (&HELD_BYTES, c.bytes_held),
        (&RECEIVED, c.bytes_in),
        (&SENT, c.bytes_out),
        (&ABORTED, c.aborted),
        (&WAITED, c.waited),
        (&STALLED, c.stalled),
        (&DENIED_LINKS, c.links_denied),
        (&DENIED_CONNECTIONS, c.connections_denied),
        (&OPENED_CONNECTIONS, c.connections_opened),
        (&SPANS, c.spans),
        (&SPANS_DROPPED, c.spans_dropped + facts.spans_dropped),
        (&TCP_CONNECTIONS, sample.flows.saturating_sub(sample.http.iter().sum())),
        (&HTTP1_CONNECTIONS, sample.http[0]),
        (&HTTP2_CONNECTIONS, sample.http[1]),
        (&AMQP_CONNECTIONS, sample.amqp),
        (&SOCKET_READS, io.reads),
        (&SOCKET_WRITES, io.writes),
        (&SOCKET_READ_BYTES, io.bytes_read),
        (&SOCKET_WRITTEN_BYTES, io.bytes_written),
        (&ACCEPTED_SOCKETS, io.accepts),
        (&CONNECTED_SOCKETS, io.connects),
        (&TLS_HANDSHAKES, io.handshakes),
        (&TLS_RESUMPTIONS, io.resumed),
    ] {
        set.add(family, &[], value);
    }
}

fn addresses(set: &mut MetricSet, sample: &Sample, facts: &Facts<'_>, shown: &Shown) {
    for (name, status) in shown.addresses.iter().filter_map(|name| Some((&**name, sample.addresses.get(name)?))) {
        set.add(&ADDRESS_DELIVERIES, &[name, "in"], status.deliveries_in);
        set.add(&ADDRESS_DELIVERIES, &[name, "out"], out(status));
        set.add(&ADDRESS_DELIVERIES, &[name, "transit"], status.transit);
        set.add(
            &ADDRESS_CONSUMERS,
            &[name, "here"],
            status.outlets.saturating_sub(status.edges) + status.servers + status.in_process,
        );
        set.add(&ADDRESS_CONSUMERS, &[name, "elsewhere"], facts.book.destinations(&status.key).len() as u64);
        set.add(&ADDRESS_SENDERS, &[name], status.inlets);
        set.add(&ADDRESS_WAITING, &[name], status.waiting);
    }
    set.add(&ADDRESSES_LEFT_OUT, &[], (sample.addresses.len() - shown.addresses.len()) as u64);
}

fn links(set: &mut MetricSet, sample: &Sample, facts: &Facts<'_>, shown: &Shown) {
    for (name, role, up) in facts.connectors.iter().filter(|(name, ..)| name.len() <= LONGEST_NAME).take(MOST_PEERS) {
        set.add(&LINK_UP, &[name, role], u64::from(*up));
    }
    for (key, peer) in shown.peers.iter().filter_map(|key| Some((key, sample.peers.get(key)?))) {
        let (router, role) = (key.0.as_str(), key.1);
        set.add(&LINK_COST, &[router, role], u64::from(peer.cost));
        set.add(&LINK_CONNECTIONS, &[router, role], peer.connections);
        let passed = peer.passed;
        for (family, inward, outward) in [
            (&LINK_BYTES, passed.bytes_in, passed.bytes_out),
            (&LINK_DELIVERIES, passed.deliveries_in, passed.deliveries_out),
        ] {
            set.add(family, &[router, role, "in"], inward);
            set.add(family, &[router, role, "out"], outward);
        }
    }
    set.add(&ROUTERS_LEFT_OUT, &[], (sample.peers.len() - shown.peers.len()) as u64);
}

fn tcp(set: &mut MetricSet, sample: &Sample, facts: &Facts<'_>) {
    let listeners = sample.listeners.iter().map(|(name, listener)| ("listener", name, listener.totals));
    let connectors = sample.connectors.iter().map(|(name, totals)| ("connector", name, *totals));
    let all = sample.listeners.len() + sample.connectors.len();
    let mut shown = 0;
    for (kind, name, totals) in listeners.chain(connectors) {
        let address = facts.places.address(kind, name);
        if name.len() > LONGEST_NAME || address.len() > LONGEST_NAME || shown == MOST_SERVICES {
            continue;
        }
        shown += 1;
        let labels = [kind, name, address.as_str()];
        let open = totals.connections_opened.saturating_sub(totals.connections_closed);
        for (family, value) in [
            (&TCP_OPEN, open),
            (&TCP_OPENED, totals.connections_opened),
            (&TCP_CLOSED, totals.connections_closed),
            (&TCP_FAILED, totals.connections_failed),
            (&TCP_RECEIVED, totals.bytes_in),
            (&TCP_SENT, totals.bytes_out),
        ] {
            set.add(family, &labels, value);
        }
    }
    set.add(&TCP_LEFT_OUT, &[], (all - shown) as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_grouped_and_labels_escaped() {
        let mut set = MetricSet::new();
        set.add(&ADDRESS_SENDERS, &["a\"b"], 3).add(&ADDRESS_SENDERS, &["c"], 4).add(&LINKS, &[], 1);
        assert_eq!(
            set.encode(),
            format!(
                "# HELP qdr_links_total {}\n# TYPE qdr_links_total gauge\nqdr_links_total 1\n\
                 # HELP spanway_address_senders {}\n# TYPE spanway_address_senders gauge\n\
                 spanway_address_senders{{address=\"a\\\"b\"}} 3\nspanway_address_senders{{address=\"c\"}} 4\n",
                LINKS.help, ADDRESS_SENDERS.help
            )
        );
    }

    #[test]
    fn series_are_bounded_and_stay() {
        let mut sample = Sample::new(Default::default());
        let status = |name: &str, deliveries_in| router_core::AddressStatus {
            key: format!("M{name}").into(),
            deliveries_in,
            ..router_core::AddressStatus::default()
        };
        for n in 0..MOST_ADDRESSES + 50 {
            let name = format!("a{n}");
            sample.addresses.insert(name.as_str().into(), status(&name, n as u64));
        }
        let mut shown = Shown::default();
        shown.choose(&sample);
        assert!(shown.addresses.len() == MOST_ADDRESSES && shown.addresses.contains("a50"));
        assert!(!shown.addresses.contains("a49"));
        // One becomes busy and has to wait until another is gone.
        sample.addresses.insert("a0".into(), status("a0", 1_000_000));
        shown.choose(&sample);
        assert!(!shown.addresses.contains("a0"));
        sample.addresses.remove("a60");
        shown.choose(&sample);
        assert!(shown.addresses.contains("a0") && shown.addresses.len() == MOST_ADDRESSES);
        let long = "x".repeat(LONGEST_NAME + 1);
        sample.addresses.insert(long.as_str().into(), status(&long, u64::MAX / 2));
        sample.addresses.remove("a61");
        shown.choose(&sample);
        assert!(!shown.addresses.contains(long.as_str()));
    }
}
