//! What the files of a profile hold: certificates and private keys (PEM), and names of users (JSON).

use super::error::TlsConfigError;
use super::profile::SslProfileSettings;
use super::verify::TrustedCerts;
use crate::secret::{SecretError, reveal};
use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument};
use rustls::client::ResolvesClientCert;
use rustls::crypto::CryptoProvider;
use rustls::server::ResolvesServerCert;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Our own certificate chain and key.
#[derive(Debug)]
pub(super) struct Identity {
    key: Arc<SingleCertAndKey>,
}

impl Identity {
    pub(super) fn server_resolver(&self) -> Arc<dyn ResolvesServerCert> {
        Arc::clone(&self.key) as _
    }

    pub(super) fn client_resolver(&self) -> Arc<dyn ResolvesClientCert> {
        Arc::clone(&self.key) as _
    }
}

/// Reports about one file of a profile.
struct File<'a> {
    profile: &'a str,
    attribute: &'static str,
    path: &'a Path,
}

impl File<'_> {
    fn read(&self) -> Result<Vec<u8>, TlsConfigError> {
        std::fs::read(self.path).map_err(|source| TlsConfigError::Unreadable {
            profile: self.profile.to_owned(),
            attribute: self.attribute,
            path: self.path.to_owned(),
            reason: source,
        })
    }

    fn unusable(&self, problem: impl Into<String>) -> TlsConfigError {
        TlsConfigError::Unusable {
            profile: self.profile.to_owned(),
            attribute: self.attribute,
            path: self.path.to_owned(),
            problem: problem.into(),
        }
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
        let pem = self.read()?;
        let certs = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| self.unusable(format!("not PEM: {error}")))?;
        if certs.is_empty() {
            return Err(self.unusable("no certificate in it"));
        }
        Ok(certs)
    }
}

pub(super) fn load_trusted(settings: &SslProfileSettings) -> Result<Option<TrustedCerts>, TlsConfigError> {
    let Some(path) = &settings.ca_cert_file else {
        return Ok(None);
    };
    let file = File { profile: &settings.name, attribute: "caCertFile", path };
    let trusted = TrustedCerts::new(file.certificates()?);
    if trusted.is_empty() {
        return Err(file.unusable("none of its certificates can be parsed"));
    }
    Ok(Some(trusted))
}

/// Names for users, by what they are called otherwise.
pub(super) fn load_names(settings: &SslProfileSettings) -> Result<BTreeMap<String, String>, TlsConfigError> {
    let Some(path) = &settings.uid_name_mapping_file else {
        return Ok(BTreeMap::new());
    };
    let file = File { profile: &settings.name, attribute: "uidNameMappingFile", path };
    serde_json::from_slice(&file.read()?).map_err(|error| file.unusable(format!("not a JSON object of names: {error}")))
}

/// Authorities that the system trusts; `None` when it has none.
pub(super) fn system_authorities() -> Option<TrustedCerts> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "system's certificate authorities");
    }
    let trusted = TrustedCerts::new(found.certs);
    if trusted.is_empty() { None } else { Some(trusted) }
}

pub(super) fn load_identity(
    settings: &SslProfileSettings,
    provider: &CryptoProvider,
) -> Result<Option<Identity>, TlsConfigError> {
    let Some(cert_path) = &settings.cert_file else {
        return Ok(None);
    };
    let cert_file = File { profile: &settings.name, attribute: "certFile", path: cert_path };
    let chain = cert_file.certificates()?;
    // One file may hold both.
    let key_file = File {
        profile: &settings.name,
        attribute: "privateKeyFile",
        path: settings.private_key_file.as_ref().unwrap_or(cert_path),
    };
    let key = load_key(&key_file, settings)?;
    let key = provider.key_provider.load_private_key(key).map_err(|error| key_file.unusable(error.to_string()))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        // Unknown: a key that does not tell its public half.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
        Err(rustls::Error::InconsistentKeys(_)) => {
            return Err(key_file.unusable(format!("it does not belong to the certificate in {}", cert_path.display())));
        }
        Err(error) => return Err(cert_file.unusable(error.to_string())),
    }
    Ok(Some(Identity { key: Arc::new(SingleCertAndKey::from(certified)) }))
}

fn load_key(file: &File<'_>, settings: &SslProfileSettings) -> Result<PrivateKeyDer<'static>, TlsConfigError> {
    const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
    let pem = file.read()?;
    let text = String::from_utf8_lossy(&pem);
    if let Some(start) = text.find(ENCRYPTED) {
        let text = text.get(start..).unwrap_or_default();
        let password =
            password(settings)?.ok_or_else(|| file.unusable("the key is encrypted, and there is no password"))?;
        return decrypt_key(text, &password).map_err(|problem| file.unusable(problem));
    }
    if text.contains("Proc-Type: 4,ENCRYPTED") {
        return Err(file.unusable(
            "the key is encrypted in OpenSSL's old format; convert it with 'openssl pkcs8 -topk8 -in OLD -out NEW'",
        ));
    }
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| match error {
        rustls_pki_types::pem::Error::NoItemsFound => file.unusable("no private key in it"),
        error => file.unusable(format!("not PEM: {error}")),
    })
}

fn decrypt_key(pem: &str, password: &str) -> Result<PrivateKeyDer<'static>, String> {
    const END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
    let end = pem.find(END).ok_or("not PEM: no end line")? + END.len();
    // Line ends of other systems are no reason to refuse.
    let pem = pem.get(..end).unwrap_or_default().replace("\r\n", "\n");
    let (_, document) = SecretDocument::from_pem(&pem).map_err(|error| format!("not PEM: {error}"))?;
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes())
        .map_err(|error| format!("the key cannot be parsed: {error}"))?;
    let key = encrypted
        .decrypt(password)
        .map_err(|error| format!("the key cannot be decrypted (is the password right?): {error}"))?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

/// The password in clear.
fn password(settings: &SslProfileSettings) -> Result<Option<String>, TlsConfigError> {
    let Some(given) = &settings.password else {
        return Ok(None);
    };
    let (profile, attribute) = (settings.name.clone(), "password");
    let password = reveal(given).map_err(|error| match error {
        SecretError::Unset { .. } => TlsConfigError::Value { profile, attribute, problem: error.to_string() },
        SecretError::Unreadable { path, source } => {
            TlsConfigError::Unreadable { profile, attribute, path, reason: source }
        }
        SecretError::NotText { path } => {
            TlsConfigError::Unusable { profile, attribute, path, problem: "not text".to_owned() }
        }
    })?;
    Ok(Some(password))
}
