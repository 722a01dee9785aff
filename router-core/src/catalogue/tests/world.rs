//! Sites in virtual time, and a network between them that loses, repeats and reorders, and falls apart.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::catalogue::{Catalogue, Config, Event, Message, Offer, Output, Pool, Role, Target, codec};

pub(super) const AGE: Duration = Duration::from_secs(15);

pub(super) struct Site {
    pub(super) catalogue: Option<Catalogue>,
    pool: Pool,
    /// What is configured, by name.
    pub(super) offers: BTreeMap<String, Offer>,
    /// Only sites of the same part hear each other.
    pub(super) part: usize,
    pub(super) events: Vec<Event>,
    starts: u64,
}

/// When it arrives, an order, where, whether it is for all, what.
type OnTheWay = (Duration, u64, usize, bool, Bytes);

pub(super) struct World {
    pub(super) base: Instant,
    pub(super) now: Duration,
    pub(super) sites: Vec<Site>,
    /// Of 100 messages so many are lost, so many come twice.
    pub(super) lost: u64,
    pub(super) twice: u64,
    /// The longest that a message takes, in milliseconds.
    pub(super) latency: u64,
    on_the_way: BinaryHeap<Reverse<OnTheWay>>,
    order: u64,
    random: u64,
    /// Messages that were sent, and bytes.
    pub(super) sent: (usize, usize),
}

pub(super) fn name(site: usize) -> String {
    format!("site-{site}")
}

pub(super) fn offer(address: &str, port: u16) -> Offer {
    Offer { role: Role::Exposes, address: address.to_owned(), protocol: "tcp", port: Some(port), labels: Vec::new() }
}

impl World {
    #[expect(clippy::disallowed_methods, reason = "a test has to begin at some time")]
    pub(super) fn new(sites: usize, seed: u64) -> Self {
        let site = |_| Site {
            catalogue: None,
            pool: Pool::new(),
            offers: BTreeMap::new(),
            part: 0,
            events: Vec::new(),
            starts: 0,
        };
        let mut world = Self {
            base: Instant::now(),
            now: Duration::ZERO,
            sites: (0..sites).map(site).collect(),
            lost: 0,
            twice: 0,
            latency: 10,
            on_the_way: BinaryHeap::new(),
            order: 0,
            random: seed,
            sent: (0, 0),
        };
        (0..sites).for_each(|site| world.start(site));
        world
    }

    pub(super) fn random(&mut self, below: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below.max(1)
    }

    pub(super) fn time(&self) -> Instant {
        self.base + self.now
    }

    pub(super) fn start(&mut self, at: usize) {
        let now = self.time();
        let site = &mut self.sites[at];
        site.starts += 1;
        let mut catalogue = Catalogue::new(
            Config {
                site: name(at).into(),
                name: name(at).into(),
                edge: at % 3 == 2,
                instance: site.starts,
                age_limit: AGE,
                seed: at as u64,
            },
            now,
        );
        for (name, offer) in &site.offers {
            catalogue.put(name, offer.clone(), now).unwrap();
        }
        site.catalogue = Some(catalogue);
        self.settle(at);
    }

    pub(super) fn kill(&mut self, at: usize) {
        self.sites[at].catalogue = None;
    }

    pub(super) fn put(&mut self, at: usize, name: &str, offer: Offer) {
        let now = self.time();
        let site = &mut self.sites[at];
        site.offers.insert(name.to_owned(), offer.clone());
        if let Some(catalogue) = &mut site.catalogue {
            catalogue.put(name, offer, now).unwrap();
        }
        self.settle(at);
    }

    pub(super) fn take(&mut self, at: usize, name: &str) {
        let now = self.time();
        let site = &mut self.sites[at];
        site.offers.remove(name);
        if let Some(catalogue) = &mut site.catalogue {
            catalogue.take(name, now);
        }
        self.settle(at);
    }

    pub(super) fn network_changed(&mut self) {
        for at in 0..self.sites.len() {
            let now = self.time();
            if let Some(catalogue) = &mut self.sites[at].catalogue {
                catalogue.network_changed(now);
            }
            self.settle(at);
        }
    }

    fn settle(&mut self, at: usize) {
        let now = self.time();
        loop {
            let site = &mut self.sites[at];
            let Some(catalogue) = &mut site.catalogue else { return };
            while catalogue.poll_timeout().is_some_and(|due| due <= now) {
                catalogue.handle_timeout(now);
            }
            let mut sends = Vec::new();
            while let Some(output) = catalogue.poll_output() {
                match output {
                    Output::Send { to, message } => sends.push((to, message)),
                    Output::Event(event) => site.events.push(event),
                }
            }
            if sends.is_empty() {
                return;
            }
            sends.into_iter().for_each(|(to, message)| self.send(at, &to, &message));
        }
    }

    fn send(&mut self, from: usize, to: &Target, message: &Message) {
        let bytes = Bytes::from(codec::encode(message, &to.address()));
        self.sent.0 += 1;
        self.sent.1 += bytes.len();
        for at in 0..self.sites.len() {
            let broadcast = *to == Target::All;
            let meant = match to {
                Target::All => true,
                Target::Site { site, edge } => **site == *name(at) && *edge == (at % 3 == 2),
            };
            if !meant || self.sites[at].part != self.sites[from].part {
                continue;
            }
            if self.random(100) < self.lost {
                continue;
            }
            for _ in 0..if self.random(100) < self.twice { 2 } else { 1 } {
                let late = Duration::from_millis(1 + self.random(self.latency));
                self.order += 1;
                self.on_the_way.push(Reverse((self.now + late, self.order, at, broadcast, bytes.clone())));
            }
        }
    }

    pub(super) fn deliver(&mut self, at: usize, broadcast: bool, bytes: &Bytes) {
        let now = self.time();
        let site = &mut self.sites[at];
        if let Some(catalogue) = &mut site.catalogue
            && let Ok(message) = codec::decode(bytes, &mut site.pool)
        {
            catalogue.handle_message(&message, broadcast, now);
        }
        self.settle(at);
    }

    /// Lets this time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let timers = self.sites.iter().enumerate().filter_map(|(at, site)| {
                let due = site.catalogue.as_ref()?.poll_timeout()?;
                Some((due.saturating_duration_since(self.base), at))
            });
            let timer = timers.min();
            let message = self.on_the_way.peek().map(|Reverse((time, ..))| *time);
            let next = message.into_iter().chain(timer.map(|(time, _)| time)).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if message == Some(next) {
                let Some(Reverse((_, _, at, broadcast, bytes))) = self.on_the_way.pop() else { break };
                self.deliver(at, broadcast, &bytes);
            } else if let Some((_, at)) = timer {
                self.settle(at);
            }
        }
        self.now = end;
    }

    /// What a site knows: address, role, site, count, ports.
    pub(super) fn known(&self, at: usize) -> Vec<String> {
        let Some(catalogue) = &self.sites[at].catalogue else { return Vec::new() };
        let services: Vec<_> = catalogue.services().collect();
        assert_eq!(services.len(), catalogue.service_count());
        for offset in [1, 7, services.len(), services.len() + 1] {
            let rest = catalogue.services_from(offset).map(|service| service.address);
            assert!(rest.eq(services.iter().skip(offset).map(|service| service.address.clone())));
        }
        let places = services.iter().flat_map(|service| &service.places);
        places
            .map(|place| {
                let entry = &place.entry;
                format!("{} {:?} {} {} {:?}", entry.address, entry.role, place.site, entry.count, entry.ports)
            })
            .collect()
    }

    /// What it should know once all have agreed.
    pub(super) fn truth(&self, at: usize) -> Vec<String> {
        let mut all = Vec::new();
        for (index, site) in self.sites.iter().enumerate() {
            if site.catalogue.is_none() || site.part != self.sites[at].part {
                continue;
            }
            let mut sums: BTreeMap<(&str, Role), Vec<u16>> = BTreeMap::new();
            for offer in site.offers.values() {
                sums.entry((&offer.address, offer.role)).or_default().extend(offer.port);
            }
            for ((address, role), mut ports) in sums {
                let count = ports.len();
                ports.sort_unstable();
                ports.dedup();
                all.push((address.to_owned(), role, index, count, ports));
            }
        }
        // As the table has them: sites in the order in which they were heard of.
        all.sort();
        all.into_iter()
            .map(|(address, role, index, count, ports)| format!("{address} {role:?} {} {count} {ports:?}", name(index)))
            .collect()
    }

    pub(super) fn all_agree(&self) -> bool {
        (0..self.sites.len()).filter(|at| self.sites[*at].catalogue.is_some()).all(|at| {
            let (mut known, mut truth) = (self.known(at), self.truth(at));
            known.sort();
            truth.sort();
            known == truth
        })
    }

    /// Waits until all agree. Answers how long it took.
    pub(super) fn agree(&mut self, limit: Duration) -> Duration {
        let begin = self.now;
        while !self.all_agree() {
            assert!(self.now < begin + limit, "no agreement after {limit:?}: {:?}", self.disagreement());
            self.run((limit / 200).max(Duration::from_millis(10)));
        }
        self.now - begin
    }

    fn disagreement(&self) -> Option<(usize, Vec<String>, Vec<String>)> {
        let all = (0..self.sites.len()).filter(|at| self.sites[*at].catalogue.is_some());
        all.map(|at| (at, self.known(at), self.truth(at))).find(|(_, known, truth)| {
            let (mut known, mut truth) = (known.clone(), truth.clone());
            known.sort();
            truth.sort();
            known != truth
        })
    }
}
