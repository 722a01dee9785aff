//! Connections, links, addresses and counters of all workers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use amqp_adaptor::{ConnectionStatus, LinkInfo};
use amqp_proto::Value;
use router_core::entity::{LinkType, OperationalKind};
use router_core::management::EntityType;
use router_core::routing::{AddressBook, Hint};
use router_core::{AddressStatus, Counters, Crossed, Delayed, Direction, LinkHandle, LinkKind, Treatment};
use tcp_adaptor::SocketStatus;

use super::Row;
use crate::cli::VERSION;
use crate::management::Agent;
use crate::management::values::{count, text};
use crate::router::asking::{address_keys, ask, each};
use crate::router::{Seen, worker};

/// How many rows a worker is asked for at once: a few hundred microseconds of its time (2026-11, computed).
const PAGE: usize = 500;

/// What the reference gives receivers when nothing is configured.
const DEFAULT_CAPACITY: u32 = 250;

/// The part of `all` that a query asks for.
fn window<T>(mut all: Vec<T>, offset: usize, limit: usize) -> Vec<T> {
    all.truncate(offset.saturating_add(limit));
    all.drain(..offset.min(all.len()));
    all
}

/// Links, the oldest first.
pub(super) async fn links(agent: &Agent, offset: usize, limit: usize) -> (Vec<Row>, usize) {
    let (infos, total) = link_infos(agent, |_| true, offset, limit).await;
    (infos.iter().map(link_row).collect(), total)
}

/// The link with this identity or, without one, this name.
pub(super) async fn link(agent: &Agent, name: Option<&str>, identity: Option<&str>) -> Option<Row> {
    if let Some(identity) = identity {
        let id: u64 = identity.parse().ok()?;
        let (infos, _) = link_infos(agent, move |handle| handle.id == id, 0, 1).await;
        return infos.first().map(link_row).filter(|row| name.is_none_or(|name| row.get("name") == Some(&name.into())));
    }
    let name = name?;
    let (infos, _) = link_infos(agent, |_| true, 0, usize::MAX).await;
    infos.iter().find(|info| info.name == name).map(link_row)
}

async fn link_infos(
    agent: &Agent,
    wanted: impl Fn(&LinkHandle) -> bool,
    offset: usize,
    limit: usize,
) -> (Vec<LinkInfo>, usize) {
    let mut handles: Vec<(LinkHandle, usize)> = Vec::new();
    for (index, handle) in agent.workers.iter().enumerate() {
        let found = ask(handle, |worker| worker.amqp.link_handles()).await.unwrap_or_default();
        handles.extend(found.into_iter().filter(&wanted).map(|handle| (handle, index)));
    }
    handles.sort_unstable();
    let total = handles.len();
    let handles = window(handles, offset, limit);
    let mut infos = Vec::with_capacity(handles.len());
    for (index, worker) in agent.workers.iter().enumerate() {
        let own: Vec<LinkHandle> = handles.iter().filter(|(_, at)| *at == index).map(|(handle, _)| *handle).collect();
        for page in own.chunks(PAGE) {
            let page = page.to_vec();
            infos.extend(ask(worker, move |worker| worker.amqp.link_infos(&page)).await.unwrap_or_default());
        }
    }
    infos.sort_unstable_by_key(|info| info.status.id);
    (infos, total)
}

fn link_row(info: &LinkInfo) -> Row {
    let status = &info.status;
    let counters = &status.counters;
    let direction = match status.direction {
        Direction::In => "in",
        Direction::Out => "out",
    };
    let kind = match status.kind {
        LinkKind::Endpoint => LinkType::Endpoint,
        LinkKind::InterRouter => LinkType::InterRouter,
        LinkKind::EdgeDownlink => LinkType::EdgeDownlink,
        LinkKind::InterEdge => LinkType::InterEdge,
    };
    Row::new(EntityType::Operational(OperationalKind::Link), &info.name, &status.id.to_string())
        .with("operStatus", "up")
        .with("linkName", info.name.as_str())
        .with("linkType", kind.as_str())
        .with("linkDir", direction)
        .with("owningAddr", status.address.as_deref().map_or(Value::Null, Value::from))
        .with("capacity", count(status.capacity.unwrap_or(DEFAULT_CAPACITY).into()))
        .with("undeliveredCount", count(status.undelivered))
        .with("unsettledCount", count(status.unsettled))
        .with("deliveryCount", count(counters.deliveries))
        .with("connectionId", info.connection.to_string())
        .with("presettledCount", count(counters.presettled))
        .with("droppedPresettledCount", count(counters.dropped_presettled))
        .with("acceptedCount", count(counters.accepted))
        .with("rejectedCount", count(counters.rejected))
        .with("releasedCount", count(counters.released))
        .with("modifiedCount", count(counters.modified))
        .with("deliveriesDelayed1Sec", count(status.delays.late))
        .with("deliveriesDelayed10Sec", count(status.delays.very_late))
        .with("deliveriesStuck", count(status.delays.stuck))
        .with("openMovedStreams", count(0))
        .with("creditAvailable", count(status.credit.into()))
        .with("zeroCreditSeconds", count(status.zero_credit_seconds))
        .with("settleRate", count(counters.rate.into()))
        .with("ingressHistogram", Value::Null)
        .with("priority", count(status.priority.unwrap_or_default().into()))
}

/// Addresses, by key.
pub(super) async fn addresses(agent: &Agent, offset: usize, limit: usize) -> (Vec<Row>, usize) {
    let mut keys = address_keys(&agent.workers).await;
    let book = agent.running.network().get().book;
    keys.extend(book.keys().cloned());
    keys.sort();
    keys.dedup();
    let total = keys.len();
    let keys = window(keys, offset, limit);
    let mut rows = Vec::with_capacity(keys.len());
    for page in keys.chunks(PAGE) {
        let mut known = statuses(agent, page.to_vec()).await;
        for key in page.iter().filter(|key| !book.destinations(key).is_empty()) {
            known.entry(Arc::clone(key)).or_insert_with(|| elsewhere(key, &book));
        }
        rows.extend(known.values().map(|status| address_row(status, &book)));
    }
    (rows, total)
}

/// The address with this key.
pub(super) async fn address(agent: &Agent, key: &str) -> Option<Row> {
    let book = agent.running.network().get().book;
    let known = statuses(agent, vec![key.into()]).await.remove(key);
    let known = known.or_else(|| (!book.destinations(key).is_empty()).then(|| elsewhere(key, &book)));
    known.map(|status| address_row(&status, &book))
}

/// An address that has destinations at other routers, and nothing here.
fn elsewhere(key: &str, book: &AddressBook) -> AddressStatus {
    let treatment = match book.destinations(key).first().and_then(|destination| destination.hint) {
        Some(Hint::Multicast | Hint::Flood) => Treatment::Multicast,
        Some(Hint::Closest) => Treatment::Closest,
        Some(Hint::Balanced | Hint::Unavailable) | None => Treatment::Balanced,
    };
    AddressStatus { key: key.into(), treatment, ..AddressStatus::default() }
}

/// These addresses, added up over the workers.
async fn statuses(agent: &Agent, keys: Vec<Arc<str>>) -> BTreeMap<Arc<str>, AddressStatus> {
    let keys: Arc<[Arc<str>]> = keys.into();
    let look = move |worker: &worker::Worker| {
        worker.amqp.with_core(|core, _| keys.iter().filter_map(|key| core.address_status(key)).collect::<Vec<_>>())
    };
    let mut all: BTreeMap<Arc<str>, AddressStatus> = BTreeMap::new();
    for status in each(&agent.workers, look).await.into_iter().flatten() {
        match all.get_mut(&status.key) {
            Some(known) => known.add(&status),
            None => drop(all.insert(Arc::clone(&status.key), status)),
        }
    }
    all
}

fn address_row(status: &AddressStatus, book: &AddressBook) -> Row {
    let key = &*status.key;
    let elsewhere = book.destinations(key);
    Row::new(EntityType::Operational(OperationalKind::Address), key, key)
        .with("key", key)
        .with("distribution", status.treatment.as_str())
        .with("inProcess", count(status.in_process))
        .with("subscriberCount", count(status.outlets + status.servers))
        .with("remoteCount", count(elsewhere.len() as u64))
        .with("containerCount", count(0))
        .with("remoteHostRouters", Value::List(elsewhere.iter().map(|d| Value::from(&*d.router)).collect()))
        .with("deliveriesIngress", count(status.deliveries_in))
        .with("deliveriesEgress", count(status.deliveries_out))
        .with("deliveriesTransit", count(status.transit))
        .with("deliveriesToContainer", count(status.to_container))
        .with("deliveriesFromContainer", count(status.from_container))
        .with("deliveriesIngressRouteContainer", count(status.crossed.from_containers))
        .with("deliveriesEgressRouteContainer", count(status.crossed.to_containers))
        .with("deliveriesIngressInterNetwork", count(status.crossed.from_networks))
        .with("deliveriesEgressInterNetwork", count(status.crossed.to_networks))
        .with("transitOutstanding", Value::Null)
        .with("trackedDeliveries", count(0))
        .with("priority", Value::Long(status.priority.map_or(-1, i64::from)))
        .with("watch", status.watched)
        .with("senderCount", count(status.inlets))
        .with("waitingCount", count(status.waiting))
}

/// Connections, the oldest first.
pub(super) async fn connections(agent: &Agent, offset: usize, limit: usize) -> (Vec<Row>, usize) {
    let mut ids: Vec<u64> = each(&agent.workers, |worker| worker.amqp.connection_ids()).await.concat();
    ids.extend(each(&agent.workers, |worker| worker.tcp.socket_ids()).await.concat());
    ids.sort_unstable();
    let total = ids.len();
    let ids = window(ids, offset, limit);
    let mut found = Vec::with_capacity(ids.len());
    for page in ids.chunks(PAGE) {
        found.extend(connections_of(agent, page.to_vec()).await);
    }
    found.sort_unstable_by_key(|(id, _)| *id);
    (found.into_iter().map(|(_, row)| row).collect(), total)
}

/// Sockets of TCP flows, the oldest first.
pub(super) async fn flows(agent: &Agent, offset: usize, limit: usize) -> (Vec<Row>, usize) {
    let mut ids: Vec<u64> = each(&agent.workers, |worker| worker.tcp.socket_ids()).await.concat();
    ids.sort_unstable();
    let total = ids.len();
    let ids = window(ids, offset, limit);
    let mut found = Vec::with_capacity(ids.len());
    for page in ids.chunks(PAGE) {
        found.extend(flows_of(agent, page.into()).await);
    }
    found.sort_unstable_by_key(|status| status.id);
    (found.iter().map(flow_row).collect(), total)
}

/// The connection with this identity.
pub(super) async fn connection(agent: &Agent, identity: &str) -> Option<Row> {
    let id = identity.parse().ok()?;
    connections_of(agent, vec![id]).await.pop().map(|(_, row)| row)
}

async fn connections_of(agent: &Agent, sorted: Vec<u64>) -> Vec<(u64, Row)> {
    let sorted: Arc<[u64]> = sorted.into();
    let wanted = Arc::clone(&sorted);
    let amqp = each(&agent.workers, move |worker| worker.amqp.connection_statuses(&wanted)).await.concat();
    let seen = agent.running.network().get();
    let mut rows: Vec<_> = amqp.iter().map(|status| (status.id, connection_row(status, &seen))).collect();
    rows.extend(flows_of(agent, sorted).await.iter().map(|status| (status.id, socket_row(status))));
    rows
}

async fn flows_of(agent: &Agent, sorted: Arc<[u64]>) -> Vec<SocketStatus> {
    each(&agent.workers, move |worker| worker.tcp.socket_statuses(&sorted)).await.concat()
}

/// A socket of a TCP flow as a connection. The container is what the reference writes there.
fn socket_row(status: &SocketStatus) -> Row {
    let (protocol, cipher, bits) = match status.tls {
        Some((protocol, cipher, bits)) => (protocol.into(), cipher.into(), bits),
        None => (Value::Null, Value::Null, 0),
    };
    let ty = EntityType::Operational(OperationalKind::Connection);
    let mut row = Row::new(ty, &format!("connection/{}", status.peer), &status.id.to_string())
        .with("adminStatus", "enabled")
        .with("operStatus", "up")
        .with("protocol", "tcp")
        .with("container", "TcpAdaptor")
        .with("opened", true)
        .with("host", status.peer.as_str())
        .with("dir", if status.outgoing { "out" } else { "in" })
        .with("role", "normal")
        .with("isAuthenticated", false)
        .with("isEncrypted", status.tls.is_some())
        .with("enableProtocolTrace", false)
        .with("ssl", status.tls.is_some())
        .with("sslProto", protocol)
        .with("sslCipher", cipher)
        .with("sslSsf", count(bits.into()))
        .with("uptimeSeconds", count(status.since.elapsed().as_secs()))
        .with("properties", Value::Map(Vec::new()))
        .with("active", true)
        .with("listener", status.name.as_str());
    row.fill(ty.descriptor());
    row
}

fn flow_row(status: &SocketStatus) -> Row {
    let ty = EntityType::Operational(OperationalKind::TcpConnection);
    Row::new(ty, &format!("tcpConnection/{}", status.id), &status.id.to_string())
        .with("address", text(&status.address))
        .with("host", status.peer.as_str())
        .with("direction", if status.outgoing { "out" } else { "in" })
        .with("bytesIn", count(status.bytes_in))
        .with("bytesOut", count(status.bytes_out))
        .with("uptimeSeconds", count(status.since.elapsed().as_secs()))
}

fn connection_row(status: &ConnectionStatus, seen: &Seen) -> Row {
    let identity = &status.identity;
    let authenticated = identity.mechanism.is_some();
    // Edge routers name their mesh over connections that they use.
    let standby = status.role.is_edge() && !seen.uplinks.contains(&status.id) && !seen.meshes.contains_key(&status.id);
    let active = status.opened && !status.closing && !standby;
    Row::new(
        EntityType::Operational(OperationalKind::Connection),
        &format!("connection/{}", status.peer),
        &status.id.to_string(),
    )
    .with("adminStatus", if status.closing { "deleted" } else { "enabled" })
    .with("operStatus", if status.closing { "closing" } else { "up" })
    .with("protocol", "amqp")
    .with("container", text(&status.container))
    .with("opened", status.opened)
    .with("host", status.peer.as_str())
    .with("localSocket", status.local.as_deref().map_or(Value::Null, Value::from))
    .with("dir", if status.outgoing { "out" } else { "in" })
    .with("role", status.role.as_str())
    .with("meshId", seen.meshes.get(&status.id).map_or(Value::Null, |mesh| Value::from(&**mesh)))
    .with("isAuthenticated", authenticated)
    .with("isEncrypted", status.tls.is_some())
    .with("enableProtocolTrace", status.traced)
    .with("sasl", identity.mechanism.as_deref().map_or(Value::Null, Value::from))
    .with("user", user(status))
    .with("ssl", status.tls.is_some())
    .with("sslProto", status.tls.map_or(Value::Null, |tls| tls.protocol.into()))
    .with("sslCipher", status.tls.map_or(Value::Null, |tls| tls.cipher.into()))
    .with("sslSsf", count(status.tls.map_or(0, |tls| tls.bits.into())))
    .with("uptimeSeconds", count(status.since.elapsed().as_secs()))
    .with("properties", properties(status))
    .with("lastDlvSeconds", status.since_delivery.map_or(Value::Null, count))
    .with("tlsOrdinal", status.tls_ordinal.map_or(Value::Null, count))
    .with("groupCorrelationId", status.group.as_ref().map_or(Value::Null, |(id, _)| id.as_str().into()))
    .with("groupOrdinal", status.group.as_ref().map_or(Value::Null, |(_, ordinal)| count(*ordinal)))
    .with("active", active)
    .with("listener", status.listener.as_str())
}

/// Properties of the peer's open, with strings for keys, as other maps of management have them.
fn properties(status: &ConnectionStatus) -> Value {
    let value = status.properties.as_ref().and_then(|fields| fields.raw().to_value().ok());
    let entries = value.as_ref().and_then(Value::as_map).unwrap_or_default();
    let entry = |(key, value): &(Value, Value)| Some((Value::from(key.as_str()?), value.clone()));
    Value::Map(entries.iter().filter_map(entry).collect())
}

/// SASL ANONYMOUS has a user, too, and so has a connection that proves nothing at all.
fn user(status: &ConnectionStatus) -> Value {
    match (&status.identity.user, status.identity.mechanism.as_deref()) {
        (Some(user), _) => user.as_str().into(),
        (None, Some("ANONYMOUS")) => "anonymous".into(),
        (None, None) if status.tls.is_none() => "anonymous".into(),
        _ => Value::Null,
    }
}

/// The router's counters.
pub(super) async fn metrics(agent: &Agent) -> Row {
    let mut core = Counters::default();
    let mut crossed = Crossed::default();
    for counts in each(&agent.workers, |worker| worker.amqp.with_core(|core, _| core.crossed())).await {
        crossed.add(&counts);
    }
    let mut delayed = Delayed::default();
    for counts in each(&agent.workers, |worker| worker.amqp.with_core(|core, _| core.delayed())).await {
        delayed.add(&counts);
    }
    let mut amqp = 0;
    for counts in each(&agent.workers, |_| worker::counts()).await {
        core.add(&counts.core);
        amqp += counts.amqp.opened.saturating_sub(counts.amqp.closed);
    }
    let (mut clients, mut tcp, mut sockets, mut http) = (0, 0, 0, [0, 0]);
    let look = |worker: &worker::Worker| {
        let tcp = &worker.tcp;
        (worker.amqp.clients(), tcp.clients(), tcp.socket_ids().len(), tcp.http_flows())
    };
    for (amqp, accepted, all, [one, two]) in each(&agent.workers, look).await {
        clients += amqp as u64;
        // Each is counted once, as what it is known to carry.
        tcp += accepted.saturating_sub(one + two) as u64;
        http = [http[0] + one as u64, http[1] + two as u64];
        sockets += all as u64;
    }
    let addresses = address_keys(&agent.workers).await.len();
    let auto_links =
        agent.running.with_store(|store| store.query(Some(router_core::entity::EntityKind::AutoLink)).count());
    let (size, resident) = memory();
    let protocols = [("tcp", tcp), ("amqp", clients), ("http1", http[0]), ("http2", http[1])];
    let protocols = protocols.map(|(name, number)| (name.into(), count(number))).to_vec();
    Row::new(EntityType::Operational(OperationalKind::RouterMetrics), "routerMetrics", "1")
        .with("id", agent.router.id.as_str())
        .with("version", VERSION)
        .with("addrCount", count(addresses as u64))
        .with("linkCount", count(core.inlets + core.outlets))
        .with("nodeCount", count(super::nodes(agent).len().saturating_sub(1) as u64))
        .with("autoLinkCount", count(auto_links as u64))
        .with("connectionCount", count(amqp + sockets))
        .with("presettledDeliveries", count(core.presettled))
        .with("droppedPresettledDeliveries", count(core.dropped_presettled))
        .with("acceptedDeliveries", count(core.accepted))
        .with("rejectedDeliveries", count(core.rejected))
        .with("releasedDeliveries", count(core.released))
        .with("modifiedDeliveries", count(core.modified))
        .with("deliveriesIngress", count(core.deliveries_in))
        .with("deliveriesEgress", count(core.deliveries_out))
        .with("deliveriesTransit", count(delayed.transit))
        .with("deliveriesIngressRouteContainer", count(crossed.from_containers))
        .with("deliveriesEgressRouteContainer", count(crossed.to_containers))
        .with("deliveriesIngressInterNetwork", count(crossed.from_networks))
        .with("deliveriesEgressInterNetwork", count(crossed.to_networks))
        .with("residentMemoryUsage", resident)
        .with("memoryUsage", size)
        .with("uptimeSeconds", count(Instant::now().saturating_duration_since(agent.started).as_secs()))
        .with("deliveriesStuck", count(delayed.deliveries.stuck))
        .with("deliveriesDelayed10Sec", count(delayed.deliveries.very_late))
        .with("deliveriesDelayed1Sec", count(delayed.deliveries.late))
        .with("linksBlocked", count(delayed.blocked_links))
        .with("connectionCounters", Value::Map(protocols))
}

/// Address space and memory of this process in bytes, where the system tells.
fn memory() -> (Value, Value) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bytes = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(count(kib * 1024))
    };
    (bytes("VmSize:").unwrap_or(Value::Null), bytes("VmRSS:").unwrap_or(Value::Null))
}
