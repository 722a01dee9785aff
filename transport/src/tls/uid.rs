//! The user name of a peer that proved itself by a certificate (SASL EXTERNAL).

use std::{collections::BTreeMap, sync::Arc};

use rustls_pki_types::CertificateDer;

/// `uidFormat` of an sslProfile: which parts of the peer's certificate, in which order, make its user name.
///
/// Letters: `c` country, `s` state, `l` locality, `o` organisation, `u` organisational unit, `n` common name, `1` `2` `5` the SHA-1, SHA-256 and
/// SHA-512 fingerprint. The parts are joined by `;`; parts that the certificate lacks are left out. Without a format the name is the whole
/// subject: `CN=host,O=Dev,L=Raleigh,ST=NC,C=US`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UidFormat {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Country,
    State,
    Locality,
    Organisation,
    Unit,
    CommonName,
    Sha1,
    Sha256,
    Sha512,
}

impl UidFormat {
    /// Reads a format. Blanks around it do not count.
    ///
    /// # Errors
    /// The first character that is none of those above.
    pub fn parse(text: &str) -> Result<Self, char> {
        let parts = text
            .trim()
            .chars()
            .map(|letter| match letter {
                'c' => Ok(Part::Country),
                's' => Ok(Part::State),
                'l' => Ok(Part::Locality),
                'o' => Ok(Part::Organisation),
                'u' => Ok(Part::Unit),
                'n' => Ok(Part::CommonName),
                '1' => Ok(Part::Sha1),
                '2' => Ok(Part::Sha256),
                '5' => Ok(Part::Sha512),
                other => Err(other),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { parts })
    }

    /// The user name that a certificate stands for; `None` when it cannot be parsed, or has none of the parts.
    #[must_use]
    pub fn user(&self, certificate: &CertificateDer<'_>) -> Option<String> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
        let subject = parsed.subject();
        if self.parts.is_empty() {
            return whole_subject(subject);
        }
        let mut user = String::new();
        for part in &self.parts {
            let value = match part {
                Part::Country => text(subject.iter_country()),
                Part::State => text(subject.iter_state_or_province()),
                Part::Locality => text(subject.iter_locality()),
                Part::Organisation => text(subject.iter_organization()),
                Part::Unit => text(subject.iter_organizational_unit()),
                Part::CommonName => text(subject.iter_common_name()),
                Part::Sha1 => Some(fingerprint(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, certificate)),
                Part::Sha256 => Some(fingerprint(&aws_lc_rs::digest::SHA256, certificate)),
                Part::Sha512 => Some(fingerprint(&aws_lc_rs::digest::SHA512, certificate)),
            };
            if let Some(value) = value {
                if !user.is_empty() {
                    user.push(';');
                }
                user.push_str(&value);
            }
        }
        if user.is_empty() { None } else { Some(user) }
    }
}

/// What the users of a profile are called.
#[derive(Debug, Clone, Default)]
pub(super) struct UserNames {
    format: UidFormat,
    /// Names for what the format makes (`uidNameMappingFile`).
    names: Arc<BTreeMap<String, String>>,
}

impl UserNames {
    /// As the reference does, whole subjects are not looked up: only what a format makes has a name.
    pub(super) fn new(format: UidFormat, names: BTreeMap<String, String>) -> Self {
        let names = if format.parts.is_empty() { BTreeMap::new() } else { names };
        Self { format, names: names.into() }
    }

    /// As [`UidFormat::user`].
    pub(super) fn user(&self, certificate: &CertificateDer<'_>) -> Option<String> {
        let user = self.format.user(certificate)?;
        Some(self.names.get(&user).filter(|name| !name.is_empty()).cloned().unwrap_or(user))
    }
}

use x509_parser::x509::{AttributeTypeAndValue, X509Name};

fn text<'a>(mut attributes: impl Iterator<Item = &'a AttributeTypeAndValue<'a>>) -> Option<String> {
    attribute_text(attributes.next()?)
}

fn attribute_text(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let value = attribute.attr_value();
    match attribute.as_str() {
        Ok(text) => Some(text.to_owned()),
        // Encodings that are no ASCII or UTF-8 (BMPString, UniversalString, T61String).
        Err(_) => match value.tag() {
            x509_parser::der_parser::asn1_rs::Tag::BmpString => {
                let units = value.data.chunks_exact(2).map(|pair| match pair {
                    [high, low] => u16::from_be_bytes([*high, *low]),
                    _ => 0xfffd,
                });
                Some(char::decode_utf16(units).map(|c| c.unwrap_or('\u{fffd}')).collect())
            }
            _ => Some(String::from_utf8_lossy(value.data).into_owned()),
        },
    }
}

/// The subject on one line as the reference writes it (RFC 2253): the last part of the certificate's name first, joined by commas. What could be taken for
/// another part is escaped, so that no name can be made to look like another.
fn whole_subject(subject: &X509Name<'_>) -> Option<String> {
    let parts: Vec<_> = subject.iter_rdn().collect();
    let mut line = String::new();
    for part in parts.into_iter().rev() {
        if !line.is_empty() {
            line.push(',');
        }
        for (n, attribute) in part.iter().enumerate() {
            let oid = attribute.attr_type().to_id_string();
            let short = match oid.as_str() {
                "2.5.4.3" => "CN",
                "2.5.4.4" => "SN",
                "2.5.4.5" => "serialNumber",
                "2.5.4.6" => "C",
                "2.5.4.7" => "L",
                "2.5.4.8" => "ST",
                "2.5.4.9" => "street",
                "2.5.4.10" => "O",
                "2.5.4.11" => "OU",
                "2.5.4.12" => "title",
                "2.5.4.42" => "GN",
                "0.9.2342.19200300.100.1.1" => "UID",
                "0.9.2342.19200300.100.1.25" => "DC",
                "1.2.840.113549.1.9.1" => "emailAddress",
                other => other,
            };
            if n > 0 {
                line.push('+');
            }
            line.push_str(short);
            line.push('=');
            escape(&attribute_text(attribute)?, &mut line);
        }
    }
    if line.is_empty() { None } else { Some(line) }
}

/// RFC 2253 §2.4. Bytes that are no printable ASCII are written in hexadecimal.
fn escape(value: &str, out: &mut String) {
    use std::fmt::Write as _;
    let last = value.len().saturating_sub(1);
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => out.push('\\'),
            b'#' | b' ' if at == 0 => out.push('\\'),
            b' ' if at == last => out.push('\\'),
            b' '..=b'~' => {}
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(out, "\\{byte:02X}");
                continue;
            }
        }
        out.push(char::from(byte));
    }
}

fn fingerprint(algorithm: &'static aws_lc_rs::digest::Algorithm, certificate: &[u8]) -> String {
    use std::fmt::Write as _;
    let digest = aws_lc_rs::digest::digest(algorithm, certificate);
    digest.as_ref().iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
