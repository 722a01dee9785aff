//! Two linked routers, as far as the routing protocol goes: their tables.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use router_core::routing::{AddressBook, AddressEntry, Event, LinkId, Output, Routes, Routing, RoutingConfig};

/// The router at which messages come in.
pub(crate) const FIRST: &str = "FIRST";
/// The router that has a consumer of `bench`.
pub(crate) const SECOND: &str = "SECOND";

/// What the first knows of destinations elsewhere.
pub(crate) fn book() -> AddressBook {
    let mut book = AddressBook::new();
    let entry = AddressEntry { key: "Mbench".into(), hint: None, in_links: 0, mesh: None };
    book.apply(&Event::Addresses { router: SECOND.into(), added: [entry].into(), removed: [].into() });
    book
}

/// Lets the protocol run until each has a way to the other.
pub(crate) fn routes() -> Result<[Arc<Routes>; 2]> {
    const LINK: LinkId = LinkId(1);
    let mut now = Instant::now();
    let mut routers = [FIRST, SECOND].map(|id| Routing::new(RoutingConfig::new(id, 1), now));
    let mut tables = [None, None];
    for router in &mut routers {
        router.link_up(LINK, 1, now);
    }
    for _ in 0..1000 {
        now += Duration::from_millis(10);
        for at in 0..2 {
            if routers[at].poll_timeout().is_some_and(|when| when <= now) {
                routers[at].handle_timeout(now);
            }
            while let Some(output) = routers[at].poll_output() {
                match output {
                    Output::Send { message, .. } => routers[1 - at].handle_message(LINK, &message, now),
                    Output::Event(Event::Routes(routes)) if routes.reachable_count() > 0 => tables[at] = Some(routes),
                    Output::Event(_) => {}
                }
            }
        }
        if let [Some(near), Some(far)] = &tables {
            return Ok([Arc::clone(near), Arc::clone(far)]);
        }
    }
    bail!("two routers do not find each other")
}
