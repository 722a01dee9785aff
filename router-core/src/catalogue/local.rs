//! What this site exposes and wants: what is configured, summed up by service, and a log of changes from which others are told.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry as Slot},
    sync::Arc,
};

use super::{
    entry::{ByKey, Entry, MAX_ADDRESS, MAX_LABEL, MAX_LABELS, MAX_NAME, MAX_PORTS, Role},
    message::{Changes, Digest},
};

/// The most bytes of entries in a message (one may be more), and the most entries.
const MAX_PAGE: usize = 16 * 1024;
const MAX_ENTRIES: usize = 512;
/// So many services that are gone are remembered, for those who missed that.
const MAX_GONE: usize = 4096;

/// Something that is configured: a server of an address, or a listener for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// What the site has to do with the service.
    pub role: Role,
    /// The address.
    pub address: String,
    /// `tcp` or `amqp`.
    pub protocol: &'static str,
    /// The port, if the protocol has any.
    pub port: Option<u16>,
    /// What whoever configured it says about it. The first of several values of a key counts.
    pub labels: Vec<(String, String)>,
}

/// Why something configured is not published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// The address is empty or too long.
    #[error("addresses of services have 1 to {MAX_ADDRESS} bytes")]
    Address,
    /// There are too many labels, or one is too long.
    #[error(
        "services have at most {MAX_LABELS} labels, with keys of 1 to {MAX_LABEL} bytes and values of at most as many"
    )]
    Labels,
}

impl Offer {
    fn check(&self) -> Result<(), OfferError> {
        if self.address.is_empty() || self.address.len() > MAX_ADDRESS || self.protocol.len() > MAX_NAME {
            return Err(OfferError::Address);
        }
        let fits = |(key, value): &(String, String)| (1..=MAX_LABEL).contains(&key.len()) && value.len() <= MAX_LABEL;
        if self.labels.len() > MAX_LABELS || !self.labels.iter().all(fits) {
            return Err(OfferError::Labels);
        }
        Ok(())
    }

    fn key(&self) -> Key {
        (self.address.clone(), self.protocol, self.role)
    }
}

type Key = (String, &'static str, Role);

/// Everything that is configured for a service.
#[derive(Debug, Default)]
struct Sum {
    count: u32,
    ports: BTreeMap<u16, u32>,
    labels: BTreeMap<(String, String), u32>,
}

/// Counts one more, or one less.
fn count<K: Ord>(map: &mut BTreeMap<K, u32>, key: K, more: bool) {
    match map.entry(key) {
        Slot::Vacant(slot) if more => {
            slot.insert(1);
        }
        Slot::Vacant(_) => {}
        Slot::Occupied(mut slot) if more => *slot.get_mut() = slot.get().saturating_add(1),
        Slot::Occupied(slot) if *slot.get() <= 1 => {
            slot.remove();
        }
        Slot::Occupied(mut slot) => *slot.get_mut() -= 1,
    }
}

impl Sum {
    fn change(&mut self, offer: &Offer, more: bool) {
        self.count = if more { self.count.saturating_add(1) } else { self.count.saturating_sub(1) };
        if let Some(port) = offer.port {
            count(&mut self.ports, port, more);
        }
        for label in &offer.labels {
            count(&mut self.labels, label.clone(), more);
        }
    }

    fn entry(&self, (address, protocol, role): &Key) -> Entry {
        let mut labels: Vec<(Arc<str>, Arc<str>)> = Vec::new();
        for (key, value) in self.labels.keys() {
            if labels.last().is_none_or(|(last, _)| **last != **key) && labels.len() < MAX_LABELS {
                labels.push((key.as_str().into(), value.as_str().into()));
            }
        }
        Entry {
            role: *role,
            address: address.as_str().into(),
            protocol: (*protocol).into(),
            count: self.count,
            ports: self.ports.keys().copied().take(MAX_PORTS).collect(),
            labels: labels.into(),
        }
    }
}

/// What this site exposes and wants.
#[derive(Debug, Default)]
pub(super) struct Local {
    offers: BTreeMap<String, Offer>,
    sums: BTreeMap<Key, Sum>,
    /// What has changed since the log was last written.
    dirty: BTreeSet<Key>,
    /// The number of the last change.
    seq: u64,
    /// The last change of every service, by number; that of one that is gone has a count of 0.
    log: BTreeMap<u64, Arc<Entry>>,
    numbers: BTreeMap<ByKey, u64>,
    /// Changes of the log that are about what is gone.
    gone: BTreeSet<u64>,
    /// Something that is gone may have been forgotten up to this number.
    horizon: u64,
    /// Others were told up to this number.
    told: u64,
    count: u32,
    hash: u64,
}

impl Local {
    /// Something is configured, instead of what had this name.
    pub(super) fn put(&mut self, name: &str, offer: Offer) -> Result<(), OfferError> {
        self.take(name);
        offer.check()?;
        self.sums.entry(offer.key()).or_default().change(&offer, true);
        self.dirty.insert(offer.key());
        self.offers.insert(name.to_owned(), offer);
        Ok(())
    }

    /// It is not any more. True if it was.
    pub(super) fn take(&mut self, name: &str) -> bool {
        let Some(offer) = self.offers.remove(name) else { return false };
        if let Some(sum) = self.sums.get_mut(&offer.key()) {
            sum.change(&offer, false);
            self.dirty.insert(offer.key());
        }
        true
    }

    /// Numbers what has changed. Answers the entries as they are now.
    pub(super) fn flush(&mut self) -> Vec<Arc<Entry>> {
        let mut changed = Vec::new();
        for key in std::mem::take(&mut self.dirty) {
            let Some(sum) = self.sums.get(&key) else { continue };
            let entry = sum.entry(&key);
            let entry = Arc::new(if entry.count == 0 { entry.gone() } else { entry });
            if entry.count == 0 {
                self.sums.remove(&key);
            }
            let by_key = ByKey(Arc::clone(&entry));
            let before = self.numbers.get(&by_key).and_then(|number| Some((*number, self.log.get(number)?)));
            match before {
                Some((_, before)) if **before == *entry => continue,
                None if entry.count == 0 => continue,
                Some((number, before)) => {
                    if before.count > 0 {
                        self.count -= 1;
                        self.hash = self.hash.wrapping_sub(before.hash());
                    }
                    self.gone.remove(&number);
                    self.log.remove(&number);
                }
                None => {}
            }
            self.seq += 1;
            if entry.count > 0 {
                self.count += 1;
                self.hash = self.hash.wrapping_add(entry.hash());
            } else {
                self.gone.insert(self.seq);
            }
            self.log.insert(self.seq, Arc::clone(&entry));
            self.numbers.insert(by_key, self.seq);
            changed.push(entry);
        }
        while self.gone.len() > MAX_GONE {
            let Some(number) = self.gone.pop_first() else { break };
            if let Some(entry) = self.log.remove(&number) {
                self.numbers.remove(&ByKey(entry));
            }
            self.horizon = number;
        }
        changed
    }

    pub(super) const fn digest(&self) -> Digest {
        Digest { seq: self.seq, count: self.count, hash: self.hash }
    }

    /// Changes that others were not told yet, in at most so many messages. Those count as told then.
    pub(super) fn tell(&mut self, pages: usize) -> Vec<Changes> {
        let pages = self.pages(self.told, pages);
        if let Some(last) = pages.last() {
            self.told = last.to;
        }
        pages
    }

    /// There are changes that others were not told.
    pub(super) const fn has_news(&self) -> bool {
        self.told < self.seq
    }

    /// What somebody is to be told who knows everything up to a number.
    pub(super) fn pages(&self, have: u64, limit: usize) -> Vec<Changes> {
        let lost = have > self.seq || have < self.horizon;
        let mut after = if lost { 0 } else { have };
        let mut pages = Vec::new();
        let (mut entries, mut size) = (Vec::new(), 0);
        let mut last = after;
        // Who knows nothing need not hear of what is gone.
        let all = after == 0;
        for (number, entry) in self.log.range(after + 1..).filter(|(_, entry)| !all || entry.count > 0) {
            let len = entry.wire_len();
            if !entries.is_empty() && (size + len > MAX_PAGE || entries.len() >= MAX_ENTRIES) {
                pages.push(self.page(after, last, std::mem::take(&mut entries)));
                (after, size) = (last, 0);
                if pages.len() >= limit {
                    break;
                }
            }
            size += len;
            entries.push(Arc::clone(entry));
            last = *number;
        }
        if pages.len() < limit {
            pages.push(self.page(after, self.seq, entries));
        }
        if let Some(first) = pages.first_mut() {
            first.anew = lost && have > 0;
        }
        for (left, page) in (0..).zip(pages.iter_mut().rev()) {
            page.left = left;
        }
        pages
    }

    fn page(&self, after: u64, to: u64, entries: Vec<Arc<Entry>>) -> Changes {
        Changes { digest: self.digest(), after, to, anew: false, left: 0, entries, unreadable: false }
    }
}
