//! HTTP/2 (RFC 9113): frames of both sides, and what they say of streams.

mod frame;

use std::time::Instant;

use crate::forwarded::Forwarding;
use crate::hpack::{Decoder, Field};
use crate::request::{Log, method};
use crate::{Request, Side, Stop};
use frame::{Frame, Frames, Kind, Piece};

/// What a client says first.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Header fields of a block in pieces.
const MAX_BLOCK: usize = 64 * 1024;

const HEADER_TABLE_SIZE: u16 = 1;

const MALFORMED: Stop = Stop::Malformed("a frame is malformed");

/// A connection, after the preface.
#[derive(Debug, Default)]
pub(crate) struct Http2 {
    client: Direction,
    server: Direction,
    /// The latest stream that the client has opened.
    latest: u32,
}

/// What one side sends.
#[derive(Debug, Default)]
struct Direction {
    frames: Frames,
    headers: Decoder,
    /// A block of header fields that goes on in the next frame.
    block: Option<Block>,
    /// It has sent its settings.
    begun: bool,
}

#[derive(Debug)]
struct Block {
    stream: u32,
    end_stream: bool,
    pushed: bool,
    fragments: Vec<u8>,
}

/// What a block of header fields says that matters.
#[derive(Debug, Default)]
struct Fields {
    method: Option<Vec<u8>>,
    status: Option<u16>,
    forwarding: Forwarding,
}

impl Http2 {
    pub(crate) fn read(&mut self, side: Side, bytes: &[u8], log: &mut Log, now: Instant) -> Result<(), Stop> {
        let mut frames = std::mem::take(&mut self.direction(side).frames);
        frames.read(bytes, |piece| match piece {
            Piece::Begin(frame) => self.begin(side, frame),
            Piece::Data { stream, n } => {
                log.count(u64::from(stream), side, n);
                Ok(())
            }
            Piece::DataEnd { stream } => {
                log.complete(u64::from(stream), side, now);
                Ok(())
            }
            Piece::Whole(frame, payload) => self.frame(side, frame, payload, log, now),
        })?;
        self.direction(side).frames = frames;
        Ok(())
    }

    const fn direction(&mut self, side: Side) -> &mut Direction {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// The head of a frame has come.
    fn begin(&mut self, side: Side, Frame { kind, stream, .. }: Frame) -> Result<(), Stop> {
        let direction = self.direction(side);
        if !direction.begun {
            direction.begun = true;
            return if kind == Kind::Settings { Ok(()) } else { Err(Stop::Malformed("this is not HTTP/2")) };
        }
        let goes_on = match &direction.block {
            Some(block) => kind == Kind::Continuation && block.stream == stream,
            None => kind != Kind::Continuation,
        };
        if goes_on { Ok(()) } else { Err(MALFORMED) }
    }

    fn frame(&mut self, side: Side, frame: Frame, payload: &[u8], log: &mut Log, now: Instant) -> Result<(), Stop> {
        let stream = u64::from(frame.stream);
        match frame.kind {
            Kind::Headers | Kind::PushPromise => {
                let fragment = frame.fragment(payload).ok_or(MALFORMED)?;
                let pushed = frame.kind == Kind::PushPromise;
                let end_stream = frame.ends_stream() && !pushed;
                if frame.ends_headers() {
                    return self.headers(side, (frame.stream, end_stream, pushed), fragment, log, now);
                }
                let fragments = fragment.to_vec();
                self.direction(side).block = Some(Block { stream: frame.stream, end_stream, pushed, fragments });
            }
            Kind::Continuation => {
                let direction = self.direction(side);
                let mut block = direction.block.take().ok_or(MALFORMED)?;
                if block.fragments.len() + payload.len() > MAX_BLOCK {
                    return Err(Stop::TooMuch("a block of header fields is too long"));
                }
                block.fragments.extend_from_slice(payload);
                if frame.ends_headers() {
                    let said = (block.stream, block.end_stream, block.pushed);
                    return self.headers(side, said, &block.fragments, log, now);
                }
                direction.block = Some(block);
            }
            Kind::Settings => {
                let (settings, rest) = payload.as_chunks::<6>();
                if !rest.is_empty() || frame.stream != 0 {
                    return Err(MALFORMED);
                }
                let other = if side == Side::Client { &mut self.server } else { &mut self.client };
                for [id1, id0, value @ ..] in settings.iter().filter(|_| !frame.is_ack()) {
                    if u16::from_be_bytes([*id1, *id0]) == HEADER_TABLE_SIZE {
                        other.headers.allow(u32::from_be_bytes(*value));
                    }
                }
            }
            Kind::ResetStream => log.finish(stream, now),
            Kind::GoAway => {
                let last =
                    payload.first_chunk().map(|last| u32::from_be_bytes(*last) & 0x7fff_ffff).ok_or(MALFORMED)?;
                if side == Side::Server {
                    // Those were not looked at, and may be tried elsewhere.
                    log.finish_if(|key| key > u64::from(last), now);
                }
            }
            Kind::Data | Kind::Other => {}
        }
        Ok(())
    }

    /// A block of header fields is complete.
    fn headers(
        &mut self,
        side: Side,
        (stream, end_stream, pushed): (u32, bool, bool),
        block: &[u8],
        log: &mut Log,
        now: Instant,
    ) -> Result<(), Stop> {
        let mut fields = Fields::default();
        self.direction(side).headers.decode(block, |field, value| fields.take(field, value))?;
        // What is pushed was asked for by nobody.
        if pushed || stream.is_multiple_of(2) {
            return if stream == 0 { Err(MALFORMED) } else { Ok(()) };
        }
        let key = u64::from(stream);
        match side {
            Side::Client if stream > self.latest => {
                self.latest = stream;
                let method = method(&fields.method.ok_or(MALFORMED)?)?;
                let mut request = Request::new(key, "HTTP/2", method, now);
                request.stream = Some(stream);
                request.source_host = fields.forwarding.host();
                log.begin(request);
            }
            // Fields after the body.
            Side::Client => {}
            Side::Server => {
                if let Some((request, status)) = log.get(key).zip(fields.status) {
                    request.answer(status, "", now);
                }
            }
        }
        if end_stream {
            log.complete(key, side, now);
        }
        Ok(())
    }
}

impl Fields {
    fn take(&mut self, field: Field, value: &[u8]) {
        match field {
            Field::Method => self.method = Some(value.to_vec()),
            Field::Status => {
                self.status =
                    std::str::from_utf8(value).ok().filter(|text| text.len() == 3).and_then(|text| text.parse().ok());
            }
            Field::XForwardedFor => self.forwarding.common(value),
            Field::Forwarded => self.forwarding.standard(value),
            Field::Other => {}
        }
    }
}
