//! AMQP 1.0 as data and state machines, without I/O: see docs/ARCHITECTURE.md.
//!
//! Encoded bytes come in as [`bytes::Bytes`] blocks and are read in place; what is kept of them is a slice by reference.
#![forbid(unsafe_code)]

pub mod codec;
mod composite;
pub mod condition;
mod decode_error;
mod delivery_state;
pub mod frame;
pub mod message;
pub mod performative;
mod raw;
pub mod sasl;
mod terminus;
mod text;
pub mod value;

pub use codec::{Decimal32, Decimal64, Decimal128, Decode, Encode, MAX_DEPTH, Reader, Timestamp, Uuid};
pub use decode_error::DecodeError;
pub use delivery_state::{ACCEPTED, DeliveryState, MODIFIED, RECEIVED, REJECTED, RELEASED};
pub use performative::{
    Attach, Begin, Close, DeliveryTag, Detach, Disposition, End, Error, Flow, Open, Performative, PerformativeCode, ReceiverSettleMode, Role,
    SenderSettleMode, Transfer,
};
pub use raw::{Address, Fields, FieldsIter, Raw, Symbols};
pub use terminus::{
    Coordinator, EXPIRY_CONNECTION_CLOSE, EXPIRY_LINK_DETACH, EXPIRY_NEVER, EXPIRY_SESSION_END, Source, SourceTerminus, Target,
    TargetTerminus, TerminusDurability,
};
pub use text::{Str, Symbol};
pub use value::Value;
