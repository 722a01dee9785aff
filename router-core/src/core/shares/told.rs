//! What other routers tell of their loads, as balancing here needs it.

use std::{collections::BTreeMap, sync::atomic::Ordering::Relaxed};

use super::{Registry, Shares};
use crate::routing::{AddressBook, AddressKey, Event, Load, RouterId, Routes};

/// A change is taken over in steps of so many parts for each router that might do the same. Of what all do together a router hears some three
/// samples later; more than a third of the difference at once would make them run to and fro.
const PARTS: usize = 4;
/// Beyond 32 routers samples are farther apart, too.
const MAX_PARTS: usize = 128;

/// What is known of one address.
#[derive(Debug, Default)]
pub(super) struct Told {
    routers: Vec<(RouterId, Load)>,
    hops: Vec<Others>,
}

/// What other routers have outstanding behind a next hop.
#[derive(Debug)]
struct Others {
    hop: RouterId,
    target: u32,
    /// In 256ths: it follows the target.
    value: u64,
}

impl Others {
    fn rounded(&self) -> u32 {
        u32::try_from((self.value + 128) >> 8).unwrap_or(u32::MAX)
    }

    /// One step. False if there is none to make.
    fn step(&mut self, parts: u64) -> bool {
        let target = u64::from(self.target) << 8;
        let step = self.value.abs_diff(target).div_ceil(parts);
        self.value = if self.value < target { self.value + step } else { self.value - step };
        self.value != target
    }
}

impl Told {
    pub(super) fn consumers(&self, router: &str) -> u32 {
        self.routers.iter().find(|(of, _)| **of == *router).map_or(1, |(_, load)| load.consumers.max(1))
    }

    pub(super) fn others(&self, hop: &str) -> u32 {
        self.hops.iter().find(|others| *others.hop == *hop).map_or(0, Others::rounded)
    }

    fn outstanding(&self, router: &RouterId) -> u32 {
        self.routers.iter().find(|(of, _)| of == router).map_or(0, |(_, load)| load.outstanding)
    }
}

impl Shares {
    /// Takes over what an event says about loads. `book` and `routes`: as they are after it.
    ///
    /// What is kept is bounded by the book: one entry at the most for each address of each router.
    pub fn apply(&self, event: &Event, book: &AddressBook, routes: &Routes) {
        match event {
            Event::TellsLoads { router, tells } => {
                let mut registry = self.lock();
                if *tells {
                    registry.tellers.insert(router.clone());
                } else {
                    registry.tellers.remove(router);
                }
            }
            Event::RouterForgotten { router } => {
                self.lock().tellers.remove(router);
            }
            Event::Loads { router, entries } => {
                let mut registry = self.lock();
                for entry in entries.iter() {
                    if book.destinations(&entry.key).iter().any(|to| to.router == *router) {
                        registry.told(&entry.key, router, entry.load);
                        registry.aim(&entry.key, book, routes);
                    }
                }
            }
            Event::Addresses { router, removed, .. } => {
                let mut registry = self.lock();
                for key in removed.iter() {
                    if let Some(counter) = registry.find(key, router) {
                        counter.consumers.store(1, Relaxed);
                    }
                    if let Some(told) = registry.told.get_mut(key) {
                        told.routers.retain(|(of, _)| of != router);
                        registry.aim(key, book, routes);
                    }
                }
            }
            Event::Routes(_) => {
                let keys: Vec<AddressKey> = self.lock().told.keys().cloned().collect();
                for key in keys {
                    self.lock().aim(&key, book, routes);
                }
            }
            _ => {}
        }
    }

    /// Takes a step toward what was told. `tellers`: how many routers may do the same at this time; if each made the whole step, all would
    /// run to where little was to do, and then back.
    pub fn step(&self, tellers: usize) {
        let parts = (tellers.max(1) * PARTS).min(MAX_PARTS) as u64;
        let mut registry = self.lock();
        for key in std::mem::take(&mut registry.moving) {
            let Some(told) = registry.told.get_mut(&key) else { continue };
            let mut moving = false;
            for others in &mut told.hops {
                moving |= others.step(parts);
            }
            registry.show(&key);
            if moving {
                registry.moving.insert(key);
            }
        }
    }

    /// Nothing is to be taken over.
    pub fn is_quiet(&self) -> bool {
        self.lock().moving.is_empty()
    }
}

impl Registry {
    fn told(&mut self, key: &AddressKey, router: &RouterId, load: Load) {
        if let Some(counter) = self.find(key, router) {
            counter.consumers.store(load.consumers.max(1), Relaxed);
        }
        let told = self.told.entry(key.clone()).or_default();
        match told.routers.iter_mut().find(|(of, _)| of == router) {
            Some((_, known)) => *known = load,
            None => told.routers.push((router.clone(), load)),
        }
    }

    /// Works out what others have sent behind each next hop.
    fn aim(&mut self, key: &AddressKey, book: &AddressBook, routes: &Routes) {
        let Some(mut told) = self.told.remove(key) else { return };
        let mut sums = BTreeMap::<&RouterId, u32>::new();
        for to in book.destinations(key).iter().filter(|_| !told.routers.is_empty()) {
            let Some(hop) = routes.route_to(&to.router).and_then(|route| routes.graph().id(route.next_hop)) else {
                continue;
            };
            let sum = sums.entry(hop).or_default();
            *sum = sum.saturating_add(told.outstanding(&to.router));
        }
        for gone in told.hops.extract_if(.., |others| !sums.contains_key(&others.hop)) {
            if let Some(counter) = self.find(key, &gone.hop) {
                counter.others.store(0, Relaxed);
            }
        }
        for (hop, sum) in sums {
            let own = self.find(key, hop).map_or(0, |counter| counter.outstanding.load(Relaxed));
            let target = sum.saturating_sub(own);
            let at = told.hops.iter().position(|others| others.hop == *hop).unwrap_or_else(|| {
                told.hops.push(Others { hop: hop.clone(), target, value: 0 });
                told.hops.len() - 1
            });
            let Some(others) = told.hops.get_mut(at) else { continue };
            others.target = target;
            if own == 0 {
                // Nobody runs anywhere who sends nothing.
                others.value = u64::from(target) << 8;
            } else if others.value != u64::from(target) << 8 {
                self.moving.insert(key.clone());
            }
        }
        if told.routers.is_empty() {
            self.moving.remove(key);
            return;
        }
        self.told.insert(key.clone(), told);
        self.show(key);
    }

    /// Lets the workers see it.
    fn show(&self, key: &AddressKey) {
        for others in self.told.get(key).into_iter().flat_map(|told| &told.hops) {
            if let Some(counter) = self.find(key, &others.hop) {
                counter.others.store(others.rounded(), Relaxed);
            }
        }
    }
}

#[cfg(test)]
impl Shares {
    /// What others are known to have sent behind a next hop.
    pub(in crate::core) fn others(&self, key: &str, hop: &str) -> u32 {
        self.lock().told.get(key).map_or(0, |told| told.others(hop))
    }

    /// Sets what is to be known.
    pub(in crate::core) fn aim_at(&self, key: &str, hops: &[(&str, u32)]) {
        let mut registry = self.lock();
        let told = registry.told.entry(key.into()).or_default();
        for (hop, target) in hops {
            match told.hops.iter_mut().find(|others| *others.hop == **hop) {
                Some(others) => others.target = *target,
                None => told.hops.push(Others { hop: (*hop).into(), target: *target, value: 0 }),
            }
        }
        registry.moving.insert(key.into());
    }
}
