//! The connections of an edge router to interior routers, and to other edge routers of its mesh: which are in use, and their links.

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

/// A connection to an interior router, or to another edge router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uplink {
    /// The connection.
    pub conn: u64,
    /// How new its credentials are.
    pub ordinal: u64,
    /// The id of the router at the other end.
    pub router: Arc<str>,
    /// That is a router of this make.
    pub ours: bool,
    /// It is an edge router of the same mesh.
    pub peer: bool,
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
    /// Whether the address has destinations that are reached over a connection, as far as that is known.
    Bind {
        /// The connection.
        conn: u64,
        /// The address's lookup key.
        key: Arc<str>,
        /// True if it has.
        bound: bool,
    },
}

/// An edge router's uplinks.
///
/// One is in use while the others stand by, or, if so configured, one to each interior router of this make at once. Each of those has the
/// links of all addresses, so that the loss of one needs nothing to be done. Only consumers of multicast addresses are told to one
/// interior router alone, or they would get a copy from each.
///
/// Of the connections to another edge router of the mesh one is used, for whatever consumers here want; what is sent there is for that router
/// to ask for.
#[derive(Debug, Default)]
pub struct Uplinks {
    all: bool,
    /// In the order in which they were opened.
    open: Vec<Uplink>,
    /// Those in use, in the order in which they came to be.
    used: Vec<u64>,
    /// Addresses with consumers here, and whether each of these gets a copy.
    here: BTreeMap<Arc<str>, bool>,
    /// Those with producers or watches, and on which workers.
    wanted: BTreeMap<Arc<str>, BTreeSet<u16>>,
    /// Whether they have destinations elsewhere, as the other end of a connection says.
    told: BTreeMap<(u64, Arc<str>), bool>,
    /// Connections in use whose links are attached.
    ready: BTreeSet<u64>,
    /// Some of those in use are only so until one with newer credentials can do the same.
    bridged: bool,
    /// Links that the other end refused or took away. They are tried again on another connection, or when they were not needed meanwhile.
    refused: BTreeSet<(u64, Direction, Arc<str>)>,
    output: VecDeque<UplinkOutput>,
}

impl Uplinks {
    /// Without connections. `all`: use all that lead to routers of this make.
    pub fn new(all: bool) -> Self {
        Self { all, ..Self::default() }
    }

    /// Whether an open connection leads to another edge router.
    pub fn is_peer(&self, conn: u64) -> bool {
        self.open.iter().any(|open| open.conn == conn && open.peer)
    }

    /// The connections in use.
    pub fn used(&self) -> &[u64] {
        &self.used
    }

    /// What is to be done next.
    pub fn poll_output(&mut self) -> Option<UplinkOutput> {
        self.output.pop_front()
    }

    /// A connection was opened. The first one to an interior router is used, and one with newer credentials (a higher ordinal) than the
    /// one in use, which is given up when the new one can do the same; and with `all` those to other routers of this make.
    pub fn opened(&mut self, uplink: Uplink) {
        let first = self.first();
        self.open.push(uplink);
        self.choose(first);
    }

    /// A connection is gone. If it was the only one in use, another one is used at once: the first that was opened of those with the highest
    /// ordinal.
    pub fn closed(&mut self, conn: u64) {
        let first = self.first();
        self.open.retain(|open| open.conn != conn);
        self.choose(first);
    }

    /// All links of a connection that was asked for some are attached.
    pub fn ready(&mut self, conn: u64) {
        if self.used.contains(&conn) && self.ready.insert(conn) {
            self.choose_if_bridged();
        }
    }

    /// An address got its first consumer here, or lost its last. `copies`: each of them gets a copy.
    pub fn consumers(&mut self, key: Arc<str>, here: bool, copies: bool) {
        let before = if here { self.here.insert(Arc::clone(&key), copies) } else { self.here.remove(&key) };
        if here && before == Some(copies) {
            return;
        }
        if let Some(copies) = before {
            self.needed(&key, (Direction::In, copies), false);
        }
        if here {
            self.needed(&key, (Direction::In, copies), true);
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
            self.needed(&key, (Direction::Out, false), after);
        }
    }

    /// The interior router says whether an address that we send to has destinations. What it says of others, or on connections that are
    /// not in use, is late and does not count.
    pub fn tracked(&mut self, conn: u64, key: &Arc<str>, reachable: bool) {
        let refused = self.refused.contains(&(conn, Direction::Out, Arc::clone(key)));
        if !self.has_link(conn, key, Direction::Out) || refused {
            return;
        }
        if self.told.insert((conn, Arc::clone(key)), reachable) != Some(reachable) {
            self.output.push_back(UplinkOutput::Bind { conn, key: Arc::clone(key), bound: reachable });
            self.choose_if_bridged();
        }
    }

    /// The other end refused or detached a link for one address.
    pub fn refused(&mut self, conn: u64, key: Arc<str>, direction: Direction) {
        if !self.has_link(conn, &key, direction) {
            return;
        }
        if direction == Direction::Out {
            self.unbind(conn, &key);
        }
        self.refused.insert((conn, direction, key));
        self.choose_if_bridged();
    }

    /// Whether a connection should have a link.
    fn has_link(&self, conn: u64, key: &Arc<str>, direction: Direction) -> bool {
        let copies = match direction {
            Direction::In => self.here.get(key).copied(),
            Direction::Out => self.wanted.contains_key(key).then_some(false),
        };
        self.used.contains(&conn) && copies.is_some_and(|copies| self.carries(conn, direction, copies))
    }

    /// Whether a connection in use has links for addresses. `copies`: of multicast addresses.
    fn carries(&self, conn: u64, direction: Direction, copies: bool) -> bool {
        match (self.is_peer(conn), direction) {
            (peer, Direction::In) => peer || !copies || self.first() == Some(conn),
            (peer, Direction::Out) => !peer,
        }
    }

    /// The first uplink in use.
    fn first(&self) -> Option<u64> {
        self.used.iter().copied().find(|conn| !self.is_peer(*conn))
    }

    /// What was told about an address does not count any more.
    fn unbind(&mut self, conn: u64, key: &Arc<str>) {
        if self.told.remove(&(conn, Arc::clone(key))) == Some(true) {
            self.output.push_back(UplinkOutput::Bind { conn, key: Arc::clone(key), bound: false });
        }
    }

    /// Links for an address are needed, or not any more.
    fn needed(&mut self, key: &Arc<str>, (direction, copies): (Direction, bool), needed: bool) {
        let on = self.used.iter().copied().filter(|conn| self.carries(*conn, direction, copies));
        for conn in on.collect::<Vec<_>>() {
            if needed {
                self.attach(conn, key, direction);
                continue;
            }
            if direction == Direction::Out {
                self.unbind(conn, key);
            }
            if !self.refused.remove(&(conn, direction, Arc::clone(key))) {
                self.output.push_back(UplinkOutput::Detach { conn, key: Arc::clone(key), direction });
            }
        }
    }

    fn attach(&mut self, conn: u64, key: &Arc<str>, direction: Direction) {
        self.output.push_back(UplinkOutput::Attach { conn, key: Arc::clone(key), direction });
    }

    /// The connections that should be in use.
    fn best(&self) -> Vec<u64> {
        let (peers, up): (Vec<&Uplink>, Vec<&Uplink>) = self.open.iter().partition(|open| open.peer);
        let ours: Vec<&Uplink> = up.iter().copied().filter(|open| self.all && open.ours).collect();
        let mut best = if ours.is_empty() {
            // What the reference's routers tell each other does not keep copies from coming twice.
            self.newest(up).into_iter().collect()
        } else {
            self.newest_to_each(&ours)
        };
        best.extend(self.newest_to_each(&peers));
        best
    }

    /// One connection to each router.
    fn newest_to_each(&self, of: &[&Uplink]) -> Vec<u64> {
        let routers: BTreeSet<&Arc<str>> = of.iter().map(|open| &open.router).collect();
        let to = |router: &Arc<str>| of.iter().filter(|open| open.router == *router).copied().collect();
        routers.into_iter().filter_map(|router| self.newest(to(router))).collect()
    }

    /// Of several connections the one with the newest credentials: the one in use, or the one that was opened first.
    fn newest(&self, of: Vec<&Uplink>) -> Option<u64> {
        let ordinal = of.iter().map(|open| open.ordinal).max()?;
        let newest = || of.iter().filter(|open| open.ordinal == ordinal).map(|open| open.conn);
        newest().find(|conn| self.used.contains(conn)).or_else(|| newest().next())
    }

    fn choose_if_bridged(&mut self) {
        if self.bridged {
            self.choose(self.first());
        }
    }

    /// Whether a connection that should not be in use has to be until one of `best` can do the same that has newer credentials for the same
    /// router, or, where one uplink is enough, for another.
    fn bridges(&self, conn: u64, best: &[u64]) -> bool {
        let find = |conn: u64| self.open.iter().find(|open| open.conn == conn);
        let Some(old) = find(conn).filter(|old| !old.peer) else { return false };
        let newer = |new: &&Uplink| {
            !new.peer && new.ordinal > old.ordinal && (new.router == old.router || !self.all || !new.ours)
        };
        let next = best.iter().filter_map(|conn| find(*conn)).find(newer);
        next.is_some_and(|next| !self.ready.contains(&next.conn) || !self.knows_all(next.conn, conn))
    }

    /// Whether it was told over a connection of every address that can be reached over another.
    fn knows_all(&self, conn: u64, other: u64) -> bool {
        let mut reachable = self.told.iter().filter(|((of, _), reachable)| *of == other && **reachable);
        reachable.all(|((_, key), _)| {
            let (told, refused) = ((conn, Arc::clone(key)), (conn, Direction::Out, Arc::clone(key)));
            self.told.contains_key(&told) || self.refused.contains(&refused)
        })
    }

    /// Uses the connections that should be in use, and no others. `first`: the uplink that had the links for copies.
    fn choose(&mut self, first: Option<u64>) {
        let best = self.best();
        let (keep, leave): (Vec<u64>, Vec<u64>) =
            self.used.iter().copied().partition(|conn| best.contains(conn) || self.bridges(*conn, &best));
        self.bridged = keep.iter().any(|conn| !best.contains(conn));
        self.used = keep;
        self.ready.retain(|conn| self.used.contains(conn));
        for conn in leave {
            self.leave(conn);
        }
        let here: Vec<(Arc<str>, bool)> = self.here.iter().map(|(key, copies)| (Arc::clone(key), *copies)).collect();
        if let Some(next) = self.first().filter(|next| first != Some(*next)) {
            for (key, _) in here.iter().filter(|(_, copies)| *copies) {
                self.attach(next, key, Direction::In);
            }
        }
        for conn in best {
            if self.used.contains(&conn) {
                continue;
            }
            self.used.push(conn);
            self.output.push_back(UplinkOutput::Activate { conn });
            for (key, copies) in &here {
                if self.carries(conn, Direction::In, *copies) {
                    self.attach(conn, key, Direction::In);
                }
            }
            if self.carries(conn, Direction::Out, false) {
                for key in self.wanted.keys().cloned().collect::<Vec<_>>() {
                    self.attach(conn, &key, Direction::Out);
                }
            }
        }
    }

    /// A connection is not in use any more. What another can reach is not known before it says so.
    fn leave(&mut self, conn: u64) {
        let told = self.told.keys().filter(|(of, _)| *of == conn).map(|(_, key)| Arc::clone(key));
        for key in told.collect::<Vec<_>>() {
            self.unbind(conn, &key);
        }
        self.refused.retain(|(of, ..)| *of != conn);
        if self.open.iter().any(|open| open.conn == conn) {
            self.output.push_back(UplinkOutput::Retire { conn });
        }
    }
}
