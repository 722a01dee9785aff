//! From the router to the consumers of an address.

use std::time::Duration;

use router_core::entity::nearest;

use super::report::Fault;
use crate::client::management::{Manager, Query, Whose};
use crate::client::network::Network;
use crate::client::places::{self, Place, Receiver};
use crate::client::report::Count;

/// How often consumers are looked at before they count as stuck, and the time between.
const LOOKS: u32 = 4;
const BETWEEN: Duration = Duration::from_millis(500);

/// The management agent does not answer.
pub(super) fn no_agent(error: anyhow::Error) -> Fault {
    Fault::new(
        format!("{error:#}"),
        "no router's agent is at $management here: is this a router (spanway or skrouterd), and may this user see $management?",
    )
}

/// The router that is connected to.
#[derive(Debug)]
pub(super) struct Here {
    id: String,
    edge: bool,
}

/// Who answers.
pub(super) async fn agent(manager: &mut Manager) -> Result<(String, Here), Fault> {
    let router = manager.query(&Whose::Local, Query::all("router")).await.map_err(no_agent)?;
    let Some(line) = router.lines().next() else {
        return Err(no_agent(anyhow::anyhow!("the agent knows of no router")));
    };
    let here = Here { id: line.str("id").to_owned(), edge: line.str("mode") == "edge" };
    Ok((format!("router {}, {}", line.text("id"), line.text("mode")), here))
}

/// The links between routers that the router makes.
#[derive(Debug, Default)]
pub(super) struct Links {
    up: usize,
    routers: usize,
    /// Where a link should go, and why it does not.
    pub(super) down: Vec<(String, String)>,
}

impl Links {
    pub(super) fn summary(&self) -> String {
        let network = match self.routers {
            0 | 1 => "no other router is known".to_owned(),
            n => format!("{n} routers are in the network"),
        };
        match (self.down.first(), self.up) {
            (None, 0) => format!("the router makes no links to others; {network}"),
            (None, up) => format!("{up} of {up} links that the router makes are up; {network}"),
            (Some((place, why)), up) => format!(
                "{} of {} links that the router makes are down, the one to {place}: {why}; {network}",
                self.down.len(),
                self.down.len() + up
            ),
        }
    }

    pub(super) fn remedy(&self) -> String {
        let places = self.down.iter().map(|(place, _)| {
            format!(
                "is the router at {place} running, with a listener for links (--accept-links, --accept-edges)? On the router's machine: \
                 spanway check --url amqp://{place}"
            )
        });
        places.collect::<Vec<_>>().join("\n")
    }
}

/// Which links to other routers are up, of those that the router makes.
pub(super) async fn links(manager: &mut Manager, network: &Network) -> Result<Links, Fault> {
    let connectors = manager.query(&Whose::Local, Query::all("connector")).await.map_err(no_agent)?;
    let mut links = Links { routers: network.members.len(), ..Links::default() };
    for line in connectors.lines().filter(|line| matches!(line.str("role"), "inter-router" | "edge" | "inter-edge")) {
        if line.str("connectionStatus") == "SUCCESS" {
            links.up += 1;
        } else {
            let place = format!("{}:{}", super::path::bracketed(line.str("host")), line.text("port"));
            // The place is said already.
            let why = line.text("connectionMsg");
            let why = [format!("Connection to {place} failed: "), format!("cannot connect to {place}: ")]
                .iter()
                .fold(why.as_str(), |why, known| why.strip_prefix(known.as_str()).unwrap_or(why))
                .to_owned();
            links.down.push((place, why));
        }
    }
    Ok(links)
}

/// Looks at the address everywhere.
pub(super) async fn find(manager: &mut Manager, network: &Network, address: &str) -> Result<Vec<Place>, Fault> {
    places::find(manager, network, address).await.map_err(no_agent)
}

/// Whether all routers can be asked, and those with consumers can be reached from here.
pub(super) fn path(places: &[Place], here: &Here, links: &Links) -> Result<String, Fault> {
    let consumers: Vec<&str> =
        places.iter().filter(|place| place.consumers > 0).map(|place| place.member.id.as_str()).collect();
    let silent: Vec<&Place> = places.iter().filter(|place| place.entity.is_err()).collect();
    let reached = places.first().is_some_and(Place::leads);
    let lost: Vec<&str> = silent.iter().map(|place| place.member.id.as_str()).collect();
    let lost = if lost.is_empty() { String::new() } else { format!("; {} cannot be reached", lost.join(", ")) };
    // A router that cannot be reached is still counted for a moment.
    if consumers.is_empty()
        && (!reached || !silent.is_empty())
        && let Some((place, why)) = links.down.first()
    {
        return Err(Fault::new(
            format!("no router that can be reached has a consumer, and the link to {place} is down: {why}{lost}"),
            links.remedy(),
        ));
    }
    if consumers.is_empty()
        && let Some(place) = silent.first()
    {
        let why = place.entity.as_ref().err().map_or_else(String::new, |error| format!("{error:#}"));
        return Err(Fault::new(
            format!("router {} is part of the network and does not answer: {why}", place.member.id),
            format!(
                "is router {} running, and are its links up? `spanway stat nodes` and `spanway status` say more",
                place.member.id
            ),
        ));
    }
    // Edge routers do not know where consumers are: their uplinks do.
    if !consumers.is_empty() && !reached && !here.edge {
        return Err(Fault::new(
            format!("router {} has consumers, and router {} does not know of them", consumers.join(", "), here.id),
            "the routers' news of addresses do not arrive: `spanway stat nodes` there and here, and the routers' logs, say more",
        ));
    }
    Ok(match consumers.as_slice() {
        [] => format!("asked {}", Count(places.len() as u64, "router")),
        ids => format!("{} of {} routers have consumers: {}", ids.len(), places.len(), ids.join(", ")),
    })
}

/// Whether anybody receives.
pub(super) async fn consumers(
    manager: &mut Manager,
    places: &[Place],
    links: &Links,
    address: &str,
) -> Result<String, Fault> {
    let with: Vec<String> = places
        .iter()
        .filter(|place| place.consumers > 0)
        .map(|place| format!("{} at {}", place.consumers, place.member.id))
        .collect();
    if !with.is_empty() || places.first().is_some_and(|place| place.number("remoteCount") > 0) {
        let how = places.iter().find_map(Place::distribution);
        return Ok(format!("{}: {}", how.unwrap_or_default(), with.join(", ")));
    }
    let waiting: u64 = places.iter().map(|place| place.number("waitingCount")).sum();
    let senders: u64 = places.iter().map(|place| place.number("senderCount")).sum();
    let mut remedy = format!("start a consumer: `spanway recv {address}`, or the program that is to receive");
    let all =
        manager.query(&Whose::Local, Query::some("router.address", &["key", "subscriberCount", "remoteCount"])).await;
    let all = all.unwrap_or_default();
    let served = all.lines().filter(|line| line.number("subscriberCount") + line.number("remoteCount") > 0);
    let served: Vec<&str> = served.filter_map(|line| line.client_address("key")).collect();
    if let Some(near) = nearest(address, served) {
        remedy.push_str(&format!(".\n`{near}` has consumers: was that meant?"));
    }
    if !links.down.is_empty() {
        remedy.push_str(&format!(".\nOr it is behind the link that is down: {}", links.remedy()));
    }
    Err(Fault::new(
        format!(
            "nobody receives from {address} at any of {}; {}, {waiting} deliveries wait",
            Count(places.len() as u64, "router"),
            Count(senders, "sender")
        ),
        remedy,
    ))
}

/// Whether consumers take messages.
pub(super) async fn credit(manager: &mut Manager, places: &[Place], address: &str) -> Result<String, Fault> {
    let mut first: Option<Vec<Receiver>> = None;
    for look in 1..=LOOKS {
        let receivers = places::receivers(manager, places, address).await.map_err(no_agent)?;
        let credit: u64 = receivers.iter().map(|receiver| receiver.credit).sum();
        if receivers.is_empty() {
            return Ok("its consumers are servers of TCP, or inside of routers".to_owned());
        }
        if credit > 0 {
            return Ok(format!(
                "{}, with credit for {credit} more deliveries",
                Count(receivers.len() as u64, "consumer")
            ));
        }
        let before = first.get_or_insert_with(|| receivers.clone());
        let moved = receivers.iter().any(|now| {
            before.iter().any(|then| {
                then.link == now.link
                    && then.router == now.router
                    && (then.deliveries, then.unsettled) != (now.deliveries, now.unsettled)
            })
        });
        if moved {
            return Ok(format!(
                "{}, busy: deliveries are taken as others are settled",
                Count(receivers.len() as u64, "consumer")
            ));
        }
        if look == LOOKS {
            return Err(stuck(&receivers, address));
        }
        tokio::time::sleep(BETWEEN).await;
    }
    Ok(String::new())
}

/// No consumer takes anything.
fn stuck(receivers: &[Receiver], address: &str) -> Fault {
    let found = receivers.iter().take(3).map(|receiver| {
        let who = format!("{} at {}", receiver.who, receiver.router.in_words());
        match receiver.unsettled {
            0 => format!("{who} gives no credit"),
            1 => format!("{who} has a delivery and does not settle it"),
            n => format!("{who} has {n} deliveries and settles none"),
        }
    });
    let found: Vec<String> = found.collect();
    Fault::new(
        format!(
            "{} of {address}, and none takes anything: {}",
            Count(receivers.len() as u64, "consumer"),
            found.join("; ")
        ),
        "look at that program: it hangs, has stopped to receive (credit, prefetch), or does not settle what it got. Ending it lets others have \
        what it holds",
    )
}
