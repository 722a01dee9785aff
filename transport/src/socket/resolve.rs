//! Names to addresses. The system's resolver runs off the worker; answers are kept for a short while per worker.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long an answer is used. Short, because the resolver does not tell the record's own time to live; long enough that a burst of
/// connections to one server asks once.
const KEEP: Duration = Duration::from_secs(2);
/// Names kept per worker.
const MAX_NAMES: usize = 256;

type Answer = (Instant, Arc<[IpAddr]>);

thread_local! {
    static CACHE: RefCell<HashMap<String, Answer>> = RefCell::new(HashMap::new());
}

/// Addresses of `host` in the resolver's order of preference; a literal address (with or without brackets) is not asked for.
pub(super) async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Some(ip) = literal(host) {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let known = CACHE.with_borrow(|cache| {
        cache.get(host).filter(|(since, _)| since.elapsed() < KEEP).map(|(_, ips)| Arc::clone(ips))
    });
    let ips = if let Some(ips) = known {
        ips
    } else {
        let mut ips = Vec::new();
        for addr in tokio::net::lookup_host((host, port)).await? {
            if !ips.contains(&addr.ip()) {
                ips.push(addr.ip());
            }
        }
        let ips: Arc<[IpAddr]> = ips.into();
        CACHE.with_borrow_mut(|cache| {
            if cache.len() >= MAX_NAMES {
                cache.retain(|_, (since, _)| since.elapsed() < KEEP);
            }
            if cache.len() < MAX_NAMES {
                cache.insert(host.to_owned(), (Instant::now(), Arc::clone(&ips)));
            }
        });
        ips
    };
    Ok(ips.iter().map(|ip| SocketAddr::new(*ip, port)).collect())
}

pub(super) fn literal(host: &str) -> Option<IpAddr> {
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    host.parse().ok()
}

/// A port as configurations write it: a number, `amqp` (5672), `amqps` (5671), or a name from `/etc/services`.
#[must_use]
pub fn parse_port(text: &str) -> Option<u16> {
    let text = text.trim();
    match text {
        "amqp" => return Some(5672),
        "amqps" => return Some(5671),
        _ => {}
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok();
    }
    let services = std::fs::read_to_string("/etc/services").ok()?;
    services.lines().find_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let name = words.next()?;
        let (port, protocol) = words.next()?.split_once('/')?;
        if protocol == "tcp" && (name == text || words.any(|alias| alias == text)) { port.parse().ok() } else { None }
    })
}
