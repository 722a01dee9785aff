//! Deliveries that come from other routers: they begin with annotations that say where they go and where they have been.

use amqp_proto::{
    condition,
    message::{HeadCursor, MAX_HEAD, Progress},
};
use bytes::Bytes;

use super::{Core, HopLink, far::FarEnd};
use crate::{
    ConnKey, InKey, InletKey, LinkRef, Treatment,
    address::Class,
    annotations::{Annotations, AnnotationsError, MAX_SECTION, Parsed, SETTLED, STREAMING, TELL_WAITED, Trace, parse},
    core::slots::Key,
    credit::Capacity,
    delivery::CREDIT,
    egress::{DeliveryState, Egress, End, Error, Payload, Transfer},
    inlet::{Inlet, Pending, Sends},
    routing::{RouterIndex, Routes},
};

/// How a delivery came to this router.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way<'a> {
    /// From a client, or it does not matter.
    Here,
    /// From a client, on a link to the address.
    Targeted(Key),
    /// From a client whose annotations are read, on this link.
    Annotated { inlet: Key, annotations: &'a Annotations<'a> },
    /// It begins here as one of the two streams of a flow.
    Stream,
    /// From another router.
    Routed { annotations: &'a Annotations<'a>, origin: Origin, pooled: bool, section: Section },
}

/// Where a delivery entered the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// At this router, or an edge router of it.
    Here,
    /// At another.
    Router(RouterIndex),
    /// At an edge router of this one, on the connection with this number.
    Edge(u64),
    /// At one that is not in our table, or, at an edge router, at any other: there is no valid way on.
    Unknown,
}

impl Origin {
    /// Whether what entered there may be forwarded to this end.
    pub(super) fn leads_to(self, end: FarEnd, routes: &Routes) -> bool {
        match (self, end) {
            (Self::Here | Self::Edge(_), FarEnd::Router(_)) | (Self::Here | Self::Router(_), FarEnd::Edge(_)) => true,
            (Self::Router(origin), FarEnd::Router(router)) => routes.is_valid_origin(origin, router),
            // Never back to where it came from.
            (Self::Edge(from), FarEnd::Edge(to)) => from != to,
            (Self::Unknown, _) => false,
        }
    }
}

impl Way<'_> {
    /// Whether it may be forwarded there.
    pub(super) fn leads_to(&self, end: FarEnd, routes: &Routes) -> bool {
        match self {
            Self::Here | Self::Targeted(_) | Self::Annotated { .. } | Self::Stream => true,
            Self::Routed { origin, .. } => origin.leads_to(end, routes),
        }
    }

    /// Where it entered the network.
    pub(super) const fn origin(&self) -> Origin {
        match self {
            Self::Here | Self::Targeted(_) | Self::Annotated { .. } | Self::Stream => Origin::Here,
            Self::Routed { origin, .. } => *origin,
        }
    }

    /// The mesh of edge routers that it came from.
    pub(super) const fn mesh(&self) -> Option<&str> {
        match self {
            Self::Here | Self::Targeted(_) | Self::Annotated { .. } | Self::Stream => None,
            Self::Routed { annotations, .. } => annotations.ingress_mesh,
        }
    }

    /// Its sender settled it, though another router of ours wants to know when it was taken.
    pub(super) const fn settles(&self) -> bool {
        match self {
            Self::Here | Self::Targeted(_) | Self::Annotated { .. } | Self::Stream => false,
            Self::Routed { annotations, .. } => annotations.flags & SETTLED != 0,
        }
    }

    /// The router of ours that it comes from wants to know whether it had to wait.
    pub(super) const fn tells_waited(&self) -> bool {
        match self {
            Self::Here | Self::Targeted(_) | Self::Annotated { .. } | Self::Stream => false,
            Self::Routed { annotations, .. } => annotations.flags & TELL_WAITED != 0,
        }
    }

    /// It came over a link that all addresses share.
    pub(super) const fn pooled(&self) -> bool {
        matches!(self, Self::Routed { pooled: true, .. })
    }

    /// It says that it has to be forwarded while it arrives.
    pub(super) const fn streams(&self) -> bool {
        match self {
            Self::Here | Self::Targeted(_) => false,
            Self::Stream => true,
            Self::Routed { annotations, .. } | Self::Annotated { annotations, .. } => {
                annotations.flags & STREAMING != 0
            }
        }
    }

    /// It has been at the router with this name, as in traces.
    pub(super) fn passed(&self, name: &str) -> bool {
        match self {
            Self::Here | Self::Targeted(_) | Self::Stream => false,
            Self::Routed { annotations, .. } | Self::Annotated { annotations, .. } => annotations.trace.contains(name),
        }
    }
}

/// The number of a section that is known; 0 for one that is not.
pub(super) type Section = u32;

/// What was made of annotations that say where a delivery goes, with a table of routes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resolved {
    to: Key,
    origin: Origin,
    version: u64,
    /// The link, on an edge connection: what it is for counts as well.
    inlet: Key,
    section: Section,
}

/// What the beginning of a delivery says.
enum Beginning<'a> {
    Known { annotations: Annotations<'a>, size: usize, to: Key },
    Refused(DeliveryState),
    NeedMore,
}

impl Core {
    /// A neighbour attached a link on which it sends deliveries of all addresses. Credit comes with the next
    /// [`end_batch`](Core::end_batch). `ours`: the neighbour is a router of this make. `None` if the connection is gone.
    pub fn attach_router_inlet(&mut self, conn: ConnKey, link: LinkRef, ours: bool, kind: HopLink) -> Option<InletKey> {
        let id = self.next_link_id();
        let owner = self.conns.get_mut(conn.0)?;
        let capacity = Capacity::of_router(owner.link_capacity, ours);
        let inlet = Inlet::new(link, conn.0, owner.inlets.len() as u32, capacity, id);
        let key = self.inlets.insert(Inlet { sends: Sends::Router, shared: kind != HopLink::Stream, ..inlet });
        owner.inlets.push(key);
        self.start_granting(key);
        Some(InletKey(key))
    }

    /// The first frame of a delivery from another router.
    pub(super) fn first_routed(
        &mut self,
        key: Key,
        t: &Transfer,
        payload: &Payload<'_>,
        eg: &mut impl Egress,
    ) -> Option<InKey> {
        let message = payload.as_slice();
        let inlet = if self.inlets.get(key)?.edge() { key } else { Key::NONE };
        let mut remembers = true;
        if let Some(known) = self.known.take(message) {
            let Resolved { to, origin, version, inlet: of, section } = known.memo;
            let current = version == self.routes.version() && self.addresses.contains(to);
            if current && of == inlet && (message.len() > known.len() || t.end != End::More) {
                let (annotations, rest) = (&known.annotations(), payload.skip(known.len()));
                let answer = self.admit(key, to, t, &rest, self.routed(key, annotations, origin, section), eg);
                self.known.put_back(known);
                return answer;
            }
            // Two links of edges may send the same, and must not take it from each other again and again.
            remembers = of == inlet || !self.inlets.contains(of);
            if !remembers {
                self.known.put_back(known);
            }
        }
        match self.beginning(key, message, t.end) {
            Beginning::Known { annotations, size, to } => {
                let rest = payload.skip(size);
                let section = if remembers { message } else { &[] };
                self.admit_routed(key, to, &annotations, t, &rest, section, eg)
            }
            Beginning::Refused(state) => self.refuse_routed(key, t, &state, eg),
            Beginning::NeedMore => self.pend_tried(key, t, message),
        }
    }

    /// The first frame of a delivery from another network, on a link to an address. Of its annotations nothing is of use: where it goes is
    /// known, and where it was does not matter here.
    pub(super) fn first_bound(
        &mut self,
        key: Key,
        address: Key,
        t: &Transfer,
        payload: &Payload<'_>,
        eg: &mut impl Egress,
    ) -> Option<InKey> {
        let message = payload.as_slice();
        let size = match parse(message) {
            Ok(Parsed::Found(_, size)) => size,
            Ok(Parsed::Absent) => 0,
            Ok(Parsed::Incomplete(_)) if t.end == End::More && message.len() <= MAX_SECTION => {
                return self.pend_tried(key, t, message);
            }
            Ok(Parsed::Incomplete(size)) => return self.refuse_routed(key, t, &incomplete(message, size), eg),
            Err(error) => return self.refuse_routed(key, t, &malformed(&error), eg),
        };
        self.admit(key, address, t, &payload.skip(size), Way::Targeted(key), eg)
    }

    /// The annotations of a delivery that leaves for another network: where it goes, if the message does not say so. All other deliveries for
    /// networks have empty ones, which the adaptor knows.
    pub(super) fn prefix_for_networks(&self, address: Key, way: &Way<'_>) -> Vec<u8> {
        let mut prefix = Vec::new();
        if self.addresses.get(address).is_some_and(|a| Class::of_key(&a.name) == Class::Network) {
            let to = match way {
                Way::Here | Way::Stream => None,
                Way::Targeted(inlet) => self.targets.get(inlet).map(|target| &**target),
                Way::Routed { annotations, .. } | Way::Annotated { annotations, .. } => annotations.to_override,
            };
            if to.is_some() {
                Annotations { to_override: to, ..Annotations::default() }.compose(None, &mut prefix);
            }
        }
        prefix
    }

    /// The next frame of one of which too little was known.
    pub(super) fn more_routed(
        &mut self,
        key: Key,
        mut pending: Box<Pending>,
        t: &Transfer,
        eg: &mut impl Egress,
    ) -> Option<InKey> {
        if t.end == End::More && !pending.has_grown() {
            pending.first = *t;
            self.inlets.get_mut(key)?.pending = Some(pending);
            return None;
        }
        let block = Bytes::from(std::mem::take(&mut pending.bytes));
        if let Some(address) = self.inlets.get(key)?.address {
            return self.first_bound(key, address, t, &Payload::new(&block), eg);
        }
        match self.beginning(key, &block, t.end) {
            Beginning::Known { annotations, size, to } => {
                let rest = Payload::range(&block, size, block.len());
                self.admit_routed(key, to, &annotations, t, &rest, &[], eg)
            }
            Beginning::Refused(state) => self.refuse_routed(key, t, &state, eg),
            Beginning::NeedMore => {
                pending.tried = block.len();
                pending.bytes = block.into();
                pending.first = *t;
                self.inlets.get_mut(key)?.pending = Some(pending);
                None
            }
        }
    }

    /// All of a delivery from another router is here: it may send the next. That does not wait for the outcome, or one slow consumer
    /// would stop all others behind the same link.
    pub(super) fn routed_arrived(&mut self, key: Key, d: Option<Key>) {
        let Some(delivery) = d.and_then(|d| self.deliveries.get_mut(d)).filter(|d| d.has(CREDIT)) else { return };
        delivery.flags &= !CREDIT;
        self.give_back(key);
    }

    /// `section`: the message, if its annotations are to be remembered.
    #[expect(clippy::too_many_arguments, reason = "all of it is at hand, and nothing of it is worth storing")]
    fn admit_routed(
        &mut self,
        key: Key,
        to: Key,
        annotations: &Annotations<'_>,
        t: &Transfer,
        payload: &Payload<'_>,
        section: &[u8],
        eg: &mut impl Egress,
    ) -> Option<InKey> {
        let (edge, bound) = match self.edges.inlet(key, self.inlets.get(key)?) {
            Some(edge) => (Some(edge.conn), edge.bound.clone()),
            None => (None, None),
        };
        // Who sends on a link for one address need not say which.
        let to_override = annotations.to_override.or_else(|| bound.as_deref()?.get(1..));
        let annotations = &Annotations { to_override, ..*annotations };
        let origin = match edge {
            // What came down to an edge router does not go up again.
            _ if self.edges.here => Origin::Unknown,
            Some(conn) => Origin::Edge(conn),
            None => self.origin_of(annotations),
        };
        // Without an override each message says for itself where it goes.
        if annotations.to_override.is_some() && !section.is_empty() {
            self.sections = self.sections.wrapping_add(1).max(1);
            let inlet = if edge.is_some() { key } else { Key::NONE };
            let version = self.routes.version();
            let resolved = Resolved { to, origin, version, inlet, section: self.sections };
            self.known.remember(section, annotations, resolved);
        }
        self.admit(key, to, t, payload, self.routed(key, annotations, origin, 0), eg)
    }

    fn routed<'a>(&self, inlet: Key, annotations: &'a Annotations<'a>, origin: Origin, section: Section) -> Way<'a> {
        let pooled = self.inlets.get(inlet).is_some_and(|inlet| inlet.shared);
        Way::Routed { annotations, origin, pooled, section }
    }

    fn origin_of(&self, annotations: &Annotations<'_>) -> Origin {
        let Some(name) = annotations.ingress else { return Origin::Here };
        let id = name.strip_prefix("0/").unwrap_or(name);
        match self.routes.graph().index_of(id) {
            Some(index) if index == self.routes.me() => Origin::Unknown,
            Some(index) => Origin::Router(index),
            // As the reference does: nobody can tell which ways are right from there, so any is. Its trace keeps it from coming back.
            None => Origin::Here,
        }
    }

    fn refuse_routed(&mut self, key: Key, t: &Transfer, state: &DeliveryState, eg: &mut impl Egress) -> Option<InKey> {
        let answer = self.refuse_anonymous(key, t, state, eg);
        if t.end != End::More {
            self.routed_arrived(key, answer.map(|key| key.0));
        }
        answer
    }

    /// Finds out where a delivery goes.
    fn beginning<'a>(&mut self, inlet: Key, message: &'a [u8], end: End) -> Beginning<'a> {
        let complete = end != End::More;
        let (mut annotations, size) = match parse(message) {
            Ok(Parsed::Found(annotations, size)) => (annotations, size),
            Ok(Parsed::Absent) => (Annotations::default(), 0),
            Ok(Parsed::Incomplete(_)) if !complete && message.len() <= MAX_SECTION => return Beginning::NeedMore,
            Ok(Parsed::Incomplete(size)) => {
                return Beginning::Refused(incomplete(message, size));
            }
            Err(error) => return Beginning::Refused(malformed(&error)),
        };
        // A message that has passed more routers than there are on the longest way is in a loop; so is one that was here.
        let edge = self.inlets.get(inlet).and_then(|known| self.edges.inlet(inlet, known));
        let bound = edge.and_then(|edge| edge.bound.clone());
        if edge.is_some() && !self.edges.here {
            // It enters the network here, whatever the edge says; and what it says of a mesh is not about others.
            annotations.ingress = None;
            annotations.trace = Trace::default();
        }
        if edge.is_none()
            && (annotations.trace.len() > self.trees.radius() + 1 || annotations.trace.contains(&self.hop_name))
        {
            return Beginning::Refused(DeliveryState::Released);
        }
        let rest = message.get(size..).unwrap_or_default();
        if rest.is_empty() && !complete {
            return Beginning::NeedMore;
        }
        if let Some(bound) = bound {
            return match self.known_address(&bound) {
                Some(to) => Beginning::Known { annotations, size, to },
                None => Beginning::Refused(DeliveryState::Released),
            };
        }
        let to = match annotations.to_override {
            Some(to) => to,
            None => {
                let mut cursor = HeadCursor::new(MAX_HEAD);
                match cursor.advance(rest, complete) {
                    Ok(Progress::NeedMore) => return Beginning::NeedMore,
                    Ok(Progress::Done) => {}
                    Err(error) => return Beginning::Refused(DeliveryState::rejected(Some(&Error::from(&error)))),
                }
                match cursor.head().read_properties(rest).to() {
                    Ok(Some(to)) => to,
                    Ok(None) => {
                        let what = "neither the router annotations nor the properties of the message have an address";
                        let error = Error::new(condition::PRECONDITION_FAILED, what);
                        return Beginning::Refused(DeliveryState::rejected(Some(&error)));
                    }
                    Err(error) => return Beginning::Refused(DeliveryState::rejected(Some(&Error::from(&error)))),
                }
            }
        };
        let mut name = std::mem::take(&mut self.name);
        let known = self.syntax.key(to, &mut name).and_then(|_| self.known_address(&name));
        let unavailable = known.is_none() && self.treatment_of(&name, false).0 == Treatment::Unavailable;
        self.name = name;
        match known {
            Some(to) => Beginning::Known { annotations, size, to },
            None if unavailable => Beginning::Refused(super::anonymous::not_found()),
            None => Beginning::Refused(DeliveryState::Released),
        }
    }

    /// The address with this lookup key, if there is somebody there.
    pub(super) fn known_address(&mut self, name: &str) -> Option<Key> {
        if let Some(key) = self.by_name.get(name) {
            return Some(*key);
        }
        // It stays as long as there are destinations, so that it is not made anew for each message.
        self.far_of(name)?;
        Some(self.address(name, false))
    }
}

pub(super) fn incomplete(message: &[u8], size: usize) -> DeliveryState {
    let what = format!("router annotations: {} bytes where {size} are needed", message.len());
    DeliveryState::rejected(Some(&Error::new(condition::INVALID_FIELD, what)))
}

pub(super) fn malformed(error: &AnnotationsError) -> DeliveryState {
    DeliveryState::rejected(Some(&Error::new(error.condition(), error.to_string())))
}
