//! `amqp://[USER:PASSWORD@]HOST[:PORT]` and `amqps://...`.

use std::fmt;
use std::str::FromStr;

/// Where a router is, and as whom to go there.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Url {
    /// `amqps`.
    pub(crate) tls: bool,
    /// A name or a literal address, without brackets.
    pub(crate) host: String,
    /// 5672, or 5671 for `amqps`, unless given.
    pub(crate) port: u16,
    /// User and password, decoded.
    pub(crate) user: Option<(String, String)>,
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(format!("expected amqp://HOST:PORT or amqps://HOST:PORT; did you mean `amqp://{text}`?"));
        };
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "amqp" => false,
            "amqps" => true,
            _ => return Err(format!("expected amqp:// or amqps://, found {scheme}://")),
        };
        let (authority, path) = rest.split_once(['/', '?', '#']).unwrap_or((rest, ""));
        if !path.is_empty() {
            return Err("nothing may follow the port: the address to use is an argument of its own".to_owned());
        }
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(credentials(user)?), place),
            None => (None, authority),
        };
        let (host, port) = split_place(place)?;
        if host.is_empty() {
            return Err("the host is missing: expected amqp://HOST:PORT".to_owned());
        }
        let port = match port {
            None => {
                if tls {
                    5671
                } else {
                    5672
                }
            }
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| format!("`{port}` is no port: expected a number from 1 to 65535"))?,
        };
        Ok(Self { tls, host: host.to_owned(), port, user })
    }
}

fn credentials(text: &str) -> Result<(String, String), String> {
    match text.split_once(':') {
        Some((user, password)) if !user.is_empty() && !password.is_empty() => Ok((decode(user)?, decode(password)?)),
        _ => Err("expected USER:PASSWORD before the `@`".to_owned()),
    }
}

/// Host without brackets, and what follows its colon.
fn split_place(place: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(rest) = place.strip_prefix('[') {
        let Some((host, rest)) = rest.split_once(']') else {
            return Err("the `]` of the IPv6 address is missing".to_owned());
        };
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(format!("`{rest}` follows the IPv6 address; expected :PORT")),
        };
    }
    match place.split_once(':') {
        Some((_, port)) if port.contains(':') => Err(format!("an IPv6 address needs brackets: amqp://[{place}]")),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((place, None)),
    }
}

/// Undoes `%NN`, so that passwords can have any character.
fn decode(text: &str) -> Result<String, String> {
    let wrong = || "expected two hexadecimal digits after each `%`".to_owned();
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, code)) = rest.split_once('%') {
        let digits = code.get(..2).filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        bytes.extend_from_slice(plain.as_bytes());
        bytes.push(digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).ok_or_else(wrong)?);
        rest = code.get(2..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).map_err(|_| "user or password is no UTF-8".to_owned())
}

impl fmt::Display for Url {
    /// Without user and password: for messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "amqps" } else { "amqp" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Url, String> {
        text.parse()
    }

    #[test]
    fn urls_are_read() {
        for (text, tls, host, port) in [
            ("amqp://localhost", false, "localhost", 5672),
            ("amqps://localhost/", true, "localhost", 5671),
            ("AMQP://10.0.0.1:99", false, "10.0.0.1", 99),
            ("amqp://[::1]", false, "::1", 5672),
            ("amqps://[fe80::1]:7", true, "fe80::1", 7),
        ] {
            let url = parse(text).expect(text);
            assert_eq!((url.tls, url.host.as_str(), url.port), (tls, host, port), "{text}");
            assert_eq!(url.user, None);
        }
    }

    #[test]
    fn credentials_are_decoded_and_never_shown() {
        let url = parse("amqp://me%40here:p%3A%25s@h:1").expect("valid");
        assert_eq!(url.user, Some(("me@here".to_owned(), "p:%s".to_owned())));
        assert_eq!(format!("{url} {url:?}"), "amqp://h:1 Url(amqp://h:1)");
        assert_eq!(parse("amqp://a:b@c@h:1").expect("the last @ counts").user, Some(("a".into(), "b@c".into())));
    }

    #[test]
    fn mistakes_are_explained() {
        for (text, expected) in [
            ("localhost:5672", "did you mean `amqp://localhost:5672`?"),
            ("http://x", "found http://"),
            ("amqp://h/queue", "an argument of its own"),
            ("amqp://", "the host is missing"),
            ("amqp://:5672", "the host is missing"),
            ("amqp://h:0", "`0` is no port"),
            ("amqp://h:65536", "is no port"),
            ("amqp://h:", "is no port"),
            ("amqp://::1", "needs brackets"),
            ("amqp://[::1", "`]` of the IPv6"),
            ("amqp://[::1]5", "expected :PORT"),
            ("amqp://user@h", "USER:PASSWORD"),
            ("amqp://:p@h", "USER:PASSWORD"),
            ("amqp://u:%zz@h", "two hexadecimal digits"),
            ("amqp://u:%f@h", "two hexadecimal digits"),
            ("amqp://u:%ff@h", "no UTF-8"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
