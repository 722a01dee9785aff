//! AMQP 1.0 as data and state machines, without I/O: see docs/ARCHITECTURE.md.
//!
//! Encoded bytes come in as [`bytes::Bytes`] blocks and are read in place; what is kept of them is a slice by reference.
#![forbid(unsafe_code)]

pub mod codec;
mod composite;
pub mod condition;
pub mod connection;
mod decode_error;
mod delivery_state;
pub mod frame;
#[doc(hidden)]
pub mod fuzz;
#[doc(hidden)]
pub mod fuzz_engine;
mod link;
pub mod message;
pub mod output;
pub mod performative;
mod raw;
pub mod sasl;
pub mod sasl_engine;
mod session;
mod terminus;
mod text;
pub mod trace;
pub mod value;

pub use codec::{Decimal32, Decimal64, Decimal128, Decode, Encode, MAX_DEPTH, Reader, Timestamp, Uuid};
pub use connection::Connection;
pub use decode_error::DecodeError;
pub use delivery_state::{ACCEPTED, DeliveryState, MODIFIED, RECEIVED, REJECTED, RELEASED};
pub use link::{Payload, SendHead, Sent};
pub use performative::{
    Attach, Begin, Close, DeliveryTag, Detach, Disposition, End, Error, Flow, Open, Performative, PerformativeCode,
    ReceiverSettleMode, Role, SenderSettleMode, Transfer,
};
pub use raw::{Address, Fields, FieldsIter, Raw, Symbols};
pub use terminus::{
    Coordinator, EXPIRY_CONNECTION_CLOSE, EXPIRY_LINK_DETACH, EXPIRY_NEVER, EXPIRY_SESSION_END, Source, SourceTerminus,
    Target, TargetTerminus, TerminusDurability,
};
pub use text::{Str, Symbol};
pub use value::{Array, Kind, Value};

#[cfg(test)]
mod tests;
