//! The routers of a network, as seen from the one that is connected to.

use std::collections::BTreeSet;

use anyhow::Result;

use super::entities::Entities;
use super::management::{Manager, Query, Whose};

/// A router of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its id.
    pub(crate) id: String,
    /// Its agent.
    pub(crate) whose: Whose,
    /// For an edge router, the interior router that it hangs on.
    pub(crate) uplink: Option<String>,
}

/// The routers of a network, and what the first of them that knows says about the ways to the others.
#[derive(Debug, Clone, Default)]
pub(crate) struct Network {
    /// The router that is connected to first, then interior routers, then edge routers.
    pub(crate) members: Vec<Member>,
    /// `router.node` entities: none if the router stands alone.
    pub(crate) nodes: Entities,
}

/// Attributes of a connection that tell who is at its other end.
pub(crate) const PEER: [&str; 5] = ["container", "role", "dir", "protocol", "host"];

impl Network {
    /// Asks which routers there are. Edge routers are found at the interior ones.
    ///
    /// # Errors
    /// The router that is connected to does not answer. What others do not answer is missing.
    pub(crate) async fn discover(manager: &mut Manager) -> Result<Self> {
        let local = [("router", &["id", "mode"][..]), ("router.node", &[]), ("connection", &PEER)];
        let queries: Vec<_> = local.iter().map(|(ty, names)| (Whose::Local, Query::some(ty, names))).collect();
        let mut answers = manager.query_each(&queries).await?.into_iter();
        let mut next = || answers.next().unwrap_or_else(|| Ok(Entities::default()));
        let (router, mut nodes, connections) = (next()?, next()?, next()?);
        let here = router.lines().next().map_or_else(String::new, |router| router.str("id").to_owned());
        // An edge router knows its uplink, which knows the network.
        if nodes.rows.is_empty()
            && let Some(uplink) = peers(&connections, "edge", "out").into_iter().next()
        {
            nodes = manager.query(&Whose::Router(uplink), Query::all("router.node")).await.unwrap_or_default();
        }
        let mut network = Self { members: vec![Member { id: here.clone(), whose: Whose::Local, uplink: None }], nodes };
        let ids: Vec<String> = network.nodes.lines().map(|node| node.str("id").to_owned()).collect();
        let others = ids.iter().filter(|id| **id != here);
        network.members.extend(others.map(|id| Member {
            id: id.clone(),
            whose: Whose::Router(id.clone()),
            uplink: None,
        }));
        let interior = network.members.iter().filter(|member| ids.contains(&member.id));
        let queries: Vec<_> = interior.map(|member| (member.whose.clone(), Query::some("connection", &PEER))).collect();
        let names: Vec<String> =
            network.members.iter().map(|member| member.id.clone()).filter(|id| ids.contains(id)).collect();
        let mut seen: BTreeSet<String> = BTreeSet::from([here]);
        for (interior, connections) in names.into_iter().zip(manager.query_each(&queries).await?) {
            for id in peers(&connections.unwrap_or_default(), "edge", "in") {
                if seen.insert(id.clone()) {
                    let whose = Whose::Edge(id.clone());
                    network.members.push(Member { id, whose, uplink: Some(interior.clone()) });
                }
            }
        }
        Ok(network)
    }

    /// A router by its id.
    pub(crate) fn member(&self, id: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id)
    }
}

/// Containers at the other ends of connections of a role.
pub(crate) fn peers(connections: &Entities, role: &str, dir: &str) -> BTreeSet<String> {
    let of_role = connections.lines().filter(|line| line.str("role") == role && line.str("dir") == dir);
    of_role.map(|line| line.str("container").to_owned()).filter(|id| !id.is_empty()).collect()
}
