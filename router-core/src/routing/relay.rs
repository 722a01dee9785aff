//! Where messages of the routing protocol go on their way through the network.
//!
//! They are ordinary messages, forwarded by address. RA and LSU go to everybody by flooding, so that they arrive while tables still
//! differ; MAU travels along the tree of its origin like any multicast; what is for one router takes the cheapest path.

use std::{
    collections::{HashMap, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, Instant},
};

use super::{
    Routing,
    nodes::{Node, Slot},
    output::LinkId,
    routes::Routes,
};

impl Routes {
    /// The link toward one router. `trace`: the ids of the routers that a message has passed, oldest first.
    ///
    /// `None` if there is no way, or if it leads back to where the message was: then tables do not agree yet, and what the message
    /// was about will be told again.
    pub fn toward<'a>(&self, router: &str, trace: impl IntoIterator<Item = &'a str>) -> Option<LinkId> {
        let route = self.route_to(router)?;
        let next = self.graph().id(route.next_hop)?;
        trace.into_iter().all(|passed| *passed != **next).then_some(route.link)
    }

    /// The links on which a message to all routers goes on along the tree of `origin`, each once, in the order of their numbers.
    pub fn spread(&self, origin: &str) -> Vec<LinkId> {
        let mut links: Vec<_> = match self.graph().index_of(origin) {
            Some(origin) if origin == self.me() => self.reachable().map(|(_, route)| route.link).collect(),
            Some(origin) => self.behind(origin).iter().filter_map(|to| Some(self.route(*to)?.link)).collect(),
            None => Vec::new(),
        };
        links.sort_unstable();
        links.dedup();
        links
    }
}

impl Routing {
    /// The links on which a message to all routers goes on that is flooded, in the order of their numbers: those to neighbours that have
    /// not had it already. `trace`: the ids of the routers that it has passed, oldest first, empty if it is ours. A message that came is
    /// handled first: it may be the news of a link that is gone.
    ///
    /// A neighbour has had it if it is in the trace, or if the router from which the message came sent it there itself. Without this
    /// rule a full mesh of n routers would send n² copies. See [`FloodGuard`] for what else is needed.
    pub fn flood<'a>(&self, trace: impl IntoIterator<Item = &'a str>) -> Vec<LinkId> {
        let trace: Vec<_> = trace.into_iter().filter_map(|id| self.nodes.find(id)).collect();
        let from = trace.last();
        let mut links: Vec<_> = self
            .nodes
            .iter()
            .filter_map(|(slot, node)| Some((slot, node.link?)))
            .filter(|(slot, _)| !trace.contains(slot) && from.is_none_or(|from| !self.serves(*from, *slot)))
            .map(|(_, link)| link)
            .collect();
        links.sort_unstable();
        links
    }

    /// True if `from` certainly reaches its neighbour `to` over the link between them: no way around can be cheaper.
    fn serves(&self, from: Slot, to: Slot) -> bool {
        let edges = |of| self.nodes.get(of).map_or(&[][..], |node: &Node| &*node.edges);
        let cheapest = |of| edges(of).iter().map(|(_, cost)| u64::from(*cost)).min().unwrap_or(1);
        let direct = edges(from).iter().find(|(neighbour, _)| *neighbour == to);
        direct.is_some_and(|(_, cost)| u64::from(*cost) <= cheapest(from) + cheapest(to))
    }
}

/// Tells copies of a flooded message from the first one, which alone is to be forwarded.
///
/// In the reference every copy is forwarded until it has come too far; in a mesh that multiplies.
#[derive(Debug, Default)]
pub struct FloodGuard {
    seen: HashMap<u64, Instant>,
    order: VecDeque<(Instant, u64)>,
}

impl FloodGuard {
    /// The most messages that are remembered. Beyond it copies are forwarded, which costs traffic but loses nothing.
    const MAX: usize = 16 * 1024;

    /// How long equal messages are taken for copies: longer than a message travels, and shorter than the shortest time after which a
    /// router says the same again, because those who lost the first time would not get it then.
    pub const WINDOW: Duration = Duration::from_millis(900);
    const _REPEATS_ARE_LATER: () = assert!(Self::WINDOW.as_millis() < super::RA_GAP.as_millis());

    /// One that has seen nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// True if this is the first copy. `message`: what makes it unique, such as the ingress router and the encoded body.
    pub fn is_first(&mut self, message: impl Hash, now: Instant) -> bool {
        while let Some((at, key)) = self.order.front().copied() {
            if now.saturating_duration_since(at) < Self::WINDOW && self.order.len() <= Self::MAX {
                break;
            }
            self.order.pop_front();
            if self.seen.get(&key) == Some(&at) {
                self.seen.remove(&key);
            }
        }
        let mut hasher = DefaultHasher::new();
        message.hash(&mut hasher);
        let key = hasher.finish();
        if self.seen.contains_key(&key) {
            return false;
        }
        self.seen.insert(key, now);
        self.order.push_back((now, key));
        true
    }
}
