//! AMQP 1.0 written and read by hand, independent of `amqp-proto`: what a mistake in our codec cannot hide.
//!
//! Values are written in their long encodings; every encoding is read. Nothing here checks whether what a test sends
//! is legal, but what `Session` sends.

mod frame;
mod peer;
mod session;
mod value;

pub use frame::{Frame, code, message, sasl};
pub use peer::{AMQP_HEADER, Peer, SASL_HEADER, TIMEOUT};
pub use session::{Delivery, Heard, Session};
pub use value::V;
