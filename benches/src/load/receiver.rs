//! A receiving connection.

use std::net::TcpListener;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use amqp_proto::connection::{Connection, Event};
use amqp_proto::message::data_header;
use amqp_proto::{Attach, DeliveryState, Role, SenderSettleMode, Source, Str, Target, TargetTerminus};
use anyhow::Result;
use bytes::Bytes;

use crate::load::peer::Peer;
use crate::load::{Options, Report, clock_nanos};

/// How long nothing may come after something came.
const SILENCE: Duration = Duration::from_secs(1);

struct Receiver<'a> {
    options: &'a Options,
    report: Report,
    ready: bool,
    /// Where the time stands in a message.
    time_at: usize,
}

impl Receiver<'_> {
    fn on_event(&mut self, engine: &mut Connection, event: Event, block: &Bytes) {
        match event {
            Event::Attached(attached) => {
                if !attached.answer {
                    let answer = attached.answer(attached.attach.source.clone(), attached.attach.target.clone());
                    engine.accept_attach(attached.link, answer, 1);
                }
                engine.grant(attached.link, self.options.credit);
                self.ready = true;
            }
            Event::Transfer(transfer) => {
                if transfer.first && self.options.rate > 0 {
                    self.latency(transfer.payload(block).as_slice());
                }
                if transfer.more || transfer.aborted {
                    return;
                }
                self.report.count += 1;
                if !transfer.settled {
                    engine.settle_incoming(transfer.link, transfer.delivery_id, Some(&DeliveryState::Accepted), true);
                }
                engine.grant(transfer.link, 1);
            }
            _ => {}
        }
    }

    fn latency(&mut self, payload: &[u8]) {
        let time = payload.get(self.time_at..self.time_at + 8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes);
        if let Some(time) = time {
            let micros = clock_nanos().saturating_sub(time) / 1000;
            self.report.latencies.push(u32::try_from(micros).unwrap_or(u32::MAX));
        }
    }
}

/// Receives until nothing comes any more.
pub(crate) fn run(options: &Options, index: u32, listener: Option<TcpListener>, ready: &Sender<()>) -> Result<Report> {
    let name = format!("bench-recv-{index}");
    let mut peer = match listener {
        Some(listener) => {
            ready.send(())?;
            Peer::accept(&listener, &name)?
        }
        None => {
            let mut peer = Peer::connect(options.port, &name)?;
            let session = peer.engine.begin()?;
            let attach = Attach {
                name: Str::from(format!("recv-{index}")),
                role: Role::Receiver,
                snd_settle_mode: SenderSettleMode::Mixed,
                source: Some(Source::at(&options.address(index)).into()),
                target: Some(TargetTerminus::from(Target::default())),
                ..Attach::default()
            };
            peer.engine.attach(session, attach, 1)?;
            peer
        }
    };
    let time_at = data_header(options.size.max(16)).1;
    let mut receiver = Receiver { options, report: Report::default(), ready: false, time_at };
    let mut told = options.listen;
    let limit = Instant::now() + Duration::from_secs(options.seconds + 30);
    loop {
        let before = receiver.report.count;
        let read = peer.read(|engine, event, block| {
            receiver.on_event(engine, event, block);
            Ok(())
        });
        let read = match read {
            // The sending side of a direct run closes when it is done.
            Err(_) if options.listen && receiver.report.count > 0 => break,
            read => read?,
        };
        let now = Instant::now();
        if receiver.report.count > before {
            receiver.report.first.get_or_insert(now);
            receiver.report.last = Some(now);
        }
        if receiver.ready && !told {
            told = true;
            ready.send(())?;
        }
        peer.write()?;
        if receiver.report.last.is_some_and(|last| now - last > SILENCE) || now > limit || peer.engine.is_closed() {
            break;
        }
        if !read {
            peer.wait(Duration::from_millis(50))?;
        }
    }
    let report = receiver.report;
    if !options.listen {
        peer.close()?;
    }
    Ok(report)
}
