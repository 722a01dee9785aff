//! Lists in OpenSSL's syntax.

use crate::tls::ciphers::{openssl_name, parse_protocols, select};
use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];

fn chosen(list: &str) -> Vec<&'static str> {
    let available = rustls::crypto::aws_lc_rs::default_provider().cipher_suites;
    let selected = select(list, &available, &BOTH).unwrap_or_else(|problem| panic!("{list}: {problem}"));
    selected.suites.into_iter().map(openssl_name).filter(|name| !name.starts_with("TLS_")).collect()
}

fn problem(list: &str) -> String {
    let available = rustls::crypto::aws_lc_rs::default_provider().cipher_suites;
    select(list, &available, &BOTH).unwrap_err()
}

#[test]
fn every_suite_has_a_name() {
    for suite in rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES {
        assert_ne!(openssl_name(*suite), "", "{suite:?}");
    }
}

#[test]
fn names_keywords_and_operators() {
    assert_eq!(chosen("ECDHE-RSA-AES128-GCM-SHA256"), ["ECDHE-RSA-AES128-GCM-SHA256"]);
    assert_eq!(chosen("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"), ["ECDHE-RSA-AES128-GCM-SHA256"]);
    assert_eq!(chosen("HIGH:!aNULL:!MD5").len(), 6);
    assert_eq!(chosen("DEFAULT@SECLEVEL=2:@STRENGTH").len(), 6);
    assert_eq!(chosen("ECDHE+AESGCM+aRSA"), ["ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256"]);
    assert_eq!(
        chosen("CHACHA20,AES128+ECDSA"),
        ["ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-ECDSA-AES128-GCM-SHA256"]
    );
    assert_eq!(chosen("ALL:!CHACHA20:!ECDSA:-AES256"), ["ECDHE-RSA-AES128-GCM-SHA256"]);
    assert_eq!(chosen("ALL:-CHACHA20:CHACHA20").len(), 6, "what - removed may come back");
    assert_eq!(chosen("ALL:!CHACHA20:CHACHA20").len(), 4, "what ! removed may not");
    assert_eq!(chosen("aRSA+CHACHA20:aRSA+AES:+CHACHA20").last(), Some(&"ECDHE-RSA-CHACHA20-POLY1305"));
}

#[test]
fn lists_that_are_in_use_elsewhere() {
    // Mozilla's intermediate list, and one that was usual for years.
    assert_eq!(
        chosen(
            "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:\
             ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:\
             DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305"
        )
        .len(),
        6
    );
    assert_eq!(
        chosen("ECDH+AESGCM:DH+AESGCM:ECDH+AES256:DH+AES256:ECDH+AES128:DH+AES:RSA+AESGCM:RSA+AES:!aNULL:!MD5:!DSS")
            .len(),
        4
    );
    assert_eq!(chosen("AES256-SHA:ECDHE-RSA-AES256-SHA384:ECDHE+AESGCM:ECDHE-ARIA128-GCM-SHA256").len(), 4);
}

#[test]
fn suites_of_openssl_that_we_lack_are_told() {
    let available = rustls::crypto::aws_lc_rs::default_provider().cipher_suites;
    let selected = select("AES256-SHA:ECDHE-RSA-AES128-GCM-SHA256", &available, &BOTH).unwrap();
    assert_eq!(selected.ignored, ["AES256-SHA"]);
}

#[test]
fn lists_that_leave_nothing_are_errors() {
    assert!(problem("AES256-SHA").contains("leaves no cipher suite for TLSv1.2"), "{}", problem("AES256-SHA"));
    assert!(problem("ECDHE-RSA-AES128-GCM-SHA257").starts_with("unknown cipher 'ECDHE-RSA-AES128-GCM-SHA257'"));
    assert!(problem("TLS_AES_128_GCM_SHA256").contains("for TLSv1.2"));
    let available = rustls::crypto::aws_lc_rs::default_provider().cipher_suites;
    assert!(select("AES256-SHA", &available, &[&TLS13]).is_ok(), "does not govern TLS 1.3");
    let only = select("TLS_AES_128_GCM_SHA256", &available, &[&TLS13]).unwrap();
    assert_eq!(only.suites.len(), 1, "unless one of its suites is named");
}

#[test]
fn protocol_names() {
    let versions =
        |text| parse_protocols(text).map(|found| found.iter().map(|v| v.version == TLS13.version).collect::<Vec<_>>());
    assert_eq!(versions(None), Ok(vec![true, false]));
    assert_eq!(versions(Some(" ")), Ok(vec![true, false]));
    assert_eq!(versions(Some("TLSv1.3")), Ok(vec![true]));
    assert_eq!(versions(Some("TLSv1.2 TLSv1.3")), Ok(vec![false, true]));
    assert_eq!(versions(Some("TLSv1 TLSv1.1 TLSv1.2")), Ok(vec![false]));
    assert!(versions(Some("TLSv1.1")).unwrap_err().contains("no longer secure"));
    assert!(versions(Some("SSLv4")).unwrap_err().contains("unknown protocol 'SSLv4'"));
}
