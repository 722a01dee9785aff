//! Addresses: syntax, classes, configuration.

use crate::Treatment;

/// One `address` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressConfig {
    /// Tokens separated by `/` or `.`; `*` stands for one token, `#` for any number of them, none included. A `prefix` of the
    /// configuration is the pattern `prefix/#`.
    pub pattern: String,
    /// How deliveries are spread.
    pub distribution: Treatment,
    /// Overrides the priority that messages have, 0..=9.
    pub priority: Option<u8>,
}
