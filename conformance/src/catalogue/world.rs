//! The sites, and what is on its way between them.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap},
    rc::Rc,
    time::{Duration, Instant},
};

use router_core::catalogue::{Catalogue, Config, Message, Offer, Output, Role, Target, codec};

use super::Options;
use crate::simulate::Rng;

/// What routers send by default.
pub(super) const AGE_LIMIT: Duration = Duration::from_secs(15);

pub(super) struct Site {
    pub(super) catalogue: Option<Catalogue>,
    services: BTreeSet<String>,
    /// Only sites of the same part hear each other.
    part: bool,
    wake: Option<Duration>,
    starts: u64,
}

enum What {
    Arrive { broadcast: bool, message: Rc<Message> },
    Wake,
    NetworkChanged,
}

/// What was sent, and what arrived.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) sent: u64,
    pub(super) sent_bytes: u64,
    pub(super) received: u64,
    pub(super) received_bytes: u64,
}

pub(super) struct World {
    base: Instant,
    pub(super) now: Duration,
    pub(super) sites: Vec<Site>,
    by_name: BTreeMap<String, usize>,
    queue: BinaryHeap<Reverse<(Duration, u64, usize)>>,
    events: BTreeMap<u64, What>,
    order: u64,
    rng: Rng,
    loss: usize,
    latency: usize,
    /// When the last message from one site to another arrives: they keep their order.
    last: HashMap<(usize, usize), Duration>,
    pub(super) totals: Totals,
    /// Time that the machine spent in catalogues.
    pub(super) cpu: Duration,
}

pub(super) fn offer(address: &str) -> Offer {
    let labels = vec![("app".to_owned(), "shop".to_owned())];
    Offer { role: Role::Exposes, address: address.to_owned(), protocol: "tcp", port: Some(8080), labels }
}

pub(super) fn name(site: usize) -> String {
    format!("site-{site}")
}

pub(super) fn config(site: usize, instance: u64) -> Config {
    let id = name(site);
    Config {
        site: id.as_str().into(),
        name: id.as_str().into(),
        edge: false,
        instance,
        age_limit: AGE_LIMIT,
        seed: site as u64,
    }
}

/// Addresses of the services of each site.
pub(super) fn spread(options: &Options, rng: &mut Rng) -> Vec<BTreeSet<String>> {
    let mut all = vec![BTreeSet::new(); options.sites as usize];
    for n in 0..options.services {
        let at = rng.below(all.len());
        all[at].insert(format!("namespace-{}/service-{n}", n % 100));
    }
    all
}

impl World {
    pub(super) fn new(options: &Options) -> Self {
        let mut rng = Rng::new(options.seed);
        let services = spread(options, &mut rng);
        let site = |services| Site { catalogue: None, services, part: false, wake: None, starts: 0 };
        Self {
            base: Instant::now(),
            now: Duration::ZERO,
            by_name: (0..services.len()).map(|at| (name(at), at)).collect(),
            sites: services.into_iter().map(site).collect(),
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            order: 0,
            rng,
            loss: options.loss as usize,
            latency: options.latency as usize,
            last: HashMap::new(),
            totals: Totals::default(),
            cpu: Duration::ZERO,
        }
    }

    /// Spread over a second.
    pub(super) fn start_all(&mut self) {
        let count = self.sites.len() as u32;
        for at in 0..self.sites.len() {
            self.run(Duration::from_secs(1) / count);
            self.start(at);
        }
    }

    pub(super) fn start(&mut self, at: usize) {
        let now = self.base + self.now;
        let site = &mut self.sites[at];
        site.starts += 1;
        let mut catalogue = Catalogue::new(config(at, site.starts), now);
        for address in &site.services {
            catalogue.put(address, offer(address), now).expect("it is short");
        }
        site.catalogue = Some(catalogue);
        self.settle(at);
        self.network_changed();
    }

    pub(super) fn kill(&mut self, at: usize) {
        self.sites[at].catalogue = None;
        self.sites[at].wake = None;
        self.network_changed();
    }

    /// Routes change everywhere, one after the other.
    fn network_changed(&mut self) {
        for at in 0..self.sites.len() {
            let late = Duration::from_millis(self.rng.below(200) as u64);
            self.push(self.now + late, at, What::NetworkChanged);
        }
    }

    fn input(&mut self, at: usize, input: impl FnOnce(&mut Catalogue, Instant)) {
        let now = self.base + self.now;
        if let Some(catalogue) = &mut self.sites[at].catalogue {
            let begin = Instant::now();
            input(catalogue, now);
            self.cpu += begin.elapsed();
            self.settle(at);
        }
    }

    pub(super) fn expose(&mut self, address: &str) {
        let at = self.rng.below(self.sites.len());
        self.put(at, [address.to_owned()]);
    }

    pub(super) fn expose_many(&mut self, count: usize) {
        let at = self.rng.below(self.sites.len());
        self.put(at, (0..count).map(|n| format!("many/{n}")));
    }

    fn put(&mut self, at: usize, addresses: impl IntoIterator<Item = String>) {
        let addresses: Vec<String> = addresses.into_iter().collect();
        self.sites[at].services.extend(addresses.iter().cloned());
        self.input(at, |catalogue, now| {
            for address in &addresses {
                catalogue.put(address, offer(address), now).expect("it is short");
            }
        });
    }

    pub(super) fn remove(&mut self, address: &str) {
        if let Some(at) = self.sites.iter().position(|site| site.services.contains(address)) {
            self.sites[at].services.remove(address);
            self.input(at, |catalogue, now| catalogue.take(address, now));
        }
    }

    /// Into two random halves.
    pub(super) fn fall_apart(&mut self) {
        for at in 0..self.sites.len() {
            self.sites[at].part = self.rng.below(2) == 1;
        }
        self.network_changed();
    }

    pub(super) fn heal(&mut self) {
        self.sites.iter_mut().for_each(|site| site.part = false);
        self.network_changed();
    }

    fn push(&mut self, at: Duration, site: usize, what: What) {
        self.order += 1;
        self.queue.push(Reverse((at, self.order, site)));
        self.events.insert(self.order, what);
    }

    fn settle(&mut self, at: usize) {
        let now = self.base + self.now;
        let Some(catalogue) = &mut self.sites[at].catalogue else { return };
        let begin = Instant::now();
        while catalogue.poll_timeout().is_some_and(|due| due <= now) {
            catalogue.handle_timeout(now);
        }
        let mut sends = Vec::new();
        while let Some(output) = catalogue.poll_output() {
            if let Output::Send { to, message } = output {
                sends.push((to, message));
            }
        }
        let wake = catalogue.poll_timeout();
        self.cpu += begin.elapsed();
        for (to, message) in sends {
            self.send(at, &to, message);
        }
        if let Some(wake) = wake {
            let wake = wake.saturating_duration_since(self.base).max(self.now);
            if self.sites[at].wake != Some(wake) {
                self.sites[at].wake = Some(wake);
                self.push(wake, at, What::Wake);
            }
        }
    }

    fn send(&mut self, from: usize, to: &Target, message: Message) {
        let size = codec::encode(&message, &to.address()).len() as u64;
        self.totals.sent += 1;
        self.totals.sent_bytes += size;
        let message = Rc::new(message);
        let targets = match to {
            Target::All => 0..self.sites.len(),
            Target::Site { site, .. } => self.by_name.get(&**site).map_or(0..0, |at| *at..*at + 1),
        };
        for at in targets.filter(|at| *at != from) {
            if self.sites[at].part != self.sites[from].part || self.rng.below(100) < self.loss {
                continue;
            }
            self.totals.received += 1;
            self.totals.received_bytes += size;
            let late = Duration::from_micros(1000 + self.rng.below(self.latency * 1000) as u64);
            let what = What::Arrive { broadcast: *to == Target::All, message: Rc::clone(&message) };
            let last = self.last.entry((from, at)).or_default();
            *last = (*last).max(self.now + late);
            let time = *last;
            self.push(time, at, what);
        }
    }

    /// Lets this time pass.
    pub(super) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(Reverse((time, order, at))) =
            self.queue.peek().copied().filter(|Reverse((time, ..))| *time <= end)
        {
            self.queue.pop();
            self.now = time;
            match self.events.remove(&order) {
                Some(What::Arrive { broadcast, message }) => {
                    self.input(at, |catalogue, now| catalogue.handle_message(&message, broadcast, now));
                }
                Some(What::NetworkChanged) => self.input(at, Catalogue::network_changed),
                Some(What::Wake) if self.sites[at].wake == Some(time) => self.settle(at),
                _ => {}
            }
        }
        self.now = end;
    }

    /// Whether every site knows of every other that it can reach what that one knows of itself, and nothing of others.
    pub(super) fn all_agree(&self) -> bool {
        let running =
            || self.sites.iter().enumerate().filter_map(|(at, site)| Some((at, site, site.catalogue.as_ref()?)));
        running().all(|(_, site, catalogue)| {
            let others = || running().filter(|(_, other, _)| other.part == site.part);
            catalogue.site_count() == others().count()
                && others().all(|(at, _, other)| catalogue.known_of(&name(at)) == Some(other.digest()))
        })
    }

    /// The same entry by entry, for some of the sites.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut wanted: Vec<(&str, usize)> = Vec::new();
        for (at, site) in self.sites.iter().enumerate() {
            wanted.extend(site.services.iter().map(|address| (address.as_str(), at)));
        }
        wanted.sort_unstable();
        for at in (0..self.sites.len()).step_by(self.sites.len().div_ceil(5)) {
            let Some(catalogue) = &self.sites[at].catalogue else { continue };
            let mut known = Vec::new();
            for service in catalogue.services() {
                for place in &service.places {
                    let of = self.by_name.get(&*place.site).copied().unwrap_or(usize::MAX);
                    known.push((service.address.to_string(), of));
                }
            }
            known.sort_unstable();
            let same = known.iter().map(|(address, of)| (address.as_str(), *of)).eq(wanted.iter().copied());
            if !same || known.len() != catalogue.service_count() {
                return Err(format!("{} knows {} services, of {}", name(at), known.len(), wanted.len()));
            }
        }
        Ok(())
    }
}
