//! Takes what a side sends apart into frames. Of those with data only the number of bytes is told; the few others that matter are put together.

use crate::Stop;

const HEAD: usize = 9;
/// The longest frame that is put together. Peers take 16 KiB unless they say otherwise.
const MAX_WHOLE: usize = 64 * 1024;

const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

const MALFORMED: Stop = Stop::Malformed("a frame is malformed");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Headers,
    ResetStream,
    Settings,
    PushPromise,
    GoAway,
    Continuation,
    /// Of no interest.
    Other,
}

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) stream: u32,
    flags: u8,
}

impl Frame {
    /// With the length of what follows.
    fn parse(head: [u8; HEAD]) -> (Self, usize) {
        let [length2, length1, length0, kind, flags, stream @ ..] = head;
        let kind = match kind {
            0 => Kind::Data,
            1 => Kind::Headers,
            3 => Kind::ResetStream,
            4 => Kind::Settings,
            5 => Kind::PushPromise,
            7 => Kind::GoAway,
            9 => Kind::Continuation,
            _ => Kind::Other,
        };
        let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
        (Self { kind, stream, flags }, u32::from_be_bytes([0, length2, length1, length0]) as usize)
    }

    pub(super) const fn ends_stream(self) -> bool {
        self.flags & END_STREAM != 0
    }

    pub(super) const fn ends_headers(self) -> bool {
        self.flags & END_HEADERS != 0
    }

    pub(super) const fn is_ack(self) -> bool {
        self.flags & ACK != 0
    }

    /// The part of the payload that is header fields.
    pub(super) fn fragment(self, mut payload: &[u8]) -> Option<&[u8]> {
        if self.flags & PADDED != 0 {
            let (padding, rest) = payload.split_first()?;
            payload = rest.get(..rest.len().checked_sub(usize::from(*padding))?)?;
        }
        match self.kind {
            Kind::Headers if self.flags & PRIORITY != 0 => payload.get(5..),
            Kind::PushPromise => payload.get(4..),
            _ => Some(payload),
        }
    }
}

/// What a side has sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// The head of a frame.
    Begin(Frame),
    /// So many bytes of the body of a stream.
    Data { stream: u32, n: u64 },
    /// The body of a stream is complete.
    DataEnd { stream: u32 },
    /// The payload of a frame other than data.
    Whole(Frame, &'a [u8]),
}

/// Where in a frame a side is.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: [u8; HEAD],
    has: usize,
    at: At,
}

#[derive(Debug, Default)]
enum At {
    #[default]
    Head,
    /// The length of padding follows, which is part of what is left.
    Padding {
        frame: Frame,
        left: usize,
    },
    /// Data, then padding.
    Data {
        frame: Frame,
        left: usize,
        padding: usize,
    },
    Whole {
        frame: Frame,
        left: usize,
        kept: Vec<u8>,
    },
    Skip {
        left: usize,
    },
}

impl At {
    fn of(frame: Frame, left: usize) -> Result<Self, Stop> {
        Ok(match frame.kind {
            Kind::Data if frame.flags & PADDED != 0 => Self::Padding { frame, left },
            Kind::Data => Self::Data { frame, left, padding: 0 },
            Kind::Other => Self::Skip { left },
            _ if left > MAX_WHOLE => return Err(Stop::TooMuch("a frame is too long")),
            _ => Self::Whole { frame, left, kept: Vec::new() },
        })
    }
}

impl Frames {
    /// Reads everything, and tells what it is.
    pub(super) fn read(
        &mut self,
        mut bytes: &[u8],
        mut tell: impl FnMut(Piece<'_>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let mut take = |most: usize| {
            let (taken, rest) = bytes.split_at(most.min(bytes.len()));
            bytes = rest;
            taken
        };
        loop {
            let next = match &mut self.at {
                At::Head => {
                    let taken = take(HEAD - self.has);
                    if let Some(room) = self.head.get_mut(self.has..self.has + taken.len()) {
                        room.copy_from_slice(taken);
                    }
                    self.has += taken.len();
                    if self.has < HEAD {
                        return Ok(());
                    }
                    self.has = 0;
                    let (frame, left) = Frame::parse(self.head);
                    tell(Piece::Begin(frame))?;
                    At::of(frame, left)?
                }
                At::Padding { left: 0, .. } => return Err(MALFORMED),
                At::Padding { frame, left } => {
                    let [padding] = *take(1) else { return Ok(()) };
                    let padding = usize::from(padding);
                    let left = (*left - 1).checked_sub(padding).ok_or(MALFORMED)?;
                    At::Data { frame: *frame, left, padding }
                }
                At::Data { frame, left, padding } => {
                    let n = take(*left).len();
                    *left -= n;
                    if n > 0 {
                        tell(Piece::Data { stream: frame.stream, n: n as u64 })?;
                    }
                    if *left > 0 {
                        return Ok(());
                    }
                    if frame.ends_stream() {
                        tell(Piece::DataEnd { stream: frame.stream })?;
                    }
                    At::Skip { left: *padding }
                }
                At::Whole { frame, left, kept } => {
                    let taken = take(*left);
                    *left -= taken.len();
                    if *left > 0 {
                        kept.extend_from_slice(taken);
                        return Ok(());
                    }
                    if kept.is_empty() {
                        tell(Piece::Whole(*frame, taken))?;
                    } else {
                        kept.extend_from_slice(taken);
                        tell(Piece::Whole(*frame, kept))?;
                    }
                    At::Head
                }
                At::Skip { left } => {
                    *left -= take(*left).len();
                    if *left > 0 {
                        return Ok(());
                    }
                    At::Head
                }
            };
            self.at = next;
        }
    }
}
