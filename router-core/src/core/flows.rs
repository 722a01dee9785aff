//! Flows: connections of a TCP adaptor that go through the network as two streaming deliveries, one in each direction.
//!
//! Where a flow comes into the network its adaptor asks [`Core::pick_flow`] whether a server of this router takes it or a neighbour, and
//! begins the delivery to that neighbour. Where it leaves, a stream for an address with servers gets an outlet of its own, which the
//! adaptor accepts through [`Egress::accept_flow`](crate::Egress::accept_flow) and which ends with the flow. Inlets and outlets of flows belong
//! to the connection of the router itself.

use std::sync::atomic::Ordering::Relaxed;

use super::{Core, client_streams::is_client_hop, far::FarRouter, forward::Arrival, hops::MEDIUM, routed::Way};
use crate::{
    InletKey, LinkRef, OutletKey, ServerKey, ServerPick, Terminus, Treatment, WorkerId,
    address::Syntax,
    core::slots::Key,
    credit::Capacity,
    delivery::From,
    distribution::{Candidate, balance::Work},
    egress::{Egress, End, Payload, SendHead},
    inlet::Inlet,
};

/// Who takes a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowPick {
    /// A server of this router.
    Server(ServerPick),
    /// A neighbour, by the core's number for it: for [`Core::begin_flow`].
    Far(u32),
}

/// The lookup key of the address that the outlets of flows belong to. No neighbour's id is empty, so it is none of theirs.
const FLOWS: &str = "P/flows";

impl Core {
    /// Chooses who takes a flow for an address: a server, none of `tried`, or a neighbour, none of `hops`. A server gets one connection
    /// more counted; the flow to a neighbour counts from [`begin_flow`](Self::begin_flow) on.
    ///
    /// `closest` prefers servers here, then the cheapest router. Everything else takes what has the least to do: of a server its open
    /// connections, of a neighbour what is outstanding for the address, the cost of the way added. Servers that fail come last.
    ///
    /// The first pick of a flow counts as a delivery that came in for its address, a server as one that went out.
    pub fn pick_flow(&mut self, address: &str, tried: &[ServerKey], hops: &[u32]) -> Option<FlowPick> {
        let key = self.reachable(address)?;
        if self.addresses.get(key)?.treatment == Treatment::Unavailable {
            return None;
        }
        let pick = match self.far_flow(key, &Way::Stream, tried, hops) {
            Some(hop) => FlowPick::Far(hop),
            None => FlowPick::Server(self.take_server(key, tried)?),
        };
        if let Some(a) = self.addresses.get_mut(key) {
            // A flow is a delivery of its address; its answers have an address of their own. One that all refused counts again.
            a.past.deliveries_in += u64::from(tried.is_empty() && hops.is_empty());
            a.past.deliveries_out += u64::from(matches!(pick, FlowPick::Server(_)));
        }
        Some(pick)
    }

    /// The neighbour that should have a flow rather than a server here.
    fn far_flow(&mut self, address: Key, way: &Way<'_>, tried: &[ServerKey], hops: &[u32]) -> Option<u32> {
        let near = self.least_server(address, tried).filter(|server| !server.failing).map(|server| server.load);
        let a = self.addresses.get_mut(address)?;
        let closest = a.treatment == Treatment::Closest;
        if a.far.is_none() || near.is_some_and(|load| closest || load == 0) {
            return None;
        }
        // Taken out for as long as other addresses are looked at.
        let mut far = a.far.take()?;
        // Those that refused come after servers here, and serve if there is nobody else.
        let any = near.is_none() && far.only_avoided(way, &self.routes);
        let valid = |far: &FarRouter| far.takes(way, &self.routes) && (any || !far.avoided);
        let ways = far.ways;
        far.leave_detours(valid);
        let valid = |far: &FarRouter| valid(far) && !(ways && far.second);
        let near = near.map(Work::fraction);
        let hop = far.flow(
            closest,
            near,
            hops,
            valid,
            |share, cost| self.work_of(share, cost),
            |share| self.all_behind(share),
        );
        self.addresses.get_mut(address)?.far = Some(far);
        hop.map(|hop| hop.index)
    }

    /// The worker that has the links to the neighbour that a flow for an address would go to, if this one has none: there each of its parts is
    /// passed on without another worker's help.
    pub fn flow_home(&mut self, address: &str) -> Option<WorkerId> {
        if self.workers == 1 {
            return None;
        }
        let key = self.reachable(address)?;
        let turn = self.addresses.get(key)?.far.as_ref()?.next;
        let hop = self.far_flow(key, &Way::Stream, &[], &[]);
        // The turn is the flow's, which is yet to come.
        self.addresses.get_mut(key)?.far.as_mut()?.next = turn;
        let (hop, _) = self.hops.at(hop?)?;
        let links = self.addresses.get(self.links_to(hop, MEDIUM)?)?;
        let mut home = None;
        for candidate in links.candidates.iter() {
            match candidate {
                Candidate::Local(_) => return None,
                Candidate::Remote(key) => home = home.or_else(|| self.remotes.get(key).map(|r| WorkerId(r.worker))),
            }
        }
        home
    }

    /// Begins the delivery of a flow toward a neighbour. `head`: all sections of the message, and perhaps more. What follows goes through
    /// [`transfer`](Self::transfer). `None` if the address is gone.
    pub fn begin_flow(
        &mut self,
        link: LinkRef,
        address: &str,
        hop: u32,
        head: &Payload<'_>,
        eg: &mut impl Egress,
    ) -> Option<InletKey> {
        let address = self.reachable(address)?;
        let hop = self.hops.at(hop).map_or(Key::NONE, |(key, _)| key);
        let (inlet, arrival) = self.flow_inlet(link)?;
        let d = self.forward(hop, address, &arrival, head, End::More, eg);
        self.arriving(inlet, d);
        Some(InletKey(inlet))
    }

    /// Begins the delivery of a flow that answers to an address. `asked`: the outlet of the one that it answers; from an edge router the answer
    /// goes up the way that came down, so that both depend on the same.
    pub fn begin_reply(
        &mut self,
        link: LinkRef,
        to: &str,
        asked: Option<OutletKey>,
        head: &Payload<'_>,
        eg: &mut impl Egress,
    ) -> Option<InletKey> {
        let address = self.reachable(to);
        let (inlet, arrival) = self.flow_inlet(link)?;
        // Without an address it is released, as by any router on the way.
        let address = address.unwrap_or(Key::NONE);
        let d = match asked.and_then(|asked| self.way_back(asked.0, address)) {
            Some(hop) => self.forward(hop, address, &arrival, head, End::More, eg),
            None => self.route(address, &arrival, head, End::More, eg),
        };
        self.arriving(inlet, d);
        Some(InletKey(inlet))
    }

    /// Attaches an outlet for the answer to a flow toward a neighbour. Answers it and its address; that of an edge router with several uplinks
    /// names the router that the flow leaves through.
    pub fn attach_flow(&mut self, link: LinkRef, hop: u32, eg: &mut impl Egress) -> Option<(OutletKey, String)> {
        let conn = self.internal_connection();
        let (address, name) = self.terminus(conn, crate::Direction::Out, Terminus::Dynamic).ok()?;
        let key = OutletKey(self.outlet_at(conn, link, address?, true, eg)?);
        self.credit(key, 1, false, eg);
        let name = name?;
        let through = self.hops.at(hop).and_then(|(hop, _)| self.uplink_router(hop));
        let back = through.and_then(|router| Syntax::back_through(&name, router));
        Some((key, back.unwrap_or(name)))
    }

    /// An outlet of a flow has room again after a short answer.
    pub fn flow_writable(&mut self, outlet: OutletKey, eg: &mut impl Egress) {
        let Some(o) = self.outlets.get_mut(outlet.0) else { return };
        o.blocked = false;
        if let Some(conn) = self.conns.get_mut(o.conn) {
            conn.blocked.retain(|other| *other != outlet.0);
        }
        self.flush(outlet.0, eg);
    }

    /// A stream has begun to arrive, and its address has servers: one of them takes it unless a neighbour should. `None`: no server does.
    pub(super) fn serve(
        &mut self,
        address: Key,
        arrival: &Arrival<'_>,
        payload: &Payload<'_>,
        end: End,
        eg: &mut impl Egress,
    ) -> Option<Option<Key>> {
        if self.far_flow(address, &arrival.way, &[], &[]).is_some() {
            return None;
        }
        let conn = self.internal_connection();
        let flows = self.address(FLOWS, false);
        let nowhere = LinkRef { conn: u32::MAX, link: u32::MAX };
        let o = self.outlet_at(conn, nowhere, flows, true, eg)?;
        let name = self.addresses.get(address)?.name.clone();
        let Some(link) = eg.accept_flow(OutletKey(o), &name) else {
            self.detach_outlet(OutletKey(o), eg);
            return None;
        };
        let arrival = &Arrival { stream: Some(arrival.way.origin()), ..*arrival };
        let d = self.record(arrival, address, end);
        self.addresses.get_mut(address)?.past.deliveries_out += 1;
        let outlet = self.outlets.get_mut(o)?;
        (outlet.link, outlet.credit, outlet.inside) = (link, 1, false);
        let head = SendHead {
            message_format: arrival.message_format,
            settled: arrival.goes_settled,
            token: if arrival.goes_settled { 0 } else { d.to_raw() },
            prefix: arrival.prefix,
        };
        let sent = eg.send(link, &head, payload, end);
        Some(self.started(o, d, address, arrival, payload, end, sent, eg))
    }

    /// Whether an address is that of outlets of flows, or of links for streams to a client, of which other workers hear nothing.
    pub(super) fn is_flows(&self, address: Key) -> bool {
        self.addresses.get(address).is_some_and(|a| *a.name == *FLOWS || is_client_hop(&a.name))
    }

    fn flow_inlet(&mut self, link: LinkRef) -> Option<(Key, Arrival<'static>)> {
        let conn = self.internal_connection();
        let id = self.next_link_id();
        let owner = self.conns.get_mut(conn.0)?;
        let inlet = Inlet::new(link, conn.0, owner.inlets.len() as u32, Capacity::new(Some(1)), id);
        let key = self.inlets.insert(Inlet { open: 1, ..inlet });
        owner.inlets.push(key);
        self.seq += 1;
        self.counters.deliveries_in += 1;
        let arrival = Arrival {
            from: From::Inlet { inlet: key, id: 0 },
            settled: false,
            goes_settled: false,
            second: false,
            message_format: 0,
            report: false,
            seq: self.seq,
            born: self.delays.now(),
            way: Way::Stream,
            pooled: false,
            tell_waited: false,
            prefix: &[],
            origin: Key::NONE,
            hop: Key::NONE,
            untracked: false,
            row: 0,
            stream: None,
            traced: false,
        };
        Some((key, arrival))
    }

    /// The server with the least to do, none of `exclude`; in turn among equals. One that fails only if all do.
    pub(super) fn least_server(&self, address: Key, exclude: &[ServerKey]) -> Option<Least> {
        let a = self.addresses.get(address)?;
        let n = a.servers.len();
        let mut best: Option<Least> = None;
        for i in 0..n {
            let at = (a.next_server + i) % n;
            let Some(key) = a.servers.get(at).copied() else { continue };
            let Some(server) = self.servers.get(key).filter(|_| !exclude.contains(&ServerKey(key))) else { continue };
            let load = match a.treatment {
                Treatment::Closest => 0,
                // In fixed point, so that weights count.
                _ => (u64::from(server.info.open.load(Relaxed)) << 16) / u64::from(server.info.weight.max(1)),
            };
            let failing = server.info.failing.load(Relaxed);
            if best.is_none_or(|best| (failing, load) < (best.failing, best.load)) {
                best = Some(Least { at, key, load, failing });
                if load == 0 && !failing {
                    break;
                }
            }
        }
        best
    }

    /// Takes that server, and counts a connection for it.
    pub(super) fn take_server(&mut self, address: Key, exclude: &[ServerKey]) -> Option<ServerPick> {
        let Least { at, key, .. } = self.least_server(address, exclude)?;
        self.addresses.get_mut(address)?.next_server = at + 1;
        let server = self.servers.get_mut(key)?;
        server.mine += 1;
        server.info.open.fetch_add(1, Relaxed);
        Some(ServerPick { key: ServerKey(key), token: server.info.token })
    }

    /// The address of this text, if somebody uses it, here or elsewhere.
    fn reachable(&mut self, text: &str) -> Option<Key> {
        let mut name = std::mem::take(&mut self.name);
        let found = self.syntax.key(text, &mut name).and_then(|_| self.known_address(&name));
        self.name = name;
        found
    }

    /// The address of this text, if somebody here uses it.
    pub(super) fn existing(&mut self, text: &str) -> Option<Key> {
        let mut name = std::mem::take(&mut self.name);
        let found = self.syntax.key(text, &mut name).and_then(|_| self.by_name.get(name.as_str()).copied());
        self.name = name;
        found
    }
}

/// A server, and what it has to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Least {
    at: usize,
    key: Key,
    /// In 65,536ths of a connection.
    load: u64,
    pub(super) failing: bool,
}
