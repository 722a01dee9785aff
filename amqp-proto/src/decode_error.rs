//! What can be wrong with bytes of a peer.

use std::fmt;

use crate::condition;

/// Why bytes were not accepted. Always the peer's fault.
///
/// `at` is the offset of the offending byte in the block that was decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end inside a value.
    #[error("bytes end inside a value: {missing} more expected after byte {at}")]
    Truncated {
        /// Where the missing bytes should be.
        at: usize,
        /// How many are missing at least.
        missing: usize,
    },
    /// A byte that is no constructor of the type system (§1.2).
    #[error("0x{code:02x} at byte {at} is no AMQP constructor")]
    UnknownConstructor {
        /// The byte.
        code: u8,
        /// Its offset.
        at: usize,
    },
    /// A value of another type than the field has.
    #[error("constructor 0x{code:02x} at byte {at} where {expected} was expected")]
    UnexpectedType {
        /// The constructor found.
        code: u8,
        /// Its offset.
        at: usize,
        /// What the field allows.
        expected: &'static str,
    },
    /// Values nest deeper than [`crate::MAX_DEPTH`].
    #[error("values nest deeper than {} levels at byte {at}", crate::MAX_DEPTH)]
    TooDeep {
        /// Offset of the value that was one too deep.
        at: usize,
    },
    /// A declared size that reaches beyond what contains the value, or is smaller than its own count.
    #[error("size {size} at byte {at} does not fit: {available} bytes available")]
    Size {
        /// The declared size in bytes.
        size: usize,
        /// Offset of the value.
        at: usize,
        /// Bytes that the container still has.
        available: usize,
    },
    /// A declared count that its bytes cannot hold, or exceeds what one value may have.
    #[error("count {count} at byte {at} does not fit its {available} bytes")]
    Count {
        /// The declared number of elements.
        count: usize,
        /// Offset of the value.
        at: usize,
        /// Bytes of its elements.
        available: usize,
    },
    /// A map with an odd number of elements (§1.6.23).
    #[error("map at byte {at} has an odd number of elements")]
    OddMap {
        /// Offset of the map.
        at: usize,
    },
    /// A string that is no UTF-8.
    #[error("string at byte {at} is not UTF-8")]
    NotUtf8 {
        /// Offset of the first byte of the string.
        at: usize,
    },
    /// A symbol that is no ASCII.
    #[error("symbol at byte {at} is not ASCII")]
    NotAscii {
        /// Offset of the first byte of the symbol.
        at: usize,
    },
    /// A char that is no Unicode scalar value, or a boolean byte other than 0 and 1.
    #[error("value at byte {at} is no valid {expected}")]
    InvalidValue {
        /// Offset of the value.
        at: usize,
        /// The type or the choices allowed.
        expected: &'static str,
    },
    /// A mandatory field is null or absent.
    #[error("{composite} has no {}, which is mandatory (AMQP 1.0 §{section})", Dashed(field))]
    MissingField {
        /// The composite type, such as `attach`.
        composite: &'static str,
        /// The field.
        field: &'static str,
        /// Section of the specification.
        section: &'static str,
    },
    /// A field has a value that it may not have. `source` says what is wrong.
    #[error("{composite}.{}: {source}", Dashed(field))]
    Field {
        /// The composite type, such as `attach`.
        composite: &'static str,
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        source: Box<Self>,
    },
    /// A value in a position where the composite type has no field.
    #[error("{composite} has a value beyond its last field at byte {at} (AMQP 1.0 §1.4)")]
    ExtraField {
        /// The composite type.
        composite: &'static str,
        /// Offset of the value.
        at: usize,
    },
    /// Bytes after the end of the value that should be alone.
    #[error("{count} unexpected bytes after the end of the value, from byte {at}")]
    TrailingBytes {
        /// Offset of the first.
        at: usize,
        /// How many.
        count: usize,
    },
    /// A described value in a frame whose descriptor is none of those that may stand there.
    #[error("descriptor {descriptor} at byte {at} where {expected} was expected")]
    UnexpectedDescriptor {
        /// The descriptor, numeric or symbolic.
        descriptor: String,
        /// Its offset.
        at: usize,
        /// What may stand there.
        expected: &'static str,
    },
    /// Message sections in an order that §3.2 does not allow.
    #[error("section {section} at byte {at} is out of order (AMQP 1.0 §3.2)")]
    SectionOrder {
        /// Name of the section.
        section: &'static str,
        /// Its offset.
        at: usize,
    },
    /// The sections before the body are larger than we read.
    #[error("message sections before the body exceed {limit} bytes")]
    HeadTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
}

impl DecodeError {
    /// The error condition to close with: `amqp:invalid-field` if a single field is at fault, `amqp:decode-error` otherwise.
    pub fn condition(&self) -> &'static str {
        match self {
            Self::MissingField { .. } => condition::INVALID_FIELD,
            Self::Field { source, .. } => match **source {
                Self::InvalidValue { .. } | Self::UnexpectedType { .. } | Self::Count { .. } => {
                    condition::INVALID_FIELD
                }
                _ => condition::DECODE_ERROR,
            },
            _ => condition::DECODE_ERROR,
        }
    }

    /// True if more bytes could make the input valid.
    pub fn is_truncated(&self) -> bool {
        match self {
            Self::Truncated { .. } => true,
            Self::Field { source, .. } => source.is_truncated(),
            _ => false,
        }
    }
}

/// A Rust field name as the specification writes it.
struct Dashed<'a>(&'a str);

impl fmt::Display for Dashed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.0.split('_').enumerate() {
            if i > 0 {
                f.write_str("-")?;
            }
            f.write_str(part)?;
        }
        Ok(())
    }
}
