//! One address at every router of a network.

use anyhow::Result;

use super::entities::{Entities, Line};
use super::management::{Answer, Manager, Query, Request, Whose};
use super::network::{Member, Network};

/// An address at a router.
#[derive(Debug)]
pub(crate) struct Place {
    /// The router.
    pub(crate) member: Member,
    /// Its `router.address` entity; empty if the address is not in use there. An error if the router does not answer.
    pub(crate) entity: Result<Entities>,
    /// Consumers of the router itself, those behind other routers not counted.
    pub(crate) consumers: u64,
}

/// A link over which somebody receives from an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Receiver {
    /// The router that it is at.
    pub(crate) router: Whose,
    /// Its name.
    pub(crate) link: String,
    /// Container and host of the consumer.
    pub(crate) who: String,
    pub(crate) credit: u64,
    pub(crate) unsettled: u64,
    pub(crate) deliveries: u64,
}

/// Looks at an address everywhere, all routers being asked at once.
///
/// # Errors
/// The connection is lost.
pub(crate) async fn find(manager: &mut Manager, network: &Network, address: &str) -> Result<Vec<Place>> {
    let request = Request::new("READ").with("type", "io.skupper.router.router.address").with("identity", key(address));
    let calls = network.members.iter().map(|member| (member.whose.clone(), request.clone())).collect();
    let answers = manager.call_each(calls).await?;
    let place = |(member, answer): (&Member, Result<Answer>)| {
        let decode =
            |answer: Answer| if answer.status == 200 { Entities::of_map(answer.body) } else { Entities::default() };
        Place { member: member.clone(), entity: answer.map(decode), consumers: 0 }
    };
    let mut places: Vec<Place> = network.members.iter().zip(answers).map(place).collect();
    for place in &mut places {
        place.consumers = place.attached();
    }
    // To an edge router its uplink is a consumer, too, and so is an edge router to its uplink, if there are consumers behind it.
    let served: Vec<usize> =
        places.iter().enumerate().filter(|(_, place)| place.consumers > 0).map(|(at, _)| at).collect();
    let all = links(manager, &places, &served, address).await?;
    for (at, links) in served.into_iter().zip(all) {
        let between = links.iter().filter(|(role, _)| is_between_routers(role)).count();
        if let Some(place) = places.get_mut(at) {
            place.consumers = place.consumers.saturating_sub(between as u64);
        }
    }
    Ok(places)
}

/// The links to consumers of an address, at all places that have some; TCP servers have none.
///
/// # Errors
/// The connection is lost.
pub(crate) async fn receivers(manager: &mut Manager, places: &[Place], address: &str) -> Result<Vec<Receiver>> {
    let served: Vec<usize> =
        places.iter().enumerate().filter(|(_, place)| place.consumers > 0).map(|(at, _)| at).collect();
    let all = links(manager, places, &served, address).await?.into_iter().flatten();
    Ok(all.filter(|(role, _)| !is_between_routers(role)).map(|(_, receiver)| receiver).collect())
}

fn is_between_routers(role: &str) -> bool {
    matches!(role, "edge" | "inter-edge" | "inter-router" | "inter-router-data")
}

/// The links that deliveries to an address leave some of the places by, each with the role of its connection.
async fn links(
    manager: &mut Manager,
    places: &[Place],
    which: &[usize],
    address: &str,
) -> Result<Vec<Vec<(String, Receiver)>>> {
    let which: Vec<&Place> = which.iter().filter_map(|at| places.get(*at)).collect();
    let queries: Vec<_> = which
        .iter()
        .flat_map(|place| {
            [Query::some("router.link", &LINK), Query::some("connection", &CONNECTION)]
                .map(|query| (place.member.whose.clone(), query))
        })
        .collect();
    let mut answers = manager.query_each(&queries).await?.into_iter().map(Result::unwrap_or_default);
    let mut all = Vec::new();
    for place in which {
        let (links, connections) = (answers.next().unwrap_or_default(), answers.next().unwrap_or_default());
        let leaving =
            links.lines().filter(|line| line.str("owningAddr") == key(address) && line.str("linkDir") == "out");
        let receiver = |line: Line<'_>| {
            let connection =
                connections.lines().find(|connection| connection.str("identity") == line.str("connectionId"));
            let role = connection.map_or_else(String::new, |connection| connection.str("role").to_owned());
            let who = connection.map_or_else(
                || format!("connection {}", line.text("connectionId")),
                |connection| format!("{} ({})", connection.text("container"), connection.text("host")),
            );
            let receiver = Receiver {
                router: place.member.whose.clone(),
                link: line.text("linkName"),
                who,
                credit: line.number("creditAvailable"),
                unsettled: line.number("unsettledCount"),
                deliveries: line.number("deliveryCount"),
            };
            (role, receiver)
        };
        all.push(leaving.map(receiver).collect());
    }
    Ok(all)
}

const LINK: [&str; 7] =
    ["owningAddr", "linkDir", "linkName", "connectionId", "creditAvailable", "unsettledCount", "deliveryCount"];
const CONNECTION: [&str; 4] = ["identity", "container", "host", "role"];

/// The lookup key of an address that clients use.
pub(crate) fn key(address: &str) -> String {
    format!("M{address}")
}

impl Place {
    /// An attribute that counts; 0 where the address is not in use.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.entity.as_ref().ok().and_then(|entity| entity.lines().next()).map_or(0, |line| line.number(name))
    }

    /// Everything here that deliveries can go to, edge routers included.
    fn attached(&self) -> u64 {
        self.number("subscriberCount") + self.number("containerCount") + self.number("inProcess")
    }

    /// The router knows where deliveries can go.
    pub(crate) fn leads(&self) -> bool {
        self.attached() > 0 || self.number("remoteCount") > 0
    }

    /// How the address is distributed there.
    pub(crate) fn distribution(&self) -> Option<String> {
        Some(self.entity.as_ref().ok()?.lines().next()?.text("distribution"))
    }
}
