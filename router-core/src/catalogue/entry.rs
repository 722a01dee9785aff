//! What a site exposes or wants, and how much of it is kept.

use std::{cmp::Ordering, sync::Arc};

use crate::intern::Interner;

/// The most bytes that the address of a service may have.
pub const MAX_ADDRESS: usize = 1024;
/// The most bytes of the name of a protocol, and of the id or the name of a site.
pub const MAX_NAME: usize = 255;
/// The most labels of a service at a site, and the most bytes of a key and of a value.
pub const MAX_LABELS: usize = 32;
/// See [`MAX_LABELS`].
pub const MAX_LABEL: usize = 256;
/// The most ports of a service at a site.
pub const MAX_PORTS: usize = 64;

/// Labels of a service, by key; no key twice.
pub type Labels = Arc<[(Arc<str>, Arc<str>)]>;

/// What a site has to do with a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Role {
    /// It has servers or consumers.
    Exposes = 0,
    /// It has listeners, or senders.
    Wants = 1,
}

impl Role {
    /// The role of a number on the wire.
    pub const fn of_number(number: u64) -> Option<Self> {
        match number {
            0 => Some(Self::Exposes),
            1 => Some(Self::Wants),
            _ => None,
        }
    }
}

/// A service at a site. There is one for each address, protocol and role.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// What the site has to do with it.
    pub role: Role,
    /// The address.
    pub address: Arc<str>,
    /// `tcp` or `amqp`; there may be others some day.
    pub protocol: Arc<str>,
    /// How many servers or listeners the site has for it. 0: none any more.
    pub count: u32,
    /// Their ports, ascending; empty where the protocol has none.
    pub ports: Arc<[u16]>,
    /// What whoever configured them says about them.
    pub labels: Labels,
}

impl Entry {
    /// The same service, of which there is none any more.
    #[must_use]
    pub fn gone(&self) -> Self {
        Self {
            role: self.role,
            address: Arc::clone(&self.address),
            protocol: Arc::clone(&self.protocol),
            count: 0,
            ports: [].into(),
            labels: [].into(),
        }
    }

    /// Whether it is about the same service, though at another site or in another role.
    pub(super) fn is_same_service(&self, other: &Self) -> bool {
        self.address == other.address && self.protocol == other.protocol
    }

    /// Whether it keeps to the limits.
    pub(super) fn is_acceptable(&self) -> bool {
        let name = |text: &str, max: usize| !text.is_empty() && text.len() <= max;
        name(&self.address, MAX_ADDRESS)
            && name(&self.protocol, MAX_NAME)
            && self.ports.len() <= MAX_PORTS
            && self.labels.len() <= MAX_LABELS
            && self.labels.iter().all(|(key, value)| name(key, MAX_LABEL) && value.len() <= MAX_LABEL)
    }

    fn text_len(&self) -> usize {
        let labels: usize = self.labels.iter().map(|(key, value)| key.len() + value.len()).sum();
        self.address.len() + self.protocol.len() + labels
    }

    /// What it counts toward limits of memory, in bytes: as if nothing of it were shared.
    pub(super) fn cost(&self) -> usize {
        const FIXED: usize = 192;
        FIXED + self.text_len() + 2 * self.ports.len() + 64 * self.labels.len()
    }

    /// Not less than it takes in a message, in bytes.
    pub(super) fn wire_len(&self) -> usize {
        const FIXED: usize = 48;
        FIXED + self.text_len() + 3 * self.ports.len() + 10 * self.labels.len()
    }

    /// A number that differs for different entries: what is summed up to compare what sites know. Part of the wire format; what later versions
    /// add to entries must not change it.
    pub(super) fn hash(&self) -> u64 {
        let mut hash = Fnv::new();
        hash.bytes(&[self.role as u8]);
        hash.text(&self.address);
        hash.text(&self.protocol);
        hash.bytes(&self.count.to_be_bytes());
        hash.bytes(&(self.ports.len() as u32).to_be_bytes());
        self.ports.iter().for_each(|port| hash.bytes(&port.to_be_bytes()));
        for (key, value) in self.labels.iter() {
            hash.text(key);
            hash.text(value);
        }
        hash.finish()
    }
}

/// FNV-1a (64 bits), mixed at the end because the numbers are added up.
struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn text(&mut self, text: &str) {
        self.bytes(&(text.len() as u32).to_be_bytes());
        self.bytes(text.as_bytes());
    }

    const fn finish(&self) -> u64 {
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// An entry by what makes it the one that it is: address, protocol, role. Its other parts do not count when it is compared.
#[derive(Clone, Debug)]
pub(super) struct ByKey(pub(super) Arc<Entry>);

impl ByKey {
    fn key(&self) -> (&str, &str, Role) {
        (&self.0.address, &self.0.protocol, self.0.role)
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for ByKey {}

impl PartialOrd for ByKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

/// Keeps one copy of what entries of several sites have in common.
#[derive(Debug, Default)]
pub struct Pool {
    pub(super) texts: Interner,
    pub(super) ports: Interner<[u16]>,
    pub(super) labels: Interner<[(Arc<str>, Arc<str>)]>,
}

impl Pool {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }
}
