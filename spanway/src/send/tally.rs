//! What became of the messages that were sent.

use amqp_proto::DeliveryState;
use anyhow::{Result, bail};

use crate::client::report::{Count, Histogram};

/// Outcomes, counted.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    accepted: u64,
    rejected: u64,
    released: u64,
    modified: u64,
    other: u64,
    /// What the first one that was rejected was rejected for.
    reason: Option<String>,
    /// From the first frame to the outcome.
    pub(crate) latencies: Histogram,
}

impl Tally {
    /// Counts the outcome of a message. Settled without a state means accepted to those who do so.
    pub(crate) fn add(&mut self, state: Option<&DeliveryState>) {
        match state {
            Some(DeliveryState::Accepted) => self.accepted += 1,
            Some(DeliveryState::Rejected(_)) => {
                self.rejected += 1;
                if self.reason.is_none() {
                    self.reason = state.and_then(DeliveryState::rejected_error).map(|error| error.to_string());
                }
            }
            Some(DeliveryState::Released) => self.released += 1,
            Some(DeliveryState::Modified { .. }) => self.modified += 1,
            None | Some(DeliveryState::Received { .. } | DeliveryState::Other(_)) => self.other += 1,
        }
    }

    /// All counts, in a line.
    pub(crate) fn outcomes(&self, unsettled: u64) -> String {
        let mut line = format!("outcomes: {} accepted", self.accepted);
        for (count, name) in [
            (self.rejected, "rejected"),
            (self.released, "released"),
            (self.modified, "modified"),
            (self.other, "settled without an outcome"),
            (unsettled, "not settled"),
        ] {
            if count > 0 {
                line.push_str(&format!(", {count} {name}"));
            }
        }
        line
    }

    /// An error that says what was not accepted, and what that means.
    pub(crate) fn verdict(&self, address: &str) -> Result<()> {
        let mut lines = Vec::new();
        if self.rejected > 0 {
            let reason = self.reason.as_deref().unwrap_or("no reason was given");
            lines.push(format!("{} rejected by the consumer: {reason}", Count(self.rejected, "message")));
        }
        if self.released > 0 {
            lines.push(format!(
                "{} released: no consumer took {}; send again when there is one",
                Count(self.released, "message"),
                if self.released == 1 { "it" } else { "them" }
            ));
        }
        if self.modified > 0 {
            lines.push(format!(
                "{} modified: a consumer failed or went away before settling, and may have seen {}",
                Count(self.modified, "message"),
                if self.modified == 1 { "it" } else { "some" }
            ));
        }
        if self.other > 0 {
            lines.push(format!("{} settled without an outcome", Count(self.other, "message")));
        }
        if lines.is_empty() {
            return Ok(());
        }
        bail!("not accepted at {address}: {}", lines.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use amqp_proto::Error;

    #[test]
    fn all_accepted_is_no_error() {
        let mut tally = Tally::default();
        tally.add(Some(&DeliveryState::Accepted));
        assert!(tally.verdict("a").is_ok());
        assert_eq!(tally.outcomes(0), "outcomes: 1 accepted");
    }

    #[test]
    fn other_outcomes_are_explained() {
        let mut tally = Tally::default();
        let error = Error::new("amqp:decode-error", "bad bytes");
        tally.add(Some(&DeliveryState::rejected(Some(&error))));
        tally.add(Some(&DeliveryState::Released));
        tally.add(Some(&DeliveryState::Released));
        tally.add(Some(&DeliveryState::modified(true, false)));
        tally.add(None);
        let text = tally.verdict("a").expect_err("nothing was accepted").to_string();
        for part in ["1 message rejected", "amqp:decode-error: bad bytes", "2 messages released", "1 message modified"]
        {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(
            tally.outcomes(2),
            "outcomes: 0 accepted, 1 rejected, 2 released, 1 modified, 1 settled without an outcome, 2 not settled"
        );
    }
}
