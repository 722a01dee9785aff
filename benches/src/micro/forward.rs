//! The whole way of a message through a router but for its sockets: engine, core, engine.

use std::time::Instant;

use amqp_proto::connection::{Connection, End, Event, LinkId, Payload, SendHead, Sent};
use amqp_proto::{DeliveryState, Error, Role};
use anyhow::{Result, bail};
use bytes::Bytes;
use router_core::{
    ConnInfo, Core, Egress, InKey, InletKey, InletRequest, LinkRef, OutKey, OutletKey, OutletRequest, Terminus,
    Transfer, WorkerId, WorkerMsg,
};

use crate::micro::core::new_core;
use crate::micro::engine::{Pair, message, take_output};
use crate::micro::harness::{Bench, Operation, blocks};

pub(super) fn benches() -> Vec<Bench> {
    vec![
        Bench { name: "forward presettled 100 B", make: || forward(true, false) },
        Bench { name: "forward unsettled 100 B", make: || forward(false, false) },
        Bench { name: "forward outcomes back, per delivery", make: || forward(false, true) },
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

    fn detach(&mut self, link: LinkRef, error: Error) {
        let (engine, link) = self.of(link);
        engine.detach(link, true, Some(error));
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

/// Times the way there, or the way of the outcomes back.
fn forward(presettled: bool, back: bool) -> Result<Operation> {
    // The links' tokens are the core's keys, which exist only after the links do.
    let mut sender = Pair::new(Role::Sender, presettled, 0)?;
    let mut receiver = Pair::new(Role::Receiver, presettled, 0)?;
    let unused = || {
        Connection::new(Default::default(), amqp_proto::connection::Side::Server(Default::default()), Instant::now())
    };
    let inbound = std::mem::replace(&mut sender.router, unused());
    let outbound = std::mem::replace(&mut receiver.router, unused());
    let mut router = Router { core: new_core(), engines: Engines([inbound, outbound]), now: sender.now };
    let conn = router.core.connection_opened(&ConnInfo::default())?;
    let link = LinkRef { conn: OUT, link: receiver.router_link.to_u32() };
    let request = OutletRequest { source: Terminus::Address("bench") };
    let outlet = router.core.attach_outlet(conn, link, &request, &mut router.engines)?.key;
    router.engines.0[1].set_link_user(receiver.router_link, outlet.to_raw());
    let conn = router.core.connection_opened(&ConnInfo::default())?;
    let link = LinkRef { conn: IN, link: sender.router_link.to_u32() };
    let request = InletRequest { target: Terminus::Address("bench") };
    let inlet = router.core.attach_inlet(conn, link, &request, &mut router.engines)?.key;
    router.engines.0[0].set_link_user(sender.router_link, inlet.to_raw());
    let credit = router.engines.0[1].link_credit(receiver.router_link);
    router.core.credit(outlet, credit, false, &mut router.engines);
    router.core.end_batch(&mut router.engines);
    let payload = message();
    Ok(blocks(move |n, clock| {
        let block = sender.client_sends(n, &payload, presettled)?;
        if back {
            router.process(IN, &block);
        } else {
            clock.time(|| router.process(IN, &block));
        }
        // The receiver accepts all of it, and says so.
        let block = take_output(&mut router.engines.0[1], &mut receiver.buffer);
        let got = take_all(&mut receiver.client, &block, receiver.now);
        if got != n {
            bail!("{got} of {n} deliveries arrived");
        }
        let block = take_output(&mut receiver.client, &mut receiver.buffer);
        if back {
            clock.time(|| router.process(OUT, &block));
        } else {
            router.process(OUT, &block);
        }
        // The sender hears of it, and has new credit.
        let block = take_output(&mut router.engines.0[0], &mut sender.buffer);
        take_all(&mut sender.client, &block, sender.now);
        Ok(())
    }))
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
