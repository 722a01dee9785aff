//! Of which sites something is missing, and when they are asked for it: few at a time, and again if no answer comes.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// How many sites are asked at the same time.
const MAX_ACTIVE: usize = 8;
/// When a site is asked again. Twice as long each time.
const RETRY: Duration = Duration::from_secs(1);
/// How often. After that only its next digest is a reason to ask.
const MAX_TRIES: u32 = 4;

#[derive(Debug)]
struct Ask {
    at: Instant,
    /// How often it was asked without an answer; `None`: not yet asked.
    tries: Option<u32>,
}

/// The sites of which something is missing, by their places in the table.
#[derive(Debug, Default)]
pub(super) struct Asks {
    all: BTreeMap<usize, Ask>,
    active: usize,
}

impl Asks {
    /// Something is missing. It may come by itself until then.
    pub(super) fn want(&mut self, site: usize, at: Instant) {
        self.all.entry(site).or_insert(Ask { at, tries: None });
    }

    /// The site was asked.
    pub(super) fn is_active(&self, site: usize) -> bool {
        self.all.get(&site).is_some_and(|ask| ask.tries.is_some())
    }

    /// Some of what is missing came.
    pub(super) fn progress(&mut self, site: usize, now: Instant) {
        if let Some(ask) = self.all.get_mut(&site).filter(|ask| ask.tries.is_some()) {
            *ask = Ask { at: now + RETRY, tries: Some(0) };
        }
    }

    /// A site that was asked is asked for the rest at once.
    pub(super) fn again(&mut self, site: usize, now: Instant) {
        if let Some(ask) = self.all.get_mut(&site).filter(|ask| ask.tries.is_some()) {
            ask.at = now;
        }
    }

    /// Nothing is missing any more.
    pub(super) fn done(&mut self, site: usize) {
        if self.all.remove(&site).is_some_and(|ask| ask.tries.is_some()) {
            self.active -= 1;
        }
    }

    /// When some site is to be asked.
    pub(super) fn due(&self) -> Option<Instant> {
        let full = self.active >= MAX_ACTIVE;
        self.all.values().filter(|ask| !full || ask.tries.is_some()).map(|ask| ask.at).min()
    }

    /// The sites that are to be asked now.
    pub(super) fn take(&mut self, now: Instant) -> Vec<usize> {
        let mut sites = Vec::new();
        let mut hopeless = Vec::new();
        for (site, ask) in self.all.iter_mut().filter(|(_, ask)| ask.at <= now) {
            let tries = match ask.tries {
                Some(tries) if tries >= MAX_TRIES => {
                    hopeless.push(*site);
                    continue;
                }
                Some(tries) => tries,
                None if self.active >= MAX_ACTIVE => continue,
                None => {
                    self.active += 1;
                    0
                }
            };
            *ask = Ask { at: now + RETRY * (1 << tries), tries: Some(tries + 1) };
            sites.push(*site);
        }
        for site in hopeless {
            self.done(site);
        }
        sites
    }
}
