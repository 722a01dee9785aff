//! TLS: profiles of the configuration, handshakes, and the encrypted stream. Everything of rustls that others need to see is here.
//!
//! A [`TlsProfile`] is loaded once and shared by all workers; so is the session cache behind it, so that a client resumes on whichever worker
//! its next connection lands.

mod ciphers;
mod error;
mod handshake;
mod keys;
mod look;
mod profile;
mod record;
mod stream;
#[cfg(test)]
mod tests;
mod uid;
mod verify;

pub use error::{HandshakeError, TlsConfigError};
pub use handshake::{TlsClient, TlsServer};
pub use look::{CertificateFacts, certificate_of};
pub use profile::{ClientCerts, ClientOptions, ServerOptions, SslProfileSettings, TlsProfile};
pub use stream::TlsStream;
pub use uid::UidFormat;
