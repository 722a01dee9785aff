//! The performatives (§2.7) and the values they are made of (§2.8).

mod fast;
mod restricted;
mod tag;

use std::ops::Range;

use bytes::{BufMut, Bytes};

pub use fast::{write_disposition, write_flow, write_transfer};
pub(crate) use restricted::restricted;
pub use restricted::{ReceiverSettleMode, Role, SenderSettleMode};
pub use tag::DeliveryTag;

use crate::{
    DecodeError, DeliveryState, Encode, Fields, Reader, SourceTerminus, Str, Symbol, Symbols, TargetTerminus,
    codec::code,
    composite::{composite, unknown_descriptor},
};

composite! {
    /// Why something was refused or ended (§2.8.14).
    Error = 0x1d "amqp:error:list", "error", "2.8.14" {
        /// One of [`crate::condition`] or any other symbol.
        required condition: Symbol,
        /// For people.
        optional description: Str,
        /// For programs.
        optional info: Fields,
    }

    /// Negotiates connection parameters (§2.7.1).
    Open = 0x10 "amqp:open:list", "open", "2.7.1" {
        /// Identity of the sending container.
        required container_id: Str,
        /// The virtual host meant.
        optional hostname: Str,
        /// The largest frame that the sender accepts, in bytes; at least 512.
        default max_frame_size: u32 = u32::MAX,
        /// The highest channel number that the sender accepts.
        default channel_max: u16 = u16::MAX,
        /// Milliseconds without any frame after which the sender closes.
        optional idle_time_out: u32,
        /// Locales for text the sender sends.
        default outgoing_locales: Symbols = Symbols::default(),
        /// Locales that the sender understands, in order of preference.
        default incoming_locales: Symbols = Symbols::default(),
        /// Extensions that the sender supports.
        default offered_capabilities: Symbols = Symbols::default(),
        /// Extensions that the sender may use.
        default desired_capabilities: Symbols = Symbols::default(),
        /// Properties of the connection.
        optional properties: Fields,
    }

    /// Begins a session on a channel (§2.7.2).
    Begin = 0x11 "amqp:begin:list", "begin", "2.7.2" {
        /// In an answer: the channel of the peer's begin.
        optional remote_channel: u16,
        /// Transfer-id of the first transfer of the sender.
        required next_outgoing_id: u32,
        /// Transfers that the sender accepts now.
        required incoming_window: u32,
        /// Transfers that the sender can keep for sending.
        required outgoing_window: u32,
        /// The highest link handle that the sender accepts.
        default handle_max: u32 = u32::MAX,
        /// Extensions that the sender supports.
        default offered_capabilities: Symbols = Symbols::default(),
        /// Extensions that the sender may use.
        default desired_capabilities: Symbols = Symbols::default(),
        /// Properties of the session.
        optional properties: Fields,
    }

    /// Attaches a link to a session (§2.7.3).
    Attach = 0x12 "amqp:attach:list", "attach", "2.7.3" {
        /// Name of the link, unique per direction between two containers.
        required name: Str,
        /// The sender's number for the link while it is attached.
        required handle: u32,
        /// What the sender of this frame is on the link.
        required role: Role,
        /// How the sending end settles.
        default snd_settle_mode: SenderSettleMode = SenderSettleMode::Mixed,
        /// How the receiving end settles.
        default rcv_settle_mode: ReceiverSettleMode = ReceiverSettleMode::First,
        /// Where deliveries come from; null refuses or ends the terminus.
        optional source: SourceTerminus,
        /// Where deliveries go.
        optional target: TargetTerminus,
        /// Unsettled deliveries of the terminus: delivery-tag to state.
        optional unsettled: Fields,
        /// The unsettled map is not complete.
        default incomplete_unsettled: bool = false,
        /// Delivery-count of the sending end; mandatory from senders (checked by the engine).
        optional initial_delivery_count: u32,
        /// The largest message that this end accepts, in bytes; 0 and null: no limit.
        optional max_message_size: u64,
        /// Extensions that the sender supports.
        default offered_capabilities: Symbols = Symbols::default(),
        /// Extensions that the sender may use.
        default desired_capabilities: Symbols = Symbols::default(),
        /// Properties of the link.
        optional properties: Fields,
    }

    /// Updates windows of the session, and of a link if it has a handle (§2.7.4).
    Flow = 0x13 "amqp:flow:list", "flow", "2.7.4" {
        /// The next transfer-id that the sender expects; absent before it has seen the peer's begin.
        optional next_incoming_id: u32,
        /// Transfers that the sender accepts beyond that.
        required incoming_window: u32,
        /// Transfer-id of the next transfer of the sender.
        required next_outgoing_id: u32,
        /// Transfers that the sender can keep for sending.
        required outgoing_window: u32,
        /// The link meant; absent if the frame is about the session alone.
        optional handle: u32,
        /// Delivery-count of the link.
        optional delivery_count: u32,
        /// Deliveries that the receiver will take beyond delivery-count.
        optional link_credit: u32,
        /// Deliveries that wait at the sender.
        optional available: u32,
        /// The sender of the link shall use up the credit.
        default drain: bool = false,
        /// The peer shall answer with a flow.
        default echo: bool = false,
        /// Properties of the link state.
        optional properties: Fields,
    }

    /// Carries (a part of) a delivery; the payload follows in the frame (§2.7.5).
    Transfer = 0x14 "amqp:transfer:list", "transfer", "2.7.5" {
        /// The link.
        required handle: u32,
        /// Number of the delivery in the session; mandatory in its first transfer (checked by the engine).
        optional delivery_id: u32,
        /// Tag of the delivery on the link; mandatory in its first transfer (checked by the engine).
        optional delivery_tag: DeliveryTag,
        /// Format of the message; mandatory in its first transfer (checked by the engine).
        optional message_format: u32,
        /// Settled by the sender.
        optional settled: bool,
        /// More transfers of this delivery follow.
        default more: bool = false,
        /// Overrides the link's mode for this delivery.
        optional rcv_settle_mode: ReceiverSettleMode,
        /// State at the sender.
        optional state: DeliveryState,
        /// A delivery that was not settled when the link was detached goes on.
        default resume: bool = false,
        /// The delivery ends here and does not count.
        default aborted: bool = false,
        /// The sender does not need the state at once.
        default batchable: bool = false,
    }

    /// Tells the state of a range of deliveries (§2.7.6).
    Disposition = 0x15 "amqp:disposition:list", "disposition", "2.7.6" {
        /// What the sender of this frame was for the deliveries.
        required role: Role,
        /// First delivery-id.
        required first: u32,
        /// Last delivery-id; `first` if absent.
        optional last: u32,
        /// The deliveries are settled.
        default settled: bool = false,
        /// Their state.
        optional state: DeliveryState,
        /// The sender does not need an answer at once.
        default batchable: bool = false,
    }

    /// Detaches a link (§2.7.7).
    Detach = 0x16 "amqp:detach:list", "detach", "2.7.7" {
        /// The link.
        required handle: u32,
        /// The terminus is closed as well.
        default closed: bool = false,
        /// Why.
        optional error: Error,
    }

    /// Ends a session (§2.7.8).
    End = 0x17 "amqp:end:list", "end", "2.7.8" {
        /// Why.
        optional error: Error,
    }

    /// Closes the connection (§2.7.9).
    Close = 0x18 "amqp:close:list", "close", "2.7.9" {
        /// Why.
        optional error: Error,
    }
}

impl Eq for Error {}

impl Error {
    /// An error of one of [`crate::condition`].
    pub fn new(condition: &'static str, description: impl Into<Str>) -> Self {
        Self { condition: Symbol::from_static(condition), description: Some(description.into()), info: None }
    }

    /// A copy that does not keep the frame's block alive.
    pub fn detached(&self) -> Self {
        Self {
            condition: self.condition.detached(),
            description: self.description.as_ref().map(Str::detached),
            info: self.info.as_ref().map(Fields::detached),
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.description {
            Some(description) => write!(f, "{}: {description}", self.condition),
            None => write!(f, "{}", self.condition),
        }
    }
}

impl From<&DecodeError> for Error {
    fn from(error: &DecodeError) -> Self {
        Self::new(error.condition(), error.to_string())
    }
}

/// Which performative a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names of the specification")]
pub enum PerformativeCode {
    Open,
    Begin,
    Attach,
    Flow,
    Transfer,
    Disposition,
    Detach,
    End,
    Close,
}

/// A performative.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the names of the specification")]
pub enum Performative {
    Open(Box<Open>),
    Begin(Box<Begin>),
    Attach(Box<Attach>),
    Flow(Box<Flow>),
    Transfer(Box<Transfer>),
    Disposition(Box<Disposition>),
    Detach(Box<Detach>),
    End(Box<End>),
    Close(Box<Close>),
}

fn code_of(name: &[u8]) -> Option<u64> {
    Some(match name {
        b"amqp:open:list" => Open::CODE,
        b"amqp:begin:list" => Begin::CODE,
        b"amqp:attach:list" => Attach::CODE,
        b"amqp:flow:list" => Flow::CODE,
        b"amqp:transfer:list" => Transfer::CODE,
        b"amqp:disposition:list" => Disposition::CODE,
        b"amqp:detach:list" => Detach::CODE,
        b"amqp:end:list" => End::CODE,
        b"amqp:close:list" => Close::CODE,
        _ => return None,
    })
}

impl PerformativeCode {
    /// Takes the descriptor of a frame body.
    ///
    /// # Errors
    /// If it is no performative's.
    #[inline]
    pub fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        // How every implementation writes the frames that matter.
        let hot = match reader.rest() {
            [code::DESCRIBED, code::SMALL_ULONG, 0x14, ..] => Some(Self::Transfer),
            [code::DESCRIBED, code::SMALL_ULONG, 0x15, ..] => Some(Self::Disposition),
            [code::DESCRIBED, code::SMALL_ULONG, 0x13, ..] => Some(Self::Flow),
            _ => None,
        };
        if let Some(code) = hot {
            reader.seek(reader.pos() + 3);
            return Ok(code);
        }
        Self::read_any(reader)
    }

    fn read_any(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.pos();
        let found = reader.descriptor(code_of)?;
        Ok(match found {
            Some(Transfer::CODE) => Self::Transfer,
            Some(Disposition::CODE) => Self::Disposition,
            Some(Flow::CODE) => Self::Flow,
            Some(Open::CODE) => Self::Open,
            Some(Begin::CODE) => Self::Begin,
            Some(Attach::CODE) => Self::Attach,
            Some(Detach::CODE) => Self::Detach,
            Some(End::CODE) => Self::End,
            Some(Close::CODE) => Self::Close,
            Some(other) => {
                return Err(DecodeError::UnexpectedDescriptor {
                    descriptor: format!("0x{other:x}"),
                    at,
                    expected: "a performative",
                });
            }
            None => return Err(unknown_descriptor(reader, "a performative")),
        })
    }
}

impl Performative {
    /// Reads the body of an AMQP frame (`body` is a range of `block`); returns the range of the payload behind a transfer too,
    /// which is empty for all others.
    ///
    /// Everything but transfers, flows and dispositions is read from a copy, so that fields which live long pin no read block.
    ///
    /// # Errors
    /// If it is no performative, or bytes follow one that has no payload.
    pub fn decode(block: &Bytes, body: Range<usize>) -> Result<(Self, Range<usize>), DecodeError> {
        let mut reader = Reader::part(block, body);
        let code = PerformativeCode::read(&mut reader)?;
        let performative = match code {
            PerformativeCode::Transfer => {
                let transfer = Transfer::read(&mut reader)?;
                return Ok((Self::Transfer(Box::new(transfer)), reader.pos()..reader.end()));
            }
            PerformativeCode::Flow => Self::Flow(Box::new(Flow::read(&mut reader)?)),
            PerformativeCode::Disposition => Self::Disposition(Box::new(Disposition::read(&mut reader)?)),
            _ => {
                let fields = reader.pos()..reader.end();
                let own = Bytes::copy_from_slice(reader.rest());
                let mut own = Reader::new(&own);
                let cold = Self::decode_cold(code, &mut own)?;
                own.finish()?;
                return Ok((cold, fields.end..fields.end));
            }
        };
        reader.finish()?;
        Ok((performative, reader.end()..reader.end()))
    }

    /// Reads the fields behind the descriptor that said `code`.
    fn decode_cold(code: PerformativeCode, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match code {
            PerformativeCode::Open => Self::Open(Box::new(Open::decode_fields(reader)?)),
            PerformativeCode::Begin => Self::Begin(Box::new(Begin::decode_fields(reader)?)),
            PerformativeCode::Attach => Self::Attach(Box::new(Attach::decode_fields(reader)?)),
            PerformativeCode::Flow => Self::Flow(Box::new(Flow::decode_fields(reader)?)),
            PerformativeCode::Transfer => Self::Transfer(Box::new(Transfer::decode_fields(reader)?)),
            PerformativeCode::Disposition => Self::Disposition(Box::new(Disposition::decode_fields(reader)?)),
            PerformativeCode::Detach => Self::Detach(Box::new(Detach::decode_fields(reader)?)),
            PerformativeCode::End => Self::End(Box::new(End::decode_fields(reader)?)),
            PerformativeCode::Close => Self::Close(Box::new(Close::decode_fields(reader)?)),
        })
    }

    /// Which one it is.
    pub fn code(&self) -> PerformativeCode {
        match self {
            Self::Open(_) => PerformativeCode::Open,
            Self::Begin(_) => PerformativeCode::Begin,
            Self::Attach(_) => PerformativeCode::Attach,
            Self::Flow(_) => PerformativeCode::Flow,
            Self::Transfer(_) => PerformativeCode::Transfer,
            Self::Disposition(_) => PerformativeCode::Disposition,
            Self::Detach(_) => PerformativeCode::Detach,
            Self::End(_) => PerformativeCode::End,
            Self::Close(_) => PerformativeCode::Close,
        }
    }
}

macro_rules! each {
    ($self:ident, $inner:ident => $expr:expr) => {
        match $self {
            Performative::Open($inner) => $expr,
            Performative::Begin($inner) => $expr,
            Performative::Attach($inner) => $expr,
            Performative::Flow($inner) => $expr,
            Performative::Transfer($inner) => $expr,
            Performative::Disposition($inner) => $expr,
            Performative::Detach($inner) => $expr,
            Performative::End($inner) => $expr,
            Performative::Close($inner) => $expr,
        }
    };
}
impl Encode for Performative {
    fn encoded_len(&self) -> usize {
        each!(self, inner => inner.encoded_len())
    }
    fn encode<B: BufMut>(&self, out: &mut B) {
        each!(self, inner => inner.encode(out));
    }
}
