//! The unsettled deliveries of one direction of a session, by delivery-id.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
};

use super::serial::{ahead, before};

#[cfg(test)]
mod tests;

/// An unsettled delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// The owner's name for it.
    pub(crate) token: u64,
    /// Index of the link.
    pub(crate) link: u32,
    /// Properties of the delivery, see the constants.
    pub(crate) flags: u32,
}

impl Slot {
    /// The engine settles it when the receiver has spoken; the owner believes it settled.
    pub(crate) const AUTO: u32 = 1;

    const VACANT: Self = Self { token: 0, link: u32::MAX, flags: 0 };

    fn is_vacant(&self) -> bool {
        self.link == u32::MAX
    }
}

/// Holes that an id may leave in the ring before everything older is moved out of it.
const GAP: u32 = 64;
/// The ring is not compacted below this many slots.
const COMPACT: usize = 512;

/// Slots by delivery-id, which only ever grows (modulo 2^32).
///
/// Ids are consecutive, so a queue of slots with a base finds them without hashing. Deliveries that stay unsettled while thousands
/// after them come and go move to `old`, so that memory follows the number of unsettled deliveries and not the distance between them.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    base: u32,
    slots: VecDeque<Slot>,
    /// Slots that are not vacant.
    live: usize,
    old: Option<BTreeMap<u32, Slot>>,
}

impl Ring {
    /// Number of unsettled deliveries.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.live + self.old.as_ref().map_or(0, BTreeMap::len)
    }

    /// Adds a delivery whose id comes after those of all that were added before.
    pub(crate) fn insert(&mut self, id: u32, slot: Slot) {
        if self.slots.is_empty() {
            self.base = id;
        } else {
            let next = self.base.wrapping_add(self.slots.len() as u32);
            let gap = id.wrapping_sub(next);
            if gap > GAP {
                while self.pop_old() {}
                self.base = id;
            } else {
                self.slots.extend(std::iter::repeat_n(Slot::VACANT, gap as usize));
            }
        }
        self.slots.push_back(slot);
        self.live += 1;
        if self.slots.len() > COMPACT && self.slots.len() > 4 * self.live {
            while self.slots.len() > 2 * self.live && self.pop_old() {}
            self.trim();
        }
    }

    /// Takes the front slot out of the queue, to `old` if it is in use. False if there is none.
    fn pop_old(&mut self) -> bool {
        let Some(slot) = self.slots.pop_front() else {
            return false;
        };
        if !slot.is_vacant() {
            self.live -= 1;
            self.old.get_or_insert_default().insert(self.base, slot);
        }
        self.base = self.base.wrapping_add(1);
        true
    }

    fn trim(&mut self) {
        while self.slots.front().is_some_and(Slot::is_vacant) {
            self.slots.pop_front();
            self.base = self.base.wrapping_add(1);
        }
    }

    fn at(&self, id: u32) -> Option<usize> {
        let offset = id.wrapping_sub(self.base) as usize;
        (offset < self.slots.len()).then_some(offset)
    }

    /// The delivery, if it is unsettled.
    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut Slot> {
        if let Some(at) = self.at(id) {
            return self.slots.get_mut(at).filter(|s| !s.is_vacant());
        }
        self.old.as_mut()?.get_mut(&id)
    }

    /// The delivery, if it is unsettled.
    pub(crate) fn get(&self, id: u32) -> Option<Slot> {
        if let Some(at) = self.at(id) {
            return self.slots.get(at).copied().filter(|s| !s.is_vacant());
        }
        self.old.as_ref()?.get(&id).copied()
    }

    /// Removes a delivery.
    pub(crate) fn take(&mut self, id: u32) -> Option<Slot> {
        if let Some(at) = self.at(id) {
            let slot = self.slots.get_mut(at).filter(|s| !s.is_vacant())?;
            let taken = std::mem::replace(slot, Slot::VACANT);
            self.live -= 1;
            self.trim();
            return Some(taken);
        }
        let old = self.old.as_mut()?;
        let taken = old.remove(&id);
        if old.is_empty() {
            self.old = None;
        }
        taken
    }

    /// The first unsettled delivery whose id is not before `first` and not after `last`.
    ///
    /// Costs what lies between, never the size of the range.
    pub(crate) fn next(&self, first: u32, last: u32) -> Option<(u32, Slot)> {
        if before(last, first) {
            return None;
        }
        if let Some(old) = &self.old {
            let found = if first <= last {
                old.range(first..=last).next()
            } else {
                old.range(first..).next().or_else(|| old.range((Bound::Unbounded, Bound::Included(last))).next())
            };
            if let Some((id, slot)) = found {
                return Some((*id, *slot));
            }
        }
        let skip = usize::try_from(ahead(first, self.base)).unwrap_or(0);
        let end = usize::try_from(ahead(last, self.base)).ok()?.saturating_add(1).min(self.slots.len());
        if skip >= end {
            return None;
        }
        let (at, slot) = self.slots.range(skip..end).enumerate().find(|(_, s)| !s.is_vacant())?;
        Some((self.base.wrapping_add((skip + at) as u32), *slot))
    }

    /// Forgets up to `count` deliveries of a link, which is how many it has.
    pub(crate) fn forget(&mut self, link: u32, mut count: u32) {
        if count == 0 {
            return;
        }
        for slot in &mut self.slots {
            if slot.link == link {
                *slot = Slot::VACANT;
                self.live -= 1;
                count -= 1;
                if count == 0 {
                    break;
                }
            }
        }
        self.trim();
        if count > 0
            && let Some(old) = &mut self.old
        {
            old.retain(|_, slot| slot.link != link);
            if old.is_empty() {
                self.old = None;
            }
        }
    }

    /// The id of the oldest unsettled delivery that was moved out of the queue, as seen from `next`, if it is so old that ids begin
    /// to be ambiguous (RFC 1982 allows a distance of 2^31).
    pub(crate) fn too_old(&self, next: u32) -> Option<u32> {
        let old = self.old.as_ref()?;
        // Ids at least 2^31 - 2^16 behind `next`: in raw order they follow it.
        let first = next.wrapping_add(1);
        let last = next.wrapping_sub((1 << 31) - (1 << 16));
        let found = if first <= last {
            old.range(first..=last).next()
        } else {
            old.range(first..).next().or_else(|| old.range(..=last).next())
        };
        found.map(|(id, _)| *id)
    }

    /// True if some deliveries are kept apart because they are old.
    pub(crate) fn has_old(&self) -> bool {
        self.old.is_some()
    }
}
