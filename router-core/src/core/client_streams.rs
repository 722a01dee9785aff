//! Links of their own for streams toward clients that take them (`qd.streaming-links`): a stream is as long as it likes, and would keep all that
//! follows it on the client's own link waiting.
//!
//! As toward neighbours, an address stands for the links of a connection, and what finds none that is free waits there and asks for one more. The
//! credit of the client's own link says that it takes deliveries of the address, and is not used up.

use super::{
    Core,
    forward::Arrival,
    hops::{MEDIUM, Pick},
};
use crate::{
    ConnKey, OutletKey,
    core::slots::Key,
    delivery::{Delivery, From, Onward, STREAMS, To},
    distribution::Candidate,
    egress::{Egress, End, LinkRef, Payload},
    worker_batch::Deliver,
};

/// What stands for the links for streams to a client.
pub(super) fn is_client_hop(name: &str) -> bool {
    name.starts_with("P@")
}

impl Core {
    /// The client of an outlet takes streams on links of their own.
    pub(super) fn streams_apart(&self, o: Key) -> bool {
        self.outlets.get(o).is_some_and(|outlet| {
            !outlet.single && !outlet.inside && self.conns.get(outlet.conn).is_some_and(|conn| conn.streaming_links)
        })
    }

    /// The same, for a delivery that waits.
    #[inline]
    pub(super) fn goes_apart(&self, d: Key, o: Key) -> bool {
        self.deliveries.get(d).is_some_and(|d| d.has(STREAMS) && !d.arrived()) && self.streams_apart(o)
    }

    fn client_stream(&mut self, conn: Key) -> Key {
        self.address(&client_hop(conn), false)
    }

    /// Sends a stream that an outlet was chosen for.
    #[cold]
    pub(super) fn stream_apart(
        &mut self,
        o: Key,
        arrival: &Arrival<'_>,
        payload: &Payload<'_>,
        eg: &mut impl Egress,
    ) -> Option<Key> {
        let conn = self.outlets.get(o)?.conn;
        let stream = self.client_stream(conn);
        let d = if let Some(Pick::Local(_)) = self.peek(stream) {
            self.route(stream, arrival, payload, End::More, eg)?
        } else {
            let d = self.record(arrival, stream, End::More);
            self.keep_prefix(d, arrival.prefix);
            self.counters.waited += 1;
            self.store(d, payload, eg);
            self.enqueue(d, stream, MEDIUM);
            d
        };
        self.note_own_link(d, o);
        self.want_client_stream(conn, eg);
        Some(d)
    }

    /// The same, for one of another worker. `back`: credit of the outlet that is not lent any more.
    #[cold]
    #[expect(clippy::too_many_arguments, reason = "all of it is at hand, and nothing of it is worth storing")]
    pub(super) fn delivered_apart(
        &mut self,
        o: Key,
        back: u32,
        worker: u16,
        deliver: &Deliver,
        arrival: &Arrival<'_>,
        payload: &Payload<'_>,
        eg: &mut impl Egress,
    ) {
        let Some(address) = self.outlets.get(o).map(|outlet| outlet.address) else { return };
        if let Some(a) = self.addresses.get_mut(address) {
            a.lent = a.lent.saturating_sub(back);
        }
        let d = self.stream_apart(o, arrival, payload, eg);
        if let Some(d) = d {
            self.remember(worker, deliver.mine, d);
            if let Some(delivery) = self.deliveries.get_mut(d) {
                delivery.chunk = deliver.address;
            }
        }
        // The credit is there again.
        self.flush(o, eg);
        self.answer_drain(o, eg);
    }

    /// A stream that has not begun, or is tried again, goes to the client of this outlet.
    pub(super) fn queue_apart(&mut self, d: Key, o: Key, eg: &mut impl Egress) {
        let Some(conn) = self.outlets.get(o).map(|outlet| outlet.conn) else { return self.dropped(d, eg) };
        let stream = self.client_stream(conn);
        self.note_own_link(d, o);
        self.move_to(d, stream);
        self.enqueue(d, stream, MEDIUM);
        self.pump(stream, eg);
        self.want_client_stream(conn, eg);
    }

    fn note_own_link(&mut self, d: Key, o: Key) {
        let Some(delivery) = self.deliveries.get_mut(d) else { return };
        if let Some(onward) = self.onwards.at_mut(delivery.onward) {
            onward.outlet = o;
            return;
        }
        let none = Key::NONE;
        let onward = Onward { prefix: None, origin: none, hop: none, tally: none, row: 0, stream: None, outlet: o };
        delivery.onward = self.onwards.insert(onward).index;
    }

    /// Asks for as many links as streams wait and are not under way.
    fn want_client_stream(&mut self, conn: Key, eg: &mut impl Egress) {
        let stream = self.client_stream(conn);
        let Some(a) = self.addresses.get(stream) else { return };
        let local = a.candidates.iter().filter_map(|candidate| match candidate {
            Candidate::Local(o) => self.outlets.get(o),
            Candidate::Remote(_) => None,
        });
        let coming = local.filter(|outlet| outlet.credit == 0 && outlet.current.is_none()).count();
        let waiting = a.waiting.len();
        // Of its own links there is one at least, or nothing would wait.
        let own = self.conns.get(conn).and_then(|conn| conn.outlets.first().copied());
        let Some(slot) = own.and_then(|o| self.outlets.get(o)).map(|outlet| outlet.link.conn) else { return };
        while *self.stream_links.asked(stream) + coming < waiting {
            if !eg.open_client_stream(slot) {
                return self.no_client_stream(ConnKey(conn), eg);
            }
            *self.stream_links.asked(stream) += 1;
        }
        self.forget_address(stream);
    }

    /// A link for streams that was asked for is attached. Its credit is told with [`credit`](Self::credit), as that of any outlet. `None` if the
    /// connection is gone.
    pub fn attach_client_stream(&mut self, conn: ConnKey, link: LinkRef, eg: &mut impl Egress) -> Option<OutletKey> {
        self.conns.get(conn.0)?;
        let stream = self.client_stream(conn.0);
        let asked = self.stream_links.asked(stream);
        *asked = asked.saturating_sub(1);
        self.outlet_at(conn, link, stream, true, eg).map(OutletKey)
    }

    /// The client takes no link for streams after all: they go on its own.
    pub fn no_client_stream(&mut self, conn: ConnKey, eg: &mut impl Egress) {
        let Some(owner) = self.conns.get_mut(conn.0) else { return };
        owner.streaming_links = false;
        let stream = self.client_stream(conn.0);
        *self.stream_links.asked(stream) = 0;
        while let Some(d) = self.front_waiting(stream) {
            self.leave_waiting(d);
            let onward = self.deliveries.get(d).map(|delivery| delivery.onward);
            let o = onward.and_then(|onward| self.onwards.at(onward)).map_or(Key::NONE, |(_, onward)| onward.outlet);
            match self.outlets.get(o).map(|outlet| outlet.address) {
                Some(address) => {
                    self.move_to(d, address);
                    self.queue_at(d, o, eg);
                }
                None => self.dropped(d, eg),
            }
        }
        self.forget_address(stream);
    }

    /// A delivery waits for the credit of one outlet.
    pub(super) fn queue_at(&mut self, d: Key, o: Key, eg: &mut impl Egress) {
        let (Some(outlet), Some(delivery)) = (self.outlets.get_mut(o), self.deliveries.get_mut(d)) else { return };
        delivery.to = To::Queued { outlet: o };
        outlet.queue.push_back(d);
        outlet.queued += 1;
        outlet.reserved += u32::from(is_lent(delivery));
        self.refresh(o);
        self.flush(o, eg);
    }

    /// The connection is gone: so is what waits for a link of it.
    pub(super) fn client_streams_gone(&mut self, conn: Key, eg: &mut impl Egress) {
        if let Some(stream) = self.by_name.get(&*client_hop(conn)).copied() {
            self.drop_waiting(stream, eg);
            self.forget_address(stream);
        }
    }
}

/// The lookup key of the address for a connection. Other workers do not know it.
fn client_hop(conn: Key) -> String {
    format!("P@{}/stream", conn.to_raw())
}

/// Another worker sent it.
const fn is_lent(delivery: &Delivery) -> bool {
    matches!(delivery.from, From::Worker { .. })
}
