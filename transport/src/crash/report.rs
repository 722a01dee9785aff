//! The text of a crash report, in the form that tools for the reference look for, made in a buffer of fixed size.

use std::ffi::c_int;

/// More than a report of the longest names that are kept.
const SIZE: usize = 1536;

/// The longest name of a program, or of its file, that is printed.
const LONGEST: usize = 256;

/// What does not change while the program runs.
#[derive(Debug)]
pub(super) struct Program {
    version: String,
    name: String,
    id: u32,
    /// Where its file begins in memory, so that positions can be found in the file.
    base: Option<usize>,
}

/// What happened.
#[derive(Debug)]
pub(super) struct Circumstances {
    pub(super) signal: c_int,
    pub(super) thread: i32,
    /// The instruction.
    pub(super) at: Option<usize>,
    /// The address that it could not use.
    pub(super) address: Option<usize>,
}

impl Program {
    pub(super) fn new(version: &str, name: &str) -> Self {
        let short = |text: &str| text.chars().take(LONGEST / 4).collect();
        Self { version: short(version), name: short(name), id: std::process::id(), base: base() }
    }

    /// Uses nothing but its own stack.
    pub(super) fn report(&self, what: &Circumstances, thread: &[u8]) -> Text {
        let mut text = Text { bytes: [0; SIZE], len: 0 };
        text.str("\n*** SKUPPER-ROUTER FATAL ERROR ***\nVersion: ").str(&self.version);
        text.str("\nSignal: ").number(what.signal.unsigned_abs(), 10).str(" ").str(name_of(what.signal));
        text.str("\nProcess ID: ").number(self.id, 10).str(" (").str(&self.name).str(")");
        let thread = thread.split(|byte| *byte == 0).next().unwrap_or_default();
        text.str("\nThread ID: ").number(what.thread.unsigned_abs(), 10).str(" (").raw(thread).str(")\n");
        if let Some(address) = what.address {
            text.str("Fault address: 0x").number(address as u64, 16).str("\n");
        }
        text.str("!!! libunwind not present: backtrace unavailable !!!\n");
        if let Some(at) = what.at {
            text.str("[0] IP: 0x").number(at as u64, 16);
            if let Some(offset) = self.base.and_then(|base| at.checked_sub(base)) {
                text.str(" (").str(&self.name).str("+0x").number(offset as u64, 16).str(")");
            }
            text.str("\n");
        }
        text.str("*** END ***\n");
        text
    }
}

const fn name_of(signal: c_int) -> &'static str {
    match signal {
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGILL => "SIGILL",
        libc::SIGSEGV => "SIGSEGV",
        _ => "?",
    }
}

/// Where the file of this program was mapped.
fn base() -> Option<usize> {
    let file = std::fs::read_link("/proc/self/exe").ok()?;
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|line| line.ends_with(file.to_string_lossy().as_ref()))?;
    usize::from_str_radix(line.split('-').next()?, 16).ok()
}

/// A text of bounded length. What does not fit is left out.
pub(super) struct Text {
    bytes: [u8; SIZE],
    len: usize,
}

impl Text {
    fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        for byte in bytes {
            if let Some(place) = self.bytes.get_mut(self.len) {
                *place = *byte;
                self.len += 1;
            }
        }
        self
    }

    fn str(&mut self, text: &str) -> &mut Self {
        self.raw(text.as_bytes())
    }

    fn number(&mut self, number: impl Into<u64>, base: u64) -> &mut Self {
        let mut rest = number.into();
        let mut digits = [0; 20];
        let mut used = 0;
        for place in digits.iter_mut().rev() {
            *place = *b"0123456789abcdef".get((rest % base) as usize).unwrap_or(&b'?');
            used += 1;
            rest /= base;
            if rest == 0 {
                break;
            }
        }
        self.raw(digits.get(digits.len() - used..).unwrap_or_default())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// To the standard error.
    pub(super) fn write(&self) {
        let mut rest = self.as_bytes();
        while !rest.is_empty() {
            // SAFETY: the pointer and the length are those of one slice. It is a system call.
            let written = unsafe { libc::write(libc::STDERR_FILENO, rest.as_ptr().cast(), rest.len()) };
            match usize::try_from(written) {
                Ok(written @ 1..) => rest = rest.get(written..).unwrap_or_default(),
                // Interrupted by a signal that is not blocked: the rest is worth another attempt. Nothing can be done about other errors.
                _ if std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted => {}
                _ => return,
            }
        }
    }
}
