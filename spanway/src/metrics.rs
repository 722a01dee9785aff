//! Metrics as text for Prometheus. Hot counters are plain integers of the workers; this only names, adds up and encodes them.

use std::collections::BTreeMap;

use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder as _, TextEncoder};
use router_core::Counters;

/// The media type of [`MetricSet::encode`].
pub(crate) const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Metrics of one scrape.
#[derive(Debug, Default)]
pub(crate) struct MetricSet {
    families: BTreeMap<String, MetricFamily>,
}

impl MetricSet {
    /// No metrics yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a number that only grows.
    pub(crate) fn counter(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: u64) -> &mut Self {
        let mut metric = labelled(labels);
        let mut counter = Counter::default();
        counter.set_value(as_float(value));
        metric.set_counter(counter);
        self.add(name, help, MetricType::COUNTER, metric)
    }

    /// Adds a number as it is now.
    pub(crate) fn gauge(&mut self, name: &str, help: &str, labels: &[(&str, &str)], value: u64) -> &mut Self {
        let mut metric = labelled(labels);
        let mut gauge = Gauge::default();
        gauge.set_value(as_float(value));
        metric.set_gauge(gauge);
        self.add(name, help, MetricType::GAUGE, metric)
    }

    fn add(&mut self, name: &str, help: &str, kind: MetricType, metric: Metric) -> &mut Self {
        let family = self.families.entry(name.to_owned()).or_insert_with(|| {
            let mut family = MetricFamily::default();
            family.set_name(name.to_owned());
            family.set_help(help.to_owned());
            family.set_field_type(kind);
            family
        });
        family.mut_metric().push(metric);
        self
    }

    /// Adds what the routing core counted, added up over all workers, under the reference's names and ours.
    pub(crate) fn core(&mut self, counters: &Counters) -> &mut Self {
        let c = counters;
        for (name, help, value) in [
            ("qdr_connections_total", "Open connections", c.connections),
            ("qdr_links_total", "Attached links", c.inlets + c.outlets),
            ("qdr_addresses_total", "Known addresses", c.addresses),
            ("qdr_routers_total", "Reachable routers", 0),
            ("qdr_deliveries_stuck_total", "Deliveries that have waited for long", 0),
            ("qdr_links_blocked_total", "Links that have had no credit for long", 0),
            ("spanway_deliveries_held", "Deliveries that wait or are unsettled", c.deliveries_held),
            ("spanway_held_bytes", "Memory that waiting content keeps", c.bytes_held),
        ] {
            self.gauge(name, help, &[], value);
        }
        for (name, help, value) in [
            ("qdr_presettled_deliveries_total", "Deliveries that came in settled", c.presettled),
            (
                "qdr_dropped_presettled_deliveries_total",
                "Settled deliveries that nobody received",
                c.dropped_presettled,
            ),
            ("qdr_accepted_deliveries_total", "Deliveries that ended accepted", c.accepted),
            ("qdr_released_deliveries_total", "Deliveries that ended released", c.released),
            ("qdr_rejected_deliveries_total", "Deliveries that ended rejected", c.rejected),
            ("qdr_modified_deliveries_total", "Deliveries that ended modified", c.modified),
            ("qdr_deliveries_ingress_total", "Deliveries from clients", c.deliveries_in),
            ("qdr_deliveries_egress_total", "Deliveries to clients", c.deliveries_out),
            ("qdr_deliveries_transit_total", "Deliveries from one router to another", 0),
            ("qdr_deliveries_delayed_1sec_total", "Deliveries that took more than a second", 0),
            ("qdr_deliveries_delayed_10sec_total", "Deliveries that took more than ten seconds", 0),
            ("spanway_received_bytes_total", "Content of deliveries from clients", c.bytes_in),
            ("spanway_sent_bytes_total", "Content of deliveries to clients", c.bytes_out),
            ("spanway_aborted_deliveries_total", "Deliveries that ended before they were complete", c.aborted),
            ("spanway_waited_deliveries_total", "Deliveries that had to wait for credit", c.waited),
            ("spanway_denied_links_total", "Links that were refused", c.links_denied),
            ("spanway_denied_connections_total", "Connections that were refused", c.connections_denied),
            ("spanway_opened_connections_total", "Connections that were opened", c.connections_opened),
        ] {
            self.counter(name, help, &[], value);
        }
        self
    }

    /// The text, in the order of the names.
    pub(crate) fn encode(&self) -> String {
        let families: Vec<_> = self.families.values().cloned().collect();
        let mut text = Vec::new();
        // Only fails for families without metrics, which `add` never makes, and for writers that fail.
        match TextEncoder::new().encode(&families, &mut text) {
            Ok(()) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) => format!("# {error}\n"),
        }
    }
}

fn labelled(labels: &[(&str, &str)]) -> Metric {
    let pairs = labels.iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    });
    Metric::from_label(pairs.collect())
}

/// Prometheus knows floats only; exact up to 2^53.
#[allow(clippy::cast_precision_loss, reason = "the format of Prometheus")]
fn as_float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_grouped_and_labels_escaped() {
        let mut set = MetricSet::new();
        set.counter("b_total", "B", &[("address", "a\"b")], 3).counter("b_total", "B", &[("address", "c")], 4);
        set.gauge("a", "A", &[], 1);
        assert_eq!(
            set.encode(),
            "# HELP a A\n# TYPE a gauge\na 1\n# HELP b_total B\n# TYPE b_total counter\n\
             b_total{address=\"a\\\"b\"} 3\nb_total{address=\"c\"} 4\n"
        );
    }

    #[test]
    fn the_core_has_the_names_of_the_reference() {
        let text =
            MetricSet::new().core(&Counters { accepted: 7, inlets: 1, outlets: 2, ..Counters::default() }).encode();
        assert!(text.contains("\nqdr_accepted_deliveries_total 7\n"), "{text}");
        assert!(text.contains("\nqdr_links_total 3\n"), "{text}");
    }
}
