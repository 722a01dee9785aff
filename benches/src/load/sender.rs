//! A sending connection.

use std::time::{Duration, Instant};

use amqp_proto::connection::{Connection, End, Event, LinkId, Payload, SendHead};
use amqp_proto::message::data_header;
use amqp_proto::{Attach, Role, SenderSettleMode, Source, SourceTerminus, Str, Target};
use anyhow::Result;
use bytes::Bytes;

use crate::load::peer::{OUTPUT, Peer};
use crate::load::{Options, Report, clock_nanos};

/// A message of `size` bytes of data that begins with the time.
fn message(size: usize) -> Bytes {
    let (header, len) = data_header(u32::try_from(size).unwrap_or(u32::MAX));
    let mut bytes = Vec::with_capacity(len + size);
    bytes.extend_from_slice(&header[..len]);
    bytes.extend_from_slice(&clock_nanos().to_le_bytes());
    bytes.resize(len + size, b'x');
    bytes.into()
}

fn on_event(engine: &mut Connection, event: Event) {
    match event {
        Event::Disposition(mut disposition) => {
            while let Some(disposed) = engine.next_disposed(&mut disposition) {
                if !disposition.settled {
                    engine.settle_outgoing(disposed.link, disposed.delivery_id, disposition.state.as_ref(), true);
                }
            }
        }
        // As the generator's own other side would: whoever drains us has nothing to get.
        Event::Credit { link, drain: true, .. } => engine.drained(link),
        _ => {}
    }
}

/// Sends until the time is up, then waits for what is unsettled.
pub(crate) fn run(options: &Options, index: u32) -> Result<Report> {
    let mut peer = Peer::connect(options.port, &format!("bench-send-{index}"))?;
    let session = peer.engine.begin()?;
    let mode = if options.presettled { SenderSettleMode::Settled } else { SenderSettleMode::Unsettled };
    let attach = Attach {
        name: Str::from(format!("send-{index}")),
        role: Role::Sender,
        snd_settle_mode: mode,
        source: Some(SourceTerminus::from(Source::default())),
        target: Some(Target::at(&options.address(index)).into()),
        ..Attach::default()
    };
    let link = peer.engine.attach(session, attach, 1)?;
    let size = options.size.max(16) as usize;
    let shared = message(size);
    let head = SendHead { settled: options.presettled, ..SendHead::default() };
    let mut report = Report::default();
    let mut pace = (options.rate > 0).then(|| (Instant::now(), Duration::from_secs(1) / options.rate));
    let mut deadline = None;
    loop {
        let read = peer.read(|engine, event, _| {
            on_event(engine, event);
            Ok(())
        })?;
        let now = Instant::now();
        if deadline.is_none() && peer.engine.room(link) > 0 {
            deadline = Some(now + Duration::from_secs(options.seconds));
        }
        if deadline.is_some_and(|at| now >= at) {
            break;
        }
        let sent = match &mut pace {
            None => fill(&mut peer, link, &head, &shared),
            Some((next, step)) => {
                let mut sent = 0;
                while *next <= now && peer.engine.room(link) > 0 {
                    let _ = peer.engine.send(link, &head, &Payload::new(&message(size)), End::Complete);
                    *next += *step;
                    sent += 1;
                }
                sent
            }
        };
        report.count += sent;
        peer.write()?;
        if !read && sent == 0 {
            let limit = pace.as_ref().map_or(Duration::from_millis(100), |(next, _)| {
                next.saturating_duration_since(now).clamp(Duration::from_micros(20), Duration::from_millis(100))
            });
            peer.wait(limit)?;
        }
    }
    let limit = Instant::now() + Duration::from_secs(5);
    while (peer.engine.unsettled(link) > 0 || !peer.is_written()) && Instant::now() < limit {
        peer.write()?;
        let read = peer.read(|engine, event, _| {
            on_event(engine, event);
            Ok(())
        })?;
        if !read {
            peer.wait(Duration::from_millis(20))?;
        }
    }
    peer.close()?;
    report.first = None;
    Ok(report)
}

/// Sends the same message as often as credit and the output allow.
fn fill(peer: &mut Peer, link: LinkId, head: &SendHead, message: &Bytes) -> u64 {
    let payload = Payload::new(message);
    let mut sent = 0;
    while peer.engine.output().len() < OUTPUT && peer.engine.room(link) > 0 {
        if !peer.engine.send(link, head, &payload, End::Complete).done {
            break;
        }
        sent += 1;
    }
    sent
}
