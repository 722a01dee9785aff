//! What the routers do right now: counters, and rates from one look to the next.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::cli::top::View;
use crate::client::entities::{Entities, Line};
use crate::client::management::{Manager, Query, Whose};
use crate::client::network::Network;

/// Every so many looks, the routers of the network are asked for anew.
const DISCOVER: u32 = 5;

/// One look at the network.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    /// All routers.
    pub(super) routers: Vec<RouterLoad>,
    /// For the view of links: connections at all routers.
    pub(super) links: Vec<LinkLoad>,
    /// For the view of addresses: those of all routers.
    pub(super) addresses: Vec<AddressLoad>,
    /// How long it took to ask.
    pub(super) took: Duration,
}

/// Something a second; unknown at the first look.
pub(super) type Rate = Option<f64>;

/// A router.
#[derive(Debug, Clone, Default)]
pub(super) struct RouterLoad {
    pub(super) id: String,
    pub(super) edge: bool,
    /// Why it does not answer.
    pub(super) silent: Option<String>,
    pub(super) version: String,
    pub(super) uptime: u64,
    pub(super) connections: u64,
    pub(super) links: u64,
    pub(super) addresses: u64,
    pub(super) memory: u64,
    pub(super) ingress: Rate,
    pub(super) egress: Rate,
    pub(super) transit: Rate,
    /// Settled after more than a second.
    pub(super) delayed: Rate,
    /// Not settled for more than ten seconds.
    pub(super) stuck: u64,
}

/// A connection of a router, with all its links.
#[derive(Debug, Clone, Default)]
pub(super) struct LinkLoad {
    pub(super) router: String,
    pub(super) connection: String,
    pub(super) peer: String,
    pub(super) host: String,
    pub(super) role: String,
    pub(super) outgoing: bool,
    pub(super) security: String,
    pub(super) links: u64,
    pub(super) ingress: Rate,
    pub(super) egress: Rate,
    /// Deliveries that wait to be sent to the peer.
    pub(super) waiting: u64,
    pub(super) unsettled: u64,
    pub(super) credit: u64,
    /// Links on which the peer receives.
    pub(super) receivers: u64,
}

/// An address at all routers.
#[derive(Debug, Clone, Default)]
pub(super) struct AddressLoad {
    pub(super) address: String,
    pub(super) distribution: String,
    pub(super) consumers: u64,
    /// Routers that have consumers.
    pub(super) routers: u64,
    pub(super) senders: u64,
    pub(super) waiting: u64,
    pub(super) ingress: Rate,
    pub(super) egress: Rate,
    pub(super) transit: Rate,
}

/// For how long what waits has to wait at this rate, in seconds (Little's law); none where nothing waits.
pub(super) fn delay(waiting: u64, rate: Rate) -> Option<f64> {
    match (waiting, rate) {
        (0, _) => None,
        (waiting, Some(rate)) if rate > 0.0 => Some(waiting as f64 / rate),
        (_, Some(_)) => Some(f64::INFINITY),
        (_, None) => None,
    }
}

/// Looks, and remembers counters.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    network: Option<Network>,
    looks: u32,
    counters: Counters,
}

/// Values of the look before.
#[derive(Debug, Default)]
struct Counters {
    before: HashMap<String, (Instant, u64)>,
    now: HashMap<String, (Instant, u64)>,
}

impl Counters {
    fn rate(&mut self, key: String, value: u64, at: Instant) -> Rate {
        let before = self.before.get(&key).copied();
        self.now.insert(key, (at, value));
        let (then, old) = before?;
        let seconds = at.saturating_duration_since(then).as_secs_f64();
        // Less than before means that it began anew.
        let more = value.checked_sub(old)?;
        (seconds > 0.0).then(|| more as f64 / seconds)
    }

    fn turn(&mut self) {
        self.before = std::mem::take(&mut self.now);
    }
}

const LINK: [&str; 7] =
    ["connectionId", "linkDir", "linkType", "deliveryCount", "undeliveredCount", "unsettledCount", "creditAvailable"];
const CONNECTION: [&str; 7] = ["identity", "container", "host", "role", "dir", "sslProto", "isEncrypted"];
const ADDRESS: [&str; 8] = [
    "key",
    "distribution",
    "subscriberCount",
    "senderCount",
    "waitingCount",
    "deliveriesIngress",
    "deliveriesEgress",
    "deliveriesTransit",
];

impl Sampler {
    /// Asks every router for what the view shows, all at once.
    ///
    /// # Errors
    /// The connection is lost.
    pub(super) async fn look(&mut self, manager: &mut Manager, view: View) -> Result<Snapshot> {
        let began = Instant::now();
        if self.network.is_none() || self.looks.is_multiple_of(DISCOVER) {
            self.network = Some(Network::discover(manager).await?);
        }
        self.looks = self.looks.wrapping_add(1);
        let network = self.network.clone().unwrap_or_default();
        let types: &[(&str, &[&str])] = match view {
            View::Routers => &[("routerMetrics", &[])],
            View::Links => &[("routerMetrics", &[]), ("router.link", &LINK), ("connection", &CONNECTION)],
            View::Addresses => &[("routerMetrics", &[]), ("router.address", &ADDRESS)],
        };
        let queries: Vec<(Whose, Query)> = network
            .members
            .iter()
            .flat_map(|member| types.iter().map(|(ty, names)| (member.whose.clone(), Query::some(ty, names))))
            .collect();
        let mut answers = manager.query_each(&queries).await?.into_iter();
        let at = Instant::now();
        let mut snapshot = Snapshot::default();
        let mut addresses: Vec<(String, Entities)> = Vec::new();
        for member in &network.members {
            let mut router =
                RouterLoad { id: member.id.clone(), edge: member.uplink.is_some(), ..RouterLoad::default() };
            match answers.next().unwrap_or_else(|| Ok(Entities::default())) {
                Ok(metrics) => {
                    if let Some(line) = metrics.lines().next() {
                        self.router(&mut router, &line, at);
                    }
                }
                Err(error) => router.silent = Some(format!("{error:#}")),
            }
            snapshot.routers.push(router);
            match view {
                View::Routers => {}
                View::Links => {
                    let (links, connections) = (answers.next(), answers.next());
                    if let (Some(Ok(links)), Some(Ok(connections))) = (links, connections) {
                        snapshot.links.extend(self.links(&member.id, &links, &connections, at));
                    }
                }
                View::Addresses => {
                    if let Some(Ok(entities)) = answers.next() {
                        addresses.push((member.id.clone(), entities));
                    }
                }
            }
        }
        snapshot.addresses = self.addresses(&network, &addresses, at);
        self.counters.turn();
        snapshot.took = began.elapsed();
        Ok(snapshot)
    }

    fn router(&mut self, router: &mut RouterLoad, line: &Line<'_>, at: Instant) {
        let mut rate = |name: &str| self.counters.rate(format!("{}\n{name}", router.id), line.number(name), at);
        router.ingress = rate("deliveriesIngress");
        router.egress = rate("deliveriesEgress");
        router.transit = rate("deliveriesTransit");
        router.delayed = rate("deliveriesDelayed1Sec");
        router.version = line.text("version");
        router.uptime = line.number("uptimeSeconds");
        router.connections = line.number("connectionCount");
        router.links = line.number("linkCount");
        router.addresses = line.number("addrCount");
        router.memory = line.number("residentMemoryUsage");
        router.stuck = line.number("deliveriesStuck");
    }

    fn links(&mut self, router: &str, links: &Entities, connections: &Entities, at: Instant) -> Vec<LinkLoad> {
        let mut all: Vec<LinkLoad> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for line in connections.lines() {
            // This program's own.
            if line.str("container").starts_with("spanway-top-") {
                continue;
            }
            // Connections for data of the same neighbour belong together.
            let role = line.str("role").trim_end_matches("-data");
            let same = |load: &LinkLoad| load.role == role && load.peer == line.str("container");
            if role != "normal"
                && let Some(place) = all.iter().position(same)
            {
                places.insert(line.str("identity"), place);
                continue;
            }
            places.insert(line.str("identity"), all.len());
            all.push(LinkLoad {
                router: router.to_owned(),
                connection: line.text("identity"),
                peer: line.text("container"),
                host: line.text("host"),
                role: role.to_owned(),
                outgoing: line.str("dir") == "out",
                security: if line.yes("isEncrypted") { line.text("sslProto") } else { "none".to_owned() },
                ..LinkLoad::default()
            });
        }
        let mut counts: Vec<[u64; 2]> = vec![[0; 2]; all.len()];
        for line in links.lines() {
            let Some(place) = places.get(line.str("connectionId")).copied() else { continue };
            let (Some(load), Some([ingress, egress])) = (all.get_mut(place), counts.get_mut(place)) else { continue };
            load.links += 1;
            if line.str("linkDir") == "in" {
                *ingress += line.number("deliveryCount");
            } else {
                *egress += line.number("deliveryCount");
                load.receivers += 1;
                load.waiting += line.number("undeliveredCount");
                load.unsettled += line.number("unsettledCount");
                load.credit += line.number("creditAvailable");
            }
        }
        for (load, [ingress, egress]) in all.iter_mut().zip(counts) {
            let mut rate =
                |way: &str, count| self.counters.rate(format!("{router}\n{}\n{way}", load.connection), count, at);
            load.ingress = rate("in", ingress);
            load.egress = rate("out", egress);
        }
        all
    }

    fn addresses(&mut self, network: &Network, of_routers: &[(String, Entities)], at: Instant) -> Vec<AddressLoad> {
        let mut all: Vec<AddressLoad> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut counts: Vec<[u64; 3]> = Vec::new();
        for (router, entities) in of_routers {
            let uplink = network.member(router).and_then(|member| member.uplink.as_deref());
            for line in entities.lines() {
                let Some(address) = line.client_address("key") else { continue };
                let place = *places.entry(address.to_owned()).or_insert_with(|| {
                    all.push(AddressLoad { address: address.to_owned(), ..AddressLoad::default() });
                    counts.push([0; 3]);
                    all.len() - 1
                });
                let (Some(load), Some(count)) = (all.get_mut(place), counts.get_mut(place)) else { continue };
                load.distribution = line.text("distribution");
                let consumers = line.number("subscriberCount");
                load.consumers += consumers;
                load.routers += u64::from(consumers > 0);
                // An edge router with consumers is a consumer of its uplink, too.
                if consumers > 0 && uplink.is_some() {
                    load.consumers = load.consumers.saturating_sub(1);
                    load.routers = load.routers.saturating_sub(1);
                }
                load.senders += line.number("senderCount");
                load.waiting += line.number("waitingCount");
                let [ingress, egress, transit] = count;
                *ingress += line.number("deliveriesIngress");
                *transit += line.number("deliveriesTransit");
                // What leaves an edge router for its uplink leaves the network elsewhere.
                if uplink.is_none() {
                    *egress += line.number("deliveriesEgress");
                }
            }
        }
        for (load, [ingress, egress, transit]) in all.iter_mut().zip(counts) {
            let mut rate = |way: &str, count| self.counters.rate(format!("\n{}\n{way}", load.address), count, at);
            load.ingress = rate("in", ingress);
            load.egress = rate("out", egress);
            load.transit = rate("through", transit);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_need_two_looks_and_survive_restarts() {
        let mut counters = Counters::default();
        let start = Instant::now();
        let mut look = |seconds, value| {
            let rate = counters.rate("a".to_owned(), value, start + Duration::from_secs(seconds));
            counters.turn();
            rate
        };
        assert_eq!(look(0, 100), None);
        assert_eq!(look(2, 300), Some(100.0));
        assert_eq!(look(3, 5), None, "it began anew");
        assert_eq!(look(4, 6), Some(1.0));
    }

    #[test]
    fn what_waits_has_a_delay() {
        assert_eq!(delay(0, Some(5.0)), None);
        assert_eq!(delay(10, Some(5.0)), Some(2.0));
        assert_eq!(delay(1, Some(0.0)), Some(f64::INFINITY));
        assert_eq!(delay(1, None), None);
    }
}
