//! Listening sockets: one per worker and address, sharing a port.

use super::resolve::literal;
use super::{Family, TcpOptions, unmapped};
use crate::metrics::count;
use crate::stream::PlainStream;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::task::{Context, Poll};
use std::time::Duration;

/// How to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenOptions {
    /// Which addresses of the host are used.
    pub family: Family,
    /// Connections that may wait to be accepted; 0 means the system's maximum (`SOMAXCONN`).
    pub backlog: u32,
    /// How many sets of sockets share the port: one per worker.
    pub group: usize,
    /// Options of accepted connections. They inherit them from the listening socket, which saves a call or more for each.
    pub tcp: TcpOptions,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self { family: Family::Any, backlog: 0, group: 1, tcp: TcpOptions::default() }
    }
}

/// Why nothing listens.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The host has no address (of the family asked for).
    #[error("no address for host '{host}': {source}")]
    Resolve {
        /// As configured.
        host: String,
        /// The resolver's words.
        source: io::Error,
    },
    /// The system refuses the address; mostly because somebody else listens there.
    #[error("cannot listen on {addr}: {source}")]
    Bind {
        /// What was tried.
        addr: SocketAddr,
        /// The system's words.
        source: io::Error,
    },
}

impl ListenError {
    /// Whether somebody else has the port.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        matches!(self, Self::Bind { source, .. } if source.kind() == io::ErrorKind::AddrInUse)
    }
}

/// Sockets that listen, for a group of workers.
#[derive(Debug)]
pub struct ListenerGroup {
    sets: Vec<ListenerSet>,
    addrs: Vec<SocketAddr>,
}

impl ListenerGroup {
    /// The addresses on which it listens (one port), in the resolver's order. Never empty.
    #[must_use]
    pub fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.addrs.first().map_or(0, SocketAddr::port)
    }

    /// The sets, one per worker, to be sent to their workers. Those that are dropped refuse nothing: the kernel shares new connections among
    /// the sets that are left, but connections that already wait in a dropped set are reset.
    #[must_use]
    pub fn into_sets(self) -> Vec<ListenerSet> {
        self.sets
    }
}

/// One worker's share of a [`ListenerGroup`].
#[derive(Debug)]
pub struct ListenerSet {
    sockets: Vec<std::net::TcpListener>,
}

impl ListenerSet {
    /// Registers the sockets with the runtime of the calling worker.
    ///
    /// # Errors
    /// The kernel refuses (limits).
    ///
    /// # Panics
    /// When called outside a runtime.
    pub fn into_acceptor(self) -> io::Result<Acceptor> {
        let listeners =
            self.sockets.into_iter().map(tokio::net::TcpListener::from_std).collect::<io::Result<Vec<_>>>()?;
        Ok(Acceptor { listeners, next: 0 })
    }
}

/// Accepts connections on the calling worker. Dropping it closes its sockets.
#[derive(Debug)]
pub struct Acceptor {
    listeners: Vec<tokio::net::TcpListener>,
    next: usize,
}

impl Acceptor {
    /// Takes one waiting connection. Errors are those of `accept(2)`; `EMFILE` and `ENFILE` need a pause, which [`accept`](Self::accept) makes.
    ///
    /// # Errors
    /// As said.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(PlainStream, SocketAddr)>> {
        let count_of = self.listeners.len();
        for offset in 0..count_of {
            let index = (self.next + offset) % count_of;
            let Some(listener) = self.listeners.get(index) else {
                continue;
            };
            if let Poll::Ready(accepted) = listener.poll_accept(cx) {
                self.next = index + 1;
                return Poll::Ready(accepted.map(|(stream, peer)| {
                    count(|c| c.accepts += 1);
                    (PlainStream::new(stream), unmapped(peer))
                }));
            }
        }
        Poll::Pending
    }

    /// Waits for a connection. Connections that vanished in the queue are skipped; when descriptors or memory run out it waits 50 ms and tries again,
    /// with a warning, since the queue of the kernel keeps the clients. Cancel safe.
    pub async fn accept(&mut self) -> (PlainStream, SocketAddr) {
        let mut warned = false;
        loop {
            match poll_fn(|cx| self.poll_accept(cx)).await {
                Ok(accepted) => return accepted,
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => {
                    if !warned {
                        tracing::warn!(%error, "cannot accept connections for now");
                        warned = true;
                    }
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }
}

/// Errors that `accept(2)` passes on from the new connection (accept(2), "Error handling").
fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EPERM
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::ENOPROTOOPT
                | libc::ENONET
                | libc::EOPNOTSUPP
        )
    )
}

/// Opens sockets that listen on `host` and `port`. An empty host means all addresses: one dual-stack socket, or IPv4 where there is no IPv6.
/// Port 0 takes a free one, the same for all sockets. Resolves names by blocking: for the control thread.
///
/// # Errors
/// [`ListenError`]; nothing is left open then. A port on which anybody else listens is an error, also when they would share it.
pub fn listen(host: &str, port: u16, options: &ListenOptions) -> Result<ListenerGroup, ListenError> {
    let candidates = candidates(host, port, options.family)?;
    if host.is_empty() && options.family == Family::Any {
        // The first that works: an IPv6 socket takes IPv4 as well.
        let mut failed = None;
        for addr in candidates {
            match open_group(&[addr], options) {
                Err(ListenError::Bind { source, .. }) if lacks_family(&source) => {
                    failed = Some(ListenError::Bind { addr, source });
                }
                outcome => return outcome,
            }
        }
        return Err(failed.unwrap_or_else(|| no_address(host)));
    }
    open_group(&candidates, options)
}

fn candidates(host: &str, port: u16, family: Family) -> Result<Vec<SocketAddr>, ListenError> {
    if host.is_empty() {
        let all = [IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
        return Ok(all.into_iter().map(|ip| SocketAddr::new(ip, port)).filter(|addr| family.admits(addr)).collect());
    }
    let mut addrs = Vec::new();
    if let Some(ip) = literal(host) {
        addrs.push(SocketAddr::new(ip, port));
    } else {
        let found =
            (host, port).to_socket_addrs().map_err(|source| ListenError::Resolve { host: host.to_owned(), source })?;
        for addr in found {
            if !addrs.contains(&addr) {
                addrs.push(addr);
            }
        }
    }
    addrs.retain(|addr| family.admits(addr));
    if addrs.is_empty() { Err(no_address(host)) } else { Ok(addrs) }
}

fn no_address(host: &str) -> ListenError {
    ListenError::Resolve {
        host: host.to_owned(),
        source: io::Error::new(io::ErrorKind::AddrNotAvailable, "none of the family asked for"),
    }
}

fn lacks_family(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL))
}

/// A name may have an address of a family that the machine lacks (`localhost` as `::1` in many containers): such are left out as long as another works.
fn open_group(addrs: &[SocketAddr], options: &ListenOptions) -> Result<ListenerGroup, ListenError> {
    let group = options.group.max(1);
    let mut sets: Vec<Vec<Socket>> = (0..group).map(|_| Vec::new()).collect();
    let mut bound = Vec::new();
    let mut lacking = None;
    for wanted in addrs {
        let mut addr = *wanted;
        if addr.port() == 0 {
            // All addresses of a name share the port that the first got.
            addr.set_port(bound.first().map_or(0, SocketAddr::port));
        }
        let fail = |source| ListenError::Bind { addr, source };
        match bind_all(addr, group, options.family) {
            Ok((sockets, actual)) => {
                for (set, socket) in sets.iter_mut().zip(sockets) {
                    set.push(socket);
                }
                bound.push(actual);
            }
            Err(source) if lacks_family(&source) && addrs.len() > 1 => lacking = Some(fail(source)),
            Err(source) => return Err(fail(source)),
        }
    }
    if bound.is_empty() {
        return Err(lacking.unwrap_or_else(|| no_address("")));
    }
    let backlog =
        if options.backlog == 0 { libc::SOMAXCONN } else { i32::try_from(options.backlog).unwrap_or(i32::MAX) };
    let mut listening = Vec::with_capacity(group);
    for set in sets {
        let mut sockets = Vec::with_capacity(set.len());
        for (socket, addr) in set.into_iter().zip(&bound) {
            let fail = |source| ListenError::Bind { addr: *addr, source };
            options.tcp.apply(&SockRef::from(&socket)).map_err(fail)?;
            socket.listen(backlog).map_err(fail)?;
            sockets.push(socket.into());
        }
        listening.push(ListenerSet { sockets });
    }
    Ok(ListenerGroup { sets: listening, addrs: bound })
}

/// Binds `group` sockets to one address. The first is bound before it agrees to share, so that a socket of anybody else's is a conflict
/// even if that one would share: `SO_REUSEPORT` alone would silently split the connections between two programs.
fn bind_all(addr: SocketAddr, group: usize, family: Family) -> io::Result<(Vec<Socket>, SocketAddr)> {
    let first = new_socket(addr, family)?;
    first.bind(&addr.into())?;
    let actual = first.local_addr()?.as_socket().ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?;
    let mut sockets = vec![first];
    if group > 1 {
        for socket in &sockets {
            socket.set_reuse_port(true)?;
        }
        for _ in 1..group {
            let socket = new_socket(addr, family)?;
            socket.set_reuse_port(true)?;
            socket.bind(&actual.into())?;
            sockets.push(socket);
        }
    }
    Ok((sockets, actual))
}

fn new_socket(addr: SocketAddr, family: Family) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Connections of an earlier run in TIME_WAIT are no reason to refuse.
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        // Dual stack where all addresses of both families are meant; else IPv4 is left to others.
        socket.set_only_v6(family == Family::V6 || !addr.ip().is_unspecified())?;
    }
    Ok(socket)
}
