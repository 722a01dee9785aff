//! W3C Trace Context in application properties, as OpenTelemetry's libraries put it there.

use super::{MAX_HEAD, SectionKind, Sections};
use crate::{DecodeError, Reader, codec::code};

/// How many application properties are looked through.
const MOST_PROPERTIES: u32 = 64;

/// Longest `tracestate` that is taken over: receivers need not keep more (W3C Trace Context §3.3.1.5).
const LONGEST_STATE: usize = 512;

/// What `traceparent` and `tracestate` of a message say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext<'a> {
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span of whoever sent the message.
    pub span_id: [u8; 8],
    /// `trace-flags`.
    pub flags: u8,
    /// `tracestate`, empty if there is none.
    pub state: &'a str,
}

impl<'a> TraceContext<'a> {
    /// That of a message, if its sender recorded it (flag `sampled`). `message` may end early: then only what is there counts. Nothing is
    /// allocated, and of the sections before the application properties only the sizes are read.
    pub fn sampled(message: &'a [u8]) -> Option<Self> {
        for section in Sections::new(message) {
            let section = section.ok().filter(|section| section.end <= MAX_HEAD)?;
            if section.kind == SectionKind::ApplicationProperties {
                return Self::of_properties(message.get(section.value_range())?).ok().flatten();
            }
            if section.kind > SectionKind::ApplicationProperties {
                break;
            }
        }
        None
    }

    fn of_properties(map: &'a [u8]) -> Result<Option<Self>, DecodeError> {
        let (mut entries, count) = Reader::of_slice(map).map()?;
        let (mut found, mut state) = (None, "");
        for _ in 0..(count / 2).min(MOST_PROPERTIES) {
            match text(&mut entries)? {
                Some(b"traceparent") => match text(&mut entries)?.and_then(Self::of_parent) {
                    Some(parent) => found = Some(parent),
                    None => return Ok(None),
                },
                Some(b"tracestate") => {
                    let value = text(&mut entries)?.filter(|value| value.len() <= LONGEST_STATE && value.is_ascii());
                    state = value.and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default();
                }
                _ => {
                    entries.skip()?;
                }
            }
        }
        Ok(found.map(|found| Self { state, ..found }))
    }

    /// Reads `traceparent` (W3C Trace Context §3.2). `None`: it is invalid, or not sampled.
    fn of_parent(text: &[u8]) -> Option<Self> {
        let (version, rest) = text.split_at_checked(2)?;
        let [version] = hex(version)?;
        // What later versions append begins with a dash.
        let known = if version == 0 { text.len() == 55 } else { text.len() == 55 || text.get(55) == Some(&b'-') };
        if version == 0xff || !known {
            return None;
        }
        let part = |from: usize, to: usize| rest.get(from..to).filter(|_| rest.get(from - 1) == Some(&b'-'));
        let trace_id: [u8; 16] = hex(part(1, 33)?)?;
        let span_id: [u8; 8] = hex(part(34, 50)?)?;
        let [flags] = hex(part(51, 53)?)?;
        let valid = trace_id != [0; 16] && span_id != [0; 8] && flags & 1 == 1;
        valid.then_some(Self { trace_id, span_id, flags, state: "" })
    }
}

/// Takes one value: its bytes if it is a string or a symbol.
fn text<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, DecodeError> {
    let len = match reader.peek()? {
        code::STRING8 | code::SYMBOL8 => {
            reader.u8()?;
            usize::from(reader.u8()?)
        }
        code::STRING32 | code::SYMBOL32 => {
            reader.u8()?;
            reader.len32()?
        }
        _ => {
            reader.skip()?;
            return Ok(None);
        }
    };
    reader.take(len).map(Some)
}

/// Bytes written in lower case.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    /// A message with properties and these application properties, all strings.
    fn message(pairs: &[(&str, &str)]) -> Vec<u8> {
        let mut map = vec![u8::try_from(pairs.len() * 2).unwrap()];
        for text in pairs.iter().flat_map(|(key, value)| [key, value]) {
            map.extend([code::STRING8, u8::try_from(text.len()).unwrap()]);
            map.extend(text.as_bytes());
        }
        let mut message = vec![0, code::SMALL_ULONG, 0x73, code::LIST0];
        message.extend([0, code::SMALL_ULONG, 0x74, code::MAP8, u8::try_from(map.len()).unwrap()]);
        message.extend(map);
        message.extend([0, code::SMALL_ULONG, 0x75, code::BINARY8, 1, b'x']);
        message
    }

    #[test]
    fn a_sampled_context_is_found() {
        for pairs in
            [[("traceparent", PARENT), ("tracestate", "a=b,c=d")], [("tracestate", "a=b,c=d"), ("traceparent", PARENT)]]
        {
            let message = message(&pairs);
            let found = TraceContext::sampled(&message).expect("a context");
            assert_eq!((found.trace_id[0], found.trace_id[15]), (0x4b, 0x36));
            assert_eq!((found.span_id[1], found.span_id[7], found.flags), (0xf0, 0xb7, 1));
            assert_eq!(found.state, "a=b,c=d");
            // Cut anywhere, there is none, or the same.
            for end in 0..message.len() {
                let cut = TraceContext::sampled(&message[..end]);
                assert!(cut.is_none() || cut == Some(found), "{end}");
            }
        }
    }

    #[test]
    fn others_are_none() {
        let at = |index: usize, byte: &str| {
            let mut text = PARENT.to_owned();
            text.replace_range(index..index + byte.len(), byte);
            text
        };
        for wrong in [
            String::new(),
            at(54, "0"),
            at(3, "A"),
            at(35, "+"),
            at(0, "ff"),
            at(3, "00000000000000000000000000000000"),
            at(36, "0000000000000000"),
            format!("{PARENT}-x"),
            PARENT[..54].to_owned(),
        ] {
            assert_eq!(TraceContext::sampled(&message(&[("traceparent", &wrong)])), None, "{wrong}");
        }
        let later = format!("{}-what-comes", at(0, "01"));
        assert!(TraceContext::sampled(&message(&[("traceparent", &later)])).is_some());
        assert_eq!(TraceContext::sampled(&message(&[("other", PARENT)])), None);
        assert_eq!(TraceContext::sampled(&[0, code::SMALL_ULONG, 0x75, code::BINARY8, 1, b'x']), None);
        assert_eq!(TraceContext::sampled(b"no message"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200), at in 0_usize..80) {
            let mut message = message(&[("traceparent", PARENT), ("tracestate", "a=b")]);
            let _ = TraceContext::sampled(&bytes);
            message.truncate(at);
            message.extend(bytes);
            let _ = TraceContext::sampled(&message);
        }
    }
}
