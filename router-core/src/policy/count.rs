//! What policies count. Whoever counts something does so when a connection, a session or a link comes or goes, never for a message.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use super::Vhost;

/// A counter of all workers.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn take(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// One more, if there are fewer than `most`.
    pub(super) fn add_below(&self, most: u64) -> bool {
        let more = |count| (count < most).then_some(count + 1);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }
}

/// What the whole policy has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicyCounts {
    /// Connections that were decided upon.
    pub processed: u64,
    /// Those that were refused.
    pub denied: u64,
    /// Those that are there.
    pub current: u64,
    /// Links that were refused.
    pub links_denied: u64,
    /// Messages that were too large.
    pub sizes_denied: u64,
    /// All that was refused, sessions included.
    pub total_denied: u64,
}

#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) processed: Count,
    pub(super) denied: Count,
    pub(super) current: Count,
    pub(super) links_denied: Count,
    pub(super) sizes_denied: Count,
    pub(super) sessions_denied: Count,
}

impl Totals {
    pub(super) fn counts(&self) -> PolicyCounts {
        let (denied, links, sizes) = (self.denied.get(), self.links_denied.get(), self.sizes_denied.get());
        PolicyCounts {
            processed: self.processed.get(),
            denied,
            current: self.current.get(),
            links_denied: links,
            sizes_denied: sizes,
            total_denied: denied + links + sizes + self.sessions_denied.get(),
        }
    }
}

/// What was refused on connections of a vhost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Denials {
    /// Sessions.
    pub sessions: u64,
    /// Links of clients that send.
    pub senders: u64,
    /// Links of clients that receive.
    pub receivers: u64,
    /// Messages that were too large.
    pub sizes: u64,
}

/// What a vhost has counted, and who is connected to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VhostStatus {
    /// Connections that were allowed.
    pub approved: u64,
    /// Connections that were refused.
    pub denied: u64,
    /// Connections that are there.
    pub current: u64,
    /// Names of the connections of each user.
    pub by_user: BTreeMap<String, Vec<String>>,
    /// The same by host.
    pub by_host: BTreeMap<String, Vec<String>>,
    /// What was refused on them.
    pub denials: Denials,
}

/// The same while it is counted. It lives as long as the router, as its vhost may come back.
#[derive(Debug, Default)]
pub(super) struct VhostStats {
    seats: Mutex<VhostStatus>,
    pub(super) sessions: Count,
    pub(super) senders: Count,
    pub(super) receivers: Count,
    pub(super) sizes: Count,
}

/// Who takes a place at a vhost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Guest {
    pub(super) name: String,
    pub(super) user: String,
    pub(super) host: String,
}

impl VhostStats {
    fn seats(&self) -> std::sync::MutexGuard<'_, VhostStatus> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn deny(&self) {
        self.seats().denied += 1;
    }

    /// Takes a place, or says which limits allow none.
    pub(super) fn take(&self, vhost: &Vhost, group: &super::Group, guest: &Guest) -> Result<(), Vec<&'static str>> {
        let mut seats = self.seats();
        let having = |of: &BTreeMap<String, Vec<String>>, key: &str| of.get(key).map_or(0, |all| all.len() as u64);
        let users = having(&seats.by_user, &guest.user);
        let hosts = having(&seats.by_host, &guest.host);
        let limits = [
            (seats.current, vhost.max_connections, "Connection denied by application connection limit"),
            (
                users,
                group.max_per_user.unwrap_or(vhost.max_per_user),
                "Connection denied by application per user limit",
            ),
            (
                hosts,
                group.max_per_host.unwrap_or(vhost.max_per_host),
                "Connection denied by application per host limit",
            ),
        ];
        let reached: Vec<_> = limits.iter().filter(|(there, most, _)| there >= most).map(|(.., why)| *why).collect();
        if !reached.is_empty() {
            seats.denied += 1;
            return Err(reached);
        }
        seats.current += 1;
        seats.approved += 1;
        seats.by_user.entry(guest.user.clone()).or_default().push(guest.name.clone());
        seats.by_host.entry(guest.host.clone()).or_default().push(guest.name.clone());
        Ok(())
    }

    /// Gives a place back.
    pub(super) fn leave(&self, guest: &Guest) {
        let mut seats = self.seats();
        let seats = &mut *seats;
        seats.current = seats.current.saturating_sub(1);
        for (of, key) in [(&mut seats.by_user, &guest.user), (&mut seats.by_host, &guest.host)] {
            let Some(names) = of.get_mut(key) else { continue };
            if let Some(at) = names.iter().position(|name| *name == guest.name) {
                names.swap_remove(at);
            }
            if names.is_empty() {
                of.remove(key);
            }
        }
    }

    pub(super) fn denials(&self) -> Denials {
        Denials {
            sessions: self.sessions.get(),
            senders: self.senders.get(),
            receivers: self.receivers.get(),
            sizes: self.sizes.get(),
        }
    }

    pub(super) fn status(&self) -> VhostStatus {
        VhostStatus { denials: self.denials(), ..self.seats().clone() }
    }
}
