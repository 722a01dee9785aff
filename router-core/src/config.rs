//! Configurations: files and flags in, checked entities out.
//!
//! Sans-io: callers read files. All syntaxes and the flags become [`Section`]s, which are checked against the table of
//! [`crate::entity`]; every message says where the mistake is.

mod build;
mod flags;
mod json;
pub mod levels;
mod source;
mod text;
mod yaml;

pub use build::{Configuration, Syntax, parse};
pub use flags::{Flag, FlagError};
pub use source::{Attribute, ConfigError, Finding, Position, Section};

#[cfg(test)]
mod tests;
