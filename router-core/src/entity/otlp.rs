//! What is written of an OpenTelemetry collector: its URL, and lists of names with values.

use std::fmt::Write as _;

/// Where a collector takes OTLP over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtlpEndpoint {
    /// `https`.
    pub tls: bool,
    /// A name or an address; IPv6 without brackets.
    pub host: String,
    /// The port: that of the URL, or what its scheme stands for.
    pub port: u16,
    /// The path without a slash at its end. `/v1/metrics` and `/v1/traces` come behind it.
    pub path: String,
}

/// What an endpoint has to look like.
pub const ENDPOINT_FORM: &str = "http://HOST:PORT or https://HOST:PORT, such as http://127.0.0.1:4318";

impl OtlpEndpoint {
    /// Reads a URL. `None`: it is none of a collector.
    pub fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.trim().split_once("://")?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        if rest.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '@' | '\\')) {
            return None;
        }
        let (place, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']')?;
                host.parse::<std::net::Ipv6Addr>().ok()?;
                (host, if after.is_empty() { None } else { Some(after.strip_prefix(':')?) })
            }
            None => match place.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (place, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port > 0)?,
            None if tls => 443,
            None => 80,
        };
        let valid = !host.is_empty() && path.is_ascii();
        valid.then(|| Self { tls, host: host.to_owned(), port, path: path.trim_end_matches('/').to_owned() })
    }

    /// The host and port as in URLs and `Host` headers.
    pub fn authority(&self) -> String {
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = match self.host.contains(':') {
            true => write!(text, "[{}]:{}", self.host, self.port),
            false => write!(text, "{}:{}", self.host, self.port),
        };
        text
    }
}

/// Reads `NAME=VALUE,NAME=VALUE`, in which values may have bytes written as `%XX`, as in W3C baggage. `None`: it is no such list.
pub fn otlp_pairs(text: &str) -> Option<Vec<(String, String)>> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let pair = |entry: &str| {
        let (name, value) = entry.split_once('=')?;
        let name = name.trim();
        (!name.is_empty()).then_some((name.to_owned(), decoded(value.trim())?))
    };
    entries.map(pair).collect()
}

fn decoded(value: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, tail @ ..] = tail else { return None };
        let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        bytes.push(digit(high)? << 4 | digit(low)?);
        rest = tail;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Option<(bool, String, String)> {
        OtlpEndpoint::parse(url).map(|found| (found.tls, found.authority(), found.path))
    }

    #[test]
    fn urls_of_collectors() {
        let some = |tls, place: &str, path: &str| Some((tls, place.to_owned(), path.to_owned()));
        assert_eq!(parsed("http://127.0.0.1:4318"), some(false, "127.0.0.1:4318", ""));
        assert_eq!(parsed("HTTP://collector"), some(false, "collector:80", ""));
        assert_eq!(parsed("https://otel.example.org/otlp/"), some(true, "otel.example.org:443", "/otlp"));
        assert_eq!(parsed("http://[::1]:4318/"), some(false, "[::1]:4318", ""));
        for wrong in [
            "",
            "collector:4318",
            "grpc://c:4317",
            "http://",
            "http://:4318",
            "http://c:0",
            "http://c:x",
            "http://c:70000",
            "http://c:1:2",
            "http://[c]:1",
            "http://[::1",
            "http://user@c:1",
            "http://c:1/?a",
            "http://c:1/\r\nx: y",
            "http://a b",
        ] {
            assert_eq!(parsed(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn lists_of_names_with_values() {
        let some = |pairs: &[(&str, &str)]| {
            Some(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>())
        };
        assert_eq!(
            otlp_pairs(" a = b , Authorization=Basic%20eDp5==,, c="),
            some(&[("a", "b"), ("Authorization", "Basic eDp5=="), ("c", "")])
        );
        assert_eq!(otlp_pairs(""), some(&[]));
        for wrong in ["a", "=b", "a=%4", "a=%zz", "a=%ff"] {
            assert_eq!(otlp_pairs(wrong), None, "{wrong}");
        }
    }
}
