//! The PROXY protocol, versions 1 and 2: who the client is, told in front of a connection's data.
//!
//! Specification: <https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>, cited as "PROXY §".

use bytes::{BufMut as _, BytesMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

#[cfg(test)]
mod tests;

/// First bytes of version 2 (PROXY §2.2).
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Longest line of version 1, with CRLF (PROXY §2.1).
const V1_MAX: usize = 107;
const V2_HEADER: usize = 16;
/// Longest header of version 2 that is accepted, TLVs included. The length field allows 64 KiB; known senders (certificates in TLVs) stay below this.
pub const V2_MAX: usize = V2_HEADER + 16 * 1024;

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proxied {
    /// The client and the address to which it connected; `None` when the proxy speaks for itself (LOCAL, as in health checks) or does not know
    /// (UNKNOWN, or a family that is not TCP over IP): then the addresses of the connection itself count.
    pub addrs: Option<(SocketAddr, SocketAddr)>,
    /// Length of the header. What follows is the client's data.
    pub len: usize,
}

/// Which version is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// The peer, from which a header is required, sent none, or a wrong one. The connection has to be aborted (PROXY §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// The first bytes belong to neither version.
    #[error("no PROXY protocol header")]
    Absent,
    /// Version 1: no line end within 107 bytes.
    #[error("PROXY v1 header is longer than {V1_MAX} bytes")]
    LineTooLong,
    /// Version 1: the line is not as it should be.
    #[error("PROXY v1 header: {0}")]
    BadLine(&'static str),
    /// Version 2: not version 2, or neither LOCAL nor PROXY.
    #[error("PROXY v2 header: unsupported version and command byte {0:#04x}")]
    BadCommand(u8),
    /// Version 2: an unassigned address family or transport.
    #[error("PROXY v2 header: unsupported family and transport byte {0:#04x}")]
    BadFamily(u8),
    /// Version 2: shorter than the addresses of its family.
    #[error("PROXY v2 header: {0} bytes are too few for its addresses")]
    TooShort(u16),
    /// Version 2: longer than [`V2_MAX`].
    #[error("PROXY v2 header of {0} bytes is too long")]
    TooLong(u16),
}

/// Looks for a header at the start of `data`. `Ok(None)`: so far it may become one, read on. A pure function: call it again with more; it never looks further than [`V2_MAX`].
///
/// # Errors
/// [`ProxyError`] as soon as `data` cannot become a valid header.
pub fn parse(data: &[u8]) -> Result<Option<Proxied>, ProxyError> {
    match data.first() {
        None => Ok(None),
        Some(b'P') => parse_v1(data),
        Some(b'\r') => parse_v2(data),
        Some(_) => Err(ProxyError::Absent),
    }
}

fn parse_v1(data: &[u8]) -> Result<Option<Proxied>, ProxyError> {
    const START: &[u8] = b"PROXY ";
    let common = data.len().min(START.len());
    if data.get(..common) != START.get(..common) {
        return Err(ProxyError::Absent);
    }
    let within = data.get(..V1_MAX.min(data.len())).unwrap_or_default();
    let Some(end) = within.iter().position(|&b| b == b'\n') else {
        return if data.len() >= V1_MAX { Err(ProxyError::LineTooLong) } else { Ok(None) };
    };
    let Some(line) = within.get(..end).and_then(|line| line.strip_suffix(b"\r")) else {
        return Err(ProxyError::BadLine("line does not end with CRLF"));
    };
    let line = std::str::from_utf8(line).map_err(|_| ProxyError::BadLine("not text"))?;
    let len = end + 1;
    let mut words = line.split(' ').skip(1);
    let addrs = match words.next() {
        // "the receiver must ignore anything presented before the CRLF" (PROXY §2.1).
        Some("UNKNOWN") => return Ok(Some(Proxied { addrs: None, len })),
        Some("TCP4") => tcp_words::<Ipv4Addr>(words)?,
        Some("TCP6") => tcp_words::<Ipv6Addr>(words)?,
        _ => {
            return Err(ProxyError::BadLine("protocol is none of TCP4, TCP6, UNKNOWN"));
        }
    };
    Ok(Some(Proxied { addrs: Some(addrs), len }))
}

fn tcp_words<'a, A: std::str::FromStr + Into<IpAddr>>(
    mut words: impl Iterator<Item = &'a str>,
) -> Result<(SocketAddr, SocketAddr), ProxyError> {
    let mut addr = || words.next().and_then(|word| word.parse::<A>().ok()).map(Into::into);
    let (Some(source), Some(destination)) = (addr(), addr()) else {
        return Err(ProxyError::BadLine("bad address"));
    };
    let mut port = || {
        let word = words.next()?;
        // No sign, no leading zero (PROXY §2.1).
        let plain = word.bytes().all(|b| b.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
        if plain { word.parse::<u16>().ok() } else { None }
    };
    let (Some(source_port), Some(destination_port)) = (port(), port()) else {
        return Err(ProxyError::BadLine("bad port"));
    };
    if words.next().is_some() {
        return Err(ProxyError::BadLine("too many words"));
    }
    Ok((SocketAddr::new(source, source_port), SocketAddr::new(destination, destination_port)))
}

fn parse_v2(data: &[u8]) -> Result<Option<Proxied>, ProxyError> {
    let common = data.len().min(SIGNATURE.len());
    if data.get(..common) != SIGNATURE.get(..common) {
        return Err(ProxyError::Absent);
    }
    let Some(&command) = data.get(12) else {
        return Ok(None);
    };
    let local = match command {
        0x20 => true,
        0x21 => false,
        other => return Err(ProxyError::BadCommand(other)),
    };
    let Some(&family) = data.get(13) else {
        return Ok(None);
    };
    // Address family 0..=3, transport 0..=2 (PROXY §2.2); of a LOCAL header both are ignored.
    if !local && (family >> 4 > 3 || family & 0x0f > 2) {
        return Err(ProxyError::BadFamily(family));
    }
    let Some(&[high, low]) = data.get(14..16) else {
        return Ok(None);
    };
    let length = u16::from_be_bytes([high, low]);
    let len = V2_HEADER + usize::from(length);
    if len > V2_MAX {
        return Err(ProxyError::TooLong(length));
    }
    let needed = match family {
        _ if local => 0,
        0x11 => 12,
        0x21 => 36,
        _ => 0,
    };
    if usize::from(length) < needed {
        return Err(ProxyError::TooShort(length));
    }
    let Some(body) = data.get(V2_HEADER..len) else {
        return Ok(None);
    };
    // TLVs behind the addresses are skipped.
    let addrs = match (local, family) {
        (false, 0x11) => v2_addrs::<4>(body),
        (false, 0x21) => v2_addrs::<16>(body),
        _ => None,
    };
    Ok(Some(Proxied { addrs, len }))
}

fn v2_addrs<const N: usize>(body: &[u8]) -> Option<(SocketAddr, SocketAddr)>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = body.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (source_port, rest) = rest.split_first_chunk::<2>()?;
    let destination_port = rest.first_chunk::<2>()?;
    let addr = |ip: &[u8; N], port: &[u8; 2]| SocketAddr::new(IpAddr::from(*ip), u16::from_be_bytes(*port));
    Some((addr(source, source_port), addr(destination, destination_port)))
}

/// Appends a header that names `source` (the client) and `destination` (where it connected). If their families differ, both are written as IPv6.
pub fn write(version: Version, source: SocketAddr, destination: SocketAddr, out: &mut BytesMut) {
    let (source, destination) = same_family(source, destination);
    match version {
        Version::V1 => {
            let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            let line = format!(
                "PROXY {family} {} {} {} {}\r\n",
                source.ip(),
                destination.ip(),
                source.port(),
                destination.port()
            );
            out.extend_from_slice(line.as_bytes());
        }
        Version::V2 => {
            out.extend_from_slice(&SIGNATURE);
            out.put_u8(0x21);
            let (family, length) = if source.is_ipv4() { (0x11, 12) } else { (0x21, 36) };
            out.put_u8(family);
            out.put_u16(length);
            for addr in [source, destination] {
                match addr.ip() {
                    IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
                    IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
                }
            }
            out.put_u16(source.port());
            out.put_u16(destination.port());
        }
    }
}

/// Appends a header that names nobody: the connection is our own (PROXY §2.2 LOCAL; in version 1 UNKNOWN).
pub fn write_local(version: Version, out: &mut BytesMut) {
    match version {
        Version::V1 => out.extend_from_slice(b"PROXY UNKNOWN\r\n"),
        Version::V2 => {
            out.extend_from_slice(&SIGNATURE);
            out.extend_from_slice(&[0x20, 0, 0, 0]);
        }
    }
}

fn same_family(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    let canonical = |addr: SocketAddr| SocketAddr::new(addr.ip().to_canonical(), addr.port());
    let (source, destination) = (canonical(source), canonical(destination));
    if source.is_ipv4() == destination.is_ipv4() {
        return (source, destination);
    }
    let v6 = |addr: SocketAddr| match addr.ip() {
        IpAddr::V4(ip) => SocketAddr::new(IpAddr::V6(ip.to_ipv6_mapped()), addr.port()),
        IpAddr::V6(_) => addr,
    };
    (v6(source), v6(destination))
}
