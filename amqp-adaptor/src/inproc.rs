//! Code of the router as a peer of its own core: consumers of addresses, and senders of messages.
//!
//! A consumer is an outlet like any other, with credit of its own. What it is sent is gathered into whole messages, which go by mail to
//! whoever asked for them (usually the control thread), and is accepted when it was handed over. Credit comes back when the message is
//! dropped there, so that what can wait is bounded. A sender is an anonymous inlet that lives for one message.
//!
//! In the adaptor's numbers all of these are links of the connection [`CONN`], which no slab has. So real connections pay nothing: only where
//! a connection is not found it is looked whether it is this one.

use std::fmt;

use amqp_proto::connection::{End, Payload, SendHead, Sent};
use amqp_proto::{DeliveryState, Error, condition};
use bytes::Bytes;
use router_core::{
    ConnKey, Core, InletKey, InletRequest, LinkRef, OutKey, OutletKey, OutletRequest, Refusal, Terminus, Transfer,
};
use slab::Slab;
use transport::{MailSender, WorkerHandle};

use crate::egress::Conns;
use crate::worker::{AmqpAdaptor, Inner};

/// The number of the connection that stands for the router itself.
pub(crate) const CONN: u32 = u32::MAX;

/// Largest message that a consumer in the router takes, in bytes. Larger ones are rejected.
pub const MAX_MESSAGE: usize = 1024 * 1024;

/// How many messages a consumer may have that were not dropped yet.
const WINDOW: u32 = 64;

/// A message for a consumer in the router.
///
/// Dropping it, on whatever thread, gives the consumer credit for another.
#[derive(Debug)]
pub struct Incoming {
    /// What the consumer was called when it was made.
    pub consumer: u32,
    /// The whole message, all sections.
    pub message: Bytes,
    _permit: Permit,
}

/// One credit of a consumer.
#[derive(Debug)]
struct Permit {
    worker: WorkerHandle,
    key: OutletKey,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let key = self.key;
        // If the worker is gone so is the consumer.
        let _ = self.worker.run(move || {
            if let Some(inner) = Inner::current() {
                inner.permit_returned(key);
            }
        });
    }
}

/// A consumer, to be ended with [`AmqpAdaptor::stop_consuming`] on the worker that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerId(OutletKey);

/// Told the outcome of a message that the router sent.
pub type Report = Box<dyn FnOnce(Option<&DeliveryState>)>;

/// Consumers and senders of the router on one worker.
#[derive(Debug, Default)]
pub(crate) struct Inproc {
    conn: Option<ConnKey>,
    consumers: Slab<Consumer>,
    senders: Slab<Sender>,
    /// What the core is to be told as soon as it has returned from telling us.
    events: Vec<Event>,
}

#[derive(Debug)]
struct Consumer {
    key: OutletKey,
    name: u32,
    to: MailSender<Incoming>,
    worker: WorkerHandle,
    /// Messages that it may begin to get.
    credit: u32,
    /// Messages that are complete and were not dropped yet.
    out: u32,
    next_id: u32,
    current: Option<Current>,
}

/// A message on its way in.
#[derive(Debug)]
struct Current {
    token: u64,
    id: u32,
    settled: bool,
    foreign: bool,
    too_large: bool,
    bytes: Vec<u8>,
}

struct Sender {
    inlet: InletKey,
    report: Option<Report>,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("inlet", &self.inlet).finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum Event {
    /// A message is complete, or was aborted.
    Arrived(usize, Current, bool),
    /// The core settled what a sender sent.
    Settled(usize, Option<DeliveryState>),
}

/// Whether a link is a consumer, or a sender, and which.
enum Which {
    Consumer(usize),
    Sender(usize),
}

fn which(link: LinkRef) -> Option<Which> {
    let index = (link.link >> 1) as usize;
    match (link.conn, link.link & 1) {
        (CONN, 0) => Some(Which::Consumer(index)),
        (CONN, _) => Some(Which::Sender(index)),
        _ => None,
    }
}

fn link_of(index: usize, odd: u32) -> LinkRef {
    // There are at most as many as the router's code makes.
    LinkRef { conn: CONN, link: (u32::try_from(index).unwrap_or(u32::MAX >> 1) << 1) | odd }
}

impl Inproc {
    /// [`router_core::Egress::send`] for a link of ours. True if there is something to be told to the core afterwards.
    pub(crate) fn send(&mut self, outlet: LinkRef, head: &SendHead, payload: &Payload<'_>, end: End) -> (Sent, bool) {
        let nothing = (Sent::default(), false);
        let Some(Which::Consumer(index)) = which(outlet) else { return nothing };
        let Some(consumer) = self.consumers.get_mut(index) else { return nothing };
        let mut current = match consumer.current.take() {
            Some(current) => current,
            None if consumer.credit == 0 => return nothing,
            None => {
                consumer.credit -= 1;
                consumer.next_id = consumer.next_id.wrapping_add(1);
                Current {
                    token: head.token,
                    id: consumer.next_id,
                    settled: head.settled,
                    foreign: head.message_format != 0,
                    too_large: false,
                    bytes: Vec::new(),
                }
            }
        };
        if current.bytes.len() + payload.len() > MAX_MESSAGE {
            current.too_large = true;
            current.bytes = Vec::new();
        }
        if !current.too_large {
            current.bytes.extend_from_slice(payload.as_slice());
        }
        let sent =
            Sent { taken: payload.len(), done: true, started: true, settled: current.settled, delivery_id: current.id };
        if end == End::More {
            consumer.current = Some(current);
            return (sent, false);
        }
        consumer.out += 1;
        self.events.push(Event::Arrived(index, current, end == End::Complete));
        (sent, true)
    }

    /// [`router_core::Egress::settle_in`] for a link of ours. True if there is something to be told to the core afterwards.
    pub(crate) fn settle_in(&mut self, inlet: LinkRef, state: Option<&DeliveryState>, settled: bool) -> bool {
        let Some(Which::Sender(index)) = which(inlet).filter(|_| settled) else { return false };
        self.events.push(Event::Settled(index, state.map(DeliveryState::detached)));
        true
    }
}

/// Tells the core what became of what it sent us, and hands messages over.
pub(crate) fn settle(core: &mut Core, conns: &mut Conns) {
    while !conns.inproc.events.is_empty() {
        for event in std::mem::take(&mut conns.inproc.events) {
            match event {
                Event::Arrived(index, current, complete) => arrived(core, conns, index, current, complete),
                Event::Settled(index, state) => {
                    let Some(sender) = conns.inproc.senders.try_remove(index) else { continue };
                    core.detach_inlet(sender.inlet, conns);
                    if let Some(report) = sender.report {
                        report(state.as_ref());
                    }
                }
            }
        }
    }
}

fn arrived(core: &mut Core, conns: &mut Conns, index: usize, current: Current, complete: bool) {
    let Some(consumer) = conns.inproc.consumers.get_mut(index) else { return };
    let refusal = if current.too_large {
        let reason = format!("the router itself takes messages of at most {MAX_MESSAGE} bytes");
        Some(Error::new(condition::LINK_MESSAGE_SIZE_EXCEEDED, reason))
    } else if current.foreign {
        Some(Error::new(condition::NOT_IMPLEMENTED, "the router itself takes messages of format 0 only"))
    } else {
        None
    };
    let state = refusal.as_ref().map_or(DeliveryState::Accepted, |error| DeliveryState::rejected(Some(error)));
    let key = consumer.key;
    if complete && refusal.is_none() {
        let permit = Permit { worker: consumer.worker.clone(), key };
        let incoming = Incoming { consumer: consumer.name, message: current.bytes.into(), _permit: permit };
        // Whoever is gone takes the consumer's messages with it.
        let _ = consumer.to.push(incoming);
    } else {
        consumer.out = consumer.out.saturating_sub(1);
        let credit = consumer.restore();
        core.credit(key, credit, false, conns);
    }
    if complete && current.token != 0 {
        core.outcome(OutKey::from_raw(current.token), Some(&state), true, conns);
    }
}

impl Consumer {
    /// Gives all credit that is not in use.
    fn restore(&mut self) -> u32 {
        self.credit = WINDOW.saturating_sub(self.out + u32::from(self.current.is_some()));
        self.credit
    }
}

impl Inner {
    fn permit_returned(&self, key: OutletKey) {
        {
            let mut core = self.core.borrow_mut();
            let mut conns = self.conns.borrow_mut();
            let found = conns.inproc.consumers.iter_mut().find(|(_, consumer)| consumer.key == key);
            let Some((_, consumer)) = found else { return };
            consumer.out = consumer.out.saturating_sub(1);
            let credit = consumer.restore();
            core.credit(key, credit, false, &mut *conns);
            core.end_batch(&mut *conns);
        }
        self.write_dirty();
    }
}

impl AmqpAdaptor {
    /// Consumes from an address, in any form that a client may write. Whole messages go to `to`, together with `name`; they are accepted
    /// when they were handed over. Messages of more than [`MAX_MESSAGE`] bytes are rejected.
    ///
    /// To be called on the worker that this adaptor belongs to. Once in the router is enough: other workers send here.
    ///
    /// # Errors
    /// If the address cannot be consumed from.
    ///
    /// # Panics
    /// When not called on a worker.
    pub fn consume(&self, address: &str, name: u32, to: MailSender<Incoming>) -> Result<ConsumerId, Refusal> {
        let worker = transport::worker::current().ok_or(Refusal::Invalid("consumers live on workers"))?;
        let key = {
            let mut core = self.0.core.borrow_mut();
            let mut conns = self.0.conns.borrow_mut();
            let conn = connection(&mut core, &mut conns);
            let entry = conns.inproc.consumers.vacant_entry();
            let link = link_of(entry.key(), 0);
            entry.insert(Consumer {
                key: OutletKey::NONE,
                name,
                to,
                worker,
                credit: 0,
                out: 0,
                next_id: 0,
                current: None,
            });
            let index = (link.link >> 1) as usize;
            let request = OutletRequest { source: Terminus::Address(address) };
            let attached = match core.attach_outlet(conn, link, &request, &mut *conns) {
                Ok(attached) => attached,
                Err(refusal) => {
                    conns.inproc.consumers.remove(index);
                    return Err(refusal);
                }
            };
            if let Some(consumer) = conns.inproc.consumers.get_mut(index) {
                consumer.key = attached.key;
                let credit = consumer.restore();
                core.credit(attached.key, credit, false, &mut *conns);
            }
            attached.key
        };
        self.flush();
        Ok(ConsumerId(key))
    }

    /// Ends a consumer. What it was sent and is not complete is lost to it.
    pub fn stop_consuming(&self, id: ConsumerId) {
        {
            let mut core = self.0.core.borrow_mut();
            let mut conns = self.0.conns.borrow_mut();
            core.detach_outlet(id.0, &mut *conns);
            conns.inproc.consumers.retain(|_, consumer| consumer.key != id.0);
        }
        self.flush();
    }

    /// Sends a message to the address in its `to`. Without a `report` it is sent settled, and dropped if it cannot be delivered; with one,
    /// the report is told the outcome (`None`: settled without one), once, on this worker; it must not call the adaptor.
    ///
    /// Messages wait for credit of their receiver. What waits is bounded as for senders that are gone
    /// ([`router_core::CoreConfig::orphans`]).
    pub fn inject(&self, message: &Bytes, report: Option<Report>) {
        {
            let mut core = self.0.core.borrow_mut();
            let mut conns = self.0.conns.borrow_mut();
            inject(&mut core, &mut conns, message, report);
        }
        self.flush();
    }
}

fn connection(core: &mut Core, conns: &mut Conns) -> ConnKey {
    *conns.inproc.conn.get_or_insert_with(|| core.internal_connection())
}

fn inject(core: &mut Core, conns: &mut Conns, message: &Bytes, report: Option<Report>) {
    let conn = connection(core, conns);
    let settled = report.is_none();
    let index = conns.inproc.senders.insert(Sender { inlet: InletKey::NONE, report });
    let request = InletRequest { target: Terminus::Anonymous };
    let Ok(attached) = core.attach_inlet(conn, link_of(index, 1), &request, conns) else {
        // Anonymous links of the router itself are never refused.
        conns.inproc.senders.remove(index);
        return;
    };
    if let Some(sender) = conns.inproc.senders.get_mut(index) {
        sender.inlet = attached.key;
    }
    let transfer =
        Transfer { delivery_id: 0, first: true, end: End::Complete, settled, message_format: 0, rcv_second: false };
    core.transfer(attached.key, &transfer, &Payload::new(message), conns);
    if settled {
        // What waits goes its way without its sender.
        core.detach_inlet(attached.key, conns);
        conns.inproc.senders.try_remove(index);
    }
}
