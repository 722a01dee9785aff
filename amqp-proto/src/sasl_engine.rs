//! The SASL mechanisms (RFC 4422, 4505, 4616) as both sides need them.

use bytes::Bytes;

use crate::{
    Symbol,
    connection::ClientSasl,
    sasl::{SaslFrame, Secret},
};

/// `ANONYMOUS` (RFC 4505).
pub const ANONYMOUS: Symbol = Symbol::from_static("ANONYMOUS");
/// `PLAIN` (RFC 4616).
pub const PLAIN: Symbol = Symbol::from_static("PLAIN");
/// `EXTERNAL` (RFC 4422).
pub const EXTERNAL: Symbol = Symbol::from_static("EXTERNAL");

/// The mechanisms that a client would use, in order of preference, with what it says first.
fn mechanisms(sasl: &ClientSasl) -> Vec<(Symbol, Secret)> {
    let (mechanism, response) = match sasl {
        ClientSasl::None => return Vec::new(),
        ClientSasl::First(choices) => return choices.iter().flat_map(mechanisms).collect(),
        ClientSasl::Anonymous => (ANONYMOUS, Bytes::new()),
        ClientSasl::Plain { username, password } => (PLAIN, Bytes::from(format!("\0{username}\0{password}"))),
        ClientSasl::External { authzid } => (EXTERNAL, Bytes::copy_from_slice(authzid.as_bytes())),
    };
    vec![(mechanism, Secret(response))]
}

/// The first mechanism of the client's that the server offers, and the initial response.
pub(crate) fn choose(sasl: &ClientSasl, offered: &[Symbol]) -> Option<(Symbol, Secret)> {
    mechanisms(sasl).into_iter().find(|(name, _)| offered.contains(name))
}

/// What a client wants, for messages.
pub(crate) fn wanted(sasl: &ClientSasl) -> String {
    let names: Vec<String> = mechanisms(sasl).iter().map(|(name, _)| name.to_string()).collect();
    if names.is_empty() { "nothing that is configured here".to_owned() } else { names.join(" or ") }
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
        let sasl = ClientSasl::Plain { username: "bob".into(), password: "s3cr\u{e9}t".into() };
        let (_, sent) = choose(&sasl, &[PLAIN]).unwrap();
        let parsed = PlainMessage::parse(&sent.0).unwrap();
        assert_eq!((parsed.authzid, parsed.authcid, parsed.password), ("", "bob", "s3cr\u{e9}t"));
        assert!(!format!("{parsed:?}").contains("s3cr"));
        for bad in [&b""[..], b"bob", b"\0bob", b"\0\0pw", b"\0bob\0", b"a\0b\0c\0d", b"\0\xff\0pw"] {
            assert_eq!(PlainMessage::parse(bad), None, "{bad:?}");
        }
    }
}
