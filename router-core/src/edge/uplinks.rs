//! The connections of an edge router to interior routers: which is in use, and its links.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

/// What the edge is on a link for one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// It receives, for consumers here.
    In,
    /// It sends, for producers here.
    Out,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UplinkOutput {
    /// Attach the links that every connection in use has.
    Activate {
        /// The connection.
        conn: u64,
    },
    /// Detach all links but those of streams.
    Retire {
        /// The connection.
        conn: u64,
    },
    /// Attach a link for one address.
    Attach {
        /// The connection.
        conn: u64,
        /// The address's lookup key.
        key: Arc<str>,
        /// What we are on it.
        direction: Direction,
    },
    /// Detach it.
    Detach {
        /// The connection.
        conn: u64,
        /// The address's lookup key.
        key: Arc<str>,
        /// What we are on it.
        direction: Direction,
    },
    /// Whether the address has destinations elsewhere.
    Bind {
        /// The address's lookup key.
        key: Arc<str>,
        /// True if it has.
        bound: bool,
    },
}

/// An edge router's uplinks.
#[derive(Debug, Default)]
pub struct Uplinks {
    /// Open connections with their ordinals, in the order in which they were opened.
    open: Vec<(u64, u64)>,
    active: Option<u64>,
    /// Addresses with consumers here.
    here: BTreeSet<Arc<str>>,
    /// Those with producers or watches, and on which workers.
    wanted: BTreeMap<Arc<str>, BTreeSet<u16>>,
    /// Those that have destinations elsewhere, as the other end says.
    bound: BTreeSet<Arc<str>>,
    /// Links that the other end refused or took away. They are tried again on another connection, or when they were not needed meanwhile.
    refused: BTreeSet<(Direction, Arc<str>)>,
    output: VecDeque<UplinkOutput>,
}

impl Uplinks {
    /// Without connections.
    pub fn new() -> Self {
        Self::default()
    }

    /// The connection in use.
    pub const fn active(&self) -> Option<u64> {
        self.active
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<UplinkOutput> {
        self.output.pop_front()
    }

    /// A connection to an interior router was opened. The first one is used, and one with newer credentials (a higher ordinal) than the
    /// one in use.
    pub fn opened(&mut self, conn: u64, ordinal: u64) {
        self.open.push((conn, ordinal));
        match self.active.and_then(|active| self.ordinal(active)) {
            Some(used) if used >= ordinal => {}
            _ => self.switch(Some(conn)),
        }
    }

    /// A connection is gone. If it was in use, another one is used at once: the first that was opened of those with the highest ordinal.
    pub fn closed(&mut self, conn: u64) {
        self.open.retain(|(open, _)| *open != conn);
        if self.active == Some(conn) {
            self.active = None;
            let best = self.open.iter().rev().max_by_key(|(_, ordinal)| *ordinal).map(|(conn, _)| *conn);
            self.switch(best);
        }
    }

    /// An address got its first consumer here, or lost its last.
    pub fn consumers(&mut self, key: Arc<str>, here: bool) {
        let changed = if here { self.here.insert(Arc::clone(&key)) } else { self.here.remove(&key) };
        if changed {
            self.needed(key, Direction::In, here);
        }
    }

    /// An address got its first producer or watch on a worker, or lost its last there.
    pub fn producers(&mut self, key: Arc<str>, worker: u16, here: bool) {
        let workers = self.wanted.entry(Arc::clone(&key)).or_default();
        let before = !workers.is_empty();
        if here {
            workers.insert(worker);
        } else {
            workers.remove(&worker);
        }
        let after = !workers.is_empty();
        if !after {
            self.wanted.remove(&key);
        }
        if before != after {
            self.needed(key, Direction::Out, after);
        }
    }

    /// The interior router says whether an address that we send to has destinations. What it says of others, or on connections that are
    /// not in use, is late and does not count.
    pub fn tracked(&mut self, conn: u64, key: &Arc<str>, reachable: bool) {
        let refused = self.refused.contains(&(Direction::Out, Arc::clone(key)));
        if self.active == Some(conn) && self.wanted.contains_key(key) && !refused {
            self.bind(key, reachable);
        }
    }

    /// The other end refused or detached a link for one address.
    pub fn refused(&mut self, conn: u64, key: Arc<str>, direction: Direction) {
        if self.active != Some(conn) || !self.is_needed(&key, direction) {
            return;
        }
        if direction == Direction::Out {
            self.bind(&key, false);
        }
        self.refused.insert((direction, key));
    }

    fn ordinal(&self, conn: u64) -> Option<u64> {
        self.open.iter().find(|(open, _)| *open == conn).map(|(_, ordinal)| *ordinal)
    }

    fn is_needed(&self, key: &Arc<str>, direction: Direction) -> bool {
        match direction {
            Direction::In => self.here.contains(key),
            Direction::Out => self.wanted.contains_key(key),
        }
    }

    fn bind(&mut self, key: &Arc<str>, bound: bool) {
        let changed = if bound { self.bound.insert(Arc::clone(key)) } else { self.bound.remove(key) };
        if changed {
            self.output.push_back(UplinkOutput::Bind { key: Arc::clone(key), bound });
        }
    }

    fn needed(&mut self, key: Arc<str>, direction: Direction, needed: bool) {
        if !needed && direction == Direction::Out {
            self.bind(&key, false);
        }
        let refused = !needed && self.refused.remove(&(direction, Arc::clone(&key)));
        let Some(conn) = self.active.filter(|_| !refused) else { return };
        self.output.push_back(if needed {
            UplinkOutput::Attach { conn, key, direction }
        } else {
            UplinkOutput::Detach { conn, key, direction }
        });
    }

    fn switch(&mut self, to: Option<u64>) {
        // What the new one can reach is not known before it says so.
        for key in std::mem::take(&mut self.bound) {
            self.output.push_back(UplinkOutput::Bind { key, bound: false });
        }
        self.refused.clear();
        if let Some(conn) = self.active.take() {
            self.output.push_back(UplinkOutput::Retire { conn });
        }
        self.active = to;
        let Some(conn) = to else { return };
        self.output.push_back(UplinkOutput::Activate { conn });
        let attach = |key: &Arc<str>, direction| UplinkOutput::Attach { conn, key: Arc::clone(key), direction };
        self.output.extend(self.here.iter().map(|key| attach(key, Direction::In)));
        self.output.extend(self.wanted.keys().map(|key| attach(key, Direction::Out)));
    }
}
