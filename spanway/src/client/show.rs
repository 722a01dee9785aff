//! How bodies look in a terminal: texts as they are, everything that could harm or confuse it escaped.

use std::fmt::Write as _;

use amqp_proto::{Timestamp, Uuid, Value};

/// Turns bytes into text that is safe to print. UTF-8 may be cut anywhere.
#[derive(Debug, Default)]
pub(crate) struct TextEscape {
    /// The beginning of a character that is not complete: at most 3 bytes.
    cut: Vec<u8>,
}

impl TextEscape {
    /// Appends `bytes` to `out`: text, tabs and ends of lines as they are; other control characters and what is no UTF-8 as `\xNN`.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.cut.is_empty() {
            self.append(bytes, out);
        } else {
            let mut joined = std::mem::take(&mut self.cut);
            joined.extend_from_slice(bytes);
            self.append(&joined, out);
        }
    }

    fn append(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut chunks = bytes.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            let mut rest = chunk.valid();
            while let Some(at) = rest.find(|c: char| c.is_control() && c != '\n' && c != '\t') {
                let (plain, tail) = rest.split_at(at);
                out.extend_from_slice(plain.as_bytes());
                let control = tail.chars().next().map_or(0, char::len_utf8);
                let (control, tail) = tail.split_at(control);
                control.bytes().for_each(|byte| escape(byte, out));
                rest = tail;
            }
            out.extend_from_slice(rest.as_bytes());
            if chunks.peek().is_none() && may_go_on(chunk.invalid()) {
                self.cut = chunk.invalid().to_vec();
            } else {
                chunk.invalid().iter().for_each(|byte| escape(*byte, out));
            }
        }
    }

    /// The text is complete: what is left of it was no character.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        std::mem::take(&mut self.cut).into_iter().for_each(|byte| escape(byte, out));
    }
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
}

/// True if more bytes could make a character of these.
fn may_go_on(bytes: &[u8]) -> bool {
    !bytes.is_empty() && std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

/// A value for people: like JSON, with binaries as `b"..."`, symbols as `:symbol` and described values as `@descriptor value`.
pub(crate) fn value(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = match value {
        Value::Null => write!(out, "null"),
        Value::Boolean(b) => write!(out, "{b}"),
        Value::Ubyte(n) => write!(out, "{n}"),
        Value::Ushort(n) => write!(out, "{n}"),
        Value::Uint(n) => write!(out, "{n}"),
        Value::Ulong(n) => write!(out, "{n}"),
        Value::Byte(n) => write!(out, "{n}"),
        Value::Short(n) => write!(out, "{n}"),
        Value::Int(n) => write!(out, "{n}"),
        Value::Long(n) => write!(out, "{n}"),
        Value::Float(n) => write!(out, "{n:?}"),
        Value::Double(n) => write!(out, "{n:?}"),
        Value::Char(c) => write!(out, "{c:?}"),
        Value::String(text) => write!(out, "{:?}", text.as_str()),
        Value::Symbol(text) => write!(out, ":{}", text.as_str().escape_debug()),
        Value::Binary(bytes) => write!(out, "b\"{}\"", bytes.escape_ascii()),
        Value::Timestamp(Timestamp(millis)) => match jiff::Timestamp::from_millisecond(*millis) {
            Ok(time) => write!(out, "{time}"),
            Err(_) => write!(out, "timestamp({millis})"),
        },
        Value::Uuid(Uuid(bytes)) => {
            for (at, byte) in bytes.iter().enumerate() {
                let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
                let _ = write!(out, "{dash}{byte:02x}");
            }
            Ok(())
        }
        Value::Decimal32(_) | Value::Decimal64(_) | Value::Decimal128(_) => write!(out, "{value:?}"),
        Value::List(items) => return list('[', items, ']', out),
        Value::Array(array) => return list('[', array.items(), ']', out),
        Value::Map(entries) => {
            out.push('{');
            for (at, (key, value)) in entries.iter().enumerate() {
                out.push_str(if at == 0 { "" } else { ", " });
                write(key, out);
                out.push_str(": ");
                write(value, out);
            }
            out.push('}');
            Ok(())
        }
        Value::Described(described) => {
            out.push('@');
            write(&described.descriptor, out);
            out.push(' ');
            return write(&described.value, out);
        }
    };
}

fn list(open: char, items: &[Value], close: char, out: &mut String) {
    out.push(open);
    for (at, item) in items.iter().enumerate() {
        out.push_str(if at == 0 { "" } else { ", " });
        write(item, out);
    }
    out.push(close);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escaped(parts: &[&[u8]]) -> String {
        let mut escape = TextEscape::default();
        let mut out = Vec::new();
        parts.iter().for_each(|part| escape.push(part, &mut out));
        escape.finish(&mut out);
        String::from_utf8(out).expect("always text")
    }

    #[test]
    fn text_stays_text_and_the_rest_is_escaped() {
        assert_eq!(escaped(&["a\tb\nç€\u{1f600}\\".as_bytes()]), "a\tb\nç€\u{1f600}\\");
        assert_eq!(escaped(&[b"\x1b[31m\x07\r\x00\x7f"]), "\\x1b[31m\\x07\\x0d\\x00\\x7f");
        assert_eq!(escaped(&["\u{9b}2J".as_bytes()]), "\\xc2\\x9b2J");
        assert_eq!(escaped(&[b"\xff\xfeok\xc3"]), "\\xff\\xfeok\\xc3");
    }

    #[test]
    fn characters_may_be_cut() {
        let text = "ç€\u{1f600}x".as_bytes();
        for cut in 0..=text.len() {
            let (a, b) = text.split_at(cut);
            assert_eq!(escaped(&[a, b]), "ç€\u{1f600}x");
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(escaped(&bytes), "ç€\u{1f600}x");
        assert_eq!(escaped(&[b"\xe2\x82", b"x"]), "\\xe2\\x82x");
    }

    #[test]
    fn values_are_readable() {
        let map = Value::Map(vec![
            ("a".into(), vec![Value::Null, true.into(), 1_u8.into(), (-2_i64).into(), 1.5_f64.into()].into()),
            (Value::Symbol("s".into()), Value::Binary((&b"\x00x"[..]).into())),
            ('c'.into(), Value::described(9_u64.into(), "q\"\u{1b}".into())),
            (Value::Timestamp(Timestamp(0)), Value::Uuid(Uuid([0xab; 16]))),
        ]);
        assert_eq!(
            value(&map),
            "{\"a\": [null, true, 1, -2, 1.5], :s: b\"\\x00x\", 'c': @9 \"q\\\"\\u{1b}\", \
             1970-01-01T00:00:00Z: abababab-abab-abab-abab-abababababab}"
        );
    }
}
