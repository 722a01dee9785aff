//! What this router tells of itself: two samples and the configuration as a [`Site`].

use std::collections::HashMap;

use router_core::AddressStatus;
use router_core::entity::{EntityKind, EntityStore};

use super::rates::{Compared, busier_first};
use super::sample::{Sample, State};
use super::site::{LONGEST_NAME, MOST, Problem, Site, SiteAddress, SiteLink, SiteService};

/// A connector to another router, and why it is not up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LinkUp {
    pub(super) name: String,
    pub(super) role: &'static str,
    /// `host:port`.
    pub(super) place: String,
    /// `Err`: why it is not up.
    pub(super) state: Result<(), String>,
}

/// Where TCP listeners and connectors are and what for, by kind and name.
#[derive(Debug, Default)]
pub(super) struct Places(HashMap<(&'static str, String), (String, String)>);

impl Places {
    pub(super) fn of(store: &EntityStore) -> Self {
        let mut places = HashMap::new();
        for (kind, word) in [(EntityKind::TcpListener, "listener"), (EntityKind::TcpConnector, "connector")] {
            for entity in store.query(Some(kind)) {
                let text = |name| entity.text(name).unwrap_or_default();
                let place = format!("{}:{}", text("host"), text("port"));
                places.insert((word, entity.name().to_owned()), (text("address").to_owned(), place));
            }
        }
        Self(places)
    }

    fn get(&self, kind: &'static str, name: &str) -> (String, String) {
        self.0.get(&(kind, name.to_owned())).cloned().unwrap_or_default()
    }

    /// The address of a listener or connector; empty if there are several.
    pub(super) fn address(&self, kind: &'static str, name: &str) -> String {
        self.get(kind, name).0
    }
}

/// Everything that a site is made of.
#[derive(Debug)]
pub(super) struct Material<'a> {
    pub(super) id: &'a str,
    pub(super) kind: &'a str,
    pub(super) version: &'a str,
    pub(super) uptime_seconds: u64,
    pub(super) now: &'a Sample,
    pub(super) before: Option<&'a Sample>,
    pub(super) places: &'a Places,
    pub(super) connectors: &'a [LinkUp],
}

/// What the router tells.
pub(super) fn site(m: &Material<'_>) -> Site {
    let compared = Compared::new(m.now, m.before);
    let mut addresses = addresses(m, &compared);
    addresses.truncate(MOST);
    let left_out = m.now.addresses.len().saturating_sub(addresses.len()) as u64;
    Site {
        id: m.id.to_owned(),
        kind: m.kind.to_owned(),
        version: m.version.to_owned(),
        uptime_seconds: m.uptime_seconds,
        client_connections: m.now.core.connections,
        tcp_connections: m.now.flows,
        rates: compared.router(),
        links: links(m, &compared),
        addresses,
        addresses_left_out: left_out,
        services: services(m, &compared),
        problems: problems(m),
        network: Vec::new(),
    }
}

fn links(m: &Material<'_>, compared: &Compared<'_>) -> Vec<SiteLink> {
    let link = |(key, peer): (&super::sample::PeerKey, &super::sample::Peer)| SiteLink {
        peer: key.0.clone(),
        role: key.1.to_owned(),
        via: peer.via.to_string(),
        outgoing: peer.outgoing,
        cost: peer.cost,
        tls: peer.tls,
        connections: peer.connections,
        version: peer.version.clone(),
        uptime_seconds: peer.since.elapsed().as_secs(),
        bytes_in: peer.passed.bytes_in,
        bytes_out: peer.passed.bytes_out,
        deliveries_in: peer.passed.deliveries_in,
        deliveries_out: peer.passed.deliveries_out,
        rates: compared.peer(key, peer.passed),
    };
    m.now.peers.iter().take(MOST).map(link).collect()
}

/// Deliveries of an address that left the network here.
pub(super) fn out(status: &AddressStatus) -> u64 {
    status.deliveries_out.saturating_sub(status.edge_deliveries)
}

/// Addresses, the busiest first.
fn addresses(m: &Material<'_>, compared: &Compared<'_>) -> Vec<SiteAddress> {
    let mut all: Vec<SiteAddress> = m
        .now
        .addresses
        .iter()
        .filter(|(name, _)| name.len() <= LONGEST_NAME)
        .map(|(name, status)| SiteAddress {
            address: name.to_string(),
            distribution: status.treatment.as_str().to_owned(),
            consumers: status.outlets.saturating_sub(status.edges) + status.servers + status.in_process,
            edges: if m.kind == "edge" { 0 } else { status.edges },
            senders: status.inlets,
            waiting: status.waiting,
            deliveries_in: status.deliveries_in,
            deliveries_out: out(status),
            rates: compared.address(name, status),
        })
        .collect();
    // By name among equals, as they come.
    all.sort_by(|a, b| {
        let deliveries = |address: &SiteAddress| address.deliveries_in + address.deliveries_out;
        busier_first((a.rates, deliveries(a)), (b.rates, deliveries(b)))
    });
    all
}

fn services(m: &Material<'_>, compared: &Compared<'_>) -> Vec<SiteService> {
    let service = |kind: &'static str, name: &str, totals: tcp_adaptor::Totals| {
        let (address, place) = m.places.get(kind, name);
        SiteService {
            address,
            kind: kind.to_owned(),
            name: name.to_owned(),
            place,
            state: "up".to_owned(),
            open: totals.connections_opened.saturating_sub(totals.connections_closed),
            opened: totals.connections_opened,
            failed: totals.connections_failed,
            bytes_in: totals.bytes_in,
            bytes_out: totals.bytes_out,
            rates: None,
        }
    };
    let listeners = m.now.listeners.iter().map(|(name, listener)| {
        let known = service("listener", name, listener.totals);
        SiteService {
            state: listener.state.text(),
            place: listener.local.clone().unwrap_or_else(|| known.place.clone()),
            rates: compared.listener(name, listener.totals),
            ..known
        }
    });
    let connectors = m.now.connectors.iter().map(|(name, totals)| SiteService {
        rates: compared.connector(name, *totals),
        ..service("connector", name, *totals)
    });
    listeners.chain(connectors).take(MOST).collect()
}

/// A name with its kind in front, which names that were made up have.
fn titled(kind: &str, name: &str) -> String {
    let given = name.strip_prefix(kind).is_none_or(|rest| !rest.starts_with('/'));
    if given { format!("{kind} {name}") } else { name.to_owned() }
}

fn problems(m: &Material<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut add = |severity: &str, about: String, text: String| {
        problems.push(Problem { severity: severity.to_owned(), router: m.id.to_owned(), about, text });
    };
    for link in m.connectors {
        if let Err(why) = &link.state {
            add("error", titled("connector", &link.name), format!("no link to {}: {why}", link.place));
        }
    }
    for (name, listener) in &m.now.listeners {
        let (address, place) = m.places.get("listener", name);
        match &listener.state {
            State::Failed(why) => add("error", titled("tcpListener", name), format!("cannot listen on {place}: {why}")),
            State::Unreachable => {
                add("warning", titled("tcpListener", name), format!("closed: nobody serves the address {address}"));
            }
            State::Up | State::Draining => {}
        }
    }
    problems.truncate(MOST);
    problems
}
