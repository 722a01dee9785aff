//! A client that does what a test tells it, legal or not.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::frame::{Frame, code};
use super::value::V;

/// The protocol header of AMQP 1.0.
pub const AMQP_HEADER: [u8; 8] = *b"AMQP\x00\x01\x00\x00";
/// The protocol header of the SASL layer.
pub const SASL_HEADER: [u8; 8] = *b"AMQP\x03\x01\x00\x00";
/// How long a peer waits for what it expects.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// A connection to the router.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
}

impl Peer {
    /// Connects; nothing is sent.
    ///
    /// # Panics
    /// When the connection is refused. So do all methods when their expectation is not met in `TIMEOUT`.
    pub fn connect(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        Self { stream }
    }

    /// Connects and opens with the bare AMQP header.
    pub fn opened(port: u16) -> Self {
        let mut peer = Self::connect(port);
        peer.open("raw");
        peer
    }

    /// Connects, opens and begins a session on channel 0.
    pub fn begun(port: u16) -> Self {
        let mut peer = Self::opened(port);
        peer.send(&Frame::begin());
        peer.expect(code::BEGIN);
        peer
    }

    /// Exchanges headers and opens; returns the router's `open`.
    pub fn open(&mut self, container: &str) -> Frame {
        self.send_bytes(&AMQP_HEADER);
        self.send(&Frame::open(container));
        assert_eq!(self.read_header(), Some(AMQP_HEADER));
        self.expect(code::OPEN)
    }

    /// Closes and waits for the answer.
    pub fn close(&mut self) {
        self.send(&Frame::close());
        self.expect(code::CLOSE);
    }

    /// Attaches a sender and waits for the answer and for credit; returns the credit.
    pub fn attach_sender(&mut self, handle: u32, target: Option<&str>) -> u32 {
        self.send(&Frame::sender(&format!("sender-{handle}"), handle, target));
        let answer = self.expect(code::ATTACH);
        assert_ne!(*answer.field(6), V::Null, "the router refused the link: {answer:?}");
        let flow = self.expect(code::FLOW);
        flow.field(6).number().unwrap() as u32
    }

    /// Attaches a receiver, gives it `credit`, returns the router's `attach`.
    pub fn attach_receiver(&mut self, handle: u32, source: Option<&str>, credit: u32) -> Frame {
        self.send(&Frame::receiver(&format!("receiver-{handle}"), handle, source));
        let answer = self.expect(code::ATTACH);
        assert_ne!(*answer.field(5), V::Null, "the router refused the link: {answer:?}");
        if credit > 0 {
            self.send(&Frame::credit(handle, 0, credit));
        }
        answer
    }

    /// Sends a frame.
    pub fn send(&mut self, frame: &Frame) {
        self.send_bytes(&frame.bytes());
    }

    /// Sends a frame; that the router closed the connection meanwhile is no error.
    pub fn try_send(&mut self, frame: &Frame) -> bool {
        self.stream.write_all(&frame.bytes()).is_ok()
    }

    /// Sends bytes.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Reads a protocol header; `None` when the router hung up instead.
    pub fn read_header(&mut self) -> Option<[u8; 8]> {
        let mut header = [0; 8];
        self.read_exact(&mut header).then_some(header)
    }

    /// The next frame, empty ones included; `None` at the end of the connection.
    pub fn next_any(&mut self) -> Option<Frame> {
        let mut size = [0; 4];
        if !self.read_exact(&mut size) {
            return None;
        }
        let size = u32::from_be_bytes(size) as usize;
        assert!((8..=16 << 20).contains(&size), "a frame of {size} bytes");
        let mut rest = vec![0; size - 4];
        assert!(self.read_exact(&mut rest), "the connection ended within a frame");
        Some(Frame::parse(&rest))
    }

    /// The next frame that is not empty; `None` at the end of the connection.
    pub fn next_frame(&mut self) -> Option<Frame> {
        loop {
            match self.next_any() {
                Some(frame) if frame.code.is_none() => {}
                other => return other,
            }
        }
    }

    /// The next frame of a kind; others are skipped, but not the end of what it belongs to.
    pub fn expect(&mut self, wanted: u64) -> Frame {
        loop {
            let frame = self.next_frame().unwrap_or_else(|| panic!("the router hung up before {wanted:#04x}"));
            let got = frame.code.unwrap_or(0);
            if got == wanted {
                return frame;
            }
            let fatal = matches!(got, code::DETACH | code::END | code::CLOSE);
            assert!(!fatal, "the router sent {frame:?} before {wanted:#04x}");
        }
    }

    /// The next delivery, to its end: its last transfer and its whole payload.
    pub fn expect_delivery(&mut self) -> (Frame, Vec<u8>) {
        let mut payload = Vec::new();
        let mut first: Option<Frame> = None;
        loop {
            let part = self.expect(code::TRANSFER);
            payload.extend_from_slice(&part.payload);
            let first = first.get_or_insert_with(|| part.clone());
            if !part.field(5).is_true() || part.field(9).is_true() {
                // What only the first transfer must say.
                let whole = (1..=3).fold(part, |frame, index| frame.with(index, first.field(index).clone()));
                return (whole, payload);
            }
        }
    }

    /// The next frame, whatever precedes it, that ends a link, session or connection: its descriptor, condition and
    /// description.
    pub fn expect_error(&mut self, wanted: u64) -> (String, String) {
        loop {
            let frame = self.next_frame().unwrap_or_else(|| panic!("the router hung up without a reason"));
            let got = frame.code.unwrap_or(0);
            if !matches!(got, code::DETACH | code::END | code::CLOSE) {
                continue;
            }
            assert_eq!(got, wanted, "the router sent {frame:?}");
            let error = frame.field(if got == code::DETACH { 2 } else { 0 });
            assert_eq!(error.descriptor(), Some(0x1d), "no error in {frame:?}");
            let text = |index| error.field(index).text().unwrap_or_default().to_owned();
            let (condition, description): (String, String) = (text(0), text(1));
            assert!(!description.is_empty(), "{condition} without a description");
            return (condition, description);
        }
    }

    /// The router closes the connection with one of `conditions`, then hangs up.
    pub fn expect_close(&mut self, conditions: &[&str]) {
        let (got, description) = self.expect_error(code::CLOSE);
        assert!(conditions.contains(&got.as_str()), "{got}: {description}; expected {conditions:?}");
        self.try_send(&Frame::close());
        self.expect_end();
    }

    /// The router ends the session with `condition`; the connection stays.
    pub fn expect_session_end(&mut self, condition: &str) {
        let (got, description) = self.expect_error(code::END);
        assert_eq!(got, condition, "{description}");
        self.send(&Frame::end());
        self.close();
    }

    /// The router detaches a link with `condition`; session and connection stay.
    pub fn expect_detach(&mut self, condition: &str) {
        let (got, description) = self.expect_error(code::DETACH);
        assert_eq!(got, condition, "{description}");
    }

    /// The router hangs up; frames before that are skipped.
    pub fn expect_end(&mut self) {
        while self.next_any().is_some() {}
    }

    /// The router sends nothing but empty frames and flows for as long as a round trip on the connection takes.
    /// (The round trip is a session on an unused channel.)
    pub fn expect_nothing(&mut self, channel: u16) {
        self.send(&Frame::begin().on(channel));
        self.send(&Frame::end().on(channel));
        loop {
            let frame = self.next_frame().expect("the connection stays");
            match frame.code.unwrap_or(0) {
                code::BEGIN | code::FLOW => {}
                code::END if frame.field(0) == &V::Null => return,
                _ => panic!("unexpected {frame:?}"),
            }
        }
    }

    /// Stops reading for `limit` at most until the router sent something; `true` when it did.
    pub fn readable_within(&mut self, limit: Duration) -> bool {
        self.stream.set_read_timeout(Some(limit)).unwrap();
        let got = self.stream.peek(&mut [0]);
        self.stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        match got {
            Ok(_) => true,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// The socket, for what the methods do not offer.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Reads all of `buffer`; `false` when the connection ended (or was reset) before.
    fn read_exact(&mut self, buffer: &mut [u8]) -> bool {
        let begin = Instant::now();
        match self.stream.read_exact(buffer) {
            Ok(()) => true,
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => false,
            Err(error) => panic!("nothing from the router for {:?}: {error}", begin.elapsed()),
        }
    }
}
