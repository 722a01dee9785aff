//! Encoded bytes to trees. Recursion is bounded by [`MAX_DEPTH`], memory by the bytes that were read.

use bytes::Bytes;

use super::{Array, Described, Kind, Value};
use crate::{
    Decimal32, Decimal64, Decimal128, Decode, DecodeError, Reader, Str, Symbol, Timestamp, Uuid,
    codec::{MAX_DEPTH, code},
};

/// Elements without bytes (arrays of null, of true...) that one tree may have beyond one per byte.
const FREE_ELEMENTS: usize = 1024;

impl Decode for Value {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        // Sizes, counts and depth are all checked by this before anything is allocated.
        let range = reader.clone().skip()?;
        let mut part = reader.until(range.end);
        let mut budget = range.len() + FREE_ELEMENTS;
        let value = value(&mut part, MAX_DEPTH, &mut budget)?;
        part.finish()?;
        reader.seek(range.end);
        Ok(value)
    }
}

fn value(reader: &mut Reader<'_>, depth: usize, budget: &mut usize) -> Result<Value, DecodeError> {
    let at = reader.pos();
    let code = reader.u8()?;
    if code != code::DESCRIBED {
        return body(reader, code, at, depth, budget);
    }
    let depth = depth.checked_sub(1).ok_or(DecodeError::TooDeep { at })?;
    let descriptor = value(reader, depth, budget)?;
    let value = value(reader, depth, budget)?;
    Ok(Value::Described(Box::new(Described { descriptor, value })))
}

/// A value behind its constructor, which stands at `at`, or in the head of an array.
fn body(reader: &mut Reader<'_>, code: u8, at: usize, depth: usize, budget: &mut usize) -> Result<Value, DecodeError> {
    let invalid = |expected| DecodeError::InvalidValue { at, expected };
    Ok(match code {
        code::NULL => Value::Null,
        code::TRUE => Value::Boolean(true),
        code::FALSE => Value::Boolean(false),
        code::BOOLEAN => match reader.u8()? {
            0 => Value::Boolean(false),
            1 => Value::Boolean(true),
            _ => return Err(invalid("boolean")),
        },
        code::UBYTE => Value::Ubyte(reader.u8()?),
        code::USHORT => Value::Ushort(u16::from_be_bytes(reader.array()?)),
        code::UINT0 => Value::Uint(0),
        code::SMALL_UINT => Value::Uint(reader.u8()?.into()),
        code::UINT => Value::Uint(u32::from_be_bytes(reader.array()?)),
        code::ULONG0 => Value::Ulong(0),
        code::SMALL_ULONG => Value::Ulong(reader.u8()?.into()),
        code::ULONG => Value::Ulong(u64::from_be_bytes(reader.array()?)),
        code::BYTE => Value::Byte(i8::from_be_bytes(reader.array()?)),
        code::SHORT => Value::Short(i16::from_be_bytes(reader.array()?)),
        code::SMALL_INT => Value::Int(i8::from_be_bytes(reader.array()?).into()),
        code::INT => Value::Int(i32::from_be_bytes(reader.array()?)),
        code::SMALL_LONG => Value::Long(i8::from_be_bytes(reader.array()?).into()),
        code::LONG => Value::Long(i64::from_be_bytes(reader.array()?)),
        code::FLOAT => Value::Float(f32::from_be_bytes(reader.array()?)),
        code::DOUBLE => Value::Double(f64::from_be_bytes(reader.array()?)),
        code::DECIMAL32 => Value::Decimal32(Decimal32(reader.array()?)),
        code::DECIMAL64 => Value::Decimal64(Decimal64(reader.array()?)),
        code::DECIMAL128 => Value::Decimal128(Decimal128(reader.array()?)),
        code::CHAR => Value::Char(char::from_u32(u32::from_be_bytes(reader.array()?)).ok_or_else(|| invalid("char"))?),
        code::TIMESTAMP => Value::Timestamp(Timestamp(i64::from_be_bytes(reader.array()?))),
        code::UUID => Value::Uuid(Uuid(reader.array()?)),
        code::BINARY8 | code::BINARY32 => Value::Binary(variable(reader, code)?),
        code::STRING8 | code::STRING32 => {
            Value::String(Str::from_bytes(variable(reader, code)?).ok_or(DecodeError::NotUtf8 { at })?)
        }
        code::SYMBOL8 | code::SYMBOL32 => {
            Value::Symbol(Symbol::from_bytes(variable(reader, code)?).ok_or(DecodeError::NotAscii { at })?)
        }
        code::LIST0 => Value::List(Vec::new()),
        code::LIST8 | code::LIST32 => Value::List(elements(reader, code, at, depth, budget)?),
        code::MAP8 | code::MAP32 => {
            let mut flat = elements(reader, code, at, depth, budget)?.into_iter();
            let mut entries = Vec::with_capacity(flat.len() / 2);
            while let (Some(key), Some(value)) = (flat.next(), flat.next()) {
                entries.push((key, value));
            }
            Value::Map(entries)
        }
        code::ARRAY8 | code::ARRAY32 => Value::Array(array(reader, code, at, depth, budget)?),
        code => return Err(DecodeError::UnknownConstructor { code, at }),
    })
}

fn is_wide(code: u8) -> bool {
    // §1.6: the upper four bits say how the width is given; of the variable and compound ones the even narrow (a, c, e), the odd wide.
    code & 0x10 != 0
}

fn variable(reader: &mut Reader<'_>, code: u8) -> Result<Bytes, DecodeError> {
    let len = if is_wide(code) { reader.len32()? } else { usize::from(reader.u8()?) };
    reader.take_bytes(len)
}

/// Size and count of a compound or an array; both were checked against the bytes.
fn size_count(reader: &mut Reader<'_>, code: u8) -> Result<usize, DecodeError> {
    if is_wide(code) {
        reader.len32()?;
        reader.len32()
    } else {
        reader.u8()?;
        Ok(usize::from(reader.u8()?))
    }
}

fn spend(budget: &mut usize, count: usize, at: usize) -> Result<(), DecodeError> {
    *budget = budget.checked_sub(count).ok_or(DecodeError::Count { count, at, available: *budget })?;
    Ok(())
}

fn elements(
    reader: &mut Reader<'_>,
    code: u8,
    at: usize,
    depth: usize,
    budget: &mut usize,
) -> Result<Vec<Value>, DecodeError> {
    let depth = depth.checked_sub(1).ok_or(DecodeError::TooDeep { at })?;
    let count = size_count(reader, code)?;
    spend(budget, count, at)?;
    (0..count).map(|_| value(reader, depth, budget)).collect()
}

fn array(reader: &mut Reader<'_>, code: u8, at: usize, depth: usize, budget: &mut usize) -> Result<Array, DecodeError> {
    let depth = depth.checked_sub(1).ok_or(DecodeError::TooDeep { at })?;
    let count = size_count(reader, code)?;
    spend(budget, count, at)?;
    let mut descriptors = Vec::new();
    let mut element = reader.u8()?;
    while element == code::DESCRIBED {
        descriptors.push(value(reader, depth, budget)?);
        element = reader.u8()?;
    }
    let kind = Kind::of_code(element).ok_or(DecodeError::UnknownConstructor { code: element, at })?;
    let items = (0..count)
        .map(|_| {
            let at = reader.pos();
            body(reader, element, at, depth, budget)
        })
        .collect::<Result<Vec<_>, _>>()?;
    Array::described(descriptors, kind, items).ok_or(DecodeError::InvalidValue { at, expected: "array" })
}
