//! What a sender sends stays in order, also when some of it goes to a neighbour over a link for streams.
//!
//! A delivery that became long on its way to a neighbour gets a link of its own. On the links that all share, what its sender sends next would pass
//! it, at this router or at one behind. So the link is kept for that sender: what follows goes over it as well, until it has not been used for a
//! while. The neighbour sees one link then, and does the same.
//!
//! What is sent before something long, over the links that all share, could be passed in turn. So what is not very long goes there, too, if
//! something is under way there; and a sender has its link for longer than one message takes, so that it seldom changes.
//!
//! Only routers of ours keep order so. One of the reference takes one delivery after the other from a link for streams.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    Core,
    forward::Arrival,
    hops::{GATHER, MEDIUM},
};
use crate::{
    WorkerId,
    core::slots::Key,
    delivery::{From, LONG, PRESETTLED},
    distribution::Candidate,
    egress::{DeliveryState, Egress, End, Payload},
    worker_batch::{Msg, WorkerMsg},
};

/// How often it is looked for links that were not used since the last look.
const PERIOD: Duration = Duration::from_secs(10);

/// How many links are kept for senders. What those beyond send after something long may pass it.
const MOST: usize = 1000;

/// How much is gathered of what is long and has to wait for its turn, in bytes.
const PATIENCE: usize = 4 * GATHER;

/// What has to stay in order: what came on one link for one address, and goes to one neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Line {
    inlet: Key,
    hop: Key,
    address: Key,
}

/// What goes before a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ahead {
    Nothing,
    /// This link is kept for its line.
    On(Candidate),
    /// Something of its line waits for a link for streams.
    Waiting,
}

/// A link that is kept.
#[derive(Debug)]
struct Kept {
    /// `None` if it is kept for another worker, until that says so.
    line: Option<Line>,
    /// Something was sent settled.
    settled: bool,
    /// Since the last look.
    used: bool,
}

/// The links that are kept, and what waits for one.
#[derive(Debug)]
pub(super) struct Order {
    by_line: BTreeMap<Line, Candidate>,
    kept: BTreeMap<Candidate, Kept>,
    waiting: BTreeMap<Line, u32>,
    /// Lines that have a link, and others that wait for one.
    joining: Vec<Line>,
    last: Instant,
}

impl Order {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            by_line: BTreeMap::new(),
            kept: BTreeMap::new(),
            waiting: BTreeMap::new(),
            joining: Vec::new(),
            last: now,
        }
    }

    /// When to look next.
    pub(super) fn poll(&self) -> Option<Instant> {
        (!self.by_line.is_empty()).then(|| self.last + PERIOD)
    }

    /// The link is kept for somebody.
    pub(super) fn keeps(&self, link: Candidate) -> bool {
        self.kept.contains_key(&link)
    }

    /// Nothing has to go anywhere else than it would.
    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// How many lines have a link.
    #[cfg(test)]
    pub(super) fn lines(&self) -> usize {
        self.by_line.len()
    }

    /// How many deliveries wait for links.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> u32 {
        self.waiting.values().sum()
    }

    /// What waits of a line goes over the link that is kept for it, soon.
    fn join(&mut self, line: Line) {
        if self.by_line.contains_key(&line) && self.waiting.contains_key(&line) && !self.joining.contains(&line) {
            self.joining.push(line);
        }
    }

    /// Something goes over a link that is kept.
    pub(super) fn uses(&mut self, link: Candidate, settled: bool) {
        if let Some(kept) = self.kept.get_mut(&link) {
            kept.used = true;
            kept.settled |= settled;
        }
    }
}

impl Core {
    /// What goes before a delivery that is to go to a neighbour for an address.
    #[inline]
    pub(super) fn ahead(&self, from: From, hop: Key, address: Key) -> Ahead {
        if self.order.by_line.is_empty() && self.order.waiting.is_empty() {
            return Ahead::Nothing;
        }
        self.ahead_in_line(from, hop, address)
    }

    fn ahead_in_line(&self, from: From, hop: Key, address: Key) -> Ahead {
        let From::Inlet { inlet, .. } = from else { return Ahead::Nothing };
        let line = Line { inlet, hop, address };
        if self.order.waiting.contains_key(&line) {
            return Ahead::Waiting;
        }
        self.order.by_line.get(&line).map_or(Ahead::Nothing, |link| Ahead::On(*link))
    }

    /// The line of a delivery that became long.
    fn line_of(&self, d: Key) -> Option<Line> {
        let delivery = self.deliveries.get(d).filter(|d| d.has(LONG))?;
        let (_, onward) = self.onwards.at(delivery.onward)?;
        let (from, address) = match delivery.from {
            From::Copy { parent } => self.deliveries.get(parent).map(|p| (p.from, p.address))?,
            from => (from, onward.origin),
        };
        let From::Inlet { inlet, .. } = from else { return None };
        Some(Line { inlet, hop: onward.hop, address })
    }

    /// A delivery waits for a link for streams from now on. What follows it has to, if the neighbour is a router of ours.
    pub(super) fn becomes_long(&mut self, d: Key) {
        let hop = self.deliveries.get(d).and_then(|d| self.onwards.at(d.onward)).map(|(_, onward)| onward.hop);
        let links = hop.and_then(|hop| self.links_to(hop, MEDIUM)).and_then(|links| self.addresses.get(links));
        let ours = links.is_some_and(|a| a.ours);
        if let Some(delivery) = self.deliveries.get_mut(d).filter(|_| ours) {
            delivery.set(LONG);
        }
    }

    /// A delivery that is gathered is long enough for a link for streams, but would pass there what its sender sent before, over other links and
    /// perhaps another connection. As long as it does not take much it goes on being gathered, and goes the same way if it is complete by then.
    pub(super) fn should_wait_its_turn(&self, d: Key) -> bool {
        let Some(delivery) = self.deliveries.get(d) else { return false };
        let From::Inlet { inlet, .. } = delivery.from else { return false };
        let Some(inlet) = self.inlets.get(inlet) else { return false };
        // Of what was sent settled nobody knows whether it has arrived, and routers of the reference keep no order of links.
        let ours = self.addresses.get(delivery.address).is_some_and(|a| a.ours);
        let behind = !ours || delivery.has(PRESETTLED) || inlet.waiting > 0 || inlet.open > 1;
        let held = delivery.content.as_ref().map_or(0, |content| content.charge());
        behind && held <= PATIENCE && self.pool.is_ample()
    }

    /// A delivery that became long waits, for a link or for its turn.
    #[cold]
    pub(super) fn long_waits(&mut self, d: Key) {
        let Some(line) = self.line_of(d) else { return };
        *self.order.waiting.entry(line).or_default() += 1;
        self.order.join(line);
    }

    /// And does so no more.
    #[cold]
    pub(super) fn long_left(&mut self, d: Key) {
        let Some(line) = self.line_of(d) else { return };
        if let Some(count) = self.order.waiting.get_mut(&line) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.order.waiting.remove(&line);
            }
        }
    }

    /// How many of those that wait at this address for links for streams will go over a link that another one gets.
    pub(super) fn followers(&self, stream: Key) -> usize {
        let of_it = |line: &Line| self.hops.get(line.hop).is_some_and(|hop| hop.stream == stream);
        let waiting = self.order.waiting.iter().filter(|(line, _)| of_it(line));
        waiting.map(|(line, count)| *count as usize - usize::from(!self.order.by_line.contains_key(line))).sum()
    }

    /// The link that is kept for what waits.
    pub(super) fn link_in_line(&self, d: Key) -> Option<Candidate> {
        self.order.by_line.get(&self.line_of(d)?).copied()
    }

    /// A delivery that became long goes over a link for streams: this is kept for its line.
    pub(super) fn keep_link(&mut self, d: Key, link: Candidate) {
        let Some(settled) = self.deliveries.get(d).filter(|d| d.has(LONG)).map(|d| d.has(PRESETTLED)) else { return };
        if !self.order.keeps(link)
            && let Some(line) = self.line_of(d)
            && !self.order.by_line.contains_key(&line)
        {
            self.keep(link, Some(line));
        }
        self.order.uses(link, settled);
    }

    /// Keeps a link, for a line of this worker, or for one of another that says so.
    pub(super) fn keep(&mut self, link: Candidate, line: Option<Line>) {
        if self.order.kept.len() >= MOST || self.order.keeps(link) {
            return;
        }
        match link {
            Candidate::Local(o) => {
                let Some(outlet) = self.outlets.get_mut(o).filter(|o| o.single && !o.retired) else { return };
                outlet.kept = true;
            }
            Candidate::Remote(remote) => {
                let Some(remote) = self.remotes.get_mut(remote).filter(|r| r.single && !r.retired) else { return };
                remote.kept = true;
            }
        }
        self.order.kept.insert(link, Kept { line, settled: false, used: true });
        if let Some(line) = line {
            self.order.by_line.insert(line, link);
            self.order.join(line);
        }
        if let Candidate::Local(o) = link {
            self.refresh(o);
        }
    }

    /// A link that is kept has nothing more to do now. When the sender is gone as well, nothing follows.
    #[cold]
    pub(super) fn kept_link_rests(&mut self, link: Candidate, eg: &mut impl Egress) {
        let Some(Kept { line: Some(line), settled: false, .. }) = self.order.kept.get(&link) else { return };
        if self.inlets.get(line.inlet).is_none() && self.rests(link) {
            self.free_link(link, eg);
        }
    }

    /// A sender is gone.
    pub(super) fn line_ends(&mut self, inlet: Key, eg: &mut impl Egress) {
        if self.order.by_line.is_empty() {
            return;
        }
        let ends = self.order.by_line.iter().filter(|(line, _)| line.inlet == inlet);
        for link in ends.map(|(_, link)| *link).collect::<Vec<_>>() {
            self.kept_link_rests(link, eg);
        }
    }

    /// So says the worker for which a link is kept.
    pub(super) fn line_of_other_ends(&mut self, link: Candidate, eg: &mut impl Egress) {
        if self.order.kept.get(&link).is_some_and(|kept| kept.line.is_none()) {
            self.free_link(link, eg);
        }
    }

    /// Nothing of what went over a link is under way.
    fn rests(&self, link: Candidate) -> bool {
        match link {
            Candidate::Local(o) => {
                self.outlets.get(o).is_none_or(|o| o.current.is_none() && o.queued == 0 && o.outstanding == 0)
            }
            Candidate::Remote(remote) => self.remotes.get(remote).is_none_or(|remote| remote.outstanding == 0),
        }
    }

    /// A link is not kept any more: others may use it.
    pub(super) fn free_link(&mut self, link: Candidate, eg: &mut impl Egress) {
        let Some(kept) = self.order.kept.remove(&link) else { return };
        if let Some(line) = kept.line {
            self.order.by_line.remove(&line);
        }
        match link {
            Candidate::Local(o) => {
                let Some(outlet) = self.outlets.get_mut(o) else { return };
                outlet.kept = false;
                let address = outlet.address;
                self.refresh(o);
                self.relieved.push(address);
            }
            Candidate::Remote(remote) => {
                if let Some(remote) = self.remotes.get_mut(remote) {
                    remote.kept = false;
                    eg.post(WorkerId(remote.worker), WorkerMsg::bare(Msg::Free { outlet: remote.outlet }));
                }
            }
        }
    }

    /// Frees links that were not used lately.
    pub(super) fn free_links(&mut self, now: Instant, eg: &mut impl Egress) {
        if self.order.poll().is_none_or(|at| at > now) {
            return;
        }
        self.order.last = now;
        for link in self.order.by_line.values().copied().collect::<Vec<_>>() {
            let rests = self.rests(link);
            let Some(kept) = self.order.kept.get_mut(&link) else { continue };
            if !std::mem::take(&mut kept.used) && rests {
                self.free_link(link, eg);
            }
        }
    }

    /// Sends what waits of lines that have a link now over that, whatever else waits for one.
    pub(super) fn join_lines(&mut self, eg: &mut impl Egress) {
        while let Some(line) = self.order.joining.pop() {
            let stream = self.hops.get(line.hop).map(|hop| hop.stream);
            let Some((stream, a)) = stream.and_then(|stream| Some((stream, self.addresses.get(stream)?))) else {
                continue;
            };
            for d in a.waiting.keys().collect::<Vec<_>>() {
                if self.deliveries.get(d).is_some_and(|d| d.waits_at(stream))
                    && self.line_of(d) == Some(line)
                    && let Some(link) = self.order.by_line.get(&line)
                {
                    self.follow(d, *link, eg);
                }
            }
        }
    }

    /// Sends a delivery, or its first part, over the link that is kept for its line, whatever else could take it; or makes it wait behind what waits
    /// of its line. `arrival` says what is to be known of its way to the neighbour.
    #[cold]
    pub(super) fn go_after(
        &mut self,
        ahead: Ahead,
        priority: u8,
        arrival: &Arrival<'_>,
        payload: &Payload<'_>,
        end: End,
        eg: &mut impl Egress,
    ) -> Option<Key> {
        let stream = self.streams_to(arrival.hop);
        if arrival.pooled && self.is_over(stream) {
            return self.refuse(arrival, end, Some(&DeliveryState::Released), eg);
        }
        if let Ahead::On(link) = ahead {
            self.order.uses(link, arrival.settled);
        }
        if let Ahead::On(Candidate::Remote(remote)) = ahead {
            return self.lend_out(remote, Key::NONE, stream, arrival, payload, end, eg);
        }
        let d = self.record(arrival, stream, end);
        self.keep_prefix(d, arrival.prefix);
        self.store(d, payload, eg);
        if let Ahead::On(Candidate::Local(o)) = ahead {
            self.queue_at(d, o, eg);
        } else {
            self.becomes_long(d);
            self.enqueue(d, stream, priority);
        }
        self.deliveries.contains(d).then_some(d)
    }

    /// Sends what waits for a link over the one that is kept for its line.
    pub(super) fn follow(&mut self, d: Key, link: Candidate, eg: &mut impl Egress) {
        let settled = self.deliveries.get(d).is_some_and(|d| d.has(PRESETTLED));
        self.order.uses(link, settled);
        match link {
            Candidate::Remote(remote) => self.lend_out_waiting(remote, d, eg),
            Candidate::Local(o) => {
                self.leave_waiting(d);
                self.queue_at(d, o, eg);
            }
        }
    }
}
