//! Balanced: the way on which there is the least to do, by the reference's rule.

/// How much a way may have to do before it comes after all others, unless configured: the capacity of the reference's links.
pub(crate) const LIMIT: u32 = 250;

/// A delivery, in the numbers that are compared.
const ONE: u64 = 1 << 16;

/// How much there is to do on one way, as far as this router knows. The least is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Work {
    /// As much as it may have; the first to compare.
    full: bool,
    /// In 65,536ths of a delivery.
    value: u64,
}

impl Work {
    /// That of a way with so many deliveries outstanding. `cost`: of the way, 0 here. `limit`: of what is outstanding, if there is one.
    pub(crate) fn new(outstanding: u64, cost: u64, limit: Option<u32>) -> Self {
        Self {
            full: limit.is_some_and(|limit| outstanding >= u64::from(limit)),
            value: outstanding.saturating_add(cost).saturating_mul(ONE),
        }
    }

    /// So many 65,536ths of a delivery, without a limit.
    pub(crate) const fn fraction(value: u64) -> Self {
        Self { full: false, value }
    }

    /// That of a consumer, when `outstanding` deliveries are spread over sites of so many consumers, cheapest first, of which each has the
    /// cost of the way to do before. `None` without sites.
    pub(crate) fn spread(outstanding: u64, sites: impl Iterator<Item = (u32, u64)>) -> Option<Self> {
        let (mut consumers, mut sum) = (0_u64, outstanding);
        let mut least: Option<u64> = None;
        for (more, cost) in sites {
            consumers = consumers.saturating_add(more.max(1).into());
            sum = sum.saturating_add(cost.saturating_mul(more.max(1).into()));
            let level = sum.saturating_mul(ONE) / consumers;
            // Like water: the sites that lie above its level get nothing.
            if least.is_some_and(|least| level >= least) {
                break;
            }
            least = Some(level);
        }
        least.map(Self::fraction)
    }
}

/// Whether another router gets a delivery rather than the best consumer here. Of equals the one here does.
pub(crate) fn goes_far(near: Option<Work>, far: Option<Work>) -> bool {
    match (near, far) {
        (Some(near), Some(far)) => far < near,
        (None, far) => far.is_some(),
        (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(outstanding: u64, sites: &[(u32, u64)]) -> Option<f64> {
        let work = Work::spread(outstanding, sites.iter().copied())?;
        Some(work.value as f64 / ONE as f64)
    }

    #[test]
    fn one_consumer_is_the_rule_of_the_reference() {
        for (outstanding, cost) in [(0, 1), (7, 3), (0, 99_999), (250, 10)] {
            assert_eq!(Work::spread(outstanding, [(1, cost)].into_iter()), Some(Work::new(outstanding, cost, None)));
        }
    }

    #[test]
    fn consumers_share_what_is_outstanding() {
        assert_eq!(spread(12, &[(3, 1)]), Some(5.0));
        assert_eq!(spread(12, &[(1, 1), (2, 1)]), Some(5.0));
        assert_eq!(spread(0, &[]), None);
        // Nobody there is like one.
        assert_eq!(spread(4, &[(0, 1)]), Some(5.0));
    }

    #[test]
    fn sites_that_are_too_far_away_get_nothing() {
        assert_eq!(spread(9, &[(1, 1), (100, 11)]), Some(10.0));
        assert_eq!(spread(13, &[(1, 1), (2, 11)]), Some(12.0));
        assert_eq!(spread(u64::MAX, &[(u32::MAX, u64::MAX), (1, u64::MAX)]).map(|level| level > 0.0), Some(true));
    }
}
