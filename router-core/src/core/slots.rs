//! Slabs whose keys know their generation, so that a stale key finds nothing.

/// A slab. Slots are reused last-in-first-out, which keeps the used part small and warm.
#[derive(Debug)]
pub(crate) struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: u32,
    len: usize,
    /// The generation that new slots start with.
    base: u32,
    /// Bytes of slots that are always kept.
    keep: usize,
    /// At so few entries it is looked whether memory can be given back.
    look_at: usize,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    next_free: u32,
    value: Option<T>,
}

const NIL: u32 = u32::MAX;

/// Bytes of slots that a slab keeps, unless told otherwise.
const KEEP: usize = 64 * 1024;

/// Index and generation. Generations start at 1, so no key is 0 as a `u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

impl Key {
    /// Finds nothing, ever.
    pub(crate) const NONE: Self = Self { index: NIL, generation: 0 };

    pub(crate) const fn to_raw(self) -> u64 {
        ((self.generation as u64) << 32) | self.index as u64
    }

    pub(crate) const fn from_raw(raw: u64) -> Self {
        Self { index: raw as u32, generation: (raw >> 32) as u32 }
    }

    pub(crate) const fn is_none(self) -> bool {
        self.generation == 0
    }
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self::keeping(KEEP)
    }
}

impl<T> Slots<T> {
    /// A slab that keeps this many bytes when it is empty: traffic that comes and goes in batches must not allocate each time.
    pub(crate) const fn keeping(keep: usize) -> Self {
        Self { slots: Vec::new(), free: NIL, len: 0, base: 1, keep, look_at: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn insert(&mut self, value: T) -> Key {
        self.len += 1;
        if let Some(slot) = self.slots.get_mut(self.free as usize) {
            let index = self.free;
            self.free = slot.next_free;
            slot.value = Some(value);
            return Key { index, generation: slot.generation };
        }
        // A worker cannot have 2^32 of anything: each costs tens of bytes.
        let index = self.slots.len() as u32;
        self.slots.push(Slot { generation: self.base, next_free: NIL, value: Some(value) });
        self.look_at = self.slots.len() / 8;
        Key { index, generation: self.base }
    }

    #[inline]
    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let slot = self.slots.get(key.index as usize)?;
        if slot.generation == key.generation { slot.value.as_ref() } else { None }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation == key.generation { slot.value.as_mut() } else { None }
    }

    /// Whatever is in this slot.
    #[inline]
    pub(crate) fn at(&self, index: u32) -> Option<(Key, &T)> {
        let slot = self.slots.get(index as usize)?;
        Some((Key { index, generation: slot.generation }, slot.value.as_ref()?))
    }

    /// Whatever is in this slot.
    #[inline]
    pub(crate) fn at_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slots.get_mut(index as usize)?.value.as_mut()
    }

    pub(crate) fn contains(&self, key: Key) -> bool {
        self.get(key).is_some()
    }

    #[inline]
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = slot.generation.checked_add(1).unwrap_or(1);
        slot.next_free = self.free;
        self.free = key.index;
        self.len -= 1;
        if self.len <= self.look_at {
            self.shrink();
        }
        Some(value)
    }

    /// Removes without moving the value out.
    #[inline]
    pub(crate) fn discard(&mut self, key: Key) {
        let Some(slot) = self.slots.get_mut(key.index as usize) else { return };
        if slot.generation != key.generation || slot.value.is_none() {
            return;
        }
        slot.value = None;
        slot.generation = slot.generation.checked_add(1).unwrap_or(1);
        slot.next_free = self.free;
        self.free = key.index;
        self.len -= 1;
        if self.len <= self.look_at {
            self.shrink();
        }
    }

    /// Gives the memory of a burst back: the vacant slots at the end, if they are most of all. Those that stay for good came first.
    fn shrink(&mut self) {
        if self.slots.capacity() * size_of::<Slot<T>>() <= self.keep {
            return;
        }
        let used = self.slots.iter().rposition(|slot| slot.value.is_some()).map_or(0, |at| at + 1);
        // Not again before half of those left are gone, too, unless looking costs nothing.
        self.look_at = if self.slots.len() - used < 64 { self.len.saturating_sub(1) } else { self.len / 2 };
        if used * 4 > self.slots.len() {
            return;
        }
        // The generations go with them, and old keys must not come true again: start above.
        self.base = self.slots.iter().skip(used).map(|slot| slot.generation).fold(self.base, u32::max);
        self.slots.truncate(used);
        self.slots.shrink_to_fit();
        self.free = NIL;
        for (slot, index) in self.slots.iter_mut().zip(0..) {
            if slot.value.is_none() {
                slot.next_free = std::mem::replace(&mut self.free, index);
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let value = slot.value.as_ref()?;
            Some((Key { index: index as u32, generation: slot.generation }, value))
        })
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Key, &mut T)> {
        self.slots.iter_mut().enumerate().filter_map(|(index, slot)| {
            let value = slot.value.as_mut()?;
            Some((Key { index: index as u32, generation: slot.generation }, value))
        })
    }

    /// All indices are below this.
    pub(crate) fn end(&self) -> u32 {
        self.slots.len() as u32
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        self.iter().map(|(key, _)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_though_the_first_entries_stay() {
        let mut slots = Slots::<[u8; 100]>::default();
        let stay: Vec<Key> = (0..5).map(|n| slots.insert([n; 100])).collect();
        let burst: Vec<Key> = (0..10_000).map(|_| slots.insert([9; 100])).collect();
        for key in &burst {
            slots.discard(*key);
        }
        assert!(slots.slots.capacity() * size_of::<Slot<[u8; 100]>>() <= KEEP, "{}", slots.slots.capacity());
        let again: Vec<Key> = (0..10_000).map(|_| slots.insert([7; 100])).collect();
        assert_eq!(slots.len(), 10_005);
        for (key, n) in stay.iter().zip(0..) {
            assert_eq!(slots.get(*key), Some(&[n; 100]));
        }
        assert!(burst.iter().all(|key| slots.get(*key).is_none()), "old keys find nothing");
        assert!(again.iter().all(|key| slots.get(*key) == Some(&[7; 100])));
    }

    #[test]
    fn an_entry_at_the_end_keeps_the_memory_and_does_no_harm() {
        let mut slots = Slots::<[u8; 100]>::default();
        let burst: Vec<Key> = (0..10_000).map(|_| slots.insert([9; 100])).collect();
        let last = slots.insert([1; 100]);
        for key in burst.iter().rev() {
            slots.discard(*key);
        }
        assert_eq!((slots.len(), slots.get(last)), (1, Some(&[1; 100])));
        assert_eq!(slots.remove(last), Some([1; 100]));
        assert_eq!(slots.slots.capacity(), 0);
        assert_ne!(slots.insert([2; 100]), *burst.first().unwrap());
    }
}
