//! Bodies, by what delimits them.

use crate::Stop;

/// What is left of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    /// Nothing.
    Empty,
    /// So many bytes.
    Length(u64),
    /// Everything, until the sender ends the connection.
    UntilEnd,
    /// Chunks.
    Chunked(Chunk),
}

/// Where in a chunked body it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunk {
    /// In the size of a chunk, of which so many digits have come.
    Size { size: u64, digits: u8 },
    /// In the rest of that line: extensions have no meaning here.
    Extension { size: u64 },
    /// In what the chunk holds.
    Data(u64),
    /// In the end of line after it.
    DataEnd,
    /// In the fields after the last chunk; `empty`: nothing has come of the line.
    Trailer { empty: bool },
}

const MALFORMED: Stop = Stop::Malformed("a chunk is malformed");

/// What a piece of a body was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Piece {
    /// So many bytes belong to the body, the rest does not.
    pub(super) consumed: usize,
    /// So many of them are its content.
    pub(super) payload: u64,
}

impl Body {
    /// One in chunks.
    pub(super) const fn chunked() -> Self {
        Self::Chunked(Chunk::Size { size: 0, digits: 0 })
    }

    pub(super) const fn is_complete(&self) -> bool {
        matches!(self, Self::Empty)
    }

    const fn of_length(left: u64) -> Self {
        if left == 0 { Self::Empty } else { Self::Length(left) }
    }

    /// Takes what belongs to it.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Piece, Stop> {
        match self {
            Self::Empty => Ok(Piece::default()),
            Self::UntilEnd => Ok(Piece { consumed: bytes.len(), payload: bytes.len() as u64 }),
            Self::Length(left) => {
                let taken = (*left).min(bytes.len() as u64);
                *self = Self::of_length(*left - taken);
                Ok(Piece { consumed: taken as usize, payload: taken })
            }
            Self::Chunked(_) => self.read_chunks(bytes),
        }
    }

    fn read_chunks(&mut self, bytes: &[u8]) -> Result<Piece, Stop> {
        let mut piece = Piece::default();
        while let (Self::Chunked(chunk), Some(rest @ [byte, ..])) = (&mut *self, bytes.get(piece.consumed..)) {
            if let Chunk::Data(left) = chunk {
                let taken = (*left).min(rest.len() as u64);
                *left -= taken;
                if *left == 0 {
                    *chunk = Chunk::DataEnd;
                }
                piece.consumed += taken as usize;
                piece.payload += taken;
                continue;
            }
            piece.consumed += 1;
            match chunk.next(*byte)? {
                Some(next) => *chunk = next,
                None => *self = Self::Empty,
            }
        }
        Ok(piece)
    }

    /// So many bytes that come next are content.
    pub(super) const fn unseen(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Length(left) | Self::Chunked(Chunk::Data(left)) => *left,
            Self::UntilEnd => u64::MAX,
            Self::Chunked(_) => 0,
        }
    }

    /// So many bytes of content went by.
    pub(super) fn skip(&mut self, n: u64) -> Result<(), Stop> {
        let left = self.unseen().checked_sub(n).ok_or(Stop::TooMuch("bytes went by unseen"))?;
        match self {
            Self::Length(_) => *self = Self::of_length(left),
            Self::Chunked(chunk) => *chunk = if left == 0 { Chunk::DataEnd } else { Chunk::Data(left) },
            Self::Empty | Self::UntilEnd => {}
        }
        Ok(())
    }
}

impl Chunk {
    /// What follows a byte that is no content; none if the body is complete.
    fn next(self, byte: u8) -> Result<Option<Self>, Stop> {
        let begun = |size| if size == 0 { Self::Trailer { empty: true } } else { Self::Data(size) };
        Ok(Some(match (self, byte) {
            (Self::Size { digits: 0, .. }, b'\r' | b'\n' | b';') => return Err(MALFORMED),
            (Self::Size { size, .. } | Self::Extension { size }, b'\n') => begun(size),
            (Self::Size { size, .. }, b'\r' | b' ' | b'\t' | b';') => Self::Extension { size },
            (Self::Size { size, digits }, _) => {
                let digit = char::from(byte).to_digit(16).filter(|_| digits < 16).ok_or(MALFORMED)?;
                Self::Size { size: (size << 4) | u64::from(digit), digits: digits + 1 }
            }
            (Self::Extension { size }, _) => Self::Extension { size },
            (Self::DataEnd, b'\r') => self,
            (Self::DataEnd, b'\n') => Self::Size { size: 0, digits: 0 },
            (Self::DataEnd | Self::Data(_), _) => return Err(MALFORMED),
            (Self::Trailer { empty: true }, b'\n') => return Ok(None),
            (Self::Trailer { empty }, b'\r') => Self::Trailer { empty },
            (Self::Trailer { .. }, _) => Self::Trailer { empty: byte == b'\n' },
        }))
    }
}
