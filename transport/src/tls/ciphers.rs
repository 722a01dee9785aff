//! OpenSSL's names and lists of cipher suites, and names of protocol versions, in terms of rustls.

use rustls::crypto::aws_lc_rs::cipher_suite as suite;
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

/// A suite that rustls has.
struct Known {
    suite: SupportedCipherSuite,
    openssl: &'static str,
    /// Keywords of ciphers(1) that include it; none for TLS 1.3, whose suites OpenSSL's lists do not govern.
    keywords: &'static [&'static str],
}

/// In order of preference.
static KNOWN: [Known; 9] = [
    Known { suite: suite::TLS13_AES_256_GCM_SHA384, openssl: "TLS_AES_256_GCM_SHA384", keywords: &[] },
    Known { suite: suite::TLS13_AES_128_GCM_SHA256, openssl: "TLS_AES_128_GCM_SHA256", keywords: &[] },
    Known { suite: suite::TLS13_CHACHA20_POLY1305_SHA256, openssl: "TLS_CHACHA20_POLY1305_SHA256", keywords: &[] },
    Known {
        suite: suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        openssl: "ECDHE-ECDSA-AES256-GCM-SHA384",
        keywords: &["AECDSA", "ECDSA", "AES", "AES256", "AESGCM", "SHA384", "SUITEB192", "SUITEB128"],
    },
    Known {
        suite: suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        openssl: "ECDHE-ECDSA-AES128-GCM-SHA256",
        keywords: &["AECDSA", "ECDSA", "AES", "AES128", "AESGCM", "SHA256", "SUITEB128", "SUITEB128ONLY"],
    },
    Known {
        suite: suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        openssl: "ECDHE-ECDSA-CHACHA20-POLY1305",
        keywords: &["AECDSA", "ECDSA", "CHACHA20"],
    },
    Known {
        suite: suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        openssl: "ECDHE-RSA-AES256-GCM-SHA384",
        keywords: &["ARSA", "RSA", "AES", "AES256", "AESGCM", "SHA384"],
    },
    Known {
        suite: suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        openssl: "ECDHE-RSA-AES128-GCM-SHA256",
        keywords: &["ARSA", "RSA", "AES", "AES128", "AESGCM", "SHA256"],
    },
    Known {
        suite: suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        openssl: "ECDHE-RSA-CHACHA20-POLY1305",
        keywords: &["ARSA", "RSA", "CHACHA20"],
    },
];

/// Keywords that include every suite of TLS 1.2 that rustls has.
const ALL_OF_OURS: [&str; 12] = [
    "ALL",
    "DEFAULT",
    "HIGH",
    "COMPLEMENTOFALL",
    "ECDHE",
    "EECDH",
    "KECDHE",
    "KEECDH",
    "ECDH",
    "TLSV1.2",
    "AEAD",
    "FIPS",
];

/// Keywords of ciphers(1) that include none of rustls' suites, and words of which OpenSSL's suite names are made.
const NONE_OF_OURS: [&str; 66] = [
    "COMPLEMENTOFDEFAULT",
    "MEDIUM",
    "LOW",
    "EXP",
    "EXPORT",
    "EXPORT40",
    "EXPORT56",
    "ENULL",
    "NULL",
    "ANULL",
    "KRSA",
    "KDHR",
    "KDHD",
    "KDH",
    "DHE",
    "KDHE",
    "EDH",
    "KEDH",
    "DH",
    "ADH",
    "AECDH",
    "KECDHR",
    "KECDHE",
    "ADSS",
    "DSS",
    "ADH",
    "TLSV1",
    "TLSV1.0",
    "SSLV3",
    "SSLV2",
    "AESCCM",
    "AESCCM8",
    "ARIA",
    "ARIA128",
    "ARIA256",
    "ARIAGCM",
    "CAMELLIA",
    "CAMELLIA128",
    "CAMELLIA256",
    "DES",
    "3DES",
    "RC4",
    "RC2",
    "IDEA",
    "SEED",
    "MD5",
    "SHA1",
    "SHA",
    "AGOST",
    "AGOST01",
    "KGOST",
    "GOST94",
    "GOST89MAC",
    "PSK",
    "KPSK",
    "APSK",
    "KECDHEPSK",
    "KDHEPSK",
    "KRSAPSK",
    "SRP",
    "ASRP",
    "KSRP",
    "KRB5",
    "CBC",
    "CBC3",
    "CCM",
];

/// The outcome of [`select`].
#[derive(Debug)]
pub(super) struct Selected {
    pub(super) suites: Vec<SupportedCipherSuite>,
    /// Suites of OpenSSL's that were named, and that rustls does not have.
    pub(super) ignored: Vec<String>,
}

/// Evaluates a list as ciphers(1) describes it: elements separated by `:`, `,` or blanks; `A+B` is what both include; `!A` removes for good, `-A` removes,
/// `+A` moves to the end, and `@...` is ignored. Suites of TLS 1.3 are all kept unless one of them is named.
pub(super) fn select(
    list: &str,
    available: &[SupportedCipherSuite],
    versions: &[&'static SupportedProtocolVersion],
) -> Result<Selected, String> {
    let mut chosen: Vec<&'static Known> = Vec::new();
    let mut banned: Vec<&'static Known> = Vec::new();
    let mut ignored = Vec::new();
    let elements = list.split([':', ',', ' ', ';', '\t']).filter(|element| !element.is_empty());
    for element in elements {
        // `DEFAULT@SECLEVEL=2`, `@STRENGTH`: order and strength are rustls' business.
        let element = element.split('@').next().unwrap_or_default();
        if element.is_empty() {
            continue;
        }
        let (operator, words) = match element.split_at_checked(1) {
            Some((operator @ ("!" | "-" | "+"), words)) => (operator, words),
            _ => ("", element),
        };
        let matching = matching(words)?;
        if matching.is_empty() && operator.is_empty() && words.contains('-') {
            ignored.push(words.to_owned());
        }
        let is_in =
            |known: &&'static Known, set: &[&'static Known]| set.iter().any(|other| std::ptr::eq(*other, *known));
        match operator {
            "!" => {
                chosen.retain(|known| !is_in(known, &matching));
                banned.extend(matching);
            }
            "-" => chosen.retain(|known| !is_in(known, &matching)),
            "+" => {
                let (moved, mut kept): (Vec<_>, Vec<_>) = chosen.iter().partition(|known| is_in(known, &matching));
                kept.extend(moved);
                chosen = kept;
            }
            _ => {
                for known in matching {
                    if !is_in(&known, &chosen) && !is_in(&known, &banned) {
                        chosen.push(known);
                    }
                }
            }
        }
    }
    if !chosen.iter().any(|known| known.suite.tls13().is_some()) {
        let newest = KNOWN.iter().filter(|known| known.suite.tls13().is_some());
        let allowed: Vec<_> = newest.filter(|known| !banned.iter().any(|other| std::ptr::eq(*other, *known))).collect();
        chosen.splice(0..0, allowed);
    }
    let suites: Vec<_> = chosen.iter().map(|known| known.suite).filter(|suite| available.contains(suite)).collect();
    for version in versions {
        if !suites.iter().any(|suite| suite.version().version == version.version) {
            return Err(format!(
                "'{list}' leaves no cipher suite for {}; supported are {}",
                if version.version == TLS13.version { "TLSv1.3" } else { "TLSv1.2" },
                names()
            ));
        }
    }
    Ok(Selected { suites, ignored })
}

/// Suites that `A+B+...` includes.
fn matching(words: &str) -> Result<Vec<&'static Known>, String> {
    let mut found: Vec<&'static Known> = KNOWN.iter().collect();
    for word in words.split('+') {
        let upper = word.to_ascii_uppercase();
        if let Some(known) = KNOWN.iter().find(|known| known.openssl == upper || iana_name(known) == upper) {
            found.retain(|other| std::ptr::eq(*other, known));
        } else if ALL_OF_OURS.contains(&upper.as_str()) {
            found.retain(|known| !known.keywords.is_empty());
        } else if KNOWN.iter().any(|known| known.keywords.contains(&upper.as_str())) {
            found.retain(|known| known.keywords.contains(&upper.as_str()));
        } else if NONE_OF_OURS.contains(&upper.as_str()) || is_openssl_name(&upper) {
            found.clear();
        } else {
            return Err(format!("unknown cipher '{word}'; supported are {}", names()));
        }
    }
    Ok(found)
}

/// Whether it is made like the name of a suite (`AES256-SHA`, `DHE-RSA-AES128-GCM-SHA256`).
fn is_openssl_name(upper: &str) -> bool {
    let mut parts = 0;
    upper.contains('-')
        && upper.split('-').all(|part| {
            parts += 1;
            NONE_OF_OURS.contains(&part)
                || ALL_OF_OURS.contains(&part)
                || KNOWN.iter().any(|known| known.keywords.contains(&part))
                || matches!(part, "GCM" | "POLY1305" | "CCM8" | "MD5" | "ECDSA")
        })
        && parts > 1
}

/// As `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256`.
fn iana_name(known: &Known) -> String {
    format!("{:?}", known.suite.suite()).replace("TLS13_", "TLS_")
}

fn names() -> String {
    KNOWN.iter().map(|known| known.openssl).collect::<Vec<_>>().join(", ")
}

/// OpenSSL's name of a suite.
pub(super) fn openssl_name(suite: SupportedCipherSuite) -> &'static str {
    KNOWN.iter().find(|known| known.suite == suite).map_or("", |known| known.openssl)
}

/// Versions named by `protocols`; both without it.
pub(super) fn parse_protocols(text: Option<&str>) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let mut versions = Vec::new();
    let mut too_old = Vec::new();
    for word in text.unwrap_or_default().split([' ', ',', '\t']).filter(|word| !word.is_empty()) {
        let version = match word {
            "TLSv1.3" => &TLS13,
            "TLSv1.2" => &TLS12,
            "TLSv1" | "TLSv1.1" | "SSLv3" | "SSLv23" => {
                too_old.push(word);
                continue;
            }
            other => {
                return Err(format!("unknown protocol '{other}'; supported are TLSv1.2 and TLSv1.3"));
            }
        };
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    match (versions.is_empty(), too_old.is_empty()) {
        (true, true) => Ok(vec![&TLS13, &TLS12]),
        (true, false) => Err(format!(
            "{} is no longer secure and not supported; supported are TLSv1.2 and TLSv1.3",
            too_old.join(" ")
        )),
        (false, _) => Ok(versions),
    }
}
