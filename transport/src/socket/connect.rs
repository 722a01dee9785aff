//! Connecting: name resolution, and racing of addresses ("happy eyeballs", RFC 8305).

use super::resolve::resolve;
use super::{Family, TcpOptions};
use crate::metrics::count;
use crate::stream::PlainStream;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;
use tokio::net::TcpStream;

/// Time that an address has before the next is tried beside it (RFC 8305 §5 recommends 250 ms).
const STAGGER: Duration = Duration::from_millis(250);

/// How to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectOptions {
    /// Which addresses of the host are used.
    pub family: Family,
    /// For everything together, name resolution included.
    pub timeout: Duration,
    /// Options of the socket.
    pub tcp: TcpOptions,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self { family: Family::Any, timeout: Duration::from_secs(10), tcp: TcpOptions::default() }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name has no address (of the family asked for).
    #[error("cannot resolve '{host}': {source}")]
    Resolve {
        /// As configured.
        host: String,
        /// The resolver's words.
        source: io::Error,
    },
    /// The last address that was tried refused, or could not be reached.
    #[error("cannot connect to {addr}: {source}")]
    Refused {
        /// What was tried last.
        addr: SocketAddr,
        /// The system's words.
        source: io::Error,
    },
    /// No answer in time.
    #[error("cannot connect to '{host}' port {port}: no answer within {} ms", after.as_millis())]
    TimedOut {
        /// As configured.
        host: String,
        /// As configured.
        port: u16,
        /// The limit.
        after: Duration,
    },
}

type Attempt = Pin<Box<dyn Future<Output = (SocketAddr, io::Result<TcpStream>)>>>;

/// Connects to `host` (a name or a literal address) on the calling worker's runtime. Dropping the future gives up.
///
/// # Errors
/// [`ConnectError`].
pub async fn connect(host: &str, port: u16, options: &ConnectOptions) -> Result<PlainStream, ConnectError> {
    let stream = tokio::time::timeout(options.timeout, connect_any(host, port, options))
        .await
        .map_err(|_| ConnectError::TimedOut { host: host.to_owned(), port, after: options.timeout })??;
    count(|c| c.connects += 1);
    let stream = PlainStream::new(stream);
    if let Err(error) = stream.set_options(&options.tcp) {
        tracing::debug!(host, port, %error, "socket options refused");
    }
    Ok(stream)
}

async fn connect_any(host: &str, port: u16, options: &ConnectOptions) -> Result<TcpStream, ConnectError> {
    let unresolved = |source| ConnectError::Resolve { host: host.to_owned(), source };
    let mut addrs = resolve(host, port).await.map_err(unresolved)?;
    addrs.retain(|addr| options.family.admits(addr));
    let mut waiting = interleave(&addrs).into_iter();
    let Some(first) = waiting.next() else {
        return Err(unresolved(io::Error::new(io::ErrorKind::AddrNotAvailable, "no address of the family asked for")));
    };
    if waiting.len() == 0 {
        return TcpStream::connect(first).await.map_err(|source| ConnectError::Refused { addr: first, source });
    }
    let mut running: Vec<Attempt> = vec![attempt(first)];
    let mut failed = None;
    loop {
        let outcome = if waiting.len() == 0 {
            Some(first_of(&mut running).await)
        } else {
            tokio::time::timeout(STAGGER, first_of(&mut running)).await.ok()
        };
        match outcome {
            Some((_, Ok(stream))) => return Ok(stream),
            Some((addr, Err(source))) => failed = Some(ConnectError::Refused { addr, source }),
            None => {}
        }
        if let Some(addr) = waiting.next() {
            running.push(attempt(addr));
        } else if running.is_empty() {
            return Err(failed.unwrap_or_else(|| unresolved(io::ErrorKind::AddrNotAvailable.into())));
        }
    }
}

fn attempt(addr: SocketAddr) -> Attempt {
    Box::pin(async move { (addr, TcpStream::connect(addr).await) })
}

/// Waits for whichever attempt ends first, and removes it.
async fn first_of(running: &mut Vec<Attempt>) -> (SocketAddr, io::Result<TcpStream>) {
    poll_fn(|cx| {
        for index in 0..running.len() {
            if let Some(Poll::Ready(outcome)) = running.get_mut(index).map(|attempt| attempt.as_mut().poll(cx)) {
                drop(running.swap_remove(index));
                return Poll::Ready(outcome);
            }
        }
        Poll::Pending
    })
    .await
}

/// Alternates between the families, beginning with that of the first address (RFC 8305 §4).
fn interleave(addrs: &[SocketAddr]) -> Vec<SocketAddr> {
    let Some(first) = addrs.first() else {
        return Vec::new();
    };
    let (same, other): (Vec<_>, Vec<_>) = addrs.iter().copied().partition(|addr| addr.is_ipv4() == first.is_ipv4());
    let mut others = other.into_iter();
    let mut order = Vec::with_capacity(addrs.len());
    for addr in same {
        order.push(addr);
        order.extend(others.next());
    }
    order.extend(others);
    order
}
