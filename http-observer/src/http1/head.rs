//! Heads of requests and responses, which may come in pieces.

use std::borrow::Cow;

use httparse::{EMPTY_HEADER, Header, ParserConfig};

use super::body::Body;
use crate::Stop;
use crate::forwarded::Forwarding;
use crate::request::{MAX_METHOD, is_token, method};

/// The longest head. Servers take 8 to 32 KiB.
const MAX_HEAD: usize = 32 * 1024;
/// Header fields of a head.
const MAX_FIELDS: usize = 128;

/// Looks for the end of a head.
#[derive(Debug)]
pub(super) struct Heads {
    /// What has come of it, unless it came in one piece.
    kept: Vec<u8>,
    /// What came last: an end of line, and maybe a return after it.
    line: Line,
    responses: bool,
}

/// A head, if it is complete, and what follows.
type Read<'a> = (Option<Cow<'a, [u8]>>, &'a [u8]);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// Nothing but empty lines has come.
    Before,
    Within,
    Ended,
    EndedReturn,
}

impl Heads {
    pub(super) const fn of_requests() -> Self {
        Self { kept: Vec::new(), line: Line::Before, responses: false }
    }

    pub(super) const fn of_responses() -> Self {
        Self { kept: Vec::new(), line: Line::Before, responses: true }
    }

    /// Reads until the end of the head, and returns it if it is complete, with what follows.
    pub(super) fn read<'a>(&mut self, mut bytes: &'a [u8]) -> Result<Read<'a>, Stop> {
        if self.line == Line::Before {
            let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            bytes = bytes.get(blank..).unwrap_or_default();
        }
        let end = self.find_end(bytes);
        let (head, rest) = bytes.split_at_checked(end.unwrap_or(bytes.len())).unwrap_or_default();
        if self.kept.len() + head.len() > MAX_HEAD {
            return Err(Stop::TooMuch("a head is too long"));
        }
        if end.is_some() && self.kept.is_empty() {
            return Ok((Some(head.into()), rest));
        }
        self.kept.extend_from_slice(head);
        if end.is_some() {
            return Ok((Some(std::mem::take(&mut self.kept).into()), rest));
        }
        self.check_beginning()?;
        Ok((None, rest))
    }

    fn find_end(&mut self, bytes: &[u8]) -> Option<usize> {
        for (index, byte) in bytes.iter().enumerate() {
            self.line = match (self.line, byte) {
                (Line::Ended | Line::EndedReturn, b'\n') => {
                    self.line = Line::Before;
                    return Some(index + 1);
                }
                (_, b'\n') => Line::Ended,
                (Line::Ended, b'\r') => Line::EndedReturn,
                _ => Line::Within,
            };
        }
        None
    }

    /// Another protocol is known by its first bytes, before there is much of it to be kept.
    fn check_beginning(&self) -> Result<(), Stop> {
        let plausible = if self.responses {
            self.kept.iter().zip(b"HTTP/1.").all(|(byte, expected)| byte == expected)
        } else {
            let word = self.kept.iter().take(MAX_METHOD + 1).take_while(|byte| is_token(**byte)).count();
            let followed = self.kept.get(word).is_none_or(|byte| *byte == b' ');
            word <= MAX_METHOD && followed && (word > 0 || self.kept.is_empty())
        };
        if plausible { Ok(()) } else { Err(Stop::Malformed("this is not HTTP/1")) }
    }
}

const MALFORMED: Stop = Stop::Malformed("a head is malformed");

const fn version(minor: Option<u8>) -> Result<&'static str, Stop> {
    match minor {
        Some(0) => Ok("HTTP/1.0"),
        Some(1) => Ok("HTTP/1.1"),
        _ => Err(MALFORMED),
    }
}

/// What matters of a request.
#[derive(Debug)]
pub(super) struct RequestHead {
    pub(super) version: &'static str,
    pub(super) method: Cow<'static, str>,
    pub(super) source_host: Option<String>,
    pub(super) body: Body,
}

impl RequestHead {
    pub(super) fn parse(head: &[u8]) -> Result<Self, Stop> {
        let mut fields = [EMPTY_HEADER; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        let mut config = ParserConfig::default();
        config.ignore_invalid_headers_in_requests(true);
        let parsed = config.parse_request(&mut request, head).map_err(|_| MALFORMED)?;
        if parsed.is_partial() {
            return Err(MALFORMED);
        }
        let mut forwarding = Forwarding::default();
        for field in request.headers.iter() {
            if field.name.eq_ignore_ascii_case("x-forwarded-for") {
                forwarding.common(field.value);
            } else if field.name.eq_ignore_ascii_case("forwarded") {
                forwarding.standard(field.value);
            }
        }
        let body = match framing(request.headers)? {
            Framing::None => Body::Empty,
            Framing::Length(length) => length,
            Framing::Chunked => Body::chunked(),
            // Only what a server says can last until the end.
            Framing::OtherCoding => return Err(MALFORMED),
        };
        let method = method(request.method.unwrap_or_default().as_bytes())?;
        Ok(Self { version: version(request.version)?, method, source_host: forwarding.host(), body })
    }
}

/// What matters of a response.
#[derive(Debug)]
pub(super) struct ResponseHead {
    pub(super) status: u16,
    pub(super) reason: String,
    /// Unless the request had the method HEAD.
    pub(super) body: Body,
}

impl ResponseHead {
    pub(super) fn parse(head: &[u8]) -> Result<Self, Stop> {
        let mut fields = [EMPTY_HEADER; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let mut config = ParserConfig::default();
        config.ignore_invalid_headers_in_responses(true);
        config.allow_spaces_after_header_name_in_responses(true);
        config.allow_obsolete_multiline_headers_in_responses(true);
        let parsed = config.parse_response(&mut response, head).map_err(|_| MALFORMED)?;
        let status = response.code.filter(|_| parsed.is_complete()).ok_or(MALFORMED)?;
        version(response.version)?;
        let body = match status {
            100..200 | 204 | 304 => Body::Empty,
            _ => match framing(response.headers)? {
                Framing::Length(length) => length,
                Framing::Chunked => Body::chunked(),
                Framing::None | Framing::OtherCoding => Body::UntilEnd,
            },
        };
        Ok(Self { status, reason: response.reason.unwrap_or_default().to_owned(), body })
    }
}

enum Framing {
    None,
    Length(Body),
    Chunked,
    /// A transfer coding that is not chunked in the end.
    OtherCoding,
}

/// How the body is delimited (RFC 9112, section 6.3). A transfer coding overrides a length.
fn framing(fields: &[Header<'_>]) -> Result<Framing, Stop> {
    let named = |name: &'static str| fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
    if let Some(codings) = named("transfer-encoding").next_back() {
        let last = codings.value.rsplit(|byte| *byte == b',').next().unwrap_or_default().trim_ascii();
        return Ok(if last.eq_ignore_ascii_case(b"chunked") { Framing::Chunked } else { Framing::OtherCoding });
    }
    let mut length = None;
    for value in named("content-length").flat_map(|field| field.value.split(|byte| *byte == b',')) {
        let value = value.trim_ascii();
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let value = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|value| value.parse::<u64>().ok());
        let value = value.ok_or(MALFORMED)?;
        if length.replace(value).is_some_and(|other| other != value) {
            return Err(MALFORMED);
        }
    }
    Ok(match length {
        None => Framing::None,
        Some(0) => Framing::Length(Body::Empty),
        Some(length) => Framing::Length(Body::Length(length)),
    })
}
