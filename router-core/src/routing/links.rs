//! HELLO: which neighbours hear us, and by which link each is reached.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use super::{
    Routing,
    message::{Hello, Message, ROUTER_VERSION, RouterId},
    nodes::{ME, Slot},
    output::{Event, LinkId, Output, Target},
};

/// How many HELLOs a link may cause between two regular ones: two neighbours need one each to know one another.
const PROMPTS: u8 = 3;

/// A control link.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) cost: u32,
    /// Who was heard on it last, and when.
    heard: Option<(RouterId, Instant)>,
    /// When that router last said that it hears us.
    confirmed: Option<Instant>,
    /// Somebody new was heard: say at once that we hear it.
    prompt: bool,
    prompts_left: u8,
}

impl Link {
    pub(super) const fn new(cost: u32) -> Self {
        Self { cost, heard: None, confirmed: None, prompt: true, prompts_left: PROMPTS }
    }

    /// The router at its other end, if that hears us.
    fn neighbour(&self) -> Option<&RouterId> {
        self.confirmed.and(self.heard.as_ref()).map(|(id, _)| id)
    }

    /// The router that was heard last on it.
    pub(super) fn router(&self) -> Option<&RouterId> {
        self.heard.as_ref().map(|(id, _)| id)
    }

    fn is_prompted(&self) -> bool {
        self.prompt && self.prompts_left > 0
    }
}

impl Routing {
    pub(super) fn hello_received(&mut self, link: LinkId, hello: &Hello, now: Instant) {
        if hello.id == self.me {
            self.own_id_heard(hello.instance);
            return;
        }
        let Some(known) = self.links.get_mut(&link) else { return };
        let before = known.heard.replace((hello.id.clone(), now)).map(|(id, _)| id);
        let new = before.as_ref() != Some(&hello.id);
        if new {
            known.confirmed = None;
            known.prompt = true;
        }
        let hears_us = hello.seen.contains(&self.me);
        let confirmed = if hears_us { known.confirmed.replace(now).is_some() } else { false };
        if new && let Some(before) = before {
            self.refresh_neighbour(&before, now);
        }
        if hears_us && let Some(slot) = self.learn(&hello.id, now) {
            self.heard_instance(slot, hello.version, hello.instance, now);
            // Nearly every HELLO says what the one before said.
            if !confirmed {
                self.refresh_neighbour(&hello.id, now);
            }
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
            .min_by_key(|(id, link)| (link.cost, **id));
        let best = best.map(|(id, link)| (*id, link.cost));
        let Some(node) = self.nodes.get_mut(slot) else { return };
        let before = node.link;
        node.link = best.map(|(link, _)| link);
        match best {
            Some((link, cost)) if before != Some(link) => {
                self.event(Event::NeighbourUp { router: id.clone(), link, cost });
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
    pub(super) fn expire_links(&mut self, now: Instant) {
        let max_age = self.config.hello_max_age;
        let old = |at: Instant| now.saturating_duration_since(at) >= max_age;
        let mut lost = Vec::new();
        for link in self.links.values_mut() {
            let Some((id, at)) = &link.heard else { continue };
            if link.confirmed.is_some_and(old) {
                link.confirmed = None;
                lost.push(id.clone());
            }
            if old(*at) {
                link.heard = None;
            }
        }
        for id in lost {
            self.refresh_neighbour(&id, now);
        }
    }

    pub(super) fn links_due(&self) -> Option<Instant> {
        let ages = self.links.values().flat_map(|link| [link.confirmed, link.heard.as_ref().map(|(_, at)| *at)]);
        ages.flatten().min().map(|oldest| oldest + self.config.hello_max_age)
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
        let seen: BTreeSet<_> = self.links.values().filter_map(|link| Some(link.heard.as_ref()?.0.clone())).collect();
        let hello = Message::Hello(Hello {
            id: self.me.clone(),
            version: ROUTER_VERSION,
            instance: self.config.instance,
            seen: seen.into_iter().collect(),
        });
        for (id, link) in &mut self.links {
            if all {
                link.prompts_left = PROMPTS;
            } else if link.is_prompted() {
                link.prompts_left -= 1;
            } else {
                continue;
            }
            link.prompt = false;
            self.out.push_back(Output::Send { to: Target::Hop(*id), message: hello.clone() });
        }
    }
}

/// The next of regular times, in the future also after a pause.
pub(super) fn next_tick(due: Instant, interval: Duration, now: Instant) -> Instant {
    let next = due + interval;
    if next > now { next } else { now + interval }
}
