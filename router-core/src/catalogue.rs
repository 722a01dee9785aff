//! The service catalogue: every site tells all others what it exposes and wants, so that each knows every service of the network.
//!
//! [`Catalogue`] is a state machine like [`crate::routing::Routing`]: inputs are told to it, [`Catalogue::poll_output`] says what to do,
//! [`Catalogue::poll_timeout`] when [`Catalogue::handle_timeout`] wants to be called. It needs nothing of the network but that messages to
//! all sites, and messages to one, usually arrive; they may be lost, come twice, or in another order.
//!
//! A site numbers its changes and sends them to all (`Changes`). From time to time, and when the network changes, it sends what there is in
//! three numbers (`Digest`): the number of the last change, how many entries there are, and the sum of their hashes. Who has missed something
//! asks that site (`Request`), which answers with what has changed since, a few messages at a time. So everybody has every site's entries
//! from that site itself, and whatever was lost is noticed with the next digest. A site that starts again has a new instance; if
//! its digest is the same as before nothing is asked for. A site of which nothing is heard for as long as it said is forgotten.
//!
//! Nothing that is received makes it grow beyond [`MAX_SITES`], [`MAX_SITE_BYTES`] and [`MAX_BYTES`].

mod asks;
pub mod codec;
mod entry;
mod local;
mod message;
mod outbox;
mod table;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

pub use codec::CodecError;
pub use entry::{Entry, Labels, MAX_ADDRESS, MAX_LABEL, MAX_LABELS, MAX_NAME, MAX_PORTS, Pool, Role};
pub use local::{Offer, OfferError};
pub use message::{Changes, Content, Digest, Message, Sender, SiteId};
pub use table::{MAX_BYTES, MAX_SITE_BYTES, MAX_SITES, Place, Service};

use crate::routing::throttle::Throttle;
use asks::Asks;
use local::Local;
use outbox::{Outbox, Sending};
use table::Table;

/// The address to which sites send what is for all: mobile, and multicast.
pub const ADDRESS: &str = "mc/spanway.services";
/// The name, behind `_topo/0/<router>/` or `_edge/<router>/`, to which they send what is for one.
pub const NAME: &str = "spanway.services";

/// Changes are sent at once when they are rare, and gathered for so long when they are frequent.
const GATHER: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(400));
/// How many messages of changes are sent to all at a time.
const BURST: usize = 8;
/// After changes, what there is now is told again, for those who missed the last of them.
const AFTER_CHANGES: Duration = Duration::from_millis(300);
/// How soon digests follow each other while the network changes.
const HURRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// And after it has: routes may have come later than the news of them.
const EAGER: [Duration; 2] = [Duration::from_millis(1200), Duration::from_millis(300)];
/// From so many sites on digests are rarer, so that no site has to read more than 20 a second.
const SITES_AT_ONCE: usize = 100;
/// What did not come with a message may be in the next one.
const GAP: Duration = Duration::from_millis(30);
/// More messages were announced.
const MORE: Duration = Duration::from_millis(250);
/// After something that asking again would not mend, nothing is asked for so long.
const CALM: Duration = Duration::from_secs(60);
/// So many messages in a row may come with lower numbers than are known before they are believed.
const BEHIND: u8 = 3;

/// What a catalogue has to be told once.
#[derive(Clone, Debug)]
pub struct Config {
    /// The router's id.
    pub site: SiteId,
    /// What people call the site.
    pub name: Arc<str>,
    /// The router is an edge router.
    pub edge: bool,
    /// A number that is higher with each start of the router: its time, say.
    pub instance: u64,
    /// For how long others keep what they know of this site when they hear nothing of it. A third of it lies between digests. More in networks
    /// of more than a hundred sites.
    pub age_limit: Duration,
    /// For times that should not be the same at all sites.
    pub seed: u64,
}

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To [`ADDRESS`].
    All,
    /// To [`NAME`] of a router.
    Site {
        /// Its id.
        site: SiteId,
        /// It is an edge router.
        edge: bool,
    },
}

impl Target {
    /// As an address.
    pub fn address(&self) -> String {
        match self {
            Self::All => ADDRESS.to_owned(),
            Self::Site { site, edge: false } => format!("_topo/0/{site}/{NAME}"),
            Self::Site { site, edge: true } => format!("_edge/{site}/{NAME}"),
        }
    }
}

/// What is to be done, or to be known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A message is to be sent.
    Send {
        /// Where to.
        to: Target,
        /// The message.
        message: Message,
    },
    /// Something happened that operators may want to read.
    Event(Event),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A site was heard for the first time.
    Found {
        /// The site.
        site: SiteId,
    },
    /// A site said that it ends.
    Ended {
        /// The site.
        site: SiteId,
    },
    /// Nothing was heard of a site for too long.
    Silent {
        /// The site.
        site: SiteId,
    },
    /// Not everything that a site tells can be kept or read.
    Incomplete {
        /// The site.
        site: SiteId,
    },
}

/// The catalogue of a site.
#[derive(Debug)]
pub struct Catalogue {
    me: Sender,
    age_limit: Duration,
    /// This site in the table.
    own: Option<usize>,
    table: Table,
    local: Local,
    asks: Asks,
    outbox: Outbox,
    /// When changes are sent.
    changes: Throttle,
    /// When a digest is sent because the network has changed.
    hurry: Throttle,
    /// And otherwise.
    digest_at: Instant,
    /// So many digests are to follow soon.
    eager: usize,
    /// When it is looked for sites that are silent.
    expiry: Option<Instant>,
    /// Nothing is sent any more.
    ended: bool,
    seed: u64,
    output: VecDeque<Output>,
}

impl Catalogue {
    /// A catalogue that knows nothing.
    pub fn new(config: Config, now: Instant) -> Self {
        let Config { site, name, edge, instance, age_limit, seed } = config;
        let me = Sender { site, name, edge, instance, valid: age_limit };
        let mut table = Table::default();
        Self {
            own: table.add(&me, now),
            me,
            age_limit,
            table,
            local: Local::default(),
            asks: Asks::default(),
            outbox: Outbox::default(),
            changes: Throttle::new(GATHER.0, GATHER.1),
            hurry: Throttle::new(HURRY.0, HURRY.1),
            digest_at: now,
            eager: EAGER.len(),
            expiry: None,
            ended: false,
            seed,
            output: VecDeque::new(),
        }
    }

    /// Something is configured here, instead of what had this name.
    ///
    /// # Errors
    /// It is too large to be published; then nothing has this name any more.
    pub fn put(&mut self, name: &str, offer: Offer, now: Instant) -> Result<(), OfferError> {
        self.changes.request(now, false);
        self.local.put(name, offer)
    }

    /// Something is not configured any more.
    pub fn take(&mut self, name: &str, now: Instant) {
        if self.local.take(name) {
            self.changes.request(now, false);
        }
    }

    /// Other sites may have become reachable.
    pub fn network_changed(&mut self, now: Instant) {
        self.hurry.request(now, false);
    }

    /// The site ends. Others are told, and nothing after that.
    pub fn end(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            self.output.clear();
            self.send(Target::All, Content::Bye);
        }
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.output.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.ended {
            return None;
        }
        let times = [self.changes.due(), self.hurry.due(), self.asks.due(), self.outbox.due(), self.expiry];
        times.into_iter().flatten().chain([self.digest_at]).min()
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.ended {
            return;
        }
        if self.changes.take(now) {
            self.tell_changes(now);
        }
        if self.hurry.take(now) {
            self.eager = EAGER.len();
            self.tell_digest(now);
        } else if self.digest_at <= now {
            self.tell_digest(now);
        }
        for at in self.asks.take(now) {
            let Some(site) = self.table.get(at) else { continue };
            let to = Target::Site { site: Arc::clone(&site.id), edge: site.edge };
            let request = Content::Request { site: Arc::clone(&site.id), instance: site.instance, have: site.seq };
            self.send(to, request);
        }
        for (site, edge, what) in self.outbox.take(now) {
            let to = Target::Site { site, edge };
            match what {
                Sending::Digest => self.send(to, Content::Digest(self.local.digest())),
                Sending::Pages { have, limit } => {
                    for changes in self.local.pages(have, limit) {
                        self.send(to.clone(), Content::Changes(changes));
                    }
                }
            }
        }
        if self.expiry.is_some_and(|at| at <= now) {
            self.forget_silent(now);
        }
    }

    /// A message came: to all (`broadcast`), or to this site alone.
    pub fn handle_message(&mut self, message: &Message, broadcast: bool, now: Instant) {
        if self.ended || message.from.site == self.me.site {
            return;
        }
        let Message { from, content } = message;
        match content {
            Content::Digest(digest) => {
                if let Some(at) = self.heard(from, broadcast, now) {
                    self.compare(at, digest, 0, now);
                }
            }
            Content::Changes(changes) => {
                if let Some(at) = self.heard(from, broadcast, now) {
                    self.apply(at, changes, now);
                    self.compare(at, &changes.digest, changes.left, now);
                }
            }
            Content::Request { site, instance, have } => {
                if *site == self.me.site {
                    let have = if *instance == self.me.instance { *have } else { 0 };
                    self.outbox.asked(from, have, now);
                }
            }
            Content::Bye => {
                let Some(at) = self.table.find(&from.site) else { return };
                if self.table.get(at).is_some_and(|site| site.instance == from.instance) {
                    self.forget(at);
                    self.event(Event::Ended { site: Arc::clone(&from.site) });
                }
            }
        }
    }

    /// All services that are known, this site's included, in the order of their addresses and protocols.
    pub fn services(&self) -> impl Iterator<Item = Service> + '_ {
        self.services_from(0)
    }

    /// The same without the first few.
    pub fn services_from(&self, offset: usize) -> impl Iterator<Item = Service> + '_ {
        self.table.services(offset)
    }

    /// A service, if any site exposes or wants it.
    pub fn service(&self, address: &str, protocol: &str) -> Option<Service> {
        self.table.service(address, protocol)
    }

    /// How many there are.
    pub fn service_count(&self) -> usize {
        self.table.service_count()
    }

    /// What this site exposes and wants, in three numbers.
    pub const fn digest(&self) -> Digest {
        self.local.digest()
    }

    /// What is known of a site, in three numbers; `None` if nothing, or if it is told anew at the moment.
    pub fn known_of(&self, site: &str) -> Option<Digest> {
        if *site == *self.me.site {
            return Some(self.digest());
        }
        self.table.digest(self.table.find(site)?)
    }

    /// How many sites are known, this one included.
    pub fn site_count(&self) -> usize {
        self.table.len()
    }

    /// A number that is another one whenever something else is known.
    pub const fn version(&self) -> u64 {
        self.table.version()
    }

    fn send(&mut self, to: Target, content: Content) {
        self.me.valid = self.valid();
        self.output.push_back(Output::Send { to, message: Message { from: self.me.clone(), content } });
    }

    fn event(&mut self, event: Event) {
        self.output.push_back(Output::Event(event));
    }

    /// The time between digests.
    fn interval(&self) -> Duration {
        self.age_limit / 3 * self.crowd()
    }

    fn valid(&self) -> Duration {
        self.interval() * 3
    }

    /// By how much everything is rarer that all sites do.
    fn crowd(&self) -> u32 {
        u32::try_from(self.table.len().div_ceil(SITES_AT_ONCE)).unwrap_or(u32::MAX).max(1)
    }

    /// A time from 0 to this one.
    fn random(&mut self, up_to: Duration) -> Duration {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        up_to * u32::from((z >> 48) as u16) / u32::from(u16::MAX)
    }

    fn tell_changes(&mut self, now: Instant) {
        let changed = self.local.flush();
        if let Some(own) = self.own {
            for entry in changed {
                if entry.count == 0 {
                    self.table.take(own, &entry);
                } else if !self.table.put(own, &entry) {
                    self.event(Event::Incomplete { site: Arc::clone(&self.me.site) });
                }
            }
        }
        if !self.local.has_news() {
            return;
        }
        for changes in self.local.tell(BURST) {
            self.send(Target::All, Content::Changes(changes));
        }
        if self.local.has_news() {
            self.changes.request(now, true);
        }
        self.eager = self.eager.max(1);
        self.digest_at = self.digest_at.min(now + AFTER_CHANGES * self.crowd());
    }

    fn tell_digest(&mut self, now: Instant) {
        self.send(Target::All, Content::Digest(self.local.digest()));
        let gap = match self.eager.checked_sub(1) {
            Some(left) => {
                self.eager = left;
                EAGER.get(left).copied().unwrap_or_default() * self.crowd()
            }
            // Not in step with others.
            None => self.interval() * 9 / 10 + self.random(self.interval() / 10),
        };
        self.digest_at = now + gap;
    }

    /// A site has said something. Answers where it is in the table, unless what it says is to be ignored.
    fn heard(&mut self, from: &Sender, broadcast: bool, now: Instant) -> Option<usize> {
        let Some(at) = self.table.find(&from.site) else {
            let at = self.table.add(from, now)?;
            self.expire_at(now + from.valid);
            self.event(Event::Found { site: Arc::clone(&from.site) });
            if broadcast {
                // It does not know this site either. In a large network not all greet it at once.
                let late = Duration::from_millis(2) * u32::try_from(self.table.len()).unwrap_or(u32::MAX);
                let late = self.random(late);
                self.outbox.greet(from, now + late);
            }
            return Some(at);
        };
        let site = self.table.get_mut(at)?;
        if from.instance < site.instance {
            return None;
        }
        site.heard = now;
        site.valid = from.valid;
        site.edge = from.edge;
        if site.name != from.name {
            site.name = Arc::clone(&from.name);
        }
        if from.instance > site.instance {
            site.instance = from.instance;
            site.calm = None;
            self.table.renew(at);
            self.asks.done(at);
        }
        self.expire_at(now + from.valid);
        Some(at)
    }

    fn apply(&mut self, at: usize, changes: &Changes, now: Instant) {
        let Changes { after, to, anew, left, ref entries, unreadable, digest } = *changes;
        if anew && self.asks.is_active(at) {
            self.table.renew(at);
        }
        let Some(site) = self.table.get_mut(at) else { return };
        if after <= site.seq && to > site.seq && to <= digest.seq {
            site.seq = to;
            let mut complete = !unreadable;
            for entry in entries {
                if entry.count == 0 {
                    self.table.take(at, entry);
                } else {
                    complete &= self.table.put(at, entry);
                }
            }
            self.asks.progress(at, now);
            if !complete {
                self.incomplete(at, now);
            }
        }
        if left == 0 && self.table.get(at).is_some_and(|site| site.seq < digest.seq) {
            // The end of what was asked for, and not of what there is.
            self.asks.again(at, now);
        }
    }

    fn incomplete(&mut self, at: usize, now: Instant) {
        let Some(site) = self.table.get_mut(at) else { return };
        if site.calm.replace(now + CALM).is_none_or(|calm| calm <= now) {
            let site = Arc::clone(&site.id);
            self.event(Event::Incomplete { site });
        }
    }

    /// Compares what a site says that there is with what is known of it.
    fn compare(&mut self, at: usize, digest: &Digest, left: u32, now: Instant) {
        let Some(site) = self.table.get_mut(at) else { return };
        if digest.seq < site.seq {
            // Late, or somebody told us more than there is.
            site.behind += 1;
            if site.behind >= BEHIND {
                self.table.renew(at);
                self.ask(at, GAP, now);
            }
            return;
        }
        site.behind = 0;
        if digest.seq > site.seq {
            if site.known.is_empty() && site.old.agrees(digest) {
                site.seq = digest.seq;
                self.table.restore_old(at);
            } else if site.known.agrees(digest) {
                site.seq = digest.seq;
            } else {
                return self.ask(at, if left > 0 { MORE } else { GAP }, now);
            }
        }
        self.asks.done(at);
        self.table.forget_old(at);
        if let Some(site) = self.table.get_mut(at).filter(|site| !site.known.agrees(digest))
            && site.calm.is_none_or(|calm| calm <= now)
        {
            site.calm = Some(now + CALM);
            self.table.renew(at);
            self.ask(at, GAP, now);
        }
    }

    /// What is missing is asked for, if it has not come until then.
    fn ask(&mut self, at: usize, wait: Duration, now: Instant) {
        let late = self.random(wait);
        self.asks.want(at, now + wait + late);
    }

    fn forget(&mut self, at: usize) {
        self.asks.done(at);
        self.table.remove(at);
    }

    fn expire_at(&mut self, at: Instant) {
        self.expiry = Some(self.expiry.map_or(at, |before| before.min(at)));
    }

    fn forget_silent(&mut self, now: Instant) {
        let own = self.own;
        let others = || self.table.iter().filter(|(at, _)| Some(*at) != own);
        let silent: Vec<usize> =
            others().filter(|(_, site)| site.heard + site.valid <= now).map(|(at, _)| at).collect();
        for at in silent {
            if let Some(site) = self.table.get(at) {
                let site = Arc::clone(&site.id);
                self.event(Event::Silent { site });
            }
            self.forget(at);
        }
        let others = self.table.iter().filter(|(at, _)| Some(*at) != own);
        self.expiry = others.map(|(_, site)| site.heard + site.valid).min();
    }
}
