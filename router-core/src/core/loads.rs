//! How much the consumers here have to do, for those who tell other routers (decision 0017). It is looked up from time to time, so that
//! deliveries need not count it.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use super::{Address, Core, forward::load};
use crate::{
    Treatment,
    core::slots::Key,
    distribution::Candidate,
    routing::{Load, LoadPart},
};

/// At how many addresses one call looks.
const LOOK: u32 = 4096;

/// What control knows.
#[derive(Debug, Default)]
pub(super) struct Loads {
    /// Addresses without a load are left out.
    told: BTreeMap<Key, Load>,
    /// What is gone and is still to be told.
    gone: Vec<LoadPart>,
    /// Where looking has come to.
    at: u32,
}

impl Core {
    /// What has changed in this worker since the last call, at the next few thousand addresses: what consumers of this worker, servers and
    /// edges have to do. Of servers only the first worker tells; how many edges there are control knows.
    pub fn poll_loads(&mut self) -> Vec<LoadPart> {
        let mut parts = std::mem::take(&mut self.loads.gone);
        let end = self.addresses.end();
        for _ in 0..LOOK.min(end) {
            self.loads.at = if self.loads.at + 1 < end { self.loads.at + 1 } else { 0 };
            let Some((key, a)) = self.addresses.at(self.loads.at) else { continue };
            let load = self.load_of(a);
            if self.loads.told.get(&key).copied().unwrap_or(Load::NONE) == load {
                continue;
            }
            parts.push(LoadPart { key: Arc::clone(&a.name), load });
            if load == Load::NONE {
                self.loads.told.remove(&key);
            } else {
                self.loads.told.insert(key, load);
            }
        }
        parts
    }

    fn load_of(&self, a: &Address) -> Load {
        if a.treatment != Treatment::Balanced || !a.is_told() {
            return Load::NONE;
        }
        let mut sum = Load { consumers: 0, outstanding: a.waiting.len() as u32 };
        for candidate in a.candidates.iter().filter(|candidate| matches!(candidate, Candidate::Local(_))) {
            sum.consumers += 1;
            sum.outstanding = sum.outstanding.saturating_add(load(&self.outlets, &self.remotes, candidate));
        }
        for tally in a.far.iter().flat_map(|far| far.edges()) {
            sum.outstanding = sum.outstanding.saturating_add(self.tallies.mine(tally));
        }
        if self.worker == 0 {
            for server in a.servers.iter().filter_map(|key| self.servers.get(*key)) {
                sum.consumers = sum.consumers.saturating_add(server.info.weight.max(1));
                sum.outstanding = sum.outstanding.saturating_add(server.info.open.load(Relaxed));
            }
        }
        sum
    }

    /// An address is forgotten.
    pub(super) fn load_gone(&mut self, key: Key, name: &Arc<str>) {
        if self.loads.told.remove(&key).is_some() {
            self.loads.gone.push(LoadPart { key: Arc::clone(name), load: Load::NONE });
        }
    }
}
