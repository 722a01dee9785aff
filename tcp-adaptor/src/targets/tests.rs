use super::{Candidate, Dice, choose};
use crate::config::MultiAddressStrategy::{None as One, Priority, Weighted};

fn all(list: &[(u64, bool)]) -> impl Iterator<Item = Candidate> + Clone {
    list.iter().map(|&(value, usable)| Candidate { value, usable })
}

#[test]
fn priority_takes_the_highest_usable() {
    let mut dice = Dice::new(1);
    assert_eq!(choose(Priority, all(&[(1, true), (9, false), (5, true), (5, true)]), &mut dice), Some(2));
    assert_eq!(choose(Priority, all(&[(1, false)]), &mut dice), None);
    assert_eq!(choose(One, all(&[(0, true)]), &mut dice), Some(0));
    assert_eq!(choose(One, all(&[]), &mut dice), None);
}

#[test]
fn weighted_follows_the_weights_of_the_usable() {
    let mut dice = Dice::new(7);
    let mut hits = [0_u32; 3];
    for _ in 0..10_000 {
        let index = choose(Weighted, all(&[(1, true), (100, false), (3, true)]), &mut dice).unwrap_or_default();
        hits[index] += 1;
    }
    assert_eq!(hits[1], 0);
    assert!((2_300..2_700).contains(&hits[0]), "{hits:?}");
    assert_eq!(choose(Weighted, all(&[(0, true), (0, false)]), &mut dice), Some(0));
    assert!(choose(Weighted, all(&[(u64::MAX, true), (u64::MAX, true)]), &mut dice).is_some());
}
