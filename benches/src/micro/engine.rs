//! Two engines that are connected in memory.

use std::io::IoSlice;
use std::time::Instant;

use amqp_proto::connection::{ClientSasl, Config, Connection, End, Event, LinkId, Payload, SendHead, ServerSasl, Side};
use amqp_proto::message::data_header;
use amqp_proto::{Attach, DeliveryState, Role, SenderSettleMode, Source, SourceTerminus, Str, Target, TargetTerminus};
use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};

use crate::micro::harness::{Bench, Operation, blocks};

/// Bytes of a message's body.
const BODY: u32 = 100;
/// Credit that a receiver keeps up.
const CREDIT: u32 = 2000;

pub(super) fn benches() -> Vec<Bench> {
    vec![
        Bench { name: "engine send presettled 100 B", make: || send(true) },
        Bench { name: "engine send unsettled 100 B", make: || send(false) },
        Bench { name: "engine receive presettled 100 B", make: || receive(true) },
        Bench { name: "engine receive unsettled 100 B", make: || receive(false) },
        Bench { name: "engine settle and flush, per delivery", make: settle },
        Bench { name: "engine dispositions, per delivery", make: dispositions },
    ]
}

/// A message of one data section.
pub(super) fn message() -> Bytes {
    let (header, len) = data_header(BODY);
    let mut bytes = header[..len].to_vec();
    bytes.resize(len + BODY as usize, b'x');
    bytes.into()
}

/// Takes what an engine has to write.
pub(super) fn take_output(from: &mut Connection, into: &mut BytesMut) -> Bytes {
    from.flush();
    while !from.output().is_empty() {
        let mut slices = [IoSlice::new(&[]); 64];
        let filled = from.output().chunks(&mut slices);
        let mut len = 0;
        for slice in &slices[..filled] {
            into.extend_from_slice(slice);
            len += slice.len();
        }
        from.output_mut().advance(len);
    }
    into.split().freeze()
}

/// A client that is attached to a router: as its sender or its receiver.
pub(super) struct Pair {
    pub(super) client: Connection,
    pub(super) router: Connection,
    pub(super) client_link: LinkId,
    pub(super) router_link: LinkId,
    pub(super) buffer: BytesMut,
    pub(super) now: Instant,
}

impl Pair {
    /// `user` is the router's token of the link.
    pub(super) fn new(client_role: Role, presettled: bool, user: u64) -> Result<Self> {
        let now = Instant::now();
        let config = |name: &str| Config { container_id: Str::from(name), idle_timeout: None, ..Config::default() };
        let mut client = Connection::new(config("client"), Side::Client(ClientSasl::None), now);
        let sasl = ServerSasl { allow_bare: true, ..ServerSasl::default() };
        let mut router = Connection::new(config("router"), Side::Server(sasl), now);
        let session = client.begin()?;
        let mode = match client_role {
            Role::Sender if presettled => SenderSettleMode::Settled,
            Role::Sender => SenderSettleMode::Unsettled,
            Role::Receiver => SenderSettleMode::Mixed,
        };
        let attach = Attach {
            name: Str::from("link"),
            role: client_role,
            snd_settle_mode: mode,
            source: Some(SourceTerminus::from(Source::at("bench"))),
            target: Some(TargetTerminus::from(Target::at("bench"))),
            ..Attach::default()
        };
        let client_link = client.attach(session, attach, 1)?;
        let mut router_link = None;
        let mut buffer = BytesMut::with_capacity(1 << 20);
        // Headers, opens, begins, attaches: a few rounds.
        for _ in 0..8 {
            pump(&mut client, &mut router, &mut buffer, now, |router, event| {
                if let Event::Attached(attached) = event {
                    let answer = attached.answer(attached.attach.source.clone(), attached.attach.target.clone());
                    router.accept_attach(attached.link, answer, user);
                    router_link = Some(attached.link);
                }
            });
            pump(&mut router, &mut client, &mut buffer, now, |_, _| {});
        }
        let router_link = router_link.context("the link was not attached")?;
        let mut pair = Self { client, router, client_link, router_link, buffer, now };
        match client_role {
            Role::Sender => pair.router.grant(router_link, CREDIT),
            Role::Receiver => pair.client.grant(client_link, CREDIT),
        }
        pair.exchange();
        Ok(pair)
    }

    /// Everything that either side has to say, but for deliveries; those are accepted.
    pub(super) fn exchange(&mut self) {
        for _ in 0..2 {
            pump(&mut self.router, &mut self.client, &mut self.buffer, self.now, accept);
            pump(&mut self.client, &mut self.router, &mut self.buffer, self.now, accept);
        }
    }

    /// Sends `n` messages from the client and answers their bytes.
    pub(super) fn client_sends(&mut self, n: u64, payload: &Bytes, settled: bool) -> Result<Bytes> {
        let head = SendHead { settled, token: u64::from(!settled), ..SendHead::default() };
        for _ in 0..n {
            if !self.client.send(self.client_link, &head, &Payload::new(payload), End::Complete).done {
                bail!("no credit");
            }
        }
        Ok(take_output(&mut self.client, &mut self.buffer))
    }
}

/// Accepts deliveries and takes note of outcomes.
fn accept(engine: &mut Connection, event: Event) {
    match event {
        Event::Transfer(transfer) => {
            if !transfer.settled {
                engine.settle_incoming(transfer.link, transfer.delivery_id, Some(&DeliveryState::Accepted), true);
            }
            engine.grant(transfer.link, 1);
        }
        Event::Disposition(mut disposition) => while engine.next_disposed(&mut disposition).is_some() {},
        _ => {}
    }
}

/// Moves output to input. A server's open is answered on the way.
fn pump(
    from: &mut Connection,
    to: &mut Connection,
    buffer: &mut BytesMut,
    now: Instant,
    mut on: impl FnMut(&mut Connection, Event),
) {
    let block = take_output(from, buffer);
    let mut pos = 0;
    while let Some(event) = to.handle_input(&block, &mut pos, now) {
        match event {
            Event::Opened(_) => to.open(),
            event => on(to, event),
        }
    }
}

/// The sending engine alone: `send` into its output.
fn send(presettled: bool) -> Result<Operation> {
    let mut pair = Pair::new(Role::Sender, presettled, 1)?;
    let payload = message();
    let head = SendHead { settled: presettled, token: u64::from(!presettled), ..SendHead::default() };
    Ok(blocks(move |n, clock| {
        let (client, link) = (&mut pair.client, pair.client_link);
        let done = clock.time(|| {
            let mut done = true;
            for _ in 0..n {
                done &= client.send(link, &head, &Payload::new(&payload), End::Complete).done;
            }
            client.flush();
            done
        });
        if !done {
            bail!("no credit");
        }
        pump(&mut pair.client, &mut pair.router, &mut pair.buffer, pair.now, accept);
        pair.exchange();
        Ok(())
    }))
}

/// The receiving engine alone: bytes to events.
fn receive(presettled: bool) -> Result<Operation> {
    let mut pair = Pair::new(Role::Sender, presettled, 1)?;
    let payload = message();
    let mut got = Vec::with_capacity(256);
    Ok(blocks(move |n, clock| {
        let block = pair.client_sends(n, &payload, presettled)?;
        got.clear();
        let (router, now) = (&mut pair.router, pair.now);
        clock.time(|| {
            let mut pos = 0;
            while let Some(event) = router.handle_input(&block, &mut pos, now) {
                if let Event::Transfer(transfer) = event {
                    got.push((transfer.delivery_id, transfer.payload(&block).len()));
                }
            }
        });
        if got.len() as u64 != n {
            bail!("{} of {n} deliveries arrived", got.len());
        }
        settle_all(&mut pair, &got, presettled);
        pair.exchange();
        Ok(())
    }))
}

fn settle_all(pair: &mut Pair, ids: &[(u32, usize)], presettled: bool) {
    for &(id, _) in ids {
        if !presettled {
            pair.router.settle_incoming(pair.router_link, id, Some(&DeliveryState::Accepted), true);
        }
        pair.router.grant(pair.router_link, 1);
    }
}

/// The receiver's part in settlement: accept each, one range at the end.
fn settle() -> Result<Operation> {
    let mut pair = Pair::new(Role::Sender, false, 1)?;
    let payload = message();
    let mut got = Vec::with_capacity(256);
    Ok(blocks(move |n, clock| {
        let block = pair.client_sends(n, &payload, false)?;
        got.clear();
        let mut pos = 0;
        while let Some(event) = pair.router.handle_input(&block, &mut pos, pair.now) {
            if let Event::Transfer(transfer) = event {
                got.push((transfer.delivery_id, 0));
            }
        }
        clock.time(|| {
            settle_all(&mut pair, &got, false);
            pair.router.flush();
        });
        pair.exchange();
        Ok(())
    }))
}

/// The sender's part in settlement: a range of dispositions, delivery by delivery.
fn dispositions() -> Result<Operation> {
    let mut pair = Pair::new(Role::Sender, false, 1)?;
    let payload = message();
    Ok(blocks(move |n, clock| {
        let block = pair.client_sends(n, &payload, false)?;
        let mut pos = 0;
        while let Some(event) = pair.router.handle_input(&block, &mut pos, pair.now) {
            accept(&mut pair.router, event);
        }
        let answer = take_output(&mut pair.router, &mut pair.buffer);
        let (client, now) = (&mut pair.client, pair.now);
        let settled = clock.time(|| {
            let (mut pos, mut settled) = (0, 0);
            while let Some(event) = client.handle_input(&answer, &mut pos, now) {
                if let Event::Disposition(mut disposition) = event {
                    while client.next_disposed(&mut disposition).is_some() {
                        settled += 1;
                    }
                }
            }
            settled
        });
        if settled != n {
            bail!("{settled} of {n} deliveries were settled");
        }
        pair.exchange();
        Ok(())
    }))
}
