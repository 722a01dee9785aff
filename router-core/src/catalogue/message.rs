//! What sites tell each other, as data.

use std::{sync::Arc, time::Duration};

use super::entry::Entry;

/// The id of a site: that of its router.
pub type SiteId = Arc<str>;

/// A message from one site to all others, or to one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who says it.
    pub from: Sender,
    /// What.
    pub content: Content,
}

/// Who sends a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The site.
    pub site: SiteId,
    /// What people call it.
    pub name: Arc<str>,
    /// Its router is an edge router, so it has another address.
    pub edge: bool,
    /// When it started: sequence numbers begin anew with each start. Of two the higher is the newer.
    pub instance: u64,
    /// If nothing is heard of it for this long, it is gone.
    pub valid: Duration,
}

/// All that a site exposes and wants, in three numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    /// How often anything has changed since the site started.
    pub seq: u64,
    /// How many entries there are.
    pub count: u32,
    /// The sum of their hashes.
    pub hash: u64,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// What there is now: sent from time to time, and to sites that are new.
    Digest(Digest),
    /// What has changed.
    Changes(Changes),
    /// Asks a site for what has changed there.
    Request {
        /// The site that is asked.
        site: SiteId,
        /// The instance of it that is known; 0 if none is.
        instance: u64,
        /// Everything up to this number is known.
        have: u64,
    },
    /// The site ends, and exposes and wants nothing any more.
    Bye,
}

/// Changes of what a site exposes and wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// What there is after all of them.
    pub digest: Digest,
    /// Whoever knows everything up to this number...
    pub after: u64,
    /// ...knows everything up to this one with these.
    pub to: u64,
    /// What was known before is to be forgotten: the changes since then are not known any more. Then `after` is 0.
    pub anew: bool,
    /// So many messages follow this one without being asked for.
    pub left: u32,
    /// Entries as they are now; of those that are gone with a count of 0.
    pub entries: Vec<Arc<Entry>>,
    /// Some entries could not be read. Never set in what is sent.
    pub unreadable: bool,
}
