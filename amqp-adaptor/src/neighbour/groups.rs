//! Connections of one connector belong together: one for control, several for data. When a connector gets new credentials, its new
//! connections (of a higher ordinal) take the place of the old ones, on which streams go on.

use std::collections::BTreeMap;

use super::NeighbourConn;

/// Which group: the correlator of the connecting side, and who that is. A peer has no say in the groups of another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum GroupKey {
    /// Of a connector of ours.
    Ours(String),
    /// Of this router's.
    Theirs(String, String),
}

impl GroupKey {
    pub(crate) fn correlator(&self) -> &str {
        match self {
            Self::Ours(correlator) | Self::Theirs(_, correlator) => correlator,
        }
    }
}

/// One connection of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) conn: NeighbourConn,
    pub(crate) ordinal: u64,
    /// The router at the other end.
    pub(crate) container: String,
}

#[derive(Debug, Default)]
struct Group {
    active: Option<Member>,
    /// Will be active when its links are attached.
    pending: Option<Member>,
    data: Vec<Member>,
}

/// All groups of a router. Control-plane state, behind a lock that no traffic takes.
#[derive(Debug, Default)]
pub(crate) struct Groups(BTreeMap<GroupKey, Group>);

/// Connections of older credentials that others took the place of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Replaced {
    pub(crate) control: NeighbourConn,
    pub(crate) data: Vec<NeighbourConn>,
    /// They lead to the same router.
    pub(crate) same_router: bool,
}

/// What becomes of a connection for control.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// It is the one, or will be when its links are attached; what it displaces is to be closed.
    Welcome { displaced: Vec<NeighbourConn> },
    /// It is to be closed.
    Outdated { ordinal: u64 },
}

impl Groups {
    /// A connection for control was opened.
    ///
    /// One of a lower ordinal is outdated. One of the same ordinal means that its connector has lost the connection that is active here,
    /// even if we have not noticed: waiting for that would keep the neighbours apart until the idle timeout.
    pub(crate) fn control_opened(&mut self, key: &GroupKey, member: Member) -> Admission {
        let group = self.0.entry(key.clone()).or_default();
        let newest = group.pending.as_ref().or(group.active.as_ref()).map(|m| m.ordinal);
        if let Some(ordinal) = newest.filter(|newest| *newest > member.ordinal) {
            return Admission::Outdated { ordinal };
        }
        let displaced = group.pending.take().map(|m| m.conn).into_iter();
        let dead = group.active.take_if(|active| active.ordinal == member.ordinal).map(|m| m.conn);
        let displaced = displaced.chain(dead).collect();
        if group.active.is_some() {
            group.pending = Some(member)
        } else {
            group.active = Some(member)
        }
        Admission::Welcome { displaced }
    }

    /// Whether a connection is there to take the place of another.
    pub(crate) fn is_pending(&self, key: &GroupKey, conn: NeighbourConn) -> bool {
        self.0.get(key).and_then(|group| group.pending.as_ref()).is_some_and(|pending| pending.conn == conn)
    }

    /// A connection for control is ready. Answers those that it takes the place of.
    pub(crate) fn control_ready(&mut self, key: &GroupKey, conn: NeighbourConn) -> Option<Replaced> {
        let group = self.0.get_mut(key)?;
        let member = group.pending.take_if(|pending| pending.conn == conn)?;
        let (ordinal, container) = (member.ordinal, member.container.clone());
        let old = group.active.replace(member)?;
        let data = group.data.iter().filter(|m| m.ordinal < ordinal).map(|m| m.conn).collect();
        Some(Replaced { control: old.conn, data, same_router: old.container == container })
    }

    /// A connection for data was opened. Fails with the container that the group's connection for control leads to, if that is another.
    pub(crate) fn data_opened(&mut self, key: &GroupKey, member: Member) -> Result<(), String> {
        let group = self.0.entry(key.clone()).or_default();
        let control = [&group.active, &group.pending].into_iter().flatten().find(|m| m.ordinal == member.ordinal);
        if let Some(control) = control.filter(|control| control.container != member.container) {
            return Err(control.container.clone());
        }
        group.data.push(member);
        Ok(())
    }

    /// A connection is gone.
    pub(crate) fn closed(&mut self, key: &GroupKey, conn: NeighbourConn) {
        let Some(group) = self.0.get_mut(key) else { return };
        group.active.take_if(|m| m.conn == conn);
        group.pending.take_if(|m| m.conn == conn);
        if group.active.is_none() {
            group.active = group.pending.take();
        }
        group.data.retain(|m| m.conn != conn);
        if group.active.is_none() && group.data.is_empty() {
            self.0.remove(key);
        }
    }

    /// The active connections for control that lead to a router, each with those for data that go with it.
    pub(crate) fn leading_to(&self, container: &str) -> impl Iterator<Item = (NeighbourConn, Vec<NeighbourConn>)> {
        self.0.values().filter_map(move |group| {
            let active = group.active.as_ref().filter(|active| active.container == container)?;
            let fits = |m: &&Member| m.ordinal == active.ordinal && m.container == active.container;
            Some((active.conn, group.data.iter().filter(fits).map(|m| m.conn).collect()))
        })
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conn(id: u64) -> NeighbourConn {
        NeighbourConn { worker: 0, slot: 0, id }
    }

    fn member(id: u64, ordinal: u64) -> Member {
        Member { conn: conn(id), ordinal, container: "B".into() }
    }

    fn members(groups: &Groups) -> Option<(NeighbourConn, Vec<NeighbourConn>)> {
        let mut all = groups.leading_to("B");
        let first = all.next();
        assert!(all.next().is_none());
        first
    }

    fn welcome(displaced: &[u64]) -> Admission {
        Admission::Welcome { displaced: displaced.iter().map(|id| conn(*id)).collect() }
    }

    #[test]
    fn a_higher_ordinal_takes_over_when_it_is_ready() {
        let (mut groups, key) = (Groups::default(), GroupKey::Ours("c".into()));
        assert_eq!(groups.control_opened(&key, member(1, 0)), welcome(&[]));
        assert_eq!(groups.control_ready(&key, conn(1)), None);
        groups.data_opened(&key, member(2, 0)).unwrap();
        groups.data_opened(&key, member(4, 1)).unwrap();
        assert_eq!(groups.control_opened(&key, member(3, 1)), welcome(&[]));
        assert_eq!(members(&groups), Some((conn(1), vec![conn(2)])));
        assert!(groups.is_pending(&key, conn(3)) && !groups.is_pending(&key, conn(1)));
        let replaced = Replaced { control: conn(1), data: vec![conn(2)], same_router: true };
        assert_eq!(groups.control_ready(&key, conn(3)), Some(replaced));
        assert_eq!(members(&groups), Some((conn(3), vec![conn(4)])));
        // The old one is not of interest any more, and nothing older is taken.
        groups.closed(&key, conn(1));
        assert_eq!(groups.control_opened(&key, member(5, 0)), Admission::Outdated { ordinal: 1 });
        for id in 2..5 {
            groups.closed(&key, conn(id));
        }
        assert!(groups.is_empty());
    }

    #[test]
    fn a_connection_made_anew_displaces_the_one_that_was_lost() {
        let (mut groups, key) = (Groups::default(), GroupKey::Theirs("B".into(), "c".into()));
        groups.control_opened(&key, member(1, 3));
        assert_eq!(groups.control_opened(&key, member(2, 3)), welcome(&[1]));
        groups.closed(&key, conn(1));
        assert_eq!(members(&groups), Some((conn(2), vec![])));
        // One that was pending, too.
        assert_eq!(groups.control_opened(&key, member(3, 4)), welcome(&[]));
        assert_eq!(groups.control_opened(&key, member(4, 4)), welcome(&[3]));
        groups.closed(&key, conn(2));
        assert_eq!(members(&groups), Some((conn(4), vec![])));
        assert_eq!(groups.control_ready(&key, conn(4)), None);
    }

    #[test]
    fn a_group_whose_connections_reach_different_routers_is_split() {
        let (mut groups, key) = (Groups::default(), GroupKey::Ours("c".into()));
        groups.control_opened(&key, member(1, 0));
        let other = Member { container: "C".into(), ..member(2, 0) };
        assert_eq!(groups.data_opened(&key, other), Err("B".into()));
        assert_eq!(members(&groups), Some((conn(1), vec![])));
    }

    #[test]
    fn groups_of_different_peers_are_different() {
        let mut groups = Groups::default();
        groups.control_opened(&GroupKey::Theirs("B".into(), "c".into()), member(1, 0));
        let evil = Member { container: "E".into(), ..member(2, 9) };
        assert_eq!(groups.control_opened(&GroupKey::Theirs("E".into(), "c".into()), evil), welcome(&[]));
    }
}
