//! From entities to what the adaptors understand.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use amqp_adaptor::{
    AutoLinkConfig, ClientAnnotations, ConnectionRole, ConnectorConfig, Credentials, DataConnections, Failover, Proxy,
    ProxyConfig,
};
use anyhow::{Context as _, anyhow, bail};
use router_core::config::Configuration;
use router_core::entity::{
    AddressEntity, AnyEntity, AutoLinkEntity, ConnectorEntity, Direction, Distribution, Entity, ListenerAddressEntity,
    ListenerEntity, MultiAddressStrategy, Observer, OtlpEndpoint, OtlpEntity, Properties, ProxyProfileEntity,
    ProxyProtocolAccept, ProxyProtocolSend, Role, Secret, SocketAddressFamily, SslProfileEntity, StripAnnotations,
    TcpConnectorEntity, TcpListenerEntity, Value,
};
use router_core::{AddressConfig, Treatment};
use transport::proxy_protocol::Version;
use transport::secret::{SecretError, reveal};
use transport::socket::{Family, Keepalive};
use transport::tls::{ClientCerts, ClientOptions, ServerOptions, SslProfileSettings, TlsClient, TlsProfile};

use crate::http::Answers;

/// Loaded TLS profiles by name.
pub(crate) type Profiles = HashMap<String, Profile>;

/// HTTP proxies by name.
pub(crate) type Proxies = HashMap<String, Proxy>;

/// A TLS profile, and what connectors between routers tell about it.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    tls: Arc<TlsProfile>,
    ordinal: u64,
}

/// The frame size that 0 stands for.
const MAX_FRAME_SIZE: u32 = 16_384;
/// The number of sessions that 0 stands for.
const MAX_SESSIONS: u32 = 32_768;
/// Probes of keepalive, as often as the system does by default; the time before the first is configured.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_PROBES: u32 = 4;

pub(crate) fn treatment(distribution: Distribution) -> Treatment {
    match distribution {
        Distribution::Multicast => Treatment::Multicast,
        Distribution::Closest => Treatment::Closest,
        Distribution::Balanced => Treatment::Balanced,
        Distribution::Unavailable => Treatment::Unavailable,
    }
}

pub(crate) fn address(entity: &AddressEntity) -> anyhow::Result<AddressConfig> {
    let distribution = treatment(entity.distribution);
    let mut config = match (&entity.prefix, &entity.pattern) {
        (Some(prefix), None) => AddressConfig::prefix(prefix, distribution),
        (None, Some(pattern)) => AddressConfig { pattern: pattern.clone(), distribution, priority: None },
        _ => bail!("address {}: set either prefix or pattern", entity.name),
    };
    config.priority = entity.priority.map(|p| u8::try_from(p.clamp(0, 9)).unwrap_or(9));
    Ok(config)
}

pub(crate) fn auto_link(entity: &AutoLinkEntity) -> AutoLinkConfig {
    let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    AutoLinkConfig {
        name: entity.name.clone(),
        direction: match entity.direction {
            Direction::In => router_core::Direction::In,
            Direction::Out => router_core::Direction::Out,
        },
        address: set(&entity.address),
        external_address: set(&entity.external_address),
        container: set(&entity.container_id),
        connection: set(&entity.connection),
    }
}

fn settings(entity: &SslProfileEntity) -> SslProfileSettings {
    SslProfileSettings {
        name: entity.name.clone(),
        ca_cert_file: entity.ca_cert_file.clone(),
        cert_file: entity.cert_file.clone(),
        private_key_file: entity.private_key_file.clone(),
        password: entity.password.as_ref().map(|p| p.expose().to_owned()),
        ciphers: entity.ciphers.clone(),
        protocols: entity.protocols.clone(),
        uid_format: entity.uid_format.clone(),
        uid_name_mapping_file: entity.uid_name_mapping_file.clone(),
    }
}

pub(crate) fn profile(entity: &SslProfileEntity) -> anyhow::Result<Profile> {
    let tls = TlsProfile::load(&settings(entity)).with_context(|| format!("sslProfile {}", entity.name))?;
    let profile = Profile { tls, ordinal: u64::from(entity.ordinal.unwrap_or(0)) };
    profile.warn();
    Ok(profile)
}

impl Profile {
    /// Reads files and attributes again: handshakes from here on go by them. Answers the ordinal.
    ///
    /// # Errors
    /// They are not usable, or the ordinal is lower than before; nothing has changed then.
    pub(crate) fn reload(&mut self, entity: &SslProfileEntity) -> anyhow::Result<u64> {
        let ordinal = u64::from(entity.ordinal.unwrap_or(0));
        if ordinal < self.ordinal {
            bail!("ordinal: {ordinal} is lower than {}: other routers would refuse connections with it", self.ordinal);
        }
        self.tls.reload(&settings(entity)).with_context(|| format!("sslProfile {}", entity.name))?;
        self.ordinal = ordinal;
        self.warn();
        Ok(ordinal)
    }

    fn warn(&self) {
        for warning in self.tls.warnings() {
            tracing::warn!(target: "CONN_MGR", "sslProfile {}: {warning}", self.tls.name());
        }
    }
}

/// The TLS of a collector, if its endpoint wants any: with the profile that it names, or what the system trusts.
pub(crate) fn collector_tls(otlp: &OtlpEntity, profiles: &Profiles) -> anyhow::Result<Option<Arc<TlsClient>>> {
    if !OtlpEndpoint::parse(&otlp.endpoint).is_some_and(|endpoint| endpoint.tls) {
        return Ok(None);
    }
    let profile = match find_profile(profiles, otlp.ssl_profile.as_deref())? {
        Some(profile) => profile,
        None => TlsProfile::load(&SslProfileSettings { name: "otlp".to_owned(), ..SslProfileSettings::default() })?,
    };
    Ok(Some(profile.client(&ClientOptions::default()).context("otlp")?))
}

fn find_profile(profiles: &Profiles, name: Option<&str>) -> anyhow::Result<Option<Arc<TlsProfile>>> {
    Ok(find_whole_profile(profiles, name)?.map(|profile| profile.tls))
}

fn find_whole_profile(profiles: &Profiles, name: Option<&str>) -> anyhow::Result<Option<Profile>> {
    let Some(name) = name else { return Ok(None) };
    profiles.get(name).cloned().map(Some).ok_or_else(|| anyhow!("there is no sslProfile named {name}"))
}

fn family(family: Option<SocketAddressFamily>) -> Family {
    match family {
        None => Family::Any,
        Some(SocketAddressFamily::V4) => Family::V4,
        Some(SocketAddressFamily::V6) => Family::V6,
    }
}

fn seconds(value: u32) -> Option<Duration> {
    (value > 0).then(|| Duration::from_secs(u64::from(value)))
}

fn keepalive(value: u32) -> Option<Keepalive> {
    seconds(value).map(|idle| Keepalive { idle, interval: KEEPALIVE_INTERVAL, probes: KEEPALIVE_PROBES })
}

/// A value of an attribute for which 0 means `default`.
fn or_default(value: i64, default: u32) -> u32 {
    u32::try_from(value).ok().filter(|v| *v > 0).unwrap_or(default)
}

fn role(role: Role) -> anyhow::Result<ConnectionRole> {
    Ok(match role {
        Role::Normal => ConnectionRole::Normal,
        Role::InterRouter => ConnectionRole::InterRouter,
        Role::RouteContainer => ConnectionRole::RouteContainer,
        Role::Edge => ConnectionRole::Edge,
        Role::InterEdge => ConnectionRole::InterEdge,
        Role::InterNetwork => ConnectionRole::InterNetwork,
    })
}

fn annotations(strip: StripAnnotations) -> ClientAnnotations {
    use StripAnnotations::{In, No, Out};
    ClientAnnotations { read: matches!(strip, Out | No), given: matches!(strip, In | No) }
}

pub(crate) fn cost(value: i64) -> u32 {
    u32::try_from(value.max(1)).unwrap_or(u32::MAX)
}

fn open_properties(properties: Option<&Properties>) -> Vec<(String, amqp_proto::Value)> {
    properties.into_iter().flat_map(|p| &p.0).map(|(key, value)| (key.clone(), amqp_value(value))).collect()
}

/// A value of the configuration as AMQP has it: numbers in the smallest signed type that the reference uses.
fn amqp_value(value: &Value) -> amqp_proto::Value {
    use amqp_proto::Value as Amqp;
    match value {
        Value::Null => Amqp::Null,
        Value::Bool(truth) => Amqp::Boolean(*truth),
        Value::Integer(number) => Amqp::Long(*number),
        Value::Float(number) => Amqp::Double(*number),
        Value::String(text) => Amqp::from(text.as_str()),
        Value::List(items) => Amqp::List(items.iter().map(amqp_value).collect()),
        Value::Map(entries) => {
            Amqp::Map(entries.iter().map(|(key, value)| (Amqp::from(key.as_str()), amqp_value(value))).collect())
        }
    }
}

fn mechanisms(value: Option<&str>) -> Vec<String> {
    value.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// `dataConnectionCount`: `auto`, or a number.
pub(crate) fn data_connections(value: &str) -> anyhow::Result<DataConnections> {
    if value == "auto" {
        return Ok(DataConnections::Auto);
    }
    let count =
        value.parse().with_context(|| format!("dataConnectionCount: `{value}` is neither `auto` nor a number"))?;
    Ok(DataConnections::Exactly(count))
}

fn find_proxy(name: &str, proxies: &Proxies) -> anyhow::Result<Proxy> {
    proxies.get(name).cloned().with_context(|| format!("there is no proxyProfile named {name}"))
}

pub(crate) fn proxy(entity: &ProxyProfileEntity) -> anyhow::Result<ProxyConfig> {
    let name = &entity.name;
    let port = entity.port.as_deref().with_context(|| format!("proxyProfile {name}: port must be set"))?;
    Ok(ProxyConfig {
        host: entity.host.clone().with_context(|| format!("proxyProfile {name}: host must be set"))?,
        port: port.parse().with_context(|| format!("proxyProfile {name}: port: `{port}` is no port"))?,
        credentials: match &entity.username {
            Some(username) => Some((
                username.clone(),
                password(entity.password.as_ref()).with_context(|| format!("proxyProfile {name}: password"))?,
            )),
            None => None,
        },
    })
}

/// A password in clear; an empty one if there is none.
fn password(given: Option<&Secret>) -> Result<String, SecretError> {
    given.map_or_else(|| Ok(String::new()), |secret| reveal(secret.expose()))
}

/// That of a connector. The reference knows no `literal:` there, which is a part of the password.
fn sasl_password(given: Option<&Secret>) -> Result<String, SecretError> {
    match given {
        Some(secret) if secret.expose().starts_with("literal:") => Ok(secret.expose().to_owned()),
        given => password(given),
    }
}

/// A connector of the configuration, without its password if that cannot be read: a router that does not start is worse than a connector
/// that is not let in, which says so.
pub(crate) fn without_lost_password(entity: &Entity) -> Cow<'_, Entity> {
    let AnyEntity::Connector(connector) = AnyEntity::from(entity) else { return Cow::Borrowed(entity) };
    let Err(error) = sasl_password(connector.sasl_password.as_ref()) else { return Cow::Borrowed(entity) };
    let name = &connector.name;
    match error {
        SecretError::Unreadable { path, source } => tracing::error!(
            target: "CONN_MGR",
            "connector {name}: Unable to open password file {}, error: {source}",
            path.display()
        ),
        error => tracing::error!(target: "CONN_MGR", "connector {name}: saslPassword: {error}"),
    }
    let mut entity = entity.clone();
    // Nothing refuses that it is unset.
    let _ = entity.set("saslPassword", Value::Null);
    Cow::Owned(entity)
}

pub(crate) fn connector(
    entity: &ConnectorEntity,
    profiles: &Profiles,
    proxies: &Proxies,
    data_connections: DataConnections,
) -> anyhow::Result<ConnectorConfig> {
    let profile = find_whole_profile(profiles, entity.ssl_profile.as_deref())?;
    let tls = match &profile {
        None => None,
        Some(profile) => Some(profile.tls.client(&ClientOptions {
            verify_hostname: entity.verify_hostname,
            resume: false,
            ..ClientOptions::default()
        })?),
    };
    Ok(ConnectorConfig {
        name: entity.name.clone(),
        host: entity.host.clone(),
        port: entity.port.number(),
        family: family(entity.socket_address_family),
        role: role(entity.role).with_context(|| format!("connector {}", entity.name))?,
        cost: cost(entity.cost).into(),
        tls,
        ordinal: profile.as_ref().map(|profile| profile.ordinal),
        proxy: entity.proxy_profile.as_deref().map(|name| find_proxy(name, proxies)).transpose()?,
        sasl_mechanisms: mechanisms(entity.sasl_mechanisms.as_deref()),
        credentials: match &entity.sasl_username {
            Some(username) => Some(Credentials {
                username: username.clone(),
                password: sasl_password(entity.sasl_password.as_ref())
                    .with_context(|| format!("connector {}: saslPassword", entity.name))?,
            }),
            None => None,
        },
        max_frame_size: or_default(entity.max_frame_size, MAX_FRAME_SIZE),
        max_sessions: or_default(entity.max_sessions, MAX_SESSIONS),
        idle_timeout: seconds(entity.idle_timeout_seconds),
        handshake_timeout: None,
        policy_vhost: entity.policy_vhost.as_deref().map(Into::into),
        link_capacity: entity.link_capacity,
        annotations: annotations(entity.strip_annotations),
        data_connections,
        open_properties: open_properties(entity.open_properties.as_ref()),
    })
}

pub(crate) fn listener(
    entity: &ListenerEntity,
    profiles: &Profiles,
    answers: &Answers,
) -> anyhow::Result<amqp_adaptor::ListenerConfig> {
    let tls = find_profile(profiles, entity.ssl_profile.as_deref())?;
    Ok(amqp_adaptor::ListenerConfig {
        name: entity.name.clone(),
        host: entity.host.clone(),
        port: entity.port.number(),
        family: family(entity.socket_address_family),
        require_tls: entity.require_ssl || entity.require_encryption,
        tls,
        authenticate_peer: entity.authenticate_peer,
        sasl_mechanisms: mechanisms(entity.sasl_mechanisms.as_deref()),
        sasl: None,
        max_frame_size: or_default(entity.max_frame_size, MAX_FRAME_SIZE),
        max_sessions: or_default(entity.max_sessions, MAX_SESSIONS),
        idle_timeout: seconds(entity.idle_timeout_seconds),
        handshake_timeout: seconds(entity.initial_handshake_timeout_seconds),
        policy_vhost: entity.policy_vhost.as_deref().map(Into::into),
        link_capacity: entity.link_capacity,
        annotations: annotations(entity.strip_annotations),
        role: role(entity.role).with_context(|| format!("listener {}", entity.name))?,
        cost: cost(entity.cost).into(),
        failover: failover(entity.failover_urls.as_deref().unwrap_or_default())
            .with_context(|| format!("listener {}: failoverUrls", entity.name))?,
        access_id: None,
        open_properties: open_properties(entity.open_properties.as_ref()),
        http: crate::http::site(entity, answers),
    })
}

/// Places that clients may go to.
fn failover(urls: &str) -> anyhow::Result<Vec<Failover>> {
    let place = |url: &str| {
        let (scheme, rest) = url.split_once("://").map_or((None, url), |(scheme, rest)| (Some(scheme), rest));
        if !matches!(scheme, None | Some("amqp" | "amqps")) {
            bail!("expected amqp:// or amqps://, found `{url}`");
        }
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (rest, scheme.unwrap_or("amqp")),
        };
        let known = matches!(port, "amqp" | "amqps") || port.parse::<u16>().is_ok_and(|port| port > 0);
        if host.is_empty() || !known {
            bail!("expected a host and a port, found `{url}`");
        }
        Ok(Failover { scheme: scheme.map(str::to_owned), host: host.to_owned(), port: port.to_owned() })
    };
    urls.split([',', ' ']).filter(|url| !url.is_empty()).map(place).collect()
}

/// ALPN protocols of TCP services, which servers with TLS are then offered. The first that a client offers is taken, and
/// whether a server speaks HTTP/2, too, is not known by then: HTTP/1.1 comes first, as in the reference. Clients that
/// need HTTP/2 offer nothing else.
fn service_protocols() -> Vec<Vec<u8>> {
    vec![b"http/1.1".to_vec(), b"h2".to_vec()]
}

/// The tenant that TCP services belong to: their addresses begin with it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tenant(Option<Arc<str>>);

impl Tenant {
    pub(crate) fn of(configuration: &Configuration) -> Self {
        // Whoever sets both means the newer one.
        let tenant = configuration.network.tenant_id.as_deref().or(configuration.router.van_id.as_deref());
        Self(tenant.filter(|tenant| !tenant.is_empty()).map(Arc::from))
    }

    /// For addresses that are made up.
    pub(crate) fn id(&self) -> Option<Arc<str>> {
        self.0.clone()
    }

    pub(super) fn address(&self, address: &str) -> String {
        match &self.0 {
            Some(tenant) if !address.is_empty() => format!("{tenant}/{address}"),
            _ => address.to_owned(),
        }
    }
}

pub(crate) fn tcp_listener(
    entity: &TcpListenerEntity,
    profiles: &Profiles,
    tenant: &Tenant,
) -> anyhow::Result<tcp_adaptor::ListenerConfig> {
    let mut config = tcp_adaptor::ListenerConfig::new(
        &entity.name,
        tenant.address(entity.address.as_deref().unwrap_or_default()),
        &entity.host,
        entity.port.number(),
    );
    config.strategy = match entity.multi_address_strategy {
        MultiAddressStrategy::None => tcp_adaptor::MultiAddressStrategy::None,
        MultiAddressStrategy::Priority => tcp_adaptor::MultiAddressStrategy::Priority,
        MultiAddressStrategy::Weighted => tcp_adaptor::MultiAddressStrategy::Weighted,
    };
    config.family = family(entity.socket_address_family);
    config.backlog = entity.backlog;
    config.tls = match find_profile(profiles, entity.ssl_profile.as_deref())? {
        None => None,
        Some(profile) => Some(profile.server(&ServerOptions {
            client_certs: if entity.authenticate_peer { ClientCerts::Required } else { ClientCerts::None },
            alpn: service_protocols(),
            require_close_notify: entity.require_close_notify,
        })?),
    };
    config.accept_proxy = entity.proxy_protocol != ProxyProtocolAccept::None;
    config.flow = tcp_adaptor::FlowOptions {
        keepalive: keepalive(entity.keep_alive_seconds),
        idle_timeout: seconds(entity.idle_timeout_seconds),
        half_open_timeout: seconds(entity.half_open_timeout_seconds),
    };
    config.observer = observer(entity.observer);
    Ok(config)
}

/// What is looked for in the flows of a TCP listener.
pub(crate) const fn observer(observer: Observer) -> Option<tcp_adaptor::Wanted> {
    match observer {
        Observer::None => None,
        Observer::Auto => Some(tcp_adaptor::Wanted::Any),
        Observer::Http1 => Some(tcp_adaptor::Wanted::Http1),
        Observer::Http2 => Some(tcp_adaptor::Wanted::Http2),
    }
}

pub(crate) fn tcp_connector(
    entity: &TcpConnectorEntity,
    profiles: &Profiles,
    tenant: &Tenant,
) -> anyhow::Result<tcp_adaptor::ConnectorConfig> {
    let address =
        entity.address.as_deref().with_context(|| format!("tcpConnector {}: address must be set", entity.name))?;
    let address = tenant.address(address);
    let mut config = tcp_adaptor::ConnectorConfig::new(&entity.name, address, &entity.host, entity.port.number());
    config.family = family(entity.socket_address_family);
    config.tls = match find_profile(profiles, entity.ssl_profile.as_deref())? {
        None => None,
        Some(profile) => Some(profile.client(&ClientOptions {
            verify_hostname: entity.verify_hostname,
            require_close_notify: entity.require_close_notify,
            ..ClientOptions::default()
        })?),
    };
    config.send_proxy = match entity.proxy_protocol {
        ProxyProtocolSend::None => None,
        ProxyProtocolSend::V1 => Some(Version::V1),
        ProxyProtocolSend::V2 => Some(Version::V2),
    };
    if let Some(limit) = seconds(entity.connect_timeout_seconds) {
        config.connect_timeout = limit;
    }
    config.flow.keepalive = keepalive(entity.keep_alive_seconds);
    Ok(config)
}

pub(crate) fn listener_address(
    entity: &ListenerAddressEntity,
    tenant: &Tenant,
) -> anyhow::Result<tcp_adaptor::ListenerAddressConfig> {
    let value = u64::try_from(entity.value).ok().filter(|v| *v > 0);
    Ok(tcp_adaptor::ListenerAddressConfig {
        name: entity.name.clone(),
        listener: entity.listener.clone(),
        address: tenant.address(&entity.address),
        value: value.with_context(|| format!("listenerAddress {}: value must be above 0", entity.name))?,
    })
}
