//! Deliveries that say themselves where they go; and others of which there is nothing to forward yet.

use amqp_proto::{
    condition,
    message::{HeadCursor, MAX_HEAD, Progress},
};
use bytes::Bytes;

use super::{Core, forward::Arrival, routed::Way};
use crate::{
    InKey, Treatment,
    annotations::may_begin,
    core::slots::Key,
    delivery::From,
    egress::{DeliveryState, Egress, End, Error, Payload, Transfer},
    inlet::Pending,
};

/// Where an anonymous delivery goes, as far as its beginning tells.
pub(super) enum Route {
    To(Key),
    Refused(DeliveryState),
    NeedMore(HeadCursor),
}

pub(super) fn not_found() -> DeliveryState {
    DeliveryState::rejected(Some(&Error::new(
        condition::NOT_FOUND,
        "Deliveries cannot be sent to an unavailable address",
    )))
}

impl Core {
    /// The first frame of a delivery is empty.
    pub(super) fn pend(&mut self, key: Key, t: &Transfer) -> Option<InKey> {
        let inlet = self.inlets.get_mut(key)?;
        inlet.pending =
            Some(Box::new(Pending { cursor: HeadCursor::new(MAX_HEAD), bytes: Vec::new(), tried: 0, first: *t }));
        None
    }

    /// The first frame of an anonymous delivery.
    pub(super) fn first_anonymous(
        &mut self,
        key: Key,
        t: &Transfer,
        payload: &Payload<'_>,
        eg: &mut impl Egress,
    ) -> Option<InKey> {
        match self.route_of(key, HeadCursor::new(MAX_HEAD), payload.as_slice(), t.end != End::More) {
            Route::To(address) => {
                self.count_anonymous(key, address);
                self.admit(key, address, t, payload, Way::Here, eg)
            }
            Route::Refused(state) => self.refuse_anonymous(key, t, &state, eg),
            Route::NeedMore(cursor) => {
                let inlet = self.inlets.get_mut(key)?;
                // What is here is bounded by `MAX_HEAD` and one frame, so it is not counted as held.
                let bytes = payload.as_slice().to_vec();
                inlet.pending = Some(Box::new(Pending { cursor, tried: bytes.len(), bytes, first: *t }));
                None
            }
        }
    }

    /// The next frame of one that was not forwarded yet.
    pub(super) fn more_pending(
        &mut self,
        key: Key,
        t: &Transfer,
        payload: &Payload<'_>,
        eg: &mut impl Egress,
    ) -> Option<InKey> {
        let address = self.inlets.get(key)?.address;
        let mut pending = self.inlets.get_mut(key)?.pending.take()?;
        if t.end == End::Aborted {
            self.counters.aborted += 1;
            self.give_back(key);
            return None;
        }
        pending.bytes.extend_from_slice(payload.as_slice());
        let first = Transfer { end: t.end, settled: pending.first.settled || t.settled, ..pending.first };
        let inlet = self.inlets.get(key)?;
        if inlet.router() {
            return self.more_routed(key, pending, &first, eg);
        }
        if may_begin(&pending.bytes) || inlet.read() || (pending.tried > 0 && address.is_some()) {
            return self.more_annotated(key, pending, &first, eg);
        }
        if let Some(address) = address {
            if payload.is_empty() && t.end == End::More {
                pending.first = first;
                self.inlets.get_mut(key)?.pending = Some(pending);
                return None;
            }
            return self.admit(key, address, &first, payload, Way::Targeted(key), eg);
        }
        match self.route_of(key, pending.cursor, &pending.bytes, t.end != End::More) {
            Route::To(address) => {
                self.count_anonymous(key, address);
                let block = Bytes::from(pending.bytes);
                self.admit(key, address, &first, &Payload::new(&block), Way::Here, eg)
            }
            Route::Refused(state) => self.refuse_anonymous(key, &first, &state, eg),
            Route::NeedMore(cursor) => {
                pending.cursor = cursor;
                pending.first = first;
                self.inlets.get_mut(key)?.pending = Some(pending);
                None
            }
        }
    }

    pub(super) fn refuse_anonymous(
        &mut self,
        key: Key,
        t: &Transfer,
        state: &DeliveryState,
        eg: &mut impl Egress,
    ) -> Option<InKey> {
        self.seq += 1;
        let arrival = Arrival {
            from: From::Inlet { inlet: key, id: t.delivery_id },
            settled: t.settled,
            goes_settled: t.settled,
            second: t.rcv_second,
            message_format: t.message_format,
            report: false,
            seq: self.seq,
            born: self.delays.now(),
            pooled: false,
            tell_waited: false,
            way: Way::Here,
            prefix: &[],
            origin: Key::NONE,
            hop: Key::NONE,
            untracked: false,
            row: 0,
            stream: None,
            traced: false,
        };
        let d = self.refuse(&arrival, t.end, Some(state), eg);
        if t.end == End::More {
            self.arriving(key, d);
        }
        self.answer(d)
    }

    /// Reads `to` of the message and finds its address.
    pub(super) fn route_of(&mut self, inlet: Key, mut cursor: HeadCursor, message: &[u8], complete: bool) -> Route {
        match cursor.advance(message, complete) {
            Ok(Progress::NeedMore) => return Route::NeedMore(cursor),
            Ok(Progress::Done) => {}
            Err(error) => return Route::Refused(DeliveryState::rejected(Some(&Error::from(&error)))),
        }
        let to = match cursor.head().read_properties(message).to() {
            Ok(Some(to)) => to,
            Ok(None) => return precondition("the message has no `to` and the link has no target address"),
            Err(error) => return Route::Refused(DeliveryState::rejected(Some(&Error::from(&error)))),
        };
        self.route_to(inlet, to)
    }

    /// Finds the address that a message from a client is for.
    pub(super) fn route_to(&mut self, inlet: Key, to: &str) -> Route {
        let conn = if self.restricts { self.inlets.get(inlet).map(|inlet| inlet.conn) } else { None };
        if let Some(rights) = conn.and_then(|conn| self.rights(conn))
            && !rights.may_send_to(to)
        {
            return unauthorized("policy violation on target");
        }
        let mut name = std::mem::take(&mut self.name);
        let class = self.syntax.key(to, &mut name);
        if let Some(conn) = conn {
            self.restrict_management(conn, &mut name);
        }
        let route = match class {
            None => precondition("`to` of the message is empty"),
            Some(_) => match self.known_address(&name) {
                Some(address) if !self.edges.here || self.addresses.get(address).is_some_and(|a| a.open) => {
                    Route::To(address)
                }
                _ if self.treatment_of(&name, false).0 == Treatment::Unavailable => Route::Refused(not_found()),
                _ => match self.uplink() {
                    Some(uplink) => Route::To(uplink),
                    None => Route::Refused(DeliveryState::Released),
                },
            },
        };
        self.name = name;
        route
    }
}

fn precondition(why: &'static str) -> Route {
    Route::Refused(DeliveryState::rejected(Some(&Error::new(condition::PRECONDITION_FAILED, why))))
}

fn unauthorized(why: &'static str) -> Route {
    Route::Refused(DeliveryState::rejected(Some(&Error::new(condition::UNAUTHORIZED_ACCESS, why))))
}
