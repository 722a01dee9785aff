//! The frames of the SASL layer (§5.3.3).

use std::{fmt, ops::Range};

use bytes::{BufMut, Bytes};

use crate::{
    Decode, DecodeError, Encode, Reader, Str, Symbol, Symbols,
    composite::{composite, unknown_descriptor},
    performative::restricted,
};

restricted! {
    /// How an authentication ended (§5.3.3.6).
    SaslCode: u8, "sasl-code" {
        /// Succeeded.
        Ok = 0,
        /// The credentials were refused.
        Auth = 1,
        /// A system error.
        Sys = 2,
        /// A system error that will not go away by itself.
        SysPerm = 3,
        /// A system error that may go away.
        SysTemp = 4,
    }
}

impl Default for SaslCode {
    /// Only to fill in a value before the real one is set: a refusal.
    fn default() -> Self {
        Self::Auth
    }
}

/// A binary that may contain a password: not shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(pub Bytes);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} bytes)", self.0.len())
    }
}
impl Decode for Secret {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Bytes::decode(reader).map(Self)
    }
}
impl Encode for Secret {
    fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }
    fn encode<B: BufMut>(&self, out: &mut B) {
        self.0.encode(out);
    }
}

composite! {
    /// The server's mechanisms, best first (§5.3.3.1).
    SaslMechanisms = 0x40 "amqp:sasl-mechanisms:list", "sasl-mechanisms", "5.3.3.1" {
        /// Their names.
        required sasl_server_mechanisms: Symbols,
    }

    /// The client's choice (§5.3.3.2).
    SaslInit = 0x41 "amqp:sasl-init:list", "sasl-init", "5.3.3.2" {
        /// Name of the mechanism.
        required mechanism: Symbol,
        /// First response.
        optional initial_response: Secret,
        /// The host that the client means.
        optional hostname: Str,
    }

    /// The server asks (§5.3.3.3).
    SaslChallenge = 0x42 "amqp:sasl-challenge:list", "sasl-challenge", "5.3.3.3" {
        /// As the mechanism defines it.
        required challenge: Secret,
    }

    /// The client answers (§5.3.3.4).
    SaslResponse = 0x43 "amqp:sasl-response:list", "sasl-response", "5.3.3.4" {
        /// As the mechanism defines it.
        required response: Secret,
    }

    /// The end (§5.3.3.5).
    SaslOutcome = 0x44 "amqp:sasl-outcome:list", "sasl-outcome", "5.3.3.5" {
        /// How it ended.
        required code: SaslCode,
        /// As the mechanism defines it.
        optional additional_data: Secret,
    }
}

/// A frame of the SASL layer.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the names of the specification")]
pub enum SaslFrame {
    Mechanisms(SaslMechanisms),
    Init(SaslInit),
    Challenge(SaslChallenge),
    Response(SaslResponse),
    Outcome(SaslOutcome),
}

fn code_of(name: &[u8]) -> Option<u64> {
    Some(match name {
        b"amqp:sasl-mechanisms:list" => SaslMechanisms::CODE,
        b"amqp:sasl-init:list" => SaslInit::CODE,
        b"amqp:sasl-challenge:list" => SaslChallenge::CODE,
        b"amqp:sasl-response:list" => SaslResponse::CODE,
        b"amqp:sasl-outcome:list" => SaslOutcome::CODE,
        _ => return None,
    })
}

impl SaslFrame {
    /// Reads the body of a SASL frame, from a copy.
    ///
    /// # Errors
    /// If it is none, or bytes follow it.
    pub fn decode(block: &Bytes, body: Range<usize>) -> Result<Self, DecodeError> {
        let own = Bytes::copy_from_slice(block.get(body).unwrap_or_default());
        let mut reader = Reader::new(&own);
        let at = reader.pos();
        let frame = match reader.descriptor(code_of)? {
            Some(SaslMechanisms::CODE) => Self::Mechanisms(SaslMechanisms::decode_fields(&mut reader)?),
            Some(SaslInit::CODE) => Self::Init(SaslInit::decode_fields(&mut reader)?),
            Some(SaslChallenge::CODE) => Self::Challenge(SaslChallenge::decode_fields(&mut reader)?),
            Some(SaslResponse::CODE) => Self::Response(SaslResponse::decode_fields(&mut reader)?),
            Some(SaslOutcome::CODE) => Self::Outcome(SaslOutcome::decode_fields(&mut reader)?),
            Some(other) => {
                return Err(DecodeError::UnexpectedDescriptor {
                    descriptor: format!("0x{other:x}"),
                    at,
                    expected: "a SASL frame",
                });
            }
            None => return Err(unknown_descriptor(&reader, "a SASL frame")),
        };
        reader.finish()?;
        Ok(frame)
    }
}
