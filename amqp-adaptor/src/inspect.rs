//! Connections and links at one moment, for management. Asked for in pages, so that traffic is not held up for long.

use std::time::Instant;

use amqp_proto::connection::LinkId;
use amqp_proto::{Error, Fields, condition};
use router_core::{Core, LinkHandle, LinkStatus};

use crate::config::Identity;
use crate::conn::{Conn, Origin};
use crate::neighbour::{ConnectionRole, NeighbourInfo};
use crate::worker::AmqpAdaptor;

/// A connection at one moment.
#[derive(Clone, Debug)]
pub struct ConnectionStatus {
    /// Its number, unique in the router.
    pub id: u64,
    /// The peer's address; host and port as they were configured, if a connector made it.
    pub peer: String,
    /// Our address, if the socket still knows it.
    pub local: Option<String>,
    /// The peer's container-id; empty before its open.
    pub container: String,
    /// Properties of the peer's open, if they are not larger than 2 KiB.
    pub properties: Option<Fields>,
    /// Name of the listener that took it, or of the connector that made it.
    pub listener: String,
    /// A connector made it.
    pub outgoing: bool,
    /// What it is for.
    pub role: ConnectionRole,
    /// Who the peer is.
    pub identity: Identity,
    /// Both sides have opened it.
    pub opened: bool,
    /// It is being closed.
    pub closing: bool,
    /// Since when it exists.
    pub since: Instant,
    /// TLS, if it has it.
    pub tls: Option<TlsStatus>,
    /// The ordinal of the TLS profile that it was made with, of connectors.
    pub tls_ordinal: Option<u64>,
    /// The correlator and the ordinal of its group, between interior routers.
    pub group: Option<(String, u64)>,
    /// Its frames are logged.
    pub traced: bool,
    /// Seconds since a delivery last began on one of its links; `None` if none has.
    pub since_delivery: Option<u64>,
}

/// A connection to another router of the network at one moment.
#[derive(Clone, Debug)]
pub struct NeighbourStatus {
    /// Whose it is, and what it is for.
    pub info: NeighbourInfo,
    /// Since when it exists.
    pub since: Instant,
    /// It has TLS.
    pub tls: bool,
    /// Bytes of AMQP that were read, frames and all.
    pub bytes_in: u64,
    /// Bytes of AMQP that were written.
    pub bytes_out: u64,
    /// Deliveries whose first frame came, those of the routing protocol among them.
    pub deliveries_in: u64,
    /// Deliveries whose first frame was queued.
    pub deliveries_out: u64,
}

/// TLS of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsStatus {
    /// Its version, such as `TLSv1.3`.
    pub protocol: &'static str,
    /// Its cipher suite.
    pub cipher: &'static str,
    /// Strength of the cipher in bits.
    pub bits: u32,
}

/// A link at one moment.
#[derive(Clone, Debug)]
pub struct LinkInfo {
    /// What the core knows.
    pub status: LinkStatus,
    /// Its name.
    pub name: String,
    /// The number of its connection.
    pub connection: u64,
}

impl AmqpAdaptor {
    /// Numbers of the connections of this worker, in no order.
    #[must_use]
    pub fn connection_ids(&self) -> Vec<u64> {
        let conns = self.0.conns.borrow();
        // Those that were closed here only wait for the peer to say so, too: nothing is attached any more.
        conns.slab.iter().filter(|(_, conn)| conn.details.end_by.is_none()).map(|(_, conn)| conn.details.id).collect()
    }

    /// How many connections of clients this worker has.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.0.conns.borrow().slab.iter().filter(|(_, conn)| conn.role() == ConnectionRole::Normal).count()
    }

    /// Those connections of this worker that have one of these numbers, which must be sorted.
    #[must_use]
    pub fn connection_statuses(&self, sorted: &[u64]) -> Vec<ConnectionStatus> {
        let core = self.0.core.borrow();
        let conns = self.0.conns.borrow();
        let wanted = |conn: &Conn| sorted.binary_search(&conn.details.id).is_ok();
        conns.slab.iter().filter(|(_, conn)| wanted(conn)).map(|(_, conn)| conn.status(&core)).collect()
    }

    /// The connections of this worker to other routers of the network that were opened, in no order.
    #[must_use]
    pub fn neighbour_statuses(&self) -> Vec<NeighbourStatus> {
        let conns = self.0.conns.borrow();
        let status = |conn: &Conn| {
            let info = conn.neighbour.as_ref()?.info.clone();
            let stats = conn.engine.stats();
            Some(NeighbourStatus {
                info,
                since: conn.details.opened,
                tls: conn.stream.tls().is_some(),
                bytes_in: conn.bytes_in,
                bytes_out: conn.bytes_out,
                deliveries_in: stats.deliveries_in,
                deliveries_out: stats.deliveries_out,
            })
        };
        conns.slab.iter().filter_map(|(_, conn)| status(conn)).collect()
    }

    /// How many connections of this worker a listener has taken that are open; those that only carry data for another are not counted.
    #[must_use]
    pub fn connections_of_listener(&self, name: &str) -> usize {
        let conns = self.0.conns.borrow();
        let of = |conn: &Conn| {
            matches!(conn.origin, Origin::Listener(_))
                && conn.origin.name() == name
                && conn.role() != ConnectionRole::InterRouterData
        };
        conns.slab.iter().filter(|(_, conn)| conn.engine.is_open() && of(conn)).count()
    }

    /// Closes the connection with this number, if it is one of this worker's, with `amqp:connection:forced` and this reason. True if it is.
    #[must_use]
    pub fn close_connection(&self, id: u64, reason: &'static str) -> bool {
        let slot = self.0.conns.borrow().slab.iter().find(|(_, conn)| conn.details.id == id).map(|(slot, _)| slot);
        let Some(slot) = slot.and_then(|slot| u32::try_from(slot).ok()) else { return false };
        self.close(slot, Error::new(condition::CONNECTION_FORCED, reason));
        self.flush();
        true
    }

    /// Logs the frames of the connection with this number from now on, or no longer, if it is one of this worker's. True if it is.
    #[must_use]
    pub fn trace_connection(&self, id: u64, traced: bool) -> bool {
        let mut conns = self.0.conns.borrow_mut();
        let conn = conns.slab.iter_mut().find(|(_, conn)| conn.details.id == id);
        conn.is_some_and(|(_, conn)| {
            conn.set_traced(traced);
            true
        })
    }

    /// All links of this worker, in no order.
    #[must_use]
    pub fn link_handles(&self) -> Vec<LinkHandle> {
        self.0.core.borrow().link_handles()
    }

    /// What these links are now. Those that are gone are left out.
    #[must_use]
    pub fn link_infos(&self, handles: &[LinkHandle]) -> Vec<LinkInfo> {
        let core = self.0.core.borrow();
        let conns = self.0.conns.borrow();
        let info = |handle: &LinkHandle| {
            let status = core.link_status(*handle)?;
            let conn = conns.slab.get(status.link.conn as usize)?;
            let name = conn.engine.link_name(LinkId::from_u32(status.link.link)).unwrap_or_default().to_owned();
            Some(LinkInfo { connection: conn.details.id, name, status })
        };
        handles.iter().filter_map(info).collect()
    }
}

impl Conn {
    fn role(&self) -> ConnectionRole {
        self.neighbour.as_ref().map_or_else(|| self.origin.role(), |neighbour| neighbour.info.role)
    }

    fn status(&self, core: &Core) -> ConnectionStatus {
        let tls = self.stream.tls().map(|tls| TlsStatus {
            protocol: tls.protocol(),
            cipher: tls.cipher(),
            bits: tls.cipher_bits(),
        });
        ConnectionStatus {
            id: self.details.id,
            peer: match &self.origin {
                Origin::Connector(dial) => dial.shown(),
                Origin::Listener(_) => self.details.peer.to_string(),
            },
            local: self.stream.local_addr().ok().map(|address| address.to_string()),
            container: self.details.container.clone(),
            properties: self.details.properties.clone(),
            listener: self.origin.name().to_owned(),
            outgoing: matches!(self.origin, Origin::Connector(_)),
            role: self.role(),
            identity: self.details.identity.clone(),
            opened: self.engine.is_open(),
            closing: self.ending || self.details.end_by.is_some(),
            since: self.details.opened,
            tls,
            tls_ordinal: match &self.origin {
                Origin::Connector(dial) => dial.run.config.ordinal,
                Origin::Listener(_) => None,
            },
            group: self.neighbour.as_ref().and_then(|neighbour| {
                Some((neighbour.group.as_ref()?.correlator().to_owned(), neighbour.info.ordinal))
            }),
            traced: self.is_traced(),
            since_delivery: self.key.and_then(|key| core.seconds_since_delivery(key)),
        }
    }
}
