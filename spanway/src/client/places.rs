//! One address at every router of a network.

use anyhow::Result;

use super::entities::Entities;
use super::management::{Manager, Query, Request};
use super::network::{Member, Network};

/// An address at a router.
#[derive(Debug)]
pub(crate) struct Place {
    /// The router.
    pub(crate) member: Member,
    /// Its `router.address` entity; empty if the address is not in use there. An error if the router does not answer.
    pub(crate) entity: Result<Entities>,
}

/// Looks at an address everywhere, all routers being asked at once.
///
/// # Errors
/// The connection is lost.
pub(crate) async fn find(manager: &mut Manager, network: &Network, address: &str) -> Result<Vec<Place>> {
    let request = Request::new("READ").with("type", "io.skupper.router.router.address").with("identity", key(address));
    let calls = network.members.iter().map(|member| (member.whose.clone(), request.clone())).collect();
    let answers = manager.call_each(calls).await?;
    let place = |(member, answer): (&Member, Result<super::management::Answer>)| Place {
        member: member.clone(),
        entity: answer
            .map(|answer| if answer.status == 200 { Entities::of_map(answer.body) } else { Entities::default() }),
    };
    Ok(network.members.iter().zip(answers).map(place).collect())
}

/// The lookup key of an address that clients use.
pub(crate) fn key(address: &str) -> String {
    format!("M{address}")
}

impl Place {
    /// An attribute that counts; 0 where the address is not in use.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.entity.as_ref().ok().and_then(|entity| entity.lines().next()).map_or(0, |line| line.number(name))
    }

    /// How the address is distributed there.
    pub(crate) fn distribution(&self) -> Option<String> {
        Some(self.entity.as_ref().ok()?.lines().next()?.text("distribution"))
    }

    /// Consumers of the router itself.
    pub(crate) fn consumers(&self) -> u64 {
        self.number("subscriberCount") + self.number("containerCount") + self.number("inProcess")
    }

    /// The query for the links that lead from the router to consumers of an address, to be chosen from by [`receivers`].
    pub(crate) fn receivers_query() -> Query {
        Query::some(
            "router.link",
            &[
                "owningAddr",
                "linkDir",
                "linkType",
                "linkName",
                "connectionId",
                "creditAvailable",
                "undeliveredCount",
                "unsettledCount",
                "deliveryCount",
            ],
        )
    }
}
