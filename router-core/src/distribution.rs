//! Treatments of addresses, and the choice of an outlet.

pub(crate) mod balance;
mod candidates;
#[cfg(test)]
mod tests;

pub(crate) use candidates::{Candidate, Candidates};

/// How deliveries for an address are spread over its consumers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Treatment {
    /// A copy for every consumer.
    Multicast,
    /// One consumer, the nearest; round robin among equals.
    Closest,
    /// One consumer, the one with the least outstanding deliveries; round robin among equals.
    #[default]
    Balanced,
    /// Nobody may use the address.
    Unavailable,
}

impl Treatment {
    /// As management shows it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Multicast => "multicast",
            Self::Closest => "closest",
            Self::Balanced => "balanced",
            Self::Unavailable => "unavailable",
        }
    }
}
