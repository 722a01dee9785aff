//! `spanway send`.

mod tally;

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use amqp_proto::connection::{Connection, Disposition, End, Event, LinkId, Payload, SendHead};
use amqp_proto::message::{Message, MessageHeader, Properties};
use amqp_proto::{
    Attach, Encode as _, Fields, Role, SenderSettleMode, Source, SourceTerminus, Str, Target, TargetTerminus,
    Timestamp, Value,
};
use anyhow::{Result, anyhow, bail};
use bytes::Bytes;

use crate::cli::messaging::SendArgs;
use crate::client::input::{Input, Part};
use crate::client::report::{Amount, Count, Progress, Size, note, rates};
use crate::client::{Client, Interrupts, OUTPUT, block_on, sleep_until};
use tally::Tally;

/// Message annotation with the microseconds since 1970 at which a message was sent, for latencies that `recv` measures.
pub(crate) const SENT_AT: &str = "x-opt-spanway-sent";
/// Without credit for so long, people are told why nothing happens.
const PATIENCE: Duration = Duration::from_secs(1);
/// How far a sender that was held up may exceed its rate afterwards.
const CATCH_UP: Duration = Duration::from_millis(100);
/// Parts up to this size are joined with what stands in front of the body.
const JOIN: usize = 16 * 1024;

/// Does what the command line asks.
pub(crate) fn run(args: &SendArgs) -> Result<()> {
    args.connect.check_or_exit();
    block_on(send(args))
}

/// The message that is being sent.
#[derive(Debug)]
struct Current {
    head: SendHead<'static>,
    parts: VecDeque<Bytes>,
    /// Its last part is in `parts` or was sent.
    complete: bool,
    /// Its id, when its first frame was sent.
    delivery_id: Option<u32>,
    /// It is settled already, so nobody wants the rest.
    unwanted: bool,
}

/// At most so many a second.
#[derive(Debug)]
struct Pace {
    step: Duration,
    next: Option<Instant>,
}

impl Pace {
    /// When the next message is due.
    fn due(&self) -> Option<Instant> {
        self.next
    }

    fn sent(&mut self, now: Instant) {
        let earliest = now.checked_sub(CATCH_UP).unwrap_or(now);
        self.next = Some(self.next.map_or(now, |next| next.max(earliest)) + self.step);
    }
}

#[derive(Debug)]
struct Sender<'a> {
    args: &'a SendArgs,
    link: LinkId,
    input: Input,
    current: Option<Current>,
    pace: Option<Pace>,
    tally: Tally,
    amount: Amount,
    /// The router accepted the link.
    attached: bool,
    drain: bool,
    /// What could be sent ended before credit and window did.
    hungry: bool,
    start: Instant,
    /// First and last message, for rates.
    first: Option<Instant>,
    last: Instant,
    /// When something happened that --timeout waits for.
    active: Instant,
    /// Since when there is no credit for what could be sent.
    stuck: Option<Instant>,
    told: bool,
    interrupted: bool,
}

async fn send(args: &SendArgs) -> Result<()> {
    let mut interrupts = Interrupts::new()?;
    let input = Input::open(&args.what(), args.count)?;
    let mut client = tokio::select! {
        client = Client::connect(&args.connect, "send") => client?,
        () = interrupts.wait() => bail!("interrupted before the connection was open"),
    };
    let session = client.engine.begin()?;
    let attach = Attach {
        name: Str::from(format!("spanway-send-{}", args.address)),
        role: Role::Sender,
        snd_settle_mode: if args.presettled { SenderSettleMode::Settled } else { SenderSettleMode::Unsettled },
        source: Some(SourceTerminus::from(Source::default())),
        target: Some(TargetTerminus::from(Target::at(&args.address))),
        ..Attach::default()
    };
    let link = client.engine.attach(session, attach, 0)?;
    let now = Instant::now();
    let mut sender = Sender {
        args,
        link,
        input,
        current: None,
        pace: args.rate.map(|rate| Pace { step: Duration::from_secs_f64((1.0 / rate).min(1e9)), next: None }),
        tally: Tally::default(),
        amount: Amount::default(),
        attached: false,
        drain: false,
        hungry: false,
        start: now,
        first: None,
        last: now,
        active: now,
        stuck: None,
        told: false,
        interrupted: false,
    };
    let mut progress = Progress::new(!args.quiet);
    let outcome = sender.drive(&mut client, &mut interrupts, &mut progress).await;
    progress.clear();
    let unsettled = u64::from(client.engine.unsettled(link));
    let closed = match &outcome {
        Ok(()) => client.close().await,
        // Whatever is wrong was told; the router may know already.
        Err(_) => tokio::time::timeout(Duration::from_secs(1), client.close()).await.map(drop).map_or(Ok(()), Ok),
    };
    sender.report(unsettled);
    outcome?;
    if let Some(error) = sender.input.failure() {
        return Err(error);
    }
    // Only of presettled messages is this the first that is heard.
    if args.presettled {
        closed?;
    }
    if sender.interrupted {
        bail!("interrupted: {} sent, {unsettled} of them not settled", Count(sender.amount.messages, "message"));
    }
    sender.tally.verdict(&args.address)
}

impl Sender<'_> {
    async fn drive(&mut self, client: &mut Client, interrupts: &mut Interrupts, progress: &mut Progress) -> Result<()> {
        loop {
            client.read(|engine, event, _| self.on_event(engine, event))?;
            self.fill(&mut client.engine, progress);
            let full = client.engine.output().len() >= OUTPUT;
            client.write();
            // The socket took it all, so it will not wake us. Nor will input that came since it was missed.
            let at_once = full && client.is_written() || self.hungry && self.input.has_next();
            if self.is_done(client) {
                return Ok(());
            }
            self.complain(&client.engine, progress);
            progress.tell(self.amount, self.input.total);
            let now = Instant::now();
            let timeout = self.times_out(&client.engine);
            if timeout.is_some_and(|at| at <= now) {
                return Err(self.timed_out(&client.engine));
            }
            let may_begin = self.current.is_none() && client.engine.room(self.link) > 0 && self.input.has_next();
            let due = self.pace.as_ref().and_then(Pace::due).filter(|_| may_begin);
            let wake = [timeout, due, progress.next(), self.complains_at()].into_iter().flatten().min();
            let wants_input = !self.input.is_over() && !self.input.has_next();
            tokio::select! {
                biased;
                () = interrupts.wait() => {
                    if std::mem::replace(&mut self.interrupted, true) {
                        return Ok(());
                    }
                    self.interrupt(&mut client.engine);
                }
                () = tokio::task::yield_now(), if at_once => {}
                () = client.ready() => {}
                () = self.input.wait(), if wants_input => self.active = Instant::now(),
                () = sleep_until(wake) => {}
            }
        }
    }

    fn on_event(&mut self, engine: &mut Connection, event: Event) -> Result<()> {
        match event {
            // Without our target, the router's reason follows as a detach.
            Event::Attached(attached) => self.attached = attached.attach.target.is_some(),
            Event::Credit { drain, .. } => {
                self.drain = drain;
                self.active = Instant::now();
            }
            Event::Disposition(disposition) => self.on_disposition(engine, disposition),
            Event::Detached { error, .. } => {
                let what = if self.attached { "ended the link to" } else { "refuses to take messages for" };
                match error {
                    Some(error) => bail!("the router {what} {}: {error}", self.args.address),
                    None => bail!("the router {what} {}", self.args.address),
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn on_disposition(&mut self, engine: &mut Connection, mut disposition: Disposition) {
        self.active = Instant::now();
        let state = disposition.state.clone();
        let settled = disposition.settled;
        let over =
            disposition.outgoing && (settled || state.as_ref().is_some_and(amqp_proto::DeliveryState::is_terminal));
        let now = self.micros();
        while let Some(disposed) = engine.next_disposed(&mut disposition) {
            if !over {
                continue;
            }
            if !settled {
                engine.settle_outgoing(disposed.link, disposed.delivery_id, state.as_ref(), true);
            }
            self.last = self.active;
            self.tally.add(state.as_ref());
            if self.args.summary {
                self.tally.latencies.add(now.saturating_sub(disposed.token));
            }
            if let Some(current) = self.current.as_mut().filter(|c| c.delivery_id == Some(disposed.delivery_id)) {
                current.unwanted = true;
            }
        }
    }

    /// Microseconds since the start: what deliveries are named by.
    fn micros(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Sends as much as there is, as the router and the socket take.
    fn fill(&mut self, engine: &mut Connection, progress: &mut Progress) {
        let now = Instant::now();
        self.hungry = false;
        while engine.output().len() < OUTPUT && !self.interrupted {
            if self.current.is_none() && !self.begin(engine, now, progress) {
                break;
            }
            if !self.go_on(engine, now) {
                break;
            }
        }
        if self.drain && self.current.is_none() && engine.output().len() < OUTPUT {
            // What could be sent was sent.
            self.drain = false;
            engine.drained(self.link);
        }
    }

    /// Begins the next message if there is one, it is due, and there is credit.
    fn begin(&mut self, engine: &Connection, now: Instant, progress: &mut Progress) -> bool {
        if self.pace.as_ref().and_then(Pace::due).is_some_and(|due| due > now) || engine.room(self.link) == 0 {
            return false;
        }
        let Some(part) = self.input.take() else {
            self.hungry = true;
            return false;
        };
        self.stuck = None;
        if std::mem::take(&mut self.told) {
            progress.clear();
            note(format_args!("going on: there is a consumer for {}", self.args.address));
        }
        if let Some(pace) = &mut self.pace {
            pace.sent(now);
        }
        self.first.get_or_insert(now);
        let mut front = Vec::new();
        self.front().encode(&mut front);
        let mut current = Current {
            head: SendHead { settled: self.args.presettled, token: self.micros(), ..SendHead::default() },
            parts: VecDeque::new(),
            complete: part.last,
            delivery_id: None,
            unwanted: false,
        };
        if part.bytes.len() <= JOIN {
            front.extend_from_slice(&part.bytes);
            current.parts.push_back(front.into());
        } else {
            current.parts.extend([front.into(), part.bytes]);
        }
        self.amount.bytes += part.content as u64;
        self.current = Some(current);
        true
    }

    /// The sections in front of the body.
    fn front(&self) -> Message {
        let args = self.args;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let header = (args.durable || args.priority.is_some()).then(|| MessageHeader {
            durable: args.durable,
            priority: args.priority.unwrap_or_else(|| MessageHeader::default().priority),
            ..MessageHeader::default()
        });
        let micros = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        Message {
            header,
            message_annotations: args.summary.then(|| Fields::from_entries([(SENT_AT, Value::Ulong(micros))])),
            properties: Some(Properties {
                creation_time: Some(Timestamp(i64::try_from(now.as_millis()).unwrap_or(i64::MAX))),
                ..Properties::default()
            }),
            ..Message::default()
        }
    }

    /// Sends more of the message that was begun. True if it is complete.
    fn go_on(&mut self, engine: &mut Connection, now: Instant) -> bool {
        let Some(mut current) = self.current.take() else {
            return false;
        };
        loop {
            if current.unwanted {
                return self.give_up(engine, current);
            }
            let Some(bytes) = current.parts.front_mut() else {
                match self.input.take() {
                    Some(Part { bytes, content, last }) => {
                        self.amount.bytes += content as u64;
                        current.complete = last;
                        current.parts.push_back(bytes);
                        continue;
                    }
                    // The source failed: what was sent is no message.
                    None if self.input.is_over() => {
                        if engine.send(self.link, &current.head, &Payload::empty(), End::Aborted).done {
                            return false;
                        }
                        break;
                    }
                    None => {
                        self.hungry = true;
                        break;
                    }
                }
            };
            let block = bytes.clone();
            let last = current.complete && current.parts.len() == 1;
            let end = if last { End::Complete } else { End::More };
            let sent = engine.send(self.link, &current.head, &Payload::new(&block), end);
            if sent.started {
                current.delivery_id = Some(sent.delivery_id);
            }
            if sent.taken > 0 || sent.done {
                self.active = now;
                self.last = now;
            }
            if !sent.done {
                if let Some(bytes) = current.parts.front_mut() {
                    *bytes = block.slice(sent.taken..);
                }
                break;
            }
            current.parts.pop_front();
            if last {
                self.amount.messages += 1;
                return true;
            }
            if engine.output().len() >= OUTPUT {
                break;
            }
        }
        self.current = Some(current);
        false
    }

    /// Ends a message that was settled before it was complete. True if the next one may begin.
    fn give_up(&mut self, engine: &mut Connection, mut current: Current) -> bool {
        current.parts.clear();
        // Once it is aborted, doing so again does nothing.
        if !engine.send(self.link, &current.head, &Payload::empty(), End::Aborted).done {
            self.current = Some(current);
            return false;
        }
        // Whatever is settled counts as sent, so the numbers match.
        self.input.skip(self.amount.messages);
        while !current.complete {
            let Some(part) = self.input.take() else {
                self.hungry = true;
                if !self.input.is_over() {
                    self.current = Some(current);
                }
                return false;
            };
            current.complete = part.last;
        }
        self.amount.messages += 1;
        true
    }

    fn interrupt(&mut self, engine: &mut Connection) {
        if let Some(current) = self.current.take() {
            let _ = engine.send(self.link, &current.head, &Payload::empty(), End::Aborted);
        }
        self.input.stop();
    }

    fn is_done(&self, client: &Client) -> bool {
        let sent = self.input.is_over() && self.current.is_none() && client.is_written();
        sent && self.attached && (self.interrupted || client.engine.unsettled(self.link) == 0)
            || self.interrupted && client.is_written()
    }

    /// True if the next step is the router's.
    fn waits(&mut self, engine: &Connection) -> bool {
        !self.attached || self.current.is_some() || engine.unsettled(self.link) > 0 || self.input.has_next()
    }

    fn times_out(&mut self, engine: &Connection) -> Option<Instant> {
        let timeout = self.args.connect.timeout?;
        self.waits(engine).then(|| self.active + timeout)
    }

    fn timed_out(&self, engine: &Connection) -> anyhow::Error {
        let (address, time) = (&self.args.address, self.args.connect.timeout.unwrap_or_default());
        let unsettled = engine.unsettled(self.link);
        if !self.attached {
            anyhow!("the router did not answer within {time:?}")
        } else if self.current.is_some() {
            anyhow!("nobody took more of the message for {address} within {time:?}")
        } else if unsettled > 0 {
            anyhow!("{} for {address} not settled within {time:?}", Count(unsettled.into(), "message"))
        } else {
            anyhow!("no consumer for {address} within {time:?}; start one with `spanway recv {address}`")
        }
    }

    /// Says once that there is nobody to send to.
    fn complain(&mut self, engine: &Connection, progress: &mut Progress) {
        let stuck = self.attached
            && self.current.is_none()
            && engine.link_credit(self.link) == 0
            && engine.unsettled(self.link) == 0
            && self.input.has_next();
        if !stuck {
            self.stuck = None;
            return;
        }
        let since = *self.stuck.get_or_insert_with(Instant::now);
        if !self.told && !self.args.quiet && since.elapsed() >= PATIENCE {
            self.told = true;
            progress.clear();
            note(format_args!("waiting: no consumer for {} yet", self.args.address));
        }
    }

    fn complains_at(&self) -> Option<Instant> {
        self.stuck.filter(|_| !self.told && !self.args.quiet).map(|since| since + PATIENCE)
    }

    fn report(&self, unsettled: u64) {
        let args = self.args;
        if args.quiet {
            return;
        }
        let time = self.first.map_or(Duration::ZERO, |first| self.last.saturating_duration_since(first));
        if args.summary {
            note(format_args!("sent {}", rates(self.amount, time)));
            if args.presettled {
                note(format_args!("outcomes: presettled, so none are known"));
            } else {
                note(format_args!("{}", self.tally.outcomes(unsettled)));
                note(format_args!("{}", self.tally.latencies));
            }
        } else if args.file.is_some() && self.amount.messages > 0 {
            let amount = self.amount;
            let rate = amount.bytes as f64 / time.as_secs_f64().max(1e-6);
            note(format_args!(
                "sent {}, {} in {:.1} s: {}/s",
                Count(amount.messages, "message"),
                Size(amount.bytes as f64),
                time.as_secs_f64(),
                Size(rate)
            ));
        }
    }
}
