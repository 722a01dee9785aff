//! User names from certificates.

use super::pki::Pki;
use crate::tls::{UidFormat, uid::UserNames};
use rcgen::{DnType, DnValue, KeyPair};
use rustls_pki_types::CertificateDer;

fn certificate() -> CertificateDer<'static> {
    let mut params = Pki::params("", &["localhost"]);
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, value) in [
        (DnType::CountryName, "US"),
        (DnType::StateOrProvinceName, "NC"),
        (DnType::LocalityName, "Raleigh"),
        (DnType::OrganizationalUnitName, "Dev"),
        (DnType::OrganizationName, "Test"),
        (DnType::CommonName, "127.0.0.1"),
    ] {
        params.distinguished_name.push(kind, value);
    }
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
}

fn user(format: &str, certificate: &CertificateDer<'_>) -> Option<String> {
    UidFormat::parse(format).unwrap().user(certificate)
}

#[test]
fn parts_in_the_order_of_the_format() {
    let cert = certificate();
    assert_eq!(user("n", &cert).as_deref(), Some("127.0.0.1"));
    assert_eq!(user("cslou", &cert).as_deref(), Some("US;NC;Raleigh;Test;Dev"));
    assert_eq!(user(" nc ", &cert).as_deref(), Some("127.0.0.1;US"));
    assert_eq!(user("", &cert).as_deref(), Some("CN=127.0.0.1,O=Test,OU=Dev,L=Raleigh,ST=NC,C=US"));
}

/// A name must not look like another that has more parts.
#[test]
fn what_could_be_taken_for_another_part_is_escaped() {
    let mut params = Pki::params("", &["localhost"]);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, " a+b ");
    params.distinguished_name.push(DnType::CommonName, "\u{fc}ber,O=\"Root\"");
    let cert = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone();
    assert_eq!(user("", &cert).as_deref(), Some(r#"CN=\C3\BCber\,O=\"Root\",O=\ a\+b\ "#));
}

#[test]
fn fingerprints_are_hexadecimal_digests_of_the_certificate() {
    let cert = certificate();
    let sha1 = user("1", &cert).unwrap();
    let sha256 = user("2", &cert).unwrap();
    let both = user("n25", &cert).unwrap();
    assert_eq!((sha1.len(), sha256.len()), (40, 64));
    assert!(sha256.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
    assert!(both.starts_with(&format!("127.0.0.1;{sha256};")));
    assert_eq!(both.len(), 9 + 1 + 64 + 1 + 128);
}

#[test]
fn missing_parts_are_left_out() {
    let params = Pki::params("only", &["localhost"]);
    let cert = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone();
    assert_eq!(user("cn", &cert).as_deref(), Some("only"));
    assert_eq!(user("c", &cert), None);
    assert_eq!(user("n", &CertificateDer::from(vec![1, 2, 3])), None);
}

#[test]
fn other_encodings_are_read() {
    let mut params = Pki::params("", &["localhost"]);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, DnValue::BmpString("M\u{fc}ller".try_into().unwrap()));
    let cert = params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone();
    assert_eq!(user("n", &cert).as_deref(), Some("M\u{fc}ller"));
}

/// What the mapping file has no name for is called as without it; so is everybody where there is no format.
#[test]
fn users_may_have_names() {
    let cert = certificate();
    let names = [("127.0.0.1;US", "alice"), ("US", ""), ("CN=127.0.0.1,O=Test,OU=Dev,L=Raleigh,ST=NC,C=US", "bob")];
    let called = |format: &str| {
        let names = names.map(|(user, name)| (user.to_owned(), name.to_owned()));
        UserNames::new(UidFormat::parse(format).unwrap(), names.into()).user(&cert)
    };
    assert_eq!(called("nc").as_deref(), Some("alice"));
    assert_eq!(called("cn").as_deref(), Some("US;127.0.0.1"));
    assert_eq!(called("c").as_deref(), Some("US"), "an empty name is none");
    assert_eq!(called("").as_deref(), Some("CN=127.0.0.1,O=Test,OU=Dev,L=Raleigh,ST=NC,C=US"));
}

#[test]
fn letters_are_checked() {
    assert_eq!(UidFormat::parse("cslounx"), Err('x'));
    assert!(UidFormat::parse("cslo un").is_err());
}
