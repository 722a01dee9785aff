//! Certificates for TLS tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

/// Files of a certificate authority and of what it issued.
#[derive(Clone, Debug)]
pub struct Certs {
    /// The authority's certificate.
    pub ca: PathBuf,
    /// For `localhost`, 127.0.0.1 and ::1, or the host that was asked for.
    pub server: Pair,
    /// For a client, with the common name `client`.
    pub client: Pair,
}

/// A certificate with its key, as PEM files.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Certificate.
    pub cert: PathBuf,
    /// Private key, PKCS#8.
    pub key: PathBuf,
}

impl Certs {
    /// Makes an authority and its certificates in `dir`; `name` is part of the file names.
    pub fn new(dir: &Path, name: &str) -> Self {
        Self::issue(dir, name, &["localhost", "127.0.0.1", "::1"])
    }

    /// The same with a server certificate for another host.
    pub fn for_host(dir: &Path, name: &str, host: &str) -> Self {
        Self::issue(dir, name, &[host])
    }

    /// One authority, with a server certificate for each of these hosts.
    pub fn for_hosts(dir: &Path, hosts: &[&str]) -> Vec<Self> {
        let (ca, issuer) = authority(dir, "network");
        hosts.iter().map(|host| Self::issued(dir, host, &[host], ca.clone(), &issuer)).collect()
    }

    fn issue(dir: &Path, name: &str, hosts: &[&str]) -> Self {
        let (ca, issuer) = authority(dir, name);
        Self::issued(dir, name, hosts, ca, &issuer)
    }

    fn issued(dir: &Path, name: &str, hosts: &[&str], ca: PathBuf, issuer: &Issuer<'_, KeyPair>) -> Self {
        let issue = |what: &str, names: &[&str], usage: ExtendedKeyUsagePurpose| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let mut params = CertificateParams::new(names).unwrap();
            params.distinguished_name.push(DnType::CommonName, what);
            params.extended_key_usages.push(usage);
            params.use_authority_key_identifier_extension = true;
            let key = KeyPair::generate().unwrap();
            let pair =
                Pair { cert: dir.join(format!("{name}-{what}.pem")), key: dir.join(format!("{name}-{what}.key")) };
            fs::write(&pair.cert, params.signed_by(&key, issuer).unwrap().pem()).unwrap();
            fs::write(&pair.key, key.serialize_pem()).unwrap();
            pair
        };
        Self {
            server: issue("server", hosts, ExtendedKeyUsagePurpose::ServerAuth),
            client: issue("client", &[], ExtendedKeyUsagePurpose::ClientAuth),
            ca,
        }
    }

    /// The same as PKCS#12 stores for Java, password `password`: trust store, key store.
    pub fn java_stores(&self) -> (PathBuf, PathBuf) {
        let trust = self.ca.with_extension("trust.p12");
        if !trust.exists() {
            let mut keytool = Command::new("keytool");
            keytool.args([
                "-importcert",
                "-noprompt",
                "-alias",
                "ca",
                "-storetype",
                "PKCS12",
                "-storepass",
                "password",
            ]);
            run(keytool.arg("-file").arg(&self.ca).arg("-keystore").arg(&trust));
        }
        let keys = self.client.cert.with_extension("p12");
        if !keys.exists() {
            let mut openssl = Command::new("openssl");
            openssl.args(["pkcs12", "-export", "-passout", "pass:password", "-out"]).arg(&keys);
            run(openssl.arg("-in").arg(&self.client.cert).arg("-inkey").arg(&self.client.key));
        }
        (trust, keys)
    }
}

/// The certificate of an authority, and what it issues with.
fn authority(dir: &Path, name: &str) -> (PathBuf, Issuer<'static, KeyPair>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, format!("{name} authority"));
    let key = KeyPair::generate().unwrap();
    let ca = dir.join(format!("{name}-ca.pem"));
    fs::write(&ca, params.self_signed(&key).unwrap().pem()).unwrap();
    (ca, Issuer::new(params, key))
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
