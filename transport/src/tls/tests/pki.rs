//! A certificate authority, files, and two ends of a connection.

use crate::stream::{PlainStream, Stream};
use crate::tls::{HandshakeError, SslProfileSettings, TlsClient, TlsServer};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use std::path::PathBuf;
use tempfile::TempDir;

/// A directory with `ca.pem` and whatever was issued.
pub(super) struct Pki {
    dir: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    pub(super) fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { dir, issuer: Issuer::new(params, key) }
    }

    /// What a certificate usually looks like.
    pub(super) fn params(common_name: &str, names: &[&str]) -> CertificateParams {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params
    }

    /// Issues `NAME.pem` and `NAME.key`, and returns a profile of them with our authority.
    pub(super) fn issue(&self, name: &str, params: &CertificateParams) -> SslProfileSettings {
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        self.write(&format!("{name}.pem"), &cert.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
        SslProfileSettings {
            cert_file: Some(self.path(&format!("{name}.pem"))),
            private_key_file: Some(self.path(&format!("{name}.key"))),
            ..self.trusting()
        }
    }

    /// A profile with our authority only.
    pub(super) fn trusting(&self) -> SslProfileSettings {
        SslProfileSettings {
            name: "test".to_owned(),
            ca_cert_file: Some(self.path("ca.pem")),
            ..SslProfileSettings::default()
        }
    }

    pub(super) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }

    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    pub(super) fn write(&self, file: &str, content: &str) {
        std::fs::write(self.path(file), content).unwrap();
    }
}

pub(super) fn run<F: Future<Output = ()>>(test: impl FnOnce() -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::time::timeout(std::time::Duration::from_secs(60), test()).await.expect("test hangs");
    });
}

pub(super) async fn tcp_pair() -> (PlainStream, PlainStream) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (a, b) = tokio::join!(tokio::net::TcpStream::connect(addr), listener.accept());
    (PlainStream::new(a.unwrap()), PlainStream::new(b.unwrap().0))
}

/// Handshakes over a new connection; the client's outcome first.
pub(super) async fn shake(
    client: &TlsClient,
    server: &TlsServer,
    host: &str,
) -> (Result<Stream, HandshakeError>, Result<Stream, HandshakeError>) {
    let (a, b) = tcp_pair().await;
    tokio::join!(client.connect(host, a), server.accept(b))
}

/// Two connected streams.
pub(super) async fn connected(client: &TlsClient, server: &TlsServer) -> (Stream, Stream) {
    let (a, b) = shake(client, server, "localhost").await;
    (a.unwrap(), b.unwrap())
}
