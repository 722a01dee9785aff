//! What people read: notes, progress, summaries. They go to the standard error, so that results can be piped.

use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// Before that, nothing is said about progress.
const QUIET: Duration = Duration::from_secs(2);
/// Between two lines of progress where they pile up.
const LINES: Duration = Duration::from_secs(5);
/// Between two updates of a terminal's line.
const REDRAW: Duration = Duration::from_millis(200);

/// Prints a line. That nobody reads it is no reason to fail.
pub(crate) fn note(line: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr().lock(), "spanway: {line}");
}

/// Writes to the standard output, and tells whether anybody reads it. That nobody does is no failure, as of any filter.
///
/// # Errors
/// It cannot be written.
pub(crate) fn print(text: &str) -> Result<bool> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error).context("write to the standard output"),
    }
}

/// Counts durations, in microseconds, with an error below 2 %, in constant memory.
#[derive(Debug)]
pub(crate) struct Histogram {
    /// 64 steps for each power of two.
    steps: Vec<u64>,
    count: u64,
    max: u64,
}

const STEPS: u64 = 64;

impl Default for Histogram {
    fn default() -> Self {
        Self { steps: vec![0; (STEPS as usize) * 60], count: 0, max: 0 }
    }
}

impl Histogram {
    /// Counts one.
    pub(crate) fn add(&mut self, micros: u64) {
        // Beyond this (11 days) nothing is told apart.
        let micros = micros.min(1 << 40);
        if let Some(step) = self.steps.get_mut(Self::index(micros)) {
            *step += 1;
        }
        self.count += 1;
        self.max = self.max.max(micros);
    }

    fn index(micros: u64) -> usize {
        if micros < STEPS {
            return micros as usize;
        }
        let shift = micros.ilog2() - STEPS.ilog2();
        ((u64::from(shift) + 1) * STEPS + ((micros >> shift) - STEPS)) as usize
    }

    /// The largest value of a step.
    fn top(index: usize) -> u64 {
        let (power, step) = (index as u64 / STEPS, index as u64 % STEPS);
        match power {
            0 => step,
            _ => ((STEPS + step + 1) << (power - 1)) - 1,
        }
    }

    /// The value that a share of all does not exceed.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let rank = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, step) in self.steps.iter().enumerate() {
            seen += step;
            if seen >= rank {
                return Self::top(index).min(self.max);
            }
        }
        self.max
    }
}

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.count == 0 {
            return f.write_str("latency: nothing measured");
        }
        write!(
            f,
            "latency: median {}, 90 % {}, 99 % {}, 99.9 % {}, max {}",
            Micros(self.quantile(0.5)),
            Micros(self.quantile(0.9)),
            Micros(self.quantile(0.99)),
            Micros(self.quantile(0.999)),
            Micros(self.max)
        )
    }
}

/// Microseconds in a unit that fits.
struct Micros(u64);

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            us @ 0..1000 => write!(f, "{us} us"),
            us @ 1000..1_000_000 => write!(f, "{:.1} ms", us as f64 / 1e3),
            us => write!(f, "{:.2} s", us as f64 / 1e6),
        }
    }
}

/// Bytes in a unit that fits.
pub(crate) struct Size(pub(crate) f64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut size = self.0;
        for unit in ["B", "KiB", "MiB", "GiB"] {
            if size < 1024.0 {
                let digits = if unit == "B" { 0 } else { 1 };
                return write!(f, "{size:.digits$} {unit}");
            }
            size /= 1024.0;
        }
        write!(f, "{size:.1} TiB")
    }
}

/// `1 message`, `2 messages`.
pub(crate) struct Count(pub(crate) u64, pub(crate) &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.0, self.1, if self.0 == 1 { "" } else { "s" })
    }
}

/// How far a transfer has come.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Amount {
    /// Messages complete.
    pub(crate) messages: u64,
    /// Bytes of bodies.
    pub(crate) bytes: u64,
}

/// `3 messages, 12.0 MiB in 1.5 s: 2 messages/s, 8.0 MiB/s`.
pub(crate) fn rates(amount: Amount, time: Duration) -> String {
    // What took no time has no rate.
    let seconds = time.as_secs_f64().max(1e-6);
    format!(
        "{}, {} in {:.3} s: {:.0} messages/s, {}/s",
        Count(amount.messages, "message"),
        Size(amount.bytes as f64),
        time.as_secs_f64(),
        amount.messages as f64 / seconds,
        Size(amount.bytes as f64 / seconds)
    )
}

/// Says now and then how far a long transfer has come: on a line of its own that is drawn anew in a terminal, else on a new line every
/// few seconds.
#[derive(Debug)]
pub(crate) struct Progress {
    next: Option<Instant>,
    terminal: bool,
    drawn: bool,
    last: (Instant, u64),
}

impl Progress {
    /// Begins to count. Without `wanted` it stays silent.
    pub(crate) fn new(wanted: bool) -> Self {
        let start = Instant::now();
        let terminal = std::io::stderr().is_terminal();
        let next = wanted.then_some(start + if terminal { REDRAW } else { QUIET });
        Self { next, terminal, drawn: false, last: (start, 0) }
    }

    /// When [`Progress::tell`] has something to do.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Says where it stands, if it is time.
    pub(crate) fn tell(&mut self, amount: Amount, total: Option<u64>) {
        let now = Instant::now();
        if self.next.is_none_or(|next| now < next) {
            return;
        }
        self.next = Some(now + if self.terminal { REDRAW } else { LINES });
        if amount.bytes == 0 && amount.messages == 0 {
            // There is no progress to speak of.
            return;
        }
        let (before, bytes) = std::mem::replace(&mut self.last, (now, amount.bytes));
        let rate = amount.bytes.saturating_sub(bytes) as f64 / (now - before).as_secs_f64().max(1e-6);
        let share = match total {
            Some(total) if total > 0 => format!(" of {} ({} %)", Size(total as f64), amount.bytes * 100 / total),
            _ => String::new(),
        };
        let line =
            format!("{}, {}{share}, {}/s", Count(amount.messages, "message"), Size(amount.bytes as f64), Size(rate));
        if self.terminal {
            self.drawn = true;
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K{line}");
        } else {
            note(format_args!("{line}"));
        }
    }

    /// Removes the line, before something else is printed.
    pub(crate) fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantiles_are_close() {
        let mut histogram = Histogram::default();
        (1..=10_000).for_each(|n| histogram.add(n));
        for (share, expected) in [(0.5, 5000.0), (0.9, 9000.0), (0.99, 9900.0), (1.0, 10_000.0)] {
            let found = histogram.quantile(share) as f64;
            assert!((found - expected).abs() <= expected * 0.02, "{share}: {found}");
        }
        assert!(histogram.to_string().starts_with("latency: median 5."), "{histogram}");
        assert_eq!(Histogram::default().to_string(), "latency: nothing measured");
    }

    proptest! {
        #[test]
        fn every_value_has_a_step_that_holds_it(micros in 0..=(1_u64 << 40)) {
            let top = Histogram::top(Histogram::index(micros));
            prop_assert!(top >= micros && top - micros <= micros / 64, "{micros} {top}");
        }
    }

    #[test]
    fn amounts_are_readable() {
        assert_eq!(Size(17.0).to_string(), "17 B");
        assert_eq!(Size(1536.0).to_string(), "1.5 KiB");
        assert_eq!(Size(2.0_f64.powi(31)).to_string(), "2.0 GiB");
        let amount = Amount { messages: 1, bytes: 2048 };
        assert_eq!(rates(amount, Duration::from_millis(500)), "1 message, 2.0 KiB in 0.500 s: 2 messages/s, 4.0 KiB/s");
    }
}
