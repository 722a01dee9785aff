//! What happened between two samples, per second.

use std::cmp::Ordering;
use std::time::Duration;

use router_core::AddressStatus;
use tcp_adaptor::Totals;

use super::report::out;
use super::sample::{Passed, PeerKey, Sample};
use super::site::Rates;

/// Older samples tell nothing about now.
const OLDEST: Duration = Duration::from_secs(60);

/// Compares a sample with an earlier one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Compared<'a> {
    now: &'a Sample,
    before: Option<&'a Sample>,
    seconds: f64,
}

impl<'a> Compared<'a> {
    /// `before`: none if nobody looked.
    pub(super) fn new(now: &'a Sample, before: Option<&'a Sample>) -> Self {
        let passed = before.map(|before| now.at.saturating_duration_since(before.at));
        let usable = passed.filter(|passed| !passed.is_zero() && *passed <= OLDEST);
        Self { now, before: before.filter(|_| usable.is_some()), seconds: usable.unwrap_or_default().as_secs_f64() }
    }

    /// In the order of [`Rates`]. Something that was not there before has no rate yet.
    fn rates(&self, now: [u64; 4], before: Option<[u64; 4]>) -> Option<Rates> {
        let before = before?;
        let mut each = now.iter().zip(before).map(|(now, before)| per_second(now.saturating_sub(before), self.seconds));
        let mut next = || each.next().unwrap_or_default();
        Some(Rates { deliveries_in: next(), deliveries_out: next(), bytes_in: next(), bytes_out: next() })
    }

    /// What comes from clients and goes to them. Bytes are those of all content, that of other routers included.
    pub(super) fn router(&self) -> Option<Rates> {
        let of = |sample: &Sample| {
            let c = &sample.core;
            [c.deliveries_in, c.deliveries_out, c.bytes_in, c.bytes_out]
        };
        self.rates(of(self.now), self.before.map(of))
    }

    pub(super) fn peer(&self, key: &PeerKey, passed: Passed) -> Option<Rates> {
        let of = |p: Passed| [p.deliveries_in, p.deliveries_out, p.bytes_in, p.bytes_out];
        self.rates(of(passed), self.before?.peers.get(key).map(|peer| of(peer.passed)))
    }

    pub(super) fn address(&self, name: &str, status: &AddressStatus) -> Option<Rates> {
        let of = |status: &AddressStatus| [status.deliveries_in, out(status), 0, 0];
        self.rates(of(status), self.before?.addresses.get(name).map(of))
    }

    pub(super) fn listener(&self, name: &str, totals: Totals) -> Option<Rates> {
        self.service(totals, self.before?.listeners.get(name).map(|listener| listener.totals))
    }

    pub(super) fn connector(&self, name: &str, totals: Totals) -> Option<Rates> {
        self.service(totals, self.before?.connectors.get(name).copied())
    }

    fn service(&self, now: Totals, before: Option<Totals>) -> Option<Rates> {
        let of = |t: Totals| [t.connections_opened, 0, t.bytes_in, t.bytes_out];
        self.rates(of(now), before.map(of))
    }
}

/// The order of addresses: by deliveries in a second, then by those since the start.
pub(super) fn busier_first(a: (Option<Rates>, u64), b: (Option<Rates>, u64)) -> Ordering {
    let rate = |rates: Option<Rates>| rates.map_or(0.0, |rates| rates.deliveries_in + rates.deliveries_out);
    rate(b.0).total_cmp(&rate(a.0)).then(b.1.cmp(&a.1))
}

/// To a tenth: what is read by people needs no more, and pages stay small.
#[allow(clippy::cast_precision_loss, reason = "rates are approximate")]
fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds <= 0.0 { 0.0 } else { (count as f64 / seconds * 10.0).round() / 10.0 }
}
