//! Sources and targets of links (§3.5).

use bytes::BufMut;

use crate::{
    Address, Decode, DecodeError, Encode, Fields, Raw, Reader, Symbol, Symbols,
    codec::code,
    composite::{composite, unknown_descriptor},
    performative::restricted,
};

restricted! {
    /// What of a terminus survives (§3.5.5).
    TerminusDurability: u32, "terminus-durability" {
        /// Nothing.
        None = 0,
        /// Existence and configuration.
        Configuration = 1,
        /// Unsettled deliveries too.
        UnsettledState = 2,
    }
}

/// Expiry policy (§3.5.6): the terminus expires when the link is detached.
pub const EXPIRY_LINK_DETACH: Symbol = Symbol::from_static("link-detach");
/// Expiry policy (§3.5.6): when the session ends. The default.
pub const EXPIRY_SESSION_END: Symbol = Symbol::from_static("session-end");
/// Expiry policy (§3.5.6): when the connection is closed.
pub const EXPIRY_CONNECTION_CLOSE: Symbol = Symbol::from_static("connection-close");
/// Expiry policy (§3.5.6): never.
pub const EXPIRY_NEVER: Symbol = Symbol::from_static("never");

composite! {
    /// Where the deliveries of a link come from (§3.5.3).
    Source = 0x28 "amqp:source:list", "source", "3.5.3" {
        /// The node; null in a request for a dynamic one and in anonymous links.
        optional address: Address,
        /// What of the terminus survives.
        default durable: TerminusDurability = TerminusDurability::None,
        /// When the timer starts; see the `EXPIRY_` constants, others are kept.
        default expiry_policy: Symbol = EXPIRY_SESSION_END,
        /// How long the terminus is kept after that, in seconds.
        default timeout: u32 = 0,
        /// The peer is asked to create a node.
        default dynamic: bool = false,
        /// Properties of the node to create, or that was created.
        optional dynamic_node_properties: Fields,
        /// `move` or `copy` (§3.5.7); others are kept.
        optional distribution_mode: Symbol,
        /// Filters, uninterpreted.
        optional filter: Fields,
        /// The outcome that counts when the receiver settles without one.
        optional default_outcome: Raw,
        /// Outcomes that can be chosen.
        default outcomes: Symbols = Symbols::default(),
        /// Capabilities supported or desired.
        default capabilities: Symbols = Symbols::default(),
    }

    /// Where the deliveries of a link go (§3.5.4).
    Target = 0x29 "amqp:target:list", "target", "3.5.4" {
        /// The node; null in a request for a dynamic one, and for the anonymous terminus: each message says where it goes.
        optional address: Address,
        /// What of the terminus survives.
        default durable: TerminusDurability = TerminusDurability::None,
        /// When the timer starts; see the `EXPIRY_` constants, others are kept.
        default expiry_policy: Symbol = EXPIRY_SESSION_END,
        /// How long the terminus is kept after that, in seconds.
        default timeout: u32 = 0,
        /// The peer is asked to create a node.
        default dynamic: bool = false,
        /// Properties of the node to create, or that was created.
        optional dynamic_node_properties: Fields,
        /// Capabilities supported or desired.
        default capabilities: Symbols = Symbols::default(),
    }

    /// A transaction coordinator as a target (§4.5.1).
    Coordinator = 0x30 "amqp:coordinator:list", "coordinator", "4.5.1" {
        /// Capabilities supported or desired.
        default capabilities: Symbols = Symbols::default(),
    }
}

/// The source of an attach. One of a type that this crate does not know is kept verbatim.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceTerminus {
    /// `amqp:source:list`
    Source(Box<Source>),
    /// An extension.
    Other(Raw),
}

/// The target of an attach. One of a type that this crate does not know is kept verbatim.
#[derive(Debug, Clone, PartialEq)]
pub enum TargetTerminus {
    /// `amqp:target:list`
    Target(Box<Target>),
    /// `amqp:coordinator:list`
    Coordinator(Box<Coordinator>),
    /// An extension.
    Other(Raw),
}

impl SourceTerminus {
    /// The source, unless it is an extension.
    pub fn as_source(&self) -> Option<&Source> {
        match self {
            Self::Source(source) => Some(source),
            Self::Other(_) => None,
        }
    }
}
impl TargetTerminus {
    /// The target, unless it is a coordinator or an extension.
    pub fn as_target(&self) -> Option<&Target> {
        match self {
            Self::Target(target) => Some(target),
            _ => None,
        }
    }
}
impl From<Source> for SourceTerminus {
    fn from(source: Source) -> Self {
        Self::Source(Box::new(source))
    }
}
impl From<Target> for TargetTerminus {
    fn from(target: Target) -> Self {
        Self::Target(Box::new(target))
    }
}

macro_rules! address_of {
    ($($name:ident)*) => {$(
        impl $name {
            /// A terminus at an address.
            pub fn at(address: &str) -> Self {
                Self { address: Some(Address::from(address)), ..Self::default() }
            }

            /// The address if it is a string.
            pub fn address_str(&self) -> Option<&str> {
                self.address.as_ref().and_then(Address::as_str)
            }

            /// The same terminus at another address: the answer to an attach for a dynamic node.
            #[must_use]
            pub fn with_address(&self, address: &str) -> Self {
                Self { address: Some(Address::from(address)), ..self.clone() }
            }
        }
    )*};
}
address_of!(Source Target);

fn source_code(name: &[u8]) -> Option<u64> {
    (name == Source::SYMBOL.as_bytes()).then_some(Source::CODE)
}

fn target_code(name: &[u8]) -> Option<u64> {
    match name {
        b"amqp:target:list" => Some(Target::CODE),
        b"amqp:coordinator:list" => Some(Coordinator::CODE),
        _ => None,
    }
}

/// An extension terminus: any described value.
fn other(reader: &mut Reader<'_>, expected: &'static str) -> Result<Raw, DecodeError> {
    if reader.peek()? == code::DESCRIBED { Raw::decode(reader) } else { Err(unknown_descriptor(reader, expected)) }
}

impl Decode for SourceTerminus {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut ahead = reader.clone();
        if ahead.descriptor(source_code)? == Some(Source::CODE) {
            *reader = ahead;
            return Source::decode_fields(reader).map(Self::from);
        }
        other(reader, "a source").map(Self::Other)
    }
}
impl Encode for SourceTerminus {
    fn encoded_len(&self) -> usize {
        match self {
            Self::Source(source) => source.encoded_len(),
            Self::Other(raw) => raw.encoded_len(),
        }
    }
    fn encode<B: BufMut>(&self, out: &mut B) {
        match self {
            Self::Source(source) => source.encode(out),
            Self::Other(raw) => raw.encode(out),
        }
    }
}
impl Decode for TargetTerminus {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut ahead = reader.clone();
        match ahead.descriptor(target_code)? {
            Some(Target::CODE) => {
                *reader = ahead;
                Target::decode_fields(reader).map(Self::from)
            }
            Some(Coordinator::CODE) => {
                *reader = ahead;
                Coordinator::decode_fields(reader).map(|c| Self::Coordinator(Box::new(c)))
            }
            _ => other(reader, "a target").map(Self::Other),
        }
    }
}
impl Encode for TargetTerminus {
    fn encoded_len(&self) -> usize {
        match self {
            Self::Target(target) => target.encoded_len(),
            Self::Coordinator(coordinator) => coordinator.encoded_len(),
            Self::Other(raw) => raw.encoded_len(),
        }
    }
    fn encode<B: BufMut>(&self, out: &mut B) {
        match self {
            Self::Target(target) => target.encode(out),
            Self::Coordinator(coordinator) => coordinator.encode(out),
            Self::Other(raw) => raw.encode(out),
        }
    }
}
