//! Addresses: syntax, classes, configuration.

mod config;
mod dynamic;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, sync::Arc};

pub use config::{AddressConfig, PatternError};
pub(crate) use config::{AddressTable, Pattern, Token};
pub(crate) use dynamic::NameGenerator;

/// What kind of thing an address names; its letter is the first of the lookup key.
///
/// Only mobile addresses have configured treatment and are known in the whole network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// `L`: something of this router.
    Local,
    /// `T`: something of every router.
    Topological,
    /// `R`: another router.
    Router,
    /// `A`: another area; not in use.
    Area,
    /// `H`: an edge router.
    Edge,
    /// `N`: another network.
    Network,
    /// `M`: everything else.
    Mobile,
    /// `P`: the links to a neighbour. Nobody can name them.
    Hop,
}

impl Class {
    const fn letter(self) -> char {
        match self {
            Self::Local => 'L',
            Self::Topological => 'T',
            Self::Router => 'R',
            Self::Area => 'A',
            Self::Edge => 'H',
            Self::Network => 'N',
            Self::Mobile => 'M',
            Self::Hop => 'P',
        }
    }

    /// The class of a lookup key.
    pub(crate) const fn of_key(key: &str) -> Self {
        match key.as_bytes() {
            [b'L', ..] => Self::Local,
            [b'T', ..] => Self::Topological,
            [b'R', ..] => Self::Router,
            [b'A', ..] => Self::Area,
            [b'H', ..] => Self::Edge,
            [b'N', ..] => Self::Network,
            [b'P', ..] => Self::Hop,
            _ => Self::Mobile,
        }
    }
}

/// Reads addresses as one router sees them.
#[derive(Clone, Debug)]
pub struct Syntax {
    router_id: Arc<str>,
    network_id: Option<Arc<str>>,
    tenant: Option<Arc<str>>,
    edge: bool,
    /// Edge routers with which this one is linked.
    peers: BTreeSet<Box<str>>,
}

impl Syntax {
    /// For the router with this id; `edge`: foreign topological addresses lead to its uplink.
    pub const fn new(router_id: Arc<str>, network_id: Option<Arc<str>>, edge: bool) -> Self {
        Self { router_id, network_id, tenant: None, edge, peers: BTreeSet::new() }
    }

    /// The same, with addresses made up for a tenant of the network.
    #[must_use]
    pub fn with_tenant(self, tenant: Option<Arc<str>>) -> Self {
        Self { tenant, ..self }
    }

    /// Gives the network another name among networks, or none.
    pub fn set_network_id(&mut self, network_id: Option<Arc<str>>) {
        self.network_id = network_id;
    }

    /// This edge router is linked with another, or is not any more: what is sent to that one need not go up.
    pub(crate) fn set_peer(&mut self, router: &str, linked: bool) {
        if linked {
            self.peers.insert(router.into());
        } else {
            self.peers.remove(router);
        }
    }

    /// Writes the lookup key (class letter and rest) of an address into `key`, replacing what it has. `None` if the address is empty.
    ///
    /// Accepted forms are `addr`, `/addr`, `amqp:/addr` and `amqp://host/addr`; one trailing `/` or `.` is dropped.
    pub fn key(&self, text: &str, key: &mut String) -> Option<Class> {
        key.clear();
        let text = strip(text);
        let text = text.strip_suffix(['/', '.']).unwrap_or(text);
        if text.is_empty() {
            return None;
        }
        let (class, rest) = if text.starts_with('_') { self.special(text) } else { (Class::Mobile, text) };
        key.push(class.letter());
        key.push_str(rest);
        Some(class)
    }

    fn special<'a>(&self, text: &'a str) -> (Class, &'a str) {
        if let Some(rest) = text.strip_prefix("_local/") {
            return (Class::Local, rest);
        }
        if let Some(rest) = text.strip_prefix("_topo/") {
            return self.topological(rest);
        }
        if let Some(rest) = text.strip_prefix("_edge/") {
            return self.of_edge(rest);
        }
        for (prefix, then) in [("_xtopo/", Self::topological as fn(&Self, &'a str) -> _), ("_xedge/", Self::of_edge)] {
            if let Some(rest) = text.strip_prefix(prefix) {
                let (network, rest) = element(rest);
                let own = self.network_id.as_deref().is_none_or(|own| own == network) || network == "0";
                return if own {
                    then(self, rest)
                } else if self.edge {
                    (Class::Local, "_edge")
                } else {
                    (Class::Network, network)
                };
            }
        }
        (Class::Mobile, text)
    }

    /// `<area>/<router>/X`
    fn topological<'a>(&self, text: &'a str) -> (Class, &'a str) {
        let (area, rest) = element(text);
        if area != "0" {
            return if self.edge { (Class::Local, "_edge") } else { (Class::Area, area) };
        }
        match rest.split_once('/') {
            Some(("all", rest)) => (Class::Topological, rest),
            // By way of that router to an edge router: see `back_through`.
            Some((_, rest)) if self.edge && rest.starts_with("_edge/") => {
                self.of_edge(rest.get(6..).unwrap_or_default())
            }
            Some((router, rest)) if router == &*self.router_id => match rest.strip_prefix("_edge/") {
                Some(edge) => self.of_edge(edge),
                None => (Class::Local, rest),
            },
            _ if self.edge => (Class::Local, "_edge"),
            _ => (Class::Router, element(rest).0),
        }
    }

    /// `<router>/X`
    fn of_edge<'a>(&self, text: &'a str) -> (Class, &'a str) {
        match text.split_once('/') {
            Some((router, rest)) if router == &*self.router_id => (Class::Local, rest),
            _ if self.edge && !self.peers.contains(element(text).0) => (Class::Local, "_edge"),
            _ => (Class::Edge, element(text).0),
        }
    }

    /// The address to hand out for a dynamic source.
    pub(crate) fn dynamic_source(&self, discriminator: &str) -> String {
        let me = &self.router_id;
        let tenant = self.tenant.as_ref().map(|tenant| format!("{tenant}/")).unwrap_or_default();
        match (&self.network_id, self.edge) {
            (None, false) => format!("amqp:/_topo/0/{me}/{tenant}temp.{discriminator}"),
            (None, true) => format!("amqp:/_edge/{me}/{tenant}temp.{discriminator}"),
            (Some(network), false) => format!("amqp:/_xtopo/{network}/0/{me}/{tenant}temp.{discriminator}"),
            (Some(network), true) => format!("amqp:/_xedge/{network}/{me}/{tenant}temp.{discriminator}"),
        }
    }

    /// The same address of this edge router, for what is to come by way of an interior router of ours.
    pub(crate) fn back_through(address: &str, router: &str) -> Option<String> {
        let rest = address.strip_prefix("amqp:/_edge/")?;
        Some(format!("amqp:/_topo/0/{router}/_edge/{rest}"))
    }

    /// The address to hand out for a dynamic target.
    pub(crate) fn dynamic_target(discriminator: &str) -> String {
        format!("amqp:/_$temp.{discriminator}")
    }
}

/// Without scheme, host and leading slash.
fn strip(text: &str) -> &str {
    if let Some(rest) = text.strip_prefix("amqp:/") {
        return match rest.strip_prefix('/') {
            Some(rest) => rest.split_once('/').map_or("", |(_host, address)| address),
            None => rest,
        };
    }
    text.strip_prefix('/').unwrap_or(text)
}

/// The first element, and what follows its slash.
fn element(text: &str) -> (&str, &str) {
    text.split_once('/').unwrap_or((text, ""))
}
