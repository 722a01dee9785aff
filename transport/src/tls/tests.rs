//! Profiles, handshakes and encrypted streams, with certificates made for the purpose.

mod ciphers;
mod handshake;
mod pki;
mod profile;
mod record;
mod stream;
mod uid;
