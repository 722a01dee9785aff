//! A router with many addresses and connections that is asked for all of them while it works.

use std::time::{Duration, Instant};

use amqp_proto::connection::{End, Event, LinkId, Payload, SendHead};
use amqp_proto::message::{Body, Message, Properties};
use amqp_proto::{Address, Attach, Encode as _, Role, Source, SourceTerminus, Target, TargetTerminus, Value};
use anyhow::{Context, Result, bail};
use bytes::Bytes;

use crate::compare::Run;
use crate::compare::amqp::{Paced, paced};
use crate::compare::path::router_program;
use crate::compare::routers::{Network, start};
use crate::load::{IdleClients, Peer};
use crate::table::{Better, Figure, Goal, Results};

const CONNECTIONS: usize = 1_000;
/// Addresses of each connection.
const ADDRESSES: usize = 10;
/// Rows of one answer.
const PAGE: usize = 500;

/// The path with which ours is compared.
const CALM: &str = "nobody asks";

const FIGURES: &[Figure] = &[
    Figure { name: "p50 us", digits: 0, better: Better::Low },
    Figure { name: "p99 us", digits: 0, better: Better::Low },
    Figure { name: "CPU us each", digits: 3, better: Better::Low },
    Figure { name: "QUERY ms", digits: 0, better: Better::Low },
    Figure { name: "rows", digits: 0, better: Better::High },
];

const GOALS: &[(&str, Goal)] = &[
    ("p50 us", Goal::TimesAtMost(1.05, CALM)),
    ("CPU us each", Goal::TimesAtMost(1.05, CALM)),
    ("QUERY ms", Goal::AtMost(1000.0)),
];

/// One pair at half of what it reaches, while the router is asked once in each run for everything, and while it is not.
pub(crate) fn run(run: &Run<'_>) -> Result<Vec<Results>> {
    let Some(program) = router_program(run, "spanway").filter(|_| run.wants("spanway")) else { return Ok(Vec::new()) };
    let routers = start(run, "spanway", &program, Network::One)?;
    let addresses = CONNECTIONS * ADDRESSES;
    let title = format!("half load beside {addresses} addresses and {CONNECTIONS} connections, all of them asked for");
    let mut results = Results::new(&title, FIGURES);
    results.aim(GOALS);
    let many = |index| (0..ADDRESSES).map(|n| format!("many.{index}.{n}")).collect();
    let _clients = IdleClients::open_at(routers.send, CONNECTIONS, many)?;
    let most = paced(run, &routers, 0)?.rate;
    run.progress(&format!("   as fast as it can: {most:.0}/s"));
    let mut asker = Asker::connect(routers.send)?;
    for round in 0..2 * run.runs {
        run.progress(&format!("   management, run {} of {}", round + 1, 2 * run.runs));
        let half = || paced(run, &routers, (most / 2.0) as u32);
        if round % 2 == 0 {
            results.add(CALM, sample(&half()?, f64::NAN, f64::NAN));
            continue;
        }
        std::thread::scope(|scope| -> Result<()> {
            let half = scope.spawn(half);
            // In the middle of the traffic.
            std::thread::sleep(Duration::from_secs(run.seconds) / 2);
            let begin = Instant::now();
            let rows = asker.everything()?;
            let took = begin.elapsed().as_secs_f64() * 1e3;
            let half = half.join().map_err(|_| anyhow::anyhow!("a load thread panicked"))??;
            if rows < addresses + CONNECTIONS {
                bail!("only {rows} rows were told");
            }
            results.add("spanway", sample(&half, took, rows as f64));
            Ok(())
        })?;
    }
    Ok(vec![results])
}

fn sample(half: &Paced, took: f64, rows: f64) -> Vec<f64> {
    vec![half.p50_us, half.p99_us, half.cpu_us, took, rows]
}

/// A client of `$management`.
struct Asker {
    peer: Peer,
    requests: LinkId,
    reply_to: Address,
}

impl Asker {
    fn connect(port: u16) -> Result<Self> {
        let mut peer = Peer::connect(port, "bench-management")?;
        let session = peer.engine.begin()?;
        let answers = Attach {
            name: "answers".into(),
            role: Role::Receiver,
            source: Some(SourceTerminus::from(Source { dynamic: true, ..Source::default() })),
            target: Some(TargetTerminus::from(Target::default())),
            ..Attach::default()
        };
        let answers = peer.engine.attach(session, answers, 1)?;
        peer.engine.grant(answers, 10);
        let requests = Attach {
            name: "requests".into(),
            role: Role::Sender,
            source: Some(SourceTerminus::from(Source::default())),
            target: Some(Target::at("$management").into()),
            ..Attach::default()
        };
        let requests = peer.engine.attach(session, requests, 2)?;
        let mut reply_to = None;
        while reply_to.is_none() {
            peer.write()?;
            let read = peer.read(|_, event, _| {
                if let Event::Attached(attached) = event
                    && let Some(SourceTerminus::Source(source)) = &attached.attach.source
                    && source.dynamic
                {
                    reply_to = source.address.clone();
                }
                Ok(())
            })?;
            if !read {
                peer.wait(Duration::from_millis(100))?;
            }
        }
        Ok(Self { peer, requests, reply_to: reply_to.context("no address for answers")? })
    }

    /// Asks for all entities of which there are many, page by page as tools do, and counts them.
    fn everything(&mut self) -> Result<usize> {
        let mut rows = 0;
        for ty in ["io.skupper.router.router.address", "io.skupper.router.router.link", "io.skupper.router.connection"]
        {
            let mut found = 0;
            loop {
                let page = self.page(ty, found)?;
                found += page;
                if page < PAGE {
                    break;
                }
            }
            rows += found;
        }
        Ok(rows)
    }

    /// How many entities of a type there are from `offset` on, [`PAGE`] at most.
    fn page(&mut self, ty: &str, offset: usize) -> Result<usize> {
        let number = |number: usize| Value::Int(i32::try_from(number).unwrap_or(i32::MAX));
        let attributes = vec![("attributeNames".into(), Value::List(Vec::new()))];
        let request = Message {
            properties: Some(Properties { reply_to: Some(self.reply_to.clone()), ..Properties::default() }),
            application_properties: Some(Value::Map(vec![
                ("operation".into(), "QUERY".into()),
                ("entityType".into(), ty.into()),
                ("count".into(), number(PAGE)),
                ("offset".into(), number(offset)),
            ])),
            body: Body::Value(Value::Map(attributes)),
            ..Message::default()
        };
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        let (bytes, head) = (Bytes::from(bytes), SendHead { settled: true, ..SendHead::default() });
        let (mut taken, mut sent, mut answer, mut whole) = (0, false, Vec::new(), false);
        let limit = Instant::now() + Duration::from_secs(30);
        while !whole {
            if !sent {
                let rest = bytes.slice(taken..);
                let part = self.peer.engine.send(self.requests, &head, &Payload::new(&rest), End::Complete);
                taken += part.taken;
                sent = part.done;
            }
            self.peer.write()?;
            let read = self.peer.read(|engine, event, block| {
                if let Event::Transfer(transfer) = event {
                    answer.extend_from_slice(transfer.payload(block).as_slice());
                    if !transfer.more {
                        whole = true;
                        engine.grant(transfer.link, 1);
                    }
                }
                Ok(())
            })?;
            if !read {
                self.peer.wait(Duration::from_millis(100))?;
            }
            if Instant::now() > limit {
                bail!("the agent did not answer within 30 s");
            }
        }
        let Body::Value(Value::Map(body)) = Message::decode(&answer.into())?.body else {
            bail!("the answer is no map")
        };
        let results = body.iter().find(|(key, _)| key.as_str() == Some("results"));
        match results {
            Some((_, Value::List(rows))) => Ok(rows.len()),
            _ => bail!("there are no results in the answer"),
        }
    }
}
