//! Whether a peer's certificate is acceptable.
//!
//! The rules are webpki's, with three additions for certificates that OpenSSL accepts and many private networks use: a certificate that is itself in
//! `caCertFile` (self-signed, as `openssl req -x509` makes it), a host name in the common name of a certificate without subject alternative names, and,
//! by option, no check of the host name.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::Arc;

/// The part of a verifier that is the same whichever certificates it takes: that the peer has the key of the one it shows.
/// Of a type that has the field `algorithms`.
macro_rules! verify_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, cert, dss, &self.algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            cert: &CertificateDer<'_>,
            dss: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, cert, dss, &self.algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.algorithms.supported_schemes()
        }
    };
}
pub(super) use verify_signatures;

/// What `caCertFile` holds.
#[derive(Debug)]
pub(super) struct TrustedCerts {
    roots: Arc<RootCertStore>,
    certs: Vec<CertificateDer<'static>>,
}

impl TrustedCerts {
    pub(super) fn new(certs: Vec<CertificateDer<'static>>) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certs.iter().cloned());
        Self { roots: Arc::new(roots), certs }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.roots.is_empty()
    }

    pub(super) fn roots(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.roots)
    }

    /// Whether this very certificate is trusted, and valid now.
    fn contains(&self, cert: &CertificateDer<'_>, now: UnixTime) -> bool {
        if !self.certs.iter().any(|trusted| trusted.as_ref() == cert.as_ref()) {
            return false;
        }
        let (Ok((_, parsed)), Ok(now)) = (x509_parser::parse_x509_certificate(cert), i64::try_from(now.as_secs()))
        else {
            return false;
        };
        let validity = parsed.validity();
        (validity.not_before.timestamp()..=validity.not_after.timestamp()).contains(&now)
    }
}

/// Verifies the other side; `V` is what verifies clients, or `()` where servers are verified.
#[derive(Debug)]
pub(super) struct PeerVerifier<V> {
    trusted: Arc<TrustedCerts>,
    algorithms: WebPkiSupportedAlgorithms,
    verify_name: bool,
    clients: V,
}

impl PeerVerifier<()> {
    pub(super) fn for_servers(trusted: Arc<TrustedCerts>, provider: &CryptoProvider, verify_name: bool) -> Self {
        Self { trusted, algorithms: provider.signature_verification_algorithms, verify_name, clients: () }
    }
}

impl PeerVerifier<Arc<dyn ClientCertVerifier>> {
    pub(super) fn for_clients(
        clients: Arc<dyn ClientCertVerifier>,
        trusted: Arc<TrustedCerts>,
        provider: &CryptoProvider,
    ) -> Self {
        Self { trusted, algorithms: provider.signature_verification_algorithms, verify_name: false, clients }
    }
}

impl ServerCertVerifier for PeerVerifier<()> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let cert = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(&cert, &self.trusted.roots, intermediates, now, self.algorithms.all)
            .or_else(|error| if self.trusted.contains(end_entity, now) { Ok(()) } else { Err(error) })?;
        if self.verify_name {
            verify_server_name(&cert, server_name)
                .or_else(|error| if common_name_matches(end_entity, server_name) { Ok(()) } else { Err(error) })?;
        }
        Ok(ServerCertVerified::assertion())
    }

    verify_signatures!();
}

impl ClientCertVerifier for PeerVerifier<Arc<dyn ClientCertVerifier>> {
    fn offer_client_auth(&self) -> bool {
        self.clients.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.clients.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.clients.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.clients.verify_client_cert(end_entity, intermediates, now).or_else(|error| {
            if self.trusted.contains(end_entity, now) { Ok(ClientCertVerified::assertion()) } else { Err(error) }
        })
    }

    verify_signatures!();
}

/// RFC 6125 §6.4.4: the common name counts only if there is no subject alternative name; a `*` stands for the whole first label.
fn common_name_matches(cert: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
    let ServerName::DnsName(name) = name else {
        return false;
    };
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(cert) else {
        return false;
    };
    // An unreadable one counts as present.
    if !matches!(parsed.subject_alternative_name(), Ok(None)) {
        return false;
    }
    let Some(Ok(common)) = parsed.subject().iter_common_name().last().map(|cn| cn.as_str()) else {
        return false;
    };
    let name = name.as_ref();
    if common.eq_ignore_ascii_case(name) {
        return true;
    }
    match (common.strip_prefix("*."), name.split_once('.')) {
        (Some(domain), Some((_, rest))) => domain.contains('.') && domain.eq_ignore_ascii_case(rest),
        _ => false,
    }
}
