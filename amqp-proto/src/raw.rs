//! Values that are kept as they arrived.

use std::fmt;

use bytes::{BufMut, Bytes};

use crate::{
    Decode, DecodeError, Encode, Reader, Str, Symbol, Value,
    codec::{check_one, code, expect_end},
};

/// One encoded value, verbatim: constructor, sizes and nesting are well-formed (to [`crate::MAX_DEPTH`]), contents unread.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Raw(Bytes);

impl Raw {
    /// An encoded constant. It must be one well-formed value.
    pub(crate) const fn from_static(bytes: &'static [u8]) -> Self {
        Self(Bytes::from_static(bytes))
    }

    /// Takes bytes that this crate has checked or written.
    pub(crate) fn trusted(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The null value.
    pub const fn null() -> Self {
        Self::from_static(&[code::NULL])
    }

    /// Takes encoded bytes.
    ///
    /// # Errors
    /// If they are not exactly one well-formed value.
    pub fn new(bytes: Bytes) -> Result<Self, DecodeError> {
        let end = check_one(&bytes, 0)?;
        expect_end(&bytes, end)?;
        Ok(Self(bytes))
    }

    /// Encodes a value.
    pub fn encode_of<T: Encode>(value: &T) -> Self {
        Self(value.encoded().into())
    }

    /// The encoded bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The encoded bytes with their reference to the block.
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// A copy that does not keep the block alive.
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }

    /// Reads it as a `T`.
    ///
    /// # Errors
    /// If it is none.
    pub fn decode_as<T: Decode>(&self) -> Result<T, DecodeError> {
        let mut reader = Reader::new(&self.0);
        let value = T::decode(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }

    /// Reads it into a tree.
    ///
    /// # Errors
    /// If strings, symbols or characters inside are invalid, or too many elements without a byte are declared.
    pub fn to_value(&self) -> Result<Value, DecodeError> {
        self.decode_as()
    }

    /// True if this is null.
    pub fn is_null(&self) -> bool {
        self.as_bytes() == [code::NULL]
    }

    /// Numeric descriptor, or that of the symbol by `names`; `None` if not described or unknown.
    pub fn descriptor(&self, names: impl Fn(&[u8]) -> Option<u64>) -> Option<u64> {
        Reader::new(&self.0).descriptor(names).ok().flatten()
    }
}

impl Default for Raw {
    fn default() -> Self {
        Self::null()
    }
}
impl Decode for Raw {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let range = reader.skip()?;
        Ok(Self(reader.slice(range)))
    }
}
impl Encode for Raw {
    fn encoded_len(&self) -> usize {
        self.0.len()
    }
    fn encode<B: BufMut>(&self, out: &mut B) {
        out.put_slice(&self.0);
    }
}
impl From<&Value> for Raw {
    fn from(value: &Value) -> Self {
        Self::encode_of(value)
    }
}
impl fmt::Debug for Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_value() {
            Ok(value) => value.fmt(f),
            Err(_) => self.0.fmt(f),
        }
    }
}

/// An encoded map, verbatim: `fields` (§2.8.13), filter sets (§3.5.8), annotations (§3.2.10), node properties.
///
/// Keys should be symbols; foreign peers write strings too, and reading accepts both.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Fields(Raw);

impl Fields {
    /// Encodes entries.
    pub fn from_entries<'a>(entries: impl IntoIterator<Item = (&'a str, Value)>) -> Self {
        let entries = entries.into_iter().map(|(key, value)| (Value::Symbol(Symbol::from(key)), value)).collect();
        Self(Raw::encode_of(&Value::Map(entries)))
    }

    /// The map as a value.
    pub fn raw(&self) -> &Raw {
        &self.0
    }

    /// A copy that does not keep the block alive.
    pub fn detached(&self) -> Self {
        Self(self.0.detached())
    }

    /// Keys and values in the order of the wire.
    pub fn iter(&self) -> FieldsIter<'_> {
        let reader = Reader::new(self.0.bytes()).map().ok().map(|(reader, _)| reader);
        FieldsIter { reader }
    }

    /// The value of a key, given as text whether it is a symbol or a string.
    pub fn get(&self, key: &str) -> Option<Raw> {
        self.iter().find(|(k, _)| key_is(k, key)).map(|(_, value)| value)
    }

    /// True if there is no entry.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

fn key_is(key: &Raw, text: &str) -> bool {
    match key.as_bytes() {
        [code::SYMBOL8 | code::STRING8, _, name @ ..] | [code::SYMBOL32 | code::STRING32, _, _, _, _, name @ ..] => {
            name == text.as_bytes()
        }
        _ => false,
    }
}

impl Decode for Fields {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.peek()? {
            code::MAP8 | code::MAP32 => Raw::decode(reader).map(Self),
            code => Err(DecodeError::UnexpectedType { code, at: reader.pos(), expected: "a map" }),
        }
    }
}
impl Encode for Fields {
    fn encoded_len(&self) -> usize {
        self.0.encoded_len()
    }
    fn encode<B: BufMut>(&self, out: &mut B) {
        self.0.encode(out);
    }
}
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Entries of [`Fields`].
#[derive(Debug)]
pub struct FieldsIter<'a> {
    reader: Option<Reader<'a>>,
}

impl Iterator for FieldsIter<'_> {
    type Item = (Raw, Raw);

    fn next(&mut self) -> Option<Self::Item> {
        let reader = self.reader.as_mut().filter(|r| !r.is_empty())?;
        Some((Raw::decode(reader).ok()?, Raw::decode(reader).ok()?))
    }
}

/// The symbols of a field that may have several (`multiple="true"`, §1.4): on the wire null, one symbol, or an array. A list of symbols is read, too:
/// Proton's Python binding writes one where its user gives a Python list.
///
/// Written as an array, also with one element, as the reference does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Symbols(pub Vec<Symbol>);

impl Symbols {
    /// True if there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True if `name` is among them.
    pub fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|s| *s == name)
    }

    /// The symbols in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Symbol> {
        self.0.iter()
    }

    fn wide(&self) -> bool {
        self.0.iter().any(|s| s.len() > 255)
    }

    /// Bytes of the elements without constructors.
    fn content_len(&self) -> usize {
        let width = if self.wide() { 4 } else { 1 };
        self.0.iter().map(|s| width + s.len()).sum()
    }
}

impl<'a> FromIterator<&'a str> for Symbols {
    fn from_iter<I: IntoIterator<Item = &'a str>>(names: I) -> Self {
        Self(names.into_iter().map(Symbol::from).collect())
    }
}
impl<const N: usize> From<[&str; N]> for Symbols {
    fn from(names: [&str; N]) -> Self {
        names.into_iter().collect()
    }
}
impl Decode for Symbols {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let at = reader.pos();
        match reader.peek()? {
            code::SYMBOL8 | code::SYMBOL32 => return Ok(Self(vec![Symbol::decode(reader)?])),
            code::ARRAY8 | code::ARRAY32 => {}
            code::LIST0 | code::LIST8 | code::LIST32 => {
                let (mut items, count) = reader.list()?;
                let symbols = (0..count).map(|_| Symbol::decode(&mut items)).collect::<Result<_, _>>()?;
                items.finish()?;
                return Ok(Self(symbols));
            }
            code => {
                return Err(DecodeError::UnexpectedType { code, at, expected: "a symbol or an array of symbols" });
            }
        }
        // Sizes and the count were checked against the bytes when this returns.
        let range = reader.skip()?;
        let block = reader.slice(range);
        let mut inner = Reader::new(&block);
        let narrow = inner.u8()? == code::ARRAY8;
        let count = if narrow {
            let [_size, count] = inner.array()?;
            u32::from(count)
        } else {
            inner.len32()?;
            u32::from_be_bytes(inner.array()?)
        };
        let element = inner.u8()?;
        if count == 0 {
            return Ok(Self::default());
        }
        let wide = match element {
            code::SYMBOL8 => false,
            code::SYMBOL32 => true,
            code => {
                return Err(DecodeError::UnexpectedType {
                    code,
                    at: at + inner.pos() - 1,
                    expected: "an array of symbols",
                });
            }
        };
        let mut symbols = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let len = if wide { inner.len32()? } else { usize::from(inner.u8()?) };
            let start = at + inner.pos();
            symbols.push(Symbol::from_bytes(inner.take_bytes(len)?).ok_or(DecodeError::NotAscii { at: start })?);
        }
        Ok(Self(symbols))
    }
}
impl Encode for Symbols {
    fn encoded_len(&self) -> usize {
        let size = 1 + self.content_len();
        if size < 255 && self.0.len() <= 255 { 3 + size } else { 9 + size }
    }
    fn encode<B: BufMut>(&self, out: &mut B) {
        let size = 1 + self.content_len();
        match (u8::try_from(size + 1), u8::try_from(self.0.len())) {
            (Ok(size), Ok(count)) => out.put_slice(&[code::ARRAY8, size, count]),
            _ => {
                out.put_u8(code::ARRAY32);
                out.put_u32(u32::try_from(size + 4).unwrap_or(u32::MAX));
                out.put_u32(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
            }
        }
        let wide = self.wide();
        out.put_u8(if wide { code::SYMBOL32 } else { code::SYMBOL8 });
        for symbol in &self.0 {
            if wide {
                out.put_u32(u32::try_from(symbol.len()).unwrap_or(u32::MAX));
            } else {
                out.put_u8(u8::try_from(symbol.len()).unwrap_or(u8::MAX));
            }
            out.put_slice(symbol.as_bytes());
        }
    }
}

/// An address (§2.8.11): a string; whatever else a peer writes is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `address-string`
    String(Str),
    /// Another type that the field's `*` allows.
    Other(Raw),
}

impl Address {
    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text.as_str()),
            Self::Other(_) => None,
        }
    }
}
impl From<&str> for Address {
    fn from(text: &str) -> Self {
        Self::String(Str::from(text))
    }
}
impl Decode for Address {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.peek()? {
            code::STRING8 | code::STRING32 => Str::decode(reader).map(Self::String),
            _ => Raw::decode(reader).map(Self::Other),
        }
    }
}
impl Encode for Address {
    fn encoded_len(&self) -> usize {
        match self {
            Self::String(text) => text.encoded_len(),
            Self::Other(raw) => raw.encoded_len(),
        }
    }
    fn encode<B: BufMut>(&self, out: &mut B) {
        match self {
            Self::String(text) => text.encode(out),
            Self::Other(raw) => raw.encode(out),
        }
    }
}
