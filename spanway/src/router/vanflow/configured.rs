//! Records of the router, its site, and of listeners and connectors.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use amqp_adaptor::ConnectorState;
use router_core::config::Configuration;
use router_core::entity::{Entity, EntityKind, SiteEntity};
use router_core::vanflow::{Attribute, RecordType, Said, Vanflow};
use transport::WorkerHandle;

use super::{Names, access_record};
use crate::cli::VERSION;
use crate::router::entities::Running;
use crate::router::worker;

/// Which records there are.
#[derive(Debug, Default)]
pub(super) struct Configured {
    listeners: Names,
    /// Of the addresses of listeners that have several: each has a record, which the listener has not.
    addresses: Names,
    connectors: Names,
    links: Names,
    accesses: Names,
    /// Links that were up at the last look, and how often each has gone down.
    up: HashMap<String, bool>,
    down: HashMap<String, u64>,
}

impl Configured {
    /// Begins the records of the router and its site.
    pub(super) fn of_router(configuration: &Configuration, flow: &mut Vanflow, now: Instant) -> Self {
        let router = &configuration.router;
        let mut attributes: Vec<(Attribute, Said)> = vec![
            (Attribute::Name, format!("0/{}", router.id.as_deref().unwrap_or_default()).into()),
            (Attribute::Mode, router.mode.as_str().into()),
            (Attribute::BuildVersion, VERSION.into()),
        ];
        attributes.extend(crate::management::host_name().map(|name| (Attribute::Hostname, name.into())));
        for (attribute, variable) in [
            (Attribute::Parent, "SKUPPER_SITE_ID"),
            (Attribute::Namespace, "POD_NAMESPACE"),
            (Attribute::ImageName, "APPLICATION_NAME"),
            (Attribute::ImageVersion, "VERSION"),
        ] {
            attributes.extend(std::env::var(variable).ok().map(|value| (attribute, value.into())));
        }
        flow.open(RecordType::Router, attributes, now);
        let sites = configuration.entities.iter().filter(|entity| entity.kind() == EntityKind::Site);
        for site in sites.map(SiteEntity::from) {
            let known = [
                (Attribute::Name, Some(site.name)),
                (Attribute::Location, site.location),
                (Attribute::Provider, site.provider),
                (Attribute::Platform, site.platform),
                (Attribute::Namespace, site.namespace),
                (Attribute::ImageVersion, site.version),
            ];
            let known = known.into_iter().filter_map(|(attribute, value)| Some((attribute, value?.into())));
            flow.open(RecordType::Site, known.collect(), now);
        }
        Self::default()
    }

    /// The record of a listener, or of one of its addresses.
    pub(super) fn listener(&self, name: &str, address: Option<&str>) -> Option<u64> {
        address.map_or_else(|| self.listeners.get(name), |address| self.addresses.get(address)).copied()
    }

    /// The record of a connector.
    pub(super) fn connector(&self, name: &str) -> Option<u64> {
        self.connectors.get(name).copied()
    }

    /// Looks at what is configured now, and how it is doing.
    pub(super) async fn look(&mut self, flow: &mut Vanflow, running: &Running, workers: &[WorkerHandle], now: Instant) {
        let entities = |kind| running.with_store(|store| store.query(Some(kind)).cloned().collect::<Vec<Entity>>());
        let routers = |entity: &Entity| matches!(entity.text("role"), Some("inter-router" | "edge" | "inter-edge"));
        let tcp = |entity: &Entity| {
            let mut attributes = service(entity);
            attributes.push((Attribute::FlowCount, 0.into()));
            attributes.extend(entity.text("processId").map(|process| (Attribute::Process, process.into())));
            attributes
        };
        let all = entities(EntityKind::TcpListener);
        let listeners: Vec<Entity> = all.iter().filter(|entity| entity.text("address").is_some()).cloned().collect();
        follow(&mut self.listeners, &listeners, flow, now, |flow, entity| {
            flow.open(RecordType::Listener, tcp(entity), now)
        });
        follow(&mut self.addresses, &entities(EntityKind::ListenerAddress), flow, now, |flow, entity| {
            let listener = all.iter().find(|listener| entity.text("listener") == Some(listener.name()));
            let mut attributes = listener.map(tcp).unwrap_or_default();
            attributes.extend(entity.text("address").map(|address| (Attribute::VanAddress, address.into())));
            flow.open(RecordType::Listener, attributes, now)
        });
        follow(&mut self.connectors, &entities(EntityKind::TcpConnector), flow, now, |flow, entity| {
            flow.open(RecordType::Connector, tcp(entity), now)
        });
        let mut links = entities(EntityKind::Connector);
        links.retain(routers);
        let secure = |entity: &Entity| entity.text("sslProfile").is_some();
        let link = |entity: &Entity| {
            let protocol = if secure(entity) { "amqps" } else { "amqp" };
            let proxy = if entity.text("proxyProfile").is_some() { "yes" } else { "no" };
            let cost = entity.get("cost").and_then(|cost| cost.to_string().parse().ok()).unwrap_or(1_u64);
            let mut attributes = vec![
                (Attribute::Name, entity.name().into()),
                (Attribute::Protocol, protocol.into()),
                (Attribute::LinkCost, cost.into()),
                (Attribute::OperStatus, "down".into()),
                (Attribute::DownCount, 0.into()),
                (Attribute::HttpProxy, proxy.into()),
            ];
            attributes.extend(entity.text("role").map(|role| (Attribute::Role, role.into())));
            attributes.extend(port(entity).map(|port| (Attribute::DestPort, port.into())));
            attributes
        };
        follow(&mut self.links, &links, flow, now, |flow, entity| flow.open(RecordType::Link, link(entity), now));
        let mut accesses = entities(EntityKind::Listener);
        accesses.retain(routers);
        let access = |entity: &Entity| {
            let mut attributes = vec![(Attribute::Name, entity.name().into()), (Attribute::LinkCount, 0.into())];
            attributes.extend(entity.text("role").map(|role| (Attribute::Role, role.into())));
            attributes
        };
        follow(&mut self.accesses, &accesses, flow, now, |flow, entity| {
            let record = access_record(entity.name());
            flow.open_as(record, RecordType::RouterAccess, access(entity), now);
            record
        });
        self.look_at_links(flow, running, now);
        self.count(flow, workers).await;
    }

    fn look_at_links(&mut self, flow: &mut Vanflow, running: &Running, now: Instant) {
        for (name, status) in running.connectors() {
            let Some(record) = self.links.get(&name).copied() else { continue };
            let up = status.state == ConnectorState::Success;
            let before = self.up.insert(name.clone(), up).unwrap_or(false);
            flow.set(record, Attribute::OperStatus, if up { "up" } else { "down" });
            if let Some(access) = &status.access {
                flow.set(record, Attribute::Peer, access.as_str());
            }
            if up && !before {
                flow.set(record, Attribute::UpTimestamp, flow.micros(now));
            } else if before && !up {
                let down = self.down.entry(name).or_default();
                *down += 1;
                flow.set(record, Attribute::DownCount, *down);
                flow.set(record, Attribute::DownTimestamp, flow.micros(now));
            }
            if !up {
                flow.set(record, Attribute::Reason, status.message);
            }
        }
        self.up.retain(|name, _| self.links.contains_key(name));
        self.down.retain(|name, _| self.links.contains_key(name));
    }

    async fn count(&self, flow: &mut Vanflow, workers: &[WorkerHandle]) {
        let mut flows: HashMap<u64, u64> = HashMap::new();
        let mut requests: HashMap<u64, u64> = HashMap::new();
        let mut links: HashMap<u64, u64> = self.accesses.values().map(|record| (*record, 0)).collect();
        for worker in workers {
            let wanted: Vec<String> = self.accesses.keys().cloned().collect();
            let look = move || {
                let worker = worker::current()?;
                let snapshot = worker.tcp.snapshot();
                let links = wanted.into_iter().map(|name| {
                    let open = worker.amqp.connections_of_listener(&name);
                    (name, open as u64)
                });
                Some((snapshot, links.collect::<Vec<_>>()))
            };
            let Ok(Some((snapshot, accepted))) = worker.call(look).await else { continue };
            let mut opened = Vec::new();
            for status in snapshot.listeners {
                if let Some(record) = self.listener(&status.name, None) {
                    *requests.entry(record).or_default() += status.totals.requests;
                }
                opened.push((self.listener(&status.name, None), status.totals.connections_opened));
                let addresses = status.addresses.iter();
                opened.extend(addresses.map(|(address, opened)| (self.listener(&status.name, Some(address)), *opened)));
            }
            let connectors = snapshot.connectors.iter();
            opened.extend(connectors.map(|status| (self.connector(&status.name), status.totals.connections_opened)));
            for (record, opened) in opened.into_iter().filter_map(|(record, opened)| Some((record?, opened))) {
                *flows.entry(record).or_default() += opened;
            }
            for (name, open) in accepted {
                if let Some(record) = self.accesses.get(&name) {
                    *links.entry(*record).or_default() += open;
                }
            }
        }
        for (record, opened) in flows {
            flow.set(record, Attribute::FlowCount, opened);
        }
        for (record, seen) in requests.into_iter().filter(|(_, seen)| *seen > 0) {
            flow.set(record, Attribute::RequestCount, seen);
        }
        for (record, open) in links {
            flow.set(record, Attribute::LinkCount, open);
        }
    }
}

/// Begins records of entities that are new, and ends those of entities that are gone.
fn follow(
    names: &mut Names,
    entities: &[Entity],
    flow: &mut Vanflow,
    now: Instant,
    open: impl Fn(&mut Vanflow, &Entity) -> u64,
) {
    let there: HashSet<&str> = entities.iter().map(Entity::name).collect();
    names.retain(|name, record| {
        let stays = there.contains(name.as_str());
        if !stays {
            flow.end(*record, now);
        }
        stays
    });
    for entity in entities {
        if !names.contains_key(entity.name()) {
            names.insert(entity.name().to_owned(), open(flow, entity));
        }
    }
}

/// What a TCP listener and a TCP connector have in common.
fn service(entity: &Entity) -> Vec<(Attribute, Said)> {
    let mut attributes = vec![(Attribute::Name, entity.name().into()), (Attribute::Protocol, "tcp".into())];
    attributes.extend(entity.text("host").map(|host| (Attribute::DestHost, host.into())));
    attributes.extend(port(entity).map(|port| (Attribute::DestPort, port.into())));
    attributes.extend(entity.text("address").map(|address| (Attribute::VanAddress, address.into())));
    attributes
}

fn port(entity: &Entity) -> Option<String> {
    entity.get("port").map(ToString::to_string)
}
