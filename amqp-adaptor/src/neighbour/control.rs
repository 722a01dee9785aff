//! Messages of the routing protocol on a connection: complete ones for the control thread, and those that wait for credit.

use std::collections::VecDeque;

use amqp_proto::connection::{Connection, End, LinkId, Payload, SendHead};
use bytes::Bytes;

/// The largest message of the routing protocol that is taken, in bytes: the list of all addresses of a router of the reference's make, which
/// does not divide it, takes some 50 for each.
pub const MAX_CONTROL_MESSAGE: usize = 8 * 1024 * 1024;

/// What may wait on a connection for credit, in bytes. What is lost beyond it is asked for again: the routing protocol numbers its updates.
const MAX_QUEUED: usize = 64 * 1024 * 1024;

/// A message for a neighbour's control link, complete with its router annotations. Sent settled.
#[derive(Clone, Debug)]
pub struct ControlMessage {
    /// The encoded message.
    pub bytes: Bytes,
    /// It is a hello: of those that wait, only the newest is worth sending.
    pub hello: bool,
}

/// Messages that wait to be sent.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<ControlMessage>,
    bytes: usize,
    /// What the peer has of the first one.
    sent: usize,
    /// A part of it is on its way, even if that is none of its bytes.
    started: bool,
    pub(crate) dropped: u64,
}

impl Outbox {
    /// Adds a message. Drops a hello that still waits for a newer one, and the oldest messages beyond [`MAX_QUEUED`].
    pub(crate) fn push(&mut self, message: ControlMessage) {
        let first = usize::from(self.started);
        if message.hello
            && let Some(at) = self.queue.iter().skip(first).position(|m| m.hello)
        {
            self.remove(first + at);
        }
        self.bytes += message.bytes.len();
        self.queue.push_back(message);
        while self.bytes > MAX_QUEUED && self.queue.len() > first + 1 {
            self.remove(first);
            self.dropped += 1;
        }
    }

    fn remove(&mut self, at: usize) {
        if let Some(message) = self.queue.remove(at) {
            self.bytes -= message.bytes.len();
        }
    }

    /// Sends what credit and window allow.
    pub(crate) fn flush(&mut self, engine: &mut Connection, link: LinkId) {
        while let Some(message) = self.queue.front() {
            let head = SendHead { settled: true, ..SendHead::default() };
            let payload = Payload::range(&message.bytes, self.sent, message.bytes.len());
            let sent = engine.send(link, &head, &payload, End::Complete);
            self.sent += sent.taken;
            self.started |= sent.started;
            if !sent.done {
                return;
            }
            self.remove(0);
            (self.sent, self.started) = (0, false);
        }
    }

    /// The link is gone, and with it what was half sent. The rest means nothing to whoever attaches next.
    pub(crate) fn clear(&mut self) {
        *self = Self { dropped: self.dropped, ..Self::default() };
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.queue.len()
    }
}

/// A message that is arriving.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    parts: Vec<u8>,
    /// It is too large: the rest is thrown away.
    too_large: bool,
}

/// What a frame made of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrived {
    /// More has to come.
    Nothing,
    /// This is the message.
    Message(Bytes),
    /// It was larger than [`MAX_CONTROL_MESSAGE`].
    TooLarge,
}

impl Inbox {
    /// Takes a frame of the message.
    pub(crate) fn frame(&mut self, payload: &[u8], first: bool, end: End) -> Arrived {
        if first {
            self.parts.clear();
            self.too_large = false;
        }
        self.too_large |= self.parts.len() + payload.len() > MAX_CONTROL_MESSAGE;
        if self.too_large {
            self.parts = Vec::new();
        } else if first && end == End::Complete {
            // A copy: the block that it came in is much larger.
            return Arrived::Message(Bytes::copy_from_slice(payload));
        } else {
            self.parts.extend_from_slice(payload);
        }
        match end {
            End::More => Arrived::Nothing,
            End::Aborted => {
                self.parts = Vec::new();
                Arrived::Nothing
            }
            End::Complete if self.too_large => Arrived::TooLarge,
            End::Complete => Arrived::Message(Bytes::from(std::mem::take(&mut self.parts))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(byte: u8, len: usize, hello: bool) -> ControlMessage {
        ControlMessage { bytes: Bytes::from(vec![byte; len]), hello }
    }

    #[test]
    fn only_the_newest_hello_waits() {
        let mut outbox = Outbox::default();
        outbox.push(message(1, 10, true));
        outbox.push(message(2, 10, false));
        outbox.push(message(3, 10, true));
        let left: Vec<u8> = outbox.queue.iter().map(|m| m.bytes[0]).collect();
        assert_eq!((left, outbox.bytes, outbox.dropped), (vec![2, 3], 20, 0));
        // One that is half sent goes on.
        outbox.queue.swap(0, 1);
        outbox.started = true;
        outbox.push(message(4, 10, true));
        let left: Vec<u8> = outbox.queue.iter().map(|m| m.bytes[0]).collect();
        assert_eq!(left, [3, 2, 4]);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut outbox = Outbox::default();
        for n in 0..20 {
            outbox.push(message(n, MAX_CONTROL_MESSAGE, false));
            assert!(outbox.bytes <= MAX_QUEUED);
        }
        assert_eq!((outbox.len(), outbox.dropped, outbox.queue[0].bytes[0]), (8, 12, 12));
        // One that is larger than the bound by itself waits alone.
        outbox.push(message(1, 2 * MAX_QUEUED, false));
        assert_eq!(outbox.len(), 1);
        outbox.clear();
        assert_eq!((outbox.len(), outbox.bytes, outbox.dropped), (0, 0, 20));
    }

    #[test]
    fn messages_are_put_together_and_bounded() {
        let mut inbox = Inbox::default();
        assert_eq!(inbox.frame(b"one", true, End::Complete), Arrived::Message("one".into()));
        assert_eq!(inbox.frame(b"t", true, End::More), Arrived::Nothing);
        assert_eq!(inbox.frame(b"w", false, End::More), Arrived::Nothing);
        assert_eq!(inbox.frame(b"o", false, End::Complete), Arrived::Message("two".into()));
        assert_eq!(inbox.frame(b"lost", true, End::More), Arrived::Nothing);
        assert_eq!(inbox.frame(b"", false, End::Aborted), Arrived::Nothing);
        let half = vec![0; MAX_CONTROL_MESSAGE / 2];
        assert_eq!(inbox.frame(&half, true, End::More), Arrived::Nothing);
        assert_eq!(inbox.frame(&half, false, End::More), Arrived::Nothing);
        assert_eq!(inbox.frame(b"!", false, End::More), Arrived::Nothing);
        assert_eq!(inbox.parts.capacity(), 0);
        assert_eq!(inbox.frame(b"!", false, End::Complete), Arrived::TooLarge);
        assert_eq!(inbox.frame(b"next", true, End::Complete), Arrived::Message("next".into()));
    }
}
