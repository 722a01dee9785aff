//! Links for streams to neighbours: what is asked for, what becomes of what waits when there are none, and which are given back.
//!
//! Each takes one delivery at a time. A delivery that finds none that is free waits at an address that stands for all of a neighbour's, wants
//! the credit of other workers' links, and asks for one more link. Each of these requests is answered once. A worker has as many under way
//! as deliveries wait there, or more if some of those were served otherwise meanwhile, which is made up for by those that come. What a
//! request brought may have been taken by somebody else; then it is asked again.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{Core, edges::edge_of_hop, hops::HopLinks};
use crate::{
    OutletKey,
    annotations::{Parsed, Q2_DISABLED, parse},
    core::slots::Key,
    delivery::{LONG, To, WHOLE},
    distribution::Candidate,
    egress::{Egress, Payload},
    outlet::Outlet,
};

/// How often it is looked at how many links are in use, and what counts: this one and so many before.
const PERIOD: Duration = Duration::from_secs(10);
const PERIODS: usize = 3;

/// Links to a neighbour that stay though they are not used. The next streams need not wait for theirs, which takes a round trip.
const SPARE: u32 = 4;

/// The links for streams of all neighbours.
#[derive(Debug)]
pub(super) struct StreamLinks {
    by_address: BTreeMap<Key, Links>,
    last: Instant,
    /// [`PERIOD`] and [`SPARE`], unless somebody set others.
    period: Duration,
    spare: u32,
}

/// Those of one.
#[derive(Debug, Default)]
struct Links {
    /// Asked for and not answered.
    asked: usize,
    /// Of this worker.
    here: u32,
    /// Of these, how many have a delivery, and how many had at once in each of the last periods, the present one first.
    busy: u32,
    most: [u32; PERIODS],
}

impl Links {
    fn use_one(&mut self) {
        self.busy += 1;
        self.most[0] = self.most[0].max(self.busy);
    }
}

impl StreamLinks {
    pub(super) const fn new(now: Instant) -> Self {
        Self { by_address: BTreeMap::new(), last: now, period: PERIOD, spare: SPARE }
    }

    /// When to look next.
    pub(super) fn poll(&self) -> Option<Instant> {
        self.by_address.values().any(|links| links.here > self.spare).then(|| self.last + self.period)
    }

    /// A link of this worker began a delivery, if it is one for streams.
    pub(super) fn began(&mut self, address: Key) {
        if let Some(links) = self.by_address.get_mut(&address) {
            links.use_one();
        }
    }

    /// And is done with it.
    pub(super) fn ended(&mut self, address: Key) {
        if let Some(links) = self.by_address.get_mut(&address) {
            links.busy = links.busy.saturating_sub(1);
        }
    }

    /// How many were asked for and not answered, for an address.
    pub(super) fn asked(&mut self, address: Key) -> &mut usize {
        &mut self.by_address.entry(address).or_default().asked
    }

    pub(super) fn forget(&mut self, address: Key) {
        self.by_address.remove(&address);
    }
}

/// The neighbour that an address for streams stands for.
fn neighbour_of(name: &str) -> Option<&str> {
    name.strip_prefix('P')?.strip_suffix("/stream")
}

impl Core {
    /// Asks for one more link for streams if more wait than were asked for.
    pub(super) fn want_stream(&mut self, stream: Key, eg: &mut impl Egress) {
        self.want_streams(stream, 1, eg);
    }

    fn want_streams(&mut self, stream: Key, most: usize, eg: &mut impl Egress) {
        if self.addresses.get(stream).is_some_and(|a| a.waiting.len() > 0) {
            // Another worker may have links that are free. It answers without making one then, and this one has to get it.
            self.demand(stream, eg);
        }
        let Some(a) = self.addresses.get(stream) else { return };
        let (all, Some(id)) = (a.waiting.len(), neighbour_of(&a.name)) else { return };
        // Some of them go where others have gone.
        let waiting = all.saturating_sub(self.followers(stream));
        let asked = &mut self.stream_links.by_address.entry(stream).or_default().asked;
        for _ in 0..most.min(waiting.saturating_sub(*asked)) {
            *asked += 1;
            eg.open_stream(id);
        }
    }

    /// A link for streams of this worker came up.
    pub(super) fn stream_up(&mut self, address: Key) {
        if self.addresses.get(address).is_none_or(|a| neighbour_of(&a.name).is_none()) {
            return;
        }
        let links = self.stream_links.by_address.entry(address).or_default();
        links.here += 1;
        // Somebody wanted it.
        links.most[0] = links.most[0].max(links.here);
        self.streams_changed(address);
    }

    /// A worker that has links of its own has a connection of its own. Its streams wait for one more link there instead of taking a free one of
    /// another worker: they last, and each part of them would wake that worker, there and back.
    fn streams_changed(&mut self, address: Key) {
        let own = self.stream_links.by_address.get(&address).is_some_and(|links| links.here > 0);
        if let Some(a) = self.addresses.get_mut(address) {
            a.own_streams = own;
        }
    }

    /// One is gone. `busy`: it had a delivery.
    pub(super) fn stream_down(&mut self, address: Key, busy: bool) {
        if let Some(links) = self.stream_links.by_address.get_mut(&address) {
            links.here = links.here.saturating_sub(1);
            links.busy = links.busy.saturating_sub(u32::from(busy));
            self.streams_changed(address);
        }
    }

    /// Toward a neighbour there is no link for the streams that wait for one, and none will come for them: they are gathered to their ends,
    /// or released if they may have none.
    pub fn no_stream(&mut self, neighbour: &str, eg: &mut impl Egress) {
        let Some(stream) = self.stream_of(neighbour) else { return };
        while let Some(d) = self.front_waiting(stream) {
            self.leave_waiting(d);
            let endless = self.is_endless(d);
            let Some(delivery) = self.deliveries.get(d) else { continue };
            let (priority, onward) = (delivery.priority, delivery.onward);
            let hop = self.onwards.at(onward).map_or(Key::NONE, |(_, onward)| onward.hop);
            let Some(links) = self.links_to(hop, priority).filter(|_| !endless) else {
                self.dropped(d, eg);
                continue;
            };
            if self.copy_is_whole(d, links, eg) {
                continue;
            }
            self.move_to(d, links);
            self.pool(d, eg);
            let Some(delivery) = self.deliveries.get_mut(d) else { continue };
            delivery.to = To::Gathering;
            delivery.flags &= !LONG;
            delivery.set(WHOLE);
            let end = delivery.ended;
            self.gather(d, &Payload::empty(), end, eg);
            self.bound(d, eg);
        }
    }

    /// One [`Egress::open_stream`] of this worker is over: there is a link that has credit, or it was lost, or others were found to be free.
    /// What still waits asks again. To be called when what other workers say about the link was handled.
    pub fn stream_answered(&mut self, neighbour: &str, eg: &mut impl Egress) {
        let Some(stream) = self.stream_of(neighbour) else { return };
        let mut last = false;
        if let Some(links) = self.stream_links.by_address.get_mut(&stream) {
            links.asked = links.asked.saturating_sub(1);
            last = links.asked == 0;
        }
        if let Some(a) = self.addresses.get_mut(stream).filter(|a| last && a.waiting.len() > 0) {
            // All was answered, and not with links of its own.
            a.own_streams = false;
        }
        self.want_streams(stream, usize::MAX, eg);
    }

    /// A link of this worker for streams to a neighbour is free: no other is needed for somebody who wants one, who has asked for credit
    /// of those that there are.
    pub fn has_free_stream(&self, neighbour: &str) -> bool {
        let Some(a) = self.stream_of(neighbour).and_then(|stream| self.addresses.get(stream)) else { return false };
        a.candidates.local_ready().is_some()
    }

    /// The address of the links for streams to a neighbour.
    fn stream_of(&self, neighbour: &str) -> Option<Key> {
        match edge_of_hop(neighbour) {
            Some(edge) => self.edges.stream_of(edge),
            None => self.hops.get(*self.hop_ids.get(neighbour)?).map(|hop| hop.stream),
        }
    }

    /// The delivery has a flow control of its own, as TCP connections have: it is of no use before it has ended, and may never end.
    fn is_endless(&self, d: Key) -> bool {
        let Some(delivery) = self.deliveries.get(d).filter(|d| !d.arrived()) else { return false };
        let prefix = self.onwards.at(delivery.onward).and_then(|(_, onward)| onward.prefix.as_deref());
        matches!(prefix.map(parse), Some(Ok(Parsed::Found(annotations, _))) if annotations.flags & Q2_DISABLED != 0)
    }

    /// The address stands for links for streams to a neighbour to which there are links still: others can be asked for.
    pub(super) fn may_get_streams(&self, address: Key) -> bool {
        let Some(id) = self.addresses.get(address).and_then(|a| neighbour_of(&a.name)) else { return false };
        match edge_of_hop(id) {
            Some(edge) => self.edges.stream_of(edge) == Some(address),
            None => self.hop_ids.get(id).is_some_and(|hop| self.has_links(*hop)),
        }
    }

    /// Any links but those for streams.
    fn has_links(&self, hop: Key) -> bool {
        let open = |key: Key| self.addresses.get(key).is_some_and(|a| a.candidates.len() > 0);
        match self.hops.get(hop).map(|hop| &hop.links) {
            Some(HopLinks::ByPriority(all)) => all.iter().any(|key| open(*key)),
            Some(HopLinks::One(key)) => open(*key),
            None => false,
        }
    }

    /// An address that stands for links to a neighbour has none any more. With the last of its priorities the neighbour is lost, and what has
    /// not begun is given up, whether it waits for a link for streams, which may never have been there, or is gathered.
    pub(super) fn hop_closed(&mut self, name: &str, eg: &mut impl Egress) {
        let id = name.strip_prefix('P').and_then(|name| name.rsplit_once('/')).map(|(id, _)| id);
        let Some(hop) = id.and_then(|id| self.hop_ids.get(id).copied()) else { return };
        if !self.has_links(hop)
            && let Some(stream) = self.hops.get(hop).map(|hop| hop.stream)
        {
            self.give_up(stream, eg);
        }
    }

    /// Gives up what has not begun toward a neighbour that is lost.
    pub(super) fn give_up(&mut self, stream: Key, eg: &mut impl Egress) {
        self.drop_waiting(stream, eg);
        let closed = |address: Key| self.addresses.get(address).is_none_or(|a| !a.open);
        let lost = self.deliveries.iter().filter(|(_, d)| d.to == To::Gathering && closed(d.address));
        for d in lost.map(|(key, _)| key).collect::<Vec<_>>() {
            self.dropped(d, eg);
        }
    }

    /// From now on so many links for streams to each neighbour stay though they are not used, and it is looked this often which are.
    pub fn set_spare_streams(&mut self, spare: u32, period: Duration) {
        self.stream_links.spare = spare;
        self.stream_links.period = period;
    }

    /// Gives back links that were not needed lately.
    pub(super) fn trim_streams(&mut self, now: Instant, eg: &mut impl Egress) {
        if self.stream_links.poll().is_none_or(|at| at > now) {
            return;
        }
        self.stream_links.last = now;
        for stream in self.stream_links.by_address.keys().copied().collect::<Vec<_>>() {
            self.trim_links(stream, eg);
        }
    }

    fn trim_links(&mut self, stream: Key, eg: &mut impl Egress) {
        let Some(a) = self.addresses.get(stream) else { return self.stream_links.forget(stream) };
        let local = a.candidates.iter().filter_map(|candidate| match candidate {
            Candidate::Local(o) => Some(o),
            Candidate::Remote(_) => None,
        });
        let all: Vec<Key> = local.collect();
        let busy = |o: &&Key| self.outlets.get(**o).is_some_and(|outlet| !outlet.current.is_none());
        let busy = all.iter().filter(busy).count() as u32;
        let spare = self.stream_links.spare;
        let Some(links) = self.stream_links.by_address.get_mut(&stream) else { return };
        (links.here, links.busy) = (all.len() as u32, busy);
        let most = links.most.iter().copied().fold(busy, u32::max);
        links.most.rotate_right(1);
        links.most[0] = busy;
        let mut surplus = links.here.saturating_sub(most.max(spare));
        for o in all.into_iter().rev() {
            if surplus == 0 {
                return;
            }
            // One without credit was not answered yet.
            let idle = |outlet: &&Outlet| outlet.is_idle() && outlet.credit > 0 && !outlet.kept;
            let Some(outlet) = self.outlets.get(o).filter(idle) else { continue };
            surplus -= 1;
            let link = outlet.link;
            if outlet.lent > 0 {
                // When it is back, the next look finds it.
                self.recall(o, eg);
                continue;
            }
            self.detach_outlet(OutletKey(o), eg);
            eg.detach(link, None);
        }
    }
}
