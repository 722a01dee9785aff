//! Loading of files, and what is said when they are wrong.

use super::pki::Pki;
use crate::tls::{ClientCerts, ClientOptions, ServerOptions, SslProfileSettings, TlsConfigError, TlsProfile};
use rcgen::KeyPair;

fn error(settings: &SslProfileSettings) -> String {
    TlsProfile::load(settings).unwrap_err().to_string()
}

#[test]
fn errors_name_the_attribute_the_file_and_the_problem() {
    let pki = Pki::new("ca");
    let good = pki.issue("good", &Pki::params("good", &["localhost"]));
    TlsProfile::load(&good).unwrap();

    let missing = error(&SslProfileSettings { cert_file: Some(pki.path("none.pem")), ..good.clone() });
    assert!(missing.starts_with("Failed to configure TLS certFile "), "{missing}");
    assert!(missing.contains("none.pem for sslProfile 'test'") && missing.contains("No such file"), "{missing}");

    let no_ca = error(&SslProfileSettings { ca_cert_file: Some(pki.path("none.pem")), ..good.clone() });
    assert!(no_ca.starts_with("Failed to configure TLS caCertFile "), "{no_ca}");

    pki.write("text.pem", "hello");
    let text = error(&SslProfileSettings { ca_cert_file: Some(pki.path("text.pem")), ..good.clone() });
    assert!(text.ends_with("no certificate in it"), "{text}");

    pki.write("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let broken = error(&SslProfileSettings { ca_cert_file: Some(pki.path("broken.pem")), ..good.clone() });
    assert!(broken.ends_with("none of its certificates can be parsed"), "{broken}");

    let no_key = error(&SslProfileSettings { private_key_file: Some(pki.path("ca.pem")), ..good.clone() });
    assert!(no_key.starts_with("Failed to configure TLS privateKeyFile "), "{no_key}");
    assert!(no_key.ends_with("no private key in it"), "{no_key}");

    pki.write("other.key", &KeyPair::generate().unwrap().serialize_pem());
    let other = error(&SslProfileSettings { private_key_file: Some(pki.path("other.key")), ..good });
    assert!(other.contains("does not belong to the certificate"), "{other}");
}

#[test]
fn names_of_users_are_one_json_object_of_strings() {
    let pki = Pki::new("ca");
    let named = |text: &str| {
        pki.write("names.json", text);
        SslProfileSettings { uid_name_mapping_file: Some(pki.path("names.json")), ..pki.trusting() }
    };
    TlsProfile::load(&named(r#"{"a;b": "alice"}"#)).unwrap();
    for wrong in ["", "[]", r#"{"a": 1}"#, r#"{"a": "b""#] {
        let message = error(&named(wrong));
        assert!(message.starts_with("Failed to configure TLS uidNameMappingFile "), "{wrong}: {message}");
        assert!(message.contains("not a JSON object of names"), "{wrong}: {message}");
    }
    let missing = SslProfileSettings { uid_name_mapping_file: Some(pki.path("none.json")), ..pki.trusting() };
    assert!(error(&missing).contains("none.json for sslProfile 'test': No such file"), "{}", error(&missing));
}

#[test]
fn one_file_may_hold_certificate_and_key() {
    let pki = Pki::new("ca");
    let settings = pki.issue("both", &Pki::params("both", &["localhost"]));
    let text = ["both.pem", "both.key"].map(|file| std::fs::read_to_string(pki.path(file)).unwrap());
    pki.write("both.pem", &text.concat());
    TlsProfile::load(&SslProfileSettings { private_key_file: None, ..settings }).unwrap();
}

const PLAIN: &str = include_str!("data/plain.pem");

/// Files made by OpenSSL 3.0, password "secret".
const ENCRYPTED: [(&str, &str); 3] = [
    ("aes-256-cbc, hmacWithSHA256", include_str!("data/aes256.pem")),
    ("des-ede3-cbc, hmacWithSHA1", include_str!("data/des3-sha1.pem")),
    ("scrypt", include_str!("data/scrypt.pem")),
];

/// A profile whose key is `key`; the certificate belongs to `data/plain.pem`.
fn with_key(pki: &Pki, key: &str, password: Option<&str>) -> SslProfileSettings {
    let pair = KeyPair::from_pem(PLAIN).unwrap();
    let cert = Pki::params("enc", &["localhost"]).signed_by(&pair, pki.issuer()).unwrap();
    pki.write("enc.pem", &cert.pem());
    pki.write("enc.key", key);
    SslProfileSettings {
        cert_file: Some(pki.path("enc.pem")),
        private_key_file: Some(pki.path("enc.key")),
        password: password.map(str::to_owned),
        ..pki.trusting()
    }
}

#[test]
fn encrypted_keys_open_with_the_password_in_every_form() {
    let pki = Pki::new("ca");
    TlsProfile::load(&with_key(&pki, PLAIN, None)).unwrap();
    for (kind, key) in ENCRYPTED {
        TlsProfile::load(&with_key(&pki, key, Some("secret"))).unwrap_or_else(|e| panic!("{kind}: {e}"));
        let wrong = error(&with_key(&pki, key, Some("pass:wrong")));
        assert!(wrong.contains("is the password right?"), "{kind}: {wrong}");
        assert!(!wrong.contains("wrong"), "passwords are not told");
    }
    let key = ENCRYPTED[0].1;
    pki.write("password", "secret\nsecond line\n");
    let file = format!("file:{}", pki.path("password").display());
    for form in ["pass:secret", "literal:secret", &file] {
        TlsProfile::load(&with_key(&pki, key, Some(form))).unwrap_or_else(|e| panic!("{form}: {e}"));
    }
    // Any variable will do to see that the environment is asked.
    let wrong = error(&with_key(&pki, key, Some("env:PATH")));
    assert!(wrong.contains("is the password right?"), "{wrong}");
    let unset = error(&with_key(&pki, key, Some("env:SPANWAY_TEST_UNSET")));
    assert!(unset.contains("the environment has no variable 'SPANWAY_TEST_UNSET'"), "{unset}");
    let no_file = error(&with_key(&pki, key, Some("file:/no/such/file")));
    assert!(no_file.starts_with("Failed to configure TLS password /no/such/file"), "{no_file}");
    let none = error(&with_key(&pki, key, None));
    assert!(none.contains("there is no password"), "{none}");
    // With line ends of Windows, and text around.
    let dressed = format!("Bag Attributes\r\n{}", key.replace('\n', "\r\n"));
    TlsProfile::load(&with_key(&pki, &dressed, Some("secret"))).unwrap();
    let traditional = error(&with_key(&pki, include_str!("data/traditional.pem"), Some("secret")));
    assert!(traditional.contains("openssl pkcs8 -topk8"), "{traditional}");
}

#[test]
fn debug_output_hides_the_password() {
    let settings = SslProfileSettings { password: Some("secret".to_owned()), ..SslProfileSettings::default() };
    assert!(!format!("{settings:?}").contains("secret"));
}

#[test]
fn what_a_use_needs_must_be_there() {
    let pki = Pki::new("ca");
    let trusting = TlsProfile::load(&pki.trusting()).unwrap();
    let error = trusting.server(&ServerOptions::default()).unwrap_err();
    assert!(matches!(error, TlsConfigError::Missing { attribute: "certFile", .. }), "{error}");
    trusting.client(&ClientOptions::default()).unwrap();

    let without_ca = TlsProfile::load(&SslProfileSettings {
        ca_cert_file: None,
        ..pki.issue("server", &Pki::params("server", &["localhost"]))
    })
    .unwrap();
    without_ca.server(&ServerOptions::default()).unwrap();
    let error = without_ca
        .server(&ServerOptions { client_certs: ClientCerts::Required, ..ServerOptions::default() })
        .unwrap_err();
    assert!(matches!(error, TlsConfigError::Missing { attribute: "caCertFile", .. }), "{error}");
}

#[test]
fn a_wrong_uid_format_is_told_and_ignored() {
    let pki = Pki::new("ca");
    let profile =
        TlsProfile::load(&SslProfileSettings { uid_format: Some("nx".to_owned()), ..pki.trusting() }).unwrap();
    assert!(profile.warnings()[0].contains("sslProfile 'test': nx is ignored, 'x'"), "{:?}", profile.warnings());
}

#[test]
fn wrong_values_are_refused_with_what_would_be_right() {
    let pki = Pki::new("ca");
    let protocols = error(&SslProfileSettings { protocols: Some("TLSv1.4".to_owned()), ..pki.trusting() });
    assert!(protocols.contains("unknown protocol 'TLSv1.4'; supported are TLSv1.2 and TLSv1.3"), "{protocols}");
    let ciphers = error(&SslProfileSettings { ciphers: Some("blah".to_owned()), ..pki.trusting() });
    assert!(ciphers.contains("unknown cipher 'blah'; supported are TLS_AES_256_GCM_SHA384,"), "{ciphers}");
}
