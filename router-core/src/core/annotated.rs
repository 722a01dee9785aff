//! Annotations and clients (`stripAnnotations`). They are taken off what a client sends, and read only where that was asked for; clients that want
//! them get them in front of what they receive.

use amqp_proto::{
    DecodeError,
    codec::code,
    condition,
    message::{HeadCursor, MAX_HEAD, Progress},
};
use bytes::Bytes;

use super::{
    Core,
    anonymous::Route,
    routed::{Way, incomplete, malformed},
};
use crate::{
    InKey, InletKey, Rights,
    address::Class,
    annotations::{Annotations, MAX_SECTION, MIN_SECTION, PUBLIC, Parsed, Trace, parse, skim},
    core::slots::Key,
    egress::{DeliveryState, Egress, End, Error, Payload, Transfer},
    inlet::{Pending, Sends},
};

/// The bytes of an encoded binary value; what is none is taken as it is, which names nobody.
fn binary(value: &[u8]) -> &[u8] {
    match value {
        [code::BINARY8, _, bytes @ ..] | [code::BINARY32, _, _, _, _, bytes @ ..] => bytes,
        other => other,
    }
}

fn another_user() -> DeliveryState {
    DeliveryState::rejected(Some(&Error::new(condition::UNAUTHORIZED_ACCESS, "user_id proxy violation")))
}

impl Core {
    /// The client of an inlet asks for something for all its deliveries: flags of annotations.
    pub fn mark_inlet(&mut self, key: InletKey, flags: u32) {
        let Some(inlet) = self.inlets.get_mut(key.0) else { return };
        match inlet.sends {
            Sends::Client => inlet.sends = Sends::Asks,
            Sends::Limited => inlet.sends = Sends::Watched,
            Sends::Watched => {}
            _ => return,
        }
        self.asks.insert(key.0, flags);
    }

    /// The first frame of a client's delivery, which may begin with annotations.
    #[cold]
    pub(super) fn first_annotated(
        &mut self,
        key: Key,
        t: &Transfer,
        payload: &Payload<'_>,
        eg: &mut impl Egress,
    ) -> Option<InKey> {
        let message = payload.as_slice();
        let inlet = self.inlets.get(key)?;
        let (conn, watched) = (inlet.conn, inlet.sends == Sends::Watched);
        let flags = self.asks.get(&key).copied().unwrap_or(0);
        let reads = self.conns.get(conn).is_some_and(|conn| conn.reads_annotations);
        let (annotations, size) = match if reads { parse(message) } else { skim(message) } {
            Ok(Parsed::Absent) if flags == 0 && !watched => return self.first_of_client(key, t, payload, eg),
            Ok(Parsed::Absent) => (Annotations::default(), 0),
            // Nothing to begin with.
            Ok(Parsed::Found(_, size)) if t.end == End::More && message.len() == size => {
                return self.pend_tried(key, t, message);
            }
            Ok(Parsed::Found(annotations, size)) => (annotations, size),
            Ok(Parsed::Incomplete(_)) if t.end == End::More && message.len() <= MAX_SECTION => {
                return self.pend_tried(key, t, message);
            }
            // Too short to be a message of any kind, which is nothing to a router.
            Ok(Parsed::Incomplete(_)) if message.len() < MIN_SECTION => {
                return self.first_of_client(key, t, payload, eg);
            }
            Ok(Parsed::Incomplete(size)) => return self.refuse_anonymous(key, t, &incomplete(message, size), eg),
            Err(error) => return self.refuse_anonymous(key, t, &malformed(&error), eg),
        };
        let rest = payload.skip(size);
        if watched {
            match self.names_another_user(conn, rest.as_slice(), t.end != End::More) {
                Ok(Some(false)) => {}
                Ok(Some(true)) => return self.refuse_anonymous(key, t, &another_user(), eg),
                Ok(None) => return self.pend_tried(key, t, message),
                Err(error) => {
                    let state = DeliveryState::rejected(Some(&Error::from(&error)));
                    return self.refuse_anonymous(key, t, &state, eg);
                }
            }
        }
        if !reads && flags == 0 {
            return self.first_of_client(key, t, &rest, eg);
        }
        // What routers of ours tell each other is no client's to say.
        let annotations = &Annotations { flags: annotations.flags & PUBLIC | flags, ..annotations };
        let way = Way::Annotated { inlet: key, annotations };
        if let Some(address) = self.inlets.get(key)?.address {
            return self.admit(key, address, t, &rest, way, eg);
        }
        let route = match annotations.to_override {
            Some(to) => self.route_to(key, to),
            None => self.route_of(key, HeadCursor::new(MAX_HEAD), rest.as_slice(), t.end != End::More),
        };
        match route {
            Route::To(address) => {
                self.count_anonymous(key, address);
                self.admit(key, address, t, &rest, way, eg)
            }
            Route::Refused(state) => self.refuse_anonymous(key, t, &state, eg),
            Route::NeedMore(_) => self.pend_tried(key, t, message),
        }
    }

    /// Whether a message names another user than its client is. `None`: that is not known yet.
    fn names_another_user(&self, conn: Key, message: &[u8], complete: bool) -> Result<Option<bool>, DecodeError> {
        let Some(user) = self.rights(conn).and_then(Rights::only_user) else { return Ok(Some(false)) };
        let mut cursor = HeadCursor::new(MAX_HEAD);
        if cursor.advance(message, complete)? == Progress::NeedMore {
            return Ok(None);
        }
        let named = cursor.head().read_properties(message).user_id()?.map(binary).unwrap_or_default();
        Ok(Some(!named.is_empty() && named != user.as_bytes()))
    }

    fn first_of_client(
        &mut self,
        key: Key,
        t: &Transfer,
        payload: &Payload<'_>,
        eg: &mut impl Egress,
    ) -> Option<InKey> {
        match self.inlets.get(key)?.address {
            Some(address) => self.admit(key, address, t, payload, Way::Targeted(key), eg),
            None => self.first_anonymous(key, t, payload, eg),
        }
    }

    /// Too little is known of it so far.
    pub(super) fn pend_tried(&mut self, key: Key, t: &Transfer, message: &[u8]) -> Option<InKey> {
        self.inlets.get_mut(key)?.pending = Some(Box::new(Pending::tried(message, *t)));
        None
    }

    /// The next frame of one of which too little was known.
    pub(super) fn more_annotated(
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
        let block = Bytes::from(pending.bytes);
        self.first_annotated(key, t, &Payload::new(&block), eg)
    }

    /// What a delivery gets in front on its way to destinations that want it: routers of other networks, and clients. What its client said of
    /// it is kept in any case, as it may go to another router later.
    #[cold]
    pub(super) fn prefix_here(&self, address: Key, way: &Way<'_>) -> Vec<u8> {
        let Some(a) = self.addresses.get(address) else { return Vec::new() };
        if Class::of_key(&a.name) == Class::Network {
            return self.prefix_for_networks(address, way);
        }
        let mut prefix = Vec::new();
        if a.annotated > 0 || matches!(way, Way::Annotated { .. }) {
            let said = self.annotations_of(way);
            let me = self.trace_name();
            // Edges say nothing of where a message was.
            let (ingress, trace) = if me.is_some() { (said.ingress, said.trace) } else { (None, Trace::default()) };
            Annotations { flags: said.flags & PUBLIC, ingress, trace, ..said }.compose(me, &mut prefix);
        }
        prefix
    }

    /// What was kept of a delivery of this router as the annotations for a neighbour.
    #[cold]
    pub(super) fn prefix_onward(kept: &[u8], flags: u32) -> Option<Vec<u8>> {
        let Ok(Parsed::Found(annotations, _)) = parse(kept) else { return None };
        let mut prefix = Vec::new();
        Annotations { flags: annotations.flags | flags, ..annotations }.compose(None, &mut prefix);
        Some(prefix)
    }

    /// What had annotations in front is gone.
    pub(super) fn annotated_gone(&mut self, address: Key, annotated: bool) {
        if !annotated {
            return;
        }
        self.annotated = self.annotated.saturating_sub(1);
        if let Some(a) = self.addresses.get_mut(address) {
            a.annotated = a.annotated.saturating_sub(1);
        }
    }
}
