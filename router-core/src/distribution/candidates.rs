//! The outlets of an address, and which of them can take a delivery now.

use crate::core::slots::Key;

/// An outlet that an address knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Candidate {
    /// One of this worker.
    Local(Key),
    /// One of another worker.
    Remote(Key),
}

/// Outlets of an address in a fixed order, with a bit for those that are ready, and where the round has come to.
///
/// The positions stay as they are while links come and go ready, so a round is exactly even.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    list: Vec<Candidate>,
    ready: Vec<u64>,
    /// Position to look at first.
    next: usize,
}

/// Balanced looks at this many ready outlets at most, from where the round has come to. The best of 64 is as good as the best of
/// thousands, and the cost of a delivery does not follow the number of consumers.
const LOOK: usize = 64;

impl Candidates {
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Candidate> {
        self.list.iter().copied()
    }

    pub(crate) fn get(&self, at: usize) -> Option<Candidate> {
        self.list.get(at).copied()
    }

    /// Adds one, not ready. Answers its position.
    pub(crate) fn push(&mut self, candidate: Candidate) -> u32 {
        self.list.push(candidate);
        if self.ready.len() * 64 < self.list.len() {
            self.ready.push(0);
        }
        (self.list.len() - 1) as u32
    }

    /// Removes one. The last takes its position and is answered, to be told.
    pub(crate) fn remove(&mut self, at: u32) -> Option<Candidate> {
        let at = at as usize;
        if at >= self.list.len() {
            return None;
        }
        let last = self.list.len() - 1;
        let last_ready = self.is_ready(last as u32);
        self.set_ready(last as u32, false);
        self.list.swap_remove(at);
        if at == last {
            return None;
        }
        self.set_ready(at as u32, last_ready);
        self.list.get(at).copied()
    }

    pub(crate) fn is_ready(&self, at: u32) -> bool {
        self.ready.get(at as usize / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    /// True if that changed it.
    #[inline]
    pub(crate) fn set_ready(&mut self, at: u32, ready: bool) -> bool {
        let Some(word) = self.ready.get_mut(at as usize / 64) else { return false };
        let before = *word;
        let bit = 1 << (at % 64);
        *word = if ready { before | bit } else { before & !bit };
        *word != before
    }

    /// The ready outlets, all of them once, beginning at some position.
    pub(crate) fn ready_from(&self, from: usize) -> impl Iterator<Item = (usize, Candidate)> {
        let (mut at, mut wrapped) = (from, false);
        std::iter::from_fn(move || {
            let found = match self.next_ready(at) {
                None if wrapped => return None,
                None => {
                    wrapped = true;
                    self.next_ready(0)?
                }
                Some(found) => found,
            };
            if wrapped && found >= from {
                return None;
            }
            at = found + 1;
            self.list.get(found).map(|candidate| (found, *candidate))
        })
    }

    /// The first ready outlet of this worker.
    pub(crate) fn local_ready(&self) -> Option<Candidate> {
        self.ready_from(0).map(|(_, candidate)| candidate).find(|candidate| matches!(candidate, Candidate::Local(_)))
    }

    /// Any outlet ready?
    pub(crate) fn any_ready(&self) -> bool {
        self.ready.iter().any(|word| *word != 0)
    }

    /// The first ready position from `from` on, without going round.
    fn next_ready(&self, from: usize) -> Option<usize> {
        let mut index = from / 64;
        let mut word = self.ready.get(index)? & (u64::MAX << (from % 64));
        while word == 0 {
            index += 1;
            word = *self.ready.get(index)?;
        }
        Some(index * 64 + word.trailing_zeros() as usize)
    }

    /// The next ready outlet in the round.
    #[inline]
    pub(crate) fn round_robin(&mut self) -> Option<Candidate> {
        let at = self.next_ready(self.next).or_else(|| self.next_ready(0))?;
        self.next = at + 1;
        self.list.get(at).copied()
    }

    /// The ready outlet of the least value; among equals the next in the round.
    #[inline]
    pub(crate) fn least(&mut self, mut value: impl FnMut(Candidate) -> u32) -> Option<Candidate> {
        if let [only] = self.list.as_slice() {
            return (self.ready.first() == Some(&1)).then_some(*only);
        }
        let (mut best, mut best_value) = (None, u32::MAX);
        let mut from = self.next;
        let mut wrapped = false;
        for _ in 0..LOOK {
            let at = match self.next_ready(from) {
                Some(at) if !(wrapped && at >= self.next) => at,
                Some(_) => break,
                None if wrapped => break,
                None => {
                    wrapped = true;
                    match self.next_ready(0) {
                        Some(at) if at < self.next => at,
                        _ => break,
                    }
                }
            };
            from = at + 1;
            let candidate = *self.list.get(at)?;
            let this = value(candidate);
            if this < best_value {
                (best, best_value) = (Some((at, candidate)), this);
                if this == 0 {
                    break;
                }
            }
        }
        let (at, candidate) = best?;
        self.next = at + 1;
        Some(candidate)
    }

    /// The least value that any outlet has, ready or not.
    pub(crate) fn least_of_all(&self, value: impl FnMut(Candidate) -> u32) -> Option<u32> {
        self.iter().take(LOOK).map(value).min()
    }
}
