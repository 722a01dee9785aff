use super::*;
use proptest::prelude::*;

fn slot(token: u64) -> Slot {
    Slot { token, link: (token % 3) as u32, flags: 0 }
}

#[test]
fn one_stuck_delivery_does_not_keep_the_memory_of_those_after_it() {
    let mut ring = Ring::default();
    ring.insert(u32::MAX - 10, slot(1));
    for i in 0..1_000_000u32 {
        let id = (u32::MAX - 9).wrapping_add(i);
        ring.insert(id, slot(2));
        assert!(ring.take(id).is_some());
    }
    assert!(ring.slots.capacity() < 4096, "{}", ring.slots.capacity());
    assert_eq!(ring.len(), 1);
    assert_eq!(ring.get(u32::MAX - 10), Some(slot(1)));
    assert_eq!(ring.next(u32::MAX - 100, 500), Some((u32::MAX - 10, slot(1))));
}

#[test]
fn a_gap_of_presettled_deliveries_costs_nothing() {
    let mut ring = Ring::default();
    ring.insert(5, slot(1));
    ring.insert(2_000_000_000, slot(2));
    ring.insert(2_000_000_001, slot(2));
    assert!(ring.slots.len() < 10);
    assert_eq!(ring.take(5), Some(slot(1)));
    assert_eq!(ring.next(0, 2_000_000_000), Some((2_000_000_000, slot(2))));
}

#[test]
fn names_deliveries_whose_ids_become_ambiguous() {
    let mut ring = Ring::default();
    ring.insert(5, slot(1));
    ring.insert(100_000, slot(2));
    assert_eq!(ring.too_old(200_000), None);
    assert_eq!(ring.too_old(5 + (1 << 31) - (1 << 16)), Some(5));
    assert_eq!(ring.too_old(5 + (1 << 31) - (1 << 16) - 1), None);
}

proptest! {
    #[test]
    fn behaves_like_a_map(
        start in prop_oneof![Just(0u32), Just(u32::MAX - 700), any::<u32>()],
        ops in proptest::collection::vec((0u8..6, any::<u16>()), 0..3000),
    ) {
        let mut ring = Ring::default();
        // Ids as distances from the start, so that the model needs no serial numbers.
        let mut model: BTreeMap<u32, Slot> = BTreeMap::new();
        let mut next = 0u32;
        for (op, arg) in ops {
            match op {
                0..=2 => {
                    next += if arg % 50 == 0 { u32::from(arg % 200) } else { 0 };
                    ring.insert(start.wrapping_add(next), slot(u64::from(arg)));
                    model.insert(next, slot(u64::from(arg)));
                    next += 1;
                }
                3 => {
                    let id = u32::from(arg) % next.max(1);
                    prop_assert_eq!(ring.take(start.wrapping_add(id)), model.remove(&id));
                }
                4 => {
                    let first = u32::from(arg) % next.max(1);
                    let found = model.range(first..).next().map(|(id, s)| (start.wrapping_add(*id), *s));
                    prop_assert_eq!(ring.next(start.wrapping_add(first), start.wrapping_add(next)), found);
                }
                _ => {
                    let link = u32::from(arg % 3);
                    let count = model.values().filter(|s| s.link == link).count();
                    if arg % 16 == 0 {
                        model.retain(|_, s| s.link != link);
                        ring.forget(link, count as u32);
                    }
                }
            }
            prop_assert_eq!(ring.len(), model.len());
        }
    }
}
