//! How much there is to do for consumers, here and at other routers of our make (decision 0017). Nothing is looked up or told where there are none.

use std::sync::Arc;
use std::time::Instant;

use router_core::Shares;
use router_core::edge::EdgeNeighbours;
use router_core::routing::{Event, Load, LoadPart, LocalLoads, Routing, sample_interval};
use transport::MailSender;

use super::{Network, WorkerLoads};
use crate::router::worker;

/// Counts the edges, where workers count by their numbers.
const EDGES: u16 = u16::MAX;

/// When nothing changes samples are this many times farther apart.
const QUIET: u32 = 4;

/// What control does about loads.
#[derive(Debug, Default)]
pub(super) struct Loads {
    local: LocalLoads,
    shares: Shares,
    /// `None`: nobody wants to know.
    next: Option<Instant>,
    /// The last samples brought nothing new.
    quiet: u32,
}

impl Loads {
    pub(super) fn new(shares: Shares) -> Self {
        Self { shares, ..Self::default() }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.next
    }

    pub(super) fn report(&mut self, WorkerLoads { worker, parts }: WorkerLoads) {
        self.quiet = 0;
        for part in parts {
            self.local.report(worker, part);
        }
    }

    /// Edges may have consumers of these addresses now, or have none any more.
    pub(super) fn edges_changed(&mut self, edges: &EdgeNeighbours, keys: impl IntoIterator<Item = Arc<str>>) {
        for key in keys {
            let consumers = u32::try_from(edges.consumers(&key)).unwrap_or(u32::MAX);
            self.local.report(EDGES, LoadPart { key, load: Load { consumers, outstanding: 0 } });
        }
    }
}

impl Network {
    /// After the book has taken over the event.
    pub(super) fn happened_to_loads(&mut self, event: &Event) {
        let Some(routing) = &self.routing else { return };
        if let Event::TellsLoads { tells: true, .. } = event {
            self.loads.local.tell_all();
        }
        self.loads.shares.apply(event, &self.book, routing.routes());
        let wanted = routing.tellers() > 0;
        if wanted != self.loads.next.is_some() {
            self.loads.next = wanted.then(Instant::now);
        }
    }

    /// Takes a sample when it is time: the workers are asked for what is new, and what they answered before is told.
    pub(super) fn sample_loads(&mut self, answers: &MailSender<WorkerLoads>, now: Instant) {
        let tellers = self.routing.as_ref().map_or(0, Routing::tellers);
        let loads = &mut self.loads;
        let Some(routing) = self.routing.as_mut().filter(|_| loads.next.is_some_and(|at| at <= now)) else { return };
        routing.tell_loads(loads.local.sample(now));
        loads.shares.step(tellers);
        let still = loads.local.is_quiet() && loads.shares.is_quiet();
        loads.quiet = if still { loads.quiet.saturating_add(1) } else { 0 };
        let interval = sample_interval(tellers);
        loads.next = Some(now + if loads.quiet > QUIET { interval * QUIET } else { interval });
        for (index, handle) in (0..).zip(&self.workers) {
            let answers = answers.clone();
            // A worker that is gone has no consumers.
            let _ = handle.run(move || {
                let Some(worker) = worker::current() else { return };
                let parts = worker.amqp.with_core(|core, _| core.poll_loads());
                if !parts.is_empty() {
                    // Nobody listens any more when the router ends.
                    let _ = answers.push(WorkerLoads { worker: index, parts });
                }
            });
        }
    }
}
