//! `sslProfile`: from files and attributes to configurations that all workers share.

use super::error::TlsConfigError;
use super::handshake::{TlsClient, TlsServer};
use super::keys::{self, Identity};
use super::uid::{UidFormat, UserNames};
use super::verify::{PeerVerifier, TrustedCerts};
use super::{ciphers, stream::StreamRules};
use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Sessions of servers that a client configuration remembers.
const CLIENT_SESSIONS: usize = 1024;
/// TLS 1.3 tickets sent after a handshake. OpenSSL sends two as well.
const TICKETS: usize = 2;

/// Attributes of an `sslProfile` entity, as configured.
#[derive(Clone, Default)]
pub struct SslProfileSettings {
    /// Name of the profile, for messages.
    pub name: String,
    /// PEM file of the authorities that may sign the peer's certificate. Without it connectors trust the system's authorities.
    pub ca_cert_file: Option<PathBuf>,
    /// PEM file of our own certificate, with its chain.
    pub cert_file: Option<PathBuf>,
    /// PEM file of the private key of that certificate.
    pub private_key_file: Option<PathBuf>,
    /// Password of the private key: `env:NAME`, `file:PATH`, `pass:TEXT`, `literal:TEXT`, or the text itself.
    pub password: Option<String>,
    /// Cipher suites in OpenSSL's syntax; as there, it governs TLS 1.2, and TLS 1.3 only if one of its suites is named.
    pub ciphers: Option<String>,
    /// `TLSv1.2`, `TLSv1.3` or both, separated by blanks or commas. Both when absent.
    pub protocols: Option<String>,
    /// See [`UidFormat`].
    pub uid_format: Option<String>,
    /// JSON file of an object: names for the users that `uid_format` makes.
    pub uid_name_mapping_file: Option<PathBuf>,
}

impl fmt::Debug for SslProfileSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SslProfileSettings")
            .field("name", &self.name)
            .field("ca_cert_file", &self.ca_cert_file)
            .field("cert_file", &self.cert_file)
            .field("private_key_file", &self.private_key_file)
            .field("password", &self.password.as_ref().map(|_| "(hidden)"))
            .field("ciphers", &self.ciphers)
            .field("protocols", &self.protocols)
            .field("uid_format", &self.uid_format)
            .field("uid_name_mapping_file", &self.uid_name_mapping_file)
            .finish()
    }
}

/// What a listener asks of its clients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClientCerts {
    /// No certificate.
    #[default]
    None,
    /// A certificate if it has one; one that is not acceptable ends the handshake. Without `caCertFile` none is asked for.
    Optional,
    /// A certificate that an authority of `caCertFile` signed (`authenticatePeer`).
    Required,
}

/// How a listener uses a profile.
#[derive(Debug, Clone, Default)]
pub struct ServerOptions {
    /// What is asked of clients.
    pub client_certs: ClientCerts,
    /// ALPN protocols offered, best first; empty means that ALPN is not used.
    pub alpn: Vec<Vec<u8>>,
    /// Whether an end without `close_notify` is an error. Many programs end so; off by default.
    pub require_close_notify: bool,
}

/// How a connector uses a profile.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Whether the server's certificate has to name the host. Its authority is checked in any case.
    pub verify_hostname: bool,
    /// ALPN protocols offered, best first.
    pub alpn: Vec<Vec<u8>>,
    /// As for servers.
    pub require_close_notify: bool,
    /// Resume sessions. A server that asks for certificates and uses OpenSSL refuses that unless its program has named its sessions, which the
    /// reference's does not ("session id context uninitialized"); a connection that lives long gains nothing by it.
    pub resume: bool,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self { verify_hostname: true, alpn: Vec::new(), require_close_notify: false, resume: true }
    }
}

/// A loaded profile: files read, key decrypted, attributes checked.
#[derive(Debug)]
pub struct TlsProfile {
    name: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    loaded: Loaded,
    /// Those that were made of it, which change with it.
    servers: Vec<(Weak<TlsServer>, ServerOptions)>,
    clients: Vec<(Weak<TlsClient>, ClientOptions)>,
}

/// What files and attributes say.
#[derive(Debug)]
struct Loaded {
    name: String,
    provider: Arc<CryptoProvider>,
    versions: Vec<&'static SupportedProtocolVersion>,
    trusted: Option<Arc<TrustedCerts>>,
    identity: Option<Identity>,
    users: UserNames,
    warnings: Vec<String>,
}

impl TlsProfile {
    /// Reads the files of a profile.
    ///
    /// # Errors
    /// [`TlsConfigError`], which names file and problem.
    pub fn load(settings: &SslProfileSettings) -> Result<Arc<Self>, TlsConfigError> {
        let loaded = Loaded::read(settings)?;
        let state = State { loaded, servers: Vec::new(), clients: Vec::new() };
        Ok(Arc::new(Self { name: settings.name.clone(), state: Mutex::new(state) }))
    }

    /// Reads files and attributes again. All handshakes of its listeners and connectors that begin from here on go by them; connections that
    /// there are stay as they are. Which part of a certificate names a user does not change.
    ///
    /// # Errors
    /// As [`load`](Self::load), [`server`](Self::server) and [`client`](Self::client); then nothing has changed.
    pub fn reload(&self, settings: &SslProfileSettings) -> Result<(), TlsConfigError> {
        let loaded = Loaded::read(settings)?;
        let mut state = self.state();
        state.servers.retain(|(server, _)| server.strong_count() > 0);
        state.clients.retain(|(client, _)| client.strong_count() > 0);
        // All are made before any is used.
        let servers: Vec<_> =
            state.servers.iter().map(|(_, options)| loaded.server(options)).collect::<Result<_, _>>()?;
        let clients: Vec<_> =
            state.clients.iter().map(|(_, options)| loaded.client(options)).collect::<Result<_, _>>()?;
        for ((server, _), config) in state.servers.iter().zip(servers) {
            if let Some(server) = server.upgrade() {
                server.config().set(config);
            }
        }
        for ((client, _), config) in state.clients.iter().zip(clients) {
            if let Some(client) = client.upgrade() {
                client.config().set(config);
            }
        }
        state.loaded = loaded;
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Name of the profile.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What was ignored when it was read last (logged already).
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        self.state().loaded.warnings.clone()
    }

    /// The configuration of a listener. To be made once, and shared by all workers: clients can resume within one.
    ///
    /// # Errors
    /// No certificate, or client certificates are required and there is no `caCertFile`.
    pub fn server(&self, options: &ServerOptions) -> Result<Arc<TlsServer>, TlsConfigError> {
        let mut state = self.state();
        let rules = state.loaded.rules(options.require_close_notify);
        let server = Arc::new(TlsServer::new(state.loaded.server(options)?, rules));
        state.servers.retain(|(server, _)| server.strong_count() > 0);
        state.servers.push((Arc::downgrade(&server), options.clone()));
        Ok(server)
    }

    /// The configuration of a connector. To be made once, and shared by all workers.
    ///
    /// # Errors
    /// There is no `caCertFile`, and the system has no authorities either.
    pub fn client(&self, options: &ClientOptions) -> Result<Arc<TlsClient>, TlsConfigError> {
        let mut state = self.state();
        let rules = state.loaded.rules(options.require_close_notify);
        let client = Arc::new(TlsClient::new(state.loaded.client(options)?, rules));
        state.clients.retain(|(client, _)| client.strong_count() > 0);
        state.clients.push((Arc::downgrade(&client), options.clone()));
        Ok(client)
    }
}

impl Loaded {
    fn read(settings: &SslProfileSettings) -> Result<Self, TlsConfigError> {
        let value_error =
            |attribute, problem| TlsConfigError::Value { profile: settings.name.clone(), attribute, problem };
        let mut warnings = Vec::new();
        let versions = ciphers::parse_protocols(settings.protocols.as_deref())
            .map_err(|problem| value_error("protocols", problem))?;
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        if let Some(list) = settings.ciphers.as_deref().filter(|list| !list.trim().is_empty()) {
            let selected = ciphers::select(list, &provider.cipher_suites, &versions)
                .map_err(|problem| value_error("ciphers", problem))?;
            provider.cipher_suites = selected.suites;
            warnings.extend(
                selected.ignored.into_iter().map(|name| {
                    format!("sslProfile '{}': cipher '{name}' is not supported and left out", settings.name)
                }),
            );
        }
        let uid_format = match settings.uid_format.as_deref().map(UidFormat::parse) {
            None => UidFormat::default(),
            Some(Ok(format)) => format,
            // As the reference does: said, and otherwise ignored.
            Some(Err(letter)) => {
                warnings.push(format!(
                    "Invalid format for uidFormat field in sslProfile '{}': {} is ignored, '{letter}' is none of c s l o u n 1 2 5",
                    settings.name,
                    settings.uid_format.as_deref().unwrap_or_default()
                ));
                UidFormat::default()
            }
        };
        let users = UserNames::new(uid_format, keys::load_names(settings)?);
        let trusted = keys::load_trusted(settings)?.map(Arc::new);
        let identity = keys::load_identity(settings, &provider)?;
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        Ok(Self {
            name: settings.name.clone(),
            provider: Arc::new(provider),
            versions,
            trusted,
            identity,
            users,
            warnings,
        })
    }

    fn server(&self, options: &ServerOptions) -> Result<Arc<ServerConfig>, TlsConfigError> {
        let Some(identity) = &self.identity else {
            return Err(self.missing("certFile", "a listener"));
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&self.versions)
            .map_err(|error| self.value("ciphers", &error))?;
        let builder = match (options.client_certs, &self.trusted) {
            (ClientCerts::Required, None) => {
                return Err(self.missing("caCertFile", "authenticatePeer"));
            }
            (ClientCerts::None, _) | (ClientCerts::Optional, None) => builder.with_no_client_auth(),
            (wanted, Some(trusted)) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(trusted.roots(), Arc::clone(&self.provider));
                let verifier =
                    if wanted == ClientCerts::Optional { verifier.allow_unauthenticated() } else { verifier };
                let verifier = verifier.build().map_err(|error| self.value("caCertFile", &error))?;
                builder.with_client_cert_verifier(Arc::new(PeerVerifier::for_clients(
                    verifier,
                    Arc::clone(trusted),
                    &self.provider,
                )))
            }
        };
        let mut config = builder.with_cert_resolver(identity.server_resolver());
        config.alpn_protocols.clone_from(&options.alpn);
        config.ticketer =
            rustls::crypto::aws_lc_rs::Ticketer::new().map_err(|error| self.value("protocols", &error))?;
        config.send_tls13_tickets = TICKETS;
        Ok(Arc::new(config))
    }

    fn client(&self, options: &ClientOptions) -> Result<Arc<ClientConfig>, TlsConfigError> {
        let trusted = match &self.trusted {
            Some(trusted) => Arc::clone(trusted),
            None => Arc::new(keys::system_authorities().ok_or_else(|| self.missing("caCertFile", "a connector"))?),
        };
        let verifier = PeerVerifier::for_servers(trusted, &self.provider, options.verify_hostname);
        let builder = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&self.versions)
            .map_err(|error| self.value("ciphers", &error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &self.identity {
            Some(identity) => builder.with_client_cert_resolver(identity.client_resolver()),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols.clone_from(&options.alpn);
        config.resumption =
            if options.resume { Resumption::in_memory_sessions(CLIENT_SESSIONS) } else { Resumption::disabled() };
        Ok(Arc::new(config))
    }

    fn rules(&self, require_close_notify: bool) -> Arc<StreamRules> {
        Arc::new(StreamRules { users: self.users.clone(), require_close_notify })
    }

    fn missing(&self, attribute: &'static str, needed_by: &'static str) -> TlsConfigError {
        TlsConfigError::Missing { profile: self.name.clone(), attribute, needed_by }
    }

    fn value(&self, attribute: &'static str, error: &dyn fmt::Display) -> TlsConfigError {
        TlsConfigError::Value { profile: self.name.clone(), attribute, problem: error.to_string() }
    }
}
