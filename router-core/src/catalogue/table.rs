//! What is known of all sites, by site and by service.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use slab::Slab;

use super::{
    entry::{ByKey, Entry, Labels, Role},
    message::{Digest, Sender, SiteId},
};

/// The most sites.
pub const MAX_SITES: usize = 16 * 1024;
/// How much memory the entries of a site may take, and those of all, in bytes. About 80,000 of usual length, and 320,000.
pub const MAX_SITE_BYTES: usize = 32 * 1024 * 1024;
/// See [`MAX_SITE_BYTES`].
pub const MAX_BYTES: usize = 128 * 1024 * 1024;

/// Entries of a site.
#[derive(Debug, Default)]
pub(super) struct Known {
    entries: BTreeSet<ByKey>,
    hash: u64,
    bytes: usize,
}

impl Known {
    /// What had the same key.
    fn insert(&mut self, entry: &Arc<Entry>) {
        self.remove(entry);
        self.hash = self.hash.wrapping_add(entry.hash());
        self.bytes += entry.cost();
        self.entries.insert(ByKey(Arc::clone(entry)));
    }

    fn remove(&mut self, entry: &Arc<Entry>) -> bool {
        let Some(ByKey(before)) = self.entries.take(&ByKey(Arc::clone(entry))) else { return false };
        self.hash = self.hash.wrapping_sub(before.hash());
        self.bytes -= before.cost();
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether these are all entries that the site has.
    pub(super) fn agrees(&self, digest: &Digest) -> bool {
        self.entries.len() == digest.count as usize && self.hash == digest.hash
    }
}

/// A site.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) id: SiteId,
    pub(super) name: Arc<str>,
    pub(super) edge: bool,
    pub(super) instance: u64,
    pub(super) heard: Instant,
    pub(super) valid: Duration,
    /// All its changes up to this number are known.
    pub(super) seq: u64,
    pub(super) known: Known,
    /// What was known before everything was asked for anew: shown until that is here. Has no entry that `known` has.
    pub(super) old: Known,
    /// Messages in a row that came with a lower number than is known.
    pub(super) behind: u8,
    /// Everything was asked for because of a difference, or something was refused: not to be done again before this time.
    pub(super) calm: Option<Instant>,
}

/// What is known of all sites.
#[derive(Debug, Default)]
pub(super) struct Table {
    sites: Slab<Site>,
    by_id: HashMap<SiteId, usize>,
    /// All entries of all sites, in the order of services.
    services: BTreeSet<(ByKey, usize)>,
    bytes: usize,
    /// Counts changes.
    version: u64,
}

impl Table {
    pub(super) fn find(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    pub(super) fn get(&self, at: usize) -> Option<&Site> {
        self.sites.get(at)
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut Site> {
        self.sites.get_mut(at)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Site)> {
        self.sites.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.sites.len()
    }

    pub(super) const fn version(&self) -> u64 {
        self.version
    }

    /// `None` if there are too many.
    pub(super) fn add(&mut self, sender: &Sender, now: Instant) -> Option<usize> {
        if self.sites.len() >= MAX_SITES {
            return None;
        }
        let at = self.sites.insert(Site {
            id: Arc::clone(&sender.site),
            name: Arc::clone(&sender.name),
            edge: sender.edge,
            instance: sender.instance,
            heard: now,
            valid: sender.valid,
            seq: 0,
            known: Known::default(),
            old: Known::default(),
            behind: 0,
            calm: None,
        });
        self.by_id.insert(Arc::clone(&sender.site), at);
        self.version += 1;
        Some(at)
    }

    /// `None` while something is shown that was known before.
    pub(super) fn digest(&self, at: usize) -> Option<Digest> {
        let site = self.sites.get(at).filter(|site| site.old.is_empty())?;
        let count = u32::try_from(site.known.entries.len()).unwrap_or(u32::MAX);
        Some(Digest { seq: site.seq, count, hash: site.known.hash })
    }

    /// A site is gone, with all its entries.
    pub(super) fn remove(&mut self, at: usize) -> Option<Site> {
        self.forget_old(at);
        if let Some(site) = self.sites.get_mut(at) {
            site.old = std::mem::take(&mut site.known);
        }
        self.forget_old(at);
        let site = self.sites.try_remove(at)?;
        self.by_id.remove(&site.id);
        self.version += 1;
        Some(site)
    }

    /// An entry of a site is new, or has changed. False if there is no room for it; then the site is without it.
    pub(super) fn put(&mut self, at: usize, entry: &Arc<Entry>) -> bool {
        self.take(at, entry);
        let Some(site) = self.sites.get_mut(at) else { return false };
        let cost = entry.cost();
        if site.known.bytes + site.old.bytes + cost > MAX_SITE_BYTES || self.bytes + cost > MAX_BYTES {
            return false;
        }
        site.known.insert(entry);
        self.bytes += cost;
        self.services.insert((ByKey(Arc::clone(entry)), at));
        true
    }

    /// A site has an entry no more.
    pub(super) fn take(&mut self, at: usize, entry: &Arc<Entry>) {
        let Some(site) = self.sites.get_mut(at) else { return };
        self.version += 1;
        let before = site.known.bytes + site.old.bytes;
        if site.known.remove(entry) || site.old.remove(entry) {
            self.bytes -= before - (site.known.bytes + site.old.bytes);
            self.services.remove(&(ByKey(Arc::clone(entry)), at));
        }
    }

    /// What is known of a site is to be told anew.
    pub(super) fn renew(&mut self, at: usize) {
        let Some(site) = self.sites.get_mut(at) else { return };
        site.seq = 0;
        site.behind = 0;
        let known = std::mem::take(&mut site.known);
        if site.old.is_empty() {
            site.old = known;
        } else {
            known.entries.iter().for_each(|ByKey(entry)| site.old.insert(entry));
        }
    }

    /// What was known before is what there is.
    pub(super) fn restore_old(&mut self, at: usize) {
        if let Some(site) = self.sites.get_mut(at).filter(|site| site.known.is_empty()) {
            site.known = std::mem::take(&mut site.old);
        }
    }

    /// What was known before and is not told anew is not there any more.
    pub(super) fn forget_old(&mut self, at: usize) {
        let Some(site) = self.sites.get_mut(at).filter(|site| !site.old.is_empty()) else { return };
        let old = std::mem::take(&mut site.old);
        self.bytes -= old.bytes;
        self.version += 1;
        for entry in old.entries {
            self.services.remove(&(entry, at));
        }
    }

    /// All services but the first few, in the order of their addresses and protocols.
    pub(super) fn services(&self, offset: usize) -> impl Iterator<Item = Service> + '_ {
        let (mut seen, mut last) = (0, None);
        let rest = self.services.iter().skip_while(move |(ByKey(entry), _)| {
            if last.replace(entry).is_none_or(|last| !last.is_same_service(entry)) {
                seen += 1;
            }
            seen <= offset
        });
        self.group(rest)
    }

    /// A service, if there is such a one.
    pub(super) fn service(&self, address: &str, protocol: &str) -> Option<Service> {
        let first = Entry {
            role: Role::Exposes,
            address: address.into(),
            protocol: protocol.into(),
            count: 0,
            ports: [].into(),
            labels: [].into(),
        };
        let found = self.group(self.services.range((ByKey(first.into()), 0)..)).next();
        found.filter(|service| *service.address == *address && *service.protocol == *protocol)
    }

    fn group<'a>(&'a self, places: impl Iterator<Item = &'a (ByKey, usize)>) -> impl Iterator<Item = Service> {
        let mut places = places.peekable();
        std::iter::from_fn(move || {
            let (ByKey(first), _) = places.peek()?;
            let mut service = Service {
                address: Arc::clone(&first.address),
                protocol: Arc::clone(&first.protocol),
                places: Vec::new(),
            };
            while let Some((ByKey(entry), at)) = places
                .next_if(|(ByKey(entry), _)| entry.address == service.address && entry.protocol == service.protocol)
            {
                if let Some(site) = self.sites.get(*at) {
                    let (site, name) = (Arc::clone(&site.id), Arc::clone(&site.name));
                    service.places.push(Place { site, name, entry: Arc::clone(entry) });
                }
            }
            service.places.sort_by(|a, b| (a.entry.role, &a.site).cmp(&(b.entry.role, &b.site)));
            Some(service)
        })
    }

    /// How many there are.
    pub(super) fn service_count(&self) -> usize {
        let mut last: Option<&Entry> = None;
        let mut count = 0;
        for (ByKey(entry), _) in &self.services {
            if last.is_none_or(|last| !last.is_same_service(entry)) {
                count += 1;
            }
            last = Some(entry);
        }
        count
    }
}

/// A service, and where it is exposed and wanted.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its address.
    pub address: Arc<str>,
    /// `tcp` or `amqp`.
    pub protocol: Arc<str>,
    /// Those who expose it come first, then by id.
    pub places: Vec<Place>,
}

/// A service at a site.
#[derive(Clone, Debug)]
pub struct Place {
    /// The site's id: that of its router.
    pub site: SiteId,
    /// What people call it.
    pub name: Arc<str>,
    /// What the site has.
    pub entry: Arc<Entry>,
}

impl Service {
    /// Sites that expose it, or that want it.
    pub fn places(&self, role: Role) -> impl Iterator<Item = &Place> {
        self.places.iter().filter(move |place| place.entry.role == role)
    }

    /// The ports of those who expose it, ascending; of those who want it, if nobody does.
    pub fn ports(&self) -> Vec<u16> {
        let ports =
            |role| self.places(role).flat_map(|place| place.entry.ports.iter().copied()).collect::<BTreeSet<_>>();
        let mut found = ports(Role::Exposes);
        if self.places(Role::Exposes).next().is_none() {
            found = ports(Role::Wants);
        }
        found.into_iter().collect()
    }

    /// Labels by key: of those who expose it before those who want it, and of several values the first.
    pub fn labels(&self) -> Labels {
        let mut labels: Vec<(Arc<str>, Arc<str>)> = Vec::new();
        for (key, value) in self.places.iter().flat_map(|place| place.entry.labels.iter()) {
            if let Err(at) = labels.binary_search_by(|(known, _)| known.cmp(key)) {
                labels.insert(at, (Arc::clone(key), Arc::clone(value)));
            }
        }
        labels.into()
    }
}
