//! Records of the router, its site, and of listeners and connectors.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use amqp_adaptor::ConnectorState;
use router_core::config::Configuration;
use router_core::entity::{Entity, EntityKind, SiteEntity};
use router_core::vanflow::{Attribute, RecordType, Said, Vanflow};
use transport::WorkerHandle;

use super::Names;
use crate::cli::VERSION;
use crate::router::entities::Running;
use crate::router::worker;

/// Which records there are.
#[derive(Debug, Default)]
pub(super) struct Configured {
    listeners: Names,
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

    /// The record of the listener or connector of this name.
    pub(super) fn record(&self, ty: RecordType, name: &str) -> Option<u64> {
        let names = if ty == RecordType::Listener { &self.listeners } else { &self.connectors };
        names.get(name).copied()
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
        follow(flow, &mut self.listeners, &entities(EntityKind::TcpListener), RecordType::Listener, tcp, now);
        follow(flow, &mut self.connectors, &entities(EntityKind::TcpConnector), RecordType::Connector, tcp, now);
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
        follow(flow, &mut self.links, &links, RecordType::Link, link, now);
        let mut accesses = entities(EntityKind::Listener);
        accesses.retain(routers);
        let access = |entity: &Entity| {
            let mut attributes = vec![(Attribute::Name, entity.name().into()), (Attribute::LinkCount, 0.into())];
            attributes.extend(entity.text("role").map(|role| (Attribute::Role, role.into())));
            attributes
        };
        follow(flow, &mut self.accesses, &accesses, RecordType::RouterAccess, access, now);
        self.look_at_links(flow, running, now);
        self.count(flow, workers).await;
    }

    fn look_at_links(&mut self, flow: &mut Vanflow, running: &Running, now: Instant) {
        for (name, status) in running.connectors() {
            let Some(record) = self.links.get(&name).copied() else { continue };
            let up = status.state == ConnectorState::Success;
            let before = self.up.insert(name.clone(), up).unwrap_or(false);
            flow.set(record, Attribute::OperStatus, if up { "up" } else { "down" });
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
            let listeners = snapshot.listeners.into_iter().map(|status| (&self.listeners, status.name, status.totals));
            let connectors =
                snapshot.connectors.into_iter().map(|status| (&self.connectors, status.name, status.totals));
            for (names, name, totals) in listeners.chain(connectors) {
                if let Some(record) = names.get(&name) {
                    *flows.entry(*record).or_default() += totals.connections_opened;
                }
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
        for (record, open) in links {
            flow.set(record, Attribute::LinkCount, open);
        }
    }
}

/// Begins records of entities that are new, and ends those of entities that are gone.
fn follow(
    flow: &mut Vanflow,
    names: &mut Names,
    entities: &[Entity],
    ty: RecordType,
    attributes: impl Fn(&Entity) -> Vec<(Attribute, Said)>,
    now: Instant,
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
            names.insert(entity.name().to_owned(), flow.open(ty, attributes(entity), now));
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
