//! Balanced: the way on which there is the least to do, by the reference's rule.

/// How much a way may have to do before it comes after all others, unless configured: the capacity of the reference's links.
pub(crate) const LIMIT: u32 = 250;

/// How much there is to do on one way, as far as this router knows. The least is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Work {
    /// As much as it may have; the first to compare.
    full: bool,
    value: u64,
}

impl Work {
    /// That of a way with so many deliveries outstanding. `cost`: of the way, 0 here. `limit`: of what is outstanding, if there is one.
    pub(crate) fn new(outstanding: u64, cost: u64, limit: Option<u32>) -> Self {
        Self {
            full: limit.is_some_and(|limit| outstanding >= u64::from(limit)),
            value: outstanding.saturating_add(cost),
        }
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
