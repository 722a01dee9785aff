//! Which address the next connection of a listener goes to (`multiAddressStrategy`).

use crate::config::MultiAddressStrategy;

#[cfg(test)]
mod tests;

/// A small seeded generator (splitmix64): the choice among weights has to be fair, not secret.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0. The bias of at most `bound / 2^64` is of no interest here.
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

/// What a choice looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Priority or weight.
    pub(crate) value: u64,
    /// Has the address a server, and was it not tried for this connection before?
    pub(crate) usable: bool,
}

/// The index of the candidate to take, if any is usable.
///
/// `none` and `priority` take the highest value, the first of equals; `weighted` takes one at random by weight. A weight of 0
/// is only taken when nothing else is left.
pub(crate) fn choose(
    strategy: MultiAddressStrategy,
    candidates: impl Iterator<Item = Candidate> + Clone,
    dice: &mut Dice,
) -> Option<usize> {
    let usable = candidates.enumerate().filter(|(_, candidate)| candidate.usable);
    let highest = || {
        let mut best: Option<(usize, u64)> = None;
        for (index, candidate) in usable.clone() {
            if best.is_none_or(|(_, value)| candidate.value > value) {
                best = Some((index, candidate.value));
            }
        }
        best.map(|(index, _)| index)
    };
    match strategy {
        MultiAddressStrategy::None | MultiAddressStrategy::Priority => highest(),
        MultiAddressStrategy::Weighted => {
            let total = usable.clone().fold(0_u64, |sum, (_, candidate)| sum.saturating_add(candidate.value));
            if total == 0 {
                return highest();
            }
            let mut point = dice.below(total);
            for (index, candidate) in usable.clone() {
                if point < candidate.value {
                    return Some(index);
                }
                point -= candidate.value;
            }
            highest()
        }
    }
}
