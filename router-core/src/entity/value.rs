//! Values of attributes, and the conversion of what users write into what the table asks for.

use std::fmt;
use std::path::PathBuf;

/// A value of an attribute, before or after conversion to the attribute's type.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Not set.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction; only inside maps and lists.
    Float(f64),
    /// Text, paths, and tags of enumerations.
    String(String),
    /// A list.
    List(Vec<Self>),
    /// A map, in the order in which it was written.
    Map(Vec<(String, Self)>),
}

impl Value {
    /// The text of a [`Value::String`].
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number of a [`Value::Integer`].
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            _ => None,
        }
    }

    /// The truth value of a [`Value::Bool`].
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(truth) => Some(*truth),
            _ => None,
        }
    }

    /// What this is, in words for an error message.
    fn describe(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Bool(truth) => format!("`{truth}`"),
            Self::Integer(number) => format!("`{number}`"),
            Self::Float(number) => format!("`{number}`"),
            Self::String(text) => format!("`{}`", Shortened(text)),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a map".to_owned(),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(truth) => write!(f, "{truth}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number}"),
            Self::String(text) => f.write_str(text),
            Self::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Self::Map(entries) => {
                f.write_str("{")?;
                for (index, (key, item)) in entries.iter().enumerate() {
                    write!(f, "{}{key}: {item}", if index == 0 { "" } else { ", " })?;
                }
                f.write_str("}")
            }
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Bool(truth)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<i32> for Value {
    fn from(number: i32) -> Self {
        Self::Integer(number.into())
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Integer(number.into())
    }
}

/// Text in an error message: enough to recognise it, never a whole file.
pub(crate) struct Shortened<'a>(pub(crate) &'a str);

impl fmt::Display for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LIMIT: usize = 60;
        for (shown, character) in self.0.chars().enumerate() {
            if shown == LIMIT {
                return f.write_str("...");
            }
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        Ok(())
    }
}

/// What an attribute may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Any text.
    String,
    /// Text that is left out of logs and of management answers.
    Secret,
    /// The name of a file or directory.
    Path,
    /// A port: 0 to 65535, or `amqp` or `amqps`.
    Port,
    /// A whole number between two bounds, both allowed.
    Integer {
        /// Smallest allowed value.
        min: i64,
        /// Largest allowed value.
        max: i64,
    },
    /// `yes`, `true`, `on`, `no`, `false` or `off`.
    Boolean,
    /// One of these tags.
    Enum(&'static [&'static str]),
    /// A list.
    List,
    /// A map.
    Map,
    /// A map whose keys are ASCII, because they become AMQP symbols.
    Properties,
}

impl Type {
    /// The name the management schema of the reference has for this type; enumerations list their tags.
    pub fn schema_name(self) -> &'static str {
        match self {
            Self::String | Self::Secret | Self::Port => "string",
            Self::Path => "path",
            Self::Integer { .. } => "integer",
            Self::Boolean => "boolean",
            Self::Enum(_) => "enum",
            Self::List => "list",
            Self::Map => "map",
            Self::Properties => "properties",
        }
    }

    /// What a user should write, in words: `a whole number from 1 to 32768`.
    pub fn expected(self) -> String {
        match self {
            Self::String | Self::Secret => "text".to_owned(),
            Self::Path => "the name of a file or directory".to_owned(),
            Self::Port => "a port: a number from 0 to 65535, `amqp` (5672) or `amqps` (5671)".to_owned(),
            Self::Integer { min: i64::MIN, max: i64::MAX } => "a whole number".to_owned(),
            Self::Integer { min, max } => format!("a whole number from {min} to {max}"),
            Self::Boolean => "yes or no (or true, false, on, off)".to_owned(),
            Self::Enum(tags) => {
                let tags: Vec<_> = tags.iter().map(|tag| format!("`{tag}`")).collect();
                match tags.split_last() {
                    Some((last, rest)) if !rest.is_empty() => {
                        format!("one of {} or {last}", rest.join(", "))
                    }
                    _ => tags.join(""),
                }
            }
            Self::List => "a list".to_owned(),
            Self::Map => "a map".to_owned(),
            Self::Properties => "a map with ASCII names".to_owned(),
        }
    }

    /// Converts what a user wrote. Numbers and truth values may come as text, as in the reference.
    ///
    /// # Errors
    /// A sentence that says what was expected and what was found instead, with the nearest tag of an enumeration.
    pub fn convert(self, value: Value) -> Result<Value, String> {
        let converted = match (self, &value) {
            (_, Value::Null) => Some(Value::Null),
            (Self::String | Self::Path | Self::Secret, Value::String(_)) => Some(value.clone()),
            (Self::String | Self::Path | Self::Secret, Value::Bool(_) | Value::Integer(_) | Value::Float(_)) => {
                Some(Value::String(value.to_string()))
            }
            (Self::Port, Value::String(text)) => parse_port(text).map(|_| Value::String(text.trim().to_owned())),
            (Self::Port, Value::Integer(number)) => {
                u16::try_from(*number).ok().map(|port| Value::String(port.to_string()))
            }
            (Self::Integer { min, max }, Value::Integer(number)) => in_range(*number, min, max),
            (Self::Integer { min, max }, Value::String(text)) => {
                text.trim().parse().ok().and_then(|number| in_range(number, min, max))
            }
            (Self::Boolean, Value::Bool(_)) => Some(value.clone()),
            (Self::Boolean, Value::Integer(number @ (0 | 1))) => Some(Value::Bool(*number == 1)),
            (Self::Boolean, Value::String(text)) => parse_bool(text).map(Value::Bool),
            (Self::Enum(tags), Value::String(text)) => match tags.contains(&text.as_str()) {
                true => Some(value.clone()),
                // The reference also takes the place of a tag in the list.
                false => text.parse().ok().and_then(|place: usize| tags.get(place)).map(|tag| (*tag).into()),
            },
            (Self::Enum(tags), Value::Integer(place)) => {
                usize::try_from(*place).ok().and_then(|place| tags.get(place)).map(|tag| (*tag).into())
            }
            (Self::List, Value::List(_)) | (Self::Map, Value::Map(_)) => Some(value.clone()),
            (Self::Properties, Value::Map(entries)) => {
                entries.iter().all(|(key, _)| key.is_ascii()).then(|| value.clone())
            }
            _ => None,
        };
        converted.ok_or_else(|| {
            let found = if self == Self::Secret { "something else".to_owned() } else { value.describe() };
            let mut message = format!("expected {}, found {found}", self.expected());
            if let (Self::Enum(tags), Value::String(text)) = (self, &value)
                && let Some(near) = nearest(text, tags.iter().copied())
            {
                message.push_str(&format!("; did you mean `{near}`?"));
            }
            message
        })
    }
}

fn in_range(number: i64, min: i64, max: i64) -> Option<Value> {
    (min..=max).contains(&number).then_some(Value::Integer(number))
}

/// Reads a truth value as the reference does: yes, true, on, no, false, off, in any case.
pub fn parse_bool(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" => Some(true),
        "no" | "false" | "off" => Some(false),
        _ => None,
    }
}

/// Reads a port: a number, or one of the two names that IANA gave to AMQP.
pub fn parse_port(text: &str) -> Option<u16> {
    match text.trim() {
        "amqp" => Some(5672),
        "amqps" => Some(5671),
        // `u16::from_str` would also take "+80".
        digits if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok(),
        _ => None,
    }
}

/// The candidate that a typing mistake was most likely meant to be, if any is close.
pub fn nearest<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Edit distance costs the product of the lengths; nobody mistypes a name of 60 characters into a longer one.
    if written.is_empty() || written.len() > 60 {
        return None;
    }
    let written = written.to_ascii_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&written, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(written.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A Rust type that an attribute can have in the typed entities.
///
/// The table calls these; everybody else uses the typed structs.
pub trait AttributeType: Sized + Default {
    /// The type as the table shows it.
    const TYPE: Type;

    /// Takes a value that [`Type::convert`] made; `None` if it is of another type.
    fn from_value(value: &Value) -> Option<Self>;

    /// The value for the generic record.
    fn to_value(&self) -> Value;
}

impl AttributeType for String {
    const TYPE: Type = Type::String;

    fn from_value(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }

    fn to_value(&self) -> Value {
        Value::String(self.clone())
    }
}

impl AttributeType for PathBuf {
    const TYPE: Type = Type::Path;

    fn from_value(value: &Value) -> Option<Self> {
        value.as_str().map(Self::from)
    }

    fn to_value(&self) -> Value {
        Value::String(self.to_string_lossy().into_owned())
    }
}

impl AttributeType for bool {
    const TYPE: Type = Type::Boolean;

    fn from_value(value: &Value) -> Option<Self> {
        value.as_bool()
    }

    fn to_value(&self) -> Value {
        Value::Bool(*self)
    }
}

macro_rules! integers {
    ($($rust:ty: $min:expr, $max:expr;)*) => {
        $(impl AttributeType for $rust {
            const TYPE: Type = Type::Integer { min: $min, max: $max };

            fn from_value(value: &Value) -> Option<Self> {
                value.as_integer().and_then(|number| Self::try_from(number).ok())
            }

            fn to_value(&self) -> Value {
                Value::Integer((*self).into())
            }
        })*
    };
}

integers! {
    i64: i64::MIN, i64::MAX;
    u32: 0, u32::MAX as i64;
    i32: i32::MIN as i64, i32::MAX as i64;
    u8: 0, u8::MAX as i64;
}

impl<T: AttributeType> AttributeType for Option<T> {
    const TYPE: Type = T::TYPE;

    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            set => T::from_value(set).map(Some),
        }
    }

    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::to_value)
    }
}

/// A port as it was written, and its number.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Port {
    text: String,
    number: u16,
}

impl Port {
    /// The number; 0 asks for an ephemeral port.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// The text as it was written: `amqp` or `5672`.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl AttributeType for Port {
    const TYPE: Type = Type::Port;

    fn from_value(value: &Value) -> Option<Self> {
        let text = value.as_str()?;
        parse_port(text).map(|number| Self { text: text.to_owned(), number })
    }

    fn to_value(&self) -> Value {
        Value::String(self.text.clone())
    }
}

/// Text that never shows in logs.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text. Not for logs.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

impl AttributeType for Secret {
    const TYPE: Type = Type::Secret;

    fn from_value(value: &Value) -> Option<Self> {
        value.as_str().map(|text| Self(text.to_owned()))
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.clone())
    }
}

/// A map of the configuration, in the order in which it was written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Map(pub Vec<(String, Value)>);

/// A map whose keys are ASCII, because they become AMQP symbols.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Properties(pub Vec<(String, Value)>);

/// A list of the configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct List(pub Vec<Value>);

macro_rules! collections {
    ($($name:ident = $variant:ident as $kind:ident;)*) => {
        $(impl AttributeType for $name {
            const TYPE: Type = Type::$kind;

            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    Value::$variant(content) => Some(Self(content.clone())),
                    _ => None,
                }
            }

            fn to_value(&self) -> Value {
                Value::$variant(self.0.clone())
            }
        })*
    };
}

collections! {
    Map = Map as Map;
    Properties = Map as Properties;
    List = List as List;
}

/// Defines an enumeration whose tags are written as in the table.
macro_rules! tags {
    ($($(#[doc = $doc:literal])* $name:ident { $($(#[doc = $vdoc:literal])* $variant:ident = $tag:literal,)* })*) => {
        $(
            $(#[doc = $doc])*
            #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub enum $name {
                #[default]
                $($(#[doc = $vdoc])* $variant,)*
            }

            impl $name {
                /// All tags, in the order of the schema.
                pub const TAGS: &'static [&'static str] = &[$($tag),*];
                /// All values, in the order of the schema.
                pub const ALL: &'static [Self] = &[$(Self::$variant),*];

                /// The tag, as it is written in files.
                pub const fn as_str(self) -> &'static str {
                    match self {
                        $(Self::$variant => $tag,)*
                    }
                }

                /// The value that a tag stands for.
                pub fn from_tag(tag: &str) -> Option<Self> {
                    match tag {
                        $($tag => Some(Self::$variant),)*
                        _ => None,
                    }
                }
            }

            impl ::std::fmt::Display for $name {
                fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                    f.pad(self.as_str())
                }
            }

            impl $crate::entity::AttributeType for $name {
                const TYPE: $crate::entity::Type = $crate::entity::Type::Enum(Self::TAGS);

                fn from_value(value: &$crate::entity::Value) -> Option<Self> {
                    value.as_str().and_then(Self::from_tag)
                }

                fn to_value(&self) -> $crate::entity::Value {
                    self.as_str().into()
                }
            }
        )*
    };
}
pub(crate) use tags;
