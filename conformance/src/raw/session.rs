//! A client that keeps to the rules: one session, with windows that never close on its side, and credit that is counted.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::time::Duration;

use super::frame::{Frame, code};
use super::peer::{Peer, TIMEOUT};
use super::value::V;

/// The window in both directions: more frames than any test exchanges.
const WINDOW: u32 = i32::MAX as u32;
/// What a frame carries of a message, below the least `maxFrameSize` that routers of tests have.
const CHUNK: usize = 16_000;

/// A connection with one session.
#[derive(Debug)]
pub struct Session {
    peer: Peer,
    /// Frames and deliveries of the router's so far, per link.
    frames: u32,
    /// Our number of each link, by the router's.
    handles: HashMap<u32, u32>,
    counts: HashMap<u32, u32>,
    /// A delivery that is arriving, by link.
    arriving: HashMap<u32, Delivery>,
    next_id: u32,
    /// Frames of ours so far, and up to which of them the router's window reaches.
    sent: u32,
    window: u32,
}

/// A delivery of the router's.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    /// The link it came on.
    pub handle: u32,
    /// Its number.
    pub id: u32,
    /// Nobody waits for its outcome.
    pub settled: bool,
    /// The message.
    pub payload: Vec<u8>,
}

/// What a session heard.
#[derive(Clone, Debug)]
pub enum Heard {
    /// Nothing in the time that was given.
    Nothing,
    /// Deliveries that may be sent on a link from now on.
    Credit(u32, u32),
    /// The outcome of deliveries of ours, first and last: the descriptor of their state, and whether they are settled.
    Outcome(u32, u32, Option<u64>, bool),
    /// A whole delivery.
    Delivery(Delivery),
    /// The router detached a link.
    Detached(u32, String),
    /// The connection is over.
    Ended,
}

impl Session {
    /// Connects to the listener on `port` of 127.0.0.1. This and attaching panic when the router does not let it.
    pub fn begin(port: u16) -> Self {
        let mut peer = Peer::opened(port);
        peer.send(&Frame::begin().with(2, V::Uint(WINDOW)).with(3, V::Uint(WINDOW)));
        let begin = peer.expect(code::BEGIN);
        Self {
            peer,
            frames: 0,
            handles: HashMap::new(),
            counts: HashMap::new(),
            arriving: HashMap::new(),
            next_id: 0,
            sent: 0,
            window: begin.field(2).number().expect("a begin has a window") as u32,
        }
    }

    /// Whether the router's window has room for a message of this size.
    pub fn fits(&self, size: usize) -> bool {
        self.window.wrapping_sub(self.sent) as usize >= size.div_ceil(CHUNK)
    }

    /// Attaches a receiver with `credit`; answers its address. `None` is a dynamic one.
    pub fn receiver(&mut self, handle: u32, source: Option<&str>, credit: u32) -> String {
        let attach = self.peer.attach_receiver(handle, source, 0);
        self.attached(handle, &attach);
        self.credit(handle, credit);
        attach.field(5).field(0).text().unwrap_or_default().to_owned()
    }

    /// Attaches a sender, as the last link of the session: its credit is told when it comes, and attaching waits for nothing else.
    pub fn sender(&mut self, handle: u32, target: Option<&str>) {
        self.peer.send(&Frame::sender(&format!("sender-{handle}"), handle, target));
        let answer = self.peer.expect(code::ATTACH);
        assert_ne!(*answer.field(6), V::Null, "the router refused the link: {answer:?}");
        self.attached(handle, &answer);
    }

    fn attached(&mut self, handle: u32, answer: &Frame) {
        let theirs = answer.field(1).number().expect("an attach has a handle") as u32;
        self.handles.insert(theirs, handle);
        self.counts.insert(handle, 0);
    }

    /// Lets the router send so many deliveries from now on.
    pub fn credit(&mut self, handle: u32, credit: u32) {
        let count = self.counts[&handle];
        let flow = Frame::credit(handle, count, credit).with(0, V::Uint(self.frames));
        // A router that is gone shows when it is listened to; so in all that is sent here.
        self.peer.try_send(&flow.with(1, V::Uint(WINDOW)).with(3, V::Uint(WINDOW)));
    }

    /// Sends a message; answers its number.
    pub fn send(&mut self, handle: u32, message: &[u8], settled: bool) -> u32 {
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        let mut chunks = message.chunks(CHUNK).peekable();
        while let Some(chunk) = chunks.next() {
            self.sent = self.sent.wrapping_add(1);
            let frame = Frame::transfer(handle, id, chunk.to_vec()).with(4, V::Bool(settled));
            self.peer.try_send(&frame.with(5, V::Bool(chunks.peek().is_some())));
        }
        id
    }

    /// Accepts a delivery.
    pub fn accept(&mut self, id: u32) {
        let accepted = V::Desc(code::ACCEPTED, Box::new(V::List(Vec::new())));
        self.peer.try_send(&Frame::settle(id, id, accepted));
    }

    /// Gives a delivery back as one of which nobody knows what became of it.
    pub fn fail(&mut self, id: u32) {
        let modified = V::Desc(code::MODIFIED, Box::new(V::List(vec![V::Bool(true)])));
        self.peer.try_send(&Frame::settle(id, id, modified));
    }

    /// What the router says next, within `wait`.
    ///
    /// # Panics
    /// When it says what it must not.
    pub fn listen(&mut self, wait: Duration) -> Heard {
        if !self.is_readable(wait) {
            return Heard::Nothing;
        }
        let Some(frame) = self.peer.next_any() else { return Heard::Ended };
        let number = |index: usize| frame.field(index).number().map(|n| n as u32);
        let handle = |index: usize| number(index).map(|theirs| self.handles[&theirs]);
        match frame.code {
            Some(code::FLOW) => {
                let received = number(0).unwrap_or(0);
                self.window = received.wrapping_add(number(1).expect("a flow has a window"));
                match (handle(4), number(5), number(6)) {
                    (Some(handle), Some(count), Some(credit)) => {
                        // Ours are sent in the order of their numbers, on one link of a session.
                        Heard::Credit(handle, count.wrapping_add(credit).wrapping_sub(self.next_id))
                    }
                    _ => Heard::Nothing,
                }
            }
            Some(code::DISPOSITION) if frame.field(0).is_true() => {
                let first = number(1).expect("a disposition has a first delivery");
                let last = number(2).unwrap_or(first);
                Heard::Outcome(first, last, frame.field(4).descriptor(), frame.field(3).is_true())
            }
            Some(code::TRANSFER) => self.transfer(&frame),
            Some(code::DETACH) => {
                Heard::Detached(handle(0).unwrap(), frame.field(2).field(0).text().unwrap_or_default().to_owned())
            }
            Some(code::CLOSE | code::END) => Heard::Ended,
            _ => Heard::Nothing,
        }
    }

    fn transfer(&mut self, frame: &Frame) -> Heard {
        self.frames = self.frames.wrapping_add(1);
        let handle = self.handles[&(frame.field(0).number().unwrap() as u32)];
        let delivery = self.arriving.entry(handle).or_insert_with(|| Delivery {
            handle,
            id: frame.field(1).number().expect("a first transfer has a number") as u32,
            ..Delivery::default()
        });
        delivery.settled |= frame.field(4).is_true();
        delivery.payload.extend_from_slice(&frame.payload);
        let aborted = frame.field(9).is_true();
        if frame.field(5).is_true() && !aborted {
            return Heard::Nothing;
        }
        *self.counts.get_mut(&handle).expect("a link of ours") += 1;
        let delivery = self.arriving.remove(&handle).expect("it was arriving");
        if aborted { Heard::Nothing } else { Heard::Delivery(delivery) }
    }

    fn is_readable(&self, wait: Duration) -> bool {
        let stream = self.peer.stream();
        // The system rounds short limits up to its ticks of some milliseconds: that is no pace for messages.
        if wait < Duration::from_millis(4) {
            let look = || {
                stream.set_nonblocking(true).unwrap();
                let got = stream.peek(&mut [0]);
                stream.set_nonblocking(false).unwrap();
                came(&got)
            };
            return look() || {
                std::thread::sleep(wait);
                look()
            };
        }
        stream.set_read_timeout(Some(wait)).unwrap();
        let got = stream.peek(&mut [0]);
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        came(&got)
    }
}

/// Something can be read: data, or an end or a failure, which is heard then.
fn came(got: &std::io::Result<usize>) -> bool {
    !got.as_ref().is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
}
