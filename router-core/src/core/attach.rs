//! Connections and links come and go.

use super::{Conn, Core};
use crate::{
    Admission, ConnInfo, ConnKey, ConnKind, Direction, InletAttached, InletKey, InletRequest, OutletAttached,
    OutletKey, OutletRequest, Refusal, Rights, Terminus, Treatment,
    address::Syntax,
    core::slots::Key,
    credit::Capacity,
    delivery::{NIL, To},
    distribution::Candidate,
    egress::{DeliveryState, Egress, End, LinkRef},
    inlet::{Inlet, Sends},
    inspect::LinkCounters,
    outlet::Outlet,
    worker_batch::Msg,
};

/// The key of [`RESTRICTED_ADDRESS`](crate::management::RESTRICTED_ADDRESS).
const RESTRICTED_KEY: &str = "L$management:restricted";

const NOT_FOUND: Refusal = Refusal::NotFound("Node not found");

impl Core {
    /// A connection was opened (authenticated, and its open received).
    ///
    /// # Errors
    /// If the policy refuses it.
    pub fn connection_opened(&mut self, info: &ConnInfo) -> Result<ConnKey, Refusal> {
        let admission = self.policy.admit(info).inspect_err(|_| self.counters.connections_denied += 1)?;
        self.counters.connections_opened += 1;
        self.annotated += usize::from(info.kind == ConnKind::Network);
        let conn = Conn {
            admission: Some(admission),
            link_capacity: info.link_capacity,
            kind: info.kind,
            streaming_links: info.streaming_links,
            reads_annotations: info.reads_annotations,
            gives_annotations: info.gives_annotations,
            inlets: Vec::new(),
            outlets: Vec::new(),
            blocked: Vec::new(),
            active: None,
        };
        Ok(ConnKey(self.conns.insert(conn)))
    }

    /// What the policy said of a connection.
    pub fn admission(&self, conn: ConnKey) -> Option<&Admission> {
        self.conns.get(conn.0)?.admission.as_ref()
    }

    /// What it may do, if it may not do everything.
    pub(super) fn rights(&self, conn: Key) -> Option<&Rights> {
        self.conns.get(conn)?.admission.as_ref()?.rights()
    }

    /// May a client attach this link?
    fn permit(&mut self, conn: ConnKey, direction: Direction, terminus: Terminus<'_>) -> Result<(), Refusal> {
        let admission = self.conns.get_mut(conn.0).and_then(|conn| conn.admission.as_mut());
        let allowed = admission.map_or(Ok(()), |admission| admission.attach(direction, terminus));
        allowed.inspect_err(|_| self.counters.links_denied += 1)
    }

    /// A client attached a link on which it sends. Credit comes with the next [`end_batch`](Core::end_batch).
    ///
    /// # Errors
    /// If the address is unavailable or the policy refuses it: refuse the attach with the refusal's condition.
    pub fn attach_inlet(
        &mut self,
        conn: ConnKey,
        link: LinkRef,
        request: &InletRequest<'_>,
        eg: &mut impl Egress,
    ) -> Result<InletAttached, Refusal> {
        self.permit(conn, Direction::In, request.target)?;
        let attached = self.attach_own_inlet(conn, link, request, eg)?;
        let Some(admission) = self.conns.get_mut(conn.0).and_then(|conn| conn.admission.as_mut()) else {
            return Ok(attached);
        };
        if let Some(rights) = admission.rights()
            && let Some(inlet) = self.inlets.get_mut(attached.key.0)
        {
            inlet.sends = if rights.only_user().is_some() { Sends::Watched } else { Sends::Limited };
            admission.attached(Direction::In);
        }
        Ok(attached)
    }

    /// As [`attach_inlet`](Self::attach_inlet), for a link that this router wants: no policy is asked.
    ///
    /// # Errors
    /// If the address is unavailable.
    pub fn attach_own_inlet(
        &mut self,
        conn: ConnKey,
        link: LinkRef,
        request: &InletRequest<'_>,
        eg: &mut impl Egress,
    ) -> Result<InletAttached, Refusal> {
        let (address, dynamic) =
            self.terminus(conn, Direction::In, request.target).inspect_err(|_| self.counters.links_denied += 1)?;
        let id = self.next_link_id();
        let Some(owner) = self.conns.get_mut(conn.0) else { return Err(Refusal::Invalid("the connection is gone")) };
        let capacity = Capacity::new(owner.link_capacity);
        let conn_at = owner.inlets.len() as u32;
        let inlet = Inlet::new(link, conn.0, conn_at, capacity, id);
        let sends = match owner.kind {
            ConnKind::Network => Sends::Router,
            _ if self.internal == Some(conn.0) => Sends::Own,
            _ => Sends::Client,
        };
        let key = self.inlets.insert(Inlet { address, sends, ..inlet });
        owner.inlets.push(key);
        let mut granting = address.is_none();
        if let Some(address) = address.and_then(|a| self.addresses.get_mut(a)) {
            granting = address.open;
            address.inlets.push(key);
            let at = address.inlets.len() as u32 - 1;
            if let Some(inlet) = self.inlets.get_mut(key) {
                inlet.address_at = at;
            }
        }
        if granting {
            self.start_granting(key);
        }
        if let Some(address) = address {
            self.demand_changed(address);
            self.keep_target(key, address, request.target);
            self.want(address, false, eg);
        }
        Ok(InletAttached { key: InletKey(key), dynamic })
    }

    /// A client attached a link on which it receives.
    ///
    /// # Errors
    /// As [`attach_inlet`](Self::attach_inlet); and if there is no source address.
    pub fn attach_outlet(
        &mut self,
        conn: ConnKey,
        link: LinkRef,
        request: &OutletRequest<'_>,
        eg: &mut impl Egress,
    ) -> Result<OutletAttached, Refusal> {
        self.permit(conn, Direction::Out, request.source)?;
        let attached = self.attach_own_outlet(conn, link, request, eg)?;
        let admission = self.conns.get_mut(conn.0).and_then(|conn| conn.admission.as_mut());
        if let Some(admission) = admission.filter(|admission| admission.rights().is_some())
            && let Some(outlet) = self.outlets.get_mut(attached.key.0)
        {
            outlet.restricted = true;
            admission.attached(Direction::Out);
        }
        Ok(attached)
    }

    /// As [`attach_outlet`](Self::attach_outlet), for a link that this router wants: no policy is asked.
    ///
    /// # Errors
    /// If the address is unavailable, or there is none.
    pub fn attach_own_outlet(
        &mut self,
        conn: ConnKey,
        link: LinkRef,
        request: &OutletRequest<'_>,
        eg: &mut impl Egress,
    ) -> Result<OutletAttached, Refusal> {
        let (address, dynamic) =
            self.terminus(conn, Direction::Out, request.source).inspect_err(|_| self.counters.links_denied += 1)?;
        let gone = Refusal::Invalid("the connection is gone");
        let key = address.and_then(|address| self.outlet_at(conn, link, address, false, eg)).ok_or(gone)?;
        Ok(OutletAttached { key: OutletKey(key), dynamic })
    }

    /// An outlet of an address. `single`: it takes one delivery at a time.
    pub(super) fn outlet_at(
        &mut self,
        conn: ConnKey,
        link: LinkRef,
        address_key: Key,
        single: bool,
        eg: &mut impl Egress,
    ) -> Option<Key> {
        let id = self.next_link_id();
        let (owner, address) = (self.conns.get_mut(conn.0)?, self.addresses.get_mut(address_key)?);
        let annotated = owner.gives_annotations;
        self.annotated += usize::from(annotated);
        address.annotated = address.annotated.saturating_add(annotated.into());
        let key = self.outlets.insert(Outlet {
            link,
            conn: conn.0,
            address: address_key,
            conn_at: owner.outlets.len() as u32,
            address_at: address.candidates.len() as u32,
            single,
            credit: 0,
            lent: 0,
            reserved: 0,
            lenders: Vec::new(),
            drain: false,
            blocked: false,
            retired: false,
            kept: false,
            current: Key::NONE,
            first: NIL,
            outstanding: 0,
            queue: std::collections::VecDeque::new(),
            queued: 0,
            id,
            counters: LinkCounters::default(),
            dry: None,
            inside: self.internal == Some(conn.0),
            annotated,
            restricted: false,
        });
        owner.outlets.push(key);
        address.candidates.push(Candidate::Local(key));
        if single {
            self.stream_up(address_key);
        }
        if !self.is_flows(address_key) {
            let name = self.addresses.get(address_key)?.name.clone();
            let (outlet, address, ours) = (key.to_raw(), address_key.to_raw(), self.addresses.get(address_key)?.ours);
            // The answer to a flow comes from another router, before whose input a worker reads what others have told it.
            let quiet = single && self.is_internal(conn.0);
            let up = || Msg::OutletUp { outlet, address, name: name.clone(), ours, single, annotated };
            self.tell_all(up, quiet, eg);
        }
        self.destinations_changed(address_key, eg);
        Some(key)
    }

    /// Requests of those who may not close connections go to another address of the agent, so that it knows.
    pub(super) fn restrict_management(&self, conn: Key, name: &mut String) {
        let agent = matches!(name.as_str(), "M$management" | "L$management");
        if self.restricts && agent && self.rights(conn).is_some_and(|rights| !rights.may_change_status()) {
            name.clear();
            name.push_str(RESTRICTED_KEY);
        }
    }

    /// Finds or makes up the address of a new link.
    pub(super) fn terminus(
        &mut self,
        conn: ConnKey,
        direction: Direction,
        terminus: Terminus<'_>,
    ) -> Result<(Option<Key>, Option<String>), Refusal> {
        if !self.conns.contains(conn.0) {
            return Err(Refusal::Invalid("the connection is gone"));
        }
        let dynamic = match (terminus, direction) {
            (Terminus::Anonymous, Direction::In) => return Ok((None, None)),
            (Terminus::Anonymous, Direction::Out) => return Err(Refusal::Invalid("a receiver needs a source address")),
            (Terminus::Address(_), _) => None,
            (Terminus::Dynamic, Direction::Out) => Some(self.syntax.dynamic_source(&self.names.discriminator())),
            (Terminus::Dynamic, Direction::In) => Some(Syntax::dynamic_target(&self.names.discriminator())),
        };
        let text = match (terminus, &dynamic) {
            (Terminus::Address(text), _) => text,
            (_, Some(made)) => made,
            _ => return Err(NOT_FOUND),
        };
        let mut name = std::mem::take(&mut self.name);
        let class = self.syntax.key(text, &mut name);
        if direction == Direction::In {
            self.restrict_management(conn.0, &mut name);
        }
        let result = match class {
            None => Err(NOT_FOUND),
            // The uplink is nothing to receive from.
            Some(_) if direction == Direction::Out && name == super::edges::UPLINK => Err(NOT_FOUND),
            Some(_) if self.treatment_of(&name, dynamic.is_some()).0 == Treatment::Unavailable => Err(NOT_FOUND),
            Some(_) => Ok(self.address(&name, dynamic.is_some())),
        };
        self.name = name;
        Ok((Some(result?), dynamic))
    }

    /// The inlet is gone, closed or lost. What it began to send and did not finish is aborted downstream; what is complete goes its way.
    pub fn detach_inlet(&mut self, key: InletKey, eg: &mut impl Egress) {
        let key = key.0;
        self.abandon_current(key, eg);
        let Some(inlet) = self.inlets.get_mut(key) else { return };
        for second in std::mem::take(&mut inlet.seconds) {
            self.on_sender_state(second, None, true, eg);
        }
        let Some(inlet) = self.inlets.remove(key) else { return };
        self.line_ends(key, eg);
        if inlet.limited() {
            self.restricted_gone(inlet.conn, Direction::In);
        }
        self.delays.link_gone(inlet.id);
        let kind = self.kind_of(inlet.conn);
        self.crossed.count(kind, Direction::In, inlet.counters.deliveries);
        self.targets.remove(&key);
        if matches!(inlet.sends, Sends::Asks | Sends::Watched) {
            self.asks.remove(&key);
        }
        self.edges.inlet_gone(key, &inlet);
        if let Some(conn) = self.conns.get_mut(inlet.conn) {
            conn.inlets.swap_remove(inlet.conn_at as usize);
            if let Some(moved) = conn.inlets.get(inlet.conn_at as usize).and_then(|k| self.inlets.get_mut(*k)) {
                moved.conn_at = inlet.conn_at;
            }
        }
        if let Some(address_key) = inlet.address
            && let Some(address) = self.addresses.get_mut(address_key)
        {
            address.past.deliveries_in += inlet.counters.deliveries;
            address.inlets.swap_remove(inlet.address_at as usize);
            if let Some(moved) = address.inlets.get(inlet.address_at as usize).and_then(|k| self.inlets.get_mut(*k)) {
                moved.address_at = inlet.address_at;
            }
            let nobody = address.inlets.is_empty();
            self.count_crossed(address_key, kind, Direction::In, inlet.counters.deliveries);
            if nobody {
                self.return_all(address_key, eg);
                self.demand_changed(address_key);
            }
            self.forget_address(address_key);
        }
        self.orphaned += inlet.held as usize;
        if self.orphaned > self.orphan_limit {
            self.drop_orphans(key, eg);
        }
    }

    fn restricted_gone(&mut self, conn: Key, direction: Direction) {
        if let Some(admission) = self.conns.get_mut(conn).and_then(|conn| conn.admission.as_mut()) {
            admission.detached(direction);
        }
    }

    /// The outlet is gone, closed or lost. What it did not settle is `modified` for its senders, what it was not sent goes elsewhere.
    pub fn detach_outlet(&mut self, key: OutletKey, eg: &mut impl Egress) {
        let key = key.0;
        let Some(outlet) = self.outlets.get_mut(key) else { return };
        let address_key = outlet.address;
        let (conn, conn_at, at, lent) = (outlet.conn, outlet.conn_at, outlet.address_at, outlet.lent);
        let queue = std::mem::take(&mut outlet.queue);
        let deliveries = outlet.counters.deliveries;
        let (retired, single, kept) = (outlet.retired, outlet.single, outlet.kept);
        let busy = !outlet.current.is_none();
        if kept {
            self.free_link(Candidate::Local(key), eg);
        }
        if single && !retired {
            self.stream_down(address_key, busy);
        }
        let Some(outlet) = self.outlets.get_mut(key) else { return };
        let (first, outstanding) = (outlet.first, outlet.outstanding as usize);
        let (internal, kind) = (self.internal == Some(conn), self.kind_of(conn));
        self.crossed.count(kind, Direction::Out, deliveries);
        self.count_crossed(address_key, kind, Direction::Out, deliveries);
        let mut listed = Vec::with_capacity(outstanding);
        let mut next = first;
        while let Some((d, delivery)) = self.deliveries.at(next) {
            listed.push(d);
            next = delivery.next;
        }
        if !self.is_flows(address_key) {
            let wanted = self.addresses.get(address_key).is_some_and(|address| !address.wanters.is_empty());
            let quiet = single && self.is_internal(conn) && lent == 0 && !wanted;
            self.tell_all(|| Msg::OutletDown { outlet: key.to_raw() }, quiet, eg);
        }
        if let Some(address) = self.addresses.get_mut(address_key) {
            address.lent = address.lent.saturating_sub(lent);
            // Nobody answers for an outlet that is gone. Each of the others knows itself whether it was recalled.
            address.recalled = false;
            let past = if internal { &mut address.past.to_container } else { &mut address.past.deliveries_out };
            *past += deliveries;
            if !retired {
                let moved = address.candidates.remove(at);
                self.candidate_moved(moved, at);
            }
        }
        for d in listed {
            self.lost_by_outlet(d, eg);
        }
        for d in queue {
            if self.deliveries.get(d).is_some_and(|d| d.to == To::Queued { outlet: key }) {
                self.unsent_by_outlet(d, eg);
            }
        }
        if let Some(outlet) = self.outlets.remove(key) {
            self.delays.link_gone(outlet.id);
            self.annotated_gone(address_key, outlet.annotated);
            if outlet.restricted {
                self.restricted_gone(conn, Direction::Out);
            }
        }
        if let Some(conn) = self.conns.get_mut(conn) {
            conn.outlets.swap_remove(conn_at as usize);
            if let Some(moved) = conn.outlets.get(conn_at as usize).and_then(|k| self.outlets.get_mut(*k)) {
                moved.conn_at = conn_at;
            }
        }
        self.destinations_changed(address_key, eg);
        self.forget_address(address_key);
    }

    /// Others have taken the place of an outlet: it finishes what was begun there or is queued for it, and gets nothing else. What was lent from
    /// it comes back.
    pub fn retire_outlet(&mut self, key: OutletKey, eg: &mut impl Egress) {
        let key = key.0;
        let Some(outlet) = self.outlets.get_mut(key).filter(|outlet| !outlet.retired) else { return };
        outlet.retired = true;
        self.free_link(Candidate::Local(key), eg);
        let Some(outlet) = self.outlets.get(key) else { return };
        let (address, at, single, busy) = (outlet.address, outlet.address_at, outlet.single, !outlet.current.is_none());
        if single {
            self.stream_down(address, busy);
        }
        if !self.is_flows(address) {
            self.tell_all(|| Msg::OutletRetired { outlet: key.to_raw() }, false, eg);
        }
        if let Some(a) = self.addresses.get_mut(address) {
            let moved = a.candidates.remove(at);
            self.candidate_moved(moved, at);
        }
        self.destinations_changed(address, eg);
    }

    /// A candidate took the position of one that was removed.
    pub(super) fn candidate_moved(&mut self, moved: Option<Candidate>, at: u32) {
        match moved {
            Some(Candidate::Local(key)) => {
                if let Some(outlet) = self.outlets.get_mut(key) {
                    outlet.address_at = at;
                }
            }
            Some(Candidate::Remote(key)) => {
                if let Some(remote) = self.remotes.get_mut(key) {
                    remote.at = at;
                }
            }
            None => {}
        }
    }

    /// What was sent, or partly sent, to an outlet that is gone.
    fn lost_by_outlet(&mut self, d: Key, eg: &mut impl Egress) {
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        delivery.flags |= crate::delivery::OUT_SETTLED;
        if delivery.has(crate::delivery::PRESETTLED) && !delivery.has(crate::delivery::SENT) {
            self.counters.dropped_presettled += 1;
        }
        self.unlist(d, eg);
        self.settled_by_loss(d, eg);
        self.decide(d, Some(&DeliveryState::modified(true, false)), eg);
    }

    /// Deliveries that an inlet left behind, when they take too much memory.
    fn drop_orphans(&mut self, inlet: Key, eg: &mut impl Egress) {
        let left = |d: &crate::delivery::Delivery| matches!(d.from, crate::delivery::From::Inlet { inlet: i, .. } if i == inlet);
        let keys: Vec<Key> = self.deliveries.iter().filter(|(_, d)| left(d)).map(|(key, _)| key).collect();
        for d in keys {
            match self.deliveries.get(d).map(|d| d.to) {
                Some(To::Waiting) => {
                    self.leave_waiting(d);
                    self.dropped(d, eg);
                }
                Some(To::Fan) => self.drop_queued_copies(d, eg),
                _ => {}
            }
        }
    }

    /// The delivery that an inlet has not finished is aborted, as its sender would.
    pub(super) fn abandon_current(&mut self, inlet_key: Key, eg: &mut impl Egress) {
        let Some(inlet) = self.inlets.get_mut(inlet_key) else { return };
        let pending = inlet.pending.take().is_some();
        let current = std::mem::replace(&mut inlet.current, Key::NONE);
        if !current.is_none() {
            self.stalls.arrived();
            self.arrive(current, &crate::egress::Payload::empty(), End::Aborted, eg);
        }
        if pending {
            self.counters.aborted += 1;
            self.give_back(inlet_key);
        }
    }
}
