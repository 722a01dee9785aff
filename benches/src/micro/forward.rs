//! The whole way of a message through a router but for its sockets: engine, core, engine.

use std::time::Instant;

use amqp_proto::connection::{Connection, End, Event, LinkId, Payload, SendHead, Sent};
use amqp_proto::{DeliveryState, Error, Role};
use anyhow::{Context, Result, bail};
use bytes::Bytes;
use router_core::routing::AddressBook;
use router_core::{
    ConnInfo, Core, CoreConfig, Egress, HopLink, InKey, InletKey, InletRequest, LinkRef, OutKey, OutletKey,
    OutletRequest, Terminus, Transfer, WorkerId, WorkerMsg,
};

use crate::micro::core::{Null, new_core};
use crate::micro::engine::{Pair, message, take_output};
use crate::micro::harness::{Bench, Clock, Operation, blocks};
use crate::tables::{FIRST, SECOND, book, routes};

pub(super) fn benches() -> Vec<Bench> {
    use Timed::{First, FirstBack, Last, LastBack};
    vec![
        Bench { name: "forward presettled 100 B", make: || forward(1, true, First) },
        Bench { name: "forward unsettled 100 B", make: || forward(1, false, First) },
        Bench { name: "forward outcomes back, per delivery", make: || forward(1, false, FirstBack) },
        Bench { name: "to a neighbour presettled 100 B", make: || forward(2, true, First) },
        Bench { name: "to a neighbour unsettled 100 B", make: || forward(2, false, First) },
        Bench { name: "to a neighbour outcomes back, per delivery", make: || forward(2, false, FirstBack) },
        Bench { name: "from a neighbour presettled 100 B", make: || forward(2, true, Last) },
        Bench { name: "from a neighbour unsettled 100 B", make: || forward(2, false, Last) },
        Bench { name: "from a neighbour outcomes back, per delivery", make: || forward(2, false, LastBack) },
    ]
}

/// The router's two connections.
struct Engines([Connection; 2]);

const IN: u32 = 0;
const OUT: u32 = 1;

impl Engines {
    fn of(&mut self, link: LinkRef) -> (&mut Connection, LinkId) {
        let [inbound, outbound] = &mut self.0;
        (if link.conn == IN { inbound } else { outbound }, LinkId::from_u32(link.link))
    }
}

impl Egress for Engines {
    fn send(&mut self, outlet: LinkRef, head: &SendHead, payload: &Payload<'_>, end: End) -> Sent {
        let (engine, link) = self.of(outlet);
        engine.send(link, head, payload, end)
    }

    fn settle_in(&mut self, inlet: LinkRef, delivery_id: u32, state: Option<&DeliveryState>, settled: bool) {
        let (engine, link) = self.of(inlet);
        engine.settle_incoming(link, delivery_id, state, settled);
    }

    fn settle_out(&mut self, outlet: LinkRef, delivery_id: u32, state: Option<&DeliveryState>, settled: bool) {
        let (engine, link) = self.of(outlet);
        engine.settle_outgoing(link, delivery_id, state, settled);
    }

    fn grant(&mut self, inlet: LinkRef, credit: u32) {
        let (engine, link) = self.of(inlet);
        engine.grant(link, credit);
    }

    fn drain_in(&mut self, inlet: LinkRef) {
        let (engine, link) = self.of(inlet);
        engine.request_drain(link);
    }

    fn drained_out(&mut self, outlet: LinkRef) {
        let (engine, link) = self.of(outlet);
        engine.drained(link);
    }

    fn detach(&mut self, link: LinkRef, error: Option<Error>) {
        let (engine, link) = self.of(link);
        engine.detach(link, true, error);
    }

    fn hold(&mut self, inlet: LinkRef, bytes: usize) {
        let (engine, link) = self.of(inlet);
        engine.hold(link, bytes);
    }

    fn release(&mut self, inlet: LinkRef, bytes: usize) {
        let (engine, link) = self.of(inlet);
        engine.release(link, bytes);
    }

    fn post(&mut self, _: WorkerId, _: WorkerMsg<'_>) {}
}

/// A core and the router's engines.
struct Router {
    core: Core,
    engines: Engines,
    now: Instant,
}

impl Router {
    /// What the AMQP adaptor does with what was read from one connection.
    fn process(&mut self, conn: u32, block: &Bytes) {
        let mut pos = 0;
        loop {
            let [inbound, outbound] = &mut self.engines.0;
            let engine = if conn == IN { inbound } else { outbound };
            let Some(event) = engine.handle_input(block, &mut pos, self.now) else { break };
            match event {
                Event::Transfer(t) => {
                    let end = if t.more { End::More } else { End::Complete };
                    let frame = Transfer {
                        delivery_id: t.delivery_id,
                        first: t.first,
                        end,
                        settled: t.settled,
                        message_format: t.message_format,
                        rcv_second: t.rcv_second,
                    };
                    let key =
                        self.core.transfer(InletKey::from_raw(t.user), &frame, &t.payload(block), &mut self.engines);
                    if let Some(key) = key {
                        self.engines.0[0].set_incoming_token(t.link, t.delivery_id, key.to_raw());
                    }
                }
                Event::Disposition(mut disposition) => loop {
                    let engine = &mut self.engines.0[conn as usize];
                    let Some(disposed) = engine.next_disposed(&mut disposition) else { break };
                    let state = disposition.state.as_ref();
                    if disposition.outgoing {
                        self.core.outcome(
                            OutKey::from_raw(disposed.token),
                            state,
                            disposition.settled,
                            &mut self.engines,
                        );
                    } else {
                        self.core.sender_state(
                            InKey::from_raw(disposed.token),
                            state,
                            disposition.settled,
                            &mut self.engines,
                        );
                    }
                },
                Event::Credit { user, credit, drain, .. } => {
                    self.core.credit(OutletKey::from_raw(user), credit, drain, &mut self.engines);
                }
                _ => {}
            }
        }
        self.core.end_batch(&mut self.engines);
        for engine in &mut self.engines.0 {
            engine.flush();
        }
    }
}

/// Of the way through routers, what is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Timed {
    /// Deliveries through the first router.
    First,
    /// Deliveries through the last router.
    Last,
    /// Outcomes on their way back through the last router.
    LastBack,
    /// Outcomes on their way back through the first router.
    FirstBack,
}

/// The routers between a sender and a receiver.
struct Chain {
    sender: Pair,
    receiver: Pair,
    routers: Vec<Router>,
}

/// An engine in the place of one that went to a router.
fn unused() -> Connection {
    Connection::new(Default::default(), amqp_proto::connection::Side::Server(Default::default()), Instant::now())
}

impl Chain {
    /// One router.
    fn one(presettled: bool) -> Result<Self> {
        let mut sender = Pair::new(Role::Sender, presettled, 0)?;
        let mut receiver = Pair::new(Role::Receiver, presettled, 0)?;
        let engines = [take(&mut sender.router), take(&mut receiver.router)];
        let mut router = Router { core: new_core(), engines: Engines(engines), now: sender.now };
        router.consumer(receiver.router_link)?;
        router.producer(sender.router_link)?;
        router.core.end_batch(&mut router.engines);
        Ok(Self { sender, receiver, routers: vec![router] })
    }

    /// Two routers that are linked. The consumer is at the second.
    fn two(presettled: bool) -> Result<Self> {
        let mut sender = Pair::new(Role::Sender, presettled, 0)?;
        let mut hop = Pair::new(Role::Sender, presettled, 0)?;
        let mut receiver = Pair::new(Role::Receiver, presettled, 0)?;
        let (near, far) = two_cores()?;
        let engines = [take(&mut sender.router), take(&mut hop.client)];
        let mut first = Router { core: near, engines: Engines(engines), now: sender.now };
        let link = LinkRef { conn: OUT, link: hop.client_link.to_u32() };
        let conn = first.core.connection_opened(&ConnInfo::default())?;
        let outlet = first.core.attach_hop(conn, link, (SECOND, true), HopLink::Priority(4), &mut first.engines);
        first.outlet(hop.client_link, outlet.context("no link to the neighbour")?);
        first.producer(sender.router_link)?;
        first.core.end_batch(&mut first.engines);
        let engines = [take(&mut hop.router), take(&mut receiver.router)];
        let mut last = Router { core: far, engines: Engines(engines), now: sender.now };
        last.consumer(receiver.router_link)?;
        let link = LinkRef { conn: IN, link: hop.router_link.to_u32() };
        let conn = last.core.connection_opened(&ConnInfo::default())?;
        let inlet = last
            .core
            .attach_router_inlet(conn, link, true, HopLink::Priority(4))
            .context("no link from the neighbour")?;
        last.engines.0[0].set_link_user(hop.router_link, inlet.to_raw());
        last.core.end_batch(&mut last.engines);
        Ok(Self { sender, receiver, routers: vec![first, last] })
    }

    /// Sends `n` messages and takes their outcomes back.
    fn block(&mut self, n: u64, payload: &Bytes, presettled: bool, timed: Timed, clock: &mut Clock) -> Result<()> {
        let last = self.routers.len() - 1;
        let mut block = self.sender.client_sends(n, payload, presettled)?;
        for (at, router) in self.routers.iter_mut().enumerate() {
            if (timed == Timed::First && at == 0) || (timed == Timed::Last && at == last) {
                clock.time(|| router.process(IN, &block));
            } else {
                router.process(IN, &block);
            }
            block = take_output(&mut router.engines.0[1], &mut self.receiver.buffer);
        }
        // The receiver accepts all of it, and says so.
        let got = take_all(&mut self.receiver.client, &block, self.receiver.now);
        if got != n {
            bail!("{got} of {n} deliveries arrived");
        }
        let mut block = take_output(&mut self.receiver.client, &mut self.receiver.buffer);
        for (at, router) in self.routers.iter_mut().enumerate().rev() {
            if (timed == Timed::FirstBack && at == 0) || (timed == Timed::LastBack && at == last) {
                clock.time(|| router.process(OUT, &block));
            } else {
                router.process(OUT, &block);
            }
            block = take_output(&mut router.engines.0[0], &mut self.sender.buffer);
        }
        // The sender hears of it, and has new credit.
        take_all(&mut self.sender.client, &block, self.sender.now);
        Ok(())
    }
}

/// The cores of two routers that know of each other.
fn two_cores() -> Result<(Core, Core)> {
    let core = |id, routes, book| {
        let mut core = Core::new(CoreConfig::new(id), WorkerId(0), 1, [7; 32], Instant::now());
        core.set_routes(routes, book, None, &mut Null::default());
        core
    };
    let [near, far] = routes()?;
    Ok((core(FIRST, near, book()), core(SECOND, far, AddressBook::new())))
}

impl Router {
    /// The core knows a link on which we send; its credit was known before.
    fn outlet(&mut self, link: LinkId, outlet: OutletKey) {
        self.engines.0[1].set_link_user(link, outlet.to_raw());
        let credit = self.engines.0[1].link_credit(link);
        self.core.credit(outlet, credit, false, &mut self.engines);
    }

    fn consumer(&mut self, link: LinkId) -> Result<()> {
        let conn = self.core.connection_opened(&ConnInfo::default())?;
        let request = OutletRequest { source: Terminus::Address("bench") };
        let at = LinkRef { conn: OUT, link: link.to_u32() };
        let key = self.core.attach_outlet(conn, at, &request, &mut self.engines)?.key;
        self.outlet(link, key);
        Ok(())
    }

    fn producer(&mut self, link: LinkId) -> Result<()> {
        let conn = self.core.connection_opened(&ConnInfo::default())?;
        let request = InletRequest { target: Terminus::Address("bench") };
        let at = LinkRef { conn: IN, link: link.to_u32() };
        let key = self.core.attach_inlet(conn, at, &request, &mut self.engines)?.key;
        self.engines.0[0].set_link_user(link, key.to_raw());
        Ok(())
    }
}

/// The links' tokens are the core's keys, which exist only after the links do: so engines are made first and given to a router then.
fn take(engine: &mut Connection) -> Connection {
    std::mem::replace(engine, unused())
}

/// Times a part of the way there, or of the outcomes' way back.
fn forward(routers: usize, presettled: bool, timed: Timed) -> Result<Operation> {
    let mut chain = if routers == 1 { Chain::one(presettled)? } else { Chain::two(presettled)? };
    let payload = message();
    Ok(blocks(move |n, clock| chain.block(n, &payload, presettled, timed, clock)))
}

/// A client's part: accepts deliveries, takes note of outcomes. Answers the number of deliveries.
fn take_all(client: &mut Connection, block: &Bytes, now: Instant) -> u64 {
    let (mut pos, mut got) = (0, 0);
    while let Some(event) = client.handle_input(block, &mut pos, now) {
        match event {
            Event::Transfer(transfer) => {
                got += 1;
                if !transfer.settled {
                    client.settle_incoming(transfer.link, transfer.delivery_id, Some(&DeliveryState::Accepted), true);
                }
                client.grant(transfer.link, 1);
            }
            Event::Disposition(mut disposition) => while client.next_disposed(&mut disposition).is_some() {},
            _ => {}
        }
    }
    got
}
