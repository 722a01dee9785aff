//! Listening and connecting: addresses, families, options, name resolution.

use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

mod connect;
mod listen;
mod resolve;
#[cfg(test)]
mod tests;

pub use connect::{ConnectError, ConnectOptions, connect};
pub use listen::{Acceptor, ListenError, ListenOptions, ListenerGroup, ListenerSet, listen};
pub use resolve::parse_port;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A number for a connection, which no other of this process has, whatever it speaks.
pub fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

/// Which addresses of a host may be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Family {
    /// Both.
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl Family {
    pub(crate) const fn admits(self, addr: &SocketAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => addr.is_ipv4(),
            Self::V6 => addr.is_ipv6(),
        }
    }
}

/// When an idle connection is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Time between probes.
    pub interval: Duration,
    /// Unanswered probes after which the connection counts as broken.
    pub probes: u32,
}

/// Options of a connected socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpOptions {
    /// Send small writes at once (on unless turned off).
    pub nodelay: bool,
    /// Probing of idle connections; off by default.
    pub keepalive: Option<Keepalive>,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self { nodelay: true, keepalive: None }
    }
}

impl TcpOptions {
    pub(crate) fn apply(&self, socket: &SockRef<'_>) -> io::Result<()> {
        if self.nodelay {
            socket.set_tcp_nodelay(true)?;
        }
        if let Some(keepalive) = self.keepalive {
            socket.set_tcp_keepalive(
                &TcpKeepalive::new()
                    .with_time(keepalive.idle)
                    .with_interval(keepalive.interval)
                    .with_retries(keepalive.probes),
            )?;
        }
        Ok(())
    }
}

/// An IPv4 address in IPv6 clothes (`::ffff:a.b.c.d`) as IPv4.
pub(crate) fn unmapped(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}
