//! The core alone, between senders and receivers that do nothing.

use std::time::Instant;

use amqp_proto::connection::{End, Payload, SendHead, Sent};
use amqp_proto::{DeliveryState, Error};
use anyhow::{Result, bail};
use bytes::Bytes;
use router_core::{
    AddressConfig, ConnInfo, Core, CoreConfig, Egress, InletKey, InletRequest, LinkRef, OutKey, OutletKey,
    OutletRequest, Terminus, Transfer, Treatment, WorkerId, WorkerMsg,
};

use crate::micro::engine::message;
use crate::micro::harness::{Bench, Clock, Operation, blocks};

pub(super) fn benches() -> Vec<Bench> {
    vec![
        Bench { name: "core transfer presettled", make: || transfers("bench", 1, true) },
        Bench { name: "core transfer unsettled", make: || transfers("bench", 1, false) },
        Bench { name: "core transfer presettled, looked at for spans", make: looked_at },
        Bench { name: "core transfer presettled that waits", make: || waits(true) },
        Bench { name: "core transfer unsettled that waits", make: || waits(false) },
        Bench { name: "core outcome", make: || outcomes("bench", 1) },
        Bench { name: "core transfer multicast to 10, presettled", make: || transfers("mc/bench", 10, true) },
        Bench { name: "core transfer multicast to 10, unsettled", make: || transfers("mc/bench", 10, false) },
        Bench { name: "core outcomes multicast to 10", make: || outcomes("mc/bench", 10) },
    ]
}

/// Takes everything at once.
#[derive(Debug, Default)]
pub(super) struct Null {
    next: u32,
    /// What the receivers have to settle.
    tokens: Vec<u64>,
    sent: u64,
    settled: u64,
}

impl Egress for Null {
    #[inline]
    fn send(&mut self, _: LinkRef, head: &SendHead, payload: &Payload<'_>, _: End) -> Sent {
        self.next = self.next.wrapping_add(1);
        self.sent += 1;
        if head.token != 0 {
            self.tokens.push(head.token);
        }
        Sent { taken: payload.len(), done: true, started: true, settled: head.settled, delivery_id: self.next }
    }

    #[inline]
    fn settle_in(&mut self, _: LinkRef, _: u32, _: Option<&DeliveryState>, settled: bool) {
        self.settled += u64::from(settled);
    }

    fn settle_out(&mut self, _: LinkRef, _: u32, _: Option<&DeliveryState>, _: bool) {}
    fn grant(&mut self, _: LinkRef, _: u32) {}
    fn drain_in(&mut self, _: LinkRef) {}
    fn drained_out(&mut self, _: LinkRef) {}
    fn detach(&mut self, _: LinkRef, _: Option<Error>) {}
    fn hold(&mut self, _: LinkRef, _: usize) {}
    fn release(&mut self, _: LinkRef, _: usize) {}
    fn post(&mut self, _: WorkerId, _: WorkerMsg<'_>) {}
}

/// A core with multicast addresses below `mc`.
pub(super) fn new_core() -> Core {
    core_with(false)
}

fn core_with(spans: bool) -> Core {
    let mut config = CoreConfig::new("MICRO");
    config.spans = spans;
    config.addresses = vec![AddressConfig::prefix("mc", Treatment::Multicast)];
    Core::new(config, WorkerId(0), 1, [7; 32], Instant::now())
}

struct Setup {
    core: Core,
    egress: Null,
    inlet: InletKey,
    outlets: Vec<OutletKey>,
    next: u32,
    message: Bytes,
}

impl Setup {
    fn new(address: &str, receivers: u32) -> Result<Self> {
        Self::of(new_core(), address, receivers)
    }

    fn of(mut core: Core, address: &str, receivers: u32) -> Result<Self> {
        let mut egress = Null::default();
        let mut outlets = Vec::new();
        for conn in 1..=receivers {
            let key = core.connection_opened(&ConnInfo::default())?;
            let request = OutletRequest { source: Terminus::Address(address) };
            outlets.push(core.attach_outlet(key, LinkRef { conn, link: 0 }, &request, &mut egress)?.key);
        }
        let key = core.connection_opened(&ConnInfo::default())?;
        let request = InletRequest { target: Terminus::Address(address) };
        let inlet = core.attach_inlet(key, LinkRef { conn: 0, link: 0 }, &request, &mut egress)?.key;
        Ok(Self { core, egress, inlet, outlets, next: 0, message: message() })
    }

    fn set_credit(&mut self, credit: u32) {
        for outlet in &self.outlets {
            self.core.credit(*outlet, credit, false, &mut self.egress);
        }
        self.core.end_batch(&mut self.egress);
    }

    fn forget(&mut self) {
        self.egress.tokens.clear();
        (self.egress.sent, self.egress.settled) = (0, 0);
    }

    fn transfers(&mut self, n: u64, payload: &Payload<'_>, settled: bool) {
        for _ in 0..n {
            self.next = self.next.wrapping_add(1);
            let frame = Transfer {
                delivery_id: self.next,
                first: true,
                end: End::Complete,
                settled,
                message_format: 0,
                rcv_second: false,
            };
            self.core.transfer(self.inlet, &frame, payload, &mut self.egress);
        }
        self.core.end_batch(&mut self.egress);
    }

    fn outcomes(&mut self) {
        let mut tokens = std::mem::take(&mut self.egress.tokens);
        for token in tokens.drain(..) {
            self.core.outcome(OutKey::from_raw(token), Some(&DeliveryState::Accepted), true, &mut self.egress);
        }
        self.core.end_batch(&mut self.egress);
        self.egress.tokens = tokens;
    }

    fn check(&self, n: u64, settled: bool) -> Result<()> {
        let (sent, expected) = (self.egress.sent, n * self.outlets.len() as u64);
        if sent != expected || (!settled && self.egress.settled != n) {
            bail!("{sent} of {expected} copies were sent, {} of {n} deliveries settled", self.egress.settled);
        }
        Ok(())
    }
}

fn transfers(address: &str, receivers: u32, settled: bool) -> Result<Operation> {
    both(Setup::new(address, receivers)?, settled, move |setup, n, payload, clock| {
        clock.time(|| setup.transfers(n, payload, settled));
        setup.outcomes();
    })
}

/// Messages that nobody traces, where spans are wanted.
fn looked_at() -> Result<Operation> {
    let mut setup = Setup::of(core_with(true), "bench", 1)?;
    // Header, properties, and application properties with a context that is not sampled.
    let mut head = b"\x00\x53\x70\xc0\x02\x01\x41\x00\x53\x73\xc0\x0a\x03\x40\x40\xa1\x05bench".to_vec();
    head.extend_from_slice(b"\x00\x53\x74\xc1\x47\x02\xa1\x0btraceparent\xa1\x37");
    head.extend_from_slice(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");
    setup.message = [&head[..], &setup.message[..]].concat().into();
    both(setup, true, |setup, n, payload, clock| {
        clock.time(|| setup.transfers(n, payload, true));
    })
}

/// Deliveries that come when the receiver has no credit, and go when it has some again.
fn waits(settled: bool) -> Result<Operation> {
    both(Setup::new("bench", 1)?, settled, move |setup, n, payload, clock| {
        setup.set_credit(0);
        clock.time(|| {
            setup.transfers(n, payload, settled);
            setup.set_credit(1000);
        });
        setup.outcomes();
    })
}

fn outcomes(address: &str, receivers: u32) -> Result<Operation> {
    both(Setup::new(address, receivers)?, false, |setup, n, payload, clock| {
        setup.transfers(n, payload, false);
        clock.time(|| setup.outcomes());
    })
}

fn both(
    mut setup: Setup,
    settled: bool,
    step: impl Fn(&mut Setup, u64, &Payload<'_>, &mut Clock) + 'static,
) -> Result<Operation> {
    let message = setup.message.clone();
    Ok(blocks(move |n, clock| {
        setup.set_credit(1000);
        setup.forget();
        step(&mut setup, n, &Payload::new(&message), clock);
        setup.check(n, settled)
    }))
}
