//! TLS and who peers are.

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use amqp_adaptor::{AmqpAdaptor, Identity, ListenerConfig};
use amqp_proto::connection::ClientSasl;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore};
use transport::tls::{SslProfileSettings, TlsProfile};

use crate::client::{Client, dial, message};
use crate::router::{Router, listener};

/// An authority with certificates for a server (`localhost`) and a client.
pub(crate) struct Pki {
    dir: tempfile::TempDir,
    authority: CertificateDer<'static>,
    client: (CertificateDer<'static>, Vec<u8>),
}

impl Pki {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        let issue = |name: &str, names: Vec<String>| {
            let mut params = CertificateParams::new(names).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            let key = KeyPair::generate().unwrap();
            let cert = params.signed_by(&key, &issuer).unwrap();
            std::fs::write(dir.path().join(format!("{name}.pem")), cert.pem()).unwrap();
            std::fs::write(dir.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
            (cert.der().clone(), key.serialize_der())
        };
        issue("server", vec!["localhost".to_owned()]);
        let client = issue("client", Vec::new());
        Self { authority: issuer.der().clone(), client, dir }
    }

    pub(crate) fn path(&self, file: &str) -> Option<PathBuf> {
        Some(self.dir.path().join(file))
    }

    pub(crate) fn server_profile(&self) -> Arc<TlsProfile> {
        let settings = SslProfileSettings {
            name: "server".to_owned(),
            ca_cert_file: self.path("ca.pem"),
            cert_file: self.path("server.pem"),
            private_key_file: self.path("server.key"),
            uid_format: Some("n".to_owned()),
            ..SslProfileSettings::default()
        };
        TlsProfile::load(&settings).unwrap()
    }
}

/// A listener with a server's certificate, and a client's configuration with and without a certificate of its own.
struct Setup {
    listener: ListenerConfig,
    bare: Arc<ClientConfig>,
    certified: Arc<ClientConfig>,
}

impl Setup {
    fn new() -> Self {
        let pki = Pki::new();
        let listener = ListenerConfig { tls: Some(pki.server_profile()), ..listener() };
        let builder = || {
            let mut roots = RootCertStore::empty();
            roots.add(pki.authority.clone()).unwrap();
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
        };
        let (cert, key) = pki.client.clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key));
        let certified = builder().with_client_auth_cert(vec![cert], key).unwrap();
        Self { listener, bare: Arc::new(builder().with_no_client_auth()), certified: Arc::new(certified) }
    }
}

fn external() -> ClientSasl {
    ClientSasl::External { authzid: String::new() }
}

fn identities(router: &Router) -> Vec<(Identity, Option<&'static str>)> {
    router.each(AmqpAdaptor::connections).into_iter().flatten().map(|c| (c.identity, c.tls)).collect()
}

#[test]
fn one_port_takes_both_tls_and_plain() {
    let setup = Setup::new();
    let router = Router::with(2, setup.listener);
    let mut plain = Client::new(router.port);
    assert_eq!(identities(&router), [(Identity::default(), None)]);
    let mut tls = Client::tls(router.port, setup.bare, ClientSasl::Anonymous);
    tls.begin();
    plain.receiver("a", 10);
    let link = tls.sender("a");
    tls.send(link, &message(0, 300_000), false);
    plain.wait("delivery", |c| c.received.len() == 1);
    plain.write();
    tls.wait("outcome", |c| c.outcomes.len() == 1);
    let mut certified = Client::tls(router.port, setup.certified, external());
    certified.begin();
    let client = Identity { mechanism: Some("EXTERNAL".to_owned()), user: Some("client".to_owned()) };
    assert!(identities(&router).contains(&(client, Some("TLSv1.3"))));
    // One that leaves before it is known what it speaks, and one in the middle of its handshake.
    drop(dial(router.port));
    let mut cut = dial(router.port);
    std::io::Write::write_all(&mut cut, &[0x16, 3, 1, 2]).unwrap();
    drop(cut);
    for client in [plain, tls, certified] {
        client.close();
    }
    router.wait_empty();
}

#[test]
fn plain_clients_are_refused_where_tls_is_required() {
    let mut setup = Setup::new();
    setup.listener.require_tls = true;
    let router = Router::with(1, setup.listener);
    let mut plain = Client::plain(router.port, ClientSasl::None);
    plain.wait("end", |c| c.eof);
    assert!(!plain.opened);
    let mut tls = Client::tls(router.port, setup.bare, ClientSasl::None);
    tls.begin();
    tls.close();
    router.wait_empty();
}

#[test]
fn peers_have_to_authenticate_where_that_is_required() {
    let mut setup = Setup::new();
    setup.listener.authenticate_peer = true;
    let router = Router::with(1, setup.listener);
    for (tls, sasl) in [
        (setup.bare, ClientSasl::Anonymous),
        (Arc::clone(&setup.certified), ClientSasl::Anonymous),
        (Arc::clone(&setup.certified), ClientSasl::None),
    ] {
        let mut client = Client::tls(router.port, tls, sasl);
        client.wait("refusal", |c| c.closed.is_some() || c.eof);
        assert!(!client.opened);
    }
    let mut client = Client::tls(router.port, setup.certified, external());
    client.begin();
    client.close();
    router.wait_empty();
}

#[test]
fn a_client_that_says_nothing_has_until_the_limit() {
    let mut setup = Setup::new();
    setup.listener.handshake_timeout = Some(std::time::Duration::from_millis(100));
    let router = Router::with(1, setup.listener);
    let mut socket = dial(router.port);
    socket.set_read_timeout(None).unwrap();
    assert_eq!(socket.read(&mut [0]).unwrap_or(0), 0);
    router.wait_empty();
}
