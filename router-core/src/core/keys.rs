//! The keys that adaptors hold.

use crate::core::slots::Key;

macro_rules! keys {
    ($($(#[$meta:meta])* $name:ident)*) => {$(
        $(#[$meta])*
        ///
        /// A slab index and a generation: a stale key finds nothing, so using one is harmless.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub(crate) Key);

        impl $name {
            /// Finds nothing, ever. Its number is not 0.
            pub const NONE: Self = Self(Key::NONE);

            /// As a number, to be kept as the token of a link or delivery. Never 0.
            pub const fn to_raw(self) -> u64 {
                self.0.to_raw()
            }

            /// From such a number.
            pub const fn from_raw(raw: u64) -> Self {
                Self(Key::from_raw(raw))
            }
        }
    )*};
}

keys! {
    /// A connection of an adaptor.
    ConnKey
    /// A link on which deliveries come in.
    InletKey
    /// A link on which deliveries go out.
    OutletKey
    /// An unsettled delivery, in the hands of its sender's link.
    InKey
    /// An unsettled delivery, in the hands of its receiver's link.
    OutKey
    /// A server (TCP, HTTP) of an address.
    ServerKey
    /// Somebody who wants to know whether an address can be reached.
    WatchKey
}
