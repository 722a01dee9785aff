//! What routers tell of themselves, put together: the whole network as far as one router knows it. This is `/topology`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::rates::busier_first;
use super::site::{Known, Problem, Rates, Site};

/// Most addresses and services of the answer.
const MOST: usize = 1000;

/// The network.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Topology {
    /// Of this format. Fields may be added without a new one.
    pub(super) format: u32,
    /// The router that was asked.
    pub(super) router: String,
    pub(super) routers: Vec<Router>,
    pub(super) links: Vec<Link>,
    /// The busiest first.
    pub(super) addresses: Vec<Address>,
    pub(super) addresses_left_out: u64,
    pub(super) services: Vec<Service>,
    pub(super) services_left_out: u64,
    pub(super) problems: Vec<Problem>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Router {
    pub(super) id: String,
    /// `interior`, `edge` or `standalone`.
    pub(super) kind: String,
    /// Empty: not known.
    pub(super) version: String,
    /// It told about itself: what others know of it is all there is otherwise.
    pub(super) answers: bool,
    /// A way leads there.
    pub(super) reachable: bool,
    pub(super) uptime_seconds: Option<u64>,
    pub(super) client_connections: Option<u64>,
    pub(super) tcp_connections: Option<u64>,
    pub(super) rates: Option<Rates>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Link {
    /// One end: of a link of an edge router the interior router, else the one with the lower id.
    pub(super) a: String,
    /// The other.
    pub(super) b: String,
    /// `inter-router`, `edge` or `inter-edge`.
    pub(super) role: String,
    pub(super) cost: u32,
    /// `up`, or `half` when only one end knows of it.
    pub(super) state: String,
    /// Connections, those for data included; nothing if no end told.
    pub(super) connections: Option<u64>,
    pub(super) tls: Option<bool>,
    /// Bytes and deliveries since the connections exist, from `a` to `b` (out) and back (in).
    pub(super) bytes_out: Option<u64>,
    pub(super) bytes_in: Option<u64>,
    /// Per second, as seen from `a`.
    pub(super) rates: Option<Rates>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Address {
    pub(super) address: String,
    pub(super) distribution: String,
    /// Where it has consumers. `count`: how many, if that router told. An edge router that tells nothing counts as one at its interior router.
    pub(super) consumers: Vec<Place>,
    pub(super) senders: Vec<Place>,
    pub(super) waiting: u64,
    pub(super) deliveries_in: u64,
    pub(super) deliveries_out: u64,
    pub(super) rates: Option<Rates>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Place {
    pub(super) router: String,
    pub(super) count: Option<u64>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Service {
    pub(super) address: String,
    pub(super) listeners: Vec<End>,
    pub(super) connectors: Vec<End>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct End {
    pub(super) router: String,
    pub(super) name: String,
    pub(super) place: String,
    pub(super) state: String,
    pub(super) open: u64,
    pub(super) opened: u64,
    pub(super) failed: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) rates: Option<Rates>,
}

impl Rates {
    /// As the other end of a link sees it.
    fn turned(self) -> Self {
        Self {
            deliveries_in: self.deliveries_out,
            deliveries_out: self.deliveries_in,
            bytes_in: self.bytes_out,
            bytes_out: self.bytes_in,
        }
    }
}

fn sum(one: Option<Rates>, other: Option<Rates>) -> Option<Rates> {
    let (Some(a), Some(b)) = (one, other) else { return one.or(other) };
    Some(Rates {
        deliveries_in: a.deliveries_in + b.deliveries_in,
        deliveries_out: a.deliveries_out + b.deliveries_out,
        bytes_in: a.bytes_in + b.bytes_in,
        bytes_out: a.bytes_out + b.bytes_out,
    })
}

/// Puts together what routers told of themselves, and what the routing protocol knows of all: `told` are addresses with routers that have
/// consumers for them.
pub(super) fn assemble(
    router: &str,
    known: &[Known],
    sites: &BTreeMap<String, Site>,
    told: &[(String, String)],
) -> Topology {
    let mut topology = Topology { format: 1, router: router.to_owned(), ..Topology::default() };
    topology.routers = routers(known, sites);
    topology.links = links(known, sites);
    let (addresses, left) = addresses(sites, told);
    topology.addresses = addresses;
    topology.addresses_left_out = left + sites.values().map(|site| site.addresses_left_out).sum::<u64>();
    topology.services = services(sites);
    topology.services_left_out = topology.services.len().saturating_sub(MOST) as u64;
    topology.services.truncate(MOST);
    topology.problems = problems(&topology, sites);
    topology
}

fn routers(known: &[Known], sites: &BTreeMap<String, Site>) -> Vec<Router> {
    let mut routers: BTreeMap<&str, Router> = BTreeMap::new();
    let new = |id: &str, kind: &str, reachable| Router {
        id: id.to_owned(),
        kind: kind.to_owned(),
        reachable,
        ..Router::default()
    };
    for router in known {
        routers.insert(&router.id, new(&router.id, "interior", router.reachable));
    }
    // Who has a link to an edge router knows it; of links between interior routers the routing protocol knows more.
    for site in sites.values() {
        for link in site.links.iter().filter(|link| link.role != "inter-router") {
            let kind = if site.kind == "edge" && link.role == "edge" { "interior" } else { "edge" };
            let router = routers.entry(&link.peer).or_insert_with(|| new(&link.peer, kind, true));
            router.version.clone_from(&link.version);
        }
        for link in &site.links {
            if let Some(router) = routers.get_mut(link.peer.as_str()) {
                router.version.clone_from(&link.version);
            }
        }
    }
    for site in sites.values() {
        let router = routers.entry(&site.id).or_insert_with(|| new(&site.id, &site.kind, true));
        router.kind.clone_from(&site.kind);
        router.version.clone_from(&site.version);
        router.answers = true;
        router.uptime_seconds = Some(site.uptime_seconds);
        router.client_connections = Some(site.client_connections);
        router.tcp_connections = Some(site.tcp_connections);
        router.rates = site.rates;
    }
    routers.into_values().collect()
}

fn links(known: &[Known], sites: &BTreeMap<String, Site>) -> Vec<Link> {
    let mut links: BTreeMap<(String, String, String), (Link, BTreeSet<String>)> = BTreeMap::new();
    let is_edge = |id: &str| sites.get(id).is_some_and(|site| site.kind == "edge");
    let mut end = |from: &str, to: &str, role: &str, cost: u32| -> (String, String, String) {
        // The interior router first: the peer of an edge link that is not known to be an edge router itself.
        let turned = match role {
            "edge" => is_edge(from),
            _ => from > to,
        };
        let (a, b) = if turned { (to, from) } else { (from, to) };
        let key = (a.to_owned(), b.to_owned(), role.to_owned());
        let (link, ends) = links.entry(key.clone()).or_insert_with(|| {
            let link = Link { a: a.to_owned(), b: b.to_owned(), role: role.to_owned(), ..Link::default() };
            (link, BTreeSet::new())
        });
        link.cost = link.cost.max(cost);
        ends.insert(from.to_owned());
        key
    };
    for router in known {
        for (peer, cost) in &router.links {
            end(&router.id, peer, "inter-router", *cost);
        }
    }
    let mut told = Vec::new();
    for site in sites.values() {
        for link in &site.links {
            told.push((site, link, end(&site.id, &link.peer, &link.role, link.cost)));
        }
    }
    for (site, told, key) in told {
        let Some((link, ends)) = links.get_mut(&key) else { continue };
        if told.role != "inter-router" {
            // One end is enough to know: the other may be one that does not tell.
            ends.insert(told.peer.clone());
        }
        let from_a = link.a == site.id;
        if link.connections.is_some() && !from_a {
            continue;
        }
        link.connections = Some(told.connections);
        link.tls = Some(told.tls);
        let (bytes_in, bytes_out) =
            if from_a { (told.bytes_in, told.bytes_out) } else { (told.bytes_out, told.bytes_in) };
        (link.bytes_in, link.bytes_out) = (Some(bytes_in), Some(bytes_out));
        link.rates = if from_a { told.rates } else { told.rates.map(Rates::turned) };
    }
    let state = |(mut link, ends): (Link, BTreeSet<String>)| {
        link.state = if ends.len() > 1 { "up" } else { "half" }.to_owned();
        link
    };
    links.into_values().map(state).collect()
}

fn addresses(sites: &BTreeMap<String, Site>, told: &[(String, String)]) -> (Vec<Address>, u64) {
    let mut all: BTreeMap<&str, Address> = BTreeMap::new();
    for site in sites.values() {
        for told in &site.addresses {
            let address = all.entry(&told.address).or_insert_with(|| Address {
                address: told.address.clone(),
                distribution: told.distribution.clone(),
                ..Address::default()
            });
            // Edge routers that tell nothing of themselves are known by their links only.
            let silent = site.links.iter().any(|link| link.role == "edge" && !sites.contains_key(&link.peer));
            let consumers = told.consumers + if silent { told.edges } else { 0 };
            if consumers > 0 {
                address.consumers.push(Place { router: site.id.clone(), count: Some(consumers) });
            }
            if told.senders > 0 {
                address.senders.push(Place { router: site.id.clone(), count: Some(told.senders) });
            }
            address.waiting += told.waiting;
            address.deliveries_in += told.deliveries_in;
            address.deliveries_out += told.deliveries_out;
            address.rates = sum(address.rates, told.rates);
        }
    }
    for (name, router) in told.iter().filter(|(_, router)| !sites.contains_key(router)) {
        let new = || Address { address: name.clone(), ..Address::default() };
        let address = all.entry(name).or_insert_with(new);
        if address.consumers.iter().all(|place| place.router != *router) {
            address.consumers.push(Place { router: router.clone(), count: None });
        }
    }
    let mut addresses: Vec<Address> = all.into_values().collect();
    // By name among equals, as they come.
    addresses.sort_by(|a, b| {
        let deliveries = |address: &Address| address.deliveries_in + address.deliveries_out;
        busier_first((a.rates, deliveries(a)), (b.rates, deliveries(b)))
    });
    let left = addresses.len().saturating_sub(MOST) as u64;
    addresses.truncate(MOST);
    (addresses, left)
}

fn services(sites: &BTreeMap<String, Site>) -> Vec<Service> {
    let mut all: BTreeMap<&str, Service> = BTreeMap::new();
    for site in sites.values() {
        for told in &site.services {
            let service = all
                .entry(&told.address)
                .or_insert_with(|| Service { address: told.address.clone(), ..Service::default() });
            let end = End {
                router: site.id.clone(),
                name: told.name.clone(),
                place: told.place.clone(),
                state: told.state.clone(),
                open: told.open,
                opened: told.opened,
                failed: told.failed,
                bytes_in: told.bytes_in,
                bytes_out: told.bytes_out,
                rates: told.rates,
            };
            if told.kind == "listener" { &mut service.listeners } else { &mut service.connectors }.push(end);
        }
    }
    all.into_values().collect()
}

fn problems(topology: &Topology, sites: &BTreeMap<String, Site>) -> Vec<Problem> {
    let mut problems: BTreeSet<Problem> = sites.values().flat_map(|site| site.problems.iter().cloned()).collect();
    let mut add = |severity: &str, router: &str, about: String, text: &str| {
        problems.insert(Problem {
            severity: severity.to_owned(),
            router: router.to_owned(),
            about,
            text: text.to_owned(),
        });
    };
    for router in &topology.routers {
        if !router.reachable {
            add("error", &router.id, format!("router {}", router.id), "no way leads there");
        } else if !router.answers {
            add(
                "warning",
                &router.id,
                format!("router {}", router.id),
                "it tells nothing of itself: slow, or of another make",
            );
        }
    }
    for link in topology.links.iter().filter(|link| link.state == "half") {
        add("warning", &link.a, format!("link {} - {}", link.a, link.b), "only one end knows of it");
    }
    for address in &topology.addresses {
        if address.consumers.is_empty()
            && let Some(place) = address.senders.first()
        {
            add(
                "warning",
                &place.router,
                format!("address {}", address.address),
                "somebody sends, and nobody receives",
            );
        }
    }
    problems.into_iter().collect()
}

#[cfg(test)]
mod tests;
