//! Where received bodies go. A thread of its own writes them, so that a slow disk or a pager that nobody scrolls keeps the connection
//! alive; what it has not written counts against the session's window, and messages are accepted when it has.

use std::fs::File;
use std::io::{ErrorKind, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::show::TextEscape;

/// Lines are given to the standard output in pieces of this size, or when there are no more.
const FLUSH: usize = 64 * 1024;

/// A thing to do.
#[derive(Debug)]
pub(crate) enum Op {
    /// Content of a body.
    Content(Bytes),
    /// Something that was made readable.
    Shown(String),
    /// The message with this delivery-id is complete.
    End(u32),
    /// The message will not be completed.
    Abort,
}

/// Things to do together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// In their order.
    pub(crate) ops: Vec<Op>,
    /// Bytes that count against the window until this is done.
    pub(crate) held: usize,
}

/// What was done.
#[derive(Debug)]
pub(crate) struct Written {
    /// Delivery-ids of the messages that are complete.
    pub(crate) done: Vec<u32>,
    /// [`Batch::held`].
    pub(crate) held: usize,
    /// Nothing more can be written.
    pub(crate) error: Option<anyhow::Error>,
    /// That is because nobody reads the standard output any more.
    pub(crate) unread: bool,
}

/// Where bodies go.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// A line for each, to the standard output.
    Lines,
    /// As they are to the standard output.
    Stdout,
    /// As they are, one behind the other, to a file.
    File(PathBuf),
}

/// The thread, seen from the connection.
#[derive(Debug)]
pub(crate) struct Writer {
    batches: Option<UnboundedSender<Batch>>,
    written: UnboundedReceiver<Written>,
    thread: JoinHandle<()>,
    /// Batches of which nothing was heard.
    waiting: usize,
}

impl Writer {
    /// Opens the place and starts the thread.
    ///
    /// # Errors
    /// The file cannot be created.
    pub(crate) fn start(place: &Place) -> Result<Self> {
        let mut sink = Sink::open(place)?;
        // Bounded by the session's window and the link's credit.
        let (batches, mut inbox) = unbounded_channel::<Batch>();
        let (outbox, written) = unbounded_channel();
        let thread = std::thread::Builder::new().name("output".to_owned()).spawn(move || {
            while let Some(batch) = inbox.blocking_recv() {
                let mut done = Vec::new();
                let result = sink.write(batch.ops, &mut done);
                let failed = result.is_err();
                let unread = matches!(sink, Sink::Lines(_) | Sink::Stdout)
                    && result.as_ref().is_err_and(|error| error.kind() == ErrorKind::BrokenPipe);
                let error = result.err().map(|error| sink.explain(error));
                if outbox.send(Written { done, held: batch.held, error, unread }).is_err() || failed {
                    break;
                }
            }
            sink.end();
        })?;
        Ok(Self { batches: Some(batches), written, thread, waiting: 0 })
    }

    /// Has something written.
    pub(crate) fn put(&mut self, batch: Batch) {
        if let Some(batches) = &self.batches
            && batches.send(batch).is_ok()
        {
            self.waiting += 1;
        }
    }

    /// True if nothing is left to be written.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting == 0
    }

    /// Waits for the next that was written; for ever if there is nothing. Can be dropped at any time.
    pub(crate) async fn written(&mut self) -> Written {
        match self.written.recv().await {
            Some(written) => {
                self.waiting = self.waiting.saturating_sub(1);
                written
            }
            None => std::future::pending().await,
        }
    }

    /// What was written already.
    pub(crate) fn try_written(&mut self) -> Option<Written> {
        let written = self.written.try_recv().ok()?;
        self.waiting = self.waiting.saturating_sub(1);
        Some(written)
    }

    /// Ends the thread when it has done its work. A file ends with its last complete message.
    pub(crate) fn finish(mut self) {
        self.batches = None;
        if self.waiting == 0 {
            // It writes nothing any more, so it cannot hang.
            let _ = self.thread.join();
        }
    }
}

#[derive(Debug)]
enum Sink {
    Lines(Lines<std::io::Stdout>),
    Stdout,
    File(BodyFile),
}

impl Sink {
    fn open(place: &Place) -> Result<Self> {
        Ok(match place {
            Place::Lines => Self::Lines(Lines::new(std::io::stdout())),
            Place::Stdout => Self::Stdout,
            Place::File(path) => Self::File(BodyFile::create(path)?),
        })
    }

    fn write(&mut self, ops: Vec<Op>, done: &mut Vec<u32>) -> std::io::Result<()> {
        match self {
            Self::Lines(lines) => lines.write(ops, done),
            Self::Stdout => {
                let mut stdout = std::io::stdout().lock();
                let mut ended = Vec::new();
                for op in ops {
                    match op {
                        Op::Content(bytes) => stdout.write_all(&bytes)?,
                        Op::Shown(text) => stdout.write_all(text.as_bytes())?,
                        Op::End(id) => ended.push(id),
                        Op::Abort => {}
                    }
                }
                stdout.flush()?;
                done.append(&mut ended);
                Ok(())
            }
            Self::File(file) => file.write(ops, done),
        }
    }

    fn explain(&self, error: std::io::Error) -> anyhow::Error {
        match self {
            Self::File(file) => anyhow::Error::new(error).context(format!("cannot write {}", file.path.display())),
            _ => anyhow::Error::new(error).context("cannot write to the standard output"),
        }
    }

    fn end(&mut self) {
        match self {
            Self::Lines(lines) => lines.end(),
            Self::Stdout => {}
            Self::File(file) => file.end(),
        }
    }
}

/// Bodies as lines.
#[derive(Debug)]
struct Lines<W> {
    to: W,
    /// What was not given to `to`.
    out: Vec<u8>,
    /// Where the message that is not complete begins in `out`.
    start: usize,
    /// Part of it is not in `out` any more.
    begun: bool,
    escape: TextEscape,
    /// The last byte of the message's text.
    last: Option<u8>,
}

impl<W: Write> Lines<W> {
    fn new(to: W) -> Self {
        Self { to, out: Vec::new(), start: 0, begun: false, escape: TextEscape::default(), last: None }
    }

    fn write(&mut self, ops: Vec<Op>, done: &mut Vec<u32>) -> std::io::Result<()> {
        let mut ended = Vec::new();
        for op in ops {
            match op {
                Op::Content(bytes) => {
                    self.last = bytes.last().copied().or(self.last);
                    self.escape.push(&bytes, &mut self.out);
                }
                Op::Shown(text) => {
                    self.last = text.bytes().last().or(self.last);
                    self.out.extend_from_slice(text.as_bytes());
                }
                Op::End(id) => {
                    self.line();
                    ended.push(id);
                }
                Op::Abort if self.begun => self.line(),
                Op::Abort => {
                    self.out.truncate(self.start);
                    self.escape = TextEscape::default();
                    self.last = None;
                }
            }
            if self.out.len() >= FLUSH {
                self.to.write_all(&self.out)?;
                self.begun = self.start < self.out.len() || self.begun;
                self.out.clear();
                self.start = 0;
            }
        }
        // Only complete messages, so that one which is aborted leaves no trace, unless it is large.
        self.to.write_all(self.out.get(..self.start).unwrap_or_default())?;
        self.to.flush()?;
        self.out.drain(..self.start);
        self.start = 0;
        done.append(&mut ended);
        Ok(())
    }

    /// Ends the line, unless the text did.
    fn line(&mut self) {
        self.escape.finish(&mut self.out);
        if self.last.take() != Some(b'\n') {
            self.out.push(b'\n');
        }
        self.start = self.out.len();
        self.begun = false;
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.begun) {
            let _ = self.to.write_all(b"\n");
            let _ = self.to.flush();
        }
    }
}

/// Bodies in a file.
#[derive(Debug)]
struct BodyFile {
    path: PathBuf,
    file: File,
    /// Where the message that is not complete begins.
    start: u64,
    /// Where the file ends.
    at: u64,
}

impl BodyFile {
    fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { path: path.to_owned(), file, start: 0, at: 0 })
    }

    fn write(&mut self, ops: Vec<Op>, done: &mut Vec<u32>) -> std::io::Result<()> {
        for op in ops {
            match op {
                Op::Content(bytes) => self.append(&bytes)?,
                Op::Shown(text) => self.append(text.as_bytes())?,
                Op::End(id) => {
                    self.start = self.at;
                    done.push(id);
                }
                Op::Abort => self.cut()?,
            }
        }
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.at += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    /// Takes away what belongs to no complete message. Of pipes and devices nothing can be taken.
    fn cut(&mut self) -> std::io::Result<()> {
        if self.at > self.start && self.file.metadata()?.is_file() {
            self.file.set_len(self.start)?;
            self.file.seek(SeekFrom::Start(self.start))?;
            self.at = self.start;
        }
        Ok(())
    }

    fn end(&mut self) {
        // The reason for an incomplete message is told by whoever knows it.
        let _ = self.cut();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(text: &'static str) -> Op {
        Op::Content(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn each_body_is_a_line() {
        let mut lines = Lines::new(Vec::new());
        let mut done = Vec::new();
        let ops = vec![content("a"), content("b"), Op::End(1), Op::End(2), content("c\n"), Op::End(3), content("x")];
        lines.write(ops, &mut done).expect("a vector takes all");
        assert_eq!((lines.to.as_slice(), &done), (&b"ab\n\nc\n"[..], &vec![1, 2, 3]));
        lines.write(vec![Op::Abort, Op::Shown("{}".to_owned()), Op::End(4)], &mut done).expect("a vector takes all");
        lines.end();
        assert_eq!(lines.to, b"ab\n\nc\n{}\n");
    }

    #[test]
    fn a_large_body_is_passed_on_before_its_end() {
        let mut lines = Lines::new(Vec::new());
        let large = || Op::Content(Bytes::from(vec![b'x'; FLUSH]));
        let mut done = Vec::new();
        lines.write(vec![large(), content("y")], &mut done).expect("a vector takes all");
        assert_eq!(lines.to.len(), FLUSH);
        lines.write(vec![Op::Abort, content("z"), Op::End(1)], &mut done).expect("a vector takes all");
        assert_eq!(lines.to.get(FLUSH..), Some(&b"y\nz\n"[..]));
        lines.write(vec![large()], &mut done).expect("a vector takes all");
        lines.end();
        assert_eq!(lines.to.last(), Some(&b'\n'));
    }

    #[test]
    fn a_file_holds_complete_messages_only() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("out");
        let mut file = BodyFile::create(&path).expect("a file");
        let mut done = Vec::new();
        let ops =
            vec![content("one"), Op::End(1), content("half"), Op::Abort, content("two"), Op::End(2), content("x")];
        file.write(ops, &mut done).expect("written");
        file.end();
        assert_eq!(std::fs::read_to_string(&path).expect("a file"), "onetwo");
        assert_eq!(done, [1, 2]);
    }

    #[test]
    fn a_file_that_cannot_be_made_is_named() {
        let error = Writer::start(&Place::File("/nonexistent/out".into())).expect_err("no directory");
        assert!(format!("{error:#}").starts_with("cannot write /nonexistent/out: "), "{error:#}");
    }
}
