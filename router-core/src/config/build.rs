//! From sections to checked entities.

use super::source::{Attribute, ConfigError, Finding, Position, Section};
use super::{json, text, yaml};
use crate::entity::{
    AddressEntity, AdminEntity, AnyEntity, AutoLinkEntity, ConnectorEntity, Entity, EntityKind, EntityStore,
    ListenerAddressEntity, ListenerEntity, LogEntity, LogModule, NetworkEntity, OtlpEntity, PolicyEntity, Problem,
    ProxyProfileEntity, RouterEntity, Shortened, SiteEntity, SslProfileEntity, StoreError, TcpConnectorEntity,
    TcpListenerEntity, VhostEntity, check_all, nearest, warnings,
};

/// A way of writing configuration files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// The reference's sections: `listener { port: 5672 }`, one thing per line.
    Text,
    /// The reference's list of sections in JSON.
    Json,
    /// YAML.
    Yaml,
}

impl Syntax {
    /// The syntax that the name of a file stands for: `.json`, `.yaml`, `.yml`, and text for all others.
    pub fn of_file(name: &str) -> Self {
        let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
        match extension.as_deref() {
            Some("json") => Self::Json,
            Some("yaml" | "yml") => Self::Yaml,
            _ => Self::Text,
        }
    }
}

/// Reads a configuration file into sections. `source` names the file in messages.
///
/// # Errors
/// Mistakes of syntax. What the sections hold is checked by [`Configuration::build`].
pub fn parse(source: &str, syntax: Syntax, text: &str) -> Result<Vec<Section>, ConfigError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match syntax {
        Syntax::Text => text::parse(source, text),
        Syntax::Json => json::parse(source, text),
        Syntax::Yaml => yaml::parse(source, text),
    }
}

/// A checked configuration, ready to be put to work.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// The router. `id` may be absent; then whoever starts it makes one up.
    pub router: RouterEntity,
    /// How many workers the user asked for, if anything was said.
    pub worker_threads: Option<u32>,
    /// The network.
    pub network: NetworkEntity,
    /// Limits for clients.
    pub policy: PolicyEntity,
    /// The rules of vhosts.
    pub vhosts: Vec<VhostEntity>,
    /// The sites, at most one in practice.
    pub sites: Vec<SiteEntity>,
    /// TLS profiles.
    pub ssl_profiles: Vec<SslProfileEntity>,
    /// HTTP proxies.
    pub proxy_profiles: Vec<ProxyProfileEntity>,
    /// Treatments of addresses.
    pub addresses: Vec<AddressEntity>,
    /// Auto-links.
    pub auto_links: Vec<AutoLinkEntity>,
    /// Log settings, one for each module.
    pub logs: Vec<LogEntity>,
    /// AMQP connectors.
    pub connectors: Vec<ConnectorEntity>,
    /// AMQP listeners.
    pub listeners: Vec<ListenerEntity>,
    /// TCP listeners.
    pub tcp_listeners: Vec<TcpListenerEntity>,
    /// TCP connectors.
    pub tcp_connectors: Vec<TcpConnectorEntity>,
    /// Further addresses of TCP listeners.
    pub listener_addresses: Vec<ListenerAddressEntity>,
    /// Admin ports.
    pub admins: Vec<AdminEntity>,
    /// The collector that metrics are pushed to.
    pub otlp: Option<OtlpEntity>,
    /// All entities, in the order in which they are to be put to work.
    pub entities: Vec<Entity>,
    /// What the user should know: most of it is about things without effect in this version.
    pub warnings: Vec<Finding>,
}

/// An entity and where it was written.
struct Draft {
    entity: Entity,
    section: Section,
}

impl Configuration {
    /// Reads and checks a file. `source` names it in messages.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn from_text(source: &str, syntax: Syntax, text: &str) -> Result<Self, ConfigError> {
        Self::build(parse(source, syntax, text)?)
    }

    /// Checks sections and makes entities of them; adds singletons and log modules that are missing.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn build(sections: Vec<Section>) -> Result<Self, ConfigError> {
        let mut findings = Vec::new();
        let mut drafts: Vec<Draft> = sections.into_iter().filter_map(|section| draft(section, &mut findings)).collect();
        add_missing(&mut drafts);
        // Stable: within a type, the order of the file counts.
        drafts.sort_by_key(|draft| draft.entity.kind().creation_order());
        let mut counters = std::collections::HashMap::new();
        for draft in &mut drafts {
            let counter: &mut u64 = counters.entry(draft.entity.kind()).or_default();
            draft.entity.identify(|| {
                *counter += 1;
                *counter
            });
        }
        let entities: Vec<&Entity> = drafts.iter().map(|draft| &draft.entity).collect();
        for (index, problem) in check_all(&entities) {
            if let Some(draft) = drafts.get(index) {
                findings.push(locate(&draft.section, problem));
            }
        }
        if !findings.is_empty() {
            return Err(ConfigError { findings });
        }
        let warnings = drafts
            .iter()
            .flat_map(|draft| {
                let section = &draft.section;
                let set = |name: &str| section.attributes.iter().any(|attribute| attribute.name == name);
                warnings(&draft.entity, set).into_iter().map(|problem| locate(section, problem))
            })
            .collect();
        let set_workers = drafts.iter().any(|draft| {
            draft.entity.kind() == EntityKind::Router
                && draft.section.attributes.iter().any(|attribute| attribute.name == "workerThreads")
        });
        let entities = drafts.into_iter().map(|draft| draft.entity).collect();
        let mut configuration = Self::typed(entities, warnings);
        configuration.worker_threads = set_workers.then_some(configuration.router.worker_threads);
        Ok(configuration)
    }

    fn typed(entities: Vec<Entity>, warnings: Vec<Finding>) -> Self {
        let mut this = Self {
            router: RouterEntity::default(),
            worker_threads: None,
            network: NetworkEntity::default(),
            policy: PolicyEntity::default(),
            vhosts: Vec::new(),
            sites: Vec::new(),
            ssl_profiles: Vec::new(),
            proxy_profiles: Vec::new(),
            addresses: Vec::new(),
            auto_links: Vec::new(),
            logs: Vec::new(),
            connectors: Vec::new(),
            listeners: Vec::new(),
            tcp_listeners: Vec::new(),
            tcp_connectors: Vec::new(),
            listener_addresses: Vec::new(),
            admins: Vec::new(),
            otlp: None,
            entities: Vec::new(),
            warnings,
        };
        for entity in &entities {
            match AnyEntity::from(entity) {
                AnyEntity::Router(router) => this.router = *router,
                AnyEntity::Network(network) => this.network = *network,
                AnyEntity::Policy(policy) => this.policy = *policy,
                AnyEntity::Site(site) => this.sites.push(*site),
                AnyEntity::SslProfile(profile) => this.ssl_profiles.push(*profile),
                AnyEntity::ProxyProfile(profile) => this.proxy_profiles.push(*profile),
                AnyEntity::Address(address) => this.addresses.push(*address),
                AnyEntity::AutoLink(link) => this.auto_links.push(*link),
                AnyEntity::Log(log) => this.logs.push(*log),
                AnyEntity::Connector(connector) => this.connectors.push(*connector),
                AnyEntity::Listener(listener) => this.listeners.push(*listener),
                AnyEntity::TcpListener(listener) => this.tcp_listeners.push(*listener),
                AnyEntity::TcpConnector(connector) => this.tcp_connectors.push(*connector),
                AnyEntity::ListenerAddress(address) => this.listener_addresses.push(*address),
                AnyEntity::Admin(admin) => this.admins.push(*admin),
                AnyEntity::Otlp(otlp) => this.otlp = Some(*otlp),
                AnyEntity::Vhost(vhost) => this.vhosts.push(*vhost),
            }
        }
        this.entities = entities;
        this
    }

    /// Gives the router an id, for when the configuration has none. The id has to be one that the table allows.
    pub fn name_router(&mut self, id: &str) {
        let identity = self.router.identity.clone();
        let router = self.entities.iter_mut().find(|entity| entity.identity() == identity);
        if let Some(router) = router {
            router.put("id", id.into());
            router.rename_identity(&format!("{}/{id}", EntityKind::Router.name()));
            self.router = (&*router).into();
        }
    }

    /// A store with all entities; its changes are those that put the configuration to work.
    ///
    /// # Errors
    /// None in practice: [`Self::build`] has checked that names and identities are unique.
    pub fn store(&self) -> Result<EntityStore, StoreError> {
        let mut store = EntityStore::new();
        for entity in &self.entities {
            store.insert(entity.clone())?;
        }
        Ok(store)
    }
}

/// Makes an entity of a section; what is wrong with it goes to the findings.
fn draft(section: Section, findings: &mut Vec<Finding>) -> Option<Draft> {
    let Some(kind) = EntityKind::from_name(&section.name) else {
        let mut message = format!("unknown section `{}`", Shortened(&section.name));
        match nearest(&section.name, EntityKind::names()) {
            Some(near) => message.push_str(&format!("; did you mean `{near}`?")),
            None => {
                let names: Vec<_> = EntityKind::ALL.iter().map(|kind| kind.name()).collect();
                message.push_str(&format!("; there are {}", names.join(", ")));
            }
        }
        findings.push(Finding::new(section.position, message));
        return None;
    };
    let before = findings.len();
    let mut entity = Entity::new(kind);
    for (index, attribute) in section.attributes.iter().enumerate() {
        if let Some(first) = section.attributes.iter().take(index).find(|first| first.name == attribute.name) {
            findings.push(Finding::new(
                attribute.position.clone(),
                format!("`{}` was already set on line {}", attribute.name, first.position.line),
            ));
        } else if let Err(message) = entity.set(&attribute.name, attribute.value.clone()) {
            // A name that is not known is wrong where the name is, a bad value where the value is.
            let known = kind.descriptor().attribute(&attribute.name).is_some_and(|attribute| !attribute.read_only());
            let position = if known { &attribute.value_position } else { &attribute.position };
            findings.push(Finding::new(position.clone(), message));
        }
    }
    if kind == EntityKind::Log && entity.text("module") == Some(LogModule::Default.as_str()) {
        default_log(&mut entity);
    }
    entity.fill_in_defaults();
    if findings.len() == before {
        findings.extend(entity.check().into_iter().map(|problem| locate(&section, problem)));
    }
    // Kept even if it is wrong, so that what refers to it is not reported as well.
    Some(Draft { entity, section })
}

fn locate(section: &Section, problem: Problem) -> Finding {
    let attribute =
        problem.attribute.as_ref().and_then(|name| section.attributes.iter().find(|attribute| attribute.name == *name));
    let position = attribute.map_or(&section.position, |attribute| &attribute.value_position);
    Finding { position: position.clone(), stage: problem.stage, message: problem.message }
}

/// What the module DEFAULT logs unless it is told otherwise.
fn default_log(entity: &mut Entity) {
    for (name, value) in [
        ("enable", "info+".into()),
        ("includeTimestamp", true.into()),
        ("includeSource", false.into()),
        ("outputFile", "stderr".into()),
    ] {
        if entity.get(name).is_none() {
            entity.put(name, value);
        }
    }
}

/// Adds singletons with their defaults, and log modules without settings.
fn add_missing(drafts: &mut Vec<Draft>) {
    let section = |kind: EntityKind| Section {
        name: kind.name().to_owned(),
        position: Position::whole("default"),
        attributes: Vec::new(),
    };
    for kind in EntityKind::ALL {
        if kind.descriptor().singleton && drafts.iter().all(|draft| draft.entity.kind() != *kind) {
            drafts.push(Draft { entity: Entity::with_defaults(*kind), section: section(*kind) });
        }
    }
    for module in LogModule::TAGS {
        let configured = drafts
            .iter()
            .any(|draft| draft.entity.kind() == EntityKind::Log && draft.entity.text("module") == Some(module));
        if !configured {
            let mut entity = Entity::new(EntityKind::Log);
            entity.put("module", (*module).into());
            if *module == LogModule::Default.as_str() {
                default_log(&mut entity);
            }
            drafts.push(Draft { entity, section: section(EntityKind::Log) });
        }
    }
}

/// Adds sections that came from flags: attributes of what there is one of replace those of the file, all others are added.
pub(crate) fn merge(sections: &mut Vec<Section>, flag: Section) {
    let single = EntityKind::from_name(&flag.name).is_some_and(|kind| kind.descriptor().is_single());
    let existing = sections.iter_mut().find(|section| single && section.name == flag.name);
    let Some(existing) = existing else {
        sections.push(flag);
        return;
    };
    for attribute in flag.attributes {
        match existing.attributes.iter_mut().find(|other: &&mut Attribute| other.name == attribute.name) {
            Some(other) => *other = attribute,
            None => existing.attributes.push(attribute),
        }
    }
}
