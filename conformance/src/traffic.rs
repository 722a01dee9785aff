//! Traffic that goes on while a network is broken, and remembers what became of every message.
//!
//! Each of these runs on a thread of its own until it is stopped, and repeats nothing unless it is told to: a message that was not
//! accepted is counted, the next one is another one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::process::wait_for;
use crate::raw::{Heard, Session, V, code};
use crate::router::{PATIENCE, Router};

const DATA: u64 = 0x75;
const PROPERTIES: u64 = 0x73;
/// How long a thread listens before it looks whether it is to stop.
const TURN: Duration = Duration::from_millis(20);
/// The one sending, and the one receiving link of a session.
const OUT: u32 = 0;
const IN: u32 = 1;

/// A thread with something that it found out.
#[derive(Debug)]
struct Actor<T> {
    stop: Arc<AtomicBool>,
    log: Arc<Mutex<T>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Default + Send + 'static> Actor<T> {
    fn start(run: impl FnOnce(&dyn Fn() -> bool, &Mutex<T>) + Send + 'static) -> Self {
        let (stop, log) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(T::default())));
        let (stopped, shared) = (Arc::clone(&stop), Arc::clone(&log));
        let thread = std::thread::spawn(move || run(&|| stopped.load(Ordering::Relaxed), &shared));
        Self { stop, log, thread: Some(thread) }
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        lock(&self.log)
    }

    /// Stops it; a panic of its own becomes the test's.
    fn stop(mut self) -> T {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
        std::mem::take(&mut *self.lock())
    }
}

impl<T> Drop for Actor<T> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock<T>(log: &Mutex<T>) -> MutexGuard<'_, T> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The moments at which something went well.
#[derive(Clone, Debug, Default)]
pub struct Moments(Vec<Instant>);

impl Moments {
    /// How many.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// How many between two moments.
    pub fn between(&self, from: Instant, to: Instant) -> usize {
        self.0.iter().filter(|at| (from..to).contains(*at)).count()
    }

    /// The times between them.
    pub fn gaps(&self) -> Vec<Duration> {
        self.0.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    /// The longest time without one between two moments; `None` when there was none at all.
    pub fn longest_gap(&self, from: Instant, to: Instant) -> Option<Duration> {
        let within = self.0.iter().copied().filter(|at| (from..to).contains(at)).collect::<Vec<_>>();
        let first = *within.first()?;
        let ends = within[1..].iter().copied().chain([to]);
        let gaps = within.iter().zip(ends).map(|(at, next)| next - *at);
        gaps.chain([first - from]).max()
    }
}

/// What a message is called, before its padding.
fn message(name: &str, number: u64, size: usize) -> Vec<u8> {
    let mut body = format!("{name} {number} ").into_bytes();
    body.resize(size.max(body.len()), b'.');
    V::Desc(DATA, Box::new(V::Bin(body))).bytes()
}

/// Properties and the first words of the body.
fn read(mut payload: &[u8]) -> (V, String, u64) {
    let (mut properties, mut name, mut number) = (V::Null, String::new(), 0);
    while !payload.is_empty() {
        match V::read(&mut payload) {
            V::Desc(PROPERTIES, list) => properties = *list,
            V::Desc(DATA, body) => {
                let V::Bin(bytes) = *body else { panic!("data is binary") };
                let mut words = bytes.split(|byte| *byte == b' ').map(String::from_utf8_lossy);
                name = words.next().unwrap_or_default().into_owned();
                number = words.next().and_then(|text| text.parse().ok()).expect("a number in the body");
            }
            _ => {}
        }
    }
    (properties, name, number)
}

/// How a source sends.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Bytes of a message, at least.
    pub size: usize,
    /// Each so many have another size.
    pub long: &'static [(u64, usize)],
    /// Messages without an outcome at a time.
    pub window: usize,
    /// Settled when sent: nobody says what became of it.
    pub settled: bool,
    /// Time between two messages.
    pub gap: Duration,
    /// So many in all.
    pub count: u64,
    /// What was not accepted is sent again, under its number, until it is.
    pub again: bool,
}

impl Default for Pace {
    /// Small messages, ten at a time.
    fn default() -> Self {
        Self { size: 0, long: &[], window: 10, settled: false, gap: Duration::ZERO, count: u64::MAX, again: false }
    }
}

/// What became of the messages of a source.
#[derive(Clone, Debug, Default)]
pub struct Sent {
    /// When each was accepted.
    pub accepted: Moments,
    /// Their numbers.
    pub numbers: BTreeSet<u64>,
    /// Released, modified or rejected: how many, by the descriptor of the state. 0: settled without a state.
    pub refused: BTreeMap<u64, u64>,
    /// All that were sent, each once, however often.
    pub sent: u64,
    /// Those without an outcome in the end.
    pub open: u64,
    /// The router hung up.
    pub ended: bool,
}

/// A sender of numbered messages.
#[derive(Debug)]
pub struct Source {
    name: String,
    actor: Actor<Sent>,
}

impl Source {
    /// Sends to an address.
    pub fn start(router: &Router, name: &str, address: &str, pace: Pace) -> Self {
        let mut session = Session::begin(router.port);
        session.sender(OUT, Some(address));
        let name = name.to_owned();
        let word = name.clone();
        let actor = Actor::start(move |stopped, log| send(&mut session, &word, pace, stopped, log));
        Self { name, actor }
    }

    /// Messages that were accepted so far.
    pub fn accepted(&self) -> usize {
        self.actor.lock().accepted.count()
    }

    /// Messages that were sent so far.
    pub fn sent(&self) -> u64 {
        self.actor.lock().sent
    }

    /// Waits until so many more were accepted.
    pub fn wait_accepted(&self, more: usize) {
        let wanted = self.accepted() + more;
        wait_for(&format!("{wanted} accepted of {}", self.name), PATIENCE, || {
            let log = self.actor.lock();
            assert!(!log.ended, "{}: the router hung up", self.name);
            (log.accepted.count() >= wanted).then_some(())
        });
    }

    /// Sends so many, and waits for their outcomes.
    pub fn send_all(router: &Router, name: &str, address: &str, count: u64) -> Sent {
        let source = Self::start(router, name, address, Pace { count, ..Pace::default() });
        source.wait_done(count);
        source.stop()
    }

    /// Waits until all messages of its pace have an outcome, and none is to be sent again.
    pub fn wait_done(&self, count: u64) {
        wait_for(&format!("outcomes of all of {}", self.name), PATIENCE, || {
            let log = self.actor.lock();
            (log.sent == count && log.open == 0).then_some(())
        });
    }

    /// Sends no more; waits for the outcomes of what was sent.
    pub fn stop(self) -> Sent {
        self.actor.stop()
    }
}

fn send(session: &mut Session, name: &str, pace: Pace, stopped: &dyn Fn() -> bool, log: &Mutex<Sent>) {
    let (mut credit, mut open) = (0, BTreeMap::new());
    let mut back = VecDeque::new();
    let mut next = Instant::now();
    let mut end = None;
    loop {
        let now = Instant::now();
        if stopped() && end.is_none() {
            end = Some(now + PATIENCE);
        }
        if end.is_some_and(|end| open.is_empty() || now > end) {
            break;
        }
        let number = back.front().copied().unwrap_or_else(|| lock(log).sent);
        let mut may = end.is_none() && credit > 0 && open.len() < pace.window && number < pace.count && now >= next;
        let long = pace.long.iter().find(|(each, _)| number % each == 0).map(|(_, size)| *size);
        let next_message =
            may.then(|| message(name, number, long.unwrap_or(pace.size))).filter(|message| session.fits(message.len()));
        may = next_message.is_some();
        if let Some(message) = next_message {
            let id = session.send(OUT, &message, pace.settled);
            credit -= 1;
            next = now + pace.gap;
            let new = u64::from(back.pop_front().is_none());
            let mut log = lock(log);
            log.sent += new;
            if pace.settled {
                log.accepted.0.push(now);
            } else {
                open.insert(id, number);
                log.open += new;
            }
        }
        let full = credit == 0 || open.len() >= pace.window;
        let wait = if full || end.is_some() { TURN } else { pace.gap.min(TURN).max(Duration::from_micros(1)) };
        // While it may send it only looks whether something came.
        let wait = if may && pace.gap.is_zero() { Duration::from_micros(1) } else { wait };
        match session.listen(wait) {
            Heard::Credit(OUT, now) => credit = now,
            Heard::Outcome(first, last, state, _) => {
                let mut log = lock(log);
                for number in (first..=last).filter_map(|id| open.remove(&id)) {
                    let accepted = state == Some(code::ACCEPTED);
                    if accepted {
                        log.accepted.0.push(Instant::now());
                        log.numbers.insert(number);
                    } else {
                        *log.refused.entry(state.unwrap_or(0)).or_default() += 1;
                    }
                    if pace.again && !accepted {
                        back.push_back(number);
                    } else {
                        log.open -= 1;
                    }
                }
            }
            Heard::Ended | Heard::Detached(..) => {
                lock(log).ended = true;
                break;
            }
            _ => {}
        }
    }
}

/// What came to a sink.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// When.
    pub moments: Moments,
    /// How often each message came, by the name of its source and its number.
    pub times: BTreeMap<(String, u64), u32>,
    /// The messages of each source came in their order.
    pub ordered: bool,
    last: BTreeMap<String, u64>,
    /// The router hung up.
    pub ended: bool,
}

impl Received {
    /// The messages of a source.
    pub fn of(&self, name: &str) -> BTreeSet<u64> {
        self.times.keys().filter(|(source, _)| source == name).map(|(_, number)| *number).collect()
    }

    /// None of a source's messages came twice, and all that were accepted came.
    ///
    /// # Panics
    /// When that is not so.
    #[track_caller]
    pub fn assert_exactly_once(&self, name: &str, sent: &Sent) {
        let twice: Vec<_> = self.times.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "came more than once: {twice:?}");
        let came = self.of(name);
        let lost: Vec<_> = sent.numbers.difference(&came).collect();
        assert!(lost.is_empty(), "accepted, but did not come: {lost:?}");
    }
}

/// A consumer that accepts everything.
#[derive(Debug)]
pub struct Sink {
    actor: Actor<Received>,
}

impl Sink {
    /// Consumes from an address, with so much credit.
    pub fn start(router: &Router, address: &str, credit: u32) -> Self {
        Self::slow(router, address, credit, Duration::ZERO)
    }

    /// Takes so much time for each message.
    pub fn slow(router: &Router, address: &str, credit: u32, work: Duration) -> Self {
        let mut session = Session::begin(router.port);
        session.receiver(IN, Some(address), credit);
        let actor = Actor::start(move |stopped, log| consume(&mut session, credit, work, stopped, log));
        Self { actor }
    }

    /// Messages so far.
    pub fn count(&self) -> usize {
        self.actor.lock().moments.count()
    }

    /// Waits until so many came in all.
    pub fn wait(&self, count: usize) {
        wait_for(&format!("{count} messages"), PATIENCE, || (self.count() >= count).then_some(()));
    }

    /// Hangs up.
    pub fn stop(self) -> Received {
        self.actor.stop()
    }
}

fn consume(session: &mut Session, credit: u32, work: Duration, stopped: &dyn Fn() -> bool, log: &Mutex<Received>) {
    let mut left = credit;
    lock(log).ordered = true;
    while !stopped() {
        match session.listen(TURN) {
            Heard::Delivery(delivery) => {
                let (_, name, number) = read(&delivery.payload);
                if !work.is_zero() {
                    std::thread::sleep(work);
                }
                {
                    let mut log = lock(log);
                    log.moments.0.push(Instant::now());
                    let before = log.last.insert(name.clone(), number);
                    log.ordered &= before.is_none_or(|before| before < number);
                    *log.times.entry((name, number)).or_default() += 1;
                }
                if !delivery.settled {
                    session.accept(delivery.id);
                }
                left -= 1;
                if left <= credit / 2 {
                    left = credit;
                    session.credit(IN, credit);
                }
            }
            Heard::Ended | Heard::Detached(..) => {
                lock(log).ended = true;
                return;
            }
            _ => {}
        }
    }
}

/// What a holder has.
#[derive(Clone, Debug, Default)]
struct Held {
    ids: Vec<u32>,
    release: bool,
}

/// A consumer that keeps what it gets, unsettled, until it is told to accept it.
#[derive(Debug)]
pub struct Holder {
    actor: Actor<Held>,
}

impl Holder {
    /// Consumes from an address, with so much credit in all.
    pub fn start(router: &Router, address: &str, credit: u32) -> Self {
        let mut session = Session::begin(router.port);
        session.receiver(IN, Some(address), credit);
        let actor = Actor::start(move |stopped, log: &Mutex<Held>| {
            while !stopped() {
                let heard = session.listen(TURN);
                let mut log = lock(log);
                match heard {
                    Heard::Delivery(delivery) => log.ids.push(delivery.id),
                    Heard::Ended | Heard::Detached(..) => return,
                    _ => {}
                }
                if std::mem::take(&mut log.release) {
                    log.ids.drain(..).for_each(|id| session.accept(id));
                    session.credit(IN, credit);
                }
            }
        });
        Self { actor }
    }

    /// How many messages it holds.
    pub fn count(&self) -> usize {
        self.actor.lock().ids.len()
    }

    /// Accepts all of them.
    pub fn release(&self) {
        self.actor.lock().release = true;
    }
}

/// A service that answers requests, each until its answer was taken.
#[derive(Debug)]
pub struct Responder {
    actor: Actor<u64>,
}

impl Responder {
    /// Answers what comes to an address.
    pub fn start(router: &Router, address: &str) -> Self {
        let mut session = Session::begin(router.port);
        session.receiver(IN, Some(address), 0);
        session.sender(OUT, None);
        session.credit(IN, 50);
        Self { actor: Actor::start(move |stopped, log| respond(&mut session, stopped, log)) }
    }

    /// Hangs up; answers how many requests it answered.
    pub fn stop(self) -> u64 {
        self.actor.stop()
    }
}

fn respond(session: &mut Session, stopped: &dyn Fn() -> bool, log: &Mutex<u64>) {
    let (mut credit, mut left) = (0, 50);
    // Requests: their number of delivery, where the answer goes, and their number.
    let mut waiting: Vec<(u32, String, u64)> = Vec::new();
    let mut open = BTreeMap::new();
    while !stopped() {
        while credit > 0
            && let Some((request, to, number)) = waiting.pop()
        {
            let nulls = [V::Null, V::Null];
            let properties = V::List([&nulls[..], &[V::str(&to)]].concat());
            let mut answer = V::Desc(PROPERTIES, Box::new(properties)).bytes();
            answer.extend(message("answer", number, 0));
            open.insert(session.send(OUT, &answer, false), (request, to, number));
            credit -= 1;
        }
        match session.listen(TURN) {
            Heard::Delivery(delivery) => {
                let (properties, _, number) = read(&delivery.payload);
                let to = properties.field(4).text().expect("an address for the answer").to_owned();
                waiting.push((delivery.id, to, number));
                left -= 1;
                if left < 25 {
                    left = 50;
                    session.credit(IN, left);
                }
            }
            Heard::Credit(OUT, now) => credit = now,
            Heard::Outcome(first, last, state, _) => {
                for answer in (first..=last).filter_map(|id| open.remove(&id)) {
                    match state {
                        Some(code::ACCEPTED) => {
                            // Not before: who asked hears of it if we are gone until then.
                            session.accept(answer.0);
                            *lock(log) += 1;
                        }
                        // It may have arrived. Who asked has to decide; to answer again could be once too often.
                        Some(code::MODIFIED) => session.fail(answer.0),
                        _ => waiting.push(answer),
                    }
                }
            }
            Heard::Ended | Heard::Detached(..) => return,
            _ => {}
        }
    }
}

/// What a request loop saw.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// When answers came.
    pub moments: Moments,
    /// Requests that were released or modified; each was followed by another one.
    pub refused: u64,
    /// Answers to requests that had one.
    pub repeated: u64,
    /// The router hung up.
    pub ended: bool,
}

/// One request after the other, as fast as they are answered, or with a pause between.
#[derive(Debug)]
pub struct Requests {
    actor: Actor<Answers>,
}

impl Requests {
    /// Asks a service.
    pub fn start(router: &Router, address: &str, pause: Duration) -> Self {
        let mut session = Session::begin(router.port);
        let reply_to = session.receiver(IN, None, 50);
        session.sender(OUT, Some(address));
        Self { actor: Actor::start(move |stopped, log| request(&mut session, &reply_to, pause, stopped, log)) }
    }

    /// Answers so far.
    pub fn count(&self) -> usize {
        self.actor.lock().moments.count()
    }

    /// Requests that were refused so far.
    pub fn refused(&self) -> u64 {
        self.actor.lock().refused
    }

    /// When they came, so far.
    pub fn moments(&self) -> Moments {
        self.actor.lock().moments.clone()
    }

    /// Waits for so many more.
    pub fn wait(&self, more: usize) {
        let wanted = self.count() + more;
        wait_for(&format!("{wanted} answers"), PATIENCE, || {
            let log = self.actor.lock();
            assert!(!log.ended, "the router hung up on a client");
            (log.moments.count() >= wanted).then_some(())
        });
    }

    /// Asks no more.
    pub fn stop(self) -> Answers {
        self.actor.stop()
    }
}

fn request(session: &mut Session, reply_to: &str, pause: Duration, stopped: &dyn Fn() -> bool, log: &Mutex<Answers>) {
    let (mut credit, mut left, mut number) = (0, 50, 0);
    let mut asked: Option<u32> = None;
    let mut answers = BTreeSet::new();
    let mut next = Instant::now();
    while !stopped() {
        if asked.is_none() && credit > 0 && Instant::now() >= next {
            number += 1;
            let nulls = [V::Null, V::Null, V::Null, V::Null];
            let properties = V::List([&nulls[..], &[V::str(reply_to)]].concat());
            let mut question = V::Desc(PROPERTIES, Box::new(properties)).bytes();
            question.extend(message("question", number, 0));
            asked = Some(session.send(OUT, &question, false));
            credit -= 1;
        }
        let wait = if asked.is_some() || credit == 0 { TURN } else { next.saturating_duration_since(Instant::now()) };
        match session.listen(wait.clamp(Duration::from_micros(1), TURN)) {
            Heard::Delivery(delivery) => {
                session.accept(delivery.id);
                let (_, _, answered) = read(&delivery.payload);
                let mut log = lock(log);
                // A question that was given up because nobody knew what became of it may be answered all the same.
                if !answers.insert(answered) {
                    log.repeated += 1;
                } else if answered == number && asked.take().is_some() {
                    log.moments.0.push(Instant::now());
                    next = Instant::now() + pause;
                }
                left -= 1;
                if left < 25 {
                    left = 50;
                    session.credit(IN, left);
                }
            }
            Heard::Credit(OUT, now) => credit = now,
            Heard::Outcome(first, last, state, _) => {
                let ours = asked.is_some_and(|id| (first..=last).contains(&id));
                if ours && state != Some(code::ACCEPTED) {
                    asked = None;
                    lock(log).refused += 1;
                }
            }
            Heard::Ended | Heard::Detached(..) => {
                lock(log).ended = true;
                return;
            }
            _ => {}
        }
    }
}
