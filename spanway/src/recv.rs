//! `spanway recv`.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use amqp_proto::connection::{Connection, Event, LinkId, Transfer};
use amqp_proto::message::{PropertiesView, SectionKind};
use amqp_proto::{
    Attach, Decode as _, DeliveryState, Error, Fields, Raw, Reader, Role, SenderSettleMode, Source, SourceTerminus,
    Str, Target, TargetTerminus, Timestamp, Value, condition,
};
use anyhow::{Result, anyhow, bail};
use bytes::Bytes;

use crate::cli::messaging::RecvArgs;
use crate::client::body::{BodyError, BodyParser, Piece};
use crate::client::report::{Amount, Count, Histogram, Progress, Size, note, rates};
use crate::client::show;
use crate::client::writer::{Batch, Op, Writer, Written};
use crate::client::{Client, Interrupts, block_on, sleep_until};
use crate::send::SENT_AT;

/// Index of `creation-time` in properties (AMQP 1.0 §3.2.4).
const CREATION_TIME: u32 = 9;
/// How long Ctrl-C waits for what is being written.
const END_LIMIT: Duration = Duration::from_secs(2);

/// Does what the command line asks.
pub(crate) fn run(args: &RecvArgs) -> Result<()> {
    args.connect.check_or_exit();
    block_on(recv(args))
}

/// Why it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// As many as wanted.
    Counted,
    /// Nothing came for long.
    TimedOut,
    /// By a signal.
    Interrupted,
    /// Nobody reads the standard output any more.
    Unread,
}

#[derive(Debug)]
struct Receiver<'a> {
    args: &'a RecvArgs,
    link: LinkId,
    writer: Option<Writer>,
    batch: Batch,
    parser: BodyParser,
    /// The rest of the message is of no use: it is malformed.
    broken: Option<BodyError>,
    /// Encoded properties and annotations of the message, for its latency.
    created: Option<u64>,
    attached: bool,
    /// Deliveries that were promised credit.
    granted: u64,
    /// Messages that are complete, written or not.
    received: u64,
    /// Written and accepted.
    done: u64,
    /// Content of all messages, and of those that are not complete.
    bytes: u64,
    partial: u64,
    aborted: u64,
    malformed: u64,
    latencies: Histogram,
    first: Option<Instant>,
    last: Instant,
    active: Instant,
    failure: Option<anyhow::Error>,
    ended: Option<Ended>,
}

async fn recv(args: &RecvArgs) -> Result<()> {
    let mut interrupts = Interrupts::new()?;
    let mut client = tokio::select! {
        client = Client::connect(&args.connect, "recv") => client?,
        () = interrupts.wait() => bail!("interrupted before the connection was open"),
    };
    // Now, so that a file is not emptied where there is no router.
    let writer = args.place().map(|place| Writer::start(&place)).transpose()?;
    let session = client.engine.begin()?;
    let attach = Attach {
        name: Str::from(format!("spanway-recv-{}", args.address)),
        role: Role::Receiver,
        snd_settle_mode: SenderSettleMode::Mixed,
        source: Some(SourceTerminus::from(Source::at(&args.address))),
        target: Some(TargetTerminus::from(Target::default())),
        ..Attach::default()
    };
    let link = client.engine.attach(session, attach, 0)?;
    let now = Instant::now();
    let mut receiver = Receiver {
        args,
        link,
        writer,
        batch: Batch::default(),
        parser: BodyParser::default(),
        broken: None,
        created: None,
        attached: false,
        granted: 0,
        received: 0,
        done: 0,
        bytes: 0,
        partial: 0,
        aborted: 0,
        malformed: 0,
        latencies: Histogram::default(),
        first: None,
        last: now,
        active: now,
        failure: None,
        ended: None,
    };
    let mut progress = Progress::new(args.file.is_some());
    let outcome = receiver.drive(&mut client, &mut interrupts, &mut progress).await;
    progress.clear();
    // The dispositions of what was written go before the close.
    let limit = if outcome.is_ok() { Duration::from_secs(6) } else { Duration::from_secs(1) };
    let closed = tokio::time::timeout(limit, client.close()).await.unwrap_or(Ok(()));
    if let Some(writer) = receiver.writer.take() {
        writer.finish();
    }
    if outcome.as_ref().is_ok_and(|ended| *ended == Ended::Unread) {
        return Ok(());
    }
    receiver.report();
    let ended = outcome?;
    receiver.verdict(ended)?;
    closed
}

impl Receiver<'_> {
    async fn drive(
        &mut self,
        client: &mut Client,
        interrupts: &mut Interrupts,
        progress: &mut Progress,
    ) -> Result<Ended> {
        let mut end_by = None;
        loop {
            let read = client.read(|engine, event, block| self.on_event(engine, event, block));
            self.hand_over();
            read?;
            while let Some(written) = self.writer.as_mut().and_then(Writer::try_written) {
                self.on_written(&mut client.engine, written);
            }
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            if self.ended.is_none() && self.args.count.is_some_and(|count| self.done >= count) {
                self.ended = Some(Ended::Counted);
            }
            client.write();
            let now = Instant::now();
            if let Some(ended) = self.ended {
                let end_by = *end_by.get_or_insert(now + END_LIMIT);
                let idle = ended == Ended::Unread || self.writer.as_ref().is_none_or(Writer::is_idle);
                if idle || now >= end_by {
                    return Ok(ended);
                }
            }
            progress.tell(Amount { messages: self.received, bytes: self.bytes }, None);
            let timeout = self.times_out();
            if timeout.is_some_and(|at| at <= now) {
                if !self.attached {
                    bail!("the router did not answer within {:?}", self.args.connect.timeout.unwrap_or_default());
                }
                self.ended.get_or_insert(Ended::TimedOut);
                continue;
            }
            let wake = [timeout, progress.next(), end_by].into_iter().flatten().min();
            let written = async {
                match &mut self.writer {
                    Some(writer) => writer.written().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = interrupts.wait() => {
                    if self.ended.replace(Ended::Interrupted) == Some(Ended::Interrupted) {
                        return Ok(Ended::Interrupted);
                    }
                }
                written = written => self.on_written(&mut client.engine, written),
                () = client.ready() => {}
                () = sleep_until(wake) => {}
            }
        }
    }

    fn on_event(&mut self, engine: &mut Connection, event: Event, block: &Bytes) -> Result<()> {
        match event {
            Event::Attached(attached) if attached.attach.source.is_some() => {
                self.attached = true;
                self.active = Instant::now();
                let credit = u64::from(self.args.credit);
                self.grant(engine, credit);
            }
            Event::Detached { error, .. } => {
                let what = if self.attached { "ended the link from" } else { "refuses to give messages of" };
                match error {
                    Some(error) => bail!("the router {what} {}: {error}", self.args.address),
                    None => bail!("the router {what} {}", self.args.address),
                }
            }
            Event::Transfer(transfer) => self.on_transfer(engine, &transfer, block),
            _ => {}
        }
        Ok(())
    }

    /// Lets the router send more, though never more than --count asks for.
    fn grant(&mut self, engine: &mut Connection, more: u64) {
        if self.ended.is_some() {
            return;
        }
        let left = self.args.count.map_or(u64::MAX, |count| count.saturating_sub(self.granted));
        let more = u32::try_from(more.min(left)).unwrap_or(u32::MAX);
        if more > 0 {
            self.granted += u64::from(more);
            engine.grant(self.link, more);
        }
    }

    fn on_transfer(&mut self, engine: &mut Connection, transfer: &Transfer, block: &Bytes) {
        let now = Instant::now();
        self.active = now;
        if self.ended.is_some() {
            // Not accepted, so the router gives it to somebody else.
            return;
        }
        self.first.get_or_insert(now);
        let payload = transfer.payload(block);
        if transfer.first {
            self.parser = BodyParser::default();
            self.broken = None;
            self.created = None;
            self.partial = 0;
        }
        if transfer.aborted {
            self.aborted += 1;
            note(format_args!("a message was aborted by its sender, and is not counted"));
            self.take_back(engine);
            return;
        }
        if self.broken.is_none() {
            if self.writer.is_some() {
                engine.hold(self.link, payload.len());
                self.batch.held += payload.len();
            }
            self.broken = self.feed(transfer, payload.to_bytes()).err();
        }
        if transfer.more {
            return;
        }
        if self.broken.is_none() {
            self.broken = if transfer.message_format == 0 { self.parser.finish().err() } else { None };
        }
        if let Some(error) = self.broken.take() {
            self.malformed += 1;
            note(format_args!("{error}; it is rejected, and not counted"));
            let why = Error::new(condition::DECODE_ERROR, error.to_string());
            engine.settle_incoming(self.link, transfer.delivery_id, Some(&DeliveryState::rejected(Some(&why))), true);
            self.take_back(engine);
            return;
        }
        self.received += 1;
        self.partial = 0;
        self.last = now;
        if let Some(created) = self.created.take().filter(|_| self.args.summary) {
            self.latencies.add(micros_now().saturating_sub(created));
        }
        if self.writer.is_some() {
            self.batch.ops.push(Op::End(transfer.delivery_id));
        } else {
            self.accept(engine, transfer.delivery_id);
        }
    }

    /// Passes content on to the writer.
    fn feed(&mut self, transfer: &Transfer, payload: Bytes) -> Result<(), BodyError> {
        let Self { parser, batch, created, bytes, partial, writer, args, .. } = self;
        let wanted = writer.is_some();
        let mut content = |part: Bytes| {
            *bytes += part.len() as u64;
            *partial += part.len() as u64;
            if wanted {
                batch.ops.push(Op::Content(part));
            }
        };
        if transfer.message_format != 0 {
            // Of other formats nothing is known (AMQP 1.0 §2.8.11).
            content(payload);
            return Ok(());
        }
        let mut shown = Vec::new();
        parser.feed(payload, &mut |piece| match piece {
            Piece::Content(part) => content(part),
            Piece::Whole(kind, encoded) if kind.is_body() => shown.push(readable(encoded)),
            Piece::Whole(kind, encoded) if args.summary => *created = created_at(kind, encoded).or(*created),
            Piece::Whole(..) => {}
            Piece::TooLarge(kind, size) => {
                shown.push(format!("({} of {}: too large to be shown)", kind.name(), Size(size as f64)));
            }
        })?;
        if wanted {
            self.batch.ops.extend(shown.into_iter().map(Op::Shown));
        }
        Ok(())
    }

    /// Forgets the message that was begun; another may come in its place.
    fn take_back(&mut self, engine: &mut Connection) {
        if self.writer.is_some() {
            self.batch.ops.push(Op::Abort);
        }
        self.bytes -= std::mem::take(&mut self.partial).min(self.bytes);
        self.granted = self.granted.saturating_sub(1);
        self.grant(engine, 1);
    }

    fn accept(&mut self, engine: &mut Connection, delivery_id: u32) {
        engine.settle_incoming(self.link, delivery_id, Some(&DeliveryState::Accepted), true);
        self.done += 1;
        self.grant(engine, 1);
    }

    fn hand_over(&mut self) {
        if (self.batch.held > 0 || !self.batch.ops.is_empty())
            && let Some(writer) = &mut self.writer
        {
            writer.put(std::mem::take(&mut self.batch));
        }
    }

    fn on_written(&mut self, engine: &mut Connection, written: Written) {
        self.active = Instant::now();
        engine.release(self.link, written.held);
        for delivery_id in written.done {
            self.accept(engine, delivery_id);
        }
        match written.error {
            Some(_) if written.unread => self.ended = Some(Ended::Unread),
            Some(error) => self.failure = Some(error),
            None => {}
        }
    }

    fn times_out(&self) -> Option<Instant> {
        let timeout = self.args.connect.timeout?;
        self.ended.is_none().then(|| self.active + timeout)
    }

    fn report(&self) {
        let bytes = self.bytes.saturating_sub(self.partial);
        let amount = Amount { messages: self.done, bytes };
        let time = self.first.map_or(Duration::ZERO, |first| self.last.saturating_duration_since(first));
        if self.args.summary {
            note(format_args!("received {}", rates(amount, time)));
            if self.aborted + self.malformed > 0 {
                note(format_args!("not counted: {} aborted, {} malformed", self.aborted, self.malformed));
            }
            note(format_args!("{}", self.latencies));
        } else if let Some(path) = self.args.file.as_ref().filter(|_| !self.args.quiet) {
            let place = if path.as_os_str() == "-" { "the standard output".into() } else { path.to_string_lossy() };
            note(format_args!("wrote {}, {} to {place}", Count(self.done, "message"), Size(bytes as f64)));
        }
    }

    fn verdict(&self, ended: Ended) -> Result<()> {
        let (address, done) = (&self.args.address, self.done);
        let time = self.args.connect.timeout.unwrap_or_default();
        match (ended, self.args.count) {
            (Ended::TimedOut, None) if done == 0 => Err(anyhow!("no message for {address} within {time:?}")),
            (Ended::TimedOut, Some(count)) => {
                Err(anyhow!("{done} of {} for {address}, then none within {time:?}", Count(count, "message")))
            }
            (Ended::Interrupted, Some(count)) if done < count => {
                Err(anyhow!("interrupted after {done} of {}", Count(count, "message")))
            }
            _ => Ok(()),
        }
    }
}

fn micros_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

/// When the message was made, in microseconds since 1970, as this section has it.
fn created_at(kind: SectionKind, encoded: Bytes) -> Option<u64> {
    match kind {
        SectionKind::MessageAnnotations => {
            let fields = Fields::decode(&mut Reader::new(&encoded)).ok()?;
            match fields.get(SENT_AT)?.to_value().ok()? {
                Value::Ulong(micros) => Some(micros),
                _ => None,
            }
        }
        _ => {
            let field = PropertiesView::new(&encoded).field(CREATION_TIME).ok()??;
            let raw = Raw::new(Bytes::copy_from_slice(field)).ok()?;
            let Value::Timestamp(Timestamp(millis)) = raw.to_value().ok()? else {
                return None;
            };
            u64::try_from(millis).ok()?.checked_mul(1000)
        }
    }
}

/// A body that is neither binary nor text.
fn readable(encoded: Bytes) -> String {
    match Raw::new(encoded).and_then(|raw| raw.to_value()) {
        Ok(value) => show::value(&value),
        Err(error) => format!("(a value that cannot be read: {error})"),
    }
}
