//! Forwards deliveries to and from neighbours: their links are inlets and outlets of the core.

use std::cell::RefCell;

use amqp_proto::Role;
use amqp_proto::connection::{Disposed, Disposition, LinkId, Payload};
use router_core::{
    ConnInfo, ConnKey, Core, EdgeEnd, EdgeLink, HopLink, InKey, InletKey, LinkRef, OutKey, OutletKey, Transfer,
};

use super::{ConnectionRole, LinkPurpose, NeighbourConn, NeighbourInfo, NeighbourLinks};
use crate::egress::Conns;

/// How many links a connection to a router of another make may have while one for streams rests until its delivery is settled. Streams that
/// are not settled for long, as large messages of a slow consumer are, would need a link each.
const MOST_RESTING: usize = 256;

/// The links of one worker's neighbours, as the core knows them.
#[derive(Debug, Default)]
pub(crate) struct Forwarding {
    /// By the connection's number on this worker.
    conns: RefCell<Vec<Option<Connected>>>,
}

#[derive(Debug)]
struct Connected {
    key: ConnKey,
    id: String,
    ours: bool,
    /// Both are edge routers.
    peer: bool,
    /// Another connection took its place.
    retired: bool,
    /// With those for streams to a router of another make marked.
    outlets: ByLink<(OutletKey, bool)>,
    inlets: ByLink<InletKey>,
}

/// Keys of links, by the index of the link on its connection, since every frame looks here.
#[derive(Debug)]
struct ByLink<K>(Vec<Option<(u32, K)>>);

impl<K> Default for ByLink<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Copy> ByLink<K> {
    fn get(&self, link: u32) -> Option<K> {
        let (known, key) = (*self.0.get(LinkId::from_u32(link).index())?)?;
        (known == link).then_some(key)
    }

    fn len(&self) -> usize {
        self.iter().count()
    }

    fn insert(&mut self, link: u32, key: K) {
        let at = LinkId::from_u32(link).index();
        if self.0.len() <= at {
            self.0.resize(at + 1, None);
        }
        if let Some(place) = self.0.get_mut(at) {
            *place = Some((link, key));
        }
    }

    fn iter(&self) -> impl Iterator<Item = K> {
        self.0.iter().flatten().map(|(_, key)| *key)
    }

    fn remove(&mut self, link: u32) -> Option<K> {
        let key = self.get(link)?;
        if let Some(place) = self.0.get_mut(LinkId::from_u32(link).index()) {
            *place = None;
        }
        Some(key)
    }
}

impl Forwarding {
    fn inlet(&self, link: LinkRef) -> Option<InletKey> {
        self.conns.borrow().get(link.conn as usize)?.as_ref()?.inlets.get(link.link)
    }

    /// The credit of a link, as the core is to know it. To a router of another make one for streams carries one delivery at a time, and the
    /// next one when it is settled.
    ///
    /// A reference router reads a stream in two ways: frame by frame as they come, or, if its other end was slow, when that takes more. The
    /// second way does not look at what follows the end of the stream on the link. A delivery that came meanwhile was not begun there
    /// until something else came on the link, maybe never.
    fn usable_credit(&self, conns: &mut Conns, link: LinkRef, credit: u32) -> Option<(OutletKey, u32)> {
        let all = self.conns.borrow();
        let to = all.get(link.conn as usize)?.as_ref()?;
        let (key, rests) = to.outlets.get(link.link)?;
        if !rests {
            return Some((key, credit));
        }
        let unsettled = conns.get(link.conn)?.engine.unsettled(LinkId::from_u32(link.link));
        let free = unsettled == 0 || to.outlets.len() >= MOST_RESTING;
        Some((key, if free { credit.min(1) } else { 0 }))
    }

    /// Something was told about a delivery: its link may be free for another one, if it rested.
    fn rested(&self, core: &mut Core, conns: &mut Conns, link: LinkRef) {
        let outlet = |to: &Option<Connected>| to.as_ref()?.outlets.get(link.link);
        if !self.conns.borrow().get(link.conn as usize).and_then(outlet).is_some_and(|(_, rests)| rests) {
            return;
        }
        let credit = conns.get(link.conn).map_or(0, |conn| conn.engine.link_credit(LinkId::from_u32(link.link)));
        if let Some((key, credit @ 1..)) = self.usable_credit(conns, link, credit) {
            core.credit(key, credit, false, conns);
        }
    }
}

impl NeighbourLinks for Forwarding {
    fn grants(&self) -> bool {
        true
    }

    fn opened(&self, core: &mut Core, state: &mut Conns, info: &NeighbourInfo) {
        let asked = ConnInfo { container: info.container.clone(), ..ConnInfo::default() };
        // Policies are about clients; a neighbour was authenticated by its listener or connector.
        let Ok(key) = core.connection_opened(&asked) else { return };
        let (outlets, inlets) = (ByLink::default(), ByLink::default());
        let peer = info.role == ConnectionRole::InterEdge;
        let connected =
            Connected { key, id: info.container.clone(), ours: info.ours, peer, retired: false, outlets, inlets };
        let mut conns = self.conns.borrow_mut();
        let slot = info.conn.slot as usize;
        if conns.len() <= slot {
            conns.resize_with(slot + 1, || None);
        }
        if let Some(place) = conns.get_mut(slot) {
            *place = Some(connected);
        }
        if info.role == ConnectionRole::InterRouterData && info.ours {
            // The first stream need not wait for one, nor take one of another worker. If there can be none, one is asked for when it is wanted.
            let _ = state.open_stream_link(info.conn.slot);
        }
    }

    fn attached(&self, core: &mut Core, conns: &mut Conns, link: LinkRef, purpose: LinkPurpose, role: Role) {
        let kind = match purpose {
            LinkPurpose::Control => return,
            LinkPurpose::Data(priority) => HopLink::Priority(priority),
            LinkPurpose::Stream => HopLink::Stream,
        };
        let mut all = self.conns.borrow_mut();
        let Some(Some(conn)) = all.get_mut(link.conn as usize) else { return };
        match role {
            Role::Sender => {
                if let Some(key) = core.attach_hop(conn.key, link, (&conn.id, conn.ours), kind, conns) {
                    conn.outlets.insert(link.link, (key, !conn.ours && purpose == LinkPurpose::Stream));
                    if conn.retired {
                        core.retire_outlet(key, conns);
                    }
                }
            }
            Role::Receiver => {
                if let Some(key) = core.attach_router_inlet(conn.key, link, conn.ours, kind) {
                    conn.inlets.insert(link.link, key);
                }
            }
        }
    }

    fn edge_attached(
        &self,
        core: &mut Core,
        conns: &mut Conns,
        link: LinkRef,
        edge: u64,
        kind: EdgeLink<'_>,
        role: Role,
    ) {
        let mut all = self.conns.borrow_mut();
        let Some(Some(conn)) = all.get_mut(link.conn as usize) else { return };
        let end = EdgeEnd { conn: edge, ours: conn.ours, peer: conn.peer };
        match role {
            Role::Sender => {
                let stream = matches!(kind, EdgeLink::Stream);
                if let Some(key) = core.attach_edge_outlet(conn.key, link, end, kind, conns) {
                    conn.outlets.insert(link.link, (key, !conn.ours && stream));
                }
            }
            Role::Receiver => {
                if let Some(key) = core.attach_edge_inlet(conn.key, link, end, kind) {
                    conn.inlets.insert(link.link, key);
                }
            }
        }
    }

    fn credit(&self, core: &mut Core, conns: &mut Conns, link: LinkRef, _: LinkPurpose, credit: u32) {
        if let Some((key, credit)) = self.usable_credit(conns, link, credit) {
            core.credit(key, credit, false, conns);
        }
    }

    fn writable(&self, core: &mut Core, conns: &mut Conns, conn: u32) {
        let key = self.conns.borrow().get(conn as usize).and_then(|conn| Some(conn.as_ref()?.key));
        if let Some(key) = key {
            core.writable(key, conns);
        }
    }

    fn detached(&self, core: &mut Core, conns: &mut Conns, link: LinkRef, _: LinkPurpose, role: Role) {
        let mut all = self.conns.borrow_mut();
        let Some(Some(conn)) = all.get_mut(link.conn as usize) else { return };
        let (outlet, inlet) = match role {
            Role::Sender => (conn.outlets.remove(link.link).map(|(key, _)| key), None),
            Role::Receiver => (None, conn.inlets.remove(link.link)),
        };
        drop(all);
        if let Some(key) = outlet {
            core.detach_outlet(key, conns);
        }
        if let Some(key) = inlet {
            core.detach_inlet(key, conns);
        }
    }

    fn transfer(
        &self,
        core: &mut Core,
        conns: &mut Conns,
        link: LinkRef,
        _: LinkPurpose,
        transfer: &Transfer,
        payload: &Payload<'_>,
    ) -> bool {
        let Some(inlet) = self.inlet(link) else { return false };
        let key = core.transfer(inlet, transfer, payload, conns);
        if let Some(key) = key
            && let Some(conn) = conns.get(link.conn)
        {
            conn.engine.set_incoming_token(LinkId::from_u32(link.link), transfer.delivery_id, key.to_raw());
        }
        true
    }

    fn disposed(&self, core: &mut Core, conns: &mut Conns, conn: u32, disposed: &Disposed, disposition: &Disposition) {
        let state = disposition.state.as_ref();
        if disposition.outgoing {
            core.outcome(OutKey::from_raw(disposed.token), state, disposition.settled, conns);
            self.rested(core, conns, LinkRef { conn, link: disposed.link.to_u32() });
        } else {
            core.sender_state(InKey::from_raw(disposed.token), state, disposition.settled, conns);
        }
    }

    fn retired(&self, core: &mut Core, conns: &mut Conns, conn: NeighbourConn) {
        let mut all = self.conns.borrow_mut();
        let Some(Some(conn)) = all.get_mut(conn.slot as usize) else { return };
        conn.retired = true;
        let outlets: Vec<OutletKey> = conn.outlets.iter().map(|(key, _)| key).collect();
        drop(all);
        for key in outlets {
            core.retire_outlet(key, conns);
        }
    }

    fn closed(&self, core: &mut Core, conns: &mut Conns, conn: NeighbourConn) {
        let gone = self.conns.borrow_mut().get_mut(conn.slot as usize).and_then(Option::take);
        if let Some(gone) = gone {
            core.connection_closed(gone.key, conns);
        }
    }
}
