//! Strings and symbols as validated slices of the block they arrived in.

use std::{borrow::Borrow, fmt, hash};

use bytes::Bytes;

macro_rules! text {
    ($(#[$meta:meta])* $name:ident, $check:expr) => {
        $(#[$meta])*
        #[derive(Clone, Default)]
        pub struct $name(Bytes);

        impl $name {
            /// A constant. In a symbol every byte must be ASCII; the constants of this crate are.
            pub const fn from_static(text: &'static str) -> Self {
                Self(Bytes::from_static(text.as_bytes()))
            }

            /// Takes bytes that were checked; `None` if they are not valid.
            pub fn from_bytes(bytes: Bytes) -> Option<Self> {
                let check: fn(&[u8]) -> bool = $check;
                check(&bytes).then_some(Self(bytes))
            }

            /// The text. Validity is checked again (a scan at memory speed) because this crate has no `unsafe`.
            pub fn as_str(&self) -> &str {
                std::str::from_utf8(&self.0).unwrap_or_default()
            }

            /// The bytes, free of charge.
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }

            /// The bytes with their reference to the block.
            pub fn into_bytes(self) -> Bytes {
                self.0
            }

            /// Number of bytes.
            pub fn len(&self) -> usize {
                self.0.len()
            }

            /// True if there is no byte.
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }

            /// A copy that does not keep the block alive.
            pub fn detached(&self) -> Self {
                Self(Bytes::copy_from_slice(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.0 == other.0
            }
        }
        impl Eq for $name {}
        impl hash::Hash for $name {
            fn hash<H: hash::Hasher>(&self, state: &mut H) {
                // As `[u8]` does, so that `Borrow<[u8]>` holds.
                self.as_bytes().hash(state);
            }
        }
        impl Borrow<[u8]> for $name {
            fn borrow(&self) -> &[u8] {
                self.as_bytes()
            }
        }
        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }
        impl Ord for $name {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                self.0.cmp(&other.0)
            }
        }
        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                self.as_bytes() == other.as_bytes()
            }
        }
        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                self.as_bytes() == other.as_bytes()
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }
    };
}

text!(
    /// A `string` (§1.6.20): valid UTF-8, by reference.
    Str,

    |b| std::str::from_utf8(b).is_ok()
);
text!(
    /// A `symbol` (§1.6.21): ASCII, by reference.
    Symbol,

    |b| b.is_ascii()
);

impl From<&str> for Str {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}
impl From<String> for Str {
    fn from(text: String) -> Self {
        Self(Bytes::from(text))
    }
}
impl From<&str> for Symbol {
    /// Characters outside ASCII, which a symbol cannot have, become `?`.
    fn from(text: &str) -> Self {
        if text.is_ascii() {
            return Self(Bytes::copy_from_slice(text.as_bytes()));
        }
        Self(text.chars().map(|c| u8::try_from(c).ok().filter(u8::is_ascii).unwrap_or(b'?')).collect())
    }
}
