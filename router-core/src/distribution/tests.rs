use super::*;
use crate::core::slots::Key;

fn of(n: u32) -> (Candidates, Vec<Candidate>) {
    let mut candidates = Candidates::default();
    let list: Vec<_> = (0..n).map(|index| Candidate::Local(Key { index, generation: 1 })).collect();
    for c in &list {
        let at = candidates.push(*c);
        candidates.set_ready(at, true);
    }
    (candidates, list)
}

fn index(c: Candidate) -> usize {
    match c {
        Candidate::Local(key) | Candidate::Remote(key) => key.index as usize,
    }
}

#[test]
fn round_robin_is_exactly_even() {
    for n in [1, 2, 4, 63, 64, 65, 200] {
        let (mut c, _) = of(n);
        let mut counts = vec![0; n as usize];
        for _ in 0..n * 5 {
            counts[index(c.round_robin().unwrap())] += 1;
        }
        assert!(counts.iter().all(|&c| c == 5), "{n}: {counts:?}");
    }
}

#[test]
fn least_takes_turns_among_equals() {
    for n in [1u32, 4, 70, 200] {
        let (mut c, _) = of(n);
        let mut values = vec![0u32; n as usize];
        for _ in 0..n * 3 {
            let at = index(c.least(|c| values[index(c)]).unwrap());
            values[at] += 1;
        }
        assert!(values.iter().all(|&v| v == 3), "{n}: {values:?}");
        let mut counts = vec![0u32; n as usize];
        for _ in 0..n * 3 {
            counts[index(c.least(|_| 7).unwrap())] += 1;
        }
        assert!(counts.iter().all(|&v| v == 3), "{n}: {counts:?}");
    }
}

#[test]
fn least_finds_the_least() {
    let (mut c, _) = of(5);
    let values = [4, 2, 9, 1, 3];
    for _ in 0..10 {
        assert_eq!(index(c.least(|c| values[index(c)]).unwrap()), 3);
    }
    c.set_ready(3, false);
    assert_eq!(index(c.least(|c| values[index(c)]).unwrap()), 1);
    (0..5).for_each(|at| {
        c.set_ready(at, false);
    });
    assert_eq!(c.least(|_| 0), None);
    assert_eq!(c.round_robin(), None);
    assert!(!c.any_ready());
}

#[test]
fn all_that_are_ready_are_found_once() {
    let (mut c, _) = of(130);
    for at in 0..130 {
        c.set_ready(at, at % 50 == 3);
    }
    for from in [0, 3, 4, 53, 60, 103, 129, 130, 1000] {
        let mut found: Vec<_> = c.ready_from(from).map(|(at, _)| at).collect();
        assert!(found.first() == Some(&[3, 53, 103].into_iter().find(|at| *at >= from).unwrap_or(3)));
        found.sort_unstable();
        assert_eq!(found, [3, 53, 103], "{from}");
    }
}

#[test]
fn removal_moves_the_last() {
    let (mut c, list) = of(3);
    c.set_ready(2, false);
    assert_eq!(c.remove(0), Some(list[2]));
    assert!(!c.is_ready(0) && c.is_ready(1) && c.len() == 2);
    assert_eq!(c.remove(1), None);
    assert_eq!(c.remove(0), None);
    assert_eq!(c.remove(0), None);
    assert_eq!(c.len(), 0);
}
