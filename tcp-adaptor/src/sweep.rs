//! Idle and half-open limits of flows.
//!
//! The data path knows nothing of them: one task per worker looks at the meters of its flows now and then, and runs only while there
//! is a flow with a limit.

use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::adaptor::TcpAdaptor;
use crate::config::FlowOptions;
use crate::flow::FlowInfo;

const SHORTEST_TICK: Duration = Duration::from_millis(10);
const LONGEST_TICK: Duration = Duration::from_secs(1);

/// The limits of one flow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Limits {
    idle: Option<Duration>,
    half_open: Option<Duration>,
}

impl Limits {
    pub(crate) fn of(info: &FlowInfo) -> Self {
        let own = info.listener.as_ref().map_or_else(Self::default, |listener| Self::from(&listener.config.flow));
        match &*info.connector.borrow() {
            None => own,
            Some(connector) => {
                let other = Self::from(&connector.config.flow);
                Self { idle: shorter(own.idle, other.idle), half_open: shorter(own.half_open, other.half_open) }
            }
        }
    }

    /// How often to look, if at all: often enough to be late by an eighth at most.
    pub(crate) fn tick(self) -> Option<Duration> {
        shorter(self.idle, self.half_open).map(|limit| (limit / 8).clamp(SHORTEST_TICK, LONGEST_TICK))
    }
}

impl From<&FlowOptions> for Limits {
    fn from(options: &FlowOptions) -> Self {
        Self { idle: options.idle_timeout, half_open: options.half_open_timeout }
    }
}

fn shorter(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// What was seen of a flow at the last look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    moved: u64,
    half_open: bool,
    since: Instant,
}

impl Seen {
    pub(crate) fn first() -> Self {
        Self { moved: 0, half_open: false, since: Instant::now() }
    }

    /// Looks again. True if a limit is exceeded.
    pub(crate) fn expired(&mut self, info: &FlowInfo, limits: Limits, now: Instant) -> bool {
        let meters = &info.meters;
        let moved = [&meters.up, &meters.down]
            .iter()
            .fold(0_u64, |sum, meter| sum.wrapping_add(meter.read.get()).wrapping_add(meter.written.get()));
        let half_open = meters.up.ended.get() || meters.down.ended.get();
        if moved != self.moved || half_open != self.half_open || !info.connected.get() {
            *self = Self { moved, half_open, since: now };
            return false;
        }
        let limit = if half_open { shorter(limits.idle, limits.half_open) } else { limits.idle };
        limit.is_some_and(|limit| now.duration_since(self.since) >= limit)
    }
}

/// Runs until no flow has a limit any more.
pub(crate) async fn sweep(adaptor: Weak<TcpAdaptor>, mut tick: Duration) {
    loop {
        sleep(tick).await;
        let Some(next) = adaptor.upgrade().and_then(|adaptor| sweep_once(&adaptor)) else {
            return;
        };
        tick = next;
    }
}

fn sweep_once(adaptor: &Rc<TcpAdaptor>) -> Option<Duration> {
    let now = Instant::now();
    let mut tick: Option<Duration> = None;
    adaptor.each_flow(|entry| {
        let limits = Limits::of(&entry.info);
        tick = shorter(tick, limits.tick());
        if entry.seen.expired(&entry.info, limits, now)
            && let Some(task) = &entry.task
        {
            tracing::debug!(flow = %entry.info.name(), "silent flow reset");
            task.abort();
        }
    });
    adaptor.sweeping(tick);
    tick
}
