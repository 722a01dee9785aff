//! What single sites are to be sent: answers to their requests, and greetings. Not more at a time than a router takes in beside its work.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    message::{Sender, SiteId},
    table::MAX_SITES,
};

/// How far apart batches are.
const PACE: Duration = Duration::from_millis(10);
/// How many requests are answered in a batch, with how many messages each, and how many sites are greeted.
const ANSWERS: usize = 2;
const PAGES: usize = 4;
const GREETINGS: usize = 8;

/// What a site is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    Digest,
    Pages { have: u64, limit: usize },
}

/// What is to be sent.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// What those who asked have.
    asked: BTreeMap<SiteId, (bool, u64)>,
    order: VecDeque<SiteId>,
    greetings: BTreeMap<(Instant, SiteId), bool>,
    /// Not before this time.
    next: Option<Instant>,
}

impl Outbox {
    /// A site asks for everything that came after this number.
    pub(super) fn asked(&mut self, by: &Sender, have: u64, now: Instant) {
        if self.asked.len() >= MAX_SITES && !self.asked.contains_key(&by.site) {
            return;
        }
        if self.asked.insert(Arc::clone(&by.site), (by.edge, have)).is_none() {
            self.order.push_back(Arc::clone(&by.site));
        }
        self.next.get_or_insert(now);
    }

    /// A site is to be told of this one.
    pub(super) fn greet(&mut self, site: &Sender, at: Instant) {
        if self.greetings.len() < MAX_SITES {
            self.greetings.insert((at, Arc::clone(&site.site)), site.edge);
        }
    }

    pub(super) fn due(&self) -> Option<Instant> {
        let first = self.greetings.keys().next().map(|(at, _)| *at);
        let next = self.next.filter(|_| !self.order.is_empty());
        first.map(|first| self.next.map_or(first, |next| next.max(first))).into_iter().chain(next).min()
    }

    /// The next of them, if it is time.
    pub(super) fn take(&mut self, now: Instant) -> Vec<(SiteId, bool, Sending)> {
        let mut batch = Vec::new();
        if self.next.is_some_and(|next| next > now) {
            return batch;
        }
        for site in self.order.drain(..ANSWERS.min(self.order.len())) {
            if let Some((edge, have)) = self.asked.remove(&site) {
                batch.push((site, edge, Sending::Pages { have, limit: PAGES }));
            }
        }
        for _ in 0..GREETINGS {
            let Some(first) = self.greetings.first_entry().filter(|first| first.key().0 <= now) else { break };
            let ((_, site), edge) = first.remove_entry();
            batch.push((site, edge, Sending::Digest));
        }
        self.next = (!batch.is_empty()).then(|| now + PACE);
        batch
    }
}
