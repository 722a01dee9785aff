//! Messages of the routing protocol as bytes: everything that follows the router annotations.
//!
//! What is written is what the reference writes, byte for byte: compound values in their wide forms, lists and maps in its order. What is
//! read is any valid encoding of the same: keys as strings or symbols, integers of any type, every width.

mod decode;
mod encode;
mod error;
#[cfg(test)]
mod tests;

pub use crate::intern::Interner;
pub use decode::decode;
pub use encode::{encode, encoded_len, to_address};
pub use error::MessageError;

/// The most bytes that an id of a router may have.
pub const MAX_ID: usize = 255;
/// The most bytes that a key of an address may have.
pub const MAX_KEY: usize = 4096;
