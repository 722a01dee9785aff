//! Moves the bytes of a flow between one socket and its two streams through the network.

use std::io::IoSlice;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use router_core::egress::{DeliveryState, End};
use router_core::{InletKey, OutKey, OutletKey};
use thiserror::Error;
use transport::block::with_read_block;
use transport::{Stream, StreamError, Write};

use crate::directory::Directory;
use crate::far::head::{Head, HeadError};
use crate::far::links::{Flow, Queue, Verdict};
use crate::far::window::{ReceiveWindow, SendWindow};
use crate::relay::{Meter, Side};

/// Bytes that a direction may move in one poll before it lets the other tasks of the worker run.
const TURN: usize = transport::block::READ_BLOCK;

/// The socket is not read while the core keeps this much of the stream: twice what a connection has waiting to be written.
const HELD: usize = 1024 * 1024;

/// What a client may send before a server is connected; it is kept to be sent to another if that one cannot be reached. Most requests fit.
/// The reference reads nothing so early, and loses parts of what arrives while it connects to the server: of 20 clients that sent 3 MB at once
/// through two routers some got 4 to 16 kB too little with 64 KiB here, none with 8 (November 2026, skupper-router main of May).
const EARLY: usize = 4096;

/// Why a flow could not complete.
#[derive(Debug, Error)]
pub(crate) enum Stop {
    /// The socket failed.
    #[error("{0}")]
    Socket(#[from] StreamError),
    /// The other side failed, or the way to it.
    #[error("the other side failed, or the way to it")]
    Far,
    /// The other side does not say whether it has a server.
    #[error("there is no answer")]
    Silent,
    /// No server has seen anything: another destination may be tried.
    #[error("no server there could be reached")]
    Refused {
        /// In the same direction, too.
        again: bool,
    },
    /// What came is no stream of ours.
    #[error("the answer is malformed: {0}")]
    Head(#[from] HeadError),
}

/// What a poll has come to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The server is connected.
    Answered,
    /// Both directions have ended.
    Done,
}

/// What a client sent before its server was connected.
#[derive(Debug, Default)]
pub(crate) struct Early {
    chunks: Vec<Bytes>,
    len: usize,
    ended: bool,
}

impl Early {
    pub(crate) fn push(&mut self, bytes: Bytes) {
        self.len += bytes.len();
        if !bytes.is_empty() {
            self.chunks.push(bytes);
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// In one piece.
    pub(crate) fn into_bytes(mut self) -> Bytes {
        match self.chunks.len() {
            0 | 1 => self.chunks.pop().unwrap_or_default(),
            _ => self.chunks.concat().into(),
        }
    }
}

/// The two streams of a flow. Dropping it before it is done aborts what is not complete and gives up what was not accepted.
pub(crate) struct Exchange {
    core: Rc<dyn Directory>,
    flow: Rc<Flow>,
    inlet: Option<InletKey>,
    outlet: Option<OutletKey>,
    send: SendWindow,
    receive: ReceiveWindow,
    /// The other side is of this make, and told how much we take.
    ours: bool,
    /// Until the answer has begun.
    early: Option<Early>,
    /// The outgoing stream is the answer.
    answers: bool,
    sent_all: bool,
    received_all: bool,
    /// The other side takes nothing more.
    shut: bool,
    unread: bool,
    stalled: bool,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.core.close_flow(self.inlet, self.outlet);
    }
}

impl Exchange {
    /// Begins a flow toward a neighbour, with what the client has sent already.
    ///
    /// # Errors
    /// There is no way there any more; what the client has sent comes back.
    pub(crate) fn begin(
        core: &Rc<dyn Directory>,
        flow: Rc<Flow>,
        mut head: Head,
        hop: u32,
        early: Early,
    ) -> Result<Self, Early> {
        let Some((outlet, reply_to)) = core.attach_flow(flow.incoming(), hop) else { return Err(early) };
        let mut exchange = Self::new(core, flow, None, Some(outlet));
        head.reply_to = Some(reply_to);
        head.window = Some(exchange.flow.window());
        let sections = head.compose();
        exchange.inlet = core.begin_flow(exchange.flow.outgoing(), &head.to, hop, &sections);
        if exchange.inlet.is_none() {
            return Err(early);
        }
        for chunk in &early.chunks {
            exchange.pass(chunk, End::More);
        }
        if early.ended {
            exchange.pass(&Bytes::new(), End::Complete);
            exchange.sent_all = true;
        }
        exchange.early = Some(early);
        Ok(exchange)
    }

    /// Answers a flow that came from another router. `head` is that of its stream.
    pub(crate) fn answer(core: &Rc<dyn Directory>, flow: Rc<Flow>, outlet: OutletKey, head: &Head) -> Self {
        let mut exchange = Self::new(core, flow, None, Some(outlet));
        exchange.answers = true;
        exchange.allow(head);
        exchange.begin_answer(head);
        exchange
    }

    fn begin_answer(&mut self, head: &Head) {
        let to = head.reply_to.clone().unwrap_or_default();
        let window = self.ours.then(|| self.flow.window());
        let answer = Head { to, window, ..Head::default() };
        self.inlet = self.core.begin_reply(self.flow.outgoing(), &answer.to, self.outlet, &answer.compose());
    }

    /// The answer was released at once: there is no way for it at the moment.
    pub(crate) fn has_no_way(&self) -> bool {
        self.flow.said(|said| said.verdict) == Some(Verdict::Released)
    }

    /// Begins the answer again. Nothing was read from the server yet.
    pub(crate) fn answer_again(&mut self, head: &Head) {
        self.core.close_flow(self.inlet.take(), None);
        self.flow.said(|said| said.verdict = None);
        self.begin_answer(head);
    }

    fn new(core: &Rc<dyn Directory>, flow: Rc<Flow>, inlet: Option<InletKey>, outlet: Option<OutletKey>) -> Self {
        Self {
            core: Rc::clone(core),
            flow,
            inlet,
            outlet,
            send: SendWindow::new(),
            receive: ReceiveWindow::default(),
            ours: false,
            early: None,
            answers: false,
            sent_all: false,
            received_all: false,
            shut: false,
            unread: false,
            stalled: false,
        }
    }

    fn allow(&mut self, head: &Head) {
        if let Some(window) = head.window {
            self.ours = true;
            self.send.allow(u64::from(window));
        }
    }

    /// What the client has sent, for another attempt.
    pub(crate) fn take_early(&mut self) -> Early {
        self.early.take().unwrap_or_default()
    }

    /// The socket is not being read, so that its loss goes unnoticed unless somebody asks; and whether that is for want of room.
    pub(crate) const fn unread(&self) -> Option<bool> {
        if self.unread { Some(self.stalled) } else { None }
    }

    /// Moves what can be moved. `out`: what is read from the socket, `back`: what is written to it.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Stream,
        out: &Meter,
        back: &Meter,
    ) -> Poll<Result<Step, Stop>> {
        self.flow.register(cx.waker());
        if let Some(outcome) = self.begun()? {
            return Poll::Ready(Ok(outcome));
        }
        let (verdict, end, acked, takes) = self.flow.said(|said| (said.verdict, said.end, said.acked, said.takes));
        if takes > 0 && self.ours {
            self.send.allow(u64::from(takes));
        }
        self.send.acknowledged(acked, Instant::now);
        let failed = match verdict {
            None => false,
            Some(Verdict::Accepted) => !self.sent_all,
            Some(Verdict::Refused | Verdict::Released | Verdict::Failed) => true,
        };
        if failed && let Some(early) = &self.early {
            let unused = verdict != Some(Verdict::Failed) || early.len == 0;
            let again = verdict != Some(Verdict::Refused);
            return Poll::Ready(Err(if unused { Stop::Refused { again } } else { Stop::Far }));
        }
        self.shut |= failed;
        let written = self.poll_receive(cx, socket, back)?;
        // What arrived before the failure still belongs to the application, as far as it takes it now.
        let dead = end == End::Aborted || (failed && end == End::More);
        if dead && (written.is_pending() || self.flow.said(|said| said.queue.len() == 0)) {
            return Poll::Ready(Err(Stop::Far));
        }
        let _ = self.poll_send(cx, socket, out)?;
        if self.received_all && self.shut {
            // The answer may have been lost on its way. Who waits for it hears nothing but the outcome of what it sent.
            let complete = self.sent_all && !self.answers;
            return Poll::Ready(if complete { Ok(Step::Done) } else { Err(Stop::Far) });
        }
        if !self.received_all || !self.sent_all {
            return Poll::Pending;
        }
        if self.answers {
            if verdict.is_none() {
                self.unread = false;
                return Poll::Pending;
            }
            self.settle(&DeliveryState::Accepted, true);
        }
        Poll::Ready(Ok(Step::Done))
    }

    /// Looks for the beginning of the answer.
    fn begun(&mut self) -> Result<Option<Step>, Stop> {
        if self.early.is_none() || !self.flow.said(|said| said.begun) {
            return Ok(None);
        }
        let beginning = self.flow.beginning();
        let complete = self.flow.said(|said| said.end != End::More);
        match Head::parse(&beginning, complete) {
            Ok(None) => Ok(None),
            Ok(Some((head, len))) => {
                drop(beginning);
                self.flow.advance(len);
                self.allow(&head);
                self.early = None;
                Ok(Some(Step::Answered))
            }
            Err(error) => {
                self.refuse(&DeliveryState::rejected(None));
                Err(error.into())
            }
        }
    }

    /// Gives the incoming stream an outcome other than accepted.
    pub(crate) fn refuse(&self, state: &DeliveryState) {
        refuse(&*self.core, &self.flow, state);
    }

    /// Writes what arrived. Pending: the socket takes nothing more.
    fn poll_receive(&mut self, cx: &mut Context<'_>, socket: &mut Stream, back: &Meter) -> Result<Poll<()>, Stop> {
        if self.received_all || self.early.is_some() {
            return Ok(Poll::Ready(()));
        }
        let mut written = 0;
        let outcome = self.flow.said(|said| {
            while said.queue.len() > 0 {
                if written >= TURN {
                    cx.waker().wake_by_ref();
                    return Poll::Ready(Ok(()));
                }
                match socket.poll_writable(cx) {
                    Poll::Ready(Ok(())) => {}
                    other => {
                        said.queue.detach();
                        return other;
                    }
                }
                let mut slices = Queue::none();
                let filled = said.queue.slices(&mut slices);
                match socket.try_write_vectored(slices.get(..filled).unwrap_or_default()) {
                    Write::Done(n) => {
                        written += n;
                        show(back, slices.get(..filled).unwrap_or_default(), n);
                        said.queue.advance(n);
                    }
                    Write::Blocked => {}
                    Write::Failed(error) => return Poll::Ready(Err(error)),
                }
            }
            socket.poll_flush(cx)
        });
        self.flow.passed(written);
        back.add_written(written);
        back.add_read(written);
        if let Some(total) = self.receive.passed(written) {
            // The reference has no use for the number.
            let section_number = if self.ours { self.flow.window() } else { 0 };
            let state = DeliveryState::Received { section_number, section_offset: total };
            self.settle(&state, false);
        }
        self.make_room();
        match outcome {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(done) => done?,
        }
        let (left, end) = self.flow.said(|said| (said.queue.len(), said.end));
        if left > 0 || end != End::Complete {
            return Ok(Poll::Ready(()));
        }
        match socket.poll_end(cx, self.sent_all) {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(ended) => ended?,
        }
        self.received_all = true;
        back.end();
        if !self.answers {
            self.settle(&DeliveryState::Accepted, true);
        }
        Ok(Poll::Ready(()))
    }

    /// Lets the core go on with a stream that it was told to hold back.
    fn make_room(&self) {
        let room = self.flow.said(|said| {
            let room = said.short && said.has_room();
            said.short &= !room;
            room
        });
        if room && let Some(outlet) = self.outlet {
            self.core.flow_writable(outlet);
        }
    }

    fn settle(&self, state: &DeliveryState, settled: bool) {
        settle(&*self.core, &self.flow, state, settled);
    }

    /// Reads what the application sends, and passes it on.
    fn poll_send(&mut self, cx: &mut Context<'_>, socket: &mut Stream, out: &Meter) -> Result<Poll<()>, Stop> {
        let mut moved = 0;
        loop {
            (self.unread, self.stalled) = (true, false);
            if self.sent_all || self.shut {
                return Ok(Poll::Ready(()));
            }
            self.stalled = true;
            let held = self.flow.said(|said| said.held);
            let early = self.early.as_ref().is_some_and(|early| early.len >= EARLY);
            if early || held >= HELD || !self.send.is_open() {
                return Ok(Poll::Pending);
            }
            (self.unread, self.stalled) = (false, false);
            if moved >= TURN {
                cx.waker().wake_by_ref();
                return Ok(Poll::Pending);
            }
            let read = match &self.early {
                Some(early) => read_early(cx, socket, EARLY.saturating_sub(early.len)),
                None => read_block(cx, socket),
            };
            let bytes = match read {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(bytes) => bytes?,
            };
            moved += bytes.len();
            out.saw(&bytes);
            let end = if bytes.is_empty() { End::Complete } else { End::More };
            self.pass(&bytes, end);
            out.add_written(bytes.len());
            if let Some(early) = &mut self.early {
                early.ended = bytes.is_empty();
                early.push(bytes);
            }
            if end == End::Complete {
                self.sent_all = true;
                out.end();
            }
        }
    }

    fn pass(&mut self, bytes: &Bytes, end: End) {
        if let Some(inlet) = self.inlet {
            self.core.transfer(inlet, bytes, end);
        }
        self.send.sent(bytes.len(), Instant::now);
    }
}

/// Lets whoever reads along see the first `n` bytes of these.
fn show(back: &Meter, slices: &[IoSlice<'_>], mut n: usize) {
    for slice in slices {
        let seen = slice.get(..n.min(slice.len())).unwrap_or_default();
        back.show(seen);
        n -= seen.len();
        if n == 0 {
            return;
        }
    }
}

/// Tells the outcome, or how far it is, of the incoming stream.
fn settle(core: &dyn Directory, flow: &Flow, state: &DeliveryState, settled: bool) {
    let token = flow.said(|said| if settled { std::mem::take(&mut said.token) } else { said.token });
    if token != 0 {
        core.outcome(OutKey::from_raw(token), state, settled);
    }
}

/// Gives the incoming stream an outcome other than accepted.
pub(crate) fn refuse(core: &dyn Directory, flow: &Flow, state: &DeliveryState) {
    settle(core, flow, state, true);
}

/// Reads into the worker's block. Empty: the end.
fn read_block(cx: &mut Context<'_>, socket: &mut Stream) -> Poll<Result<Bytes, StreamError>> {
    with_read_block(|block| {
        let buffer = block.writable(&[]);
        socket.poll_read(cx, buffer).map_ok(|_| block.take())
    })
}

/// Reads what has to be kept, so many bytes at most. Empty: the end.
fn read_early(cx: &mut Context<'_>, socket: &mut Stream, most: usize) -> Poll<Result<Bytes, StreamError>> {
    if socket.poll_read_ready(cx).is_pending() {
        return Poll::Pending;
    }
    let mut buffer = BytesMut::with_capacity(most);
    socket.poll_read(cx, &mut buffer).map_ok(|_| buffer.freeze())
}
