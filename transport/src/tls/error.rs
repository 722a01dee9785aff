//! What can be wrong with a profile, and with a handshake.

use crate::stream::StreamError;
use std::io;
use std::path::PathBuf;

/// A profile cannot be used. The texts begin as the reference's do ("Failed to configure TLS certFile ..."), which its users look for.
#[derive(Debug, thiserror::Error)]
pub enum TlsConfigError {
    /// A file cannot be read.
    #[error("Failed to configure TLS {attribute} {} for sslProfile '{profile}': {reason}", path.display())]
    Unreadable {
        /// Name of the profile.
        profile: String,
        /// `caCertFile`, `certFile`, `privateKeyFile` or `password`.
        attribute: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's words.
        reason: io::Error,
    },
    /// A file was read but holds nothing that can be used.
    #[error("Failed to configure TLS {attribute} {} for sslProfile '{profile}': {problem}", path.display())]
    Unusable {
        /// Name of the profile.
        profile: String,
        /// As above.
        attribute: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// An attribute's value makes no sense.
    #[error("Failed to configure TLS {attribute} for sslProfile '{profile}': {problem}")]
    Value {
        /// Name of the profile.
        profile: String,
        /// Name of the attribute.
        attribute: &'static str,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// An attribute is missing that this use of the profile needs.
    #[error("Failed to configure TLS {attribute}: sslProfile '{profile}' has none, but {needed_by} needs it")]
    Missing {
        /// Name of the profile.
        profile: String,
        /// Name of the attribute.
        attribute: &'static str,
        /// For instance "a listener".
        needed_by: &'static str,
    },
}

/// A handshake failed. The socket is closed.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The peer's certificate is not acceptable to us.
    #[error("TLS connection failed: SSL Failure: certificate verify failed: {0}")]
    Certificate(String),
    /// The peer, from which we require a certificate, sent none.
    #[error("TLS connection failed: peer did not return a certificate")]
    NoCertificate,
    /// The peer refused, with an alert.
    #[error("TLS connection failed: peer refused: {0}")]
    Refused(String),
    /// The peer does not speak TLS as we do (versions, cipher suites, or not TLS at all).
    #[error("TLS connection failed: SSL Failure: {0}")]
    Protocol(String),
    /// The peer's name cannot be used for TLS.
    #[error("TLS connection failed: '{0}' is no valid server name")]
    ServerName(String),
    /// The connection ended or broke during the handshake.
    #[error("TLS connection failed: {0}")]
    Stream(#[source] StreamError),
    /// The connection was closed during the handshake.
    #[error("TLS connection failed: closed by peer during the handshake")]
    Closed,
}

impl HandshakeError {
    pub(super) fn from_rustls(error: rustls::Error) -> Self {
        use rustls::Error;
        match error {
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::InvalidCertificate(reason) => Self::Certificate(reason.to_string()),
            Error::AlertReceived(alert) => Self::Refused(alert_text(alert)),
            other => Self::Protocol(other.to_string()),
        }
    }
}

impl From<StreamError> for HandshakeError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Tls(error) => Self::from_rustls(*error),
            error => Self::Stream(error),
        }
    }
}

/// Alerts in the words of OpenSSL, which the reference logs and its users look for ("certificate unknown", "unknown ca").
fn alert_text(alert: rustls::AlertDescription) -> String {
    let name = format!("{alert:?}");
    let mut text = String::from("alert ");
    let mut previous_lower = false;
    for c in name.chars() {
        if c.is_ascii_uppercase() && previous_lower {
            text.push(' ');
        }
        previous_lower = c.is_ascii_lowercase();
        text.push(c.to_ascii_lowercase());
    }
    text
}
