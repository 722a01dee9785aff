//! From trace events to entries.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use jiff::Timestamp;
use parking_lot::{Mutex, RwLock};
use router_core::config::levels::Severity;
use router_core::entity::LogModule;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::format::Entry;
use super::settings::Settings;

/// How many entries are kept for management to show. Each is memory of its own among that of connections, and can keep a page of it.
const KEPT: usize = 100;

/// The running log. Clones refer to the same.
#[derive(Debug, Clone)]
pub(crate) struct LogHandle {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: RwLock<Settings>,
    /// What each module logs, readable without a lock: one byte per module, a bit per severity.
    levels: Vec<AtomicU8>,
    /// How many entries each module has written, by severity.
    counts: Vec<[AtomicU64; Severity::ALL.len()]>,
    recent: Mutex<VecDeque<Entry>>,
}

/// The part of [`LogHandle`] that tracing calls.
#[derive(Debug)]
pub(crate) struct LogLayer {
    shared: Arc<Shared>,
}

impl LogHandle {
    pub(crate) fn new(settings: Settings) -> Self {
        let levels = LogModule::ALL.iter().map(|_| AtomicU8::new(0)).collect();
        let counts = LogModule::ALL.iter().map(|_| Default::default()).collect();
        let shared = Shared { settings: RwLock::new(settings), levels, counts, recent: Mutex::default() };
        let handle = Self { shared: Arc::new(shared) };
        handle.publish_levels();
        handle
    }

    pub(super) fn layer(&self) -> LogLayer {
        LogLayer { shared: self.shared.clone() }
    }

    /// Replaces all settings.
    pub(crate) fn apply(&self, settings: Settings) {
        *self.shared.settings.write() = settings;
        self.publish_levels();
        tracing::callsite::rebuild_interest_cache();
    }

    fn publish_levels(&self) {
        for (slot, levels) in self.shared.levels.iter().zip(self.shared.settings.read().levels()) {
            let bits = Severity::ALL.iter().filter(|level| levels.contains(**level)).map(|level| bit(*level));
            slot.store(bits.fold(0, |all, bit| all | bit), Ordering::Relaxed);
        }
    }

    /// How many entries each module has written, by severity, the least severe first.
    pub(crate) fn counts(&self) -> Vec<(LogModule, [u64; Severity::ALL.len()])> {
        let read = |counts: &[AtomicU64; Severity::ALL.len()]| counts.each_ref().map(|n| n.load(Ordering::Relaxed));
        LogModule::ALL.iter().copied().zip(self.shared.counts.iter().map(read)).collect()
    }

    /// The latest entries, oldest first.
    pub(crate) fn recent(&self, limit: usize) -> Vec<Entry> {
        let recent = self.shared.recent.lock();
        recent.iter().skip(recent.len().saturating_sub(limit)).cloned().collect()
    }
}

const fn bit(level: Severity) -> u8 {
    1 << level as u8
}

fn index_of(module: LogModule) -> usize {
    LogModule::ALL.iter().position(|other| *other == module).unwrap_or_default()
}

impl Shared {
    fn logs(&self, module: LogModule, level: Severity) -> bool {
        self.levels.get(index_of(module)).is_some_and(|levels| levels.load(Ordering::Relaxed) & bit(level) != 0)
    }
}

/// The module of a target: the target itself, or what the crate of the target is about.
fn module_of(target: &str) -> LogModule {
    if let Some(module) = LogModule::from_tag(target) {
        return module;
    }
    match target.split("::").next().unwrap_or_default() {
        "router_core" => LogModule::RouterCore,
        "amqp_proto" => LogModule::Protocol,
        "amqp_adaptor" | "transport" => LogModule::Server,
        "tcp_adaptor" => LogModule::TcpAdaptor,
        "hyper" | "hyper_util" => LogModule::Http,
        _ => LogModule::Router,
    }
}

fn severity_of(level: &Level) -> Severity {
    match *level {
        Level::TRACE | Level::DEBUG => Severity::Debug,
        Level::INFO => Severity::Info,
        Level::WARN => Severity::Warning,
        Level::ERROR => Severity::Error,
    }
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Settings rebuild this cache when they change, so the answer may be final until then.
        if self.wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self.shared.settings.read().lowest() {
            Some(Severity::Debug) => LevelFilter::TRACE,
            Some(Severity::Info) => LevelFilter::INFO,
            Some(Severity::Warning) => LevelFilter::WARN,
            Some(Severity::Error | Severity::Critical) => LevelFilter::ERROR,
            None => LevelFilter::OFF,
        })
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut level = severity_of(metadata.level());
        if fields.critical && level == Severity::Error {
            level = Severity::Critical;
        }
        let module = module_of(metadata.target());
        if !self.shared.logs(module, level) {
            return;
        }
        if let Some(count) = self.shared.counts.get(index_of(module)).and_then(|counts| counts.get(level as usize)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let entry = Entry {
            module,
            level,
            message: fields.message,
            fields: fields.others,
            place: metadata.file().zip(metadata.line()),
            time: Timestamp::now(),
        };
        {
            let settings = self.shared.settings.read();
            let effective = settings.of(module);
            effective.sink.write(level, &entry.line(settings.format, &settings.time, &effective));
        }
        let mut recent = self.shared.recent.lock();
        if recent.len() == KEPT {
            recent.pop_front();
        }
        recent.push_back(entry);
    }
}

impl LogLayer {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let module = module_of(metadata.target());
        let level = severity_of(metadata.level());
        // What looks like an error may turn out critical.
        metadata.is_event()
            && (self.shared.logs(module, level)
                || level == Severity::Error && self.shared.logs(module, Severity::Critical))
    }
}

/// Takes the fields out of an event.
#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
    critical: bool,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.others.push((name, format!("{value:?}"))),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = value.to_owned(),
            name => self.others.push((name, value.to_owned())),
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        match field.name() {
            "critical" => self.critical = value,
            name => self.others.push((name, value.to_string())),
        }
    }
}
