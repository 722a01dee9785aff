//! Ports that nobody else has.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// The ports of the demo, all on 127.0.0.1.
#[derive(Debug)]
pub(super) struct Ports {
    /// AMQP clients of the three sites.
    pub(super) east: u16,
    pub(super) west: u16,
    pub(super) shop: u16,
    /// Links of other routers.
    pub(super) east_links: u16,
    /// Links of edge routers.
    pub(super) east_edges: u16,
    pub(super) west_edges: u16,
    /// Clients of the web server.
    pub(super) web: u16,
}

impl Ports {
    /// Looks for free ports. Where people have to type one, it is the usual one if that is free.
    pub(super) fn find() -> io::Result<Self> {
        // All are held until the last is found, so that no two are the same.
        let mut held = Vec::new();
        let mut find = |preferred: u16| -> io::Result<u16> {
            let any = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
            let socket = match preferred {
                0 => any()?,
                port => TcpListener::bind((Ipv4Addr::LOCALHOST, port)).or_else(|_| any())?,
            };
            let port = socket.local_addr()?.port();
            held.push(socket);
            Ok(port)
        };
        Ok(Self {
            east: find(5672)?,
            web: find(8080)?,
            west: find(0)?,
            shop: find(0)?,
            east_links: find(0)?,
            east_edges: find(0)?,
            west_edges: find(0)?,
        })
    }
}
