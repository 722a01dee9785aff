//! Names of sessions and links within a connection.

use std::fmt;

use crate::performative::Role;

/// A session of a connection. Stale ids are harmless: commands on them do nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId {
    pub(crate) index: u16,
    pub(crate) generation: u16,
}

/// A link of a connection. Stale ids are harmless: commands on them do nothing.
///
/// Fits 32 bits: what we are on the link, 11 bits that change whenever the index is used again, 20 bits of index.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(u32);

/// Links that one connection can have at most.
pub(crate) const MAX_LINKS: usize = 1 << 20;

impl LinkId {
    pub(crate) fn new(index: usize, generation: u32, role: Role) -> Self {
        let sender = u32::from(role == Role::Sender) << 31;
        Self(sender | ((generation & 0x7ff) << 20) | (index as u32 & 0xf_ffff))
    }

    /// What we are on the link. Known even when the link is gone.
    pub fn role(self) -> Role {
        if self.0 >> 31 == 1 { Role::Sender } else { Role::Receiver }
    }

    /// Position of the link on its connection, which is used again when it is gone. Small: at most the links there are at a time.
    pub fn index(self) -> usize {
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
        write!(f, "link {}.{}", self.index(), (self.0 >> 20) & 0x7ff)
    }
}
