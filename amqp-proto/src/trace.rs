//! Frames as text, for traces in a log. The form is that of Qpid Proton's traces, which people and their tools know.
//!
//! Each value is read into a tree, so this is for those who asked for a trace, not for the path of messages.

use std::fmt::{self, Write};

use crate::{
    Attach, Begin, Close, Coordinator, Decode as _, Detach, Disposition, End, Error, Flow, Open, Reader, Source,
    Target, Transfer, Value,
    composite::Shape,
    frame::{FrameHeader, FrameKind, PROTOCOL_HEADER, ProtocolId},
    sasl::{SaslChallenge, SaslInit, SaslMechanisms, SaslOutcome, SaslResponse},
    value::Described,
};

#[cfg(test)]
mod tests;

/// Where a text is cut, in bytes. An open frame with its properties fits.
const LONGEST: usize = 1024;
/// How a text that was cut ends.
const CUT: &str = " ... (truncated)";

/// Protocol headers and frames that stand one behind the other, as bytes; ends before whatever is not complete or none of them.
#[derive(Debug, Clone)]
pub struct Units<'a> {
    rest: &'a [u8],
}

/// Splits bytes that begin where a protocol header or a frame does.
pub const fn units(bytes: &[u8]) -> Units<'_> {
    Units { rest: bytes }
}

impl Units<'_> {
    /// True if the bytes end where a protocol header or a frame does.
    pub fn are_whole(mut self) -> bool {
        while self.next().is_some() {}
        self.rest.is_empty()
    }
}

impl<'a> Iterator for Units<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let size = match self.rest {
            // No frame is as large as this would say.
            [b'A', b'M', b'Q', b'P', ..] => PROTOCOL_HEADER,
            rest => FrameHeader::parse(rest, u32::MAX).ok()??.size,
        };
        let (unit, rest) = self.rest.split_at_checked(size)?;
        self.rest = rest;
        Some(unit)
    }
}

/// The text of one of [`Units`], which was sent or received. Secrets of the SASL layer are left out.
pub fn text(unit: &[u8], sent: bool) -> String {
    let mut line = Line(String::new());
    if write_unit(&mut line, unit, if sent { "->" } else { "<-" }).is_err() {
        line.0.push_str(CUT);
    }
    line.0
}

/// A text that takes no more once it is long enough.
struct Line(String);

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > LONGEST {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

fn write_unit(line: &mut Line, unit: &[u8], arrow: &str) -> fmt::Result {
    if unit.starts_with(b"AMQP") {
        let layer = match ProtocolId::parse(unit) {
            Ok(Some(ProtocolId::Amqp)) => "AMQP",
            Ok(Some(ProtocolId::Sasl)) => "SASL",
            Ok(Some(ProtocolId::Tls)) => "TLS",
            Ok(None) | Err(_) => "(a protocol header that is not known)",
        };
        return write!(line, "FRAME:   {arrow} {layer}");
    }
    let Ok(Some(header)) = FrameHeader::parse(unit, u32::MAX) else {
        return write!(line, "FRAME:   {arrow} ({} bytes that are no frame)", unit.len());
    };
    write!(line, "FRAME: {} {arrow} ", header.channel)?;
    if header.is_empty() {
        return line.write_str("(EMPTY FRAME)");
    }
    let body = unit.get(header.body_range(0)).unwrap_or_default();
    let mut reader = Reader::of_slice(body);
    match Value::decode(&mut reader) {
        Ok(value) => write_value(line, &value, header.kind == FrameKind::Sasl)?,
        Err(error) => return write!(line, "({} bytes that cannot be read: {error})", body.len()),
    }
    match reader.rest() {
        [] => Ok(()),
        payload => {
            write!(line, " ({}) ", payload.len())?;
            write_quoted(line, payload)
        }
    }
}

/// `secret`: binaries are not for everybody.
fn write_value(line: &mut Line, value: &Value, secret: bool) -> fmt::Result {
    match value {
        Value::Null => line.write_str("null"),
        Value::Boolean(flag) => write!(line, "{flag}"),
        Value::Ubyte(number) => write!(line, "0x{number:x}"),
        Value::Ushort(number) => write!(line, "0x{number:x}"),
        Value::Uint(number) => write!(line, "0x{number:x}"),
        Value::Ulong(number) => write!(line, "0x{number:x}"),
        Value::Byte(number) => write!(line, "{number}"),
        Value::Short(number) => write!(line, "{number}"),
        Value::Int(number) => write!(line, "{number}"),
        Value::Long(number) => write!(line, "{number}"),
        Value::Float(number) => write!(line, "{number}"),
        Value::Double(number) => write!(line, "{number}"),
        Value::Decimal32(number) => write_hex(line, "D32", &number.0),
        Value::Decimal64(number) => write_hex(line, "D64", &number.0),
        Value::Decimal128(number) => write_hex(line, "D128", &number.0),
        Value::Char(character) => write!(line, "{character:?}"),
        Value::Timestamp(time) => write!(line, "{}", time.0),
        Value::Uuid(uuid) => write_hex(line, "UUID", &uuid.0),
        Value::Binary(bytes) if secret => write!(line, "({} bytes)", bytes.len()),
        Value::Binary(bytes) => {
            line.write_str("b\"")?;
            write_quoted(line, bytes)?;
            line.write_str("\"")
        }
        Value::String(text) => {
            line.write_str("\"")?;
            write_quoted(line, text.as_bytes())?;
            line.write_str("\"")
        }
        Value::Symbol(symbol) => write_symbol(line, symbol.as_bytes()),
        Value::List(items) => write_list(line, items, secret),
        Value::Map(entries) => {
            line.write_str("{")?;
            for (index, (key, value)) in entries.iter().enumerate() {
                line.write_str(if index == 0 { "" } else { ", " })?;
                write_value(line, key, secret)?;
                line.write_str("=")?;
                write_value(line, value, secret)?;
            }
            line.write_str("}")
        }
        Value::Array(array) => {
            write!(line, "@<{}>", format!("{:?}", array.kind()).to_ascii_lowercase())?;
            write_list(line, array.items(), secret)
        }
        Value::Described(described) => write_described(line, described, secret),
    }
}

fn write_list(line: &mut Line, items: &[Value], secret: bool) -> fmt::Result {
    line.write_str("[")?;
    for (index, item) in items.iter().enumerate() {
        line.write_str(if index == 0 { "" } else { ", " })?;
        write_value(line, item, secret)?;
    }
    line.write_str("]")
}

/// Fields of what the specification describes have their names, and those that are null are left out.
fn write_described(line: &mut Line, described: &Described, secret: bool) -> fmt::Result {
    let (Some(shape), Value::List(items)) = (shape_of(&described.descriptor), &described.value) else {
        line.write_str("@")?;
        write_value(line, &described.descriptor, secret)?;
        line.write_str(" ")?;
        return write_value(line, &described.value, secret);
    };
    write!(line, "@{}({}) [", shape.name, shape.code)?;
    let mut separator = "";
    for (index, item) in items.iter().enumerate().filter(|(_, item)| !item.is_null()) {
        line.write_str(separator)?;
        separator = ", ";
        if let Some(field) = shape.fields.get(index) {
            for (index, word) in field.split('_').enumerate() {
                line.write_str(if index == 0 { "" } else { "-" })?;
                line.write_str(word)?;
            }
            line.write_str("=")?;
        }
        write_value(line, item, secret)?;
    }
    line.write_str("]")
}

const fn state(code: u64, symbol: &'static str, name: &'static str, fields: &'static [&'static str]) -> Shape {
    Shape { code, symbol, name, fields }
}

/// Everything that frames are made of.
const SHAPES: &[Shape] = &[
    Open::SHAPE,
    Begin::SHAPE,
    Attach::SHAPE,
    Flow::SHAPE,
    Transfer::SHAPE,
    Disposition::SHAPE,
    Detach::SHAPE,
    End::SHAPE,
    Close::SHAPE,
    Error::SHAPE,
    Source::SHAPE,
    Target::SHAPE,
    Coordinator::SHAPE,
    SaslMechanisms::SHAPE,
    SaslInit::SHAPE,
    SaslChallenge::SHAPE,
    SaslResponse::SHAPE,
    SaslOutcome::SHAPE,
    state(crate::RECEIVED, "amqp:received:list", "received", &["section_number", "section_offset"]),
    state(crate::ACCEPTED, "amqp:accepted:list", "accepted", &[]),
    state(crate::REJECTED, "amqp:rejected:list", "rejected", &["error"]),
    state(crate::RELEASED, "amqp:released:list", "released", &[]),
    state(
        crate::MODIFIED,
        "amqp:modified:list",
        "modified",
        &["delivery_failed", "undeliverable_here", "message_annotations"],
    ),
];

fn shape_of(descriptor: &Value) -> Option<&'static Shape> {
    match descriptor {
        Value::Ulong(code) => SHAPES.iter().find(|shape| shape.code == *code),
        Value::Symbol(symbol) => SHAPES.iter().find(|shape| *symbol == shape.symbol),
        _ => None,
    }
}

fn write_symbol(line: &mut Line, bytes: &[u8]) -> fmt::Result {
    if bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-') {
        line.write_str(":")?;
        return write_quoted(line, bytes);
    }
    line.write_str(":\"")?;
    write_quoted(line, bytes)?;
    line.write_str("\"")
}

/// Bytes that are not printable, and those that would end or escape a text, as `\xNN`.
fn write_quoted(line: &mut Line, bytes: &[u8]) -> fmt::Result {
    for byte in bytes {
        match byte {
            b' '..=b'~' if !matches!(byte, b'"' | b'\\') => line.write_char(char::from(*byte))?,
            _ => write!(line, "\\x{byte:02x}")?,
        }
    }
    Ok(())
}

fn write_hex(line: &mut Line, name: &str, bytes: &[u8]) -> fmt::Result {
    write!(line, "{name}(")?;
    bytes.iter().try_for_each(|byte| write!(line, "{byte:02x}"))?;
    line.write_str(")")
}
