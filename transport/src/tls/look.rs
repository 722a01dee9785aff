//! Looking at certificates: to tell people what is wrong with one, or when it ends.

use super::error::HandshakeError;
use super::handshake::TlsClient;
use super::stream::StreamRules;
use super::uid::{UidFormat, UserNames};
use super::verify::verify_signatures;
use crate::stream::PlainStream;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::net::IpAddr;
use std::sync::Arc;
use x509_parser::extensions::GeneralName;

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Whom it is for: the whole subject.
    pub subject: String,
    /// Who vouches for it.
    pub issuer: String,
    /// Host names and addresses in its subject alternative names.
    pub names: Vec<String>,
    /// From when on it is valid, in seconds since 1970.
    pub not_before: i64,
    /// Until when it is valid, in seconds since 1970.
    pub not_after: i64,
}

impl CertificateFacts {
    /// Reads one; `None` if it is malformed.
    #[must_use]
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
        let extension = parsed.subject_alternative_name().ok().flatten();
        let names = extension.map(|extension| extension.value.general_names.iter().filter_map(name).collect());
        let subject = UidFormat::default().user(&CertificateDer::from(certificate));
        Some(Self {
            subject: subject.unwrap_or_else(|| parsed.subject().to_string()),
            issuer: parsed.issuer().to_string(),
            names: names.unwrap_or_default(),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
        })
    }

    /// Reads the first of a PEM file's content, which is that of the file's owner where it is a chain; `None` if there is none.
    #[must_use]
    pub fn of_pem(text: &[u8]) -> Option<Self> {
        CertificateDer::pem_slice_iter(text).next()?.ok().and_then(|certificate| Self::of(&certificate))
    }
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let v6 = || <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
            v4.or_else(|_| v6()).ok().map(|ip| ip.to_string())
        }
        _ => None,
    }
}

/// Handshakes with a server only to see its certificate, whatever it is, and closes. Nothing is sent over the connection, which nobody can trust.
///
/// # Errors
/// It does not speak TLS, or shows no certificate that can be read.
pub async fn certificate_of(host: &str, socket: PlainStream) -> Result<CertificateFacts, HandshakeError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let anybody = Anybody { algorithms: provider.signature_verification_algorithms };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(HandshakeError::from_rustls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(anybody))
        .with_no_client_auth();
    let rules = Arc::new(StreamRules { users: UserNames::default(), require_close_notify: false });
    let stream = TlsClient::new(Arc::new(config), rules).connect(host, socket).await?;
    let certificates = stream.tls().and_then(|tls| tls.peer_certificates());
    certificates
        .and_then(|chain| chain.first())
        .and_then(|certificate| CertificateFacts::of(certificate))
        .ok_or(HandshakeError::NoCertificate)
}

/// Takes any certificate.
#[derive(Debug)]
struct Anybody {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    verify_signatures!();
}
