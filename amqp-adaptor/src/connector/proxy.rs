//! Going through an HTTP proxy (RFC 9110 §9.3.6, CONNECT).

use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The longest answer of a proxy that is read, in bytes.
const MAX_ANSWER: usize = 16 * 1024;

/// Header fields of an answer that are read.
const MAX_FIELDS: usize = 64;

/// An HTTP proxy (`proxyProfile`).
#[derive(Clone)]
pub struct ProxyConfig {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The user and password that it asks for.
    pub credentials: Option<(String, String)>,
}

impl std::fmt::Debug for ProxyConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProxyConfig").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

/// A proxy that may be replaced while connectors use it; clones are the same one.
#[derive(Clone, Debug)]
pub struct Proxy(Arc<Mutex<ProxyConfig>>);

impl Proxy {
    /// A proxy to be shared.
    pub fn new(config: ProxyConfig) -> Self {
        Self(Arc::new(Mutex::new(config)))
    }

    /// Connections that are made from now on go through this one.
    pub fn set(&self, config: ProxyConfig) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = config;
    }

    pub(super) fn get(&self) -> ProxyConfig {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Why a proxy did not let us through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProxyError {
    #[error("the proxy hung up")]
    HungUp,
    #[error("the proxy answered: {0}")]
    Refused(String),
    #[error("the proxy's answer is no HTTP")]
    NotHttp,
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

fn request(config: &ProxyConfig, host: &str, port: u16) -> String {
    let place = if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    let authorization = config.credentials.as_ref().map_or_else(String::new, |(user, password)| {
        format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(format!("{user}:{password}")))
    });
    format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{authorization}\r\n")
}

/// Asks the proxy at the other end of a socket for a tunnel.
pub(crate) async fn tunnel(
    socket: &mut TcpStream,
    config: &ProxyConfig,
    host: &str,
    port: u16,
) -> Result<(), ProxyError> {
    socket.write_all(request(config, host, port).as_bytes()).await?;
    let mut answer: Vec<u8> = Vec::new();
    loop {
        // One byte at a time: what is behind the answer is the peer's.
        let byte = match socket.read_u8().await {
            Ok(byte) => byte,
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Err(ProxyError::HungUp),
            Err(error) => return Err(error.into()),
        };
        answer.push(byte);
        if answer.ends_with(b"\r\n\r\n") {
            return check(&answer);
        }
        if answer.len() >= MAX_ANSWER {
            return Err(ProxyError::NotHttp);
        }
    }
}

fn check(answer: &[u8]) -> Result<(), ProxyError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    match response.parse(answer) {
        Ok(httparse::Status::Complete(_)) => {}
        _ => return Err(ProxyError::NotHttp),
    }
    match response.code {
        Some(200..=299) => Ok(()),
        Some(code) => Err(ProxyError::Refused(format!("{code} {}", response.reason.unwrap_or_default()))),
        None => Err(ProxyError::NotHttp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(credentials: Option<(String, String)>) -> ProxyConfig {
        ProxyConfig { host: "proxy".into(), port: 3128, credentials }
    }

    #[test]
    fn requests() {
        assert_eq!(request(&config(None), "b", 5671), "CONNECT b:5671 HTTP/1.1\r\nHost: b:5671\r\n\r\n");
        let with = request(&config(Some(("Aladdin".into(), "open sesame".into()))), "::1", 1);
        assert!(with.starts_with("CONNECT [::1]:1 HTTP/1.1\r\n"));
        assert!(with.contains("Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"));
        assert!(!format!("{:?}", config(Some(("u".into(), "secret".into())))).contains("secret"));
    }

    #[test]
    fn answers() {
        assert!(check(b"HTTP/1.1 200 Connection established\r\nVia: me\r\n\r\n").is_ok());
        let refused = check(b"HTTP/1.1 407 Who are you\r\n\r\n").unwrap_err().to_string();
        assert_eq!(refused, "the proxy answered: 407 Who are you");
        assert!(matches!(check(b"SSH-2.0\r\n\r\n"), Err(ProxyError::NotHttp)));
    }
}
