//! HELLO: which neighbours hear us, and by which link each is reached.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{
    Routing,
    message::{Hello, MAX_COST, Message, ROUTER_VERSION, RouterId},
    nodes::{ME, Slot},
    output::{Event, LinkId, Output, Target},
};

/// How many HELLOs a link may cause between two regular ones: two neighbours need one each to know one another.
const PROMPTS: u8 = 3;

/// How often a router sends HELLO that does not say how often.
const USUAL_INTERVAL: Duration = Duration::from_secs(1);
/// A neighbour may be silent for so many of its own intervals at least, however short our age limit is.
const MIN_INTERVALS: u32 = 2;
/// The longest interval that a peer is believed.
const MAX_INTERVAL: Duration = Duration::from_secs(60);

/// When a new neighbour is told our sequence numbers, counted from the moment at which it can be used. What is sent while a link comes up may
/// be lost, and what is lost would be missed only by the next advertisement to all, which comes after seconds.
const INTRODUCTIONS: [Duration; 3] = [Duration::ZERO, Duration::from_millis(200), Duration::from_secs(1)];

/// What a link costs, as either side is configured. The larger one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkCost {
    /// Our side.
    pub ours: u32,
    /// The other side, as it said when the connection was opened.
    pub theirs: u32,
}

impl From<u32> for LinkCost {
    /// The other side says nothing.
    fn from(ours: u32) -> Self {
        Self { ours, theirs: 1 }
    }
}

impl LinkCost {
    /// The one that counts.
    #[must_use]
    pub fn larger(self) -> u32 {
        self.ours.max(self.theirs).clamp(1, MAX_COST)
    }
}

/// A control link.
#[derive(Debug)]
pub(super) struct Link {
    cost: LinkCost,
    /// Our cost is another one than when the connection was opened: HELLOs say so.
    cost_changed: bool,
    /// How often the other side sends HELLO.
    interval: Duration,
    /// Who was heard on it last, and when.
    heard: Option<(RouterId, Instant)>,
    /// When that router last said that it hears us.
    confirmed: Option<Instant>,
    /// A router of another make is at the other end, which does everything in ticks of a second.
    ticks: bool,
    /// Who is taken for the neighbour until HELLOs show who it is, and since when.
    presumed: Option<(RouterId, Instant)>,
    /// Somebody new was heard: say at once that we hear it.
    prompt: bool,
    prompts_left: u8,
    /// When it became the link to its neighbour, and how often that was told our sequence numbers since.
    introduced: Option<(Instant, usize)>,
}

impl Link {
    pub(super) const fn new(cost: LinkCost) -> Self {
        Self {
            cost,
            cost_changed: false,
            interval: USUAL_INTERVAL,
            heard: None,
            confirmed: None,
            ticks: false,
            presumed: None,
            prompt: true,
            prompts_left: PROMPTS,
            introduced: None,
        }
    }

    /// Our side has another cost from now on, and says so at once.
    pub(super) fn set_cost(&mut self, ours: u32) {
        self.cost.ours = ours;
        self.cost_changed = true;
        self.prompt = true;
    }

    /// It is another connection from now on, on which nothing was said yet.
    pub(super) fn moved(&mut self, cost: LinkCost) {
        self.cost = cost;
        self.cost_changed = false;
        self.prompt = true;
        self.prompts_left = PROMPTS;
    }

    /// How long it may be silent.
    fn max_age(&self, configured: Duration) -> Duration {
        configured.max(self.interval * MIN_INTERVALS)
    }

    /// Takes what was heard for heard later, by this much.
    fn forgive(&mut self, by: Duration, now: Instant) {
        let times = [&mut self.heard, &mut self.presumed].into_iter().flatten().map(|(_, at)| at);
        times.chain(&mut self.confirmed).for_each(|at| *at = (*at + by).min(now));
    }

    /// The router at its other end, if that hears us.
    fn neighbour(&self) -> Option<&RouterId> {
        self.confirmed.and(self.heard.as_ref()).or(self.presumed.as_ref()).map(|(id, _)| id)
    }

    /// The router that was heard last on it, or is presumed there.
    pub(super) fn router(&self) -> Option<&RouterId> {
        self.heard.as_ref().or(self.presumed.as_ref()).map(|(id, _)| id)
    }

    /// When the neighbour is to be told our sequence numbers.
    fn introduction(&self) -> Option<Instant> {
        let (since, told) = self.introduced?;
        Some(since + *INTRODUCTIONS.get(told)?)
    }

    /// We tell others what the router at its other end tells too late.
    pub(super) const fn needs_help(&self) -> bool {
        self.ticks
    }

    fn is_prompted(&self) -> bool {
        self.prompt && self.prompts_left > 0
    }
}

impl Routing {
    /// A link that has just come up leads to this router: it named itself when the connection was opened. It is taken for a neighbour
    /// that hears us, for the age of HELLOs or until its own HELLOs say who it is.
    ///
    /// Routers of our make answer HELLO at once. A reference router works in ticks of a second: with the first one it says HELLO, on
    /// which we take it for a neighbour and say that we hear it, and only with the second one it looks for new ways, so that nobody
    /// passes us for two seconds after the link came up. This makes it one.
    pub fn presume_neighbour(&mut self, link: LinkId, router: impl Into<RouterId>, now: Instant) {
        self.advance(now);
        let router = router.into();
        if router == self.me {
            return;
        }
        let Some(slot) = self.learn(&router, now) else { return };
        let Some(known) = self.links.get_mut(&link).filter(|link| link.heard.is_none()) else { return };
        known.ticks = true;
        known.presumed = Some((router.clone(), now));
        // It may have started anew, which its HELLO says too late.
        if self.nodes.get(slot).is_some_and(|node| !node.reachable && node.link.is_none()) {
            self.forget_told(slot, now);
        }
        self.refresh_neighbour(&router, now);
    }

    pub(super) fn hello_received(&mut self, link: LinkId, hello: &Hello, now: Instant) {
        if hello.id == self.me {
            self.own_id_heard(hello.instance);
            return;
        }
        let Some(known) = self.links.get_mut(&link) else { return };
        let other = known.presumed.take_if(|(id, _)| *id != hello.id).map(|(id, _)| id);
        let before = known.heard.replace((hello.id.clone(), now)).map(|(id, _)| id);
        let new = before.as_ref() != Some(&hello.id);
        known.interval = hello.interval.unwrap_or(USUAL_INTERVAL).min(MAX_INTERVAL);
        let other_cost = hello.cost.filter(|cost| *cost != known.cost.theirs);
        if let Some(cost) = other_cost {
            known.cost.theirs = cost;
        }
        if new {
            known.confirmed = None;
            known.prompt = true;
        }
        let (hears_us, ticks) = (hello.seen.contains(&self.me), known.ticks);
        let confirmed = if hears_us { known.confirmed.replace(now).is_some() } else { false };
        if hears_us {
            known.presumed = None;
        }
        let presumed = known.presumed.is_some();
        for gone in before.filter(|_| new).into_iter().chain(other) {
            self.refresh_neighbour(&gone, now);
        }
        if (hears_us || presumed)
            && let Some(slot) = self.learn(&hello.id, now)
        {
            self.heard_instance(slot, hello.version, hello.instance, now);
            // Nearly every HELLO says what the one before said.
            if hears_us && !confirmed || other_cost.is_some() {
                self.refresh_neighbour(&hello.id, now);
            }
        } else if other_cost.is_some() {
            // It has lost us for a moment, which we have not noticed: the link stays, at the new cost.
            self.refresh_neighbour(&hello.id, now);
        }
        if ticks {
            self.ticked(now);
        }
    }

    /// Another router has our id, or a connection leads back to ourselves.
    pub(super) fn own_id_heard(&mut self, instance: i64) {
        if instance != self.config.instance && self.duplicate != Some(instance) {
            self.duplicate = Some(instance);
            self.event(Event::DuplicateId { instance });
        }
    }

    /// Chooses the link to a router anew, the cheapest, and takes the router into or out of our link state.
    pub(super) fn refresh_neighbour(&mut self, id: &RouterId, now: Instant) {
        let Some(slot) = self.nodes.find(id) else { return };
        let best = self
            .links
            .iter()
            .filter(|(_, link)| link.neighbour() == Some(id))
            .map(|(id, link)| (*id, link.cost.larger()))
            .min_by_key(|(id, cost)| (*cost, *id));
        let Some(node) = self.nodes.get_mut(slot) else { return };
        let before = node.link;
        node.link = best.map(|(link, _)| link);
        match best {
            Some((link, cost)) if before != Some(link) => {
                self.event(Event::NeighbourUp { router: id.clone(), link, cost });
                if let Some(link) = self.links.get_mut(&link) {
                    link.introduced = Some((now, 0));
                }
                // The table names the link.
                self.spf.request(now, true);
            }
            None if before.is_some() => self.event(Event::NeighbourDown { router: id.clone() }),
            _ => {}
        }
        self.set_own_edge(slot, best.map(|(_, cost)| cost), now);
    }

    fn set_own_edge(&mut self, to: Slot, cost: Option<u32>, now: Instant) {
        let own = self.nodes.get(ME).map(|me| me.edges.to_vec()).unwrap_or_default();
        let mut edges: Vec<_> = own.into_iter().filter(|(known, _)| *known != to).collect();
        edges.extend(cost.map(|cost| (to, cost)));
        if self.nodes.set_edges(ME, edges) {
            // A loss is acted on at once; what is gained may wait for more of the same when there is much of it.
            self.topology_changed(now, cost.is_none());
            self.own_state.request(now, cost.is_none());
        }
    }

    /// Loses what was not heard for too long.
    ///
    /// If it is us who slept, as a machine does that is suspended, what was sent meanwhile is still to be read: nobody is lost for that.
    pub(super) fn expire_links(&mut self, now: Instant) {
        let configured = self.config.hello_max_age;
        let late = self.links_due().map_or(Duration::ZERO, |due| now.saturating_duration_since(due));
        if late > self.config.hello_interval {
            // Half an age is time enough to read it.
            self.links.values_mut().for_each(|link| link.forgive(late + configured / 2, now));
        }
        let (mut lost, mut silent) = (Vec::new(), Vec::new());
        for (id, link) in &mut self.links {
            let max_age = link.max_age(configured);
            let old = |at: Instant| now.saturating_duration_since(at) >= max_age;
            lost.extend(link.presumed.take_if(|(_, at)| old(*at)).map(|(id, _)| id));
            let Some((router, at)) = &link.heard else { continue };
            if link.confirmed.is_some_and(old) {
                link.confirmed = None;
                lost.push(router.clone());
            }
            if old(*at) {
                silent.push((*id, router.clone()));
                link.heard = None;
            }
        }
        for router in lost {
            self.refresh_neighbour(&router, now);
        }
        for (link, router) in silent {
            self.event(Event::LinkSilent { link, router });
        }
    }

    /// When a neighbour is to be told our sequence numbers.
    pub(super) fn introduction_due(&self) -> Option<Instant> {
        // Not before a table that is to come: the neighbour may not be reached by the old one.
        self.links.values().filter_map(Link::introduction).min().filter(|_| self.spf.due().is_none())
    }

    /// Tells new neighbours our sequence numbers, so that they ask for what they missed.
    pub(super) fn introduce(&mut self, now: Instant) {
        if self.introduction_due().is_none_or(|due| due > now) {
            return;
        }
        let mut to = Vec::new();
        for link in self.links.values_mut().filter(|link| link.introduction().is_some_and(|due| due <= now)) {
            if let Some((_, told)) = &mut link.introduced {
                *told += 1;
            }
            to.extend(link.neighbour().cloned());
        }
        // What was told to all was told to them.
        if self.last_ra != Some(now) {
            for router in to {
                let advertisement = self.own_advertisement();
                self.send(Target::Router(router), advertisement);
            }
        }
    }

    pub(super) fn links_due(&self) -> Option<Instant> {
        let dues = self.links.values().filter_map(|link| {
            let named = [&link.heard, &link.presumed].into_iter().flatten().map(|(_, at)| *at);
            let oldest = named.chain(link.confirmed).min()?;
            Some(oldest + link.max_age(self.config.hello_max_age))
        });
        dues.min()
    }

    /// When HELLOs are to be sent: at their time, or at once on links where somebody new was heard.
    pub(super) fn hello_due(&self) -> Option<Instant> {
        if self.links.is_empty() {
            return None;
        }
        let prompted = self.links.values().any(Link::is_prompted);
        Some(if prompted { self.now } else { self.next_hello })
    }

    pub(super) fn send_hellos(&mut self, now: Instant) {
        let all = self.next_hello <= now;
        if all {
            self.next_hello = next_tick(self.next_hello, self.config.hello_interval, now);
        }
        if !all && !self.links.values().any(Link::is_prompted) {
            return;
        }
        let seen: BTreeSet<_> = self.links.values().filter_map(|link| link.router().cloned()).collect();
        let interval = self.config.hello_interval;
        let hello = Hello {
            id: self.me.clone(),
            version: ROUTER_VERSION,
            instance: self.config.instance,
            seen: seen.into_iter().collect(),
            interval: (interval != USUAL_INTERVAL).then_some(interval),
            cost: None,
        };
        for (id, link) in &mut self.links {
            if all {
                link.prompts_left = PROMPTS;
            } else if link.is_prompted() {
                link.prompts_left -= 1;
            } else {
                continue;
            }
            link.prompt = false;
            let cost = link.cost_changed.then_some(link.cost.ours);
            let message = Message::Hello(Hello { cost, ..hello.clone() });
            self.out.push_back(Output::Send { to: Target::Hop(*id), message });
        }
    }
}

/// The next of regular times, in the future also after a pause.
pub(super) fn next_tick(due: Instant, interval: Duration, now: Instant) -> Instant {
    let next = due + interval;
    if next > now { next } else { now + interval }
}
