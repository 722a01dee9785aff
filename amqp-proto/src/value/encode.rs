//! Trees to encoded bytes, each in its smallest form.

use bytes::BufMut;

use super::{Array, Kind, Value};
use crate::{
    Encode,
    codec::code,
    composite::{list_head_len, put_compound_head},
};

impl Encode for Value {
    fn encoded_len(&self) -> usize {
        match self {
            Self::Null | Self::Boolean(_) => 1,
            Self::Ubyte(n) => n.encoded_len(),
            Self::Ushort(n) => n.encoded_len(),
            Self::Uint(n) => n.encoded_len(),
            Self::Ulong(n) => n.encoded_len(),
            Self::Byte(n) => n.encoded_len(),
            Self::Short(n) => n.encoded_len(),
            Self::Int(n) => n.encoded_len(),
            Self::Long(n) => n.encoded_len(),
            Self::Float(n) => n.encoded_len(),
            Self::Double(n) => n.encoded_len(),
            Self::Decimal32(n) => n.encoded_len(),
            Self::Decimal64(n) => n.encoded_len(),
            Self::Decimal128(n) => n.encoded_len(),
            Self::Char(c) => c.encoded_len(),
            Self::Timestamp(t) => t.encoded_len(),
            Self::Uuid(u) => u.encoded_len(),
            Self::Binary(b) => b.encoded_len(),
            Self::String(s) => s.encoded_len(),
            Self::Symbol(s) => s.encoded_len(),
            Self::List(items) => {
                let size = list_size(items);
                list_head_len(items.len(), size) + size
            }
            Self::Map(entries) => {
                let size = map_size(entries);
                map_head_len(entries.len() * 2, size) + size
            }
            Self::Array(array) => {
                let form = Form::of(array);
                array_head_len(array.items().len(), form.size) + form.size
            }
            Self::Described(described) => 1 + described.descriptor.encoded_len() + described.value.encoded_len(),
        }
    }

    fn encode<B: BufMut>(&self, out: &mut B) {
        match self {
            Self::Null => out.put_u8(code::NULL),
            Self::Boolean(b) => b.encode(out),
            Self::Ubyte(n) => n.encode(out),
            Self::Ushort(n) => n.encode(out),
            Self::Uint(n) => n.encode(out),
            Self::Ulong(n) => n.encode(out),
            Self::Byte(n) => n.encode(out),
            Self::Short(n) => n.encode(out),
            Self::Int(n) => n.encode(out),
            Self::Long(n) => n.encode(out),
            Self::Float(n) => n.encode(out),
            Self::Double(n) => n.encode(out),
            Self::Decimal32(n) => n.encode(out),
            Self::Decimal64(n) => n.encode(out),
            Self::Decimal128(n) => n.encode(out),
            Self::Char(c) => c.encode(out),
            Self::Timestamp(t) => t.encode(out),
            Self::Uuid(u) => u.encode(out),
            Self::Binary(b) => b.encode(out),
            Self::String(s) => s.encode(out),
            Self::Symbol(s) => s.encode(out),
            Self::List(items) => {
                put_compound_head(out, items.len(), list_size(items), code::LIST8, code::LIST32);
                items.iter().for_each(|item| item.encode(out));
            }
            Self::Map(entries) => {
                put_compound_head(out, entries.len() * 2, map_size(entries), code::MAP8, code::MAP32);
                put_entries(entries, out);
            }
            Self::Array(array) => put_array(array, out),
            Self::Described(described) => {
                out.put_u8(code::DESCRIBED);
                described.descriptor.encode(out);
                described.value.encode(out);
            }
        }
    }
}

fn list_size(items: &[Value]) -> usize {
    items.iter().map(Encode::encoded_len).sum()
}

fn map_size(entries: &[(Value, Value)]) -> usize {
    entries.iter().map(|(key, value)| key.encoded_len() + value.encoded_len()).sum()
}

fn put_entries<B: BufMut>(entries: &[(Value, Value)], out: &mut B) {
    for (key, value) in entries {
        key.encode(out);
        value.encode(out);
    }
}

fn map_head_len(count: usize, size: usize) -> usize {
    if count <= 255 && size < 255 { 3 } else { 9 }
}

fn array_head_len(count: usize, size: usize) -> usize {
    map_head_len(count, size)
}

/// Element constructor and number of bytes behind the count.
struct Form {
    element: u8,
    size: usize,
}

impl Form {
    /// The narrowest constructor that fits all elements. Those without a byte (0x43, 0x44, 0x45) are never chosen: a peer may rightly
    /// fear an array whose count costs nothing.
    fn of(array: &Array) -> Self {
        let items = array.items();
        let small = |fits: fn(&Value) -> bool, narrow: u8, wide: u8| {
            if items.iter().all(fits) { narrow } else { wide }
        };
        // Each element is measured once: nested arrays would cost twice as much with every level otherwise.
        let mut bytes = 0;
        let mut fits = true;
        for item in items {
            let (len, count) = content(item);
            bytes += len;
            // The count is a byte of the size.
            fits &= count.map_or(len <= 255, |count| count <= 255 && len < 255);
        }
        let sized = |narrow: u8, wide: u8| if fits { narrow } else { wide };
        let element = match array.kind() {
            Kind::Null => code::NULL,
            Kind::Boolean => code::BOOLEAN,
            Kind::Ubyte => code::UBYTE,
            Kind::Ushort => code::USHORT,
            Kind::Uint => small(|v| matches!(v, Value::Uint(..=255)), code::SMALL_UINT, code::UINT),
            Kind::Ulong => small(|v| matches!(v, Value::Ulong(..=255)), code::SMALL_ULONG, code::ULONG),
            Kind::Byte => code::BYTE,
            Kind::Short => code::SHORT,
            Kind::Int => small(|v| matches!(v, Value::Int(-128..=127)), code::SMALL_INT, code::INT),
            Kind::Long => small(|v| matches!(v, Value::Long(-128..=127)), code::SMALL_LONG, code::LONG),
            Kind::Float => code::FLOAT,
            Kind::Double => code::DOUBLE,
            Kind::Decimal32 => code::DECIMAL32,
            Kind::Decimal64 => code::DECIMAL64,
            Kind::Decimal128 => code::DECIMAL128,
            Kind::Char => code::CHAR,
            Kind::Timestamp => code::TIMESTAMP,
            Kind::Uuid => code::UUID,
            Kind::Binary => sized(code::BINARY8, code::BINARY32),
            Kind::String => sized(code::STRING8, code::STRING32),
            Kind::Symbol => sized(code::SYMBOL8, code::SYMBOL32),
            Kind::List => sized(code::LIST8, code::LIST32),
            Kind::Map => sized(code::MAP8, code::MAP32),
            Kind::Array => sized(code::ARRAY8, code::ARRAY32),
        };
        let constructor: usize = array.descriptors().iter().map(|d| 1 + d.encoded_len()).sum::<usize>() + 1;
        // What stands in front of each element: a size, and a count in compounds.
        let width = match element {
            code::BINARY8 | code::STRING8 | code::SYMBOL8 => 1,
            code::LIST8 | code::MAP8 | code::ARRAY8 => 2,
            code::BINARY32 | code::STRING32 | code::SYMBOL32 => 4,
            code::LIST32 | code::MAP32 | code::ARRAY32 => 8,
            _ => crate::codec::fixed_width(element).unwrap_or_default(),
        };
        Self { element, size: constructor + items.len() * width + bytes }
    }
}

/// Bytes of a variable element without size and count, and its count if it is a compound.
fn content(item: &Value) -> (usize, Option<usize>) {
    match item {
        Value::Binary(b) => (b.len(), None),
        Value::String(s) => (s.len(), None),
        Value::Symbol(s) => (s.len(), None),
        Value::List(items) => (list_size(items), Some(items.len())),
        Value::Map(entries) => (map_size(entries), Some(entries.len() * 2)),
        Value::Array(array) => (Form::of(array).size, Some(array.items().len())),
        _ => (0, None),
    }
}

fn put_array<B: BufMut>(array: &Array, out: &mut B) {
    let form = Form::of(array);
    put_compound_head(out, array.items().len(), form.size, code::ARRAY8, code::ARRAY32);
    put_array_body(array, &form, out);
}

fn put_array_body<B: BufMut>(array: &Array, form: &Form, out: &mut B) {
    for descriptor in array.descriptors() {
        out.put_u8(code::DESCRIBED);
        descriptor.encode(out);
    }
    out.put_u8(form.element);
    array.items().iter().for_each(|item| put_element(item, form.element, out));
}

fn put_len<B: BufMut>(out: &mut B, len: usize, wide: bool) {
    // `Form::of` chose the width so that everything fits.
    if wide {
        out.put_u32(u32::try_from(len).unwrap_or(u32::MAX))
    } else {
        out.put_u8(u8::try_from(len).unwrap_or(u8::MAX))
    }
}

/// Size and count of a compound element.
fn put_size_count<B: BufMut>(out: &mut B, size: usize, count: usize, wide: bool) {
    put_len(out, size + if wide { 4 } else { 1 }, wide);
    put_len(out, count, wide);
}

/// An element without its constructor.
fn put_element<B: BufMut>(item: &Value, element: u8, out: &mut B) {
    let wide = element & 0x10 != 0;
    match item {
        Value::Null | Value::Described(_) => {}
        Value::Boolean(b) => out.put_u8(u8::from(*b)),
        Value::Ubyte(n) => out.put_u8(*n),
        Value::Ushort(n) => out.put_u16(*n),
        Value::Uint(n) if element == code::SMALL_UINT => out.put_u8(*n as u8),
        Value::Uint(n) => out.put_u32(*n),
        Value::Ulong(n) if element == code::SMALL_ULONG => out.put_u8(*n as u8),
        Value::Ulong(n) => out.put_u64(*n),
        Value::Byte(n) => out.put_i8(*n),
        Value::Short(n) => out.put_i16(*n),
        Value::Int(n) if element == code::SMALL_INT => out.put_i8(*n as i8),
        Value::Int(n) => out.put_i32(*n),
        Value::Long(n) if element == code::SMALL_LONG => out.put_i8(*n as i8),
        Value::Long(n) => out.put_i64(*n),
        Value::Float(n) => out.put_f32(*n),
        Value::Double(n) => out.put_f64(*n),
        Value::Decimal32(n) => out.put_slice(&n.0),
        Value::Decimal64(n) => out.put_slice(&n.0),
        Value::Decimal128(n) => out.put_slice(&n.0),
        Value::Char(c) => out.put_u32(u32::from(*c)),
        Value::Timestamp(t) => out.put_i64(t.0),
        Value::Uuid(u) => out.put_slice(&u.0),
        Value::Binary(bytes) => {
            put_len(out, bytes.len(), wide);
            out.put_slice(bytes);
        }
        Value::String(text) => {
            put_len(out, text.len(), wide);
            out.put_slice(text.as_bytes());
        }
        Value::Symbol(text) => {
            put_len(out, text.len(), wide);
            out.put_slice(text.as_bytes());
        }
        Value::List(items) => {
            put_size_count(out, list_size(items), items.len(), wide);
            items.iter().for_each(|item| item.encode(out));
        }
        Value::Map(entries) => {
            put_size_count(out, map_size(entries), entries.len() * 2, wide);
            put_entries(entries, out);
        }
        Value::Array(array) => {
            let form = Form::of(array);
            put_size_count(out, form.size, array.items().len(), wide);
            put_array_body(array, &form, out);
        }
    }
}
