//! What holds in a core between any two calls.

use std::collections::HashMap;

use super::super::Core;
use crate::{
    InletKey,
    core::slots::Key,
    delivery::{From, LISTED, LONG, To, WAITS},
    distribution::Candidate,
};

impl Core {
    /// Nothing is left of anything.
    pub(super) fn assert_empty(&self) {
        let left: Vec<_> = self.deliveries.iter().collect();
        assert!(left.is_empty(), "deliveries are left: {left:#?}");
        assert_eq!(self.counters.bytes_held, 0, "bytes are held");
        assert_eq!(self.orphaned, 0, "orphans are counted");
        assert_eq!(
            (self.pool.used, self.addresses.iter().map(|(_, a)| a.waiting.pooled).sum::<u32>()),
            (0, 0),
            "the pool is used"
        );
        assert_eq!(self.inlets.len() + self.outlets.len() + self.remotes.len(), 0);
        assert_eq!(self.spans.open(), 0, "spans are left");
        assert!(self.order.is_empty() && self.order.waiting() == 0, "links are kept: {:?}", self.order);
        assert_eq!(self.onwards.len() + self.targets.len(), 0);
        let shares = self.addresses.iter().filter_map(|(_, a)| Some(a.far.as_ref()?.next_hops()));
        self.tallies.assert_empty(shares.sum());
        let stays = |a: &&crate::core::Address| !a.is_hop() && a.far.is_none();
        let left: Vec<_> = self.addresses.iter().map(|(_, a)| a).filter(stays).collect();
        assert!(left.is_empty(), "addresses are left: {left:#?}");
    }

    /// Deliveries that wait for links for streams.
    pub(super) fn waiting_for_streams(&self) -> usize {
        let streams = self.addresses.iter().filter(|(_, a)| a.name.starts_with('P') && a.name.ends_with("/stream"));
        streams.map(|(_, a)| a.waiting.len()).sum()
    }

    /// Links that are kept for lines of this worker.
    pub(super) fn kept_for_lines(&self) -> usize {
        self.order.lines()
    }

    /// Credit of an inlet: what the sender has, what deliveries have, and the capacity.
    pub(super) fn issued(&self, key: InletKey) -> (u32, u32, u32) {
        let inlet = self.inlets.get(key.0).unwrap();
        (inlet.issued, inlet.open, inlet.capacity.get())
    }

    /// Counts agree with what they count.
    pub(super) fn assert_consistent(&self) {
        let mut waiting = HashMap::<Key, usize>::new();
        let mut by_inlet = HashMap::<Key, u32>::new();
        let mut listed = HashMap::<Key, u32>::new();
        let mut queued = HashMap::<Key, (u32, u32)>::new();
        let (mut held, mut long) = (0, 0);
        for (_, d) in self.deliveries.iter() {
            held += d.content.as_ref().map_or(0, |c| c.charge());
            if d.to != To::Fan {
                held += d.posted;
            }
            assert_eq!(d.has(WAITS), d.to == To::Waiting, "{d:?}");
            if d.has(WAITS) {
                long += u32::from(d.has(LONG));
                *waiting.entry(d.address).or_default() += 1;
                if let From::Inlet { inlet, .. } = d.from {
                    *by_inlet.entry(inlet).or_default() += 1;
                }
            }
            if d.has(LISTED) {
                let To::Outlet { outlet, .. } = d.to else { panic!("listed without outlet: {d:?}") };
                *listed.entry(outlet).or_default() += 1;
            }
            if let To::Queued { outlet } = d.to {
                let counts = queued.entry(outlet).or_default();
                counts.0 += 1;
                counts.1 += u32::from(matches!(d.from, From::Worker { .. }));
            }
        }
        assert_eq!(self.counters.bytes_held, held as u64, "bytes held");
        assert_eq!(self.waiting as usize, waiting.values().sum::<usize>(), "waiting in all");
        for (key, a) in self.addresses.iter() {
            assert_eq!(a.waiting.len(), waiting.get(&key).copied().unwrap_or(0), "waiting");
            assert!(a.waiting.len() == 0 || !a.candidates.any_ready(), "{} waits though an outlet is ready", a.name);
            assert_eq!(a.open, a.candidates.len() > 0 || a.far.is_some());
            for (at, candidate) in a.candidates.iter().enumerate() {
                let ready = a.candidates.is_ready(at as u32);
                match candidate {
                    Candidate::Local(o) => {
                        let outlet = self.outlets.get(o).unwrap();
                        assert_eq!((outlet.address_at as usize, ready), (at, outlet.is_ready()), "{outlet:?}");
                    }
                    Candidate::Remote(r) => {
                        let remote = self.remotes.get(r).unwrap();
                        assert_eq!((remote.at as usize, ready), (at, remote.lent > 0));
                    }
                }
            }
            let lent = self.outlets.iter().filter(|(_, outlet)| outlet.address == key).map(|(_, outlet)| outlet.lent);
            assert_eq!(a.lent, lent.sum::<u32>(), "lent by {}", a.name);
        }
        assert!(self.order.waiting() <= long, "{long} that are long wait: {:?}", self.order);
        for (key, o) in self.outlets.iter() {
            assert_eq!(o.kept, self.order.keeps(Candidate::Local(key)), "{o:?}");
            assert_eq!(o.outstanding, listed.get(&key).copied().unwrap_or(0), "outstanding");
            assert_eq!((o.queued, o.reserved), queued.get(&key).copied().unwrap_or((0, 0)), "queued");
            assert_eq!(o.lent, o.lenders.iter().map(|l| l.credit).sum::<u32>(), "lent");
            assert!(o.current.is_none() || self.deliveries.contains(o.current), "current");
        }
        for (key, i) in self.inlets.iter() {
            assert_eq!(i.waiting, by_inlet.get(&key).copied().unwrap_or(0), "waiting of an inlet");
            assert!(i.current.is_none() || self.deliveries.contains(i.current), "current");
        }
    }
}
