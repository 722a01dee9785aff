//! What can be wrong with a message of the routing protocol.

use amqp_proto::DecodeError;

/// Why a message was not understood. Always the peer's fault; the state of the protocol is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// The bytes are no message.
    #[error("malformed message: {0}")]
    Malformed(#[from] DecodeError),
    /// The application properties name no opcode.
    #[error("the application properties have no opcode")]
    NoOpcode,
    /// An opcode that the protocol does not have.
    #[error("{0:?} is no opcode of the routing protocol")]
    UnknownOpcode(String),
    /// There is no body.
    #[error("{opcode} has no body")]
    NoBody {
        /// The opcode.
        opcode: &'static str,
    },
    /// A mandatory entry is missing.
    #[error("{opcode} has no {key:?}")]
    Missing {
        /// The opcode.
        opcode: &'static str,
        /// The key.
        key: &'static str,
    },
    /// An entry has a value that it may not have.
    #[error("{opcode}: {key:?} is not {expected}")]
    Invalid {
        /// The opcode.
        opcode: &'static str,
        /// The key.
        key: &'static str,
        /// What it may be.
        expected: &'static str,
    },
    /// An entry is malformed, or of another type.
    #[error("{opcode}: {key:?}: {source}")]
    Entry {
        /// The opcode.
        opcode: &'static str,
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// An address update has neither all addresses nor both kinds of changes, or it has all of them.
    #[error("MAU has to have either \"exist\" or both \"add\" and \"del\"")]
    MixedUpdate,
}
