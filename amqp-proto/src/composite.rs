//! The table from which every composite type derives: struct, defaults, decoder and encoder.

use bytes::BufMut;

use crate::codec::code;

/// Defines composite types (§1.4), a row per field: `kind name: type [= default],`.
///
/// Kinds: `required` (mandatory in the specification; `T`), `optional` (`Option<T>`), `default` (`T`; null and absent stand for the default,
/// which is written as null). `Default::default()` gives every field its default, and mandatory ones an empty value.
macro_rules! composite {
    ($(
        $(#[$meta:meta])*
        $name:ident = $code:literal $symbol:literal, $spec:literal, $section:literal {
            $( $(#[$fmeta:meta])* $kind:ident $field:ident : $type:ty $(= $default:expr)? ),* $(,)?
        }
    )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $( $(#[$fmeta])* pub $field: $crate::composite::composite!(@type $kind $type), )*
        }

        impl $name {
            /// Numeric descriptor.
            pub const CODE: u64 = $code;
            /// Symbolic descriptor.
            pub const SYMBOL: &'static str = $symbol;
            /// For traces.
            #[allow(dead_code, reason = "not every type is part of a frame")]
            pub(crate) const SHAPE: $crate::composite::Shape = $crate::composite::Shape {
                code: $code,
                symbol: $symbol,
                name: $spec,
                fields: &[$(stringify!($field)),*],
            };

            /// Reads the list behind the descriptor.
            ///
            /// # Errors
            /// If a field has the wrong type, a mandatory one is missing, or there is a value beyond the last field.
            pub fn decode_fields(reader: &mut $crate::Reader<'_>) -> Result<Self, $crate::DecodeError> {
                let mut fields = $crate::codec::FieldReader::open(reader, $spec, $section)?;
                let value = Self {
                    $( $field: $crate::composite::composite!(@read $kind $type, fields, $field $(, $default)?), )*
                };
                fields.finish()?;
                Ok(value)
            }

            fn layout(&self) -> (usize, usize) {
                let mut layout = $crate::composite::Layout::default();
                $( layout.field($crate::composite::composite!(@len $kind self.$field $(, $default)?)); )*
                (layout.count, layout.size)
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $crate::composite::composite!(@default $kind $(, $default)?), )* }
            }
        }

        impl $crate::Decode for $name {
            fn decode(reader: &mut $crate::Reader<'_>) -> Result<Self, $crate::DecodeError> {
                let names = |name: &[u8]| (name == Self::SYMBOL.as_bytes()).then_some(Self::CODE);
                $crate::composite::expect_descriptor(reader, Self::CODE, names, Self::SYMBOL)?;
                Self::decode_fields(reader)
            }
        }

        impl $crate::Encode for $name {
            fn encoded_len(&self) -> usize {
                let (count, size) = self.layout();
                $crate::composite::composite_len(Self::CODE, count, size)
            }

            #[allow(unused_assignments, unused_mut, unused_variables, reason = "the last field, and types without any")]
            fn encode<B: bytes::BufMut>(&self, out: &mut B) {
                let (count, size) = self.layout();
                $crate::composite::put_head(out, Self::CODE, count, size);
                let mut left = count;
                $(
                    if left == 0 {
                        return;
                    }
                    left -= 1;
                    $crate::composite::composite!(@write $kind self.$field, out $(, $default)?);
                )*
            }
        }
    )*};

    (@type required $type:ty) => { $type };
    (@type optional $type:ty) => { Option<$type> };
    (@type default $type:ty) => { $type };

    (@read required $type:ty, $fields:ident, $field:ident) => { $fields.required::<$type>(stringify!($field))? };
    (@read optional $type:ty, $fields:ident, $field:ident) => { $fields.optional::<$type>(stringify!($field))? };
    (@read default $type:ty, $fields:ident, $field:ident, $default:expr) => {
        match $fields.optional::<$type>(stringify!($field))? {
            Some(value) => value,
            None => $default,
        }
    };

    (@default required) => { Default::default() };
    (@default optional) => { None };
    (@default default, $default:expr) => { $default };

    (@len required $value:expr) => { Some($crate::Encode::encoded_len(&$value)) };
    (@len optional $value:expr) => { $value.as_ref().map($crate::Encode::encoded_len) };
    (@len default $value:expr, $default:expr) => { ($value != $default).then(|| $crate::Encode::encoded_len(&$value)) };

    (@write required $value:expr, $out:ident) => { $crate::Encode::encode(&$value, $out) };
    (@write optional $value:expr, $out:ident) => {
        match &$value {
            Some(value) => $crate::Encode::encode(value, $out),
            None => $out.put_u8($crate::codec::code::NULL),
        }
    };
    (@write default $value:expr, $out:ident, $default:expr) => {
        if $value == $default {
            $out.put_u8($crate::codec::code::NULL);
        } else {
            $crate::Encode::encode(&$value, $out);
        }
    };
}
pub(crate) use composite;

/// What a composite type and its fields are called.
pub(crate) struct Shape {
    pub(crate) code: u64,
    pub(crate) symbol: &'static str,
    pub(crate) name: &'static str,
    /// With underscores where the specification has hyphens.
    pub(crate) fields: &'static [&'static str],
}

/// Takes the descriptor of a composite value.
pub(crate) fn expect_descriptor(
    reader: &mut crate::Reader<'_>,
    code: u64,
    names: impl Fn(&[u8]) -> Option<u64>,
    expected: &'static str,
) -> Result<(), crate::DecodeError> {
    let at = reader.pos();
    match reader.descriptor(names)? {
        Some(found) if found == code => Ok(()),
        Some(found) => {
            Err(crate::DecodeError::UnexpectedDescriptor { descriptor: format!("0x{found:x}"), at, expected })
        }
        None => Err(unknown_descriptor(reader, expected)),
    }
}

/// The error for a value that is not described, or by what nobody knows.
pub(crate) fn unknown_descriptor(reader: &crate::Reader<'_>, expected: &'static str) -> crate::DecodeError {
    let at = reader.pos();
    match reader.peek() {
        Err(error) => error,
        Ok(code::DESCRIBED) => {
            let mut descriptor = reader.clone();
            let text = descriptor.u8().and_then(|_| crate::Decode::decode(&mut descriptor));
            match text {
                Ok(raw) => {
                    let raw: crate::Raw = raw;
                    // A peer can make this long; what a log needs is short.
                    let descriptor = format!("{raw:?}").chars().take(64).collect();
                    crate::DecodeError::UnexpectedDescriptor { descriptor, at, expected }
                }
                Err(error) => error,
            }
        }
        Ok(code) => crate::DecodeError::UnexpectedType { code, at, expected },
    }
}

/// Number of fields to write and bytes they take: trailing nulls are left out.
#[derive(Default)]
pub(crate) struct Layout {
    pub(crate) count: usize,
    pub(crate) size: usize,
    nulls: usize,
}

impl Layout {
    /// Adds a field of `len` bytes, `None` if it is null.
    #[inline]
    pub(crate) fn field(&mut self, len: Option<usize>) {
        match len {
            None => self.nulls += 1,
            Some(len) => {
                self.count += self.nulls + 1;
                self.size += self.nulls + len;
                self.nulls = 0;
            }
        }
    }
}

fn descriptor_len(code: u64) -> usize {
    1 + crate::Encode::encoded_len(&code)
}

/// Bytes of a composite value whose `count` fields take `size` bytes.
#[inline]
pub(crate) fn composite_len(code: u64, count: usize, size: usize) -> usize {
    descriptor_len(code) + list_head_len(count, size) + size
}

/// Bytes in front of a list's elements.
pub(crate) fn list_head_len(count: usize, size: usize) -> usize {
    match (count, size) {
        (0, _) => 1,
        (..=255, ..=254) => 3,
        _ => 9,
    }
}

/// Writes descriptor and list constructor.
#[inline]
pub(crate) fn put_head<B: BufMut>(out: &mut B, code: u64, count: usize, size: usize) {
    out.put_u8(code::DESCRIBED);
    crate::Encode::encode(&code, out);
    put_list_head(out, count, size);
}

/// Writes a list's constructor, size and count.
pub(crate) fn put_list_head<B: BufMut>(out: &mut B, count: usize, size: usize) {
    put_compound_head(out, count, size, code::LIST8, code::LIST32);
}

/// Writes constructor, size and count of a list or a map; an empty list has none.
pub(crate) fn put_compound_head<B: BufMut>(out: &mut B, count: usize, size: usize, narrow: u8, wide: u8) {
    if count == 0 && narrow == code::LIST8 {
        return out.put_u8(code::LIST0);
    }
    match (u8::try_from(count), u8::try_from(size + 1)) {
        (Ok(count), Ok(size)) => out.put_slice(&[narrow, size, count]),
        _ => {
            out.put_u8(wide);
            out.put_u32(u32::try_from(size + 4).unwrap_or(u32::MAX));
            out.put_u32(u32::try_from(count).unwrap_or(u32::MAX));
        }
    }
}
