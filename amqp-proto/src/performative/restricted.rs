//! Restricted types (§1.5): primitives that allow certain values only.

macro_rules! restricted {
    ($(
        $(#[$meta:meta])*
        $name:ident: $base:ty, $what:literal { $( $(#[$vmeta:meta])* $variant:ident = $value:literal ),* $(,)? }
    )*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $( $(#[$vmeta])* $variant, )*
        }

        impl $name {
            /// The value on the wire.
            pub const fn value(self) -> $base {
                match self { $( Self::$variant => $value, )* }
            }

            /// The variant of a value.
            pub const fn from_value(value: $base) -> Option<Self> {
                match value {
                    $( $value => Some(Self::$variant), )*
                    #[allow(unreachable_patterns, reason = "a boolean has no other value")]
                    _ => None,
                }
            }
        }

        impl $crate::Decode for $name {
            #[inline]
            fn decode(reader: &mut $crate::Reader<'_>) -> Result<Self, $crate::DecodeError> {
                let at = reader.pos();
                let value = <$base as $crate::Decode>::decode(reader)?;
                Self::from_value(value).ok_or($crate::DecodeError::InvalidValue { at, expected: $what })
            }
        }

        impl $crate::Encode for $name {
            #[inline]
            fn encoded_len(&self) -> usize {
                $crate::Encode::encoded_len(&self.value())
            }
            #[inline]
            fn encode<B: bytes::BufMut>(&self, out: &mut B) {
                $crate::Encode::encode(&self.value(), out);
            }
        }
    )*};
}
pub(crate) use restricted;

restricted! {
    /// Which end of a link (§2.8.1).
    Role: bool, "role" {
        /// The end that sends deliveries.
        Sender = false,
        /// The end that receives them.
        Receiver = true,
    }

    /// How the sender of a link settles (§2.8.2).
    SenderSettleMode: u8, "sender-settle-mode" {
        /// Sends everything unsettled.
        Unsettled = 0,
        /// Sends everything settled.
        Settled = 1,
        /// Decides per delivery.
        Mixed = 2,
    }

    /// How the receiver of a link settles (§2.8.3).
    ReceiverSettleMode: u8, "receiver-settle-mode" {
        /// Spontaneously.
        First = 0,
        /// After the sender has settled.
        Second = 1,
    }
}

impl Role {
    /// The other end.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Sender => Self::Receiver,
            Self::Receiver => Self::Sender,
        }
    }
}

impl Default for Role {
    /// Only to fill in a value before the real one is set.
    fn default() -> Self {
        Self::Sender
    }
}
