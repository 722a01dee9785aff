//! The relay against scripted sides: what is read, written, kept and ended, step by step.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use bytes::{Bytes, BytesMut};
use http_observer::{Request, Wanted};
use transport::block::ReadBlock;
use transport::{Pipe, StreamError};

use super::{BULK_FROM, Broken, Meters, Relay, Side, TURN};
use crate::config::ListenerConfig;
use crate::listener::Listener;
use crate::tap::{Requests, Tap};

/// What a read finds.
enum In {
    Data(Vec<u8>),
    End,
    Fail,
}

/// A side whose input is a script and whose room is a number.
#[derive(Default)]
struct Scripted {
    input: VecDeque<In>,
    room: usize,
    fail_writes: bool,
    written: Vec<u8>,
    ended: bool,
    reads: usize,
    /// What a read brings at most.
    chunk: usize,
    splices: bool,
    /// How often it was asked to fill a pipe. There is none to be had.
    pipes: usize,
}

impl Scripted {
    fn roomy() -> Self {
        Self { room: usize::MAX, chunk: usize::MAX, ..Self::default() }
    }
    fn says(mut self, data: &[u8]) -> Self {
        self.input.push_back(In::Data(data.to_vec()));
        self
    }
    fn ends(mut self) -> Self {
        self.input.push_back(In::End);
        self
    }
    fn fails(mut self) -> Self {
        self.input.push_back(In::Fail);
        self
    }
}

impl Side for Scripted {
    fn poll_writable(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        if self.room == 0 && !self.fail_writes { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
    fn poll_read(&mut self, _: &mut Context<'_>, block: &mut BytesMut) -> Poll<Result<usize, StreamError>> {
        self.reads += 1;
        match self.input.pop_front() {
            None => Poll::Pending,
            Some(In::End) => Poll::Ready(Ok(0)),
            Some(In::Fail) => Poll::Ready(Err(StreamError::Reset)),
            Some(In::Data(mut data)) => {
                let n = data.len().min(self.chunk).min(block.capacity() - block.len());
                block.extend_from_slice(&data[..n]);
                if n < data.len() {
                    self.input.push_front(In::Data(data.split_off(n)));
                }
                Poll::Ready(Ok(n))
            }
        }
    }
    fn read_left(&mut self, cx: &mut Context<'_>, block: &mut BytesMut) -> usize {
        match self.poll_read(cx, block) {
            Poll::Ready(Ok(n)) => n,
            _ => 0,
        }
    }
    fn poll_write(&mut self, _: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, StreamError>> {
        if self.fail_writes {
            return Poll::Ready(Err(StreamError::Reset));
        }
        let n = data.len().min(self.room);
        if n == 0 {
            return Poll::Pending;
        }
        self.room -= n;
        self.written.extend_from_slice(&data[..n]);
        Poll::Ready(Ok(n))
    }
    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        Poll::Ready(Ok(()))
    }
    fn poll_end(&mut self, _: &mut Context<'_>, _: bool) -> Poll<Result<(), StreamError>> {
        self.ended = true;
        Poll::Ready(Ok(()))
    }
    fn splices(&self) -> bool {
        self.splices
    }
    fn poll_read_pipe(&mut self, _: &mut Context<'_>, _: &mut Pipe) -> Poll<Result<Option<usize>, StreamError>> {
        self.pipes += 1;
        Poll::Ready(Ok(None))
    }
}

#[derive(Default)]
struct Wakes(AtomicUsize);
impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct Rig {
    relay: Relay,
    meters: Meters,
    block: ReadBlock,
    wakes: Arc<Wakes>,
}

impl Rig {
    fn new(early: &[u8]) -> Self {
        Self {
            relay: Relay::new(Bytes::copy_from_slice(early)),
            meters: Meters::default(),
            block: ReadBlock::new(),
            wakes: Arc::default(),
        }
    }
    fn poll(&mut self, client: &mut Scripted, server: &mut Scripted) -> Poll<Result<(), Broken>> {
        let waker = Waker::from(self.wakes.clone());
        let mut cx = Context::from_waker(&waker);
        self.relay.poll(&mut cx, client, server, &mut self.block, &self.meters)
    }
}

#[test]
fn passes_both_directions_and_ends_each_on_its_own() {
    let mut rig = Rig::new(b"early ");
    let mut client = Scripted::roomy().says(b"request").ends();
    let mut server = Scripted::roomy().says(b"part of ");
    assert!(rig.poll(&mut client, &mut server).is_pending());
    assert_eq!(server.written, b"early request");
    assert!(server.ended && !client.ended);
    assert_eq!(client.written, b"part of ");

    server = server.says(b"an answer").ends();
    assert!(matches!(rig.poll(&mut client, &mut server), Poll::Ready(Ok(()))));
    assert_eq!(client.written, b"part of an answer");
    assert!(client.ended);
    assert_eq!(rig.meters.up.read.get(), 7);
    assert_eq!(rig.meters.up.written.get(), 13);
    assert_eq!(rig.meters.down.written.get(), 17);
}

#[test]
fn keeps_only_the_remainder_and_stops_reading() {
    let mut rig = Rig::new(b"");
    let mut client = Scripted::roomy().says(b"0123456789abcdef");
    client.chunk = 8;
    let mut server = Scripted::roomy();
    server.room = 3;
    assert!(rig.poll(&mut client, &mut server).is_pending());
    assert_eq!(server.written, b"012");
    assert!(rig.relay.unread().stalled && rig.relay.unread().client && !rig.relay.unread().server);
    assert_eq!(rig.relay.up.rest.len(), 5);
    assert_eq!(client.reads, 1);

    server.room = 4;
    assert!(rig.poll(&mut client, &mut server).is_pending());
    assert_eq!(client.reads, 1, "the remainder goes first");

    server.room = usize::MAX;
    assert!(rig.poll(&mut client, &mut server).is_pending());
    assert_eq!(server.written, b"0123456789abcdef");
    assert!(!rig.relay.unread().stalled);
}

#[test]
fn does_not_read_what_cannot_be_written() {
    let mut rig = Rig::new(b"");
    let mut client = Scripted::roomy().says(b"x");
    let mut server = Scripted::default();
    assert!(rig.poll(&mut client, &mut server).is_pending());
    assert_eq!(client.reads, 0);
    assert_eq!(server.reads, 1, "the other direction is independent");
    assert!(rig.relay.unread().stalled);
}

#[test]
fn an_end_waits_for_the_remainder() {
    let mut rig = Rig::new(b"");
    let mut client = Scripted::roomy().says(b"abcd").ends();
    let mut server = Scripted::roomy();
    server.room = 2;
    assert!(rig.poll(&mut client, &mut server).is_pending());
    assert!(!server.ended);
    server.room = usize::MAX;
    assert!(rig.poll(&mut client, &mut server).is_pending());
    assert_eq!(server.written, b"abcd");
    assert!(server.ended);
}

#[test]
fn a_failed_read_is_never_an_end() {
    let mut rig = Rig::new(b"");
    let mut client = Scripted::roomy();
    let mut server = Scripted::roomy().says(b"half").fails();
    assert!(matches!(rig.poll(&mut client, &mut server), Poll::Ready(Err(Broken::Server(_)))));
    assert_eq!(client.written, b"half");
    assert!(!client.ended);

    let mut rig = Rig::new(b"");
    let mut client = Scripted::roomy().fails();
    let mut server = Scripted::roomy();
    assert!(matches!(rig.poll(&mut client, &mut server), Poll::Ready(Err(Broken::Client(_)))));
    assert!(!server.ended);
}

#[test]
fn a_failed_write_still_passes_on_what_the_server_said() {
    let mut rig = Rig::new(b"");
    let mut client = Scripted::roomy().says(b"a body nobody wants");
    // The socket's error was consumed by the write, so the kernel now reports a plain end.
    let mut server = Scripted::roomy().says(b"413 too large").ends();
    server.fail_writes = true;
    assert!(matches!(rig.poll(&mut client, &mut server), Poll::Ready(Err(Broken::Server(_)))));
    assert_eq!(client.written, b"413 too large");
    assert!(!client.ended, "a broken flow never ends cleanly");
}

#[test]
fn a_large_remainder_keeps_the_block_instead_of_copying() {
    let mut rig = Rig::new(b"");
    let data: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
    let mut client = Scripted::roomy().says(&data).says(b"more");
    let mut server = Scripted::roomy();
    server.room = 100;
    assert!(rig.poll(&mut client, &mut server).is_pending());
    assert_eq!(rig.relay.up.rest.len(), 199_900);
    // The block is in use, so the other direction reads into another.
    server = server.says(b"down");
    assert!(rig.poll(&mut client, &mut server).is_pending());
    assert_eq!(client.written, b"down");
    assert_eq!(rig.block.allocations(), 2);
    server.room = usize::MAX;
    assert!(rig.poll(&mut client, &mut server).is_pending());
    assert!(server.written == [&data[..], b"more"].concat());
}

#[test]
fn yields_after_its_turn() {
    let mut rig = Rig::new(b"");
    let mut client = Scripted::roomy().says(&vec![7; 3 * TURN]);
    client.chunk = TURN / 2;
    let mut server = Scripted::roomy();
    assert!(rig.poll(&mut client, &mut server).is_pending());
    assert_eq!(server.written.len(), TURN);
    assert_eq!(rig.wakes.0.load(Ordering::Relaxed), 1);
    assert!(rig.poll(&mut client, &mut server).is_pending());
    assert!(rig.poll(&mut client, &mut server).is_pending());
    assert_eq!(server.written.len(), 3 * TURN);
}

/// Somebody reads along: how often bulk of `said` may go through a pipe, and the requests that were seen.
fn observed(said: &[u8]) -> (usize, Vec<Request>) {
    let mut rig = Rig::new(b"");
    let (listener, requests) = (Listener::new(ListenerConfig::new("l", "a", "", 0)), Rc::new(Requests::default()));
    let tap = Rc::new(Tap::new(Wanted::Any, 0, Rc::new(listener), Rc::clone(&requests)));
    rig.meters.observe(&tap);
    let mut client = Scripted::roomy().says(said);
    (client.chunk, client.splices) = (BULK_FROM, true);
    let mut server = Scripted { splices: true, ..Scripted::roomy() };
    while server.written.len() < said.len() {
        let _ = rig.poll(&mut client, &mut server);
    }
    assert!(server.written == said);
    tap.finish();
    (client.pipes, requests.take().0.into_iter().map(|report| report.request).collect())
}

#[test]
fn what_is_read_along_goes_through_pipes_only_where_it_need_not_be_seen() {
    let body = vec![7; 8 * BULK_FROM];
    let put = |framing: &str| [format!("PUT / HTTP/1.1\r\n{framing}\r\n\r\n").as_bytes(), &body].concat();
    // All but the last of a body, of which a pipe could bring more than there is.
    let (pipes, requests) = observed(&put(&format!("Content-Length: {}", body.len())));
    assert_eq!((pipes, requests[0].octets), (6, body.len() as u64));
    let chunks =
        body.chunks(1000).flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
    let chunks: Vec<u8> =
        b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".iter().copied().chain(chunks).collect();
    let (pipes, requests) = observed(&chunks);
    assert_eq!((pipes, requests[0].octets), (0, body.len() as u64));
    // Another protocol, and one that begins like this one.
    assert_eq!(observed(&body), (7, vec![]));
    let (pipes, requests) = observed(&put("Content-Length: x"));
    assert_eq!((pipes, requests.len()), (8, 0));
}
