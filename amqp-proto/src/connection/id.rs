//! Names of sessions and links within a connection.

use std::fmt;

/// A session of a connection. Stale ids are harmless: commands on them do nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId {
    pub(crate) index: u16,
    pub(crate) generation: u16,
}

/// A link of a connection. Stale ids are harmless: commands on them do nothing.
///
/// Fits 32 bits: 20 bits of index, 12 bits that change whenever the index is used again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(u32);

/// Links that one connection can have at most.
pub(crate) const MAX_LINKS: usize = 1 << 20;

impl LinkId {
    pub(crate) fn new(index: usize, generation: u32) -> Self {
        Self(((generation & 0xfff) << 20) | (index as u32 & 0xf_ffff))
    }

    pub(crate) fn index(self) -> usize {
        (self.0 & 0xf_ffff) as usize
    }

    /// The id as a number, unique among the links that the connection has at a time.
    pub fn to_u32(self) -> u32 {
        self.0
    }

    /// Back from [`LinkId::to_u32`].
    pub fn from_u32(id: u32) -> Self {
        Self(id)
    }
}

impl SessionId {
    /// The id as a number; the lower half is our channel.
    pub fn to_u32(self) -> u32 {
        (u32::from(self.generation) << 16) | u32::from(self.index)
    }

    /// Back from [`SessionId::to_u32`].
    pub fn from_u32(id: u32) -> Self {
        Self { index: id as u16, generation: (id >> 16) as u16 }
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {}.{}", self.index, self.generation)
    }
}

impl fmt::Debug for LinkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "link {}.{}", self.index(), self.0 >> 20)
    }
}
