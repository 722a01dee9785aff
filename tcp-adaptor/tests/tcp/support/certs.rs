//! An authority with a server's and a client's certificate, and rustls peers that use them.

use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;
use transport::tls::{SslProfileSettings, TlsProfile};

pub(crate) struct Certs {
    dir: TempDir,
    authority: CertificateDer<'static>,
    server: (CertificateDer<'static>, PrivatePkcs8KeyDer<'static>),
    client: (CertificateDer<'static>, PrivatePkcs8KeyDer<'static>),
}

impl Certs {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("ca.pem"), issuer.pem()).unwrap();
        let issue = |name: &str, names: Vec<String>| {
            let mut params = CertificateParams::new(names).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            let key = KeyPair::generate().unwrap();
            let cert = params.signed_by(&key, &issuer).unwrap();
            std::fs::write(dir.path().join(format!("{name}.pem")), cert.pem()).unwrap();
            std::fs::write(dir.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
            (cert.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()))
        };
        let server = issue("server", vec!["localhost".to_owned()]);
        let client = issue("client", Vec::new());
        Self { authority: issuer.der().clone(), dir, server, client }
    }

    fn path(&self, file: &str) -> Option<PathBuf> {
        Some(self.dir.path().join(file))
    }

    /// A profile of the router with the certificate of `name`.
    pub(crate) fn profile(&self, name: &str) -> Arc<TlsProfile> {
        let settings = SslProfileSettings {
            name: name.to_owned(),
            ca_cert_file: self.path("ca.pem"),
            cert_file: self.path(&format!("{name}.pem")),
            private_key_file: self.path(&format!("{name}.key")),
            ..SslProfileSettings::default()
        };
        TlsProfile::load(&settings).unwrap()
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.clone()).unwrap();
        Arc::new(roots)
    }

    /// A client's end of TLS on this socket.
    pub(crate) fn client(
        &self,
        socket: TcpStream,
        alpn: &[&str],
        with_cert: bool,
    ) -> StreamOwned<ClientConnection, TcpStream> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots());
        let mut config = if with_cert {
            let key = PrivateKeyDer::Pkcs8(self.client.1.clone_key());
            builder.with_client_auth_cert(vec![self.client.0.clone()], key).unwrap()
        } else {
            builder.with_no_client_auth()
        };
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let name = ServerName::try_from("localhost").unwrap();
        StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), socket)
    }

    /// A server's end of TLS on this socket.
    pub(crate) fn server(&self, socket: TcpStream, alpn: &[&str]) -> StreamOwned<ServerConnection, TcpStream> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::Pkcs8(self.server.1.clone_key());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.server.0.clone()], key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), socket)
    }
}
