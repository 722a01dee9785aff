//! The SASL mechanisms (RFC 4422, 4505, 4616) as both sides need them.

use bytes::Bytes;

use crate::{Symbol, connection::ClientSasl, sasl::SaslFrame};

/// `ANONYMOUS` (RFC 4505).
pub const ANONYMOUS: Symbol = Symbol::from_static("ANONYMOUS");
/// `PLAIN` (RFC 4616).
pub const PLAIN: Symbol = Symbol::from_static("PLAIN");
/// `EXTERNAL` (RFC 4422).
pub const EXTERNAL: Symbol = Symbol::from_static("EXTERNAL");

/// A client's decision about the mechanisms offered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    Use(Symbol),
    Nothing,
}

pub(crate) fn mechanism(sasl: &ClientSasl) -> Symbol {
    match sasl {
        ClientSasl::None | ClientSasl::Anonymous => ANONYMOUS,
        ClientSasl::Plain { .. } => PLAIN,
        ClientSasl::External { .. } => EXTERNAL,
    }
}

pub(crate) fn choose(sasl: &ClientSasl, offered: &[Symbol]) -> Choice {
    let wanted = mechanism(sasl);
    if offered.contains(&wanted) { Choice::Use(wanted) } else { Choice::Nothing }
}

pub(crate) fn initial_response(sasl: &ClientSasl) -> Bytes {
    match sasl {
        ClientSasl::None | ClientSasl::Anonymous => Bytes::new(),
        ClientSasl::Plain { username, password } => Bytes::from(format!("\0{username}\0{password}")),
        ClientSasl::External { authzid } => Bytes::copy_from_slice(authzid.as_bytes()),
    }
}

/// True if a client that sent no initial response must be asked for one. `ANONYMOUS` and `EXTERNAL` mean nothing by it, and some
/// clients leave it out.
pub(crate) fn needs_response(mechanism: &Symbol) -> bool {
    *mechanism != ANONYMOUS && *mechanism != EXTERNAL
}

pub(crate) fn name(frame: &SaslFrame) -> &'static str {
    match frame {
        SaslFrame::Mechanisms(_) => "sasl-mechanisms",
        SaslFrame::Init(_) => "sasl-init",
        SaslFrame::Challenge(_) => "sasl-challenge",
        SaslFrame::Response(_) => "sasl-response",
        SaslFrame::Outcome(_) => "sasl-outcome",
    }
}

/// The message of `PLAIN` (RFC 4616 §2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PlainMessage<'a> {
    /// Identity to act as; empty for the authenticated one.
    pub authzid: &'a str,
    /// The user.
    pub authcid: &'a str,
    /// The password, in clear.
    pub password: &'a str,
}

impl<'a> PlainMessage<'a> {
    /// Reads a response; `None` if it is malformed or has an empty user or password.
    pub fn parse(response: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(response).ok()?;
        let mut parts = text.split('\0');
        let (authzid, authcid, password) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() || authcid.is_empty() || password.is_empty() {
            return None;
        }
        Some(Self { authzid, authcid, password })
    }
}

impl std::fmt::Debug for PlainMessage<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlainMessage")
            .field("authzid", &self.authzid)
            .field("authcid", &self.authcid)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_round_trip_and_rejects() {
        let sent = initial_response(&ClientSasl::Plain { username: "bob".into(), password: "s3cr\u{e9}t".into() });
        let parsed = PlainMessage::parse(&sent).unwrap();
        assert_eq!((parsed.authzid, parsed.authcid, parsed.password), ("", "bob", "s3cr\u{e9}t"));
        assert!(!format!("{parsed:?}").contains("s3cr"));
        for bad in [&b""[..], b"bob", b"\0bob", b"\0\0pw", b"\0bob\0", b"a\0b\0c\0d", b"\0\xff\0pw"] {
            assert_eq!(PlainMessage::parse(bad), None, "{bad:?}");
        }
    }
}
