//! Where the bodies to send come from. Files and the standard input are read by a thread of their own, a few blocks ahead, so that the
//! connection stays alive while they have nothing.

use std::fs::File;
use std::io::{BufRead as _, ErrorKind, IsTerminal as _, Read, Take};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use amqp_proto::Encode as _;
use amqp_proto::message::{Message, data_header};
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use bytes::Bytes;
use tokio::sync::mpsc::{Receiver, Sender, channel, error::TryRecvError};

use super::report::note;

/// How much is read at once, and the size of a data section whose end is not known when it begins.
const BLOCK: usize = 64 * 1024;
/// Blocks read ahead.
const AHEAD: usize = 8;
/// The longest line that is taken for a message, in bytes.
const LINE: u64 = 8 * 1024 * 1024;
/// The most of the standard input that is kept to be sent several times, in bytes.
const KEPT: u64 = 64 * 1024 * 1024;
/// The largest data section: its size has four bytes (AMQP 1.0 §1.6.19), and some clients count in signed numbers.
const SECTION: u64 = 1 << 30;

/// What to send, as the command line says it.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// This text.
    Text(String),
    /// The standard input, as one message.
    Stdin,
    /// Each line of the standard input.
    Lines,
    /// A file.
    File(PathBuf),
}

/// A part of what is to be sent: encoded body sections.
#[derive(Debug)]
pub(crate) struct Part {
    /// The bytes.
    pub(crate) bytes: Bytes,
    /// How many of them are content.
    pub(crate) content: usize,
    /// Nothing follows in this message.
    pub(crate) last: bool,
}

/// The bodies to send.
#[derive(Debug)]
pub(crate) struct Input {
    from: From,
    /// What was taken from the thread and not yet used.
    peeked: Option<Part>,
    failed: Option<anyhow::Error>,
    /// Bytes of content in all messages together, if known.
    pub(crate) total: Option<u64>,
    skip: Arc<AtomicU64>,
}

#[derive(Debug)]
enum From {
    Repeat { body: Bytes, content: usize, left: u64 },
    Thread(Receiver<Result<Part>>),
    Nothing,
}

impl Input {
    /// Opens the source, to be sent `count` times.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn open(what: &What, count: u64) -> Result<Self> {
        let skip = Arc::new(AtomicU64::new(u64::MAX));
        let (sender, receiver) = channel(AHEAD);
        let mut total = None;
        let from = match what {
            What::Text(text) => {
                total = Some(text.len() as u64 * count);
                From::Repeat { body: text_body(text), content: text.len(), left: count }
            }
            What::File(path) => {
                // Opened here, so that a wrong name is noticed before anything else happens.
                let (file, size) = open_file(path)?;
                total = size.map(|size| size * count);
                let (path, skip) = (path.clone(), Arc::clone(&skip));
                spawn(sender, move |out| read_file(&path, file, size, count, &skip, out))?;
                From::Thread(receiver)
            }
            What::Stdin => {
                let skip = Arc::clone(&skip);
                spawn(sender, move |out| read_stdin(count, &skip, out))?;
                From::Thread(receiver)
            }
            What::Lines => {
                if std::io::stdin().is_terminal() {
                    note(format_args!("each line that you type is a message; Ctrl-D ends"));
                }
                spawn(sender, move |out| read_lines(&mut std::io::stdin().lock(), count, out))?;
                From::Thread(receiver)
            }
        };
        Ok(Self { from, peeked: None, failed: None, total, skip })
    }

    /// The next part, if there is one now.
    pub(crate) fn take(&mut self) -> Option<Part> {
        self.look();
        self.peeked.take()
    }

    /// True if [`Input::take`] would answer something.
    pub(crate) fn has_next(&mut self) -> bool {
        self.look();
        self.peeked.is_some()
    }

    /// True if nothing will come any more.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.from, From::Nothing) && self.peeked.is_none()
    }

    /// Why it is over, if not because everything was read. Told once.
    pub(crate) fn failure(&mut self) -> Option<anyhow::Error> {
        if self.is_over() { self.failed.take() } else { None }
    }

    /// Nothing more is to be sent.
    pub(crate) fn stop(&mut self) {
        self.from = From::Nothing;
        self.peeked = None;
    }

    /// The rest of message number `index` (from 0) is of no use: it need not be read.
    pub(crate) fn skip(&self, index: u64) {
        self.skip.store(index, Ordering::Relaxed);
    }

    fn look(&mut self) {
        if self.peeked.is_some() {
            return;
        }
        match &mut self.from {
            From::Repeat { left: 0, .. } | From::Nothing => self.from = From::Nothing,
            From::Repeat { body, content, left } => {
                *left -= 1;
                self.peeked = Some(Part { bytes: body.clone(), content: *content, last: true });
            }
            From::Thread(receiver) => match receiver.try_recv() {
                Ok(part) => self.keep(Some(part)),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => self.keep(None),
            },
        }
    }

    fn keep(&mut self, part: Option<Result<Part>>) {
        match part {
            Some(Ok(part)) => self.peeked = Some(part),
            Some(Err(error)) => {
                self.failed = Some(error);
                self.from = From::Nothing;
            }
            None => self.from = From::Nothing,
        }
    }

    /// Waits until something can be taken, or it is over. Can be dropped at any time.
    pub(crate) async fn wait(&mut self) {
        if self.peeked.is_none()
            && let From::Thread(receiver) = &mut self.from
        {
            let part = receiver.recv().await;
            self.keep(part);
        }
    }
}

fn spawn(sender: Sender<Result<Part>>, work: impl FnOnce(&Out) -> Result<()> + Send + 'static) -> Result<()> {
    // Not one of the runtime's: nothing waits for a read of the standard input to end.
    std::thread::Builder::new().name("input".to_owned()).spawn(move || {
        let out = Out(sender);
        if let Err(error) = work(&out) {
            // Without a receiver nobody wants to know.
            let _ = out.0.blocking_send(Err(error));
        }
    })?;
    Ok(())
}

/// Where the thread puts what it read.
struct Out(Sender<Result<Part>>);

impl Out {
    /// False if nobody wants more.
    fn put(&self, bytes: Vec<u8>, content: usize, last: bool) -> bool {
        self.0.blocking_send(Ok(Part { bytes: bytes.into(), content, last })).is_ok()
    }
}

/// A text as the value that other clients show as a text.
fn text_body(text: &str) -> Bytes {
    let mut bytes = Vec::new();
    Message::value(text).encode(&mut bytes);
    bytes.into()
}

/// A data section.
fn data_body(data: &[u8]) -> Vec<u8> {
    let (header, len) = data_header(u32::try_from(data.len()).unwrap_or(u32::MAX));
    let mut bytes = Vec::with_capacity(len + data.len());
    bytes.extend_from_slice(header.get(..len).unwrap_or_default());
    bytes.extend_from_slice(data);
    bytes
}

fn read_lines(input: &mut dyn std::io::BufRead, count: u64, out: &Out) -> Result<()> {
    loop {
        let mut line = Vec::new();
        let read = input.take(LINE + 1).read_until(b'\n', &mut line).context("cannot read the standard input")?;
        if read == 0 {
            return Ok(());
        }
        ensure!(
            read as u64 <= LINE,
            "a line of the standard input is longer than {} MiB; send it whole with `-`, or with --file",
            LINE >> 20
        );
        if line.last() == Some(&b'\n') {
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
        }
        let body = match std::str::from_utf8(&line) {
            Ok(text) => text_body(text).to_vec(),
            Err(_) => data_body(&line),
        };
        for _ in 0..count {
            if !out.put(body.clone(), line.len(), true) {
                return Ok(());
            }
        }
    }
}

fn read_stdin(count: u64, skip: &AtomicU64, out: &Out) -> Result<()> {
    let mut stdin = std::io::stdin().lock();
    if count == 1 {
        return stream(&mut stdin, "the standard input", 0, skip, out).map(drop);
    }
    let mut data = Vec::new();
    stdin.take(KEPT + 1).read_to_end(&mut data).context("cannot read the standard input")?;
    ensure!(
        data.len() as u64 <= KEPT,
        "the standard input is larger than {} MiB, too large to be kept for --count; send a --file",
        KEPT >> 20
    );
    for _ in 0..count {
        if !out.put(data_body(&data), data.len(), true) {
            break;
        }
    }
    Ok(())
}

/// The file, and its size if it is one that has a size.
fn open_file(path: &Path) -> Result<(File, Option<u64>)> {
    let fail = || format!("cannot read {}", path.display());
    let file = File::open(path).with_context(fail)?;
    let metadata = file.metadata().with_context(fail)?;
    if metadata.is_dir() {
        bail!("cannot read {}: it is a directory", path.display());
    }
    // What /proc shows says that it is empty.
    let size = (metadata.is_file() && metadata.len() > 0).then_some(metadata.len());
    Ok((file, size))
}

fn read_file(path: &Path, first: File, size: Option<u64>, count: u64, skip: &AtomicU64, out: &Out) -> Result<()> {
    let mut opened = Some((first, size));
    for index in 0..count {
        let (mut file, size) = match opened.take() {
            Some(opened) => opened,
            None => open_file(path)?,
        };
        let name = path.display().to_string();
        let more = match size {
            Some(size) => sections(&mut file, size, &name, index, skip, out)?,
            None => stream(&mut file, &name, index, skip, out)?,
        };
        if !more {
            break;
        }
    }
    Ok(())
}

/// Reads until `block` is full or there is no more.
fn fill(input: &mut dyn Read, block: &mut [u8], name: &str) -> Result<usize> {
    let mut filled = 0;
    while let Some(room) = block.get_mut(filled..).filter(|room| !room.is_empty()) {
        match input.read(room) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).with_context(|| format!("cannot read {name}")),
        }
    }
    Ok(filled)
}

/// A message of unknown size: one data section for each block.
fn stream(input: &mut dyn Read, name: &str, index: u64, skip: &AtomicU64, out: &Out) -> Result<bool> {
    let mut block = vec![0; BLOCK];
    let mut next = fill(input, &mut block, name)?;
    loop {
        let body = data_body(block.get(..next).unwrap_or_default());
        let content = next;
        let full = next == BLOCK;
        next = if full && skip.load(Ordering::Relaxed) != index { fill(input, &mut block, name)? } else { 0 };
        if !out.put(body, content, next == 0) {
            return Ok(false);
        }
        if next == 0 {
            return Ok(true);
        }
    }
}

/// A message of known size: as few data sections as possible.
fn sections(file: &mut File, size: u64, name: &str, index: u64, skip: &AtomicU64, out: &Out) -> Result<bool> {
    let mut left = size;
    while left > 0 {
        let section = left.min(SECTION);
        let (header, len) = data_header(u32::try_from(section).unwrap_or(u32::MAX));
        let mut input: Take<&mut File> = Read::by_ref(file).take(section);
        let mut bytes = header.get(..len).unwrap_or_default().to_vec();
        let mut in_section = section;
        while in_section > 0 {
            let head = bytes.len();
            let wanted = in_section.min(BLOCK as u64) as usize;
            bytes.resize(head + wanted, 0);
            let read = fill(&mut input, bytes.get_mut(head..).unwrap_or_default(), name)?;
            if read < wanted {
                return Err(anyhow!("{name} became shorter while it was being sent"));
            }
            in_section -= read as u64;
            left -= read as u64;
            let last = left == 0 || skip.load(Ordering::Relaxed) == index;
            if !out.put(std::mem::take(&mut bytes), read, last) {
                return Ok(false);
            }
            if last {
                return Ok(true);
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
