//! Which trees copies go along while the topology changes.
//!
//! Routers do not take over a new table at the same moment. When two of them lead to a third, by the old table and by the new one, each would
//! send it a copy. So copies say which topology the router goes by where they enter the network, and all others, who remember the last few, go
//! by that. When links are only gained, the router keeps to the old trees until the others can be expected to know the new ones.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Routing, graph::Tree, output::Event, routes::Routes};

/// How long copies go by the old trees after the last change: far longer than the news of it takes to reach all routers.
const HOLD: Duration = Duration::from_secs(1);

/// And how long at most while changes go on.
const LONGEST: Duration = Duration::from_secs(5);

/// How long a table was there before others can be expected to have had the same: while a network starts each sees its links come in another order.
const STEADY: Duration = Duration::from_millis(500);

/// The table whose trees are kept to.
#[derive(Debug)]
pub(super) struct Held {
    routes: Arc<Routes>,
    until: Instant,
    latest: Instant,
}

impl Routing {
    /// A new table was computed: says which trees copies go by.
    pub(super) fn hold_trees(&mut self, routes: Routes, tree: &Tree, now: Instant) -> Routes {
        let fingerprint = routes.graph().fingerprint(tree);
        let since = self.trees_since;
        if self.routes.fingerprint() != fingerprint {
            self.trees_since = now;
        }
        let (older, latest) = match self.held.take() {
            Some(held) => (held.routes, held.latest),
            None if now.saturating_duration_since(since) < STEADY => {
                return routes.with_trees(fingerprint, fingerprint);
            }
            None => (Arc::clone(&self.routes), now + LONGEST),
        };
        let copies_by = older.fingerprint();
        let other = copies_by != fingerprint && copies_by != 0;
        if !other || !routes.graph().contains(tree, older.graph(), &older.graph().tree(older.me())) {
            return routes.with_trees(fingerprint, fingerprint);
        }
        self.held = Some(Held { routes: older, until: latest.min(now + HOLD), latest });
        routes.with_trees(fingerprint, copies_by)
    }

    /// When the trees are to be let go.
    pub(super) fn trees_due(&self) -> Option<Instant> {
        self.held.as_ref().map(|held| held.until)
    }

    /// Lets them go when it is time.
    pub(super) fn release_trees(&mut self, now: Instant) {
        if self.held.take_if(|held| held.until <= now).is_some() {
            self.version += 1;
            self.routes = Arc::new(self.routes.released(self.version));
            self.event(Event::Trees(Arc::clone(&self.routes)));
        }
    }
}
