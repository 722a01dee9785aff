//! The addresses with destinations here, and what the other routers have been told about them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use super::{
    config::{LocalAddress, RoutingConfig},
    message::{AddressEntry, AddressKey, MOBILE_VERSION, MobileAddressUpdate, MobileContent, RouterId},
    throttle::Throttle,
};

/// The most bytes that the addresses of one update take: a link is not kept from carrying HELLO for long.
const MAX_UPDATE: usize = 256 * 1024;
/// The same for a message of a complete list, larger so that such a list never takes more messages than told of it.
const MAX_PART: usize = 2 * MAX_UPDATE;

/// Our addresses.
#[derive(Debug)]
pub(super) struct LocalAddresses {
    me: RouterId,
    current: BTreeMap<AddressKey, LocalAddress>,
    /// What the others know when they are at `seq`.
    told: BTreeMap<AddressKey, AddressEntry>,
    /// Keys whose current state may differ from what was told.
    pending: BTreeSet<AddressKey>,
    seq: u64,
    throttle: Throttle,
    /// Answer to those that know nothing, while `told` stays as it is.
    absolute: Option<Vec<MobileAddressUpdate>>,
}

impl LocalAddresses {
    pub(super) fn new(config: &RoutingConfig) -> Self {
        Self {
            me: config.id.clone(),
            current: BTreeMap::new(),
            told: BTreeMap::new(),
            pending: BTreeSet::new(),
            seq: config.first_sequence.into(),
            throttle: Throttle::new(config.mobile_interval, config.mobile_interval),
            absolute: None,
        }
    }

    pub(super) const fn seq(&self) -> u64 {
        self.seq
    }

    pub(super) fn len(&self) -> usize {
        self.current.len()
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.throttle.due()
    }

    /// Sets or removes an address. What comes back to what was told within one interval is not told at all.
    pub(super) fn set(&mut self, key: AddressKey, state: Option<LocalAddress>, now: Instant) {
        let same = match (&state, self.told.get(&key)) {
            (Some(state), Some(told)) => told.hint == state.hint && told.mesh == state.mesh,
            (None, None) => true,
            _ => false,
        };
        match state {
            Some(state) => self.current.insert(key.clone(), state),
            None => self.current.remove(&key),
        };
        if same {
            self.pending.remove(&key);
        } else {
            self.pending.insert(key);
            self.throttle.request(now, false);
        }
    }

    /// The changes since the last update, if it is time to tell them. Usually one message; many changes are told in several.
    pub(super) fn update(&mut self, now: Instant) -> Vec<MobileAddressUpdate> {
        if !self.throttle.take(now) || self.pending.is_empty() {
            return Vec::new();
        }
        self.absolute = None;
        let mut updates = Vec::new();
        let (mut add, mut del, mut size) = (Vec::new(), Vec::new(), 0);
        let pending = std::mem::take(&mut self.pending);
        let last = pending.len();
        for (count, key) in (1..).zip(pending) {
            size += entry_size(&key);
            match self.current.get(&key) {
                Some(state) => {
                    let entry = entry(key.clone(), state);
                    self.told.insert(key, entry.clone());
                    add.push(entry);
                }
                None => {
                    self.told.remove(&key);
                    del.push(key);
                }
            }
            if size >= MAX_UPDATE || count == last {
                self.seq += 1;
                let content = MobileContent::Differential {
                    add: std::mem::take(&mut add).into(),
                    del: std::mem::take(&mut del).into(),
                };
                updates.push(self.message(self.seq, content));
                size = 0;
            }
        }
        updates
    }

    /// What brings a router to our sequence number that knows nothing, or that cannot follow: everything.
    ///
    /// A list that is too long for one message is continued by changes, each with its own sequence number below the one we are at.
    pub(super) fn everything(&mut self) -> &[MobileAddressUpdate] {
        if self.absolute.is_none() {
            let mut parts: Vec<Vec<AddressEntry>> = Vec::new();
            let (mut part, mut size) = (Vec::new(), 0);
            for entry in self.told.values() {
                size += entry_size(&entry.key);
                part.push(entry.clone());
                if size >= MAX_PART {
                    parts.push(std::mem::take(&mut part));
                    size = 0;
                }
            }
            if !part.is_empty() || parts.is_empty() {
                parts.push(part);
            }
            let first = (self.seq + 1).saturating_sub(parts.len() as u64);
            let messages = (first..).zip(parts).map(|(seq, part)| {
                let content = if seq == first {
                    MobileContent::Absolute { exist: part.into() }
                } else {
                    MobileContent::Differential { add: part.into(), del: Arc::new([]) }
                };
                self.message(seq, content)
            });
            self.absolute = Some(messages.collect());
        }
        self.absolute.as_deref().unwrap_or_default()
    }

    fn message(&self, mobile_seq: u64, content: MobileContent) -> MobileAddressUpdate {
        MobileAddressUpdate { id: self.me.clone(), version: MOBILE_VERSION, mobile_seq, content }
    }

    /// What the others know when they are at our sequence number.
    pub(super) fn told(&self) -> impl Iterator<Item = &AddressEntry> {
        self.told.values()
    }
}

fn entry(key: AddressKey, state: &LocalAddress) -> AddressEntry {
    AddressEntry { key, hint: state.hint, in_links: state.in_links, mesh: state.mesh.clone() }
}

/// About what an address takes on the wire.
fn entry_size(key: &str) -> usize {
    48 + key.len()
}
