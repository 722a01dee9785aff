//! Arrays: elements of one type behind one constructor (§1.6.24).

use super::Value;
use crate::codec::code;

/// A type of values, whatever its width on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names of the specification")]
pub enum Kind {
    Null,
    Boolean,
    Ubyte,
    Ushort,
    Uint,
    Ulong,
    Byte,
    Short,
    Int,
    Long,
    Float,
    Double,
    Decimal32,
    Decimal64,
    Decimal128,
    Char,
    Timestamp,
    Uuid,
    Binary,
    String,
    Symbol,
    List,
    Map,
    Array,
}

impl Kind {
    /// The type of a constructor byte; `None` for a described value and for what is no constructor.
    pub fn of_code(byte: u8) -> Option<Self> {
        Some(match byte {
            code::NULL => Self::Null,
            code::TRUE | code::FALSE | code::BOOLEAN => Self::Boolean,
            code::UBYTE => Self::Ubyte,
            code::USHORT => Self::Ushort,
            code::UINT | code::SMALL_UINT | code::UINT0 => Self::Uint,
            code::ULONG | code::SMALL_ULONG | code::ULONG0 => Self::Ulong,
            code::BYTE => Self::Byte,
            code::SHORT => Self::Short,
            code::INT | code::SMALL_INT => Self::Int,
            code::LONG | code::SMALL_LONG => Self::Long,
            code::FLOAT => Self::Float,
            code::DOUBLE => Self::Double,
            code::DECIMAL32 => Self::Decimal32,
            code::DECIMAL64 => Self::Decimal64,
            code::DECIMAL128 => Self::Decimal128,
            code::CHAR => Self::Char,
            code::TIMESTAMP => Self::Timestamp,
            code::UUID => Self::Uuid,
            code::BINARY8 | code::BINARY32 => Self::Binary,
            code::STRING8 | code::STRING32 => Self::String,
            code::SYMBOL8 | code::SYMBOL32 => Self::Symbol,
            code::LIST0 | code::LIST8 | code::LIST32 => Self::List,
            code::MAP8 | code::MAP32 => Self::Map,
            code::ARRAY8 | code::ARRAY32 => Self::Array,
            _ => return None,
        })
    }

    /// The type of a value; `None` for a described one.
    pub fn of(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Null => Self::Null,
            Value::Boolean(_) => Self::Boolean,
            Value::Ubyte(_) => Self::Ubyte,
            Value::Ushort(_) => Self::Ushort,
            Value::Uint(_) => Self::Uint,
            Value::Ulong(_) => Self::Ulong,
            Value::Byte(_) => Self::Byte,
            Value::Short(_) => Self::Short,
            Value::Int(_) => Self::Int,
            Value::Long(_) => Self::Long,
            Value::Float(_) => Self::Float,
            Value::Double(_) => Self::Double,
            Value::Decimal32(_) => Self::Decimal32,
            Value::Decimal64(_) => Self::Decimal64,
            Value::Decimal128(_) => Self::Decimal128,
            Value::Char(_) => Self::Char,
            Value::Timestamp(_) => Self::Timestamp,
            Value::Uuid(_) => Self::Uuid,
            Value::Binary(_) => Self::Binary,
            Value::String(_) => Self::String,
            Value::Symbol(_) => Self::Symbol,
            Value::List(_) => Self::List,
            Value::Map(_) => Self::Map,
            Value::Array(_) => Self::Array,
            Value::Described(_) => return None,
        })
    }
}

/// An array. All items are of its kind; described elements share their descriptors.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    descriptors: Vec<Value>,
    kind: Kind,
    items: Vec<Value>,
}

impl Array {
    /// An array of values that are not described; `None` unless all are of `kind`.
    pub fn new(kind: Kind, items: Vec<Value>) -> Option<Self> {
        Self::described(Vec::new(), kind, items)
    }

    /// An array of described values: `items` are what the descriptors describe, the outermost first. `None` unless all items are of
    /// `kind` and all descriptors scalars.
    pub fn described(descriptors: Vec<Value>, kind: Kind, items: Vec<Value>) -> Option<Self> {
        let scalar = |v: &Value| !matches!(v, Value::List(_) | Value::Map(_) | Value::Array(_) | Value::Described(_));
        let legal = items.iter().all(|item| Kind::of(item) == Some(kind)) && descriptors.iter().all(scalar);
        legal.then_some(Self { descriptors, kind, items })
    }

    /// Descriptors of every element, the outermost first; empty if they are not described.
    pub fn descriptors(&self) -> &[Value] {
        &self.descriptors
    }

    /// Type of the elements behind their descriptors.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The elements without descriptors.
    pub fn items(&self) -> &[Value] {
        &self.items
    }
}
